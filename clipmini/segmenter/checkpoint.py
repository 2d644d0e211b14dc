"""A segmenter on the disk: a folder with config.json, segmenter.safetensors and README.md.

Its words are read by a CLIP's text tower, which is not copied: config.json names the checkpoint and a digest of the
tower, and another tower is an error, for its vectors would mean something else.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from clipmini import embedder as clip
from clipmini.checkpoint import fill, fingerprint
from clipmini.config import ConfigError, VisionConfig
from clipmini.embedder import Embedder
from clipmini.files import CheckpointError, read_json, read_weights, write_weights, written_whole
from clipmini.meta_device import without_numbers
from clipmini.segmenter.model import Segmenter, SegmenterConfig
from clipmini.segmenter.predict import MaskPredictor

FORMAT, WEIGHTS = "segmenter-1", "segmenter.safetensors"
LARGEST = 1024  # the side, and the width, that a configuration may ask for


def words_digest(embedder: Embedder) -> str:
    """16 hex digits of all that a CLIP reads words with: its text tower and its merges."""
    state = embedder.model.state_dict()  # type: ignore[attr-defined]  # ours is a module
    told = hashlib.sha256(fingerprint(embedder.tokenizer).encode())  # type: ignore[arg-type]
    for name in sorted(state):
        if not name.startswith("visual.") and name not in ("logit_scale", "logit_bias"):
            told.update(name.encode() + state[name].float().numpy().tobytes())
    return told.hexdigest()[:16]


def save(folder: str | Path, model: Segmenter, embedder: Embedder, card: str = "", meta: dict | None = None) -> Path:
    """Write a segmenter, its weights in half precision. embedder: whose words it understands. Raises CheckpointError
    when it can't be written."""
    weights = {name: tensor.half() if tensor.is_floating_point() else tensor
               for name, tensor in model.state_dict().items()}
    raw = {"format": FORMAT, "model": model.config.to_dict(),
           "words": {"checkpoint": embedder.name, "digest": words_digest(embedder)}, "meta": meta or {}}
    with written_whole(Path(folder)) as temporary:
        temporary.mkdir(parents=True)
        write_weights(weights, temporary / WEIGHTS)
        (temporary / "config.json").write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")
        (temporary / "README.md").write_text(card or "# A clipmini segmenter\n", encoding="utf-8")
    return Path(folder)


def read(folder: Path) -> tuple[Segmenter, dict[str, Any]]:
    """A folder -> (segmenter, its config.json). Raises CheckpointError."""
    raw = read_json(folder / "config.json")
    if raw.get("format") != FORMAT:
        raise CheckpointError(f"{str(folder)!r} has format {raw.get('format')!r}, and a segmenter has {FORMAT!r}; give "
                              "a folder that `clipmini segmenter` wrote")
    try:
        stated = dict(raw["model"])
        config = SegmenterConfig(VisionConfig(**stated.pop("tower")), **stated)
        if not all(0 < value <= LARGEST for value in (config.side, config.width, config.embed_dim, config.depth)):
            raise ConfigError(f"sizes are 1 to {LARGEST}")
        with without_numbers():
            model = Segmenter(config)
        name, digest = str(raw["words"]["checkpoint"]), str(raw["words"]["digest"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"the configuration of {str(folder)!r} is damaged ({error!r}); copy the folder again"
                              ) from error
    weights = {key: tensor.clone() for key, tensor in read_weights(folder / WEIGHTS).items()}
    fill(model, weights, repr(str(folder / WEIGHTS)), assign=True)  # type: ignore[arg-type,type-var]  # any module
    return model.eval(), {**raw, "words": {"checkpoint": name, "digest": digest}}


def load(folder: Path, name: str, embedder: Embedder | None = None) -> MaskPredictor:
    """A segmenter of ours with the CLIP that reads its words. embedder: that CLIP; default: the checkpoint that the
    folder names. Raises CheckpointError, also for a CLIP whose words it does not know."""
    model, raw = read(folder)
    words = embedder or clip.load(raw["words"]["checkpoint"], device="cpu")
    if words_digest(words) != raw["words"]["digest"]:
        raise CheckpointError(f"{name!r} understands the words of a {raw['words']['checkpoint']!r} with digest "
                              f"{raw['words']['digest']}, and this {words.name!r} has {words_digest(words)}; give "
                              "embedder=, the model that it was trained with")
    return MaskPredictor(model, words, name)
