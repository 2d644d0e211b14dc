"""Training: the data of a step, one step, runs that are cut off, and the doctor."""

import csv
import itertools
import json
import math
import os
import signal
import socket
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import clipmini
from clipmini import checkpoint, training
from clipmini import lock as lock_file
from clipmini.augment import augment
from clipmini.loss import duplicate_floor
from clipmini.model import no_decay
from clipmini.tasks.evaluate import zero_shot_score
from clipmini.training.config import LATER, OLD_NAMES, TIMED_STEPS, TrainConfig, TrainingError
from clipmini.training.doctor import diagnose, read_csv
from clipmini.training.pairs import Batch, choose_caption, make_batch, other_rows, read_pairs, rows_of_step, wrap
from clipmini.training.step import (
    cached_backward,
    encodings,
    guessing_loss,
    learning_rate,
    make_optimizer,
    mixed_precision,
    objective,
    one_step,
    plain_backward,
    update_average,
)
from helpers_train import pairs_dataset, squares

QUICK = TrainConfig(steps=24, batch=16, warmup=4, learning_rate=3e-3, evaluate_every=5)


def run(model, tokenizer, folder, config=QUICK, pairs=None, **options):
    pairs = squares() if pairs is None else pairs
    return training.train(model, pairs, tokenizer, config, folder, progress=False, **options)


def weights(folder, which="last") -> bytes:
    return (Path(folder) / which / "model.safetensors").read_bytes()


def steps_in(folder) -> list[int]:
    with open(Path(folder) / "curve.csv", newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


# ---------------------------------------------------------------- runs that are cut off


@pytest.mark.parametrize("name", ["light-cbow", "vit-transformer"])
@pytest.mark.parametrize("stops", [[10], [7], [3, 13, 19]], ids=["on a save", "between saves", "several times"])
def test_a_resumed_run_ends_with_the_same_bits(name, stops, make_clip, tokenizer, tmp_path):
    def score(model):
        return model.scale.item()

    run(make_clip(name), tokenizer, tmp_path / "whole", evaluate=score)
    for stop in stops:
        cut = run(make_clip(name), tokenizer, tmp_path / "cut", stop_after=stop, evaluate=score)
        assert cut.step == stop and not (tmp_path / "cut" / "last").exists()
    run(make_clip(name), tokenizer, tmp_path / "cut", evaluate=score)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert weights(tmp_path / "cut", "best") == weights(tmp_path / "whole", "best")
    assert steps_in(tmp_path / "cut") == list(range(1, 25))
    kept, whole = (read_csv(tmp_path / folder / "curve.csv") for folder in ("cut", "whole"))
    for ours, theirs in zip(kept, whole, strict=True):
        assert {**ours, "pairs_per_second": 0} == {**theirs, "pairs_per_second": 0}


def test_a_cut_between_saves_goes_on_from_the_last_save(make_clip, tokenizer, tmp_path, monkeypatch):
    run(make_clip("light-cbow"), tokenizer, tmp_path, stop_after=8)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 5
    seen = []
    monkeypatch.setattr(training.step, "make_batch", lambda *a: (seen.append(a[4]), make_batch(*a))[1])
    run(make_clip("light-cbow"), tokenizer, tmp_path)
    assert seen == list(range(5, 24))
    seen.clear()
    assert run(make_clip("light-cbow"), tokenizer, tmp_path).step == 24 and seen == []  # a finished run stays as it is


KILLED = """
    import os, random, signal, sys, time
    from pathlib import Path
    import torch
    sys.path[:0] = [sys.argv[1]]
    from conftest import CAPTIONS, SMALL
    from helpers_train import squares
    from clipmini.config import preset
    from clipmini.model import CLIP
    from clipmini.tokenizer import Tokenizer
    from clipmini.training.config import TrainConfig
    from clipmini.training.loop import train

    root, name = Path(sys.argv[2]), sys.argv[3]
    tokenizer = Tokenizer.train(CAPTIONS, 600, context_length=32)
    config = TrainConfig(steps=24, batch=16, warmup=4, evaluate_every=1)

    def child(folder):
        # Forked before torch has started a thread, so that importing it is paid for once.
        pid = os.fork()
        if pid:
            return pid
        try:
            torch.manual_seed(0)
            model = CLIP(preset(name, tokenizer, *SMALL[name], embed_dim=32))
            train(model, squares(), tokenizer, config, folder, evaluate=lambda m: m.scale.item(), progress=False)
            os._exit(0)
        except BaseException as error:
            print("child:", repr(error), flush=True)
            os._exit(1)

    def wait_for_a_write(folder, unfinished):
        # Return while a temporary file or folder is there, or a random moment after the first write. A child that
        # is only killed while it starts would prove nothing.
        names = lambda: {e.name: e.stat().st_mtime_ns for e in os.scandir(folder)
                         if e.name != "train.lock"} if folder.exists() else {}
        begun, until = None, time.time() + 3
        while time.time() < until:
            try:
                found = names()
            except FileNotFoundError:  # renamed between listing and stat
                continue
            if begun is None:
                begun = found
            if unfinished and any(name.endswith(".tmp") and name not in begun for name in found):
                return
            if not unfinished and found != begun:
                return time.sleep(random.uniform(0, 0.1))

    assert os.waitpid(child(root / "whole"), 0)[1] == 0
    killed = 0
    for attempt in range(100):
        pid = child(root / "cut")
        if killed < 5:
            wait_for_a_write(root / "cut", unfinished=attempt % 2)
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        killed += os.WIFSIGNALED(status)
        state = root / "cut" / "state.pt"
        if state.exists():
            print("state", torch.load(state, weights_only=True)["step"], flush=True)
        if status == 0:
            break
        assert os.WIFSIGNALED(status), "the child failed by itself"
    print("killed", killed, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize("name", ["light-cbow", "vit-transformer"])
def test_kill_9_at_random_moments(name, tmp_path):
    here = Path(__file__).resolve().parent
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(here), str(tmp_path), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=here.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[-1]) >= 2, done.stdout  # it was killed, not just run
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert weights(tmp_path / "cut", "best") == weights(tmp_path / "whole", "best")
    assert steps_in(tmp_path / "cut") == list(range(1, 25))
    assert not list((tmp_path / "cut").glob(".*"))  # what killed writers left behind is swept away


@pytest.mark.parametrize("name", ["light-cbow", "vit-transformer"])
def test_the_clock_saves_too_and_changes_no_bit(name, make_clip, tokenizer, tmp_path, monkeypatch):
    config = replace(QUICK, evaluate_every=24)
    run(make_clip(name), tokenizer, tmp_path / "whole", config)
    with monkeypatch.context() as patch:
        clock = iter(range(10**6))  # 25 seconds a step: of 60 there are 75 after each third one
        patch.setattr(training.loop.time, "perf_counter", lambda: 25 * next(clock))
        for until, kept in ((2, None), (5, 3), (14, 12)):  # killed before the first save, and twice after it
            def killed(*arguments, until=until):
                if arguments[0].step == until:
                    raise SystemExit
                one_step(*arguments)

            patch.setattr(training.loop, "one_step", killed)
            with pytest.raises(SystemExit):
                run(make_clip(name), tokenizer, tmp_path / "cut", config)
            state = tmp_path / "cut" / "state.pt"
            assert (torch.load(state, weights_only=True)["step"] if state.exists() else None) == kept
    run(make_clip(name), tokenizer, tmp_path / "cut", config)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert steps_in(tmp_path / "cut") == list(range(1, 25))


def test_a_quick_run_is_not_saved_by_the_clock(make_clip, tokenizer, tmp_path, monkeypatch):
    saves = []
    monkeypatch.setattr(training.loop, "save_state", lambda folder, run: saves.append(run.step))
    run(make_clip("light-cbow"), tokenizer, tmp_path)
    assert saves == [5, 10, 15, 20, 24] and training.config.SAVE_SECONDS == 60


# ---------------------------------------------------------------- one process a folder


def a_lock(folder, **what) -> str:
    """A lock as a killed process leaves it; what: entries that differ."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    text = json.dumps({"pid": gone.pid, "host": socket.gethostname(), "began": "", "token": "x"} | what)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.lock").write_text(text)
    return text


def test_a_second_training_into_one_folder_is_refused(make_clip, tokenizer, tmp_path):
    def second(model):
        with pytest.raises(TrainingError) as refused:
            run(make_clip("light-cbow"), tokenizer, tmp_path / "run", replace(QUICK, seed=1))
        said.append(str(refused.value))
        return 0.0

    said: list[str] = []
    run(make_clip("light-cbow"), tokenizer, tmp_path / "run", evaluate=second)
    assert len(said) == 5
    for part in (f"process {os.getpid()} is at work", repr(str(tmp_path / "run")), "choose another folder", "train.lock"):
        assert part in said[0]
    run(make_clip("light-cbow"), tokenizer, tmp_path / "alone")
    assert weights(tmp_path / "run") == weights(tmp_path / "alone")
    assert not (tmp_path / "run" / "train.lock").exists()


def test_another_live_process_is_named(make_clip, tokenizer, tmp_path):
    code = ("import sys; from pathlib import Path; from clipmini.lock import locked\n"
            "with locked(Path(sys.argv[1]), RuntimeError): print('held', flush=True); sys.stdin.read()")
    lock = tmp_path / "train.lock"
    other = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True, cwd=Path(__file__).resolve().parent.parent)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(TrainingError, match=f"process {other.pid} is at work"):
        run(make_clip("light-cbow"), tokenizer, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["train.lock"]  # nothing was written
    other.kill()
    other.communicate()
    assert lock.exists() and run(make_clip("light-cbow"), tokenizer, tmp_path).step == 24 and not lock.exists()


@pytest.mark.parametrize("what", [{}, {"pid": os.getpid()}, {"pid": os.getppid(), "began": "1"}],
                         ids=["dead", "own number", "a number given out again"])
def test_a_dead_process_lock_is_taken_over_with_a_word(what, make_clip, tokenizer, tmp_path, capsys):
    if "began" in what and not lock_file._began(os.getpid()):
        pytest.skip("this system does not say when a process began")
    left = a_lock(tmp_path / "run", **what)
    run(make_clip("light-cbow"), tokenizer, tmp_path / "run", stop_after=1)
    said = capsys.readouterr().err
    assert f"taking over {str(tmp_path / 'run')!r}: process {json.loads(left)['pid']}" in said and said.count("\n") == 1
    assert not [p for p in (tmp_path / "run").iterdir() if "lock" in p.name]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": -1, "host": "x", "began": ""}', '{"pid": "7"}'])
def test_a_lock_that_says_nothing_is_taken(content, make_clip, tokenizer, tmp_path, capsys):
    (tmp_path / "train.lock").write_text(content)  # as a power cut leaves it
    run(make_clip("light-cbow"), tokenizer, tmp_path, stop_after=1)
    assert ("taking over" in capsys.readouterr().err) == bool(content) and not (tmp_path / "train.lock").exists()


def test_the_lock_of_another_computer_is_left_alone(make_clip, tokenizer, tmp_path):
    left = a_lock(tmp_path, host="elsewhere")
    with pytest.raises(TrainingError, match=r"process \d+ on the computer 'elsewhere'.*delete .*train.lock"):
        run(make_clip("light-cbow"), tokenizer, tmp_path)
    assert (tmp_path / "train.lock").read_text() == left


@pytest.mark.parametrize("ends", [RuntimeError, KeyboardInterrupt, TrainingError, None])
def test_the_lock_is_released_however_a_run_ends(ends, make_clip, tokenizer, tmp_path, monkeypatch):
    def step(*arguments):
        holder = json.loads((tmp_path / "train.lock").read_text())
        assert (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname())
        if ends and arguments[0].step == 3:
            raise ends
        one_step(*arguments)

    monkeypatch.setattr(training.loop, "one_step", step)
    if ends:
        with pytest.raises(ends):
            run(make_clip("light-cbow"), tokenizer, tmp_path)
    else:
        run(make_clip("light-cbow"), tokenizer, tmp_path)
    assert not (tmp_path / "train.lock").exists() and not lock_file._locks


RACE = """
    import json, os, sys, time
    from pathlib import Path
    from clipmini import lock as lock_file

    lock, inside = Path(sys.argv[1]), Path(sys.argv[2])
    left, children = lock.read_text(), []
    for attempt in range(100):
        lock.write_text(left)
        start = time.time() + 0.02
        for child in range(14):
            children.append(os.fork())
            if not children[-1]:
                time.sleep(max(0, start - time.time()))
                try:
                    with lock_file.locked(lock, RuntimeError):
                        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails where another one is inside
                        time.sleep(0.003)
                        inside.unlink()
                except RuntimeError:
                    os._exit(0)
                except BaseException as error:
                    print(repr(error), flush=True)
                    os._exit(2)
                os._exit(1)
        ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        children.clear()
        assert max(ends) == 1, ends
        assert not list(lock.parent.iterdir()), list(lock.parent.iterdir())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_of_many_who_find_a_dead_lock_one_takes_it_at_a_time(tmp_path):
    a_lock(tmp_path / "run")
    command = [sys.executable, "-c", textwrap.dedent(RACE), str(tmp_path / "run" / "train.lock"), str(tmp_path / "in")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=Path(__file__).resolve().parent.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("taking over") == 100


def test_where_the_disk_has_no_file_locks_a_dead_one_is_left_to_its_owner(tmp_path, monkeypatch):
    left = a_lock(tmp_path)
    monkeypatch.setattr(lock_file, "_alone", lambda file: False)
    with pytest.raises(TrainingError, match=r"gone, and this disk has no file locks .*: delete .*train.lock"):
        with lock_file.locked(tmp_path / "train.lock", TrainingError):
            pass
    assert (tmp_path / "train.lock").read_text() == left
    (tmp_path / "train.lock").unlink()
    with lock_file.locked(tmp_path / "train.lock", TrainingError):
        assert (tmp_path / "train.lock").exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error, exit_code, began", [(5, None, ""), (87, None, None), (0, 259, "7 9"), (0, 1, None)])
def test_on_windows_nobody_is_sent_a_signal(error, exit_code, began, monkeypatch):
    import ctypes

    class Kernel:
        def __init__(self, *_, **options):
            self.OpenProcess = type("Function", (), {"__call__": lambda *_: exit_code and 44})()

        def GetExitCodeProcess(self, handle, code):
            code._obj.value = exit_code

        def GetProcessTimes(self, handle, created, *_):
            created._obj.dwHighDateTime, created._obj.dwLowDateTime = 7, 9

        def CloseHandle(self, handle):
            assert handle.value == 44

    monkeypatch.setattr(lock_file.sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "WinDLL", Kernel, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: error, raising=False)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("on Windows that ends the process"))
    assert lock_file._began(1234) == began


# ---------------------------------------------------------------- a model that was loaded


PLAIN = {"plain_probability": 1.0, "template_probability": 0.0, "colour": 0.0, "geometry": 0.0, "background": 0.0}
FINE = TrainConfig(steps=20, batch=32, warmup=2, learning_rate=1e-3, **PLAIN)


def test_the_embedded_checkpoint_is_fine_tuned(tmp_path, capsys):
    embedder = clipmini.load("emoji", device="cpu")
    assert not any(p.requires_grad for p in embedder.model.parameters())
    pairs = squares(side=embedder.config.vision.image_size * 5 // 4)
    done = training.train(embedder.model, pairs, embedder.tokenizer, FINE, tmp_path)
    losses = [row["loss"] for row in done.history]
    assert sum(losses[-3:]) < 0.5 * sum(losses[:3])  # a tenth is usual
    told = [line for line in capsys.readouterr().err.splitlines() if "frozen" in line]
    assert told == ["the model was frozen, as loaded ones are; all of it is trained now"]
    assert all(p.requires_grad for p in embedder.model.parameters())
    before, after = clipmini.load("emoji", device="cpu"), clipmini.load(tmp_path / "last", device="cpu")
    assert after.config == before.config and not torch.equal(*(e.embed_texts(["a cat"]) for e in (before, after)))


@pytest.mark.parametrize("name, micro_batch", [("light-cbow", None), ("vit-transformer", None), ("vit-transformer", 4)])
@pytest.mark.parametrize("part", ["visual.", "text.", "text.token_embedding", "logit_scale", "all but gains and biases"])
def test_what_is_frozen_keeps_its_bits(part, name, micro_batch, make_clip, tokenizer, tmp_path):
    def is_frozen(n, p):
        return not no_decay(n, p) if part.startswith("all") else n.startswith(part)

    def buffers_too(model):
        frozen = {n for n, p in model.named_parameters() if is_frozen(n, p)}
        buffers = {n for n, _ in model.named_buffers() if n.startswith(part)}
        return {n: t for n, t in [*model.named_parameters(), *model.named_buffers()] if n in frozen | buffers}

    def bits(model):
        return {n: t.detach().numpy().tobytes() for n, t in buffers_too(model).items()}

    model = make_clip(name)
    with torch.no_grad():
        model.logit_scale.fill_(4.7)  # above its clamp
        for p in model.parameters():
            p.masked_fill_(torch.arange(p.numel()).view(p.shape) == 1, -0.0)  # its second number, if it has one
    for n, p in model.named_parameters():
        p.requires_grad_(not is_frozen(n, p))
    before, rest = bits(model), {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    done = run(model, tokenizer, tmp_path, replace(QUICK, weight_decay=0.5, micro_batch=micro_batch))
    saved = checkpoint.load(tmp_path / "last")[0]
    for after in (done.model, done.average, saved):
        assert bits(after) == before
    assert sum(not torch.equal(p, rest[n]) for n, p in done.model.named_parameters() if n in rest) > 0.8 * len(rest)
    known = {id(p) for group in done.optimizer.param_groups for p in group["params"]}
    assert known == {id(p) for p in model.parameters() if p.requires_grad}


def test_a_fine_tuning_is_resumed_with_the_same_parts_frozen(make_clip, tokenizer, tmp_path):
    def tuned(folder, frozen=("visual.",), **options):
        model = make_clip("light-cbow")
        for n, p in model.named_parameters():
            p.requires_grad_(not n.startswith(frozen))
        return run(model, tokenizer, tmp_path / folder, **options)

    tuned("whole")
    tuned("cut", stop_after=7)
    with pytest.raises(TrainingError, match=r"another recipe \(frozen differ"):
        tuned("cut", ("text.",))
    tuned("cut")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    tuned("thawed", ("",), stop_after=7)  # wholly frozen, as a loaded one: the same as one that never was
    run(make_clip("light-cbow"), tokenizer, tmp_path / "thawed")
    run(make_clip("light-cbow"), tokenizer, tmp_path / "free")
    assert weights(tmp_path / "thawed") == weights(tmp_path / "free") != weights(tmp_path / "whole")


def test_models_that_cannot_be_trained_are_told_so(make_clip, tokenizer, tmp_path):
    from clipmini.families import devise, onnx, packed, siglip
    from clipmini.families.wordpieces import WordPieces

    ours, folder = make_clip("vit-transformer"), tmp_path / "run"
    for kind in (onnx.OnnxCLIP, siglip.Siglip, devise.PhotoModel, clipmini.Embedder):
        with pytest.raises(TrainingError, match=f"a {kind.__name__} with a Tokenizer cannot be trained"):
            run(object.__new__(kind), tokenizer, folder)
    with pytest.raises(TrainingError, match="a CLIP with a WordPieces cannot be trained"):
        run(ours, object.__new__(WordPieces), folder)
    with pytest.raises(TrainingError, match="on the device meta.*device='cpu'"):
        run(make_clip("light-cbow").to("meta"), tokenizer, folder)
    for changed in (packed.int8(ours), packed.pack(ours)):
        with pytest.raises(TrainingError, match="lacks [1-9][0-9]* of its tensors.*without packed and int8"):
            run(changed, tokenizer, folder)
    assert not folder.exists()


def test_another_recipe_in_the_folder_is_refused(make_clip, tokenizer, tmp_path):
    run(make_clip("light-cbow"), tokenizer, tmp_path, stop_after=6)
    before = (tmp_path / "state.pt").read_bytes()
    for change, word in (({"seed": 5}, "seed"), ({"learning_rate": 1e-4}, "learning_rate"), ({"steps": 30}, "steps")):
        with pytest.raises(TrainingError, match=rf"another recipe \({word} differ.*another --out"):
            run(make_clip("light-cbow"), tokenizer, tmp_path, replace(QUICK, **change))
    with pytest.raises(TrainingError, match="text"):
        run(make_clip("light-cbow", text={"width": 16}), tokenizer, tmp_path)
    with pytest.raises(TrainingError, match="rows"):
        run(make_clip("light-cbow"), tokenizer, tmp_path, pairs=squares(2))
    with pytest.raises(TrainingError, match="templates"):
        run(make_clip("light-cbow"), tokenizer, tmp_path, templates=("the {}",))
    assert (tmp_path / "state.pt").read_bytes() == before


def as_of_old(folder):
    """Give a run folder the names that earlier versions wrote."""
    old = {new: name for name, new in OLD_NAMES.items()}

    def renamed(row):
        return {old.get(name, name): value for name, value in row.items()}

    known = json.loads((folder / "run.json").read_text())
    earlier = {name: value for name, value in renamed(known["train"]).items() if name not in LATER}
    (folder / "run.json").write_text(json.dumps({**known, "train": earlier}))
    state = torch.load(folder / "state.pt", weights_only=True)
    torch.save({**state, "history": [renamed(row) for row in state["history"]]}, folder / "state.pt")
    head, *rows = (folder / "curve.csv").read_text().splitlines()
    (folder / "curve.csv").write_text("\n".join([",".join(renamed(dict.fromkeys(head.split(",")))), *rows]) + "\n")


def test_a_run_folder_of_an_earlier_version_is_read_and_goes_on(make_clip, tokenizer, tmp_path):
    config = replace(QUICK, micro_batch=4)
    for folder in ("whole", "cut"):
        run(make_clip("vit-transformer"), tokenizer, tmp_path / folder, config,
            stop_after=10 if folder == "cut" else None)
    curve = read_csv(tmp_path / "cut" / "curve.csv")
    as_of_old(tmp_path / "cut")
    # These names are those of a folder that an earlier version wrote.
    known = json.loads((tmp_path / "cut" / "run.json").read_text())["train"]
    assert list(known) == [
        "steps", "minutes", "batch", "learning_rate", "weight_decay", "beta2", "warmup", "ema", "clip", "loss", "chunk",
        "precision", "plain", "wrapped", "geometry", "colour", "background", "hard_negatives", "other_texts",
        "categories", "evaluate_every", "seed"]
    assert (known["clip"], known["chunk"], known["plain"], known["wrapped"]) == (1.0, 4, 0.6, 0.3)
    assert (tmp_path / "cut" / "curve.csv").read_text().splitlines()[0] == (
        "step,loss,ln_n,scale,learning_rate,gradient,crowding,pairs_per_second,score")
    assert read_csv(tmp_path / "cut" / "curve.csv") == curve and diagnose(curve)
    with pytest.raises(TrainingError, match=r"another recipe \(micro_batch differ"):
        run(make_clip("vit-transformer"), tokenizer, tmp_path / "cut", replace(config, micro_batch=8))
    done = run(make_clip("vit-transformer"), tokenizer, tmp_path / "cut", config)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole") and diagnose(done.history)
    assert steps_in(tmp_path / "cut") == list(range(1, 25))
    assert all(row["mean_vector_norm"] > 0 for row in read_csv(tmp_path / "cut" / "curve.csv"))


def damage_cut(folder):
    state = folder / "state.pt"
    state.write_bytes(state.read_bytes()[:-500])


def damage_key(folder):
    state = torch.load(folder / "state.pt", weights_only=True)
    del state["optimizer"]
    torch.save(state, folder / "state.pt")


@pytest.mark.parametrize("damage, file", [
    (damage_cut, "state.pt"), (damage_key, "state.pt"),
    (lambda f: (f / "state.pt").write_bytes(b""), "state.pt"),
    (lambda f: torch.save([1, 2], f / "state.pt"), "state.pt"),
    (lambda f: (f / "run.json").unlink(), "run.json"),
    (lambda f: (f / "run.json").write_text("{"), "run.json"),
    (lambda f: (f / "run.json").write_text("[]"), "run.json"),
])
def test_a_damaged_run_is_named_with_the_remedy(damage, file, make_clip, tokenizer, tmp_path):
    run(make_clip("light-cbow"), tokenizer, tmp_path, stop_after=6)
    damage(tmp_path)
    with pytest.raises(TrainingError, match=f"{file}.*damaged.*delete the folder"):
        run(make_clip("light-cbow"), tokenizer, tmp_path)


def test_same_seed_same_bits_other_seed_other_bits(make_clip, tokenizer, tmp_path):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(make_clip("vit-transformer"), tokenizer, tmp_path / folder, replace(QUICK, seed=seed))
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(tmp_path / "c")


def test_minutes_become_steps(make_clip, tokenizer, tmp_path, monkeypatch):
    clock = iter(range(10**6))  # every look at the clock is half a second after the one before
    monkeypatch.setattr(training.loop.time, "perf_counter", lambda: next(clock) / 2)
    config = TrainConfig(minutes=0.5, batch=16, evaluate_every=10)
    cut = run(make_clip("light-cbow"), tokenizer, tmp_path, config, stop_after=20)
    assert cut.total is None
    done = run(make_clip("light-cbow"), tokenizer, tmp_path, config)
    # 30 s less 6%, of which 30 timed steps have used 15 s; each further one takes half a second
    assert done.total == done.step == 30 + int((30 * 0.94 - 15) / 0.5)
    assert steps_in(tmp_path) == list(range(1, done.total + 1))


def test_the_steps_that_minutes_became_give_the_same_bits(make_clip, tokenizer, tmp_path, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(training.loop.time, "perf_counter", lambda: next(clock) / 2)
    timed = TrainConfig(minutes=0.5, batch=16, warmup=40)
    done = run(make_clip("vit-transformer"), tokenizer, tmp_path / "timed", timed)
    counted = replace(timed, minutes=None, steps=done.total)
    run(make_clip("vit-transformer"), tokenizer, tmp_path / "counted", counted)
    assert weights(tmp_path / "timed") == weights(tmp_path / "counted")


def a_clock(monkeypatch, pace) -> None:
    """Time goes on with each look at it, by the seconds that pace(look) gives."""
    times = itertools.accumulate(pace(look) for look in range(10**6))
    monkeypatch.setattr(training.loop.time, "perf_counter", lambda: next(times))


@pytest.mark.parametrize("pace, least, most", [
    (lambda look: 0.3 if look < 45 else 1.2, 26, 31),                         # another program starts, and stays
    (lambda look: 1.2 if 40 < look < 60 else 0.3, 25, 31),                    # ... and ends again
    (lambda look: 0.6 if look < 34 else 0.15, 25, 31),                        # it was there at the start alone
    (lambda look: 0.3, 27, 29)], ids=["busy", "busy for a while", "busy at first", "quiet"])
def test_a_budget_in_minutes_holds_when_the_computer_gets_busy(pace, least, most, make_clip, tokenizer, tmp_path, monkeypatch,
                                                                capsys):
    a_clock(monkeypatch, pace)
    timed = TrainConfig(minutes=0.5, batch=16, warmup=40, evaluate_every=10_000)
    done = run(make_clip("light-cbow"), tokenizer, tmp_path / "timed", timed)
    assert done.step == done.total and least < done.seconds < most, done.seconds
    assert len(done.plan) == 1 or done.plan[-1][1] == done.total
    # The same bits, without a clock.
    monkeypatch.undo()
    told = replace(timed, minutes=None, plan=tuple(map(tuple, done.plan)))
    again = run(make_clip("light-cbow"), tokenizer, tmp_path / "told", told)
    assert again.step == done.step and weights(tmp_path / "told") == weights(tmp_path / "timed")


def test_a_plan_that_changes_is_said_and_survives_an_interruption(make_clip, tokenizer, tmp_path, monkeypatch, capsys):
    timed = TrainConfig(minutes=0.5, batch=16, warmup=40, evaluate_every=50)
    for stops in ((None,), (50, 75, None)):
        folder = tmp_path / str(len(stops))
        a_clock(monkeypatch, lambda look: 0.15 if look < 60 else 0.3)
        for stop in stops:
            done = training.train(make_clip("light-cbow"), squares(), tokenizer, timed, folder, stop_after=stop)
        assert len(done.plan) >= 2 and done.seconds < 31
        assert f"{done.plan[1][1]:,} steps in place of {done.plan[0][1]:,}" in capsys.readouterr().err
        monkeypatch.undo()
        told = replace(timed, minutes=None, plan=tuple(map(tuple, done.plan)))
        run(make_clip("light-cbow"), tokenizer, tmp_path / f"told {len(stops)}", told)
        assert weights(tmp_path / f"told {len(stops)}") == weights(folder)


@pytest.mark.parametrize("plan", [((30, 20), (40, 50)), ((40, 100), (30, 90)), ((30, 100), (30, 90)), ((-1, 10),), ((30, 20),)])
def test_a_plan_that_is_none(plan):
    with pytest.raises(TrainingError, match="a plan is pairs"):
        TrainConfig(plan=plan)


def test_hardly_any_minutes_still_make_a_run(make_clip, tokenizer, tmp_path):
    done = run(make_clip("light-cbow"), tokenizer, tmp_path, TrainConfig(minutes=1e-4, batch=16))
    assert done.step == done.total == TIMED_STEPS and (tmp_path / "last" / "model.safetensors").exists()


@pytest.mark.parametrize("options, words", [
    ({}, "not both"), ({"steps": 3, "minutes": 1}, "not both"), ({"steps": 0}, "positive"),
    ({"minutes": 0.0}, "positive"), ({"minutes": math.nan}, "positive"), ({"minutes": -1}, "positive"),
    ({"steps": 5, "batch": 1}, "batch at least 2"), ({"steps": 5, "evaluate_every": 0}, "evaluate_every"),
    ({"steps": 5, "loss": "l2"}, "choose one of multi, clip, sigmoid"), ({"steps": 5, "seed": -1}, "seed at least 0"),
    ({"steps": 5, "micro_batch": 0}, "micro_batch"), ({"steps": 5, "micro_batch": -4}, "micro_batch"),
    ({"steps": 5, "learning_rate": 0.0}, "learning_rate"),
    ({"steps": 5, "loss": "sigmoid", "hard_negatives": True}, "choose the loss 'clip' or 'multi'"),
    ({"steps": 5, "loss": "sigmoid", "other_texts": 8}, "choose the loss 'clip' or 'multi'"),
    ({"steps": 5, "loss": "sigmoid", "categories": 1.0}, "choose the loss 'clip' or 'multi'"),
    ({"steps": 5, "other_texts": -1}, "other_texts"), ({"steps": 5, "categories": -0.5}, "categories"),
    ({"steps": 5, "categories": math.inf}, "categories"),
    ({"steps": 5, "precision": "float16"}, "choose one of auto, float32, bfloat16"),
])
def test_impossible_recipes_are_refused(options, words):
    with pytest.raises(TrainingError, match=words):
        TrainConfig(**options)


def test_runs_that_cannot_start(make_clip, tokenizer, tmp_path):
    with pytest.raises(TrainingError, match="64 rows, fewer than one batch of 65"):
        run(make_clip("light-cbow"), tokenizer, tmp_path, replace(QUICK, batch=65))
    with pytest.raises(TrainingError, match="sigmoid=True"):
        run(make_clip("light-cbow"), tokenizer, tmp_path, replace(QUICK, loss="sigmoid"))
    with pytest.raises(TrainingError, match="hard_negatives needs"):
        run(make_clip("light-cbow"), tokenizer, tmp_path, replace(QUICK, hard_negatives=True))
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- data


def test_each_epoch_is_a_permutation_in_disjoint_batches():
    rows, batch = 50, 8
    epochs = []
    for epoch in range(3):
        drawn = torch.cat([rows_of_step(rows, batch, epoch * 6 + i, seed=3) for i in range(6)])
        assert len(drawn.unique()) == 48 and 0 <= drawn.min() and drawn.max() < rows
        epochs.append(drawn.tolist())
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != torch.cat([rows_of_step(rows, batch, i, seed=4) for i in range(6)]).tolist()
    whole = torch.cat([rows_of_step(48, 8, i, seed=0) for i in range(6)])
    assert sorted(whole.tolist()) == list(range(48))


def test_captions_are_chosen_as_often_as_the_recipe_says():
    config = TrainConfig(steps=1, plain_probability=0.6, template_probability=0.3)
    rng = np.random.default_rng(0)
    drawn = [wrap(choose_caption(["cat", "kitty", "puss"], rng, config.plain_probability), ("photo of {}", "my {}"),
                  config.template_probability, rng) for _ in range(4000)]
    share = {word: sum(word in text for text in drawn) / 4000 for word in ("cat", "kitty", "puss", "photo of", "my")}
    assert share == pytest.approx({"cat": 0.6, "kitty": 0.2, "puss": 0.2, "photo of": 0.15, "my": 0.15}, abs=0.03)
    assert wrap("{} cat", ("a {}",), 1.0, rng) == "a {} cat"


def test_read_pairs(tmp_path):
    dataset = pairs_dataset(12)
    pairs = read_pairs(dataset, 16)
    assert pairs.rgba.shape == (12, 20, 20, 4) and pairs.rgba.dtype == torch.uint8
    assert pairs.groups.tolist() == dataset["label"][:] and pairs.captions == dataset["captions"][:]
    expected = torch.tensor(np.asarray(dataset[3]["image"]))[0, 0]
    assert (pairs.rgba[3, ..., :3] == expected).all() and (pairs.rgba[3, ..., 3] == 255).all()


def test_rows_without_label_are_grouped_by_first_caption():
    dataset = pairs_dataset(12, label=False)
    assert read_pairs(dataset, 16).groups.tolist() == [i % 8 for i in range(12)]
    rows = [{**row, "captions": ["  ", *row["captions"]]} for row in dataset]  # blank ones do not count
    again = type(dataset).from_list(rows, features=dataset.features)
    assert read_pairs(again, 16).groups.tolist() == [i % 8 for i in range(12)]


def test_read_pairs_keeps_negatives_of_all_kinds():
    dataset = pairs_dataset(3).add_column("relation_negatives", [["a"], [], ["b", "c"]])
    dataset = dataset.add_column("binding_negatives", [["d"], ["e"], ["f"]])
    assert read_pairs(dataset, 16).negatives == [["a", "d"], ["e"], ["b", "c", "f"]]


@pytest.mark.parametrize("captions", [[], ["", "  "], None])
def test_a_row_without_caption_is_named(captions):
    dataset = pairs_dataset(9)
    rows = [{**row, "captions": captions if i == 5 else row["captions"]} for i, row in enumerate(dataset)]
    with pytest.raises(TrainingError, match="row 5 of the data has no caption"):
        read_pairs(type(dataset).from_list(rows, features=dataset.features), 16)


@pytest.mark.parametrize("kind", ["no picture", "cut short", "too long", "none"])
def test_a_broken_picture_is_named(kind, tmp_path):
    dataset = pairs_dataset(9)
    file = tmp_path / "x.png"
    Image.effect_noise((64, 64), 50).save(file)
    data = {"no picture": b"not a picture", "cut short": file.read_bytes()[:900], "none": None}
    if kind == "too long":
        Image.new("RGB", (210, 10)).save(file)
        data[kind] = file.read_bytes()
    rows = list(dataset.cast_column("image", type(dataset.features["image"])(decode=False)))
    rows[6]["image"] = data[kind] and {"bytes": data[kind], "path": None}
    with pytest.raises(TrainingError, match="row 6 of the data.*replace it or remove the row"):
        read_pairs(type(dataset).from_list(rows, features=dataset.features), 16)


def test_a_picture_with_broken_metadata_is_trained_on(tmp_path):
    dataset = pairs_dataset(9)
    rows = list(dataset.cast_column("image", type(dataset.features["image"])(decode=False)))
    for name, exif in (("whole.jpg", b""), ("broken.jpg", b"Exif\0\0MM\0*\0\0\xff\xff")):
        Image.linear_gradient("L").convert("RGB").save(tmp_path / name, exif=exif)
    rows[2]["image"], rows[3]["image"] = ({"bytes": (tmp_path / name).read_bytes(), "path": None}
                                          for name in ("whole.jpg", "broken.jpg"))
    pairs = read_pairs(type(dataset).from_list(rows, features=dataset.features), 16)
    assert torch.equal(pairs.rgba[2], pairs.rgba[3])


def some_rgba(B=5, S=16) -> torch.Tensor:
    rgba = torch.randint(0, 256, (B, S, S, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return torch.minimum(rgba, rgba[..., 3:])


def test_augment_is_repeatable_and_float32():
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    first, same, other = (augment(some_rgba(), 12, mean, std, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert first.shape == (5, 3, 12, 12) and first.dtype == torch.float32
    assert torch.equal(first, same) and not torch.equal(first, other)
    low, high = -torch.tensor(mean) / torch.tensor(std), (1 - torch.tensor(mean)) / torch.tensor(std)
    assert (first.amin((0, 2, 3)) >= low - 1e-5).all() and (first.amax((0, 2, 3)) <= high + 1e-5).all()


def test_augment_of_no_strength_is_the_picture_on_white():
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    rgba = some_rgba()
    kinds = rgba.double() / 255
    picture = (kinds[..., :3] + 1 - kinds[..., 3:]).permute(0, 3, 1, 2)
    expected = (picture - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    plain = augment(rgba, 16, mean, std, torch.Generator().manual_seed(0), 0.0, 0.0, 0.0)
    torch.testing.assert_close(plain.double(), expected, rtol=0, atol=1e-5)
    # A smaller size keeps plain colours plain.
    flat = torch.tensor([200, 100, 0, 255], dtype=torch.uint8).expand(1, 20, 20, 4)
    small = augment(flat, 16, (0.0,) * 3, (1.0,) * 3, torch.Generator().manual_seed(0), 0.0, 0.0, 0.0)
    torch.testing.assert_close(small, torch.tensor([200, 100, 0.0]).div(255).view(1, 3, 1, 1).expand(1, 3, 16, 16),
                               rtol=0, atol=1e-5)


# ---------------------------------------------------------------- one step


def a_batch(tokenizer, negatives=False, double=True, kinds=False) -> Batch:
    dtype = torch.double if double else None
    pixels = torch.randn(10, 3, 16, 16, generator=torch.Generator().manual_seed(2), dtype=dtype)
    pairs = squares(negatives=True)
    wrong = tokenizer([pairs.negatives[i][0] for i in range(7)]) if negatives else None
    true = torch.rand(10, 10, generator=torch.Generator().manual_seed(3)) < 0.3
    loose = [(tokenizer(["dark", "light"] * 5), true | torch.eye(10, dtype=torch.bool))] if kinds else []
    return Batch(pixels, tokenizer([pairs.captions[i * 3][0] for i in range(10)]), torch.arange(10) // 2, wrong, loose)


@pytest.mark.parametrize("loss, negatives, kinds", [
    ("multi", False, False), ("multi", True, False), ("multi", True, True), ("clip", False, True),
    ("clip", True, False), ("sigmoid", False, False)])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_gradient_cache_equals_the_big_batch(loss, negatives, kinds, size, make_clip, tokenizer):
    batch = a_batch(tokenizer, negatives, kinds=kinds)
    config = TrainConfig(steps=1, batch=10, loss=loss, micro_batch=size, precision="float32", categories=0.5 * kinds)
    found = []
    for backward in (plain_backward, cached_backward):
        model = make_clip("vit-transformer", sigmoid=loss == "sigmoid").double()
        value, image = backward(model, batch, config)
        found.append((value, image, {n: p.grad for n, p in model.named_parameters()}))
    (value, image, whole), (cached_value, cached_image, cached) = found
    torch.testing.assert_close(cached_value, value, rtol=0, atol=1e-9)
    torch.testing.assert_close(cached_image, image, rtol=0, atol=1e-9)
    for name, gradient in whole.items():
        assert gradient is not None and gradient.abs().max() > 0 or "in_proj_bias" in name, name
        torch.testing.assert_close(cached[name], gradient, rtol=0, atol=1e-9)


def test_other_texts_are_of_other_concepts():
    groups, rows = torch.arange(40) // 2, torch.tensor([0, 3, 8])  # concepts 0, 1 and 4 are in the batch
    rng = np.random.default_rng(0)
    drawn = other_rows(groups, rows, TrainConfig(steps=1, other_texts=500), rng)
    assert set(groups[drawn].tolist()) == set(range(20)) - {0, 1, 4} and 380 < len(drawn) <= 500
    assert other_rows(groups, rows, TrainConfig(steps=1), rng) == []


def test_kinds_and_other_texts_reach_the_batch(make_clip, tokenizer):
    pairs = squares(2)  # each thing twice; of its second picture no kind is known, and its name is said instead
    about = [["dark", "dim"] if i < 32 else ["light"] for i in range(64)] + [[] for _ in range(64)]
    pairs.kinds = [about]
    config = replace(QUICK, categories=1.0, other_texts=30, template_probability=0.0, batch=128, plain_probability=1.0)
    batch = make_batch(pairs, tokenizer, make_clip("light-cbow"), config, 0, 10)
    (ids, true), = batch.kinds
    words = [tokenizer.decode(row.tolist()).replace("<|startoftext|>", "").split("<|endoftext|>")[0].strip()
             for row in ids]
    for i, row in enumerate(rows_of_step(128, 128, 0, config.seed).tolist()):
        assert words[i] in (about[row] or pairs.captions[row])
        assert true[i].tolist() == [word in (*about[row], *pairs.captions[row]) for word in words]
    assert {"dark", "dim", "light"} <= set(words)
    assert not make_batch(pairs, tokenizer, make_clip("light-cbow"), replace(QUICK, other_texts=0), 0, 10).kinds
    few = make_batch(pairs, tokenizer, make_clip("light-cbow"), replace(config, batch=16), 0, 10)
    assert 10 < len(few.negative_ids) <= 30 and batch.negative_ids is None  # nobody is left to be wrong


def test_bfloat16_is_near_float32(make_clip, tokenizer):
    batch, found = a_batch(tokenizer, double=False), {}
    for precision in ("float32", "bfloat16"):
        model = make_clip("vit-transformer")
        value, image = plain_backward(model, batch, TrainConfig(steps=1, batch=10, precision=precision))
        assert value.dtype == image.dtype == torch.float32 and image.norm(dim=1).sub(1).abs().max() < 1e-5
        found[precision] = torch.cat([p.grad.flatten() for p in model.parameters()])
    cosine = torch.nn.functional.cosine_similarity(*found.values(), dim=0).item()
    assert 0.99 < cosine < 0.9999999  # the same direction, and not the same bits: bfloat16 was really used


@pytest.mark.parametrize("quick", [False, True])
def test_auto_is_bfloat16_where_the_processor_has_it(quick, monkeypatch):
    monkeypatch.setattr(training.step, "quick_bfloat16", lambda: quick)
    for precision, wanted in (("auto", quick), ("float32", False), ("bfloat16", True)):
        with mixed_precision(TrainConfig(steps=1, precision=precision)):
            assert torch.is_autocast_enabled("cpu") == wanted


@pytest.mark.parametrize("name", ["light-cbow", "light-transformer"])
def test_the_gradient_cache_refuses_batch_norm(name, make_clip, tokenizer, tmp_path):
    with pytest.raises(TrainingError, match="BatchNorm.*leave micro_batch unset"):
        run(make_clip(name), tokenizer, tmp_path, replace(QUICK, micro_batch=4))


def test_micro_batches_are_used_by_the_loop(make_clip, tokenizer, tmp_path):
    rows = [run(make_clip("vit-transformer"), tokenizer, tmp_path / str(size), replace(QUICK, micro_batch=size)).history
            for size in (None, 4, 16)]
    assert [r["loss"] for r in rows[0]] == [r["loss"] for r in rows[2]]  # as large as the batch: no cache
    assert [r["loss"] for r in rows[0]] == pytest.approx([r["loss"] for r in rows[1]], abs=0.05)


@pytest.mark.parametrize("name", ["light-cbow", "vit-transformer"])
def test_what_is_not_decayed(name, make_clip):
    model = make_clip(name, sigmoid=True)
    decayed, kept = make_optimizer(model, replace(QUICK, weight_decay=0.25)).param_groups
    assert decayed["weight_decay"] == 0.25 and kept["weight_decay"] == 0.0
    names = {id(p): n for n, p in model.named_parameters()}
    kept_names, decayed_names = ({names[id(p)] for p in group["params"]} for group in (kept, decayed))
    assert kept_names | decayed_names == set(names.values()) and not kept_names & decayed_names
    norms = {f"{path}.{n}" for path, m in model.named_modules() for n, _ in m.named_parameters(recurse=False)
             if isinstance(m, (torch.nn.LayerNorm, torch.nn.modules.batchnorm._BatchNorm))}
    ends = ("bias", "positional_embedding", "class_embedding", "logit_scale")
    special = {n for n in names.values() if n.endswith(ends)}
    assert kept_names == norms | special and norms and "logit_scale" in kept_names
    assert "text.token_embedding.weight" in decayed_names and "text.text_projection" in decayed_names
    assert {"visual.class_embedding", "visual.positional_embedding"} <= kept_names or name == "light-cbow"
    assert no_decay("logit_scale", model.logit_scale)


def test_warm_up_then_cosine():
    config = TrainConfig(steps=1, warmup=10, learning_rate=0.5)
    rates = [learning_rate(config, step, 110) for step in range(110)]
    assert rates[:10] == pytest.approx([0.05 * (i + 1) for i in range(10)])
    assert rates[10] == 0.5 and rates[60] == pytest.approx(0.25)
    assert rates[35] == pytest.approx(0.25 + 0.25 * math.cos(math.pi / 4))
    assert rates[10:] == sorted(rates[10:], reverse=True) and 0 < rates[-1] < 0.001 * 0.5
    assert learning_rate(config, 200, 110) == 0
    assert learning_rate(replace(config, warmup=0), 0, 10) == 0.5


def test_the_loop_uses_the_schedule(make_clip, tokenizer, tmp_path):
    done = run(make_clip("light-cbow"), tokenizer, tmp_path)
    assert [r["learning_rate"] for r in done.history] == [learning_rate(QUICK, step, 24) for step in range(24)]


@pytest.mark.parametrize("direction, end", [(-1, math.log(100)), (1, 0.0)])
def test_the_scale_stays_between_one_and_one_hundred(direction, end, make_clip, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(training.step, "objective",
                        lambda model, *a: 0 * objective(model, *a) + direction * model.logit_scale)
    done = run(make_clip("light-cbow"), tokenizer, tmp_path, replace(QUICK, learning_rate=0.5, warmup=1))
    assert done.model.logit_scale.item() == pytest.approx(end)  # the parameter, not only what is read from it
    assert 1 <= done.history[-1]["scale"] <= 100 * (1 + 1e-5)


def test_the_average_follows_its_formula(make_clip):
    average, model = make_clip("light-cbow"), make_clip("light-cbow", seed=1)
    for number, module in enumerate(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        module.running_mean.fill_(number + 1.0)
        module.num_batches_tracked.fill_(7)
    before = {n: t.clone() for n, t in average.state_dict().items()}
    theirs = {n: t.clone() for n, t in model.state_dict().items()}
    for step, decay in ((0, 1 / 10), (30, 31 / 40), (10_000, 0.9)):
        average.load_state_dict(before)
        update_average(average, model, 0.9, step)
        for name, tensor in average.state_dict().items():
            expected = decay * before[name] + (1 - decay) * theirs[name] if tensor.is_floating_point() else theirs[name]
            torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-6)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, theirs[name])


def test_what_is_saved_is_the_average(make_clip, tokenizer, tmp_path):
    done = run(make_clip("light-cbow"), tokenizer, tmp_path)
    model, _, meta = checkpoint.load(tmp_path / "last")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, done.average.state_dict()[name])
    assert not torch.equal(model.logit_scale, done.model.logit_scale) and meta["step"] == meta["total"] == 24


def test_best_is_the_highest_score(make_clip, tokenizer, tmp_path):
    scores = iter([0.1, 0.7, 0.3, 0.5, 0.2])
    done = run(make_clip("light-cbow"), tokenizer, tmp_path, evaluate=lambda model: next(scores),
               card=lambda run: "# My card\n")
    assert checkpoint.load(tmp_path / "best")[2]["step"] == 10 and done.best == 0.7
    assert [r["score"] for r in done.history if r["score"] != ""] == [0.1, 0.7, 0.3, 0.5, 0.2]
    assert (tmp_path / "best" / "README.md").read_text() == "# My card\n"


@pytest.mark.parametrize("loss", ["multi", "clip", "sigmoid"])
@pytest.mark.parametrize("negatives, kinds", [(False, False), (True, False), (True, True)])
def test_guessing_costs_what_equal_logits_cost(loss, negatives, kinds, make_clip, tokenizer):
    if loss == "sigmoid" and (negatives or kinds):
        return
    batch = a_batch(tokenizer, negatives, double=False, kinds=kinds)
    model = make_clip("vit-transformer", sigmoid=loss == "sigmoid")
    if loss == "sigmoid":
        with torch.no_grad():  # the best constant: 20 of 100 pairs are "yes"
            model.logit_bias.fill_(math.log(20 / 80))
    config = TrainConfig(steps=1, loss=loss, categories=0.25 * kinds)
    zeros = [torch.zeros(len(inputs), 4) for _, inputs in encodings(model, batch)]
    value = objective(model, config, batch, zeros)
    assert guessing_loss(batch, config) == pytest.approx(value.item(), abs=1e-4)


@pytest.mark.parametrize("name", ["light-cbow", "vit-transformer"])
def test_it_learns_sixty_four_colours(name, make_clip, tokenizer, tmp_path):
    pairs, model = squares(), make_clip(name)
    config = TrainConfig(steps=150, batch=32, warmup=15, learning_rate=5e-3, ema=0.9, plain_probability=1.0,
                         template_probability=0.0, colour=0.0, geometry=0.0, background=0.0, evaluate_every=150)
    vision = model.config.vision
    pixels = augment(pairs.rgba, 16, vision.mean, vision.std, torch.Generator(), 0.0, 0.0, 0.0)
    names = [captions[0] for captions in pairs.captions]

    def score(average):
        return zero_shot_score(average, tokenizer, pixels, torch.arange(64), names)

    assert score(model.eval()) < 0.2
    done = run(model, tokenizer, tmp_path, config, evaluate=score)
    assert done.history[-1]["score"] > 0.9
    assert done.history[-1]["loss"] < 0.3 * done.history[0]["loss"]


# ---------------------------------------------------------------- the doctor


def curve(n=200, **columns) -> list[dict]:
    """A healthy curve; columns: what differs, as function of the step or as value."""
    plain = {"loss": lambda k: 4.85 * math.exp(-k / 60), "ln_n": math.log(128), "scale": lambda k: 14 + k / 10,
             "learning_rate": 1e-3, "gradient": 0.5, "mean_vector_norm": 0.2, "pairs_per_second": 1000.0,
             "score": ""}
    return [{"step": k, **{c: v(k) if callable(v) else v for c, v in {**plain, **columns}.items()}}
            for k in range(1, n + 1)]


@pytest.mark.parametrize("columns, words", [
    ({"loss": 4.8}, "stuck at ln N: the loss is 4.80 and guessing costs 4.85"),
    ({"mean_vector_norm": 0.97}, "collapse"),
    ({"scale": 100.0}, "scale stands at its clamp of 100"),
    ({"score": lambda k: "" if k % 50 else 0.8 - k / 1000}, "fell from 0.750 to 0.600: overfitting"),
])
def test_the_doctor_names_one_illness(columns, words):
    found = diagnose(curve(**columns))
    assert len(found) == 1 and words in found[0]


def test_the_doctor_calls_the_healthy_healthy():
    (found,) = diagnose(curve(score=lambda k: "" if k % 50 else k / 1000))
    assert found.startswith("healthy: the loss fell to 0.1")
    assert diagnose(curve(50, loss=4.8))[0].startswith("too short to tell: after 50 steps")  # too early for "stuck"
    assert diagnose(curve(50, loss=2.0))[0].startswith("healthy")
    assert diagnose([]) == ["nothing to read: the curve is empty"]


def test_the_doctor_names_the_step_of_the_break():
    for column in ("loss", "gradient"):
        for bad in (math.nan, math.inf):
            found = diagnose(curve(**{column: lambda k, bad=bad: bad if k >= 77 else 1.0}))
            assert len(found) == 1 and "at step 77." in found[0] and "The scale was 22 the step before" in found[0]
    assert "at step 1." in diagnose(curve(loss=math.nan))[0]


def test_the_doctor_names_the_floor_of_repeated_captions():
    groups = torch.arange(48).repeat(100)
    floor = duplicate_floor(groups, 128)
    assert floor > 0.9
    (found,) = diagnose(curve(), groups=groups, batch=128, loss="clip")
    assert "repeated captions" in found and f"below {floor:.2f}" in found and "'multi'" in found
    assert diagnose(curve(), groups=groups, batch=128, loss="multi")[0].startswith("healthy")
    assert diagnose(curve(), groups=torch.arange(4800), batch=128, loss="clip")[0].startswith("healthy")


def test_the_doctor_sees_a_stuck_run_with_repeated_concepts(make_clip, tokenizer, tmp_path):
    """With 4 concepts in a batch of 16, knowing nothing costs far less than ln 16."""
    pairs = squares()
    pairs.groups = pairs.groups % 4
    pairs.captions = [["the same"]] * 64
    done = run(make_clip("vit-transformer"), tokenizer, tmp_path, replace(QUICK, steps=100, learning_rate=1e-4), pairs)
    assert done.history[-1]["ln_n"] < 0.7 * math.log(16)
    assert any(words.startswith("stuck at ln N") for words in diagnose(done.history))


def test_a_run_that_diverges_stops_and_keeps_the_last_good_weights(make_clip, tokenizer, tmp_path, monkeypatch):
    def poisoned(*arguments):
        batch = make_batch(*arguments)
        if arguments[4] == 12:
            batch.pixels[3, 0, 0, 0] = math.nan
        return batch

    monkeypatch.setattr(training.step, "make_batch", poisoned)
    with pytest.raises(TrainingError, match="at step 13.*Lower the learning rate"):
        run(make_clip("vit-transformer"), tokenizer, tmp_path, evaluate=lambda model: model.scale.item())
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 10 and all(t.isfinite().all() for t in state["model"].values())
    model, _, meta = checkpoint.load(tmp_path / "best")
    assert meta["step"] <= 10 and all(t.isfinite().all() for t in model.state_dict().values())
    assert not (tmp_path / "last").exists()
    assert "at step 13." in diagnose(read_csv(tmp_path / "curve.csv"))[0]  # `clipmini doctor` sees it, too
    monkeypatch.setattr(training.step, "make_batch", make_batch)
    run(make_clip("vit-transformer"), tokenizer, tmp_path, evaluate=lambda model: model.scale.item())
    assert steps_in(tmp_path) == list(range(1, 25))


def test_an_absurd_learning_rate_is_named(make_clip, tokenizer, tmp_path):
    config = replace(QUICK, steps=60, learning_rate=1e30, grad_clip_norm=1e9, warmup=1, evaluate_every=1)
    with pytest.raises(TrainingError, match=r"stopped being a number at step \d+\."):
        run(make_clip("vit-transformer"), tokenizer, tmp_path, config)


def test_a_curve_comes_back_as_it_was(make_clip, tokenizer, tmp_path):
    done = run(make_clip("light-cbow"), tokenizer, tmp_path, evaluate=lambda model: 0.5)
    assert read_csv(tmp_path / "curve.csv") == done.history
    for text in ("", "a,b\n1,2\n", "step,loss\n1,x\n"):
        (tmp_path / "other.csv").write_text(text)
        with pytest.raises(TrainingError, match="cannot read the curve.*give the folder of a run"):
            read_csv(tmp_path / "other.csv")
    with pytest.raises(TrainingError, match="cannot read the curve"):
        read_csv(tmp_path / "none.csv")


def test_run_json_describes_the_run(make_clip, tokenizer, tmp_path):
    run(make_clip("light-cbow"), tokenizer, tmp_path, stop_after=1)
    known = json.loads((tmp_path / "run.json").read_text())
    assert known["train"]["batch"] == 16 and known["rows"] == 64 and known["captions"] == 128


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to itself")
def test_ctrl_c_finishes_the_step_and_saves_it(make_clip, tokenizer, tmp_path, monkeypatch):
    calls = []

    def step(*arguments):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)  # in the middle of a step
        one_step(*arguments)

    monkeypatch.setattr(training.loop, "one_step", step)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(make_clip("light-cbow"), tokenizer, tmp_path / "cut")
    assert signal.getsignal(signal.SIGINT) is before
    assert steps_in(tmp_path / "cut") == [1, 2, 3]
    run(make_clip("light-cbow"), tokenizer, tmp_path / "cut")
    run(make_clip("light-cbow"), tokenizer, tmp_path / "whole")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to itself")
def test_ctrl_c_during_the_last_score_is_not_lost(make_clip, tokenizer, tmp_path):
    def score(trained):
        os.kill(os.getpid(), signal.SIGINT)
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        run(make_clip("light-cbow"), tokenizer, tmp_path, replace(QUICK, evaluate_every=10**6), evaluate=score)
    assert (tmp_path / "last").is_dir()  # and what was done is kept


def test_a_film_keeps_the_averaged_weights_of_its_steps(make_clip, tokenizer, tmp_path):
    done = run(make_clip("light-cbow"), tokenizer, tmp_path, film=(3, 10, 24, 99))
    assert sorted(p.name for p in (tmp_path / "film").iterdir()) == ["step-000003", "step-000010", "step-000024"]
    assert weights(tmp_path, "film/step-000024") == weights(tmp_path) != weights(tmp_path, "film/step-000010")
    assert done.step == 24
    plain = run(make_clip("light-cbow"), tokenizer, tmp_path / "c")
    assert weights(tmp_path / "c") == weights(tmp_path) and plain.step == 24  # watching changes nothing
    assert not (tmp_path / "c" / "film").exists()
