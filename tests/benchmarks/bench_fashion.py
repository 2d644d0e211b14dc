"""What words cost: a finished run of the recipe fashion against a supervised network with the same image tower.

The twin sees the same pictures in the same order with the same augmentation, for as many steps with the same optimiser,
schedule and averaged weights. Only its end differs: ten outputs and cross-entropy, where the run has a text tower.

    clipmini train fashion --minutes 3
    python tests/benchmarks/bench_fashion.py runs/fashion            # --record: into assets/results.json
"""

import argparse
import copy
import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tqdm import tqdm

from clipmini.data import fashion
from clipmini.embedder import load
from clipmini.recipes import RECIPES, VALIDATION_ROWS, customised, split
from clipmini.tasks.metrics import wilson
from clipmini.training.config import current_names
from clipmini.training.pairs import make_batch, read_pairs
from clipmini.training.step import keep_freed_memory, learning_rate, make_optimizer, mixed_precision, update_average
from clipmini.vision import build_vision


def train_twin(recipe, embedder, pairs, steps: int) -> torch.nn.Module:
    """The supervised network after `steps` steps, as the average of its weights."""
    config = customised(recipe, steps=steps).train
    torch.manual_seed(config.seed)
    twin = build_vision(embedder.config.vision, len(fashion.KINDS))  # the tower's projection is the linear head
    average = copy.deepcopy(twin).eval()
    optimizer = make_optimizer(twin.train(), config)
    for step in tqdm(range(steps), unit="step"):
        batch = make_batch(pairs, embedder.tokenizer, embedder.model, config, step, steps)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step, steps)
        with mixed_precision(config):
            logits = twin(batch.pixels)
        F.cross_entropy(logits.float(), batch.groups).backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), config.grad_clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        update_average(average, twin, config.ema, step)
    return average


@torch.inference_mode()
def measure_twin(twin: torch.nn.Module, embedder, dataset) -> dict:
    """Its accuracy in the form of recipes.record."""
    pixels, labels = embedder.pixels([row["image"] for row in dataset]), torch.tensor(dataset["label"][:])
    best = torch.cat([twin(part) for part in pixels.split(256)]).topk(5).indices
    hit = best == labels[:, None]
    top1, top5 = hit[:, 0].float().mean().item(), hit.any(1).float().mean().item()
    low, high = wilson(top1, len(labels))
    recall = torch.stack([hit[labels == k, 0].float().mean() for k in labels.unique()]).mean().item()
    return {"n": len(labels), "classes": len(fashion.KINDS), "top1": top1, "top5": top5, "top1_low": low, "top1_high": high,
            "mean_per_class_recall": recall}


def main() -> None:
    """Train the twin and print both, side by side."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=Path, help="folder of a finished run of the recipe fashion")
    p.add_argument("--record", action="store_true", help="put run and twin into assets/results.json")
    args = p.parse_args()
    embedder = load(args.run / "final", "cpu")
    meta = embedder.meta
    training = {k: v for k, v in current_names(meta["recipe"]["train"]).items() if k not in ("steps", "minutes")}
    data = meta["recipe"]["data"]
    folder = data["folder"] if isinstance(data, dict) else meta["recipe"]["folder"]  # cards of 0.1.0 kept it there
    recipe = customised(RECIPES["fashion"], steps=meta["steps"], **training)
    rows, _ = split(fashion.load("train", folder), VALIDATION_ROWS, recipe.train.seed)
    pairs = read_pairs(rows, embedder.config.vision.image_size, progress=True)
    keep_freed_memory()
    began = time.perf_counter()
    twin = train_twin(recipe, embedder, pairs, meta["steps"])
    seconds = round(time.perf_counter() - began)
    found = measure_twin(twin, embedder, fashion.load("test", folder))
    print(f"{meta['steps']:,} steps of {recipe.train.batch} pictures, {found['n']:,} test pictures, ten kinds")
    for name, took, r in [*((name, meta["seconds"], r) for name, r in meta["results"].items()), ("linear head", seconds, found)]:
        print(f"{name:<30} {took / 60:4.1f} minutes   top-1 {r['top1']:.1%} [{r['top1_low']:.1%}, {r['top1_high']:.1%}]")
    if args.record:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from readme_tables import RESULTS, collect

        collect([args.run])
        data = json.loads(RESULTS.read_text(encoding="utf-8"))
        data["runs"][f"{args.run.name}-supervised"] = {
            "command": f"python tests/benchmarks/bench_fashion.py runs/{args.run.name}", "data": meta["data"],
            "pictures": len(pairs), "steps": meta["steps"], "seconds": seconds,
            "results": {"test pictures, linear head instead of words": found}}
        RESULTS.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
