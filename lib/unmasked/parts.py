"""Ready-made modules that a check plugs into a learner's class, besides those of `torch.nn`.

They are PyTorch's own, called the way the course calls attention and blocks: f(x, key_padding_mask).
"""

from torch import nn


class Attention(nn.MultiheadAttention):
    """Self-attention.  x (B, T, D), key_padding_mask (B, T), True where the token is padding -> (B, T, D)"""

    def __init__(self, d_model, heads):
        super().__init__(d_model, heads, batch_first=True)

    def forward(self, x, key_padding_mask=None):
        return super().forward(x, x, x, key_padding_mask=key_padding_mask, need_weights=False)[0]


class Block(nn.TransformerEncoderLayer):
    """An encoder block.  x (B, T, D), key_padding_mask (B, T), True where the token is padding -> (B, T, D)"""

    def __init__(self, d_model, heads, d_hidden):
        super().__init__(d_model, heads, d_hidden, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)

    def forward(self, x, key_padding_mask=None):
        return super().forward(x, src_key_padding_mask=key_padding_mask)
