"""The classifier made of words: oracles by hand and invariants."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import clipmini
from clipmini.embedder import Embedder
from clipmini.tasks.classify import Classifier, LabelTooLongError, build_classifier, classify, make_classifier
from clipmini.tasks.prompts import EVERYDAY_WORDS, TEMPLATES, PromptError
from clipmini.tokenizer import TokenLimitError
from helpers_app import tiny_embedder, two_colours

LABELS = ["red circle", "cat", "dog", "apple"]


@pytest.fixture(scope="module")
def embedder():
    return tiny_embedder()


class Fake:
    """An embedder whose space is two-dimensional and written down by hand."""

    def __init__(self, texts: dict, images=None):
        self.texts, self.images, self.logit_scale, self.logit_bias, self.calls = texts, images, 10.0, None, 0
        self.prompts = []
        self.tokenizer = type("T", (), {"context_length": 99, "encode": staticmethod(lambda text: list(text))})()
        self.config = type("C", (), {"embed_dim": 2})()

    def embed_texts(self, texts):
        self.prompts += texts
        return F.normalize(torch.tensor([self.texts[t] for t in texts]), dim=-1)

    def embed_images(self, images):
        self.calls += len(images)
        if self.images is None:  # the picture's colour is its feature
            first = [image.getpixel((0, 0)) for image in images]
            return F.normalize(torch.tensor([[red + 1.0, blue + 1.0] for red, _, blue in first]), dim=-1)
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


def test_nothing_is_kept_between_calls():
    """Weights that were trained on give other vectors at once, whoever has asked before."""
    embedder = tiny_embedder(seed=3)
    first = build_classifier(embedder, LABELS, "emoji")
    assert torch.equal(first, build_classifier(embedder, LABELS, "emoji"))
    for p in embedder.model.parameters():
        p.requires_grad_(True)
    optimizer = torch.optim.AdamW(embedder.model.parameters(), lr=0.1, fused=True)
    embedder.model(embedder.pixels([two_colours()]), embedder.tokenizer(["a cat"])).sum().backward()
    optimizer.step()
    assert not torch.equal(build_classifier(embedder, LABELS, "emoji"), first)


@pytest.mark.parametrize("labels, templates, none", [
    ("red circle, cat, CAT", "emoji", False), ("cat", ("a {}",), False), ("red circle, 猫", "plain", True)])
def test_a_classifier_made_before_answers_as_its_labels_do(embedder, labels, templates, none):
    made = make_classifier(embedder, labels, templates, none)
    pictures = [two_colours()] * 2
    a, b = classify(embedder, pictures, labels, templates, none), classify(embedder, pictures, made)
    for name in ("cosines", "logits", "probabilities"):
        assert torch.equal(getattr(a, name), getattr(b, name))
    assert (a.none is None) == (b.none is None) == (made.others is None) == (not none)
    assert not none or torch.equal(a.none, b.none)
    assert (a.labels, a.prompts, a.notes) == (b.labels, b.prompts, b.notes) == (made.labels, made.prompts, made.notes)
    assert torch.equal(made.texts, build_classifier(embedder, made.labels, templates)) and made.seconds > 0
    assert len(made.prompts[0]) == len(made.templates)


def test_a_classifier_made_before_needs_no_text_tower():
    texts = {word: [0.0, 1.0] for word in EVERYDAY_WORDS} | {"cat": [1.0, 0.0], "sofa": [1.0, 0.2]}
    fake = Fake(texts, images=[[1.0, 0.0]])
    made = make_classifier(fake, "cat, sofa", none_of_these=True)
    assert len(fake.prompts) == 2 + len(EVERYDAY_WORDS)
    for scale in (1.0, 10.0):
        classify(fake, ["x"], made, logit_scale=scale)
    assert len(fake.prompts) == 2 + len(EVERYDAY_WORDS)
    words = build_classifier(fake, EVERYDAY_WORDS, "plain")
    fake.prompts.clear()
    again = make_classifier(fake, "cat, sofa", none_of_these=True, everyday=words)
    assert fake.prompts == ["cat", "sofa"] and torch.equal(again.others, made.others)


def test_a_classifier_is_not_contradicted_in_silence(embedder):
    made = make_classifier(embedder, LABELS, "emoji")
    assert isinstance(made, Classifier)
    for options in ({"templates": "photo"}, {"none_of_these": True}):
        with pytest.raises(ValueError, match="brings its templates .* along; give them to make_classifier"):
            classify(embedder, [two_colours()], made, **options)


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
    others = make_classifier(Fake(texts), ["kitten"], none_of_these=True).others
    assert len(others) == len(EVERYDAY_WORDS) - 2


def test_none_of_these_where_every_word_is_near_a_label():
    fake = Fake({word: [1.0, 0.0] for word in EVERYDAY_WORDS} | {word: [0.0, 1.0] for word in EVERYDAY_WORDS[:80]}
                | {"x": [1.0, 0.0], "y": [0.0, 1.0]}, images=[[1.0, 0.0]])
    p = classify(fake, ["x"], "x, y", none_of_these=True)
    assert p.none.tolist() == [0.0] and "has nothing to win with" in str(p.notes[0])
    torch.testing.assert_close(p.probabilities.sum(1), torch.ones(1))


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


def test_a_long_label_has_the_templates_that_leave_it_room():
    """The flags of England and Scotland have 30 tokens of the 32 of the embedded model."""
    model = clipmini.load("emoji", device="cpu")
    flags = ["\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in code) + "\U000e007f" for code in ("gbeng", "gbsct")]
    labels, fitting = (flags[0], "cat", flags[1]), ("{}", "a {} emoji")
    found = classify(model, [two_colours()], labels, "emoji")
    assert found.labels == labels
    assert found.prompts[::2] == tuple(tuple(t.replace("{}", flag) for t in fitting) for flag in flags)
    assert len(found.prompts[1]) == len(TEMPLATES["emoji"])
    note, = [str(n) for n in found.notes if n.kind == "fewer_templates"]
    assert "context of 32 tokens" in note and flags[0] in note and "cat" not in note
    alone = torch.cat([build_classifier(model, [label], "emoji" if label == "cat" else fitting) for label in labels])
    torch.testing.assert_close(found.cosines, model.embed_images([two_colours()]) @ alone.t(), rtol=0, atol=1e-6)
    with pytest.raises(LabelTooLongError, match="36 tokens|35 tokens"):
        classify(model, [two_colours()], flags, ["a small picture of a {}"])


@pytest.mark.parametrize("scale", [-1, float("nan"), float("inf")])
def test_a_scale_that_is_none(embedder, scale):
    with pytest.raises(ValueError, match="logit_scale is"):
        classify(embedder, [two_colours()], LABELS, logit_scale=scale)


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


def test_labels_with_an_article_get_one_in_each_prompt_and_a_note(embedder):
    templates = ["{}", "an emoji of a {}"]
    made = make_classifier(embedder, "a cat, dog", templates, none_of_these=True)
    assert made.prompts == (("a cat", "an emoji of a cat"), ("dog", "an emoji of a dog"))
    torch.testing.assert_close(made.texts[0], F.normalize(embedder.embed_texts(made.prompts[0]).mean(0), dim=-1),
                               rtol=0, atol=1e-6)
    assert [str(note) for note in made.notes] == [
        "these labels bring an article of their own, so each prompt has one article, not two: a cat"]
    plain = make_classifier(embedder, "cat, dog", templates)
    assert plain.notes == () and torch.equal(plain.texts, build_classifier(embedder, ["cat", "dog"], templates))
    both = build_classifier(embedder, ["a cat"], templates)  # what was published is as it was
    assert torch.equal(both, build_classifier(embedder, ["a cat"], ["{}", "an emoji of a {}"]))
    assert not torch.allclose(both[0], made.texts[0])


def test_who_competes_is_named_and_the_pictures_vectors_are_given(embedder):
    made = make_classifier(embedder, "cat, red circle", ["{}"], none_of_these=True)
    words = dict(zip(EVERYDAY_WORDS, build_classifier(embedder, EVERYDAY_WORDS, ["{}"]), strict=True))
    assert "cat" not in made.rivals and len(made.rivals) == len(made.others)
    assert all(torch.equal(words[name], row) for name, row in zip(made.rivals, made.others, strict=True))
    assert make_classifier(embedder, "cat, red circle", ["{}"]).rivals == ()
    found = classify(embedder, [two_colours()], made)
    torch.testing.assert_close(found.vectors @ made.texts.t(), found.cosines, rtol=0, atol=1e-6)
