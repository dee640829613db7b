"""Embeddings: what stands at a position, plus where it stands.

B batch, T tokens, D model width, V vocabulary.
"""

import torch
from torch import nn


class Embeddings(nn.Module):
    """A learned vector for each token plus a learned vector for each position.

    Shapes: tokens (B, T), whole numbers below V -> (B, T, D).
    Errors: ValueError if there are more tokens than positions.
    `norm`, if given, is applied to the sum (BERT does so; a pre-norm encoder does not need it).
    Source: Devlin et al. 2019, "BERT", section 3 (input representation), without segments.
    """

    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__()
        self.token = nn.Embedding(vocab_size, d_model)
        self.position = nn.Embedding(max_tokens, d_model)
        self.norm = nn.Identity() if norm is None else norm
        nn.init.normal_(self.token.weight, std=std)
        nn.init.normal_(self.position.weight, std=std)

    def forward(self, tokens):
        count, limit = tokens.shape[1], self.position.num_embeddings
        if count > limit:
            raise ValueError(f"{count} tokens, but this model has positions for {limit}: shorten the text")
        positions = torch.arange(count, device=tokens.device)  # T
        return self.norm(self.token(tokens) + self.position(positions))  # B, T, D
