"""Folders in the layout of open_clip, read and written."""

from pathlib import Path
from typing import Any

from clipmini.checkpoint import fingerprint
from clipmini.config import CLIPConfig, TextConfig, VisionConfig
from clipmini.families.assemble import (
    check_activation,
    check_exportable,
    cleaned,
    describing,
    empty_model,
    filled,
    own_mlp_width,
    tell_differences,
    weights_file,
    write_export,
    written_weights,
)
from clipmini.families.torchscript import read_archive
from clipmini.families.vocabularies import read_tokenizer
from clipmini.files import CheckpointError, read_json, value_of
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer

# Best first.
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "model.safetensors", "pytorch_model.bin")
RELEASED = "f61f2adf497e6f53"  # checkpoint.fingerprint of CLIP's released vocabulary, which open_clip carries
# Keys that open_clip's configurations may have: None where any value will do, else the only one that is CLIP's.
VISION_KEYS = {"image_size": None, "layers": None, "width": None, "patch_size": None, "head_width": None,
               "mlp_ratio": None, "patch_dropout": None, "attentional_pool": False, "pool_type": "tok",
               "output_tokens": False}
TEXT_KEYS = {"context_length": None, "vocab_size": None, "width": None, "heads": None, "layers": None,
             "mlp_ratio": None, "hf_tokenizer_name": None, "embed_cls": False, "output_tokens": False,
             "no_causal_mask": False, "pool_type": "argmax", "proj_type": "linear", "proj_bias": False}


def _only(section: dict, known: dict, path: Path, where: str) -> None:
    """Refuse what this CLIP does not have: a key we don't know, or know under one value only."""
    for key, value in section.items():
        if key not in known or known[key] is not None and value not in (known[key], None):
            raise CheckpointError(f"{str(path)!r} asks for {where}.{key} = {value!r}, which clipmini's towers don't "
                                  "have; open this model with the library that wrote it")


def open_clip_clip(folder: Path) -> CLIPConfig:
    """open_clip_config.json -> CLIPConfig."""
    path = folder / "open_clip_config.json"
    raw = read_json(path)
    cfg, pixels = value_of(raw, "model_cfg", path), raw.get("preprocess_cfg", {})
    _only(cfg, {"embed_dim": None, "vision_cfg": None, "text_cfg": None, "quick_gelu": None, "custom_text": None,
                "init_logit_scale": None, "init_logit_bias": None}, path, "model_cfg")
    vision, text = value_of(cfg, "vision_cfg", path), value_of(cfg, "text_cfg", path)
    _only(vision, VISION_KEYS, path, "vision_cfg")
    _only(text, TEXT_KEYS, path, "text_cfg")
    act = "quick_gelu" if cfg.get("quick_gelu") else "gelu"
    side, width, layers = vision.get("image_size", 224), vision.get("width", 768), vision.get("layers", 12)
    side = side[0] if isinstance(side, list) else side
    head = vision.get("head_width") or 64
    known = ("mean", "std", "interpolation", "resize_mode")
    pixels = {"image_size": side, "activation": act, **{key: pixels[key] for key in known if key in pixels}}
    if isinstance(layers, list):
        tower = VisionConfig("resnet", width=width, layers=tuple(layers), heads=width * 32 // head, **pixels)
    else:
        hidden = int(width * vision.get("mlp_ratio", 4.0))
        tower = VisionConfig("vit", width=width, layers=layers, heads=width // head, **pixels,
                             mlp_width=own_mlp_width(hidden, width), patch_size=vision.get("patch_size", 32))
    last, wide = text.get("vocab_size", 49408) - 1, text.get("width", 512)
    reader = TextConfig("transformer", last + 1, text.get("context_length", 77), wide, text.get("layers", 12),
                        text.get("heads", 8), act, own_mlp_width(int(wide * text.get("mlp_ratio", 4.0)), wide),
                        sot_id=last - 1, eos_id=last, pad_id=last)
    return CLIPConfig(tower, reader, embed_dim=cfg["embed_dim"], sigmoid=cfg.get("init_logit_bias") is not None)


def _mlp_ratio(width: int, mlp_width: int) -> float:
    hidden = mlp_width or 4 * width
    ratio = hidden / width
    return ratio + 1e-6 * (int(width * ratio) < hidden)  # open_clip rounds down


def open_clip_config(config: CLIPConfig, vocabulary: str = "") -> dict:
    """open_clip_config.json of the same model for open_clip. vocabulary: the name of the folder whose vocabulary it is
    to take, in place of the released one."""
    v, t = config.vision, config.text
    vision: dict[str, Any] = {"image_size": v.image_size, "width": v.width, "layers": v.layers}
    if v.tower == "vit":
        vision |= {"patch_size": v.patch_size, "head_width": v.width // v.heads,
                   "mlp_ratio": _mlp_ratio(v.width, v.mlp_width)}
    else:
        vision["head_width"] = v.width * 32 // v.heads
    text = {key: getattr(t, key) for key in ("context_length", "vocab_size", "width", "heads", "layers")}
    text |= {"mlp_ratio": _mlp_ratio(t.width, t.mlp_width)} if t.mlp_width else {}
    text |= {"hf_tokenizer_name": vocabulary} if vocabulary else {}
    model = {"embed_dim": config.embed_dim, "quick_gelu": t.activation == "quick_gelu", "vision_cfg": vision,
             "text_cfg": text}
    if config.sigmoid:
        model["init_logit_bias"] = -10.0
    pixels = {"mean": list(v.mean), "std": list(v.std), "interpolation": v.interpolation, "resize_mode": v.resize_mode}
    return {"model_cfg": model, "preprocess_cfg": pixels}


def claims(path: Path) -> bool:
    """Whether the folder has an open_clip_config.json; families that are asked earlier may have claimed it by then."""
    return (path / "open_clip_config.json").is_file()


def load(path: Path, image_size: int | None = None) -> tuple[CLIP, Tokenizer, dict]:
    """A folder -> (CLIP in evaluation mode, tokenizer, meta). Weights become float32 whatever the file holds.

    image_size: another side in pixels than the weights were trained with; position embeddings are then interpolated.
    Raises CheckpointError.
    """
    with describing(path):
        config = open_clip_clip(path)
        check_activation(path, config)
        file = weights_file(path, WEIGHTS)
        weights = cleaned(read_archive(file))
    model = empty_model(config, weights)
    if any(name.startswith("text.") for name in weights):  # newer files keep the text tower apart
        weights = {name.removeprefix("text."): tensor for name, tensor in weights.items()}
    model = filled(model, weights, repr(str(file)), image_size)
    tokenizer = read_tokenizer(path, config.text, repair=True)
    return model, tokenizer, {"templates": "photo", "layout": "open_clip", "file": file.name}


def export(model: CLIP, tokenizer: Tokenizer, folder: Path, meta: dict | None = None) -> Path:
    """Write a folder for open_clip: a ViT or CLIP's ResNet with a text Transformer, and the sigmoid's bias if any.

    A vocabulary that is not the released one is named as hf_tokenizer_name: open_clip then reads the folder's own from
    "local-dir:FOLDER"; on the hub the name must be the repository's. Warns of what open_clip's code does otherwise.
    Raises CheckpointError, before a byte is written, for other towers and for what could not be read back, and when the
    folder can't be written.
    """
    check_exportable(model, tokenizer, "open_clip has a ViT or CLIP's ResNet", ("vit", "resnet"), sigmoid=True)
    tell_differences(model, tokenizer, "open_clip", crop="round", repair=True)
    vocabulary = "" if fingerprint(tokenizer) == RELEASED else Path(folder).name
    configs = {"open_clip_config.json": open_clip_config(model.config, vocabulary)}
    return write_export(folder, "open_clip_model.safetensors", written_weights(model), tokenizer, configs)
