"""SigLIP behind the same Embedder, against transformers' own classes."""

import io
import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    PreTrainedTokenizerFast,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)
from transformers import SiglipTokenizer as TheirTokenizer

import clipmini
from clipmini.families import siglip
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


def twin(folder, vocab_size: int, side: int = 384, patch: int = 14):
    """A SigLIP with one layer in each tower, the published so400m's pixels -> transformers' model."""
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    theirs = shake(SiglipModel(SiglipConfig(
        text_config={**shared, "vocab_size": vocab_size, "projection_size": 32, "max_position_embeddings": 64},
        vision_config={**shared, "patch_size": patch, "image_size": side})))
    theirs.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", {
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
        "image_processor_type": "SiglipImageProcessor", "processor_class": "SiglipProcessor", "resample": 3,
        "rescale_factor": 1 / 255, "size": {"height": side, "width": side}})
    return theirs


@pytest.fixture
def first(tmp_path):
    """The files of google/siglip-so400m-patch14-384 in small, with a SentencePiece vocabulary."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a photo of a red cat", "two blue dogs and a cat", "this is a quiet red dog"] * 9),
        model_writer=written, vocab_size=60, hard_vocab_limit=False, add_dummy_prefix=False, unk_id=2, eos_id=1,
        pad_id=0, bos_id=-1, minloglevel=2, num_threads=1)
    (tmp_path / "spiece.model").write_bytes(written.getvalue())
    write_json(tmp_path / "tokenizer_config.json", {
        "tokenizer_class": "SiglipTokenizer", "do_lower_case": True, "eos_token": "</s>", "pad_token": "</s>",
        "unk_token": "<unk>", "model_max_length": 64, "model_input_names": ["input_ids"]})
    pieces = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    return tmp_path, twin(tmp_path, pieces.get_piece_size())


def pictures_and_texts_equal(path, theirs, their_ids, texts) -> None:
    ours = clipmini.load(path, device="cpu")
    images = [picture(384, 384), picture(90, 41, seed=1)]
    pixels = SiglipImageProcessorPil.from_pretrained(path)(images, return_tensors="pt")["pixel_values"]
    assert torch.equal(ours.pixels(images), pixels)
    assert ours.tokenizer.token_lists(texts) == their_ids
    with torch.no_grad():
        out = theirs(input_ids=torch.tensor(their_ids), pixel_values=pixels)
    torch.testing.assert_close(ours.embed_images(images), F.normalize(out.image_embeds, dim=-1), rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.embed_texts(texts), F.normalize(out.text_embeds, dim=-1), rtol=0, atol=1e-6)


CASES = ["a red cat", "A Photo of a RED cat!", "two   dogs, and a cat.", "", "ΣΑΣ İ 猫"]


def test_sentencepiece_and_a_grid_that_is_rounded_down(first):
    path, theirs = first
    ids = TheirTokenizer.from_pretrained(path)(CASES, padding="max_length", max_length=64)["input_ids"]
    assert ids[0] == TheirTokenizer.from_pretrained(path)("a  RED cat?", padding="max_length", max_length=64)["input_ids"]
    pictures_and_texts_equal(path, theirs, ids, CASES)
    vision = clipmini.load(path).config.vision
    assert (vision.image_size, vision.patch_size, vision.grid) == (384, 14, 27)


def test_capitals_stay_where_the_file_says_so(first):
    path, theirs = first
    config = json.loads((path / "tokenizer_config.json").read_text())
    write_json(path / "tokenizer_config.json", {**config, "do_lower_case": False})
    lists = clipmini.load(path).tokenizer.token_lists(["a CAT", "a cat"])
    assert lists[0] != lists[1]


@pytest.mark.parametrize("package", ["sentencepiece", "protobuf"])
def test_a_missing_package_is_named_with_its_command(first, package, monkeypatch):
    path, _ = first
    find = siglip.importlib.util.find_spec
    module = {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}[package]
    monkeypatch.setattr(siglip.importlib.util, "find_spec", lambda name, *a: None if name == module else find(name, *a))
    with pytest.raises(CheckpointError, match=rf"spiece.model' is read with the package {package}; pip install {package}"):
        clipmini.load(path)


def test_a_vocabulary_that_is_not_there_is_asked_for(first):
    path, _ = first
    (path / "spiece.model").unlink()
    with pytest.raises(CheckpointError, match="has no spiece.model"):
        clipmini.load(path)
    (path / "tokenizer_config.json").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer.json"):
        clipmini.load(path)
    (path / "spiece.model").write_bytes(b"not a vocabulary")
    with pytest.raises(CheckpointError, match="cannot be read"):
        clipmini.load(path)


def gemma(folder, said: dict) -> None:
    """SigLIP 2's vocabulary as it is published: Gemma's class, byte fallback, no word of lower case in tokenizer.json."""
    from tokenizers import decoders, normalizers

    words = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{i:02X}>" for i in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyzABC"]
    pairs = [("c", "a"), ("ca", "t"), ("C", "A"), ("▁", "cat")]
    rust = Tokenizer(models.BPE({w: i for i, w in enumerate([*words, *map("".join, pairs)])}, pairs, fuse_unk=True,
                                unk_token="<unk>", byte_fallback=True))
    rust.normalizer = normalizers.Replace(" ", "▁")
    rust.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    rust.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    rust.post_processor = processors.TemplateProcessing("$A <eos>", special_tokens=[("<eos>", 1)])
    rust.add_special_tokens(words[:4])
    rust.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "GemmaTokenizer", "add_bos_token": False, "add_eos_token": True, "padding_side": "right",
        "pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>", "model_max_length": 64,
        **said})


@pytest.mark.parametrize("said", [{"do_lower_case": True}, {}, {"tokenizer_class": "Siglip2Tokenizer"},
                                  {"tokenizer_class": "GemmaTokenizerFast", "do_lower_case": True}])
def test_siglip2_reads_texts_in_lower_case_as_it_was_trained(said, tmp_path):
    gemma(tmp_path, said)
    theirs = twin(tmp_path, 300)
    oracle = Siglip2Tokenizer.from_pretrained(tmp_path)
    ids = oracle(CASES, padding="max_length", max_length=64)["input_ids"]
    assert oracle("CAT")["input_ids"] == oracle("cat")["input_ids"]
    pictures_and_texts_equal(tmp_path, theirs, ids, CASES)


def test_siglip2_keeps_capitals_where_its_file_says_so_and_wants_its_vocabulary(tmp_path):
    gemma(tmp_path, {"do_lower_case": False})
    twin(tmp_path, 300)
    lists = clipmini.load(tmp_path).tokenizer.token_lists(["CAT", "cat"])
    assert lists[0] != lists[1]
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer.json"):  # transformers: all texts are one vector
        clipmini.load(tmp_path)
    gemma(tmp_path, {})
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"] |= {"vocab": {w: i for i, w in enumerate(["<pad>", "<eos>", "<bos>", "<unk>"])}, "merges": []}
    write_json(tmp_path / "tokenizer.json", content)
    with pytest.raises(CheckpointError, match="cannot tell texts apart"):
        clipmini.load(tmp_path)


def test_other_kinds_are_told_what_is_read(tmp_path):
    write_json(tmp_path / "config.json", {"model_type": "blip"})
    with pytest.raises(CheckpointError, match="'blip'; clipmini reads .*siglip2 with a fixed size"):
        clipmini.load(tmp_path)
