"""How a checker asks a student's answer, a function or a class, and what it says of one that raises, that returns
nothing, or that changes what it was given.
"""

import copy
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipmini.course.words import say

PACKAGE = Path(__file__).parents[1]  # its lines are none of a student's, though a clone may have its name


class Todo(Exception):
    """The answer is a stub still."""


class Mistake(Exception):
    """What is wrong with an answer, in one sentence."""


def name_of(answer: Any) -> str:
    """The name of a function or a class; of an nn.Module the name of its class."""
    return getattr(answer, "__name__", type(answer).__name__)


def rounded(value: float, digits: int) -> float:
    """So many digits behind the point; a small number keeps two of its own, so that it is not told as 0.

    >>> rounded(0.12345, 3), rounded(0.0002346, 3), rounded(0.0, 3)
    (0.123, 0.00023, 0.0)
    """
    return round(value, digits) if round(value, digits) else float(f"{value:.2g}")


def described(x: Any) -> str:
    """An argument or an answer in a few words: a large tensor by its shape, small things by what they hold."""
    if isinstance(x, Tensor) and x.numel() > 6:
        return say("a tensor of shape {shape}", shape=tuple(x.shape))
    if isinstance(x, Tensor):
        x = [rounded(v, 4) for v in x.detach().flatten().tolist()] if x.dim() else rounded(x.item(), 4)
    if isinstance(x, (list, tuple)) and any(isinstance(part, Tensor) for part in x):
        return ", ".join(described(part) for part in x)
    text = type(x).__name__ if callable(x) else repr(x)
    return text if len(text) <= 80 else text[:77] + "..."


def plain(error: BaseException) -> str:
    """An exception of a student's code in one line, with the line that raised it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename
              and not Path(f.filename).is_relative_to(PACKAGE)]
    where = say(" in line {number} ({line})", number=frames[-1].lineno, line=frames[-1].line) \
        if frames and frames[-1].line else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


class Asked:
    """A student's answer, as the checkers see it: called with copies, its exceptions told as mistakes."""

    def __init__(self, answer: Callable):
        self.answer, self.__name__, self.changed = answer, name_of(answer), False
        kinds = answer.__mro__ if isinstance(answer, type) else (answer, type(answer))
        self.borrowed = any(str(getattr(kind, "__module__", "")).startswith("clipmini") for kind in kinds)

    def __call__(self, *arguments: Any) -> Any:
        """What the answer returns. Raises Todo while it is a stub, and Mistake."""
        return self._guarded(lambda: self._run(self._instance(), arguments), arguments)

    def gradient(self, *arguments: Any) -> tuple[Any, list[Tensor | None]]:
        """What the answer returns, and the gradients of its sum, weighed, for each floating tensor that goes in."""
        def run():
            given = [a.clone().requires_grad_() if _is_floating(a) else copy.deepcopy(a) for a in arguments]
            value = self._instance()(*given)
            if not (isinstance(value, Tensor) and value.requires_grad):
                return value, [None for a in given if _is_floating(a)]
            inputs = [a for a in given if _is_floating(a)]
            return value.detach(), list(torch.autograd.grad(_weighed(value), inputs, allow_unused=True))
        return self._guarded(run, arguments)

    def module(self, init: Sequence[Any], state: dict[str, Tensor], *inputs: Any) -> Any:
        """Build the answer, a class, with init; give it these weights; return its output for the inputs."""
        def run():
            with torch.no_grad():
                return self._run(self._built(init, state), inputs)
        return self._guarded(run, (*init, *inputs))

    def learning(self, init: Sequence[Any], state: dict[str, Tensor], *inputs: Any) -> list[str]:
        """The names of the weights of the answer, a class, that get a gradient from its output."""
        def run():
            made = self._built(init, state)
            value = self._run(made, inputs)
            if not (isinstance(value, Tensor) and value.requires_grad):
                return []
            _weighed(value).backward()
            return [name for name, weight in made.named_parameters() if weight.grad is not None]
        return self._guarded(run, (*init, *inputs))

    def _built(self, init: Sequence[Any], state: dict[str, Tensor]) -> nn.Module:
        """The answer, a class, made with init and filled with these weights. Raises Mistake."""
        made = self.answer(*copy.deepcopy(list(init)))
        if not isinstance(made, nn.Module):
            raise Mistake(say("{name} is no nn.Module: class {name}(nn.Module), and super().__init__() first",
                              name=self.__name__))
        _fill(made, state)
        return made.eval()

    def _instance(self) -> Callable:
        """The answer to call: of a class of modules an instance."""
        is_class = isinstance(self.answer, type) and issubclass(self.answer, nn.Module)
        return self.answer() if is_class else self.answer

    def _run(self, function: Callable, arguments: Sequence[Any]) -> Any:
        given = copy.deepcopy(list(arguments))
        value = function(*given)
        self.changed |= not all(_unchanged(a, b) for a, b in zip(arguments, given, strict=True))
        return value

    def _guarded(self, run: Callable[[], Any], arguments: Sequence[Any]) -> Any:
        try:
            value = run()
        except (Todo, Mistake):
            raise
        except Exception as error:
            if isinstance(error, NotImplementedError) and not str(error):  # torch's own have a text
                raise Todo from None
            given = ", ".join(map(described, arguments))
            raise Mistake(say("{error}; it was called with {given}", error=plain(error), given=given)) from None
        if value is None or isinstance(value, tuple) and value and value[0] is None:
            raise Mistake(say("it returned nothing; end it with a return"))
        return value


def _weighed(value: Tensor) -> Tensor:
    """A sum in which each number counts differently, so that no gradient cancels."""
    return (value * torch.linspace(1, 2, value.numel()).view(value.shape)).sum()


def _is_floating(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _unchanged(before: Any, after: Any) -> bool:
    """False for a tensor, list or dict that no longer holds what it held."""
    if isinstance(before, Tensor):
        return before.shape == after.shape and torch.equal(before.nan_to_num(), after.nan_to_num())
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(map(_unchanged, before, after))
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_unchanged(before[k], after[k]) for k in before)
    return callable(before) or before == after


def _fill(made: nn.Module, state: dict[str, Tensor]) -> None:
    """Load the reference's weights. Raises Mistake that names what differs."""
    own = made.state_dict()
    missing, extra = sorted(state.keys() - own.keys()), sorted(own.keys() - state.keys())
    if missing or extra:
        raise Mistake(say("the names of its weights differ: missing {missing}; not asked for {extra}",
                          missing=missing[:4], extra=extra[:4]))
    for name, weight in state.items():
        if own[name].shape != weight.shape:
            raise Mistake(say("{name} has the shape {found}; it must be {right}", name=name,
                              found=tuple(own[name].shape), right=tuple(weight.shape)))
    made.load_state_dict(state)
