"""The encoder: blocks of attention and feed-forward, each on a residual path.

B batch, T tokens, D model width, F width inside the feed-forward net.
"""

import torch.nn.functional as F
from torch import nn


class FeedForward(nn.Module):
    """The same two-layer net at every position.  (B, T, D) -> (B, T, D)

    Source: Vaswani et al. 2017, section 3.3; with GELU (Hendrycks and Gimpel 2016) as in BERT.
    """

    def __init__(self, d_model, d_hidden):
        super().__init__()
        self.up = nn.Linear(d_model, d_hidden)
        self.down = nn.Linear(d_hidden, d_model)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))  # B, T, F inside


class EncoderBlock(nn.Module):
    """Attention, then feed-forward, each added to its input.

    Shapes: x (B, T, D), key_padding_mask (B, T), True where the token is padding -> (B, T, D).
    `pre_norm=True` normalizes what enters a sub-layer (Xiong et al. 2020; GPT-2), `False` what leaves the sum
    (Vaswani et al. 2017, section 3.1; BERT).
    """

    def __init__(self, attention, feed_forward, d_model, pre_norm=True, dropout=0.0):
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.attention_norm = nn.LayerNorm(d_model)
        self.feed_forward_norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.pre_norm = pre_norm

    def forward(self, x, key_padding_mask=None):
        if self.pre_norm:
            x = x + self.dropout(self.attention(self.attention_norm(x), key_padding_mask))
            return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self.dropout(self.attention(x, key_padding_mask)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class Encoder(nn.Module):
    """Blocks in a row, and a last norm where the blocks are pre-norm.

    Shapes: x (B, T, D), key_padding_mask (B, T), the same for every block -> (B, T, D).
    Source: Vaswani et al. 2017, section 3.1; the last norm: Radford et al. 2019 (GPT-2), section 2.3.
    """

    def __init__(self, blocks, norm=None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.Identity() if norm is None else norm

    def forward(self, x, key_padding_mask=None):
        for block in self.blocks:
            x = block(x, key_padding_mask)
        return self.norm(x)
