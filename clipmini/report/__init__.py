"""What an evaluation found, in one file that opens offline: `write`."""

from collections.abc import Mapping
from pathlib import Path

from clipmini.embedder import Embedder
from clipmini.files import written_whole
from clipmini.report.look import Compared, Labels, Pairs, compared, labels_of, pairs_of
from clipmini.report.page import page
from clipmini.tasks.questions import Embedded, Question, ask, told

__all__ = ["Compared", "Labels", "Pairs", "write"]


def write(file: str | Path, embedder: Embedder, questions: Mapping[str, Question], embedded: Embedded,
          text: str, before: Embedder | None = None) -> Path:
    """Write a report as HTML: figures with intervals, confusions, the worst mistakes with their pictures, calibration,
    and what changed since another model.

    embedded: what `ask` embedded of the questions' rows; text: their answers as `told` has them; before: the model to
    compare with, which is asked here. Returns the file. Raises CheckpointError where it cannot be written.
    """
    file = Path(file)
    found: dict[str, Labels | Pairs] = {}
    changes: dict[str, Compared] = {}
    earlier: Embedded = {}
    looked = {name: question for name, question in questions.items() if question.kind in ("labels", "pairs")}
    old = told(ask(before, looked, strict=False, embedded=earlier)) if before and looked else ""
    for name, question in looked.items():
        look = labels_of if question.kind == "labels" else pairs_of
        found[name] = look(embedder, question, *embedded[id(question.rows)][:2])
        if before:
            rows, vectors, left = earlier[id(question.rows)]
            if left == embedded[id(question.rows)][2]:  # the same rows
                changes[name] = compared(found[name], look(before, question, rows, vectors))
    with written_whole(file, "report") as temporary:
        temporary.write_text(page(embedder, found, changes, text, before, old), encoding="utf-8")
    return file
