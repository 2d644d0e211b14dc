"""The doctor: reads a training curve and says in words what it shows."""

import csv
import math
from pathlib import Path

from torch import Tensor

from clipmini.files import written_whole
from clipmini.loss import duplicate_floor
from clipmini.training.config import OLD_NAMES, TrainingError

HISTORY = {"step": "", "loss": "nats", "ln_n": "nats, what guessing costs: ln N, less for repeats",
           "scale": "exp(logit_scale)", "learning_rate": "", "gradient": "norm before clipping",
           "mean_vector_norm": "length of the mean picture vector, 1: all alike", "pairs_per_second": "",
           "score": "on the validation pictures, where there are any"}


def write_csv(path: Path, history: list[dict]) -> None:
    """The curve, one row a step."""
    with written_whole(path, "curve") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(HISTORY), restval="")
        writer.writeheader()
        writer.writerows(history)


def read_csv(path: str | Path) -> list[dict]:
    """A curve.csv back as the list of rows that `train` keeps. Raises TrainingError for any other file."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            rows.fieldnames = [OLD_NAMES.get(name, name) for name in rows.fieldnames or ()]
            lacking = [name for name in HISTORY if name not in rows.fieldnames]
            if lacking:
                raise ValueError(f"it has no column {lacking[0]!r}")
            return [{k: (v if v == "" else float(v)) for k, v in row.items()} for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"cannot read the curve {str(path)!r} ({error}); give the folder of a run, which holds the "
                            "curve.csv that `clipmini train` wrote") from error


def diagnose(history: list[dict], scale_max: float = 100.0, groups: Tensor | None = None, batch: int | None = None,
             loss: str = "clip") -> list[str]:
    """Read a curve and say in words what it shows, in at least one sentence.

    history: rows of `train`. scale_max: the clamp of the scale. groups, batch: with them and a loss other than "multi",
    the floor that repeated captions set is computed.
    """
    if not history:
        return ["nothing to read: the curve is empty"]
    broken = next((r for r in history if not (math.isfinite(r["loss"]) and math.isfinite(r["gradient"]))), None)
    if broken:
        before = [r for r in history if r["step"] < broken["step"]][-1:]
        scale = f" The scale was {before[0]['scale']:.0f} the step before." if before else ""
        return [f"the loss or its gradient stopped being a number at step {broken['step']:.0f}.{scale} "
                "Lower the learning rate, lengthen the warm-up, and train in float32."]
    tail = history[-max(1, len(history) // 20):]
    loss_now = sum(r["loss"] for r in tail) / len(tail)
    chance = tail[-1]["ln_n"]
    found = []
    if len(history) >= 100 and loss_now > 0.95 * chance:
        found.append(f"stuck at ln N: the loss is {loss_now:.2f} and guessing costs {chance:.2f}. Give it more steps, "
                     "a smaller batch, a higher learning rate after a warm-up, milder augmentation, or check that "
                     "captions match pictures.")
    if sum(r["mean_vector_norm"] for r in tail) / len(tail) > 0.95:
        found.append("collapse: all pictures get nearly the same vector (mean longer than 0.95). Lower the learning "
                     "rate, and check that the pictures really differ.")
    if sum(r["scale"] >= 0.999 * scale_max for r in tail) > len(tail) / 2:
        found.append(f"the scale stands at its clamp of {scale_max:.0f}: usual late in a long run, memorising in a "
                     "short one. Add augmentation or data if the validation score falls.")
    if groups is not None and batch and loss != "multi":
        floor = duplicate_floor(groups, batch)
        if floor > 0.02:
            found.append(f"repeated captions: with batches of {batch}, plain InfoNCE cannot fall below {floor:.2f} on "
                         "this data. Use the loss 'multi', which counts copies as right answers.")
    if not found and len(history) < 100 and loss_now > 0.8 * chance:
        found.append(f"too short to tell: after {len(history)} steps the loss is {loss_now:.2f}, guessing costs "
                     f"{chance:.2f}. Give it some hundred steps.")
    scores = [r["score"] for r in history if r["score"] != ""]
    if len(scores) >= 4 and max(scores) - scores[-1] > 0.02:
        found.append(f"the validation score fell from {max(scores):.3f} to {scores[-1]:.3f}: overfitting; best/ keeps "
                     "the peak.")
    return found or [f"healthy: the loss fell to {loss_now:.2f}, guessing costs {chance:.2f}."]
