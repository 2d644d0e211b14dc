"""Every raster file of some folders through open_image, `clipmini classify` and `clipmini map`: what was left out, by
reason.

    python tests/benchmarks/raster_files.py /usr /opt

Files are found by their endings and by their first bytes; other disks and links are not entered. Prints a line for each
reason, the totals, the longest seconds of one picture and the peak of memory. Ends with 1 where a command aborts, or
loses count of a file.
"""

import argparse
import contextlib
import io
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from clipmini.commands import main
from clipmini.data.folder import named_pictures
from clipmini.picture_file import HEAD, ImageError, open_image, shown
from clipmini.picture_mending import what_it_is

NO_RASTER = {".pdf", ".eps", ".ps", ".mpg", ".mpeg", ".h5", ".hdf", ".grib", ".bufr", ".wmf", ".emf"}
MORE = {".heic", ".heif", ".jxl", ".xcf", ".exr", ".hdr", ".xpm", ".jxr", ".avif"}
BY_CONTENT = {"JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF", "TIFF", "TIFF or a camera's raw file", "JPEG 2000", "QOI",
              "PNM"}


def raster_files(root: Path) -> Iterator[Path]:
    """The raster files below a folder, in order."""
    Image.init()
    endings = (set(Image.EXTENSION) | MORE) - NO_RASTER
    disk = root.stat().st_dev
    for place, below, names in os.walk(root):
        below[:] = sorted(name for name in below if os.lstat(os.path.join(place, name)).st_dev == disk)
        for path in (Path(place) / name for name in sorted(names)):
            if path.is_file() and not path.is_symlink() and (path.suffix.lower() in endings or is_raster(path)):
                yield path


def is_raster(path: Path) -> bool:
    """Whether the first bytes are those of a raster picture; two letters, as BM, are not enough."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    kind = what_it_is(head)
    if kind == "BMP":
        return head[6:10] == bytes(4)
    return kind in BY_CONTENT


def opened(files: list[Path]) -> tuple[Counter, float]:
    """How many files each kind of refusal has, "" for those that are read; the longest seconds of one."""
    kinds: Counter = Counter()
    longest = 0.0
    for path in files:
        start = time.perf_counter()
        try:
            open_image(path)
            kinds[""] += 1
        except ImageError as error:
            kinds[error.kind] += 1
        longest = max(longest, time.perf_counter() - start)
    return kinds, longest


def said_by(*line: str) -> tuple[int, str, float]:
    """A command's exit status, all that it prints, and its seconds."""
    out, start = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = main(list(line))
    return status, out.getvalue(), time.perf_counter() - start


def run() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default="emoji")
    args = parser.parse_args()
    files = [path for folder in args.folders for path in raster_files(folder.resolve())]
    kinds, longest = opened(files)
    for kind, number in kinds.most_common():
        print(f"{number:6,}  {kind or 'read'}")
    print(f"{len(files):6,}  in all; the longest took {longest:.2f} s")
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)  # `classify` writes left-out.txt here
        there = Path("links")
        there.mkdir()
        for i, path in enumerate(files):
            (there / f"{i:05d}{path.suffix}").symlink_to(path)
        left = len(files) - kinds[""]
        _, said, seconds = said_by("classify", *map(str, files), "--labels", "cat, dog", "--model", args.model)
        told = sum(f"{shown(path)}   (model" in said for path in files)
        print(f"classify: {told:,} answered, {left:,} left out, {seconds:.0f} s")
        wrong += told != kinds[""] or f"{left:,} of {len(files):,} pictures left out" not in said and left > 0
        status, said, seconds = said_by("map", "links", "--out", "map", "--model", args.model)
        print(f"map: {said.splitlines()[-1]}; {seconds:.0f} s")
        wrong += status != 0 or f"{kinds['']:,} pictures and" not in said or len(named_pictures(there).left_out) != left
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(run())
