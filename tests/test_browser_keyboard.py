"""Every view by the keyboard alone: what can be pressed is reached by Tab, is seen, and lets go again."""

import pytest

from demo_app.tabs import TABLE
from test_browser import Visit, browser, own_site  # noqa: F401 (fixtures)

MOST = 200  # presses of Tab
# What has the keyboard: its place among all that could have it, its words, and whether that is seen.
HERE = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  let seen = false;
  for (let at = one, up = 0; at && up < 4; at = at.parentElement, up++) {
    const style = getComputedStyle(at);
    seen ||= at.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  }
  const box = one.getBoundingClientRect();
  const again = walked.has(one);
  walked.add(one);
  const words = one.getAttribute('aria-label') || one.labels?.[0]?.innerText || one.innerText || one.alt || one.id;
  return { again, words: words.slice(0, 40), seen, inside: box.width > 0 && box.bottom > 0 && box.top < innerHeight };
}"""
FROM_THE_TOP = """() => {
  const top = document.createElement('span');
  top.tabIndex = -1; document.body.prepend(top); top.focus(); top.remove();
}"""
# What can be used by a pointer in the view that is open, and was not walked to.
MISSED = """view => [...document.querySelectorAll('button, a[href], input, textarea, select, summary, [role=slider]')]
  .filter(one => one.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && one.getClientRects().length
          && !one.disabled && !one.closest('[aria-hidden=true]') && !walked.has(one))
  .filter(one => !(one.type === 'radio' && [...walked].some(other => other.name === one.name && other.type === 'radio')))
  .filter(one => !(one.type === 'file') && !one.querySelector('button') && !one.closest('footer'))
  .map(one => one.outerHTML.slice(0, 160))"""


def walk(page, until) -> list[dict]:
    """Press Tab until something is reached, or somewhere again; everything on the way."""
    way = []
    for _ in range(MOST):
        page.keyboard.press("Tab")
        here = page.evaluate(HERE)
        if here is None:  # the end of the page, or the list of a combobox, which closes
            continue
        if here["again"]:
            return way
        way.append(here)
        if page.evaluate(until):
            return way
    pytest.fail(f"the keyboard is caught: {way[-3:]}")


def walk_to(page, until) -> list[dict]:
    """Press Tab until something is reached, from where the keyboard is."""
    page.evaluate("window.walked = new Set()")
    way = walk(page, until)
    assert page.evaluate(until), [here["words"] for here in way]
    return way


def at_tab(name: str) -> str:
    return f"() => document.activeElement.dataset.tabId === '{name}'"


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_every_control_of_every_view_is_reached_and_seen(locale, browser, own_site):  # noqa: F811
    visit = Visit(browser, own_site, locale=locale)
    page = visit.page
    for name in TABLE:
        page.evaluate(FROM_THE_TOP)
        way = walk_to(page, at_tab(name))
        page.keyboard.press("Enter")
        visit.settled(name)
        page.wait_for_timeout(300)
        way += walk(page, "() => false")
        unseen = [here["words"] for here in way if not here["seen"] or not here["inside"]]
        assert not unseen, (name, unseen)
        assert not page.evaluate(MISSED, name), (name, page.evaluate(MISSED, name))
        assert page.locator(".toast-body").count() == 0, page.locator(".toast-body").inner_text()
    visit.context.close()
    assert not visit.errors


def test_a_question_by_the_keyboard_alone(browser, own_site):  # noqa: F811
    """Another example, other words, another model, where it is: without a pointer."""
    visit = Visit(browser, own_site)
    page = visit.page
    page.evaluate(FROM_THE_TOP)
    walk_to(page, "() => document.activeElement.closest('#examples') && document.activeElement.ariaLabel === 'octopus'")
    page.keyboard.press("Enter")
    walk_to(page, "() => document.activeElement.closest('#labels')")
    page.keyboard.press("Control+a")
    page.keyboard.type("octopus, ship")
    page.wait_for_function("() => document.querySelector('#answer [role=meter]')?.ariaLabel === 'octopus'")
    assert visit.bars()["octopus"] > 50
    walk_to(page, "() => document.activeElement.role === 'combobox'")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    walk_to(page, at_tab("inside"))
    page.keyboard.press("Enter")
    assert "octopus" in visit.settled("inside").locator("table").first.inner_text()
    visit.context.close()
    assert not visit.errors


def test_gradios_own_buttons_have_names_in_the_pages_language(browser, own_site):  # noqa: F811
    """Gradio leaves some untranslated, one is a key, and thumbnails are only counted. What is not translated: names of
    files and of pictures."""
    visit = Visit(browser, own_site, locale="zh-CN")
    visit.open_tab("矩阵")
    visit.settled("matrix")
    named = visit.page.evaluate("""() => [...document.querySelectorAll('button, [role=button], nav, input')]
        .filter(one => one.checkVisibility()).flatMap(one => [one.ariaLabel, one.title]).filter(Boolean)""")
    titles = {"dog face", "pizza", "rocket", "guitar", "octopus", "snowman"}
    english = {name for name in named if name.isascii() and not name.isdigit()} - titles
    assert not english and titles <= set(named), english
    assert "用摄像头拍照" in named
    visit.context.close()
