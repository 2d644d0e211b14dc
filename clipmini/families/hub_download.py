"""Models from the Hugging Face hub: a name -> a folder on this computer, with the files that the families read.

The downloading is huggingface-hub's: its cache (HF_HOME), its offline mode (HF_HUB_OFFLINE=1), its tokens, and its
retries, which go on where a connection broke. Nothing is fetched on import.
"""

import hashlib
import re
from pathlib import Path

from clipmini.families import hugging_face, open_clip
from clipmini.files import CheckpointError, read_json

SMALL = ("config.json", "open_clip_config.json", "preprocessor_config.json", "processor_config.json", "merges.txt",
         "vocab.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "spiece.model")
NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def is_name(name: str) -> bool:
    """Whether a string could be a model of the hub: "owner/model", or "owner/model@revision".

    >>> is_name("openai/clip-vit-base-patch32"), is_name("emoji"), is_name("a/b/c")
    (True, False, False)
    """
    return bool(NAME.fullmatch(name)) and not name.startswith(".")


def fetch(name: str, progress: bool = True) -> Path:
    """"owner/model" or "owner/model@revision" -> the folder with its files, downloaded where they are not in the cache.

    Only the best one of its weight files is fetched. Raises CheckpointError with the reason and the remedy; the files
    that had arrived whole are kept for the next attempt.
    """
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise CheckpointError(f"{name!r} is on the Hugging Face hub, which needs the package huggingface-hub; "
                              'install it with: pip install "clipmini[hub]"') from None
    repo, _, revision = name.partition("@")
    try:
        files = _listed(huggingface_hub, repo, revision or None)
        wanted = _wanted(name, files)
        return _downloaded(huggingface_hub, repo, revision or None, wanted, progress)
    except CheckpointError:
        raise
    except Exception as error:  # the hub's, httpx's and the disk's: many kinds
        raise CheckpointError(_explained(name, error)) from error


def may_download() -> bool:
    """Whether the hub may be asked: its library is here and HF_HUB_OFFLINE was not set when that was imported."""
    try:
        from huggingface_hub import constants
    except ModuleNotFoundError:
        return False
    return not constants.HF_HUB_OFFLINE


def reachable(seconds: float = 3.0) -> bool:
    """Whether the hub answers now: asked before something that would otherwise wait and retry for minutes."""
    if not may_download():
        return False
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from huggingface_hub import constants

    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=seconds).close()
    except HTTPError:  # it answered, if only to complain
        return True
    except (OSError, ValueError):
        return False
    return True


def cached(name: str) -> Path | None:
    """The folder of a model whose files are all here already, or None. Asks no network."""
    try:
        import huggingface_hub

        repo, _, revision = name.partition("@")
        folder = Path(huggingface_hub.snapshot_download(repo, revision=revision or None, local_files_only=True))
        return folder if _complete(folder) else None
    except Exception:  # not there, in whatever way
        return None


def _complete(folder: Path) -> bool:
    files = [p.name for p in folder.iterdir()]
    try:
        wanted = _wanted(str(folder), files)
    except CheckpointError:
        return False
    index = next((n for n in wanted if n.endswith(".index.json")), None)
    return index is None or all((folder / shard).is_file() for shard in _shards(folder / index))


def _listed(hub, repo: str, revision: str | None) -> list[str]:
    """Names of a model's files; offline those of the cache."""
    if not may_download():
        folder = Path(hub.snapshot_download(repo, revision=revision, local_files_only=True))
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return [file.rfilename for file in hub.HfApi().model_info(repo, revision=revision).siblings]


def _wanted(name: str, files: list[str]) -> list[str]:
    """Which of a model's files we need: the small ones, and the best of its weights."""
    kinds = [hugging_face, open_clip] if "preprocessor_config.json" in files else [open_clip, hugging_face]
    for kind in kinds:
        found = next((file for file in kind.WEIGHTS if file in files), None)
        if found and (kind is hugging_face or "open_clip_config.json" in files):
            return [*(file for file in SMALL if file in files), found]
    raise CheckpointError(f"{name!r} has no weights that clipmini reads: it looks for "
                          f"{', '.join(dict.fromkeys(hugging_face.WEIGHTS + open_clip.WEIGHTS))}; choose another model")


def _downloaded(hub, repo: str, revision: str | None, wanted: list[str], progress: bool) -> Path:
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    disable_progress_bars() if not progress else None
    try:
        paths = [_one(hub, repo, revision, file) for file in wanted]
        if wanted[-1].endswith(".index.json"):
            paths += [_one(hub, repo, revision, shard) for shard in _shards(paths[-1])]
    finally:
        enable_progress_bars() if not progress else None
    return paths[0].parent


def _shards(index: Path) -> list[str]:
    return sorted(set(read_json(index).get("weight_map", {}).values()))


def _one(hub, repo: str, revision: str | None, file: str) -> Path:
    """One file; when it has just been downloaded, its checksum is compared with what the hub promised."""
    had = isinstance(hub.try_to_load_from_cache(repo, file, revision=revision), str)
    path = Path(hub.hf_hub_download(repo, file, revision=revision))
    blob = path.resolve()
    if not had and re.fullmatch(r"[0-9a-f]{64}", blob.name):  # large files are stored under their SHA-256
        with open(blob, "rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != blob.name:
            path.unlink()
            blob.unlink(missing_ok=True)
            raise CheckpointError(f"{file!r} of {repo!r} arrived damaged: its checksum is {found[:12]}, the hub says "
                                  f"{blob.name[:12]}. It was deleted; try again")
    return path


def _explained(name: str, error: Exception) -> str:
    """What went wrong, for people."""
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return f"{name!r} is gated: accept its licence on the hub's page of the model, then log in with `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name!r} has no such revision; omit it for the newest"
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        return (f"the hub knows no public model {name!r} (status {status}); check the spelling, or log in with `hf "
                "auth login` if it is private")
    if isinstance(error, (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)):
        return (f"{name!r} is not in the cache, and the hub cannot be reached or HF_HUB_OFFLINE is set. Connect once "
                f"and load it; until then the embedded models answer, as in clipmini.load('emoji')")
    if status:
        return f"the hub answered {status} for {name!r}; try again later. Files that arrived whole are kept"
    if isinstance(error, OSError) and error.errno == 28:
        return (f"the disk is full: {name!r} is not whole yet. Free some space and try again; files that arrived whole "
                "are kept")
    return (f"{name!r} could not be downloaded ({type(error).__name__}: {error}). Check the connection and try again; "
            "files that arrived whole are kept. Until then the embedded models answer, as in clipmini.load('emoji')")
