"""`clipmini embed`: a row an input, nothing twice and nothing missing, also after it was interrupted."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import clipmini
from clipmini.commands import main
from clipmini.files import CheckpointError
from clipmini.tasks import vectors
from clipmini.tasks.vectors import Item, embed, join, parts


@pytest.fixture(scope="module")
def emoji():
    return clipmini.load("emoji", device="cpu")


def picture(i: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 20), (i * 7 % 256, i * 31 % 256, 90)).save(file, "PNG")
    return file.getvalue()


def items(count: int) -> list[Item]:
    """Pictures, with a text, a broken picture and a row without anything among them."""
    found = [Item(f"line {i + 1}", f"name {i}", picture(i)) for i in range(count)]
    found[3], found[5] = Item("line 4", "a dog", "a dog"), Item("line 6", "", None, "it has no text")
    found[8] = Item("line 9", "broken", b"no picture")
    return found


def expected(embedder, rows: list[Item]) -> np.ndarray:
    """One at a time."""
    out = np.full((len(rows), embedder.config.embed_dim), np.nan, np.float32)
    for i, item in enumerate(rows):
        if isinstance(item.content, str):
            out[i] = embedder.embed_texts([item.content]).numpy()
        elif item.content and item.content != b"no picture":
            out[i] = embedder.embed_images([item.content]).numpy()
    return out


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(vectors, "PART", 7)
    monkeypatch.setattr(vectors, "BATCH", 3)


@pytest.mark.parametrize("workers", [1, 3])
def test_vectors_are_those_of_one_at_a_time(emoji, small, tmp_path, workers):
    rows = items(23)
    bad = embed(emoji, rows, tmp_path / "parts", {"a": 1}, workers)
    assert bad[0] == ("line 6", "it has no text") and bad[1][0] == "line 9" and len(bad) == 2
    assert [len(names) for names, _ in parts(tmp_path / "parts")] == [7, 7, 7, 2]
    whole = np.concatenate([found for _, found in parts(tmp_path / "parts")])
    np.testing.assert_allclose(whole, expected(emoji, rows), atol=2e-6)
    assert [row[0] for names, _ in parts(tmp_path / "parts") for row in names] == [item.where for item in rows]


class Stops(Exception):
    pass


@pytest.mark.parametrize("stops", [(1,), (8, 15, 20)])
def test_an_interrupted_embedding_goes_on(emoji, small, tmp_path, stops):
    rows = items(23)

    def interrupted(at):
        for i, item in enumerate(rows):
            if i == at:
                raise Stops
            yield item
    embedded = []
    encode = emoji.model.encode_image
    emoji.model.encode_image = lambda pixels: (embedded.append(len(pixels)), encode(pixels))[1]
    try:
        for at in stops:
            with pytest.raises(Stops):
                embed(emoji, interrupted(at), tmp_path / "parts", {"a": 1})
        before = sum(len(names) for names, _ in parts(tmp_path / "parts"))
        embedded.clear()
        embed(emoji, rows, tmp_path / "parts", {"a": 1})
    finally:
        del emoji.model.encode_image
    assert sum(embedded) == sum(isinstance(i.content, bytes) and i.content != b"no picture" for i in rows[before:])
    join(tmp_path / "parts", tmp_path / "v.npy")
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), expected(emoji, rows), atol=2e-6)
    assert not list((tmp_path / "parts").glob(".*"))


def test_another_model_or_source_begins_anew(emoji, small, tmp_path):
    embed(emoji, items(9), tmp_path / "parts", {"a": 1})
    embed(emoji, items(12)[2:], tmp_path / "parts", {"a": 2})
    assert [row[0] for names, _ in parts(tmp_path / "parts") for row in names] == [f"line {i}" for i in range(3, 13)]


def test_a_full_disk_leaves_what_was_there(emoji, small, tmp_path, monkeypatch):
    (tmp_path / "v.tsv").write_text("old")
    embed(emoji, items(9), tmp_path / "parts", {})

    def full(folder, path):
        path.write_text("half")
        raise OSError(28, "No space left on device")
    monkeypatch.setitem(vectors.WRITERS, ".tsv", full)
    with pytest.raises(CheckpointError, match="No space left"):
        join(tmp_path / "parts", tmp_path / "v.tsv")
    assert (tmp_path / "v.tsv").read_text() == "old" and sorted(p.name for p in tmp_path.iterdir()) == ["parts", "v.tsv"]


def test_no_more_than_two_batches_are_in_memory(emoji, small, tmp_path):
    alive, most = set(), 0

    class Watched(bytes):
        def __del__(self):
            alive.discard(id(self))

    def stream():
        nonlocal most
        for i in range(40):
            content = Watched(picture(i))
            alive.add(id(content))
            most = max(most, len(alive))
            yield Item(f"line {i + 1}", "", content)
            del content
    embed(emoji, stream(), tmp_path / "parts", {})
    assert most <= 3 * vectors.BATCH


# ---- the command -----------------------------------------------------------------------------------------
def test_the_command_writes_three_formats(emoji, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(5):
        (folder / f"thing_{i}.png").write_bytes(picture(i))
    (folder / "broken.png").write_bytes(b"nothing")
    for out in ("v.tsv", "v.npy", "v.parquet"):
        assert main(["embed", "photos", "--out", out]) == 0
        said = capsys.readouterr()
        assert f"6 vectors of 128 numbers by emoji (packed matrices) to {out}" in said.out and "1 of the rows" in said.err
    table, whole = pq.read_table("v.parquet").to_pydict(), np.load("v.npy")
    assert table["name"] == ["broken", *(f"thing {i}" for i in range(5))] and table["path"][1].endswith("thing_0.png")
    assert table["vector"][0] is None and np.isnan(whole[0]).all()
    np.testing.assert_allclose(whole[1:], [*table["vector"][1:]])
    lines = (tmp_path / "v.tsv").read_text().splitlines()
    assert len(lines) == 6 and all(len(line.split("\t")) == 128 for line in lines)
    np.testing.assert_allclose([[float(x) for x in line.split("\t")] for line in lines], whole, rtol=1e-5)
    np.testing.assert_allclose(whole[1:], emoji.embed_images(sorted(folder.glob("thing*"))).numpy(), atol=2e-6)
    assert not list(tmp_path.glob("*.parts"))


def test_texts_alone(emoji, tmp_path, capsys):
    (tmp_path / "texts.tsv").write_text("a dog\n披萨\n", encoding="utf-8")
    assert main(["embed", str(tmp_path / "texts.tsv"), "--out", str(tmp_path / "v.npy")]) == 0
    theirs = emoji.embed_texts(["a dog", "披萨"]).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), theirs, atol=2e-6)
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"image": "none.png", "caption": "a dog"}), encoding="utf-8")
    assert main(["embed", str(tmp_path / "pairs.jsonl"), "--out", str(tmp_path / "w.npy")]) == 0
    assert "is not there" in capsys.readouterr().err and np.isnan(np.load(tmp_path / "w.npy")).all()
    assert main(["embed", str(tmp_path / "texts.tsv"), "--out", str(tmp_path / "v.txt")]) == 1
    assert "end it in .tsv, .npy, .parquet" in capsys.readouterr().err
    assert torch.is_tensor(emoji.embed_texts(["a dog"]))
