"""Pictures of all kinds and strings of all scripts, from a seed: what Python and the page must read alike.

    python tests/web/corpus.py FOLDER      writes the pictures, to look at them
"""

import io
import random
import struct
import sys
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageDraw

PICTURES, STRINGS = 200, 2_000
SCRIPTS = ((0x20, 0x7f), (0xa0, 0x250), (0x370, 0x400), (0x400, 0x530), (0x590, 0x700), (0x900, 0xe00), (0x1100, 0x1200),
           (0x1e00, 0x2000), (0x2000, 0x2070), (0x2190, 0x27c0), (0x3040, 0x3100), (0x4e00, 0x5200), (0xac00, 0xad00),
           (0xff00, 0xfff0), (0x1f300, 0x1f700), (0x1d400, 0x1d800), (0xe0000, 0xe0080))
WORDS = ("a photo of a dog", "it's", "don't we'll I'm", "CAFÉ", "cafe\u0301", "ΣΑΣ", "İstanbul", "大象", "一只猫", "12345",
         "<|startoftext|>", "<|EndOfText|>", "<|endoftext|>", "&amp;", "\ufeff", "\x85", "\x1c", "\u3000", "\u200b", "👩‍🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
         "straße", "ﬁne", "１２", "x" * 70, "ⅷ", "a\u0300\u0301", "!?...", "''s", "'S")


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    return b"".join([png[:33], struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(kind + data)), png[33:]])


PRIMARIES = {"p3": ((.5151, .2412, -.0011), (.2919, .6922, .0419), (.1572, .0666, .7841)),  # X, Y, Z in light D50
             "adobe": ((.6097, .3111, .0195), (.2053, .6257, .0609), (.1492, .0632, .7446)),
             "swapped": ((.1431, .0606, .7141), (.3851, .7169, .0971), (.4361, .2225, .0139))}


def made_profile(name: str, curve: int) -> bytes:
    """An ICC profile of three primaries. curve: 0 sRGB's five numbers, 1 a power of 2.2, 2 a table of 64 levels."""
    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65_536)) for value in values)

    table = b"".join(struct.pack(">H", round(65_535 * (i / 63) ** 1.8)) for i in range(64))
    trc = (b"para" + bytes(4) + struct.pack(">HH", 3, 0) + fixed(2.4, 1 / 1.055, .055 / 1.055, 1 / 12.92, .04045),
           b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)), b"curv" + bytes(4) + struct.pack(">I", 64) + table)
    white = (.9642, 1, .8249)
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"made\0" + bytes(78), b"cprt": b"text" + bytes(4) + b"none\0",
            b"wtpt": b"XYZ " + bytes(4) + fixed(*white),
            **{tag: b"XYZ " + bytes(4) + fixed(*xyz)
               for tag, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), PRIMARIES[name], strict=True)},
            **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), trc[curve])}
    listed, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        listed += tag + struct.pack(">II", start + len(body), len(content))
        body += content
    version = struct.pack(">I", 0x02400000 if curve else 0x04000000)
    head = (struct.pack(">I", start + len(body)) + b"lcms" + version + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
            + fixed(*white))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + listed + body


def drawn(rng: np.random.Generator, width: int, height: int, alpha: bool = False) -> Image.Image:
    """Clouds, edges and noise; with alpha, of every transparency."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x * rng.uniform(0.01, 0.6) + y * rng.uniform(0.01, 0.6) + rng.uniform(0, 6)) for _ in range(4)]
    levels = (np.stack(waves, -1) * 120 + 128 + rng.normal(0, rng.choice([0, 4, 30]), (height, width, 4))).clip(0, 255)
    image = Image.fromarray(levels.astype(np.uint8)[..., :4 if alpha else 3])
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        corners = sorted(rng.integers(0, width, 2).tolist()), sorted(rng.integers(0, height, 2).tolist())
        fill = tuple(rng.integers(0, 256, 4 if alpha else 3).tolist())
        pen.ellipse([corners[0][0], corners[1][0], corners[0][1], corners[1][1]], fill=fill)
    return image


def _some(rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """One of each kind, of a size of its own."""
    def size() -> tuple[int, int]:
        longer = int(2 ** rng.uniform(2, 10))
        shorter = max(1, int(longer / rng.uniform(1, 6)))
        return (longer, shorter) if rng.random() < 0.5 else (shorter, longer)

    plain, glass = (lambda alpha=alpha: drawn(rng, *size(), alpha) for alpha in (False, True))
    yield "rgb.png", encoded(plain(), "PNG")
    yield "interlaced-like.png", encoded(plain(), "PNG", compress_level=0)
    yield "rgba.png", encoded(glass(), "PNG")
    yield "grey.png", encoded(plain().convert("L"), "PNG")
    yield "grey-alpha.png", encoded(glass().convert("LA"), "PNG")
    yield "one-bit.png", encoded(plain().convert("1"), "PNG")
    yield "palette.png", encoded(plain().quantize(int(rng.integers(2, 256))), "PNG")
    yield "key.png", encoded(plain().quantize(16), "PNG", transparency=int(rng.integers(16)))
    yield "deep.png", encoded(Image.fromarray(np.asarray(plain().convert("L")).astype(np.uint16) * 257
                                              + rng.integers(0, 200, dtype=np.uint16)), "PNG")
    for sampling in (0, 1, 2):
        yield f"sampling-{sampling}.jpg", encoded(plain(), "JPEG", subsampling=sampling, quality=int(rng.integers(20, 99)))
    yield "progressive.jpg", encoded(plain(), "JPEG", progressive=True)
    yield "grey.jpg", encoded(plain().convert("L"), "JPEG")
    turned = Image.Exif()
    turned[0x0112] = int(rng.integers(1, 9))
    yield f"turned-{turned[0x0112]}.jpg", encoded(plain(), "JPEG", exif=turned.tobytes())
    yield "lossy.webp", encoded(plain(), "WEBP", quality=int(rng.integers(20, 99)))
    yield "lossless.webp", encoded(glass(), "WEBP", lossless=True, exact=True)
    yield "lossy-alpha.webp", encoded(glass(), "WEBP", quality=80)
    yield "still.gif", encoded(plain().quantize(64), "GIF")
    frames = [plain().resize((40, 30)) for _ in range(3)]
    yield "animated.gif", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "animated.webp", encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    yield "rgb.bmp", encoded(plain(), "BMP")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "srgb.jpg", encoded(plain(), "JPEG", icc_profile=profile)
    yield "srgb.png", encoded(plain(), "PNG", icc_profile=profile)
    for kind in ("PNG", "WEBP"):
        turned[0x0112] = int(rng.integers(2, 9))
        picture = glass() if kind == "PNG" and rng.random() < 0.5 else plain()
        yield f"turned-{turned[0x0112]}.{kind.lower()}", encoded(picture, kind, exif=turned.tobytes())
    yield "gamma.png", with_chunk(encoded(plain(), "PNG"), b"gAMA", struct.pack(">I", int(rng.integers(30_000, 100_001))))
    for kind in ("JPEG", "PNG", "WEBP"):
        colours = made_profile(str(rng.choice(list(PRIMARIES))), int(rng.integers(3)))
        picture = glass() if kind == "PNG" and rng.random() < 0.5 else plain()
        yield f"profile.{kind.lower()}", encoded(picture, kind, icc_profile=colours)
    yield "grey-profile.jpg", encoded(plain().convert("L"), "JPEG", icc_profile=made_profile("p3", 1))
    yield "no-end.jpg", encoded(plain(), "JPEG")[:-2]
    turned[0x0112] = 6
    yield "turned-long.jpg", encoded(plain(), "JPEG", exif=turned.tobytes().replace(
        b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00", b"\x01\x12\x00\x04\x00\x00\x00\x01\x00\x00\x00\x06"))
    yield "tiny.png", encoded(drawn(rng, *rng.integers(1, 5, 2).tolist()), "PNG")
    yield "same-size.png", encoded(drawn(rng, 48, 48), "PNG")


def pictures(seed: int = 0, n: int = PICTURES, large: bool = True) -> list[tuple[str, bytes]]:
    """n of them as (name, content); large: with one of twelve megapixels, and one of twenty times its height."""
    rng, found = np.random.default_rng(seed), []
    if large:
        found += [("camera.jpg", encoded(drawn(rng, 4000, 3000), "JPEG")),
                  ("glass.png", encoded(drawn(rng, 2000, 1500, True), "PNG")),
                  ("strip.png", encoded(drawn(rng, 2000, 100), "PNG"))]
    while len(found) < n:
        found += [(f"{len(found) + i}-{name}", data) for i, (name, data) in enumerate(_some(rng))]
    return found[:n]


def strings(seed: int = 0, n: int = STRINGS) -> list[str]:
    """n texts: words, letters of every script, and both mixed; none has half a character."""
    chance, found = random.Random(seed), [" ".join(WORDS), "", " ", *WORDS]
    while len(found) < n:
        parts = []
        for _ in range(chance.randrange(1, 12)):
            if chance.random() < 0.4:
                parts.append(chance.choice(WORDS))
            else:
                low, high = chance.choice(SCRIPTS)
                letters = (chr(chance.randrange(low, high)) for _ in range(chance.randrange(1, 9)))
                parts.append("".join(c for c in letters if unicodedata.category(c) != "Cn"))
        found.append(chance.choice(("", " ", "  ", "\n")).join(parts))
    return found[:n]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    for name, data in pictures():
        (folder / name).write_bytes(data)
