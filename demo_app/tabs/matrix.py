"""The view of many pictures and many texts: every cosine at once."""

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from clipmini.image import ENDINGS, open_image
from clipmini.tasks.similarity import Matrix, similarity
from demo_app.page import SLOW, Asked, Kept, Page, friendly_errors, read_samples, samples_folder
from demo_app.saving import Offer, Saved
from demo_app.texts import Missing
from demo_app.views import answers, endpoint, view

if TYPE_CHECKING:
    from clipmini.matplotlib_text import Figure

# What the page shows -> of Matrix.values. (Not "cosine": Gradio translates a value that is also the key of a text.)
KINDS = {"cosines": "cosine", "over texts": "over texts", "over pictures": "over pictures"}


def compared(asked: Asked, files: list[str] | None) -> tuple[Matrix, list[str]]:
    """(all cosines, the pictures' files): the picture of the bench, if there is one, and the files."""
    own = [asked.picture] if asked.picture else []
    paths = own + [file for file in files or [] if not own or not _same(file, own[0])]
    if not paths:
        raise Missing("no_pictures")
    return similarity(asked.embedder, paths, asked.words, [Path(file).name for file in paths]), paths


def drawn(found: Matrix, paths: list[str], kind: str) -> "Figure":
    """The matrix with its pictures. kind: of KINDS."""
    from clipmini.plots import matrix  # matplotlib: only who opens this view waits for it

    return matrix(found, [open_image(path) for path in paths], KINDS[kind])


def compare_all(asked: Asked, files: list[str] | None, kind: str, theme: str = "") -> tuple[str, str]:
    """The picture of the bench, if there is one, and files by words -> (path of the figure, path of the table)."""
    from demo_app.figures import fitted

    found, paths = compared(asked, files)
    folder = Path(tempfile.mkdtemp(prefix="clipmini-"))
    figure = fitted(drawn(found, paths, kind), asked.lang, "dark" in theme)
    figure.savefig(folder / "matrix.png", dpi=130, bbox_inches="tight")  # names stand out at the left
    (folder / "matrix.csv").write_text(found.as_csv(), encoding="utf-8-sig")  # Excel needs the mark for Chinese
    return str(folder / "matrix.png"), str(folder / "matrix.csv")


def saved(asked: Asked, files: list[str] | None, kind: str) -> Saved:
    """The figure, and a row for each pair."""
    found, paths = compared(asked, files)
    return Saved(lambda: [drawn(found, paths, kind)], found.COLUMNS, found.rows())


def _same(file: str, other: str) -> bool:
    """Whether two files hold the same bytes: an example is in both lists."""
    return os.path.getsize(file) == os.path.getsize(other) and Path(file).read_bytes() == Path(other).read_bytes()


def build(page: Page) -> None:
    """Draw the view and connect it."""
    with view(page, "matrix"):
        gr.Markdown(page.word("matrix_about"), elem_classes="cm-about")
        kind = gr.Radio([(page.word(f"kind_{i}"), kind) for i, kind in enumerate(KINDS)], value="cosines",
                        label=page.word("kind"), elem_id="matrix-kind")
        outputs = _outputs(page)
        files = gr.File([sample["path"] for sample in read_samples(samples_folder())], label=page.word("pictures"),
                        file_count="multiple", file_types=list(ENDINGS), type="filepath", elem_id="matrix-files",
                        height=220)

    def similarity_matrix(pictures: list[str] | None, texts: str, model: str, kind: str, request: gr.Request):
        """Every picture against every text.

        Args:
            pictures: files, at most 200.
            texts: at most 200, separated by commas or new lines.
            model: "automatic", or a name on the shelf.
            kind: what the figure shows: "cosines", "over texts" or "over pictures" (softmax).

        Returns:
            A figure (PNG), and a table (CSV) with all three numbers of each pair.
        """
        lang = page.language(request)
        with friendly_errors(lang):
            return compare_all(page.asked(None, texts, "{}", False, model, lang), pictures, kind)

    page.kept["kind"] = Kept(kind)
    answers(page, "matrix", compare_all, [files, kind], outputs, SLOW, given=[page.bench.theme])
    page.saved["matrix"] = Offer(saved, [files, kind])
    endpoint(page, "matrix", "similarity_matrix", similarity_matrix,
             [files, page.bench.words, page.bench.choice, kind],
             {"figure": partial(gr.Image, format="png", type="filepath"), "table": gr.File}, SLOW)


def _outputs(page: Page) -> list:
    """The figure and the table."""
    return [gr.Image(label=page.word("tab_matrix"), show_label=False, type="filepath", interactive=False, format="png",
                     alt_text=page.word("tab_matrix"),
                     buttons=["fullscreen", "download"], elem_id="matrix-figure"),
            gr.File(label=page.word("matrix_csv"), interactive=False, elem_id="matrix-csv")]
