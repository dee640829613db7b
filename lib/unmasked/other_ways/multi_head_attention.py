"""Lesson 03, written in another way."""

import torch
from torch import nn

from nanobert.attention import masked_attention_weights


# The columns are cut into heads, and the heads put side by side on an axis of their own: no axis is
# swapped, but the numbers are copied.
def split_heads(x, heads):
    return torch.stack(x.chunk(heads, dim=-1), dim=1)


# The heads are taken apart and joined at their columns: no axis is swapped.
def merge_heads(x):
    return torch.cat(x.unbind(dim=1), dim=-1)


# `chunk` cuts the columns, so that no slice has to be computed.
def heads_in_a_loop(query, key, value, heads):
    parts = zip(*(x.chunk(heads, dim=-1) for x in (query, key, value)))
    return torch.cat([masked_attention_weights(q, k) @ v for q, k, v in parts], dim=-1)


# The formula, with every axis named: `h` stands where it likes, so that no axis has to be swapped.
def heads_at_once(query, key, value, heads, key_padding_mask=None):
    query, key, value = (x.unflatten(-1, (heads, -1)) for x in (query, key, value))  # B, T, H, K
    scores = torch.einsum("bqhk,bshk->bhqs", query, key) / query.shape[-1] ** 0.5
    if key_padding_mask is not None:
        scores = scores.masked_fill(key_padding_mask[:, None, None], -1e9)
    return torch.einsum("bhqs,bshk->bqhk", scores.softmax(dim=-1), value).flatten(2)


# The class holds the four layers and nothing else: the attention is your `heads_at_once`.
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        if d_model % heads != 0:
            raise ValueError(f"d_model={d_model} is not a multiple of heads={heads}")
        self.heads = heads
        for name in ("query", "key", "value", "output"):
            self.add_module(name, nn.Linear(d_model, d_model))

    def forward(self, x, key_padding_mask=None):
        projected = self.query(x), self.key(x), self.value(x)
        return self.output(heads_at_once(*projected, self.heads, key_padding_mask))


# Summed up by hand it shows what the long form hides: the number of heads has no effect, and the
# second term outgrows the first where T > 2 D.
def attention_cost(tokens, d_model, heads):
    parameters = 4 * d_model * (d_model + 1)
    return parameters, 8 * tokens * d_model**2 + 4 * tokens**2 * d_model
