"""What the files of one folder say together: towers that clipmini does not have, by the name that they give; two files
about the same pictures, which must agree; and pictures that only open_clip_config.json describes."""

from pathlib import Path
from typing import Any

from clipmini.config import OPENAI_MEAN, OPENAI_STD
from clipmini.files import CheckpointError, read_json

WORD_TOWERS = ("clip_text_model", "clip", "chinese_clip_text_model", "bert", "siglip_text_model", "")
PROCESSORS = ("preprocessor_config.json", "processor_config.json")


def _section(raw: dict, name: str) -> dict:
    found = raw.get(name)
    return found if isinstance(found, dict) else {}


def refuse_other_towers(folder: Path) -> None:
    """Raise CheckpointError that names the tower which this folder has and clipmini has not."""
    config, other = folder / "config.json", folder / "open_clip_config.json"
    model = _section(read_json(other), "model_cfg") if other.is_file() else {}
    for section, key, what in (("text_cfg", "hf_model_name", "its text tower is transformers'"),
                               ("vision_cfg", "timm_model_name", "its image tower is timm's")):
        if value := _section(model, section).get(key):
            raise CheckpointError(f"{str(other)!r} says {section}.{key} = {value!r}: {what} {value}, which clipmini "
                                  "does not have. Open this model with open_clip")
    if "multimodal_cfg" in model:
        raise CheckpointError(f"{str(other)!r} has model_cfg.multimodal_cfg: this is a CoCa, whose text decoder "
                              "clipmini does not have. Open this model with open_clip")
    raw = read_json(config) if config.is_file() else {}
    text = _section(raw, "text_config").get("model_type") or ""
    if raw.get("model_type") in ("clip", "chinese_clip", "siglip") and text not in WORD_TOWERS:
        raise CheckpointError(f"{str(config)!r} says text_config.model_type = {text!r}: its text tower is a {text}, "
                              "which clipmini does not have. Open this model with the library that wrote it")


def open_clip_pixels(folder: Path, image_size: int) -> dict[str, Any]:
    """What open_clip_config.json says of pictures, with open_clip's defaults, as fields of VisionConfig; nothing where
    there is none, or transformers' own file, which says it for that library."""
    path = folder / "open_clip_config.json"
    if not path.is_file() or any((folder / name).is_file() for name in PROCESSORS):
        return {}
    said = _open_clip_says(path)
    if said.pop("image_size", image_size) != image_size:
        raise CheckpointError(f"{str(path)!r} makes pictures of another size than config.json's {image_size}; both "
                              "files must be of one model")
    return {"image_size": image_size, "mean": OPENAI_MEAN, "std": OPENAI_STD, **said}


def check_pictures(folder: Path) -> None:
    """Raise CheckpointError where two files prepare the same pictures in two ways: cropped in silence, say, where the
    other one squeezes them, a model loses accuracy and nobody learns why."""
    other = folder / "open_clip_config.json"
    path = next((folder / name for name in PROCESSORS if (folder / name).is_file()), None)
    if path is None or not other.is_file():
        return
    ours, theirs = _transformers_say(path), _open_clip_says(other)
    for key in ours.keys() & theirs.keys():
        if not _equal(ours[key], theirs[key]):
            raise CheckpointError(f"{path.name} and {other.name} in {str(folder)!r} contradict one another: {key} is "
                                  f"{ours[key]!r} in the one and {theirs[key]!r} in the other. Ask the model's page "
                                  "which is right, and delete or correct the wrong file")


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, tuple) and isinstance(two, tuple) and len(one) == len(two):
        return all(abs(a - b) < 1e-3 for a, b in zip(one, two, strict=True))  # some files round OpenAI's numbers
    return one == two


def _open_clip_says(path: Path) -> dict[str, Any]:
    """mean, std, interpolation, resize_mode and image_size, those that are there."""
    said = _section(read_json(path), "preprocess_cfg")
    found = {key: _plain(said[key]) for key in ("mean", "std", "interpolation", "resize_mode")
             if said.get(key) is not None}
    if said.get("size") is not None:
        sides = said["size"] if isinstance(said["size"], list) else [said["size"]] * 2
        found["image_size"] = sides[0] if len(set(sides)) == 1 else tuple(sides)
    return found


def _transformers_say(path: Path) -> dict[str, Any]:
    """The same of preprocessor_config.json."""
    raw = read_json(path)
    raw = _section(raw, "image_processor") or raw
    found = {key: _plain(raw[f"image_{key}"]) for key in ("mean", "std") if raw.get(f"image_{key}") is not None}
    if raw.get("resample") is not None:
        found["interpolation"] = {2: "bilinear", 3: "bicubic"}.get(raw["resample"], f"resample {raw['resample']}")
    size = raw.get("size")
    if isinstance(size, (dict, int)):
        squash = isinstance(size, dict) and "shortest_edge" not in size
        found["resize_mode"] = "squash" if squash else "shortest"
    return found


def _plain(value: Any) -> Any:
    """A list of numbers as a tuple; whatever else as it is, to be refused where it is read."""
    numbers = isinstance(value, list) and all(isinstance(n, (int, float)) for n in value)
    return tuple(value) if numbers else value
