"""Somebody's own data is trained on and measured like any other; recall counts as everybody counts it."""

import base64
import colorsys
import io
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

import clipmini
from clipmini.commands import main
from clipmini.data import SourceError, find
from clipmini.data.own import OwnDataError
from clipmini.data.own import source as own
from clipmini.data.own.source import Own, load
from clipmini.recipes import choose
from clipmini.tasks.metrics import first_ranks, recall_at_k
from clipmini.tasks.questions import ask, told
from clipmini.tasks.retrieval import pairs_report
from clipmini.training import mixing


def square(hue: float, size: int) -> str:
    """A coloured square as a PNG file in base64."""
    picture = Image.new("RGB", (24, 24), "white")
    shade = tuple(int(255 * c) for c in colorsys.hsv_to_rgb(hue, 1, 0.9))
    ImageDraw.Draw(picture).rectangle((2, 2, 2 + size, 2 + size), fill=shade)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


NAMES = ("red", "yellow", "green", "cyan", "blue", "magenta")


@pytest.fixture
def table(tmp_path, monkeypatch):
    """60 squares, 10 of each colour, two rows each: its colour, and more words."""
    monkeypatch.setenv("CLIPMINI_CACHE", str(tmp_path / "cache"))
    lines = []
    for i in range(60):
        name, data = NAMES[i % 6], square(i % 6 / 6, 8 + i // 6)
        lines += [f"{name}\t{data}", f"a {name} square, number {i}\t{data}"]
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_rows_of_one_picture_join_and_one_in_ten_is_held_out(table):
    rows = load(str(table), progress=False)
    assert len(rows) == 60 and rows.column_names == ["image", "captions", "label", "digest"]
    assert rows[0]["captions"] == ["red", "a red square, number 0"] and rows[0]["image"].size == (24, 24)
    source = Own(str(table))
    held, trained = source.held_out_rows(32), source.training_rows(32, 0, progress=False)
    assert len(held) + len(trained) == 60 and 1 <= len(held) <= 15
    assert not {row[1] for row in held["captions"]} & {row[1] for row in trained["captions"]}
    assert held.column_names == trained.column_names == ["image", "captions"]
    assert source.trained_on() == f"{table}, {len(trained)} pictures"


def test_labels_are_asked_where_every_picture_has_one(tmp_path, table, tiny_checkpoints):
    path = tmp_path / "labels.csv"
    path.write_text("image,caption,label\n" + "".join(
        f"{square(i % 6 / 6, 8 + i // 6)},a square,{NAMES[i % 6]}\n" for i in range(60)), encoding="utf-8")
    source = Own(str(path))
    assert source.training_rows(32, 0, progress=False).features["label"].names == sorted(NAMES)
    tiny = clipmini.load(tiny_checkpoints["light-cbow"])
    answers = ask(tiny, source.questions(tiny))
    assert answers["labels"].K == 6 and answers["retrieval"]["captions"] == 1
    assert answers["retrieval"]["i->t"]["recall"]["1"] == 1.0  # one caption, true of all
    some = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*some[:-1], some[-1].rpartition(",")[0] + ","]), encoding="utf-8")
    assert "label" not in source.training_rows(32, 0, progress=False).column_names


def test_it_is_built_once_and_anew_when_the_file_changes(table, monkeypatch):
    load(str(table), progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(own, "_save", lambda *_: pytest.fail("built a second time"))
        assert len(load(str(table), progress=False)) == 60
    with open(table, "a", encoding="utf-8") as file:
        file.write(f"\nblack\t{square(0.5, 3)}")
    assert len(load(str(table), progress=False)) == 61


def test_it_is_built_anew_when_a_picture_changes_that_a_table_names(table, tmp_path):
    for i in range(3):
        Image.new("RGB", (9, 9), (i * 90, 0, 0)).save(tmp_path / f"{i}.png")
    path = tmp_path / "paths.csv"
    path.write_text("image,caption\n0.png,a\n1.png,b\n2.png,c\n", encoding="utf-8")
    assert [row["image"].getpixel((4, 4)) for row in load(str(path), progress=False)] == [(0, 0, 0), (90, 0, 0), (180, 0, 0)]
    Image.new("RGB", (10, 10), "lime").save(tmp_path / "1.png")
    assert load(str(path), progress=False)[1]["image"].getpixel((4, 4)) == (0, 255, 0)


def test_a_building_that_is_interrupted_leaves_nothing(table, tmp_path, monkeypatch):
    def stops(row, calls=[]):  # noqa: B006 (it counts)
        calls.append(row)
        if len(calls) > 150:  # 120 rows are checked first
            raise KeyboardInterrupt
        return b"%d" % len(calls) if len(calls) <= 120 else b"%d" % (len(calls) - 120)
    monkeypatch.setattr(own, "digest", stops)
    with pytest.raises(KeyboardInterrupt):
        load(str(table), progress=False)
    assert not list((tmp_path / "cache" / own.FORMAT).iterdir())


def test_what_is_left_out_is_said_and_what_is_too_little_told(tmp_path, table):
    with open(table, "a", encoding="utf-8") as file:
        file.write(f"\nbroken\t@@@\n\t{square(0, 5)}\ncut\t{square(0.1, 5)[:60]}")
    with pytest.warns(UserWarning, match=r"left out of .*: 3 rows \(line 121: .*broken base64.*line 122: it has no text; "
                                         r"line 123: .*clipmini data check"):
        assert len(load(str(table), progress=False)) == 60
    bad = tmp_path / "bad.tsv"
    bad.write_text("caption\timage\na\t@@@\nb\t!!!", encoding="utf-8")
    with pytest.raises(OwnDataError, match="no row of .*bad.tsv.* has a picture and words that can be used; the first: line 2"):
        load(str(bad), progress=False)
    few = tmp_path / "few.tsv"
    few.write_text(f"one\t{square(0, 5)}", encoding="utf-8")
    with pytest.raises(OwnDataError, match="has 1 picture: too few to keep one of 10"):
        Own(str(few)).held_out_rows(32), Own(str(few)).training_rows(32, 0, progress=False)
    assert not list((tmp_path / "cache" / own.FORMAT).glob(".*"))


def test_a_name_that_is_no_data_lists_what_there_is():
    assert find("pairs.tsv") == Own("pairs.tsv") and find("somebody/pictures") == Own("somebody/pictures")
    with pytest.raises(SourceError, match="no data 'cats'; there are emoji, .*or give a file, a folder"):
        find("cats")
    assert choose(None, "pairs.tsv").data == Own("pairs.tsv")


def test_train_evaluate(table, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--data", "pairs.tsv", "--steps", "12", "--batch", "16", "--quiet", "--out", "run"]) == 0
    out = capsys.readouterr().out
    assert "held out, retrieval: of" in out and "find a caption of their own first" in out
    card = (tmp_path / "run" / "final" / "README.md").read_text(encoding="utf-8")
    assert "pairs.tsv" in card and "mean recall at 1, 5, 10" in card
    assert main(["evaluate", "run/final", "--data", "pairs.tsv", "--json", "n.json"]) == 0
    assert "median rank" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "n.json").read_text())
    measured = json.loads((tmp_path / "run" / "final" / "config.json").read_text())["meta"]["results"]["held out, retrieval"]
    assert numbers["mean_recall"] == measured["mean_recall"] and set(numbers["i->t"]["recall"]) == {"1", "5", "10"}
    with open("pairs.tsv", "a", encoding="utf-8") as file:
        file.write("\nbroken\t@@@")
    done = subprocess.run([sys.executable, "-m", "clipmini", "evaluate", "run/final", "--data", "pairs.tsv"],
                          capture_output=True, text=True)
    assert any(line.startswith("clipmini: left out of 'pairs.tsv': 1 row (line 121") for line in done.stderr.splitlines())
    assert "source.py" not in done.stderr
    assert main(["evaluate", "emoji", "--data", "nowhere.tsv"]) == 1
    assert "no file or folder here" in capsys.readouterr().err


def test_fine_tuning_begins_with_a_model_and_measures_it_before_and_after(table, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mixing, "SHARES", (0.5, 1.0))  # each asks for 1,442 drawings again
    words = ["train", "--data", "pairs.tsv", "--init", "emoji", "--steps", "30", "--batch", "16", "--quiet", "--out"]
    assert main([*words, "run"]) == 0
    said = capsys.readouterr().out
    for line in ("before, held out, retrieval", "after, held out, retrieval", "before, emoji, twemoji, one template",
                 "after, emoji, twemoji, one template"):
        assert f"{line}: " in said, line
    card = (tmp_path / "run" / "final" / "README.md").read_text(encoding="utf-8")
    assert "Begun with the weights of emoji and trained on by clipmini" in card
    before, after = clipmini.load("emoji"), clipmini.load(tmp_path / "run" / "final")
    assert after.tokenizer.merges == before.tokenizer.merges and after.config.to_dict() == before.config.to_dict()
    same = (before.embed_texts(["a dog"]) * after.embed_texts(["a dog"])).sum().item()
    assert 0.5 < same < 0.9999  # it moved, and not far
    assert before.config.vision.image_size == after.config.vision.image_size == 48
    assert main([*words, "other", "--init", "devise"]) == 1
    assert "only clipmini's own CLIPs" in capsys.readouterr().err and not (tmp_path / "other" / "final").exists()


def test_a_probe_needs_labels(tmp_path, table, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(80):
        folder = tmp_path / "sorted" / ("red" if i % 2 else "blue")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (200 - i, 40, i) if i % 2 else (i, 40, 200 - i)).save(folder / f"{i}.png")
    assert main(["evaluate", "emoji", "--data", "sorted", "--probe"]) == 0
    said = capsys.readouterr().out
    assert "linear probe: 100.0%" in said and "rows a class" in said
    assert main(["evaluate", "emoji", "--data", str(table), "--probe"]) == 1
    assert "--probe needs a label for every picture" in capsys.readouterr().err


def test_columns_can_be_named_to_train_and_evaluate(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = []
    for i in range(60):
        Image.new("RGB", (16, 16), (4 * i, 255 - 4 * i, 50)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png|not this|shade {i}")
    Path("rows.txt").write_text("\n".join(["file|other|said", *lines]), encoding="utf-8")
    named = ["--separator", "bar", "--header", "yes", "--picture-column", "file", "--text-column", "said"]
    short = ["train", "--data", "rows.txt", "--root", str(tmp_path), "--steps", "2", "--batch", "8", "--quiet", "--out", "run"]
    assert main([*short, *named]) == 0
    asked = json.loads(Path("run/final/config.json").read_text())["meta"]["recipe"]["data"]["asked"]
    assert asked["text"] == "said" and asked["separator"] == "|"
    capsys.readouterr()
    assert main(["evaluate", "run/final", "--data", "rows.txt", *named]) == 0
    first = capsys.readouterr().out
    assert main(["evaluate", "run/final", "--data", "rows.txt", *named[:-1], "other"]) == 0
    assert "1 captions" in capsys.readouterr().out and "1 captions" not in first  # all say the same
    assert main(["train", "shapes", "--steps", "2", *named]) == 1
    assert "no columns to name" in capsys.readouterr().err


# ---- recall ----------------------------------------------------------------------------------------------
def by_hand(queries, gallery, relevant, k):
    """A query is found when one of its own is among the k nearest."""
    found = 0
    for query, own_items in zip(queries.tolist(), relevant.tolist(), strict=True):
        scores = [sum(a * b for a, b in zip(query, item, strict=True)) for item in gallery.tolist()]
        nearest = sorted(range(len(scores)), key=lambda j: -scores[j])[:k]
        found += any(own_items[j] for j in nearest)
    return found / len(queries)


def test_recall_of_many_to_many_is_counted_as_by_hand():
    generator = torch.Generator().manual_seed(0)
    for case in range(200):
        pictures, captions = (int(torch.randint(2, 14, (1,), generator=generator)) for _ in range(2))
        images, texts = (F.normalize(torch.randn(n, 5, generator=generator).double(), dim=1) for n in (pictures, captions))
        relevant = torch.rand(captions, pictures, generator=generator) < 0.3
        relevant[torch.arange(captions), torch.randint(pictures, (captions,), generator=generator)] = True
        relevant[torch.randint(captions, (pictures,), generator=generator), torch.arange(pictures)] = True
        for queries, gallery, own_items in ((texts, images, relevant), (images, texts, relevant.t())):
            for k, share in recall_at_k(queries, gallery, own_items).items():
                assert share == pytest.approx(by_hand(queries, gallery, own_items, k)), (case, k)
            ranks = first_ranks(queries, gallery, own_items)
            for k in (1, 5, 10):
                assert (ranks <= k).double().mean().item() == pytest.approx(by_hand(queries, gallery, own_items, k))


class Fixed:
    """An embedder whose texts have the vectors of a table."""

    def __init__(self, texts):
        self.texts = texts

    def embed_texts(self, captions, truncate=False):
        return torch.stack([self.texts[c] for c in captions])


def test_a_caption_of_two_pictures_is_true_of_both():
    from datasets import Dataset

    a, b, c = torch.eye(3)
    rows = Dataset.from_dict({"captions": [["one", "both"], ["both"], ["three"]]})
    found = pairs_report(Fixed({"one": a, "both": b, "three": F.normalize(2 * b + c, dim=0)}), rows, torch.stack([a, b, c]))
    assert found["n"] == 3 and found["captions"] == 3
    assert found["t->i"]["recall"]["1"] == pytest.approx(2 / 3) and found["t->i"]["median_rank"] == 1
    assert found["i->t"]["recall"]["1"] == 1.0 and found["i->t"]["median_rank"] == 1
    assert found["mean_recall"] == pytest.approx(sum([*found["t->i"]["recall"].values(), *found["i->t"]["recall"].values()]) / 6)
    assert "3 pictures and 3 captions" in told({"retrieval": found})


def test_no_warning_where_nothing_is_left_out(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(str(table), progress=False)
