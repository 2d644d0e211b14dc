"""The view that cuts out: prompts from the page, what is shown, the browser, the endpoint."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from clipmini.segmenter import rle
from clipmini.segmenter.prompt import PromptError
from demo_app.tabs import cut
from demo_app.texts import Told
from test_browser import Visit, browser, own_site  # noqa: F401 (fixtures)


def picture(size=(200, 140)) -> Image.Image:
    image = Image.new("RGB", size, (235, 235, 225))
    image.paste((30, 60, 200), (60, 30, 130, 100))
    return image


TRUTH = np.zeros((140, 200), bool)
TRUTH[30:100, 60:130] = True


def overlap(mask) -> float:
    mask = np.asarray(mask)
    return (mask & TRUTH).sum() / (mask | TRUTH).sum()


def test_a_prompt_is_for_its_picture():
    key = cut.key_of(picture())
    text = json.dumps({"of": key, "clicks": [[0.5, 0.4, 1, 0]], "box": [0.1, 0.1, 0.9, 0.9]})
    assert cut.read(text, key) == ([(0.5, 0.4, 1, 0)], [0.1, 0.1, 0.9, 0.9])
    assert cut.read(text, "another") == ([], None) == cut.read("", key)
    assert cut.key_of(picture()) == key != cut.key_of(picture((100, 70)))


@pytest.mark.parametrize("text", ["x", "[]", "{}", '{"clicks": 3}', '{"clicks": [[1, 2]]}', '{"clicks": [["a", 1, 1, 1]]}',
                                  json.dumps({"clicks": [[0.1, 0.1, 1, 0]] * 21}), '{"clicks": [], "box": [1, 2]}',
                                  '{"clicks": [[NaN, 1, 1, 0]]}', '{"clicks": [], "box": "abcd"}', "[" * 3000,
                                  '{"clicks": []' + " " * 5000 + "}", '{"clicks": [[1e999, 1, 1, 0]]}'])
def test_what_no_page_sends_is_told(text):
    with pytest.raises(Told, match="20 clicks"):
        cut.read(text, "")


def test_a_click_cuts_out_and_the_middle_is_the_first():
    assert overlap(cut.look(picture(), cut.Given([(95 / 200, 65 / 140, 1, 0)], None), "").masks[0]) > 0.85
    first = cut.look(picture(), cut.Given([], None), "")
    assert np.array_equal(first.masks, cut.look(picture(), cut.Given([(0.5, 0.5, 1, 0)], None), "").masks)


def test_boxes_words_and_clicks_go_together():
    box = [58 / 200, 28 / 140, 132 / 200, 102 / 140]
    for given, words in ((cut.Given([], box), ""), (cut.Given([], None), "blue square"),
                         (cut.Given([(95 / 200, 65 / 140, 1, 0), (0.05, 0.05, 0, 0)], box), "blue square")):
        assert overlap(cut.look(picture(), given, words).masks[0]) > 0.85


def test_a_later_click_starts_from_the_mask_that_was_chosen(monkeypatch):
    asked = []
    real = cut.MaskPredictor.predict
    monkeypatch.setattr(cut.MaskPredictor, "predict", lambda self, *given: asked.append(given) or real(self, *given))
    cut.look(picture(), cut.Given([(0.4, 0.4, 1, 0), (0.6, 0.6, 0, 2)], None), "")
    first, second = asked
    assert len(first[0]) == 1 and first[4] is None
    again = real(_set(), first[0], first[1])
    assert np.array_equal(second[4], again.logits[2])


def _set():
    ours = cut.segmenter()
    predictor = cut.MaskPredictor(ours.model, ours.embedder)
    predictor.set_image(picture())
    return predictor


def test_clicks_that_only_take_away_are_told():
    with pytest.raises(PromptError, match="negative"):
        cut.look(picture(), cut.Given([(0.5, 0.5, 0, 0)], None), "")
    assert cut.look(picture(), cut.Given([(0.05, 0.05, 0, 0), (0.475, 0.46, 1, 0)], None), "").masks[0].any()


def test_what_is_shown_is_what_was_found():
    image, given = picture(), cut.Given([(0.475, 0.46, 1, 0)], None)
    answer = cut.look(image, given, "")
    data = json.loads(cut.shown(image, given, answer, "", "en"))
    assert (data["w"], data["h"]) == image.size and len(data["masks"]) == 3 and data["prompt"]["given"]
    assert data["iou"] == [round(float(v), 4) for v in answer.iou] and f"{answer.iou[0]:.2f}" in data["said"]
    assert not json.loads(cut.shown(image, cut.Given([], None), answer, "", "en"))["prompt"]["given"]
    asked = SimpleNamespace(need_picture=lambda: image)
    saved = cut.saved(asked, "", "blue square")
    number, iou, area, left, top, width, height = saved.rows[0]
    assert number == 1 and 0 < iou < 1 and abs(area - TRUTH.sum()) < 0.15 * TRUTH.sum()
    assert abs(left - 60) < 5 and abs(top - 30) < 5 and abs(width - 70) < 8 and abs(height - 70) < 8
    assert len(saved.figures()[0].axes) == 3


def test_the_canvas_has_the_colours_of_the_figures():
    from clipmini.mask_plots import colour

    assert [tuple(round(255 * part) for part in colour(number)) for number in range(3)] == list(cut.COLOURS)


def test_words_of_what_is_not_there_are_doubted():
    image = picture()
    answer = cut.look(image, cut.Given([], None), "violin")
    said = json.loads(cut.shown(image, cut.Given([], None), answer._replace(there=0.1), "violin", "en"))["said"]
    assert "probably not there" in said and "10%" in said


@pytest.mark.parametrize("width", [1280, 390])
def test_click_take_away_undo_box_words_and_save(width, browser, own_site):  # noqa: F811
    visit = Visit(browser, own_site, width)
    page = visit.page
    page.locator("[role=tab][data-tab-id=cut]").click()
    visit.settled("cut")
    page.wait_for_selector(".cm-cut-three button")
    canvas, said = page.locator(".cm-cut-canvas"), page.locator(".cm-cut-said")

    def asked_again(act) -> str:
        """The sentence after an action that asks anew."""
        before = page.locator("#cut-head [data-stamp]").get_attribute("data-stamp")
        act()
        page.wait_for_function("(before) => { const s = document.querySelector('#cut-head [data-stamp]');"
                               "return s && s.dataset.stamp !== before && !document.querySelector('.cm-stale'); }", arg=before)
        page.wait_for_timeout(200)
        return said.inner_text()

    first = said.inner_text()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    spot = {"x": box["width"] * 0.5, "y": box["height"] * 0.4}
    clicked = asked_again(lambda: canvas.click(position=spot))
    assert clicked != first and page.locator(".cm-cut-undo").is_enabled()
    taken = asked_again(lambda: canvas.click(position={"x": spot["x"], "y": box["height"] * 0.8}, button="right"))
    assert taken != clicked
    assert asked_again(lambda: page.locator(".cm-cut-undo").click()) == clicked
    page.locator(".cm-cut-three button").nth(1).click()
    assert page.locator(".cm-cut-three [aria-checked=true]").inner_text().startswith("2:")
    with page.expect_download() as download:
        page.locator(".cm-cut-save").click()
    found = Image.open(download.value.path())
    alpha = np.asarray(found.convert("RGBA"))[..., 3]
    assert found.format == "PNG" and (alpha == 0).any() and (alpha == 255).any()

    def drag():
        page.locator(".cm-cut-modes button").nth(2).click()
        canvas.scroll_into_view_if_needed()
        r = canvas.bounding_box()
        page.mouse.move(r["x"] + 0.2 * r["width"], r["y"] + 0.2 * r["height"])
        page.mouse.down()
        page.mouse.move(r["x"] + 0.8 * r["width"], r["y"] + 0.8 * r["height"], steps=4)
        page.mouse.up()

    boxed = asked_again(drag)
    assert boxed != clicked
    assert asked_again(lambda: page.locator(".cm-cut-clear").click()) == first
    asked_again(lambda: page.locator("#cut-words input, #cut-words textarea").first.fill("dog"))
    canvas.focus()
    page.keyboard.press("ArrowDown")
    asked_again(lambda: page.keyboard.press("Enter"))
    assert visit.overflow() <= 0 and not visit.errors
    visit.context.close()


def test_the_endpoint_cuts_out(own_site, tmp_path):  # noqa: F811
    picture().save(tmp_path / "p.png")
    client = Client(own_site, verbose=False)
    file, told = client.predict(handle_file(str(tmp_path / "p.png")), "", "95,65,1; 5,5,0", "", api_name="/cut_out")
    assert overlap(rle.decode(told["masks"][0]["segmentation"])) > 0.85
    assert Image.open(file).size == (200, 140)
    for clicks, box in (("500,5,1", ""), ("", "5,5,5,5"), ("5,5,1;" * 21, ""), ("5,5", ""), ("a,b,c", ""), ("", "1,2,3"),
                        ("nan,5,1", ""), ("5,5,0", ""), ("5,5,2", "")):
        with pytest.raises(Exception, match="outside|no area|at most 20|negative|NaN|one for each"):
            client.predict(handle_file(str(tmp_path / "p.png")), "", clicks, box, api_name="/cut_out")
