"""Chinese-CLIP: our image tower, transformers' BERT, one Embedder; and its tokenizer against transformers'."""

import pytest
import torch
import torch.nn.functional as F
from transformers import BertTokenizer, ChineseCLIPConfig, ChineseCLIPModel
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil

import clipmini
from clipmini.families.wordpieces import WordPieces
from clipmini.files import CheckpointError
from clipmini.tokenizer import TokenLimitError
from foreign import PREPROCESSOR, shake, write_json
from test_embedder import picture

TEXTS = ["一只猫", "红色的狗 abc", "", "猫" * 60, "Café x猫，狗！", "鑫 abd zz"]
PIECES = ["[PAD]", *(f"[unused{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]",
          *"猫狗红色的一只照片，！abcdef", "##b", "##c", "##d", "cafe", "x"]


@pytest.fixture
def folder(tmp_path):
    """A small Chinese-CLIP in the layout of OFA-Sys's folders -> (folder, transformers' model)."""
    config = ChineseCLIPConfig(
        text_config={"hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
                     "vocab_size": len(PIECES)},
        vision_config={"hidden_size": 48, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 3,
                       "patch_size": 8, "image_size": 32}, projection_dim=24)
    torch.manual_seed(0)
    theirs = shake(ChineseCLIPModel(config))
    theirs.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    write_json(tmp_path / "preprocessor_config.json", {
        **PREPROCESSOR, "size": {"height": 32, "width": 32}, "do_center_crop": False,
        "image_processor_type": "ChineseCLIPImageProcessor"})
    return tmp_path, theirs


@pytest.mark.parametrize("packed", [False, True])
def test_both_towers_and_the_pixels_equal_transformers(folder, packed):
    path, theirs = folder
    ours = clipmini.load(path, device="cpu", packed=packed)
    assert ours.config.text.tower == "bert" and ours.config.vision.resize_mode == "squash"
    images = [picture(32, 32), picture(90, 41, seed=1), picture(19, 60, seed=2)]
    pixels = ChineseCLIPImageProcessorPil.from_pretrained(path)(images, return_tensors="pt")["pixel_values"]
    assert torch.equal(ours.pixels(images), pixels)
    tokens = BertTokenizer(str(path / "vocab.txt"))(TEXTS, padding=True, truncation=True, max_length=52,
                                                    return_tensors="pt")
    with torch.no_grad():
        their_images = F.normalize(theirs.get_image_features(pixel_values=pixels).pooler_output, dim=-1)
        their_texts = F.normalize(theirs.get_text_features(**tokens).pooler_output, dim=-1)
    torch.testing.assert_close(ours.embed_images(images), their_images, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.embed_texts(TEXTS, truncate=True), their_texts, rtol=0, atol=1e-5)
    assert ours.logit_scale == pytest.approx(theirs.logit_scale.exp().item())


def test_pictures_of_another_size(folder):
    path, theirs = folder
    larger = clipmini.load(path, device="cpu", image_size=48)
    pixels = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        expected = theirs.get_image_features(pixel_values=pixels, interpolate_pos_encoding=True).pooler_output
        torch.testing.assert_close(larger.model.encode_image(pixels), F.normalize(expected, dim=-1), rtol=0, atol=1e-5)
    own = clipmini.load(path, device="cpu")
    assert torch.equal(larger.embed_texts(TEXTS[:3]), own.embed_texts(TEXTS[:3]))


def test_ids_equal_transformers_and_long_texts_are_told(folder):
    path, _ = folder
    ours = WordPieces(path / "vocab.txt", 52)
    theirs = BertTokenizer(str(path / "vocab.txt"))
    assert ours.token_lists(TEXTS, truncate=True) == theirs(TEXTS, truncation=True, max_length=52)["input_ids"]
    with pytest.raises(TokenLimitError, match="text 3 has 62 tokens; the context is 52"):
        ours.token_lists(TEXTS)


def test_wrong_vocabularies_name_the_file(folder):
    path, _ = folder
    (path / "vocab.txt").write_text("\n".join(PIECES[:-1]), encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"has {len(PIECES) - 1} pieces, config.json says {len(PIECES)}"):
        clipmini.load(path)
    (path / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match="neither vocab.txt nor tokenizer.json"):
        clipmini.load(path)
