"""Milliseconds for pictures through a full-size ViT-B/32, random weights: ours against transformers' sdpa model, in
batches of 32 and one at a time; ours with packed matrices, and in int8, with the cosine to float32.

    python tests/benchmarks/bench_vit.py

Alternating rounds in one process; the median of the round-by-round ratios is what counts.
"""

import argparse
import copy
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
import torch.nn.functional as F
from transformers import CLIPConfig as TheirConfig
from transformers import CLIPModel

from clipmini.config import preset
from clipmini.families.hugging_face import hugging_face_config, to_hugging_face
from clipmini.families.packed import int8, pack
from clipmini.model import CLIP


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=15, help="alternating rounds (default 15)")
    p.add_argument("--record", action="store_true", help="put the ratios into assets/results.json")
    args = p.parse_args()
    torch.manual_seed(0)
    ours = CLIP(preset("ViT-B/32")).eval()
    theirs = CLIPModel(TheirConfig(**hugging_face_config(ours.config))).eval()
    theirs.load_state_dict(to_hugging_face(ours.state_dict()))
    small, packed, rows = int8(ours), pack(copy.deepcopy(ours)), []
    sides = {"transformers": lambda x: F.normalize(theirs.get_image_features(pixel_values=x).pooler_output, dim=-1),
             "int8": small.encode_image, "packed": packed.encode_image, "clipmini": ours.encode_image}
    with torch.inference_mode():
        for batch in (32, 1):
            x = torch.randn(batch, 3, 224, 224)
            vectors = {name: run(x) for name, run in sides.items()}  # and a warm-up
            times = {name: [] for name in sides}
            for _ in range(args.rounds):
                for name, run in sides.items():
                    start = time.perf_counter()
                    run(x)
                    times[name].append(time.perf_counter() - start)
            middle = {name: 1000 * statistics.median(times[name]) for name in sides}
            for name, against in (("clipmini", "transformers"), ("packed", "transformers"), ("int8", "clipmini")):
                ratio = statistics.median(t / o for t, o in zip(times[against], times[name], strict=True))
                cosine = F.cosine_similarity(vectors[name], vectors[against]).min().item()
                print(f"batch {batch:>2}: {name} {middle[name]:.1f} ms, {against} {middle[against]:.1f} ms, "
                      f"{ratio:.2f}x, least cosine {cosine:.5f}")
                what = f"ViT-B/32, {'one picture' if batch == 1 else f'batch of {batch}'}"
                what += (name != "clipmini") * f", {name}"
                peer = {"transformers": "transformers CLIPModel, sdpa", "clipmini": "our float32"}[against]
                rows.append({"what": what, "against": peer,
                             "ours": f"{middle[name]:.1f} ms", "theirs": f"{middle[against]:.1f} ms",
                             "ratio": f"{ratio:.2f}", "command": "python tests/benchmarks/bench_vit.py"})
    print(f"{torch.get_num_threads()} threads")
    if args.record:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from readme_tables import record_speed

        record_speed(rows)


if __name__ == "__main__":
    main()
