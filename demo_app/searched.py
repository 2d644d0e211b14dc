"""Which pictures a visitor searches: files of their own, the index that the app was started with, or the drawings of
the model's map.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from PIL import Image
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.files import CheckpointError
from clipmini.image import ImageError, open_image
from clipmini.picture_file import batches, shown
from clipmini.tasks.index import Index, NoIndexError, check_model, in_memory, open_index
from demo_app.map import made
from demo_app.map.canvas import Opened, opened
from demo_app.map.stored import stored_path
from demo_app.shelf import Model
from demo_app.texts import Told

MOST = 200  # files of one visitor
SIDE = 160  # pixels of a thumbnail, at least
BATCH = 16
SETS_KEPT = 8  # whose vectors are held, of each model
SMALL_KEPT = 512  # thumbnails that are held, some 10 kB each


@dataclass(frozen=True)
class Searched:
    """index: the pictures' names and vectors; picture: name -> the picture, small; left_out: (file, reason) of those
    that cannot be read; kind: "own", "index" or "samples"."""

    index: Index
    picture: Callable[[str], Image.Image]
    kind: str
    left_out: tuple[tuple[str, str], ...] = ()

    def vector(self, name: str) -> Tensor:
        """Of a picture (E,). Raises Told where there is none of that name."""
        if name not in self.index.rows["path"]:
            raise Told("search_no_picture", name=shown(name[:80]))
        return torch.from_numpy(self.index.full[self.index.rows["path"].index(name)])


@dataclass(frozen=True)
class Served:
    """The index that the app was started with, and its model."""

    index: Index
    model: Model


_served: list[Served] = []
_vectors: WeakKeyDictionary[Embedder, dict[tuple[str, ...], tuple]] = WeakKeyDictionary()


def serve(place: Path, model: Model | None = None) -> None:
    """Let visitors search an index; model: the page's own, which answers where it is the index's. Raises NoIndexError,
    CheckpointError."""
    index = open_index(place)
    if not Path(index.about["folder"]).is_dir():
        raise NoIndexError(f"the pictures of '{shown(place)}' lay in '{shown(index.about['folder'])}', which is gone; "
                           "index them anew where they are")
    if model is None or index.about["model"] != model.name:
        model = Model(index.about["model"])
    check_model(index, model.get())
    _served[:] = [Served(index, model)]


def served() -> Served | None:
    """The index that the app was started with."""
    return _served[0] if _served else None


def of_index(found: Served) -> Searched:
    """The pictures of an index, read from their folder when they are shown."""
    folder = Path(found.index.about["folder"])
    return Searched(found.index, lambda name: thumbnail(folder / name), "index")


def thumbnail(path: Path) -> Image.Image:
    """A picture file, small. Raises ImageError, for one that is gone too."""
    return Image.open(BytesIO(_small(path, path.stat().st_mtime_ns if path.exists() else 0))).convert("RGB")


@lru_cache(maxsize=SMALL_KEPT)
def _small(path: Path, _modified: int) -> bytes:
    """The same as WebP: a photo of 12 megapixels is not decoded again for each letter of a query."""
    picture, file = open_image(path), BytesIO()
    picture.thumbnail((2 * SIDE, 2 * SIDE))
    picture.save(file, "webp", quality=90)
    return file.getvalue()


def of_samples(model: Model) -> Iterator[Searched | made.Step]:
    """The drawings of the model's map, which is made where there is none: how far it is, and the drawings at last.
    Raises CheckpointError, MapError."""
    path = stored_path(model.name)
    o = opened(path) if path else made.ready(model.get())
    if o is None:
        with closing(made.sample_map(model.get())) as steps:  # type: ignore[type-var]
            for step in steps:
                if step.o is not None:  # by PCA: the vectors are there
                    o = step.o
                    break
                yield step
    if o is None:
        raise CheckpointError(f"the sample drawings are not here for {model.name!r}")
    yield _of_map(o)


def _of_map(o: Opened) -> Searched:
    found = o.found
    names = distinct(found.names[:found.pictures])
    rows = {name: i for i, name in enumerate(names)}
    return Searched(in_memory(names, found.vectors[:found.pictures]), lambda name: found.thumbnail(rows[name], SIDE),
                    "samples")


def of_files(embedder: Embedder, files: list[str], progress: Callable = iter) -> Searched:
    """A visitor's files. Those that cannot be read are left out, and told. Raises Told for none that can be read, and
    for more than MOST."""
    if len(files) > MOST:
        raise Told("search_count", n=len(files), limit=MOST)
    names = distinct([Path(file).name for file in files])
    kept = _vectors.setdefault(embedder, {})
    found = kept.get(key := tuple(files))
    if found is None:
        found = _embedded(embedder, files, names, progress)
        while len(kept) >= SETS_KEPT:
            kept.pop(next(iter(kept)), None)
        kept[key] = found
    rows, vectors, left_out = found
    if not rows:
        raise Told("search_none_readable", n=len(files), first=left_out[0][1])
    paths = dict(zip(names, map(Path, files), strict=True))
    return Searched(in_memory(rows, vectors), lambda name: thumbnail(paths[name]), "own", left_out)


def _embedded(embedder: Embedder, files: list[str], names: list[str], progress: Callable
              ) -> tuple[list[str], Tensor, tuple[tuple[str, str], ...]]:
    """(names, vectors (N, E), what was left out)."""
    rows, vectors, left_out = [], [], []

    def readable() -> Iterator[tuple]:
        for name, file in progress(list(zip(names, files, strict=True))):
            try:
                yield open_image(file), name
            except ImageError as error:
                left_out.append((name, str(error)))

    for batch in batches(readable(), BATCH):
        vectors.append(embedder.embed_images([picture for picture, _ in batch]))
        rows += [name for _, name in batch]
    return rows, torch.cat(vectors) if vectors else torch.empty(0, embedder.config.embed_dim), tuple(left_out)


def distinct(names: list[str]) -> list[str]:
    """Names of which no two are the same.

    >>> distinct(["a", "b", "a"])
    ['a', 'b', 'a (2)']
    """
    taken, found = set(names), []
    seen: set[str] = set()
    for name in names:
        new, number = name, 1
        while new in seen or number > 1 and new in taken:
            number += 1
            new = f"{name} ({number})"
        seen.add(new)
        found.append(new)
    return found
