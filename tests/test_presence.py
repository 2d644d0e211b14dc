"""Is the phrase there at all? Scores against a count by hand, what figures and commands make of them, and their rates."""

import dataclasses
import json
import re
from pathlib import Path
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
from clipmini.tasks.heatmap import (
    METHODS,
    PRESENT,
    Heatmap,
    HeatmapError,
    heatmap,
    presence,
    presence_at_least,
    presence_rates,
    rates,
)
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
    windows, whole = H.encoded(view, H.window_crops(view)[0]), emoji.embed_images([image])[0]

    def in_windows(text) -> float:
        cosines = [float(text @ w) for w in windows]
        return max(cosines) - 0.35 * sum(cosines) / len(cosines)

    def above(seen, text) -> float:
        others = [seen(word) for word in build_classifier(emoji, EVERYDAY_WORDS, "plain")]
        mean = sum(others) / len(others)
        return (seen(text) - mean) / (sum((o - mean) ** 2 for o in others) / len(others)) ** 0.5

    for text, score in zip(emoji.embed_texts([*THINGS, *ABSENT]), found.scores, strict=True):
        expected = max(above(lambda t: float(t @ whole), text) - 0.4, above(in_windows, text))
        assert score.item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("model", ["emoji", "emoji-vit"])
@pytest.mark.parametrize("name, there, absent", [
    ("dog_face", "dog", "pizza, tree, car, guitar"), ("pizza", "pizza", "car, tree, shoe, cat"),
    ("rocket", "rocket", "cat, pizza, tree, clock"), ("guitar", "guitar", "cat, pizza, tree, house"),
    ("octopus", "octopus", "car, pizza, tree, clock"), ("snowman", "snowman", "car, pizza, shoe, clock")])
def test_one_thing_that_fills_the_picture_is_there(model, name, there, absent):
    """The windows are all parts of it, and a part of a dog is no dog: the whole picture is a view too."""
    got = heatmap(clipmini.load(model), SCENE.parent / f"{name}.png", f"{there}, {absent}", "windows")
    assert got.present[0] and got.scores[0] > got.scores[1:].max() and sum(got.present[1:]) <= 1, got.scores


def test_the_whole_picture_is_seen_as_classify_sees_it(emoji, monkeypatch):
    """Not made smaller first, as the map's picture is."""
    seen, embed = [], emoji.embed_images
    monkeypatch.setattr(emoji, "embed_images", lambda images: seen.extend(i.size for i in images) or embed(images))
    got = heatmap(emoji, Image.new("RGB", (1200, 100), "red"), "pizza", "windows")
    assert seen == [(1200, 100)] and got.image.width == 4 * H.SIDE


def test_a_word_that_is_near_to_every_window_is_not_there():
    texts, everyday = torch.eye(4)[:2], torch.eye(4)[2:]
    windows = torch.tensor([[0.5, 0.5, 0.1, 0.0], [0.5, 0.0, 0.0, 0.1]])
    near_all, near_one = presence(texts, everyday, torch.zeros(1, 4), windows)
    assert near_one > near_all


def test_what_is_there_scores_higher_than_what_is_not(found):
    assert found.scores[:3].min() > found.scores[3:].max()
    assert found.present == (True, True, False) + (False,) * 3  # the rocket, with 1.73, is just missed
    owners = set(found.segmented.unique().tolist())
    assert {0, 1} <= owners and not owners & {2, 3, 4, 5}  # what is not there has no place


def test_equal_words_make_no_nan():
    same = F.normalize(torch.ones(3, 8), dim=-1)
    assert presence(same[:1], same, same[:1], same).tolist() == [0]


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
    assert (got["present"], got["absent"], got["false"], got["auc"]) == (3, 3, 0, 1)
    assert got["true"] == pytest.approx(2 / 3) and got["true_low"] < got["true"] < got["true_high"]
    assert got["false_low"] == 0 < got["false_high"]
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


def test_the_whole_picture_alone_says_what_presence_is_at_least(emoji):
    """Exactly, for a thing that fills the picture; less, for a small one that only a window finds."""
    vectors, whole = build_classifier(emoji, EVERYDAY_WORDS, "plain"), emoji.embed_images([SCENE.parent / "guitar.png"])
    texts = emoji.embed_texts(["guitar", "pizza"])
    least = presence_at_least(texts, vectors, whole)
    full = heatmap(emoji, SCENE.parent / "guitar.png", "guitar, pizza", "windows").scores
    assert least[0] == pytest.approx(full[0].item(), abs=1e-4) and bool((least <= full + 1e-4).all())
    small = heatmap(emoji, SCENE, ["dog face"], "windows").scores
    assert presence_at_least(emoji.embed_texts(["dog face"]), vectors, emoji.embed_images([SCENE])) < small - 0.2


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_apps_sentence_quotes_what_was_measured(lang):
    texts = pytest.importorskip("demo_app.texts").TEXTS
    measured = json.loads((Path(__file__).parents[1] / "assets" / "results.json").read_text("utf-8"))["presence"]
    missed = {of: sorted(round(100 * (1 - row["true"]) + 1e-9) for row in measured if of in row["of"])
              for of in ("scenes", "one thing")}
    said = [int(n) for n in re.findall(r"\d+", texts[lang]["inside_presence_missed"])]
    assert said == missed["scenes"] + missed["one thing"]


def test_of_a_model_that_nobody_measured_less_is_said():
    from clipmini.tasks.heatmap.presence import AVERAGE, MEASURED_WITH, PRESENT, verdict

    assert [verdict(x, "stranger") for x in (PRESENT, PRESENT - 0.1, AVERAGE, AVERAGE - 0.1)] == [True, None, None, False]
    assert [verdict(x, MEASURED_WITH[0]) for x in (PRESENT, PRESENT - 0.1, AVERAGE, AVERAGE - 0.1)] == [True, False, False, False]


def test_the_app_says_where_it_is_strongest_and_does_not_paint_what_is_far():
    pytest.importorskip("gradio")
    from demo_app.tabs.inside import PLACES, painted, place

    for number, name in enumerate(PLACES):
        y, x = divmod(number, 3)
        map_ = torch.zeros(30, 60)
        map_[10 * y + 5, 20 * x + 10] = 1
        assert PLACES[place(map_)] == name
    maps = torch.ones(2, 4, 4)
    found = Heatmap(Image.new("RGB", (4, 4)), ("a", "b"), maps, maps, "surgery")
    kept = painted(found, [{"at_least": -0.1}, {"at_least": 0.1}]).maps
    assert kept[0].max() == 0 and torch.equal(kept[1], maps[1])
    scored = dataclasses.replace(found, scores=torch.tensor([0.0, 1.0]))
    assert painted(scored, [{"at_least": -1.0}] * 2) is scored
