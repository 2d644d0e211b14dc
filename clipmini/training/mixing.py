"""Weights between those of several models that began alike.

Two models that were trained on from the same start lie in one valley of the loss: the mean of their weights is a model
too, and often a better one than either (Izmailov et al. 2018; Wortsman et al. 2022, "Model soups"). Between a model and
what fine-tuning made of it such means trade what it knew for what it learnt (Wortsman et al. 2022, "Robust fine-tuning
of zero-shot models": WiSE-FT).
"""

import copy
from collections.abc import Callable, Sequence

import torch

from clipmini.model import CLIP
from clipmini.training.config import TrainingError

SHARES = tuple(i / 10 for i in range(11))  # of what fine-tuning made
FEW_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # for models that take long to score
LARGE = 20_000_000  # parameters; from here on a model takes long


@torch.no_grad()
def mixed(models: Sequence[CLIP], shares: Sequence[float]) -> CLIP:
    """The mean of models' weights, with shares that sum to 1; a copy. Numbers that are none to average (counters) are
    the last model's. Raises TrainingError for models of other shapes."""
    if len(models) != len(shares) or abs(sum(shares) - 1) > 1e-6:
        raise TrainingError(f"{len(models)} models need as many shares that sum to 1 (got {list(shares)})")
    states = [model.state_dict() for model in models]
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in states]
    if any(other != shapes[0] for other in shapes[1:]):
        raise TrainingError("the models have other towers or other sizes, so their weights have no mean; mix models "
                            "that began with the same weights")
    found = copy.deepcopy(models[-1]).eval()
    for name, value in found.state_dict().items():
        if value.is_floating_point():
            value.copy_(sum(share * state[name] for state, share in zip(states, shares, strict=True)))
    return found


def curve(before: CLIP, after: CLIP, score: Callable[[CLIP], float], reference: Callable[[CLIP], float] | None = None,
          ) -> list[dict[str, float]]:
    """WiSE-FT: [{"share": of `after`, "score", "reference"}], from the model before fine-tuning to that after it.

    score: model -> how good it is on validation data of the new kind; reference: the same of what it knew before.
    """
    found = []
    for share in SHARES if sum(p.numel() for p in before.parameters()) < LARGE else FEW_SHARES:
        model = mixed([before, after], [1 - share, share])
        row = {"share": share, "score": score(model)}
        found.append(row | ({"reference": reference(model)} if reference else {}))
    return found


def best(rows: Sequence[dict[str, float]]) -> float:
    """The share with the best score; of equals that which is nearer to the model before, as it forgets less."""
    top = max(row["score"] for row in rows)
    return min(row["share"] for row in rows if row["score"] == top)
