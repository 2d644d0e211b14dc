"""OpenAI's TorchScript archives: their tensors, without running the code that such an archive carries."""

import io
import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from clipmini.files import CheckpointError, check_stored, check_unpacked, read_tensors


def is_torchscript(path: Path) -> bool:
    """Whether a file is an archive that torch.jit.save wrote: those carry code."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.split("/", 1)[-1].startswith("code/") for name in archive.namelist())
    except Exception:  # it is no archive, or a broken one: files.read_tensors says which
        return False


class _Module:
    """Stands for every class of the archive: keeps the attributes and does nothing."""

    def __setstate__(self, state):
        self.__dict__.update(state if isinstance(state, dict) else {})


class _Code(pickle.UnpicklingError):
    """The archive asks for a call that no tensor needs."""


class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined,misc]
    """Reads TorchScript's data.pkl. The only calls it can make are the few below: none runs code of the file. It is
    Python's own unpickler, not C's, which takes any memory that a file asks for."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self.archive, self.root = archive, root
        self.storages: dict[str, Tensor] = {}

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
        raise _Code(f"it wants to call {module}.{name}")

    def persistent_load(self, found):
        _, kind, key, *_ = found
        if key not in self.storages:
            kinds = {"FloatStorage": torch.float32, "HalfStorage": torch.float16, "LongStorage": torch.int64,
                     "DoubleStorage": torch.float64, "IntStorage": torch.int32, "BFloat16Storage": torch.bfloat16,
                     "BoolStorage": torch.bool, "ByteStorage": torch.uint8}
            if kind not in kinds:
                raise pickle.UnpicklingError(f"unknown storage {kind}")
            data = bytearray(self.archive.read(f"{self.root}/data/{key}"))
            dtype = kinds[kind]
            self.storages[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self.storages[key]

    @staticmethod
    def tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *_) -> Tensor:
        found = torch.as_strided(storage, tuple(size), tuple(stride), offset)
        if found.numel() > storage.numel():
            raise pickle.UnpicklingError("a tensor has more numbers than are stored")
        return found


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive by their names, without running anything. Raises CheckpointError."""
    try:
        check_unpacked(path)
        with zipfile.ZipFile(path) as archive:
            root = archive.namelist()[0].split("/")[0]
            found = _tensors_of(_Unpickler(archive, root).load())
    except CheckpointError:
        raise
    except _Code as error:
        raise CheckpointError(f"{str(path)!r} cannot be read: {error}, and code is not run here. Take the model's "
                              ".safetensors file") from error
    except Exception as error:  # zipfile, zlib, pickle and struct have kinds of their own
        raise CheckpointError(f"{str(path)!r} cannot be read ({type(error).__name__}: {error}); it is cut short or no "
                              "archive of a CLIP. Download it again") from error
    check_stored(found, path)
    return found


def _tensors_of(module: _Module) -> dict[str, Tensor]:
    """Every tensor by its name. Each module stands at one place only: others could go round in circles."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    left = [("", module)]
    while left:
        prefix, value = left.pop()
        if id(value) in seen:
            raise pickle.UnpicklingError(f"module {prefix!r} stands at two places")
        seen.add(id(value))
        for name, child in vars(value).items():
            if isinstance(child, Tensor):
                found[prefix + name] = child
            elif isinstance(child, _Module):
                left.append((f"{prefix}{name}.", child))
    return found


def read_archive(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights: a TorchScript archive, or whatever files.read_tensors reads."""
    return read_torchscript(path) if is_torchscript(path) else read_tensors(path)
