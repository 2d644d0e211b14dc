"""The lessons as a class gets them: without solutions, as nbgrader's source notebooks, or as otter's.

nbgrader and otter take the solutions out themselves, and listen for exceptions: their tests call checks.required.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clipmini.course.needed import NotebookError, read

FOLD = re.compile(r"<details><summary>(?:Solution|答案)</summary>.*?</details>\s*", re.DOTALL)
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
CHECK = re.compile(r"checks\.(\w+)\((\w+)\)")

Cell = dict[str, Any]


def plain(book: dict[str, Any]) -> list[Cell]:
    """For students: no solutions, no outputs; hints stay."""
    return [_without_solution(cell) for cell in book["cells"]]


def nbgrader(book: dict[str, Any]) -> list[Cell]:
    """A source notebook for `nbgrader generate_assignment`: solutions between its marks, a point for each exercise."""
    cells: list[Cell] = []
    for cell, solution, checker in _with_solutions(book["cells"]):
        if solution:
            head, body, indent = _cut(cell["source"], solution)
            cell["source"] = f"{head}{indent}### BEGIN SOLUTION\n{body}\n{indent}### END SOLUTION"
            cell["metadata"] |= {"nbgrader": _marks(f"answer-{checker}", solution=True)}
        cells.append(cell)
        if CHECK.fullmatch(cell["source"]):
            cells.append(_code(f"checks.required(checks.{checker}, {_answer(cell)})",
                               {"nbgrader": _marks(f"test-{checker}", grade=True)}))
    return cells


def otter(book: dict[str, Any]) -> list[Cell]:
    """A source notebook for `otter assign`: a question for each exercise, its test behind it."""
    cells: list[Cell] = [_raw("# ASSIGNMENT CONFIG\nexport_cell: false\ncheck_all_cell: true")]
    for cell, solution, checker in _with_solutions(book["cells"]):
        if solution:
            head, body, indent = _cut(cell["source"], solution)
            text = f"{head}{indent}# BEGIN SOLUTION NO PROMPT\n{body}\n{indent}# END SOLUTION\n{indent}" \
                   f'""" # BEGIN PROMPT\n{indent}raise NotImplementedError\n{indent}"""; # END PROMPT'
            cells += [_raw(f"# BEGIN QUESTION\nname: {checker}\npoints: 1"), _raw("# BEGIN SOLUTION"), _code(text, {}),
                      _raw("# END SOLUTION")]
            continue
        if CHECK.fullmatch(cell["source"]):
            cells += [_raw("# BEGIN TESTS"), _code(f"checks.required(checks.{checker}, {_answer(cell)})", {}),
                      _raw("# END TESTS"), _raw("# END QUESTION")]
        cells.append(cell)
    return cells


LAYOUTS: dict[str, Callable[[dict[str, Any]], list[Cell]]] = {"plain": plain, "nbgrader": nbgrader, "otter": otter}


def write(lessons: Path, folder: Path, layout: str) -> list[Path]:
    """Write every lesson of a folder in a layout; returns the files. nbgrader wants source/LESSON/LESSON.ipynb.

    Raises NotebookError, and ValueError where a file is there already: nobody's work is overwritten.
    """
    paths = sorted(lessons.glob("*.ipynb"))
    if not paths:
        raise NotebookError(f"there are no lessons (*.ipynb) in {str(lessons)!r}")
    targets = [folder / "source" / p.stem / p.name if layout == "nbgrader" else folder / p.name for p in paths]
    there = [str(t) for t in targets if t.exists()]
    if there:
        raise ValueError(f"{there[0]!r} is there already; give an empty folder")
    for path, target in zip(paths, targets, strict=True):
        book = read(path)
        book["cells"] = [_numbered(cell, i) for i, cell in enumerate(LAYOUTS[layout](book))]
        target.parent.mkdir(parents=True, exist_ok=True)
        save(book, target)
    return targets


def save(book: dict[str, Any], path: Path) -> None:
    """Write a notebook."""
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


LECTURE = (("00", "1234"), ("05", "1234"), ("06", "3"))  # lesson, its sections: what README.md's one lecture shows


def lecture(lessons: Path) -> dict[str, Any]:
    """One notebook for `jupyter nbconvert --to slides`: sections of three lessons with their stored outputs, a slide
    for each heading and each figure, without exercises. Raises NotebookError.
    """
    slides: list[Cell] = []
    book: dict[str, Any] = {}
    for number, sections in LECTURE:
        found = sorted(lessons.glob(f"{number}_*.ipynb"))
        if not found:
            raise NotebookError(f"lesson {number} is not in {str(lessons)!r}; give the folder of the lessons")
        book = read(found[0])
        slides += [_slide(book["cells"][0], "slide"), *_sections(book["cells"], sections)]
    book["cells"] = [_numbered(cell, i) for i, cell in enumerate(slides)]
    return book


def _sections(cells: list[Cell], sections: str) -> list[Cell]:
    """The cells of some sections, without the exercises: of the cell before a stub what stands before its header, and
    neither stub, check nor folds.
    """
    kept: list[Cell] = []
    exercises = {i + k for i, cell in enumerate(cells) if _is_stub(cell) for k in (0, 1, 2)}
    inside = False
    for i, cell in enumerate(cells):
        if i + 1 in exercises and i not in exercises:
            cell = {**cell, "source": cell["source"].partition("### ")[0].rstrip()}
        if heading := re.match(r"## (?:(\d)\.|\w)", cell["source"]):
            inside = heading[1] is not None and heading[1] in sections
        if inside and cell["source"] and i not in exercises:
            drawn = any("image/png" in o.get("data", {}) for o in cell.get("outputs", []))
            kept.append(_slide(cell, "slide" if heading else "subslide" if drawn else "-"))
    return kept


def _is_stub(cell: Cell) -> bool:
    return "exercise" in cell["metadata"].get("tags", [])


def _slide(cell: Cell, kind: str) -> Cell:
    return {**cell, "metadata": {**cell["metadata"], "slideshow": {"slide_type": kind}}}


def _with_solutions(cells: list[Cell]) -> list[tuple[Cell, str, str]]:
    """(cell without its solution and outputs, solution where it is a stub, checker of the exercise it belongs to)."""
    out = []
    for i, cell in enumerate(cells):
        stub = _is_stub(cell)
        near = cells[i + 1] if stub else cell
        call = CHECK.fullmatch(near["source"])
        solution = CODE.search(FOLD.search(cells[i + 2]["source"])[0])[1] if stub else ""  # type: ignore[index]
        out.append((_without_solution(cell), solution, call[1] if call else ""))
    return out


def _cut(stub: str, solution: str) -> tuple[str, str, str]:
    """(what a student is given, the rest of the solution, how far that is indented): the stub up to its raise."""
    given = stub[:stub.index("raise NotImplementedError")]
    head = given.rstrip(" ")
    return head, solution.removeprefix(head).rstrip(), given[len(head):]


def _without_solution(cell: Cell) -> Cell:
    cell = json.loads(json.dumps(cell))
    if cell["cell_type"] == "code":
        return {**cell, "outputs": [], "execution_count": None}
    return {**cell, "source": FOLD.sub("", cell["source"]).rstrip()}


def _answer(cell: Cell) -> str:
    return CHECK.fullmatch(cell["source"])[2]  # type: ignore[index]


def _marks(name: str, grade: bool = False, solution: bool = False) -> dict[str, Any]:
    marks = {"grade": grade, "solution": solution, "locked": grade, "task": False, "grade_id": name,
             "schema_version": 3}
    return {**marks, "points": 1} if grade else marks


def _code(source: str, metadata: dict[str, Any]) -> Cell:
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}


def _raw(source: str) -> Cell:
    return {"cell_type": "raw", "source": source, "metadata": {}}


def _numbered(cell: Cell, number: int) -> Cell:
    return {"id": f"c{number:03}", **{k: v for k, v in cell.items() if k != "id"}}
