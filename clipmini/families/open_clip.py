"""Folders in the layout of open_clip, read and written."""

from pathlib import Path
from typing import Any

from clipmini.checkpoint import fingerprint
from clipmini.config import CLIPConfig, TextConfig, VisionConfig
from clipmini.families import known
from clipmini.families.agreement import check_size
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


def open_clip_clip(folder: Path) -> CLIPConfig:
    """open_clip_config.json -> CLIPConfig."""
    path = folder / "open_clip_config.json"
    raw = known.obeyed(read_json(path), known.OPEN_CLIP_FILE, path)
    cfg = known.obeyed(value_of(raw, "model_cfg", path), known.OPEN_CLIP, path, "model_cfg")
    vision = known.obeyed(value_of(cfg, "vision_cfg", path), known.OPEN_CLIP_VISION, path, "vision_cfg")
    text = known.obeyed(value_of(cfg, "text_cfg", path), known.OPEN_CLIP_TEXT, path, "text_cfg")
    act = "quick_gelu" if cfg.get("quick_gelu") else "gelu"
    width, layers, head = vision.get("width", 768), vision.get("layers", 12), vision.get("head_width", 64)
    pixels = {**open_clip_pixels(path, known.square(vision.get("image_size", 224), "image_size", path)),
              "activation": act, "eps": _eps(vision, "vision_cfg", path)}
    if isinstance(layers, list):
        tower = VisionConfig("resnet", width=width, layers=tuple(layers), heads=width * 32 // head, **pixels)
    else:
        tower = VisionConfig("vit", width=width, layers=layers, heads=width // head, **pixels,
                             mlp_width=own_mlp_width(int(width * vision.get("mlp_ratio", 4.0)), width),
                             patch_size=known.square(vision.get("patch_size", 16), "patch_size", path))
    last, width = text.get("vocab_size", 49408) - 1, text.get("width", 512)
    reader = TextConfig("transformer", last + 1, text.get("context_length", 77), width, text.get("layers", 12),
                        text.get("heads", 8), act, own_mlp_width(int(width * text.get("mlp_ratio", 4.0)), width),
                        sot_id=last - 1, eos_id=last, pad_id=last, eps=_eps(text, "text_cfg", path))
    return CLIPConfig(tower, reader, embed_dim=value_of(cfg, "embed_dim", path), sigmoid="init_logit_bias" in cfg)


def open_clip_pixels(path: Path, image_size: int) -> dict[str, Any]:
    """preprocess_cfg of an open_clip_config.json -> VisionConfig's fields about pixels."""
    pixels = known.obeyed(read_json(path).get("preprocess_cfg") or {}, known.OPEN_CLIP_PIXELS, path, "preprocess_cfg")
    side = known.square(pixels.pop("size", image_size), "preprocess_cfg.size", path)
    if side != image_size:
        raise CheckpointError(f"{str(path)!r} makes pictures of {side} pixels and has image_size {image_size}; correct "
                              "the wrong one")
    check_size(path.parent, path.name, image_size)
    return {"image_size": image_size, **pixels}


def _eps(section: dict, where: str, path: Path) -> Any:
    """What LayerNorms add to the variance: 1e-5 unless norm_kwargs say another."""
    return known.obeyed(section.get("norm_kwargs", {}), {"eps": known.ANY}, path, f"{where}.norm_kwargs"
                        ).get("eps", 1e-5)


def norm_kwargs(eps: float) -> dict[str, Any]:
    """The entry of vision_cfg and text_cfg that says what LayerNorms add to the variance, where it is not 1e-5."""
    return {} if eps == 1e-5 else {"norm_kwargs": {"eps": eps}}


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
                   "mlp_ratio": _mlp_ratio(v.width, v.mlp_width), **norm_kwargs(v.eps)}
    else:
        vision["head_width"] = v.width * 32 // v.heads
    text = {key: getattr(t, key) for key in ("context_length", "vocab_size", "width", "heads", "layers")}
    text |= {"mlp_ratio": _mlp_ratio(t.width, t.mlp_width)} if t.mlp_width else {}
    text |= {"hf_tokenizer_name": vocabulary} if vocabulary else {}
    text |= norm_kwargs(t.eps)
    model = {"embed_dim": config.embed_dim, "quick_gelu": t.activation == "quick_gelu", "vision_cfg": vision,
             "text_cfg": text}
    if config.sigmoid:
        model["init_logit_bias"] = -10.0
    pixels = {"mean": list(v.mean), "std": list(v.std), "interpolation": v.interpolation, "resize_mode": v.resize_mode}
    return {"model_cfg": model, "preprocess_cfg": pixels}


def claims(path: Path) -> bool:
    """Whether the folder has an open_clip_config.json; families that are asked earlier may have claimed it by then."""
    return (path / "open_clip_config.json").is_file()


def load(path: Path, image_size: int | None = None, file: Path | None = None) -> tuple[CLIP, Tokenizer, dict]:
    """A folder -> (CLIP in evaluation mode, tokenizer, meta). Weights become float32 whatever the file holds.

    image_size: another side in pixels than the weights were trained with; position embeddings are then interpolated.
    file: the weights; default: the best that are in the folder. Raises CheckpointError.
    """
    with describing(path):
        config = open_clip_clip(path)
        check_activation(path, config)
        file = file or weights_file(path, WEIGHTS)
        weights = cleaned(read_archive(file))
    model = empty_model(config, weights, repr(str(file)))
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
