"""Scenes of several emoji: exact masks, nothing overlaps, the same seed gives the same pictures."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from clipmini.data import scenes


@pytest.fixture(scope="module")
def drawings():
    """Eight coloured discs on nothing, two of each subgroup."""
    from datasets import Dataset, Features, List, Value
    from datasets import Image as Pictures

    images = []
    for i in range(8):
        image = Image.new("RGBA", (72, 72))
        ImageDraw.Draw(image).ellipse((8, 8, 64, 64), fill=(30 * i, 255 - 30 * i, 128, 255))
        images.append(image)
    return Dataset.from_dict({"image": images, "captions": [[f"disc {i}", "disc"] for i in range(8)],
                              "subgroup": [f"group {i // 2}" for i in range(8)]},
                             features=Features({"image": Pictures(), "captions": List(Value("string")),
                                                "subgroup": Value("string")}))


def test_masks_are_the_pixels_of_their_things(drawings):
    found = scenes.make(drawings, 40, seed=1)
    assert {len(s.things) for s in found} == {2, 3, 4}
    for s in found:
        assert s.image.size == (224, 224) and s.image.mode == "RGB"
        assert np.sum([t.mask for t in s.things], axis=0).max() == 1  # nothing overlaps
        kinds = [int(t.name.split()[1]) // 2 for t in s.things]
        assert len(set(kinds)) == len(kinds)  # one of each subgroup
        for t in s.things:
            i = int(t.name.split()[1])
            colours = np.asarray(s.image)[t.mask].astype(int)
            near = np.abs(colours - [30 * i, 255 - 30 * i, 128]).max(1)
            assert np.median(near) <= 2
            share = t.mask.any(1).sum() / 224
            assert 0.9 * scenes.SMALLEST * 56 / 72 < share < 1.1 * scenes.LARGEST


def test_without_fetched_subgroups_scenes_hold_several_things(drawings):
    """As after a plain pip install: emojibase-data is not there, and every subgroup is ""."""
    unknown = drawings.remove_columns("subgroup").add_column("subgroup", [""] * 8)
    assert {len(s.things) for s in scenes.make(unknown, 20, seed=1)} == {2, 3, 4}


def test_a_seed_is_a_scene(drawings):
    first, again, other = scenes.make(drawings, 3, seed=5), scenes.make(drawings, 2, seed=5), scenes.make(drawings, 3, seed=6)
    assert first[1].image.tobytes() == again[1].image.tobytes() != other[1].image.tobytes()
    assert len({s.image.tobytes() for s in first}) == 3


def test_nothing_to_make_scenes_of(drawings):
    with pytest.raises(ValueError, match="0 scenes of 8 drawings"):
        scenes.make(drawings, 0)
    with pytest.raises(ValueError, match="of 3 drawings; ask"):
        scenes.make(drawings.select(range(3)), 2)
