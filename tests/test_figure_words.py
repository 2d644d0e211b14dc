"""Figures of the lessons speak Chinese with CLIPMINI_LANG=zh, and are left alone without."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install 'clipmini[train]'")

from clipmini.course import figure_words
from clipmini.course.figure_words import translated
from clipmini.matplotlib_text import fonts_for

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = json.loads((ROOT / "clipmini" / "course" / "figures_zh.json").read_text(encoding="utf-8"))
DRAW = """
import json, sys
{before}
import matplotlib
matplotlib.use("agg")
before = list(matplotlib.rcParams["font.family"])
from clipmini import plots
from clipmini.course import checks, figure_words
import matplotlib.pyplot as plt
from matplotlib.text import Text
once = Text.set_text
if "zh" in {language!r}:
    figure_words.install()
assert Text.set_text is once
fig, (ax, other) = plt.subplots(1, 2)
ax.plot([0, 1], label="rows only")
ax.plot([0, 1], label="scale 14.3: loss 0.25")
ax.set(title="The loss", xlabel="step", ylabel="a snail's shell", xticks=[0, 1])
ax.set_xticklabels(["before", "-1"])
ax.annotate("loses nothing", (0, 0))
ax.legend()
other.barh(["text tower", "dog"], [1, 2])
fig.suptitle("{{0}} is not filled in")
drawn = [fig, plots.you_are_here("captions", "tokens", "reading")]
for one in drawn:
    one.canvas.draw()
texts = [text.get_text() for one in drawn for text in one.findobj(Text)]
print(json.dumps([texts, before, list(matplotlib.rcParams["font.family"])]))
"""
FONTLESS = """from matplotlib import font_manager
font_manager.fontManager.ttflist = [f for f in font_manager.fontManager.ttflist if f.name.startswith("DejaVu")]"""
KNOWN = {"The loss": "损失", "step": "步", "before": "微调前", "loses nothing": "毫无损失", "rows only": "只看行",
         "text tower": "文本塔", "scale 14.3: loss 0.25": "缩放系数 14.3：损失 0.25",
         "You are here: captions, tokens, text tower": "你在这里：描述、词元、文本塔"}
UNKNOWN = {"a snail's shell", "dog", "-1", "{0} is not filled in"}
NO_FONT = bool(fonts_for("图", [])[1])


def drawn(language: str, before: str = "") -> tuple[set[str], list[str], list[str]]:
    """The texts of two figures, and the fonts before the checkers were imported and after."""
    env = {**os.environ, "CLIPMINI_LANG": language}
    done = subprocess.run([sys.executable, "-c", DRAW.format(before=before, language=language if not before else "")],
                          cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Glyph" not in done.stderr and "findfont" not in done.stderr, done.stderr[-2000:]
    texts, fonts, after = json.loads(done.stdout)
    return set(texts), fonts, after


@pytest.mark.skipif(NO_FONT, reason="no font here has Chinese letters")
def test_a_figure_is_drawn_in_chinese():
    texts, _, fonts = drawn("zh")
    assert set(KNOWN.values()) | UNKNOWN <= texts and not texts & KNOWN.keys()
    assert len(fonts) == 2 and fonts[1] == "DejaVu Sans" and fonts_for("图", fonts[:1]) == (fonts[:1], [])


@pytest.mark.parametrize("language, before", [("", ""), ("zh", FONTLESS)], ids=["English", "no Chinese font"])
def test_nothing_is_changed_without_the_variable_or_without_a_font(language, before):
    texts, fonts, after = drawn(language, before)
    assert KNOWN.keys() | UNKNOWN <= texts and not re.search("[\u4e00-\u9fff]", "".join(texts)) and fonts == after


def test_templates_fill_in_the_same_in_both_languages():
    for english, chinese in CATALOGUE.items():
        places = re.findall(r"\{\d\}", english)
        assert sorted(places) == sorted(re.findall(r"\{\d\}", chinese)), english
        assert places == [f"{{{i}}}" for i in range(len(places))], english
        assert re.sub(r"\{\d\}|\W", "", english), f"{english!r} is nothing but places"
        assert re.search("[\u4e00-\u9fff]", chinese) and chinese.count("\n") == english.count("\n"), english
        filled = english.format(*"ABCDEF") if places else english
        assert translated(filled) == (chinese.format(*"ABCDEF") if places else chinese)


def test_what_is_filled_in_is_translated_where_it_is_known():
    assert translated("zero-shot, words of our own") == "零样本，我们自己的话"
    assert translated("zero-shot, keycap 3") == "零样本，keycap 3"
    assert translated("zero-shot, a row of text a class") == CATALOGUE["zero-shot, a row of text a class"]  # exact first
    assert translated("a rocket, bare\n0.86, moved 0.17, other 0.06") == "a rocket，无增强\n0.86，挪动后 0.17，另一模型 0.06"
    assert translated("nobody knows\nthis 1.5") == "nobody knows\nthis 1.5" and translated("") == ""


def test_the_catalogue_is_written_as_it_is_read():
    path = Path(figure_words.__file__).with_name("figures_zh.json")
    assert path.read_text(encoding="utf-8") == json.dumps(CATALOGUE, ensure_ascii=False, indent=0) + "\n"


@pytest.mark.skipif(NO_FONT, reason="no font here has Chinese letters")
def test_every_chinese_letter_is_in_the_font():
    fonts = [*fonts_for("图", [])[0], "DejaVu Sans"]
    assert fonts_for("".join(CATALOGUE.values()), fonts) == (fonts, [])
