"""What can be asked of a picture, and what is wrong with it."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

MOST_POINTS = 50


class PromptError(ValueError):
    """A prompt that can't be answered; the message names the value, the limit and the remedy."""


class Prompt(NamedTuple):
    """What to cut out, in the picture's pixels: points (x, y) with labels 1 (in it) or 0 (not in it), a box (left, top,
    right, bottom), words, a mask (H, W) of booleans or logits; any of them, together too."""

    points: Any = None
    labels: Any = None
    box: Any = None
    text: str | None = None
    mask: Any = None

    @property
    def doubtful(self) -> bool:
        """Is it one click and nothing else? That may mean a thing, its part, or a part of that."""
        alone = self.box is None and self.mask is None and self.text is None
        return alone and self.points is not None and len(self.points) == 1


def checked(prompt: Prompt, size: tuple[int, int]) -> Prompt:
    """The prompt as tensors: points (T, 2), labels (T,), box (2, 2) inside the picture, mask (H, W) in -1..1. size:
    width and height of the picture. Raises PromptError."""
    if prompt.points is None and prompt.labels is not None:
        raise PromptError("there are labels and no points; give points (x, y), as many as labels")
    if all(value is None for value in (prompt.points, prompt.box, prompt.text, prompt.mask)):
        raise PromptError("the prompt is empty; give a point, a box, words or a mask")
    points, labels = (None, None) if prompt.points is None else _points(prompt.points, prompt.labels, size)
    others = (prompt.box, prompt.text, prompt.mask)
    if labels is not None and not bool(labels.any()) and all(value is None for value in others):
        raise PromptError(f"the prompt is {len(labels)} negative point{'s' * (len(labels) > 1)}, which say what it is "
                          "not; add a positive point, a box, words or a mask")
    return Prompt(points, labels, None if prompt.box is None else _box(prompt.box, size),
                  None if prompt.text is None else _text(prompt.text),
                  None if prompt.mask is None else _mask(prompt.mask, size))


def _points(points: Any, labels: Any, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    where = _numbers(points, "points")
    where = where[None] if where.ndim == 1 and len(where) == 2 else where
    if where.ndim != 2 or where.shape[1] != 2 or not 1 <= len(where) <= MOST_POINTS:
        raise PromptError(f"points have the shape {tuple(where.shape)}; give 1 to {MOST_POINTS} pairs (x, y)")
    kinds = torch.ones(len(where)) if labels is None else _numbers(labels, "labels").flatten()
    if len(kinds) != len(where) or not bool(((kinds == 0) | (kinds == 1)).all()):
        raise PromptError(f"labels are {kinds.tolist()[:10]} for {len(where)} points; give one for each, 1 for in it "
                          "and 0 for not in it")
    for x, y in where.tolist():
        if not (0 <= x <= size[0] and 0 <= y <= size[1]):
            raise PromptError(f"the point ({x:g}, {y:g}) is outside the picture, which is {size[0]} x {size[1]} pixels")
    return where, kinds


def _box(box: Any, size: tuple[int, int]) -> Tensor:
    found = _numbers(box, "box").flatten()
    if len(found) != 4:
        raise PromptError(f"the box has {len(found)} numbers; give four: left, top, right, bottom")
    left, top, right, bottom = found.tolist()
    if not (left < right and top < bottom):
        raise PromptError(f"the box ({left:g}, {top:g}, {right:g}, {bottom:g}) has no area; give left < right and "
                          "top < bottom")
    if right <= 0 or bottom <= 0 or left >= size[0] or top >= size[1]:
        raise PromptError(f"the box ({left:g}, {top:g}, {right:g}, {bottom:g}) is outside the picture, which is "
                          f"{size[0]} x {size[1]} pixels")
    return torch.tensor([[max(left, 0), max(top, 0)], [min(right, size[0]), min(bottom, size[1])]])


def _text(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise PromptError(f"the words are {text!r}; say what to cut out, such as 'a red car'")
    return text.strip()


def _mask(mask: Any, size: tuple[int, int]) -> Tensor:
    found = mask if isinstance(mask, Tensor) else _array(mask)
    if tuple(found.shape) != (size[1], size[0]):
        raise PromptError(f"the mask has the shape {tuple(found.shape)}, the picture (height, width) = "
                          f"{(size[1], size[0])}; give one of the picture's size")
    if found.dtype == torch.bool:
        return found.float() * 2 - 1
    if not bool(torch.isfinite(found.float()).all()):
        raise PromptError("the mask holds NaN or infinite numbers; give booleans, or logits of an answer")
    return (found.float() / 2).tanh()


def _array(value: Any) -> Tensor:
    try:
        found = np.asarray(value)
        return torch.from_numpy(found if found.dtype == bool else found.astype(np.float32))
    except (TypeError, ValueError) as error:
        raise PromptError(f"the mask is {str(value)[:60]!r}; give an array (height, width) of booleans or logits"
                          ) from error


def _numbers(value: Any, name: str) -> Tensor:
    """Finite float32 numbers."""
    try:
        found = torch.from_numpy(np.array(value, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise PromptError(f"{name} is {str(value)[:60]!r}; give numbers of pixels") from error
    if not bool(torch.isfinite(found).all()):
        raise PromptError(f"{name} holds NaN or infinite numbers: {found.flatten().tolist()[:10]}")
    return found
