"""The first view: which of the words fits the picture?"""

import time
from functools import partial

import gradio as gr
from PIL import Image

from clipmini.image import open_image
from clipmini.tasks.classify import Classifier, Prediction, classify
from demo_app import arithmetic, cautions, style
from demo_app.page import MOST_SCALE, PRIVATE, Asked, Kept, Page, friendly_errors
from demo_app.saving import Offer, Saved
from demo_app.texts import Told, say, say_message
from demo_app.views import answers, endpoint, view

SAW_SIDE = 256  # pixels on the page


def answer(asked: Asked, scale: float | None = None) -> tuple[Prediction, float, dict[str, float], Image.Image]:
    """Classify the picture -> (prediction, scale, milliseconds, what the model saw). scale: None: its own."""
    start = time.perf_counter()
    opened, embedder = open_image(asked.need_picture()), asked.embedder
    scale = embedder.logit_scale if scale is None else scale
    read = time.perf_counter() - start
    made = _classifier(asked)
    texts = time.perf_counter() - start - read
    prediction = classify(embedder, [opened], made, logit_scale=scale)
    saw = embedder.see(opened)
    times = {"picture": 1000 * (read + prediction.seconds["pictures"]), "texts": 1000 * texts,
             "total": 1000 * (time.perf_counter() - start)}
    return prediction, scale, times, saw


def _classifier(asked: Asked) -> Classifier:
    """What the words make; the model holds the last ones."""
    return asked.model.model.classifier(asked.words, asked.templates, asked.none_of_these)


def doubts(asked: Asked, prediction: Prediction) -> list[str]:
    """What makes the answer doubtful, in words."""
    return [caution.said(asked.lang) for caution in _cautions(asked, prediction)]


def _cautions(asked: Asked, prediction: Prediction) -> list[cautions.Caution]:
    return cautions.for_answer(asked.model.model, asked.need_picture(), asked.templates, prediction)


def as_data(prediction: Prediction, scale: float, times: dict[str, float], lang: str) -> dict:
    """The numbers of one picture for programs."""
    columns = zip(prediction.labels, prediction.probabilities[0].tolist(), prediction.cosines[0].tolist(),
                  prediction.logits[0].tolist(), prediction.prompts, strict=True)
    return {"labels": [{"label": label, "probability": p, "cosine": c, "logit": x, "prompts": list(prompts)}
                       for label, p, c, x, prompts in columns],
            "by_itself": None if prediction.alone is None else prediction.alone[0].tolist(),
            "none_of_these": None if prediction.none is None else prediction.none[0].item(),
            "outside": None if prediction.outside is None else prediction.outside[0].item(),
            "new_words": None if prediction.new_words is None else [list(words) for words in prediction.new_words],
            "logit_scale": scale, "notes": [say_message(lang, note) for note in prediction.notes],
            "milliseconds": {name: round(value, 1) for name, value in times.items()}}


def shown(asked: Asked, scale: float = 0) -> tuple[str, Image.Image, str, dict]:
    """The arithmetic's JSON, what the model saw, HTML of the prompts, the numbers. scale: 0 for the model's own."""
    prediction, scale, times, saw = answer(asked, scale or None)
    found = _cautions(asked, prediction)
    strips = arithmetic.value(asked.embedder, _classifier(asked), prediction, asked.lang, scale,
                              asked.model.model.everyday(asked.templates), times=times,
                              cautions=[caution.said(asked.lang) for caution in found],
                              none_fits=any(caution.key == "caution_none_fits" for caution in found))
    return (strips, enlarged(saw, SAW_SIDE),
            style.prompt_list(asked.lang, prediction), as_data(prediction, scale, times, asked.lang))


def saved(asked: Asked, scale: float = 0) -> Saved:
    """The four strips as one figure, and a row for each label."""
    prediction, used, times, _ = answer(asked, scale or None)
    everyday = arithmetic.background(_classifier(asked), prediction, asked.model.model.everyday(asked.templates))
    data, columns = as_data(prediction, used, times, asked.lang), ("label", "cosine", "logit", "probability")
    rows = [[row[column] for column in columns] for row in data["labels"]]
    if prediction.none is not None:
        rows.append([say(asked.lang, "none"), None, None, data["none_of_these"]])

    def figures() -> list:
        from clipmini.plots import arithmetic as strips

        return [strips(prediction, used, [cosine for _, cosine, _ in everyday], f"{asked.embedder.name}: "
                       "From cosines to probabilities", say(asked.lang, "none"))]
    return Saved(figures, columns, rows)


def rescaled(said: dict) -> float:
    """The scale that a visitor set with the slider; 0 for the model's own. Raises Told for what no slider sends."""
    scale, own = said.get("scale"), said.get("own")
    if not isinstance(scale, (int, float)) or not 0 < scale <= MOST_SCALE:
        raise Told("link_scale", limit=MOST_SCALE)
    return 0 if scale == own else round(scale, 4)


def build(page: Page) -> None:
    """Draw the view and connect it."""
    with view(page, "zero_shot"):
        outputs = _outputs(page)
        set_scale = gr.Number(0, visible="hidden", minimum=0, maximum=MOST_SCALE, elem_id="set-scale")
    page.kept["scale"] = Kept(set_scale)

    def rescale(event: gr.EventData, request: gr.Request) -> float:
        with friendly_errors(page.language(request)):
            return rescaled(event._data)

    def classify_picture(picture: str | None, labels: str, templates: str, none_of_these: bool, model: str,
                         scale: float, request: gr.Request) -> dict:
        """Which of the labels fits the picture?

        Args:
            picture: the picture.
            labels: separated by commas or new lines.
            templates: sentences around a label, {} is its place, separated by new lines.
            none_of_these: whether everyday words compete with the labels.
            model: "automatic", or a name on the shelf.
            scale: what cosines are multiplied with before the softmax; 0 for the model's own.

        Returns:
            Which model answered and why, and for each label its probability, cosine, logit and prompts.
        """
        lang = page.language(request)
        with friendly_errors(lang):
            asked = page.asked(picture, labels, templates, none_of_these, model, lang)
            prediction, used, times, _ = answer(asked, scale or None)
            said = {"why": asked.model.said(lang), "cautions": doubts(asked, prediction)}
        return {"model": asked.embedder.name} | said | as_data(prediction, used, times, lang)

    # Each one is sent, and they are answered in their order: "always_last" would send the first event's number again.
    outputs[0].rescale(rescale, None, set_scale, trigger_mode="multiple", concurrency_limit=1, concurrency_id="scale",
                       **PRIVATE)
    answers(page, "zero_shot", shown, [], outputs, given=[set_scale], doubt=False)
    page.saved["zero_shot"] = Offer(saved, [set_scale])
    scale = partial(gr.Number, 0, label="scale", minimum=0, maximum=MOST_SCALE, visible=False)
    endpoint(page, "zero_shot", "classify", classify_picture, [*page.bench.asked, scale], {"answer": gr.JSON})


def enlarged(image: Image.Image, side: int) -> Image.Image:
    """A picture of few pixels, each of them to be seen."""
    times = max(1, side // image.width)
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _outputs(page: Page) -> list:
    """The strips, what the model saw, prompts, numbers."""
    word = page.word
    bars = arithmetic.component(word, page.lang or "en")
    with gr.Accordion(word("prompts"), open=False):
        prompts = gr.HTML(elem_id="prompts")
    with gr.Accordion(word("saw"), open=False):
        saw = gr.Image(label=word("saw"), alt_text=word("saw"), format="png", interactive=False, height=SAW_SIDE,
                       buttons=[], elem_classes="cm-saw", elem_id="saw", show_label=False)
    with gr.Accordion(word("data"), open=False):
        data = gr.JSON(show_label=False, elem_id="data")
    return [bars, saw, prompts, data]
