"""CLIP: two towers, one space. Everything that is special to CLIP's model is in these few lines."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmini.config import CLIPConfig
from clipmini.text import TextTransformer, build_text, in_batches
from clipmini.vision import build_vision

_TEXT = "text."  # OpenAI keeps the text tower's parameters at the top level; see the two hooks below


class CLIP(nn.Module):
    """Radford et al. 2021, figure 3.

    visual, text: the towers. logit_scale: the logarithm of what cosines are multiplied with (a larger one is a
    smaller temperature). logit_bias: only for the sigmoid loss. learnt: how many numbers it has, packed
    and in int8 too.
    """

    def __init__(self, config: CLIPConfig):
        super().__init__()
        self.config = config
        self.visual = build_vision(config.vision, config.embed_dim)
        self.text = build_text(config.text, config.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init)))
        # SigLIP section 3.2: begin by saying "no" to all pairs.
        self.logit_bias = nn.Parameter(torch.tensor(-10.0)) if config.sigmoid else None
        self.learnt = count_parameters(self)  # packed and int8 matrices are no nn.Parameter any more
        self.register_state_dict_post_hook(_drop_text_prefix)
        self.register_load_state_dict_pre_hook(_restore_text_prefix)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) float -> unit vectors (B, E)."""
        return unit(self.visual(pixels))

    def encode_text(self, ids: Tensor) -> Tensor:
        """ids (B, T) int64 with start and end tokens -> unit vectors (B, E)."""
        return unit(self.text(ids))

    def encode_lists(self, lists: list[list[int]], batch: int = 256) -> Tensor:
        """N lists of ids, unpadded -> unit vectors (N, E). A Transformer computes beginnings that they share once."""
        if isinstance(self.text, TextTransformer):
            return unit(self.text.forward_lists(lists, batch))
        return in_batches(self.encode_text, lists, self.config.text.pad_id, batch, self.logit_scale.device)

    def frame(self, image):
        """The picture itself: CLIP's preprocessing is resizing and cropping, other models want more."""
        return image

    @property
    def scale(self) -> Tensor:
        """exp(logit_scale), at most exp(logit_scale_max): logits = scale * cosine."""
        return self.logit_scale.clamp(max=self.config.logit_scale_max).exp()

    def forward(self, pixels: Tensor, ids: Tensor) -> Tensor:
        """Logits (N pictures, N texts): row i holds the scores of every text for picture i."""
        logits = self.scale * self.encode_image(pixels) @ self.encode_text(ids).t()
        return logits if self.logit_bias is None else logits + self.logit_bias

    @torch.no_grad()
    def clamp_scale_(self) -> None:
        """Keep the parameter itself within its bounds: called after each optimiser step, as OpenAI did."""
        self.logit_scale.clamp_(0.0, self.config.logit_scale_max)


def unit(features: Tensor) -> Tensor:
    """features (B, E) scaled to length 1, in float32 at least: a scale of 100 makes a cosine's last digits count."""
    return F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1)


def _drop_text_prefix(module: nn.Module, state: dict, prefix: str, _metadata) -> None:
    for key in [k for k in state if k.startswith(prefix + _TEXT)]:
        state[prefix + key[len(prefix + _TEXT):]] = state.pop(key)


def _restore_text_prefix(module: CLIP, state: dict, prefix: str, *_) -> None:
    ours = {prefix + key for key, _ in module.text.named_parameters()}
    for key in [k for k in state if k in ours]:
        state[prefix + _TEXT + key[len(prefix):]] = state.pop(key)


def no_decay(name: str, parameter: Tensor) -> bool:
    """Whether weight decay leaves a parameter alone: gains, biases, the class token, positions and the scale."""
    return parameter.ndim < 2 or "positional_embedding" in name


def count_parameters(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters())
