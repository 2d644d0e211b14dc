"""What the lessons say about their own results, against what their cells printed.

    python tests/lesson_numbers.py            # each sentence that quotes a number, and whether it is the printed one
    python tests/lesson_numbers.py --write    # put the printed numbers into the sentences
    python tests/lesson_numbers.py --run      # run all lessons first (five minutes): what a new embedded checkpoint wants
    python tests/lesson_numbers.py --run 07   # or one of them

A line of QUOTES has the lesson, a pattern of the sentence and a pattern of the printed text; the groups of both are the
same numbers, in the same order. A number is written with as many decimals as the sentence has. A pattern that is not found
is an error. --run wants the install of `.[lessons]`. What a sentence says in words ("about three quarters"), and what
stands in a figure alone, only a reader can check: --run lists the cells whose printed text changed, to be read again with
the sentences below them.
"""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
MINUTES = 20  # for one lesson


class Quote(NamedTuple):
    """lesson: its number; said, printed: patterns; scale: what printed numbers are multiplied with."""

    lesson: str
    said: str
    printed: str
    scale: float = 1


N, P = r"(-?\d+\.\d+)", r"(\d+(?:\.\d+)?)%"  # a number, a percentage
QUOTES = (
    Quote("00", rf"pizza has {N}, a right", rf"-> 100%  pizza {N}"),
    Quote("00", rf"a right answer {N}\.", rf"dog {N} -> 100%  pizza"),
    Quote("00", rf"cosine with pizza, {N}, is half", rf"-> 100%  pizza {N}"),
    Quote("05", rf"right text wins: cosine {N} against", rf"right  cosine {N}"),
    Quote("05", rf"cosine 1\.000 against {N}\.", rf"long   cosine {N}"),
    Quote("05", rf"directions differ: {N} and {N} here", rf"all rows    {N}\s+all columns {N}"),
    Quote("05", rf"The right loss falls from {N} to", rf"right +{N} "),
    Quote("05", rf"50 captions {N} nats", rf"batch 256: .* copies {N}"),
    Quote("07", rf"the model is right for {P}", rf"nothing like a {{}} +{P}"),
    Quote("07", rf"as dots between \d+% and {P}", rf"ten unknown  best alone {P}"),
    Quote("07", rf"vertical line at {P} for all ten", rf"ten unknown .*mean of vectors {P}"),
    Quote("07", r"At the model's own (\d+) it follows", rf"scale  15\.0:.*\nscale +{N}:"),
    Quote("11", rf"both zero-shot lines \({N} and {N}\), and reaches {N}",
          rf"'keycap 3': {P}.*\n.*'three': {P}.*\nprobe with 64 a class: {P}", 0.01),
    Quote("11", rf"\*\* {P} where chance is 10%", rf"'keycap 3': {P}"),
    Quote("11", rf"hold the digits \({P}\)", rf"probe with 64 a class: {P}"),
    Quote("11", rf"supervised network falls from {P} to {P}; the probe from {P} to {P}; zero-shot from {P} to {P}",
          rf"supervised  OpenMoji  {P}   Twemoji  {P}.*\nprobe       OpenMoji  {P}   Twemoji  {P}.*\n"
          rf"zero-shot   OpenMoji  {P}   Twemoji  {P}"),
    Quote("11", rf"the probe's {P} is no feat", rf"probe       OpenMoji  {P}"),
)


def path_of(number: str) -> Path:
    """The notebook of a lesson."""
    return next(LESSONS.glob(f"{number}_*.ipynb"))


def printed(cell) -> str:
    """What a code cell printed, and the texts of its values."""
    parts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.get("outputs", [])]
    return "\n".join(parts)


def quoted(quote: Quote, notebook) -> tuple[int, re.Match, list[str]]:
    """(the cell of the sentence, where it stands, the numbers that it should have). Raises SystemExit."""
    text = "\n".join(printed(cell) for cell in notebook.cells if cell.cell_type == "code")
    found = re.search(quote.printed, text)
    places = [(i, m) for i, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"
              for m in re.finditer(quote.said, cell.source)]
    if not found or len(places) != 1:
        raise SystemExit(f"lesson {quote.lesson}: the sentence {quote.said!r} stands there {len(places)} times, and "
                         f"{quote.printed!r} was {'' if found else 'not '}printed; mend QUOTES in tests/lesson_numbers.py")
    place, sentence = places[0]
    numbers = [f"{quote.scale * float(number):.{len(said.partition('.')[2])}f}"
               for number, said in zip(found.groups(), sentence.groups(), strict=True)]
    return place, sentence, numbers


def corrected(sentence: re.Match, numbers: list[str]) -> str:
    """The whole text of the cell with these numbers in the sentence."""
    text = sentence.string
    for group in range(len(numbers), 0, -1):
        start, end = sentence.span(group)
        text = text[:start] + numbers[group - 1] + text[end:]
    return text


def wrong(write: bool = False) -> list[str]:
    """The sentences whose numbers are not the printed ones, as lines to read; write: and they are mended."""
    found = []
    for quote in QUOTES:
        notebook = nbformat.read(path_of(quote.lesson), 4)
        place, sentence, numbers = quoted(quote, notebook)
        if list(sentence.groups()) != numbers:
            found.append(f"{path_of(quote.lesson).name}, cell {place}: {sentence.group()!r} should have {', '.join(numbers)}")
            notebook.cells[place].source = corrected(sentence, numbers)
            if write:
                nbformat.write(notebook, path_of(quote.lesson))
    return found


def run_all(numbers: list[str]) -> list[str]:
    """Run these lessons in place, or all -> the cells whose printed text is another one now."""
    from nbclient import NotebookClient
    from tqdm import tqdm

    os.environ["CLIPMINI_WIDGETS"] = "0"  # what is kept holds pictures, no controls
    changed = []
    paths = [path_of(number) for number in numbers] or sorted(LESSONS.glob("*.ipynb"))
    for path in tqdm(paths, desc="lessons"):
        notebook = nbformat.read(path, 4)
        before, about = [printed(cell) for cell in notebook.cells], dict(notebook.metadata)
        there = {"metadata": {"path": str(LESSONS)}}
        NotebookClient(notebook, timeout=60 * MINUTES, coalesce_streams=True, resources=there).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # when each cell began and ended
        notebook.metadata = about  # without the version of this Python
        nbformat.write(notebook, path)
        after = [printed(cell) for cell in notebook.cells]
        changed += [f"{path.name}, cell {i}: read the sentences below it again"
                    for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    return changed


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", nargs="*", metavar="NN", help="run all lessons, or these, first, in place, and then --write")
    p.add_argument("--write", action="store_true", help="put the printed numbers into the sentences")
    args = p.parse_args()
    write = args.write or args.run is not None
    changed = [] if args.run is None else run_all(args.run)
    found = wrong(write)
    print(*changed, *found, f"{len(QUOTES)} sentences, {len(found)} {'mended' if write else 'wrong'}", sep="\n")
    return 1 if found and not write else 0


if __name__ == "__main__":
    sys.exit(main())
