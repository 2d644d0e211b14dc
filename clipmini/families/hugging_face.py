"""Folders in the layout of transformers: CLIPModel and ChineseCLIPModel, read and written."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clipmini.config import CLIPConfig, TextConfig, VisionConfig
from clipmini.families import known
from clipmini.families.agreement import check_size, open_clip_pixels, processor
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
from clipmini.families.vocabularies import chinese_tokenizer, read_tokenizer
from clipmini.families.wordpieces import WordPieces
from clipmini.files import CheckpointError, read_json, value_of
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer

TYPES = ("clip", "chinese_clip")  # model_type in config.json
# Best first.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
# Our name (OpenAI's) on the left, Hugging Face's on the right.
HUGGING_FACE_NAMES = (
    ("logit_scale", "logit_scale"),
    ("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("ln_final.", "text_model.final_layer_norm."),
    ("text_projection", "text_projection.weight"),
    ("transformer.resblocks.", "text_model.encoder.layers."),
    ("bert.", "text_model."),
    ("visual.class_embedding", "vision_model.embeddings.class_embedding"),
    ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"),
    ("visual.ln_pre.", "vision_model.pre_layrnorm."),  # their spelling
    ("visual.ln_post.", "vision_model.post_layernorm."),
    ("visual.proj", "visual_projection.weight"),
    ("visual.transformer.resblocks.", "vision_model.encoder.layers."),
)
BLOCK_NAMES = (("ln_1.", "layer_norm1."), ("ln_2.", "layer_norm2."), ("attn.out_proj.", "self_attn.out_proj."),
               ("mlp.c_fc.", "mlp.fc1."), ("mlp.c_proj.", "mlp.fc2."))
TRANSPOSED = ("text_projection", "visual.proj")  # they are nn.Linear there, plain matrices here
# transformers writes only what differs from its defaults, which are these.
CLIP_VISION = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
               "hidden_act": "quick_gelu", "patch_size": 32, "image_size": 224, "layer_norm_eps": 1e-5}
CLIP_TEXT = {"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, "intermediate_size": 2048,
             "hidden_act": "quick_gelu", "vocab_size": 49408, "max_position_embeddings": 77, "layer_norm_eps": 1e-5}
CHINESE_TEXT = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
                "hidden_act": "gelu", "vocab_size": 30522, "max_position_embeddings": 512, "layer_norm_eps": 1e-12}


def hugging_face_name(name: str) -> str:
    """One of our parameter names in Hugging Face's spelling.

    >>> hugging_face_name("visual.transformer.resblocks.3.mlp.c_fc.weight")
    'vision_model.encoder.layers.3.mlp.fc1.weight'
    """
    for ours, theirs in HUGGING_FACE_NAMES:
        if name == ours or (ours.endswith(".") and name.startswith(ours)):
            rest = name[len(ours):]
            for old, new in BLOCK_NAMES if "resblocks" in ours else ():
                rest = rest.replace(old, new)
            return theirs + rest
    raise CheckpointError(f"{name!r} has no counterpart in transformers' CLIPModel; only a ViT with a text Transformer "
                          "has")


def to_hugging_face(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict -> transformers' CLIPModel state dict. Joint query/key/value matrices are cut in three."""
    out: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        parts = tensor.chunk(3) if "in_proj_" in name else [tensor.t() if name in TRANSPOSED else tensor]
        out |= {theirs: part.contiguous() for theirs, part in zip(_their_names(name), parts, strict=True)}
    return out


def _their_names(name: str) -> list[str]:
    """The tensors of a Hugging Face file that make one of ours: three for a joint query/key/value matrix."""
    stem, _, kind = name.rpartition("in_proj_")
    if not stem:
        return [hugging_face_name(name)]
    return [hugging_face_name(f"{stem}out_proj.{kind}").replace("out_proj", f"{letter}_proj") for letter in "qkv"]


def from_hugging_face(weights: dict[str, Tensor], model: CLIP, source: str) -> dict[str, Tensor]:
    """The inverse: a CLIPModel's state dict -> ours, for the names that model has. CheckpointError names one."""
    weights, out = dict(weights), dict[str, Tensor]()
    for name in model.state_dict():
        theirs = _their_names(name)
        lacking = next((part for part in theirs if part not in weights), None)
        if lacking:
            raise CheckpointError(f"{source} lacks {lacking!r} (ours: {name!r}); the file is of another model than its "
                                  "config.json, or incomplete: take both from one place")
        parts = [weights.pop(part) for part in theirs]
        whole = torch.cat(parts) if len(parts) == 3 else parts[0]
        out[name] = whole.t().contiguous() if name in TRANSPOSED else whole
    if weights:
        raise CheckpointError(f"{source} has {len(weights)} tensors that config.json does not speak of, first "
                              f"{next(iter(weights))!r}; take both files of one model")
    return out


def hugging_face_clip(folder: Path) -> CLIPConfig:
    """config.json and preprocessor_config.json of a CLIPModel or ChineseCLIPModel folder -> CLIPConfig."""
    path = folder / "config.json"
    raw = known.obeyed(read_json(path), known.CONFIG, path)
    chinese = raw["model_type"] == "chinese_clip"
    vision = _section(raw, "vision_config", CLIP_VISION, known.VISION, path)
    text = _section(raw, "text_config", CHINESE_TEXT if chinese else CLIP_TEXT,
                    known.CHINESE if chinese else known.TEXT, path)
    ids = {"sot_id": 101, "eos_id": 102, "pad_id": 0} if chinese else _special_ids(text, path)
    length = 52 if chinese else text["max_position_embeddings"]  # Chinese-CLIP was trained with 52
    side = known.square(vision["image_size"], "vision_config.image_size", path)
    return CLIPConfig(
        VisionConfig("vit", patch_size=known.square(vision["patch_size"], "vision_config.patch_size", path),
                     **_our_tower(vision), **hugging_face_pixels(folder, side)),
        TextConfig("bert" if chinese else "transformer", vocab_size=text["vocab_size"], context_length=length,
                   **_our_tower(text), **ids),
        embed_dim=raw.get("projection_dim", 512))


def _section(raw: dict, name: str, defaults: dict, table: dict, path: Path) -> dict[str, Any]:
    """A tower's entries with transformers' defaults. Older files have a second section, vision_config_dict, which wins
    with all that it says and all that it leaves to the defaults."""
    first, second = (known.obeyed(raw.get(key, {}), table, path, key) for key in (name, f"{name}_dict"))
    return {**defaults, **first, **(defaults if f"{name}_dict" in raw else {}), **second}


def _our_tower(theirs: dict) -> dict[str, Any]:
    """What VisionConfig and TextConfig have in common."""
    return {"width": theirs["hidden_size"], "layers": theirs["num_hidden_layers"], "activation": theirs["hidden_act"],
            "heads": theirs["num_attention_heads"], "eps": theirs["layer_norm_eps"],
            "mlp_width": own_mlp_width(theirs["intermediate_size"], theirs["hidden_size"])}


def _special_ids(text: dict, path: Path) -> dict[str, Any]:
    """Start, end and padding. Many published configs say that the end is 2, which is the "#" of CLIP's vocabulary: they
    come from a default that was wrong, and transformers then looks for the largest id. That one is mended; others are
    errors."""
    last = text["vocab_size"] - 1
    if text.get("eos_token_id", last) not in (2, last):
        raise CheckpointError(f"{str(path)!r} says that captions end with id {text['eos_token_id']}; CLIP's end token "
                              f"is the last of its {text['vocab_size']} ids, {last}. Correct text_config.eos_token_id")
    return {"sot_id": last - 1, "eos_id": last, "pad_id": last}


def hugging_face_pixels(folder: Path, image_size: int) -> dict:
    """preprocessor_config.json (or processor_config.json, or open_clip's) -> VisionConfig's fields about pixels."""
    check_size(folder, "config.json", image_size)
    if said := open_clip_pixels(folder):
        return {"image_size": image_size, **said}
    path, raw = _processor(folder)
    squash, side, cut = _geometry(raw, image_size, path)
    if side != image_size or cut != image_size:
        raise CheckpointError(f"{str(path)!r} makes pictures of {side} cut to {cut} pixels; clipmini resizes to the "
                              f"{image_size} that the tower takes. Open this model with the library that wrote it")
    resample = raw.get("resample", 3)
    known_ways = {2: "bilinear", 3: "bicubic"}
    if not isinstance(resample, int) or resample not in known_ways:
        raise CheckpointError(f"{str(path)!r} says resample {resample!r}; clipmini has 2 (bilinear) and 3 (bicubic). "
                              "Open this model with the library that wrote it")
    return {"image_size": image_size, **_levels(raw, path), "interpolation": known_ways[resample],
            "resize_mode": "squash" if squash else "shortest", "crop": "floor"}


def _processor(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file that says how pictures are prepared, and the entries that are to be obeyed."""
    found = processor(folder)
    if found is None:
        raise CheckpointError(f"{str(folder)!r} has no preprocessor_config.json; without it nobody knows how the "
                              "pictures were prepared. Download it from the model's page")
    path, raw = found
    if "image_processor" in raw:
        section = known.obeyed(raw, known.PROCESSOR, path).get("image_processor", {})
        return path, known.obeyed(section, known.PIXELS, path, "image_processor")
    return path, known.obeyed(raw, known.PIXELS, path)


def _geometry(raw: dict, image_size: int, path: Path) -> tuple[bool, Any, Any]:
    """Whether both sides are squeezed, to which side in pixels, and the side that is then cut out."""
    size = value_of(raw, "size", path)
    size = {"shortest_edge": size} if isinstance(size, int) else size
    squash = isinstance(size, dict) and "shortest_edge" not in size
    if squash:
        side = known.square(size, "size", path)
    elif isinstance(size, dict) and len(size) == 1:
        side = size["shortest_edge"]
    else:
        raise CheckpointError(f"{str(path)!r} asks for size = {size!r}, which clipmini does not have; it has "
                              "shortest_edge alone, or height and width")
    if not raw.get("do_center_crop", not squash):
        if not squash:
            raise CheckpointError(f"{str(path)!r} asks for do_center_crop = False; pictures would keep their shape, "
                                  "and clipmini's are square. Open this model with the library that wrote it")
        return squash, side, side
    return squash, side, known.square(raw.get("crop_size", image_size), "crop_size", path)


def _levels(raw: dict, path: Path) -> dict[str, tuple[float, ...]]:
    """mean and std in units of 0..1. Another rescale_factor f than 1/255, or none (f = 1), is the same as other means:
    (level * f - mean) / std = (level / 255 - mean / 255 f) / (std / 255 f)."""
    normalise = raw.get("do_normalize", True)
    mean, std = ([_number(n, f"image_{key}", path) for n in _three(value_of(raw, f"image_{key}", path), key, path)]
                 if normalise else [value] * 3 for key, value in (("mean", 0.0), ("std", 1.0)))
    factor = _number(raw.get("rescale_factor", 1 / 255), "rescale_factor", path) if raw.get("do_rescale", True) else 1.0
    if not factor > 0:
        raise CheckpointError(f"{str(path)!r} says rescale_factor {factor}; it is 1/255 in every CLIP")
    scale = 255 * factor
    scale = 1.0 if abs(scale - 1) < 1e-6 else scale  # files round 1/255
    return {"mean": tuple(m / scale for m in mean), "std": tuple(s / scale for s in std)}


def _three(value: Any, key: str, path: Path) -> list:
    if isinstance(value, list) and len(value) == 3:
        return value
    raise CheckpointError(f"{str(path)!r} says image_{key} {value!r}; a picture has three channels, give three numbers")


def _number(value: Any, name: str, path: Path) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise CheckpointError(f"{str(path)!r} says {name} {value!r} where a number should stand; correct it")


def _tower(c: VisionConfig | TextConfig) -> dict:
    return {"hidden_size": c.width, "intermediate_size": c.mlp_width or 4 * c.width, "num_hidden_layers": c.layers,
            "num_attention_heads": c.heads, "hidden_act": c.activation, "layer_norm_eps": c.eps}


def hugging_face_config(config: CLIPConfig) -> dict:
    """config.json of the same model for transformers."""
    v, t = config.vision, config.text
    vision = {**_tower(v), "image_size": v.image_size, "patch_size": v.patch_size, "projection_dim": config.embed_dim,
              "model_type": "clip_vision_model"}
    text = {**_tower(t), "vocab_size": t.vocab_size,
            "max_position_embeddings": t.context_length, "bos_token_id": t.sot_id, "eos_token_id": t.eos_id,
            "pad_token_id": t.pad_id, "projection_dim": config.embed_dim, "model_type": "clip_text_model"}
    return {"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": config.embed_dim,
            "logit_scale_init_value": config.logit_scale_init, "vision_config": vision, "text_config": text,
            "dtype": "float32"}


def hugging_face_preprocessor(config: CLIPConfig) -> dict:
    """preprocessor_config.json: the same resize, crop and normalisation for transformers."""
    v = config.vision
    square = {"height": v.image_size, "width": v.image_size}
    squash = v.resize_mode == "squash"
    return {"image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True, "do_resize": True,
            "size": square if squash else {"shortest_edge": v.image_size},
            "resample": {"bilinear": 2, "bicubic": 3}[v.interpolation],
            "do_center_crop": not squash, "crop_size": square,
            "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
            "image_mean": list(v.mean), "image_std": list(v.std)}


def claims(path: Path) -> bool:
    """Whether config.json is of a CLIPModel or ChineseCLIPModel, and the weights are not open_clip's only."""
    config = path / "config.json"
    if not config.is_file() or read_json(config).get("model_type") not in TYPES:
        return False
    return any((path / file).is_file() for file in WEIGHTS) or not (path / "open_clip_config.json").is_file()


def load(path: Path, image_size: int | None = None, file: Path | None = None
         ) -> tuple[CLIP, Tokenizer | WordPieces, dict]:
    """A folder -> (CLIP in evaluation mode, tokenizer, meta). Weights become float32 whatever the file holds.

    image_size: another side in pixels than the weights were trained with; position embeddings are then interpolated.
    file: the weights; default: the best that are in the folder. Raises CheckpointError.
    """
    with describing(path):
        config = hugging_face_clip(path)
        check_activation(path, config)
        file = file or weights_file(path, WEIGHTS)
        weights = cleaned(read_archive(file))
    source = repr(str(file))
    model = empty_model(config, weights, source)
    model = filled(model, from_hugging_face(weights, model, source), source, image_size)
    meta = {"templates": "photo", "layout": "hugging face", "file": file.name}
    if config.text.tower == "bert":
        return model, chinese_tokenizer(path, config.text), meta
    return model, read_tokenizer(path, config.text, repair=False), meta


def export(model: CLIP, tokenizer: Tokenizer, folder: Path, meta: dict | None = None) -> Path:
    """Write a folder for transformers' CLIPModel, CLIPTokenizer and CLIPImageProcessor: a ViT with a text Transformer.

    Warns of what transformers' code does otherwise. Raises CheckpointError, before a byte is written, for other towers
    and for what could not be read back, and when the folder can't be written.
    """
    check_exportable(model, tokenizer, "transformers' CLIPModel is a ViT", ("vit",), sigmoid=False)
    tell_differences(model, tokenizer, "transformers", crop="floor", repair=False)
    configs = {"config.json": hugging_face_config(model.config),
               "preprocessor_config.json": hugging_face_preprocessor(model.config)}
    return write_export(folder, "model.safetensors", to_hugging_face(written_weights(model)), tokenizer, configs)
