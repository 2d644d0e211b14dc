"""Scenes of several emoji on busy backgrounds, with masks: where a phrase should light up is known to the pixel."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from clipmini.data import emoji
from clipmini.data.base import Question, Source, contact_sheet, option

if TYPE_CHECKING:
    from clipmini.embedder import Embedder

SIDE = 224  # pixels of a scene
SMALLEST, LARGEST = 0.22, 0.42  # of a thing, as a share of the scene's side
PLACES_TRIED = 50  # for a thing that touches no other; after that the scene has one thing less


@dataclass(frozen=True)
class Thing:
    """One thing in a scene. mask: bool (S, S), the pixels it covers; parts: the same of its parts, where they are
    known."""

    name: str
    mask: np.ndarray
    parts: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Scene:
    """image: RGB, S x S; things: here two to four that don't touch, of different kinds."""

    image: Image.Image
    things: tuple[Thing, ...]


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Soft blotches of colour under fine noise: (size, size, 3) float32 in 0..255."""
    cells = int(rng.choice([1, 2, 3, 6]))
    blotches = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
    soft = np.asarray(blotches.resize((size, size), Image.Resampling.BICUBIC), np.float32)
    return soft + rng.normal(0, rng.uniform(0, 14), (size, size, 1)).astype(np.float32)


def make(dataset, n: int, seed: int = 0, size: int = SIDE) -> list[Scene]:
    """n scenes from a pairs dataset of drawings on nothing (RGBA), such as emoji.load("twemoji").

    The dataset's columns captions (the first is the thing's name) and, where there is one, subgroup are used: a scene
    never holds two things of one subgroup, for "grinning face" would fit both. size: side in pixels. Raises ValueError
    for n < 1 and for a dataset with fewer than four rows.
    """
    if n < 1 or len(dataset) < 4:
        raise ValueError(f"{n} scenes of {len(dataset)} drawings; ask for one scene or more, of four drawings or more")
    kinds = dataset["subgroup"][:] if "subgroup" in dataset.column_names else None
    return [_scene(dataset, kinds, np.random.default_rng((seed, i)), size) for i in range(n)]


def absent_names(dataset, scenes: list[Scene], n: int = 4, seed: int = 0) -> list[list[str]]:
    """For each scene n names of the dataset's things that are not in it, nor of a subgroup that is. Raises ValueError
    where there are fewer."""
    kinds = dataset["subgroup"][:] if "subgroup" in dataset.column_names else None
    names = [captions[0] for captions in dataset["captions"]]
    kind = dict(zip(names, kinds or names, strict=True))
    kind = {name: k or name for name, k in kind.items()}
    found = []
    for number, scene in enumerate(scenes):
        taken = {kind.get(thing.name) for thing in scene.things}  # a plain shape is none of the dataset's
        others = sorted(name for name, k in kind.items() if k not in taken)
        if len(others) < n:
            raise ValueError(f"{len(others)} things are not in a scene; {n} were asked for")
        found.append(np.random.default_rng((seed, number)).choice(others, n, replace=False).tolist())
    return found


def _scene(dataset, kinds, rng: np.random.Generator, size: int) -> Scene:
    canvas, used = background(rng, size), set()
    names: list[str] = []
    masks: list[np.ndarray] = []
    wanted = int(rng.integers(2, 5))
    for row in rng.permutation(len(dataset))[:12].tolist():
        if len(names) == wanted:
            break
        kind = kinds[row] if kinds else ""  # "" where emojibase-data was not fetched
        if kind and kind in used:
            continue
        drawn = dataset[row]
        rgba = _turned(drawn["image"], rng, size)
        corner = _free_corner(rgba[..., 3] > 127, masks, rng, size)
        if corner is None:
            continue
        y, x = corner
        h, w = rgba.shape[:2]
        alpha, patch = rgba[..., 3:] / np.float32(255), canvas[y:y + h, x:x + w]
        patch += alpha * (rgba[..., :3] - patch)
        mask = np.zeros((size, size), bool)
        mask[y:y + h, x:x + w] = rgba[..., 3] > 127
        names.append(drawn["captions"][0])
        masks.append(mask)
        used.add(kind)
    image = Image.fromarray(canvas.clip(0, 255).round().astype(np.uint8))
    return Scene(image, tuple(Thing(name, mask) for name, mask in zip(names, masks, strict=True)))


def _turned(image: Image.Image, rng: np.random.Generator, size: int) -> np.ndarray:
    side = int(size * rng.uniform(SMALLEST, LARGEST))
    image = image.convert("RGBA").resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True), np.float32)


def _free_corner(shape: np.ndarray, masks: list[np.ndarray], rng: np.random.Generator,
                 size: int) -> tuple[int, int] | None:
    h, w = shape.shape
    taken = np.any(masks, axis=0) if masks else np.zeros((size, size), bool)
    for _ in range(PLACES_TRIED):
        y, x = int(rng.integers(0, size - h + 1)), int(rng.integers(0, size - w + 1))
        if not taken[y:y + h, x:x + w].any():
            return y, x
    return None


@dataclass(frozen=True)
class Scenes(Source):
    """Scenes of emoji: trained on in every other style, asked about in the one that is held out."""

    name: str = "scenes"
    about: str = "two to four emoji on a busy background, with exact masks"
    templates: str = "plain"
    limits: str = "It knows drawings on soft backgrounds, and their names."
    scenes: int = 2000
    rows: int = option(100, "scenes to ask about (default 100)")
    seed: int = option(0, "of the scenes that are asked about")
    style: str = option("twemoji", "art style that is held out and asked about")

    def training_rows(self, size: int, seed: int, progress: bool = True):
        """A pairs dataset of scenes; the caption names the things."""
        styles = [s for s in emoji.available_styles() if s not in emoji.sisters(self.style)]
        return as_pairs(make(emoji.load(styles, progress=progress), self.scenes, seed, size))

    def held_out_rows(self, size: int):
        """The same of the style that is asked about."""
        return as_pairs(self.held_out_scenes())

    def held_out_scenes(self) -> list[Scene]:
        """Scenes with masks."""
        return make(emoji.load([self.style]), self.rows, self.seed)

    def questions(self, embedder: "Embedder", templates: str | list[str] | None = None) -> dict[str, Question]:
        """Is each thing found where it is?"""
        return {"where": Question(self.held_out_scenes(), templates or self.templates, kind="where")}

    def described(self) -> list[str]:
        """Eight scenes by what is in them."""
        rows = as_pairs(make(emoji.load([self.style]), 8, self.seed))
        return [f"endless scenes of {self.about}, drawn from the emoji; for example:",
                *(f"  {captions[0]}" for captions in rows["captions"])]

    def preview(self):
        """48 scenes of the style that is asked about."""
        found = make(emoji.load([self.style]), 48, self.seed)
        return contact_sheet([scene.image for scene in found], [caption_of(scene) for scene in found])

    def packages(self, trained_on: str | None = None):
        """The emoji's."""
        return emoji.EMOJI.packages()


def caption_of(scene: Scene) -> str:
    """The names of a scene's things.

    >>> caption_of(Scene(None, (Thing("cat", None), Thing("dog", None), Thing("sun", None))))
    'cat, dog and sun'
    """
    names = [thing.name for thing in scene.things]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def as_pairs(scenes: list[Scene]):
    """Scenes -> a pairs dataset (image, captions)."""
    from datasets import Dataset, Features, List, Value
    from datasets import Image as Pictures

    columns = {"image": [scene.image for scene in scenes], "captions": [[caption_of(scene)] for scene in scenes]}
    return Dataset.from_dict(columns, features=Features({"image": Pictures(), "captions": List(Value("string"))}))


SOURCE = Scenes()
