"""A source of data: what recipes, commands and model cards ask of one. The table of all of them is in
data/__init__.py."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # its imports take a second, and a table of data needs none of them
    from clipmini.embedder import Embedder

SHEET_SIDE = 64  # pixels, of pictures that are made for a contact sheet


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
    """What to measure of an Embedder. kind: "labels" (rows is a pairs dataset: zero-shot among the names of its
    ClassLabel), "order" (the caption, or the same words swapped?), "where" (rows is a list of scenes.Scene: is each
    thing found?), "pairs" (rows is a pairs dataset: do pictures and captions find each other?) or "stream" (rows is a
    testsets.TestSet). templates, labels, candidates: as in tasks.evaluate.evaluate."""

    rows: Any
    templates: str | list[str] | tuple[str, ...] = "plain"
    kind: str = "labels"
    labels: list[str] | None = None
    candidates: list[str] | None = None


class Source(Protocol):
    """A kind of data. A dataclass that inherits from it needs the names, training_rows and held_out_rows; the rest has
    a sensible answer already. Its fields are its options; those made by `option` are the commands' too."""

    name: str  # what commands and recipes call it
    about: str  # one sentence
    templates: str  # the template set that wraps its captions
    limits: str  # what a model that knows nothing else is not to be trusted with, for its card

    @abstractmethod
    def training_rows(self, size: int, seed: int, progress: bool = True) -> Any:
        """A pairs dataset to train on, without column label where rows have no single name. size: side in pixels, for
        pictures that are made; seed: for what is random."""

    @abstractmethod
    def held_out_rows(self, size: int) -> Any:
        """A pairs dataset, with label, of which training_rows never holds a row."""

    def trained_on(self) -> str:
        """What training_rows are, in words, for the card; `packages` and `seen` read it again."""
        return self.about

    def questions(self, embedder: "Embedder", templates: str | list[str] | None = None) -> dict[str, Question]:
        """What is measured of anybody's model. templates: another set for the ensemble."""
        rows = self.held_out_rows(embedder.config.vision.image_size)
        return {"one template": Question(rows), "ensemble": Question(rows, templates or self.templates)}

    def report(self, embedder: "Embedder") -> dict[str, Question]:
        """What is measured once, when a training on this source ends."""
        return {f"held out, {name}": question for name, question in self.questions(embedder).items()}

    def seen(self, trained_on: str) -> list[str]:
        """Which parts of the questions' rows a model of that training has seen, by name."""
        return []

    def described(self) -> list[str]:
        """Lines on what there is here, for `clipmini data`."""
        rows = self.training_rows(SHEET_SIDE, 0, progress=False)
        return [f"{len(rows):,} pictures to train on; {self.about}", *(f"  {row[0]}" for row in rows[:8]["captions"])]

    def preview(self) -> Any:
        """A contact sheet, as a PIL image."""
        rows = self.training_rows(SHEET_SIDE, 0, progress=False)[:48]
        return contact_sheet(rows["image"], [row[0] for row in rows["captions"]])

    def packages(self, trained_on: str | None = None) -> tuple[Package, ...]:
        """The rows of the table of licences; trained_on: those behind one training only."""
        return ()

    def fetch(self) -> str:
        """Get what can be fetched, and say where it is. Raises SourceError where nothing can."""
        raise SourceError(f"the data {self.name!r} has nothing to fetch; omit --fetch")


@contextmanager
def no_bars() -> Iterator[None]:
    """Hide the bars of datasets, where the caller's own bar says it all; whether they are shown stays as it was."""
    import datasets

    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            datasets.enable_progress_bars()


def save_columns(columns: dict[str, list], features: Any, folder: Path) -> None:
    """Write columns as a Dataset folder."""
    import datasets

    with no_bars():
        datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(folder))


def contact_sheet(pictures: list, captions: list[str], columns: int = 8, side: int = 96) -> Any:
    """PIL images with their captions below, row by row, as one PIL image."""
    from textwrap import wrap

    from PIL import Image, ImageDraw, ImageFont

    rows, cell, foot = -(-len(pictures) // columns), side + 8, 40
    sheet = Image.new("RGB", (columns * cell, rows * (cell + foot)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = i % columns * cell, i // columns * (cell + foot)
        picture = picture.convert("RGBA").resize((side, side))
        sheet.paste(picture, (x + 4, y + 4), picture)
        pen.multiline_text((x + 4, y + cell), "\n".join(wrap(caption, 18)[:3]), fill="black", font=font, spacing=1)
    return sheet


def option(default: Any, about: str) -> Any:
    """A dataclass field of a source that the commands offer as --name; about: its help."""
    return field(default=default, metadata={"help": about})


def options(source: Source) -> dict[str, Any]:
    """The fields of a source that were made by `option`: {name: dataclasses.Field}."""
    found = fields(source)  # type: ignore[arg-type]  # sources are dataclasses
    return {f.name: f for f in found if "help" in f.metadata}


def configured(source: Source, **changes: Any) -> Source:
    """The source with other options. Raises SourceError for one that it does not have."""
    unknown = next((name for name in changes if name not in options(source)), None)
    if unknown:
        raise SourceError(f"the data {source.name!r} has no option --{unknown.replace('_', '-')}; it has "
                          f"{', '.join('--' + o.replace('_', '-') for o in options(source)) or 'none'}. Omit it")
    return replace(source, **changes)  # type: ignore[type-var]  # sources are dataclasses
