"""SigLIP behind the same Embedder, against transformers' own classes."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessorPil, SiglipModel

import clipmini
from clipmini.files import CheckpointError
from clipmini.tokenizer import TokenLimitError
from foreign import PREPROCESSOR, shake, write_json
from test_embedder import picture

TEXTS = ["a red cat", "a", "a blue dog and a red cat"]


@pytest.fixture
def folder(tmp_path):
    """A small SigLIP with a tokenizer of words -> (folder, transformers' model)."""
    words = ["<pad>", "</s>", "<unk>", *"a red blue cat dog and".split()]
    rust = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=rust, **special).save_pretrained(tmp_path)
    torch.manual_seed(0)
    theirs = shake(SiglipModel(SiglipConfig(
        text_config={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                     "vocab_size": len(words), "max_position_embeddings": 8, "projection_size": 32},
        vision_config={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                       "patch_size": 8, "image_size": 32})))
    theirs.save_pretrained(tmp_path)
    write_json(tmp_path / "preprocessor_config.json", {
        **PREPROCESSOR, "size": {"height": 32, "width": 32}, "do_center_crop": False, "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3, "image_processor_type": "SiglipImageProcessor"})
    return tmp_path, theirs


@pytest.mark.parametrize("packed", [False, True])
def test_vectors_and_sigmoid_scores_equal_transformers(folder, packed):
    path, theirs = folder
    ours = clipmini.load(path, device="cpu", packed=packed)
    images = [picture(32, 32), picture(90, 41, seed=1)]
    pixels = SiglipImageProcessorPil.from_pretrained(path)(images, return_tensors="pt")["pixel_values"]
    assert torch.equal(ours.pixels(images), pixels)
    ids = torch.tensor(ours.tokenizer.token_lists(TEXTS))
    assert ids.shape == (3, 8) and ids[0].tolist() == [3, 4, 6, 1, 0, 0, 0, 0]
    with torch.no_grad():
        out = theirs(input_ids=ids, pixel_values=pixels)
    torch.testing.assert_close(ours.embed_images(images), F.normalize(out.image_embeds, dim=-1), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.embed_texts(TEXTS), F.normalize(out.text_embeds, dim=-1), rtol=0, atol=1e-5)
    scores = ours.logit_scale * ours.embed_images(images) @ ours.embed_texts(TEXTS).t() + ours.logit_bias
    torch.testing.assert_close(scores, out.logits_per_image, rtol=0, atol=1e-4)


def test_wrong_folders_and_texts_are_told(folder):
    path, _ = folder
    ours = clipmini.load(path)
    with pytest.raises(TokenLimitError, match="text 0 has 10 tokens; the context is 8"):
        ours.embed_texts(["a red cat and a red dog and a"])
    with pytest.raises(CheckpointError, match=r"\(siglip\) takes pictures of its own size only"):
        clipmini.load(path, image_size=64)
    weights = load_file(path / "model.safetensors")
    del weights["logit_bias"]
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="missing keys 'logit_bias'"):
        clipmini.load(path)
    (path / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match="cannot be read"):
        clipmini.load(path)
    config = json.loads((path / "config.json").read_text())
    write_json(path / "config.json", {**config, "model_type": "siglip2"})
    with pytest.raises(CheckpointError, match="NaFlex"):
        clipmini.load(path)
