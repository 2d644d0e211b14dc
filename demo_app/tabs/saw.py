"""The tab of what the model really gets: the pixels, the tokens, and experiments that show what it does not get."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import gradio as gr
from PIL import Image, ImageDraw, ImageFont

from clipmini.embedder import Embedder
from clipmini.image import open_image
from clipmini.tasks.classify import classify
from demo_app import style
from demo_app.page import (
    LIMITS,
    PRIVATE,
    Page,
    first_templates,
    friendly_errors,
    gpu,
    picture_input,
    samples_folder,
)
from demo_app.texts import say

SHOWN_SIDE = 288  # pixels
LETTERS = 2000  # of a text that is shown in pieces


def kept_part(embedder: Embedder, image: Image.Image) -> Image.Image:
    """The picture as it came, with what is cut away before the model sees it darkened."""
    framed = embedder.model.frame(image).copy()
    framed.thumbnail((2 * SHOWN_SIDE, 2 * SHOWN_SIDE))
    if embedder.config.vision.resize_mode == "squash":
        return framed
    side = min(framed.size)
    left, top = (framed.width - side) // 2, (framed.height - side) // 2
    dark = Image.blend(framed, Image.new("RGB", framed.size, "black"), 0.65)
    dark.paste(framed.crop((left, top, left + side, top + side)), (left, top))
    ImageDraw.Draw(dark).rectangle((left, top, left + side - 1, top + side - 1), outline="#d55e00", width=2)
    return dark


def token_meter(lang: str, embedder: Embedder, text: str) -> str:
    """The pieces of a text with their ids, and how much of the context they fill, as HTML."""
    tokenizer = embedder.tokenizer
    ids = tokenizer.token_lists([text], truncate=True)[0]
    wanted, limit = len(tokenizer.encode(text)) + 2, tokenizer.context_length
    space = "\u2423"
    chips = "".join(f"<span><b>{escape(piece.strip() or space)}</b>{i}</span>"
                    for piece, i in zip(tokenizer.pieces(ids), ids, strict=True))
    over = f" <strong>{escape(say(lang, 'tokens_cut', n=wanted - limit))}</strong>" if wanted > limit else ""
    used = escape(say(lang, "tokens_used", n=min(wanted, limit), limit=limit))
    return (f'<section class="cm-card"><p>{used}{over}</p>'
            f'<meter min="0" max="{limit}" value="{min(wanted, limit)}" high="{0.9 * limit:.0f}" aria-label="tokens">'
            "</meter>"
            f'<p class="cm-tokens">{chips}</p></section>')


@dataclass(frozen=True)
class Experiment:
    """draw: () -> the picture; labels: what to choose from; key: of the sentence in texts.TEXTS on what to expect."""

    key: str
    draw: Callable[[], Image.Image]
    labels: tuple[str, ...]


def _sample(name: str, side: int = 200) -> Image.Image:
    """One of the example pictures."""
    return open_image(samples_folder() / name).resize((side, side), Image.Resampling.LANCZOS)


def _side_by_side(*names: str) -> Image.Image:
    """Several of them in a row."""
    sheet = Image.new("RGB", (200 * len(names), 200), "white")
    for k, name in enumerate(names):
        sheet.paste(_sample(name), (200 * k, 0))
    return sheet


def _labelled(name: str, words: str) -> Image.Image:
    """One of them with a sign on it."""
    picture = _sample(name)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=44)
    pen.rectangle((16, 124, 184, 180), fill="white", outline="black", width=2)
    pen.text((100, 151), words, fill="black", font=font, anchor="mm")
    return picture


EXPERIMENTS = (
    Experiment("try_typographic", lambda: _labelled("guitar.png", "pizza"), ("guitar", "pizza")),
    Experiment("try_negation", lambda: _sample("dog_face.png"), ("a dog", "not a dog", "no dog")),
    Experiment("try_counting", lambda: _side_by_side(*["pizza.png"] * 3), ("one pizza", "two pizzas", "three pizzas")),
    Experiment("try_order", lambda: _sample("dog_face.png"), ("dog bites man", "man bites dog")),
    Experiment("try_sides", lambda: _side_by_side("rocket.png", "guitar.png"),
               ("a rocket left of a guitar", "a guitar left of a rocket")),
)


def see(page: Page, picture: str | None, text: str, lang: str) -> tuple:
    """(the picture with what is cut away, what the model sees, HTML of the tokens)"""
    with friendly_errors(lang):
        embedder = page.model.get()
        if len(text) > LETTERS:
            raise ValueError(say(lang, "long_for_pieces", n=len(text), limit=LETTERS))
        tokens = token_meter(lang, embedder, text)
        if not picture:
            return None, None, tokens
        image = open_image(picture)
        saw = embedder.see(image)
        side = saw.width * max(1, SHOWN_SIDE // saw.width)
        return kept_part(embedder, image), saw.resize((side, side), Image.Resampling.NEAREST), tokens


def experiment(page: Page, number: int, lang: str) -> tuple:
    """(the picture, HTML of the answer with a sentence on what to look for)"""
    chosen = EXPERIMENTS[number]
    with friendly_errors(lang):
        embedder, picture = page.model.get(), chosen.draw()
        found = classify(embedder, [picture], list(chosen.labels), "plain" if number else first_templates(embedder))
    times = {"picture": 1000 * found.seconds["pictures"], "texts": 1000 * found.seconds["texts"],
             "total": 1000 * sum(found.seconds.values())}
    return picture, style.bars(lang, found, embedder.logit_scale, times, say(lang, chosen.key))


def build(page: Page) -> None:
    """Draw the tab and connect it."""
    with gr.Tab(page.word("tab_saw"), id="saw-tab"):
        gr.Markdown(page.word("saw_about"))
        with gr.Row(equal_height=False, elem_classes="cm-columns"):
            with gr.Column(min_width=280):
                picture, text, button = _inputs(page)
            with gr.Column(min_width=280):
                outputs = _outputs(page)
        buttons, answer = _experiments(page)

    @gpu
    def what_it_saw(picture: str | None, text: str, request: gr.Request):
        """The picture with what is cut away, the pixels that the model gets, and the pieces of a text with their
        ids."""
        return see(page, picture, text, page.language(request))

    button.click(what_it_saw, [picture, text], outputs, api_name="what_it_saw", **LIMITS)
    for number, pressed in enumerate(buttons):
        def run(request: gr.Request, number=number):
            return experiment(page, number, page.language(request))

        pressed.click(run, None, answer, **PRIVATE, **LIMITS)


def _inputs(page: Page) -> tuple[gr.Image, gr.Textbox, gr.Button]:
    """Picture, text, and the button."""
    word, scene = page.word, samples_folder() / "scene.png"
    return (picture_input(word("picture"), "saw-picture", str(scene) if scene.is_file() else None),
            gr.Textbox("a drawing of a dog and a rocket", label=word("any_text"), lines=2, max_lines=6,
                       elem_id="saw-text"),
            gr.Button(word("show"), variant="primary", elem_id="saw-go"))


def _outputs(page: Page) -> list:
    """What is kept of the picture, the model's pixels, the tokens."""
    return [gr.Image(label=page.word("saw_kept"), interactive=False, format="png", buttons=[], elem_id="saw-kept",
                     height=280),
            gr.Image(label=page.word("saw"), interactive=False, format="png", buttons=[], elem_id="saw-pixels",
                     height=300),
            gr.HTML(elem_id="saw-tokens")]


def _experiments(page: Page) -> tuple[list[gr.Button], list]:
    """A button for each experiment, and where its answer appears: a picture and a text."""
    gr.Markdown(page.word("experiments"))
    with gr.Row():
        buttons = [gr.Button(page.word(e.key + "_name"), elem_id=e.key.replace("_", "-")) for e in EXPERIMENTS]
    with gr.Row(equal_height=False, elem_classes="cm-columns"):
        shown = gr.Image(label=page.word("picture"), interactive=False, format="png", buttons=[], elem_id="try-picture",
                         height=240)
        said = gr.HTML(elem_id="try-answer")
    return buttons, [shown, said]
