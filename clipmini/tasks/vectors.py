"""Vectors of many pictures or texts: decoded by workers, in constant memory, in parts on the disk, so that an embedding
that was interrupted goes on where it was."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipmini.embedder import Embedder
from clipmini.files import written_whole
from clipmini.picture_file import ImageError

PART, BATCH, WORKERS = 4096, 64, 2  # rows of a part on the disk, rows through the tower at a time, threads that decode
STATE = "state.json"


@dataclass(frozen=True)
class Item:
    """One input. where: its line or file; name: what it is called; content: a picture (path, bytes), a text (str), or
    None with the reason why there is none."""

    where: str
    name: str
    content: Any
    reason: str = ""


def item_of(where: str, picture: bytes | Path | None, captions: list[str], texts: bool) -> Item:
    """The Item of a row: its picture; with `texts`, and where it has none, its first caption."""
    name = captions[0] if captions else ""
    content = name if texts or picture is None else picture
    return Item(where if isinstance(picture, bytes) or picture is None else str(picture), name, content or None,
                "" if content else "it has no text")


def embed(embedder: Embedder, items: Iterable[Item], folder: Path, stamp: dict, workers: int = WORKERS,
          progress: Any = iter, share: tuple[int, int] = (0, 1)) -> list[tuple[str, str]]:
    """Embed items in their order into parts in a folder -> (where, reason) of those without a vector.

    Each part has PART rows: their vectors (float32, NaN in a row that could not be embedded), and where, name and
    reason. stamp: what the vectors depend on; with the same one, what is in the folder already is not embedded again,
    otherwise it is removed. progress: wraps the items, to show how many are done. share: (number of this process, how
    many there are): it embeds only its items. Raises CheckpointError where the disk says no; whole parts
    are kept.
    """
    folder = share_of(folder, *share)
    done = _done(folder, stamp)
    waiting = iter(progress(islice(items, share[0], None, share[1])))
    for _ in islice(waiting, sum(done)):
        pass  # embedded before
    with ThreadPoolExecutor(max(1, workers)) as pool:
        while (part := _part(embedder, waiting, pool))[0]:
            rows, vectors = part
            with written_whole(folder / f"part-{len(done):06d}.npy", "vectors") as file, open(file, "wb") as opened:
                np.save(opened, vectors)
            with written_whole(folder / f"part-{len(done):06d}.json", "names") as file:  # with it the part counts
                file.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
            done.append(len(rows))
    return left_out(folder)


def left_out(folder: Path) -> list[tuple[str, str]]:
    """(where, reason) of the rows of all parts that have no vector."""
    return [(where, reason) for rows, _ in parts(folder) for where, _, reason in rows if reason]


def _done(folder: Path, stamp: dict) -> list[int]:
    """The rows of each part that is there, whole, of an embedding with the same stamp."""
    state = folder / STATE
    if not state.is_file() or json.loads(state.read_text(encoding="utf-8")) != json.loads(json.dumps(stamp)):
        for file in [*folder.glob("part-*"), *folder.glob(STATE)]:
            file.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(state, "state") as file:
            file.write_text(json.dumps(stamp), encoding="utf-8")
    counts: list[int] = []
    while (folder / f"part-{len(counts):06d}.json").is_file():
        counts.append(len(json.loads((folder / f"part-{len(counts):06d}.json").read_text(encoding="utf-8"))))
    return counts


def parts(folder: Path) -> Iterator[tuple[list[list[str]], np.ndarray]]:
    """(rows of where, name and reason; vectors (n, E)) of each part, in order; where several processes embedded every
    N-th row each, into folders of their own (share_of), the rows of all in the order of the input."""
    shares = sorted(folder.glob("share-*"), key=lambda one: int(one.name.rpartition("-")[2]))
    if not shares:
        for file in sorted(folder.glob("part-*.json")):
            yield json.loads(file.read_text(encoding="utf-8")), np.load(file.with_suffix(".npy"))
        return
    for some in zip_longest(*map(parts, shares), fillvalue=([], None)):
        rows: list = [None] * sum(len(told) for told, _ in some)
        vectors = np.empty((len(rows), *some[0][1].shape[1:]), np.float32)
        for i, (told, found) in enumerate(some):
            if told:
                rows[i::len(some)], vectors[i::len(some)] = told, found
        yield rows, vectors


def share_of(folder: Path, rank: int, count: int) -> Path:
    """Where process number `rank` of `count` embeds its rows: every count-th, from that number on."""
    return folder if count == 1 else folder / f"share-{rank}"


def _part(embedder: Embedder, waiting: Iterator[Item], pool: ThreadPoolExecutor) -> tuple[list[list[str]], np.ndarray]:
    """(rows of where, name and reason; vectors) of the next items, at most PART. While the tower works on a batch, the
    workers decode the next one; no more than two batches are in memory."""
    rows: list[list[str]] = []
    vectors: list[np.ndarray] = []

    def begun() -> tuple[list[Item], list[Future]]:
        items = list(islice(waiting, min(BATCH, PART - started)))
        return items, [pool.submit(_pixels, embedder, item) for item in items]

    started = 0
    coming = begun()
    while coming[0]:
        (items, futures), started = coming, started + len(coming[0])
        coming = begun() if started < PART else ([], [])
        found, reasons = _vectors(embedder, items, [future.result() for future in futures])
        vectors.append(found)
        rows += [[item.where, item.name, reason] for item, reason in zip(items, reasons, strict=True)]
    return rows, np.concatenate(vectors) if vectors else np.empty((0, embedder.config.embed_dim), np.float32)


def _vectors(embedder: Embedder, items: list[Item], pixels: list[torch.Tensor | str]) -> tuple[np.ndarray, list[str]]:
    """(vectors (n, E), NaN where there is none; the reason of each, or "")."""
    vectors = np.full((len(items), embedder.config.embed_dim), np.nan, dtype=np.float32)
    texts = [i for i, item in enumerate(items) if isinstance(item.content, str)]
    if texts:
        vectors[texts] = embedder.embed_texts([items[i].content for i in texts], truncate=True).numpy()
    read = {i: found for i, found in enumerate(pixels) if isinstance(found, torch.Tensor)}
    if read:
        with torch.no_grad():
            rows = embedder.model.encode_image(torch.cat([*read.values()]).to(embedder.device))
        vectors[[*read]] = rows.float().cpu().numpy()
    return vectors, [found if isinstance(found, str) else "" for found in pixels]


def _pixels(embedder: Embedder, item: Item) -> torch.Tensor | str:
    """A picture as the tower takes it (1, 3, S, S); or why there is none, which is "" for a text."""
    if item.content is None or isinstance(item.content, str):
        return item.reason
    try:
        return embedder.pixels([item.content])
    except ImageError as error:
        return str(error)


# ---- one file of all parts -------------------------------------------------------------------------------
def join(folder: Path, out: Path) -> int:
    """Write all parts into one file, whole or not at all -> its rows. By the ending: .tsv (a row an input, its numbers
    with tabs between), .npy (N, E), or .parquet (path, name, vector; null where there is none)."""
    with written_whole(out, "vectors") as temporary:
        return WRITERS[out.suffix.lower()](folder, temporary)


def _tsv(folder: Path, path: Path) -> int:
    count = 0
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for _, vectors in parts(folder):
            count += len(vectors)
            file.writelines("\t".join(f"{value:.7g}" for value in row) + "\n" for row in vectors.tolist())
    return count


def _npy(folder: Path, path: Path) -> int:
    shapes = [vectors.shape for _, vectors in parts(folder)]
    count, start = sum(n for n, _ in shapes), 0
    out = np.lib.format.open_memmap(path, "w+", np.float32, (count, shapes[0][1] if shapes else 0))
    for _, vectors in parts(folder):
        out[start:start + len(vectors)] = vectors
        start += len(vectors)
    out.flush()
    return count


def _parquet(folder: Path, path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("path", pa.string()), ("name", pa.string()), ("vector", pa.list_(pa.float32()))])
    count = 0
    with pq.ParquetWriter(path, schema) as out:
        for rows, vectors in parts(folder):
            count += len(rows)
            columns = [[row[0] for row in rows], [row[1] for row in rows],
                       [None if row[2] else vector for row, vector in zip(rows, vectors, strict=True)]]
            out.write_table(pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema))
    return count


WRITERS = {".tsv": _tsv, ".npy": _npy, ".parquet": _parquet}
