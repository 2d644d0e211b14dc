"""The prompt workbench: what each template is worth on labelled pictures, alone and in an ensemble."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.metrics import accuracy, top1_correct, wilson
from clipmini.tasks.prompts import clean_templates, fill, fill_with_one_article


@dataclass(frozen=True)
class Score:
    """Top-1 accuracy of something, 0 to 1, with its 95% Wilson interval."""

    what: str
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Workbench:
    """What `examine` finds on n pictures.

    alone: each template by itself, best first. without: the ensemble of all without each one, the most missed first.
    steps: forward selection: the template added and the accuracy of the ensemble so far, on pictures that the selection
    did not see. embeddings, probabilities: the ensemble of all as a mean of vectors, and as a mean of probabilities.
    """

    n: int
    alone: tuple[Score, ...]
    without: tuple[Score, ...]
    steps: tuple[Score, ...]
    embeddings: Score
    probabilities: Score


def prompt_vectors(embedder: Embedder, labels, templates) -> Tensor:
    """Unit vectors of every template filled with every label: (M, K, E). Raises PromptError, TokenLimitError."""
    templates = clean_templates(templates)
    prompts = [fill(template, label) for template in templates for label in labels]
    return embedder.embed_texts(prompts).view(len(templates), len(labels), -1)


def examine(embedder: Embedder, features: Tensor, targets: Tensor, labels, templates,
            most_steps: int = 10) -> Workbench:
    """Every question at once. features (N, E) unit vectors of pictures, targets (N,) their label's number.

    most_steps: where forward selection stops. Raises ValueError for fewer than four pictures.
    """
    if len(features) < 4:
        raise ValueError(f"{len(features)} pictures say nothing about templates; give at least 4")
    templates = clean_templates(templates)
    vectors = prompt_vectors(embedder, labels, templates)
    alone = [_score(t, features, targets, v) for t, v in zip(templates, vectors, strict=True)]
    everyone = set(range(len(templates)))
    without = [_score(t, features, targets, ensemble(vectors, everyone - {i})) for i, t in enumerate(templates)] \
        if len(templates) > 1 else []
    probabilities = torch.stack([(embedder.logit_scale * features @ v.t()).softmax(dim=1) for v in vectors]).mean(dim=0)
    return Workbench(
        len(features), tuple(sorted(alone, key=lambda s: -s.accuracy)),
        tuple(sorted(without, key=lambda s: s.accuracy)),
        tuple(forward_selection(features, targets, vectors, templates, most_steps)),
        _score("mean of vectors", features, targets, ensemble(vectors, everyone)),
        _with_interval("mean of probabilities", accuracy(top1_correct(probabilities, targets)), len(features)))


def ensemble(vectors: Tensor, chosen) -> Tensor:
    """The classifier (K, E) of some templates: the mean of their unit vectors, normalised. vectors: (M, K, E)."""
    return F.normalize(vectors[sorted(chosen)].mean(dim=0), dim=-1)


def forward_selection(features: Tensor, targets: Tensor, vectors: Tensor, templates, most: int = 10) -> list[Score]:
    """Add the template that helps the ensemble most, one after the other, until none helps.

    Chosen on every second picture and judged on the others: with many templates the best one is best partly by luck.
    """
    chosen: list[int] = []
    steps: list[Score] = []
    left, best = list(range(len(templates))), -1.0
    while left and len(steps) < most:
        tried = {i: _accuracy(features[::2], targets[::2], ensemble(vectors, [*chosen, i])) for i in left}
        found = max(left, key=lambda i: tried[i])
        if tried[found] <= best:
            break
        best = tried[found]
        chosen.append(found)
        left.remove(found)
        steps.append(_score(templates[found], features[1::2], targets[1::2], ensemble(vectors, chosen)))
    return steps


def _accuracy(features: Tensor, targets: Tensor, classifier: Tensor) -> float:
    return accuracy(top1_correct(features @ classifier.t(), targets))


def _score(what: str, features: Tensor, targets: Tensor, classifier: Tensor) -> Score:
    return _with_interval(what, _accuracy(features, targets, classifier), len(features))


def _with_interval(what: str, share: float, n: int) -> Score:
    return Score(what, share, *wilson(share, n))


@dataclass(frozen=True)
class OnePicture:
    """templates: M of them. probabilities (M + 2, K): of each template, of the mean of their vectors, of the mean of
    their probabilities."""

    templates: tuple[str, ...]
    probabilities: Tensor


def on_one_picture(embedder: Embedder, image, labels, templates) -> OnePicture:
    """What each template makes of a picture (path, bytes or PIL image). Raises PromptError, LabelTooLongError,
    ImageError."""
    templates = clean_templates(templates)
    feature = embedder.embed_images([image])
    vectors = torch.stack([build_classifier(embedder, labels, [template], fill_with_one_article)
                           for template in templates])  # (M, K, E)
    both = torch.cat([vectors, ensemble(vectors, range(len(templates)))[None]])
    each = (embedder.logit_scale * torch.einsum("mke,e->mk", both, feature[0])).softmax(dim=1)  # (M + 1, K)
    return OnePicture(templates, torch.cat([each, each[:-1].mean(dim=0, keepdim=True)]))


def as_text(bench: Workbench) -> str:
    """The workbench as lines of text."""
    def line(score: Score) -> str:
        return f"  {score.accuracy:6.1%} [{score.low:.1%}, {score.high:.1%}]  {score.what}"

    parts = [f"{bench.n:,} pictures; top-1, 95% intervals in brackets", "each template alone:", *map(line, bench.alone),
             "all of them together:", line(bench.embeddings), line(bench.probabilities)]
    if bench.without:
        shown = bench.without[:5]
        more = f" ({len(shown)} of {len(bench.without)} shown)" if len(shown) < len(bench.without) else ""
        parts += [f"all without one, the most missed first{more}:", *map(line, shown)]
    half = f"chosen on {(bench.n + 1) // 2:,} pictures, judged on the other {bench.n // 2:,}"
    return "\n".join([*parts, f"forward selection ({half}):", *map(line, bench.steps)])
