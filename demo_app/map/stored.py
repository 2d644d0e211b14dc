"""Which map folder is a model's: the one that came with it, or that `clipmini app --map` was given."""

from pathlib import Path

import torch

from clipmini.embedder import Embedder, assets_folder, embedded_names
from clipmini.files import CheckpointError
from clipmini.picture_file import shown
from clipmini.tasks.maps.folder import EmbeddingMap

FILM = "film"  # assets/maps/film: how a model learned, step by step
PROBES = 16  # words of a map that its model must place where the map has them
ALIKE = 0.95  # cosine of a word's vector and the map's, which is float16: other weights are far below
_served: dict[str, Path] = {}  # name of a model -> folder


def shipped(name: str) -> Path:
    """Where a map of this package is."""
    return assets_folder() / "maps" / name


def stored_path(model: str) -> Path | None:
    """The folder with the map of a model, by its name as it was loaded; None where there is none."""
    if model in _served:
        return _served[model]
    if model in embedded_names() and not Path(model).exists() and (shipped(model) / "points.json").is_file():
        return shipped(model)
    return None


def serve(model: str, folder: Path, embedder: Embedder) -> None:
    """Show the map in a folder as that of the page's model. Raises CheckpointError for a folder without a map, and for
    the map of another model: names may change, so the vectors are compared."""
    from demo_app.map.canvas import opened  # with Gradio, which not all want who ask where a map is

    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {str(folder)!r}; give one that `clipmini map` wrote")
    found = opened(folder.resolve()).found
    if not same_model(found, embedder):
        raise CheckpointError(f"the map {str(folder)!r} was made by the model {found.model!r}, and the page's model is "
                              f"{shown(embedder.name)!r}, which sees its words elsewhere; start with --model "
                              f"{found.model}, or make the map again with `clipmini map --model {model}`")
    _served[model] = folder.resolve()


def same_model(found: EmbeddingMap, embedder: Embedder) -> bool:
    """Whether an Embedder places a map's first words (its pictures, where it has none) where the map has them."""
    if found.vectors.shape[1] != embedder.config.embed_dim:
        return False
    words = found.names[found.pictures:][:PROBES]
    if words:
        asked, kept = embedder.embed_texts(words, truncate=True), found.vectors[found.pictures:][:PROBES]
    else:
        few = range(min(PROBES, found.pictures))
        asked, kept = embedder.embed_images([found.thumbnail(i) for i in few]), found.vectors[:len(few)]
    agree = torch.nn.functional.cosine_similarity(asked, kept, dim=1).mean().item()
    return agree > (ALIKE if words else 0.5)  # of the pictures only small copies are kept
