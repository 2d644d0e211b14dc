"""The README's tables, made from assets/results.json, so that no number of the page is typed by hand.

    python tests/readme_tables.py --collect runs/emoji runs/shapes   # put finished runs into results.json
    python tests/benchmarks/bench_step.py --record                   # and what the benchmarks measure
    python tests/benchmarks/bench_fashion.py runs/fashion --record   # (this one collects its run, too)
    python tests/benchmarks/photos.py --model devise --tuxpaint FOLDER --record
    python tests/readme_tables.py --write                            # write the tables into README.md

tests/test_readme.py fails when the page and the file disagree.
"""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS, README = ROOT / "assets" / "results.json", ROOT / "README.md"


def collect(runs: list[Path]) -> None:
    """Copy what finished runs measured into results.json."""
    data = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"runs": {}, "speed": []}
    for run in runs:
        meta = json.loads((run / "final" / "config.json").read_text(encoding="utf-8"))["meta"]
        kept = ("command", "data", "pictures", "steps", "seconds", "results")
        meta["command"] = re.sub(r" --(out \S+|quiet)", "", meta["command"])  # where it was put tells nobody anything
        data["runs"][run.name] = {key: meta[key] for key in kept}
    RESULTS.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def record_speed(rows: list[dict]) -> None:
    """Put a benchmark's rows (what, against, ours, theirs, ratio, command) into results.json, in place of its last ones."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    fresh = {(row["what"], row["against"]) for row in rows}
    data["speed"] = [row for row in data["speed"] if (row["what"], row["against"]) not in fresh] + rows
    RESULTS.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def record_photos(rows: list[dict]) -> None:
    """Put what a model made of the photos (model, what, n, names, top1, top5, command) in place of its last answers."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    fresh = {(row["model"], row["what"]) for row in rows}
    data["photos"] = [row for row in data.get("photos", []) if (row["model"], row["what"]) not in fresh] + rows
    RESULTS.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def record_heatmaps(rows: list[dict]) -> None:
    """Put what tests/benchmarks/localisation.py measured in place of its last table."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    fresh = {(row["model"], row["of"]) for row in rows}
    data["heatmaps"] = [row for row in data.get("heatmaps", []) if (row["model"], row.get("of", "emoji")) not in fresh] + rows
    RESULTS.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def heatmaps_table(data: dict) -> str:
    """One row for each model and method."""
    rows = ["| model | scenes of | method | pointing game | on the mask | mean IoU | average precision | ms a picture |",
            "|---|---|---|---|---|---|---|---|"]
    for r in data.get("heatmaps", []):
        shares = f"{percent(r['pointing'])} | {percent(r['on_mask'])} | {r['iou']:.2f} | {r['average_precision']:.2f}"
        rows.append(f"| `{r['model']}` | {r.get('of', 'emoji')} | {r['method']} | {shares} | {r['ms']:.0f} |")
    return "\n".join(rows)


def photos_table(data: dict) -> str:
    """One row for each model and set of photos."""
    rows = ["| model | photos | top-1 | 95% | top-5 | 95% | command |", "|---|---|---|---|---|---|---|"]
    for r in data.get("photos", []):
        shares = " | ".join(f"{percent(r[k][0])} | {percent(r[k][1])} to {percent(r[k][2])}" for k in ("top1", "top5"))
        rows.append(f"| `{r['model']}` | {r['what']}: {r['n']}, {r['names']} names | {shares} | `{r['command']}` |")
    return "\n".join(rows)


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def results_table(data: dict) -> str:
    """One row for each measured thing of each run."""
    rows = ["| recipe | minutes | measured on | top-1 | top-5 | 95% of top-1 |", "|---|---|---|---|---|---|"]
    for name, run in data["runs"].items():
        for what, r in run["results"].items() if "-seed-" not in name else ():  # those are in a table of their own
            if "top1" in r:
                interval = f"{percent(r['top1_low'])} to {percent(r['top1_high'])}"
                rows.append(f"| `{name}` | {run['seconds'] / 60:.1f} | {what}: {r['n']:,} pictures, {r['classes']:,} names | "
                            f"{percent(r['top1'])} | {percent(r['top5'])} | {interval} |")
    order = ["| run | steps | minutes | relation swapped | binding swapped |", "|---|---|---|---|---|"]
    for name, run in data["runs"].items():
        for r in run["results"].values():
            if "relation" in r:
                shares = f"{percent(r['relation'])} | {percent(r['binding'])}"
                order.append(f"| `{name}` | {run['steps']:,} | {run['seconds'] / 60:.1f} | {shares} |")
    return "\n".join([*rows, "", *order])


def seeds_table(data: dict) -> str:
    """Runs NAME, NAME-seed-1, NAME-seed-2 ...: mean, least and most of each measured thing."""
    rows = ["| recipe | seeds | measured on | top-1 | least to most | top-5 | least to most |", "|---|---|---|---|---|---|---|"]
    for name, run in data["runs"].items():
        runs = [run, *(other for key, other in data["runs"].items() if re.fullmatch(rf"{re.escape(name)}-seed-\d+", key))]
        for what in run["results"] if len(runs) > 1 else ():
            cells = []
            for key in ("top1", "top5"):
                shares = [r["results"][what][key] for r in runs]
                cells += [percent(sum(shares) / len(shares)), f"{percent(min(shares))} to {percent(max(shares))}"]
            rows.append(f"| `{name}` | {len(runs)} | {what} | {' | '.join(cells)} |")
    return "\n".join(rows)


def speed_table(data: dict) -> str:
    """What the benchmarks printed last."""
    rows = ["| what | against | ours | theirs | ratio | command |", "|---|---|---|---|---|---|"]
    columns = ("what", "against", "ours", "theirs", "ratio")
    return "\n".join(rows + [" | ".join(["", *(s[c] for c in columns), f"`{s['command']}`", ""]).strip() for s in data["speed"]])


def licence_table() -> str:
    """The sources of the pictures and words."""
    from clipmini.data.emoji.sources import SOURCES
    from clipmini.data.fashion import SOURCE

    rows = ["| style | what | package | author | licence |", "|---|---|---|---|---|"]
    return "\n".join(rows + [f"| {s.style or '(words)'} | {s.what} | {s.package} ({s.installer}) | {s.author} | {s.licence} |"
                             for s in (*SOURCES, SOURCE)])


def tables() -> dict[str, str]:
    """Name of the marker in README.md -> the table that belongs there."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    return {"results": results_table(data), "seeds": seeds_table(data),
            "speed": speed_table(data), "photos": photos_table(data), "heatmaps": heatmaps_table(data),
            "licences": licence_table()}


def block(name: str) -> re.Pattern:
    return re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.S)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--collect", nargs="+", type=Path, metavar="RUN", help="finished run folders")
    p.add_argument("--write", action="store_true", help="write the tables into README.md")
    args = p.parse_args()
    if args.collect:
        collect(args.collect)
    if args.write:
        text = README.read_text(encoding="utf-8")
        for name, table in tables().items():
            text, found = block(name).subn(lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text)
            if not found:
                sys.exit(f"README.md has no marker for the table {name!r}")
        README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
