"""The address of the page: whoever opens the copied link sees what was set on it, in every view."""

import pytest

pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright: pip install playwright")
gr = pytest.importorskip("gradio", reason="the browser tests need gradio: pip install 'clipmini[app]'")

from urllib.parse import parse_qs, urlsplit  # noqa: E402

from clipmini.tasks.prompts import TEMPLATES  # noqa: E402
from demo_app.page import Kept  # noqa: E402
from demo_app.tabs.zero_shot import rescaled  # noqa: E402
from demo_app.texts import Told  # noqa: E402
from test_browser import Visit, browser, picture  # noqa: E402, F401
from test_browser_map import site  # noqa: E402, F401


def pick(v, selector: str, name: str) -> None:
    v.page.click(f"{selector} input")
    v.page.get_by_role("option", name=name).click()
    v.page.wait_for_function("!document.querySelector('[role=option]')")


def set_all(v) -> None:
    """Everything that a visitor can set, to what it is not at first."""
    page = v.page
    page.locator("#examples button").nth(3).click()  # the guitar
    page.wait_for_function("location.search.includes('example=guitar')")
    page.fill("#labels textarea", "guitar, 吉他 & drum")
    page.locator("#settings > button").click()
    page.wait_for_timeout(500)  # the settings slide open, and a click on what moves may miss
    page.check("#none-of-these input", force=True)
    pick(v, "#template-set", "openai80")
    pick(v, "#which-model", "emoji-vit")
    page.wait_for_function("document.getElementById('model').innerText.includes('emoji-vit')")
    v.open_tab("Zero-shot")
    v.settled()
    page.evaluate("""() => { const input = document.querySelector('.cm-ar-scale input'); input.value = 60;
        ['input', 'change'].forEach((e) => input.dispatchEvent(new Event(e, { bubbles: true }))) }""")
    v.open_tab("Look inside")
    pick(v, "#inside-method", "value")
    v.open_tab("Map")
    page.locator("#map-kind").get_by_text("PCA").click()
    page.locator("#map-by").get_by_text("picture or word").click()
    page.get_by_label("modality gap").uncheck()
    v.open_tab("Prompts")
    page.fill("#workbench-templates textarea", "the {}\na {} + b")
    v.open_tab("Matrix")
    page.locator("#matrix-kind input[value='over texts']").check()
    v.open_tab("Models")
    pick(v, "#models-left", "emoji-vit")
    pick(v, "#models-right", "Automatic")
    page.wait_for_function("location.search.includes('right=automatic')")


def state(v) -> dict:
    """What stands on the page."""
    page, found = v.page, {}

    def value(selector: str) -> str:
        return page.input_value(f"{selector} textarea, {selector} input")

    def chosen(selector: str) -> str:
        return page.locator(f"{selector} input:checked").get_attribute("value")

    if not page.locator("#templates").is_visible():
        page.locator("#settings > button").click()
    v.open_tab("Zero-shot")
    v.settled()
    found |= {"words": value("#labels"), "templates": value("#templates"), "set": value("#template-set"),
              "none": page.is_checked("#none-of-these input"), "model": value("#which-model"), "bars": v.bars(),
              "scale": page.inner_text(".cm-ar-scale output")}
    v.open_tab("Look inside")
    found["method"] = value("#inside-method")
    v.open_tab("Map")
    found |= {"map": chosen("#map-kind"), "by": chosen("#map-by"), "gap": page.get_by_label("modality gap").is_checked()}
    v.open_tab("Prompts")
    found["prompts"] = value("#workbench-templates")
    v.open_tab("Matrix")
    found["kind"] = chosen("#matrix-kind")
    v.open_tab("Models")
    v.settled("models")
    page.wait_for_selector("#models-both .cm-half >> nth=1")
    found |= {"left": value("#models-left"), "right": value("#models-right"),
              "halves": [half.get_attribute("data-model") for half in page.locator("#models-both .cm-half").all()]}
    return found


def test_the_copied_link_holds_all_that_was_set(browser, site):  # noqa: F811
    v = Visit(browser, site)
    v.context.grant_permissions(["clipboard-read", "clipboard-write"])
    assert not urlsplit(v.page.url).query  # what is as it was at first is not said
    set_all(v)
    v.page.click("#copy-link")
    v.page.get_by_text("The link is copied.").first.wait_for()
    link = v.page.evaluate("navigator.clipboard.readText()")
    query = parse_qs(urlsplit(link).query)
    assert query["view"] == ["models"] and query["set"] == ["openai80"] and "templates" not in query
    assert set(query) == {"view", "words", "set", "none", "model", "example", "method", "map", "gap", "by", "prompts", "kind",
                          "left", "right", "scale"}
    before = state(v)
    other = Visit(browser, link, view="models")
    assert other.page.get_attribute("[role=tab][aria-selected=true]", "id") == "view-models-button"
    assert state(other) == before
    assert query["example"] == ["guitar"] and f"× {float(query['scale'][0]):.1f}" == before["scale"] == "× 4.0"
    for visit in (v, other):
        visit.context.close()
        assert not visit.errors and not visit.strangers()


def test_what_is_not_in_the_link_is_told(browser, site, picture):  # noqa: F811
    v = Visit(browser, f"{site}/?kind=nonsense&method=magic&gap=5&scale=1e9&left=nobody&set=none&words=guitar")
    v.context.grant_permissions(["clipboard-read", "clipboard-write"])
    assert set(v.bars()) == {"guitar"}  # and what nobody can choose is not restored
    v.ask(picture, "x" * 90 + ", " + ", ".join(f"word {i}" for i in range(300)))
    v.settled()
    v.page.click("#copy-link")
    v.page.get_by_text("Your own picture is not in it").first.wait_for()
    v.page.get_by_text("letters is not in it; the limit is 1,500.").first.wait_for()
    query = parse_qs(urlsplit(v.page.evaluate("navigator.clipboard.readText()")).query)
    assert "words" not in query and "example" not in query
    v.context.close()
    assert not v.errors and not v.strangers()


@pytest.mark.parametrize("component, said, expected", [
    (gr.Radio(["a", "b"]), "b", "b"), (gr.Radio(["a", "b"]), "c", None), (gr.Checkbox(), "0", False),
    (gr.Checkbox(), "true", None), (gr.Number(), "12.5", 12.5), (gr.Number(), "1001", None), (gr.Number(), "nan", None),
    (gr.Number(), "-1", None), (gr.Textbox(), "{}", "{}"), (gr.Textbox(), "x" * 1501, None), (gr.Textbox(), None, None)])
def test_an_address_is_read_with_care(component, said, expected):
    assert Kept(component).read(said) == expected


@pytest.mark.parametrize("scale", [None, "4", 0, -1, 1001, float("nan"), float("inf")])
def test_a_scale_that_no_slider_sends_is_refused(scale):
    assert rescaled({"scale": 39.2, "own": 39.2}) == 0 and rescaled({"scale": 3.98107, "own": 39.2}) == 3.9811
    with pytest.raises(Told, match="up to 1,000"):
        rescaled({"scale": scale, "own": 39.2})


def test_sets_are_told_apart_by_their_texts():
    assert len(set(TEMPLATES.values())) == len(TEMPLATES)
