"""Grade notebooks that students handed in: their answers alone run, in a process of its own, on cases of which no
notebook knows.
"""

import random
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from clipmini.course.answering import Elsewhere, Process
from clipmini.course.asking import Mistake
from clipmini.course.base import UNSEEN, Verdict
from clipmini.course.checks import ALL
from clipmini.course.needed import Exercise, NotebookError, exercises, lesson_of, read

HIDDEN = 24  # cases for each exercise, chosen from those that no notebook's check asks


def grade(path: Path, seed: int | None = None) -> dict[str, Any]:
    """{"file", "lesson", "seed", "passed", "of", "exercises": [{"name", "verdict", "about"}]}.

    seed: of the hidden cases, drawn if it is None. Raises NotebookError.
    """
    seed = secrets.randbelow(10**6) if seed is None else seed
    book = read(path)
    handed_in = {e.checker: e for e in exercises(book, set(ALL))}
    lessons = [ALL[name].lesson for name in handed_in] or [lesson_of(book)]
    lesson = max(set(lessons), key=lessons.count)
    own = [name for name in ALL if ALL[name].lesson == lesson]
    if not own:
        raise NotebookError(f"{str(path)!r} checks no exercise: it has no line such as checks.normalise(normalise). "
                            "Give a lesson's notebook, as the student handed it in")
    rows = []
    with Process() as process:
        for name in [*own, *(other for other in handed_in if other not in own)]:
            said = judged(handed_in[name], seed, process) if name in handed_in else \
                Verdict("missing", name, "its check is not in the notebook")
            rows.append({"name": name, "verdict": said.state, "about": said.about})
    passed = sum(row["verdict"] == "pass" for row in rows)
    return {"file": str(path), "lesson": lesson, "seed": seed, "passed": passed, "of": len(rows), "exercises": rows}


def judged(exercise: Exercise, seed: int, process: Process) -> Verdict:
    """The verdict about one answer: the checker asks it in its process, the named mistakes first, then hidden cases."""
    if exercise.problem:
        return Verdict("missing", exercise.answer, exercise.problem)
    seeds = random.Random(seed).sample(UNSEEN, HIDDEN)
    try:
        asked = Elsewhere(process, exercise.source, exercise.answer)
    except Mistake as mistake:
        return Verdict("wrong", exercise.answer, str(mistake))
    return ALL[exercise.checker].verdict(asked, seeds)


def table(graded: Iterable[dict[str, Any]]) -> list[list[str]]:
    """A row for each notebook, a column for each exercise of its lesson, then the sum; a heading for each lesson."""
    rows: list[list[str]] = []
    last = None
    for result in sorted(graded, key=lambda r: (r["lesson"], r["file"])):
        names = [row["name"] for row in result["exercises"]]
        if (result["lesson"], names) != last:
            rows.append([f"lesson {result['lesson']}", *names, "passed"])
            last = (result["lesson"], names)
        verdicts = [row["verdict"] for row in result["exercises"]]
        rows.append([result["file"], *verdicts, f"{result['passed']} of {result['of']}"])
    return rows


def grade_all(paths: Iterable[Path], seed: int | None, told: Callable[[Path], None]) -> list[dict[str, Any]]:
    """Each notebook's grade; told(path) before each; one that cannot be read has the key "problem" and no exercises."""
    results = []
    for path in paths:
        told(path)
        try:
            results.append(grade(path, seed))
        except NotebookError as error:
            results.append({"file": str(path), "lesson": "?", "seed": seed, "passed": 0, "of": 0, "exercises": [],
                            "problem": str(error)})
    return results
