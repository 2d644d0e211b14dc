"""Clip art: 1,451 drawings of 552 everyday things by some hundred hands, from Debian's package openclipart-png.

openclipart.tsv lists what is kept: the file, what it shows, and the emoji of the same thing where there is one. The
captions were written by us, as the file names are in four languages and carry authors; each picture was looked at
beside its caption. Left out are photographs, signs, flags, icons of computer desktops, pictures with words in them, and
whatever Tux Paint's stamps and the words of Art4Apps hold too: these are measured on.
"""

import hashlib
import io
import json
import shutil
import subprocess
import tempfile
import zlib
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from typing import Any, NamedTuple

from clipmini.data.base import Package, Source, SourceError, contact_sheet, no_bars, option, save_columns
from clipmini.files import cache_root, is_whole, write_checksums, written_whole

MANIFEST = Path(__file__).parent / "openclipart.tsv"
DEBIAN = Path("/usr/share/openclipart/png")  # where apt puts it
PACKAGE_ROW = Package("openclipart", "openclipart-png", "apt", "clip art by many hands (PNG)",
                      "the artists of the Open Clip Art Library", "public domain")
FORMAT = "clipart-v1"  # change it when the stored columns change
SIZE = 72  # pixels, as the emoji have
MARGIN = 1.08  # a drawing's longer side times this is the side of its square
HELD_OUT = 10  # one file of so many is kept for validation


class ClipArtError(SourceError):
    """Clip art that is not there or cannot be had; the message says how to get it."""


class Row(NamedTuple):
    """A line of the manifest: a file below the package's folder png, what it shows, and an emoji or ""."""

    file: str
    caption: str
    emoji: str


@once
def manifest() -> tuple[Row, ...]:
    """Every line of openclipart.tsv."""
    return tuple(Row(*line.split("\t")) for line in MANIFEST.read_text("utf-8").splitlines()[1:])


def fetched(cache: str | Path | None = None) -> Path:
    """Where `fetch` puts the pictures."""
    return cache_root(cache) / "openclipart"


def find_folder(folder: str | Path | None = None, cache: str | Path | None = None) -> Path:
    """The folder that holds the manifest's files: this one, or what was fetched, or what apt installed.

    Raises ClipArtError where none has any.
    """
    places = [Path(folder)] if folder else [fetched(cache), DEBIAN]
    found = next((place for place in places if any((place / row.file).is_file() for row in manifest())), None)
    if found is None:
        raise ClipArtError(
            f"no clip art in {' or '.join(repr(str(place)) for place in places)}. On Debian or Ubuntu: `clipmini data "
            "clipart --fetch`, or apt install openclipart-png. Elsewhere unpack Debian's package openclipart-png and "
            "name its folder usr/share/openclipart/png with --folder")
    return found


def fetch(cache: str | Path | None = None) -> Path:
    """Download Debian's package and keep the manifest's files in the cache, whole or not at all -> their folder.

    Raises ClipArtError when apt-get or dpkg-deb is missing or fails.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ClipArtError("apt-get and dpkg-deb were not found: they come with Debian and Ubuntu. Elsewhere unpack "
                           "Debian's package openclipart-png and name its folder with --folder")
    target = fetched(cache)
    with tempfile.TemporaryDirectory() as work:
        _run(["apt-get", "download", PACKAGE_ROW.package], work)
        package = next(iter(Path(work).glob("*.deb")), None)
        if package is None:
            raise ClipArtError(f"apt-get download {PACKAGE_ROW.package} left no file; run apt-get update and try again")
        _run(["dpkg-deb", "-x", str(package), "unpacked"], work)
        source = find_folder(Path(work) / "unpacked" / DEBIAN.relative_to("/"))
        with written_whole(target, "clip art") as temporary:
            for row in manifest():
                if (source / row.file).is_file():
                    (temporary / row.file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source / row.file, temporary / row.file)
    return find_folder(target)


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = " ".join(done.stderr.split())[-200:]
        raise ClipArtError(f"`{' '.join(command)}` ended with code {done.returncode} ({said}); check the network "
                           "connection, run apt-get update as root, and try again")


def fingerprint(folder: Path) -> str:
    """How many of the manifest's files a folder holds, and a digest of them: the version that a card names."""
    found, digest = 0, hashlib.sha256(MANIFEST.read_bytes())
    for row in manifest():
        if (folder / row.file).is_file():
            found += 1
            digest.update((folder / row.file).read_bytes())
    return f"{found}-files-{digest.hexdigest()[:8]}"


def load(folder: str | Path | None = None, cache: str | Path | None = None, progress: bool = True) -> Any:
    """The manifest's pictures as a Dataset: image (RGBA PNG, 72 x 72, cut to the drawing), caption, emoji, file.

    Built once in the cache and memory-mapped afterwards. A file that is missing or cannot be read is left out, and said
    in a warning. Raises ClipArtError where there is no clip art at all.
    """
    import datasets

    place = find_folder(folder, cache)
    stamp = hashlib.sha256(json.dumps([FORMAT, SIZE, MARGIN, fingerprint(place)]).encode()).hexdigest()[:12]
    target = cache_root(cache) / FORMAT / stamp
    if not is_whole(target, "clip art"):
        with written_whole(target, "clip art") as temporary:
            _save(place, temporary, progress)
            write_checksums(temporary)
    return datasets.load_from_disk(str(target))


def _save(place: Path, target: Path, progress: bool) -> None:
    import warnings

    from datasets import Features, Image, Value
    from tqdm import tqdm

    columns: dict[str, list] = {"image": [], "caption": [], "emoji": [], "file": []}
    lost = []
    for row in tqdm(manifest(), desc="clip art", unit="picture", disable=not progress):
        try:
            content = {"bytes": _as_png(place / row.file), "path": None}
        except (OSError, ValueError) as error:
            lost.append(f"{row.file} ({error})")
            continue
        for name, value in zip(columns, (content, row.caption, row.emoji, row.file), strict=True):
            columns[name].append(value)
    if lost:
        warnings.warn(f"{len(lost):,} of {len(manifest()):,} pictures of clip art are left out, as they are missing or "
                      f"cannot be read: {'; '.join(lost[:3])}", stacklevel=2)
    text = Value("string")
    save_columns(columns, Features({"image": Image(), "caption": text, "emoji": text, "file": text}), target)


def _as_png(path: Path) -> bytes:
    """A picture file, cut to what is drawn, in the middle of a transparent square, as the bytes of a PNG file."""
    from PIL import Image

    from clipmini.image import open_image

    picture = open_image(path, keep_alpha=True).convert("RGBA")
    drawn = picture.getchannel("A").getbbox()
    if drawn is None:
        raise ValueError("nothing is drawn on it: every pixel is transparent")
    picture = picture.crop(drawn)
    side = round(max(picture.size) * MARGIN)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    file = io.BytesIO()
    square.resize((SIZE, SIZE), Image.Resampling.LANCZOS, reducing_gap=3.0).save(file, "PNG", compress_level=6)
    return file.getvalue()


def held_out(file: str) -> bool:
    """Whether a file is kept for validation: one of HELD_OUT, by its name alone, so that it is the same everywhere."""
    return zlib.crc32(file.encode()) % HELD_OUT == 0


def split(rows: Any, kept_out: bool) -> Any:
    """The rows that are kept for validation, or the others."""
    return rows.select([i for i, file in enumerate(rows["file"][:]) if held_out(file) == kept_out])


def as_pairs(rows: Any) -> Any:
    """The rows of `load` as a pairs dataset: image, captions, label (ClassLabel over the manifest's captions)."""
    from datasets import ClassLabel

    names = list(dict.fromkeys(row.caption for row in manifest()))
    place = {name: i for i, name in enumerate(names)}
    said = rows["caption"][:]
    with no_bars():
        pairs = rows.select_columns(["image"]).add_column("captions", [[caption] for caption in said])
        return pairs.add_column("label", [place[caption] for caption in said], feature=ClassLabel(names=names))


def joined(emoji: Any, rows: Any) -> Any:
    """The emoji of data.emoji.load, and below them the rows of `load` in the same columns.

    A picture of a thing that has an emoji has its label and, behind its own caption, its captions in every language;
    the other things follow as labels of their own.
    """
    import datasets
    from datasets import ClassLabel

    text_columns = [name for name in emoji.column_names if name != "image"]
    texts = emoji.select_columns(text_columns)
    first: dict[str, int] = {}
    for i, char in enumerate(emoji["emoji"][:]):
        first.setdefault(char, i)
    names = emoji.features["label"].names
    others = list(dict.fromkeys(c for c, e in zip(rows["caption"][:], rows["emoji"][:], strict=True)
                                if e not in first))
    labels = ClassLabel(names=names + [name if name not in names else f"{name} (clip art)" for name in others])
    empty = {name: [] if isinstance(emoji.features[name], datasets.List) else "" for name in text_columns}
    columns: dict[str, list] = {name: [] for name in text_columns}
    for caption, char in zip(rows["caption"][:], rows["emoji"][:], strict=True):
        known = texts[first[char]] if char in first else None
        row = {**(known or empty), "style": PACKAGE_ROW.style}
        row["captions"] = list(dict.fromkeys([caption, *row["captions"]]))
        row["label"] = row["label"] if known else len(names) + others.index(caption)
        for name in text_columns:
            columns[name].append(row[name])
    table = datasets.Dataset.from_dict(columns, features=datasets.Features(
        {name: labels if name == "label" else emoji.features[name] for name in text_columns}))
    with no_bars():
        own = datasets.concatenate_datasets([rows.select_columns(["image"]), table], axis=1)
        own = own.select_columns(emoji.column_names)
        return datasets.concatenate_datasets([emoji.cast_column("label", labels), own])


@dataclass(frozen=True)
class ClipArt(Source):
    """Trains on nine tenths of the pictures, asks about the others."""

    name: str = "clipart"
    about: str = "1,451 clip-art drawings of 552 everyday things, by many hands"
    templates: str = "emoji"
    limits: str = ("It knows 552 everyday things as clip art shows them. It has seen no photograph; do not use it "
                   "to judge any.")
    folder: str | None = option(None, "folder png of Debian's package openclipart-png (default: fetched or installed)")

    def training_rows(self, size: int, seed: int, progress: bool = True):
        """Nine tenths, 72 pixels wide."""
        return as_pairs(split(load(self.folder, progress=progress), kept_out=False))

    def held_out_rows(self, size: int):
        """The tenth that is not trained on."""
        return as_pairs(split(load(self.folder, progress=False), kept_out=True))

    def trained_on(self) -> str:
        """The package and which of its files there were."""
        return f"openclipart {fingerprint(find_folder(self.folder))}"

    def described(self) -> list[str]:
        """How many pictures of how many things, from whom."""
        rows = load(self.folder)
        kept = len(split(rows, kept_out=True))
        return [f"{len(rows):,} pictures of {len(set(rows['caption'][:])):,} things, {kept} of them held out; "
                f"{PACKAGE_ROW.package} ({PACKAGE_ROW.installer}), {PACKAGE_ROW.author}, {PACKAGE_ROW.licence}"]

    def preview(self):
        """Every twelfth picture."""
        rows = load(self.folder)[::12]
        return contact_sheet(rows["image"], rows["caption"], columns=14)

    def packages(self, trained_on: str | None = None) -> tuple[Package, ...]:
        """One."""
        return (PACKAGE_ROW,)

    def fetch(self) -> str:
        """Debian's package, of which only the manifest's files are kept."""
        folder = fetch()
        return f"fetched into {folder}: {fingerprint(folder).split('-')[0]} of {len(manifest()):,} pictures"


SOURCE = ClipArt()
