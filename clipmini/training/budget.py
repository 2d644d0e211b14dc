"""A budget in minutes: how many steps it is, found out on the way, and written down so that it can be repeated."""

from typing import TYPE_CHECKING

from clipmini.training.config import TIMED_STEPS, TrainConfig

if TYPE_CHECKING:
    from clipmini.training.step import Run

EVERY, RECENT = 0.02, 0.05  # parts of the budget: between two looks at the speed, and over which it is measured
FEWEST = 5  # steps whose speed is measured
LATE, EARLY = 1.02, 0.90  # parts of the budget: an end that is expected outside of them is planned anew


def first_plan(minutes: float, history: list[dict], batch: int, used: float) -> int:
    """How many steps fit into the minutes, from the median speed of the steps so far. 6% are kept back: for scores
    and saves, for recolouring, which starts later, and for a processor that slows down once it is warm."""
    speeds = sorted(row["pairs_per_second"] for row in history[5:])
    steps_left = int((minutes * 60 * 0.94 - used) * speeds[len(speeds) // 2] / batch)
    return TIMED_STEPS + max(0, steps_left)


def planned(run: "Run", config: TrainConfig, before: float) -> int | None:
    """How many steps the run is to have, as far as that is known now; before: run.seconds a step ago.

    run.plan gains a pair (step, total) when it changes: a computer that gets busy gets fewer steps, and more when it is
    free again.
    """
    if config.plan:
        return next((total for step, total in reversed(config.plan) if step <= run.step), None)
    if not config.minutes:
        return config.steps
    if run.total is None and run.step == TIMED_STEPS:
        total = first_plan(config.minutes, run.history, config.batch, run.seconds)
    elif run.total is None or run.step <= TIMED_STEPS:
        return run.total
    else:
        run.plan = run.plan or [(TIMED_STEPS, run.total)]  # an earlier version had noted nothing
        budget = 60 * config.minutes
        looked = run.seconds // (EVERY * budget) == before // (EVERY * budget)
        total = run.total if looked else _anew(run, run.total, config.batch, budget)
    if total != run.total:
        run.plan.append((run.step, total))
    return total


def _anew(run: "Run", now: int, batch: int, budget: float) -> int:
    """The steps as they are planned now, or those that end within the budget of seconds at the present speed."""
    seconds, steps = 0.0, 0
    for row in reversed(run.history):
        seconds, steps = seconds + batch / max(row["pairs_per_second"], 0.05), steps + 1
        if seconds >= RECENT * budget and steps >= FEWEST:
            break
    end = run.seconds + (now - run.step) * seconds / steps
    if EARLY * budget <= end <= LATE * budget:
        return now
    return run.step + max(0, int((budget - run.seconds) * steps / seconds))


def out_of_patience(run: "Run", config: TrainConfig) -> bool:
    """Whether config.patience scores came since the best one."""
    scores = [row["score"] for row in run.history if row["score"] != ""]
    return 0 < config.patience < len(scores) - scores.index(max(scores)) if scores else False


def as_option(plan: list[tuple[int, int]]) -> str:
    """A plan as --plan takes it.

    >>> as_option([(30, 1200), (600, 900)])
    '30:1200,600:900'
    """
    return ",".join(f"{step}:{total}" for step, total in plan)
