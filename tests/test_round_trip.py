"""Writers lose nothing: what is exported and read back, by us and by the other library, gives the same vectors, or is
refused before a byte is written."""

import json
import random
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

import clipmini
from clipmini import checkpoint
from clipmini.config import CLIPConfig, TextConfig, VisionConfig
from clipmini.embedder import Embedder
from clipmini.families import export
from clipmini.families.packed import int8, pack
from clipmini.files import CheckpointError
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer
from foreign import shake
from test_embedder import picture
from test_reading import resnet_oracle

CONFIGS = {"transformers": 148, "open_clip": 149, "onnx": 3}  # 300 in all; an ONNX export takes seven seconds
# In turns, those that a layout has more often.
TOWERS = {"transformers": ("vit", "vit", "resnet", "vit", "light"), "onnx": ("vit", "resnet", "light"),
          "open_clip": ("vit", "resnet", "vit", "light")}
TEXTS = ["a red cat", "", "A  Blue square!", "it's 12:30", "smiling face " * 3]


def random_config(rng: random.Random, tokenizer, layout: str, turn: int) -> CLIPConfig:
    """Any configuration that can be built, small."""
    tower = TOWERS[layout][turn % len(TOWERS[layout])]
    act = rng.choice(("gelu", "quick_gelu"))
    heads, narrow = rng.choice((1, 2, 3)), rng.choice((8, 10, 12))
    shared = {"activation": act if rng.random() < 0.9 else "gelu", "mlp_width": rng.choice((0, 7, 19, 33, 50)),
              "eps": rng.choice((1e-5, 1e-5, 1e-12, 1e-3)),
              "mean": tuple(round(rng.uniform(0, 1), 3) for _ in range(3)), "crop": rng.choice(("floor", "round")),
              "std": tuple(round(rng.uniform(0.2, 1), 3) for _ in range(3)),
              "interpolation": rng.choice(("bicubic", "bilinear")), "resize_mode": rng.choice(("shortest", "squash"))}
    if tower == "vit":
        patch = rng.choice((4, 5, 8))
        side = patch * rng.randint(1, 4)
        vision = VisionConfig("vit", side, heads * narrow, rng.randint(1, 2), heads, patch, **shared)
    else:
        side = 32 if tower == "resnet" else rng.choice((16, 20, 32))
        layers = tuple(rng.choice(((1, 1, 1, 1), (2, 1, 1, 1), (1, 1, 2, 1))))
        vision = VisionConfig(tower, side, rng.choice((2, 4)), layers, rng.choice((2, 4)), **shared)
    kind = "cbow" if rng.random() < (0.3 if layout == "onnx" else 0.1) else "transformer"
    ids = {name: getattr(tokenizer, name) for name in ("vocab_size", "context_length", "sot_id", "eos_id", "pad_id")}
    heads = rng.choice((1, 2, 3))
    text = TextConfig(kind, width=heads * rng.choice((8, 10, 12)), layers=rng.randint(1, 2), heads=heads, activation=act,
                      mlp_width=rng.choice((0, 0, 7, 19, 33)), eps=rng.choice((1e-5, 1e-5, 1e-12, 1e-3)), **ids)
    return CLIPConfig(vision, text, rng.randint(3, 20), logit_scale_max=rng.choice((4.6, 1.5)),
                      sigmoid=rng.random() < (0.1 if layout == "transformers" else 0.4))


def built(config: CLIPConfig, seed: int) -> CLIP:
    torch.manual_seed(seed)
    model = shake(CLIP(config), seed)
    with torch.no_grad():
        for parameter in model.parameters():  # large matrices: a wrong activation or width must show
            parameter.mul_(2 if parameter.ndim == 2 else 1)
    return model


def pictures(seed: int) -> list[Image.Image]:
    rng = random.Random(seed)
    return [picture(rng.randint(8, 90), rng.randint(8, 60), seed=seed + i) for i in range(3)]


def transformers_vectors(folder: Path, images, texts) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Pictures, texts and the scale by transformers' own classes alone."""
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    theirs, told = CLIPModel.from_pretrained(folder, output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    pixels = CLIPImageProcessorPil.from_pretrained(folder)(images, return_tensors="pt")
    ids = CLIPTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return (F.normalize(theirs.get_image_features(**pixels).pooler_output, dim=-1),
                F.normalize(theirs.get_text_features(**ids).pooler_output, dim=-1), theirs.logit_scale.exp().item())


def open_clip_eps(cfg: dict) -> float:
    """What its LayerNorms add to the variance: torch's default, or norm_kwargs'."""
    return cfg.get("norm_kwargs", {}).get("eps", 1e-5)


def open_clip_stack(w: dict, prefix: str, x: torch.Tensor, heads: int, cfg: dict, act, causal: bool) -> torch.Tensor:
    """open_clip's Transformer: pre-norm blocks of nn.MultiheadAttention and an MLP of int(width * mlp_ratio)."""
    T, W = x.shape[1:]
    hidden, eps = int(cfg["width"] * cfg["mlp_ratio"]), open_clip_eps(cfg)
    mask = torch.full((T, T), float("-inf")).triu(1) if causal else None
    for n in range(len({k[len(prefix):].split(".")[0] for k in w if k.startswith(prefix)})):
        p = {k.removeprefix(f"{prefix}{n}."): t for k, t in w.items() if k.startswith(f"{prefix}{n}.")}
        assert p["mlp.c_fc.weight"].shape == (hidden, W)
        y = F.layer_norm(x, (W,), p["ln_1.weight"], p["ln_1.bias"], eps).transpose(0, 1)
        y, _ = F.multi_head_attention_forward(
            y, y, y, W, heads, p["attn.in_proj_weight"], p["attn.in_proj_bias"], None, None, False, 0.0,
            p["attn.out_proj.weight"], p["attn.out_proj.bias"], need_weights=False, attn_mask=mask)
        x = x + y.transpose(0, 1)
        y = F.layer_norm(x, (W,), p["ln_2.weight"], p["ln_2.bias"], eps)
        x = x + F.linear(act(F.linear(y, p["mlp.c_fc.weight"], p["mlp.c_fc.bias"])), p["mlp.c_proj.weight"],
                         p["mlp.c_proj.bias"])
    return x


def open_clip_pixels(image: Image.Image, size: int, p: dict) -> torch.Tensor:
    """open_clip's evaluation transform: Resize, CenterCrop (int(round(half of what is over))), ToTensor, Normalize."""
    how = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}[p["interpolation"]]
    w, h = image.size
    if p["resize_mode"] == "squash":
        w, h = size, size
    else:
        w, h = (size, int(size * h / w)) if w <= h else (int(size * w / h), size)
    image = image.resize((w, h), how)
    left, top = int(round((w - size) / 2.0)), int(round((h - size) / 2.0))
    levels = torch.tensor(list(image.crop((left, top, left + size, top + size)).tobytes())).view(size, size, 3)
    mean, std = (torch.tensor(p[key])[:, None, None] for key in ("mean", "std"))
    return (levels.permute(2, 0, 1) / 255 - mean) / std


def open_clip_vectors(folder: Path, images, texts) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The same by open_clip's documented behaviour, from the folder's files alone. It is not installed here: its towers
    are written anew, with the defaults of its CLIPVisionCfg and CLIPTextCfg."""
    from transformers import AutoTokenizer

    raw = json.loads((folder / "open_clip_config.json").read_text())
    cfg, w = raw["model_cfg"], load_file(folder / "open_clip_model.safetensors")
    assert set(cfg) <= {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_bias"}
    v = {"layers": 12, "width": 768, "head_width": 64, "mlp_ratio": 4.0, "patch_size": 16, "image_size": 224,
         **cfg["vision_cfg"]}
    t = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12, "mlp_ratio": 4.0,
         **cfg["text_cfg"]}
    act = (lambda x: x * torch.sigmoid(1.702 * x)) if cfg["quick_gelu"] else F.gelu
    x = torch.stack([open_clip_pixels(image, v["image_size"], raw["preprocess_cfg"]) for image in images])
    own = {k.removeprefix("visual."): tensor for k, tensor in w.items() if k.startswith("visual.")}
    if isinstance(v["layers"], list):
        pooled = resnet_oracle(own, x, tuple(v["layers"]), v["width"] * 32 // v["head_width"])
    else:
        x = F.conv2d(x, own["conv1.weight"], stride=v["patch_size"]).flatten(2).transpose(1, 2)
        x = torch.cat([own["class_embedding"].expand(len(x), 1, -1), x], dim=1) + own["positional_embedding"]
        x = F.layer_norm(x, x.shape[-1:], own["ln_pre.weight"], own["ln_pre.bias"], open_clip_eps(v))
        x = open_clip_stack(own, "transformer.resblocks.", x, v["width"] // v["head_width"], v, act,
                            causal=False)[:, 0]
        x = F.layer_norm(x, x.shape[-1:], own["ln_post.weight"], own["ln_post.bias"], open_clip_eps(v))
        pooled = x @ own["proj"]
    assert t["hf_tokenizer_name"]  # else open_clip would take the released vocabulary, which this is not
    ids = AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", max_length=t["context_length"],
                                                padding="max_length", truncation=True).input_ids
    y = w["token_embedding.weight"][ids] + w["positional_embedding"]
    y = open_clip_stack(w, "transformer.resblocks.", y, t["heads"], t, act, causal=True)
    y = F.layer_norm(y, y.shape[-1:], w["ln_final.weight"], w["ln_final.bias"], open_clip_eps(t))
    texts = y[torch.arange(len(ids)), ids.argmax(-1)] @ w["text_projection"]
    return F.normalize(pooled, dim=-1), F.normalize(texts, dim=-1), w["logit_scale"].exp().item()


def onnx_vectors(folder: Path, images, texts) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The same by ONNX Runtime and config.json, as another language would."""
    import onnxruntime

    raw = json.loads((folder / "config.json").read_text())
    embedder = clipmini.load(folder)
    run = {name: onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("image", "text")}
    pixels, ids = embedder.pixels(images), embedder.tokenizer(texts)
    vectors = (run["image"].run(None, {"pixels": pixels.numpy()})[0], run["text"].run(None, {"ids": ids.numpy()})[0])
    return *map(torch.from_numpy, vectors), raw["onnx"]["scale"]


OTHERS = {"transformers": (transformers_vectors, "floor"), "open_clip": (open_clip_vectors, "round"),
          "onnx": (onnx_vectors, None)}


def round_trip(layout: str, config: CLIPConfig, tokenizer, folder: Path, seed: int) -> bool:
    """Export, read back twice and compare; whether it was written. What the other library cuts at another odd pixel was
    told in a warning, and is compared with the same model that cuts there."""
    model, (other, crop) = built(config, seed), OTHERS[layout]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            export(model, tokenizer, folder, layout)
        except CheckpointError as error:
            assert not folder.exists() and "cannot export" in str(error)
            return False
    moved = crop is not None and config.vision.resize_mode == "shortest" and config.vision.crop != crop
    assert moved == any("cuts an odd number of pixels" in str(w.message) for w in told)
    if moved:
        model.config = replace(config, vision=replace(config.vision, crop=crop))
    ours, back, images = Embedder(model, tokenizer), clipmini.load(folder, device="cpu"), pictures(seed)
    vectors = ours.embed_images(images), ours.embed_texts(TEXTS)
    for got in ((back.embed_images(images), back.embed_texts(TEXTS), back.logit_scale), other(folder, images, TEXTS)):
        torch.testing.assert_close(got[0], vectors[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(got[1], vectors[1], rtol=0, atol=1e-5)
        assert got[2] == pytest.approx(ours.logit_scale, rel=1e-5)
    assert back.logit_bias == ours.logit_bias
    return True


@pytest.mark.parametrize("layout", CONFIGS)
def test_any_configuration_comes_back_or_is_refused(layout, tokenizer, tmp_path):
    rng, written, towers = random.Random(layout), 0, set()
    for seed in range(CONFIGS[layout]):
        config = random_config(rng, tokenizer, layout, seed)
        try:
            done = round_trip(layout, config, tokenizer, tmp_path / str(seed), seed)
        except AssertionError as error:
            raise AssertionError(f"configuration {seed}: {config}\n{error}") from error
        written += done
        towers |= {(config.vision.tower, done)}
    assert written > CONFIGS[layout] * 0.4 and len({tower for tower, _ in towers}) == 3


# ---------------------------------------------------------------- refused before a byte is written


@pytest.fixture(params=["packed", "int8"])
def changed(request, make_clip):
    """A model whose matrices are no longer those that its configuration describes."""
    return pack(make_clip("vit-transformer")) if request.param == "packed" else int8(make_clip("vit-transformer"))


@pytest.mark.parametrize("layout", [*CONFIGS, "ours"])
def test_packed_and_int8_models_are_refused_with_the_remedy(layout, changed, tokenizer, tmp_path):
    with pytest.raises(CheckpointError, match=r"packed, quantised or replaced. Load it without packed=True"):
        if layout == "ours":
            checkpoint.save(tmp_path / "x", changed, tokenizer)
        else:
            export(changed, tokenizer, tmp_path / "x", layout)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", [*CONFIGS, "ours"])
def test_a_packed_model_without_a_transformer_is_refused_too(layout, make_clip, tokenizer, tmp_path):
    model = pack(make_clip("light-cbow"))
    with pytest.raises(CheckpointError, match="packed, quantised or replaced|cannot export"):
        if layout == "ours":
            checkpoint.save(tmp_path / "x", model, tokenizer)
        else:
            export(model, tokenizer, tmp_path / "x", layout)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", CONFIGS)
def test_what_a_reader_would_refuse_is_not_written(layout, make_clip, tokenizer, tmp_path):
    model = make_clip("vit-transformer")
    shorter = Tokenizer(tokenizer.merges, 16)
    with pytest.raises(CheckpointError, match="a context of 32, .* a context of 16, "):
        export(model, shorter, tmp_path / "x", layout)
    model.text.ln_final.bias.data[0] = float("nan")
    with pytest.raises(CheckpointError, match="holds NaN or infinite numbers, first in 'ln_final.bias'"):
        export(model, tokenizer, tmp_path / "x", layout)
    with pytest.raises(CheckpointError, match="with WordPieces"):
        export(make_clip("vit-transformer"), type("WordPieces", (), {})(), tmp_path / "x", layout)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", ["transformers", "open_clip"])
def test_two_activations_are_no_layouts(layout, make_clip, tokenizer, tmp_path):
    model = make_clip("vit-transformer", vision={"activation": "quick_gelu"}, text={"activation": "gelu"})
    with pytest.raises(CheckpointError, match="two activations, gelu and quick_gelu"):
        export(model, tokenizer, tmp_path / "x", layout)
    assert not list(tmp_path.iterdir())


def test_what_no_file_can_tell_is_told_in_a_warning(make_clip, tokenizer, tmp_path):
    repairing = Tokenizer(tokenizer.merges, tokenizer.context_length, repair=True)
    model = make_clip("vit-transformer", vision={"crop": "floor"})
    with pytest.warns(UserWarning, match="transformers does not mend broken Unicode"):
        export(model, repairing, tmp_path / "a")
    with pytest.warns(UserWarning, match="open_clip cuts an odd number of pixels.*and it mends broken Unicode"):
        export(model, tokenizer, tmp_path / "b", "open_clip")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export(model, tokenizer, tmp_path / "c")


def test_the_released_vocabulary_is_open_clips_own(tmp_path):
    from clipmini.families.open_clip import RELEASED
    from clipmini.families.vocabularies import released_merges

    if released_merges() is None:
        pytest.skip("install open_clip_torch without its dependencies")
    assert checkpoint.fingerprint(Tokenizer.from_merges_file(released_merges())) == RELEASED


def test_saving_draws_no_random_numbers(make_clip, tokenizer, tmp_path):
    model = make_clip("vit-transformer")
    before = torch.get_rng_state()
    checkpoint.save(tmp_path / "x", model, tokenizer)
    assert torch.equal(torch.get_rng_state(), before)
