"""The hub's cache on this computer, read as it lies there: models--OWNER--NAME/refs/REVISION names a commit,
snapshots/COMMIT holds its files. https://huggingface.co/docs/huggingface_hub/guides/manage-cache

huggingface-hub's own reader refuses a snapshot without files that nobody here wants (those of TensorFlow, say).
"""

import queue
import re
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path

COMMIT = re.compile("[0-9a-f]{40}")
HURRY = 3.0  # seconds that the hub has to be of help where a whole copy is here


def home(kind: str, repo: str) -> Path:
    """The folder of a model or dataset, whether it is there or not."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{kind}s--{repo.replace('/', '--')}"


def snapshot(kind: str, repo: str, revision: str = "") -> Path | None:
    """The folder of a revision (default: main), whole or not; None where there is none, or no library. kind: "model" or
    "dataset"."""
    try:
        folder, revision = home(kind, repo), revision or "main"
        ref = folder / "refs" / revision
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
        found = folder / "snapshots" / commit
        return found if COMMIT.fullmatch(commit) and found.is_dir() else None
    except (ModuleNotFoundError, OSError, ValueError):
        return None


def files(folder: Path) -> list[str]:
    """Names of the files that are there, of subfolders too; links to nothing are none."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def remember(repo: str, revision: str, commit: str) -> None:
    """Let a model's revision (default: main) mean this commit from now on."""
    ref = home("model", repo) / "refs" / (revision or "main")
    if COMMIT.fullmatch(commit) and not COMMIT.fullmatch(revision) and ".." not in revision.split("/"):
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit, encoding="utf-8")


def within(seconds: float, ask: Callable, heard: Callable[[], float] = lambda: float("-inf")):
    """What ask() returns or raises. Raises TimeoutError after so many seconds; ask then goes on in a thread that nobody
    waits for (a time limit of a connection does not cover the search for its address, nor an answer that drips).
    heard() is the time.monotonic() of the last sign of life, from which the seconds count anew."""
    answers: queue.Queue = queue.Queue()

    def run() -> None:
        try:
            answers.put((ask(), None))
        except Exception as error:
            answers.put((None, error))

    end = time.monotonic() + seconds
    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()  # gradio shows progress by context
    while True:
        try:
            found, error = answers.get(timeout=max(0.0, end - time.monotonic()))
            break
        except queue.Empty:
            end = heard() + seconds
            if end <= time.monotonic():
                raise TimeoutError(f"no answer in {seconds:g} seconds") from None
    if error is not None:
        raise error
    return found


def short(error: Exception) -> str:
    """An error in one line."""
    said = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {said[0][:200]}"
