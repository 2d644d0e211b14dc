"""Augmentation: a batch of drawings transformed, recoloured and laid on a background, as tensors in one pass."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def premultiplied(image: Image.Image, size: int) -> np.ndarray:
    """An RGBA picture as training keeps it: uint8 (size, size, 4), colours multiplied with alpha.

    Premultiplied colours resize and blend without dark seams at the edge of the drawing.
    """
    image = image.convert("RGBA").convert("RGBa")
    side = max(image.size)
    if image.size != (side, side):  # keep all of it: pad to a square with transparency
        square = Image.new("RGBa", (side, side))
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        image = square
    image = image.resize((size, size), Image.Resampling.LANCZOS if side > size else Image.Resampling.BICUBIC)
    rgba = np.frombuffer(image.tobytes(), dtype=np.uint8).reshape(size, size, 4)
    return np.minimum(rgba, rgba[..., 3:])  # Lanczos may overshoot


def _uniform(shape, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(low, high, generator=generator)


def random_affine(B: int, strength: float, generator: torch.Generator) -> Tensor:
    """Random zoom, stretch, turn, slant and shift as (B, 2, 3) for F.affine_grid. No mirroring: letters mind."""
    angle = _uniform(B, -0.35, 0.35, generator) * strength  # radians
    zoom = torch.exp(_uniform((B, 2), -0.06, 0.06, generator) * strength
                     + _uniform((B, 1), -0.25, 0.25, generator) * strength)
    slant = _uniform(B, -0.2, 0.2, generator) * strength
    shift = _uniform((B, 2), -0.16, 0.16, generator) * strength
    cos, sin = angle.cos(), angle.sin()
    rows = torch.stack([torch.stack([cos, -sin + slant, shift[:, 0]], 1),
                        torch.stack([sin, cos, shift[:, 1]], 1)], 1)  # (B, 2, 3)
    rows[:, :, :2] *= zoom[:, None]
    return rows


def random_colours(rgb: Tensor, alpha: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Mix the channels, change contrast and brightness, and now and then drop the colours.

    rgb (B, 3, S, S) premultiplied in 0..1, alpha (B, 1, S, S). Returns the same shape.
    """
    B = len(rgb)
    mix = torch.eye(3) * torch.exp(_uniform((B, 1, 1), -0.3, 0.3, generator) * strength)
    mix = mix + _uniform((B, 3, 3), -0.15, 0.15, generator) * strength
    grey = (torch.rand(B, generator=generator) < 0.15 * strength)[:, None, None]
    mix = torch.where(grey, torch.full((3, 3), 1 / 3), mix)
    offset = _uniform((B, 3, 1, 1), -0.12, 0.12, generator) * strength
    mixed = torch.bmm(mix, rgb.flatten(2)).view_as(rgb) + offset * alpha
    return torch.minimum(mixed.clamp(min=0), alpha)


def random_background(B: int, size: int, strength: float, generator: torch.Generator) -> Tensor:
    """Plain or shaded backgrounds (B, 3, size, size) in 0..1; white for about half of them, as most pictures come."""
    ends = torch.rand((B, 3, 2), generator=generator)
    shaded = torch.rand((B, 1, 1), generator=generator) < 0.5
    ends = torch.where(shaded, ends, ends[..., :1])
    white = torch.rand((B, 1, 1), generator=generator) > 0.5 * strength
    ends = torch.where(white, torch.ones(()), ends)
    ramp = torch.linspace(0, 1, size)
    line = ends[..., :1] * (1 - ramp) + ends[..., 1:] * ramp  # (B, 3, size)
    upright = torch.rand((B, 1, 1, 1), generator=generator) < 0.5
    return torch.where(upright, line[..., :, None], line[..., None, :]).expand(B, 3, size, size)


def augment(rgba: Tensor, size: int, mean, std, generator: torch.Generator,
            geometry: float = 1.0, colour: float = 1.0, background: float = 1.0) -> Tensor:
    """A training batch: transform, recolour, lay on a background, normalise. One pass for the whole batch.

    rgba: uint8 (B, S, S, 4), premultiplied. size: side of the result in pixels. geometry, colour, background:
    strengths, 0 (none, white) to 1. Returns float32 (B, 3, size, size).
    """
    x = rgba.permute(0, 3, 1, 2).float().div_(255)  # (B, 4, S, S)
    B = len(x)
    if geometry > 0 or x.shape[-1] != size:
        affine = random_affine(B, geometry, generator)
        grid = F.affine_grid(affine, [B, 4, size, size], align_corners=False)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    rgb, alpha = x[:, :3], x[:, 3:]
    if colour > 0:
        rgb = random_colours(rgb, alpha, colour, generator)
    picture = rgb + (1 - alpha) * random_background(B, size, background, generator)
    return (picture - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
