"""Parts of drawings: shapes drawn alone, nested, and exact."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from clipmini.data import parts
from clipmini.data.base import SourceError
from clipmini.data.emoji import art, sources, words

pytest.importorskip("resvg_py")
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 72 72">'
FACE = HEAD + ('<circle cx="36" cy="36" r="34" fill="#fc0"/><g transform="translate(0 2)">'
               '<circle cx="24" cy="26" r="8" fill="white"/><circle cx="24" cy="26" r="4"/></g>'
               '<path d="M40 20h12v12h-12zM30 50h16v6h-16z" fill="red"/></svg>')


def disc(x, y, r, side):
    """A circle of the 72 units, drawn by Pillow four times as large and halved by counting."""
    large = Image.new("L", (4 * side, 4 * side))
    k = 4 * side / 72
    ImageDraw.Draw(large).ellipse(((x - r) * k, (y - r) * k, (x + r) * k, (y + r) * k), fill=255)
    return np.asarray(large.resize((side, side), Image.Resampling.BOX)) > 127


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("side", [72, 144, 200])
def test_a_face_and_what_is_in_it(side):
    found = parts.cut(FACE, side)
    assert found.image.size == (side, side) and overlap(found.whole, disc(36, 36, 34, side)) > 0.99
    eye, pupil, left, right = (part.mask for part in found.parts)  # the head is the whole; the path is two pieces
    assert overlap(eye, disc(24, 28, 8, side)) > 0.96 and overlap(pupil, disc(24, 28, 4, side)) > 0.9
    k = side / 72
    for piece, (x0, y0, x1, y1) in ((left, (40, 20, 52, 32)), (right, (30, 50, 46, 56))):
        box = np.zeros((side, side), bool)
        box[round(y0 * k):round(y1 * k), round(x0 * k):round(x1 * k)] = True
        assert overlap(piece, box) > 0.9
    assert [part.parent for part in found.parts] == [-1, 0, -1, -1]
    assert [found.level(i) for i in range(4)] == [1, 2, 1, 1]


def test_what_covers_a_part_is_none_of_it():
    covered = HEAD + '<rect x="4" y="4" width="40" height="40"/><rect x="30" y="4" width="38" height="64" fill="red"/></svg>'
    first, second = (part.mask for part in parts.cut(covered, 72).parts)
    assert first.sum() == 26 * 40 and second.sum() == 38 * 64 and not (first & second).any()


def test_what_is_no_part():
    small = '<rect x="20" y="20" width="5" height="5"/>'
    faint = '<rect x="20" y="30" width="30" height="20" opacity="0.3"/>'
    again = '<rect x="2" y="2" width="68" height="67"/>'
    aside = ('<defs><path id="a" d="M0 0h72v30h-72z"/></defs><clipPath id="c"><rect width="30" height="30"/></clipPath>')
    assert parts.cut(HEAD + '<rect x="2" y="2" width="68" height="68"/>' + small + faint + again + "</svg>", 72).parts == ()
    used = parts.cut(HEAD + aside + '<rect width="72" height="72"/><use xlink:href="#a" clip-path="url(#c)"/></svg>', 72)
    assert len(used.parts) == 1 and used.parts[0].mask.sum() == 30 * 30  # the clip counts, what defs hold does not
    assert parts.cut(HEAD + "</svg>", 72).parts == ()


def test_mirrored_and_no_square():
    plain, mirrored = parts.cut(FACE, 72), parts.cut(FACE, 72, mirrored=True)
    assert [np.array_equal(a.mask, b.mask[:, ::-1]) for a, b in zip(plain.parts, mirrored.parts, strict=True)] == [True] * 4
    wide = parts.cut(HEAD.replace("0 0 72 72", "0 0 72 36") + '<rect width="72" height="36"/><rect x="8" y="8" width="20" '
                     'height="20"/></svg>', 72)
    assert wide.whole.sum() == 72 * 36 and wide.whole[18:54].all() and wide.parts[0].mask.sum() == 20 * 20


def test_each_shape_alone_adds_up_to_the_drawing():
    texts = parts.leaves(FACE)
    assert len(texts) == 4 and np.array_equal(np.any([parts.covered(text, 72) for text in texts], axis=0),
                                              parts.covered(FACE, 72))


def test_twemoji_comes_apart():
    drawings = parts.Drawings("twemoji")
    concepts = words.concepts()[::40]
    found = [got for concept in concepts if (got := drawings.cut(concept, 72))]
    assert len(found) > 30
    assert np.mean([len(got.parts) >= 3 for got in found]) > 0.6
    assert 0.2 < np.mean([max([got.level(i) for i in range(len(got.parts))], default=0) >= 2 for got in found]) < 0.8
    for got in found:
        for part in got.parts:
            assert part.mask.sum() >= 30 and not (part.mask & ~got.whole).any()
            assert part.parent < 0 or got.parts[part.parent].mask.sum() > part.mask.sum()
    dog = next(concept for concept in words.concepts() if concept.name == "dog face")
    levels = drawings.cut(dog)
    eyes = [part for part in levels.parts if 0.003 < part.mask.mean() < 0.02]
    assert len(eyes) >= 2


@pytest.mark.parametrize("style", ["twemoji", "noto"])
def test_they_are_parts_of_the_pictures_that_are_trained_on(style):
    if not sources.source_path(style):
        pytest.skip(f"{style} is not fetched")
    concept = next(concept for concept in words.concepts() if concept.name == "dog face")
    picture = art.to_square(art.artist(style).draw(concept))
    assert overlap(parts.Drawings(style).cut(concept, 72).whole, np.asarray(picture.getchannel("A")) > 127) > 0.97


def test_styles_without_flat_shapes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'openmoji' has no flat shapes to take apart; there are twemoji, noto"):
        parts.Drawings("openmoji")
    with pytest.raises(SourceError, match="'noto' is not here; to get it"):
        parts.Drawings("noto", cache=tmp_path)
