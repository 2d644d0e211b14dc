"""What a training run is asked to do."""

import math
from dataclasses import dataclass

LOSSES = ("multi", "clip", "sigmoid")
PRECISIONS = ("auto", "float32", "bfloat16")
TIMED_STEPS = 30  # a budget in minutes becomes steps once these are done


class TrainingError(RuntimeError):
    """Training that cannot start or go on; the message says why and what to change."""


@dataclass(frozen=True)
class TrainConfig:
    """The recipe.

    steps or minutes: the budget; minutes are turned into steps after the first TIMED_STEPS steps.
    batch: pairs a step. warmup: steps of rising learning rate; a cosine down to 0 follows.
    ema: decay of the averaged weights, which are what is evaluated and saved. clip: bound of the gradient's norm.
    loss: "multi" (same label = same answer), "clip" or "sigmoid".
    chunk: pairs at a time through the towers; smaller than batch turns on the gradient cache.
    plain, wrapped: how often a caption is the row's first one; how often it is put into a template.
    precision: of the towers' products while training: "float32", "bfloat16", or "auto": bfloat16 where the processor is quick
    in it. Weights, losses, averages and everything after training are float32.
    geometry, colour, background: augmentation strengths, 0 to 1. hard_negatives: use the rows' swapped captions.
    other_texts: captions of further concepts a step, wrong answers to every picture of the batch (text is cheap with CBOW).
    categories: weight of what else is true of a row ("fruit", "food"): each kind a loss of its own, beside 1 for the names.
    evaluate_every: steps between scores and saves.
    """

    steps: int | None = None
    minutes: float | None = None
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    beta2: float = 0.98
    warmup: int = 100
    ema: float = 0.998
    clip: float = 1.0
    loss: str = "multi"
    chunk: int | None = None
    precision: str = "auto"
    plain: float = 0.6
    wrapped: float = 0.3
    geometry: float = 1.0
    colour: float = 1.0
    background: float = 1.0
    hard_negatives: bool = False
    other_texts: int = 0
    categories: float = 0.0
    evaluate_every: int = 200
    seed: int = 0

    def __post_init__(self):
        if (self.steps is None) == (self.minutes is None):
            raise TrainingError(f"give a budget in steps or in minutes, not both (steps={self.steps}, minutes={self.minutes})")
        if self.loss not in LOSSES:
            raise TrainingError(f"loss is {self.loss!r}; choose one of {', '.join(LOSSES)}")
        if self.precision not in PRECISIONS:
            raise TrainingError(f"precision is {self.precision!r}; choose one of {', '.join(PRECISIONS)}")
        budget = self.minutes if self.steps is None else self.steps
        if not (0 < budget < math.inf and self.batch >= 2 and self.evaluate_every >= 1 and self.seed >= 0):
            raise TrainingError("steps, minutes and evaluate_every must be positive, batch at least 2 and seed at least 0 "
                                f"(got steps={self.steps}, minutes={self.minutes}, evaluate_every={self.evaluate_every}, "
                                f"batch={self.batch}, seed={self.seed})")
        if self.chunk is not None and self.chunk < 1 or not 0 < self.learning_rate < math.inf:
            raise TrainingError(f"chunk and learning_rate must be positive (got {self.chunk} and {self.learning_rate})")
        if self.other_texts < 0 or not 0 <= self.categories < math.inf:
            raise TrainingError(f"other_texts and categories cannot be negative (got {self.other_texts} and {self.categories})")
        if self.loss == "sigmoid" and (self.hard_negatives or self.other_texts or self.categories):
            raise TrainingError("the sigmoid loss has no place for hard negatives, other texts and categories; "
                                "choose the loss 'clip' or 'multi'")
