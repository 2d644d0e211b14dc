"""The lines of a file, however they end, none of them larger in memory than the limit; and the records of a table."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from clipmini.data.own.rows import MAX_BYTES, Bad, told

MAX_LINE = MAX_BYTES * 4 // 3 + 1_000_000  # bytes: a picture in base64, and words
CHUNK = 1 << 20
MOST_LINES = 100  # of one record whose text has line breaks in quotation marks
BOM = b"\xef\xbb\xbf"

csv.field_size_limit(MAX_LINE)


def lines(path: Path) -> Iterator[tuple[int, bytes | Bad]]:
    """(number from 1, line without its end) of a file; Bad in place of a line that is too long. Lines end with \\n,
    \\r\\n or \\r, also mixed; a byte-order mark is taken away; empty lines are passed over."""
    number, kept, lost, after_r = 0, bytearray(), 0, False
    with open(path, "rb") as file:
        if (head := file.read(2)) in (b"\xff\xfe", b"\xfe\xff"):
            raise UnicodeError("it is in UTF-16; save it as UTF-8")
        file.seek(len(BOM) if head + file.read(1) == BOM else 0)
        while chunk := file.read(CHUNK):
            if after_r and chunk.startswith(b"\n"):
                chunk = chunk[1:]
            after_r = chunk.endswith(b"\r")
            *whole, rest = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            for part in whole:
                number += 1
                if line := _line(number, kept, part, lost):
                    yield number, line
                kept, lost = bytearray(), 0
            if len(kept) + len(rest) > MAX_LINE:
                kept, lost = bytearray(), lost + len(kept) + len(rest)
            elif lost:
                lost += len(rest)
            else:
                kept += rest
    if line := _line(number + 1, kept, b"", lost):
        yield number + 1, line


def _line(number: int, kept: bytearray, part: bytes, lost: int) -> bytes | Bad | None:
    size = lost + len(kept) + len(part)
    if lost or size > MAX_LINE:
        return Bad(f"line {number}", f"it has {size:,} bytes; the limit of a line is {MAX_LINE:,}")
    return bytes(kept) + part or None


def decoded(line: bytes) -> str:
    """Text; bytes that are no UTF-8 become surrogates, which rows.checked_captions tells."""
    return line.decode("utf-8", "surrogateescape")


def records(path: Path, separator: str) -> Iterator[tuple[int, list[str] | Bad]]:
    """(number of its first line, cells) of a table of text. Between tabs quotation marks are letters, as in base64 TSV
    files; elsewhere a cell in them may hold separators and line breaks."""
    waiting: list[str] = []
    first = 0
    for number, line in lines(path):
        if isinstance(line, Bad):
            yield number, line
            continue
        text = decoded(line)
        if separator == "\t":
            yield number, text.split("\t")
            continue
        waiting.append(text)
        first = first or number
        if sum(part.count('"') for part in waiting) % 2 == 0:
            yield first, _cells("\n".join(waiting), separator)
            waiting, first = [], 0
        elif len(waiting) >= MOST_LINES:
            yield first, _unclosed(first, waiting)
            waiting, first = [], 0
    if waiting:
        yield first, _unclosed(first, waiting)


def _cells(text: str, separator: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])


def _unclosed(number: int, waiting: list[str]) -> Bad:
    return Bad(f"line {number}", f"a quotation mark in {told(waiting[0])!r} is not closed within {len(waiting)} lines, "
                                 "which are left out")
