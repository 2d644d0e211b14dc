"""Does a model recognise photos it was never tuned on? Two small test sets, fixed before anything was measured.

    python tests/benchmarks/photos.py --model devise                       # the photos in three wheels of pip
    python tests/benchmarks/photos.py --model devise --tuxpaint FOLDER     # and photo cut-outs of Debian's Tux Paint

Wants scikit-image, scikit-learn and gradio. FOLDER: where `dpkg -x tuxpaint-stamps-default_*.deb FOLDER` unpacked them.
Works for every name that clipmini.load takes. Names are offered as they are, in the templates that the model's own card
names. Intervals: 95 %, Wilson.
"""

import argparse
import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

LIST = Path(__file__).with_name("tuxpaint_photos.tsv")
STAMPS = Path("usr/share/tuxpaint/stamps")
WHEELS = {  # every photograph in these wheels but exact copies, microscope slides and test charts
    "skimage/data": {
        "astronaut.png": "astronaut", "brick.png": "brick wall", "camera.png": "photographer", "chelsea.png": "cat",
        "coffee.png": "coffee", "coins.png": "coins", "grass.png": "grass", "gravel.png": "gravel",
        "hubble_deep_field.jpg": "galaxies", "moon.png": "moon", "motorcycle_left.png": "motorcycle",
        "motorcycle_right.png": "motorcycle", "page.png": "page of text", "retina.jpg": "retina", "rocket.jpg": "rocket"},
    "sklearn/datasets/images": {"china.jpg": "temple", "flower.jpg": "flower"},
    "gradio": {"media_assets/images/cheetah.jpg": "cheetah", "media_assets/images/cheetah1.jpg": "cheetah",
               "test_data/cheetah2.jpg": "cheetah", "media_assets/images/lion.jpg": "lion",
               "media_assets/images/tower.jpg": "tower"},
}
DISTRACTORS = """dog, horse, elephant, bird, fish, butterfly, tiger, bear, car, bicycle, airplane, boat, train, house, bridge,
mountain, beach, tree, pizza, apple, chair, computer, guitar, shoe, clock, umbrella, ball""".replace("\n", " ").split(", ")

COLOURFUL = 8.0  # distinct colours, at 5 bits a channel, for each square root of an opaque pixel
DRAWN = {  # colourful, but drawings when looked at; and one whose caption does not say what it is
    "animals/mammals/cats/cartoon/lion.png", "seasonal/easter/daffodil.png", "seasonal/easter/wrapped_chocolate_easter_egg.png",
    "seasonal/easter/wrapped_chocolate_easter_egg_2.png", "town/roadsigns/no_uturn.png", "town/roadsigns/xing_school.png",
    "vehicles/construction/cartoon/cementMixer.png", "vehicles/construction/cartoon/towTruck.png",
    "vehicles/flight/cartoon/eddieCopter.png", "military/vehicles/ww2_german_gun.png"}


def package_photos() -> tuple[list[Path], list[str], list[str]]:
    """22 photos in the wheels of scikit-image, scikit-learn and gradio -> (paths, their names, 46 candidate names)."""
    paths, names = [], []
    for place, photos in WHEELS.items():
        package, _, inside = place.partition("/")
        if find_spec(package) is None:
            raise SystemExit(f"the photos of the wheel {package!r} are wanted: pip install scikit-image scikit-learn gradio")
        folder = Path(next(iter(find_spec(package).submodule_search_locations))) / inside
        paths += [folder / file for file in photos]
        names += photos.values()
    return paths, names, [*dict.fromkeys(names), *DISTRACTORS]


def tuxpaint_photos(folder: Path) -> tuple[list[Path], list[str], list[str]]:
    """The photo cut-outs of tuxpaint_photos.tsv -> (paths, their names, the distinct names as candidates)."""
    return listed(LIST, folder)


def listed(table: Path, folder: Path) -> tuple[list[Path], list[str], list[str]]:
    """A list of Tux Paint's stamps, a file and a name a line -> (paths, their names, the distinct names as candidates)."""
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    names = [name for _, name in rows]
    return [Path(folder) / STAMPS / file for file, _ in rows], names, list(dict.fromkeys(names))


def colourfulness(path: Path) -> float:
    """Distinct colours of the opaque pixels, at 5 bits a channel, over the square root of their number."""
    rgba = np.asarray(Image.open(path).convert("RGBA"))
    levels = rgba[rgba[..., 3] > 200][:, :3].astype(int) >> 3
    return len(np.unique(levels @ np.array([1024, 32, 1]))) / max(1, len(levels)) ** 0.5 if len(levels) >= 50 else 0.0


def short_name(caption: str) -> str:
    """The thing itself: no article, nothing after a verb, a bracket or a stop.

    >>> short_name("A peacock (a male peafowl).")
    'peacock'
    """
    caption = re.sub(r"^Eat your ", "", caption.strip("“”\"' "))
    caption = re.split(r" (?:is|are|resembles|from|used in|making) |[,(.!]", caption)[0]
    return re.sub(r"^(?:a pair of|an?|the) ", "", caption.strip("“”\"' "), flags=re.I)


def make_list(folder: Path) -> str:
    """The text of tuxpaint_photos.tsv: what the rule above chooses."""
    root, rows = Path(folder) / STAMPS, []
    for path in sorted(root.rglob("*.png")):
        file, text = path.relative_to(root).as_posix(), path.with_suffix(".txt")
        if not file.startswith("symbols/") and file not in DRAWN and text.exists() and colourfulness(path) >= COLOURFUL:
            rows.append(f"{file}\t{short_name(text.read_text(encoding='utf-8', errors='replace').splitlines()[0])}")
    return "\n".join(["# Photo cut-outs among Tux Paint's stamps, by the rule in photos.py: file, name", *rows, ""])


def ask(embedder, pictures, names, candidates, paths=None) -> dict:
    """Every picture against every candidate -> {"n", "names", "top1", "top5" as (share, low, high), "answers"}. paths: of
    the pictures, where these are not paths themselves."""
    from clipmini.tasks.classify import build_classifier
    from clipmini.tasks.metrics import wilson

    texts = build_classifier(embedder, candidates, embedder.meta.get("templates", "emoji"))
    paths, cosines = paths or pictures, embedder.embed_images(pictures) @ texts.t()  # (N, K)
    best = cosines.topk(5, dim=1).indices.tolist()
    first = [[candidates[j] for j in row] for row in best]
    result = {"n": len(names), "names": len(candidates)}
    for k in (1, 5):
        share = sum(name in row[:k] for name, row in zip(names, first, strict=True)) / len(names)
        result[f"top{k}"] = (share, *wilson(share, len(names)))
    return result | {"answers": {f"{p.parent.name}/{p.name}": (n, row) for p, n, row in zip(paths, names, first, strict=True)}}


def told(model: str, what: str, r: dict) -> str:
    """What `ask` found, in a line."""
    shares = "; ".join(f"top-{k} {r[f'top{k}'][0]:.1%} [{r[f'top{k}'][1]:.1%}, {r[f'top{k}'][2]:.1%}]" for k in (1, 5))
    return f"{model}, {what}: {r['n']} pictures, {r['names']} names; {shares}"


def main() -> None:
    import clipmini

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="devise", help="what clipmini.load takes (default: devise)")
    p.add_argument("--tuxpaint", type=Path, metavar="FOLDER", help="where the Debian package was unpacked")
    p.add_argument("--make-list", action="store_true", help="choose the cut-outs anew and write tuxpaint_photos.tsv")
    p.add_argument("--record", action="store_true", help="put the numbers into assets/results.json")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    args = p.parse_args()
    if args.make_list:
        LIST.write_text(make_list(args.tuxpaint), encoding="utf-8")
        return
    embedder, results = clipmini.load(args.model), {}
    sets = {"photos in wheels": package_photos()}
    if args.tuxpaint:
        sets["tuxpaint cut-outs"] = tuxpaint_photos(args.tuxpaint)
    for what, (paths, names, candidates) in sets.items():
        r = results[what] = ask(embedder, paths, names, candidates)
        for file, (name, first) in r["answers"].items():
            print(f"  {'+' if name == first[0] else '5' if name in first else '-'} {file}: {name} | {', '.join(first)}")
        print(told(args.model, what, r))
    if args.record:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from readme_tables import record_photos

        command = f"python tests/benchmarks/photos.py --model {args.model}" + " --tuxpaint FOLDER" * bool(args.tuxpaint)
        kept = ("n", "names", "top1", "top5")
        record_photos([{"model": args.model, "what": what, **{k: r[k] for k in kept}, "command": command}
                       for what, r in results.items()])
    if args.json:
        args.json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
