"""Compares emoji recipes at a fixed budget on a validation style, several seeds each.

The validation style and its family are not trained on, and neither is what the recipe holds out for its report, which stays
unseen here. A variant is a name and a JSON of what it changes; "train" holds changes of TrainConfig, "data" of the
source. Finished runs are kept
in the folder and not run again, so that a sweep may be interrupted.

    python tests/benchmarks/sweep.py --steps 6000 --seeds 0 1 2 --variant 'plain={}' \\
        --variant 'wide={"vision": {"width": 48}}' --variant 'no categories={"train": {"categories": 0}}'
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

import torch

from clipmini import recipes
from clipmini.config import preset
from clipmini.data import emoji
from clipmini.embedder import Embedder
from clipmini.model import CLIP, count_parameters
from clipmini.tasks.prompts import TEMPLATES
from clipmini.tasks.questions import ask, recorded
from clipmini.training.loop import train
from clipmini.training.pairs import read_pairs


def changed(recipe: recipes.Recipe, changes: dict, seed: int, steps: int) -> recipes.Recipe:
    """The recipe with a variant's changes, a seed and a budget."""
    changes = dict(changes)
    training = replace(recipe.train, minutes=None, steps=steps, seed=seed, evaluate_every=steps)
    data = replace(recipe.data, **changes.pop("data", {}))
    return replace(recipe, data=data, train=replace(training, **changes.pop("train", {})), **changes)


def train_and_measure(recipe: recipes.Recipe, validate: str, folder: Path) -> dict:
    """Train without the validation style and the recipe's held-out one -> results on the validation style."""
    styles = [s for s in recipe.data.styles() if s not in emoji.sisters(validate)]
    data = emoji.load(styles, language=recipe.data.language)
    tokenizer = recipes.make_tokenizer(recipe, data)
    torch.manual_seed(recipe.train.seed)
    model = CLIP(preset(recipe.model, tokenizer, recipe.vision, recipe.text, **recipe.model_options))
    pairs = read_pairs(data, model.config.vision.image_size, progress=True)
    done = train(model, pairs, tokenizer, recipe.train, folder, TEMPLATES[recipe.data.templates])
    embedder = Embedder(done.average, tokenizer)
    asked = replace(recipe.data, hold_out=validate, hold_out_concepts=0).report(embedder)
    results = recorded(ask(embedder, asked))
    return {"parameters": count_parameters(model), "pictures": len(pairs), "seconds": round(done.seconds), "results": results}


def table(found: dict[str, list[dict]]) -> str:
    """A line for each variant: mean and, in brackets, the spread (largest less smallest) over its seeds, in percent."""
    names = list(next(iter(found.values()))[0]["results"])
    lines = ["| variant | seeds | parameters | minutes | " + " | ".join(names) + " |", "|---" * (4 + len(names)) + "|"]
    for variant, runs in found.items():
        cells = []
        for name in names:
            top1, top5 = ([100 * run["results"][name][key] for run in runs] for key in ("top1", "top5"))
            spread = f" ({max(top1) - min(top1):.1f})" if len(runs) > 1 else ""
            cells.append(f"{statistics.mean(top1):.1f}{spread} / {statistics.mean(top5):.1f}")
        minutes = statistics.mean(run["seconds"] for run in runs) / 60
        lines.append(f"| {variant} | {len(runs)} | {runs[0]['parameters']:,} | {minutes:.1f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe", default="emoji", help="what the variants change (default: emoji)")
    p.add_argument("--variant", action="append", required=True, metavar="NAME=JSON", help="repeatable")
    p.add_argument("--steps", type=int, default=6000, help="budget of each run (default 6000)")
    p.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0 alone")
    p.add_argument("--validate", default="fluent-emoji-flat", help="art style to compare on (default: fluent-emoji-flat)")
    p.add_argument("--folder", type=Path, default=Path("runs/sweep"), help="where runs are kept (default: runs/sweep)")
    args = p.parse_args()
    found: dict[str, list[dict]] = {}
    for variant in args.variant:
        name, _, changes = variant.partition("=")
        for seed in args.seeds:
            recipe = changed(recipes.RECIPES[args.recipe], json.loads(changes or "{}"), seed, args.steps)
            folder = args.folder / f"{name}-{args.steps}-{seed}"
            kept = folder / "sweep.json"
            if not kept.is_file():
                print(f"{name}, seed {seed}", flush=True)
                result = train_and_measure(recipe, args.validate, folder)
                kept.write_text(json.dumps(result, indent=1))
            found.setdefault(name, []).append(json.loads(kept.read_text()))
        print(table(found), flush=True)


if __name__ == "__main__":
    main()
