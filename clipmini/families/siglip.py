"""SigLIP and SigLIP 2 (Zhai et al. 2023, Tschannen et al. 2025) behind the same Embedder.

Another architecture than CLIP's (attention pooling, no class token, a text tower that is not causal), so the towers are
transformers' SiglipModel. Not here: SigLIP 2's NaFlex variants, whose pictures have no fixed size.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipmini.config import ConfigError, VisionConfig
from clipmini.families.hugging_face import hugging_face_pixels
from clipmini.families.wordpieces import check_lengths
from clipmini.files import CheckpointError, read_json
from clipmini.model import unit
from clipmini.text import in_batches


@dataclass(frozen=True)
class SiglipText:
    """What TextConfig says of other models."""

    vocab_size: int
    context_length: int
    width: int
    layers: int
    tower: str = "siglip"


@dataclass(frozen=True)
class SiglipConfig:
    """Both towers; sigmoid is True: each score stands for itself."""

    vision: VisionConfig
    text: SiglipText
    embed_dim: int
    sigmoid: bool = field(default=True)


class SiglipTokenizer:
    """transformers' tokenizer of the folder. SigLIP was trained on captions padded to its whole context and reads the
    last place, so every list of ids is padded to it here."""

    def __init__(self, folder: Path, context_length: int):
        from transformers import AutoTokenizer

        self._theirs: Any = AutoTokenizer.from_pretrained(folder)
        self.context_length, self.pad_id = context_length, self._theirs.pad_token_id
        self.vocab_size, self.eos_id = len(self._theirs), self._theirs.eos_token_id

    def encode(self, text: str) -> list[int]:
        """Ids without end and padding."""
        return self._theirs(text, add_special_tokens=False)["input_ids"]

    def pieces(self, ids) -> list[str]:
        """What each id stands for."""
        return self._theirs.convert_ids_to_tokens(list(map(int, ids)))

    def token_lists(self, texts: list[str], truncate: bool = False) -> list[list[int]]:
        """N texts -> N lists of context_length ids. Raises TokenLimitError for a longer text unless truncate."""
        if not truncate:
            check_lengths(self._theirs(list(texts))["input_ids"], self.context_length)
        options = {"padding": "max_length", "max_length": self.context_length, "truncation": True}
        return self._theirs(list(texts), **options)["input_ids"]


class Siglip(nn.Module):
    """SiglipModel with the methods of model.CLIP that an Embedder needs."""

    def __init__(self, theirs: Any, config: SiglipConfig):
        super().__init__()
        self.theirs: Any = theirs
        self.config = config
        self.logit_scale, self.logit_bias = theirs.logit_scale, theirs.logit_bias
        self.visual = None  # its cells can't be read

    def encode_image(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) float -> unit vectors (B, E)."""
        return unit(self.theirs.get_image_features(pixel_values=pixels).pooler_output)

    def encode_text(self, ids: Tensor) -> Tensor:
        """ids (B, T) int64, padded to the context -> unit vectors (B, E)."""
        return unit(self.theirs.get_text_features(input_ids=ids).pooler_output)

    def encode_lists(self, lists: list[list[int]], batch: int = 256) -> Tensor:
        """N lists of ids, padded to the context -> unit vectors (N, E)."""
        return in_batches(self.encode_text, lists, 0, batch, self.logit_scale.device)

    def frame(self, image):
        """The picture itself: resizing is all the preprocessing."""
        return image

    @property
    def scale(self) -> Tensor:
        """Score = sigmoid(scale * cosine + logit_bias)."""
        return self.logit_scale.exp()[0]


def claims(path: Path) -> bool:
    """Whether config.json is of a SiglipModel, or of a Siglip2Model, which `load` refuses with a reason."""
    config = path / "config.json"
    return config.is_file() and read_json(config).get("model_type") in ("siglip", "siglip2")


def load(path: Path, image_size: int | None = None) -> tuple[Siglip, SiglipTokenizer, dict]:
    """A folder of a SiglipModel -> (model in evaluation mode, tokenizer, meta). Raises CheckpointError."""
    if image_size:
        raise CheckpointError(f"{str(path)!r} (siglip) takes pictures of its own size only; omit image_size")
    raw = read_json(path / "config.json")
    if raw.get("model_type") != "siglip":
        raise CheckpointError(f"{str(path)!r} is a {raw.get('model_type')!r} whose pictures have no fixed size "
                              "(NaFlex); take one with a size in its name, like google/siglip2-base-patch16-224")
    from transformers import SiglipModel

    try:
        found: Any = SiglipModel.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
        theirs, report = found
        tokenizer = SiglipTokenizer(path, theirs.config.text_config.max_position_embeddings)
        vision, text = theirs.config.vision_config, theirs.config.text_config
        config = SiglipConfig(
            VisionConfig("vit", width=vision.hidden_size, layers=vision.num_hidden_layers,
                         heads=vision.num_attention_heads, patch_size=vision.patch_size,
                         **hugging_face_pixels(path, vision.image_size)),
            SiglipText(text.vocab_size, text.max_position_embeddings, text.hidden_size, text.num_hidden_layers),
            embed_dim=vision.hidden_size)
    except (CheckpointError, ConfigError):
        raise
    except Exception as error:  # transformers, tokenizers and safetensors raise many kinds
        told = str(error).splitlines()[0][:200]
        raise CheckpointError(f"{str(path)!r} cannot be read ({type(error).__name__}: {told}); download it again"
                              ) from error
    kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
    if wrong := [f"{kind.replace('_', ' ')} {sorted(report[kind])[0]!r}" for kind in kinds if report[kind]]:
        raise CheckpointError(f"the weights of {str(path)!r} do not fit its config.json: {'; '.join(wrong)}; get both "
                              "anew")
    return Siglip(theirs, config).eval().requires_grad_(False), tokenizer, {"templates": "photo", "layout": "siglip"}
