"""What every tab shares: the model, the picture that can't crash the app, the examples, and friendly errors."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr

import clipmini
from clipmini.embedder import Embedder, assets_folder
from clipmini.files import CheckpointError
from clipmini.image import ImageError
from clipmini.tasks.prompts import PromptError
from demo_app.shelf import Shelf
from demo_app.texts import language_of, say, say_error

try:  # on a Space with ZeroGPU a function gets its GPU by this decorator; elsewhere nobody has the package
    from spaces import GPU as gpu
except ImportError:
    def gpu(function):
        """The function itself."""
        return function

LIMITS = {"concurrency_limit": 1, "concurrency_id": "model"}  # one picture at a time goes through the model


class Model:
    """A checkpoint by name or folder, loaded once; a failure is told, and tried again the next time."""

    def __init__(self, name: str):
        self.name, self._embedder, self._lock = name, None, threading.Lock()

    def get(self) -> Embedder:
        """The Embedder. Raises CheckpointError."""
        with self._lock:
            if self._embedder is None:
                self._embedder = clipmini.load(self.name, packed=True)
            return self._embedder

    def try_get(self) -> tuple[Embedder | None, str]:
        """The Embedder, or None and what went wrong."""
        try:
            return self.get(), ""
        except CheckpointError as error:
            return None, str(error)


@dataclass(frozen=True)
class Page:
    """What a tab is built from. lang: fixed language, or None to follow the browser; word: key -> text for the page."""

    demo: gr.Blocks
    model: Model
    shelf: Shelf
    lang: str | None
    word: object

    def language(self, request) -> str:
        """The language of one visitor."""
        return self.lang or language_of(request)


def uploaded_path(payload) -> str | None:
    """The file that came, neither decoded nor converted before open_image has looked at it; None without a picture."""
    return payload.path if payload is not None and payload.path else None


def picture_input(label, elem_id: str = "picture", value: str | None = None) -> gr.Image:
    """Where a visitor uploads, pastes or takes a picture; it can't crash the app."""
    image = gr.Image(value, label=label, type="filepath", image_mode=None, sources=["upload", "clipboard", "webcam"], height=300,
                     elem_id=elem_id, buttons=["fullscreen"])
    # Not a subclass: Gradio writes a .pyi file beside the source of each, which a read-only installation forbids.
    image.preprocess = uploaded_path
    return image


@contextmanager
def friendly_errors(lang: str):
    """Turn what a visitor can cause into a message in their language; the app goes on serving."""
    try:
        yield
    except (ImageError, PromptError, CheckpointError, ValueError) as error:
        # The page shows the message as HTML, and it may quote file names and labels.
        raise gr.Error(escape(say_error(lang, error), quote=False), title=say(lang, "error"),
                       print_exception=False) from None


def samples_folder() -> Path:
    """Where the example pictures are; it may be missing."""
    return assets_folder() / "samples"


def read_samples(folder: Path) -> list[dict]:
    """samples.json, a list of {"file", "labels", "title"}, without entries whose picture is missing; [] without the file."""
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
