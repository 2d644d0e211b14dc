"""Each figure of the lessons carries the description below it, for those who hear a page: nbconvert makes it the alt text.

    python tests/alt_texts.py            # which figures lack theirs; ends with status 1 where one does
    python tests/alt_texts.py --write    # write them
"""

import json
import re
import sys
from pathlib import Path

LESSONS = Path(__file__).resolve().parent.parent / "lessons"


def description(cell: dict) -> str:
    """The first paragraph of the cell below a figure, without its marks."""
    first = "".join(cell["source"]).split("\n\n")[0]
    return " ".join(re.sub(r"[*`$]", "", first).split())


def lacking(path: Path, write: bool = False) -> list[str]:
    """The figures of a notebook without their description; write: and they get it."""
    book = json.loads(path.read_text(encoding="utf-8"))
    found = []
    for number, (cell, below) in enumerate(zip(book["cells"], book["cells"][1:], strict=False)):
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                about = {"alt": description(below)}
                if output["metadata"].get("image/png") != about:
                    found.append(f"{path.name}, cell {number}: its figure lacks {about['alt'][:60]!r}")
                    output["metadata"]["image/png"] = about
    if write and found:
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def main() -> int:
    write = sys.argv[1:] == ["--write"]
    found = [line for path in sorted(LESSONS.glob("*.ipynb")) for line in lacking(path, write)]
    print(*found, f"{len(found)} figures {'mended' if write else 'lack their description'}", sep="\n")
    return int(bool(found) and not write)


if __name__ == "__main__":
    sys.exit(main())
