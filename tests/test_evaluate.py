"""Zero-shot accuracy and word order on pairs datasets, by hand; of order blind models get exactly one half."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from clipmini.embedder import Embedder
from clipmini.image import ImageError
from clipmini.tasks.evaluate import compare, evaluate, order_accuracy, zero_shot_score
from clipmini.tasks.metrics import table, wilson
from helpers_app import encoded, tiny_embedder, two_colours
from test_classify import Fake


def colours(rows, names=("red", "blue")):
    """A pairs dataset of plain pictures: rows of (colour or bytes, class)."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "captions": datasets.Sequence(datasets.Value("string")),
                                  "label": datasets.ClassLabel(names=list(names))})
    pictures = [c if c is None or isinstance(c, bytes) else encoded(Image.new("RGB", (8, 8), c)) for c, _ in rows]
    columns = {"image": [p if p is None else {"bytes": p, "path": None} for p in pictures],
               "captions": [[names[k or 0]] for _, k in rows], "label": [k for _, k in rows]}
    return datasets.Dataset.from_dict(columns, features)


def colour_fake():
    return Fake({"red": [1.0, 0.0], "blue": [0.0, 1.0], "a red": [1.0, 0.1], "a blue": [1.0, 0.0],
                 "green": [-1.0, -1.0]})


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


def test_bad_rows_are_left_out_counted_and_named_where_it_is_asked_for():
    good = [("red", 0), ("blue", 1), ("red", 0)]
    cut = encoded(two_colours())[:60]
    data = colours([good[0], (cut, 1), good[1], (None, 0), ("blue", None), (b"", 0), good[2]])
    r = evaluate(colour_fake(), data, batch_size=2, strict=False)
    assert (r.n, r.top1) == (3, evaluate(colour_fake(), colours(good)).top1)
    assert list(r.left_out) == [1, 3, 4, 5] and "row 1 of the dataset: " in r.left_out[1]
    assert "no picture" in r.left_out[3] and "no class" in r.left_out[4] and "no picture" in r.left_out[5]
    with pytest.raises(ImageError, match="none of the 2 rows can be used; row 0 of the dataset: "):
        evaluate(colour_fake(), colours([(cut, 0), (cut, 1)]), strict=False)


def test_broken_metadata_ends_no_evaluation():
    broken = encoded(two_colours(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    assert evaluate(colour_fake(), colours([("red", 0), (broken, 0)])).n == 2


def test_evaluate_a_real_embedder():
    r = evaluate(tiny_embedder(), colours([("red", 0), ("blue", 1)] * 3), "emoji")
    assert r.n == 6 and 0 <= r.top1 <= 1 and r.top5 == 1.0


# ---------------------------------------------------------------- word order


def scenes(n: int = 10):
    """Scene i is a plain picture of level i; its captions say i left of i+1, the false ones say it the other way
    round."""
    import datasets

    words = {
        "captions": [[f"cat {i} left of dog", "something else"] for i in range(n)],
        "relation_negatives": [[f"dog left of cat {i}"] if i != 3 else [] for i in range(n)],
        "binding_negatives": [[f"dog {i} left of cat"] if i != 3 else [] for i in range(n)],
    }
    kinds = {"image": datasets.Image(), **{name: datasets.List(datasets.Value("string")) for name in words}}
    pictures = [Image.new("RGB", (16, 16), (i, i, i)) for i in range(n)]
    return datasets.Dataset.from_dict({"image": pictures, **words}, features=datasets.Features(kinds))


def shares(found: dict) -> dict:
    """What order_accuracy says, without its intervals."""
    return {name: found[name] for name in ("relation", "binding", "n")}


class Reader:
    """Knows every picture by its level; right(text): how near a text is to the picture whose number it names."""

    def __init__(self, right):
        self.right = right

    def embed_images(self, images):
        return F.one_hot(torch.tensor([image.getpixel((0, 0))[0] for image in images]), 16).float()

    def embed_texts(self, texts):
        numbers = torch.tensor([int("".join(filter(str.isdigit, text))) for text in texts])
        return F.one_hot(numbers, 16) * torch.tensor([self.right(text) for text in texts])[:, None]


@pytest.mark.parametrize("right, relation, binding", [
    (lambda text: 1.0 if text.startswith("cat") else 0.2, 1.0, 1.0),
    (lambda text: 0.2 if text.startswith("cat") else 1.0, 0.0, 0.0),
    (lambda text: 0.7, 0.5, 0.5),
    (lambda text: 0.5 if "dog left" in text else 0.9 if text.startswith("dog") else 0.7, 1.0, 0.0),
    (lambda text: 1.0 if text.startswith("cat") and int(text.split()[1]) < 6 else 0.5, 5 / 9 + 4 / 18, 5 / 9 + 4 / 18),
])
@pytest.mark.parametrize("batch_size", [256, 3])
def test_fake_embedders(right, relation, binding, batch_size):
    found = order_accuracy(Reader(right), scenes(), batch_size)
    assert shares(found) == {"relation": pytest.approx(relation), "binding": pytest.approx(binding), "n": 9}
    for kind, share in (("relation", relation), ("binding", binding)):
        assert (found[f"{kind}_low"], found[f"{kind}_high"]) == pytest.approx(wilson(share, 9))
    known = Reader(right).embed_images(scenes()["image"])
    assert order_accuracy(Reader(right), scenes(), batch_size, known) == found


def test_a_bag_of_words_scores_exactly_one_half(make_clip, tokenizer):
    found = order_accuracy(Embedder(make_clip("light-cbow"), tokenizer), scenes())
    assert shares(found) == {"relation": 0.5, "binding": 0.5, "n": 9}
    reads = order_accuracy(Embedder(make_clip("light-transformer"), tokenizer), scenes())
    assert reads["relation"] != 0.5 or reads["binding"] != 0.5


def test_data_without_false_captions_is_refused():
    data = scenes(4)
    with pytest.raises(ValueError, match="no column 'binding_negatives'.*objects=2"):
        order_accuracy(Reader(lambda text: 1.0), data.remove_columns("binding_negatives"))
    with pytest.raises(ValueError, match="use scenes with two objects"):
        order_accuracy(Reader(lambda text: 1.0), data.select([3]))


def test_a_row_without_both_kinds_of_false_captions_is_left_out():
    import datasets

    rows = list(scenes(4))
    rows[0]["binding_negatives"], rows[1]["relation_negatives"] = [], []
    data = datasets.Dataset.from_list(rows, features=scenes(1).features)
    found = order_accuracy(Reader(lambda text: 1.0 if text.startswith("cat") else 0.2), data)
    assert shares(found) == {"relation": 1.0, "binding": 1.0, "n": 1}


# ---------------------------------------------------------------- while training


def test_the_validation_score_is_top_1_among_all_names(make_clip, tokenizer):
    model, names = make_clip("light-cbow", seed=1).eval(), ["red cat", "blue square", "apple"]
    embedder = Embedder(model, tokenizer)
    pictures = [Image.new("RGB", (20, 20), c) for c in ("red", "blue", "white", "green", "black", "yellow", "grey")]
    nearest = (embedder.embed_images(pictures) @ embedder.embed_texts(names).t()).argmax(1)
    labels = torch.cat([nearest[:4], (nearest[4:] + 1) % 3])  # the first four are right
    found = zero_shot_score(model, tokenizer, embedder.pixels(pictures), labels, names, batch=2)
    assert found == pytest.approx(4 / 7)
