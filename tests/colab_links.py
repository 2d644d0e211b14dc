"""One line says where this repository is: Repository of [project.urls] in pyproject.toml. From it are made the other
addresses there, each lesson's link to Colab and each lesson's install line.

    python tests/colab_links.py            # print each line that differs, and end with status 1 if one does
    python tests/colab_links.py --write    # rewrite those lines, and no other

Files are edited as text, so that nothing else in a notebook changes.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "main"
URLS = {"Homepage": "", "Documentation": f"/blob/{BRANCH}/lessons/README.md", "Issues": "/issues",
        "Changelog": f"/blob/{BRANCH}/CHANGELOG.md"}
COLAB = "https://colab.research.google.com/github/"


def repository(root: Path) -> str:
    """https://github.com/OWNER/NAME. ValueError for another address, since Colab opens notebooks of GitHub by name."""
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+(?<!\.git)", urls["Repository"]):
        raise ValueError(f"Repository is {urls['Repository']!r}; it must be https://github.com/OWNER/NAME, for Colab")
    return urls["Repository"]


def mended(line: str, address: str, name: str) -> str:
    """A line of the file `name` as it should be, where the repository is at this address."""
    if name == "pyproject.toml":
        for key, rest in URLS.items():
            line = re.sub(rf'^{key} = ".*"', f'{key} = "{address}{rest}"', line)
        return line
    place = address.removeprefix("https://github.com/")
    # Other people's notebooks and packages are left as they are: only ours are in lessons/, or called clipmini.
    line = re.sub(rf"{re.escape(COLAB)}[\w./-]+/lessons/", f"{COLAB}{place}/blob/{BRANCH}/lessons/", line)
    return re.sub(r"(clipmini(\[[\w,]+\])? @ git\+)https?://[\w./-]*\w", rf"\g<1>{address}", line)


def mend(root: Path, write: bool) -> list[str]:
    """What differs, a sentence for each line; with write it is rewritten first, and what is left needs a hand."""
    address, wrong = repository(root), []
    lessons = sorted((root / "lessons").glob("*.ipynb"))
    for path in (root / "pyproject.toml", root / "README.md", *sorted((root / "lessons").glob("*.md")), *lessons):
        old = path.read_bytes().decode("utf-8").splitlines(keepends=True)  # bytes: line endings stay what they are
        new = [mended(line, address, path.name) for line in old]
        if write and new != old:
            path.write_bytes("".join(new).encode("utf-8"))
            old = new
        for number, (is_, should) in enumerate(zip(old, new, strict=True), 1):
            if is_ != should:
                wrong.append(f"{path.relative_to(root)}:{number}: {is_.strip()}\n  should be {should.strip()}")
        own = f"{COLAB}{address.removeprefix('https://github.com/')}/blob/{BRANCH}/lessons/{path.name})"
        for needed in (own, f"clipmini[lessons] @ git+{address}") if path in lessons else ():
            if needed not in "".join(new):
                wrong.append(f"{path.relative_to(root)}: {needed} is nowhere in it; write it there by hand")
    return wrong


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--write", action="store_true", help="rewrite the lines that differ")
    args = p.parse_args(argv)
    try:
        wrong = mend(root, args.write)
    except ValueError as error:
        sys.exit(str(error))
    print("\n".join(wrong) or "every link and install line is the one that pyproject.toml says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
