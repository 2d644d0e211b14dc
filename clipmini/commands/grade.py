"""clipmini grade"""

import csv
import json
import sys
from pathlib import Path

EPILOG = """What runs is the answers and what they need (imports, definitions, assignments), in a process of their own;
a printed "pass" counts for nothing, as the verdict is made here. Beside the cases of the lesson there are hidden ones,
drawn anew each time; --seed repeats them. An answer has a minute.

  clipmini grade handed-in/*.ipynb                       a table, a row for each notebook
  clipmini grade handed-in/*.ipynb --csv marks.csv --json marks.json
  clipmini grade anna/05_the_loss.ipynb --verbose        what each checker says

Students' code runs with your rights: grade what strangers hand in inside a container."""


def add(p) -> None:
    """The options."""
    p.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK", help="lessons (.ipynb), as handed in")
    p.add_argument("--json", type=Path, metavar="FILE", help="write all verdicts, with their messages")
    p.add_argument("--csv", type=Path, metavar="FILE", help="write the table for a spreadsheet")
    p.add_argument("--seed", type=int, help="of the hidden cases (default: drawn; it stands in the JSON)")
    p.add_argument("--verbose", action="store_true", help="print what each checker says")
    p.epilog = EPILOG


def run(args) -> None:
    """Print a table; end with an error where a notebook cannot be graded."""
    from clipmini.course.grade import grade_all, table
    from clipmini.course.needed import NotebookError

    paths = list(dict.fromkeys(args.notebooks))
    results = grade_all(paths, args.seed, lambda path: print(f"grading {path} ...", file=sys.stderr))
    rows = table(r for r in results if r["exercises"])
    for row in rows:
        print("  ".join(cell.ljust(max(len(r[i]) for r in rows if len(r) > i)) for i, cell in enumerate(row)).rstrip())
    for result in results if args.verbose else ():
        for exercise in result["exercises"]:
            about = f": {exercise['about']}" if exercise["about"] else ""
            print(f"{result['file']}  {exercise['verdict']:7} {exercise['name']}{about}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if args.csv:
        with open(args.csv, "w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file).writerows(rows)
    problems = [result["problem"] for result in results if "problem" in result]
    if problems:
        raise NotebookError("; ".join(problems))
