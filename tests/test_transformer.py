"""Attention and the block against torch's own implementation, values and gradients."""

import pytest
import torch

from clipmini.transformer import Attention, QuickGELU, ResidualBlock, Transformer


@pytest.fixture
def attention_and_oracle():
    torch.manual_seed(0)
    ours, oracle = Attention(24, 3).double(), torch.nn.MultiheadAttention(24, 3, batch_first=True).double()
    ours.load_state_dict({name: torch.randn_like(value) for name, value in ours.state_dict().items()})
    oracle.load_state_dict(ours.state_dict())  # the parameter names are the same
    return ours, oracle


@pytest.mark.parametrize("causal", [False, True])
def test_attention_equals_torch(attention_and_oracle, causal):
    ours, oracle = attention_and_oracle
    x = torch.randn(2, 7, 24, dtype=torch.double, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    mask = torch.ones(7, 7, dtype=torch.bool).triu(1) if causal else None
    expected, weights = oracle(y, y, y, attn_mask=mask, average_attn_weights=False)
    got = ours(x, causal)
    upstream = torch.randn_like(got)
    got.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(x.grad, y.grad, rtol=0, atol=1e-11)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, dict(oracle.named_parameters())[name].grad, rtol=0, atol=1e-11)
    torch.testing.assert_close(ours.weights(x, causal), weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_one_row_equals_that_row_of_all(causal):
    torch.manual_seed(0)
    stack = Transformer(16, 3, 2, "quick_gelu").double()
    x, rows = torch.randn(5, 9, 16, dtype=torch.double), torch.tensor([0, 8, 3, 5, 1])
    torch.testing.assert_close(stack.forward_row(x, rows, causal), stack(x, causal)[range(5), rows], rtol=0, atol=1e-12)


def test_causal_tokens_never_see_the_future():
    stack = Transformer(16, 2, 2, "gelu")
    x = torch.randn(1, 6, 16)
    changed = x.clone()
    changed[0, 4:] = torch.randn(2, 16)
    torch.testing.assert_close(stack(x, True)[0, :4], stack(changed, True)[0, :4])
    assert not torch.allclose(stack(x, False)[0, :4], stack(changed, False)[0, :4])


def test_quick_gelu_is_x_times_sigmoid():
    x = torch.linspace(-8, 8, 101, dtype=torch.double)
    torch.testing.assert_close(QuickGELU()(x), x * torch.sigmoid(1.702 * x), rtol=0, atol=1e-14)


def test_features_name_every_layer():
    stack = Transformer(16, 3, 4, "gelu")
    x = torch.randn(2, 5, 16)
    named = stack.forward_features(x, causal=True)
    assert [s.shape for s in named["states"]] == [(2, 5, 16)] * 4
    assert [a.shape for a in named["attentions"]] == [(2, 4, 5, 5)] * 3
    torch.testing.assert_close(named["states"][-1], stack(x, causal=True))
    torch.testing.assert_close(named["attentions"][0].sum(-1), torch.ones(2, 4, 5))


def test_block_has_openai_names():
    names = set(ResidualBlock(8, 2, "gelu").state_dict())
    assert names == {f"{part}.{kind}" for part in ("ln_1", "ln_2", "attn.out_proj", "mlp.c_fc", "mlp.c_proj")
                     for kind in ("weight", "bias")} | {"attn.in_proj_weight", "attn.in_proj_bias"}
