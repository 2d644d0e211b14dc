"""Our checkpoint: a folder with config.json, model.safetensors, the tokenizer's files and README.md, the model card.

A folder is written under a temporary name and renamed when whole, so there is never half a checkpoint.
"""

import hashlib
import json
from pathlib import Path

import torch

from clipmini import files
from clipmini.config import CLIPConfig, ConfigError
from clipmini.files import CheckpointError, check_numbers, check_size, check_storable, read_weights, written_whole
from clipmini.meta_device import without_numbers
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer, TokenizerError

FORMAT = 1  # raised when an old folder can no longer be read


def fingerprint(tokenizer: Tokenizer) -> str:
    """16 hex digits that differ when the merges do: vocabularies of one size are easily mixed up."""
    return hashlib.sha256("\n".join(map(" ".join, tokenizer.merges)).encode()).hexdigest()[:16]


def save(folder: str | Path, model: CLIP, tokenizer: Tokenizer, card: str = "", meta: dict | None = None,
         beside: dict[str, bytes] | None = None) -> Path:
    """Write a checkpoint folder.

    card: text of the model card; meta: anything JSON that explains the numbers (command, data, seed, seconds, results);
    beside: further files, their content by name. Returns the folder. Raises CheckpointError when it cannot be written.
    """
    check_whole(model, tokenizer)
    folder = Path(folder)
    with written_whole(folder) as temporary:
        temporary.mkdir(parents=True)
        files.write_weights(model.state_dict(), temporary / "model.safetensors")
        describe(temporary, model.config, tokenizer, card or "# A clipmini checkpoint\n", meta)
        for name, content in (beside or {}).items():
            (temporary / name).write_bytes(content)
    return folder


def check_whole(model: CLIP, tokenizer: Tokenizer) -> None:
    """Raise CheckpointError for what could not be read back: see files.check_storable."""
    if not isinstance(model, CLIP) or not isinstance(tokenizer, Tokenizer):
        raise CheckpointError("only clipmini's own CLIPs with byte pairs can be written, and this is a "
                              f"{type(model).__name__} with {type(tokenizer).__name__}")
    check_storable(model, tokenizer)


def describe(folder: Path, config: CLIPConfig, tokenizer: Tokenizer, card: str, meta: dict | None, **more) -> None:
    """Write what a checkpoint has beside its weights. more: further entries of config.json."""
    raw = {"format": FORMAT, "model": config.to_dict(), "tokenizer": fingerprint(tokenizer), "meta": meta or {}, **more}
    (folder / "config.json").write_text(json.dumps(raw, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
    tokenizer.save(folder)


def read_config(folder: Path) -> tuple[CLIPConfig, dict, dict]:
    """config.json of a checkpoint folder -> (CLIPConfig, meta, all of its entries)."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{str(folder)!r} has no config.json; give a folder that `clipmini train` wrote")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw.get("format") != FORMAT:
            raise CheckpointError(f"{str(path)!r} has format {raw.get('format')!r}; this clipmini reads format "
                                  f"{FORMAT}; install the clipmini that wrote it")
        if not isinstance(raw.get("meta", {}), dict):
            raise ValueError(f"meta is {raw['meta']!r}, not an object")
        return CLIPConfig.from_dict(raw["model"]), raw.get("meta", {}), raw
    except CheckpointError:
        raise
    except ConfigError as error:
        raise CheckpointError(f"{str(path)!r}: {error}; copy the checkpoint again") from error
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"{str(path)!r} is damaged ({error}); copy the checkpoint again") from error


def unfilled(config: CLIPConfig, weights: dict[str, torch.Tensor], source: str) -> CLIP:
    """The CLIP that these weights are for, without memory and random numbers. Raises CheckpointError where they can't
    be its own: a configuration may ask for more than any computer has."""
    v, t = config.vision, config.text
    numbers = t.vocab_size * t.width + (t.tower == "bert") * t.layers * t.width * (2 * t.mlp_width + 4 * t.width)
    check_size(max(t.layers, *(v.layers if isinstance(v.layers, tuple) else [v.layers])), numbers, weights, source)
    try:
        with without_numbers():
            return CLIP(config)
    except Exception as error:  # numbers that no tower has: torch raises many kinds
        raise CheckpointError(f"the configuration of {source} describes a model that cannot be built ({error}); take "
                              "both files from one checkpoint") from error


def fill(model: CLIP, weights: dict[str, torch.Tensor], source: str, assign: bool = False) -> CLIP:
    """Load weights strictly: a missing, left-over or mis-shaped tensor is an error that names it.

    Half-precision files become float32: a CPU computes in that. assign: take the tensors themselves instead of copying
    them, which a model on the device "meta" needs.
    """
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    missing = [name for name in expected if name not in weights]
    extra = [name for name in weights if name not in expected]
    wrong = [name for name in expected if name in weights and weights[name].shape != expected[name]]
    problems = [f"{word} {len(names)} tensor{'s' * (len(names) > 1)}, first {names[0]!r}"
                for word, names in (("lacks", missing), ("has left over", extra)) if names]
    problems += [f"has {name!r} of shape {tuple(weights[name].shape)}, the configuration says {tuple(expected[name])}"
                 for name in wrong[:1]]
    if problems:
        raise CheckpointError(f"{source} does not fit its configuration: it {'; it '.join(problems)}; copy both files "
                              "again")
    check_numbers(weights, source)
    check_finite(weights, source)
    weights = {name: t.float() if t.is_floating_point() else t for name, t in weights.items()}
    model.load_state_dict(weights, strict=True, assign=assign)
    return model


def check_finite(weights: dict[str, torch.Tensor], source: str) -> None:
    """Raise CheckpointError for NaN and infinite weights."""
    bad = next((name for name, t in weights.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())), "")
    if bad:
        raise CheckpointError(f"{source} holds NaN or infinite numbers, first in {bad!r}; the training had diverged, "
                              "train anew with a lower learning rate")


def read_description(folder: str | Path) -> tuple[CLIPConfig, Tokenizer, dict, dict]:
    """What stands beside the weights -> (config, tokenizer, meta, all of config.json). Raises CheckpointError."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"there is no checkpoint folder {str(folder)!r}; give a folder that `clipmini train` "
                              "wrote")
    config, meta, raw = read_config(folder)
    try:
        tokenizer = Tokenizer.load(folder)
    except TokenizerError as error:
        raise CheckpointError(f"the tokenizer of {str(folder)!r} cannot be read: {error}") from error
    for name in ("vocab_size", "sot_id", "eos_id", "context_length"):
        if getattr(tokenizer, name) != getattr(config.text, name):
            raise CheckpointError(f"{str(folder)!r} mixes two models: its tokenizer has {name} "
                                  f"{getattr(tokenizer, name)}, config.json says {getattr(config.text, name)}; "
                                  "copy all files from one checkpoint")
    if raw.get("tokenizer", "") not in ("", fingerprint(tokenizer)):
        raise CheckpointError(f"{str(folder)!r} mixes two models: its merges.txt is not the one that config.json was "
                              "written with; copy all files from one checkpoint")
    return config, tokenizer, meta, raw


def load(folder: str | Path) -> tuple[CLIP, Tokenizer, dict]:
    """Read a checkpoint folder -> (model in evaluation mode, its tokenizer, meta). Raises CheckpointError."""
    folder = Path(folder)
    config, tokenizer, meta, _ = read_description(folder)
    source = repr(str(folder / "model.safetensors"))
    weights = read_weights(folder / "model.safetensors")
    model = unfilled(config, weights, source)
    copies = {name: tensor.clone() for name, tensor in weights.items()}  # the file may be written anew
    model = fill(model, copies, source, assign=True)
    return model.eval().requires_grad_(False), tokenizer, meta
