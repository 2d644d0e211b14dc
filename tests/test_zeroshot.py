"""The classifier made of words: oracles by hand, invariants, and the measurement."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from helpers_app import encoded, tiny_embedder, two_colours
from PIL import Image

from clipmini.embedder import Embedder
from clipmini.image import ImageError
from clipmini.tasks import classify as zeroshot
from clipmini.tasks.classify import LabelTooLongError, build_classifier, classify
from clipmini.tasks.evaluate import compare, evaluate
from clipmini.tasks.metrics import table, wilson
from clipmini.tasks.prompts import EVERYDAY_WORDS, PromptError
from clipmini.tokenizer import TokenLimitError

LABELS = ["red circle", "cat", "dog", "apple"]


@pytest.fixture(scope="module")
def embedder():
    return tiny_embedder()


class Fake:
    """An embedder whose space is two-dimensional and written down by hand."""

    def __init__(self, texts: dict, images=None):
        self.texts, self.images, self.logit_scale, self.logit_bias, self.calls = texts, images, 10.0, None, 0
        self.model = torch.nn.Linear(1, 1)
        self.tokenizer = type("T", (), {"context_length": 99, "encode": staticmethod(lambda text: list(text))})()
        self.config = type("C", (), {"embed_dim": 2})()

    def embed_texts(self, texts):
        return F.normalize(torch.tensor([self.texts[t] for t in texts]), dim=-1)

    def embed_images(self, images):
        self.calls += len(images)
        if self.images is None:  # the picture's colour is its feature
            return F.normalize(torch.tensor([[i.getpixel((0, 0))[0] + 1.0, i.getpixel((0, 0))[2] + 1.0] for i in images]), dim=-1)
        return F.normalize(torch.tensor(self.images), dim=-1)


def test_classifier_normalises_averages_and_normalises():
    fake = Fake({"a x": [2.0, 0.0], "the x": [0.0, 5.0], "a y": [3.0, 0.0], "the y": [1.0, 0.0]})
    got = build_classifier(fake, ["x", "y"], ["a {}", "the {}"])
    half = 0.5 ** 0.5  # the two prompts of x count alike, however long their features were
    torch.testing.assert_close(got, torch.tensor([[half, half], [1.0, 0.0]]))


def test_classifier_of_a_model_against_the_plain_formula(embedder):
    templates = ("{}", "a drawing of a {}")
    got = build_classifier(embedder, LABELS, templates)
    for label, row in zip(LABELS, got, strict=True):
        mean = torch.stack([embedder.embed_texts([t.replace("{}", label)])[0] for t in templates]).mean(0)
        torch.testing.assert_close(row, mean / mean.norm(), atol=1e-5, rtol=0)


def test_classifier_is_kept_until_the_weights_change():
    embedder = tiny_embedder(seed=3)
    calls = []

    def counted(texts, embed=embedder.embed_texts):
        calls.append(len(texts))
        return embed(texts)

    embedder.embed_texts = counted
    first = build_classifier(embedder, LABELS, "emoji")
    first.zero_()  # the caller's copy is the caller's
    again = build_classifier(embedder, LABELS, "emoji")
    assert len(calls) == 1 and again.norm() > 1
    build_classifier(embedder, LABELS, "plain")
    assert len(calls) == 2
    for p in embedder.model.parameters():
        p.requires_grad_(True)
    optimizer = torch.optim.AdamW(embedder.model.parameters(), lr=0.1, fused=True)
    embedder.model(embedder.pixels([two_colours()]), embedder.tokenizer(["a cat"])).sum().backward()
    optimizer.step()
    trained = build_classifier(embedder, LABELS, "emoji")
    assert len(calls) == 3 and not torch.equal(trained, again)
    gone = weakref.ref(embedder)
    del embedder, counted, optimizer
    gc.collect()
    assert gone() is None  # the cache does not keep a model alive


def test_classify_shows_cosine_logit_and_probability(embedder):
    pictures = [two_colours(), Image.new("RGB", (30, 30), "green")]
    p = classify(embedder, pictures, "red circle, cat, dog", "emoji")
    cosines = embedder.embed_images(pictures) @ build_classifier(embedder, p.labels, "emoji").t()
    torch.testing.assert_close(p.cosines, cosines)
    torch.testing.assert_close(p.logits, embedder.logit_scale * cosines)
    torch.testing.assert_close(p.probabilities, p.logits.softmax(1))
    assert p.probabilities.shape == (2, 3) and p.none is None and not p.notes
    assert p.prompts[1][:2] == ("cat", "an emoji of a cat") and set(p.seconds) == {"pictures", "texts"}
    flat = classify(embedder, pictures, "red circle, cat, dog", logit_scale=0)
    torch.testing.assert_close(flat.probabilities, torch.full((2, 3), 1 / 3))


def test_order_of_labels_does_not_matter(embedder):
    a = classify(embedder, [two_colours()], LABELS)
    b = classify(embedder, [two_colours()], LABELS[::-1])
    torch.testing.assert_close(a.probabilities, b.probabilities.flip(1))


def test_none_of_these_takes_the_everyday_words_share():
    texts = {word: [0.0, 1.0] for word in EVERYDAY_WORDS} | {"cat": [1.0, 0.0], "sofa": [1.0, 0.2]}
    fake = Fake(texts, images=[[1.0, 0.0], [0.0, 1.0]])
    p = classify(fake, ["x", "y"], "cat, sofa", none_of_these=True)
    torch.testing.assert_close(p.probabilities.sum(1) + p.none, torch.ones(2))
    assert p.none[0] < 0.05 and p.none[1] > 0.95
    words = len(EVERYDAY_WORDS) - 1  # without "cat" itself
    first = torch.tensor([10.0, 10 / 1.04 ** 0.5] + [0.0] * words).softmax(0)
    torch.testing.assert_close(p.none[0], first[2:].sum())


def test_none_of_these_leaves_out_words_near_a_label():
    texts = {word: [-1.0, 0.1] for word in EVERYDAY_WORDS} | {"kitten": [1.0, 0.0], "mouse": [1.0, 0.05]}
    texts["cat"] = [1.0, 0.01]
    fake = Fake(texts)
    others = zeroshot._other_words(fake, ("kitten",), build_classifier(fake, ["kitten"], "plain"), "plain")
    assert len(others) == len(EVERYDAY_WORDS) - 2


def test_notes(embedder):
    def notes(labels, **options):
        return " | ".join(str(n) for n in classify(embedder, [two_colours()], labels, **options).notes)

    assert "one label always gets 100 %" in notes("cat")
    assert "one label" not in notes("cat", none_of_these=True)
    assert "merged 1 repeated" in notes("cat, CAT, dog")
    assert "hardly ever had the letters of: 猫, собака." in notes("猫, собака, cat, café")
    assert notes("cat, dog") == ""


def test_too_long_a_label_is_named(embedder):
    long = "zx " * 60
    with pytest.raises(LabelTooLongError) as error:
        classify(embedder, [two_colours()], ["cat", long], "emoji")
    assert isinstance(error.value, TokenLimitError) and isinstance(error.value, PromptError)
    assert "the label 'zx zx" in str(error.value) and "the context is 96 tokens (not characters)" in str(error.value)


@pytest.mark.parametrize("scale", [-1, float("nan"), float("inf")])
def test_a_scale_that_is_none(embedder, scale):
    with pytest.raises(ValueError, match="logit_scale is"):
        classify(embedder, [two_colours()], LABELS, logit_scale=scale)


def test_wilson_against_statsmodels_values():
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.16113), abs=1e-4)
    assert wilson(0.9, 100) == pytest.approx((0.82563, 0.94477), abs=1e-4)


def colours(rows, names=("red", "blue")):
    """A pairs dataset of plain pictures: rows of (colour or bytes, class)."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "captions": datasets.Sequence(datasets.Value("string")),
                                  "label": datasets.ClassLabel(names=list(names))})
    pictures = [c if isinstance(c, bytes) else encoded(Image.new("RGB", (8, 8), c)) for c, _ in rows]
    return datasets.Dataset.from_dict({"image": [{"bytes": p, "path": None} for p in pictures],
                                       "captions": [[names[k]] for _, k in rows], "label": [k for _, k in rows]}, features)


def colour_fake():
    return Fake({"red": [1.0, 0.0], "blue": [0.0, 1.0], "a red": [1.0, 0.1], "a blue": [1.0, 0.0], "green": [-1.0, -1.0]})


def test_evaluate_by_hand():
    # Four red pictures of which one is labelled blue, one blue: 4 of 5 right; recall red 3/3, blue 1/2.
    data = colours([("red", 0), ("red", 0), ("red", 0), ("red", 1), ("blue", 1)])
    r = evaluate(colour_fake(), data, batch_size=2)
    assert (r.n, r.K, r.top1, r.top5) == (5, 2, pytest.approx(0.8), 1.0)
    assert r.mean_per_class_recall == pytest.approx(0.75)
    assert r.intervals["top1"] == pytest.approx(wilson(0.8, 5))
    assert r.intervals["mean_per_class_recall"] == pytest.approx(wilson(0.75, 4 / (1 / 3 + 1 / 2)))
    confidence = torch.tensor([256.0, 1.0]) / torch.tensor([256.0, 1.0]).norm()
    assert r.confidence == pytest.approx((10 * confidence).softmax(0)[0].item(), abs=1e-5)
    assert "80.0%" in str(r) and "5 pictures, 2 classes" in str(r) and "mean per class recall" in str(r)


def test_other_names_for_the_classes_and_fewer_candidates():
    data = colours([("red", 0), ("blue", 2)], names=("rot", "gruen", "blau"))
    fake = colour_fake()
    r = evaluate(fake, data, labels=["red", "green", "blue"])
    assert (r.K, r.top1) == (3, 1.0)
    r = evaluate(fake, data, labels=["red", "green", "blue"], candidates=["blau", "rot"], topk=(1, 3))
    assert (r.K, r.top1, r.top[3]) == (2, 1.0, 1.0)
    with pytest.raises(ValueError, match="row 1 is of class 'blau'"):
        evaluate(fake, data, labels=["red", "green", "blue"], candidates=["rot"])
    with pytest.raises(ValueError, match="unknown: lila"):
        evaluate(fake, data, candidates=["lila"])
    with pytest.raises(ValueError, match="2 labels for 3 classes"):
        evaluate(fake, data, labels=["red", "blue"])


def test_compare_embeds_the_pictures_once():
    fake = colour_fake()
    reports = compare(fake, colours([("red", 0), ("blue", 1)]), {"one": "plain", "bad": ["a {}"]})
    assert fake.calls == 2 and reports["one"].top1 == 1.0 and reports["bad"].top1 == 0.0
    lines = table(reports.values()).splitlines()
    assert lines[2].startswith("one ") and lines[3].startswith("bad ") and lines[-1] == "bad: a {}"


def test_a_broken_picture_names_its_row():
    data = colours([("red", 0), ("red", 0), (encoded(two_colours())[:60], 1), ("blue", 1)])
    with pytest.raises(ImageError, match="row 2 of the dataset: .*damaged or cut short"):
        evaluate(colour_fake(), data, batch_size=2)
    unlabelled = colours([("red", 0)]).remove_columns("label")
    with pytest.raises(ValueError, match="ClassLabel"):
        evaluate(colour_fake(), unlabelled)


def test_evaluate_a_real_embedder(embedder):
    r = evaluate(embedder, colours([("red", 0), ("blue", 1)] * 3), "emoji")
    assert r.n == 6 and 0 <= r.top1 <= 1 and r.top5 == 1.0


def test_models_of_the_sigmoid_loss_judge_each_label_by_itself(make_clip, tokenizer):
    from test_embedder import picture

    softmax = Embedder(make_clip("light-cbow", seed=1), tokenizer)
    sigmoid = Embedder(make_clip("light-cbow", seed=1, sigmoid=True), tokenizer)
    assert classify(softmax, [picture(20, 20)], ["cat", "apple"]).alone is None and softmax.logit_bias is None
    found = classify(sigmoid, [picture(20, 20)] * 2, ["cat", "apple", "moon"], none_of_these=True)
    assert sigmoid.logit_bias == -10.0 and found.alone.shape == (2, 3)
    torch.testing.assert_close(found.alone, torch.sigmoid(found.logits - 10.0))
    fewer = classify(sigmoid, [picture(20, 20)], ["cat"])
    torch.testing.assert_close(fewer.alone[0, 0], found.alone[0, 0], rtol=0, atol=1e-6)  # whatever the other labels are
