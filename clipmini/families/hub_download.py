"""Models from the Hugging Face hub: a name -> a folder on this computer, with the files that the families read.

The downloading is huggingface-hub's: its cache (HF_HOME), its offline mode (HF_HUB_OFFLINE=1), its tokens, and its
retries, which go on where a connection broke. Nothing is fetched on import. A model that is whole in the cache needs no
network: the hub has three seconds to name a newer one, and a download that stands still for three is given up; then,
and whatever else happens, the copy answers.
"""

import hashlib
import re
import sys
from pathlib import Path

from clipmini import families, hub_cache
from clipmini.families import hub_stall, hugging_face, open_clip
from clipmini.families.vocabularies import released_merges
from clipmini.files import CheckpointError, read_json
from clipmini.hub_cache import HURRY, short, within

PATIENCE = 20.0  # seconds that the hub has to list a model's files, where no copy is here
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

    Only the best one of its weight files is fetched. Where the hub does not answer, or stalls, a whole copy in the
    cache does, and one line on stderr says which. Raises CheckpointError with the reason and the remedy; the files that
    had arrived whole are kept for the next attempt.
    """
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise CheckpointError(f"{name!r} is on the Hugging Face hub, which needs the package huggingface-hub; "
                              'install it with: pip install "clipmini[hub]"') from None
    repo, _, revision = name.partition("@")
    copy = cached(name)
    if copy and hub_cache.COMMIT.fullmatch(revision):  # what a commit holds never changes
        return copy
    try:
        if copy and not may_download():
            raise CheckpointError("HF_HUB_OFFLINE is set")
        commit, files = within(HURRY if copy else PATIENCE, lambda: _listed(huggingface_hub, repo, revision or None))
        wanted = _wanted(name, files)
        if copy and copy.name == commit and all((copy / file).is_file() for file in wanted):
            return copy
        return _downloaded(huggingface_hub, repo, revision, commit, wanted, progress, copy is not None)
    except Exception as error:  # the hub's, httpx's and the disk's: many kinds
        if copy:
            why = str(error) if isinstance(error, CheckpointError) else f"the hub was no help ({short(error)})"
            print(f"{why}; {name!r} comes from the cache, revision {copy.name}", file=sys.stderr)
            return copy
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(_explained(name, error) + _part(name)) from error


def may_download() -> bool:
    """Whether the hub may be asked: its library is here and HF_HUB_OFFLINE was not set when that was imported."""
    try:
        from huggingface_hub import constants
    except ModuleNotFoundError:
        return False
    return not constants.HF_HUB_OFFLINE


def reachable(seconds: float = HURRY) -> bool:
    """Whether the hub answers now: asked before something that would otherwise wait and retry for minutes."""
    if not may_download():
        return False
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from huggingface_hub import constants

    try:
        within(seconds, lambda: urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=seconds).close())
    except HTTPError:  # it answered, if only to complain
        return True
    except (OSError, ValueError):
        return False
    return True


def cached(name: str) -> Path | None:
    """The folder of a model whose files are all here already, or None. Asks no network."""
    folder = hub_cache.snapshot("model", *name.partition("@")[::2])
    return folder if folder and not _lacking(folder) else None


def _lacking(folder: Path) -> str:
    """What a folder of the cache lacks before it can be loaded, or nothing. Only a part arrives where a download was
    cut short, or where another program wanted a part only."""
    files = hub_cache.files(folder)
    try:
        wanted = _wanted(str(folder), files)
        where = wanted[-1].rpartition("/")[0]
        shards = _shards(folder / wanted[-1]) if wanted[-1].endswith(".index.json") else []
    except CheckpointError:
        return "its weights"
    for shard in shards:
        if not (folder / where / shard).is_file():
            return shard
    names = {file.rpartition("/")[2] for file in wanted}
    if not names & {"config.json", "open_clip_config.json"}:
        return "config.json"
    if not names & {"preprocessor_config.json", "processor_config.json", "open_clip_config.json"}:
        return "preprocessor_config.json"
    if not names & {"merges.txt", "vocab.txt", "tokenizer.json", "spiece.model"} and not released_merges():
        return "tokenizer.json"
    return ""


def _part(name: str) -> str:
    """A sentence about a copy in the cache that is not whole, or nothing."""
    folder = hub_cache.snapshot("model", *name.partition("@")[::2])
    if folder is None:
        return ""
    return f". The cache holds a part of it (revision {folder.name}), which lacks {_lacking(folder)}"


def _listed(hub, repo: str, revision: str | None) -> tuple[str, list[str]]:
    """A model's commit and the names of its files, as the hub has them."""
    if not may_download():
        from huggingface_hub.errors import LocalEntryNotFoundError

        raise LocalEntryNotFoundError("it is not whole in the cache")
    info = hub.HfApi().model_info(repo, revision=revision, timeout=PATIENCE)
    return info.sha or revision or "main", [file.rfilename for file in info.siblings]


def _wanted(name: str, files: list[str]) -> list[str]:
    """Which of a model's files we need: the small ones, and last the best of its weights."""
    within_it = next((f for f in files if f.endswith("_CLIPModel/config.json")), "") if "modules.json" in files else ""
    where = within_it.removesuffix("config.json")  # the CLIP of sentence-transformers has a folder of its own
    there = {file.removeprefix(where) for file in files if file.startswith(where)}
    kinds = [hugging_face, open_clip] if "preprocessor_config.json" in there else [open_clip, hugging_face]
    for kind in kinds:
        found = next((file for file in kind.WEIGHTS if file in there), None)
        if found and (kind is hugging_face or "open_clip_config.json" in there):
            modules = ["modules.json"] if "modules.json" in files else []
            return [*modules, *(where + file for file in SMALL if file in there), where + found]
    raise CheckpointError(f"{name!r} has no weights that clipmini reads: it looks for "
                          f"{', '.join(dict.fromkeys(hugging_face.WEIGHTS + open_clip.WEIGHTS))}; choose another model")


def _downloaded(hub, repo: str, revision: str, commit: str, wanted: list[str], progress: bool, hurry: bool) -> Path:
    """All files of one commit. Only when all are here, the cache's revision is moved to it: one that was whole stays
    whole when a newer one is cut short."""
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    disable_progress_bars() if not progress else None
    try:
        paths = [_one(hub, repo, commit, file, hurry) for file in wanted[:-1]]
        if paths:  # the configuration may say that the weights are not for us, and they are large
            families.claimant(paths[0].parents[wanted[0].count("/")])
        paths.append(_one(hub, repo, commit, wanted[-1], hurry))
        if wanted[-1].endswith(".index.json"):
            where = wanted[-1].rpartition("/")[0]
            for shard in _shards(paths[-1]):
                _one(hub, repo, commit, f"{where}/{shard}".lstrip("/"), hurry)
    finally:
        enable_progress_bars() if not progress else None
    hub_cache.remember(repo, revision, commit)
    return paths[0].parents[wanted[0].count("/")]


def _shards(index: Path) -> list[str]:
    return sorted(set(read_json(index).get("weight_map", {}).values()))


def _one(hub, repo: str, commit: str, file: str, hurry: bool) -> Path:
    """One file, given up when it stalls if there is a hurry; when it has just been downloaded, its checksum is compared
    with what the hub promised."""
    had = isinstance(hub.try_to_load_from_cache(repo, file, revision=commit), str)
    path = Path(hub_stall.download(repo, file, commit) if hurry else
                hub.hf_hub_download(repo, file, revision=commit))
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
    if isinstance(error, (ValueError, errors.FileMetadataError)):  # no JSON, or no headers of the hub's
        return (f"{name!r} could not be downloaded: what answered is not the hub ({type(error).__name__}), maybe the "
                "login page of the network, or a proxy. Open a page in the browser, log in, and try again")
    if isinstance(error, TimeoutError):
        return f"{name!r} could not be downloaded: {error}. Check the connection and try again"
    return (f"{name!r} could not be downloaded ({short(error)}). Check the connection and try again; "
            "files that arrived whole are kept. Until then the embedded models answer, as in clipmini.load('emoji')")
