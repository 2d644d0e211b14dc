"""A map as a folder: what is read is what was written, and damage names the file."""

import json
import shutil

import pytest
import torch

from clipmini.commands import main
from clipmini.embedder import Embedder
from clipmini.files import CheckpointError
from clipmini.plots import map_of
from clipmini.tasks.maps import folder as map_folder
from clipmini.tasks.maps import projection
from test_embedder import picture


@pytest.fixture(scope="module")
def embedder(make_clip, tokenizer):
    return Embedder(make_clip("light-cbow", seed=4), tokenizer, "tiny")


@pytest.fixture(scope="module")
def made(embedder):
    names = [f"thing {i // 2}" for i in range(20)]
    pictures = [picture(40, 30, seed=i) for i in range(20)]
    return map_folder.make(embedder, pictures, names, [f"group {i % 3}" for i in range(20)])


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    return map_folder.save(made, tmp_path_factory.mktemp("maps") / "tiny")


def test_pictures_come_first_then_each_name_and_group_once(made, embedder):
    assert made.pictures == 20 and len(made.names) == len(made.groups) == len(made.vectors) == 40
    assert made.names[20:23] == ["thing 0", "thing 0", "thing 1"] and made.groups[20:22] == ["group 0", "group 1"]
    torch.testing.assert_close(made.vectors[3], embedder.embed_images([picture(40, 30, seed=3)])[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(made.vectors[22], embedder.embed_texts(["thing 1"])[0], rtol=0, atol=1e-6)
    assert set(made.maps) == set(map_folder.MAPS) and all(m.shape == (40, 2) for m in made.maps.values())
    assert torch.equal(made.maps["pca"], projection.pca(made.vectors))
    a, b = projection.without_gap(made.vectors[:20], made.vectors[20:])
    assert torch.equal(made.maps["pca without gap"], projection.pca(torch.cat([a, b])))


def test_a_folder_gives_back_what_was_saved(made, folder):
    found = map_folder.read(folder)
    assert (found.names, found.groups, found.pictures, found.model) == (made.names, made.groups, 20, "tiny")
    torch.testing.assert_close(found.vectors, made.vectors, rtol=0, atol=2e-3)
    for name, xy in found.maps.items():
        torch.testing.assert_close(xy, made.maps[name], rtol=0, atol=1e-4)
    assert found.thumbnail(3).size == (96, 96)
    small = picture(40, 30, seed=3).resize((32, 24))
    cell = found.thumbnails.crop((3 * 32, 4, 4 * 32, 28))
    colours = [torch.tensor(list(image.getdata())).float().mean() for image in (cell, small)]
    assert abs(colours[0] - colours[1]) < 12


def with_entry(folder, **entries):
    """Change points.json."""
    path = folder / "points.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize("damage, told", [
    (lambda f: (f / "points.json").write_text("{"), "cannot be read"),
    (lambda f: with_entry(f, names=["a"]), "count"), (lambda f: with_entry(f, format=9), "format 9"),
    (lambda f: (f / "thumbnails.webp").write_bytes(b"no"), "cannot be read"),
    (lambda f: (f / "vectors.safetensors").write_bytes(b"no"), "vectors.safetensors"),
    (shutil.rmtree, "points.json")])
def test_damage_is_told(folder, tmp_path, damage, told):
    copy = shutil.copytree(folder, tmp_path / "copy")
    damage(copy)
    with pytest.raises(CheckpointError, match=told):
        map_folder.read(copy)


def test_the_figure_shows_every_point_twice(made):
    figure = map_of(made)
    drawn = [sum(len(c.get_offsets()) for c in ax.collections) for ax in figure.axes]
    assert drawn == [40, 40]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["group 0", "group 1", "group 2"]


def test_unequal_lists_are_told(embedder):
    with pytest.raises(projection.MapError, match="1 pictures, 2 names, 2 groups"):
        map_folder.make(embedder, [picture(9, 9)], ["a", "b"])


def test_the_command(tiny_checkpoints, tmp_path, capsys):
    (tmp_path / "in" / "cats").mkdir(parents=True)
    for i in range(10):
        picture(20, 20, seed=i).save(tmp_path / "in" / "cats" / f"red_cat_{i}.png")
    line = ["map", str(tmp_path / "in"), "--model", str(tiny_checkpoints["light-cbow"]), "--out", str(tmp_path / "out")]
    assert main(line) == 0
    assert "10 pictures and 10 names; modality gap" in capsys.readouterr().out
    assert (tmp_path / "out" / "map.png").stat().st_size > 5000
    assert map_folder.read(tmp_path / "out").names[0] == "red cat 0"
    (tmp_path / "empty").mkdir()
    assert main(["map", str(tmp_path / "empty")]) == 1
    assert "holds no pictures" in capsys.readouterr().err


def test_a_film_is_a_map_for_each_step(make_clip, tokenizer, tmp_path):
    steps = {n: Embedder(make_clip("light-cbow", seed=n), tokenizer) for n in (20, 5)}
    images, names = [picture(30, 30, seed=i) for i in range(12)], [f"red cat {i}" for i in range(12)]
    found = map_folder.film(steps, images, names)
    assert found.steps == [5, 20] and found.maps["step 5"].shape == (24, 2)
    vectors = torch.cat([steps[20].embed_images(images), steps[20].embed_texts(names)])
    torch.testing.assert_close(found.vectors, vectors, rtol=0, atol=1e-6)
    still = projection.umap(vectors)
    torch.testing.assert_close(found.maps["step 20"], still - still.mean(0), rtol=0, atol=1e-5)
    assert map_folder.read(map_folder.save(found, tmp_path / "film")).steps == [5, 20]


def test_the_command_makes_a_film(tiny_checkpoints, tmp_path, capsys):
    for i in range(9):
        picture(20, 20, seed=i).save(tmp_path / f"red_cat_{i}.png")
    line = ["map", str(tmp_path), "--film", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    (tmp_path / "run").mkdir()
    assert main(line) == 1
    assert "has no film; train with --film" in capsys.readouterr().err
    for step in ("step-000010", "step-000200"):
        shutil.copytree(tiny_checkpoints["light-cbow"], tmp_path / "run" / "film" / step)
    assert main(line) == 0
    assert map_folder.read(tmp_path / "out").steps == [10, 200]


def test_nothing_of_yours_is_lost(tiny_checkpoints, tmp_path, made, capsys):
    mine = tmp_path / "pictures"
    mine.mkdir()
    for i in range(3):
        picture(20, 20, seed=i).save(mine / f"{i}.png")
    line = ["map", str(mine), "--model", str(tiny_checkpoints["light-cbow"]), "--out"]
    assert main([*line, str(mine)]) == 1
    assert "is not empty and holds no map" in capsys.readouterr().err
    (tmp_path / "file").write_text("mine")
    assert main([*line, str(tmp_path / "file")]) == 1
    assert "is a file; give a new folder" in capsys.readouterr().err
    old = map_folder.save(made, tmp_path / "old")
    map_folder.save(made, old)  # a map is replaced
    (old / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="holds 'notes.txt' beside a map"):
        map_folder.save(made, old)
    assert len(list(mine.iterdir())) == 3 and (old / "notes.txt").read_text() == "mine"


def test_a_broken_picture_is_left_out_and_told(tiny_checkpoints, tmp_path, capsys):
    for i in range(9):
        picture(20, 20, seed=i).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    line = ["map", str(tmp_path), "--model", str(tiny_checkpoints["light-cbow"]), "--out", str(tmp_path / "out")]
    assert main(line) == 0
    said = capsys.readouterr()
    assert "left out" in said.err and "broken.png" in said.err and "9 pictures" in said.out
    for wrong, told in (("nowhere", "is not there; give a folder"), ("broken.png", "is a file, not a folder")):
        assert main(["map", str(tmp_path / wrong), "--out", str(tmp_path / "o")]) == 1
        assert told in capsys.readouterr().err
