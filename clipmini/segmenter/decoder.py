"""From cells and tokens to masks: a two-way transformer (Segment Anything, Kirillov et al. 2023, appendix A).

Tokens look at one another and at the cells, the cells look back at the tokens. Then each mask token becomes the weights
of a linear map, which is asked of every pixel: "are you mine?"
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from clipmini.segmenter.encoders import DRAWN, ChannelNorm, Seen

MASKS = 4  # the first for a prompt that leaves no doubt, the others for whole, part and part of a part


class Attention(nn.Module):
    """Multi-head attention in a space of `inner` numbers, which may be fewer than `width`."""

    def __init__(self, width: int, heads: int, inner: int | None = None):
        super().__init__()
        inner, self.heads = inner or width, heads
        self.q, self.k, self.v = (nn.Linear(width, inner) for _ in range(3))
        self.out = nn.Linear(inner, width)
        with torch.no_grad():
            self.k.weight.copy_(self.q.weight)  # what is alike attends to one another from the first step on
            self.k.bias.copy_(self.q.bias)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None = None) -> Tensor:
        """q (N, T, W), k and v (N, P, W); valid (N, P) bool: which of them may be looked at -> (N, T, W)."""
        q, k, v = (layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
                   for layer, x in ((self.q, q), (self.k, k), (self.v, v)))  # (N, H, T or P, inner / H)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)  # (N, H, T, P)
        if valid is not None:
            scores = scores.masked_fill(~valid[:, None, None], float("-inf"))
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def mlp(*widths: int) -> nn.Sequential:
    """Linear maps with ReLU in between."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class TwoWayBlock(nn.Module):
    """Tokens among themselves, tokens at cells, an MLP, cells at tokens; each is added and normalised."""

    def __init__(self, width: int, heads: int, mlp_width: int):
        super().__init__()
        self.among = Attention(width, heads)
        self.at_cells, self.at_tokens = Attention(width, heads, width // 2), Attention(width, heads, width // 2)
        self.mlp = mlp(width, mlp_width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(4)])

    def forward(self, tokens: Tensor, cells: Tensor, token_places: Tensor, places: Tensor,
                valid: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (N, T, W), cells (N, P, W); what tells where they are: token_places, places, alike."""
        q = tokens + token_places
        tokens = self.norms[0](tokens + self.among(q, q, tokens, valid))
        tokens = self.norms[1](tokens + self.at_cells(tokens + token_places, cells + places, cells))
        tokens = self.norms[2](tokens + self.mlp(tokens))
        cells = self.norms[3](cells + self.at_tokens(cells + places, tokens + token_places, tokens, valid))
        return tokens, cells


class Decoded(NamedTuple):
    """logits (N, MASKS, 4h, 4w); quality (N, MASKS): the intersection over union that each mask is expected to have;
    there (N,): the logit of "what was asked for is in the picture"."""

    logits: Tensor
    quality: Tensor
    there: Tensor


class MaskDecoder(nn.Module):
    """Cells with a prompt -> MASKS masks, how good each will be, and whether the thing is there at all."""

    def __init__(self, width: int, heads: int, depth: int):
        super().__init__()
        self.learnt = nn.Parameter(0.5 * torch.randn(2 + MASKS, width))  # IoU token, "there" token, mask tokens
        self.blocks = nn.ModuleList([TwoWayBlock(width, heads, 4 * width) for _ in range(depth)])
        self.last, self.norm = Attention(width, heads, width // 2), nn.LayerNorm(width)
        self.up = nn.ModuleList([nn.ConvTranspose2d(width, width // 2, 2, 2),
                                 nn.ConvTranspose2d(width // 2, width // 4, 2, 2)])
        self.up_norm, self.activation = ChannelNorm(width // 2), nn.GELU()
        self.drawn = nn.Conv2d(DRAWN, width // 4, 1)
        self.refine = nn.Conv2d(width // 4, width // 4, 3, 1, 1)
        self.weights = nn.ModuleList([mlp(width, width, width, width // 4) for _ in range(MASKS)])
        self.quality = mlp(2 * width + width // 4 + 3, width, width, 1)
        self.there = mlp(width, width, 1)

    def forward(self, seen: Seen, tokens: Tensor, valid: Tensor, dense: Tensor, drawn: Tensor,
                places: Tensor) -> Decoded:
        """seen: N pictures, one a prompt; tokens, valid, dense, drawn: what PromptEncoder gives; places (P, W)."""
        N, W, h, w = seen.cells.shape
        learnt = self.learnt.expand(N, -1, -1)
        token_places = torch.cat([learnt, tokens], 1)
        valid = torch.cat([valid.new_ones(N, len(self.learnt)), valid], 1)
        tokens, cells = token_places, (seen.cells + dense).flatten(2).transpose(1, 2)  # (N, P, W)
        for block in self.blocks:
            tokens, cells = block(tokens, cells, token_places, places, valid)
        tokens = self.norm(tokens + self.last(tokens + token_places, cells + places, cells))
        up = self.up[0](cells.transpose(1, 2).unflatten(2, (h, w))) + seen.middle  # (N, W / 2, 2h, 2w)
        up = self.up[1](self.activation(self.up_norm(up))) + seen.fine + self.drawn(drawn)
        up = self.refine(up.relu()).relu()  # (N, W / 4, 4h, 4w)
        quality, there, masks = tokens[:, 0], tokens[:, 1], tokens[:, 2:2 + MASKS]
        weights = torch.stack([net(masks[:, i]) for i, net in enumerate(self.weights)], 1)  # (N, MASKS, W / 4)
        logits = (weights @ up.flatten(2)).unflatten(2, (4 * h, 4 * w))
        return Decoded(logits, self._quality(logits, up, quality, masks), self.there(there)[:, 0])

    def _quality(self, logits: Tensor, up: Tensor, quality: Tensor, masks: Tensor) -> Tensor:
        """A guess at each mask's IoU, from the tokens and from what is inside the mask, and how sure its edge is."""
        inside = logits.detach().float().sigmoid().flatten(2)  # (N, MASKS, pixels)
        area = inside.sum(2, keepdim=True)
        mean = inside.to(up.dtype) @ up.flatten(2).transpose(1, 2) / (area.to(up.dtype) + 1)  # (N, MASKS, W / 4)
        sure = (2 * inside - 1).abs()
        facts = torch.cat([area / inside.shape[2], sure.mean(2, keepdim=True),
                           (sure * inside).sum(2, keepdim=True) / (area + 1)], 2)
        told = torch.cat([quality[:, None].expand_as(masks), masks, mean, facts.to(mean.dtype)], 2)
        return self.quality(told)[..., 0].float().sigmoid()
