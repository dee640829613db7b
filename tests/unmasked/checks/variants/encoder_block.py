"""Right solutions of lesson 05, written in other ways than the lesson's own."""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from unmasked.other_ways.encoder_block import EncoderBlock as WithResidual


def norm_step_by_step(x, weight, bias, eps=1e-5):
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.pow(2).mean(dim=-1, keepdim=True)
    return centred * torch.rsqrt(variance + eps) * weight + bias


def norm_with_std(x, weight, bias, eps=1e-5):
    mean, std = x.mean(-1).unsqueeze(-1), x.std(-1, unbiased=False).unsqueeze(-1)
    return torch.addcmul(bias, weight, (x - mean) / torch.sqrt(std**2 + eps))


def norm_in_loops(x, weight, bias, eps=1e-5):
    rows = []
    for token in x.reshape(-1, x.shape[-1]):
        mean = sum(token) / len(token)
        variance = sum((number - mean) ** 2 for number in token) / len(token)
        rows.append((token - mean) / (variance + eps) ** 0.5 * weight + bias)
    return torch.stack(rows).reshape(x.shape)


def norm_with_einsum(x, weight, bias, eps=1e-5):
    width = x.size(-1)
    centred = x - torch.einsum("...d->...", x)[..., None] / width
    variance = torch.einsum("...d,...d->...", centred, centred)[..., None] / width
    return weight * centred / torch.sqrt(variance + eps) + bias


class WithModule(nn.Module):
    """The activation as a module, and dropout that is never asked for."""

    def __init__(self, d_model, d_hidden, dropout=0.0):
        super().__init__()
        self.up = nn.Linear(d_model, d_hidden)
        self.down = nn.Linear(d_hidden, d_model)
        self.net = nn.Sequential(self.up, nn.GELU(), nn.Dropout(dropout), self.down)

    def forward(self, x):
        return self.net(x)


class WithErf(nn.Module):
    def __init__(self, d_model, d_hidden):
        super().__init__()
        self.down = nn.Linear(d_hidden, d_model)
        self.up = nn.Linear(d_model, d_hidden)

    def forward(self, x):
        hidden = self.up(x)
        hidden = hidden * 0.5 * (1.0 + torch.erf(hidden / math.sqrt(2.0)))
        return self.down(hidden)


class TokenByToken(nn.Module):
    def __init__(self, d_model, d_hidden):
        super().__init__()
        self.up, self.down = nn.Linear(d_model, d_hidden), nn.Linear(d_hidden, d_model)

    def forward(self, x):
        tokens = [
            self.down.weight @ F.gelu(self.up.weight @ token + self.up.bias) for token in x.reshape(-1, x.shape[-1])
        ]
        return torch.stack(tokens).reshape(x.shape) + self.down.bias


class PlaceByPlace(nn.Module):
    """Knows of three axes and no others."""

    def __init__(self, d_model, d_hidden):
        super().__init__()
        self.up, self.down = nn.Linear(d_model, d_hidden), nn.Linear(d_hidden, d_model)

    def forward(self, x):
        B, T, D = x.shape
        return torch.stack([self.down(F.gelu(self.up(x[:, t]))) for t in range(T)], 1)


def residual_in_one_line(x, sublayer, norm, pre_norm=True):
    return x + sublayer(norm(x)) if pre_norm else norm(x + sublayer(x))


def residual_in_steps(x, sublayer, norm, pre_norm):
    result = norm(x) if pre_norm else x
    result = sublayer(result)
    result = torch.add(result, x)
    if not pre_norm:
        result = norm(result)
    return result


def residual_on_a_copy(x, sublayer, norm, pre_norm):
    copy = x.clone()
    copy += sublayer(norm(x) if pre_norm else x)
    return copy if pre_norm else norm(copy)


class FunctionalDropout(nn.Module):
    def __init__(self, attention, feed_forward, d_model, pre_norm=True, dropout=0.0):
        super().__init__()
        self.feed_forward_norm = nn.LayerNorm(d_model)
        self.attention_norm = nn.LayerNorm(d_model)
        self.feed_forward = feed_forward
        self.attention = attention
        self.pre_norm = pre_norm
        self.rate = dropout

    def forward(self, x, key_padding_mask=None):
        if not self.pre_norm:
            h = F.dropout(self.attention(x, key_padding_mask), self.rate, self.training) + x
            h = self.attention_norm(h)
            return self.feed_forward_norm(F.dropout(self.feed_forward(h), self.rate, self.training) + h)
        h = F.dropout(self.attention(self.attention_norm(x), key_padding_mask), self.rate, self.training)
        x = torch.add(x, h)
        h = F.dropout(self.feed_forward(self.feed_forward_norm(x)), self.rate, self.training)
        return torch.add(x, h)


class TwoForwards(nn.Module):
    """Its own norm written out; chooses the form of `forward` once and for all."""

    def __init__(self, attention, feed_forward, d_model, pre_norm=True, dropout=0.0):
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.attention_norm = OwnNorm(d_model)
        self.feed_forward_norm = OwnNorm(d_model)
        self.dropout = nn.Dropout(p=dropout)
        self.run = self.pre if pre_norm else self.post

    def pre(self, x, mask):
        attended = x + self.dropout(self.attention(self.attention_norm(x), mask))
        return attended + self.dropout(self.feed_forward(self.feed_forward_norm(attended)))

    def post(self, x, mask):
        attended = self.attention_norm(x + self.dropout(self.attention(x, mask)))
        return self.feed_forward_norm(attended + self.dropout(self.feed_forward(attended)))

    def forward(self, x, key_padding_mask=None):
        return self.run(x, key_padding_mask)


class OwnNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return norm_step_by_step(x, self.weight, self.bias)


class ConditionalNorm(nn.Module):
    def __init__(self, blocks, norm=None):
        super().__init__()
        self.norm = norm
        self.blocks = nn.ModuleList()
        for block in blocks:
            self.blocks.append(block)

    def forward(self, x, key_padding_mask=None):
        for index in range(len(self.blocks)):
            x = self.blocks[index](x, key_padding_mask=key_padding_mask)
        if self.norm is not None:
            x = self.norm(x)
        return x


class Recursive(nn.Module):
    def __init__(self, blocks, norm=None):
        super().__init__()
        self.blocks = nn.ModuleList(list(blocks))
        self.norm = norm or (lambda x: x)

    def forward(self, x, key_padding_mask=None):
        return self.norm(self.run(x, key_padding_mask, len(self.blocks)))

    def run(self, x, mask, count):
        return x if count == 0 else self.blocks[count - 1](self.run(x, mask, count - 1), mask)


def parameters_summed(layers, d_model, d_hidden):
    linear = [(d_model, d_model)] * 4 + [(d_model, d_hidden), (d_hidden, d_model)]
    total = 0
    for _ in range(layers):
        total += sum(inputs * outputs + outputs for inputs, outputs in linear)
        total += 2 * (d_model + d_model)
    return total


VARIANTS = {
    "layer_norm": {
        "step by step": norm_step_by_step,
        "with std": norm_with_std,
        "loops": norm_in_loops,
        "einsum": norm_with_einsum,
    },
    "FeedForward": {
        "a Sequential of modules": WithModule,
        "GELU by erf": WithErf,
        "token by token": TokenByToken,
        "place by place": PlaceByPlace,
    },
    "residual": {
        "one line": residual_in_one_line,
        "in steps": residual_in_steps,
        "in place on a copy": residual_on_a_copy,
    },
    "EncoderBlock": {
        "functional dropout": FunctionalDropout,
        "two forwards and an own norm": TwoForwards,
    },
    "Encoder": {
        "conditional norm": ConditionalNorm,
        "recursive": Recursive,
    },
    "encoder_parameters": {
        "summed": parameters_summed,
        "formula": lambda layers, d, f: layers * (4 * d**2 + 2 * d * f + 9 * d + f),
    },
}


def norm_of_numbers(x, weight, bias, eps=1e-5):
    rows = []
    for token in x.reshape(-1, x.shape[-1]):
        mean = token.mean().item()
        rows.append((token - mean) / math.sqrt(((token - mean) ** 2).mean().item() + eps) * weight + bias)
    return torch.stack(rows).reshape(x.shape)


def norm_of_sums(x, weight, bias, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).sum(-1, keepdim=True) + eps) * weight + bias


def norm_alone(x, weight, bias, eps=1e-5):
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + eps)


class DownThenUp(nn.Module):
    def __init__(self, d_model, d_hidden):
        super().__init__()
        self.down = nn.Linear(d_model, d_hidden)
        self.up = nn.Linear(d_hidden, d_model)

    def forward(self, x):
        return self.up(F.gelu(self.down(x)))


class ModuleOfResult(nn.Module):
    def __init__(self, d_model, d_hidden):
        super().__init__()
        self.up = nn.Linear(d_model, d_hidden)
        self.down = nn.Linear(d_hidden, d_model)

    def forward(self, x):
        x = self.up(x)
        x = nn.GELU(x)
        return self.down(x)


def residual_on_the_result(x, sublayer, norm, pre_norm):
    if pre_norm:
        out = sublayer(norm(x))
        out += x
        return out
    out = sublayer(x)
    out += x
    return norm(out)


class ResultAsSublayer(WithResidual):
    def forward(self, x, key_padding_mask=None):
        x = residual_in_one_line(x, self.attention(x, key_padding_mask), self.attention_norm, self.pre_norm)
        return residual_in_one_line(x, self.feed_forward(x), self.feed_forward_norm, self.pre_norm)


class LastNormForgotten(FunctionalDropout):
    def forward(self, x, key_padding_mask=None):
        if self.pre_norm:
            return super().forward(x, key_padding_mask)
        h = self.attention_norm(x + self.attention(x, key_padding_mask))
        return h + self.feed_forward(h)


class PathBeforeTheNorm(FunctionalDropout):
    def forward(self, x, key_padding_mask=None):
        if self.pre_norm:
            return super().forward(x, key_padding_mask)
        x = x + self.attention(x, key_padding_mask)
        return self.feed_forward_norm(x + self.feed_forward(self.attention_norm(x)))


def handwritten_post(forward):
    """A block that is right as pre-norm, and runs `forward(block, x, mask)` as post-norm."""

    class Handwritten(FunctionalDropout):
        def __init__(self, attention, feed_forward, d_model, pre_norm=True, dropout=0.0):
            super().__init__(attention, feed_forward, d_model, pre_norm, dropout)
            self.dropout = nn.Dropout(dropout)

        def forward(self, x, key_padding_mask=None):
            return super().forward(x, key_padding_mask) if self.pre_norm else forward(self, x, key_padding_mask)

    return Handwritten


def post_without_dropout(block, x, mask):
    x = block.attention_norm(x + block.attention(x, mask))
    return block.feed_forward_norm(x + block.feed_forward(x))


def post_with_sums_dropped(block, x, mask):
    x = block.attention_norm(block.dropout(x + block.attention(x, mask)))
    return block.feed_forward_norm(block.dropout(x + block.feed_forward(x)))


def post_with_norms_dropped(block, x, mask):
    x = block.dropout(block.attention_norm(x + block.attention(x, mask)))
    return block.dropout(block.feed_forward_norm(x + block.feed_forward(x)))


def post_with_one_dropout(block, x, mask):
    x = block.attention_norm(x + block.attention(x, mask))
    return block.feed_forward_norm(x + block.dropout(block.feed_forward(x)))


def post_without_mask(block, x, mask):
    x = block.attention_norm(x + block.dropout(block.attention(x)))
    return block.feed_forward_norm(x + block.dropout(block.feed_forward(x)))


class AttentionWithoutGradient(nn.Module):
    def __init__(self, attention, feed_forward, d_model, pre_norm=True, dropout=0.0):
        super().__init__()
        self.attention, self.feed_forward = attention, feed_forward
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout, self.pre_norm = nn.Dropout(dropout), pre_norm

    def forward(self, x, key_padding_mask=None):
        if not self.pre_norm:
            x = self.attention_norm(x + self.dropout(self.attention(x, key_padding_mask)))
            return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        with torch.no_grad():
            x = x + self.dropout(self.attention(self.attention_norm(x), key_padding_mask))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class MaskTurned(FunctionalDropout):
    def forward(self, x, key_padding_mask=None):
        return super().forward(x, None if key_padding_mask is None else ~key_padding_mask)


class HalfDropped(WithResidual):
    def __init__(self, attention, feed_forward, d_model, pre_norm=True, dropout=0.0):
        super().__init__(attention, feed_forward, d_model, pre_norm)
        self.dropout = nn.Dropout()


class NetWithDropout(WithModule):
    def __init__(self, d_model, d_hidden, dropout=0.3):
        super().__init__(d_model, d_hidden, dropout)


def residual_under_no_grad(x, sublayer, norm, pre_norm):
    with torch.no_grad():
        added = sublayer(norm(x) if pre_norm else x)
    return x + added if pre_norm else norm(x + added)


class MaskTurnedInEncoder(ConditionalNorm):
    def forward(self, x, key_padding_mask=None):
        return super().forward(x, None if key_padding_mask is None else ~key_padding_mask)


class ReturnsInTheLoop(ConditionalNorm):
    def forward(self, x, key_padding_mask=None):
        for block in self.blocks:
            x = block(x, key_padding_mask)
            return x if self.norm is None else self.norm(x)


class CopiesTheFirst(ConditionalNorm):
    def __init__(self, blocks, norm=None):
        super().__init__([copy.deepcopy(blocks[0]) for _ in range(len(blocks))], norm)


REWRITTEN_MISTAKES = {
    "layer_norm": {
        "No gradient flows through your mean": norm_of_numbers,
        "sum of the squared distances": norm_of_sums,
        "`weight` and `bias` are not used": norm_alone,
        "as an RMS norm does": lambda x, weight, bias, eps=1e-5: (
            weight * x * ((x**2).mean(-1, True) + eps) ** -0.5 + bias
        ),
    },
    "FeedForward": {
        "sizes are swapped": DownThenUp,
        "makes a module": ModuleOfResult,
        "a dropout inside the net": NetWithDropout,
    },
    "residual": {
        "in place (`+=`) to what the sub-layer returned": residual_on_the_result,
        "Pre-norm: no gradient comes back through the sub-layer": residual_under_no_grad,
        "Pre-norm: no gradient comes back along the path": lambda x, sublayer, norm, pre_norm: (
            residual_in_one_line(x, sublayer, norm, pre_norm) - (x - x.detach())
        ),
    },
    "EncoderBlock": {
        "Hand over a function": ResultAsSublayer,
        "norm after the feed-forward net's path is missing": LastNormForgotten,
        "as it was before the norm": PathBeforeTheNorm,
        "As post-norm: there is no dropout;": handwritten_post(post_without_dropout),
        "As post-norm: there is no dropout after attention": handwritten_post(post_with_one_dropout),
        "As post-norm: your dropout hits the sums": handwritten_post(post_with_sums_dropped),
        "As post-norm: your dropout comes after the norms": handwritten_post(post_with_norms_dropped),
        "As post-norm: the mask is not handed on": handwritten_post(post_without_mask),
        "past attention's half": AttentionWithoutGradient,
        "wrong way round": MaskTurned,
        "a rate of its own": HalfDropped,
    },
    "Encoder": {
        "`return` inside the loop": ReturnsInTheLoop,
        "wrong way round": MaskTurnedInEncoder,
        "itself or a copy": CopiesTheFirst,
    },
    "encoder_parameters": {
        "`up` has d_hidden biases": lambda layers, d, f: layers * (4 * (d * d + d) + 2 * (d * f + d) + 4 * d),
    },
}
