"""Hostile and odd files, made from a seed: pictures, what only is called a picture, and weights of every layout.

    python tests/hostile_corpus.py FOLDER      writes the pictures, to look at them

Nothing here is a real person's file, and nothing is downloaded. What a file system cannot do is left out.
"""

import io
import json
import os
import pickle
import random
import shutil
import socket
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin, features

from helpers_app import bomb, encoded

SIDE = 24
NAMES = (  # of whole pictures; bytes, since names are
    "火箭.png", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f.png", "a\x1b[31mred.png", "a\nb.png",
    "a\rb.png", "a\tb.png", "\u202egnp.exe.png", " .png", "-rf.png", "--labels.png", "$HOME `id`.png", "..%2f..%2fpasswd.png",
    "..png", "a;b&c|d.png", "'quoted\".png", "<b>bold</b>.png", "{}.png", "%s%n.png", "\\..\\..\\up.png", "$\\frac{1}{2}$.png",
    "_draft.png", "n" * 240 + ".png", "é.png", "e\u0301.png", "noending", "UPPER.PNG", "twice.jpg.png", "\ufeffbom.png",
    "zero\u200bwidth.png", b"\xbb\xf0\xbc\xfd.png", b"\xff\xfe.png", b"latin\xe9.jpg", b"\x80cut", b"emoji\xf0\x9f\x98.png",
    "<img src=x onerror=alert(1)>.png")


def drawing(mode: str = "RGB", side: int = SIDE) -> Image.Image:
    """A picture of any mode, not blank."""
    ramp = np.linspace(20, 235, side)
    levels = np.stack([np.broadcast_to(ramp, (side, side)), np.broadcast_to(ramp[:, None], (side, side)),
                       np.full((side, side), 90.0)], -1).astype(np.uint8)
    picture = Image.fromarray(levels)
    if mode.startswith("I;16"):
        return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    return picture.convert("RGB").convert("L").convert(mode) if mode in ("I", "F") else picture.convert(mode)


def _chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + b"".join(chunks) + _chunk(b"IDAT", zlib.compress(rows))
            + _chunk(b"IEND", b""))


def whole() -> Iterator[tuple[str, bytes]]:
    """Pictures of every format and mode."""
    kinds = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "TGA", "PCX", "SGI", "DDS", "JPEG2000", "PDF",
             "ICNS", *(["AVIF"] if features.check("avif") else [])]
    for kind in kinds:
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"):
            with suppress(OSError, ValueError, KeyError, NotImplementedError):  # a mode that this format has not
                yield f"{kind}-{mode.replace(';', '')}.{kind.lower()}", encoded(drawing(mode), kind)
    frames = [Image.new("RGB", (9, 9), c) for c in ("red", "lime", "blue")]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        yield f"animated.{kind.lower()}", encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    yield "progressive.jpg", encoded(drawing(), "JPEG", progressive=True)
    yield "empty-alpha.png", encoded(_with_alpha(0))
    yield "one-level.png", encoded(Image.new("RGB", (9, 9), "white"))
    yield "one-pixel.png", encoded(Image.new("RGB", (1, 1), "red"))


def _with_alpha(level: int) -> Image.Image:
    picture = drawing("RGBA")
    picture.putalpha(level)
    return picture


def metadata(seed: random.Random) -> Iterator[tuple[str, bytes]]:
    """Metadata that is damaged, huge or contradicts the picture."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a cat\n" * 20_000, zip=True)
    yield "long-text.png", encoded(drawing(), pnginfo=text)
    for kind in ("PNG", "JPEG", "WEBP"):
        for n, data in enumerate((b"", b"Exif\0\0", b"Exif\0\0MM\0*", b"Exif\0\0II*\0\xff\xff\xff\xff",
                                  seed.randbytes(3000),
                                  b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + seed.randbytes(200), b"b'Exif as text'")):
            yield f"exif-{n}.{kind.lower()}", encoded(drawing(), kind, exif=data)
        for n, data in enumerate((b"", profile[:200], seed.randbytes(500), profile[:-9] + seed.randbytes(9))):
            yield f"profile-{n}.{kind.lower()}", encoded(drawing(), kind, icc_profile=data)
    png = encoded(drawing())
    for kind in (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"pHYs", b"gAMA", b"cHRM", b"tIME", b"acTL", b"tRNS",
                 b"PLTE", b"zzZz"):
        for n, data in enumerate((b"", seed.randbytes(40))):
            yield f"chunk-{kind.decode()}-{n}.png", png[:33] + _chunk(kind, data) + png[33:]
    yield "text-bomb.png", png[:33] + _chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(100_000_000), 9)) + png[33:]
    yield "bad-crc.png", png[:33] + _chunk(b"tEXt", b"a\0b", crc=1) + png[33:]
    jpeg = encoded(drawing(), "JPEG")
    for marker in (0xE1, 0xE2, 0xED, 0xEE, 0xFE):
        yield f"segment-{marker:x}.jpg", jpeg[:2] + bytes((0xFF, marker, 0, 60)) + seed.randbytes(58) + jpeg[2:]
    yield "segments.jpg", jpeg[:2] + b"\xff\xfe\0\2" * 200_000 + jpeg[2:]


def damaged(seed: random.Random) -> Iterator[tuple[str, bytes]]:
    """Cut files, overwritten bytes, pixels that are missing."""
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "ICO", *(["AVIF"] if features.check("avif") else [])):
        data = encoded(drawing(side=96), kind)
        for share in (0.02, 0.3, 0.6, 0.99):
            yield f"cut-{share}.{kind.lower()}", data[:int(len(data) * share)]
        for n in range(6):
            changed = bytearray(data)
            for _ in range(4 ** (n % 3)):
                changed[seed.randrange(len(data))] = seed.randrange(256)
            yield f"overwritten-{n}.{kind.lower()}", bytes(changed)
        yield f"more-after.{kind.lower()}", data + seed.randbytes(5000)
        yield f"head-and-noise.{kind.lower()}", data[:20] + seed.randbytes(3000)


def large() -> Iterator[tuple[str, bytes]]:
    """Bombs, sizes that are lies, strips, and the largest that are allowed."""
    for side in (6_400, 20_000):
        yield f"bomb-{side}.png", bomb(side)
    for width, height in ((1, 30_000), (30_000, 1), (20, 1), (1, 20), (0, 5), (5, 0), (2**31 - 1, 1),
                          (2**31 - 1, 2**31 - 1)):
        yield f"{width}x{height}.png", _png(width, height, 8, 0,
                                            b"\0\0" * min(30_000, height) + bytes(min(width, 30_000)))
    deep = np.random.default_rng(0).integers(0, 65536, (6000, 1), np.uint16).repeat(6000, 1)
    yield "deep.png", encoded(Image.fromarray(deep), compress_level=1)
    rows = b"".join(b"\0" + bytes((i % 251,)) * 4 * 6000 for i in range(6000))
    yield "wide.png", _png(6000, 6000, 8, 6, rows)
    gif = bytearray(encoded(drawing("P"), "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    yield "screen.gif", bytes(gif)
    bmp = bytearray(encoded(drawing(), "BMP"))
    for n, (at, value) in enumerate(((18, 2**31 - 1), (22, -2**31), (10, 2**31 - 1), (46, 2**31 - 1), (14, 3))):
        yield f"lie-{n}.bmp", bytes(bmp[:at] + struct.pack("<i", value) + bmp[at + 4:])
    webp = encoded(drawing(), "WEBP", lossless=True)
    yield "lie.webp", webp[:21] + b"\xff\xff\xff\x0f" + webp[25:]
    yield "largest.jpg", encoded(Image.new("L", (6_000, 6_000), 9), "JPEG")


def no_pictures(seed: random.Random) -> Iterator[tuple[str, bytes]]:
    """Other things under a picture's name."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../x.png", encoded(drawing()))
    yield from {
        "empty.png": b"", "empty.jpg": b"", "text.png": b"no picture\n" * 99,
        "html.png": b"<!DOCTYPE html><script>alert(1)</script>",
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "pdf.png": b"%PDF-1.7\n%\xe2\xe3",
        "zip.png": archive.getvalue(),
        "xml.jpg": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
        "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(a) run\n", "script.png": b"#!/bin/sh\nid\n",
        "json.png": b"{}",
        "lfs.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "noise.png": seed.randbytes(5000),
        "zeros.png": bytes(5000), "nul.png": b"\0", "heic.jpg": b"\0\0\0\x18ftypheic" + seed.randbytes(99), "video.png":
            b"\0\0\0\x18ftypisom" + seed.randbytes(99), "raw.jpg": b"II*\0" + seed.randbytes(99),
        "pickle.png": pickle.dumps({"a": 1}),
        "xcf.png": b"gimp xcf v011\0", "psd.png": b"8BPS\0\1" + bytes(30), "elf.png": b"\x7fELF" + bytes(99),
        "crlf.png": encoded(drawing()).replace(b"\r\n", b"\n"), "gz.png": b"\x1f\x8b\x08\0" + seed.randbytes(50)}.items()
    yield "really-webp.jpg", encoded(drawing(), "WEBP")
    yield "really-png.txt", encoded(drawing())
    yield "really-jpeg.gif", encoded(drawing(), "JPEG")


def not_files(folder: Path) -> list[Path]:
    """What has a name and is no file. A socket's path must be short, so it is made from within."""
    made = []

    def make(name: str, how: Callable[[Path], object]) -> None:
        with suppress(OSError, AttributeError, NotImplementedError):
            how(folder / name)
            made.append(folder / name)

    def listen(path: Path) -> None:
        here = os.getcwd()
        os.chdir(path.parent)
        try:
            with socket.socket(socket.AF_UNIX) as opened:
                opened.bind(path.name)
        finally:
            os.chdir(here)

    def closed(path: Path) -> None:
        path.write_bytes(encoded(drawing()))
        path.chmod(0)

    (folder / "target.png").write_bytes(encoded(drawing()))
    make("pipe.png", os.mkfifo)
    make("socket.png", listen)
    make("folder.png", Path.mkdir)
    make("loop.png", lambda path: path.symlink_to("loop.png"))
    make("to-nothing.png", lambda path: path.symlink_to("nothing at all"))
    make("to-a-device.png", lambda path: path.symlink_to("/dev/zero"))
    make("to-a-terminal.png", lambda path: path.symlink_to("/dev/stdin"))
    make("to-a-picture.png", lambda path: path.symlink_to("target.png"))
    make("to-itself", lambda path: path.symlink_to(".", target_is_directory=True))
    make("mode-000.png", closed)
    return [*made, folder / "target.png"]


def pictures(folder: Path, seed: int = 0) -> list[Path]:
    """Write all of them -> their paths."""
    chance, made = random.Random(seed), []
    groups = {"whole": whole(), "metadata": metadata(chance), "damaged": damaged(chance), "large": large(),
              "no picture": no_pictures(chance), "names": ((os.fsdecode(name), encoded(drawing())) for name in NAMES)}
    for group, files in groups.items():
        (folder / group).mkdir(parents=True)
        for name, data in files:
            with suppress(OSError):  # a name that this file system refuses
                (folder / group / name).write_bytes(data)
                made.append(folder / group / name)
    (folder / "no files").mkdir()
    return [*made, *not_files(folder / "no files")]


# ---------------------------------------------------------------- weights


class Code:
    """Unpickled, it would write a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def lone_weights(folder: Path, seed: random.Random) -> Iterator[Path]:
    """Single files called weights."""
    import torch

    def archive(members: dict[str, bytes]) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as opened:
            for name, data in members.items():
                opened.writestr(name, data)
        return file.getvalue()

    def saved(content) -> bytes:
        file = io.BytesIO()
        torch.save(content, file)
        return file.getvalue()

    code = pickle.dumps(Code(folder / "code was run"))
    head = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    contents = {
        "empty": b"", "nul": b"\0", "text": b"hello\n", "noise": seed.randbytes(4000), "zeros": bytes(4000),
        "html": b"<html>404</html>",
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "json": b"{}", "code": code,
        "deep-pickle": b"\x80\x04" + b"(" * 100_000 + b".", "archive": archive({"a": b"1"}),
        "archive-code": archive({"archive/version": b"3", "archive/data.pkl": code}),
        "script": archive({"archive/version": b"3", "archive/code/__torch__.py": b"import os",
                           "archive/constants.pkl": code, "archive/data.pkl": code}),
        "number": saved(5), "list": saved([1]), "names": saved({"a": 1}),
        "tensors": saved({"a": torch.zeros(3)}), "module": saved({"state_dict": {"visual.proj": torch.zeros(2, 2)}}),
        "head-too-long": struct.pack("<Q", 2**62) + b"{}", "head-lies": struct.pack("<Q", len(head)) + head,
        "head-deep": struct.pack("<Q", 200_000) + b"[" * 200_000, "head-number": struct.pack("<Q", 1) + b"1"}
    for name, data in contents.items():
        for ending in (".safetensors", ".pt", ".bin"):
            (folder / f"{name}{ending}").write_bytes(data)
            yield folder / f"{name}{ending}"


JSON_CHANGES: dict[str, Callable[[dict], object]] = {
    "empty": lambda raw: "", "not-json": lambda raw: "{", "list": lambda raw: "[]", "null": lambda raw: "null",
    "object": lambda raw: "{}",
    "nan": lambda raw: "NaN", "deep": lambda raw: '{"a":' * 100_000, "deep-list": lambda raw: "[" * 100_000,
    "digits": lambda raw: "9" * 9_999,
    "twice": lambda raw: json.dumps(raw) * 2, "not-utf8": lambda raw: b"\xff\xfe{}", "nul": lambda raw: b"\0" * 99,
    "bom": lambda raw: b"\xef\xbb\xbf" + json.dumps(raw).encode(), "html": lambda raw: "<html>captive portal</html>",
    "long-names": lambda raw: json.dumps(raw | {"x" * 5000: 1}),
    "long-type": lambda raw: json.dumps(raw | {"model_type": "x" * 5000})}
ODD_VALUES = (None, 0, -1, 1.5, 10**9, 10**30, float("nan"), float("inf"), "", "7", [], [None] * 3, {}, True)


def _numbers(raw: dict, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The ways to each value of a JSON object."""
    for key, value in raw.items():
        yield (*way, key)
        if isinstance(value, dict):
            yield from _numbers(value, (*way, key))


def _changed(raw: dict, way: tuple[str, ...], value) -> dict:
    return {**raw, way[0]: value if len(way) == 1 else _changed(raw[way[0]], way[1:], value)}


def folders(folder: Path, originals: dict[str, Path], seed: random.Random, odd: int = 30) -> Iterator[Path]:
    """Copies of whole model folders with a fault each. odd: how many odd values of each are tried."""
    for layout, original in originals.items():
        def copy(name: str, original=original, layout=layout) -> Path:
            return Path(shutil.copytree(original, folder / f"{layout}-{name}"))

        endings = (".json", ".safetensors", ".txt", ".onnx")
        for file in sorted(path.name for path in original.iterdir() if path.suffix in endings):
            (copy(f"without-{file}") / file).unlink()
            yield folder / f"{layout}-without-{file}"
            yield from _bytes_changed(copy, file, seed)
            if file.endswith(".json"):
                raw = json.loads((original / file).read_text(encoding="utf-8"))
                yield from _json_changed(copy, file, raw, seed, odd if file.endswith("config.json") else 2)
        if any(original.glob("*.safetensors")):
            yield from _weights_changed(copy, seed)


def _bytes_changed(copy, file: str, seed: random.Random) -> Iterator[Path]:
    for what in ("cut", "emptied", "noise", "a-folder"):
        path = copy(f"{what}-{file}") / file
        data = path.read_bytes()
        path.unlink()
        if what == "a-folder":
            path.mkdir()
        else:
            path.write_bytes({"cut": data[:len(data) // 2], "emptied": b"", "noise": seed.randbytes(2000)}[what])
        yield path.parent


def _json_changed(copy, file: str, raw: dict, seed: random.Random, odd: int) -> Iterator[Path]:
    for what, change in JSON_CHANGES.items():
        path = copy(f"{what}-{file}") / file
        content = change(raw)
        path.write_bytes(content if isinstance(content, bytes) else str(content).encode())
        yield path.parent
    ways = sorted(_numbers(raw))
    for n in range(odd if ways else 0):
        path = copy(f"odd-{n}-{file}") / file
        path.write_text(json.dumps(_changed(raw, seed.choice(ways), seed.choice(ODD_VALUES))), encoding="utf-8")
        yield path.parent


def _weights_changed(copy, seed: random.Random) -> Iterator[Path]:
    import torch
    from safetensors.torch import load_file, save_file

    changes: dict[str, Callable] = {
        "nan": lambda t: torch.full_like(t, float("nan")), "infinite": lambda t: torch.full_like(t, float("inf")),
        "int8": lambda t: t.to(torch.int8), "float64": torch.Tensor.double, "complex": lambda t: t.to(torch.complex64),
        "float8": lambda t: t.to(torch.float8_e4m3fn), "bool": torch.Tensor.bool, "flat": torch.Tensor.flatten,
        "more": lambda t: t[None].clone(), "none": lambda t: t[:0].clone(), "half": torch.Tensor.half}
    for what, change in changes.items():
        path = copy(f"tensor-{what}") / "model.safetensors"
        file = path if path.is_file() else next(path.parent.glob("*.safetensors"))
        tensors = load_file(file)
        name = seed.choice(sorted(name for name, t in tensors.items() if t.is_floating_point() and t.ndim))
        save_file({**tensors, name: change(tensors[name])}, file)
        yield path.parent


def archives(folder: Path, original: Path, seed: random.Random) -> Iterator[Path]:
    """Copies of one of OpenAI's archives with a fault each: bytes, its end, each of its members."""
    data = original.read_bytes()
    contents = {f"archive-cut-{share}": data[:int(len(data) * share)] for share in (0.1, 0.5, 0.999)}
    for n in range(8):
        changed = bytearray(data)
        for _ in range(4 ** (n % 4)):
            changed[seed.randrange(len(data))] = seed.randrange(256)
        contents[f"archive-overwritten-{n}"] = bytes(changed)
    with zipfile.ZipFile(original) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    for n, name in enumerate(seed.sample(sorted(members), min(12, len(members)))):
        for what, found in (("without", None), ("emptied", b""), ("noise", seed.randbytes(300)),
                            ("large", bytes(30_000_000))):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as written:
                for member, content in members.items():
                    if member != name or found is not None:
                        written.writestr(member, content if member != name or found is None else found)
            contents[f"archive-{what}-{n}"] = file.getvalue()
    for called, content in contents.items():
        (folder / f"{called}.pt").write_bytes(content)
        yield folder / f"{called}.pt"


def weights(folder: Path, originals: dict[str, Path], archive: Path, seed: int = 0) -> list[Path]:
    """Write them all -> what load is given. originals: layout -> a whole model folder; archive: one of OpenAI's."""
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    strange = [folder / os.fsdecode(name) for name in (b"\xbb\xf0", "a\x1b[31m", "new\nline", "🚀" * 40)]
    for path in strange:
        path.mkdir()
    pipe = [folder / "pipe.pt"] if hasattr(os, "mkfifo") else []
    for path in pipe:
        os.mkfifo(path)
    return [*strange, *pipe, *lone_weights(folder, chance), *archives(folder, archive, chance),
            *folders(folder, originals, chance)]


if __name__ == "__main__":
    print(f"{len(pictures(Path(sys.argv[1]))):,} files in {sys.argv[1]}")
