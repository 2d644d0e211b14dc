"""A map of the sample drawings for any model, made on the spot and kept by content; and of a visitor's own pictures."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from weakref import WeakKeyDictionary

from clipmini.embedder import Embedder
from clipmini.files import CheckpointError, cache_root
from clipmini.picture_file import shown
from clipmini.tasks.maps import apart
from clipmini.tasks.maps.folder import CELL, EmbeddingMap, gathering, keep, kept, levels, with_places
from clipmini.tasks.maps.projection import MapError
from demo_app.map.canvas import Opened, as_address, opened
from demo_app.map.stored import shipped

SAMPLES = "emoji"  # the map of this package whose drawings, names and groups every model is asked about
FORMAT = 1  # of what is kept; another number makes all maps anew
MOST_HELD = 4  # maps in memory
_held: dict[str, Opened] = {}  # key -> map
_keys: WeakKeyDictionary[Embedder, str] = WeakKeyDictionary()
_one = threading.Lock()  # one map is made at a time: two would share two cores


@dataclass(frozen=True)
class Step:
    """How far a map is. note: a key of the texts, map_js_step_NOTE; done of total points; o: the map, once there is
    one; why: what went wrong."""

    note: str
    done: int = 0
    total: int = 0
    o: Opened | None = None
    why: Exception | None = None


@lru_cache(maxsize=1)
def samples() -> tuple[list, list[str], list[str]]:
    """(drawings, names, groups) of the sample map. Raises CheckpointError where the package came without it."""
    found = opened(shipped(SAMPLES)).found
    n = found.pictures
    return [found.thumbnail(i, CELL) for i in range(n)], found.names[:n], found.groups[:n]


def key_of(embedder: Embedder) -> str:
    """A name for the content of a model: SHA-256 of where it puts a few drawings and words."""
    if embedder not in _keys:
        drawings, names, _ = samples()
        images, texts = embedder.embed_images(drawings[:8]), embedder.embed_texts(names[200:208], truncate=True)
        told = hashlib.sha256(f"{FORMAT} {len(names)} {tuple(images.shape)}".encode())
        for vectors in (images, texts):
            told.update(vectors.mul(1000).round().short().numpy().tobytes())
        _keys[embedder] = told.hexdigest()[:32]
    return _keys[embedder]


def folder_of(key: str) -> Path:
    """Where a map is kept."""
    return cache_root() / "maps" / key


def ready(embedder: Embedder) -> Opened | None:
    """The map of a model's sample drawings, if it is in memory or on the disk; by PCA, where UMAP did not get ready."""
    key = key_of(embedder)
    if key not in _held:
        found = kept(folder_of(key))
        if found is None:
            return None
        _hold(key, Opened(replace(found, model=shown(embedder.name)), as_address(found.thumbnails)))
    return _held.get(key)


def _hold(key: str, o: Opened) -> None:
    _held.pop(key, None)
    _held[key] = o
    while len(_held) > MOST_HELD:
        _held.pop(next(iter(_held)), None)


def has_umap() -> bool:
    """Whether UMAP's package is installed."""
    return find_spec("umap") is not None


def sample_map(embedder: Embedder) -> Iterator[Step]:
    """The map of the sample drawings for a model: how far it is, the map by PCA, then by UMAP; at once where it was
    made before. Closing the generator ends all work. Raises CheckpointError, MapError."""
    key = key_of(embedder)
    damaged = folder_of(key).is_dir() and kept(folder_of(key)) is None
    if damaged:
        yield Step("damaged")
    yield from _my_turn()
    try:
        o = ready(embedder)
        if o is None:
            for step in _embedded(embedder, *samples()):
                yield step
            o = step.o
            assert o is not None
            _hold(key, o)
            _keep(o, key)
        for step in by_umap(o):
            if step.note == "umap":
                assert step.o is not None
                _hold(key, step.o)
                _keep(step.o, key)
            yield step
    finally:
        _one.release()


def own_map(embedder: Embedder, files: list[str], names: list[str]) -> Iterator[Step]:
    """The same of a visitor's pictures, which are kept nowhere. Raises MapError, ImageError."""
    yield from _my_turn()
    try:
        for step in _embedded(embedder, files, names, None):
            yield step if step.o is None else replace(step, o=replace(step.o, own=True))
        assert step.o is not None
        yield from by_umap(replace(step.o, own=True))
    finally:
        _one.release()


def _my_turn() -> Iterator[Step]:
    while not _one.acquire(timeout=0.5):
        yield Step("wait")


def _keep(o: Opened, key: str) -> None:
    with suppress(CheckpointError):  # a full disk: it is made again the next time
        keep(o.found, folder_of(key))


def _embedded(embedder: Embedder, images: list, names: list[str], groups: list[str] | None) -> Iterator[Step]:
    """Progress, and the map by PCA."""
    n, total = len(names), len(names) + len(set(zip(names, groups or names, strict=True)))
    yield Step("pictures", 0, n)
    for found in gathering(embedder, images, names, groups):
        if isinstance(found, EmbeddingMap):
            yield Step("pca", n, n, Opened(found, as_address(found.thumbnails)))
        else:
            yield Step("pictures", found, n) if found <= n else Step("words", found - n, total - n)


def by_umap(o: Opened) -> Iterator[Step]:
    """The same map where UMAP puts its points; by PCA still, with the reason, where it does not."""
    n = o.found.pictures
    if o.found.by_umap:
        yield Step("umap", n, n, o)
    elif not has_umap():
        yield Step("no_umap", n, n, o)
    else:
        try:
            for told in apart.umap_apart(levels(o.found)):
                if isinstance(told, float):
                    yield Step("placing", int(told), int(apart.LIMIT))
                else:
                    yield Step("umap", n, n, replace(o, found=with_places(o.found, told)))
        except MapError as error:
            yield Step("stopped", n, n, o, error)
