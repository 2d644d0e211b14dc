"""Image towers: pixels (B, 3, S, S) -> features (B, E), not yet of unit length.

VisionTransformer and ModifiedResNet are CLIP's two (paper section 2.4), with OpenAI's parameter names.
LightResNet is our small third: what two CPU cores can train on 32-pixel pictures in minutes.
"""

import math
from collections import OrderedDict
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmini.config import VisionConfig
from clipmini.transformer import Transformer, attend


class ImageTower(Protocol):
    """What a tower says of its cells, each a place of the picture, `stride` pixels wide. W is the width of a cell's
    vector; h and w count cells, P = h * w. All three may be others before the last block."""

    stride: int

    def forward_features(self, pixels: Tensor) -> dict:
        """pixels (B, 3, S, S) -> grid_before, grid (B, W, h, w): the cells before and after the last block; patches
        (B, P, E): the cells of `grid` in the joint space; features (B, E): the pooled vector, forward's answer; read
        (B, T, W): what the last block reads, its cells last; attentions: (B, H, T, T) of each layer that has one, the
        pooling token first. The gradient of `features` reaches `read` and `attentions`."""

    def joint(self, cells: Tensor) -> Tensor:
        """Vectors of `grid` (..., W) -> the joint space (..., E)."""

    def value_cells(self, pixels: Tensor) -> Tensor:
        """What each cell alone would hand to the pooled vector: it sees itself only in the last block -> (B, P, E)."""

    def surgery_cells(self, pixels: Tensor) -> Tensor:
        """The cells where values look at values in place of queries at keys (CLIP Surgery) -> (B, P, E)."""


def interpolated(positions: Tensor, grid: int) -> Tensor:
    """Position embeddings (1 + old * old, W) -> (1 + grid * grid, W), bicubically (ViT, Dosovitskiy et al. 2021,
    section 3.2). The first row, the class token's or the mean's, stays."""
    first, cells = positions[:1], positions[1:]
    old = math.isqrt(len(cells))
    if old == grid:
        return positions
    cells = cells.t().reshape(1, -1, old, old)
    cells = F.interpolate(cells, size=(grid, grid), mode="bicubic", align_corners=False, antialias=grid < old)
    return torch.cat([first, cells.flatten(2)[0].t()])


def as_grid(cells: Tensor) -> Tensor:
    """(B, P, W) -> (B, W, h, w) of a square picture."""
    return cells.transpose(1, 2).unflatten(2, (math.isqrt(cells.shape[1]), -1))


def as_cells(grid: Tensor) -> Tensor:
    """(B, W, h, w) -> (B, P, W)."""
    return grid.flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """Cut the picture into patches, read them as a sequence, answer at a learned class token."""

    def __init__(self, config: VisionConfig, embed_dim: int):
        super().__init__()
        W, P = config.width, config.grid**2
        self.stride = self.patch_size = config.patch_size
        self.conv1 = nn.Conv2d(3, W, config.patch_size, stride=config.patch_size, bias=False)
        self.class_embedding = nn.Parameter(W**-0.5 * torch.randn(W))
        self.positional_embedding = nn.Parameter(W**-0.5 * torch.randn(P + 1, W))
        self.ln_pre = nn.LayerNorm(W, config.eps)
        assert isinstance(config.layers, int)  # VisionConfig saw to it
        self.transformer = Transformer(W, config.layers, config.heads, config.activation, config.mlp_width, config.eps)
        self.ln_post = nn.LayerNorm(W, config.eps)
        self.proj = nn.Parameter(W**-0.5 * torch.randn(W, embed_dim))

    def embed_patches(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) -> patch embeddings (B, P, W).

        conv1's stride equals its kernel, so it is a linear map of each patch, and a matmul is the faster way to say so.
        """
        B, C, S, _ = pixels.shape
        p, g = self.stride, S // self.stride
        patches = pixels.reshape(B, C, g, p, g, p).permute(0, 2, 4, 1, 3, 5).reshape(B, g * g, C * p * p)
        return patches @ self.conv1.weight.flatten(1).t()

    def tokens(self, pixels: Tensor) -> Tensor:
        """Class token and patches, with positions, normalised: (B, P + 1, W), for any side that the patches divide."""
        patches = self.embed_patches(pixels)
        cls = self.class_embedding.expand(patches.shape[0], 1, -1)
        positions = interpolated(self.positional_embedding, pixels.shape[-1] // self.stride)
        return self.ln_pre(torch.cat([cls, patches], dim=1) + positions)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.tokens(pixels)
        first = torch.zeros(x.shape[0], dtype=torch.long, device=x.device)
        return self.ln_post(self.transformer.forward_row(x, first)) @ self.proj

    def joint(self, cells: Tensor) -> Tensor:
        """Tokens (..., W) -> the joint space (..., E)."""
        return self.ln_post(cells) @ self.proj

    def forward_features(self, pixels: Tensor) -> dict:
        """What ImageTower promises, and states: each layer's (B, P + 1, W)."""
        named = self.transformer.forward_features(self.tokens(pixels))
        (before, after), last = named["states"][-2:], self.transformer.resblocks[-1]
        # The class token once more by itself, so that a gradient need not pass through all others in the last block.
        row = before[:, :1] + last.attn.merge(named["attentions"][-1][:, :, :1] @ named["values"][-1])
        return {**named, "read": named["read"][-1], "grid_before": as_grid(before[:, 1:]),
                "grid": as_grid(after[:, 1:]), "patches": self.joint(after[:, 1:]),
                "features": self.joint(row + last.mlp(last.ln_2(row)))[:, 0]}

    def value_cells(self, pixels: Tensor) -> Tensor:
        """The last block with each token seeing itself only (MaskCLIP: Zhou et al. 2022, section 3.2) -> (B, P, E)."""
        *blocks, last = self.transformer.resblocks
        x = self.tokens(pixels)
        for block in blocks:
            x = block(x)
        x = x + last.attn.merge(last.attn.project(last.ln_1(x))[2])
        return self.joint(x + last.mlp(last.ln_2(x)))[:, 1:]

    def surgery_cells(self, pixels: Tensor) -> Tensor:
        """Value-value attention beside the second half of the blocks, without MLPs (Li et al. 2023, section 3.2)."""
        x, blocks = self.tokens(pixels), self.transformer.resblocks
        for block in blocks[:len(blocks) // 2]:
            x = block(x)
        beside = x
        for block in blocks[len(blocks) // 2:]:
            v = block.attn.project(block.ln_1(x))[2]
            beside = beside + block.attn.merge(attend(v, v, v))
            x = block(x)
        return self.joint(beside)[:, 1:]


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a shortcut; strides are average pools, so that no pixel is skipped."""

    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.downsample = None
        if stride > 1 or inplanes != planes * self.expansion:
            self.downsample = nn.Sequential(OrderedDict([
                ("-1", nn.AvgPool2d(stride)),
                ("0", nn.Conv2d(inplanes, planes * self.expansion, 1, bias=False)),
                ("1", nn.BatchNorm2d(planes * self.expansion)),
            ]))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(self.avgpool(x)))
        return F.relu(x + shortcut)


class AttentionPool2d(nn.Module):
    """One attention layer whose only query is the mean of the grid: a learned average."""

    def __init__(self, cells: int, width: int, heads: int, output_dim: int):
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(width**-0.5 * torch.randn(cells + 1, width))
        self.k_proj, self.q_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.c_proj = nn.Linear(width, output_dim)
        for layer in (self.k_proj, self.q_proj, self.v_proj, self.c_proj):
            nn.init.normal_(layer.weight, std=width**-0.5)

    def forward(self, grid: Tensor) -> Tensor:
        """grid (B, W, h, w) -> (B, E)."""
        B, W = grid.shape[:2]
        cells = grid.flatten(2).transpose(1, 2)  # (B, P, W)
        x = torch.cat([cells.mean(1, keepdim=True), cells], dim=1) + self.positional_embedding
        q, k, v = (layer(t).view(B, -1, self.heads, W // self.heads).transpose(1, 2)
                   for layer, t in ((self.q_proj, x[:, :1]), (self.k_proj, x), (self.v_proj, x)))
        pooled = F.scaled_dot_product_attention(q, k, v)  # (B, H, 1, W/H)
        return self.c_proj(pooled.transpose(1, 2).flatten(1))


class ModifiedResNet(nn.Module):
    """CLIP's ResNet: a three-convolution stem, anti-aliased strides, attention pooling."""

    def __init__(self, config: VisionConfig, embed_dim: int):
        super().__init__()
        W, self.stride = config.width, 32
        self.conv1 = nn.Conv2d(3, W // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(W // 2)
        self.conv2 = nn.Conv2d(W // 2, W // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(W // 2)
        self.conv3 = nn.Conv2d(W // 2, W, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(W)
        self.avgpool = nn.AvgPool2d(2)
        inplanes = W
        assert isinstance(config.layers, tuple)  # VisionConfig saw to it
        for i, blocks in enumerate(config.layers):
            planes = W * 2**i
            strides = [1 if i == 0 else 2] + [1] * (blocks - 1)
            stage = []
            for stride in strides:
                stage.append(Bottleneck(inplanes, planes, stride))
                inplanes = planes * Bottleneck.expansion
                nn.init.zeros_(stage[-1].bn3.weight)  # each block starts as its shortcut
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.attnpool = AttentionPool2d(config.grid**2, inplanes, config.heads, embed_dim)

    def grid_features(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) -> (B, 32 * W, S / 32, S / 32)."""
        x = F.relu(self.bn1(self.conv1(pixels)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = self.avgpool(F.relu(self.bn3(self.conv3(x))))
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(self, stage)(x)
        return x

    def forward(self, pixels: Tensor) -> Tensor:
        return self.attnpool(self.grid_features(pixels))

    def joint(self, cells: Tensor) -> Tensor:
        """What the attention pool gathers for a cell (..., 32 * W) -> the joint space (..., E)."""
        return self.attnpool.c_proj(cells)

    def pool_tokens(self, grid: Tensor) -> Tensor:
        """What the attention pool reads, for any square grid (B, 32 W, h, h): its mean and its cells (B, P + 1, 32
        W)."""
        cells, positions = as_cells(grid), interpolated(self.attnpool.positional_embedding, grid.shape[-1])
        return torch.cat([cells.mean(1, keepdim=True), cells], dim=1) + positions

    def heads(self, x: Tensor) -> Tensor:
        """(B, T, 32 W) -> (B, H, T, 32 W / H), for the attention pool."""
        return x.unflatten(2, (self.attnpool.heads, -1)).transpose(1, 2)

    def forward_features(self, pixels: Tensor) -> dict:
        """What ImageTower promises. The last block is the attention pool, asked by the mean and by each cell."""
        pool, before = self.attnpool, self.grid_features(pixels)
        read = as_cells(before)  # (B, P, 32 W)
        x = self.pool_tokens(as_grid(read))
        q, k, v = self.heads(pool.q_proj(x)), self.heads(pool.k_proj(x)), self.heads(pool.v_proj(x))
        attention = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)  # (B, H, P + 1, P + 1)
        mean, cells = ((rows @ v).transpose(1, 2).flatten(2) for rows in (attention[:, :, :1], attention[:, :, 1:]))
        return {"grid_before": before, "grid": as_grid(cells), "read": read, "attentions": [attention],
                "features": self.joint(mean)[:, 0], "patches": self.joint(cells)}

    def value_cells(self, pixels: Tensor) -> Tensor:
        """The pool's values without its attention (MaskCLIP) -> (B, P, E)."""
        return self.joint(self.attnpool.v_proj(self.pool_tokens(self.grid_features(pixels))))[:, 1:]

    def surgery_cells(self, pixels: Tensor) -> Tensor:
        """The pool's values looking at one another -> (B, P, E)."""
        v = self.heads(self.attnpool.v_proj(self.pool_tokens(self.grid_features(pixels))))
        return self.joint(attend(v, v, v).transpose(1, 2).flatten(2))[:, 1:]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al. 2015)."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride > 1 or inplanes != planes:
            self.shortcut = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride=stride, bias=False),
                                          nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class LightResNet(nn.Module):
    """A ResNet for small pictures: stride-2 stem, four stages of width W, 2W, 4W, 8W, mean pooling."""

    def __init__(self, config: VisionConfig, embed_dim: int):
        super().__init__()
        W, self.stride = config.width, 16
        self.stem = nn.Sequential(nn.Conv2d(3, W, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(W), nn.ReLU())
        stages, inplanes = [], W
        assert isinstance(config.layers, tuple)
        for i, blocks in enumerate(config.layers):
            for j in range(blocks):
                stages.append(BasicBlock(inplanes, W * 2**i, stride=2 if i and j == 0 else 1))
                inplanes = W * 2**i
        self.stages = nn.Sequential(*stages)
        self.proj = nn.Linear(inplanes, embed_dim, bias=False)

    def grid_features(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) -> (B, 8W, S / 16, S / 16)."""
        # Channels-last memory is what the CPU's convolution kernels want: 1.5 times faster on AVX2.
        return self.stages(self.stem(pixels.contiguous(memory_format=torch.channels_last)))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.proj(self.grid_features(pixels).mean((2, 3)))

    def joint(self, cells: Tensor) -> Tensor:
        """Cells (..., 8W) -> the joint space (..., E)."""
        return self.proj(cells)

    def forward_features(self, pixels: Tensor) -> dict:
        """What ImageTower promises; there is no attention, and features is the mean of the patches."""
        before = self.stages[:-1](self.stem(pixels.contiguous(memory_format=torch.channels_last)))
        grid = self.stages[-1](before)
        read = as_cells(grid)
        patches = self.proj(read)
        return {"grid_before": before, "grid": grid, "read": read, "attentions": [], "patches": patches,
                "features": patches.mean(1)}

    def value_cells(self, pixels: Tensor) -> Tensor:
        """The patches: each is what its cell adds to the mean already."""
        return self.forward_features(pixels)["patches"]

    surgery_cells = value_cells


def build_vision(config: VisionConfig, embed_dim: int) -> VisionTransformer | ModifiedResNet | LightResNet:
    """The image tower that the configuration names."""
    if config.tower == "vit":
        return VisionTransformer(config, embed_dim)
    return (ModifiedResNet if config.tower == "resnet" else LightResNet)(config, embed_dim)
