"""An index of pictures keeps in step with its folder, and its search is exact."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import clipmini
from clipmini.commands import main
from clipmini.embedder import assets_folder
from clipmini.files import CheckpointError
from clipmini.tasks import index as module
from clipmini.tasks import scan
from clipmini.tasks.index import (
    Changes,
    Index,
    NoIndexError,
    alike,
    cut_off,
    in_memory,
    open_index,
    parse,
    query,
    search,
    selected,
    update,
)
from demo_app.page import samples_folder


@pytest.fixture(scope="module")
def emoji():
    return clipmini.load("emoji", device="cpu")


@pytest.fixture
def photos(tmp_path):
    """The sample pictures in two folders, and things that are none."""
    folder = tmp_path / "photos"
    (folder / "animals").mkdir(parents=True)
    for file in samples_folder().glob("*.png"):
        shutil.copy(file, folder / ("animals" if file.stem in ("dog_face", "octopus") else ".") / file.name)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / ".trash").mkdir()
    Image.new("RGB", (9, 9)).save(folder / ".trash" / "old.png")
    return folder


def visible(folder) -> int:
    return sum(not any(part.startswith(".") for part in file.relative_to(folder).parts) for file in folder.rglob("*.png"))


def counted(monkeypatch, embedder):
    """The number of pictures that are embedded from now on, as a list with one number a batch."""
    sizes, encode = [], embedder.model.encode_image
    monkeypatch.setattr(embedder.model, "encode_image", lambda pixels: (sizes.append(len(pixels)), encode(pixels))[1])
    return sizes


def test_only_what_is_new_or_changed_is_embedded(emoji, photos, tmp_path, monkeypatch):
    place, sizes = tmp_path / "ix", counted(monkeypatch, emoji)
    count = visible(photos)
    assert update(emoji, photos, place) == Changes(count, 0, 0, 0, []) and sum(sizes) == count
    sizes.clear()
    assert update(emoji, photos, place) == Changes(0, 0, 0, 0, []) and not sizes
    (photos / "rocket.png").rename(photos / "animals" / "moved.png")
    shutil.copy(photos / "pizza.png", photos / "copy.png")
    (photos / "guitar.png").unlink()
    Image.new("RGB", (30, 30), "red").save(photos / "snowman.png")
    Image.new("RGB", (30, 30), "blue").save(photos / "new.png")
    (photos / "broken.png").write_bytes(b"no picture")
    os.utime(photos / "pizza.png", ns=(1, 1))  # touched, and the same
    changes = update(emoji, photos, place)
    assert changes[:4] == (1, 2, 1, 1)
    assert [path for path, _ in changes.left_out] == ["broken.png"] and sum(sizes) == 2
    found = open_index(place)
    assert len(found) == len(set(found.rows["path"])) == count + 1
    for path, vector in zip(found.rows["path"], found.full, strict=True):
        own = emoji.embed_images([photos / path])[0]
        assert torch.from_numpy(vector.copy()) @ own > 0.99999, path
    codes, scales, mean, error = found.short
    assert codes.dtype == np.int8
    lost = found.full - (codes * scales[:, None] + mean)
    assert np.linalg.norm(lost, axis=1).max() < error < 0.05
    assert not list(tmp_path.glob("*.parts"))


def test_an_interrupted_update_goes_on_and_the_old_index_stays(emoji, photos, tmp_path, monkeypatch):
    place = tmp_path / "ix"
    update(emoji, photos, place)
    before = sorted((file.name, file.read_bytes()) for file in place.iterdir())
    for i in range(5):
        Image.new("RGB", (20, 20), (i * 40, 0, 90)).save(photos / f"new{i}.png")
    monkeypatch.setattr("clipmini.tasks.vectors.PART", 2)
    monkeypatch.setattr("clipmini.tasks.vectors.BATCH", 2)
    embed, calls = module.embed, []

    def stops(*args):
        calls.append(1)
        monkeypatch.setattr("clipmini.tasks.vectors.written_whole", lambda *a: (_ for _ in ()).throw(OSError(28, "full")))
        return embed(*args)
    with monkeypatch.context() as patch:
        patch.setattr(module, "embed", stops)
        with pytest.raises((OSError, CheckpointError)):
            update(emoji, photos, place)
    assert calls and sorted((file.name, file.read_bytes()) for file in place.iterdir()) == before
    monkeypatch.undo()
    assert update(emoji, photos, place).new == 5 and len(open_index(place)) == visible(photos)


def test_an_index_of_another_model_or_a_damaged_one_is_told(emoji, photos, tmp_path, tiny_checkpoints):
    place = tmp_path / "ix"
    with pytest.raises(NoIndexError, match="there is no index in .*clipmini index FOLDER --out"):
        open_index(place)
    update(emoji, photos, place)
    with pytest.raises(NoIndexError, match="vectors of 'emoji', which are not those of 'light-cbow'; name that model"):
        update(clipmini.load(tiny_checkpoints["light-cbow"]), photos, place)
    (place / "short.codes.npy").write_bytes((place / "short.codes.npy").read_bytes()[:200])
    with pytest.raises(NoIndexError, match="is damaged"):
        open_index(place)
    (place / "index.json").write_text('{"format": 99}')
    with pytest.raises(NoIndexError, match="made by another version"):
        open_index(place)


def made(count: int, width: int, seed: int = 0) -> Index:
    full = F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1).numpy()
    return in_memory([str(i) for i in range(count)], torch.from_numpy(full))


@pytest.mark.parametrize("count", [2, 20, 70])
@pytest.mark.parametrize("rows", [20_000, 1_001])
@pytest.mark.parametrize("units", [True, False], ids=["quick with few bits", "not"])
@pytest.mark.parametrize("lengths", [1, 9])
def test_search_is_exact(rows, count, units, lengths, monkeypatch):
    monkeypatch.setattr(scan, "quick_bfloat16", lambda: units)
    monkeypatch.setattr(scan, "_reads_int8", lambda: units)
    index = made(rows, 64)
    queries = lengths * F.normalize(torch.randn(count, 64, generator=torch.Generator().manual_seed(1)), dim=1)
    theirs = (queries @ torch.from_numpy(index.full).t()).topk(10)
    for found, scores, best in zip(search(index, queries, 10), theirs.values, theirs.indices, strict=True):
        assert [int(hit.path) for hit in found] == best.tolist()
        assert [hit.score for hit in found] == pytest.approx(scores.tolist(), abs=lengths * 1e-6)
    ends = [rows - 1, 0, 255, 256][:count]
    assert [found[0].path for found in search(index, torch.from_numpy(index.full[ends]), 3)] == [str(i) for i in ends]
    only = np.arange(rows) % 7 == 0
    for found in search(index, queries, 10, only):
        assert len(found) == 10 and all(int(hit.path) % 7 == 0 for hit in found)
    assert search(index, queries[:1], 10, np.zeros(rows, bool)) == [[]] and search(made(0, 64), queries[:1]) == [[]]
    assert len(search(made(3, 64), queries[:1], 10)[0]) == 3


def test_neighbours_that_a_rough_scan_cannot_tell_apart_come_in_order():
    vector = F.normalize(torch.ones(64), dim=0)
    steps = torch.linspace(0, 0.02, 3_000)[torch.randperm(3_000, generator=torch.Generator().manual_seed(0))]
    aside = F.normalize(torch.randn(64, generator=torch.Generator().manual_seed(5)), dim=0)
    full = F.normalize(vector + steps[:, None] * aside, dim=1)
    index = in_memory([str(i) for i in range(3_000)], full)
    assert [int(hit.path) for hit in search(index, vector[None], 5)[0]] == (full @ vector).topk(5).indices.tolist()


def test_what_a_scan_in_few_bits_loses_is_never_more_than_it_says(monkeypatch):
    """Also where all vectors have large numbers in common, as CLIP's have, where few are, and for long queries."""
    monkeypatch.setattr(scan, "quick_bfloat16", lambda: True)
    monkeypatch.setattr(scan, "_reads_int8", lambda: True)
    generator = torch.Generator().manual_seed(7)
    random = torch.randn(4_000, 96, generator=generator)
    common = torch.zeros(96).index_fill(0, torch.tensor([3, 70]), 30.0)
    spiky = random * (torch.rand(4_000, 96, generator=generator) < 0.05)
    for vectors in (random, random + common, spiky + 1e-3 * random, random[:1], random[:1].expand(5, -1)):
        index = in_memory([str(i) for i in range(len(vectors))], F.normalize(vectors, dim=1))
        for count in (1, 8):
            queries = torch.randn(count, 96, generator=generator) * 3
            for asked, (scores, error) in zip(queries, scan.scans(index.full, index.short, queries), strict=True):
                exact = torch.from_numpy(index.full) @ asked
                assert (scores - exact).abs().max() <= error < 0.06 * asked.norm()


def test_an_index_of_an_earlier_version_opens(emoji, photos, tmp_path):
    place = tmp_path / "ix"
    update(emoji, photos, place)
    before = open_index(place)
    for file in place.glob("short.*"):
        file.unlink()
    np.save(place / "half.npy", before.full.astype(np.float16))
    after = open_index(place)
    assert all(np.array_equal(a, b) for a, b in zip(before.short, after.short, strict=True))


def test_the_cut_off_is_passed_by_what_is_alike_and_hardly_by_noise():
    index = made(5_000, 64)
    vector = torch.from_numpy(index.full[7])
    near = F.normalize(vector + 0.3 * torch.randn(8, 64, generator=torch.Generator().manual_seed(2)) / 8, dim=1).numpy()
    full = np.concatenate([index.full, near])
    both = in_memory([str(i) for i in range(5_008)], torch.from_numpy(full))
    limit = cut_off(both, vector)
    passed = [int(hit.path) for hit in search(both, vector[None], 50)[0] if hit.score >= limit]
    assert {7, *range(5_000, 5_008)} <= set(passed) and len(passed) <= 12
    other = F.normalize(torch.randn(64, generator=torch.Generator().manual_seed(3)), dim=0)
    assert sum(hit.score >= cut_off(index, other) for hit in search(index, other[None], 50)[0]) <= 3
    assert cut_off(made(5, 8), torch.ones(8)) == -1.0


def test_queries_add_and_subtract_words_and_pictures_with_weights(emoji, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pizza = photos / "pizza.png"
    asked = parse(["2:dog", "+", "pizza.png", "-", "0.5:red fruit"], photos)
    assert asked == [(2.0, "dog"), (1.0, pizza), (-0.5, "red fruit")]
    parts = 2 * emoji.embed_texts(["dog"])[0] + emoji.embed_images([pizza])[0] - 0.5 * emoji.embed_texts(["red fruit"])[0]
    assert torch.allclose(query(emoji, asked), F.normalize(parts, dim=0), atol=1e-6)
    assert parse(["a red disc"], photos) == [(1.0, "a red disc")] and parse(["3:4"], photos) == [(3.0, "4")]
    assert parse([str(pizza)], tmp_path) == [(1.0, pizza)] and parse(["none.png"], photos) == [(1.0, "none.png")]
    for words in (["dog", "-"], ["+"], []):
        with pytest.raises(NoIndexError, match="ends with a sign, or asks for nothing"):
            parse(words, photos)
    with pytest.raises(NoIndexError, match="cancels out"):
        query(emoji, parse(["dog", "-", "dog"], photos))


def test_filters_by_folder_date_and_size():
    rows = {"path": ["a/1.png", "a/b/2.png", "ab/3.png", "4.png"], "modified": [int(t * 1e9) for t in (100, 200, 300, 400)],
            "size": [10, 20, 30, 40]}
    index = replace(in_memory([], torch.zeros(4, 2)), rows=rows)

    def kept(**asked) -> list[int]:
        return (selected(index, **asked).nonzero()[0] + 1).tolist()
    assert kept() == [1, 2, 3, 4] and kept(below="a") == kept(below="/a/") == [1, 2] and kept(below="a/b") == [2]
    assert kept(newer=200) == [2, 3, 4] and kept(older=200) == [1, 2] and kept(newer=150, older=350) == [2, 3]
    assert kept(larger=20) == [2, 3, 4] and kept(smaller=20) == [1, 2] and kept(below="a", smaller=15) == [1]


def test_pictures_that_are_nearly_the_same():
    index = made(300, 32)
    full = np.concatenate([index.full, index.full[[5, 5, 7]] + 0.005])
    full /= np.linalg.norm(full, axis=1, keepdims=True)
    both = in_memory([f"{i:03d}" for i in range(303)], torch.from_numpy(full))
    for rows in (7, 1024):
        assert alike(both, 0.98, rows) == [["005", "300", "301"], ["007", "302"]]
    assert alike(both, 1.01) == []


def test_the_commands(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["index", "photos", "--out", "ix"]) == 0
    out = capsys.readouterr().out
    count = visible(photos)
    assert f"ix: {count} pictures by emoji; new {count}, renamed or copied 0, changed 0, gone 0" in out
    assert main(["search", "pizza", "--index", "ix", "--paths-only", "-n", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(photos / "pizza.png")]
    assert main(["search", "pizza", "+", "2:dog", "--index", "ix", "-n", "1", "--paths-only"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(photos / "animals" / "dog_face.png")]
    assert main(["search", "pizza", "--index", "ix", "--below", "animals", "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("animals" in line and line[0] in "+-" for line in lines)
    assert main(["search", "pizza", "--index", "ix", "--all", "--paths-only", "--newer", "2999-01-01"]) == 0
    assert capsys.readouterr().out == ""
    words = ["search", "pizza", "--index", "ix", "--all", "--paths-only", "--older", "2999-01-01", "--smaller", "9999999"]
    assert main(words) == 0
    assert len(capsys.readouterr().out.splitlines()) == count
    assert main(["search", "--alike", "--index", "ix"]) == 0
    assert capsys.readouterr().out == "no two are so alike\n"
    with pytest.raises(SystemExit):
        main(["search", "pizza", "--newer", "yesterday"])
    assert "'yesterday' is no date; write it as 2026-11-27" in capsys.readouterr().err
    assert main(["search", "--index", "ix"]) == 1
    assert "asks for nothing" in capsys.readouterr().err
    shutil.copytree(assets_folder() / "emoji", tmp_path / "mine")
    assert main(["index", "photos", "--out", "iy", "--model", "mine"]) == 0
    capsys.readouterr()
    monkeypatch.chdir(photos)  # the index knows where its pictures and its model are
    assert main(["search", "pizza", "--index", "../iy", "-n", "1", "--paths-only"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(photos / "pizza.png")]
    assert main(["search", "pizza", "--index", "../iy", "--model", "emoji-vit"]) == 1
    assert "mine', which are not those of 'emoji-vit'" in capsys.readouterr().err
    assert main(["search", "pizza", "--index", "nowhere"]) == 1
    assert "there is no index in 'nowhere'" in capsys.readouterr().err
    assert main(["index", "nowhere"]) == 1
    assert "not there" in capsys.readouterr().err
