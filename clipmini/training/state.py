"""The state of an unfinished run on the disk."""

import json
from pathlib import Path

import torch

from clipmini.files import written_whole
from clipmini.training import together
from clipmini.training.config import LATER, TrainingError, current_names
from clipmini.training.doctor import write_csv
from clipmini.training.step import Run

MODULES, VALUES = ("model", "average", "optimizer"), ("step", "total", "seconds", "best", "history", "plan")  # of a Run


def save_state(folder: Path, run: Run) -> None:
    """state.pt, written whole or not at all, and curve.csv; of several processes the first one writes."""
    if not together.first():
        return
    state = {name: getattr(run, name).state_dict() for name in MODULES} | {name: getattr(run, name) for name in VALUES}
    write_state(folder / "state.pt", state)
    write_csv(folder / "curve.csv", run.history)


def write_state(path: Path, state: dict) -> None:
    """A state as a file, written whole or not at all."""
    with written_whole(path, "training state") as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # how torch reports a full disk
            raise OSError(f"torch.save: {error}") from error


def resume_state(folder: Path, run: Run, recipe: dict) -> None:
    """Continue where state.pt left off. Raises TrainingError when it is damaged or of another recipe."""
    try:
        known = {"frozen": [], **json.loads((folder / "run.json").read_text(encoding="utf-8"))}
        known["train"] = LATER | current_names(known["train"])
        differing = [k for part in ("model", "train") for k in recipe[part] if known[part].get(k) != recipe[part][k]]
        differing += [k for k in ("rows", "captions", "templates", "frozen") if known[k] != recipe[k]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{str(folder / 'run.json')!r} is missing or damaged ({error!r}); "
                            "delete the folder to start anew") from error
    if differing:
        raise TrainingError(f"{str(folder)!r} holds a run with another recipe ({', '.join(differing)} differ); "
                            "repeat its options, or choose another --out")
    try:
        state = torch.load(folder / "state.pt", weights_only=True)
        state["history"] = [current_names(row) for row in state["history"]]
        state.setdefault("plan", [])  # an earlier version had none
        for name in MODULES:
            getattr(run, name).load_state_dict(state[name])
        for name in VALUES:
            setattr(run, name, state[name])
    except Exception as error:
        raise TrainingError(f"{str(folder / 'state.pt')!r} is damaged ({error}); "
                            "delete the folder to start anew") from error
