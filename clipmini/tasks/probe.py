"""The linear probe: how much is in the vectors, asked with labels (Radford et al. 2021, section 3.2), and few-shot
curves to set beside zero-shot. The optimiser is scikit-learn's logistic regression; the extra is `maps`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

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
