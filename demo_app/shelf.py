"""The model shelf: the page's own model for drawings and, where its packages are installed, the photo model for photos."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from clipmini import devise
from clipmini.embedder import PHOTO_MODEL, Embedder
from clipmini.image import open_image

AUTOMATIC, OWN = "automatic", "emoji"  # the choice, and the only model of drawings that is sent photos elsewhere
FLAT_ENOUGH = 1.0  # on drawings and 141 photos, none of a test set: 89 % and 84 % judged right


@dataclass(frozen=True)
class Picked:
    """embedder: who answers; why: the key of a sentence in texts.TEXTS."""

    embedder: Embedder
    why: str


def looks_drawn(image) -> bool:
    """Whether a picture (path, bytes or PIL image) looks drawn rather than photographed: flat areas in a few colours.

    The share of neighbouring pixels that are equal, plus the share of the eight commonest colours; white and transparent
    parts do not count. Softly shaded drawings and blurred photos are mistaken for each other. Raises ImageError.
    """
    image = open_image(image, keep_alpha=True)
    image.thumbnail((128, 128), Image.Resampling.BOX)
    rgba = np.asarray(image).astype(int)
    rgb, drawn = rgba[..., :3], (rgba[..., 3] >= 128) & (rgba[..., :3] <= 245).any(axis=-1)
    beside = np.abs(np.diff(rgb, axis=1)).max(axis=-1)[drawn[:, 1:] & drawn[:, :-1]]
    below = np.abs(np.diff(rgb, axis=0)).max(axis=-1)[drawn[1:] & drawn[:-1]]
    steps = np.concatenate([beside, below])
    if len(steps) < 50:  # hardly anything but white: a thin line, a small sign
        return True
    colours = np.unique((rgb[drawn] >> 4) @ np.array([256, 16, 1]), return_counts=True)[1]
    return bool((steps <= 1).mean() + np.sort(colours)[-8:].sum() / colours.sum() > FLAT_ENOUGH)


class Shelf:
    """own: the page's model; photos: the photo model, or None where it is not offered."""

    def __init__(self, own, make_model):
        self.own = own
        self.photos = make_model(PHOTO_MODEL) if own.name == OWN and not devise.missing() else None

    @property
    def choices(self) -> list[str]:
        """What a visitor may choose; one choice is no choice, and is not shown."""
        return [AUTOMATIC, OWN, PHOTO_MODEL] if self.photos else [AUTOMATIC]

    def pick(self, choice: str, image) -> Picked:
        """The model for a picture. Raises CheckpointError, ImageError, and ValueError for an unknown choice."""
        if choice not in self.choices:
            raise ValueError(f"there is no model {choice[:40]!r} on the shelf; choose one of {', '.join(self.choices)}")
        if not self.photos:
            return Picked(self.own.get(), "")
        if choice != AUTOMATIC:
            return Picked((self.photos if choice == PHOTO_MODEL else self.own).get(), "why_chosen")
        if looks_drawn(image):
            return Picked(self.own.get(), "why_drawing")
        embedder, _ = self.photos.try_get()
        return Picked(embedder, "why_photo") if embedder else Picked(self.own.get(), "why_broken")
