"""Zero-shot classification: a classifier made of words (CLIP paper section 3.1)."""

import math
import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.tasks.prompts import (
    EVERYDAY_WORDS,
    Note,
    PromptError,
    clean_labels,
    clean_templates,
    fill,
    listed,
    shorten,
)
from clipmini.tokenizer import TokenLimitError

NEAR = 0.7  # an everyday word whose text is at least this near to a label's does not compete with it
CACHE_SIZE = 32  # classifiers kept for each embedder
_cache: WeakKeyDictionary = WeakKeyDictionary()


class LabelTooLongError(TokenLimitError, PromptError):
    """A prompt with more tokens than the context; the message names the label."""

    def __init__(self, **values):
        PromptError.__init__(self, "token_limit", **values)


def build_classifier(embedder: Embedder, labels, templates) -> Tensor:
    """One unit vector for each label: normalise each prompt's feature, average over the templates, normalise.

    labels: K strings; templates: a set's name or M templates. Returns (K, E) float32. The last few answers are kept
    for as long as the embedder lives and its weights stay. Raises PromptError and LabelTooLongError.
    Source: CLIP paper section 3.1.4 (ensembling in embedding space).
    """
    labels, templates = tuple(labels), clean_templates(templates)
    if not labels:
        raise PromptError("no_labels")
    kept = _cache.setdefault(embedder, {})
    key = (labels, templates, _fingerprint(embedder.model))
    if key not in kept:
        while len(kept) >= CACHE_SIZE:
            kept.pop(next(iter(kept)), None)
        kept[key] = _embed_prompts(embedder, labels, templates)
    return kept[key].clone()


@torch.no_grad()
def _fingerprint(model) -> float:
    """A number that a training step changes: the sum of about a thousand weights of each parameter.

    Tensors count their changes in _version, but the fused optimisers do not tell them.
    """
    return sum(p.flatten()[::1 + p.numel() // 1000].double().sum().item() for p in model.parameters())


def _embed_prompts(embedder: Embedder, labels, templates) -> Tensor:
    prompts = [fill(template, label) for label in labels for template in templates]
    try:
        features = embedder.embed_texts(prompts)  # (K * M, E), each of unit length
    except TokenLimitError:
        raise _name_too_long(embedder, labels, templates) from None
    return F.normalize(features.view(len(labels), len(templates), -1).mean(dim=1), dim=-1)  # (K, E)


def _name_too_long(embedder: Embedder, labels, templates) -> LabelTooLongError:
    limit = embedder.tokenizer.context_length
    label, prompt, count = max(((label, fill(t, label), len(embedder.tokenizer.encode(fill(t, label))) + 2)
                                for label in labels for t in templates), key=lambda found: found[2])
    return LabelTooLongError(label=shorten(label), prompt=shorten(prompt, 90), count=count, limit=limit)


@dataclass(frozen=True)
class Prediction:
    """What classify says about N pictures and K labels.

    cosines, logits, probabilities: (N, K) float32; logit = logit_scale * cosine, probability = softmax of the logits.
    none: (N,) probability of "none of these", or None where it was not asked for. Each row of probabilities, with
    none, sums to 1. prompts: for each label the texts that were really sent. notes: what the user should know.
    alone: (N, K) sigmoid(logit + logit_bias), each label's own probability whatever the others are, of models trained with
    the sigmoid loss; None for others.
    seconds: {"pictures": ..., "texts": ...}.
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


def classify(embedder: Embedder, images, labels, templates="plain", none_of_these: bool = False,
             logit_scale: float | None = None) -> Prediction:
    """Which label fits each picture best?

    images: list of N paths, bytes or PIL images; labels: text or list, as clean_labels takes; templates: a set's name
    or templates; logit_scale: what cosines are multiplied with (default: the model's own).

    none_of_these: CLIP has no word for "something else", a softmax only shares out 100 % among what it is offered.
    So we also offer it prompts.EVERYDAY_WORDS, without those that are equal or near to a label, and call the
    probability that goes to all of them together "none of these". A picture of something that is neither a label nor
    near an everyday word is still given to whatever is least wrong.

    Raises PromptError, LabelTooLongError and ImageError.
    """
    cleaned = clean_labels(labels)
    templates = clean_templates(templates)
    scale = embedder.logit_scale if logit_scale is None else float(logit_scale)
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"logit_scale is {logit_scale}; it must be a number of at least 0 (the model's own is "
                         f"{embedder.logit_scale:.1f})")
    notes = list(cleaned.notes) + _unseen_letters(embedder, cleaned.labels)
    start = time.perf_counter()
    texts = build_classifier(embedder, cleaned.labels, templates)  # (K, E)
    others = texts[:0]
    if none_of_these:
        others = _other_words(embedder, cleaned.labels, texts, templates)
        notes += [Note("no_words_left")] if not len(others) else []
    elif len(texts) == 1:
        notes.append(Note("one_label"))
    middle = time.perf_counter()
    features = embedder.embed_images(images)  # (N, E)
    cosines = features @ torch.cat([texts, others]).t()  # (N, K + words)
    probabilities = (scale * cosines).softmax(dim=-1)
    K, bias = len(texts), embedder.logit_bias
    alone = None if bias is None else torch.sigmoid(scale * cosines[:, :K] + bias)
    return Prediction(
        cleaned.labels, cosines[:, :K], scale * cosines[:, :K], probabilities[:, :K],
        probabilities[:, K:].sum(dim=-1) if none_of_these else None,
        tuple(tuple(fill(t, label) for t in templates) for label in cleaned.labels), tuple(notes),
        {"texts": middle - start, "pictures": time.perf_counter() - middle}, alone)


def _unseen_letters(embedder: Embedder, labels) -> list[Note]:
    """A note on labels most of whose letters the tokenizer can only spell byte by byte: it learnt no merge for them."""
    def spelled(letter: str) -> bool:
        return len(letter.encode()) > 1 and len(embedder.tokenizer.encode(letter)) >= len(letter.lower().encode())

    def unseen(label: str) -> bool:
        letters = [c for c in label if c.isalpha()]
        return 2 * sum(spelled(c) for c in letters) > len(letters)

    strange = [shorten(label) for label in labels if unseen(label)]
    return [Note("unseen", {"labels": listed(strange)})] if strange else []


def _other_words(embedder: Embedder, labels, texts: Tensor, templates) -> Tensor:
    """The classifier's rows (words, E) of the everyday words that are neither equal nor near to a label.

    Near is judged after taking the words' mean away: prompts of one template share most of their direction.
    """
    words = build_classifier(embedder, EVERYDAY_WORDS, templates)
    middle = words.mean(dim=0)
    nearest = (F.normalize(words - middle, dim=-1) @ F.normalize(texts - middle, dim=-1).t()).amax(dim=1)
    taken = {label.casefold() for label in labels}
    return words[torch.tensor([word not in taken for word in EVERYDAY_WORDS]) & (nearest <= NEAR)]
