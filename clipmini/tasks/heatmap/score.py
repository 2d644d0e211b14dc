"""How well a map finds things whose masks are known."""

import time
from dataclasses import dataclass
from statistics import fmean, median
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.heatmap.methods import THRESHOLDS, HeatmapError, default_method, heatmap
from clipmini.tasks.heatmap.presence import rates
from clipmini.tasks.metrics import wilson
from clipmini.tasks.prompts import EVERYDAY_WORDS


@dataclass(frozen=True)
class Score:
    """How well a map finds a thing whose mask is known.

    pointing: is its highest pixel on the thing, or within 3% of the picture's side of it (Zhang et al. 2016 allowed 15
    pixels of about 500)? on_mask: the same without that; iou: of the pixels above the threshold with the mask;
    average_precision: of the map as a ranking of pixels, which needs no threshold.
    """

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


def localise(embedder: Embedder, scenes, method: str | None = None, templates="plain") -> dict:
    """A method's mean scores on scenes whose truth is known: objects with an image and things, each with a name, which
    is the phrase, and a mask (h, w) bool of the map's size.

    Returns method, scenes, n (things), pointing with the ends of its 95% interval, on_mask, iou, average_precision and
    ms (median of a scene). Raises ValueError for no scenes, HeatmapError for a method that this tower does not have.
    """
    if not len(scenes):
        raise ValueError("no scenes to look for things in")
    method = method or default_method(embedder)
    everyday = build_classifier(embedder, EVERYDAY_WORDS, templates)
    scores, times = [], []
    for scene in scenes:
        start = time.perf_counter()
        found = heatmap(embedder, scene.image, [thing.name for thing in scene.things], method, templates,
                        everyday=everyday)
        times.append(time.perf_counter() - start)
        scores += [score(map_, torch.from_numpy(thing.mask), THRESHOLDS[method])
                   for map_, thing in zip(found.maps, scene.things, strict=True)]
    mean = {key: fmean(getattr(s, key) for s in scores) for key in ("pointing", "on_mask", "iou", "average_precision")}
    low, high = wilson(mean["pointing"], len(scores))
    return {"method": method, "scenes": len(times), "n": len(scores), **mean, "pointing_low": low,
            "pointing_high": high, "ms": 1000 * median(times)}


def presence_rates(embedder: Embedder, scenes, absent, templates="plain") -> dict:
    """How well "windows" tells what is there from what is not, on scenes whose things are known.

    scenes: as in localise; absent: for each scene names of things that are not in it. Returns scenes, present and
    absent (how many were asked for), true and false (the share of each that was said to be there, with the ends of its
    95% interval as true_low ...) and auc. Raises ValueError for no scenes or names.
    """
    if not len(scenes) or len(scenes) != len(absent) or not all(absent):
        raise ValueError(f"{len(scenes)} scenes and {len(absent)} lists of absent things; give both for each scene")
    everyday = build_classifier(embedder, EVERYDAY_WORDS, templates)
    there, not_there = [], []
    for scene, names in zip(scenes, absent, strict=True):
        things = [thing.name for thing in scene.things]
        made = heatmap(embedder, scene.image, [*things, *names], "windows", templates, everyday=everyday)
        found = cast(Tensor, made.scores)  # windows has them
        there.append(found[:len(things)])
        not_there.append(found[len(things):])
    scores = torch.cat(there), torch.cat(not_there)
    measured = rates(*scores)
    ends = {f"{name}_{end}": bound for name, asked in zip(("true", "false"), scores, strict=True)
            for end, bound in zip(("low", "high"), wilson(measured[name], len(asked)), strict=True)}
    return {"scenes": len(scenes), "present": len(scores[0]), "absent": len(scores[1]), **measured, **ends}
