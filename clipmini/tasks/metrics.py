"""Numbers for how good a model is, each with its 95% interval where it is a share of trials."""

import math
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


def wilson(share: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """The 95% interval of a share of n trials (Wilson 1927): honest for few trials and near 0 and 1.

    >>> [round(x, 3) for x in wilson(0.5, 10)]
    [0.237, 0.763]
    """
    centre, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + z * z / n)), min(1.0, (centre + spread) / (1 + z * z / n))


def top1_correct(scores: Tensor, targets: Tensor) -> Tensor:
    """Is the class with the largest score the right one? scores (N, K), targets (N,) int -> (N,) bool."""
    return scores.argmax(dim=1) == targets


def accuracy(correct: Tensor) -> float:
    """The share of True, 0 to 1. correct: (N,) bool.

    >>> accuracy(torch.tensor([True, True, False, True]))
    0.75
    """
    return correct.float().mean().item()


def top_k_accuracy(ranking: Tensor, targets: Tensor, ks=(1, 5)) -> dict[int, float]:
    """{k: share of rows whose class is among the first k}.

    ranking (N, m): class numbers, the best first; where m < k, the m stand for the k. targets (N,) int.

    >>> top_k_accuracy(torch.tensor([[0, 1], [0, 1]]), torch.tensor([0, 1]), ks=(1, 2))
    {1: 0.5, 2: 1.0}
    """
    hit = ranking == targets[:, None]
    return {k: accuracy(hit[:, :k].any(dim=1)) for k in ks}


def mean_per_class_recall(correct: Tensor, targets: Tensor) -> tuple[float, tuple[float, float]]:
    """The mean over classes of the share that is right in each, and its 95% interval. Only classes that occur count.

    correct (N,) bool, targets (N,) int. The interval is Wilson's, for as many trials as would give the mean its
    variance if all classes were equally hard: with n_c rows in each of C classes, C^2 / sum(1 / n_c).

    >>> round(mean_per_class_recall(torch.tensor([True, True, True, False]), torch.tensor([0, 0, 0, 1]))[0], 6)
    0.5
    """
    count = torch.bincount(targets)
    right = torch.bincount(targets[correct], minlength=len(count))[count > 0]
    count = count[count > 0].double()
    recall = (right / count).mean().item()
    return recall, wilson(recall, len(count) ** 2 / (1 / count).sum().item())


def recall_at_k(queries: Tensor, gallery: Tensor, relevant: Tensor, ks=(1, 5, 10)) -> dict[int, float]:
    """Share of the queries that have at least one relevant item among their first k.

    queries (Q, E), gallery (G, E) unit vectors; relevant (Q, G) bool. CLIP paper, table 13: with five captions a
    picture a picture's query counts as found when any of the five is among the first k.

    >>> recall_at_k(torch.eye(2), torch.eye(2).flip(0), torch.eye(2, dtype=torch.bool), ks=(1, 2))
    {1: 0.0, 2: 1.0}
    """
    if not bool(relevant.any(dim=1).all()):
        lost = int((~relevant.any(dim=1)).nonzero()[0])
        raise ValueError(f"query {lost} has no relevant item, so it cannot be found")
    most = min(max(ks), len(gallery))
    hit = torch.cat([relevant[i:i + 1000].gather(1, (queries[i:i + 1000] @ gallery.t()).topk(most).indices)
                     for i in range(0, len(queries), 1000)])  # (Q, most), a thousand queries at a time
    return {k: hit[:, :k].any(dim=1).double().mean().item() for k in ks}


def first_ranks(queries: Tensor, gallery: Tensor, relevant: Tensor) -> Tensor:
    """The place of each query's best relevant item, from 1 -> (Q,) int64. Shapes as in recall_at_k; of items that are
    equally near, the relevant one counts as the first."""
    ranks = []
    for i in range(0, len(queries), 1000):  # a thousand queries at a time
        scores, right = queries[i:i + 1000] @ gallery.t(), relevant[i:i + 1000]
        best = scores.masked_fill(~right, -math.inf).amax(dim=1, keepdim=True)
        ranks.append(1 + (scores > best).sum(dim=1))
    return torch.cat(ranks) if ranks else torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True)
class Report:
    """How well zero-shot classification did on n pictures among K classes. Shares are 0 to 1.

    top: {k: share of pictures whose class is among the first k}. mean_per_class_recall: over the classes that occur.
    intervals: 95% interval for "top1", "top5", ... and "mean_per_class_recall". confidence: mean probability of the
    first answer. left_out: {number of a row that could not be used: why}.
    """

    name: str
    n: int
    K: int
    top: dict[int, float]
    mean_per_class_recall: float
    intervals: dict[str, tuple[float, float]]
    confidence: float
    templates: tuple[str, ...]
    left_out: dict[int, str] = field(default_factory=dict)

    @property
    def top1(self) -> float:
        return self.top[1]

    @property
    def top5(self) -> float:
        return self.top[5]

    def __str__(self) -> str:
        return table([self])


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of cells as lines of text, each column as wide as its longest cell, two blanks between columns.

    right: numbers of the columns whose cells stand at the right. East Asian letters take two places, marks none.

    >>> columns([["what", "n"], ["cat", "1,000"]], right={1})
    ['what      n', 'cat   1,000']
    """
    widths = [max(map(_places, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for i, cell in enumerate(row):
            gap = " " * (widths[i] - _places(cell))
            cells.append(gap + cell if i in right else cell + gap)
        lines.append("  ".join(cells).rstrip())
    return lines


def _places(text: str) -> int:
    """How many places a text takes on a terminal."""
    return sum(0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else
               2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(reports) -> str:
    """Reports of one dataset as lines of text, with the templates below."""
    reports = list(reports)
    first, names = reports[0], [f"top{k}" for k in reports[0].top] + ["mean_per_class_recall"]
    left = f" ({len(first.left_out):,} left out)" if first.left_out else ""
    rows = [["templates", *(name.replace("_", " ") for name in names), "confidence"]]
    for r in reports:
        values = zip([*r.top.values(), r.mean_per_class_recall], (r.intervals[name] for name in names), strict=True)
        cells = [f"{value:.1%} [{low:.1%}, {high:.1%}]" for value, (low, high) in values]
        rows.append([r.name, *cells, f"{r.confidence:.1%}"])
    return "\n".join([
        f"{first.n:,} pictures{left}, {first.K:,} classes (chance {1 / first.K:.2%}); 95 % intervals in brackets",
        *columns(rows, right=range(1, len(rows[0]))), *(f"{r.name}: " + " | ".join(r.templates) for r in reports)])


def record(report: Report) -> dict:
    """A Report as numbers for JSON."""
    low, high = report.intervals["top1"]
    numbers = {"n": report.n, "classes": report.K, "top1": report.top1, "top5": report.top5, "top1_low": low,
               "top1_high": high, "mean_per_class_recall": report.mean_per_class_recall}
    return numbers | ({"left_out": report.left_out} if report.left_out else {})


@dataclass(frozen=True)
class Reliability:
    """For each bin of confidence that holds pictures: mean confidence, share right, how many; ece: mean gap, 0 to 1."""

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    count: tuple[int, ...]
    ece: float


def reliability(confidence: Tensor, right: Tensor, bins: int = 15) -> Reliability:
    """confidence (N,): probability of the first answer; right (N,) bool. Bins of equal width; the error weighs each bin
    by its pictures.

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
