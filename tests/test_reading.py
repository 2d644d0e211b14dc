"""Other people's files in our own classes: every published family as a random twin, and every way to get it wrong."""

import json
import pickle
import shutil
import zipfile

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import clipmini
from clipmini.config import CLIPConfig, TextConfig, VisionConfig, preset
from clipmini.families import vocabularies
from clipmini.families.torchscript import read_torchscript
from clipmini.families.vocabularies import released_merges
from clipmini.files import CheckpointError
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer
from foreign import hugging_face_folder, open_clip_folder, openai_archive, shake, write_json
from test_embedder import picture

TEXTS = ["a red cat", "", "A  Blue square!", "crème brûlée 猫", "smiling face " * 3, "it's 12:30"]

# Published shapes with narrow heads: vision layers, heads, patch, pixels, MLP / width; text layers, heads; activation.
FAMILIES = {
    "ViT-B/32": (12, 12, 32, 224, 4, 12, 8, "quick_gelu"), "ViT-B/16": (12, 12, 16, 224, 4, 12, 8, "quick_gelu"),
    "ViT-L/14": (24, 16, 14, 224, 4, 12, 12, "quick_gelu"), "ViT-L/14@336": (24, 16, 14, 336, 4, 12, 12, "quick_gelu"),
    "ViT-B/32 of LAION": (12, 12, 32, 224, 4, 12, 8, "gelu"), "ViT-H/14": (32, 16, 14, 224, 4, 24, 16, "gelu"),
    "ViT-g/14": (40, 16, 14, 224, 4.3637, 24, 16, "gelu"), "ViT-bigG/14": (48, 16, 14, 224, 4.9231, 32, 20, "gelu"),
}


def same_as_transformers(embedder, theirs) -> None:
    """Embeddings within 1e-5 and logits within 1e-4, for pictures and texts."""
    side = embedder.config.vision.image_size
    images = [picture(side, side), picture(side + 41, side + 3, seed=1), picture(19, 60, seed=2)]
    pixels = embedder.pixels(images)
    ids = embedder.tokenizer(TEXTS)
    with torch.no_grad():
        their_images = F.normalize(theirs.get_image_features(pixel_values=pixels).pooler_output, dim=-1)
        their_texts = F.normalize(theirs.get_text_features(
            input_ids=ids, attention_mask=torch.ones_like(ids)).pooler_output, dim=-1)
        logits = theirs(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids)).logits_per_image
    torch.testing.assert_close(embedder.embed_images(images), their_images, rtol=0, atol=1e-5)
    torch.testing.assert_close(embedder.embed_texts(TEXTS), their_texts, rtol=0, atol=1e-5)
    ours = embedder.logit_scale * embedder.embed_images(images) @ embedder.embed_texts(TEXTS).t()
    torch.testing.assert_close(ours, logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_vit_family_equals_transformers(family, tokenizer, tmp_path):
    layers, heads, patch, side, ratio, text_layers, text_heads, act = FAMILIES[family]
    width = 4 * heads
    theirs = hugging_face_folder(
        tmp_path, tokenizer,
        {"hidden_size": width, "intermediate_size": round(width * ratio), "num_hidden_layers": layers,
         "patch_size": patch, "num_attention_heads": heads, "image_size": side, "hidden_act": act},
        {"hidden_size": 4 * text_heads, "intermediate_size": 16 * text_heads, "num_hidden_layers": text_layers,
         "num_attention_heads": text_heads, "hidden_act": act})
    ours = clipmini.load(tmp_path)
    assert ours.config.vision.activation == ours.config.text.activation == act and ours.name == tmp_path.name
    same_as_transformers(ours, theirs)


def test_vit_b_32_in_full_size(tmp_path):
    path = released_merges()
    tokenizer = Tokenizer.from_merges_file(path) if path else pytest.skip("the released vocabulary is not installed")
    theirs = hugging_face_folder(tmp_path, tokenizer, {"image_size": 224}, {"eos_token_id": 2}, embed_dim=512)
    ours = clipmini.load(tmp_path)
    assert sum(p.numel() for p in ours.model.parameters()) == 151_277_313
    assert ours.config.text.eos_id == 49407  # the 2 of OpenAI's own configurations on the hub is a known mistake
    same_as_transformers(ours, theirs)


RESNETS = {"RN50": ((3, 4, 6, 3), 224), "RN101": ((3, 4, 23, 3), 224), "RN50x4": ((4, 6, 10, 6), 288),
           "RN50x16": ((6, 8, 18, 8), 384), "RN50x64": ((3, 15, 36, 10), 448)}


def resnet_oracle(w: dict, x: torch.Tensor, layers: tuple[int, ...], heads: int) -> torch.Tensor:
    """CLIP's ResNet written anew from the paper's and the released code's description, with functions only."""
    def conv_bn(x, conv, bn, **options):
        x = F.conv2d(x, w[f"{conv}.weight"], **options)
        return F.batch_norm(x, w[f"{bn}.running_mean"], w[f"{bn}.running_var"], w[f"{bn}.weight"], w[f"{bn}.bias"],
                            eps=1e-5)

    for i, stride in ((1, 2), (2, 1), (3, 1)):
        x = conv_bn(x, f"conv{i}", f"bn{i}", stride=stride, padding=1).relu()
    x = F.avg_pool2d(x, 2)
    for stage, blocks in enumerate(layers, start=1):
        for b in range(blocks):
            name, stride = f"layer{stage}.{b}.", 2 if stage > 1 and b == 0 else 1
            y = conv_bn(x, name + "conv1", name + "bn1").relu()
            y = conv_bn(y, name + "conv2", name + "bn2", padding=1).relu()
            y = conv_bn(F.avg_pool2d(y, stride), name + "conv3", name + "bn3")
            short = conv_bn(F.avg_pool2d(x, stride), name + "downsample.0", name + "downsample.1") if b == 0 else x
            x = (y + short).relu()
    cells = x.flatten(2).permute(2, 0, 1)
    cells = torch.cat([cells.mean(0, keepdim=True), cells]) + w["attnpool.positional_embedding"][:, None]
    bias = torch.cat([w[f"attnpool.{k}_proj.bias"] for k in "qkv"])
    pooled, _ = F.multi_head_attention_forward(
        cells[:1], cells, cells, cells.shape[-1], heads, None, bias, None, None, False, 0.0,
        w["attnpool.c_proj.weight"], w["attnpool.c_proj.bias"], use_separate_proj_weight=True, need_weights=False,
        **{f"{k}_proj_weight": w[f"attnpool.{k}_proj.weight"] for k in "qkv"})
    return pooled[0]


@pytest.mark.parametrize("family", RESNETS)
@pytest.mark.parametrize("kind", ["open_clip", "openai"])
def test_every_resnet_family_equals_an_oracle(family, kind, tokenizer, tmp_path):
    layers, side = RESNETS[family]
    vision = VisionConfig("resnet", side, 8, layers, heads=4)
    text = preset("light-transformer", tokenizer,
                  text={"width": 64, "heads": 1, "layers": 1, "activation": "quick_gelu"}).text
    torch.manual_seed(3)
    model = shake(CLIP(CLIPConfig(vision, text, embed_dim=12)))
    if kind == "open_clip":
        loaded = clipmini.load(open_clip_folder(tmp_path / "rn", model, tokenizer))
    else:
        tokenizer.save(tmp_path)
        loaded = clipmini.load(openai_archive(tmp_path / "RN.pt", model, half=False))
    assert (loaded.config.vision.layers, loaded.config.vision.heads) == (layers, 4)
    assert loaded.config.text.activation == "quick_gelu"
    tensors = {name.removeprefix("visual."): t for name, t in model.state_dict().items() if name.startswith("visual.")}
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        expected = F.normalize(resnet_oracle(tensors, x, layers, 4), dim=-1)
        torch.testing.assert_close(loaded.model.encode_image(x), expected, rtol=0, atol=1e-5)


def test_openai_archives_in_half_precision_and_open_clip_folders(tokenizer, tmp_path):
    vision = VisionConfig("vit", 32, 64, 2, 1, 8, "quick_gelu")
    text = preset("light-transformer", tokenizer, text={"width": 64, "heads": 1, "activation": "quick_gelu"}).text
    model = shake(CLIP(CLIPConfig(vision, text, 24)))
    tokenizer.save(tmp_path)
    archive = clipmini.load(openai_archive(tmp_path / "ViT.pt", model))
    assert archive.config.vision == vision and archive.config.text.layers == text.layers
    assert {p.dtype for p in archive.model.parameters()} == {torch.float32}
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        # Half precision has three digits.
        torch.testing.assert_close(archive.model.encode_image(x), model.encode_image(x), rtol=0, atol=2e-3)
        assert torch.equal(archive.model.encode_image(x), CLIP_of(archive).encode_image(x))
        folder = clipmini.load(open_clip_folder(tmp_path / "oc", model, tokenizer))
        assert torch.equal(folder.model.encode_image(x), model.encode_image(x))
        assert torch.equal(folder.embed_texts(TEXTS), clipmini.Embedder(model, tokenizer).embed_texts(TEXTS))
        # open_clip's CustomTextCLIP puts "text." before.
        custom = load_file(tmp_path / "oc" / "open_clip_model.safetensors")
        moved = {n if n.startswith(("visual.", "logit")) else f"text.{n}": t for n, t in custom.items()}
        (tmp_path / "oc" / "open_clip_model.safetensors").unlink()
        torch.save({"state_dict": {f"module.{n}": t for n, t in moved.items()}},
                   tmp_path / "oc" / "open_clip_pytorch_model.bin")
        assert torch.equal(clipmini.load(tmp_path / "oc").model.encode_image(x), model.encode_image(x))


def CLIP_of(embedder):
    """The same weights in a freshly built model."""
    fresh = CLIP(embedder.config)
    fresh.load_state_dict(embedder.model.state_dict())
    return fresh.eval()


def test_the_archive_reader_finds_what_torch_finds(make_clip, tmp_path):
    path = openai_archive(tmp_path / "x.pt", make_clip("vit-transformer"))
    expected = torch.jit.load(str(path)).state_dict()
    found = read_torchscript(path)
    assert set(found) == set(expected) and all(torch.equal(found[n], expected[n]) for n in expected)


def test_another_picture_size(tokenizer, tmp_path):
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
              "patch_size": 8, "image_size": 32}
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    theirs = hugging_face_folder(tmp_path, tokenizer, vision, text)
    larger = clipmini.load(tmp_path, image_size=56)
    x = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        expected = theirs.get_image_features(pixel_values=x, interpolate_pos_encoding=True).pooler_output
        torch.testing.assert_close(larger.model.encode_image(x), F.normalize(expected, dim=-1), rtol=0, atol=1e-5)
    assert larger.pixels([picture(99, 70)]).shape == (1, 3, 56, 56)
    with pytest.raises(CheckpointError, match="57 pixels.*not a multiple of patch_size 8"):
        clipmini.load(tmp_path, image_size=57)


def test_pixels_are_the_processors_bits(tokenizer, tmp_path):
    """50 pictures of odd sizes and modes; also where 3, 7, 11 ... pixels are to go, which is cut otherwise there."""
    from transformers import CLIPImageProcessorPil

    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    hugging_face_folder(tmp_path, tokenizer, {**small, "patch_size": 32, "image_size": 96}, small)
    ours, theirs = clipmini.load(tmp_path), CLIPImageProcessorPil.from_pretrained(tmp_path)
    generator = torch.Generator().manual_seed(5)
    modes = ["RGB", "L", "P", "CMYK", "1", "RGBA", "LA", "YCbCr", "HSV", "RGBX"]
    seen = set()
    for i in range(50):
        width, height = (int(n) for n in torch.randint(20, 400, (2,), generator=generator))
        image = picture(width, height, "RGB", seed=i)
        image = image.convert("L").convert(modes[i % 10]) if modes[i % 10] == "LA" else image.convert(modes[i % 10])
        seen.add(int(96 * max(width, height) / min(width, height)) % 4)
        expected = theirs(image, return_tensors="pt")["pixel_values"]
        assert torch.equal(ours.pixels([image]), expected), (i, image.mode, image.size)
    assert seen == {0, 1, 2, 3}


# ---------------------------------------------------------------- wrong files


@pytest.fixture
def folder(tokenizer, tmp_path):
    """A whole little CLIPModel folder to damage."""
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
              "patch_size": 8, "image_size": 16}
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    hugging_face_folder(tmp_path / "m", tokenizer, vision, text)
    return tmp_path / "m"


def edit(path, **changes):
    """Change a JSON file; a double underscore goes one level down."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *outer, last = key.split("__")
        place = content
        for name in outer:
            place = place[name]
        place[last] = value
    write_json(path, content)


def damage(folder, what: str) -> None:
    file, config = folder / "model.safetensors", folder / "config.json"
    if what == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif what == "no weights":
        file.unlink()
    elif what in ("extra key", "missing key", "wrong shape"):
        tensors = load_file(file)
        if what == "extra key":
            tensors["vision_model.extra.weight"] = torch.zeros(1)
        elif what == "missing key":
            del tensors["vision_model.encoder.layers.0.self_attn.q_proj.bias"]
        else:
            tensors["visual_projection.weight"] = torch.zeros(20, 31)
        save_file(tensors, file)
    elif what == "not finite":
        tensors = load_file(file)
        tensors["visual_projection.weight"][0, 0] = float("nan")
        save_file(tensors, file)
    elif what == "other config":
        edit(config, vision_config__num_hidden_layers=2)
    elif what == "activations differ":
        edit(config, vision_config__hidden_act="gelu")
    elif what == "open_clip disagrees":
        write_json(folder / "open_clip_config.json", {"model_cfg": {"embed_dim": 20, "quick_gelu": False}})
    elif what == "wrong end":
        edit(config, text_config__eos_token_id=407)
    elif what == "unknown activation":
        edit(config, vision_config__hidden_act="relu", text_config__hidden_act="relu")
    elif what == "no preprocessor":
        (folder / "preprocessor_config.json").unlink()
    elif what == "other pixels":
        edit(folder / "preprocessor_config.json", size={"shortest_edge": 24})
    elif what == "other vocabulary":
        Tokenizer.train(["a b c d e f"], 515, context_length=32).save(folder)
    elif what == "no JSON":
        config.write_text("{", encoding="utf-8")
    elif what == "another model":
        edit(config, model_type="llama")
    elif what == "nobody's":
        config.unlink()


DAMAGE = {
    "cut": "'.*model.safetensors' is damaged or cut short",
    "no weights": "has no weights; looked for model.safetensors",
    "extra key": "1 tensors that config.json does not speak of, first 'vision_model.extra.weight'",
    "missing key":
        r"lacks 'vision_model.encoder.layers.0.self_attn.q_proj.bias' \(ours: 'visual.*0.attn.in_proj_bias'\)",
    "wrong shape": r"has 'visual.proj' of shape \(31, 20\), the configuration says \(32, 20\)",
    "not finite": "NaN or infinite numbers, first in 'visual.proj'",
    "other config": "lacks 'vision_model.encoder.layers.1",
    "activations differ": "contradict one another: gelu and quick_gelu",
    "open_clip disagrees": "contradict one another: gelu and quick_gelu",
    "wrong end": "captions end with id 407; CLIP.s end token is the last of its",
    "unknown activation": "vision.activation is 'relu'", "no preprocessor": "no preprocessor_config.json",
    "other pixels": "pictures of 24 cut to 16 pixels; clipmini resizes to the 16 that the tower takes",
    "other vocabulary": "its vocabulary has vocab_size 514, the configuration says",
    "no JSON": "'.*config.json' is damaged",
    "another model": "a model of type 'llama'", "nobody's": "has no config.json and no open_clip_config.json",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_wrong_folder_names_what_is_wrong(what, folder):
    clipmini.load(folder)
    damage(folder, what)
    with pytest.raises(CheckpointError, match=DAMAGE[what]):
        clipmini.load(folder)


def test_shards_and_the_lack_of_one(tokenizer, tmp_path):
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    theirs = hugging_face_folder(tmp_path, tokenizer, {**small, "patch_size": 8, "image_size": 16}, small,
                                 max_shard_size="60KB")
    shards = sorted(tmp_path.glob("model-0*.safetensors"))
    assert len(shards) > 1
    same_as_transformers(clipmini.load(tmp_path), theirs)
    shards[1].unlink()
    with pytest.raises(CheckpointError,
                       match=f"lacks '{shards[1].name}', one of {len(shards)} files that model.safetensors.ind"):
        clipmini.load(tmp_path)


class Evil:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_code_in_a_file_is_never_run(folder, make_clip, tmp_path):
    victim = tmp_path / "owned"
    (folder / "model.safetensors").unlink()
    torch.save({"logit_scale": Evil(victim)}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pytorch_model.bin' cannot be read.*code is not run"):
        clipmini.load(folder)
    good, bad = openai_archive(tmp_path / "good.pt", make_clip("vit-transformer")), tmp_path / "bad.pt"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            target.writestr(name, pickle.dumps(Evil(victim)) if name.endswith("/data.pkl") else source.read(name))
    with pytest.raises(CheckpointError, match=r"bad.pt' cannot be read.*wants to call (io|_io|builtins).open"):
        clipmini.load(bad)
    assert not victim.exists()


def test_files_that_are_no_clip(folder, make_clip, tmp_path):
    (tmp_path / "words.pt").write_text("hello")
    with pytest.raises(CheckpointError, match="words.pt' cannot be read"):
        clipmini.load(tmp_path / "words.pt")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="other.pt' lacks 'text_projection'; it holds no CLIP"):
        clipmini.load(tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="holds no table of tensors"):
        clipmini.load(tmp_path / "list.pt")
    archive = openai_archive(tmp_path / "cut.pt", make_clip("vit-transformer"))
    archive.write_bytes(archive.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match="cut.pt' cannot be read"):
        clipmini.load(archive)


@pytest.mark.parametrize("change, message", [
    ({"vision_cfg__timm_model_name": "vit_base"}, "vision_cfg.timm_model_name = 'vit_base'"),
    ({"vision_cfg__attentional_pool": True}, "vision_cfg.attentional_pool = True"),
    ({"text_cfg__hf_model_name": "roberta-base"}, "text_cfg.hf_model_name = 'roberta-base'"),
    ({"multimodal_cfg": {}}, "model_cfg.multimodal_cfg"),
    ({"vision_cfg__layers": 5}, "lacks"),
])
def test_open_clip_models_of_other_kinds_are_refused(change, message, make_clip, tokenizer, tmp_path):
    open_clip_folder(tmp_path / "oc", make_clip("vit-transformer"), tokenizer)
    clipmini.load(tmp_path / "oc")
    edit(tmp_path / "oc" / "open_clip_config.json", **{f"model_cfg__{key}": value for key, value in change.items()})
    with pytest.raises(CheckpointError, match=message):
        clipmini.load(tmp_path / "oc")


def test_where_the_vocabulary_comes_from(folder, make_clip, tokenizer, tmp_path, monkeypatch):
    from tokenizers import Tokenizer as Rust
    from transformers import CLIPTokenizer

    expected = clipmini.load(folder).tokenizer(TEXTS)
    CLIPTokenizer.from_pretrained(folder).backend_tokenizer.save(str(folder / "tokenizer.json"))
    assert Rust.from_file(str(folder / "tokenizer.json"))
    for name in ("merges.txt", "vocab.json"):
        (folder / name).unlink()
    assert torch.equal(clipmini.load(folder).tokenizer(TEXTS), expected)  # from tokenizer.json alone
    (folder / "tokenizer.json").unlink()
    monkeypatch.setattr(vocabularies, "released_merges", lambda: None)
    with pytest.raises(CheckpointError, match="brings no vocabulary.*pip install --no-deps open_clip_torch"):
        clipmini.load(folder)


@pytest.mark.skipif(released_merges() is None, reason="install open_clip_torch without its dependencies")
def test_the_released_vocabulary_gives_transformers_ids(tmp_path):
    from transformers import CLIPTokenizer

    ours = Tokenizer.from_merges_file(released_merges())
    assert ours.vocab_size == 49408 and ours("Hello World!").tolist() == [[49406, 3306, 1002, 256, 49407]]
    ours.save(tmp_path)
    theirs = CLIPTokenizer.from_pretrained(tmp_path)
    generator = torch.Generator().manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789 '!?.,-éüßñ猫犬дом😀👍🏽\t"
    texts = ["".join(letters[i] for i in torch.randint(0, len(letters), (int(n),), generator=generator).tolist())
             for n in torch.randint(0, 40, (300,), generator=generator)]
    assert ours.token_lists(texts, truncate=True) == theirs(texts, truncation=True, max_length=77)["input_ids"]


def test_old_checkpoints_without_the_later_fields_still_load(tiny_checkpoints, tmp_path):
    shutil.copytree(tiny_checkpoints["vit-transformer"], tmp_path / "old")
    config = json.loads((tmp_path / "old" / "config.json").read_text())
    for key in ("mlp_width", "resize_mode", "crop"):
        del config["model"]["vision"][key]
    del config["model"]["text"]["mlp_width"]
    write_json(tmp_path / "old" / "config.json", config)
    assert clipmini.load(tmp_path / "old").config.vision.crop == "round"


def test_text_configurations_know_their_towers():
    assert TextConfig("bert", vocab_size=100, sot_id=1, eos_id=2, pad_id=0).tower == "bert"
