"""The checkers of lesson 04: reading."""

import torch

from clipmini.course.base import checker, expect, is_near, judge, randn

_END = 7  # in the exercises of this lesson; padding is the same id, as in CLIP, or 0, as in some of OpenAI's files


def _first_end(ids: torch.Tensor, end: int) -> torch.Tensor:
    return (ids == end).int().argmax(-1)


def _ids(seed: int, rows: int, padding: int) -> torch.Tensor:
    """Captions of 1 to 6 words whose ids may be larger than the end token's, each with an end."""
    ids = 1 + (randn(rows, 8, seed=seed).abs() * 9).long() % 12
    ids[ids == _END] = 9
    for b, length in enumerate(((randn(rows, seed=seed + 20).abs() * 5).long() % 6 + 1).tolist()):
        ids[b, length + 1:] = padding
        ids[b, length] = _END
    return ids


def _mean_before_end(x: torch.Tensor, ids: torch.Tensor, end: int) -> torch.Tensor:
    return x[:int(_first_end(ids, end))].mean(0)


@checker(right=_first_end, cases=lambda seed: (_ids(seed, 2 + seed % 3, 0 if seed % 2 else _END), _END))
def end_positions(function) -> None:
    """Lesson 04: function(ids (B, T), end) -> (B,), the place of the first end token of each row."""
    ids = torch.tensor([[1, 4, 9, _END, _END, _END], [1, _END, _END, _END, _END, _END], [1, 2, 3, 4, 5, _END]])
    judge(function, (ids, _END), torch.tensor([3, 1, 5]), {
        "this is the place of the largest id. It works in OpenAI's vocabulary, where the end token is the largest; "
        "here 9 is":
            ids.argmax(1),
        "this is the last end token, and the last ones are padding: the first counts": torch.tensor([5, 5, 5]),
        "one too far to the left: the end token itself is read, not the word before it": torch.tensor([2, 0, 4]),
        "this counts how many there are": (ids == _END).sum(1),
        "the table (ids == end) is a good beginning: where is its first True?": (ids == _END),
    }, "for rows whose first end tokens stand at 3, 1 and 5 it must be tensor([3, 1, 5])")
    zeros = torch.tensor([[1, 4, 9, _END, 0, 0], [1, _END, 0, 0, 0, 0]])
    expect(is_near(function(zeros, _END), torch.tensor([3, 1])),
           "right where padding repeats the end token, wrong where padding is 0: look for the end token itself")


@checker(right=lambda x, ends: x[torch.arange(len(x)), ends], gradient=True,
         cases=lambda seed: (randn(2 + seed, 5, 3, seed=seed), (randn(2 + seed, seed=seed + 9).abs() * 5).long() % 5))
def pool_at_end(function) -> None:
    """Lesson 04: function(states (B, T, W), ends (B,)) -> (B, W), each row's state at its own end."""
    x, ends = randn(3, 5, 2), torch.tensor([2, 4, 1])
    judge(function, (x, ends), x[torch.arange(3), ends], {
        "every row at every end, (B, B, W): index the rows too, torch.arange(B)": x[:, ends],
        "the last place is padding for short captions": x[:, -1],
        "the first token has seen nothing but itself: a causal tower is read at the end": x[:, 0],
        "the mean over all places; CLIP reads one": x.mean(1),
        "the end of the first row was used for all": x[:, 2],
        "one too far to the left: the end token's own state is read": x[torch.arange(3), ends - 1],
        "rows and places changed places: states[b, ends[b]], rows come first": x[ends % 3, torch.arange(3)],
    }, "row b must be states[b, ends[b]]")


@checker(right=_mean_before_end, gradient=True, cases=lambda seed: (
    randn(8, 2 + seed % 4, seed=seed), _ids(seed, 1, 0 if seed % 2 else _END)[0], _END))
def bag(function) -> None:
    """Lesson 04: function(vectors (T, W), ids (T,), end) -> (W,),
    the mean of what stands before the first end token.
    """
    x, ids = randn(6, 4), torch.tensor([1, 4, 9, _END, _END, _END])
    judge(function, (x, ids, _END), x[:3].mean(0), {
        "padding is in the mean: long and short captions then differ by their padding": x.mean(0),
        "the end token is in the mean": x[:4].mean(0),
        "the place of the largest id was taken for the end; here another id is larger": x[:2].mean(0),
        "all but the last place: there is more than one token of padding": x[:-1].mean(0),
        "one number a token: the mean is over the tokens, dim=0": x[:3].mean(1),
        "a sum grows with the caption: take the mean": x[:3].sum(0),
        "divided by T, not by the number of words": x[:3].sum(0) / 6,
        "the start token is left out; it stays in, so that an empty caption has something": x[1:3].mean(0),
        "these rows are the right ones; take their mean": x[:3],
    }, "it must be the mean of the rows before the first end token")
    expect(is_near(function(x, torch.tensor([1, 4, 9, _END, 0, 0]), _END), x[:3].mean(0)),
           "right where padding repeats the end token, wrong where padding is 0: what counts is what stands before the "
           "first end token")
