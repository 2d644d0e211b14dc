"""The clip art: its manifest, reading and fetching it, and how it joins the emoji."""

import io
import os
import warnings
import zlib
from dataclasses import replace

import pytest
from PIL import Image, ImageDraw

from clipmini.commands import main
from clipmini.data import clipart, find
from clipmini.data.clipart import ClipArtError, Row
from clipmini.data.emoji import Emoji, dataset
from clipmini.data.emoji.words import concepts


def drawn(path, shade="red", size=(120, 80), box=(40, 20, 60, 30)):
    """A PNG file with a rectangle somewhere on a transparent ground."""
    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    ImageDraw.Draw(picture).rectangle(box, fill=shade)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


ROWS = (Row("a/cat_01.png", "cat", "🐈"), Row("a/gatto_02.png", "cat", "🐈"), Row("b/anvil.png", "anvil", ""),
        Row("b/dog.png", "dog", "🐕"), Row("b/reed.png", "reed", ""))


@pytest.fixture
def few(monkeypatch, tmp_path):
    """A manifest of five files, the files, and a cache of their own -> the folder."""
    monkeypatch.setenv("CLIPMINI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(clipart, "manifest", lambda: ROWS)
    monkeypatch.setattr(clipart, "DEBIAN", tmp_path / "installed")
    for row, shade in zip(ROWS, ("red", "blue", "black", "green", "#808000"), strict=True):
        drawn(tmp_path / "png" / row.file, shade)
    return tmp_path / "png"


def test_the_manifest_names_each_file_once_and_what_it_shows():
    rows, chars = clipart.manifest(), {row.emoji for row in concepts()}
    assert len(rows) > 1_400 and len({row.file for row in rows}) == len(rows)
    assert all(row.file.endswith(".png") and row.caption.strip() == row.caption != "" for row in rows)
    assert not [row for row in rows if row.emoji and row.emoji not in chars]
    emoji_of: dict[str, set] = {}
    for row in rows:
        emoji_of.setdefault(row.caption, set()).add(row.emoji)
    assert not {caption: found for caption, found in emoji_of.items() if len(found) > 1}
    counted = f"{len(rows):,} clip-art drawings of {len(emoji_of)} everyday things"
    assert clipart.SOURCE.about.startswith(counted), counted
    share = sum(clipart.held_out(row.file) for row in rows) / len(rows)
    assert 0.07 < share < 0.13


def test_a_picture_is_cut_to_its_drawing_and_squared(few):
    rows = clipart.load(few, progress=False)
    assert rows["caption"][:] == ["cat", "cat", "anvil", "dog", "reed"]
    assert rows["emoji"][:] == ["🐈", "🐈", "", "🐕", ""]
    picture = rows[0]["image"]
    assert picture.size == (72, 72) and picture.mode == "RGBA"
    left, top, right, bottom = picture.getchannel("A").point(lambda a: a > 128 and 255).getbbox()
    assert right - left > 64 and 32 <= bottom - top <= 40 and abs(top + bottom - 72) <= 2  # 21 x 11 pixels of 120 x 80
    assert picture.getpixel((36, 36)) == (255, 0, 0, 255)


def test_it_is_built_once_and_anew_when_a_file_changes(few, monkeypatch):
    first = clipart.load(few, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(clipart, "_save", lambda *_: pytest.fail("built a second time"))
        assert clipart.load(few, progress=False)["file"][:] == first["file"][:]
    drawn(few / ROWS[0].file, "yellow")
    assert clipart.load(few, progress=False)[0]["image"].getpixel((36, 36)) == (255, 255, 0, 255)


def test_what_cannot_be_read_is_left_out_and_said(few):
    (few / ROWS[1].file).write_bytes(b"no picture")
    (few / ROWS[3].file).unlink()
    with pytest.warns(UserWarning, match=r"2 of 5 pictures of clip art are left out.*a/gatto_02\.png.*b/dog\.png"):
        rows = clipart.load(few, progress=False)
    assert rows["file"][:] == ["a/cat_01.png", "b/anvil.png", "b/reed.png"]
    assert clipart.fingerprint(few).startswith("4-files-")


def test_an_empty_drawing_is_left_out_too(few):
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(few / ROWS[2].file)
    with pytest.warns(UserWarning, match=r"1 of 5 .*b/anvil\.png \(nothing is drawn on it"):
        assert len(clipart.load(few, progress=False)) == 4


def test_no_clip_art_says_how_to_get_it(few, tmp_path):
    with pytest.raises(ClipArtError, match=r"no clip art in '.*nowhere'\. On Debian or Ubuntu: `clipmini data clipart --fetch`"):
        clipart.load(tmp_path / "nowhere")
    with pytest.raises(ClipArtError, match=r"openclipart' or '.*installed'"):
        clipart.load()
    drawn(tmp_path / "installed" / ROWS[0].file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(clipart.load(progress=False)) == 1  # what apt installed is found by itself


def test_a_tenth_is_held_out_by_the_name_of_the_file(few, monkeypatch):
    monkeypatch.setattr(clipart, "HELD_OUT", 2)
    source = replace(clipart.SOURCE, folder=str(few))
    kept = [row.caption for row in ROWS if zlib.crc32(row.file.encode()) % 2 == 0]
    held, trained = source.held_out_rows(48), source.training_rows(48, 0, progress=False)
    assert [row[0] for row in held["captions"]] == kept and 0 < len(held) < 5
    assert len(held) + len(trained) == 5
    assert held.features["label"].names == trained.features["label"].names == ["cat", "anvil", "dog", "reed"]
    assert [held.features["label"].names[label] for label in held["label"]] == kept


def test_it_joins_the_emoji_of_the_same_things(few, monkeypatch):
    monkeypatch.setattr(clipart, "manifest", lambda: (ROWS[0]._replace(caption="kitten"), *ROWS[1:]))
    emoji = dataset.load(["openmoji"], ["🐈", "🐕"], ("en", "zh"), progress=False)
    both = clipart.joined(emoji, clipart.load(few, progress=False))
    assert both.column_names == emoji.column_names and len(both) == len(emoji) + 5
    names = both.features["label"].names
    assert names[:1_400] == emoji.features["label"].names[:1_400] and names[-2:] == ["anvil", "reed"]
    rows = {row["captions"][0] + str(i): row for i, row in enumerate(both.select(range(len(emoji), len(both))))}
    cat, anvil = rows["kitten0"], rows["anvil2"]
    assert names[cat["label"]] == "cat" and "cat" in cat["captions"] and cat["concept"] == "1f408" and "猫" in cat["captions"]
    assert cat["style"] == "openclipart"
    assert names[anvil["label"]] == "anvil" and anvil["captions"] == ["anvil"] and anvil["tag_captions"] == []
    assert anvil["image"].size == (72, 72)


def test_a_thing_named_like_an_emoji_without_being_one_keeps_a_label_of_its_own(few, monkeypatch):
    monkeypatch.setattr(clipart, "manifest", lambda: (Row("a/cat_01.png", "cat", ""),))
    emoji = dataset.load(["openmoji"], ["🐈"], progress=False)
    both = clipart.joined(emoji, clipart.load(few, progress=False))
    assert both.features["label"].names[both[-1]["label"]] == "cat (clip art)"


def test_emoji_with_clip_art_say_so(few, monkeypatch):
    monkeypatch.setattr(clipart, "find_folder", lambda *_: few)
    source = Emoji(pool=("openmoji",), clip_art=True)
    rows = source.training_rows(48, 0, progress=False)
    assert "openclipart" in rows["style"][:] and len(rows) == 1_440 + sum(not clipart.held_out(row.file) for row in ROWS)
    about = source.trained_on()
    assert about.endswith(f", and clip art: openclipart {clipart.fingerprint(few)}")
    assert "openclipart-png" in [package.package for package in source.packages(about)]
    plain = replace(source, clip_art=False)
    assert "openclipart" not in plain.trained_on()
    assert "openclipart-png" not in [package.package for package in plain.packages(plain.trained_on())]
    assert find("clipart").packages() == (clipart.PACKAGE_ROW,)


# ---- fetching ------------------------------------------------------------------------------------------
def program(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(few, monkeypatch, tmp_path):
    """A folder of programs that stands for the system's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr(clipart.shutil, "which", lambda name: str(folder / name) if (folder / name).is_file() else None)
    return folder


def test_fetching_keeps_the_files_of_the_manifest(few, programs, tmp_path, capsys):
    program(programs, "apt-get", 'test "$1 $2" = "download openclipart-png" && : > openclipart-png_1_all.deb')
    target = str(clipart.DEBIAN).lstrip("/")
    program(programs, "dpkg-deb", f'mkdir -p "$3/{target}" && cp -r {few}/. "$3/{target}" && : > "$3/{target}/more.png"')
    assert main(["data", "clipart", "--fetch", "--preview", str(tmp_path / "sheet.png")]) == 0
    out = capsys.readouterr().out
    assert f"fetched into {clipart.fetched()}: 5 of 5 pictures" in out and "5 pictures of 4 things" in out
    assert sorted(path.name for path in clipart.fetched().rglob("*.png")) == sorted(row.file[2:] for row in ROWS)
    assert Image.open(io.BytesIO((tmp_path / "sheet.png").read_bytes())).width > 500


@pytest.mark.parametrize("apt, dpkg, message", [
    (None, "exit 0", "apt-get and dpkg-deb were not found"),
    ("echo 'E: Unable to locate package' >&2; exit 100", "exit 0",
     r"`apt-get download openclipart-png` ended with code 100 \(E: Unable to locate package\); check the network"),
    ("exit 0", "exit 0", "left no file; run apt-get update"),
    (": > a.deb", "exit 2", "dpkg-deb -x .* ended with code 2"),
    (": > a.deb", "exit 0", "no clip art in"),
])
def test_fetching_that_fails_says_why_and_leaves_nothing(few, programs, apt, dpkg, message):
    for name, script in (("apt-get", apt), ("dpkg-deb", dpkg)):
        if script:
            program(programs, name, script)
    with pytest.raises(ClipArtError, match=message):
        clipart.fetch()
    assert not clipart.fetched().exists()
