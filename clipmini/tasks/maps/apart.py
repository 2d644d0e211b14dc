"""UMAP in a process of its own: its compiler holds Python's lock, so that a server would answer nobody meanwhile, and
a thread can't be stopped when the visitor who wanted the map has left.

`python -m clipmini.tasks.maps.apart FOLDER SEED` is what runs there.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from clipmini.tasks.maps.projection import MapError, checked, umap

LIMIT = 300.0  # seconds; 2,884 points twice take 20 on two cores, most of it compiling
TICK = 0.25  # seconds between two looks


def umap_apart(points: list[Tensor], seed: int = 0, limit: float = LIMIT) -> Iterator[float | list[Tensor]]:
    """`umap` of each (N, E) in another process: yields the seconds that have passed, and at last the maps, (N, 2) each.

    Whoever closes the generator ends the process. Raises MapError when the time is up, and when the process fails.
    """
    with TemporaryDirectory(prefix="clipmini-umap-") as folder:
        for i, vectors in enumerate(points):
            np.save(Path(folder) / f"points-{i}.npy", checked(vectors).numpy(), allow_pickle=False)
        process, start = _start(Path(folder), seed), time.monotonic()
        try:
            while process.poll() is None:
                passed = time.monotonic() - start
                if passed > limit:
                    raise MapError(f"UMAP of {len(points[0]):,} points was stopped after {limit:.0f} seconds; the map "
                                   "by PCA stays. Take fewer points")
                yield passed
                with suppress(subprocess.TimeoutExpired):
                    process.wait(TICK)
            if process.returncode:
                said = (Path(folder) / "errors.txt").read_text(errors="replace").strip().splitlines()
                raise MapError(f"UMAP ended with code {process.returncode} ({' '.join(said[-1:])}); the map by PCA "
                               "stays")
            maps = [torch.from_numpy(np.load(Path(folder) / f"map-{i}.npy", allow_pickle=False))
                    for i in range(len(points))]
        finally:
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
        yield maps


def _start(folder: Path, seed: int) -> subprocess.Popen:
    """The process; it ends when our end of its standard input closes, as that of a server that was killed does."""
    package = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    with open(folder / "errors.txt", "wb") as errors:
        return subprocess.Popen([sys.executable, "-m", "clipmini.tasks.maps.apart", str(folder), str(seed)],
                                stdin=subprocess.PIPE, stdout=errors, stderr=errors,
                                env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder)})


def main() -> None:
    """Read points-0.npy, points-1.npy ... of a folder and write map-0.npy, map-1.npy ..."""
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    with suppress(AttributeError, OSError):
        os.nice(5)  # answers come first
    for path in sorted(folder.glob("points-*.npy")):
        xy = umap(torch.from_numpy(np.load(path, allow_pickle=False)), seed)
        np.save(folder / path.name.replace("points", "map"), xy.numpy(), allow_pickle=False)


def _end_with_the_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
