"""Drawing: an artist for each kind of package, and the cache of what they drew."""

import hashlib
import importlib.metadata
import importlib.util
import io
import json
import re
import shutil
import unicodedata
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image, ImageDraw, ImageFont, ImageOps, features

from clipmini.data.base import save_columns
from clipmini.data.emoji import sources, words
from clipmini.files import cache_root, is_whole, remove_leftovers, write_checksums, written_whole


def is_blank(image: Image.Image) -> bool:
    """Say whether an RGBA picture shows nothing: almost no pixel is opaque enough to be seen."""
    return sum(image.getchannel("A").histogram()[64:]) < 12


class FontArtist:
    """Draws from a colour font: a bitmap strike (Noto, Apple) or COLR layers (OpenMoji, Segoe)."""

    def __init__(self, path: Path):
        self.raqm = features.check("raqm")
        layout = ImageFont.Layout.RAQM if self.raqm else ImageFont.Layout.BASIC
        size = sources.BITMAP_SIZES.get(path.name, 2 * sources.SIZE)
        self.font = ImageFont.truetype(str(path), size, layout_engine=layout)
        self.ink = "black" if path.name.startswith(sources.ONE_COLOUR) else None
        left, top, right, bottom = self.font.getbbox("\U0001f600", anchor="ls")   # all emoji share one box
        self.advance = self.font.getlength("\U0001f600")
        self.side = round(max(self.advance, right - left, bottom - top))
        self.middle = (top + bottom) / 2
        self.missing = self._paint("\U0010fffd").tobytes()             # how the font says "I lack this"

    def draw(self, concept: words.Concept) -> Image.Image | None:
        """Return a square RGBA picture, or None when the font lacks the emoji."""
        text = concept.emoji if self.raqm else concept.emoji.replace("\ufe0f", "")
        if len(text) > 1 and not self.raqm:
            return None                                    # basic layout would draw the parts side by side
        if self.font.getlength(text) > 1.4 * self.advance:
            return None                                    # no ligature for this sequence: two glyphs
        painted = self._paint(text)
        return None if painted.tobytes() == self.missing else painted.convert("RGBA")

    def _paint(self, text: str) -> Image.Image:
        """Return the glyph in premultiplied RGBa, (side, side)."""
        canvas = Image.new("RGBA", (self.side, self.side), (0, 0, 0, 0))
        x = (self.side - self.font.getlength(text)) / 2
        y = self.side / 2 - self.middle
        ImageDraw.Draw(canvas).text((round(x), round(y)), text, font=self.font, fill=self.ink,
                                    embedded_color=True, anchor="ls")
        # Pillow blended each colour with the transparent black below it: what we hold is premultiplied.
        return Image.frombytes("RGBa", canvas.size, canvas.tobytes())


class FileArtist:
    """Opens Twemoji's PNG files, which are named by code points."""

    def __init__(self, path: Path):
        self.files = {words.hex_code("".join(chr(int(part, 16)) for part in file.stem.split("-"))): file
                      for file in sorted(path.glob("*.png"))}

    def draw(self, concept: words.Concept) -> Image.Image | None:
        """Return an RGBA picture, or None when there is no file."""
        file = self.files.get(concept.hex)
        return Image.open(file).convert("RGBA") if file else None


def rasterised(svg: str, side: int = sources.SIZE) -> Image.Image:
    """Return an SVG drawing as an RGBA picture, at most this many pixels wide and high."""
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


class SvgArtist:
    """Rasterises the SVG bodies of an iconify JSON set."""

    def __init__(self, path: Path):
        if importlib.util.find_spec("resvg_py") is None:
            raise RuntimeError(f"style {path.name!r} is SVG and needs a rasteriser: pip install resvg-py")
        self.set = json.loads((path / "icons.json").read_text("utf-8"))
        chars = path / "chars.json"
        chars = json.loads(chars.read_text("utf-8")) if chars.is_file() else {}
        self.by_hex = {words.hex_code("".join(chr(int(part, 16)) for part in code.split("-"))): name
                       for code, name in chars.items()}
        self.by_name = {words.squash(name): name for name in [*self.set.get("aliases", {}), *self.set["icons"]]}
        self.taken = Counter(words.squash(row.name) for row in words.concepts())

    def draw(self, concept: words.Concept) -> Image.Image | None:
        """Return an RGBA picture, or None when the set has no icon of that code or name."""
        found = self.svg(concept)
        if found is None:
            return None
        image = rasterised(found[0])
        return ImageOps.mirror(image) if found[1] else image

    def svg(self, concept: words.Concept) -> tuple[str, bool] | None:
        """Return (SVG text, whether it is to be mirrored), or None when the set has no icon of that code or name."""
        name = self.by_hex.get(concept.hex) or self._find(concept)
        return self._text(name) if name else None

    def _find(self, concept: words.Concept) -> str | None:
        """Find an icon by the concept's name, else by an alias or Unicode name that is nobody else's name."""
        key = words.squash(concept.name)
        if key in self.by_name and self.taken[key] == 1:       # 'keycap #' and 'keycap *' are both 'keycap'
            return self.by_name[key]
        others = list(concept.aliases)
        if len(bare := concept.emoji.replace("\ufe0f", "")) == 1:
            others.append(unicodedata.name(bare, ""))
        keys = [words.squash(name) for name in others if words.squash(name) not in self.taken]
        return next((self.by_name[key] for key in keys if key in self.by_name), None)

    def _text(self, name: str) -> tuple[str, bool]:
        icon, mirror = dict(self.set.get("aliases", {}).get(name, {"parent": name})), False
        while "parent" in icon:                                          # an alias may point to an alias
            mirror ^= icon.get("hFlip", False)
            parent = icon["parent"]
            icon = self.set["icons"].get(parent) or self.set["aliases"][parent]
        width = icon.get("width", self.set.get("width", 16))
        height = icon.get("height", self.set.get("height", 16))
        return (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}" '
                f'width="{width}" height="{height}">{icon["body"]}</svg>'), mirror


class SvgFiles:
    """Opens SVG files that are named by code points; what is drawn of them, a subclass says."""

    def __init__(self, path: Path):
        named = (file for file in sorted(path.glob("*.svg")) if re.fullmatch("[0-9A-Fa-f]+(-[0-9A-Fa-f]+)*", file.stem))
        self.files = {words.hex_code("".join(chr(int(part, 16)) for part in file.stem.split("-"))): file
                      for file in named}

    def draw(self, concept: words.Concept) -> Image.Image | None:
        """Return an RGBA picture, or None when there is no file."""
        found = self.svg(concept)
        if found is None:
            return None
        drawing = ElementTree.fromstring(found[0])
        self.change(drawing)
        return rasterised(ElementTree.tostring(drawing, encoding="unicode"))

    def svg(self, concept: words.Concept) -> tuple[str, bool] | None:
        """Return (SVG text, whether it is to be mirrored: never), or None when there is no file."""
        file = self.files.get(concept.hex)
        return (file.read_text("utf-8"), False) if file else None

    def change(self, drawing: ElementTree.Element) -> None:
        """Make of the drawing what is wanted."""
        raise NotImplementedError


class OutlineArtist(SvgFiles):
    """OpenMoji without what is coloured: its outlines."""

    COLOURED = ("color", "skin", "hair")  # how the names of such groups begin

    def change(self, drawing: ElementTree.Element) -> None:
        """Leave out the coloured groups."""
        for parent in list(drawing.iter()):
            for child in list(parent):
                if child.get("id", "").startswith(self.COLOURED):
                    parent.remove(child)


class EdgeArtist(SvgFiles):
    """Twemoji's shapes as a pen of one width follows their edges, in black and without filling."""

    WIDTH = 0.8  # of Twemoji's 36 units: 1.6 pixels of 72
    SHAPES = {"path", "circle", "ellipse", "rect", "polygon", "polyline", "line"}

    def change(self, drawing: ElementTree.Element) -> None:
        """Stroke every shape and fill none."""
        for shape in drawing.iter():
            for name in ("fill", "stroke", "style", "opacity", "fill-opacity", "stroke-width", "class"):
                shape.attrib.pop(name, None)
            if shape.tag.split("}")[-1] in self.SHAPES:
                shape.attrib |= {"fill": "none", "stroke": "#000", "stroke-width": str(self.WIDTH),
                                 "stroke-linejoin": "round", "stroke-linecap": "round"}


def artist(style: str, cache: str | Path | None = None):
    """Return an object whose draw(concept) gives an RGBA picture or None."""
    kinds = {"openmoji": FontArtist, "system": FontArtist, "noto-emoji": FontArtist, "twemoji": FileArtist,
             "openmoji-black": OutlineArtist, "twemoji-lines": EdgeArtist}
    return kinds.get(style, SvgArtist)(sources.found_source(style, cache))


def to_square(image: Image.Image, zoom: float = 1.0) -> Image.Image:
    """Centre a picture on a transparent square, cut up to (1 - 1/zoom) of empty margin, scale to (SIZE, SIZE)."""
    side = max(image.size)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    if zoom > 1 and (box := square.getchannel("A").getbbox()):
        margin = min(box[0], box[1], side - box[2], side - box[3], int(side * (1 - 1 / zoom) / 2))
        side -= 2 * margin
        square = square.crop((margin, margin, margin + side, margin + side))
    return square if side == sources.SIZE else square.resize((sources.SIZE, sources.SIZE), Image.Resampling.LANCZOS)


def stamp(style: str, cache: str | Path | None = None) -> dict[str, str]:
    """Return what a built style depends on: when any of it changes, the style is built again."""
    listed = hashlib.sha256(" ".join(row.hex for row in words.concepts()).encode()).hexdigest()[:16]
    return {"format": sources.FORMAT, "drawing": str(sources.DRAWING), "size": str(sources.SIZE), "style": style,
            "source": sources.source_version(style, cache), "raqm": str(features.check("raqm")), "concepts": listed}


def style_folder(style: str, cache: str | Path | None = None) -> Path:
    """Return where a style is cached; the last part is a digest of its stamp."""
    digest = hashlib.sha256(json.dumps(stamp(style, cache), sort_keys=True).encode()).hexdigest()[:12]
    return cache_root(cache) / sources.FORMAT / style / digest


def draw_style(style: str, cache: str | Path | None = None, progress: bool = True) -> dict[str, list]:
    """Draw every concept that a style has; return columns image (PNG bytes) and concept (hex)."""
    from tqdm import tqdm

    pencil = artist(style, cache)
    columns: dict[str, list] = {"image": [], "concept": []}
    for concept in tqdm(words.concepts(), desc=f"drawing {style}", unit="picture", disable=not progress):
        image = None if (style, concept.hex) in sources.WRONG else pencil.draw(concept)
        image = to_square(image, sources.ZOOM.get(style, 1.0)) if image else None
        if image is None or is_blank(image):
            continue
        stream = io.BytesIO()
        image.save(stream, "PNG", compress_level=6)
        columns["image"].append({"bytes": stream.getvalue(), "path": None})
        columns["concept"].append(concept.hex)
    return columns


def build(style: str, cache: str | Path | None = None, progress: bool = True) -> Path:
    """Draw a style into the cache, whole or not at all, and return its folder."""
    final = style_folder(style, cache)
    remove_leftovers(final.parent, seconds=3600)  # younger ones may be another process's work
    with written_whole(final, "pictures") as work:
        save_columns(draw_style(style, cache, progress), _picture_features(), work)
        (work / "stamp.json").write_text(json.dumps(stamp(style, cache), indent=1), "utf-8")
        write_checksums(work)
    for old in final.parent.iterdir():  # what an older package had drawn
        if old != final and not old.name.startswith("."):
            shutil.rmtree(old, ignore_errors=True)
    return final


def _picture_features():
    from datasets import Features, Image, Value

    return Features({"image": Image(), "concept": Value("string")})


def open_style(style: str, cache: str | Path | None = None, progress: bool = True):
    """Return the memory-mapped Dataset (image, concept) of a style, building it when it is not there yet or damaged."""
    import datasets

    folder = style_folder(style, cache)
    if not is_whole(folder, f"pictures of {style}"):
        build(style, cache, progress)
    return datasets.load_from_disk(str(folder))
