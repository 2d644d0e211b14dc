"""The map of the page that needs no server: places in few bytes, small thumbnails, and the film of a training."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.files import CheckpointError
from clipmini.tasks.maps.folder import CELL, COLUMNS, EmbeddingMap, read
from demo_app.map.stored import FILM, same_model, shipped, stored_path

SIDE, QUALITY, STEPS = 18, 20, 5  # pixels of a thumbnail, quality of its WebP, steps: the page has a budget of bytes
LEVELS = {torch.uint8: 255, torch.uint16: 65_535}  # of places: a film's are seen from afar only


def write(embedder: Embedder, place: Path, given: Path | None = None) -> bool:
    """map.json, places.bin and thumbnails.webp of a model, where it has a map. given: a folder that `clipmini map`
    wrote for it. Raises CheckpointError for the map of another model."""
    folder = given or stored_path(embedder.name)
    if folder is None:
        return False
    found = read(folder)
    if not same_model(found, embedder):
        raise CheckpointError(f"the map {str(folder)!r} was made by the model {found.model!r}; make it again with "
                              f"`clipmini map --model {embedder.name}`")
    film = read(shipped(FILM)) if not given and (shipped(FILM) / "points.json").is_file() else None
    if film and film.names != found.names:
        film = None
    steps = [film.steps[round(i)] for i in np.linspace(0, len(film.steps) - 1, STEPS)] if film else []
    place.mkdir()
    described = json.dumps(describe(found, steps), ensure_ascii=False, separators=(",", ":"))
    (place / "map.json").write_text(described, encoding="utf-8")
    frames = [packed(torch.stack([film.maps[f"step {step}"] for step in steps]), torch.uint8)] if film else []
    (place / "places.bin").write_bytes(b"".join([packed(found.maps["umap without gap"], torch.uint16),
                                                 packed(found.maps["umap"], torch.uint16), *frames]))
    thumbnails(found).save(place / "thumbnails.webp", quality=QUALITY, method=6)
    return True


def describe(found: EmbeddingMap, steps: list[int]) -> dict:
    """names: of the pictures, and of the words behind them where they are others; groups: their names, and in group a
    number for each name; steps: of the film. places.bin has the places of all points, x and y: uint16 with the modality
    gap taken out, uint16 with it, uint8 for each step, in one common frame."""
    same = found.names[:found.pictures] == found.names[found.pictures:]
    n = found.pictures if same else len(found.names)
    groups = list(dict.fromkeys(found.groups))
    return {"pictures": found.pictures, "names": found.names[:n], "same": same, "groups": groups,
            "group": [groups.index(group) for group in found.groups[:n]], "columns": COLUMNS, "side": SIDE,
            "steps": steps}


def packed(places: Tensor, kind: torch.dtype) -> bytes:
    """Places (..., 2) in whole numbers between the least and the greatest of all, little-endian."""
    low, high = places.min(), places.max()
    levels = ((places - low) / (high - low).clamp(min=1e-9) * LEVELS[kind]).round().to(torch.int32).numpy()
    return levels.astype("<u2" if kind == torch.uint16 else "u1").tobytes()


def thumbnails(found: EmbeddingMap) -> Image.Image:
    """The sheet of thumbnails, smaller."""
    sheet = Image.new("RGB", (COLUMNS * SIDE, found.thumbnails.height // CELL * SIDE), "white")
    for i in range(found.pictures):
        row, column = divmod(i, COLUMNS)
        sheet.paste(found.thumbnail(i, SIDE), (column * SIDE, row * SIDE))
    return sheet
