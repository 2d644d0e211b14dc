"""Zero-shot classification: a classifier made of words (CLIP paper section 3.1)."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.picture_file import ImageError, fills_a_batch, is_blank, open_image
from clipmini.tasks import outside
from clipmini.tasks.prompts import (
    EVERYDAY_WORDS,
    Note,
    PromptError,
    clean_labels,
    clean_templates,
    fill,
    fill_with_one_article,
    listed,
    shorten,
)
from clipmini.tokenizer import TokenLimitError

NEAR = 0.7  # an everyday word whose text is at least this near to a label's does not compete with it


class LabelTooLongError(TokenLimitError, PromptError):
    """A prompt with more tokens than the context; the message names the label."""

    def __init__(self, **values):
        PromptError.__init__(self, "token_limit", **values)


def build_classifier(embedder: Embedder, labels, templates, fill: Callable[[str, str], str] = fill) -> Tensor:
    """One unit vector for each label: normalise each prompt's feature, average over the templates, normalise.

    labels: K strings; templates: a set's name or M templates; fill: how a template takes a label. Returns (K, E)
    float32, embedded anew each time: keep it, or a Classifier, to ask again. Raises PromptError and LabelTooLongError.
    Source: CLIP paper section 3.1.4 (ensembling in embedding space).
    """
    labels, templates = tuple(labels), clean_templates(templates)
    if not labels:
        raise PromptError("no_labels")
    prompts = [fill(template, label) for label in labels for template in templates]
    try:
        features = embedder.embed_texts(prompts)  # (K * M, E), each of unit length
    except TokenLimitError:
        raise _name_too_long(embedder, labels, templates, fill) from None
    return F.normalize(features.view(len(labels), len(templates), -1).mean(dim=1), dim=-1)  # (K, E)


def _with_templates_that_fit(embedder: Embedder, labels, templates) -> tuple[Tensor, list[tuple[str, ...]]]:
    """build_classifier's vectors, and the templates of each label: all of them, or those whose prompt fits the context.
    A flag of letters has 30 tokens. Raises LabelTooLongError for a label that no template leaves room for."""
    try:
        return build_classifier(embedder, labels, templates, fill_with_one_article), [templates] * len(labels)
    except LabelTooLongError:
        room = embedder.tokenizer.context_length - 2  # without start and end
        fitting = [tuple(t for t in templates
                         if len(embedder.tokenizer.encode(fill_with_one_article(t, label))) <= room)
                   for label in labels]
        if not all(fitting):
            raise
        texts = torch.empty(len(labels), embedder.config.embed_dim)
        for few in dict.fromkeys(fitting):  # a call for each set of templates, of which there are few
            rows = [row for row, found in enumerate(fitting) if found == few]
            texts[rows] = build_classifier(embedder, [labels[row] for row in rows], few, fill_with_one_article)
        return texts, fitting


def _name_too_long(embedder: Embedder, labels, templates, fill: Callable[[str, str], str]) -> LabelTooLongError:
    limit = embedder.tokenizer.context_length
    label, prompt, count = max(((label, fill(t, label), len(embedder.tokenizer.encode(fill(t, label))) + 2)
                                for label in labels for t in templates), key=lambda found: found[2])
    return LabelTooLongError(label=shorten(label), prompt=shorten(prompt, 90), count=count, limit=limit)


@dataclass(frozen=True)
class Classifier:
    """A zero-shot classifier made of words: all that `classify` wants of the text tower, held by who asks it again.

    It belongs to the embedder that made it, with the weights that it had then.
    labels: K; templates: M; texts (K, E): unit vectors of the labels; others (words, E): those of everyday words for
    "none of these", or None where that was not asked for. prompts: for each label the texts that were really sent, M or
    fewer where the others pass the context.
    notes: what the user should know of the labels. seconds: what it took to make. new_words: for each label the words
    that no caption had which the model learnt from, or None where the model does not say.
    """

    labels: tuple[str, ...]
    templates: tuple[str, ...]
    texts: Tensor
    others: Tensor | None
    prompts: tuple[tuple[str, ...], ...]
    notes: tuple[Note, ...]
    seconds: float
    rivals: tuple[str, ...] = ()
    new_words: tuple[tuple[str, ...], ...] | None = None


def make_classifier(embedder: Embedder, labels, templates="plain", none_of_these: bool = False,
                    everyday: Tensor | None = None) -> Classifier:
    """Embed the labels once, for any number of `classify` calls.

    labels, templates, none_of_these: as in `classify`; everyday: build_classifier(embedder, EVERYDAY_WORDS, templates)
    where "none of these" is asked for with many sets of labels. Raises PromptError and LabelTooLongError.
    """
    start = time.perf_counter()
    cleaned, templates = clean_labels(labels), clean_templates(templates)
    taught = outside.taught_of(embedder)
    new = None if taught is None else tuple(tuple(outside.new_words(taught, label)) for label in cleaned.labels)
    notes = [*cleaned.notes, *_unseen_letters(embedder, cleaned.labels)]
    if words := list(dict.fromkeys(word for found in new or () for word in found)):
        notes.append(Note("new_words", {"labels": listed(map(shorten, words))}))
    others: Tensor | None = None
    rivals: tuple[str, ...] = ()
    texts, fitting = _with_templates_that_fit(embedder, cleaned.labels, templates)
    if long := [shorten(label) for label, few in zip(cleaned.labels, fitting, strict=True) if few != templates]:
        notes.append(Note("fewer_templates", {"count": len(templates), "labels": listed(long),
                                              "limit": embedder.tokenizer.context_length}))
    if none_of_these:
        usual = build_classifier(embedder, EVERYDAY_WORDS, templates) if everyday is None else everyday
        kept = _other_words(cleaned.labels, texts, usual)
        others, rivals = usual[kept], tuple(word for word, stays in zip(EVERYDAY_WORDS, kept, strict=True) if stays)
        notes += [Note("no_words_left")] if not len(others) else []
    elif len(texts) == 1:
        notes.append(Note("one_label"))
    prompts = tuple(tuple(fill_with_one_article(t, label) for t in few)
                    for label, few in zip(cleaned.labels, fitting, strict=True))
    notes += _one_article(cleaned.labels, fitting, prompts)
    return Classifier(cleaned.labels, templates, texts, others, prompts, tuple(notes), time.perf_counter() - start,
                      rivals, new)


@dataclass(frozen=True)
class Prediction:
    """What classify says about N pictures and K labels.

    cosines, logits, probabilities: (N, K) float32; logit = logit_scale * cosine, probability = softmax of the logits.
    none: (N,) probability of "none of these", or None where it was not asked for. Each row of probabilities, with
    none, sums to 1. prompts: for each label the texts that were really sent. notes: what the user should know, those of
    the Classifier first. alone: (N, K) sigmoid(logit + logit_bias), each label's own probability whatever the others
    are, of models trained with the sigmoid loss; None for others. vectors: (N, E) unit vectors of the pictures, to be
    compared with other words. outside: (N,) the probability that each picture is outside of what the model learnt from,
    and new_words the words of each label that no caption had; None where the model does not say.
    seconds: {"pictures": ..., "texts": ...}; for texts next to nothing where a Classifier was given.
    """

    labels: tuple[str, ...]
    cosines: Tensor
    logits: Tensor
    probabilities: Tensor
    none: Tensor | None
    prompts: tuple[tuple[str, ...], ...]
    notes: tuple[Note, ...]
    seconds: dict[str, float]
    alone: Tensor | None = None
    vectors: Tensor | None = None
    outside: Tensor | None = None
    new_words: tuple[tuple[str, ...], ...] | None = None


def classify(embedder: Embedder, images, labels, templates="plain", none_of_these: bool = False,
             logit_scale: float | None = None) -> Prediction:
    """Which label fits each picture best?

    images: list of N paths, bytes or PIL images; labels: text or list, as clean_labels takes, or a Classifier that
    make_classifier made of them; templates: a set's name or templates; logit_scale: what cosines are multiplied with
    (default: the model's own).

    none_of_these: CLIP has no word for "something else", a softmax only shares out 100 % among what it is offered.
    So we also offer it prompts.EVERYDAY_WORDS, without those that are equal or near to a label, and call the
    probability that goes to all of them together "none of these". A picture of something that is neither a label nor
    near an everyday word is still given to whatever is least wrong.

    Raises PromptError, LabelTooLongError and ImageError.
    """
    if isinstance(labels, Classifier) and (templates != "plain" or none_of_these):
        raise ValueError('a Classifier brings its templates and "none of these" along; give them to make_classifier, '
                         "and omit them here")
    scale = _checked_scale(embedder, logit_scale)
    start = time.perf_counter()
    made = labels if isinstance(labels, Classifier) else make_classifier(embedder, labels, templates, none_of_these)
    middle = time.perf_counter()
    features, blank = _embed(embedder, images)  # (N, E)
    K, bias = len(made.texts), embedder.logit_bias
    cosines = features @ (made.texts if made.others is None else torch.cat([made.texts, made.others])).t()
    probabilities = (scale * cosines).softmax(dim=-1)  # (N, K + words)
    none = None if made.others is None else probabilities[:, K:].sum(dim=-1)
    taught = outside.taught_of(embedder)
    strange = None if taught is None else outside.probability(taught, features)
    return Prediction(
        made.labels, cosines[:, :K], scale * cosines[:, :K], probabilities[:, :K], none, made.prompts,
        (*made.notes, *_blank(blank, len(features)),
         *(outside.notes(taught, strange, blank) if taught is not None and strange is not None else [])),
        {"texts": middle - start, "pictures": time.perf_counter() - middle},
        None if bias is None else torch.sigmoid(scale * cosines[:, :K] + bias), features, strange, made.new_words)


def _checked_scale(embedder: Embedder, logit_scale: float | None) -> float:
    scale = embedder.logit_scale if logit_scale is None else float(logit_scale)
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"logit_scale is {logit_scale}; it must be a number of at least 0 (the model's own is "
                         f"{embedder.logit_scale:.1f})")
    return scale


def _embed(embedder: Embedder, images) -> tuple[Tensor, list[int]]:
    """Vectors (N, E) of pictures, and the numbers of those that are of one colour. Few large ones are in memory."""
    images = [images] if isinstance(images, (str, Path, bytes, Image.Image)) else images
    features, blank, opened = [torch.empty(0, embedder.config.embed_dim)], [], []
    for number, image in enumerate(images):
        try:
            opened.append(open_image(image))
            blank += [number] if is_blank(opened[-1]) else []
        except ImageError:  # the embedder will say the same, in its turn
            opened.append(image)
        if number == len(images) - 1 or fills_a_batch(opened):
            features.append(embedder.embed_images(opened))
            opened = []
    return torch.cat(features), blank


def _blank(numbers: list[int], n: int) -> list[Note]:
    """A note on pictures that show nothing; with several pictures it names them, counted from 1."""
    if not numbers:
        return []
    named = {"count": len(numbers), "labels": listed(str(number + 1) for number in numbers)}
    return [Note("blank") if n == 1 else Note("blank_some", named)]


def _unseen_letters(embedder: Embedder, labels) -> list[Note]:
    """A note on labels most of whose letters the tokenizer can only spell byte by byte: it learnt no merge for them."""
    def spelled(letter: str) -> bool:
        return len(letter.encode()) > 1 and len(embedder.tokenizer.encode(letter)) >= len(letter.lower().encode())

    def unseen(label: str) -> bool:
        letters = [c for c in label if c.isalpha()]
        return 2 * sum(spelled(c) for c in letters) > len(letters)

    strange = [shorten(label) for label in labels if unseen(label)]
    return [Note("unseen", {"labels": listed(strange)})] if strange else []


def _one_article(labels, fitting, prompts) -> list[Note]:
    """A note on labels whose prompts have one article where the template and the label would make two."""
    mended = [shorten(label) for label, few, sent in zip(labels, fitting, prompts, strict=True)
              if any(fill(t, label) != prompt for t, prompt in zip(few, sent, strict=True))]
    return [Note("one_article", {"labels": listed(mended)})] if mended else []


def _other_words(labels, texts: Tensor, words: Tensor) -> Tensor:
    """Which of the everyday words' rows (words, E) are neither equal nor near to a label: (words,) bool. texts: (K, E).

    Near is judged after taking the words' mean away: prompts of one template share most of their direction.
    """
    middle = words.mean(dim=0)
    nearest = (F.normalize(words - middle, dim=-1) @ F.normalize(texts - middle, dim=-1).t()).amax(dim=1)
    taken = {label.casefold() for label in labels}
    return torch.tensor([word not in taken for word in EVERYDAY_WORDS]) & (nearest <= NEAR)
