"""Several processes train one model as one would: each encodes its part of every batch, and all see all vectors.

    torchrun --nproc-per-node 2 -m clipmini train emoji --batch 256

Every process draws the same batch and has the same weights. The contrastive loss needs the vectors of the whole batch:
they are gathered, each process computes the whole loss, carries the gradient of its own vectors on through the towers,
and the gradients of the weights are added up. So N processes take the step of one, but for the order of sums.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import MethodType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from clipmini.model import CLIP
from clipmini.training.config import TrainConfig, TrainingError
from clipmini.training.pairs import Batch
from clipmini.training.step import encodings, mixed_precision, objective

NORMS = nn.modules.batchnorm._BatchNorm
PATIENCE = timedelta(days=1)  # the others wait while the first one measures; torchrun ends all when one dies


@contextmanager
def joined() -> Iterator[None]:
    """While inside, the processes that torchrun started know of each other; a process alone notices nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield
        return
    dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
        dist.barrier()  # nobody hangs up on one who still speaks
    finally:
        dist.destroy_process_group()
        gc.collect()  # a group that something still refers to ends with Python itself, and aborts it now and then


def count() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this one, from 0."""
    return dist.get_rank() if count() > 1 else 0


def first() -> bool:
    """Whether this process is the one that writes, measures and speaks."""
    return rank() == 0


def agreed(value: Any) -> Any:
    """The first process's value, in all of them; they wait for it."""
    if count() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


@contextmanager
def in_turn() -> Iterator[None]:
    """The first process alone, and when it is done all others: what it downloads or writes into a cache they find."""
    if not first():
        agreed(None)
    yield
    if first():
        agreed(None)


def own_part(rows: int) -> slice:
    """The rows of a batch that this process encodes: parts of one size, the last ones shorter or empty."""
    size = -(-rows // count())
    return slice(min(rank() * size, rows), min((rank() + 1) * size, rows))


def backward(model: CLIP, batch: Batch, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """What `plain_backward` does, by all processes. Returns the loss and the image vectors (B, E), the same in each.

    Raises TrainingError for a batch of fewer rows than two a process, and for a micro-batch."""
    if config.micro_batch:
        raise TrainingError("several processes encode their parts at once: omit --micro-batch, or start more processes")
    if len(batch.pixels) < 2 * count():
        raise TrainingError(f"a batch of {len(batch.pixels)} pairs is too small for {count()} processes; "
                            f"give --batch {2 * count()} or more")
    passes = encodings(model, batch)
    with mixed_precision(config):
        own = [encode(rows[own_part(len(rows))]).float() for encode, rows in passes]
    leaves = [_gathered(vectors.detach(), len(rows)).requires_grad_()
              for vectors, (_, rows) in zip(own, passes, strict=True)]
    loss = objective(model, config, batch, leaves)
    loss.backward()
    for p in (model.logit_scale, model.logit_bias):
        if p is not None and p.grad is not None:
            p.grad.div_(count())  # each process has all of it
    moving = [(v, leaf.grad[own_part(len(leaf))]) for v, leaf in zip(own, leaves, strict=True)
              if v.requires_grad and len(v) and leaf.grad is not None]
    torch.autograd.backward([v for v, _ in moving], [gradient for _, gradient in moving])
    _add_up([p for p in model.parameters() if p.requires_grad])
    return loss.detach(), leaves[0].detach()


def _gathered(own: Tensor, rows: int) -> Tensor:
    """The vectors of all processes, in the order of the batch -> (rows, E)."""
    size = -(-rows // count())
    padded = torch.zeros(size, own.shape[1])
    padded[:len(own)] = own
    parts = [torch.empty_like(padded) for _ in range(count())]
    dist.all_gather(parts, padded)
    return torch.cat(parts)[:rows]


def _add_up(parameters: list[nn.Parameter]) -> None:
    """The sum of all processes' gradients, in each; a parameter that has one in none of them stays without."""
    has = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32)
    dist.all_reduce(has, dist.ReduceOp.MAX)
    taken = [p for p, one in zip(parameters, has.tolist(), strict=True) if one]
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in taken])
    dist.all_reduce(flat)
    for p, gradient in zip(taken, flat.split([p.numel() for p in taken]), strict=True):
        p.grad = gradient.view_as(p).clone()


@contextmanager
def joint_norms(model: nn.Module) -> Iterator[None]:
    """While inside, BatchNorm takes mean and variance of the whole batch, not of one process's part."""
    norms = [m for m in model.modules() if isinstance(m, NORMS)] if count() > 1 else []
    for norm in norms:
        norm.forward = MethodType(_joint_norm, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


class _Sum(torch.autograd.Function):
    """The sum over all processes, with its gradient: what changes one's part changes everybody's sum."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # noqa: D102
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[override]  # noqa: D102
        return _Sum.forward(ctx, gradient)


def _joint_norm(norm: Any, x: Tensor) -> Tensor:
    """x (B, C, ...) of this process, normalised with the statistics of all."""
    if not norm.training:
        return nn.functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0,
                                        norm.eps)
    wide, dims = x.float(), [0, *range(2, x.dim())]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    rows = torch.tensor(float(x.numel() // x.shape[1]))
    dist.all_reduce(rows)
    mean = _Sum.apply(wide.sum(dims)) / rows
    variance = _Sum.apply((wide - mean.view(shape)).square().sum(dims)) / rows
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * rows / (rows - 1), norm.momentum)
    scaled = (wide - mean.view(shape)) * (variance + norm.eps).rsqrt().view(shape)
    return (scaled * norm.weight.view(shape) + norm.bias.view(shape)).to(x.dtype)
