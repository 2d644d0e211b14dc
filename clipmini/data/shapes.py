"""Coloured shapes: endless captioned scenes with exact masks, and combinations that can be held out.

A scene holds one or two objects out of 8 shapes, 8 colours and 2 sizes. 16 of the 64 colour-shape pairs are "unseen":
training on the others and asking for these is zero-shot in the small, the zebra from horses and tigers.
The same (n, seed, options) gives the same bits.
"""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clipmini.data.base import Question, Source, contact_sheet, option

if TYPE_CHECKING:
    from clipmini.embedder import Embedder

COLOURS = {"red": (222, 40, 40), "orange": (245, 135, 15), "yellow": (248, 222, 40), "green": (40, 165, 70),
           "cyan": (50, 205, 215), "blue": (45, 85, 220), "purple": (140, 55, 190), "pink": (250, 130, 185)}
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "crescent")
SIZES = ("small", "large")
RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
NAMES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)  # the 64 labels

_SUPER = 3  # sub-pixels along a side: a mask's value is the covered share of the pixel
_CHUNK = 512  # scenes drawn at a time


def held_out_pairs(seed: int = 0) -> tuple[tuple[str, str], ...]:
    """16 of the 64 (colour, shape) pairs such that every colour and every shape is left out exactly twice.

    So every colour and every shape is still seen, six times each, in other company.
    """
    rng = np.random.default_rng(seed)
    columns, step = rng.permutation(8), int(rng.integers(1, 8))
    colours = list(COLOURS)
    return tuple((colours[row], SHAPES[columns[(row + shift) % 8]]) for row in range(8) for shift in (0, step))


@dataclass(frozen=True)
class Object:
    """One thing in a scene. mask: bool (S, S), the pixels it shows; box: x0, y0, x1, y1 in pixels, x1 and y1
    exclusive."""

    shape: str
    colour: str
    size: str
    mask: np.ndarray
    box: tuple[int, int, int, int]

    @property
    def name(self) -> str:
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """image: uint8 (S, S, 3); relation: how the first object stands to the second, "" for one object."""

    image: np.ndarray
    caption: str
    objects: tuple[Object, ...]
    relation: str


# ---- what is in the scenes: whole numbers, drawn for all scenes at once --------------------------------


@dataclass
class Plan:
    """n scenes as arrays; the second axis is the object. A missing second object has shape -1.

    shape, colour, large (n, 2); centre (n, 2, 2) as x, y and radius (n, 2), in units of the picture's side; angle
    (n, 2) in radians; relation (n,), -1 for one object.
    """

    shape: np.ndarray
    colour: np.ndarray
    large: np.ndarray
    centre: np.ndarray
    radius: np.ndarray
    angle: np.ndarray
    relation: np.ndarray


def _allowed(pairs: str) -> np.ndarray:
    """The (colour, shape) index pairs of a split, (count, 2)."""
    unseen = {(list(COLOURS).index(c), SHAPES.index(s)) for c, s in held_out_pairs()}
    every = [(c, s) for c in range(8) for s in range(8)]
    splits = {"all": every, "unseen": sorted(unseen), "seen": [p for p in every if p not in unseen]}
    if pairs not in splits:
        raise ValueError(f"pairs is {pairs!r}; choose one of {', '.join(splits)}")
    return np.array(splits[pairs])


def plan(n: int, seed: int, objects, pairs: str) -> Plan:
    """Draw what is where. objects: 1, 2 or "both" (half and half)."""
    if objects not in (1, 2, "both"):
        raise ValueError(f"objects is {objects!r}; choose 1, 2 or 'both'")
    rng = np.random.default_rng(seed)
    allowed = _allowed(pairs)
    first, second = allowed[rng.integers(len(allowed), size=(2, n))]
    clash = (first == second).any(1)
    while clash.any():  # two colours and two shapes, or swapping them would not make a false caption
        second[clash] = allowed[rng.integers(len(allowed), size=clash.sum())]
        clash = (first == second).any(1)
    two = np.full(n, objects == 2) if objects != "both" else rng.random(n) < 0.5
    large = rng.random((n, 2)) < 0.5
    relation = np.where(two, rng.integers(4, size=n), -1)
    radius = np.where(two[:, None], np.where(large, 0.23, 0.13), np.where(large, 0.38, 0.2))
    radius = radius * rng.uniform(0.92, 1.08, (n, 2))
    colour, shape = np.stack([first, second], 1).transpose(2, 0, 1).copy()
    shape[~two, 1] = -1
    places = _places(rng, n, relation, radius)
    return Plan(shape, colour, large, places, radius, rng.uniform(-0.2, 0.2, (n, 2)), relation)


def _places(rng, n: int, relation: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Centres (n, 2, 2). Related objects are well apart along their axis, and near each other across it."""
    alone = rng.uniform(radius[:, :1], 1 - radius[:, :1], (n, 2))
    gap = radius.sum(1)
    along = np.empty((n, 2))
    along[:, 0] = radius[:, 0] + rng.random(n) * (1 - gap - radius[:, 0] - radius[:, 1]).clip(0)
    along[:, 1] = rng.uniform(np.minimum(along[:, 0] + gap, 1 - radius[:, 1]), 1 - radius[:, 1])
    across = np.empty((n, 2))
    across[:, 0] = rng.uniform(radius[:, 0], 1 - radius[:, 0])
    across[:, 1] = (across[:, 0] + rng.uniform(-0.5, 0.5, n) * gap).clip(radius[:, 1], 1 - radius[:, 1])
    swap = np.isin(relation, (1, 3))  # right of, below: the first object is the far one
    along[swap] = 1 - along[swap]
    horizontal = (relation < 2)[:, None]
    both = np.stack([np.where(horizontal, along, across), np.where(horizontal, across, along)], -1)
    return np.where((relation < 0)[:, None, None], alone[:, None], both)


# ---- drawing -------------------------------------------------------------------------------------------


def inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points lie in a shape of radius 1 around 0. u: to the right, v: downwards. Returns bool."""
    r2 = u * u + v * v
    if shape == "circle":
        return r2 <= 0.9
    if shape == "square":
        return np.maximum(abs(u), abs(v)) <= 0.8
    if shape == "triangle":
        return (v <= 0.75) & (abs(u) <= (v + 0.95) * 0.56)
    if shape == "cross":
        return (np.minimum(abs(u), abs(v)) <= 0.3) & (np.maximum(abs(u), abs(v)) <= 0.92)
    if shape == "ring":
        return (r2 <= 0.9) & (r2 >= 0.25)
    if shape == "crescent":
        return (r2 <= 0.9) & ((u - 0.45) ** 2 + v * v >= 0.55)
    if shape == "heart":
        x, y = 1.2 * u, 0.15 - 1.2 * v
        r = x * x + y * y - 1
        return r * r * r <= x * x * y * y * y  # not **3: numpy's power is many times slower
    # Star: fold the plane into one tenth of a turn; its edge runs from a tip (radius 1) to a notch (radius 0.42).
    turn = np.arctan2(u, -v) % (2 * np.pi / 5)
    fold, r = np.minimum(turn, 2 * np.pi / 5 - turn), np.sqrt(r2)
    x, y = r * np.cos(fold) - 1, r * np.sin(fold)
    nx, ny = 0.42 * np.cos(np.pi / 5) - 1, 0.42 * np.sin(np.pi / 5)
    return nx * y - ny * x >= 0


def _coverage(p: Plan, k: int, size: int) -> np.ndarray:
    """How much of each pixel object k covers, (n, size, size) float32 in 0..1."""
    n, fine = len(p.shape), size * _SUPER
    out = np.zeros((n, size, size), np.float32)
    ticks = ((np.arange(fine) + 0.5) / fine).astype(np.float32)
    for number, shape in enumerate(SHAPES):
        rows = np.flatnonzero(p.shape[:, k] == number)
        if not len(rows):
            continue
        x = (ticks - p.centre[rows, k, 0, None].astype(np.float32))[:, None, :]
        y = (ticks - p.centre[rows, k, 1, None].astype(np.float32))[:, :, None]
        radius = p.radius[rows, k, None, None].astype(np.float32)
        cos, sin = (f(p.angle[rows, k]).astype(np.float32)[:, None, None] / radius for f in (np.cos, np.sin))
        covered = inside(shape, x * cos + y * sin, y * cos - x * sin)
        out[rows] = covered.reshape(len(rows), size, _SUPER, size, _SUPER).mean((2, 4), dtype=np.float32)
    return out


def _backgrounds(rng, n: int, size: int) -> np.ndarray:
    """Greys, plain or shaded, a little noisy: (n, size, size, 3) float32 in 0..255. No object is grey."""
    ends = rng.uniform(0, 255, (n, 1, 1, 2)).astype(np.float32)
    ends[..., 1] = np.where(rng.random((n, 1, 1)) < 0.5, ends[..., 0], ends[..., 1])
    ramp = np.linspace(0, 1, size, dtype=np.float32)[None, None, :]
    grey = ends[..., 0] * (1 - ramp) + ends[..., 1] * ramp  # (n, 1, size)
    grey = np.where(rng.random((n, 1, 1)) < 0.5, np.broadcast_to(grey, (n, size, size)), grey.transpose(0, 2, 1))
    tint = rng.uniform(-12, 12, (n, 1, 1, 3)).astype(np.float32)
    noise = rng.standard_normal((n, size, size, 1), dtype=np.float32)
    noise = noise * rng.uniform(0, 12, (n, 1, 1, 1)).astype(np.float32)
    return grey[..., None] + tint + noise


def render(p: Plan, seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a plan -> (images uint8 (n, size, size, 3), masks bool (n, 2, size, size)). Objects do not overlap."""
    rng = np.random.default_rng((seed, 1))
    picture = _backgrounds(rng, len(p.shape), size)
    masks = np.zeros((len(p.shape), 2, size, size), bool)
    palette = np.array(list(COLOURS.values()), np.float32)
    for k in (0, 1):
        cover = _coverage(p, k, size)
        colour = palette[p.colour[:, k]] + rng.uniform(-14, 14, (len(cover), 3)).astype(np.float32)
        picture += cover[..., None] * (colour[:, None, None] - picture)
        masks[:, k] = cover > 0.5
    return picture.clip(0, 255).round().astype(np.uint8), masks


# ---- words ---------------------------------------------------------------------------------------------


def _object_words(p: Plan, i: int, k: int, sized: bool) -> str:
    size = SIZES[int(p.large[i, k])] + " " if sized else ""
    return f"{size}{NAMES[p.colour[i, k] * 8 + p.shape[i, k]]}"


def with_article(words: str) -> str:
    """Put "a" or "an" before a name.

    >>> with_article("orange star"), with_article("red star")
    ('an orange star', 'a red star')
    """
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def captions_of(p: Plan, i: int) -> list[str]:
    """True phrasings of scene i, the plain one first."""
    short, long = (_object_words(p, i, 0, sized) for sized in (False, True))
    if p.relation[i] < 0:
        return [with_article(short), with_article(long), short, long]
    relation = RELATIONS[p.relation[i]]
    other, other_long = (_object_words(p, i, 1, sized) for sized in (False, True))
    short, long, other, other_long = map(with_article, (short, long, other, other_long))
    return [f"{short} {relation} {other}", f"{long} {relation} {other_long}", f"{other} {OPPOSITE[relation]} {short}"]


def false_captions(p: Plan, i: int) -> tuple[list[str], list[str]]:
    """(relation swapped, binding swapped): the words of the first caption in an order that makes it false."""
    if p.relation[i] < 0:
        return [], []
    relation = RELATIONS[p.relation[i]]
    first, second = _object_words(p, i, 0, False), _object_words(p, i, 1, False)
    (colour, shape), (other_colour, other_shape) = first.split(), second.split()
    return ([f"{with_article(second)} {relation} {with_article(first)}"],
            [f"{with_article(f'{other_colour} {shape}')} {relation} {with_article(f'{colour} {other_shape}')}"])


# ---- scenes one by one, and data sets -------------------------------------------------------------------


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def scene(seed: int, size: int = 32, objects=1, pairs: str = "all") -> Scene:
    """One scene with its masks and boxes. size: side in pixels, at least 16; objects: 1 or 2; pairs as in `make`."""
    p = plan(1, seed, objects, pairs)
    images, masks = render(p, seed, _checked(size))
    count = 1 if p.relation[0] < 0 else 2
    things = tuple(Object(SHAPES[p.shape[0, k]], list(COLOURS)[p.colour[0, k]], SIZES[int(p.large[0, k])], masks[0, k],
                          _box(masks[0, k])) for k in range(count))
    relation = RELATIONS[p.relation[0]] if count == 2 else ""
    return Scene(images[0], captions_of(p, 0)[1], things, relation)


def _checked(size: int) -> int:
    if size < 16:
        raise ValueError(f"size is {size} pixels; small shapes need at least 16")
    return size


def arrays(n: int, seed: int = 0, size: int = 32, objects=1, pairs: str = "all") -> tuple[np.ndarray, Plan]:
    """n scenes without files: (images uint8 (n, size, size, 3), their Plan)."""
    p = plan(n, seed, objects, pairs)
    fields = vars(p)
    chunks = [render(Plan(**{k: v[i:i + _CHUNK] for k, v in fields.items()}), seed + i, _checked(size))[0]
              for i in range(0, n, _CHUNK)]
    return np.concatenate(chunks), p


def make(n: int, seed: int = 0, size: int = 32, objects=1, pairs: str = "all"):
    """A pairs dataset of n scenes.

    size: side in pixels; objects: 1, 2 or "both"; pairs: colour-shape combinations, "seen", "unseen" or "all".
    Returns a datasets.Dataset with columns image, captions (true, plain first), label (ClassLabel: colour and shape of
    the first object), relation, relation_negatives and binding_negatives (false captions of the same words; empty for
    one object).
    """
    from datasets import ClassLabel, Dataset, Features, Image, List, Value
    from PIL import Image as Pictures

    if n < 1:
        raise ValueError(f"n is {n}; ask for at least one scene")
    images, p = arrays(n, seed, size, objects, pairs)

    def encoded(image) -> dict:
        file = io.BytesIO()
        Pictures.fromarray(image).save(file, "PNG", compress_level=1)
        return {"bytes": file.getvalue(), "path": None}

    false = [false_captions(p, i) for i in range(n)]
    words = List(Value("string"))
    columns = {"image": [encoded(image) for image in images], "captions": [captions_of(p, i) for i in range(n)],
               "label": (p.colour[:, 0] * 8 + p.shape[:, 0]).tolist(),
               "relation": ["" if r < 0 else RELATIONS[r] for r in p.relation],
               "relation_negatives": [f[0] for f in false], "binding_negatives": [f[1] for f in false]}
    return Dataset.from_dict(columns, features=Features({
        "image": Image(), "captions": words, "label": ClassLabel(names=list(NAMES)), "relation": Value("string"),
        "relation_negatives": words, "binding_negatives": words}))


def preview(dataset, columns: int = 8, side: int = 96):
    """A contact sheet with the captions under the pictures, as a PIL image."""
    rows = dataset[:]
    return contact_sheet(rows["image"], [captions[0] for captions in rows["captions"]], columns, side)


@dataclass(frozen=True)
class Shapes(Source):
    """objects: 1 or 2 a scene; scenes: how many to train on; seed: None for 0 in a preview and QUESTION_SEED in
    questions."""

    name: str = "shapes"
    templates: str = "shapes"
    objects: int = 1
    scenes: int = 40_000
    rows: int = option(2000, "scenes to ask about (default 2000)")
    seed: int | None = option(None, "of the scenes in a preview or a question; training uses small ones")
    about: str = "endless scenes of 8 shapes, 8 colours, 2 sizes and 4 relations, drawn by this package"
    limits: str = "It knows eight shapes in eight colours on soft backgrounds, and sentences about them."

    def training_rows(self, size: int, seed: int, progress: bool = True):
        """Scenes of 48 of the 64 combinations of colour and shape."""
        data = make(self.scenes, seed, size=size, objects=self.objects, pairs="seen")
        # With two objects the label names the first alone: there the caption says what is the same.
        return data if self.objects == 1 else data.remove_columns("label")

    def held_out_rows(self, size: int):
        """Scenes of the other 16 combinations; of two objects, other scenes."""
        seed = QUESTION_SEED if self.seed is None else self.seed
        return make(self.rows, seed, size=size, objects=self.objects, pairs="unseen" if self.objects == 1 else "seen")

    def trained_on(self) -> str:
        """How many scenes of how many objects."""
        return f"{self.scenes:,} generated scenes of {self.objects} object(s), 48 of 64 colour-shape combinations"

    def questions(self, embedder: "Embedder", templates: str | list[str] | None = None) -> dict[str, Question]:
        """Unseen combinations by name; of two objects, whether the words' order is read."""
        rows = self.held_out_rows(embedder.config.vision.image_size)
        if self.objects == 2:
            return {"word order": Question(rows, kind="order")}
        return {"one template": Question(rows, ("a {}",)), "ensemble": Question(rows, templates or "shapes")}

    def report(self, embedder: "Embedder") -> dict[str, Question]:
        """Combinations of colour and shape that were seen, and others; or the order of words."""
        size = embedder.config.vision.image_size
        if self.objects == 2:
            rows = make(2000, REPORT_SEED, size=size, objects=2, pairs="seen")
            return {"word order": Question(rows, kind="order")}
        return {f"{which} combinations": Question(make(2000, QUESTION_SEED, size=size, pairs=which), ("a {}",))
                for which in ("seen", "unseen")}

    def _shown(self):
        return make(48, self.seed or 0, size=64, objects="both" if self.objects == 1 else 2)

    def described(self) -> list[str]:
        """The world, and eight captions of it."""
        captions = [f"  {row[0]}" for row in self._shown()["captions"][:8]]
        return [f"{self.about}; for example:", *captions]

    def preview(self):
        """Scenes of one and two objects."""
        return preview(self._shown())


REPORT_SEED, QUESTION_SEED = 10_001, 10_002  # training uses small ones
SOURCE = Shapes()
ORDER = Shapes("order", "plain", objects=2)  # sentences go into no template
