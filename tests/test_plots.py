"""Figures say what they show: titles, labelled axes, and the numbers they were given."""

import math

import pytest
import torch
from PIL import Image

from clipmini.plots import answers, heatmaps, segments, smooth, training_curve
from clipmini.tasks.heatmap.methods import Heatmap

HISTORY = [{"step": s, "loss": 4.8 * 0.97**s, "ln_n": 4.85, "scale": 14 + s, "score": 0.01 * s if s % 10 == 0 else ""}
           for s in range(1, 41)]


def test_training_curve_draws_loss_chance_scale_and_score():
    figure = training_curve(HISTORY, "a run")
    assert figure.get_suptitle() == "a run"
    left, right, twin = figure.axes
    assert "nats" in left.get_ylabel() and left.get_xlabel() == right.get_xlabel() == "step"
    assert list(left.lines[0].get_ydata()) == [row["loss"] for row in HISTORY]
    assert set(left.lines[2].get_ydata()) == {4.85}
    assert list(right.lines[0].get_ydata()) == [row["scale"] for row in HISTORY]
    assert list(twin.lines[0].get_xdata()) == [10, 20, 30, 40] and "validation" in twin.get_ylabel()


def test_a_run_without_scores_has_no_score_axis(tmp_path):
    figure = training_curve([{**row, "score": ""} for row in HISTORY])
    assert len(figure.axes) == 2
    figure.savefig(tmp_path / "curve.png")
    assert Image.open(tmp_path / "curve.png").size == (800, 360)


def test_smoothing_keeps_a_line_and_lags_behind_a_step():
    assert smooth([3.0] * 5) == [3.0] * 5
    stepped = smooth([0.0] * 5 + [1.0] * 5, weight=0.5)
    assert stepped == sorted(stepped) and 0 < stepped[5] < stepped[9] < 1
    # The bias of the start is divided out: the first value is the first value.
    assert math.isclose(smooth([7.0, 1.0])[0], 7.0)


@pytest.mark.parametrize("count", [1, 4, 5])
def test_answers_shows_each_picture_with_its_best_labels_first(count):
    picture = Image.new("RGB", (8, 8), "red")
    figure = answers([picture] * count, [[("cat", 0.2), ("dog", 0.7), ("cow", 0.1)]] * count, top=2)
    drawn = [[text.get_text() for text in ax.texts] for ax in figure.axes if ax.texts]
    assert drawn == [["dog  70%", "cat  20%"]] * count


def found_maps(count: int):
    maps = torch.zeros(count, 28, 56)
    for i in range(count):
        maps[i, :, 10 * i:10 * i + 8] = 1.0
    phrases = tuple(f"phrase {i}" for i in range(count))
    return Heatmap(Image.new("RGB", (80, 40), "gray"), phrases, maps, maps, "windows")


@pytest.mark.parametrize("count", [1, 3, 4])
def test_heatmaps_lie_over_the_picture_in_fixed_colours(count):
    found = found_maps(count)
    figure = heatmaps(found)
    drawn = [ax for ax in figure.axes if ax.images and ax.get_title().startswith("phrase")]
    assert [ax.get_title() for ax in drawn] == list(found.phrases)
    for ax, map_ in zip(drawn, found.maps, strict=True):
        assert ax.images[1].get_clim() == (0, 1) and (ax.images[1].get_array() == map_.numpy()).all()
        assert list(ax.images[0].get_extent()) == list(ax.images[1].get_extent()) == [0, 80, 40, 0]
    assert "windows" in figure.get_suptitle()


def test_maps_for_a_phone_stand_two_in_a_row():
    """Four in a row are 80 pixels wide there, and their titles cannot be read."""
    wide, narrow = (heatmaps(found_maps(5), across=n).get_size_inches() for n in (4, 2))
    assert narrow[0] == pytest.approx(wide[0] * 2 / 3) and narrow[1] > wide[1]


def test_segments_have_a_legend_with_none_and_one_colour_each():
    found = found_maps(3)
    figure = segments(found)
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["phrase 0", "phrase 1", "phrase 2", "none"]
    paint = figure.axes[0].images[1].get_array()
    for i in range(3):
        assert tuple(paint[5, 10 * i + 2][:3]) == pytest.approx(legend.get_patches()[i].get_facecolor()[:3])
    assert tuple(paint[5, 45][:3]) == (1, 1, 1)
