"""Coloured squares as training pairs, made by hand: shared by the tests of training and of the command line."""

import dataclasses

import numpy as np
import torch
from PIL import Image

from clipmini.data.base import Source, option
from clipmini.training.pairs import Pairs

LEVELS = (0, 85, 170, 255)
NAMES = [f"a {r} {g} {b} square" for r in ("dark", "dim", "bright", "light") for g in ("cold", "cool", "warm", "hot")
         for b in ("dull", "soft", "clear", "vivid")]

PLAIN = [f"{colour} square" for colour in ("red", "green", "blue", "yellow", "black", "white", "grey", "purple")]


def squares(copies: int = 1, side: int = 20, negatives: bool = False) -> Pairs:
    """64 colours as full squares, each with its own caption; `copies` rows of each."""
    colours = torch.tensor([[r, g, b, 255] for r in LEVELS for g in LEVELS for b in LEVELS], dtype=torch.uint8)
    rgba = colours[:, None, None].expand(64, side, side, 4).repeat(copies, 1, 1, 1)
    captions = [[name, name.replace("square", "tile")] for name in NAMES] * copies
    wrong = [[" ".join(reversed(name.split()))] for name in NAMES] * copies if negatives else []
    return Pairs(rgba, captions, torch.arange(64).repeat(copies), wrong)


def pairs_dataset(n: int = 40, label: bool = True, side: int = 24):
    """The same as a pairs dataset with columns image, captions and label."""
    import datasets

    colours = np.random.default_rng(0).integers(0, 256, (n, 3))
    columns = {"image": [Image.new("RGB", (side, side), tuple(map(int, c))) for c in colours],
               "captions": [[f"a {PLAIN[i % 8]}", f"{PLAIN[i % 8]} again"] for i in range(n)]}
    features = {"image": datasets.Image(), "captions": datasets.List(datasets.Value("string"))}
    if label:
        columns["label"] = [i % 8 for i in range(n)]
        features["label"] = datasets.ClassLabel(names=list(PLAIN))
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


@dataclasses.dataclass(frozen=True)
class Squares(Source):
    """The smallest source there can be."""

    name: str = "toy"
    about: str = "eight coloured squares"
    templates: str = "plain"
    limits: str = "It knows squares."
    shades: int = option(60, "how many pictures to train on")

    def training_rows(self, size, seed, progress=True):
        return pairs_dataset(self.shades)

    def held_out_rows(self, size):
        return pairs_dataset(16)
