"""Somebody's own pictures and captions: tables, folders, archives, data sets of the hub, each row of which is told
where it cannot be used. Nothing is guessed that a file does not say; what is found out is told, and can be overridden.
"""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from clipmini.data.own.rows import Asked, Bad, Found, OwnDataError, Row
from clipmini.picture_file import ImageError, open_image, shown

__all__ = ["Asked", "Bad", "Found", "OwnDataError", "Row", "checked", "open_rows", "strictly"]


def open_rows(source: str | Path, asked: Asked = Asked()) -> Found:  # noqa: B008 (frozen)
    """Open a file, a folder or a data set of the hub. Raises OwnDataError for one that cannot be read at all."""
    from clipmini.data.own import places, tables

    path = Path(source)
    try:
        if path.is_dir():
            return places.folder(path, asked)
        if not path.exists():
            return places.hub(str(source), asked)
        with open(path, "rb") as file:
            start = file.read(512)
        if not start.strip():
            raise OwnDataError(f"'{shown(path)}' is empty")
        if start.startswith(b"PAR1") or path.suffix.lower() == ".parquet":
            return tables.parquet(path, asked)
        if start[257:262] == b"ustar" or path.name.lower().endswith((".tar", ".tar.gz", ".tgz")):
            return places.tar(path, asked)
        if path.suffix.lower() in (".jsonl", ".ndjson", ".json") or start.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"{"):
            return tables.json_lines(path, asked)
        return tables.delimited(path, asked)
    except UnicodeError as error:
        raise OwnDataError(f"'{shown(path)}' cannot be read: {error}") from error
    except OSError as error:
        why = error.strerror or error
        raise OwnDataError(f"'{shown(path)}' cannot be opened ({why}); look at its rights") from error


def checked(rows: Iterator[Row | Bad]) -> Iterator[tuple[Row, Image.Image | None] | Bad]:
    """Each row with its picture decoded (a PIL image; None where it has none), or Bad with the reason."""
    for row in rows:
        if isinstance(row, Bad):
            yield row
            continue
        try:
            yield row, None if row.picture is None else open_image(row.picture, keep_alpha=True)
        except ImageError as error:
            name = f"'{shown(row.picture.name)}' " if isinstance(row.picture, Path) else ""
            yield Bad(row.where, f"its picture cannot be used: {str(error).removeprefix(name)}")


def strictly(rows: Iterator, strict: bool) -> Iterator:
    """The same rows; strict: raise OwnDataError for the first that is Bad."""
    for row in rows:
        if strict and isinstance(row, Bad):
            raise OwnDataError(f"{row}. Mend it, or omit --strict and it is left out")
        yield row
