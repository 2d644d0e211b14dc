"""Which points of a map are near a vector, as the page lists and marks them."""

from torch import Tensor

from clipmini.tasks.maps import projection
from demo_app.map.canvas import Opened, map_name, marks

NEAR = 12  # neighbours that are listed


def neighbours(o: Opened, vector: Tensor, kind: str, gap: bool, own: int | None = None) -> tuple[list, list, str]:
    """The nearest pictures, and half as many words, of a unit vector (E,); own: the number of the point that it is of.

    -> (thumbnails for a gr.Gallery, rows for a table, marks for the canvas). Pictures and words are searched apart, for
    the modality gap makes every word nearer to words than to any picture.
    """
    found = o.found
    near: list[int] = []
    cosines: dict[int, float] = {}
    for first, end, most in ((0, found.pictures, NEAR), (found.pictures, len(found.names), NEAR // 2)):
        if first == end:
            continue
        nearest = projection.nearest(vector[None], found.vectors[first:end], min(most + 1, end - first))
        indices, distances = (t[0].tolist() for t in nearest)
        named = {first + i: 1 - d for i, d in zip(indices, distances, strict=True) if first + i != own}
        near += list(named)[:most]
        cosines |= named
    if own is not None:
        return *listed(o, near, cosines), marks([*near, own])
    there = projection.place(vector[None], found.vectors, found.maps[map_name(kind, gap)])[0].tolist()
    return *listed(o, near, cosines), marks(near, there)


def listed(o: Opened, near: list[int], cosines: dict[int, float]) -> tuple[list, list]:
    """Points as (thumbnails, rows of name, kind, group, cosine)."""
    found = o.found
    gallery = [(found.thumbnail(i), found.names[i]) for i in near[:60] if i < found.pictures]
    return gallery, [[found.names[i], "▣" if i < found.pictures else "T", found.groups[i],
                      f"{cosines[i]:.3f}" if i in cosines else ""] for i in near[:200]]
