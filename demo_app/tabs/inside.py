"""The view that looks inside: where in the picture each phrase is, and how much each of its words counts."""

import gradio as gr

from clipmini.image import open_image
from demo_app.page import SLOW, Asked, Page, friendly_errors
from demo_app.texts import say
from demo_app.views import answers, endpoint, view

OWN_CHOICE = ""  # the method's name for "whatever is best for this model"
METHODS = ("windows", "surgery", "value", "relevance", "gradcam", "occlusion", "patches")


def look_inside(asked: Asked, method: str, progress: bool = True) -> tuple:
    """Maps of the picture -> (figure of the maps, figure of the segments, rows of phrase, word, fall of the cosine)."""
    from clipmini.plots import heatmaps, segments  # matplotlib: only who opens this view waits for it
    from clipmini.tasks.heatmap.methods import heatmap, word_relevance

    embedder, image = asked.embedder, open_image(asked.need_picture())
    found = heatmap(embedder, image, asked.words, method or None, progress=progress,
                    everyday=asked.model.model.everyday())
    words = [[phrase, word, f"{fall:+.3f}"] for phrase in found.phrases if len(phrase.split()) > 1
             for word, fall in word_relevance(embedder, image, phrase)]
    return heatmaps(found, f"{embedder.name}: {found.method}"), segments(found, embedder.name), words


def build(page: Page) -> None:
    """Draw the view and connect it."""
    word = page.word
    with view(page, "inside"):
        gr.Markdown(word("inside_about"), elem_classes="cm-about")
        outputs = _outputs(page)
        method = gr.Dropdown([(word("best_method"), OWN_CHOICE), *METHODS], value=OWN_CHOICE, label=word("method"),
                             info=word("method_info"), elem_id="inside-method", filterable=False)

    def shown(asked: Asked, method: str, theme: str):
        from demo_app.figures import plotted

        maps, areas, words = look_inside(asked, method)
        heads = [say(asked.lang, key) for key in ("phrase", "word", "fall")]
        drawn = (plotted(figure, asked.lang, theme == "dark") for figure in (maps, areas))
        return *drawn, {"headers": heads, "data": words}

    def find_phrases(picture: str | None, phrases: str, model: str, method: str, request: gr.Request):
        """Where in the picture is each phrase?

        Args:
            picture: the picture.
            phrases: at most 30, separated by commas or new lines.
            model: "automatic", or a name on the shelf.
            method: "" for the best one, or windows, surgery, value, relevance, gradcam, occlusion, patches.

        Returns:
            Two figures, and for phrases of several words how far the cosine falls without each of them.
        """
        from demo_app.figures import plotted

        lang = page.language(request)
        with friendly_errors(lang):
            maps, areas, words = look_inside(page.asked(picture, phrases, "{}", False, model, lang), method)
            return plotted(maps), plotted(areas), [dict(zip(("phrase", "word", "fall"), w, strict=True)) for w in words]

    answers(page, "inside", shown, [method], outputs, SLOW, given=[page.bench.theme])
    endpoint(page, "inside", "find_phrases", find_phrases,
             [page.bench.picture, page.bench.words, page.bench.choice, method],
             {"maps": gr.Plot, "areas": gr.Plot, "words": gr.JSON}, SLOW)


def _outputs(page: Page) -> list:
    """The figure of the maps, that of the segments, the table of the words."""
    word, lang = page.word, page.lang or "en"
    return [gr.Plot(label=word("maps"), show_label=False, elem_id="inside-maps"),
            gr.Plot(label=word("areas"), show_label=False, elem_id="inside-areas"),
            gr.Dataframe(headers=[say(lang, "phrase"), say(lang, "word"), say(lang, "fall")], interactive=False,
                         label=word("words"), elem_id="inside-words", max_height=300, wrap=True)]
