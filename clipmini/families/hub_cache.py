"""The hub's cache on this computer, read as it lies there: models--OWNER--NAME/refs/REVISION names a commit,
snapshots/COMMIT holds its files. https://huggingface.co/docs/huggingface_hub/guides/manage-cache

huggingface-hub's own reader refuses a snapshot without files that nobody here wants (those of TensorFlow, say).
"""

import re
from pathlib import Path

COMMIT = re.compile("[0-9a-f]{40}")


def _home(kind: str, repo: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{kind}s--{repo.replace('/', '--')}"


def snapshot(kind: str, repo: str, revision: str = "") -> Path | None:
    """The folder of a revision (default: main), whole or not; None where there is none, or no library. kind: "model" or
    "dataset"."""
    try:
        home, revision = _home(kind, repo), revision or "main"
        ref = home / "refs" / revision
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
        found = home / "snapshots" / commit
        return found if COMMIT.fullmatch(commit) and found.is_dir() else None
    except (ModuleNotFoundError, OSError, ValueError):
        return None


def files(folder: Path) -> list[str]:
    """Names of the files that are there, of subfolders too; links to nothing are none."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def remember(repo: str, revision: str, commit: str) -> None:
    """Let a model's revision (default: main) mean this commit from now on."""
    ref = _home("model", repo) / "refs" / (revision or "main")
    if COMMIT.fullmatch(commit) and not COMMIT.fullmatch(revision) and ".." not in revision.split("/"):
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit, encoding="utf-8")
