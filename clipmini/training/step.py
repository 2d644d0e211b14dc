"""One step: batch, towers, loss, gradient, optimiser, average."""

import ctypes
import math
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clipmini.embedder import quick_bfloat16
from clipmini.loss import ambiguity, clip_loss, multi_positive_loss, random_loss, sigmoid_loss, soft_target_loss
from clipmini.model import CLIP, no_decay
from clipmini.tokenizer import Tokenizer
from clipmini.training.config import TrainConfig, TrainingError
from clipmini.training.distil import distance
from clipmini.training.doctor import diagnose
from clipmini.training.pairs import Batch, Pairs, make_batch
from clipmini.training.rates import factors


@dataclass
class Run:
    """What the steps change; all of it must survive a power cut."""

    model: CLIP
    average: CLIP
    optimizer: torch.optim.AdamW
    step: int = 0
    total: int | None = None  # None until a budget in minutes has been timed
    seconds: float = 0.0
    best: float = -math.inf
    plan: list[tuple[int, int]] = field(default_factory=list)  # what the minutes became, and from which step on
    history: list[dict] = field(default_factory=list)


def one_step(run: Run, pairs: Pairs, tokenizer: Tokenizer, config: TrainConfig, templates: tuple[str, ...],
             backward=None) -> None:
    """Batch, forward, backward, update; appends a row to run.history. backward: in place of the two below. Raises
    TrainingError for a loss not a number."""
    total = run.total or 10**9  # not yet timed: still inside warm-up, where the total does not matter
    batch = make_batch(pairs, tokenizer, run.model, config, run.step, total, templates)
    rate = learning_rate(config, run.step, total)
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)  # runs of earlier versions have none
    cached = config.micro_batch and config.micro_batch < config.batch
    loss, image = (backward or (cached_backward if cached else plain_backward))(run.model, batch, config)
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.grad_clip_norm)
    row = {"step": run.step + 1, "loss": loss.item(), "ln_n": guessing_loss(batch, config),
           "scale": run.model.scale.item(), "learning_rate": rate, "gradient": norm.item(),
           "mean_vector_norm": image.mean(0).norm().item(), "pairs_per_second": 0.0, "score": ""}
    run.history.append(row)
    if not (math.isfinite(row["loss"]) and math.isfinite(row["gradient"])):
        raise TrainingError("; ".join(diagnose(run.history)))
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    if run.model.logit_scale.requires_grad:
        run.model.clamp_scale_()
    update_average(run.average, run.model, config.ema, run.step)
    run.step += 1


def encodings(model: CLIP, batch: Batch) -> list[tuple]:
    """What a step sends through the towers, in the order that `objective` takes it: (encoder, input) pairs."""
    texts = [batch.ids, *(ids for ids, _ in batch.kinds), *([] if batch.negative_ids is None else [batch.negative_ids])]
    return [(model.encode_image, batch.pixels), *((model.encode_text, ids) for ids in texts)]


def objective(model: CLIP, config: TrainConfig, batch: Batch, vectors: list[Tensor]) -> Tensor:
    """The configured loss of the unit vectors of `encodings`, in nats."""
    image, text, *rest = vectors
    if config.loss == "sigmoid":
        assert model.logit_bias is not None  # begin() saw to it
        return sigmoid_loss(image, text, model.scale, model.logit_bias, batch.groups)
    negatives = None if batch.negative_ids is None else rest.pop()
    loss = (clip_loss(image, text, model.scale, negatives) if config.loss == "clip" else
            multi_positive_loss(image, text, model.scale, batch.groups, negatives))
    for texts, (_, true) in zip(rest, batch.kinds, strict=True):
        loss = loss + config.categories * soft_target_loss(image, texts, model.scale, true)
    return loss if batch.targets is None else loss + config.distil * distance(image, batch.targets)


def chosen_precision(config: TrainConfig) -> str:
    """The precision that "auto" means on this computer, or the one that was asked for."""
    quicker = "bfloat16" if quick_bfloat16() else "float32"
    return quicker if config.precision == "auto" else config.precision


def mixed_precision(config: TrainConfig):
    """The context in which the towers run; weights, losses and averages are float32 always."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=chosen_precision(config) == "bfloat16")


def plain_backward(model: CLIP, batch: Batch, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """Forward and backward in one go. Returns the loss and the image vectors (B, E)."""
    with mixed_precision(config):
        vectors = [encode(x) for encode, x in encodings(model, batch)]
    loss = objective(model, config, batch, vectors)
    loss.backward()
    return loss.detach(), vectors[0].detach()


def cached_backward(model: CLIP, batch: Batch, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """The same gradient with the memory of one micro-batch (GradCache, Gao et al. 2021).

    Gradient accumulation would not do: it forgets the negatives of the other micro-batches. Here all vectors are
    computed first without a graph, the loss gives the gradient of each vector, and each part is run again to carry it
    on. Exact unless a tower has BatchNorm, whose statistics would be of one part: that is a TrainingError.
    """
    if any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        raise TrainingError("the gradient cache is not exact with BatchNorm (towers 'light' and 'resnet'); "
                            "use vision.tower='vit', or leave micro_batch unset")
    passes, size = encodings(model, batch), config.micro_batch
    with torch.no_grad(), mixed_precision(config):
        leaves = [torch.cat([encode(x) for x in inputs.split(size)]).requires_grad_() for encode, inputs in passes]
    loss = objective(model, config, batch, leaves)
    loss.backward()  # fills the leaves' gradients, and those of logit_scale and logit_bias
    for (encode, inputs), leaf in zip(passes, leaves, strict=True):
        assert leaf.grad is not None
        for part, gradient in zip(inputs.split(size), leaf.grad.split(size), strict=True):
            with mixed_precision(config):
                again = encode(part)
            if again.requires_grad:  # a frozen tower has nothing to learn from it
                again.backward(gradient)
    return loss.detach(), leaves[0].detach()


def make_optimizer(model: CLIP, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW in one fused kernel; gains, biases, positions and the scale are not decayed, frozen parameters left out."""
    rates, groups = factors(model, config), {}  # type: tuple[dict[str, float], dict[tuple[bool, float], list[Tensor]]]
    for name, p in model.named_parameters():
        if p.requires_grad:
            groups.setdefault((no_decay(name, p), rates[name]), []).append(p)
    listed = [{"params": groups[key], "weight_decay": 0.0 if key[0] else config.weight_decay, "factor": key[1]}
              for key in sorted(groups)]
    return torch.optim.AdamW(listed, lr=config.learning_rate, betas=(0.9, config.beta2), eps=1e-6, fused=True)


def learning_rate(config: TrainConfig, step: int, total: int) -> float:
    """Linear warm-up, then half a cosine down to 0."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, total - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@torch.no_grad()
def update_average(average: CLIP, model: CLIP, decay: float, step: int) -> None:
    """average <- decay * average + (1 - decay) * model; young averages forget faster. What is frozen is copied."""
    decay = min(decay, (1 + step) / (10 + step))
    ours, theirs = list(average.state_dict().values()), list(model.state_dict(keep_vars=True).values())
    floats = [i for i, t in enumerate(theirs) if t.is_floating_point() and (t.requires_grad or type(t) is Tensor)]
    torch._foreach_lerp_([ours[i] for i in floats], [theirs[i] for i in floats], 1 - decay)
    for i in set(range(len(ours))) - set(floats):
        ours[i].copy_(theirs[i])


def guessing_loss(batch: Batch, config: TrainConfig) -> float:
    """The loss of a model that knows nothing: ln N; less where concepts repeat, more with negatives and categories.
    For the sigmoid loss that of the best constant answer, N times the entropy of a yes: near 1 + ln N."""
    N = len(batch.groups)
    same = batch.groups[:, None] == batch.groups
    if config.loss == "sigmoid":
        yes = same.float().mean()
        return N * (torch.special.entr(yes) + torch.special.entr(1 - yes)).item()
    wrong = 0 if batch.negative_ids is None else len(batch.negative_ids)
    names = (random_loss(N) + random_loss(N + wrong)) / 2 - (ambiguity(same).item() if config.loss == "multi" else 0.0)
    kinds = [random_loss(N) - (ambiguity(true) + ambiguity(true.t())).item() / 2 for _, true in batch.kinds]
    known = 0.0 if batch.targets is None else batch.targets.norm(dim=-1).mean().item()
    return names + config.categories * sum(kinds) + config.distil * known


def keep_freed_memory() -> None:
    """Tell glibc's malloc to keep freed memory; does nothing elsewhere. Each step frees and asks for the same large
    blocks; given back to the kernel they return page by page, and page faults can cost as much as the arithmetic."""
    with suppress(OSError, AttributeError):  # another system, another C library
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
