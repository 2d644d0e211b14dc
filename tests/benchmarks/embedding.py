"""`clipmini embed` of many pictures: does its memory grow with their number, is anything lost when it is killed, and how
near do two decoding workers bring it to the speed of the tower alone?

    python tests/benchmarks/embedding.py --pictures 10000 100000 --kills 3

Pictures are made by program into a folder that is removed afterwards: noise over a colour, JPEG, 64 to 200 pixels a side.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

import clipmini

ROOT = Path(__file__).resolve().parents[2]
A_FOLDER = 1000  # files


def make(folder: Path, start: int, count: int) -> None:
    """Pictures number start to count."""
    rng = np.random.default_rng(start)
    base = rng.integers(0, 255, (25, 25, 3), dtype=np.uint8)
    for i in range(start, count):
        place = folder / f"{i // A_FOLDER:03d}"
        place.mkdir(parents=True, exist_ok=True)
        colour = (i * 7919 % 256, i * 104729 % 256, i * 1299709 % 256)
        picture = Image.blend(Image.new("RGB", (25, 25), colour), Image.fromarray(base), 0.3)
        picture.resize((64 + i % 137, 64 + i % 101)).save(place / f"{i:06d}.jpg", quality=85)


def peak(process: subprocess.Popen) -> float:
    """Megabytes at most so far; 0 once it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1000
    except (OSError, IndexError):
        return 0.0


def embed(folder: Path, out: Path, model: str, kill_after: float | None = None) -> tuple[float, float, bool]:
    """(seconds, megabytes at most, whether it ended by itself) of the command."""
    command = [sys.executable, "-m", "clipmini", "embed", str(folder), "--model", model, "--out", str(out)]
    start, most = time.perf_counter(), 0.0
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        most = max(most, peak(process))
        if kill_after and time.perf_counter() - start > kill_after:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return time.perf_counter() - start, most, False
        time.sleep(0.2)
    assert process.returncode == 0
    return time.perf_counter() - start, most, True


def tower_alone(model: str, seconds: float = 5) -> float:
    """Pictures per second of the tower on pixels that are there, in batches of 64."""
    embedder = clipmini.load(model, fast=True, device="cpu")
    size = embedder.config.vision.image_size
    pixels, count = torch.randn(64, 3, size, size), 0
    with torch.no_grad():
        embedder.model.encode_image(pixels)
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            embedder.model.encode_image(pixels)
            count += 64
    return count / (time.perf_counter() - start)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pictures", type=int, nargs="+", default=[10_000, 100_000])
    p.add_argument("--model", default="emoji")
    p.add_argument("--kills", type=int, default=3)
    args = p.parse_args()
    root, done, times = Path(tempfile.mkdtemp()), 0, []
    try:
        for count in sorted(args.pictures):
            make(root / "pictures", done, count)
            done, out = count, root / f"{count}.parquet"
            seconds, most, _ = embed(root / "pictures", out, args.model)
            print(f"{count:,} pictures: {seconds:.1f} s, {count / seconds:.0f} a second with the start, {most:.0f} MB at most",
                  flush=True)
            times.append((count, seconds))
            again = root / "killed.parquet"
            for _ in range(args.kills):
                whole = embed(root / "pictures", again, args.model, kill_after=seconds / (args.kills + 1))[2]
                assert not whole, "it was too quick to be killed"
            embed(root / "pictures", again, args.model)
            first, second = (pq.read_table(file).to_pydict() for file in (out, again))
            assert first["path"] == second["path"] and len(set(first["path"])) == count
            apart = max(np.abs(np.subtract(a, b)).max() for a, b in zip(first["vector"], second["vector"], strict=True))
            print(f"killed {args.kills} times: {count:,} rows, none twice, none missing; vectors differ by {apart:.1e} at most",
                  flush=True)
            again.unlink()
        alone = tower_alone(args.model)
        print(f"the tower alone: {alone:.0f} a second")
        if len(times) > 1:
            (few, short), (many, long) = times[0], times[-1]
            print(f"without the start: {(rate := (many - few) / (long - short)):.0f} a second, {rate / alone:.2f} of the tower")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
