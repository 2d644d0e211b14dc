"""Fashion-MNIST: the idx files, what is wrong with bad ones, the pairs made of them, and the commands."""

import gzip
import json
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from clipmini import recipes
from clipmini.commands import main
from clipmini.data import fashion
from clipmini.data.fashion import FILES, KINDS, FashionError

MAGIC = {1: 2049, 3: 2051}  # the numbers that the format's own page gives for labels and images


def idx(values: np.ndarray, magic: int | None = None, shape=None) -> bytes:
    """An idx file written without the package: magic, lengths, values."""
    head = [magic or MAGIC[values.ndim], *(shape or values.shape)]
    return b"".join(n.to_bytes(4, "big") for n in head) + values.tobytes()


def toy(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of which each kind has a bright line of its own, and their labels."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(rows) % 10).astype(np.uint8)
    pictures = rng.integers(0, 60, (rows, 28, 28), dtype=np.uint8)
    pictures[np.arange(rows), 2 * labels + 4] = 250
    return pictures, labels


@pytest.fixture
def folder(tmp_path):
    """The four files, with 60 and 20 pictures."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for split, rows in (("train", 60), ("test", 20)):
        for name, values in zip(FILES[split], toy(rows, rows), strict=True):
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(values)))
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPMINI_CACHE", str(tmp_path / "cache"))


# ---- words ---------------------------------------------------------------------------------------------
def test_the_kinds_are_the_papers_in_its_order():
    table = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot".lower().split(", ")
    assert len(KINDS) == 10
    for ours, theirs in zip(KINDS, table, strict=True):
        assert ours in theirs or theirs in ours


def test_phrasings_name_one_kind_each_in_a_few_words():
    said = [phrase for phrasings in KINDS.values() for phrase in phrasings]
    assert len(set(said)) == len(said) and max(len(phrase.split()) for phrase in said) <= 4
    assert all(phrasings[0] == kind and len(phrasings) >= 4 for kind, phrasings in KINDS.items())


# ---- rows ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("split, rows", [("train", 60), ("test", 20)])
def test_a_row_is_a_thing_on_white_with_its_words(folder, split, rows):
    pictures, labels = toy(rows, rows)
    data = fashion.load(split, folder, progress=False)
    assert data.column_names == ["image", "captions", "label"] and data.features["label"].names == list(KINDS)
    assert data["label"][:] == labels.tolist()
    for i in (0, 7, rows - 1):
        np.testing.assert_array_equal(np.asarray(data[i]["image"]), 255 - pictures[i])
        assert data[i]["captions"] == list(KINDS[list(KINDS)[labels[i]]])


def test_it_is_built_once_and_again_when_the_files_change(folder, tmp_path, monkeypatch):
    first = fashion.load("train", folder, progress=False)
    assert first.cache_files  # memory-mapped
    built = sorted(path.name for path in (tmp_path / "cache" / fashion.FORMAT).iterdir())
    assert len(built) == 1 and built[0].startswith("train-")
    with monkeypatch.context() as patch:
        patch.setattr(fashion, "from_files", lambda *files: pytest.fail("it was built a second time"))
        assert fashion.load("train", folder, progress=False)["label"][:] == first["label"][:]
    labels = folder / f"{FILES['train'][1]}.gz"
    labels.write_bytes(gzip.compress(idx(np.full(60, 3, np.uint8))))
    assert set(fashion.load("train", folder, progress=False)["label"][:]) == {3}


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_damaged_cache_is_built_anew_with_a_word(damage, folder, tmp_path, capsys):
    def content():
        data = fashion.load("train", folder, progress=False)
        return data["label"][:], [np.asarray(row["image"]).tobytes() for row in data]

    first = content()
    built, = (tmp_path / "cache" / fashion.FORMAT).iterdir()
    file = next(built.glob("*.arrow"))
    kept = file.read_bytes()
    time.sleep(0.05)  # file systems tell times apart that are some milliseconds from each other
    file.write_bytes(kept[:-3000] if damage == "cut" else kept[:3000] + bytes(3000) + kept[6000:])
    capsys.readouterr()
    assert content() == first
    said = capsys.readouterr().err
    assert f"the pictures of Fashion-MNIST kept in {str(built)!r} are damaged ({file.name})" in said
    assert said.count("\n") == 1
    assert content() == first and capsys.readouterr().err == ""


def test_nothing_is_left_of_a_build_that_failed(folder, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("no space")

    monkeypatch.setattr(fashion, "_save", fail)
    with pytest.raises(ValueError, match="no space"):
        fashion.load("train", folder, progress=False)
    assert not list((tmp_path / "cache" / fashion.FORMAT).iterdir())


def test_unpacked_files_do_too(folder):
    packed = fashion.load("train", folder, progress=False)
    for file in list(folder.iterdir()):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    assert fashion.load("train", folder, progress=False)["label"][:] == packed["label"][:]


# ---- what can be wrong with the files ------------------------------------------------------------------
IMAGES, LABELS = (f"{name}.gz" for name in FILES["train"])
PICTURES, NUMBERS = toy(60, 60)
BAD = {
    "cut short": (IMAGES, gzip.compress(idx(PICTURES))[:-400], f"{IMAGES}.*cannot be unpacked.*get it anew"),
    "not packed": (IMAGES, idx(PICTURES), f"{IMAGES}.*cannot be unpacked.*get it anew"),
    "damaged": (IMAGES, gzip.compress(idx(PICTURES))[:10] + b"\xff" * 500, f"{IMAGES}.*cannot be unpacked.*get it anew"),
    "of another kind": (IMAGES, gzip.compress(idx(NUMBERS)), "starts with the number 2049; an idx file of 3 axes .*2051.*anew"),
    "of whole numbers": (LABELS, gzip.compress(idx(NUMBERS, magic=3073)), "number 3073; an idx file of 1 axes .* 2049.*anew"),
    "almost empty": (LABELS, gzip.compress(b"\0\0\10"), "starts with the number 2048;"),
    "without lengths": (IMAGES, gzip.compress(b"\0\0\10\3"), "0 x 0 x 0|has -12 values"),
    "less than it says": (IMAGES, gzip.compress(idx(PICTURES, shape=(61, 28, 28))), "47,040 values.*61 x 28 x 28 = 47,824.*anew"),
    "more than it says": (LABELS, gzip.compress(idx(NUMBERS, shape=(59,))), "60 values; its header says 59 = 59"),
    "more than memory": (IMAGES, gzip.compress(idx(PICTURES, shape=(2**32 - 1,) * 3)), "its header says 4294967295 x"),
    "of other rows": (LABELS, gzip.compress(idx(NUMBERS[:50])), "60 pictures and .* 50 labels.*same download"),
    "of other labels": (LABELS, gzip.compress(idx(NUMBERS + np.uint8(1))), "label 10 in row 9 .* from 0 to 9"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_named_with_its_fault_and_the_remedy(what, folder, tmp_path):
    name, content, words = BAD[what]
    (folder / name).write_bytes(content)
    with pytest.raises(FashionError, match=words):
        fashion.load("train", folder, progress=False)
    assert not (tmp_path / "cache").exists()
    assert len(fashion.load("test", folder, progress=False)) == 20


def test_files_without_pictures(folder):
    for name, values in zip((IMAGES, LABELS), toy(0, 0), strict=True):
        (folder / name).write_bytes(gzip.compress(idx(values)))
    with pytest.raises(FashionError, match="0 pictures.*not empty"):
        fashion.load("train", folder, progress=False)


def test_missing_files_are_listed(folder, tmp_path):
    (folder / LABELS).unlink()
    with pytest.raises(FashionError, match=f"idx' lacks {LABELS}; put .* apt install dataset-fashion-mnist"):
        fashion.load("train", folder)
    with pytest.raises(FashionError, match=f"lacks {IMAGES} and {LABELS}"):
        fashion.load("train", tmp_path / "nowhere")
    with pytest.raises(FashionError, match="split is 'validation'; choose one of train, test"):
        fashion.load("validation", folder)


# ---- the hub -------------------------------------------------------------------------------------------
def test_a_dataset_as_the_hub_has_it_gives_the_same(tmp_path, monkeypatch):
    import datasets

    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=[str(k) for k in range(10)])})
    for split, rows in (("train", 30), ("test", 20)):
        pictures, labels = toy(rows, rows)
        columns = {"image": [Image.fromarray(picture) for picture in pictures], "label": labels.tolist()}
        datasets.Dataset.from_dict(columns, features=kinds).to_parquet(tmp_path / "hub" / f"{split}-00000-of-00001.parquet")
    monkeypatch.setattr(fashion, "PACKAGE", tmp_path / "nowhere")
    from_hub = fashion.from_hub
    monkeypatch.setattr(fashion, "from_hub", lambda split: from_hub(split, str(tmp_path / "hub")))
    for split, rows in (("train", 30), ("test", 20)):
        data, (pictures, labels) = fashion.load(split, progress=False), toy(rows, rows)
        assert data["label"][:] == labels.tolist()
        np.testing.assert_array_equal(np.stack([np.asarray(row["image"]) for row in data]), 255 - pictures)


def test_without_package_and_network_all_ways_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion, "PACKAGE", tmp_path / "nowhere")
    monkeypatch.setattr(fashion, "HUB", "nobody/there-is-no-such-set")
    monkeypatch.setattr(fashion.from_hub, "__defaults__", ("nobody/there-is-no-such-set",))
    with pytest.raises(FashionError, match="'nobody/there-is-no-such-set' cannot be had.*apt install dataset.*--folder"):
        fashion.load("test")


# ---- the package ---------------------------------------------------------------------------------------
def test_debians_package_holds_what_the_paper_says():
    if not fashion.PACKAGE.is_dir():
        pytest.skip("install dataset-fashion-mnist (apt)")
    for split, each, first in (("train", 6000, [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]), ("test", 1000, [9, 2, 1, 1, 6, 1, 4, 6, 5, 7])):
        pictures, labels = fashion.from_files(*fashion.find_files(split, fashion.PACKAGE))
        assert pictures.shape == (10 * each, 28, 28) and labels[:10].tolist() == first
        assert np.bincount(labels).tolist() == [each] * 10
        assert (pictures / 255).mean() == pytest.approx(0.2864, abs=0.001)  # dark before it is turned back


# ---- commands ------------------------------------------------------------------------------------------
@pytest.fixture
def small(monkeypatch):
    """The recipe with tiny towers."""
    kept = recipes.RECIPES["fashion"]
    monkeypatch.setitem(recipes.RECIPES, "fashion", replace(
        kept, vision={"image_size": 16, "width": 8}, text={"width": 32}, model_options={"embed_dim": 32},
        train=replace(kept.train, batch=16, warmup=2, evaluate_every=4)))


def says(capsys, status: int, *arguments) -> str:
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == status
    out, err = capsys.readouterr()
    return out if status == 0 else err


def test_train_evaluate_and_classify(folder, small, capsys, tmp_path):
    options = ("--folder", folder, "--steps", 8, "--quiet", "--out", tmp_path / "run")
    out = says(capsys, 0, "train", "fashion", *options)
    assert "test pictures, one template: top-1" in out and "of 20 pictures among 10 names" in out
    final = tmp_path / "run" / "final"
    card = (final / "README.md").read_text()
    assert "Zalando SE, MIT" in card and "28 pixels" in card and "test pictures, ensemble" in card
    weights = (final / "model.safetensors").read_bytes()
    assert says(capsys, 0, "train", "--data", "fashion", *options).startswith("8 steps")  # the same run, by its data's name
    assert (final / "model.safetensors").read_bytes() == weights
    says(capsys, 0, "evaluate", final, "--data", "fashion", "--folder", folder, "--json", tmp_path / "n.json")
    numbers = json.loads((tmp_path / "n.json").read_text())
    measured = json.loads((final / "config.json").read_text())["meta"]["results"]
    assert {f"test pictures, {name}": found for name, found in numbers.items()} == measured
    fashion.load("test", folder)[3]["image"].save(tmp_path / "dress.png")
    out = says(capsys, 0, "classify", tmp_path / "dress.png", "--model", final, "--labels", "dress, bag", "--show-prompts")
    assert "outside of what it learnt" in out and out.count("%") == 3 and "bag on white" in out  # the recipe's own templates


def test_training_learns_the_toy(folder, small, capsys, tmp_path):
    says(capsys, 0, "train", "fashion", "--folder", folder, "--steps", 150, "--quiet", "--out", tmp_path / "run")
    results = json.loads((tmp_path / "run" / "final" / "config.json").read_text())["meta"]["results"]
    assert results["test pictures, one template"]["top1"] >= 0.5  # guessing: 0.1


def test_data_and_its_contact_sheet(folder, capsys, tmp_path):
    out = says(capsys, 0, "data", "fashion", "--folder", folder, "--preview", tmp_path / "sheet.png")
    assert "60 pictures to train on, 20 to test" in out and "MIT" in out and "sneaker, trainer" in out
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    assert sheet.shape[1] > sheet.shape[0] > 500
    assert (sheet[:, 150:] < 128).any(axis=1).reshape(10, -1).any(axis=1).all()  # each row shows something


@pytest.mark.parametrize("arguments, words", [
    (["--data", "cats"], "no recipe trains on 'cats'; there is data called emoji, emoji-pip, shapes, order, fashion"),
    (["shapes", "--data", "fashion"], "'shapes' trains on shapes, not on 'fashion'"),
    (["shapes", "--folder", "here", "--steps", "3"], "the data 'shapes' has no option --folder; it has --rows, --seed. Omit it"),
    (["fashion", "--folder", "nowhere"], "'nowhere' lacks train-images-idx3-ubyte.gz and"),
    (["fashion", "--hold-out", "noto"], "the data 'fashion' has no option --hold-out; it has --folder. Omit it"),
])
def test_mistakes_are_told_in_one_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    err = says(capsys, 1, "train", *arguments)
    assert words in err and err.count("\n") == 1
