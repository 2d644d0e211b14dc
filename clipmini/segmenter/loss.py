"""How wrong masks are: focal loss and dice loss, of the best of three where a prompt leaves doubt.

Segment Anything (Kirillov et al. 2023, appendix A): focal to dice is 20 to 1, and only the best of the masks learns.
Our scenes know more than one right answer to a click, the thing and its part, and each of them is to have its mask.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.segmenter.decoder import Decoded

FOCAL, DICE, QUALITY, THERE = 20.0, 1.0, 1.0, 1.0


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
