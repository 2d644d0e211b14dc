"""Training on pictures that are larger than memory: decoded batch by batch, to the same bits."""

import json
import threading
import weakref

import numpy as np
import pytest
import torch

from clipmini.commands import main
from clipmini.training import pictures
from clipmini.training.config import TrainingError
from clipmini.training.distil import targets
from clipmini.training.pairs import read_pairs
from clipmini.training.pictures import Pictures
from helpers_train import pairs_dataset
from test_fine_tuning import SHORT
from test_train import run, weights


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(pictures, "SHARE", 0.0)


def counted(rows=20, side=4):
    """Pictures whose pixels are their number, and a list of the rows that were decoded."""
    read: list[int] = []

    def decode(row: int) -> np.ndarray:
        read.append(row)
        if row == 13:
            raise TrainingError(f"row {row} of the data has a picture that cannot be read")
        return np.full((side, side, 4), row, dtype=np.uint8)
    return Pictures(rows, side, decode), read


def test_rows_come_in_the_order_asked_for():
    store, read = counted()
    assert len(store) == 20 and store[torch.tensor([7, 2, 7])][:, 0, 0, 0].tolist() == [7, 2, 7] and sorted(read) == [2, 7]
    assert store[18:][:, 3, 3, 3].tolist() == [18, 19] and store[:2].dtype == torch.uint8
    with pytest.raises(TrainingError, match="row 13"):
        store[torch.tensor([1, 13])]
    store, read = counted(rows=13)
    assert torch.cat(list(store.split(5)))[:, 0, 0, 0].tolist() == list(range(13)) and sorted(read) == list(range(13))


def test_what_is_expected_is_decoded_once_and_the_rest_forgotten():
    store, read = counted()
    store.expect(torch.tensor([4, 5, 6]))
    store.expect(torch.tensor([5, 6, 9]))
    assert sorted(store._soon) == [5, 6, 9]  # 4 is not kept
    assert store[torch.tensor([9, 5, 6])][:, 0, 0, 0].tolist() == [9, 5, 6]
    assert not store._soon and sorted(set(read) - {4}) == [5, 6, 9] and len(set(read)) == len(read)
    store.expect(torch.tensor([13]))  # its error is told when it is asked for, and not before
    with pytest.raises(TrainingError, match="row 13"):
        store[torch.tensor([13])]


@pytest.mark.parametrize("tower", ["light-cbow", "vit-transformer"])
def test_the_bits_are_those_of_pictures_in_memory(tower, make_clip, tokenizer, tmp_path, monkeypatch):
    dataset = pairs_dataset(40)
    whole = read_pairs(dataset, 16)
    run(make_clip(tower), tokenizer, tmp_path / "memory", SHORT, whole)
    monkeypatch.setattr(pictures, "SHARE", 0.0)
    pairs = read_pairs(dataset, 16)
    assert isinstance(pairs.rgba, Pictures) and pairs.rgba.shape == tuple(whole.rgba.shape)
    run(make_clip(tower), tokenizer, tmp_path / "stream", SHORT, pairs, stop_after=3)
    run(make_clip(tower), tokenizer, tmp_path / "stream", SHORT, pairs)
    assert weights(tmp_path / "memory") == weights(tmp_path / "stream")
    assert torch.equal(targets(make_clip(tower), tokenizer, pairs), targets(make_clip(tower), tokenizer, whole))


def test_it_is_said_that_they_are_too_large(little_memory, capsys):
    read_pairs(pairs_dataset(9), 16, progress=True)
    said = capsys.readouterr().err
    assert "9 pictures of 20 x 20 pixels are 0.0 GB, more than a quarter of this computer's memory" in said


def test_only_a_batch_and_the_next_are_held(little_memory, make_clip, tokenizer, tmp_path):
    pairs = read_pairs(pairs_dataset(200), 16)
    store, alive, most, lock = pairs.rgba, weakref.WeakValueDictionary(), [0], threading.Lock()
    decode = store._read

    def watched(row):
        out = decode(row)
        with lock:
            alive[(row, threading.get_ident(), id(out))] = out
            most[0] = max(most[0], len(alive))
        return out

    store._read = watched
    run(make_clip("light-cbow"), tokenizer, tmp_path, SHORT, pairs)
    assert SHORT.batch <= most[0] <= 3 * SHORT.batch


def test_the_command_trains_on_them(little_memory, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [f"shade {i}\t{picture}" for i, picture in enumerate(shades())]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines))
    words = ["train", "--data", "pairs.tsv", "--init", "emoji", "--steps", "4", "--batch", "8", "--no-mix", "--quiet"]
    assert main([*words, "--out", "stream"]) == 0
    monkeypatch.setattr(pictures, "SHARE", 0.25)
    assert main([*words, "--out", "memory"]) == 0
    capsys.readouterr()
    assert weights("stream/final", ".") == weights("memory/final", ".")
    assert json.loads((tmp_path / "stream/run.json").read_text()) == json.loads((tmp_path / "memory/run.json").read_text())


def shades():
    import base64
    import io

    from PIL import Image

    for i in range(40):
        file = io.BytesIO()
        Image.new("RGB", (24, 24), (6 * i, 255 - 6 * i, 99)).save(file, "PNG")
        yield base64.b64encode(file.getvalue()).decode()


def test_a_broken_picture_is_named_when_it_is_asked_for(little_memory):
    dataset = pairs_dataset(9)
    rows = list(dataset.cast_column("image", type(dataset.features["image"])(decode=False)))
    rows[6]["image"] = {"bytes": b"no picture", "path": None}
    pairs = read_pairs(type(dataset).from_list(rows, features=dataset.features), 16)
    with pytest.raises(TrainingError, match="row 6 of the data.*replace it or remove the row"):
        pairs.rgba[torch.tensor([1, 6])]
