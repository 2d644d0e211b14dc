"""Values of options that are more than a word or a number."""

import argparse
from collections.abc import Callable
from datetime import datetime


def plan(text: str) -> tuple[tuple[int, int], ...]:
    """A plan from the command line.

    >>> plan("30:1200,600:900")
    ((30, 1200), (600, 900))
    """
    try:
        return tuple((int(step), int(total)) for step, total in (pair.split(":") for pair in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no plan; give pairs such as 30:1200,600:900: a step, and the "
                                         "steps in all from there on") from None


def rates(text: str) -> tuple[tuple[str, float], ...]:
    """Parts and what their learning rate is multiplied with, from the command line.

    >>> rates("image=0,visual.proj*=0.5")
    (('image', 0.0), ('visual.proj*', 0.5))
    """
    try:
        return tuple((part.strip(), float(rate)) for part, rate in (pair.split("=") for pair in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} names no parts and rates; give pairs such as image=0,text=0.1: a "
                                         "part and a number of 0 or more") from None


def moment(text: str) -> float:
    """A date, with or without a time, as seconds since 1970."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write it as 2026-11-27 or 2026-11-27T18:30") from None


def numbers(count: int) -> Callable[[str], tuple[float, ...]]:
    """So many numbers, separated by commas.

    >>> numbers(2)("40,60.5")
    (40.0, 60.5)
    """
    def read(text: str) -> tuple[float, ...]:
        try:
            found = tuple(float(part) for part in text.split(","))
        except ValueError:
            found = ()
        if len(found) != count:
            raise argparse.ArgumentTypeError(f"{text!r} is not {count} numbers; write them with commas and no blanks, "
                                             f"such as {','.join('10' for _ in range(count))}")
        return found

    return read
