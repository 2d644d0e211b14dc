"""Seconds for the text vectors of 100 classes x 80 templates with ViT-B/32's text tower, random weights: our prefix
tree against the plain way, every prompt padded to 77 tokens, batch by batch, and against batches trimmed to their
longest.

    python tests/benchmarks/bench_text.py

Alternating rounds in one process; the median of the round-by-round ratios is what counts.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

from clipmini.config import preset
from clipmini.data.classnames import CLASS_NAMES, PUBLISHED_TEMPLATES
from clipmini.families.vocabularies import released_merges
from clipmini.model import unit
from clipmini.text import build_text
from clipmini.tokenizer import Tokenizer


def plain(tower, tokenizer, lists: list[list[int]], batch: int, width: int | None = 77) -> torch.Tensor:
    """Unit vectors, every list padded to `width` tokens, or to the longest of its batch."""
    found = []
    for start in range(0, len(lists), batch):
        rows = lists[start:start + batch]
        ids = torch.full((len(rows), width or max(map(len, rows))), tokenizer.pad_id)
        for row, values in zip(ids, rows, strict=True):
            row[:len(values)] = torch.tensor(values)
        found.append(unit(tower(ids)))
    return torch.cat(found)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--classes", type=int, default=100, help="how many of CIFAR-100's class names (default 100)")
    p.add_argument("--rounds", type=int, default=3, help="alternating rounds (default 3)")
    p.add_argument("--record", action="store_true", help="put the ratios into assets/results.json")
    args = p.parse_args()
    path = released_merges()
    if path is None:
        sys.exit("the released vocabulary is not here: pip install --no-deps open_clip_torch")
    tokenizer = Tokenizer.from_merges_file(path)
    torch.manual_seed(0)
    config = preset("ViT-B/32", tokenizer)
    tower = build_text(config.text, config.embed_dim).eval()
    prompts = [template.replace("{}", name) for name in CLASS_NAMES["cifar100"][:args.classes]
               for template in PUBLISHED_TEMPLATES["openai80"]]
    lists = tokenizer.token_lists(prompts)
    sides = {"padded to 77": lambda: plain(tower, tokenizer, lists, 80),
             "trimmed": lambda: plain(tower, tokenizer, lists, 80, None),
             "clipmini": lambda: unit(tower.forward_lists(lists))}
    times, vectors = {name: [] for name in sides}, {}
    with torch.no_grad():
        for _ in range(args.rounds):
            for name, run in sides.items():
                start = time.perf_counter()
                vectors[name] = run()
                times[name].append(time.perf_counter() - start)
    print(f"{len(prompts):,} prompts, {torch.get_num_threads()} threads")
    ratio = {name: statistics.median(t / o for t, o in zip(times[name], times["clipmini"], strict=True))
             for name in sides}
    middle = {name: statistics.median(times[name]) for name in sides}
    for name in sides:
        difference = (vectors[name] - vectors["clipmini"]).abs().max().item()
        print(f"{name:<14}{middle[name]:8.1f} s {ratio[name]:7.1f}x   largest difference {difference:.1e}")
    if args.record:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from readme_tables import record_speed

        common = {"what": f"{args.classes} classes x 80 templates, ViT-B/32's text tower",
                  "ours": f"{middle['clipmini']:.1f} s", "command": "python tests/benchmarks/bench_text.py"}
        record_speed([{**common, "against": f"the same tower, {name}", "theirs": f"{middle[name]:.1f} s",
                       "ratio": f"{ratio[name]:.1f}"} for name in ("padded to 77", "trimmed")])


if __name__ == "__main__":
    main()
