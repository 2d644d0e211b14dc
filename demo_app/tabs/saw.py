"""The tab of what the model really gets: the pixels and the tokens."""

from html import escape

import gradio as gr
from PIL import Image, ImageDraw

from clipmini.embedder import Embedder
from clipmini.image import open_image
from demo_app.page import LIMITS, Page, friendly_errors, gpu, picture_input, samples_folder
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


def build(page: Page) -> None:
    """Draw the tab and connect it."""
    with gr.Tab(page.word("tab_saw"), id="saw-tab"):
        gr.Markdown(page.word("saw_about"))
        with gr.Row(equal_height=False, elem_classes="cm-columns"):
            with gr.Column(min_width=280):
                picture, text, button = _inputs(page)
            with gr.Column(min_width=280):
                outputs = _outputs(page)

    @gpu
    def what_it_saw(picture: str | None, text: str, request: gr.Request):
        """The picture with what is cut away, the pixels that the model gets, and the pieces of a text with their
        ids."""
        return see(page, picture, text, page.language(request))

    button.click(what_it_saw, [picture, text], outputs, api_name="what_it_saw", **LIMITS)


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
