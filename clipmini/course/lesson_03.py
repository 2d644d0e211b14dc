"""The checkers of lesson 03: seeing."""

import torch

from clipmini.course.base import checker, judge, randn


def _patches(x: torch.Tensor, p: int) -> torch.Tensor:
    B, C, S, _ = x.shape
    g = S // p
    return x.reshape(B, C, g, p, g, p).permute(0, 2, 4, 1, 3, 5).reshape(B, g * g, C * p * p)


def _with_class(patches: torch.Tensor, cls: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return torch.cat([cls.expand(len(patches), 1, -1), patches], 1) + positions


def _sizes(seed: int) -> tuple[int, int, int]:
    return 1 + seed % 3, 2 + seed % 4, 3 + seed % 5


@checker(right=_patches, cases=lambda seed: (randn(1 + seed % 2, 1 + seed % 4, *[(2 + seed % 3) * (1 + seed % 4)] * 2,
                                                   seed=seed), 1 + seed % 4))
def patchify(function) -> None:
    """Lesson 03: function(pixels (B, C, S, S), p) -> (B, P, C * p * p), patches row by row."""
    x, p = torch.arange(2 * 3 * 6 * 6.0).view(2, 3, 6, 6), 2
    parts = x.reshape(2, 3, 3, 2, 3, 2)  # B C gy py gx px
    right = parts.permute(0, 2, 4, 1, 3, 5).reshape(2, 9, 12)
    judge(function, (x, p), right, {
        "reshape alone cuts strips of pixels: split both sides, then permute": x.reshape(2, 9, 12),
        "patches come column by column; the second must be to the right of the first":
            parts.permute(0, 4, 2, 1, 3, 5).reshape(2, 9, 12),
        "inside a patch colours come last; CLIP's conv1 has (colour, row, column)":
            parts.permute(0, 2, 4, 3, 5, 1).reshape(2, 9, 12),
        "each patch lies on its side: inside a patch its rows come first, then its columns":
            parts.permute(0, 2, 4, 1, 5, 3).reshape(2, 9, 12),
        "the grid is still two axes: flatten it, (B, P, ...)": parts.permute(0, 2, 4, 1, 3, 5).reshape(2, 3, 3, 12),
    }, "patch 0 must hold the upper left corner of every colour, patch 1 the one to its right")


@checker(right=_with_class, gradient=True, cases=lambda seed: (
    randn(*_sizes(seed), seed=seed), randn(_sizes(seed)[2], seed=seed + 30), randn(_sizes(seed)[1] + 1, _sizes(seed)[2],
                                                                                  seed=seed + 60)))
def add_class_token(function) -> None:
    """Lesson 03: function(patches (B, P, W), cls (W,), positions (P + 1, W)) -> (B, P + 1, W)."""
    patches, cls, positions = randn(2, 4, 3), randn(3, seed=1), randn(5, 3, seed=2)
    rows = cls.expand(2, 1, 3)
    judge(function, (patches, cls, positions), torch.cat([rows, patches], 1) + positions, {
        "the class token stands last; CLIP reads its answer at place 0": torch.cat([patches, rows], 1) + positions,
        "positions are missing: without them a picture is a bag of patches": torch.cat([rows, patches], 1),
        "only patches got a position; the class token has the first one": torch.cat([rows, patches + positions[1:]], 1),
        "the class token was added to every patch; it is a token of its own, cat": patches + cls + positions[1:],
        "the class token has the last position; it has the first":
            torch.cat([rows + positions[-1], patches + positions[:-1]], 1),
        "there is no class token": patches + positions[1:],
    }, "it must be cat([cls, patches]) along the tokens, plus positions")


@checker(right=lambda x: (x @ x.mean(0) / x.shape[1]**0.5).softmax(0) @ x, gradient=True,
         cases=lambda seed: (3 * randn(2 + seed, 3 + 2 * (seed % 4), seed=seed),))
def attention_pool(function) -> None:
    """Lesson 03: function(cells (P, W)) -> (W,): the cells weighed by softmax(mean . cell / sqrt(W))."""
    x = 3 * randn(6, 4)
    mean = x.mean(0)
    scores = x @ mean
    judge(function, (x,), (scores / 2).softmax(0) @ x, {
        "this is the plain mean: every cell weighs the same": mean,
        "this is the largest of each column (max pooling)": x.amax(0),
        "scores were not divided by the square root of W": scores.softmax(0) @ x,
        "weights must sum to 1: the softmax is missing": scores / 2 @ x,
        "these are the weights (P,): mix the cells with them": (scores / 2).softmax(0),
        "only the best cell was kept; a softmax lets all have a share": x[scores.argmax()],
        "the division comes too late: divide the scores, then take their softmax": scores.softmax(0) / 2 @ x,
        "the mean itself was weighed too; that comes in the package's layer, here only the cells answer":
            (torch.cat([mean[None], x]) @ mean / 2).softmax(0) @ torch.cat([mean[None], x]),
    }, "it must be softmax(cells @ mean / sqrt(W)) @ cells")
