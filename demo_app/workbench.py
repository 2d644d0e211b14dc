"""The workbench: the one picture, the one list of words and the one model that all views answer with."""

import json
from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any, NamedTuple

import gradio as gr

from clipmini.files import CheckpointError
from clipmini.tasks.prompts import TEMPLATES
from demo_app.page import (
    LONGEST_IN_ADDRESS,
    PRIVATE,
    SLOW,
    Bench,
    Page,
    first_templates,
    picture_input,
    read_samples,
    samples_folder,
    set_templates,
)
from demo_app.published import BY_NAME
from demo_app.shelf import AUTOMATIC, Model, Shelf, not_ready
from demo_app.texts import say, say_error


class Drawn(NamedTuple):
    """The workbench's parts that no view asks for. example: the file of the example that is shown, or nothing; serving:
    the last choice of a model that could be loaded; loaded: what is said about it; template_set: a name."""

    gallery: gr.Gallery
    example: gr.Textbox
    serving: gr.State
    loaded: gr.Markdown
    template_set: gr.Dropdown
    copy: gr.Button


def draw(word: Callable[[str], str], lang: str, model: Model, shelf: Shelf) -> tuple[Bench, Drawn]:
    """The column with what a visitor brings, and below it, on a phone below the views, what few change."""
    with gr.Column(elem_id="bench-main"):
        picture, gallery, words, example = _brought(word)
    with gr.Column(elem_id="bench-more"):
        choice = gr.Dropdown(shelf.labels(partial(say, lang)), value=AUTOMATIC, label=word("which_model"),
                             elem_id="which-model", filterable=False)
        loaded = gr.Markdown(visible=False, elem_id="loaded")
        none_of_these, template_set, templates = _settings(word, first_templates(model.try_get()[0]))
        copy = gr.Button(word("copy_link"), size="sm", elem_id="copy-link")
    theme = gr.Textbox("", visible="hidden", elem_id="theme")
    return (Bench(picture, words, templates, none_of_these, choice, theme),
            Drawn(gallery, example, gr.State(AUTOMATIC), loaded, template_set, copy))


def _brought(word: Callable[[str], str]) -> tuple[gr.Image, gr.Gallery, gr.Textbox, gr.Textbox]:
    """Picture, examples, words, and the name of the example."""
    samples = read_samples(samples_folder())
    first = samples[0] if samples else {"path": None, "labels": ""}
    return (
        picture_input(word("picture"), value=first["path"], height=260),
        gr.Gallery([(s["path"], s["title"]) for s in samples], label=word("examples"), columns=7, height="auto",
                   container=False, allow_preview=False, interactive=False, visible=bool(samples), buttons=[],
                   elem_id="examples", object_fit="contain", fit_columns=False, show_label=False),
        gr.Textbox(first["labels"], label=word("labels"), info=word("labels_info"), lines=2, max_lines=8,
                   elem_id="labels", placeholder=word("labels_placeholder")),
        gr.Textbox(_file_name(first["path"]), visible="hidden", elem_id="example"))


def _settings(word: Callable[[str], str], first_set: str) -> tuple[gr.Checkbox, gr.Dropdown, gr.Textbox]:
    """The folded part: none of these, template set, templates."""
    with gr.Accordion(word("settings"), open=False, elem_id="settings"):
        return (gr.Checkbox(False, label=word("none_of_these"), info=word("none_info"), elem_id="none-of-these"),
                gr.Dropdown(list(TEMPLATES), value=first_set, label=word("template_set"), elem_id="template-set",
                            filterable=False),
                gr.Textbox("\n".join(TEMPLATES[first_set]), label=word("templates"), lines=3, max_lines=10,
                           info=word("templates_bench"), elem_id="templates"))


def _file_name(path: str | None) -> str:
    """"rocket" of ".../rocket.png"."""
    return "" if not path else path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]


def connect(page: Page, drawn: Drawn, tabs: gr.Tabs):
    """Let the views answer when something on the bench changes, and when they are opened. Returns the event after which
    the bench is as the address says."""
    bench, stamps = page.bench, [view.stamp for view in page.views.values()]
    for name, view in page.views.items():
        view.tab.select(None, stamps, stamps, js=f"(...s) => cm.show('{name}', ...s)", **PRIVATE)
    ask: dict[str, Any] = {"fn": None, "inputs": stamps, "outputs": stamps, "js": "(...s) => cm.ask(...s)", **PRIVATE}
    gr.on([c.change for c in bench.asked], trigger_mode="multiple", **ask)
    _connect_address(page, drawn)
    _connect_examples(page, drawn)
    _connect_choice(page, drawn)
    drawn.template_set.input(set_templates, [drawn.template_set, bench.templates], bench.templates, **PRIVATE)
    kept = [each.component for each in page.kept.values()]
    restored = [bench.picture, *bench.asked[1:], drawn.example, drawn.serving, drawn.loaded, tabs, drawn.template_set,
                *kept]

    def arrive(request: gr.Request):
        return restore(page, request)

    sets = json.dumps({name: "\n".join(templates) for name, templates in TEMPLATES.items()})
    arrived = page.demo.load(arrive, None, restored, **PRIVATE)
    arrived.then(
        None, None, bench.theme, js="() => cm.look()", **PRIVATE).then(
        None, stamps, stamps, js=f"(...s) => {{ cm.begin({list(page.views)!r}, {sets}, {LONGEST_IN_ADDRESS}); "
        "return cm.ask(...s) }", **PRIVATE)
    return arrived


def _connect_address(page: Page, drawn: Drawn) -> None:
    """What a visitor sets stands in the address, and the button copies it."""
    bench = page.bench
    shared = {"words": bench.words, "templates": bench.templates, "none": bench.none_of_these, "model": bench.choice,
              "example": drawn.example} | {name: kept.component for name, kept in page.kept.items()}
    first = {name: component.value for name, component in shared.items() if name not in ("words", "example")}
    gr.on([c.change for c in shared.values()], None, list(shared.values()), None, trigger_mode="multiple",
          js=f"(...v) => cm.remember({json.dumps(list(shared))}, {json.dumps(first)}, ...v)", **PRIVATE)
    texts = [component for component in shared.values() if isinstance(component, gr.Textbox)]

    def copied(request: gr.Request, example: str, *values) -> None:
        lang = page.language(request)
        lost = [] if example else [say(lang, "link_own_picture")]
        lost += [say(lang, "link_long_text", n=len(text), limit=LONGEST_IN_ADDRESS) for text in values
                 if len(text or "") > LONGEST_IN_ADDRESS and text.split("\n") not in map(list, TEMPLATES.values())]
        gr.Info(" ".join([say(lang, "copied"), *lost]), duration=8 if lost else 3)

    drawn.copy.click(copied, [drawn.example, *texts], None, js="(...v) => { cm.copy(); return v; }", **PRIVATE)


def _connect_examples(page: Page, drawn: Drawn) -> None:
    """An example brings its words along; another picture is no example."""
    samples = read_samples(samples_folder())

    def show_sample(event: gr.SelectData):
        sample = samples[event.index]
        return sample["path"], sample["labels"], _file_name(sample["path"])

    drawn.gallery.select(show_sample, None, [page.bench.picture, page.bench.words, drawn.example], **PRIVATE)
    page.bench.picture.input(None, None, drawn.example, js="() => ''", **PRIVATE)


def _connect_choice(page: Page, drawn: Drawn) -> None:
    """Load a model when it is chosen; when it cannot be loaded, the one before goes on answering."""
    def choose_model(name: str, before: str, request: gr.Request,
                     progress=gr.Progress(track_tqdm=True)):  # noqa: B008 (gradio's way)
        lang = page.language(request)
        progress(0, desc=say(lang, "loading", name=name))
        name, note = load_choice(page.shelf, name, before, lang)
        return name, name, gr.update(value=note, visible=bool(note))

    page.bench.choice.input(choose_model, [page.bench.choice, drawn.serving],
                            [page.bench.choice, drawn.serving, drawn.loaded], **PRIVATE, **SLOW)


def load_choice(shelf: Shelf, name: str, before: str, lang: str) -> tuple[str, str]:
    """Load the model that was chosen -> (name of the model that will answer, what to tell the visitor)."""
    if name not in BY_NAME:
        return name, ""
    if problem := not_ready(name):
        return before, escape(say_error(lang, problem), quote=False)
    try:
        shelf.published(name).get()
    except CheckpointError as error:
        why = escape(say_error(lang, error), quote=False)
        return before, say(lang, "not_loaded", name=name, before=before, why=why)
    return name, say(lang, "loaded", name=name)


def restore(page: Page, request: gr.Request) -> list:
    """What stands in the address, as values of the bench; what it does not say, or says wrongly, stays as it is."""
    query, lang = dict(request.query_params), page.language(request)
    samples = read_samples(samples_folder())
    sample = next((s for s in samples if _file_name(s["path"]) == query.get("example")), None)
    # Always a path: an update, gr.skip() too, makes Gradio build the component anew, without picture_input's guard.
    picture = (sample or samples[0])["path"] if samples else None
    choice, note = AUTOMATIC, ""
    if query.get("model") in page.shelf.choices:
        choice, note = load_choice(page.shelf, query["model"], AUTOMATIC, lang)
    choices = page.shelf.labels(partial(say, lang))
    words = query.get("words") or (sample["labels"] if sample else None)
    view, chosen = query.get("view"), query.get("set")
    templates = "\n".join(TEMPLATES[chosen]) if chosen in TEMPLATES else query.get("templates")
    own = None if query.get("templates") else gr.skip()  # templates of one's own are of no set
    kept = [gr.skip() if (value := each.read(query.get(name))) is None else value for name, each in page.kept.items()]
    return [picture, words if words else gr.skip(), templates if templates else gr.skip(), query.get("none") == "1",
            gr.update(choices=choices, value=choice), _file_name(picture), choice,
            gr.update(value=note, visible=bool(note)),
            gr.Tabs(selected=view) if view in page.views else gr.skip(), chosen if chosen in TEMPLATES else own, *kept]


