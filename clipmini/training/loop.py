"""The loop, which survives a power cut: an interrupted run is taken up again and ends with the same bits.

Not here: several machines; two CPU cores have no use for them.
"""

import copy
import json
import math
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from clipmini import checkpoint
from clipmini.files import remove_leftovers, written_whole
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer
from clipmini.training.config import TIMED_STEPS, TrainConfig, TrainingError
from clipmini.training.doctor import diagnose, write_csv
from clipmini.training.pairs import Pairs, draw
from clipmini.training.step import (
    cached_backward,
    guessing_loss,
    keep_freed_memory,
    learning_rate,
    make_optimizer,
    plain_backward,
    update_average,
)


@dataclass
class Run:
    """All that must survive a power cut. total is None until a budget in minutes has been timed."""

    model: CLIP
    average: CLIP
    optimizer: torch.optim.AdamW
    step: int = 0
    total: int | None = None
    seconds: float = 0.0
    best: float = -math.inf
    history: list[dict] = field(default_factory=list)


def description(model: CLIP, pairs: Pairs, config: TrainConfig, templates: tuple[str, ...]) -> dict:
    """What makes two runs the same run, as JSON."""
    recipe = {"model": model.config.to_dict(), "train": asdict(config), "rows": len(pairs),
              "captions": sum(len(c) for c in pairs.captions), "templates": list(templates)}
    return json.loads(json.dumps(recipe))


def save_state(folder: Path, run: Run) -> None:
    """state.pt, written whole or not at all."""
    state = {"model": run.model.state_dict(), "average": run.average.state_dict(), "optimizer": run.optimizer.state_dict(),
             "step": run.step, "total": run.total, "seconds": run.seconds, "best": run.best, "history": run.history}
    with written_whole(folder / "state.pt", "training state") as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # how torch reports a full disk
            raise OSError(f"torch.save: {error}") from error
    write_csv(folder / "curve.csv", run.history)


def resume_state(folder: Path, run: Run, recipe: dict) -> bool:
    """Continue where state.pt left off, if there is one of the same recipe. Raises TrainingError when recipes differ."""
    if not (folder / "state.pt").exists():
        return False
    try:
        known = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        differing = [k for part in ("model", "train") for k in recipe[part] if known[part].get(k) != recipe[part][k]]
        differing += [k for k in ("rows", "captions", "templates") if known[k] != recipe[k]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{str(folder / 'run.json')!r} is missing or damaged ({error!r}); "
                            "delete the folder to start anew") from error
    if differing:
        raise TrainingError(f"{str(folder)!r} holds a run with another recipe ({', '.join(differing)} differ); "
                            "repeat its options, or choose another --out")
    try:
        state = torch.load(folder / "state.pt", weights_only=True)
        run.model.load_state_dict(state["model"])
        run.average.load_state_dict(state["average"])
        run.optimizer.load_state_dict(state["optimizer"])
        for name in ("step", "total", "seconds", "best", "history"):
            setattr(run, name, state[name])
    except Exception as error:
        raise TrainingError(f"{str(folder / 'state.pt')!r} is damaged ({error}); delete the folder to start anew") from error
    return True


def train(model: CLIP, pairs: Pairs, tokenizer: Tokenizer, config: TrainConfig, folder: str | Path,
          templates: tuple[str, ...] = ("{}",), evaluate=None, card=None, progress: bool = True,
          stop_after: int | None = None, film: tuple[int, ...] = ()) -> Run:
    """Train a model; resume by itself if `folder` holds an unfinished run of the same recipe.

    pairs: what read_pairs gives. folder: receives run.json, state.pt, curve.csv and the checkpoints best/ (highest score)
    and last/. templates: wrap some of the captions. evaluate: model -> score, higher is better; called on the averaged
    weights. card: run -> text of the model card. stop_after: leave after this many steps in all, as if interrupted.
    film: steps after which the averaged weights are kept in film/, to be looked at later.
    Returns the finished Run. Raises TrainingError (too few rows, another recipe in the folder, loss not a number).
    """
    from tqdm import tqdm

    folder = Path(folder)
    if len(pairs) < config.batch:
        raise TrainingError(f"the data has {len(pairs)} rows, fewer than one batch of {config.batch}; "
                            "choose a smaller batch or more data")
    if config.loss == "sigmoid" and not model.config.sigmoid:
        raise TrainingError("the sigmoid loss needs a model with logit_bias: set sigmoid=True in its CLIPConfig")
    if config.hard_negatives and not any(pairs.negatives):
        raise TrainingError("hard_negatives needs swapped captions, and the data has none; use scenes of two objects, "
                            "or train without")
    keep_freed_memory()
    remove_leftovers(folder)
    average = copy.deepcopy(model).eval()
    run = Run(model.train(), average, make_optimizer(model, config), total=config.steps)
    recipe = description(model, pairs, config, templates)
    if resume_state(folder, run, recipe):
        done = f"{str(folder)!r} is finished" if run.step == run.total else f"taking up {str(folder)!r} at step {run.step:,}"
        print(done, file=sys.stderr) if progress else None
    else:
        with written_whole(folder / "run.json", "run description") as temporary:
            temporary.write_text(json.dumps(recipe, indent=2), encoding="utf-8")
    bar = tqdm(total=run.total, initial=run.step, disable=not progress, unit="step", dynamic_ncols=True)
    last_time, began = time.perf_counter(), run.seconds
    started = last_time
    with bar, finishing_the_step() as interrupted:
        while run.total is None or run.step < run.total:
            if stop_after is not None and run.step >= stop_after:
                break
            try:
                _one_step(run, pairs, tokenizer, config, templates)
            except TrainingError:
                write_csv(folder / "curve.csv", run.history)  # for the doctor; the saved weights stay the last good ones
                raise
            now = time.perf_counter()
            run.seconds = began + now - started
            run.history[-1]["pairs_per_second"] = round(config.batch / (now - last_time), 1)
            last_time = now
            if run.total is None and run.step == TIMED_STEPS:
                run.total = _steps_in(config.minutes, run.history, config.batch, run.seconds)
                bar.total = run.total
            if run.step % config.evaluate_every == 0 or run.step == run.total:
                _score_and_save(run, tokenizer, evaluate, folder, card)
            elif interrupted.is_set():
                save_state(folder, run)
            if run.step in film:
                checkpoint.save(folder / "film" / f"step-{run.step:06d}", run.average, tokenizer, meta={"step": run.step})
            _show(bar, run)
            if interrupted.is_set():
                raise KeyboardInterrupt
    return run


@contextmanager
def finishing_the_step():
    """While inside, the first Ctrl-C only sets the event that is given, so that a step is never cut in two and its work
    can be saved; the second one stops at once. Outside the main thread signals are left alone."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    usual = signal.getsignal(signal.SIGINT)

    def note(_number, _frame):
        interrupted.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, usual)


def _one_step(run: Run, pairs: Pairs, tokenizer: Tokenizer, config: TrainConfig, templates: tuple[str, ...]) -> None:
    """Draw, forward, backward, update; appends a row to run.history."""
    total = run.total or 10**9  # not yet timed: still inside warm-up, where the total does not matter
    batch = draw(pairs, tokenizer, run.model, config, run.step, total, templates)
    rate = learning_rate(config, run.step, total)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    backward = cached_backward if config.chunk and config.chunk < config.batch else plain_backward
    loss, image = backward(run.model, batch, config)
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip)
    row = {"step": run.step + 1, "loss": loss.item(), "ln_n": guessing_loss(batch, config), "scale": run.model.scale.item(),
           "learning_rate": rate, "gradient": norm.item(), "crowding": image.mean(0).norm().item(), "pairs_per_second": 0.0,
           "score": ""}
    run.history.append(row)
    if not (math.isfinite(row["loss"]) and math.isfinite(row["gradient"])):
        raise TrainingError("; ".join(diagnose(run.history)))
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.model.clamp_scale_()
    update_average(run.average, run.model, config.ema, run.step)
    run.step += 1


def _steps_in(minutes: float, history: list[dict], batch: int, used: float) -> int:
    """How many steps fit into the minutes, from the median speed of the steps so far. 6% are kept back: for scores
    and saves, for recolouring, which starts later, and for a processor that slows down once it is warm."""
    speeds = sorted(row["pairs_per_second"] for row in history[5:])
    seconds_left = minutes * 60 * 0.94 - used
    return max(TIMED_STEPS, TIMED_STEPS + int(seconds_left * speeds[len(speeds) // 2] / batch))


def _score_and_save(run: Run, tokenizer: Tokenizer, evaluate, folder: Path, card) -> None:
    finished = run.step == run.total
    score = None if evaluate is None else float(evaluate(run.average))
    meta = {"step": run.step, "total": run.total, "seconds": round(run.seconds, 1), "score": score}
    text = card(run) if card else ""
    if score is not None:
        run.history[-1]["score"] = score
        if score > run.best:
            run.best = score
            checkpoint.save(folder / "best", run.average, tokenizer, text, meta)
    if finished:
        checkpoint.save(folder / "last", run.average, tokenizer, text, meta)
    save_state(folder, run)


def _show(bar, run: Run) -> None:
    row = run.history[-1]
    scores = [r["score"] for r in run.history[-1000:] if r["score"] != ""]
    bar.set_postfix_str(f"loss {row['loss']:.2f} (ln N {row['ln_n']:.2f}) scale {row['scale']:.0f} "
                        f"{row['pairs_per_second']:.0f} pairs/s" + (f" score {scores[-1]:.3f}" if scores else ""), refresh=False)
    bar.update(1)
