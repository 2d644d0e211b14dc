"""The segmenter: a picture encoder, a prompt encoder and a mask decoder."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from clipmini.config import VisionConfig
from clipmini.segmenter.decoder import Decoded, MaskDecoder
from clipmini.segmenter.encoders import ImageEncoder, PromptEncoder, Prompts, Seen
from clipmini.vision import build_vision


@dataclass(frozen=True)
class SegmenterConfig:
    """What a segmenter is made of. tower: the image tower's own configuration; side: pixels of the square that it
    reads, a multiple of 16 and of the tower's stride."""

    tower: VisionConfig
    embed_dim: int
    side: int = 144
    width: int = 96
    heads: int = 6
    depth: int = 2

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


class Segmenter(nn.Module):
    """A picture and prompts -> masks. `see` is dear and done once a picture, `ask` is cheap."""

    def __init__(self, config: SegmenterConfig):
        super().__init__()
        self.config = config
        tower = build_vision(config.tower, config.embed_dim)
        with torch.no_grad():
            found = tower.eval().forward_features(torch.zeros(1, 3, config.side, config.side))
        widths = (found["grid_before"].shape[1], found["grid"].shape[1])
        self.image = ImageEncoder(tower, widths, config.embed_dim, config.width)
        self.prompt = PromptEncoder(config.embed_dim, config.width)
        self.decoder = MaskDecoder(config.width, config.heads, config.depth)

    @property
    def mask_side(self) -> int:
        """Pixels of a mask's side before it is brought to the picture's size."""
        return self.config.side // 2

    def see(self, pixels: Tensor) -> Seen:
        """pixels (B, 3, S, S), normalised."""
        return self.image(pixels)

    def ask(self, seen: Seen, prompts: Prompts) -> Decoded:
        """seen: one picture for each of the N prompts."""
        tokens, valid, dense, drawn = self.prompt(prompts, seen)
        return self.decoder(seen, tokens, valid, dense, drawn, self.prompt.grid(*seen.cells.shape[2:]))
