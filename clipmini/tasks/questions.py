"""Asking what a source of data wants to know: questions of any kind, their answers, and these in words and as JSON."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.tasks.benchmark import Job, as_table, run
from clipmini.tasks.evaluate import compared_rows, embed_rows, labelled_rows, order_accuracy, report, targets_of
from clipmini.tasks.heatmap import localise
from clipmini.tasks.metrics import Report, record, table
from clipmini.tasks.retrieval import pairs_report

KINDS = ("labels", "order", "where", "stream", "pairs")
Answer = Report | dict


class Question(Protocol):
    """What `ask` is asked; data.base.Question is one, and says what the kinds are."""

    @property
    def rows(self) -> Any: ...

    @property
    def kind(self) -> str: ...

    @property
    def templates(self) -> str | list[str] | tuple[str, ...]: ...

    @property
    def labels(self) -> list[str] | None: ...

    @property
    def candidates(self) -> list[str] | None: ...


Embedded = dict[int, tuple[Any, Tensor, dict[int, str]]]  # id of a dataset -> what embed_rows gives


def ask(embedder: Embedder, questions: Mapping[str, Question], folder: Path | None = None,
        strict: bool = True, embedded: Embedded | None = None) -> dict[str, Answer]:
    """The answer to each question, under its name.

    "labels": a Report. "order": what order_accuracy gives. "where": what heatmap.localise gives. "stream": what
    benchmark.run gives; folder: where it keeps what is done, to be taken up again. "pairs": what
    retrieval.pairs_report gives.
    Pictures of rows that several questions share, the same dataset object, are embedded once. Every question is
    checked before the first picture is embedded. embedded: receives what was, for who wants more of it. strict: raise
    at the first row that cannot be used; otherwise answers have the others left_out. Raises ValueError for an unknown
    kind, and what those functions do.
    """
    labelled = set()  # the datasets whose rows need a class
    for name, question in questions.items():
        if _checked(name, question).kind == "labels":
            labelled.add(id(question.rows))
            targets_of(question.rows if strict else labelled_rows(question.rows), question.labels, question.candidates)
    embedded = {} if embedded is None else embedded
    answers: dict[str, Answer] = {}
    for name, question in questions.items():
        if question.kind == "where":
            answers[name] = localise(embedder, question.rows, templates=question.templates)
        elif question.kind == "stream":
            answers[name] = _streamed(embedder, question, folder, strict)
        else:
            key = id(question.rows)
            if key not in embedded:
                embedded[key] = embed_rows(embedder, question.rows, strict=strict, labelled=key in labelled)
            rows, vectors, left = embedded[key]
            if question.kind == "order":
                answers[name] = order_accuracy(embedder, rows, features=vectors)
            elif question.kind == "pairs":
                answers[name] = {**pairs_report(embedder, rows, vectors), "left_out": left}
            else:
                targets = targets_of(rows, question.labels, question.candidates)
                answers[name] = report(embedder, name, vectors, *targets, question.templates, left_out=left)
    return answers


def _checked(name: str, question: Question) -> Question:
    if question.kind not in KINDS:
        raise ValueError(f"question {name!r} is of kind {question.kind!r}; there are {', '.join(KINDS)}")
    if question.kind == "order":
        compared_rows(question.rows)
    return question


def left_out(answers: Mapping[str, Answer]) -> dict[int, str]:
    """{number of a row: why it could not be used} of all answers together."""
    return {row: why for answer in answers.values()
            for row, why in (answer.left_out if isinstance(answer, Report) else answer.get("left_out", {})).items()}


def _streamed(embedder: Embedder, question: Question, folder: Path | None, strict: bool) -> dict:
    test = question.rows
    copy = Path(test.folder) if test.folder else None
    if folder is not None:
        return run(Job(embedder, test, question.templates, folder, copy, test.limit, strict))
    with TemporaryDirectory() as nowhere:
        return run(Job(embedder, test, question.templates, Path(nowhere), copy, test.limit, strict))


def recorded(answers: Mapping[str, Answer]) -> dict[str, dict]:
    """The answers of `ask` as plain values for JSON."""
    return {name: record(answer) if isinstance(answer, Report) else dict(answer) for name, answer in answers.items()}


def told(answers: Mapping[str, Answer]) -> str:
    """The answers of `ask` as lines of text: Reports on as many pictures and classes share a table, the others have a
    line each."""
    reports = [answer for answer in answers.values() if isinstance(answer, Report)]
    sizes = dict.fromkeys((r.n, r.K) for r in reports)
    tables = [table(r for r in reports if (r.n, r.K) == size) for size in sizes]
    return "\n".join([*tables, *(_sentence(name, a) for name, a in answers.items() if not isinstance(a, Report))])


def _sentence(name: str, answer: dict) -> str:
    if "relation" in answer:
        return (f"true caption preferred (chance 50%): relation {_share(answer, 'relation')}, binding "
                f"{_share(answer, 'binding')}, {answer['n']:,} scenes")
    if "pointing" in answer:
        return (f"{name}, by {answer['method']}: brightest on the thing or near it {_share(answer, 'pointing')}, "
                f"IoU {answer['iou']:.2f}, average precision {answer['average_precision']:.2f}; {answer['n']:,} things "
                f"in {answer['scenes']:,} scenes")
    if "mean_recall" in answer:
        return "\n".join([f"{name}: {answer['n']:,} pictures and {answer['captions']:,} captions, mean recall "
                          f"{answer['mean_recall']:.1%}", *(_way(way, answer[way]) for way in ("i->t", "t->i"))])
    return as_table([answer])


def _way(way: str, found: dict) -> str:
    """One direction of a retrieval in a line."""
    shares = ", ".join(f"@{k} {share:.1%} [{found['interval'][k][0]:.1%}, {found['interval'][k][1]:.1%}]"
                       for k, share in found["recall"].items())
    asked = "a picture finds a caption of its own" if way == "i->t" else "a caption finds its picture"
    return f"  {asked}: recall {shares}; median rank {found['median_rank']:.0f}"


def _share(answer: dict, name: str) -> str:
    return f"{answer[name]:.1%} [{answer[f'{name}_low']:.1%}, {answer[f'{name}_high']:.1%}]"
