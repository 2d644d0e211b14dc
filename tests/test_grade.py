"""clipmini grade: what students hand in is judged elsewhere than in their own process; clipmini course: what they get."""

import csv
import json
import re
from pathlib import Path

import pytest

import mutants
from clipmini.commands import main
from clipmini.course import answering, layouts, needed
from clipmini.course.asking import Asked, Mistake
from clipmini.course.checks import ALL
from clipmini.course.grade import grade
from clipmini.course.needed import NotebookError, exercises

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
LOSS = LESSONS / "05_the_loss.ipynb"
SOLUTIONS = mutants.solutions()


def notebook(path: Path, *cells: str) -> Path:
    book = {"cells": [{"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
                      for source in cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(book), encoding="utf-8")
    return path


def handed_in(path: Path, lesson: Path, **answers: str) -> Path:
    """A lesson whose stubs hold these answers, its other cells as they are."""
    book = needed.read(lesson)
    for stub, check in zip(book["cells"], book["cells"][1:], strict=False):
        name = re.fullmatch(r"checks\.(\w+)\(\w+\)", check["source"])
        if name and name[1] in answers and "exercise" in stub["metadata"].get("tags", []):
            stub["source"] = answers[name[1]]
    path.write_text(json.dumps(book), encoding="utf-8")
    return path


def verdicts(path: Path) -> dict[str, str]:
    return {row["name"]: row["verdict"] for row in grade(path, 5)["exercises"]}


def about(path: Path, name: str) -> str:
    return next(row["about"] for row in grade(path, 5)["exercises"] if row["name"] == name)


@pytest.mark.parametrize("lesson", sorted(LESSONS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_solutions_pass_hidden_cases_and_stubs_are_todo(lesson, tmp_path):
    done = grade(handed_in(tmp_path / "done.ipynb", lesson, **SOLUTIONS), 11)
    assert done["passed"] == done["of"] >= 3 and done["lesson"] == lesson.stem[:2], done


def test_stubs_are_todo():
    assert set(verdicts(LOSS).values()) == {"todo"}


def test_a_printed_pass_and_a_patched_checker_fool_nobody(tmp_path):
    path = handed_in(tmp_path / "a.ipynb", LOSS, normalise="""print("pass  normalise")
import torch
from clipmini.course import base, checks
from clipmini.course.asking import Asked
base.Checker.verdict = lambda *_: base.Verdict("pass", "normalise")
torch.allclose = torch.equal = lambda *_, **__: True
Asked.__call__ = lambda self, *a: a[0] / a[0].norm(dim=-1, keepdim=True)
def normalise(x):
    import torch
    torch.allclose = lambda *_, **__: True
    print("pass  normalise")
    return x
""")
    assert verdicts(path)["normalise"] == "wrong"


def test_an_answer_that_knows_the_visible_cases_fails_the_hidden_ones(tmp_path):
    seen = """import torch
from clipmini.course.checks import ALL
seen = [ALL["normalise"].how.cases(seed)[0] for seed in range(8)]
def normalise(x):
    known = [s.shape for s in seen] + [torch.Size([5, 7])]
    return x / x.norm(dim=-1, keepdim=True) if any(x.shape == s.shape and torch.equal(x, s) for s in seen) or \\
        x.shape == (5, 7) else x
"""
    path = handed_in(tmp_path / "a.ipynb", LOSS, normalise=seen)
    assert verdicts(path)["normalise"] == "wrong" and "wrong for another" in about(path, "normalise")


def test_only_what_answers_need_is_run(tmp_path):
    left = tmp_path / "left.txt"
    path = notebook(tmp_path / "a.ipynb", "%matplotlib inline\n!touch nothing",
                    "import torch\nfrom clipmini.course import checks",
                    f"open({str(left)!r}, 'w').write('ran')\nraise SystemExit",
                    "eps = 0.0\ndef size(v):\n    return (v * v).sum(-1, keepdim=True).sqrt() + eps",
                    "def normalise(x):\n    return x / size(x)", "checks.normalise(normalise)",
                    "def normalise(x):\n    return x")
    found = verdicts(path)
    assert found["normalise"] == "pass" and found["logits"] == "missing" and not left.exists()


def test_a_definition_behind_the_check_does_not_count(tmp_path):
    path = notebook(tmp_path / "a.ipynb", "from clipmini.course import checks", "checks.normalise(normalise)",
                    "def normalise(x):\n    return x / x.norm(dim=-1, keepdim=True)")
    assert verdicts(path)["normalise"] == "missing" and "defines normalise" in about(path, "normalise")


def test_a_broken_cell_is_told_and_the_others_are_graded(tmp_path):
    path = handed_in(tmp_path / "a.ipynb", LOSS, normalise="def normalise(x:\n", scale_of=SOLUTIONS["scale_of"])
    found = verdicts(path)
    assert found["normalise"] == "missing" and found["scale_of"] == "pass"
    assert "SyntaxError" in about(path, "normalise")


def test_an_endless_answer_and_a_dead_process_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(answering, "SECONDS", 4)
    path = handed_in(tmp_path / "a.ipynb", LOSS, normalise="def normalise(x):\n    while True: pass",
                     logits="import os\ndef logits(a, b, s):\n    os._exit(0)", scale_of=SOLUTIONS["scale_of"])
    assert verdicts(path) == {"normalise": "wrong", "logits": "wrong", "clip_loss": "todo", "scale_of": "pass"}
    assert "longer than 4 seconds" in about(path, "normalise")


def test_what_a_student_sends_is_read_without_their_code():
    class Evil:
        def __reduce__(self):
            return (print, ("run here",))

    assert answering.sendable([Evil(), {"a": (1, "b")}]) == [{"type": "Evil"}, {"a": (1, "b")}]
    with answering.Process() as process:
        asked = answering.Elsewhere(process, "import os\ndef mine(x):\n    for f in range(3, 20):\n        try:\n"
                                    "            os.write(f, b'rubbish' * 99)\n        except OSError:\n            pass", "mine")
        with pytest.raises(Mistake):
            asked(1)


def test_a_changed_input_is_seen_from_elsewhere(tmp_path):
    spoils = "def normalise(x):\n    x /= x.norm(dim=-1, keepdim=True)\n    return x"
    path = handed_in(tmp_path / "a.ipynb", LOSS, normalise=spoils)
    assert "changes what it was given" in about(path, "normalise")


def test_the_command_writes_json_and_a_table(tmp_path, capsys):
    good = handed_in(tmp_path / "good.ipynb", LOSS, **SOLUTIONS)
    main(["grade", str(good), str(LOSS), "--seed", "3", "--verbose", "--json", str(tmp_path / "m.json"),
          "--csv", str(tmp_path / "m.csv")])
    out = capsys.readouterr().out
    assert "4 of 4" in out and "0 of 4" in out and "todo    clip_loss: write it above" in out
    results = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert [r["passed"] for r in results] == [4, 0] and results[0]["seed"] == 3
    rows = list(csv.reader((tmp_path / "m.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert rows[0] == ["lesson 05", "normalise", "logits", "clip_loss", "scale_of", "passed"]
    assert {row[-1] for row in rows[1:]} == {"0 of 4", "4 of 4"}


@pytest.mark.parametrize("content, message", [("{}", "no notebook of format 4"), ("not json", "no notebook of format 4"),
                                              ('{"cells": []}', "checks no exercise")])
def test_what_is_no_handed_in_notebook_is_told(tmp_path, capsys, content, message):
    path = tmp_path / "a.ipynb"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(NotebookError, match=message):
        grade(path)
    assert main(["grade", str(path)]) == 1
    assert re.search(message, capsys.readouterr().err)
    with pytest.raises(NotebookError, match="no notebook"):
        grade(tmp_path / "absent.ipynb")


def test_a_lesson_without_its_checks_is_all_missing(tmp_path):
    book = needed.read(LOSS)
    book["cells"] = [c for c in book["cells"] if "checks.n" not in c["source"] and not c["source"].startswith("checks.")]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(book), encoding="utf-8")
    assert set(verdicts(path).values()) == {"missing"} and grade(path, 1)["of"] == 4


def test_an_answer_borrowed_from_the_package_is_told_from_elsewhere(tmp_path):
    path = handed_in(tmp_path / "a.ipynb", LOSS, normalise="from clipmini.model import unit as normalise",
                     logits="def logits(i, t, s):\n    return s * i @ t.t()")
    assert verdicts(path)["normalise"] == "wrong" and "the package's own" in about(path, "normalise")
    assert verdicts(path)["logits"] == "pass"


def test_exercises_are_found_by_their_checks():
    found = exercises(needed.read(LOSS), set(ALL))
    assert [e.checker for e in found] == ["normalise", "logits", "clip_loss", "scale_of"]
    assert "NotImplementedError" in found[2].source and "def normalise" not in found[2].source


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_no_layout_shows_students_a_solution_in_words(layout, tmp_path):
    written = layouts.write(LESSONS, tmp_path / layout, layout)
    assert len(written) == len(list(LESSONS.glob("*.ipynb")))
    for path in written:
        book = json.loads(path.read_text(encoding="utf-8"))
        words = [c["source"] for c in book["cells"] if c["cell_type"] == "markdown"]
        assert not any("<summary>Solution" in text for text in words) and any("<summary>Hint" in text for text in words)
        assert all(not c["outputs"] for c in book["cells"] if c["cell_type"] == "code")
        assert len({c["id"] for c in book["cells"]}) == len(book["cells"])
    with pytest.raises(ValueError, match="is there already"):
        layouts.write(LESSONS, tmp_path / layout, layout)


def test_the_plain_layout_keeps_stubs_and_checks(tmp_path):
    path = next(p for p in layouts.write(LESSONS, tmp_path, "plain") if p.name == LOSS.name)
    assert set(verdicts(path).values()) == {"todo"}


@pytest.mark.parametrize("lesson", sorted(LESSONS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_student_of_nbgrader_or_otter_begins_with_stubs_that_can_be_defined(lesson):
    """What the two tools make of their marks: nbgrader puts a raise in the place of a solution, otter the prompt."""
    book = needed.read(lesson)
    graded = [c["source"] for c in layouts.nbgrader(book) if c["metadata"].get("nbgrader", {}).get("solution")]
    asked = [c["source"] for c in layouts.otter(book) if "# BEGIN PROMPT" in c["source"]]
    assert len(graded) == len(asked) >= 3
    given = [re.sub(r"### BEGIN SOLUTION\n.*### END SOLUTION", "raise NotImplementedError()", s, flags=re.DOTALL) for s in graded]
    prompt = r'( *)""" # BEGIN PROMPT\n(.*?)\n *"""; # END PROMPT'
    given += [re.sub(prompt, r"\2", re.sub(r" *# BEGIN SOLUTION NO PROMPT\n.*# END SOLUTION\n", "", s, flags=re.DOTALL),
                     flags=re.DOTALL) for s in asked]
    for source in given:
        place: dict = {}
        exec("import torch\n" + source, place)
        name = re.match(r"(?:def|class) (\w+)", source)[1]
        assert str(ALL[name].verdict(Asked(place[name]))).startswith("todo"), source
    for source in graded:
        exec("import torch\nfrom torch import nn\nimport torch.nn.functional as F\n" + source, {})  # the teacher's own copy


@pytest.mark.parametrize("folder", [LESSONS, LESSONS / "zh"], ids=["en", "zh"])
def test_the_lecture_has_its_sections_and_no_exercise(folder, tmp_path, capsys):
    main(["course", str(tmp_path / "lecture.ipynb"), "--layout", "slides", "--lessons", str(folder)])
    cells = needed.read(tmp_path / "lecture.ipynb")["cells"]
    texts = [c["source"] for c in cells]
    assert [number for t in texts for number in re.findall(r"(?m)^## (\d)", t)] == list("123412343")
    assert not any("NotImplementedError" in t or "<summary>" in t or re.search("### (Exercise|练习)", t) for t in texts)
    assert sum(any("image/png" in o.get("data", {}) for o in c.get("outputs", [])) for c in cells) >= 8
    assert all(c["metadata"]["slideshow"]["slide_type"] in ("slide", "subslide", "-") for c in cells)
    assert main(["course", str(tmp_path / "lecture.ipynb"), "--layout", "slides"]) == 1
    assert "a new name that ends in .ipynb" in capsys.readouterr().err


def test_nbgrader_finds_an_answer_and_a_test_for_each_exercise(tmp_path):
    path = next(p for p in layouts.write(LESSONS, tmp_path, "nbgrader") if p.name == LOSS.name)
    assert path == tmp_path / "source" / LOSS.stem / LOSS.name
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    marks = [(c["metadata"]["nbgrader"], c["source"]) for c in cells if "nbgrader" in c["metadata"]]
    assert [m["solution"] for m, _ in marks] == [True, False] * 4 and [m["grade"] for m, _ in marks] == [False, True] * 4
    assert sum(m.get("points", 0) for m, _ in marks) == 4 and len({m["grade_id"] for m, _ in marks}) == 8
    place: dict = {}
    exec("import torch\nfrom clipmini.course import checks\nimport torch.nn.functional as F\n"
         + "\n".join(source for _, source in marks), place)  # the solutions between the marks pass their tests


def test_otter_finds_a_question_for_each_exercise(tmp_path):
    path = next(p for p in layouts.write(LESSONS, tmp_path, "otter") if p.name == LOSS.name)
    raw = [c["source"].split("\n")[0] for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "raw"]
    assert raw == ["# ASSIGNMENT CONFIG", *["# BEGIN QUESTION", "# BEGIN SOLUTION", "# END SOLUTION", "# BEGIN TESTS",
                                           "# END TESTS", "# END QUESTION"] * 4]
