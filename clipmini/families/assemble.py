"""From other people's tensors to our CLIP, and back into a folder: what the layouts share."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from clipmini.checkpoint import check_finite, check_whole, fill, unfilled
from clipmini.config import CLIPConfig, ConfigError
from clipmini.families.agreement import check_pictures
from clipmini.files import CheckpointError, read_json, write_weights, written_whole
from clipmini.meta_device import without_numbers
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer
from clipmini.vision import interpolated

# What older libraries saved beside the weights: position numbers, masks.
NO_WEIGHTS = ("position_ids", "token_type_ids", "attn_mask", "input_resolution", "context_length", "vocab_size")


@contextmanager
def describing(path: Path) -> Iterator[None]:
    """Whatever a configuration may do wrong becomes a CheckpointError that names the path."""
    try:
        yield
    except CheckpointError:
        raise
    except ConfigError as error:
        raise CheckpointError(f"the configuration of {str(path)!r} describes no CLIP that clipmini has: {error}. Open "
                              "this model with the library that wrote it") from error
    except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise CheckpointError(f"the configuration of {str(path)!r} describes no CLIP that clipmini has "
                              f"({type(error).__name__}: {error}); take the file of the model's own page") from error


def weights_file(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of these files that is in the folder. Raises CheckpointError that lists what was looked for."""
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(f"{str(folder)!r} has no weights; looked for {', '.join(names)}. Download one of them")
    return found


def cleaned(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without NO_WEIGHTS."""
    return {name: tensor for name, tensor in weights.items() if name.rpartition(".")[2] not in NO_WEIGHTS}


def own_mlp_width(hidden: int, width: int) -> int:
    """A file's hidden units as our configurations write them: 0 is four times the width."""
    if hidden == 0:
        raise ConfigError("an MLP has no hidden units")
    return 0 if hidden == 4 * width else hidden


def empty_model(config: CLIPConfig, weights: dict[str, Tensor], source: str) -> CLIP:
    """The CLIP that is to be filled, without memory. Published scales are used as they are, also a hair above ln 100.
    Raises CheckpointError for a configuration that is not of these weights."""
    scale = weights.get("logit_scale")
    if scale is not None and scale.numel() == 1:
        weights["logit_scale"] = scale.reshape(())
        largest = max(config.logit_scale_max, min(float(scale), 100.0))  # NaN and more are told by checkpoint.fill
        config = replace(config, logit_scale_max=largest)
    return unfilled(config, weights, source)


def filled(model: CLIP, weights: dict[str, Tensor], source: str, image_size: int | None) -> CLIP:
    """Weights under our names into the model, strictly, then positions for another picture size. In evaluation mode."""
    # How many batches BatchNorm saw matters to nobody; OpenAI's archives don't say.
    counts = [n for n in model.state_dict() if n.endswith("batches_tracked") and n not in weights]
    weights |= {name: torch.tensor(0) for name in counts}
    model = fill(model, weights, source, assign=True).eval().requires_grad_(False)
    return resized(model, image_size) if image_size and image_size != model.config.vision.image_size else model


def resized(model: CLIP, image_size: int) -> CLIP:
    """The same weights for pictures of another side: position embeddings are interpolated (vision.interpolated). Raises
    CheckpointError for a size that patches or strides do not divide."""
    try:
        config = replace(model.config, vision=replace(model.config.vision, image_size=image_size))
    except ConfigError as error:
        raise CheckpointError(f"pictures of {image_size} pixels: {error}") from error
    weights = dict(model.state_dict())
    for name in (n for n in weights if n.startswith("visual.") and n.endswith("positional_embedding")):
        weights[name] = interpolated(weights[name], config.vision.grid)
    with without_numbers():
        other = CLIP(config)
    return fill(other, weights, "the interpolated model", assign=True).eval().requires_grad_(False)


def check_activation(folder: Path, config: CLIPConfig) -> None:
    """A wrong activation costs accuracy in silence, as wrong pixels do, so two files that disagree are an error."""
    check_pictures(folder)
    vision, text = config.vision, config.text
    said = {vision.activation if vision.tower == "vit" else text.activation, text.activation}
    said -= {"gelu"} if text.tower == "bert" else set()
    other = folder / "open_clip_config.json"
    if (folder / "config.json").is_file() and other.is_file() and text.tower == "transformer":
        model = read_json(other).get("model_cfg", {})
        said.add("quick_gelu" if model.get("quick_gelu") else "gelu")
    if len(said) > 1:
        raise CheckpointError(f"the configurations in {str(folder)!r} contradict one another: "
                              f"{' and '.join(sorted(said))}. OpenAI's weights were trained with quick_gelu, most "
                              "others with gelu; correct the wrong file")


def check_exportable(model, tokenizer, who: str, vision: tuple[str, ...], sigmoid: bool) -> None:
    """Raise CheckpointError unless model is a CLIP with one of these image towers and a text Transformer, its tensors
    and its tokenizer are what its configuration says, and a reader would take all that as it is."""
    if not isinstance(model, CLIP):
        raise CheckpointError(f"only clipmini's own CLIPs can be exported, and this is a {type(model).__name__}")
    config = model.config
    if not (config.vision.tower in vision and config.text.tower == "transformer" and (sigmoid or not config.sigmoid)):
        extra = " with a sigmoid bias" if config.sigmoid and not sigmoid else ""
        raise CheckpointError(f"cannot export a {config.vision.tower!r} + {config.text.tower!r} model{extra}: {who} "
                              "with a text Transformer. Train one, for example `clipmini train emoji-vit`")
    towers = {config.vision.activation, config.text.activation}
    if config.vision.tower == "vit" and len(towers) > 1:
        raise CheckpointError(f"cannot export towers of two activations, {' and '.join(sorted(towers))}: published "
                              "layouts are of one. Train both towers with the same")
    check_whole(model, tokenizer)
    check_finite(model.state_dict(), "the model")


def tell_differences(model: CLIP, tokenizer: Tokenizer, who: str, crop: str, repair: bool) -> None:
    """Warn of what another library does otherwise in its code, where no file can tell it."""
    vision, told = model.config.vision, []
    if vision.resize_mode == "shortest" and vision.crop != crop:
        told.append("cuts an odd number of pixels to the other side, so pictures of some shapes move by one pixel"
                    f" (vision.crop {vision.crop!r} becomes {crop!r})")
    if tokenizer.repair != repair:
        told.append(f"{'mends' if repair else 'does not mend'} broken Unicode and HTML entities in captions, this "
                    f"model's tokenizer {'does not' if repair else 'does'}")
    if told:
        warnings.warn(f"{who} {'; and it '.join(told)}. All else is the same", stacklevel=4)


def written_weights(model: CLIP) -> dict[str, Tensor]:
    """The state dict with the scale that is used: other libraries know no logit_scale_max."""
    weights = dict(model.state_dict())
    return {**weights, "logit_scale": weights["logit_scale"].clamp(max=model.config.logit_scale_max)}


def check_new(folder: Path) -> None:
    """Raise CheckpointError unless a folder is not there, or empty."""
    if folder.is_file():
        raise CheckpointError(f"{str(folder)!r} is a file; export to a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise CheckpointError(f"{str(folder)!r} is not empty; export to a new folder")


def write_export(folder: Path, file: str, weights: dict[str, Tensor], tokenizer: Tokenizer, configs: dict) -> Path:
    """A new folder with a safetensors file, the tokenizer's and JSON files (name -> content), whole or not at all."""
    check_new(folder)
    with written_whole(folder, "export") as temporary:
        temporary.mkdir(parents=True)
        write_weights(weights, temporary / file)
        tokenizer.save(temporary)
        for name, content in configs.items():
            (temporary / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder
