"""Small modules that a check plugs into a learner's class, besides those of `torch.nn`."""

import torch
from torch import nn


class MaskedMixer(nn.Module):
    """Stands in for self-attention: adds to every token a projection of the mean of the tokens that are not padding.

    Shapes: x (B, T, D), key_padding_mask (B, T) -> (B, T, D).
    """

    def __init__(self, d_model):
        super().__init__()
        self.project = nn.Linear(d_model, d_model)

    def forward(self, x, key_padding_mask=None):
        visible = torch.ones(x.shape[:2]) if key_padding_mask is None else (~key_padding_mask).float()
        mean = (x * visible[..., None]).sum(1, keepdim=True) / visible.sum(1)[:, None, None]
        return self.project(x + mean)
