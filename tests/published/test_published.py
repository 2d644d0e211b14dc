"""Published models that must load, as random twins of two layers: configurations as facts, against transformers."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

import clipmini
from clipmini.families import export
from clipmini.model import CLIP
from foreign import PREPROCESSOR, shake, write_json
from test_embedder import picture

PREPROCESSED = {"mean": PREPROCESSOR["image_mean"], "std": PREPROCESSOR["image_std"]}

# What transformers 4.16 wrote into every section. Read in config.json of openai/clip-vit-base-patch32.
OLD = {
    "_name_or_path": "", "add_cross_attention": False, "architectures": None, "attention_dropout": 0.0,
    "bad_words_ids": None, "bos_token_id": 0, "chunk_size_feed_forward": 0, "cross_attention_hidden_size": None,
    "decoder_start_token_id": None, "diversity_penalty": 0.0, "do_sample": False, "dropout": 0.0,
    "early_stopping": False, "encoder_no_repeat_ngram_size": 0, "exponential_decay_length_penalty": None,
    "finetuning_task": None, "forced_bos_token_id": None, "forced_eos_token_id": None,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "initializer_factor": 1.0, "initializer_range": 0.02,
    "is_decoder": False, "is_encoder_decoder": False, "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "layer_norm_eps": 1e-5, "length_penalty": 1.0, "max_length": 20, "min_length": 0, "no_repeat_ngram_size": 0,
    "num_beam_groups": 1, "num_beams": 1, "num_return_sequences": 1, "output_attentions": False,
    "output_hidden_states": False, "output_scores": False, "prefix": None, "problem_type": None, "pruned_heads": {},
    "remove_invalid_values": False, "repetition_penalty": 1.0, "return_dict": True, "return_dict_in_generate": False,
    "sep_token_id": None, "task_specific_params": None, "temperature": 1.0, "tf_legacy_loss": False,
    "tie_encoder_decoder": False, "tie_word_embeddings": True, "tokenizer_class": None, "top_k": 50, "top_p": 1.0,
    "torch_dtype": None, "torchscript": False, "transformers_version": "4.16.0.dev0", "typical_p": 1.0,
    "use_bfloat16": False}


@dataclass(frozen=True)
class Published:
    """A model of the hub. vision: width, layers, heads, MLP, patch, pixels; text: width, layers, heads, MLP, context.

    style: "old" with all keys of OLD, "dicts" with vision_config_dict and text_config_dict beside them, "short" with
    little more than the numbers. read: where the numbers were read; "memory" where nobody looked again.
    """

    name: str
    vision: tuple[int, int, int, int, int, int]
    text: tuple[int, int, int, int, int]
    embed_dim: int
    act: str = "quick_gelu"
    style: str = "short"
    eos: int | None = 2
    read: str = "memory"


B32, B16 = (768, 12, 12, 3072, 32, 224), (768, 12, 12, 3072, 16, 224)
L14, L336 = (1024, 24, 16, 4096, 14, 224), (1024, 24, 16, 4096, 14, 336)
TEXT_B, TEXT_L, TEXT_H = (512, 12, 8, 2048, 77), (768, 12, 12, 3072, 77), (1024, 24, 16, 4096, 77)
OPEN_CLIP = "open_clip 3.3.0, model_configs"
CREAM = "microsoft/Cream, TinyCLIP/src/open_clip/model_configs"
CLIPS = [
    Published("openai/clip-vit-base-patch32", B32, TEXT_B, 512, style="old", read="its config.json"),
    Published("openai/clip-vit-base-patch16", B16, TEXT_B, 512, style="old"),
    Published("openai/clip-vit-large-patch14", L14, TEXT_L, 768, style="dicts", read="a copy of its config.json"),
    Published("openai/clip-vit-large-patch14-336", L336, TEXT_L, 768, style="dicts"),
    Published("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", B32, TEXT_B, 512, "gelu", "old", read=OPEN_CLIP),
    Published("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", (1280, 32, 16, 5120, 14, 224), TEXT_H, 1024, "gelu", "dicts",
              read=OPEN_CLIP),
    Published("laion/CLIP-ViT-g-14-laion2B-s12B-b42K", (1408, 40, 16, 6144, 14, 224), TEXT_H, 1024, "gelu", "old",
              read=OPEN_CLIP),
    Published("laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", (1664, 48, 16, 8192, 14, 224), (1280, 32, 20, 5120, 77),
              1280, "gelu", "old", read=OPEN_CLIP),
    Published("facebook/metaclip-b32-400m", B32, TEXT_B, 512),
    Published("wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M", (256, 10, 4, 1024, 16, 224), (256, 3, 4, 1024, 77), 512,
              eos=49407, read=CREAM),
    Published("wkcn/TinyCLIP-ViT-40M-32-Text-19M-LAION400M", (512, 12, 8, 2048, 32, 224), (512, 6, 8, 2048, 77), 512,
              eos=49407, read=CREAM),
    Published("wkcn/TinyCLIP-ViT-61M-32-Text-29M-LAION400M", (640, 12, 10, 2560, 32, 224), (512, 9, 8, 2048, 77), 512,
              eos=49407, read=CREAM),
    Published("patrickjohncyh/fashion-clip", B32, TEXT_B, 512, style="old"),
    Published("geolocal/StreetCLIP", L336, TEXT_L, 768, style="dicts"),
    Published("zer0int/LongCLIP-GmP-ViT-L-14", L14, (768, 12, 12, 3072, 248), 768, eos=49407),
]
READ_CN = "OFA-Sys/Chinese-CLIP, model_configs; heads of H/14 are 80 wide there, the activation is from memory"
CHINESE = [
    Published("OFA-Sys/chinese-clip-vit-base-patch16", B16, (768, 12, 12, 3072, 512), 512, style="old", eos=None,
              read=READ_CN),
    Published("OFA-Sys/chinese-clip-vit-large-patch14", L14, (768, 12, 12, 3072, 512), 768, style="old", eos=None,
              read=READ_CN),
    Published("OFA-Sys/chinese-clip-vit-huge-patch14", (1280, 32, 16, 5120, 14, 224), (1024, 24, 16, 4096, 512), 1024,
              style="old", eos=None, read=READ_CN),
]
NUMBERS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


def published_config(model: Published, vocabulary: int, chinese: bool) -> dict:
    """config.json as it was published, but for the number of layers and the size of the vocabulary."""
    old = {} if model.style == "short" else OLD
    kind = "chinese_clip" if chinese else "clip"
    vision = dict(zip((*NUMBERS, "patch_size", "image_size"), model.vision, strict=True)) | {"num_hidden_layers": 2}
    text = dict(zip((*NUMBERS, "max_position_embeddings"), model.text, strict=True)) | {"num_hidden_layers": 2}
    eos = vocabulary - 1 if model.eos == 49407 else model.eos
    special = {"pad_token_id": 0} if chinese else {"eos_token_id": eos, "pad_token_id": 1}
    if chinese:
        special |= {"layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
                    "type_vocab_size": 2, "position_embedding_type": "absolute", "use_cache": True}
    config = {
        "_name_or_path": model.name, "architectures": ["ChineseCLIPModel" if chinese else "CLIPModel"],
        "initializer_factor": 1.0, "logit_scale_init_value": 2.6592, "model_type": kind,
        "projection_dim": model.embed_dim, "torch_dtype": "float32", "transformers_version": None,
        "text_config_dict": None, "vision_config_dict": None,
        "vision_config": {**old, **vision, "hidden_act": model.act, "model_type": f"{kind}_vision_model",
                          "projection_dim": model.embed_dim, "num_channels": 3},
        "text_config": {**old, **text, **special, "vocab_size": vocabulary,
                        "hidden_act": "gelu" if chinese else model.act, "model_type": f"{kind}_text_model"}}
    if model.style == "dicts":  # older releases said the numbers twice
        config["vision_config_dict"] = {**vision, "hidden_act": model.act, "projection_dim": model.embed_dim}
        # The end is transformers' default there, 49407: the last of the published vocabulary, as here of the twin's.
        config["text_config_dict"] = {**text, "vocab_size": vocabulary, "hidden_act": model.act,
                                      "eos_token_id": vocabulary - 1}
    return config


def written(folder, model: Published, vocabulary: int, chinese: bool):
    """A twin's folder -> transformers' model with the same random weights."""
    from safetensors.torch import save_file
    from transformers import ChineseCLIPConfig, ChineseCLIPModel, CLIPConfig, CLIPModel

    raw = published_config(model, vocabulary, chinese)
    write_json(folder / "config.json", raw)
    torch.manual_seed(0)
    config = (ChineseCLIPConfig if chinese else CLIPConfig).from_pretrained(folder)
    theirs = shake((ChineseCLIPModel if chinese else CLIPModel)(config))
    save_file(theirs.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    side = model.vision[5]
    pixels = {"size": {"height": side, "width": side}, "do_center_crop": False} if chinese else {
        "size": side, "crop_size": side, "feature_extractor_type": "CLIPFeatureExtractor"}
    write_json(folder / "preprocessor_config.json", {**PREPROCESSOR, **pixels})
    return theirs


def compared(ours, theirs, ids: torch.Tensor, **more) -> None:
    """Both towers within 1e-6 on the same pixels and ids."""
    pixels = ours.pixels([picture(90, 70)])
    with torch.no_grad():
        images = F.normalize(theirs.get_image_features(pixel_values=pixels).pooler_output, dim=-1)
        texts = F.normalize(theirs.get_text_features(input_ids=ids, **more).pooler_output, dim=-1)
        torch.testing.assert_close(ours.model.encode_image(pixels), images, rtol=0, atol=1e-6)
        torch.testing.assert_close(ours.model.encode_text(ids), texts, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", CLIPS, ids=lambda m: m.name)
def test_clip(model, tokenizer, tmp_path):
    from clipmini.tokenizer import Tokenizer

    Tokenizer(tokenizer.merges, model.text[4]).save(tmp_path)
    theirs = written(tmp_path, model, tokenizer.vocab_size, chinese=False)
    ours = clipmini.load(tmp_path, device="cpu")
    assert ours.config.vision.heads == model.vision[2] and ours.config.text.context_length == model.text[4]
    compared(ours, theirs, tokenizer(["a red cat"]))


@pytest.mark.parametrize("model", CHINESE, ids=lambda m: m.name)
def test_chinese_clip(model, tmp_path):
    from test_wordpieces import PIECES

    (tmp_path / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    theirs = written(tmp_path, model, len(PIECES), chinese=True)
    ours = clipmini.load(tmp_path, device="cpu")
    assert (ours.config.vision.eps, ours.config.text.eps) == (1e-5, 1e-12)
    ids = torch.tensor(ours.tokenizer.token_lists(["红色的猫"]))
    compared(ours, theirs, ids, attention_mask=torch.ones_like(ids))


# open_clip_config.json of two models whose folders have no config.json of transformers'.
OPEN_CLIPS = {
    "timm/resnet50_clip.openai": {
        "embed_dim": 1024, "quick_gelu": True,
        "vision_cfg": {"image_size": 224, "layers": [3, 4, 6, 3], "width": 64, "patch_size": None},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}},
    "apple/DFN5B-CLIP-ViT-H-14": {
        "embed_dim": 1024, "quick_gelu": True,
        "vision_cfg": {"image_size": 224, "layers": 32, "width": 1280, "head_width": 80, "patch_size": 14},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 1024, "heads": 16, "layers": 24}},
}  # read in open_clip 3.3.0, model_configs: RN50-quickgelu, ViT-H-14-quickgelu


@pytest.mark.parametrize("name", OPEN_CLIPS)
def test_open_clip(name, tokenizer, tmp_path):
    """Read from the published keys and again from those that our exporter writes: the same model."""
    from safetensors.torch import save_file

    from clipmini.families.open_clip import open_clip_clip

    cfg = OPEN_CLIPS[name]
    layers = [1, 1, 1, 1] if isinstance(cfg["vision_cfg"]["layers"], list) else 2
    cfg = {**cfg, "vision_cfg": {**cfg["vision_cfg"], "layers": layers},
           "text_cfg": {**cfg["text_cfg"], "layers": 2, "vocab_size": tokenizer.vocab_size,
                        "context_length": tokenizer.context_length}}
    write_json(tmp_path / "open_clip_config.json", {"model_cfg": cfg, "preprocess_cfg": {
        **PREPROCESSED, "interpolation": "bicubic", "resize_mode": "shortest"}})
    tokenizer.save(tmp_path)
    model = shake(CLIP(open_clip_clip(tmp_path)))
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    export(model, tokenizer, tmp_path / "again", "open_clip")
    first, again = clipmini.load(tmp_path), clipmini.load(tmp_path / "again")
    assert first.config == again.config and first.config.text.activation == "quick_gelu"
    assert first.config.vision.heads == (32 if layers != 2 else 16)
    assert torch.equal(first.embed_images([picture(90, 70)]), again.embed_images([picture(90, 70)]))
    assert torch.equal(first.embed_texts(["a red cat"]), again.embed_texts(["a red cat"]))
