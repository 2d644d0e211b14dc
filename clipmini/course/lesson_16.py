"""The checkers of lesson 16: the paper in numbers."""

import math

import torch
from torch import Tensor

from clipmini.course.base import checker, expect, judge, randn


def _pairs_seen(pairs: int, batch: int, epochs: int) -> tuple[int, int]:
    steps = epochs * (pairs // batch)
    return steps, steps * batch


def _vit_parameters(width: int, layers: int, patch: int, size: int, embed: int) -> int:
    positions = (size // patch) ** 2 + 1
    block = 12 * width**2 + 13 * width
    return layers * block + 3 * patch**2 * width + (positions + 5) * width + width * embed


def _power_law(x: Tensor, y: Tensor) -> tuple[float, float]:
    a, b = x.log() - x.log().mean(), y.log() - y.log().mean()
    slope = (a * b).sum() / (a * a).sum()
    return slope.item(), (y.log().mean() - slope * x.log().mean()).exp().item()


def _gap(accuracies: list[float]) -> float:
    return accuracies[0] - sum(accuracies[1:]) / len(accuracies[1:])


def _gap_closed(usual: list[float], robust: list[float]) -> float:
    return 1 - _gap(robust) / _gap(usual)


def _points(seed: int) -> tuple[Tensor, Tensor]:
    n = 3 + seed % 4
    x = torch.linspace(0.5, 4, n).exp() * (1 + 0.2 * randn(n, seed=seed).abs())
    return x, (1.5 + 0.2 * (seed % 3)) * x ** (-0.4 + 0.2 * (seed % 5)) * (1 + 0.3 * randn(n, seed=seed + 50).abs())


def _scores(seed: int) -> tuple[list[float], list[float]]:
    n = 2 + seed % 4
    usual = [70.0 + seed % 7, *(30 + 8 * randn(n, seed=seed)).tolist()]
    robust = [74.0 + seed % 5, *(55 + 5 * randn(n + seed % 2, seed=seed + 60)).tolist()]
    if seed % 3 == 0:  # the robust one loses more than the other: a share below 0
        robust = [robust[0] + 20, *(a - 35 for a in robust[1:])]
    return [round(a, 1) for a in usual], [round(a, 1) for a in robust]


@checker(right=_pairs_seen, cases=lambda seed: (23 + 17 * seed, 4 + 3 * (seed % 4), 2 + seed % 5))
def pairs_seen(function) -> None:
    """Lesson 16: function(pairs, batch, epochs) -> (steps, seen): the steps of a training that drops the incomplete
    batch at the end of each epoch, and how many pairs went through it.
    """
    judge(function, (10, 4, 3), (6, 24), {
        "the incomplete batch at the end of an epoch counts as a step: it is dropped, so round down": (9, 36),
        "as this, but all pairs are counted as seen: count the pairs of the steps that are taken": (6, 30),
        "rounding comes after all epochs: each epoch begins anew and drops its own rest, so divide the pairs of one "
        "epoch, then multiply": (7, 28),
        "one epoch only: multiply by epochs": (2, 8),
        "the two are the other way round: first the steps, then the pairs": (24, 6),
        "a step is a whole number: // divides and rounds down": (7.5, 30.0),
        "the incomplete batch counts, and only its own pairs with it: nothing of it is seen": (9, 30),
    }, "with 10 pairs, batches of 4 and 3 epochs it must be (6, 24): two full batches an epoch")


def _wrong_counts(width: int, layers: int, patch: int, size: int, embed: int) -> dict[str, int]:
    right, square = _vit_parameters(width, layers, patch, size, embed), width * width
    return {
        "two widths lack: either the class token with its row in the table of positions, or one LayerNorm outside the "
        "blocks (a gain and a bias)": right - 2 * width,
        "width numbers lack: the class token is one learnt vector beside the patches, and it has a row of its own in "
        "the table of positions; one of the two is missing": right - width,
        "the convolution that cuts the patches has no bias: width too many": right + width,
        "a pixel has three colours: 3 * patch * patch numbers for each of the width channels":
            right - 2 * patch**2 * width,
        "the blocks are counted once: multiply by layers": right - (layers - 1) * (12 * square + 13 * width),
        "attention lacks its fourth matrix: queries, keys, values, and the one that mixes the heads again, each "
        "width x width": right - layers * square,
        "attention's matrices have biases too: 4 * width a block": right - layers * 4 * width,
        "the MLP's two layers have biases too: 4 * width and width": right - layers * 5 * width,
        "the blocks lack all their biases, and the gains and biases of their two LayerNorms":
            right - layers * 13 * width,
        "a block has two LayerNorms, each with a gain and a bias: 4 * width": right - layers * 4 * width - 4 * width,
        "one LayerNorm stands before the blocks and one behind them, each with a gain and a bias: 4 * width":
            right - 4 * width,
        "the projection into the joint space lacks: width * embed": right - width * embed,
        "the projection into the joint space is a matrix without a bias: embed too many": right + embed,
        "the table of positions lacks: a row of width numbers for each patch and one for the class token":
            right - ((size // patch) ** 2 + 1) * width,
        "the table of positions is (size / patch) long; a picture has that many patches along each side, so square it":
            right - ((size // patch) ** 2 - size // patch) * width,
    }


@checker(right=_vit_parameters, cases=lambda seed: (
    3 + seed % 5, 1 + seed % 3, 1 + seed % 3, (1 + seed % 3) * (2 + seed % 2), 2 + (seed + 1) % 4))
def vit_parameters(function) -> None:
    """Lesson 16: function(width, layers, patch, size, embed) -> how many numbers CLIP's image tower learns."""
    one = (10, 3, 4, 12, 7)
    judge(function, one, _vit_parameters(*one), _wrong_counts(*one),
          "3 blocks of width 10, patches of 4 in 12 pixels, 7 numbers at the end: it must be 4690")
    found = function(6, 2, 3, 6, 5)
    expect(isinstance(found, int) or getattr(found, "dtype", None) in (torch.int64, torch.int32),
           "a count is a whole number: use // where you divide")


@checker(right=_power_law, cases=_points)
def power_law(function) -> None:
    """Lesson 16: function(x (N,), y (N,)) -> (slope, factor): y is about factor * x ** slope, by least squares of the
    logarithms.
    """
    x, y = torch.tensor([1.0, 3.0, 8.0, 40.0]), torch.tensor([5.0, 3.5, 3.0, 1.2])
    a, b = x.log(), y.log()

    def line(p: Tensor, q: Tensor) -> tuple[float, float]:
        slope = ((p - p.mean()) * (q - q.mean())).sum() / ((p - p.mean()) ** 2).sum()
        return slope.item(), (q.mean() - slope * p.mean()).item()

    slope, start = line(a, b)
    ends = ((b[-1] - b[0]) / (a[-1] - a[0])).item()
    judge(function, (x, y), _power_law(x, y), {
        "this is a straight line through x and y themselves: take the logarithm of both first": line(x, y),
        "only x went through the logarithm: y must too": line(a, y),
        "only y went through the logarithm, which fits an exponential curve: x must too": line(x, b),
        "the second number is still a logarithm: y = factor * x ** slope, so the factor is exp of the intercept":
            (slope, start),
        "the factor is 10 to the power of a natural logarithm: take exp, or log10 on both sides": (slope, 10**start),
        "the factor is exp of a logarithm to base 10: take 10 ** intercept, or the natural logarithm on both sides": (
            slope, math.exp(start / math.log(10))),
        "the two are the other way round: first the slope, then the factor": (math.exp(start), slope),
        "x was fitted from y: divide by the variance of log x, not of log y": (
            1 / line(b, a)[0], (b.mean() - a.mean() / line(b, a)[0]).exp().item()),
        "the line was forced through the origin: take both means away before you multiply": (
            ((a * b).sum() / (a * a).sum()).item(), 1.0),
        "the intercept comes from values that have lost their means: keep both means before you subtract them": (
            slope, 1.0),
        "the intercept comes from the means of x and y themselves: take those of their logarithms": (
            slope, (y.mean() - slope * x.mean()).exp().item()),
        "the intercept comes from the means of x and y themselves and is not in exp: take the means of the logarithms, "
        "then exp": (slope, (y.mean() - slope * x.mean()).item()),
        "x and y changed places: the line gives log y, from log x": (line(b, a)[0], math.exp(line(b, a)[1])),
        "only the first and the last point were used; all of them have a say": (
            ends, (b[0] - ends * a[0]).exp().item()),
    }, "it must be the least-squares line through (log x, log y): its slope, and exp of its intercept")


@checker(right=_gap_closed, cases=_scores)
def gap_closed(function) -> None:
    """Lesson 16: function(usual, robust) -> the share of usual's gap that robust has closed. Both are lists of
    accuracies: first the ordinary test, then the shifted ones; the gap is the first minus the mean of the others.
    """
    usual, robust = [80.0, 50.0, 30.0, 25.0], [76.0, 70.0, 72.0]
    u, r = _gap(usual), _gap(robust)
    all_u, all_r = (a[0] - sum(a) / len(a) for a in (usual, robust))
    judge(function, (usual, robust), 1 - r / u, {
        "this is the share that is left open: subtract it from 1": r / u,
        "this is the gap closed in points: divide it by usual's gap": u - r,
        "this is divided by robust's gap: the share is of usual's": 1 - u / r,
        "what is closed was divided by robust's gap: divide it by usual's": (u - r) / r,
        "divided by 5, as in the table above: count the tests that are there": (
            1 - (robust[0] - sum(robust[1:]) / 5) / (usual[0] - sum(usual[1:]) / 5)),
        "the ordinary test is in the mean too: only the shifted ones, [1:]": 1 - all_r / all_u,
        "both gaps are measured from usual's ordinary score: each model has its own":
            1 - (usual[0] - sum(robust[1:]) / 2) / u,
        "this compares the shifted scores alone: a gap is the ordinary score minus their mean":
            1 - (sum(robust[1:]) / 2) / (sum(usual[1:]) / 3),
        "this is in percent; a share lies between 0 and 1 where a gap is closed in part": 100 * (1 - r / u),
        "this takes the sum of the shifted scores: their mean, so that two lists of different lengths compare":
            1 - (robust[0] - sum(robust[1:])) / (usual[0] - sum(usual[1:])),
        "the gap is taken to the worst of the shifted tests: to their mean": 1 - (76.0 - 70.0) / (80.0 - 25.0),
    }, "usual loses 45 points and robust loses 5: it must be 1 - 5 / 45")
    more = [90.0, 30.0, 25.0, 20.0]  # loses 65
    judge(function, (usual, more), 1 - _gap(more) / u, {
        "a robust model that loses more has closed less than nothing: the share is below 0, so nothing holds it at 0":
            0.0,
        "a robust model that loses more has a share below 0: no abs()": _gap(more) / u - 1,
    }, "here robust loses 65 points, usual 45: it must be 1 - 65 / 45, below 0")
