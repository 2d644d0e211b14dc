"""Fashion-MNIST: 70,000 grey photographs of clothes, shoes and bags, 28 pixels wide, of ten kinds (Xiao et al. 2017).

Four idx files hold it, from Debian's package dataset-fashion-mnist or a folder of yours; else the Hugging Face hub
does. The shop's photographs were negated to look like MNIST's digits. Here they are turned back: a thing on white, as
shops show it, and as the augmentations lay it when they zoom out.
"""

import gzip
import hashlib
import io
import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipmini.data.base import Package, Question, Source, SourceError, option, save_columns
from clipmini.files import cache_root, is_whole, write_checksums, written_whole

if TYPE_CHECKING:
    from clipmini.embedder import Embedder


PACKAGE = Path("/usr/share/datasets/fashion-mnist")  # where apt puts it
HUB = "zalando-datasets/fashion_mnist"
PACKAGE_ROW = Package("fashion", "dataset-fashion-mnist", "apt", "grey photographs of clothes (idx, 28 px)",
                      "Zalando SE", "MIT")
FORMAT = "fashion-v1"  # change it when the stored columns change
FILES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
         "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}
KINDS = {  # in the order of the label numbers; phrasings, the plain name first
    "t-shirt": ("t-shirt", "tee", "t-shirt top", "top with short sleeves"),
    "trousers": ("trousers", "pair of trousers", "pants", "long trousers"),
    "pullover": ("pullover", "sweater", "jumper", "knitted pullover"),
    "dress": ("dress", "gown", "summer dress", "woman's dress"),
    "coat": ("coat", "jacket", "overcoat", "winter coat"),
    "sandal": ("sandal", "open shoe", "summer shoe", "shoe with straps"),
    "shirt": ("shirt", "blouse", "buttoned shirt", "shirt with a collar"),
    "sneaker": ("sneaker", "trainer", "running shoe", "sports shoe"),
    "bag": ("bag", "handbag", "purse", "shoulder bag"),
    "ankle boot": ("ankle boot", "boot", "bootee", "shoe above the ankle"),
}


class FashionError(SourceError):
    """Files that are missing or damaged; the message names the file, what is wrong with it and the remedy."""


def read_idx(path: Path, axes: int) -> np.ndarray:
    """One idx file of bytes, gzipped or not -> uint8 array with that many axes.

    The format: a whole number 2048 + axes, the length of each axis (big-endian, 4 bytes each), then the values.
    Raises FashionError when the file is cut short, is no idx file or holds more or fewer values than it says.
    """
    remedy = "The file is damaged or another one: get it anew (apt install --reinstall dataset-fashion-mnist)."
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise FashionError(f"{str(path)!r} cannot be unpacked ({error}). {remedy}") from error
    head = np.frombuffer(data[:4 * (1 + axes)].ljust(4 * (1 + axes), b"\0"), ">u4").tolist()
    if head[0] != 2048 + axes:
        raise FashionError(f"{str(path)!r} starts with the number {head[0]}; an idx file of {axes} axes starts with "
                           f"{2048 + axes}. {remedy}")
    count, promised = len(data) - 4 * (1 + axes), math.prod(head[1:])
    if count != promised:
        lengths = " x ".join(map(str, head[1:]))
        raise FashionError(f"{str(path)!r} has {count:,} values; its header says {lengths} = {promised:,}. {remedy}")
    return np.frombuffer(data, np.uint8, offset=4 * (1 + axes)).reshape(head[1:])


def find_files(split: str, folder: str | Path) -> tuple[Path, Path]:
    """The files of pictures and labels in a folder, with or without .gz. Raises FashionError that lists what is
    missing."""
    candidates = [[Path(folder) / f"{name}{end}" for end in (".gz", "")] for name in FILES[split]]
    found = [next((path for path in paths if path.is_file()), None) for paths in candidates]
    missing = [paths[0].name for paths, path in zip(candidates, found, strict=True) if path is None]
    if missing:
        raise FashionError(f"{str(folder)!r} lacks {' and '.join(missing)}; put the files there, omit the folder, "
                           "or apt install dataset-fashion-mnist")
    images, labels = (path for path in found if path)
    return images, labels


def from_files(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two idx files -> (pictures (N, h, w), labels (N,)), both uint8. Raises FashionError when they do not fit
    together."""
    pictures, numbers = read_idx(images, 3), read_idx(labels, 1)
    if len(pictures) != len(numbers) or not pictures.size:
        raise FashionError(f"{images.name} has {len(pictures):,} pictures and {labels.name} {len(numbers):,} labels in "
                           f"{str(images.parent)!r}; both must be of the same download, and not empty")
    if numbers.max() >= len(KINDS):
        row = int(numbers.argmax())
        raise FashionError(f"label {numbers[row]} in row {row} of {str(labels)!r}; Fashion-MNIST has labels from 0 to "
                           f"{len(KINDS) - 1}. Is it another data set?")
    return pictures, numbers


def from_hub(split: str, name: str = HUB) -> tuple[np.ndarray, np.ndarray]:
    """The same from a dataset with columns image and label: the hub's, or a local copy of it. Raises FashionError."""
    import datasets

    try:
        rows = datasets.load_dataset(name, split=split)
    except (OSError, ValueError) as error:  # no network, no such data set
        raise FashionError(f"Fashion-MNIST is not on this computer, and the hub's {name!r} cannot be had "
                           f"({' '.join(str(error).split())[:200]}). On Debian or Ubuntu: apt install "
                           "dataset-fashion-mnist. Or put the four *-ubyte.gz files into a folder and name it with "
                           "--folder.") from error
    return np.stack([np.asarray(row["image"].convert("L")) for row in rows]), np.array(rows["label"][:], np.uint8)


def load(split: str = "train", folder: str | Path | None = None, cache: str | Path | None = None,
         progress: bool = True):
    """Fashion-MNIST as a pairs dataset: image (grey PNG, on white), captions (plain name first), label (ClassLabel).

    split: "train" (60,000 rows) or "test" (10,000). folder: where the idx files are; default: Debian's package, else
    the hub. cache: folder for what is built once (see files.cache_root), memory-mapped afterwards. Raises FashionError.
    """
    import datasets

    if split not in FILES:
        raise FashionError(f"split is {split!r}; choose one of {', '.join(FILES)}")
    folder = folder or (PACKAGE if PACKAGE.is_dir() else None)
    files = find_files(split, folder) if folder else ()
    stamp = [FORMAT, list(KINDS.items()), [hashlib.sha256(file.read_bytes()).hexdigest() for file in files] or HUB]
    target = cache_root(cache) / FORMAT / f"{split}-{hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:12]}"
    if not is_whole(target, "pictures of Fashion-MNIST"):
        pictures, labels = from_files(*files) if files else from_hub(split)
        with written_whole(target, "data") as temporary:
            _save(pictures, labels, temporary, progress)
            write_checksums(temporary)
    return datasets.load_from_disk(str(target))


def _save(pictures: np.ndarray, labels: np.ndarray, folder: Path, progress: bool) -> None:
    from datasets import ClassLabel, Features, Image, List, Value
    from PIL import Image as Pictures
    from tqdm import tqdm

    def encoded(picture: np.ndarray) -> dict:
        file = io.BytesIO()
        Pictures.fromarray(255 - picture).save(file, "PNG", compress_level=1)
        return {"bytes": file.getvalue(), "path": None}

    phrasings = list(KINDS.values())
    bar = tqdm(pictures, desc="Fashion-MNIST", unit="picture", disable=not progress)
    columns = {"image": [encoded(p) for p in bar], "captions": [phrasings[k] for k in labels.tolist()],
               "label": labels.tolist()}
    kinds = Features({"image": Image(), "captions": List(Value("string")), "label": ClassLabel(names=list(KINDS))})
    save_columns(columns, kinds, folder)


def preview(dataset, columns: int = 16, side: int = 56):
    """A contact sheet as a PIL image: a row for each kind, with its phrasings, and its first pictures."""
    from PIL import Image, ImageDraw, ImageFont

    margin, cell = 150, side + 6
    sheet = Image.new("RGB", (margin + columns * cell, len(KINDS) * cell), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    labels = np.array(dataset["label"][:])
    for y, phrasings in enumerate(KINDS.values()):
        said = "\n".join(phrasings)
        pen.multiline_text((8, y * cell + cell // 2), said, fill="black", font=font, anchor="lm", spacing=1)
        for x, row in enumerate(np.flatnonzero(labels == y)[:columns].tolist()):
            sheet.paste(dataset[row]["image"].resize((side, side)), (margin + x * cell + 3, y * cell + 3))
    return sheet


@dataclass(frozen=True)
class Fashion(Source):
    """Trains on the 60,000 training pictures, asks about the 10,000 test pictures."""

    name: str = "fashion"
    about: str = "photographs of ten kinds of clothes, shoes and bags, grey on white"
    templates: str = "fashion"
    limits: str = ("It knows ten kinds of clothes, each alone on white, in grey and 28 pixels wide, and forty words "
                   "for them. Whatever else it is shown, it calls the least wrong of the labels offered.")
    folder: str | None = option(None, "folder of the four idx files (default: Debian's package, else the hub)")

    def training_rows(self, size: int, seed: int, progress: bool = True):
        """The 60,000 of the split "train", 28 pixels wide."""
        return load("train", self.folder, progress=progress)

    def held_out_rows(self, size: int):
        """The 10,000 of the split "test"."""
        return load("test", self.folder)

    def trained_on(self) -> str:
        """The split in words."""
        return "Fashion-MNIST's training pictures"

    def report(self, embedder: "Embedder") -> dict[str, Question]:
        """The test pictures."""
        return {f"test pictures, {name}": question for name, question in self.questions(embedder).items()}

    def described(self) -> list[str]:
        """How many, from whom, and the ten kinds with their phrasings."""
        kinds = [f"  {', '.join(phrasings)}" for phrasings in KINDS.values()]
        return [f"{len(load('train', self.folder)):,} pictures to train on, {len(load('test', self.folder)):,} to "
                f"test; {PACKAGE_ROW.author}, {PACKAGE_ROW.licence}", *kinds]

    def preview(self):
        """A row for each kind."""
        return preview(load("train", self.folder))

    def packages(self, trained_on: str | None = None) -> tuple[Package, ...]:
        """One."""
        return (PACKAGE_ROW,)


SOURCE = Fashion()
