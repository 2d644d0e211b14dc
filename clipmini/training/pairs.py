"""The pairs in memory, and the batch of each step.

Every random choice of step k comes from (seed, k), so a resumed run draws what the interrupted one would have drawn.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from clipmini.augment import augment, premultiplied
from clipmini.image import open_image
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer
from clipmini.training.config import TIMED_STEPS, TrainConfig, TrainingError


@dataclass
class Pairs:
    """A pairs data set in memory: decoded once, augmented for ever.

    rgba: uint8 (rows, S, S, 4) premultiplied; captions: for each row its phrasings, the plain one first;
    groups (rows,) int64: equal numbers mean the same concept; negatives: for each row false captions, or empty lists.
    kinds: what else is true of a row, and of others too: for each kind (tags, subgroup, group) a list of captions a row.
    """

    rgba: Tensor
    captions: list[list[str]]
    groups: Tensor
    negatives: list[list[str]] = field(default_factory=list)
    kinds: list[list[list[str]]] = field(default_factory=list)

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

    Pictures are kept a quarter larger than image_size, so that zooming in does not blur.
    Raises TrainingError naming the row when a picture is broken or a row has no caption.
    """
    from tqdm import tqdm

    side = image_size * 5 // 4
    rgba = np.empty((len(dataset), side, side, 4), dtype=np.uint8)
    captions = [[c for c in row or () if c and c.strip()] for row in dataset["captions"][:]]
    empty = next((i for i, row in enumerate(captions) if not row), None)
    if empty is not None:
        raise TrainingError(f"row {empty} of the data has no caption; give it one or remove the row")
    rows = iter(dataset.select_columns("image"))
    for i in tqdm(range(len(dataset)), desc="decoding", disable=not progress, leave=False):
        try:  # around next, too: datasets decodes there, and raises whatever PIL does
            rgba[i] = premultiplied(open_image(next(rows)["image"], keep_alpha=True), side)
        except Exception as error:
            raise TrainingError(f"row {i} of the data has a picture that cannot be read ({error}); "
                                "replace it or remove the row") from error
    columns = [name for name in dataset.column_names if name.endswith("_negatives")]
    negatives = [sum(parts, []) for parts in zip(*(dataset[name][:] for name in columns), strict=True)]
    kinds = [dataset[name][:] for name in dataset.column_names if name.endswith("_captions")]
    return Pairs(torch.from_numpy(rgba), captions, group_numbers(dataset, captions), negatives, [k for k in kinds if any(k)])


@dataclass
class Batch:
    """pixels (B, 3, S, S), ids (B, T), groups (B,), negative_ids (M, T) or None; kinds: for each its ids (B, T) and which
    caption is true of which picture, (B, B) bool."""

    pixels: Tensor
    ids: Tensor
    groups: Tensor
    negative_ids: Tensor | None = None
    kinds: list[tuple[Tensor, Tensor]] = field(default_factory=list)


def seed_of(*numbers: int) -> int:
    """One seed from several whole numbers; neighbouring numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def rows_of_step(rows: int, batch: int, step: int, seed: int) -> Tensor:
    """The rows of step number `step`: each epoch is a new permutation, cut into whole batches -> (batch,) int64."""
    per_epoch = rows // batch
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed_of(seed, epoch, 1)))
    return order[place * batch:(place + 1) * batch]


def choose_caption(phrasings: list[str], rng: np.random.Generator, plain: float) -> str:
    """The first phrasing with probability `plain`, else another one."""
    first, which = rng.random(2)
    if len(phrasings) > 1 and first >= plain:
        return phrasings[1 + int(which * (len(phrasings) - 1))]
    return phrasings[0]


def wrap(caption: str, templates: tuple[str, ...], wrapped: float, rng: np.random.Generator) -> str:
    """The caption, with probability `wrapped` put into a template."""
    often, which = rng.random(2)
    return templates[int(which * len(templates))].replace("{}", caption) if often < wrapped else caption


def strengths(config: TrainConfig, step: int, total: int) -> tuple[float, float]:
    """Geometry and colour strength of a step. Colours are left alone for the first and the last 10%: the start is
    hard enough without, and the end should look like what will be asked."""
    disturbed = max(TIMED_STEPS - 1, 0.1 * total) < step < 0.9 * total  # the total is known by then
    return config.geometry, config.colour if disturbed else 0.0


def draw(pairs: Pairs, tokenizer: Tokenizer, model: CLIP, config: TrainConfig, step: int, total: int,
         templates: tuple[str, ...] = ("{}",)) -> Batch:
    """The batch of one step: rows, augmented pixels and one caption for each row."""
    rows = rows_of_step(len(pairs), config.batch, step, config.seed)
    names = [pairs.captions[r] for r in rows.tolist()]
    rng = np.random.default_rng((config.seed, step))
    generator = torch.Generator().manual_seed(seed_of(config.seed, step))
    vision = model.config.vision
    geometry, colour = strengths(config, step, total)
    pixels = augment(pairs.rgba[rows], vision.image_size, vision.mean, vision.std, generator, geometry, colour, config.background)

    def write(phrasings: list[str], plain: float = config.plain) -> str:
        return choose_caption(phrasings, rng, plain)

    def encode(captions: list[str]) -> Tensor:
        return tokenizer([wrap(caption, templates, config.wrapped, rng) for caption in captions], truncate=True)

    texts = encode([write(phrasings) for phrasings in names])
    kinds = []
    for kind in pairs.kinds if config.categories else ():
        facts = [kind[r] or name for r, name in zip(rows.tolist(), names, strict=True)]
        said = [write(row, plain=1 / len(row)) for row in facts]
        kinds.append((encode(said), what_is_true(said, [{*row, *name} for row, name in zip(facts, names, strict=True)])))
    wrong = [c for r in rows.tolist() for c in pairs.negatives[r]] if config.hard_negatives and pairs.negatives else []
    others = [write(pairs.captions[r]) for r in other_rows(pairs.groups, rows, config, rng)]
    negative_ids = tokenizer(wrong, truncate=True) if wrong else encode(others) if others else None
    return Batch(pixels, texts, pairs.groups[rows], negative_ids, kinds)


def what_is_true(said: list[str], facts: list[set[str]]) -> Tensor:
    """Which caption is true of which picture: (pictures, captions) bool.

    >>> what_is_true(["fruit", "food"], [{"fruit", "food"}, {"food", "bread"}]).tolist()
    [[True, True], [False, True]]
    """
    known = np.array([[caption in about for caption in said] for about in facts])  # as a list torch is ten times slower
    return torch.from_numpy(known)


def other_rows(groups: Tensor, rows: Tensor, config: TrainConfig, rng: np.random.Generator) -> list[int]:
    """Random rows whose concept is not in the batch, at most other_texts of them."""
    if not config.other_texts:
        return []
    drawn = torch.from_numpy(rng.integers(0, len(groups), config.other_texts))
    return drawn[~torch.isin(groups[drawn], groups[rows])].tolist()
