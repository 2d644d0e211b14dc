"""load(fast=True): the quickest of what is installed, exact enough, and told."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F

import clipmini
from clipmini.commands import main
from clipmini.embedder import quick_bfloat16
from clipmini.families import quick


@pytest.fixture(scope="module")
def exact():
    return clipmini.load("emoji-vit", device="cpu")


@pytest.fixture
def pixels(exact):
    size = exact.config.vision.image_size
    return torch.randn(5, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    monkeypatch.setattr(quick, "LARGE", 0)
    monkeypatch.setattr(quick, "EXACT", 0.999)  # of a model whose vectors were trained for 15 minutes



def test_nobody_is_told_of_it():
    """OpenVINO's own package reports each import to a server."""
    if find_spec("openvino") is None or not quick_bfloat16():
        return  # it is no package of the tests
    code = ("import sys, clipmini; from clipmini.families import quick; quick.LARGE = quick.EXACT = 0; "
            "print(clipmini.load('emoji-vit', device='cpu', fast=True).kernels, sys.modules['openvino_telemetry'])")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("OpenVINO in bfloat16") and said.endswith("None\n")


@pytest.mark.parametrize("road", range(len(quick.ROADS)))
def test_each_road_gives_nearly_the_exact_vectors(road, exact, pixels, monkeypatch):
    name = quick.ROADS[road][0]
    if not quick_bfloat16() or name.startswith("OpenVINO") and find_spec("openvino") is None:
        return  # it is not to be had here
    monkeypatch.setattr(quick, "ROADS", quick.ROADS[road:road + 1])
    fast = clipmini.load("emoji-vit", device="cpu", fast=True)
    assert fast.kernels.startswith(f"{name}, least cosine 0.99")
    with torch.no_grad():
        wanted, found = exact.model.encode_image(pixels), fast.model.encode_image(pixels)
        one = fast.model.encode_image(pixels[:1])
    assert F.cosine_similarity(wanted, found).min() > 0.999 and found.dtype == torch.float32
    assert not torch.equal(wanted, found) and F.cosine_similarity(one, found[:1]).min() > 0.9999
    assert torch.allclose(found.norm(dim=1), torch.ones(5), atol=1e-2)
    assert torch.allclose(fast.embed_texts(["a cat"]), exact.embed_texts(["a cat"]), atol=1e-5)
    with ThreadPoolExecutor(4) as pool:  # as the app's visitors
        together = list(pool.map(lambda i: fast.embed_images([torch_picture(i)]), range(12)))
    assert all(torch.allclose(v, fast.embed_images([torch_picture(i)]), atol=1e-3) for i, v in enumerate(together))
    ours = pixels.clone().requires_grad_()
    fast.model.encode_image(ours).sum().backward()
    assert ours.grad.abs().sum() > 0


def torch_picture(seed: int):
    from PIL import Image

    return Image.new("RGB", (40, 40), (20 * seed, 255 - 20 * seed, 90))


def test_a_road_that_is_not_exact_enough_is_not_taken(exact, pixels, monkeypatch, caplog):
    def rough(model):
        own = model.encode_image
        return lambda x: F.normalize(own(x) + 0.05 * torch.randn(len(x), own(x).shape[1]), dim=-1)

    def broken(model):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(quick, "ROADS", (("rough", rough, False), ("broken", broken, True), ("none", lambda model: None, True)))
    with caplog.at_level(logging.INFO):
        fast = clipmini.load("emoji-vit", device="cpu", fast=True)
    assert fast.kernels == "packed matrices" and "no such operator" in caplog.text and "rough is not exact" in caplog.text
    with torch.no_grad():
        assert torch.allclose(fast.model.encode_image(pixels), exact.model.encode_image(pixels), atol=1e-5)


def test_without_the_units_and_for_small_models_matrices_are_packed(monkeypatch):
    monkeypatch.setattr(quick, "quick_bfloat16", lambda: False)
    assert clipmini.load("emoji-vit", device="cpu", fast=True).kernels == "packed matrices"
    monkeypatch.setattr(quick, "LARGE", 20_000_000)
    monkeypatch.setattr(quick, "ROADS", None)  # nothing is tried
    assert clipmini.load("emoji", device="cpu", fast=True).kernels == "packed matrices"
    assert clipmini.load("emoji", device="cpu").kernels == ""


def test_embed_says_by_which_kernels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch_picture(3).save("a.png")
    assert main(["embed", ".", "--model", "emoji-vit", "--out", "v.npy"]) == 0
    kernels = clipmini.load("emoji-vit", device="cpu", fast=True).kernels
    assert f"by emoji-vit ({kernels.split(',')[0]}" in capsys.readouterr().out
