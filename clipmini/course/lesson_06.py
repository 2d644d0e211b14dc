"""The checkers of lesson 06: training."""

import math

import torch

from clipmini.course.base import checker, expect, is_near, judge, say


def _rate(step: int, total: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def _targets(groups: torch.Tensor) -> torch.Tensor:
    same = (groups[:, None] == groups[None]).float()
    return same / same.sum(1, keepdim=True)


def _verdict(first: float, last: float, batch: int) -> str:
    most = math.log(batch)
    return "sure and wrong" if first > 2 * most else "knows nothing" if last > 0.99 * most else "learning"


@checker(right=_rate, cases=lambda seed: (
    (0, 5, 29, 30, 31, 140, 199, 77)[seed % 8] + seed // 8, 200 + seed, 30, 0.5 + seed % 5))
def learning_rate(function) -> None:
    """Lesson 06: function(step, total, warmup, peak) -> the rate: a line up to peak, then half a cosine down to 0."""
    def curve(rate):
        return torch.tensor([float(rate(step)) for step in range(101)])

    def cosine(done):
        return 0.5 * (1 + math.cos(math.pi * done))

    def right(s):
        return 2 * (s + 1) / 20 if s < 20 else 2 * cosine((s - 20) / 80)

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
           say("with total 100, warmup 20, peak 2 the rate at step {step} is {found}, and should be {right}", step=bad,
               found=f"{found[bad]:.4f}", right=f"{right(bad):.4f}"))


@checker(right=_targets, cases=lambda seed: (
    torch.tensor([(3 * i * i + seed * i) % (2 + seed % 4) + 5 for i in range(2 + seed)]),))
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


@checker(right=_verdict, cases=lambda seed: (
    (0.8 + 0.25 * (seed % 7)) * math.log(2 ** (2 + seed % 5)),
    (0.2 + 0.16 * (seed % 6)) * math.log(2 ** (2 + seed % 5)),
    2 ** (2 + seed % 5)))
def verdict(function) -> None:
    """Lesson 06: function(first, last, batch) -> "sure and wrong", "knows nothing" or "learning"."""
    words = ("sure and wrong", "knows nothing", "learning")
    answers: set[str] = set()
    told: list[tuple[str, str, str]] = []
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
        expect(found in words, say("{found} is none of {words}", found=repr(found), words=words))
        answers.add(found)
        told.append((right, found, say("verdict({first}, {last}, {batch}) is {found}; {why}: {right}", first=first,
                                       last=last, batch=batch, found=repr(found), why=say(why), right=repr(right))))
    expect(len(answers) > 1, say("it says {found} whatever the losses are: compare first and last with ln N",
                                 found=repr(told[0][1])))
    for right, found, message in told:
        expect(found == right, message)
