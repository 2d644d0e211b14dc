"""A map of the space: pictures and texts as points of a plane, neighbours near each other.

UMAP (McInnes et al. 2018, package umap-learn) where there are points enough, PCA at once and for a few. What a map
keeps is who is near whom; distances between far groups, and the axes, mean nothing.
"""

import hashlib
import io
import logging
import os
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from clipmini.files import CheckpointError, sealed, unsealed, written_whole

NEIGHBOURS = 15
FEWEST = 8  # points; below, neighbourhoods say nothing and PCA answers
MOST = 50_000
_compiling = threading.Lock()
log = logging.getLogger("clipmini")  # where nobody has set up logging, its lines go to stderr


class MapError(ValueError):
    """Points that no map can be drawn of; the message says why."""


def checked(vectors: Tensor) -> Tensor:
    """(N, E) float32 on the CPU. Raises MapError for no rows, more than MOST, and numbers that are none."""
    vectors = torch.as_tensor(vectors).detach().float().cpu()
    if vectors.ndim != 2 or not 1 <= len(vectors) <= MOST:
        raise MapError(f"points of shape {tuple(vectors.shape)}; a map wants (N, E) with N from 1 to {MOST:,}. Take a "
                       "sample")
    bad = (~torch.isfinite(vectors).all(1)).nonzero()
    if len(bad):
        raise MapError(f"row {int(bad[0])} holds NaN or infinite numbers ({len(bad)} such rows); leave them out")
    return vectors


def pca(vectors: Tensor) -> Tensor:
    """The two directions in which unit vectors (N, E) spread most -> (N, 2), the mean at 0. Exact, and the same each
    time.

    >>> pca(torch.eye(2)).shape
    torch.Size([2, 2])
    """
    centred = checked(vectors).double()
    centred = centred - centred.mean(0)
    _, spread, directions = torch.linalg.svd(centred, full_matrices=False)
    directions = directions[:2] * torch.sign(directions[:2].sum(1, keepdim=True) + 1e-12)  # svd leaves the sign open
    xy = centred @ directions.t()
    if xy.shape[1] < 2:  # one point, or one dimension
        xy = torch.cat([xy, xy.new_zeros(len(xy), 2 - xy.shape[1])], dim=1)
    return xy.float() if spread[0] > 1e-9 else torch.zeros(len(xy), 2)


def nearest(queries: Tensor, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest points by cosine of each query: (indices (Q, k), cosine distances (Q, k)), nearest first. Exact."""
    points = torch.nn.functional.normalize(points, dim=1)
    found = [(torch.nn.functional.normalize(q, dim=1) @ points.t()).topk(k, dim=1) for q in queries.split(1024)]
    return torch.cat([f.indices for f in found]), (1 - torch.cat([f.values for f in found])).clamp(min=0)


def umap(vectors: Tensor, seed: int = 0, neighbours: int = NEIGHBOURS, start: Tensor | None = None) -> Tensor:
    """UMAP of unit vectors (N, E) by cosine -> (N, 2). The same seed gives the same map; fewer than FEWEST points go to
    `pca`.

    start: places (N, 2) to begin from, such as another map of the same points.

    The first call of a process compiles for a quarter of a minute or more: see warm_up.
    """
    vectors = checked(vectors)
    if len(vectors) < FEWEST or bool((vectors - vectors[0]).abs().max() < 1e-6):
        return pca(vectors)
    import warnings

    with _compiling, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads that a seed costs, and of transform, which is not used here
        try:
            UMAP = _umap_class()
        except (RuntimeError, OSError, ImportError) as error:
            if isinstance(error, ModuleNotFoundError):
                raise  # not installed: the commands say what to install
            log.warning("note: the map is by PCA, since UMAP cannot run here: %s", " ".join(str(error).split()))
            return pca(vectors)
        k = min(neighbours, len(vectors) - 1)
        indices, distances = nearest(vectors, vectors, k)
        mapper = UMAP(n_neighbors=k, metric="cosine", random_state=seed, n_jobs=1, min_dist=0.1,
                      init=start.numpy() if start is not None else "spectral" if len(vectors) > 4 * k else "random",
                      precomputed_knn=(indices.numpy().astype(np.int32), distances.numpy().astype(np.float32)))
        return torch.from_numpy(np.asarray(mapper.fit_transform(vectors.numpy()), np.float32))


@lru_cache(maxsize=1)
def _numba_folder() -> TemporaryDirectory:
    """For what numba compiles; gone when the process ends. A fixed place could be written by others, and is code."""
    return TemporaryDirectory(prefix="clipmini-numba-")


def _umap_class():
    """umap.UMAP. Its functions are compiled when it is imported, and kept beside it or in the user's home; where
    neither can be written (a container with another user's files and no home), in a temporary folder."""
    try:
        from umap import UMAP
    except RuntimeError as error:  # "cannot cache function ...: no locator available for file ..."
        if "cache" not in str(error):
            raise
        from numba import config

        os.environ["NUMBA_CACHE_DIR"] = folder = _numba_folder().name
        setattr(config, "CACHE_DIR", folder)  # noqa: B010 (it was read from the environment at numba's import)
        from umap import UMAP
    return UMAP


def warm_up() -> threading.Thread:
    """Start compiling UMAP in the background, with fifty random points. Returns the thread."""
    points = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    thread = threading.Thread(target=umap, args=(points,), name="umap-compiler", daemon=True)
    thread.start()
    return thread


def is_warm() -> bool:
    """Whether a map could be made at once."""
    import sys

    return "umap" in sys.modules and not _compiling.locked()


def project(vectors: Tensor, method: str = "umap", seed: int = 0, cache: str | Path | None = None) -> Tensor:
    """umap or pca of unit vectors (N, E) -> (N, 2), kept in the folder `cache` under a name made of the content."""
    if method not in ("umap", "pca"):
        raise MapError(f"there is no map {method!r}; choose umap or pca")
    vectors = checked(vectors)
    make = (lambda: umap(vectors, seed)) if method == "umap" else (lambda: pca(vectors))
    if cache is None:
        return make()
    content = vectors.numpy().tobytes() + f"{method} {seed} {NEIGHBOURS} {vectors.shape}".encode()
    path = Path(cache) / f"map-{hashlib.sha256(content).hexdigest()[:24]}.npy"
    kept = unsealed(path)  # None: not there yet, or damaged
    if kept is not None:
        return torch.from_numpy(np.load(io.BytesIO(kept), allow_pickle=False))
    xy = make()
    with suppress(CheckpointError):  # a full disk costs the next start some seconds, no more
        made = io.BytesIO()
        np.save(made, xy.numpy(), allow_pickle=False)
        with written_whole(path, "map") as temporary:
            temporary.write_bytes(sealed(made.getvalue()))
    return xy


def place(new: Tensor, vectors: Tensor, xy: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """New points (Q, E) on a map that is there: the mean of their nearest neighbours' places, nearer ones counting more
    -> (Q, 2). Always inside their hull."""
    new, vectors = checked(new), checked(vectors)
    indices, distances = nearest(new, vectors, min(neighbours, len(vectors)))
    weights = torch.softmax(-distances / distances[:, :1].clamp(min=0.05), dim=1)  # the nearest sets the scale
    return (weights[:, :, None] * xy[indices]).sum(1)


def modality_gap(images: Tensor, texts: Tensor) -> float:
    """How far apart pictures and texts live: the distance of the means of their unit vectors, 0 to 2 (Liang et al.
    2022).

    >>> modality_gap(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])) == 2 ** 0.5
    True
    """
    return (images.mean(0) - texts.mean(0)).double().norm().item()


def without_gap(images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Each modality less its own mean, unit length again: what is left is what the vectors say, not how they say it."""
    normalize = torch.nn.functional.normalize
    return normalize(images - images.mean(0), dim=1), normalize(texts - texts.mean(0), dim=1)


def aligned(maps: list[Tensor]) -> list[Tensor]:
    """Maps (N, 2) of the same points, each moved, turned or mirrored, and scaled onto the one before (Procrustes), so
    that in a film points move and don't jump."""
    out = [maps[0] - maps[0].mean(0)]
    for xy in maps[1:]:
        before, xy = out[-1], xy - xy.mean(0)
        u, s, v = torch.linalg.svd(xy.t() @ before)
        out.append(xy @ (u @ v) * (s.sum() / xy.square().sum().clamp(min=1e-12)))
    return out


def film(steps: list[Tensor], seed: int = 0) -> list[Tensor]:
    """The vectors (N, E) of the same points at several steps of a training -> one map (N, 2) for each.

    The last step is mapped first; each earlier one starts from the map of the step after it, and is aligned to it.
    """
    maps = [umap(steps[-1], seed)]
    for step in reversed(steps[:-1]):
        maps.append(umap(step, seed, start=maps[-1]))
    return aligned(maps)[::-1]
