"""The page that needs no server: a static site whose browser runs the model, from the files of web/ and an export.

    clipmini page FOLDER

Any host of static files serves it, also from a sub-folder: a free Space of the Hugging Face hub, GitHub Pages, a
school's web space. After the first visit it works without a connection.
"""

import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clipmini import families
from clipmini.embedder import Embedder, assets_folder
from clipmini.files import CheckpointError, cache_root, written_whole
from clipmini.model import CLIP
from clipmini.picture_file import shown
from clipmini.tasks.outside import taught_of
from clipmini.tasks.prompts import EVERYDAY_WORDS, TEMPLATES
from clipmini.tokenizer import Tokenizer
from demo_app import web_map

WEB = Path(__file__).resolve().parent / "web"
RUNTIME = "onnxruntime-web"
VERSION = "1.30"  # of npm: the newest of its patches; all figures are of this one
LEAST, ALIKE = 27, ">=1.27.0 <2"  # minor versions whose files have the same names
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
TEMPLATE_SETS = ("plain", "emoji", "photo", "shapes")
LOADED = (".wasm", ".onnx", ".onnx.data")  # what a visitor loads by a click
LARGEST = 1_900_000_000  # bytes of weights: WebAssembly has 4 GB, and the weights are there twice for a moment
SMALL = 1_000  # numbers of a tensor that is left in float32
HEADER = """---
title: clipmini in your browser
emoji: 📎
colorFrom: indigo
colorTo: blue
sdk: static
app_file: index.html
license: apache-2.0
short_description: A CLIP that runs in your browser, no server
---

"""
TEXT = """# clipmini in your browser

The model `{model}` and its page, {raw:.1f} MB in all ({packed:.1f} MB as gzip sends them). Pictures stay in the
browser: nothing is sent anywhere. Copy this folder to any host of static files; opened as a file, without a server,
browsers refuse its modules. To try it here: `python -m http.server --directory THIS_FOLDER`.

Made with `clipmini page`. ONNX Runtime Web {version} by Microsoft runs the model (MIT licence, ort/LICENSE).
"""


@dataclass(frozen=True)
class Built:
    """What was written. raw, packed: bytes, and bytes as gzip sends them; runtime: its version; cosines: the least
    cosine of the exported vectors of pictures and texts to the model's own; warnings: what the page cannot do as Python
    does."""

    folder: Path
    raw: int
    packed: int
    runtime: str
    cosines: dict[str, float]
    warnings: tuple[str, ...] = ()


def build(embedder: Embedder, folder: str | Path, runtime: Path | None = None, half: bool = False,
          own_map: Path | None = None) -> Built:
    """Write the site into a new folder, whole or not at all. runtime: a folder with the unpacked npm package
    onnxruntime-web, fetched by npm where it is not given; half: weights in float16; own_map: a folder that `clipmini
    map` wrote for the model. Raises CheckpointError."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{str(folder)!r} is not an empty folder; give a new one")
    model, tokenizer = embedder.model, embedder.tokenizer
    if not isinstance(model, CLIP) or type(tokenizer) is not Tokenizer:
        raise CheckpointError(f"{embedder.name!r} cannot go to a page: it has a {type(model).__name__} and a "
                              f"{type(tokenizer).__name__}; choose a model with clipmini's own towers and CLIP's "
                              "byte-pair tokenizer, such as emoji or a checkpoint folder of yours")
    if (size := 4 * sum(p.numel() for p in model.parameters())) > LARGEST:
        raise CheckpointError(f"{embedder.name!r} has {size / 1e9:.1f} GB of weights; a browser takes at most "
                              f"{LARGEST / 1e9:.1f} GB. Choose a smaller model")
    package = runtime or fetched_runtime()
    version = _checked_runtime(package)
    with written_whole(folder, "page") as temporary:
        shutil.copytree(WEB, temporary, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
        (temporary / "ort").mkdir(exist_ok=True)
        for name in RUNTIME_FILES:
            shutil.copyfile(package / "dist" / name, temporary / "ort" / name)
        cosines = _exported(embedder, temporary / "model", half)
        _samples(temporary / "samples")
        has_map = web_map.write(embedder, temporary / "map", own_map)
        described = json.dumps(describe(embedder, has_map), ensure_ascii=False, separators=(",", ":"))
        (temporary / "model" / "model.json").write_text(described, encoding="utf-8")
        (temporary / "model" / "merges.bin").write_bytes(merges(tokenizer))
        raw, packed = _finished(temporary, embedder.name, version)
    warnings = [] if has_map else [f"there is no map of {embedder.name!r}, so the page has no such view; make one with "
                                   "`clipmini map` and give its folder with --map"]
    warnings += [] if version.startswith(VERSION + ".") else [f"{RUNTIME} {version} is not {VERSION}, which the page "
                                                              "was tested with"]
    warnings += ["the model wants texts mended by ftfy, which only Python has: broken Unicode and HTML entities are "
                 "read as they are"] if tokenizer.repair else []
    return Built(folder, raw, packed, version, cosines, tuple(warnings))


def describe(embedder: Embedder, has_map: bool = False) -> dict[str, Any]:
    """What the page must know of a model beside its weights: model.json."""
    config, tokenizer = embedder.config, embedder.tokenizer
    assert isinstance(tokenizer, Tokenizer)
    vision = {name: value for name, value in asdict(config.vision).items()
              if name in ("image_size", "mean", "std", "interpolation", "resize_mode", "crop")}
    taught = taught_of(embedder)
    return {"format": 1, "name": embedder.name, "embed_dim": config.embed_dim, "vision": vision,
            "context_length": tokenizer.context_length, "repair": tokenizer.repair,
            "vocab_size": tokenizer.vocab_size, "scale": embedder.logit_scale,
            "bias": embedder.logit_bias, "templates": {name: TEMPLATES[name] for name in TEMPLATE_SETS},
            "everyday": EVERYDAY_WORDS, "words": " ".join(sorted(taught.words)) if taught else None, "map": has_map,
            "parameters": sum(p.numel() for p in embedder.model.parameters())}


def merges(tokenizer: Tokenizer) -> bytes:
    """The ids of the two tokens of each merge, in the order of learning: two bytes each, or four in a large
    vocabulary, little-endian."""
    ids = [tokenizer.vocab[token] for pair in tokenizer.merges for token in pair]
    return np.array(ids, dtype="<u2" if tokenizer.vocab_size <= 65_536 else "<u4").tobytes()


def fetched_runtime() -> Path:
    """The npm package onnxruntime-web, in the cache; npm fetches it where it is not there, and checks it."""
    place = cache_root() / f"{RUNTIME}-{VERSION}"
    if (place / "package.json").is_file():
        return place
    npm = shutil.which("npm")
    if npm is None:
        raise CheckpointError(f"npm is not here, which fetches {RUNTIME} {VERSION}; install Node.js, or unpack that "
                              "package elsewhere and give its folder with --runtime")
    with written_whole(place, "package") as temporary:
        temporary.mkdir(parents=True)
        packed, said = _npm_pack(npm, temporary)
        if packed is None:
            raise CheckpointError(f"npm could not fetch {RUNTIME} {VERSION} ({said}); look at the connection, or give "
                                  "the unpacked package with --runtime")
        with tarfile.open(packed) as archive:
            for member in archive.getmembers():
                name = member.name.removeprefix("package/")
                if member.isfile() and (name == "package.json" or name in [f"dist/{file}" for file in RUNTIME_FILES]):
                    member.name = name
                    archive.extract(member, temporary, filter="data")
        packed.unlink()
    return place


def _npm_pack(npm: str, folder: Path) -> tuple[Path | None, str]:
    """The package of the wanted version, or of one that works alike where a registry lacks it; or what npm says."""
    said = "no message"
    for wanted in (VERSION, ALIKE):
        done = subprocess.run([npm, "pack", f"{RUNTIME}@{wanted}", "--silent", "--pack-destination", str(folder)],
                              capture_output=True, text=True, check=False)
        packed = next(folder.glob("*.tgz"), None)
        if done.returncode == 0 and packed:
            return packed, ""
        said = next(iter((done.stderr or done.stdout).strip().splitlines()), said)
    return None, said


def _checked_runtime(package: Path) -> str:
    """Its version. Raises CheckpointError where a file is missing."""
    missing = [name for name in ("package.json", *(f"dist/{file}" for file in RUNTIME_FILES))
               if not (package / name).is_file()]
    if missing:
        raise CheckpointError(f"{str(package)!r} has no {missing[0]}; give the unpacked npm package {RUNTIME} "
                              f"{VERSION}, with its folder dist")
    try:
        said = json.loads((package / "package.json").read_text(encoding="utf-8"))
        name, version = str(said["name"]), str(said["version"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CheckpointError(f"package.json in {str(package)!r} names no package and version ({error}); unpack "
                              f"{RUNTIME} {VERSION} anew") from None
    major, minor, *_ = (*(int(part) if part.isdigit() else 0 for part in version.split(".")), 0, 0)
    if name != RUNTIME or major != 1 or minor < LEAST:
        raise CheckpointError(f"{str(package)!r} has {shown(name)} {shown(version)}; give {RUNTIME} {VERSION}, which "
                              "the page was tested with")
    return version


def _exported(embedder: Embedder, place: Path, half: bool) -> dict[str, float]:
    """image.onnx and text.onnx -> the least cosines to the model's own vectors."""
    from clipmini.families.onnx import FILES, least_cosines

    whole = place.with_name("export")
    families.export(embedder.model, embedder.tokenizer, whole, "onnx", embedder.meta)
    if half:
        for name in FILES.values():
            halve(whole / name)
    cosines = least_cosines(embedder.model, whole)  # type: ignore[arg-type]  # a CLIP, or build had refused
    place.mkdir()
    for file in whole.glob("*.onnx*"):
        shutil.copyfile(file, place / file.name)
    shutil.rmtree(whole)
    return cosines


def halve(path: Path) -> None:
    """Keep the large tensors of an ONNX file in float16; they become float32 when it is loaded."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path)
    casts = []
    for tensor in graph.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(numpy_helper.to_array(tensor).ravel()) > SMALL:
            name, short = tensor.name, f"{tensor.name}.float16"
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float16"), short))
            casts.append(onnx.helper.make_node("Cast", [short], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    onnx.save(graph, path)


def _samples(place: Path) -> None:
    """The small pictures that the app offers too."""
    place.mkdir()
    for path in sorted((assets_folder() / "samples").glob("*.png")):
        if path.stat().st_size < 20_000:
            shutil.copyfile(path, place / path.name)
    names = sorted(path.stem for path in place.glob("*.png"))
    (place / "samples.json").write_text(json.dumps(names), encoding="utf-8")


def _finished(site: Path, model: str, version: str) -> tuple[int, int]:
    """Write what names all files: the service worker's list, and the README with its sizes -> bytes, bytes packed."""
    worker, readme = site / "sw.js", site / "README.md"
    loaded = sum(path.stat().st_size for path in site.rglob("*") if path.name.endswith(LOADED))
    (site / "sizes.json").write_text(json.dumps({"model": loaded}), encoding="utf-8")
    files = {path.relative_to(site).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
             for path in sorted(site.rglob("*")) if path.is_file() and path != worker}
    script = worker.read_text(encoding="utf-8")
    worker.write_text(script.replace("/* FILES */ {}", json.dumps(files)), encoding="utf-8")
    contents = [path.read_bytes() for path in site.rglob("*") if path.is_file()]
    raw, packed = sum(map(len, contents)), sum(len(gzip.compress(content, 6)) for content in contents)
    readme.write_text(HEADER + TEXT.format(model=model, raw=raw / 1e6, packed=packed / 1e6, version=version),
                      encoding="utf-8")
    return raw + readme.stat().st_size, packed + len(gzip.compress(readme.read_bytes(), 6))
