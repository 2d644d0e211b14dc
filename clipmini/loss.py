"""Contrastive losses. Every one takes unit vectors, pictures and texts row by row: pair i is (image[i], text[i]).

logits[i, j] = scale * image[i] . text[j]. A softmax along a row chooses a text for a picture (image -> text); along a
column, a picture for a text (text -> image). The symmetric losses average the two directions.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def clip_loss(image: Tensor, text: Tensor, scale: Tensor, negatives: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE, CLIP's loss (Radford et al. 2021, figure 3).

    image, text (N, E) unit vectors; scale: exp(logit_scale), a positive scalar.
    negatives: texts (M, E) that are wrong for every picture here, such as swapped captions (NegCLIP, Yuksekgonul et al.
    2023). Returns the mean over both directions, in nats. Equal logits give ln N.

    >>> same = F.normalize(torch.ones(4, 8), dim=-1)
    >>> round(clip_loss(same, same, torch.tensor(10.0)).item(), 4) == round(math.log(4), 4)
    True
    """
    logits = scale * image @ text.t()  # (N, N)
    target = torch.arange(len(logits), device=logits.device)
    rows = logits if negatives is None else torch.cat([logits, scale * image @ negatives.t()], dim=1)  # (N, N + M)
    return (F.cross_entropy(rows, target) + F.cross_entropy(logits.t(), target)) / 2


def multi_positive_loss(image: Tensor, text: Tensor, scale: Tensor, groups: Tensor,
                        negatives: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE in which all pairs of one group are right answers for each other (SupCon, Khosla et al. 2020).

    groups (N,) int: equal numbers mean the same concept. The other arguments and the unit are those of clip_loss, which
    this equals when all groups differ. The least possible loss is 0, however often a concept repeats.
    """
    return soft_target_loss(image, text, scale, groups[:, None] == groups[None, :], negatives)


def soft_target_loss(image: Tensor, text: Tensor, scale: Tensor, true: Tensor,
                     negatives: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE for captions that may be true of several pictures, and pictures with several true captions.

    true (N, M) bool: caption j is true of picture i; at least one in each row and column. The soft target of a row or
    column is uniform over what is true. Its own entropy, the mean ln of how many are true, is subtracted, so that the
    least possible loss is 0. negatives: texts that are wrong for every picture. Returns nats.
    """
    logits = scale * image @ text.t()  # (N, M)
    rows, columns = (t.to(logits.dtype) / t.sum(1, keepdim=True) for t in (true, true.t()))
    row_logits, row_target = logits, rows
    if negatives is not None:
        extra = scale * image @ negatives.t()
        row_logits, row_target = torch.cat([logits, extra], dim=1), F.pad(rows, (0, extra.shape[1]))
    both = F.cross_entropy(row_logits, row_target) + F.cross_entropy(logits.t(), columns)
    return (both - (ambiguity(true) + ambiguity(true.t())).to(both.dtype)) / 2


def ambiguity(true: Tensor) -> Tensor:
    """The mean over the rows of ln(how many are true), in nats: what no answer can get below. true (N, M) bool.

    >>> round(ambiguity(torch.tensor([[True, True], [False, True]])).item(), 4) == round(math.log(2) / 2, 4)
    True
    """
    return true.sum(1).double().log().mean()


def sigmoid_loss(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, groups: Tensor | None = None) -> Tensor:
    """SigLIP's loss (Zhai et al. 2023): each of the N * N pairs is a yes-or-no question of its own.

    image, text (N, E) unit vectors; scale, bias: scalars, logits = scale * cosine + bias.
    groups (N,) int: pairs of one group are "yes" too. Returns the sum over pairs divided by N, in nats.
    """
    logits = scale * image @ text.t() + bias
    if groups is None:
        groups = torch.arange(len(logits), device=logits.device)
    sign = 2.0 * (groups[:, None] == groups[None, :]) - 1.0
    return -F.logsigmoid(sign * logits).sum() / len(logits)


def duplicate_floor(groups: Tensor, batch: int, draws: int = 200, seed: int = 0) -> float:
    """The least loss that clip_loss can reach when captions repeat: E[ln(copies in the batch)], in nats.

    groups (rows,) int: the concept of every row of the data set; batch: pairs a step. Two pairs with the same caption
    cannot be told apart, so the best model still guesses among the copies. Estimated over random batches.

    >>> round(duplicate_floor(torch.zeros(64, dtype=torch.long), batch=8), 4) == round(math.log(8), 4)
    True
    """
    generator = torch.Generator().manual_seed(seed)
    batch = min(batch, len(groups))
    total = 0.0
    for _ in range(draws):
        drawn = groups[torch.randperm(len(groups), generator=generator)[:batch]]
        total += (drawn[:, None] == drawn[None, :]).sum(1).float().log().mean().item()
    return total / draws


def random_loss(batch: int) -> float:
    """The loss of a model that knows nothing: ln N."""
    return math.log(batch)
