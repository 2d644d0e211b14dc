"""The checkers of lesson 14: from words to masks."""

import math

import numpy as np
import torch
from torch import Tensor

from clipmini.course.base import checker, expect, is_near, judge, randn, say, shape_of


def _nearest(losses: Tensor, possible: Tensor) -> Tensor:
    return _share(losses.amin(1), possible)


def _some_losses(seed: int) -> tuple[Tensor, Tensor]:
    n, c = 2 + seed % 3, 2 + (seed + 1) % 3
    possible = randn(n, c, seed=seed + 40) > 0.2
    possible[:, 0] = True
    possible[0, -1] = False
    return randn(n, 3 + seed % 2, c, seed=seed).abs() + 0.1, possible


@checker(right=_nearest, cases=_some_losses, gradient=True)
def min_of_three(function) -> None:
    """Lesson 14: function(losses (N, M, C), possible (N, C) bool) -> one number: for each right answer the smallest of
    the masks' losses, its mean over a click's possible right answers, then the mean over clicks.
    """
    losses = torch.tensor([[[1.0, 8.0, 5.0], [3.0, 2.0, 9.0], [4.0, 6.0, 7.0]],
                           [[2.0, 7.0, 9.0], [5.0, 8.0, 6.0], [9.0, 10.0, 7.0]]])
    possible = torch.tensor([[True, True, True], [True, False, False]])
    best = losses.amin(1)
    judge(function, (losses, possible), torch.tensor((8 / 3 + 2) / 2), {
        "every mask learns from every right answer, so all three become one blur: take the smallest along the masks, "
        "dim 1, not the mean": _share(losses.mean(1), possible),
        "the smallest was taken along the right answers: each mask would go to the answer that suits it, and one may "
        "be left to nobody; take it along the masks, dim 1": losses.amin(2).mean(),
        "one mask was chosen for all answers, the one with the least mean loss: each possible right answer has a "
        "nearest mask of its own, so take the smallest first, then the mean":
            ((losses * possible[:, None]).sum(2) / possible.sum(1)[:, None]).amin(1).mean(),
        "only the one best pair of a click counts: each possible right answer is to have its mask":
            losses.amin((1, 2)).mean(),
        "the largest was taken: the mask that is nearest to a right answer has the smallest loss":
            _share(losses.amax(1), possible),
        "right answers that are not possible count too: multiply by possible": best.mean(),
        "divided by all right answers: a click's mean is over its possible ones, possible.sum(1)":
            (best * possible).mean(),
        "a sum over a click's right answers: divide by possible.sum(1)": (best * possible).sum(1).mean(),
        "clicks with more right answers count more: the mean of each click first, then the mean over clicks":
            (best * possible).sum() / possible.sum(),
        "one number for each click: take the mean over clicks": torch.tensor([8 / 3, 2]),
        "the clicks were added: take their mean": torch.tensor(8 / 3 + 2),
    }, "the nearest masks lose 1, 2 and 5 for the first click and 2 for the second: their means are 2.667 and 2, "
       "together 2.333")


def _share(values: Tensor, possible: Tensor) -> Tensor:
    return ((values * possible).sum(1) / possible.sum(1)).mean()


def _fourier(points: Tensor, directions: Tensor) -> Tensor:
    angles = 2 * math.pi * (2 * points - 1) @ directions
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _some_places(seed: int) -> tuple[Tensor, Tensor]:
    shapes = ((3, 2), (4, 5, 2), (2,), (1, 2), (2, 3, 2))
    return randn(*shapes[seed % 5], seed=seed).sigmoid(), randn(2, 1 + seed % 4, seed=seed + 30)


@checker(right=_fourier, cases=_some_places)
def fourier_positions(function) -> None:
    """Lesson 14: function(points (..., 2) in 0..1, directions (2, D)) -> (..., 2 D): sines, then cosines, of 2 pi times
    the dot products of the points, brought to -1..1, with the directions.
    """
    points, directions = randn(4, 2).sigmoid(), randn(2, 3, seed=1)
    dots = (2 * points - 1) @ directions
    angles = 2 * math.pi * dots
    judge(function, (points, directions), _fourier(points, directions), {
        "points go from 0 to 1 still: bring them to -1..1 first, 2 * points - 1":
            _waves(2 * math.pi * points @ directions),
        "the angles lack 2 pi: one unit along a direction is one full turn": _waves(dots),
        "the angles have pi where 2 pi is asked for, or the points go from -0.5 to 0.5": _waves(math.pi * dots),
        "cosines come first: the first half is sines": torch.cat([angles.cos(), angles.sin()], -1),
        "sines and cosines stand by turns: first all sines, then all cosines, torch.cat along the last dim":
            torch.stack([angles.sin(), angles.cos()], -1).flatten(-2),
        "cosines stand below the sines, as more points: torch.cat along dim=-1":
            torch.cat([angles.sin(), angles.cos()]),
        "x and y changed places: the first row of directions belongs to x":
            _waves(2 * math.pi * (2 * points - 1).flip(-1) @ directions),
        "these are the angles themselves: take sines and cosines of them": angles,
        "only sines: without cosines two places that mirror each other look alike": angles.sin(),
    }, "the numbers differ from sines and cosines of 2 pi (2 points - 1) @ directions")
    found = function(points.view(2, 2, 2), directions)
    expect(shape_of(found) == (2, 2, 6),
           "points may have more dimensions: (2, 2, 2) in, (2, 2, 6) out; @ and dim=-1 do that by themselves")


def _waves(angles: Tensor) -> Tensor:
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _brightest(map_: Tensor, n: int, reach: float, power: float = 0.5,
               width: int | None = None) -> list[tuple[float, float]]:
    """power: of the squared distance, 0.5 is right; width: what numbers of cells are divided by."""
    rest, found = map_.clone(), []
    y, x = torch.meshgrid(torch.arange(map_.shape[0]), torch.arange(map_.shape[1]), indexing="ij")
    for _ in range(n):
        row, column = divmod(int(rest.argmax()), width or map_.shape[1])
        found.append((column + 0.5, row + 0.5))
        rest[((y - row)**2 + (x - column)**2)**power < reach] = -torch.inf
    return found


def _some_maps(seed: int) -> tuple[Tensor, int, float]:
    map_ = randn(7 + seed % 3, 10 - seed % 4, seed=seed) - (seed % 2) * 5
    reach = (2.0, 3.0, 1.5)[seed % 3]
    if seed % 3 < 2:  # one cell lies exactly at the edge of what is left out
        map_[3, 2], map_[3, 2 + int(reach)] = 6.0, 5.0
    return map_, 2 + seed % 2, reach


@checker(right=_brightest, cases=_some_maps)
def best_points(function) -> None:
    """Lesson 14: function(map_ (h, w), n, reach) -> n middles (x, y) of cells: the highest one, then the highest of
    those whose distance to all that were taken is reach or more.
    """
    map_ = -torch.ones(6, 9) - 0.01 * torch.arange(54.0).view(6, 9)
    map_[1, 6], map_[1, 7], map_[2, 7], map_[1, 4], map_[4, 2] = 9.0, 8.0, 7.0, 6.0, 5.0
    highest = map_.flatten().topk(3).indices.tolist()
    right = [(6.5, 1.5), (4.5, 1.5), (2.5, 4.5)]
    judge(function, (map_, 3, 2.0), right, {
        "x and y changed places: a point is (column, row)": [(y, x) for x, y in right],
        "a cell's middle is half a cell further: column + 0.5, row + 0.5": [(x - 0.5, y - 0.5) for x, y in right],
        "all points lie in one spot: after each point leave out the cells around it, nearer than reach":
            [(i % 9 + 0.5, i // 9 + 0.5) for i in highest],
        "a cell at the distance of reach itself may still be taken: leave out those that are nearer, <":
            _brightest(map_, 3, 2.01),
        "the squared distance was compared with reach: with reach ** 2, or take the root first":
            _brightest(map_, 3, 2.0, power=1),
        "the number of a cell was divided by the height: divmod(number, width), width = map_.shape[1]":
            _brightest(map_, 3, 2.0, width=6),
        "the same point three times: set it, and what is around it, to minus infinity": right[:1] * 3,
        "these are the lowest places: argmax": _brightest(-map_, 3, 2.0),
        "only the first point: n of them are asked for": right[:1],
    }, "the points must be (6.5, 1.5), (4.5, 1.5), (2.5, 4.5) here, as (x, y)")
    expect(is_near(function(map_ - 10, 3, 2.0), right),
           "wrong for a map that is negative everywhere: leave cells out with minus infinity, 0 would be its maximum")
    near = -torch.ones(5, 5)
    near[0, 0], near[1, 1], near[4, 4] = 3.0, 2.0, 1.0
    expect(is_near(function(near, 2, 1.4), [(0.5, 0.5), (1.5, 1.5)]),
           "what is left out is a square: measure the distance between the middles, ((dy)**2 + (dx)**2) ** 0.5")


def _dice(logits: Tensor, truth: Tensor) -> Tensor:
    p = logits.sigmoid()
    both, all_ = (p * truth).sum((-2, -1)), p.sum((-2, -1)) + truth.sum((-2, -1))
    return 1 - (2 * both + 1) / (all_ + 1)


def _some_masks(seed: int) -> tuple[Tensor, Tensor]:
    shape = ((4, 5), (3, 2, 6), (2, 3, 5, 4), (1, 3, 3))[seed % 4]
    return 2 * randn(*shape, seed=seed), (randn(*shape, seed=seed + 30) > 0.5).float()


@checker(right=_dice, cases=_some_masks, gradient=True)
def dice_loss(function) -> None:
    """Lesson 14: function(logits (..., h, w), truth (..., h, w) in 0..1) -> (...):
    1 - (2 * sum of p * truth + 1) / (sum of p + sum of truth + 1), p the sigmoid of the logits.
    """
    x, truth = 2 * randn(2, 3, 4), (randn(2, 3, 4, seed=1) > 0).float()
    p, over = x.sigmoid(), (-2, -1)
    both, all_ = (p * truth).sum(over), p.sum(over) + truth.sum(over)
    hard = (x > 0).float()
    right = _dice(x, truth)
    judge(function, (x, truth), right, {
        "these are logits, from minus to plus infinity: take their sigmoid first":
            1 - (2 * (x * truth).sum(over) + 1) / (x.sum(over) + truth.sum(over) + 1),
        "this is the overlap, which a good mask makes large: a loss is 1 minus that": 1 - right,
        "the mask was cut at 0: a step has no gradient; keep the probabilities":
            1 - (2 * (hard * truth).sum(over) + 1) / (hard.sum(over) + truth.sum(over) + 1),
        "divided by the union, as in IoU: here by the sum of both, with a 2 above":
            1 - (both + 1) / (all_ - both + 1),
        "the 2 above the line is missing: a perfect mask would cost a half": 1 - (both + 1) / (all_ + 1),
        "the ones are missing: where nothing is there and nothing is found it would be 0 / 0": 1 - 2 * both / all_,
        "squares below the line, as Milletari et al. have it: plain sums here":
            1 - (2 * both + 1) / (p.square().sum(over) + truth.square().sum(over) + 1),
        "means in place of sums: the 1 outweighs them": 1 - (2 * both / 12 + 1) / (all_ / 12 + 1),
        "all masks of the batch became one: sum over the last two dims only":
            1 - (2 * both.sum() + 1) / (all_.sum() + 1),
        "the mean over masks was taken: one number for each mask is asked for, (...)": right.mean(),
    }, "it must be 1 - (2 * sum(p * truth) + 1) / (sum(p) + sum(truth) + 1)")
    found = function(torch.full((5, 5), -40.0), torch.zeros(5, 5))
    expect(is_near(found, torch.tensor(0.0)),
           say("where nothing is there and nothing is found it must be 0; yours is {found}",
               found=f"{float(torch.as_tensor(found)):.3f}"))


def _depth(region: Tensor, padded: bool = True) -> np.ndarray:
    """How far each pixel is from the border of a region (h, w)."""
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(np.pad(region.numpy(), 1))[1:-1, 1:-1] if padded \
        else distance_transform_edt(region.numpy())


def _middle(region: Tensor, padded: bool = True) -> tuple[float, float]:
    depth = _depth(region, padded)
    row, column = divmod(int(depth.argmax()), depth.shape[1])
    return column + 0.5, row + 0.5


def _click(mask: Tensor, truth: Tensor) -> tuple[float, float, int]:
    missing, extra = truth & ~mask, mask & ~truth
    if _depth(missing).max() >= _depth(extra).max():
        return (*_middle(missing), 1)
    return (*_middle(extra), 0)


def _ellipse(y: float, x: float, h: float, w: float, size: tuple[int, int] = (26, 33)) -> Tensor:
    """Middle, half axes, size of the picture -> (h, w) bool."""
    rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])
    return ((rows - y) / h)**2 + ((columns - x) / w)**2 < 1


def _is_plain(mask: Tensor, truth: Tensor) -> bool:
    """Is there only one answer? One deepest pixel, and one region that is deeper."""
    depths = [_depth(truth & ~mask), _depth(mask & ~truth)]
    deepest = sorted(float(d.max()) for d in depths)
    return min(deepest) > 0 and deepest[1] - deepest[0] > 0.3 and all(
        int((d > d.max() - 1e-3).sum()) == 1 for d in depths)


def _some_errors(seed: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    while True:
        size = (int(rng.integers(18, 30)), int(rng.integers(18, 34)))
        (a, b, c, d), (e, f, g, h) = rng.uniform((4, 4, 4, 4), (22, 22, 14, 14), (2, 4)).tolist()
        mask, truth = _ellipse(a, b, c, d, size), _ellipse(e, f, g, h, size)
        if _is_plain(mask, truth):
            return mask, truth


@checker(right=_click, cases=_some_errors)
def next_click(function) -> None:
    """Lesson 14: function(mask (h, w) bool, truth (h, w) bool) -> (x, y, label): the middle of the pixel that is
    farthest from the border of what is missing (label 1) or of what is too much (label 0), whichever is farther.
    """
    truth = _ellipse(11, 4, 9, 12) & ~_ellipse(11, 9, 2.5, 2.5)
    mask = _ellipse(11, 21, 9, 14) | _ellipse(23, 17, 1.5, 16)
    missing, extra = truth & ~mask, mask & ~truth
    right = (*_middle(extra), 0)
    rows, columns = extra.nonzero().float().mean(0).tolist()
    first = extra.nonzero()[0].tolist()
    judge(function, (mask, truth), right, {
        "x and y changed places: a point is (column, row)": (right[1], right[0], 0),
        "the place is right, the label is not: 1 where something is missing, 0 where something is too much":
            (right[0], right[1], 1),
        "a pixel's middle is half a pixel further: column + 0.5, row + 0.5": (right[0] - 0.5, right[1] - 0.5, 0),
        "one pixel too far, right and down: the padding is still on; take it off again, [1:-1, 1:-1]":
            (right[0] + 1, right[1] + 1, 0),
        "the region with the shallower middle was taken: compare how deep the two are": (*_middle(missing), 1),
        "the mean of the pixels' places: that may lie outside of a bent region; take the one farthest from its border":
            (columns + 0.5, rows + 0.5, 0),
        "the first pixel of the region is at its border: take the one that is farthest from it":
            (first[1] + 0.5, first[0] + 0.5, 0),
        "this is the middle of the whole mask: only where it is wrong, mask & ~truth": (*_middle(mask), 0),
        "this is the middle of what is already right": (*_middle(mask & truth), 1),
    }, "the deepest pixel of what is too much is asked for here, with label 0")
    turned = _click(truth, mask)
    expect(is_near(function(truth, mask), turned),
           say("what is missing is never clicked: with mask and truth exchanged it must be {right}", right=turned))
    _special_clicks(function)


def _special_clicks(function) -> None:
    """Regions at the picture's border, long ones against deep ones, and two that touch."""
    half, none = torch.arange(33).expand(26, 33) < 9, torch.zeros(26, 33, dtype=torch.bool)
    edge = half & _ellipse(12.5, 0, 30, 60)
    found = function(none | _ellipse(22, 28, 2.2, 2.2), edge)
    expect(not is_near(found[:1], (0.5,)),
           "the picture's border counts as inside: beyond it nothing is missing; pad the region with False first")
    corner = none.clone()
    corner[-1, -1] = True
    expect(is_near(function(none, corner), (32.5, 25.5, 1)),
           "the last row and column are left out: what was padded goes away again, one on each side, [1:-1, 1:-1]")
    long, deep = torch.zeros(26, 33, dtype=torch.bool), _ellipse(18, 16, 4.5, 4.5)
    long[2:5] = True
    expect(is_near(function(long, deep), (16.5, 18.5, 1)),
           "the region with more pixels was taken: a long thin edge has many; take the one whose middle is deeper")
    same = _ellipse(12, 6, 5.1, 4.6), _ellipse(12, 26, 5.1, 4.6)
    expect(is_near(function(same[1], same[0]), (6.5, 12.5, 1)),
           "where what is missing and what is too much are equally deep, the missing region comes first")
    disc, left = _ellipse(12.2, 16, 9.4, 9.4), torch.arange(33).expand(26, 33) < 18
    expect(is_near(function(disc & left, disc & ~left), _click(disc & left, disc & ~left)),
           "missing and extra pixels were taken as one region: they may touch, and the middle of both lies where they "
           "do")
