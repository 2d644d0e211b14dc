"""The view of what the model really gets: pixels of one size, and the numbers of word pieces."""

from functools import partial
from html import escape

import gradio as gr
from PIL import Image, ImageDraw

from clipmini.embedder import Embedder
from clipmini.image import open_image
from clipmini.tasks.prompts import clean_labels, clean_templates, fill
from demo_app.page import Asked, Page, friendly_errors
from demo_app.saving import Offer, Saved
from demo_app.tabs.zero_shot import enlarged
from demo_app.texts import say
from demo_app.views import answers, endpoint, view

SHOWN_SIDE = 288  # pixels
LETTERS = 2000  # of a text that is shown in pieces
MOST_TEXTS = 8  # whose pieces are shown


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


def pieces_of(embedder: Embedder, text: str) -> list[tuple[str, int]]:
    """The pieces of a text as the model reads it, with their ids."""
    ids = embedder.tokenizer.token_lists([text], truncate=True)[0]
    return list(zip(embedder.tokenizer.pieces(ids), ids, strict=True))


def first_prompts(asked: Asked) -> list[str]:
    """The first prompt of each word, of the first MOST_TEXTS words."""
    template = clean_templates(asked.templates)[0]
    return [fill(template, word) for word in clean_labels(asked.words).labels[:MOST_TEXTS]]


def token_meter(lang: str, embedder: Embedder, text: str) -> str:
    """The pieces of a text with their ids, and how much of the context they fill, as HTML."""
    tokenizer = embedder.tokenizer
    wanted, limit = len(tokenizer.encode(text)) + 2, tokenizer.context_length
    space = "\u2423"
    chips = "".join(f"<span><b>{escape(piece.strip() or space)}</b>{i}</span>"
                    for piece, i in pieces_of(embedder, text))
    over = f" <strong>{escape(say(lang, 'tokens_cut', n=wanted - limit))}</strong>" if wanted > limit else ""
    used = escape(say(lang, "tokens_used", n=min(wanted, limit), limit=limit))
    return (f'<section class="cm-card"><p>{used}{over}</p>'
            f'<meter min="0" max="{limit}" value="{min(wanted, limit)}" high="{0.9 * limit:.0f}" aria-label="tokens">'
            "</meter>"
            f'<p class="cm-tokens">{chips}</p></section>')


def see(asked: Asked) -> tuple:
    """(the picture with what is cut away, what the model sees, HTML of the tokens of each word's first prompt)"""
    embedder = asked.embedder
    tokens = "".join(token_meter(asked.lang, embedder, prompt) for prompt in first_prompts(asked))
    image = open_image(asked.need_picture())
    return kept_part(embedder, image), enlarged(embedder.see(image), SHOWN_SIDE), tokens


def saved(asked: Asked) -> Saved:
    """Both pictures, and the pieces of each word's first prompt with their ids."""
    embedder, image = asked.embedder, open_image(asked.need_picture())
    rows = [(prompt, *piece) for prompt in first_prompts(asked) for piece in pieces_of(embedder, prompt)]

    def figures() -> list:
        from clipmini.plots import side_by_side

        titles = [say(asked.lang, "saw_kept"), say(asked.lang, "saw")]
        return [side_by_side([kept_part(embedder, image), embedder.see(image)], titles, embedder.name)]
    return Saved(figures, ("prompt", "piece", "id"), rows)


def build(page: Page) -> None:
    """Draw the view and connect it."""
    with view(page, "saw"):
        gr.Markdown(page.word("saw_about"), elem_classes="cm-about")
        outputs = _outputs(page)

    def what_it_saw(picture: str | None, text: str, model: str, request: gr.Request):
        """What does the model get of a picture, and of a text?

        Args:
            picture: the picture.
            text: any text of at most 2,000 characters.
            model: "automatic", or a name on the shelf.

        Returns:
            The picture with what is cut away, the pixels that the model gets, the pieces of the text and their ids.
        """
        lang = page.language(request)
        with friendly_errors(lang):
            if len(text) > LETTERS:
                raise ValueError(say(lang, "long_for_pieces", n=len(text), limit=LETTERS))
            asked = page.asked(picture, text, "{}", False, model, lang)
            embedder, image = asked.embedder, open_image(asked.need_picture())
            pieces = [{"piece": piece, "id": i} for piece, i in pieces_of(embedder, text)]
            return kept_part(embedder, image), enlarged(embedder.see(image), SHOWN_SIDE), pieces

    answers(page, "saw", see, [], outputs)
    page.saved["saw"] = Offer(saved)
    pixels = partial(gr.Image, format="png")
    endpoint(page, "saw", "what_it_saw", what_it_saw, [page.bench.picture, page.bench.words, page.bench.choice],
             {"kept": pixels, "pixels": pixels, "tokens": gr.JSON})


def _outputs(page: Page) -> list:
    """What is kept of the picture, the model's pixels, the tokens."""
    def picture(key: str, elem_id: str) -> gr.Image:
        return gr.Image(label=page.word(key), alt_text=page.word(key), interactive=False, format="png", buttons=[],
                        elem_id=elem_id, height=290)
    return [picture("saw_kept", "saw-kept"), picture("saw", "saw-pixels"), gr.HTML(elem_id="saw-tokens")]
