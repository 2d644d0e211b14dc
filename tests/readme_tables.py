"""The tables of README.md and assets/results.md, made from assets/results.json, so that no number is typed by hand.

    python tests/readme_tables.py --collect runs/emoji runs/shapes   # put finished runs into results.json
    python tests/benchmarks/bench_step.py --record                   # and what the benchmarks measure
    python tests/benchmarks/bench_fashion.py runs/fashion --record   # (this one collects its run, too)
    python tests/benchmarks/photos.py --model devise --tuxpaint FOLDER --record
    python tests/readme_tables.py --write                            # write the tables into both pages

tests/test_readme.py fails when a page and the file disagree.
"""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS, README, PAGE = ROOT / "assets" / "results.json", ROOT / "README.md", ROOT / "assets" / "results.md"


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
    """Put a benchmark's rows (what, against, ours, theirs, ratio, command) in place of its last ones."""
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
    kept = [row for row in data.get("heatmaps", []) if (row["model"], row.get("of", "emoji")) not in fresh]
    data["heatmaps"] = kept + rows
    RESULTS.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def heatmaps_table(data: dict) -> str:
    """One row for each model and method."""
    columns = ("model", "scenes of", "method", "pointing game", "on the mask", "mean IoU", "average precision",
               "ms a picture")
    rows = [f"| {' | '.join(columns)} |", "|---|---|---|---|---|---|---|---|"]
    for r in data.get("heatmaps", []):
        shares = f"{percent(r['pointing'])} | {percent(r['on_mask'])} | {r['iou']:.2f} | {r['average_precision']:.2f}"
        rows.append(f"| `{r['model']}` | {r.get('of', 'emoji')} | {r['method']} | {shares} | {r['ms']:.0f} |")
    return "\n".join(rows)


def record_presence(rows: list[dict]) -> None:
    """Put what tests/benchmarks/localisation.py --presence measured in place of its last rows."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    fresh = {(row["model"], row["style"], row["of"]) for row in rows}
    data["presence"] = [row for row in data.get("presence", [])
                        if (row["model"], row["style"], row.get("of")) not in fresh] + rows
    RESULTS.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def presence_table(data: dict) -> str:
    """One row for each model and style."""
    rows = ["| model | pictures of | things there, said to be there | 95% | things not there, said to be there | 95% | "
            "a thing that is there scores higher |", "|---|---|---|---|---|---|---|"]
    for r in data.get("presence", []):
        shares = " | ".join(f"{percent(r[k])} of {r[of]:,} | {interval(r[k + '_low'], r[k + '_high'])}"
                            for k, of in (("true", "present"), ("false", "absent")))
        rows.append(f"| `{r['model']}` | {r['of']}, {r['style']} | {shares} | {percent(r['auc'])} |")
    return "\n".join(rows)


def drawings_table(data: dict) -> str:
    """One row for each set of drawings: what each model makes of it, and the least and most of three seeds."""
    models = list(dict.fromkeys(r["model"] for r in data["drawings"] if ", seed " not in r["model"]))
    rows = [f"| drawings | {' | '.join(models)} | three seeds |", "|---" * (len(models) + 2) + "|"]
    for what in dict.fromkeys(r["what"] for r in data["drawings"]):
        here = {r["model"]: r for r in data["drawings"] if r["what"] == what}
        cells = [f"{percent(r['top1'][0])} / {percent(r['top5'][0])} ({interval(*r['top1'][1:])})" if r else ""
                 for r in (here.get(model) for model in models)]
        seeds = [r["top1"][0] for model, r in here.items() if ", seed " in model]
        first = next(iter(here.values()))
        rows.append(f"| {what}: {first['n']:,} pictures, {first['names']:,} names | {' | '.join(cells)} | "
                    f"{interval(min(seeds), max(seeds)) if seeds else ''} |")
    return "\n".join(rows)


PROMPTS = ("one click, best of three", "one click, likeliest", "3 clicks", "5 clicks", "box", "box off by 10 %",
           "coarse mask", "fill the box", "error of the expected IoU, one click", "error of the expected IoU, 5 clicks",
           "error of the expected IoU, box")


def record_segmenter(name: str, path: Path) -> None:
    """What `clipmini segmenter --measure ... --json` wrote, under a name."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    data.setdefault("segmenter", {})[name] = json.loads(path.read_text(encoding="utf-8"))
    RESULTS.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def segmenter_table(data: dict) -> str:
    """Mean IoU by kind of prompt and of what was asked for; then what has no kinds. A column for each training."""
    def cell(found: dict, question: str) -> str:
        r = found.get(question)
        return "" if r is None else f"{r['mean']:.3f}" + (f" ({r['low']:.3f} to {r['high']:.3f})" if "low" in r else "")

    trained = data["segmenter"]
    rows = [f"| prompt | asked for | {' | '.join(trained)} |", "|---" * (len(trained) + 2) + "|"]
    for prompt in PROMPTS:
        for kind, called in (("whole", "thing"), ("part", "part"), ("subpart", "part of a part")):
            cells = " | ".join(cell(found, f"{kind}: {prompt}") for found in trained.values())
            rows.append(f"| {prompt} | {called} | {cells} |")
    first = next(iter(trained.values()))
    for question in (q for q in first if ": " not in q or q.startswith("grid")):
        rows.append(f"| {question} | | {' | '.join(cell(found, question) for found in trained.values())} |")
    return "\n".join(rows)


def record_engine(path: Path) -> None:
    """The engine.json of `clipmini segmenter --engine`, in place of the last one."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    data["engine"] = json.loads(path.read_text(encoding="utf-8"))
    RESULTS.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def engine_table(data: dict) -> str:
    """A row for each stage of the data engine."""
    asked = ("whole: one click, best of three", "whole: box", "part: box", "grid: recall at 0.5")
    rows = [f"| stage | pictures | own masks | added | their IoU | {' | '.join(asked)} |", "|---" * (5 + len(asked)) + "|"]
    for stage in data["engine"]:
        cells = [f"{f['mean']:.3f} ({f['low']:.3f} to {f['high']:.3f})" for f in (stage["found"][one] for one in asked)]
        own = f"{stage['proposed']:,} | {stage['added']:,} | {stage['iou']:.2f}" if stage["proposed"] else " | | "
        rows.append(f"| {stage['name']} | {stage['pictures']:,} | {own} | {' | '.join(cells)} |")
    return "\n".join(rows)


def record_page(found: dict) -> None:
    """What tests/benchmarks/bench_page.py measured, in place of its last table."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    RESULTS.write_text(json.dumps(data | {"page": found}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def page_table(data: dict) -> str:
    """A column for each kind of weights."""
    pages = {name: said | {"raw": said["raw"] / 1e6, "packed": said["packed"] / 1e6} for name, said in data["page"].items()}
    lines = {"files": "{raw:.2f} MB", "files, as gzip sends them": "{packed:.2f} MB",
             "first answer, empty cache, from loopback": "{answer:.1f} s", "of which the model": "{ready:.1f} s",
             "a picture": "{picture:.0f} ms", "a JPEG of 12 megapixels": "{camera:.0f} ms", "a text": "{text:.2f} ms",
             "where in the picture": "{where:.0f} ms", "a label's cosine, off by at most": "{gap:.0e}"}
    rows = [f"| | {' | '.join(pages)} |", "|---" * (len(pages) + 1) + "|"]
    return "\n".join([*rows, *(f"| {what} | {' | '.join(how.format(**said) for said in pages.values())} |"
                               for what, how in lines.items())])


def photos_table(data: dict) -> str:
    """One row for each model and set of photos."""
    rows = ["| model | photos | top-1 | 95% | top-5 | 95% | command |", "|---|---|---|---|---|---|---|"]
    for r in data.get("photos", []):
        shares = " | ".join(f"{percent(r[k][0])} | {interval(*r[k][1:])}" for k in ("top1", "top5"))
        rows.append(f"| `{r['model']}` | {r['what']}: {r['n']}, {r['names']} names | {shares} | `{r['command']}` |")
    return "\n".join(rows)


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def interval(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"


def results_table(data: dict) -> str:
    """One row for each measured thing of each run."""
    rows = ["| recipe | minutes | measured on | top-1 | top-5 | 95% of top-1 |", "|---|---|---|---|---|---|"]
    for name, run in data["runs"].items():
        for what, r in run["results"].items() if "-seed-" not in name else ():  # those are in a table of their own
            if "top1" in r:
                measured = f"{what}: {r['n']:,} pictures, {r['classes']:,} names"
                shares = f"{percent(r['top1'])} | {percent(r['top5'])} | {interval(r['top1_low'], r['top1_high'])}"
                rows.append(f"| `{name}` | {run['seconds'] / 60:.1f} | {measured} | {shares} |")
    return "\n".join(rows)


def order_table(data: dict) -> str:
    """One row for each run that was asked whether it reads the order of words."""
    rows = ["| run | steps | minutes | relation swapped | binding swapped |", "|---|---|---|---|---|"]
    for name, run in data["runs"].items():
        for r in run["results"].values():
            if "relation" in r:
                shares = f"{percent(r['relation'])} | {percent(r['binding'])}"
                rows.append(f"| `{name}` | {run['steps']:,} | {run['seconds'] / 60:.1f} | {shares} |")
    return "\n".join(rows)


def seeds_of(data: dict, name: str) -> list[dict]:
    """The run of this name, and then NAME-seed-1, NAME-seed-2 ..."""
    others = [run for key, run in data["runs"].items() if re.fullmatch(rf"{re.escape(name)}-seed-\d+", key)]
    return [data["runs"][name], *others]


def seeds_table(data: dict) -> str:
    """Runs NAME, NAME-seed-1, NAME-seed-2 ...: mean, least and most of each measured thing."""
    rows = ["| recipe | seeds | measured on | top-1 | least to most | top-5 | least to most |",
            "|---|---|---|---|---|---|---|"]
    for name in data["runs"]:
        runs = seeds_of(data, name)
        for what in runs[0]["results"] if len(runs) > 1 else ():
            cells = []
            for key in ("top1", "top5"):
                shares = [r["results"][what][key] for r in runs]
                cells += [percent(sum(shares) / len(shares)), interval(min(shares), max(shares))]
            rows.append(f"| `{name}` | {len(runs)} | {what} | {' | '.join(cells)} |")
    return "\n".join(rows)


def speed_table(data: dict) -> str:
    """What the benchmarks printed last."""
    rows = ["| what | against | ours | theirs | ratio | command |", "|---|---|---|---|---|---|"]
    columns = ("what", "against", "ours", "theirs", "ratio")
    for s in data["speed"]:
        rows.append(" | ".join(["", *(s[c] for c in columns), f"`{s['command']}`", ""]).strip())
    return "\n".join(rows)


def licence_table() -> str:
    """The sources of the pictures and words."""
    from clipmini.data import SOURCES, find

    rows = ["| style | what | package | author | licence |", "|---|---|---|---|---|"]
    for p in dict.fromkeys(package for name in SOURCES for package in find(name).packages()):
        rows.append(f"| {p.style or '(words)'} | {p.what} | {p.package} ({p.installer}) | {p.author} | {p.licence} |")
    return "\n".join(rows)


def row(rows: list[dict], **wanted) -> dict:
    """The one row that has these values. KeyError where there is none, or more than one."""
    found = [r for r in rows if wanted.items() <= r.items()]
    if len(found) != 1:
        raise KeyError(f"{len(found)} rows of results.json have {wanted}; the README's table wants one")
    return found[0]


def ten_of_the_runs(data: dict) -> list[tuple[str, str, str, str]]:
    """What trained models get right: (what, measured, how, section of results.md)."""
    runs = {name: run["results"] for name, run in data["runs"].items()}
    minutes = {name: f"{run['seconds'] / 60:.1f} minutes" for name, run in data["runs"].items()}

    def right(r: dict) -> str:
        return f"{percent(r['top1'])}% ({interval(r['top1_low'], r['top1_high'])})"

    def asked(r: dict, pictures: str) -> str:
        return f"{r['n']:,} {pictures}, {r['classes']:,} names"

    english, chinese = (runs["emoji"][f"twemoji, {key}"] for key in ("one template", "concept names in zh"))
    seeds = [run["results"]["twemoji, one template"]["top1"] for run in seeds_of(data, "emoji")]
    pip, unseen = runs["emoji-pip"]["system, one template"], runs["shapes"]["unseen combinations"]
    fashion = runs["fashion"]["test pictures, one template"]
    linear = runs["fashion-supervised"]["test pictures, linear head instead of words"]
    return [
        ("`emoji`, the model in this repository, on an art style it never saw",
         f"{right(english)}; among its first five {percent(english['top5'])}%",
         f"{asked(english, 'drawings of Twemoji')}; {len(seeds)} seeds: {interval(min(seeds), max(seeds))}", "Recipes"),
        ("the same with Chinese names", f"{right(chinese)}; among its first five {percent(chinese['top5'])}%",
         asked(chinese, "drawings of Twemoji"), "Recipes"),
        (f"`emoji-pip`, trained in {minutes['emoji-pip']} on two styles from pip", right(pip),
         asked(pip, "drawings of a font it never saw"), "Recipes"),
        ("`shapes`, on pairs of colour and shape it never saw", right(unseen),
         asked(unseen, "generated scenes"), "Recipes"),
        (f"`fashion`, trained in {minutes['fashion']} on photographs of clothes", right(fashion),
         f"{asked(fashion, 'test pictures')}; a linear head instead of words: {percent(linear['top1'])}%", "Recipes")]


def ten_of_the_rest(data: dict) -> list[tuple[str, str, str, str]]:
    """Photos, heatmaps and speed: (what, measured, how, section of results.md)."""
    sets = ("photos in wheels", "tuxpaint cut-outs")
    devise, emoji = ([row(data["photos"], model=model, what=what) for what in sets] for model in ("devise", "emoji"))
    maps = [r for r in data["heatmaps"] if r["model"] == "emoji" and r.get("of", "emoji") == "emoji"]
    best, second = sorted(maps, key=lambda r: r["pointing"], reverse=True)[:2]
    steps = [r for r in data["speed"] if r["what"] == "training step, ViT + Transformer, batch 128"]
    least, most = (choose(steps, key=lambda r: float(r["ratio"])) for choose in (min, max))
    theirs = [f"{r['theirs']} ({r['against'].removeprefix('transformers CLIPModel, ')})" for r in (least, most)]
    warm, cold = (row(data["speed"], what=f"tokenizer, 10,000 captions, {state}") for state in ("warm", "cold"))
    one, many = (row(data["speed"], what=f"ViT-B/32, {batch}, packed") for batch in ("one picture", "batch of 32"))
    return [
        ("`devise`, a second model, for photos; not a CLIP",
         " and ".join(f"{percent(r['top1'][0])}% ({interval(*r['top1'][1:])})" for r in devise),
         f"{devise[0]['n']} photos from pip packages, {devise[0]['names']} names; {devise[1]['n']} cut-outs, "
         f"{devise[1]['names']} names; `emoji`: " + " and ".join(f"{percent(r['top1'][0])}%" for r in emoji), "Photos"),
        (f"a heatmap by `{best['method']}` is brightest on the thing", f"{percent(best['pointing'])}%",
         f"{best['things']:,} things in {best['scenes']} generated scenes, {best['ms']:.0f} ms each; the next method, "
         f"`{second['method']}`: {percent(second['pointing'])}%, {second['ms']:.0f} ms", "Heatmaps"),
        ("a training step, ViT + Transformer", f"{least['ratio']} to {most['ratio']} times transformers' speed",
         f"batch 128: {least['ours']} against {' and '.join(theirs)}", "Speed"),
        ("the tokenizer", f"{warm['ratio']} times transformers' speed; {cold['ratio']} on texts new to it",
         f"10,000 captions, equal ids: {warm['ours']} against {warm['theirs']}", "Speed"),
        ("ViT-B/32 for one picture, matrices packed", f"{one['ratio']} times transformers' speed",
         f"random weights: {one['ours']} against {one['theirs']}; in batches of 32: {many['ratio']} times", "Speed")]


def ten_table(data: dict) -> str:
    """The README's one table: ten numbers, a word on how each was measured, and a link to where the others are."""
    rows = ["| what | measured | how | more |", "|---|---|---|---|"]
    for *cells, section in (*ten_of_the_runs(data), *ten_of_the_rest(data)):
        rows.append(f"| {' | '.join(cells)} | [{section}](assets/results.md#{section.lower()}) |")
    return "\n".join(rows)


def tables() -> dict[Path, dict[str, str]]:
    """Page -> name of a marker in it -> the table that belongs there."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    return {README: {"ten": ten_table(data)},
            PAGE: {"results": results_table(data), "seeds": seeds_table(data), "order": order_table(data),
                   "photos": photos_table(data), "heatmaps": heatmaps_table(data), "drawings": drawings_table(data),
                   "presence": presence_table(data), "segmenter": segmenter_table(data), "engine": engine_table(data),
                   "page": page_table(data),
                   "speed": speed_table(data), "licences": licence_table()}}


def block(name: str) -> re.Pattern:
    return re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.S)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--collect", nargs="+", type=Path, metavar="RUN", help="finished run folders")
    p.add_argument("--segmenter", nargs=2, metavar=("NAME", "FILE"), help="what was measured of a segmenter, as JSON")
    p.add_argument("--engine", type=Path, metavar="FILE", help="engine.json of a data engine")
    p.add_argument("--write", action="store_true", help="write the tables into README.md and assets/results.md")
    args = p.parse_args()
    if args.collect:
        collect(args.collect)
    if args.segmenter:
        record_segmenter(args.segmenter[0], Path(args.segmenter[1]))
    if args.engine:
        record_engine(args.engine)
    if args.write:
        for page, made in tables().items():
            text = page.read_text(encoding="utf-8")
            for name, table in made.items():
                text, found = block(name).subn(lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text)
                if not found:
                    sys.exit(f"{page.name} has no marker for the table {name!r}")
            page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
