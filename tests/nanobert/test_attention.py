"""Attention with one head and with several, against PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nanobert.attention import SelfAttention, masked_attention_weights
from nanobert.multi_head import MultiHeadAttention, merge_heads, split_heads

B, T, D = 3, 5, 12
PADDING = torch.tensor([[False] * 5, [False, True, False, True, True], [True, False, False, False, True]])


@pytest.mark.parametrize("mask", [None, PADDING], ids=["no padding", "padding"])
def test_one_head_is_scaled_dot_product_attention(mask):
    x, model = torch.randn(B, T, D), SelfAttention(D)
    visible = None if mask is None else ~mask[:, None, :]
    expected = F.scaled_dot_product_attention(model.query(x), model.key(x), model.value(x), attn_mask=visible)
    torch.testing.assert_close(model(x, mask), expected)


def test_hidden_keys_get_exactly_nothing_and_a_fully_hidden_row_no_nan():
    mask = torch.tensor([[True] * 4, [False, True, False, False]])
    weights = masked_attention_weights(torch.randn(2, 3, 6) * 50, torch.randn(2, 4, 6), mask)
    assert (weights[mask[:, None, :].expand_as(weights)] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.tensor([[0.0] * 3, [1.0] * 3]))


@pytest.mark.parametrize("heads", [1, 2, 3, 12])
@pytest.mark.parametrize("mask", [None, PADDING], ids=["no padding", "padding"])
def test_several_heads_are_torchs_multihead_attention(heads, mask):
    model, reference = MultiHeadAttention(D, heads), nn.MultiheadAttention(D, heads, batch_first=True)
    layers = (model.query, model.key, model.value)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        reference.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]).normal_())
        for layer, bias in zip(layers, reference.in_proj_bias.chunk(3)):
            layer.bias.copy_(bias)
    reference.out_proj.load_state_dict(model.output.state_dict())
    x = torch.randn(B, T, D)
    torch.testing.assert_close(model(x, mask), reference(x, x, x, key_padding_mask=mask)[0])


def test_a_fully_padded_sequence_gives_finite_numbers_and_gradients():
    model, x = MultiHeadAttention(D, 3), torch.randn(2, T, D, requires_grad=True)
    output = model(x, torch.tensor([[True] * T, [False] * T]))
    output.sum().backward()
    assert output.isfinite().all() and x.grad.isfinite().all()


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="5 heads do not divide a width of 12"):
        MultiHeadAttention(12, 5)


def test_a_head_is_a_slice_of_the_columns_and_merging_undoes_splitting():
    x = torch.randn(B, T, D)
    split = split_heads(x, 3)
    for head in range(3):
        assert torch.equal(split[:, head], x[:, :, 4 * head : 4 * head + 4])
    assert torch.equal(merge_heads(split), x)
