"""Pictures: from RGB to pixels, CLIP's way, and back. How any file becomes RGB is in picture_file."""

import math
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipmini.picture_file import ENDINGS, FORMATS, MAX_ASPECT, MAX_PIXELS, ImageError, open_image

__all__ = ["ENDINGS", "FORMATS", "MAX_ASPECT", "MAX_PIXELS", "ImageError", "open_image", "resize_and_crop",
           "preprocess", "as_picture"]


def resize_and_crop(image: Image.Image, size: int, interpolation: str = "bicubic", resize_mode: str = "shortest",
                    crop: str = "round") -> Image.Image:
    """Short side to `size` pixels, then the central square: CLIP's geometry, bit for bit. RGB, size x size.

    interpolation, resize_mode, crop: as in VisionConfig.
    """
    width, height = (size, size) if resize_mode == "squash" else (int(size * n / min(image.size)) for n in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling[interpolation.upper()])
    halve = math.floor if crop == "floor" else round  # round takes halves to the even number
    left, top = halve((width - size) / 2), halve((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


@lru_cache(maxsize=16)
def _levels(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """What each of the 256 levels of each channel becomes: (level / 255 - mean) / std, float32 (3, 256)."""
    level = torch.arange(256, dtype=torch.float32).div(255)
    table = (level - torch.tensor(mean)[:, None]) / torch.tensor(std)[:, None]
    return table.numpy()


def preprocess(images, size: int, mean: tuple[float, ...], std: tuple[float, ...], interpolation: str = "bicubic",
               resize_mode: str = "shortest", crop: str = "round") -> Tensor:
    """Pictures (an iterable of paths, bytes or PIL images) to pixels (B, 3, size, size) float32. Raises ImageError.

    size: side in pixels; mean, std: of each channel, in units of 0..1; the rest: see resize_and_crop.
    """
    tables = _levels(tuple(mean), tuple(std))
    pixels = []
    for image in images:
        image = resize_and_crop(open_image(image), size, interpolation, resize_mode, crop)
        levels = np.asarray(image)  # (S, S, 3) uint8
        pixels.append([tables[c][levels[..., c]] for c in range(3)])
    return torch.from_numpy(np.array(pixels, dtype=np.float32).reshape(-1, 3, size, size))


def as_picture(pixels: Tensor, mean, std) -> Image.Image:
    """The inverse of preprocess for one picture: pixels (3, S, S) -> PIL image, to look at what the model saw."""
    levels = pixels * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)
    return Image.fromarray((levels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
