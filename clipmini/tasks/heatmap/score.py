"""How well a map finds things whose masks are known."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.tasks.heatmap.methods import Heatmap, HeatmapError

# From where on a pixel counts as the phrase's: best IoU of 0.2, 0.3 ... 0.7 on 50 scenes of four styles that it knew.
THRESHOLDS = {"windows": 0.4, "surgery": 0.6, "value": 0.6, "relevance": 0.3, "gradcam": 0.3, "occlusion": 0.6,
              "patches": 0.6}


def segmented(found: Heatmap) -> Tensor:
    """Which phrase each pixel shows most: (h, w) int64, K ("none") where none reaches the method's threshold."""
    best = found.maps.max(0)
    return torch.where(best.values > THRESHOLDS[found.method], best.indices, len(found.maps))


@dataclass(frozen=True)
class Score:
    """How well a map finds a thing whose mask is known. pointing: is its highest pixel on the thing, or within 3% of
    the picture's side of it (Zhang et al. 2016 allowed 15 pixels of about 500)? on_mask: the same without that; iou: of
    the pixels above the threshold with the mask; average_precision: of the map as a ranking of pixels, which needs no
    threshold."""

    pointing: bool
    on_mask: bool
    iou: float
    average_precision: float


def score(map_: Tensor, mask: Tensor, threshold: float) -> Score:
    """map_ (h, w) from 0 to 1; mask (h, w) bool with at least one True."""
    from sklearn.metrics import average_precision_score

    if map_.shape != mask.shape or not mask.any():
        raise HeatmapError(f"a map of {tuple(map_.shape)} and a mask of {tuple(mask.shape)} with {int(mask.sum())} "
                           "pixels; give two of one size, and a mask that is not empty")
    reach = round(0.03 * max(mask.shape))
    wide = F.max_pool2d(mask[None].float(), 2 * reach + 1, stride=1, padding=reach)[0] > 0
    best, above = int(map_.argmax()), map_ > threshold
    return Score(bool(wide.flatten()[best]), bool(mask.flatten()[best]),
                 ((above & mask).sum() / (above | mask).sum()).item(),
                 float(average_precision_score(mask.flatten().numpy(), map_.flatten().numpy())))
