"""A source of data: what recipes, commands and model cards ask of one, and the table of all of them.

To add one: write a file with a frozen dataclass that has what Source promises, and put a line into SOURCES.
"""

from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from typing import Any, Protocol

from clipmini.embedder import Embedder

SOURCES = {  # name -> module:object
    "emoji": "clipmini.data.emoji.dataset:EMOJI", "emoji-pip": "clipmini.data.emoji.dataset:EMOJI_PIP",
    "shapes": "clipmini.data.shapes:SHAPES", "order": "clipmini.data.shapes:ORDER",
    "scenes": "clipmini.data.scenes:SCENES", "fashion": "clipmini.data.fashion:FASHION",
}


class SourceError(ValueError):
    """Data that is not there, or not like that; the message names it and the remedy."""


@dataclass(frozen=True)
class Package:
    """One package that pictures or words come from: a row of the table of licences. style is empty for words."""

    style: str
    package: str
    installer: str
    what: str
    author: str
    licence: str


@dataclass(frozen=True)
class Question:
    """What to measure of an Embedder. rows: a pairs dataset; kind: "labels" (zero-shot among the names of its ClassLabel) or
    "order" (the caption or the same words swapped?); templates, labels, candidates: as in tasks.evaluate.evaluate."""

    rows: Any
    templates: str | tuple[str, ...] = "plain"
    kind: str = "labels"
    labels: list[str] | None = None
    candidates: list[str] | None = None


class Source(Protocol):
    """A kind of data. Its dataclass fields are its options; those made by `option` are the commands' too."""

    name: str  # what commands and recipes call it
    about: str  # one sentence
    templates: str  # the template set that wraps its captions
    limits: str  # what a model that knows nothing else should not be trusted with

    def training_rows(self, size: int, seed: int, progress: bool = True) -> Any:
        """Pairs dataset to train on; size: side in pixels, for pictures that are made. Without column label where rows have no
        single name."""

    def trained_on(self) -> str:
        """The training rows in words, for the card; packages_of finds its styles in them again."""

    def held_out_rows(self, size: int) -> Any:
        """Pairs dataset that training_rows never holds."""

    def report(self, embedder: Embedder) -> dict[str, Question]:
        """What is asked once, when a training on this source ends: of what it held out. {} where nothing was."""

    def questions(self, embedder: Embedder, templates: str | None = None) -> dict[str, Question]:
        """What is asked of anybody's model. templates: another set for the ensemble."""

    def described(self) -> list[str]:
        """Lines on what there is here, for `clipmini data`."""

    def preview(self) -> Any:
        """A contact sheet, as a PIL image."""

    def packages(self) -> tuple[Package, ...]:
        """The rows of the table of licences."""


def option(default: Any, about: str) -> Any:
    """A dataclass field of a source that the commands offer as --name; about: its help."""
    return field(default=default, metadata={"help": about})


def options(source: Source) -> dict[str, Any]:
    """The fields of a source that were made by `option`: {name: dataclasses.Field}."""
    return {f.name: f for f in fields(source) if "help" in f.metadata}


def configured(source: Source, **changes: Any) -> Source:
    """The source with other options. Raises SourceError for one that it does not have."""
    unknown = next((name for name in changes if name not in options(source)), None)
    if unknown:
        raise SourceError(f"the data {source.name!r} has no option --{unknown.replace('_', '-')}; it has "
                          f"{', '.join('--' + o.replace('_', '-') for o in options(source)) or 'none'}. Omit it")
    return replace(source, **changes)


def find(name: str) -> Source:
    """A source by its name in SOURCES, else a test set of the field. Raises SourceError that lists them."""
    from clipmini.data import testsets

    if name in SOURCES:
        module, _, attribute = SOURCES[name].partition(":")
        return getattr(import_module(module), attribute)
    if name in testsets.TEST_SETS:
        return testsets.TEST_SETS[name]
    raise SourceError(f"there is no data {name!r}; there are {', '.join([*SOURCES, *testsets.TEST_SETS])}")
