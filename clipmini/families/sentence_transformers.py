"""Folders of the library sentence-transformers that hold a CLIP, like its clip-ViT-B-32: modules.json lists the steps,
and the CLIP has a folder of its own (0_CLIPModel), or lies beside that file."""

import json
from pathlib import Path

from clipmini.embedder import Model, TextTokenizer
from clipmini.families import agreement, hugging_face, siglip
from clipmini.files import CheckpointError

HARMLESS = ("Normalize",)  # vectors are of unit length here anyhow


def claims(path: Path) -> bool:
    """Whether the folder has a modules.json. Raises CheckpointError at once for what is not a CLIP: a download asks
    before it fetches the weights."""
    return (path / "modules.json").is_file() and clip_folder(path) is not None


def steps(path: Path) -> list[tuple[str, Path]]:
    """(kind, folder) of each step that modules.json lists. Raises CheckpointError."""
    file = path / "modules.json"
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
        found = [(str(step["type"]).rpartition(".")[2], str(step["path"])) for step in listed]
        odd = next((where for _, where in found if Path(where).is_absolute() or ".." in Path(where).parts), None)
        if odd is not None or not found:
            raise ValueError(f"it names the folder {odd!r}" if found else "it lists nothing")
        return [(kind, path / where) for kind, where in found]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{str(file)!r} cannot be read ({type(error).__name__}: {error}); take the file of the "
                              "model's own page") from error


def clip_folder(path: Path) -> Path:
    """The folder of the CLIP. Raises CheckpointError that names the steps for models that are more, or other, than one.
    """
    found = steps(path)
    kind, folder = found[0]
    rest = [other for other, _ in found[1:] if other not in HARMLESS]
    is_clip = kind in ("CLIPModel", "Transformer") and (hugging_face.claims(folder) or siglip.claims(folder))
    if rest or not is_clip:
        raise CheckpointError(f"{str(path)!r} is a model of sentence-transformers made of "
                              f"{', '.join(other for other, _ in found)}; clipmini reads those that are one CLIP "
                              "(CLIPModel) alone. Open this model with sentence-transformers")
    return folder


def load(path: Path, image_size: int | None = None) -> tuple[Model, TextTokenizer, dict]:
    """-> (model in evaluation mode, its tokenizer, meta). Raises CheckpointError."""
    folder = clip_folder(path)
    agreement.refuse_other_towers(folder)
    return (siglip if siglip.claims(folder) else hugging_face).load(folder, image_size)
