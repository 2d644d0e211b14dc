"""Does the model read, or only spot words? Two captions of the same words, one true of the picture, one not.

Yuksekgonul et al. 2023 ("bag-of-words") found published CLIPs near chance on such pairs. 50% is chance.
"""

import torch

from clipmini.embedder import Embedder

KINDS = ("relation", "binding")


def order_accuracy(embedder: Embedder, dataset, batch_size: int = 256) -> dict[str, float]:
    """Share of (true, false) caption pairs in which the true one has the larger cosine.

    dataset: columns image, captions, relation_negatives and binding_negatives (lists of false captions of the same words).
    Each false caption is compared with the row's first caption. Returns {"relation": share, "binding": share,
    "n": rows used}. Raises ValueError when no row has such captions.
    """
    missing = [f"{kind}_negatives" for kind in KINDS if f"{kind}_negatives" not in dataset.column_names]
    if missing:
        raise ValueError(f"the data has no column {missing[0]!r}; clipmini.data.shapes.make(objects=2) has")
    wins = {kind: [] for kind in KINDS}
    rows = 0
    for batch in dataset.iter(batch_size):
        keep = [i for i in range(len(batch["image"])) if all(batch[f"{kind}_negatives"][i] for kind in KINDS)]
        if not keep:
            continue
        rows += len(keep)
        image = embedder.embed_images([batch["image"][i] for i in keep])
        true = (image * embedder.embed_texts([batch["captions"][i][0] for i in keep])).sum(1)
        for kind in KINDS:
            false = (image * embedder.embed_texts([batch[f"{kind}_negatives"][i][0] for i in keep])).sum(1)
            # A model blind to order gives both the same cosine: half a point, not a win or a loss by rounding.
            wins[kind].append(torch.where((true - false).abs() < 1e-6, 0.5, (true > false).float()))
    if not rows:
        raise ValueError("no row of the data has captions to compare; use scenes with two objects")
    return {**{kind: torch.cat(wins[kind]).mean().item() for kind in KINDS}, "n": rows}
