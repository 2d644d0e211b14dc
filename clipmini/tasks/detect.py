"""Words to boxes: everything in a picture is cut out, CLIP says what each cut-out is, and the segmenter's own answer to
the words says whether they are there at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipmini.segmenter.cutouts import box_of
from clipmini.segmenter.prompt import Prompt
from clipmini.segmenter.prompt import PromptError as SegmenterPromptError
from clipmini.tasks.classify import Classifier, make_classifier
from clipmini.tasks.prompts import clean_labels
from clipmini.tasks.segmenters import Detector

GRID = 16  # points a side
LIKELY = 0.3  # expected IoU of a mask that is kept
STABLE = 0.3  # IoU of the masks above +1 and above -1: less, and its edge could be anywhere
SAME = 0.7  # IoU of boxes from which two cut-outs are one
SMALLEST, LARGEST = 0.0005, 0.95  # of the picture: smaller is a speck, larger is the picture
MARGIN = 0.08  # around a cut-out, of its longer side, before CLIP sees it
# Powers with which a label's presence, a mask's expected IoU, and its share inside of what the segmenter itself answers
# to the label count beside CLIP's probability: the best AP50 of 48 triples on scenes of EmojiOne.
THERE, WORTH, AGREES = 0.5, 1.5, 1.0
FOUND = 0.05  # score from which a label is said to be there: the best F1 on the same scenes is near it


@dataclass(frozen=True)
class Cutout:
    """A part of a picture. mask (H, W) bool; box: left, top, right, bottom in pixels; iou: what the mask is expected to
    be worth; label and score: what it is, "" and 0 where nobody asked."""

    mask: np.ndarray
    box: tuple[int, int, int, int]
    iou: float
    label: str = ""
    score: float = 0.0


@dataclass(frozen=True)
class Rough:
    """A cut-out in the model's resolution: logits (s, s) and the frame that brings them to the picture's."""

    logits: Tensor
    iou: float
    frame: Any

    def box(self) -> tuple[float, float, float, float]:
        """left, top, right, bottom in the picture's pixels. The mask must not be empty."""
        y, x = (self.logits > 0).nonzero().unbind(1)
        cells = float(x.min()), float(y.min()), float(x.max()) + 1, float(y.max()) + 1
        return self.frame.box_out(cells, len(self.logits))

    def full(self) -> np.ndarray:
        """The mask (H, W) of the whole picture."""
        return (self.frame.masks_out(self.logits) > 0).numpy()


def overlaps(one: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of a box (4,) with others (N, 4) -> (N,)."""
    low, high = torch.maximum(one[:2], others[:, :2]), torch.minimum(one[2:], others[:, 2:])
    inner = (high - low).clamp(min=0).prod(1)
    return inner / ((one[2:] - one[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - inner).clamp(min=1e-9)


def nms(boxes: Tensor, scores: Tensor, limit: float = SAME) -> list[int]:
    """Non-maximum suppression: rows of boxes (N, 4), the best score first, of which no two overlap by more than limit.

    >>> nms(torch.tensor([[0., 0, 2, 2], [0, 0, 2, 2.1], [5, 5, 6, 6]]), torch.tensor([0.5, 0.9, 0.1]))
    [1, 2]
    """
    order, kept = scores.sort(descending=True, stable=True).indices.tolist(), []
    gone = torch.zeros(len(boxes), dtype=torch.bool)
    for row in order:
        if not gone[row]:
            kept.append(row)
            gone |= overlaps(boxes[row], boxes) > limit
    return kept


def stability(logits: Tensor) -> Tensor:
    """How little masks (..., s, s) change between thresholds -1 and +1 -> (...), Kirillov et al. 2023, appendix B."""
    return (logits > 1).sum((-2, -1)) / (logits > -1).sum((-2, -1)).clamp(min=1)


def grid_points(width: int, height: int, side: int = GRID) -> list[tuple[float, float]]:
    """side x side points of a picture, the middles of equal cells."""
    return [((x + 0.5) * width / side, (y + 0.5) * height / side) for y in range(side) for x in range(side)]


def candidates(predictor: Any, side: int = GRID, likely: float = LIKELY, stable: float = STABLE,
               same: float = SAME) -> list[Rough]:
    """What a grid of clicks cuts out of the predictor's picture, the best first, no two alike."""
    width, height = predictor.image.size
    prompts = [Prompt(points=[point]) for point in grid_points(width, height, side)]
    found = [Rough(logits, float(iou), frame) for rough in predictor.rough(prompts)
             for logits, iou, frame in zip(rough.logits, rough.iou, rough.frames, strict=True)]
    return distinct([one for one in found if _is_good(one, likely, stable)], same)


def _is_good(one: Rough, likely: float, stable: float) -> bool:
    area = float((one.logits > 0).float().mean())
    return one.iou >= likely and SMALLEST <= area <= LARGEST and float(stability(one.logits)) >= stable


def distinct(found: Sequence[Rough], same: float = SAME) -> list[Rough]:
    """The best of those that are the same."""
    if not found:
        return []
    return [found[row] for row in nms(torch.tensor([one.box() for one in found]),
                                      torch.tensor([one.iou for one in found]), same)]


def everything(predictor: Any, image: Any, side: int = GRID, likely: float = LIKELY, stable: float = STABLE,
               same: float = SAME) -> list[Cutout]:
    """All that can be cut out of a picture, the likeliest first. side: points of the grid a side; likely: least
    expected IoU; stable: least stability; same: IoU of boxes from which two are one. Raises ImageError."""
    predictor.set_image(image)
    return [_full(one) for one in candidates(predictor, side, likely, stable, same)]


def _full(one: Rough, label: str = "", score: float = 0.0) -> Cutout:
    mask = one.full()
    return Cutout(mask, box_of(mask), one.iou, label, score)


def cut_out(image: Image.Image, one: Rough) -> Image.Image:
    """A cut-out by itself, RGBA in a square, all else transparent: what CLIP is asked about."""
    left, top, right, bottom = one.box()
    edge = MARGIN * max(right - left, bottom - top)
    window = (max(0, int(left - edge)), max(0, int(top - edge)), min(image.width, int(np.ceil(right + edge))),
              min(image.height, int(np.ceil(bottom + edge))))
    alpha = one.frame.masks_out(one.logits, window=window).sigmoid()
    found = image.crop(window).convert("RGBA")
    found.putalpha(Image.fromarray((alpha * 255).byte().numpy()))
    longer = max(found.size)
    square = Image.new("RGBA", (longer, longer), (255, 255, 255, 0))
    square.paste(found, ((longer - found.width) // 2, (longer - found.height) // 2))
    return square


@dataclass(frozen=True)
class Detections:
    """cutouts: the best first; there: {label: how probable it is that it is in the picture}; none: labels of which
    nothing was found."""

    cutouts: tuple[Cutout, ...]
    there: dict[str, float]
    none: tuple[str, ...]

    @classmethod
    def of(cls, cutouts: Sequence[Cutout], there: dict[str, float]) -> "Detections":
        """In order of their scores, with what was not found. there: of all labels."""
        found = {one.label for one in cutouts}
        return cls(tuple(sorted(cutouts, key=lambda one: -one.score)), there,
                   tuple(label for label in there if label not in found))


def detect(predictor: Any, image: Any, labels: Sequence[str] | Classifier, templates: Any = "plain",
           threshold: float | None = None, side: int = GRID) -> Detections:
    """Find what labels name. predictor: what load_segmenter gives; its embedder reads the labels. threshold: least
    score, default the model's own. Raises ImageError, PromptError, LabelTooLongError."""
    if isinstance(predictor, Detector):
        return _boxed(predictor, image, labels, predictor.threshold if threshold is None else threshold)
    if predictor.embedder is None:
        raise SegmenterPromptError(f"{predictor.name!r} does not read labels; give load_segmenter an embedder=")
    if not isinstance(labels, Classifier):
        labels = make_classifier(predictor.embedder, labels, templates, True)
    predictor.set_image(image)
    return named(predictor, labels, candidates(predictor, side), FOUND if threshold is None else threshold)


def named(predictor: Any, classifier: Classifier, grid: Sequence[Rough], threshold: float) -> Detections:
    """Which cut-outs of the predictor's picture the labels name. grid: what `candidates` gave."""
    worded = predictor.rough([Prompt(text=label) for label in classifier.labels])
    there = {label: rough.there for label, rough in zip(classifier.labels, worded, strict=True)}
    own = [Rough(rough.logits[0], float(rough.iou[0]), rough.frames[0]) for rough in worded]
    found = distinct([*(one for one in own if _is_good(one, 0, 0)), *grid], SAME)
    if not found:
        return Detections.of((), there)
    scores = label_scores(predictor.embedder, classifier, [cut_out(predictor.image, one) for one in found])  # (N, K)
    scores = (scores * torch.tensor(list(there.values())) ** THERE
              * torch.tensor([[one.iou] for one in found]).clamp(min=0) ** WORTH * agreement(found, own) ** AGREES)
    boxes = torch.tensor([one.box() for one in found])
    cutouts: list[Cutout] = []
    for k, label in enumerate(classifier.labels):
        rows = [row for row in range(len(found)) if scores[row, k] >= threshold]
        kept = nms(boxes[rows], scores[rows, k], 0.5) if rows else []
        cutouts += [_full(found[rows[i]], label, float(scores[rows[i], k])) for i in kept]
    return Detections.of(cutouts, there)


def _boxed(predictor: Detector, image: Any, labels: Sequence[str] | Classifier, threshold: float) -> Detections:
    """What a detector itself says."""
    wanted = labels.labels if isinstance(labels, Classifier) else clean_labels(labels).labels
    predictor.set_image(image)
    found, there = [], {}
    for label in wanted:
        boxes, scores = predictor.find(label)
        there[label] = float(scores[0])
        kept = scores >= threshold
        boxes, scores = boxes[kept], scores[kept]
        found += [_filled(predictor.image, boxes[row], label, float(scores[row])) for row in nms(boxes, scores, 0.5)]
    return Detections.of(found, there)


def _filled(image: Image.Image, box: Tensor, label: str, score: float) -> Cutout:
    left, top, right, bottom = box.round().int().tolist()
    mask = np.zeros((image.height, image.width), bool)
    mask[top:bottom, left:right] = True
    return Cutout(mask, (left, top, right, bottom), score, label, score)


def agreement(found: Sequence[Rough], worded: Sequence[Rough]) -> Tensor:
    """What share of each cut-out (N) lies inside of each answer to words (K) -> (N, K), 0.05 at least."""
    inside = torch.stack([one.logits > 0 for one in worded]).flatten(1).float()  # (K, cells)
    masks = torch.stack([one.logits > 0 for one in found]).flatten(1).float()  # (N, cells)
    return (masks @ inside.t() / masks.sum(1, keepdim=True).clamp(min=1)).clamp(min=0.05)


def label_scores(embedder: Any, classifier: Classifier, pictures: list[Image.Image]) -> Tensor:
    """How probable each label is for each cut-out, everyday words competing -> (N, K)."""
    texts = classifier.texts if classifier.others is None else torch.cat([classifier.texts, classifier.others])
    logits = embedder.logit_scale * embedder.embed_images(pictures) @ texts.t()
    return logits.softmax(1)[:, :len(classifier.labels)]
