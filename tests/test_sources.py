"""Each number that a lesson takes from outside has a line in lessons/sources.json: where it stands, and the address.

A line has the lesson, a claim, its numbers, a source and an address. The claim is a fragment of a sentence, as it stands in
a cell of words, or the name of a table that a cell of code assigns. A lesson in CHECKED is checked strictly: all numbers of
its words, and those of its tables. In every lesson each number of the words stands in a line, or the notebook prints it or
computes with it, or tests/answers/own_numbers.json says why it is the lesson's own: {lesson: {number: why}}.
"""

import ast
import json
import re
from pathlib import Path

import pytest

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
OWN = Path(__file__).resolve().parent / "answers" / "own_numbers.json"
ALL = sorted(path.name[:2] for path in LESSONS.glob("[0-9][0-9]_*.ipynb"))
CHECKED = ("16",)
KEYS = {"lesson", "claim", "numbers", "source", "address"}
PRINTED = "printed by the notebook"  # as a source: the numbers must stand in what a cell printed
NO_CLAIM = (  # what is left out of a cell's words before its numbers are read
    r"(?s)```.*?```", r"`[^`\n]*`", r"\]\([^)]*\)", r"<summary>\d\. ", r"<[^>\n]*>",  # code, addresses, tags
    r"(?m)^# \d\d · ", r"(?m)^## \d\. ", r"(?m)^### Exercise \d · \w+$",
    r"(?m)^(?:Easy|Medium|Hard), \d+ minutes\.", r"(?m)^\| Time \|.*$", r"(?m)^\| Builds on \|.*$",
    r"\b[Ll]essons? \d\d(?:(?:,| and| to) \d\d)*", r"\b[Ss]ections? [\d.]*\d(?:(?:,| and|, and| to) [\d.]*\d)*",
    r"\b(?:[Tt]able|[Ff]igure|[Ee]quation)s? \d+(?: and \d+)*", r"\bet al\. \(?\d{4}",
    r"\b[A-Z][a-z]+ (?:19|20)\d\d\b(?:(?=, \*)|(?=\)))")  # the year of a paper: "Zhang 2019, *Making", "(Fergus 2014)"
NUMBER = r"(?<![\w@/.,])(?<!\w-)\d+(?:,\d{3})*(?:\.\d+)?(?![\w])"  # no part of a name such as ViT-B/32, ResNet-50, A100


def entries() -> list[dict]:
    return json.loads((LESSONS / "sources.json").read_text(encoding="utf-8"))


def cells_of(lesson: str) -> list[dict]:
    path, = LESSONS.glob(f"{lesson}_*.ipynb")
    return [{**cell, "source": "".join(cell["source"])} for cell in json.loads(path.read_text("utf-8"))["cells"]]


def one_line(text: str) -> str:
    return " ".join(text.split())


def numbers_of_words(text: str) -> list[str]:
    """The numbers that a cell of words claims, as they are written.

    >>> numbers_of_words("ResNet-50 of section 3.1 is right for 76.2 % of 1,000 classes, `n = 7`")
    ['76.2', '1,000']
    """
    for pattern in NO_CLAIM:
        text = re.sub(pattern, " ", text)
    return re.findall(NUMBER, text)


def numbers_of_code(text: str) -> list[str]:
    """The numbers in a literal of Python, those in its strings too, each once and in order."""
    found = []
    for node in ast.walk(ast.parse(text, mode="eval")):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += re.findall(r"(?<![\w@/])(?<!\w-)\d+(?:\.\d+)?(?:e\d+)?(?!\w)", node.value)
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            found.append(repr(node.value))
    return list(dict.fromkeys(found))


def tables_of(cells: list[dict]) -> dict[str, list[str]]:
    """Name -> its numbers, of each literal that a cell of code assigns to names in capitals, as constants have."""
    found = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            for node in ast.parse(re.sub(r"(?m)^( *)%.*$", r"\1pass", cell["source"])).body:
                name = ast.unparse(node.targets[0]).strip("()") if isinstance(node, ast.Assign) else ""
                if re.fullmatch(r"[A-Z_]{3,}(, [A-Z_]{3,})*", name) and is_literal(node.value):
                    found[name] = numbers_of_code(ast.unparse(node.value))
    return {name: numbers for name, numbers in found.items() if numbers}


def is_literal(node: ast.expr) -> bool:
    """Numbers, strings, and tuples, lists and dicts of them."""
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def uncovered(lesson: str, cells: list[dict], lines: list[dict]) -> list[str]:
    """The numbers of a lesson that no line covers, each with where it stands."""
    lines = [line for line in lines if line["lesson"] == lesson]
    missing = []
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            text = one_line(cell["source"])
            known = {n for line in lines if one_line(line["claim"]) in text for n in line["numbers"]}
            missing += [f"cell {i}: {n}" for n in numbers_of_words(cell["source"]) if n not in known]
    for name, numbers in tables_of(cells).items():
        known = {n for line in lines if line["claim"] == name for n in line["numbers"]}
        missing += [f"{name}: {n}" for n in numbers if n not in known]
    return missing


def own_numbers() -> dict[str, dict[str, str]]:
    return json.loads(OWN.read_text(encoding="utf-8"))


def value(number: str) -> float:
    return float(number.replace(",", ""))


def made(cells: list[dict]) -> set[float]:
    """The numbers that the notebook makes: what its cells printed, and the literals of its code, those in strings too."""
    texts = [printed(cells)]
    for cell in cells:
        if cell["cell_type"] == "code":
            texts += ["".join(out.get("data", {}).get("text/plain", "")) for out in cell.get("outputs", [])]
            for node in ast.walk(ast.parse(re.sub(r"(?m)^( *)[%!].*$", r"\1pass", cell["source"]))):
                if isinstance(node, ast.Constant) and type(node.value) in (int, float, str):
                    texts.append(str(node.value))
    return {value(n) for text in texts for n in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?", text)}


def unexplained(lesson: str, cells: list[dict], lines: list[dict], own: dict[str, str]) -> list[str]:
    """The numbers of a lesson's words that no line covers, that the notebook does not make, and that are not its own."""
    known, ready = [line for line in lines if line["lesson"] == lesson], made(cells)
    words = [missing for missing in uncovered(lesson, cells, known) if missing.startswith("cell ")]
    return [w for w in words if value(w.split(": ")[1]) not in ready and w.split(": ")[1] not in own]


def unused(line: dict, cells: list[dict]) -> str:
    """Why a line says nothing about its lesson; empty where it does."""
    tables = tables_of(cells)
    if line["claim"] in tables:
        extra = set(line["numbers"]) - set(tables[line["claim"]])
        return f"{line['claim']} has no {sorted(extra)}" if extra else ""
    claims = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"
              and one_line(line["claim"]) in one_line(cell["source"])]
    if not claims:
        return "no cell has this claim"
    extra = set(line["numbers"]) - {n for text in claims for n in numbers_of_words(text)}
    return f"the cell of this claim has no {sorted(extra)}" if extra else ""


def printed(cells: list[dict]) -> str:
    return "\n".join("".join(out.get("text", "")) for cell in cells for out in cell.get("outputs", []))


@pytest.mark.parametrize("lesson", CHECKED)
def test_each_number_has_a_source(lesson):
    assert not uncovered(lesson, cells_of(lesson), entries())


@pytest.mark.parametrize("lesson", ALL)
def test_each_number_of_the_words_is_explained(lesson):
    assert not unexplained(lesson, cells_of(lesson), entries(), own_numbers().get(lesson, {}))


@pytest.mark.parametrize("lesson", ALL)
def test_each_own_number_stands_in_its_lesson_and_has_a_reason(lesson):
    text = "\n".join(cell["source"] for cell in cells_of(lesson) if cell["cell_type"] == "markdown")
    for number, why in own_numbers().get(lesson, {}).items():
        assert number in re.findall(NUMBER, text) and len(why) >= 8, (number, why)


@pytest.mark.parametrize("lesson", sorted({line["lesson"] for line in entries()}))
def test_each_line_is_used_and_says_where(lesson):
    cells = cells_of(lesson)
    for line in entries():
        if line["lesson"] == lesson:
            assert set(line) == KEYS and line["claim"] and line["numbers"], line
            assert all(isinstance(n, str) for n in line["numbers"]) and len(line["source"]) >= 8, line
            at_hand = re.fullmatch(r"[\w./-]+", line["address"]) and (LESSONS / line["address"]).is_file()
            assert line["address"].startswith("https://") or at_hand, line
            assert not unused(line, cells), (line["claim"], unused(line, cells))


@pytest.mark.parametrize("lesson", CHECKED)
def test_numbers_that_were_printed_stand_there(lesson):
    cells = cells_of(lesson)
    found = re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", printed(cells))
    for line in entries():
        if line["lesson"] == lesson and line["source"] == PRINTED:
            assert set(line["numbers"]) <= set(found), line


def test_what_is_a_number_and_what_a_name():
    assert numbers_of_words("ViT-L/14@336px, RN50x64 and A100: 12 days, -0.5 points, 4,608 hours (3 of 27).") == [
        "12", "0.5", "4,608", "3", "27"]
    assert numbers_of_words("## 3. What 76.2 % means\n\nsections 3.3, 6 and 7; Taori et al. 2020; `x[1]`; lessons 03 and 04") == [
        "76.2"]
    assert numbers_of_words("Easy, 5 minutes. Unlocks 2 things") == ["2"]
    assert not numbers_of_words("Lesson 08; Xu et al. (2018), equation 1; Zhang 2019, *Art*; (Fergus 2014); sections 2.3 to 2.5")
    assert numbers_of_words("In 2019, about 2019 of them; Model 2020 and") == ["2019", "2019", "2020"]
    assert numbers_of_code("{'B/32 2.56e9 7.40': (1, 0.5)}") == ["2.56e9", "7.40", "1", "0.5"]


def test_a_changed_number_and_a_forgotten_one_are_found():
    words = {"cell_type": "markdown", "source": "It saw 12 of 30 things."}
    table = {"cell_type": "code", "source": "TABLE = {'a': 3.5}"}
    line = {"lesson": "16", "claim": "saw 12 of", "numbers": ["12"]}
    assert uncovered("16", [words, table], [line]) == ["cell 0: 30", "TABLE: 3.5"]
    assert unused(line, [words, table]) == ""
    assert unused(line | {"numbers": ["13"]}, [words]) == "the cell of this claim has no ['13']"
    assert unused(line | {"claim": "saw 13 of"}, [words]) == "no cell has this claim"
    assert unused(line | {"claim": "TABLE"}, [table]) == "TABLE has no ['12']"


def test_a_number_of_the_words_that_nothing_explains_is_found():
    words = {"cell_type": "markdown", "source": "It saw 12 of 1,300 things, in 2 rows, and 0.5 of 40."}
    code = {"cell_type": "code", "source": "rows = [2]  # 40", "outputs": [{"text": ["1300 things, 0.50 right\n"]}]}
    line = {"lesson": "05", "claim": "saw 12 of", "numbers": ["12"]}
    assert unexplained("05", [words, code], [line], {}) == ["cell 0: 40"]
    assert unexplained("05", [words, code], [line | {"lesson": "06"}], {"40": "an example"}) == ["cell 0: 12"]
    assert unexplained("05", [words], [line], {"40": "an example"}) == ["cell 0: 1,300", "cell 0: 2", "cell 0: 0.5"]
