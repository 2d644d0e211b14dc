"""Public reports on pictures, folders and rows: a line a case, `right` or `falls short`.

    python tests/benchmarks/cases_pictures.py ../shared/cases

What each file is and what is right is in the folder's README. Everything goes through the commands, as a user's does.
"""

import io
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
from PIL import Image

from clipmini.commands import main as clipmini
from clipmini.picture_file import ImageError, is_blank, open_image

TURNED = {"exif-orient6.jpg", "exif-orient-long.jpg", "exif-selfloop.jpg", "orient6.png", "orient6.webp", "stereo.mpo",
          "stereo-named.jpg"}
REFUSED = {"trunc-prog.jpg", "zero.jpg"}
GREY = {"grey16-trns.png", "grey8-trns.png", "la.png", "bit1-trns.png"}
failed = []


def line(name: str, right: bool, figure: str = "") -> None:
    """Print a case."""
    print(f"{'right' if right else 'falls short':<12} {name:<34} {figure}", flush=True)
    failed.extend([] if right else [name])


def command(*arguments) -> tuple[int, str, str]:
    """(status, stdout, stderr) of a command; a traceback is a status of 99."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = clipmini([os.fspath(a) for a in arguments])
        except Exception as error:
            status = 99
            err.write(repr(error))
    return status, out.getvalue(), err.getvalue()


def pixels(path: Path, reference: Image.Image) -> None:
    """One file against the reference picture, and its answer from the command."""
    start = time.perf_counter()
    status, out, err = command("classify", path, "--labels", "rocket, pizza")
    seconds = time.perf_counter() - start
    if path.name in REFUSED:
        line(path.name, status == 1 and path.name in err and seconds < 10, err.strip()[:80])
        return
    try:
        found = open_image(path)
    except ImageError as error:
        line(path.name, False, str(error))
        return
    right = reference
    if path.name == "white-on-transparent.png":
        line(path.name, is_blank(found) and "the picture is blank" in out, "a note")
        return
    right = right.transpose(Image.Transpose.ROTATE_270) if path.name in TURNED else right
    right = Image.merge("RGB", right.split()[::-1]) if path.name.startswith("icc-swapped") else right
    right = right.convert("L").convert("RGB") if path.name in GREY else right
    same = path.name in ("bit1-trns.png", "pizza.png")  # other drawings: that they are read is what counts
    off = float(np.abs(np.asarray(found.resize(right.size)).astype(int) - np.asarray(right)).mean())
    limit = 10 if path.suffix in (".gif", ".jpg", ".mpo") else 5
    line(path.name, status == 0 and (same or off < limit) and not found.info and seconds < 10, f"off by {off:.1f}")


def odd_folder(cases: Path, folder: Path) -> None:
    """All pictures, and what is to be made."""
    for name in ("pictures", "broken-exif", "broken-exif-png"):
        for file in (cases / name).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
    gbk = os.fsdecode(b"\xbb\xf0\xbc\xfd")
    shutil.copy(folder / "ref.png", folder / f"{gbk}.png")
    (folder / gbk).mkdir()
    shutil.copy(folder / "ref.png", folder / gbk / "x\x1b[31m.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "z.png").mkdir()


def main() -> int:
    """Every case; the status is 1 where one falls short."""
    cases = Path(sys.argv[1]).resolve()
    reference = Image.open(cases / "pictures" / "ref.png").convert("RGB")
    with tempfile.TemporaryDirectory() as name, chdir(name):
        for folder in ("pictures", "broken-exif", "broken-exif-png"):
            for path in sorted((cases / folder).iterdir()):
                pixels(path, reference)
        Path("in").mkdir()
        odd_folder(cases, Path("in"))
        status, out, err = command("map", "in", "--out", "out")
        points = json.loads(Path("out/points.json").read_text(encoding="utf-8")) if status == 0 else {"names": []}
        line("map of all of them", status == 0, out.strip())
        line("names that are not UTF-8", any("\ufffd" in name for name in points["names"]) and "\x1b" not in out + err)
        for name, words in (("pipe.png", "is a pipe"), ("loop.png", "leads back to itself"), ("z.png", "a folder")):
            line(name, any(name in told and words in told for told in err.splitlines()), words)
        for path in sorted((cases / "rows").glob("*.parquet")):
            Path(path.stem).mkdir()
            shutil.copy(path, path.stem)
            copy = ("--dataset", "imagenette", "--folder", path.stem)
            status, out, err = command("evaluate", "emoji", *copy, "--out", f"runs-{path.stem}")
            line(f"evaluate {path.name}", status == 0 and "left out)" in out and "row " in err, out.splitlines()[-2][:70])
            status, out, err = command("prompts", "emoji", *copy)
            line(f"prompts {path.name}", status == 0 and "left out: " in err, out.splitlines()[0] if out else err)
            status, out, err = command("evaluate", "emoji", *copy, "--strict", "--out", "strict")
            line(f"evaluate --strict {path.name}", status == 1 and "row " in err)
    print(f"{len(failed)} fall short")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
