"""What the mask decoder reads: a picture as cells, a prompt as tokens and as a map.

The picture is encoded once, a prompt in a thousandth of that: so that clicks are answered at once (Segment Anything,
Kirillov et al. 2023, section 3). New here are words: CLIP's text vector is a token, and where the picture's cells agree
with it is a map beside the cells.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POSITIVE, NEGATIVE, CORNER, OPPOSITE, NOT_A_POINT = range(5)  # types of points


class ChannelNorm(nn.GroupNorm):
    """LayerNorm over all of a map, with a gain for each channel."""

    def __init__(self, channels: int):
        super().__init__(1, channels)


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3, normalised, GELU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), ChannelNorm(outputs), nn.GELU())


class Seen(NamedTuple):
    """A picture as the decoder reads it. cells: (B, W, h, w), eight pixels each; middle, fine: the same in four and in
    two pixels, (B, W / 2, 2h, 2w) and (B, W / 4, 4h, 4w); unit_cells, unit_fine: the same as unit vectors, to be
    compared with one another; joint: (B, E, h, w) unit vectors to be asked with words; patches: those of the
    tower's own cells."""

    cells: Tensor
    middle: Tensor
    fine: Tensor
    unit_cells: Tensor
    unit_fine: Tensor
    joint: Tensor
    patches: Tensor

    def repeated(self, n: int) -> "Seen":
        """Each picture n times in a row: (B n, ...)."""
        return Seen(*(t[:, None].expand(-1, n, -1, -1, -1).flatten(0, 1) for t in self))


class ImageEncoder(nn.Module):
    """A CLIP image tower's cells, which know what things are, in a pyramid with fine ones that know where they end."""

    def __init__(self, tower: Any, widths: tuple[int, int], embed_dim: int, width: int):
        super().__init__()
        self.tower = tower
        self.stem = nn.Sequential(convolution(3, width // 8, 2), convolution(width // 8, width // 8))
        self.down = nn.ModuleList([convolution(width // 8, width // 4, 2), convolution(width // 4, width // 2, 2)])
        self.before, self.after = nn.Conv2d(widths[0], width, 1), nn.Conv2d(widths[1], width, 1)
        self.own = nn.Conv2d(width // 2, width, 1)
        self.mix = nn.Sequential(ChannelNorm(width), convolution(width, width))
        self.to_middle, self.to_fine = nn.Conv2d(width // 4, width // 2, 1), nn.Conv2d(width // 8, width // 4, 1)
        self.norm, self.joint = ChannelNorm(width), nn.Conv2d(width, embed_dim, 1)

    def forward(self, pixels: Tensor) -> Seen:
        """pixels (B, 3, S, S), S a multiple of the tower's stride and of 8 -> Seen with h = w = S / 8."""
        side = (pixels.shape[-1] // 8,) * 2
        found = self.tower.forward_features(pixels)
        fine = self.stem(pixels.contiguous(memory_format=torch.channels_last))
        middle = self.down[0](fine)
        cells = (self.own(self.down[1](middle)) + resized(self.before(found["grid_before"]), side)
                 + resized(self.after(found["grid"]), side))
        cells = cells + self.mix(cells)
        patches = found["patches"].transpose(1, 2).unflatten(2, found["grid"].shape[2:])  # (B, E, h, w)
        cells, fine = self.norm(cells), self.to_fine(fine)
        units = (F.normalize(x, dim=1) for x in (cells, fine, self.joint(cells), resized(patches, side)))
        return Seen(cells, self.to_middle(middle), fine, *units)


def resized(x: Tensor, side: tuple[int, int]) -> Tensor:
    """Maps (B, W, h, w) at another size, bilinearly."""
    return x if x.shape[2:] == side else F.interpolate(x, size=side, mode="bilinear", align_corners=False)


class Prompts(NamedTuple):
    """A batch of N prompts. points (N, T, 2): shares of the square; types (N, T): one of the types above, -1 where
    there is none; texts (N, E): CLIP's unit vectors, 0 for none; masks (N, 1, 4h, 4w): between -1 (outside) and 1;
    masked (N,) bool: which of them count."""

    points: Tensor
    types: Tensor
    texts: Tensor
    masks: Tensor
    masked: Tensor

    def __len__(self) -> int:
        return len(self.points)


DRAWN = 7  # maps of a prompt: mask, positive points, negative ones, box, likeness to either kind, and to what is around
DOT = 0.02  # of the square's side: how wide a point is drawn
AROUND = 0.06  # of a box's sides: how far outside of it are the points that show what surrounds it


class PromptEncoder(nn.Module):
    """Points, boxes and words -> tokens; all of them, and masks -> maps to add to the picture.

    Segment Anything has tokens for points and boxes, and maps for masks only. A small model learns much sooner where
    everything is drawn as well: a dot for a click, a filled box, and, as for words, where the picture is like what was
    clicked.
    """

    directions: Tensor

    def __init__(self, embed_dim: int, width: int):
        super().__init__()
        self.register_buffer("directions", torch.randn(2, width // 2))  # random Fourier features (Tancik et al. 2020)
        self.types = nn.Embedding(5, width)
        self.text = nn.Linear(embed_dim, width)
        self.mask = nn.Sequential(nn.Conv2d(DRAWN, width // 8, 2, 2), ChannelNorm(width // 8), nn.GELU(),
                                  nn.Conv2d(width // 8, width // 4, 2, 2), ChannelNorm(width // 4), nn.GELU(),
                                  nn.Conv2d(width // 4, width, 1))
        self.map = nn.Sequential(nn.Conv2d(6, width // 4, 3, 1, 1), nn.GELU(), nn.Conv2d(width // 4, width, 1))

    def positions(self, points: Tensor) -> Tensor:
        """Points (..., 2) as shares of the square -> (..., W): sines and cosines of random directions."""
        angles = 2 * math.pi * ((2 * points - 1) @ self.directions)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def grid(self, h: int, w: int) -> Tensor:
        """The positions of the middles of h x w cells: (h w, W)."""
        return self.positions(middles(h, w).flatten(0, 1))

    def tokens(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """-> (N, T + 2, W) and which of them count, (N, T + 2) bool: points, "not a point" where there is none, and
        the words."""
        there = prompts.types >= 0  # (N, T)
        points = self.positions(prompts.points) + self.types(prompts.types.clamp(min=0))
        none = self.types.weight[NOT_A_POINT].expand(len(prompts), 1, -1)
        worded = prompts.texts.abs().sum(1, keepdim=True) > 0  # (N, 1)
        return (torch.cat([points, none, self.text(prompts.texts)[:, None]], 1),
                torch.cat([there, ~there.any(1, keepdim=True), worded], 1))

    def agreement(self, seen: Seen, texts: Tensor) -> Tensor:
        """Where the cells agree with the words: cosines (N, 2, h, w), and how far each stands out of the picture's
        (N, 2, h, w), in standard deviations -> (N, 4, h, w); 0 where there are no words."""
        cosines = torch.stack([(vectors * texts[..., None, None]).sum(1) for vectors in (seen.patches, seen.joint)], 1)
        mean, spread = cosines.mean((2, 3), keepdim=True), cosines.std((2, 3), keepdim=True)
        return torch.cat([cosines, (cosines - mean) / (spread + 1e-4)], 1)

    def drawn(self, prompts: Prompts, fine: Tensor) -> Tensor:
        """A prompt as maps (N, DRAWN, 4h, 4w). fine (N, C, 4h, 4w): unit vectors."""
        places = middles(*fine.shape[2:])  # (4h, 4w, 2)
        positive, negative = prompts.types == POSITIVE, prompts.types == NEGATIVE
        far = (prompts.points[:, :, None, None] - places).square().sum(-1)  # (N, T, 4h, 4w)
        dots = (far * (-1 / DOT**2)).exp()
        likeness = alike(fine, prompts.points)
        maps = [prompts.masks[:, 0] * prompts.masked[:, None, None], highest(dots, positive, 0),
                highest(dots, negative, 0), filled(prompts, places), highest(likeness, positive, -1),
                highest(likeness, negative, -1), surroundings(prompts, fine)]
        return torch.stack([m.to(fine.dtype) for m in maps], 1)

    def forward(self, prompts: Prompts, seen: Seen) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """-> tokens (N, T + 2, W), which of them count, the map (N, W, h, w) to add to the cells, and the prompt as
        maps of fine cells (N, DRAWN, 4h, 4w)."""
        tokens, valid = self.tokens(prompts)
        drawn, likeness = self.drawn(prompts, seen.unit_fine), alike(seen.unit_cells, prompts.points)
        coarse = torch.stack([highest(likeness, prompts.types == kind, 0) for kind in (POSITIVE, NEGATIVE)], 1)
        maps = torch.cat([self.agreement(seen, prompts.texts), coarse.to(seen.joint.dtype)], 1)
        return tokens, valid, self.mask(drawn) + self.map(maps), drawn


def middles(h: int, w: int) -> Tensor:
    """The middles (h, w, 2) of cells, x and y, as shares of the square."""
    y, x = torch.meshgrid((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w, indexing="ij")
    return torch.stack([x, y], -1)


def alike(maps: Tensor, points: Tensor) -> Tensor:
    """Cosines of all cells of maps (N, C, h, w), unit vectors, with the cells under points (N, T, 2): (N, T, h, w)."""
    N, _, h, w = maps.shape
    flat = maps.flatten(2)  # (N, C, P)
    size = torch.tensor([w, h])
    x, y = (points * size).floor().long().clamp(min=0).minimum(size - 1).unbind(-1)
    chosen = flat.gather(2, (y * w + x)[:, None].expand(-1, flat.shape[1], -1))  # (N, C, T)
    return (chosen.transpose(1, 2) @ flat).unflatten(2, (h, w))


def highest(maps: Tensor, chosen: Tensor, none: float) -> Tensor:
    """The largest of maps (N, T, h, w), of those that are chosen (N, T); `none` where no one is -> (N, h, w)."""
    found = maps.masked_fill(~chosen[..., None, None], -2.0).amax(1)
    return torch.where(chosen.any(1)[:, None, None], found, none)


def filled(prompts: Prompts, places: Tensor) -> Tensor:
    """1 inside the prompts' boxes, 0 outside -> (N, 4h, 4w)."""
    found = torch.zeros(len(prompts), *places.shape[:2])
    rows, first = (prompts.types == CORNER).nonzero().unbind(1)
    low, high = prompts.points[rows, first], prompts.points[rows, first + 1]
    found[rows] = ((places >= low[:, None, None]) & (places < high[:, None, None])).all(-1).float()
    return found


def surroundings(prompts: Prompts, fine: Tensor) -> Tensor:
    """How like each cell is to what lies just around the prompts' boxes -> (N, 4h, 4w); -1 where there is no box."""
    found = fine.new_full((len(fine), *fine.shape[2:]), -1)
    rows, first = (prompts.types == CORNER).nonzero().unbind(1)
    if len(rows):
        low, high = prompts.points[rows, first], prompts.points[rows, first + 1]
        along = torch.tensor([[0, 0], [1, 0], [2, 0], [3, 0], [3, 1], [3, 2], [3, 3], [2, 3], [1, 3], [0, 3], [0, 2],
                              [0, 1]]) / 3
        ring = low[:, None] + (high - low)[:, None] * (along * (1 + 2 * AROUND) - AROUND)
        inside = (ring >= 0).all(-1) & (ring < 1).all(-1)
        found = found.index_put((rows,), highest(alike(fine[rows], ring), inside, -1))
    return found
