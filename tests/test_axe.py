"""Every view by axe, the checker of accessibility: both themes, both languages, a computer's width and a phone's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo_app.tabs import TABLE
from test_browser import ROOT, Visit, browser, free_port, wait_until_open  # noqa: F401 (browser is a fixture)

axe = pytest.importorskip("axe_playwright_python", reason="this test needs axe: pip install axe-playwright-python")
AXE = (Path(axe.__path__[0]) / "axe.min.js").read_text("utf-8")
# The two minor impacts, "minor" and "moderate", are about landmarks of Gradio's own page.
FOUND = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
    .filter(found => ['serious', 'critical'].includes(found.impact))
    .flatMap(found => found.nodes.map(node => `${found.id} at ${node.target}: ${node.html.slice(0, 120)}`))"""


@pytest.fixture(scope="module")
def site(browser, tmp_path_factory):  # noqa: F811
    """The app with its own model: its views have answers to show when they open."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "demo_app.app", "--port", str(port), "--no-browser", "--quiet"], cwd=ROOT,
        env={**os.environ, "CLIPMINI_CACHE": str(tmp_path_factory.mktemp("cache"))}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    wait_until_open(port, process)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_axe_finds_nothing_serious(locale, dark, width, browser, site):  # noqa: F811
    visit = Visit(browser, site, width, locale, dark)
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
