"""Somebody's own data as a source: built once into the cache, trained on and measured like any other."""

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from clipmini.data.base import Question, Source, no_bars
from clipmini.data.own import Asked, Bad, OwnDataError, Row, checked, open_rows
from clipmini.data.own.check import digest, many
from clipmini.data.own.places import walk
from clipmini.files import cache_root, is_whole, write_checksums, written_whole

if TYPE_CHECKING:
    from clipmini.embedder import Embedder

FORMAT = "own-v1"  # change it when the stored columns change
HELD_OUT = 10  # one picture of so many is kept for measuring
PLAIN = Asked()  # nothing is said of the columns
MOST_TOLD = 5  # rows that are named in the warning on what was left out


def is_own(name: str) -> bool:
    """Whether a name is a file or folder here, or looks like one, or like a data set of the hub."""
    return Path(name).exists() or "/" in name or "\\" in name or bool(Path(name).suffix)


def load(source: str, asked: Asked = PLAIN, cache: str | Path | None = None, progress: bool = True) -> Any:
    """The rows that can be used as a Dataset: image (the bytes of its file), captions (those of all rows of the same
    picture), label (its name, or ""), digest (of the picture). Built in the cache and memory-mapped afterwards; what is
    left out is said in a warning, when it is built. Raises OwnDataError.
    """
    import datasets

    stamp = json.dumps([FORMAT, str(source), str(asked), state_of(Path(source)), _state_of_pictures(source, asked)])
    target = cache_root(cache) / FORMAT / hashlib.sha256(stamp.encode()).hexdigest()[:16]
    if not is_whole(target, f"rows of {source}"):
        with written_whole(target, "data") as temporary, no_bars():
            _save(source, asked, temporary, progress)
            write_checksums(temporary)
    return datasets.load_from_disk(str(target))


def state_of(path: Path) -> str:
    """A digest of what changes when the data does: sizes and times of its files; "" for the hub's."""
    seen = hashlib.sha256()
    for file in walk(path) if path.is_dir() else [path] if path.exists() else []:
        if file.is_file():
            stat = file.stat()
            seen.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}".encode("utf-8", "surrogateescape"))
    return seen.hexdigest() if path.exists() else ""


def _state_of_pictures(source: str, asked: Asked) -> str:
    """A digest of the sizes and times of the files that a table names; "" for data that brings its pictures along."""
    if not Path(source).is_file():
        return ""
    seen = hashlib.sha256()
    for row in open_rows(source, asked).rows:
        if isinstance(row, Row) and not isinstance(row.picture, Path):
            return ""
        if isinstance(row, Row) and isinstance(row.picture, Path):
            stat = row.picture.stat()
            seen.update(f"{row.picture} {stat.st_size} {stat.st_mtime_ns}".encode("utf-8", "surrogateescape"))
    return seen.hexdigest()


def _save(source: str, asked: Asked, target: Path, progress: bool) -> None:
    """Read the rows twice: once for the words of each picture and for what cannot be used, once for the pictures."""
    import datasets
    from tqdm import tqdm

    captions: dict[bytes, dict[str, None]] = {}
    labels: dict[bytes, str] = {}
    bad: list[Bad] = []
    for entry in tqdm(checked(open_rows(source, asked).rows), desc="checking", unit=" rows", disable=not progress,
                      leave=False):
        if isinstance(entry, Bad):
            bad.append(entry)
        elif entry[1] is None:
            bad.append(Bad(entry[0].where, "it has no picture"))
        elif not entry[0].captions:
            bad.append(Bad(entry[0].where, "it has no text"))
        else:
            key = digest(entry[0])
            captions.setdefault(key, {}).update(dict.fromkeys(entry[0].captions))
            labels.setdefault(key, entry[0].label or "")
    if not captions:
        raise OwnDataError(f"no row of {source!r} has a picture and words that can be used"
                           + (f"; the first: {bad[0]}" if bad else ""))
    if bad:
        first = "; ".join(map(str, bad[:MOST_TOLD]))
        warnings.warn(f"left out of {source!r}: {many(len(bad), 'row')} ({first}); `clipmini data check` tells all",
                      stacklevel=3)
    dropped = {row.where for row in bad}

    def pictures() -> Iterator[dict]:
        left = set(captions)
        for row in open_rows(source, asked).rows:
            if isinstance(row, Bad) or row.where in dropped or row.picture is None or (key := digest(row)) not in left:
                continue
            left.remove(key)
            yield {"image": {"bytes": row.content(), "path": None}, "captions": list(captions[key]),
                   "label": labels[key], "digest": key.hex()}

    text = datasets.Value("string")
    kinds = datasets.Features({"image": datasets.Image(), "captions": datasets.List(text), "label": text,
                               "digest": text})
    bar = tqdm(pictures(), total=len(captions), desc="storing", unit=" pictures", disable=not progress, leave=False)
    with TemporaryDirectory(dir=target.parent) as work:  # what is interrupted leaves nothing
        stored = f"{work}/rows.arrow"
        with datasets.arrow_writer.ArrowWriter(path=stored, features=kinds) as writer:
            for row in bar:
                writer.write(kinds.encode_example(row))
            writer.finalize()
        datasets.Dataset.from_file(stored).save_to_disk(str(target))


@dataclass(frozen=True)
class Own(Source):
    """Trains on nine tenths of the pictures, asks about the others. source: a file, a folder or a data set of the
    hub."""

    source: str
    asked: Asked = PLAIN
    name: str = "own"
    about: str = "pictures and captions of somebody's own"
    templates: str = "plain"
    limits: str = "It knows what its own data showed and said, and no more."

    def _split(self, kept_out: bool, progress: bool = False) -> Any:
        """The pictures that are kept for measuring, or the others, by their content alone."""
        rows = load(self.source, self.asked, progress=progress)
        mine = [i for i, key in enumerate(rows["digest"][:]) if (int(key[:8], 16) % HELD_OUT == 0) == kept_out]
        if not mine:
            raise OwnDataError(f"{self.source!r} has {many(len(rows), 'picture')}: too few to keep one of {HELD_OUT} "
                               "for measuring and to train on the others")
        return _labelled(rows).select(mine)

    def training_rows(self, size: int, seed: int, progress: bool = True) -> Any:
        """Nine of ten pictures, with all of their captions; a label where every picture has one."""
        return self._split(kept_out=False, progress=progress).remove_columns("digest")

    def held_out_rows(self, size: int) -> Any:
        """One of ten pictures."""
        return self._split(kept_out=True).remove_columns("digest")

    def questions(self, embedder: "Embedder", templates: str | list[str] | None = None) -> dict[str, Question]:
        """Does each picture find its captions, and each caption its picture? And its class, where all have one."""
        rows = self.held_out_rows(embedder.config.vision.image_size)
        found = {"retrieval": Question(rows, kind="pairs")}
        if "label" in rows.column_names:
            found["labels"] = Question(rows, templates or self.templates)
        return found

    def trained_on(self) -> str:
        """Where it comes from, and how much of it there is."""
        return f"{self.source}, {len(self._split(kept_out=False)):,} pictures"


def _labelled(rows: Any) -> Any:
    """The rows with label as a ClassLabel, or without it where not every picture has one, or all have the same."""
    import datasets

    labels = rows["label"][:]
    names = sorted(set(labels))
    if "" in names or len(names) < 2:
        return rows.remove_columns("label")
    with no_bars():
        return rows.cast_column("label", datasets.ClassLabel(names=names))
