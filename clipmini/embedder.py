"""Embedder: a model with its own tokenizer and its own preprocessing. The only thing that tasks and the app see."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from clipmini import checkpoint
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

    def pixels(self, images) -> Tensor:
        """Paths, bytes or PIL images -> (N, 3, S, S) float32, as this model was trained to see them."""
        v = self.config.vision
        if hasattr(self.model, "frame"):  # a model may want more than resizing and cropping
            images = [self.model.frame(image) for image in images]
        return preprocess(images, v.image_size, v.mean, v.std, v.interpolation)

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
        Texts go through the tower sorted by length, so that short ones are not padded to the longest.
        """
        lists = self.tokenizer.token_lists([texts] if isinstance(texts, str) else list(texts), truncate=truncate)
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


def load(name_or_folder: str | Path, device: str | None = None) -> Embedder:
    """An embedded checkpoint by name ("emoji"), any checkpoint folder, or "devise", the photo model from pip packages.

    device: "cpu", "cuda", "mps"; default: the fastest here. Raises checkpoint.CheckpointError.
    """
    folder = Path(name_or_folder)
    if str(name_or_folder) == PHOTO_MODEL and not folder.is_dir():
        from clipmini import devise  # only who asks for it needs its packages

        model, tokenizer, meta = devise.load()
        return Embedder(model, tokenizer, PHOTO_MODEL, device or best_device(), meta)
    if not folder.is_dir():
        if str(name_or_folder) not in embedded_names():
            raise checkpoint.CheckpointError(
                f"{str(name_or_folder)!r} is neither a checkpoint folder nor an embedded checkpoint nor {PHOTO_MODEL!r}; "
                f"embedded are {', '.join(embedded_names()) or 'none'}")
        folder = assets_folder() / str(name_or_folder)
    model, tokenizer, meta = checkpoint.load(folder)
    return Embedder(model, tokenizer, folder.name, device or best_device(), meta)
