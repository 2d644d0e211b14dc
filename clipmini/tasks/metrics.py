"""Numbers for how good a model is, each with its 95 % interval where it is a share of trials."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def wilson(share: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share of n trials (Wilson 1927): honest for few trials and near 0 and 1.

    >>> [round(x, 3) for x in wilson(0.5, 10)]
    [0.237, 0.763]
    """
    centre, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + z * z / n)), min(1.0, (centre + spread) / (1 + z * z / n))


@dataclass(frozen=True)
class Report:
    """How well zero-shot classification did on n pictures among K classes. Shares are 0 to 1.

    top: {k: share of pictures whose class is among the first k}. mean_per_class_recall: over the classes that occur.
    intervals: 95 % Wilson interval for "top1", "top5", ... and "mean_per_class_recall" (there with as many trials as
    give the mean its variance, were all classes equally hard). confidence: mean probability of the first answer.
    """

    name: str
    n: int
    K: int
    top: dict[int, float]
    mean_per_class_recall: float
    intervals: dict[str, tuple[float, float]]
    confidence: float
    templates: tuple[str, ...]

    @property
    def top1(self) -> float:
        return self.top[1]

    @property
    def top5(self) -> float:
        return self.top[5]

    def __str__(self) -> str:
        return table([self])


def table(reports) -> str:
    """Reports of one dataset as lines of text, with the templates below."""
    reports = list(reports)
    names = [f"top{k}" for k in reports[0].top] + ["mean_per_class_recall"]
    width = max(12, *(len(r.name) for r in reports))
    lines = [f"{reports[0].n:,} pictures, {reports[0].K:,} classes (chance {1 / reports[0].K:.2%}); 95 % intervals in brackets",
             f"{'templates':<{width}}" + "".join(f"  {name.replace('_', ' '):>21}" for name in names) + "  confidence"]
    for r in reports:
        values = [*r.top.values(), r.mean_per_class_recall]
        cells = [f"{v:.1%} [{r.intervals[n][0]:.1%}, {r.intervals[n][1]:.1%}]" for n, v in zip(names, values, strict=True)]
        lines.append(f"{r.name:<{width}}" + "".join(f"  {cell:>21}" for cell in cells) + f"  {r.confidence:>10.1%}")
    return "\n".join(lines + [f"{r.name}: " + " | ".join(r.templates) for r in reports])


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
