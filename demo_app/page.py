"""What every tab shares: the page that it is built on, the picture that can't crash the app, the examples, errors."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData
from gradio.processing_utils import encode_plot_to_base64

from clipmini.embedder import Embedder, assets_folder
from clipmini.files import CheckpointError
from clipmini.image import ImageError
from clipmini.tasks.prompts import TEMPLATES, PromptError
from demo_app.shelf import Model, Shelf
from demo_app.texts import language_of, say, say_error

try:  # on a Space with ZeroGPU a function gets its GPU by this decorator; elsewhere nobody has the package
    from spaces import GPU as gpu
except ImportError:
    def gpu(function):
        """The function itself."""
        return function

# What events are connected with. One picture at a time goes through the model; private ones are no endpoints.
LIMITS: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
DEFAULT_SET = "emoji"


@dataclass(frozen=True)
class Page:
    """What a tab is built from. lang: fixed language, or None to follow the browser; word: key -> text for the page.

    Where lang is None, word gives no str but gr.I18n's stand-in for one, which the browser translates.
    """

    demo: gr.Blocks
    model: Model
    shelf: Shelf
    lang: str | None
    word: Callable[[str], str]

    def language(self, request) -> str:
        """The language of one visitor."""
        return self.lang or language_of(request)


def uploaded_path(payload) -> str | None:
    """The file that came, neither decoded nor converted before open_image has looked at it; None without a picture."""
    return payload.path if payload is not None and payload.path else None


def picture_input(label: str, elem_id: str = "picture", value: str | None = None) -> gr.Image:
    """Where a visitor uploads, pastes or takes a picture; it can't crash the app."""
    image = gr.Image(value, label=label, type="filepath", image_mode=None, sources=["upload", "clipboard", "webcam"],
                     height=300, elem_id=elem_id, buttons=["fullscreen"])
    # Not a subclass: Gradio writes a .pyi file beside the source of each, which a read-only installation forbids.
    image.preprocess = uploaded_path  # type: ignore[method-assign]
    return image


def two_columns(page: Page, name: str, left: Callable[[Page], Any], right: Callable[[Page], Any]) -> tuple[Any, Any]:
    """A tab: what it is about, then inputs beside outputs, on a phone above them -> what left and right return. name:
    of the tab's texts and its elem_id."""
    with gr.Tab(page.word(f"tab_{name}"), id=f"{name}-tab"):
        gr.Markdown(page.word(f"{name}_about"))
        with gr.Row(equal_height=False, elem_classes="cm-columns"):
            with gr.Column(scale=4, min_width=280):
                inputs = left(page)
            with gr.Column(scale=7, min_width=300):
                return inputs, right(page)


@contextmanager
def friendly_errors(lang: str) -> Iterator[None]:
    """Turn what a visitor can cause into a message in their language; the app goes on serving."""
    try:
        yield
    except (ImageError, PromptError, CheckpointError, ValueError) as error:
        # The page shows the message as HTML, and it may quote file names and labels.
        raise gr.Error(escape(say_error(lang, error), quote=False), title=say(lang, "error"),
                       print_exception=False) from None


def plotted(figure) -> PlotData:
    """A matplotlib figure as gr.Plot shows it, drawn now: inside friendly_errors, not after the answer is given.

    Raises ValueError for what cannot be drawn."""
    try:
        return PlotData(type="matplotlib", plot=encode_plot_to_base64(figure, "webp"))
    except (RuntimeError, OSError, MemoryError) as error:
        raise ValueError(f"the figure could not be drawn ({error})") from error


def first_templates(embedder: Embedder | None) -> str:
    """The name of the template set that a model is asked with first."""
    name = embedder.meta.get("templates", DEFAULT_SET) if embedder else DEFAULT_SET
    return name if name in TEMPLATES else DEFAULT_SET


def samples_folder() -> Path:
    """Where the example pictures are; it may be missing."""
    return assets_folder() / "samples"


def read_samples(folder: Path) -> list[dict]:
    """samples.json, a list of {"file", "labels", "title"}, without entries whose picture is missing; [] without it."""
    try:
        entries = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found = []
    for entry in entries:
        path = folder / Path(entry["file"]).name
        labels = entry.get("labels", [])
        if path.is_file():
            found.append({"path": str(path), "title": entry.get("title"),
                          "labels": labels if isinstance(labels, str) else ", ".join(labels)})
    return found
