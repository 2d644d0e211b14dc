"""A view of the page: a tab that answers with the one picture, the one list of words and the one model of the bench.

    with view(page, "where"):                       # a tab, with a head that says who answered, or what went wrong
        method = gr.Dropdown(...)                   # its own inputs
        figure = gr.Plot(...)                       # its outputs
        answers(page, "where", find, [method], [figure], SLOW)

page.js changes a view's stamp when it has to answer: when something on the bench or of its own has changed and it is
open, and when it is opened and was not asked since. Until the answer is there, the old one is grey.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import gradio as gr

from clipmini.image import open_image
from clipmini.picture_file import is_blank
from clipmini.tasks import outside
from demo_app.page import CAUSED, PRIVATE, QUICK, Asked, Page, View, gpu
from demo_app.texts import Missing, say, say_error, say_message


@contextmanager
def view(page: Page, name: str) -> Iterator[gr.Tab]:
    """The tab of a view. name: its file in tabs/, its word is tab_NAME; it is also its name in the address."""
    with gr.Tab(page.word(f"tab_{name}"), id=name, elem_id=f"view-{name}", elem_classes="cm-view") as tab:
        page.views[name] = View(tab, gr.Number(0, visible="hidden", elem_id=f"stamp-{name}"),
                                gr.HTML(elem_id=f"{name}-head", elem_classes="cm-head"))
        yield tab


def problem(lang: str, error: Exception) -> str:
    """What went wrong, or what is missing yet, as HTML in place of an answer."""
    if isinstance(error, Missing):
        return f'<div class="cm-problem cm-hint" role="status">{escape(say_error(lang, error))}</div>'
    return (f'<div class="cm-problem" role="alert"><b>{escape(say(lang, "error"))}</b> '
            f"{escape(say_error(lang, error))}</div>")


def who(name: str, lang: str) -> str:
    """Which model answered, as HTML."""
    return f'<span class="cm-who" data-model="{escape(name)}">{escape(say(lang, "answered_by", name=name))}</span>'


def said_by(asked: Asked, doubt: bool = False, by: str = "") -> str:
    """Who answered, and why, as HTML; doubt: and whether the picture is unlike all that the model learnt from; by: what
    answered in place of the model of the bench."""
    if by:
        return f"<p>{who(by, asked.lang)}</p>"
    lang, short = asked.lang, who(asked.embedder.name, asked.lang)
    strange = _outside(asked) if doubt else ""
    if not asked.model.why:
        return f"<p>{short}</p>{strange}"
    why = f"<summary>{short} {escape(say(lang, 'why'))}</summary>{escape(asked.model.said(lang))}"
    return f"<details>{why}</details>{strange}"


def _outside(asked: Asked) -> str:
    taught = outside.taught_of(asked.embedder)
    if taught is None or not asked.picture or asked.reader and asked.reader.model is not asked.model.model:
        return ""  # or another model reads the picture
    picture = open_image(asked.picture)
    if is_blank(picture):  # of which something else is to be said
        return ""
    found = outside.notes(taught, outside.probability(taught, asked.embedder.embed_images([picture])), [])
    return "".join(f'<p class="cm-notes">{escape(say_message(asked.lang, note))}</p>' for note in found)


def stamped(html: str, stamp: float) -> str:
    """The head, with the stamp that is answered: the page may have asked again since."""
    return f'<div data-stamp="{stamp:.0f}">{html}</div>'


def answers(page: Page, name: str, function: Callable[..., Any], own: list, outputs: list,
            lane: dict[str, Any] = QUICK, given: Sequence = (), blind: bool = False, doubt: bool = True,
            instead: Callable[..., Asked] | None = None, by: str = "") -> None:
    """Connect a view. function(asked, *values of own and given) -> the outputs, or a generator of them; what a visitor
    can cause is shown in the head, in place of all outputs. own: inputs that make it answer anew; given: those that do
    not. blind: the automatic choice of a model does not look at the picture; doubt: the head says where the picture is
    unlike all that the model learnt from; instead(asked, *values): what is asked in place of the first question; by:
    what answers in place of the bench's model, whichever is chosen."""
    blank, shared = [_emptied(component) for component in outputs], len(page.bench.asked)

    # Gradio gives request and progress by their kinds, and then the values of the inputs.
    def answer(request: gr.Request, progress=gr.Progress(track_tqdm=True), *values):  # noqa: B008 (gradio's way)
        lang, (stamp, *values) = page.language(request), values
        try:
            asked = page.asked(*values[:shared], lang=lang, blind=blind)
            asked = instead(asked, *values[shared:]) if instead else asked
            found = function(asked, *values[shared:])
            for each in found if inspect.isgenerator(found) else [found]:
                yield [stamped(said_by(asked, doubt, by), stamp), *(each if isinstance(each, tuple) else (each,))]
        except CAUSED as error:
            yield [stamped(problem(lang, error), stamp), *blank]

    _, number, head = page.views[name]
    number.change(gpu(answer), [number, *page.bench.asked, *own, *given], [head, *outputs], show_progress="minimal",
                 trigger_mode="always_last", **PRIVATE, **lane).then(
        None, None, None, js=f"() => cm.done('{name}')", **PRIVATE)
    if changes := [c.change for c in own if hasattr(c, "change")]:
        gr.on(changes, None, number, number, js=f"(stamp) => cm.again('{name}', stamp)", **PRIVATE)


def _emptied(component):
    """What an output shows beside an error: nothing."""
    return "" if isinstance(component, (gr.HTML, gr.Markdown)) else None


def endpoint(page: Page, view: str, name: str, function: Callable[..., Any], inputs: list, outputs: dict[str, Any],
             lane: dict[str, Any] = QUICK) -> None:
    """A function for programs and agents: its parameters, types and docstring are the endpoint's; its results are named
    by the keys of outputs, their kinds by the classes. inputs may be made by functions, when no visitor sets them."""
    with page.views[view].tab:
        inputs = [component if isinstance(component, gr.components.Component) else component() for component in inputs]
        shown = [kind(label=label, visible=False) for label, kind in outputs.items()]
        gr.Button(visible=False).click(gpu(function), inputs, shown, api_name=name, **lane)
