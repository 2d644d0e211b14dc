"""A model says what it was not taught: pictures outside of it, words that no caption had."""

import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import clipmini
from clipmini import recipes
from clipmini.commands import main
from clipmini.data import find
from clipmini.embedder import assets_folder
from clipmini.files import CheckpointError
from clipmini.tasks import outside
from clipmini.tasks.classify import classify
from clipmini.tasks.outside import FILE, Taught, new_words, pieces, probability, taught_of
from clipmini.training import TrainConfig, read_pairs
from demo_app.page import samples_folder
from helpers_train import Squares


@pytest.fixture(scope="module")
def emoji():
    return clipmini.load("emoji")


def nothing(seed: int, count: int = 20) -> list:
    """Noise and printed lines, of other kinds than those that it learnt from."""
    rng, found = np.random.default_rng(seed), []
    for k in range(count):
        dots = Image.fromarray(np.uint8(255 * (rng.random((96, 96)) < rng.uniform(0.2, 0.8)))).convert("RGB")
        page = Image.new("RGB", (200, 200), "white")
        for y in range(10, 190, 16):
            line = " ".join(rng.choice("nobody knows what this page is about".split(), 6))
            ImageDraw.Draw(page).text((6, y), line, fill="black")
        found.append((dots, page)[k % 2])
    return found


def test_pieces_are_words_and_chinese_characters():
    assert pieces("A Tom’s RED apple, 2 eggs: 大象!") == ["a", "tom's", "red", "apple", "eggs", "大", "象"]
    assert pieces(" 12 - ") == []
    assert pieces("Übergrößen naïve") == ["übergrößen", "naïve"]


def test_words_that_no_caption_had():
    taught = Taught((), frozenset("cat box berry dogs children tree 大 象".split()), *[torch.empty(0)] * 3, 0.5)
    for known in ("cat", "Cats", "boxes", "berries", "dog", "children", "the tree's".removeprefix("the "), "大象", "42"):
        assert new_words(taught, known) == [], known
    assert new_words(taught, "a red cat, a red 大猫") == ["a", "red", "猫"]


def test_the_embedded_model_tells_noise_and_text_from_drawings_of_a_style_it_never_saw(emoji):
    from clipmini.data.emoji import load

    rows = load(["twemoji"], progress=False)
    inside = probability(taught_of(emoji), emoji.embed_images([rows[i]["image"] for i in range(0, len(rows), 40)]))
    far = probability(taught_of(emoji), emoji.embed_images(nothing(3, 36)))
    assert inside.shape == (37,) and ((inside >= 0) & (inside <= 1)).all()
    assert (inside[:, None] < far).float().mean() > 0.9  # this mean is the area under the ROC curve
    assert (inside > taught_of(emoji).limit).float().mean() < 0.2 < 0.7 < (far > taught_of(emoji).limit).float().mean()


def test_names_are_taught_and_strangers_not(emoji):
    taught = taught_of(emoji)
    assert {"pizza", "dog", "red apple"} <= set(taught.names) and len(taught.names) > 1_400
    assert new_words(taught, "pizza") == new_words(taught, "披萨") == new_words(taught, "a drawing of a red apple") == []
    assert new_words(taught, "Katze") == ["katze"] and new_words(taught, "oscilloscope") == ["oscilloscope"]
    assert taught.texts.shape == taught.pictures.shape == (len(taught.names), 128)
    near = (emoji.embed_texts(list(taught.names[:50])) * taught.texts[:50]).sum(1)
    assert near.min() > 0.999  # kept in half precision


def test_classify_says_it_with_a_number_and_a_sentence(emoji):
    drawing, page = Image.open(samples_folder() / "pizza.png"), nothing(0)[1]
    p = classify(emoji, [drawing, page, Image.new("RGB", (50, 50), "white"), page], "pizza, Katze, dog")
    assert p.outside.shape == (4,) and p.outside[0] < 0.5 < taught_of(emoji).limit < p.outside[1]
    assert p.new_words == ((), ("katze",), ())
    said = [str(note) for note in p.notes]
    assert "no caption that the model learnt from had: katze. It guesses" in said[0]
    assert any("2 of the pictures are unlike all that the model learnt from: number 2, 4." in text for text in said)  # 3 is blank
    alone = classify(emoji, [page], "pizza, dog")
    assert [note.kind for note in alone.notes] == ["outside"]
    assert f"with a probability of {min(alone.outside[0].item(), 0.99):.0%}" in str(alone.notes[0])
    assert not classify(emoji, [drawing], "pizza, dog").notes


def test_the_command_says_it(tmp_path, capsys):
    nothing(0)[1].save(tmp_path / "page.png")
    assert main(["classify", str(tmp_path / "page.png"), "--labels", "cat, Hund"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"outside of what it learnt: 9\d%\)", out) and "had: hund" in out
    assert "note: the picture is unlike all" in out


def test_a_model_without_the_file_says_nothing(tmp_path, tiny_checkpoints, capsys):
    tiny = clipmini.load(tiny_checkpoints["light-cbow"])
    p = classify(tiny, nothing(0)[:2], "cat, Katze")
    assert p.outside is None and p.new_words is None and not p.notes
    nothing(0)[1].save(tmp_path / "page.png")
    main(["classify", str(tmp_path / "page.png"), "--labels", "cat, dog", "--model", str(tiny_checkpoints["light-cbow"])])
    assert "outside" not in capsys.readouterr().out


# ---- the file --------------------------------------------------------------------------------------------
@pytest.fixture
def copied(tmp_path):
    """The embedded model's folder, to be spoilt."""
    shutil.copytree(assets_folder() / "emoji", tmp_path / "emoji")
    return tmp_path / "emoji"


def test_the_file_gives_back_what_was_written(emoji, tmp_path):
    taught = taught_of(emoji)
    (tmp_path / FILE).write_bytes(outside.as_file(taught))
    again = outside.read(tmp_path / FILE)
    assert again.names == taught.names and again.words == taught.words and again.limit == taught.limit
    for name in ("texts", "pictures", "weights"):
        assert torch.equal(getattr(again, name), getattr(taught, name)), name


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(path.read_bytes()[:5000]),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes().replace(b'"limit"', b'"limix"')),
    lambda path: path.write_bytes(outside.as_file(Taught(("a",), frozenset(), *[torch.zeros(2, 4)] * 2, torch.zeros(11), 0.5))),
    lambda path: path.write_bytes(outside.as_file(Taught(("a",), frozenset(), *[torch.zeros(1, 4)] * 2, torch.zeros(9), 0.5))),
    lambda path: path.write_bytes(outside.as_file(
        Taught(("a",), frozenset(), *[torch.zeros(1, 128)] * 2, torch.full((135,), torch.nan), 0.5))),
    lambda path: path.write_bytes(outside.as_file(Taught(("a",), frozenset(), *[torch.zeros(1, 128)] * 2,
                                                         torch.zeros(135), float("nan")))),
], ids=["cut short", "empty", "no limit", "names", "weights", "not a number", "limit"])
def test_a_damaged_file_is_named(copied, spoil):
    spoil(copied / FILE)
    with pytest.raises(CheckpointError, match=FILE):
        classify(clipmini.load(copied), [Image.new("RGB", (9, 9))], "cat, dog")


def test_a_file_of_another_model_is_told(copied):
    (copied / FILE).write_bytes(outside.as_file(Taught(("a",), frozenset(), *[torch.zeros(1, 4)] * 2, torch.zeros(11), 0.5)))
    with pytest.raises(CheckpointError, match=r"vectors of 4 numbers.*the model's have 128"):
        classify(clipmini.load(copied), [Image.new("RGB", (9, 9))], "cat, dog")


# ---- learning it -----------------------------------------------------------------------------------------
def squares(**more):
    return recipes.Recipe("squares", "a toy", Squares(shades=60), TrainConfig(steps=4, batch=16, warmup=2),
                          vision={"image_size": 16, "width": 8}, text={"width": 32}, model_options={"embed_dim": 32},
                          vocabulary=560, **more)


@pytest.fixture
def few(monkeypatch):
    """A regression on fewer pictures, which is quicker."""
    monkeypatch.setattr(outside, "INSIDE", 600)
    monkeypatch.setattr(outside, "OUTSIDERS", 60)


def test_a_training_leaves_the_file(few, tmp_path):
    recipes.run(squares(), tmp_path / "run", progress=False)
    taught = taught_of(clipmini.load(tmp_path / "run" / "final"))
    rows = Squares(shades=60).training_rows(16, 0)
    names = rows.features["label"].names
    assert set(taught.names) <= set(names) and len(taught.names) >= len(names) - 1
    assert {word for name in names for word in pieces(name)} <= taught.words
    assert taught.weights.shape == (32 + 7,) and 0 <= taught.limit <= 1


def test_it_is_the_same_for_the_same_seed_and_its_limit_is_passed_by_one_in_twenty(few, emoji):
    every = find("emoji").training_rows(48, 0, progress=False)
    rows, held = every.select(range(0, 4000, 4)), every.select(range(1, 4000, 20))
    pairs = read_pairs(rows, 48)
    known = [outside.learn(emoji, pairs.rgba, pairs.groups, read_pairs(held, 48).rgba, rows.features["label"].names,
                           ["cat"], seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(known[0].weights, known[1].weights) and not torch.equal(known[0].weights, known[2].weights)
    assert known[0].words == {"cat"} and len(known[0].names) == len(set(pairs.groups.tolist()))
    flat = [Image.alpha_composite(Image.new("RGBA", image.size, "white"), image) for image in held["image"]]
    share = (probability(known[0], emoji.embed_images(flat)) > known[0].limit).float().mean().item()
    assert 0.02 <= share <= 0.09


def test_outsiders_are_many_kinds_and_the_same_for_the_same_seed():
    made = outside.invented(np.random.default_rng(0), each=5)
    again = outside.invented(np.random.default_rng(0), each=5)
    assert len(made) == 20 and all(a.tobytes() == b.tobytes() for a, b in zip(made, again, strict=True))
    assert {image.mode for image in made} == {"RGB"} and len({image.tobytes() for image in made}) == 20
