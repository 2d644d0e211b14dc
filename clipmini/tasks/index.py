"""An index of pictures: their vectors in files that open at once, kept in step with a folder, and exact search in it.

Vectors are kept twice: in int8, of which a scan reads a quarter, and in float32, by which all are scored again that the
scan leaves in question. So the answer is exact.
"""

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.embedder import Embedder, embedded_names
from clipmini.files import written_whole
from clipmini.picture_file import ENDINGS, shown
from clipmini.tasks.scan import Short, largest, scans, shortened
from clipmini.tasks.vectors import Item, embed, parts

FORMAT = 1
FEW = 20  # pictures of which none can be said to stand out of the others


class NoIndexError(ValueError):
    """An index that is not there, or of another model; the message says what to do."""


class Known(NamedTuple):
    """A picture of an index. path: relative to the folder; size in bytes; modified in nanoseconds; digest of the
    content."""

    path: str
    size: int
    modified: int
    digest: str


class Hit(NamedTuple):
    """A picture that was found. path: relative to the folder; score: its cosine with the query."""

    path: str
    score: float


class Columns(dict[str, list]):
    """The columns of a table as lists, each made when it is first asked for."""

    def __init__(self, table: Any):
        super().__init__()
        self.table = table

    def __missing__(self, name: str) -> list:
        self[name] = found = self.table[name].to_pylist()
        return found


@dataclass(frozen=True)
class Index:
    """Pictures and their vectors. about: model, folder, a sample of its vectors; rows: columns path, size, modified,
    digest; full: (N, E) float32, memory-mapped; short: the same in int8."""

    about: dict
    rows: dict[str, list]
    full: np.ndarray
    short: "Short"

    def __len__(self) -> int:
        return len(self.full)


class Changes(NamedTuple):
    """What `update` did: how many pictures were new, moved, changed, gone; left_out: (path, reason) of those that
    cannot be read."""

    new: int
    moved: int
    changed: int
    gone: int
    left_out: list[tuple[str, str]]


def sample_of(embedder: Embedder) -> list[float]:
    """A vector by which the vectors of one model are told from those of another."""
    return [round(value, 4) for value in embedder.embed_texts(["a picture"])[0].tolist()]


def is_sample_of(embedder: Embedder, sample: list[float]) -> bool:
    """Whether it is this model that gave a `sample_of`."""
    theirs, ours = (torch.tensor(values, dtype=torch.float32) for values in (sample, sample_of(embedder)))
    return theirs.shape == ours.shape and bool(F.cosine_similarity(theirs, ours, dim=0) >= 0.999)


def called(embedder: Embedder) -> str:
    """By what `clipmini.load` finds the model again: a name, or its folder."""
    if embedder.source is None or embedder.name in embedded_names() or "/" in embedder.name:
        return embedder.name
    return str(embedder.source.resolve())


def check_model(index: Index, embedder: Embedder) -> None:
    """Raise NoIndexError where an index has the vectors of another model."""
    if not is_sample_of(embedder, index.about["sample"]):
        raise NoIndexError(f"the index has vectors of {index.about['model']!r}, which are not those of "
                           f"{embedder.name!r}; name that model with --model, or index anew in another place")


def open_index(place: Path) -> Index:
    """Open an index. Raises NoIndexError where there is none, or it is damaged."""
    import pyarrow.parquet as pq

    try:
        about = json.loads((place / "index.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise NoIndexError(f"'{shown(place)}' was made by another version; remove it and index anew")
        rows = Columns(pq.read_table(place / "rows.parquet", memory_map=True))
        full = np.load(place / "full.npy", mmap_mode="c")
        short = _short(place, full)
        shape = (rows.table.num_rows, len(short.mean))
        if not full.shape == short.codes.shape == shape or len(short.scales) != len(full):
            raise ValueError("its files do not fit together")
    except FileNotFoundError as error:
        raise NoIndexError(f"there is no index in '{shown(place)}'; make one: clipmini index FOLDER --out "
                          f"{shown(place)}") from error
    except NoIndexError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise NoIndexError(f"the index in '{shown(place)}' is damaged ({error}); remove it and index anew") from error
    return Index(about, rows, full, short)


def _short(place: Path, full: np.ndarray) -> Short:
    """The int8 vectors of an index; one of an earlier version has none, and they are made of the others."""
    if (place / "half.npy").exists():
        return shortened(full)
    return Short(*(np.load(place / f"short.{name}.npy", mmap_mode="c") for name in Short._fields))


def update(embedder: Embedder, folder: Path, place: Path, progress: Any = iter, workers: int = 2) -> Changes:
    """Bring an index in step with a folder, or make it: only what is new or changed is embedded, what was renamed keeps
    its vector, what is gone is dropped. The old index stays until the new one is whole. What was embedded before an
    interruption is kept beside it, and not embedded again. Raises NoIndexError for the index of another model."""
    old = open_index(place) if place.exists() else None
    if old:
        check_model(old, embedder)
    found, origin = _compared(folder, old)
    fresh = [i for i, row in enumerate(origin) if row < 0]
    work = place.with_name(f"{place.name}.parts")
    items = (Item(found[i].path, "", folder / found[i].path) for i in fresh)
    about = {"format": FORMAT, "model": called(embedder), "sample": sample_of(embedder),
             "folder": str(folder.resolve())}
    left = embed(embedder, items, work, {**about, "files": [found[i].digest for i in fresh]}, workers, progress)
    new = np.concatenate([np.empty((0, embedder.config.embed_dim), np.float32), *(v for _, v in parts(work))])
    full = np.empty((len(found), embedder.config.embed_dim), np.float32)
    full[fresh] = new
    again = [i for i, row in enumerate(origin) if row >= 0]
    if old and again:
        full[again] = old.full[[origin[i] for i in again]]
    lost = {path for path, _ in left}
    kept = [i for i, row in enumerate(found) if row.path not in lost]
    _write(place, about, [found[i] for i in kept], full[kept])
    shutil.rmtree(work, ignore_errors=True)
    return _changes(found, origin, old, left)


def _compared(folder: Path, old: Index | None) -> tuple[list[Known], list[int]]:
    """The pictures of a folder now, and for each the row of the old index whose vector it keeps, or -1."""
    known = {path: i for i, path in enumerate(old.rows["path"])} if old else {}
    same = {digest: i for i, digest in enumerate(old.rows["digest"])} if old else {}
    found: list[Known] = []
    origin: list[int] = []
    for path, stat in pictures(folder):
        row = known.get(path, -1)
        if old and row >= 0 and (old.rows["size"][row], old.rows["modified"][row]) == (stat.st_size, stat.st_mtime_ns):
            digest = old.rows["digest"][row]
        else:
            digest = hashlib.sha256((folder / path).read_bytes()).hexdigest()
            row = same.get(digest, -1)
        found.append(Known(path, stat.st_size, stat.st_mtime_ns, digest))
        origin.append(row)
    return found, origin


def _changes(found: list[Known], origin: list[int], old: Index | None, left: list[tuple[str, str]]) -> Changes:
    before = dict(zip(old.rows["path"], range(len(old)), strict=True)) if old else {}
    now, used = {row.path for row in found}, set(origin)
    moved = sum(row >= 0 and before.get(known.path) != row for known, row in zip(found, origin, strict=True))
    changed = sum(row < 0 and known.path in before for known, row in zip(found, origin, strict=True))
    gone = sum(path not in now and row not in used for path, row in before.items())
    lost = sum(path not in before for path, _ in left)
    return Changes(origin.count(-1) - changed - lost, moved, changed, gone, left)


def pictures(folder: Path, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """The files with a picture's ending below a folder, in order, by their path in it; hidden ones and hidden folders
    are passed over, and so are links to folders."""
    with os.scandir(folder / below) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from pictures(folder, f"{below}{entry.name}/")
        elif entry.name.lower().endswith(ENDINGS) and entry.is_file():
            yield f"{below}{entry.name}", entry.stat()


def in_memory(names: list[str], vectors: Tensor) -> Index:
    """An index of a few pictures, without files. vectors: (N, E), unit."""
    full = np.ascontiguousarray(vectors.float().numpy())
    return Index({}, {"path": names}, full, shortened(full))


def _write(place: Path, about: dict, rows: list[Known], full: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with written_whole(place, "index") as temporary:
        temporary.mkdir(parents=True)
        (temporary / "index.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        table = {name: [row[i] for row in rows] for i, name in enumerate(Known._fields)}
        pq.write_table(pa.table(table, schema=pa.schema([("path", pa.string()), ("size", pa.int64()),
                                                         ("modified", pa.int64()), ("digest", pa.string())])),
                       temporary / "rows.parquet")
        np.save(temporary / "full.npy", full)
        for name, array in shortened(full)._asdict().items():
            np.save(temporary / f"short.{name}.npy", array)


# ---- search ----------------------------------------------------------------------------------------------
def terms(words: list[str]) -> list[tuple[float, str]]:
    """What is asked for, as (weight, text): "dog", "+", "2:./cat.jpg", "-", "fruit". Raises NoIndexError for a sign
    without a word."""
    asked: list[tuple[float, str]] = []
    sign = 1.0
    waiting = True
    for word in words:
        if word in ("+", "-"):
            sign, waiting = (1.0 if word == "+" else -1.0), True
            continue
        found = re.fullmatch(r"(\d+(?:\.\d+)?)[:：](.+)", word, re.DOTALL)
        asked.append((sign * float(found[1]), found[2].strip()) if found else (sign, word))
        sign, waiting = 1.0, False
    if strange := [word for weight, word in asked if not math.isfinite(weight)]:
        raise NoIndexError(f"the weight of {strange[0]!r} is too large a number; write a smaller one, such as 2")
    if waiting or not asked:
        raise NoIndexError(f"{' '.join(words)!r} ends with a sign, or asks for nothing; give words or pictures, such "
                           "as: \"2:dog\" + photo.jpg - fruit")
    return asked


def split(line: str) -> list[str]:
    """A question in one line as the words of `terms`: a sign stands between blanks and outside of brackets (a plus
    between two letters needs none), and all between two signs is one text.

    >>> split("2:red car + [a - b.png] - a well-known fruit")
    ['2:red car', '+', '[a - b.png]', '-', 'a well-known fruit']
    >>> split("cat+heart")
    ['cat', '+', 'heart']
    """
    parts, start = [], 0
    for sign in re.finditer(r"(?<!\S)[+\-−＋－](?!\S)|(?<=[^\W\d])[+＋](?=[^\W\d])", line):
        if line.count("[", 0, sign.start()) <= line.count("]", 0, sign.start()):
            parts += [line[start:sign.start()], "+" if sign[0] in "+＋" else "-"]
            start = sign.end()
    return [part.strip() for part in (*parts, line[start:]) if part.strip()]


def parse(words: list[str], folder: Path) -> list[tuple[float, str | Path]]:
    """`terms`, where a word that is a file, here or in the indexed folder, stands for its picture. Raises
    NoIndexError."""
    def meant(text: str) -> str | Path:
        return next((path for path in (Path(text), folder / text)
                     if text.lower().endswith(ENDINGS) and path.is_file()), text)
    return [(weight, meant(text)) for weight, text in terms(words)]


def query(embedder: Embedder, asked: Sequence[tuple[float, str | Path | Tensor]]) -> Tensor:
    """The weighted sum of the vectors of texts and pictures, of unit length -> (E,). A Tensor is a vector itself."""
    total = torch.zeros(embedder.config.embed_dim)
    for weight, what in asked:
        total += weight * (what if isinstance(what, Tensor) else embedder.embed_images([what])[0]
                           if isinstance(what, Path) else embedder.embed_texts([what], truncate=True)[0])
    if total.norm() < 1e-6:
        raise NoIndexError("what is asked for cancels out to nothing; change a weight")
    return F.normalize(total, dim=0)


def search(index: Index, queries: Tensor, most: int = 20, only: np.ndarray | None = None) -> list[list[Hit]]:
    """The nearest pictures of each query (Q, E), exactly, the best first. only: (N,) bool, the rows to look at."""
    if not len(index) or only is not None and not only.any():
        return [[] for _ in queries]
    most = min(most, len(index) if only is None else int(only.sum()))
    full = torch.from_numpy(index.full)
    found = []
    for vector, (scores, error) in zip(queries, scans(index.full, index.short, queries), strict=True):
        if only is not None:
            scores = scores.masked_fill(~torch.from_numpy(only), -math.inf)
        rows = largest(scores, most)
        if error:  # look at all that may be among the best
            least = (full[rows] @ vector).min()
            rows = (scores >= least - error).nonzero().flatten()
        exact = full[rows] @ vector
        best = exact.topk(most)
        found.append([Hit(index.rows["path"][rows[i]], score)
                      for score, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)])
    return found


def cut_off(index: Index, vector: Tensor) -> float:
    """The score from which a picture stands out of all others for this query: the median of all scores, and as many of
    their spreads above it as the largest of N random ones is expected to stand, the root of 2 ln N. The spread is taken
    from below the median, where nothing is that was asked for."""
    if len(index) < FEW:
        return -1.0
    scores, _ = next(scans(index.full, index.short, vector[None]))
    middle = scores.median()
    below = (middle - scores[scores <= middle]).square().mean().sqrt()
    return float(middle + below * math.sqrt(2 * math.log(len(scores))))


def selected(index: Index, below: str = "", newer: float = -math.inf, older: float = math.inf, larger: int = 0,
             smaller: float = math.inf) -> np.ndarray:
    """The rows (N,) bool of pictures in this folder of the index, modified between two moments (seconds since 1970), of
    a size between two (bytes)."""
    start = f"{below.strip('/')}/" if below.strip("/") else ""
    modified, size = np.array(index.rows["modified"]) / 1e9, np.array(index.rows["size"])
    inside = np.array([path.startswith(start) for path in index.rows["path"]], dtype=bool)
    return inside & (modified >= newer) & (modified <= older) & (size >= larger) & (size <= smaller)


def alike(index: Index, cosine: float = 0.98, rows: int = 1024) -> list[list[str]]:
    """Groups of pictures that are nearly the same: each is at least as near as this to another one of its group. The
    largest group first. rows: compared with all others at a time."""
    full = torch.from_numpy(index.full)
    group = list(range(len(index)))

    def first(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    for start in range(0, len(index), rows):
        near = (full[start:start + rows] @ full[start:].t() >= cosine).nonzero().tolist()
        for i, j in near:
            a, b = first(start + i), first(start + j)
            group[max(a, b)] = min(a, b)
    found: dict[int, list[str]] = {}
    for i, path in enumerate(index.rows["path"]):
        found.setdefault(first(i), []).append(path)
    return sorted((paths for paths in found.values() if len(paths) > 1), key=lambda paths: (-len(paths), paths))
