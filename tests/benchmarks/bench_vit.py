"""Milliseconds for pictures through a full-size ViT-B/32, random weights: ours against transformers' sdpa model, in
batches of 32 and one at a time; ours with packed matrices, in int8, and as load(fast=True) runs it, with the cosine to
float32; and that one against ONNX Runtime and OpenVINO on the same weights, where they are installed.

    python tests/benchmarks/bench_vit.py

Alternating rounds in one process; the median of the round-by-round ratios is what counts.
"""

import argparse
import copy
import os
import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
import torch.nn.functional as F
from transformers import CLIPConfig as TheirConfig
from transformers import CLIPModel

from clipmini.config import preset
from clipmini.families.hugging_face import hugging_face_config, to_hugging_face
from clipmini.families.onnx import Pictures
from clipmini.families.packed import int8, pack
from clipmini.families.quick import quicken
from clipmini.model import CLIP

PEERS = ("transformers", "autocast", "onnxruntime", "openvino f32", "openvino bf16")


def peers(ours: CLIP) -> dict:
    """The same tower by ONNX Runtime, OpenVINO in float32 and in bfloat16, and by torch's autocast."""
    def autocast(x):
        with torch.autocast("cpu", torch.bfloat16):
            return ours.encode_image(x)

    found, size = {"autocast": autocast}, ours.config.vision.image_size
    if find_spec("onnxruntime") and find_spec("onnxscript"):
        import onnxruntime

        file = Path(tempfile.mkdtemp()) / "image.onnx"
        torch.onnx.export(Pictures(ours).eval(), (torch.zeros(2, 3, size, size),), dynamo=True, input_names=["pixels"],
                          dynamic_shapes=({0: torch.export.Dim("rows", min=1, max=2**20)},), verbose=False).save(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        found["onnxruntime"] = lambda x: torch.from_numpy(session.run(None, {"pixels": x.numpy()})[0])
    if find_spec("openvino"):
        sys.modules.setdefault("openvino_telemetry", None)
        import openvino

        model = openvino.convert_model(Pictures(ours).eval(), example_input=torch.zeros(2, 3, size, size),
                                       input=[-1, 3, size, size])
        for kind in ("f32", "bf16"):
            compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": kind})
            found[f"openvino {kind}"] = lambda x, run=compiled: torch.from_numpy(run(x.numpy())[0])
    return found


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
    fast = copy.deepcopy(ours)
    print("fast:", quicken(fast))
    sides = {"transformers": lambda x: F.normalize(theirs.get_image_features(pixel_values=x).pooler_output, dim=-1),
             "int8": small.encode_image, "packed": packed.encode_image, "clipmini": ours.encode_image,
             "fast": fast.encode_image, **peers(ours)}
    with torch.no_grad():
        for batch in (32, 1):
            x = torch.randn(batch, 3, 224, 224)
            vectors = {name: run(x) for name, run in sides.items()}  # and a warm-up
            times = {name: [] for name in sides}
            for number in range(args.rounds):
                for name in sorted(sides, reverse=number % 2 == 1):  # who comes after whom matters to the caches
                    start = time.perf_counter()
                    sides[name](x)
                    times[name].append(time.perf_counter() - start)
            middle = {name: 1000 * statistics.median(times[name]) for name in sides}
            others = [name for name in sides if name in PEERS]
            best = min(others, key=middle.__getitem__)
            ratio = statistics.median(f / b for f, b in zip(times["fast"], times[best], strict=True))
            print(f"batch {batch:>2}: " + ", ".join(f"{name} {middle[name]:.1f}" for name in [*others, "fast"]) + f" ms; fast "
                  f"takes {ratio:.2f} times the quickest of the others, {best}")
            for name, against in (("clipmini", "transformers"), ("packed", "transformers"), ("int8", "clipmini"),
                                  ("fast", "transformers")):
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
