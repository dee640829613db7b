"""Right answers to exercises that later ones call, for a learner whose own is wrong or missing.

A check that says `uses=("split_heads",)` takes `split_heads` from here. Grading sends a function's source to where the
learner's code runs, so each stands on its own, with `torch`, `F` and `nn` only; and none calls what its lesson has the
learner write by hand.
"""

import torch
from torch import nn


def word_pieces(word, vocabulary):
    cut, rest = [], word
    while rest:
        mark = "##" if cut else ""
        fitting = [length for length in range(1, len(rest) + 1) if mark + rest[:length] in vocabulary]
        if not fitting or len(word) > 100:
            return ["[UNK]"]
        cut.append(mark + rest[: fitting[-1]])
        rest = rest[fitting[-1] :]
    return cut


def similarity_scores(query, key):
    return query @ key.mT


def attention_weights(query, key):
    return (query @ key.mT / key.shape[-1] ** 0.5).softmax(dim=-1)


def weighted_average(weights, value):
    return weights @ value


def masked_attention_weights(query, key, key_padding_mask=None):
    scores = query @ key.mT / key.shape[-1] ** 0.5
    if key_padding_mask is None:
        return scores.softmax(dim=-1)
    hidden = key_padding_mask[:, None, :]
    return scores.masked_fill(hidden, -1e9).softmax(dim=-1).masked_fill(hidden, 0.0)


def split_heads(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x):
    return x.transpose(1, 2).flatten(2)


def heads_at_once(query, key, value, heads, key_padding_mask=None):
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    scores = query @ key.mT / query.shape[-1] ** 0.5
    if key_padding_mask is not None:
        scores = scores.masked_fill(key_padding_mask[:, None, None, :], torch.finfo(scores.dtype).min)
    return (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)


def position_angles(tokens, width, base=10000):
    return torch.arange(tokens)[:, None] / base ** (torch.arange(0, width, 2) / width)


def rotate(x, angles):
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def residual(x, sublayer, norm, pre_norm=True):
    return x + sublayer(norm(x)) if pre_norm else norm(x + sublayer(x))


def token_loss(logits, labels, key_padding_mask):
    likelihoods = logits.log_softmax(dim=-1)[~key_padding_mask]
    return -likelihoods.gather(-1, labels[~key_padding_mask][:, None]).mean()


def masked_lm_loss(logits, labels):
    chosen = labels != -100
    likelihoods = logits.log_softmax(dim=-1)[chosen]
    right = likelihoods.gather(-1, labels[chosen][:, None])
    return -right.sum() / chosen.sum().clamp(min=1)


class BertEmbeddings(nn.Module):
    def __init__(self, vocab_size, d_model, max_tokens):
        super().__init__()
        sizes = {"word": vocab_size, "position": max_tokens, "token_type": 2}
        for name, size in sizes.items():
            self.add_module(name, nn.Embedding(size, d_model))
        self.norm = nn.LayerNorm(d_model, 1e-12)

    def forward(self, tokens, token_types=None):
        kinds = tokens * 0 if token_types is None else token_types
        places = torch.arange(tokens.size(1), device=tokens.device)
        return self.norm(self.token_type(kinds) + self.position(places) + self.word(tokens))
