"""Every view of the page with a published model: in the browser and by the endpoints its numbers are Python's, it says who
answered, and the small one's come back.
"""

import base64
import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch.nn.functional as F
from PIL import Image

import clipmini
from clipmini import plots
from clipmini.image import open_image
from clipmini.tasks.classify import classify
from clipmini.tasks.heatmap import PRESENT, heatmap, word_relevance
from clipmini.tasks.heatmap.presence import WHOLE_LESS
from clipmini.tasks.prompts import EVERYDAY_WORDS, TEMPLATES
from clipmini.tasks.similarity import similarity
from clipmini.tasks.templates import on_one_picture
from demo_app.figures import plotted
from demo_app.map import made
from demo_app.map.canvas import opened
from demo_app.map.stored import shipped
from demo_app.page import read_samples, samples_folder
from demo_app.tabs import TABLE, cut
from demo_app.tabs import search as search_tab
from demo_app.tabs.fails import EXPERIMENTS, verdict
from demo_app.tabs.inside import PLACES, painted, place
from demo_app.tabs.prompts import FIRST
from demo_app.tabs.saw import SHOWN_SIDE
from demo_app.tabs.zero_shot import enlarged
from demo_app.texts import TEXTS
from test_browser import Visit, browser  # noqa: F401 (a fixture)
from test_published_page import B32, home, page, twin  # noqa: F401 (fixtures)

gradio_client = pytest.importorskip("gradio_client", reason="needs gradio: pip install 'clipmini[app,test]'")
PICTURE = samples_folder() / "dog_face.png"
WORDS = "dog face, pizza slice, red car"
LABELS = WORDS.split(", ")
OPTIONS = {B32: "OpenAI ViT-B/32", "emoji": "emoji, for drawings"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def url(home, cache):  # noqa: F811
    with page(home, CLIPMINI_CACHE=str(cache)) as url:
        yield url


@pytest.fixture(scope="module")
def models(twin):  # noqa: F811
    return {B32: clipmini.load(twin, device="cpu", fast=True), "emoji": clipmini.load("emoji")}


@pytest.fixture(scope="module")
def visit(browser, url):  # noqa: F811
    """A page; another one waits for the published model's map meanwhile, which nobody made before."""
    background = browser.new_page()
    background.goto(f"{url}/?view=map&model={B32}")
    v = Visit(browser, f"{url}/?example=dog_face&words={WORDS}")
    yield v
    v.context.close()
    background.close()
    assert not v.errors and not v.strangers()


def choose(v: Visit, name: str) -> None:
    if v.page.locator(f"#model:has-text('{name} ')").count() and v.page.input_value("#which-model input") == OPTIONS[name]:
        return
    v.page.click("#which-model input")
    v.page.get_by_role("option", name=OPTIONS[name]).click()


OWN = {"cut": "segmenter"}  # what answers in a view in place of the chosen model


def answered(v: Visit, view: str, name: str):
    """Open a view; its answer, once it is that of the model, which it names."""
    v.open_tab(TEXTS["en"][f"tab_{view}"])
    name = OWN.get(view, name)
    v.page.wait_for_selector(f"#view-{view}:not(.cm-stale) #{view}-head .cm-who[data-model='{name}']", timeout=90_000,
                             state="attached")
    if view != "models":  # its halves name theirs
        assert v.page.inner_text(f"#{view}-head .cm-who") == f"Answered by {name}."
    return v.settled(view)


def pixels(address: str) -> np.ndarray:
    """A data address, or a file -> its pixels."""
    source = io.BytesIO(base64.b64decode(address.partition(",")[2])) if address.startswith("data:") else address
    return np.asarray(Image.open(source).convert("RGB"), dtype=int)


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two drawings are the same: the dots of a font may differ, a patch of the map may not."""
    return a.shape == b.shape and np.abs(a - b).mean() < 0.5


def table(panel, selector: str) -> list[list[str]]:
    return [row.locator("th, td").all_inner_texts() for row in panel.locator(f"{selector} tbody tr").all()]


def zero_shot(v, panel, embedder):
    expected = classify(embedder, [PICTURE], WORDS, embedder.meta.get("templates", "emoji"))
    assert {name: share / 100 for name, share in v.bars().items()} == pytest.approx(
        dict(zip(LABELS, expected.probabilities[0].tolist(), strict=True)), abs=1e-4)


def percents(cells: list[str]) -> list[float]:
    return [float(cell.rstrip(" %")) / 100 for cell in cells]


def scored(embedder):
    """(the map, cosines, everyday words, what the whole picture alone says)"""
    found, whole = heatmap(embedder, PICTURE, WORDS), embedder.embed_images([PICTURE])
    others = embedder.embed_texts(EVERYDAY_WORDS) @ whole[0]
    cosines = embedder.embed_texts(LABELS) @ whole[0]
    return found, cosines.tolist(), ((cosines - others.mean()) / others.std(correction=0) - WHOLE_LESS).tolist()


def inside(v, panel, embedder):
    found, cosines, least = scored(embedder)
    rows = table(panel, "#inside-scores")
    assert [row[0] for row in rows] == LABELS
    assert [float(row[1]) for row in rows] == pytest.approx(cosines, abs=6e-4)
    text = panel.locator("#inside-scores").text_content()  # what the numbers mean is folded
    if found.scores is None:  # by the method for large pictures
        assert [float(row[2].removeprefix("≥ ")) for row in rows] == pytest.approx(least, abs=0.051)
        assert [row[3].split(",")[0] for row in rows] == ["there" if x >= PRESENT else "not known" for x in least]
        assert [row[3].split(", ")[1] for row in rows] == [PLACES[place(map_)] for map_ in found.maps]
        assert "method surgery does not look at the parts" in text and f"with {B32} was not measured" in text
    else:
        assert [float(row[2]) for row in rows] == pytest.approx(found.scores.tolist(), abs=0.051)
        assert [row[3].split(",")[0] for row in rows] == ["there" if there else "not there" for there in found.present]
        assert "not known" not in text and "not measured" not in text
    falls = [(phrase, word, fall) for phrase in LABELS for word, fall in word_relevance(embedder, PICTURE, phrase)]
    v.page.wait_for_function(f"document.querySelectorAll('#inside-words .virtual-row').length == {len(falls)}")
    shown = [[cell.strip() for cell in row.locator("[role=gridcell]").all_inner_texts()]
             for row in panel.locator("#inside-words .virtual-row").all()]
    assert [tuple(row[:2]) for row in shown] == [f[:2] for f in falls]
    assert [float(row[2]) for row in shown] == pytest.approx([f[2] for f in falls], abs=6e-4)
    areas = painted(found, [{"at_least": x} for x in least])
    for part, figure in (("maps", plots.heatmaps(found, f"{embedder_name(embedder)}: {found.method}")),
                         ("areas", plots.segments(areas, embedder_name(embedder)))):
        assert alike(pixels(panel.locator(f"#inside-{part} img").get_attribute("src")), pixels(plotted(figure).plot))


def embedder_name(embedder) -> str:
    return B32 if embedder.config.vision.image_size == 224 else "emoji"


def of_map(v, panel, embedder):
    name = embedder_name(embedder)
    v.page.get_by_text(f"The map of the model {name}: 1,442 drawings").wait_for()
    v.page.wait_for_function("document.querySelector('#map-view .cm-map-status').innerText.includes('dog_face')")
    neighbours(panel, embedder, embedder.embed_images([PICTURE])[0], words=6)
    v.page.fill("#map-query input, #map-query textarea", "a red car")
    v.page.keyboard.press("Enter")
    v.page.wait_for_function("document.querySelector('#map-view .cm-map-status').innerText.includes('a red car')")
    neighbours(panel, embedder, embedder.embed_texts(["a red car"])[0], words=0)


def drawings_of(embedder, names):
    """Unit vectors of the map's drawings with these names: the small model's map was made of larger ones than come with
    it."""
    shown, every, _ = made.samples()
    if embedder_name(embedder) == "emoji":
        return opened(shipped("emoji")).found.vectors[[every.index(name) for name in names]]
    return embedder.embed_images([shown[every.index(name)] for name in names])


def neighbours(panel, embedder, vector, words: int):
    """The listed drawings and words are as near as Python says, and no other of a hundred is nearer."""
    rows = [row.inner_text().split("\n") for row in panel.locator("#map-view .cm-map-near li").all()]
    pictures, texts = ([row for row in rows if row[1].startswith(kind)] for kind in ("picture", "word"))
    assert (len(pictures), len(texts)) == (12, words)
    seen = drawings_of(embedder, near := [row[0] for row in pictures]) @ vector
    assert [float(row[-1]) for row in pictures] == pytest.approx(seen.tolist(), abs=2e-3)
    others = [name for name in made.samples()[1] if name not in near][::15]
    assert (drawings_of(embedder, others) @ vector).max() <= seen.min() + 2e-3
    if words:
        read = embedder.embed_texts([row[0] for row in texts]) @ vector
        assert [float(row[-1]) for row in texts] == pytest.approx(read.tolist(), abs=2e-3)


def prompts(v, panel, embedder):
    found = on_one_picture(embedder, PICTURE, LABELS, "\n".join(FIRST))
    rows = table(panel, "#workbench-table")
    assert [row[0] for row in rows[:4]] == list(FIRST) and len(rows) == 6
    for row, expected in zip(rows, found.probabilities, strict=True):
        assert percents(row[1:]) == pytest.approx(expected.tolist(), abs=6e-4)


def of_fails(v, panel, embedder):
    cards = panel.locator(".cm-fail").all()
    assert len(cards) == len(EXPERIMENTS)
    for card, experiment in zip(cards, EXPERIMENTS, strict=True):
        found = classify(embedder, [experiment.draw()], list(experiment.labels))
        shares = [float(e.get_attribute("aria-valuenow")) / 100 for e in card.locator("[role=meter]").all()]
        assert shares == pytest.approx(found.probabilities[0].tolist(), abs=1e-3), experiment.key
        assert card.locator(".cm-verdict").inner_text() == verdict("en", experiment, found)


def of_matrix(v, panel, embedder):
    files = [str(PICTURE), *(s["path"] for s in read_samples(samples_folder()) if s["path"] != str(PICTURE))]
    found = similarity(embedder, files, WORDS, [Path(file).name for file in files])
    expected = list(csv.DictReader(io.StringIO(found.as_csv())))
    kinds = [("over texts", "over texts"), ("over pictures", "over pictures"), ("cosines", "cosine")]
    for kind, value in kinds if embedder_name(embedder) == B32 else kinds[::2]:
        before = panel.locator("#matrix-figure img").get_attribute("src")
        panel.locator(f"#matrix-kind input[value='{kind}']").check()
        v.page.wait_for_function("old => document.querySelector('#matrix-figure img')?.src !== old", arg=before)
        v.settled("matrix")
        with v.page.expect_download() as download:
            v.page.click("#matrix-csv a")
        rows = list(csv.DictReader(Path(download.value.path()).read_text("utf-8-sig").splitlines()))
        assert [(r["picture"], r["text"]) for r in rows] == [(r["picture"], r["text"]) for r in expected]
        for column in ("cosine", "probability over texts", "probability over pictures"):
            assert [float(r[column]) for r in rows] == pytest.approx([float(r[column]) for r in expected], abs=1e-4)
        figure, drawn = io.BytesIO(), plots.matrix(found, [open_image(file) for file in files], value)
        drawn.savefig(figure, dpi=130, bbox_inches="tight")
        shown = v.page.request.get(panel.locator("#matrix-figure img").get_attribute("src")).body()
        assert alike(*(np.asarray(Image.open(io.BytesIO(f)).convert("RGB"), dtype=int) for f in (shown, figure.getvalue())))


def saw(v, panel, embedder):
    v.page.wait_for_selector("#saw-pixels img")
    shown = v.page.request.get(panel.locator("#saw-pixels img").get_attribute("src")).body()
    expected = enlarged(embedder.see(PICTURE), SHOWN_SIDE)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown)).convert("RGB")), np.asarray(expected.convert("RGB")))
    template = TEMPLATES[embedder.meta.get("templates", "emoji")][0]
    for card, label in zip(panel.locator("#saw-tokens .cm-card").all(), LABELS, strict=True):
        ids = embedder.tokenizer.token_lists([template.replace("{}", label)])[0]
        chips = card.locator(".cm-tokens span").all_inner_texts()
        assert [int(re.search(r"\d+$", chip)[0]) for chip in chips] == ids


def of_models(v, panel, embedder):
    """The left one is whoever is chosen for all views."""
    half = panel.locator("#models-both .cm-half").first
    assert half.get_attribute("data-model") == embedder_name(embedder) and embedder_name(embedder) in half.inner_text()
    expected = classify(embedder, [PICTURE], WORDS, embedder.meta.get("templates", "emoji"))
    bars = {bar.get_attribute("aria-label"): float(bar.get_attribute("aria-valuenow")) / 100
            for bar in half.locator("[role=meter]").all()}
    assert bars == pytest.approx(dict(zip(LABELS, expected.probabilities[0].tolist(), strict=True)), abs=1e-4)


def of_search(v, panel, embedder):
    hits = [(hit.get_attribute("data-name"), float(hit.get_attribute("data-cosine"))) for hit in panel.locator(".cm-hit").all()]
    wanted = F.normalize(embedder.embed_texts(search_tab.FIRST.split(" + ")).sum(dim=0), dim=0)
    seen = drawings_of(embedder, [name for name, _ in hits]) @ wanted
    assert len(hits) >= search_tab.NEAREST and [score for _, score in hits] == pytest.approx(seen.tolist(), abs=2e-3)
    others = [name for name in made.samples()[1] if name not in dict(hits)][::15]
    assert (drawings_of(embedder, others) @ wanted).max() <= seen.min() + 2e-3


def of_cut(v, panel, embedder):
    """Whoever is chosen: our own segmenter answers, as Python does."""
    v.page.wait_for_function("() => document.querySelectorAll('.cm-cut-three button').length === 3")
    image = open_image(PICTURE).copy()
    image.thumbnail((cut.SIDE, cut.SIDE))
    answer = cut.look(image, cut.Given([], None), "")
    shown = [float(button.inner_text().split(": ")[1]) for button in panel.locator(".cm-cut-three button").all()]
    assert shown == pytest.approx(answer.iou.tolist(), abs=0.006)


CHECKS = {"zero_shot": zero_shot, "inside": inside, "prompts": prompts, "fails": of_fails, "matrix": of_matrix, "saw": saw,
          "search": of_search, "cut": of_cut, "models": of_models,
          "map": of_map}  # the last: the page in the background makes it until then


def test_no_view_is_forgotten():
    assert set(CHECKS) == set(TABLE)


@pytest.mark.parametrize("view", CHECKS)
def test_a_view_answers_with_the_published_model_and_then_with_the_small_one(view, visit, models):
    for name in (B32, "emoji"):
        choose(visit, name)
        CHECKS[view](visit, answered(visit, view, name), models[name])


def found_phrases(client, handle, choice, embedder):
    maps, areas, words, said = client.predict(handle, WORDS, choice, "", api_name="/find_phrases")
    found, cosines, least = scored(embedder)
    assert (said["model"], said["method"], said["limit"]) == (embedder_name(embedder), found.method, PRESENT)
    for column, expected in (("cosine", cosines), ("at_least", least),
                             ("presence", [None] * 3 if found.scores is None else found.scores.tolist())):
        assert [row[column] for row in said["phrases"]] == pytest.approx(expected, abs=1e-3)
    drawn = plots.heatmaps(found, f"{said['model']}: {found.method}")
    assert alike(pixels(maps["plot"]), pixels(plotted(drawn).plot)) and areas["plot"] != maps["plot"]
    assert [(row["phrase"], row["word"]) for row in words] == [(p, w) for p in LABELS for w in p.split()]


def compared_templates(client, handle, choice, embedder):
    found = client.predict(handle, WORDS, choice, "{}\na photo of a {}.", api_name="/compare_templates")
    expected = on_one_picture(embedder, PICTURE, LABELS, "{}\na photo of a {}.")
    assert found["model"] == embedder_name(embedder)
    for row, values in zip(found["templates"].values(), expected.probabilities, strict=True):
        assert list(row.values()) == pytest.approx(values.tolist(), abs=1e-5)


def matrix_of(client, handle, choice, embedder):
    _, file = client.predict([handle], WORDS, choice, "cosines", api_name="/similarity_matrix")
    rows = list(csv.DictReader(Path(file).read_text("utf-8-sig").splitlines()))
    expected = similarity(embedder, [PICTURE], WORDS).cosines[0]
    assert [float(row["cosine"]) for row in rows] == pytest.approx(expected.tolist(), abs=1e-4)


def seen(client, handle, choice, embedder):
    _, shown, pieces = client.predict(handle, "a red car", choice, api_name="/what_it_saw")
    assert Image.open(shown).size == enlarged(embedder.see(PICTURE), SHOWN_SIDE).size
    assert [piece["id"] for piece in pieces] == embedder.tokenizer.token_lists(["a red car"])[0]


def searched(client, handle, choice, embedder):
    rows = client.predict("a red car", choice, api_name="/search_map")
    vector = embedder.embed_texts(["a red car"])[0]
    assert [row["cosine"] for row in rows] == pytest.approx(
        (drawings_of(embedder, [row["name"] for row in rows]) @ vector).tolist(), abs=2e-3)


def mapped(client, handle, choice, embedder):
    files = [gradio_client.handle_file(s["path"]) for s in read_samples(samples_folder())[:2]]
    found = client.predict(files, choice, api_name="/map_pictures")
    assert (found["model"], found["method"]) == (embedder_name(embedder), "PCA")  # for UMAP there are too few
    assert [p["kind"] for p in found["points"]] == ["picture"] * 2 + ["word"] * 2


def found_pictures(client, handle, choice, embedder):
    files = [gradio_client.handle_file(s["path"]) for s in read_samples(samples_folder())]
    found = client.predict("2:a red car", handle, files, choice, api_name="/search_pictures")
    wanted = F.normalize(2 * embedder.embed_texts(["a red car"])[0] + embedder.embed_images([PICTURE])[0], dim=0)
    scores = (embedder.embed_images([s["path"] for s in read_samples(samples_folder())]) @ wanted).sort(descending=True)
    assert found["model"] == embedder_name(embedder) and found["found"][0]["name"] == PICTURE.name and not found["left out"]
    assert [one["cosine"] for one in found["found"]] == pytest.approx(scores.values.tolist(), abs=1e-3)


@pytest.mark.parametrize("ask", [found_phrases, compared_templates, matrix_of, seen, searched, mapped, found_pictures])
def test_an_endpoint_answers_with_the_published_model_and_then_with_the_small_one(ask, visit, url, models):
    if ask is searched:  # the map that is searched is made by its view
        choose(visit, B32)
        answered(visit, "map", B32)
    client = gradio_client.Client(url, verbose=False)
    for name in (B32, "emoji"):
        ask(client, gradio_client.handle_file(str(PICTURE)), name, models[name])
