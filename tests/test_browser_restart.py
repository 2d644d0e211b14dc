"""The app is killed and started again behind an open page: it says so, and keeps what was typed."""

import os
import subprocess
import sys
import time

from demo_app.texts import TEXTS
from test_browser import ROOT, Visit, browser, free_port, wait_until_open  # noqa: F401 (a fixture)

SOON = 10_000  # milliseconds


def test_a_page_tells_that_the_app_has_gone_and_is_back(browser, tmp_path):  # noqa: F811
    def started() -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-m", "demo_app.app", "--port", str(port), "--no-browser", "--quiet"],
                                   cwd=ROOT, env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)})
        wait_until_open(port, process)
        return process

    port, words = free_port(), TEXTS["en"]
    process = started()
    try:
        visit = Visit(browser, f"http://127.0.0.1:{port}/")
        page = visit.page
        page.fill("#labels textarea", "dog, a word of my own")
        page.wait_for_function("() => document.querySelector('#answer').innerText.includes('a word of my own')")
        process.kill()
        process.wait()
        killed = time.monotonic()
        page.get_by_role("alert").filter(has_text=words["server_away"]).wait_for(timeout=SOON)
        assert time.monotonic() - killed < SOON / 1000
        process = started()
        back = page.get_by_role("alert").filter(has_text=words["server_back"])
        back.wait_for(timeout=SOON)
        page.fill("#labels textarea", "dog, another word")
        back.get_by_role("button", name=words["server_reload"]).click()
        page.wait_for_function("() => document.querySelector('#answer')?.innerText.includes('another word')")
        assert "another word" in page.locator("#labels textarea").input_value()
        assert not page.get_by_role("alert").filter(has_text=words["server_back"]).count() and not visit.strangers()
        visit.context.close()
    finally:
        process.terminate()
        process.wait(20)
