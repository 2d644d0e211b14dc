"""Embedder: vectors of one kind on every path, and pixels equal to those of transformers."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil

import clipmini
from clipmini.embedder import Embedder, embedded_names
from clipmini.families import devise
from clipmini.files import CheckpointError
from clipmini.image import ImageError, preprocess
from clipmini.tokenizer import TokenLimitError

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@pytest.fixture(scope="module", params=["light-cbow", "light-transformer", "vit-transformer"])
def embedder(request, tiny_checkpoints) -> Embedder:
    return clipmini.load(tiny_checkpoints[request.param], device="cpu")


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Smooth blobs with noise: neither flat nor pure noise."""
    rng = np.random.default_rng(seed)
    channels = 1 if mode == "L" else 3
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    coarse = coarse.resize((width, height), Image.Resampling.BICUBIC)
    levels = np.asarray(coarse).astype(int)[..., :channels] + rng.integers(-20, 21, (height, width, channels))
    levels = levels.clip(0, 255).astype(np.uint8)
    return Image.fromarray(levels[..., 0] if mode == "L" else levels)


def is_unit(vectors: torch.Tensor, shape: tuple) -> bool:
    assert vectors.shape == shape and vectors.dtype == torch.float32 and vectors.device.type == "cpu"
    return bool(((vectors.norm(dim=-1) - 1).abs() < 1e-5).all())


def test_all_kinds_of_input_give_unit_rows(embedder, tmp_path):
    image = picture(30, 20)
    path, file = tmp_path / "a.png", io.BytesIO()
    image.save(path)
    image.save(file, "PNG")
    whole = embedder.embed_images([image, path, str(path), file.getvalue()])
    assert is_unit(whole, (4, 32)) and torch.equal(whole, whole[:1].expand(4, 32))
    for single in (image, path, str(path), file.getvalue()):
        one = embedder.embed_images(single)
        assert is_unit(one, (1, 32))
        torch.testing.assert_close(one, whole[:1], rtol=0, atol=1e-6)
    assert is_unit(embedder.embed_texts("a red cat"), (1, 32))
    assert is_unit(embedder.embed_texts(["", "a", "a b"]), (3, 32))
    assert is_unit(embedder.embed_texts(("a", "b")), (2, 32))
    assert embedder.embed_images([]).shape == embedder.embed_texts([]).shape == (0, 32)
    assert embedder.embed_images([]).dtype == embedder.embed_texts([]).dtype == torch.float32


def test_order_is_kept_and_batches_do_not_matter(embedder):
    texts = ["a red cat and a blue square", "cat", "", "a green apple", "smiling face", "a",
             "the purple crescent moon"] * 3
    alone = torch.cat([embedder.embed_texts([text]) for text in texts])
    images = [picture(17 + 3 * i, 40 - i, seed=i) for i in range(7)]
    alone_images = torch.cat([embedder.embed_images([image]) for image in images])
    assert len(alone.unique(dim=0)) >= 7 and (alone_images[0] - alone_images[1]).abs().max() > 1e-4
    for size in (1, 2, 5, 256):
        torch.testing.assert_close(embedder.embed_texts(texts, batch_size=size), alone, rtol=0, atol=1e-6)
        torch.testing.assert_close(embedder.embed_images(images, batch_size=size), alone_images, rtol=0, atol=1e-6)


def test_too_long_a_text(embedder):
    long = "red cat " * 40
    with pytest.raises(TokenLimitError, match="32"):
        embedder.embed_texts(["short", long])
    cut = embedder.embed_texts([long, "short"], truncate=True)
    assert is_unit(cut, (2, 32))
    torch.testing.assert_close(cut[1:], embedder.embed_texts("short"), rtol=0, atol=1e-6)


def test_vectors_can_be_trained_on(embedder):
    """A linear probe keeps its input for the backward pass, which PyTorch forbids with inference tensors."""
    for vectors in (embedder.embed_texts(["a", "b"]), embedder.embed_images([picture(20, 20)])):
        assert not vectors.requires_grad
        probe = torch.nn.Linear(32, 2)
        probe(vectors).sum().backward()
        assert probe.weight.grad is not None


def test_a_model_in_training_mode_is_switched_over(make_clip, tokenizer):
    model = make_clip("light-cbow").train()
    embedder = Embedder(model, tokenizer)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    torch.testing.assert_close(embedder.embed_images([picture(20, 20), picture(20, 20, seed=1)])[:1],
                               embedder.embed_images([picture(20, 20)]), rtol=0, atol=1e-6)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_scale_sight_and_errors(embedder):
    assert embedder.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    seen = embedder.see(picture(16, 16))
    assert seen.size == (16, 16) and np.abs(np.asarray(seen).astype(int) - np.asarray(picture(16, 16))).max() <= 1
    assert embedder.see(Image.new("RGBA", (50, 30))).getcolors() == [(256, (255, 255, 255))]
    with pytest.raises(ImageError):
        embedder.embed_images([b"nothing"])


def test_load_names_what_there_is(tmp_path, tiny_checkpoints, monkeypatch):
    assets = tmp_path / "assets"
    (assets / "emoji").mkdir(parents=True)
    monkeypatch.setattr(clipmini.embedder, "assets_folder", lambda: assets)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="'emoji' is neither .*embedded are none"):
        clipmini.load("emoji")
    for file in tiny_checkpoints["light-cbow"].iterdir():
        (assets / "emoji" / file.name).write_bytes(file.read_bytes())
    assert embedded_names() == ["emoji"]
    assert clipmini.load("emoji").name == "emoji"
    with pytest.raises(CheckpointError,
                       match="'emojis' is neither a checkpoint folder nor an embedded.*embedded are emoji$"):
        clipmini.load("emojis")
    with pytest.raises(CheckpointError, match="no config.json"):
        clipmini.load(assets)


SIZES = [(16, 16), (224, 224), (225, 225), (640, 480), (480, 640), (333, 251), (97, 301), (31, 19), (19, 31), (7, 5),
         (1, 1), (3, 40), (40, 3), (227, 224), (228, 224), (224, 226), (512, 512), (223, 223), (250, 249), (150, 600)]


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pixels_equal_transformers(size, interpolation):
    """Bit for bit. Where 3, 7, 11 ... pixels are to go, transformers cuts one more on the far side and one
    fewer on the near side than OpenAI's torchvision code, which we follow (it rounds halves to even): shift theirs by
    one."""
    theirs = CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size},
                                   image_mean=list(MEAN),
                                   image_std=list(STD), resample={"bilinear": 2, "bicubic": 3}[interpolation])
    for i, (width, height) in enumerate(SIZES):
        image = picture(width, height, "L" if i % 3 == 2 else "RGB", seed=i)
        ours = preprocess([image], size, MEAN, STD, interpolation)
        short = min(width, height)
        left_over = [int(size * side / short) - size for side in (width, height)]
        if any(extra % 4 == 3 for extra in left_over):
            image = image.convert("RGB").resize(tuple(size + extra for extra in left_over), theirs.resample)
            image = image.crop((*(int(extra % 4 == 3) * 2 for extra in left_over), *image.size))
        expected = theirs(image.convert("RGB"), return_tensors="pt")["pixel_values"]
        assert torch.equal(ours, expected), (SIZES[i], (ours - expected).abs().max())


@pytest.mark.parametrize("options, told", [
    ({"device": "gpu"}, "no device 'gpu' here; choose one of cpu"), ({"image_size": 0}, "image_size is 0; give a side"),
    ({"image_size": -5}, "image_size is -5")])
def test_options_that_no_model_has(tiny_checkpoint, options, told):
    with pytest.raises(CheckpointError, match=told):
        clipmini.load(tiny_checkpoint, **options)


def test_the_photo_model_has_no_other_sizes(monkeypatch):
    monkeypatch.setattr(devise, "missing", lambda: pytest.fail("asked for its packages first"))
    for options in ({"int8": True}, {"image_size": 64}):
        with pytest.raises(CheckpointError, match="'devise' is what its packages hold; omit image_size and int8"):
            clipmini.load("devise", **options)
