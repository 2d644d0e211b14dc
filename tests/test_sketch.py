"""Sketches as an augmentation: outlines of what is drawn, opaque, repeatable, and nothing else changed by it."""

import pytest
import torch

from clipmini.augment import augment, outlines, sketched, strokes
from clipmini.training import TrainConfig
from clipmini.training.config import TrainingError

PLAIN = {"geometry": 0.0, "colour": 0.0, "background": 0.0}


def square(B: int = 4, S: int = 48) -> torch.Tensor:
    """A red square on nothing, with a white spot of the same alpha in it: uint8 (B, S, S, 4), premultiplied."""
    rgba = torch.zeros(B, S, S, 4, dtype=torch.uint8)
    rgba[:, 12:36, 12:36] = torch.tensor([200, 20, 20, 255], dtype=torch.uint8)
    rgba[:, 20:28, 20:28] = 255
    return rgba


def drawing(B: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    x = square(B).permute(0, 3, 1, 2).float() / 255
    return x[:, :3], x[:, 3:]


def made(rgba: torch.Tensor, sketch: float, seed: int = 0, **strengths) -> torch.Tensor:
    return augment(rgba, 48, (0.0,) * 3, (1.0,) * 3, torch.Generator().manual_seed(seed), **strengths, sketch=sketch)


def test_outlines_are_where_colour_or_shape_changes():
    line = outlines(*drawing())[0, 0]
    edge, inner = line[12, 16:32], line[20, 22:26]  # the square's rim, the spot's rim
    assert edge.min() > 0.8 and inner.min() > 0.3
    assert line[:8].max() == 0 and line[15:18, 15:33].max() < 1e-5  # outside, and inside of one colour


def test_strokes_cover_the_rim_of_most_and_stay_near_the_drawing():
    covered = strokes(*drawing(400), torch.Generator().manual_seed(0))
    assert covered.shape == (400, 1, 48, 48) and covered.min() >= 0 and covered.max() <= 1
    rim, far = covered[:, 0, 10:15, 16:32].amax(1).mean(1), covered[:, 0, :6]
    assert (rim > 0.3).float().mean() > 0.9 and far.max() < 0.01
    middle = covered[:, 0, 15:18, 15:33].mean((1, 2))  # one colour: empty, but for those that are filled
    assert 0.5 < (middle < 0.2).float().mean() < 0.95


def test_grounds_inks_and_ways_are_many():
    pictures = sketched(*drawing(400), torch.Generator().manual_seed(1))
    assert pictures.shape == (400, 3, 48, 48) and pictures.min() >= 0 and pictures.max() <= 1
    corner = pictures[:, :, 2:5, 2:5].mean((2, 3))
    light = corner.mean(1)
    assert 0.1 < (light < 0.35).float().mean() < 0.4  # boards and negatives
    assert (light > 0.7).float().mean() > 0.5
    rim = pictures[:, :, 10:15, 16:32]
    contrast = (rim.mean(1).amax((1, 2)) - rim.mean(1).amin((1, 2)))
    assert (contrast > 0.2).float().mean() > 0.9  # it can be seen
    assert ((corner.amax(1) - corner.amin(1)) > 0.04).float().mean() > 0.2  # paper has a colour now and then


@pytest.mark.parametrize("strengths", [PLAIN, {}])
def test_the_share_is_kept_and_the_others_are_what_they_were(strengths):
    rgba = square(600)
    without, with_ = made(rgba, 0.0, **strengths), made(rgba, 0.3, **strengths)
    same = (without == with_).flatten(1).all(1).float().mean()
    assert 0.64 < same < 0.76
    assert torch.equal(made(rgba[:40], 0.3, **strengths), made(rgba[:40], 0.3, **strengths))
    assert not torch.equal(made(rgba[:40], 0.3, seed=1, **strengths), made(rgba[:40], 0.3, **strengths))


def test_an_empty_picture_makes_no_nan():
    assert made(torch.zeros(8, 48, 48, 4, dtype=torch.uint8), 1.0).isfinite().all()


@pytest.mark.parametrize("size", [8, 32, 64])
def test_any_size(size):
    pictures = augment(square(6), size, (0.5,) * 3, (0.5,) * 3, torch.Generator().manual_seed(0), sketch=1.0)
    assert pictures.shape == (6, 3, size, size) and pictures.isfinite().all()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none(share):
    with pytest.raises(TrainingError, match="0 to 1"):
        TrainConfig(steps=10, sketch=share)
