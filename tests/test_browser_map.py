"""The map in a real browser: with a mouse, with two fingers, with keys; search, own pictures, the film, other models."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright: pip install playwright")
pytest.importorskip("gradio", reason="the browser tests need gradio: pip install 'clipmini[app]'")

from clipmini.families import devise  # noqa: E402
from helpers_app import encoded, tiny_checkpoint, two_colours  # noqa: E402
from test_browser import ROOT, Visit, browser, free_port, picture, wait_until_open  # noqa: E402, F401

CANVAS, ROWS = "#map-view .cm-map-canvas", "#map-view .cm-map-near li"
DRAWN = "document.querySelectorAll('#map-view .cm-map-legend button').length"


@pytest.fixture(scope="module")
def site(browser, tmp_path_factory):  # noqa: F811
    """The app with the embedded model, which has a map; nothing of another run is in its cache."""
    port, cache = free_port(), tmp_path_factory.mktemp("cache")
    process = subprocess.Popen([sys.executable, "-m", "demo_app.app", "--port", str(port), "--no-browser"], cwd=ROOT,
                               env={**os.environ, "PYTHONUNBUFFERED": "1", "CLIPMINI_CACHE": str(cache)},
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until_open(port, process)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


@pytest.fixture
def visit(browser, site):  # noqa: F811
    visits = []

    def go(drawn=8, **options):
        visits.append(Visit(browser, site + "/?view=map", view="map", **options))
        visits[-1].page.wait_for_function(f"{DRAWN} >= {drawn}")
        return visits[-1]

    yield go
    for v in visits:
        v.context.close()
        assert not v.strangers() and not v.errors


def seen(page) -> int:
    """How many points are in view, as the list below the map says."""
    details = page.locator("#map-view .cm-map-seen")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    page.wait_for_timeout(400)
    return int(details.locator("summary").inner_text().split(":")[1].split(" of ")[1])


def image_of(page, canvas=CANVAS) -> str:
    page.wait_for_timeout(900)  # points walk
    return page.evaluate(f"document.querySelector('{canvas}').toDataURL()")


def names(page) -> list[str]:
    page.wait_for_selector(ROWS)
    return page.locator(ROWS).all_inner_texts()


def test_a_mouse_hovers_clicks_and_selects(visit):
    v = visit()
    assert "The map of the model emoji: 1,442 drawings and 1,442 words, placed by UMAP." in v.page.inner_text("#map-said")
    assert any("dog face" in row for row in names(v.page))  # the picture of the bench is on the map already
    box, tip = v.page.locator(CANVAS).bounding_box(), v.page.locator("#map-view .cm-map-tip")
    for x, y in ((x, y) for x in range(60, 360, 12) for y in range(120, 420, 40)):
        v.page.mouse.move(box["x"] + x, box["y"] + y)
        if tip.is_visible() and tip.locator("canvas").is_visible():
            break
    name = tip.inner_text().split(" · ")[0]
    assert name and v.page.evaluate("""() => { const c = document.querySelector('.cm-map-tip canvas');
        return new Set(c.getContext('2d').getImageData(0, 0, 64, 64).data).size }""") > 5  # a thumbnail, not a blank
    v.page.mouse.click(box["x"] + x, box["y"] + y)
    status = v.page.locator("#map-view .cm-map-status")
    v.page.wait_for_function("name => document.querySelector('#map-view .cm-map-status').innerText.includes(name)", arg=name)
    assert "12 pictures, then 6 words" in status.inner_text() and v.page.locator(ROWS).count() == 18
    v.page.locator("#map-view .cm-map-box").check()  # the page scrolls to it
    box = v.page.locator(CANVAS).bounding_box()
    v.page.mouse.move(box["x"] + 150, box["y"] + 150)
    v.page.mouse.down()
    v.page.mouse.move(box["x"] + 260, box["y"] + 260, steps=4)
    v.page.mouse.up()
    v.page.wait_for_function("document.querySelector('#map-view .cm-map-status').innerText.startsWith('In the frame')")


def test_search_lists_what_fits_and_the_page_stays_as_wide_as_a_phone(visit):
    v = visit(width=390)
    v.page.fill("#map-query input, #map-query textarea", "<img src=x onerror=alert(1)> pizza")
    v.page.keyboard.press("Enter")
    status = v.page.locator("#map-view .cm-map-status")
    v.page.wait_for_function("document.querySelector('#map-view .cm-map-status').innerText.includes('<img src=x')")
    assert "12 pictures" in status.inner_text()
    v.page.get_by_role("button", name="vehicle").click()
    v.page.wait_for_function("document.querySelector('#map-view .cm-map-status').innerText.includes('vehicle')")
    assert v.page.input_value("#map-query input, #map-query textarea") == "vehicle" and v.overflow() <= 0
    cosine = v.page.locator(f"{ROWS} >> nth=0")
    assert cosine.bounding_box()["x"] + cosine.bounding_box()["width"] <= 390  # the column was cut off


def test_buttons_keys_and_two_fingers_zoom_and_the_page_does_not(visit):
    v = visit(width=390)
    all_points = seen(v.page)
    for button in ("in", "out", "home"):
        box = v.page.locator(f"#map-view .cm-map-{button}").bounding_box()
        assert min(box["width"], box["height"]) >= 40 and v.page.get_attribute(f"#map-view .cm-map-{button}", "aria-label")
    v.page.click("#map-view .cm-map-in")
    v.page.click("#map-view .cm-map-in")
    near = seen(v.page)
    assert near < all_points
    v.page.focus(CANVAS)
    v.page.keyboard.press("0")
    assert seen(v.page) == all_points
    v.page.focus(CANVAS)
    for key in ("+", "+", "+", "ArrowLeft"):
        v.page.keyboard.press(key)
    assert seen(v.page) < all_points
    v.page.click("#map-view .cm-map-home")
    v.page.locator(CANVAS).scroll_into_view_if_needed()
    box, touch = v.page.locator(CANVAS).bounding_box(), v.context.new_cdp_session(v.page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, apart in (("touchStart", 20), ("touchMove", 50), ("touchMove", 90), ("touchMove", 120)):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
            {"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert seen(v.page) < all_points / 2 and v.page.evaluate("visualViewport.scale") == 1


def test_what_is_in_view_is_a_list_for_keyboards_and_screen_readers(visit):
    v = visit()
    seen(v.page)
    first = v.page.locator("#map-view .cm-map-seen li button").first
    said = first.inner_text().split("\n")[0].split(" · ")[0].strip()
    first.press("Enter")
    v.page.wait_for_function("said => document.querySelector('#map-view .cm-map-status').innerText.includes(said)", arg=said)


def test_groups_kinds_and_the_other_map(visit):
    v = visit()
    v.page.click("#map-view .cm-map-home")  # nothing is marked
    before = image_of(v.page)
    button = v.page.locator("#map-view .cm-map-legend button").first
    button.click()
    fewer = image_of(v.page)
    assert fewer != before and button.get_attribute("aria-pressed") == "false"
    button.click()
    assert image_of(v.page) == before
    v.page.locator("#map-kind").get_by_text("PCA").click()
    assert image_of(v.page) != before
    v.page.locator("#map-by").get_by_text("picture or word").click()
    v.page.wait_for_function(f"{DRAWN} == 2")


def test_own_pictures_then_back_and_the_film_touches_neither(visit, tmp_path):
    v = visit()
    v.page.get_by_text("A map of your own pictures").click()
    v.page.click("#own-go")
    v.page.get_by_text("0 pictures; choose 1 to 500 files").wait_for()
    files = []
    for i in range(10):
        files.append(tmp_path / f"two_colours_{i}.png")
        files[-1].write_bytes(encoded(two_colours().rotate(30 * i, fillcolor="white")))
    v.page.locator("#own-files input[type=file]").set_input_files(files)
    v.page.get_by_text("two_colours_9").wait_for()
    v.page.click("#own-go")
    v.open_tab("Zero-shot")  # the map comes while nobody looks
    v.page.wait_for_function("document.getElementById('map-said').textContent.includes('The map of your 10 pictures and "
                             "10 names by the model emoji, placed by UMAP.')", timeout=90_000)  # it compiles
    v.page.wait_for_timeout(1000)
    v.open_tab("Map")
    assert names(v.page)  # the picture of the bench has its neighbours
    image_of(v.page)
    drawn = f"""() => {{ const c = document.querySelector('{CANVAS}');
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v).length }}"""
    assert v.page.evaluate(drawn) > 5000  # it was blank
    assert v.page.locator("#map-view .cm-map-legend button").count() == 0  # there is one group, without a name
    v.page.get_by_text("How it learned: a film").click()
    v.page.click("#film-go")
    v.page.get_by_text("after step 20 of").wait_for()
    own, first = image_of(v.page), image_of(v.page, "#film-view .cm-map-canvas")
    v.page.locator("#film-step input[type=range]").focus()
    for _ in range(6):
        v.page.keyboard.press("ArrowRight")
    v.page.get_by_text("after step 1,100 of").wait_for()
    assert image_of(v.page, "#film-view .cm-map-canvas") != first
    assert image_of(v.page) == own  # the film cannot move another map
    v.page.click("#own-back")
    v.page.wait_for_function(f"{DRAWN} >= 8")


def test_a_photo_is_read_by_the_model_for_photos(visit):
    if devise.missing():
        pytest.skip(f"the photo model needs {devise.missing()}")
    import gradio

    v = visit()
    v.upload(Path(gradio.__file__).parent / "media_assets/images/lion.jpg")
    v.page.get_by_text("devise reads it instead").wait_for(timeout=60_000)
    assert names(v.page)[0].startswith("lion") and v.page.inner_text("#map-head") == "Answered by emoji."
    v.page.locator("#examples button").nth(1).click()
    v.page.wait_for_function("document.querySelector('#map-view .cm-map-near').innerText.includes('pizza')")
    assert v.page.inner_text("#map-view .cm-map-note") == ""


def test_a_picture_that_cannot_be_read_is_told_in_place_of_the_map(visit, tmp_path):
    v = visit()
    (tmp_path / "bad.png").write_text("no picture")
    v.upload(tmp_path / "bad.png")
    v.page.wait_for_selector("#map-head .cm-problem")
    assert not v.page.locator(CANVAS).is_visible()
    v.page.locator("#examples button").nth(1).click()
    v.page.wait_for_selector("#map-head .cm-who")
    v.page.wait_for_function("document.querySelector('#map-view .cm-map-near').innerText.includes('pizza')")
    assert v.page.locator(CANVAS).is_visible()


def test_a_model_without_a_map_gets_one_made_and_kept(browser, tmp_path):  # noqa: F811
    folder, port = tiny_checkpoint(tmp_path / "tiny"), free_port()
    process = subprocess.Popen([sys.executable, "-m", "demo_app.app", "--model", str(folder), "--port", str(port),
                                "--no-browser"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env={**os.environ, "CLIPMINI_CACHE": str(tmp_path / "cache")})
    wait_until_open(port, process)
    try:
        for how in ("made", "kept"):
            v = Visit(browser, f"http://127.0.0.1:{port}/")
            v.open_tab("Map")
            v.page.get_by_text("The map of the model tiny: 1,442 drawings").wait_for(timeout=90_000)
            v.page.wait_for_function(f"{DRAWN} >= 8")
            assert v.settled("map") and list((tmp_path / "cache" / "maps").iterdir()), how
            assert not v.strangers() and not v.errors
            v.context.close()
    finally:
        process.terminate()
        process.wait(10)
