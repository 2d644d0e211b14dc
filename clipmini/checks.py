"""The checkers of the lessons' exercises, lesson by lesson. Each takes the student's function and prints one line, todo or
pass; a wrong answer raises an AssertionError that names the likely mistake. todo never raises: a notebook runs to its end with or
without answers. The mistakes are the ones that students make, and what each would have returned.
"""

import copy
import functools
import math
import os
from collections import Counter

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini import loss
from clipmini.tasks.metrics import reliability

FAST = os.environ.get("CLIPMINI_FAST") == "1"  # the lessons' only switch: the test suite trains for seconds, students for minutes


class _Todo(Exception):
    """The student's function is a stub still."""


def _checker(check):
    """Print todo or pass, and leave only the message of a mistake: a traceback through this file would show the answer."""
    @functools.wraps(check)
    def checked(function) -> None:
        __tracebackhide__ = True  # IPython and pytest leave this frame out
        try:
            check(function)
        except _Todo:
            print(f"todo  {function.__name__}: write it above, then run this cell again")
        except AssertionError as mistake:
            raise AssertionError(str(mistake)) from None
        else:
            print(f"pass  {function.__name__}")
    return checked


def _answer(function, *arguments):
    """What the student's function returns. Raises _Todo while it is a stub."""
    try:
        found = function(*copy.deepcopy(arguments))
    except NotImplementedError:
        raise _Todo from None
    except Exception as error:
        given = ", ".join(f"{type(a).__name__} of shape {tuple(a.shape)}" if isinstance(a, Tensor) else
                          "a function" if callable(a) else repr(a)[:80] for a in arguments)
        error.add_note(f"{function.__name__} was called with: {given}")
        raise
    _expect(found is not None, f"{function.__name__} returned nothing; end it with a return")
    return found


def _expect(right: bool, mistake: str) -> None:
    if not right:
        raise AssertionError(mistake)


def _near(a, b) -> bool:
    try:
        a, b = torch.as_tensor(a, dtype=torch.float32), torch.as_tensor(b, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):  # words, lists of words, dicts
        return type(a) is type(b) and a == b
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=1e-4, atol=1e-5))


def _shape(x) -> tuple | None:
    return tuple(x.shape) if isinstance(x, Tensor) else None


def _judge(function, arguments: tuple, right, mistakes: dict, otherwise: str) -> None:
    """mistakes: message -> what a function with this mistake returns; otherwise: the message for the rest."""
    found = _answer(function, *arguments)
    for mistake, wrong in mistakes.items():
        _expect(not _near(found, wrong), mistake)
    if isinstance(right, Tensor) and isinstance(found, Tensor):
        _expect(found.shape == right.shape, f"the shape is {tuple(found.shape)}; it must be {tuple(right.shape)}")
    _expect(_near(found, right), f"{otherwise}; yours gave {_short(found)}")


def _short(found) -> str:
    """What came back, in a few words."""
    if isinstance(found, Tensor) and found.is_floating_point():
        found = [round(x, 3) for x in found.detach().flatten().tolist()]
    text = str(found.tolist() if isinstance(found, Tensor) else found)
    return text if len(text) <= 60 else text[:57] + "..."


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---- 00 what CLIP does ----------------------------------------------------------------------------------


@_checker
def nearest(function) -> None:
    """Lesson 00: function(image (E,), texts (K, E)), of any length -> the row of the text with the largest cosine."""
    image, texts = torch.tensor([1.0, 2.0]), torch.tensor([[9.0, 0.0], [0.3, 0.7], [1.0, 1.2], [-5.0, -9.0]])
    cosines = F.normalize(texts, dim=-1) @ F.normalize(image, dim=-1)
    found = _answer(function, image, texts)
    _expect(_shape(found) in (None, ()) or found.numel() == 1, "one number is asked for, the place of the best text: argmax")
    _expect(not _near(found, cosines.max()), "this is the best cosine; the answer is its place, argmax")
    _expect(int(found) != 0, "text 0 wins only because it is long: divide vectors by their length before the dot product")
    _expect(int(found) != 3, "text 3 points the opposite way: the largest cosine is asked for, not the smallest")
    _expect(int(found) != 2, "text 2 is nearest on the paper, but its angle is larger than text 1's: cosines, not distances")
    _expect(int(found) == 1, f"{int(found)} is not the place of a text; there are 0 to 3")
    for seed in range(20):
        image, texts = _random(3, seed=seed), _random(6, 3, seed=99 - seed) * (_random(6, 1, seed=seed + 200).abs() + 0.1)
        right, answer = int(F.cosine_similarity(texts, image[None]).argmax()), int(function(image.clone(), texts.clone()))
        _expect(answer == right, f"right for the first example, wrong for another: it must be {right}, yours gave {answer}. Each "
                "row of texts is divided by the square root of its own sum of squares")


@_checker
def shares(function) -> None:
    """Lesson 00: function(cosines (K,), scale) -> probabilities (K,), the softmax of scale * cosines."""
    x, scale = torch.tensor([0.30, 0.25, -0.10]), 20.0
    _judge(function, (x, scale), (scale * x).softmax(0), {
        "nearly all the same: the scale is missing, softmax(scale * cosines)": x.softmax(0),
        "cosines were divided by the scale; multiply": (x / scale).softmax(0),
        "each was judged by itself (sigmoid), and they don't sum to 1: softmax": (scale * x).sigmoid(),
        "dividing by the sum leaves negative shares: exp comes first": x / x.sum(),
        "these are the logarithms: softmax, not log_softmax": (scale * x).log_softmax(0),
    }, "the numbers differ from softmax(scale * cosines)")


@_checker
def add_class(function) -> None:
    """Lesson 00: function(classifier (K, E), name (E,)) -> (K + 1, E), the new class last, of unit length."""
    old, new = F.normalize(_random(3, 4), dim=-1), torch.tensor([3.0, -4.0, 1.0, -2.0])
    unit = F.normalize(new, dim=-1)
    _judge(function, (old, new), torch.cat([old, unit[None]]), {
        "the new row is longer than the others and would win everything: give it length 1": torch.cat([old, new[None]]),
        "the new class stands first, and every old answer now has another number: append it": torch.cat([unit[None], old]),
        "a class was replaced; append the new one": torch.cat([old[:-1], unit[None]]),
        "the new class went into the others (+): it gets a row of its own": old + unit,
        "nothing was added": old,
        "the new row was divided by its sum, or by its largest number; divide by its length":
            torch.cat([old, (new / new.sum())[None]]),
        "the new row was divided by the sum of its sizes; divide by its length, the root of the sum of squares":
            torch.cat([old, (new / new.abs().sum())[None]]),
    }, "the old rows must stay as they are; the last row is the new name divided by its length, F.normalize(name, dim=-1)")


# ---- 01 tokens ------------------------------------------------------------------------------------------


@_checker
def count_pairs(function) -> None:
    """Lesson 01: function({word as a tuple of pieces: how often}) -> {pair of neighbours: how often}."""
    words = {("a", "b", "a", "b"): 2, ("b", "a"): 3}
    right = Counter({("a", "b"): 4, ("b", "a"): 5})
    found = _answer(function, words)
    _expect(isinstance(found, dict), f"a dict or a Counter is asked for, {{pair: count}}; this is a {type(found).__name__}")
    found = Counter({key: value for key, value in found.items() if value})
    once = [Counter({("a", "b"): n, ("b", "a"): 2}) for n in (1, 2)]
    _expect(found not in once, "each word was counted once; a pair counts as often as its word occurs")
    _expect(found != Counter({("a", "b"): 2, ("b", "a"): 5}), "abab holds ab twice: count every place, not every kind of pair")
    _expect(found != Counter({("a", "b"): 9}), "ab and ba were counted together: the order belongs to the pair")
    _expect(found != Counter({("a",): 7, ("b",): 7}) and found != Counter({"a": 7, "b": 7}), "single pieces were counted; two "
            "neighbours make a pair, zip(word, word[1:])")
    _expect(found.total() <= 9, f"there are 9 neighbours in these words, and {found.total()} were counted: the end of a word and "
            "the beginning of the next are no neighbours")
    _expect(found.total() == 9, f"there are 9 neighbours in these words, and {found.total()} were counted: add to what a pair "
            "has already, in this word and in others")
    _expect(found == right, f"{dict(found)} is not {dict(right)}")


@_checker
def merge(function) -> None:
    """Lesson 01: function([pieces], (left, right)) -> [pieces], each such pair joined, from left to right."""
    pieces, pair = ["a", "a", "a", "b", "a", "a"], ("a", "a")
    _judge(function, (pieces, pair), ["aa", "a", "b", "aa"], {
        "nothing was joined": pieces,
        "only the first pair was joined; go on to the end of the word": ["aa", "a", "b", "a", "a"],
        "a piece was used twice: after a joined pair move on by two": ["aa", "aa", "b", "aa"],
        "the pair stands beside its pieces: replace the two by the one": ["aa", "a", "a", "b", "aa", "a"],
        "it was read from the right; CLIP joins from the left": ["a", "aa", "b", "aa"],
        "the last piece is lost: look at i + 1 only while there is one": ["aa", "a", "b"],
    }, "aaabaa with the pair (a, a) must become ['aa', 'a', 'b', 'aa']")
    _expect(function(["x", "y", "x", "z"], ("x", "y")) == ["xy", "x", "z"], "right for (a, a), wrong for (x, y) in x y x z: "
            "compare both pieces with the pair")
    _expect(function(["ca", "t", "a", "t"], ("a", "t")) == ["ca", "t", "at"], "ca and t are not the pair (a, t): compare whole "
            "pieces, not their letters")


@_checker
def encode(function) -> None:
    """Lesson 01: function([pieces], [merges in the order of learning]) -> [pieces], the earliest merge that fits always first."""
    pieces, merges = list("abcd"), [("b", "c"), ("a", "b"), ("bc", "d"), ("a", "bcd")]
    _judge(function, (pieces, merges), ["abcd"], {
        "nothing was joined": pieces,
        "it stopped after one merge: go on until none fits": ["a", "bc", "d"],
        "the pair bc was learnt first, so it is joined first, wherever it stands": ["ab", "c", "d"],
    }, "abcd must become one piece here: bc first, then bcd, then abcd")
    _expect(function(list("abab"), [("a", "b"), ("ab", "ab")]) == ["abab"], "abab stays in pieces: a merge applies to every "
            "place where it fits")
    _expect(function(list("xabc"), [("b", "c"), ("x", "a"), ("a", "bc")]) == ["xa", "bc"], "xabc must become xa, bc: a + bc was "
            "learnt after x + a")
    _expect(function(["c", "a", "t."], [("a", "t."), ("c", "at.")]) == ["cat."], "pieces may be longer than a letter: c, a, t. "
            "with (a, t.) and (c, at.) must become cat.")
    _expect(function(["q"], merges) == ["q"], "a word of one piece comes back as it is")


# ---- 02 attention ---------------------------------------------------------------------------------------


@_checker
def attention(function) -> None:
    """Lesson 02: function(q, k, v), each (T, D) -> (T, D)."""
    q, k, v = (2 * _random(5, 4, seed=s) for s in range(3))
    scores = q @ k.t()
    _judge(function, (q, k, v), (scores / 2).softmax(-1) @ v, {
        "the scores were not divided by the square root of D": scores.softmax(-1) @ v,
        "the scores were divided by D; its square root keeps their spread at 1": (scores / 4).softmax(-1) @ v,
        "the scores were divided by the root of T, the number of tokens; D is the width": (scores / 5**0.5).softmax(-1) @ v,
        "the division comes too late: divide the scores, then take their softmax": scores.softmax(-1) / 2 @ v,
        "the softmax runs down the columns: each query shares out its own row, dim=-1": (scores / 2).softmax(0) @ v,
        "these are the weights (T, T): use them to mix the rows of v": (scores / 2).softmax(-1),
        "the softmax is missing: weights must sum to 1": scores / 2 @ v,
        "keys were mixed; the answer is made of values": (scores / 2).softmax(-1) @ k,
        "queries and keys changed places: row i belongs to query i": (scores.t() / 2).softmax(-1) @ v,
    }, "the numbers differ from softmax(q k^T / sqrt(D)) v")


@_checker
def causal(function) -> None:
    """Lesson 02: function(scores (T, T)) -> weights (T, T): row i shares itself out among 0 to i."""
    x = _random(4, 4)
    future = torch.ones(4, 4).triu(1).bool()
    shared = x.softmax(-1)
    _judge(function, (x,), x.masked_fill(future, -math.inf).softmax(-1), {
        "every token sees its future": shared,
        "the past is hidden and the future seen: the other triangle": x.masked_fill(future.t(), -math.inf).softmax(-1),
        "a score of 0 is no veto, exp(0) is 1: fill with minus infinity": x.masked_fill(future, 0).softmax(-1),
        "rows no longer sum to 1: hide before the softmax, not after": shared.masked_fill(future, 0),
        "these are scores still: softmax after hiding": x.masked_fill(future, -math.inf),
        "softmax along the rows, dim=-1": x.masked_fill(future, -math.inf).softmax(0),
    }, "row i must be a softmax over the places 0 to i; the first row is 1, 0, 0, 0 (a token sees itself)")


@_checker
def block(function) -> None:
    """Lesson 02: function(x, norm_1, attention, norm_2, mlp): x and four functions -> a pre-norm residual block."""
    x = _random(3, 4)
    n1, at, n2, mlp = (lambda t, m=m, b=b: m * t + b for m, b in ((2.0, 0.3), (3.0, -1.0), (0.5, 0.7), (5.0, 0.2)))
    a = x + at(n1(x))
    _judge(function, (x, n1, at, n2, mlp), a + mlp(n2(a)), {
        "the norms come after the sums (post-norm, as in 2017); CLIP normalises what goes into attention and mlp":
            n2(n1(x + at(x)) + mlp(n1(x + at(x)))),
        "the two x + are missing: without them nothing is carried past a layer": mlp(n2(at(n1(x)))),
        "the mlp saw x as it was before attention: give it the sum": a + mlp(n2(x)),
        "the second sum starts from the old x, so attention's answer is lost": x + mlp(n2(a)),
        "only attention's half is here; mlp comes next": a,
        "the norms changed places: norm_1 goes with attention, norm_2 with the mlp": x + at(n2(x)) + mlp(n1(x + at(n2(x)))),
        "the norms are missing": x + at(x) + mlp(x + at(x)),
    }, "it must be x + attention(norm_1(x)), then that + mlp(norm_2(that))")


# ---- 03 seeing ------------------------------------------------------------------------------------------


@_checker
def patchify(function) -> None:
    """Lesson 03: function(pixels (B, C, S, S), p) -> (B, P, C * p * p), patches row by row."""
    x, p = torch.arange(2 * 3 * 6 * 6.0).view(2, 3, 6, 6), 2
    parts = x.reshape(2, 3, 3, 2, 3, 2)  # B C gy py gx px
    right = parts.permute(0, 2, 4, 1, 3, 5).reshape(2, 9, 12)
    _judge(function, (x, p), right, {
        "reshape alone cuts strips of pixels: split both sides, then permute": x.reshape(2, 9, 12),
        "patches come column by column; the second must be to the right of the first":
            parts.permute(0, 4, 2, 1, 3, 5).reshape(2, 9, 12),
        "inside a patch colours come last; CLIP's conv1 has (colour, row, column)":
            parts.permute(0, 2, 4, 3, 5, 1).reshape(2, 9, 12),
        "each patch lies on its side: inside a patch its rows come first, then its columns":
            parts.permute(0, 2, 4, 1, 5, 3).reshape(2, 9, 12),
        "the grid is still two axes: flatten it, (B, P, ...)": parts.permute(0, 2, 4, 1, 3, 5).reshape(2, 3, 3, 12),
    }, "patch 0 must hold the upper left corner of every colour, patch 1 the one to its right")


@_checker
def add_class_token(function) -> None:
    """Lesson 03: function(patches (B, P, W), cls (W,), positions (P + 1, W)) -> (B, P + 1, W)."""
    patches, cls, positions = _random(2, 4, 3), _random(3, seed=1), _random(5, 3, seed=2)
    rows = cls.expand(2, 1, 3)
    _judge(function, (patches, cls, positions), torch.cat([rows, patches], 1) + positions, {
        "the class token stands last; CLIP reads its answer at place 0": torch.cat([patches, rows], 1) + positions,
        "positions are missing: without them a picture is a bag of patches": torch.cat([rows, patches], 1),
        "only patches got a position; the class token has the first one": torch.cat([rows, patches + positions[1:]], 1),
        "the class token was added to every patch; it is a token of its own, cat": patches + cls + positions[1:],
        "the class token has the last position; it has the first": torch.cat([rows + positions[-1], patches + positions[:-1]], 1),
        "there is no class token": patches + positions[1:],
    }, "it must be cat([cls, patches]) along the tokens, plus positions")


@_checker
def attention_pool(function) -> None:
    """Lesson 03: function(cells (P, W)) -> (W,): the cells weighed by softmax(mean . cell / sqrt(W))."""
    x = 3 * _random(6, 4)
    mean = x.mean(0)
    scores = x @ mean
    _judge(function, (x,), (scores / 2).softmax(0) @ x, {
        "this is the plain mean: every cell weighs the same": mean,
        "this is the largest of each column (max pooling)": x.amax(0),
        "scores were not divided by the square root of W": scores.softmax(0) @ x,
        "weights must sum to 1: the softmax is missing": scores / 2 @ x,
        "these are the weights (P,): mix the cells with them": (scores / 2).softmax(0),
        "only the best cell was kept; a softmax lets all have a share": x[scores.argmax()],
        "the division comes too late: divide the scores, then take their softmax": scores.softmax(0) / 2 @ x,
        "the mean itself was weighed too; that comes in the package's layer, here only the cells answer":
            (torch.cat([mean[None], x]) @ mean / 2).softmax(0) @ torch.cat([mean[None], x]),
    }, "it must be softmax(cells @ mean / sqrt(W)) @ cells")


# ---- 04 reading -----------------------------------------------------------------------------------------

_END = 7  # in the exercises of this lesson; padding is the same id, as in CLIP


@_checker
def end_positions(function) -> None:
    """Lesson 04: function(ids (B, T), end) -> (B,), the place of the first end token of each row."""
    ids = torch.tensor([[1, 4, 9, _END, _END, _END], [1, _END, _END, _END, _END, _END], [1, 2, 3, 4, 5, _END]])
    _judge(function, (ids, _END), torch.tensor([3, 1, 5]), {
        "this is the place of the largest id. It works in OpenAI's vocabulary, where the end token is the largest; here 9 is":
            ids.argmax(1),
        "this is the last end token, and the last ones are padding: the first counts": torch.tensor([5, 5, 5]),
        "one too far to the left: the end token itself is read, not the word before it": torch.tensor([2, 0, 4]),
        "this counts how many there are": (ids == _END).sum(1),
        "the table (ids == end) is a good beginning: where is its first True?": (ids == _END),
    }, "for rows whose first end tokens stand at 3, 1 and 5 it must be tensor([3, 1, 5])")


@_checker
def pool_at_end(function) -> None:
    """Lesson 04: function(states (B, T, W), ends (B,)) -> (B, W), each row's state at its own end."""
    x, ends = _random(3, 5, 2), torch.tensor([2, 4, 1])
    _judge(function, (x, ends), x[torch.arange(3), ends], {
        "every row at every end, (B, B, W): index the rows too, torch.arange(B)": x[:, ends],
        "the last place is padding for short captions": x[:, -1],
        "the first token has seen nothing but itself: a causal tower is read at the end": x[:, 0],
        "the mean over all places; CLIP reads one": x.mean(1),
        "the end of the first row was used for all": x[:, 2],
    }, "row b must be states[b, ends[b]]")


@_checker
def bag(function) -> None:
    """Lesson 04: function(vectors (T, W), ids (T,), end) -> (W,), the mean of what stands before the first end token."""
    x, ids = _random(6, 4), torch.tensor([1, 4, 9, _END, _END, _END])
    _judge(function, (x, ids, _END), x[:3].mean(0), {
        "padding is in the mean: long and short captions then differ by their padding": x.mean(0),
        "the end token is in the mean": x[:4].mean(0),
        "the place of the largest id was taken for the end; here another id is larger": x[:2].mean(0),
        "all but the last place: there is more than one token of padding": x[:-1].mean(0),
        "one number a token: the mean is over the tokens, dim=0": x[:3].mean(1),
        "a sum grows with the caption: take the mean": x[:3].sum(0),
        "divided by T, not by the number of words": x[:3].sum(0) / 6,
        "the start token is left out; it stays in, so that an empty caption has something": x[1:3].mean(0),
        "these rows are the right ones; take their mean": x[:3],
    }, "it must be the mean of the rows before the first end token")


# ---- 05 the loss ----------------------------------------------------------------------------------------


@_checker
def normalise(function) -> None:
    """Lesson 05: function(features (N, E)) -> rows of length 1."""
    x = 3 * _random(5, 7)
    found = _answer(function, x)
    _expect(isinstance(found, Tensor), f"this is a {type(found).__name__}; return a tensor")
    _expect(_shape(found) == x.shape, f"the shape is {_shape(found)}, not {tuple(x.shape)}: "
            "a row goes in, a row of the same width comes out")
    _expect(not _near(found, x), "nothing changed: rows still have their own lengths")
    _expect(not _near(found, F.normalize(x, dim=0)), "columns have length 1, rows have not: a vector is a row, take the length "
            "along dim=-1")
    _expect(not _near(found, x / x.norm()), "every number was divided by one length, that of the whole matrix; each row has "
            "its own")
    _expect(not _near(found, x / x.sum(-1, keepdim=True)), "rows sum to 1, but their length is not 1: divide by the square root "
            "of the sum of squares")
    _expect(not _near(found, x / x.square().sum(-1, keepdim=True)), "long rows became short ones: divide by the length, not by "
            "its square; a square root is missing")
    _expect(_near(found.norm(dim=-1), torch.ones(5)), f"rows have lengths like {found[0].norm():.2f}; they must be 1")
    _expect(_near(found, F.normalize(x, dim=-1)), "rows have length 1 but point elsewhere: only divide, change nothing else")


@_checker
def logits(function) -> None:
    """Lesson 05: function(image (N, E), text (M, E), scale) -> scaled cosines (N, M), a row for each picture."""
    image, text, scale = F.normalize(_random(3, 4), dim=-1), F.normalize(_random(5, 4, seed=1), dim=-1), 7.0
    right = scale * image @ text.t()
    _judge(function, (image, text, scale), right, {
        "rows are texts: pictures come first, image @ text.t()": right.t(),
        "these are plain cosines: multiply them by scale": right / scale,
        "cosines were divided by scale: it is one over the temperature already, multiply": right / scale**2,
        "rows sum to 1: the softmax belongs to the loss, return what goes into it": right.softmax(dim=1),
    }, "the numbers differ from scale * image @ text.t()")


@_checker
def clip_loss(function) -> None:
    """Lesson 05: function(logits (N, N)) -> the symmetric loss, one number."""
    x = 2 * _random(6, 6) + 3 * torch.eye(6)
    found = _answer(function, x.clone().requires_grad_())
    _expect(isinstance(found, Tensor) and found.requires_grad, "this is a plain number: a loss must stay a tensor, or no "
            "gradient comes out of it (no .item(), no float())")
    found = found.detach()
    target = torch.arange(6)
    rows, columns = F.cross_entropy(x, target), F.cross_entropy(x.t(), target)
    right = (rows + columns) / 2
    _expect(torch.as_tensor(found).numel() == 1, f"{torch.as_tensor(found).numel()} numbers came back: the loss is one, a mean")
    _expect(not _near(found, rows), "only rows were asked, which text fits a picture; ask the columns too, with logits.t()")
    _expect(not _near(found, columns), "only columns were asked, which picture fits a text; ask the rows too")
    _expect(not _near(found, rows + columns), "the two directions were added: take their mean")
    _expect(not _near(found, 6 * right), "the pairs were added: take the mean over them (cross_entropy's default)")
    _expect(not _near(found, (F.cross_entropy(x, x.argmax(1)) + F.cross_entropy(x.t(), x.t().argmax(1))) / 2),
            "the targets are the model's own guesses, so it agrees with itself for nothing: pair i belongs to i, torch.arange(N)")
    _expect(not _near(found, -right), "the sign is wrong: a loss falls when the right pair becomes more probable")
    _expect(_near(found, right), f"{float(found):.4f} is not {float(right):.4f}: cross entropy of the rows and of the columns, "
            "target i for row i, and their mean")
    unit = F.normalize(_random(4, 8, seed=3), dim=-1)
    _expect(_near(function(5 * unit @ unit.t()), loss.clip_loss(unit, unit, torch.tensor(5.0))), "it holds for six pairs only: "
            "read N from the shape")


@_checker
def scale_of(function) -> None:
    """Lesson 05: function(logit_scale) -> exp of it, at most 100."""
    start = torch.tensor(1 / 0.07).log()
    found = _answer(function, start)
    _expect(not _near(found, start), "the parameter itself came back: it is a logarithm, take exp")
    _expect(not _near(found, 0.07), "this is the temperature, 0.07: the scale is one over it")
    _expect(_near(found, 1 / 0.07), f"for ln(1 / 0.07) it is {float(found):.3f}; exp gives {1 / 0.07:.3f}")
    large = function(torch.tensor(9.0))
    _expect(not _near(large, torch.tensor(9.0).exp()), "exp(9) is 8103: CLIP never lets the scale above 100, clamp it")
    _expect(_near(large, 100.0), f"for 9 it is {float(large):.1f}; the most is 100, after exp, not before")


# ---- 06 training ----------------------------------------------------------------------------------------


@_checker
def learning_rate(function) -> None:
    """Lesson 06: function(step, total, warmup, peak) -> the rate: a line up to peak, then half a cosine down to 0."""
    def curve(rate):
        return torch.tensor([float(rate(step)) for step in range(101)])

    def cosine(done):
        return 0.5 * (1 + math.cos(math.pi * done))

    def right(s):
        return 2 * (s + 1) / 20 if s < 20 else 2 * cosine((s - 20) / 80)

    _answer(function, 50, 100, 20, 2.0)
    found = curve(lambda s: function(s, 100, 20, 2.0))
    for mistake, wrong in {
        "the warm-up is missing: the first steps are made with the full rate": lambda s: 2 * cosine(max(0, s - 20) / 80),
        "there is no decay: after the warm-up it stays at the peak": lambda s: min(2, 2 * (s + 1) / 20),
        "it falls in a straight line; half a cosine falls slowly, fast, slowly":
            lambda s: right(s) if s < 20 else 2 * (100 - s) / 80,
        "a whole cosine falls below 0: half of one, 0.5 * (1 + cos)":
            lambda s: right(s) if s < 20 else 2 * math.cos(math.pi * (s - 20) / 80),
        "the cosine began at step 0, so it jumps after the warm-up": lambda s: right(s) if s < 20 else 2 * cosine(s / 100),
        "the peak is forgotten: the highest rate is 1, not peak": lambda s: right(s) / 2,
        "step warmup belongs to the cosine: step < warmup, or the rate goes above the peak":
            lambda s: 2.1 if s == 20 else right(s),
    }.items():
        _expect(not _near(found, curve(wrong)), mistake)
    _expect(abs(found[0]) > 1e-9, "the first rate is 0, so the first step changes nothing: count from 1, (step + 1) / warmup")
    bad = int((found - curve(right)).abs().argmax())
    _expect(_near(found, curve(right)), f"with total 100, warmup 20, peak 2 the rate at step {bad} is {found[bad]:.4f}, "
            f"and should be {right(bad):.4f}")


@_checker
def targets_of(function) -> None:
    """Lesson 06: function(groups (N,)) -> (N, N): row i shares 1 among all pairs of i's group."""
    groups = torch.tensor([4, 4, 9, 4, 2])
    same = (groups[:, None] == groups[None, :]).float()
    others = same - torch.eye(5)
    _judge(function, (groups,), same / same.sum(1, keepdim=True), {
        "copies are punished: this is right only when all captions differ": torch.eye(5),
        "rows sum to how many copies there are; a target is a probability, divide": same,
        "divided by N, not by the number of copies": same / 5,
        "the pair itself is left out; it is right as well": others / others.sum(1, keepdim=True).clamp(min=1),
        "this is where captions differ": 1 - same,
    }, "row i must be 1 / copies wherever groups are equal, else 0")


@_checker
def verdict(function) -> None:
    """Lesson 06: function(first, last, batch) -> "sure and wrong", "knows nothing" or "learning"."""
    words = ("sure and wrong", "knows nothing", "learning")
    _answer(function, 4.9, 1.0, 128)
    for first, last, batch, right, why in (
        (4.9, 4.84, 128, "knows nothing", "128 pairs: 0.99 ln N is 4.80 (math.log), and the last loss, 4.84, is above it"),
        (4.2, 2.1, 64, "learning", "64 pairs: ln N is 4.16, the loss fell to 2.1"),
        (31.0, 29.0, 128, "sure and wrong", "it starts at 31, more than twice ln 128"),
        (4.2, 3.4, 32, "learning", "32 pairs: ln N is 3.47, so 3.4 is below 0.99 ln N: slow, but learning"),
        (4.3, 3.46, 32, "knows nothing", "ln 32 is 3.47, not log2 and not log10"),
        (9.0, 1.2, 16, "sure and wrong", "it starts at three times ln 16; a start this high is broken even where the loss falls"),
        (6.3, 4.0, 512, "learning", "ln 512 is 6.24: N is the batch, it isn't always 128"),
    ):
        found = function(first, last, batch)
        _expect(found in words, f"{found!r} is none of {words}")
        _expect(found == right, f"verdict({first}, {last}, {batch}) is {found!r}; {why}: {right!r}")


# ---- 07 prompts -----------------------------------------------------------------------------------------


@_checker
def class_vector(function) -> None:
    """Lesson 07: function(vectors (M, E)): unit vectors of one class in M templates -> (E,), their mean, of unit length."""
    x = F.normalize(_random(4, 5), dim=-1)
    _judge(function, (x,), F.normalize(x.mean(0), dim=-1), {
        "the mean of unit vectors is shorter than 1: classes that their templates agree on would win. Normalise it": x.mean(0),
        "a sum, and of no unit length": x.sum(0),
        "only the first template was used": x[0],
        "rows are templates; the mean over dim=0 leaves one vector of the class": x.mean(1),
        "nothing was averaged": x,
    }, "it must be the mean over the templates (dim=0), divided by its own length")


@_checker
def average_probabilities(function) -> None:
    """Lesson 07: function(cosines (M, K), scale): of M templates -> (K,), the mean of their softmaxes."""
    x, scale = 0.3 * _random(3, 4), 30.0
    _judge(function, (x, scale), (scale * x).softmax(1).mean(0), {
        "cosines were averaged and then shared out: that is ensembling before the softmax, the other way":
            (scale * x.mean(0)).softmax(0),
        "the softmax ran over templates: each template shares 1 among the classes, dim=1": (scale * x).softmax(0).mean(0),
        "the scale is missing": x.softmax(1).mean(0),
        "a sum over templates; the shares must sum to 1": (scale * x).softmax(1).sum(0),
        "one row for each template still: take their mean": (scale * x).softmax(1),
    }, "it must be the mean over templates of softmax(scale * cosines)")


@_checker
def calibration_error(function) -> None:
    """Lesson 07: function(confidence (N,), right (N,) bool, bins) -> the expected calibration error."""
    sure = torch.tensor([0.05, 0.15, 0.15, 0.95, 0.95, 0.95, 0.95, 0.65])
    right = torch.tensor([False, False, True, True, True, False, True, False])
    gaps = torch.tensor([0.05, 0.35, 0.20, 0.65])
    signed = torch.tensor([-0.05, 0.35, -0.20, -0.65])
    counts = torch.tensor([1.0, 2.0, 4.0, 1.0])
    _judge(function, (sure, right, 10), (gaps * counts).sum() / 8, {
        "every bin counts the same; weigh each by how many answers it holds": gaps.mean(),
        "one gap over all answers, where too sure and not sure enough cancel: bins first":
            abs(sure.mean() - right.float().mean()),
        "the sign is still there: take the absolute value of each gap": (signed * counts).sum() / 8,
        "this is the largest gap, the maximum calibration error": gaps.max(),
        "a sum over bins: divide by the number of answers": (gaps * counts).sum(),
        "this is the distance of each answer from its own confidence (no bins)": (sure - right.float()).abs().mean(),
        "with equally many answers in each bin it is another measure: bins have equal width, (confidence * bins).long()":
            torch.stack([(sure[rows].mean() - right[rows].float().mean()).abs() for rows in sure.argsort().chunk(4)]).mean(),
    }, "for each bin that is not empty: |mean confidence - share right| times the share of answers in it; then the sum")
    sure = _random(40).sigmoid().where(torch.arange(40) > 5, torch.ones(()))
    hit = _random(40, seed=1) > 0
    found = function(sure.clone(), hit.clone(), 7)
    _expect(not _near(found, reliability(sure, hit, 10).ece), "there are always ten bins: use the argument")
    _expect(not _near(found, reliability(sure[6:], hit[6:], 7).ece * 34 / 40),
            "answers of confidence 1.0 are lost: they belong to the last bin")
    _expect(_near(found, reliability(sure, hit, 7).ece), f"right for the first example; for 40 answers in 7 bins it must be "
            f"{reliability(sure, hit, 7).ece:.4f}, yours gave {float(found):.4f}. Bins go from 0 to 1, and mean confidence is "
            "that of the answers in the bin, not its middle")


# ---- 08 full weights ------------------------------------------------------------------------------------


@_checker
def quick_gelu(function) -> None:
    """Lesson 08: function(x) -> x * sigmoid(1.702 x), entry by entry."""
    x = torch.linspace(-4, 4, 17)
    _judge(function, (x,), x * (1.702 * x).sigmoid(), {
        "this is the exact GELU. Near, and wrong: small differences grow over 24 layers": F.gelu(x),
        "this is GELU's tanh approximation, GPT-2's": F.gelu(x, approximate="tanh"),
        "this is SiLU, without the 1.702": F.silu(x),
        "the factor stands outside too: 1.702 belongs into the sigmoid only": F.silu(1.702 * x),
        "this is the gate alone: multiply it by x": (1.702 * x).sigmoid(),
        "this is ReLU": x.relu(),
    }, "it must be x * sigmoid(1.702 * x)")


@_checker
def split_qkv(function) -> None:
    """Lesson 08: function(in_proj_weight (3W, W)) -> the three matrices q, k, v, each (W, W)."""
    x = torch.arange(48.0).view(12, 4)
    found = _answer(function, x)
    _expect(isinstance(found, (tuple, list)) and len(found) == 3, "three matrices are asked for: return q, k, v")
    found = torch.stack([torch.as_tensor(part) for part in found]) if len({_shape(p) for p in found}) == 1 else torch.zeros(0)
    q, k, v = x.chunk(3)
    for mistake, wrong in {
        "the order is q, v, k; CLIP has v last": torch.stack([q, v, k]),
        "columns were cut; the three matrices lie above one another, dim=0": x.t().reshape(3, 4, 4).transpose(1, 2),
        "every third row was taken; q, k and v are blocks of W rows": torch.stack([x[0::3], x[1::3], x[2::3]]),
        "the order is k, q, v; CLIP has q first": torch.stack([k, q, v]),
        "the order is v, k, q; CLIP has q first, v last": torch.stack([v, k, q]),
        "each is transposed: F.linear takes (out, in) as it is": torch.stack([q.t(), k.t(), v.t()]),
    }.items():
        _expect(not _near(found, wrong), mistake)
    _expect(_near(found, torch.stack([q, k, v])), f"three matrices of (4, 4) are asked for, rows 0-3, 4-7 and 8-11; these are "
            f"{tuple(found.shape)}")
    _expect(all(_near(part, own) for part, own in zip(function(x[:6, :2]), x[:6, :2].chunk(3), strict=True)), "right for "
            "(12, 4), wrong for (6, 2): a third of the rows each")


@_checker
def compare_keys(function) -> None:
    """Lesson 08: function(model's names, file's names), two sets -> (missing, left over), two sorted lists."""
    model, file = {"conv1.weight", "proj", "ln_post.bias"}, {"conv1.weight", "projj", "ln_post.bias", "position_ids"}
    missing, extra = ["proj"], ["position_ids", "projj"]
    found = _answer(function, model, file)
    _expect(isinstance(found, tuple) and len(found) == 2, "return two lists: missing, left_over")
    _expect(not any(isinstance(part, set) for part in found), "sets have no order: sorted(...) makes lists of them")
    _expect(found != (extra, missing), "the two changed places: missing is what the model needs and the file lacks")
    _expect(found != (["conv1.weight", "ln_post.bias"],) * 2, "these are the names they share; what differs is asked for")
    _expect(found != (sorted(missing + extra),) * 2, "one heap of all differences: a missing name and a "
            "left-over one need different cures")
    _expect(found != (1, 2), "these are counts; the names are what helps")
    _expect(found != (missing, []), "names that the file has too many were not looked for: a typo shows on both sides")
    _expect(found[1] != extra[::-1] or found == (missing, extra), "sort the names, so that "
            "a message reads the same each time")
    _expect(found == (missing, extra), f"{found} is not {(missing, extra)}")


# ---- 09 seeing inside -----------------------------------------------------------------------------------


@_checker
def similarity_map(function) -> None:
    """Lesson 09: function(patches (P, E), text (E,)) -> (g, g) cosines, P = g * g, row by row."""
    x, text = _random(9, 4), 2 * _random(4, seed=1)
    dots = x @ text
    right = F.cosine_similarity(x, text[None]).view(3, 3)
    _judge(function, (x, text), right, {
        "dot products of vectors with their own lengths: normalise both": dots.view(3, 3),
        "the text has length 1, the patches have not": (x @ F.normalize(text, dim=0)).view(3, 3),
        "the patches have length 1, the text has not": (F.normalize(x, dim=-1) @ text).view(3, 3),
        "the map is lying on its side: patches come row by row, view(g, g) without a transpose": right.t(),
        "still one long row of cosines: view(g, g)": right.flatten(),
        "the cells share out 1 (softmax); the map is of plain cosines": right.flatten().softmax(0).view(3, 3),
    }, "cell (y, x) must be the cosine of patch 3 y + x with the text")
    _expect(_shape(function(_random(16, 4), text)) == (4, 4), "16 patches are a grid of (4, 4): the "
            "side is the square root of P")


@_checker
def iou(function) -> None:
    """Lesson 09: function(map_ (h, w), mask (h, w) bool, threshold) -> intersection over union of map_ > threshold and mask."""
    map_ = torch.tensor([[0.9, 0.8, 0.1], [0.7, 0.5, 0.1], [0.8, 0.6, 0.1]])
    mask = torch.tensor([[True, True, True], [False, False, False], [False, False, False]])
    _judge(function, (map_, mask, 0.5), torch.tensor(2 / 6), {
        "this is the share of the mask that is found (recall): a map that is bright everywhere would get 1": torch.tensor(2 / 3),
        "this is the share of the bright pixels that are right (precision): one bright pixel could get 1": torch.tensor(2 / 5),
        "this is twice the intersection over the sum of both (Dice): near, and larger": torch.tensor(4 / 8),
        "this is the share of pixels that agree: an empty map scores well where things are small": torch.tensor(5 / 9),
        "this counts the intersection": torch.tensor(2.0),
        "dark and bright changed places: map_ > threshold": torch.tensor(1 / 5),
        "a cell that equals the threshold is not bright: > and not >=": torch.tensor(2 / 7),
        "divided by the sum of both, where the overlap counts twice; the union counts it once": torch.tensor(2 / 8),
        "divided by all pixels": torch.tensor(2 / 9),
    }, "intersection / union is 2 / 6 here")
    _expect(_near(function(map_, mask, 0.75), torch.tensor(2 / 4)), "the threshold is not used: with 0.75 it is 2 / 4")


@_checker
def occlusion(function) -> None:
    """Lesson 09: function(image (C, S, S), score, side) -> (g, g): how much score falls when a square is covered with 0."""
    image, weights = _random(3, 6, 6).abs() + 1, _random(3, 6, 6, seed=1)
    def score(picture):
        return (picture * weights).sum()

    right = torch.stack([torch.stack([(image * weights)[:, y:y + 2, x:x + 2].sum() for x in (0, 2, 4)]) for y in (0, 2, 4)])
    total = score(image)
    _judge(function, (image, score, 2), right, {
        "the sign is turned: what matters makes the score fall, before - after": -right,
        "this is the score after covering; the fall is asked for": total - right,
        "the map is lying on its side: rows are y": right.t(),
        "squares stay covered: start each time from a fresh copy, image.clone()": right.flatten().cumsum(0).view(3, 3),
        "only one colour was covered: all channels, image[:, y:y + side, x:x + side]": torch.stack([torch.stack([
            (image * weights)[0, y:y + 2, x:x + 2].sum() for x in (0, 2, 4)]) for y in (0, 2, 4)]),
        "squares overlap: cell (y, x) begins at y * side, x * side": torch.stack([torch.stack([
            (image * weights)[:, y:y + 2, x:x + 2].sum() for x in range(3)]) for y in range(3)]),
        "a rise is something to know as well: leave the sign (no abs)": right.abs(),
        "a rise is something to know as well: leave it below 0 (no clamp)": right.clamp(min=0),
    }, "cell (y, x) must be score(image) - score(image with that square at 0)")
    _expect(_shape(function(image, score, 3)) == (2, 2), "a side of 3 in a picture of 6 makes a grid of (2, 2): S // side")


# ---- 10 the map -----------------------------------------------------------------------------------------


@_checker
def modality_gap(function) -> None:
    """Lesson 10: function(images (N, E), texts (M, E)), unit vectors -> the distance of their means."""
    a, b = F.normalize(_random(5, 4) + 1, dim=-1), F.normalize(_random(7, 4, seed=1) - 1, dim=-1)
    gap = a.mean(0) - b.mean(0)
    _judge(function, (a, b), gap.norm(), {
        "this is the squared distance: a square root is missing": gap.square().sum(),
        "the mean distance of pairs: it is large even without a gap": torch.cdist(a, b).mean(),
        "this is the vector between the means; its length is asked for": gap,
        "the cosine of the two means; the distance is asked for": F.cosine_similarity(a.mean(0), b.mean(0), dim=0),
        "the means were scaled to length 1: leave them as short as they are":
            (F.normalize(a.mean(0), dim=0) - F.normalize(b.mean(0), dim=0)).norm(),
    }, "it must be the length of mean(images) - mean(texts)")


@_checker
def pca(function) -> None:
    """Lesson 10: function(x (N, E)) -> (N, 2), the two directions of largest spread; either sign."""
    x = _random(12, 5) * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.1]) + 4
    centred = x - x.mean(0)

    def along(t, rows):  # without the sign
        return (t @ torch.linalg.svd(t, full_matrices=False)[2][rows].t()).abs()

    found = _answer(function, x)
    _expect(isinstance(found, Tensor), f"this is a {type(found).__name__}; return a tensor")
    _expect(_shape(found) != (2, 5), "these are the two directions (2, E): the points' places along them are asked for")
    _expect(_shape(found) == (12, 2), f"the shape is {_shape(found)}; 12 points in a plane are (12, 2)")
    found = found.abs()
    _expect(not _near(found, along(x, [0, 1])), "the first direction points from 0 to the middle of the cloud: take the "
            "mean away first")
    _expect(not _near(found, along(centred, [3, 4])), "the two directions of smallest spread: svd sorts from the largest")
    _expect(not _near(found, (x @ torch.linalg.svd(centred, full_matrices=False)[2][[0, 1]].t()).abs()), "the directions are "
            "right, but the points themselves must be centred too before they are projected")
    _expect(not _near(found, along(centred, [1, 0])), "the widest direction comes first: the two columns changed places")
    _expect(not _near(found, centred[:, :2].abs()), "the first two columns are no principal directions")
    _expect(not _near(found, torch.linalg.svd(centred, full_matrices=False)[0][:, :2].abs()), "the columns of U have lost their "
            "spread: multiply by the singular values, or project, centred @ directions.t()")
    _expect(_near(found, along(centred, [0, 1])), "the places must be centred @ directions[:2].t(), directions from svd")


@_checker
def kept_neighbours(function) -> None:
    """Lesson 10: function(high (N, E), low (N, 2), k) -> the mean share of each point's k nearest (by distance) that stay."""
    high, low, k = _random(40, 5), _random(40, 2, seed=1), 5

    def near(x, first, last, **how):
        return [set(row.argsort(**how)[first:last].tolist()) for row in torch.cdist(x, x)]

    def share(a, b, size):
        return sum(len(p & q) for p, q in zip(a, b, strict=True)) / len(a) / size

    right = share(near(high, 1, k + 1), near(low, 1, k + 1), k)
    _judge(function, (high, low, k), torch.tensor(right), {
        "each point was counted as its own neighbour, which is always kept: leave it out": torch.tensor(
            share(near(high, 0, k), near(low, 0, k), k)),
        "the point itself takes one of the k places: k + 1 nearest, less itself": torch.tensor(
            share(near(high, 1, k), near(low, 1, k), k)),
        "the farthest were compared": torch.tensor(share(near(high, 0, k, descending=True), near(low, 0, k, descending=True), k)),
        "this counts neighbours; divide by k": torch.tensor(right * k),
        "a sum over points: take their mean": torch.tensor(right * 40),
        "a percentage; a share is asked for, from 0 to 1": torch.tensor(100 * right),
    }, f"for these forty points and k = 5 it must be {right:.4f} (distances, not cosines; sets, not places)")
    _expect(_near(function(high, high, k), torch.tensor(1.0)), "a map that is the space itself keeps all: 1")


# ---- 11 probes ------------------------------------------------------------------------------------------


@_checker
def few(function) -> None:
    """Lesson 11: function(labels (N,), k) -> a sorted list: the first k places of each class."""
    labels = torch.tensor([2, 0, 0, 1, 2, 2, 0, 1, 1])
    found = _answer(function, labels, 2)
    found = [int(i) for i in found]
    _expect(found != [0, 1], "the first k of all: k of each class are asked for")
    _expect(found != [labels[i].item() for i in (0, 1, 2, 3, 4, 7)], "these are labels; the places of the rows are asked for")
    _expect(len(set(found)) == len(found), "a place occurs twice")
    _expect(len(found) == 6, f"{len(found)} places came back; 2 of each of 3 classes are 6 (a tensor is no good key "
            "for a dict: labels.tolist())")
    _expect(found != [5, 2, 3, 8, 4, 6], "the last ones of each class")
    _expect(sorted(found) != [0, 1, 2, 3, 4, 7] or found == [0, 1, 2, 3, 4, 7], "the right places, but not sorted")
    _expect(found == [0, 1, 2, 3, 4, 7], f"{found} is not [0, 1, 2, 3, 4, 7], the first two places of each class")
    _expect([int(i) for i in function(torch.tensor([7, 7, 3, 7]), 2)] == [0, 1, 2], "labels 7, 7, 3, 7 with k = 2 must give 0, "
            "1, 2: labels need not begin at 0, and a class with fewer than k gives all it has")


@_checker
def crossover(function) -> None:
    """Lesson 11: function(ks, accuracies, zero_shot) -> the least k whose probe is at least as good; math.inf for none."""
    ks, scores = [1, 2, 4, 8, 16], [0.30, 0.45, 0.61, 0.55, 0.72]
    found = _answer(function, ks, scores, 0.6)
    _expect(found != 2, "2 is the place in the list, or the k before; the first k that is good enough is asked for")
    _expect(not _near(found, 0.61), "this is the accuracy there; k is asked for")
    _expect(found != 16, "from k = 16 on it stays better; the first k that is at least as good is asked for")
    _expect(found != 1, "at k = 1 the probe is worse: at least as good as zero-shot")
    _expect(found == 4, f"{found} is not 4, the first k whose accuracy is at least 0.6")
    _expect(function([1, 2], [0.5, 0.6], 0.6) == 2, "equal is enough: at least as good")
    _expect(function(ks, scores, 0.9) == math.inf, "where the probe never gets there, say math.inf")


@_checker
def conse(function) -> None:
    """Lesson 11: function(probabilities (K,), words (K, E), top) -> (E,): the top classes' words, weighed, of unit length."""
    p, words = torch.tensor([0.05, 0.5, 0.3, 0.15]), _random(4, 5)

    def unit(weights):
        return F.normalize(weights @ words, dim=-1)

    _judge(function, (p, words, 2), unit(torch.tensor([0, 0.5, 0.3, 0])), {
        "only the first class was used: that is the supervised answer, and new things are between classes": words[1],
        "all classes were mixed; the many improbable ones pull to the middle: only the top": unit(p),
        "the top classes count the same: weigh each with its probability": unit(torch.tensor([0, 1.0, 1.0, 0])),
        "the least probable classes were mixed": unit(torch.tensor([0.05, 0, 0, 0.15])),
        "it is not of unit length": torch.tensor([0, 0.5, 0.3, 0]) @ words,
        "words were brought to length 1 first; only the sum is": F.normalize(
            torch.tensor([0, 0.5, 0.3, 0]) @ F.normalize(words, dim=-1), dim=-1),
    }, "it must be the sum of probability * word over the top classes, scaled to length 1")
