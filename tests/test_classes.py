"""Classes taught by pictures: what is written is read, what is damaged is told."""

import json

import pytest
import torch
import torch.nn.functional as F

from clipmini.files import CheckpointError
from clipmini.tasks.classes import class_means, read_classes, save_classes
from clipmini.tasks.classify import classify
from helpers_app import encoded, tiny_embedder, two_colours


@pytest.fixture(scope="module")
def embedder():
    return tiny_embedder()


@pytest.fixture
def file(embedder, tmp_path):
    vectors = F.normalize(torch.randn(5, 32, generator=torch.Generator().manual_seed(0)), dim=1)
    return save_classes(tmp_path / "classes.json", embedder, {"my cat": vectors[:2], "猫": vectors[2:]})


def test_a_class_is_the_mean_of_its_unit_vectors(embedder, file):
    read = read_classes(file, embedder)
    vectors = F.normalize(torch.randn(5, 32, generator=torch.Generator().manual_seed(0)), dim=1)
    expected = F.normalize(torch.stack([vectors[:2].mean(0), vectors[2:].mean(0)]), dim=1)
    assert read.labels == ("my cat", "猫")
    torch.testing.assert_close(read.texts, expected, atol=1e-6, rtol=0)


def test_classify_answers_by_them(embedder, file):
    read = read_classes(file, embedder)
    answer = classify(embedder, [encoded(two_colours())], read)
    picture = embedder.embed_images([encoded(two_colours())])
    torch.testing.assert_close(answer.probabilities, (embedder.logit_scale * picture @ read.texts.t()).softmax(1))


def test_the_command_takes_the_file_instead_of_labels(file, tmp_path, capsys):
    from clipmini import checkpoint
    from clipmini.commands import main
    from helpers_app import tiny_model

    folder = checkpoint.save(tmp_path / "tiny", *tiny_model())
    (tmp_path / "two.png").write_bytes(encoded(two_colours()))
    assert main(["classify", str(tmp_path / "two.png"), "--classes", str(file), "--model", str(folder)]) == 0
    assert "my cat" in (said := capsys.readouterr().out) and "%" in said
    with pytest.raises(SystemExit):
        main(["classify", str(tmp_path / "two.png"), "--classes", str(file), "--labels", "cat"])


@pytest.mark.parametrize("change, said", [
    (lambda c: c.update(format="other"), "no file of classes"),
    (lambda c: c.update(classes=[]), "no file of classes"),
    (lambda c: c.update(sample=[0.0] * 32), "vectors are not those"),
    (lambda c: c.update(sample=c["sample"][::-1]), "vectors are not those"),
    (lambda c: c.update(sample=c["sample"][:5]), "vectors are not those"),
    (lambda c: c["classes"][1].update(vector=[1.0]), "class 2"),
    (lambda c: c["classes"][1].update(vector=[float("nan")] * 32), "class 2"),
    (lambda c: c["classes"][0].update(vector=[0.0] * 32), "class 1"),
    (lambda c: c["classes"][0].update(name=7), "class 1"),
    (lambda c: c["classes"][0].update(name="猫"), "2 classes and 1 different"),
    (lambda c: c["classes"].__setitem__(0, "cat"), "class 1")])
def test_what_is_damaged_is_told(embedder, file, change, said):
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=said):
        read_classes(file, embedder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"3"])
def test_what_is_no_json_is_told(embedder, tmp_path, content):
    (tmp_path / "classes.json").write_bytes(content)
    with pytest.raises(CheckpointError, match="JSON|no file of classes"):
        read_classes(tmp_path / "classes.json", embedder)


def test_a_missing_file_and_an_empty_class_are_told(embedder, tmp_path):
    with pytest.raises(CheckpointError, match="there is no file"):
        read_classes(tmp_path / "none.json", embedder)
    with pytest.raises(CheckpointError, match="'dog' has no pictures"):
        class_means({"dog": torch.empty(0, 32)})
