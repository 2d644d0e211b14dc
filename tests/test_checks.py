"""The checkers of the lessons: the right answer passes, wrong ones are told apart, a stub is only a todo, none raises."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mutants
from clipmini.course import base, checks
from clipmini.course.asking import Asked

FILES = sorted((Path(__file__).parent / "answers").glob("lesson*.py"))
ANSWERS: dict = {}
for path in FILES:
    ANSWERS |= importlib.import_module(f"answers.{path.stem}").ANSWERS
LESSONS = sorted(int(p.stem[-2:]) for p in (Path(checks.__file__).parent).glob("lesson_*.py"))
SOLUTIONS = mutants.solutions()
EQUIVALENT = mutants.equivalent()


def said(name: str, answer, capsys) -> str:
    """The one line that a checker prints."""
    assert checks.ALL[name](answer) is None
    line = capsys.readouterr().out
    assert line.count("\n") == 1, f"{name} printed {line!r}"
    return line[:-1]


def test_every_checker_is_tested_and_known():
    own = [name for n in LESSONS for name, value in vars(importlib.import_module(f"clipmini.course.lesson_{n:02}")).items()
           if isinstance(value, base.Checker)]
    assert sorted(own) == sorted(ANSWERS) == sorted(checks.ALL)
    assert sorted(checks.__all__) == sorted([*own, "FAST", "required"])
    for name, (right, wrong) in ANSWERS.items():
        assert right and len(wrong) >= 5, name


@pytest.mark.parametrize("name", ANSWERS)
def test_right_answers_pass(name, capsys):
    for answer in ANSWERS[name][0]:
        if not isinstance(answer, type):
            answer.__name__ = "mine"
        assert said(name, answer, capsys) == f"pass  {answer.__name__}"
        hidden = checks.ALL[name].verdict(Asked(answer), base.UNSEEN)
        assert hidden.state == "pass", hidden


@pytest.mark.parametrize("name", ANSWERS)
def test_a_right_answer_may_be_a_module(name, capsys):
    class Mine(nn.Module):
        def forward(self, *given):
            return ANSWERS[name][0][0](*given)

    if not checks.ALL[name].how.module:
        assert said(name, Mine(), capsys) == "pass  Mine"


@pytest.mark.parametrize("name, word", [(name, word) for name, (_, wrong) in ANSWERS.items() for word in wrong])
def test_wrong_answers_are_told_apart(name, word, capsys):
    line = said(name, ANSWERS[name][1][word], capsys)
    assert line.startswith("wrong ") and re.search(word, line)
    others = [w for w in ANSWERS[name][1] if w != word]
    assert not any(w.replace("\\", "") in line for w in others if len(w) > 8)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stub_is_a_todo(name, capsys):
    def stub(*_):
        raise NotImplementedError

    class Stub(nn.Module):
        def __init__(self, *_):
            raise NotImplementedError

    stub = Stub if checks.ALL[name].how.module else stub
    assert said(name, stub, capsys) == f"todo  {stub.__name__}: write it above, then run this cell again"


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("found", [None, "text", 3, [], {}, (), torch.zeros(2, 3), torch.zeros(0), object(), float("nan"),
                                   [None], torch.nn.Identity(), b"x", ("a", 1), {"a": 1}])
def test_no_answer_makes_a_checker_raise(name, found, capsys):
    assert said(name, lambda *_: found, capsys).startswith("wrong ")


@pytest.mark.parametrize("name", ANSWERS)
def test_no_object_makes_a_checker_raise(name, capsys):
    for answer in (None, 3, "text", [], object(), int, nn.Linear, nn.Linear(2, 2), nn.Module):
        assert said(name, answer, capsys).startswith(("wrong ", "todo "))


def test_an_operation_that_torch_has_not_is_no_stub(capsys):
    line = said("normalise", lambda x: x << 2, capsys)
    assert line.startswith("wrong ") and "NotImplementedError" in line


def test_an_exception_is_told_with_its_line_and_what_went_in(capsys):
    def broken(x):
        return x @ x

    line = said("normalise", broken, capsys)
    assert line.startswith("wrong broken: RuntimeError: ") and "(5x7 and 5x7)" in line
    assert "return x @ x" in line and line.endswith("it was called with a tensor of shape (5, 7)")


def test_the_line_is_told_whatever_the_folder_of_the_clone_is_called(tmp_path, capsys):
    """git clone makes a folder `clipmini`; only the package's own files are none of the student's."""
    path = tmp_path / "clipmini" / "lessons" / "my_answer.py"
    path.parent.mkdir(parents=True)
    path.write_text("def broken(x):\n    return x @ x\n", encoding="utf-8")
    place: dict = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), place)
    assert "in line 2 (return x @ x)" in said("normalise", place["broken"], capsys)


def test_an_assert_of_a_students_own_is_told_as_an_exception(capsys):
    def mine(x):
        assert x.dim() == 3, "three axes, please"

    assert "AssertionError: three axes, please" in said("normalise", mine, capsys)


def test_a_shape_is_told_with_both_shapes(capsys):
    line = said("normalise", lambda x: x.t(), capsys)
    assert "(7, 5)" in line and "(5, 7)" in line
    line = said("logits", lambda i, t, s: (s * i @ t.t())[:, :3], capsys)
    assert "(3, 3)" in line and "(3, 5)" in line


def test_a_changed_input_is_told(capsys):
    def mine(x):
        x /= x.norm(dim=-1, keepdim=True)
        return x

    assert "it changes what it was given" in said("normalise", mine, capsys)


def test_what_is_borrowed_from_the_package_is_told(capsys):
    from clipmini.loss import clip_loss
    from clipmini.transformer import ResidualBlock

    class Block(ResidualBlock):
        pass

    assert "the package's own" in said("clip_loss", clip_loss, capsys)
    assert "the package's own" in said("Block", Block, capsys)
    assert "the package's own" in said("Projector", checks.Projector.how.right, capsys)


def test_a_module_that_cannot_learn_is_told(capsys):
    right = ANSWERS["Projector"][0][0]

    class Frozen(right):
        @torch.no_grad()
        def forward(self, *given):
            return super().forward(*given)

    class Buffered(right):
        def __init__(self, *given):
            super().__init__(*given)
            weight = self.first.weight.detach()
            del self.first.weight
            self.first.register_buffer("weight", weight)

    assert "first.bias, first.weight, second.bias, second.weight would never learn" in said("Projector", Frozen, capsys)
    assert "but first.weight would never learn" in said("Projector", Buffered, capsys)


def test_a_difference_that_is_found_later_is_told_with_its_place(capsys):
    line = said("Projector", type("Mine", (ANSWERS["Projector"][0][0],), {"forward": lambda self, x: self.second(
        F.gelu(self.first(x))) + (x.shape[-1] == 9) * 0.5}), capsys)
    assert line.startswith("pass") or ("the number at [" in line and "yours is" in line)


def test_a_cut_gradient_is_told(capsys):
    assert "no gradient" in said("scale_of", lambda s: s.exp().clamp(max=100).detach(), capsys)

    def half(logits):
        target = torch.arange(len(logits))
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.t().detach(), target)) / 2

    assert "a part of it was cut off" in said("clip_loss", half, capsys)


def test_required_raises_for_all_but_a_pass():
    checks.required(checks.normalise, lambda x: F.normalize(x, dim=-1))
    with pytest.raises(AssertionError, match="nothing changed"):
        checks.required(checks.normalise, lambda x: x)


def test_progress_tells_what_each_checker_said_last(capsys):
    base.RECORD.clear()
    checks.scale_of(lambda s: s)
    checks.normalise(lambda x: F.normalize(x, dim=-1))
    capsys.readouterr()
    checks.progress("05")
    assert capsys.readouterr().out == ("1  normalise  pass\n2  logits     -\n3  clip_loss  -\n4  scale_of   wrong\n"
                                       "1 of 4 passed\n")


@pytest.mark.parametrize("name", SOLUTIONS)
def test_mutants_are_rejected(name):
    """Each solution with one slip, made by a program; those that pass are known to be right too."""
    said = mutants.verdicts(name, SOLUTIONS[name])
    passed = {mutants.lines(SOLUTIONS[name], text) for text, verdict in said.items() if not verdict.startswith("wrong")}
    assert passed <= set(EQUIVALENT.get(name, [])), sorted(passed - set(EQUIVALENT.get(name, [])))
    assert len(said) - len(passed) >= 20


def test_a_mutant_does_what_it_says():
    made = mutants.mutants("def f(a, b):\n    return a + b.mean(dim=1)", ["Tensor", "Tensor"])
    for text in ("a - b.mean(dim=1)", "a + b.sum(dim=1)", "a + b.mean(dim=0)", "a + b.mean()", "-(a + b.mean(dim=1))"):
        assert any(text in m for m in made), text
    assert any("a_given.detach().add_(1)" in m for m in made) and len(made) == len(set(made))


def test_checkers_speak_chinese():
    """In a process of its own, as a notebook of the Chinese edition starts it."""
    code = """import os, json, torch
from clipmini.course import checks
checks.normalise(lambda x: x)
checks.logits(lambda i, t, s: (s * i @ t.t())[:, :3])
checks.progress("05")
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8",
                         env={**__import__("os").environ, "CLIPMINI_LANG": "zh", "PYTHONIOENCODING": "utf-8"}).stdout
    assert len(re.findall("[\u4e00-\u9fff]", out)) > 20 and "(3, 5)" in out


def test_each_sentence_of_the_checkers_is_translated():
    sentences = json.loads((Path(checks.__file__).parent / "zh.json").read_text(encoding="utf-8"))
    missing = sorted(set(mutants.sentences()) - set(sentences))
    assert not missing, missing[:5]
    for english, chinese in sentences.items():
        assert re.search("[\u4e00-\u9fff]", chinese), english
        assert sorted(set(re.findall(r"\{\w+\}", english))) == sorted(set(re.findall(r"\{\w+\}", chinese))), english
