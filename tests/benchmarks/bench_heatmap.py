"""What a value-path heatmap costs beside a plain embedding of the same picture: emoji-vit, and a full-size ViT-B/32
with random weights. Alternating rounds in one process; the median of the round-by-round ratios is what counts.

    python tests/benchmarks/bench_heatmap.py
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

import clipmini
from clipmini.config import preset
from clipmini.model import CLIP
from clipmini.tasks.heatmap.methods import square


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=40, help="alternating rounds (default 40)")
    p.add_argument("--record", action="store_true", help="put the ratios into assets/results.json")
    args = p.parse_args()
    torch.manual_seed(0)
    rows = []
    models = {"emoji-vit": clipmini.load("emoji-vit", device="cpu").model, "ViT-B/32": CLIP(preset("ViT-B/32")).eval()}
    for name, model in models.items():
        side, texts = model.config.vision.image_size, torch.randn(3, model.config.embed_dim)
        pixels = torch.randn(1, 3, side, side)
        sides = {"plain": lambda m=model, x=pixels: m.encode_image(x),
                 "value": lambda m=model, x=pixels, t=texts: square((m.visual.value_cells(x)[0] @ t.t()).t())}
        times = {key: [] for key in sides}
        with torch.inference_mode():
            for _ in range(args.rounds + 3):
                for key, run in sides.items():
                    start = time.perf_counter()
                    run()
                    times[key].append(1000 * (time.perf_counter() - start))
        ratio = statistics.median(v / p for v, p in zip(times["value"][3:], times["plain"][3:], strict=True))
        ours, plain = (statistics.median(times[key][3:]) for key in ("value", "plain"))
        print(f"{name}: heatmap {ours:.2f} ms, plain embedding {plain:.2f} ms, {ratio:.2f} times")
        rows.append({"what": f"value-path heatmap, {name}", "against": "a plain embedding (lower is better)",
                     "ours": f"{ours:.2f} ms", "theirs": f"{plain:.2f} ms", "ratio": f"{ratio:.2f}",
                     "command": "python tests/benchmarks/bench_heatmap.py"})
    if args.record:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from readme_tables import record_speed

        record_speed(rows)


if __name__ == "__main__":
    main()
