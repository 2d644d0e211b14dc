"""Which heatmap finds the thing? Every method on generated scenes of two to four emoji, whose masks are exact.

    python tests/benchmarks/localisation.py                          # the held-out style, looked at once
    python tests/benchmarks/localisation.py --style noto --seed 1    # to try something out
    python tests/benchmarks/localisation.py --presence               # is it there at all? Things against absent ones
    python tests/benchmarks/localisation.py --of shapes --model runs/shapes/final    # two coloured shapes a scene

The phrase is the thing's name. The scenes' styles are none that the model saw, unless you name one.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import clipmini
from clipmini.data import emoji, scenes, shapes
from clipmini.image import open_image
from clipmini.tasks.heatmap import METHODS, HeatmapError, localise, presence_rates


def scenes_of_shapes(n: int, seed: int) -> list[scenes.Scene]:
    """n scenes of two coloured shapes; a thing is called by its colour and shape."""
    made = (shapes.scene(10**6 + seed * 10**5 + i, 96, objects=2) for i in range(n))
    return [scenes.Scene(Image.fromarray(s.image).resize((scenes.SIDE,) * 2, Image.Resampling.NEAREST),
                         tuple(scenes.Thing(f"{t.colour} {t.shape}", grown(t.mask)) for t in s.objects)) for s in made]


def grown(mask):
    """A mask at the side of a scene."""
    return np.array(Image.fromarray(mask).resize((scenes.SIDE,) * 2, Image.Resampling.NEAREST))


def measure(embedder, rooms, method: str) -> dict | None:
    """Mean scores of a method, or None where it knows nothing to do with this tower."""
    try:
        found = localise(embedder, rooms, method)
    except HeatmapError:
        return None
    return {"things": found.pop("n"), **{k: v for k, v in found.items() if k not in ("method", "pointing_low", "pointing_high")}}


def of_one_thing(drawings, n: int, seed: int) -> list[scenes.Scene]:
    """n drawings that fill the picture, as scenes of one thing."""
    chosen = np.random.default_rng(seed).permutation(len(drawings))[:n].tolist()
    return [scenes.Scene(open_image(drawings[i]["image"].resize((scenes.SIDE,) * 2)),
                         (scenes.Thing(drawings[i]["captions"][0], np.ones((scenes.SIDE,) * 2, bool)),)) for i in chosen]


def who_is_there(models: list[str], styles: list[str], n: int, seed: int) -> list[dict]:
    """Rates of each model on n scenes, and on n drawings of one thing, four absent things beside the things of each."""
    drawings, rows = emoji.load(styles), []
    for of, rooms in (("scenes", scenes.make(drawings, n, seed)), ("one thing", of_one_thing(drawings, n, seed))):
        absent = scenes.absent_names(drawings, rooms, seed=seed)
        for name in models:
            r = presence_rates(clipmini.load(name, device="cpu"), rooms, absent)
            print(f"{name:<12}{of:<12}there {r['true']:.1%} of {r['present']}; not there {r['false']:.1%} of "
                  f"{r['absent']}; AUC {r['auc']:.3f}", flush=True)
            rows.append({"model": Path(name).parent.name or name, "style": " ".join(styles), "of": of, **r})
    return rows


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", nargs="+", default=["emoji", "emoji-vit"], help="default: emoji emoji-vit")
    p.add_argument("--of", choices=("emoji", "shapes"), default="emoji", help="what is in the scenes (default: emoji)")
    p.add_argument("--style", action="append", help="art style of the things (default: twemoji, which both never saw)")
    p.add_argument("--scenes", type=int, default=500, help="how many (default 500)")
    p.add_argument("--seed", type=int, default=0, help="of the scenes (default 0)")
    p.add_argument("--method", nargs="+", default=list(METHODS), choices=METHODS)
    p.add_argument("--presence", action="store_true", help="is it there at all? (windows; emoji only)")
    p.add_argument("--record", action="store_true", help="put the table into assets/results.json")
    args = p.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from readme_tables import record_heatmaps, record_presence

    if args.presence:
        rows = who_is_there(args.model, args.style or ["twemoji"], args.scenes, args.seed)
        return record_presence(rows) if args.record else None
    rooms = scenes_of_shapes(args.scenes, args.seed) if args.of == "shapes" else \
        scenes.make(emoji.load(args.style or ["twemoji"]), args.scenes, args.seed)
    rows = []
    print(f"{'model':<12}{'method':<12}{'pointing':>9}{'on mask':>9}{'IoU':>7}{'AP':>7}{'ms':>7}")
    for name in args.model:
        embedder = clipmini.load(name, device="cpu")
        for method in args.method:
            if (r := measure(embedder, rooms, method)) is None:
                print(f"{name:<12}{method:<12}  not for this tower")
                continue
            print(f"{name:<12}{method:<12}{r['pointing']:>9.1%}{r['on_mask']:>9.1%}{r['iou']:>7.3f}"
                  f"{r['average_precision']:>7.3f}{r['ms']:>7.0f}", flush=True)
            rows.append({"model": Path(name).parent.name or name, "of": args.of, "method": method, **r})
    if args.record:
        record_heatmaps(rows)


if __name__ == "__main__":
    main()
