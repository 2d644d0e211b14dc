"""Right and wrong answers to the exercises of lesson 17."""

import torch
import torch.nn.functional as F
from torch import nn


def cross(said, right, **how):
    return F.cross_entropy(said.transpose(1, 2), right, **how)


def projector(forward, names=("first", "second")):
    """A class with the right layers and this forward(self, x)."""

    class Projector(nn.Module):
        def __init__(self, width_in, width_out):
            super().__init__()
            setattr(self, names[0], nn.Linear(width_in, width_out))
            setattr(self, names[1], nn.Linear(width_out, width_out))

        def forward(self, features):
            return forward(self, features)

    return Projector


def write(step, start, end, most, ask=lambda ids: ids, first=lambda start: [start], best=torch.argmax, stop=True):
    ids = first(start)
    begun = len(ids)
    while len(ids) - begun < most:
        new = int(best(step(ask(ids))))
        if stop and new == end:
            break
        ids = [*ids, new]
    return ids[begun:]


def stepped(g, r):
    return r * g / g.abs().max()


ANSWERS = {
    "next_token_loss": (
        [
            lambda x, ids, p: cross(x[:, p:-1], ids[:, 1:]),
            lambda x, ids, p: cross(x[:, p:][:, : ids.shape[1] - 1], ids[:, 1:], ignore_index=-100),
        ],
        {
            "nothing is shifted": lambda x, ids, p: cross(x[:, p:], ids),
            "not skipped": lambda x, ids, p: cross(x[:, : ids.shape[1] - 1], ids[:, 1:]),
            "start token was asked": lambda x, ids, p: cross(x[:, p - 1 : -1], ids),
            "wrong way": lambda x, ids, p: cross(x[:, p + 1 :], ids[:, :-1]),
            "drop the last logits": lambda x, ids, p: cross(x[:, p + 1 :], ids[:, 1:]),
            "counted as token 0": lambda x, ids, p: cross(x[:, p:-1], ids[:, 1:].clamp(min=0)),
            "the sum came back": lambda x, ids, p: cross(x[:, p:-1], ids[:, 1:], reduction="sum"),
            "padding too": lambda x, ids, p: cross(x[:, p:-1], ids[:, 1:], reduction="none").mean(),
            "same weight": lambda x, ids, p: torch.stack(
                [F.cross_entropy(a[p:-1], b[1:]) for a, b in zip(x, ids, strict=True)]
            ).mean(),
            "taken twice": lambda x, ids, p: cross(x.softmax(-1)[:, p:-1], ids[:, 1:]),
            "sign is wrong": lambda x, ids, p: -cross(x[:, p:-1], ids[:, 1:]),
            "plain number": lambda x, ids, p: cross(x[:, p:-1], ids[:, 1:]).item(),
            "it must be the cross entropy": lambda x, ids, p: x.mean(),
            "wrong for another": lambda x, ids, p: cross(x[:, 3:-1], ids[:, 1:]) if p == 3 else x.sum(),
        },
    ),
    "Projector": (
        [projector(lambda m, x: m.second(F.gelu(m.first(x)))), projector(lambda m, x: m.second(nn.GELU()(m.first(x))))],
        {
            "GELU is missing": projector(lambda m, x: m.second(m.first(x))),
            "this is a ReLU": projector(lambda m, x: m.second(m.first(x).relu())),
            "too late": projector(lambda m, x: F.gelu(m.second(m.first(x)))),
            "two GELUs": projector(lambda m, x: F.gelu(m.second(F.gelu(m.first(x))))),
            "too early": projector(lambda m, x: m.second(m.first(F.gelu(x)))),
            "changed places": projector(lambda m, x: m.first(F.gelu(m.second(x)))),
            "second layer is missing": projector(lambda m, x: F.gelu(m.first(x))),
            "nor the GELU": projector(lambda m, x: m.first(x)),
            "no shortcut": projector(lambda m, x: x + m.second(F.gelu(m.first(x)))),
            "was normalised": projector(lambda m, x: F.normalize(m.second(F.gelu(m.first(x))), dim=-1)),
            "tanh approximation": projector(lambda m, x: m.second(F.gelu(m.first(x), approximate="tanh"))),
            "were averaged": projector(lambda m, x: m.second(F.gelu(m.first(x))).mean(1)),
            "must be \\(2, 3, 4\\)": projector(lambda m, x: m.second(F.gelu(m.first(x))).transpose(1, 2)),
            "the numbers differ": projector(lambda m, x: m.second(F.silu(m.first(x)))),
            "names of its weights differ": projector(lambda m, x: x, names=("one", "two")),
            "returned nothing": projector(lambda m, x: None),
        },
    ),
    "greedy": (
        [write, lambda s, a, e, m: torch.tensor(write(s, a, e, m)) if m == 9 else write(s, a, e, m)],
        {
            "start token is in": lambda s, a, e, m: [a, *write(s, a, e, m)],
            "end token is in": lambda s, a, e, m: [*write(s, a, e, m), e],
            "start and end are in": lambda s, a, e, m: [a, *write(s, a, e, m), e],
            "one token early": lambda s, a, e, m: write(s, a, e, m)[:-1],
            "after one token": lambda s, a, e, m: write(s, a, e, m)[:1],
            "nothing was written": lambda s, a, e, m: [],
            "least likely": lambda s, a, e, m: write(s, a, e, m, best=torch.argmin),
            "only the last token": lambda s, a, e, m: write(s, a, e, m, ask=lambda ids: ids[-1:]),
            "never saw the start": lambda s, a, e, m: write(s, a, e, m, ask=lambda ids: ids[1:]),
            "writes on": lambda s, a, e, m: write(s, a, e, m, stop=False),
            "with most=2": lambda s, a, e, m: write(s, a, e, 99),
            "with most=3": lambda s, a, e, m: write(s, a, e, 9 if m == 9 else 2),
            "return the list": lambda s, a, e, m: s([a]).argmax(),
            "it must give \\[5, 4, 6\\]": lambda s, a, e, m: write(s, a, e, m)[::-1],
        },
    ),
    "guided_step": (
        [
            lambda p, g, r: (p + stepped(g, r)).clamp(0, 1),
            lambda p, g, r: (p + r * g / g.abs().amax()).clamp(min=0).clamp(max=1),
        ],
        {
            "downhill": lambda p, g, r: (p - stepped(g, r)).clamp(0, 1),
            "left 0 to 1": lambda p, g, r: p + stepped(g, r),
            "its own size": lambda p, g, r: (p + r * g).clamp(0, 1),
            "gradient's length": lambda p, g, r: (p + r * g / g.norm()).clamp(0, 1),
            "misses large negative": lambda p, g, r: (p + r * g / g.max()).clamp(0, 1),
            "only the sign": lambda p, g, r: (p + r * g.sign()).clamp(0, 1),
            "rate is missing": lambda p, g, r: (p + stepped(g, 1)).clamp(0, 1),
            "add it to the picture$": lambda p, g, r: stepped(g, r),
            "alone, clamped": lambda p, g, r: stepped(g, r).clamp(0, 1),
            "too early": lambda p, g, r: p + stepped(g, r).clamp(0, 1),
            "-1 to 1": lambda p, g, r: (p + stepped(g, r)).clamp(-1, 1),
            "it must be picture": lambda p, g, r: p,
            "changes what it was given": lambda p, g, r: p.add_(stepped(g, r)).clamp_(0, 1),
        },
    ),
}
