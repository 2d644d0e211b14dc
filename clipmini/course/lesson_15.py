"""The checkers of lesson 15: in the browser."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.course.base import checker, expect, is_near, judge, randn, say


def _gap(ours: Tensor, theirs: Tensor) -> tuple[float, list[int]]:
    gap = (ours.double() - theirs.double()).abs()
    return gap.max().item(), [int(i) for i in torch.unravel_index(gap.argmax(), gap.shape)]


def _two_readings(seed: int) -> tuple[Tensor, Tensor]:
    shape = ((2, 5), (3, 4, 2), (6,), (2, 3, 4))[seed % 4]
    ours = (40 * randn(*shape, seed=seed)).round()
    theirs = ours + (2 * randn(*shape, seed=seed + 40)).round()
    place = (7 * seed + 3) % ours.numel()
    theirs.view(-1)[place] = ours.view(-1)[place] + (30 + seed) * (1 if seed % 3 else -1)
    if seed % 2:
        return (ours + 128).clamp(50, 205).byte(), (theirs - ours + (ours + 128).clamp(50, 205)).byte()
    return ours / 100, theirs / 100


@checker(right=_gap, cases=_two_readings)
def largest_gap(function) -> None:
    """Lesson 15: function(ours, theirs), two tensors of one shape -> (the largest distance of two numbers at the same
    place, that place as a list of indices).
    """
    ours = torch.tensor([[10, 20, 30], [40, 50, 60]], dtype=torch.uint8)
    theirs = torch.tensor([[10, 20, 26], [49, 50, 60]], dtype=torch.uint8)
    found = function(ours, theirs)
    expect(isinstance(found, (tuple, list)) and len(found) == 2, "two things are asked for: return gap, place")
    expect(not isinstance(found[0], (tuple, list)), "the two changed places: the gap first, then its place")
    judge(function, (ours, theirs), (9.0, [1, 0]), {
        "levels are bytes, and 40 - 49 wraps round to 247: make both floats before the subtraction": (247.0, [1, 0]),
        "only places where ours is larger were seen: take the absolute value of the difference": (4.0, [0, 2]),
        "the sign is still in: a gap is a distance, 9": (-9.0, [1, 0]),
        "the mean hides one wrong pixel among thousands: the largest is asked for": (13 / 6, [1, 0]),
        "this place counts through the flattened tensor: torch.unravel_index makes row and column of it": (9.0, 3),
        "this place, a list of one, counts through the flattened tensor: torch.unravel_index takes its shape":
            (9.0, [3]),
        "column first; the order is that of the axes, row first": (9.0, [0, 1]),
        "indices begin at 0": (9.0, [2, 1]),
        "the place of the smallest gap came back": (9.0, [0, 0]),
    }, "the largest gap is 9, at [1, 0]")
    judge(function, (torch.tensor([0.25, 1.5]), torch.tensor([0.5, 3.25])), (1.75, [1]), {
        "fractions were cut off: .float(), not .int()": (2.0, [1]),
    }, "between 0.25, 1.5 and 0.5, 3.25 the largest gap is 1.75, at [1]")


def _blend(levels: Tensor, weights: Tensor, bits: int) -> int:
    whole = (weights / weights.sum() * 2**bits).round().long()
    total = (levels * whole).sum().item() + 2 ** (bits - 1)
    return min(max(int(total) >> bits, 0), 255)


def _some_taps(seed: int) -> tuple[Tensor, Tensor, int]:
    """Levels, weights as those of a bicubic filter, bits; of four seeds one overshoots and one undershoots."""
    n, bits = 5 + seed % 3, 3 + seed % 5
    weights = randn(n, seed=seed + 60).abs().double() + 0.2
    weights[0], weights[-1] = -0.25 - 0.01 * (seed % 7), -0.15
    levels = (randn(n, seed=seed).sigmoid() * 255).long()
    if seed % 4 < 2:
        levels = torch.full((n,), 255 * (1 - seed % 4))
        levels[0] = levels[-1] = 255 * (seed % 4)
    return levels, weights * (0.5 + seed % 3), bits


@checker(right=_blend, cases=_some_taps)
def blend(function) -> None:
    """Lesson 15: function(levels (n,) whole numbers, weights (n,), bits) -> one level, 0 to 255: the weighted sum in
    whole numbers, the weights brought to the sum 1 and to `bits` bits behind the point.
    """
    levels = torch.tensor([10, 200, 250, 90])
    weights = torch.tensor([-0.1, 0.65, 0.6, -0.05], dtype=torch.float64)
    bits, shares = 4, weights / weights.sum()
    whole = (shares * 16).round().long()
    total = int((levels * whole).sum())
    judge(function, (levels, weights, bits), _blend(levels, weights, bits), {
        "the weights must sum to 1 first: divide them by their sum": _blend_of(levels, (weights * 16).round().long()),
        "the sum was made with fractions: first each weight becomes a whole number, weight * 2**bits, rounded":
            int((levels * shares).sum().round()),
        "the sum with fractions is no level either: weights become whole numbers first, and so does the answer":
            (levels * shares).sum().item(),
        "weights were cut, not rounded: .long() alone drops what is behind the point":
            _blend_of(levels, (shares * 16).long()),
        "weights were rounded down: a half and more goes up": _blend_of(levels, (shares * 16).floor().long()),
        "the half is missing: shifting drops the fraction, so add 2**(bits - 1) before": total >> 4,
        "it is not shifted back: the weights were 2**bits times too large": total + 8,
        "a fraction is left: >> bits divides and drops it": (total + 8) / 16,
        "these are the weighted levels: sum them": levels * whole,
    }, "with 4 bits the weights become -1, 9, 9, -1, and the level is (3950 + 8) >> 4")
    expect(_is_whole(function(levels, weights, bits)),
           "the level is a float; without fractions on the way it is a whole number: sum whole numbers, then >> bits")
    expect(function(torch.tensor([10, 200, 245, 90]), weights, bits) != 245,
           "the half is added twice: one level is worth 2**bits, its half 2**(bits - 1)")
    expect(function(torch.tensor([0, 255, 255, 0]), weights, bits) == 255,
           "levels 0, 255, 255, 0 give more than 255, and a byte holds no more: clip at 255")
    expect(function(torch.tensor([255, 0, 0, 255]), weights, bits) == 0,
           "levels 255, 0, 0, 255 give less than 0, as some weights are negative: clip at 0")
    _rounds_like_a_shift(function)


def _rounds_like_a_shift(function) -> None:
    """The half, once more where it decides."""
    levels, weights = torch.tensor([1, 2]), torch.tensor([0.5, 0.5], dtype=torch.float64)
    expect(function(levels, weights, 8) == 2, "half-way between 1 and 2 goes up to 2, as Pillow has it")
    expect(function(levels, torch.tensor([129, 127], dtype=torch.float64), 8) == 1,
           "just below half-way between 1 and 2 went up: the half is 2**(bits - 1), no more")
    halves = [function(torch.tensor(pair), torch.tensor([1, 1]), 8) for pair in ([0, 1], [2, 3])]
    expect(halves == [1, 3], "half-way between 0 and 1 goes up to 1, between 2 and 3 to 3; round() takes the even "
                             "number: add 2**(bits - 1), then >> bits")


def _is_whole(level: Any) -> bool:
    """A whole number of Python, or one that a tensor or an array holds."""
    return not torch.as_tensor(level).is_floating_point()


def _blend_of(levels: Tensor, whole: Tensor) -> int:
    return min(max((int((levels * whole).sum()) + 8) >> 4, 0), 255)


def _rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    scales = (weight.abs().amax(1) / 127).clamp(min=1e-12)
    return (weight / scales[:, None]).round().to(torch.int8), scales


def _some_matrix(seed: int) -> tuple[Tensor]:
    spread = torch.tensor([0.05, 3.0, 1.0, 0.4, 8.0])[:3 + seed % 3, None]
    weight = randn(len(spread), 4 + seed % 5, seed=seed) * spread
    weight[0] = -weight[0].abs()
    if seed % 2:
        weight[1] = 0
    return (weight,)


def _any_scale_of_zeros(found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The scale of a row whose codes are all 0 may be any above 0: it counts as 1."""
    codes, scales = found
    free = (codes == 0).all(1) & (scales > 0) & scales.isfinite()
    return codes, torch.where(free, torch.ones_like(scales), scales)


@checker(right=_rows, cases=_some_matrix, canonical=_any_scale_of_zeros)
def quantise_rows(function) -> None:
    """Lesson 15: function(weight (rows, n)) -> (codes (rows, n) int8, scales (rows,)): a row's largest absolute
    value becomes 127 or -127, and codes times scales are nearly the weights again.
    """
    weight = torch.tensor([[0.52, -1.0, 0.24], [0.02, 0.033, -0.01], [4.0, 2.2, -3.0], [-0.3, -0.61, -0.1]])
    found: Any = function(weight)
    expect(isinstance(found, (tuple, list)) and len(found) == 2 and all(isinstance(x, Tensor) for x in found),
           "two tensors are asked for: return codes, scales")
    expect(found[0].shape != (4,), "the two changed places: codes first, then scales")
    codes, scales = _rows(weight)
    sizes, row = weight.abs(), scales[:, None]
    one, column, signed = sizes.max() / 127, sizes.amax(0) / 127, weight.amax(1) / 127
    expect(not any(is_near(found[1], floor) for floor in (signed, signed.clamp(min=1e-12))),
           "the largest, not the largest absolute value: the sign comes off first, abs()")
    judge(function, (weight,), (codes, scales), {
        "one scale for the whole matrix: of the small weights only 0 and 1 are left. Each row has a scale, amax(1)":
            ((weight / one).round(), one.expand(4)),
        "one number is the scale of all: each row has a scale, amax(1)": ((weight / one).round(), one),
        "each column has a scale: take the largest along the row, amax(1)": ((weight / column).round(), column),
        "a row's largest became 128, which int8 does not hold: it ends at 127":
            ((weight / row * 128 / 127).round().to(torch.int8), scales * 127 / 128),
        "255 levels belong to bytes without a sign; with one, 127 go to either side":
            ((weight / row * 255 / 127).round().to(torch.int8), scales * 127 / 255),
        "numbers were cut, not rounded: .to(torch.int8) drops what is behind the point, so round() first":
            ((weight / row).to(torch.int8), scales),
        "these scales are upside down: codes times scales must give the weights": (codes, 1 / scales),
        "these are the weights again, after rounding: the codes are asked for": (codes * row, scales),
        "the scale is a row's largest absolute value; what one step is worth is a 127th of it": (codes, scales * 127),
        "scales have a column too many: one number for each row, (rows,)": (codes, row),
    }, "the first row must become 66, -127, 30 with the scale 1 / 127")
    expect(found[0].dtype == torch.int8, say("the codes are {found}; .to(torch.int8) makes bytes of them",
                                             found=str(found[0].dtype)))
    empty: Any = function(torch.tensor([[0.0, 0.0], [1.0, -2.0]]))
    expect(bool((empty[1] > 0).all()), "a row of zeros has the scale 0, and 0 / 0 is no number: clamp(min=1e-12)")
    expect(bool((empty[0][0] == 0).all()), "a row of zeros has codes that are not 0")
    expect(bool(empty[1].isfinite().all()), "the scale of a row of zeros must be a number above 0: 1, or 1e-12")


def _means(vectors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: F.normalize(rows.mean(0), dim=0) for name, rows in vectors.items()}


def _some_classes(seed: int) -> tuple[dict[str, Tensor]]:
    names = ("cup", "tree", "owl", "boat")[:2 + seed % 3]
    return ({name: F.normalize(randn(1 + (seed + 2 * i) % 5, 3 + seed % 6, seed=seed + 20 * i), dim=-1)
             for i, name in enumerate(names)},)


@checker(right=_means, cases=_some_classes)
def class_means(function) -> None:
    """Lesson 15: function({name: unit vectors (n, E) of its pictures}) -> {name: their mean, of length 1 (E,)}."""
    names, counts = ("star", "moon", "sun"), (3, 2, 1)
    vectors = {name: F.normalize(randn(n, 4, seed=n), dim=-1) for name, n in zip(names, counts, strict=True)}
    found = function(vectors)
    expect(isinstance(found, dict), "a dict is asked for, the names as its keys")
    expect(found.keys() == vectors.keys(), say("the names are {found}; they must be {right}", found=list(found),
                                               right=list(vectors)))
    everything = torch.cat(list(vectors.values()))

    def each(answer):
        return {name: answer(rows) for name, rows in vectors.items()}

    judge(function, (vectors,), _means(vectors), {
        "the means are shorter than 1, most of all where pictures differ: normalise after the mean":
            each(lambda rows: rows.mean(0)),
        "this is the sum, which grows with the number of pictures: bring it to length 1":
            each(lambda rows: rows.sum(0)),
        "only the first picture of each class was used": each(lambda rows: rows[0]),
        "only the last picture of each class was used": each(lambda rows: rows[-1]),
        "the mean runs over the numbers of a vector: over the pictures, dim=0": each(lambda rows: rows.mean(1)),
        "the mean runs over the numbers of a vector, and is then of length 1: over the pictures, dim=0":
            each(lambda rows: F.normalize(rows.mean(1), dim=0)),
        "all classes have the same mean: average the pictures of each class alone":
            each(lambda rows: F.normalize(everything.mean(0), dim=0)),
        "this is the largest of each number (max pooling), not the mean":
            each(lambda rows: F.normalize(rows.amax(0), dim=0)),
        "numbers were divided by their sum: length is the square root of the sum of squares":
            each(lambda rows: rows.mean(0) / rows.mean(0).sum()),
        "there is one row for each picture still: one vector for each class": each(lambda rows: rows),
        "each vector has a row around it: (E,), not (1, E)": each(lambda rows: F.normalize(rows.mean(0), dim=0)[None]),
    }, "each class must be the mean of its rows, divided by its length")
