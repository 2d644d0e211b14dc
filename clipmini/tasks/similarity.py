"""Every picture against every text: the cosines, the softmax along either side, and a table to take away."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.image import open_image
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.prompts import clean_labels

MOST_PICTURES, MOST_TEXTS = 200, 200


class MatrixError(ValueError):
    """Pictures or texts that make no matrix; the message says why."""


@dataclass(frozen=True)
class Matrix:
    """names: of the N pictures; texts: M; cosines (N, M); scale: what the softmax multiplies them with."""

    names: tuple[str, ...]
    texts: tuple[str, ...]
    cosines: Tensor
    scale: float

    @property
    def over_texts(self) -> Tensor:
        """Rows sum to 1: which text does a picture choose?"""
        return (self.scale * self.cosines).softmax(dim=1)

    @property
    def over_pictures(self) -> Tensor:
        """Columns sum to 1: which picture does a text choose?"""
        return (self.scale * self.cosines).softmax(dim=0)

    def values(self, kind: str) -> Tensor:
        """kind: "cosine", "over texts" or "over pictures"."""
        return {"cosine": self.cosines, "over texts": self.over_texts, "over pictures": self.over_pictures}[kind]

    COLUMNS: ClassVar[tuple[str, ...]] = ("picture", "text", "cosine", "probability over texts",
                                          "probability over pictures")

    def rows(self) -> list[tuple[str, str, float, float, float]]:
        """A row for each pair, in the order of COLUMNS."""
        numbers = [x.tolist() for x in (self.cosines, self.over_texts, self.over_pictures)]
        return [(name, text, *(round(x[i][j], 6) for x in numbers))
                for i, name in enumerate(self.names) for j, text in enumerate(self.texts)]

    def as_csv(self) -> str:
        """The same as a file. Spreadsheets must not take a name for a formula, so that what begins like one gets an
        apostrophe."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.COLUMNS)
        for name, text, *numbers in self.rows():
            writer.writerow([plain_cell(name), plain_cell(text), *(f"{x:.6f}" for x in numbers)])
        return out.getvalue()


def plain_cell(cell: str) -> str:
    """A cell of a table that no spreadsheet takes for a formula.

    >>> plain_cell("=1+1"), plain_cell("dog")
    ("'=1+1", 'dog')
    """
    return "'" + cell if cell[:1] in "=+-@\t\r" else cell


def similarity(embedder: Embedder, images, texts, names=None, templates="plain") -> Matrix:
    """images: N paths, bytes or PIL images; texts: M strings, or one text with commas or lines; names: N strings,
    default the numbers from 1; templates: a set's name or a list.

    Raises MatrixError for none or more than MOST_PICTURES pictures and for vectors that are no numbers, ImageError,
    PromptError.
    """
    images = [images] if isinstance(images, (str, Path, bytes, Image.Image)) else list(images)
    if not 1 <= len(images) <= MOST_PICTURES:
        raise MatrixError(f"{len(images)} pictures; give 1 to {MOST_PICTURES}")
    texts = clean_labels(texts, limit=MOST_TEXTS).labels
    names = tuple(names) if names is not None else tuple(str(i + 1) for i in range(len(images)))
    if len(names) != len(images):
        raise MatrixError(f"{len(names)} names for {len(images)} pictures; give one name for each")
    vectors = torch.cat([embedder.embed_images([open_image(image)]) for image in images])  # one at a time in memory
    cosines = vectors @ build_classifier(embedder, texts, templates).t()
    if not bool(torch.isfinite(cosines).all()):
        raise MatrixError(f"{embedder.name!r} gives vectors with NaN or infinite numbers; its weights are damaged, "
                          "load it again")
    return Matrix(names, texts, cosines, embedder.logit_scale)
