"""The command line: each command on tiny models, and errors of one line without a traceback."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image

from clipmini import checkpoint, recipes
from clipmini.commands import main
from clipmini.data import shapes
from clipmini.data.emoji import dataset, sources
from clipmini.training.config import TrainConfig
from helpers_train import pairs_dataset

COMMANDS = ("app", "classify", "data", "train", "evaluate", "doctor", "export")


@pytest.fixture
def small(monkeypatch):
    """Recipes that finish in seconds: tiny towers, a hundred scenes."""
    for name in ("shapes", "shapes-order"):
        kept = recipes.RECIPES[name]
        monkeypatch.setitem(recipes.RECIPES, name, replace(
            kept, vision={"image_size": 16, "width": 8}, text={"width": 32}, model_options={"embed_dim": 32},
            data=replace(kept.data, scenes=120),
            train=replace(kept.train, warmup=2, evaluate_every=2)))
    make = shapes.make
    monkeypatch.setattr(shapes, "make", lambda n, *a, **k: make(min(n, 120), *a, **k))


def says(capsys, status: int, *arguments) -> str:
    """Run a command; what it printed, or its one line on stderr."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == status
    out, err = capsys.readouterr()
    if status == 0:
        return out
    assert err.startswith("clipmini: ") and err.count("\n") == 1 and "Traceback" not in out + err, err
    return err


@pytest.mark.parametrize("command", [[], *([c] for c in COMMANDS)])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code in (0, None)
    out = capsys.readouterr().out
    assert out.startswith("usage: ") and (command or all(c in out for c in COMMANDS))


def test_usage_errors_have_status_two(capsys):
    for arguments in ([], ["fly"], ["train", "shapes", "--steps", "many"], ["classify", "a.png"], ["data", "cats"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2 and "usage:" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out.startswith("clipmini 0.")


def test_the_list_of_recipes(capsys):
    for arguments in (["train", "--list"], ["train"], ["train", "emoji", "--list"]):
        lines = says(capsys, 0, *arguments).splitlines()
        assert [line.split()[0] for line in lines] == list(recipes.RECIPES)


@pytest.mark.parametrize("name, measured", [("shapes", "unseen combinations: top-1"),
                                            ("shapes-order", "word order: true caption")])
def test_train_evaluate_and_doctor(name, measured, small, capsys, tmp_path):
    options = ("train", name, "--steps", 6, "--batch", 16, "--seed", 3, "--out", tmp_path / "run", "--quiet")
    out = says(capsys, 0, *options)
    assert out.startswith("6 steps in ") and measured in out and "doctor: " in out
    final = tmp_path / "run" / "final"
    assert f"checkpoint {final}" in out and f"clipmini train {name}" in (final / "README.md").read_text()
    before = (final / "model.safetensors").read_bytes()
    assert "6 steps" in says(capsys, 0, *options) and (final / "model.safetensors").read_bytes() == before
    err = says(capsys, 1, *options, "--learning-rate", 0.5)
    assert "another recipe (learning_rate differ)" in err and "--out" in err

    out = says(capsys, 0, "doctor", tmp_path / "run")
    assert "too short to tell: after 6 steps" in out and (tmp_path / "run" / "curve.png").exists()
    data = "order" if name == "shapes-order" else "shapes"
    out = says(capsys, 0, "evaluate", final, "--data", data, "--rows", 40, "--json", tmp_path / "n.json")
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert ("relation" in out and 0 <= numbers["relation"] <= 1) if data == "order" else numbers["ensemble"]["n"] == 40


def test_an_interrupted_run_is_taken_up_with_the_same_command(small, capsys, tmp_path, monkeypatch):
    whole, cut = (("train", "shapes", "--steps", 8, "--batch", 16, "--quiet", "--out", tmp_path / name)
                  for name in ("whole", "cut"))
    says(capsys, 0, *whole)
    train = recipes.train

    def interrupted(*arguments, **options):
        train(*arguments, **options, stop_after=5)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recipes, "train", interrupted)
        assert "the same command goes on" in says(capsys, 130, *cut)
    assert not (tmp_path / "cut" / "final").exists()
    says(capsys, 0, *cut)
    weights = [(tmp_path / name / "final" / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_classify(capsys, tmp_path, tiny_checkpoints):
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (20, 30), "red").save(tmp_path / name)
    out = says(capsys, 0, "classify", tmp_path / "a.png", tmp_path / "b.jpg", "--labels", "cat, red square", "--model",
               tiny_checkpoints["light-cbow"], "--templates", "a {}", "--none", "--show-prompts")
    assert out.count("red square") == 3 and "a red square" in out and out.count("none of these") == 2 and "b.jpg" in out
    shares = [float(line.split("%")[0].split()[-1]) for line in out.splitlines() if "%" in line]
    assert sum(shares) == pytest.approx(200, abs=0.5)
    model = ("--model", tiny_checkpoints["light-cbow"])
    assert "nowhere.png" in says(capsys, 1, "classify", tmp_path / "nowhere.png", "--labels", "a, b", *model)
    says(capsys, 1, "classify", tmp_path / "a.png", "--labels", " , ", *model)
    says(capsys, 1, "classify", tmp_path / "a.png", "--labels", "a, b", "--templates", "no place for it", *model)
    (tmp_path / "c.png").write_bytes(b"no picture")
    assert "c.png" in says(capsys, 1, "classify", tmp_path / "c.png", "--labels", "a, b", *model)
    pair = [str(tmp_path / "c.png"), str(tmp_path / "a.png")]
    assert main(["classify", *pair, "--labels", "a, b", *map(str, model)]) == 1
    out, err = capsys.readouterr()
    assert out.count("a.png") == 1 and "cosine" in out and "1 of 2 pictures left out" in err  # the good one has its answer
    twice = says(capsys, 0, "classify", tmp_path / "a.png", tmp_path / "a.png", "--labels", "a", *model)
    assert twice.count("a.png") == 2 and twice.count("note: one label") == 1


def test_data(capsys, tmp_path, monkeypatch):
    out = says(capsys, 0, "data", "shapes", "--preview", tmp_path / "shapes.png")
    assert "8 colours" in out and Image.open(tmp_path / "shapes.png").size[0] > 100
    toy = pairs_dataset(16).add_column("style", ["twemoji"] * 16)
    monkeypatch.setattr(dataset, "load", lambda *a, **k: toy)
    monkeypatch.setattr(dataset, "preview", lambda rows: Image.new("RGB", (4, 4)))
    monkeypatch.chdir(tmp_path)
    out = says(capsys, 0, "data", "emoji", "--preview")
    assert "16 pictures of 8 concepts" in out and "CC BY 4.0" in out and (tmp_path / "preview.png").exists()


def test_fetching_without_npm(capsys, monkeypatch):
    monkeypatch.setattr(sources.shutil, "which", lambda name: None)
    assert "npm was not found" in says(capsys, 1, "data", "emoji", "--fetch")


def test_evaluate_emoji(capsys, tmp_path, monkeypatch, tiny_checkpoints):
    monkeypatch.setattr(dataset, "load", lambda *a, **k: pairs_dataset(16))
    out = says(capsys, 0, "evaluate", tiny_checkpoints["light-cbow"], "--json", tmp_path / "n.json")
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert "one template" in out and numbers["one template"]["n"] == 16 and numbers["ensemble"]["classes"] == 8


def test_evaluate_says_what_the_model_was_trained_on(capsys, tmp_path, monkeypatch, make_clip, tokenizer):
    checkpoint.save(tmp_path / "m", make_clip("light-cbow"), tokenizer, meta={"data": "emoji in 2 art styles: noto, openmoji"})
    for style, seen in (("noto", True), ("twemoji", False)):
        monkeypatch.setattr(dataset, "load", lambda *a, style=style: pairs_dataset(16).add_column("style", [style] * 16))
        assert ("note: this model was trained on noto" in says(capsys, 0, "evaluate", tmp_path / "m", "--style", style)) == seen


def test_a_mistyped_template_set_is_told_the_known_ones(capsys, tiny_checkpoints):
    err = says(capsys, 1, "classify", "x.png", "--labels", "a", "--model", tiny_checkpoints["light-cbow"], "--templates", "emojy")
    assert "no template set 'emojy'; choose one of plain, emoji" in err


def test_export(capsys, tmp_path, tiny_checkpoints):
    out = says(capsys, 0, "export", tiny_checkpoints["vit-transformer"], tmp_path / "hf")
    assert "CLIPModel.from_pretrained" in out and (tmp_path / "hf" / "preprocessor_config.json").exists()
    assert "not empty" in says(capsys, 1, "export", tiny_checkpoints["vit-transformer"], tmp_path / "hf")
    assert "emoji-vit" in says(capsys, 1, "export", tiny_checkpoints["light-cbow"], tmp_path / "x")


@pytest.mark.parametrize("arguments, words", [
    (["train", "shape"], "no recipe 'shape'; there are emoji"),
    (["train", "shapes", "--steps", "0"], "must be positive"),
    (["train", "shapes", "--minutes", "-1"], "must be positive"),
    (["train", "shapes", "--minutes", "1", "--steps", "5"], "not both"),
    (["train", "shapes", "--steps", "5", "--seed", "-1"], "seed at least 0"),
    (["train", "shapes", "--steps", "5", "--micro-batch", "0"], "micro_batch"),
    (["train", "shapes", "--steps", "5", "--chunk", "0"], "micro_batch"),
    (["train", "shapes", "--steps", "5", "--chunk", "8", "--batch", "16", "--quiet", "--out", "OUT"], "BatchNorm"),
    (["train", "shapes", "--steps", "5", "--batch", "5000", "--quiet", "--out", "OUT"], "choose a smaller batch"),
    (["train", "emoji", "--steps", "5", "--hold-out", "nothing", "--quiet", "--out", "OUT"], "no art style 'nothing'"),
    (["train", "shapes", "--steps", "5", "--hold-out", "twemoji", "--quiet", "--out", "OUT"],
     "the data 'shapes' has no option --hold-out; it has --rows, --seed. Omit it"),
    (["doctor", "nowhere"], "cannot read the curve"),
    (["evaluate", "nowhere"], "neither a checkpoint folder nor an embedded checkpoint"),
    (["export", "nowhere", "x"], "neither a checkpoint folder"),
])
def test_errors_are_one_line_with_a_remedy(arguments, words, small, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in says(capsys, 1, *(tmp_path / "out" if a == "OUT" else a for a in arguments))


def test_a_missing_package_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "clipmini.plots", None)
    (tmp_path / "curve.csv").write_text("")
    assert 'pip install "clipmini[train]"' in says(capsys, 1, "doctor", tmp_path)


def test_a_damaged_run_is_one_line(small, capsys, tmp_path):
    options = ("train", "shapes", "--steps", 4, "--batch", 16, "--quiet", "--out", tmp_path)
    says(capsys, 0, *options)
    (tmp_path / "state.pt").write_bytes(b"x" * 500)
    assert "state.pt" in says(capsys, 1, *options)


def test_the_module_runs_as_a_program(tmp_path):
    done = subprocess.run([sys.executable, "-m", "clipmini", "doctor", str(tmp_path)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_train_config_is_reachable_from_the_options():
    options = {"steps", "minutes", "seed", "batch", "micro_batch", "learning_rate"}
    assert options <= set(TrainConfig.__dataclass_fields__)


def test_evaluate_on_a_test_set_of_the_field(tiny_checkpoints, tmp_path, capsys):
    from foreign import write_archive
    from test_benchmark import jpeg

    assert main(["evaluate", "--dataset", "list"]) == 0
    assert "cifar10" in capsys.readouterr().out
    (tmp_path / "copy").mkdir()
    write_archive(tmp_path / "copy" / "0.tar", [(jpeg(i), "cls", str(i % 2)) for i in range(12)])
    (tmp_path / "copy" / "classnames.txt").write_text("red cat\nblue square\n")
    out = tmp_path / "out"
    line = ["evaluate", str(tiny_checkpoints["light-cbow"]), "--dataset", "imagenet-a", "--folder", str(tmp_path / "copy"),
            "--templates", "plain", "--out", str(out), "--json", str(tmp_path / "numbers.json")]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "imagenet-a" in said and "top-1" in said and (out / "reliability-imagenet-a.png").stat().st_size > 5000
    assert json.loads((tmp_path / "numbers.json").read_text())["n"] == 12
    assert main(["evaluate", "emoji", "--dataset", "nope"]) == 1
    assert "there is no test set 'nope'" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--segments"], ["--method", "patches"]])
def test_heatmap_writes_a_figure_and_says_where(tiny_checkpoints, tmp_path, capsys, more):
    Image.new("RGB", (60, 30), "red").save(tmp_path / "p.png")
    line = ["heatmap", str(tmp_path / "p.png"), "--phrases", "red cat, dog", "--model", str(tiny_checkpoints["vit-transformer"]),
            "--out", str(tmp_path / "h.png"), *more]
    assert main(line) == 0
    said = capsys.readouterr().out
    for phrase in ("red cat", "dog"):  # random weights may say of either that it is not there
        assert re.search(rf"^{phrase}: (brightest at \d+% from the left|not there \(score )", said, re.M)
    assert (tmp_path / "h.png").stat().st_size > 5000
    assert main([*line, "--method", "magic"]) == 1
    assert "no method 'magic'; choose one of windows" in capsys.readouterr().err


@pytest.mark.parametrize("line, told", [
    (["evaluate", "emoji", "--data", "emoji", "--dataset", "cifar10"], "--data emoji and --dataset cifar10: give one of the two"),
    (["evaluate", "emoji", "--folder", "x"], "the data 'emoji' has no option --folder; it has --hold-out, --style. Omit it"),
    (["evaluate", "emoji", "--templates", "openai81"], "there is no template set 'openai81'; choose one of plain"),
    (["prompts", "emoji", "--templates", "openai81"], "there is no template set 'openai81'"),
    (["evaluate", "./nowhere"], "'./nowhere' is neither a checkpoint folder nor"),
    (["heatmap", "x.png", "--phrases", "a", "--model", "./nowhere"], "neither a checkpoint folder"),
])
def test_what_cannot_be_meant_is_told(line, told, capsys):
    assert main(line) == 1
    assert told in capsys.readouterr().err


def test_prompts_lists_the_test_sets_too(capsys):
    assert main(["prompts", "--dataset", "list"]) == 0
    assert "cifar10" in capsys.readouterr().out


def test_only_own_models_are_exported(monkeypatch, tmp_path):
    import torch

    from clipmini import families as pretrained
    from clipmini.families import onnx
    from clipmini.files import CheckpointError

    other = type("Other", (torch.nn.Module,), {"config": None})()
    for export in (lambda: pretrained.export(other, None, tmp_path / "x"), lambda: onnx.export(other, None, tmp_path / "x")):
        with pytest.raises(CheckpointError, match="this is a Other"):
            export()


def test_a_heatmaps_file_is_checked_before_the_work(tmp_path, capsys):
    for out, told in ((tmp_path, "is a folder; give a file"), (tmp_path / "x.txt", "is written as .png")):
        assert main(["heatmap", "x.png", "--phrases", "a", "--out", str(out)]) == 1
        assert told in capsys.readouterr().err


def test_train_takes_a_plan_and_says_what_is_wrong_with_one(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["train", "shapes", "--plan", "30-60"])
    assert "'30-60' is no plan; give pairs such as 30:1200,600:900" in capsys.readouterr().err
    assert main(["train", "shapes", "--plan", "40:30", "--out", str(tmp_path / "x")]) != 0
    assert "a plan is pairs" in capsys.readouterr().err and not (tmp_path / "x").exists()
