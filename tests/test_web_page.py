"""The page that needs no server: JavaScript reads and answers as Python does, and the site is small, whole and alone."""

import json
import re
import shutil
import time
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch

pytest.importorskip("onnxscript", reason="the page needs an export: pip install 'clipmini[onnx]'")
if shutil.which("npm") is None:
    pytest.skip("the page's runtime comes from npm: install Node.js", allow_module_level=True)

from clipmini.commands import main  # noqa: E402
from clipmini.embedder import load  # noqa: E402
from clipmini.files import CheckpointError  # noqa: E402
from clipmini.tasks.classes import read_classes  # noqa: E402
from demo_app import space, web_page  # noqa: E402
from helpers_app import tiny_embedder  # noqa: E402
from web import peer  # noqa: E402

WEB = web_page.WEB
CORE = ("bpe", "tokenizer", "image", "embedder", "prompts", "classify", "problem")
LONGEST = 600  # lines of them together
RAW, PACKED = 22e6, 11e6  # bytes


@pytest.fixture(scope="module")
def embedder():
    return load("emoji", device="cpu")


@pytest.fixture(scope="module", autouse=True)
def runtime():
    try:
        return web_page.fetched_runtime()
    except CheckpointError as error:  # a registry that lacks the package, or no network
        pytest.skip(f"without the page's runtime nothing of it can be tested: {error}")


@pytest.fixture(scope="module")
def built(embedder, tmp_path_factory, runtime):
    return web_page.build(embedder, tmp_path_factory.mktemp("page") / "site", runtime)


@pytest.fixture(scope="module")
def chromium():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("the browser tests need Chromium on the PATH: apt-get install chromium")
    return found


# ---- the site ----------------------------------------------------------------------------------------------
def test_it_is_no_larger_than_it_says(built):
    sizes = [path.stat().st_size for path in built.folder.rglob("*") if path.is_file()]
    assert sum(sizes) == built.raw <= RAW and built.packed <= PACKED
    told = (built.folder / "README.md").read_text(encoding="utf-8")
    assert f"{built.raw / 1e6:.1f} MB" in told and f"{built.packed / 1e6:.1f} MB" in told and "sdk: static" in told
    loaded = sum(path.stat().st_size for path in built.folder.rglob("*") if path.suffix in (".wasm", ".onnx"))
    assert json.loads((built.folder / "sizes.json").read_text(encoding="utf-8")) == {"model": loaded}


def test_the_service_worker_knows_every_file(built):
    import hashlib

    listed = json.loads(re.search(r"FILES = (\{.*?\});", (built.folder / "sw.js").read_text(encoding="utf-8"))[1])
    here = {path.relative_to(built.folder).as_posix() for path in built.folder.rglob("*") if path.is_file()}
    assert listed.keys() == here - {"sw.js", "README.md"}
    for name, digest in listed.items():
        assert hashlib.sha256((built.folder / name).read_bytes()).hexdigest().startswith(digest)


def test_nothing_in_it_names_another_host(built):
    for path in built.folder.rglob("*"):
        if path.suffix in (".js", ".css", ".html", ".json") and path.parent.name != "ort":
            found = re.findall(r"https?://[^\s\"'`)]+", path.read_text(encoding="utf-8"))
            assert all(one.startswith("http://www.w3.org/") for one in found), (path.name, found)


def test_the_runtime_comes_with_its_licence(built):
    assert "Copyright (c) Microsoft" in (built.folder / "ort" / "LICENSE").read_text(encoding="utf-8")
    assert built.runtime.startswith("1.") and any(web_page.RUNTIME in one for one in built.warnings) != \
        built.runtime.startswith(web_page.VERSION + ".")


def test_the_core_stays_short():
    assert sum(len((WEB / "core" / f"{name}.js").read_text(encoding="utf-8").splitlines()) for name in CORE) <= LONGEST
    for path in WEB.rglob("*"):
        if path.suffix in (".js", ".css", ".html"):
            wide = [n for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if len(line) > 120]
            assert not wide, (path.name, wide)


def test_both_languages_say_all_that_is_asked_for():
    en, zh = (json.loads((WEB / "texts" / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "zh"))
    assert en.keys() == zh.keys() and all(map(str.strip, [*en.values(), *zh.values()]))
    places = {key: sorted(re.findall(r"\{(\w+)\}", text)) for key, text in en.items()}
    assert places == {key: sorted(re.findall(r"\{(\w+)\}", text)) for key, text in zh.items()}
    code = "\n".join(path.read_text(encoding="utf-8") for path in WEB.rglob("*") if path.suffix in (".js", ".html"))
    said = set(re.findall(r"\b(?:say|button|field)\(\s*\"(\w+)\"", code))
    said |= {one for pair in re.findall(r"\b[tlp]: \"(\w+)\"|data-t=\"(\w+)\"", code) for one in pair if one}
    said |= {f"problem_{kind}" for kind in re.findall(r"(?:new Problem\(|throw \{ kind: )\"(\w+)\"", code)}
    said |= {f"note_{kind}" for kind in re.findall(r"(?:named\(|kind: |\[\[?)\"(\w+)\"", code)
             if kind in ("merged", "invisible", "empty", "unseen", "new_words", "fewer_templates", "one_article",
                         "no_words_left", "one_label", "blank")}
    assert said <= en.keys(), said - en.keys()


# ---- what cannot be built is told ----------------------------------------------------------------------------
def test_a_model_that_cannot_go_there_is_told(tmp_path):
    photos = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install 'clipmini[photos]'")
    assert photos
    with pytest.raises(CheckpointError, match="cannot go to a page"):
        web_page.build(load("devise"), tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_folder_with_something_in_it_is_left_alone(embedder, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="not an empty folder"):
        web_page.build(embedder, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_npm_the_remedy_is_told(embedder, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPMINI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(web_page.shutil, "which", lambda name: None)
    with pytest.raises(CheckpointError, match="--runtime"):
        web_page.build(embedder, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_an_npm_that_fails_leaves_nothing_in_the_cache(embedder, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPMINI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(web_page, "VERSION", "0.0.0-none")
    monkeypatch.setattr(web_page, "ALIKE", "0.0.1-none")
    with pytest.raises(CheckpointError, match="npm could not fetch"):
        web_page.build(embedder, tmp_path / "site")
    assert not list((tmp_path / "cache").rglob("package.json"))


def test_a_registry_without_the_version_gives_one_alike(embedder, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPMINI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(web_page, "VERSION", "0.0.0-none")
    built = web_page.build(tiny_embedder(), tmp_path / "site")
    assert built.runtime.startswith("1.") and any("is not 0.0.0-none" in warning for warning in built.warnings)


def test_a_runtime_without_its_files_is_told(embedder, tmp_path):
    (tmp_path / "runtime").mkdir()
    with pytest.raises(CheckpointError, match="has no package.json"):
        web_page.build(embedder, tmp_path / "site", runtime=tmp_path / "runtime")


@pytest.mark.parametrize("said, error", [
    ("{}", "names no package"), ("[]", "names no package"), ("{", "names no package"),
    ('{"name": "other", "version": "1.30.0"}', "has other 1.30.0"),
    (f'{{"name": "{web_page.RUNTIME}", "version": "1.2.3"}}', "has onnxruntime-web 1.2.3")])
def test_a_runtime_of_another_kind_is_told(embedder, tmp_path, said, error):
    for name in web_page.RUNTIME_FILES:
        (tmp_path / "runtime" / "dist" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "runtime" / "dist" / name).write_bytes(b"")
    (tmp_path / "runtime" / "package.json").write_text(said, encoding="utf-8")
    with pytest.raises(CheckpointError, match=error):
        web_page.build(embedder, tmp_path / "site", runtime=tmp_path / "runtime")


def test_the_command_says_how_large_and_how_exact(tmp_path, tiny_checkpoints, capsys):
    assert main(["page", str(tmp_path / "site"), "--model", str(tiny_checkpoints["vit-transformer"]), "--float16"]) == 0
    said = capsys.readouterr().out
    cosines = [float(found) for found in re.findall(r"(\d\.\d+) \(", said)]
    assert "MB" in said and len(cosines) == 2 and min(cosines) > 0.999
    described = json.loads((tmp_path / "site" / "model" / "model.json").read_text(encoding="utf-8"))
    assert described["map"] is False and not (tmp_path / "site" / "map").exists()


def test_halves_are_half_the_bytes(embedder, built, tmp_path):
    half = web_page.build(embedder, tmp_path / "site", half=True)
    assert min(half.cosines.values()) > 0.999
    saved = built.raw - half.raw
    assert saved > 0.49 * sum(p.stat().st_size for p in (built.folder / "model").glob("*.onnx"))


def test_the_map_of_another_model_is_told(tmp_path):
    from demo_app.map.stored import shipped

    with pytest.raises(CheckpointError, match="was made by the model"):
        web_page.build(tiny_embedder(), tmp_path / "site", own_map=shipped("emoji"))


def test_a_static_space(tmp_path, capsys):
    assert space.main(["--static", str(tmp_path / "space")]) == 0
    assert "sdk: static" in (tmp_path / "space" / "README.md").read_text(encoding="utf-8")
    assert "http.server" in capsys.readouterr().out


# ---- JavaScript against Python -------------------------------------------------------------------------------
def alike(embedder, site, browser, n_pictures, n_strings, seed, odd=False, large=False):
    """What differs between a browser and Python."""
    cases, names, contents, texts = peer.asked(seed, n_pictures, n_strings, large, odd)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of texts that spell a special token
        python = peer.in_python(embedder, texts, contents)
    js = peer.in_browser(browser, site, cases, contents)
    assert "failed" not in js, js
    return js, python, peer.compared(js, python, names), contents


def agree(differ, unread=()):
    """Nothing differs but what the browser refuses."""
    for what in ("ids", "visible", "labels", "filled", "terms", "size", "pixels", "cosines"):
        assert differ[what] == [], (what, differ[what][:5])
    assert not [one for one in differ["unread"] if not one[0].startswith(unread)] if unread else not differ["unread"]
    assert differ["largest gap of a cosine, pixels equal"] < 1e-5 and differ["largest gap of a text's number"] < 1e-5


def test_two_hundred_pictures_and_two_thousand_texts(embedder, built, chromium):
    js, _, differ, contents = alike(embedder, built.folder, chromium, 200, 2000, seed=1, large=True)
    agree(differ)
    for (made, told), theirs in zip(peer.answers(embedder, contents), js["answers"], strict=True):
        shares = np.array([row["probabilities"] for row in theirs["rows"]])
        assert np.abs(shares - told.probabilities.numpy()).max() < 1e-4
        if told.none is not None:
            assert np.abs([row["none"] for row in theirs["rows"]] - told.none.numpy()).max() < 1e-4
        assert [list(prompts) for prompts in made.prompts] == theirs["prompts"]
        assert [note.kind for note in made.notes] == [note["kind"] for note in theirs["notes"]]


def test_odd_files(embedder, built, chromium):
    _, _, differ, _ = alike(embedder, built.folder, chromium, 0, 5, seed=1, odd=True)
    agree(differ, unread=("damaged/",))  # Pillow and browsers each mend damage of their own kinds


def test_another_model_with_another_geometry(chromium, tmp_path, make_clip, tokenizer):
    from clipmini.embedder import Embedder

    model = make_clip("vit-transformer", vision={"interpolation": "bilinear", "resize_mode": "squash",
                                                 "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.5)})
    embedder = Embedder(model.eval().requires_grad_(False), tokenizer, name="squash")
    site = web_page.build(embedder, tmp_path / "site").folder
    _, _, differ, _ = alike(embedder, site, chromium, 30, 200, seed=2)
    agree(differ)


def test_firefox_on_a_sample(embedder, built):
    firefox = shutil.which("firefox-esr") or shutil.which("firefox")
    if firefox is None:
        pytest.skip("this test needs Firefox: apt-get install firefox-esr")
    _, _, differ, _ = alike(embedder, built.folder, firefox, 60, 300, seed=3)
    # Without WebGL, which a machine without a display lacks, Firefox multiplies a WebP's alpha into its colours; and it
    # rounds levels of 16 bits, where Chromium and Python take the upper byte.
    apart = [name for name, _ in differ["pixels"] if not re.search(r"lossless\.webp|lossy-alpha\.webp", name)]
    assert apart == [] and all(levels <= 4 for _, levels in differ["pixels"])
    assert differ["ids"] == differ["visible"] == differ["labels"] == differ["unread"] == differ["size"] == []
    assert differ["largest gap of a cosine, pixels equal"] < 1e-5


def test_a_visitor_with_firefox(built):
    firefox = shutil.which("firefox-esr") or shutil.which("firefox")
    if firefox is None:
        pytest.skip("this test needs Firefox: apt-get install firefox-esr")
    found = peer.in_browser(firefox, built.folder, {}, [], "visit.html")
    assert found["best"].startswith("octopus") and found["near"].startswith("octopus"), found
    assert found["where"] == ["octopus", "dog: probably not there"] and found["errors"] == []


# ---- a visitor -----------------------------------------------------------------------------------------------
playwright = pytest.importorskip("playwright.sync_api",
                                 reason="the browser tests need playwright: pip install playwright")


@pytest.fixture(scope="module")
def browser(chromium):
    with playwright.sync_playwright() as p:
        flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        browser = p.chromium.launch(executable_path=chromium, args=[*peer.CHROMIUM, *flags])
        yield browser
        browser.close()


class Visit:
    """A visitor of the built page, and all that goes wrong."""

    def __init__(self, browser, url, width=1100, locale="en-US", dark=False, **options):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, locale=locale,
                                           color_scheme="dark" if dark else "light", accept_downloads=True, **options)
        self.page, self.errors, self.asked = self.context.new_page(), [], []
        self.page.on("dialog", lambda dialog: dialog.accept())
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.url = f"{url}/site/"
        self.page.goto(self.url)
        self.page.wait_for_selector("body[data-ready]")

    def load(self):
        self.page.click("#load")
        self.page.wait_for_selector("#loading.ready", timeout=60_000)

    def until(self, script, *given, seconds=20, every=50):
        """Ask the page again and again; its policy lets nothing be evaluated inside it, as wait_for_function does."""
        end = time.monotonic() + seconds
        while True:
            try:
                if self.page.evaluate(script, *given):
                    return
            except playwright.Error as error:  # the page is opening anew
                if "context was destroyed" not in str(error):
                    raise
            assert time.monotonic() < end, script
            self.page.wait_for_timeout(every)

    def choose(self, name, data):
        self.page.set_input_files("#source input[type=file]", {"name": name, "mimeType": "image/png", "buffer": data})

    def answer(self):
        self.page.wait_for_selector(".best", timeout=20_000)
        rows = self.page.locator("#panel-classify .bars tbody tr")
        return {row.locator("th").inner_text(): row.locator("td").nth(1).inner_text() for row in rows.all()}

    def strangers(self):
        return [url for url in self.asked if urlsplit(url).scheme not in ("blob", "data")
                and urlsplit(url).netloc != urlsplit(self.url).netloc]

    def close(self):
        self.context.close()
        assert not self.errors and not self.strangers()


@pytest.fixture(scope="module")
def host(built):
    with peer.hosted(built.folder) as (url, kind):
        yield url, kind


@pytest.fixture
def visit(browser, host):
    visit = Visit(browser, host[0])
    yield visit
    visit.close()


def sample(name):
    return (web_page.assets_folder() / "samples" / f"{name}.png").read_bytes()


def test_a_picture_chosen_before_the_model_is_loaded_is_answered_then(visit):
    visit.choose("rocket.png", sample("rocket"))
    assert not visit.page.locator(".best").count()
    visit.load()
    answer = visit.answer()
    assert next(iter(answer)) == "rocket" and list(answer.values())[0].endswith("%")


def test_the_answers_are_those_of_python(visit, embedder):
    from clipmini.tasks.classify import classify

    visit.load()
    visit.choose("dog.png", sample("dog_face"))
    visit.answer()
    visit.page.fill("#panel-classify textarea", "cat, dog, 章鱼")
    visit.until("document.querySelectorAll('#panel-classify .bars tbody tr').length === 3")
    visit.page.locator("#panel-classify summary").first.click()
    visit.page.select_option("#panel-classify select", "emoji")
    visit.page.check("#none-of-these")
    visit.page.locator("#panel-classify .other").wait_for()
    told = classify(embedder, [sample("dog_face")], "cat, dog, 章鱼", "emoji", none_of_these=True)
    shown = visit.answer()
    assert float(shown.pop("none of these").rstrip(" %")) == pytest.approx(100 * told.none[0].item(), abs=0.51)
    for label, share in zip(told.labels, told.probabilities[0].tolist(), strict=True):
        assert float(shown[label].rstrip(" %")) == pytest.approx(100 * share, abs=0.51)


def test_the_arithmetic_is_that_of_any_scale(visit, embedder):
    from clipmini.tasks.classify import classify

    visit.load()
    visit.choose("dog.png", sample("dog_face"))
    visit.answer()
    visit.page.locator("#panel-classify summary", has_text="The arithmetic").click()
    visit.page.locator("#panel-classify input[type=range]").press("Home")
    told = classify(embedder, [sample("dog_face")], "cat, dog, octopus, pizza, rocket, guitar, snowman", logit_scale=1.0)
    shares = {row.locator("th").inner_text(): row.locator("td").last.inner_text()
              for row in visit.page.locator("#panel-classify .sums tbody tr").all()}
    for label, share in zip(told.labels, told.probabilities[0].tolist(), strict=True):
        assert float(shares[label].rstrip(" %")) == pytest.approx(100 * share, abs=0.51)
    visit.page.get_by_role("button", name="The model's own").click()
    assert f"× {embedder.logit_scale:.1f}" in visit.page.locator("#panel-classify output").inner_text()


def test_the_map_of_windows_is_brightest_where_pythons_is(browser, host, embedder):
    from PIL import Image

    from clipmini.tasks.heatmap.methods import heatmap

    scene = Image.new("RGB", (300, 200), "white")
    for name, at in (("octopus", (10, 20)), ("pizza", (200, 100))):
        scene.paste(Image.open(web_page.assets_folder() / "samples" / f"{name}.png").convert("RGB").resize((90, 90)), at)
    from helpers_app import encoded
    theirs = heatmap(embedder, scene, "octopus, pizza, rocket", "windows")
    visit = Visit(browser, host[0])
    visit.load()
    visit.choose("scene.png", encoded(scene))
    visit.page.wait_for_selector("#seen-figure:not([hidden])")
    found = visit.page.evaluate("""async () => {
        const { ask } = await import(new URL('ui/model.js', document.baseURI).href);
        const file = document.querySelector('#preview').src;
        const { maps, present, box, labels } = await ask('where', [await (await fetch(file)).blob(), 'octopus, pizza, rocket']);
        return { maps: maps.map((map) => [...map]), present, box, labels }; }""")
    for number in range(2):
        cells = np.array(found["maps"][number]).reshape(56, 56)
        y, x = np.unravel_index(cells.argmax(), cells.shape)
        v, u = divmod(int(theirs.cells[number].argmax()), theirs.cells.shape[-1])
        assert abs(x - u) <= 2 and abs(y - v) <= 2
        assert np.corrcoef(cells.ravel(), theirs.cells[number].numpy().ravel())[0, 1] > 0.99
    assert found["present"] == [one is True for one in theirs.present]
    visit.close()


def test_search_adds_and_subtracts_as_python_does(visit, embedder):
    from clipmini.tasks.index import in_memory, query, search

    names = ["dog_face", "guitar", "octopus", "pizza", "rocket", "snowman"]
    vectors = embedder.embed_images([sample(name) for name in names])
    asked = [(2.0, "an animal"), (-1.0, "dog"), (1.0, vectors[names.index("rocket")])]
    expected = [hit.path for hit in search(in_memory(names, vectors), query(embedder, asked)[None])[0]]
    visit.load()
    visit.page.click("#tab-search")
    visit.page.set_input_files("#panel-search input[type=file]", [
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": sample(name)} for name in names])
    visit.until("document.querySelectorAll('#panel-search .gallery figure').length === 6")
    visit.page.fill("#panel-search input[type=text]", "2:an animal - dog + [rocket.png]")
    visit.page.wait_for_selector("#panel-search .gallery b")
    shown = [one.removesuffix(".png") for one in visit.page.locator("#panel-search .gallery .name").all_inner_texts()]
    assert shown == expected
    visit.page.locator("#panel-search figure", has_text="pizza").get_by_label("Less like pizza.png").click()
    assert visit.page.input_value("#panel-search input[type=text]").endswith("- [pizza.png]")


def test_classes_taught_in_the_browser_are_read_by_python(visit, embedder, tmp_path):
    visit.load()
    visit.page.click("#tab-teach")
    boxes = visit.page.locator("#panel-teach fieldset")
    for number, (name, shots) in enumerate({"sky": ["rocket", "snowman"], "sea": ["octopus"]}.items()):
        boxes.nth(number).locator("input[type=text]").fill(name)
        boxes.nth(number).locator("input[type=file]").set_input_files([
            {"name": f"{shot}.png", "mimeType": "image/png", "buffer": sample(shot)} for shot in shots])
        pictures = f"document.querySelectorAll('#panel-teach fieldset')[{number}].querySelectorAll('img')"
        visit.until(f"{pictures}.length === {len(shots)}")
    visit.choose("octopus.png", sample("octopus"))
    visit.until("document.querySelectorAll('#panel-teach .bars').length === 2")
    with visit.page.expect_download() as kept:
        visit.page.get_by_role("button", name="Save as a file").click()
    kept.value.save_as(tmp_path / "classes.json")
    read = read_classes(tmp_path / "classes.json", embedder)
    vectors = embedder.embed_images([sample("rocket"), sample("snowman"), sample("octopus")])
    assert read.labels == ("sky", "sea")
    expected = torch.nn.functional.normalize(torch.stack([vectors[:2].mean(0), vectors[2]]), dim=1)
    torch.testing.assert_close(read.texts, expected, atol=1e-5, rtol=0)
    visit.page.locator("#panel-teach input[type=file][accept*=json]").set_input_files(tmp_path / "classes.json")
    visit.page.get_by_text("2 classes opened.").wait_for()
    assert visit.page.locator("#panel-teach fieldset input[type=text]").first.input_value() == "sky"
    (tmp_path / "classes.json").write_text("{}", encoding="utf-8")
    visit.page.locator("#panel-teach input[type=file][accept*=json]").set_input_files(tmp_path / "classes.json")
    visit.page.get_by_text("no file of classes").wait_for()


def test_a_drawing_and_the_camera_give_pictures(visit):
    visit.load()
    visit.page.locator("#source").get_by_role("button", name="Draw").click()
    box = visit.page.locator("dialog canvas").bounding_box()
    visit.page.mouse.move(box["x"] + 60, box["y"] + 60)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + 200, box["y"] + 120, steps=6)
    visit.page.mouse.up()
    visit.page.get_by_role("button", name="Use the drawing").click()
    visit.page.get_by_text("480 × 480 pixels").wait_for()
    dark = visit.page.evaluate("""() => { const c = document.querySelector('#seen');
        return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].some((v, i) => i % 4 < 3 && v < 90); }""")
    assert dark
    visit.page.locator("#source").get_by_role("button", name="Camera").click()
    visit.page.wait_for_selector("dialog button.first:not([disabled])")
    visit.page.get_by_role("button", name="Take the picture").click()
    visit.page.get_by_text("640 × 480 pixels").wait_for()


def test_of_two_fingers_one_draws(visit):
    visit.page.locator("#source").get_by_role("button", name="Draw").click()
    ink = visit.page.evaluate("""() => {
        const canvas = document.querySelector('dialog canvas'), box = canvas.getBoundingClientRect();
        const event = (kind, id, x, y) => canvas.dispatchEvent(new PointerEvent(kind, { pointerId: id, clientX: box.left + x,
            clientY: box.top + y, isPrimary: id === 1, pointerType: 'touch', bubbles: true }));
        canvas.setPointerCapture = () => {};
        event('pointerdown', 1, 30, 30); event('pointerdown', 2, 150, 30);
        for (let y = 30; y < 120; y += 10) { event('pointermove', 1, 30, y); event('pointermove', 2, 150, y); }
        const scale = canvas.width / box.width, pen = canvas.getContext('2d');
        const at = (x) => pen.getImageData(x * scale, 80 * scale, 1, 1).data[0];
        return [at(30), at(90), at(150)]; }""")
    assert ink[0] < 100 and ink[1] == ink[2] == 255


def test_what_is_given_before_the_model_is_there_is_kept(visit):
    visit.page.click("#tab-teach")
    visit.page.locator("#panel-teach input[type=file][accept^=image]").first.set_input_files(
        [{"name": f"{shot}.png", "mimeType": "image/png", "buffer": sample(shot)} for shot in ("pizza", "rocket")])
    visit.page.locator("#panel-teach [role=status]", has_text="Load the model first.").first.wait_for()
    visit.load()
    visit.until("document.querySelectorAll('#panel-teach img').length === 2")
    assert "Load the model first." not in visit.page.locator("#panel-teach").inner_text()


def test_a_file_of_classes_with_a_huge_count_and_two_names_that_are_one(visit, embedder, tmp_path):
    from clipmini.tasks.classes import save_classes

    vectors = embedder.embed_images([sample("pizza"), sample("rocket")])
    path = save_classes(tmp_path / "classes.json", embedder, {"food": vectors[:1], "Food ": vectors[1:]})
    content = json.loads(path.read_text(encoding="utf-8"))
    visit.load()
    visit.page.click("#tab-teach")
    chosen = visit.page.locator("#panel-teach input[type=file][accept*=json]")
    chosen.set_input_files(path)
    visit.page.get_by_text("2 classes have 1 different names").wait_for()
    for odd in (None, 3, {"name": "x"}, {"name": "x", "count": 1, "vector": [0] * 128}):
        path.write_text(json.dumps(content | {"classes": [odd]}), encoding="utf-8")
        chosen.set_input_files(path)
        visit.page.get_by_text("is no file of classes").wait_for()
    content["classes"][0]["name"], content["classes"][0]["count"] = "meal", 5_000_000_000
    path.write_text(json.dumps(content), encoding="utf-8")
    chosen.set_input_files(path)
    visit.page.get_by_text("5,000,000,000 pictures, of a file").wait_for()


def test_a_search_error_goes_away_and_pictures_that_are_removed_stay_away(visit):
    visit.load()
    visit.page.click("#tab-search")
    visit.page.set_input_files("#panel-search input[type=file]", [
        {"name": f"{n}.png", "mimeType": "image/png", "buffer": sample("pizza")} for n in range(30)])
    visit.until("document.querySelectorAll('#panel-search .gallery figure').length >= 8")
    line = visit.page.locator("#panel-search input[type=text]")
    for text, said in (("dog +", "ends with a sign"), ("[none.png]", "no picture called"),
                       ("9" * 400 + ":dog", "too large a number")):
        line.fill(text)
        visit.page.locator("#panel-search .bad", has_text=said).wait_for()
    line.fill("")
    visit.until("!document.querySelector('#panel-search .bad')")
    visit.page.get_by_role("button", name="Remove all pictures").click()
    visit.page.wait_for_timeout(1500)
    assert visit.page.locator("#panel-search figure").count() == 0


def test_names_are_found_in_chinese_too(browser, host):
    visit = Visit(browser, host[0], locale="zh-CN")
    visit.load()
    visit.page.click("#tab-map")
    visit.page.wait_for_selector("#panel-map option[value=film]", state="attached")
    visit.page.fill("#panel-map input[type=search]", "狗")
    said = visit.page.locator("#panel-map [role=status]", has_text="意思最接近")
    said.wait_for()
    assert "dog" in said.inner_text()
    visit.page.click("#language")
    visit.page.locator("#panel-map [role=status]", has_text="nearest in meaning").wait_for()
    visit.close()


def test_a_model_without_a_map_has_no_such_view(browser, tmp_path):
    built = web_page.build(tiny_embedder(), tmp_path / "site")
    assert any("no map" in warning for warning in built.warnings)
    with peer.hosted(built.folder) as (url, _):
        visit = Visit(browser, url)
        visit.page.click("#tab-map")
        visit.load()
        assert not visit.page.locator("#tab-map").count() and visit.page.locator("#panel-classify").is_visible()
        visit.close()


def test_a_load_that_fails_can_be_tried_again(browser, host):
    visit = Visit(browser, host[0], service_workers="block")
    visit.context.set_offline(True)
    visit.page.click("#load")
    visit.page.locator("#load-said.bad").wait_for()
    assert "connection" in visit.page.locator("#load-said").inner_text()
    visit.context.set_offline(False)
    visit.load()
    visit.choose("rocket.png", sample("rocket"))
    assert next(iter(visit.answer())) == "rocket"
    visit.context.close()


def test_two_builds_never_mix(browser, built, tmp_path):
    """A visitor opens the page, its host gets another model, the visitor comes back and loads it."""
    site = tmp_path / "site"
    shutil.copytree(built.folder, site)
    other = web_page.build(tiny_embedder(), tmp_path / "other").folder
    with peer.hosted(site) as (url, _):
        visit = Visit(browser, url)
        visit.page.evaluate("navigator.serviceWorker.ready")
        shutil.rmtree(site)
        shutil.copytree(other, site)
        visit.page.reload()
        # The new build comes, and the page opens anew.
        visit.until("async () => (await (await fetch('model/model.json')).json()).name === 'tiny'", seconds=60,
                    every=1500)  # a worker that is asked all the time is not renewed
        visit.page.wait_for_timeout(1000)
        visit.page.wait_for_selector("body[data-ready]")
        visit.load()
        assert "tiny" in visit.page.locator("#load-said").inner_text()
        visit.choose("rocket.png", sample("rocket"))
        assert len(visit.answer()) == 7
        visit.context.close()


def test_the_last_question_counts(visit):
    visit.load()
    visit.choose("octopus.png", sample("octopus"))
    visit.answer()
    visit.page.click("#tab-where")
    for _ in range(4):
        visit.page.click("#panel-where button.first")
    visit.choose("pizza.png", sample("pizza"))
    visit.until("document.querySelector('#preview').alt === 'pizza.png' && !document.querySelector('#seen-figure').hidden")
    visit.page.click("#tab-classify")
    visit.page.locator(".best", has_text="pizza").wait_for(timeout=15_000)


@pytest.mark.parametrize("name, data, said", [
    ("empty.png", b"", "empty"), ("page.png", b"<html>no picture</html>", "cannot read the file"),
    ("bomb.png", None, "the limit is 40,000,000"), ("strip.png", "strip", "20 times as long as wide")])
def test_what_is_no_picture_is_told_and_the_next_one_works(visit, name, data, said):
    from PIL import Image

    from helpers_app import bomb, encoded

    visit.load()
    visit.choose(name, bomb(6400 * 4) if data is None else encoded(Image.new("RGB", (2100, 100))) if data == "strip" else data)
    visit.page.locator("#picture-said.bad", has_text=said).wait_for()
    visit.choose("pizza.png", sample("pizza"))
    assert next(iter(visit.answer())) == "pizza"


def test_the_map_and_its_film(visit):
    visit.load()
    visit.choose("octopus.png", sample("octopus"))
    visit.answer()
    visit.page.click("#tab-map")
    visit.page.locator("#panel-map .near li").first.wait_for()
    assert visit.page.locator("#panel-map .near li").first.inner_text().startswith("octopus")
    visit.page.fill("#panel-map input[type=search]", "guitar")
    visit.page.get_by_text("On the map: guitar").wait_for()
    looks = set()
    for kind in ("alike", "gap", "film"):
        visit.page.select_option("#panel-map select", kind)
        visit.page.wait_for_timeout(800)
        looks.add(visit.page.locator("canvas.map").screenshot())
    assert len(looks) == 3
    visit.page.locator("#panel-map input[type=range]").press("End")
    visit.page.get_by_text("step 9,000").wait_for()


def test_it_works_after_its_server_is_gone(browser, built):
    with peer.hosted(built.folder) as (url, kind):
        visit = Visit(browser, url)
        visit.page.evaluate("navigator.serviceWorker.ready")
        visit.load()
        listed = json.loads(re.search(r"FILES = (\{.*?\});", (built.folder / "sw.js").read_text(encoding="utf-8"))[1])
        visit.until("""async (n) => { const names = await caches.keys();
            return names.length && (await (await caches.open(names[0])).keys()).length >= n; }""", len(listed))
    visit.page.reload()
    visit.page.wait_for_selector("body[data-ready]")
    visit.load()
    visit.choose("guitar.png", sample("guitar"))
    assert next(iter(visit.answer())) == "guitar"
    visit.page.click("#tab-map")
    visit.page.locator("#panel-map .near li").first.wait_for()
    visit.context.close()
    assert not visit.strangers()


def test_a_new_build_replaces_only_what_changed(browser, built, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(built.folder, site)
    with peer.hosted(site) as (url, kind):
        visit = Visit(browser, url)
        visit.page.evaluate("navigator.serviceWorker.ready")
        visit.load()
        visit.until("""async () => (await Promise.all((await caches.keys()).map(async (name) =>
            (await (await caches.open(name)).keys()).some(({ url }) => url.includes('image.onnx'))))).some(Boolean)""")
        texts = json.loads((site / "texts" / "en.json").read_text(encoding="utf-8"))
        (site / "texts" / "en.json").write_text(json.dumps(texts | {"title": "a new title"}), encoding="utf-8")
        worker = (Path(web_page.WEB) / "sw.js").read_text(encoding="utf-8")
        (site / "sw.js").write_text(worker, encoding="utf-8")
        web_page._finished(site, "emoji", "0")
        kind.seen.clear()
        visit.page.reload()
        visit.until("document.querySelector('h1')?.textContent === 'a new title'", seconds=60, every=500)
        visit.page.wait_for_selector("body[data-ready]")
        assert visit.page.locator("h1").inner_text() == "a new title"
        visit.load()
        assert not [path for path in kind.seen if path.endswith((".wasm", ".onnx"))]
        visit.context.close()


# ---- for everybody -------------------------------------------------------------------------------------------
axe = pytest.importorskip("axe_playwright_python", reason="this test needs axe: pip install axe-playwright-python")
AXE = (Path(axe.__path__[0]) / "axe.min.js").read_text("utf-8")
FOUND = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
    .filter(found => ['serious', 'critical'].includes(found.impact))
    .flatMap(found => found.nodes.map(node => `${found.id} at ${node.target}: ${node.html.slice(0, 120)}`))"""
ROOMS = ("classify", "where", "search", "map", "teach")


@pytest.mark.parametrize("locale, dark, width", [("en-US", False, 360), ("en-US", True, 1280), ("zh-CN", True, 360),
                                                 ("zh-CN", False, 1280)])
def test_axe_finds_nothing_serious_and_nothing_hangs_over(locale, dark, width, browser, host):
    visit = Visit(browser, host[0], width, locale, dark)
    visit.page.evaluate(AXE)
    found = [f"before: {one}" for one in visit.page.evaluate(FOUND)]
    visit.load()
    visit.choose("octopus.png", sample("octopus"))
    visit.answer()
    for name in ROOMS:
        visit.page.click(f"#tab-{name}")
        if name == "where":
            visit.page.click("#panel-where button.first")
            visit.page.wait_for_selector("#panel-where canvas", timeout=60_000)
        if name in ("search", "teach"):
            visit.page.locator(f"#panel-{name} input[type=file][accept^=image]").first.set_input_files(
                [{"name": f"{shot}.png", "mimeType": "image/png", "buffer": sample(shot)} for shot in ("pizza", "rocket")])
            visit.until(f"document.querySelectorAll('#panel-{name} img[src^=blob]').length === 2")
        visit.page.wait_for_timeout(200)
        found += [f"{name}: {one}" for one in visit.page.evaluate(FOUND)]
        assert visit.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
    visit.page.locator("#source button").nth(2).click()
    found += [f"draw: {one}" for one in visit.page.evaluate(FOUND)]
    visit.page.keyboard.press("Escape")
    assert visit.page.evaluate("document.documentElement.lang") == locale[:2]
    visit.close()
    assert not found


def test_by_the_keyboard_alone(visit):
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id || document.activeElement.textContent || document.activeElement.tagName")
        seen.append(name)
        if name == "load":
            page.keyboard.press("Enter")
            page.wait_for_selector("#loading.ready", timeout=60_000)
            page.evaluate("document.querySelector('#picture').focus()")
        if name == "tab-classify":
            break
    assert "language" in seen and "load" in seen and "tab-classify" in seen
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-where" and page.locator("#panel-where").is_visible()
    page.keyboard.press("End")
    assert page.locator("#panel-teach").is_visible() and not page.locator("#panel-where").is_visible()


def test_the_language_changes_without_losing_anything(visit):
    visit.load()
    visit.choose("pizza.png", sample("pizza"))
    visit.answer()
    visit.page.click("#language")
    visit.page.locator(".best", has_text="披萨").wait_for()
    assert visit.page.evaluate("document.documentElement.lang") == "zh"
    assert visit.page.locator("h1").inner_text() == "浏览器里的 clipmini"
