"""A model of the hub fetched by a process of its own: it says how far it is, can be stopped, and goes on where it was.

huggingface-hub reads HF_HUB_OFFLINE for a whole process: a page that must talk to nobody stays offline while this one
asks. Its own downloads begin anew when they are stopped (each has a temporary file of its own); here what has arrived
stays beside the blobs of the cache, under the checksum of what it is a part of, until it is whole and compared.
"""

import hashlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clipmini import families, hub_cache
from clipmini.families import hub_download
from clipmini.files import CheckpointError
from clipmini.lock import locked

PART = ".clipmini-part"
CHUNK = 2**18  # bytes in one write: what a stop may lose
OFTEN = 0.3  # seconds between two reports


@dataclass(frozen=True)
class Progress:
    """How much of a model has arrived, in bytes. total_bytes: 0 until the hub has told it."""

    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class _File:
    """A file of one commit. digest: the name of its blob; the SHA-256 where it is large."""

    name: str
    url: str
    digest: str
    size: int


def fetch(name: str) -> Iterator[Progress]:
    """Fetch "owner/model" into the hub's cache; closing the iterator stops it, and the next one goes on from there.

    Yields at least twice a second. Raises CheckpointError with the reason and the remedy.
    """
    if not hub_download.is_name(name):
        raise CheckpointError(f"{name[:80]!r} is no name of the hub; give one like 'openai/clip-vit-base-patch32'")
    process = subprocess.Popen([sys.executable, "-m", __name__, name], env=_online(), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    said: queue.Queue[dict] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, said.put), daemon=True)
    reader.start()
    progress = Progress(0, 0)
    try:
        while True:
            try:
                report = said.get(timeout=OFTEN)
            except queue.Empty:
                report = {}
            if "error" in report:
                raise CheckpointError(report["error"])
            if "folder" in report:
                yield Progress(progress.total_bytes, progress.total_bytes)
                return
            progress = Progress(**report) if report else progress
            yield progress
    finally:
        process.kill()
        process.wait()
        reader.join(5)


def _online() -> dict[str, str]:
    """The environment of a process that may ask the hub, and finds this package."""
    ours = {key: value for key, value in os.environ.items() if key != "TRANSFORMERS_OFFLINE"}
    here = str(Path(families.__file__).resolve().parents[2])
    return ours | {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1",
                   "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))}


def _read(process, report: Callable[[dict], None]) -> None:
    """Hand on what the other process says, line by line, and at its end that it ended."""
    for line in process.stdout:
        report(json.loads(line))
    report({"error": f"the download ended without a word (exit code {process.wait()}); try again"})


def _print(**report) -> None:
    try:
        print(json.dumps(report), flush=True)
    except BrokenPipeError:  # whoever asked is gone
        os._exit(1)


def main(name: str) -> None:
    """What the other process does: it prints one JSON object a line."""
    try:
        folder = _fetched(name)
    except CheckpointError as error:
        _print(error=str(error))
    except Exception as error:  # the hub's, httpx's and the disk's: many kinds
        _print(error=hub_download._explained(name, error))
    else:
        _print(folder=str(folder))


def _fetched(name: str) -> Path:
    """All files of a model's newest commit in the cache -> its folder."""
    try:
        import huggingface_hub
        from huggingface_hub import constants
    except ModuleNotFoundError:
        raise CheckpointError("fetching needs the package huggingface-hub; pip install huggingface-hub") from None
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK
    if not hub_download.reachable():
        raise CheckpointError("the Hugging Face hub cannot be reached; connect and try again. What has arrived is kept")
    repo, _, revision = name.partition("@")
    commit, names = hub_download._listed(huggingface_hub, repo, revision or None)
    wanted = hub_download._wanted(name, names)
    files = [_described(huggingface_hub, repo, commit, file) for file in wanted]
    blobs = hub_cache.home("model", repo) / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    with _alone(blobs, name):
        _sweep(blobs, files)
        paths = _all(huggingface_hub, repo, commit, blobs, files)
        folder = paths[0].parents[wanted[0].count("/")]
        if wanted[-1].endswith(".index.json"):
            where = wanted[-1].rpartition("/")[0]
            shards = [_described(huggingface_hub, repo, commit, f"{where}/{shard}".lstrip("/"))
                      for shard in hub_download._shards(paths[-1])]
            _all(huggingface_hub, repo, commit, blobs, shards)
    hub_cache.remember(repo, revision, commit)
    return folder


class _Busy(CheckpointError):
    pass


@contextmanager
def _alone(blobs: Path, name: str):
    """One process at a time fetches a model."""
    try:
        with locked(blobs / ".clipmini-fetch.lock", _Busy):
            yield
    except _Busy:
        raise CheckpointError(f"{name!r} is being fetched by another process of this computer; wait for it") from None


def _described(hub, repo: str, commit: str, file: str) -> _File:
    url = hub.hf_hub_url(repo, file, revision=commit)
    found = hub.get_hf_file_metadata(url)
    if not found.etag or found.size is None:
        raise CheckpointError(f"what answered for {file!r} of {repo!r} is not the hub; it may be the login page of the "
                              "network, or a proxy. Open a page in the browser, log in, and try again")
    return _File(file, url, found.etag, found.size)


def _all(hub, repo: str, commit: str, blobs: Path, files: list[_File]) -> list[Path]:
    """Bring files into the cache, telling how far that is."""
    total = sum(file.size for file in files)
    _check_room(blobs, sum(file.size - _arrived(blobs, file) for file in files))
    over = threading.Event()

    def tell() -> None:
        while not over.wait(OFTEN):
            _print(done_bytes=sum(_arrived(blobs, file) for file in files), total_bytes=total)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        return [_one(hub, repo, commit, blobs, file, number == len(files) - 1) for number, file in enumerate(files)]
    finally:
        over.set()
        teller.join()


def _arrived(blobs: Path, file: _File) -> int:
    """How many bytes of a file are here."""
    for path in (blobs / file.digest, blobs / (file.digest + PART)):
        try:
            return min(path.stat().st_size, file.size)
        except OSError:
            continue
    return 0


def _check_room(blobs: Path, lacking: int) -> None:
    free = shutil.disk_usage(blobs).free
    if lacking > free:
        raise CheckpointError(f"{lacking / 1e6:,.0f} MB are still to come and the disk has {free / 1e6:,.0f} MB left; "
                              "free some space and try again. What has arrived is kept")


def _sweep(blobs: Path, files: list[_File]) -> None:
    """Delete parts of files that this commit has not: the model has changed since they came."""
    wanted = {file.digest + PART for file in files}
    for part in blobs.glob("*" + PART):
        if part.name not in wanted and time.time() - part.stat().st_mtime > 24 * 3600:
            part.unlink(missing_ok=True)


def _one(hub, repo: str, commit: str, blobs: Path, file: _File, last: bool) -> Path:
    """One file, from where it was left -> its path in the snapshot. Before the last one, the weights, the configuration
    is read: it may say that they are not for us."""
    from huggingface_hub.file_download import http_get

    if isinstance(had := hub.try_to_load_from_cache(repo, file.name, revision=commit), str):
        return Path(had)
    blob, part = blobs / file.digest, blobs / (file.digest + PART)
    if last and not blob.exists():
        first = next((blobs.parent / "snapshots" / commit).rglob("*config.json"), None)
        families.claimant(first.parent) if first else None
    if not blob.exists():
        with part.open("ab", buffering=0) as opened:
            if part.stat().st_size > file.size:
                opened.truncate(0)
            http_get(file.url, opened, resume_size=part.stat().st_size, headers=hub.utils.build_hf_headers(),
                     expected_size=file.size)
        _check(repo, file, part)
        os.replace(part, blob)
    return Path(hub.hf_hub_download(repo, file.name, revision=commit))


def _check(repo: str, file: _File, part: Path) -> None:
    """Compare a whole file with the checksum that the hub promised. Raises CheckpointError, the file deleted."""
    if not re.fullmatch(r"[0-9a-f]{64}", file.digest):
        return
    with part.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != file.digest:
        part.unlink()
        raise CheckpointError(f"{file.name!r} of {repo!r} arrived damaged: its checksum is {found[:12]}, the hub says "
                              f"{file.digest[:12]}. It was deleted; try again")


if __name__ == "__main__":
    main(sys.argv[1])
