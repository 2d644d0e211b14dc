"""What the files of one folder say together: towers that clipmini does not have, by the name that they give; two files
about the same pictures, which must agree; and pictures that only open_clip_config.json describes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipmini.config import OPENAI_MEAN, OPENAI_STD
from clipmini.families import known
from clipmini.files import CheckpointError, read_json

WORD_TOWERS = ("clip_text_model", "clip", "chinese_clip_text_model", "bert", "siglip_text_model", "")
TYPES = ("clip", "chinese_clip", "siglip")  # model_type in transformers' config.json
REMEDY = "Ask the model's page which is right, and delete or correct the wrong file"


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
    if raw.get("model_type") in TYPES and text not in WORD_TOWERS:
        raise CheckpointError(f"{str(config)!r} says text_config.model_type = {text!r}: its text tower is a {text}, "
                              "which clipmini does not have. Open this model with the library that wrote it")


def processor(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The file that says for transformers how pictures are prepared, and what it says: processor_config.json with a
    section on them wins over preprocessor_config.json, as there. None where there is neither."""
    newer, older = folder / "processor_config.json", folder / "preprocessor_config.json"
    whole = read_json(newer) if newer.is_file() else {}
    if "image_processor" not in whole and older.is_file():
        return older, read_json(older)
    return (newer, whole) if newer.is_file() else None


def open_clip_pixels(folder: Path) -> dict[str, Any]:
    """What open_clip_config.json says of pictures, with open_clip's defaults, as fields of VisionConfig; nothing where
    there is none, or transformers' own file, which says it for that library."""
    path = folder / "open_clip_config.json"
    if not path.is_file() or processor(folder):
        return {}
    return {"mean": OPENAI_MEAN, "std": OPENAI_STD, **_open_clip_says(path)}


def check_size(folder: Path, tower: str, image_size: int) -> None:
    """Raise CheckpointError where a file says another side of pictures than the tower takes. tower: the name of the
    file that describes it. To make pictures larger and then cut out the side that the tower takes is no contradiction.
    """
    for path, what, value in _sizes(folder):
        said = known.square(value, what, path)
        if path.name != tower and said not in (None, image_size):
            raise CheckpointError(f"{path.name} and {tower} in {str(folder)!r} contradict one another: {what} {said} "
                                  f"in the one, a tower for pictures of {image_size} pixels in the other. {REMEDY}")


def _sizes(folder: Path) -> Iterator[tuple[Path, str, Any]]:
    """Each place that may say how large pictures are when they reach the tower: (file, what it says, the side)."""
    config, other = folder / "config.json", folder / "open_clip_config.json"
    raw = read_json(config) if config.is_file() else {}
    if raw.get("model_type") in TYPES:
        older = "vision_config_dict"  # wins where it is there
        name = older if raw.get(older) is not None else "vision_config"
        yield config, f"{name}.image_size", _section(raw, name).get("image_size")
    raw = read_json(other) if other.is_file() else {}
    vision = _section(_section(raw, "model_cfg"), "vision_cfg")
    yield other, "model_cfg.vision_cfg.image_size", vision.get("image_size")
    yield other, "preprocess_cfg.size", _section(raw, "preprocess_cfg").get("size")
    if found := processor(folder):
        path, raw = found[0], _of_pictures(found[1])
        size, squash = raw.get("size"), _squashes(raw)
        if raw.get("do_center_crop", not squash):
            edge = size.get("shortest_edge", size.get("height")) if isinstance(size, dict) else size
            yield path, f"pictures of {edge} cut to", known.square(raw.get("crop_size"), "crop_size", path)
        elif squash:
            yield path, "size", size


def check_pictures(folder: Path) -> None:
    """Raise CheckpointError where two files prepare the same pictures in two ways: cropped in silence, say, where the
    other one squeezes them, a model loses accuracy and nobody learns why."""
    found, other = processor(folder), folder / "open_clip_config.json"
    if found is None or not other.is_file():
        return
    ours, theirs = _transformers_say(found[1]), _open_clip_says(other)
    for key in ours.keys() & theirs.keys():
        if not _equal(ours[key], theirs[key]):
            raise CheckpointError(f"{found[0].name} and {other.name} in {str(folder)!r} contradict one another: {key} "
                                  f"is {ours[key]!r} in the one and {theirs[key]!r} in the other. {REMEDY}")


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, tuple) and isinstance(two, tuple) and len(one) == len(two):
        return all(abs(a - b) < 1e-3 for a, b in zip(one, two, strict=True))  # some files round OpenAI's numbers
    return one == two


def _open_clip_says(path: Path) -> dict[str, Any]:
    """mean, std, interpolation and resize_mode, those that are there."""
    said = _section(read_json(path), "preprocess_cfg")
    return {key: _plain(said[key]) for key in ("mean", "std", "interpolation", "resize_mode")
            if said.get(key) is not None}


def _transformers_say(raw: dict) -> dict[str, Any]:
    """The same of transformers' file."""
    raw = _of_pictures(raw)
    found = {key: _plain(raw[f"image_{key}"]) for key in ("mean", "std") if f"image_{key}" in raw}
    if "resample" in raw:
        found["interpolation"] = {2: "bilinear", 3: "bicubic"}.get(raw["resample"], f"resample {raw['resample']}")
    if isinstance(raw.get("size"), (dict, int)):
        found["resize_mode"] = "squash" if _squashes(raw) else "shortest"
    return found


def _of_pictures(raw: dict) -> dict[str, Any]:
    """The entries of transformers' file that speak of pictures, without nulls, which ask for nothing."""
    raw = _section(raw, "image_processor") or raw
    return {key: value for key, value in raw.items() if value is not None}


def _squashes(raw: dict) -> bool:
    return isinstance(raw.get("size"), dict) and "shortest_edge" not in raw["size"]


def _plain(value: Any) -> Any:
    """A list of numbers as a tuple; whatever else as it is, to be refused where it is read."""
    numbers = isinstance(value, list) and all(isinstance(n, (int, float)) for n in value)
    return tuple(value) if numbers else value
