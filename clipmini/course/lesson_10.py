"""The checkers of lesson 10: the map."""

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.course.base import checker, expect, is_near, judge, randn, say, shape_of


def _plane(x: Tensor) -> Tensor:
    """The places of the points in the plane of largest variance."""
    centred = x - x.mean(0)
    return centred @ torch.linalg.svd(centred, full_matrices=False)[2][:2].t()


def _turned(places: Tensor) -> Tensor:
    """Each axis with the sign that makes its entry of largest size positive: either sign is right."""
    return places * places.gather(0, places.abs().argmax(0, keepdim=True)).sign()


def _nearest_sets(distances: Tensor, k: int) -> list[set[int]]:
    others = distances + torch.diag(torch.full((len(distances),), torch.inf))
    return [set(row.argsort()[:k].tolist()) for row in others]


def _kept(high: Tensor, low: Tensor, k: int, distance=torch.cdist) -> float:
    pairs = zip(_nearest_sets(distance(high, high), k), _nearest_sets(distance(low, low), k), strict=True)
    return sum(len(a & b) for a, b in pairs) / len(high) / k


def _cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    return 1 - F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).t()


@checker(right=lambda images, texts: (images.mean(0) - texts.mean(0)).norm(), cases=lambda seed: (
    F.normalize(randn(2 + seed, 4, seed=seed), dim=-1), F.normalize(randn(3 + seed % 4, 4, seed=seed + 30), dim=-1)))
def modality_gap(function) -> None:
    """Lesson 10: function(images (N, E), texts (M, E)), unit vectors -> the distance of their means."""
    a, b = F.normalize(randn(5, 4) + 1, dim=-1), F.normalize(randn(7, 4, seed=1) - 1, dim=-1)
    gap = a.mean(0) - b.mean(0)
    judge(function, (a, b), gap.norm(), {
        "this is the squared distance: a square root is missing": gap.square().sum(),
        "the mean distance of pairs: it is large even without a gap": torch.cdist(a, b).mean(),
        "this is the vector between the means; its length is asked for": gap,
        "the cosine of the two means; the distance is asked for": F.cosine_similarity(a.mean(0), b.mean(0), dim=0),
        "the means were scaled to length 1: leave them as short as they are":
            (F.normalize(a.mean(0), dim=0) - F.normalize(b.mean(0), dim=0)).norm(),
    }, "it must be the length of mean(images) - mean(texts)")


@checker(right=_plane, canonical=_turned, cases=lambda seed: (
    randn(6 + seed % 9, 4 + seed % 3, seed=seed) * torch.tensor([4.0, 2, 1, 0.5, 0.2, 0.1])[torch.randperm(
        4 + seed % 3, generator=torch.Generator().manual_seed(seed))] + seed % 7,))
def pca(function) -> None:
    """Lesson 10: function(x (N, E)) -> (N, 2), the two directions of largest variance; either sign."""
    x = randn(12, 5) * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.1]) + 4
    centred = x - x.mean(0)

    def along(t, rows):  # without the sign
        return (t @ torch.linalg.svd(t, full_matrices=False)[2][rows].t()).abs()

    found = function(x)
    expect(isinstance(found, Tensor), say("this is a {kind}; return a tensor", kind=type(found).__name__))
    expect(shape_of(found) != (2, 5),
           "these are the two directions (2, E): the points' places along them are asked for")
    expect(shape_of(found) == (12, 2), say("the shape is {found}; 12 points in a plane are (12, 2)",
                                              found=shape_of(found)))
    found = found.abs()
    expect(not is_near(found, along(x, [0, 1])),
           "the first direction points from 0 to the middle of the cloud: take the mean away first")
    expect(not is_near(found, along(centred, [3, 4])),
           "the two directions of smallest variance: svd sorts from the largest")
    expect(not is_near(found, (x @ torch.linalg.svd(centred, full_matrices=False)[2][[0, 1]].t()).abs()),
           "the directions are right, but the points themselves must be centred too before they are projected")
    expect(not is_near(found, along(centred, [1, 0])),
           "the widest direction comes first: the two columns changed places")
    expect(not is_near(found, centred[:, :2].abs()), "the first two columns are no principal directions")
    expect(not is_near(found, torch.linalg.svd(centred, full_matrices=False)[0][:, :2].abs()),
           "the columns of U have lost their lengths: multiply by the singular values, or project, centred @ "
           "directions.t()")
    expect(is_near(found, along(centred, [0, 1])),
           "the places must be centred @ directions[:2].t(), directions from svd")


@checker(right=_kept, cases=lambda seed: (
    randn(12 + seed, 5, seed=seed), randn(12 + seed, 2, seed=seed + 30), 1 + seed % 5))
def kept_neighbours(function) -> None:
    """Lesson 10: function(high (N, E), low (N, 2), k) -> the mean share of each point's
    k nearest (by distance) that stay.
    """
    high, low, k = randn(40, 5), randn(40, 2, seed=1), 5

    def near(x, first, last, **how):
        return [set(row.argsort(**how)[first:last].tolist()) for row in torch.cdist(x, x)]

    def share(a, b, size):
        return sum(len(p & q) for p, q in zip(a, b, strict=True)) / len(a) / size

    right = share(near(high, 1, k + 1), near(low, 1, k + 1), k)
    judge(function, (high, low, k), torch.tensor(right), {
        "each point was counted as its own neighbour, which is always kept: leave it out": torch.tensor(
            share(near(high, 0, k), near(low, 0, k), k)),
        "the point itself takes one of the k places: k + 1 nearest, less itself": torch.tensor(
            share(near(high, 1, k), near(low, 1, k), k)),
        "the farthest were compared":
            torch.tensor(share(near(high, 0, k, descending=True), near(low, 0, k, descending=True), k)),
        "this counts neighbours; divide by k": torch.tensor(right * k),
        "a sum over points: take their mean": torch.tensor(right * 40),
        "a percentage; a share is asked for, from 0 to 1": torch.tensor(100 * right),
        "neighbours by cosine: a map has no middle from which angles count, take distances (torch.cdist)": torch.tensor(
            _kept(high, low, k, _cosine_distance)),
        "neighbours by cosine in the space, by distance on the map: distances in both": torch.tensor(share(
            _nearest_sets(_cosine_distance(high, high), k), near(low, 1, k + 1), k)),
    }, say("for these forty points and k = 5 it must be {right} (distances, not cosines; sets, not places)",
           right=f"{right:.4f}"))
    expect(is_near(function(high, high, k), torch.tensor(1.0)), "a map that is the space itself keeps all: 1")
