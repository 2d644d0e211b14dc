"""Sentences about an answer that is probably a guess, made from what can be measured: none of them is sure.

Not called warnings.py: `python demo_app/app.py` would then take it for Python's own module of that name.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.image import open_image
from clipmini.tasks.classify import NEAR, Prediction
from clipmini.tasks.prompts import EVERYDAY_WORDS
from demo_app.looks import FLAT_ENOUGH, look
from demo_app.shelf import Model
from demo_app.texts import say

DRAWINGS = ("emoji", "icons", "clipart", "shapes", "scenes", "parts")  # what models of drawings are trained on
# All three chosen on drawings of training styles and on class names of test sets, whose pictures nobody looked at.
MANY_BETTER = 0.1  # share of the everyday words: of 360 drawings, 0 % with the right word among 3, 84 % without
TOO_LARGE, TOO_MANY = 500_000_000, 8  # parameters, templates: for more of them the everyday words take too long


@dataclass(frozen=True)
class Caution:
    """A sentence of texts.TEXTS and what is filled in."""

    key: str
    values: dict[str, Any] = field(default_factory=dict)

    def said(self, lang: str) -> str:
        """The sentence."""
        return say(lang, self.key, **self.values)


def warnings_for(embedder: Embedder, picture, prediction: Prediction | None = None,
                 everyday: Tensor | None = None) -> list[Caution]:
    """What makes an answer for a picture (path, bytes or PIL image) doubtful; [] where nothing does.

    prediction: the answer; everyday (182, E): vectors of EVERYDAY_WORDS, with which its best cosine is compared.
    Pictures of one colour have a note of classify's. Raises ImageError and PromptError.
    """
    image = open_image(picture)
    found = _of_the_look(embedder, image)
    if prediction is not None and any(note.kind == "outside" for note in prediction.notes):
        found = [caution for caution in found if caution.key != "caution_photo"]  # it is said already
    if prediction is not None and everyday is not None and prediction.none is None:
        found += _of_the_cosines(embedder, image, prediction, everyday)
    return found


def for_answer(model: Model, picture, templates: str, prediction: Prediction) -> list[Caution]:
    """warnings_for with the model's own everyday words, where they don't take too long."""
    embedder = model.get()
    quick = embedder.parameters <= TOO_LARGE and len(prediction.prompts[0]) <= TOO_MANY and prediction.none is None
    return warnings_for(embedder, picture, prediction, model.everyday(templates) if quick else None)


def of_drawings(embedder: Embedder) -> bool:
    """Whether a model learnt from drawings only, as its card records."""
    return re.split(r"\W", str(embedder.meta.get("data", "")))[0] in DRAWINGS


def _of_the_look(embedder: Embedder, image) -> list[Caution]:
    seen, found = look(image), []
    if of_drawings(embedder) and seen.flatness <= FLAT_ENOUGH:
        found.append(Caution("caution_photo", {"name": embedder.name, "flatness": seen.flatness}))
    if seen.blurred:
        found.append(Caution("caution_blurred", {"sharpness": seen.sharpness}))
    return found


def _of_the_cosines(embedder: Embedder, image, prediction: Prediction, everyday: Tensor) -> list[Caution]:
    """Everyday words that fit better than the best label, without those that are near to a label."""
    texts = embedder.embed_texts([prompts[0] for prompts in prediction.prompts])
    others = everyday[(everyday @ texts.t()).amax(dim=1) < NEAR]
    best = prediction.cosines[0].max().item()
    vector = embedder.embed_images([image])[0] if prediction.vectors is None else prediction.vectors[0]
    better = int((vector @ others.t() > best).sum())
    if better < MANY_BETTER * len(EVERYDAY_WORDS):
        return []
    label = prediction.labels[int(prediction.cosines[0].argmax())]
    return [Caution("caution_none_fits", {"better": better, "count": len(others), "label": label, "cosine": best})]
