"""The tab of many pictures and many texts: every cosine at once."""

import tempfile
from pathlib import Path

import gradio as gr

from clipmini.image import ENDINGS, open_image
from demo_app.page import LIMITS, Page, friendly_errors, gpu, read_samples, samples_folder, two_columns
from demo_app.texts import say

KINDS = ("cosine", "over texts", "over pictures")


def compare_all(page: Page, files: list[str] | None, texts: str, kind: str, lang: str) -> tuple[str, str]:
    """Pictures by texts -> (path of the figure, path of the table)."""
    from clipmini.plots import matrix
    from clipmini.tasks.similarity import similarity

    with friendly_errors(lang):
        if not files:
            raise ValueError(say(lang, "no_pictures"))
        found = similarity(page.model.get(), files, texts, [Path(file).name for file in files])
        small = [open_image(file) for file in files]
        folder = Path(tempfile.mkdtemp(prefix="clipmini-"))
        matrix(found, small, kind).savefig(folder / "matrix.png", dpi=130)
        (folder / "matrix.csv").write_text(found.as_csv(), encoding="utf-8-sig")  # Excel needs the mark for Chinese
    return str(folder / "matrix.png"), str(folder / "matrix.csv")


def build(page: Page) -> None:
    """Draw the tab and connect it."""
    (*inputs, button), outputs = two_columns(page, "matrix", _inputs, _outputs)

    @gpu
    def similarity_matrix(pictures: list[str] | None, texts: str, kind: str, request: gr.Request):
        """Every picture against every text (separated by commas or lines, at most 200). kind: "cosine", "over texts" or
        "over pictures" (softmax). A figure (PNG) and a table (CSV) with all three numbers of each pair."""
        return compare_all(page, pictures, texts, kind, page.language(request))

    button.click(similarity_matrix, inputs, outputs, api_name="similarity_matrix", **LIMITS)


def _inputs(page: Page) -> tuple[gr.File, gr.Textbox, gr.Radio, gr.Button]:
    """Files, texts, what to show, and the button."""
    word, paths = page.word, [sample["path"] for sample in read_samples(samples_folder())]
    return (
        gr.File(paths, label=word("pictures"), file_count="multiple", file_types=list(ENDINGS), type="filepath",
                elem_id="matrix-files", height=220),
        gr.Textbox(", ".join(Path(path).stem.replace("_", " ") for path in paths), label=word("texts"),
                   info=word("labels_info"), lines=3, max_lines=10, elem_id="matrix-texts"),
        gr.Radio([(word(f"kind_{i}"), kind) for i, kind in enumerate(KINDS)], value=KINDS[0], label=word("kind"),
                 elem_id="matrix-kind"),
        gr.Button(word("compare"), variant="primary", elem_id="matrix-go"))


def _outputs(page: Page) -> list:
    """The figure and the table."""
    return [gr.Image(label=page.word("tab_matrix"), show_label=False, type="filepath", interactive=False, format="png",
                     buttons=["fullscreen", "download"], elem_id="matrix-figure"),
            gr.File(label=page.word("matrix_csv"), interactive=False, elem_id="matrix-csv")]
