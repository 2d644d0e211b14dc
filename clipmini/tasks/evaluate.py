"""Zero-shot classification measured on a pairs dataset; and whether a model reads the order of words."""

import torch
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.image import ImageError, open_image
from clipmini.model import CLIP
from clipmini.picture_file import fills_a_batch
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.metrics import (
    Report,
    accuracy,
    mean_per_class_recall,
    top1_correct,
    top_k_accuracy,
    wilson,
)
from clipmini.tasks.prompts import clean_templates, listed
from clipmini.tokenizer import Tokenizer


def embed_dataset(embedder: Embedder, dataset, batch_size: int = 64) -> Tensor:
    """The pictures of a pairs dataset -> (N, E). Raises ImageError that names the row of a broken picture."""
    return embed_rows(embedder, dataset, batch_size)[1]


def embed_rows(embedder: Embedder, dataset, batch_size: int = 64, strict: bool = True, labelled: bool = False):
    """The rows of a pairs dataset that can be used: (dataset of them, their pictures (N, E), {row left out: why}).

    labelled: a row without a class can't be used. strict: raise ImageError for the first that can't be, which names it.
    """
    from datasets import Image

    # Undecoded: the bytes then go through open_image, with its limits, and no more than a batch is in memory.
    rows = dataset.with_format(None).select_columns("image").cast_column("image", Image(decode=False))
    classes = dataset.with_format(None)["label"][:] if labelled and not strict else [0] * len(rows)
    features, kept, left = [torch.empty(0, embedder.config.embed_dim)] if not len(rows) else [], [], {}
    for start in range(0, len(rows), batch_size):
        pictures = []
        for row, picture in enumerate(rows[start:start + batch_size]["image"], start):
            try:
                pictures.append(_open_row(picture, classes[row]))
                kept.append(row)
            except ImageError as error:
                named = ImageError(f"row {row} of the dataset: {error}", error.kind)
                if strict:
                    raise named from error
                left[row] = str(named)
            if fills_a_batch(pictures, batch_size):
                features.append(embedder.embed_images(pictures))
                pictures = []
        if pictures:
            features.append(embedder.embed_images(pictures))
    if left and not kept:
        raise ImageError(f"none of the {len(left):,} rows can be used; {left[min(left)]}")
    return (dataset.select(kept) if left else dataset), torch.cat(features), left


def _open_row(picture: dict | None, label: int | None):
    if label is None or label < 0:
        raise ImageError("it has no class")
    if picture is None or not (picture["bytes"] or picture["path"]):
        raise ImageError("it has no picture")
    return open_image(picture["bytes"] or picture["path"])


def targets_of(dataset, labels, candidates) -> tuple[Tensor, tuple[str, ...]]:
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


def report(embedder: Embedder, name: str, features: Tensor, targets: Tensor, labels, templates, topk=(1, 5),
           left_out: dict[int, str] | None = None) -> Report:
    """A Report of pictures' vectors (N, E) and their classes (N,) among the labels."""
    texts = build_classifier(embedder, labels, templates)
    logits = embedder.logit_scale * features @ texts.t()  # (N, K)
    N, K = logits.shape
    ranking = logits.topk(min(max(topk), K), dim=1).indices
    top = top_k_accuracy(ranking, targets, sorted({1, *topk}))
    recall, interval = mean_per_class_recall(ranking[:, 0] == targets, targets)
    intervals = {**{f"top{k}": wilson(share, N) for k, share in top.items()}, "mean_per_class_recall": interval}
    confidence = logits.softmax(dim=1).amax(dim=1).mean().item()
    return Report(name, N, K, top, recall, intervals, confidence, clean_templates(templates), left_out or {})


def labelled_rows(dataset):
    """The rows of a pairs dataset that have a class."""
    classes = dataset.with_format(None)["label"][:] if "label" in dataset.column_names else []
    kept = [i for i, label in enumerate(classes) if label is not None and label >= 0]
    return dataset.select(kept) if kept and len(kept) < len(dataset) else dataset


def compare(embedder: Embedder, dataset, template_sets: dict, labels=None, candidates=None, batch_size: int = 64,
            topk=(1, 5), strict: bool = True) -> dict[str, Report]:
    """The same pictures, embedded once, under several template sets, e.g. {"one": "plain", "ensemble": "emoji"}.

    The other arguments are evaluate's. Returns {name: Report}; table(reports.values()) shows them side by side.
    """
    targets_of(dataset if strict else labelled_rows(dataset), labels, candidates)  # now, not after all the work
    rows, features, left = embed_rows(embedder, dataset, batch_size, strict, labelled=True)
    targets, names = targets_of(rows, labels, candidates)
    return {name: report(embedder, name, features, targets, names, templates, topk, left)
            for name, templates in template_sets.items()}


def evaluate(embedder: Embedder, dataset, templates="plain", labels=None, candidates=None, batch_size: int = 64,
             topk=(1, 5), strict: bool = True) -> Report:
    """Zero-shot accuracy on a pairs dataset (columns image and label).

    templates: a set's name or templates. labels: what to call the classes in the prompts, one for each class of the
    ClassLabel (default: its names). candidates: choose among these classes only (names of the ClassLabel); every row's
    class must be one of them. strict: raise at the first row that cannot be used; otherwise such rows are in the
    Report's left_out. Raises ImageError that names the row, PromptError, LabelTooLongError and ValueError.
    """
    templates = templates if isinstance(templates, str) else tuple(templates)
    name = templates if isinstance(templates, str) else f"{len(templates)} template(s)"
    return compare(embedder, dataset, {name: templates}, labels, candidates, batch_size, topk, strict)[name]


KINDS = ("relation", "binding")


def compared_rows(dataset) -> tuple[dict[str, list], list[int]]:
    """The captions of a dataset of scenes, and the numbers of the rows that have false ones of both kinds."""
    columns = [f"{kind}_negatives" for kind in KINDS]
    missing = [column for column in columns if column not in dataset.column_names]
    if missing:
        raise ValueError(f"the data has no column {missing[0]!r}; clipmini.data.shapes.make(objects=2) has")
    words = dataset.with_format(None).select_columns(["captions", *columns])[:]
    rows = [i for i in range(len(dataset)) if all(words[column][i] for column in columns)]
    if not rows:
        raise ValueError("no row of the data has captions to compare; use scenes with two objects")
    return words, rows


def order_accuracy(embedder: Embedder, dataset, batch_size: int = 256,
                   features: Tensor | None = None) -> dict[str, float]:
    """Share of (true, false) caption pairs in which the true one has the larger cosine.

    dataset: columns image, captions, relation_negatives and binding_negatives (lists of false captions of the same
    words). Each false caption is compared with the row's first caption. features (N, E): vectors of the dataset's
    pictures, where they are known already. Returns {"relation": share, "binding": share, "n": rows used} and the ends
    of 95% intervals, "relation_low", "relation_high", "binding_low", "binding_high". Raises ValueError when no row has
    such captions, ImageError that names the row of a broken picture.
    """
    words, rows = compared_rows(dataset)
    features = embed_dataset(embedder, dataset) if features is None else features
    wins: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
    for start in range(0, len(rows), batch_size):
        batch = rows[start:start + batch_size]
        image = features[batch]
        true = (image * embedder.embed_texts([words["captions"][i][0] for i in batch])).sum(1)
        for kind in KINDS:
            false = (image * embedder.embed_texts([words[f"{kind}_negatives"][i][0] for i in batch])).sum(1)
            # A model blind to order gives both the same cosine: half a point, not a win or a loss by rounding.
            wins[kind].append(torch.where((true - false).abs() < 1e-6, 0.5, (true > false).float()))
    shares = {kind: torch.cat(wins[kind]).mean().item() for kind in KINDS}
    ends = {kind: wilson(share, len(rows)) for kind, share in shares.items()}
    return {**shares, "n": len(rows), **{f"{kind}_low": low for kind, (low, _) in ends.items()},
            **{f"{kind}_high": high for kind, (_, high) in ends.items()}}


@torch.inference_mode()
def zero_shot_score(model: CLIP, tokenizer: Tokenizer, pixels: Tensor, labels: Tensor, names: list[str],
                    batch: int = 256) -> float:
    """Share of pictures whose own name is the nearest of all names: a validation score for `train`.

    pixels (N, 3, S, S) preprocessed; labels (N,) int64 into names.
    """
    texts = torch.cat([model.encode_text(tokenizer(names[i:i + batch], truncate=True))
                       for i in range(0, len(names), batch)])
    images = torch.cat([model.encode_image(part) for part in pixels.split(batch)])
    return accuracy(top1_correct(images @ texts.t(), labels))
