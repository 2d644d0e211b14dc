"""The app as a visitor has it: a real browser, a real picture, and not one request to another machine."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from helpers_app import encoded, tiny_checkpoint, two_colours

playwright = pytest.importorskip("playwright.sync_api",
                                 reason="the browser tests need playwright: pip install playwright")
pytest.importorskip("gradio", reason="the browser tests need gradio: pip install 'clipmini[app]'")

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]
ROOT = Path(__file__).resolve().parent.parent
HERE = {"127.0.0.1", "localhost"}


@pytest.fixture(scope="module")
def browser():
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("the browser tests need Chromium on the PATH: apt-get install chromium")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_open(port: int, process, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
    said = process.stdout.read() if process.poll() is not None else "too slow"
    raise AssertionError(f"the app did not start: {said}")


@pytest.fixture(scope="module")
def site(tmp_path_factory, browser):
    """The app as its own process, as `python -m demo_app.app` starts it; gives its address and when it was started."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("browser") / "tiny")
    port, started = free_port(), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "demo_app.app", "--model", str(folder), "--port", str(port), "--no-browser"],
        cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    wait_until_open(port, process)
    yield f"http://127.0.0.1:{port}", started
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def own_site(browser, tmp_path_factory):
    """The app with the model that came along, whose views have answers to show when they open; gives its address."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "demo_app.app", "--port", str(port), "--no-browser", "--quiet"], cwd=ROOT,
        env={**os.environ, "CLIPMINI_CACHE": str(tmp_path_factory.mktemp("cache"))}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    wait_until_open(port, process)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


class Visit:
    """A page, every request it made, and every complaint of its scripts. view: which one it opens with, None for a page
    without views."""

    def __init__(self, browser, url, width=1280, locale="en-US", dark=False, view="zero_shot"):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, locale=locale,
                                           color_scheme="dark" if dark else "light")
        self.page, self.requests, self.errors = self.context.new_page(), [], []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket_: self.requests.append(socket_.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.set_default_timeout(20_000)
        self.views = view is not None
        self.page.goto(url)
        self.settled(view) if self.views else self.page.wait_for_selector("#go")

    def ask(self, file, labels):
        """Replace picture and words; no button is pressed. Waits for the answer to both."""
        self.page.fill("#labels textarea", labels)
        self.upload(file)

    def upload(self, file):
        self.page.click("#picture :is(button[title='Remove Image'], button[title='移除图片'])")
        self.page.locator("#picture input[type=file]").first.set_input_files(file)
        self.page.wait_for_selector("#picture img", state="attached")

    def settled(self, view="zero_shot"):
        """Wait until a view's answer is not out of date."""
        self.page.wait_for_function("name => { const v = document.getElementById('view-' + name); return v && "
                                    "v.querySelector('.cm-who, .cm-problem') && !v.classList.contains('cm-stale') }", arg=view)
        return self.page.locator(f"#view-{view}")

    def open_tab(self, name):
        self.page.get_by_role("tab", name=name).click()

    def bars(self) -> dict:
        self.settled() if self.views else self.page.wait_for_selector(".cm-bars")
        return {bar.get_attribute("aria-label"): float(bar.get_attribute("aria-valuenow"))
                for bar in self.page.query_selector_all("#answer [role=meter]")}

    def strangers(self) -> list:
        """Requests that left the machine."""
        return [url for url in self.requests if urlsplit(url).scheme not in ("data", "blob", "about")
                and urlsplit(url).hostname not in HERE]

    def overflow(self) -> int:
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture
def visit(browser, site):
    visits = []

    def go(**options):
        visits.append(Visit(browser, site[0], **options))
        return visits[-1]

    yield go
    for v in visits:
        strangers = v.strangers()
        v.context.close()
        assert v.requests and not strangers, f"requests left the machine: {strangers}"
        assert not v.errors


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "two colours.png"
    path.write_bytes(encoded(two_colours().resize((400, 300))))
    return path


def test_picture_labels_bars(visit, site, picture, record_property):
    v = visit()
    v.ask(picture, "red circle, cat, Cat, dog")
    bars = v.bars()
    seconds = time.monotonic() - site[1]
    assert set(bars) == {"red circle", "cat", "dog"} and sum(bars.values()) == pytest.approx(100, abs=0.05)
    record_property("seconds from the start of the app to the first answer", round(seconds, 1))
    assert seconds < 30  # 10 on a quiet machine; other tests may run beside this one
    text = v.page.inner_text("#answer")
    assert "merged 1 repeated" in text and "Cosine" in text and re.search(r"total \d+ ms", text)
    shown = [float(x) for x in re.findall(r"(\d+\.\d) %\s+[+-]", text)]
    assert len(shown) == 3 and sum(shown) == pytest.approx(100, abs=0.2) and shown == sorted(shown, reverse=True)
    assert "random weights" in v.page.inner_text("#model")
    widths = v.page.evaluate("[...document.querySelectorAll('.cm-fill')].map(e => e.getBoundingClientRect().width /"
                             " e.parentElement.getBoundingClientRect().width * 100)")
    for drawn, said in zip(widths, bars.values(), strict=True):
        assert drawn == pytest.approx(said, abs=3)  # two pixels show even a bar of nothing
    for name in ("The prompts that were sent", "What the model saw"):
        v.page.get_by_role("button", name=name).click()
    v.page.wait_for_selector("#saw img")
    assert "a drawing of a dog" in v.page.inner_text("#prompts")
    assert v.overflow() <= 0


def test_no_font_comes_from_elsewhere(visit):
    v = visit()
    v.page.wait_for_timeout(500)
    assert "fonts.g" not in v.page.content()
    assert v.page.evaluate(
        "performance.getEntriesByType('resource').every(r => new URL(r.name).hostname == '127.0.0.1')")


def test_bad_picture_gets_a_message_and_a_good_one_works_afterwards(visit, picture, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("I am no picture <img src=x onerror=document.title='hacked'>")
    v = visit()
    v.ask(bad, "cat, dog")
    v.page.wait_for_selector("#zero_shot-head [role=alert]")
    assert "'bad.png' is not a picture that can be read here" in v.settled().inner_text()
    assert not v.page.locator("#answer [role=meter]").count()  # an error stands in place of the answer
    v.ask(picture, "cat, <img src=x onerror=document.title='hacked'>")
    assert sum(v.bars().values()) == pytest.approx(100, abs=0.05)
    assert "<img src=x" in v.page.inner_text("#answer") and v.page.title() == "clipmini"


@pytest.mark.parametrize("dark", [False, True])
def test_phone(visit, picture, dark):
    v = visit(width=390, dark=dark)
    assert v.overflow() <= 0
    v.page.locator("#settings > button").click()
    v.page.get_by_label("none of these").check(force=True)
    v.ask(picture, "red circle, cat, something with a name so long that it needs several lines, " + "x" * 12)
    bars = v.bars()
    assert "None of these" in bars and len(bars) == 5 and sum(bars.values()) == pytest.approx(100, abs=0.05)
    for button in v.page.query_selector_all("button.label-wrap"):
        button.click()
    v.page.wait_for_timeout(500)
    assert v.overflow() <= 0
    box = v.page.locator("#answer").bounding_box()
    assert box["width"] > 300  # under each other, not squeezed side by side


def test_chinese_browser_reads_chinese(visit, picture):
    v = visit(locale="zh-CN")
    v.page.wait_for_function("document.querySelector('#copy-link').innerText.includes('链接')")
    v.page.wait_for_function("document.querySelector('#model').innerText.includes('随机权重')")
    v.ask(picture, " , ")
    v.page.locator(".cm-problem", has_text="还没有标签").wait_for()
    v.page.fill("#labels textarea", "cat, dog")
    v.page.wait_for_selector("#answer [role=meter]")
    assert "概率" in v.page.inner_text("#answer") and "__i18n__" not in v.page.inner_text("body")


def test_the_prompts_view(visit, picture):
    v = visit(width=390)
    v.ask(picture, "red circle, blue square")
    v.open_tab("Prompts")
    v.page.fill("#workbench-templates textarea", "{}\na photo of a {}")
    v.page.wait_for_function("document.querySelectorAll('#workbench-table tbody tr').length == 4")  # of 6
    text = v.settled("prompts").inner_text()
    assert "mean of probabilities" in text and "blue square" in text and text.count(" %") == 8, text
    assert v.page.locator(".cm-shades").bounding_box()["width"] > 250  # it was 0 on a phone
    assert v.overflow() <= 0


def test_a_phone_gets_its_maps_two_in_a_row_and_no_empty_table(visit, picture):
    shapes = {}
    for width in (1280, 390):
        v = visit(width=width)
        v.ask(picture, "red, blue, green")
        v.page.locator("[role=tab][data-tab-id=inside]").click()
        v.settled("inside")
        box = v.page.locator("#inside-maps img").bounding_box()
        shapes[width] = box["height"] / box["width"]
        assert not v.page.locator("#inside-words").is_visible()  # none of the phrases has two words
    assert shapes[390] > 1.5 * shapes[1280], shapes


def test_what_is_missing_yet_is_no_failure(visit):
    v = visit()
    v.page.click("#picture button[title='Remove Image']")
    v.page.locator("#zero_shot-head .cm-hint").wait_for()
    assert "There is no picture yet" in v.page.locator("#zero_shot-head").inner_text()
    assert not v.page.locator("#zero_shot-head [role=alert]").count()


def test_what_makes_an_answer_doubtful_stands_beside_it(visit, picture):
    """Below the headline and above the first strip: on a phone the foot of the view is two screens away."""
    v = visit(width=390)
    v.ask(picture, "a cat, a cat, dog")  # one label twice: a note
    assert v.bars() and v.settled()
    v.page.wait_for_selector("#answer .cm-notes")
    first, notes, strip = (v.page.locator(f"#answer {where}").first.bounding_box()["y"]
                           for where in (".cm-first", ".cm-notes", ".cm-ar-strip"))
    assert first < notes < strip


def test_names_of_rows_stay_while_a_wide_table_is_moved(visit, picture):
    v = visit(width=390)
    v.ask(picture, "a rather long label, another long label, a third one, dog")
    v.page.locator("[role=tab][data-tab-id=prompts]").click()
    v.settled("prompts")
    name, cell = (v.page.locator(f"#workbench-table tbody tr {where}").first for where in ("th", "td"))
    before = name.bounding_box()["x"], cell.bounding_box()["x"]
    v.page.evaluate("document.querySelector('#view-prompts .cm-wide').scrollLeft = 80")
    after = name.bounding_box()["x"], cell.bounding_box()["x"]
    assert after[0] == pytest.approx(before[0], abs=1) and after[1] == pytest.approx(before[1] - 80, abs=1)


def test_all_views_answer_with_one_picture_and_one_list_of_words(visit, picture):
    """And only the open one is asked: nobody waits for figures that nobody sees."""
    v = visit()
    v.ask(picture, "red circle, blue")
    v.open_tab("Look inside")
    v.page.wait_for_selector("#inside-maps img")
    v.settled("inside")
    before = v.page.get_attribute("#inside-maps img", "src")
    assert "circle" in v.page.inner_text("#inside-words")
    v.open_tab("Matrix")
    v.page.wait_for_selector("#matrix-figure img")
    v.settled("matrix")
    v.page.fill("#labels textarea", "green")  # typed while another view is open
    v.page.wait_for_timeout(600)
    asked = v.page.input_value("#stamp-inside input")
    v.open_tab("Look inside")
    v.page.wait_for_function("old => document.querySelector('#inside-maps img').src !== old", arg=before)
    v.settled("inside")
    assert v.page.input_value("#stamp-inside input") != asked
    shown = v.page.get_attribute("#inside-maps img", "src")
    v.open_tab("Zero-shot")
    v.settled()
    assert set(v.bars()) == {"green"}
    v.open_tab("Look inside")  # nothing has changed: it is not asked again
    v.page.wait_for_timeout(300)
    assert v.page.get_attribute("#inside-maps img", "src") == shown


def test_what_is_out_of_date_is_grey_at_once_and_the_last_key_counts(visit, picture):
    v = visit()
    v.ask(picture, "red, blue")
    v.bars()
    v.page.locator("#labels textarea").press_sequentially(", green", delay=30)
    assert v.page.locator("#view-zero_shot.cm-stale").count()  # before anything was sent
    v.page.wait_for_function("document.querySelector('#answer').innerText.includes('green')")
    assert set(v.bars()) == {"red", "blue", "green"}
    v.page.keyboard.press("Control+a")
    v.page.keyboard.press("Backspace")
    v.page.locator(".cm-problem", has_text="there are no labels").wait_for()
    assert not v.page.locator("#answer [role=meter]").count()


def test_the_address_holds_what_others_need_to_see_the_same(browser, site):
    v = Visit(browser, site[0] + "/?example=guitar&words=guitar, <b>spoon</b>&view=saw&none=1&model=nobody&view2=x", view="saw")
    said = v.settled("saw").inner_text()
    assert "What is cut away" in said and v.page.locator("#saw-tokens meter").count() == 2
    v.open_tab("Zero-shot")
    assert set(v.bars()) == {"guitar", "<b>spoon</b>", "None of these"}
    v.page.fill("#labels textarea", "guitar, drum")
    v.page.wait_for_function("location.search.includes('drum')")
    v.page.reload()
    v.settled()
    assert v.page.input_value("#labels textarea") == "guitar, drum" and set(v.bars()) >= {"guitar", "drum"}
    v.context.grant_permissions(["clipboard-read", "clipboard-write"])
    v.page.click("#copy-link")
    v.page.get_by_text("The link is copied.").first.wait_for()
    assert v.page.evaluate("navigator.clipboard.readText()") == v.page.url
    v.page.locator("#examples button").nth(1).click()
    v.page.wait_for_function("location.search.includes('example=pizza')")
    assert v.page.input_value("#labels textarea").startswith("pizza")
    assert not v.strangers() and not v.errors
    v.context.close()


def test_matrix_downloads_and_limits(visit, picture):
    v = visit()
    v.ask(picture, "red circle\nblue square")
    v.open_tab("Matrix")
    v.page.wait_for_selector("#matrix-figure img")
    v.settled("matrix")
    with v.page.expect_download() as download:
        v.page.click("#matrix-csv a")
    rows = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert rows[0].startswith("picture,text,cosine") and rows[1].startswith("two colours") and "red circle" in rows[1]
    v.page.fill("#labels textarea", ", ".join(f"text {i}" for i in range(201)))
    v.page.locator(".cm-problem", has_text="201 labels; the limit is 200").wait_for()
    assert not v.page.locator("#matrix-figure img").count()


def test_what_it_saw(visit, picture):
    v = visit(width=390)
    v.ask(picture, "a red <script>circle</script>")
    v.open_tab("What it saw")
    v.page.wait_for_selector("#saw-pixels img")
    v.page.wait_for_selector("#saw-kept img")
    assert "tokens, start and end included" in v.settled("saw").inner_text()
    assert v.page.locator("#saw-tokens meter").count() == 1 and v.overflow() <= 0
