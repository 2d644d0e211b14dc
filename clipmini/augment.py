"""Augmentation: a batch of drawings turned, recoloured and laid on a background, and some of them sketched by hand."""

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


def outlines(rgb: Tensor, alpha: Tensor) -> Tensor:
    """Where a drawing changes its colour or ends: rgb (B, 3, S, S) premultiplied, alpha (B, 1, S, S) -> (B, 1, S, S), 0
    to 1. By Sobel's filters, the strongest of the four channels, in parts of each picture's own strong edges."""
    x = torch.cat([rgb, alpha], 1)
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    filters = torch.stack([across, across.t()])[:, None].repeat(4, 1, 1, 1)
    slopes = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), filters, groups=4)
    steep = slopes.view(len(x), 4, 2, *x.shape[2:]).square().sum(2).sqrt().amax(1, keepdim=True)
    strong = steep.flatten(1).quantile(0.97, dim=1).clamp(min=0.05)
    return (steep / strong.view(-1, 1, 1, 1)).clamp(max=1)


def _warp(size: int, bend: Tensor, tilt: Tensor | None = None) -> Tensor:
    """A grid for F.grid_sample: bend (B, 2, k, k) moves its places smoothly; tilt (B, 2) looks at it from the side."""
    B, ramp = len(bend), torch.linspace(-1 + 1 / size, 1 - 1 / size, size)
    grid = torch.stack(torch.meshgrid(ramp, ramp, indexing="xy"), -1).expand(B, size, size, 2)
    if tilt is not None:
        far = 1 + (grid * tilt[:, None, None]).sum(-1, keepdim=True)
        grid = grid / far
    return grid + F.interpolate(bend, size=(size, size), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def _one_of(shares: tuple[float, ...], B: int, generator: torch.Generator) -> Tensor:
    """Which of the kinds each picture gets (B,)."""
    return torch.multinomial(torch.tensor(shares), B, replacement=True, generator=generator)


def strokes(rgb: Tensor, alpha: Tensor, generator: torch.Generator) -> Tensor:
    """What a hand draws of it, as the part of each pixel that ink covers (B, 1, S, S): its outlines in many widths, by
    pen, pencil or chalk, and now and then scribbled full, or a silhouette."""
    B, _, size, _ = rgb.shape
    bend = _uniform((B, 2, 5, 5), -1.2, 1.2, generator) * 2 / size
    moved = F.grid_sample(torch.cat([rgb, alpha], 1), _warp(size, bend), padding_mode="zeros", align_corners=False)
    line = outlines(moved[:, :3], moved[:, 3:])
    low = _uniform((B, 1, 1, 1), 0.25, 0.6, generator)  # faint edges are drawn or not
    line = ((line - low) / 0.25).clamp(0, 1)
    wide = torch.stack([line, F.avg_pool2d(line, 3, 1, 1) * 1.5, F.max_pool2d(line, 3, 1, 1)], 1).clamp(max=1)
    line = wide[torch.arange(B), _one_of((0.45, 0.25, 0.3), B, generator)]
    grain = F.interpolate(torch.rand((B, 1, size // 2, size // 2), generator=generator), size=(size, size))
    dry = _uniform((B, 1, 1, 1), 0.0, 1.0, generator) * (torch.rand((B, 1, 1, 1), generator=generator) < 0.5)
    line = line * (1 - dry * grain)
    inside = moved[:, 3:]
    angle, wave = _uniform((B, 1, 1), 0, np.pi, generator), _uniform((B, 1, 1), 0.9, 2.2, generator)
    x = torch.arange(size, dtype=torch.float32)
    phase = x * angle.cos() + x[:, None] * angle.sin() + 2 * bend[:, :1, :1, 0] * size
    hatch = (torch.sin(phase * wave) > 0.2).float()[:, None] * inside * (1 - moved[:, :3].mean(1, keepdim=True))
    kind = _one_of((0.62, 0.22, 0.16), B, generator).view(B, 1, 1, 1)  # lines; scribbled; silhouette
    return torch.where(kind == 1, torch.maximum(line, 0.8 * hatch), torch.where(kind == 2, inside, line))


def grounds(B: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What is drawn on and in what ink, (B, 3, size, size) and (B, 3, 1, 1), 0 to 1. White and yellowish paper, squared
    and ruled paper, a blackboard; ink is dark, or of one colour, and chalk is pale."""
    kind = _one_of((0.5, 0.15, 0.15, 0.2), B, generator).view(B, 1, 1, 1)  # white, paper, squared, board
    paper = 1 - _uniform((B, 3, 1, 1), 0.0, 0.2, generator) * torch.tensor([0.5, 0.7, 1.0]).view(3, 1, 1)
    board = _uniform((B, 3, 1, 1), 0.03, 0.25, generator)
    ground = torch.where(kind == 0, torch.ones(()), torch.where(kind == 3, board, paper)).expand(B, 3, size, size)
    step, start = _uniform((B, 1, 1, 1), 4, 12, generator), _uniform((B, 2, 1, 1), 0, 12, generator)
    x = torch.arange(size, dtype=torch.float32)
    ruled = ((x[:, None] + start[:, :1]) % step < 1)
    squared = ruled | ((x + start[:, 1:]) % step < 1) & (torch.rand((B, 1, 1, 1), generator=generator) < 0.7)
    ground = ground - (0.25 * (squared & (kind == 2)) * torch.tensor([1.0, 0.6, 0.3]).view(3, 1, 1))
    one_colour = torch.rand((B, 1, 1, 1), generator=generator) < 0.3
    ink = torch.where(one_colour, _uniform((B, 3, 1, 1), 0, 0.8, generator), _uniform((B, 1, 1, 1), 0, 0.35, generator))
    return ground, torch.where(kind == 3, 1 - 0.4 * ink, ink)


def sketched(rgb: Tensor, alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Drawings as somebody sketches them on paper or a board, seen a little from the side in uneven light.

    rgb (B, 3, S, S) premultiplied, alpha (B, 1, S, S), 0 to 1. Returns opaque pictures (B, 3, S, S), 0 to 1.
    """
    B, _, size, _ = rgb.shape
    covered = strokes(rgb, alpha, generator)
    ground, ink = grounds(B, size, generator)
    picture = ground + covered * (ink - ground)
    negative = torch.rand((B, 1, 1, 1), generator=generator) < 0.05
    picture = torch.where(negative, 1 - picture, picture)
    tilt = _uniform((B, 2), -0.15, 0.15, generator)
    seen = _warp(size, torch.zeros(B, 2, 2, 2), tilt)
    picture = F.grid_sample(picture, seen, padding_mode="border", align_corners=False)
    ends = _uniform((B, 2, 1, 1), 0.75, 1.0, generator)
    slope = torch.linspace(0, 1, size)
    light = (ends[:, :1] * (1 - slope) + ends[:, 1:] * slope).expand(B, 1, size, size)
    lit, turned = (torch.rand((2, B, 1, 1, 1), generator=generator) < 0.5).unbind()
    return torch.where(lit, picture * torch.where(turned, light.transpose(2, 3), light), picture).clamp(0, 1)


def augment(rgba: Tensor, size: int, mean, std, generator: torch.Generator,
            geometry: float = 1.0, colour: float = 1.0, background: float = 1.0, sketch: float = 0.0) -> Tensor:
    """A training batch: transform, recolour, lay on a background, normalise. One pass for the whole batch.

    rgba: uint8 (B, S, S, 4), premultiplied. size: side of the result in pixels. geometry, colour, background:
    strengths, 0 (none, white) to 1; sketch: the share of the pictures that become sketches, 0 to 1. Returns float32
    (B, 3, size, size).
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
    if sketch > 0:
        chosen = torch.rand(B, generator=generator) < sketch
        if chosen.any():
            picture[chosen] = sketched(rgb[chosen], alpha[chosen], generator)
    return (picture - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
