"""Lesson 05, written in another way."""

import torch
from torch import nn

from nanobert.multi_head import MultiHeadAttention


# `var_mean` computes both at once, with `correction=0` dividing by D and not by D - 1; `rsqrt` is one
# over the root.
def layer_norm(x, weight, bias, eps=1e-5):
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + eps) * weight + bias


# A `Sequential` runs its parts in the order in which they were set, so that no `forward` is needed.
class FeedForward(nn.Sequential):
    def __init__(self, d_model, d_hidden):
        super().__init__()
        self.up = nn.Linear(d_model, d_hidden)
        self.activation = nn.GELU()
        self.down = nn.Linear(d_hidden, d_model)


# One formula for both: there is a norm before and a norm after, and one of them does nothing.
def residual(x, sublayer, norm, pre_norm):
    before, after = (norm, nn.Identity()) if pre_norm else (nn.Identity(), norm)
    return after(x + sublayer(before(x)))


# Both halves are your `residual` with another sub-layer, so that it alone has to know of `pre_norm`.
class EncoderBlock(nn.Module):
    def __init__(self, attention, feed_forward, d_model, pre_norm=True, dropout=0.0):
        super().__init__()
        self.attention, self.attention_norm = attention, nn.LayerNorm(d_model)
        self.feed_forward, self.feed_forward_norm = feed_forward, nn.LayerNorm(d_model)
        self.pre_norm, self.dropout = pre_norm, nn.Dropout(dropout)

    def forward(self, x, key_padding_mask=None):
        def attend(x):
            return self.dropout(self.attention(x, key_padding_mask))

        def feed(x):
            return self.dropout(self.feed_forward(x))

        x = residual(x, attend, self.attention_norm, self.pre_norm)
        return residual(x, feed, self.feed_forward_norm, self.pre_norm)


# What every block returns is kept: hand out `layers` too, and one can look into the model.
class Encoder(nn.Module):
    def __init__(self, blocks, norm=None):
        super().__init__()
        self.blocks, self.norm = nn.ModuleList(blocks), norm or nn.Identity()

    def forward(self, x, key_padding_mask=None):
        layers = [x]
        for block in self.blocks:
            layers.append(block(layers[-1], key_padding_mask))
        return self.norm(layers[-1])


# A block is built and counted, so that nothing can be forgotten; on the device "meta" tensors have a
# shape but no numbers, and even the largest block takes no memory.
def encoder_parameters(layers, d_model, d_hidden):
    with torch.device("meta"):
        attention, feed_forward = MultiHeadAttention(d_model, 1), FeedForward(d_model, d_hidden)
        block = EncoderBlock(attention, feed_forward, d_model)
    return layers * sum(parameter.numel() for parameter in block.parameters())
