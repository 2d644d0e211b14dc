"""Which points of a map are near a vector, as the canvas marks and lists them."""

from weakref import WeakKeyDictionary

from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.tasks.maps import projection
from demo_app.map.canvas import Opened, map_name, marks

NEAR = 12  # pictures that are listed, and half as many words
_read: WeakKeyDictionary[Embedder, tuple[list[str], Tensor]] = WeakKeyDictionary()  # who reads -> (names, vectors)


def nearest_points(o: Opened, vector: Tensor, own: int | None = None, words: bool = True) -> dict[int, float]:
    """The NEAR nearest pictures, and half as many words, of a unit vector (E,): point -> cosine, nearest first. own:
    the number of the point that it is of.

    Pictures and words are searched apart, for the modality gap makes every word nearer to words than to any picture.
    Centred vectors were tried: they find no more (recall@1 of the 1,442 words 73.6 % against 73.4 %).
    """
    found = o.found
    near: dict[int, float] = {}
    for first, end, most in ((0, found.pictures, NEAR), (found.pictures, len(found.names), NEAR // 2)):
        if first < end and (words or not first):
            nearest = projection.nearest(vector[None], found.vectors[first:end], min(most + 1, end - first))
            indices, distances = (t[0].tolist() for t in nearest)
            named = [(first + i, 1 - d) for i, d in zip(indices, distances, strict=True) if first + i != own]
            near |= dict(named[:most])
    return near


def marked(o: Opened, vector: Tensor, kind: str, gap: bool, label: str, own: int | None = None,
           thumb: str | None = None, quiet: bool = False) -> str:
    """Marks for the canvas: the neighbours of a text or picture called `label`, or of the point `own`. quiet: the other
    points do not step back.

    A typed text is answered by pictures only: a CLIP never learned which words are alike ("vehicle" is near "burrito").
    """
    near = nearest_points(o, vector, own, words=own is not None or thumb is not None)
    cosines = {i: round(c, 4) for i, c in near.items()}
    if own is not None:
        return marks(list(near), cosines=cosines, label=label, own=own, what="point")
    there = projection.place(vector[None], o.found.vectors, o.found.maps[map_name(kind, gap)])[0].tolist()
    return marks(list(near), cosines=cosines, label=label, query=there, thumb=thumb, what="query",
                 quiet=quiet)


def marked_by_names(o: Opened, reader: Embedder, vector: Tensor, kind: str, gap: bool, label: str, thumb: str,
                    note: str) -> str:
    """Marks for a picture that the model of the map cannot read, but another one can: the drawings of the names that
    the reader finds nearest to it.

    vector (E,): where the reader puts the picture. It is placed beside the first of those drawings. note: what the page
    says of it.
    """
    found = o.found
    names = found.names[:found.pictures]
    if reader not in _read or _read[reader][0] != names:
        _read[reader] = (names, reader.embed_texts(names, truncate=True))
    best = (_read[reader][1] @ vector).topk(min(NEAR, len(names)))
    cosines, points = best.values.tolist(), best.indices.tolist()
    there = projection.place(found.vectors[points[:1]], found.vectors, found.maps[map_name(kind, gap)])[0].tolist()
    return marks(points, cosines={i: round(c, 4) for i, c in zip(points, cosines, strict=True)}, label=label,
                 query=there, thumb=thumb, what="query", quiet=True, note=note)
