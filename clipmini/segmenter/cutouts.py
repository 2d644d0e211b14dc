"""Cut-outs as files: a picture with transparency, masks as COCO run lengths."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clipmini.files import written_whole
from clipmini.picture_file import open_image
from clipmini.segmenter import rle
from clipmini.segmenter.prompt import PromptError

Rows = Sequence[tuple[np.ndarray, float]]  # a mask (H, W) bool, and its expected IoU


def check_name(path: Path) -> None:
    """Raise PromptError for a file that could not be written in the end."""
    if path.suffix.lower() not in (".png", ".json"):
        raise PromptError(f"the file {str(path)!r} ends in {path.suffix!r}; end it in .png or .json")
    if not path.absolute().parent.is_dir():
        raise PromptError(f"there is no folder {str(path.parent)!r} for {path.name!r}; make it first")


def transparent(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """The picture, all outside the mask transparent."""
    found = image.convert("RGBA")
    found.putalpha(Image.fromarray(mask.astype(np.uint8) * 255))
    return found


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """left, top, right, bottom of what is in a mask (H, W); four zeros where nothing is."""
    y, x = np.nonzero(mask)
    return (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1) if len(x) else (0, 0, 0, 0)


def record(mask: np.ndarray, iou: float, **more: Any) -> dict[str, Any]:
    """One mask as COCO's annotations have it: segmentation, bbox (left, top, width, height), area; and our own."""
    left, top, right, bottom = box_of(mask)
    return {"segmentation": rle.encode(mask), "bbox": [left, top, right - left, bottom - top], "area": int(mask.sum()),
            "predicted_iou": None if np.isnan(iou) else round(iou, 4), **more}


def table(rows: Rows) -> str:
    """A line for each mask."""
    return "\n".join(f"{number}: expected IoU {iou:.2f}, {mask.mean():6.1%} of the picture, "
                     f"box {','.join(map(str, box_of(mask)))}" for number, (mask, iou) in enumerate(rows, 1))


def write(path: Path, image: Image.Image, rows: Rows, chosen: int | None = None) -> None:
    """A cut-out (.png) of the chosen mask, or of all of them together; or all masks (.json)."""
    if path.suffix.lower() == ".json":
        write_records(path, image, [record(mask, iou) for mask, iou in rows])
        return
    nothing = np.zeros((image.height, image.width), bool)
    masks = [mask for mask, _ in rows] if chosen is None else [rows[chosen][0]]
    with written_whole(path, "cut-out") as temporary:
        transparent(image, np.any([nothing, *masks], axis=0)).save(temporary, "PNG")


def write_records(path: Path, image: Image.Image, records: list[dict[str, Any]]) -> None:
    """Records of masks as a JSON file."""
    with written_whole(path, "masks") as temporary:
        temporary.write_text(json.dumps({"size": [image.height, image.width], "masks": records}), encoding="utf-8")


def read_mask(path: Path) -> np.ndarray:
    """A picture as a rough mask: where it is lighter than middle grey."""
    return np.asarray(open_image(path).convert("L")) > 127
