"""ONNX folders: the same vectors through ONNX Runtime, and errors that name the file."""

import json
import shutil

import pytest
import torch

import clipmini
from clipmini.commands import main
from clipmini.families import onnx
from clipmini.files import CheckpointError
from test_embedder import picture

TEXTS = ["a red cat", "a", "a blue square and a much longer caption about it"]


@pytest.fixture(scope="module", params=["vit-transformer", "light-cbow"])
def exported(request, tiny_checkpoints, tmp_path_factory):
    """(the model, its ONNX folder)"""
    model = clipmini.load(tiny_checkpoints[request.param], device="cpu")
    return model, onnx.export(model.model, model.tokenizer, tmp_path_factory.mktemp("onnx") / "folder", model.meta)


def test_onnx_runtime_gives_the_same_vectors(exported):
    model, folder = exported
    other = clipmini.load(folder, device="cpu")
    images = [picture(40, 40, seed=i) for i in range(5)]
    for n in (1, 2, 5):  # rows and tokens of any number
        torch.testing.assert_close(other.embed_images(images[:n]), model.embed_images(images[:n]), rtol=0, atol=1e-5)
        torch.testing.assert_close(other.embed_texts(TEXTS[:n], truncate=True),
                                   model.embed_texts(TEXTS[:n], truncate=True), rtol=0, atol=1e-5)
    assert other.logit_scale == pytest.approx(model.logit_scale) and other.logit_bias == model.logit_bias
    assert other.meta == model.meta and other.config == model.config
    assert min(onnx.least_cosines(model.model, folder).values()) > 0.99999


def test_nothing_is_written_over_and_nothing_foreign_exported(exported, tmp_path):
    model, folder = exported
    with pytest.raises(CheckpointError, match="not empty; export to a new folder"):
        onnx.export(model.model, model.tokenizer, folder)
    with pytest.raises(CheckpointError, match="only clipmini's own towers"):
        onnx.export(clipmini.load(folder).model, model.tokenizer, tmp_path / "again")


@pytest.mark.parametrize("damage, told", [
    (lambda f: (f / "text.onnx").unlink(), "has no text.onnx"),
    (lambda f: (f / "image.onnx").write_bytes((f / "image.onnx").read_bytes()[:500]),
     "image.onnx' is damaged or cut short"),
    (lambda f: (f / "config.json").write_text(json.dumps(json.loads((f / "config.json").read_text()) | {"onnx": {}})),
     "names no scale"),
])
def test_damaged_folders_name_the_file(exported, tmp_path, damage, told):
    folder = shutil.copytree(exported[1], tmp_path / "folder")
    damage(folder)
    with pytest.raises(CheckpointError, match=told):
        clipmini.load(folder)


def test_pictures_of_another_size_are_refused(exported):
    with pytest.raises(CheckpointError, match=r"\(onnx\) takes pictures of its own size only"):
        clipmini.load(exported[1], image_size=64)


def test_missing_packages_are_named(monkeypatch, exported):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r'ONNX needs onnxruntime; install with: pip install "clipmini\[onnx\]"'):
        onnx.load(exported[1])


def test_the_command(exported, tmp_path, tiny_checkpoints, capsys):
    assert main(["export", str(tiny_checkpoints["light-cbow"]), str(tmp_path / "out"), "--layout", "onnx"]) == 0
    assert "least cosine to the vectors before: 1.00000" in capsys.readouterr().out
    assert (tmp_path / "out" / "image.onnx").is_file()
