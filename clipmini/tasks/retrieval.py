"""Search with pictures and texts, and how well it finds: recall@k where a picture may have several captions."""

import torch
from torch import Tensor


def recall_at_k(queries: Tensor, gallery: Tensor, relevant: Tensor, ks=(1, 5, 10)) -> dict[int, float]:
    """Share of the queries that have at least one relevant item among their first k.

    queries (Q, E), gallery (G, E) unit vectors; relevant (Q, G) bool. CLIP paper, table 13: with five captions a picture a
    picture's query counts as found when any of the five is among the first k.

    >>> recall_at_k(torch.eye(2), torch.eye(2).flip(0), torch.eye(2, dtype=torch.bool), ks=(1, 2))
    {1: 0.0, 2: 1.0}
    """
    if not bool(relevant.any(dim=1).all()):
        raise ValueError(f"query {int((~relevant.any(dim=1)).nonzero()[0])} has no relevant item, so it cannot be found")
    most = min(max(ks), len(gallery))
    hit = torch.cat([relevant[i:i + 1000].gather(1, (queries[i:i + 1000] @ gallery.t()).topk(most).indices)
                     for i in range(0, len(queries), 1000)])  # (Q, most), a thousand queries at a time
    return {k: hit[:, :k].any(dim=1).double().mean().item() for k in ks}


def owners_to_relevance(owners: Tensor, pictures: int) -> Tensor:
    """owners (C,): the picture of each caption -> relevant (C, pictures) bool."""
    return owners[:, None] == torch.arange(pictures)


def retrieval(images: Tensor, texts: Tensor, owners: Tensor, ks=(1, 5, 10)) -> dict[str, dict[int, float]]:
    """Both directions. images (N, E), texts (C, E), owners (C,): which picture a caption describes -> {"t->i": {k: share},
    "i->t": {k: share}}."""
    relevant = owners_to_relevance(owners, len(images))
    return {"t->i": recall_at_k(texts, images, relevant, ks), "i->t": recall_at_k(images, texts, relevant.t(), ks)}
