"""The Transformer of both towers: attention, MLP, residual block, stack. Pre-norm, batch first.

Parameter names are OpenAI CLIP's, so that published weights load without a table.
Not here: dropout and key/value caches. CLIP needs neither.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the activation of OpenAI's weights, written as one silu kernel.

    >>> round(QuickGELU()(torch.tensor(1.0)).item(), 4)
    0.8458
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x * 1.702) / 1.702


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2.2). Same parameters as nn.MultiheadAttention."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.zeros_(self.out_proj.bias)

    def _split(self, x: Tensor) -> Tensor:
        B, T, W = x.shape
        return x.view(B, T, self.heads, W // self.heads).transpose(1, 2)  # (B, H, T, W/H)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of all heads, each (B, H, T, W/H)."""
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        return self._split(q), self._split(k), self._split(v)

    def project_row(self, x: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of row (B, 1, W), keys and values of x (B, T, W): (B, H, 1, W/H) and twice (B, H, T, W/H)."""
        W = x.shape[-1]
        weight_q, weight_kv = self.in_proj_weight.split([W, 2 * W])
        bias_q, bias_kv = self.in_proj_bias.split([W, 2 * W])
        k, v = F.linear(x, weight_kv, bias_kv).chunk(2, dim=-1)
        return self._split(F.linear(row, weight_q, bias_q)), self._split(k), self._split(v)

    def merge(self, heads: Tensor) -> Tensor:
        """Concatenate the heads (B, H, T, W/H) and mix them -> (B, T, W)."""
        return self.out_proj(heads.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, causal: bool = False, mask: Tensor | None = None) -> Tensor:
        """x (B, T, W) -> the same. causal: a token sees itself and those before it; mask (T, T): True where it sees."""
        q, k, v = self.project(x)
        return self.merge(attend(q, k, v, is_causal=causal, attn_mask=mask))

    def forward_row(self, x: Tensor, rows: Tensor, causal: bool = False) -> Tensor:
        """The same for one query a sequence: x (B, T, W), rows (B,) positions -> (B, 1, W). The last block of a tower
        is read at one token only; the other T - 1 queries are work for nothing."""
        q, k, v = self.project_row(x, pick_rows(x, rows))
        past = (torch.arange(x.shape[1], device=x.device) <= rows[:, None])[:, None, None] if causal else None
        return self.merge(attend(q, k, v, attn_mask=past))  # past: (B, 1, 1, T)

    def weights(self, x: Tensor, causal: bool = False) -> Tensor:
        """The attention probabilities (B, H, T, T) that forward uses but never shows."""
        return self.forward_parts(x, causal)[1]

    def forward_parts(self, x: Tensor, causal: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """forward's answer (B, T, W), and the probabilities (B, H, T, T) and values (B, H, T, W/H) that make it."""
        q, k, v = self.project(x)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if causal:
            future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        weights = scores.softmax(dim=-1)
        return self.merge(weights @ v), weights, v


def attend(q: Tensor, k: Tensor, v: Tensor, **options) -> Tensor:
    """softmax(q k^T / sqrt(width)) v for (B, H, T, W/H); on a CPU in float32 even where the rest is bfloat16."""
    if q.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return F.scaled_dot_product_attention(q, k, v, **options)
    with torch.autocast("cpu", enabled=False):  # torch 2.13's bfloat16 kernel takes ten times as long backward
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), **options)


def pick_rows(x: Tensor, rows: Tensor) -> Tensor:
    """One row of each sequence: x (B, T, W), rows (B,) -> (B, 1, W)."""
    return x[torch.arange(x.shape[0], device=x.device), rows][:, None]


class MLP(nn.Module):
    """Two linear layers with `hidden` units between them; 0 is four times the width."""

    def __init__(self, width: int, activation_name: str, hidden: int = 0):
        super().__init__()
        self.c_fc = nn.Linear(width, hidden or 4 * width)
        self.act = QuickGELU() if activation_name == "quick_gelu" else nn.GELU()
        self.c_proj = nn.Linear(hidden or 4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.act(self.c_fc(x)))


class ResidualBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, activation_name: str, mlp_width: int = 0, eps: float = 1e-5):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, eps)
        self.mlp = MLP(width, activation_name, mlp_width)

    def forward(self, x: Tensor, causal: bool = False, mask: Tensor | None = None) -> Tensor:
        x = x + self.attn(self.ln_1(x), causal, mask)
        return x + self.mlp(self.ln_2(x))

    def forward_row(self, x: Tensor, rows: Tensor, causal: bool = False) -> Tensor:
        """The block's output at one position of each sequence: (B, T, W), (B,) -> (B, 1, W)."""
        row = pick_rows(x, rows) + self.attn.forward_row(self.ln_1(x), rows, causal)
        return row + self.mlp(self.ln_2(row))


class Transformer(nn.Module):
    """A stack of residual blocks."""
    resblocks: Any  # an nn.ModuleList, which does not say of what

    def __init__(self, width: int, layers: int, heads: int, activation_name: str, mlp_width: int = 0,
                 eps: float = 1e-5):
        super().__init__()
        of_block = width, heads, activation_name, mlp_width, eps
        self.resblocks = nn.ModuleList(ResidualBlock(*of_block) for _ in range(layers))
        # The residual stream adds 2 * layers terms: shrink what is added so that its variance stays put.
        residual_std = width**-0.5 * (2 * layers) ** -0.5
        for block in self.resblocks:
            nn.init.normal_(block.attn.in_proj_weight, std=width**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=residual_std)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=residual_std)

    def forward(self, x: Tensor, causal: bool = False, mask: Tensor | None = None) -> Tensor:
        """x (B, T, W) -> (B, T, W)."""
        for block in self.resblocks:
            x = block(x, causal, mask)
        return x

    def forward_row(self, x: Tensor, rows: Tensor, causal: bool = False) -> Tensor:
        """forward(x)[b, rows[b]] for each b, without computing the last block's other rows -> (B, W)."""
        if not self.resblocks:
            return pick_rows(x, rows)[:, 0]
        for block in self.resblocks[:-1]:
            x = block(x, causal)
        return self.resblocks[-1].forward_row(x, rows, causal)[:, 0]

    def forward_features(self, x: Tensor, causal: bool = False) -> dict[str, list[Tensor]]:
        """Of every layer: states, the residual stream, and read, what the attention reads, both (B, T, W); attentions
        (B, H, T, T) and values (B, H, T, W/H). All lie on the way to the last state: its gradient reaches them."""
        states, read, attentions, values = [x], [], [], []
        for block in self.resblocks:
            read.append(block.ln_1(x))
            added, weights, v = block.attn.forward_parts(read[-1], causal)
            attentions.append(weights)
            values.append(v)
            x = x + added
            x = x + block.mlp(block.ln_2(x))
            states.append(x)
        return {"states": states, "read": read, "attentions": attentions, "values": values}
