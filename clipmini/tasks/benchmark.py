"""A model on a test set of the field: streamed, taken up again where it was stopped, beside the published figure."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.files import CheckpointError, read_weights, written_whole
from clipmini.picture_file import batches
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.metrics import columns, mean_per_class_recall, reliability, top_k_accuracy, wilson
from clipmini.tasks.prompts import clean_templates
from clipmini.tasks.retrieval import retrieval

SAVE_EVERY = 2000  # rows between saves
NO_NAME, MOST_NAMELESS = "and names for", 0.25  # of the rows: with more, the names belong to another data set


class TestData(Protocol):
    """What a Job asks of a test set; data.testsets.TestSet is one. captions: the column with the captions of a
    retrieval set, None where there are classes; published: {model: what papers report}; folder: a copy of the data."""

    @property
    def name(self) -> str: ...

    @property
    def captions(self) -> str | None: ...

    @property
    def published(self) -> dict: ...

    def open_rows(self, folder: Path | None = None) -> Any:
        """The rows, streamed."""

    def examples(self, rows: Any, start: int = 0) -> Iterator[tuple]:
        """(picture, class number or list of captions) of each row from number `start` on; (None, an error that names
        the row) of one that cannot be used."""

    def class_names(self, rows: Any, folder: Path | None = None) -> list[str]:
        """What the classes are called, in the order of their numbers."""


@dataclass(frozen=True)
class Job:
    """One model on one test set. templates: a set's name or templates. limit: rows at most, or None.

    copy: folder with a copy of the data, or None for the hub; folder: keeps the classifier and what is done so far.
    strict: raise at the first row that cannot be used; otherwise it is left out, counted and named.
    """

    embedder: Embedder
    test: TestData
    templates: str | list[str] | tuple[str, ...]
    folder: Path
    copy: Path | None = None
    limit: int | None = None
    strict: bool = False

    @property
    def key(self) -> str:
        """Changes when the model, the data or the words do: half-done work of another job is not taken up."""
        found = self.copy.rglob("*") if self.copy else ()
        files = sorted(p for p in found if p.suffix in (".parquet", ".tar", ".txt"))
        module: Any = self.embedder.model  # a torch module, whatever else it offers
        words = [self.embedder.name, self.test.name, str(self.copy), clean_templates(self.templates),
                 [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files],
                 f"{sum(p.double().abs().sum().item() for p in module.parameters()):.6f}"]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]


def run(job: Job, batch_size: int = 64, progress: bool = True) -> dict:
    """Measure, or go on measuring -> the numbers as a dict for JSON.

    Classification: n, classes, top1, top5 and mean_per_class_recall with 95% intervals, ece, reliability. Retrieval: n,
    captions and recall at 1, 5 and 10 in both directions with 95% intervals. published: what papers report for this
    model, or None. Raises what the test set does (DatasetError), CheckpointError, ValueError.
    """
    if job.limit is not None and job.limit < 1:
        raise ValueError(f"limit is {job.limit}; ask for one row or more")
    rows = job.test.open_rows(job.copy)
    names = None if job.test.captions else job.test.class_names(rows, job.copy)
    texts = None if names is None else saved_classifier(job, names)
    done = _resume(job)
    if job.strict and done.left:
        raise ValueError(f"{next(iter(done.left.values()))} (an earlier run left it out)")
    stream: Iterator[tuple] = job.test.examples(rows, start=done.seen)
    if job.limit is not None:
        stream = islice(stream, max(0, job.limit - done.seen))
        done = done.first(job.limit)
    _go_through(job, stream, texts, done, batch_size, progress)
    if not done.used:
        raise ValueError("no rows to measure on" + "".join(f"; {why}" for why in list(done.left.values())[:1]))
    found = _search_numbers(done.tensors) if texts is None else _class_numbers(job, done, len(texts))
    templates = job.templates if isinstance(job.templates, str) else list(job.templates)
    return {"model": job.embedder.name, "data": job.test.name, "templates": None if texts is None else templates,
            **found, "left_out": done.left,
            "published": job.test.published.get(job.embedder.name) if job.limit is None else None}


@dataclass
class Done:
    """What a run has measured: tensors by name, a row each, and {number of a row left out: why}."""

    tensors: dict[str, Tensor]
    left: dict[int, str]

    @property
    def used(self) -> int:
        """Rows that were measured."""
        return len(self.tensors.get("targets", self.tensors.get("images", ())))

    @property
    def seen(self) -> int:
        """Rows that need not be read again."""
        return self.used + len(self.left)

    def first(self, limit: int) -> "Done":
        """What a longer run had after so many rows; captions belong to the picture that owns them."""
        if self.seen <= limit:
            return self
        left = {row: why for row, why in self.left.items() if row < limit}
        used, owners = limit - len(left), self.tensors.get("owners")
        captions = owners < used if owners is not None else None
        tensors = {name: t[captions] if name in ("texts", "owners") else t[:used] for name, t in self.tensors.items()}
        return Done(tensors, left)

    def add(self, fresh: dict[str, Tensor]) -> None:
        """More rows."""
        for name, tensor in fresh.items():
            self.tensors[name] = torch.cat([self.tensors[name], tensor]) if name in self.tensors else tensor


def saved_classifier(job: Job, names: list[str]) -> Tensor:
    """The text vectors (K, E) of a job's classes, kept in its folder: thousands of prompts are embedded once."""
    path = job.folder / f"classifier-{job.key}.safetensors"
    try:
        kept = read_weights(path)["classifier"] if path.is_file() else None
    except (CheckpointError, KeyError):
        kept = None
    if kept is not None and kept.shape == (len(names), job.embedder.config.embed_dim):
        return kept
    classifier = build_classifier(job.embedder, names, job.templates)
    _save(path, {"classifier": classifier})
    return classifier


def _go_through(job: Job, stream, texts: Tensor | None, done: Done, batch_size: int, progress: bool) -> None:
    """Add what the rows of the stream give to `done`, saving now and then and when interrupted."""
    from tqdm import tqdm

    unsaved = 0
    bar = tqdm(initial=done.seen, unit="row", desc=f"{job.embedder.name} on {job.test.name}", disable=not progress)
    try:
        for batch in batches(stream, batch_size):
            usable, left = _sorted(job, batch, done.seen, texts)
            if usable:
                images = job.embedder.embed_images([picture for picture, _ in usable])
                done.add(_of_captions(job, images, usable, done.used) if texts is None else
                         _of_classes(job, images, usable, texts))
            done.left.update(left)
            bar.update(len(batch))
            unsaved += len(batch)
            if unsaved >= SAVE_EVERY:
                _save_done(job, done)
                unsaved = 0
            del batch, usable  # their pictures, before the next ones are opened
    finally:
        bar.close()
        if unsaved:
            _save_done(job, done)


def _sorted(job: Job, batch: list, first: int, texts: Tensor | None) -> tuple[list, dict[int, str]]:
    """The rows of a batch that can be used, and why the others, by number, can't be. first: the batch's first number.
    Raises what is wrong with a row where the job is strict."""
    usable, left = [], {}
    for row, (picture, truth) in enumerate(batch, first):
        error = truth if picture is None else None
        if error is None and texts is not None and not 0 <= truth < len(texts):
            error = ValueError(f"row {row} of {job.test.name!r} is of class {truth}, {NO_NAME} {len(texts)}")
        if error is None:
            usable.append((picture, truth))
        elif job.strict:
            raise error
        else:
            left[row] = str(error)
    return usable, left


def _of_classes(job: Job, images: Tensor, batch: list, texts: Tensor) -> dict[str, Tensor]:
    probabilities = (job.embedder.logit_scale * images @ texts.t()).softmax(dim=1)
    best = probabilities.topk(min(5, len(texts)), dim=1)
    targets = torch.tensor([truth for _, truth in batch])
    return {"first": best.indices, "confidence": best.values[:, 0], "targets": targets}


def _of_captions(job: Job, images: Tensor, batch: list, first: int) -> dict[str, Tensor]:
    captions = [caption for _, found in batch for caption in found]
    owners = [first + i for i, (_, found) in enumerate(batch) for _ in found]
    texts = job.embedder.embed_texts(captions, truncate=True)
    return {"images": images, "texts": texts, "owners": torch.tensor(owners)}


def _class_numbers(job: Job, run: Done, classes: int) -> dict:
    nameless = [why for why in run.left.values() if NO_NAME in why]
    if len(nameless) > run.seen * MOST_NAMELESS:
        said = nameless[0].removeprefix(nameless[0].partition(" is of class ")[0] + " is of class ")
        raise ValueError(f"{job.test.name!r} has a row of class {said}; is it another data set?")
    n, done = run.used, run.tensors
    top = top_k_accuracy(done["first"], done["targets"], ks=(1, 5))
    correct = done["first"][:, 0] == done["targets"]
    recall, interval = mean_per_class_recall(correct, done["targets"])
    curve = reliability(done["confidence"], correct)
    return {"n": n, "classes": classes, "top1": top[1], "top1_interval": wilson(top[1], n), "top5": top[5],
            "top5_interval": wilson(top[5], n), "mean_per_class_recall": recall,
            "mean_per_class_recall_interval": interval, "ece": curve.ece, "reliability": asdict(curve)}


def _search_numbers(done: dict[str, Tensor]) -> dict:
    found = retrieval(done["images"], done["texts"], done["owners"])
    return {"n": len(done["images"]), "captions": len(done["texts"]), **found}


def _state_file(job: Job) -> Path:
    return job.folder / f"progress-{job.key}.safetensors"


def _resume(job: Job) -> Done:
    path = _state_file(job)
    tensors = read_weights(path) if path.is_file() else {}
    left = json.loads(bytes(tensors.pop("left_out", torch.tensor(list(b"{}"))).tolist()))
    return Done(tensors, {int(row): why for row, why in left.items()})


def _save_done(job: Job, done: Done) -> None:
    """In one file, so that numbers and rows left out never contradict each other."""
    left = torch.tensor(list(json.dumps(done.left).encode()), dtype=torch.uint8)
    _save(_state_file(job), {**done.tensors, "left_out": left})


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    with written_whole(path, "progress") as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)


def as_table(results: list[dict]) -> str:
    """Results as lines of text, ours beside the published figure."""
    rows = [["model", "data", "n", "measured", "published"]]
    for r in results:
        if "top1" in r:
            low, high = r["top1_interval"]
            said = f"top-1 {r['top1']:.1%} [{low:.1%}, {high:.1%}], top-5 {r['top5']:.1%}, ECE {r['ece']:.3f}"
        else:
            said = ", ".join(f"{way} R@{'/'.join(map(str, r[way]))} "
                             + "/".join(f"{100 * v:.1f}" for v in r[way].values()) for way in ("t->i", "i->t"))
        left = f" ({len(r['left_out']):,} left out)" if r.get("left_out") else ""
        published = "-" if r["published"] is None else str(r["published"])
        rows.append([r["model"], r["data"], f"{r['n']:,}{left}", said, published])
    return "\n".join(columns(rows, right={2}))
