"""The Chinese edition is the English one in other words: same code, same figures, every cell translated."""

import json

import pytest

import chinese_lessons as zh
from mutants import LESSONS

PATHS = sorted(LESSONS.glob("*.ipynb"))


def test_every_cell_is_translated_and_every_notebook_is_what_its_translations_make():
    assert zh.problems() == []


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_code_is_the_same_but_for_the_cell_that_chooses_the_language(path):
    english = [zh.source(c) for c in zh.cells(path) if c["cell_type"] == "code"]
    chinese = [c for c in zh.cells(zh.ZH / path.name) if c["cell_type"] == "code"]
    assert [zh.source(c) for c in chinese if "language" not in c["metadata"].get("tags", [])] == english
    assert [zh.source(c) for c in chinese if "language" in c["metadata"].get("tags", [])] == [zh.SPEAK]
    assert [c["execution_count"] for c in chinese] == list(range(1, len(chinese) + 1))


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_prose_is_chinese(path):
    for cell in zh.cells(zh.ZH / path.name):
        text = zh.CODE.sub("", zh.source(cell)).split("来源：")[0]  # behind it, titles of papers
        if cell["cell_type"] == "markdown" and len(text) > 40:
            letters = [c for c in text if c.isalpha()]
            assert sum("\u4e00" <= c <= "\u9fff" for c in letters) > 0.15 * len(letters), text[:80]


def test_a_changed_english_cell_and_changed_code_are_told(tmp_path, monkeypatch):
    copy = tmp_path / PATHS[0].name
    book = json.loads(PATHS[0].read_text(encoding="utf-8"))
    (tmp_path / "zh" / "texts").mkdir(parents=True)
    texts = zh.ZH / "texts" / f"{copy.stem[:2]}.json"
    (tmp_path / "zh" / "texts" / texts.name).write_bytes(texts.read_bytes())
    (tmp_path / "zh" / copy.name).write_bytes((zh.ZH / copy.name).read_bytes())
    copy.write_text(json.dumps(book), encoding="utf-8")
    monkeypatch.setattr(zh, "LESSONS", tmp_path)
    monkeypatch.setattr(zh, "ZH", tmp_path / "zh")
    assert zh.problems() == []
    book["cells"][0]["source"] = [*book["cells"][0]["source"], "\nOne more sentence."]
    copy.write_text(json.dumps(book), encoding="utf-8")
    assert "1 cells without a translation" in zh.problems()[0]
    book = json.loads(PATHS[0].read_text(encoding="utf-8"))
    next(c for c in book["cells"] if c["cell_type"] == "code")["source"].append("\nx = 1")
    copy.write_text(json.dumps(book), encoding="utf-8")
    assert "--write" in zh.problems()[0]
    assert zh.differences("write `a` and $b$", "写 `a` 和 $c$") == ["$b$", "$c$"]
