"""Zero-shot classification: a classifier made of words (CLIP paper section 3.1), and its honest measurement."""

import math
import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.image import ImageError, open_image
from clipmini.tasks.prompts import EVERYDAY_WORDS, Note, PromptError, clean_labels, clean_templates, fill, listed, shorten
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


def wilson(share: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share of n trials (Wilson 1927): honest for few trials and near 0 and 1.

    >>> [round(x, 3) for x in wilson(0.5, 10)]
    [0.237, 0.763]
    """
    centre, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + z * z / n)), min(1.0, (centre + spread) / (1 + z * z / n))


@dataclass(frozen=True)
class Report:
    """How well zero-shot classification did on n pictures among K classes. Shares are 0 to 1.

    top: {k: share of pictures whose class is among the first k}. mean_per_class_recall: over the classes that occur.
    intervals: 95 % Wilson interval for "top1", "top5", ... and "mean_per_class_recall" (there with as many trials as
    give the mean its variance, were all classes equally hard). confidence: mean probability of the first answer.
    """

    name: str
    n: int
    K: int
    top: dict[int, float]
    mean_per_class_recall: float
    intervals: dict[str, tuple[float, float]]
    confidence: float
    templates: tuple[str, ...]

    @property
    def top1(self) -> float:
        return self.top[1]

    @property
    def top5(self) -> float:
        return self.top[5]

    def __str__(self) -> str:
        return table([self])


def table(reports) -> str:
    """Reports of one dataset as lines of text, with the templates below."""
    reports = list(reports)
    names = [f"top{k}" for k in reports[0].top] + ["mean_per_class_recall"]
    width = max(12, *(len(r.name) for r in reports))
    lines = [f"{reports[0].n:,} pictures, {reports[0].K:,} classes (chance {1 / reports[0].K:.2%}); 95 % intervals in brackets",
             f"{'templates':<{width}}" + "".join(f"  {name.replace('_', ' '):>21}" for name in names) + "  confidence"]
    for r in reports:
        values = [*r.top.values(), r.mean_per_class_recall]
        cells = [f"{v:.1%} [{r.intervals[n][0]:.1%}, {r.intervals[n][1]:.1%}]" for n, v in zip(names, values, strict=True)]
        lines.append(f"{r.name:<{width}}" + "".join(f"  {cell:>21}" for cell in cells) + f"  {r.confidence:>10.1%}")
    return "\n".join(lines + [f"{r.name}: " + " | ".join(r.templates) for r in reports])


def embed_dataset(embedder: Embedder, dataset, batch_size: int = 64) -> Tensor:
    """The pictures of a pairs dataset -> (N, E). Raises ImageError that names the row of a broken picture."""
    from datasets import Image

    # Undecoded: the bytes then go through open_image, with its limits, and no more than a batch is in memory.
    rows = dataset.with_format(None).select_columns("image").cast_column("image", Image(decode=False))
    features = []
    for start in range(0, len(rows), batch_size):
        batch = rows[start:start + batch_size]["image"]
        pictures = [_open_row(picture, start + i) for i, picture in enumerate(batch)]
        features.append(embedder.embed_images(pictures))
    return torch.cat(features) if features else torch.empty(0, embedder.config.embed_dim)


def _open_row(picture: dict | None, row: int):
    try:
        if picture is None:
            raise ImageError("it has no picture")
        return open_image(picture["bytes"] or picture["path"])
    except ImageError as error:
        raise ImageError(f"row {row} of the dataset: {error}") from error


def _targets(dataset, labels, candidates) -> tuple[Tensor, tuple[str, ...]]:
    """The class of each row (N,), counted among the candidates, and the candidates' names for the prompts (K,)."""
    classes = getattr(dataset.features.get("label"), "names", None)
    if not classes or not len(dataset):
        raise ValueError("evaluate needs a dataset with rows and a column 'label' of type ClassLabel")
    names = list(classes if labels is None else labels)
    if len(names) != len(classes):
        raise ValueError(f"{len(names)} labels for {len(classes)} classes; give one for each class, in the order of "
                         "the ClassLabel")
    chosen = list(classes if candidates is None else dict.fromkeys(candidates))
    unknown = [c for c in chosen if c not in set(classes)]
    if unknown or not chosen:
        raise ValueError(f"candidates must be names of the ClassLabel; unknown: {listed(unknown) or '(none given)'}")
    given = list(dataset.with_format(None)["label"])
    place = {classes.index(c): i for i, c in enumerate(chosen)}
    row = next((r for r, label in enumerate(given) if label not in place), None)
    if row is not None:
        known = given[row] is not None and given[row] >= 0
        raise ValueError(f"row {row} is of class {classes[given[row]] if known else None!r}, which is not among the "
                         "candidates; filter the dataset or add the class")
    return torch.tensor([place[label] for label in given]), tuple(names[i] for i in place)


def _report(embedder: Embedder, name: str, features: Tensor, targets: Tensor, labels, templates, topk) -> Report:
    texts = build_classifier(embedder, labels, templates)
    logits = embedder.logit_scale * features @ texts.t()  # (N, K)
    N, K = logits.shape
    order = logits.topk(min(max(topk), K), dim=1).indices  # fewer classes than k: every class is among the first k
    hit = order == targets[:, None]
    top = {k: hit[:, :k].any(dim=1).float().mean().item() for k in sorted({1, *topk})}
    count = torch.bincount(targets, minlength=K)
    right = torch.bincount(targets[hit[:, 0]], minlength=K)[count > 0]
    count = count[count > 0].double()
    recall = (right / count).mean().item()
    intervals = {f"top{k}": wilson(share, N) for k, share in top.items()}
    intervals["mean_per_class_recall"] = wilson(recall, len(count) ** 2 / (1 / count).sum().item())
    confidence = logits.softmax(dim=1).amax(dim=1).mean().item()
    return Report(name, N, K, top, recall, intervals, confidence, clean_templates(templates))


def compare(embedder: Embedder, dataset, template_sets: dict, labels=None, candidates=None, batch_size: int = 64,
            topk=(1, 5)) -> dict[str, Report]:
    """The same pictures, embedded once, under several template sets, e.g. {"one": "plain", "ensemble": "emoji"}.

    The other arguments are evaluate's. Returns {name: Report}; table(reports.values()) shows them side by side.
    """
    targets, names = _targets(dataset, labels, candidates)
    features = embed_dataset(embedder, dataset, batch_size)
    return {name: _report(embedder, name, features, targets, names, templates, topk)
            for name, templates in template_sets.items()}


def evaluate(embedder: Embedder, dataset, templates="plain", labels=None, candidates=None, batch_size: int = 64,
             topk=(1, 5)) -> Report:
    """Zero-shot accuracy on a pairs dataset (columns image and label).

    templates: a set's name or templates. labels: what to call the classes in the prompts, one for each class of the
    ClassLabel (default: its names). candidates: choose among these classes only (names of the ClassLabel); every row's
    class must be one of them. Raises ImageError that names the row, PromptError, LabelTooLongError and ValueError.
    """
    templates = templates if isinstance(templates, str) else tuple(templates)
    name = templates if isinstance(templates, str) else f"{len(templates)} template(s)"
    return compare(embedder, dataset, {name: templates}, labels, candidates, batch_size, topk)[name]
