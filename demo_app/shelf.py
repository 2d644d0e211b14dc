"""The models and the shelf that they stand on: the page's own for drawings, the photo model where its packages are
installed, and published CLIPs of the Hugging Face hub: those on this computer, or all with `clipmini app --hub`.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

import clipmini
from clipmini.embedder import Embedder
from clipmini.families import devise
from clipmini.families import hub_download as hub
from clipmini.files import CheckpointError
from clipmini.image import open_image
from clipmini.tasks.classify import Classifier, build_classifier, make_classifier
from clipmini.tasks.prompts import EVERYDAY_WORDS

AUTOMATIC, OWN = "automatic", "emoji"  # the choice, and the only model of drawings that is sent photos elsewhere
FLAT_ENOUGH = 1.0  # on drawings and 141 photos, none of a test set: 89 % and 84 % judged right


class Model:
    """A checkpoint by name or folder, loaded once; a failure is told, and tried again the next time.

    It holds the last classifiers that were asked for: the next picture of a visitor mostly has the same labels.
    """

    def __init__(self, name: str):
        self.name = name
        self._embedder: Embedder | None = None
        self._lock = threading.Lock()
        self._held: dict = {}  # not an lru_cache of a method: the circle would keep a large model in memory

    def _keep(self, key, make: Callable):
        if key not in self._held:
            found = make()
            while len(self._held) >= 32:
                self._held.pop(next(iter(self._held)), None)
            self._held[key] = found
        return self._held[key]

    def everyday(self, templates: str = "plain") -> Tensor:
        """The vectors of everyday words, which "none of these" and heatmaps want."""
        return self._keep(templates, lambda: build_classifier(self.get(), EVERYDAY_WORDS, templates))

    def classifier(self, labels: str, templates: str, none_of_these: bool) -> Classifier:
        """What make_classifier makes of them."""
        return self._keep((labels, templates, none_of_these), lambda: make_classifier(
            self.get(), labels, templates, none_of_these, self.everyday(templates) if none_of_these else None))

    def get(self) -> Embedder:
        """The Embedder. Raises CheckpointError."""
        with self._lock:
            if self._embedder is None:
                self._embedder = clipmini.load(self.name, packed=True)
            return self._embedder

    def try_get(self) -> tuple[Embedder | None, str]:
        """The Embedder, or None and what went wrong."""
        try:
            return self.get(), ""
        except CheckpointError as error:
            return None, str(error)


@dataclass(frozen=True)
class Published:
    """A CLIP of the hub. megabytes: what is downloaded; licence: as its page on the hub states it."""

    name: str
    title: str
    megabytes: int
    licence: str


PUBLISHED = (  # sizes as float32 where the hub holds float32: parameters x 4 bytes
    Published("openai/clip-vit-base-patch32", "OpenAI ViT-B/32", 605, "MIT"),
    Published("openai/clip-vit-large-patch14", "OpenAI ViT-L/14", 1_711, "MIT"),
    Published("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "LAION ViT-B/32", 605, "MIT"),
    Published("laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", "LAION ViT-bigG/14", 10_158, "MIT"),
    Published("OFA-Sys/chinese-clip-vit-base-patch16", "Chinese-CLIP ViT-B/16", 753, "Apache-2.0"),
)


def state(name: str) -> str:
    """"ready" (on this computer), "download" (the hub may be asked; whether it answers is not known) or "offline"."""
    if hub.cached(name):
        return "ready"
    return "download" if hub.may_download() else "offline"


@dataclass(frozen=True)
class Picked:
    """model: who answers; why: the key of a sentence in texts.TEXTS, or nothing."""

    model: Model
    why: str

    @property
    def embedder(self) -> Embedder:
        """The model's Embedder. Raises CheckpointError."""
        return self.model.get()


def looks_drawn(image) -> bool:
    """Whether a picture (path, bytes or PIL image) looks drawn rather than photographed: flat areas in a few colours.

    The share of neighbouring pixels that are equal, plus the share of the eight commonest colours; white and
    transparent parts do not count. Softly shaded drawings and blurred photos are mistaken for each other.
    Raises ImageError.
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
    """own: the page's model; make_model: name -> Model; photos: the photo model, or None where it is not offered.

    Of the published ones, which are large, the last one that was asked for stays in memory.
    """

    def __init__(self, own: Model, make_model: Callable[[str], Model]):
        self.own, self._make, self._lock = own, make_model, threading.Lock()
        self._large: Model | None = None
        self.photos = make_model(devise.NAME) if own.name == OWN and not devise.missing() else None

    @property
    def choices(self) -> list[str]:
        """What a visitor may choose."""
        own = [AUTOMATIC, OWN, devise.NAME] if self.photos else [AUTOMATIC]
        return [*own, *(p.name for p in PUBLISHED)]

    def labels(self, say: Callable[[str], str]) -> list[tuple[str, str]]:
        """(what the page shows, name) of each choice; say: key -> words."""
        found = [(name, name) for name in self.choices if "/" not in name]
        for p in PUBLISHED:
            size = f"{p.megabytes / 1000:.1f} GB" if p.megabytes >= 1000 else f"{p.megabytes} MB"
            found.append((f"{p.title} ({size}, {p.licence}): {say('state_' + state(p.name))}", p.name))
        return found

    def published(self, name: str) -> Model:
        """A published CLIP; the one before is let go, for two may not fit into memory."""
        with self._lock:
            if self._large is None or self._large.name != name:
                self._large = self._make(name)
            return self._large

    def pick(self, choice: str, image) -> Picked:
        """The model for a picture. Raises ImageError, and ValueError for an unknown choice."""
        if choice not in self.choices:
            raise ValueError(f"there is no model {choice[:40]!r} on the shelf; choose one of {', '.join(self.choices)}")
        if any(choice == p.name for p in PUBLISHED):
            return Picked(self.published(choice), "why_chosen")
        if not self.photos:
            return Picked(self.own, "")
        if choice != AUTOMATIC:
            return Picked(self.photos if choice == devise.NAME else self.own, "why_chosen")
        if looks_drawn(image):
            return Picked(self.own, "why_drawing")
        embedder, _ = self.photos.try_get()
        return Picked(self.photos, "why_photo") if embedder else Picked(self.own, "why_broken")
