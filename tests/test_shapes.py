"""Shapes: the captions must be true, the masks exact, the hard negatives false, and the same seed the same bits."""

import re
import time

import numpy as np
import pytest

from clipmini.data import shapes

PHRASE = re.compile(r"(?:an? )?(?:(small|large) )?(\w+) (\w+)")


def parse(caption: str):
    """'a red star above a blue ring' -> (('red', 'star'), 'above', ('blue', 'ring'))."""
    for relation in shapes.RELATIONS:
        if f" {relation} " in caption:
            first, second = caption.split(f" {relation} ")
            return PHRASE.fullmatch(first).groups()[1:], relation, PHRASE.fullmatch(second).groups()[1:]
    return PHRASE.fullmatch(caption).groups()[1:], "", None


def is_true(caption: str, scene: shapes.Scene) -> bool:
    """Check a caption against nothing but the masks: which object is where."""
    where = {(thing.colour, thing.shape): np.argwhere(thing.mask).mean(0) for thing in scene.objects}
    first, relation, second = parse(caption)
    if first not in where or (second and second not in where):
        return False
    if not relation:
        return True
    down, right = where[second] - where[first]
    if max(abs(down), abs(right)) < 3 or abs(abs(down) - abs(right)) < 0.5:
        return False
    holds = ("left of" if right > 0 else "right of") if abs(right) > abs(down) else ("above" if down > 0 else "below")
    return holds == relation


def scenes(count: int, objects: int, **options):
    return [shapes.scene(seed, objects=objects, **options) for seed in range(count)]


# ---- held-out pairs ------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(20))
def test_every_colour_and_shape_is_held_out_exactly_twice(seed):
    pairs = shapes.held_out_pairs(seed)
    assert len(set(pairs)) == 16
    for names, side in ((shapes.COLOURS, 0), (shapes.SHAPES, 1)):
        assert {name: [pair[side] for pair in pairs].count(name) for name in names} == dict.fromkeys(names, 2)


def test_held_out_pairs_depend_on_the_seed_alone():
    assert shapes.held_out_pairs(3) == shapes.held_out_pairs(3) != shapes.held_out_pairs(4)


@pytest.mark.parametrize("objects", [1, 2])
def test_seen_and_unseen_never_meet(objects):
    held_out = set(shapes.held_out_pairs())
    for split, allowed in (("seen", lambda pair: pair not in held_out), ("unseen", held_out.__contains__)):
        _, plan = shapes.arrays(1500, 1, 16, objects, split)
        colours = list(shapes.COLOURS)
        used = {(colours[plan.colour[i, k]], shapes.SHAPES[plan.shape[i, k]]) for i in range(1500) for k in range(objects)}
        assert all(map(allowed, used)) and len(used) == (48 if split == "seen" else 16)


# ---- masks, boxes, colours -----------------------------------------------------------------------------
@pytest.mark.parametrize("objects", [1, 2])
@pytest.mark.parametrize("size", [32, 48])
def test_masks_and_boxes_are_exact(objects, size):
    for scene in scenes(40, objects, size=size):
        assert scene.image.shape == (size, size, 3) and scene.image.dtype == np.uint8 and len(scene.objects) == objects
        for thing in scene.objects:
            x0, y0, x1, y1 = thing.box
            assert thing.mask.shape == (size, size) and thing.mask.dtype == bool
            assert thing.mask.sum() == thing.mask[y0:y1, x0:x1].sum() > 8
            assert thing.mask[y0].any() and thing.mask[y1 - 1].any() and thing.mask[:, x0].any() and thing.mask[:, x1 - 1].any()
        assert sum(thing.mask.astype(int) for thing in scene.objects).max() == 1


def test_a_mask_holds_its_colour_and_nothing_else_does():
    palette = np.array(list(shapes.COLOURS.values()), float)
    for scene in scenes(60, 2):
        from PIL import Image

        near = [np.abs(scene.image - palette[list(shapes.COLOURS).index(thing.colour)]).max(-1) < 16 for thing in scene.objects]
        for thing, match in zip(scene.objects, near, strict=True):
            # Pixels wholly inside (all eight neighbours too) have the colour up to its jitter; outside none has.
            grown = np.asarray(Image.fromarray(thing.mask).resize((32, 32)))
            inner = grown & np.roll(grown, 1, 0) & np.roll(grown, -1, 0) & np.roll(grown, 1, 1) & np.roll(grown, -1, 1)
            assert match[inner].mean() > 0.9 if inner.any() else match[thing.mask].any()
            assert match[~thing.mask].mean() < 0.02


def test_large_is_larger_than_small():
    area = {(shape, size): [] for shape in shapes.SHAPES for size in shapes.SIZES}
    for scene in scenes(400, 1):
        thing = scene.objects[0]
        area[thing.shape, thing.size].append(thing.mask.mean())
    for shape in shapes.SHAPES:
        assert min(area[shape, "large"]) > 1.5 * max(area[shape, "small"])


def test_shapes_are_what_they_are_called():
    u, v = np.meshgrid(np.linspace(-1.1, 1.1, 221), np.linspace(-1.1, 1.1, 221))
    masks = {shape: shapes.inside(shape, u, v) for shape in shapes.SHAPES}
    middle, area = (110, 110), {shape: mask.mean() * 2.2**2 for shape, mask in masks.items()}
    assert area["circle"] == pytest.approx(np.pi * 0.9, rel=0.01) and area["square"] == pytest.approx(1.6**2, rel=0.03)
    assert area["ring"] == pytest.approx(np.pi * 0.65, rel=0.01) and not masks["ring"][middle] and masks["circle"][middle]
    for shape in set(shapes.SHAPES) - {"crescent"}:
        assert (masks[shape] == masks[shape][:, ::-1]).mean() > 0.995, f"{shape} is not its own mirror image"
    assert masks["triangle"][:110].sum() < masks["triangle"][110:].sum()             # its tip is up
    assert masks["heart"][:110].sum() > masks["heart"][110:].sum() and not masks["heart"][18, 110]   # tip down, dent above
    angles = np.linspace(0, 2 * np.pi, 721)[:-1]
    on_circle = shapes.inside("star", 0.7 * np.sin(angles), -0.7 * np.cos(angles))
    assert (on_circle & ~np.roll(on_circle, 1)).sum() == 5                           # five points
    on_circle = shapes.inside("cross", 0.7 * np.sin(angles), -0.7 * np.cos(angles))
    assert (on_circle & ~np.roll(on_circle, 1)).sum() == 4
    assert all(not np.array_equal(masks[a], masks[b]) for a in masks for b in masks if a != b)


# ---- captions ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("objects", [1, 2])
def test_every_caption_is_true_and_every_negative_false(objects):
    rows = shapes.make(150, 5, objects=objects)
    _, plan = shapes.arrays(150, 5, objects=objects)
    _, masks = shapes.render(plan, 5, 32)
    colours = list(shapes.COLOURS)
    for i, row in enumerate(rows):
        things = tuple(shapes.Object(shapes.SHAPES[plan.shape[i, k]], colours[plan.colour[i, k]], "", masks[i, k], (0, 0, 0, 0))
                       for k in range(objects))
        scene = shapes.Scene(None, "", things, row["relation"])
        assert all(is_true(caption, scene) for caption in row["captions"]), (i, row["captions"])
        false = row["relation_negatives"] + row["binding_negatives"]
        assert len(false) == (0 if objects == 1 else 2) and not any(is_true(caption, scene) for caption in false)
        bag = sorted(row["captions"][0].replace("an ", "a ").split())
        assert all(sorted(caption.replace("an ", "a ").split()) == bag for caption in false)
        assert len(set(row["captions"])) == len(row["captions"]) >= 3


def test_two_objects_differ_in_colour_and_in_shape():
    _, plan = shapes.arrays(2000, 9, 16, 2, "unseen")
    assert (plan.colour[:, 0] != plan.colour[:, 1]).all() and (plan.shape[:, 0] != plan.shape[:, 1]).all()


def test_sizes_in_captions_are_the_sizes_drawn():
    for scene in scenes(50, 2):
        first, _, second = scene.caption.partition(f" {scene.relation} ")
        assert first.endswith(scene.objects[0].name) and second.endswith(scene.objects[1].name)
    assert shapes.with_article("orange ring") == "an orange ring"


def test_all_relations_pairs_and_sizes_come_up_about_equally():
    _, plan = shapes.arrays(8000, 2, 16, "both", "all")
    assert 0.45 < (plan.relation < 0).mean() < 0.55
    counts = np.bincount(plan.relation[plan.relation >= 0], minlength=4)
    assert counts.min() > 0.85 * counts.mean()
    labels = np.bincount(plan.colour[:, 0] * 8 + plan.shape[:, 0], minlength=64)
    assert labels.min() > 0.6 * labels.mean() and 0.45 < plan.large.mean() < 0.55


# ---- the data set --------------------------------------------------------------------------------------
def test_make_follows_the_pairs_contract():
    import datasets

    rows = shapes.make(20, 3, objects="both")
    assert rows.column_names == ["image", "captions", "label", "relation", "relation_negatives", "binding_negatives"]
    assert isinstance(rows.features["image"], datasets.Image) and rows.features["label"].names == list(shapes.NAMES)
    images, _ = shapes.arrays(20, 3, objects="both")
    for row, image in zip(rows, images, strict=True):
        assert np.array_equal(np.asarray(row["image"]), image)                       # PNG keeps every bit
        first = parse(row["captions"][0])[0]
        assert " ".join(first) == shapes.NAMES[row["label"]]
        assert bool(row["relation"]) == bool(row["binding_negatives"]) == bool(row["relation_negatives"])


@pytest.mark.parametrize("objects", [1, 2, "both"])
def test_the_same_seed_gives_the_same_bits(objects):
    one, two, other = (shapes.make(30, seed, objects=objects).to_dict() for seed in (11, 11, 12))
    assert one == two and one["image"] != other["image"] and one["captions"] != other["captions"]
    a, b = shapes.scene(7, objects=2), shapes.scene(7, objects=2)
    assert np.array_equal(a.image, b.image) and a.caption == b.caption and a.objects[0].box == b.objects[0].box


def test_more_scenes_than_a_chunk_are_all_different():
    images, _ = shapes.arrays(shapes._CHUNK * 2 + 5, 4, 16)
    assert len(images) == shapes._CHUNK * 2 + 5 and len({image.tobytes() for image in images}) == len(images)
    one, two = images[:shapes._CHUNK], images[shapes._CHUNK:2 * shapes._CHUNK]
    assert (one == two).mean() < 0.2                                                 # backgrounds are not repeated either


@pytest.mark.parametrize("options, message", [
    ({"pairs": "some"}, "'some'; choose one of all, unseen, seen"), ({"objects": 3}, "objects is 3"),
    ({"size": 8}, "at least 16"), ({"n": 0}, "n is 0")])
def test_wrong_options_name_the_limit(options, message):
    with pytest.raises(ValueError, match=message):
        shapes.make(**{"n": 4, **options})


def test_drawing_is_fast():
    start = time.process_time()
    shapes.arrays(2048, 0, 32, "both")
    assert 2048 / (time.process_time() - start) > 1000       # measured about 6,000 a second; a slow machine may be busy


def test_the_contact_sheet_shows_pictures_and_words():
    sheet = shapes.preview(shapes.make(8, 0, objects=2), columns=4, side=64)
    assert sheet.mode == "RGB" and sheet.width >= 4 * 64 and sheet.height >= 2 * 64
    assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 500
