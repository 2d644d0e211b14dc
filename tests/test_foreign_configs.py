"""Other people's configurations: a key that is read is obeyed, any other is refused by name, and nothing is guessed."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPImageProcessorPil, CLIPModel

import clipmini
from clipmini.config import CLIPConfig, TextConfig, VisionConfig
from clipmini.families import export
from clipmini.files import CheckpointError
from clipmini.model import CLIP
from foreign import hugging_face_folder, openai_archive, shake, write_json
from test_embedder import picture

VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8,
          "image_size": 32, "hidden_act": "quick_gelu"}
TEXT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
IMAGES = [picture(32, 32), picture(73, 41, seed=1)]


@pytest.fixture(scope="module")
def original(tokenizer, tmp_path_factory):
    """A whole little CLIPModel folder; not to be changed."""
    folder = tmp_path_factory.mktemp("hf")
    hugging_face_folder(folder, tokenizer, VISION, TEXT)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    """A copy to change."""
    shutil.copytree(original, tmp_path / "m")
    return tmp_path / "m"


def change(path, **changes) -> None:
    """Set entries of a JSON file; two underscores go one level down, ... takes an entry away."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *outer, last = key.split("__")
        place = content
        for name in outer:
            place = place[name]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    write_json(path, content)


def same_as_transformers(folder) -> None:
    """Both towers' vectors within 1e-5 of what transformers makes of the same folder."""
    ours, theirs = clipmini.load(folder), CLIPModel.from_pretrained(folder).eval()
    pixels, ids = ours.pixels(IMAGES), ours.tokenizer(["a red cat", "blue"])
    with torch.no_grad():
        images = F.normalize(theirs.get_image_features(pixel_values=pixels).pooler_output, dim=-1)
        texts = F.normalize(theirs.get_text_features(input_ids=ids).pooler_output, dim=-1)
    torch.testing.assert_close(ours.embed_images(IMAGES), images, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.embed_texts(["a red cat", "blue"]), texts, rtol=0, atol=1e-5)


# ---------------------------------------------------------------- a lone file


def gelu_twin(tokenizer):
    """80-wide heads and GELU, as ViT-H/14 has."""
    vision = VisionConfig("vit", 32, 320, 1, 4, 8, "gelu")
    text = TextConfig("transformer", tokenizer.vocab_size, tokenizer.context_length, 64, 1, 1, "gelu",
                      sot_id=tokenizer.sot_id, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
    return shake(CLIP(CLIPConfig(vision, text, 24)))


@pytest.mark.parametrize("ending", ["safetensors", "bin", "pt"])
def test_a_lone_file_is_read_as_the_configuration_beside_it_says(ending, tokenizer, tmp_path):
    from safetensors.torch import load_file

    model = gelu_twin(tokenizer)
    export(model, tokenizer, tmp_path / "oc", "open_clip")
    lone = tmp_path / "oc" / "open_clip_model.safetensors"
    if ending != "safetensors":
        torch.save(load_file(lone), tmp_path / "oc" / f"epoch_7.{ending}")
        lone.unlink()  # only the named file is there
        lone = tmp_path / "oc" / f"epoch_7.{ending}"
    loaded = clipmini.load(lone)
    assert (loaded.config.vision.heads, loaded.config.vision.activation, loaded.meta["file"]) == (4, "gelu", lone.name)
    assert torch.equal(loaded.embed_images(IMAGES), clipmini.Embedder(model, tokenizer).embed_images(IMAGES))
    shutil.move(lone, tmp_path / lone.name)
    with pytest.raises(CheckpointError,
                       match="neither the activation nor the width of the heads.*give the whole folder"):
        clipmini.load(tmp_path / lone.name)


def test_a_lone_file_of_transformers_and_one_of_ours(folder, tiny_checkpoints, tmp_path):
    whole = clipmini.load(folder).embed_images(IMAGES)
    assert torch.equal(clipmini.load(folder / "model.safetensors").embed_images(IMAGES), whole)
    write_json(folder / "open_clip_config.json", {"model_cfg": {"embed_dim": 20, "quick_gelu": True}})
    # The tensors' names decide.
    assert torch.equal(clipmini.load(folder / "model.safetensors").embed_images(IMAGES), whole)
    ours = tiny_checkpoints["vit-transformer"]
    assert clipmini.load(ours / "model.safetensors").config == clipmini.load(ours).config
    with pytest.raises(CheckpointError, match="config.json' is a configuration; give the folder it lies in"):
        clipmini.load(folder / "config.json")
    shutil.copy(folder / "model.safetensors", tmp_path / "alone.safetensors")
    with pytest.raises(CheckpointError, match="Give the folder"):
        clipmini.load(tmp_path / "alone.safetensors")


def test_archives_of_openai_have_heads_64_wide(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    model = gelu_twin(tokenizer)
    assert clipmini.load(openai_archive(tmp_path / "a.pt", model)).config.vision.activation == "quick_gelu"
    text = TextConfig("transformer", tokenizer.vocab_size, tokenizer.context_length, 96, 1, 2, "gelu",
                      sot_id=tokenizer.sot_id, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
    odd = CLIP(CLIPConfig(model.config.vision, text, 24))
    with pytest.raises(CheckpointError, match="a tower 96 wide; the heads of OpenAI's are 64 wide. Give the folder"):
        clipmini.load(openai_archive(tmp_path / "b.pt", odd))


# ---------------------------------------------------------------- config.json


@pytest.mark.parametrize("eps", [1e-12, 1e-6, 1e-3, 0.5])
@pytest.mark.parametrize("tower", ["vision_config", "text_config"])
def test_eps_is_a_number_of_each_tower(tower, eps, folder):
    change(folder / "config.json", **{f"{tower}__layer_norm_eps": eps})
    config = clipmini.load(folder).config
    assert {config.vision.eps, config.text.eps} == {eps, 1e-5}
    same_as_transformers(folder)


def test_eps_of_open_clips_towers(tokenizer, tmp_path):
    like = gelu_twin(tokenizer).config
    model = CLIP(replace(like, vision=replace(like.vision, eps=1e-3), text=replace(like.text, eps=1e-2))).eval()
    export(model, tokenizer, tmp_path / "oc", "open_clip")
    loaded = clipmini.load(tmp_path / "oc")
    assert (loaded.config.vision.eps, loaded.config.text.eps) == (1e-3, 1e-2)
    assert torch.equal(loaded.embed_images(IMAGES), clipmini.Embedder(model, tokenizer).embed_images(IMAGES))
    change(tmp_path / "oc" / "open_clip_config.json", model_cfg__vision_cfg__norm_kwargs={"bias": False})
    with pytest.raises(CheckpointError, match="vision_cfg.norm_kwargs.bias = False"):
        clipmini.load(tmp_path / "oc")


def test_older_sections_win_and_may_be_the_only_ones(folder):
    config = folder / "config.json"
    whole = json.loads(config.read_text())
    change(config, vision_config_dict=whole["vision_config"], vision_config__num_attention_heads=1)
    assert clipmini.load(folder).config.vision.heads == 2
    same_as_transformers(folder)
    write_json(config, {**whole, "vision_config_dict": whole["vision_config"], "text_config_dict": whole["text_config"],
                        "vision_config": None, "text_config": None})
    same_as_transformers(folder)
    only = {key: value for key, value in whole.items() if key not in ("vision_config", "text_config")}
    write_json(config, {**only, "vision_config_dict": whole["vision_config"], "text_config_dict": whole["text_config"]})
    same_as_transformers(folder)
    # What an older section leaves out is transformers' default, not the newer section's word.
    short = {key: value for key, value in whole["vision_config"].items() if key != "hidden_act"}
    write_json(config,
               {**whole, "vision_config_dict": short,
                "vision_config": {**whole["vision_config"], "hidden_act": "gelu"}})
    assert clipmini.load(folder).config.vision.activation == "quick_gelu"
    same_as_transformers(folder)
    write_json(config, {**whole, "vision_config_dict": None, "text_config_dict": None})
    same_as_transformers(folder)


@pytest.mark.parametrize("changes", [
    {"torch_dtype": "float16"}, {"architectures": None}, {"text_config__use_cache": False},
    {"vision_config__dropout": 0.0},
    {"vision_config__attention_dropout": 0.1}, {"text_config__initializer_range": 0.5},
    {"transformers_version": "4.16.0.dev0"},
    {"vision_config__image_size": [32, 32]}, {"vision_config__num_labels": 2}, {"text_config__prefix": None},
    {"vision_config__is_decoder": False}, {"vision_config__pruned_heads": {}}, {"text_config__something_new": None},
])
def test_what_changes_no_vector_may_be_there(changes, folder, original):
    change(folder / "config.json", **changes)
    assert torch.equal(clipmini.load(folder).embed_images(IMAGES), clipmini.load(original).embed_images(IMAGES))


@pytest.mark.parametrize("changes, words", [
    ({"quantization_config": {"bits": 4}}, "quantization_config = {'bits': 4}"), ({"auto_map": {"a": "b"}}, "auto_map"),
    ({"vision_config__use_rope": True}, "vision_config.use_rope = True"),
    ({"text_config__is_decoder": True}, "text_config.is_decoder = True.*but False"),
    ({"vision_config__pruned_heads": {"0": [1]}}, "vision_config.pruned_heads"),
    ({"vision_config__num_channels": 4}, "vision_config.num_channels = 4.*but 3"),
    ({"vision_config__image_size": [32, 48]}, r"image_size = \[32, 48\]; clipmini's pictures are square"),
    ({"vision_config": [1]}, r"vision_config = \[1\] where an object should stand"),
    ({"vision_config__model_type": "siglip_vision_model"}, "vision_config.model_type = 'siglip_vision_model'"),
    ({"vision_config__hidden_size": 32.0}, "hidden_size|vision.width is 32.0"),
    ({"vision_config__hidden_act": "relu", "text_config__hidden_act": "relu"}, "vision.activation is 'relu'"),
    ({"text_config__intermediate_size": 0}, "an MLP has no hidden units"),
    ({"vision_config__layer_norm_eps": 0}, "vision.eps is 0"),
    ({"text_config__layer_norm_eps": "small"}, "text.eps is 'small'"),
])
def test_what_we_do_not_have_is_refused_by_name(changes, words, folder):
    change(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=words) as caught:
        clipmini.load(folder)
    assert "download it again" not in str(caught.value) and str(folder) in str(caught.value)


# ---------------------------------------------------------------- preprocessor_config.json

SQUASH = {"size": {"height": 32, "width": 32}}
OBEYED = [{"do_normalize": False}, {"do_rescale": False}, {"rescale_factor": 1 / 127.5},
          {"rescale_factor": 0.00392156862745098},
          {"do_normalize": False, "do_rescale": False}, {"resample": 2}, SQUASH, {**SQUASH, "do_center_crop": False},
          {"size": 32}, {"crop_size": 32}, {"do_pad": False}, {"image_mean": [0.5, 0.5, 0.5], "image_std": [1, 2, 3]}]


@pytest.mark.parametrize("changes", OBEYED)
def test_a_processor_that_is_read_gives_transformers_pixels(changes, folder):
    change(folder / "preprocessor_config.json", **changes)
    theirs = CLIPImageProcessorPil.from_pretrained(folder)
    for image in IMAGES:
        expected = theirs(image, return_tensors="pt")["pixel_values"].float()
        torch.testing.assert_close(clipmini.load(folder).pixels([image]), expected, rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("changes, words", [
    ({"do_resize": False}, "do_resize = False.*but True"), ({"do_center_crop": False}, "do_center_crop = False"),
    ({"do_pad": True}, "do_pad = True"), ({"size": {"longest_edge": 32}}, "longest_edge"),
    ({"size": {"shortest_edge": 32, "longest_edge": 64}}, "longest_edge"),
    ({"size": {"height": 32, "width": 48}}, "square"),
    ({"crop_size": {"height": 32, "width": 48}}, "square"), ({"crop_size": 24}, "32 cut to 24"),
    ({"size": ...}, "lacks 'size'"),
    ({**SQUASH, "crop_size": 24}, "32 cut to 24"), ({"size": "big"}, "size = 'big'"), ({"resample": 1}, "resample 1"),
    ({"rescale_offset": True}, "rescale_offset = True"),
    ({"image_processor_type": "ViTImageProcessor"}, "ViTImageProcessor"),
    ({"image_mean": [None] * 3}, "image_mean None"), ({"image_mean": 0.5}, "image_mean 0.5"),
    ({"image_std": [0, 0, 0]}, "vision.std"),
    ({"image_mean": ...}, "lacks 'image_mean'"), ({"rescale_factor": 0}, "rescale_factor 0"),
    ({"use_square_size": True}, "square"),
])
def test_a_processor_that_we_do_not_have_is_refused_by_name(changes, words, folder):
    change(folder / "preprocessor_config.json", **changes)
    with pytest.raises(CheckpointError, match=words) as caught:
        clipmini.load(folder)
    assert "download it again" not in str(caught.value)


def test_a_processor_within_processor_config_wins(folder):
    section = json.loads((folder / "preprocessor_config.json").read_text())
    write_json(folder / "processor_config.json", {"processor_class": "CLIPProcessor", "image_processor": {
        **section, "image_mean": [0.5, 0.5, 0.5]}})
    assert clipmini.load(folder).config.vision.mean == (0.5, 0.5, 0.5)
    change(folder / "processor_config.json", image_processor__do_pad=True)
    with pytest.raises(CheckpointError, match="processor_config.json' asks for image_processor.do_pad = True"):
        clipmini.load(folder)


# ---------------------------------------------------------------- open_clip_config.json


@pytest.mark.parametrize("changes, words", [
    ({"model_cfg__vision_cfg__no_ln_pre": True}, "vision_cfg.no_ln_pre = True"),
    ({"model_cfg__vision_cfg__ls_init_value": 0.1}, "vision_cfg.ls_init_value"),
    ({"model_cfg__text_cfg__pool_type": "eos"}, "text_cfg.pool_type = 'eos'"),
    ({"model_cfg__vision_cfg__image_size": [32, 64]}, "square"),
    ({"preprocess_cfg__resize_mode": "longest"}, "resize_mode"),
    ({"preprocess_cfg__mode": "L"}, "preprocess_cfg.mode = 'L'"), ({"preprocess_cfg__blur": 3}, "preprocess_cfg.blur"),
    ({"preprocess_cfg__size": 64}, "pictures of 64 pixels and has image_size 32"), ({"more": 1}, "asks for more = 1"),
])
def test_keys_of_open_clip_are_obeyed_or_refused(changes, words, tokenizer, tmp_path):
    export(gelu_twin(tokenizer), tokenizer, tmp_path / "oc", "open_clip")
    config = tmp_path / "oc" / "open_clip_config.json"
    change(config, model_cfg__vision_cfg__timm_model_name=None, model_cfg__vision_cfg__timm_pool="avg",
           preprocess_cfg__size=[32, 32],
           model_cfg__custom_text=True, model_cfg__vision_cfg__patch_dropout=0.5)
    clipmini.load(tmp_path / "oc")
    change(config, **changes)
    with pytest.raises(CheckpointError, match=words):
        clipmini.load(tmp_path / "oc")


def test_the_text_mlp_of_open_clip_has_its_own_width(tokenizer, tmp_path):
    model = gelu_twin(tokenizer)
    export(model, tokenizer, tmp_path / "oc", "open_clip")
    change(tmp_path / "oc" / "open_clip_config.json", model_cfg__text_cfg__mlp_ratio=2.0)
    with pytest.raises(CheckpointError, match=r"c_fc.weight' of shape \(256, 64\), the configuration says \(128, 64\)"):
        clipmini.load(tmp_path / "oc")
