"""Film the page as a visitor uses it, twenty seconds, and take the README's pictures of it.

    python tests/film.py            # writes assets/demo.webp and assets/demo-*.png; needs playwright and Chromium
"""

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from test_browser import FLAGS, free_port, wait_until_open

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
WIDTH, HEIGHT, FRAMES_A_SECOND, SHOWN = 1200, 900, 4, (960, 720)
SETTLED = ("name => { const v = document.getElementById('view-' + name); return v && v.querySelector('.cm-who') && "
           "!v.classList.contains('cm-stale') }")


class Film:
    """Frames of a page, one each time somebody has looked long enough."""

    def __init__(self, page: Page):
        self.page, self.frames = page, []

    def look(self, seconds: float) -> None:
        """Film for so long."""
        for _ in range(max(1, round(seconds * FRAMES_A_SECOND))):
            self.page.wait_for_timeout(60)
            shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
            self.frames.append(shot.resize(SHOWN, Image.Resampling.LANCZOS))

    def view(self, name: str) -> None:
        """Open a view and wait for its answer."""
        self.page.locator(f"[role=tab][data-tab-id={name}]").click()
        self.page.wait_for_function(SETTLED, arg=name)
        self.page.wait_for_timeout(400)

    def save(self, path: Path) -> None:
        """As an animated WebP."""
        first, *rest = self.frames
        first.save(path, save_all=True, append_images=rest, duration=1000 // FRAMES_A_SECOND, loop=0, quality=55, method=4)


def play(film: Film, picture: Callable[[str], None]) -> None:
    """What happens in it. picture: takes a still of what is shown."""
    page = film.page
    film.look(1.5)
    picture("classify")
    page.evaluate("document.getElementById('bench').scrollIntoView()")  # without the head there is more to see
    page.locator("#examples button").nth(2).click()
    page.wait_for_function(SETTLED, arg="zero_shot")
    film.look(1)
    box = page.locator("#labels textarea")
    box.press("End")
    for letter in ", firework":
        box.press_sequentially(letter)
        film.look(0.2)
    page.wait_for_function("document.querySelector('#answer').innerText.includes('firework')")
    film.look(1)
    for position in (120, 80, 40, 10, 60, 120, 159):
        page.evaluate("p => { const s = document.querySelector('.cm-ar-scale input'); s.value = p; "
                      "s.dispatchEvent(new Event('input', {bubbles: true})) }", position)
        film.look(0.4)
    film.view("inside")
    page.wait_for_selector("#inside-maps img")
    film.look(2)
    film.view("map")
    page.evaluate("document.querySelector('#map-view .cm-map-stage').scrollIntoView({block: 'center'})")
    film.look(1.5)
    picture("map")
    page.get_by_role("button", name="fruit", exact=True).click()
    page.wait_for_timeout(800)
    film.look(1.5)
    for _ in range(3):
        page.click("#map-view .cm-map-in")
        film.look(0.5)
    film.view("search")
    page.wait_for_selector(".cm-hit img")
    page.evaluate("document.querySelector('#search-query').scrollIntoView()")
    film.look(1)
    page.locator("#search-try button").nth(1).click()
    page.wait_for_function("document.querySelector('#search-query textarea').value.startsWith('heart + blue')")
    page.wait_for_function(SETTLED, arg="search")
    page.wait_for_timeout(300)
    film.look(1.5)
    picture("search")
    film.view("prompts")
    page.click("#prompts-try")
    page.wait_for_function("document.querySelector('#workbench-table').innerText.includes('animal')")
    film.look(1.5)
    film.view("fails")
    page.wait_for_selector(".cm-fail")
    film.look(2)
    picture("fails")


def main() -> None:
    port, chromium = free_port(), shutil.which("chromium")
    process = subprocess.Popen([sys.executable, "-m", "demo_app.app", "--port", str(port), "--no-browser", "--quiet"],
                               cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until_open(port, process)
        with sync_playwright() as p, tempfile.TemporaryDirectory():
            browser = p.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_function(SETTLED, arg="zero_shot")
            film = Film(page)

            def picture(name: str) -> None:
                Image.open(io.BytesIO(page.screenshot())).quantize(192).save(ASSETS / f"demo-{name}.png", optimize=True)
            play(film, picture)
            film.save(ASSETS / "demo.webp")
            browser.close()
    finally:
        process.terminate()
        process.wait(30)
    print(f"{len(film.frames)} frames, {(ASSETS / 'demo.webp').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
