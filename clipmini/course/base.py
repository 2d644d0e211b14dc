"""What the checkers of the lessons' exercises share. Each takes the student's function and prints one line, todo or
pass; a wrong answer raises an AssertionError that names the likely mistake. todo never raises: a notebook runs to its
end with or without answers. The mistakes are the ones that students make, and what each would have returned.
"""

import copy
import functools
import os

import torch
from torch import Tensor

# The lessons' only switch: the test suite trains for seconds, students for minutes.
FAST = os.environ.get("CLIPMINI_FAST") == "1"


class _Todo(Exception):
    """The student's function is a stub still."""


def checker(check):
    """Print todo or pass, and leave only the message of a mistake: a traceback through the checker's own lines would
    show the answer.
    """
    @functools.wraps(check)
    def checked(function) -> None:
        __tracebackhide__ = True  # IPython and pytest leave this frame out
        try:
            check(function)
        except _Todo:
            print(f"todo  {function.__name__}: write it above, then run this cell again")
        except AssertionError as mistake:
            raise AssertionError(str(mistake)) from None
        else:
            print(f"pass  {function.__name__}")
    return checked


def answer_of(function, *arguments):
    """What the student's function returns. Raises _Todo while it is a stub."""
    try:
        found = function(*copy.deepcopy(arguments))
    except NotImplementedError:
        raise _Todo from None
    except Exception as error:
        given = ", ".join(f"{type(a).__name__} of shape {tuple(a.shape)}" if isinstance(a, Tensor) else
                          "a function" if callable(a) else repr(a)[:80] for a in arguments)
        error.add_note(f"{function.__name__} was called with: {given}")
        raise
    expect(found is not None, f"{function.__name__} returned nothing; end it with a return")
    return found


def expect(right: bool, mistake: str) -> None:
    """Raise an AssertionError that says the mistake, unless it is right."""
    if not right:
        raise AssertionError(mistake)


def is_near(a, b) -> bool:
    """The same shape and nearly the same numbers; what holds no numbers must be equal and of the same type."""
    try:
        a, b = torch.as_tensor(a, dtype=torch.float32), torch.as_tensor(b, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):  # words, lists of words, dicts
        return type(a) is type(b) and a == b
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=1e-4, atol=1e-5))


def shape_of(x) -> tuple | None:
    """A tensor's shape; None for anything else."""
    return tuple(x.shape) if isinstance(x, Tensor) else None


def judge(function, arguments: tuple, right, mistakes: dict, otherwise: str) -> None:
    """mistakes: message -> what a function with this mistake returns; otherwise: the message for the rest."""
    found = answer_of(function, *arguments)
    for mistake, wrong in mistakes.items():
        expect(not is_near(found, wrong), mistake)
    if isinstance(right, Tensor) and isinstance(found, Tensor):
        expect(found.shape == right.shape, f"the shape is {tuple(found.shape)}; it must be {tuple(right.shape)}")
    expect(is_near(found, right), f"{otherwise}; yours gave {_short(found)}")


def _short(found) -> str:
    """What came back, in a few words."""
    if isinstance(found, Tensor) and found.is_floating_point():
        found = [round(x, 3) for x in found.detach().flatten().tolist()]
    text = str(found.tolist() if isinstance(found, Tensor) else found)
    return text if len(text) <= 60 else text[:57] + "..."


def randn(*shape: int, seed: int = 0) -> Tensor:
    """A tensor of this shape from the standard normal distribution, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
