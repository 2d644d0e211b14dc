"""Other people's CLIP files -> our CLIP, and ours -> folders that transformers and open_clip open.

Read: folders in Hugging Face's layout (CLIPModel, ChineseCLIPModel) and in open_clip's, and OpenAI's TorchScript archives.
OpenAI and open_clip use our parameter names; for Hugging Face there is one table, below. Every key must find its place:
what is left over, missing or of another shape is an error that names it. SigLIP is another architecture: see siglip.py.
"""

import importlib.util
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.checkpoint import CheckpointError, fill
from clipmini.config import CLIPConfig, ConfigError, TextConfig, VisionConfig
from clipmini.files import written_whole
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer, TokenizerError
from clipmini.weights import read_json, read_tensors, value_of
from clipmini.wordpieces import WordPieces

# ---------------------------------------------------------------- names

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
NO_WEIGHTS = ("position_ids", "token_type_ids", "attn_mask", "input_resolution", "context_length", "vocab_size")


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
    raise CheckpointError(f"{name!r} has no counterpart in transformers' CLIPModel; only a ViT with a text Transformer has")


def to_hugging_face(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict -> transformers' CLIPModel state dict. Joint query/key/value matrices are cut in three."""
    out = {}
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
    """The inverse: a CLIPModel's state dict -> ours, for the names that model has. Raises CheckpointError with their name."""
    weights, out = dict(weights), {}
    for name in model.state_dict():
        theirs = _their_names(name)
        lacking = next((part for part in theirs if part not in weights), None)
        if lacking:
            raise CheckpointError(f"{source} lacks {lacking!r} (ours: {name!r}); the file is of another model than its "
                                  "config.json, or incomplete: download both again")
        parts = [weights.pop(part) for part in theirs]
        out[name] = torch.cat(parts) if len(parts) == 3 else parts[0].t().contiguous() if name in TRANSPOSED else parts[0]
    if weights:
        raise CheckpointError(f"{source} has {len(weights)} tensors that config.json does not speak of, first "
                              f"{next(iter(weights))!r}; download both files again")
    return out


# ---------------------------------------------------------------- configurations


def _only(section: dict, known: dict, path: Path, where: str) -> None:
    """Refuse what this CLIP does not have: a key we don't know, or know under one value only."""
    for key, value in section.items():
        if key not in known or known[key] is not None and value not in (known[key], None):
            raise CheckpointError(f"{str(path)!r} asks for {where}.{key} = {value!r}, which clipmini's towers don't have; "
                                  "open this model with the library that wrote it")


def hugging_face_clip(folder: Path) -> CLIPConfig:
    """config.json and preprocessor_config.json of a CLIPModel or ChineseCLIPModel folder -> CLIPConfig."""
    path = folder / "config.json"
    raw = read_json(path)
    kind, vision, text = raw["model_type"], value_of(raw, "vision_config", path), value_of(raw, "text_config", path)
    # transformers writes only what differs from its defaults, which are ViT-B/32's.
    vision = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "patch_size": 32, "image_size": 224,
              "intermediate_size": 3072, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, **vision}
    chinese = kind == "chinese_clip"
    defaults = {"hidden_size": 768 if chinese else 512, "num_hidden_layers": 12, "num_attention_heads": 12 if chinese else 8,
                "intermediate_size": 3072 if chinese else 2048, "hidden_act": "gelu" if chinese else "quick_gelu",
                "vocab_size": 30522 if chinese else 49408, "max_position_embeddings": 512 if chinese else 77}
    text = {**defaults, **text}
    if chinese and text["max_position_embeddings"] != 512:
        raise CheckpointError(f"{str(path)!r} says max_position_embeddings {text['max_position_embeddings']}; clipmini reads "
                              "Chinese-CLIPs with the 512 of the published ones")
    for section in (vision, text):
        if section.get("layer_norm_eps", 1e-5) not in (1e-5, 1e-12):
            raise CheckpointError(f"{str(path)!r} says layer_norm_eps {section['layer_norm_eps']}; CLIP's is 1e-5")
    towers = {"heads": "num_attention_heads", "layers": "num_hidden_layers", "width": "hidden_size", "activation": "hidden_act"}
    ids = {"sot_id": 101, "eos_id": 102, "pad_id": 0} if chinese else _special_ids(text, path)
    return CLIPConfig(
        VisionConfig("vit", patch_size=vision["patch_size"], **{ours: vision[theirs] for ours, theirs in towers.items()},
                     mlp_width=_hidden(vision["intermediate_size"], vision["hidden_size"]),
                     **hugging_face_pixels(folder, vision["image_size"])),
        TextConfig("bert" if chinese else "transformer", vocab_size=text["vocab_size"],
                   context_length=52 if chinese else text["max_position_embeddings"],  # Chinese-CLIP was trained with 52
                   mlp_width=_hidden(text["intermediate_size"], text["hidden_size"]), **ids,
                   **{ours: text[theirs] for ours, theirs in towers.items()}),
        embed_dim=raw.get("projection_dim", 512))


def _hidden(hidden: int, width: int) -> int:
    return 0 if hidden == 4 * width else hidden


def _special_ids(text: dict, path: Path) -> dict[str, int]:
    """Start, end and padding. Many published configs say that the end is 2, which is the "#" of CLIP's vocabulary: they come
    from a default that was wrong, and transformers then looks for the largest id. That one is mended; others are errors."""
    last = text["vocab_size"] - 1
    if text.get("eos_token_id", last) not in (2, last):
        raise CheckpointError(f"{str(path)!r} says that captions end with id {text['eos_token_id']}; CLIP's end token is the "
                              f"last of its {text['vocab_size']} ids, {last}. Correct text_config.eos_token_id")
    return {"sot_id": last - 1, "eos_id": last, "pad_id": last}


def hugging_face_pixels(folder: Path, image_size: int) -> dict:
    """preprocessor_config.json (or processor_config.json) -> VisionConfig's fields about pixels."""
    path = next((folder / n for n in ("preprocessor_config.json", "processor_config.json") if (folder / n).is_file()), None)
    if path is None:
        raise CheckpointError(f"{str(folder)!r} has no preprocessor_config.json; without it nobody knows how the pictures were "
                              "prepared. Download it from the model's page")
    raw = read_json(path)
    raw = raw.get("image_processor", raw)
    size, crop = raw.get("size", {}), raw.get("crop_size", image_size)
    size = {"shortest_edge": size} if isinstance(size, int) else size
    squash = "shortest_edge" not in size and "height" in size
    side = size["height"] if squash else size.get("shortest_edge", image_size)
    cut = crop if isinstance(crop, int) else crop.get("height", image_size)
    if side != image_size or not squash and cut != image_size:
        raise CheckpointError(f"{str(path)!r} makes pictures of {side} cut to {cut} pixels, config.json says {image_size}; "
                              "both files must be of one model")
    return {"image_size": image_size, **{k: tuple(value_of(raw, f"image_{k}", path)) for k in ("mean", "std")},
            "interpolation": {2: "bilinear", 3: "bicubic"}.get(raw.get("resample", 3), f"resample {raw.get('resample')}"),
            "resize_mode": "squash" if squash else "shortest", "crop": "floor"}


# Keys that open_clip's configurations may have: None where any value will do, else the only one that is CLIP's.
VISION_KEYS = {"image_size": None, "layers": None, "width": None, "patch_size": None, "head_width": None, "mlp_ratio": None,
               "patch_dropout": None, "attentional_pool": False, "pool_type": "tok", "output_tokens": False}
TEXT_KEYS = {"context_length": None, "vocab_size": None, "width": None, "heads": None, "layers": None, "mlp_ratio": 4.0,
             "embed_cls": False, "output_tokens": False, "no_causal_mask": False, "pool_type": "argmax", "proj_type": "linear",
             "proj_bias": False}


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
        tower = VisionConfig("vit", width=width, layers=layers, heads=width // head, patch_size=vision.get("patch_size", 32),
                             mlp_width=_hidden(int(width * vision.get("mlp_ratio", 4.0)), width), **pixels)
    vocabulary = text.get("vocab_size", 49408)
    return CLIPConfig(tower, TextConfig("transformer", vocabulary, text.get("context_length", 77), text.get("width", 512),
                                        text.get("layers", 12), text.get("heads", 8), act, sot_id=vocabulary - 2,
                                        eos_id=vocabulary - 1, pad_id=vocabulary - 1),
                      embed_dim=cfg["embed_dim"], sigmoid=cfg.get("init_logit_bias") is not None)


def openai_clip(weights: dict[str, Tensor], path: Path) -> CLIPConfig:
    """OpenAI's archives carry no configuration: the shapes tell all but the activation, and theirs is always QuickGELU."""
    needed = ("text_projection", "token_embedding.weight", "positional_embedding", "ln_final.weight", "visual.conv1.weight")
    lacking = next((name for name in needed if name not in weights), None)
    if lacking:
        hint = "; give its folder, which says what it is" if path.suffix == ".safetensors" else ""
        raise CheckpointError(f"{str(path)!r} lacks {lacking!r}; it holds no CLIP of OpenAI's{hint}")

    def blocks(prefix: str) -> int:
        return len({name[len(prefix):].split(".")[0] for name in weights if name.startswith(prefix)})

    text_width, vocabulary = weights["ln_final.weight"].shape[0], weights["token_embedding.weight"].shape[0]
    text = TextConfig("transformer", vocabulary, weights["positional_embedding"].shape[0], text_width,
                      blocks("transformer.resblocks."), text_width // 64, "quick_gelu", sot_id=vocabulary - 2,
                      eos_id=vocabulary - 1, pad_id=vocabulary - 1)
    if "visual.proj" in weights:
        width, patch = weights["visual.conv1.weight"].shape[0], weights["visual.conv1.weight"].shape[-1]
        side = patch * math.isqrt(weights["visual.positional_embedding"].shape[0] - 1)
        vision = VisionConfig("vit", side, width, blocks("visual.transformer.resblocks."), width // 64, patch, "quick_gelu")
    else:
        width = weights["visual.layer1.0.conv1.weight"].shape[0]
        side = 32 * math.isqrt(weights["visual.attnpool.positional_embedding"].shape[0] - 1)
        vision = VisionConfig("resnet", side, width, tuple(blocks(f"visual.layer{i}.") for i in (1, 2, 3, 4)), width * 32 // 64)
    return CLIPConfig(vision, text, embed_dim=weights["text_projection"].shape[1])


# ---------------------------------------------------------------- vocabularies


def released_merges() -> Path | None:
    """CLIP's released vocabulary on this computer: in the package open_clip (or clip), which is not imported."""
    for package in ("open_clip", "clip"):
        spec = importlib.util.find_spec(package)
        path = spec and spec.origin and Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
        if path and path.is_file():
            return path
    return None


def read_tokenizer(folder: Path, text: TextConfig, repair: bool):
    """The tokenizer of a folder with vocab.json and merges.txt, tokenizer.json, or OpenAI's merges; else the released one.

    repair: mend broken Unicode first, as OpenAI's and open_clip's code does; transformers' does not. Needs ftfy.
    """
    repair = repair and importlib.util.find_spec("ftfy") is not None
    try:
        if (folder / "merges.txt").is_file():
            tokenizer = Tokenizer.from_merges_file(folder / "merges.txt", text.context_length, repair)
        elif (folder / "tokenizer.json").is_file():
            merges = read_json(folder / "tokenizer.json").get("model", {}).get("merges", [])
            merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in merges]
            tokenizer = Tokenizer(merges, text.context_length, repair)
        else:
            path = next((p for p in (folder / "bpe_simple_vocab_16e6.txt.gz", released_merges()) if p and p.is_file()), None)
            if path is None:
                raise CheckpointError(
                    f"{str(folder)!r} brings no vocabulary, and CLIP's released one is not on this computer. Either put "
                    "bpe_simple_vocab_16e6.txt.gz (from OpenAI's repository) beside the weights, or: "
                    "pip install --no-deps open_clip_torch, which carries it")
            tokenizer = Tokenizer.from_merges_file(path, text.context_length, repair)
    except TokenizerError as error:
        raise CheckpointError(f"the vocabulary of {str(folder)!r} cannot be read: {error}") from error
    for name in ("vocab_size", "sot_id", "eos_id"):
        if getattr(tokenizer, name) != getattr(text, name):
            raise CheckpointError(f"{str(folder)!r} mixes two models: its vocabulary has {name} {getattr(tokenizer, name)}, the "
                                  f"configuration says {getattr(text, name)}; download all files of one model")
    return tokenizer


# ---------------------------------------------------------------- putting it together


WEIGHTS = {  # layout -> the files its weights may be in, best first
    "hugging face": ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"),
    "open_clip": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "model.safetensors", "pytorch_model.bin"),
}


def layout(folder: Path) -> str:
    """"clipmini", "onnx", "hugging face", "siglip" or "open_clip": whose folder it is. Raises CheckpointError for nobody's."""
    raw = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if "format" in raw:
        return "onnx" if "onnx" in raw else "clipmini"
    kind = raw.get("model_type")
    has = {name: any((folder / file).is_file() for file in files) for name, files in WEIGHTS.items()}
    if kind in ("clip", "chinese_clip") and (has["hugging face"] or not (folder / "open_clip_config.json").is_file()):
        return "hugging face"
    if kind in ("siglip", "siglip2"):
        return "siglip"
    if (folder / "open_clip_config.json").is_file():
        return "open_clip"
    if kind:
        raise CheckpointError(f"{str(folder)!r} holds a model of type {kind!r}; clipmini reads clip, chinese_clip, siglip and "
                              "siglip2")
    raise CheckpointError(f"{str(folder)!r} has no config.json and no open_clip_config.json that clipmini knows; give a folder "
                          "that clipmini, transformers or open_clip wrote")


def weights_file(folder: Path, kind: str) -> Path:
    """The file of a layout's weights. Raises CheckpointError that lists what is looked for."""
    found = next((folder / name for name in WEIGHTS[kind] if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(f"{str(folder)!r} has no weights; looked for {', '.join(WEIGHTS[kind])}. Download one of them")
    return found


def load(path: str | Path, image_size: int | None = None):
    """Somebody else's folder, or one of OpenAI's .pt archives -> (CLIP in evaluation mode, tokenizer, meta).

    image_size: another side in pixels than the weights were trained with; position embeddings are then interpolated.
    Weights become float32 whatever the file holds. Raises CheckpointError.
    """
    path = Path(path)
    try:
        if path.is_file():
            kind, weights = "openai", _cleaned(read_tensors(path))
            config, file = openai_clip(weights, path), path
        else:
            kind = layout(path)
            config = hugging_face_clip(path) if kind == "hugging face" else open_clip_clip(path)
            _check_activation(path, config)
            file = weights_file(path, kind)
            weights = _cleaned(read_tensors(file))
    except (ConfigError, KeyError, ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"the configuration of {str(path)!r} describes no CLIP that clipmini has "
                              f"({type(error).__name__}: {error}); download it again") from error
    # On "meta" there is no memory and no random number for weights that come from a file. BertModel has tables of its own.
    with torch.device("cpu" if config.text.tower == "bert" else "meta"):
        model = CLIP(_with_scale(config, weights))
    source = repr(str(file))
    if kind == "hugging face":
        weights = from_hugging_face(weights, model, source)
    elif any(name.startswith("text.") for name in weights):
        weights = {name.removeprefix("text."): tensor for name, tensor in weights.items()}
    # How many batches BatchNorm saw matters to nobody; OpenAI's archives don't say.
    weights |= {name: torch.tensor(0) for name in model.state_dict() if name.endswith("batches_tracked") and name not in weights}
    model = fill(model, weights, source, assign=True).eval().requires_grad_(False)
    if config.text.tower == "bert":
        tokenizer = _chinese_tokenizer(path, config.text)
    else:
        tokenizer = read_tokenizer(path.parent if path.is_file() else path, config.text, repair=kind != "hugging face")
    if image_size and image_size != config.vision.image_size:
        model = resized(model, image_size)
    return model, tokenizer, {"templates": "photo", "layout": kind, "file": file.name}


def _chinese_tokenizer(folder: Path, text: TextConfig) -> WordPieces:
    path = next((folder / name for name in ("vocab.txt", "tokenizer.json") if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(f"{str(folder)!r} has neither vocab.txt nor tokenizer.json; the download is incomplete")
    try:
        tokenizer = WordPieces(path, text.context_length)
    except Exception as error:  # tokenizers raises plain Exceptions
        raise CheckpointError(f"{str(path)!r} is damaged ({error}); download it again") from error
    if tokenizer.vocab_size != text.vocab_size or tokenizer.sot_id is None:
        raise CheckpointError(f"{str(path)!r} has {tokenizer.vocab_size} pieces, config.json says {text.vocab_size}; "
                              "download all files of one model")
    return tokenizer


def _cleaned(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what older libraries saved beside the weights: position numbers, masks."""
    return {name: tensor for name, tensor in weights.items() if name.rpartition(".")[2] not in NO_WEIGHTS}


def _with_scale(config: CLIPConfig, weights: dict[str, Tensor]) -> CLIPConfig:
    """Published scales are used as they are, also where they are a hair above ln 100."""
    scale = weights.get("logit_scale")
    if scale is None or scale.numel() != 1:
        return config
    weights["logit_scale"] = scale.reshape(())
    return replace(config, logit_scale_max=max(config.logit_scale_max, float(scale)))


def _check_activation(folder: Path, config: CLIPConfig) -> None:
    """A wrong activation costs accuracy in silence, so two files that disagree are an error."""
    said = {config.vision.activation if config.vision.tower == "vit" else config.text.activation, config.text.activation}
    said -= {"gelu"} if config.text.tower == "bert" else set()
    other = folder / "open_clip_config.json"
    if (folder / "config.json").is_file() and other.is_file() and config.text.tower == "transformer":
        model = read_json(other).get("model_cfg", {})
        said.add("quick_gelu" if model.get("quick_gelu") else "gelu")
    if len(said) > 1:
        raise CheckpointError(f"the configurations in {str(folder)!r} contradict one another: {' and '.join(sorted(said))}. "
                              "OpenAI's weights were trained with quick_gelu, most others with gelu; correct the wrong file")


# ---------------------------------------------------------------- another picture size


def resized(model: CLIP, image_size: int) -> CLIP:
    """The same weights for pictures of another side: position embeddings are interpolated bicubically (ViT, Dosovitskiy et
    al. 2021, section 3.2). Raises CheckpointError for a size that patches or strides do not divide."""
    name = "visual.positional_embedding" if model.config.vision.tower == "vit" else "visual.attnpool.positional_embedding"
    try:
        config = replace(model.config, vision=replace(model.config.vision, image_size=image_size))
    except ConfigError as error:
        raise CheckpointError(f"pictures of {image_size} pixels: {error}") from error
    weights = dict(model.state_dict())
    if name in weights:  # a light tower averages its grid and has no positions
        weights[name] = interpolated(weights[name], config.vision.grid)
    with torch.device("meta"):
        other = CLIP(config)
    return fill(other, weights, "the interpolated model", assign=True).eval().requires_grad_(False)


def interpolated(positions: Tensor, grid: int) -> Tensor:
    """Position embeddings (1 + old * old, W) -> (1 + grid * grid, W); the first row, the class token's, stays."""
    first, cells = positions[:1], positions[1:]
    old = math.isqrt(len(cells))
    cells = cells.t().reshape(1, -1, old, old)
    cells = F.interpolate(cells, size=(grid, grid), mode="bicubic", align_corners=False, antialias=grid < old)
    return torch.cat([first, cells.flatten(2)[0].t()])


# ---------------------------------------------------------------- export


def _tower(c: VisionConfig | TextConfig) -> dict:
    return {"hidden_size": c.width, "intermediate_size": c.mlp_width or 4 * c.width, "num_hidden_layers": c.layers,
            "num_attention_heads": c.heads, "hidden_act": c.activation, "layer_norm_eps": 1e-5}


def hugging_face_config(config: CLIPConfig) -> dict:
    """config.json of the same model for transformers."""
    v, t = config.vision, config.text
    vision = {**_tower(v), "image_size": v.image_size, "patch_size": v.patch_size, "projection_dim": config.embed_dim,
              "model_type": "clip_vision_model"}
    text = {**_tower(t), "vocab_size": t.vocab_size,
            "max_position_embeddings": t.context_length, "bos_token_id": t.sot_id, "eos_token_id": t.eos_id,
            "pad_token_id": t.pad_id, "projection_dim": config.embed_dim, "model_type": "clip_text_model"}
    return {"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": config.embed_dim,
            "logit_scale_init_value": config.logit_scale_init, "vision_config": vision, "text_config": text, "dtype": "float32"}


def hugging_face_preprocessor(config: CLIPConfig) -> dict:
    """preprocessor_config.json: the same resize, crop and normalisation for transformers."""
    v = config.vision
    return {"image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True, "do_resize": True,
            "size": {"shortest_edge": v.image_size}, "resample": {"bilinear": 2, "bicubic": 3}[v.interpolation],
            "do_center_crop": True, "crop_size": {"height": v.image_size, "width": v.image_size},
            "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
            "image_mean": list(v.mean), "image_std": list(v.std)}


def open_clip_config(config: CLIPConfig) -> dict:
    """open_clip_config.json of the same model for open_clip."""
    v, t = config.vision, config.text
    vision = {"image_size": v.image_size, "width": v.width, "layers": v.layers if v.tower == "vit" else list(v.layers)}
    if v.tower == "vit":
        hidden = v.mlp_width or 4 * v.width
        ratio = hidden / v.width
        ratio += 1e-6 * (int(v.width * ratio) < hidden)  # open_clip rounds down
        vision |= {"patch_size": v.patch_size, "head_width": v.width // v.heads, "mlp_ratio": ratio}
    else:
        vision["head_width"] = v.width * 32 // v.heads
    text = {key: getattr(t, key) for key in ("context_length", "vocab_size", "width", "heads", "layers")}
    model = {"embed_dim": config.embed_dim, "quick_gelu": t.activation == "quick_gelu", "vision_cfg": vision, "text_cfg": text}
    if config.sigmoid:
        model["init_logit_bias"] = -10.0
    return {"model_cfg": model, "preprocess_cfg": {"mean": list(v.mean), "std": list(v.std), "interpolation": v.interpolation,
                                                   "resize_mode": v.resize_mode}}


def export(model: CLIP, tokenizer: Tokenizer, folder: str | Path, layout: str = "hugging face") -> Path:
    """Write a folder with the same embeddings for other people's code.

    layout: "hugging face" for transformers' CLIPModel, CLIPTokenizer and CLIPImageProcessor (a ViT with a text Transformer), or
    "open_clip" (which has CLIP's ResNet and the sigmoid's bias too). Raises CheckpointError for towers that the other side does
    not have, and when the folder can't be written.
    """
    from safetensors.torch import save_file

    config, folder = model.config, Path(folder)
    if not isinstance(model, CLIP):
        raise CheckpointError(f"only clipmini's own CLIPs can be exported, and this is a {type(model).__name__}")
    _check_exportable(config, layout)
    check_new(folder)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if layout == "open_clip":
        file, files = "open_clip_model.safetensors", {"open_clip_config.json": open_clip_config(config)}
    else:
        weights, file = to_hugging_face(weights), "model.safetensors"
        files = {"config.json": hugging_face_config(config), "preprocessor_config.json": hugging_face_preprocessor(config)}
    with written_whole(folder, "export") as temporary:
        temporary.mkdir(parents=True)
        save_file(weights, temporary / file, metadata={"format": "pt"})
        os.chmod(temporary / file, 0o644)
        tokenizer.save(temporary)
        for name, content in files.items():
            (temporary / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder


def check_new(folder: Path) -> None:
    """Raise CheckpointError unless a folder is not there, or empty."""
    if folder.is_file():
        raise CheckpointError(f"{str(folder)!r} is a file; export to a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise CheckpointError(f"{str(folder)!r} is not empty; export to a new folder")


def _check_exportable(config: CLIPConfig, layout: str) -> None:
    towers = (config.vision.tower, config.text.tower)
    what = f"cannot export a {towers[0]!r} + {towers[1]!r} model"
    if layout == "open_clip":
        if towers[0] == "light" or towers[1] != "transformer":
            raise CheckpointError(f"{what}: open_clip has a ViT or CLIP's ResNet with a text Transformer. Train one, for example "
                                  "`clipmini train emoji-vit`")
    elif layout != "hugging face":
        raise CheckpointError(f"there is no layout {layout!r} to export to; choose 'hugging face' or 'open_clip'")
    elif towers != ("vit", "transformer") or config.sigmoid:
        raise CheckpointError(f"{what}{' with a sigmoid bias' * config.sigmoid}: transformers' CLIPModel is a ViT with a text "
                              "Transformer. Train one, for example `clipmini train emoji-vit`")
