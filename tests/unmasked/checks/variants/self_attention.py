"""Right solutions of lesson 02, written in other ways than the lesson's own."""

import math

import torch
from torch import nn


def scores_in_loops(query, key):
    rows = [[[torch.dot(q, k) for k in keys] for q in queries] for queries, keys in zip(query, key)]
    return torch.stack([torch.stack([torch.stack(row) for row in rows]) for rows in rows])


def weights_by_formula(query, key):
    scores = torch.einsum("bqk,bsk->bqs", query, key) / math.sqrt(query.size(-1))
    powers = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)
    return powers / powers.sum(dim=-1, keepdim=True)


def weights_in_loops(query, key):
    result = torch.empty(query.shape[0], query.shape[1], key.shape[1])
    for b in range(query.shape[0]):
        for q in range(query.shape[1]):
            row = torch.stack([query[b, q] @ k for k in key[b]]) / query.shape[2] ** 0.5
            result[b, q] = torch.softmax(row, 0)
    return result


def average_in_loops(weights, value):
    result = torch.zeros(weights.shape[0], weights.shape[1], value.shape[2])
    for s in range(value.shape[1]):
        result += weights[:, :, s : s + 1] * value[:, s : s + 1, :]
    return result


def masked_with_where(query, key, key_padding_mask=None):
    scores = torch.bmm(query, key.transpose(1, 2)) / math.sqrt(key.shape[-1])
    if key_padding_mask is not None:
        scores = torch.where(key_padding_mask.unsqueeze(1), torch.tensor(-torch.inf), scores)
    return torch.nan_to_num(torch.softmax(scores, dim=-1), nan=0.0)


def masked_by_hand(query, key, key_padding_mask=None):
    scores = query @ key.mT / query.shape[-1] ** 0.5
    visible = torch.ones_like(scores) if key_padding_mask is None else (~key_padding_mask).float()[:, None, :]
    highest = (scores - 1e9 * (1 - visible)).amax(-1, keepdim=True)
    powers = ((scores - highest) * visible).exp() * visible
    return powers / powers.sum(-1, keepdim=True).clamp(min=1e-30)


class WithEinsum(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x, key_padding_mask=None):
        weights = masked_by_hand(self.query(x), self.key(x), key_padding_mask)
        return torch.einsum("bqs,bsd->bqd", self.dropout(weights), self.value(x))


class OneSequenceAtATime(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        for name in ("query", "key", "value"):
            self.add_module(name, nn.Linear(d_model, d_model, bias=False))

    def forward(self, x, key_padding_mask=None):
        results = []
        for b, tokens in enumerate(x):
            scores = self.query(tokens) @ self.key(tokens).T / x.shape[-1] ** 0.5
            value = self.value(tokens)
            if key_padding_mask is not None:
                scores[:, key_padding_mask[b]] = -1e30
                value = value * ~key_padding_mask[b][:, None]
            results.append(scores.softmax(-1) @ value)
        return torch.stack(results)


VARIANTS = {
    "similarity_scores": {
        "broadcast": lambda query, key: (query.unsqueeze(2) * key.unsqueeze(1)).sum(dim=-1),
        "loops": scores_in_loops,
        "bmm": lambda query, key: torch.bmm(query, key.transpose(1, 2)),
    },
    "attention_weights": {
        "by the formula": weights_by_formula,
        "loops": weights_in_loops,
    },
    "weighted_average": {
        "einsum": lambda weights, value: torch.einsum("bqs,bsk->bqk", weights, value),
        "loops": average_in_loops,
    },
    "masked_attention_weights": {
        "where and nan_to_num": masked_with_where,
        "softmax by hand": masked_by_hand,
    },
    "SelfAttention": {
        "einsum and dropout": WithEinsum,
        "one sequence at a time": OneSequenceAtATime,
    },
}


def mask_inverted(query, key, key_padding_mask=None):
    scores = torch.bmm(query, key.transpose(1, 2)) / math.sqrt(key.shape[-1])
    if key_padding_mask is not None:
        scores = torch.where(key_padding_mask[:, None, :], scores, torch.tensor(-1e9))
        return scores.softmax(-1) * key_padding_mask[:, None, :]
    return scores.softmax(-1)


def mask_not_assigned(query, key, key_padding_mask=None):
    scores = query @ key.mT / key.shape[-1] ** 0.5
    if key_padding_mask is not None:
        scores.masked_fill(key_padding_mask[:, None, :], -torch.inf)
    return torch.softmax(scores, dim=2)


def mask_of_minus_infinity(query, key, key_padding_mask=None):
    scores = torch.einsum("bqk,bsk->bqs", query, key) * key.shape[-1] ** -0.5
    if key_padding_mask is not None:
        scores = scores + torch.zeros(key.shape[:2]).masked_fill(key_padding_mask, -torch.inf).unsqueeze(1)
    return scores.softmax(-1)


def scores_as_numbers(query, key):
    result = torch.zeros(len(query), query.shape[1], key.shape[1])
    for b, q, s in torch.cartesian_prod(*map(torch.arange, result.shape)):
        result[b, q, s] = (query[b, q] * key[b, s]).sum().item()
    return result


def mask_added_as_infinity(query, key, key_padding_mask=None):
    scores = query @ key.mT / math.sqrt(key.shape[-1])
    if key_padding_mask is not None:
        scores = scores + key_padding_mask.float().unsqueeze(1) * -math.inf
    return torch.softmax(scores, dim=-1)


def mask_in_the_keys(query, key, key_padding_mask=None):
    if key_padding_mask is not None:
        key = key.masked_fill(key_padding_mask.unsqueeze(-1), -math.inf)
    return torch.softmax(query @ key.mT / math.sqrt(key.shape[-1]), dim=-1)


def mask_zeroed_in_place(query, key, key_padding_mask=None):
    scores = torch.bmm(query, key.transpose(1, 2)) / math.sqrt(key.shape[-1])
    if key_padding_mask is not None:
        scores = scores.masked_fill(key_padding_mask[:, None], -1e9)
    weights = scores.softmax(dim=-1)
    if key_padding_mask is not None:
        weights[key_padding_mask[:, None].expand_as(weights)] = 0
    return weights


def mask_negated(query, key, key_padding_mask=None):
    scores = query @ key.mT / math.sqrt(key.shape[-1])
    if not key_padding_mask:
        return scores.softmax(-1)
    return scores.masked_fill(key_padding_mask[:, None], -1e9).softmax(-1)


class Unscaled(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, key_padding_mask=None):
        scores = torch.einsum("bqd,bsd->bqs", self.query(x), self.key(x))
        if key_padding_mask is not None:
            scores = scores.masked_fill(key_padding_mask.unsqueeze(1), -1e9)
        return torch.bmm(torch.softmax(scores, 2), self.value(x))


# The same mistakes as in the checks' tables, made by other code.
REWRITTEN_MISTAKES = {
    "similarity_scores": {
        "rows are keys and your columns": lambda query, key: torch.einsum("bqk,bsk->bsq", query, key),
        "cosine similarity": lambda q, k: nn.functional.cosine_similarity(q[:, :, None], k[:, None], dim=-1),
        "not transposed": lambda query, key: torch.bmm(query, key),
        "No gradient flows back": scores_as_numbers,
    },
    "attention_weights": {
        "not divided by the square root": lambda q, k: nn.Softmax(dim=2)(torch.bmm(q, k.transpose(1, 2))),
        "softmax runs over the queries": lambda query, key: torch.softmax(
            torch.einsum("bqk,bsk->bqs", query, key) / math.sqrt(key.shape[2]), dim=1
        ),
        "to the most similar key": lambda query, key: (query @ key.mT * 1e9).softmax(-1),
    },
    "weighted_average": {
        "divide by the number of keys": lambda weights, value: (weights[..., None] * value[:, None]).mean(2),
    },
    "masked_attention_weights": {
        "inverted": mask_inverted,
        "has no effect": mask_not_assigned,
        "gets NaN": mask_of_minus_infinity,
        "0 · (-inf)": mask_added_as_infinity,
        "key of -inf": mask_in_the_keys,
        "in place after the softmax": mask_zeroed_in_place,
        "has many": mask_negated,
    },
    "SelfAttention": {"not divided by the square root": Unscaled},
}
