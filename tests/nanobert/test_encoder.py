"""The encoder, against PyTorch's own with the same weights."""

import pytest
import torch
from torch import nn

from nanobert.encoder import Encoder, EncoderBlock, FeedForward
from nanobert.multi_head import MultiHeadAttention

B, T, D, HEADS, F = 2, 5, 12, 3, 20
PADDING = torch.tensor([[False] * 5, [False, False, True, False, True]])


def block(pre_norm, dropout=0.0):
    return EncoderBlock(MultiHeadAttention(D, HEADS), FeedForward(D, F), D, pre_norm, dropout)


def copy_of(ours):
    """PyTorch's layer with the weights of one of our blocks."""
    layer = nn.TransformerEncoderLayer(
        D, HEADS, F, dropout=0.0, activation="gelu", batch_first=True, norm_first=ours.pre_norm
    )
    inputs = (ours.attention.query, ours.attention.key, ours.attention.value)
    layer.self_attn.in_proj_weight.data = torch.cat([part.weight.data for part in inputs])
    layer.self_attn.in_proj_bias.data = torch.cat([part.bias.data for part in inputs])
    pairs = {
        layer.self_attn.out_proj: ours.attention.output,
        layer.linear1: ours.feed_forward.up,
        layer.linear2: ours.feed_forward.down,
        layer.norm1: ours.attention_norm,
        layer.norm2: ours.feed_forward_norm,
    }
    for theirs, mine in pairs.items():
        theirs.load_state_dict(mine.state_dict())
    return layer


def shake(model):
    """Weights far from their initial values, so that a gamma of 1 or a bias of 0 hides nothing."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("mask", [None, PADDING], ids=["no padding", "padding"])
def test_a_block_is_torchs_encoder_layer(pre_norm, mask):
    ours = shake(block(pre_norm))
    x = torch.randn(B, T, D)
    torch.testing.assert_close(ours(x, mask), copy_of(ours)(x, src_key_padding_mask=mask), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pre_norm", [True, False])
def test_a_stack_is_torchs_encoder(pre_norm):
    norm = nn.LayerNorm(D) if pre_norm else None
    ours = shake(Encoder([block(pre_norm) for _ in range(3)], norm))
    x = torch.randn(B, T, D)
    expected = x
    for each in ours.blocks:
        expected = copy_of(each)(expected, src_key_padding_mask=PADDING)
    expected = norm(expected) if norm else expected
    torch.testing.assert_close(ours(x, PADDING), expected, atol=1e-5, rtol=1e-4)


def test_dropout_acts_in_training_only():
    ours, x = block(True, dropout=0.5), torch.randn(B, T, D)
    assert not torch.equal(ours(x), ours(x))
    ours.eval()
    assert torch.equal(ours(x), ours(x))


def test_gradients_reach_every_parameter():
    ours = Encoder([block(True), block(True)], nn.LayerNorm(D))
    ours(torch.randn(B, T, D), PADDING).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in ours.parameters())
