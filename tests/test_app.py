"""The app without a browser: its answers and messages, as a client program gets them, and that it goes on serving."""

import inspect
import json
import sys
import time
from pathlib import Path
from string import Formatter
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from helpers_app import bomb, encoded, running, tiny_checkpoint, tiny_embedder, two_colours

gr = pytest.importorskip("gradio", reason="the app's tests need gradio: pip install 'clipmini[app,test]'")
gradio_client = pytest.importorskip("gradio_client")

from clipmini.image import ImageError  # noqa: E402
from clipmini.tasks.classify import classify, make_classifier  # noqa: E402
from clipmini.tasks.prompts import MESSAGES, TEMPLATES, PromptError  # noqa: E402
from demo_app import app, shelf, style, tabs, texts, views  # noqa: E402
from demo_app.page import Asked, Page, friendly_errors, read_samples, samples_folder  # noqa: E402
from demo_app.tabs import prompts as prompts_tab  # noqa: E402
from demo_app.tabs import saw as saw_tab  # noqa: E402
from demo_app.tabs import zero_shot  # noqa: E402


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tiny_checkpoint(tmp_path_factory.mktemp("app") / "tiny")
    with running(folder) as url:
        yield gradio_client.Client(url, verbose=False, download_files=False)


def ask(client, data: bytes | Image.Image, tmp_path, labels="red circle, cat, dog", templates="{}", none=False,
        scale=20.0, name="picture.png"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else encoded(data))
    return client.predict(gradio_client.handle_file(str(path)), labels, templates, none, "automatic", scale,
                          api_name="/classify")


def asked(picture, words="red circle, cat, dog", templates="{}", none=False, embedder=None, lang="en") -> Asked:
    """What a view is asked with, without a page."""
    made = embedder or tiny_embedder()
    model = SimpleNamespace(name="tiny", get=lambda: made, everyday=lambda templates: None,
                            classifier=lambda *what: make_classifier(made, *what))
    return Asked(picture, words, templates, none, shelf.Picked(model, ""), lang)


def refused(client, words, tmp_path, *args, **options) -> str:
    """The call fails with these words, without a path of this computer, and the app still serves."""
    with pytest.raises(gradio_client.exceptions.AppError, match=words) as error:
        ask(client, *args, tmp_path, **options)
    assert "/" not in str(error.value).replace("://", "")
    assert len(ask(client, two_colours(), tmp_path)["labels"]) == 3
    return str(error.value)


def test_the_answer_is_the_models_own(client, tmp_path):
    templates = "{}\na drawing of a {}"
    data = ask(client, two_colours(), tmp_path, templates=templates)
    strips, saw, prompts, shown = zero_shot.shown(asked(str(tmp_path / "picture.png"), templates=templates))
    assert shown["labels"][0]["cosine"] == pytest.approx(data["labels"][0]["cosine"], abs=1e-6)
    expected = classify(tiny_embedder(), [two_colours()], "red circle, cat, dog", ["{}", "a drawing of a {}"],
                        logit_scale=20.0)
    for i, row in enumerate(data["labels"]):
        assert row["label"] == expected.labels[i] and row["prompts"] == list(expected.prompts[i])
        assert row["probability"] == pytest.approx(expected.probabilities[0, i].item(), abs=1e-5)
        assert row["cosine"] == pytest.approx(expected.cosines[0, i].item(), abs=1e-5)
        assert row["logit"] == pytest.approx(20 * row["cosine"], abs=1e-4)
        assert json.loads(strips)["labels"][i] == [row["label"], pytest.approx(row["cosine"], abs=1e-5)]
    assert sum(row["probability"] for row in data["labels"]) == pytest.approx(1, abs=1e-5)
    assert data["none_of_these"] is None and data["logit_scale"] == 20.0
    assert {"picture", "texts", "total"} == set(data["milliseconds"])
    assert "a drawing of a red circle" in prompts and saw


def test_none_of_these_and_notes(client, tmp_path):
    data = ask(client, two_colours(), tmp_path, labels="cat, Cat, 猫", none=True)
    strips = json.loads(zero_shot.shown(asked(str(tmp_path / "picture.png"), "cat, Cat, 猫", none=True))[0])
    total = sum(row["probability"] for row in data["labels"]) + data["none_of_these"]
    assert total == pytest.approx(1, abs=1e-5) and strips["none"]
    assert "merged 1 repeated" in data["notes"][0] and "猫" in data["notes"][1] and data["notes"] == strips["notes"]
    assert "one label always gets" in ask(client, two_colours(), tmp_path, labels="cat")["notes"][0]


EXIF = Image.Exif()
EXIF[274] = 6
FRAMES = [Image.new("RGB", (9, 9), c) for c in ("red", "blue")]


@pytest.mark.parametrize("data, same_as", [
    (encoded(Image.new("CMYK", (30, 30), (0, 255, 255, 0)), "JPEG"), None),
    (encoded(Image.fromarray(np.full((20, 20), 257 * 90, np.uint16))), Image.new("RGB", (20, 20), (90, 90, 90))),
    (encoded(two_colours().quantize(4)), two_colours()),
    (encoded(Image.new("P", (9, 9), 0), transparency=0), Image.new("RGB", (9, 9), "white")),
    (encoded(Image.new("RGBA", (9, 9), (255, 0, 0, 0))), Image.new("RGB", (9, 9), "white")),
    (encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), Image.new("RGB", (9, 9), "red")),
    (encoded(two_colours(), "PNG", exif=EXIF), two_colours().transpose(Image.Transpose.ROTATE_270)),
    (encoded(Image.new("RGB", (1, 1), "red")), Image.new("RGB", (9, 9), "red")),
    (encoded(two_colours(), "PNG", exif=b"b'Exif as text'"), two_colours()),
], ids=["cmyk", "16-bit", "palette", "palette+transparency", "alpha", "animated", "exif", "1x1", "broken exif"])
def test_unusual_pictures_work(client, tmp_path, data, same_as):
    got = ask(client, data, tmp_path)
    assert len(got["labels"]) == 3
    if same_as is not None:
        expected = ask(client, same_as, tmp_path)
        assert [r["cosine"] for r in got["labels"]] == pytest.approx([r["cosine"] for r in expected["labels"]],
                                                                     abs=2e-3)


@pytest.mark.parametrize("data, words, name", [
    (encoded(Image.effect_noise((99, 99), 90))[:2000], "cut short", "picture.png"),
    (encoded(Image.new("RGB", (1, 5000))), "1 x 5000, more than 20 times as long as wide", "picture.png"),
    (bomb(20_000), "far too large .*limit is 40,000,000 pixels", "picture.png"),
    (bomb(7_000), "7000 x 7000 = 49,000,000 pixels; the limit is 40,000,000", "picture.png"),
    (b"no picture at all", "not a picture that can be read here", "picture.png"),
    (b"<html><script>alert(1)</script></html>", "not a picture that can be read here", "picture.png"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture that can be read here", "picture.svg"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture that can be read here", "picture.png"),
    (b"", "not a picture that can be read here", "picture.png"),
    (encoded(two_colours(), "TIFF"), "use JPEG, PNG, WEBP, GIF, BMP", "picture.tiff"),
], ids=["truncated", "1x5000", "bomb", "small bomb", "text", "html", "svg", "svg.png", "empty", "tiff"])
def test_unusable_pictures_are_refused(client, tmp_path, data, words, name):
    start = time.perf_counter()
    refused(client, words, tmp_path, data, name=name)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("options, words", [
    ({"labels": ""}, "there are no labels"),
    ({"labels": " , ,\n"}, "there are no labels"),
    ({"labels": "\n".join(map(str, range(10_000)))}, "10,000 labels; the limit is 1,000"),
    ({"labels": "x" * 301}, "301 characters; the limit is 300"),
    ({"labels": "cat, " + "zx " * 60}, "the label 'zx zx.* tokens; the context is 96 tokens"),
    ({"templates": "a photo"}, "'a photo' is not usable: it has 0 times {}"),
    ({"templates": "{}\n{} {}"}, "'{} {}' is not usable: it has 2 times {}"),
    ({"templates": "{0.__class__}"}, "'{0.__class__}' is not usable"),
    ({"templates": "{} {0.__class__}"}, "other braces"),
    ({"templates": ""}, "there are no templates"),
    ({"scale": 1e6}, ".*"),
], ids=lambda v: str(v)[:40])
def test_unusable_texts_are_refused(client, tmp_path, options, words):
    words = words.replace("{", r"\{").replace("}", r"\}")
    message = refused(client, words, tmp_path, two_colours(), **options)
    assert "Traceback" not in message


def test_no_picture(client, tmp_path):
    with pytest.raises(gradio_client.exceptions.AppError, match="There is no picture yet"):
        client.predict(None, "cat, dog", "{}", False, "automatic", 20.0, api_name="/classify")


def test_what_users_write_is_escaped(client, tmp_path):
    attack = "<img src=x onerror=alert(1)>"
    (tmp_path / "p.png").write_bytes(encoded(two_colours()))
    prompts = zero_shot.shown(asked(str(tmp_path / "p.png"), f"{attack}, \"quoted' <b>", "{} <script>"))[2]
    assert "<img" not in prompts and "<script" not in prompts and "<b>" not in prompts and "&lt;script&gt;" in prompts
    message = refused(client, "not usable", tmp_path, two_colours(), templates=attack)
    assert "<img" not in message


def test_a_thousand_labels_are_summed_up_on_the_page(tmp_path):
    (tmp_path / "p.png").write_bytes(encoded(two_colours()))
    strips, _, prompts, data = zero_shot.shown(asked(str(tmp_path / "p.png"), "\n".join(f"label {i}" for i in range(1000))))
    assert len(data["labels"]) == len(json.loads(strips)["labels"]) == 1000 and "970 more labels" in prompts


def test_only_the_documented_endpoints_are_public(client):
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(named) == ["/classify", "/find_phrases", "/cut_out", "/search_map", "/map_pictures", "/search_pictures",
                           "/compare_templates", "/similarity_matrix", "/what_it_saw", "/compare_models"]
    assert all("picture" in endpoint["description"] for endpoint in named.values())
    for endpoint in named.values():  # names, not "value_8"; each is typed and has a default or must be given
        assert all(value["label"].isidentifier() for value in endpoint["returns"])
        assert all(value["parameter_name"].isidentifier() for value in endpoint["parameters"])


def test_a_blank_picture_gets_a_note(client, tmp_path):
    data = ask(client, Image.new("RGBA", (20, 20), (255, 255, 255, 0)), tmp_path)
    assert any("the picture is blank" in note for note in data["notes"])
    assert json.loads(zero_shot.shown(asked(str(tmp_path / "picture.png")))[0])["notes"] == data["notes"]


def test_both_languages_say_the_same_things():
    assert set(texts.TEXTS["en"]) == set(texts.TEXTS["zh"]) and set(texts.MESSAGES_ZH) == set(MESSAGES)
    fields = {"count": 3, "limit": 2, "label": "猫", "labels": "猫", "prompt": "p", "template": "t", "reason": "r",
              "type": "int", "share": 0.5}
    for kind in MESSAGES:
        assert "{" not in texts.MESSAGES_ZH[kind].format(**fields).replace("{}", ""), kind


def placeholders(text: str) -> set:
    """What is filled in; "" for the {} that stands for a label's place."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_both_languages_fill_in_the_same_things():
    for key, text in texts.TEXTS["en"].items():
        assert placeholders(text) == placeholders(texts.TEXTS["zh"][key]), key
    for kind, text in texts.MESSAGES_ZH.items():
        assert placeholders(text) == placeholders(MESSAGES[kind]) - {"reason"}, kind  # reasons are in English only


@pytest.fixture
def toy(monkeypatch):
    """A tab as one more file with its own words, and its name in the table: nothing else is touched."""
    def build(page):
        with views.view(page, "toy"):
            text = gr.HTML(label=page.word("toy_text"))
        views.answers(page, "toy", lambda asked: asked.words[::-1], [], [text])
        views.endpoint(page, "toy", "toy", lambda words: words[::-1], [page.bench.words],
                       {"backwards": gr.Textbox})

    module = ModuleType("demo_app.tabs.toy")
    module.build = build
    module.WORDS = {"en": {"tab_toy": "Toy", "toy_text": "Words"}, "zh": {"tab_toy": "玩具", "toy_text": "词"}}
    before = {lang: dict(words) for lang, words in texts.TEXTS.items()}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(tabs, "TABLE", (*tabs.TABLE, "toy"))
    yield module
    for lang, words in before.items():
        texts.TEXTS[lang].clear()
        texts.TEXTS[lang].update(words)


def test_a_tab_is_one_file_and_one_name_in_the_table(toy, tmp_path):
    tabs.add_words("toy")  # as the table does when it is imported
    folder = tiny_checkpoint(tmp_path / "tiny")
    keys = [f"tab_{name}" for name in tabs.TABLE]
    for lang in texts.LANGUAGES:
        blocks = app.build_demo(str(folder), lang).blocks.values()
        drawn = [block.label for block in blocks if isinstance(block, gr.Tab)]
        assert drawn == [texts.TEXTS[lang][key] for key in keys] and drawn[-1] in ("Toy", "玩具")
    with running(folder) as url:  # in the browser's language
        client = gradio_client.Client(url, verbose=False)
        assert client.predict("abc", api_name="/toy") == "cba"
        assert client.config["i18n_translations"]["zh-CN"]["tab_toy"] == "玩具"
        assert '"view-toy"' in json.dumps(client.config)


def test_the_server_can_look_at_the_parameters_of_all_that_it_calls(tmp_path):
    functions = app.build_demo(str(tiny_checkpoint(tmp_path / "tiny")), "en").fns.values()
    for called in [function.fn for function in functions if function.fn]:
        inspect.signature(called)  # a ValueError here is an error in the browser: `partial(str, ...)` has none


def test_words_of_a_tab_that_clash_or_lack_a_language_are_refused(toy):
    before = {lang: dict(words) for lang, words in texts.TEXTS.items()}
    toy.WORDS["zh"]["picture"] = "别的"
    with pytest.raises(ValueError, match="'toy' have keys that the texts have already: picture; choose others"):
        tabs.add_words("toy")
    toy.WORDS = {"en": {"tab_toy": "Toy"}}
    with pytest.raises(ValueError, match="'toy' are in .'en'.; write them in en and zh"):
        tabs.add_words("toy")
    assert texts.TEXTS == before  # neither is half done


@pytest.mark.parametrize("header, lang", [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-US,en;q=0.9", "en"),
                                          ("fr,zh-TW;q=0.5", "zh"), ("de", "en"), ("", "en"), (";;,,", "en")])
def test_language_follows_the_browser(header, lang):
    assert texts.language_of(SimpleNamespace(headers={"accept-language": header})) == lang
    assert texts.language_of(None) == "en"


def test_errors_in_chinese():
    assert texts.say_error("zh", PromptError("no_labels")) == texts.MESSAGES_ZH["no_labels"]
    said = texts.say_error("zh", ImageError("'a.png' is 1 x 5000"))
    assert "4,000 万像素" in said and "'a.png' is 1 x 5000" in said
    with pytest.raises(gr.Error, match="还没有标签"), friendly_errors("zh"):
        classify(tiny_embedder(), [two_colours()], "")


def test_samples(tmp_path):
    assert read_samples(tmp_path / "missing") == []
    encoded_ = encoded(two_colours())
    (tmp_path / "a.png").write_bytes(encoded_)
    entries = [{"file": "a.png", "labels": ["cat", "dog"], "title": "A"}, {"file": "gone.png", "labels": ["x"]},
               {"file": "../a.png", "labels": "cat, dog"}]
    (tmp_path / "samples.json").write_text(json.dumps(entries))
    found = read_samples(tmp_path)
    assert [f["labels"] for f in found] == ["cat, dog"] * 2 and {f["path"] for f in found} == {str(tmp_path / "a.png")}
    (tmp_path / "samples.json").write_text("{ damaged")
    assert read_samples(tmp_path) == []


def test_a_model_that_cannot_be_loaded_is_told(tmp_path, capsys):
    demo = app.build_demo(str(tmp_path / "nowhere"))  # the page is still built
    assert isinstance(demo, gr.Blocks)
    embedder, problem = shelf.Model(str(tmp_path / "nowhere")).try_get()
    assert embedder is None and "nowhere" in problem
    assert "could not be loaded" in style.model_line("en", embedder, problem)
    assert app.main(["--model", str(tmp_path / "nowhere"), "--no-browser"]) == 2
    assert "could not be loaded" in capsys.readouterr().err


def test_a_model_that_is_repaired_is_loaded_the_next_time(tmp_path):
    model = shelf.Model(str(tmp_path / "tiny"))
    assert model.try_get()[0] is None
    tiny_checkpoint(tmp_path / "tiny")
    embedder = model.get()
    assert model.get() is embedder and torch.is_tensor(embedder.embed_texts(["cat"]))
    assert "random weights" in style.model_line("en", embedder, "")
    assert "随机权重" in style.model_line("zh", embedder, "")


def test_gradio_leaves_nothing_beside_the_source():
    assert not list(Path(app.__file__).parent.rglob("*.pyi"))


def test_the_app_object_and_its_settings():
    assert isinstance(app.demo, gr.Blocks)
    settings = app.launch_kwargs()
    assert settings["run_history"] is False and settings["strict_cors"] is True and settings["max_file_size"] == "20mb"
    assert "googleapis" not in str(settings["theme"]._get_theme_css()) and "http" not in settings["css"]


def test_templates_follow_the_model_unless_changed():
    own, other = tiny_embedder(0), tiny_embedder(1)
    other.meta["templates"] = "photo"
    given = {"automatic": own, "other": other}
    page = Page(None, SimpleNamespace(try_get=lambda: (own, "")), SimpleNamespace(
        pick=lambda choice, picture: shelf.Picked(SimpleNamespace(get=lambda: given[choice]), "")), "en", str, None)
    first = "\n".join(TEMPLATES["emoji"])
    for choice, templates, expected in (("automatic", first, first), ("other", first, "a photo of a {}."),
                                        ("other", "{}", "{}")):
        found = page.asked("p.png", "cat", templates, False, choice, "en")
        assert found.templates == expected and found.embedder is given[choice]


def test_the_prompts_view_compares_templates(tmp_path):
    path = tmp_path / "p.png"
    two_colours().save(path)
    found, labels = prompts_tab.compare(asked(str(path), "red, blue, red"), "{}\na {}")
    assert labels == ("red", "blue") and found.templates == ("{}", "a {}") and len(found.probabilities) == 4
    html = prompts_tab.table(asked(str(path), "red, <b>"), "{}\na {}")
    assert html.count("<tr>") == 5 and html.count(" %</td>") == 8 and html.count("cm-best") == 4 and "<b>" not in html
    assert f">{100 * found.probabilities[0, 0]:.1f} %" in prompts_tab.table(asked(str(path), "red, blue"), "{}")
    for picture, labels, templates in ((None, "red", "{}"), (str(path), "", "{}"), (str(path), "red", "no place"),
                                       (str(path), ", ".join(map(str, range(40))), "{}")):
        with pytest.raises(ValueError):
            prompts_tab.table(asked(picture, labels, lang="zh"), templates)


def test_the_prompts_example_shows_that_the_prompt_decides():
    import clipmini

    picture = str(samples_folder() / prompts_tab.EXAMPLE)
    found, labels = prompts_tab.compare(asked(picture, prompts_tab.WORDS_OF_IT, embedder=clipmini.load("emoji")),
                                        "\n".join(prompts_tab.FIRST))
    shares = found.probabilities[:4]
    assert len({labels[row.argmax()] for row in shares}) == 2 and (shares.amax(0) - shares.amin(0)).max() > 0.5


@pytest.mark.parametrize("number", ["99999", "-1", "0", "many"])
def test_a_port_that_is_none(number, capsys):
    with pytest.raises(SystemExit):
        app.main(["--port", number])
    assert f"'{number}' is no port; give a number from 1 to 65535" in capsys.readouterr().err


@pytest.fixture(scope="module")
def model(make_clip, tokenizer):
    from clipmini.embedder import Embedder

    return Embedder(make_clip("light-cbow", seed=4), tokenizer)


@pytest.mark.parametrize("size, kept", [((200, 100), (50, 0, 150, 100)), ((80, 200), (0, 60, 80, 140)),
                                        ((90, 90), (0, 0, 90, 90))])
def test_what_is_cut_away_is_dark(model, size, kept):
    shown = np.asarray(saw_tab.kept_part(model, Image.new("RGB", size, (200, 200, 200)))).astype(int)
    x0, y0, x1, y1 = kept
    assert (shown[y0 + 3:y1 - 3, x0 + 3:x1 - 3] == 200).all()
    outside = np.ones(shown.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    assert (shown[outside] < 100).all()


def test_the_token_meter_counts_and_tells_what_is_cut(model):
    limit = model.tokenizer.context_length
    short = saw_tab.token_meter("en", model, "red <b>cat</b>")
    ids = model.tokenizer.token_lists(["red <b>cat</b>"])[0]
    assert f"{len(ids)} of {limit} tokens" in short and "<b>cat</b>" not in short.replace("<span><b>cat</b>", "")
    assert all(f"</b>{i}</span>" in short for i in ids)
    assert "too many" not in short
    assert "too many: the rest is cut away" in saw_tab.token_meter("en", model, "cat " * 200)


def test_phrases_are_drawn_as_typed_and_drawing_is_inside_the_error_handler(client, tmp_path, monkeypatch):
    from clipmini import plots

    (tmp_path / "p.png").write_bytes(encoded(two_colours()))
    picture = gradio_client.handle_file(str(tmp_path / "p.png"))
    typed = r"$5 and $6, a $\foo$ rocket, $$, {, \, _drafts"
    maps, areas, *_ = client.predict(picture, typed, shelf.AUTOMATIC, "occlusion", api_name="/find_phrases")
    assert maps["plot"].startswith("data:image/") and areas["type"] == "matplotlib"
    figure, table = client.predict([picture], typed, shelf.AUTOMATIC, "cosines",
                                    api_name="/similarity_matrix")
    assert figure and table

    def fails(*args, **options):
        raise ValueError("no such <glyph>")
    monkeypatch.setattr(plots.Figure, "savefig", fails)
    for api, rest in (("/find_phrases", (picture, "cat", shelf.AUTOMATIC, "occlusion")),
                      ("/similarity_matrix", ([picture], "cat", shelf.AUTOMATIC, "cosines"))):
        with pytest.raises(gradio_client.exceptions.AppError, match="no such &lt;glyph&gt;"):
            client.predict(*rest, api_name=api)


def test_figures_are_in_the_visitors_language_and_on_the_pages_ground(model):
    from clipmini.plots import heatmaps, matrix, segments
    from clipmini.tasks.heatmap.methods import heatmap
    from clipmini.tasks.similarity import similarity
    from demo_app.figures import GROUND, fitted, our_words

    found = heatmap(model, two_colours(), "the picture, there, cosine", "windows")
    made = fitted(heatmaps(found, "tiny: windows"), "zh", True)
    titles = [ax.get_title() for ax in made.axes if ax.get_title()]
    assert titles[0] == "原图" and [title.split("\n")[0] for title in titles[1:]] == ["the picture", "there", "cosine"]
    assert all("有" in title.split("\n")[1] for title in titles[1:])
    assert made.get_facecolor()[:3] == pytest.approx([int(GROUND[i:i + 2], 16) / 255 for i in (1, 3, 5)])
    assert fitted(segments(found, "tiny"), "zh", False).legends[0].get_texts()[-1].get_text() == "都不是"
    compared = similarity(model, [two_colours()] * 2, "red, pictures", ["a", "b"])
    for kind in ("cosine", "over texts", "over pictures"):
        drawn = fitted(matrix(compared, [two_colours()] * 2, kind), "zh", False)
        words = "".join(text.get_text() for text in our_words(drawn)).replace("softmax", "")
        assert not any(c.isascii() and c.isalpha() for c in words), words
        assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == ["red", "pictures"]  # as typed
