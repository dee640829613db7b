"""Embeddings: token plus position."""

import pytest
import torch
from torch import nn

from nanobert.embeddings import Embeddings


def test_a_vector_is_its_token_plus_its_position():
    embeddings = Embeddings(vocab_size=11, d_model=6, max_tokens=5)
    tokens = torch.tensor([[3, 10, 0], [3, 3, 3]])
    out = embeddings(tokens)
    assert out.shape == (2, 3, 6)
    for row in range(2):
        for place in range(3):
            expected = embeddings.token.weight[tokens[row, place]] + embeddings.position.weight[place]
            assert torch.equal(out[row, place], expected)


def test_vectors_are_drawn_with_the_given_spread():
    embeddings = Embeddings(vocab_size=1000, d_model=64, max_tokens=500, std=0.05)
    assert embeddings.token.weight.std().item() == pytest.approx(0.05, rel=0.03)
    assert embeddings.position.weight.std().item() == pytest.approx(0.05, rel=0.03)


def test_a_norm_is_applied_to_the_sum():
    torch.manual_seed(0)
    embeddings = Embeddings(vocab_size=11, d_model=6, max_tokens=5, norm=nn.LayerNorm(6))
    out = embeddings(torch.tensor([[1, 2, 3]]))
    assert out.mean(dim=-1).abs().max() < 1e-6


def test_too_many_tokens_are_named():
    with pytest.raises(ValueError, match="7 tokens, but this model has positions for 5"):
        Embeddings(vocab_size=11, d_model=6, max_tokens=5)(torch.zeros(1, 7, dtype=torch.long))
