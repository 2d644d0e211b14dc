"""Checkpoint folders: what was saved comes back, every damage has a name, and no failed write costs the old one."""

import json
import math
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import clipmini
from clipmini import checkpoint
from clipmini.embedder import Embedder
from clipmini.files import CheckpointError, written_whole
from clipmini.tokenizer import Tokenizer


@pytest.fixture
def copy(tiny_checkpoint, tmp_path) -> Path:
    """A checkpoint of our own, to damage."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def rewrite_weights(folder, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def rewrite_config(folder, change) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(change(config) or config))


@pytest.mark.parametrize("name", ["light-cbow", "light-transformer", "vit-transformer"])
def test_round_trip(name, make_clip, tokenizer, tmp_path):
    model = make_clip(name, seed=4)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1) if not tensor.is_floating_point() else tensor.add_(0.01)
    folder = checkpoint.save(tmp_path / "new" / "model", model, tokenizer, "# A card\n", {"seed": 4, "word": "猫"})
    again, their_tokenizer, meta = checkpoint.load(folder)
    assert again.config == model.config and meta == {"seed": 4, "word": "猫"}
    assert their_tokenizer.merges == tokenizer.merges and their_tokenizer.context_length == 32
    assert (folder / "README.md").read_text() == "# A card\n"
    pixels, ids = torch.randn(5, 3, 16, 16), tokenizer(["a red cat", "", "a blue square"])
    model.eval()
    assert torch.equal(again.encode_image(pixels), model.encode_image(pixels))
    assert torch.equal(again.encode_text(ids), model.encode_text(ids))
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    assert {p.name for p in folder.iterdir()} == {"config.json", "model.safetensors", "README.md", "vocab.json",
                                                  "merges.txt", "tokenizer_config.json"}
    assert (folder / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_half_precision_file_becomes_float32(copy):
    whole = checkpoint.load(copy)[0].state_dict()
    rewrite_weights(copy, lambda w: w.update({n: t.half() for n, t in w.items() if t.is_floating_point()}))
    for name, tensor in checkpoint.load(copy)[0].state_dict().items():
        assert tensor.dtype == whole[name].dtype
        torch.testing.assert_close(tensor, whole[name], rtol=1e-3, atol=1e-3)


def swap_tokenizer(folder, texts, size, context=32):
    Tokenizer.train(texts, size, context_length=context).save(folder)


def set_weight(folder, value):
    rewrite_weights(folder, lambda w: w["token_embedding.weight"].view(-1).__setitem__(5, value))


OTHER = ["quite other words than those of the model", "zebra crossing the xylophone"] * 9
DAMAGE = {
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json; give a folder"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors; .*copy it again"),
    "no vocab": (lambda f: (f / "vocab.json").unlink(), "vocab.json is missing.*Copy the whole folder"),
    "no merges": (lambda f: (f / "merges.txt").unlink(), "merges.txt is missing.*Copy the whole folder"),
    "no tokenizer config": (lambda f: (f / "tokenizer_config.json").unlink(), "tokenizer_config.json is missing"),
    "empty config": (lambda f: (f / "config.json").write_text(""),
                     "config.json' is damaged.*copy the checkpoint again"),
    "cut config": (lambda f: (f / "config.json").write_text('{"format": 1, "mo'), "config.json' is damaged.*copy"),
    "binary config": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json' is damaged.*copy"),
    "list as config": (lambda f: (f / "config.json").write_text("[1]"), "config.json' is damaged.*copy"),
    "no model section": (lambda f: rewrite_config(f, lambda c: c.pop("model") and None), "damaged.*model.*copy"),
    "list as model": (lambda f: rewrite_config(f, lambda c: c.update(model=[1])), "config.json' is damaged.*copy"),
    "null as model": (lambda f: rewrite_config(f, lambda c: c.update(model=None)), "config.json' is damaged.*copy"),
    "unknown key": (lambda f: rewrite_config(f, lambda c: c["model"]["vision"].update(dropout=0.1)),
                    "vision.dropout.*copy"),
    "missing key": (lambda f: rewrite_config(f, lambda c: c["model"]["text"].pop("width") and None),
                    "lacks text.width.*copy"),
    "word for number": (lambda f: rewrite_config(f, lambda c: c["model"]["vision"].update(image_size="big")),
                        "wrong type.*copy"),
    "no heads": (lambda f: rewrite_config(f, lambda c: c["model"]["text"].update(heads=0)), "config.json.*copy"),
    "broken number": (lambda f: rewrite_config(f, lambda c: c["model"]["text"].update(width=32.5, heads=0.5)),
                      "config.json.*copy"),
    "future format": (lambda f: rewrite_config(f, lambda c: c.update(format=2)),
                      "has format 2; this clipmini reads format 1; install"),
    "left-over key": (lambda f: rewrite_weights(f, lambda w: w.update(stray=torch.zeros(2))),
                      "left over 1 tensor, first 'stray'"),
    "lost key": (lambda f: rewrite_weights(f, lambda w: w.pop("ln_final.weight")),
                 "lacks 1 tensor, first 'ln_final.weight'"),
    "wrong shape": (lambda f: rewrite_weights(f, lambda w: w.update(text_projection=torch.zeros(3, 4))),
                    r"'text_projection' of shape \(3, 4\), the configuration says \(32, 32\).*copy"),
    "NaN": (lambda f: set_weight(f, math.nan),
            "NaN or infinite numbers, first in 'token_embedding.weight'.*lower learning rate"),
    "infinite": (lambda f: set_weight(f, -math.inf), "NaN or infinite"),
    "smaller vocabulary": (lambda f: swap_tokenizer(f, OTHER, 530),
                           "mixes two models: its tokenizer has vocab_size 530"),
    "other context": (lambda f: swap_tokenizer(f, OTHER, 530, 20), "mixes two models"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_damage_is_named_with_its_remedy(damage, copy):
    change, words = DAMAGE[damage]
    checkpoint.load(copy)
    change(copy)
    with pytest.raises(CheckpointError, match=words) as caught:
        checkpoint.load(copy)
    assert str(copy) in str(caught.value)


def test_a_tokenizer_of_the_same_size_from_another_model_is_noticed(copy, tokenizer):
    other = Tokenizer.train([text.replace("cat", "axolotl") for text in OTHER] * 3, tokenizer.vocab_size,
                            context_length=32)
    assert other.vocab_size < tokenizer.vocab_size  # few words make few merges; fill up with merges of two bytes
    merges = list(other.merges)
    letters = [chr(a) for a in range(97, 123)]
    unused = [(a, b) for a in letters for b in letters if (a, b) not in merges]
    merges += unused[:tokenizer.vocab_size - other.vocab_size]
    other = Tokenizer(merges, context_length=32)
    assert (other.vocab_size, other.eos_id) == (tokenizer.vocab_size, tokenizer.eos_id)
    other.save(copy)
    with pytest.raises(CheckpointError, match="mixes two models.*copy all files from one checkpoint"):
        checkpoint.load(copy)
    rewrite_config(copy, lambda c: c.pop("tokenizer") and None)
    checkpoint.load(copy)  # without the fingerprint it can't be told


@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.1, 0.5, 0.9, 0.9999])
def test_weights_cut_short_anywhere(share, copy):
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:int(share * file.stat().st_size)])
    with pytest.raises(CheckpointError, match="model.safetensors' is damaged or cut short.*copy it again"):
        checkpoint.load(copy)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint folder.*nowhere.*give a folder"):
        checkpoint.load(tmp_path / "nowhere")


def test_the_wrong_tokenizer_is_not_saved(make_clip, tokenizer, tmp_path):
    with pytest.raises(CheckpointError, match=f"{tokenizer.vocab_size} token embeddings.*530 ids"):
        checkpoint.save(tmp_path / "x", make_clip("light-cbow"), Tokenizer.train(OTHER, 530))
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- writes that fail

FULL = """
    import resource, signal, sys
    sys.path[:0] = [sys.argv[1]]
    import torch
    from clipmini import checkpoint
    from clipmini import training as train
    from clipmini.training.loop import save_state
    from clipmini.families import export
    from helpers_train import squares
    from pathlib import Path
    from clipmini.config import preset
    from clipmini.model import CLIP

    root = Path(sys.argv[2])
    model, tokenizer, _ = checkpoint.load(root / "old")
    for p in model.parameters():
        p.data.add_(1.0)
    run = train.Run(model, model, train.make_optimizer(model.requires_grad_(True), train.TrainConfig(steps=1)))
    save_state(root, run)
    run.step = 5
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for limit in (0, 300, 2000, 20_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        for what, write in (("checkpoint", lambda: checkpoint.save(root / "old", model, tokenizer)),
                            ("training state", lambda: save_state(root, run)),
                            ("export", lambda: export(model, tokenizer, root / "export"))):
            try:
                write()
                error = "written in spite of the limit"
            except checkpoint.CheckpointError as caught:
                error = str(caught)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert error.startswith(f"could not write the {what}"), error
            assert "Free some space" in error and "unchanged" in error, error
            assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before
            assert {p.name for p in root.iterdir()} == {"old", "state.pt", "curve.csv"}
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    checkpoint.load(root / "old")
    assert torch.load(root / "state.pt", weights_only=True)["step"] == 0
    print("all refused")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_costs_nothing(tiny_checkpoints, tmp_path):
    shutil.copytree(tiny_checkpoints["vit-transformer"], tmp_path / "old")
    here = Path(__file__).resolve().parent
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(FULL), str(here), str(tmp_path)], capture_output=True,
                          text=True, cwd=here.parent, timeout=100)
    assert done.stdout == "all refused\n", done.stdout + done.stderr


def test_a_parent_that_cannot_be_written(make_clip, tokenizer, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CheckpointError, match="could not write the checkpoint.*choose another place"):
        checkpoint.save(tmp_path / "file" / "model", make_clip("light-cbow"), tokenizer)
    assert (tmp_path / "file").read_text() == "not a folder"
    if os.path.isdir("/proc/self"):
        with pytest.raises(CheckpointError, match="could not write"):
            checkpoint.save("/proc/self/nowhere/model", make_clip("light-cbow"), tokenizer)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_parent(make_clip, tokenizer, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CheckpointError, match="could not write the checkpoint.*choose another place"):
            checkpoint.save(tmp_path / "model", make_clip("light-cbow"), tokenizer)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("failing", [0, 1])
def test_a_swap_that_fails_keeps_the_old_checkpoint(failing, make_clip, tokenizer, tiny_checkpoints, tmp_path,
                                                    monkeypatch):
    """Two renames swap a folder. Whichever fails, the old one is there and whole."""
    folder = Path(shutil.copytree(tiny_checkpoints["light-cbow"], tmp_path / "model"))
    old = (folder / "model.safetensors").read_bytes()
    replace, calls = os.replace, []

    def sometimes(source, target):
        if Path(source).is_dir():
            calls.append(target)
            if len(calls) == failing + 1:
                raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", sometimes)
    with pytest.raises(CheckpointError, match="Input/output error.*unchanged"):
        checkpoint.save(folder, make_clip("light-cbow", seed=9), tokenizer)
    assert (folder / "model.safetensors").read_bytes() == old and [p.name for p in tmp_path.iterdir()] == ["model"]
    checkpoint.load(folder)
    checkpoint.save(folder, make_clip("light-cbow", seed=9), tokenizer)
    assert (folder / "model.safetensors").read_bytes() != old and [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("kind", ["tmp", "old"])
def test_what_a_killed_writer_of_the_same_number_left_is_no_obstacle(kind, make_clip, tokenizer, tmp_path):
    checkpoint.save(tmp_path / "model", make_clip("light-cbow"), tokenizer)
    left = tmp_path / f".model.{os.getpid()}.{kind}"
    left.mkdir()
    (left / "half").write_text("...")
    checkpoint.save(tmp_path / "model", make_clip("light-cbow"), tokenizer)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_write_leaves_no_trace(interruption, tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(interruption), written_whole(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise interruption
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_loading_gives_the_embedder_the_same_vectors(tiny_checkpoint, make_clip):
    model, tokenizer, _ = checkpoint.load(tiny_checkpoint)
    ours = Embedder(model, tokenizer)
    fresh = Embedder(make_clip(tiny_checkpoint.name), tokenizer)
    assert torch.equal(ours.embed_texts(["a red cat"]), fresh.embed_texts(["a red cat"]))


def test_loading_a_model_does_not_load_torchs_compiler():
    """It takes as long as all the rest of a command."""
    code = ("import sys, clipmini; from clipmini.config import PRESETS; from clipmini.meta_device import without_numbers; "
            "from clipmini.model import CLIP\n"
            "clipmini.load('emoji', device='cpu')\n"
            "with without_numbers():\n    models = [CLIP(config) for config in PRESETS.values()]\n"
            "assert all(p.is_meta for m in models for p in m.parameters())\n"
            "assert 'torch._dynamo' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["model.safetensors", "lone.safetensors", "lone.pt", "lone.bin"])
@pytest.mark.parametrize("found, said", [(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
                                         (b"\n<!DOCTYPE html><title>Sign in</title>", "is a web page, not weights")])
def test_what_a_download_leaves_in_the_place_of_weights(name, found, said, copy, tmp_path):
    path = copy / name if name.startswith("model") else tmp_path / name
    path.write_bytes(found)
    with pytest.raises(CheckpointError, match=said) as caught:
        clipmini.load(copy if name.startswith("model") else path)
    assert name in str(caught.value)


@pytest.mark.parametrize("value", ["yes", 1, math.nan, {}])
def test_repair_is_true_or_false(value, copy):
    path = copy / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"repair": value}))
    with pytest.raises(CheckpointError, match="tokenizer_config.json says repair"):
        clipmini.load(copy)
