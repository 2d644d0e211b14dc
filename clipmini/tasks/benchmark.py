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
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.metrics import mean_per_class_recall, reliability, top_k_accuracy, wilson
from clipmini.tasks.prompts import clean_templates
from clipmini.tasks.retrieval import retrieval

SAVE_EVERY = 2000  # rows between saves


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
        """(picture, class number or list of captions) of each row from number `start` on."""

    def class_names(self, rows: Any, folder: Path | None = None) -> list[str]:
        """What the classes are called, in the order of their numbers."""


@dataclass(frozen=True)
class Job:
    """One model on one test set. templates: a set's name or templates. limit: rows at most, or None.

    copy: folder with a copy of the data, or None for the hub; folder: keeps the classifier and what is done so far.
    """

    embedder: Embedder
    test: TestData
    templates: str | list[str] | tuple[str, ...]
    folder: Path
    copy: Path | None = None
    limit: int | None = None

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
    stream: Iterator[tuple] = job.test.examples(rows, start=_rows_done(done))
    if job.limit is not None:
        stream = islice(stream, max(0, job.limit - _rows_done(done)))
        done = _first_rows(done, job.limit)
    _go_through(job, stream, texts, done, batch_size, progress)
    found = _search_numbers(done) if texts is None else _class_numbers(done, len(texts))
    templates = job.templates if isinstance(job.templates, str) else list(job.templates)
    return {"model": job.embedder.name, "data": job.test.name, "templates": None if texts is None else templates,
            **found, "published": job.test.published.get(job.embedder.name) if job.limit is None else None}


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


def _go_through(job: Job, stream, texts: Tensor | None, done: dict, batch_size: int, progress: bool) -> None:
    """Add what the rows of the stream give to `done`, saving now and then and when interrupted."""
    from tqdm import tqdm

    unsaved = 0
    bar = tqdm(initial=_rows_done(done), unit="row", desc=f"{job.embedder.name} on {job.test.name}",
               disable=not progress)
    try:
        while batch := list(islice(stream, batch_size)):
            images = job.embedder.embed_images([picture for picture, _ in batch])
            fresh = _of_captions(job, images, batch, done) if texts is None else \
                _of_classes(job, images, batch, texts)
            for name, tensor in fresh.items():
                done[name] = torch.cat([done[name], tensor]) if name in done else tensor
            bar.update(len(batch))
            unsaved += len(batch)
            if unsaved >= SAVE_EVERY:
                _save(_state_file(job), done)
                unsaved = 0
    finally:
        bar.close()
        if unsaved:
            _save(_state_file(job), done)


def _of_classes(job: Job, images: Tensor, batch: list, texts: Tensor) -> dict[str, Tensor]:
    probabilities = (job.embedder.logit_scale * images @ texts.t()).softmax(dim=1)
    best = probabilities.topk(min(5, len(texts)), dim=1)
    targets = torch.tensor([truth for _, truth in batch])
    wrong = next((t for t in targets.tolist() if not 0 <= t < len(texts)), None)
    if wrong is not None:
        raise ValueError(f"{job.test.name!r} has a row of class {wrong}, and names for {len(texts)}; is it another "
                         "data set?")
    return {"first": best.indices, "confidence": best.values[:, 0], "targets": targets}


def _of_captions(job: Job, images: Tensor, batch: list, done: dict) -> dict[str, Tensor]:
    captions = [caption for _, found in batch for caption in found]
    first = len(done.get("images", ()))
    owners = [first + i for i, (_, found) in enumerate(batch) for _ in found]
    texts = job.embedder.embed_texts(captions, truncate=True)
    return {"images": images, "texts": texts, "owners": torch.tensor(owners)}


def _class_numbers(done: dict, classes: int) -> dict:
    n = _rows_done(done)
    if not n:
        raise ValueError("no rows to measure on")
    top = top_k_accuracy(done["first"], done["targets"], ks=(1, 5))
    correct = done["first"][:, 0] == done["targets"]
    recall, interval = mean_per_class_recall(correct, done["targets"])
    curve = reliability(done["confidence"], correct)
    return {"n": n, "classes": classes, "top1": top[1], "top1_interval": wilson(top[1], n), "top5": top[5],
            "top5_interval": wilson(top[5], n), "mean_per_class_recall": recall,
            "mean_per_class_recall_interval": interval, "ece": curve.ece, "reliability": asdict(curve)}


def _search_numbers(done: dict) -> dict:
    if not _rows_done(done):
        raise ValueError("no rows to measure on")
    found = retrieval(done["images"], done["texts"], done["owners"])
    return {"n": len(done["images"]), "captions": len(done["texts"]), **found}


def _rows_done(done: dict) -> int:
    return len(done.get("targets", done.get("images", ())))


def _first_rows(done: dict[str, Tensor], limit: int) -> dict[str, Tensor]:
    """What a longer run had after so many rows; captions belong to the picture that owns them."""
    if _rows_done(done) <= limit:
        return done
    captions = done["owners"] < limit if "owners" in done else None
    return {name: t[captions] if name in ("texts", "owners") else t[:limit] for name, t in done.items()}


def _state_file(job: Job) -> Path:
    return job.folder / f"progress-{job.key}.safetensors"


def _resume(job: Job) -> dict[str, Tensor]:
    path = _state_file(job)
    return read_weights(path) if path.is_file() else {}


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    with written_whole(path, "progress") as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)


def as_table(results: list[dict]) -> str:
    """Results as lines of text, ours beside the published figure."""
    lines = [f"{'model':<34}{'data':<16}{'n':>8}  {'measured':<46}published"]
    for r in results:
        if "top1" in r:
            low, high = r["top1_interval"]
            said = f"top-1 {r['top1']:.1%} [{low:.1%}, {high:.1%}], top-5 {r['top5']:.1%}, ECE {r['ece']:.3f}"
        else:
            said = ", ".join(f"{way} R@{'/'.join(map(str, r[way]))} "
                             + "/".join(f"{100 * v:.1f}" for v in r[way].values()) for way in ("t->i", "i->t"))
        published = r["published"] if r["published"] is not None else "-"
        lines.append(f"{r['model']:<34}{r['data']:<16}{r['n']:>8,}  {said:<46}{published}")
    return "\n".join(lines)
