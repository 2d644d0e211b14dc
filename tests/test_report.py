"""The report: what it counts, against counts by hand; that it opens offline and holds nothing that a file could smuggle in."""

import json
import re
import warnings
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

import clipmini
from clipmini.commands import main
from clipmini.data.base import Question
from clipmini.embedder import Embedder
from clipmini.report import write
from clipmini.report.look import Labels, compared, labels_of, pairs_of
from clipmini.tasks.metrics import reliability
from clipmini.tasks.questions import ask, told
from helpers_train import pairs_dataset


def looked(targets, said, rank=None, names=("cat", "dog", "owl"), share=None) -> Labels:
    targets, said = torch.tensor(targets), torch.tensor(said)
    rank = torch.where(targets == said, 1, 2) if rank is None else torch.tensor(rank)
    share = torch.full((len(targets),), 0.5) if share is None else torch.tensor(share)
    return Labels(pairs_dataset(len(targets)), [("top-1", 0.5, 0.4, 0.6)], names, targets, said, share, rank,
                  reliability(share, rank == 1))


class Page(HTMLParser):
    """Tags and attributes of a page, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.addresses, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data", "srcset")]

    def handle_data(self, data):
        self.text += data


def test_counts_are_those_by_hand():
    look = looked([0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 0, 0], share=[.9, .8, .3, .7, .6, .95])
    assert look.confusions() == [(0, 1, 2), (1, 0, 1), (2, 0, 1)]
    assert [(name, n, round(share, 3)) for name, n, share, *_ in look.classes()] == [
        ("owl", 1, 0.0), ("cat", 3, 0.333), ("dog", 2, 0.5)]
    assert look.worst() == [5, 1, 4, 2]  # the surest first
    found = compared(look, looked([0, 0, 0, 1, 1, 2], [1, 0, 1, 1, 0, 2]))
    assert (found.won, found.lost) == ([0], [1, 5])


def test_what_is_looked_at_agrees_with_what_is_reported(make_clip, tokenizer):
    embedder, rows = Embedder(make_clip("light-cbow", seed=4), tokenizer), pairs_dataset(32)
    questions = {"labels": Question(rows), "pairs": Question(rows, kind="pairs")}
    embedded: dict = {}
    answers = ask(embedder, questions, embedded=embedded)
    vectors = embedded[id(rows)][1]
    labels, pairs = (look(embedder, question, rows, vectors)
                     for look, question in zip((labels_of, pairs_of), questions.values(), strict=True))
    report = answers["labels"]
    assert [share for _, share, *_ in labels.numbers] == pytest.approx([report.top1, report.top5, report.mean_per_class_recall])
    assert labels.numbers[0][2:] == pytest.approx(answers["labels"].intervals["top1"])
    assert pairs.right.double().mean().item() == pytest.approx(answers["pairs"]["i->t"]["recall"]["1"])
    assert (pairs.rank <= 5).double().mean().item() == pytest.approx(answers["pairs"]["i->t"]["recall"]["5"])
    assert [share for _, share, *_ in pairs.numbers] == [share for way in ("i->t", "t->i")
                                                         for share in answers["pairs"][way]["recall"].values()]


def test_a_page_opens_offline_and_names_do_no_harm(make_clip, tokenizer, tmp_path):
    first, second = (Embedder(make_clip("light-cbow", seed=seed), tokenizer, f"<b>model {seed}</b>") for seed in (4, 5))
    rows = pairs_dataset(40)
    names = ["<script>alert(1)</script>", "a & b", '"quoted"', "猫", "line\nbreak", "x" * 20, "e", "f"]
    questions = {"<i>asked</i>": Question(rows, labels=names), "pairs": Question(rows, kind="pairs")}
    embedded: dict = {}
    text = told(ask(first, questions, embedded=embedded))
    file = write(tmp_path / "made" / "report.html", first, questions, embedded, text, second)
    page = Page(file.read_text(encoding="utf-8"))
    assert not {"script", "iframe", "link", "object", "form"} & set(page.tags)
    assert page.addresses and all(address.startswith("data:image/") for address in page.addresses)
    assert "url(" not in file.read_text() and "http" not in re.sub(r"base64,[^\"]*", "", file.read_text())
    for said in ("<script>alert(1)</script>", "a & b", "猫", "<b>model 4</b>", "What changed since <b>model 5</b>", "Calibration",
                 "a row for what it is, a column for what it says", "Classes, the worst first", "Mistakes: 24 of",
                 "a picture finds a caption of its own, among the first 5"):
        assert said in page.text, said
    assert page.tags.count("figure") >= 48


def test_many_classes_are_told_by_their_most_frequent_confusions(make_clip, tokenizer, tmp_path):
    import datasets

    embedder = Embedder(make_clip("light-cbow", seed=4), tokenizer, "many")
    shades = [Image.new("RGB", (16, 16), (4 * i % 256, 7 * i % 256, 90)) for i in range(60)]
    rows = datasets.Dataset.from_dict({"image": shades, "label": [i % 30 for i in range(60)]}, features=datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=[f"shade {i}" for i in range(30)])}))
    questions, embedded = {"shades": Question(rows)}, {}
    text = told(ask(embedder, questions, embedded=embedded))
    page = Page(write(tmp_path / "r.html", embedder, questions, embedded, text).read_text())
    assert re.search(r"Confusions: the \d+ most frequent", page.text) and "5 more" in page.text
    assert "What changed" not in page.text


def test_the_command_compares_with_what_the_model_began_with(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(40):
        Image.new("RGB", (24, 24), (6 * i, 255 - 6 * i, 99)).save(folder / f"shade {i}.png")
    train = ["train", "--data", "pictures", "--init", "emoji", "--steps", "4", "--batch", "8", "--quiet", "--no-mix"]
    assert main([*train, "--out", "run"]) == 0
    assert main(["evaluate", "run/final", "--data", "pictures", "--report", "report.html"]) == 0
    assert "report: report.html" in capsys.readouterr().out
    said = Page((tmp_path / "report.html").read_text()).text
    assert "What changed since emoji" in said and "emoji, before" in said
    assert not clipmini.load("emoji").meta["recipe"].get("init")
    config = tmp_path / "run/final/config.json"
    for init, said in (("nowhere/at-all", "which is not here, so nothing is compared"), (7, "not here"), ("", "")):
        raw = json.loads(config.read_text())
        raw["meta"]["recipe"] = {"init": init} if init else "odd"
        config.write_text(json.dumps(raw))
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            assert main(["evaluate", "run/final", "--data", "pictures", "--report", "odd.html"]) == 0
        assert not said or any(said in str(w.message) for w in found)
        assert "What changed" not in Page((tmp_path / "odd.html").read_text()).text
    assert main(["evaluate", "emoji", "--data", "pictures", "--report", "own.html"]) == 0
    assert "What changed" not in Page((tmp_path / "own.html").read_text()).text
    assert main(["evaluate", "emoji", "--data", "pictures", "--report", "o.html", "--before", "emoji-vit"]) == 0
    assert "What changed since emoji-vit" in Page((tmp_path / "o.html").read_text()).text
