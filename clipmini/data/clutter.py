"""Scenes to cut things out of: they overlap and repeat, lie on cards and busy grounds, and have parts, all exact.

What `scenes` leaves out so that heatmaps can be judged is what a segmenter must learn: one thing in front of another,
two of the same kind, a plain shape beside a drawing, an eye in a face.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from clipmini.data import emoji, parts
from clipmini.data.base import contact_sheet, option
from clipmini.data.scenes import Scene, Scenes, Thing, as_pairs, background, caption_of
from clipmini.data.shapes import COLOURS

SIDE = 144  # pixels of a scene
SMALLEST, LARGEST = 0.2, 0.65  # of a thing, as a share of the scene's side
MOST = 6  # things
SEEN = 0.5  # of each thing, at least, is covered by no other
TRIED = 12  # places for a thing; after that the scene has one thing less
AGAIN, SHAPE, CARD, BUSY = 0.25, 0.2, 0.2, 0.5  # probabilities: of one more of the same, a shape, a card, a busy ground
TURN = 25  # degrees, either way
SMALLEST_PART = 12  # pixels of the scene


@dataclass(frozen=True)
class Piece:
    """Something to place: colours premultiplied (h, w, 3) float32 in 0..255, alpha (h, w, 1) in 0..1, masks of parts
    (h, w) bool."""

    name: str
    colours: np.ndarray
    alpha: np.ndarray
    parts: tuple[np.ndarray, ...] = ()


def make(dataset: Any, n: int, seed: int = 0, size: int = SIDE) -> list[Scene]:
    """n scenes from what `parts.load` gives. Scene k of a seed is the same whatever n is. Raises ValueError for n < 1
    and for fewer than four drawings."""
    if n < 1 or len(dataset) < 4:
        raise ValueError(f"{n} scenes of {len(dataset)} drawings; ask for one scene or more, of four drawings or more")
    return [scene(dataset, np.random.default_rng((seed, number)), size) for number in range(n)]


def scene(dataset: Any, rng: np.random.Generator, size: int = SIDE) -> Scene:
    """One scene: one to MOST things, each of which is seen by SEEN or more, behind or in front of others."""
    canvas = _ground(dataset, rng, size)
    placed: list[tuple[str, np.ndarray, list[np.ndarray]]] = []  # name, all of it, parts
    rows = iter(rng.permutation(len(dataset))[:MOST].tolist())
    row = next(rows)
    for number in range(int(rng.integers(1, MOST + 1))):
        if rng.random() < SHAPE:
            piece = _shape(rng, _side(rng, size))
        else:
            row = row if number and rng.random() < AGAIN else next(rows, row)
            piece = _drawing(dataset[row], rng, _side(rng, size))
        taken = [mask for _, mask, _ in placed]
        corner = _place(piece, taken, rng, size)
        if corner is None:
            continue
        if rng.random() < CARD:
            _card(canvas, placed, piece, corner, rng)
        _paint(canvas, piece, corner)
        placed.append((piece.name, _put(piece.alpha[..., 0] > 0.5, corner, size),
                       [_put(part, corner, size) for part in piece.parts]))
    image = Image.fromarray(canvas.clip(0, 255).round().astype(np.uint8))
    return Scene(image, tuple(_seen(placed)))


def _seen(placed: list[tuple[str, np.ndarray, list[np.ndarray]]]) -> list[Thing]:
    """Things with what is seen of them and of their parts."""
    found: list[Thing] = []
    above = np.zeros_like(placed[0][1]) if placed else np.zeros(0, bool)
    for name, mask, pieces in reversed(placed):
        visible = [part & ~above for part in pieces]
        kept = tuple(now for now, part in zip(visible, pieces, strict=True)
                     if now.sum() >= max(SMALLEST_PART, SEEN * part.sum()))
        found.append(Thing(name, mask & ~above, kept))
        above = above | mask
    return found[::-1]


def _side(rng: np.random.Generator, size: int) -> int:
    return int(size * rng.uniform(SMALLEST, LARGEST))


def _drawing(row: dict, rng: np.random.Generator, side: int) -> Piece:
    """A drawing and its parts, scaled and turned alike."""
    angle, flip = rng.uniform(-TURN, TURN), rng.random() < 0.5

    def turned(image: Image.Image) -> np.ndarray:
        image = image.resize((side, side), Image.Resampling.BICUBIC)
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image
        return np.asarray(image.rotate(angle, Image.Resampling.BICUBIC, expand=True), np.float32)

    rgba = turned(row["image"].convert("RGBA").convert("RGBa"))
    masks = (turned(Image.open(io.BytesIO(part)).convert("L")) > 127 for part in row["parts"])
    solid = rgba[..., 3] > 127
    return Piece(row["captions"][0], rgba[..., :3], rgba[..., 3:] / np.float32(255),
                 tuple(mask & solid for mask in masks))


def _outline(name: str, side: int) -> list[tuple[float, float]]:
    """The corners of a plain shape in a square of this side."""
    corners = {"square": 4, "triangle": 3, "circle": 64, "star": 10}[name]
    angles = np.arange(corners) * 2 * np.pi / corners - np.pi / 2 + (np.pi / 4 if name == "square" else 0)
    radius = np.where(np.arange(corners) % 2, 0.45, 1.0) if name == "star" else np.ones(corners)
    x, y = side / 2 * (1 + radius * np.cos(angles)), side / 2 * (1 + radius * np.sin(angles))
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def _shape(rng: np.random.Generator, side: int) -> Piece:
    """A plain shape in one of the colours of `shapes`, turned."""
    name, colour = str(rng.choice(["square", "triangle", "circle", "star"])), str(rng.choice(list(COLOURS)))
    large = Image.new("L", (4 * side, 4 * side))
    ImageDraw.Draw(large).polygon(_outline(name, 4 * side), fill=255)
    turned = large.rotate(rng.uniform(-TURN, TURN), Image.Resampling.BILINEAR)
    alpha = np.asarray(turned.resize((side, side), Image.Resampling.BOX), np.float32)[..., None] / np.float32(255)
    return Piece(f"{colour} {name}", alpha * np.array(COLOURS[colour], np.float32), alpha)


def _put(mask: np.ndarray, corner: tuple[int, int], size: int) -> np.ndarray:
    """A small mask at its place in the scene."""
    y, x = corner
    found = np.zeros((size, size), bool)
    found[y:y + mask.shape[0], x:x + mask.shape[1]] = mask
    return found


def _place(piece: Piece, taken: list[np.ndarray], rng: np.random.Generator, size: int) -> tuple[int, int] | None:
    """Where the piece leaves enough of all others to be seen."""
    h, w = piece.alpha.shape[:2]
    solid = piece.alpha[..., 0] > 0.5
    if h > size or w > size or not solid.any():
        return None
    visible = [mask & ~np.any(taken[number + 1:], axis=0) if number + 1 < len(taken) else mask
               for number, mask in enumerate(taken)]
    for _ in range(TRIED):
        y, x = int(rng.integers(0, size - h + 1)), int(rng.integers(0, size - w + 1))
        left = [seen.sum() - (seen[y:y + h, x:x + w] & solid).sum() for seen in visible]
        if all(now >= SEEN * mask.sum() for now, mask in zip(left, taken, strict=True)):
            return y, x
    return None


def _paint(canvas: np.ndarray, piece: Piece, corner: tuple[int, int]) -> None:
    y, x = corner
    h, w = piece.alpha.shape[:2]
    patch = canvas[y:y + h, x:x + w]
    patch *= 1 - piece.alpha
    patch += piece.colours


def _card(canvas: np.ndarray, placed: list, piece: Piece, corner: tuple[int, int], rng: np.random.Generator) -> None:
    """A card of one colour under the piece, where it covers nothing; it is no thing."""
    (y, x), (h, w) = corner, piece.alpha.shape[:2]
    edge = max(2, h // 12)
    rows, columns = slice(max(0, y - edge), y + h + edge), slice(max(0, x - edge), x + w + edge)
    if not any(mask[rows, columns].any() for _, mask, _ in placed):
        canvas[rows, columns] = rng.integers(0, 256, 3)


def _stripes(_dataset: Any, rng: np.random.Generator, size: int) -> np.ndarray:
    """Stripes or checks of two colours."""
    colours = rng.integers(0, 256, (2, 3)).astype(np.float32)
    angle, width = rng.uniform(0, np.pi), rng.uniform(3, 20)
    y, x = np.mgrid[:size, :size]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    which = (along // width + (across // width if rng.random() < 0.5 else 0)) % 2
    return colours[which.astype(int)]


def _wallpaper(dataset: Any, rng: np.random.Generator, size: int) -> np.ndarray:
    """A drawing, small, over and over: texture, and no thing."""
    side = int(rng.integers(8, 18))
    small = dataset[int(rng.integers(len(dataset)))]["image"].convert("RGBA").resize((side, side))
    tile = Image.new("RGBA", (side + 4, side + 4), (*rng.integers(0, 256, 3).tolist(), 255))
    tile.alpha_composite(small, (2, 2))
    times = -(-size // (side + 4))
    return np.tile(np.asarray(tile.convert("RGB"), np.float32), (times, times, 1))[:size, :size].copy()


def _spots(_dataset: Any, rng: np.random.Generator, size: int) -> np.ndarray:
    """Discs of many colours."""
    image = Image.new("RGB", (size, size), tuple(rng.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(10, 80))):
        (x, y), r = rng.uniform(0, size, 2), rng.uniform(1, 6)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return np.asarray(image, np.float32).copy()


GROUNDS: tuple[Callable[[Any, np.random.Generator, int], np.ndarray], ...] = (_stripes, _wallpaper, _spots)


def _ground(dataset: Any, rng: np.random.Generator, size: int) -> np.ndarray:
    """A busy ground, or soft blotches -> (size, size, 3) float32."""
    if rng.random() < BUSY:
        return GROUNDS[int(rng.integers(len(GROUNDS)))](dataset, rng, size)
    return background(rng, size)


@dataclass(frozen=True)
class Clutter(Scenes):
    """Scenes to cut things out of: trained on in every other style that comes apart, asked about in the held-out
    one."""

    name: str = "clutter"
    about: str = "one to six emoji and shapes that overlap and repeat, on busy grounds, with exact masks and parts"
    limits: str = "It knows drawings and plain shapes, and their names."
    style: str = option("twemoji", "art style that is held out and asked about")

    def training_scenes(self, n: int, seed: int = 0, progress: bool = True) -> list[Scene]:
        """n scenes of the styles that are here, less the held-out one's family."""
        gone = emoji.sisters(self.style)
        styles = [name for name in emoji.available_styles() if name in parts.STYLES and name not in gone]
        return make(parts.load(styles, progress=progress), n, seed)

    def training_rows(self, size: int, seed: int, progress: bool = True) -> Any:
        """A pairs dataset of scenes; the caption names the things."""
        return as_pairs(self.training_scenes(self.scenes, seed, progress))

    def held_out_scenes(self) -> list[Scene]:
        """Scenes with masks and parts."""
        return make(parts.load(self.style), self.rows, self.seed)

    def described(self) -> list[str]:
        """Eight scenes by what is in them."""
        found = make(parts.load(self.style), 8, self.seed)
        return [f"endless scenes: {self.about}; for example:", *(f"  {caption_of(one)}" for one in found)]

    def preview(self) -> Image.Image:
        """24 scenes, and beside each the masks of its things, its parts outlined in white."""
        found = make(parts.load(self.style), 24, self.seed)
        pictures = [image for one in found for image in (one.image, masks_of(one))]
        return contact_sheet(pictures, [text for one in found for text in (caption_of(one), "")], side=SIDE)


def masks_of(one: Scene) -> Image.Image:
    """A scene's things as flat colours, the edges of their parts in white."""
    canvas = np.full((one.image.height, one.image.width, 3), 40, np.uint8)
    for number, thing in enumerate(one.things):
        canvas[thing.mask] = list(COLOURS.values())[number % len(COLOURS)]
    for thing in one.things:
        for mask in thing.parts:
            inner = mask.copy()
            inner[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
            canvas[mask & ~inner] = 255
    return Image.fromarray(canvas)


SOURCE = Clutter()
