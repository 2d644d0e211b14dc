"""`clipmini app --map FOLDER`: the map that `clipmini map` wrote is shown; any other folder is refused in one sentence."""

import json
import shutil

import pytest
from PIL import Image

import clipmini
from clipmini.commands import main
from clipmini.files import CheckpointError
from demo_app.map import stored


@pytest.fixture(scope="module")
def written(tiny_checkpoints, tmp_path_factory):
    """(a model's folder, the folder of its map)"""
    root, model = tmp_path_factory.mktemp("map"), tiny_checkpoints["light-cbow"]
    for name in ("red", "green", "blue", "black", "white", "orange"):
        Image.new("RGB", (40, 40), name).save(root / f"{name}.png")
    assert main(["map", str(root), "--model", str(model), "--out", str(root / "out")]) == 0
    return model, root / "out"


@pytest.fixture
def copy(written, tmp_path):
    return shutil.copytree(written[1], tmp_path / "copy")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(stored, "_served", {})


def test_the_map_of_the_model_is_shown(written):
    model, folder = written
    stored.serve(str(model), folder, clipmini.load(model, device="cpu"))
    assert stored.stored_path(str(model)) == folder.resolve()


def test_the_map_of_another_model_is_refused(written):
    with pytest.raises(CheckpointError, match=r"was made by the model .*--model .*or make the map again"):
        stored.serve("emoji", written[1], clipmini.load("emoji", device="cpu"))
    assert stored.stored_path("emoji") == stored.shipped("emoji")


def cut(folder):
    [path] = folder.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-100])


def newer(folder):
    points = json.loads((folder / "points.json").read_text("utf-8"))
    (folder / "points.json").write_text(json.dumps(points | {"format": 99}), "utf-8")


@pytest.mark.parametrize("spoil", [shutil.rmtree, cut, newer, lambda f: (f / "points.json").unlink(),
                                   lambda f: (f / "points.json").write_text("{}")],
                         ids=["no folder", "cut off", "a newer format", "no points", "no map"])
def test_what_is_no_map_is_refused_by_name(spoil, written, copy):
    spoil(copy)
    with pytest.raises(CheckpointError) as told:
        stored.serve(str(written[0]), copy, clipmini.load(written[0], device="cpu"))
    assert "copy" in str(told.value) and len(str(told.value)) < 500
    assert stored.stored_path(str(written[0])) is None
