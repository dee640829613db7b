"""Checks of lesson 02. Oracle: `torch.nn.functional.scaled_dot_product_attention`."""

import torch
import torch.nn.functional as F
from torch import nn

from unmasked.criteria import close, holds, shaped, tensor
from unmasked.exercise import exercise

# Every size differs from every other, so that a wrong axis can't hide.
B, Q, S, K, D = 2, 3, 5, 8, 6


def _weights(query, key, key_padding_mask=None):
    """The weights as PyTorch's own attention has them: what it mixes out of the rows of an identity matrix."""
    identity = torch.eye(key.shape[1]).expand(len(key), -1, -1)
    visible = None if key_padding_mask is None else ~key_padding_mask[:, None, :]
    return F.scaled_dot_product_attention(query, key, identity, attn_mask=visible)


# --- 2.2 ---------------------------------------------------------------------------------------------------------


@exercise(
    points=2,
    by_hand=["scaled_dot_product_attention", "multi_head_attention_forward"],
    mistakes={
        "Your scores are not divided by the square root of d_k, the width of a query.": (
            lambda query, key: (query @ key.mT).softmax(-1)
        ),
        "You divide by d_k itself; it should be its square root.": (
            lambda query, key: (query @ key.mT / key.shape[-1]).softmax(-1)
        ),
    },
)
def attention_weights(attempt):
    """Vaswani et al. 2017, equation 1, without the values."""
    query, key = tensor(B, Q, K), tensor(B, S, K)
    weights = attempt(query, key)
    yield shaped(weights, B=B, Q=Q, S=S)
    yield holds(
        (weights.sum(-1) - 1).abs().max() < 1e-4,
        "the weights of each query sum to 1",
        "The weights of a query must sum to 1 over the keys: which axis does your softmax run along?",
        received=weights.sum(-1),
    )
    yield close(weights, _weights(query, key), "they are softmax(q·k / √d_k)", "The weights are not the softmax ...", earns=1)
