"""Right solutions of lesson 03, written in other ways than the lesson's own."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from nanobert.attention import masked_attention_weights
from unmasked.other_ways.multi_head_attention import heads_at_once as at_once_by_einsum


def split_by_permute(x, heads):
    batch, tokens, width = x.shape
    return x.view(batch, tokens, heads, width // heads).permute(0, 2, 1, 3)


def split_by_numbers(x, heads):
    batch, tokens, width = x.shape
    k = width // heads
    result = torch.empty(batch, heads, tokens, k, dtype=x.dtype)
    for column in range(width):
        result[:, column // k, :, column % k] = x[:, :, column]
    return result


def merge_by_permute(x):
    batch, heads, tokens, k = x.shape
    return x.permute(0, 2, 1, 3).contiguous().view(batch, tokens, heads * k)


def merge_by_numbers(x):
    batch, heads, tokens, k = x.shape
    result = torch.zeros(batch, tokens, heads * k)
    for head in range(heads):
        result[:, :, head * k : (head + 1) * k] = x[:, head]
    return result


def loop_over_slices(query, key, value, heads):
    k = query.shape[-1] // heads
    results = []
    for start in range(0, query.shape[-1], k):
        columns = slice(start, start + k)
        scores = query[:, :, columns] @ key[:, :, columns].transpose(1, 2) / math.sqrt(k)
        results.append(torch.softmax(scores, dim=2) @ value[:, :, columns])
    return torch.cat(results, dim=2)


def loop_into_a_buffer(query, key, value, heads):
    result = torch.zeros_like(value)
    k = query.size(2) // heads
    for head in range(heads):
        own = torch.arange(head * k, (head + 1) * k)
        q, kk, v = (x.index_select(2, own) for x in (query, key, value))
        result[:, :, own] = F.scaled_dot_product_attention(q, kk, v)
    return result


def loop_over_split_heads(query, key, value, heads):
    halves = zip(*(split_by_permute(x, heads).unbind(1) for x in (query, key, value)))
    return merge_by_permute(torch.stack([F.scaled_dot_product_attention(*qkv) for qkv in halves], dim=1))


def at_once_by_hand(query, key, value, heads, key_padding_mask=None):
    query, key, value = (split_by_permute(x, heads) for x in (query, key, value))
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if key_padding_mask is not None:
        scores = scores - 1e9 * key_padding_mask.float().unsqueeze(1).unsqueeze(1)
    powers = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    weights = powers / powers.sum(dim=-1, keepdim=True)
    return merge_by_permute(weights @ value)


def at_once_in_the_batch(query, key, value, heads, key_padding_mask=None):
    """Heads as more sequences of the batch, as `torch.bmm` needs it."""
    batch = len(query)
    query, key, value = (split_by_permute(x, heads).flatten(0, 1) for x in (query, key, value))
    scores = torch.bmm(query / query.shape[-1] ** 0.5, key.mT)
    if key_padding_mask is not None:
        hidden = key_padding_mask.repeat_interleave(heads, dim=0).unsqueeze(1)
        scores = torch.where(hidden, torch.finfo(scores.dtype).min, scores)
    mixed = torch.bmm(scores.softmax(-1), value)
    return merge_by_permute(mixed.unflatten(0, (batch, heads)))


def at_once_with_a_float_mask(query, key, value, heads, key_padding_mask=None, dropout=0.0):
    added = None
    if key_padding_mask is not None:
        added = torch.zeros(key_padding_mask.shape).masked_fill(key_padding_mask, float("-inf"))[:, None, None]
    parts = (split_by_permute(x, heads) for x in (query, key, value))
    return merge_by_permute(torch.nan_to_num(F.scaled_dot_product_attention(*parts, attn_mask=added)))


class _Layers(nn.Module):
    def __init__(self, d_model, heads, dropout=0.0):
        super().__init__()
        if d_model % heads != 0:
            raise ValueError(f"d_model={d_model} is not a multiple of heads={heads}")
        self.n_heads = heads
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)
        self.output = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)


class ByEinsum(_Layers):
    def forward(self, x, key_padding_mask=None):
        mixed = at_once_by_einsum(self.query(x), self.key(x), self.value(x), self.n_heads, key_padding_mask)
        return self.dropout(self.output(mixed))


class HeadByHead(_Layers):
    def forward(self, x, mask=None):
        k = x.shape[-1] // self.n_heads
        total = self.output.bias
        for h in range(self.n_heads):  # the output projection of joined heads is a sum over the heads
            rows = slice(h * k, (h + 1) * k)
            q, kk, v = (F.linear(x, m.weight[rows], m.bias[rows]) for m in (self.query, self.key, self.value))
            scores = q @ kk.mT / k**0.5
            if mask is not None:
                scores = scores + mask[:, None, :] * torch.finfo(scores.dtype).min
            total = total + scores.softmax(-1) @ v @ self.output.weight[:, rows].T
        return total


class OneProjection(_Layers):
    def forward(self, x, key_padding_mask=None):
        weight = torch.cat([self.query.weight, self.key.weight, self.value.weight])
        bias = torch.cat([self.query.bias, self.key.bias, self.value.bias])
        batch, tokens, width = x.shape
        together = F.linear(x, weight, bias).view(batch, tokens, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        visible = None if key_padding_mask is None else key_padding_mask.logical_not().view(batch, 1, 1, tokens)
        mixed = F.scaled_dot_product_attention(*together, attn_mask=visible)
        return self.output(mixed.transpose(1, 2).reshape(batch, tokens, width))


def cost_product_by_product(tokens, d_model, heads):
    width = d_model // heads
    products = [(tokens, d_model, d_model)] * 4 + [(tokens, width, tokens), (tokens, tokens, width)] * heads
    return 4 * d_model * (d_model + 1), sum(2 * n * m * p for n, m, p in products)


def cost_from_a_module(tokens, d_model, heads):
    parameters = sum(p.numel() for p in _Layers(d_model, heads).parameters())
    return [parameters, 4.0 * tokens * d_model * (2 * d_model + tokens)]


VARIANTS = {
    "split_heads": {
        "view and permute": split_by_permute,
        "column by column": split_by_numbers,
        "reshape and einsum": lambda x, heads: torch.einsum("bthk->bhtk", x.reshape(*x.shape[:2], heads, -1)),
    },
    "merge_heads": {
        "permute and contiguous": merge_by_permute,
        "head by head": merge_by_numbers,
        "swapaxes and reshape": lambda x: x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1),
    },
    "heads_in_a_loop": {
        "slices": loop_over_slices,
        "into a buffer": loop_into_a_buffer,
        "over the split heads": loop_over_split_heads,
    },
    "heads_at_once": {
        "softmax by hand": at_once_by_hand,
        "heads in the batch": at_once_in_the_batch,
        "float mask": at_once_with_a_float_mask,
    },
    "MultiHeadAttention": {
        "einsum": ByEinsum,
        "head by head": HeadByHead,
        "one projection": OneProjection,
    },
    "attention_cost": {
        "product by product": cost_product_by_product,
        "from a module": cost_from_a_module,
    },
}


def loop_over(attend, width=lambda d_model, heads: d_model // heads):
    """A loop over the heads, in which `attend(query, key, value, start, end)` goes wrong."""

    def heads_in_a_loop(query, key, value, heads):
        k = width(query.shape[-1], heads)
        return torch.cat([attend(query, key, value, h * k, (h + 1) * k) for h in range(heads)], dim=-1)

    return heads_in_a_loop


def loop_over_tokens(query, key, value, heads):
    k = query.size(2) // heads
    q, kk, v = ([x[:, h * k : (h + 1) * k] for h in range(heads)] for x in (query, key, value))
    return torch.cat([masked_attention_weights(q[h], kk[h]) @ v[h] for h in range(heads)], dim=2)


def at_once_without_none(query, key, value, heads, key_padding_mask=None):
    query, key, value = (split_by_permute(x, heads) for x in (query, key, value))
    visible = ~key_padding_mask[:, None, None]
    return merge_by_permute(F.scaled_dot_product_attention(query, key, value, attn_mask=visible))


class ConditionReversed(_Layers):
    def __init__(self, d_model, heads):
        if d_model % heads == 0:
            raise ValueError("d_model must be divisible by heads")
        super().__init__(d_model, heads)


class PaddingZeroed(ByEinsum):
    def forward(self, x, key_padding_mask=None):
        result = super().forward(x, key_padding_mask)
        return result if key_padding_mask is None else result * ~key_padding_mask.unsqueeze(2)


# The same mistakes as in the check's tables, made by other code.
REWRITTEN_MISTAKES = {
    "heads_in_a_loop": {
        "the keys as values": loop_over(
            lambda q, k, v, i, j: masked_attention_weights(q[..., i:j], k[..., i:j]) @ k[..., i:j]
        ),
        "cut the queries only": loop_over(lambda q, k, v, i, j: masked_attention_weights(q[..., i:j], k) @ v[..., i:j]),
        "in the other order": loop_over(
            lambda q, k, v, i, j: v[..., i:j] @ masked_attention_weights(q[..., i:j], k[..., i:j])
        ),
        "cut rows": loop_over_tokens,
        "for the width of a head": loop_over(
            lambda q, k, v, i, j: masked_attention_weights(q[..., i:j], k[..., i:j]) @ v[..., i:j],
            width=lambda d_model, heads: heads,
        ),
    },
    "heads_at_once": {"It fails without a mask": at_once_without_none},
    "MultiHeadAttention": {
        "results of padding to 0 at the end": PaddingZeroed,
        "the wrong way round": ConditionReversed,
    },
}
