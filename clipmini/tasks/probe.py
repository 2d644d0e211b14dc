"""The linear probe: how much is in the vectors, asked with labels (Radford et al. 2021, section 3.2), and few-shot
curves to set beside zero-shot. The optimiser is scikit-learn's logistic regression; the extra is `maps`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.tasks.evaluate import embed_dataset, targets_of
from clipmini.tasks.metrics import columns, wilson

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)  # C of scikit-learn: the inverse of the weight decay


def fit(features: Tensor, labels: Tensor, strength: float = 10.0):
    """features (N, E) of a frozen model, labels (N,) int -> scikit-learn's LogisticRegression; `accuracy` asks it.

    strength: C, large for little weight decay; see `sweep`. Raises ValueError for one class only, or rows that don't
    match.
    """
    from sklearn.linear_model import LogisticRegression

    if len(features) != len(labels) or len(labels.unique()) < 2:
        raise ValueError(f"{len(features)} vectors and {len(labels)} labels of {len(labels.unique())} classes; give as "
                         "many of each, and two classes at least")
    return LogisticRegression(C=strength, max_iter=2000).fit(features.double().numpy(), labels.numpy())


def accuracy(probe, features: Tensor, labels: Tensor) -> float:
    """The share of features (N, E) that the probe gives their labels (N,)."""
    return (torch.from_numpy(probe.predict(features.double().numpy())) == labels).double().mean().item()


def sweep(features: Tensor, labels: Tensor, strengths=STRENGTHS, folds: int = 5) -> dict[float, float]:
    """{strength: mean accuracy on rows that were left out}, by cross-validation on the training rows alone: the test
    set has no say.

    Raises ValueError when a class has fewer rows than there are folds.
    """
    fewest = int(labels.bincount()[labels.unique()].min())
    if fewest < folds:
        raise ValueError(f"a class has {fewest} rows, fewer than {folds} folds; take fewer folds or more rows")
    from sklearn.model_selection import StratifiedKFold

    cuts = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(features.numpy(), labels.numpy()))
    return {strength: sum(accuracy(fit(features[train], labels[train], strength), features[left], labels[left])
                          for train, left in cuts) / folds for strength in strengths}


def few_rows(labels: Tensor, k: int, seed: int = 0) -> Tensor:
    """k random rows of each class of labels (N,), all of a class that has fewer -> (at most k * classes,) int, sorted.

    >>> few_rows(torch.tensor([0, 0, 0, 1]), k=1).shape
    torch.Size([2])
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return torch.cat([order[labels[order] == c][:k] for c in labels.unique()]).sort().values


@dataclass(frozen=True)
class Shots:
    """Accuracy of probes on k rows a class: the mean over several draws, and the least and largest of them."""

    k: int
    mean: float
    low: float
    high: float


def few_shot(features: Tensor, labels: Tensor, test_features: Tensor, test_labels: Tensor, ks=(1, 2, 4, 8, 16, 32, 64),
             draws: int = 5, strength: float = 10.0) -> list[Shots]:
    """The curve of k-shot probes: for each k, `draws` random choices of k rows a class, each asked about the same test
    rows."""
    found = []
    for k in ks:
        rows = [few_rows(labels, k, seed) for seed in range(draws)]
        scores = [accuracy(fit(features[r], labels[r], strength), test_features, test_labels) for r in rows]
        found.append(Shots(k, sum(scores) / draws, min(scores), max(scores)))
    return found


@dataclass(frozen=True)
class Probed:
    """A linear probe on all training rows: strength, chosen on them alone; share of test rows that are right, with its
    95% interval; shots: the curve with few rows a class; n, classes: test rows, and classes of the training rows."""

    strength: float
    share: float
    low: float
    high: float
    shots: list[Shots]
    n: int
    classes: int


def probed(features: Tensor, labels: Tensor, test_features: Tensor, test_labels: Tensor) -> Probed:
    """features (N, E), labels (N,) of the training rows, and the same of the test rows -> Probed. Raises ValueError for
    one class only."""
    fewest = int(labels.bincount()[labels.unique()].min())
    strengths = sweep(features, labels, folds=min(5, fewest)) if fewest > 1 else {10.0: 0.0}
    strength = max(strengths, key=lambda c: strengths[c])
    share = accuracy(fit(features, labels, strength), test_features, test_labels)
    most = int(labels.bincount().max())
    shots = few_shot(features, labels, test_features, test_labels, [k for k in (1, 2, 4, 8, 16, 32, 64) if k < most],
                     strength=strength)
    n = len(test_labels)
    return Probed(strength, share, *wilson(share, n), shots, n, len(labels.unique()))


def probed_rows(embedder: Embedder, training, held) -> Probed:
    """The same for two pairs datasets with labels. Raises ValueError where one has none."""
    if any("label" not in rows.column_names for rows in (training, held)):
        raise ValueError("--probe needs a label for every picture, and this data has none")
    sides = [(embed_dataset(embedder, rows), targets_of(rows, None, None)[0]) for rows in (training, held)]
    return probed(*sides[0], *sides[1])


def told(found: Probed) -> str:
    """The same as lines of text."""
    rows = [["rows a class", "right, mean of 5 draws", "least", "most"]]
    rows += [[f"{s.k}", f"{s.mean:.1%}", f"{s.low:.1%}", f"{s.high:.1%}"] for s in found.shots]
    return "\n".join([
        f"linear probe: {found.share:.1%} [{found.low:.1%}, {found.high:.1%}] of {found.n:,} pictures among "
        f"{found.classes:,} classes (strength {found.strength:g}, chosen on the training rows)",
        *(columns(rows, right=range(4)) if found.shots else [])])
