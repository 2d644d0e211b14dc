"""The words of figures, as titles and labels: drawn in Chinese with CLIPMINI_LANG=zh, where a font has the letters."""

import re
from functools import cache, wraps

from clipmini.course.words import catalogue

PLACE = re.compile(r"\{\d\}")  # in order in English, in any order in Chinese


@cache
def _templates() -> list[tuple[re.Pattern, str]]:
    """What a filled-in English text matches, and its Chinese template, the longest English one first."""
    found = []
    for english in sorted(filter(PLACE.search, catalogue("figures_zh")), key=len, reverse=True):
        pattern = "(.+?)".join(map(re.escape, PLACE.split(english)))
        found.append((re.compile(pattern, re.DOTALL), catalogue("figures_zh")[english]))
    return found


@cache
def translated(text: str) -> str:
    """A figure's text in Chinese, and what was filled in too where it is known. Others stay as they are."""
    if text in catalogue("figures_zh"):
        return catalogue("figures_zh")[text]
    for pattern, chinese in _templates():
        if match := pattern.fullmatch(text):
            return chinese.format(*map(translated, match.groups()))
    return text


@cache
def install() -> None:
    """From now on matplotlib draws what is known in Chinese. Without it, or a font for that, nothing changes."""
    try:
        from matplotlib import font_manager, rcParams
        from matplotlib.text import Text

        from clipmini.matplotlib_text import PREFERRED, fonts_for
    except ImportError:
        return
    here = {font.name for font in font_manager.fontManager.ttflist}
    font = next((name for name in PREFERRED if name in here and fonts_for("图", [name])[0] == [name]), None)
    if font is None:
        return
    draw = Text.set_text

    @wraps(draw)
    def set_text(self, s):
        return draw(self, translated(s) if isinstance(s, str) else s)

    Text.set_text = set_text  # type: ignore[method-assign]
    rcParams["font.family"] = [font, "DejaVu Sans"]
    rcParams["axes.unicode_minus"] = False
