"""Files: one writer that leaves nothing half done, a lock, caches that know their checksums, and readers of what other
people wrote. Every error names the file.

No code of any file is run.
"""

import hashlib
import json
import os
import shutil
import socket
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

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


def within(seconds: float, ask):
    """What ask() returns or raises. Raises TimeoutError after so many seconds; ask then goes on in a thread that nobody
    waits for (a time limit of a connection does not cover the search for its address, nor an answer that drips)."""
    import queue
    import threading

    answers: queue.Queue = queue.Queue()

    def run() -> None:
        try:
            answers.put((ask(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        found, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer in {seconds:g} seconds") from None
    if error is not None:
        raise error
    return found


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


def _began(pid: int) -> str | None:
    """When a process began, as its system counts: numbers are given out again. "" where that cannot be told, None where
    no such process lives."""
    if sys.platform == "win32":  # os.kill(pid, 0), the question elsewhere, would end it there
        import ctypes
        from ctypes import wintypes

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        found = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        if not found:
            return "" if ctypes.get_last_error() == 5 else None  # 5: access denied, so it is there
        handle, code, times = wintypes.HANDLE(found), wintypes.DWORD(), [wintypes.FILETIME() for _ in range(4)]
        kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        kernel.GetProcessTimes(handle, *map(ctypes.byref, times))
        kernel.CloseHandle(handle)
        return f"{times[0].dwHighDateTime} {times[0].dwLowDateTime}" if code.value == 259 else None  # STILL_ACTIVE
    with suppress(OSError, IndexError):  # Linux; the name before the last bracket may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]  # a zombie writes nothing any more
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # somebody else's, so it is there
    return ""


def _holder(text: str) -> dict | None:
    """What a lock says of the process that holds it; None where it says nothing."""
    with suppress(ValueError, KeyError, TypeError):
        found = json.loads(text)
        if type(found["pid"]) is int and 0 < found["pid"] < 2**31 and found["host"] and "began" in found:
            return found
    return None


def _alive(holder: dict, text: str) -> bool:
    """Whether the process that a lock names may be at work: one of another computer always may."""
    if holder["host"] != socket.gethostname():
        return True
    if holder["pid"] == os.getpid() and text not in _locks:
        return False  # in a container each process may get the number that the killed one had
    began = _began(holder["pid"])
    return began is not None and (not began or not holder["began"] or began == holder["began"])


_locks: set[str] = set()  # what stands in the locks that this process holds


@contextmanager
def locked(path: Path, refused: type[Exception]):
    """Hold a lock file, which names this process and this computer, while the body runs; two bodies never run at once.

    The lock of a dead process of this computer is taken over, with a line on stderr. Raises `refused` where its process
    may live, CheckpointError when the disk says no.
    """
    path, pid = Path(path), os.getpid()
    text = json.dumps({"pid": pid, "host": socket.gethostname(), "began": _began(pid), "token": uuid.uuid4().hex})
    _locks.add(text)
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _take_lock(path, text, refused)
        except OSError as error:
            raise CheckpointError(f"could not write the lock {str(path)!r}: {error}. Free some space or choose another "
                                  "place; what was there before is unchanged.") from error
        yield
    finally:
        _locks.discard(text)
        with suppress(OSError):
            if pid == os.getpid() and path.read_text("utf-8") == text:  # a forked child leaves its parent's alone
                path.unlink()


def _take_lock(path: Path, text: str, refused: type[Exception]) -> None:
    silent = 0  # how often a lock was there that says nothing: just being written, or cut off by a power cut
    while True:
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            pass
        else:
            with os.fdopen(file, "w", encoding="utf-8") as opened:
                opened.write(text)
            return
        try:
            found = path.read_text("utf-8", errors="replace")
        except FileNotFoundError:  # released meanwhile
            continue
        holder = _holder(found)
        if holder is None and silent < 20:
            silent += 1
            time.sleep(0.1)
        elif holder is not None and _alive(holder, found):
            where = "" if holder["host"] == socket.gethostname() else f" on the computer {holder['host']!r}"
            raise refused(f"process {holder['pid']}{where} is at work in {str(path.parent)!r}; wait for it, end it, or "
                          f"choose another folder (--out). If it is no such process, delete {str(path)!r}")
        else:
            who = f"process {holder['pid']}, which was at work there, is" if holder else "who was at work there is"
            _drop_lock(path, found, f"taking over {str(path.parent)!r}: {who} gone")


def _drop_lock(path: Path, stale: str, told: str) -> None:
    """Remove a stale lock, unless somebody else did, and has put his own there since."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    if aside.read_text("utf-8", errors="replace") == stale:
        aside.unlink()
        print(told, file=sys.stderr)
    else:
        os.replace(aside, path)


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
