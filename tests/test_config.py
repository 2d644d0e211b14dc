"""Configurations: what cannot be built is refused by name, and JSON brings everything back."""

import json

import pytest

from clipmini.config import PRESETS, CLIPConfig, ConfigError, TextConfig, VisionConfig, preset


@pytest.mark.parametrize("name", PRESETS)
def test_json_round_trip(name):
    config = PRESETS[name]
    assert CLIPConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("make, words", [
    (lambda: VisionConfig(tower="vgg"), "vision.tower is 'vgg'"),
    (lambda: VisionConfig("vit", 32, 30, 2, 4), "width 30 is not a multiple of vision.heads 4"),
    (lambda: VisionConfig("vit", 30, 32, 2, 4, 8), "image_size 30 is not a multiple of patch_size 8"),
    (lambda: VisionConfig("vit", layers=(1, 1)), "a vit takes one int"),
    (lambda: VisionConfig("light", layers=(1, 1)), "has four stages"),
    (lambda: VisionConfig("resnet", 40, 64, (1, 1, 1, 1)), "use a multiple of 32"),
    (lambda: VisionConfig("vit", 32, 32, 2, 4, 8, activation="relu"), "vision.activation is 'relu'"),
    (lambda: TextConfig(eos_id=60_000), "text.eos_id is 60000, outside the vocabulary"),
    (lambda: TextConfig(context_length=2), "text.context_length is 2"),
    (lambda: TextConfig(sot_id=5, eos_id=5), "are both 5"),
    (lambda: CLIPConfig(embed_dim=0), "embed_dim is 0"),
    (lambda: preset("ViT-Z"), "no preset 'ViT-Z'"),
])
def test_impossible_configurations_are_refused_by_name(make, words):
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        make()


def test_unknown_and_missing_keys_are_named():
    good = PRESETS["light-cbow"].to_dict()
    with pytest.raises(ConfigError, match="unknown configuration key vision.widht"):
        CLIPConfig.from_dict({**good, "vision": {**good["vision"], "widht": 3}})
    with pytest.raises(ConfigError, match="lacks text.eos_id"):
        CLIPConfig.from_dict({**good, "text": {k: v for k, v in good["text"].items() if k != "eos_id"}})
    with pytest.raises(ConfigError, match="no section 'text'"):
        CLIPConfig.from_dict({k: v for k, v in good.items() if k != "text"})
