"""Masks and boxes drawn over their picture."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle

from clipmini.matplotlib_text import Figure, as_typed

SHADE = 0.45  # of a mask's colour over the picture
WIDTH = 3.2  # inches of a picture


def colour(number: int) -> tuple[float, float, float]:
    """The same colour for the same number in every figure."""
    return matplotlib.colormaps["tab10"](number % 10)[:3]


def shaded(image: Any, mask: np.ndarray, number: int = 0) -> np.ndarray:
    """A picture (H, W, 3) in 0..1 with a mask over it, all else paler."""
    pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    pale = 0.45 * pixels + 0.55
    return np.where(mask[..., None], (1 - SHADE) * pixels + SHADE * np.array(colour(number)), pale)


@as_typed
def three_masks(image: Any, masks: Sequence[np.ndarray], expected: Sequence[float], title: str = "") -> Figure:
    """The masks of an answer beside one another, the likeliest first, each with its expected IoU."""
    figure = Figure(figsize=(WIDTH * len(masks), WIDTH * image.height / image.width + 0.7), layout="constrained")
    for number, (axes, mask, iou) in enumerate(zip(figure.subplots(1, len(masks), squeeze=False)[0], masks, expected,
                                                   strict=True)):
        axes.imshow(shaded(image, mask, number))
        axes.set_title(f"{number + 1}: expected IoU {iou:.2f}")
        axes.set_axis_off()
    figure.suptitle(title or "What the prompt may mean")
    return figure


@as_typed
def boxes(image: Any, found: Sequence[Any], title: str = "") -> Figure:
    """Cut-outs with labels and scores: a box each, its mask shaded, one colour a label."""
    figure = Figure(figsize=(2 * WIDTH, 2 * WIDTH * image.height / image.width + 0.6), layout="constrained")
    axes, labels = figure.subplots(), list(dict.fromkeys(one.label for one in found))
    axes.imshow(image.convert("RGB"))
    for one in found:
        shade, (left, top, right, bottom) = colour(labels.index(one.label)), one.box
        axes.imshow(np.dstack([np.broadcast_to(shade, (*one.mask.shape, 3)), SHADE * one.mask]))
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color=shade, linewidth=2))
        axes.text(left, top, f"{one.label} {one.score:.2f}" if one.label else f"{one.iou:.2f}", color="white",
                  verticalalignment="bottom", bbox={"facecolor": shade, "edgecolor": "none", "pad": 1.5}, fontsize=9)
    axes.set_axis_off()
    axes.set_title(title or f"{len(found)} found")
    return figure
