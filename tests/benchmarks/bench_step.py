"""Pairs per second of one training step: ours against transformers' CLIPModel of the same size, batch and data.

Both get the same pictures (uint8) and captions (strings) and do everything a step needs: pixels, ids, forward, loss,
backward, AdamW. Alternating rounds in one process; the median of the round-by-round ratios is what counts. At the end it
says which share of the machine's matmul peak our step reaches: the operations of its products, forward and backward, over its
whole time.

    python tests/benchmarks/bench_step.py
"""

import argparse
import copy
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPConfig as TheirConfig
from transformers import CLIPModel, CLIPTokenizer

from clipmini.config import preset
from clipmini.families.hugging_face import hugging_face_config, to_hugging_face
from clipmini.loss import clip_loss
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer
from clipmini.training.config import TrainConfig
from clipmini.training.step import keep_freed_memory, make_optimizer, mixed_precision, quick_bfloat16

WORDS = "red green blue apple pear face cat dog house with small large smiling of a the on in car tree sun moon star".split()


def make_batches(batch: int, size: int, count: int = 4):
    """count batches of (uint8 pictures (B, size, size, 3), captions)."""
    rng = np.random.default_rng(0)
    return [(torch.from_numpy(rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)),
             [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(batch)]) for _ in range(count)]


def pixels_of(pictures, mean, std):
    """Shared by both sides, so that it favours neither."""
    x = pictures.permute(0, 3, 1, 2).float().div_(255)
    return (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def our_side(model, tokenizer, precision):
    """A step as clipmini.train does it."""
    config = TrainConfig(steps=1, precision=precision)
    optimizer = make_optimizer(model, config)
    vision = model.config.vision

    def step(pictures, captions):
        pixels, ids = pixels_of(pictures, vision.mean, vision.std), tokenizer(captions)
        with mixed_precision(config):
            image, text = model.encode_image(pixels), model.encode_text(ids)
        loss = clip_loss(image, text, model.scale)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.clamp_scale_()
        return loss.item()
    return step


def their_side(model, tokenizer, config, padding, bfloat16=False):
    """The step that transformers' documentation leads to: CLIPModel(return_loss=True) and torch.optim.AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1)
    vision, length = config.vision, config.text.context_length

    def step(pictures, captions):
        text = tokenizer(captions, padding=padding, max_length=length, truncation=True, return_tensors="pt")
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            out = model(**text, pixel_values=pixels_of(pictures, vision.mean, vision.std), return_loss=True)
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return out.loss.item()
    return step


def seconds(step, batches) -> float:
    """Time of one pass over the batches."""
    start = time.perf_counter()
    for pictures, captions in batches:
        step(pictures, captions)
    return time.perf_counter() - start


def operations(step, pictures, captions) -> int:
    """Floating-point operations of one step's matmuls and attention, forward and backward (a multiply-add is two)."""
    with FlopCounterMode(display=False) as counter:
        step(pictures, captions)
    return counter.get_total_flops()


def matmul_peak(dtype: torch.dtype, side: int = 2048, rounds: int = 15) -> float:
    """Operations a second of the best of `rounds` square products."""
    a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
    best = math.inf
    for _ in range(rounds):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--batch", type=int, default=128, help="pairs a step (default 128)")
    p.add_argument("--rounds", type=int, default=9, help="alternating rounds (default 9)")
    p.add_argument("--context", type=int, default=77, help="context length of both (default 77, CLIP's)")
    p.add_argument("--plain-malloc", action="store_true", help="leave malloc as it is, for both sides")
    p.add_argument("--record", action="store_true", help="put the ratios into assets/results.json")
    args = p.parse_args()
    batches = make_batches(args.batch, 32)
    tokenizer = Tokenizer.train([c for _, captions in batches for c in captions], 4096, context_length=args.context)
    config = preset("vit-transformer", tokenizer)
    if not args.plain_malloc:
        keep_freed_memory()  # one process, so both sides get it
    vision = config.vision
    print(f"ViT width {vision.width} depth {vision.layers} patch {vision.patch_size} at {vision.image_size} px, "
          f"text Transformer width {config.text.width} depth {config.text.layers}, context {args.context}, batch {args.batch}, "
          f"{torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        their_tokenizer = CLIPTokenizer.from_pretrained(folder)
    sides = {}
    torch.manual_seed(0)
    ours = CLIP(config)
    peers = {"transformers, padded to the context": ("max_length", False), "transformers, padded to the longest": (True, False)}
    if quick_bfloat16():
        peers["transformers, the longest, bfloat16"] = (True, True)
    for name, (padding, bfloat16) in peers.items():
        theirs = CLIPModel(TheirConfig(**hugging_face_config(config))).train()
        theirs.load_state_dict(to_hugging_face(ours.state_dict()))
        sides[name] = their_side(theirs, their_tokenizer, config, padding, bfloat16)
    sides["clipmini in float32"] = our_side(copy.deepcopy(ours).train(), tokenizer, "float32")
    sides["clipmini"] = our_side(ours.train(), tokenizer, "auto")
    first = {name: step(*batches[0]) for name, step in sides.items()}
    print("loss of the first step:", ", ".join(f"{name} {value:.4f}" for name, value in first.items()))
    times = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, step in sides.items():
            times[name].append(seconds(step, batches))
    pairs = args.batch * len(batches)
    speed = {name: pairs / statistics.median(times[name]) for name in sides}
    ratio = {name: statistics.median(t / o for t, o in zip(times[name], times["clipmini"], strict=True)) for name in sides}
    print(f"clipmini computes in {'bfloat16' if quick_bfloat16() else 'float32'} here")
    print(f"{'':<38}{'pairs/s':>9}{'ours is':>10}")
    for name in sides:
        print(f"{name:<38}{speed[name]:>9.0f}{ratio[name]:>9.2f}x")
    precision = torch.bfloat16 if quick_bfloat16() else torch.float32
    peak, done = matmul_peak(precision), operations(sides["clipmini"], *batches[0]) / args.batch * speed["clipmini"]
    print(f"clipmini's products: {done / 1e9:.0f} GFLOP/s over the whole step, {done / peak:.0%} of the {peak / 1e9:.0f} GFLOP/s "
          f"of a {precision} product of 2048 x 2048")
    if args.record:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from readme_tables import record_speed

        common = {"what": f"training step, ViT + Transformer, batch {args.batch}", "ours": f"{speed['clipmini']:.0f} pairs/s",
                  "command": "python tests/benchmarks/bench_step.py"}
        record_speed([{**common, "against": name.replace("transformers", "transformers CLIPModel"),
                       "theirs": f"{speed[name]:.0f} pairs/s", "ratio": f"{ratio[name]:.2f}"}
                      for name in sides if "transformers" in name])


if __name__ == "__main__":
    main()
