"""Outside of what a model was taught: a probability for a picture, and the words of a label that no caption had.

A softmax shares 100 % among the labels offered, whatever the picture shows. So a model that was trained here keeps, in
the file taught.safetensors beside its weights, what it was taught: the names with their vectors, the mean picture of
each name, every word of its captions, and a logistic regression that tells pictures like those of its training from
pictures made to be unlike them. It sees how near the nearest name and the nearest mean picture are, how far they stand
out among all others, and the vector itself. Models from elsewhere have no such file, and nothing is said of them.

Source of the idea to train on made-up outsiders: Hendrycks et al. 2019, "Deep Anomaly Detection with Outlier Exposure".
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import regex
import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.augment import augment
from clipmini.embedder import Embedder
from clipmini.files import CheckpointError, read_tensors
from clipmini.tasks.prompts import Note, listed

FILE = "taught.safetensors"
PIECE = regex.compile(r"\p{Han}|[\p{L}\p{M}]+(?:'\p{L}+)?")  # a word, or one Chinese character
INSIDE, OUTSIDERS = 3000, 400  # pictures that the regression learns from: of the training, and of each made-up kind
LIMIT = 0.05  # the share of validation pictures that is called outside, and is not
SIZE = 96  # pixels, of made-up pictures


@dataclass(frozen=True)
class Taught:
    """What a model was taught. names: K; texts (K, E) and pictures (K, E): unit vectors of the names, and of the mean
    picture of each; words: those of all captions, lower case; weights (E + 7,): of the regression, the last one is its
    constant; limit: a probability above it is said."""

    names: tuple[str, ...]
    words: frozenset[str]
    texts: Tensor
    pictures: Tensor
    weights: Tensor
    limit: float


def pieces(text: str) -> list[str]:
    """The words of a text in lower case; of Chinese, the characters.

    >>> pieces("Tom's 大象, 2 eggs")
    ["tom's", '大', '象', 'eggs']
    """
    return PIECE.findall(text.lower().replace("’", "'"))


def new_words(taught: Taught, label: str) -> list[str]:
    """The words of a label that no caption had, in singular or plural; for Chinese, the characters."""
    def known(word: str) -> bool:
        bare = word.removesuffix("'s")
        one = {bare.removesuffix("s"), bare.removesuffix("es"), bare.removesuffix("ies") + "y"}
        return bool({word, bare, bare + "s", *one} & taught.words)

    return [word for word in dict.fromkeys(pieces(label)) if not known(word)]


def _features(texts: Tensor, pictures: Tensor, vectors: Tensor) -> Tensor:
    """What the regression sees of unit vectors (N, E): six numbers and the vectors -> (N, E + 6)."""
    seen = []
    for known in (texts, pictures):
        cosines = vectors @ known.t()  # (N, K)
        spread = cosines.std(dim=1)
        best = cosines.amax(dim=1)
        seen += [best, (best - cosines.mean(dim=1)) / spread.clamp(min=1e-6), spread]
    return torch.cat([torch.stack(seen, 1), vectors], 1)


def probability(taught: Taught, vectors: Tensor) -> Tensor:
    """Unit vectors of pictures (N, E) -> the probability (N,) that each is outside of what was taught, where as many
    are outside as inside."""
    x = _features(taught.texts, taught.pictures, vectors)
    return torch.sigmoid(-(x @ taught.weights[:-1] + taught.weights[-1]))


def notes(taught: Taught, shares: Tensor, but: list[int]) -> list[Note]:
    """A note on pictures that are outside, from `probability` of all of them (N,); with several pictures it names them,
    counted from 1. but: numbers of pictures of which something else is said."""
    far = [i for i in (shares > taught.limit).nonzero().flatten().tolist() if i not in but]
    if not far:
        return []
    if len(shares) == 1:
        return [Note("outside", {"share": min(shares[0].item(), 0.99)})]  # nothing is sure
    return [Note("outside_some", {"count": len(far), "labels": listed(str(i + 1) for i in far)})]


# ---- learning it, at the end of a training ---------------------------------------------------------------
def learn(embedder: Embedder, rgba: Any, groups: Tensor, held: Any, names: list[str], captions,
          sketch: float = 0.0, seed: int = 0) -> Taught:
    """What a model was taught, from its training data.

    rgba (N, S, S, 4): the pictures as training.Pairs has them, in memory or not; groups (N,): the number of each one's
    name; held: pictures that were not trained on, (M, S, S, 4), for the limit; names: K; captions: every caption, an
    iterable of strings; sketch: the share of the pictures that was sketched.
    """
    generator = torch.Generator().manual_seed(seed)

    v = embedder.config.vision

    def drawn(some: Tensor, strength: float) -> Tensor:
        return augment(some, v.image_size, v.mean, v.std, generator, strength, strength, strength,
                       sketch if strength else 0.0)

    def encoded(some: Tensor, strength: float) -> Tensor:
        return torch.cat([_encoded(embedder, drawn(part, strength)) for part in some.split(256)])

    used = torch.unique(groups)
    sums = torch.zeros(len(names), embedder.config.embed_dim).index_add_(0, groups, encoded(rgba, 0.0))
    pictures = F.normalize(sums[used], dim=-1)
    texts = embedder.embed_texts([names[i] for i in used.tolist()], truncate=True)
    some = torch.randperm(len(rgba), generator=generator)
    inside = encoded(rgba[some[:INSIDE]], 1.0)
    made = torch.cat([_encoded(embedder, _spoilt(drawn(rgba[some[-4 * OUTSIDERS:]], 0.5), generator)),
                      embedder.embed_images(invented(np.random.default_rng(seed), OUTSIDERS))])
    x = _features(texts, pictures, torch.cat([inside, made]))
    weights = _regression(x, torch.cat([torch.ones(len(inside)), torch.zeros(len(made))]))
    taught = Taught(tuple(names[i] for i in used.tolist()), frozenset(w for c in captions for w in pieces(c)),
                    texts, pictures, weights, 0.5)
    checked = probability(taught, encoded(held, 0.0))
    return replace(taught, limit=float(checked.quantile(1 - LIMIT)))


@torch.no_grad()
def _encoded(embedder: Embedder, pixels: Tensor) -> Tensor:
    rows = [embedder.model.encode_image(part.to(embedder.device)).float().cpu() for part in pixels.split(256)]
    return torch.cat(rows)


def _regression(x: Tensor, inside: Tensor) -> Tensor:
    """Logistic regression with both classes of one weight; columns are standardised and given back in their own units
    -> weights (F + 1,)."""
    from sklearn.linear_model import LogisticRegression

    middle, spread = x.mean(dim=0), x.std(dim=0).clamp(min=1e-6)
    fit = LogisticRegression(C=0.1, max_iter=3000, class_weight="balanced")
    fit.fit(((x - middle) / spread).numpy(), inside.numpy())
    weights = torch.from_numpy(fit.coef_[0]).float() / spread
    return torch.cat([weights, torch.tensor([float(fit.intercept_[0])]) - weights @ middle])


def _spoilt(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures of the training made into none: tiles in a wrong order, a part as large as the whole, two in one."""
    part, side = len(pixels) // 4, pixels.shape[-1]

    def shuffled(some: Tensor, n: int) -> Tensor:
        edge = side // n
        tiles = some[..., :n * edge, :n * edge].unfold(2, edge, edge).unfold(3, edge, edge)  # (B, 3, n, n, edge, edge)
        flat = tiles.reshape(len(some), 3, n * n, edge, edge)
        order = torch.stack([torch.randperm(n * n, generator=generator) for _ in range(len(some))])
        flat = flat.gather(2, order[:, None, :, None, None].expand_as(flat)).view(len(some), 3, n, n, edge, edge)
        return _scaled(flat.permute(0, 1, 2, 4, 3, 5).reshape(len(some), 3, n * edge, n * edge), side)

    third = side // 3
    start = torch.randint(side - third + 1, (2,), generator=generator).tolist()
    near = pixels[2 * part:3 * part, :, start[0]:start[0] + third, start[1]:start[1] + third]
    both = (pixels[3 * part:4 * part] + pixels[:part].flip(0)) / 2
    return torch.cat([shuffled(pixels[:part], 2), shuffled(pixels[part:2 * part], 3), _scaled(near, side), both])


def _scaled(pixels: Tensor, side: int) -> Tensor:
    return F.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False)


def invented(rng: np.random.Generator, each: int) -> list:
    """Pictures that show no thing: noise of every grain, clouds, shades, and lines of text, `each` of a kind."""
    from PIL import Image, ImageDraw, ImageFont

    def noise():
        side, colours = int(rng.integers(2, SIZE)), int(rng.choice([1, 3]))
        values = rng.integers(0, 256, (side, side, colours), dtype=np.uint8).repeat(3 // colours, axis=2)
        how = Image.Resampling.NEAREST if rng.random() < 0.3 else Image.Resampling.BICUBIC
        return Image.fromarray(values).resize((SIZE, SIZE), how)

    def cloud():
        total, fall, grey = np.zeros((SIZE, SIZE, 3)), rng.uniform(0.5, 2.0), rng.random()
        for side in (3, 6, 12, 24, 48, 96):
            layer = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
            total += np.asarray(layer.resize((SIZE, SIZE), Image.Resampling.BICUBIC), float) / side ** fall
        total = (total - total.min()) / np.ptp(total) * 255
        return Image.fromarray((grey * total.mean(2, keepdims=True) + (1 - grey) * total).astype(np.uint8))

    def shade():
        ends, ramp = rng.integers(0, 256, (2, 3)), np.linspace(0, 1, SIZE)[None, :, None] * rng.integers(0, 2)
        across = Image.fromarray((ends[0] * (1 - ramp) + ends[1] * ramp).repeat(SIZE, 0).astype(np.uint8))
        return across.rotate(90 * int(rng.integers(4)))

    def text():
        height, letters = int(rng.integers(8, 44)), list("eeeettaaooiinnsshhrrddlucmfwygpbvk")
        dark = rng.random() < 0.4
        page = Image.new("RGB", (2 * SIZE, 2 * SIZE), "black" if dark else "white")
        pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=height)
        for y in range(4, 2 * SIZE, height + 6):
            line = " ".join("".join(rng.choice(letters, int(rng.integers(1, 9)))) for _ in range(12))
            pen.text((4, y), line, fill="white" if dark else "black", font=font)
        return page

    return [make() for make in (noise, cloud, shade, text) for _ in range(each)]


# ---- the file --------------------------------------------------------------------------------------------
def as_file(taught: Taught) -> bytes:
    """The content of taught.safetensors: vectors in half precision."""
    from safetensors.torch import save

    tensors = {"texts": taught.texts.half(), "pictures": taught.pictures.half(), "weights": taught.weights}
    return save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata={
        "names": json.dumps(taught.names, ensure_ascii=False), "limit": repr(taught.limit),
        "words": " ".join(sorted(taught.words))})


def read(path: Path) -> Taught:
    """taught.safetensors -> Taught. Raises CheckpointError for a damaged file."""
    from safetensors import safe_open

    tensors = read_tensors(path)
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
        names, limit = tuple(json.loads(said["names"])), float(said["limit"])
        texts, pictures, weights = (tensors[name].float() for name in ("texts", "pictures", "weights"))
        whole = texts.shape == pictures.shape == (len(names), len(weights) - 7) and math.isfinite(limit)
        if not whole or not all(bool(torch.isfinite(t).all()) for t in (texts, pictures, weights)):
            raise ValueError("its parts do not fit together")
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{str(path)!r} is damaged ({error}); copy the checkpoint again, or remove this file: "
                              "the model works without it, and no longer says what it was not taught") from error
    return Taught(names, frozenset(said.get("words", "").split()), texts, pictures, weights, limit)


_KEPT: WeakKeyDictionary = WeakKeyDictionary()


def taught_of(embedder: Embedder) -> Taught | None:
    """What a model was taught, from the file beside its weights; None where there is none. Raises CheckpointError."""
    if embedder not in _KEPT:
        source = getattr(embedder, "source", None)
        path = source / FILE if source and source.is_dir() else None
        taught = read(path) if path and path.is_file() else None
        if taught and taught.texts.shape[1] != embedder.config.embed_dim:
            raise CheckpointError(f"{str(path)!r} has vectors of {taught.texts.shape[1]} numbers, the model's have "
                                  f"{embedder.config.embed_dim}; take both files from one checkpoint")
        _KEPT[embedder] = taught
    return _KEPT[embedder]
