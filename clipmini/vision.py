"""Image towers: pixels (B, 3, S, S) -> features (B, E), not yet of unit length.

VisionTransformer and ModifiedResNet are CLIP's two (paper section 2.4), with OpenAI's parameter names.
LightResNet is our small third: what two CPU cores can train on 32-pixel pictures in minutes.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmini.config import VisionConfig
from clipmini.transformer import Transformer


class VisionTransformer(nn.Module):
    """Cut the picture into patches, read them as a sequence, answer at a learned class token."""

    def __init__(self, config: VisionConfig, embed_dim: int):
        super().__init__()
        W, P = config.width, config.grid**2
        self.patch_size = config.patch_size
        self.conv1 = nn.Conv2d(3, W, config.patch_size, stride=config.patch_size, bias=False)
        self.class_embedding = nn.Parameter(W**-0.5 * torch.randn(W))
        self.positional_embedding = nn.Parameter(W**-0.5 * torch.randn(P + 1, W))
        self.ln_pre = nn.LayerNorm(W)
        self.transformer = Transformer(W, config.layers, config.heads, config.activation, config.mlp_width)
        self.ln_post = nn.LayerNorm(W)
        self.proj = nn.Parameter(W**-0.5 * torch.randn(W, embed_dim))

    def embed_patches(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) -> patch embeddings (B, P, W).

        conv1's stride equals its kernel, so it is a linear map of each patch, and a matmul is the faster way to say so.
        """
        B, C, S, _ = pixels.shape
        p, g = self.patch_size, S // self.patch_size
        patches = pixels.reshape(B, C, g, p, g, p).permute(0, 2, 4, 1, 3, 5).reshape(B, g * g, C * p * p)
        return patches @ self.conv1.weight.flatten(1).t()

    def tokens(self, pixels: Tensor) -> Tensor:
        """Class token and patches, with positions, normalised: (B, P + 1, W)."""
        patches = self.embed_patches(pixels)
        cls = self.class_embedding.expand(patches.shape[0], 1, -1)
        return self.ln_pre(torch.cat([cls, patches], dim=1) + self.positional_embedding)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.tokens(pixels)
        first = torch.zeros(x.shape[0], dtype=torch.long, device=x.device)
        return self.ln_post(self.transformer.forward_row(x, first)) @ self.proj

    def forward_features(self, pixels: Tensor) -> dict:
        """states: each layer's (B, P + 1, W); attentions: each layer's (B, H, P + 1, P + 1);
        patches: the last layer's patch tokens in the joint space (B, P, E); features: forward's answer (B, E)."""
        named = self.transformer.forward_features(self.tokens(pixels))
        projected = self.ln_post(named["states"][-1]) @ self.proj  # (B, P + 1, E)
        return {**named, "features": projected[:, 0], "patches": projected[:, 1:]}


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
        W = config.width
        self.conv1 = nn.Conv2d(3, W // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(W // 2)
        self.conv2 = nn.Conv2d(W // 2, W // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(W // 2)
        self.conv3 = nn.Conv2d(W // 2, W, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(W)
        self.avgpool = nn.AvgPool2d(2)
        inplanes = W
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
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.attnpool(self.grid_features(pixels))

    def forward_features(self, pixels: Tensor) -> dict:
        """grid: the last feature map (B, 32 * W, S / 32, S / 32); features: forward's answer (B, E)."""
        grid = self.grid_features(pixels)
        return {"grid": grid, "features": self.attnpool(grid)}


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
        W = config.width
        self.stem = nn.Sequential(nn.Conv2d(3, W, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(W), nn.ReLU())
        stages, inplanes = [], W
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

    def forward_features(self, pixels: Tensor) -> dict:
        """grid: the last feature map (B, 8W, S / 16, S / 16); patches: its cells in the joint space (B, P, E);
        features: forward's answer (B, E), which is the mean of the patches."""
        grid = self.grid_features(pixels)
        patches = self.proj(grid.flatten(2).transpose(1, 2))
        return {"grid": grid, "patches": patches, "features": patches.mean(1)}


def build_vision(config: VisionConfig, embed_dim: int) -> nn.Module:
    """The image tower that the configuration names."""
    towers = {"vit": VisionTransformer, "resnet": ModifiedResNet, "light": LightResNet}
    return towers[config.tower](config, embed_dim)
