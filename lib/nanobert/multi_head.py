"""Attention with several heads, all computed at once.

B batch, T tokens (Q queries, S keys where they differ), D model width, H heads, K = D / H width of a head.
"""

import torch.nn.functional as F
from torch import nn


def split_heads(x, heads):
    """Cut the model width into heads.  (B, T, D) -> (B, H, T, K)"""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x):
    """Put the heads side by side again, the inverse of `split_heads`.  (B, H, T, K) -> (B, T, D)"""
    return x.transpose(1, 2).flatten(2)


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each in its own K columns, mixed by an output projection.

    Shapes: x (B, T, D), key_padding_mask (B, T), True where the token is padding -> (B, T, D).
    Errors: ValueError if the heads do not divide the width.
    Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(self, d_model, heads):
        super().__init__()
        if d_model % heads:
            raise ValueError(f"{heads} heads do not divide a width of {d_model}")
        self.heads = heads
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)
        self.output = nn.Linear(d_model, d_model)

    def forward(self, x, key_padding_mask=None):
        query = split_heads(self.query(x), self.heads)  # B, H, T, K
        key = split_heads(self.key(x), self.heads)  # B, H, T, K
        value = split_heads(self.value(x), self.heads)  # B, H, T, K
        visible = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        return self.output(merge_heads(mixed))  # B, T, D
