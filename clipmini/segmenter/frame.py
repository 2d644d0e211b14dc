"""Where a pixel of a picture is in the segmenter's square, and back: the only place that knows of padding.

A picture's longer side becomes S; what is missing of the square lies to the right and below. Coordinates are continuous
and count from the upper left corner: pixel (column, row) covers column to column + 1, so its middle is at + 0.5.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clipmini.segmenter.encoders import middles


@dataclass(frozen=True)
class Frame:
    """A window of a picture, seen in a square of `side` pixels. window: left, top, right, bottom in the picture's
    pixels, whole numbers; height, width: of the whole picture."""

    height: int
    width: int
    side: int
    window: tuple[int, int, int, int]

    @classmethod
    def whole(cls, image: Image.Image, side: int) -> "Frame":
        """All of a picture."""
        return cls(image.height, image.width, side, (0, 0, image.width, image.height))

    @property
    def scale(self) -> float:
        """Pixels of the square for one of the picture."""
        left, top, right, bottom = self.window
        return self.side / max(right - left, bottom - top)

    def inner(self, side: int) -> tuple[int, int]:
        """(height, width) of the window in a square of `side` pixels; the rest of it is padding."""
        left, top, right, bottom = self.window
        longer = max(right - left, bottom - top)
        return (max(1, round(side * (bottom - top) / longer)), max(1, round(side * (right - left) / longer)))

    def pixels(self, image: Image.Image, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
        """An RGB picture -> (3, S, S) float32, normalised; padding is 0, the mean colour."""
        h, w = self.inner(self.side)
        small = image.resize((w, h), Image.Resampling.BICUBIC, box=self.window)
        levels = torch.from_numpy(np.asarray(small, np.float32) / 255)
        found = torch.zeros(3, self.side, self.side)
        found[:, :h, :w] = ((levels - torch.tensor(mean)) / torch.tensor(std)).permute(2, 0, 1)
        return found

    def points_in(self, points: Tensor) -> Tensor:
        """Points (..., 2), x and y in the picture's pixels -> the same as shares of the square, 0 to 1 inside it."""
        left, top, right, bottom = self.window
        h, w = self.inner(self.side)
        sizes = torch.tensor([(right - left) / w, (bottom - top) / h])  # rounding: not the same both ways
        return (points.float() - torch.tensor([left, top])) / sizes / self.side

    def mask_in(self, mask: Tensor, side: int) -> Tensor:
        """A map of the picture (H, W) -> (side, side) of the square, each cell the mean of what it covers; padding is
        the lowest value."""
        left, top, right, bottom = self.window
        found = torch.full((side, side), float(mask.min()))
        h, w = self.inner(side)
        cut = mask[top:bottom, left:right].float()[None, None]
        found[:h, :w] = F.interpolate(cut, size=(h, w), mode="bilinear", antialias=True)[0, 0]
        return found

    def masks_out(self, logits: Tensor, outside: float = -20.0,
                  window: tuple[int, int, int, int] | None = None) -> Tensor:
        """Maps of the square (..., s, s) -> (..., H, W) of the picture, or of a window of it; `outside` is their value
        where this frame does not see."""
        left, top, right, bottom = self.window
        *rest, s, _ = logits.shape
        h, w = self.inner(s)
        cut = logits[..., :h, :w].reshape(-1, 1, h, w)  # without the padding, whose edge would blur
        large = F.interpolate(cut, size=(bottom - top, right - left), mode="bilinear", align_corners=False)[:, 0]
        x0, y0, x1, y1 = window or (0, 0, self.width, self.height)
        found = large.new_full((len(cut), y1 - y0, x1 - x0), outside)
        a, b, c, d = max(left, x0), max(top, y0), min(right, x1), min(bottom, y1)
        if a < c and b < d:
            found[:, b - y0:d - y0, a - x0:c - x0] = large[:, b - top:d - top, a - left:c - left]
        return found.reshape(*rest, y1 - y0, x1 - x0)

    def holds(self, points: Tensor) -> Tensor:
        """Which of points (N, 2), in the picture's pixels, are in the window: (N,) bool."""
        left, top, right, bottom = self.window
        return ((points >= torch.tensor([left, top])) & (points <= torch.tensor([right, bottom]))).all(-1)

    def carried(self, logits: Tensor, other: "Frame", side: int) -> Tensor:
        """A map of this square (s, s) in another frame's square (side, side), bilinearly; the other's padding is the
        lowest value."""
        left, top, right, bottom = other.window
        h, w = other.inner(side)
        size = torch.tensor([right - left, bottom - top])
        shares = self.points_in(middles(h, w) * size + torch.tensor([left, top]))
        found = torch.full((side, side), float(logits.min()))
        found[:h, :w] = F.grid_sample(logits[None, None], 2 * shares[None] - 1, padding_mode="border",
                                      align_corners=False)[0, 0]
        return found

    def box_out(self, box: tuple[float, float, float, float], side: int) -> tuple[float, float, float, float]:
        """A box in cells of a square of `side` cells -> in the picture's pixels, inside it."""
        left, top, right, bottom = self.window
        h, w = self.inner(side)
        x, y = (right - left) / w, (bottom - top) / h
        return (left + box[0] * x, top + box[1] * y, min(left + box[2] * x, float(right)),
                min(top + box[3] * y, float(bottom)))

    def around(self, box: tuple[float, float, float, float], margin: float = 0.5) -> "Frame":
        """A square window around a box (left, top, right, bottom), with a margin of `margin` of its longer side, as far
        as the picture goes."""
        left, top, right, bottom = box
        longer = max(right - left, bottom - top, 8.0)
        half = longer * (0.5 + margin)
        x, y = (left + right) / 2, (top + bottom) / 2
        window = (max(0, int(x - half)), max(0, int(y - half)), min(self.width, int(np.ceil(x + half))),
                  min(self.height, int(np.ceil(y + half))))
        return Frame(self.height, self.width, self.side, window)
