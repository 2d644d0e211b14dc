"""The segmenter: each part against a trusted one, coordinates to the pixel, prompts of all kinds."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco
from torch import nn

import clipmini
from clipmini.data.scenes import Scene, Thing
from clipmini.segmenter import rle
from clipmini.segmenter.decoder import Attention, Decoded
from clipmini.segmenter.encoders import CORNER, NOT_A_POINT, OPPOSITE, POSITIVE, PromptEncoder, Prompts, Seen
from clipmini.segmenter.examples import (
    CHAIN,
    Vocabulary,
    as_picture,
    batch,
    box_of,
    coarse,
    corrected,
    padded,
)
from clipmini.segmenter.frame import Frame
from clipmini.segmenter.loss import mask_loss, overlap, segmenter_loss
from clipmini.segmenter.predict import MaskPredictor
from clipmini.segmenter.prompt import Prompt, PromptError, checked
from clipmini.segmenter.train import SegmenterTraining, beginning, train
from clipmini.training import TrainingError


@pytest.fixture(scope="module")
def embedder():
    return clipmini.load("emoji", device="cpu")


@pytest.fixture(scope="module")
def model(embedder):
    return beginning(embedder, side=48, seed=3, width=32, heads=2)


@pytest.fixture(scope="module")
def predictor(model, embedder):
    return MaskPredictor(model, embedder)


def drawing(width=90, height=60) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    levels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    levels[10:30, 20:50] = (250, 40, 40)
    return Image.fromarray(levels)


def disc_scene(seed=0, size=48) -> Scene:
    """Two discs, one with a square in it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    one = (x - 14) ** 2 + (y - 14) ** 2 < 100
    other = (x - 34) ** 2 + (y - 34) ** 2 < 80
    part = one & (abs(x - 14) < 4) & (abs(y - 14) < 4)
    levels = rng.integers(0, 60, (size, size, 3)).astype(np.uint8)
    levels[one], levels[other], levels[part] = (200, 30, 30), (30, 30, 220), (240, 240, 0)
    return Scene(Image.fromarray(levels), (Thing("red circle", one, (part,)), Thing("blue circle", other)))


# --- the parts against trusted ones

def test_attention_is_torchs():
    ours, theirs = Attention(24, 3), nn.MultiheadAttention(24, 3, batch_first=True)
    nn.init.normal_(ours.k.weight)  # it starts as q's
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.q.weight, ours.k.weight, ours.v.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.q.bias, ours.k.bias, ours.v.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    q, k = torch.randn(2, 5, 24, requires_grad=True), torch.randn(2, 7, 24)
    valid = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    a, b = ours(q, k, k + 1, valid), theirs(q, k, k + 1, key_padding_mask=~valid)[0]
    assert torch.allclose(a, b, atol=1e-6)
    ga, gb = (torch.autograd.grad(out.square().sum(), q, retain_graph=True)[0] for out in (a, b))
    assert torch.allclose(ga, gb, atol=1e-5)


def test_attention_in_a_narrower_space_is_the_formula():
    layer = Attention(16, 2, inner=8)
    q, k, v = torch.randn(1, 3, 16), torch.randn(1, 4, 16), torch.randn(1, 4, 16)
    heads = []
    for h in range(2):
        rows = slice(4 * h, 4 * h + 4)
        a, b, c = (nn.functional.linear(x[0], m.weight[rows], m.bias[rows])
                   for x, m in ((q, layer.q), (k, layer.k), (v, layer.v)))
        heads.append(torch.softmax(a @ b.t() / 2, -1) @ c)
    assert torch.allclose(layer(q, k, v)[0], layer.out(torch.cat(heads, -1)), atol=1e-6)


def test_positions_are_the_formula():
    encoder = PromptEncoder(8, 12)
    found = encoder.positions(torch.tensor([[0.25, 0.75]]))[0]
    for i in range(6):
        angle = 2 * math.pi * (-0.5 * encoder.directions[0, i] + 0.5 * encoder.directions[1, i])
        assert found[i].item() == pytest.approx(math.sin(angle), abs=1e-5)
        assert found[6 + i].item() == pytest.approx(math.cos(angle), abs=1e-5)
    grid = encoder.grid(2, 3)
    assert torch.allclose(grid[4], encoder.positions(torch.tensor([1.5 / 3, 1.5 / 2])))  # row 1, column 1


def test_a_prompt_without_points_says_so():
    encoder = PromptEncoder(8, 12)
    prompts = Prompts(torch.zeros(2, 1, 2), torch.tensor([[-1], [POSITIVE]]), torch.zeros(2, 8), torch.zeros(2, 1, 8, 8),
                      torch.tensor([True, False]))
    tokens, valid = encoder.tokens(prompts)
    assert valid.tolist() == [[False, True, False], [True, False, False]]
    assert torch.equal(tokens[0, 1], encoder.types.weight[NOT_A_POINT])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
def test_run_lengths_are_cocos(height, width, share, seed):
    mask = np.random.default_rng(seed).random((height, width)) < share
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = rle.encode(mask)
    assert ours["counts"] == theirs["counts"].decode() and ours["size"] == list(theirs["size"])
    assert np.array_equal(rle.decode(ours), mask)


def test_large_runs_are_cocos():
    mask = np.zeros((1200, 900), bool)
    mask[100:900, 50:700] = True
    assert rle.encode(mask)["counts"] == coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    with pytest.raises(ValueError, match="fill"):
        rle.decode({"size": [3, 3], "counts": rle.encode(mask)["counts"]})


# --- coordinates

@pytest.mark.parametrize("size", [(90, 60), (60, 90), (48, 48), (500, 31), (7, 5)])
def test_a_point_is_where_its_pixel_is(size):
    """One bright pixel, or a block of them, is found where points_in says it is."""
    width, height = size
    block = max(1, max(size) // 24)
    for x, y in ((0, 0), (width - block, height - block), (width // 2, height // 3)):
        levels = np.zeros((height, width, 3), np.uint8)
        levels[y:y + block, x:x + block] = 255
        frame = Frame.whole(Image.fromarray(levels), 48)
        pixels = frame.pixels(Image.fromarray(levels), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))[0].clamp(min=0)
        rows, columns = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(48) + 0.5, indexing="ij")
        middle = torch.stack([(pixels * columns).sum(), (pixels * rows).sum()]) / pixels.sum()
        told = frame.points_in(torch.tensor([x + block / 2, y + block / 2])) * 48
        assert (middle - told).abs().max() < 0.8, (x, y, middle, told)  # the bicubic kernel is cut at the edges


@pytest.mark.parametrize("size", [(90, 60), (61, 97), (48, 48), (300, 40)])
def test_masks_come_back_where_they_were(size):
    width, height = size
    y, x = np.mgrid[:height, :width]
    mask = torch.from_numpy((x > width * 0.3) & (x < width * 0.8) & (y > height * 0.2) & (y < height * 0.7))
    frame = Frame.whole(Image.new("RGB", size), 96)
    small = frame.mask_in(mask.float() * 2 - 1, 48)
    back = frame.masks_out(small[None])[0] > 0
    assert back.shape == mask.shape
    assert overlap(back.float() - 0.5, mask.float()) > 0.85
    padding = small[frame.inner(48)[0]:], small[:, frame.inner(48)[1]:]
    assert all(bool((part == -1).all()) for part in padding)


def test_a_mask_of_the_models_own_resolution_comes_back_exactly():
    frame = Frame.whole(Image.new("RGB", (48, 48)), 96)
    logits = torch.randn(3, 48, 48)
    assert torch.equal(frame.masks_out(logits), logits)


def test_a_window_is_a_picture_of_its_own():
    frame = Frame.whole(Image.new("RGB", (200, 100)), 48).around((150.0, 20.0, 170.0, 30.0))
    left, top, right, bottom = frame.window
    assert left < 150 and top < 20 and right > 170 and bottom > 30 and right - left < 60
    assert torch.allclose(frame.points_in(torch.tensor([float(left), float(top)])), torch.zeros(2))
    out = frame.masks_out(torch.ones(1, 24, 24))[0] > 0
    assert out.shape == (100, 200)
    assert torch.equal(out.nonzero().amin(0), torch.tensor([top, left]))
    assert torch.equal(out.nonzero().amax(0) + 1, torch.tensor([bottom, right]))
    part = frame.masks_out(torch.ones(1, 24, 24), window=(left - 2, top, left + 5, top + 3))[0] > 0
    assert part.tolist() == [[False] * 2 + [True] * 5] * 3
    cells = (0.0, 0.0, float(frame.inner(24)[1]), float(frame.inner(24)[0]))
    assert frame.box_out(cells, 24) == pytest.approx(frame.window)


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (97, 97)])
@pytest.mark.parametrize("box", [(20.0, 30.0, 52.0, 60.0), (0.0, 0.0, 12.0, 9.0), (70.0, 80.0, 97.0, 97.0)])
def test_a_map_is_carried_into_a_window(size, box):
    """A map of coordinates, read in the window, is the coordinates of the window."""
    frame = Frame.whole(Image.new("RGB", size), 48)
    other = frame.around(box)
    h, w = frame.inner(24)
    for axis in (0, 1):
        steps = (torch.arange(24) + 0.5) * (size[axis] / (w if axis == 0 else h))
        logits = steps[None].expand(24, -1) if axis == 0 else steps[:, None].expand(-1, 24)
        found = frame.carried(logits.contiguous(), other, 16)
        inner = other.inner(16)
        low, high = other.window[axis], other.window[axis + 2]
        cells = inner[1 - axis]
        wanted = low + (torch.arange(cells) + 0.5) * (high - low) / cells
        wanted = wanted.clamp(steps[0], steps[-1])  # beyond the middles of the outer cells there is nothing to read
        got = found[0, :cells] if axis == 0 else found[:cells, 0]
        assert torch.allclose(got, wanted, atol=1e-3)
        assert (found[inner[0]:] == logits.min()).all() and (found[:, inner[1]:] == logits.min()).all()


def test_a_window_holds_its_points():
    frame = Frame.whole(Image.new("RGB", (200, 100)), 48).around((150.0, 20.0, 170.0, 30.0))
    left, top, right, bottom = frame.window
    points = torch.tensor([[left, top], [right, bottom], [left - 1, top], [right, bottom + 1], [160.0, 25.0]])
    assert frame.holds(points).tolist() == [True, True, False, False, True]


def test_a_window_at_the_border_stays_inside():
    frame = Frame.whole(Image.new("RGB", (200, 100)), 48).around((0.0, 0.0, 3.0, 2.0))
    assert frame.window[:2] == (0, 0)
    pixels = frame.pixels(Image.new("RGB", (200, 100), "white"), (0.0,) * 3, (1.0,) * 3)
    assert pixels.shape == (3, 48, 48) and pixels.max() == 1


def test_padding_does_not_show(predictor):
    """What an answer says of a wide picture is of the picture's size, and inside it."""
    predictor.set_image(drawing(90, 60))
    answer = predictor.predict(points=[(35, 20)])
    assert answer.masks.shape == (3, 60, 90) and answer.masks.dtype == torch.bool and answer.iou.shape == (3,)
    assert torch.equal(answer.masks, answer.logits > 0) and bool(torch.isfinite(answer.logits).all())
    assert answer.iou.tolist() == sorted(answer.iou.tolist(), reverse=True) or answer.iou.isfinite().all()


# --- prompts

KINDS = {"point": Prompt(points=[(35, 20)]), "two": Prompt(points=[(35, 20), (80, 50)], labels=[1, 0]),
         "box": Prompt(box=(20, 10, 70, 50)), "small box": Prompt(box=(20, 10, 30, 20)), "text": Prompt(text="red circle"),
         "mask": Prompt(mask=np.eye(60, 90) > 0), "all": Prompt([(35, 20)], [1], (20, 10, 70, 50), "red circle",
                                                                np.eye(60, 90) > 0)}


def test_unequal_prompts_in_one_batch_are_the_same_one_by_one(predictor):
    predictor.set_image(drawing())
    together = predictor.predict_many(list(KINDS.values()))
    for (name, prompt), answer in zip(KINDS.items(), together, strict=True):
        alone = predictor.predict(*prompt)
        assert torch.allclose(alone.logits, answer.logits, atol=1e-4), name
        assert torch.allclose(alone.iou, answer.iou, atol=1e-5), name
        assert alone.there == pytest.approx(answer.there, abs=1e-5), name


def test_set_image_is_asked_for_once(predictor, monkeypatch):
    predictor.set_image(drawing())
    monkeypatch.setattr(predictor.model, "see", None)
    assert predictor.predict(points=[(35, 20)]).masks.shape == (3, 60, 90)
    predictor.image = None
    with pytest.raises(PromptError, match="set_image"):
        predictor.predict(points=[(1, 1)])


class Drawn(torch.nn.Module):
    """In place of a segmenter: its mask is where the picture is red, as sharp as the square that it sees; it keeps what
    it was asked."""

    def __init__(self, config):
        super().__init__()
        self.config, self.mask_side, self.asked = config, 24, []

    def see(self, pixels):
        red = (pixels[:, :1] - pixels[:, 2:3]).repeat(1, 4, 1, 1)
        return Seen(*[torch.nn.functional.avg_pool2d(red, 2)] * 7)

    def ask(self, seen, prompts):
        self.asked.append(prompts)
        return Decoded(10 * (seen.fine - seen.fine.amax() / 2), torch.full((len(prompts), 4), 0.8), torch.zeros(len(prompts)))


def test_a_small_mask_is_looked_at_again_in_its_window(model, embedder):
    """Sharper than the whole picture's square allows, at its place; the mask goes along, clicks outside do not."""
    image = Image.new("RGB", (300, 200), (0, 0, 0))
    image.paste((255, 0, 0), (203, 41, 222, 55))
    truth = np.zeros((200, 300), bool)
    truth[41:55, 203:222] = True
    seen = MaskPredictor(Drawn(model.config), embedder)
    seen.set_image(image)
    prompt = {"points": [(210, 50), (20, 190)], "labels": [1, 0]}
    once, again = seen.predict(**prompt, closer=False), seen.predict(**prompt)

    def iou(answer):
        mask = answer.masks[0].numpy()
        return (mask & truth).sum() / (mask | truth).sum()
    assert iou(once) < 0.8 < 0.9 < iou(again) and again.masks.shape == (3, 200, 300)
    last = seen.model.asked[-1]
    assert last.masked.all() and len(last) == 3 and (last.types >= 0).sum(1).tolist() == [1, 1, 1]
    assert (last.points[0, 0] > 0).all() and (last.points[0, 0] < 1).all() and last.masks.max() > 0.9 > 0 > last.masks.min()
    asked = len(seen.model.asked)
    seen.predict(**prompt, closer=False)
    assert len(seen.model.asked) == asked + 1


@pytest.mark.parametrize("case", ["large", "empty", "click elsewhere", "box"])
def test_what_needs_no_second_look_gets_none(model, embedder, case):
    image = Image.new("RGB", (300, 200), (0, 0, 0))
    if case != "empty":
        image.paste((255, 0, 0), (50, 20, 250, 180) if case == "large" else (203, 41, 222, 55))
    seen = MaskPredictor(Drawn(model.config), embedder)
    seen.set_image(image)
    prompt = {"box": (200, 40, 225, 60)} if case == "box" else {"points": [(20, 190) if case == "click elsewhere" else (210, 50)]}
    seen.predict(**prompt)
    assert len(seen.model.asked) == 1


def test_each_prompt_changes_the_answer(predictor):
    predictor.set_image(drawing())
    answers = [answer.logits for answer in predictor.predict_many(list(KINDS.values()))]
    for i, one in enumerate(answers):
        assert all(not torch.allclose(one, other, atol=1e-3) for other in answers[i + 1:])


@pytest.mark.parametrize("kind", ["point", "box", "text", "mask"])
def test_gradient_reaches_each_prompt_path(embedder, kind):
    """The path's own parameters, the tower of pictures and the decoder all learn from it."""
    model = beginning(embedder, side=48, seed=3, width=32, heads=2)
    T, side = 2, model.mask_side
    types = {"point": [POSITIVE, -1], "box": [CORNER, OPPOSITE]}.get(kind, [-1, -1])
    texts = embedder.embed_texts(["red circle"]) if kind == "text" else torch.zeros(1, model.config.embed_dim)
    prompts = Prompts(torch.tensor([[[0.3, 0.3], [0.8, 0.9]]]), torch.tensor([types]), texts,
                      torch.randn(1, 1, side, side), torch.tensor([kind == "mask"]))
    assert len(prompts.points[0]) == T
    decoded = model.ask(model.see(torch.randn(1, 3, 48, 48)), prompts)
    (decoded.logits.square().mean() + decoded.quality.sum() + decoded.there.sum()).backward()
    encoder = model.prompt
    reached = {"point": [encoder.types.weight.grad[POSITIVE]],
               "box": [encoder.types.weight.grad[CORNER], encoder.types.weight.grad[OPPOSITE]],
               "text": [encoder.text.weight.grad, encoder.map[0].weight.grad, model.image.joint.weight.grad],
               "mask": [encoder.mask[0].weight.grad]}[kind]
    assert all(grad is not None and grad.abs().max() > 0 for grad in reached)
    assert model.image.tower.stem[0].weight.grad.abs().max() > 0
    assert all(net[0].weight.grad.abs().max() > 0 for net in model.decoder.weights)


ODD = {"empty": ((), "empty"), "nothing": ((None,) * 5, "empty"),
       "outside": (([(91, 5)],), "outside the picture, which is 90 x 60"), "left of it": (([(-1, 5)],), "outside"),
       "below": (([(5, 60.5)],), "outside"), "no numbers": (("here",), "numbers"), "NaN": (([(math.nan, 3)],), "NaN"),
       "infinite": (([(math.inf, 3)],), "infinite"), "three numbers": (([(1, 2, 3)],), "pairs"),
       "no points": (([],), "pairs"), "100 points": (([(5, 5)] * 100,), "1 to 50"),
       "deep": (([[[1, 2]]],), "pairs"), "only negative": (([(5, 5), (6, 6)], [0, 0]), "negative"),
       "labels of another count": (([(5, 5)], [1, 0]), "one for each"), "label 2": (([(5, 5)], [2]), "one for each"),
       "label NaN": (([(5, 5)], [math.nan]), "NaN"), "labels alone": ((None, [1]), "labels"),
       "box of no area": ((None, None, (5, 5, 5, 9)), "no area"), "box turned": ((None, None, (9, 5, 5, 9)), "no area"),
       "box outside": ((None, None, (100, 5, 120, 9)), "outside"), "box of three": ((None, None, (1, 2, 3)), "four"),
       "box of words": ((None, None, "abcd"), "numbers"), "box NaN": ((None, None, (1, 2, math.nan, 4)), "NaN"),
       "box infinite": ((None, None, (1, 2, math.inf, 4)), "infinite"), "box empty": ((None, None, ()), "four"),
       "no words": ((None, None, None, ""), "words"), "blanks": ((None, None, None, " \n\t"), "words"),
       "words of another type": ((None, None, None, 7), "words"), "a list": ((None, None, None, ["dog"]), "words"),
       "10,000 letters": ((None, None, None, "dog " * 2500), "tokens"),
       "mask of another size": ((None, None, None, None, np.ones((5, 5), bool)), r"\(60, 90\)"),
       "mask turned": ((None, None, None, None, np.ones((90, 60), bool)), r"\(60, 90\)"),
       "mask of three": ((None, None, None, None, np.ones((60, 90, 3), bool)), r"\(60, 90\)"),
       "mask NaN": ((None, None, None, None, np.full((60, 90), np.nan)), "NaN"),
       "mask infinite": ((None, None, None, None, np.full((60, 90), np.inf)), "infinite"),
       "mask of words": ((None, None, None, None, "mask"), "mask"),
       "mask a number": ((None, None, None, None, 3), "mask"),
       "mask of objects": ((None, None, None, None, np.full((60, 90), "a")), "mask"),
       "a dictionary": (({"x": 1},), "numbers"), "ragged": (([(1, 2), (3,)],), "numbers"),
       "bad point beside a box": (([(999, 1)], [1], (1, 1, 9, 9)), "outside"),
       "bad box beside words": ((None, None, (9, 9, 1, 1), "dog"), "no area"),
       "no words beside a point": (([(5, 5)], [1], None, ""), "words")}


@pytest.mark.parametrize("name", ODD)
def test_odd_prompts_are_told(predictor, name):
    given_, said = ODD[name]
    predictor.set_image(drawing())
    with pytest.raises(ValueError, match=said) as error:
        predictor.predict(*given_)
    assert 20 < len(str(error.value)) < 400


FINE = {"edge": Prompt(points=[(90, 60)]), "corner": Prompt(points=[(0, 0)]), "50 points": Prompt(points=[(5, 5)] * 50),
        "box larger than the picture": Prompt(box=(-20, -20, 500, 500)), "box of a pixel": Prompt(box=(3, 3, 4, 4)),
        "one pair": Prompt(points=(5, 5)), "an array": Prompt(points=np.array([[5, 5]])),
        "a tensor": Prompt(points=torch.tensor([[5.0, 5.0]])), "negative points in a box":
        Prompt(points=[(5, 5)], labels=[0], box=(1, 1, 50, 50)), "an empty mask": Prompt(mask=np.zeros((60, 90), bool)),
        "a full mask": Prompt(mask=np.ones((60, 90), bool)), "logits": Prompt(mask=torch.randn(60, 90)),
        "Chinese": Prompt(text="红色的圆"), "an unknown word": Prompt(text="qwxyz")}


@pytest.mark.parametrize("name", FINE)
def test_rare_prompts_are_answered(predictor, name):
    predictor.set_image(drawing())
    answer = predictor.predict(*FINE[name])
    assert bool(torch.isfinite(answer.logits).all()) and 0 <= answer.there <= 1
    assert all(0 <= value <= 1 for value in answer.iou.tolist())


@pytest.mark.parametrize("size", [(1, 1), (4, 80), (80, 4), (3000, 2000)])
def test_pictures_of_odd_sizes(predictor, size):
    predictor.set_image(Image.new("RGB", size, "red"))
    answer = predictor.predict(points=[(size[0] / 2, size[1] / 2)])
    assert answer.masks.shape == (3, size[1], size[0])
    assert predictor.predict(box=(0, 0, *size)).masks.shape == answer.masks.shape


def test_the_answer_agrees_with_the_clicks_where_it_can():
    from clipmini.segmenter.predict import _order

    logits = torch.full((4, 4, 4), -1.0)
    logits[2, 1, 1] = 1.0  # only this one has the click
    order = _order(logits, torch.tensor([0.9, 0.8, 0.1, 0.7]), torch.tensor([[0.3, 0.3]]), torch.tensor([POSITIVE]))
    assert order == [2, 0, 1]


def test_checked_clips_a_box_and_keeps_what_is_there():
    found = checked(Prompt(box=(-5, -5, 50, 500)), (90, 60))
    assert found.box.tolist() == [[0, 0], [50, 60]] and found.points is None and not found.doubtful
    assert checked(Prompt(points=[(1, 2)]), (90, 60)).doubtful
    assert not checked(Prompt(points=[(1, 2), (3, 4)]), (90, 60)).doubtful


# --- training

def vocabulary(embedder):
    named = {name: [name, f"a {name}"] for name in ("red circle", "blue circle", "green star")}
    return Vocabulary(named, embedder.embed_texts([text for texts in named.values() for text in texts]))


def test_examples_are_true(embedder):
    """Every prompt fits the mask that it stands for."""
    picture, words = as_picture(disc_scene()), vocabulary(embedder)
    kinds, rng = set(), np.random.default_rng(1)
    for _ in range(12):
        found = batch([picture], words, 16, (0.5,) * 3, (0.5,) * 3, rng)
        assert found.pixels.shape == (1, 3, 48, 48) and found.truths.shape == (16, CHAIN, 24, 24)
        for i in range(16):
            types, truth = found.prompts.types[i].tolist(), found.truths[i, 0]
            if types[0] == POSITIVE:
                kinds.add("point")
                assert not found.sure[i]
                x, y = (found.prompts.points[i, 0] * 24).long().tolist()
                assert all(found.truths[i, k, y, x] > 0.5 for k in range(CHAIN) if found.possible[i, k])
            elif types[0] == CORNER:
                kinds.add("box")
                low, high = found.prompts.points[i, :2] * 24
                exact = box_of(truth) * 24
                assert ((low - exact[0]).abs() <= 0.1 * (exact[1] - exact[0]) + 1e-4).all()
                assert ((high - exact[1]).abs() <= 0.1 * (exact[1] - exact[0]) + 1e-4).all()
            elif found.prompts.masked[i]:
                kinds.add("mask")
                assert overlap(found.prompts.masks[i, 0], truth) > 0.1
            elif found.there[i]:
                kinds.add("text")
                assert found.prompts.texts[i].norm() == pytest.approx(1, abs=1e-4)
            else:
                kinds.add("absent")
                assert not found.possible[i].any() and found.prompts.texts[i].norm() > 0.9
    assert kinds == {"point", "box", "mask", "text", "absent"}


def test_some_pictures_are_padded_below_and_some_to_the_right():
    mean, sides = (0.2, 0.4, 0.6), set()
    for seed in range(60):
        image, masks = padded(torch.full((3, 48, 48), 200.0), torch.ones(1, 24, 24), mean, np.random.default_rng(seed))
        grey = (image == torch.tensor(mean)[:, None, None] * 255).all(0)
        if not grey.any():
            sides.add("none")
            continue
        sides.add("below" if grey[-1].all() else "right")
        assert grey[-1].all() or grey[:, -1].all()
        assert torch.equal(masks[0] == 0, grey[::2, ::2]) and not grey[:18, :18].any()
    assert sides == {"none", "below", "right"}


def test_a_click_may_mean_the_whole_and_the_part(embedder):
    """A point on the square has two right answers, one on the other disc has one."""
    picture, rng, seen = as_picture(disc_scene()), np.random.default_rng(4), set()
    found = batch([picture] * 4, vocabulary(embedder), 64, (0.5,) * 3, (0.5,) * 3, rng)
    for i in range(len(found.sure)):
        if not found.sure[i]:
            seen.add(int(found.possible[i].sum()))
    assert seen == {1, 2}


def test_corrections_click_where_the_mask_is_wrong(embedder):
    truth = torch.zeros(2, 24, 24)
    truth[:, 5:15, 5:15] = 1
    logits = torch.full((2, 24, 24), -5.0)
    logits[1, 5:15, 5:22] = 5.0  # too much to the right
    logits[0, 5:10, 5:15] = 5.0  # the lower half is missing
    prompts = Prompts(torch.zeros(2, 3, 2), torch.full((2, 3), -1), torch.zeros(2, 4), torch.zeros(2, 1, 24, 24),
                      torch.zeros(2, dtype=torch.bool))
    for seed in range(8):
        found = corrected(prompts, logits, truth, np.random.default_rng(seed))
        (x0, y0), (x1, y1) = ((found.points[i, 0] * 24).tolist() for i in (0, 1))
        assert 10 <= y0 < 15 and 5 <= x0 < 15 and found.types[0].tolist() == [POSITIVE, -1, -1]
        assert 15 <= x1 < 22 and 5 <= y1 < 15 and found.types[1, 0] == 1
        assert found.masked.all() and found.masks[0, 0, 7, 7] > 0.9


def test_the_loss_is_the_formulas():
    torch.manual_seed(0)
    logits, truth = torch.randn(6, 6), (torch.rand(6, 6) > 0.5).float()
    p = logits.sigmoid()
    focal = torch.where(truth > 0, -(1 - p) ** 2 * p.log(), -p ** 2 * (1 - p).log()).mean()
    dice = 1 - (2 * p[truth > 0].sum() + 1) / (p.sum() + truth.sum() + 1)
    assert mask_loss(logits, truth).item() == pytest.approx((20 * focal + dice).item(), rel=1e-5)


def test_only_the_best_of_three_learns():
    truths = torch.zeros(1, CHAIN, 8, 8)
    truths[0, 0, :4], truths[0, 1, :2] = 1, 1
    logits = torch.randn(1, 4, 8, 8)
    logits[0, 2], logits[0, 3] = 4 * truths[0, 0] - 2, 4 * truths[0, 1] - 2
    logits.requires_grad_()

    def learnt(sure: bool, possible: list[bool]) -> list[bool]:
        decoded = Decoded(logits, torch.full((1, 4), 0.5), torch.zeros(1))
        terms = segmenter_loss(decoded, truths, torch.tensor([possible]), torch.tensor([sure]), torch.tensor([True]))
        grad = torch.autograd.grad(terms["mask"], logits)[0]
        return [bool(grad[0, k].abs().max() > 0) for k in range(4)]

    assert learnt(False, [True, False, False]) == [False, False, True, False]
    assert learnt(False, [True, True, False]) == [False, False, True, True]  # whole and part: a mask each
    assert learnt(True, [True, False, False]) == [True, False, True, False]


def test_absent_things_teach_presence_only():
    logits, there = torch.randn(1, 4, 8, 8, requires_grad=True), torch.zeros(1, requires_grad=True)
    terms = segmenter_loss(Decoded(logits, torch.full((1, 4), 0.5), there), torch.zeros(1, CHAIN, 8, 8),
                           torch.zeros(1, CHAIN, dtype=torch.bool), torch.tensor([True]), torch.tensor([False]))
    assert terms["mask"].item() == 0 and terms["there"].item() == pytest.approx(math.log(2))
    assert terms["quality"].item() == pytest.approx(0.5)


def test_coarse_masks_are_coarse_and_there():
    mask = torch.zeros(48, 48)
    mask[10:30, 12:40] = 1
    found = coarse(mask)
    assert set(found.unique().tolist()) == {-1.0, 1.0} and 0.6 < overlap(found, mask) < 1
    tiny = torch.zeros(48, 48)
    tiny[20:22, 20:22] = 1
    assert (coarse(tiny) > 0).any()  # what is smaller than a cell does not vanish


def test_training_learns_and_goes_on_where_it_was_cut(embedder, tmp_path):
    pictures, words = [as_picture(disc_scene(seed)) for seed in range(4)], vocabulary(embedder)
    config = SegmenterTraining(24, pictures=2, prompts=4, warmup=4, seed=1)

    def model():
        return beginning(embedder, side=48, seed=1, width=32, heads=2)

    whole = train(model(), pictures, words, config, tmp_path / "whole", progress=False)
    train(model(), pictures, words, config, tmp_path / "cut", progress=False, stop_after=9)
    assert torch.load(tmp_path / "cut" / "state.pt", weights_only=True)["step"] == 9
    again = train(model(), pictures, words, config, tmp_path / "cut", progress=False)
    for name, tensor in whole.average.state_dict().items():
        assert torch.equal(tensor, again.average.state_dict()[name]), name
    assert np.mean([row["mask"] for row in whole.history[-5:]]) < np.mean([row["mask"] for row in whole.history[:5]])
    with pytest.raises(TrainingError, match="another recipe"):
        train(model(), pictures, words, SegmenterTraining(25, pictures=2, prompts=4), tmp_path / "cut", progress=False)


def test_training_refuses_what_cannot_be():
    with pytest.raises(TrainingError, match="positive"):
        SegmenterTraining(0)
