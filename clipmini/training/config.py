"""What a training run is asked to do."""

import math
from dataclasses import dataclass

TIMED_STEPS = 30  # a budget in minutes becomes steps once these are done
SAVE_SECONDS = 60  # a run is saved as often as this, however far away its next score is
# What earlier versions called options (in run.json) and columns of the curve (in curve.csv and state.pt).
OLD_NAMES = {"clip": "grad_clip_norm", "chunk": "micro_batch", "plain": "plain_probability",
             "wrapped": "template_probability", "crowding": "mean_vector_norm"}


class TrainingError(RuntimeError):
    """Training that cannot start or go on; the message says why and what to change."""


@dataclass(frozen=True)
class TrainConfig:
    """The recipe. Give steps or minutes. Raises TrainingError for what cannot be trained."""

    steps: int | None = None
    minutes: float | None = None  # turned into steps after the first TIMED_STEPS steps, and fewer on a busy computer
    plan: tuple[tuple[int, int], ...] = ()  # (step, steps in all from there on): what the minutes of a run became
    batch: int = 128  # pairs a step
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    beta2: float = 0.98
    warmup: int = 100  # steps of rising learning rate; a cosine down to 0 follows
    ema: float = 0.998  # decay of the averaged weights, which are what is evaluated and saved
    grad_clip_norm: float = 1.0  # a gradient with a larger norm is scaled down to this one
    loss: str = "multi"  # "multi" (same label = same answer), "clip" or "sigmoid"
    micro_batch: int | None = None  # pairs at a time through the towers; smaller than batch: the gradient cache
    precision: str = "auto"  # of the towers' products: "float32", "bfloat16", or "auto", the quicker one here
    plain_probability: float = 0.6  # probability (0 to 1) that the caption drawn for a row is its first one
    template_probability: float = 0.3  # probability (0 to 1) that a caption is put into a template
    geometry: float = 1.0  # augmentation strengths, 0 to 1
    colour: float = 1.0
    background: float = 1.0
    sketch: float = 0.0  # share of the pictures that are drawn by hand: outlines, one colour, paper or a board
    hard_negatives: bool = False  # use the rows' swapped captions
    other_texts: int = 0  # captions of further concepts a step, wrong for every picture (text is cheap with CBOW)
    categories: float = 0.0  # weight of what else is true ("fruit", "food"): a loss for each kind, beside 1 for names
    distil: float = 0.0  # weight of the distance of pictures from where the model before saw them (see distil.py)
    rates: tuple[tuple[str, float], ...] = ()  # (pattern, what the learning rate is multiplied with; 0: frozen)
    layer_decay: float = 1.0  # what it is multiplied with for each block that lies below the last layers
    lora: int = 0  # rank of the thin matrices that learn in place of all else; 0: all learns
    patience: int = 0  # scores without a better one, after which the run ends; 0: it goes on
    evaluate_every: int = 200  # steps between scores and saves
    seed: int = 0

    def __post_init__(self):
        if self.plan:
            self._check_plan()
        elif (self.steps is None) == (self.minutes is None):
            raise TrainingError("give a budget in steps or in minutes, not both "
                                f"(steps={self.steps}, minutes={self.minutes})")
        if self.loss not in ("multi", "clip", "sigmoid"):
            raise TrainingError(f"loss is {self.loss!r}; choose one of multi, clip, sigmoid")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise TrainingError(f"precision is {self.precision!r}; choose one of auto, float32, bfloat16")
        budget = self.plan[-1][1] if self.plan else (self.minutes if self.steps is None else self.steps) or 0
        if not (0 < budget < math.inf and self.batch >= 2 and self.evaluate_every >= 1 and self.seed >= 0):
            raise TrainingError("steps, minutes and evaluate_every must be positive, batch at least 2 and seed at "
                                f"least 0 (got steps={self.steps}, minutes={self.minutes}, evaluate_every="
                                f"{self.evaluate_every}, batch={self.batch}, seed={self.seed})")
        if self.micro_batch is not None and self.micro_batch < 1 or not 0 < self.learning_rate < math.inf:
            raise TrainingError("micro_batch and learning_rate must be positive "
                                f"(got {self.micro_batch} and {self.learning_rate})")
        if (any(not 0 <= rate < math.inf for _, rate in self.rates) or not 0 < self.layer_decay <= 1 or self.lora < 0
                or self.patience < 0 or self.lora and (self.rates or self.layer_decay < 1)):
            raise TrainingError(f"rates {self.rates}, lora {self.lora} and patience {self.patience} can't be negative, "
                                f"layer_decay {self.layer_decay} is in (0, 1], and lora has neither rates nor decay")
        if not 0 <= self.sketch <= 1:
            raise TrainingError(f"sketch is the share of the pictures that become sketches, 0 to 1 (got {self.sketch})")
        if self.other_texts < 0 or not (0 <= self.categories < math.inf and 0 <= self.distil < math.inf):
            raise TrainingError("other_texts, categories and distil cannot be negative "
                                f"(got {self.other_texts}, {self.categories} and {self.distil})")
        if self.loss == "sigmoid" and (self.hard_negatives or self.other_texts or self.categories or self.distil):
            raise TrainingError("the sigmoid loss has no place for hard negatives, other texts, categories and "
                                "distillation; choose the loss 'clip' or 'multi'")


    def _check_plan(self) -> None:
        steps = [step for step, _ in self.plan]
        if self.steps is not None or self.minutes is not None or steps != sorted(set(steps)) or any(
                not 0 <= step < total for step, total in self.plan[:-1]) or not 0 <= steps[-1] <= self.plan[-1][1]:
            raise TrainingError("a plan is pairs of a step and the steps in all from there on, in the order of the "
                                f"steps, and stands in place of steps and minutes (got {self.plan})")


def current_names(row: dict) -> dict:
    """The same values under today's names."""
    return {OLD_NAMES.get(name, name): value for name, value in row.items()}


LATER = {"sketch": 0.0, "plan": [], "distil": 0.0, "rates": [], "layer_decay": 1.0, "lora": 0,
         "patience": 0}  # of earlier versions
