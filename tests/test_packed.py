"""Packed matrices: the same vectors. int8: near to them, smaller, and refused where it does nothing."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F

import clipmini
from clipmini.config import CLIPConfig, TextConfig, VisionConfig
from clipmini.embedder import Embedder
from clipmini.families.packed import PackedLinear, SplitAttention, int8, pack
from clipmini.files import CheckpointError
from clipmini.model import CLIP
from clipmini.transformer import Attention
from foreign import shake
from test_embedder import picture

TEXTS = ["a red cat", "a blue square", "smiling face"]


def bytes_of(model) -> int:
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    return stream.tell()


@pytest.mark.parametrize("causal", [False, True])
def test_the_split_form_is_the_same_attention(causal):
    torch.manual_seed(0)
    attention = Attention(32, 4)
    torch.nn.init.normal_(attention.in_proj_weight, std=0.2)
    x, rows = torch.randn(3, 7, 32), torch.tensor([0, 3, 6])
    torch.testing.assert_close(SplitAttention(attention)(x, causal), attention(x, causal), rtol=0, atol=1e-6)
    torch.testing.assert_close(SplitAttention(attention).forward_row(x, rows, causal),
                               attention.forward_row(x, rows, causal), rtol=0, atol=1e-6)


def test_int8_vectors_are_near_and_the_original_stays(tokenizer):
    torch.manual_seed(0)
    ids = {name: getattr(tokenizer, name) for name in ("vocab_size", "context_length", "sot_id", "eos_id", "pad_id")}
    text = TextConfig("transformer", width=256, layers=6, heads=4, **ids)
    model = shake(CLIP(CLIPConfig(VisionConfig("vit", 64, 256, 6, 4, 8), text, 128)))
    before, small = bytes_of(model), int8(model)
    ours, quick = Embedder(model, tokenizer), Embedder(small, tokenizer)
    images = [picture(64, 64, seed=i) for i in range(8)]
    for a, b in ((ours.embed_images(images), quick.embed_images(images)),
                 (ours.embed_texts(TEXTS), quick.embed_texts(TEXTS))):
        assert F.cosine_similarity(a, b).min() > 0.999 and not torch.equal(a, b)
    assert bytes_of(small) < 0.4 * before and bytes_of(model) == before
    assert isinstance(model.visual.transformer.resblocks[0].attn, Attention)  # a copy was changed


@pytest.mark.parametrize("tower", ["vit", "resnet", "light"])
def test_packed_vectors_are_the_same(tower, tokenizer):
    torch.manual_seed(0)
    ids = {name: getattr(tokenizer, name) for name in ("vocab_size", "context_length", "sot_id", "eos_id", "pad_id")}
    vision = {"vit": VisionConfig("vit", 64, 64, 2, 4, 8), "resnet": VisionConfig("resnet", 64, 16, (1, 1, 1, 1), 8),
              "light": VisionConfig("light", 64, 16, (1, 1, 1, 1))}[tower]
    model = shake(CLIP(CLIPConfig(vision, TextConfig("transformer", width=64, layers=2, heads=4, **ids), 32)))
    plain = Embedder(copy.deepcopy(model), tokenizer)
    packed = Embedder(pack(model), tokenizer)
    assert any(isinstance(module, PackedLinear) for module in model.modules())
    assert not any(type(module) is torch.nn.Linear for module in model.modules())
    images = [picture(64, 64, seed=i) for i in range(5)]
    for images_ in (images, images[:1]):
        torch.testing.assert_close(packed.embed_images(images_), plain.embed_images(images_), rtol=0, atol=1e-6)
    torch.testing.assert_close(packed.embed_texts(TEXTS), plain.embed_texts(TEXTS), rtol=0, atol=1e-6)


def test_a_gradient_passes_through_a_packed_matrix():
    linear = torch.nn.Linear(5, 3)
    packed, x = PackedLinear(linear), torch.randn(2, 5, requires_grad=True)
    for layer in (linear, packed):
        layer(x).square().sum().backward()
    grad, x.grad = x.grad.clone(), None
    linear(x).square().sum().backward()
    torch.testing.assert_close(grad, 2 * x.grad)
    assert torch.equal(packed.weight, linear.weight)


def test_a_torch_without_that_layout_leaves_the_model_alone(monkeypatch, tiny_checkpoints):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    model = clipmini.load(tiny_checkpoints["vit-transformer"], packed=True).model
    assert type(model.visual.transformer.resblocks[0].mlp.c_fc) is torch.nn.Linear


def test_loading_packed(tiny_checkpoints):
    packed, plain = (clipmini.load(tiny_checkpoints["vit-transformer"], device="cpu", packed=p) for p in (True, False))
    assert isinstance(packed.model.visual.transformer.resblocks[0].mlp.c_fc, PackedLinear)
    torch.testing.assert_close(packed.embed_texts(TEXTS), plain.embed_texts(TEXTS), rtol=0, atol=1e-6)


def test_loading_in_int8(tiny_checkpoints):
    quick, plain = (clipmini.load(tiny_checkpoints["vit-transformer"], int8=int8_) for int8_ in (True, False))
    cosine = F.cosine_similarity(quick.embed_texts(TEXTS), plain.embed_texts(TEXTS))
    assert cosine.min() > 0.99 and not torch.equal(quick.embed_texts(TEXTS), plain.embed_texts(TEXTS))
    with pytest.raises(CheckpointError, match="int8 is for Transformers, and this model has none"):
        clipmini.load(tiny_checkpoints["light-cbow"], int8=True)
    with pytest.raises(CheckpointError, match="int8 is for clipmini's own CLIPs, and this is a Linear"):
        int8(torch.nn.Linear(2, 2))
