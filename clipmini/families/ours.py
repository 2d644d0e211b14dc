"""Our own checkpoint folders: see checkpoint.py."""

from pathlib import Path

from clipmini import checkpoint
from clipmini.families.assemble import resized
from clipmini.files import read_json
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer


def claims(path: Path) -> bool:
    """Whether config.json has our format number."""
    return (path / "config.json").is_file() and "format" in read_json(path / "config.json")


def load(path: Path, image_size: int | None = None) -> tuple[CLIP, Tokenizer, dict]:
    """A checkpoint folder -> (model in evaluation mode, its tokenizer, meta). Raises CheckpointError."""
    model, tokenizer, meta = checkpoint.load(path)
    return (resized(model, image_size) if image_size else model), tokenizer, meta
