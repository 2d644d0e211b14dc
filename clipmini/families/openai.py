"""OpenAI's archives: the shapes of their tensors tell what the model is."""

import math
from pathlib import Path

from torch import Tensor

from clipmini.config import CLIPConfig, TextConfig, VisionConfig
from clipmini.families.assemble import cleaned, describing, empty_model, filled
from clipmini.families.torchscript import read_archive
from clipmini.families.vocabularies import read_tokenizer
from clipmini.files import CheckpointError
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer


def openai_clip(weights: dict[str, Tensor], path: Path) -> CLIPConfig:
    """OpenAI's archives carry no configuration: the shapes tell all but the activation, which is always QuickGELU."""
    needed = ("text_projection", "token_embedding.weight", "positional_embedding", "ln_final.weight",
              "visual.conv1.weight")
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
        layers = blocks("visual.transformer.resblocks.")
        vision = VisionConfig("vit", side, width, layers, width // 64, patch, "quick_gelu")
    else:
        width = weights["visual.layer1.0.conv1.weight"].shape[0]
        side = 32 * math.isqrt(weights["visual.attnpool.positional_embedding"].shape[0] - 1)
        stages = tuple(blocks(f"visual.layer{i}.") for i in (1, 2, 3, 4))
        vision = VisionConfig("resnet", side, width, stages, width * 32 // 64)
    return CLIPConfig(vision, text, embed_dim=weights["text_projection"].shape[1])


def claims(path: Path) -> bool:
    """Whether the path is a file: folders are everybody else's."""
    return path.is_file()


def load(path: Path, image_size: int | None = None) -> tuple[CLIP, Tokenizer, dict]:
    """One of OpenAI's .pt archives -> (CLIP in evaluation mode, tokenizer, meta). Weights become float32.

    image_size: another side in pixels than the weights were trained with; position embeddings are then interpolated.
    Raises CheckpointError.
    """
    with describing(path):
        weights = cleaned(read_archive(path))
        config = openai_clip(weights, path)
    weights = {name.removeprefix("text."): t for name, t in weights.items()}
    model = filled(empty_model(config, weights), weights, repr(str(path)), image_size)
    tokenizer = read_tokenizer(path.parent, config.text, repair=True)
    return model, tokenizer, {"templates": "photo", "layout": "openai", "file": path.name}
