"""int8: near to float32, smaller, and refused where it does nothing."""

import io

import pytest
import torch
import torch.nn.functional as F
from foreign import shake
from test_embedder import picture

import clipmini
from clipmini.checkpoint import CheckpointError
from clipmini.config import CLIPConfig, TextConfig, VisionConfig
from clipmini.embedder import Embedder
from clipmini.fast import LinearAttention, int8
from clipmini.model import CLIP
from clipmini.transformer import Attention

TEXTS = ["a red cat", "a blue square", "smiling face"]


def bytes_of(model) -> int:
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    return stream.tell()


@pytest.mark.parametrize("causal", [False, True])
def test_the_linear_form_is_the_same_attention(causal):
    torch.manual_seed(0)
    attention = Attention(32, 4)
    torch.nn.init.normal_(attention.in_proj_weight, std=0.2)
    x, rows = torch.randn(3, 7, 32), torch.tensor([0, 3, 6])
    torch.testing.assert_close(LinearAttention(attention)(x, causal), attention(x, causal), rtol=0, atol=1e-6)
    torch.testing.assert_close(LinearAttention(attention).forward_row(x, rows, causal), attention.forward_row(x, rows, causal),
                               rtol=0, atol=1e-6)


def test_int8_vectors_are_near_and_the_original_stays(tokenizer):
    torch.manual_seed(0)
    ids = {name: getattr(tokenizer, name) for name in ("vocab_size", "context_length", "sot_id", "eos_id", "pad_id")}
    text = TextConfig("transformer", width=256, layers=6, heads=4, **ids)
    model = shake(CLIP(CLIPConfig(VisionConfig("vit", 64, 256, 6, 4, 8), text, 128)))
    before, small = bytes_of(model), int8(model)
    ours, quick = Embedder(model, tokenizer), Embedder(small, tokenizer)
    images = [picture(64, 64, seed=i) for i in range(8)]
    for a, b in ((ours.embed_images(images), quick.embed_images(images)), (ours.embed_texts(TEXTS), quick.embed_texts(TEXTS))):
        assert F.cosine_similarity(a, b).min() > 0.999 and not torch.equal(a, b)
    assert bytes_of(small) < 0.4 * before and bytes_of(model) == before
    assert isinstance(model.visual.transformer.resblocks[0].attn, Attention)  # a copy was changed


def test_loading_in_int8(tiny_checkpoints):
    quick, plain = (clipmini.load(tiny_checkpoints["vit-transformer"], int8=int8_) for int8_ in (True, False))
    cosine = F.cosine_similarity(quick.embed_texts(TEXTS), plain.embed_texts(TEXTS))
    assert cosine.min() > 0.99 and not torch.equal(quick.embed_texts(TEXTS), plain.embed_texts(TEXTS))
    with pytest.raises(CheckpointError, match="int8 is for Transformers, and this model has none"):
        clipmini.load(tiny_checkpoints["light-cbow"], int8=True)
