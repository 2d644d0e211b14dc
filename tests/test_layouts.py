"""Folders as they are published: a CLIP among the steps of sentence-transformers, a clone that only open_clip describes,
two files that contradict each other, and models whose towers are not ours."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import clipmini
from clipmini.families.hub_download import _wanted
from clipmini.files import CheckpointError
from foreign import hugging_face_folder, open_clip_folder, write_json
from loopback_hub import COMMIT, loopback_hub
from test_embedder import picture
from test_foreign_configs import change as edit
from test_offline import NOBODY, ask

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
MODULES = [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}]


@pytest.fixture
def plain(tmp_path, tokenizer) -> Path:
    """A folder of transformers."""
    (tmp_path / "plain").mkdir()
    hugging_face_folder(tmp_path / "plain", tokenizer, {**SMALL, "patch_size": 8, "image_size": 32}, SMALL)
    return tmp_path / "plain"


def steps(plain: Path, folder: Path, modules: list, where: str = "0_CLIPModel") -> Path:
    shutil.copytree(plain, folder / where)
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def same(one: Path, two: Path) -> bool:
    a, b = clipmini.load(one, device="cpu"), clipmini.load(two, device="cpu")
    images, texts = [picture(50, 33)], ["a red cat"]
    return torch.equal(a.embed_images(images), b.embed_images(images)) and torch.equal(a.embed_texts(texts),
                                                                                        b.embed_texts(texts))


@pytest.mark.parametrize("kind, where", [
    ("sentence_transformers.models.CLIPModel", "0_CLIPModel"), ("sentence_transformers.models.CLIPModel", "clip"),
    ("sentence_transformers.base.modules.transformer.Transformer", ""),
    ("sentence_transformers.sentence_transformer.modules.clip_model.CLIPModel", "")])
@pytest.mark.parametrize("normalised", [False, True])
def test_a_clip_of_sentence_transformers(plain, tmp_path, kind, where, normalised):
    more = [{"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"}]
    modules = [{"idx": 0, "name": "0", "path": where, "type": kind}, *(more if normalised else [])]
    folder = tmp_path / "st"
    shutil.copytree(plain, folder / where)
    (folder / "modules.json").write_text(json.dumps(modules))
    assert same(folder, plain) and clipmini.load(folder).name == "st"


def test_sentence_transformers_itself_gives_the_same_vectors(plain, tmp_path):
    theirs = pytest.importorskip("sentence_transformers", reason="install sentence-transformers")
    folder = steps(plain, tmp_path / "st", MODULES)
    model, image = theirs.SentenceTransformer(str(folder), device="cpu"), picture(32, 32)
    ours = clipmini.load(folder, device="cpu")
    for own, vectors in ((ours.embed_images([image]), model.encode([image], normalize_embeddings=True)),
                         (ours.embed_texts(["a red cat"]), model.encode(["a red cat"], normalize_embeddings=True))):
        torch.testing.assert_close(own, torch.tensor(vectors), rtol=0, atol=1e-5)


def test_other_steps_are_refused_by_name(plain, tmp_path):
    def step(kind, where=""):
        return {"idx": 0, "name": "0", "path": where, "type": f"sentence_transformers.models.{kind}"}

    dense = steps(plain, tmp_path / "dense", [*MODULES, step("Dense", "1_Dense")])
    with pytest.raises(CheckpointError, match="dense' is a model of sentence-transformers made of CLIPModel, Dense;"):
        clipmini.load(dense)
    words = steps(plain, tmp_path / "words", [step("Transformer"), step("Pooling"), step("Dense")], "x")
    write_json(words / "config.json", {"model_type": "distilbert"})
    with pytest.raises(CheckpointError, match="made of Transformer, Pooling, Dense; clipmini reads"):
        clipmini.load(words)
    for odd in ([], {}, [1], [{"type": 1}], [step("CLIPModel", "../plain")], [step("CLIPModel", "/etc")], None, "x"):
        (words / "modules.json").write_text(json.dumps(odd))
        with pytest.raises(CheckpointError, match="modules.json' cannot be read"):
            clipmini.load(words)


def test_the_hub_sends_the_folder_of_the_clip_alone(plain, tmp_path):
    home = tmp_path / "home"
    files = ["modules.json", "README.md", "0_CLIPModel/config.json", "0_CLIPModel/merges.txt", "config.json",
             "0_CLIPModel/preprocessor_config.json", "0_CLIPModel/pytorch_model.bin", "0_CLIPModel/vocab.json"]
    assert _wanted("x", files) == ["modules.json", "0_CLIPModel/config.json", "0_CLIPModel/preprocessor_config.json",
                                   "0_CLIPModel/merges.txt", "0_CLIPModel/vocab.json", "0_CLIPModel/pytorch_model.bin"]
    words = steps(plain, tmp_path / "words", [{"path": "", "type": "x.Transformer"}, {"path": "1", "type": "x.Dense"}])
    shutil.rmtree(words / "0_CLIPModel")
    for name in ("model.safetensors", "config.json"):
        shutil.copy(plain / name, words)
    st = steps(plain, tmp_path / "st", MODULES)
    (st / "tf_model.h5").write_text("not for us")
    with loopback_hub({"good/st": st, "good/words": words}) as server:
        found, said = ask(server.url, home, "good/st", "good/words")
        assert found[0]["vector"] == clipmini.load(plain).embed_texts(["a red cat"])[0].tolist(), found
        assert "made of Transformer, Dense" in found[1]["error"]
        paths = [path for _, path, _ in server.requests]
        assert not [p for p in paths if p.startswith("/good/words") and p.endswith(".safetensors")]  # refused before
        assert not [p for p in paths if p.endswith(".h5")]
    again, said = ask(NOBODY, home, "good/st")
    assert again[0]["vector"] == found[0]["vector"] and f"revision {COMMIT}" in said


@pytest.fixture
def described_twice(plain) -> Path:
    """A folder with config.json, preprocessor_config.json and open_clip_config.json, which agree."""
    cfg = {"embed_dim": 20, "quick_gelu": True, "vision_cfg": {}, "text_cfg": {}}
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    write_json(plain / "open_clip_config.json", {"model_cfg": cfg, "preprocess_cfg": {
        "mean": mean, "std": std, "interpolation": "bicubic", "resize_mode": "shortest", "size": 32}})
    return plain


def change(path: Path, **values) -> None:
    raw = json.loads(path.read_text())
    raw["preprocess_cfg"] = {k: v for k, v in {**raw["preprocess_cfg"], **values}.items() if v is not None}
    write_json(path, raw)


@pytest.mark.parametrize("said, expected", [
    ({"resize_mode": "squash", "interpolation": "bilinear"}, ("squash", "bilinear", 0.48145466)),
    ({"mean": [0.5] * 3, "std": [0.5] * 3}, ("shortest", "bicubic", 0.5)),
    ({"mean": None, "std": None, "interpolation": None, "resize_mode": None, "size": None},
     ("shortest", "bicubic", 0.48145466)),  # open_clip's defaults
])
def test_a_clone_that_only_open_clip_describes(described_twice, said, expected):
    (described_twice / "preprocessor_config.json").unlink()  # DFN5B-H-14 has none
    change(described_twice / "open_clip_config.json", **said)
    vision = clipmini.load(described_twice).config.vision
    assert (vision.resize_mode, vision.interpolation, vision.mean[0]) == expected and vision.crop == "round"


@pytest.mark.parametrize("said, words", [
    ({"resize_mode": "squash"}, "resize_mode is 'shortest' in the one and 'squash' in the other"),  # DFN5B-378
    ({"interpolation": "bilinear"}, "interpolation is 'bicubic' in the one and 'bilinear'"),
    ({"mean": [0.5] * 3}, "mean is "), ({"std": [0.5, 0.5, 0.5]}, "std is "), ({"mean": [0.5]}, "mean is "),
    ({"std": "half"}, "std is "),
])
def test_files_that_contradict_each_other_are_refused(described_twice, said, words):
    change(described_twice / "open_clip_config.json", mean=[0.4815, 0.4578, 0.4082])  # rounded is no contradiction
    clipmini.load(described_twice)
    change(described_twice / "open_clip_config.json", **said)
    with pytest.raises(CheckpointError, match="preprocessor_config.json and open_clip_config.json in .*") as caught:
        clipmini.load(described_twice)
    assert words in str(caught.value) and "delete or correct" in str(caught.value)


def test_contradictions_count_in_open_clips_own_folders_too(make_clip, tokenizer, tmp_path):
    folder = open_clip_folder(tmp_path / "oc", make_clip("vit-transformer"), tokenizer)
    write_json(folder / "preprocessor_config.json", {"size": {"height": 16, "width": 16}, "resample": 3})
    with pytest.raises(CheckpointError, match="resize_mode is 'squash' in the one and 'shortest'"):
        clipmini.load(folder)


@pytest.fixture
def clips(described_twice, tokenizer, tmp_path) -> dict[str, Path]:
    """The same model of 32 pixels by the file that describes its tower: three files that agree beside the weights of
    transformers, and of open_clip."""
    folder = open_clip_folder(tmp_path / "oc", clipmini.load(described_twice).model, tokenizer)
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(described_twice / name, folder)
    return {"config.json": described_twice, "open_clip_config.json": folder}


CUT, SQUEEZED = {"crop_size": 24}, {"size": {"height": 24, "width": 24}, "do_center_crop": False}


@pytest.mark.parametrize("tower, file, changes, words", [
    ("config.json", "open_clip_config.json", {"model_cfg__vision_cfg__image_size": 64},
     "model_cfg.vision_cfg.image_size 64"),
    ("config.json", "open_clip_config.json", {"preprocess_cfg__size": [64, 64]}, "preprocess_cfg.size 64"),
    ("config.json", "preprocessor_config.json", CUT, "pictures of 32 cut to 24"),
    ("config.json", "preprocessor_config.json", SQUEEZED, "size 24"),
    ("open_clip_config.json", "config.json", {"vision_config__image_size": 64}, "vision_config.image_size 64"),
    ("open_clip_config.json", "config.json", {"vision_config_dict": {"image_size": 64}},
     "vision_config_dict.image_size 64"),
    ("open_clip_config.json", "preprocessor_config.json", CUT, "pictures of 32 cut to 24"),
    ("open_clip_config.json", "preprocessor_config.json", SQUEEZED, "size 24"),
])
def test_a_file_that_says_another_size_than_the_tower_takes_is_refused(clips, tower, file, changes, words):
    folder = clips[tower]
    clipmini.load(folder)
    edit(folder / file, **changes)
    with pytest.raises(CheckpointError, match=f"{file} and {tower} in .* contradict one another") as caught:
        clipmini.load(folder)
    assert f": {words} in the one, a tower for pictures of 32 pixels in the other" in str(caught.value)
    assert "delete or correct the wrong file" in str(caught.value)


@pytest.mark.parametrize("file, changes", [
    ("preprocessor_config.json", {"size": {"shortest_edge": 40}, "crop_size": 32}),  # larger first, then cut
    ("preprocessor_config.json", {"crop_size": ...}), ("config.json", {"vision_config__image_size": [32, 32]}),
    ("config.json", {"vision_config__image_size": None}),
    ("config.json", {"vision_config__image_size": 64, "model_type": "another"}),
    ("config.json", {"vision_config__image_size": 64, "vision_config_dict": {"image_size": 32}}),  # the older one wins
])
def test_files_that_agree_on_the_size_in_other_words(clips, file, changes):
    edit(clips["open_clip_config.json"] / file, **changes)
    assert clipmini.load(clips["open_clip_config.json"]).config.vision.image_size == 32


def test_the_processor_that_counts_is_the_one_that_must_agree(described_twice):
    older, newer = (described_twice / f"{name}_config.json" for name in ("preprocessor", "processor"))
    write_json(newer, {"image_processor": json.loads(older.read_text())})
    edit(older, crop_size=24, image_mean=[0.5] * 3)
    clipmini.load(described_twice)
    edit(newer, image_processor__crop_size=24)
    with pytest.raises(CheckpointError, match="^processor_config.json and config.json .*: pictures of 32 cut to 24"):
        clipmini.load(described_twice)
    edit(newer, image_processor__crop_size=32, image_processor__image_mean=[0.5] * 3)
    with pytest.raises(CheckpointError, match="^processor_config.json and open_clip_config.json .*: mean is"):
        clipmini.load(described_twice)


TOWERS = {  # the distinguishing lines of published open_clip_config.json files, as open_clip's model_configs have them
    "xlm-roberta-large-ViT-H-14": ({}, {"hf_model_name": "xlm-roberta-large", "hf_tokenizer_name": "xlm-roberta-large",
                                        "hf_pooler_type": "mean_pooler"}, "text_cfg.hf_model_name = 'xlm-roberta-large'"),
    "nllb-clip-base": ({}, {"hf_model_name": "facebook/nllb-200-distilled-600M", "hf_proj_type": "linear",
                            "hf_pooler_type": "cls_pooler"}, "transformers' facebook/nllb-200-distilled-600M"),
    "MobileCLIP2-S0": ({"timm_model_name": "fastvit_mci0", "timm_model_pretrained": False, "timm_pool": "avg"},
                       {"no_causal_mask": True}, "image tower is timm's fastvit_mci0"),
    "convnext_base": ({"timm_model_pretrained": False, "timm_model_name": "convnext_base"}, {}, "timm's convnext_base"),
}


@pytest.mark.parametrize("name", TOWERS)
def test_towers_of_others_are_named(name, tmp_path):
    vision, text, words = TOWERS[name]
    cfg = {"embed_dim": 512, "vision_cfg": {"image_size": 224, **vision}, "text_cfg": text, "custom_text": True}
    write_json(tmp_path / "open_clip_config.json", {"model_cfg": cfg})
    with pytest.raises(CheckpointError, match="open_clip_config.json' says") as caught:
        clipmini.load(tmp_path)
    assert words in str(caught.value) and "download" not in str(caught.value)
    write_json(tmp_path / "config.json", {"model_type": "clip"})  # some bring transformers' file too
    with pytest.raises(CheckpointError, match="Open this model with open_clip"):
        clipmini.load(tmp_path)


@pytest.mark.parametrize("kind", ["m2m_100", "xlm-roberta"])
def test_a_text_tower_of_another_type_is_named(kind, plain):
    raw = json.loads((plain / "config.json").read_text())
    write_json(plain / "config.json", {**raw, "text_config": {**raw["text_config"], "model_type": kind}})
    with pytest.raises(CheckpointError, match=f"text_config.model_type = '{kind}': its text tower is a {kind}"):
        clipmini.load(plain)
