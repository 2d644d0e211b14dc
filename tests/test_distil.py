"""Distillation: where a teacher says that pictures lie, and that a training draws them there."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

import clipmini
from clipmini import recipes
from clipmini.commands import main
from clipmini.tasks import outside
from clipmini.training.config import TrainConfig, TrainingError
from clipmini.training.distil import distance, targets
from clipmini.training.step import cached_backward, plain_backward
from helpers_train import squares
from test_fine_tuning import SHORT, TOY, changed, copies
from test_train import a_batch, run, weights


def test_a_teacher_is_heard_where_it_is_right(make_clip, tokenizer):
    pairs = squares(copies=3)  # rows 0, 64 and 128 are of one concept
    axes = torch.eye(64)
    sees = axes.repeat(3, 1)
    sees[0] = F.normalize(axes[0] + 0.5 * axes[1], dim=0)  # right, but not sure
    sees[64] = axes[7]  # mistaken
    sees[[5, 69, 133]] = axes[9]  # no picture of concept 5 is known
    calls = iter(sees.split(1))
    clip = make_clip("light-cbow")
    teacher = SimpleNamespace(config=clip.config, eval=lambda: None, encode_text=lambda ids: axes[:len(ids)],
                              encode_image=lambda pixels: torch.cat([next(calls) for _ in pixels]))
    found = targets(teacher, tokenizer, pairs)
    middle = F.normalize(sees[0] + axes[0], dim=0)  # of rows 0 and 128
    torch.testing.assert_close(found[0], F.normalize(sees[0] + middle, dim=0))
    torch.testing.assert_close(found[64], middle)
    torch.testing.assert_close(found[128], F.normalize(axes[0] + middle, dim=0))
    assert not found[[5, 69, 133]].any() and torch.equal(found[20], axes[20])
    torch.testing.assert_close(distance(axes[[20, 21, 3]], found[[20, 22, 5]]), torch.tensor(1 / 3))


def test_the_teacher_sees_the_pictures_clean(make_clip, tokenizer):
    pairs, teacher = squares(), make_clip("light-cbow")
    assert torch.equal(targets(teacher, tokenizer, pairs), targets(teacher, tokenizer, pairs))
    assert not teacher.training


@pytest.mark.parametrize("tower", ["light-cbow", "vit-transformer"])
def test_training_draws_pictures_to_their_targets(tower, make_clip, tokenizer, tmp_path):
    pairs = squares()
    pairs.targets = F.normalize(torch.randn(64, make_clip(tower).config.embed_dim, generator=torch.Generator().manual_seed(1)),
                                dim=-1)
    reached = []
    for weight in (0.0, 20.0):
        config = replace(SHORT, steps=40, distil=weight, colour=0.0, rates=(("text", 0.0),))
        done = run(make_clip(tower), tokenizer, tmp_path / str(weight), config, pairs)
        reached.append(distance(done.model.eval().encode_image(clean(done.model, pairs)), pairs.targets).item())
        assert json.loads((tmp_path / str(weight) / "run.json").read_text())["train"]["distil"] == weight
    assert reached[1] < reached[0] - 0.1
    expected = [row["ln_n"] for row in done.history]
    assert max(expected) > 20  # 20 times the distance of a guess, and ln N


def clean(model, pairs):
    from clipmini.augment import augment

    v = model.config.vision
    return augment(pairs.rgba, v.image_size, v.mean, v.std, torch.Generator(), 0.0, 0.0, 0.0)


def test_the_gradient_cache_sees_the_targets(make_clip, tokenizer):
    batch = a_batch(tokenizer)
    batch.targets = F.normalize(torch.randn(10, make_clip("vit-transformer").config.embed_dim, dtype=torch.float64,
                                            generator=torch.Generator().manual_seed(4)), dim=-1)
    config = TrainConfig(steps=1, batch=10, micro_batch=3, precision="float32", distil=3.0)
    found = []
    for backward, settings in ((plain_backward, config), (cached_backward, config),
                               (plain_backward, replace(config, distil=0.0))):
        model = make_clip("vit-transformer").double()
        value, _ = backward(model, batch, settings)
        found.append((value, model.visual.proj.grad))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-9)
    assert found[0][0] - found[2][0] > 1 and not torch.allclose(found[0][1], found[2][1])


def test_an_interrupted_run_ends_with_the_same_bits(make_clip, tokenizer, tmp_path):
    pairs = squares()
    pairs.targets = targets(make_clip("light-cbow"), tokenizer, pairs)
    config = replace(SHORT, distil=2.0)
    for name, stops in (("whole", [None]), ("halves", [3, None])):
        for stop in stops:
            run(make_clip("light-cbow"), tokenizer, tmp_path / name, config, pairs, stop_after=stop)
    assert weights(tmp_path / "whole") == weights(tmp_path / "halves")


@pytest.mark.parametrize("options, words", [({"distil": -1.0}, "cannot be negative"), ({"distil": 1.0, "loss": "sigmoid"},
                                                                                      "no place for .*distillation")])
def test_weights_that_cannot_be(options, words):
    with pytest.raises(TrainingError, match=words):
        replace(SHORT, **options)


def test_without_a_teacher_it_is_refused(make_clip, tokenizer, tmp_path):
    with pytest.raises(TrainingError, match="distil needs a target for each picture.*--init"):
        run(make_clip("light-cbow"), tokenizer, tmp_path, replace(SHORT, distil=1.0))


def test_the_command_takes_the_model_that_it_begins_with_for_the_teacher(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "toy", TOY)
    monkeypatch.setattr(outside, "OUTSIDERS", 20)
    recipes.run(TOY, tmp_path / "first", progress=False)
    words = ["train", "toy", "--init", str(tmp_path / "first/final"), "--steps", "4", "--no-mix", "--quiet"]
    for weight in ("0", "50"):
        assert main([*words, "--distil", weight, "--out", str(tmp_path / weight)]) == 0
    others = [clipmini.load(tmp_path / name).model for name in ("0/final", "50/final")]
    assert changed(copies(others[0]), others[1])
    assert json.loads((tmp_path / "50/final/config.json").read_text())["meta"]["recipe"]["train"]["distil"] == 50
    capsys.readouterr()
    assert main(["train", "toy", "--distil", "2", "--steps", "4", "--quiet", "--out", str(tmp_path / "none")]) == 1
    assert "train with --init" in capsys.readouterr().err
