"""The tab of prompts: one picture, the same labels, and what each template makes of them."""

import gradio as gr

from clipmini.image import open_image
from clipmini.tasks.prompts import TEMPLATES, clean_labels
from clipmini.tasks.templates import on_one_picture
from demo_app.page import (
    DEFAULT_SET,
    LIMITS,
    PRIVATE,
    Page,
    friendly_errors,
    gpu,
    picture_input,
    read_samples,
    samples_folder,
    two_columns,
)
from demo_app.texts import say

MOST_LABELS = 12  # columns of the table


def table(page: Page, picture: str | None, labels: str, templates: str, lang: str) -> dict:
    """The gr.Dataframe of one picture: a row for each template, and two for all together."""
    with friendly_errors(lang):
        if not picture:
            raise ValueError(say(lang, "no_picture"))
        cleaned = clean_labels(labels, limit=MOST_LABELS).labels
        found = on_one_picture(page.model.get(), open_image(picture), cleaned, templates)
    names = [*found.templates, say(lang, "all_vectors"), say(lang, "all_probabilities")]
    rows = [[name, cleaned[row.argmax()], *(f"{p:.1%}" for p in row.tolist())]
            for name, row in zip(names, found.probabilities, strict=True)]
    return {"headers": [say(lang, "template"), say(lang, "answer"), *cleaned], "data": rows}


def build(page: Page) -> None:
    """Draw the tab and connect it."""
    (picture, labels, chosen, templates, button), result = two_columns(page, "prompts", _inputs, _output)

    @gpu
    def compare_templates(picture: str | None, labels: str, templates: str, request: gr.Request):
        """What each template makes of one picture: the probability of each label (at most 12), and of all templates
        together."""
        return table(page, picture, labels, templates, page.language(request))

    button.click(compare_templates, [picture, labels, templates], result, api_name="compare_templates", **LIMITS)
    chosen.input(lambda name: "\n".join(TEMPLATES[name]), chosen, templates, **PRIVATE)


def _inputs(page: Page) -> tuple[gr.Image, gr.Textbox, gr.Dropdown, gr.Textbox, gr.Button]:
    """Picture, labels, template set, templates, and the button."""
    word, samples = page.word, read_samples(samples_folder())
    first = samples[0] if samples else {"path": None, "labels": ""}
    return (
        picture_input(word("picture"), "workbench-picture", first["path"]),
        gr.Textbox(first["labels"], label=word("labels"), info=word("labels_info"), lines=2, max_lines=6,
                   elem_id="workbench-labels"),
        gr.Dropdown(list(TEMPLATES), value=DEFAULT_SET, label=word("template_set")),
        gr.Textbox("\n".join(TEMPLATES[DEFAULT_SET]), label=word("templates"), lines=4, max_lines=10,
                   info=word("templates_info"), elem_id="workbench-templates"),
        gr.Button(word("compare"), variant="primary", elem_id="workbench-go"))


def _output(page: Page) -> gr.Dataframe:
    """The table."""
    lang = page.lang or "en"
    return gr.Dataframe(headers=[say(lang, "template"), say(lang, "answer")], interactive=False, wrap=True,
                        show_label=False, elem_id="workbench-table", max_height=640)
