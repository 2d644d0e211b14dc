"""SigLIP and SigLIP 2 (Zhai et al. 2023, Tschannen et al. 2025) behind the same Embedder.

Another architecture than CLIP's (attention pooling, no class token, a text tower that is not causal), so the towers are
transformers' SiglipModel. Not here: SigLIP 2's NaFlex variants, whose pictures have no fixed size.
"""

import importlib.util
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipmini.config import ConfigError, VisionConfig
from clipmini.families.hugging_face import hugging_face_pixels
from clipmini.families.wordpieces import check_lengths
from clipmini.files import CheckpointError, read_json
from clipmini.model import count_parameters, unit
from clipmini.text import in_batches


@dataclass(frozen=True)
class SiglipVision(VisionConfig):
    """What VisionConfig says, but for a grid that is rounded down: of 384 pixels in patches of 14, the last six are
    seen by nobody (transformers, and the released so400m models)."""

    def __post_init__(self):
        seen = VisionConfig(**vars(self) | {"image_size": self.image_size // self.patch_size * self.patch_size})
        for name in ("mean", "std"):
            object.__setattr__(self, name, getattr(seen, name))

    @property
    def grid(self) -> int:
        """Cells along one side."""
        return self.image_size // self.patch_size


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

    def __init__(self, folder: Path, context_length: int, vocab_size: int):
        self._theirs: Any = _their_tokenizer(folder, vocab_size)
        texts = [*string.ascii_lowercase, "red", "cat", "dog"]
        told_apart = len({tuple(ids) for ids in self._theirs(texts)["input_ids"]}) > 1
        if not told_apart or len(self._theirs) > vocab_size:
            raise CheckpointError(f"the vocabulary of {str(folder)!r} has {len(self._theirs)} pieces and config.json "
                                  f"says {vocab_size}; it cannot tell texts apart. Download all files of one model")
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


def _their_tokenizer(folder: Path, vocab_size: int) -> Any:
    """transformers' tokenizer for the files of a folder: SigLIP's SentencePiece, or SigLIP 2's, which is Gemma's with
    texts in lower case. Raises CheckpointError where a file or a package is missing."""
    from tokenizers import normalizers
    from transformers import AutoTokenizer

    path = folder / "tokenizer_config.json"
    said = read_json(path) if path.is_file() else {}
    kind = str(said.get("tokenizer_class", ""))
    second = kind.startswith(("Gemma", "Siglip2")) or vocab_size == 256_000
    if kind.startswith("SiglipTokenizer") or (folder / "spiece.model").is_file() and not second:
        if not (folder / "spiece.model").is_file():
            raise CheckpointError(f"{str(folder)!r} has no spiece.model, which its tokenizer_config.json asks for; "
                                  "download that file too")
        lacking = [package for package, module in (("sentencepiece", "sentencepiece"), ("protobuf", "google.protobuf"))
                   if not _importable(module)]
        if lacking:
            raise CheckpointError(f"{str(folder / 'spiece.model')!r} is read with the package {' and '.join(lacking)}; "
                                  f"pip install {' '.join(lacking)}")
        from transformers import SiglipTokenizer  # by its name: without its packages, AutoTokenizer takes another

        return SiglipTokenizer.from_pretrained(folder)
    if not (folder / "tokenizer.json").is_file():
        raise CheckpointError(f"{str(folder)!r} has no tokenizer.json, so its texts cannot be read; download that file "
                              "too")
    theirs: Any = AutoTokenizer.from_pretrained(folder)
    if said.get("do_lower_case", second) and theirs("A B")["input_ids"] != theirs("a b")["input_ids"]:
        # As Siglip2Tokenizer does; AutoTokenizer takes Gemma's class, which does not know the word do_lower_case.
        first, backend = normalizers.Lowercase(), theirs.backend_tokenizer
        backend.normalizer = normalizers.Sequence([first, backend.normalizer]) if backend.normalizer else first
    return theirs


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package google nothing is there
        return False


class Siglip(nn.Module):
    """SiglipModel with the methods of model.CLIP that an Embedder needs."""

    def __init__(self, theirs: Any, config: SiglipConfig):
        super().__init__()
        self.theirs: Any = theirs
        self.config = config
        self.logit_scale, self.logit_bias = theirs.logit_scale, theirs.logit_bias
        self.visual = None  # its cells can't be read
        self.learnt = count_parameters(theirs)

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
    try:
        from transformers import SiglipModel
    except ModuleNotFoundError:
        raise CheckpointError(f"{str(path)!r} is a SigLIP, which needs the package transformers; install it with: "
                              'pip install "clipmini[hub]"') from None
    try:
        found: Any = SiglipModel.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
        theirs, report = found
        vision, text = theirs.config.vision_config, theirs.config.text_config
        tokenizer = SiglipTokenizer(path, text.max_position_embeddings, text.vocab_size)
        config = SiglipConfig(
            SiglipVision("vit", width=vision.hidden_size, layers=vision.num_hidden_layers,
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
