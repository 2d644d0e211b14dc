"""Every number by hand."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipmini.tasks.metrics import (
    Report,
    accuracy,
    columns,
    mean_per_class_recall,
    recall_at_k,
    record,
    reliability,
    table,
    top1_correct,
    top_k_accuracy,
    wilson,
)
from clipmini.tasks.retrieval import retrieval


def test_wilson_against_statsmodels_values():
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.16113), abs=1e-4)
    assert wilson(0.9, 100) == pytest.approx((0.82563, 0.94477), abs=1e-4)


def test_top_1_and_top_k_by_hand():
    scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    targets = torch.tensor([1, 1, 0, 0])
    correct = top1_correct(scores, targets)
    assert correct.tolist() == [True, False, False, True] and accuracy(correct) == 0.5
    ranking = scores.argsort(dim=1, descending=True)
    assert top_k_accuracy(ranking, targets, ks=(1, 2, 3)) == {1: 0.5, 2: 0.75, 3: 1.0}
    assert top_k_accuracy(ranking, targets)[5] == 1.0  # of three classes all are among the first five


def test_mean_per_class_recall_by_hand():
    """Class 0: 3 of 4 right, class 2: 1 of 2; class 1 has no rows and does not count, nor does class 3."""
    targets = torch.tensor([0, 0, 0, 0, 2, 2])
    correct = torch.tensor([True, True, True, False, True, False])
    recall, interval = mean_per_class_recall(correct, targets)
    assert recall == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert interval == pytest.approx(wilson(0.625, 4 / (1 / 4 + 1 / 2)))
    even = mean_per_class_recall(correct[1:5], torch.tensor([0, 0, 1, 1]))
    assert even == (0.75, pytest.approx(wilson(0.75, 4)))  # classes of one size: as many trials as rows


def test_a_report_as_a_record():
    intervals = {"top1": (0.4, 0.6), "top5": (0.8, 0.95), "mean_per_class_recall": (0.3, 0.7)}
    found = record(Report("x", 100, 7, {1: 0.5, 5: 0.9}, 0.45, intervals, 0.8, ("{}",)))
    assert found == {"n": 100, "classes": 7, "top1": 0.5, "top5": 0.9, "top1_low": 0.4, "top1_high": 0.6,
                     "mean_per_class_recall": 0.45}
    assert json.loads(json.dumps(found)) == found


def test_a_table_by_hand():
    intervals = {"top1": (0.4, 0.6), "mean_per_class_recall": (0.3, 0.7)}
    lines = table([Report("x", 1000, 8, {1: 0.5}, 0.45, intervals, 0.8, ("{}", "a {}"))]).splitlines()
    assert lines[0] == "1,000 pictures, 8 classes (chance 12.50%); 95 % intervals in brackets"
    assert lines[2].split() == ["x", "50.0%", "[40.0%,", "60.0%]", "45.0%", "[30.0%,", "70.0%]", "80.0%"]
    assert lines[3] == "x: {} | a {}"


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=40)


TABLES = st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=6))


@given(TABLES, st.data())
def test_columns_stay_apart_whatever_is_in_them(rows, data):
    right = set(data.draw(st.lists(st.integers(0, len(rows[0]) - 1))))
    lines = columns(rows, right)
    assert [line.split() for line in lines] == [[cell for cell in row] for row in rows]
    assert all("  " in line for line in lines if len(rows[0]) > 1)


def test_columns_by_hand():
    rows = [["a", "1"], ["火箭", "22"], ["e\u0301e", "3"]]
    assert columns(rows, right={1}) == ["a      1", "火箭  22", "e\u0301e     3"]


def test_rows_left_out_are_told_with_the_numbers():
    intervals = {"top1": (0.4, 0.6), "mean_per_class_recall": (0.3, 0.7)}
    left = {7: "row 7 is cut"}
    found = Report("x", 1000, 8, {1: 0.5, 5: 0.6}, 0.45, intervals | {"top5": (0.5, 0.7)}, 0.8, ("{}",), left)
    assert str(found).startswith("1,000 pictures (1 left out), 8 classes") and record(found)["left_out"] == left


def test_recall_by_hand():
    images = torch.eye(3)
    texts = torch.tensor([[1.0, 0, 0], [0, 0.6, 0.8], [0, 0.8, 0.6], [0, 0, 1.0]])
    owners = torch.tensor([0, 1, 1, 2])
    found = retrieval(images, texts, owners, ks=(1, 2))
    assert found["t->i"] == {1: 0.75, 2: 1.0}  # the second caption is nearer to picture 2 than to its own
    assert found["i->t"] == {1: 1.0, 2: 1.0}
    assert found["t->i interval"] == {k: wilson(share, 4) for k, share in found["t->i"].items()}  # four captions ask
    assert found["i->t interval"] == {k: wilson(1.0, 3) for k in (1, 2)}
    with pytest.raises(ValueError, match="query 1 has no relevant item"):
        recall_at_k(images[:2], texts, torch.tensor([[True, False, False, False], [False] * 4]))


def test_reliability_by_hand():
    confidence = torch.tensor([0.95, 0.85, 0.55, 0.65, 1.0])
    curve = reliability(confidence, torch.tensor([True, False, True, False, True]), bins=2)
    assert curve.count == (5,) and curve.ece == pytest.approx(abs(confidence.double().mean().item() - 0.6))
    assert reliability(torch.tensor([1.0, 0.0]), torch.tensor([True, False])).ece == 0
    with pytest.raises(ValueError, match="no answers"):
        reliability(torch.empty(0), torch.empty(0, dtype=torch.bool))
