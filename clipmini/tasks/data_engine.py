"""The data engine as an experiment: a segmenter labels the pictures that it is then trained on, in three stages.

Segment Anything (Kirillov et al. 2023, section 4) had people outline things, then correct and complete what the model
proposed, and then nobody. Here the people are the exact masks of scenes: all of those of a few art styles, then, in the
other styles, only those that no proposal covers, then none.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clipmini.embedder import Embedder
from clipmini.files import written_whole
from clipmini.segmenter.checkpoint import save
from clipmini.segmenter.examples import Picture, Vocabulary
from clipmini.segmenter.predict import MaskPredictor
from clipmini.segmenter.train import SegmenterTraining, beginning, train
from clipmini.tasks.detect import candidates
from clipmini.tasks.segment import INSIDE, SMALLEST, iou, measure

STAGES = ("true masks of a few styles", "own masks of the others, missing things added",
          "own masks of the others alone")
COVERED = 0.5  # IoU from which a proposal covers a thing, so that nobody outlines it
QUESTIONS = ("whole: one click, best of three", "whole: box", "part: box", "grid: recall at 0.5")  # that are shown
MOST = 40  # proposals of a picture that are kept, the likeliest ones


@dataclass(frozen=True)
class Stage:
    """pictures: that were trained on; proposed and added: masks of the model's own, and of things that it missed; iou:
    the mean of all proposals' best IoU with a true mask; found: what tasks.segment.measure says afterwards."""

    name: str
    pictures: int
    proposed: int
    added: int
    iou: float
    found: dict[str, dict[str, float]]


def own_labels(predictor: Any, picture: Picture, oracle: bool) -> tuple[Picture, list[float], int]:
    """A picture with the predictor's masks in place of its own -> (picture, the best IoU of each proposal with a true
    mask, how many true masks were added). oracle: things that no proposal covers are added. Names are not kept: nobody
    said them."""
    predictor.set_image(Image.fromarray(np.ascontiguousarray(picture.image.transpose(1, 2, 0))))
    true = picture.masks.numpy()
    masks = [mask for one in candidates(predictor)[:MOST] if (mask := one.full()).sum() >= SMALLEST]
    worth = [max((iou(mask, other) for other in true), default=0.0) for mask in masks]
    missed = [mask for mask, whole in zip(true, picture.whole, strict=True) if whole and mask.sum() >= SMALLEST
              and max((iou(mask, other) for other in masks), default=0.0) < COVERED] if oracle else []
    masks = sorted(masks + missed, key=lambda mask: -int(mask.sum()))
    thing, whole = _nested(masks)
    size = picture.image.shape[-1]
    packed = np.packbits(np.array(masks, bool).reshape(-1, size, size), axis=-1)
    return Picture(picture.image, packed, thing, whole, ("",) * int(whole.sum())), worth, len(missed)


def _nested(masks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Which thing each mask is of, and whether it is the thing: one that lies in a larger one is its part. masks: the
    largest first."""
    thing: list[int] = []
    whole: list[bool] = []
    for number, mask in enumerate(masks):
        holders = [i for i in range(number) if whole[i] and (mask & masks[i]).sum() >= INSIDE * mask.sum()]
        whole.append(not holders)
        thing.append(thing[holders[-1]] if holders else sum(whole) - 1)
    return np.array(thing, np.int64), np.array(whole, bool)


def run_engine(embedder: Embedder, words: Vocabulary, pictures: Callable[[int], Sequence[Picture]],
               scenes: Sequence[Any], config: SegmenterTraining, folder: Path, side: int,
               progress: bool = True) -> list[Stage]:
    """All three stages, each going on with the weights of the one before. pictures(number): those of a stage, with true
    masks; scenes: to measure on. folder: a sub-folder for each stage; training that is finished there is not done
    again, labelling and measuring are. Raises TrainingError, CheckpointError."""
    from tqdm import tqdm

    stages: list[Stage] = []
    predictor = MaskPredictor(beginning(embedder, side, config.seed), embedder)
    for number, name in enumerate(STAGES):
        place = folder / f"stage-{number + 1}"
        drawn, added = list(pictures(number)), 0
        worth: list[float] = []
        if number:
            labelled = []
            for picture in tqdm(drawn, desc="labelling", unit="scene", disable=not progress, leave=False):
                own, values, missed = own_labels(predictor, picture, oracle=number == 1)
                worth += values
                added += missed
                labelled += [own] if len(own.thing) else []
            drawn = labelled
        run = train(predictor.model.requires_grad_(True), drawn, words, config, place, progress)
        save(place / "final", run.average, embedder)
        predictor = MaskPredictor(run.average, embedder)  # it labels the next stage's pictures
        found = measure(predictor, scenes, progress=progress, words=False)
        stages.append(Stage(name, len(drawn), len(worth), added, float(np.mean(worth or [1.0])), found))
        with written_whole(folder / "engine.json", "results") as temporary:
            temporary.write_text(json.dumps([asdict(stage) for stage in stages], indent=1), encoding="utf-8")
    return stages


def table(stages: Sequence[Stage]) -> str:
    """A stage a line."""
    head = f"{'':<48}{'pictures':>9}{'own':>7}{'added':>7}{'IoU':>6}" + "".join(f"{q:>33}" for q in QUESTIONS)
    rows = [f"{s.name:<48}{s.pictures:>9,}{s.proposed:>7,}{s.added:>7,}{s.iou:>6.2f}"
            + "".join(f"{s.found[q]['mean']:>33.3f}" if q in s.found else " " * 33 for q in QUESTIONS) for s in stages]
    return "\n".join([head, *rows])
