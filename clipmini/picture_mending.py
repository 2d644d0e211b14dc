"""Damage that costs no pixel: metadata that can't be read, a JPEG's missing end. And what a file is that is no picture
of ours."""

import re
import struct
import zlib
from collections.abc import Callable, Iterator

from PIL import Image, ImageChops

PNG = b"\x89PNG\r\n\x1a\n"
PNG_STILL = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")
PNG_ANIMATED = (b"acTL", b"fcTL", b"fdAT")
END, MOST_SEGMENTS = 0xD9, 20_000
JPEG_TABLES = (*range(0xC0, 0xD0), END, 0xDA, 0xDB, 0xDD, 0xE0, 0xEE)  # what pixels depend on; 0xEE: Adobe's colours
_PART = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_AFTER_PIXELS = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # 0xFF00 is a pixel's byte, 0xFFD0 to D7 restart the decoder

SIGNATURES = (  # (first byte, what is there, what it is)
    (0, b"\xff\xd8\xff", "JPEG"), (0, PNG, "PNG"), (0, b"GIF8", "GIF"), (0, b"BM", "BMP"), (8, b"WEBP", "WEBP"),
    (0, b"\0\0\1\0", "ICO"), (4, b"ftypavi", "AVIF"),
    (0, b"II*\0", "TIFF or a camera's raw file"), (0, b"MM\0*", "TIFF or a camera's raw file"),
    (0, b"II+\0", "TIFF"), (0, b"MM\0+", "TIFF"), (0, b"FUJIFILM", "a camera's raw file"), (0, b"IIU\0", "a raw file"),
    (4, b"ftyphei", "HEIC"), (4, b"ftyphev", "HEIC"), (4, b"ftypmif1", "HEIF"), (4, b"ftypmsf1", "HEIF"),
    (4, b"ftypcrx", "a camera's raw file"), (4, b"ftyp", "a video"), (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"\xff\x0a", "JPEG XL"), (4, b"JXL ", "JPEG XL"), (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"), (0, b"gimp xcf", "GIMP"), (0, b"qoif", "QOI"), (0, b"v/1\1", "OpenEXR"),
    (0, b"#?RADIANCE", "HDR"), (0, b"DDS ", "DDS"), (0, b"icns", "ICNS"), (0, b"SIMPLE  =", "FITS"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"), (0, b"%PDF", "PDF"), (0, b"%!PS", "PostScript"), (0, b"\0\0\2\0", "a cursor"),
    (0, b"\n\5\1\10", "PCX"), (0, b"PK\3\4", "a zip archive"), (0, b"\x1f\x8b", "a gzip file"),
    (0, b"version https://git-lfs", "a Git LFS pointer; `git lfs pull` gets the file"),
    *((0, b"P%d%c" % (kind, end), "PNM") for kind in range(1, 8) for end in b" \n\r\t"))


def what_it_is(data: bytes) -> str:
    """What a file is, by its first bytes; "" where they say nothing.

    >>> what_it_is(b"II*\\0 and so on")
    "TIFF or a camera's raw file"
    """
    found = next((kind for at, sign, kind in SIGNATURES if data[at:at + len(sign)] == sign), "")
    start = data[:1024].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if not found and start.startswith(b"<"):
        return "SVG" if b"<svg" in start else "HTML or XML"
    return found


def mended(data: bytes, decode: Callable[[bytes], Image.Image]) -> Image.Image | None:
    """A file that could not be decoded, decoded with its damage cut out; None where pixels are damaged.

    decode: bytes -> a picture, or it raises.
    """
    files: list[bytes] = []
    if data.startswith(PNG):
        own = (b"eXIf", b"iCCP")  # the last attempt is the still of a damaged animation, as browsers show it
        files = [_png_without_metadata(data, more) for more in ((*PNG_ANIMATED, *own), PNG_ANIMATED, own)]
    elif data.startswith(b"\xff\xd8"):
        files = [data, *(_jpeg_without_metadata(data, more) for more in ((0xE1, 0xE2), (0xE1,), ()))]
    for file in files:
        try:
            whole = file.startswith(PNG) or any(marker == END for marker, _, _ in _segments(file))
            return decode(file) if whole else _jpeg_without_end(file, decode)
        except Exception:  # as many kinds as decoders: the next attempt, or None
            continue
    return None


def _png_without_metadata(data: bytes, more: tuple[bytes, ...]) -> bytes:
    """Only the chunks that pixels depend on, and of `more` those that are whole. Transparency of a length that the kind
    of colours (grey, RGB, palette) cannot have is passed over, as libpng does."""
    kept, at = [PNG], len(PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        chunk = data[at:at + 12 + length]
        whole = chunk[-4:] == struct.pack(">I", zlib.crc32(chunk[4:-4]))
        fits = kind != b"tRNS" or {0: length == 2, 2: length == 6, 3: 0 < length <= 256}.get(data[25], False)
        if kind in PNG_STILL and fits or kind in more and (whole or kind in PNG_ANIMATED):
            kept.append(chunk)
        at += 12 + length
    return b"".join(kept)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, first byte, byte after the last) of each part of a JPEG; an SOS has its pixels with it. What stands
    between parts is passed over, as libjpeg does. The last is END, where it is there."""
    at = 2
    for _ in range(MOST_SEGMENTS):
        found = _PART.search(data, at)
        if found is None:
            return
        marker, at = found[0][1], found.start()
        if marker == END:
            yield END, at, at + 2
            return
        end = at + 2 + int.from_bytes(data[at + 2:at + 4], "big")
        if marker == 0xDA:
            after = _AFTER_PIXELS.search(data, end)
            end = after.start() if after else len(data)
        yield marker, at, min(end, len(data))
        at = end


def _jpeg_without_metadata(data: bytes, more: tuple[int, ...]) -> bytes:
    """Only the parts that pixels depend on; `more`: markers of others to keep (0xE1 EXIF, 0xE2 profile)."""
    kept = [data[start:end] for marker, start, end in _segments(data)
            if marker in JPEG_TABLES or marker in more and data[start + 4:start + 8] != b"MPF\0"]
    return b"".join([b"\xff\xd8", *kept])


def _jpeg_without_end(data: bytes, decode: Callable[[bytes], Image.Image]) -> Image.Image:
    """A JPEG whose end is missing, if no pixel depends on what is missing: whatever is put there changes nothing."""
    cut = data.rstrip(b"\xff")
    if not _all_scans(cut):
        raise ValueError("scans are missing")
    found, *others = (decode(cut + filling * 512 + b"\xff\xd9") for filling in (b"", b"\x5a", b"\xa6\x31", b"\x0f"))
    if any(o.size != found.size or o.mode != found.mode or ImageChops.difference(found, o).getbbox() for o in others):
        raise ValueError("pixels are missing")
    return found


def _all_scans(data: bytes) -> bool:
    """Whether a JPEG's scans hold every bit of every coefficient of each component. A progressive one tells them in
    many scans, the last bits at the end."""
    components: list[int] = []
    bits: dict[tuple[int, int], int] = {}  # (component, coefficient) -> lowest bit so far
    for marker, start, _ in _segments(data):
        part = data[start + 4:]
        if marker in range(0xC0, 0xC4) and len(part) > 5 and not components:
            components = [part[6 + 3 * i] for i in range(part[5]) if len(part) > 6 + 3 * i]
            progressive = marker == 0xC2
        elif marker == 0xDA and components and part and len(part) > 3 + 2 * part[0]:
            count = part[0]
            first, last, shift = part[1 + 2 * count:4 + 2 * count]
            for k in range(first, min(last, 63) + 1) if progressive else range(64):
                bits |= {(part[1 + 2 * i], k): shift & 15 if progressive else 0 for i in range(count)}
    return bool(components) and all(bits.get((c, k)) == 0 for c in components for k in range(64))
