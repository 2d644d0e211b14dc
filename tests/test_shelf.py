"""The shelf: who answers and why, what each model is, who may fetch one, and what the page begins with."""

import argparse
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from clipmini.files import CheckpointError
from helpers_app import tiny_checkpoint, tiny_embedder, two_colours

pytest.importorskip("gradio", reason="the app's tests need gradio: pip install 'clipmini[app,test]'")

from clipmini.tasks.classify import build_classifier, classify  # noqa: E402
from clipmini.tasks.prompts import EVERYDAY_WORDS  # noqa: E402
from demo_app import cautions, fetching, shelf, start, style, texts, workbench  # noqa: E402
from demo_app.looks import look  # noqa: E402
from demo_app.page import samples_folder  # noqa: E402
from demo_app.published import BY_NAME, PUBLISHED, Published, file_bytes  # noqa: E402
from demo_app.tabs import models  # noqa: E402

B32, L14, CHINESE = "openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14", "OFA-Sys/chinese-clip-vit-base-patch16"
SMALLEST = PUBLISHED[0].name
ROUGH = Image.fromarray(np.random.default_rng(0).integers(0, 240, (60, 60, 3), dtype=np.uint8))


@pytest.fixture
def world(monkeypatch):
    """What is here: .cached (names), .missing (packages of the photo model), .refused; and the models that were made."""
    found = SimpleNamespace(cached=set(), missing=["x"], refused="", made=[], broken=set(),
                            given={"emoji": tiny_embedder(0), "devise": tiny_embedder(1)})
    monkeypatch.setattr(shelf.devise, "missing", lambda: found.missing)
    monkeypatch.setattr(shelf.hub, "cached", lambda name: "/x" if name in found.cached else None)
    monkeypatch.setattr(fetching.Permission, "refused", property(lambda self: found.refused))

    def made(name):
        def get():
            if name in found.broken:
                raise CheckpointError("it is <b>damaged</b>")
            return found.given.setdefault(name, tiny_embedder(2))

        def try_get():
            try:
                return get(), ""
            except CheckpointError as error:
                return None, str(error)
        found.made.append(name)
        return SimpleNamespace(name=name, called=name, get=get, try_get=try_get)

    found.make = made
    return found


def picked(on, choice, image):
    found = on.pick(choice, image)
    return found.model.name, found.why


def test_photos_go_to_the_photo_model_and_drawings_to_the_pages_own(world):
    world.missing = []
    both = shelf.Shelf(world.make("emoji"), world.make)
    assert {"automatic", "emoji", "devise", *BY_NAME} <= set(both.choices)
    for image, name, why in ((two_colours(), "emoji", "why_drawing"), (ROUGH, "devise", "why_photo")):
        assert picked(both, "automatic", image) == (name, why)
        assert picked(both, "emoji", image) == ("emoji", "why_chosen")
        assert picked(both, "devise", image) == ("devise", "why_chosen")
        said = both.pick("automatic", image)
        assert "probably" in said.said("en") and f"{look(image).flatness:.2f}" in said.said("zh")
    with pytest.raises(ValueError, match="no model 'clip' on the shelf"):
        both.pick("clip", ROUGH)
    world.broken.add("devise")
    assert picked(both, "automatic", ROUGH) == ("emoji", "why_broken")


def test_most_of_many_pictures_decide_who_answers(world):
    world.missing = []
    on = shelf.Shelf(world.make("emoji"), world.make)
    few, drawn = [ROUGH, two_colours(), ROUGH], two_colours()
    assert on.pick_for("automatic", few).model is on.reader and on.reads_photos == "devise"
    assert on.pick_for("automatic", [drawn] * 40 + [ROUGH] * 20).model is on.own
    assert on.pick_for("emoji-vit", few).model.name == "emoji-vit"


def test_without_a_model_for_photos_nothing_is_promised(world):
    alone = shelf.Shelf(world.make("emoji"), world.make)
    assert "devise" not in alone.choices and "emoji" not in alone.choices  # it is "automatic"
    labels = {name: label for label, name in alone.labels(lambda key: texts.say("en", key))}
    assert labels["automatic"] == "emoji: of this page" and "photo" not in labels["automatic"]
    assert picked(alone, "automatic", ROUGH) == ("emoji", "")
    with pytest.raises(ValueError, match="choose one of automatic"):
        alone.pick("devise", ROUGH)


def test_the_smallest_published_clip_that_is_here_answers_for_photos(world):
    world.cached = {L14, SMALLEST, PUBLISHED[-1].name}
    ours = shelf.Shelf(world.make("emoji"), world.make)
    assert picked(ours, "automatic", ROUGH) == (SMALLEST, "why_photo_clip")
    assert picked(ours, "automatic", two_colours()) == ("emoji", "why_drawing")
    blurred = two_colours().resize((400, 200)).filter(ImageFilter.GaussianBlur(20))
    found = ours.pick("automatic", blurred)
    assert (found.model.name, found.why) == (SMALLEST, "why_blurred") and "probably" in found.said("en")
    world.cached = {PUBLISHED[-1].name}  # 10 GB are loaded by nobody's look at a picture
    assert picked(ours, "automatic", ROUGH) == ("emoji", "")
    other = shelf.Shelf(world.make("/some/folder"), world.make)  # not known to be of drawings only
    world.cached = {SMALLEST}
    assert picked(other, "automatic", ROUGH) == ("/some/folder", "")


def test_only_what_can_answer_is_ready(world, monkeypatch):
    ours = shelf.Shelf(world.make("emoji"), world.make)
    cases = ((set(), "", "download", "Fetch it in the tab Models (605 MB)"),
             (set(), "models_offline", "offline", "the app was started offline"),
             (set(), "models_public", "offline", "allows it with --hub"), ({B32}, "models_offline", "ready", None))
    for world.cached, world.refused, expected, said in cases:
        assert shelf.state(B32) == expected and (B32 in ours.ready) == (expected == "ready")
        labels = ours.labels(lambda key: texts.say("en", key))
        assert dict((name, label) for label, name in labels)[B32] == (
            f"OpenAI ViT-B/32 (605 MB): {texts.say('en', f'state_{expected}')}")
        states = [shelf.state(name) == "ready" for _, name in labels if name in BY_NAME]
        assert states == sorted(states, reverse=True)
        if said is None:
            assert picked(ours, B32, None) == (B32, "why_chosen")
            continue
        with pytest.raises(texts.Told) as told:
            ours.pick(B32, None)
        assert said in str(told.value) and "OpenAI ViT-B/32" in texts.say_error("zh", told.value)
        assert re.search("[\u4e00-\u9fff]", texts.say_error("zh", told.value))
    world.cached = {CHINESE}
    monkeypatch.setattr(Published, "missing", property(lambda self: list(self.needs)))
    assert shelf.state(CHINESE) == "packages" and CHINESE not in ours.ready and shelf.state(B32) == "offline"
    with pytest.raises(texts.Told, match="pip install tokenizers"):
        ours.pick(CHINESE, None)
    assert "pip install transformers sentencepiece protobuf" in models.table(ours, "en")


def test_a_failure_leaves_the_model_before_and_two_large_ones_stay(world):
    world.cached, world.broken = set(BY_NAME), {L14}
    ours = shelf.Shelf(world.make("emoji"), world.make)
    assert workbench.load_choice(ours, "automatic", "automatic", "en") == ("automatic", "")
    assert workbench.load_choice(ours, B32, "automatic", "en") == (B32, f"{B32} is ready and will answer.")
    name, note = workbench.load_choice(ours, L14, B32, "zh")
    assert name == B32 and "damaged" in note and "<b>" not in note and B32 in note
    ours.pick(B32, None), ours.pick(L14, None), ours.pick(B32, None)
    assert world.made == ["emoji", B32, L14]
    ours.pick(CHINESE, None), ours.pick(B32, None), ours.pick(L14, None)
    assert world.made == ["emoji", B32, L14, CHINESE, L14]
    world.cached = set()
    name, note = workbench.load_choice(ours, SMALLEST, B32, "en")
    assert name == B32 and "TinyCLIP-8M is not on this computer yet" in note
    published = shelf.Shelf(world.make(B32), world.make)
    assert published.published(B32) is published.own  # not a second copy in memory


def test_what_is_said_of_published_models_is_there_in_both_languages():
    assert len(BY_NAME) == len(PUBLISHED) and PUBLISHED[0].megabytes < 100
    for p in PUBLISHED:
        assert p.licence and p.size and bool(p.imagenet) == bool(p.source)
        for lang in texts.LANGUAGES:
            assert all(texts.TEXTS[lang][key] for key in (p.stated, p.good))
    assert "none" in texts.say("en", BY_NAME[CHINESE].stated) and "repository" in texts.say("en", BY_NAME[B32].stated)


@pytest.mark.parametrize("host, hub, offline, public, refused", [
    ("127.0.0.1", False, False, False, ""), ("localhost", False, False, False, ""),
    ("127.0.0.1", False, True, False, "models_offline"), ("127.0.0.1", True, True, False, "models_offline"),
    ("0.0.0.0", False, False, False, "models_public"), ("0.0.0.0", True, False, False, ""),
    ("127.0.0.1", False, False, True, "models_public"), ("127.0.0.1", True, False, True, "")])
def test_who_may_fetch(host, hub, offline, public, refused):
    permission = fetching.Permission()
    assert permission.refused == "models_public"  # until whoever starts the page has decided
    permission.decide(host, hub, offline, public)
    assert permission.refused == refused
    for headers, here in (({"host": "127.0.0.1:7860"}, True), ({"host": "localhost"}, True), ({"host": "[::1]:80"}, True),
                          ({"host": "example.org"}, False), ({"host": "127.0.0.1", "x-forwarded-for": "1.2.3.4"}, False)):
        assert permission.refusal(headers) == (refused or ("" if here or hub else "models_public")), headers


def options(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    start.add_options(parser)
    parser.set_defaults(host="127.0.0.1", share=False, root_path=None)
    return parser.parse_args(given)


def test_a_variable_names_the_model_and_a_failure_falls_back_with_a_word(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(start, "PERMISSION", fetching.Permission())
    folder = str(tiny_checkpoint(tmp_path / "tiny"))
    monkeypatch.setenv("CLIPMINI_MODEL", folder)
    own, instead = start.own_model(options(), False)
    assert own.name == folder and instead is None and own.called == "tiny"
    monkeypatch.setenv("CLIPMINI_MODEL", str(tmp_path / "<nowhere>"))
    own, instead = start.own_model(options(), False)
    assert own.name == "emoji" and "nowhere" in instead.why and "CLIPMINI_MODEL" in capsys.readouterr().err
    assert "&lt;nowhere&gt;" in style.fallback("en", *instead) and "无法载入" in style.fallback("zh", *instead)
    assert start.own_model(options("--model", folder), False)[0].name == folder
    with pytest.raises(CheckpointError, match="nowhere"):
        start.own_model(options("--model", str(tmp_path / "<nowhere>")), False)
    monkeypatch.delenv("CLIPMINI_MODEL")
    assert start.own_model(options(), True)[0].name == "emoji" and start.PERMISSION.refused == "models_offline"
    assert start.own_model(options("--hub"), True) and start.PERMISSION.refused == ""
    with pytest.raises(CheckpointError, match="Or start with --hub"):
        start.own_model(options("--model", "good/none"), False)
    monkeypatch.setenv("SPACE_ID", "you/clipmini")
    assert start.own_model(options(), False) and start.PERMISSION.refused == "models_public"
    monkeypatch.setenv("CLIPMINI_HUB", "1")
    assert start.own_model(options(), False) and start.PERMISSION.refused == ""


def test_drawings_have_sharp_edges_and_blurred_pictures_are_no_drawings():
    files = sorted(samples_folder().glob("*.png"))
    looks = [look(file) for file in files]
    assert files and sum(found.drawn for found in looks) >= 0.8 * len(files)
    assert not any(found.blurred for found in looks)
    assert look(Image.new("RGBA", (20, 20))).drawn  # nothing at all
    drawing = Image.open(files[0]).convert("RGBA")
    white = Image.new("RGBA", drawing.size, "white")
    white.alpha_composite(drawing)
    levels = np.asarray(white.convert("RGB")).astype(float)
    shaken = np.mean([np.roll(levels, i, axis=1) for i in range(drawing.width // 15)], axis=0)  # a moved camera
    for image in (white.filter(ImageFilter.GaussianBlur(drawing.width / 50)), Image.fromarray(shaken.astype("uint8"))):
        found = look(image.convert("RGB"))
        assert found.blurred and not found.drawn


@pytest.fixture(scope="module")
def emoji():
    return shelf.Model("emoji")


def keys(model, picture, words, none=False):
    prediction = classify(model.get(), [picture], words, none_of_these=none)
    found = cautions.for_answer(model, picture, "{}", prediction)
    assert all(c.said("en") and re.search("[\u4e00-\u9fff]", c.said("zh")) for c in found)
    return [*(note.kind for note in prediction.notes), *(c.key for c in found)]


def test_what_a_model_was_not_made_for_is_said(emoji):
    rocket = str(samples_folder() / "rocket.png")
    assert keys(emoji, rocket, "rocket, cat, pizza") == []
    assert keys(emoji, rocket, "astrolabe, oscilloscope") == ["new_words", "caution_none_fits"]
    assert keys(emoji, rocket, "fish, tomato") == ["caution_none_fits"]
    assert keys(emoji, rocket, "fish, tomato", none=True) == []  # "none of these" says it already
    assert keys(emoji, ROUGH, "rocket, cat")[0] == "outside" and "caution_photo" not in keys(emoji, ROUGH, "rocket, cat")
    blurred = two_colours().resize((400, 200)).filter(ImageFilter.GaussianBlur(20))
    found = keys(emoji, blurred, "rocket, cat")
    assert "caution_blurred" in found and "caution_photo" not in found  # flat, but no drawing's edges
    said, = cautions.warnings_for(emoji.get(), ROUGH)  # where nothing says that it is outside
    assert "probably" in said.said("en") and f"{look(ROUGH).flatness:.2f}" in said.said("en")


def test_other_models_are_not_said_to_be_of_drawings(tmp_path):
    import clipmini

    tiny = clipmini.load(tiny_checkpoint(tmp_path / "emoji"))  # called as the embedded one, and another
    assert not cautions.of_drawings(tiny) and cautions.warnings_for(tiny, ROUGH) == []


def test_how_many_everyday_words_fit_better_is_counted(emoji):
    embedder, picture = emoji.get(), str(samples_folder() / "rocket.png")
    everyday = build_classifier(embedder, EVERYDAY_WORDS, "plain")
    prediction = classify(embedder, [picture], "tomato")
    near = everyday[(everyday @ embedder.embed_texts(["tomato"])[0]) < 0.7]
    expected = int((near @ embedder.embed_images([picture])[0] > prediction.cosines[0, 0]).sum())
    found = cautions.warnings_for(embedder, picture, prediction, everyday)[-1]
    assert found.values["better"] == expected >= 18 and found.values["count"] == len(near)


def test_the_sentence_and_the_size_are_true(tmp_path):
    import clipmini

    folder = tiny_checkpoint(tmp_path / "tiny")
    embedder = clipmini.load(folder, packed=True)
    assert style.sentence_key(embedder) == "sentence"
    size = (folder / "model.safetensors").stat().st_size
    assert file_bytes(embedder.source) == size and f"{size / 1e6:.1f} MB" in style.model_line("en", embedder, "")
    embedder.meta["layout"] = "hugging face"
    assert style.sentence_key(embedder) == "sentence_published"
    (folder / "shards.index.json").write_text('{"weight_map": {"a": "model.safetensors", "b": "model.safetensors"}}')
    assert file_bytes(folder, "shards.index.json") == size and file_bytes(None) == 0
