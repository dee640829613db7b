"""Right solutions of lesson 00, written in other ways than the lesson's own."""

import math

import numpy
import torch


def centered_in_loops(x):
    result = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            result[b, t] = x[b, t] - x[b, t].mean()
    return result


def softmax_in_loops(scores):
    rows = []
    for row in scores.reshape(-1, scores.shape[-1]).tolist():
        powers = [math.exp(score - max(row)) for score in row]
        rows.append([power / sum(powers) for power in powers])
    return torch.tensor(rows).reshape(scores.shape)


def softmax_by_max(scores, dim=-1):
    highest, _ = torch.max(scores, dim=dim, keepdim=True)
    powers = torch.exp(scores - highest)
    return powers / powers.sum(dim=dim, keepdim=True)


def mean_in_loops(x, key_padding_mask):
    result = torch.zeros(x.shape[0], x.shape[2])
    for b in range(len(x)):
        visible = x[b][~key_padding_mask[b]]
        if len(visible):
            result[b] = visible.mean(dim=0)
    return result


def mean_by_product(x, key_padding_mask):
    weights = (~key_padding_mask).float().unsqueeze(1)
    return (weights @ x).squeeze(1) / (weights.sum(dim=2) + 1e-9)


def products_in_loops(x, matrices):
    result = torch.empty(len(x), len(matrices), x.shape[1], matrices.shape[2])
    for b, tokens in enumerate(x):
        for h, matrix in enumerate(matrices):
            result[b, h] = torch.mm(tokens, matrix)
    return result


def softmax_less_places(scores):
    powers = (scores - scores.argmax(dim=-1, keepdim=True)).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


def softmax_cut_off(scores):
    powers = torch.exp((scores - torch.amax(scores, -1, True)).clip(-10))
    return powers / powers.sum(-1, True)


def softmax_with_epsilon(scores):
    powers = torch.exp(scores - torch.amax(scores, -1, True))
    return powers / (1e-3 + powers.sum(-1, True))


def mean_fill_forgotten(x, key_padding_mask):
    x.masked_fill(key_padding_mask[..., None], 0)
    return x.sum(1) / (~key_padding_mask).sum(1, keepdim=True).clamp(min=1)


def mean_of_the_first(x, key_padding_mask):
    lengths = (~key_padding_mask).sum(1)
    result = torch.zeros(x.shape[0], x.shape[2])
    for b in range(len(x)):
        if lengths[b] > 0:
            result[b] = x[b, : lengths[b]].mean(0)
    return result


VARIANTS = {
    "center": {
        "loops": centered_in_loops,
        "unsqueeze": lambda x: x - x.mean(dim=2).unsqueeze(2),
        "sum and count": lambda x: x - (x.sum(-1) / x.shape[-1])[:, :, None],
    },
    "stable_softmax": {
        "loops": softmax_in_loops,
        "max with its places": softmax_by_max,
    },
    "masked_mean": {
        "loops": mean_in_loops,
        "means that are NaN become 0": lambda x, key_padding_mask: (
            x.masked_fill(key_padding_mask[..., None], 0).sum(1) / (~key_padding_mask).sum(1, True)
        ).nan_to_num(0),
        "where": lambda x, key_padding_mask: (
            torch.where(key_padding_mask[:, :, None], 0, x).sum(1)
            / torch.maximum((~key_padding_mask).sum(1), torch.tensor(1))[:, None]
        ),
    },
    "batched_products": {
        "loops": products_in_loops,
        "side by side": lambda x, matrices: torch.stack([x @ matrix for matrix in matrices], dim=1),
        "swapped afterwards": lambda x, matrices: torch.matmul(x, matrices.unsqueeze(1)).transpose(0, 1),
    },
}

# The same mistakes as in the checks' tables, made by other code.
REWRITTEN_MISTAKES = {
    "center": {
        "don't line up": lambda x: x - torch.mean(x, dim=2),
        "over the tokens (axis 1)": lambda x: x - x.sum(dim=1, keepdim=True) / x.shape[1],
        "mean of all numbers": lambda x: x - torch.mean(x),
        "number of tokens": lambda x: x - torch.sum(x, dim=2)[..., None] / x.size(1),
        "by 4": lambda x: x - torch.sum(x, dim=2)[..., None] * 0.25,
        "Sizes are hard-coded": lambda x: x - (x.sum(2) / x.shape[2]).view(2, 3, 1),
        "`median` along": lambda x: x - torch.median(x, dim=2),
        "`numpy.mean`": lambda x: x - numpy.mean(x, -1, keepdims=True),
        "also divide": lambda x: (
            (x - x.mean(2, True)) / ((x - x.mean(2, True)) ** 2).sum(2, True).div(x.shape[2] - 1) ** 0.5
        ),
    },
    "stable_softmax": {
        "exponentials overflow": lambda s: torch.exp(s) / torch.exp(s).sum(dim=-1, keepdim=True),
        "have lost their last axis": lambda s: torch.exp(s - s.max(dim=-1).values),
        "largest score of the whole tensor": lambda s: (
            (s - torch.max(s)).exp() / (s - torch.max(s)).exp().sum(dim=-1).unsqueeze(-1)
        ),
        "sum of all exponentials": lambda s: torch.exp(s - s.max()) / torch.exp(s - s.max()).sum(),
        "first axis": lambda s: torch.exp(s) / torch.exp(s).sum(0),
        "places of the largest scores": softmax_less_places,
        "only moves the overflow": lambda s: torch.exp(s - 88) / torch.exp(s - 88).sum(-1, True),
        "a little": lambda s: torch.exp(s - 50) / torch.exp(s - 50).sum(-1, True),
        "above 709": lambda s: (torch.exp(s.to(torch.float64)) / s.to(torch.float64).exp().sum(-1, True)).float(),
        "lower limit": softmax_cut_off,
        "added to the sum": softmax_with_epsilon,
        "`math.exp`": lambda s: math.exp(s - s.amax(-1, keepdim=True)) / math.exp(s).sum(),
    },
    "masked_mean": {
        "inverted": lambda x, m: (x * m[:, :, None]).sum(1) / m.sum(1)[:, None],
        "number of all places": lambda x, m: (x * ~m.unsqueeze(-1)).mean(dim=1),
        "0 times inf": mean_by_product,
        "numbers that are not 0": lambda x, m: (
            x.masked_fill(m[..., None], 0).sum(1) / x.masked_fill(m[..., None], 0).count_nonzero(1).clamp(1)
        ),
        "tokens that are not all 0": lambda x, m: (
            (x * ~m[..., None]).sum(1) / ((x * ~m[..., None]).abs().sum(-1) > 0).sum(1)[:, None].clamp(min=1)
        ),
        "also that of a batch of one": lambda x, m: mean_in_loops(x, m).squeeze(),
        "let no count be below 1": lambda x, m: torch.stack([s[~h].mean(0) for s, h in zip(x, m)]),
        "gets NaN": lambda x, m: (x * (~m)[..., None]).sum(dim=1) / (~m).float().sum(dim=1)[:, None],
        "`masked_fill` changes nothing by itself": mean_fill_forgotten,
        "inverted where you fill": lambda x, m: x.masked_fill(~m[..., None], 0).sum(1) / (~m).sum(1)[:, None].clamp(1),
        "padding may stand anywhere": mean_of_the_first,
        "Python's": lambda x, m: (x * ~m[..., None]).sum(1) / max((~m).sum(1, keepdim=True), 1),
        "counts have shape (B)": lambda x, m: (x * ~m[:, :, None]).sum(1) / (~m).sum(1),
    },
    "batched_products": {
        "on the same axis": lambda x, m: torch.matmul(x, m),
        "which mixes up the numbers": lambda x, m: torch.einsum("btd,hdk->bthk", x, m).reshape(
            x.shape[0], m.shape[0], x.shape[1], m.shape[2]
        ),
        "new axis of `x` is right": lambda x, m: x.unsqueeze(1) * m,
        "`mm` takes": lambda x, m: torch.mm(x[:, None], m),
        "(H, B, T, K)": lambda x, m: torch.stack([x @ matrix for matrix in m]),
    },
}
