"""The tab that looks inside: where in the picture each phrase is, and how much each of its words counts."""

from functools import partial

import gradio as gr

from clipmini.image import open_image
from demo_app.page import LIMITS, Page, friendly_errors, gpu, picture_input, plotted, samples_folder, two_columns
from demo_app.shelf import AUTOMATIC, OWN
from demo_app.texts import say

SCENE, THINGS = "scene.png", "dog face, pizza, rocket, guitar"  # shown first: four things in one picture
OWN_CHOICE = ""  # the method's name for "whatever is best for this model"
METHODS = ("windows", "surgery", "value", "relevance", "gradcam", "occlusion", "patches")


def look_inside(page: Page, picture: str | None, phrases: str, method: str, choice: str, lang: str,
                progress: bool = True) -> tuple:
    """Maps of one picture -> (figure of the maps, figure of the segments, rows of phrase, word, fall of the cosine)."""
    from clipmini.plots import heatmaps, segments  # matplotlib: only who opens this tab waits for it
    from clipmini.tasks.heatmap.methods import heatmap, word_relevance

    with friendly_errors(lang):
        if not picture:
            raise ValueError(say(lang, "no_picture"))
        picked = page.shelf.pick(choice, picture)
        embedder = picked.embedder
        image = open_image(picture)
        found = heatmap(embedder, image, phrases, method or None, progress=progress, everyday=picked.model.everyday())
        words = [[phrase, word, f"{fall:+.3f}"] for phrase in found.phrases if len(phrase.split()) > 1
                 for word, fall in word_relevance(embedder, image, phrase)]
        return heatmaps(found, f"{embedder.name}: {found.method}"), segments(found, embedder.name), words


def build(page: Page) -> None:
    """Draw the tab and connect it."""
    (*inputs, button), outputs = two_columns(page, "inside", _inputs, _outputs)

    @gpu
    def find_phrases(picture: str | None, phrases: str, method: str, model: str, request: gr.Request,
                     progress=gr.Progress(track_tqdm=True)):  # noqa: B008 (gradio's way)
        """Where in the picture is each phrase (separated by commas, at most 30)? method: "" for the best, or windows,
        surgery, value, relevance, gradcam, occlusion, patches. Two figures, and for phrases of several words how far
        the cosine falls without each."""
        tongue = page.language(request)
        with friendly_errors(tongue):
            maps, areas, words = look_inside(page, picture, phrases, method, model, tongue)
            return plotted(maps), plotted(areas), words

    button.click(find_phrases, inputs, outputs, api_name="find_phrases", **LIMITS)


def _inputs(page: Page) -> tuple[gr.Image, gr.Textbox, gr.Dropdown, gr.Dropdown, gr.Button]:
    """Picture, phrases, method, model, and the button."""
    word, scene = page.word, samples_folder() / SCENE
    own = OWN if OWN in page.shelf.choices else AUTOMATIC  # a scene on a soft background looks like a photo
    return (
        picture_input(word("picture"), "inside-picture", str(scene) if scene.is_file() else None),
        gr.Textbox(THINGS, label=word("phrases"), info=word("phrases_info"), lines=2, max_lines=6,
                   elem_id="inside-phrases"),
        gr.Dropdown([(word("best_method"), OWN_CHOICE), *METHODS], value=OWN_CHOICE, label=word("method"),
                    info=word("method_info"), elem_id="inside-method", filterable=False),
        gr.Dropdown(page.shelf.labels(partial(say, page.lang or "en")), value=own, label=word("which_model"),
                    filterable=False, elem_id="inside-model"),
        gr.Button(word("find"), variant="primary", elem_id="inside-go"))


def _outputs(page: Page) -> list:
    """The figure of the maps, that of the segments, the table of the words."""
    word, lang = page.word, page.lang or "en"
    return [gr.Plot(label=word("maps"), show_label=False, elem_id="inside-maps"),
            gr.Plot(label=word("areas"), show_label=False, elem_id="inside-areas"),
            gr.Dataframe(headers=[say(lang, "phrase"), say(lang, "word"), say(lang, "fall")], interactive=False,
                         label=word("words"), elem_id="inside-words", max_height=300, wrap=True)]
