"""ONNX: both towers as files that other languages run, and ONNX Runtime behind the Embedder. The extra is `onnx`."""

import logging
import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipmini import checkpoint
from clipmini.config import CLIPConfig
from clipmini.families.assemble import check_new
from clipmini.files import CheckpointError, read_json, written_whole
from clipmini.meta_device import without_numbers
from clipmini.model import CLIP, unit
from clipmini.text import TextTransformer, in_batches
from clipmini.tokenizer import Tokenizer

FILES = {"pixels": "image.onnx", "ids": "text.onnx"}  # by the name of their one input
LARGEST_FILE = 1_900_000_000  # bytes; a protocol buffer ends at 2 GiB, and what is larger goes into a file beside it


class Pictures(nn.Module):
    """A model's encode_image as a module, for exporters to follow."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) -> unit vectors (B, E)."""
        return self.model.encode_image(pixels)


class _Texts(Pictures):
    """The Transformer without the question whether each row has an end token: a graph of tensors can't raise errors."""

    def forward(self, ids: Tensor) -> Tensor:
        text = self.model.text
        if not isinstance(text, TextTransformer):
            return self.model.encode_text(ids)
        ends = torch.eq(ids, text.eos_id).int().argmax(1)
        row = text.transformer.forward_row(text.tokens(ids), ends, causal=True)
        return unit(text.ln_final(row) @ text.text_projection)


def export(model: CLIP, tokenizer: Tokenizer, folder: Path, meta: dict | None = None) -> Path:
    """Write image.onnx (pixels (B, 3, S, S) -> vectors (B, E)), text.onnx (ids (B, T) int64 -> vectors (B, E)) and what
    a checkpoint has beside its weights. Unit vectors, any B, T up to the context.

    Raises CheckpointError for towers that are not ours, without the packages, and when the folder can't be written.
    """
    _need("onnx", "onnxscript")
    config, folder = model.config, Path(folder)
    if not isinstance(model, CLIP) or config.text.tower == "bert":
        raise CheckpointError("only clipmini's own towers go to ONNX, and this is "
                              + (f"a {type(model).__name__}" if not isinstance(model, CLIP) else "BERT, for which "
                                 "there is the package optimum"))
    checkpoint.check_whole(model, tokenizer)
    checkpoint.check_finite(model.state_dict(), "the model")
    check_new(folder)
    v, t = config.vision, config.text
    ids = torch.full((2, 3), t.eos_id)
    ids[:, 0] = t.sot_id
    rows = torch.export.Dim("rows", min=1, max=2**20)
    runs = {"pixels": (Pictures(model), torch.zeros(2, 3, v.image_size, v.image_size), {0: rows}),
            "ids": (_Texts(model), ids, {0: rows, 1: torch.export.Dim("tokens", min=2, max=t.context_length)})}
    with written_whole(folder, "export") as temporary:
        temporary.mkdir(parents=True)
        for name, (tower, example, sizes) in runs.items():
            with _quiet():
                program: Any = torch.onnx.export(tower.eval(), (example,), dynamo=True, dynamic_shapes=(sizes,),
                                                 input_names=[name], output_names=["vectors"], verbose=False)
            large = 4 * sum(p.numel() for p in model.parameters()) > LARGEST_FILE
            program.save(temporary / FILES[name], external_data=large)
        bias = None if model.logit_bias is None else model.logit_bias.item()
        scores = {"scale": model.scale.item(), "bias": bias}
        checkpoint.describe(temporary, config, tokenizer, "# A clipmini model for ONNX Runtime\n", meta, onnx=scores)
    return folder


@contextmanager
def _quiet():
    """torch's exporter speaks of packages that are not needed and of its own future."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _need(*packages: str) -> None:
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise CheckpointError(f"ONNX needs {' and '.join(missing)}; install with: pip install \"clipmini[onnx]\"")


class OnnxCLIP(nn.Module):
    """Two ONNX Runtime sessions in CLIP's place: it embeds, on the CPU, and does nothing else."""

    def __init__(self, folder: Path, config: CLIPConfig, scale: float, bias: float | None):
        super().__init__()
        self.config, self.visual = config, None  # its cells can't be read
        with without_numbers():
            self.learnt = CLIP(config).learnt
        self.scale, self.logit_bias = torch.tensor(scale), None if bias is None else torch.tensor(bias)
        self._sessions = {name: _session(folder / file) for name, file in FILES.items()}

    def _run(self, name: str, rows: Tensor) -> Tensor:
        return torch.from_numpy(self._sessions[name].run(None, {name: rows.cpu().numpy()})[0])

    def encode_image(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S) -> unit vectors (B, E)."""
        return self._run("pixels", pixels)

    def encode_text(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> unit vectors (B, E)."""
        return self._run("ids", ids)

    def encode_lists(self, lists: list[list[int]], batch: int = 256) -> Tensor:
        """N lists of ids, unpadded -> unit vectors (N, E)."""
        return in_batches(self.encode_text, lists, self.config.text.pad_id, batch)

    def frame(self, image):
        """The picture itself: resizing and cropping are all the preprocessing."""
        return image


def _session(path: Path):
    import onnxruntime

    if not path.is_file():
        raise CheckpointError(f"{str(path.parent)!r} has no {path.name}; copy the folder again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(torch.get_num_threads(), os.cpu_count() or 1)
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has an exception for each of its codes
        raise CheckpointError(f"{str(path)!r} is damaged or cut short ({error}); export it again") from error


def claims(path: Path) -> bool:
    """Whether config.json is one that `export` wrote."""
    return (path / "config.json").is_file() and {"format", "onnx"} <= set(read_json(path / "config.json"))


def load(path: Path, image_size: int | None = None) -> tuple[OnnxCLIP, Tokenizer, dict]:
    """Read such a folder -> (model, its tokenizer, meta). Raises CheckpointError."""
    if image_size:
        raise CheckpointError(f"{str(path)!r} (onnx) takes pictures of its own size only; omit image_size")
    _need("onnxruntime")
    config, tokenizer, meta, raw = checkpoint.read_description(path)
    scores = raw.get("onnx")
    if not isinstance(scores, dict) or not isinstance(scores.get("scale"), float):
        raise CheckpointError(f"config.json of {str(path)!r} names no scale; export it again")
    return OnnxCLIP(path, config, scores["scale"], scores.get("bias")), tokenizer, meta


def least_cosines(model: CLIP, folder: str | Path, rows: int = 8) -> dict[str, float]:
    """How near an exported folder is to its model: the least cosine of `rows` random pictures, and of as many texts."""
    exported, _, _ = load(Path(folder))
    v, t = model.config.vision, model.config.text
    pixels = torch.randn(rows, 3, v.image_size, v.image_size, generator=torch.Generator().manual_seed(0))
    length = min(12, t.context_length)
    ids = torch.randint(t.vocab_size - 2, (rows, length), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1] = t.sot_id, t.eos_id
    with torch.no_grad():
        return {"pictures": (model.encode_image(pixels) * exported.encode_image(pixels)).sum(1).min().item(),
                "texts": (model.encode_text(ids) * exported.encode_text(ids)).sum(1).min().item()}
