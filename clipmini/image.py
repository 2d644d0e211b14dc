"""Pictures: from a file, bytes or PIL image to RGB, and from RGB to pixels.

open_image is the one door. It takes strangers' files, so it limits what it decodes and says why it refuses.
"""

import io
import math
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # the decoders that browsers trust too
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")  # of files in those formats
MAX_PIXELS = 40_000_000
MAX_ASPECT = 20


class ImageError(ValueError):
    """A picture that cannot be used; the message says what is wrong with it and what would work."""


def open_image(source, keep_alpha: bool = False) -> Image.Image:
    """Open a picture safely.

    source: a path, bytes, a binary file object or a PIL image.
    keep_alpha: return RGBA; otherwise transparent parts are laid on white and the result is RGB.
    The camera's EXIF rotation is applied, an animation gives its first frame, 16-bit levels are scaled to 8.
    Raises ImageError for anything that is not a whole picture of a known format, at most 40 megapixels, at most 20:1.
    """
    path = source if isinstance(source, (str, Path)) else getattr(source, "filename", None)
    name = repr(Path(path).name) if path else "the picture"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we refuse earlier, below
            image = source if isinstance(source, Image.Image) else _open_file(source, name)
            _check_size(image, name)
            image.load()
            image = ImageOps.exif_transpose(image)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        told = f"{name} is far too large ({error}); the limit is {MAX_PIXELS:,} pixels. Make it smaller first."
        raise ImageError(told) from None
    except Exception as error:  # decoders raise many kinds: OSError, SyntaxError, struct.error, EOFError ...
        raise ImageError(f"{name} is damaged or cut short ({error}). Save it anew as PNG or JPEG.") from error
    image = _to_8_bit(image)
    if keep_alpha or not image.has_transparency_data:
        return image.convert("RGBA" if keep_alpha else "RGB")
    rgba = image.convert("RGBA")  # convert("RGB") would uncover whatever colour hides under the transparent parts
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _open_file(source, name: str) -> Image.Image:
    if isinstance(source, (bytes, bytearray)):
        source = io.BytesIO(source)
    elif not isinstance(source, (str, Path)) and not hasattr(source, "read"):
        kind = type(source).__name__
        raise ImageError(f"cannot open a picture from {kind}; give a path, bytes, a file or a PIL image")
    try:
        return Image.open(source, formats=FORMATS)
    except FileNotFoundError:
        raise ImageError(f"there is no file {name}") from None
    except IsADirectoryError:
        raise ImageError(f"{name} is a folder; give one picture") from None
    except Image.UnidentifiedImageError:
        raise ImageError(f"{name} is not a picture that can be read here; use {', '.join(FORMATS)}") from None


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name} has {width} x {height} = {width * height:,} pixels; the limit is {MAX_PIXELS:,}. "
                         "Make it smaller first.")
    if max(width, height) > MAX_ASPECT * max(1, min(width, height)):
        raise ImageError(f"{name} is {width} x {height}, more than {MAX_ASPECT} times as long as wide. "
                         "Cut out the part that matters.")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Scale deep grey levels to 0..255: PIL's own convert would saturate them to white."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        return Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) // 257).astype(np.uint8))
    if image.mode == "F":
        raise ImageError("the picture has floating-point levels of unknown range; save it as an 8-bit PNG")
    return image


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
    """Pictures (paths, bytes or PIL images) to pixels (B, 3, size, size) float32. Raises ImageError.

    size: side in pixels; mean, std: of each channel, in units of 0..1; the rest: see resize_and_crop.
    """
    tables = _levels(tuple(mean), tuple(std))
    pixels = np.empty((len(images), 3, size, size), dtype=np.float32)
    for i, image in enumerate(images):
        image = resize_and_crop(open_image(image), size, interpolation, resize_mode, crop)
        levels = np.asarray(image)  # (S, S, 3) uint8
        for c in range(3):
            pixels[i, c] = tables[c][levels[..., c]]
    return torch.from_numpy(pixels)


def as_picture(pixels: Tensor, mean, std) -> Image.Image:
    """The inverse of preprocess for one picture: pixels (3, S, S) -> PIL image, to look at what the model saw."""
    levels = pixels * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)
    return Image.fromarray((levels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
