"""Lesson 02, written in another way."""

import torch
from torch import nn


# `einsum` names the axes, so that nothing has to be transposed.
def similarity_scores(query, key):
    return torch.einsum("bqk,bsk->bqs", query, key)


# The queries are scaled instead of the scores, which is the same, and less work where there are more
# keys than columns.
def attention_weights(query, key):
    scaled = query / query.shape[-1] ** 0.5
    return torch.softmax(torch.bmm(scaled, key.transpose(1, 2)), dim=2)


# Broadcasting writes the average out: each value times its weight, summed over the keys. It needs
# room for all Q × S × K products at once.
def weighted_average(weights, value):
    return (weights[:, :, :, None] * value[:, None, :, :]).sum(dim=2)


# The mask is a number and not a condition: a huge negative one is added to hidden scores, as in
# BERT's own code, and their weights are multiplied by 0.
def masked_attention_weights(query, key, key_padding_mask=None):
    scores = torch.einsum("bqk,bsk->bqs", query, key) / query.shape[-1] ** 0.5
    if key_padding_mask is None:
        return torch.softmax(scores, dim=2)
    hidden = key_padding_mask[:, None, :].float()
    return torch.softmax(scores - 1e9 * hidden, dim=2) * (1 - hidden)


# One product with the three matrices on top of each other makes queries, keys and values at once, as
# in GPT-2: a GPU prefers one large product to three small ones.
class SelfAttention(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        for name in ("query", "key", "value"):
            self.add_module(name, nn.Linear(d_model, d_model, bias=False))

    def forward(self, x, key_padding_mask=None):
        matrices = torch.cat([self.query.weight, self.key.weight, self.value.weight])
        query, key, value = (x @ matrices.T).chunk(3, dim=-1)
        return masked_attention_weights(query, key, key_padding_mask) @ value
