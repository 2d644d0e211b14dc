"""Somebody's own data: every format and what can be wrong with it; nothing is lost without a word."""

import base64
import io
import json
import os
import random
import tarfile

import pytest
from PIL import Image

from clipmini.commands import main
from clipmini.data.own import Asked, Bad, OwnDataError, Row, checked, lines, open_rows
from clipmini.data.own.check import floor, look, told
from clipmini.data.own.convert import WRITERS, convert
from clipmini.files import CheckpointError


def picture(shade, size=(8, 8), kind="PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, shade).save(file, kind)
    return file.getvalue()


RED, BLUE, GREEN = picture("red"), picture("blue", kind="JPEG"), picture("green")
RED64, BLUE64, GREEN64 = (base64.b64encode(content).decode() for content in (RED, BLUE, GREEN))


def read(path, **asked):
    """(rows, bad) of a source."""
    found = list(open_rows(path, Asked(**asked)).rows)
    return [row for row in found if isinstance(row, Row)], [row for row in found if isinstance(row, Bad)]


def plain(rows):
    """What a row says, with the content of its picture."""
    return [(row.captions, row.picture.read_bytes() if hasattr(row.picture, "read_bytes") else row.picture, row.label)
            for row in rows]


@pytest.fixture
def file(tmp_path):
    """file(name, content) writes a file -> its path."""
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path
    return write


# ---- tables of text --------------------------------------------------------------------------------------
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_base64_tsv(file, end, mark):
    path = file("pairs.tsv", mark + end.join([f"a red square\t{RED64}", f"蓝色\t{BLUE64}", f'a "green" one\t{GREEN64}']))
    rows, bad = read(path)
    assert plain(rows) == [(("a red square",), RED, None), (("蓝色",), BLUE, None), (('a "green" one',), GREEN, None)]
    assert not bad and [row.where for row in rows] == ["line 1", "line 2", "line 3"]
    found = open_rows(path)
    assert found.kind == "a table of text, columns separated by tab, without a header"
    assert found.columns == "picture: column 2, text: column 1"


def test_the_columns_may_stand_the_other_way_round_and_texts_alone(file):
    assert plain(read(file("a.tsv", f"{RED64}\tred\n{BLUE64}\tblue\n"))[0]) == [(("red",), RED, None), (("blue",), BLUE, None)]
    rows, bad = read(file("texts.tsv", "a red square\nblue\n"))
    assert plain(rows) == [(("a red square",), None, None), (("blue",), None, None)] and not bad
    assert plain(read(file("pictures.tsv", f"{RED64}\n{BLUE64}\n"))[0]) == [((), RED, None), ((), BLUE, None)]


def test_a_caption_that_is_called_like_a_column_is_no_header(file):
    file("red.png", RED)
    assert plain(read(file("a.tsv", f"picture\t{RED64}\nimage\t{BLUE64}\n"))[0]) == [
        (("picture",), RED, None), (("image",), BLUE, None)]
    assert plain(read(file("b.csv", "red.png,text\n"))[0]) == [(("text",), RED, None)]
    assert [row.captions for row in read(file("c.tsv", "text\nred\n"))[0]] == [("red",)]  # one column: a header
    assert [row.captions for row in read(file("c.tsv", "text\nred\n"), header=False)[0]] == [("text",), ("red",)]


@pytest.mark.parametrize("separator, name", [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_a_table_of_paths_with_a_header(file, separator, name):
    file("img/red.png", RED)
    file("img/blue.jpg", BLUE)
    path = file("table.csv", separator.join(["Image_Path", "caption", "class"]) + "\n"
                + separator.join(["img/red.png", "a red thing", "colour"]) + "\n"
                + separator.join(["img/blue.jpg", "a blue thing", "colour"]) + "\n")
    rows, bad = read(path)
    assert plain(rows) == [(("a red thing",), RED, "colour"), (("a blue thing",), BLUE, "colour")] and not bad
    assert open_rows(path).kind == f"a table of text, columns separated by {name}, with a header"
    assert open_rows(path).columns == "picture: column 1 (Image_Path), text: column 2 (caption), label: column 3 (class)"


def test_quotation_marks_hold_separators_and_line_breaks(file):
    path = file("a.csv", f'image,caption\n{RED64},"red, very\nred and ""square"""\n{BLUE64},blue\n')
    rows, bad = read(path)
    assert [row.captions for row in rows] == [('red, very red and "square"',), ("blue",)] and not bad
    assert [row.where for row in rows] == ["line 2", "line 4"]


def test_a_quotation_mark_that_is_never_closed_costs_its_lines_only(file, monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINES", 3)
    path = file("a.csv", "image,caption\n" + f'{RED64},"open\n' + "".join(f"{BLUE64},b{i}\n" for i in range(4)))
    rows, bad = read(path)
    assert [row.captions for row in rows] == [("b2",), ("b3",)]
    assert bad[0].where == "line 2" and "is not closed within 3 lines, which are left out" in bad[0].reason


def test_what_is_found_out_can_be_overridden(file):
    path = file("a.csv", f"x;{RED64};wrong\ny;{BLUE64};no\n")
    with pytest.raises(OwnDataError, match="which of its columns is what. It has 1, 2, 3; name them with --picture-column"):
        open_rows(path)
    assert [row.captions for row in read(path, text="1")[0]] == [("x",), ("y",)]
    assert [row.captions for row in read(path, text="3")[0]] == [("wrong",), ("no",)]
    assert [row.captions for row in read(path, text="3", picture="2", header=False)[0]] == [("wrong",), ("no",)]
    named = file("b.csv", f"first,second,third\nx,{RED64},l\n")
    assert plain(read(named, header=True, text="first", label="third")[0]) == [(("x",), RED, "l")]
    with pytest.raises(OwnDataError, match="has no column 'fourth'; it has first, second, third, numbered from 1"):
        open_rows(named, Asked(header=True, text="fourth"))
    with pytest.raises(OwnDataError, match="has no column '4'"):
        open_rows(named, Asked(header=True, text="4"))
    assert read(file("c.txt", f"x#{RED64}\n"), separator="#")[0][0].captions == ("x",)


def test_every_bad_line_is_told_by_its_number(file, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE", 170_000)
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    table = [
        f"good\t{RED64}".encode(), b"one column", b"a\tb\tc", b"word\t!!!no base64!!!", f"cut\t{RED64[:56]}".encode(),
        f"bomb\t{base64.b64encode(bomb.getvalue()).decode()}".encode(), f"\t{RED64}".encode(), f"   \t{RED64}".encode(),
        (" ".join(["word"] * 10_000) + "\t" + RED64).encode(), b"caf\xe9\t" + RED64.encode(), b"nul\0\t" + RED64.encode(),
        b"x" * 200_000, b"empty\t", b"no picture\t" + base64.b64encode(b"hello, this is no picture at all" * 4),
        f"good again\t{BLUE64}".encode()]
    path = file("bad.tsv", b"\r\n".join(table))
    found = list(checked(open_rows(path).rows))
    bad = {row.where: row.reason for row in found if isinstance(row, Bad)}
    assert [entry[0].where for entry in found if not isinstance(entry, Bad)] == ["line 1", "line 15"]
    for number, reason in {
            2: "it has 1 column, the others have 2: 'one column'", 3: "it has 3 columns, the others have 2",
            4: "its picture '!!!no base64!!!' is broken base64", 5: "its picture cannot be used: ",
            6: "its picture cannot be used: ", 7: "it has no text", 8: "it has no text",
            9: "has 49,999 characters; the limit is 5,000", 10: "is not UTF-8", 11: "holds a NUL byte",
            12: "it has 200,000 bytes; the limit of a line is 170,000", 13: "it has no picture",
            14: "its picture cannot be used: "}.items():
        assert reason in bad.pop(f"line {number}"), number
    assert not bad


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\n\r"])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 20])
def test_lines_are_those_of_python_whatever_the_chunks(file, monkeypatch, end, chunk):
    monkeypatch.setattr(lines, "CHUNK", chunk)
    text = b"one" + end + b"two" + end + end + b"three" + end
    path = file("a.txt", text)
    expected = io.TextIOWrapper(io.BytesIO(text), newline=None).read().split("\n")
    assert list(lines.lines(path)) == [(i + 1, line.encode()) for i, line in enumerate(expected) if line]


def test_random_bytes_never_end_in_a_traceback(file):
    rng = random.Random(0)
    for ending in ("tsv", "csv", "jsonl", "tar", "parquet", "txt", "x"):
        for size in (0, 1, 3, 300, 5_000):
            path = file(f"{size}.{ending}", rng.randbytes(size))
            try:
                for entry in checked(open_rows(path).rows):
                    assert isinstance(entry, Bad) or entry[0].where
            except OwnDataError as error:
                assert f"{size}.{ending}" in str(error)


@pytest.mark.parametrize("content, message", [
    ("", "is empty"), ("image,caption\n", r"has a header \(image, caption\) and no rows"),
    (b"\xff\xfea\x00", "is in UTF-16; save it"),
])
def test_a_table_without_rows_is_told(file, content, message):
    with pytest.raises(OwnDataError, match=message):
        open_rows(file("a.csv", content))


def test_a_path_leads_nowhere_out_of_the_folder(file, tmp_path):
    file("out.png", RED)
    file("in/red.png", RED)
    os.symlink(tmp_path / "out.png", tmp_path / "in" / "link.png")
    path = file("in/a.csv", "image,caption\nred.png,a\n../out.png,b\nlink.png,c\nnone.png,d\n"
                f"{tmp_path}/out.png,e\n,f\nwhat\0.png,g\n")
    rows, bad = read(path)
    assert [row.captions for row in rows] == [("a",)]
    assert ["outside of the folder" in b.reason for b in bad] == [True, True, False, True, False, False]
    assert "is not there" in bad[2].reason and "has no picture" in bad[4].reason and "NUL" in bad[5].reason
    assert [row.captions for row in read(path, root=tmp_path)[0]] == [("e",)]  # the others' paths begin elsewhere now


# ---- JSON lines and Parquet ------------------------------------------------------------------------------
def test_json_lines(file):
    file("red.png", RED)
    path = file("a.jsonl", "\n".join([
        json.dumps({"file_name": "red.png", "captions": ["red", "a red one"], "label": "r"}),
        json.dumps({"file_name": BLUE64, "captions": "blue"}), "{broken", "[1, 2]", '{"captions": []}', "",
        '{"file_name": null, "captions": ["x"]}', "[" * 100_000]))
    rows, bad = read(path)
    assert plain(rows) == [(("red", "a red one"), RED, "r"), (("blue",), BLUE, None)]
    assert [b.where for b in bad] == ["line 3", "line 4", "line 5", "line 7", "line 8"]
    assert "no JSON" in bad[0].reason and "no JSON object" in bad[1].reason and "no text" in bad[2].reason
    assert "no picture" in bad[3].reason


def test_parquet_that_is_cut(file):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"image": [{"bytes": RED, "path": None}, {"bytes": None, "path": None}, {"bytes": b"xx", "path": None}],
                      "text": ["red", "none", "broken"]})
    file("x", b"")
    path = file("a.parquet", b"")
    pq.write_table(table, path)
    rows, bad = read(path)
    assert plain(rows)[0] == (("red",), RED, None) and [b.where for b in bad] == ["row 2"]
    assert [entry.where for entry in checked(open_rows(path).rows) if isinstance(entry, Bad)] == ["row 2", "row 3"]
    path.write_bytes(path.read_bytes()[:len(path.read_bytes()) // 2])
    with pytest.raises(OwnDataError, match="no whole Parquet file"):
        open_rows(path)


def test_parquet_of_datasets_says_its_classes_by_name(tmp_path):
    import datasets

    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": RED, "path": None}, {"bytes": BLUE, "path": None}, {"bytes": None, "path": "/etc/hostname"}],
         "label": [1, 0, 1]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cold", "warm"])}))
    rows.to_parquet(tmp_path / "a.parquet")
    found, bad = read(tmp_path / "a.parquet")
    assert plain(found) == [(("warm",), RED, "warm"), (("cold",), BLUE, "cold")]
    assert bad[0].where == "row 3" and "lies outside of the folder" in bad[0].reason  # no file of this computer is read


# ---- folders and archives --------------------------------------------------------------------------------
def test_folders_in_the_usual_orders(file, tmp_path):
    file("names/red_square.png", RED)
    file("names/deep/blue.jpg", BLUE)
    file("names/notes.md", "no picture")
    assert sorted(row.captions[0] for row in read(tmp_path / "names")[0]) == ["blue", "red square"]
    file("labels/red/1.png", RED)
    file("labels/light_blue/1.jpg", BLUE)
    assert sorted((row.label, row.captions) for row in read(tmp_path / "labels")[0]) == [
        ("light blue", ("light blue",)), ("red", ("red",))]
    file("beside/1.png", RED)
    file("beside/1.txt", "a red one\nred again\n")
    file("beside/2.jpg", BLUE)
    rows, bad = read(tmp_path / "beside")
    assert rows[0].captions == ("a red one", "red again") and bad == [Bad("2.jpg", "there is no 2.txt beside it")]
    file("flickr/1.png", RED)
    file("flickr/captions.txt", "image,caption\n1.png#0,A red, square one .\n1.png#1,\"Second\"\n2.png,lost\n1.png only\n")
    rows, bad = read(tmp_path / "flickr")
    assert [row.captions[0] for row in rows] == ["A red, square one .", "Second"]
    assert [b.where for b in bad] == ["captions.txt, line 4", "captions.txt, line 5"]
    file("hf/1.png", RED)
    file("hf/metadata.csv", "file_name,text\n1.png,red\n")
    assert plain(read(tmp_path / "hf")[0]) == [(("red",), RED, None)]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(OwnDataError, match="holds no picture"):
        open_rows(tmp_path / "nothing")


def test_links_out_of_a_folder_are_told(file, tmp_path):
    file("out.png", RED)
    file("in/blue.jpg", BLUE)
    os.symlink(tmp_path / "out.png", tmp_path / "in" / "a.png")
    os.symlink("b.png", tmp_path / "in" / "b.png")
    rows, bad = read(tmp_path / "in")
    assert [row.captions for row in rows] == [("blue",)]
    assert [(b.where, b.reason.split(";")[0].split(" (")[0]) for b in bad] == [
        ("a.png", "a link that leads out of the folder"), ("b.png", "a link that leads nowhere")]


def member(archive, name, content=b"", **more):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(content))


def test_a_tar_of_strangers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tarfile.open("a.tar", "w") as archive:
        member(archive, "s/1.png", RED)
        member(archive, "s/1.txt", b"a red one\nred")
        member(archive, "s/2.jpg", BLUE)
        member(archive, "s/2.json", json.dumps({"caption": "blue", "label": 3}).encode())
        member(archive, "../evil.png", RED)
        member(archive, "/abs/evil.png", RED)
        member(archive, "s/3.png", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        member(archive, "s/4.txt", b"alone")
        member(archive, "s/5.png", GREEN)
        member(archive, "s/5.cls", b"7")
        member(archive, "s/6.png", GREEN)
        member(archive, "s/6.json", b"{broken")
    before = sorted(tmp_path.rglob("*"))
    rows, bad = read("a.tar")
    assert plain(rows) == [(("a red one", "red"), RED, None), (("blue",), BLUE, "3"), (("7",), GREEN, "7")]
    assert [b.where for b in bad] == ["../evil.png", "/abs/evil.png", "s/3.png", "s/4", "s/6"]
    assert "leads out of the archive" in bad[0].reason and "a link or a device" in bad[2].reason
    assert sorted(tmp_path.rglob("*")) == before  # nothing was unpacked
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[:1500])
    rows, bad = read("b.tar")
    assert len(rows) + len(bad) >= 1
    (tmp_path / "c.tar").write_bytes(b"not a tar at all" * 100)
    with pytest.raises(OwnDataError, match="no tar that can be read"):
        open_rows("c.tar")


def test_what_is_neither_here_nor_on_the_hub(monkeypatch):
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: (_ for _ in ()).throw(ConnectionError("no network")))
    with pytest.raises(OwnDataError, match="'nobody/nothing' is no file or folder here, and no data set of the hub .*no network"):
        open_rows("nobody/nothing")


def test_a_data_set_of_the_hub(monkeypatch):
    import datasets

    rows = datasets.Dataset.from_dict({"image": [{"bytes": RED, "path": None}, {"bytes": BLUE, "path": None}],
                                       "caption": ["red", "blue"]}).cast_column("image", datasets.Image())
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split, streaming: rows.to_iterable_dataset())
    assert plain(read("somebody/pictures")[0]) == [(("red",), RED, None), (("blue",), BLUE, None)]


def test_classes_of_the_hub_are_told_by_name_and_not_by_number(monkeypatch):
    import datasets

    rows = datasets.Dataset.from_dict({"image": [{"bytes": RED, "path": None}, {"bytes": BLUE, "path": None}],
                                       "label": [1, 0]}).cast_column("image", datasets.Image())
    rows = rows.cast_column("label", datasets.ClassLabel(names=["cold", "warm"]))
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split, streaming: rows.to_iterable_dataset())
    assert [row[2] or row[0] for row in plain(read("somebody/classes")[0])] == ["warm", "cold"]


# ---- converting ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ending", WRITERS)
def test_each_format_gives_back_what_was_written(tmp_path, ending):
    rows = [Row("1", RED, ("red", '说 "红色", a; b|c'), "warm"), Row("2", BLUE, ("blue",), "cold"), Bad("3", "bad")]
    written, left_out = convert(iter(rows), tmp_path / f"out{ending}")
    assert written == 2 and left_out == [Bad("3", "bad")]
    found: dict[bytes, tuple] = {}
    for row in read(tmp_path / f"out{ending}")[0]:
        content = row.picture if isinstance(row.picture, bytes) else row.picture.read_bytes()
        captions, _ = found.get(content, ((), None))
        found[content] = (captions + row.captions, row.label)
    label = (lambda name: None) if ending == ".tsv" else (lambda name: name)
    assert found == {RED: (("red", '说 "红色", a; b|c'), label("warm")), BLUE: (("blue",), label("cold"))}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    with pytest.raises(OwnDataError, match="out.xyz.*end it in .tsv"):
        convert(iter(()), tmp_path / "out.xyz")
    (tmp_path / "there.tsv").write_text("old")
    with pytest.raises(OwnDataError, match="is there already"):
        convert(iter(()), tmp_path / "there.tsv")

    def full():
        yield Row("1", RED, ("red",))
        raise OSError(28, "No space left on device")
    with pytest.raises(CheckpointError, match="No space left"):
        convert(full(), tmp_path / "out.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["there.tsv"] and (tmp_path / "there.tsv").read_text() == "old"


# ---- the report ------------------------------------------------------------------------------------------
def test_the_floor_is_the_one_of_lesson_05():
    from collections import Counter

    assert floor(Counter({f"c{i}": 1 for i in range(500)})) == 0
    assert floor(Counter({"one": 500})) == pytest.approx(4.852, abs=0.001)  # ln 128
    assert floor(Counter({f"c{i}": 20 for i in range(50)}), 256) == pytest.approx(1.72, abs=0.03)


def test_the_report(file):
    path = file("a.tsv", "".join(f"{name}\t{data}\n" for name, data in (
        ("red", RED64), ("红色", RED64), ("a thing", BLUE64), ("a thing", GREEN64), ("", RED64))))
    report = look(open_rows(path), lambda text: len(text) + 2)
    said = "\n".join(told(report, "a.tsv", 6, "emoji"))
    assert report.rows == 5 and report.bad == [Bad("line 5", "it has no text")]
    assert "5 rows: 4 can be used, 1 left out" in said and "3 pictures, 4 captions, 3 of them different" in said
    assert "captions a picture: 1 to 2, 1.3 on average" in said and "emoji reads 6, so 1 caption is cut" in said
    assert "letters of the captions: Latin 75%, Han 25%" in said
    assert "1 picture in 2 rows; their captions are joined" in said
    assert "1 caption 2 times, most often 'a thing' (2)" in said


def test_the_commands(file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(file("a.tsv", f"red\t{RED64}\nblue\t{BLUE64}\nbroken\t@@@\n"))
    assert main(["data", "check", path, "--preview", "sheet.png"]) == 0
    out = capsys.readouterr()
    assert "3 rows: 2 can be used, 1 left out" in out.out and "line 3: its picture '@@@' is broken" in out.err
    assert Image.open("sheet.png").width > 300
    assert main(["data", "check", path, "--strict"]) == 1
    assert "line 3: its picture '@@@' is broken base64" in capsys.readouterr().err
    assert main(["data", "convert", path, "b.parquet"]) == 0
    assert "wrote 2 rows to b.parquet" in capsys.readouterr().out
    assert main(["data", "check", "b.parquet", "--limit", "1"]) == 0
    assert "1 row: 1 can be used" in capsys.readouterr().out
    for words, message in ((["check"], "give one file, folder or data set behind check"),
                           (["convert", path], "give what to read and what to write"),
                           (["emoji", "cats"], "'cats' is one word too many behind emoji"),
                           (["check", path, "--text-column", "9"], "has no column '9'")):
        assert main(["data", *words]) == 1
        assert message in capsys.readouterr().err
