"""Words in figures are drawn as typed: no mathematics, no lost legend entries, letters from fonts that have them."""

import inspect
import io
import logging
import unicodedata
import warnings
from types import SimpleNamespace

import pytest
import regex
import torch
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from PIL import Image

from clipmini import matplotlib_text, plots
from clipmini.matplotlib_text import Figure, as_typed, fonts_for, printable
from clipmini.tasks.heatmap.methods import Heatmap
from clipmini.tasks.maps.folder import MAPS, EmbeddingMap

ODD = ["$5 and $6", r"a $\foo$ rocket", "$$", "$", r"{x} \ ^ _ % & # ~", r"$x^2$", "{", "\\", "_drafts", "__", "<b>&amp;"]
GREY = Image.new("RGB", (40, 30), "grey")


def figures(words: list[str]) -> dict[str, Figure]:
    """Every figure that shows what people type, with these words wherever a word goes."""
    n, maps = len(words), torch.rand(len(words), 7, 7)
    found = Heatmap(GREY, tuple(words), maps, maps, "windows")
    both = EmbeddingMap(words * 2, words * 2, n, {name: torch.rand(2 * n, 2) for name in MAPS}, torch.rand(2 * n, 4), GREY,
                        words[0])
    numbers = SimpleNamespace(values=lambda kind: torch.rand(n, n), cosines=torch.rand(n, n), texts=words, names=words)
    score = [SimpleNamespace(what=word, accuracy=0.5, low=0.4, high=0.6) for word in words]
    bench = SimpleNamespace(alone=score, embeddings=score[0], n=n)
    history = [{"step": s, "loss": 1.0, "ln_n": 4.85, "scale": 14, "score": 0.5} for s in range(1, 4)]
    bins = {"confidence": [0.5], "accuracy": [0.5], "count": [3], "ece": 0.1}
    title = " ".join(words)
    answer = SimpleNamespace(labels=words, cosines=torch.rand(1, n), logits=torch.rand(1, n),
                             probabilities=torch.rand(1, n).softmax(1), none=torch.tensor([0.1]))
    mixes = [{"share": 0.0, "score": 0.2, "reference": 0.9}, {"share": 1.0, "score": 0.4, "reference": 0.5}]
    return {"training_curve": plots.training_curve(history, title), "mixing_curve": plots.mixing_curve(mixes, 1, title),
            "template_scores": plots.template_scores(bench, title),
            "reliability_curve": plots.reliability_curve(bins, title), "heatmaps": plots.heatmaps(found, title),
            "answers": plots.answers([GREY] * 2, [[(word, 0.5) for word in words]] * 2, title, top=n),
            "segments": plots.segments(found, title), "matrix": plots.matrix(numbers, [GREY] * n, "cosine", title),
            "map_of": plots.map_of(both, "umap", title), "you_are_here": plots.you_are_here("loss"),
            "arithmetic": plots.arithmetic(answer, 20.0, [0.1, 0.2], title, words[0]),
            "shares": plots.shares(words, words, torch.rand(n, n), title),
            "side_by_side": plots.side_by_side([GREY] * n, words, title)}


def words_of(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.fixture(scope="module")
def odd():
    return figures(ODD)


def test_every_function_that_returns_a_figure_is_tried(odd):
    made = {name for name, f in vars(plots).items()
            if inspect.isfunction(f) and f.__module__ == plots.__name__ and inspect.signature(f).return_annotation is Figure}
    assert made == set(odd)


@pytest.mark.parametrize("name", ["training_curve", "mixing_curve", "template_scores", "reliability_curve", "heatmaps", "answers",
                                  "segments", "matrix", "map_of", "you_are_here", "arithmetic", "shares", "side_by_side"])
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_no_word_is_mathematics(odd, name, ending, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        odd[name].savefig(tmp_path / f"x.{ending}")
    texts = odd[name].findobj(Text)  # after the drawing: with all that matplotlib has made meanwhile
    assert not any(text.get_parse_math() for text in texts if "$" in text.get_text() or "\\" in text.get_text())
    if name != "you_are_here":
        assert "$5 and $6" in words_of(odd[name])


@pytest.mark.parametrize("name", ["segments", "map_of"])
def test_the_legend_has_every_label(odd, name):
    labels = [text.get_text() for text in odd[name].legends[0].get_texts()]
    assert labels == [*ODD, *["none"] * (name == "segments")]


def test_a_price_looks_like_a_price():
    """The pixels of "$5$" are those of a text that has three signs, not of a slanted 5."""
    def drawn(word: str, write=lambda make: make):
        def figure():
            made = Figure(figsize=(1, 0.5), dpi=50)
            made.text(0.1, 0.3, word)
            return made
        made = write(figure)()
        made.savefig(file := io.BytesIO(), format="raw")
        return file.getvalue()
    assert drawn("$5$", as_typed) == drawn(r"\$5\$") != drawn("$5$")


def test_tabs_and_control_characters_are_drawable(tmp_path):
    assert printable("a\tb\u3000c\x1b[31m\x00\udcbb\n") == "a b c\ufffd[31m\ufffd\ufffd\n"
    for figure in figures(["a\tb", "\x1b[31mred", "\udcbb\udcf0.png", "two\nlines\r\n", "\u202eabc"]).values():
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            figure.savefig(tmp_path / "x.png")
        assert not [c for c in words_of(figure) if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"]


@pytest.fixture
def told(monkeypatch, caplog):
    """What is told, as if nothing had been told before."""
    monkeypatch.setattr(matplotlib_text, "_told", set())
    caplog.set_level(logging.WARNING)
    return caplog


def test_letters_without_a_font_are_told_once_with_the_package(told, monkeypatch, tmp_path):
    monkeypatch.setattr(matplotlib_text, "_names", lambda known: [])
    matplotlib_text._fallback.cache_clear()
    for _ in range(2):
        for figure in figures(["火箭 ロケット 로켓", "🚀 👩\u200d🚀 🏴\U000e0067\U000e007f", "नमस्ते ไทย", "plain"]).values():
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                figure.savefig(tmp_path / "x.png")
    matplotlib_text._fallback.cache_clear()
    lines = [record.getMessage() for record in told.records]
    assert [next(p for p in ("fonts-noto-cjk", "fonts-symbola", "fonts-noto-core") if f"install {p}" in line) for line in lines] \
        == ["fonts-noto-cjk", "fonts-symbola", "fonts-noto-core"]
    assert all(line.startswith("note: figures show a box for ") and "\n" not in line for line in lines)
    assert "火 箭 ロ ケ ッ and 3 more" in lines[0] and "\u200d" not in lines[1]


def test_what_the_font_has_needs_no_other_and_says_nothing(told):
    assert fonts_for("é ≥ Привет “x” → مرحبا", ["DejaVu Sans"]) == (["DejaVu Sans"], [])
    assert fonts_for("a", ["No Such Font", "DejaVu Sans"]) == (["No Such Font", "DejaVu Sans"], [])
    assert not told.records


def a_font(tmp_path, name: str, letters: str, outline: bool = True):
    """A font with a square for each letter, or with nothing, as fonts of coloured pictures have."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    names = [".notdef", *(f"u{ord(c):X}" for c in letters)]
    pen = TTGlyphPen(None)
    if outline:
        pen.moveTo((100, 0))
        for point in ((100, 700), (700, 700), (700, 0)):
            pen.lineTo(point)
        pen.closePath()
    glyph, builder = pen.glyph(), FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"u{ord(c):X}" for c in letters})
    builder.setupGlyf(dict.fromkeys(names, glyph))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(tmp_path / f"{name}.ttf")
    return tmp_path / f"{name}.ttf"


def test_a_font_is_chosen_by_what_it_can_draw(tmp_path, told, monkeypatch):
    """Letters that no real font has (private use): from the font with outlines, not from the one of coloured pictures."""
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    letter, other = "\U0010abcd", "\U0010abce"
    fontManager.addfont(a_font(tmp_path, "A Coloured Emoji", letter + other, outline=False))
    assert fonts_for(f"x{letter}", ["DejaVu Sans"]) == (["DejaVu Sans"], [letter])
    fontManager.addfont(a_font(tmp_path, "Z Outlines", letter))  # told of later: found all the same
    assert fonts_for(f"x{letter}{other}{letter}", ["DejaVu Sans"]) == (["DejaVu Sans", "Z Outlines"], [other])
    figure = figures([f"a{letter}"])["segments"]
    assert figure.legends[0].get_texts()[0].get_fontfamily()[1:] == ["Z Outlines"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(tmp_path / "x.png")
    assert not told.records


def test_a_font_file_that_has_gone_or_is_no_font_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    for name, damage in (("A Gone", lambda p: p.unlink()), ("A Broken", lambda p: p.write_bytes(b"no font"))):
        path = a_font(tmp_path, name, "\U0010abc0")
        fontManager.addfont(path)
        damage(path)
    assert fonts_for("\U0010abc0", ["DejaVu Sans"]) == (["DejaVu Sans"], ["\U0010abc0"])


def test_chinese_and_emoji_are_drawn_where_a_font_has_them(told):
    names = {font.name for font in fontManager.ttflist}
    for word, wanted in (("火箭", "CJK|Hei|Source Han|Fallback"), ("🚀", "Symbola|Emoji")):
        if not any(regex.search(wanted, name) for name in names):
            pytest.skip(f"no font here has {word}")  # what is drawn by is tried above, with a font of our own
        fonts, lost = fonts_for(word, ["sans-serif"])
        assert len(fonts) == 2 and not lost
    for figure in figures(["火箭", "🚀", "_火"]).values():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure.canvas.draw()
    assert not told.records
