"""What the capstone, lesson 18, is held against: the package's modules, built from plain numbers and with the names of
weights that its exercises ask for; and a few of them with a mistake, for the checkers.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmini import text, transformer, vision
from clipmini.config import TextConfig, VisionConfig
from clipmini.course.asking import Asked, plain
from clipmini.course.base import SEEN, Checker, How, Verdict, judge, randn, say
from clipmini.families import assemble, openai
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
    kept, losses = wrong.get("kept", no_decay), []
    named = [(n, p) for n, p in model.named_parameters() if not (wrong.get("left out") and n == "logit_scale")]
    groups = [{"params": [p for n, p in named if kept(n, p)], "weight_decay": wrong.get("kept decay", 0.0)},
              {"params": [p for n, p in named if not kept(n, p)], "weight_decay": decay}]

    def fresh() -> torch.optim.Optimizer:
        kind, betas = wrong.get("optimizer", torch.optim.AdamW), wrong.get("betas", (0.9, 0.98))
        return kind([dict(g) for g in groups], lr=rate, betas=betas, eps=1e-6)

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
        wrong.get("clip", nn.utils.clip_grad_norm_)(list(model.parameters()), wrong.get("limit", max_norm))
        optimizer.step()
        if not wrong.get("free"):
            with torch.no_grad():
                cast(Tensor, model.logit_scale).clamp_(0, math.log(100))
        if wrong.get("replaced"):
            model.logit_scale = nn.Parameter(cast(Tensor, model.logit_scale).detach().clone())
    return losses


def own_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under OpenAI's names -> float32, under those of PlainCLIP: the text tower's begin with text."""
    top = ("visual.", "logit_scale")
    return {name if name.startswith(top) else "text." + name: t.float() for name, t in cleaned(weights).items()}


@dataclass(frozen=True)
class Tested:
    """A CLIP for the parity; whose: in words; tested: False if a student's stops, and the package's stands in."""

    model: nn.Module
    whose: str
    tested: bool = True


STUB = "the package's, since a part of yours is a stub still"


def _stopped(error: Exception) -> str:
    """What is said of a student's part that raises."""
    stub = isinstance(error, NotImplementedError) and not str(error)
    return STUB if stub else f"the package's, since yours stops with {plain(error)[:400]}"


def _filled_by_student(model: nn.Module, archive: dict, names: Callable, load: Callable) -> str:
    try:
        _, *lists = load(model, names(archive))
    except NotImplementedError:
        model.load_state_dict(own_names(archive))
        return "yours, filled by the package's loader, since yours is a stub still"
    if any(lists):
        raise ValueError(f"your load_strictly did not load: missing, left over, misshapen are {lists}")
    return "yours, filled by your load_strictly and openai_names"


def under_test(student: tuple, init: tuple, archive: dict[str, Tensor], *inputs: Tensor) -> Tested:
    """student: CLIP, openai_names and load_strictly. The student's CLIP, filled with the archive; the package's, and
    why, while the student's does not run."""
    model_class, names, load = student
    rows, columns = map(len, inputs)
    try:
        model = model_class(*init)
        whose = _filled_by_student(model, archive, names, load)
        found = model.eval()(*inputs)
        if found.shape != (rows, columns):
            raise ValueError(f"the logits have the shape {tuple(found.shape)}")
        return Tested(model.requires_grad_(False), whose)
    except Exception as error:  # whatever a student's code may do: the lesson goes on
        why = _stopped(error)
    return Tested(changed(init, archive), why, why == STUB)


def changed(init: tuple, archive: dict[str, Tensor], weights: Callable | None = None, eps: float = 1e-5,
            causal: bool = True) -> nn.Module:
    """A CLIP of the package's with the archive's weights, and one detail changed. weights(name, w) -> another w."""
    model = PlainCLIP(*init)
    model.load_state_dict({n: weights(n, w) if weights else w for n, w in own_names(archive).items()})
    for norm in (m for m in model.modules() if isinstance(m, nn.LayerNorm)):
        norm.eps = eps
    if not causal:
        tower = model.text.transformer
        tower.forward_row = lambda x, rows, causal: tower(x)[torch.arange(len(x)), rows]
    return model.eval().requires_grad_(False)


def published(archive: dict[str, Tensor]) -> nn.Module:
    """An archive as the package reads OpenAI's."""
    read = cleaned(archive)
    empty = assemble.empty_model(openai.openai_clip(read, Path("archive.pt")), read, "the archive")
    return assemble.filled(empty, read, "the archive", None)


def by_heart(student: tuple, init: tuple, batch: tuple, rates: Iterable[float]) -> tuple[dict, str]:
    """student: CLIP and train_steps. Rate -> the losses of 40 steps on one batch; and whose they are, in words. Every
    CLIP starts from the same random weights, the package's."""
    def begun(build: Callable) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            start = PlainCLIP(*init).state_dict()
        model = build(*init)
        model.load_state_dict(start)
        return model.train()

    def curves(build: Callable, steps: Callable) -> dict:
        return {r: [float(x) for x in steps(begun(build), [batch] * 40, r, 0.1, 1.0)] for r in rates}

    try:
        found = curves(*student)
        if any(len(losses) != 40 for losses in found.values()):
            raise ValueError("40 batches must give 40 losses")
        return found, "yours"
    except Exception as error:  # as in under_test
        return curves(PlainCLIP, trained), _stopped(error)


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


PARTS: dict[str, "Part"] = {}  # name -> the checker of a class, in the order of the exercises


class Part(Checker):
    """A checker of a class, made of classes of earlier exercises. One that is defined nowhere is the package's."""

    def __init__(self, ask: Callable, how: How):
        super().__init__(ask, how)
        self.below = [name for name in PARTS if (name, self.__name__) != ("VisionTransformer", "TextTransformer")]
        PARTS[self.__name__] = self

    def verdict(self, asked: Asked, seeds: Iterable[int] = SEEN) -> Verdict:
        """As of any checker; but if the answer does better with the package's parts, a part below is named."""
        answer = getattr(asked, "answer", None)
        place = _place(answer)
        with _lent(place, [name for name in OWN if name not in place]):
            said = super().verdict(asked, seeds)
            if said.state == "pass" or not any(name in place for name in self.below):
                return said
        with _lent(place, [name for name in OWN if name in self.below or name not in place]):
            alone = super().verdict(Asked(answer), seeds)  # type: ignore[arg-type]
        if alone == said:
            return said
        for number, name in enumerate(self.below, 1):
            state = PARTS[name].verdict(Asked(place[name]), seeds).state if name in place else "pass"
            if state != "pass":
                about = "waits for {part} (exercise {number})" if state == "todo" else \
                    "{part} (exercise {number}) is not right yet; mend that first"
                return Verdict(state, said.name, say(about, part=name, number=number))
        return said


OWN: dict[str, Any] = {"Attention": transformer.Attention, "Block": PlainBlock, "VisionTransformer": PlainVision,
                       "TextTransformer": PlainText}


def _place(answer: Any) -> dict[str, Any]:
    """The names that an answer's methods see."""
    own_methods = vars(answer).values() if isinstance(answer, type) else ()
    return next((m.__globals__ for m in own_methods if hasattr(m, "__globals__")), {})


@contextmanager
def _lent(place: dict[str, Any], names: Iterable[str]) -> Iterator[None]:
    """While it lasts, these names of parts mean the package's."""
    before = {name: place[name] for name in names if name in place}
    place.update({name: OWN[name] for name in names})
    try:
        yield
    finally:
        for name in names:
            del place[name]
        place.update(before)


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


def captions(rows: int, length: int, end: int, words: int, seed: int) -> Tensor:
    """Captions with an end token each, and padding of both kinds: more end tokens, or any other id behind it."""
    ids = torch.randint(0, words, (rows, length), generator=torch.Generator().manual_seed(seed))
    ids[ids == end] = (end + 1) % words
    for row, place in enumerate(torch.randint(1, length, (rows,), generator=torch.Generator().manual_seed(seed + 1))):
        ids[row, place] = end
        if row % 2 == 0:
            ids[row, place:] = end
    return ids


def training(seed: int, steps: int = 4) -> tuple:
    """A case for train_steps: a small CLIP, batches, rate, decay, max_norm."""
    n, end = 3 + seed % 2, 5
    model = filled(PlainCLIP(4, (4, 2, 8, 1, 2), (9, 6, end, 4, 1, 1), seed % 2 == 0), seed)
    with torch.no_grad():
        cast(Tensor, model.logit_scale).fill_((-0.7, 2.0, 4.8)[seed % 3])
    batches = [(randn(n, 3, 4, 4, seed=seed + 50 * i), captions(n, 5, end, 9, seed + 50 * i)) for i in range(steps)]
    return model.train(), batches, 0.02 + 0.01 * (seed % 3), 1.0 + seed % 3, 0.05 * (1 + seed % 3)


@cache
def mistaken() -> dict[str, list[float]]:
    """Likely mistake -> the losses that it gives."""
    def wrong(**mistake) -> list[float]:
        model, batches, rate, decay, max_norm = training(1, 5)
        return trained(model, batches, mistake.pop("rate", rate), mistake.pop("decay", decay), max_norm, **mistake)

    return {
        "the loss asks the rows only: take the mean of cross_entropy of the logits and of logits.t()": wrong(rows=True),
        "both directions were added: take their mean": wrong(sum=True),
        "the model does not change: loss.backward(), then optimizer.step()": wrong(rate=0.0),
        "gradients of earlier batches are still in: optimizer.zero_grad() before each backward":
            wrong(**{"keep gradients": True}),
        "the gradient is not clipped: clip_grad_norm_ between backward and step": wrong(limit=math.inf),
        "everything decays: gains, biases, positions and the scale must not": wrong(kept=lambda name, p: False),
        "nothing decays: the matrices have weight_decay=decay": wrong(kept=lambda name, p: True),
        "positions decay: they have two dimensions, and are left alone all the same":
            wrong(kept=lambda name, p: p.ndim < 2),
        "matrices are left alone and the rest decays: the groups changed places":
            wrong(kept=lambda name, p: not no_decay(name, p)),
        "a new AdamW for each batch forgets its averages: make one, before the loop": wrong(anew=True),
        "these are AdamW's usual betas, (0.9, 0.999); (0.9, 0.98) is asked for": wrong(betas=(0.9, 0.999)),
        "gains decay: they have one dimension, and are left alone as the biases are":
            wrong(kept=lambda name, p: no_decay(name, p) and not (p.ndim == 1 and name.endswith("weight"))),
        "matrices are left alone: they have two dimensions; fewer than two have no decay":
            wrong(kept=lambda name, p: p.ndim <= 2 or no_decay(name, p)),
        "decay is not handed on: AdamW's own weight_decay, 0.01, is at work": wrong(decay=0.01),
        "the group without decay decays by AdamW's own 0.01: give it weight_decay 0.0": wrong(**{"kept decay": 0.01}),
        "both groups decay by AdamW's own 0.01: give each group its weight_decay":
            wrong(decay=0.01, kept=lambda name, p: False),
        "this is Adam, which puts decay into the gradient; AdamW is asked for": wrong(optimizer=torch.optim.Adam),
        "rate is not handed on: AdamW's own 0.001 is at work": wrong(rate=0.001),
        "clip_grad_value_ limits each number alone; clip_grad_norm_ limits the length of the whole gradient":
            wrong(clip=nn.utils.clip_grad_value_),
        "each parameter's gradient was clipped alone; one length is meant, that of all together":
            wrong(clip=lambda ps, limit: [nn.utils.clip_grad_norm_([p], limit) for p in ps]),
        "the limit is fixed at 1; max_norm is asked for": wrong(limit=1.0),
        "logit_scale is in neither group: the optimizer never changes it": wrong(**{"left out": True}),
        "logit_scale is not in the optimizer any more: change it in place, with clamp_": wrong(replaced=True),
    }
