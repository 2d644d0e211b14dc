"""What a view shows, as files: its figure as PNG and SVG, its table as CSV. They are made when somebody asks for them.

A view offers them with `page.saved[NAME] = Offer(function, inputs)`: function(asked, *values of inputs) -> Saved.
"""

import csv
import io
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr

from clipmini.picture_file import shown
from clipmini.tasks.similarity import plain_cell
from demo_app.page import PRIVATE, SLOW, Asked, Page, friendly_errors, gpu
from demo_app.texts import say

if TYPE_CHECKING:
    from clipmini.matplotlib_text import Figure

KINDS = ("png", "svg", "csv")
DPI = 150  # of PNG


class Saved(NamedTuple):
    """figures: draws them; columns, rows: the table, numbers as they are."""

    figures: Callable[[], "list[Figure]"]
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Offer(NamedTuple):
    """function(asked, *values of inputs) -> Saved. blind: the automatic choice of a model does not look at the
    picture."""

    function: Callable[..., Saved]
    inputs: Sequence[gr.components.Component] = ()
    blind: bool = False


def written(saved: Saved, view: str, kind: str, lang: str) -> Path:
    """One file, in a folder of its own; several figures come in a ZIP. kind: of KINDS."""
    path = Path(tempfile.mkdtemp(prefix="clipmini-")) / f"clipmini-{view.replace('_', '-')}.{kind}"
    if kind == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([plain_cell(cell) if isinstance(cell, str) else cell for cell in row]
                         for row in (saved.columns, *saved.rows))  # columns may be labels, which people type
        path.write_text(out.getvalue(), encoding="utf-8-sig")  # Excel needs the mark for Chinese
        return path
    from demo_app.figures import fitted

    drawn = []
    for figure in saved.figures():
        file = io.BytesIO()
        fitted(figure, lang, False).savefig(file, format=kind, dpi=DPI, bbox_inches="tight")
        drawn.append(file.getvalue())
    if len(drawn) == 1:
        path.write_bytes(drawn[0])
        return path
    with zipfile.ZipFile(whole := path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(drawn, 1):
            archive.writestr(f"{path.stem}-{number}.{kind}", data)
    return whole


def offered(page: Page, view: str, lang: str) -> Offer:
    """What a view offers. Raises ValueError for one that offers nothing, and for a name that no view has."""
    if view not in page.saved:
        name = say(lang, f"tab_{view}") if view in page.views else repr(shown(view[:80]))
        raise ValueError(say(lang, "save_nothing", view=name))
    return page.saved[view]


def build(page: Page) -> None:
    """The row of buttons below all views, and what they do."""
    word, shared = page.word, page.bench.asked
    with gr.Row(elem_id="save", elem_classes="cm-save"):
        gr.Markdown(word("save"), elem_id="save-label")
        buttons = {kind: gr.Button(kind.upper(), size="sm", min_width=60, scale=0, elem_id=f"save-{kind}")
                   for kind in KINDS}
        open_view = gr.Textbox("", visible="hidden", elem_id="save-view")
        file = gr.File(visible="hidden", elem_id="save-file")
    own = list(dict.fromkeys(c for offer in page.saved.values() for c in offer.inputs))

    def saver(kind: str):
        @gpu
        def save(request: gr.Request, view: str, *values):
            lang = page.language(request)
            with friendly_errors(lang):
                offer = offered(page, view, lang)
                given = dict(zip(own, values[len(shared):], strict=True))
                asked: Asked = page.asked(*values[:len(shared)], lang=lang, blind=offer.blind)
                saved = offer.function(asked, *(given[c] for c in offer.inputs))
                return str(written(saved, view, kind, lang))
        return save

    for kind, button in buttons.items():
        button.click(saver(kind), [open_view, *shared, *own], file, show_progress="minimal",
                     js="(view, ...rest) => [cm.opened(), ...rest]", **PRIVATE, **SLOW).success(
            None, file, None, js="(file) => cm.save(file)", **PRIVATE)
