"""The checkers of lesson 09: seeing inside."""

import torch
import torch.nn.functional as F

from clipmini.course.base import checker, expect, is_near, judge, randn, shape_of


class Weighted:
    """A score of a picture: the sum of its pixels, weighed."""

    def __init__(self, weights: torch.Tensor):
        self.weights = weights

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        return (picture * self.weights).sum()


def _falls(image: torch.Tensor, score: Weighted, side: int) -> torch.Tensor:
    g = image.shape[-1] // side
    falls = torch.zeros(g, g)
    for y in range(g):
        for x in range(g):
            covered = image.clone()
            covered[:, y * side:(y + 1) * side, x * side:(x + 1) * side] = 0
            falls[y, x] = score(image) - score(covered)
    return falls


def _iou(map_: torch.Tensor, mask: torch.Tensor, threshold: float) -> torch.Tensor:
    bright = map_ > threshold
    return (bright & mask).sum() / (bright | mask).sum()


def _cosines(patches: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    side = round(len(patches)**0.5)
    return F.cosine_similarity(patches, text[None]).view(side, side)


@checker(right=_cosines, cases=lambda seed: (
    randn((2 + seed % 5)**2, 3 + seed % 4, seed=seed), (1 + seed % 6) * randn(3 + seed % 4, seed=seed + 30)))
def similarity_map(function) -> None:
    """Lesson 09: function(patches (P, E), text (E,)) -> (g, g) cosines, P = g * g, row by row."""
    x, text = randn(9, 4), 2 * randn(4, seed=1)
    dots = x @ text
    right = F.cosine_similarity(x, text[None]).view(3, 3)
    judge(function, (x, text), right, {
        "dot products of vectors with their own lengths: normalise both": dots.view(3, 3),
        "the text has length 1, the patches have not": (x @ F.normalize(text, dim=0)).view(3, 3),
        "the patches have length 1, the text has not": (F.normalize(x, dim=-1) @ text).view(3, 3),
        "the map is lying on its side: patches come row by row, view(g, g) without a transpose": right.t(),
        "still one long row of cosines: view(g, g)": right.flatten(),
        "the cells share out 1 (softmax); the map is of plain cosines": right.flatten().softmax(0).view(3, 3),
    }, "cell (y, x) must be the cosine of patch 3 y + x with the text")
    expect(shape_of(function(randn(16, 4), text)) == (4, 4),
           "16 patches are a grid of (4, 4): the side is the square root of P")


@checker(right=_iou, cases=lambda seed: (
    (randn(3 + seed % 3, 4, seed=seed) * 4).round() / 4, randn(3 + seed % 3, 4, seed=seed + 30) > 0, 0.25 * (seed % 3)))
def iou(function) -> None:
    """Lesson 09: function(map_ (h, w), mask (h, w) bool, threshold)
    -> intersection over union of map_ > threshold and mask.
    """
    map_ = torch.tensor([[0.9, 0.8, 0.1], [0.7, 0.5, 0.1], [0.8, 0.6, 0.1]])
    mask = torch.tensor([[True, True, True], [False, False, False], [False, False, False]])
    judge(function, (map_, mask, 0.5), torch.tensor(2 / 6), {
        "this is the share of the mask that is found (recall): a map that is bright everywhere would get 1":
            torch.tensor(2 / 3),
        "this is the share of the bright pixels that are right (precision): one bright pixel could get 1":
            torch.tensor(2 / 5),
        "this is twice the intersection over the sum of both (Dice): near, and larger": torch.tensor(4 / 8),
        "this is the share of pixels that agree: an empty map scores well where things are small": torch.tensor(5 / 9),
        "this counts the intersection": torch.tensor(2.0),
        "dark and bright changed places: map_ > threshold": torch.tensor(1 / 5),
        "a cell that equals the threshold is not bright: > and not >=": torch.tensor(2 / 7),
        "divided by the sum of both, where the overlap counts twice; the union counts it once": torch.tensor(2 / 8),
        "divided by all pixels": torch.tensor(2 / 9),
    }, "intersection / union is 2 / 6 here")
    expect(is_near(function(map_, mask, 0.75), torch.tensor(2 / 4)), "the threshold is not used: with 0.75 it is 2 / 4")


@checker(right=_falls, cases=lambda seed: (
    randn(1 + seed % 3, 6, 6, seed=seed) + 1, Weighted(randn(1 + seed % 3, 6, 6, seed=seed + 30)), 1 + seed % 3))
def occlusion(function) -> None:
    """Lesson 09: function(image (C, S, S), score, side) -> (g, g):
    how much score falls when a square is covered with 0.
    """
    image, weights = randn(3, 6, 6).abs() + 1, randn(3, 6, 6, seed=1)
    score = Weighted(weights)
    right = torch.stack([torch.stack([(image * weights)[:, y:y + 2, x:x + 2].sum() for x in (0, 2, 4)])
                         for y in (0, 2, 4)])
    total = score(image)
    judge(function, (image, score, 2), right, {
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
    expect(shape_of(function(image, score, 3)) == (2, 2),
           "a side of 3 in a picture of 6 makes a grid of (2, 2): S // side")
