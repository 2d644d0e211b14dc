"""The tab of where such models fail: pictures that show it, and what the chosen model says of each."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import gradio as gr
from gradio.processing_utils import save_pil_to_cache
from PIL import Image, ImageDraw, ImageFont

from clipmini.embedder import Embedder
from clipmini.image import open_image
from clipmini.tasks.classify import Prediction, classify
from demo_app.arithmetic import tied
from demo_app.map.canvas import data_address
from demo_app.page import PRIVATE, Asked, Page, friendly_errors, samples_folder
from demo_app.saving import Offer, Saved
from demo_app.texts import say
from demo_app.views import answers, view

SIDE = 200  # pixels of a drawing


def _sample(name: str, side: int = SIDE) -> Image.Image:
    """One of the example pictures."""
    return open_image(samples_folder() / name).resize((side, side), Image.Resampling.LANCZOS)


def _side_by_side(*names: str) -> Image.Image:
    """Several of them in a row."""
    sheet = Image.new("RGB", (SIDE * len(names), SIDE), "white")
    for k, name in enumerate(names):
        sheet.paste(_sample(name), (SIDE * k, 0))
    return sheet


def _labelled(name: str, words: str) -> Image.Image:
    """One of them with a sign on it."""
    picture = _sample(name)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=44)
    pen.rectangle((16, 124, 184, 180), fill="white", outline="black", width=2)
    pen.text((100, 151), words, fill="black", font=font, anchor="mm")
    return picture


def _far_away(name: str) -> Image.Image:
    """One of them, small in a corner."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    picture.paste(_sample(name, SIDE // 5), (10, 150))
    return picture


@dataclass(frozen=True)
class Experiment:
    """draw: () -> the picture; labels: what to choose from; key: of the texts that name it, describe the picture (_alt)
    and say what to look for; right: the number of the label that is true of it, None where none is, or all are."""

    key: str
    draw: Callable[[], Image.Image]
    labels: tuple[str, ...]
    right: int | None


EXPERIMENTS = (
    Experiment("try_forced", lambda: _sample("dog_face.png"), ("a guitar", "a pizza"), None),
    Experiment("try_small", lambda: _far_away("guitar.png"), ("a guitar", "a pencil", "a spoon"), 0),
    Experiment("try_turned", lambda: _sample("dog_face.png").rotate(180), ("a dog", "a bear", "a skull"), 0),
    Experiment("try_typographic", lambda: _labelled("guitar.png", "pizza"), ("guitar", "pizza"), 0),
    Experiment("try_negation", lambda: _sample("dog_face.png"), ("a dog", "not a dog", "no dog"), 0),
    Experiment("try_counting", lambda: _side_by_side(*["pizza.png"] * 3), ("one pizza", "two pizzas", "three pizzas"),
               2),
    Experiment("try_order", lambda: _sample("dog_face.png"), ("dog bites man", "man bites dog"), None),
    Experiment("try_sides", lambda: _side_by_side("rocket.png", "guitar.png"),
               ("a rocket left of a guitar", "a guitar left of a rocket"), 0),
)
SCRIPT = """element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-card]");
  if (button) trigger("take", { card: Number(button.dataset.card) });
});"""
STYLE = """
.cm-fails { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(250px, 100%), 1fr)); gap: 14px; }
.cm-fail { border: 1px solid var(--border-color-primary); border-radius: 12px; padding: 12px; display: flex;
  flex-direction: column; gap: 8px; background: var(--background-fill-primary); color: var(--body-text-color); }
.cm-fail h2 { margin: 0; font-size: 1.02rem; color: inherit; }
.cm-fail img { width: 100%; height: 130px; object-fit: contain; background: white; border-radius: 8px; margin: 0; }
.cm-fail p { margin: 0; font-size: .87rem; line-height: 1.4; color: inherit; overflow-wrap: anywhere; }
.cm-fail .cm-verdict { font-weight: 650; }
.cm-fail ul { margin: 0; padding: 0; list-style: none; font-size: .87rem; }
.cm-fail li { display: grid; grid-template-columns: minmax(0, 1fr) 70px 4.2em; gap: 8px; align-items: center;
  margin: 3px 0; overflow-wrap: anywhere; }
.cm-fail li > :last-child { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.cm-fail button { margin-top: auto; padding: 6px 10px; border-radius: 8px; font-size: .87rem; color: inherit;
  border: 1px solid currentColor; background: none; cursor: pointer; }
.cm-fail button:focus-visible { outline: 2px solid #6366f1; outline-offset: 2px; }
"""


def verdict(lang: str, experiment: Experiment, found: Prediction) -> str:
    """One sentence: did it fail here?"""
    labels, best = experiment.labels, int(found.probabilities[0].argmax())
    if len(same := tied(found)) > 1:
        return say(lang, "fails_tie", a=same[0], b=same[1])
    if experiment.right is None:
        return say(lang, "fails_none", answer=labels[best])
    return say(lang, "fails_right", answer=labels[best]) if best == experiment.right else \
        say(lang, "fails_wrong", answer=labels[best], right=labels[experiment.right])


def _share(label: str, share: float) -> str:
    """A line of a card."""
    percent = f"{100 * share:.2f}"
    return (f'<li><span>{escape(label)}</span><div class="cm-track" role="meter" aria-label="{escape(label)}" '
            f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}">'
            f'<div class="cm-fill" style="width:{percent}%"></div></div><span>{100 * share:.1f} %</span></li>')


def card(lang: str, number: int, picture: Image.Image, found: Prediction) -> str:
    """One experiment as HTML: the picture, the shares of its labels, whether it failed, what to look for, a button."""
    experiment, file = EXPERIMENTS[number], io.BytesIO()
    picture.save(file, "WEBP", quality=85)
    shares = "".join(map(_share, found.labels, found.probabilities[0].tolist()))
    name = escape(say(lang, f"{experiment.key}_name"))
    return (f'<article class="cm-fail"><h2>{name}</h2><img src="{data_address(file.getvalue())}" '
            f'alt="{escape(say(lang, experiment.key + "_alt"))}"><ul>{shares}</ul>'
            f'<p class="cm-verdict">{escape(verdict(lang, experiment, found))}</p>'
            f"<p>{escape(say(lang, experiment.key))}</p>"
            f'<button type="button" data-card="{number}" aria-label="{escape(say(lang, "fails_try"))}: {name}">'
            f"{escape(say(lang, 'fails_try'))}</button></article>")


def answered(embedder: Embedder) -> list[tuple[Image.Image, Prediction]]:
    """All experiments as a model answers them now. The labels are sent as they stand."""
    pictures = [experiment.draw() for experiment in EXPERIMENTS]
    return [(picture, classify(embedder, [picture], list(experiment.labels)))
            for picture, experiment in zip(pictures, EXPERIMENTS, strict=True)]


def gallery(embedder: Embedder, lang: str) -> str:
    """The same as HTML."""
    cards = [card(lang, number, *found) for number, found in enumerate(answered(embedder))]
    return f'<div class="cm-fails">{"".join(cards)}</div>'


def saved(asked: Asked) -> Saved:
    """All pictures with their bars, and a row for each label."""
    found = answered(asked.embedder)
    pairs = [list(zip(answer.labels, answer.probabilities[0].tolist(), strict=True)) for _, answer in found]

    def figures() -> list:
        from clipmini.plots import answers as bars

        title = f"{asked.embedder.name}: {say(asked.lang, 'tab_fails')}"
        return [bars([picture for picture, _ in found], pairs, title)]
    rows = [(say(asked.lang, f"{experiment.key}_name"), label, share, verdict(asked.lang, experiment, answer))
            for experiment, (_, answer), pair in zip(EXPERIMENTS, found, pairs, strict=True) for label, share in pair]
    return Saved(figures, ("experiment", "label", "probability", "verdict"), rows)


def taken(number: int, folder: str) -> tuple[str, str]:
    """(file of an experiment's picture, its words), for the workbench. folder: where files of a visitor may be.

    Raises ValueError for a number that no card has."""
    if number not in range(len(EXPERIMENTS)):
        raise ValueError(f"there is no card {number!r}; choose 0 to {len(EXPERIMENTS) - 1}")
    experiment = EXPERIMENTS[number]
    return save_pil_to_cache(experiment.draw(), folder, format="png"), ", ".join(experiment.labels)


def build(page: Page) -> None:
    """Draw the view and connect it."""
    with view(page, "fails"):
        gr.Markdown(page.word("fails_about"), elem_classes="cm-about")
        shown = gr.HTML("", css_template=STYLE, js_on_load=SCRIPT, elem_id="fails", label=page.word("tab_fails"))

    def take(event: gr.EventData, request: gr.Request):
        with friendly_errors(page.language(request)):
            return taken(event._data["card"], shown.GRADIO_CACHE)

    answers(page, "fails", lambda asked: gallery(asked.embedder, asked.lang), [], [shown], doubt=False)
    page.saved["fails"] = Offer(saved)
    shown.take(take, None, [page.bench.picture, page.bench.words], **PRIVATE)
