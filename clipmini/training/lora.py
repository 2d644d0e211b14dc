"""Low-rank adaptation (Hu et al. 2021): two thin matrices beside each large one learn, and all else is frozen.

The thin ones are those of the library peft; at the end they are added to the large ones, so that the model is of the
same classes and as quick as before.
"""

import copy
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from clipmini.model import CLIP
from clipmini.training.config import TrainingError

LARGE = (nn.Linear, nn.Conv2d)  # what gets thin matrices; peft has others, which these towers do not


def add(model: CLIP, rank: int, seed: int) -> CLIP:
    """Give a model's linear and convolutional layers thin matrices of this rank, in place, and freeze all else but the
    scale. Raises TrainingError without peft, and where no layer is large enough."""
    if find_spec("peft") is None:
        raise TrainingError('--lora needs the package peft; install it with: pip install "clipmini[lora]"')
    from peft import LoraConfig, inject_adapter_in_model

    names = [name for name, m in model.named_modules() if isinstance(m, LARGE) and min(m.weight.shape[:2]) > rank
             and getattr(m, "groups", 1) == 1]
    if not names:
        raise TrainingError(f"no layer of this model is larger than --lora {rank}; choose a smaller rank, or train all")
    torch.manual_seed(seed)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names), model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "lora_" in name or name == "logit_scale"
    return model


def has(model: nn.Module) -> bool:
    """Whether a model has thin matrices."""
    return any("lora_" in name for name, _ in model.named_parameters())


def merged(model: CLIP) -> CLIP:
    """The same model with the thin matrices added to the large ones; a copy where it has any, else itself."""
    if not has(model):
        return model
    from peft.tuners.tuners_utils import BaseTunerLayer

    plain = copy.deepcopy(model)
    for name, module in list(plain.named_modules()):
        if isinstance(module, BaseTunerLayer):
            layer: Any = module
            layer.merge()
            parent, _, last = name.rpartition(".")
            setattr(plain.get_submodule(parent), last, layer.get_base_layer())
    return plain
