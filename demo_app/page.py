"""What every view shares: the page, what a visitor asks, the picture that can't crash the app, the examples, errors."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from clipmini.embedder import Embedder, assets_folder
from clipmini.files import CheckpointError
from clipmini.image import ImageError
from clipmini.tasks.prompts import TEMPLATES, PromptError
from demo_app.shelf import AUTOMATIC, Model, Picked, Shelf
from demo_app.texts import Missing, language_of, say, say_error

try:  # on a Space with ZeroGPU a function gets its GPU by this decorator; elsewhere nobody has the package
    from spaces import GPU as gpu
except ImportError:
    def gpu(function):
        """The function itself."""
        return function

# What events are connected with: a lane each for what takes a moment and for what takes seconds, so that nobody waits
# with a click behind another one's map. Private events are no endpoints.
QUICK: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "quick"}
SLOW: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "slow"}
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
DEFAULT_SET = "emoji"
MOST_SCALE = 1000  # what cosines may be multiplied with
LONGEST_IN_ADDRESS = 1500  # letters of one value


@dataclass(frozen=True)
class Bench:
    """What all views answer with, as components. choice: of the shelf; templates: one a line; theme: what figures
    are drawn for: "dark", "narrow" (a phone), both or neither."""

    picture: gr.Image
    words: gr.Textbox
    templates: gr.Textbox
    none_of_these: gr.Checkbox
    choice: gr.Dropdown
    theme: gr.Textbox

    @property
    def asked(self) -> list[Any]:
        """In the order in which functions get them."""
        return [self.picture, self.words, self.templates, self.none_of_these, self.choice]


@dataclass(frozen=True)
class Asked:
    """What a visitor asks. picture: path, or None; model: who answers; templates: one a line, those of that model where
    the visitor left the page's own; reader: who would answer by the look of the picture, where that was not asked."""

    picture: str | None
    words: str
    templates: str
    none_of_these: bool
    model: Picked
    lang: str
    reader: Picked | None = None

    @property
    def embedder(self) -> Embedder:
        """The Embedder that answers. Raises CheckpointError."""
        return self.model.embedder

    def need_picture(self) -> str:
        """The picture's path. Raises Missing without one."""
        if not self.picture:
            raise Missing("no_picture")
        return self.picture


class View(NamedTuple):
    """A tab. stamp: a number that changes when it has to answer again; head: says who answered, or what went wrong."""

    tab: gr.Tab
    stamp: gr.Number
    head: gr.HTML


@dataclass(frozen=True)
class Kept:
    """Something of a view that stands in the address. allowed: () -> the values that it may have; None for the choices
    of the component, or for any text or number."""

    component: Any
    allowed: Callable[[], list] | None = None

    def read(self, said: str | None) -> Any:
        """What the address says as a value of the component; None where it says nothing, or nothing that is allowed."""
        if said is None or len(said) > LONGEST_IN_ADDRESS:
            return None
        if isinstance(self.component, gr.Checkbox):
            return {"0": False, "1": True}.get(said)
        if isinstance(self.component, gr.Number):
            number = float(said) if re.fullmatch(r"\d{1,4}(\.\d{1,20})?", said) else MOST_SCALE + 1
            return number if number <= MOST_SCALE else None
        if self.allowed or isinstance(self.component, (gr.Dropdown, gr.Radio)):
            able = self.allowed() if self.allowed else [value for _, value in self.component.choices]
            return said if said in able else None
        return said


@dataclass(frozen=True)
class Page:
    """What a view is built from. lang: fixed language, or None to follow the browser; word: key -> text for the page.

    Where lang is None, word gives no str but gr.I18n's stand-in for one, which the browser translates.
    bench: what all views share; views: by their names, in the order of the page; kept: what of theirs stands in the
    address, by its name there; saved: what they offer as files.
    """

    demo: gr.Blocks
    model: Model
    shelf: Shelf
    lang: str | None
    word: Callable[[str], str]
    bench: Bench
    views: dict[str, View] = field(default_factory=dict)
    saved: dict[str, Any] = field(default_factory=dict)  # view -> saving.Offer
    kept: dict[str, Kept] = field(default_factory=dict)

    def language(self, request) -> str:
        """The language of one visitor."""
        return self.lang or language_of(request)

    def asked(self, picture: str | None, words: str, templates: str, none_of_these: bool, choice: str,
              lang: str, blind: bool = False) -> Asked:
        """The bench's values as one question. blind: the automatic choice does not look at the picture. Raises
        ValueError, ImageError and CheckpointError."""
        by_look = self.shelf.pick(choice, picture) if picture or choice != AUTOMATIC else Picked(self.model, "")
        own = choice == AUTOMATIC and blind
        picked = Picked(self.model, "") if own else by_look
        first, _ = self.model.try_get()
        embedder = picked.embedder
        if first and embedder is not first and templates.split("\n") == list(TEMPLATES[first_templates(first)]):
            templates = "\n".join(TEMPLATES[first_templates(embedder)])
        return Asked(picture, words, templates, none_of_these, picked, lang, by_look if own and picture else None)


def uploaded_path(payload) -> str | None:
    """The file that came, neither decoded nor converted before open_image has looked at it; None without a picture."""
    return payload.path if payload is not None and payload.path else None


def picture_input(label: str, elem_id: str = "picture", value: str | None = None, height: int = 300) -> gr.Image:
    """Where a visitor uploads, pastes or takes a picture; it can't crash the app."""
    image = gr.Image(value, label=label, type="filepath", image_mode=None, sources=["upload", "clipboard", "webcam"],
                     height=height, elem_id=elem_id, buttons=["fullscreen"], alt_text=label)
    # Not a subclass: Gradio writes a .pyi file beside the source of each, which a read-only installation forbids.
    image.preprocess = uploaded_path  # type: ignore[method-assign]
    return image


CAUSED = (ImageError, PromptError, CheckpointError, ValueError)  # errors that a visitor can cause


@contextmanager
def friendly_errors(lang: str) -> Iterator[None]:
    """Turn what a visitor can cause into a message in their language; the app goes on serving."""
    try:
        yield
    except CAUSED as error:
        # The page shows the message as HTML, and it may quote file names and labels.
        raise gr.Error(escape(say_error(lang, error), quote=False), title=say(lang, "error"),
                       print_exception=False) from None


def first_templates(embedder: Embedder | None) -> str:
    """The name of the template set that a model is asked with first."""
    name = embedder.meta.get("templates", DEFAULT_SET) if embedder else DEFAULT_SET
    return name if name in TEMPLATES else DEFAULT_SET


def set_templates(name: str | None, now: str) -> str:
    """The templates of a set, one a line; now: those that stay where the list is left without a choice."""
    return "\n".join(TEMPLATES[name]) if name in TEMPLATES else now


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
