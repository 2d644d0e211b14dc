"""From anybody's file to RGB: what a viewer shows is what the model sees.

open_image is the one door. It takes strangers' files, so it limits what it decodes, waits for nothing, and says why it
refuses. Metadata never costs a picture, and never leaves this file: what is handed on is pixels.
"""

import errno
import io
import os
import stat
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import IcoImagePlugin, Image, ImageCms, features

from clipmini.picture_mending import mended, what_it_is

# The decoders that browsers trust too. TIFF, PSD, PPM and so on are refused by name: a longer list of holes than use.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "ICO", *(("AVIF",) if features.check("avif") else ()))
ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".ico",
           *((".avif",) if "AVIF" in FORMATS else ()))  # of files in those formats; an MPO begins with a JPEG
MAX_PIXELS = 40_000_000
MAX_ASPECT = 20
MAX_MENDED = 64_000_000  # bytes of a file that is read whole, to be mended
HEAD = 4096  # bytes that say what a file is
MAX_PROFILE = 4_000_000  # bytes of an ICC profile
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}  # EXIF orientation -> what undoes it
KINDS = ((stat.S_ISDIR, "a folder", "give one picture"), (stat.S_ISFIFO, "a pipe", "give a file"),
         (stat.S_ISSOCK, "a socket", "give a file"), (stat.S_ISCHR, "a device", "give a file"),
         (stat.S_ISBLK, "a device", "give a file"))


class ImageError(ValueError):
    """A picture that cannot be used; the message says what is wrong with it and what would work. kind: the same in a
    few words, to count by."""

    def __init__(self, message: str, kind: str = "cannot be used"):
        super().__init__(message)
        self.kind = kind


def shown(name: str | os.PathLike) -> str:
    """A file's name or a text, fit to be printed: bytes that are no UTF-8, control characters and what turns the
    writing direction become U+FFFD.

    >>> shown("a\\x1b[31mb")
    'a�[31mb'
    """
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join("\ufffd" if _unprintable(c) else c for c in text)


def _unprintable(c: str) -> bool:
    return unicodedata.category(c) in ("Cc", "Zl", "Zp") or "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"


def open_image(source, keep_alpha: bool = False, icc: bool = True) -> Image.Image:
    """Open a picture safely.

    source: a path, bytes, a binary file object or a PIL image.
    keep_alpha: return RGBA; otherwise transparent parts are laid on white and the result is RGB.
    icc: convert colours to sRGB where the file brings a profile, as a viewer does. OpenAI's own preprocessing ignores
    profiles: published test sets are read with icc=False, the reference way.
    The camera's rotation is applied, an animation gives its first frame, 16-bit levels are scaled to 8; an alpha
    channel that is zero everywhere over a picture is no alpha. The result carries no metadata.
    Raises ImageError for anything that is not a whole picture of a known format, at most 40 megapixels, at most 20:1.
    """
    path = source if isinstance(source, (str, Path)) else getattr(source, "filename", None)
    name = f"'{shown(Path(path).name)}'" if path and not isinstance(path, int) else "the picture"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata; and we refuse bombs earlier, below
        image = _first_shown(_decoded(source, name))
        turn, profile = _turn(image), image.info.get("icc_profile")
        try:
            colours, alpha = _layers(image, name)
        except ImageError:
            raise
        except Exception as error:  # decoded, but not whole: a palette is missing; PIL then raises AssertionError
            raise _refusal(name, b"", error) from error
    if icc and isinstance(profile, bytes):
        colours = _in_srgb(colours, profile)
    if alpha is not None and alpha.getextrema()[1] == 0 and not _is_flat(colours):
        alpha = None
    image = _joined(colours.convert("RGB"), alpha, keep_alpha)
    image = image if turn is None else image.transpose(turn)
    image.info = {}
    return image


def fills_a_batch(opened: list, most: int = 64) -> bool:
    """Whether pictures (and what could not be opened) are enough for a batch: few of them, where they are large."""
    pixels = sum(image.width * image.height for image in opened if isinstance(image, Image.Image))
    return len(opened) >= most or pixels > MAX_PIXELS


def batches(rows: Iterable[tuple], most: int = 64) -> Iterator[list[tuple]]:
    """Rows that begin with an opened picture, or None, as lists that fill a batch. A caller who drops a list before it
    asks for the next has no more than that one's pictures in memory."""
    batch: list[tuple] = []
    for row in rows:
        batch.append(row)
        if fills_a_batch([picture for picture, *_ in batch], most):
            yield batch
            batch = []
    if batch:
        yield batch


def is_blank(image: Image.Image) -> bool:
    """Whether a picture shows nothing: white, grey or black all over, to two levels of 255. All red is an answer."""
    extremes: Any = image.convert("RGB").getextrema()
    return _is_flat(image) and max(high for _, high in extremes) - min(low for low, _ in extremes) <= 4


def _is_flat(image: Image.Image) -> bool:
    found: Any = image.getextrema()
    return all(high - low <= 2 for low, high in (found if isinstance(found[0], tuple) else [found]))


# ---------------------------------------------------------------- from a file to a decoded picture


def _decoded(source, name: str) -> Image.Image:
    """The picture, its pixels in memory. Raises ImageError."""
    start = source.tell() if hasattr(source, "tell") and not isinstance(source, Image.Image) else 0
    try:
        if isinstance(source, Image.Image):
            return _loaded(source, name)
        return _loaded(_opened(source, name), name)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(f"{name} is far too large ({error})") from None
    except PermissionError:
        raise ImageError(f"{name} may not be read: you have no permission; ask its owner", "no permission") from None
    except Exception as error:  # decoders raise many kinds: OSError, SyntaxError, struct.error, EOFError ...
        if isinstance(error, OSError) and error.errno:
            raise ImageError(f"{name} cannot be read ({error.strerror}); check the disk", "disk") from error
        data = b"" if isinstance(source, Image.Image) else _whole(source, start)
        found = mended(data, lambda file: _loaded(_opened(file, name), name))
        if found is None:
            raise _refusal(name, data, error) from error
        return found


def _opened(source, name: str) -> Image.Image:
    """Its header read; of an icon the largest picture."""
    if isinstance(source, (bytes, bytearray)):
        source = io.BytesIO(source)
    elif isinstance(source, (str, Path)):
        _check_file(source, name)
    elif not hasattr(source, "read"):
        kind = type(source).__name__
        raise ImageError(f"cannot open a picture from {kind}; give a path, bytes, a file or a PIL image")
    image: Image.Image = Image.open(source, formats=FORMATS)
    if isinstance(image, IcoImagePlugin.IcoImageFile):
        image = image.ico.frame(0)  # not loaded yet where it is a PNG, whose own header is the one to check
    _scale_key(image)
    return image


def _scale_key(image: Image.Image) -> None:
    """A PNG states its transparent level or colour in its own depth; PIL decodes to 8 bits and leaves it so."""
    key, tiles = image.info.get("transparency"), getattr(image, "tile", None)
    raw = tiles[0][3] if tiles else None
    if raw in ("L;2", "L;4") and isinstance(key, int):
        image.info["transparency"] = key * (85 if raw == "L;2" else 17)
    elif raw == "RGB;16B" and isinstance(key, tuple):
        image.info["transparency"] = tuple(k >> 8 for k in key)


def _loaded(image: Image.Image, name: str) -> Image.Image:
    _check_size(image, name)
    image.load()
    return image


def _check_file(path: str | Path, name: str) -> None:
    """Raise ImageError for what is no file. Asked before it is opened: a pipe would be waited for."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        if "\0" not in str(path) and os.path.islink(path):
            raise ImageError(f"{name} is a link to nothing; give the picture itself", "a link to nothing") from None
        raise ImageError(f"there is no file {name}", "no file") from None
    except PermissionError:
        raise ImageError(f"{name} lies in a folder that you may not read", "no permission") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            said = f"{name} is a link that leads back to itself; give the picture itself"
            raise ImageError(said, "a loop of links") from None
        raise ImageError(f"{name} cannot be read ({error.strerror})", "disk") from None
    for test, kind, remedy in KINDS:
        if test(mode):
            raise ImageError(f"{name} is {kind}; {remedy}", kind)


def _whole(source, start: int) -> bytes:
    """All bytes of a JPEG or a PNG, which can be mended; of anything else, and of what is too large, the first ones."""
    if isinstance(source, (bytes, bytearray)):
        return bytes(source)
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            return _whole(file, 0)
    try:
        source.seek(start)
    except (OSError, ValueError):
        return b""
    head = source.read(HEAD)
    rest = source.read(MAX_MENDED + 1) if what_it_is(head) in ("JPEG", "PNG") else b""
    return head + rest if len(rest) <= MAX_MENDED else head


def _refusal(name: str, data: bytes, error: Exception) -> ImageError:
    """Why a file is no picture: it is something else, or it is damaged."""
    kind = what_it_is(data)
    if isinstance(error, Image.UnidentifiedImageError) and not data:
        said = "it is empty, 0 bytes; get the file again"
        return ImageError(f"{name} is not a picture that can be read here: {said}", "empty")
    if isinstance(error, Image.UnidentifiedImageError) and kind not in FORMATS:
        said = f": it is {kind}" if kind else ""
        return ImageError(f"{name} is not a picture that can be read here{said}; use {', '.join(FORMATS)}",
                          kind or "no picture")
    if str(error).startswith("Unsupported "):  # whole, but of a kind that PIL does not know
        return ImageError(f"{name} is a {kind} of a kind that is not read here ({shown(str(error))}). Save it anew as "
                          "PNG or JPEG.", "unsupported kind")
    said = shown(str(error)) or "a part is missing"
    said = "its header cannot be read" if isinstance(error, Image.UnidentifiedImageError) else said
    return ImageError(f"{name} is damaged or cut short ({said}). Save it anew as PNG or JPEG.", "damaged or cut short")


def _too_large(said: str) -> ImageError:
    return ImageError(f"{said}; the limit is {MAX_PIXELS:,} pixels. Make it smaller first.", "too large")


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        told = f"{name} has {width} x {height} = {width * height:,} pixels; the limit is {MAX_PIXELS:,}. "
        raise ImageError(told + "Make it smaller first.", "too large")
    if max(width, height) > MAX_ASPECT * max(1, min(width, height)):
        raise ImageError(f"{name} is {width} x {height}, more than {MAX_ASPECT} times as long as wide. "
                         "Cut out the part that matters.", "too long")
    if not width or not height:
        raise ImageError(f"{name} is {width} x {height}: it has no pixels", "no pixels")


# ---------------------------------------------------------------- from a decoded picture to RGB


def _first_shown(image: Image.Image) -> Image.Image:
    """An animated PNG's first frame: its default picture may be for those only who can't show the animation."""
    if getattr(image, "default_image", False) and getattr(image, "n_frames", 1) > 1:
        still = image.copy()
        try:
            image.seek(1)
            image.load()
        except Exception:  # the animation is damaged, the still is not
            return still
    return image


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What undoes the camera's rotation; nothing where the metadata can't be read."""
    try:
        return TURNS.get(image.getexif().get(0x0112, 1))
    except Exception:  # struct.error, SyntaxError, ValueError, KeyError, TypeError ...: as damaged as it likes
        return None


def _layers(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """A picture's 8-bit colours, and its alpha (L) where it has one."""
    key = image.info.get("transparency")
    if image.mode == "F":
        raise ImageError(f"{name} has floating-point levels of unknown range; save it as an 8-bit PNG", "floats")
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64 if image.mode == "I" else np.uint16)
        alpha = None if not isinstance(key, int) else Image.fromarray(np.where(levels == key, 0, 255).astype(np.uint8))
        return Image.fromarray(_to_8_bit(levels, image.mode)), alpha
    if image.mode in ("L", "RGB") and key is not None and (alpha := _keyed(image, key)) is not None:
        return image, alpha
    if not image.has_transparency_data:
        return (image.convert("RGB") if image.mode in ("P", "1") else image), None
    try:
        rgba = image.convert("RGBA")  # convert("RGB") would uncover whatever colour hides under the transparent parts
    except (ValueError, TypeError, OverflowError):  # transparency that such colours cannot have, as 300 of a palette's
        plain = image.copy()
        plain.info = {}
        return plain.convert("RGB"), None
    return (image.getchannel("L") if image.mode == "LA" else rgba.convert("RGB")), rgba.getchannel("A")


def _to_8_bit(levels: np.ndarray, mode: str) -> np.ndarray:
    """Deep grey levels scaled to 0..255, by their upper byte, as PIL does with deep colours and Chromium with both:
    PIL's own convert would saturate them to white. Those of 32 bits (mode I) say nothing of their range: it is 8 bits
    or 16 where they fit, else from the least level to the greatest."""
    low, high = (int(levels.min()), int(levels.max())) if mode == "I" and levels.size else (0, 65535)
    if low < 0 or high > 65535:
        return ((levels - low) * 255 // max(1, high - low)).astype(np.uint8)
    return (levels >> (0 if high <= 255 else 8)).astype(np.uint8)


def _keyed(image: Image.Image, key) -> Image.Image | None:
    """The alpha that one transparent level or colour makes."""
    channels = image.split()
    key = key if isinstance(key, tuple) else (key,)
    if len(key) != len(channels) or not all(isinstance(k, int) for k in key):
        return None
    same = [np.asarray(channel) == k for channel, k in zip(channels, key, strict=True)]
    return Image.fromarray(np.where(np.logical_and.reduce(same), 0, 255).astype(np.uint8))


def _in_srgb(colours: Image.Image, profile: bytes) -> Image.Image:
    """Colours of a profile as sRGB; as they are, where the profile is damaged or of another kind of colours."""
    colours = colours if colours.mode in ("L", "RGB", "CMYK") else colours.convert("RGB")
    transform = _transform(profile, colours.mode) if len(profile) <= MAX_PROFILE else None
    if transform is None:
        return colours
    try:
        return ImageCms.applyTransform(colours, transform) or colours
    except Exception:
        return colours


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None where it can't be read, or says what is assumed without it: not a bit then
    changes."""
    cube = np.stack(np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * 3), -1).reshape(-1, 18, 3)
    probe = Image.fromarray(cube).convert(mode)
    try:
        with_profile = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        made = ImageCms.buildTransform(with_profile, ImageCms.createProfile("sRGB"), mode, "RGB")
        changed = np.asarray(ImageCms.applyTransform(probe, made)).astype(int)
    except Exception:  # PyCMSError, OSError, ValueError ...
        return None
    return made if np.abs(changed - np.asarray(probe.convert("RGB"))).max() > 3 else None


def _joined(rgb: Image.Image, alpha: Image.Image | None, keep_alpha: bool) -> Image.Image:
    """RGBA, or RGB with the transparent parts on white."""
    if alpha is None:
        return rgb.convert("RGBA") if keep_alpha else rgb
    rgb.putalpha(alpha)
    return rgb if keep_alpha else Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), rgb).convert("RGB")
