"""How commands tell of what they could not use: a few lines on stderr, all of it in a file."""

import sys
from collections import Counter
from pathlib import Path

from clipmini.picture_file import shown
from clipmini.tasks.metrics import columns

MOST_TOLD = 10  # of what was left out: more would be read by nobody


def tell_left_out(left: list[tuple[str, str]], what: str, file: Path | None = None) -> None:
    """Print on stderr how many were left out and why: (kind, message) of each; many are counted by kind. file: gets
    all of many."""
    kinds = Counter(kind for kind, _ in left).most_common()
    lines = [message for _, message in left[:MOST_TOLD]]
    if len(left) > MOST_TOLD and len(kinds) > 1:
        rest = sum(count for _, count in kinds[MOST_TOLD - 1:])
        kinds = kinds if len(kinds) <= MOST_TOLD else [*kinds[:MOST_TOLD - 1], ("other reasons", rest)]
        first = {kind: message for kind, message in reversed(left)}
        lines = columns([[f"{n:,}", kind, f"such as {first[kind][:70]}" if kind in first else ""] for kind, n in kinds],
                        right={0})
    if left:
        print(f"left out: {len(left):,} of the {what}", *lines, sep="\n  ", file=sys.stderr)
    if file is not None:
        write_left_out(left, file)


def write_left_out(left: list[tuple[str, str]], file: Path) -> None:
    """All of them, where they were too many to be printed, a line each."""
    if len(left) <= MOST_TOLD:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{message}\n" for _, message in left), encoding="utf-8")
        print(f"all that was left out, a line each: {shown(file)}", file=sys.stderr)
    except OSError as error:  # the numbers are out already
        print(f"all that was left out could not be written to {shown(file)} ({error.strerror})", file=sys.stderr)
