"""Scores of many vectors for a few queries: in int8, a quarter of the bytes, with a bound on what that loses."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from clipmini.embedder import quick_bfloat16

BLOCK = 256  # rows of which the scan keeps the largest score first
MANY = 4  # queries that are quicker together in float32, on processors without bfloat16
AT_A_TIME = 4_096  # rows that become bfloat16 for many queries
# Of the largest product of two vectors, by bfloat16's 8 bits: the query is rounded (2 ** -9 of each product of two
# numbers) and the score (2 ** -9), and a little for sums in float32, in the other term too.
ROUNDED, SUMS = 2 ** -8 + 2 ** -10, 2 ** -20


class Short(NamedTuple):
    """Vectors in int8, memory-mapped: codes (N, E) times scales (N,), which bfloat16 holds, plus mean (E,): what all
    have in common needs no bits. error: (), how far a score of the scan may lie from the exact one for a query of
    length 1."""

    codes: np.ndarray
    scales: np.ndarray
    mean: np.ndarray
    error: np.ndarray


def scans(full: np.ndarray, short: Short, queries: Tensor) -> Iterator[tuple[Tensor, float]]:
    """The scores (N,) of full (N, E) for each query (Q, E), and how far they may lie from the exact ones: not at all
    where int8 is not quicker. short: the same vectors."""
    few = len(queries) < MANY
    if not (_reads_int8() if few else quick_bfloat16()):
        for some in queries.split(64):
            yield from ((row, 0.0) for row in (torch.from_numpy(full) @ some.t()).t())
        return
    codes, scales, mean, error = (torch.from_numpy(array) for array in short)
    for some in queries.split(1 if few else 64):
        errors = (error * some.norm(dim=1)).tolist()
        asked = some.bfloat16()
        if few:
            scores = torch._weight_int8pack_mm(asked, codes, scales.bfloat16()).float()
        else:
            scores, room = torch.empty(len(some), len(codes)), torch.empty(AT_A_TIME, codes.shape[1], dtype=asked.dtype)
            for start in range(0, len(codes), AT_A_TIME):
                rows = slice(start, start + AT_A_TIME)
                part = room[:len(codes[rows])].copy_(codes[rows])  # always in the same memory: new memory is slow
                scores[:, rows] = (asked @ part.t()) * scales[rows]
        yield from zip(scores + (some @ mean)[:, None], errors, strict=True)


def _reads_int8() -> bool:
    """Whether torch has a quick product of bfloat16 and int8 for this processor."""
    return hasattr(torch, "_weight_int8pack_mm") and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def largest(scores: Tensor, most: int) -> Tensor:
    """The rows of the largest scores: they lie in the blocks that have the largest ones."""
    whole = len(scores) // BLOCK * BLOCK
    if whole < BLOCK * most:
        return scores.topk(most).indices
    blocks = scores[:whole].view(-1, BLOCK).amax(dim=1).topk(most).indices
    rows = torch.cat([(blocks[:, None] * BLOCK + torch.arange(BLOCK)).flatten(), torch.arange(whole, len(scores))])
    return rows[scores[rows].topk(most).indices]


def shortened(full: np.ndarray, rows: int = AT_A_TIME) -> Short:
    """Vectors (N, E) float32 in int8, to the nearest. rows: at a time."""
    vectors = torch.from_numpy(full)
    mean = vectors.mean(0) if len(vectors) else vectors.new_zeros(vectors.shape[1])
    codes, scales = torch.empty(vectors.shape, dtype=torch.int8), torch.empty(len(vectors))
    lost = longest = torch.zeros(())
    for start in range(0, len(vectors), rows):
        part = vectors[start:start + rows] - mean
        scale = (part.abs().amax(1) / 127 * (1 + 2 ** -7)).clamp(min=1e-12).bfloat16().float()  # never below
        code = (part / scale[:, None]).round()
        lost = torch.maximum(lost, (part - code * scale[:, None]).norm(dim=1).max())
        longest = torch.maximum(longest, part.norm(dim=1).max())
        codes[start:start + rows], scales[start:start + rows] = code.to(torch.int8), scale
    return Short(codes.numpy(), scales.numpy(), mean.numpy(), (lost + longest * ROUNDED + SUMS).numpy())
