"""Lesson 09, written in another way."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from nanobert.encoder import Encoder, EncoderBlock, FeedForward
from nanobert.multi_head import MultiHeadAttention


# Rows of the tables instead of look-ups: the first T positions, and one token type for all if none is
# given. Broadcasting adds them to every token.
class BertEmbeddings(nn.Module):
    def __init__(self, vocab_size, d_model, max_tokens):
        super().__init__()
        for name, rows in ("word", vocab_size), ("position", max_tokens), ("token_type", 2):
            self.add_module(name, nn.Embedding(rows, d_model))
        self.norm = nn.LayerNorm(d_model, eps=1e-12)

    def forward(self, tokens, token_types=None):
        kinds = self.token_type.weight[0] if token_types is None else self.token_type(token_types)
        return self.norm(self.word(tokens) + self.position.weight[: tokens.shape[1]] + kinds)


# The name is taken apart at its dots and its middle looked up as a whole, so that the order of
# replacements doesn't matter.
def rename(name):
    ours = {
        "attention.output.dense": "attention.output",
        "attention.output.LayerNorm": "attention_norm",
        "intermediate.dense": "feed_forward.up",
        "output.dense": "feed_forward.down",
        "output.LayerNorm": "feed_forward_norm",
    }
    if name.startswith("encoder.layer."):
        number, *middle, kind = name.split(".")[2:]
        part = ".".join(middle).replace("attention.self", "attention")
        return f"encoder.blocks.{number}.{ours.get(part, part)}.{kind}"
    if name.startswith("embeddings.") and not name.endswith("position_ids"):
        return name.replace("_embeddings", "").replace("LayerNorm", "norm")


# One block is made, put right and copied, as PyTorch's `nn.TransformerEncoder` does it. The copies
# begin with the same weights, which doesn't matter where weights are loaded.
class Bert(nn.Module):
    def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens):
        super().__init__()
        attention, feed_forward = MultiHeadAttention(d_model, heads), FeedForward(d_model, d_hidden)
        block = EncoderBlock(attention, feed_forward, d_model, pre_norm=False)
        block.attention_norm.eps = block.feed_forward_norm.eps = 1e-12
        self.embeddings = BertEmbeddings(vocab_size, d_model, max_tokens)
        self.encoder = Encoder(copy.deepcopy(block) for _ in range(layers))

    def forward(self, tokens, key_padding_mask=None):
        return self.encoder(self.embeddings(tokens), key_padding_mask)


# A generator computes a difference only when it is asked for the next one, and `next` stops asking at
# the first that is too large.
def first_difference(mine, theirs, tolerance=1e-5):
    sizes = ((name, (mine[name] - theirs[name]).abs().max().item()) for name in theirs)
    return next(((name, size) for name, size in sizes if not size <= tolerance), None)


# `nanmean` leaves NaN out of the sum and of the count, so that making padding NaN is all.
def mean_pooling(x, key_padding_mask):
    return x.masked_fill(key_padding_mask[..., None], torch.nan).nanmean(dim=1).nan_to_num()


# `cosine_similarity` normalizes by itself, and a slice may ask for more than there is.
def most_similar(query, vectors, count):
    cosines = F.cosine_similarity(query, vectors)
    indices = cosines.argsort(descending=True)[:count]
    return cosines[indices], indices
