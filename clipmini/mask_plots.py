"""Masks and boxes drawn over their picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from clipmini.matplotlib_text import Figure, as_typed
from clipmini.plots import PHRASE_COLOURS

SHADE = 0.45  # of a mask's colour over the picture
WIDTH = 3.2  # inches of a picture


def colour(number: int) -> tuple[float, float, float]:
    """The same colour for the same number in every figure."""
    return to_rgb(PHRASE_COLOURS[number % len(PHRASE_COLOURS)])


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


@as_typed
def stages(found: Sequence[Any], questions: Sequence[str], title: str = "A segmenter that labels its own pictures"
           ) -> Figure:
    """Mean IoU after each stage of tasks.data_engine, a line a question, with 95 % intervals. found: its stages."""
    figure = Figure(figsize=(2.6 * len(found) + 1, 4.2), layout="constrained")
    axes, places = figure.subplots(), np.arange(len(found))
    for number, question in enumerate(questions):
        rows = [stage.found[question] for stage in found]
        means = np.array([row["mean"] for row in rows])
        off = np.array([[row["mean"] - row["low"], row["high"] - row["mean"]] for row in rows]).T
        axes.errorbar(places + 0.03 * (number - len(questions) / 2), means, yerr=off, marker="os^Dv"[number % 5],
                      color=colour(number), capsize=3, label=question)
    own = [f", {stage.proposed:,} own masks,\n{stage.added:,} added" if stage.proposed else "" for stage in found]
    axes.set_xticks(places, [f"{stage.name}\n{stage.pictures:,} pictures{more}"
                             for stage, more in zip(found, own, strict=True)], fontsize=8)
    axes.set_xlim(-0.4, len(found) - 0.6)
    axes.set_ylabel("mean IoU, or recall")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    axes.set_title(title)
    return figure
