"""The view that looks inside: is each phrase there, where in the picture, and how much does each of its words count?"""

from dataclasses import replace
from html import escape
from typing import Any, NamedTuple

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from clipmini.image import open_image
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.heatmap import PRESENT, Heatmap, heatmap, presence_at_least, word_relevance
from clipmini.tasks.heatmap.presence import AVERAGE, MEASURED_WITH
from demo_app.page import SLOW, Asked, Kept, Page, friendly_errors
from demo_app.saving import Offer, Saved
from demo_app.texts import say
from demo_app.views import answers, endpoint, view

OWN_CHOICE = ""  # the method's name for "whatever is best for this model"
PLACES = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
METHODS = ("windows", "surgery", "value", "relevance", "gradcam", "occlusion", "patches")


class Inside(NamedTuple):
    """maps, segments: figures; scores: of each phrase what scores_of says; words: rows of phrase, word, fall of the
    cosine; method: the one that was used."""

    maps: Any  # not its class: matplotlib is imported when the view is opened
    segments: Any
    scores: list[dict]
    words: list[list[str]]
    method: str


def look_inside(asked: Asked, method: str, progress: bool = True, narrow: bool = False) -> Inside:
    """What the model finds of each phrase in the picture. narrow: the maps are for a phone. Raises HeatmapError,
    ImageError, PromptError."""
    from clipmini.plots import heatmaps, segments  # matplotlib: only who opens this view waits for it

    embedder, image = asked.embedder, open_image(asked.need_picture())
    found = heatmap(embedder, image, asked.words, method or None, progress=progress,
                    everyday=asked.model.model.everyday())
    words = [[phrase, word, f"{fall:+.3f}"] for phrase in found.phrases if len(phrase.split()) > 1
             for word, fall in word_relevance(embedder, image, phrase)]
    maps = heatmaps(found, f"{embedder.name}: {found.method}", across=2 if narrow else 4)
    scores = scores_of(asked, image, found)
    return Inside(maps, segments(painted(found, scores), embedder.name), scores, words, found.method)


def painted(found: Heatmap, scores: list[dict]) -> Heatmap:
    """The maps that areas are painted from: not those of phrases that are no nearer than the mean of everyday words,
    where the method has no score of its own."""
    if found.scores is not None:
        return found
    some = torch.tensor([score["at_least"] >= AVERAGE for score in scores])
    return replace(found, maps=found.maps * some[:, None, None])


def place(map_: Tensor) -> int:
    """Where a map (h, w) is strongest, by thirds: 0 to 8, row by row from the top left."""
    height, width = map_.shape
    y, x = divmod(int(map_.argmax()), width)
    return 3 * (3 * y // height) + 3 * x // width


def scores_of(asked: Asked, image: Image.Image, found: Heatmap) -> list[dict]:
    """Of each phrase its cosine with the whole picture, its presence or what that is at least, whether it is there, and
    its place: None where that is not known, or where a map is the same everywhere."""
    whole, texts = asked.embedder.embed_images([image]), build_classifier(asked.embedder, found.phrases, "plain")
    least = presence_at_least(texts, asked.model.model.everyday(), whole)
    exact = [None] * len(texts) if found.scores is None else found.scores.tolist()
    return [{"phrase": phrase, "cosine": cosine, "presence": score, "at_least": floor,
             "there": True if floor >= PRESENT else None if score is None else there,
             "place": PLACES[place(map_)] if map_.max() > map_.min() else None}
            for phrase, cosine, score, floor, there, map_ in zip(
                found.phrases, (texts @ whole[0]).tolist(), exact, least.tolist(), found.present, found.maps,
                strict=True)]


def score_table(asked: Asked, found: Inside) -> str:
    """The scores as a table, and what they mean for this model, as HTML."""
    def said(key: str, **values) -> str:
        return escape(say(asked.lang, f"inside_{key}", **values))

    places = dict(zip(PLACES, say(asked.lang, "inside_places").split(", "), strict=True))

    def verdict(score: dict) -> str:
        key = {True: "there", False: "not_there", None: "not_known"}[score["there"]]
        if key == "not_there" or not score["place"]:
            return said(key)
        return escape(say(asked.lang, "inside_and_place", verdict=say(asked.lang, f"inside_{key}"),
                          place=places[score["place"]]))

    rows = "".join(
        f'<tr><th scope="row">{escape(s["phrase"])}</th><td>{s["cosine"]:+.3f}</td>'
        f"<td>{'≥ ' if s['presence'] is None else ''}{s['at_least' if s['presence'] is None else 'presence']:+.1f}</td>"
        f"<td>{verdict(s)}</td></tr>" for s in found.scores)
    head = "".join(f'<th scope="col">{said(key)}</th>' for key in ("phrase", "cosine", "presence", "verdict"))
    notes = [said("presence_about", limit=PRESENT)]
    if any(s["presence"] is None for s in found.scores):
        notes.append(said("why_no_score", method=found.method))
    if asked.model.model.name in MEASURED_WITH:
        notes.append(said("presence_missed"))
    else:
        notes.append(said("not_measured", model=asked.embedder.name, limit=PRESENT, known=", ".join(MEASURED_WITH)))
    return (f'<div class="cm-wide" tabindex="0" role="region" aria-label="{said("scores")}">'
            '<table class="cm-shades cm-scores">'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
            f'<details class="cm-small"><summary>{said("meaning")}</summary>'
            f'{("" if asked.lang == "zh" else " ").join(notes)}</details>')


def saved(asked: Asked, method: str) -> Saved:
    """Both figures, and a row for each phrase."""
    found = look_inside(asked, method)
    return Saved(lambda: [found.maps, found.segments], ("phrase", "cosine", "presence", "at least", "there", "place"),
                 [tuple(score.values()) for score in found.scores])


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

        found = look_inside(asked, method, narrow="narrow" in theme)
        heads = [say(asked.lang, key) for key in ("phrase", "word", "fall")]
        maps, areas = (plotted(figure, asked.lang, "dark" in theme) for figure in (found.maps, found.segments))
        some = any(score["there"] is not False for score in found.scores)  # else there is nothing to paint
        words = gr.update(value={"headers": heads, "data": found.words}, visible=bool(found.words))
        return score_table(asked, found), maps, gr.update(value=areas, visible=some), words

    def find_phrases(picture: str | None, phrases: str, model: str, method: str, request: gr.Request):
        """Where in the picture is each phrase?

        Args:
            picture: the picture.
            phrases: at most 30, separated by commas or new lines.
            model: "automatic", or a name on the shelf.
            method: "" for the best one, or windows, surgery, value, relevance, gradcam, occlusion, patches.

        Returns:
            Two figures; for each phrase its cosine with the picture, its presence (standard deviations above everyday
            words; by methods other than windows only what it is at least), whether it is there (null: not known),
            and where it is strongest; and for phrases of several words how far the cosine falls without each of them.
        """
        from demo_app.figures import plotted

        lang = page.language(request)
        with friendly_errors(lang):
            asked = page.asked(picture, phrases, "{}", False, model, lang)
            found = look_inside(asked, method)
            words = [dict(zip(("phrase", "word", "fall"), w, strict=True)) for w in found.words]
            scores = {"model": asked.embedder.name, "method": found.method, "limit": PRESENT, "phrases": found.scores}
            return plotted(found.maps), plotted(found.segments), words, scores

    page.kept["method"] = Kept(method)
    page.saved["inside"] = Offer(saved, [method])
    answers(page, "inside", shown, [method], outputs, SLOW, given=[page.bench.theme], doubt=False)
    endpoint(page, "inside", "find_phrases", find_phrases,
             [page.bench.picture, page.bench.words, page.bench.choice, method],
             {"maps": gr.Plot, "areas": gr.Plot, "words": gr.JSON, "scores": gr.JSON}, SLOW)


def _outputs(page: Page) -> list:
    """The table of the phrases, the figure of the maps, that of the segments, the table of the words."""
    word, lang = page.word, page.lang or "en"
    return [gr.HTML(elem_id="inside-scores"),
            gr.Plot(label=word("maps"), show_label=False, elem_id="inside-maps"),
            gr.Plot(label=word("areas"), show_label=False, elem_id="inside-areas"),
            gr.Dataframe(headers=[say(lang, "phrase"), say(lang, "word"), say(lang, "fall")], interactive=False,
                         label=word("words"), elem_id="inside-words", max_height=300, wrap=True)]
