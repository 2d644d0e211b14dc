"""Files: one writer that leaves nothing half done, caches that know their checksums, and readers of what other
people wrote. Every error names the file.

No code of any file is run.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import time
import zipfile
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clipmini.meta_device import without_numbers

LARGEST_JSON = 64_000_000  # bytes; the largest that a model brings, a tokenizer.json, has half as many
LONGEST_WORD, LONGEST_MESSAGE = 300, 2_000  # letters
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")  # of safetensors; others torch lacks


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or written; the message names the file and the remedy. What files say may be
    long: words and messages are cut in their middle."""

    def __init__(self, message: str = ""):
        words = re.sub(rf"\S{{{LONGEST_WORD},}}", lambda found: _cut(found[0], LONGEST_WORD), str(message))
        super().__init__(_cut(words, LONGEST_MESSAGE))


def _cut(text: str, limit: int) -> str:
    """The beginning and the end of a text of more than so many letters."""
    return text if len(text) <= limit else f"{text[:limit // 2]}...{text[-limit // 3:]}"


@contextmanager
def nothing_else(name: str):
    """Whatever goes wrong inside is a CheckpointError: what strangers' files do to libraries has no end of kinds."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        told = next(iter(str(error).splitlines()), "")
        raise CheckpointError(f"{name!r} cannot be loaded ({type(error).__name__}: {told}); it holds what clipmini "
                              "does not expect. Try the library that wrote it") from error


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
    with without_numbers():
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


CHECKSUMS = "checksums.json"


@lru_cache(maxsize=4096)
def _sha256(path: Path, _size: int, _time: int) -> str:
    """Of a file's content; read again only when its size or time differ."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _measured(path: Path) -> list:
    known = path.stat()
    return [known.st_size, _sha256(path, known.st_size, known.st_mtime_ns)]


def write_checksums(folder: Path) -> None:
    """Write size and SHA-256 of each file of a cache folder beside them, for `is_whole`."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): _measured(path) for path in files}
    (folder / CHECKSUMS).write_text(json.dumps(found, indent=1), encoding="utf-8")


def is_whole(folder: Path, what: str) -> bool:
    """Whether a cache folder is there and holds what write_checksums saw. One that does not is told on stderr, with the
    file that is wrong: build it anew. Contents are read once a process, sizes each time."""
    if not folder.is_dir():
        return False
    file = CHECKSUMS
    try:
        known = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        if len(known):
            for file, measured in known.items():
                if (folder / file).stat().st_size != measured[0] or _measured(folder / file) != measured:
                    break
            else:
                return True
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        pass  # what is missing or says nothing is no checksum either
    print(f"the {what} kept in {str(folder)!r} are damaged ({file}); making them anew", file=sys.stderr)
    return False


def sealed(content: bytes) -> bytes:
    """The bytes and their SHA-256: what a cache of one file holds."""
    return content + hashlib.sha256(content).digest()


def unsealed(path: Path) -> bytes | None:
    """What `sealed` was given; None where there is no such file, and, told on stderr, where a byte of it is another."""
    try:
        found = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(found[:-32]).digest() == found[-32:]:
        return found[:-32]
    print(f"{str(path)!r} does not fit its checksum; making it anew", file=sys.stderr)
    return None


def read_json(path: Path) -> dict:
    """A JSON object from a file. Raises CheckpointError that names it."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise CheckpointError(f"{str(path)!r} has {path.stat().st_size:,} bytes; no configuration is larger than "
                                  f"{LARGEST_JSON:,}")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{str(path.parent)!r} has no {path.name}; the download is incomplete") from None
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{str(path)!r} is damaged ({error}); download it again") from error
    except RecursionError:
        raise CheckpointError(f"{str(path)!r} is nested too deeply to be a configuration; take the file of the model's "
                              "own page") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{str(path)!r} holds a {type(found).__name__} where a JSON object should stand; take "
                              "the file of the model's own page")
    return found


def value_of(section: dict, key: str, path: Path):
    """section[key]. Raises CheckpointError that names the file where it is not there."""
    if key not in section:
        raise CheckpointError(f"{str(path)!r} lacks {key!r}, which clipmini has to know; take the file of the model's "
                              "own page")
    return section[key]


def check_downloaded(path: Path) -> None:
    """Raise CheckpointError for what downloads leave in the place of weights."""
    with open(path, "rb") as file:
        start = file.read(64).lstrip()
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{str(path)!r} is a Git LFS pointer, not the weights; `git lfs pull` gets them")
    if start.startswith(b"<"):
        raise CheckpointError(f"{str(path)!r} is a web page, not weights; download the file itself")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU."""
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"{str(path.parent)!r} has no {path.name}; the checkpoint is incomplete, copy it again")
    try:
        check_downloaded(path)
        _check_dtypes(path)
        return load_file(path)
    except CheckpointError:
        raise
    except Exception as error:  # safetensors_rust.SafetensorError and OSError
        raise CheckpointError(f"{str(path)!r} is damaged or cut short ({error}); copy it again") from error


def _check_dtypes(path: Path) -> None:
    """Raise CheckpointError for kinds of numbers that torch can't compute in; only the header is read."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > min(LARGEST_JSON, path.stat().st_size):
            return  # load_file says what is wrong
        header = json.loads(file.read(size))
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] not in DTYPES:
            raise CheckpointError(f"{str(path)!r} holds {entry['dtype']} numbers, first in {name!r}; such weights are "
                                  "not supported, take a file in float32 or float16")


def check_unpacked(path: Path) -> None:
    """Raise CheckpointError for an archive that unpacks to far more than it is: weights hardly compress."""
    with zipfile.ZipFile(path) as archive:
        whole, packed = sum(entry.file_size for entry in archive.infolist()), path.stat().st_size
    if whole > max(4 * packed, 64_000_000):
        raise CheckpointError(f"{str(path)!r} unpacks from {packed:,} to {whole:,} bytes, which no weights do; it is "
                              "no file to be trusted")


def check_stored(tensors: dict[str, Tensor], path: Path) -> None:
    """Raise CheckpointError for tensors that are no plain tables of numbers, or more of them than the file stores."""
    odd = next((n for n, t in tensors.items() if t.layout != torch.strided or t.is_quantized or t.is_nested
                or t.device.type != "cpu"), None)
    if odd is not None:
        raise CheckpointError(f"{str(path)!r} holds {odd!r}, which is sparse, quantised or empty; such weights are not "
                              "supported, take a file in float32 or float16")
    stored = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors.values()}
    if sum(t.numel() * t.element_size() for t in tensors.values()) > 4 * sum(stored.values()) + 1_000_000:
        raise CheckpointError(f"{str(path)!r} shows the same few numbers as far larger tensors; it is no file to be "
                              "trusted")


def check_numbers(tensors: dict[str, Tensor], source: str) -> None:
    """Raise CheckpointError for numbers that are no weights in floating point, or no counts of batches."""
    floats, counts = (torch.float32, torch.float16, torch.bfloat16, torch.float64), (torch.int64, torch.int32)
    for name, tensor in tensors.items():
        if tensor.dtype not in (counts if name.endswith("batches_tracked") else floats):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise CheckpointError(f"{source} holds {kind} numbers, first in {name!r}; such weights are "
                                  "not supported, take a file in float32 or float16")


def check_size(layers: int, numbers: int, tensors: dict[str, Tensor], source: str) -> None:
    """Raise CheckpointError where a configuration wants far more than a file has: layers, and numbers for its texts."""
    have = sum(tensor.numel() for tensor in tensors.values())
    if layers > len(tensors) or numbers > have:
        raise CheckpointError(f"{source} does not fit its configuration, which wants {layers:,} layers and {numbers:,} "
                              f"numbers for texts alone: the file has {len(tensors):,} tensors with {have:,} numbers; "
                              "take both files of one model")


def write_weights(tensors: dict[str, Tensor], path: Path) -> None:
    """A .safetensors file that other users of the computer can read too."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path,
              metadata={"format": "pt"})
    os.chmod(path, 0o644)  # safetensors writes 0600: nobody else could serve it


def _shards(path: Path) -> list[str]:
    """The files beside an index.json that it lists."""
    table = value_of(read_json(path), "weight_map", path)
    names = list(table.values()) if isinstance(table, dict) else [table]
    odd = [n for n in names if not isinstance(n, str) or Path(n).name != n or not n.endswith((".safetensors", ".bin"))]
    if odd or not names:
        raise CheckpointError(f"{str(path)!r} lists {odd[0] if odd else table!r} where a .safetensors or .bin file "
                              "beside it should stand; take the file of the model's own page")
    return sorted(set(names))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file, of the shards that an index.json lists, or of a .bin or .pt file of tensors."""
    if path.name.endswith(".index.json"):
        shards = _shards(path)
        gone = [name for name in shards if not (path.parent / name).is_file()]
        if gone:
            raise CheckpointError(f"{str(path.parent)!r} lacks {gone[0]!r}, one of {len(shards)} files that "
                                  f"{path.name} lists; download it again")
        return {name: tensor for shard in shards for name, tensor in read_tensors(path.parent / shard).items()}
    if path.suffix == ".safetensors":
        return read_weights(path)
    try:
        check_downloaded(path)
        if zipfile.is_zipfile(path):
            check_unpacked(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # UnpicklingError for code, RuntimeError or EOFError for a file cut short
        raise CheckpointError(f"{str(path)!r} cannot be read ({type(error).__name__}); it is cut short, or holds more "
                              "than tensors, and code is not run here. Download it again, or take a .safetensors file"
                              ) from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(n, str) and isinstance(t, Tensor) for n, t in found.items()):
        raise CheckpointError(f"{str(path)!r} holds no table of tensors; give the weights of a CLIP")
    check_stored(found, path)
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}
