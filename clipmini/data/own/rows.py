"""What a row of somebody's own data is, and what is wrong with one that cannot be used."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from clipmini.data.base import SourceError
from clipmini.picture_file import shown

MOST_CAPTION = 5_000  # characters of one caption
MAX_BYTES = 64_000_000  # of a picture file inside a table or an archive
# How the bytes of a picture file begin, and so its base64: JPEG, PNG, GIF, WebP, BMP, TIFF twice, ICO.
START = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\x00", b"MM\x00*", b"\x00\x00\x01\x00")


class OwnDataError(SourceError):
    """Data that cannot be read at all, or not as it is asked for; the message names it and the remedy."""


@dataclass(frozen=True)
class Row:
    """A row that can be read. where: "line 3" or a file's name; picture: the content of a file, or a file, or None
    where the row has none; captions: the phrasings; label: the name of its class, where it has one."""

    where: str
    picture: bytes | Path | None
    captions: tuple[str, ...]
    label: str | None = None

    def content(self) -> bytes:
        """The bytes of its picture's file; b"" where it has none. Raises OSError."""
        return self.picture.read_bytes() if isinstance(self.picture, Path) else self.picture or b""


class Bad(NamedTuple):
    """A row that is left out. reason: what is wrong with it, and the limit where there is one."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"

    @property
    def kind(self) -> str:
        """The reason without what is this row's own."""
        return re.sub(r"'[^']*'|\(.*|\d[\d,.]*", "...", self.reason)[:60]


class Found(NamedTuple):
    """What open_rows found. kind: of the data, in words; columns: what is what, in words; rows: the rows, read as they
    are asked for."""

    kind: str
    columns: str
    rows: Iterator[Row | Bad]


@dataclass(frozen=True)
class Asked:
    """What a user says of their data; None is found out. separator: of a table's columns; header: whether its first
    line names them; picture, text, label: names of columns, or their numbers from 1; root: the folder that paths are
    in."""

    separator: str | None = None
    header: bool | None = None
    picture: str | None = None
    text: str | None = None
    label: str | None = None
    root: Path | None = None


def told(value: str, most: int = 40) -> str:
    """A value as a message shows it: short, and in one line."""
    clean = shown(value)
    return clean if len(clean) <= most else f"{clean[:most]}..."


def checked_captions(where: str, captions: list[str], label: str | None) -> tuple[str, ...] | Bad:
    """The captions without empty ones, or what is wrong with them. A label alone is a caption too."""
    good = [" ".join(caption.split()) for caption in captions]
    good = [caption for caption in dict.fromkeys(good) if caption]
    for caption in good:
        if "\0" in caption:
            return Bad(where, f"its text {told(caption)!r} holds a NUL byte")
        if any("\ud800" <= c <= "\udfff" for c in caption):
            return Bad(where, f"its text {told(caption)!r} is not UTF-8")
        if len(caption) > MOST_CAPTION:
            return Bad(where, f"its text {told(caption)!r} has {len(caption):,} characters; the limit is "
                              f"{MOST_CAPTION:,}")
    if not good and not label:
        return Bad(where, "it has no text")
    return tuple(good) or (str(label),)


def from_base64(where: str, text: str) -> bytes | Bad:
    """The content of a picture file from base64, with or without "data:image/png;base64," before it."""
    bare = _bare(text)
    if len(bare) > MAX_BYTES * 4 // 3 + 4:
        return Bad(where, f"its picture has {len(bare):,} characters of base64; the limit is {MAX_BYTES * 4 // 3:,}")
    try:
        letters = "".join(bare.split()).encode("ascii", "strict")
        return base64.b64decode(letters, altchars=_alphabet(bare), validate=True)
    except (binascii.Error, ValueError) as error:
        return Bad(where, f"its picture {told(text)!r} is broken base64 ({error})")


def _bare(text: str) -> str:
    """base64 without "data:image/png;base64," before it."""
    return text.partition(";base64,")[2] if text.startswith("data:") else text


def _alphabet(text: str) -> bytes | None:
    """The two letters that the web's base64 writes otherwise."""
    return b"-_" if ("-" in text or "_" in text) and not ("+" in text or "/" in text) else None


def is_base64_picture(text: str) -> bool:
    """Whether a cell is the beginning of a picture file in base64."""
    bare = _bare(text)
    if len(bare) < 64:
        return False
    try:
        head = base64.b64decode(bare[:64].encode("ascii"), altchars=_alphabet(bare[:64]), validate=True)
    except (binascii.Error, ValueError):
        return False
    return is_picture(head)


def is_picture(content: bytes) -> bool:
    """Whether bytes begin as a picture file does."""
    return content.startswith(START) or content[4:12] in (b"ftypavif", b"ftypheic", b"ftypmif1")


def within(root: Path, name: str, where: str) -> Path | Bad:
    """The file of a name below a folder; Bad for one that is not there, or lies outside, behind a link too."""
    if not name.strip():
        return Bad(where, "it names no picture file")
    if "\0" in name:
        return Bad(where, f"the name of its picture {told(name)!r} holds a NUL byte")
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()):
            return Bad(where, f"its picture {told(name)!r} lies outside of the folder '{shown(root)}'; name the folder "
                              "that all lie in with --root")
        if not path.is_file():
            what = "no file, but something else" if path.exists() else "not there"
            return Bad(where, f"its picture {told(name)!r} in '{shown(root)}' is {what}")
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a loop of links
        return Bad(where, f"its picture {told(name)!r} cannot be looked up ({error})")
    return path
