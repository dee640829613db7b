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


class Tagger(nn.Module):
    """Scores for every token; in evaluation mode at first.  (B, T), key_padding_mask (B, T) -> (B, T, C)"""

    def __init__(self, vocab_size, d_model, tags, dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.block = Block(d_model, 2, 2 * d_model)
        self.drop = nn.Dropout(p=dropout)
        self.scores = nn.Linear(d_model, tags)
        self.eval()

    def forward(self, tokens, key_padding_mask=None):
        return self.scores(self.drop(self.block(self.embedding(tokens), key_padding_mask)))


class Largest(nn.Module):
    """One vector for a text: the largest number of each column, padding aside.  (B, T, D), (B, T) -> (B, D)"""

    def forward(self, x, key_padding_mask=None):
        return (x if key_padding_mask is None else x.masked_fill(key_padding_mask[..., None], -1e4)).amax(1)


class Dropping(Block):
    """A block with dropout of its own before, and in a part after.  x (B, T, D), mask (B, T) -> (B, T, D)"""

    def __init__(self, d_model, heads, d_hidden):
        super().__init__(d_model, heads, d_hidden)
        self.after = nn.Dropout(p=0.5)

    def forward(self, x, key_padding_mask=None):
        x = nn.functional.dropout(x, 0.5, self.training)
        return self.after(super().forward(x, key_padding_mask))


class Guesser(nn.Module):
    """Scores that depend on the other tokens of a row as well; in training mode at first.  (B, T) -> (B, T, V)

    Errors: ValueError for more than `most` rows at once.
    """

    def __init__(self, vocab_size, most=1000, dropout=0.0):
        super().__init__()
        self.most = most
        self.table = nn.Embedding(vocab_size, vocab_size)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens):
        if len(tokens) > self.most:
            raise ValueError(f"the model gets {len(tokens)} rows at once, and `batch` is {self.most}")
        scores = self.table(tokens)
        return self.drop(scores + scores.mean(1, keepdim=True))


class Layered(nn.Module):
    """What a model in the course consists of: embeddings, an encoder with blocks and a last norm, an output."""

    def __init__(self, vocab_size, d_model, layers, outputs):
        super().__init__()
        self.embeddings = nn.Embedding(vocab_size, d_model)
        self.encoder = nn.Module()
        self.encoder.blocks = nn.ModuleList([Block(d_model, 2, 2 * d_model) for _ in range(layers)])
        self.encoder.norm = nn.LayerNorm(d_model)
        self.output = nn.Linear(d_model, outputs)
