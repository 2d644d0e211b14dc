"""Is a model as sure as it is right? The reliability curve and the expected calibration error (Guo et al. 2017)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Reliability:
    """For each bin of confidence that holds pictures: mean confidence, share right, how many; ece: mean gap, 0 to 1."""

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    count: tuple[int, ...]
    ece: float


def reliability(confidence: Tensor, right: Tensor, bins: int = 15) -> Reliability:
    """confidence (N,): probability of the first answer; right (N,) bool. Bins of equal width; the error weighs each bin by
    its pictures.

    >>> reliability(torch.tensor([0.75, 0.75, 0.25, 0.25]), torch.tensor([True, False, False, False]), bins=2).ece
    0.25
    """
    if not len(confidence):
        raise ValueError("no answers to judge")
    place = (confidence.double() * bins).long().clamp(0, bins - 1)
    count = torch.bincount(place, minlength=bins)
    kept = count > 0
    mean = torch.bincount(place, weights=confidence.double(), minlength=bins)[kept] / count[kept]
    share = torch.bincount(place, weights=right.double(), minlength=bins)[kept] / count[kept]
    gap = ((mean - share).abs() * count[kept]).sum().item() / len(confidence)
    return Reliability(tuple(mean.tolist()), tuple(share.tolist()), tuple(count[kept].tolist()), round(gap, 12))
