"""The temporary folder of this process: private, removed at its end; the next one sweeps what a killed one left.

Nothing here may import gradio: it reads GRADIO_TEMP_DIR when it is imported.
"""

import atexit
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: what a killed process left stays until it is a day old
    fcntl = None  # type: ignore[assignment]

PREFIX, LOCK = "clipmini-app-", "lock"
OLD, VERY_OLD = 3600, 86_400  # seconds
_own: dict[str, Any] = {}


def settle() -> Path:
    """This process's folder, made the first time; gradio's files go into it. What dead processes left is removed."""
    if _own.get("process") != os.getpid():
        base = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
        base.mkdir(parents=True, exist_ok=True)
        sweep_dead(base)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        _own.update(process=os.getpid(), folder=folder, lock=_locked(folder))
        (folder / "gradio").mkdir()
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
        atexit.register(leave)
    return _own["folder"]


def take_all() -> None:
    """Every temporary file of this process goes into its folder; for a process that is the app and nothing else."""
    inside = settle() / "tmp"
    inside.mkdir(exist_ok=True)
    tempfile.tempdir = str(inside)


def leave() -> None:
    """Remove the folder."""
    if _own.get("process") == os.getpid():
        if _own["lock"] is not None:
            _own["lock"].close()
        shutil.rmtree(_own["folder"], ignore_errors=True)


def _locked(folder: Path):
    """The folder's lock, held until this process ends, however it ends."""
    if fcntl is None:
        return None
    file = (folder / f"{LOCK}-new").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    os.replace(file.name, folder / LOCK)  # nobody sees it free
    return file


def _dead(folder: Path) -> bool:
    """Whether the process of a folder has ended."""
    age = time.time() - folder.stat().st_mtime
    if fcntl is None or not (folder / LOCK).exists():
        return age > VERY_OLD
    with (folder / LOCK).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def sweep_dead(base: Path) -> list[Path]:
    """Remove the folders of dead processes of this user -> what was removed."""
    removed = []
    for folder in base.glob(PREFIX + "*"):
        with suppress(OSError):
            mine = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
            if mine and folder.is_dir() and not folder.is_symlink() and _dead(folder):
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
    return removed


def sweep_old(keep: set[str], seconds: float = OLD) -> int:
    """Remove what visitors brought and got more than `seconds` ago -> number of files. keep: paths the page shows."""
    count, then = 0, time.time() - seconds
    root = settle()
    for path in [*(root / "gradio").rglob("*"), *root.glob("tmp/clipmini-*/*"), *root.glob("tmp/tmp*")]:
        with suppress(OSError):
            if path.is_file() and str(path) not in keep and path.lstat().st_mtime < then:
                path.unlink()
                count += 1
    for path in sorted((root / "gradio").rglob("*"), key=lambda p: -len(p.parts)) + list(root.glob("tmp/clipmini-*")):
        with suppress(OSError):
            if path.is_dir() and path.stat().st_mtime < then:
                path.rmdir()  # refused while something is in it
    return count
