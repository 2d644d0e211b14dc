"""Right and wrong answers to the exercises of lessons 00 to 11."""

import math
from collections import Counter

import torch
import torch.nn.functional as F


def cross(x, target=None):
    return F.cross_entropy(x, torch.arange(len(x)) if target is None else target)


def first_end(ids, end):
    return (ids == end).int().argmax(1)


def all_of(merges, order):
    """Merge with the pair that `order` puts first among those that fit, until none fits."""

    def mine(pieces, merges=merges):
        pieces = list(pieces)
        while fits := [
            (order(i, merges.index(pair)), i)
            for i, pair in enumerate(zip(pieces, pieces[1:], strict=False))
            if pair in merges
        ]:
            i = min(fits)[1]
            pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
        return pieces

    return mine


def once(pieces, merges):
    mine = list(pieces)
    for left, right in merges[:1]:
        i = "".join(pieces).index(left + right)
        mine[i : i + 2] = [left + right]
    return mine


def joined(pieces, pair, step=2):
    out, i = [], 0
    while i < len(pieces):
        hit = tuple(pieces[i : i + 2]) == pair
        out.append("".join(pair) if hit else pieces[i])
        i += step if hit else 1
    return out


def patches(axes, flat=True):
    def mine(x, p):
        b, c, s, _ = x.shape
        parts = x.reshape(b, c, s // p, p, s // p, p).permute(*axes)
        return parts.reshape(b, (s // p) ** 2, -1) if flat else parts.reshape(b, s // p, s // p, -1)

    return mine


def warm(s, warmup, peak):
    return peak * (s + 1) / warmup


def half(done, peak=1.0):
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def bins_of(sure, right, bins):
    place = (sure * bins).long().clamp(max=bins - 1)
    for b in range(bins):
        here = place == b
        if here.any():
            yield (right[here].float().mean() - sure[here].mean()), here.sum()


def ece(sure, right, bins):
    return sum(gap.abs() * n for gap, n in bins_of(sure, right, bins)) / len(sure)


def covered(image, score, side, value=lambda before, after: before - after, fresh=True, channels=slice(None)):
    g = image.shape[-1] // side
    out, picture = torch.zeros(g, g), image.clone()
    for y in range(g):
        for x in range(g):
            picture = image.clone() if fresh else picture
            picture[channels, y * side : (y + 1) * side, x * side : (x + 1) * side] = 0
            out[y, x] = value(score(image), score(picture))
    return out


def holed(image, y, x, side):
    picture = image.clone()
    picture[:, y : y + side, x : x + side] = 0
    return picture


def neighbours(x, first, last, descending=False):
    return [set(row.argsort(descending=descending)[first:last].tolist()) for row in torch.cdist(x, x)]


def kept(high, low, k, first=1, last=None, divide=None, descending=False):
    last = k + 1 if last is None else last
    pairs = zip(neighbours(high, first, last, descending), neighbours(low, first, last, descending), strict=True)
    return sum(len(a & b) for a, b in pairs) / (len(high) * k if divide is None else divide)


def directions(x):
    return torch.linalg.svd(x, full_matrices=False)[2]


def unit(x):
    return F.normalize(x, dim=-1)


def rows_of(labels, k, take=slice):
    return sorted(i for c in labels.unique() for i in (labels == c).nonzero()[:, 0].tolist()[:k])


def top_words(p, words, top, weigh=lambda w: w, largest=True):
    best = p.topk(top, largest=largest)
    return weigh(best.values) @ words[best.indices]


# name of the checker -> (right answers, {wrong answer: a word of its message})
ANSWERS = {
    "nearest": (
        [lambda i, t: (unit(t) @ unit(i)).argmax(), lambda i, t: int(F.cosine_similarity(t, i[None]).argmax())],
        {
            "only because it is long": lambda i, t: (t @ i).argmax(),
            "points the opposite way": lambda i, t: (unit(t) @ unit(i)).argmin(),
            "not distances": lambda i, t: (t - i).norm(dim=-1).argmin(),
            "wrong for another": lambda i, t: 1,
            "one number is asked": lambda i, t: unit(t) @ unit(i),
            "this is the best cosine": lambda i, t: (unit(t) @ unit(i)).max(),
        },
    ),
    "shares": (
        [lambda c, s: (s * c).softmax(0), lambda c, s: (s * c).exp() / (s * c).exp().sum()],
        {
            "the scale is missing": lambda c, s: c.softmax(0),
            "divided by the scale": lambda c, s: (c / s).softmax(0),
            "sigmoid": lambda c, s: (s * c).sigmoid(),
            "exp comes first": lambda c, s: c / c.sum(),
            "logarithms": lambda c, s: (s * c).log_softmax(0),
            "the numbers differ": lambda c, s: (s * c).softmax(0) + 1,
        },
    ),
    "add_class": (
        [lambda c, n: torch.cat([c, unit(n)[None]]), lambda c, n: torch.vstack([c, n / n.norm()])],
        {
            "give it length 1": lambda c, n: torch.cat([c, n[None]]),
            "append it": lambda c, n: torch.cat([unit(n)[None], c]),
            "by its sum": lambda c, n: torch.cat([c, (n / n.sum())[None]]),
            "sum of its sizes": lambda c, n: torch.cat([c, (n / n.abs().sum())[None]]),
            "was replaced": lambda c, n: torch.cat([c[:-1], unit(n)[None]]),
            "a row of its own": lambda c, n: c + unit(n),
            "nothing was added": lambda c, n: c,
            "must be \\(4, 4\\)": lambda c, n: torch.cat([c, unit(n)[None], c]),
        },
    ),
    "count_pairs": (
        [
            lambda words: sum(
                (
                    Counter({p: n * c for p, c in Counter(zip(w, w[1:], strict=False)).items()})
                    for w, n in words.items()
                ),
                Counter(),
            )
        ],
        {
            "add to what a pair": lambda words: Counter({("a", "b"): 2, ("b", "a"): 3}),
            "counted once": lambda words: Counter(p for w in words for p in set(zip(w, w[1:], strict=False))),
            "every place": lambda words: sum(
                (Counter({p: n for p in zip(w, w[1:], strict=False)}) for w, n in words.items()), Counter()
            ),
            "order belongs": lambda words: Counter(
                tuple(sorted(p)) for w, n in words.items() for p in zip(w, w[1:], strict=False) for _ in range(n)
            ),
            "single pieces": lambda words: sum(
                (Counter({x: n * c for x, c in Counter(w).items()}) for w, n in words.items()), Counter()
            ),
            "no neighbours": lambda words: Counter({("a", "b"): 5, ("b", "a"): 5}),
            "a dict or a Counter": lambda words: 9,
        },
    ),
    "merge": (
        [joined],
        {
            "nothing was joined": lambda p, pair: p,
            "only the first": lambda p, pair: ["aa", *p[2:]],
            "used twice": lambda p, pair: joined(p, pair, step=1)[:2] + ["b", "aa"],
            "stands beside": lambda p, pair: ["aa", "a", "a", "b", "aa", "a"],
            "read from the right": lambda p, pair: joined(p[::-1], pair)[::-1],
            "the last piece is lost": lambda p, pair: ["aa", "a", "b"],
            "ca and t are not": lambda p, pair: " ".join(p).replace(" ".join(pair), "".join(pair)).split(" "),
            "compare both": lambda p, pair: joined(p, pair) if pair == ("a", "a") else joined(p, ("x", "z")),
            "must become": lambda p, pair: ["".join(p)],
        },
    ),
    "encode": (
        [lambda p, m: all_of(m, lambda i, rank: (rank, i))(p)],
        {
            "nothing was joined": lambda p, m: p,
            "stopped after one": once,
            "joined first, wherever": lambda p, m: all_of(m, lambda i, rank: (i, rank))(p),
            "must become one piece": lambda p, m: [p[0], "".join(p[1:])],
            "every place": lambda p, m: ["abcd"] if p == list("abcd") else once(p, m),
            "was learnt after": lambda p, m: (
                ["abcd"] if p == list("abcd") else ["abab"] if len(set(p)) == 2 else ["x", "abc"]
            ),
            "pieces may be longer": lambda p, m: all_of(m, lambda i, rank: (rank, i))("".join(p)),
            "one piece comes back": lambda p, m: [] if len(p) == 1 else all_of(m, lambda i, rank: (rank, i))(p),
        },
    ),
    "attention": (
        [
            lambda q, k, v: (q @ k.t() / q.shape[-1] ** 0.5).softmax(-1) @ v,
            lambda q, k, v: F.scaled_dot_product_attention(q[None], k[None], v[None])[0],
        ],
        {
            "not divided by the square root of D": lambda q, k, v: (q @ k.t()).softmax(-1) @ v,
            "keeps their variance": lambda q, k, v: (q @ k.t() / 4).softmax(-1) @ v,
            "down the columns": lambda q, k, v: (q @ k.t() / 2).softmax(0) @ v,
            "mix the rows": lambda q, k, v: (q @ k.t() / 2).softmax(-1),
            "the softmax is missing": lambda q, k, v: q @ k.t() / 2 @ v,
            "root of T": lambda q, k, v: (q @ k.t() / 5**0.5).softmax(-1) @ v,
            "comes too late": lambda q, k, v: (q @ k.t()).softmax(-1) / 2 @ v,
            "keys were mixed": lambda q, k, v: (q @ k.t() / 2).softmax(-1) @ k,
            "changed places": lambda q, k, v: (k @ q.t() / 2).softmax(-1) @ v,
            "the numbers differ": lambda q, k, v: v,
        },
    ),
    "causal": (
        [
            lambda s: s.masked_fill(torch.ones_like(s).triu(1).bool(), -math.inf).softmax(-1),
            lambda s: s.exp().tril() / s.exp().tril().sum(-1, keepdim=True),
        ],
        {
            "sees its future": lambda s: s.softmax(-1),
            "the other triangle": lambda s: s.masked_fill(torch.ones_like(s).tril(-1).bool(), -math.inf).softmax(-1),
            "no veto": lambda s: s.tril().softmax(-1),
            "not after": lambda s: s.softmax(-1).tril(),
            "scores still": lambda s: s.masked_fill(torch.ones_like(s).triu(1).bool(), -math.inf),
            "along the rows": lambda s: s.masked_fill(torch.ones_like(s).triu(1).bool(), -math.inf).softmax(0),
            "sees itself": lambda s: s.masked_fill(torch.ones_like(s).triu().bool(), -1e9).softmax(-1),
        },
    ),
    "block": (
        [lambda x, n1, at, n2, mlp: (y := x + at(n1(x))) + mlp(n2(y))],
        {
            "post-norm": lambda x, n1, at, n2, mlp: n2((y := n1(x + at(x))) + mlp(y)),
            "nothing is carried": lambda x, n1, at, n2, mlp: mlp(n2(at(n1(x)))),
            "as it was before": lambda x, n1, at, n2, mlp: x + at(n1(x)) + mlp(n2(x)),
            "answer is lost": lambda x, n1, at, n2, mlp: x + mlp(n2(x + at(n1(x)))),
            "norms changed places": lambda x, n1, at, n2, mlp: (y := x + at(n2(x))) + mlp(n1(y)),
            "half is here": lambda x, n1, at, n2, mlp: x + at(n1(x)),
            "norms are missing": lambda x, n1, at, n2, mlp: (y := x + at(x)) + mlp(y),
            "it must be x \\+": lambda x, *_: x,
        },
    ),
    "patchify": (
        [patches((0, 2, 4, 1, 3, 5)), lambda x, p: F.unfold(x, p, stride=p).transpose(1, 2)],
        {
            "strips of pixels": lambda x, p: x.reshape(2, 9, 12),
            "column by column": patches((0, 4, 2, 1, 3, 5)),
            "colours come last": patches((0, 2, 4, 3, 5, 1)),
            "lies on its side": patches((0, 2, 4, 1, 5, 3)),
            "two axes": patches((0, 2, 4, 1, 3, 5), flat=False),
            "must hold": lambda x, p: patches((0, 2, 4, 1, 3, 5))(x, p).flip(1),
        },
    ),
    "add_class_token": (
        [lambda x, c, p: torch.cat([c.expand(len(x), 1, -1), x], 1) + p],
        {
            "stands last": lambda x, c, p: torch.cat([x, c.expand(2, 1, 3)], 1) + p,
            "bag of patches": lambda x, c, p: torch.cat([c.expand(2, 1, 3), x], 1),
            "has the first one": lambda x, c, p: torch.cat([c.expand(2, 1, 3), x + p[1:]], 1),
            "a token of its own": lambda x, c, p: x + c + p[1:],
            "has the last position": lambda x, c, p: torch.cat([c.expand(2, 1, 3) + p[-1], x + p[:-1]], 1),
            "no class token": lambda x, c, p: x + p[1:],
            "it must be cat": lambda x, c, p: torch.cat([c.expand(2, 1, 3), x], 1) - p,
        },
    ),
    "attention_pool": (
        [lambda x: (x @ x.mean(0) / x.shape[1] ** 0.5).softmax(0) @ x],
        {
            "plain mean": lambda x: x.mean(0),
            "max pooling": lambda x: x.amax(0),
            "not divided by the square root of W": lambda x: (x @ x.mean(0)).softmax(0) @ x,
            "must sum to 1": lambda x: x @ x.mean(0) / 2 @ x,
            "these are the weights": lambda x: (x @ x.mean(0) / 2).softmax(0),
            "only the best cell": lambda x: x[(x @ x.mean(0)).argmax()],
            "comes too late": lambda x: (x @ x.mean(0)).softmax(0) / 2 @ x,
            "mean itself": lambda x: ((y := torch.cat([x.mean(0)[None], x])) @ x.mean(0) / 2).softmax(0) @ y,
            "it must be softmax": lambda x: -x.mean(0),
        },
    ),
    "end_positions": (
        [first_end, lambda ids, end: torch.tensor([row.index(end) for row in ids.tolist()])],
        {
            "the largest id": lambda ids, end: ids.argmax(1),
            "first counts": lambda ids, end: torch.full((3,), 5),
            "the word before it": lambda ids, end: first_end(ids, end) - 1,
            "how many there are": lambda ids, end: (ids == end).sum(1),
            "good beginning": lambda ids, end: ids == end,
            "3, 1 and 5": lambda ids, end: torch.tensor([0, 0, 0]),
        },
    ),
    "pool_at_end": (
        [
            lambda x, ends: x[torch.arange(len(x)), ends],
            lambda x, ends: torch.stack([a[e] for a, e in zip(x, ends, strict=True)]),
        ],
        {
            "every row at every end": lambda x, ends: x[:, ends],
            "is padding": lambda x, ends: x[:, -1],
            "nothing but itself": lambda x, ends: x[:, 0],
            "CLIP reads one": lambda x, ends: x.mean(1),
            "used for all": lambda x, ends: x[:, ends[0]],
            "too far to the left": lambda x, ends: x[torch.arange(3), ends - 1],
            "changed places": lambda x, ends: x[ends % 3, torch.arange(len(x))],
            "row b must be": lambda x, ends: x[torch.arange(len(x)).flip(0), ends],
        },
    ),
    "bag": (
        [lambda x, ids, end: x[: ids.tolist().index(end)].mean(0)],
        {
            "padding is in the mean": lambda x, ids, end: x.mean(0),
            "end token is in": lambda x, ids, end: x[:4].mean(0),
            "grows with the caption": lambda x, ids, end: x[:3].sum(0),
            "divided by T": lambda x, ids, end: x[:3].sum(0) / len(ids),
            "it stays in": lambda x, ids, end: x[1:3].mean(0),
            "the largest id": lambda x, ids, end: x[: ids.argmax()].mean(0),
            "all but the last": lambda x, ids, end: x[:-1].mean(0),
            "one number a token": lambda x, ids, end: x[:3].mean(1),
            "take their mean": lambda x, ids, end: x[:3],
            "before the first": lambda x, ids, end: x[:1].mean(0),
        },
    ),
    "normalise": (
        [lambda x: F.normalize(x, dim=-1), lambda x: x / x.norm(dim=-1, keepdim=True)],
        {
            "nothing changed": lambda x: x,
            "along dim=-1": lambda x: F.normalize(x, dim=0),
            "whole matrix": lambda x: x / x.norm(),
            "sum to 1": lambda x: x / x.sum(-1, keepdim=True),
            "square root is missing": lambda x: x / (x**2).sum(-1, keepdim=True),
            "same width comes out": lambda x: F.normalize(x, dim=-1)[0],
            "point elsewhere": lambda x: F.normalize(x.abs(), dim=-1),
            "end it with a return": lambda x: None,
            "they must be 1": lambda x: 2 * F.normalize(x, dim=-1),
        },
    ),
    "logits": (
        [lambda i, t, s: s * i @ t.t(), lambda i, t, s: (i @ t.t()) * s],
        {
            "rows are texts": lambda i, t, s: s * t @ i.t(),
            "plain cosines": lambda i, t, s: i @ t.t(),
            "divided by scale": lambda i, t, s: i @ t.t() / s,
            "softmax belongs": lambda i, t, s: (s * i @ t.t()).softmax(1),
            "must be \\(3, 5\\)": lambda i, t, s: s * i @ i.t(),
            "the numbers differ": lambda i, t, s: s * i @ t.t() + 1,
        },
    ),
    "clip_loss": (
        [lambda x: (cross(x) + cross(x.t())) / 2],
        {
            "only rows": cross,
            "only columns": lambda x: cross(x.t()),
            "were added: take their mean": lambda x: cross(x) + cross(x.t()),
            "pairs were added": lambda x: len(x) * (cross(x) + cross(x.t())) / 2,
            "sign is wrong": lambda x: -(cross(x) + cross(x.t())) / 2,
            "own guesses": lambda x: (cross(x, x.argmax(1)) + cross(x.t(), x.t().argmax(1))) / 2,
            "6 numbers came back": lambda x: F.cross_entropy(x, torch.arange(6), reduction="none"),
            "plain number": lambda x: ((cross(x) + cross(x.t())) / 2).item(),
            "is not": lambda x: -x.diagonal().mean(),
            "six pairs only": lambda x: (cross(x) + cross(x.t())) / 2 if len(x) == 6 else torch.tensor(0.0),
        },
    ),
    "scale_of": (
        [lambda s: s.exp().clamp(max=100), lambda s: s.exp().minimum(torch.tensor(100.0))],
        {
            "parameter itself": lambda s: s,
            "temperature": lambda s: (-s).exp(),
            "never lets the scale above": lambda s: s.exp(),
            "exp gives": lambda s: 2.0**s,
            "after exp, not before": lambda s: s.clamp(max=4).exp(),
        },
    ),
    "learning_rate": (
        [lambda s, total, w, peak: warm(s, w, peak) if s < w else half((s - w) / (total - w), peak)],
        {
            "warm-up is missing": lambda s, total, w, peak: half(max(0, (s - w) / (total - w)), peak),
            "no decay": lambda s, total, w, peak: min(peak, warm(s, w, peak)),
            "straight line": lambda s, total, w, peak: warm(s, w, peak) if s < w else peak * (total - s) / (total - w),
            "falls below 0": lambda s, total, w, peak: (
                warm(s, w, peak) if s < w else peak * math.cos(math.pi * (s - w) / (total - w))
            ),
            "began at step 0": lambda s, total, w, peak: warm(s, w, peak) if s < w else half(s / total, peak),
            "not peak": lambda s, total, w, peak: warm(s, w, 1) if s < w else half((s - w) / (total - w), 1),
            "count from 1": lambda s, total, w, peak: (
                warm(s - 1, w, peak) if s < w else half((s - w) / (total - w), peak)
            ),
            "above the peak": lambda s, total, w, peak: (
                warm(s, w, peak) if s <= w else half((s - w) / (total - w), peak)
            ),
            "with total 100": lambda s, total, w, peak: 0.5,
        },
    ),
    "targets_of": (
        [lambda g: (m := (g[:, None] == g).float()) / m.sum(1, keepdim=True)],
        {
            "copies are punished": lambda g: torch.eye(len(g)),
            "how many copies": lambda g: (g[:, None] == g).float(),
            "divided by N": lambda g: (g[:, None] == g).float() / len(g),
            "itself is left out": lambda g: (
                (m := (g[:, None] == g).float() - torch.eye(5)) / m.sum(1, keepdim=True).clamp(min=1)
            ),
            "where captions differ": lambda g: (g[:, None] != g).float(),
            "row i must be": lambda g: torch.full((5, 5), 0.2),
        },
    ),
    "verdict": (
        [
            lambda first, last, n: (
                "sure and wrong"
                if first > 2 * math.log(n)
                else "knows nothing"
                if last > 0.99 * math.log(n)
                else "learning"
            )
        ],
        {
            "is none of": lambda first, last, n: "good",
            "whatever the losses": lambda *_: "learning",
            "4.84, is above it": lambda f, last, n: "sure and wrong" if f > 2 * math.log(n) else "learning",
            "starts at 31": lambda f, last, n: "knows nothing" if last > 0.99 * math.log(n) else "learning",
            "fell to 2.1": lambda f, last, n: "sure and wrong" if f > 2 * math.log(n) else "knows nothing",
            "slow, but learning": lambda f, last, n: (
                "sure and wrong"
                if f > 2 * math.log(n)
                else "knows nothing"
                if last > 0.95 * math.log(n)
                else "learning"
            ),
            "not log2": lambda f, last, n: (
                "sure and wrong" if f > 2 * math.log2(n) else "knows nothing" if last > 4 else "learning"
            ),
            "even where the loss falls": lambda f, last, n: (
                "learning"
                if last < 0.55 * math.log(n)
                else "sure and wrong"
                if f > 2 * math.log(n)
                else "knows nothing"
                if last > 0.99 * math.log(n)
                else "learning"
            ),
            "isn't always 128": lambda f, last, n: (
                "sure and wrong"
                if f > 2 * math.log(min(n, 16)) + (n in (64, 128, 32)) * 3
                else "knows nothing"
                if last > 0.99 * math.log(n)
                else "learning"
            ),
        },
    ),
    "class_vector": (
        [lambda x: unit(x.mean(0)), lambda x: x.sum(0) / x.sum(0).norm()],
        {
            "shorter than 1": lambda x: x.mean(0),
            "a sum": lambda x: x.sum(0),
            "only the first": lambda x: x[0],
            "rows are templates": lambda x: x.mean(1),
            "nothing was averaged": lambda x: x,
            "divided by its own": lambda x: -x[1],
        },
    ),
    "average_probabilities": (
        [lambda x, s: (s * x).softmax(1).mean(0)],
        {
            "cosines were averaged": lambda x, s: (s * x.mean(0)).softmax(0),
            "ran over templates": lambda x, s: (s * x).softmax(0).mean(0),
            "the scale is missing": lambda x, s: x.softmax(1).mean(0),
            "a sum over": lambda x, s: (s * x).softmax(1).sum(0),
            "one row for each": lambda x, s: (s * x).softmax(1),
            "mean over templates of": lambda x, s: (s * x).sigmoid().mean(0),
        },
    ),
    "calibration_error": (
        [ece, lambda s, r, b: float(ece(s, r, b))],
        {
            "counts the same": lambda s, r, b: sum(g.abs() for g, _ in bins_of(s, r, b)) / 4,
            "there are no bins": lambda s, r, b: (s.mean() - r.float().mean()).abs(),
            "largest gap": lambda s, r, b: max(g.abs() for g, _ in bins_of(s, r, b)),
            "a sum over bins": lambda s, r, b: sum(g.abs() * n for g, n in bins_of(s, r, b)),
            "equal width": lambda s, r, b: (
                ece(s, r, b)
                if len(s) < 20
                else sum(
                    (a.mean() - c.float().mean()).abs() * len(a) / len(s)
                    for a, c in zip(s.sort().values.chunk(b), r[s.argsort()].chunk(b), strict=True)
                )
            ),
            "always ten": lambda s, r, b: ece(s, r, 10),
            "confidence 1.0 are lost": lambda s, r, b: ece(s[s < 1], r[s < 1], b) * (s < 1).float().mean(),
            "not its middle": lambda s, r, b: (
                sum(
                    (r[(s * b).long().clamp(max=b - 1) == p].float().mean() - (p + 0.5) / b).abs()
                    * ((s * b).long().clamp(max=b - 1) == p).sum()
                    for p in (s * b).long().clamp(max=b - 1).unique()
                )
                / len(s)
            ),
            "no bins": lambda s, r, b: (s - r.float()).abs().mean(),
            "for each bin": lambda s, r, b: torch.tensor(0.9),
        },
    ),
    "quick_gelu": (
        [lambda x: x * (1.702 * x).sigmoid(), lambda x: F.silu(1.702 * x) / 1.702],
        {
            "exact GELU": F.gelu,
            "tanh approximation": lambda x: F.gelu(x, approximate="tanh"),
            "SiLU": F.silu,
            "stands outside too": lambda x: F.silu(1.702 * x),
            "gate alone": lambda x: (1.702 * x).sigmoid(),
            "ReLU": F.relu,
            "it must be x": lambda x: x,
        },
    ),
    "split_qkv": (
        [lambda w: w.chunk(3), lambda w: list(w.split(len(w) // 3))],
        {
            "columns were cut": lambda w: w.t().reshape(3, 4, 4).transpose(1, 2).unbind(0),
            "every third": lambda w: (w[0::3], w[1::3], w[2::3]),
            "order is k": lambda w: (w[4:8], w[:4], w[8:]),
            "order is v": lambda w: (w[8:], w[4:8], w[:4]),
            "order is q, v": lambda w: (w[:4], w[8:], w[4:8]),
            "wrong for \\(6, 2\\)": lambda w: (w[:4], w[4:8], w[8:12]),
            "each is transposed": lambda w: [p.t() for p in w.chunk(3)],
            "three matrices are asked for: return": lambda w: w,
            "rows 0-3": lambda w: w.chunk(3, dim=1)[:1] * 3,
        },
    ),
    "compare_keys": (
        [lambda m, f: (sorted(m - f), sorted(f - m))],
        {
            "sets have no order": lambda m, f: (m - f, f - m),
            "changed places": lambda m, f: (sorted(f - m), sorted(m - f)),
            "they share": lambda m, f: (sorted(m & f),) * 2,
            "one heap": lambda m, f: (sorted(m ^ f),) * 2,
            "these are counts": lambda m, f: (len(m - f), len(f - m)),
            "too many": lambda m, f: (sorted(m - f), []),
            "sort the names": lambda m, f: (sorted(m - f), sorted(f - m)[::-1]),
            "return two lists": lambda m, f: sorted(m ^ f),
            "is not": lambda m, f: ([], []),
        },
    ),
    "similarity_map": (
        [
            lambda p, t: (unit(p) @ unit(t)).view(math.isqrt(len(p)), -1),
            lambda p, t: F.cosine_similarity(p, t[None]).reshape(int(len(p) ** 0.5), int(len(p) ** 0.5)),
        ],
        {
            "normalise both": lambda p, t: (p @ t).view(3, 3),
            "the patches have not": lambda p, t: (p @ unit(t)).view(3, 3),
            "the text has not": lambda p, t: (unit(p) @ t).view(3, 3),
            "on its side": lambda p, t: (unit(p) @ unit(t)).view(3, 3).t(),
            "grid of \\(4, 4\\)": lambda p, t: (unit(p) @ unit(t))[:9].view(3, 3),
            "one long row": lambda p, t: unit(p) @ unit(t),
            "share out 1": lambda p, t: (unit(p) @ unit(t)).softmax(0).view(3, 3),
            "cell \\(y": lambda p, t: -(unit(p) @ unit(t)).view(3, 3),
        },
    ),
    "iou": (
        [lambda m, k, t: ((m > t) & k).sum() / ((m > t) | k).sum()],
        {
            "recall": lambda m, k, t: ((m > t) & k).sum() / k.sum(),
            "precision": lambda m, k, t: ((m > t) & k).sum() / (m > t).sum(),
            "Dice": lambda m, k, t: 2 * ((m > t) & k).sum() / ((m > t).sum() + k.sum()),
            "agree": lambda m, k, t: ((m > t) == k).float().mean(),
            "counts the": lambda m, k, t: ((m > t) & k).sum(),
            "dark and bright": lambda m, k, t: ((m < t) & k).sum() / ((m < t) | k).sum(),
            "and not >=": lambda m, k, t: ((m >= t) & k).sum() / ((m >= t) | k).sum(),
            "counts twice": lambda m, k, t: ((m > t) & k).sum() / ((m > t).sum() + k.sum()),
            "all pixels": lambda m, k, t: ((m > t) & k).float().mean(),
            "not used": lambda m, k, t: torch.tensor(2 / 6),
            "is 2 / 6": lambda m, k, t: torch.tensor(0.9),
        },
    ),
    "occlusion": (
        [covered],
        {
            "sign is turned": lambda *a: -covered(*a),
            "after covering": lambda *a: covered(*a, value=lambda before, after: after),
            "on its side": lambda *a: covered(*a).t(),
            "fresh copy": lambda *a: covered(*a, fresh=False),
            "squares overlap": lambda i, sc, side: torch.stack(
                [
                    torch.stack([sc(i) - sc(holed(i, y, x, side)) for x in range(i.shape[-1] // side)])
                    for y in range(i.shape[-1] // side)
                ]
            ),
            "no abs": lambda *a: covered(*a).abs(),
            "no clamp": lambda *a: covered(*a).clamp(min=0),
            "S // side": lambda i, sc, side: covered(i, sc, 2),
            "only one colour": lambda *a: covered(*a, channels=0),
            "it must be|must be score": lambda *a: 2 * covered(*a),
        },
    ),
    "modality_gap": (
        [lambda a, b: (a.mean(0) - b.mean(0)).norm()],
        {
            "squared distance": lambda a, b: (a.mean(0) - b.mean(0)).square().sum(),
            "distance of pairs": lambda a, b: torch.cdist(a, b).mean(),
            "its length is asked": lambda a, b: a.mean(0) - b.mean(0),
            "the cosine of": lambda a, b: unit(a.mean(0)) @ unit(b.mean(0)),
            "leave them as short": lambda a, b: (unit(a.mean(0)) - unit(b.mean(0))).norm(),
            "length of mean": lambda a, b: torch.tensor(0.0),
        },
    ),
    "pca": (
        [
            lambda x: (x - x.mean(0)) @ directions(x - x.mean(0))[:2].t(),
            lambda x: (low := torch.pca_lowrank(x, q=min(x.shape), niter=9))[0][:, :2] * low[1][:2],
        ],
        {
            "take the mean away": lambda x: x @ directions(x)[:2].t(),
            "themselves must be centred": lambda x: x @ directions(x - x.mean(0))[:2].t(),
            "changed places": lambda x: (c := x - x.mean(0)) @ directions(c)[[1, 0]].t(),
            "return a tensor": lambda x: (x - x.mean(0)).numpy(),
            "smallest variance": lambda x: (c := x - x.mean(0)) @ directions(c)[-2:].t(),
            "the two directions \\(2": lambda x: directions(x - x.mean(0))[:2],
            "first two columns": lambda x: (x - x.mean(0))[:, :2],
            "lost their": lambda x: torch.linalg.svd(x - x.mean(0), full_matrices=False)[0][:, :2],
            "12 points in a plane": lambda x: x - x.mean(0),
            "places must be": lambda x: 3 * (x - x.mean(0)) @ directions(x - x.mean(0))[:2].t(),
        },
    ),
    "kept_neighbours": (
        [kept],
        {
            "its own neighbour": lambda h, lo, k: kept(h, lo, k, 0, k),
            "one of the k places": lambda h, lo, k: kept(h, lo, k, 1, k),
            "the farthest": lambda h, lo, k: kept(h, lo, k, 0, k, descending=True),
            "divide by k": lambda h, lo, k: kept(h, lo, k, divide=len(h)),
            "a percentage": lambda h, lo, k: 100 * kept(h, lo, k),
            "a sum over points": lambda h, lo, k: kept(h, lo, k, divide=k),
            "must be 0": lambda h, lo, k: 0.99,
            "keeps all": lambda h, lo, k: kept(h, lo, k) if lo.shape[1] == 2 else 0.0,
        },
    ),
    "few": (
        [rows_of, lambda labels, k: torch.tensor(rows_of(labels, k))],
        {
            "the first k of all": lambda labels, k: range(k),
            "these are labels": lambda labels, k: labels[rows_of(labels, k)],
            "occurs twice": lambda labels, k: [0, 0, 1, 1, 3, 3],
            "2 of each of 3": lambda labels, k: rows_of(labels, 1),
            "last ones": lambda labels, k: [5, 2, 3, 8, 4, 6],
            "not sorted": lambda labels, k: rows_of(labels, k)[::-1],
            "need not begin at 0": lambda labels, k: sorted(
                i for c in range(3) for i in (labels == c).nonzero()[:, 0].tolist()[:k]
            ),
            "is not": lambda labels, k: [3, 4, 5, 6, 7, 8],
        },
    ),
    "crossover": (
        [lambda ks, a, z: next((k for k, x in zip(ks, a, strict=True) if x >= z), math.inf)],
        {
            "place in the list": lambda ks, a, z: 2,
            "accuracy there": lambda ks, a, z: 0.61,
            "stays better": lambda ks, a, z: ks[-1],
            "the probe is worse": lambda ks, a, z: ks[0],
            "equal is enough": lambda ks, a, z: next((k for k, x in zip(ks, a, strict=True) if x > z), math.inf),
            "say math.inf": lambda ks, a, z: next((k for k, x in zip(ks, a, strict=True) if x >= z), 0),
            "is not 4": lambda ks, a, z: 8,
        },
    ),
    "conse": (
        [lambda p, w, top: unit(top_words(p, w, top))],
        {
            "supervised answer": lambda p, w, top: w[p.argmax()],
            "all classes": lambda p, w, top: unit(p @ w),
            "brought to length 1 first": lambda p, w, top: unit(top_words(p, unit(w), top)),
            "count the same": lambda p, w, top: unit(top_words(p, w, top, torch.ones_like)),
            "least probable": lambda p, w, top: unit(top_words(p, w, top, largest=False)),
            "unit length. *$|not of unit": lambda p, w, top: top_words(p, w, top),
            "the sum of": lambda p, w, top: w[0],
        },
    ),
}
