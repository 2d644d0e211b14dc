"""Embedder: a model with its own tokenizer and its own preprocessing. The only thing that tasks and the app see."""

import importlib
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from clipmini import checkpoint, hub, pretrained
from clipmini.config import CLIPConfig
from clipmini.image import as_picture, preprocess
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer

PHOTO_MODEL = "devise"  # the one name that stands for packages, not for a checkpoint


def best_device() -> str:
    """"cuda", "mps" or "cpu": the fastest that is here."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


class Embedder:
    """Pictures and texts to unit vectors of one space.

    name: what the model is called; config: its CLIPConfig; tokenizer: its Tokenizer; meta: what its card records.
    """

    def __init__(self, model: CLIP, tokenizer: Tokenizer, name: str = "model", device: str = "cpu", meta: dict | None = None):
        self.model = model.to(device).eval()
        self.tokenizer, self.name, self.device, self.meta = tokenizer, name, device, meta or {}

    @property
    def config(self) -> CLIPConfig:
        return self.model.config

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied with before the softmax: logit = logit_scale * cosine."""
        return self.model.scale.item()

    @property
    def logit_bias(self) -> float | None:
        """What is added to a logit before the sigmoid, in models trained with the sigmoid loss; None in others."""
        bias = getattr(self.model, "logit_bias", None)
        return None if bias is None else bias.item()

    def pixels(self, images) -> Tensor:
        """Paths, bytes or PIL images -> (N, 3, S, S) float32, as this model was trained to see them."""
        v = self.config.vision
        if hasattr(self.model, "frame"):  # a model may want more than resizing and cropping
            images = [self.model.frame(image) for image in images]
        return preprocess(images, v.image_size, v.mean, v.std, v.interpolation, v.resize_mode, v.crop)

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

    @torch.no_grad()  # not inference_mode: a probe may be trained on the vectors
    def embed_texts(self, texts, truncate: bool = False, batch_size: int = 256) -> Tensor:
        """texts: list of N strings -> (N, E) float32 on the CPU, rows of unit length.

        truncate: cut what is longer than the context; otherwise such a text raises tokenizer.TokenLimitError.
        A Transformer computes what texts begin with alike only once; through other towers they go sorted by length, so
        that short ones are not padded to the longest.
        """
        lists = self.tokenizer.token_lists([texts] if isinstance(texts, str) else list(texts), truncate=truncate)
        if lists and hasattr(getattr(self.model, "text", None), "forward_lists"):
            return self.model.encode_lists(lists).float().cpu()
        order = sorted(range(len(lists)), key=lambda i: len(lists[i]))
        out = torch.empty(len(lists), self.config.embed_dim)
        for i in range(0, len(order), batch_size):
            rows = order[i:i + batch_size]
            longest = len(lists[rows[-1]])
            ids = torch.tensor([lists[r] + [self.tokenizer.pad_id] * (longest - len(lists[r])) for r in rows])
            out[rows] = self.model.encode_text(ids.to(self.device)).float().cpu()
        return out

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
         int8: bool = False) -> Embedder:
    """Any model by its name, folder or file.

    name: an embedded checkpoint ("emoji"); a folder of clipmini's (ONNX too), transformers' or open_clip's; one of OpenAI's
    .pt archives; a model of the Hugging Face hub ("openai/clip-vit-base-patch32", or with "@revision"); or "devise", the photo
    model from pip packages. device: "cpu", "cuda", "mps"; default: the fastest here. image_size: pictures of another side than
    the weights were trained with (position embeddings are interpolated). packed: on a CPU, matrices in the order of its kernels,
    the same vectors sooner, from a model that can't be trained or saved; elsewhere nothing. int8: Transformers' matrices in a
    quarter of the memory, sooner still, on the CPU, with cosines to the exact vectors above 0.999.

    Raises checkpoint.CheckpointError.
    """
    path, name = Path(name), str(name)
    _check_options(name, device, image_size, int8)
    if name == PHOTO_MODEL and not path.is_dir():
        from clipmini import devise  # only who asks for it needs its packages

        model, tokenizer, meta = devise.load()
        return Embedder(model, tokenizer, name, device or best_device(), meta)
    called = path.name if path.exists() else name
    if not path.exists():
        path = assets_folder() / name if name in embedded_names() else _from_hub(name)
    model, tokenizer, meta = _read(path, image_size)
    device = "cpu" if int8 else device or best_device()
    if int8 or packed and device == "cpu":
        from clipmini import fast

        model = (fast.int8 if int8 else fast.pack)(model)
    return Embedder(model, tokenizer, called, device, meta)


def _check_options(name: str, device: str | None, image_size: int | None, int8: bool) -> None:
    """Raise CheckpointError for what no model can be loaded with."""
    if image_size is not None and image_size < 1:
        raise checkpoint.CheckpointError(f"image_size is {image_size}; give a side in pixels, or leave it away")
    if name == PHOTO_MODEL and (image_size or int8):
        raise checkpoint.CheckpointError(f"{PHOTO_MODEL!r} is what its packages hold; leave image_size and int8 away")
    here = {"cpu", "cuda" if torch.cuda.is_available() else "cpu", "mps" if torch.backends.mps.is_available() else "cpu"}
    if device is not None and str(device).split(":")[0] not in here:
        raise checkpoint.CheckpointError(f"there is no device {str(device)!r} here; choose one of {', '.join(sorted(here))}")


def _read(path: Path, image_size: int | None) -> tuple:
    """A file or folder of any layout -> (model, tokenizer, meta)."""
    kind = pretrained.layout(path) if path.is_dir() else "openai"
    if kind == "clipmini":
        model, tokenizer, meta = checkpoint.load(path)
        return (pretrained.resized(model, image_size) if image_size else model), tokenizer, meta
    if kind not in ("siglip", "onnx"):
        return pretrained.load(path, image_size)
    if image_size:
        raise checkpoint.CheckpointError(f"{str(path)!r} ({kind}) takes pictures of its own size only; leave image_size away")
    return importlib.import_module(f"clipmini.{kind}").load(path)  # each wants packages of its own


def _from_hub(name: str) -> Path:
    if not hub.is_name(name):
        raise checkpoint.CheckpointError(
            f"{name!r} is neither a checkpoint folder nor an embedded checkpoint nor {PHOTO_MODEL!r} nor a hub name like "
            f"'openai/clip-vit-base-patch32'; embedded are {', '.join(embedded_names()) or 'none'}")
    try:
        return hub.fetch(name)
    except checkpoint.CheckpointError as error:
        raise checkpoint.CheckpointError(f"there is no folder {name!r} here, and from the hub: {error}") from error
