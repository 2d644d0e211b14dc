"""Recipes: what an option changes, what is held out, and a card with the numbers that were measured."""

import dataclasses
import functools
import json

import pytest
import torch

from clipmini import files, recipes
from clipmini.card import card, in_one_line, sentence
from clipmini.config import PRESETS
from clipmini.data.base import SourceError
from clipmini.data.emoji import dataset, sources, words
from clipmini.embedder import Embedder
from clipmini.recipes import RECIPES, Recipe, customised, split
from clipmini.tasks.prompts import TEMPLATES
from clipmini.tasks.questions import ask, recorded
from clipmini.training.config import TrainConfig, TrainingError
from clipmini.training.pairs import group_numbers
from helpers_train import Squares, pairs_dataset


def test_options_reach_their_place():
    recipe = RECIPES["emoji"]
    changed = customised(recipe, steps=7, batch=16, learning_rate=0.5, seed=3, hold_out="noto", vocabulary=700)
    assert (changed.train.steps, changed.train.minutes) == (7, None)
    assert (changed.train.batch, changed.train.learning_rate, changed.train.seed) == (16, 0.5, 3)
    assert (changed.data.hold_out, changed.vocabulary) == ("noto", 700)
    again = customised(changed, minutes=2.5)
    assert (again.train.steps, again.train.minutes, again.train.batch) == (None, 2.5, 16)
    assert customised(recipe) == recipe and recipe == RECIPES["emoji"]
    with pytest.raises(TrainingError, match="steps or in minutes, not both"):
        customised(recipe, steps=7, minutes=2)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_name_what_exists(name):
    recipe = RECIPES[name]
    assert recipe.name == name and recipe.model in PRESETS and recipe.data.templates in TEMPLATES
    held_out = getattr(recipe.data, "hold_out", None)
    assert held_out is None or held_out in sources.STYLES
    json.dumps(dataclasses.asdict(recipe))


def test_scenes_of_two_objects_are_grouped_by_caption_not_by_their_first_object():
    # Two scenes with the same first object are no right answers for each other.
    data = dataclasses.replace(RECIPES["shapes-order"].data, scenes=60).training_rows(32, 0)
    assert "label" not in data.column_names
    groups = group_numbers(data, data["captions"][:])
    firsts = [row[0] for row in data["captions"]]
    assert (groups[:, None] == groups).tolist() == [[a == b for b in firsts] for a in firsts]
    assert "label" in dataclasses.replace(RECIPES["shapes"].data, scenes=20).training_rows(32, 0).column_names


@pytest.mark.parametrize("rows", [0, 5, 20])
def test_split_is_disjoint_and_complete(rows):
    data = pairs_dataset(20).add_column("number", list(range(20)))
    training, held = split(data, rows, seed=1)
    assert len(held) == rows and sorted(training["number"][:] + held["number"][:]) == list(range(20))
    assert split(data, rows, seed=1)[1]["number"][:] == held["number"][:]
    assert rows != 5 or split(data, rows, seed=2)[1]["number"][:] != held["number"][:]


@pytest.mark.parametrize("font, styles, hold_out, expected", [
    ("NotoColorEmoji.ttf", ["openmoji", "twemoji", "system"], "twemoji", ["openmoji", "system"]),
    ("NotoColorEmoji.ttf", ["openmoji", "twemoji", "system", "noto"], "twemoji", ["openmoji", "noto"]),  # the same drawings once
    ("NotoColorEmoji.ttf", ["openmoji", "system", "noto", "fxemoji"], "noto", ["openmoji", "fxemoji"]),
    ("NotoColorEmoji.ttf", ["openmoji", "system", "noto", "fxemoji"], "system", ["openmoji", "fxemoji"]),
    ("seguiemj.ttf", ["openmoji", "system", "fluent-emoji-flat"], "system", ["openmoji"]),
    ("seguiemj.ttf", ["openmoji", "system", "fluent-emoji-flat"], "fluent-emoji-flat", ["openmoji"]),
    ("seguiemj.ttf", ["openmoji", "system", "fluent-emoji-flat"], "twemoji", ["openmoji", "fluent-emoji-flat"]),
    (None, ["openmoji", "twemoji"], "system", ["openmoji", "twemoji"]),
    (None, ["openmoji", "twemoji"], None, ["openmoji", "twemoji"]),
])
def test_what_is_held_out_takes_its_sisters_along(font, styles, hold_out, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "system_font", lambda: font and tmp_path / font)
    monkeypatch.setattr(sources, "available_styles", lambda lines=False: styles)
    assert dataset.Emoji(hold_out=hold_out).styles() == expected


def test_styles_that_cannot_be_held_out(monkeypatch):
    monkeypatch.setattr(sources, "available_styles", lambda lines=False: ["twemoji"])
    recipe = RECIPES["emoji"]
    with pytest.raises(SourceError, match="nothing is left.*'twemoji'.*--fetch"):
        recipe.data.styles()
    with pytest.raises(SourceError, match="no art style 'twemojy'.*twemoji"):
        customised(recipe, hold_out="twemojy").data.styles()
    assert customised(RECIPES["emoji-pip"], hold_out="openmoji").data.styles() == ["twemoji"]


def test_the_card_holds_what_was_measured(make_clip, tokenizer):
    results = {"twemoji, ensemble": {"n": 1450, "classes": 1400, "top1": 0.4321, "top5": 0.6789,
                                    "top1_low": 0.401, "top1_high": 0.462},
               "word order": {"relation": 0.913, "binding": 0.876, "n": 2000}}
    recipe = customised(RECIPES["emoji"], steps=9, seed=12)
    meta = {"results": results, "command": "clipmini train emoji --seed 12", "data": "emoji in 2 art styles: a, b",
            "pictures": 2345, "steps": 9, "seconds": 90, "threads": 2, "precision": "float32"}
    text = card(recipe, Embedder(make_clip("light-cbow"), tokenizer), meta, ["healthy: all is well."])
    for said in ("43.2%", "67.9%", "1,450 pictures", "1,400 names", "40.1% to 46.2%", "relation 91.3%", "binding 87.6%",
                  "clipmini train emoji --seed 12", "2,345 pictures", "9 steps of 128 pairs",
                  "1.5 minutes on 2 CPU threads, in float32",
                  "| seed | 12 |", "healthy: all is well."):
        assert said in text, said
    assert "chance 50%" in sentence(results["word order"])
    empty = card(recipe, Embedder(make_clip("light-cbow"), tokenizer), {**meta, "results": {}, "command": ""}, ["x"])
    assert "nothing was held out" in empty and "`clipmini train emoji`" in empty


def test_a_whole_run(tmp_path, monkeypatch):
    """Data to card, interrupted on the way, on pictures made by hand."""
    recipe = Recipe("toy", "A toy", Squares(), TrainConfig(steps=12, batch=16, evaluate_every=4),
                    vision={"image_size": 16, "width": 8}, text={"width": 32},
                    model_options={"embed_dim": 32}, vocabulary=560)
    done, results = recipes.run(recipe, tmp_path / "a", "clipmini train toy", progress=False)
    assert done.step == 12 and results["held out, ensemble"]["n"] == 16 and results["doctor"]
    final = tmp_path / "a" / "final"
    text = (final / "README.md").read_text()
    assert "- held out, one template: top-1" in text and "It knows squares." in text and "## Pictures and words" not in text
    assert (final / "curve.png").stat().st_size > 1000
    meta = json.loads((final / "config.json").read_text())["meta"]
    assert meta["pictures"] == 54 and meta["steps"] == 12 and meta["recipe"]["train"]["batch"] == 16

    def cut(*arguments, **options):
        train(*arguments, **options, stop_after=6)
        raise KeyboardInterrupt

    train = recipes.train
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr(recipes, "train", cut)
        recipes.run(recipe, tmp_path / "b", progress=False)
    torch.manual_seed(99)  # what the process did before is of no importance
    recipes.run(recipe, tmp_path / "b", progress=False)
    same = [(tmp_path / run / "final" / "model.safetensors").read_bytes() for run in "ab"]
    assert same[0] == same[1]


# ---------------------------------------------------------------- what an emoji recipe measures


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """Eight emoji in Twemoji's style, with categories made up here."""
    cache = tmp_path_factory.mktemp("emoji")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "concepts", functools.lru_cache(lambda: tuple(CONCEPTS)))
        patch.setattr(words, "emojibase", lambda language, cache=None: {
            row.hex: {"label": "", "tags": [f"tag {i % 3}", "thing"], "group": "food-drink", "subgroup": f"kind-{i % 2}"}
            for i, row in enumerate(CONCEPTS)})
        patch.setattr(words, "categories", lambda level, language="en", cache=None: {
            "food-drink": [f"food {language}"]} if level == "group" else {f"kind-{i}": [f"kind {i} {language}"] for i in (0, 1)})
        patch.setattr(sources, "available_styles", lambda cache=None, lines=False: ["openmoji", "twemoji"])
        patch.setattr(files, "cache_root", lambda cache=None: tmp_path_factory.getbasetemp() / "styles")
        yield dataset.load(["twemoji"], cache=cache, progress=False)


CONCEPTS = [row for row in words.concepts() if row.name in ("cat", "dog", "sun", "bread", "rat", "pig", "eye", "key", "book")]


def test_an_emoji_recipe_is_measured_in_all_its_words(drawings, make_clip, tokenizer):
    source = dataset.Emoji(hold_out="twemoji", language=("en", "zh"))
    embedder = Embedder(make_clip("light-cbow"), tokenizer)
    found = recorded(ask(embedder, source.report(embedder)))
    assert {name: r["classes"] for name, r in found.items()} == {
        "twemoji, one template": 8, "twemoji, ensemble": 8, "twemoji, subgroup names in en": 2, "twemoji, group names in en": 1,
        "twemoji, concept names in zh": 8, "twemoji, subgroup names in zh": 2, "twemoji, group names in zh": 1}
    assert found["twemoji, group names in zh"]["top1"] == 1.0 and all(r["n"] == len(drawings) for r in found.values())
    assert in_one_line(found)["en"].endswith("among 8 names")
    assert dataset.Emoji(hold_out="noto").report(None) == {}


def test_things_held_out_are_neither_trained_on_nor_forgotten(drawings, make_clip, tokenizer):
    source = dataset.Emoji(hold_out="twemoji", hold_out_concepts=5)
    gone = source.unseen_concepts()
    assert len(set(gone)) == 5 and dataclasses.replace(source, hold_out_concepts=3).unseen_concepts() == gone[:3]
    data = source.training_rows(32, 0, progress=False)
    assert "1 art styles: openmoji" in source.trained_on()
    assert set(data["concept"][:]) == {row.hex for row in CONCEPTS} - set(gone)
    embedder = Embedder(make_clip("light-cbow"), tokenizer)
    found = recorded(ask(embedder, source.report(embedder)))
    assert list(found) == ["twemoji, things never seen, by name", "twemoji, things never seen, described"]
    assert {r["classes"] for r in found.values()} == {r["n"] for r in found.values()} == {5}


def test_a_description_is_cut_at_a_word(tokenizer):
    parts = [f"word{i}" for i in range(40)]
    text = dataset.as_many_as_fit(parts, tokenizer)
    kept = text.split(", ")
    assert kept == parts[:len(kept)] and 1 < len(kept) < 40
    assert len(tokenizer.encode(text)) + 2 <= tokenizer.context_length < len(tokenizer.encode(f"{text}, {parts[len(kept)]}")) + 2
