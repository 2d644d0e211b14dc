"""Questions of every kind get the answers of the functions behind them, and shared pictures are embedded once."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from clipmini.data.base import Question
from clipmini.embedder import Embedder
from clipmini.tasks.benchmark import Job, run
from clipmini.tasks.evaluate import evaluate, order_accuracy
from clipmini.tasks.heatmap import THRESHOLDS, heatmap, score
from clipmini.tasks.metrics import record, wilson
from clipmini.tasks.questions import ask, recorded, told
from test_benchmark import FromMemory
from test_embedder import picture
from test_evaluate import colour_fake, colours, shares


def both_kinds():
    """A red, a blue and a red picture that is called blue. Captions are the labels; the last row has no false ones."""
    data = colours([("red", 0), ("blue", 1), ("red", 1)])
    return data.add_column("relation_negatives", [["blue"], ["red"], []]).add_column(
        "binding_negatives", [["green"], ["blue"], ["red"]])


def test_questions_are_answered_as_evaluate_and_order_accuracy_do():
    fake, rows, other = colour_fake(), both_kinds(), colours([("blue", 1), ("red", 0)])
    answers = ask(fake, {
        "by name": Question(rows), "by a bad template": Question(rows, ("a {}",)),
        "order": Question(rows, kind="order"),
        "renamed": Question(rows, labels=["red", "green"]), "elsewhere": Question(other, candidates=["blue", "red"])})
    assert fake.calls == 5  # three pictures that four questions share, and two others
    assert list(answers) == ["by name", "by a bad template", "order", "renamed", "elsewhere"]
    assert answers["by name"] == replace(evaluate(fake, rows), name="by name")
    assert answers["by name"].top1 == pytest.approx(2 / 3)
    assert answers["by a bad template"] == replace(evaluate(fake, rows, ("a {}",)), name="by a bad template")
    assert answers["renamed"] == replace(evaluate(fake, rows, labels=["red", "green"]), name="renamed")
    assert answers["elsewhere"] == replace(evaluate(fake, other, candidates=["blue", "red"]), name="elsewhere")
    assert answers["order"] == order_accuracy(fake, rows)
    assert shares(answers["order"]) == {"relation": 1.0, "binding": 0.75, "n": 2}  # "blue" against "blue": half a point
    plain = recorded(answers)
    assert json.loads(json.dumps(plain)) == plain and plain["by name"] == record(answers["by name"])
    assert plain["order"] == answers["order"]


@pytest.mark.parametrize("question, told", [
    (lambda rows: Question(rows, kind="colour"), "'odd' is of kind 'colour'; there are labels, order, where, stream"),
    (lambda rows: Question(rows, candidates=["lila"]), "unknown: lila"),
    (lambda rows: Question(rows.remove_columns("binding_negatives"), kind="order"), "no column 'binding_negatives'")])
def test_questions_are_checked_before_the_work(question, told):
    fake, rows = colour_fake(), both_kinds()
    with pytest.raises(ValueError, match=told):
        ask(fake, {"fine": Question(rows), "odd": question(rows)})
    assert fake.calls == 0


def test_streams_and_places_are_asked_for_too(make_clip, tokenizer, tmp_path):
    embedder = Embedder(make_clip("light-cbow", seed=1), tokenizer, "tiny")
    mask = torch.zeros(224, 224, dtype=torch.bool)
    mask[:112] = True
    things = (SimpleNamespace(name="red cat", mask=mask.numpy()), SimpleNamespace(name="apple", mask=~mask.numpy()))
    rooms = [SimpleNamespace(image=picture(224, 224, seed=i), things=things) for i in range(3)]
    questions = {"where": Question(rooms, "shapes", kind="where"),
                 "stream": Question(FromMemory(), kind="stream")}
    answers = ask(embedder, questions, tmp_path)
    assert list(tmp_path.glob("progress-*"))  # it can be taken up again
    assert answers["stream"] == ask(embedder, questions)["stream"]  # where nothing is kept
    assert answers["stream"] == run(Job(embedder, FromMemory(), "plain", tmp_path), progress=False)
    found = [score(m, torch.from_numpy(t.mask), THRESHOLDS["windows"]) for room in rooms for m, t in
             zip(heatmap(embedder, room.image, ["red cat", "apple"], "windows", "shapes").maps, things, strict=True)]
    where = answers["where"]
    assert (where["n"], where["scenes"], where["method"]) == (6, 3, "windows")
    for name in ("pointing", "on_mask", "iou", "average_precision"):
        assert where[name] == pytest.approx(sum(getattr(s, name) for s in found) / 6)
    assert (where["pointing_low"], where["pointing_high"]) == wilson(where["pointing"], 6)
    said = told(answers).splitlines()
    assert said[0].startswith("where, by windows: brightest on the thing") and "6 things in 3 scenes" in said[0]
    assert said[2].startswith("tiny") and "from memory" in said[2]
    with pytest.raises(ValueError, match="no scenes"):
        ask(embedder, {"where": Question([], kind="where")})


def test_answers_are_told_with_a_table_for_each_set_of_rows():
    fake, rows, other = colour_fake(), both_kinds(), colours([("blue", 1)])
    said = told(ask(fake, {"one": Question(rows), "order": Question(rows, kind="order"), "two": Question(rows, ("a {}",)),
                           "else": Question(other)})).splitlines()
    assert [line.split(" ")[0] for line in said if "[" in line] == ["one", "two", "else", "true"]
    assert said[0].startswith("3 pictures, 2 classes") and said[6].startswith("1 pictures, 2 classes")
    low, high = wilson(0.75, 2)
    assert f"binding 75.0% [{low:.1%}, {high:.1%}], 2 scenes" in said[-1]
