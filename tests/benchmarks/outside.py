"""Does a model know what it was not taught? The area under the ROC curve (AUROC) of its probability "outside".

    python tests/benchmarks/outside.py drawings                          # folder: see held_out_drawings.py
    python tests/benchmarks/outside.py drawings --model RUN/final --learn # first write taught.safetensors there

Inside: every fifth picture of Twemoji, a style that is never trained on, in colour and as lines. Outside: photographs (in
wheels of pip, and Tux Paint's cut-outs), noise and printed text of other kinds than those it learnt from, shades, and
drawings of Art4Apps whose words no caption has. Wants what photos.py wants.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from held_out_drawings import art4apps
from photos import package_photos, tuxpaint_photos
from PIL import Image, ImageDraw, ImageFont

WORDS = """the of and a to in is you that it he was for on are as with his they at be this have from or one had by word but not
what all were we when your can said there use an each which she do how their if will up other about out many then""".split()


def inside() -> dict[str, list]:
    """Twemoji in colour and as lines, on white."""
    from clipmini.data import emoji

    rows = emoji.load(["twemoji", "twemoji-lines"])
    styles = rows["style"][:]
    return {style: [rows[i]["image"] for i in [k for k, s in enumerate(styles) if s == style][::5]]
            for style in ("twemoji", "twemoji-lines")}


def outside(folder: Path, taught) -> dict[str, list]:
    """Pictures of what no model of drawings was taught."""
    from clipmini.tasks.outside import new_words

    rng = np.random.default_rng(5)

    def dots(share: float):
        return Image.fromarray((rng.random((96, 96)) < share).astype(np.uint8) * 255).convert("RGB")

    def waves():
        x, y = np.meshgrid(np.arange(96), np.arange(96))
        waves = sum(np.sin(x * rng.normal() + y * rng.normal() + rng.random() * 6) for _ in range(4))
        return Image.fromarray(np.uint8((waves + 4) * 31)).convert("RGB")

    def page(height: int, dark: bool):
        picture = Image.new("RGB", (240, 240), "black" if dark else "white")
        pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=height)
        for y in range(10, 230, height + 6):
            pen.text((8, y), " ".join(rng.choice(WORDS, 80 // height + 1)), fill="white" if dark else "black", font=font)
        return picture

    def shade(angle: int):
        ramp = np.linspace(0, 255, 96)[None].repeat(96, 0).astype(np.uint8)
        return Image.fromarray(ramp).convert("RGB").rotate(angle, fillcolor="gray")

    paths, names, _ = art4apps(folder)
    unnamed = [path for path, name in zip(paths, names, strict=True) if len(new_words(taught, name)) == len(name.split())]
    return {"photos": [*package_photos()[0], *tuxpaint_photos(folder)[0]],
            "noise": [dots(s) for s in np.linspace(0.1, 0.9, 30)] + [waves() for _ in range(50)],
            "text": [page(size, k % 2 == 1) for k in range(30) for size in (12, 20, 36)],
            "shades": [shade(angle) for angle in range(0, 360, 20)], "things without a name": unnamed}


def auroc(inside: np.ndarray, outside: np.ndarray) -> tuple[float, float, float]:
    """(area, low, high): the interval of 95 % by 1,000 bootstraps."""
    from sklearn.metrics import roc_auc_score

    truth, score = np.r_[np.zeros(len(inside)), np.ones(len(outside))], np.r_[inside, outside]
    rng, areas = np.random.default_rng(0), []
    for _ in range(1000):
        rows = np.r_[rng.integers(0, len(inside), len(inside)), len(inside) + rng.integers(0, len(outside), len(outside))]
        areas.append(roc_auc_score(truth[rows], score[rows]))
    return roc_auc_score(truth, score), *np.quantile(areas, [0.025, 0.975])


def learn(folder: Path, name: str | None) -> None:
    """Write taught.safetensors into a checkpoint folder, from the data of its recipe."""
    import clipmini
    from clipmini import recipes
    from clipmini.tasks.outside import FILE, as_file
    from clipmini.training import read_pairs

    embedder = clipmini.load(folder)
    asked = embedder.meta.get("recipe", {"name": name, "train": {"seed": 0}})
    recipe = recipes.customised(recipes.choose(name or asked["name"]), seed=asked["train"]["seed"])
    data = recipe.data.training_rows(embedder.config.vision.image_size, recipe.train.seed)
    training, held = recipes.split(data, min(recipes.VALIDATION_ROWS, len(data) // 10), recipe.train.seed)
    pairs = read_pairs(training, embedder.config.vision.image_size, progress=True)
    (folder / FILE).write_bytes(as_file(recipes.taught(recipe, embedder, pairs, held)))


def main() -> None:
    import clipmini
    from clipmini.embedder import assets_folder
    from clipmini.tasks.outside import probability, taught_of

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path, help="where the Debian packages were unpacked")
    p.add_argument("--model", default="emoji", help="what clipmini.load takes (default: emoji)")
    p.add_argument("--learn", action="store_true", help="write taught.safetensors into the model's folder first")
    p.add_argument("--recipe", metavar="NAME", help="whose data to learn it from (default: the one that the model's card names)")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    args = p.parse_args()
    if args.learn:
        learn(Path(args.model) if Path(args.model).is_dir() else assets_folder() / args.model, args.recipe)
    embedder = clipmini.load(args.model)
    taught = taught_of(embedder)
    if taught is None:
        raise SystemExit(f"{args.model} has no taught.safetensors; write it with --learn")

    def score(pictures) -> np.ndarray:
        return probability(taught, embedder.embed_images(pictures)).numpy()

    within = {name: score(pictures) for name, pictures in inside().items()}
    without = {name: score(pictures) for name, pictures in outside(args.folder, taught).items()}
    results = {}
    for what, scores in {**{f"{a} against {b}": (within[a], without[b]) for a in within for b in without},
                         **{f"{a} against all": (within[a], np.concatenate([*without.values()])) for a in within},
                         "all against all": (np.concatenate([*within.values()]), np.concatenate([*without.values()]))}.items():
        area, low, high = results[what] = auroc(*scores)
        print(f"{args.model}, {what}: {len(scores[0])} and {len(scores[1])} pictures, AUROC {area:.3f} [{low:.3f}, {high:.3f}]")
    for name, found in {**within, **without}.items():
        print(f"called outside (above {taught.limit:.2f}): {np.mean(found > taught.limit):.1%} of {name}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
