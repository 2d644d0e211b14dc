"""The checkers of lesson 17: after CLIP."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmini.course.base import checker, expect, is_near, judge, randn, say, shape_of


class Scores:
    """A language model for the exercise: scores of the next id, by a table that all ids so far choose the row of."""

    def __init__(self, table: Tensor):
        self.table = table

    def __call__(self, ids) -> Tensor:
        total = sum((place + 1) * int(i) for place, i in enumerate(ids))
        return self.table[total % len(self.table)].clone()


class _Projector(nn.Module):
    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.first = nn.Linear(width_in, width_out)
        self.second = nn.Linear(width_out, width_out)

    def forward(self, features: Tensor) -> Tensor:
        return self.second(F.gelu(self.first(features)))


def _loss(logits: Tensor, ids: Tensor, image_places: int) -> Tensor:
    said, right = logits[:, image_places:-1], ids[:, 1:]
    return F.cross_entropy(said.flatten(0, 1), right.flatten())


def _greedy(step, start: int, end: int, most: int) -> list[int]:
    ids = [start]
    while len(ids) <= most:
        best = int(step(ids).argmax())
        if best == end:
            break
        ids.append(best)
    return ids[1:]


def _step(picture: Tensor, gradient: Tensor, rate: float) -> Tensor:
    return (picture + rate * gradient / gradient.abs().max()).clamp(0, 1)


def _captions(seed: int) -> tuple[Tensor, Tensor, int]:
    """Logits, ids with padding of -100 at some ends, and how many image places stand before."""
    B, P, T, V = 2 + seed % 3, 1 + (3 * seed) % 5, 4 + seed % 4, 7 + seed % 3
    ids = torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))
    ids[0, T - 1 - seed % 2:] = -100
    return 2 * randn(B, P + T, V, seed=seed), ids, P


def _pixels(seed: int) -> tuple[Tensor, Tensor, float]:
    shape = 1 + seed % 3, 2 + seed % 4, 3 + seed % 2
    return randn(*shape, seed=seed).sigmoid(), (0.01 + seed) * randn(*shape, seed=seed + 50), 0.05 + 0.15 * (seed % 5)


def _talk(seed: int) -> tuple[Scores, int, int, int]:
    table = randn(11, 6 + seed % 3, seed=seed)
    table[:, 1] += (-9.0, 0.3, 0.8)[seed % 3]  # an end that never comes, or comes now and then
    return Scores(table), 2 + seed % 4, 1, 2 + seed


@checker(right=_loss, cases=_captions, gradient=True)
def next_token_loss(function) -> None:
    """Lesson 17: function(logits (B, P + T, V), ids (B, T), image_places P) -> the mean loss of the next tokens."""
    logits, ids, P = 2 * randn(2, 7, 5), torch.tensor([[3, 0, 2, 4], [3, 1, 4, -100]]), 3
    right = _loss(logits, ids, P)
    found = function(logits, ids, P)
    expect(isinstance(found, Tensor),
           "this is a plain number: a loss must stay a tensor, or no gradient comes out of it (no .item(), no float())")

    def cross(said, targets, **how):
        return F.cross_entropy(said.transpose(1, 2), targets, **how)

    each = cross(logits[:, P:-1], ids[:, 1:], reduction="none")
    seen = (ids[:, 1:] != -100).sum(1)
    judge(function, (logits, ids, P), right, {
        "nothing is shifted: each place was asked for the token that it reads; place t answers for token t + 1":
            cross(logits[:, P:], ids),
        "the image places were not skipped: the text's logits begin at image_places": cross(logits[:, :3], ids[:, 1:]),
        "the start token was asked of the last image place; it is always given, so ask from ids[:, 1:] on":
            cross(logits[:, P - 1:-1], ids),
        "the shift goes the wrong way: each place was asked for the token before it":
            cross(logits[:, P + 1:], ids[:, :-1]),
        "the right answers are the last three places' own: drop the last logits, logits[:, image_places:-1]":
            cross(logits[:, P + 1:], ids[:, 1:]),
        "padding (-100) was counted as token 0: cross_entropy leaves -100 out by itself":
            cross(logits[:, P:-1], ids[:, 1:].clamp(min=0)),
        "the sum came back: take the mean over the tokens that count": each.sum(),
        "divided by all places, padding too: only the tokens that count are in the mean": each.mean(),
        "each caption got the same weight: take the mean over all tokens of the batch": (each.sum(1) / seen).mean(),
        "softmax was taken twice: cross_entropy has one inside, give it the logits":
            cross(logits.softmax(-1)[:, P:-1], ids[:, 1:]),
        "the sign is wrong: a loss falls when the right token becomes more probable": -right,
    }, "it must be the cross entropy of logits[:, image_places:-1] with ids[:, 1:]")


@checker(right=_Projector, module=True, cases=lambda seed: (
    (2 + seed % 4, 3 + seed % 3), (2 * randn(1 + seed % 2, 2 + seed, 2 + seed % 4, seed=seed),)))
def Projector(function) -> None:
    """Lesson 17: class(width_in, width_out), an nn.Module: features (B, P, width_in) -> (B, P, width_out)."""
    torch.manual_seed(0)
    model, x = _Projector(4, 4).eval(), 2 * randn(2, 3, 4)
    with torch.no_grad():
        first, right = model.first(x), model(x)
        found = function.module((4, 4), model.state_dict(), x)
        expect(isinstance(found, Tensor), say("this is a {kind}; return a tensor", kind=type(found).__name__))
        expect(shape_of(found) != (2, 4),
               "one vector a picture comes out: the patches were averaged; each patch becomes a token of its own")
        expect(shape_of(found) == shape_of(right),
               say("the shape is {found}; it must be {right}", found=shape_of(found), right=shape_of(right)))
        mistakes = {
            "the GELU is missing: two linear layers without it are one linear layer": model.second(first),
            "this is a ReLU; the activation between the layers is a GELU": model.second(first.relu()),
            "the GELU comes too late: it stands between the two layers, not after them": F.gelu(model.second(first)),
            "two GELUs: nothing comes after the second layer": F.gelu(right),
            "the GELU comes too early: first the layer, then the GELU": model.second(model.first(F.gelu(x))),
            "the layers changed places: self.first, then self.second": model.first(F.gelu(model.second(x))),
            "the second layer is missing": F.gelu(first),
            "the second layer was not used, nor the GELU": first,
            "the features were added to the answer: here is no shortcut, the widths differ as a rule": x + right,
            "the answer was normalised; the language model does that itself": F.normalize(right, dim=-1),
            "this is GELU's tanh approximation; F.gelu(x) without arguments":
                model.second(F.gelu(first, approximate="tanh")),
        }
        for mistake, wrong in mistakes.items():
            expect(not is_near(found, wrong), mistake)
    expect(is_near(found, right), "the numbers differ from second(gelu(first(features)))")


@checker(right=_greedy, cases=_talk)
def greedy(function) -> None:
    """Lesson 17: function(step, start, end, most): step(ids) -> scores (V,); out comes the list of written ids."""
    table = torch.zeros(40, 8)
    for row, best in ((0, 5), (10, 4), (22, 6), (46 - 40, 1)):  # the sums of [0], [0, 5], [0, 5, 4], [0, 5, 4, 6]
        table[row, best] = 2.0
    table[:, 7] -= 1.0
    step, right = Scores(table), [5, 4, 6]
    found = function(step, 0, 1, 9)
    expect(isinstance(found, (list, tuple)) or isinstance(found, Tensor) and found.dim() == 1,
           say("this is a {kind}; return the list of the ids that were written", kind=type(found).__name__))
    judge(function, (step, 0, 1, 9), right, {
        "the start token is in the answer: it was given, not written": [0, *right],
        "the end token is in the answer: stop before you keep it": [*right, 1],
        "start and end are in the answer: return only what stands between them": [0, *right, 1],
        "this stops one token early: the token before the end belongs to the answer": right[:-1],
        "this stopped after one token: append it and ask again": right[:1],
        "nothing was written: the loop never ran": [],
        "the least likely token was taken: argmax, not argmin": _greedy(lambda ids: -step(ids), 0, 1, 9),
        "only the last token was shown to step: it must see all ids so far, the start too":
            _greedy(lambda ids: step(ids[-1:]), 0, 1, 9),
        "step never saw the start token: begin with ids = [start]": _greedy(lambda ids: step(ids[1:]), 0, 1, 9),
        "it writes on after the end: stop there": _greedy(step, 0, -1, 9),
    }, "given scores whose best ids are 5, 4, 6 and then the end, it must give [5, 4, 6]")
    expect(is_near(function(step, 0, 1, 2), [5, 4]),
           "with most=2 it must stop after two tokens, [5, 4]: no end has come")
    expect(is_near(function(step, 0, 1, 3), right), "with most=3 the three tokens are allowed: [5, 4, 6]")


@checker(right=_step, cases=_pixels)
def guided_step(function) -> None:
    """Lesson 17: function(picture, gradient, rate): pixels 0 to 1 and the cosine's gradient -> the next picture."""
    picture, gradient, rate = randn(3, 4, 4).sigmoid(), 0.01 * randn(3, 4, 4, seed=1), 0.5
    picture[0, 0] = torch.tensor([0.0, 1.0, 0.02, 0.98])
    gradient[0, 0], gradient[1, 1, 1] = torch.tensor([-0.03, 0.03, -0.03, 0.03]), -0.05
    largest = gradient.abs().max()
    judge(function, (picture, gradient, rate), _step(picture, gradient, rate), {
        "this goes downhill: the cosine must rise, so add the gradient": _step(picture, -gradient, rate),
        "pixels left 0 to 1: clamp the new picture": picture + rate * gradient / largest,
        "the gradient was used with its own size, which is tiny: divide it by its largest absolute value":
            (picture + rate * gradient).clamp(0, 1),
        "divided by the gradient's length; the largest absolute value makes rate the most that a pixel changes":
            (picture + rate * gradient / gradient.norm()).clamp(0, 1),
        "divided by the largest value, which misses large negative ones: take abs() first":
            (picture + rate * gradient / gradient.max()).clamp(0, 1),
        "only the sign was used, so that each pixel changes by rate: divide by the largest absolute value":
            (picture + rate * gradient.sign()).clamp(0, 1),
        "the rate is missing": (picture + gradient / largest).clamp(0, 1),
        "this is the step alone: add it to the picture": rate * gradient / largest,
        "this is the step alone, clamped: add it to the picture first": (rate * gradient / largest).clamp(0, 1),
        "the clamp comes too early: clamp the sum, not the step": picture + (rate * gradient / largest).clamp(0, 1),
        "clamped to -1 to 1; a pixel lies between 0 and 1": (picture + rate * gradient / largest).clamp(-1, 1),
    }, "it must be picture + rate * gradient / (its largest absolute value), clamped to 0 to 1")
