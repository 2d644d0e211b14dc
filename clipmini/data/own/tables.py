"""Tables: base64 TSV, CSV and its kin, JSON lines, Parquet. What columns are is found out, told, and overridable."""

import json
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from clipmini.data.own.lines import decoded, lines, records
from clipmini.data.own.rows import (
    Asked,
    Bad,
    Found,
    OwnDataError,
    Row,
    checked_captions,
    from_base64,
    is_base64_picture,
    is_picture,
    told,
    within,
)
from clipmini.picture_file import ENDINGS

NAMES = {  # what columns are called, in lower case and without _ and -
    "picture": ("image", "picture", "img", "photo", "imagepath", "picturepath", "path", "file", "filename", "filepath",
                "filenames", "imageid", "imgpath", "imagefile", "base64", "imagebase64", "jpg", "png"),
    "text": ("text", "caption", "captions", "sentence", "sentences", "title", "description", "txt", "prompt", "texts",
             "alt", "alttext"),
    "label": ("label", "labels", "class", "category", "classname"),
}
SEPARATORS = "\t,;|"
SHORT = 64  # characters: base64 of a picture has more
LOOKED_AT = 50  # rows that are looked at to find out what is what
EXAMPLE = "name them with --picture-column, --text-column and --label-column, by name or by number from 1"


def delimited(path: Path, asked: Asked) -> Found:
    """A table of text. Raises OwnDataError where it has no rows, or its columns can't be told."""
    separator = asked.separator or _separator(path)
    rows = records(path, separator)
    seen, good = _first(path.name, rows)
    named = asked.header if asked.header is not None else _is_header(good[0])
    header = good[0] if named else [str(i + 1) for i in range(len(good[0]))]
    root = asked.root or path.parent
    roles = _roles(path.name, header, good[1:] if named else good, asked)
    if named:
        skipped = next(i for i, (_, cells) in enumerate(seen) if not isinstance(cells, Bad))
        del seen[skipped]
        if not good[1:]:
            raise OwnDataError(f"'{path.name}' has a header ({', '.join(map(told, header))}) and no rows")

    def read() -> Iterator[Row | Bad]:
        for number, cells in chain(seen, rows):
            where = f"line {number}"
            if isinstance(cells, Bad):
                yield cells
            elif len(cells) != len(header):
                yield Bad(where, f"it has {len(cells)} column{'s' * (len(cells) != 1)}, the others have {len(header)}: "
                                 f"{told(' | '.join(cells))!r}")
            else:
                yield _row(where, {role: cells[i] for role, i in roles.items()}, root)

    shown = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}.get(separator, repr(separator))
    return Found(f"a table of text, columns separated by {shown}, {'with' if named else 'without'} a header",
                 _said(roles, header), read())


def json_lines(path: Path, asked: Asked) -> Found:
    """One JSON object a line."""
    def objects() -> Iterator[tuple[str, dict | Bad]]:
        for number, line in lines(path):
            where = f"line {number}"
            if isinstance(line, Bad):
                yield where, line
                continue
            try:
                value = json.loads(decoded(line))
                yield where, value if isinstance(value, dict) else Bad(where, "it is no JSON object in braces")
            except (ValueError, RecursionError) as error:
                yield where, Bad(where, f"it is no JSON ({told(str(error), 80)})")

    return from_objects(path, "JSON lines", objects(), asked)


def parquet(path: Path, asked: Asked) -> Found:
    """A Parquet file, read a batch at a time. Raises OwnDataError for one that is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise OwnDataError(f"'{path.name}' is no whole Parquet file ({told(str(error), 90)}); copy it again") from error

    names = _class_names(file.schema_arrow.metadata or {})

    def objects() -> Iterator[tuple[str, dict | Bad]]:
        number = 0
        try:
            for batch in file.iter_batches(batch_size=64):
                for value in batch.to_pylist():
                    number += 1
                    yield f"row {number}", with_names(value, names)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            where = f"rows from {number + 1}"
            yield where, Bad(where, f"they cannot be read, and are left out ({told(str(error), 90)})")

    return from_objects(path, f"Parquet, {file.metadata.num_rows:,} rows", objects(), asked)


def with_names(row: dict, classes: dict[str, dict[Any, str]]) -> dict:
    """A row with the names of its classes in the place of their numbers. -1, a class that nobody knows, stays."""
    return row | {column: classes[column].get(row[column], row[column]) for column in classes.keys() & row.keys()}


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, dict[Any, str]]:
    """{column: {number: name}} of the classes that `datasets` wrote into a Parquet file's head."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {column: dict(enumerate(kind["names"])) for column, kind in features.items()
                if isinstance(kind, dict) and kind.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _first(source: str, rows: Iterator[tuple[Any, Any]]) -> tuple[list[tuple[Any, Any]], list]:
    """(the first rows, by which it is found out what is what; those of them that can be read). Raises OwnDataError."""
    seen = list(islice(rows, LOOKED_AT))
    good = [row for _, row in seen if not isinstance(row, Bad)]
    if not good:
        raise OwnDataError(f"'{source}' has no rows that can be read" + (f": {seen[0][1].reason}" if seen else ""))
    return seen, good


def from_objects(path: Path, kind: str, objects: Iterator[tuple[str, dict | Bad]], asked: Asked) -> Found:
    """Rows that are dicts already: (where, columns by name). path: what messages name, and where paths begin."""
    seen, good = _first(path.name, objects)
    header = list(dict.fromkeys(name for value in good for name in value))
    root = asked.root or path.parent
    roles = _roles(path.name, header, [[value.get(name) for name in header] for value in good], asked)

    def read() -> Iterator[Row | Bad]:
        for where, value in chain(seen, objects):
            yield value if isinstance(value, Bad) else _row(
                where, {role: value.get(header[i]) for role, i in roles.items()}, root)

    return Found(kind, _said(roles, header), read())


def _separator(path: Path) -> str:
    """Of a table of text: the one that its first lines hold, each as often."""
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    first = [decoded(line) for _, line in islice(lines(path), 10) if not isinstance(line, Bad)]
    counts = {c: [line.count(c) for line in first] for c in SEPARATORS}
    same = [c for c in SEPARATORS if counts[c] and min(counts[c]) > 0 and len(set(counts[c])) == 1]
    some = [c for c in SEPARATORS if counts[c] and min(counts[c]) > 0]
    return (same or some or ["," if path.suffix.lower() == ".csv" else "\t"])[0]


def _is_header(cells: list[str]) -> bool:
    """Whether a first row names the columns: one of the usual names, and no picture. A caption may be such a name too,
    and then has a picture beside it."""
    return any(map(_role, cells)) and not any(_holds_picture(cell) or _names_picture(cell) for cell in cells)


def _role(name: Any) -> str | None:
    plain = str(name).strip().lower().replace("_", "").replace("-", "").replace(" ", "")
    return next((role for role, names in NAMES.items() if plain in names), None)


def _roles(source: str, header: list[str], rows: list[list], asked: Asked) -> dict[str, int]:
    """Which column is what: as asked, else by its name, else by what is in it. Raises OwnDataError."""
    roles: dict[str, int] = {}
    for role in NAMES:
        if wanted := getattr(asked, role):
            roles[role] = _numbered(source, header, wanted)
    for role in NAMES:
        named = [i for i, name in enumerate(header) if _role(name) == role and i not in roles.values()]
        if role not in roles and named:
            roles[role] = named[0]
    free = [i for i in range(len(header)) if i not in roles.values()]
    if "picture" not in roles:
        tests: tuple[Callable[[Any], bool], ...] = (_holds_picture, _names_picture)
        found = [i for test in tests for i in free if any(test(row[i]) for row in rows if i < len(row))]
        roles |= {"picture": found[0]} if found else {}
    free = [i for i in free if i not in roles.values()]
    if "text" not in roles and "label" not in roles and len(free) == 1:
        roles["text"] = free[0]
    if not roles or ("text" not in roles and "label" not in roles and free):
        listed = ", ".join(map(told, header))
        raise OwnDataError(f"'{source}': which of its columns is what? It has {listed}; {EXAMPLE}")
    return roles


def _numbered(source: str, header: list[str], wanted: str) -> int:
    if wanted in header:
        return header.index(wanted)
    if wanted.isdigit() and 1 <= int(wanted) <= len(header):
        return int(wanted) - 1
    raise OwnDataError(f"'{source}' has no column {wanted!r}; it has {', '.join(map(told, header))}, numbered from 1")


def _holds_picture(cell: Any) -> bool:
    if isinstance(cell, dict):
        return "bytes" in cell or "path" in cell
    return is_picture(cell) if isinstance(cell, bytes) else isinstance(cell, str) and is_base64_picture(cell)


def _names_picture(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell) < 1000 and cell.lower().endswith(ENDINGS)


def _said(roles: dict[str, int], header: list[str]) -> str:
    return ", ".join(f"{role}: column {i + 1}" + (f" ({told(header[i])})" if header[i] != str(i + 1) else "")
                     for role, i in roles.items())


def _row(where: str, cells: dict[str, Any], root: Path) -> Row | Bad:
    """A Row of its cells."""
    label = cells.get("label")
    label = None if label is None or not str(label).strip() else str(label).strip()
    text = cells.get("text")
    captions = checked_captions(where, [str(c) for c in (text if isinstance(text, list) else [text]) if c is not None],
                                label) if "text" in cells or label is not None or "picture" not in cells else ()
    if isinstance(captions, Bad):
        return captions
    picture = _picture(where, cells["picture"], root) if "picture" in cells else None
    return picture if isinstance(picture, Bad) else Row(where, picture, captions, label)


def _picture(where: str, cell: Any, root: Path) -> bytes | Path | Bad:
    if isinstance(cell, dict):  # as datasets keeps them
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, (bytes, bytearray)):
        return bytes(cell) or Bad(where, "its picture is empty")
    if cell is None or not str(cell).strip():
        return Bad(where, "it has no picture")
    text = str(cell).strip()
    named = len(text) < 1000 and text.lower().endswith(ENDINGS) or len(text) < SHORT and ("/" in text or "." in text)
    return within(root, text, where) if named else from_base64(where, text)
