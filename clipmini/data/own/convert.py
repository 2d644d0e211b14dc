"""Somebody's data written again in another of the formats that can be read; pictures keep their bytes."""

import base64
import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from clipmini.data.own import Bad, OwnDataError, Row
from clipmini.files import written_whole

KINDS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "ICO": "ico", "AVIF": "avif",
         "MPO": "jpg"}
ENDINGS = ".tsv, .csv, .jsonl, .parquet or .tar, or no ending for a folder"


def convert(rows: Iterator[Row | Bad], out: Path) -> tuple[int, list[Bad]]:
    """Write rows to a file or folder that is not there yet, whole or not at all -> (rows written, what was left out).

    The ending says which format. .tsv is EasyNLP's: text, tab, picture in base64, a line for each caption, no header;
    labels are not in it. Raises OwnDataError for another ending, or where out is there already.
    """
    writer = WRITERS.get(out.suffix.lower())
    if writer is None:
        raise OwnDataError(f"'{out.name}': by its ending nothing is known of that format; end it in {ENDINGS}")
    if out.exists():
        raise OwnDataError(f"'{out}' is there already; name another one, or remove it first")
    left_out: list[Bad] = []
    written = 0

    def good() -> Iterator[tuple[Row, bytes]]:
        nonlocal written
        for row in rows:
            if isinstance(row, Bad):
                left_out.append(row)
                continue
            try:
                content = row.content()
            except OSError as error:
                left_out.append(Bad(row.where, f"its picture cannot be read ({error.strerror})"))
                continue
            written += 1
            yield row, content

    with written_whole(out, "data") as temporary:
        writer(good(), temporary)
    return written, left_out


def kind_of(content: bytes) -> str:
    """The ending of a picture file with this content, "bin" where it is none."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return KINDS.get(image.format or "", "bin")
    except Exception:  # decoders raise many kinds, and the bytes are kept anyhow
        return "bin"


def _tsv(rows: Iterator[tuple[Row, bytes]], path: Path) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for row, content in rows:
            for caption in row.captions:
                picture = "\t" + base64.b64encode(content).decode() if content else ""
                file.write(f"{caption}{picture}\n")  # captions have no tabs and line ends: rows.checked_captions


def _csv(rows: Iterator[tuple[Row, bytes]], path: Path) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["image", "caption", "label"])
        for row, content in rows:
            picture = base64.b64encode(content).decode()
            out.writerows([picture, caption, row.label or ""] for caption in row.captions)


def _json_lines(rows: Iterator[tuple[Row, bytes]], path: Path) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for row, content in rows:
            said = {"image": base64.b64encode(content).decode(), "captions": list(row.captions)}
            file.write(json.dumps(said | ({"label": row.label} if row.label else {}), ensure_ascii=False) + "\n")


def _parquet(rows: Iterator[tuple[Row, bytes]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
                        ("captions", pa.list_(pa.string())), ("label", pa.string())])
    with pq.ParquetWriter(path, schema) as out:
        for row, content in rows:
            table = [{"image": {"bytes": content, "path": None}, "captions": list(row.captions), "label": row.label}]
            out.write_batch(pa.RecordBatch.from_pylist(table, schema), row_group_size=256)


def _tar(rows: Iterator[tuple[Row, bytes]], path: Path) -> None:
    with tarfile.open(path, "w") as out:
        for number, (row, content) in enumerate(rows):
            said = json.dumps({"captions": list(row.captions), "label": row.label}, ensure_ascii=False)
            for ending, part in ((kind_of(content), content), ("json", said.encode("utf-8"))):
                member = tarfile.TarInfo(f"{number:08d}.{ending}")
                member.size = len(part)
                out.addfile(member, io.BytesIO(part))


def _folder(rows: Iterator[tuple[Row, bytes]], path: Path) -> None:
    path.mkdir()
    with open(path / "metadata.jsonl", "w", encoding="utf-8", newline="\n") as table:
        for number, (row, content) in enumerate(rows):
            name = f"{number:08d}.{kind_of(content)}"
            (path / name).write_bytes(content)
            said = {"file_name": name, "captions": list(row.captions)} | ({"label": row.label} if row.label else {})
            table.write(json.dumps(said, ensure_ascii=False) + "\n")


WRITERS: dict[str, Callable[[Iterator[tuple[Row, bytes]], Path], None]] = {
    ".tsv": _tsv, ".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet, ".tar": _tar, "": _folder}
