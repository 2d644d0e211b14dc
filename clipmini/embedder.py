"""Embedder: a model with its own tokenizer and its own preprocessing. The only thing that tasks and the app see."""

from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from clipmini.files import CheckpointError, nothing_else
from clipmini.image import as_picture, preprocess
from clipmini.vision import ImageTower


class Model(Protocol):
    """What a model offers: a torch module with these. config: a CLIPConfig or what looks like one; visual: the image
    tower, or None where its cells can't be read; scale: what cosines are multiplied with; logit_bias: what is added
    then, before the sigmoid, or None in models of the softmax; learnt: how many numbers it learnt."""

    config: Any
    learnt: int
    @property
    def visual(self) -> ImageTower | None: ...
    @property
    def scale(self) -> Tensor: ...
    @property
    def logit_bias(self) -> Tensor | None: ...

    def to(self, device: Any) -> Any:
        """nn.Module.to"""

    def parameters(self) -> Any:
        """nn.Module.parameters"""

    def frame(self, image: Any) -> Any:
        """A picture (path, bytes or PIL image) made ready for resizing and cropping."""

    def encode_image(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) float -> unit vectors (B, E)."""

    def encode_text(self, ids: Tensor) -> Tensor:
        """ids (B, T) int64 with start and end tokens -> unit vectors (B, E)."""

    def encode_lists(self, lists: list[list[int]], batch: int = 256) -> Tensor:
        """N lists of ids, unpadded -> unit vectors (N, E), `batch` at a time."""


class TextTokenizer(Protocol):
    """What a tokenizer offers: token_lists gives N lists of ids with start and end, or raises TokenLimitError."""

    vocab_size: int
    context_length: int

    def encode(self, text: str) -> list[int]: ...
    def pieces(self, ids: Any) -> list[str]: ...
    def token_lists(self, texts: list[str], truncate: bool = False) -> list[list[int]]: ...


def best_device() -> str:
    """"cuda", "mps" or "cpu": the fastest that is here."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def quick_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 (AVX512-BF16, AMX); elsewhere that is hundreds of times slower."""
    found = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask() for ask in found if ask)


class Embedder:
    """Pictures and texts to unit vectors of one space. name: what the model is called; meta: what its card records;
    source: the folder or file that it was loaded from; kernels: by which its pictures go, where that was chosen."""

    source: Path | None = None
    kernels: str = ""

    def __init__(self, model: Model, tokenizer: TextTokenizer, name: str = "model", device: str = "cpu",
                 meta: dict | None = None):
        self.model: Model = model.to(device).eval()
        self.tokenizer, self.name, self.device, self.meta = tokenizer, name, device, meta or {}

    @property
    def config(self) -> Any:
        """What the model is made of: a CLIPConfig, or what looks like one in models of other families."""
        return self.model.config

    @property
    def parameters(self) -> int:
        """How many numbers the model learnt, also where matrices are packed, in int8 or in an ONNX file."""
        return self.model.learnt

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied with before the softmax: logit = logit_scale * cosine."""
        return self.model.scale.item()

    @property
    def logit_bias(self) -> float | None:
        """What is added to a logit before the sigmoid, in models trained with the sigmoid loss; None in others."""
        return None if self.model.logit_bias is None else self.model.logit_bias.item()

    def pixels(self, images) -> Tensor:
        """Paths, bytes or PIL images -> (N, 3, S, S) float32, as this model was trained to see them."""
        v = self.config.vision
        framed = (self.model.frame(image) for image in images)  # one at a time in memory
        return preprocess(framed, v.image_size, v.mean, v.std, v.interpolation, v.resize_mode, v.crop)

    @torch.no_grad()  # not inference_mode: a probe may be trained on the vectors
    def embed_images(self, images, batch_size: int = 64) -> Tensor:
        """images: list of N paths, bytes or PIL images -> (N, E) float32 on the CPU, rows of unit length.

        Raises image.ImageError for a picture that cannot be read.
        """
        if isinstance(images, (str, Path, bytes, Image.Image)):
            images = [images]
        chunks = [images[i:i + batch_size] for i in range(0, len(images), batch_size)]
        rows = [self.model.encode_image(self.pixels(chunk).to(self.device)).float().cpu() for chunk in chunks]
        return torch.cat(rows) if rows else torch.empty(0, self.config.embed_dim)

    @torch.no_grad()
    def embed_texts(self, texts, truncate: bool = False, batch_size: int = 256) -> Tensor:
        """texts: list of N strings -> (N, E) float32 on the CPU, rows of unit length.

        truncate: cut what is longer than the context; otherwise such a text raises tokenizer.TokenLimitError.
        """
        lists = self.tokenizer.token_lists([texts] if isinstance(texts, str) else list(texts), truncate=truncate)
        rows = self.model.encode_lists(lists, batch_size) if lists else torch.empty(0, self.config.embed_dim)
        return rows.float().cpu()

    def see(self, image) -> Image.Image:
        """The picture as the model sees it: resized, cropped, on white."""
        v = self.config.vision
        return as_picture(self.pixels([image])[0], v.mean, v.std)


def assets_folder() -> Path:
    """Where the embedded checkpoints are: inside the installed package, or beside it in a source checkout."""
    here = Path(__file__).resolve().parent
    return next((p for p in (here / "assets", here.parent / "assets") if p.is_dir()), here / "assets")


def embedded_names() -> list[str]:
    """The checkpoints that come with the package."""
    return sorted(p.parent.name for p in assets_folder().glob("*/model.safetensors"))


def load(name: str | Path, device: str | None = None, image_size: int | None = None, packed: bool = False,
         int8: bool = False, fast: bool = False) -> Embedder:
    """Any model by its name, folder or file. Raises CheckpointError.

    name: an embedded checkpoint ("emoji"); a folder of clipmini's (ONNX too), transformers' or open_clip's; one of
    OpenAI's .pt archives; a model of the Hugging Face hub ("openai/clip-vit-base-patch32", or with "@revision"); or
    "devise", the photo model from pip packages.
    device: "cpu", "cuda", "mps"; default: the fastest here. image_size: pictures of another side than the weights were
    trained with (position embeddings are interpolated). packed: on a CPU, matrices in the order of its kernels, the
    same vectors sooner, from a model that can't be trained or saved; elsewhere nothing. int8: Transformers' matrices in
    a quarter of the memory, sooner still, on the CPU, with cosines to the exact vectors above 0.999. fast: the quickest
    of what is installed whose vectors have cosines of 0.9999 at least to the exact ones; Embedder.kernels says which.
    """
    from clipmini import families  # the one arrow down: families know this file's neighbours, it knows their table
    from clipmini.families import devise, quick
    from clipmini.families import packed as kernels

    _check_options(device, image_size)
    path, name = Path(name), str(name)
    with nothing_else(name):
        called = path.name if path.exists() else name
        if not path.exists() and name in embedded_names():
            path = assets_folder() / name
        family = families.claimant(path)
        if family is None:
            path = _from_hub(name)
            family = families.claimant(path)
            assert family is not None  # for a folder that is nobody's it raises
        if int8 and family is devise:
            raise CheckpointError(f"{name!r} is what its packages hold; omit image_size and int8")
        model, tokenizer, meta = family.load(path, image_size)
    device = "cpu" if int8 else device or best_device()
    told = quick.quicken(model) if fast and not int8 and device == "cpu" and family is not devise else ""
    if int8 or packed and not told and device == "cpu" and family is not devise:
        model = (kernels.int8 if int8 else kernels.pack)(model)
    embedder = Embedder(model, tokenizer, called, device, meta)
    embedder.source, embedder.kernels = path if path.exists() else None, told
    return embedder


def _check_options(device: str | None, image_size: int | None) -> None:
    if image_size is not None and image_size < 1:
        raise CheckpointError(f"image_size is {image_size}; give a side in pixels, or omit it")
    here = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    if device is not None and str(device).split(":")[0] not in here:
        raise CheckpointError(f"there is no device {str(device)!r} here; choose one of {', '.join(here)}")


def _from_hub(name: str) -> Path:
    from clipmini.families import devise, hub_download

    if not hub_download.is_name(name):
        raise CheckpointError(f"{name!r} is neither a checkpoint folder nor an embedded checkpoint nor {devise.NAME!r} "
                              "nor a hub name like 'openai/clip-vit-base-patch32'; embedded are "
                              f"{', '.join(embedded_names()) or 'none'}")
    try:
        return hub_download.fetch(name)
    except CheckpointError as error:
        raise CheckpointError(f"there is no folder {name!r} here, and from the hub: {error}") from error
