"""What the strips of the arithmetic are told: the numbers of classify, who competes, and who is tied."""

import json
import math

import pytest
import torch

from clipmini.tasks.classify import Prediction, build_classifier, classify, make_classifier
from clipmini.tasks.prompts import EVERYDAY_WORDS
from helpers_app import tiny_embedder, two_colours

pytest.importorskip("gradio", reason="the app needs gradio: pip install 'clipmini[app]'")
from demo_app import arithmetic, texts  # noqa: E402

TEMPLATES = ["{}", "a drawing of a {}"]


@pytest.fixture(scope="module")
def embedder():
    return tiny_embedder()


def answered(embedder, labels, none=False, scale=None, everyday=None, templates=TEMPLATES, lang="en"):
    made = make_classifier(embedder, labels, templates, none)
    found = classify(embedder, [two_colours()], made, logit_scale=scale)
    return found, json.loads(arithmetic.value(embedder, made, found, lang, scale, everyday))


def shares(said: dict) -> list[float]:
    """The shares of the labels and of "none of these", by hand, from what the page is told."""
    cosines = [c for _, c in said["labels"]]
    rivals = [c for _, c, competes in said["words"] if competes] if said["none"] else []
    powers = [math.exp(said["scale"] * c) for c in cosines + rivals]
    return [p / sum(powers) for p in powers[:len(cosines)]] + [sum(powers[len(cosines):]) / sum(powers)]


@pytest.mark.parametrize("all_words", [False, True])
@pytest.mark.parametrize("none", [False, True])
@pytest.mark.parametrize("scale", [1.0, 20.0, 100.0])
def test_the_page_can_compute_what_classify_computed(embedder, scale, none, all_words):
    everyday = build_classifier(embedder, EVERYDAY_WORDS, TEMPLATES) if all_words else None
    found, said = answered(embedder, "red circle, cat, dog", none, scale, everyday)
    expected = [*found.probabilities[0].tolist(), found.none.item() if none else 0]
    assert shares(said) == pytest.approx(expected, abs=1e-5)
    assert [name for name, _ in said["labels"]] == list(found.labels) and said["templates"] == 2
    if all_words:  # in the background is every word; the label "cat" is no rival of itself
        named = {name: (cosine, competes) for name, cosine, competes in said["words"]}
        assert set(named) == set(EVERYDAY_WORDS) and named["cat"][1] == 0
        assert named["lamp"][0] == pytest.approx((found.vectors[0] @ everyday[EVERYDAY_WORDS.index("lamp")]).item(),
                                                 abs=1e-6)
    else:
        assert all(competes for *_, competes in said["words"]) and bool(said["words"]) == none


def test_the_scale_is_the_models_own_until_it_is_given_and_the_slider_reaches_it(embedder, monkeypatch):
    _, said = answered(embedder, "cat, dog")
    assert said["scale"] == said["own"] == embedder.logit_scale and said["range"] == [1, 100] and said["bias"] is None
    _, said = answered(embedder, "cat, dog", scale=7.0)
    assert (said["scale"], said["own"]) == (7.0, embedder.logit_scale)
    monkeypatch.setattr(type(embedder), "logit_scale", 117.3)
    monkeypatch.setattr(type(embedder), "logit_bias", -12.9)
    _, said = answered(embedder, "cat, dog")
    assert said["range"] == [1, 117.3] and said["bias"] == -12.9


def test_notes_and_words_are_in_the_visitors_language(embedder):
    for lang in texts.LANGUAGES:
        _, said = answered(embedder, "a cat, a cat, dog", lang=lang)
        assert [texts.say_message(lang, note) for note in make_classifier(embedder, "a cat, a cat, dog", TEMPLATES).notes
                ] == said["notes"] and len(said["notes"]) == 2
        assert said["said"]["ar_1"] == texts.TEXTS[lang]["ar_1"] and len(said["said"]) >= 20
    assert json.loads(arithmetic.waiting("zh")) == {"waiting": texts.TEXTS["zh"]["waiting"]}
    assert json.loads(arithmetic.problem("<b>")) == {"problem": "<b>"}


def prediction(cosines, scale=40.0, none=None):
    """A Prediction with these cosines; none: the cosine of the one everyday word that competes."""
    all_ = (scale * torch.tensor([cosines if none is None else [*cosines, none]])).softmax(1)
    names = tuple("abcdefgh"[:len(cosines)])
    return Prediction(names, torch.tensor([cosines]), scale * torch.tensor([cosines]), all_[:, :len(cosines)],
                      None if none is None else all_[:, -1], ((),) * len(cosines), (), {})


@pytest.mark.parametrize("found, names", [
    (prediction([0.30, 0.20, 0.10]), []),
    (prediction([0.30, 0.2992, 0.10]), ["a", "b"]),             # nearer than SAME_COSINE, 0.8 points apart
    (prediction([0.2992, 0.30], scale=100), ["a", "b"]),        # ... and 4 points apart: much enlarged
    (prediction([0.30, 0.2985], scale=100), []),
    (prediction([0.30, 0.295], scale=1), ["a", "b"]),           # 0.25 points apart
    (prediction([0.30, 0.24], scale=1), []),                    # 3 points
    (prediction([0.30, 0.30, 0.30]), ["a", "b", "c"]),
    (prediction([0.30, 0.10], none=0.30), ["a", "none of these"]),
    (prediction([0.30, 0.10], none=0.50), []),
    (prediction([0.30]), []),
])
def test_ties_are_told(found, names):
    assert arithmetic.tied(found) == names
