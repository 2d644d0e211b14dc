"""OpenAI's archives: the shapes of their tensors tell what the model is."""

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from clipmini.config import CLIPConfig, TextConfig, VisionConfig
from clipmini.families import hugging_face, open_clip, ours, siglip
from clipmini.families.assemble import cleaned, describing, empty_model, filled
from clipmini.families.torchscript import is_torchscript, read_archive
from clipmini.families.vocabularies import read_tokenizer
from clipmini.files import CheckpointError, read_json


def openai_clip(weights: dict[str, Tensor], path: Path) -> CLIPConfig:
    """OpenAI's archives carry no configuration: the shapes tell all but the activation, which is always QuickGELU, and
    the heads, which are always 64 wide."""
    _check_names(weights, path)

    def blocks(prefix: str) -> int:
        return len({name[len(prefix):].split(".")[0] for name in weights if name.startswith(prefix)})

    def heads(width: int) -> int:
        if width % 64:
            raise CheckpointError(f"{str(path)!r} has a tower {width} wide; the heads of OpenAI's are 64 wide. Give "
                                  "the folder of the model, with the configuration that says how wide these are")
        return width // 64

    text_width, vocabulary = weights["ln_final.weight"].shape[0], weights["token_embedding.weight"].shape[0]
    text = TextConfig("transformer", vocabulary, weights["positional_embedding"].shape[0], text_width,
                      blocks("transformer.resblocks."), heads(text_width), "quick_gelu", sot_id=vocabulary - 2,
                      eos_id=vocabulary - 1, pad_id=vocabulary - 1)
    if "visual.proj" in weights:
        width, patch = weights["visual.conv1.weight"].shape[0], weights["visual.conv1.weight"].shape[-1]
        side = patch * math.isqrt(weights["visual.positional_embedding"].shape[0] - 1)
        layers = blocks("visual.transformer.resblocks.")
        vision = VisionConfig("vit", side, width, layers, heads(width), patch, "quick_gelu")
    else:
        width = weights["visual.layer1.0.conv1.weight"].shape[0]
        side = 32 * math.isqrt(weights["visual.attnpool.positional_embedding"].shape[0] - 1)
        stages = tuple(blocks(f"visual.layer{i}.") for i in (1, 2, 3, 4))
        vision = VisionConfig("resnet", side, width, stages, heads(width * 32))
    return CLIPConfig(vision, text, embed_dim=weights["text_projection"].shape[1])


def claims(path: Path) -> bool:
    """Whether the path is a file: folders are everybody else's."""
    return path.is_file()


def load(path: Path, image_size: int | None = None) -> tuple[Any, Any, dict]:
    """One of OpenAI's .pt archives -> (CLIP in evaluation mode, tokenizer, meta). Weights become float32.

    image_size: another side in pixels than the weights were trained with; position embeddings are then interpolated.
    Tensors that are no such archive say neither activation nor heads: they are read as the configuration beside them
    says. Raises CheckpointError.
    """
    if not is_torchscript(path):
        return _beside(path, image_size)
    with describing(path):
        weights = cleaned(read_archive(path))
        config = openai_clip(weights, path)
    model = filled(empty_model(config, weights, repr(str(path))), weights, repr(str(path)), image_size)
    tokenizer = read_tokenizer(path.parent, config.text, repair=True)
    return model, tokenizer, {"templates": "photo", "layout": "openai", "file": path.name}


def _check_names(weights: dict[str, Tensor], path: Path) -> None:
    needed = ("text_projection", "token_embedding.weight", "positional_embedding", "ln_final.weight",
              "visual.conv1.weight")
    lacking = next((name for name in needed if name not in weights), None)
    if lacking:
        raise CheckpointError(f"{str(path)!r} lacks {lacking!r}; it holds no CLIP of OpenAI's. Give the folder of the "
                              "model, with the configuration that says what it is")


def _beside(path: Path, image_size: int | None) -> tuple[Any, Any, dict]:
    """A file of weights, read as the configuration in its folder says."""
    folder, config = path.parent, path.parent / "config.json"
    if path.suffix == ".json" and not path.name.endswith(".index.json"):
        raise CheckpointError(f"{str(path)!r} is a configuration; give the folder it lies in")
    theirs = config.is_file() and read_json(config).get("model_type") in hugging_face.TYPES
    if theirs and open_clip.claims(folder):  # both are there: whose names do the tensors have?
        theirs = "visual_projection.weight" in read_archive(path)
    if theirs:
        return hugging_face.load(folder, image_size, path)
    if open_clip.claims(folder):
        return open_clip.load(folder, image_size, path)
    family = next((family for family in (ours, siglip) if family.claims(folder)), None)
    if family and path.name == "model.safetensors":  # the one name that they read
        return family.load(folder, image_size)
    _check_names(cleaned(read_archive(path)), path)
    raise CheckpointError(f"{str(path)!r} says neither the activation nor the width of the heads, and no "
                          "open_clip_config.json and no config.json of a CLIP lies beside it; give the whole folder of "
                          "the model")
