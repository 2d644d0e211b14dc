"""The checkers of lesson 06: training."""

import math

import torch

from clipmini.course.base import answer_of, checker, expect, is_near, judge


@checker
def learning_rate(function) -> None:
    """Lesson 06: function(step, total, warmup, peak) -> the rate: a line up to peak, then half a cosine down to 0."""
    def curve(rate):
        return torch.tensor([float(rate(step)) for step in range(101)])

    def cosine(done):
        return 0.5 * (1 + math.cos(math.pi * done))

    def right(s):
        return 2 * (s + 1) / 20 if s < 20 else 2 * cosine((s - 20) / 80)

    answer_of(function, 50, 100, 20, 2.0)
    found = curve(lambda s: function(s, 100, 20, 2.0))
    for mistake, wrong in {
        "the warm-up is missing: the first steps are made with the full rate":
            lambda s: 2 * cosine(max(0, s - 20) / 80),
        "there is no decay: after the warm-up it stays at the peak": lambda s: min(2, 2 * (s + 1) / 20),
        "it falls in a straight line; half a cosine falls slowly, fast, slowly":
            lambda s: right(s) if s < 20 else 2 * (100 - s) / 80,
        "a whole cosine falls below 0: half of one, 0.5 * (1 + cos)":
            lambda s: right(s) if s < 20 else 2 * math.cos(math.pi * (s - 20) / 80),
        "the cosine began at step 0, so it jumps after the warm-up":
            lambda s: right(s) if s < 20 else 2 * cosine(s / 100),
        "the peak is forgotten: the highest rate is 1, not peak": lambda s: right(s) / 2,
        "step warmup belongs to the cosine: step < warmup, or the rate goes above the peak":
            lambda s: 2.1 if s == 20 else right(s),
    }.items():
        expect(not is_near(found, curve(wrong)), mistake)
    expect(abs(found[0]) > 1e-9,
           "the first rate is 0, so the first step changes nothing: count from 1, (step + 1) / warmup")
    bad = int((found - curve(right)).abs().argmax())
    expect(is_near(found, curve(right)),
           f"with total 100, warmup 20, peak 2 the rate at step {bad} is {found[bad]:.4f}, and should be "
           f"{right(bad):.4f}")


@checker
def targets_of(function) -> None:
    """Lesson 06: function(groups (N,)) -> (N, N): row i shares 1 among all pairs of i's group."""
    groups = torch.tensor([4, 4, 9, 4, 2])
    same = (groups[:, None] == groups[None, :]).float()
    others = same - torch.eye(5)
    judge(function, (groups,), same / same.sum(1, keepdim=True), {
        "copies are punished: this is right only when all captions differ": torch.eye(5),
        "rows sum to how many copies there are; a target is a probability, divide": same,
        "divided by N, not by the number of copies": same / 5,
        "the pair itself is left out; it is right as well": others / others.sum(1, keepdim=True).clamp(min=1),
        "this is where captions differ": 1 - same,
    }, "row i must be 1 / copies wherever groups are equal, else 0")


@checker
def verdict(function) -> None:
    """Lesson 06: function(first, last, batch) -> "sure and wrong", "knows nothing" or "learning"."""
    words = ("sure and wrong", "knows nothing", "learning")
    answer_of(function, 4.9, 1.0, 128)
    for first, last, batch, right, why in (
        (4.9, 4.84, 128, "knows nothing",
         "128 pairs: 0.99 ln N is 4.80 (math.log), and the last loss, 4.84, is above it"),
        (4.2, 2.1, 64, "learning", "64 pairs: ln N is 4.16, the loss fell to 2.1"),
        (31.0, 29.0, 128, "sure and wrong", "it starts at 31, more than twice ln 128"),
        (4.2, 3.4, 32, "learning", "32 pairs: ln N is 3.47, so 3.4 is below 0.99 ln N: slow, but learning"),
        (4.3, 3.46, 32, "knows nothing", "ln 32 is 3.47, not log2 and not log10"),
        (9.0, 1.2, 16, "sure and wrong",
         "it starts at three times ln 16; a start this high is broken even where the loss falls"),
        (6.3, 4.0, 512, "learning", "ln 512 is 6.24: N is the batch, it isn't always 128"),
    ):
        found = function(first, last, batch)
        expect(found in words, f"{found!r} is none of {words}")
        expect(found == right, f"verdict({first}, {last}, {batch}) is {found!r}; {why}: {right!r}")
