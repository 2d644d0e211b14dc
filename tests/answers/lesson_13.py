"""Right and wrong answers to the exercises of lesson 13."""

import math

import torch
import torch.nn.functional as F


def own(cosines, owners, k, largest=True):
    return owners[cosines.topk(k, largest=largest).indices] == torch.arange(len(cosines))[:, None]


def found_by_loop(cosines, owners, k):
    found = 0
    for picture, row in enumerate(cosines):
        first = row.argsort(descending=True)[:k].tolist()
        found += any(owners[caption] == picture for caption in first)
    return found / len(cosines)


def way_back(cosines, owners, k):
    hits = [(column > column[owner]).sum() < k for column, owner in zip(cosines.t(), owners, strict=True)]
    return sum(hits).item() / len(hits)


def places(cosines, wanted, k):
    return (cosines.topk(k).indices == wanted[:, None]).any(1).float().mean()


def first_captions(owners):
    return torch.tensor([owners.tolist().index(i) for i in range(int(owners.max()) + 1)])


def joined(vectors, cosine, at_least=lambda a, b: a >= b, least=2):
    near = at_least(vectors @ vectors.t(), cosine)
    group = list(range(len(vectors)))
    for _ in group:
        for i, row in enumerate(near):
            group = [min(group[i], old) if row[j] else old for j, old in enumerate(group)]
    found = [[i for i, name in enumerate(group) if name == one] for one in sorted(set(group))]
    return [members for members in found if len(members) >= least]


def pairs(vectors, cosine):
    near = (vectors @ vectors.t() >= cosine).triu(1)
    return near.nonzero().tolist()


def greedy(vectors, cosine):
    """What is near the first of a group, and no chain."""
    near, left, found = vectors @ vectors.t() >= cosine, list(range(len(vectors))), []
    while left:
        group = [i for i in left if near[left[0], i] or i == left[0]]
        left = [i for i in left if i not in group]
        found += [group] if len(group) > 1 else []
    return found


def rows(vectors, cosine):
    near = vectors @ vectors.t() >= cosine
    found = [row.nonzero().flatten().tolist() for row in near]
    return [list(group) for group in dict.fromkeys(tuple(group) for group in found) if len(group) > 1]


def limit(scores, spread=None, middle=None, root=lambda n: math.sqrt(2 * math.log(n)), sign=1):
    centre = scores.median()
    below = scores[scores <= centre] - centre
    width = below.square().mean().sqrt() if spread is None else spread(scores, centre)
    return (centre if middle is None else middle(scores)) + sign * width * root(len(scores))


def mean_square(x):
    return x.square().mean().sqrt()


def neighbours(vectors, cosine):
    """Each place with the later ones that are near it, and no chain."""
    near = (vectors @ vectors.t() >= cosine).triu()
    found = [row.nonzero().flatten().tolist() for row in near]
    inside = [group for group in found if len(group) > 1]
    return [group for group in inside if not any(set(group) < set(other) for other in inside)]


def joining(vectors, cosine, which=0):
    """Each place to the first (or last) group that holds a near one."""
    found = []
    for i, vector in enumerate(vectors):
        fitting = [group for group in found if (vectors[group] @ vector >= cosine).any()]
        if fitting:
            fitting[which].append(i)
        else:
            found.append([i])
    return [group for group in found if len(group) > 1]


def together(cosines, owners, k):
    per = len(owners) // len(cosines)
    return (cosines.topk(k).indices // per == torch.arange(len(cosines))[:, None]).any(1).float().mean()


ANSWERS = {
    "recall_any": (
        [lambda x, o, k: own(x, o, k).any(1).float().mean(), found_by_loop],
        {
            "trues and falses": lambda x, o, k: own(x, o, k).any(1),
            "how many pictures": lambda x, o, k: own(x, o, k).any(1).sum(),
            "textbook recall": lambda x, o, k: (own(x, o, k).sum(1) / o.bincount()).mean(),
            "precision": lambda x, o, k: own(x, o, k).float().mean(),
            "the other direction": way_back,
            "not to picture j": lambda x, o, k: places(x, torch.arange(len(x)), k),
            "only the first caption of each": lambda x, o, k: places(x, first_captions(o), k),
            "the smallest cosines": lambda x, o, k: own(x, o, k, largest=False).any(1).float().mean(),
            "only the nearest caption": lambda x, o, k: found_by_loop(x, o, 1),
            "in any": together,
            "look up": lambda x, o, k: own(x, o.sort().values, k).any(1).float().mean(),
            "only place k": lambda x, o, k: own(x, o, k)[:, k - 1].float().mean(),
            "k - 1 captions": lambda x, o, k: found_by_loop(x, o, k - 1),
            r"k \+ 1 captions": lambda x, o, k: found_by_loop(x, o, k + 1),
            "would have to be its own": lambda x, o, k: own(x, o, k).all(1).float().mean(),
            "here 0.5": lambda x, o, k: 0.123,
            "wrong for another": lambda x, o, k: 0.5,
        },
    ),
    "combined_query": (
        [
            lambda v, w: F.normalize((w[:, None] * v).sum(0), dim=0),
            lambda v, w: (v.t() @ w) / (v.t() @ w).norm(),
        ],
        {
            "not of unit length": lambda v, w: w @ v,
            "three vectors still": lambda v, w: F.normalize(w[:, None] * v, dim=-1),
            "weighted mean": lambda v, w: (w[:, None] * v).mean(0),
            "sum of the weights": lambda v, w: w @ v / w.sum(),
            "a square root is missing": lambda v, w: w @ v / (w @ v).square().sum(),
            "the weights were left out": lambda v, w: F.normalize(v.sum(0), dim=0),
            "the signs of the weights": lambda v, w: F.normalize(w.abs() @ v, dim=0),
            "softmax": lambda v, w: F.normalize(w.softmax(0) @ v, dim=0),
            "the other way": lambda v, w: -F.normalize(w @ v, dim=0),
            "divided by its length": lambda v, w: v[0],
        },
    ),
    "near_duplicates": (
        [joined, lambda v, c: [set(group) for group in joined(v, c)][::-1]],
        {
            "return a list of lists": lambda v, c: {0: [0, 2, 4]},
            "a list of lists of places": lambda v, c: [0, 2, 4],
            "nothing was found": lambda v, c: [],
            "every group has one place": lambda v, c: [[i] for i in range(len(v))],
            "these are pairs": pairs,
            "only direct neighbours": neighbours,
            "newcomer": joining,
            "them one": lambda v, c: joining(v, c, which=-1),
            "groups of one": lambda v, c: joined(v, c, least=1),
            "a chain was cut": greedy,
            "in two groups": rows,
            "all came into one": lambda v, c: [list(range(len(v)))],
            "is not": lambda v, c: [[0, 2, 4], [3, 5]],
            "at least, >=": lambda v, c: joined(v, c, at_least=lambda a, b: a > b),
        },
    ),
    "cut_off": (
        [limit, lambda s: limit(s).item()],
        {
            "one number for the whole": lambda s: s[s >= limit(s)],
            "median alone": lambda s: s.median(),
            "was not multiplied": lambda s: limit(s, root=lambda n: 1),
            "the root over 2 ln N": lambda s: limit(s, root=lambda n: 2 * math.log(n)),
            "2 is missing": lambda s: limit(s, root=lambda n: math.sqrt(math.log(n))),
            "the natural logarithm": lambda s: limit(s, root=lambda n: math.sqrt(2 * math.log10(n))),
            "the number of all scores": lambda s: limit(s, root=lambda n: math.sqrt(2 * math.log((s <= s.median()).sum()))),
            "the median is missing": lambda s: limit(s) - s.median(),
            "that of all scores": lambda s: limit(s, spread=lambda x, m: x.std()),
            "from above the median": lambda s: limit(s, spread=lambda x, m: mean_square(x[x >= m] - m)),
            "takes the mean away": lambda s: limit(s, spread=lambda x, m: x[x <= m].std()),
            "of the mean square is missing": lambda s: limit(s, spread=lambda x, m: (x[x <= m] - m).square().mean()),
            "this is the mean distance": lambda s: limit(s, spread=lambda x, m: (m - x[x <= m]).mean()),
            "add the spread": lambda s: limit(s, sign=-1),
            "begins at the mean": lambda s: limit(s, middle=lambda x: x.mean()),
            "counts too": lambda s: limit(s, spread=lambda x, m: mean_square(x[x < m] - m)),
            "it must be median": lambda s: 0.2,
        },
    ),
}
