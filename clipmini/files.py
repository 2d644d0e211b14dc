"""Files: one writer that leaves nothing half done, and readers of what other people wrote. Every error names the file.

No code of any file is run.
"""

import json
import os
import shutil
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or written; the message names the file and the remedy."""


@contextmanager
def written_whole(target: Path, what: str = "checkpoint"):
    """Give a temporary path beside target; rename it to target when the body ends well, remove it when it does not.

    Works for a file and for a folder. Raises CheckpointError when the disk says no; the old target is then untouched.
    """
    target = Path(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(temporary)  # a killed process of the same number may have left one; in a container numbers repeat
        yield temporary
        _flush(temporary)
        _replace(temporary, target)
    except Exception as error:
        _remove(temporary)
        # safetensors reports a full disk as its own error type, not as OSError.
        if isinstance(error, OSError) or type(error).__name__ in ("SafetensorError", "TokenizerError"):
            raise CheckpointError(f"could not write the {what} {str(target)!r}: {error}. Free some space or choose "
                                  "another place; what was there before is unchanged.") from error
        raise
    except BaseException:  # Ctrl-C leaves nothing behind either
        _remove(temporary)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # it is not there, or its folder is none: the error that led here says more
            path.unlink()


def remove_leftovers(folder: Path, seconds: float = 0) -> None:
    """Delete what writers that were killed left half done in a folder, where it is older than so many seconds."""
    for pattern in (".*.tmp", ".*.old"):
        for path in Path(folder).glob(pattern):
            if time.time() - path.stat().st_mtime >= seconds:
                _remove(path)


def _flush(path: Path) -> None:
    """On the disk before the rename, or a power cut can leave a new name on an empty file."""
    for file in [path] if path.is_file() else (p for p in path.rglob("*") if p.is_file()):
        with open(file, "rb+") as opened:
            os.fsync(opened.fileno())


def _replace(temporary: Path, target: Path) -> None:
    if not target.is_dir():
        os.replace(temporary, target)
        return
    # A non-empty folder cannot be replaced in one step: move the old one aside, then drop it.
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    _remove(old)
    os.replace(target, old)
    try:
        os.replace(temporary, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_storable(model: Any, tokenizer: Any) -> None:
    """Raise CheckpointError unless the tokenizer is the model's, and its tensors are those that its configuration
    describes, which packed and quantised matrices are not: a folder of others could not be read back."""
    text = model.config.text
    ours, theirs = ([getattr(c, n) for n in ("vocab_size", "context_length", "sot_id", "eos_id")]
                    for c in (text, tokenizer))
    if ours != theirs:
        raise CheckpointError("the model has {} token embeddings, a context of {}, start {} and end {}; the tokenizer "
                              "{} ids, a context of {}, start {} and end {}. Save the tokenizer that the model was "
                              "trained with".format(*ours, *theirs))
    with torch.device("meta"):  # no memory and no random numbers
        expected = type(model)(model.config).state_dict()
    found = model.state_dict()
    wrong = [n for n in expected if n not in found or found[n].shape != expected[n].shape] or set(found) - set(expected)
    if wrong:
        raise CheckpointError(f"the model's {min(wrong)!r} is not what its configuration describes, so no folder can "
                              "hold it: its matrices were packed, quantised or replaced. Load it without packed=True "
                              "and int8=True")


def cache_root(cache: str | Path | None = None) -> Path:
    """Return the folder for what is built once: `cache`, else $CLIPMINI_CACHE, else the user's cache folder."""
    if cache or os.environ.get("CLIPMINI_CACHE"):
        return Path(cache or os.environ["CLIPMINI_CACHE"]).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "clipmini"


def read_json(path: Path) -> dict:
    """A JSON object from a file. Raises CheckpointError that names it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
        raise ValueError(f"it holds a {type(found).__name__}, not an object")
    except FileNotFoundError:
        raise CheckpointError(f"{str(path.parent)!r} has no {path.name}; the download is incomplete") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{str(path)!r} is damaged ({error}); download it again") from error


def value_of(section: dict, key: str, path: Path):
    """section[key]. Raises CheckpointError that names the file where it is not there."""
    if key not in section:
        raise CheckpointError(f"{str(path)!r} lacks {key!r}; download it again")
    return section[key]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU."""
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"{str(path.parent)!r} has no {path.name}; the checkpoint is incomplete, copy it again")
    try:
        return load_file(path)
    except Exception as error:  # safetensors_rust.SafetensorError and OSError
        raise CheckpointError(f"{str(path)!r} is damaged or cut short ({error}); copy it again") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file, of the shards that an index.json lists, or of a .bin or .pt file of tensors."""
    if path.name.endswith(".index.json"):
        shards = sorted(set(value_of(read_json(path), "weight_map", path).values()))
        gone = [name for name in shards if not (path.parent / name).is_file()]
        if gone:
            raise CheckpointError(f"{str(path.parent)!r} lacks {gone[0]!r}, one of {len(shards)} files that "
                                  f"{path.name} lists; download it again")
        return {name: tensor for shard in shards for name, tensor in read_tensors(path.parent / shard).items()}
    if path.suffix == ".safetensors":
        return read_weights(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # UnpicklingError for code, RuntimeError or EOFError for a file cut short
        raise CheckpointError(f"{str(path)!r} cannot be read ({type(error).__name__}); it is cut short, or holds more "
                              "than tensors, and code is not run here. Download it again, or take a .safetensors file"
                              ) from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise CheckpointError(f"{str(path)!r} holds no table of tensors; give the weights of a CLIP")
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}
