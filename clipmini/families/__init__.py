"""Other people's models behind the same Embedder: a file each, and this table.

To add a family: write a file with `claims(path)` and `load(path, image_size)`, where it fits `export(model, tokenizer,
folder, meta)`, and put its name into TABLE. Whoever claims a path first loads it.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from clipmini.families import agreement
from clipmini.files import CheckpointError, read_json

if TYPE_CHECKING:
    from clipmini.embedder import Model, TextTokenizer

TABLE = ("devise", "openai", "onnx", "ours", "sentence_transformers", "hugging_face", "siglip", "open_clip")
EXPORTS = {"transformers": "hugging_face", "open_clip": "open_clip", "onnx": "onnx"}  # for whom -> the family


class Family(Protocol):
    """What a file of this folder offers."""

    def claims(self, path: Path) -> bool:
        """Whether a file, a folder or a name that is neither is this family's."""

    def load(self, path: Path, image_size: int | None = None) -> "tuple[Model, TextTokenizer, dict]":
        """-> (model in evaluation mode, its tokenizer, meta). image_size: another side in pixels than the weights were
        trained with. Raises CheckpointError."""


def family(name: str) -> Any:
    """The file of a family, imported when it is first asked for."""
    return import_module(f"clipmini.families.{name}")


def claimant(path: Path) -> Family | None:
    """The family that claims a path; None for nobody's name. Raises CheckpointError for a folder that is nobody's."""
    if path.is_dir():
        agreement.refuse_other_towers(path)
    found = next((file for file in map(family, TABLE) if file.claims(path)), None)
    if found is None and path.is_dir():
        raw = read_json(path / "config.json") if (path / "config.json").is_file() else {}
        if raw.get("model_type"):
            raise CheckpointError(f"{str(path)!r} holds a model of type {raw['model_type']!r}; clipmini reads clip, "
                                  "chinese_clip, siglip, and siglip2 with a fixed size")
        raise CheckpointError(f"{str(path)!r} has no config.json and no open_clip_config.json that clipmini knows; "
                              "give a folder that clipmini, transformers or open_clip wrote")
    return found


def export(model, tokenizer, folder: str | Path, layout: str = "transformers", meta: dict | None = None) -> Path:
    """Write a new folder with the same embeddings for other people's code; layout: a key of EXPORTS.

    Raises CheckpointError for towers that the other side does not have, and when the folder can't be written.
    """
    if layout not in EXPORTS:
        raise CheckpointError(f"there is no layout {layout!r} to export to; choose one of {', '.join(EXPORTS)}")
    return family(EXPORTS[layout]).export(model, tokenizer, Path(folder), meta)


if TYPE_CHECKING:  # where mypy compares what is here with what the Protocols ask for
    from clipmini.families import devise, hugging_face, onnx, open_clip, openai, ours, sentence_transformers, siglip
    from clipmini.model import CLIP

    _families: list[Family] = [devise, hugging_face, onnx, open_clip, openai, ours, sentence_transformers, siglip]
    _models: list[type[Model]] = [CLIP, siglip.Siglip, onnx.OnnxCLIP, devise.PhotoModel]
