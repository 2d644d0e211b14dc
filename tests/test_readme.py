"""The README and the page of results are true: their commands, numbers and links, and the README's tree."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from readme_tables import PAGE, README, RESULTS, ROOT, block, row, tables

TEXT = README.read_text(encoding="utf-8")
FENCED = re.compile(r"^```.*?^```$", re.S | re.M)


@pytest.mark.parametrize("page", [README, PAGE], ids=lambda p: p.name)
def test_every_number_comes_from_results_json(page):
    text = page.read_text(encoding="utf-8")
    for name, table in tables()[page].items():
        assert block(name).search(text)[0] == f"<!-- table: {name} -->\n{table}\n<!-- end -->", (
            f"the table {name!r} is not what results.json says; run: python tests/readme_tables.py --write")
        text = block(name).sub("", text)
    assert "<!-- table:" not in text and not re.search(r"^\|", text, re.M), f"{page.name} has a table made by hand"


def test_the_readmes_table_has_ten_numbers_and_wants_one_row_for_each():
    table = tables()[README]["ten"].splitlines()
    assert len(table) == 2 + 10 and all(len(line.split(" | ")) == 4 for line in table if "---" not in line)
    rows = [{"model": "emoji", "ms": 1}, {"model": "emoji", "ms": 2}]
    assert row(rows, model="emoji", ms=2) is rows[1]
    for wanted in ({"model": "emoji"}, {"model": "emoji-vit"}):
        with pytest.raises(KeyError, match="rows of results.json have"):
            row(rows, **wanted)


@pytest.mark.parametrize("page", [README, PAGE], ids=lambda p: p.name)
def test_pages_are_short_enough_to_read(page):
    text = page.read_text(encoding="utf-8")
    assert page is not README or len(text.splitlines()) <= 200
    long = [line for line in FENCED.sub("", text).splitlines() if len(line) > 120 and not line.startswith("|")]
    assert not long, f"more than 120 columns: {long[0]}"


def test_embedded_checkpoints_carry_the_same_numbers():
    runs = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"]
    for name in ("emoji", "emoji-vit"):
        config = json.loads((ROOT / "assets" / name / "config.json").read_text(encoding="utf-8"))
        assert config["meta"]["results"] == runs[name]["results"]
        assert config["meta"]["command"] == runs[name]["command"]


def names_in_tree(line: str) -> list[str]:
    """The names that a line of the tree begins with; "a_00.py ... a_11.py" stands for all twelve."""
    found = []
    words = re.split(r"\s{2,}", line.strip())[0].split()
    for i, word in enumerate(words):
        if word == "...":
            first, last = (int(re.search(r"\d+", w)[0]) for w in (words[i - 1], words[i + 1]))
            found += [re.sub(r"\d+", f"{n:02}", words[i - 1]) for n in range(first + 1, last)]
        else:
            found.append(word)
    return found


def test_the_tree_names_every_file():
    tree = re.search(r"## The house.*?```\n(.*?)```", TEXT, re.S)[1]
    listed, folder = set(), []
    for line in tree.splitlines():
        names = names_in_tree(line)
        depth = (len(line) - len(line.lstrip())) // 2
        folder = [*folder[:depth], names[0].rstrip("/")]
        listed |= {"/".join([*folder[:depth], name.rstrip("/")]) for name in names}
    for pattern in ("clipmini/**/*.py", "demo_app/*.py", "demo_app/*/"):
        for path in ROOT.glob(pattern):
            name = path.relative_to(ROOT).as_posix()
            minor = path.name in ("__init__.py", "__pycache__") and name != "clipmini/__init__.py"
            assert name in listed or minor, f"{name} is not in the README"
    for name in listed:
        assert (ROOT / name).exists(), f"the README lists {name}, which does not exist"


def anchors(page) -> set[str]:
    """What GitHub calls a page's headings."""
    titles = re.findall(r"^#+ ([\w -]+)$", page.read_text(encoding="utf-8"), re.M)
    return {title.lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [README, PAGE], ids=lambda p: p.name)
def test_local_links_and_pictures_exist(page):
    targets = re.findall(r"\]\(([^):]+)\)|<img src=\"([^\":]+)\"", page.read_text(encoding="utf-8"))
    assert len(targets) > 5
    for file, _, anchor in (max(pair).partition("#") for pair in targets):
        linked = page.parent / file if file else page
        assert linked.exists() and (not anchor or anchor in anchors(linked)), f"{file}#{anchor}"


def test_ten_lines_run_as_printed():
    code = re.search(r"## Ten lines.*?```python\n(.*?)```", TEXT, re.S)[1]
    assert len(code.splitlines()) <= 12
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    lines = out.splitlines()
    assert lines[:2] == ["torch.Size([1, 128])"] * 2 and len(lines) == 5
    assert sum(float(line.rsplit(" ", 1)[1].rstrip("%")) for line in lines[2:]) > 99


def test_command_line_of_the_readme_works():
    from clipmini.commands import main, parser

    assert main(["classify", str(ROOT / "assets/samples/rocket.png"), "--labels", "rocket, airplane, pencil"]) == 0
    for line in re.findall(r"^clipmini (\w[^#\n`]*)", TEXT + PAGE.read_text(encoding="utf-8"), re.M):
        if not line.startswith("app"):
            parser().parse_args(shlex.split(line))  # exits when an option has gone


def test_ci_runs_the_readme_command():
    command = re.search(r"<!-- command: test -->\n```\n(.*)\n```", TEXT)[1]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- command: test -->" in script and "python -m pytest" in command
    out = subprocess.run(["awk", "/<!-- command: test -->/ {getline; getline; print; exit}", str(README)],
                         capture_output=True, text=True, check=True).stdout
    assert out.strip() == command
