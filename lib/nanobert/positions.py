"""Positions as waves: a vector for each place that is computed, not learned.

T tokens, D model width.
"""

import torch


def position_angles(tokens, width, base=10000):
    """By which angle each pair of channels has turned at each place, in radians.  -> (T, width / 2)

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.5.
    """
    exponents = torch.arange(0, width, 2) / width
    return torch.arange(tokens)[:, None] / base**exponents


def sinusoidal_positions(tokens, d_model):
    """A vector of sines and cosines, side by side, for each place; `d_model` is even.  -> (T, D)

    Source: Vaswani et al. 2017, section 3.5.
    """
    angles = position_angles(tokens, d_model)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
