"""The checkers of the lessons: the right answer passes, wrong ones are told apart, a stub is only a todo."""

import pytest
import torch
import torch.nn.functional as F

from clipmini import checks


def cross(x, target=None):
    return F.cross_entropy(x, torch.arange(len(x)) if target is None else target)


# name of the checker -> (right answers, {wrong answer: a word of its message})
ANSWERS = {
    "normalise": (
        [lambda x: F.normalize(x, dim=-1), lambda x: x / x.norm(dim=-1, keepdim=True)],
        {"nothing changed": lambda x: x, "along dim=-1": lambda x: F.normalize(x, dim=0), "whole matrix": lambda x: x / x.norm(),
         "sum to 1": lambda x: x / x.sum(-1, keepdim=True), "square root is missing": lambda x: x / (x**2).sum(-1, keepdim=True),
         "same width comes out": lambda x: F.normalize(x, dim=-1)[0], "point elsewhere": lambda x: F.normalize(x.abs(), dim=-1),
         "end it with a return": lambda x: None}),
    "logits": (
        [lambda i, t, s: s * i @ t.t(), lambda i, t, s: (i @ t.t()) * s],
        {"rows are texts": lambda i, t, s: s * t @ i.t(), "plain cosines": lambda i, t, s: i @ t.t(),
         "divided by scale": lambda i, t, s: i @ t.t() / s, "softmax belongs": lambda i, t, s: (s * i @ t.t()).softmax(1),
         "make \\(3, 5\\)": lambda i, t, s: s * i @ i.t(), "the numbers differ": lambda i, t, s: s * i @ t.t() + 1}),
    "clip_loss": (
        [lambda x: (cross(x) + cross(x.t())) / 2],
        {"only rows": cross, "only columns": lambda x: cross(x.t()),
         "were added: take their mean": lambda x: cross(x) + cross(x.t()),
         "pairs were added": lambda x: len(x) * (cross(x) + cross(x.t())) / 2,
         "sign is wrong": lambda x: -(cross(x) + cross(x.t())) / 2,
         "own guesses": lambda x: (cross(x, x.argmax(1)) + cross(x.t(), x.t().argmax(1))) / 2,
         "6 numbers came back": lambda x: F.cross_entropy(x, torch.arange(6), reduction="none"),
         "is not": lambda x: -x.diagonal().mean(),
         "six pairs only": lambda x: (cross(x) + cross(x.t())) / 2 if len(x) == 6 else torch.tensor(0.0)}),
    "scale_of": (
        [lambda s: s.exp().clamp(max=100), lambda s: min(float(s.exp()), 100.0)],
        {"parameter itself": lambda s: s, "temperature": lambda s: (-s).exp(), "never lets the scale above": lambda s: s.exp(),
         "exp gives": lambda s: 2.0**s, "after exp, not before": lambda s: s.clamp(max=4).exp()}),
}


def test_every_checker_is_tested_and_known():
    public = {name for name, value in vars(checks).items() if callable(value) and not name.startswith("_")
              and getattr(value, "__module__", "") == "clipmini.checks"}
    assert public == set(ANSWERS)
    for right, wrong in ANSWERS.values():
        assert right and len(wrong) >= 3


@pytest.mark.parametrize("name", ANSWERS)
def test_right_answers_pass(name, capsys):
    for answer in ANSWERS[name][0]:
        answer.__name__ = "mine"
        getattr(checks, name)(answer)
        assert capsys.readouterr().out == "pass  mine\n"


@pytest.mark.parametrize("name, word", [(name, word) for name, (_, wrong) in ANSWERS.items() for word in wrong])
def test_wrong_answers_are_told_apart(name, word):
    with pytest.raises(AssertionError, match=word) as told:
        getattr(checks, name)(ANSWERS[name][1][word])
    others = [w for w in ANSWERS[name][1] if w != word]
    assert not any(w.replace("\\", "") in str(told.value) for w in others if len(w) > 8)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stub_is_a_todo(name, capsys):
    def stub(*_):
        raise NotImplementedError

    getattr(checks, name)(stub)
    assert capsys.readouterr().out.startswith("todo  stub")
