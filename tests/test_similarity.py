"""The matrix: cosines, softmax along the right side, and a table that a spreadsheet may open."""

import csv
import io

import pytest
import torch
from PIL import Image

from clipmini.embedder import Embedder
from clipmini.image import ImageError
from clipmini.plots import MOST_NUMBERS, matrix
from clipmini.tasks.prompts import PromptError
from clipmini.tasks.similarity import Matrix, MatrixError, similarity
from test_embedder import picture

TEXTS = ["red cat", "blue square"]


@pytest.fixture(scope="module")
def embedder(make_clip, tokenizer):
    return Embedder(make_clip("light-cbow", seed=4), tokenizer)


def test_cells_are_cosines_and_both_softmaxes(embedder):
    images = [picture(30, 30, seed=i) for i in range(3)]
    found = similarity(embedder, images, TEXTS, ["a", "b", "c"])
    expected = embedder.embed_images(images) @ embedder.embed_texts(TEXTS).t()
    torch.testing.assert_close(found.cosines, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.over_texts, (embedder.logit_scale * expected).softmax(1))
    torch.testing.assert_close(found.over_pictures.sum(0), torch.ones(2))
    assert found.values("cosine") is found.cosines and found.texts == tuple(TEXTS) and found.names == ("a", "b", "c")
    rows = list(csv.reader(io.StringIO(found.as_csv())))
    assert len(rows) == 7 and rows[4][:2] == ["b", "blue square"]
    numbers = [x[1, 1].item() for x in (expected, found.over_texts, found.over_pictures)]
    assert [float(x) for x in rows[4][2:]] == pytest.approx(numbers, abs=1e-6)


def test_a_name_is_no_formula():
    found = Matrix(("=cmd()", "@x"), ("+1", "fine, with a comma"), torch.zeros(2, 2), 10.0)
    rows = list(csv.reader(io.StringIO(found.as_csv())))
    assert rows[1][:2] == ["'=cmd()", "'+1"] and rows[4][:2] == ["'@x", "fine, with a comma"]


def test_bad_input_is_told(embedder, monkeypatch):
    with pytest.raises(MatrixError, match="0 pictures; give 1 to 200"):
        similarity(embedder, [], TEXTS)
    with pytest.raises(MatrixError, match="201 pictures"):
        similarity(embedder, [picture(5, 5)] * 201, TEXTS)
    with pytest.raises(MatrixError, match="1 names for 2 pictures"):
        similarity(embedder, [picture(5, 5)] * 2, TEXTS, ["a"])
    with pytest.raises(PromptError, match="no labels"):
        similarity(embedder, [picture(5, 5)], "")
    with pytest.raises(ImageError):
        similarity(embedder, [b"no picture"], TEXTS)
    monkeypatch.setattr(embedder, "embed_images", lambda images: torch.full((len(images), 32), float("nan")))
    with pytest.raises(MatrixError, match="NaN or infinite"):
        similarity(embedder, [picture(5, 5)], TEXTS)


@pytest.mark.parametrize("kind, numbers, framed", [
    ("cosine", ["0.90", "0.60", "0.30", "0.50"], [(0, 0), (1, 1)]),
    ("over texts", ["95%", "5%", "12%", "88%"], [(0, 0), (1, 1)]),
    ("over pictures", ["100%", "73%", "0%", "27%"], [(0, 0), (1, 0)])])
def test_the_figure_has_numbers_and_frames(kind, numbers, framed):
    found = Matrix(("a", "b"), ("x", "y"), torch.tensor([[0.9, 0.6], [0.3, 0.5]]), 10.0)
    ax = matrix(found, [Image.new("RGB", (9, 5), "red")] * 2, kind).axes[0]
    assert [t.get_text() for t in ax.texts if t.get_text()] == [*numbers, "a", "b"]
    assert [(round(p.get_x() + 0.5), round(p.get_y() + 0.5)) for p in ax.patches] == framed
    assert [t.get_text() for t in ax.get_xticklabels()] == ["x", "y"]


def test_a_large_matrix_has_no_numbers(tmp_path):
    n = MOST_NUMBERS + 1
    found = Matrix(tuple("p" * n), tuple(f"text {i}" for i in range(n)), torch.eye(n), 10.0)
    figure = matrix(found, [Image.new("RGB", (9, 5), "red")] * n)
    assert not [t for t in figure.axes[0].texts if t.get_text()]
    figure.savefig(tmp_path / "m.png")
