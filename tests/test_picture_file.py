"""Other people's files: what a viewer shows is what comes out, metadata never costs a picture, and nothing waits."""

import io
import os
import socket
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from clipmini.picture_file import FORMATS, ImageError, is_blank, open_image, shown
from clipmini.picture_mending import SIGNATURES
from helpers_app import encoded

CASES = Path(__file__).resolve().parent.parent.parent / "shared" / "cases"
PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def drawing(side: int = 64) -> Image.Image:
    """Not symmetric, not grey, and smooth enough for JPEG."""
    ramp = np.linspace(40, 220, side)
    levels = np.stack([np.broadcast_to(ramp, (side, side)), np.broadcast_to(ramp[:, None], (side, side)),
                       np.full((side, side), 90.0)], -1)
    picture = Image.fromarray(levels.astype(np.uint8))
    ImageDraw.Draw(picture).rectangle((6, 6, side // 2, side // 4), fill=(200, 30, 60))
    return picture


def difference(a: Image.Image, b: Image.Image) -> float:
    assert a.size == b.size and a.mode == b.mode == "RGB"
    return float(np.abs(np.asarray(a).astype(int) - np.asarray(b)).mean())


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    found = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", found)


def with_chunk(png: bytes, *chunks: bytes) -> bytes:
    """After IHDR."""
    return png[:33] + b"".join(chunks) + png[33:]


def with_segment(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def app1(data: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def exif_of(orientation: int, kind: str = "H") -> bytes:
    value = struct.pack(">HH", orientation, 0) if kind == "H" else struct.pack(">I", orientation)
    entry = struct.pack(">HHI", 0x0112, 3 if kind == "H" else 4, 1) + value
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + b"\0" * 4


def swapped_profile() -> bytes:
    """sRGB with the primaries of red and blue exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(data[132 + 12 * i:136 + 12 * i]): 136 + 12 * i for i in range(int.from_bytes(data[128:132], "big"))}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    data[red:red + 8], data[blue:blue + 8] = data[blue:blue + 8], data[red:red + 8]
    return bytes(data)


# ---------------------------------------------------------------- metadata

BROKEN = [b"", b"\xff" * 8, b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\xff\xff", exif_of(6)[:20],
          b"b'Exif\\x00\\x00'", b"Exif\0\0" + bytes(range(256)), b"http://ns.adobe.com/xap/1.0/\0\xff\xfe<x",
          exif_of(0), exif_of(99)]


@pytest.mark.parametrize("number", range(len(BROKEN)))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_metadata_costs_no_picture(kind, number):
    broken = BROKEN[number]
    data = encoded(drawing(), kind, lossless=True) if kind == "WEBP" else encoded(drawing(), kind)
    if kind == "JPEG":
        bad = with_segment(data, app1(broken))
    elif kind == "PNG":
        bad = with_chunk(data, chunk(b"eXIf", broken), chunk(b"tEXt", b"exif\0" + broken),
                         chunk(b"tEXt", b"Raw profile type exif\0\n" + broken))
    else:
        part = b"EXIF" + struct.pack("<I", len(broken)) + broken + b"\0" * (len(broken) % 2)
        frame = b"VP8X\x0a\0\0\0\x08\0\0\0" + struct.pack("<I", 63)[:3] + struct.pack("<I", 63)[:3]
        body = b"WEBP" + frame + data[12:] + part
        bad = b"RIFF" + struct.pack("<I", len(body)) + body
    image = open_image(bad)
    assert difference(image, open_image(data)) == 0
    assert image.info == {} and not image.getexif() and type(image) is Image.Image
    assert difference(open_image(image), image) == 0


def test_text_chunks_of_any_damage_cost_no_picture():
    data = encoded(drawing(), "PNG")
    bomb = zlib.compress(bytes(40_000_000))
    for bad in (with_chunk(data, chunk(b"tEXt", b"a\0b", crc=1)), with_chunk(data, chunk(b"zTXt", b"a\0\0" + bomb)),
                with_chunk(data, chunk(b"zTXt", b"a\0\0no zlib")), with_chunk(data, chunk(b"iCCP", b"a\0\0" + bomb)),
                with_chunk(data, chunk(b"iTXt", b"\xff\xff")), with_chunk(data, chunk(b"pHYs", b"1")),
                with_chunk(data, chunk(b"gAMA", b"", crc=3), chunk(b"cHRM", b"12"))):
        assert difference(open_image(bad), drawing()) == 0
    turned = with_chunk(data, chunk(b"eXIf", exif_of(6)[6:]), chunk(b"tEXt", b"a\0b", crc=1))
    assert difference(open_image(turned), drawing().transpose(Image.Transpose.ROTATE_270)) == 0  # what is whole counts


def test_segments_of_any_damage_cost_no_picture():
    data = encoded(drawing(), "JPEG")
    mpf = b"MPF\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHI", 0xB000, 7, 4) + b"0100" + b"\0" * 4  # no number of images
    for bad in (with_segment(data, b"\xff\xe2" + struct.pack(">H", len(mpf) + 2) + mpf),
                with_segment(data, b"\xff\xed\0\x20Photoshop 3.0\0" + bytes(range(16))),
                with_segment(data, b"\xff\xe1\0\x06ExifExif and more than it says")):
        assert difference(open_image(bad), open_image(data)) == 0


@pytest.mark.parametrize("exif", [exif_of(6), exif_of(6, "L")])
def test_orientation_is_read_where_it_is_told(exif):
    turned = drawing().transpose(Image.Transpose.ROTATE_270)
    assert difference(open_image(encoded(drawing(), "PNG", exif=exif)), turned) == 0
    image = open_image(encoded(drawing(), "JPEG", quality=95, exif=exif))
    assert difference(image, turned) < 3 and image.info == {} and difference(open_image(image), image) == 0


def test_the_callers_picture_keeps_its_metadata():
    mine = Image.open(io.BytesIO(encoded(drawing(), "JPEG", exif=exif_of(6))))
    assert open_image(mine) is not mine and "exif" in mine.info and mine.getexif()[0x0112] == 6


# ---------------------------------------------------------------- an end that is missing


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"quality": 30}])
def test_a_jpeg_is_read_without_its_end_if_no_pixel_lacks(options):
    data = encoded(drawing(), "JPEG", **options)
    whole = open_image(data)
    assert data.endswith(b"\xff\xd9") and difference(open_image(data[:-2]), whole) == 0
    assert difference(open_image(data[:-1]), whole) == 0
    for cut in (40, 100, len(data) // 3, len(data) // 2):
        with pytest.raises(ImageError, match="cut short|not a picture"):
            open_image(data[:-cut])


def test_a_progressive_jpeg_cut_between_two_scans_is_refused():
    data = encoded(drawing(), "JPEG", progressive=True)
    scans = [i for i in range(len(data)) if data[i:i + 2] in (b"\xff\xc4", b"\xff\xda")]
    last = scans[-1] if data[scans[-2]:scans[-2] + 2] == b"\xff\xda" else scans[-2]
    with pytest.raises(ImageError, match="cut short"):
        open_image(data[:last])


# ---------------------------------------------------------------- what a viewer shows


def bmp32(picture: Image.Image, alpha: int) -> bytes:
    picture = picture.convert("RGBA")
    picture.putalpha(alpha)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, *picture.size, 1, 32, 3, 0, 0, 0, 0, 0) + masks + b"BGRs" + bytes(48)
    pixels = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels


def test_an_alpha_that_is_zero_everywhere_is_no_alpha():
    assert difference(open_image(bmp32(drawing(), 0)), drawing()) == 0
    clear = drawing().convert("RGBA")
    clear.putalpha(0)
    for kind in ("PNG", "WEBP"):
        data = encoded(clear, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
        assert difference(open_image(data), drawing()) == 0
        assert open_image(data, keep_alpha=True).getchannel("A").getextrema() == (255, 255)
    grey = Image.merge("LA", (drawing().convert("L"), Image.new("L", (64, 64), 0)))
    assert difference(open_image(encoded(grey)), drawing().convert("L").convert("RGB")) == 0
    assert is_blank(open_image(encoded(Image.new("RGBA", (9, 9), (7, 7, 7, 0)))))  # nothing is under it


def grey_png(levels: np.ndarray, depth: int, key: int) -> bytes:
    height, width = levels.shape
    if depth == 16:
        rows = [b"\0" + row.astype(">u2").tobytes() for row in levels]
    else:
        bits = [np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth:].ravel() for row in levels]
        rows = [b"\0" + np.packbits(b).tobytes() for b in bits]
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return (PNG_HEAD + chunk(b"IHDR", head) + chunk(b"tRNS", struct.pack(">H", key))
            + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_one_transparent_level_is_white_at_every_depth(depth):
    top = 2 ** depth - 1
    levels = np.tile(np.array([0, top // 3, top, top // 3]), (4, 1))
    key = int(levels[0, 1])
    expected = np.where(levels == key, 255, levels * 255 // top)
    found = open_image(grey_png(levels, depth, key))
    np.testing.assert_array_equal(np.asarray(found)[..., 0], expected)
    alpha = np.asarray(open_image(grey_png(levels, depth, key), keep_alpha=True))[..., 3]
    np.testing.assert_array_equal(alpha, np.where(levels == key, 0, 255))


def test_one_transparent_colour_of_sixteen_bits():
    pixels = np.zeros((4, 4, 3), np.uint16)
    pixels[:2] = 0xABCD, 0x1234, 0x5678
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    data = (PNG_HEAD + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
            + chunk(b"tRNS", struct.pack(">HHH", 0xABCD, 0x1234, 0x5678)) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))
    found = np.asarray(open_image(data))
    assert (found[:2] == 255).all() and (found[2:] == 0).all()


@pytest.mark.parametrize("levels, expected", [([0, 100, 255], [0, 100, 255]), ([0, 257, 65535], [0, 1, 255]),
                                              ([-100, 0, 100], [0, 127, 255]), ([0, 2**29, 2**30], [0, 127, 255]),
                                              ([7, 7, 7], [7, 7, 7])])
def test_whole_numbers_of_32_bits_by_their_range(levels, expected):
    image = open_image(Image.fromarray(np.array([levels], np.int32)))
    assert np.asarray(image)[0, :, 0].tolist() == expected


def test_an_animated_png_shows_its_first_frame_not_its_still():
    frames = [Image.new("RGB", (16, 16), c) for c in ("red", "lime", "blue")]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True, duration=100)
    assert open_image(data).getpixel((3, 3)) == (0, 255, 0)
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100)
    assert open_image(data).getpixel((3, 3)) == (255, 0, 0)
    cut = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    assert open_image(cut[:cut.index(b"fdAT") + 8]).getpixel((3, 3)) == (255, 0, 0)  # the still is whole
    for old, new in ((struct.pack(">4sII", b"acTL", 2, 0), struct.pack(">4sII", b"acTL", 0, 0)), (b"fcTL", b"fcTX")):
        at = cut.index(old)
        data = cut[:at] + new + cut[at + len(new):]  # no frames; a frame without its size
        data = data[:at - 4] + chunk(data[at:at + 4], data[at + 4:at + 4 + struct.unpack(">I", data[at - 4:at])[0]]) \
            + data[at + 8 + struct.unpack(">I", data[at - 4:at])[0]:]
        assert open_image(data).getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "LA", "RGBA"])
def test_transparency_of_an_impossible_length_costs_no_picture(mode):
    data = encoded(drawing().convert(mode))
    at = data.index(b"IDAT") - 4
    for length in (0, 1, 3, 5, 300):
        found = open_image(data[:at] + chunk(b"tRNS", bytes(length)) + data[at:])
        if length in (0, 5) and mode != "P":
            assert difference(found, open_image(data)) == 0


def test_a_missing_palette_is_damage():
    data = encoded(drawing().convert("P"))
    at = data.index(b"PLTE")
    length = struct.unpack(">I", data[at - 4:at])[0]
    with pytest.raises(ImageError, match="is damaged or cut short"):
        open_image(data[:at - 4] + data[at + 8 + length:])


def test_a_bitmap_of_a_rare_kind_is_unsupported_not_damaged(tmp_path):
    data = bytearray(encoded(drawing(), "BMP"))
    data[28:30] = (2).to_bytes(2, "little")  # bits of a pixel
    with pytest.raises(ImageError, match=r"is a BMP of a kind that is not read here \(Unsupported") as error:
        open_image(bytes(data))
    assert error.value.kind == "unsupported kind"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TRANSPARENT", "PALETTE", "GREY"])
def test_profiles_become_srgb_but_not_for_published_test_sets(kind):
    red, blue, grey = (200, 20, 30), (30, 20, 200), (128, 128, 128)
    colour = grey if kind == "GREY" else red
    picture = Image.new("RGB", (16, 16), colour)
    picture = {"TRANSPARENT": lambda: picture.convert("RGBA"), "PALETTE": lambda: picture.quantize(4),
               "GREY": lambda: picture.convert("L")}.get(kind, lambda: picture)()
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(picture, kind if kind in ("JPEG", "WEBP") else "PNG", icc_profile=swapped_profile(), **options)
    for got, right in ((open_image(data), grey if kind == "GREY" else blue), (open_image(data, icc=False), colour)):
        np.testing.assert_allclose(got.getpixel((5, 5)), right, atol=8)
        assert got.info == {}


def test_a_profile_of_srgb_changes_no_bit_and_a_broken_one_costs_nothing():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"", b"garbage", srgb[:200], swapped_profile()[:300], bytes(5_000_000)):
        picture = drawing()
        picture.info["icc_profile"] = profile
        assert difference(open_image(picture), drawing()) == 0


def test_blank_is_one_colour():
    assert is_blank(Image.new("RGB", (5, 5), "white")) and is_blank(Image.new("L", (5, 5), 9))
    assert not is_blank(Image.new("RGB", (5, 5), "red"))  # "red" or "green" may be just what is asked
    assert not is_blank(drawing())
    white = Image.new("RGBA", (30, 30), (255, 255, 255, 0))
    ImageDraw.Draw(white).ellipse((5, 5, 20, 20), fill="white")
    assert is_blank(open_image(encoded(white)))


# ---------------------------------------------------------------- formats, and what is no picture


@pytest.mark.parametrize("kind", FORMATS)
def test_all_formats_are_read_whatever_they_are_called(kind, tmp_path):
    path = tmp_path / "x.tiff"
    path.write_bytes(encoded(drawing(), kind))
    assert difference(open_image(path), drawing()) < 9


def test_an_icon_gives_its_largest_picture_and_is_no_way_round_the_limit():
    data = encoded(drawing(128), "ICO", sizes=[(16, 16), (128, 128), (32, 32)])
    assert difference(open_image(data), drawing(128)) == 0
    huge = encoded(Image.new("1", (7000, 7000)), "PNG")
    icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(huge), 22) + huge
    with pytest.raises(ImageError, match="7000 x 7000 = 49,000,000 pixels; the limit"):
        open_image(icon)


@pytest.mark.parametrize("data, kind", [(b"II*\0rest", "TIFF"), (b"\0\0\0\x18ftypheic", "HEIC"), (b"8BPS", "Photoshop"),
                                        (b" <svg xmlns='x'/>", "SVG"), (b"%PDF-1.7", "PDF"), (b"P6 9 9 255\n", "PNM"),
                                        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull")])
def test_what_is_no_picture_of_ours_is_named(data, kind, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=f"'photo.png' is not a picture that can be read here: it is .*{kind}"):
        open_image(path)


def test_empty_and_every_signature_are_refused_in_words(tmp_path):
    (tmp_path / "zero.jpg").touch()
    with pytest.raises(ImageError, match="'zero.jpg' is not a picture .* it is empty, 0 bytes"):
        open_image(tmp_path / "zero.jpg")
    for at, sign, _ in SIGNATURES:
        for more in (b"", bytes(100), b"\xff" * 100):
            with pytest.raises(ImageError):
                open_image(bytes(at) + sign + more)


def test_what_is_no_file_is_named_and_nothing_waits(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "folder.png").mkdir()
    listening = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(tmp_path)  # the name of a socket has 108 bytes at most
    listening.bind("socket.png")
    os.chdir(here)
    start = time.perf_counter()
    for name, words in (("pipe", "is a pipe"), ("loop", "is a link that leads back to itself"),
                        ("gone", "is a link to nothing"), ("folder", "is a folder"), ("socket", "is a socket")):
        with pytest.raises(ImageError, match=f"'{name}.png' {words}"):
            open_image(tmp_path / f"{name}.png")
    with pytest.raises(ImageError, match="is a device"):
        open_image("/dev/zero")
    with pytest.raises(ImageError, match="there is no file"):
        open_image("a\0b.png")
    assert time.perf_counter() - start < 2
    listening.close()


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    path = tmp_path / "mine.png"
    path.write_bytes(encoded(drawing()))
    monkeypatch.setattr(Image, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(ImageError, match="'mine.png' may not be read: you have no permission"):
        open_image(path)


# ---------------------------------------------------------------- names


def test_names_are_shown_without_what_a_terminal_obeys():
    assert shown(os.fsdecode(b"\xbb\xbc\xfd.png")) == "\ufffd\ufffd\ufffd.png"
    assert shown("a\x1b]0;b\x07\x9b\u202egnp.\n") == "a\ufffd]0;b\ufffd\ufffd\ufffdgnp.\ufffd"
    assert shown(Path("火箭 👨\u200d👩.png")) == "火箭 👨\u200d👩.png"


def test_names_are_bytes(tmp_path):
    path = tmp_path / os.fsdecode(b"\xbb\xf0\x1b[31m.png")
    path.write_bytes(encoded(drawing()))
    assert difference(open_image(path), drawing()) == 0
    path.write_bytes(b"no")
    with pytest.raises(ImageError) as error:
        open_image(path)
    assert "'\ufffd\ufffd\ufffd[31m.png'" in str(error.value) and str(error.value).encode()


# ---------------------------------------------------------------- the cases of public reports, where they lie beside

TURNED = {"exif-orient6.jpg", "exif-orient-long.jpg", "exif-selfloop.jpg", "orient6.png", "orient6.webp", "stereo.mpo",
          "stereo-named.jpg"}
REFUSED = {"trunc-prog.jpg": "is damaged or cut short", "zero.jpg": "is not a picture that can be read here: it is empty"}
GREY = {"grey16-trns.png", "grey8-trns.png", "la.png"}
FOUND = [p for d in ("pictures", "broken-exif", "broken-exif-png") for p in sorted((CASES / d).glob("*"))]


@pytest.mark.parametrize("path", FOUND, ids=lambda p: p.name)
def test_the_cases(path):
    if path.name in REFUSED:
        with pytest.raises(ImageError, match=f"'{path.name}' {REFUSED[path.name]}"):
            open_image(path)
        return
    image = open_image(path)
    right = Image.open(CASES / "pictures" / "ref.png").convert("RGB")
    if path.name == "white-on-transparent.png":
        assert is_blank(image)
    elif path.name not in ("pizza.png", "bit1-trns.png"):
        right = right.transpose(Image.Transpose.ROTATE_270) if path.name in TURNED else right
        right = Image.merge("RGB", right.split()[::-1]) if path.name.startswith("icc-swapped") else right
        right, image = (right.convert("L").convert("RGB") if path.name in GREY else right), image.resize(right.size)
        assert difference(image, right) < (10 if path.suffix in (".gif", ".jpg", ".mpo") else 5)
    assert image.info == {} and difference(open_image(image), image) == 0
