"""The checkers of lesson 02: attention."""

import math

import torch

from clipmini.course.base import checker, judge, randn


class Affine:
    """A function for a block: m * x + b."""

    def __init__(self, m: float, b: float):
        self.m, self.b = m, b

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.m * x + self.b


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return (q @ k.t() / q.shape[-1]**0.5).softmax(-1) @ v


def _block(x, norm_1, attend, norm_2, mlp):
    x = x + attend(norm_1(x))
    return x + mlp(norm_2(x))


def _parts(seed: int) -> tuple:
    m = randn(8, seed=seed + 40).tolist()
    return randn(2 + seed, 3 + seed % 3, seed=seed), *(Affine(m[i], m[i + 4]) for i in range(4))



@checker(right=_attention, gradient=True,
         cases=lambda seed: tuple(2 * randn(2 + seed, 3 + 2 * (seed % 3), seed=seed + 70 * s) for s in range(3)))
def attention(function) -> None:
    """Lesson 02: function(q, k, v), each (T, D) -> (T, D)."""
    q, k, v = (2 * randn(5, 4, seed=s) for s in range(3))
    scores = q @ k.t()
    judge(function, (q, k, v), (scores / 2).softmax(-1) @ v, {
        "the scores were not divided by the square root of D": scores.softmax(-1) @ v,
        "the scores were divided by D; its square root keeps their variance near 1": (scores / 4).softmax(-1) @ v,
        "the scores were divided by the root of T, the number of tokens; D is the width":
            (scores / 5**0.5).softmax(-1) @ v,
        "the division comes too late: divide the scores, then take their softmax": scores.softmax(-1) / 2 @ v,
        "the softmax runs down the columns: each query shares out its own row, dim=-1": (scores / 2).softmax(0) @ v,
        "these are the weights (T, T): use them to mix the rows of v": (scores / 2).softmax(-1),
        "the softmax is missing: weights must sum to 1": scores / 2 @ v,
        "keys were mixed; the answer is made of values": (scores / 2).softmax(-1) @ k,
        "queries and keys changed places: row i belongs to query i": (scores.t() / 2).softmax(-1) @ v,
    }, "the numbers differ from softmax(q k^T / sqrt(D)) v")


@checker(right=lambda x: x.masked_fill(torch.ones_like(x).triu(1).bool(), -math.inf).softmax(-1),
         cases=lambda seed: (3 * randn(2 + seed, 2 + seed, seed=seed),))
def causal(function) -> None:
    """Lesson 02: function(scores (T, T)) -> weights (T, T): row i shares itself out among 0 to i."""
    x = randn(4, 4)
    future = torch.ones(4, 4).triu(1).bool()
    shared = x.softmax(-1)
    judge(function, (x,), x.masked_fill(future, -math.inf).softmax(-1), {
        "every token sees its future": shared,
        "the past is hidden and the future seen: the other triangle": x.masked_fill(future.t(), -math.inf).softmax(-1),
        "a score of 0 is no veto, exp(0) is 1: fill with minus infinity": x.masked_fill(future, 0).softmax(-1),
        "rows no longer sum to 1: hide before the softmax, not after": shared.masked_fill(future, 0),
        "these are scores still: softmax after hiding": x.masked_fill(future, -math.inf),
        "softmax along the rows, dim=-1": x.masked_fill(future, -math.inf).softmax(0),
    }, "row i must be a softmax over the places 0 to i; the first row is 1, 0, 0, 0 (a token sees itself)")


@checker(right=_block, cases=_parts)
def block(function) -> None:
    """Lesson 02: function(x, norm_1, attention, norm_2, mlp): x and four functions -> a pre-norm residual block."""
    x = randn(3, 4)
    n1, at, n2, mlp = (Affine(m, b) for m, b in ((2.0, 0.3), (3.0, -1.0), (0.5, 0.7), (5.0, 0.2)))
    a = x + at(n1(x))
    judge(function, (x, n1, at, n2, mlp), a + mlp(n2(a)), {
        "the norms come after the sums (post-norm, as in 2017); CLIP normalises what goes into attention and mlp":
            n2(n1(x + at(x)) + mlp(n1(x + at(x)))),
        "the two x + are missing: without them nothing is carried past a layer": mlp(n2(at(n1(x)))),
        "the mlp saw x as it was before attention: give it the sum": a + mlp(n2(x)),
        "the second sum starts from the old x, so attention's answer is lost": x + mlp(n2(a)),
        "only attention's half is here; mlp comes next": a,
        "the norms changed places: norm_1 goes with attention, norm_2 with the mlp":
            x + at(n2(x)) + mlp(n1(x + at(n2(x)))),
        "the norms are missing": x + at(x) + mlp(x + at(x)),
    }, "it must be x + attention(norm_1(x)), then that + mlp(norm_2(that))")
