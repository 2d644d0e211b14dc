"""The table of families, and export: transformers opens the folder with its own classes and finds the same vectors."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

import clipmini
from clipmini import families
from clipmini.config import OPENAI_MEAN
from clipmini.embedder import Embedder
from clipmini.families import export
from clipmini.families.hugging_face import hugging_face_name, to_hugging_face
from clipmini.files import CheckpointError
from test_embedder import picture

TEXTS = ["a red cat", "", "A  Blue square!", "crème brûlée 猫", "smiling face " * 3, "it's 12:30"]


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_transformers_finds_the_same_vectors(activation, interpolation, make_clip, tokenizer, tmp_path):
    options = {"interpolation": interpolation, "mean": (0.5, 0.4, 0.3)} if interpolation == "bilinear" else {}
    model = make_clip("vit-transformer", seed=3, vision={"activation": activation, "image_size": 24, **options},
                      text={"activation": activation}, logit_scale_init=3.3)
    with torch.no_grad():
        for parameter in model.parameters():  # biases of 0 and gains of 1 would hide mistakes
            parameter.add_(0.3 * torch.randn_like(parameter) if parameter.ndim == 1 else 0)
            parameter.mul_(1.5 if parameter.ndim > 1 else 1)
    folder = export(model.eval(), tokenizer, tmp_path / "export")
    theirs, info = CLIPModel.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    assert theirs.logit_scale.item() == pytest.approx(3.3) and theirs.config.vision_config.hidden_act == activation
    ours = Embedder(model, tokenizer)
    # 41 x 27 leaves 12, 60 x 25 leaves 33: cuts on which transformers and OpenAI agree (test_pixels_equal_transformers)
    images = [picture(24, 24), picture(41, 27, seed=1), picture(25, 60, seed=2), picture(9, 9, "L", seed=3)]
    pixels = CLIPImageProcessorPil.from_pretrained(folder)([i.convert("RGB") for i in images], return_tensors="pt")
    ids = CLIPTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        their_images = F.normalize(theirs.eval().get_image_features(**pixels).pooler_output, dim=-1)
        their_texts = F.normalize(theirs.get_text_features(**ids).pooler_output, dim=-1)
    torch.testing.assert_close(ours.embed_images(images), their_images, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.embed_texts(TEXTS), their_texts, rtol=0, atol=1e-5)
    other = make_clip("vit-transformer",
                      vision={"activation": "quick_gelu" if activation == "gelu" else "gelu", "image_size": 24,
                              **options})
    other.load_state_dict(model.state_dict())
    wrong = Embedder(other, tokenizer).embed_images(images)
    assert (wrong - their_images).abs().max() > 1e-4  # the test would notice another activation


def test_what_cannot_be_exported(make_clip, tokenizer, tmp_path):
    for name in ("light-cbow", "light-transformer"):
        for layout in ("transformers", "open_clip"):
            with pytest.raises(CheckpointError, match="cannot export a 'light'.*clipmini train emoji-vit"):
                export(make_clip(name), tokenizer, tmp_path / "x", layout)
    with pytest.raises(CheckpointError,
                       match="no layout 'keras' to export to; choose one of transformers, open_clip, onnx"):
        export(make_clip("vit-transformer"), tokenizer, tmp_path / "x", "keras")
    with pytest.raises(CheckpointError, match="sigmoid bias"):
        export(make_clip("vit-transformer", sigmoid=True), tokenizer, tmp_path / "x")
    assert not list(tmp_path.iterdir())
    model = make_clip("vit-transformer")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="not empty; export to a new folder"):
        export(model, tokenizer, tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
    with pytest.raises(CheckpointError, match="is a file.*new folder"):
        export(model, tokenizer, tmp_path / "full" / "mine.txt")
    (tmp_path / "empty").mkdir()
    export(model, tokenizer, tmp_path / "empty")
    assert {p.name for p in (tmp_path / "empty").iterdir()} >= {"config.json", "model.safetensors",
                                                                "preprocessor_config.json"}
    with pytest.raises(CheckpointError, match="not empty"):
        export(model, tokenizer, tmp_path / "empty")


def test_names_and_configuration(make_clip, tokenizer, tmp_path):
    with pytest.raises(CheckpointError, match="'visual.stem.weight' has no counterpart"):
        hugging_face_name("visual.stem.weight")
    model = make_clip("vit-transformer")
    ours, theirs = model.state_dict(), to_hugging_face(model.state_dict())
    assert sum(t.numel() for t in ours.values()) == sum(t.numel() for t in theirs.values())
    folder = export(model, tokenizer, tmp_path / "x")
    written = json.loads((folder / "preprocessor_config.json").read_text())
    assert written["image_mean"] == list(OPENAI_MEAN) and written["crop_size"] == {"height": 16, "width": 16}


@pytest.mark.parametrize("mlp_width", [0, 139, 77])
def test_an_open_clip_folder_comes_back_as_it_was(mlp_width, make_clip, tokenizer, tmp_path):
    """open_clip itself wants torchvision; its configuration is read by the rules of its code: int(width * ratio)."""
    model = make_clip("vit-transformer", vision={"mlp_width": mlp_width, "crop": "round"},
                      sigmoid=mlp_width == 77).eval()
    folder = export(model, tokenizer, tmp_path / "oc", "open_clip")
    written = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["vision_cfg"]
    assert int(written["width"] * written["mlp_ratio"]) == (mlp_width or 4 * written["width"])
    back = clipmini.load(folder)
    assert back.config.vision == model.config.vision and back.config.sigmoid == model.config.sigmoid
    images = [picture(24, 24), picture(41, 27, seed=1)]
    assert torch.equal(back.embed_images(images), Embedder(model, tokenizer).embed_images(images))
    assert torch.equal(back.embed_texts(TEXTS), Embedder(model, tokenizer).embed_texts(TEXTS))


def test_a_new_family_is_a_file_and_a_name(make_clip, tokenizer, tmp_path, monkeypatch):
    """A toy family: files that end in .toy hold nothing but a seed."""
    toy = ModuleType("clipmini.families.toy")
    toy.claims = lambda path: path.suffix == ".toy"
    toy.load = lambda path, image_size: (make_clip("light-cbow", int(path.read_text())), tokenizer, {"toy": image_size})
    monkeypatch.setitem(sys.modules, "clipmini.families.toy", toy)
    monkeypatch.setattr(families, "TABLE", ("toy", *families.TABLE))
    (tmp_path / "my.toy").write_text("7")
    loaded = clipmini.load(tmp_path / "my.toy", device="cpu", image_size=16)
    assert loaded.name == "my.toy" and loaded.meta == {"toy": 16}
    expected = Embedder(make_clip("light-cbow", 7), tokenizer)
    assert torch.equal(loaded.embed_texts(TEXTS), expected.embed_texts(TEXTS))
    assert torch.equal(loaded.embed_images([picture(24, 24)]), expected.embed_images([picture(24, 24)]))
    assert clipmini.load("emoji", device="cpu").config.vision.tower == "light"  # the others claim what they claimed


@pytest.mark.parametrize("name", families.TABLE)
def test_nobody_claims_what_is_not_there(name, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nothing", tmp_path / "empty", Path("owner/model")):
        assert not families.family(name).claims(path)
