"""Lesson 04, written in another way."""

import torch
import torch.nn.functional as F
from torch import nn

from nanobert.multi_head import merge_heads, split_heads


# `argsort` of a permutation is its inverse: the permuted result is put back in order and compared
# with the plain one.
def equivariance_error(layer, x, order):
    back = order.argsort()
    return (layer(x[:, order])[:, back] - layer(x)).abs().max().item()


# Each hand has a speed, and the table is the outer product of places and speeds: no axis is added.
def position_angles(tokens, width, base=10000):
    speeds = base ** (-torch.arange(0, width, 2) / width)
    return torch.outer(torch.arange(tokens).float(), speeds)


# A cosine is a sine a quarter turn ahead: each angle stands twice, and the second one is moved on.
def sinusoidal_positions(tokens, d_model):
    angles = position_angles(tokens, d_model).repeat_interleave(2, dim=1)
    angles[:, 1::2] += torch.pi / 2
    return angles.sin()


# Positions are always the first rows of their table, so that a slice does instead of a look-up; one
# that comes out too short tells of too long a text.
class Embeddings(nn.Module):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__()
        self.token = nn.Embedding(vocab_size, d_model)
        self.position = nn.Embedding(max_tokens, d_model)
        self.norm = norm or nn.Identity()
        for table in (self.token, self.position):
            nn.init.normal_(table.weight, std=std)

    def forward(self, tokens):
        positions = self.position.weight[: tokens.shape[1]]  # T, D
        if len(positions) < tokens.shape[1]:
            raise ValueError(f"more tokens than the {len(positions)} positions")
        return self.norm(self.token(tokens) + positions)


# Each pair is a complex number: multiplying it by one of length 1 turns it.
def rotate(x, angles):
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).flatten(-2)


# Queries and keys are turned before the split: the angles of one head, repeated, are those of all.
def rotary_attention(query, key, value, heads):
    angles = position_angles(query.shape[1], query.shape[2] // heads).repeat(1, heads)
    query, key = rotate(query, angles), rotate(key, angles)
    query, key, value = (split_heads(x, heads) for x in (query, key, value))
    return merge_heads(F.scaled_dot_product_attention(query, key, value))
