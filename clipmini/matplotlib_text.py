"""Words in figures: drawn as they were typed, in a font of this computer that has their letters."""

import logging
import os
import threading
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import regex
from matplotlib import figure, font_manager, get_data_path
from matplotlib.text import Text

log = logging.getLogger("clipmini")  # where nobody has set up logging, its lines go to stderr

# Asked first; then every other font of the computer, those without serifs first.
PREFERRED = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
             "PingFang SC", "Hiragino Sans", "Heiti TC", "Microsoft YaHei", "SimHei", "Droid Sans Fallback",
             "Noto Emoji", "Symbola", "Segoe UI Emoji", "Segoe UI Symbol", "Noto Sans Symbols2", "Noto Sans Symbols")
# They say yes to every letter, and draw a box or nothing.
STAND_INS = regex.compile(r"last\s?resort|adobe blank|notdef", regex.I)
# Letters -> what brings them: tried in this order.
PACKAGES = ((r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}\u3000-\u303f\uff00-\uffef]",
             "apt install fonts-noto-cjk"),
            (r"[\p{Emoji}\p{So}\p{Sm}\p{Sk}]", "apt install fonts-symbola, or the font Noto Emoji (colour fonts, such "
             "as fonts-noto-color-emoji, cannot be drawn in figures)"),
            (r".", "apt install fonts-noto-core"))
_told: set[str] = set()
_pen = ThreadPoolExecutor(1, "drawing")


def _new_pen() -> None:
    global _pen
    _pen = ThreadPoolExecutor(1, "drawing")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_new_pen)


def in_one_thread(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: a server's many threads draw in one of their own. matplotlib keeps every font once for each thread,
    some 10 MB a font with Chinese letters, and its warnings are switched off for all threads at once."""
    @wraps(draw)
    def drawn(*args: Any, **options: Any) -> Any:
        here = threading.current_thread()
        if here is threading.main_thread() or here.name.startswith("drawing"):
            return draw(*args, **options)
        return _pen.submit(draw, *args, **options).result()

    return drawn


class Figure(figure.Figure):
    """matplotlib's, without a warning for each letter that no font has: `as_typed` says it in one line.

    gr.Plot knows matplotlib's figures by the name of the module that their class is from: hence this file's name.
    """

    @in_one_thread
    def savefig(self, *args, **options):
        """As matplotlib does."""
        return super().savefig(*args, **options)

    def draw(self, renderer) -> None:
        """As matplotlib does."""
        with _no_word_of_fonts():
            super().draw(renderer)

    def get_tightbbox(self, *args, **options):
        """As matplotlib does."""
        with _no_word_of_fonts():
            return super().get_tightbbox(*args, **options)


@contextmanager
def _no_word_of_fonts() -> Iterator[None]:
    finder = logging.getLogger("matplotlib.font_manager")  # it says so of each font that has no usual weight
    before = finder.level
    finder.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ \(.*missing from", UserWarning)
            yield
    finally:
        finder.setLevel(before)


def as_typed(make: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorator of a function that makes a Figure: no word of it is read as mathematics, and each is written in fonts
    that have its letters. What no font here has is told once a process, with the package that brings it."""
    @in_one_thread
    @wraps(make)
    def made(*args: Any, **options: Any) -> Figure:
        drawn = make(*args, **options)
        lost: dict[str, None] = {}
        for text in drawn.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(False)  # "$5 and $6" is a price
            text.set_text(printable(text.get_text()))
            fonts, without = fonts_for(text.get_text(), text.get_fontfamily())
            text.set_fontfamily(fonts)
            lost |= dict.fromkeys(without)
        _tell(list(lost))
        return drawn

    return made


def legend(drawn: Figure, handles: list, labels: list[str], **options):
    """A figure's legend with every label in it: matplotlib passes over one that begins with an underscore."""
    made = drawn.legend(handles, [str(i) for i in range(len(labels))], **options)
    for text, label in zip(made.get_texts(), labels, strict=True):
        text.set_text(label)
    return made


def named_dots(ax, xy, groups: list[str], colours: dict[str, str], ink: str = "#22303c") -> dict:
    """Points xy (N, 2) in the colours of their N groups, each group's name where it is densest -> group: its dots."""
    drawn, names = {}, {}
    for group, colour in colours.items():
        own = xy[[i for i, g in enumerate(groups) if g == group]].float()
        drawn[group] = ax.scatter(*own.t(), s=9, color=colour, alpha=0.8, linewidths=0.2, edgecolors=ink)
        if len(own):
            near = (own[:, None] - own).norm(dim=2) < 0.1 * (xy.amax(0) - xy.amin(0)).max()
            names[short(group, 24)] = own[near[near.sum(1).argmax()]].mean(0).tolist()
    if 1 < len(colours) <= 9:  # more would hide the dots
        _names_at(ax, names, ink)
    return drawn


def _names_at(ax, places: dict[str, list[float]], ink: str, size: float = 8) -> None:
    """Each name in the middle of its place (x, y), or above it where another name stands; size: in points."""
    from matplotlib.patheffects import withStroke

    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    pixel = ax.figure.dpi / 72 * size
    letter, line = 0.66 * pixel * (right - left) / ax.bbox.width, 1.3 * pixel * (top - bottom) / ax.bbox.height
    written: list[tuple[float, float, float]] = []
    for name, (x, y) in sorted(places.items(), key=lambda item: item[1][1]):
        half = letter * len(name) / 2
        x = min(max(x, left + half), right - half)
        while any(abs(y - v) < line and abs(x - u) < half + other for u, v, other in written):
            y += line / 4
        written.append((x, y, half))
        ax.text(x, y, name, ha="center", va="center", fontsize=size, color=ink, weight="bold",
                path_effects=[withStroke(linewidth=2.5, foreground="white")])


def printable(text: str) -> str:
    """A text that can be drawn: spaces of all kinds but a new line are blanks, control characters and bytes that are no
    letters are the sign for that.

    >>> printable("a\\tb\\x1b")
    'a b\ufffd'
    """
    return "".join(c if c == "\n" else " " if c.isspace() else
                   "\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)


def short(text: str, most: int) -> str:
    """One printable line of at most `most` characters."""
    text = printable(text).replace("\n", " ")
    return text if len(text) <= most else text[:most - 1] + "…"


def fonts_for(text: str, fonts: list[str]) -> tuple[list[str], list[str]]:
    """The fonts to write a text in, those given first -> (names, letters that no font of this computer has)."""
    found, lost = list(fonts), []
    for letter in dict.fromkeys(text):
        if letter.isspace() or regex.match(r"[\p{Default_Ignorable_Code_Point}\p{Cf}]", letter):
            continue
        if any(letter in _Font.named(name) for name in found):
            continue
        name = _fallback(letter, len(font_manager.fontManager.ttflist))
        if name is None:
            lost.append(letter)
        else:
            found.append(name)
    return found, lost


class _Font:
    """What one font can draw."""

    def __init__(self, name: str):
        properties = font_manager.FontProperties(family=[name])
        self.font: Any = font_manager.get_font(font_manager.findfont(properties, fallback_to_default=False))
        self.letters = frozenset(self.font.get_charmap())

    def __contains__(self, letter: str) -> bool:
        if ord(letter) not in self.letters:
            return False
        try:  # fonts of coloured pictures have the letter, and no outline
            self.font.load_char(ord(letter))
            return len(self.font.get_path()[0]) > 0
        except RuntimeError:
            return False

    @staticmethod
    @lru_cache(maxsize=4096)
    def named(name: str) -> "_Font | tuple":
        """The font of this name; nothing where it is not here or cannot be read."""
        try:
            with _no_word_of_fonts():
                return _Font(name)
        except (ValueError, RuntimeError, OSError):
            return ()


@lru_cache(maxsize=65536)
def _fallback(letter: str, known: int) -> str | None:
    """The first font of this computer that draws a letter. known: how many fonts matplotlib knows of; a script may tell
    it of more."""
    return next((name for name in _names(known) if letter in _Font.named(name)), None)


@lru_cache(maxsize=1)
def _names(known: int) -> list[str]:
    """Fonts of this computer, the preferred ones first. Matplotlib's own for mathematics have letters at odd places."""
    mathematics = {font.name for font in font_manager.fontManager.ttflist
                   if Path(get_data_path()) in Path(font.fname).parents and not font.name.startswith("DejaVu")}
    here = {font.name for font in font_manager.fontManager.ttflist if not STAND_INS.search(font.name)} - mathematics
    others = sorted(here - set(PREFERRED), key=lambda name: ("Sans" not in name, name))
    return [*(name for name in PREFERRED if name in here), *others]


def _tell(lost: list[str]) -> None:
    """One line for each package that would help, once a process."""
    for pattern, package in PACKAGES:
        letters = [letter for letter in lost if regex.match(pattern, letter)]
        lost = [letter for letter in lost if letter not in letters]
        if letters and package not in _told:
            _told.add(package)
            more = f" and {len(letters) - 5} more" if len(letters) > 5 else ""
            log.warning("note: figures show a box for %s%s: no font here has it; on Debian or Ubuntu: %s",
                        " ".join(letters[:5]), more, package)
