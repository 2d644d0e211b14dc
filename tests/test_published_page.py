"""Published models on the page: as its own, chosen from the shelf, fetched by a click; what it says of them is true.

The model is OpenAI's ViT-B/32 in its published layout and size, but for two layers and few words, with random weights.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import clipmini
from clipmini.families import export
from clipmini.tasks.classify import classify
from clipmini.tokenizer import Tokenizer
from demo_app import style
from demo_app.published import BY_NAME, readable
from foreign import hugging_face_folder, open_clip_folder
from helpers_app import encoded, two_colours
from loopback_hub import COMMIT, loopback_hub
from test_browser import ROOT, Visit, browser, free_port, wait_until_open  # noqa: F401 (browser is a fixture)

gradio_client = pytest.importorskip("gradio_client", reason="needs gradio: pip install 'clipmini[app,test]'")

B32, TINY = "openai/clip-vit-base-patch32", "wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M"
VISION = {"hidden_size": 768, "num_hidden_layers": 2, "num_attention_heads": 12, "intermediate_size": 3072,
          "patch_size": 32, "image_size": 224}
TEXT = {"hidden_size": 512, "num_hidden_layers": 2, "num_attention_heads": 8, "intermediate_size": 2048}
WORDS = "red circle, cat, dog"


def classified(client, picture, choice):
    """What the page's classify answers, as {label: cosine}, and who answered."""
    found = client.predict(picture, WORDS, "{}", False, choice, None, api_name="/classify")
    return {row["label"]: row["cosine"] for row in found["labels"]}, found["model"]


def compared(client, picture, choice):
    """The same of the second of two models."""
    found = client.predict(picture, WORDS, "{}", False, "automatic", choice, api_name="/compare_models")["second"]
    return {row["label"]: row["cosine"] for row in found["labels"]}, found["model"]


def in_python(embedder, path):
    found = classify(embedder, [path], WORDS, "{}")
    return dict(zip(found.labels, found.cosines[0].tolist(), strict=True))


# A view more is a line more: (what the page answers and who, what Python says of the same embedder and picture).
VIEWS = {"classify": (classified, in_python), "compare": (compared, in_python)}


@pytest.fixture(scope="module")
def twin(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("twin")
    hugging_face_folder(folder, Tokenizer(tokenizer.merges, 77), VISION, TEXT, embed_dim=512)
    return folder


@pytest.fixture(scope="module")
def home(twin, tmp_path_factory):
    """A cache of the hub with it."""
    home = tmp_path_factory.mktemp("home")
    model = home / "hub" / f"models--{B32.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    (model / "snapshots").mkdir()
    (model / "snapshots" / COMMIT).symlink_to(twin)
    return home


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "two.png"
    path.write_bytes(encoded(two_colours().resize((300, 200))))
    return path


@contextmanager
def page(home, *options, url="http://127.0.0.1:9", **variables):
    """The app as its own process -> its address."""
    port, kept = free_port(), {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    process = subprocess.Popen(
        [sys.executable, "-m", "demo_app.app", "--port", str(port), "--no-browser", *options], cwd=ROOT, text=True,
        env=kept | {"PYTHONUNBUFFERED": "1", "HF_HOME": str(home), "HF_ENDPOINT": url, "NO_PROXY": "127.0.0.1",
                    "no_proxy": "127.0.0.1"} | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until_open(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def as_its_own(home):
    with page(home, "--model", B32) as url:
        yield url


@pytest.fixture(scope="module")
def on_the_shelf(home, tmp_path_factory, make_clip, tokenizer):
    """A page with the small model, and a hub from which TinyCLIP comes slowly -> (address, the hub, TinyCLIP's twin)."""
    root = tmp_path_factory.mktemp("tiny") / "model"
    root.mkdir()
    large = {"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 1024}
    hugging_face_folder(root, tokenizer, {**large, "patch_size": 16, "image_size": 224}, large, embed_dim=512, seed=3)
    with loopback_hub({TINY: root}) as server:
        server.kinds[TINY] = "slow"
        with page(home, url=server.url) as url:
            yield url, server, root


def heard(line: str, name: str, embedder) -> None:
    """The line of the model says who, how many parameters, pixels and bytes."""
    size = sum(path.stat().st_size for path in Path(embedder.source).glob("*.safetensors"))
    for part in (name, f"{embedder.parameters / 1e6:.1f} M parameters", "224 × 224 px", readable(size)):
        assert part in line, (part, line)


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_answers_with_it_and_the_small_one_comes_back(view, as_its_own, on_the_shelf, twin, picture):
    ask, expected = VIEWS[view]
    published, small = clipmini.load(twin, device="cpu", fast=True), clipmini.load("emoji")
    own, other = (gradio_client.Client(url, verbose=False) for url in (as_its_own, on_the_shelf[0]))
    handle = gradio_client.handle_file(str(picture))
    steps = [(own, "automatic", B32, published), (own, "emoji", "emoji", small), (own, B32, B32, published),
             (other, "automatic", "emoji", small), (other, B32, B32, published), (other, "emoji", "emoji", small)]
    for client, choice, name, embedder in steps:
        if client is other and choice == "automatic":
            continue  # for photos it may be the published one: who it is, is said
        answer, who = ask(client, handle, choice)
        assert who == name
        assert answer == pytest.approx(expected(embedder, str(picture)), abs=1e-5), (view, choice)


def test_the_head_names_the_model_that_answers(browser, as_its_own, on_the_shelf, twin):  # noqa: F811
    published = clipmini.load(twin)
    own = Visit(browser, as_its_own)
    heard(own.page.inner_text("#model"), B32, published)
    assert "a published CLIP tells you" in own.page.inner_text(".cm-sentence")
    shelf = Visit(browser, f"{on_the_shelf[0]}/?model={B32}")
    shelf.page.wait_for_function("() => document.getElementById('model').innerText.includes('openai')")
    heard(shelf.page.inner_text("#model"), B32, published)
    assert "a published CLIP tells you" in shelf.page.inner_text(".cm-sentence")
    assert B32 in shelf.settled().inner_text()
    small = Visit(browser, on_the_shelf[0])
    assert "1.8 M parameters" in small.page.inner_text("#model")
    assert "a CLIP small enough to read" in small.page.inner_text(".cm-sentence")
    for visit in (own, shelf, small):
        visit.context.close()
        assert not visit.errors and not visit.strangers()


def test_one_click_fetches_shows_how_far_stops_and_goes_on(browser, on_the_shelf, home, picture):  # noqa: F811
    url, server, root = on_the_shelf
    visit = Visit(browser, f"{url}/?view=models", view="models")
    said = visit.page.locator("#models-told")
    button = visit.page.locator("#models-fetch")
    assert button.inner_text() == "Fetch TinyCLIP-8M (94 MB)" and "not here yet" in visit.page.inner_text("#models-table")
    button.click()
    visit.page.wait_for_function("() => document.querySelector('#models-told progress')?.value > 0.2 * "
                                 "document.querySelector('#models-told progress')?.max")
    visit.page.click("#models-stop")
    visit.page.wait_for_function("() => document.getElementById('models-told').innerText.includes('Stopped')")
    visit.page.wait_for_timeout(600)
    assert "Stopped" in said.inner_text()
    [part] = home.rglob("*.clipmini-part")
    arrived = part.stat().st_size
    assert 0 < arrived < (root / "model.safetensors").stat().st_size
    button.click()
    visit.page.wait_for_function("() => document.getElementById('models-told').innerText.includes('is ready')")
    assert [r for method, path, r in server.requests if method == "GET" and path.endswith(".safetensors")] == [
        None, f"bytes={arrived}-"]
    assert "SigLIP" in visit.page.inner_text("#models-which input") or "Fetch TinyCLIP-40M" in button.inner_text()
    visit.page.click("#models-right input")
    visit.page.get_by_role("option", name="TinyCLIP-8M").click()
    visit.page.wait_for_selector(f".cm-half[data-model='{TINY}']")
    visit.settled("models")
    bars = {bar.get_attribute("aria-label"): float(bar.get_attribute("aria-valuenow"))
            for bar in visit.page.query_selector_all(f".cm-half[data-model='{TINY}'] [role=meter]")}
    assert len(bars) >= 2 and sum(bars.values()) == pytest.approx(100, abs=0.2)
    visit.context.close()
    assert not visit.errors and not visit.strangers()
    client = gradio_client.Client(url, verbose=False)
    answer, who = compared(client, gradio_client.handle_file(str(picture)), "automatic")
    assert who in (TINY, "emoji", "devise") and len(answer) == 3


def test_a_page_for_others_offers_no_fetching(browser, home):  # noqa: F811
    with page(home, "--host", "0.0.0.0", "--lang", "zh", CLIPMINI_MODEL="nobody/nothing") as url:
        visit = Visit(browser, f"{url}/?view=models", view="models")
        assert "--hub" in visit.page.inner_text("#models-told") and not visit.page.is_visible("#models-fetch")
        assert "nobody/nothing" in visit.page.inner_text("#model") and "无法载入" in visit.page.inner_text("#model")
        visit.context.close()


@pytest.mark.parametrize("kind", ["packed", "int8", "half", "onnx", "open_clip"])
def test_parameters_pixels_and_bytes_are_true_in_every_form(kind, twin, tmp_path):
    plain = clipmini.load(twin, device="cpu")
    count = sum(p.numel() for p in plain.model.parameters())
    folder, options = twin, {"packed": {"packed": True}, "int8": {"int8": True}}.get(kind, {})
    if kind == "half":
        from safetensors.torch import load_file, save_file
        folder = tmp_path / "half"
        folder.mkdir()
        for path in twin.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        save_file({k: v.half() if v.is_floating_point() else v for k, v in load_file(
            twin / "model.safetensors").items()}, folder / "model.safetensors", metadata={"format": "pt"})
    elif kind == "onnx":
        pytest.importorskip("onnxscript", reason="ONNX needs onnxscript: pip install 'clipmini[onnx]'")
        folder = export(plain.model, plain.tokenizer, tmp_path / "onnx", "onnx", plain.meta | {"file": ""})
    elif kind == "open_clip":
        folder = open_clip_folder(tmp_path / "oc", plain.model, plain.tokenizer)
    embedder = clipmini.load(folder, device="cpu", **options)
    assert embedder.parameters == plain.parameters == count
    size = sum(p.stat().st_size for p in Path(folder).iterdir() if p.suffix in (".safetensors", ".onnx", ".data"))
    line = style.model_line("en", embedder, "")
    for part in (f"{count / 1e6:.1f} M parameters", "224 × 224 px", readable(size)):
        assert part in line, (part, line)


def test_openais_layout_needs_the_packages_of_the_app_alone(twin):
    """What `pip install ".[app]"` does not bring cannot be imported here."""
    code = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"transformers", "tokenizers", "sentencepiece", "datasets", "sklearn", "umap", "onnx",
                                  "onnxruntime", "ftfy", "emoji", "google"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
import clipmini, json
from demo_app.published import PUBLISHED
model = clipmini.load(sys.argv[1], packed=True)
print("FOUND" + json.dumps([model.embed_texts(["a red cat"]).shape[1], {p.name: p.missing for p in PUBLISHED}]))"""
    done = subprocess.run([sys.executable, "-c", code, str(twin)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    width, missing = json.loads(done.stdout.partition("FOUND")[2])
    assert width == 512 and set(missing) == set(BY_NAME)
    assert {name for name, packages in missing.items() if packages} == {
        "OFA-Sys/chinese-clip-vit-base-patch16", "google/siglip-base-patch16-224", "google/siglip2-base-patch16-224"}
