"""The models and the shelf that they stand on: the page's own for drawings, the photo model where its packages are
installed, and published CLIPs of the Hugging Face hub, which answer once they are on this computer.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

import clipmini
from clipmini.embedder import Embedder, embedded_names
from clipmini.families import devise
from clipmini.families import hub_download as hub
from clipmini.families.hub_fetch import Progress
from clipmini.files import CheckpointError
from clipmini.image import ImageError
from clipmini.tasks.classify import Classifier, build_classifier, make_classifier
from clipmini.tasks.prompts import EVERYDAY_WORDS
from demo_app.fetching import PERMISSION, fetched
from demo_app.looks import look, looks_drawn
from demo_app.published import BY_NAME, PUBLISHED, Published
from demo_app.texts import Told, say

__all__ = ["AUTOMATIC", "OWN", "PUBLISHED", "Model", "Picked", "Published", "Shelf", "looks_drawn", "state"]
AUTOMATIC, OWN = "automatic", "emoji"  # the choice, and the only model of drawings that is sent photos elsewhere
LARGEST_BY_ITSELF = 2_000  # megabytes of a published model that answers for photos without being chosen
MOST_LOOKED_AT = 24  # of many pictures, to choose one model for all


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

    @property
    def called(self) -> str:
        """Its name, or the last part of its folder's."""
        return Path(self.name).name if Path(self.name).exists() else self.name

    def get(self) -> Embedder:
        """The Embedder. Raises CheckpointError."""
        with self._lock:
            if self._embedder is None:
                self._embedder = clipmini.load(self.name, fast=True)
            return self._embedder

    def try_get(self) -> tuple[Embedder | None, str]:
        """The Embedder, or None and what went wrong."""
        try:
            return self.get(), ""
        except CheckpointError as error:
            return None, str(error)


def state(name: str) -> str:
    """Of a published CLIP: "ready" (it can answer), "packages" (it needs some that are not installed), "download" (one
    click fetches it) or "offline" (it is not here and may not be fetched)."""
    if BY_NAME[name].missing:
        return "packages"
    if hub.cached(name):
        return "ready"
    return "offline" if PERMISSION.refused else "download"


def not_ready(name: str) -> Told | None:
    """Why a published CLIP cannot answer and what to do, or None where it can."""
    about = BY_NAME[name]
    key = {"packages": "models_need", "download": "models_fetch_first", "offline": f"{PERMISSION.refused}_here"}
    values = {"title": about.title, "size": about.size, "packages": " ".join(about.missing)}
    found = state(name)
    return None if found == "ready" else Told(key[found], **values)


@dataclass(frozen=True)
class Picked:
    """model: who answers; why: the key of a sentence in texts.TEXTS, or nothing; values: what it was judged by."""

    model: Model
    why: str
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def embedder(self) -> Embedder:
        """The model's Embedder. Raises CheckpointError."""
        return self.model.get()

    def said(self, lang: str) -> str:
        """Who answers and why, in words."""
        return say(lang, self.why or "answered_by", name=self.embedder.name, **self.values)


class Shelf:
    """own: the page's model; make_model: name -> Model; photos: the photo model, or None where it is not offered.

    Of the published ones, which are large, the last two that were asked for stay in memory: two can be compared.
    """

    def __init__(self, own: Model, make_model: Callable[[str], Model]):
        self.own, self._make, self._lock = own, make_model, threading.Lock()
        self._large: dict[str, Model] = {}
        self._embedded: dict[str, Model] = {}
        self.photos = make_model(devise.NAME) if own.name == OWN and not devise.missing() else None

    @property
    def reads_photos(self) -> str:
        """The name of who answers for photos by itself, beside the page's own model of drawings: the photo model, or
        the smallest published CLIP that is ready; "" for nobody."""
        if self.own.name != OWN or self.photos:
            return devise.NAME if self.photos else ""
        return next((p.name for p in PUBLISHED if p.megabytes <= LARGEST_BY_ITSELF and state(p.name) == "ready"), "")

    @property
    def reader(self) -> Model | None:
        """The same as a Model, or None."""
        name = self.reads_photos
        return (self.photos or self.published(name)) if name else None

    @property
    def two(self) -> bool:
        """Whether there is a choice between drawings and photos."""
        return bool(self.reads_photos)

    @property
    def choices(self) -> list[str]:
        """What a visitor may ask for by name; `ready` of it can answer."""
        embedded = [name for name in embedded_names() if self.two or name != self.own.name]
        return [AUTOMATIC, *embedded, *([devise.NAME] if self.photos else []), *BY_NAME]

    @property
    def ready(self) -> list[str]:
        """The choices that can answer now."""
        return [name for name in self.choices if name not in BY_NAME or state(name) == "ready"]

    def labels(self, say: Callable[[str], str]) -> list[tuple[str, str]]:
        """(what the page shows, name) of each choice, those that can answer first; say: key -> words."""
        own = f"{self.own.called}: {say('models_choice_own')}"
        found = [(own if name == AUTOMATIC and not self.two else say(f"models_choice_{name}"), name)
                 for name in self.choices if name not in BY_NAME]
        states = {p.name: state(p.name) for p in PUBLISHED}
        return found + [(f"{p.title} ({p.size}): {say('state_' + states[p.name])}", p.name)
                        for p in sorted(PUBLISHED, key=lambda p: states[p.name] != "ready")]

    def fetch(self, name: str) -> Iterator[Progress]:
        """Fetch a published CLIP: bytes that have arrived and bytes in all, until it is whole. Closing it stops it.

        Raises Told and CheckpointError."""
        return fetched(name)

    def published(self, name: str) -> Model:
        """A published CLIP; of those before, one is kept."""
        with self._lock:
            if name == self.own.name:
                return self.own
            model = self._large.pop(name, None) or self._make(name)
            self._large = dict(list(self._large.items())[-1:]) | {name: model}
            return model

    def pick(self, choice: str, image) -> Picked:
        """The model for a picture. Raises ImageError, ValueError for an unknown choice, Told for one that is not
        ready."""
        if choice not in self.choices:
            raise ValueError(f"there is no model {choice[:40]!r} on the shelf; choose one of {', '.join(self.choices)}")
        if choice in BY_NAME:
            if problem := not_ready(choice):
                raise problem
            return Picked(self.published(choice), "why_chosen")
        if choice == AUTOMATIC:
            return self._automatic(image)
        known = {self.own.name: self.own} | ({devise.NAME: self.photos} if self.photos else {})
        return Picked(known.get(choice) or self._embedded.setdefault(choice, self._make(choice)), "why_chosen")

    def pick_for(self, choice: str, images: Sequence) -> Picked:
        """The model for many pictures: with an automatic choice that which most of them would get, of MOST_LOOKED_AT
        at most; those that cannot be read have no say. Raises what `pick` raises."""
        if choice != AUTOMATIC or not self.two:
            return self.pick(choice, None)
        picked = []
        for image in images[::-(-len(images) // MOST_LOOKED_AT)]:
            with suppress(ImageError):
                picked.append(self.pick(choice, image))
        votes = [each.model for each in picked]
        return max(picked, key=lambda each: votes.count(each.model), default=Picked(self.own, ""))

    def _automatic(self, image) -> Picked:
        photos = self.reader
        if photos is None:
            return Picked(self.own, "")
        seen = look(image)
        values = {"flatness": seen.flatness, "sharpness": seen.sharpness or 0.0}
        if seen.drawn:
            return Picked(self.own, "why_drawing", values)
        if photos.try_get()[0] is None:
            return Picked(self.own, "why_broken", values)
        why = "why_blurred" if seen.blurred else "why_photo" if photos is self.photos else "why_photo_clip"
        return Picked(photos, why, values)
