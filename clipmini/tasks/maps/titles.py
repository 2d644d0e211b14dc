"""Names for the parts of a map: k-means on its places, and the word that tells a part from the rest.

A name is given only where it is true of its part: the word must rank the part's members above all others in
PURE of 100 pairs. On the maps of the two embedded models' drawings, that keeps about half of the parts.
"""

from typing import NamedTuple

import torch
from torch import Tensor

PURE = 0.95  # area under the ROC curve; see tests/test_maps_titles.py for how often such names are right
FEWEST = 6  # points of a part that gets a name
CANDIDATES = 8  # words that are tried for each part


class Title(NamedTuple):
    """A name at a place of a map, in English and in Chinese (the same, where nobody has translated it)."""

    x: float
    y: float
    en: str
    zh: str


def clusters(xy: Tensor, k: int, seed: int = 0) -> Tensor:
    """k-means (Lloyd 1982, started by k-means++) of places (N, 2) -> number of the cluster of each (N,).

    >>> clusters(torch.tensor([[0.0, 0.0], [9.0, 9.0], [0.1, 0.0], [9.0, 9.1]]), 2).unique(return_counts=True)[1]
    tensor([2, 2])
    """
    generator, k = torch.Generator().manual_seed(seed), min(k, len(xy))
    centres = xy[torch.randint(len(xy), (1,), generator=generator)]
    while len(centres) < k:
        far = torch.cdist(xy, centres).amin(1).square() + 1e-12
        centres = torch.cat([centres, xy[torch.multinomial(far, 1, generator=generator)]])
    for _ in range(50):
        nearest = torch.cdist(xy, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, xy)
        counts = torch.bincount(nearest, minlength=k)[:, None]
        moved = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return torch.cdist(xy, centres).argmin(1)


def auc(scores: Tensor, member: Tensor) -> float:
    """How often a member's score is above another's: scores (N,), member (N,) bool -> 0 to 1.

    >>> auc(torch.tensor([0.1, 0.9, 0.8]), torch.tensor([False, True, True]))
    1.0
    """
    ranks = scores.argsort().argsort().double()
    n = int(member.sum())
    return float((ranks[member].sum() - n * (n - 1) / 2) / max(n * (len(member) - n), 1))


def titles(xy: Tensor, level: Tensor, pictures: int, names: list[str], pure: float = PURE) -> list[Title]:
    """The names of a map's parts, as many parts as the root of its points; [] without words.

    xy: places (N, 2); level: vectors (N, E), each modality less its own mean; the first `pictures` are pictures, the
    rest words, called names (N).
    """
    words, found = level[pictures:], []
    if not len(words):
        return []
    part = clusters(xy, round(len(xy) ** 0.5))
    for number in part.unique().tolist():
        member = part == number
        of_pictures = int(member[:pictures].sum()) * 2 >= int(member.sum())
        rows, inside = (level[:pictures], member[:pictures]) if of_pictures else (words, member[pictures:])
        if int(inside.sum()) < FEWEST or bool(inside.all()):
            continue
        said = words @ rows[inside].mean(0)
        tried = [(auc(rows @ words[i], inside), names[pictures + i])
                 for i in said.topk(min(CANDIDATES, len(words))).indices.tolist()]
        best = max(score for score, _ in tried)
        if best >= pure:
            name = min((name for score, name in tried if score >= max(best - 0.01, pure)), key=len)
            x, y = xy[member].median(0).values.tolist()
            found.append(Title(x, y, name, name))
    return found
