"""Training: scenes, prompts in rounds, loss, gradient, optimiser, average. A run that was cut off goes on."""

import copy
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipmini.embedder import Embedder, quick_bfloat16
from clipmini.model import no_decay
from clipmini.segmenter.encoders import Prompts, Seen
from clipmini.segmenter.examples import Picture, Vocabulary, batch, corrected
from clipmini.segmenter.loss import segmenter_loss
from clipmini.segmenter.model import Segmenter, SegmenterConfig
from clipmini.training import TrainingError
from clipmini.training.state import write_state
from clipmini.training.step import keep_freed_memory, learning_rate, update_average

SAVE_SECONDS = 60


@dataclass(frozen=True)
class SegmenterTraining:
    """The recipe of a segmenter."""

    steps: int
    pictures: int = 4  # a step
    prompts: int = 6  # for each picture
    rounds: tuple[float, ...] = (0.4, 0.35, 0.25)  # probabilities of a step's having one round of clicks, two, three
    alone: float = 0.15  # share of the steps at the beginning in which there is one round only
    learning_rate: float = 1.5e-3
    tower: float = 0.3  # what the rate of CLIP's image tower is multiplied with
    weight_decay: float = 0.05
    warmup: int = 150
    ema: float = 0.999
    clip_norm: float = 1.0
    seed: int = 0

    def __post_init__(self):
        if self.steps < 1 or self.pictures < 1 or self.prompts < 1:
            raise TrainingError(f"steps, pictures and prompts must be positive (got {self.steps}, {self.pictures} and "
                                f"{self.prompts})")


@dataclass
class Run:
    """What the steps change."""

    model: Segmenter
    average: Segmenter
    optimizer: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def beginning(embedder: Embedder, side: int = 144, seed: int = 0, **sizes: int) -> Segmenter:
    """A segmenter whose image tower is a CLIP's, and whose rest knows nothing yet. sizes: of SegmenterConfig."""
    tower = getattr(embedder.model, "visual", None)
    config = SegmenterConfig(embedder.config.vision, embedder.config.embed_dim, side, **sizes)
    torch.manual_seed(seed)
    model = Segmenter(config)
    if tower is None or tower.state_dict().keys() != model.image.tower.state_dict().keys():
        raise TrainingError(f"the picture tower of {embedder.name!r} can't be read; load the model without packed, "
                            "int8 and fast")
    model.image.tower.load_state_dict(tower.state_dict())
    return model


def one_step(run: Run, pictures: Sequence[Picture], vocabulary: Vocabulary, config: SegmenterTraining) -> None:
    """Appends a row to run.history. Raises TrainingError for a loss that is no number."""
    rng = np.random.default_rng((config.seed, run.step))
    vision = run.model.config.tower
    chosen = [pictures[int(i)] for i in rng.integers(len(pictures), size=config.pictures)]
    examples = batch(chosen, vocabulary, config.prompts, vision.mean, vision.std, rng)
    rate = learning_rate(config, run.step, config.steps)  # type: ignore[arg-type]  # it has what is asked for
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    chances = np.array(config.rounds if run.step > config.alone * config.steps else (1.0,))
    rounds = 1 + int(rng.choice(len(chances), p=chances / chances.sum()))
    run.model.train()
    run.model.image.tower.eval()  # its BatchNorm keeps the statistics that it came with
    row = backward(run.model, examples, rounds, config.prompts, rng)
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip_norm)
    row |= {"step": run.step + 1, "learning_rate": rate, "gradient": float(norm)}
    run.history.append(row)
    if not (math.isfinite(row["total"]) and math.isfinite(row["gradient"])):
        raise TrainingError(f"the loss of step {run.step + 1} is {row['total']}, its gradient {row['gradient']}; train "
                            "with a lower learning rate")
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    update_average(run.average, run.model, config.ema, run.step)  # type: ignore[arg-type]  # any module
    run.step += 1


def backward(model: Segmenter, examples: Any, rounds: int, prompts: int, rng: np.random.Generator) -> dict[str, float]:
    """The gradient of all rounds -> the terms of the loss of the first one. The picture is encoded once; what the
    rounds ask of it comes together in the gradient of its cells."""
    with torch.autocast("cpu", torch.bfloat16, enabled=quick_bfloat16()):
        seen = model.see(examples.pixels)
    leaves = Seen(*(t.detach().requires_grad_() for t in seen))
    asked, told = examples.prompts, (examples.truths, examples.possible, examples.sure, examples.there)
    row: dict[str, float] = {}
    for number in range(rounds):
        with torch.autocast("cpu", torch.bfloat16, enabled=quick_bfloat16()):
            decoded = model.ask(leaves.repeated(prompts), asked)
        terms = segmenter_loss(decoded, *told)
        (terms["total"] / rounds).backward()
        row = row or {name: value.item() for name, value in terms.items()}
        if number + 1 < rounds:
            asked, told = _next_round(decoded, asked, told, prompts, rng)
            prompts = max(1, prompts // 2)
    torch.autograd.backward(list(seen), [t.grad if t.grad is not None else torch.zeros_like(t) for t in leaves])
    return row


def _next_round(decoded: Any, asked: Prompts, told: tuple[Tensor, ...], prompts: int,
                rng: np.random.Generator) -> tuple:
    """Half of the prompts of each picture, things that are there first, corrected by a click each."""
    truths, _, sure, there = told
    order = torch.from_numpy(rng.random((len(asked) // prompts, prompts))) - there.view(-1, prompts).float()
    kept = order.argsort(1)[:, :max(1, prompts // 2)] + torch.arange(0, len(asked), prompts)[:, None]
    kept = kept.flatten()
    logits, quality = decoded.logits.detach().float()[kept], decoded.quality.detach()[kept].clone()
    quality[:, 0][~sure[kept]] = -1
    best = logits[torch.arange(len(kept)), quality.argmax(1)]
    corrections = corrected(Prompts(*(t[kept] for t in asked)), best, truths[kept, 0], rng)
    only = torch.zeros(len(kept), truths.shape[1], dtype=torch.bool)
    only[:, 0] = there[kept]
    return corrections, (truths[kept], only, torch.ones_like(sure[kept]), there[kept])


def make_optimizer(model: Segmenter, config: SegmenterTraining) -> torch.optim.AdamW:
    """AdamW; gains and biases are not decayed, CLIP's tower learns more slowly."""
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, p in model.named_parameters():
        groups.setdefault((no_decay(name, p), name.startswith("image.tower.")), []).append(p)
    listed = [{"params": groups[key], "weight_decay": 0.0 if key[0] else config.weight_decay,
               "factor": config.tower if key[1] else 1.0} for key in sorted(groups)]
    return torch.optim.AdamW(listed, lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-6, fused=True)


def train(model: Segmenter, pictures: Sequence[Picture], vocabulary: Vocabulary, config: SegmenterTraining,
          folder: str | Path, progress: bool = True, stop_after: int | None = None) -> Run:
    """Train a segmenter; `folder` keeps the state, from which an unfinished run of the same recipe goes on. Returns the
    Run, whose average is what is used. Raises TrainingError."""
    from tqdm import tqdm

    keep_freed_memory()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(model, copy.deepcopy(model).eval(), make_optimizer(model, config))
    recipe = {"model": model.config.to_dict(), "train": asdict(config), "pictures": len(pictures)}
    recipe = json.loads(json.dumps(recipe))  # lists for tuples
    _resume(folder, run, recipe)
    saved = time.perf_counter()
    last = min(config.steps, stop_after or config.steps)
    with tqdm(total=config.steps, initial=run.step, disable=not progress, unit="step", dynamic_ncols=True) as bar:
        while run.step < last:
            began = time.perf_counter()
            one_step(run, pictures, vocabulary, config)
            run.seconds += time.perf_counter() - began
            recent = run.history[-100:]
            bar.set_postfix_str(" ".join(f"{name} {np.mean([row[name] for row in recent]):.3f}"
                                         for name in ("mask", "quality", "there")), refresh=False)
            bar.update(1)
            if time.perf_counter() - saved > SAVE_SECONDS or run.step == last:
                _save(folder, run, recipe)
                saved = time.perf_counter()
    return run


def _save(folder: Path, run: Run, recipe: dict) -> None:
    state = {"model": run.model.state_dict(), "average": run.average.state_dict(),
             "optimizer": run.optimizer.state_dict(), "step": run.step, "seconds": run.seconds, "history": run.history,
             "recipe": json.dumps(recipe)}
    write_state(folder / "state.pt", state)


def _resume(folder: Path, run: Run, recipe: dict) -> None:
    path = folder / "state.pt"
    if not path.exists():
        return
    try:
        state = torch.load(path, weights_only=True)
        known = json.loads(state["recipe"])
    except Exception as error:
        raise TrainingError(f"{str(path)!r} is damaged ({error}); delete it to start anew") from error
    if known != recipe:
        raise TrainingError(f"{str(folder)!r} holds a run with another recipe; repeat its options, or choose another "
                            "folder")
    for name in ("model", "average", "optimizer"):
        getattr(run, name).load_state_dict(state[name])
    run.step, run.seconds, run.history = state["step"], state["seconds"], state["history"]
