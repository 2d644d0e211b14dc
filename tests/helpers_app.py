"""A tiny CLIP with random weights, pictures made by hand, and the app on a free port: shared by the app's tests."""

import io
import struct
import zlib
from contextlib import contextmanager

import torch
from PIL import Image

from clipmini import checkpoint
from clipmini.config import preset
from clipmini.embedder import Embedder
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer

CAPTIONS = ["a red circle", "a blue square", "an emoji of a cat", "a drawing of a dog", "a picture of an apple"] * 4


def tiny_model(seed: int = 0, sharp: bool = True) -> tuple[CLIP, Tokenizer]:
    """A light-cbow CLIP of a few thousand weights. sharp: a large logit_scale, so that answers differ."""
    tokenizer = Tokenizer.train(CAPTIONS, vocab_size=560, context_length=96)
    torch.manual_seed(seed)
    config = preset("light-cbow", tokenizer=tokenizer, vision={"width": 8}, text={"width": 32}, embed_dim=32,
                    logit_scale_init=3.0 if sharp else 0.0)
    return CLIP(config).eval().requires_grad_(False), tokenizer


def tiny_embedder(seed: int = 0) -> Embedder:
    return Embedder(*tiny_model(seed), name="tiny")


def tiny_checkpoint(folder):
    """The same as a checkpoint folder."""
    model, tokenizer = tiny_model()
    return checkpoint.save(folder, model, tokenizer, meta={"measured": {"en": "random weights", "zh": "随机权重"}})


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def bomb(side: int) -> bytes:
    """A valid black 1-bit PNG of side x side pixels in a few kilobytes."""
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def two_colours() -> Image.Image:
    """Left half red, right half blue, 40 x 20."""
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (20, 0, 40, 20))
    return image


@contextmanager
def running(model_folder, lang=None):
    """The app in this process on a free port; gives its address."""
    from demo_app import app

    demo = app.build_demo(str(model_folder), lang)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, inbrowser=False, **app.launch_kwargs())
    try:
        yield url
    finally:
        demo.close(verbose=False)
