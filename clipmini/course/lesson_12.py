"""The checkers of lesson 12: your own pictures."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from clipmini.course.base import checker, expect, is_near, judge, randn, say


def _keys(*numbers: int) -> list[str]:
    """A key for each number, as sha256 writes it; equal numbers are copies of one picture."""
    return [hashlib.sha256(f"picture {number}".encode()).hexdigest() for number in numbers]


def _apart(keys: list[str], parts: int) -> list[bool]:
    return [int(key[:8], 16) % parts == 0 for key in keys]


@checker(right=_apart, cases=lambda seed: (
    _keys(*(seed * 100 + i for i in range(9 + seed)), *(seed * 100 + i for i in range(0, 9, 2))), 2 + seed % 5))
def keep_apart(function) -> None:
    """Lesson 12: function(keys, parts) -> a list with True for each row that is kept for measuring: where the number of
    the key's first eight hexadecimal digits is divisible by parts.
    """
    keys, parts = _keys(*range(8), *range(8), 20, 21, 22, 23), 3
    right = _apart(keys, parts)
    numbers = [int(key[:8], 16) for key in keys]
    first = [held and keys.index(key) == i for i, (key, held) in enumerate(zip(keys, right, strict=True))]
    found = function(keys, parts)
    expect(isinstance(found, (list, tuple, Tensor, np.ndarray)),
           say("this is of the type {kind}; return a list with True or False for each row", kind=type(found).__name__))
    expect(not is_near(found, [i for i, held in enumerate(right) if held]),
           "these are the places of the rows that are kept; return True or False for each row")
    expect(not is_near(found, [key for key, held in zip(keys, right, strict=True) if held]),
           "these are the keys that are kept; return True or False for each row")
    expect(len(found) == len(keys),
           say("{found} answers for {right} rows; copies stay in the list, each with its answer", found=len(found),
               right=len(keys)))
    judge(function, (keys, parts), right, {
        "the place of a row decides, so two copies of a picture come to lie on both sides; let its key decide":
            [i % parts == 0 for i in range(len(keys))],
        "True and False are exchanged: True is for the rows that are kept for measuring": [not held for held in right],
        "these are remainders; a row is kept where its remainder is 0": [n % parts for n in numbers],
        "all digits of the key were read; the rule takes the first eight, key[:8]":
            [int(key, 16) % parts == 0 for key in keys],
        "the last eight digits were read; the rule takes the first eight, key[:8]":
            [int(key[-8:], 16) % parts == 0 for key in keys],
        "the first eight digits are right, but the remainder must be 0, not 1": [n % parts == 1 for n in numbers],
        "only the first of several copies is kept; its copies then lie among the rows to learn from": first,
        "nothing is kept: compare the remainder with 0": [False] * len(keys),
    }, "True where int(key[:8], 16) is divisible by parts, else False")


def _low_rank(W: Tensor, A: Tensor, B: Tensor, alpha: float) -> Tensor:
    return W + alpha / len(A) * B @ A


def _matrices(o: int, i: int, r: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    return randn(o, i, seed=seed), randn(r, i, seed=seed + 30), randn(o, r, seed=seed + 60)


@checker(right=_low_rank, gradient=True, cases=lambda seed: (
    *_matrices(3 + seed, 4 + (3 * seed) % 5, 1 + seed % 4, seed), 1.5 + seed))
def add_low_rank(function) -> None:
    """Lesson 12: function(W (O, I), A (r, I), B (O, r), alpha) -> W + alpha / r * B A, (O, I)."""
    W, A, B = _matrices(3, 3, 3, 1)
    alpha, r = 6.0, 3
    square = function(W, A, B, alpha)  # here a product in any order fits
    for mistake, wrong in {
        "the product is A B; B comes first, B @ A, or it fits square matrices only": W + alpha / r * A @ B,
        "the product is transposed: B @ A is (O, I) as it is": W + alpha / r * (B @ A).t(),
        "numbers were multiplied place by place; @ is the product of matrices": W + alpha / r * B * A,
    }.items():
        expect(not is_near(square, wrong), mistake)
    W, A, B = _matrices(5, 4, 2, 2)
    r = 2
    judge(function, (W, A, B, alpha), _low_rank(W, A, B, alpha), {
        "the scale is missing: multiply the product by alpha / r": W + B @ A,
        "W is left out: the thin matrices are added to it": alpha / r * B @ A,
        "W comes back as it was: add the product of the thin matrices": W,
        "multiplied by alpha, but not divided by r, the number of rows of A": W + alpha * B @ A,
        "divided by the width of A; r is the number of its rows": W + alpha / 4 * B @ A,
        "divided by the height of B; r is the number of its columns": W + alpha / 5 * B @ A,
        "r / alpha is the scale upside down: alpha / r": W + r / alpha * B @ A,
        "the product is subtracted; it is added": W - alpha / r * B @ A,
        "W was scaled too; alpha / r belongs to the product alone": alpha / r * (W + B @ A),
        "divided by the square root of r; that is another method's scale, here it is alpha / r":
            W + alpha / r**0.5 * B @ A,
    }, "with W (5, 4) and r = 2 it must be W + alpha / r * B A")


def _mixed(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    return {name: (1 - share) * before[name] + share * value if value.is_floating_point() else value
            for name, value in after.items()}


def _states(seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor], float]:
    def state(number: int) -> dict[str, Tensor]:
        return {"conv.weight": randn(2 + seed % 3, 3, seed=number), "bn.running_mean": randn(4, seed=number + 1),
                "bn.num_batches_tracked": torch.tensor(2 * number + 1), "logit_scale": randn(1, seed=number + 2)[0]}
    before, after = state(seed), state(seed + 43)
    return dict(reversed(before.items())), after, (0.3, 0.75, 0.1, 0.9, 0.0, 1.0, 0.6, 0.2)[seed % 8]


def _in_another_order(function) -> None:
    """The same names in two orders, all of one shape, so that any two tensors can be added."""
    names, share = ["conv.weight", "fc.weight", "proj.weight"], 0.25
    before = {name: randn(2, 2, seed=i) for i, name in enumerate(names)}
    after = {name: randn(2, 2, seed=i) for i, name in enumerate((*names[1:], names[0]), 3)}
    pairs = zip(before.items(), after.items(), strict=True)
    rows = [(b, a, (1 - share) * x + share * y) for (b, x), (a, y) in pairs]
    found = function(before, after, share)
    for wrong in ({a: value for _, a, value in rows}, {b: value for b, _, value in rows}):
        expect(not is_near(found, wrong),
               "weights were paired by their place, not by their name; two dicts may have another order: before[name]")


@checker(right=_mixed, cases=_states)
def mix_weights(function) -> None:
    """Lesson 12: function(before, after, share) -> a dict of (1 - share) * before + share * after for each name whose
    numbers are floating, and after's own numbers for the rest. before, after: dicts of name -> tensor.
    """
    _in_another_order(function)
    before, after, share = _states(0)
    right = _mixed(before, after, share)
    floating = [name for name, value in after.items() if value.is_floating_point()]
    counter = "bn.num_batches_tracked"

    def made(rule) -> dict[str, Tensor]:
        return right | {name: rule(before[name], after[name]) for name in floating}

    found = function(before, after, share)
    expect(isinstance(found, dict), say("this is a {kind}; return a dict with the same names",
                                        kind=type(found).__name__))
    expect(found.keys() != set(floating),
           "the counter is left out; what is no floating number comes from after, as it is")
    missing = sorted(right.keys() - found.keys())
    expect(not missing, say("these names are missing: {names}; each name of after must be in the result",
                             names=missing))
    wrong = (1 - share) * before[counter] + share * after[counter]
    judge(function, (before, after, share), right, {
        "the shares are exchanged: share is that of after": made(lambda b, a: share * b + (1 - share) * a),
        "the shares are exchanged: share is that of after, and the counter is before's":
            made(lambda b, a: share * b + (1 - share) * a) | {counter: before[counter]},
        "this is the plain mean; the share is not looked at": made(lambda b, a: (a + b) / 2),
        "before counts whole: multiply it by 1 - share, so that both shares sum to 1":
            made(lambda b, a: b + share * a),
        "both were multiplied by share; before takes 1 - share": made(lambda b, a: share * (a + b)),
        "it walks away from before and beyond after: before + share * (after - before)":
            made(lambda b, a: a + share * (a - b)),
        "before comes back as it was": made(lambda b, a: b),
        "after comes back as it was": made(lambda b, a: a),
        "the counter was mixed too; a count of batches is no weight, so it comes from after: is_floating_point()":
            right | {counter: wrong},
        "the counter was mixed too and cut to a whole number; it comes from after as it is":
            right | {counter: wrong.long()},
        "the counter is before's; what is not mixed comes from after": right | {counter: before[counter]},
    }, "each floating tensor is (1 - share) * before + share * after")


def _forgotten(before: Tensor, after: Tensor, labels: Tensor) -> float:
    knew = before == labels
    return (after[knew] != labels[knew]).float().mean().item() if knew.any() else 0.0


def _answers(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    n = 9 + 4 * seed
    labels = torch.randint(4, (n,), generator=generator)
    before, after = (torch.where(torch.rand(n, generator=generator) < share, labels,
                                 torch.randint(4, (n,), generator=generator)) for share in (0.6, 0.3))
    return (labels + 1 if seed % 8 == 7 else before), after, labels


@checker(right=_forgotten, cases=_answers)
def forgotten(function) -> None:
    """Lesson 12: function(before (N,), after (N,), labels (N,)) -> of the pictures that were right before, the share
    that is wrong after; 0 where none was right before.
    """
    labels = torch.arange(13)
    before = torch.tensor([0, 1, 2, 3, 4, 5, 6, 20, 20, 20, 20, 20, 20])  # 7 of 13 right
    after = torch.tensor([0, 1, 2, 3, 21, 21, 21, 7, 22, 22, 20, 20, 20])  # 4 of these still, and one of the others
    judge(function, (before, after, labels), 3 / 7, {
        "divided by all pictures; the share is of those that were right before": 3 / 13,
        "this is what the share right fell by; what was learnt meanwhile hides a part of what was forgotten": 2 / 13,
        "this is what the share right fell by, as a part of what it was; one new right answer hides a forgotten one":
            2 / 7,
        "this is what was kept: the share that is still right": 4 / 7,
        "this is what was learnt: of those wrong before, the share that is right now": 1 / 6,
        "this is how many were forgotten; divide by how many were right before": 3,
        "all answers that changed were counted, among them wrong ones that are wrong in another way": 6 / 13,
        "divided by those that are wrong after; divide by those that were right before": 3 / 8,
        "this is the share that is wrong after, whatever it was before": 8 / 13,
        "divided by those that are right after; divide by those that were right before": 3 / 5,
        "before and after are exchanged": 1 / 5,
    }, "7 pictures were right before and 3 of these are wrong now: 3 / 7")
    expect(is_near(function(labels + 1, after, labels), 0.0),
           "where nothing was right before nothing can be forgotten: 0, not the mean of no pictures, which is nan")
