"""The first tab: a picture, labels, bars."""

import time
from functools import partial
from html import escape
from typing import NamedTuple

import gradio as gr
from PIL import Image

from clipmini.embedder import Embedder
from clipmini.families import hub_download as hub
from clipmini.files import CheckpointError
from clipmini.image import open_image
from clipmini.tasks.classify import Prediction, classify
from clipmini.tasks.prompts import TEMPLATES
from demo_app import style
from demo_app.page import (
    LIMITS,
    PRIVATE,
    Page,
    first_templates,
    friendly_errors,
    gpu,
    picture_input,
    read_samples,
    samples_folder,
)
from demo_app.shelf import AUTOMATIC, state
from demo_app.texts import say, say_message

MAX_SCALE = 100.0
SHOW_ANSWER = "() => document.getElementById('answer').scrollIntoView({block: 'nearest', behavior: 'smooth'})"  # phones
SAW_SIDE = 256  # pixels on the page


def fitting(page: Page, embedder: Embedder, templates: str, scale: float) -> tuple[str, float]:
    """Templates and scale for the model that answers: what was left as the page's own model wants it follows it."""
    own, _ = page.model.try_get()
    if own is not None and embedder is not own:
        if templates.split("\n") == list(TEMPLATES[first_templates(own)]):
            templates = "\n".join(TEMPLATES[first_templates(embedder)])
        if scale == round(own.logit_scale, 1):
            scale = embedder.logit_scale
    return templates, scale


def answer(page: Page, picture: str | None, labels: str, templates: str, none_of_these: bool, scale: float, choice: str,
           lang: str) -> tuple[str, Image.Image, str, dict]:
    """Classify one picture -> (HTML of the bars, what the model saw, HTML of the prompts, the numbers as a dict)."""
    start = time.perf_counter()
    with friendly_errors(lang):
        if not picture:
            raise ValueError(say(lang, "no_picture"))
        opened = open_image(picture)
        picked = page.shelf.pick(choice, picture)
        embedder = picked.embedder
        templates, scale = fitting(page, embedder, templates, scale)
        read = time.perf_counter() - start
        made = picked.model.classifier(labels, templates, none_of_these)
        texts = time.perf_counter() - start - read
        prediction = classify(embedder, [opened], made, logit_scale=scale)
        saw = embedder.see(opened)
    times = {"picture": 1000 * (read + prediction.seconds["pictures"]), "texts": 1000 * texts,
             "total": 1000 * (time.perf_counter() - start)}
    side = saw.width * max(1, SAW_SIDE // saw.width)
    why = say(lang, picked.why, name=embedder.name) if picked.why else ""
    return (style.bars(lang, prediction, scale, times, why), saw.resize((side, side), Image.Resampling.NEAREST),
            style.prompt_list(lang, prediction),
            {"model": embedder.name, "why": why} | as_data(prediction, scale, times, lang))


def as_data(prediction: Prediction, scale: float, times: dict[str, float], lang: str) -> dict:
    """The numbers of one picture for programs."""
    columns = zip(prediction.labels, prediction.probabilities[0].tolist(), prediction.cosines[0].tolist(),
                  prediction.logits[0].tolist(), prediction.prompts, strict=True)
    return {"labels": [{"label": label, "probability": p, "cosine": c, "logit": x, "prompts": list(prompts)}
                       for label, p, c, x, prompts in columns],
            "by_itself": None if prediction.alone is None else prediction.alone[0].tolist(),
            "none_of_these": None if prediction.none is None else prediction.none[0].item(),
            "logit_scale": scale, "notes": [say_message(lang, note) for note in prediction.notes],
            "milliseconds": {name: round(value, 1) for name, value in times.items()}}


def load_choice(page: Page, name: str, before: str, lang: str) -> tuple[str, str]:
    """Load the model that was chosen -> (name of the model that will answer, what to tell the visitor).

    When it cannot be loaded the one before goes on answering.
    """
    if "/" not in name:
        return name, ""
    if (found := state(name)) == "offline":
        return before, say(lang, "not_here", name=name, before=before)
    if found == "download" and not hub.reachable():
        return before, say(lang, "no_connection", name=name, before=before)
    try:
        page.shelf.published(name).get()
    except CheckpointError as error:
        return before, say(lang, "not_loaded", name=name, before=before, why=escape(str(error), quote=False))
    return name, say(lang, "loaded", name=name)


class Inputs(NamedTuple):
    """What a visitor sets. serving: the last choice of a model that could be loaded; loaded: what is said about it."""

    picture: gr.Image
    gallery: gr.Gallery
    labels: gr.Textbox
    none_of_these: gr.Checkbox
    choice: gr.Dropdown
    serving: gr.State
    loaded: gr.Markdown
    button: gr.Button
    chosen: gr.Dropdown
    templates: gr.Textbox
    scale: gr.Slider


def build(page: Page) -> None:
    """Draw the tab and connect it."""
    samples = read_samples(samples_folder())
    with gr.Tab(page.word("tab_zeroshot"), id="zeroshot"):
        with gr.Row(equal_height=False, elem_classes="cm-columns"):
            with gr.Column(scale=5, min_width=300):
                inputs = _inputs(page, samples)
            with gr.Column(scale=6, min_width=300):
                outputs = _outputs(page)
    _connect(page, inputs, outputs, samples)


def _inputs(page: Page, samples: list[dict]) -> Inputs:
    """The left column."""
    word, lang = page.word, page.lang or "en"
    picture = picture_input(word("picture"))
    gr.Markdown(word("examples"), visible=bool(samples), elem_classes="cm-small")
    gallery = gr.Gallery([(s["path"], s["title"]) for s in samples], show_label=False, columns=6, height="auto",
                         container=False, allow_preview=False, interactive=False, visible=bool(samples),
                         elem_id="examples", buttons=[], object_fit="contain", fit_columns=False)
    labels = gr.Textbox(label=word("labels"), info=word("labels_info"), lines=2, max_lines=8, elem_id="labels",
                        placeholder=word("labels_placeholder"))
    none_of_these = gr.Checkbox(False, label=word("none_of_these"), info=word("none_info"))
    choice = gr.Dropdown(page.shelf.labels(partial(say, lang)), value=AUTOMATIC, label=word("which_model"),
                         info=word("which_model_info"), elem_id="which-model", filterable=False)
    serving = gr.State(AUTOMATIC)
    loaded = gr.Markdown(visible=False, elem_id="loaded")
    button = gr.Button(word("go"), variant="primary", elem_id="go")
    return Inputs(picture, gallery, labels, none_of_these, choice, serving, loaded, button, *_settings(page))


def _settings(page: Page) -> tuple[gr.Dropdown, gr.Textbox, gr.Slider]:
    """The folded part of the left column: template set, templates, scale."""
    word = page.word
    embedder, _ = page.model.try_get()
    first_set = first_templates(embedder)
    own_scale = round(embedder.logit_scale, 1) if embedder else 20.0
    with gr.Accordion(word("settings"), open=False):
        return (gr.Dropdown(list(TEMPLATES), value=first_set, label=word("template_set")),
                gr.Textbox("\n".join(TEMPLATES[first_set]), label=word("templates"), lines=3, max_lines=10,
                           info=word("templates_info"), elem_id="templates"),
                gr.Slider(0, max(MAX_SCALE, own_scale), value=own_scale, step=0.1, label=word("scale"),
                          info=word("scale_info")))


def _outputs(page: Page) -> list:
    """The right column: bars, what the model saw, prompts, numbers."""
    word = page.word
    bars = gr.HTML(style.waiting(page.lang or "en"), elem_id="answer")
    with gr.Accordion(word("prompts"), open=False):
        prompts = gr.HTML(elem_id="prompts")
    with gr.Accordion(word("saw"), open=False):
        saw = gr.Image(label=word("saw"), format="png", interactive=False, height=SAW_SIDE, buttons=[],
                       elem_classes="cm-saw", elem_id="saw", show_label=False)
    with gr.Accordion(word("data"), open=False):
        data = gr.JSON(show_label=False, elem_id="data")
    return [bars, saw, prompts, data]


def _connect(page: Page, inputs: Inputs, outputs: list, samples: list[dict]) -> None:
    """Greet a visitor, answer at the button, and answer again whenever something is changed."""
    asked = [inputs.picture, inputs.labels, inputs.templates, inputs.none_of_these, inputs.scale, inputs.choice]

    @gpu
    def classify_picture(picture: str | None, labels: str, templates: str, none_of_these: bool, scale: float,
                         model: str, request: gr.Request):
        """Which of the labels fits the picture? Labels are separated by commas, templates by new lines. The last
        result says which model answered and why, and holds all numbers: for each label its probability, cosine, logit
        and prompts."""
        return answer(page, picture, labels, templates, none_of_these, scale, model, page.language(request))

    @gpu
    def classify_again(picture, labels, templates, none_of_these, scale, model, request: gr.Request):
        if not picture or not labels.strip():
            return [gr.skip()] * len(outputs)
        return answer(page, picture, labels, templates, none_of_these, scale, model, page.language(request))

    def show_sample(event: gr.SelectData):
        sample = samples[event.index]
        return sample["path"], sample["labels"]

    def greet(request: gr.Request):
        """A visitor's own language, and what stands on the shelf now: another visitor may have fetched a model."""
        tongue = page.language(request)
        return style.waiting(tongue), gr.update(choices=page.shelf.labels(partial(say, tongue)))

    again = {"fn": classify_again, "inputs": asked, "outputs": outputs, **PRIVATE, **LIMITS}
    page.demo.load(greet, None, [outputs[0], inputs.choice], **PRIVATE)
    inputs.button.click(classify_picture, asked, outputs, api_name="classify", **LIMITS).success(
        None, js=SHOW_ANSWER, **PRIVATE)
    _connect_choice(page, inputs).then(**again)
    gr.on([inputs.labels.submit, inputs.scale.release, inputs.none_of_these.input], **again)
    inputs.chosen.input(lambda name: "\n".join(TEMPLATES[name]), inputs.chosen, inputs.templates, **PRIVATE).then(
        **again)
    inputs.gallery.select(show_sample, None, [inputs.picture, inputs.labels], **PRIVATE).then(**again)


def _connect_choice(page: Page, inputs: Inputs):
    """Load a model when it is chosen; returns the event, after which it answers."""
    def choose_model(name: str, before: str, request: gr.Request,
                     progress=gr.Progress(track_tqdm=True)):  # noqa: B008 (gradio's way)
        tongue = page.language(request)
        progress(0, desc=say(tongue, "loading", name=name))
        name, note = load_choice(page, name, before, tongue)
        return name, name, gr.update(value=note, visible=bool(note))

    return inputs.choice.input(choose_model, [inputs.choice, inputs.serving],
                               [inputs.choice, inputs.serving, inputs.loaded], **PRIVATE, **LIMITS)
