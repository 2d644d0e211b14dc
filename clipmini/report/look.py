"""What a report shows of one question: which answers are wrong, how sure they were, and what another model had said."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.evaluate import targets_of
from clipmini.tasks.metrics import Reliability, accuracy, first_ranks, mean_per_class_recall, reliability, wilson
from clipmini.tasks.questions import Question
from clipmini.tasks.retrieval import captions_of, pairs_report

Number = tuple[str, float, float, float]  # what, share, its interval


class Look:
    """What Labels and Pairs share. rank (N,): the place of the right answer to each row, from 1."""

    rank: Tensor

    @property
    def right(self) -> Tensor:
        """(N,) bool."""
        return self.rank == 1

    def _wrong(self, by: Tensor) -> list[int]:
        """Numbers of the rows that are wrong, those with the largest values of by (N,) first."""
        return [i for i in by.argsort(descending=True, stable=True).tolist() if not self.right[i]]


@dataclass(frozen=True)
class Labels(Look):
    """Zero-shot classification of N pictures among K names.

    rows: the dataset; numbers: the shares with their intervals; names: K; targets, said (N,): the right class and the
    first answer; share (N,): the first answer's probability; rank (N,): the place of the right one, from 1; bins: how
    sure against how often right.
    """

    rows: Any
    numbers: list[Number]
    names: tuple[str, ...]
    targets: Tensor
    said: Tensor
    share: Tensor
    rank: Tensor
    bins: Reliability

    def classes(self) -> list[tuple[str, int, float, float, float]]:
        """(name, pictures, share right, and its interval) of each class that occurs, the worst first."""
        count = torch.bincount(self.targets, minlength=len(self.names))
        hit = torch.bincount(self.targets[self.right], minlength=len(self.names))
        found = [(name, n, h / n, *wilson(h / n, n)) for name, n, h in
                 zip(self.names, count.tolist(), hit.tolist(), strict=True) if n]
        return sorted(found, key=lambda row: (row[2], -row[1]))

    def confusions(self) -> list[tuple[int, int, int]]:
        """(right class, what was said, how often), the most frequent first."""
        wrong = ~self.right
        pairs, counts = torch.stack([self.targets[wrong], self.said[wrong]], 1).unique(dim=0, return_counts=True)
        order = counts.argsort(descending=True, stable=True).tolist()
        return [(*pairs[i].tolist(), int(counts[i])) for i in order]

    def worst(self) -> list[int]:
        """Numbers of the rows that are wrong, the surest first."""
        return self._wrong(self.share)


@dataclass(frozen=True)
class Pairs(Look):
    """Pictures that look for their captions. captions: C distinct ones; first (N,): the caption that is nearest to each
    picture; own (N,): the nearest of its own; rank (N,): that one's place, from 1."""

    rows: Any
    numbers: list[Number]
    captions: tuple[str, ...]
    first: Tensor
    own: Tensor
    rank: Tensor

    def worst(self) -> list[int]:
        """Numbers of the rows whose captions lie farthest, the farthest first."""
        return self._wrong(self.rank)


@dataclass(frozen=True)
class Compared:
    """Rows that only the new model has right (won), and those that only the old one had (lost)."""

    won: list[int]
    lost: list[int]
    old: Labels | Pairs


def labels_of(embedder: Embedder, question: Question, rows: Any, vectors: Tensor) -> Labels:
    """The answers to a question of kind "labels". vectors (N, E): of the rows' pictures."""
    targets, names = targets_of(rows, question.labels, question.candidates)
    logits = embedder.logit_scale * vectors @ build_classifier(embedder, names, question.templates).t()  # (N, K)
    said = logits.argmax(dim=1)
    shares = logits.softmax(dim=1)
    rank = 1 + (logits > logits.gather(1, targets[:, None])).sum(dim=1)
    share = shares.gather(1, said[:, None])[:, 0]
    top = {k: accuracy(rank <= k) for k in (1, 5)}
    recall, interval = mean_per_class_recall(rank == 1, targets)
    numbers: list[Number] = [(f"top-{k}", found, *wilson(found, len(rank))) for k, found in top.items()]
    numbers.append(("mean of the classes", recall, *interval))
    return Labels(rows, numbers, names, targets, said, share, rank, reliability(share, rank == 1))


def pairs_of(embedder: Embedder, question: Question, rows: Any, vectors: Tensor) -> Pairs:
    """The answers to a question of kind "pairs", from pictures to captions."""
    captions, relevant = captions_of(rows)
    texts = embedder.embed_texts(captions, truncate=True)
    cosines, own = vectors @ texts.t(), relevant.t()  # (N, C)
    told = pairs_report(embedder, rows, vectors, texts)
    ways = {"a picture finds a caption of its own": told["i->t"], "a caption finds its picture": told["t->i"]}
    numbers: list[Number] = [(f"{way}, among the first {k}", share, *found["interval"][k])
                             for way, found in ways.items() for k, share in found["recall"].items()]
    nearest_own = cosines.masked_fill(~own, -torch.inf).argmax(dim=1)
    return Pairs(rows, numbers, tuple(captions), cosines.argmax(dim=1), nearest_own, first_ranks(vectors, texts, own))


def compared(new: Labels | Pairs, old: Labels | Pairs) -> Compared:
    """What changed from one model's answers to another's, of the same rows."""
    won, lost = new.right & ~old.right, old.right & ~new.right
    return Compared(won.nonzero().flatten().tolist(), lost.nonzero().flatten().tolist(), old)
