"""How wrong masks are: focal loss and dice loss, of the best of three where a prompt leaves doubt.

Segment Anything (Kirillov et al. 2023, appendix A): focal to dice is 20 to 1, and only the best of the masks learns.
Our scenes know more than one right answer to a click, the thing and its part, and each of them is to have its mask.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.segmenter.decoder import Decoded

FOCAL, DICE, QUALITY, THERE, ONE_THING, WORDS = 20.0, 1.0, 1.0, 1.0, 0.2, 0.3


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """logits (..., s, s), truth (..., s, s) in 0..1, shapes that fit -> 20 focal + dice (...), Lin et al. 2017 and
    Milletari et al. 2016."""
    p = logits.sigmoid()
    entropy = F.softplus(logits) - logits * truth
    focal = ((p - truth).square() * entropy).mean((-2, -1))
    dice = 1 - (2 * (p * truth).sum((-2, -1)) + 1) / (p.sum((-2, -1)) + truth.sum((-2, -1)) + 1)
    return FOCAL * focal + DICE * dice


def overlap(logits: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of logits > 0 and truth > 0.5 (..., s, s) -> (...); 0 where both are empty."""
    mask, truth = logits > 0, truth > 0.5
    return (mask & truth).sum((-2, -1)) / (mask | truth).sum((-2, -1)).clamp(min=1)


def segmenter_loss(decoded: Decoded, truths: Tensor, possible: Tensor, sure: Tensor,
                   there: Tensor) -> dict[str, Tensor]:
    """truths (N, CHAIN, s, s), the meant one first; possible (N, CHAIN), sure and there (N,) bool: as in
    examples.Batch -> the terms, means over prompts: mask, quality, there and their sum, total."""
    logits = decoded.logits.float()
    each = mask_loss(logits[:, 1:, None], truths[:, None])  # (N, 3, CHAIN)
    best = each.amin(1)  # (N, CHAIN): each right answer by the mask that is nearest to it
    masks = (best * possible).sum(1) / possible.sum(1).clamp(min=1)
    first = mask_loss(logits[:, 0], truths[:, 0])
    masks = torch.where(sure, (masks + first) / 2, masks)
    with torch.no_grad():
        iou = overlap(logits, truths[:, :1])
    quality = (decoded.quality - iou).abs()
    # The first mask answers where there is no doubt; elsewhere nobody asks how good it is.
    asked = torch.ones_like(quality)
    asked[:, 0] = sure.float()
    seen = F.binary_cross_entropy_with_logits(decoded.there.float(), there.float())
    terms = {"mask": (masks * there).sum() / there.sum().clamp(min=1), "quality": (quality * asked).sum() / asked.sum(),
             "there": seen}
    return {**terms, "total": terms["mask"] + QUALITY * terms["quality"] + THERE * terms["there"]}


def one_thing_loss(units: Tensor, things: Tensor, places: Tensor, told: Tensor) -> Tensor:
    """Are fine cells of one thing near to one another, and far from all others? A click is half answered by that, and
    here it is asked of many places of a picture at once. units (B, C, s, s): unit vectors; things (B, s, s): of which
    thing each cell is, 0 for none; places (B, K): cells to ask of; told (2,): the cosine's scale, and its limit."""
    flat, owner = units.flatten(2), things.flatten(1)  # (B, C, P), (B, P)
    asked = flat.gather(2, places[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)  # (B, K, C)
    truth = owner[:, None] == owner.gather(1, places)[..., None]  # (B, K, P)
    return agreement_loss(units, asked, truth.unflatten(2, units.shape[2:]), told)


def agreement_loss(units: Tensor, asked: Tensor, truth: Tensor, told: Tensor) -> Tensor:
    """Is the cosine of each cell with what is asked high where the truth says, and low elsewhere? units (B, C, h, w)
    and asked (B, K, C): unit vectors; truth (B, K, h, w); told (2,): the cosine's scale, and its limit."""
    cosines = (asked.float() @ units.flatten(2).float()).unflatten(2, units.shape[2:])
    return mask_loss(told[0] * (cosines - told[1]), truth.float()).mean()
