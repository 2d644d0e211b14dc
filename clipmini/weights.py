"""Tensors and JSON from files that others made: safetensors, shards, .bin and .pt, OpenAI's TorchScript archives.

No code of any file is run. Every error names the file.
"""

import json
import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from clipmini.checkpoint import CheckpointError, read_weights


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


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file, of the shards that an index.json lists, or of a .bin or .pt file (nothing else in it)."""
    if path.name.endswith(".index.json"):
        shards = sorted(set(value_of(read_json(path), "weight_map", path).values()))
        gone = [name for name in shards if not (path.parent / name).is_file()]
        if gone:
            raise CheckpointError(f"{str(path.parent)!r} lacks {gone[0]!r}, one of {len(shards)} files that {path.name} lists; "
                                  "download it again")
        return {name: tensor for shard in shards for name, tensor in read_tensors(path.parent / shard).items()}
    if path.suffix == ".safetensors":
        return read_weights(path)
    if zipfile.is_zipfile(path) and is_torchscript(path):
        return read_torchscript(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # UnpicklingError for code, RuntimeError or EOFError for a file cut short
        raise CheckpointError(f"{str(path)!r} cannot be read ({type(error).__name__}); it is cut short, or holds more than "
                              "tensors, and code is not run here. Download it again, or take a .safetensors file") from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise CheckpointError(f"{str(path)!r} holds no table of tensors; give the weights of a CLIP")
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}


def is_torchscript(path: Path) -> bool:
    """Whether a zip archive is one that torch.jit.save wrote: those carry code."""
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/", 1)[-1].startswith("code/") for name in archive.namelist())


class _Module:
    """Stands for every class of the archive: keeps the attributes and does nothing."""

    def __setstate__(self, state):
        self.__dict__.update(state if isinstance(state, dict) else {})


class _Unpickler(pickle.Unpickler):
    """Reads TorchScript's data.pkl. The only calls it can make are the few below: none of them runs code of the file."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        super().__init__(archive.open(f"{root}/data.pkl"))
        self.archive, self.root, self.storages = archive, root, {}

    def find_class(self, module: str, name: str):
        if module.startswith("__torch__"):
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.tensor
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch" and name.endswith("Storage"):
            return name
        if module == "torch.jit._pickle":  # lists of numbers with a type written beside them
            return lambda value, *_: value
        raise pickle.UnpicklingError(f"it wants to call {module}.{name}")

    def persistent_load(self, found):
        _, kind, key, *_ = found
        if key not in self.storages:
            kinds = {"FloatStorage": torch.float32, "HalfStorage": torch.float16, "LongStorage": torch.int64,
                     "DoubleStorage": torch.float64, "IntStorage": torch.int32, "BFloat16Storage": torch.bfloat16,
                     "BoolStorage": torch.bool, "ByteStorage": torch.uint8}
            if kind not in kinds:
                raise pickle.UnpicklingError(f"unknown storage {kind}")
            data = bytearray(self.archive.read(f"{self.root}/data/{key}"))
            self.storages[key] = torch.frombuffer(data, dtype=kinds[kind]) if data else torch.empty(0, dtype=kinds[kind])
        return self.storages[key]

    @staticmethod
    def tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *_) -> Tensor:
        return torch.as_strided(storage, tuple(size), tuple(stride), offset)


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive by their names, without running anything. Raises CheckpointError."""
    try:
        with zipfile.ZipFile(path) as archive:
            root = archive.namelist()[0].split("/")[0]
            module = _Unpickler(archive, root).load()
    except Exception as error:  # zipfile, zlib, pickle and struct have kinds of their own
        raise CheckpointError(f"{str(path)!r} cannot be read ({type(error).__name__}: {error}); it is cut short or no archive of "
                              "a CLIP. Download it again") from error
    found: dict[str, Tensor] = {}

    def walk(value, prefix: str) -> None:
        for name, child in vars(value).items():
            if isinstance(child, Tensor):
                found[prefix + name] = child
            elif isinstance(child, _Module):
                walk(child, f"{prefix}{name}.")

    walk(module, "")
    return found
