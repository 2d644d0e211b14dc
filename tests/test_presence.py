"""Is the phrase there at all? Scores against a count by hand, what figures and commands make of them, and their rates."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import clipmini
from clipmini.commands import main
from clipmini.data import scenes
from clipmini.embedder import assets_folder
from clipmini.plots import DIM, heatmaps
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.heatmap import METHODS, PRESENT, Heatmap, HeatmapError, heatmap, presence, presence_rates, rates
from clipmini.tasks.heatmap import methods as H
from clipmini.tasks.prompts import EVERYDAY_WORDS
from test_scenes import drawings  # noqa: F401

SCENE = assets_folder() / "samples" / "scene.png"
THINGS, ABSENT = ("dog face", "pizza", "rocket"), ("octopus", "elephant", "snowman")


@pytest.fixture(scope="module")
def emoji():
    return clipmini.load("emoji")


@pytest.fixture(scope="module")
def found(emoji):
    return heatmap(emoji, SCENE, [*THINGS, *ABSENT], "windows")


def test_scores_against_a_count_by_hand(emoji, found):
    image = clipmini.open_image(SCENE)
    view = H.View(emoji, H.squared(image, emoji.config.vision.mean), 0, torch.empty(0), torch.empty(0))
    views = [*H.encoded(view, H.window_crops(view)[0]), emoji.embed_images([image])[0]]
    words = build_classifier(emoji, EVERYDAY_WORDS, "plain")
    levels = [((words @ v).mean(), (words @ v).std(correction=0)) for v in views]

    def best(text) -> float:
        return max(float((text @ v - mean) / spread) for v, (mean, spread) in zip(views, levels, strict=True))
    bests = [best(word) for word in words]
    mean = sum(bests) / len(bests)
    spread = (sum((b - mean) ** 2 for b in bests) / len(bests)) ** 0.5
    assert found.scores[1].item() == pytest.approx((best(emoji.embed_texts(["pizza"])[0]) - mean) / spread, abs=1e-3)


@pytest.mark.parametrize("name, there, absent", [
    ("dog_face", "dog", "pizza, tree, car, guitar"), ("pizza", "pizza", "car, tree, shoe, cat"),
    ("rocket", "rocket", "cat, pizza, tree, clock"), ("guitar", "guitar", "cat, pizza, tree, house"),
    ("octopus", "octopus", "car, pizza, tree, clock"), ("snowman", "snowman", "car, pizza, shoe, clock")])
def test_one_thing_that_fills_the_picture_is_there(emoji, name, there, absent):
    """The windows are all parts of it, and a part of a dog is no dog: the whole picture is a view too."""
    got = heatmap(emoji, SCENE.parent / f"{name}.png", f"{there}, {absent}", "windows")
    assert got.present[0] and got.scores[0] > got.scores[1:].max() and sum(got.present[1:]) <= 1, got.scores


def test_what_is_there_scores_higher_than_what_is_not(found):
    assert found.scores[:3].min() > found.scores[3:].max() and found.present == (True,) * 3 + (False,) * 3
    owners = set(found.segmented.unique().tolist())
    assert {0, 1, 2} <= owners and not owners & {3, 4, 5}  # what is not there has no place


def test_equal_words_make_no_nan():
    same = F.normalize(torch.ones(3, 8), dim=-1)
    assert presence(same[:1], same, same).tolist() == [0]


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("windows", "relevance")])
def test_other_methods_say_that_they_do_not_know(emoji, method):
    got = heatmap(emoji, SCENE, ["pizza", "octopus"], method)
    assert got.scores is None and got.present == (None, None)


def test_a_figure_has_no_bright_blob_for_what_is_not_there(found):
    figure = heatmaps(found)
    drawn = [ax for ax in figure.axes if len(ax.images) == 2]
    for ax, phrase, map_, there, score in zip(drawn, found.phrases, found.maps, found.present, found.scores, strict=True):
        assert ax.get_title() == f"{phrase}\n{'there' if there else 'not there'} ({score:+.1f})"
        assert ax.images[1].get_clim() == (0, 1)
        assert ax.images[1].get_array().max() == pytest.approx(1 if there else DIM)
        assert np.allclose(ax.images[1].get_array(), map_ * (1 if there else DIM))


def test_the_command_prints_scores_or_who_has_them(tmp_path, capsys):
    line = ["heatmap", str(SCENE), "--phrases", "pizza, octopus", "--out", str(tmp_path / "h.png"), "--method"]
    assert main([*line, "windows"]) == 0
    said = capsys.readouterr().out
    assert "pizza: brightest at" in said and "octopus: not there (score -" in said and f"{PRESENT} or more" in said
    assert main([*line, "surgery"]) == 0
    said = capsys.readouterr().out
    assert "octopus: brightest at" in said and "--method windows has a score" in said


def test_rates_of_scores_whose_answer_is_known(emoji):
    assert rates(torch.tensor([2.0, 0.5]), torch.tensor([0.0, 1.5, 0.5]), 1.0) == pytest.approx(
        {"true": 0.5, "false": 1 / 3, "auc": 4.5 / 6})
    scene = SimpleNamespace(image=Image.open(SCENE), things=[SimpleNamespace(name=name) for name in THINGS])
    got = presence_rates(emoji, [scene], [ABSENT])
    assert (got["present"], got["absent"], got["true"], got["false"], got["auc"]) == (3, 3, 1, 0, 1)
    assert got["true_low"] < 1 == got["true_high"] and got["false_low"] == 0 < got["false_high"]
    with pytest.raises(ValueError, match="1 scenes and 0 lists"):
        presence_rates(emoji, [scene], [])


def test_absent_names_are_absent(drawings):  # noqa: F811
    rooms = [room for room in scenes.make(drawings, 20, seed=1) if len(room.things) < 4]  # of four groups
    names = scenes.absent_names(drawings, rooms, 2, seed=1)
    assert names == scenes.absent_names(drawings, rooms, 2, seed=1) and len({tuple(n) for n in names}) > 5
    for room, absent in zip(rooms, names, strict=True):
        kinds = {int(thing.name.split()[1]) // 2 for thing in room.things}
        assert len(set(absent)) == 2 and not kinds & {int(name.split()[1]) // 2 for name in absent}
    with pytest.raises(ValueError, match="things are not in a scene; 9 were asked for"):
        scenes.absent_names(drawings, rooms, 9)


def test_a_map_without_scores_is_drawn_as_before():
    maps = torch.ones(1, 4, 4)
    plain = Heatmap(Image.new("RGB", (8, 8)), ("cat",), maps, maps, "surgery")
    assert [ax.get_title() for ax in heatmaps(plain).axes if len(ax.images) == 2] == ["cat"]
    with pytest.raises(HeatmapError, match="no method"):
        heatmap(None, None, "cat", "magic")
