"""The pairs in memory, and the batch of each step.

Every random choice of step k comes from (seed, k), so a resumed run draws what the interrupted one would have drawn.
"""

import sys
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from clipmini.augment import augment, premultiplied
from clipmini.image import open_image
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer
from clipmini.training.config import TIMED_STEPS, TrainConfig, TrainingError
from clipmini.training.pictures import Pictures, too_large


@dataclass
class Pairs:
    """A pairs data set in memory: decoded once, augmented for ever; or decoded for each batch where it is larger."""

    rgba: Tensor | Pictures  # uint8 (rows, S, S, 4) premultiplied
    captions: list[list[str]]  # for each row its phrasings, the plain one first
    groups: Tensor  # (rows,) int64: equal numbers mean the same concept
    negatives: list[list[str]] = field(default_factory=list)  # for each row false captions, or empty lists
    kinds: list[list[list[str]]] = field(default_factory=list)  # for each kind (tags, group) what is true of each row
    targets: Tensor | None = None  # (rows, E) where the pictures are to lie, for TrainConfig.distil

    def __len__(self) -> int:
        return len(self.rgba)


def group_numbers(dataset, captions: list[list[str]]) -> Tensor:
    """The concept of each row: its label, or where there is none the number of its first caption."""
    if "label" in dataset.column_names:
        return torch.tensor(dataset["label"][:])
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(phrasings[0], len(numbers)) for phrasings in captions])


def read_pairs(dataset, image_size: int, progress: bool = False) -> Pairs:
    """Decode a pairs dataset (columns image, captions, optional label, *_captions and *_negatives) for training.

    Pictures are kept a quarter larger than image_size, so that zooming in does not blur. Where that is too large for
    memory, they are decoded when they are asked for, and a broken one is told then.
    Raises TrainingError naming the row when a picture is broken or a row has no caption.
    """
    from datasets import Image

    side = image_size * 5 // 4
    captions = [[c for c in row or () if c and c.strip()] for row in dataset["captions"][:]]
    empty = next((i for i, row in enumerate(captions) if not row), None)
    if empty is not None:
        raise TrainingError(f"row {empty} of the data has no caption; give it one or remove the row")
    # Undecoded: datasets would parse metadata, which may be damaged where every pixel is whole.
    rows = dataset.with_format(None).select_columns("image").cast_column("image", Image(decode=False))

    def read(i: int) -> np.ndarray:
        try:
            image = rows[i]["image"]
            return premultiplied(open_image(image and (image["bytes"] or image["path"]), keep_alpha=True), side)
        except Exception as error:
            raise TrainingError(f"row {i} of the data has a picture that cannot be read ({error}); "
                                "replace it or remove the row") from error

    columns = [dataset[name][:] for name in dataset.column_names if name.endswith("_negatives")]
    negatives: list[list[str]] = [sum(parts, []) for parts in zip(*columns, strict=True)]
    kinds = [dataset[name][:] for name in dataset.column_names if name.endswith("_captions")]
    groups = group_numbers(dataset, captions)
    rgba: Tensor | Pictures
    if too_large(len(dataset), side):
        rgba = Pictures(len(dataset), side, read)
        if progress:
            size = len(dataset) * side * side * 4 / 1e9
            tqdm.write(f"{len(dataset):,} pictures of {side} x {side} pixels are {size:.1f} GB, more than a quarter of "
                       "this computer's memory: each batch is decoded when it is needed", file=sys.stderr)
    else:
        rgba = torch.empty((len(dataset), side, side, 4), dtype=torch.uint8)
        for i in tqdm(range(len(dataset)), desc="decoding", disable=not progress, leave=False):
            rgba[i] = torch.from_numpy(read(i))
    return Pairs(rgba, captions, groups, negatives, [kind for kind in kinds if any(kind)])


@dataclass
class Batch:
    """The pairs of one step."""

    pixels: Tensor  # (B, 3, S, S)
    ids: Tensor  # (B, T)
    groups: Tensor  # (B,)
    negative_ids: Tensor | None = None  # (M, T)
    kinds: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # ids (B, T); caption j true of i, (B, B) bool
    targets: Tensor | None = None  # (B, E)


def seed_of(*numbers: int) -> int:
    """One seed from several whole numbers; neighbouring numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def rows_of_step(rows: int, batch: int, step: int, seed: int) -> Tensor:
    """The rows of step number `step`: each epoch is a new permutation, cut into whole batches -> (batch,) int64."""
    epoch, place = divmod(step, rows // batch)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed_of(seed, epoch, 1)))
    return order[place * batch:(place + 1) * batch]


def choose_caption(phrasings: list[str], rng: np.random.Generator, plain_probability: float) -> str:
    """The first phrasing with this probability, else another one."""
    first, which = rng.random(2)
    others = phrasings[1:]
    return others[int(which * len(others))] if others and first >= plain_probability else phrasings[0]


def wrap(caption: str, templates: tuple[str, ...], template_probability: float, rng: np.random.Generator) -> str:
    """The caption, with this probability put into one of the templates."""
    first, which = rng.random(2)
    return templates[int(which * len(templates))].replace("{}", caption) if first < template_probability else caption


def make_batch(pairs: Pairs, tokenizer: Tokenizer, model: CLIP, config: TrainConfig, step: int, total: int,
               templates: tuple[str, ...] = ("{}",)) -> Batch:
    """The batch of one step: rows, augmented pixels and one caption for each row."""
    rows = rows_of_step(len(pairs), config.batch, step, config.seed)
    names = [pairs.captions[r] for r in rows.tolist()]
    rng = np.random.default_rng((config.seed, step))
    generator = torch.Generator().manual_seed(seed_of(config.seed, step))
    # Colours are left alone for the first and the last 10%: the start is hard enough without, and the end should look
    # like what will be asked. The total is known once TIMED_STEPS are done.
    colour = config.colour if max(TIMED_STEPS - 1, 0.1 * total) < step < 0.9 * total else 0.0
    vision, rgba = model.config.vision, pairs.rgba[rows]
    if isinstance(pairs.rgba, Pictures):
        pairs.rgba.expect(rows_of_step(len(pairs), config.batch, step + 1, config.seed))
    pixels = augment(rgba, vision.image_size, vision.mean, vision.std, generator, config.geometry, colour,
                     config.background, config.sketch)

    def encode(captions: list[str]) -> Tensor:
        return tokenizer([wrap(c, templates, config.template_probability, rng) for c in captions], truncate=True)

    ids = encode([choose_caption(row, rng, config.plain_probability) for row in names])
    kinds = []
    for kind in pairs.kinds if config.categories else ():
        facts = [kind[r] or name for r, name in zip(rows.tolist(), names, strict=True)]
        said = [choose_caption(row, rng, 1 / len(row)) for row in facts]
        about = [{*row, *name} for row, name in zip(facts, names, strict=True)]
        true = np.array([[caption in known for caption in said] for known in about])  # torch.tensor is ten times slower
        kinds.append((encode(said), torch.from_numpy(true)))
    wrong = [c for r in rows.tolist() for c in pairs.negatives[r]] if config.hard_negatives and pairs.negatives else []
    others = [choose_caption(pairs.captions[r], rng, config.plain_probability)
              for r in other_rows(pairs.groups, rows, config, rng)]
    negative_ids = tokenizer(wrong, truncate=True) if wrong else encode(others) if others else None
    aims = pairs.targets[rows] if config.distil and pairs.targets is not None else None
    return Batch(pixels, ids, pairs.groups[rows], negative_ids, kinds, aims)


def other_rows(groups: Tensor, rows: Tensor, config: TrainConfig, rng: np.random.Generator) -> list[int]:
    """Random rows whose concept is not in the batch, at most other_texts of them."""
    drawn = torch.from_numpy(rng.integers(0, len(groups), config.other_texts))
    return drawn[~torch.isin(groups[drawn], groups[rows])].tolist()
