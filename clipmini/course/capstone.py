"""What the capstone, lesson 18, is held against: the package's modules, built from plain numbers and with the names of
weights that its exercises ask for; and a few of them with a mistake, for the checkers.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmini import text, transformer, vision
from clipmini.config import TextConfig, VisionConfig
from clipmini.course.asking import Asked
from clipmini.course.base import SEEN, Checker, How, Verdict, judge, randn
from clipmini.families.assemble import cleaned
from clipmini.model import no_decay, unit

Sizes = tuple[int, ...]


class PlainBlock(transformer.ResidualBlock):
    """Block(width, heads, quick)."""

    def __init__(self, width: int, heads: int, quick: bool):
        super().__init__(width, heads, _gelu(quick))


class PlainVision(vision.VisionTransformer):
    """VisionTransformer(side, patch, width, layers, heads, embed, quick)."""

    def __init__(self, side: int, patch: int, width: int, layers: int, heads: int, embed: int, quick: bool):
        super().__init__(VisionConfig("vit", side, width, layers, heads, patch, _gelu(quick)), embed)


class PlainText(text.TextTransformer):
    """TextTransformer(words, places, end, width, layers, heads, embed, quick)."""

    def __init__(self, words: int, places: int, end: int, width: int, layers: int, heads: int, embed: int, quick: bool):
        start = 1 if end == 0 else 0
        super().__init__(TextConfig("transformer", words, places, width, layers, heads, _gelu(quick), sot_id=start,
                                    eos_id=end, pad_id=end), embed)


class PlainCLIP(nn.Module):
    """CLIP(embed, vision, text, quick): the package's two towers and the scale."""

    def __init__(self, embed: int, vision: Sizes, text: Sizes, quick: bool):
        super().__init__()
        self.visual: Any = PlainVision(*vision, embed, quick)  # type: ignore[call-arg, arg-type]
        self.text: Any = PlainText(*text, embed, quick)  # type: ignore[call-arg, arg-type]
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, pixels: Tensor, ids: Tensor) -> Tensor:
        scale = self.logit_scale.clamp(max=math.log(100)).exp()
        return scale * unit(self.visual(pixels)) @ unit(self.text(ids)).t()


def _gelu(quick: bool) -> str:
    return "quick_gelu" if quick else "gelu"


def trained(model: nn.Module, batches: list, rate: float, decay: float, max_norm: float, **wrong) -> list[float]:
    """The losses before each step of AdamW, as the package steps. wrong: a mistake, for the checker."""
    kept, named, losses = wrong.get("kept", no_decay), list(model.named_parameters()), []
    groups = [{"params": [p for n, p in named if kept(n, p)], "weight_decay": 0.0},
              {"params": [p for n, p in named if not kept(n, p)], "weight_decay": decay}]

    def fresh() -> torch.optim.Optimizer:
        return torch.optim.AdamW([dict(g) for g in groups], lr=rate, betas=wrong.get("betas", (0.9, 0.98)), eps=1e-6)

    optimizer = fresh()
    for pixels, ids in batches:
        optimizer = fresh() if wrong.get("anew") else optimizer
        logits = model(pixels, ids)
        target = torch.arange(len(logits))
        rows, columns = F.cross_entropy(logits, target), F.cross_entropy(logits.t(), target)
        loss = rows if wrong.get("rows") else (rows + columns) / (1 if wrong.get("sum") else 2)
        losses.append(loss.item())
        if not wrong.get("keep gradients"):
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), wrong.get("limit", max_norm))
        optimizer.step()
        if not wrong.get("free"):
            with torch.no_grad():
                cast(Tensor, model.logit_scale).clamp_(0, wrong.get("most", math.log(100)))
    return losses


def own_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under OpenAI's names -> float32, under those of PlainCLIP: the text tower's begin with text."""
    top = ("visual.", "logit_scale")
    return {name if name.startswith(top) else "text." + name: t.float() for name, t in cleaned(weights).items()}


def working(student: Callable, init: tuple, weights: dict[str, Tensor], *inputs: Tensor) -> tuple[nn.Module, str]:
    """A student's CLIP with these weights, and "yours". The package's, and why, while the student's does not run."""
    try:
        model = student(*init)
        model.load_state_dict(weights)
        model.eval()(*inputs)
        return model.requires_grad_(False), "yours"
    except NotImplementedError:
        why = "a part of yours is a stub still"
    except Exception as error:  # whatever a student's code may do: the lesson goes on
        why = f"yours stops with a {type(error).__name__}"
    model = PlainCLIP(*init)
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False), f"the package's, since {why}"


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    """With random weights, none 0 and no gain 1, so that nothing can be left out unseen."""
    with torch.no_grad():
        for i, (name, p) in enumerate(module.named_parameters()):
            noise = randn(p.numel(), seed=97 * seed + i).view(p.shape)
            spread = p.shape[-1] ** -0.5 if p.ndim == 2 and "embedding" not in name else 0.5
            gain = p.ndim == 1 and name.endswith("weight")
            p.copy_(1 + 0.4 * noise if gain else 4.4 + noise if name == "logit_scale" else spread * noise)
    return module.eval()


def attended(a: Any, x: Tensor, causal: bool = False, **wrong) -> Tensor:
    """The attention of a module, written out, with a mistake."""
    (B, T, W), H = x.shape, a.heads
    parts = F.linear(x, a.in_proj_weight, None if wrong.get("no bias") else a.in_proj_bias).chunk(3, -1)
    q, k, v = (parts[i].reshape(B, H, T, W // H) if wrong.get("raw") else a._split(parts[i])
               for i in wrong.get("order", (0, 1, 2)))
    scores = q @ k.transpose(-2, -1) / wrong.get("divide", (W // H) ** 0.5)
    if causal:
        hidden = torch.ones(T, T).tril(-1) if wrong.get("past") else torch.ones(T, T).triu(1)
        scores = scores.masked_fill(hidden.bool(), -math.inf)
    mixed = scores.softmax(wrong.get("dim", -1)) @ v  # (B, H, T, W/H)
    merged = mixed.reshape(B, T, W) if wrong.get("merge") else mixed.transpose(1, 2).flatten(2)
    return merged if wrong.get("no out") else a.out_proj(merged)


class Part(Checker):
    """A checker of a class, made of classes of earlier exercises. One that is defined nowhere is the package's."""

    def verdict(self, asked: Asked, seeds: Iterable[int] = SEEN) -> Verdict:
        with _lent(getattr(asked, "answer", None)):
            return super().verdict(asked, seeds)


@contextmanager
def _lent(answer: Any) -> Iterator[None]:
    """While it lasts, the names of the parts mean the package's where the answer's module does not define them."""
    own_methods = vars(answer).values() if isinstance(answer, type) else ()
    place: dict[str, Any] = next((m.__globals__ for m in own_methods if hasattr(m, "__globals__")), {})
    own = {"Attention": transformer.Attention, "Block": PlainBlock, "VisionTransformer": PlainVision,
           "TextTransformer": PlainText}
    new = {name: part for name, part in own.items() if name not in place}
    place.update(new)
    try:
        yield
    finally:
        for name in new:
            del place[name]


def part(right: Callable, cases: Callable[[int], tuple]) -> Callable[[Callable], Part]:
    """The decorator of a Part: right builds the package's module, cases(seed) gives (init arguments, inputs)."""
    def seeded(*init):
        return filled(right(*init), sum(n for part in init for n in (part if isinstance(part, tuple) else (part,))))
    return lambda ask: Part(ask, How(right=seeded, cases=cases, module=True))


@dataclass(frozen=True)
class Question:
    """One module of the package's, what goes into it, and the student's class that gets the same."""

    function: Any
    init: tuple
    module: Any
    inputs: tuple

    def judge(self, mistakes: dict[str, Any], otherwise: str) -> None:
        with torch.no_grad():
            right = self.module(*self.inputs)
        ask = partial(self.function.module, self.init, self.module.state_dict())
        judge(cast(Asked, ask), self.inputs, right, mistakes, otherwise)
