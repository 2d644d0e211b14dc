"""The house takes one more of a kind without anyone else noticing: a toy of each kind that CONTRIBUTING.md counts.

A tab has its own test in test_app.py, a model family in test_families.py.
"""

import dataclasses
import json
import re
import types
from pathlib import Path

import pytest
from PIL import Image

from clipmini import commands, data, recipes
from clipmini.commands import main
from clipmini.data.base import Source, SourceError, configured
from clipmini.data.emoji import art, dataset, sources, words
from clipmini.files import cache_root
from clipmini.training import TrainConfig
from helpers_train import Squares

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def toy(monkeypatch):
    """What its file and its line of the table would do."""
    monkeypatch.setitem(__import__("sys").modules, "clipmini.data.toy", types.SimpleNamespace(SOURCE=Squares()))
    monkeypatch.setitem(data.SOURCES, "toy", "clipmini.data.toy:SOURCE")


def test_a_data_source_is_one_file_and_one_line(toy, monkeypatch, capsys, tmp_path, tiny_checkpoints):
    assert data.find("toy") == Squares()
    assert main(["data", "toy", "--shades", "24", "--preview", str(tmp_path / "sheet.png")]) == 0
    out = capsys.readouterr().out
    assert "24 pictures to train on; eight coloured squares" in out and Image.open(tmp_path / "sheet.png").width > 100
    assert main(["evaluate", str(tiny_checkpoints["light-cbow"]), "--data", "toy", "--json", str(tmp_path / "n.json")]) == 0
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert "16 pictures, 8 classes" in capsys.readouterr().out
    assert numbers["one template"]["n"] == numbers["ensemble"]["n"] == 16
    monkeypatch.setitem(recipes.RECIPES, "squares", recipes.Recipe(
        "squares", "a toy", data.find("toy"), TrainConfig(steps=4, batch=16, warmup=2), vision={"image_size": 16, "width": 8},
        text={"width": 32}, model_options={"embed_dim": 32}, vocabulary=560))
    assert main(["train", "--data", "toy", "--shades", "60", "--steps", "3", "--quiet", "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 steps") and "held out, ensemble: top-1" in out
    config = json.loads((tmp_path / "run" / "final" / "config.json").read_text())
    assert config["meta"]["recipe"]["data"]["shades"] == 60
    assert "It knows squares." in (tmp_path / "run" / "final" / "README.md").read_text()
    assert main(["data", "toy", "--fetch"]) == 1
    assert "'toy' has nothing to fetch; omit --fetch" in capsys.readouterr().err


def test_a_source_without_its_rows_is_told_at_once():
    half = dataclasses.make_dataclass("Half", [("name", str, "half")], bases=(Source,), frozen=True)
    with pytest.raises(TypeError, match="held_out_rows"):
        half()
    with pytest.raises(SourceError, match="'toy' has no option --colour; it has --shades. Omit it"):
        configured(Squares(), colour="red")
    with pytest.raises(SourceError, match="there is no data 'toys'; there are emoji, .*cifar10"):
        data.find("toys")


def test_every_source_answers(monkeypatch):
    for name in data.SOURCES:
        source = data.find(name)
        assert source.name == name and source.about and source.limits and source.templates
        json.dumps(dataclasses.asdict(source))
    for package in data.find("emoji").packages():
        assert package.licence and package.author


def test_a_task_is_two_files_and_one_line(monkeypatch, capsys):
    """Its own file is the task; what the house must learn is the command."""
    def run(args):
        print(f"{args.word} has {len(args.word)} letters")

    command = types.SimpleNamespace(add=lambda p: p.add_argument("word", help="any word"), run=run)
    monkeypatch.setitem(__import__("sys").modules, "clipmini.commands.letters", command)
    monkeypatch.setitem(commands.COMMANDS, "letters", "how long is this word?")
    assert main(["letters", "octopus"]) == 0
    assert capsys.readouterr().out == "octopus has 7 letters\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "how long is this word?" in capsys.readouterr().out


def test_an_art_style_is_a_row_of_one_file(monkeypatch, tmp_path):
    row = data.base.Package("pencil", "@iconify-json/pencil", "npm", "pencil drawings (SVG)", "A. Pupil", "MIT")
    monkeypatch.setitem(sources.STYLES, "pencil", row)
    monkeypatch.setattr(sources, "PACKAGES", (*sources.PACKAGES, row))
    folder = cache_root(tmp_path) / "npm" / "node_modules" / row.package
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"version": "1.0.0"}')
    body = '<rect width="12" height="12" x="2" y="2" fill="#d22"/>'
    (folder / "icons.json").write_text(json.dumps({"icons": {"red-apple": {"body": body}}, "width": 16, "height": 16}))
    assert "pencil" in sources.available_styles(tmp_path) and "pencil" not in sources.available_styles(tmp_path / "x")
    rows = dataset.load(["pencil"], cache=tmp_path, progress=False)
    assert [row[0] for row in rows["captions"]] == ["red apple"] and rows[0]["image"].size == (72, 72)
    assert art.style_folder("pencil", tmp_path).is_dir() and words.concepts()
    assert row in dataset.Emoji().packages() and row in dataset.Emoji().packages("emoji in 1 art styles: pencil")


def test_contributing_counts_what_there_is():
    """Every file and folder that CONTRIBUTING.md names exists, but for NAME and NN."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 75
    for path in re.findall(r"`((?:clipmini|demo_app|lessons|tests|assets)/[\w./]+)", text):
        path = path.replace("NAME.py", "__init__.py").replace("NN_name.ipynb", "README.md").replace("lesson_NN", "lesson_05")
        assert (ROOT / path).exists(), path


def test_the_example_of_contributing_runs_as_printed(monkeypatch, tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.S)[1]
    module = types.ModuleType("coins")
    monkeypatch.setitem(__import__("sys").modules, "coins", module)
    exec(compile(code, "coins.py", "exec"), module.__dict__)
    with pytest.raises(SourceError, match="name it with --folder"):
        module.SOURCE.training_rows(32, 0)
    for i in range(20):
        Image.new("RGB", (30, 20), "gold").save(tmp_path / f"{'penny' if i % 2 else 'dime'}_{i:02}.png")
    source = configured(module.SOURCE, folder=str(tmp_path))
    rows, others = source.training_rows(32, 0), source.held_out_rows(32)
    assert (len(rows), len(others)) == (18, 2) and rows.features == others.features
    assert rows.features["label"].names == ["dime", "penny"] and source.preview().width > 100
