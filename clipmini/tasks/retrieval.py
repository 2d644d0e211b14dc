"""Search with pictures and texts, and how well it finds, where a picture may have several captions."""

import torch
from torch import Tensor

from clipmini.tasks.metrics import recall_at_k, wilson


def owners_to_relevance(owners: Tensor, pictures: int) -> Tensor:
    """owners (C,): the picture of each caption -> relevant (C, pictures) bool."""
    return owners[:, None] == torch.arange(pictures)


def retrieval(images: Tensor, texts: Tensor, owners: Tensor, ks=(1, 5, 10)) -> dict[str, dict]:
    """Recall at k in both directions, with 95% intervals.

    images (N, E), texts (C, E), owners (C,): which picture a caption describes -> {"t->i": {k: share}, "i->t":
    {k: share}, "t->i interval": {k: (low, high)}, "i->t interval": ...}. The intervals take queries for independent;
    those from text are a little too narrow where several captions describe the same picture.
    """
    relevant = owners_to_relevance(owners, len(images))
    found = {"t->i": recall_at_k(texts, images, relevant, ks), "i->t": recall_at_k(images, texts, relevant.t(), ks)}
    queries = {"t->i": len(texts), "i->t": len(images)}
    intervals = {f"{way} interval": {k: wilson(share, queries[way]) for k, share in recall.items()}
                 for way, recall in found.items()}
    return {**found, **intervals}
