"""Pictures with words beside them: a folder in one of the usual orders, a tar of WebDataset, a data set of the hub."""

import json
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from clipmini.data.own.lines import decoded, lines
from clipmini.data.own.rows import MAX_BYTES, Asked, Bad, Found, OwnDataError, Row, checked_captions, told, within
from clipmini.data.own.tables import from_objects, with_names
from clipmini.picture_file import ENDINGS, shown

TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")  # as datasets' imagefolder reads them
MAX_TEXT = 1_000_000  # bytes of a text beside a picture


def folder(place: Path, asked: Asked) -> Found:
    """A folder: its captions.txt, a text file beside each picture, sub-folders that are labels, or names of files.

    Raises OwnDataError where it holds no picture.
    """
    from clipmini.data.own import open_rows

    table = next((place / name for name in TABLES if (place / name).is_file()), None)
    if table:
        return open_rows(table, asked)
    if (place / "captions.txt").is_file():
        return Found("a folder with captions.txt", "file, then its caption", _listed(place, place / "captions.txt"))
    count, with_text, flat = 0, False, False
    below: set[str] = set()
    for file in _pictures(place):  # once for what it is, once for the rows: a million paths are not kept
        if isinstance(file, Bad):
            continue
        parts = file.relative_to(place).parts
        count, flat, with_text = count + 1, flat or len(parts) == 1, with_text or file.with_suffix(".txt").is_file()
        below.update(parts[:-1][:1])
    if not count:
        raise OwnDataError(f"the folder '{shown(place)}' holds no picture; give one with {', '.join(ENDINGS)} files")
    if with_text:
        row, kind, columns = _beside, "a folder with a text file beside each picture", "each line of it is a caption"
    elif len(below) > 1 and not flat:
        row, kind = _labelled, "a folder of folders"
        columns = f"the folder's name is the label, {len(below):,} of them"
    else:
        row, kind, columns = _named, "a folder of pictures", "the file's name is the caption"
    return Found(kind, columns, (file if isinstance(file, Bad) else row(place, file) for file in _pictures(place)))


def walk(place: Path) -> Iterator[Path]:
    """All files below a folder, in the order of their paths, and links to folders, which are not followed."""
    try:
        names = sorted(os.listdir(place))
    except PermissionError:
        return
    for name in names:
        path = place / name
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)
        else:
            yield path


def _pictures(place: Path) -> Iterator[Path | Bad]:
    """The files with a picture's ending below a folder, in order; links that lead out of it are told."""
    root = place.resolve()
    for file in walk(place):
        if not file.name.lower().endswith(ENDINGS) or file.is_dir():
            continue
        where = shown(file.relative_to(place))
        try:
            inside = not file.is_symlink() or file.resolve().is_relative_to(root)
        except (OSError, RuntimeError) as error:
            yield Bad(where, f"a link that leads nowhere ({error})")
            continue
        yield file if inside else Bad(where, "a link that leads out of the folder; copy the picture in")


def _listed(place: Path, table: Path) -> Iterator[Row | Bad]:
    """captions.txt: a file and its caption, with a tab or the first comma between them; "#2" behind the file's name, as
    Flickr8k has, is no part of it."""
    for number, line in lines(table):
        where = f"captions.txt, line {number}"
        if isinstance(line, Bad):
            yield Bad(where, line.reason)
            continue
        text = decoded(line)
        name, separator, caption = text.partition("\t" if "\t" in text else ",")
        name = re.sub(r"#\d+$", "", name.strip())
        if number == 1 and not name.lower().endswith(ENDINGS):
            continue  # a header
        if not separator:
            yield Bad(where, f"it is no file and caption with a tab or a comma between them: {told(text)!r}")
            continue
        file = within(place, name, where)
        captions = checked_captions(where, [caption.strip().strip('"')], None)
        yield next((part for part in (file, captions) if isinstance(part, Bad)), None) or Row(
            where, file, captions)  # type: ignore[arg-type]  # neither is Bad


def _beside(place: Path, file: Path) -> Row | Bad:
    where, text = shown(file.relative_to(place)), file.with_suffix(".txt")
    if not text.is_file():
        return Bad(where, f"there is no {shown(text.name)} beside it")
    if text.stat().st_size > MAX_TEXT:
        return Bad(where, f"{shown(text.name)} has {text.stat().st_size:,} bytes; the limit is {MAX_TEXT:,}")
    return _row(where, file, [decoded(line) for _, line in lines(text) if not isinstance(line, Bad)])


def _labelled(place: Path, file: Path) -> Row | Bad:
    label = shown(file.relative_to(place).parts[0]).replace("_", " ")
    return Row(shown(file.relative_to(place)), file, (label,), label)


def _named(place: Path, file: Path) -> Row | Bad:
    return _row(shown(file.relative_to(place)), file, [re.sub(r"[_\s]+", " ", shown(file.stem))])


def _row(where: str, picture: bytes | Path, captions: list[str], label: str | None = None) -> Row | Bad:
    found = checked_captions(where, captions, label)
    return found if isinstance(found, Bad) else Row(where, picture, found, label)


def tar(path: Path, asked: Asked) -> Found:
    """A tar in WebDataset's order: files of one name but for their endings are one row: a picture, and .txt, .json
    (caption, text, label) or .cls. Nothing is written to the disk. Raises OwnDataError for what is no tar."""
    try:
        with tarfile.open(path):
            pass
    except (tarfile.TarError, OSError, EOFError) as error:
        raise OwnDataError(f"'{shown(path.name)}' is no tar that can be read ({error}); copy it again") from error
    columns = "files of one name are a row: a picture, and .txt, .json or .cls"
    return Found("a tar (WebDataset)", columns, _members(path))


def _members(path: Path) -> Iterator[Row | Bad]:
    key = ""
    parts: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isdir():
                    continue
                name, where = PurePosixPath(member.name), shown(member.name)
                if reason := _refused(member, name):
                    yield Bad(where, reason)
                    continue
                stem, _, ending = name.name.partition(".")
                if (now := str(name.with_name(stem))) != key:
                    if parts:
                        yield _joined(key, parts)
                    key, parts = now, {}
                content = archive.extractfile(member)
                parts[ending.lower()] = content.read() if content else b""
    except (tarfile.TarError, OSError, EOFError) as error:
        yield Bad(f"behind {shown(key) or 'the start'}", f"the archive is cut short or damaged ({error}); what follows "
                                                         "is left out")
    if parts:
        yield _joined(key, parts)


def _refused(member: tarfile.TarInfo, name: PurePosixPath) -> str | None:
    if not member.isfile():
        return "no file but a link or a device; archives of strangers are read without them"
    if name.is_absolute() or ".." in name.parts:
        return "a path that leads out of the archive"
    if member.size > MAX_BYTES:
        return f"it has {member.size:,} bytes; the limit is {MAX_BYTES:,}"
    return None


def _joined(key: str, parts: dict[str, bytes]) -> Row | Bad:
    """One row of the files that share a name."""
    where = shown(key)
    picture = next((content for ending, content in parts.items() if f".{ending}".endswith(ENDINGS)), None)
    if picture is None:
        return Bad(where, f"there is no picture among its files ({', '.join(sorted(parts))})")
    captions: list[str] = []
    label = None
    if "json" in parts:
        try:
            said = json.loads(parts["json"].decode("utf-8"))
            text: object = next((said[name] for name in ("caption", "captions", "text", "texts") if said.get(name)), [])
            captions += [str(c) for c in (text if isinstance(text, list) else [text])]
            label = None if said.get("label") is None else str(said["label"])
        except (ValueError, AttributeError, RecursionError) as error:
            return Bad(where, f"its .json cannot be read ({told(str(error))})")
    captions += decoded(parts.get("txt", b"")).splitlines()
    label = decoded(parts["cls"]).strip() if parts.get("cls") else label
    return _row(where, picture, captions, label)


def hub(name: str, asked: Asked, split: str = "train") -> Found:
    """A data set of the Hugging Face hub, or one that `datasets` can load, streamed; pictures are not decoded."""
    import datasets

    classes: dict[str, dict[Any, str]] = {}
    try:
        rows = datasets.load_dataset(name, split=split, streaming=True)
        for column, kind in (rows.features or {}).items():
            if isinstance(kind, datasets.Image):
                rows = rows.cast_column(column, datasets.Image(decode=False))
            elif isinstance(kind, datasets.ClassLabel):
                classes[column] = dict(enumerate(kind.names))
    except Exception as error:  # the network's, the hub's and datasets' own: many kinds
        raise OwnDataError(f"{name!r} is no file or folder here, and no data set of the hub that can be had "
                           f"({told(' '.join(str(error).split()), 120)})") from error
    return from_objects(Path(name), f"a data set of the hub, {split}",
                        ((f"row {i + 1}", with_names(row, classes)) for i, row in enumerate(rows)), asked)
