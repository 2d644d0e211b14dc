"""Our CLIP for other people's code: a ViT + Transformer checkpoint as a folder that transformers opens."""

import json
import os
from pathlib import Path

from torch import Tensor

from clipmini.checkpoint import CheckpointError, written_whole
from clipmini.config import CLIPConfig
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer

# Our name (OpenAI's) on the left, Hugging Face's on the right. {n} is a block's number.
HUGGING_FACE_NAMES = (
    ("logit_scale", "logit_scale"),
    ("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("ln_final.", "text_model.final_layer_norm."),
    ("text_projection", "text_projection.weight"),
    ("transformer.resblocks.", "text_model.encoder.layers."),
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


def hugging_face_name(name: str) -> str:
    """One of our parameter names in Hugging Face's spelling.

    >>> hugging_face_name("visual.transformer.resblocks.3.mlp.c_fc.weight")
    'vision_model.encoder.layers.3.mlp.fc1.weight'
    """
    for ours, theirs in HUGGING_FACE_NAMES:
        if name == ours or (ours.endswith(".") and name.startswith(ours)):
            rest = name[len(ours):]
            for old, new in BLOCK_NAMES:
                rest = rest.replace(old, new)
            return theirs + rest
    raise CheckpointError(f"{name!r} has no counterpart in transformers' CLIPModel; only a ViT with a text Transformer has")


def to_hugging_face(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict -> transformers' CLIPModel state dict. Joint query/key/value matrices are cut in three."""
    out = {}
    for name, tensor in weights.items():
        stem, _, kind = name.rpartition("in_proj_")
        if stem:
            theirs = hugging_face_name(stem + "out_proj." + kind)
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                out[theirs.replace("out_proj", f"{letter}_proj")] = part.contiguous()
        else:
            out[hugging_face_name(name)] = (tensor.t() if name in TRANSPOSED else tensor).contiguous()
    return out


def _tower(width: int, layers: int, heads: int, activation: str) -> dict:
    return {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
            "num_attention_heads": heads, "hidden_act": activation, "layer_norm_eps": 1e-5}


def hugging_face_config(config: CLIPConfig) -> dict:
    """config.json of the same model for transformers."""
    v, t = config.vision, config.text
    vision = {**_tower(v.width, v.layers, v.heads, v.activation), "image_size": v.image_size, "patch_size": v.patch_size,
              "projection_dim": config.embed_dim, "model_type": "clip_vision_model"}
    text = {**_tower(t.width, t.layers, t.heads, t.activation), "vocab_size": t.vocab_size,
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


def export(model: CLIP, tokenizer: Tokenizer, folder: str | Path) -> Path:
    """Write a folder that transformers' CLIPModel, CLIPTokenizer and CLIPImageProcessor open, with the same embeddings.

    Raises CheckpointError for towers that transformers' CLIPModel does not have, and when the folder can't be written.
    """
    from safetensors.torch import save_file

    config = model.config
    if (config.vision.tower, config.text.tower) != ("vit", "transformer") or config.sigmoid:
        raise CheckpointError(f"cannot export a {config.vision.tower!r} + {config.text.tower!r} model"
                              f"{' with a sigmoid bias' * config.sigmoid}: transformers' CLIPModel is a ViT with a text "
                              "Transformer. Train one, for example `clipmini train emoji-vit`")
    folder = Path(folder)
    if folder.is_file():
        raise CheckpointError(f"{str(folder)!r} is a file; export to a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise CheckpointError(f"{str(folder)!r} is not empty; export to a new folder")
    with written_whole(folder, "export") as temporary:
        temporary.mkdir(parents=True)
        save_file(to_hugging_face(model.state_dict()), temporary / "model.safetensors", metadata={"format": "pt"})
        os.chmod(temporary / "model.safetensors", 0o644)
        tokenizer.save(temporary)
        for name, content in (("config.json", hugging_face_config(config)),
                              ("preprocessor_config.json", hugging_face_preprocessor(config))):
            (temporary / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder
