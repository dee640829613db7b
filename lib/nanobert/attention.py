"""Attention with one head, written out so that every step can be seen.

B batch, T tokens (Q queries, S keys where they differ), D model width, K width of query and key.
"""

import torch
from torch import nn


def masked_attention_weights(query, key, key_padding_mask=None):
    """How much each query attends to each key; hidden keys get exactly 0.

    Shapes: query (B, Q, K), key (B, S, K), key_padding_mask (B, S), True where the key is padding -> (B, Q, S).
    A query whose keys are all hidden gets zeros, not NaN.
    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1, equation 1.
    """
    scores = query @ key.mT / key.shape[-1] ** 0.5
    if key_padding_mask is None:
        return scores.softmax(dim=-1)
    hidden = key_padding_mask[:, None, :]
    lowest = torch.finfo(scores.dtype).min
    weights = scores.masked_fill(hidden, lowest).softmax(dim=-1)
    return weights.masked_fill(hidden, 0.0)


class SelfAttention(nn.Module):
    """One head of self-attention with learnable query, key and value matrices.

    Shapes: x (B, T, D), key_padding_mask (B, T) -> (B, T, D).
    Source: Vaswani et al. 2017, section 3.2.
    """

    def __init__(self, d_model):
        super().__init__()
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, key_padding_mask=None):
        weights = masked_attention_weights(self.query(x), self.key(x), key_padding_mask)
        return weights @ self.value(x)
