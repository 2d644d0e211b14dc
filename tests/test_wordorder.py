"""Word order: blind models score exactly one half, perfect ones everything."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from clipmini.embedder import Embedder
from clipmini.tasks.evaluate import order_accuracy


def scenes(n: int = 10):
    """Scene i is a plain picture of level i; its captions say i left of i+1, the false ones say it the other way round."""
    import datasets

    return datasets.Dataset.from_dict({
        "image": [Image.new("RGB", (16, 16), (i, i, i)) for i in range(n)],
        "captions": [[f"cat {i} left of dog", "something else"] for i in range(n)],
        "relation_negatives": [[f"dog left of cat {i}"] if i != 3 else [] for i in range(n)],
        "binding_negatives": [[f"dog {i} left of cat"] if i != 3 else [] for i in range(n)],
    }, features=datasets.Features({"image": datasets.Image(), **{name: datasets.List(datasets.Value("string")) for name in
                                                                ("captions", "relation_negatives", "binding_negatives")}}))


class Fake:
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
    found = order_accuracy(Fake(right), scenes(), batch_size)
    assert found == {"relation": pytest.approx(relation), "binding": pytest.approx(binding), "n": 9}


def test_a_bag_of_words_scores_exactly_one_half(make_clip, tokenizer):
    found = order_accuracy(Embedder(make_clip("light-cbow"), tokenizer), scenes())
    assert found == {"relation": 0.5, "binding": 0.5, "n": 9}
    reads = order_accuracy(Embedder(make_clip("light-transformer"), tokenizer), scenes())
    assert reads["relation"] != 0.5 or reads["binding"] != 0.5


def test_data_without_false_captions_is_refused():
    data = scenes(4)
    with pytest.raises(ValueError, match="no column 'binding_negatives'.*objects=2"):
        order_accuracy(Fake(lambda text: 1.0), data.remove_columns("binding_negatives"))
    with pytest.raises(ValueError, match="use scenes with two objects"):
        order_accuracy(Fake(lambda text: 1.0), data.select([3]))


def test_a_row_without_both_kinds_of_false_captions_is_left_out():
    import datasets

    rows = list(scenes(4))
    rows[0]["binding_negatives"], rows[1]["relation_negatives"] = [], []
    data = datasets.Dataset.from_list(rows, features=scenes(1).features)
    found = order_accuracy(Fake(lambda text: 1.0 if text.startswith("cat") else 0.2), data)
    assert found == {"relation": 1.0, "binding": 1.0, "n": 1}
