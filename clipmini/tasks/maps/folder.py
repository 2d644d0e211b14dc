"""A map as a folder that an app opens at once: places, names, thumbnails and vectors of pictures and of their words.

    points.json           names, groups, what is a picture, the places in each map
    thumbnails.webp       all pictures in one, row by row
    vectors.safetensors   unit vectors, float16: for search and neighbours
    titles.json           where there are any: names for its parts, at two levels
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.files import CheckpointError, is_whole, read_weights, write_checksums, written_whole
from clipmini.picture_file import fills_a_batch, open_image, shown
from clipmini.tasks.maps import projection
from clipmini.tasks.maps.titles import Title, titles

CELL, COLUMNS = 32, 48  # pixels of a thumbnail, thumbnails in a row
FORMAT = 1
BATCH, TEXTS = 32, 256  # pictures and texts between two words on how far it is
MAP_FILES = {"points.json", "thumbnails.webp", "vectors.safetensors", "titles.json", "map.png", "left-out.txt"}
LEVELS = ("big", "fine")  # of titles: for the whole map, and for a part of it that is looked at closely
MAPS = ("umap", "umap without gap", "pca", "pca without gap")


@dataclass(frozen=True)
class EmbeddingMap:
    """Pictures and words as points, with all that is needed to show them.

    names, groups: of the N points, the pictures first; pictures: how many of them there are; maps: name -> (N, 2),
    those of MAPS and "step N" of a film; vectors (N, E); thumbnails: one picture, COLUMNS cells wide; model: whose
    vectors they are; titles: name of a map -> level of LEVELS -> the names of its parts.
    """

    names: list[str]
    groups: list[str]
    pictures: int
    maps: dict[str, Tensor]
    vectors: Tensor
    thumbnails: Image.Image
    model: str
    titles: dict[str, dict[str, list[Title]]] = field(default_factory=dict)

    @property
    def by_umap(self) -> bool:
        """Whether UMAP has placed the points; PCA's places stand in until it has."""
        return not torch.equal(self.maps["umap"], self.maps["pca"])

    @property
    def steps(self) -> list[int]:
        """The steps of a film, in order; none for a map that stands still."""
        return sorted(int(name.split()[1]) for name in self.maps if name.startswith("step "))

    def thumbnail(self, i: int, side: int = 96) -> Image.Image:
        """Picture number i, enlarged."""
        row, column = divmod(i, COLUMNS)
        cell = self.thumbnails.crop((column * CELL, row * CELL, (column + 1) * CELL, (row + 1) * CELL))
        return cell.resize((side, side), Image.Resampling.LANCZOS)


def make(embedder: Embedder, images, names, groups=None, seed: int = 0, words: bool = True) -> EmbeddingMap:
    """`gather`, and then `with_umap`."""
    return with_umap(gather(embedder, images, names, groups, words), seed)


def gather(embedder: Embedder, images, names, groups=None, words: bool = True) -> EmbeddingMap:
    """The last that `gathering` yields."""
    *_, found = gathering(embedder, images, names, groups, words)
    assert isinstance(found, EmbeddingMap)
    return found


def gathering(embedder: Embedder, images, names, groups=None, words: bool = True) -> Iterator[int | EmbeddingMap]:
    """N pictures, and with `words` each distinct name as a point too; all of MAPS are PCA's still, which takes no time.

    images: paths, bytes or PIL images; names, groups: a string for each. Yields how many points are done, again and
    again, and the map at last. Raises MapError, ImageError.
    """
    names, images = list(names), list(images)
    groups = list(groups) if groups is not None else [""] * len(names)
    if not len(names) == len(images) == len(groups) or not names:
        raise projection.MapError(f"{len(images)} pictures, {len(names)} names, {len(groups)} groups; give as many of "
                                  "each, and one at least")
    sheet = Image.new("RGB", (COLUMNS * CELL, -(-len(images) // COLUMNS) * CELL), "white")
    vectors, opened = [], []
    for i, source in enumerate(images, 1):
        opened.append(open_image(source))
        if i < len(images) and not fills_a_batch(opened, BATCH):
            continue
        vectors.append(embedder.embed_images(opened))
        for k, image in enumerate(opened, i - len(opened)):
            _paste(sheet, k, image)
        opened = []
        yield i
    said = list(dict.fromkeys(zip(names, groups, strict=True))) if words else []
    for first in range(0, len(said), TEXTS):
        vectors.append(embedder.embed_texts([name for name, _ in said[first:first + TEXTS]], truncate=True))
        yield len(names) + min(first + TEXTS, len(said))
    both = torch.cat(vectors)
    flat, level = projection.pca(both), projection.pca(_level(both, len(names)))
    maps = {"umap": flat, "umap without gap": level, "pca": flat, "pca without gap": level}
    all_names, all_groups = [*names, *(name for name, _ in said)], [*groups, *(group for _, group in said)]
    yield EmbeddingMap(all_names, all_groups, len(names), maps, both, sheet, shown(embedder.name))


def _paste(sheet: Image.Image, k: int, image: Image.Image) -> None:
    """Put picture number k into its cell."""
    image.thumbnail((CELL, CELL))
    row, column = divmod(k, COLUMNS)
    sheet.paste(image, (column * CELL + (CELL - image.width) // 2, row * CELL + (CELL - image.height) // 2))


def film(steps: dict[int, Embedder], images, names, groups=None, seed: int = 0) -> EmbeddingMap:
    """The map of the last of several steps of a training, and in maps["step N"] where the same points were after step
    N.

    steps: number of the step -> its model. Each earlier map is aligned to the next one, so that points move and don't
    jump.
    """
    last = max(steps)
    found = make(steps[last], images, names, groups, seed)
    texts = found.names[found.pictures:]
    *earlier, _ = sorted(steps)
    vectors = [torch.cat([steps[n].embed_images(images), steps[n].embed_texts(texts, truncate=True)]) for n in earlier]
    flat = projection.film([*vectors, found.vectors], seed)
    maps = {f"step {n}": xy for n, xy in zip(sorted(steps), flat, strict=True)}
    return replace(found, maps={**found.maps, **maps})


def _level(vectors: Tensor, pictures: int) -> Tensor:
    """The vectors without the modality gap."""
    if len(vectors) == pictures:  # no words
        return vectors
    return torch.cat(projection.without_gap(vectors[:pictures], vectors[pictures:]))


def levels(found: EmbeddingMap) -> list[Tensor]:
    """What UMAP is to place: the vectors, and the vectors without the modality gap."""
    return [found.vectors, _level(found.vectors, found.pictures)]


def with_umap(found: EmbeddingMap, seed: int = 0) -> EmbeddingMap:
    """The same points, those maps that are called so by UMAP. Takes half a minute when a process does it first."""
    return with_places(found, [projection.umap(vectors, seed) for vectors in levels(found)])


def with_places(found: EmbeddingMap, places: list[Tensor]) -> EmbeddingMap:
    """The same points where UMAP has put them, one map for each of `levels`; their parts get names where words fit."""
    level = levels(found)[1]
    maps = dict(zip(("umap", "umap without gap"), places, strict=True))
    named = {name: {"fine": titles(xy, level, found.pictures, found.names)} for name, xy in maps.items()}
    return replace(found, maps={**found.maps, **maps}, titles=named)


def check_target(folder: str | Path) -> None:
    """Raise CheckpointError for a place that holds anything but an older map: what is there would be lost."""
    folder = Path(folder)
    if folder.is_file():
        raise CheckpointError(f"{str(folder)!r} is a file; give a new folder for the map")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "points.json").is_file():
        raise CheckpointError(f"{str(folder)!r} is not empty and holds no map; give a new folder, so that nothing in "
                              "it is lost")
    strangers = {p.name for p in folder.iterdir()} - MAP_FILES if folder.is_dir() else set()
    if strangers:
        raise CheckpointError(f"{str(folder)!r} holds {sorted(strangers)[0]!r} beside a map, which would be lost; give "
                              "a new folder")


def save(found: EmbeddingMap, folder: str | Path) -> Path:
    """Write the folder, whole or not at all; an older map there is replaced. Raises CheckpointError, as check_target
    does."""
    check_target(folder)
    with written_whole(Path(folder), "map") as temporary:
        _write(found, temporary)
    return Path(folder)


def keep(found: EmbeddingMap, folder: Path) -> None:
    """`save` for a cache: with checksums, which `kept` reads. Raises CheckpointError when the disk says no."""
    with written_whole(folder, "map") as temporary:
        _write(found, temporary)
        write_checksums(temporary)


def kept(folder: Path) -> EmbeddingMap | None:
    """What `keep` wrote; None where there is nothing, and, told on stderr, where a byte of it is another."""
    if not is_whole(folder, "files of a map"):
        return None
    try:
        return read(folder)
    except CheckpointError:  # of another version
        return None


def _write(found: EmbeddingMap, folder: Path) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    places = {name: [[round(v, 4) for v in point] for point in xy.tolist()] for name, xy in found.maps.items()}
    points = {"format": FORMAT, "model": found.model, "pictures": found.pictures, "names": found.names,
              "groups": found.groups, "maps": places}
    _write_json(folder / "points.json", points)
    if any(any(parts.values()) for parts in found.titles.values()):
        _write_json(folder / "titles.json", found.titles)
    found.thumbnails.save(folder / "thumbnails.webp", quality=82, method=6)
    save_file({"vectors": found.vectors.half().contiguous()}, folder / "vectors.safetensors")
    (folder / "vectors.safetensors").chmod(0o644)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def _read_titles(path: Path) -> dict[str, dict[str, list[Title]]]:
    """titles.json; {} without it. Raises ValueError and TypeError for what is none."""
    if not path.is_file():
        return {}
    raw = json.loads(path.read_text(encoding="utf-8"))
    return {str(name): {level: [Title(float(x), float(y), str(en), str(zh)) for x, y, en, zh in parts.get(level, [])]
                        for level in LEVELS} for name, parts in raw.items()}


def read(folder: str | Path) -> EmbeddingMap:
    """Open a folder that `save` wrote. Raises CheckpointError, which names the file."""
    folder = Path(folder)
    try:
        raw = json.loads((folder / "points.json").read_text(encoding="utf-8"))
        if raw["format"] != FORMAT:
            raise ValueError(f"it has format {raw['format']}, this clipmini reads {FORMAT}")
        maps = {name: torch.tensor(xy) for name, xy in raw["maps"].items()}
        vectors = read_weights(folder / "vectors.safetensors")["vectors"].float()
        sheet = Image.open(io.BytesIO((folder / "thumbnails.webp").read_bytes()), formats=["WEBP"]).convert("RGB")
        counts = {len(raw["names"]), len(raw["groups"]), len(vectors), *map(len, maps.values())}
        if len(counts) != 1 or not set(MAPS) <= set(maps) or not 1 <= raw["pictures"] <= len(vectors):
            raise ValueError(f"its files count {sorted(counts)} points")
        named = _read_titles(folder / "titles.json")
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the map {str(folder)!r} cannot be read ({error}); make it again with "
                              "`clipmini map`") from error
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    return EmbeddingMap(raw["names"], raw["groups"], raw["pictures"], maps, vectors, sheet, raw["model"],
                        named)
