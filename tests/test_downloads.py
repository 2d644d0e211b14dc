"""What a view shows, as files: each view offers its figure and its table, and they hold what the page shows."""

import csv
import io
import re
import zipfile
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from PIL import Image

from demo_app import saving
from demo_app.tabs import TABLE
from test_browser import Visit, browser, own_site  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def visit(browser, own_site):  # noqa: F811
    visit = Visit(browser, own_site)
    visit.page.fill("#labels textarea", "dog, =cat, a red guitar")
    visit.settled()
    yield visit
    visit.context.close()
    assert not visit.errors and not visit.strangers()


def saved(visit, kind):
    """(the file's name, its content)"""
    with visit.page.expect_download() as download:
        visit.page.click(f"#save-{kind}")
    with open(download.value.path(), "rb") as file:
        return download.value.suggested_filename, file.read()


def table(data: bytes) -> list[dict]:
    assert data.startswith(b"\xef\xbb\xbf")  # for Excel
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def pictures(name, data, kind) -> list[bytes]:
    """The figures of a file: of several in a ZIP."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert all(n.endswith(f".{kind}") for n in archive.namelist())
            return [archive.read(n) for n in archive.namelist()]
    return [data]


SHOWN = {  # view -> (what its table says, what the page shows), as sets that must be equal
    "zero_shot": (lambda rows: {(row["label"].lstrip("'"), f"{100 * float(row['probability']):.2f}") for row in rows},
                  "[...document.querySelectorAll('#answer [role=meter]')].map(e => [e.ariaLabel, e.ariaValueNow])"),
    "inside": (lambda rows: {(row["phrase"].lstrip("'"), f"{float(row['presence']):+.1f}") for row in rows},
               "[...document.querySelectorAll('#inside-scores tbody tr')].map(e => [e.cells[0].innerText, "
               "e.cells[2].innerText])"),
    "prompts": (lambda rows: {(row["template"].lstrip("'"), f"{100 * float(row['dog']):.1f} %") for row in rows},
                "[...document.querySelectorAll('#workbench-table tbody tr')].map(e => [e.cells[0].innerText, "
                "e.cells[1].innerText])"),
    "fails": (lambda rows: {(row["label"], f"{100 * float(row['probability']):.2f}") for row in rows},
              "[...document.querySelectorAll('#fails [role=meter]')].map(e => [e.ariaLabel, e.ariaValueNow])"),
    "search": (lambda rows: {(row["name"], f"{float(row['cosine']):.4f}") for row in rows},
               "[...document.querySelectorAll('.cm-hit')].map(e => [e.dataset.name, e.dataset.cosine])"),
    "cut": (lambda rows: {(row["mask"], f"{float(row['expected IoU']):.2f}") for row in rows},
            "[...document.querySelectorAll('.cm-cut-three button')].map(e => e.innerText.split(': '))"),
    "saw": (lambda rows: {(row["piece"].lstrip("'").strip() or "\u2423", row["id"]) for row in rows},
            "[...document.querySelectorAll('.cm-tokens span')].map(e => [e.querySelector('b').innerText, "
            "e.innerText.replace(e.querySelector('b').innerText, '').trim()])"),
    "models": (lambda rows: {(row["model"], row["label"].lstrip("'"), f"{100 * float(row['probability']):.2f}")
                             for row in rows},
               "[...document.querySelectorAll('.cm-half [role=meter]')].map(e => "
               "[e.closest('.cm-half').dataset.model, e.ariaLabel, e.ariaValueNow])"),
}


@pytest.mark.parametrize("view", TABLE)
def test_each_view_gives_its_figure_and_its_table(view, visit):
    visit.page.locator(f"[role=tab][data-tab-id={view}]").click()
    visit.settled(view)
    name, data = saved(visit, "csv")
    assert name == f"clipmini-{view.replace('_', '-')}.csv"
    rows = table(data)
    if view in SHOWN:
        told, js = SHOWN[view]
        assert told(rows) == set(map(tuple, visit.page.evaluate(js)))
    elif view == "map":
        assert len(rows) == 2884 and rows[0]["kind"] == "picture" and rows[-1]["kind"] == "word"
        assert {row["name"] for row in rows} >= {"dog face", "rocket"} and float(rows[0]["x"])
    else:
        with visit.page.expect_download() as download:
            visit.page.click("#matrix-csv a")
        with open(download.value.path(), "rb") as file:
            other = table(file.read())
        assert len(rows) == len(other) and rows[0].keys() == other[0].keys()
        for row, same in zip(rows, other, strict=True):
            assert (row["picture"], row["text"]) == (same["picture"], same["text"])
            assert float(row["cosine"]) == float(same["cosine"])
    assert not any(cell.startswith(("=", "+", "@")) for row in [rows[0].keys(), *(r.values() for r in rows)] for cell in row)
    name, data = saved(visit, "png")
    for one in pictures(name, data, "png"):
        assert Image.open(io.BytesIO(one)).format == "PNG" and Image.open(io.BytesIO(one)).width > 500
    name, data = saved(visit, "svg")
    for one in pictures(name, data, "svg"):
        assert ElementTree.fromstring(one).tag == "{http://www.w3.org/2000/svg}svg"


def test_the_scale_that_was_set_is_in_the_files_and_in_the_address(visit, own_site, browser):  # noqa: F811
    visit.page.locator("[role=tab][data-tab-id=zero_shot]").click()
    visit.settled()
    slider = visit.page.locator(".cm-ar-scale input")
    slider.focus()
    for _ in range(30):
        slider.press("ArrowLeft")
    visit.page.wait_for_function("Math.abs(Number(new URLSearchParams(location.search).get('scale')) - Number("
                                 "document.querySelector('.cm-ar-scale output').innerText.slice(2))) < 0.06")
    scale = float(re.search(r"scale=([\d.]+)", visit.page.url)[1])
    told, js = SHOWN["zero_shot"]
    rows = table(saved(visit, "csv")[1])
    assert told(rows) == set(map(tuple, visit.page.evaluate(js)))
    assert float(rows[0]["logit"]) == pytest.approx(scale * float(rows[0]["cosine"]), rel=2e-3)
    other = Visit(browser, visit.page.url)
    assert told(rows) == set(map(tuple, other.page.evaluate(js)))
    other.context.close()


@pytest.mark.parametrize("lang, view, words", [
    ("en", "saw", "The view What it saw has nothing"), ("zh", "saw", "没有可下载的内容"),
    ("en", "<b>" + "x" * 500, "'<b>xxx"), ("en", "", "The view '' has nothing")])
def test_a_view_without_files_and_a_view_that_is_none_are_told(lang, view, words):
    with pytest.raises(ValueError, match=words) as told:
        saving.offered(SimpleNamespace(saved={}, views={"saw": None}), view, lang)
    assert len(str(told.value)) < 250
