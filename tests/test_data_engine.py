"""The data engine: own masks of a picture, what an oracle adds, three stages that go on with one another's weights."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import clipmini
from clipmini.data.scenes import Scene, Thing
from clipmini.segmenter.checkpoint import WEIGHTS
from clipmini.segmenter.encoders import POSITIVE
from clipmini.segmenter.examples import Vocabulary, as_picture, batch
from clipmini.segmenter.train import SegmenterTraining
from clipmini.tasks import data_engine
from clipmini.tasks.data_engine import STAGES, own_labels, run_engine, table


@pytest.fixture(scope="module")
def embedder():
    return clipmini.load("emoji", device="cpu")


def scene(seed: int = 0, size: int = 48) -> Scene:
    """A red disc with a part, and a blue square."""
    y, x = np.mgrid[:size, :size]
    disc, square = (x - 14) ** 2 + (y - 14) ** 2 < 110, (x > 28) & (y > 26) & (x < 44) & (y < 45)
    part = disc & (abs(x - 14) < 5) & (abs(y - 14) < 5)
    levels = np.random.default_rng(seed).integers(0, 60, (size, size, 3)).astype(np.uint8)
    levels[disc], levels[square], levels[part] = (200, 30, 30), (30, 30, 220), (240, 240, 0)
    return Scene(Image.fromarray(levels), (Thing("red circle", disc, (part,)), Thing("blue square", square)))


def proposing(monkeypatch, masks):
    monkeypatch.setattr(data_engine, "candidates", lambda predictor: [SimpleNamespace(full=lambda m=m: m) for m in masks])
    return SimpleNamespace(set_image=lambda image: None)


def test_an_oracle_adds_what_no_proposal_covers(monkeypatch):
    picture = as_picture(scene())
    disc, part, square = picture.masks.numpy()
    half = disc & (np.arange(48) < 18)
    speck = np.zeros_like(disc)
    speck[0, :5] = True
    predictor = proposing(monkeypatch, [disc, part, speck, half & False])
    found, worth, added = own_labels(predictor, picture, oracle=True)
    assert worth == pytest.approx([1, 1]) and added == 1  # a speck and nothing are no proposals; the square was missed
    masks = found.masks.numpy()
    assert [int(mask.sum()) for mask in masks] == sorted((int(m.sum()) for m in (disc, square, part)), reverse=True)
    assert found.whole.tolist() == [True, True, False] and found.thing.tolist() == [0, 1, 0]  # the part is the disc's
    assert found.names == ("", "") and np.array_equal(found.image, picture.image)
    alone, worth, added = own_labels(predictor, picture, oracle=False)
    assert added == 0 and len(alone.thing) == 2
    nothing, worth, added = own_labels(proposing(monkeypatch, []), picture, oracle=False)
    assert worth == [] and len(nothing.thing) == 0 and nothing.masks.shape == (0, 48, 48)


def test_what_nobody_named_is_not_asked_by_words(embedder):
    picture = as_picture(scene())
    words = Vocabulary({"dog": ["dog"], "cat": ["cat"]}, embedder.embed_texts(["dog", "cat"]))
    unnamed = type(picture)(picture.image, picture.packed, picture.thing, picture.whole, ("", ""))
    rng, clicks = np.random.default_rng(0), 0
    for _ in range(20):
        found = batch([unnamed], words, 8, (0.5,) * 3, (0.5,) * 3, rng)
        asked = found.prompts.texts.abs().sum(1) > 0
        assert not (asked & found.there).any()
        clicks += int((found.prompts.types[:, 0] == POSITIVE).sum())
    assert clicks > 60


def test_stages_go_on_with_one_another(embedder, tmp_path, monkeypatch):
    words = Vocabulary({"red circle": ["red circle"], "blue square": ["a blue square"], "dog": ["dog"]},
                       embedder.embed_texts(["red circle", "a blue square", "dog"]))
    asked, truths = [], as_picture(scene()).masks.numpy()
    proposing(monkeypatch, truths[:2])

    def pictures(number):
        asked.append(number)
        return [as_picture(scene(10 * number + seed)) for seed in range(2)]
    config = SegmenterTraining(2, pictures=1, prompts=2, warmup=1)
    found = run_engine(embedder, words, pictures, [scene(99)], config, tmp_path, 48, progress=False)
    assert asked == [0, 1, 2] and [stage.name for stage in found] == list(STAGES)
    assert [(s.pictures, s.proposed, s.added) for s in found] == [(2, 0, 0), (2, 4, 2), (2, 4, 0)]
    assert all("words -> mask" not in stage.found and stage.found["whole: box"]["n"] == 2 for stage in found)
    assert len(json.loads((tmp_path / "engine.json").read_text("utf-8"))) == 3
    states = [torch.load(tmp_path / f"stage-{n}" / "state.pt", weights_only=True) for n in (1, 2, 3)]
    for before, after in zip(states, states[1:], strict=False):  # two steps apart, not begun anew
        near = max((before["average"][k] - v).abs().max() for k, v in after["average"].items() if v.is_floating_point())
        assert 0 < near < 0.05
    for number, state in enumerate(states, 1):  # the average is what is kept, and what labels
        kept = load_file(tmp_path / f"stage-{number}" / "final" / WEIGHTS)
        assert all(torch.equal(kept[k], v.half() if v.is_floating_point() else v) for k, v in state["average"].items())
    assert "own masks of the others alone" in table(found)
    again = run_engine(embedder, words, pictures, [scene(99)], config, tmp_path, 48, progress=False)
    assert [s.found for s in again] == [s.found for s in found]  # what is finished is not trained again
