"""The loop, which survives a power cut: an interrupted run is taken up again and ends with the same bits."""

import copy
import json
import signal
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from clipmini import checkpoint
from clipmini.files import remove_leftovers, written_whole
from clipmini.lock import locked
from clipmini.meta_device import without_numbers
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer
from clipmini.training import lora, together
from clipmini.training.budget import out_of_patience, planned
from clipmini.training.config import SAVE_SECONDS, TrainConfig, TrainingError
from clipmini.training.doctor import write_csv
from clipmini.training.pairs import Pairs
from clipmini.training.rates import prepare
from clipmini.training.state import resume_state, save_state
from clipmini.training.step import Run, keep_freed_memory, make_optimizer, one_step

TOLD = 0.1  # part of the steps: smaller changes of a plan are not said


def check(model: CLIP, pairs: Pairs, tokenizer: Tokenizer, config: TrainConfig) -> None:
    """Raise TrainingError for what cannot be trained, before any work."""
    if not isinstance(model, CLIP) or not isinstance(tokenizer, Tokenizer):
        raise TrainingError(f"a {type(model).__name__} with a {type(tokenizer).__name__} cannot be trained here; give "
                            "the model and the tokenizer of a checkpoint whose types are CLIP and Tokenizer")
    with without_numbers():
        lacking = CLIP(model.config).state_dict().keys() - model.state_dict().keys()
    if lacking or model.logit_scale.device.type != "cpu":
        raise TrainingError(f"the model is on the device {model.logit_scale.device} and lacks {len(lacking)} of its "
                            "tensors; to train it, load it with device='cpu', and without packed and int8")
    if len(pairs) < config.batch:
        raise TrainingError(f"the data has {len(pairs)} rows, fewer than one batch of {config.batch}; "
                            "choose a smaller batch or more data")
    if config.loss == "sigmoid" and not model.config.sigmoid:
        raise TrainingError("the sigmoid loss needs a model with logit_bias: set sigmoid=True in its CLIPConfig")
    if config.distil and (pairs.targets is None or pairs.targets.shape != (len(pairs), model.config.embed_dim)):
        raise TrainingError("distil needs a target for each picture, as training.distil.targets makes them of a model; "
                            "train with --init, or with distil=0")
    if config.hard_negatives and not any(pairs.negatives):
        raise TrainingError("hard_negatives needs swapped captions, and the data has none; use scenes of two objects, "
                            "or train without")


def begin(model: CLIP, pairs: Pairs, config: TrainConfig, templates: tuple[str, ...], folder: Path, say) -> Run:
    """A new run, or the unfinished one of the folder. say: takes a line for the user."""
    keep_freed_memory()
    if together.first():
        remove_leftovers(folder)
    prepare(model, config, say)
    run = Run(model, copy.deepcopy(model).eval(), make_optimizer(model, config), total=config.steps)
    recipe = {"model": model.config.to_dict(), "train": asdict(config), "rows": len(pairs),
              "captions": sum(map(len, pairs.captions)), "templates": templates,
              "frozen": [n for n, p in model.named_parameters() if not p.requires_grad]}
    text = json.dumps(recipe, indent=2)
    if together.agreed((folder / "state.pt").exists()):
        resume_state(folder, run, json.loads(text))  # as JSON has it: lists for tuples
        done = f"{str(folder)!r} is finished"
        say(done if run.step == run.total else f"taking up {str(folder)!r} at step {run.step:,}")
    elif together.first():
        with written_whole(folder / "run.json", "run description") as temporary:
            temporary.write_text(text, encoding="utf-8")
    return run


@contextmanager
def finishing_the_step():
    """While inside, the first Ctrl-C only sets the event that is given, so that a step is never cut in two and its work
    can be saved; the second one stops at once. Outside the main thread signals are left alone."""
    interrupted, usual = threading.Event(), signal.getsignal(signal.SIGINT)
    listening = threading.current_thread() is threading.main_thread()

    def note(_number, _frame):
        interrupted.set()
        signal.signal(signal.SIGINT, usual)

    if listening:
        signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        if listening:
            signal.signal(signal.SIGINT, usual)


def train(model: CLIP, pairs: Pairs, tokenizer: Tokenizer, config: TrainConfig, folder: str | Path,
          templates: tuple[str, ...] = ("{}",), evaluate=None, card=None, progress: bool = True,
          stop_after: int | None = None, film: tuple[int, ...] = ()) -> Run:
    """Train a model; resume by itself if `folder` holds an unfinished run of the same recipe.

    pairs: what read_pairs gives. folder: receives run.json, state.pt, curve.csv and the checkpoints best/ (highest
    score) and last/. templates: wrap some of the captions. evaluate: model -> score, higher is better; called on the
    averaged weights. card: run -> text of the model card. stop_after: leave after this many steps in all, as if
    interrupted. film: steps after which the averaged weights are kept in film/. Returns the finished Run, LoRA merged,
    and with config.patience the average is the best one. Raises TrainingError (too few rows, another recipe in the
    folder, another process at work in it, loss not a number). A model that is wholly frozen, as loaded, is unfrozen.
    """
    folder = Path(folder)
    say = (lambda word: print(word, file=sys.stderr)) if progress else (lambda word: None)
    check(model, pairs, tokenizer, config)
    backward = together.backward if together.count() > 1 else None
    with locked(folder / "train.lock", TrainingError) if together.first() else nullcontext():
        run = begin(model, pairs, config, templates, folder, say)
        bar = tqdm(total=run.total, initial=run.step, disable=not progress, unit="step", dynamic_ncols=True)
        saved = now = together.agreed(time.perf_counter())
        with bar, together.joint_norms(run.model), finishing_the_step() as interrupted:
            while (run.total is None or run.step < run.total) and (stop_after is None or run.step < stop_after):
                try:
                    one_step(run, pairs, tokenizer, config, templates, backward)
                except TrainingError:
                    write_csv(folder / "curve.csv", run.history)  # for the doctor; state.pt keeps the last good weights
                    raise
                before, (now, stop) = now, together.agreed((time.perf_counter(), interrupted.is_set()))
                run.seconds += now - before
                run.history[-1]["pairs_per_second"] = round(config.batch / (now - before), 1)
                _plan(run, config, run.seconds - (now - before), bar, say)
                if run.step % config.evaluate_every == 0 or run.step == run.total:
                    _score_and_save(run, tokenizer, config, evaluate, folder, card)
                elif stop or now - saved >= SAVE_SECONDS:
                    save_state(folder, run)
                    saved = time.perf_counter()  # what saving took is not counted: a huge model trains in between
                if run.step in film and together.first():
                    checkpoint.save(folder / f"film/step-{run.step:06}", lora.merged(run.average), tokenizer, "",
                                    {"step": run.step})
                _show(bar, run)
                if together.agreed(stop or interrupted.is_set()):
                    raise KeyboardInterrupt
        together.agreed(None)  # all is written
    run.average = lora.merged(run.average)
    if config.patience and (folder / "best").is_dir():
        run.average.load_state_dict(checkpoint.load(folder / "best")[0].state_dict())
    return run


def _plan(run: Run, config: TrainConfig, seconds: float, bar, say) -> None:
    """Look whether the steps still fit into the budget, and say so where they do not. seconds: of a step ago."""
    before, run.total = run.total, planned(run, config, seconds)
    if run.total != before:
        bar.total = run.total
        if before and run.total and config.minutes and abs(run.total - before) > TOLD * before:
            say(f"\nthe speed of this computer has changed: {run.total:,} steps in place of {before:,}, to end after "
                f"{config.minutes:g} minutes")


def _score_and_save(run: Run, tokenizer: Tokenizer, config: TrainConfig, evaluate, folder: Path, card) -> None:
    asked = evaluate is not None and together.first()
    score = together.agreed(float(evaluate(run.average)) if asked else None)
    meta = {"step": run.step, "total": run.total, "seconds": round(run.seconds, 1), "score": score}
    text = card(run) if card else ""
    run.history[-1]["score"] = "" if score is None else score
    better = score is not None and score > run.best
    run.best = score if better else run.best
    run.total = run.step if out_of_patience(run, config) else run.total
    for name, wanted in (("best", better), ("last", run.step == run.total)):
        if wanted and together.first():
            checkpoint.save(folder / name, lora.merged(run.average), tokenizer, text, meta)
    save_state(folder, run)


def _show(bar, run: Run) -> None:
    row = run.history[-1]
    scores = [r["score"] for r in run.history[-1000:] if r["score"] != ""]
    score = f" score {scores[-1]:.3f}" if scores else ""
    bar.set_postfix_str(f"loss {row['loss']:.2f} (ln N {row['ln_n']:.2f}) scale {row['scale']:.0f} "
                        f"{row['pairs_per_second']:.0f} pairs/s{score}", refresh=False)
    bar.update(1)
