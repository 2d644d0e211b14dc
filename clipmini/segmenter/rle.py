"""Masks as text: run lengths, as COCO stores them, so that other tools read what is cut out here."""

from typing import Any

import numpy as np


def counts(mask: np.ndarray) -> list[int]:
    """Runs of a mask (H, W) of booleans, column by column, the first one of False.

    >>> counts(np.array([[0, 1], [0, 1]], bool)), counts(np.array([[1, 0], [1, 0]], bool))
    ([2, 2], [0, 2, 2])
    """
    flat = np.concatenate([[False], np.asarray(mask, bool).flatten("F")])
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), len(flat) - 1)
    return np.diff(ends, prepend=0).tolist()


def encode(mask: np.ndarray) -> dict[str, Any]:
    """{"size": [H, W], "counts": text}: each run as its difference to the one before the last, in groups of five bits,
    the lowest first, a sixth bit where more follow, and 48 added so that it is a letter (pycocotools' maskApi)."""
    runs, letters = counts(mask), []
    for number, run in enumerate(runs):
        value = run - (runs[number - 2] if number > 2 else 0)
        while True:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            letters.append(chr(bits + (32 if more else 0) + 48))
            if not more:
                break
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": "".join(letters)}


def decode(rle: dict[str, Any]) -> np.ndarray:
    """The mask (H, W) of what encode gives. Raises ValueError where the runs don't fill it."""
    h, w = rle["size"]
    runs: list[int] = []
    value = shift = 0
    for letter in rle["counts"]:
        bits = ord(letter) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)  # the last group's sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if sum(runs) != h * w or min(runs, default=0) < 0:
        raise ValueError(f"the runs of a mask fill {sum(runs):,} of {h} x {w} pixels; take both from one file")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape((h, w), order="F")
