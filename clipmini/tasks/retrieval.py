"""Search with pictures and texts, and how well it finds, where a picture may have several captions."""

from typing import Any

import torch
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.tasks.metrics import first_ranks, recall_at_k, wilson


def owners_to_relevance(owners: Tensor, pictures: int) -> Tensor:
    """owners (C,): the picture of each caption -> relevant (C, pictures) bool."""
    return owners[:, None] == torch.arange(pictures)


def retrieval(images: Tensor, texts: Tensor, owners: Tensor, ks=(1, 5, 10)) -> dict[str, dict]:
    """Recall at k in both directions, with 95% intervals.

    images (N, E), texts (C, E), owners (C,): which picture a caption describes -> {"t->i": {k: share}, "i->t":
    {k: share}, "t->i interval": {k: (low, high)}, "i->t interval": ...}. The intervals take queries for independent;
    those from text are a little too narrow where several captions describe the same picture.
    """
    return recalls(images, texts, owners_to_relevance(owners, len(images)), ks)


def recalls(images: Tensor, texts: Tensor, relevant: Tensor, ks=(1, 5, 10)) -> dict[str, dict]:
    """The same for relevant (C, N) bool, where a caption may be true of several pictures."""
    found = {"t->i": recall_at_k(texts, images, relevant, ks), "i->t": recall_at_k(images, texts, relevant.t(), ks)}
    queries = {"t->i": len(texts), "i->t": len(images)}
    intervals = {f"{way} interval": {k: wilson(share, queries[way]) for k, share in recall.items()}
                 for way, recall in found.items()}
    return {**found, **intervals}


def captions_of(rows: Any) -> tuple[list[str], Tensor]:
    """The C distinct captions of a pairs dataset of N rows, and of which rows each is true: (C, N) bool."""
    captions = list(dict.fromkeys(c for row in rows["captions"][:] for c in row))
    place = {caption: i for i, caption in enumerate(captions)}
    relevant = torch.zeros(len(captions), len(rows), dtype=torch.bool)
    for i, row in enumerate(rows["captions"][:]):
        relevant[[place[c] for c in row], i] = True
    return captions, relevant


def pairs_report(embedder: Embedder, rows: Any, images: Tensor, texts: Tensor | None = None) -> dict:
    """How well pictures find their captions and captions their pictures.

    rows: a pairs dataset of N pictures, whose captions each is true of every picture that has it; images (N, E): their
    vectors; texts (C, E): those of captions_of(rows), where they are known. Returns plain values: n pictures, captions,
    and for each way ("i->t", "t->i") recall at 1, 5, 10 with their intervals, the median rank, and mean_recall over all
    of these.
    """
    captions, relevant = captions_of(rows)
    texts = embedder.embed_texts(captions, truncate=True) if texts is None else texts
    found = recalls(images, texts, relevant)
    ways = {"i->t": (images, texts, relevant.t()), "t->i": (texts, images, relevant)}
    answer: dict = {"n": len(images), "captions": len(captions)}
    for way, asked in ways.items():
        answer[way] = {"recall": {f"{k}": share for k, share in found[way].items()},
                       "interval": {f"{k}": list(pair) for k, pair in found[f"{way} interval"].items()},
                       "median_rank": float(first_ranks(*asked).double().median())}
    shares = [share for way in ways for share in found[way].values()]
    return answer | {"mean_recall": sum(shares) / len(shares)}
