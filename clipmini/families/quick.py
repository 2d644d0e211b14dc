"""The quickest road for pictures on this CPU that is exact enough: OpenVINO, bfloat16, or packed matrices.

Which one is the quickest depends on the processor and on what is installed; whether it is exact enough is measured with
the model itself before it is taken. How quick each one is: `python tests/benchmarks/bench_vit.py`. Texts have a
quicker way of their own (encode_lists).
"""

import logging
import sys
import threading
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmini.embedder import quick_bfloat16
from clipmini.families.onnx import Pictures
from clipmini.families.packed import pack

EXACT = 0.9999  # least cosine of a vector to the exact one
LARGE = 20_000_000  # numbers that a model learnt; in smaller ones the products are not what takes the time
TRIED = 8  # pictures

log = logging.getLogger(__name__)
Encode = Callable[[Tensor], Tensor]


class Road:
    """encode_image by another way; where a gradient is asked for, by the model's own."""

    def __init__(self, own: Encode, run: Encode):
        self.own, self.run = own, run

    def __call__(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) float32 -> unit vectors (B, E) float32."""
        return self.own(pixels) if torch.is_grad_enabled() and pixels.requires_grad else self.run(pixels)


def quicken(model: Any) -> str:
    """Let a model's encode_image take the quickest road that is exact enough, in place -> its name, with the least
    cosine to the exact vectors. Such a model can't be trained or saved any more, and with OpenVINO its picture tower
    stands in memory twice."""
    if sum(p.numel() for p in model.parameters()) >= LARGE:  # what ONNX Runtime holds is none of torch's
        size = model.config.vision.image_size
        pixels = torch.randn(TRIED, 3, size, size, generator=torch.Generator().manual_seed(0))
        pixels[TRIED // 2:] = F.interpolate(pixels[TRIED // 2:, :, :8, :8], (size, size), mode="bilinear")  # and smooth
        with torch.no_grad():
            exact = model.encode_image(pixels)
        for name, build, apart in ROADS:
            run, cosine = _tried(build, model, pixels, exact)
            if run and cosine >= EXACT:
                model.encode_image = Road(model.encode_image, run)
                pack(model if apart else getattr(model, "text", nn.Identity()))
                return f"{name}, least cosine {cosine:.5f}"
            if run:
                log.info("%s is not exact enough: least cosine %.5f", name, cosine)
    pack(model)
    return "packed matrices"


def _tried(build: Callable[[Any], Encode | None], model: Any, pixels: Tensor, exact: Tensor
           ) -> tuple[Encode | None, float]:
    """(encode_image by that road, its least cosine); nothing where it is not to be had here."""
    try:
        run = build(model)
        with torch.no_grad():
            return run, F.cosine_similarity(run(pixels), exact).min().item() if run else 0.0
    except Exception as error:  # whatever another library says of a model that it does not know
        log.warning("%s: %s", build.__name__.strip("_"), error)
        return None, 0.0


def _openvino(model: Any) -> Encode | None:
    """By OpenVINO's kernels in bfloat16, where the processor has them and the package is here (extra fast)."""
    if not quick_bfloat16() or find_spec("openvino") is None:
        return None
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # it would tell its maker of each import
    import openvino

    size = model.config.vision.image_size
    with warnings.catch_warnings():  # of numbers that are fixed in the graph: the side is, the count of pictures is not
        warnings.simplefilter("ignore")
        followed = openvino.convert_model(Pictures(model).eval(), example_input=torch.zeros(2, 3, size, size),
                                          input=[-1, 3, size, size])
    compiled = openvino.Core().compile_model(followed, "CPU", {
        "INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads()})
    one = threading.Lock()  # a compiled model answers one call at a time

    def run(pixels: Tensor) -> Tensor:
        with one:
            return torch.from_numpy(compiled(pixels.numpy())[0].copy())
    return run


def _bfloat16(model: Any) -> Encode | None:
    """By torch in bfloat16, where the processor has it."""
    if not quick_bfloat16():
        return None
    own = model.encode_image

    def run(pixels: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return own(pixels).float()
    return run


# The quickest first: name, what makes it, whether it leaves torch's own tower alone, which heatmaps go through.
ROADS = (("OpenVINO in bfloat16", _openvino, True), ("bfloat16", _bfloat16, False))
