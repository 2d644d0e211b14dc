"""The Chinese edition of the lessons, lessons/zh/, from the English one and its translations.

    python tests/chinese_lessons.py            # what is missing or out of date; ends with status 1 where something is
    python tests/chinese_lessons.py --write    # write the notebooks whose translations are complete
    python tests/chinese_lessons.py --ask 05   # the cells of lesson 05 that want a translation, as JSON to fill in

lessons/zh/texts/NN.json holds pairs: the digest of an English cell, and its Chinese text. A changed English cell has another
digest, so its old translation no longer fits. Code cells and figures are the English ones, and so run once, in the tests of
those; one cell is added, which lets the checkers speak Chinese.
"""

import argparse
import hashlib
import json
import os
import re
import sys
from pathlib import Path

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
ZH = LESSONS / "zh"
SPEAK = 'import os\n\nos.environ["CLIPMINI_LANG"] = "zh"  # 检查器用中文回答'
CODE = re.compile(r"```.*?```|`[^`\n]+`|\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)


def source(cell: dict) -> str:
    return "".join(cell["source"])


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def lessons() -> list[Path]:
    return sorted(LESSONS.glob("*.ipynb"))


def translations(lesson: Path) -> dict[str, str]:
    """Digest of an English cell -> its Chinese text."""
    path = ZH / "texts" / f"{lesson.stem[:2]}.json"
    pairs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return {pair["digest"]: pair["zh"] for pair in pairs}


def missing(lesson: Path) -> list[str]:
    """The English cells without a translation."""
    known = translations(lesson)
    return [source(c) for c in cells(lesson) if c["cell_type"] == "markdown" and digest(source(c)) not in known]


def differences(english: str, chinese: str) -> list[str]:
    """Code and formulas that stand in one of the two texts only, beside comments in blocks of code."""
    def parts(text):
        return sorted(re.sub(r"#[^\n]*", "", part).strip() for part in CODE.findall(text))

    a, b = parts(english), parts(chinese)
    return [x for x in a if a.count(x) != b.count(x)] + [x for x in b if b.count(x) != a.count(x)]


def _spoken(text: str) -> str:
    """A checker's stored line in Chinese."""
    from clipmini.course.words import say

    todo = "write it above, then run this cell again"
    passed = re.sub(r"(\d+) of (\d+) passed", lambda m: say("{done} of {all} passed", done=m[1], all=m[2]), text)
    return passed.replace(todo, say(todo))


def translated(lesson: Path) -> dict:
    """The Chinese notebook."""
    os.environ["CLIPMINI_LANG"] = "zh"
    book, known, out = json.loads(lesson.read_text(encoding="utf-8")), translations(lesson), []
    for cell in book["cells"]:
        if cell["cell_type"] == "markdown":
            text = known[digest(source(cell))].replace("/blob/main/lessons/", "/blob/main/lessons/zh/")
            text = re.sub(r"\]\((?!zh/)(\w+\.(?:md|json))", r"](../\1", text).replace("](../assets", "](../../assets")
            cell = {**cell, "source": text.splitlines(keepends=True)}
        elif "checks." in source(cell):
            cell = {**cell, "outputs": [{**o, "text": [_spoken("".join(o["text"]))]} if "text" in o else o
                                        for o in cell["outputs"]]}
        out.append(cell)
        if cell["cell_type"] == "code" and sum(c["cell_type"] == "code" for c in out) == 1:  # behind the install cell
            out.append({"cell_type": "code", "execution_count": 0, "id": "language", "metadata": {"tags": ["language"]},
                        "outputs": [], "source": SPEAK.splitlines(keepends=True)})
    for number, cell in enumerate((c for c in out if c["cell_type"] == "code"), 1):
        cell["execution_count"] = number
        for output in cell["outputs"]:
            if "execution_count" in output:
                output["execution_count"] = number
    return {**book, "cells": out}


def problems() -> list[str]:
    """What is missing, out of date, or not as the English cell is."""
    found = []
    for lesson in lessons():
        lacking = missing(lesson)
        if lacking:
            found.append(f"{lesson.name}: {len(lacking)} cells without a translation, such as {lacking[0][:60]!r}")
            continue
        known = translations(lesson)
        for cell in cells(lesson):
            text = source(cell)
            if cell["cell_type"] == "markdown" and (other := differences(text, known[digest(text)])):
                found.append(f"{lesson.name}: {text[:40]!r}: code or formulas differ: {other[:2]}")
        made, kept = translated(lesson), ZH / lesson.name
        if not kept.exists() or json.loads(kept.read_text(encoding="utf-8")) != made:
            found.append(f"zh/{lesson.name} is not what its translations make; --write")
        unused = set(known) - {digest(source(c)) for c in cells(lesson)}
        if unused:
            found.append(f"{lesson.name}: {len(unused)} translations of cells that are no longer there")
    return found


def write() -> None:
    for lesson in lessons():
        if not missing(lesson):
            text = json.dumps(translated(lesson), indent=1, ensure_ascii=False) + "\n"
            (ZH / lesson.name).write_text(text, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--write", action="store_true")
    p.add_argument("--ask", metavar="NN")
    args = p.parse_args(argv)
    if args.ask:
        lesson, = LESSONS.glob(f"{args.ask}_*.ipynb")
        print(json.dumps([{"digest": digest(text), "en": text, "zh": ""} for text in missing(lesson)], indent=1,
                         ensure_ascii=False))
        return 0
    if args.write:
        write()
    found = problems()
    print("\n".join(found) or "the Chinese edition is complete")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
