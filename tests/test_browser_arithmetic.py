"""The strips of the arithmetic in a real browser: the numbers are Python's at any scale, and everybody can read them."""

import json

import pytest

pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright: pip install playwright")
gr = pytest.importorskip("gradio", reason="the browser tests need gradio: pip install 'clipmini[app]'")

from clipmini.tasks.classify import Classifier, classify, make_classifier  # noqa: E402
from clipmini.tasks.prompts import EVERYDAY_WORDS  # noqa: E402
from demo_app import arithmetic  # noqa: E402
from demo_app.app import launch_kwargs  # noqa: E402
from demo_app.page import samples_folder  # noqa: E402
from demo_app.shelf import Model  # noqa: E402
from demo_app.texts import TEXTS  # noqa: E402
from test_browser import Visit, browser  # noqa: E402, F401

MODEL, BIAS = Model("emoji"), -8.0
PICTURE = samples_folder() / "dog_face.png"
LABELS = {"few": ("a wolf, a cat, <img src=x onerror=document.title='hacked'>", "emoji", True, 1.0),
          "many": (", ".join(EVERYDAY_WORDS[5:45]), "plain", True, 1.0), "one": ("dog", "plain", False, 100.0),
          "thousand": ("\n".join(f"label {i}" for i in range(1000)), "plain", False, 1.0),
          "tie": ("dog, cat, wolf", "plain", False, 0.0)}


def told(name: str) -> tuple[Classifier, str]:
    """What classify is asked in a case, and what the component is told."""
    if name == "waiting":
        return None, arithmetic.waiting("en")
    labels, templates, none, scale = LABELS[name.removesuffix(" sigmoid")]
    model = MODEL.get()
    made = make_classifier(model, labels, templates, none)
    found = classify(model, [PICTURE], made, logit_scale=scale)
    said = json.loads(arithmetic.value(model, made, found, "en", scale, MODEL.everyday(templates)))
    return made, json.dumps(said | ({"bias": BIAS} if name.endswith("sigmoid") else {}))


@pytest.fixture(scope="module")
def site(browser):  # noqa: F811
    """A page with nothing but the component, a box that chooses a case, and one that shows what the event brought."""
    with gr.Blocks() as demo:
        view = arithmetic.component(TEXTS["en"].__getitem__, "en")
        case, event = gr.Textbox(elem_id="case"), gr.Textbox(elem_id="event")
        gr.Button(elem_id="go")
        case.submit(lambda name: told(name)[1], case, view)

        def moved(data: gr.EventData):
            return json.dumps(data._data)
        view.rescale(moved, None, event)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, inbrowser=False, **launch_kwargs())
    yield url
    demo.close(verbose=False)


@pytest.fixture
def visit(browser, site):  # noqa: F811
    visits = []

    def go(case, **options):
        visits.append(Visit(browser, site, view=None, **options))
        page = visits[-1].page
        page.fill("#case textarea, #case input", case)
        page.keyboard.press("Enter")
        page.wait_for_selector("#answer .cm-bars")
        return visits[-1]

    yield go
    for v in visits:
        v.context.close()
        assert not v.errors and not v.strangers()


def slide(page, position: int, *events: str) -> None:
    page.evaluate("""([position, events]) => { const input = document.querySelector('.cm-ar-scale input');
        input.value = position; events.forEach((e) => input.dispatchEvent(new Event(e, { bubbles: true }))) }""",
                  [position, list(events)])


def cells(page, row: str) -> list[str]:
    return page.locator(f"#answer tr[data-i='{row}'] td").all_inner_texts()[1:]


@pytest.mark.parametrize("case", ["few", "many"])
def test_the_shares_are_classifys_at_every_scale(visit, case):
    v, made = visit(case), told(case)[0]
    before = None
    for position in (30, 110, 200):
        slide(v.page, position, "input", "change")
        v.page.wait_for_function("old => ![old, ''].includes(document.querySelector('#event textarea').value)", arg=before)
        before = v.page.input_value("#event textarea")
        scale = json.loads(before)["scale"]
        assert scale == pytest.approx(100 ** (position / 200))
        found = classify(MODEL.get(), [PICTURE], made, logit_scale=scale)
        order = found.cosines[0].argsort(descending=True).tolist()
        bars = v.bars()
        for i in order[:20]:
            assert bars[made.labels[i]] / 100 == pytest.approx(found.probabilities[0, i].item(), abs=1e-4)
            assert cells(v.page, i)[1:3] == [f"{found.cosines[0, i]:+.3f}", f"{found.logits[0, i]:+.1f}"]
        assert bars["None of these"] / 100 == pytest.approx(found.none.item(), abs=1e-4)
        if case == "many":
            assert bars["20 more labels"] / 100 == pytest.approx(
                sum(found.probabilities[0, i].item() for i in order[20:]), abs=1e-4)
        best = max((*zip(found.probabilities[0].tolist(), made.labels, strict=True), (found.none.item(), "None of these")))
        if not arithmetic.tied(found):
            assert v.page.inner_text(".cm-first").startswith(best[1])
        assert sum(bars.values()) == pytest.approx(100, abs=0.2) and len(bars) == min(20, len(order)) + 1 + (case == "many")


def test_sliding_asks_no_server_and_moves_all_strips(visit):
    v = visit("few")
    lefts = "[...document.querySelectorAll('.cm-ar-dot[data-i]')].map((e) => e.style.left)"
    slide(v.page, 20, "input")
    first, asked, said = v.page.evaluate(lefts), len(v.requests), v.page.inner_text(".cm-ar-scale output")
    slide(v.page, 60, "input")
    second = v.page.evaluate(lefts)
    third = len(second) // 3
    assert second[:third] == first[:third]  # cosines stay
    for k in (1, 2):
        assert second[k * third:(k + 1) * third] != first[k * third:(k + 1) * third]
    assert v.page.inner_text(".cm-ar-scale output") != said
    v.page.wait_for_timeout(300)
    assert len(v.requests) == asked
    v.page.click(".cm-ar-own")
    v.page.wait_for_function("document.querySelector('#event textarea').value")
    assert json.loads(v.page.input_value("#event textarea"))["scale"] == MODEL.get().logit_scale
    assert v.page.get_attribute(".cm-ar-scale input", "aria-valuetext") == f"{MODEL.get().logit_scale:.1f}"


def test_a_label_lights_up_everywhere_by_pointer_and_by_keyboard(visit):
    v = visit("few", width=390)
    on = "[...document.querySelectorAll('#answer .on')].filter((e) => e.dataset.i !== undefined).map((e) => e.dataset.i)"
    v.page.focus("#answer tr[data-i='1'] button")
    assert v.page.evaluate(on) == ["1"] * 7  # three dots, three names, a row
    colours = v.page.evaluate("""[...document.querySelectorAll("#answer [data-i='1']")].map(
        (e) => getComputedStyle(e).getPropertyValue('--c'))""")
    assert len(colours) == 7 and len(set(colours)) == 1
    v.page.hover("#answer tr[data-i='0'] .cm-track")
    assert set(v.page.evaluate(on)) == {"0"}
    v.page.keyboard.press("Enter")  # the focused button of label 1 is pinned
    assert v.page.get_attribute("#answer tr[data-i='1'] button", "aria-pressed") == "true"
    words = v.page.locator(".cm-ar-line[role=slider]")
    words.focus()
    v.page.keyboard.press("End")
    best = words.get_attribute("aria-valuetext")
    v.page.keyboard.press("ArrowLeft")
    assert best.startswith("dog +") and words.get_attribute("aria-valuetext") != best
    assert v.page.inner_text(".cm-ar-read") == words.get_attribute("aria-valuetext")
    assert v.overflow() <= 0 and v.page.title() != "hacked" and "<img src=x" in v.page.inner_text("#answer")


@pytest.mark.parametrize("case, headline", [
    ("tie", "A tie between dog, cat and wolf 33.3 %"), ("one", "dog 100.0 %"),
    ("thousand", " and 998 more 0.1 %")])
def test_extremes_have_numbers_and_ties_are_no_wins(visit, case, headline):
    v = visit(case, width=390, dark=True)
    for position in (None, 200):
        if position:
            slide(v.page, position, "input")
        text = v.page.inner_text("#answer")
        assert not any(bad in text for bad in ("NaN", "Infinity", "undefined", "null"))
        assert position or v.page.inner_text(".cm-first").endswith(headline)
        assert sum(v.bars().values()) == pytest.approx(100, abs=0.5) and v.overflow() <= 0
    if case == "tie":
        assert not v.page.inner_text(".cm-first").startswith("A tie")


def test_a_sigmoid_models_own_probability_has_a_column_and_no_answer_takes_the_place_of_one(visit):
    v = visit("few sigmoid")
    slide(v.page, 150, "input")
    logit = classify(MODEL.get(), [PICTURE], told("few")[0], logit_scale=100 ** 0.75).logits[0]
    for i in (0, 1):
        expected = float((logit[i] + BIAS).sigmoid())
        assert float(cells(v.page, i)[-1].rstrip(" %")) == pytest.approx(100 * expected, abs=0.06)
    v.page.fill("#case textarea, #case input", "waiting")
    v.page.keyboard.press("Enter")
    v.page.wait_for_selector(".cm-ar-waiting")
    assert v.page.locator("#answer .cm-bars").count() == 0


