"""What fine-tuning may change: rates by part, slower depths, LoRA, an early end, the weights between before and after."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import nn

import clipmini
from clipmini import checkpoint, recipes
from clipmini.commands import main
from clipmini.config import preset
from clipmini.meta_device import without_numbers
from clipmini.model import CLIP
from clipmini.tasks import outside
from clipmini.training import lora, mixing
from clipmini.training.config import TrainConfig, TrainingError
from clipmini.training.rates import factors
from clipmini.training.step import make_optimizer
from helpers_train import Squares
from test_train import run, weights

SHORT = TrainConfig(steps=6, batch=16, warmup=2, learning_rate=3e-3, evaluate_every=2)
DEEP = {"layers": 3, "width": 32, "heads": 2}


def vit(tokenizer) -> CLIP:
    torch.manual_seed(3)
    return CLIP(preset("vit-transformer", tokenizer, {**DEEP, "patch_size": 8, "image_size": 24}, DEEP))


def copies(model) -> dict:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before: dict, model) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


# ---- rates -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tower", ["light-cbow", "vit"])
def test_a_tower_at_rate_0_stays_to_the_bit(tower, make_clip, tokenizer, tmp_path):
    model = vit(tokenizer) if tower == "vit" else make_clip(tower)
    before = copies(model)
    done = run(model, tokenizer, tmp_path, replace(SHORT, rates=(("image", 0.0),)))
    assert not {name for name in changed(before, done.average) if name.startswith("visual.")}  # BatchNorm's numbers too
    assert "token_embedding.weight" in changed(before, done.average)
    assert "visual.proj" in " ".join(json.loads((tmp_path / "run.json").read_text())["frozen"])


def test_the_last_pattern_that_fits_counts(tokenizer):
    model = vit(tokenizer)
    found = factors(model, replace(SHORT, rates=(("all", 0.0), ("visual.transformer.resblocks.2.*", 0.5), ("text", 0.1))))
    assert found["visual.transformer.resblocks.2.mlp.c_fc.weight"] == 0.5 and found["visual.conv1.weight"] == 0
    assert found["text.token_embedding.weight"] == 0.1 and found["logit_scale"] == 0
    groups = make_optimizer(model, replace(SHORT, rates=(("text", 0.1),))).param_groups
    assert sorted({group["factor"] for group in groups}) == [0.1, 1.0]
    known = {id(p): group["factor"] for group in groups for p in group["params"]}
    assert all(known[id(p)] == (0.1 if name.startswith("text.") else 1.0) for name, p in model.named_parameters())


def test_a_rate_scales_what_a_step_changes(tokenizer, tmp_path):
    moved = []
    for number, rate in enumerate((1.0, 0.01)):
        model = vit(tokenizer)
        before = copies(model)
        done = run(model, tokenizer, tmp_path / str(number), replace(SHORT, steps=1, rates=(("text", rate),), weight_decay=0.0))
        moved.append((done.model.state_dict()["token_embedding.weight"] - before["token_embedding.weight"]).abs().max().item())
    assert moved[1] == pytest.approx(0.01 * moved[0], rel=0.01)  # of Adam's first step


def test_each_block_learns_slower_than_the_one_above(tokenizer, make_clip):
    found = factors(vit(tokenizer), replace(SHORT, layer_decay=0.5))
    assert [found[f"visual.transformer.resblocks.{i}.ln_1.weight"] for i in range(3)] == [0.125, 0.25, 0.5]
    assert found["visual.proj"] == found["text.text_projection"] == found["logit_scale"] == 1
    assert found["visual.conv1.weight"] == found["visual.positional_embedding"] == 0.0625
    light = factors(make_clip("light-cbow"), replace(SHORT, layer_decay=0.5))
    assert [light[f"visual.stages.{i}.conv1.weight"] for i in range(4)] == [0.0625, 0.125, 0.25, 0.5]
    assert light["visual.stem.0.weight"] == 0.03125 and light["visual.proj.weight"] == 1
    with without_numbers():
        resnet = factors(CLIP(preset("RN50")), replace(SHORT, layer_decay=0.5))
    assert resnet["visual.layer4.0.conv1.weight"] == 0.5 and resnet["visual.layer1.0.conv1.weight"] == 0.0625
    assert resnet["visual.conv1.weight"] == 0.03125


@pytest.mark.parametrize("rates, said", [((("vision.*", 0.0),), "no parameter is called like 'vision.*'.*image, text, all.*"
                                          "visual.transformer.resblocks.0"),
                                         ((("all", 0.0),), "nothing learns")])
def test_rates_that_cannot_be(rates, said, tokenizer, tmp_path):
    with pytest.raises(TrainingError, match=said):
        run(vit(tokenizer), tokenizer, tmp_path, replace(SHORT, rates=rates))


@pytest.mark.parametrize("options", [{"rates": (("text", -1.0),)}, {"layer_decay": 0.0}, {"lora": -1}, {"patience": -1},
                                     {"lora": 4, "rates": (("text", 0.0),)}])
def test_options_out_of_range(options):
    with pytest.raises(TrainingError):
        replace(SHORT, **options)


# ---- LoRA ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tower", ["light-cbow", "vit"])
def test_lora_changes_each_matrix_by_one_of_its_rank(tower, make_clip, tokenizer, tmp_path):
    pytest.importorskip("peft")
    model = vit(tokenizer) if tower == "vit" else make_clip(tower)
    before, classes = copies(model), {name: type(m) for name, m in model.named_modules()}
    done = run(model, tokenizer, tmp_path, replace(SHORT, lora=2))
    after = done.average
    assert {name: type(m) for name, m in after.named_modules()} == classes
    moved = changed(before, after)
    large = {f"{name}.weight" for name, m in after.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    assert moved <= {name.removeprefix("text.") for name in large} | {"logit_scale"} and len(moved) > 5
    for name in moved - {"logit_scale"}:
        difference = (after.state_dict()[name] - before[name]).flatten(1)
        values = torch.linalg.svdvals(difference.double())
        if difference.ndim == 2 and before[name].ndim == 2:
            assert values[2:].max() < 1e-5 * values[0], name
    loaded, _, _ = checkpoint.load(tmp_path / "last")
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in after.state_dict().items())


def test_a_run_with_lora_that_was_interrupted_ends_with_the_same_bits(tokenizer, tmp_path):
    pytest.importorskip("peft")
    config = replace(SHORT, lora=2)
    run(vit(tokenizer), tokenizer, tmp_path / "whole", config)
    run(vit(tokenizer), tokenizer, tmp_path / "halves", config, stop_after=4)
    run(vit(tokenizer), tokenizer, tmp_path / "halves", config)
    assert weights(tmp_path / "whole") == weights(tmp_path / "halves")


def test_lora_says_what_it_lacks(tokenizer, tmp_path, monkeypatch):
    with pytest.raises(TrainingError, match="no layer of this model is larger than --lora 999"):
        pytest.importorskip("peft")
        run(vit(tokenizer), tokenizer, tmp_path, replace(SHORT, lora=999))
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=r"pip install \"clipmini\[lora\]\""):
        run(vit(tokenizer), tokenizer, tmp_path / "other", replace(SHORT, lora=2))


# ---- an early end ----------------------------------------------------------------------------------------
def test_a_run_that_gets_no_better_ends_with_its_best_weights(make_clip, tokenizer, tmp_path):
    scores = iter([0.3, 0.5, 0.4, 0.5, 0.2, 0.9])
    kept = {}

    def score(model):
        found = next(scores)
        kept.setdefault(found, copies(model))
        return found

    done = run(make_clip("light-cbow"), tokenizer, tmp_path, replace(SHORT, steps=20, patience=2), evaluate=score)
    assert done.step == done.total == 8 and done.best == 0.5  # scores after steps 2, 4, 6, 8
    assert not changed(kept[0.5], done.average) and weights(tmp_path) != weights(tmp_path, "best")


# ---- the weights between ---------------------------------------------------------------------------------
def test_mixed_is_the_mean_of_all_numbers(make_clip):
    a, b = make_clip("light-cbow", seed=1), make_clip("light-cbow", seed=2)
    a.visual.stem[1].running_mean.fill_(4.0)
    found = mixing.mixed([a, b], [0.25, 0.75])
    for name, value in found.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.25 * a.state_dict()[name] + 0.75 * b.state_dict()[name], msg=name)
    assert not changed(a.state_dict(), mixing.mixed([a, b], [1.0, 0.0])) - {"visual.stem.1.num_batches_tracked"}
    assert a.visual.stem[1].running_mean[0] == 4 and not found.training
    with pytest.raises(TrainingError, match="sum to 1"):
        mixing.mixed([a, b], [0.5, 0.6])
    with pytest.raises(TrainingError, match="other towers or other sizes"):
        mixing.mixed([a, make_clip("vit-transformer")], [0.5, 0.5])


def test_the_best_share_is_by_validation_and_of_equals_the_one_that_forgets_less(make_clip, monkeypatch):
    before, after = make_clip("light-cbow", seed=1), make_clip("light-cbow", seed=2)
    place = [model.logit_scale.item() for model in (before, after)]
    after.logit_scale.data += 1

    def share(model):
        return round((model.logit_scale.item() - place[0]) / (after.logit_scale.item() - place[0]), 6)

    rows = mixing.curve(before, after, lambda model: -abs(share(model) - 0.7), lambda model: 1 - share(model))
    assert [row["share"] for row in rows] == [share for share in mixing.SHARES]
    assert mixing.best(rows) == 0.7 and [round(row["reference"], 1) for row in rows][::5] == [1.0, 0.5, 0.0]
    assert mixing.best([{"share": 0.0, "score": 0.2}, {"share": 0.5, "score": 0.4}, {"share": 1.0, "score": 0.4}]) == 0.5
    monkeypatch.setattr(mixing, "LARGE", 10)
    assert [row["share"] for row in mixing.curve(before, after, share)] == list(mixing.FEW_SHARES)


def test_the_command_mixes_draws_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mixing, "SHARES", (0.0, 0.5, 1.0))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(40):
        Image.new("RGB", (24, 24), (6 * i, 255 - 6 * i, 99)).save(folder / f"shade {i}.png")
    words = ["train", "--data", "pictures", "--init", "emoji", "--steps", "6", "--batch", "8", "--evaluate-every", "3", "--quiet"]
    assert main([*words, "--rates", "image=0", "--out", "run"]) == 0
    meta = json.loads((tmp_path / "run/final/config.json").read_text())["meta"]
    rows = meta["wise_ft"]
    assert [row["share"] for row in rows] == list(mixing.SHARES) and sum(row["kept"] for row in rows) == 1
    assert (tmp_path / "run/wise_ft.png").stat().st_size > 5000
    said = (tmp_path / "run/final/README.md").read_text()
    assert "(kept)" in said and "Between the weights before and after (WiSE-FT)" in said
    kept = next(row["share"] for row in rows if row["kept"])
    parts = [clipmini.load(name).model for name in ("emoji", tmp_path / "run/last", tmp_path / "run/final")]
    assert not changed(mixing.mixed(parts[:2], [1 - kept, kept]).state_dict(), parts[2])
    assert main([*words, "--no-mix", "--out", "plain"]) == 0
    assert "wise_ft" not in json.loads((tmp_path / "plain/final/config.json").read_text())["meta"]
    assert not (tmp_path / "plain/wise_ft.png").exists()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*words, "--rates", "image"])
    assert "'image' names no parts and rates" in capsys.readouterr().err


def test_a_folder_of_transformers_is_fine_tuned_and_opens_there_again(tiny_checkpoints, tmp_path, monkeypatch, capsys):
    for package in ("transformers", "peft"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for i in range(40):
        Image.new("RGB", (24, 24), (6 * i, 255 - 6 * i, 99)).save(tmp_path / f"pictures/shade {i}.png")
    assert main(["export", str(tiny_checkpoints["vit-transformer"]), "theirs"]) == 0
    assert main(["train", "--data", "pictures", "--init", "theirs", "--steps", "3", "--batch", "8", "--lora", "2", "--no-mix",
                 "--quiet", "--out", "run"]) == 0
    assert main(["export", "run/final", "back"]) == 0
    before, after = (clipmini.load(name).embed_texts(["a shade"]) for name in ("theirs", "back"))
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, clipmini.load("run/final").embed_texts(["a shade"]), rtol=0, atol=1e-5)


# ---- the mean of several ---------------------------------------------------------------------------------
TOY = recipes.Recipe("toy", "A toy", Squares(), replace(SHORT, steps=4), vision={"image_size": 16, "width": 8},
                     text={"width": 32}, model_options={"embed_dim": 32}, vocabulary=560)


def test_the_mean_of_two_seeds_is_measured_and_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "toy", TOY)
    monkeypatch.setattr(outside, "OUTSIDERS", 20)
    recipes.run(TOY, tmp_path / "first", progress=False)
    parts = [str(tmp_path / f"seed {seed}" / "final") for seed in (1, 2)]
    for seed, part in enumerate(parts, 1):
        begun = replace(TOY, init=str(tmp_path / "first" / "final"), train=replace(TOY.train, seed=seed))
        recipes.run(begun, tmp_path / f"seed {seed}", progress=False)
        assert "first" in clipmini.load(part).meta["recipe"]["init"]
    assert main(["mix", "toy", *parts, "--out", str(tmp_path / "mean"), "--quiet"]) == 0
    assert "held out, one template: top-1" in capsys.readouterr().out
    loaded = [clipmini.load(name) for name in (*parts, str(tmp_path / "mean"))]
    assert not changed(mixing.mixed([e.model for e in loaded[:2]], [0.5, 0.5]).state_dict(), loaded[2].model)
    meta = loaded[2].meta
    assert meta["mixed"] == ["seed 1", "seed 2"] and meta["steps"] == 8 and (tmp_path / "mean/taught.safetensors").is_file()
    said = (tmp_path / "mean" / "README.md").read_text()
    assert "the mean of 2 such trainings (seed 1, seed 2)" in said and "Begun with the weights of" in said
    assert main(["mix", "toy", parts[0], "--out", str(tmp_path / "one")]) == 1
    assert "1 model has no mean" in capsys.readouterr().err
    assert main(["mix", "toy", parts[0], "emoji", "--out", str(tmp_path / "other")]) == 1
    assert "other vocabularies" in capsys.readouterr().err and not (tmp_path / "other").exists()
