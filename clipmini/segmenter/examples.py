"""Scenes with exact masks -> pictures, prompts and what the masks should have been."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.data.scenes import Scene
from clipmini.segmenter.encoders import CORNER, NEGATIVE, OPPOSITE, POSITIVE, Prompts

CHAIN = 3  # masks under a click that count as right: the one that was meant, and two others it may have been
SMALLEST = 4.0  # cells of a mask that is asked for
LARGEST_ZOOM = 3.0
ZOOMED, FLIPPED, PADDED = 0.4, 0.5, 0.2  # probabilities
KINDS = ("point", "box", "mask", "text", "absent")
SHARES = (0.45, 0.22, 0.08, 0.17, 0.08)  # of the kinds
OF_PARTS = {"point": 0.3, "box": 0.5, "mask": 0.5, "text": 0.0}  # probabilities that a part is meant


@dataclass(frozen=True)
class Picture:
    """A scene to train on. image: uint8 (3, S, S); packed: its masks, things and parts, eight pixels a byte (M, S, S /
    8); thing (M,): of which thing each is; whole (M,) bool: which of them are things; names: of the things, "" where
    nobody said them. Arrays, for processes hand tensors to one another in files, of which there may not be so many."""

    image: np.ndarray
    packed: np.ndarray
    thing: np.ndarray
    whole: np.ndarray
    names: tuple[str, ...]

    @property
    def masks(self) -> Tensor:
        """(M, S, S) bool."""
        return torch.from_numpy(np.unpackbits(self.packed, axis=-1, count=self.image.shape[-1])).bool()


def as_picture(scene: Scene) -> Picture:
    """A scene as arrays."""
    masks = [mask for one in scene.things for mask in (one.mask, *one.parts)]
    thing = [number for number, one in enumerate(scene.things) for _ in (one.mask, *one.parts)]
    whole = [first for one in scene.things for first in (True, *(False for _ in one.parts))]
    size = scene.image.height
    return Picture(np.ascontiguousarray(np.asarray(scene.image).transpose(2, 0, 1)),
                   np.packbits(np.array(masks, bool).reshape(-1, size, size), axis=-1), np.array(thing, np.int64),
                   np.array(whole, bool), tuple(one.name for one in scene.things))


class Vocabulary:
    """What things are called, as CLIP's text vectors: several for each name."""

    def __init__(self, phrasings: dict[str, Sequence[str]], vectors: Tensor):
        self.names = list(phrasings)
        counts = [len(phrasings[name]) for name in self.names]
        starts = np.cumsum([0, *counts])
        self._rows = {name: (int(start), count) for name, start, count in zip(self.names, starts, counts, strict=False)}
        self._vectors = vectors

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return self._vectors.shape[1]

    def draw(self, name: str, rng: np.random.Generator) -> Tensor:
        """One of the vectors (E,) of a name; the first, the plainest, half of the time."""
        start, count = self._rows[name]
        return self._vectors[start + (0 if rng.random() < 0.5 else int(rng.integers(count)))]

    def other(self, names: Sequence[str], rng: np.random.Generator) -> str:
        """A name that is none of these."""
        while True:
            name = self.names[int(rng.integers(len(self.names)))]
            if name not in names:
                return name


@dataclass(frozen=True)
class Batch:
    """pixels (B, 3, S, S) normalised; prompts: N, N / B for each picture in order; truths (N, CHAIN, s, s) in 0..1: the
    mask that was meant, and what else the prompt may have meant; possible (N, CHAIN) bool; sure (N,) bool: prompts
    that leave no doubt; there (N,) bool."""

    pixels: Tensor
    prompts: Prompts
    truths: Tensor
    possible: Tensor
    sure: Tensor
    there: Tensor


class Example(NamedTuple):
    """One row of a Batch. prompt: the fields of Prompts."""

    prompt: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    truths: Tensor
    possible: Tensor
    sure: bool
    there: bool


def view(picture: Picture, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Image (3, S, S) float 0..255 and masks (M, S / 2, S / 2) in 0..1 of one picture, flipped, zoomed into and in
    other colours at random."""
    size = picture.image.shape[-1]
    zoom = rng.uniform(1, LARGEST_ZOOM) if rng.random() < ZOOMED else 1.0
    image, masks = torch.from_numpy(picture.image), picture.masks
    if zoom > 1:
        side = int(size / zoom)
        y, x = _corner(masks, side, rng)
        image, masks = image[:, y:y + side, x:x + side], masks[:, y:y + side, x:x + side]
        image = F.interpolate(image[None].float(), size=(size, size), mode="bicubic", align_corners=False)[0]
        masks = halved(masks, size // 2)
    else:
        image, masks = image.float(), F.avg_pool2d(masks.float(), 2)
    if rng.random() < FLIPPED:
        image, masks = image.flip(-1), masks.flip(-1)
    gains = torch.from_numpy(rng.uniform(0.75, 1.25, (3, 1, 1)).astype(np.float32))
    image = (image - 128) * gains + 128 + float(rng.uniform(-25, 25))
    if rng.random() < 0.15:
        image = image[torch.from_numpy(rng.permutation(3))]
    if rng.random() < 0.05:
        image = image.mean(0, keepdim=True).expand(3, -1, -1)
    return image.clamp(0, 255), masks


def halved(masks: Tensor, side: int) -> Tensor:
    """Masks (M, S, S) at another size (M, side, side) in 0..1; also where M is 0."""
    if not len(masks):
        return torch.zeros(0, side, side)
    return F.interpolate(masks[None].float(), size=(side, side), mode="bilinear", antialias=True)[0]


def padded(image: Tensor, masks: Tensor, mean: tuple[float, ...], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Some pictures are wide or high: what is missing of their square is the mean colour, and nothing is there."""
    if rng.random() >= PADDED:
        return image, masks
    side = masks.shape[-1]
    kept = int(rng.uniform(0.4, 1) * side)
    image, masks, grey = image.clone(), masks.clone(), torch.tensor(mean)[:, None, None] * 255
    if rng.random() < 0.5:
        image[:, 2 * kept:], masks[:, kept:] = grey, 0
    else:
        image[..., 2 * kept:], masks[..., kept:] = grey, 0
    return image, masks


def _corner(masks: Tensor, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """The upper left corner of a window of this side that shows some of a mask."""
    size = masks.shape[-1]
    if not len(masks):
        return int(rng.integers(size - side + 1)), int(rng.integers(size - side + 1))
    y, x = masks[int(rng.integers(len(masks)))].nonzero().float().mean(0).tolist()
    y, x = (v + rng.uniform(-0.3, 0.3) * side - side / 2 for v in (y, x))
    return int(np.clip(y, 0, size - side)), int(np.clip(x, 0, size - side))


def batch(pictures: Sequence[Picture], vocabulary: Vocabulary, n: int, mean: tuple[float, ...], std: tuple[float, ...],
          rng: np.random.Generator, points: int = 4) -> Batch:
    """n prompts for each picture. points: places for points that a prompt has, so that clicks can be added."""
    pixels, rows = [], []
    for picture in pictures:
        image, masks = padded(*view(picture, rng), mean, rng)
        pixels.append(image)
        rows += [_example(picture, masks, vocabulary, rng, points) for _ in range(n)]
    shift, scale = (torch.tensor(v)[:, None, None] * 255 for v in (mean, std))
    prompts = Prompts(*(torch.stack([row.prompt[i] for row in rows]) for i in range(5)))
    return Batch((torch.stack(pixels) - shift) / scale, prompts, torch.stack([row.truths for row in rows]),
                 torch.stack([row.possible for row in rows]), torch.tensor([row.sure for row in rows]),
                 torch.tensor([row.there for row in rows]))


def _example(picture: Picture, masks: Tensor, vocabulary: Vocabulary, rng: np.random.Generator,
             points: int) -> Example:
    """One prompt of a picture whose masks are (M, s, s), and what it may mean."""
    side = masks.shape[-1]
    large = ((masks.sum((1, 2)) >= SMALLEST) & (masks.flatten(1).amax(1) > 0.9 if len(masks) else True))
    kind = str(rng.choice(KINDS, p=SHARES))
    wholes = np.flatnonzero(large.numpy() & picture.whole).tolist()
    parts = np.flatnonzero(large.numpy() & ~picture.whole).tolist()
    if kind in ("text", "absent") and not all(picture.names):  # nobody said what its things are
        kind = "point"
    if not wholes:
        kind = "absent"
    found = Example(empty_prompt(points, side, vocabulary.width), torch.zeros(CHAIN, side, side),
                    torch.zeros(CHAIN, dtype=torch.bool), kind != "point", kind != "absent")
    where, types, text, mask, masked = found.prompt
    if kind == "absent":
        text.copy_(vocabulary.draw(vocabulary.other(picture.names, rng), rng))
        return found
    target = int(rng.choice(parts if parts and rng.random() < OF_PARTS[kind] else wholes))
    truths = [masks[target]]
    if kind == "text":
        name = picture.names[int(picture.thing[target])]
        same = [i for i in np.flatnonzero(picture.whole).tolist() if picture.names[int(picture.thing[i])] == name]
        text.copy_(vocabulary.draw(name, rng))
        truths = [masks[same].sum(0).clamp(max=1)]
    elif kind == "point":
        where[0], types[0] = point_in(masks[target] > 0.5, rng), POSITIVE
        truths += _also(masks, picture, target, where[0], rng)
    elif kind == "box":
        where[:2], types[0], types[1] = box_of(masks[target], rng), CORNER, OPPOSITE
    else:
        mask[0], _ = coarse(masks[target], rng), masked.fill_(True)
    found.truths[:len(truths)] = torch.stack(truths)
    found.possible[:len(truths)] = True
    return found


def empty_prompt(points: int, side: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The fields of Prompts for one prompt that says nothing. width: of text vectors."""
    return (torch.zeros(points, 2), torch.full((points,), -1), torch.zeros(width), torch.zeros(1, side, side),
            torch.zeros((), dtype=torch.bool))


def point_in(mask: Tensor, rng: np.random.Generator) -> Tensor:
    """A random point (2,) of a mask (s, s), as shares of the square. A mask with nothing in it gives its middle."""
    places = mask.nonzero()
    if not len(places):
        return torch.tensor([0.5, 0.5])
    y, x = places[int(rng.integers(len(places)))].tolist()
    return torch.tensor([x + rng.random(), y + rng.random()], dtype=torch.float32) / mask.shape[-1]


def _also(masks: Tensor, picture: Picture, target: int, point: Tensor, rng: np.random.Generator) -> list[Tensor]:
    """Other masks of the same thing under a point: the thing itself first, then any."""
    side = masks.shape[-1]
    x, y = (point * side).long().clamp(max=side - 1).tolist()
    under = np.flatnonzero((picture.thing == picture.thing[target]) & (masks[:, y, x] > 0.5).numpy()).tolist()
    others = [i for i in under if i != target]
    whole = [i for i in others if picture.whole[i]]
    rest = [i for i in rng.permutation([i for i in others if not picture.whole[i]]).astype(int).tolist()]
    return [masks[i] for i in (whole + rest)[:CHAIN - 1]]


def box_of(mask: Tensor, rng: np.random.Generator | None = None) -> Tensor:
    """The corners (2, 2) of what is in a mask (s, s), as shares; each side off by up to a tenth half of the time."""
    places = (mask > 0.5).nonzero()
    low, high = places.amin(0).flip(0).float(), places.amax(0).flip(0).float() + 1
    if rng is not None and rng.random() < 0.5:
        off = torch.from_numpy(rng.uniform(-0.1, 0.1, (2, 2)).astype(np.float32)) * (high - low)
        low, high = low + off[0], high + off[1]
    return torch.stack([low, high]) / mask.shape[-1]


def coarse(mask: Tensor, rng: np.random.Generator | None = None) -> Tensor:
    """A mask (s, s) in 0..1 as somebody would outline it in a hurry: cells of an eighth of it, -1 or 1."""
    cells = 9 if rng is None else int(rng.integers(6, 19))
    small = F.interpolate(mask[None, None], size=(cells, cells), mode="area")
    limit = 0.5 if rng is None else float(rng.uniform(0.25, 0.65))
    small = (small >= limit * small.max()).float() * 2 - 1
    return F.interpolate(small, size=mask.shape, mode="nearest")[0, 0]


def corrected(prompts: Prompts, logits: Tensor, truth: Tensor, rng: np.random.Generator) -> Prompts:
    """The prompts with one more click each, where a mask (N, s, s) of logits is wrong, and that mask fed back."""
    wrong = (logits > 0) != (truth > 0.5)
    points, types = prompts.points.clone(), prompts.types.clone()
    inner = F.avg_pool2d(wrong[:, None].float(), 5, 1, 2)[:, 0] * wrong
    for i in range(len(prompts)):
        free = (types[i] < 0).nonzero()[:, 0]
        if not len(free):
            continue
        region = wrong[i] if wrong[i].any() else truth[i] > 0.5
        if rng.random() < 0.5 and wrong[i].any():
            region = inner[i] >= inner[i].max()
        point = point_in(region, rng)
        x, y = (point * truth.shape[-1]).long().clamp(max=truth.shape[-1] - 1).tolist()
        points[i, free[0]], types[i, free[0]] = point, POSITIVE if truth[i, y, x] > 0.5 else NEGATIVE
    return Prompts(points, types, prompts.texts, (logits / 2).tanh()[:, None].detach(), torch.ones_like(prompts.masked))
