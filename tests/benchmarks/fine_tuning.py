"""Fine-tuning the embedded model on half of the words of Art4Apps' cartoons, and what that does for the other half.

    apt-get download pysiogame && dpkg -x pysiogame_*.deb drawings
    python tests/benchmarks/fine_tuning.py drawings --steps 300

585 cartoons of as many words in 12 categories. Every second word, by its checksum, is trained on, with its category as a
second caption. Then, for the model as it was, with every weight trained (full), with LoRA, and with the image tower frozen:
held-out words by name among themselves; held-out pictures by category, zero-shot and by a linear probe on the trained
half; and Twemoji before and after. The curve of WiSE-FT is in each run's folder, chosen on a tenth of the trained half.
"""

import argparse
import csv
import json
import zlib
from dataclasses import replace
from pathlib import Path

import torch
from held_out_drawings import art4apps

import clipmini
from clipmini import recipes
from clipmini.data.own import Asked
from clipmini.embedder import Embedder
from clipmini.tasks import probe
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.metrics import wilson

CATEGORY = {"actions": "action", "animals": "animal", "body": "part of the body", "clothes_n_accessories": "clothes",
            "construction": "building", "food": "food", "fruit_n_veg": "fruit or vegetable", "jobs": "job",
            "nature": "nature", "people": "person", "sport": "sport", "transport": "vehicle"}
WAYS = {"full": {}, "LoRA, rank 8": {"lora": 8}, "text tower alone": {"rates": (("image", 0.0),)}}


def halves(folder: Path) -> tuple[list, list]:
    """(path, word, category) of the words that are trained on, and of the others."""
    paths, words, _ = art4apps(folder)
    rows = [(path, word, CATEGORY[path.parent.name]) for path, word in zip(paths, words, strict=True)]
    return ([row for row in rows if zlib.crc32(row[1].encode()) % 2 == 0],
            [row for row in rows if zlib.crc32(row[1].encode()) % 2])


def share(right: torch.Tensor) -> str:
    """A share with its interval."""
    found, n = right.double().mean().item(), len(right)
    low, high = wilson(found, n)
    return f"{found:.1%} [{low:.1%}, {high:.1%}]"


def measured(model: Embedder, trained: list, held: list) -> dict[str, str]:
    """What a model knows of the held-out half."""
    before, after = (model.embed_images([path for path, *_ in rows]) for rows in (trained, held))
    words = [word for _, word, _ in held]
    ranks = (after @ build_classifier(model, words, "plain").t()).argsort(dim=1, descending=True)
    place = (ranks == torch.arange(len(words))[:, None]).int().argmax(dim=1)
    names = sorted(set(CATEGORY.values()))
    theirs, mine = (torch.tensor([names.index(category) for *_, category in rows]) for rows in (held, trained))
    zero = (after @ build_classifier(model, names, "plain").t()).argmax(dim=1) == theirs
    probed = probe.probed(before, mine, after, theirs)
    return {"held-out words, top-1": share(place == 0), "top-5": share(place < 5), "category, zero-shot": share(zero),
            "category, probe": f"{probed.share:.1%} [{probed.low:.1%}, {probed.high:.1%}]"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where dpkg -x put the package")
    parser.add_argument("--steps", type=int, default=300, help="of each training (default 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/art4apps"), help="folder of the runs")
    args = parser.parse_args()
    trained, held = halves(args.folder)
    args.out.mkdir(parents=True, exist_ok=True)
    table = args.out / "trained.csv"
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "text"])
        writer.writerows((path.relative_to(args.folder), text) for path, word, category in trained for text in (word, category))
    print(f"{len(trained)} cartoons to train on, {len(held)} held out, {len(set(CATEGORY.values()))} categories")
    print("as it was:", *(f"{k} {v}" for k, v in measured(clipmini.load("emoji"), trained, held).items()), sep="\n  ")
    for way, options in WAYS.items():
        place = args.out / f"{way.split(',')[0].replace(' ', '-')}-{args.seed}"
        recipe = recipes.customised(recipes.choose(None, str(table)), init="emoji", steps=args.steps, seed=args.seed, batch=64,
                                    evaluate_every=50, **recipes.FINE_TUNING, **options)
        recipe = replace(recipe, data=replace(recipe.data, asked=Asked(root=args.folder)))  # where the paths begin
        _, results = recipes.run(recipe, place, progress=False)
        twemoji = [f"{results[f'{when}, emoji, twemoji, one template']['top1']:.1%}" for when in ("before", "after")]
        mixes = json.loads((place / "final" / "config.json").read_text(encoding="utf-8"))["meta"]["wise_ft"]
        print(f"{way}:", *(f"{k} {v}" for k, v in measured(clipmini.load(place / "final"), trained, held).items()),
              f"Twemoji before and after: {' and '.join(twemoji)}",
              f"WiSE-FT keeps the share {next(row['share'] for row in mixes if row['kept']):g}; Twemoji by share: "
              + ", ".join(f"{row['share']:g}: {row['reference']:.1%}" for row in mixes), sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
