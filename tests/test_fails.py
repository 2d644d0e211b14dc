"""The gallery of where such models fail: what each card says is what the model says, and a card can be taken along."""

import html
import re

import pytest
from PIL import Image

import clipmini
from clipmini.tasks.classify import classify
from helpers_app import running, tiny_checkpoint

gr = pytest.importorskip("gradio", reason="the app needs gradio: pip install 'clipmini[app]'")
from demo_app import texts  # noqa: E402
from demo_app.tabs import fails  # noqa: E402
from test_browser import Visit, browser  # noqa: E402, F401


@pytest.fixture(scope="module")
def emoji():
    return clipmini.load("emoji")


def cards(text: str) -> list[str]:
    return re.findall(r"<article.*?</article>", text, re.S)


@pytest.mark.parametrize("lang", texts.LANGUAGES)
def test_each_card_has_a_picture_the_models_shares_and_what_to_look_for(emoji, lang):
    found = cards(fails.gallery(emoji, lang))
    assert len(found) == len(fails.EXPERIMENTS) >= 5
    for number, (text, e) in enumerate(zip(found, fails.EXPERIMENTS, strict=True)):
        shares = {html.unescape(name): float(value) for name, value in
                  re.findall(r'role="meter" aria-label="([^"]*)".*?aria-valuenow="([^"]*)"', text)}
        expected = classify(emoji, [e.draw()], list(e.labels))
        assert shares == pytest.approx(dict(zip(e.labels, (100 * expected.probabilities[0]).tolist(), strict=True)), abs=0.01)
        for key in ("", "_name", "_alt"):
            assert html.escape(texts.TEXTS[lang][e.key + key]) in text
        assert 'src="data:image/webp;base64,' in text and f'data-card="{number}"' in text


def test_the_gallery_shows_failures(emoji):
    """A card for whose model the thing works is no card: most of them catch the embedded model."""
    said = [fails.verdict("en", e, classify(emoji, [e.draw()], list(e.labels))) for e in fails.EXPERIMENTS]
    assert sum(text.startswith("Right here") for text in said) <= 2
    by_key = dict(zip((e.key for e in fails.EXPERIMENTS), said, strict=True))
    assert by_key["try_forced"] == "Neither is right, and yet it says “a pizza”."
    assert by_key["try_turned"] == "Wrong here: it says “a skull”, and “a dog” is right."
    assert by_key["try_order"] == "It cannot tell “dog bites man” from “man bites dog”."
    assert by_key["try_typographic"] == "Right here: “guitar”."


def test_a_card_is_taken_along_as_a_file_and_words(tmp_path):
    for number, e in enumerate(fails.EXPERIMENTS):
        path, words = fails.taken(number, str(tmp_path))
        assert Image.open(path).convert("RGB").tobytes() == e.draw().tobytes() and words == ", ".join(e.labels)
    for wrong in (-1, len(fails.EXPERIMENTS), "0", None):
        with pytest.raises(ValueError, match="there is no card"):
            fails.taken(wrong, str(tmp_path))


def test_a_click_fills_the_workbench(browser, tmp_path):  # noqa: F811
    with running(tiny_checkpoint(tmp_path / "tiny"), "en") as url:
        v = Visit(browser, url, width=390)
        assert not v.page.locator(".cm-fail").count()  # nothing is computed before the view is opened
        v.open_tab("Where it fails")
        v.page.wait_for_selector(".cm-fail")
        assert v.overflow() <= 0
        v.page.get_by_role("button", name="Try it yourself: Upside down").press("Enter")
        v.page.wait_for_function("document.querySelector('#labels textarea').value === 'a dog, a bear, a skull'")
        v.open_tab("Zero-shot")
        assert set(v.bars()) == {"a dog", "a bear", "a skull"}
        assert not v.errors and not v.strangers()
        v.context.close()
