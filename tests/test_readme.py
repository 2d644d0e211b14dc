"""The README is true: its commands, its tree, its numbers and its links."""

import json
import re
import subprocess
import sys

from readme_tables import README, RESULTS, ROOT, block, tables

TEXT = README.read_text(encoding="utf-8")


def test_every_number_comes_from_results_json():
    for name, table in tables().items():
        assert block(name).search(TEXT)[0] == f"<!-- table: {name} -->\n{table}\n<!-- end -->", (
            f"the table {name!r} is not what results.json says; run: python tests/readme_tables.py --write")


def test_embedded_checkpoints_carry_the_same_numbers():
    runs = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"]
    for name in ("emoji", "emoji-vit"):
        config = json.loads((ROOT / "assets" / name / "config.json").read_text(encoding="utf-8"))
        assert config["meta"]["results"] == runs[name]["results"]
        assert config["meta"]["command"] == runs[name]["command"]


def test_the_tree_names_every_file():
    tree = re.search(r"## The house.*?```\n(.*?)```", TEXT, re.S)[1]
    listed, folder = set(), []
    for line in tree.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folder = [*folder[:depth], name.rstrip("/")]
        listed.add("/".join(folder))
    for pattern in ("clipmini/**/*.py", "demo_app/*.py"):
        for path in ROOT.glob(pattern):
            name = path.relative_to(ROOT).as_posix()
            minor = path.name == "__init__.py" and name != "clipmini/__init__.py"
            assert name in listed or minor, f"{name} is not in the README"
    for name in listed:
        assert (ROOT / name).exists(), f"the README lists {name}, which does not exist"


def test_local_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / target).exists(), target


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
    for line in re.findall(r"^clipmini (\w[^#\n`]*)", TEXT, re.M):
        if not line.startswith("app"):
            parser().parse_args(line.split())  # exits when an option has gone


def test_ci_runs_the_readme_command():
    command = re.search(r"<!-- command: test -->\n```\n(.*)\n```", TEXT)[1]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- command: test -->" in script and "python -m pytest" in command
    out = subprocess.run(["awk", "/<!-- command: test -->/ {getline; getline; print; exit}", str(README)], capture_output=True,
                         text=True, check=True).stdout
    assert out.strip() == command
