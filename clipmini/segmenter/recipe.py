"""What the embedded segmenter is trained on, and the words that it learns."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from clipmini.data import emoji, parts
from clipmini.data.clutter import scene
from clipmini.data.emoji import words
from clipmini.data.shapes import COLOURS
from clipmini.embedder import Embedder
from clipmini.segmenter.checkpoint import save
from clipmini.segmenter.examples import Picture, Vocabulary, as_picture
from clipmini.segmenter.train import Run, SegmenterTraining, beginning, train
from clipmini.training import TrainingError

SIDE = 144  # pixels of a scene
SHAPES = ("square", "triangle", "circle", "star")
LANGUAGES = ("en", "zh")
CHUNK = 25  # scenes that a process makes at a time


def styles_without(*held_out: str) -> list[str]:
    """The art styles that come apart and are here, less the families of those that are held out. Raises
    TrainingError where none is left."""
    gone = {sister for style in held_out for sister in emoji.sisters(style)}
    kept = [style for style in emoji.available_styles() if style in parts.STYLES and style not in gone]
    if not kept:
        raise TrainingError(f"no art style is here whose drawings come apart ({', '.join(parts.STYLES)}) and which is "
                            f"not held out ({', '.join(sorted(gone))}); run: clipmini data emoji --fetch")
    return kept


def phrasings() -> dict[str, Sequence[str]]:
    """Names of things, each with all that it may be called, in two languages."""
    spoken = [words.phrasings(language) for language in LANGUAGES]
    found: dict[str, Sequence[str]] = {}
    for concept in words.concepts():
        said = [text for language in spoken for text in language.get(concept.hex, [])]
        found.setdefault(spoken[0][concept.hex][0], list(dict.fromkeys(said)))
    for name in (f"{colour} {shape}" for colour in COLOURS for shape in SHAPES):
        found[name] = [name, f"a {name}"]
    return found


def vocabulary(embedder: Embedder) -> Vocabulary:
    """All names as an embedder reads them."""
    found = phrasings()
    return Vocabulary(found, embedder.embed_texts([text for texts in found.values() for text in texts], truncate=True))


def pictures(styles: list[str], n: int, seed: int = 0, size: int = SIDE, progress: bool = True,
             workers: int | None = None) -> list[Picture]:
    """n scenes of art styles, as tensors; scene k of a seed is the same whatever n is. workers: processes that draw
    (default: one a core, none for few scenes)."""
    from tqdm import tqdm

    workers = (os.cpu_count() or 1) if workers is None else workers
    chunks = [(styles, seed, size, start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]
    parts.load(styles, progress=progress)  # cut once, here, where its bar is seen
    bar = tqdm(total=n, desc="drawing scenes", unit="scene", disable=not progress, leave=False)
    found: list[Picture] = []
    with bar:
        for some in _chunks(chunks, workers):
            found += some
            bar.update(len(some))
    return found


def _chunks(chunks: list[tuple], workers: int) -> Iterator[list[Picture]]:
    if workers < 2 or len(chunks) < 2 * workers:
        yield from map(_some, chunks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_some, chunks)


_LOADED: dict[tuple[str, ...], object] = {}  # of a process


def _some(chunk: tuple) -> list[Picture]:
    styles, seed, size, start, end = chunk
    if tuple(styles) not in _LOADED:
        _LOADED[tuple(styles)] = parts.load(styles, progress=False)
    drawings = _LOADED[tuple(styles)]
    return [as_picture(scene(drawings, np.random.default_rng((seed, number)), size)) for number in range(start, end)]


def run_recipe(embedder: Embedder, held_out: str, scenes: int, steps: int, seed: int, folder: Path, command: str = "",
               progress: bool = True) -> Run:
    """Draw scenes of all styles but the held-out one's family, train, and write folder/final. Raises TrainingError,
    CheckpointError."""
    styles = styles_without(held_out)
    config = SegmenterTraining(steps, seed=seed)
    model = beginning(embedder, SIDE, seed)
    drawn = pictures(styles, scenes, seed, SIDE, progress)
    run = train(model, drawn, vocabulary(embedder), config, folder, progress)
    meta = {"command": command, "styles": styles, "held_out": held_out, "scenes": scenes, "steps": run.step,
            "seed": seed, "seconds": round(run.seconds, 1), "begun_with": embedder.name}
    save(folder / "final", run.average, embedder, card(meta), meta)
    return run


def card(meta: dict) -> str:
    """The model card."""
    return f"""# A clipmini segmenter

It cuts out what a click, a box, words or a coarse mask choose, in drawings: its scenes were made of emoji and plain
shapes. It knows no photographs.

| | |
|---|---|
| command | `{meta["command"]}` |
| art styles | {", ".join(meta["styles"])} |
| held out | {meta["held_out"]} and its family |
| scenes | {meta["scenes"]:,}, seed {meta["seed"]} |
| training | {meta["steps"]:,} steps, {meta["seconds"] / 60:.0f} minutes |
| image tower | begun as that of `{meta["begun_with"]}`, whose text tower reads the words |

What it measures on the held-out style: `clipmini segmenter --measure`.
"""
