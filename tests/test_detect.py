"""Boxes from words, cut-outs, what is measured of them, and the commands."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import average_precision_score

import clipmini
from clipmini.commands import main
from clipmini.data.scenes import Scene, Thing
from clipmini.files import CheckpointError
from clipmini.segmenter import checkpoint, cutouts, rle
from clipmini.segmenter.frame import Frame
from clipmini.segmenter.predict import Answer, MaskPredictor
from clipmini.segmenter.prompt import PromptError
from clipmini.segmenter.train import beginning
from clipmini.tasks import detect, segment
from clipmini.tasks.segmenters import load_segmenter


@pytest.fixture(scope="module")
def embedder():
    return clipmini.load("emoji", device="cpu")


@pytest.fixture(scope="module")
def folder(embedder, tmp_path_factory):
    """An untrained segmenter on the disk."""
    model = beginning(embedder, side=48, seed=3, width=32, heads=2)
    return checkpoint.save(tmp_path_factory.mktemp("segmenter") / "small", model, embedder, meta={"seed": 3})


def picture(size=(60, 40)) -> Image.Image:
    levels = np.full((size[1], size[0], 3), 220, np.uint8)
    levels[10:30, 15:40] = (200, 30, 30)
    return Image.fromarray(levels)


BOXES = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 10), st.integers(1, 10)), min_size=1,
                 max_size=12)


@settings(max_examples=80, deadline=None)
@given(BOXES, st.integers(0, 99), st.sampled_from([0.1, 0.5, 0.7]))
def test_nms_is_what_brute_force_says(rows, seed, limit):
    boxes = torch.tensor([(x, y, x + w, y + h) for x, y, w, h in rows]).float()
    scores = torch.from_numpy(np.random.default_rng(seed).permutation(len(rows)) / len(rows)).float()

    def both(a, b) -> float:  # counted pixel by pixel
        grids = [np.zeros((40, 40), bool) for _ in range(2)]
        for grid, (left, top, right, bottom) in zip(grids, (a, b), strict=True):
            grid[int(top):int(bottom), int(left):int(right)] = True
        return (grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum()

    kept = []
    for row in sorted(range(len(rows)), key=lambda i: -scores[i]):
        if all(both(boxes[row], boxes[k]) <= limit for k in kept):
            kept.append(row)
    assert detect.nms(boxes, scores, limit) == kept


def test_stability_is_full_for_a_sharp_mask_and_low_for_a_soft_one():
    sharp, soft = torch.full((8, 8), -9.0), torch.linspace(-2, 2, 64).view(8, 8)
    sharp[2:5] = 9
    assert detect.stability(torch.stack([sharp, soft])).tolist() == pytest.approx([1, 16 / 48], abs=0.03)


def test_the_grid_has_a_point_in_each_cell():
    points = detect.grid_points(40, 20, 4)
    assert len(points) == 16 and points[0] == (5, 2.5) and points[-1] == (35, 17.5)


class Perfect:
    """A predictor that knows the scene: it answers with the smallest true mask under the click, the box, the words."""

    def __init__(self, scene, embedder=None):
        self.scene, self.embedder, self.name = scene, embedder, "perfect"

    def set_image(self, image):
        self.image, self.frame = image, Frame.whole(image, max(image.size))

    def _masks(self, prompt):
        everything = [mask for thing in self.scene.things for mask in (thing.mask, *thing.parts)]
        if prompt.text is not None:
            named = [thing.mask for thing in self.scene.things if thing.name == prompt.text]
            return [np.any(named, axis=0)] if named else []
        if prompt.box is not None:
            fits = sorted(everything, key=lambda m: -segment.box_iou(segment.box_of(m), tuple(prompt.box)))
            return fits[:1]
        if prompt.mask is not None and prompt.points is None:
            return sorted(everything, key=lambda m: -segment.iou(m, np.asarray(prompt.mask)))[:1]
        x, y = prompt.points[0]
        under = [m for m in everything if m[int(y), int(x)]]
        if prompt.mask is not None:  # a correction: it is right already
            return sorted(under, key=lambda m: -segment.iou(m, np.asarray(prompt.mask) > 0))[:1]
        return sorted(under, key=lambda m: -m.sum())[:3]

    def predict_many(self, prompts):
        answers = []
        for prompt in prompts:
            masks = self._masks(prompt)
            filled = masks + [np.zeros_like(self.scene.things[0].mask)] * (3 - len(masks))
            logits = torch.from_numpy(np.stack(filled)).float() * 20 - 10
            answers.append(Answer(logits > 0, torch.tensor([0.9, 0.8, 0.7]), logits, 0.9 if masks else 0.01))
        return answers

    def rough(self, prompts):
        return [SimpleNamespace(logits=a.logits, iou=a.iou, there=a.there, frames=(self.frame,) * 3)
                for a in self.predict_many(prompts)]


def scene() -> Scene:
    y, x = np.mgrid[:60, :60]
    square, part = (x < 25) & (y < 25), (x < 8) & (y < 9)
    disc = (x - 42) ** 2 + (y - 42) ** 2 < 150
    levels = np.full((60, 60, 3), 255, np.uint8)
    levels[square], levels[disc], levels[part] = (255, 0, 0), (0, 0, 255), (0, 255, 0)
    return Scene(Image.fromarray(levels), (Thing("red square", square, (part,)), Thing("blue circle", disc)))


def test_a_perfect_predictor_measures_one(embedder):
    found = segment.measure(Perfect(scene(), embedder), [scene()], progress=False)
    for question in ("whole: one click, best of three", "part: one click, best of three", "whole: 3 clicks", "whole: box",
                     "part: box", "whole: box off by 10 %", "words -> mask", "grid: recall at 0.5"):
        assert found[question]["mean"] == pytest.approx(1), question
    assert found["whole: error of the expected IoU, box"]["mean"] == pytest.approx(0.1)
    assert found["whole: fill the box"]["mean"] < 1 and found["part: fill the box"]["mean"] == pytest.approx(1)
    assert found["whole: box"]["n"] == 2 and found["part: box"]["n"] == 1
    assert "whole: box" in segment.lines(found)


def test_words_are_measured_beside_clips_windows(embedder, monkeypatch):
    """Its map counts from WINDOWS on, at the picture's size."""
    maps = torch.stack([torch.from_numpy(thing.mask).float() for thing in scene().things])
    maps = torch.nn.functional.interpolate(maps[None], size=(120, 120))[0]
    asked = []

    def drawn(model, image, phrases, **how):
        asked.append((phrases, how["method"]))
        return SimpleNamespace(maps=torch.where(maps > 0, segment.WINDOWS + 0.01, segment.WINDOWS - 0.01))
    monkeypatch.setattr(segment, "heatmap", drawn)
    found = segment.measure(Perfect(scene(), embedder), [scene()], progress=False)["words -> mask, CLIP's windows alone"]
    assert asked == [(["red square", "blue circle"], "windows")] and found["n"] == 2 and found["mean"] > 0.97
    without = segment.measure(Perfect(scene()), [scene()], progress=False)
    assert not any("windows" in question for question in without)


def test_named_boxes_of_a_perfect_predictor(embedder):
    found = segment.measure(Perfect(scene(), embedder), [scene()], [["banana", "dog"]], progress=False)
    assert found["boxes from words, AP50"]["mean"] > 0.7 and found["boxes from words, AP50"]["n"] == 2
    assert found["probability of being there, there"]["mean"] > found["probability of being there, absent"]["mean"]


def test_targets_are_things_parts_and_parts_of_parts():
    whole = np.ones((60, 60), bool)
    part, sub = np.zeros_like(whole), np.zeros_like(whole)
    part[5:40, 5:40], sub[10:20, 10:20] = True, True
    kinds = [t.kind for t in segment.targets(Scene(None, (Thing("x", whole, (part, sub)),)))]
    assert kinds == ["whole", "part", "subpart"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(0, 99))
def test_average_precision_without_gaps_is_scikit_learns_or_more(right, seed):
    """Where all that there is was found; precision as the best of that recall or more is never below theirs."""
    scores = np.random.default_rng(seed).permutation(len(right)) / len(right)
    if any(right):
        ours = segment.average_precision(list(zip(scores, right, strict=True)), sum(right))
        theirs = average_precision_score(right, scores)
        assert ours >= theirs - 1e-9 and ours <= 1 + 1e-9
        assert segment.average_precision([(s, True) for s in scores], len(right)) == pytest.approx(1)


def test_intervals_hold_the_mean_and_draw_scenes_not_rows():
    scores = segment.Scores()
    for value in (0.0, 1.0) * 10:
        scores.next_scene()
        for _ in range(50):
            scores.add("x", value)
    found = scores.summary()["x"]
    assert found["mean"] == pytest.approx(0.5) and found["n"] == 1000
    assert found["low"] < 0.35 and found["high"] > 0.65  # a thousand rows would give +- .03


def test_cut_outs_show_the_thing_alone():
    image = picture()
    frame = Frame.whole(image, 60)
    logits = torch.full((60, 60), -10.0)
    logits[10:30, 15:40] = 10
    found = detect.cut_out(image, detect.Rough(logits, 0.9, frame))
    assert found.mode == "RGBA" and found.width == found.height
    pixels = np.asarray(found)
    assert (pixels[..., :3][pixels[..., 3] > 250] == (200, 30, 30)).all() and (pixels[..., 3] > 250).sum() == 20 * 25


def test_a_folder_comes_back_as_it_was(folder, embedder):
    ours = load_segmenter(folder)
    assert isinstance(ours, MaskPredictor) and ours.embedder.name == "emoji"
    again = load_segmenter(folder, embedder)
    assert again.embedder is embedder
    for predictor in (ours, again):
        predictor.set_image(picture())
    assert torch.equal(ours.predict(box=(10, 5, 50, 35)).logits, again.predict(box=(10, 5, 50, 35)).logits)
    assert all(t.dtype in (torch.float32, torch.int64) for t in ours.model.state_dict().values())


def test_another_text_tower_is_an_error(folder):
    with pytest.raises(CheckpointError, match="digest"):
        load_segmenter(folder, clipmini.load("emoji-vit", device="cpu"))


@pytest.mark.parametrize("damage", ["format", "model", "words", "weights", "half", "side"])
def test_damaged_folders_are_told(folder, tmp_path, damage):
    import shutil

    shutil.copytree(folder, tmp_path / "x")
    path = tmp_path / "x" / "config.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    if damage in ("model", "words"):
        raw[damage] = {}
    raw["format"] = "segmenter-9" if damage == "format" else raw["format"]
    if damage == "side":
        raw["model"]["side"] = 10**9
    path.write_text(json.dumps(raw), encoding="utf-8")
    weights = tmp_path / "x" / "segmenter.safetensors"
    if damage == "half":
        weights.write_bytes(weights.read_bytes()[:5000])
    if damage == "weights":
        raw["model"]["width"] = 64
        path.write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(CheckpointError) as error:
        load_segmenter(tmp_path / "x")
    assert 20 < len(str(error.value)) < 500


# --- commands

def test_segment_writes_a_cut_out_and_its_masks(folder, tmp_path, capsys):
    picture().save(tmp_path / "p.png")
    common = ["segment", str(tmp_path / "p.png"), "--model", str(folder)]
    assert main([*common, "--point", "20,15", "--without", "1,1", "--out", str(tmp_path / "c.png")]) == 0
    found = Image.open(tmp_path / "c.png")
    assert found.mode == "RGBA" and found.size == (60, 40)
    assert capsys.readouterr().out.count("expected IoU") == 3
    assert main([*common, "--box", "10,5,50,35", "--text", "red square", "--out", str(tmp_path / "m.json")]) == 0
    told = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert told["size"] == [40, 60] and len(told["masks"]) == 3
    mask = rle.decode(told["masks"][0]["segmentation"])
    assert mask.shape == (40, 60) and mask.sum() == told["masks"][0]["area"]
    assert "is there" in capsys.readouterr().out
    Image.fromarray(mask).convert("L").save(tmp_path / "mask.png")
    assert main([*common, "--mask", str(tmp_path / "mask.png"), "--choose", "3", "--out", str(tmp_path / "d.png")]) == 0
    assert main([*common, "--everything", "--out", str(tmp_path / "e.json")]) == 0


@pytest.mark.parametrize("given_,said", [(["--point", "500,1"], "outside"), ([], "empty"),
                                        (["--without", "1,1"], "negative"), (["--text", " "], "words"),
                                        (["--point", "1,1", "--out", "x.gif"], ".gif"),
                                        (["--point", "1,1", "--out", "no/such/x.png"], "no folder")])
def test_segment_says_what_is_wrong(folder, tmp_path, capsys, given_, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture().save("p.png")
    assert main(["segment", "p.png", "--model", str(folder), *given_]) == 1
    assert said in capsys.readouterr().err


def test_detect_writes_boxes(folder, tmp_path, capsys):
    picture().save(tmp_path / "p.png")
    common = ["detect", str(tmp_path / "p.png"), "--labels", "red square, dog", "--model", str(folder)]
    assert main([*common, "--threshold", "0", "--out", str(tmp_path / "f.png")]) == 0
    assert Image.open(tmp_path / "f.png").width > 100
    assert main([*common, "--threshold", "1", "--out", str(tmp_path / "f.json")]) == 0
    assert capsys.readouterr().out.count(": none") == 2
    assert json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))["masks"] == []


def test_records_are_cocos():
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    found = cutouts.record(mask, 0.5)
    assert found["bbox"] == [3, 2, 6, 3] and found["area"] == 18 and found["predicted_iou"] == 0.5
    assert cutouts.record(mask, float("nan"))["predicted_iou"] is None
    with pytest.raises(PromptError, match="no folder"):
        cutouts.check_name(cutouts.Path("/no/such/folder/x.png"))


def test_the_embedded_one_is_small_and_knows_its_words():
    from clipmini.embedder import assets_folder

    weights = assets_folder() / "segmenter" / checkpoint.WEIGHTS
    assert weights.stat().st_size < 6 * 2**20
    predictor = clipmini.load_segmenter()
    assert predictor.embedder.name == "emoji" and predictor.name == "segmenter"


def test_the_embedded_one_cuts_out_a_square():
    """A plain square on a plain ground, by each kind of prompt."""
    predictor = clipmini.load_segmenter()
    image = Image.new("RGB", (200, 140), (235, 235, 225))
    image.paste((30, 60, 200), (60, 30, 130, 100))
    truth = np.zeros((140, 200), bool)
    truth[30:100, 60:130] = True
    predictor.set_image(image)
    for given_ in ({"points": [(95, 65)]}, {"box": (58, 28, 132, 102)}, {"text": "blue square"}, {"mask": truth}):
        assert segment.iou(predictor.predict(**given_).masks[0].numpy(), truth) > 0.85, given_
