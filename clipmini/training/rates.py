"""How fast each part of a model learns: a short list of (pattern, rate) pairs, and slower the deeper a layer lies."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn

from clipmini.model import CLIP
from clipmini.training import lora
from clipmini.training.config import TrainConfig, TrainingError

PARTS = {"image": "visual.*", "text": "text.*", "all": "*"}  # what the towers may be called
BLOCK = re.compile(r"\b(?:resblocks|stages)\.(\d+)\.|\blayer(\d)\.")
BEFORE = re.compile(r"stem|conv\d|bn\d|embedding|ln_pre")  # of a tower: what stands before its first block


def factor(name: str, config: TrainConfig, blocks: int = 0) -> float:
    """What the learning rate of a parameter is multiplied with; 0: it is frozen.

    The last of config.rates whose pattern fits the name counts, as in a .gitignore; a name that none fits learns at the
    full rate. blocks: how many the tower has: with config.layer_decay below 1 its last layers learn at the full rate,
    and each block below it that much slower (Howard and Ruder 2018; Bao et al. 2021).
    """
    rate = next((r for pattern, r in reversed(config.rates) if fnmatchcase(name, PARTS.get(pattern, pattern))), 1.0)
    return rate * config.layer_decay ** (blocks + 1 - _depth(name, blocks))


def factors(model: nn.Module, config: TrainConfig) -> dict[str, float]:
    """`factor` of every parameter by its name. Raises TrainingError for a pattern that fits none."""
    names = [name for name, _ in model.named_parameters()]
    for pattern, _ in config.rates:
        if not any(fnmatchcase(name, PARTS.get(pattern, pattern)) for name in names):
            raise TrainingError(f"no parameter is called like {pattern!r}; there are {', '.join(PARTS)}, and "
                                f"{', '.join(_groups(names))}")
    blocks = {tower: 1 + max((_block(n) for n in names if n.startswith(tower)), default=-1)
              for tower in ("visual", "text")}
    found = {name: factor(name, config, blocks.get(name.partition(".")[0], 0)) for name in names}
    if not any(found.values()):
        raise TrainingError(f"with the rates {config.rates} nothing learns; give some part a rate above 0")
    return found


def prepare(model: CLIP, config: TrainConfig, say) -> None:
    """Settle what of a model learns, and put it into training mode. A model that is wholly frozen, as a loaded one is,
    is unfrozen first; say: takes a line for the user. Raises TrainingError."""
    if not any(p.requires_grad for p in model.parameters()):
        model.requires_grad_(True)
        now = "what the options name" if config.rates or config.lora else "all of it"
        say(f"the model was frozen, as loaded ones are; {now} is trained now")
    if config.lora:
        lora.add(model, config.lora, config.seed)
    for name, rate in factors(model, config).items():
        if rate == 0:
            model.get_parameter(name).requires_grad = False
    for module in model.train().modules():
        if (own := list(module.parameters())) and not any(p.requires_grad for p in own):
            module.eval()  # BatchNorm's statistics are frozen with its weights


def _block(name: str) -> int:
    """The number of the block that a parameter is of, from 0; -1 for what is in none."""
    found = BLOCK.search(name)
    if not found:
        return -1
    return int(found[1]) if found[1] else int(found[2]) - 1


def _depth(name: str, blocks: int) -> int:
    """0: before the first block; 1 to blocks: its number; blocks + 1: behind the last, and what is of no tower."""
    if (number := _block(name)) >= 0:
        return number + 1
    tower, _, rest = name.partition(".")
    return 0 if tower in ("visual", "text") and BEFORE.search(rest) else blocks + 1


def _groups(names: Iterable[str]) -> list[str]:
    """Patterns that fit the parts of a model, in its order."""
    def part(name: str) -> str:
        found = BLOCK.search(name)
        return name[:found.end()] + "*" if found else name
    return list(dict.fromkeys(map(part, names)))
