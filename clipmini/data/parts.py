"""Parts of drawings, exact to the pixel: an SVG file is shapes on top of shapes, and each can be drawn alone.

The eyes in a face and the hub in a wheel come out as masks without anybody having outlined them. A shape in several
pieces that don't touch (both ears in one path) is as many parts. What is drawn on top of a part and lies in it belongs
to it, what merely covers it does not.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageOps

from clipmini.data.base import no_bars, save_columns
from clipmini.data.emoji import art, sources, words
from clipmini.files import cache_root, is_whole, remove_leftovers, write_checksums, written_whole

FORMAT = "parts-v1"  # change it when the stored columns change, or what comes out as a part
SIDE = 144  # pixels of a drawing
SMALLEST = 30 / 72 ** 2  # of the drawing's square: a part has at least 30 pixels of 72 x 72
SAME = 0.9  # intersection over union from which two masks are one
INSIDE = 0.95  # of a part must lie in another one to belong to it
STYLES = ("twemoji", "noto", "noto-v1", "fluent-emoji-flat", "emojione", "fxemoji")  # flat shapes, each one thing
SHAPES = {"path", "circle", "ellipse", "rect", "polygon", "polyline", "line", "use"}
APART = {"defs", "clipPath", "mask", "symbol", "pattern", "marker", "filter"}  # what they hold is drawn elsewhere


@dataclass(frozen=True)
class Part:
    """mask: bool (side, side); parent: the number of the part that it lies in, -1 for the whole drawing."""

    mask: np.ndarray
    parent: int


@dataclass(frozen=True)
class Cut:
    """A drawing with its parts. image: RGBA (side, side); whole: bool (side, side); parts: in the order of drawing."""

    image: Image.Image
    whole: np.ndarray
    parts: tuple[Part, ...]

    def level(self, number: int) -> int:
        """1 for a part of the whole, 2 for a part of a part, and so on."""
        parent = self.parts[number].parent
        return 1 if parent < 0 else 1 + self.level(parent)


class Drawings:
    """The SVG files of an art style. Raises SourceError where it is not here, ValueError for one without them."""

    def __init__(self, style: str, cache: str | Path | None = None):
        if style not in STYLES:
            raise ValueError(f"the art style {style!r} has no flat shapes to take apart; there are {', '.join(STYLES)}")
        self._artist = art.artist("twemoji-lines" if style == "twemoji" else style, cache)
        self._wrong = {code for name, code in sources.WRONG if name == style}

    def svg(self, concept: words.Concept) -> tuple[str, bool] | None:
        """(SVG text, whether it is to be mirrored), or None where the style lacks it."""
        return None if concept.hex in self._wrong else self._artist.svg(concept)

    def cut(self, concept: words.Concept, side: int = SIDE) -> Cut | None:
        """The drawing and its parts, or None where the style lacks it."""
        found = self.svg(concept)
        return found and cut(found[0], side, found[1])


def drawn(svg: str, side: int, mirrored: bool = False) -> Image.Image:
    """An SVG drawing as RGBA (side, side), in the middle where it is no square."""
    root = ElementTree.fromstring(svg)
    for name in ("width", "height"):
        root.attrib.pop(name, None)  # the view box alone says how large it is
    image = art.rasterised(ElementTree.tostring(root, encoding="unicode"), side)
    if image.size != (side, side):
        image = ImageOps.pad(image, (side, side))
    return ImageOps.mirror(image) if mirrored else image


def covered(svg: str, side: int, mirrored: bool = False) -> np.ndarray:
    """The pixels (side, side) bool that a drawing covers by half or more."""
    return np.asarray(drawn(svg, side, mirrored).getchannel("A")) > 127


def leaves(svg: str) -> list[str]:
    """The same drawing once for each of its shapes, with that one alone, in the order in which they are painted.

    >>> [text.count("circle") for text in leaves('<svg><g><circle r="2"/></g><circle r="1"/><defs/></svg>')]
    [1, 1]
    """
    root = ElementTree.fromstring(svg)
    found = _shapes(root)
    parents = {child: parent for parent in root.iter() for child in parent}
    texts = []
    for kept in range(len(found)):
        gone = [(parents[shape], list(parents[shape]).index(shape), shape)
                for number, shape in enumerate(found) if number != kept]
        for parent, _, shape in reversed(gone):
            parent.remove(shape)
        texts.append(ElementTree.tostring(root, encoding="unicode"))
        for parent, place, shape in gone:
            parent.insert(place, shape)
    return texts


def _shapes(element: ElementTree.Element) -> list[ElementTree.Element]:
    """The shapes below an element that are painted where they stand."""
    found = []
    for child in element:
        kind = str(child.tag).split("}")[-1]
        if kind in SHAPES:
            found.append(child)
        elif kind not in APART:
            found += _shapes(child)
    return found


def cut(svg: str, side: int = SIDE, mirrored: bool = False) -> Cut:
    """A drawing and its parts."""
    image = drawn(svg, side, mirrored)
    whole = np.asarray(image.getchannel("A")) > 127
    alone = [mask for text in leaves(svg) if (mask := covered(text, side, mirrored)).any()]
    masks: list[np.ndarray] = []
    for number, mask in enumerate(alone):
        for later in alone[number + 1:]:
            if (later & mask).sum() < INSIDE * later.sum():
                mask = mask & ~later  # it covers the part and is none of it
        for piece in _pieces(mask & whole):
            if piece.sum() >= SMALLEST * side * side and all(_overlap(piece, old) < SAME for old in (whole, *masks)):
                masks.append(piece)
    return Cut(image, whole, tuple(Part(mask, _parent(number, masks)) for number, mask in enumerate(masks)))


def _pieces(mask: np.ndarray) -> list[np.ndarray]:
    """The pieces of a mask that don't touch, corners included."""
    from scipy.ndimage import label

    numbers, count = label(mask, np.ones((3, 3)))
    return [numbers == number for number in range(1, count + 1)]


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def _parent(number: int, masks: list[np.ndarray]) -> int:
    """The smallest part that holds this one, -1 where none does."""
    mask = masks[number]
    holding = [other for other, larger in enumerate(masks) if other != number and larger.sum() > mask.sum()
               and (larger & mask).sum() >= INSIDE * mask.sum()]
    return min(holding, key=lambda other: int(masks[other].sum()), default=-1)


def load(styles: str | list[str], cache: str | Path | None = None, progress: bool = True) -> Any:
    """The drawings of art styles with their parts, as a Dataset: image (RGBA, SIDE x SIDE), parts (one PNG file of two
    colours each), captions, subgroup, concept, style. Cut once, half a minute a style, into the cache. Raises
    SourceError, ValueError."""
    import datasets

    tables = []
    for style in [styles] if isinstance(styles, str) else styles:
        drawings = Drawings(style, cache)
        stamp = json.dumps([FORMAT, SIDE, SMALLEST, SAME, INSIDE, art.stamp(style, cache)], sort_keys=True)
        target = cache_root(cache) / FORMAT / style / hashlib.sha256(stamp.encode()).hexdigest()[:12]
        if not is_whole(target, f"parts of {style}"):
            remove_leftovers(target.parent, seconds=3600)
            with written_whole(target, "parts") as temporary:
                save_columns(_columns(drawings, style, progress), _features(), temporary)
                write_checksums(temporary)
        tables.append(datasets.load_from_disk(str(target)))
    with no_bars():
        return datasets.concatenate_datasets(tables)


def _columns(drawings: Drawings, style: str, progress: bool) -> dict[str, list]:
    from tqdm import tqdm

    captions, groups = words.phrasings("en"), words.emojibase("en")
    columns: dict[str, list] = {name: [] for name in _features()}
    for concept in tqdm(words.concepts(), desc=f"cutting {style}", unit="drawing", disable=not progress, leave=False):
        found = drawings.cut(concept)
        if found is None or found.whole.sum() < SMALLEST * SIDE * SIDE:
            continue
        row = {"image": {"bytes": png(found.image), "path": None}, "captions": captions[concept.hex],
               "parts": [png(Image.fromarray(part.mask)) for part in found.parts], "concept": concept.hex,
               "subgroup": groups.get(concept.hex, {}).get("subgroup", ""), "style": style}
        for name, value in row.items():
            columns[name].append(value)
    return columns


def _features() -> Any:
    from datasets import Features, List, Value
    from datasets import Image as Pictures

    text = Value("string")
    return Features({"image": Pictures(), "parts": List(Value("binary")), "captions": List(text), "subgroup": text,
                     "concept": text, "style": text})


def png(image: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=4)
    return stream.getvalue()
