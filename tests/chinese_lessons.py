"""The Chinese edition of the lessons, lessons/zh/, from the English one and its translations.

    python tests/chinese_lessons.py            # what is missing or out of date; ends with status 1 where something is
    python tests/chinese_lessons.py --write    # write the notebooks whose translations are complete
    python tests/chinese_lessons.py --ask 05   # the cells of lesson 05 that want a translation, as JSON to fill in
    python tests/chinese_lessons.py --run [05] # run these Chinese notebooks, or all (15 minutes), and keep their figures

lessons/zh/texts/NN.json holds pairs: the digest of an English cell, and its Chinese text. A changed English cell has another
digest, so its old translation no longer fits. Code cells and printed outputs are the English ones, and so run once, in the
tests of those; one cell is added, which lets checkers and figures speak Chinese. Figures with Chinese words come from --run.
"""

import argparse
import base64
import hashlib
import io
import json
import os
import re
import sys
from pathlib import Path

import alt_texts

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
ZH = LESSONS / "zh"
SPEAK = 'import os\n\nos.environ["CLIPMINI_LANG"] = "zh"  # 检查器和图用中文'
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
    from clipmini.course.words import catalogue

    chinese, todo, passed = catalogue("zh"), "write it above, then run this cell again", "{done} of {all} passed"
    text = re.sub(r"(\d+) of (\d+) passed", lambda m: chinese[passed].format(done=m[1], all=m[2]), text)
    return text.replace(todo, chinese[todo])


def translated(lesson: Path) -> dict:
    """The Chinese notebook."""
    book, known, out = json.loads(lesson.read_text(encoding="utf-8")), translations(lesson), []
    for cell in book["cells"]:
        if cell["cell_type"] == "markdown":
            text = known[digest(source(cell))].replace("/blob/main/lessons/", "/blob/main/lessons/zh/")
            text = re.sub(r"\]\((?!zh/)(\w+\.(?:md|json))", r"](../\1", text).replace("](../assets", "](../../assets")
            cell = {**cell, "source": text.splitlines(keepends=True)}
        elif "checks." in source(cell):
            cell = {**cell, "outputs": [{**o, "text": [_spoken("".join(o["text"]))]} if "text" in o else o
                                        for o in cell["outputs"]]}
        if cell["cell_type"] == "markdown" and out and "outputs" in out[-1]:
            out[-1] = {**out[-1], "outputs": [_with_alt(o, cell) for o in out[-1]["outputs"]]}
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


def _with_alt(output: dict, below: dict) -> dict:
    """A figure with the Chinese description below it, as alt_texts.py keeps the English one."""
    if "image/png" not in output.get("data", {}):
        return output
    return {**output, "metadata": {**output["metadata"], "image/png": {"alt": alt_texts.description(below)}}}


def figures(book: dict) -> list[str]:
    """The figures of a notebook, in order, as they are stored."""
    return [o["data"]["image/png"] for c in book["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]


def with_figures(book: dict, own: list[str]) -> dict:
    """The notebook with other figures in the places of its own."""
    places, book = iter(own), json.loads(json.dumps(book))
    for cell in book["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = next(places)
    return book


def run(numbers: list[str]) -> None:
    """Run Chinese notebooks and keep what they draw."""
    import nbformat
    from nbclient import NotebookClient

    from lesson_numbers import MINUTES

    os.environ |= {"CLIPMINI_LANG": "zh", "CLIPMINI_WIDGETS": "0"}
    for path in [p for p in lessons() if not numbers or p.stem[:2] in numbers]:
        notebook = nbformat.reads(json.dumps(translated(path)), 4)
        NotebookClient(notebook, timeout=60 * MINUTES, resources={"metadata": {"path": str(ZH)}}).execute()
        drawn = [small(figure) for figure in figures(notebook)]
        text = json.dumps(with_figures(translated(path), drawn), indent=1, ensure_ascii=False) + "\n"
        (ZH / path.name).write_text(text, encoding="utf-8")
        print(f"{path.name}: {len(drawn)} figures", flush=True)


def small(figure: str) -> str:
    """A PNG in 256 colours where that takes a fifth less, as base64."""
    from PIL import Image

    content, out = base64.b64decode(figure), io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue() if len(out.getvalue()) < 0.8 * len(content) else content).decode()


def kept(lesson: Path) -> dict | None:
    """The Chinese notebook that is stored, if there is one."""
    path = ZH / lesson.name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


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
        made, there = translated(lesson), kept(lesson)
        if there is None or len(figures(there)) != len(figures(made)) or with_figures(made, figures(there)) != there:
            found.append(f"zh/{lesson.name} is not what its translations make; --write")
        unused = set(known) - {digest(source(c)) for c in cells(lesson)}
        if unused:
            found.append(f"{lesson.name}: {len(unused)} translations of cells that are no longer there")
    return found


def write() -> None:
    for lesson in lessons():
        if not missing(lesson):
            made, there = translated(lesson), kept(lesson)
            if there and len(figures(there)) == len(figures(made)):
                made = with_figures(made, figures(there))
            text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
            (ZH / lesson.name).write_text(text, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--write", action="store_true")
    p.add_argument("--ask", metavar="NN")
    p.add_argument("--run", nargs="*", metavar="NN")
    args = p.parse_args(argv)
    if args.ask:
        lesson, = LESSONS.glob(f"{args.ask}_*.ipynb")
        print(json.dumps([{"digest": digest(text), "en": text, "zh": ""} for text in missing(lesson)], indent=1,
                         ensure_ascii=False))
        return 0
    if args.run is not None:
        run(args.run)
    if args.write:
        write()
    found = problems()
    print("\n".join(found) or "the Chinese edition is complete")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
