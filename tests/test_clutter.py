"""Cluttered scenes: what covers what, what is seen of each thing and part, the same seed the same pictures."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from clipmini.data import clutter, parts
from clipmini.data.scenes import absent_names
from clipmini.data.shapes import COLOURS


@pytest.fixture(scope="module")
def drawings():
    """Eight discs of a colour each on nothing, with a square hole of another colour as their part."""
    from datasets import Dataset, Features, List, Value
    from datasets import Image as Pictures

    rows = {"image": [], "parts": [], "captions": [], "subgroup": [], "concept": []}
    for i in range(8):
        image, part = Image.new("RGBA", (144, 144)), Image.new("1", (144, 144))
        ImageDraw.Draw(image).ellipse((16, 16, 128, 128), fill=(30 * i, 255 - 30 * i, 128, 255))
        ImageDraw.Draw(image).rectangle((52, 52, 92, 92), fill=(255 - 30 * i, 9, 20, 255))
        ImageDraw.Draw(part).rectangle((52, 52, 92, 92), fill=1)
        for name, value in (("image", image), ("parts", [parts.png(part)]), ("captions", [f"disc {i}"]),
                            ("subgroup", f"group {i // 2}"), ("concept", str(i))):
            rows[name].append(value)
    text = Value("string")
    return Dataset.from_dict(rows, features=Features({
        "image": Pictures(), "parts": List(Value("binary")), "captions": List(text), "subgroup": text, "concept": text}))


@pytest.fixture(scope="module")
def found(drawings):
    return clutter.make(drawings, 60, seed=1)


def test_masks_are_the_pixels_of_their_things(found):
    assert {len(one.things) for one in found} >= {1, 2, 3, 4}
    for one in found:
        assert one.image.size == (144, 144) and one.image.mode == "RGB"
        assert np.sum([thing.mask for thing in one.things], axis=0).max() == 1  # each pixel is of what is in front
        pixels = np.asarray(one.image).astype(int)
        for thing in one.things:
            assert thing.mask.sum() > 50
            if thing.name.startswith("disc"):
                i = int(thing.name.split()[1])
                (part,) = thing.parts or (np.zeros_like(thing.mask),)
                assert not (part & ~thing.mask).any()
                rest = thing.mask & ~part
                if thing.parts and part.sum() > 150:  # else too many of its pixels lie on its edge
                    assert np.median(np.abs(pixels[part] - [255 - 30 * i, 9, 20]).max(1)) <= 2
                    assert np.median(np.abs(pixels[rest] - [30 * i, 255 - 30 * i, 128]).max(1)) <= 2
            else:
                colour = COLOURS[thing.name.split()[0]]
                assert np.median(np.abs(pixels[thing.mask] - colour).max(1)) <= 2 and not thing.parts


def test_there_are_overlaps_repeats_shapes_and_half_seen_parts(found):
    names = [[thing.name for thing in one.things] for one in found]
    assert any(len(set(n)) < len(n) for n in names) and any("disc" not in name for n in names for name in n)
    whole = [thing for one in found for thing in one.things if thing.name.startswith("disc")]
    filled = [thing.mask.sum() / max(1, np.ptp(np.nonzero(thing.mask)[0]) + 1) ** 2 for thing in whole]
    assert min(filled) < 0.7 < max(filled)  # a disc that nothing covers fills 0.785 of its square
    assert any(not thing.parts for thing in whole) and sum(bool(thing.parts) for thing in whole) > len(whole) / 2


def test_half_of_each_thing_is_seen(drawings, monkeypatch):
    """Of all that was placed, whatever came later."""
    kept = []
    seen = clutter._seen
    monkeypatch.setattr(clutter, "_seen", lambda placed: kept.append((placed, seen(placed))) or kept[-1][1])
    clutter.make(drawings, 40, seed=3)
    shares = [thing.mask.sum() / mask.sum() for placed, things in kept
              for (_, mask, _), thing in zip(placed, things, strict=True)]
    assert len(shares) > 60 and min(shares) >= clutter.SEEN and max(shares) == 1 and min(shares) < 0.9


def test_a_scene_depends_on_its_seed_and_number_alone(drawings):
    five, two = clutter.make(drawings, 5, seed=7), clutter.make(drawings, 2, seed=7)
    for one, other in zip(five, two, strict=False):
        assert np.array_equal(np.asarray(one.image), np.asarray(other.image))
        assert [t.name for t in one.things] == [t.name for t in other.things]
    assert not np.array_equal(np.asarray(five[0].image), np.asarray(clutter.make(drawings, 1, seed=8)[0].image))


def test_absent_words_are_of_other_kinds(drawings, found):
    few = [one for one in found if len(one.things) <= 2]
    for one, absent in zip(few, absent_names(drawings, few, 3), strict=True):
        groups = {int(t.name.split()[1]) // 2 for t in one.things if t.name.startswith("disc")}
        assert len(absent) == 3 and not groups & {int(name.split()[1]) // 2 for name in absent}


@pytest.mark.parametrize("n, rows", [(0, 8), (3, 3)])
def test_what_cannot_be_made(drawings, n, rows):
    with pytest.raises(ValueError, match=f"{n} scenes of {rows} drawings; ask for one scene or more"):
        clutter.make(drawings.select(range(rows)), n)


def test_the_edges_of_parts_are_drawn(found):
    one = next(one for one in found if len(one.things) == 1 and one.things[0].parts)
    drawn = np.asarray(clutter.masks_of(one))
    (part,) = one.things[0].parts
    assert (drawn[part] == 255).all(-1).any() and (drawn[~one.things[0].mask] == 40).all()


def test_cuts_are_stored_and_read_again(tmp_path, monkeypatch):
    pytest.importorskip("resvg_py")
    from clipmini.data.emoji import words

    some = [concept for concept in words.concepts() if concept.name in ("dog face", "clockwise vertical arrows", "red heart")]
    monkeypatch.setattr(words, "concepts", lambda: some)
    monkeypatch.setenv("CLIPMINI_CACHE", str(tmp_path))
    rows = parts.load("twemoji", progress=False)
    dog = [row for row in rows if row["captions"][0] == "dog face"][0]
    wanted = parts.Drawings("twemoji").cut(next(c for c in some if c.name == "dog face"))
    masks = [np.asarray(Image.open(io.BytesIO(part))) for part in dog["parts"]]
    assert all(np.array_equal(a, b.mask) for a, b in zip(masks, wanted.parts, strict=True)) and len(rows) == len(some)
    monkeypatch.setattr(parts, "_columns", None)  # what is whole is not cut again
    assert parts.load("twemoji", progress=False)["concept"][:] == rows["concept"][:]
