"""Strangers' picture files: what must work, what must be refused, and in which words."""

import io
import time
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from clipmini.image import ImageError, as_picture, open_image, preprocess, resize_and_crop
from helpers_app import bomb, encoded, tiny_embedder, two_colours


def colour(image: Image.Image, x: float = 0.5, y: float = 0.5) -> tuple:
    return image.getpixel((int(x * (image.width - 1)), int(y * (image.height - 1))))


def near(colour_, expected, tolerance=12) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(colour_, expected, strict=True))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_known_formats_from_bytes_path_file_and_pil(kind, tmp_path):
    data = encoded(two_colours(), kind)
    path = tmp_path / "wrong-extension.txt"
    path.write_bytes(data)
    for source in (data, bytearray(data), path, str(path), io.BytesIO(data), Image.open(path)):
        image = open_image(source)
        assert image.mode == "RGB" and image.size == (40, 20) and near(colour(image, 0.1), (255, 0, 0))


def test_other_formats_are_refused_by_name(tmp_path):
    for kind in ("TIFF", "JPEG2000", "PPM", "PCX"):  # decoders with a longer list of holes than use
        path = tmp_path / "harmless.png"
        path.write_bytes(encoded(two_colours(), kind))
        with pytest.raises(ImageError, match="'harmless.png' is not a picture .* use JPEG, PNG, WEBP, GIF, BMP"):
            open_image(path)


@pytest.mark.parametrize("kind, keep", [("JPEG", 0.5), ("PNG", 0.5), ("JPEG", 0.1), ("GIF", 0.5), ("WEBP", 0.5), ("PNG", 0.95)])
def test_truncated(kind, keep):
    data = encoded(Image.effect_noise((200, 200), 80).convert("RGB"), kind)
    with pytest.raises(ImageError, match="cut short|not a picture"):
        open_image(data[:int(keep * len(data))])


@pytest.mark.parametrize("data", [
    b"", b"hello, I am no picture", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4", b"<html><script>alert(1)</script>",
    b"\x89PNG\r\n\x1a\n", b"GIF89a", bytes(5000)], ids=["empty", "text", "svg", "pdf", "html", "png head", "gif head", "zeros"])
def test_not_a_picture(data, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    with pytest.raises(ImageError) as error:
        open_image(path)
    assert "'picture.png'" in str(error.value) and str(tmp_path) not in str(error.value)


def test_missing_folder_and_wrong_type(tmp_path):
    with pytest.raises(ImageError, match="there is no file 'nothing.png'"):
        open_image(tmp_path / "nothing.png")
    with pytest.raises(ImageError):
        open_image(tmp_path)
    with pytest.raises(ImageError, match="from int"):
        open_image(3)
    with pytest.raises(ImageError, match="from NoneType"):
        open_image(None)


def test_cmyk():
    image = open_image(encoded(Image.new("CMYK", (30, 30), (0, 255, 255, 0)), "JPEG"))  # no cyan: red
    assert image.mode == "RGB" and near(colour(image), (255, 0, 0), 20)


@pytest.mark.parametrize("kind", ["PNG"])
def test_sixteen_bits_are_scaled_not_saturated(kind):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)
    deep = Image.fromarray(np.tile(ramp, (16, 1)))
    assert deep.mode == "I;16"
    image = open_image(encoded(deep, kind))
    np.testing.assert_array_equal(np.asarray(image)[0, :, 0], np.arange(256))


def test_float_levels_are_refused():
    with pytest.raises(ImageError, match="floating-point"):
        open_image(Image.new("F", (8, 8), 0.5))


def test_palette_with_transparency_goes_on_white():
    palette = Image.new("P", (20, 10), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.paste(1, (10, 0, 20, 10))
    image = open_image(encoded(palette))
    assert colour(image, 0) == (255, 0, 0) and colour(image, 1) == (0, 255, 0)
    image = open_image(encoded(palette, transparency=0))
    assert colour(image, 0) == (255, 255, 255) and colour(image, 1) == (0, 255, 0)


@pytest.mark.parametrize("mode, hidden", [("RGBA", (255, 0, 0, 0)), ("LA", (0, 0))])
def test_transparent_parts_go_on_white(mode, hidden):
    clear = Image.new(mode, (9, 9), hidden)
    assert colour(open_image(encoded(clear))) == (255, 255, 255)
    kept = open_image(encoded(clear), keep_alpha=True)
    assert kept.mode == "RGBA" and colour(kept)[3] == 0


def test_half_transparent_and_colour_key():
    assert near(colour(open_image(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128))))), (127, 127, 127), 1)
    assert colour(open_image(encoded(Image.new("RGB", (4, 4), (1, 2, 3)), transparency=(1, 2, 3)))) == (255, 255, 255)
    assert colour(open_image(encoded(Image.new("1", (4, 4), 1)))) == (255, 255, 255)
    assert colour(open_image(encoded(Image.new("L", (4, 4), 77)))) == (77, 77, 77)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (16, 16), c) for c in ("red", "lime", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert near(colour(open_image(data)), (255, 0, 0))


@pytest.mark.parametrize("orientation, size, top_left", [(1, (40, 20), "red"), (3, (40, 20), "blue"), (6, (20, 40), "red"),
                                                         (8, (20, 40), "blue"), (99, (40, 20), "red")])
def test_camera_rotation_is_applied(orientation, size, top_left):
    exif = Image.Exif()
    exif[274] = orientation
    image = open_image(encoded(two_colours(), "JPEG", exif=exif, quality=95))
    assert image.size == size
    assert near(colour(image, 0, 0), (255, 0, 0) if top_left == "red" else (0, 0, 255), 30)


def test_one_pixel_and_the_longest_allowed():
    embedder = tiny_embedder()
    for size in ((1, 1), (1, 20), (20, 1), (1, 7), (3, 2)):
        feature = embedder.embed_images([encoded(Image.new("RGB", size, "red"))])
        assert feature.shape == (1, 32) and abs(feature.norm().item() - 1) < 1e-5


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (10, 201)])
def test_too_long_names_size_and_limit(size):
    with pytest.raises(ImageError, match=f"{size[0]} x {size[1]}, more than 20 times"):
        open_image(encoded(Image.new("RGB", size)))


@pytest.mark.parametrize("side, words", [
    (20_000, "limit is 40,000,000 pixels"),
    (7_000, "7000 x 7000 = 49,000,000 pixels; the limit is 40,000,000")])
def test_bombs_are_refused_before_they_are_decoded(side, words):
    data = bomb(side)
    assert len(data) < 200_000
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(ImageError, match=words):
        open_image(data)
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 0.5 and peak < 5e6


def test_the_bomb_maker_makes_pictures_that_decode():
    assert colour(open_image(bomb(300))) == (0, 0, 0)


def test_preprocess_is_the_formula_of_clip():
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    got = preprocess([image], 32, mean, std)
    resized = image.resize((int(32 * 70 / 50), 32), Image.Resampling.BICUBIC)  # short side to 32
    left = round((resized.width - 32) / 2)
    levels = torch.from_numpy(np.asarray(resized.crop((left, 0, left + 32, 32))).copy()).float().permute(2, 0, 1) / 255
    expected = (levels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.equal(got[0], expected)
    assert np.array_equal(np.asarray(as_picture(got[0], mean, std)), np.asarray(resize_and_crop(image, 32)))
