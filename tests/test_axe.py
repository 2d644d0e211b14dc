"""Every view by axe, the checker of accessibility: both themes, both languages, a computer's width and a phone's."""

from pathlib import Path

import pytest

from demo_app.tabs import TABLE
from test_browser import Visit, browser, own_site  # noqa: F401 (fixtures)

axe = pytest.importorskip("axe_playwright_python", reason="this test needs axe: pip install axe-playwright-python")
AXE = (Path(axe.__path__[0]) / "axe.min.js").read_text("utf-8")
# The other impacts are "minor" and "moderate".
FOUND = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
    .filter(found => ['serious', 'critical'].includes(found.impact))
    .flatMap(found => found.nodes.map(node => `${found.id} at ${node.target}: ${node.html.slice(0, 120)}`))"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_axe_finds_nothing_serious(locale, dark, width, browser, own_site):  # noqa: F811
    visit = Visit(browser, own_site, width, locale, dark)
    visit.page.evaluate(AXE)
    found = []
    for name in TABLE:
        visit.page.locator(f"[role=tab][data-tab-id={name}]").click()
        visit.settled(name)
        visit.page.wait_for_function("() => !document.querySelector('.pending, .cm-stale')")
        visit.page.wait_for_timeout(300)  # what was grey fades in
        found += [f"{name}: {one}" for one in visit.page.evaluate(FOUND)]
        assert visit.overflow() <= 0, name
    visit.context.close()
    assert not found and not visit.errors and not visit.strangers()
