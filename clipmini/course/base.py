"""What the checkers of the lessons' exercises share. A checker takes the student's function (or class) and prints one
line: todo, pass, or wrong with the likely mistake. It never raises: a notebook runs to its end with any answers.

First come the mistakes that students make, each with a sentence of its own; then the answer is compared with the
package's on cases that nobody has seen: `clipmini grade` takes others.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clipmini.course.asking import Asked, Mistake, Todo, described, rounded
from clipmini.course.words import say

__all__ = ["FAST", "Checker", "Verdict", "checker", "expect", "is_near", "judge", "randn", "say", "shape_of"]

# The lessons' only switch: the test suite trains for seconds, students for minutes.
FAST = os.environ.get("CLIPMINI_FAST") == "1"
SEEN = range(8)  # the seeds of the cases that a notebook's check asks; each is quick
UNSEEN = range(8, 72)  # those that `clipmini grade` chooses from
CHANGED = ("the numbers are right, but it changes what it was given: work on a copy, x = x.clone(), or avoid methods "
           "that end in _, += and item assignment")
RECORD: dict[str, "Verdict"] = {}  # checker -> what it said last, in this session


@dataclass(frozen=True)
class Verdict:
    """state: "pass", "todo" or "wrong"; name: of the answer; about: the likely mistake, or what to do."""

    state: str
    name: str
    about: str = ""

    def __str__(self) -> str:
        return f"{self.state:5} {self.name}" + (f": {' '.join(self.about.split())}" if self.about else "")


@dataclass(frozen=True)
class How:
    """right: the package's own answer; cases(seed): its arguments, or for a class of modules (init arguments, inputs);
    gradient: compare gradients too; module: the answer is a class; canonical: what both are brought to before they are
    compared, where several answers are right.
    """

    right: Callable
    cases: Callable[[int], tuple]
    gradient: bool = False
    module: bool = False
    canonical: Callable[[Any], Any] = lambda x: x

    def compare(self, asked: Asked, case: tuple) -> None:
        """Raise Mistake where the answer differs from the package's on one case."""
        slopes: list[Tensor | None] = []
        own: list[Tensor | None] = []
        inputs = case
        if self.module:
            init, inputs = case
            reference = self.right(*init).eval()
            with torch.no_grad():
                right = reference(*inputs)
            found = asked.module(init, reference.state_dict(), *inputs)
        elif self.gradient:
            right, slopes = Asked(self.right).gradient(*case)
            found, own = asked.gradient(*case)
        else:
            right, found = self.right(*case), asked(*case)
        given = ", ".join(map(described, inputs))
        if isinstance(right, Tensor) and isinstance(found, Tensor) and right.shape != found.shape:
            raise Mistake(say("right for the first example, wrong for another: given {given} the shape is {found}; it "
                              "must be {right}", given=given, found=tuple(found.shape), right=tuple(right.shape)))
        if not is_near(self.canonical(found), self.canonical(right)):
            _tell_the_place(given, found, right)
            raise Mistake(say("right for the first example, wrong for another: given {given} it must give {right}; "
                              "yours gave {found}", given=given, right=described(right), found=described(found)))
        if self.module:
            state = reference.state_dict()
            _compare_learning(asked.learning(init, state, *inputs), Asked(self.right).learning(init, state, *inputs))
        _compare_gradients(own, slopes)


def _tell_the_place(given: str, found: Any, right: Any) -> None:
    """Of two tensors of one shape, too large to be shown: where they differ most. Raises Mistake."""
    if isinstance(right, Tensor) and isinstance(found, Tensor) and right.numel() > 6 and not right.is_complex():
        place = int((right.float() - found.float()).abs().nan_to_num(torch.inf).argmax())
        where = [int(i) for i in torch.unravel_index(torch.tensor(place), right.shape)]
        raise Mistake(say("right for the first example, wrong for another: given {given} the number at {place} must be "
                          "{right}; yours is {found}", given=given, place=where,
                          right=f"{float(right.flatten()[place]):.5g}", found=f"{float(found.flatten()[place]):.5g}"))


class Checker:
    """One exercise. ask(function) raises Mistake for the likely mistakes; how says the rest, as checker() takes it."""

    def __init__(self, ask: Callable, how: "How"):
        self.ask, self.how = ask, how
        self.__name__, self.__doc__, self.__module__ = ask.__name__, ask.__doc__, ask.__module__
        self.lesson = ask.__module__.rpartition("_")[2]

    def __call__(self, answer: Callable) -> None:
        """Print the verdict about a student's answer, and keep it for the progress table."""
        verdict = RECORD[self.__name__] = self.verdict(Asked(answer))
        print(verdict)

    def verdict(self, asked: Asked, seeds: Iterable[int] = SEEN) -> Verdict:
        """What is said about an answer. seeds: those of the cases; others than a notebook's stay unseen."""
        name = asked.__name__
        try:
            expect(not asked.borrowed, "this is the package's own; write yours")
            self.ask(asked)
            expect(not asked.changed, CHANGED)
            for seed in seeds:
                self.how.compare(asked, self.how.cases(seed))
            expect(not asked.changed, CHANGED)
        except Todo:
            return Verdict("todo", name, say("write it above, then run this cell again"))
        except Mistake as mistake:
            return Verdict("wrong", name, str(mistake))
        except Exception as error:  # an answer of a kind that no line of the checker expected
            return Verdict("wrong", name, say("it returned something of another kind than asked for ({error}): {about}",
                                              error=" ".join(str(error).split())[:120], about=self.asked_for()))
        return Verdict("pass", name)

    def asked_for(self) -> str:
        """The exercise in one line: what goes in, what comes out."""
        return say(" ".join((self.__doc__ or "").partition(": ")[2].split()))


def _compare_learning(own: list[str], right: list[str]) -> None:
    """own, right: the weights that get a gradient. Raises Mistake."""
    idle = sorted(set(right) - set(own))
    expect(not idle, say("the numbers are right, but {names} would never learn: make each weight an nn.Parameter, and "
                         "let the gradient through (no torch.no_grad(), no .detach(), no buffer)",
                         names=", ".join(idle[:4])))


def _compare_gradients(own: list[Tensor | None], right: list[Tensor | None]) -> None:
    expect(not (all(g is None for g in own) and any(g is not None for g in right)),
           "the value is right, but no gradient comes out of it: .item(), .detach(), float() and torch.no_grad() "
           "cut it")
    for mine, theirs in zip(own, right, strict=True):
        mine = torch.zeros(()) if mine is None else mine
        theirs = torch.zeros_like(mine) if theirs is None else theirs
        expect(bool(torch.allclose(mine, theirs, rtol=1e-3, atol=1e-5)),
               "the value is right, but its gradient is not: a part of it was cut off by .detach(), .item() or .data")


def checker(**how) -> Callable[[Callable], Checker]:
    """The decorator of a checker: its arguments are those of How."""
    return lambda ask: Checker(ask, How(**how))


def expect(right: bool, mistake: str) -> None:
    """Raise Mistake, unless it is right."""
    if not right:
        raise Mistake(say(mistake))


def is_near(a: Any, b: Any) -> bool:
    """The same shape and nearly the same numbers; what holds no numbers must be equal. A tuple may be a list."""
    if isinstance(a, dict) or isinstance(b, dict):
        return isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys() and all(is_near(a[k], b[k])
                                                                                           for k in a)
    if isinstance(a, str) or isinstance(b, str):
        return type(a) is type(b) and a == b
    try:
        x, y = torch.as_tensor(a, dtype=torch.float32), torch.as_tensor(b, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):  # words, lists of words, tensors of several shapes
        both = isinstance(a, (list, tuple)) and isinstance(b, (list, tuple))
        return len(a) == len(b) and all(map(is_near, a, b)) if both else type(a) is type(b) and a == b
    return x.shape == y.shape and bool(torch.allclose(x.detach(), y.detach(), rtol=1e-4, atol=1e-5))


def shape_of(x: Any) -> tuple | None:
    """A tensor's shape; None for anything else."""
    return tuple(x.shape) if isinstance(x, Tensor) else None


def judge(function: Asked, arguments: tuple, right: Any, mistakes: dict[str, Any], otherwise: str) -> None:
    """mistakes: message -> what a function with this mistake returns; otherwise: the message for the rest."""
    found = function(*arguments)
    expect(not (isinstance(found, str) and isinstance(right, (list, tuple))),
           "this is a string; a list is asked for, even of one piece")
    for mistake, wrong in mistakes.items():
        expect(not is_near(found, wrong), mistake)
    if isinstance(right, Tensor) and isinstance(found, Tensor):
        expect(found.shape == right.shape, say("the shape is {found}; it must be {right}", found=tuple(found.shape),
                                               right=tuple(right.shape)))
    expect(is_near(found, right), say("{mistake}; yours gave {found}", mistake=say(otherwise), found=_short(found)))


def _short(found: Any) -> str:
    """What came back, in a few words."""
    if isinstance(found, Tensor) and found.is_floating_point():
        found = [rounded(x, 3) for x in found.detach().flatten().tolist()]
    text = str(found.tolist() if isinstance(found, Tensor) else found)
    return text if len(text) <= 60 else text[:57] + "..."


def randn(*shape: int, seed: int = 0) -> Tensor:
    """A tensor of this shape from the standard normal distribution, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def progress(lesson: str, checkers: Iterable[Checker]) -> None:
    """Print the exercises of a lesson and how each stands in this session."""
    own = [c for c in checkers if c.lesson == lesson]
    states = [RECORD[c.__name__].state if c.__name__ in RECORD else "-" for c in own]
    width = max(len(c.__name__) for c in own)
    for number, (c, state) in enumerate(zip(own, states, strict=True), 1):
        print(f"{number}  {c.__name__:{width}}  {state}")
    print(say("{done} of {all} passed", done=states.count("pass"), all=len(own)))


def required(checker: Checker, answer: Callable) -> None:
    """As calling the checker, but raises AssertionError unless it says pass: nbgrader and otter listen for that."""
    verdict = checker.verdict(Asked(answer))
    assert verdict.state == "pass", str(verdict)

