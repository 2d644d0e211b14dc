"""Files and folders are written whole or not at all: under a temporary name first, then renamed.

So a full disk, a killed process or Ctrl-C leaves what was there before, and never half of something new.
"""

import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path


class CheckpointError(ValueError):
    """A file or folder of a model that cannot be read or written; the message names it and the remedy."""


@contextmanager
def written_whole(target: Path, what: str = "file"):
    """Give a temporary path beside target; rename it to target when the body ends well, remove it when it does not.

    Works for a file and for a folder. Raises CheckpointError, which says what it is, when the disk says no; the old
    target is then untouched.
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
        # safetensors and Tokenizer.save report a full disk as their own error types, not as OSError.
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


def remove_leftovers(folder: Path) -> None:
    """Delete what writers that were killed left half done in a folder."""
    for pattern in (".*.tmp", ".*.old"):
        for path in Path(folder).glob(pattern):
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
