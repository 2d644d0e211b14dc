"""Two processes, which torchrun starts, train and embed as one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from clipmini.commands import main
from clipmini.training import together

ROOT = Path(__file__).resolve().parent.parent
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def ran(*command, where=ROOT) -> str:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, cwd=where, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def trained(folder, towers, loss, steps=50, two=True) -> dict:
    script = (ROOT / "tests" / "two_processes.py", towers, loss, folder, steps)
    return json.loads(ran(*(TWO if two else ()), *script).splitlines()[-1])


@pytest.mark.parametrize("towers, loss", [("vit-transformer", "multi"), ("vit-transformer", "sigmoid"), ("light-cbow", "clip")])
def test_two_processes_take_the_steps_of_one(towers, loss, tmp_path):
    one, two = (trained(tmp_path / str(n), towers, loss, two=n == 2) for n in (1, 2))
    assert len(one["losses"]) == 50 and one["losses"][0] > one["losses"][-1]
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5)
    assert two["best"] == pytest.approx(one["best"], abs=1e-4)


def test_an_interrupted_run_of_two_ends_with_the_same_bits(tmp_path):
    whole = trained(tmp_path / "whole", "light-cbow", "multi")
    trained(tmp_path / "parts", "light-cbow", "multi", steps=23)
    assert trained(tmp_path / "parts", "light-cbow", "multi") == whole


def test_the_command_is_the_same_for_one_process_and_for_two(tmp_path):
    (tmp_path / "pictures").mkdir()
    for i in range(40):
        Image.new("RGB", (30, 30), (6 * i, 250 - 6 * i, 90)).save(tmp_path / "pictures" / f"shade {i}.png")
    out = ran(*TWO, "-m", "clipmini", "train", "--data", "pictures", "--steps", 3, "--batch", 8, "--quiet", "--out", "run",
              where=tmp_path)
    assert out.count("3 steps in") == out.count("checkpoint run/final") == 1
    assert {file.name for file in (tmp_path / "run").iterdir()} >= {"final", "curve.csv", "curve.png", "run.json", "state.pt"}
    (tmp_path / "texts.csv").write_text("text\n" + "\n".join(f"thing {i}" for i in range(11)))
    for out, start in (("one.tsv", ()), ("two.tsv", TWO)):
        ran(*start, "-m", "clipmini", "embed", "texts.csv", "--texts", "--out", out, where=tmp_path)
    one, two = ((tmp_path / name).read_text().split("\n") for name in ("one.tsv", "two.tsv"))
    assert len(one) == len(two) == 12 and len(one[0].split("\t")) > 10
    for a, b in zip(one[:-1], two[:-1], strict=True):
        assert list(map(float, a.split("\t"))) == pytest.approx(list(map(float, b.split("\t"))), abs=1e-5)
    assert not [file for file in tmp_path.iterdir() if "parts" in file.name]


def test_alone_nothing_is_agreed_on(monkeypatch):
    with together.joined(), together.in_turn():
        assert together.first() and together.count() == 1 and together.agreed(7) == 7 and together.own_part(5) == slice(0, 5)
    monkeypatch.setattr(together, "count", lambda: 4)
    parts = [monkeypatch.setattr(together, "rank", lambda n=n: n) or together.own_part(5) for n in range(4)]
    assert [list(range(5))[part] for part in parts] == [[0, 1], [2, 3], [4], []]


def test_help_names_it(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "torchrun --nproc-per-node" in capsys.readouterr().out
