"""The lessons keep their contract and run: strictly, twice, with the outputs that are kept."""

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import alt_texts
import colab_links
import lesson_numbers
from test_checks import ANSWERS

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "lessons").glob("*.ipynb"))
WANT_WORDS = ("13", "15")  # of emojibase, by npm: where these were not fetched, the cell that loads drawings says so


def read(path: Path) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"]), "tags": cell["metadata"].get("tags", [])} for cell in cells]


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_structure(path):
    cells = read(path)
    words = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert 45 <= len(cells) <= 70 and path.stat().st_size <= 600_000
    assert words[0].startswith(f"# {path.stem[:2]} · ") and "colab.research.google.com" in words[0]
    assert all(row in words[1] for row in ("After this lesson you can", "Builds on", "Time"))
    for heading in ("## You are here", "## Recap", "## Three questions", "## Where next"):
        assert any(heading in text for text in words), heading
    colab = code[0]["source"]
    assert "find_spec(\"clipmini\") is None" in colab and "%pip install" in colab and len(colab.splitlines()) <= 5
    assert len(code[1]["source"].splitlines()) <= 20 and "%matplotlib inline" in code[1]["source"]
    own = [cell["source"] for cell in code if not any(t.startswith("shows:") for t in cell["tags"])]
    assert max(len(source.splitlines()) for source in own) <= 25
    ideas = [text for text in words if re.match(r"## \d", text)]
    assert 3 <= len(ideas) <= 6 and all(len(text.split("**By hand.**")[0].split()) <= 70 for text in ideas)


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_exercises(path):
    """Stub, check, hint and solution follow each other; the solution has the stub's first line, runs, and passes."""
    from clipmini.course import checks

    cells = read(path)
    stubs = [i for i, cell in enumerate(cells) if "exercise" in cell["tags"]]
    assert len(stubs) >= 3
    for i in stubs:
        header, stub, check, folds = (cells[i + k]["source"] for k in (-1, 0, 1, 2))
        assert re.search(r"### Exercise \d · \w+\n\n(Easy|Medium|Hard), \d+ minutes\. Unlocks ", header)
        assert "raise NotImplementedError" in stub and "check" in cells[i + 1]["tags"]
        assert "<summary>Hint</summary>" in folds and "<summary>Solution</summary>" in folds
        solution = re.search(r"```python\n(.*?)```", folds, re.S)[1]
        assert solution.splitlines()[0] == stub.splitlines()[0]
        place = {}
        exec("import torch\nimport torch.nn.functional as F\n" + solution, place)
        checker, name = re.fullmatch(r"checks\.(\w+)\((\w+)\)", check).groups()
        getattr(checks, checker)(place[name])


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_outputs_are_kept_and_clean(path):
    for cell in read(path):
        if cell["cell_type"] != "code":
            continue
        assert cell["execution_count"], "a stripped notebook makes nbval check nothing"
        for output in cell["outputs"]:
            assert output.get("name") != "stderr" and output["output_type"] != "error"
            unwanted = {"image/svg+xml", "text/html", "application/vnd.jupyter.widget-view+json"}
            assert not unwanted & set(output.get("data", {}))
            assert not re.search(r"0x[0-9a-f]{6,}", json.dumps(output.get("text", "")))
        if any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            assert re.search(r"plt\.show\(\)$|(display|widgets\.turn)\(.*\)$", cell["source"].rstrip(), re.S)


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_every_figure_is_described_in_the_next_cell(path):
    cells = read(path)
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "code" and any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            assert cells[i + 1]["source"].startswith("*"), f"cell {i} draws, and cell {i + 1} does not say what is seen"
    assert alt_texts.lacking(path) == [], "python tests/alt_texts.py --write"


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_code_that_is_shown_is_the_packages(path):
    shown = [(tag.removeprefix("shows:"), cell["source"]) for cell in read(path) for tag in cell["tags"]
             if tag.startswith("shows:")]
    assert shown
    for name, source in shown:
        module, function = name.rsplit(".", 1)
        theirs = textwrap.dedent(inspect.getsource(getattr(importlib.import_module(f"clipmini.{module}"), function)))
        ours = next(node for node in ast.parse(source).body if getattr(node, "name", "") == function)
        assert ast.dump(ours) == ast.dump(ast.parse(theirs).body[0]), f"{name} has changed; show it anew"


def test_the_course_page_lists_every_lesson():
    page = (ROOT / "lessons" / "README.md").read_text(encoding="utf-8")
    assert len(LESSONS) == 19 and all(f"]({path.name})" in page for path in LESSONS)


def linked(text: str, folder: Path) -> list[Path]:
    """The files in this repository that a Markdown text links to."""
    return [folder / target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target
            and not target.startswith("#")]


def test_links_resolve():
    pages = [*(ROOT / "lessons").glob("*.md"), *LESSONS]
    for page in pages:
        words = [cell["source"] for cell in read(page) if cell["cell_type"] == "markdown"] if page in LESSONS else \
            [page.read_text(encoding="utf-8")]
        for text in words:
            for target in linked(text, page.parent):
                assert target.exists(), f"{page.name} links to {target.name}, which is not there"
        for address in re.findall(r"blob/main/([^)\s]+)", "".join(words)):
            assert (ROOT / address).is_file(), f"{page.name} opens {address} in Colab, which is not there"


def test_links_to_colab_and_install_lines_name_the_repository(capsys):
    assert colab_links.main([]) == 0, capsys.readouterr().out


def test_colab_links_rewrites_these_lines_and_no_other(tmp_path, capsys):
    files = [ROOT / "pyproject.toml", ROOT / "README.md", *(ROOT / "lessons").glob("*.md"), *LESSONS]
    for path in files:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    project, lesson = tmp_path / "pyproject.toml", tmp_path / "lessons" / LESSONS[0].name
    old, new = colab_links.repository(ROOT), "https://github.com/some-body/their.fork"
    project.write_text(project.read_text("utf-8").replace(f'Repository = "{old}"', f'Repository = "{new}"'), "utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert colab_links.main([], tmp_path) == 1 and f"lessons/{lesson.name}:" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in before}  # it only told
    assert colab_links.main(["--write"], tmp_path) == 0 and colab_links.main([], tmp_path) == 0
    short, place = (address.removeprefix("https://github.com/").encode() for address in (old, new))
    for path, was in before.items():
        lines = list(zip(was.split(b"\n"), path.read_bytes().split(b"\n"), strict=True))
        changed = [(a, b) for a, b in lines if a != b]
        assert path.suffix == ".md" or len(changed) == (4 if path == project else 2), path.name
        assert all(a.replace(short, place) == b for a, b in changed)
    lesson.write_bytes(lesson.read_bytes().replace(lesson.name.encode(), b"another.ipynb"))
    assert colab_links.main(["--write"], tmp_path) == 1 and "by hand" in capsys.readouterr().out
    project.write_text(project.read_text("utf-8").replace(new, "https://example.org/clipmini"), "utf-8")
    with pytest.raises(SystemExit, match="must be https://github.com/OWNER/NAME"):
        colab_links.main([], tmp_path)


def test_there_are_seventy_exercises_and_each_checker_is_used_once():
    calls = [cell["source"] for path in LESSONS for cell in read(path) if "check" in cell["tags"]]
    used = [call.split("(")[0].removeprefix("checks.") for call in calls]
    assert len(used) >= 70 and sorted(used) == sorted(ANSWERS)  # test_checks.py holds these against checks.py


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_the_teachers_page_answers_every_open_exercise(path):
    assert any("### Open exercise" in cell["source"] for cell in read(path))
    answers = (ROOT / "lessons" / "teachers.md").read_text(encoding="utf-8").partition("## Open exercises")[2]
    assert f"**{path.stem[:2]}.**" in answers


def test_sentences_quote_the_numbers_that_were_printed():
    assert lesson_numbers.wrong() == []


def test_numbers_of_sentences_are_mended(tmp_path, monkeypatch):
    old, = LESSONS[0].parent.glob("07_*.ipynb")
    spoilt = tmp_path / old.name
    spoilt.write_text(old.read_text(encoding="utf-8").replace("the model is right for 57%", "the model is right for 61%"),
                      encoding="utf-8")
    monkeypatch.setattr(lesson_numbers, "LESSONS", tmp_path)
    monkeypatch.setattr(lesson_numbers, "QUOTES", tuple(q for q in lesson_numbers.QUOTES if q.lesson == "07"))
    assert "'the model is right for 61%' should have 57" in lesson_numbers.wrong(write=True)[0]
    assert lesson_numbers.wrong() == [] and read(spoilt) == read(old)
    monkeypatch.setattr(lesson_numbers, "QUOTES", (lesson_numbers.Quote("07", r"nobody says (\d+)", r"(\d+)"),))
    with pytest.raises(SystemExit, match="stands there 0 times"):
        lesson_numbers.wrong()


def test_lessons_run_from_top_to_bottom():
    """In fast mode, strictly (every printed output is the one that is kept) and laxly: a core each, side by side."""
    from clipmini.data.emoji.words import emojibase

    ready = [path for path in LESSONS if emojibase("en") or path.stem[:2] not in WANT_WORDS]
    environment = {**os.environ, "CLIPMINI_FAST": "1", "CLIPMINI_WIDGETS": "0", "OMP_NUM_THREADS": "1"}
    runs = [subprocess.Popen([sys.executable, "-m", "pytest", mode, "-q", "-p", "no:cacheprovider", *map(str, ready)],
                             cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for mode in ("--nbval", "--nbval-lax")]
    said = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(text[-4000:] for text in said)
