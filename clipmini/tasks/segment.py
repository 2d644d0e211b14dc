"""How well a segmenter cuts things out, on scenes whose masks are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from clipmini.segmenter.cutouts import box_of
from clipmini.segmenter.examples import coarse
from clipmini.segmenter.prompt import Prompt
from clipmini.tasks.classify import make_classifier
from clipmini.tasks.detect import Rough, candidates, named, overlaps
from clipmini.tasks.heatmap import heatmap

SMALLEST = 30  # pixels of what is asked for
INSIDE = 0.95  # of a part that lies in another one: a part of a part
CLICKS = 5
OFF = 0.1  # of a box's sides
RESAMPLED = 1000
WINDOWS = 0.3  # from which the map of `windows` counts as the thing: the best mask on 25 scenes of EmojiOne
ABSENT = 6  # names of what is not in a scene, asked for beside its own


@dataclass(frozen=True)
class Target:
    """What is asked for. kind: "whole", "part" or "subpart"; mask (H, W) bool; box: left, top, right, bottom."""

    kind: str
    mask: np.ndarray
    box: tuple[int, int, int, int]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks; 0 where both are empty."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def innermost(mask: np.ndarray) -> tuple[float, float]:
    """The middle of the pixel of a mask that is farthest from its edge, where people and papers click."""
    from scipy.ndimage import distance_transform_edt

    far = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(far.argmax()), far.shape)
    return float(x) + 0.5, float(y) + 0.5


def targets(scene: Any) -> list[Target]:
    """The things of a scene and their parts, those that are large enough."""
    found = []
    for thing in scene.things:
        parts = [part for part in thing.parts if part.sum() >= SMALLEST]
        for number, mask in enumerate([thing.mask, *parts]):
            held = any((mask & other).sum() >= INSIDE * mask.sum() and other.sum() > mask.sum() for other in parts)
            kind = "whole" if number == 0 else "subpart" if held else "part"
            if mask.sum() >= SMALLEST:
                found.append(Target(kind, mask, box_of(mask)))
    return found


class Scores:
    """Numbers of several questions, by scene."""

    def __init__(self) -> None:
        self.rows: dict[str, list[list[float]]] = {}
        self.scenes = 0

    def next_scene(self) -> None:
        """What is added from now on is of another scene."""
        self.scenes += 1

    def add(self, name: str, value: float) -> None:
        """A number of the scene."""
        rows = self.rows.setdefault(name, [])
        rows += [[] for _ in range(self.scenes - len(rows))]
        rows[-1].append(value)

    def summary(self, seed: int = 0) -> dict[str, dict[str, float]]:
        """{question: mean, low and high (95 %, scenes drawn again and again), n}"""
        rng, found = np.random.default_rng(seed), {}
        for name, rows in self.rows.items():
            rows = rows + [[] for _ in range(self.scenes - len(rows))]
            sums, counts = np.array([sum(row) for row in rows]), np.array([len(row) for row in rows])
            drawn = rng.integers(len(rows), size=(RESAMPLED, len(rows)))
            means = sums[drawn].sum(1) / np.maximum(1, counts[drawn].sum(1))
            low, high = np.quantile(means, [0.025, 0.975])
            found[name] = {"mean": float(sums.sum() / counts.sum()), "low": float(low), "high": float(high),
                           "n": int(counts.sum())}
        return found


def measure(predictor: Any, scenes: Sequence[Any], absent: Sequence[Sequence[str]] = (), seed: int = 0,
            progress: bool = True, words: bool = True) -> dict[str, dict[str, float]]:
    """Mean IoU by kind of prompt, as Scores.summary has it. absent: for each scene names of what is not in it, for
    boxes from words; without, these are left out. words: ask for masks by words too."""
    from tqdm import tqdm

    scores, rng, found, total = Scores(), np.random.default_rng(seed), [], 0
    for number, scene in enumerate(tqdm(scenes, desc="cutting out", unit="scene", disable=not progress, leave=False)):
        scores.next_scene()
        predictor.set_image(scene.image)
        wanted = targets(scene)
        if wanted:
            _clicks(predictor, wanted, scores)
            _boxes(predictor, wanted, scores, rng)
        if words:
            _words(predictor, scene, scores)
        grid = candidates(predictor)
        _grid(grid, scene, scores)
        if absent:
            found += _named(predictor, grid, scene, absent[number], scores)
            total += sum(int(thing.mask.sum() >= SMALLEST) for thing in scene.things)
    named = {"boxes from words, AP50": {"mean": average_precision(found, total), "n": total}} if absent else {}
    return scores.summary() | named


def _clicks(predictor: Any, wanted: list[Target], scores: Scores) -> None:
    """One click in the middle, then each in the middle of the largest error, the last mask given back."""
    points = [[innermost(target.mask)] for target in wanted]
    labels = [[1] for _ in wanted]
    answers = predictor.predict_many([Prompt(points=found) for found in points])
    for target, answer in zip(wanted, answers, strict=True):
        all_three = [iou(mask.numpy(), target.mask) for mask in answer.masks]
        scores.add(f"{target.kind}: one click, best of three", max(all_three))
        scores.add(f"{target.kind}: one click, likeliest", all_three[0])
        scores.add(f"{target.kind}: error of the expected IoU, one click", abs(all_three[0] - float(answer.iou[0])))
    for click in range(2, CLICKS + 1):
        for row, (target, answer) in enumerate(zip(wanted, answers, strict=True)):
            point, label = _correction(answer.masks[0].numpy(), target.mask)
            points[row].append(point)
            labels[row].append(label)
        answers = predictor.predict_many([Prompt(points=points[row], labels=labels[row], mask=answers[row].logits[0])
                                          for row in range(len(wanted))])
        for target, answer in zip(wanted, answers, strict=True):
            value = iou(answer.masks[0].numpy(), target.mask)
            scores.add(f"{target.kind}: {click} clicks", value)
            scores.add(f"{target.kind}: error of the expected IoU, {click} clicks", abs(value - float(answer.iou[0])))


def _correction(mask: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, float], int]:
    """Where somebody would click next, and whether it is in it (1) or not (0)."""
    from scipy.ndimage import distance_transform_edt

    missing, extra = truth & ~mask, mask & ~truth
    deep = [distance_transform_edt(np.pad(region, 1)).max() for region in (missing, extra)]
    if not missing.any() and not extra.any():
        return innermost(truth), 1
    return (innermost(missing), 1) if deep[0] >= deep[1] else (innermost(extra), 0)


def _boxes(predictor: Any, wanted: list[Target], scores: Scores, rng: np.random.Generator) -> None:
    """Boxes, boxes with sides that are off, coarse masks, and what filling the box would give."""
    h, w = wanted[0].mask.shape
    moved = []
    for target in wanted:
        left, top, right, bottom = target.box
        a, b, c, d = rng.choice([-OFF, OFF], 4)
        moved.append((max(0, left + a * (right - left)), max(0, top + b * (bottom - top)),
                      min(w, right + c * (right - left)), min(h, bottom + d * (bottom - top))))
    drawn = [coarse(torch.from_numpy(target.mask).float()) > 0 for target in wanted]
    asked = {"box": [Prompt(box=target.box) for target in wanted],
             "box off by 10 %": [Prompt(box=box) for box in moved],
             "coarse mask": [Prompt(mask=mask) for mask in drawn]}
    for name, prompts in asked.items():
        for target, answer in zip(wanted, predictor.predict_many(prompts), strict=True):
            value = iou(answer.masks[0].numpy(), target.mask)
            scores.add(f"{target.kind}: {name}", value)
            scores.add(f"{target.kind}: error of the expected IoU, {name}", abs(value - float(answer.iou[0])))
    for target in wanted:
        filled = np.zeros_like(target.mask)
        left, top, right, bottom = target.box
        filled[top:bottom, left:right] = True
        scores.add(f"{target.kind}: fill the box", iou(filled, target.mask))


def by_name(scene: Any) -> dict[str, np.ndarray]:
    """What each word means in a scene: all things of that name."""
    found: dict[str, np.ndarray] = {}
    for thing in scene.things:
        found[thing.name] = found.get(thing.name, False) | thing.mask
    return {name: mask for name, mask in found.items() if mask.sum() >= SMALLEST}


def _words(predictor: Any, scene: Any, scores: Scores) -> None:
    named = by_name(scene)
    answers = predictor.predict_many([Prompt(text=name) for name in named])
    if predictor.embedder is not None and named:
        maps = heatmap(predictor.embedder, scene.image, list(named), method="windows", progress=False).maps[None]
        large = F.interpolate(maps.float(), size=scene.image.size[::-1], mode="bilinear", align_corners=False)[0]
        for map_, truth in zip(large.numpy(), named.values(), strict=True):
            scores.add("words -> mask, CLIP's windows alone", iou(map_ >= WINDOWS, truth))
    for (_, truth), answer in zip(named.items(), answers, strict=True):
        scores.add("words -> mask", iou(answer.masks[0].numpy(), truth))
        scores.add("words -> mask, best of three", max(iou(mask.numpy(), truth) for mask in answer.masks))


def _grid(grid: list[Rough], scene: Any, scores: Scores) -> None:
    """Is each thing among what a grid of clicks cuts out?"""
    masks = [one.full() for one in grid]
    scores.add("cut-outs of the grid", len(masks))
    for thing in scene.things:
        if thing.mask.sum() >= SMALLEST:
            best = max((iou(mask, thing.mask) for mask in masks), default=0.0)
            scores.add("grid: recall at 0.5", float(best >= 0.5))


def _named(predictor: Any, grid: list[Rough], scene: Any, absent: Sequence[str],
           scores: Scores) -> list[tuple[float, bool]]:
    """(score, right) of each box that is found for the scene's own names and for those that are absent."""
    names, rows = list(dict.fromkeys(thing.name for thing in scene.things)), []
    found = named(predictor, make_classifier(predictor.embedder, [*names, *absent], "plain", True), grid, 0.0)
    left = [(thing.name, box_of(thing.mask)) for thing in scene.things if thing.mask.sum() >= SMALLEST]
    for one in found.cutouts:
        fits = [(box_iou(one.box, box), row) for row, (name, box) in enumerate(left) if name == one.label]
        overlap, row = max(fits, default=(0.0, -1))
        if overlap >= 0.5:
            del left[row]
        rows.append((one.score, overlap >= 0.5))
    for name in names:
        scores.add("probability of being there, there", found.there[name])
    for name in absent:
        scores.add("probability of being there, absent", found.there[name])
    return rows


def box_iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes: left, top, right, bottom."""
    return float(overlaps(torch.tensor(one).float(), torch.tensor([other]).float()))


def average_precision(found: Sequence[tuple[float, bool]], total: int) -> float:
    """The area under precision and recall of boxes (score, right), where `total` could be found; precision as the best
    of this recall or more (Pascal VOC 2010).

    >>> average_precision([(0.9, True), (0.8, False), (0.7, True)], 2)
    0.8333333333333333
    """
    right = np.array([fits for _, fits in sorted(found, key=lambda row: -row[0])], float)
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * right).sum() / max(1, total))


def lines(found: dict[str, dict[str, float]]) -> str:
    """What measure found, a question a line."""
    rows = []
    for name, row in found.items():
        interval = f" ({row['low']:.3f} to {row['high']:.3f})" if "low" in row else ""
        rows.append(f"{name:<52}{row['mean']:.3f}{interval}  n = {row['n']}")
    return "\n".join(rows)
