"""Pictures of a training that is larger than memory: decoded when a batch asks for them, the next batch meanwhile."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

SHARE = 0.25  # of the computer's memory: decoded pictures that take more are not kept there
DECODERS = 2  # threads; Pillow lets go of Python's lock while it works


def too_large(rows: int, side: int) -> bool:
    """Whether so many decoded pictures are more than memory should hold."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        memory = 8 * 2**30
    return rows * side * side * 4 > SHARE * memory


class Pictures:
    """What stands in the place of the tensor Pairs.rgba, uint8 (rows, S, S, 4).

    read: row -> array (S, S, 4); raises TrainingError naming the row. Batches are the same to the bit.
    """

    def __init__(self, rows: int, side: int, read: Callable[[int], np.ndarray]):
        self.shape = (rows, side, side, 4)
        self._read = read
        self._soon: dict[int, Future] = {}
        self._pool = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def expect(self, rows: Tensor) -> None:
        """Begin to decode rows (B,) that are asked for next; others that were expected are forgotten."""
        wanted = dict.fromkeys(rows.tolist())
        with self._lock:
            for row in self._soon.keys() - wanted.keys():
                self._soon.pop(row).cancel()
            for row in wanted:
                if row not in self._soon:
                    self._soon[row] = self._pool.submit(self._read, row)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Rows (B,) or a slice -> uint8 (B, S, S, 4)."""
        numbers = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
        with self._lock:
            known = {row: self._soon.pop(row, None) for row in numbers}
        found = {row: future or self._pool.submit(self._read, row) for row, future in known.items()}
        out = np.empty((len(numbers), *self.shape[1:]), dtype=np.uint8)
        for place, row in enumerate(numbers):
            out[place] = found[row].result()
        return torch.from_numpy(out)

    def split(self, size: int) -> Iterator[Tensor]:
        """All rows in order, so many at a time; the next ones are decoded meanwhile."""
        for start in range(0, len(self), size):
            part = self[start:start + size]
            self.expect(torch.arange(len(self))[start + size:start + 2 * size])
            yield part
