"""The view of a search: what is searched, by whom, and what it shows."""

import shutil
import subprocess
import sys
from html import unescape
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import clipmini
from clipmini.tasks.classify import EVERYDAY_WORDS
from clipmini.tasks.index import NoIndexError, split, terms, update
from demo_app import app, searched
from demo_app.page import Page, samples_folder
from demo_app.shelf import AUTOMATIC, Model, Picked, Shelf
from demo_app.tabs import search as tab
from demo_app.texts import TEXTS, Missing, Told
from test_browser import ROOT, Visit, browser, own_site  # noqa: F401 (fixtures)

SAMPLES = sorted(str(file) for file in samples_folder().glob("*.png"))


@pytest.fixture(scope="module")
def emoji():
    return Model("emoji")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(searched, "_served", [])


@pytest.fixture
def page(emoji):
    return Page(None, emoji, Shelf(emoji, Model), "en", TEXTS["en"].__getitem__, SimpleNamespace())


@pytest.fixture
def indexed(emoji, tmp_path):
    """(index, folder) of the sample pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for file in SAMPLES:
        shutil.copy(file, folder)
    update(emoji.get(), folder, tmp_path / "ix")
    return tmp_path / "ix", folder


def found(page, text, role="apart", files=None, picture=None, choice="emoji"):
    asked = page.asked(picture, "", "{}", False, choice, "en", blind=True)
    asked = tab.asks(page, asked, text, role, False, files)
    among = tab.whole(asked, files)
    return asked, among, tab.find(asked, among, text, role)


def test_a_line_is_split_at_its_signs():
    assert split("- red + 2:[a - b.png] \u2212 well-known") == ["-", "red", "+", "2:[a - b.png]", "-", "well-known"]
    assert terms(split("2\uff1acat \uff0d dog")) == [(2.0, "cat"), (-1.0, "dog")] and split("  ") == []


def test_words_and_pictures_are_added_and_taken_away(page, emoji):
    names = ["rocket.png", "guitar.png"]
    files = [str(samples_folder() / name) for name in names]
    asked, among, got = found(page, "2:rocket + [guitar.png]", "farther", files, picture=files[0], choice="emoji-vit")
    embedder = clipmini.load("emoji-vit", device="cpu")
    rocket, guitar = embedder.embed_images(files)
    wanted = F.normalize(2 * embedder.embed_texts(["rocket"])[0] + guitar - rocket, dim=0)
    assert asked.embedder.name == "emoji-vit" and among.kind == "own"
    assert {hit.path: hit.score for hit in got.hits} == pytest.approx(
        dict(zip(names, (torch.stack([rocket, guitar]) @ wanted).tolist(), strict=True)), abs=1e-4)
    assert "All of 2 pictures of yours" in tab.said("en", among, got, False)  # too few to stand out, and a picture is asked for


@pytest.mark.parametrize("query", tab.TRY)
def test_something_stands_out_for_each_suggestion(page, query):
    _, _, got = found(page, query)
    assert got.hits[0].score >= got.limit


def test_few_pictures_are_compared_with_what_everyday_words_find(page, emoji):
    _, among, got = found(page, "a pizza", files=SAMPLES)
    words = clipmini.load("emoji", device="cpu").embed_texts(EVERYDAY_WORDS)
    best = (words @ torch.from_numpy(among.index.full).t()).amax(1)
    assert got.limit == pytest.approx(np.quantile(best.numpy(), tab.EVERYDAY), abs=1e-4)
    assert [hit.path for hit in got.hits if hit.score >= got.limit] == ["pizza.png"]
    assert f"One of your {len(SAMPLES)} pictures fits this query" in tab.said("en", among, got, False)
    assert tab.cards("en", among, got, False).count("cm-beyond") == len(SAMPLES) - 1
    _, among, got = found(page, "grammar", files=SAMPLES)
    assert "fits this query better than chance" in tab.said("en", among, got, False)
    for text, role, picture in (("[pizza.png]", "apart", None), ("", "closer", SAMPLES[0])):  # cosines of another size
        assert found(page, text, role, files=SAMPLES, picture=picture)[2].limit == -1


def test_files_that_cannot_be_read_are_told_and_the_others_searched(page, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    for files, choice in (([*SAMPLES, str(bad)], "emoji"), ([str(bad), *SAMPLES], AUTOMATIC)):
        _, among, got = found(page, "guitar", files=files, choice=choice)
        assert got.hits[0].path == "guitar.png" and len(among.index) == len(SAMPLES)
        assert "1 of your files. 'bad.png' is not a picture" in unescape(tab.said("en", among, got, False))
    with pytest.raises(Told, match="None of your 1 files can be read. 'bad.png'"):
        found(page, "guitar", files=[str(bad)])
    with pytest.raises(Told, match="201 pictures; choose at most 200"):
        found(page, "guitar", files=[SAMPLES[0]] * 201)


@pytest.mark.parametrize("text, role, error, words", [
    ("guitar +", "apart", Missing, "missing beside"), ("", "apart", Missing, "Write what to look for"),
    ("", "closer", Missing, "no picture"), ("cat - cat", "apart", Told, "cancels out"),
    ("[nothing.png]", "apart", Told, "no picture called 'nothing.png'"),
    (" + ".join("abcdefghijklm"), "apart", Told, "13 words and pictures")])
def test_what_cannot_be_searched_is_told(page, text, role, error, words):
    with pytest.raises(error, match=words):
        found(page, text, role)


def test_files_of_one_name_stay_apart(page, tmp_path):
    assert searched.distinct(["a", "a (2)", "a", "a"]) == ["a", "a (2)", "a (3)", "a (4)"]
    other = tmp_path / "rocket.png"
    shutil.copy(samples_folder() / "pizza.png", other)
    _, among, got = found(page, "pizza", files=[str(samples_folder() / "rocket.png"), str(other)])
    assert [hit.path for hit in got.hits] == ["rocket.png (2)", "rocket.png"]
    assert among.picture("rocket.png (2)").tobytes() == among.picture(got.hits[0].path).tobytes()


def test_the_index_of_the_app_is_searched_by_its_own_model(page, indexed, emoji):
    place, folder = indexed
    searched.serve(place, emoji)
    asked, among, got = found(page, "guitar", choice="emoji-vit")
    assert asked.model == Picked(emoji, "why_index") and got.hits[0].path == "guitar.png" and among.kind == "index"
    (folder / "guitar.png").unlink()
    html = tab.cards("en", among, got, False)
    assert html.count("<img") == len(SAMPLES) - 1 and "no longer there" in html
    assert found(page, "guitar", files=SAMPLES)[1].kind == "own"
    searched.serve(place, Model("emoji-vit"))  # the page's own is another one
    assert searched.served().model.name == "emoji" and searched.served().model.get().name == "emoji"


def test_an_index_that_cannot_be_searched_is_refused_at_the_start(indexed, capsys, tmp_path):
    place, folder = indexed
    assert app.main(["--index", str(tmp_path / "none"), "--offline"]) == 2
    assert "there is no index in" in capsys.readouterr().err
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(NoIndexError, match="which is gone; index them anew"):
        searched.serve(place)


def test_a_name_is_no_html(page, tmp_path):
    odd = tmp_path / "a<b>&'\".png"
    shutil.copy(SAMPLES[0], odd)
    _, among, got = found(page, "dog", files=[str(odd)])
    html = tab.cards("en", among, got, False)
    assert "<b>&" not in html and "a&lt;b&gt;&amp;&#x27;&quot;.png" in html


def test_the_page(browser, own_site):  # noqa: F811
    visit = Visit(browser, f"{own_site}/?view=search", view="search")
    visit.settled("search")
    hits = visit.page.locator(".cm-hit")
    assert hits.count() >= tab.NEAREST and hits.first.get_attribute("data-name").endswith("cat with wry smile")
    hits.nth(1).locator("[data-sign='-']").click()
    name = hits.nth(1).get_attribute("data-name")
    visit.page.wait_for_function(
        "text => document.querySelector('#search-query textarea, #search-query input').value === text",
        arg=f"{tab.FIRST} - [{name}]")
    visit.page.wait_for_function("name => document.querySelector('.cm-hit') && !document.querySelector('.cm-hit[data-name='"
                                 "+ JSON.stringify(name) + ']:not(.cm-beyond)')", arg=name)
    for query, first in ((tab.TRY[1], "blue heart"), (tab.TRY[-1], "watch")):
        visit.page.get_by_role("button", name=query, exact=True).click()
        visit.page.wait_for_function("name => document.querySelector('.cm-hit')?.dataset.name.includes(name)", arg=first)
    visit.page.get_by_role("button", name="Search your own pictures").click()
    visit.page.set_input_files("#search-files input", SAMPLES)
    visit.page.fill("#search-query textarea, #search-query input", "a pizza")
    visit.page.wait_for_function("document.querySelector('.cm-hit').dataset.name === 'pizza.png'")
    visit.page.get_by_label("more like it", exact=True).check()
    visit.page.fill("#search-query textarea, #search-query input", "")
    visit.page.wait_for_function("document.querySelector('.cm-hit').dataset.name === 'dog_face.png'")
    assert "like=closer" in visit.page.url
    visit.context.close()
    assert not visit.errors and not visit.strangers()


def test_the_server_gives_its_threads_two_heaps():
    """Else each thread has its own, and memory that was freed lies apart in them."""
    code = """if True:
        import ctypes, os, re, tempfile, threading
        import demo_app.app
        libc = ctypes.CDLL("libc.so.6")
        libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        together = threading.Barrier(20)
        def use():
            together.wait()
            for size in range(100, 2000, 7):
                libc.malloc(size)
            together.wait()
        threads = [threading.Thread(target=use) for _ in range(20)]
        [t.start() for t in threads], [t.join() for t in threads]
        libc.fdopen.restype = libc.fopen.restype = ctypes.c_void_p
        with tempfile.NamedTemporaryFile() as told:
            file = ctypes.c_void_p(libc.fopen(told.name.encode(), b"w"))
            libc.malloc_info(0, file), libc.fclose(file)
            print(len(re.findall(b"<heap nr=", told.read())))"""
    if sys.platform != "linux":
        pytest.skip("glibc alone has these heaps")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 2, done.stdout


