"""Exact search against faiss's IndexFlatIP: one query, and 64, one thread each, in the same run.

    python -m pip install faiss-cpu && python tests/benchmarks/bench_search.py --rows 1000000 --width 512

Alternates the two, and prints the median of the ratios, the rows that both find, and how long an index takes to open.
"""

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

if __name__ == "__main__":  # not where pytest looks for examples: what its tests start would inherit it
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F


def main() -> None:
    import faiss

    from clipmini.tasks.index import Known, _write, in_memory, open_index, search

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=200_000)
    p.add_argument("--width", type=int, default=512)
    p.add_argument("--rounds", type=int, default=9)
    args = p.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    full = F.normalize(torch.randn(args.rows, args.width, generator=generator), dim=1).numpy()
    index = in_memory([str(i) for i in range(args.rows)], torch.from_numpy(full))
    theirs = faiss.IndexFlatIP(args.width)
    theirs.add(full)
    for count in (1, 64):
        queries = F.normalize(torch.randn(count, args.width, generator=generator), dim=1)
        ratios, ours_s, theirs_s = [], [], []
        for _ in range(args.rounds):
            begin = time.perf_counter()
            found = search(index, queries, 10)
            middle = time.perf_counter()
            _, rows = theirs.search(queries.numpy(), 10)
            end = time.perf_counter()
            ours_s.append(middle - begin)
            theirs_s.append(end - middle)
            ratios.append((end - middle) / (middle - begin))
        same = all([int(hit.path) for hit in hits] == row for hits, row in zip(found, rows.tolist(), strict=True))
        took = f"{1000 * np.median(ours_s):.1f} against {1000 * np.median(theirs_s):.1f} ms, medians of {args.rounds}"
        print(f"{args.rows:,} x {args.width}, {count} queries: {np.median(ratios):.2f} times faiss's speed ({took}), "
              f"same rows: {same}")
    with TemporaryDirectory() as folder:
        place = Path(folder) / "ix"
        _write(place, {"format": 1}, [Known(str(i), 1, 1, str(i)) for i in range(args.rows)], full)
        begin = time.perf_counter()
        open_index(place)
        print(f"opening an index of {args.rows:,}: {time.perf_counter() - begin:.3f} s")


if __name__ == "__main__":
    main()
