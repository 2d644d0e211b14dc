"""A folder is told whole: what is a picture by its content, and why the rest is none."""

import os

import pytest
from PIL import Image

from clipmini.commands import main
from clipmini.data.base import SourceError
from clipmini.data.folder import named_pictures
from clipmini.picture_file import ImageError
from clipmini.tasks.maps import folder as map_folder
from helpers_app import encoded
from test_embedder import picture

GBK = os.fsdecode(b"\xbb\xf0\xbc\xfd")  # "rocket" in Chinese, as a zip of a Chinese Windows unpacks


@pytest.fixture
def odd(tmp_path):
    """A folder with a picture of each way to be one, and with what is none."""
    folder = tmp_path / "in"
    (folder / "z.png").mkdir(parents=True)
    (folder / GBK).mkdir()
    kinds = {"jfif": "JPEG", "avif": "AVIF", "ico": "ICO", "gif": "GIF", "bmp": "BMP"}
    for name in ("a.png", "b.jfif", "c.avif", "d.ico", "no ending", f"{GBK}.png", "z.png/inside.gif",
                 f"{GBK}/x\x1b[31m.bmp"):
        kind = kinds.get(name.split(".")[-1], "PNG")
        (folder / name).write_bytes(encoded(picture(32, 32, seed=len(name)), kind))
    (folder / "e.tif").write_bytes(encoded(picture(8, 8), "TIFF"))
    (folder / "f.png").write_bytes(encoded(picture(99, 99))[:900])
    (folder / "notes.txt").write_text("hello")
    (folder / "g.heic").write_bytes(b"\0\0\0\x18ftypheic....")
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "up").symlink_to("..", target_is_directory=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked.png").write_bytes(encoded(picture(16, 16)))
    (folder / "link").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "back").symlink_to(folder, target_is_directory=True)
    return folder


def test_pictures_are_chosen_by_content_and_all_else_is_told(odd):
    found = named_pictures(odd)
    assert set(found.names) == {"a", "b", "c", "d", "no ending", "\ufffd\ufffd\ufffd", "inside", "x\ufffd[31m",
                                "linked"} and len(found.files) == 9
    assert {"z.png", "link", "in", "\ufffd\ufffd\ufffd"} == set(found.groups)
    said = "\n".join(message for _, message in found.left_out)
    for words in ("e.tif is not a picture that can be read here: it is TIFF", "f.png is damaged or cut short",
                  "g.heic is not a picture that can be read here: it is HEIC", "pipe.png is a pipe",
                  "loop.png is a link that", "notes.txt is not",
                  "up: a link to a folder around it",
                  "z.png: a folder, in spite of its name"):
        assert words in said
    assert all(kind for kind, _ in found.left_out) and said.encode()
    with pytest.raises(ImageError, match="e.tif is not a picture"):
        named_pictures(odd, strict=True)


def test_a_folder_without_pictures(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match="holds no pictures"):
        named_pictures(tmp_path)
    (tmp_path / "a.png").write_bytes(encoded(picture(99, 99))[:900])
    with pytest.raises(SourceError, match="could be read; the first: a.png is damaged"):
        named_pictures(tmp_path)


def test_the_map_of_an_odd_folder(odd, tiny_checkpoints, tmp_path, capsys):
    line = ["map", str(odd), "--model", str(tiny_checkpoints["light-cbow"]), "--out", str(tmp_path / "out")]
    assert main(line) == 0
    out, err = capsys.readouterr()
    assert "9 pictures" in out and "left out: " in err and "\x1b" not in out + err and (out + err).encode()
    assert "\ufffd\ufffd\ufffd" in map_folder.read(tmp_path / "out").names
    assert main([*line, "--strict"]) == 1
    assert "e.tif is not a picture" in capsys.readouterr().err


def test_many_reasons_are_a_short_table_and_a_file(tiny_checkpoints, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(9):
        (folder / f"{i}.png").write_bytes(encoded(picture(16, 16, seed=i)))
    for i in range(103):
        bad = [b"", b"II*\0", b"8BPS", b"%PDF", encoded(Image.new("1", (1, 99)))][i % 5]
        (folder / f"bad {i}.png").write_bytes(bad)
    line = ["map", str(folder), "--model", str(tiny_checkpoints["light-cbow"]), "--out", str(tmp_path / "out")]
    assert main(line) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "left out: 103 of the files" and told[1].startswith("  21  ") and len(told) <= 12
    assert all(len(row) < 200 for row in told) and "all that was left out, a line each" in told[-1]
    assert len((tmp_path / "out" / "left-out.txt").read_text().splitlines()) == 103
    assert main(line) == 0  # a map with its list is replaced as any map


def test_classify_tells_of_many_in_a_few_lines(tiny_checkpoints, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = tmp_path / f"{GBK}\x1b[31m.png"
    good.write_bytes(encoded(picture(16, 16)))
    blank = tmp_path / "blank.png"
    blank.write_bytes(encoded(Image.new("RGBA", (9, 9), (255, 255, 255, 0))))
    bad = [tmp_path / f"bad{i}.png" for i in range(50)]
    for path in bad:
        path.write_bytes(b"no")
    model = ["--labels", "cat, dog", "--model", str(tiny_checkpoints["light-cbow"])]
    assert main(["classify", *map(str, (good, *bad, blank)), *model]) == 1
    out, err = capsys.readouterr()
    assert "50 of 52 pictures left out" in err and len(err.splitlines()) <= 14 and "\x1b" not in out + err
    assert "\ufffd\ufffd\ufffd\ufffd[31m.png" in out and out.count("note: the picture is blank") == 1
    assert len((tmp_path / "left-out.txt").read_text().splitlines()) == 50
