"""Right solutions of lesson 04, written in other ways than the lesson's own."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from unmasked.other_ways.word_order import position_angles as angles_by_outer
from unmasked.other_ways.word_order import rotate as rotate_by_complex_numbers


def error_by_gather(layer, x, order):
    index = order[None, :, None].expand_as(x)
    return torch.max(torch.abs(layer(x.gather(1, index)) - layer(x).gather(1, index)))


def error_with_all_axes_named(layer, x, order):
    return (layer(x[:, order, :]) - layer(x)[:, order, :]).abs().max()


def error_token_by_token(layer, x, order):
    before = layer(torch.stack([x[:, place] for place in order.tolist()], dim=1))
    after = layer(x)
    return max(float((before[:, t] - after[:, place]).abs().max()) for t, place in enumerate(order.tolist()))


def error_by_matrix(layer, x, order):
    permutation = torch.eye(len(order))[order]
    with torch.no_grad():
        difference = layer(permutation @ x) - permutation @ layer(x)
    return float(torch.linalg.vector_norm(difference, ord=math.inf))


def error_as_a_numpy_number(layer, x, order):
    return np.abs((layer(x[:, order]) - layer(x)[:, order]).detach().numpy()).max()


def angles_in_loops(tokens, width, base=10000):
    table = torch.zeros(tokens, width // 2)
    for place in range(tokens):
        for hand in range(width // 2):
            table[place, hand] = place / base ** (2 * hand / width)
    return table


def angles_by_exp(tokens, width, base=10000):
    speeds = torch.exp(torch.arange(0, width, 2) * (-math.log(base) / width))
    return torch.arange(0, tokens).unsqueeze(1) * speeds


def angles_by_einsum(tokens, width, base=10000.0):
    i = torch.arange(width // 2, dtype=torch.float32)
    return torch.einsum("t,i->ti", torch.arange(tokens, dtype=torch.float32), base ** (-2 * i / width))


def waves_in_loops(tokens, d_model):
    rows = []
    for place in range(tokens):
        row = []
        for hand in range(d_model // 2):
            angle = place / 10000 ** (2 * hand / d_model)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return torch.tensor(rows)


def waves_by_complex_numbers(tokens, d_model):
    angles = angles_by_exp(tokens, d_model)
    return torch.view_as_real(torch.polar(torch.ones_like(angles), math.pi / 2 - angles)).reshape(tokens, d_model)


def waves_filled_in(tokens, d_model):
    angles = angles_by_outer(tokens, d_model)
    table = torch.empty(tokens, d_model)
    table[:, 0::2] = torch.sin(angles)
    table[:, 1::2] = torch.cos(angles)
    return table


class SlicedPositions(nn.Module):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__()
        self.norm = norm
        self.max_tokens = max_tokens
        self.position = nn.Embedding(max_tokens, d_model)
        self.token = nn.Embedding(vocab_size, d_model)
        self.position.weight.data.normal_(std=std)
        self.token.weight.data.normal_(mean=0.0, std=std)

    def forward(self, tokens):
        if tokens.size(1) > self.max_tokens:
            raise ValueError(f"at most {self.max_tokens} tokens")
        x = self.token(tokens) + self.position.weight[: tokens.size(1)].unsqueeze(0)
        return x if self.norm is None else self.norm(x)


class PositionsForEachToken(nn.Module):
    """Positions of the shape of the tokens, kept in a buffer; functional look-ups; dropout, off by default."""

    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None, dropout=0.0):
        super().__init__()
        self.token = nn.Embedding.from_pretrained(torch.randn(vocab_size, d_model) * std, freeze=False)
        self.position = nn.Embedding.from_pretrained(torch.randn(max_tokens, d_model) * std, freeze=False)
        self.register_buffer("places", torch.arange(max_tokens))
        self.norm = norm or (lambda x: x)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens):
        batch, count = tokens.shape
        if count > len(self.places):
            raise ValueError("too long")
        places = self.places[:count].expand(batch, count)
        x = F.embedding(tokens, self.token.weight) + F.embedding(places, self.position.weight)
        return self.dropout(self.norm(x))


class TooManyTokens(ValueError):
    pass


class OwnErrorRaised(SlicedPositions):
    def forward(self, tokens):
        if tokens.size(1) > self.max_tokens:
            raise TooManyTokens(tokens.size(1))
        return super().forward(tokens)


class TokenByToken(nn.Module):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__()
        self.token, self.position = nn.Embedding(vocab_size, d_model), nn.Embedding(max_tokens, d_model)
        for parameter in (self.token.weight, self.position.weight):
            nn.init.trunc_normal_(parameter, std=std, a=-1e9, b=1e9)
        self.last = nn.Sequential() if norm is None else norm

    def forward(self, tokens):
        try:
            rows = [
                torch.stack([self.token(token) + self.position(torch.tensor(t)) for t, token in enumerate(row)])
                for row in tokens
            ]
        except IndexError as error:
            raise ValueError("too many tokens, or an unknown one") from error
        return self.last(torch.stack(rows))


def rotate_with_rotate_half(x, angles):
    """The form of many libraries: x · cos + (x, its pairs swapped and one sign turned) · sin."""
    both = angles.repeat_interleave(2, dim=-1)
    swapped = torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).reshape(x.shape)
    return x * both.cos() + swapped * both.sin()


def rotate_into_a_copy(x, angles):
    result = torch.empty_like(x)
    for i in range(angles.shape[-1]):
        sine, cosine = torch.sin(angles[:, i]), torch.cos(angles[:, i])
        result[..., 2 * i] = x[..., 2 * i] * cosine - x[..., 2 * i + 1] * sine
        result[..., 2 * i + 1] = x[..., 2 * i] * sine + x[..., 2 * i + 1] * cosine
    return result


def rotate_by_matrices(x, angles):
    sine, cosine = angles.sin(), angles.cos()
    matrices = torch.stack([cosine, -sine, sine, cosine], dim=-1).unflatten(-1, (2, 2))  # T, K / 2, 2, 2
    return torch.einsum("tkij,...tkj->...tki", matrices, x.unflatten(-1, (-1, 2))).flatten(-2)


def attend_by_hand(query, key, value, heads):
    batch, tokens, width = query.shape
    k = width // heads
    query, key, value = (x.view(batch, tokens, heads, k).permute(0, 2, 1, 3) for x in (query, key, value))
    angles = angles_by_exp(tokens, k)
    scores = rotate_by_matrices(query, angles) @ rotate_by_matrices(key, angles).mT / math.sqrt(k)
    return (scores.softmax(dim=-1) @ value).permute(0, 2, 1, 3).reshape(batch, tokens, width)


def attend_head_by_head(query, key, value, heads):
    angles = angles_in_loops(query.shape[1], query.shape[2] // heads)
    results = []
    for q, k, v in zip(*(x.chunk(heads, dim=-1) for x in (query, key, value))):
        results.append(F.scaled_dot_product_attention(rotate_into_a_copy(q, angles), rotate_into_a_copy(k, angles), v))
    return torch.cat(results, dim=-1)


def attend_from_other_places(query, key, value, heads):
    """Places from 1: only distances matter."""
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    angles = angles_by_outer(query.shape[2] + 1, query.shape[3])[1:]
    query, key = rotate_by_complex_numbers(query, angles), rotate_by_complex_numbers(key, angles)
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


VARIANTS = {
    "equivariance_error": {
        "gather": error_by_gather,
        "all axes named": error_with_all_axes_named,
        "token by token": error_token_by_token,
        "permutation matrix": error_by_matrix,
        "a number of NumPy's": error_as_a_numpy_number,
    },
    "position_angles": {
        "loops": angles_in_loops,
        "exp and log": angles_by_exp,
        "einsum": angles_by_einsum,
    },
    "sinusoidal_positions": {
        "loops": waves_in_loops,
        "complex numbers": waves_by_complex_numbers,
        "filled in": waves_filled_in,
    },
    "Embeddings": {
        "sliced positions": SlicedPositions,
        "a buffer of places": PositionsForEachToken,
        "token by token": TokenByToken,
        "an error of its own": OwnErrorRaised,
    },
    "rotate": {
        "swapped pairs": rotate_with_rotate_half,
        "column by column": rotate_into_a_copy,
        "matrices": rotate_by_matrices,
    },
    "rotary_attention": {
        "softmax by hand": attend_by_hand,
        "head by head": attend_head_by_head,
        "places from 1": attend_from_other_places,
    },
}


def error_with_old_results_as_a_tensor(layer, x, order):
    before = layer(x)
    return torch.max(torch.abs(before - layer(x[:, order])))


def error_by_scatter(layer, x, order):
    """Moves token t to place order[t], the other way round."""
    moved, results = torch.zeros_like(x), torch.zeros_like(x)
    moved[:, order], results[:, order] = x, layer(x)
    return (layer(moved) - results).abs().max()


def angles_without_a_table(tokens, width, base=10000):
    i = torch.arange(width // 2)
    return torch.arange(tokens) / base ** (2 * i / width)


def angles_without_brackets(tokens, width, base=10000):
    places, i = torch.arange(tokens).unsqueeze(1), torch.arange(width / 2)
    return places / base**2 * i / width


def angles_of_columns_by_exp(tokens, width, base=10000):
    return torch.arange(tokens).unsqueeze(1) * torch.exp(-torch.arange(width) * math.log(base) / width)


def waves_by_cat(tokens, d_model):
    angles = angles_by_outer(tokens, d_model)
    return torch.concat((angles.sin(), angles.cos()), -1)


def waves_in_rows(tokens, d_model):
    angles, result = angles_by_exp(tokens, d_model), torch.zeros(tokens, d_model)
    result[::2] = angles.sin()
    result[1::2] = angles.cos()
    return result


def waves_of_a_loop_over_columns(tokens, d_model):
    """The loop over columns that many tutorials have: the cosine's exponent is its own column's."""
    result = torch.zeros(tokens, d_model)
    for place in range(tokens):
        for column in range(0, d_model, 2):
            result[place, column] = math.sin(place / 10000 ** (column / d_model))
            result[place, column + 1] = math.cos(place / 10000 ** ((column + 1) / d_model))
    return result


class BatchIndexAsPlace(SlicedPositions):
    def forward(self, tokens):
        places = torch.arange(tokens.size(0)).unsqueeze(1).expand_as(tokens)
        return self.token(tokens) + self.position(places)


class NoRefusal(SlicedPositions):
    def forward(self, tokens):
        x = self.token(tokens) + self.position(torch.arange(tokens.size(1)))
        return x if self.norm is None else self.norm(x)


class CountsSequences(SlicedPositions):
    def forward(self, tokens):
        if len(tokens) > self.max_tokens:
            raise ValueError("too many tokens")
        x = self.token(tokens) + self.position(torch.arange(tokens.size(1)))
        return x if self.norm is None else self.norm(x)


class LooksAtNumbers(SlicedPositions):
    def forward(self, tokens):
        if tokens.max() > self.max_tokens:
            raise ValueError(f"at most {self.max_tokens}")
        return super().forward(tokens)


class FrozenPositions(SlicedPositions):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std, norm)
        self.token = nn.Embedding.from_pretrained(torch.randn(vocab_size, d_model) * std)
        self.position.weight.requires_grad_(False)


class NormForgotten(SlicedPositions):
    def forward(self, tokens):
        if tokens.size(1) > self.max_tokens:
            raise ValueError
        return self.token(tokens) + self.position(torch.arange(tokens.size(1)))


class OnePlaceForAll(SlicedPositions):
    def forward(self, tokens):
        count = tokens.shape[1]
        return self.token(tokens) + self.position(count)


class NoneCalled(SlicedPositions):
    def forward(self, tokens):
        return self.norm(self.token(tokens) + self.position.weight[: tokens.size(1)])


def rotate_by_the_row_of_a_token(x, angles):
    result = torch.zeros_like(x)
    for i in range(x.shape[-1] // 2):
        sine, cosine = torch.sin(angles[i]), torch.cos(angles[i])
        result[..., 2 * i] = x[..., 2 * i] * cosine - x[..., 2 * i + 1] * sine
        result[..., 2 * i + 1] = x[..., 2 * i] * sine + x[..., 2 * i + 1] * cosine
    return result


def rotate_half_with_neighbours(x, angles):
    cosine, sine = (f(angles).repeat_interleave(2, -1) for f in (torch.cos, torch.sin))
    half = x.shape[-1] // 2
    return x * cosine + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sine


def rotate_half_as_in_libraries(x, angles):
    angles = torch.cat((angles, angles), dim=-1)
    half = x.shape[-1] // 2
    return x * angles.cos() + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * angles.sin()


def rotate_overwriting(x, angles):
    x = x.clone()
    x[..., ::2] = x[..., ::2] * torch.cos(angles) - x[..., 1::2] * torch.sin(angles)
    x[..., 1::2] = x[..., ::2] * torch.sin(angles) + x[..., 1::2] * torch.cos(angles)
    return x


def attend_turned_too_early(query, key, value, heads):
    angles = angles_by_outer(query.shape[1], query.shape[2])
    query, key = rotate_by_matrices(query, angles), rotate_by_matrices(key, angles)
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def attend_with_clocks_of_the_model(query, key, value, heads):
    angles = angles_by_outer(query.shape[1], query.shape[2])
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    query, key = rotate_by_columns(query, angles), rotate_by_columns(key, angles)
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def rotate_by_columns(x, angles):
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()), -1).flatten(-2)


def attend_with_turned_values(query, key, value, heads):
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    angles = angles_by_outer(*query.shape[2:])
    query, key, value = (rotate_by_matrices(x, angles) for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def error_of(number):
    """What a learner makes of the right differences; a tensor, without `.item()`."""
    return lambda layer, x, order: number(layer(x[:, order, :]) - layer(x)[:, order, :])


def error_with_pythons_max(layer, x, order):
    return max(abs(layer(x[:, order]) - layer(x)[:, order]))


def error_printed(layer, x, order):
    print((layer(x[:, order]) - layer(x)[:, order]).abs().max())


def angles_divided_twice(tokens, width, base=10000):
    t, i = torch.arange(tokens), torch.arange(0, width, 2)
    return t[:, None] / base**i / width


def angles_of_hands_divided_twice(tokens, width, base=10000):
    t, i = torch.arange(tokens), torch.arange(width // 2)
    return t[:, None] / base**i / width


def angles_in_degrees(tokens, width, base=10000):
    return angles_by_outer(tokens, width, base) * 180 / math.pi


def first_weights(draw):
    """Embeddings whose places get their first weights before the tokens; `draw` is called with (weight, std)."""

    class PlacesFirst(SlicedPositions):
        def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
            super().__init__(vocab_size, d_model, max_tokens, std, norm)
            self.position, self.token = nn.Embedding(max_tokens, d_model), nn.Embedding(vocab_size, d_model)
            draw(self.position.weight, std)
            draw(self.token.weight, std)

    return PlacesFirst


def named_embeddings(base=SlicedPositions, **members):
    """A class with the learner's name, which some errors tell."""
    return type("Embeddings", (base,), members)


class OwnLayerNorm(SlicedPositions):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std, norm or nn.LayerNorm(d_model))


class NormAsAClass(SlicedPositions):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std, norm and norm(d_model))


class SinusoidsAdded(SlicedPositions):
    def forward(self, tokens):
        return self.token(tokens) + waves_filled_in(tokens.shape[1], self.token.embedding_dim)


class NormKeptInAList(SlicedPositions):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std)
        self.layers = [norm] if norm else []

    def forward(self, tokens):
        x = super().forward(tokens)
        for layer in self.layers:
            x = layer(x)
        return x


class PaddingIndex(SlicedPositions):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std, norm)
        self.token = nn.Embedding(vocab_size, d_model, 0)
        self.token.weight.data.normal_(std=std)


class DropoutAsInBert(SlicedPositions):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None, dropout=0.1):
        super().__init__(vocab_size, d_model, max_tokens, std, norm)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens):
        return self.dropout(super().forward(tokens))


class NormOfInit(SlicedPositions):
    def forward(self, tokens):
        x = self.token(tokens) + self.position.weight[: tokens.size(1)]
        return norm(x) if self.norm else norm(x)  # noqa: F821


class ListOfPlaces(SlicedPositions):
    def forward(self, tokens):
        return self.token(tokens) + self.position(list(range(tokens.shape[1])))


def forward_with_what_init_knows(self, tokens):
    if tokens.shape[1] > max_tokens:  # noqa: F821
        raise ValueError("too many tokens")


class NothingStored(nn.Module):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__()
        self.token, self.position = nn.Embedding(vocab_size, d_model), nn.Embedding(max_tokens, d_model)

    def forward(self, tokens):
        if tokens.shape[1] > self.max_tokens:
            raise ValueError("too many tokens")
        return self.token(tokens) + self.position(torch.arange(tokens.shape[1]))


def rotate_flattening_too_much(x, angles):
    a, b = x[..., 0::2], x[..., 1::2]
    first, second = a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()
    return torch.stack([first, second], dim=-1).flatten(1)


def rotate_reshaped(x, angles):
    a, b = x[..., 0::2], x[..., 1::2]
    first, second = a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()
    return torch.stack((first, second)).reshape(x.shape)


def rotate_by_own_angles(x, angles):
    return rotate_by_matrices(x, angles_by_outer(x.shape[-2], x.shape[-1]))


def rotate_halves_laid_in_turn(x, angles):
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    result = torch.empty_like(x)
    result[..., 0::2] = a * angles.cos() - b * angles.sin()
    result[..., 1::2] = a * angles.sin() + b * angles.cos()
    return result


def attending(prepare=lambda q, k, angles: (q, k), dim=-1, mask=None, dropout=0.0):
    """Attention by hand between what `prepare` makes of the split queries and keys."""

    def attend(query, key, value, heads):
        query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
        q, k = prepare(query, key, angles_by_outer(*query.shape[2:]))
        scores = q @ k.mT / math.sqrt(k.shape[-1])
        if mask:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)
        weights = F.dropout(scores.softmax(dim), dropout)
        return (weights @ value).transpose(1, 2).flatten(2)

    return attend


def turned_once_more(q, k, angles):
    q = rotate_by_columns(q, angles)
    return q, rotate_by_columns(q, angles)


def both_turned(q, k, angles):
    return rotate_by_columns(q, angles), rotate_by_columns(k, angles)


REWRITTEN_MISTAKES = {
    "equivariance_error": {
        "before the maximum: a large negative": error_of(lambda differences: differences.max()),
        "mean of the absolute": error_of(lambda differences: differences.abs().mean()),
        "sum of the absolute": error_of(lambda differences: differences.abs().sum()),
        "mean difference, in which plus and minus cancel": error_of(lambda differences: differences.mean()),
        "length (`norm`)": error_of(torch.linalg.vector_norm),
        "(`argmax`); return the difference": error_of(lambda differences: differences.abs().argmax()),
        "Python's own `max`": error_with_pythons_max,
        "is a `return` missing": error_printed,
        "One side lacks the layer: compare `layer(x[:, order])`": lambda layer, x, order: (
            (layer(x[:, order]) - x[:, order]).abs().max()
        ),
        "lose what stands behind the point": lambda layer, x, order: int(error_by_gather(layer, x, order)),
        "in their old order": error_with_old_results_as_a_tensor,
        "inverse of `order`": error_by_scatter,
    },
    "position_angles": {
        "(base ** a) / width": angles_divided_twice,
        "put the whole exponent in brackets": angles_of_hands_divided_twice,
        "You return degrees": angles_in_degrees,
        "modulo 2π": lambda tokens, width, base=10000: torch.remainder(angles_by_exp(tokens, width, base), 2 * math.pi),
        "float64": lambda tokens, width, base=10000: torch.from_numpy(
            np.arange(tokens)[:, None] / base ** (np.arange(0, width, 2) / width)
        ),
        "hand for each column": angles_of_columns_by_exp,
        "make the places a column": angles_without_a_table,
        "put the exponent in brackets": angles_without_brackets,
    },
    "sinusoidal_positions": {
        "All your sines come first": waves_by_cat,
        "`math.sin` and `math.cos`": lambda tokens, d_model: torch.stack(
            [torch.tensor(math.sin(angles_by_outer(tokens, d_model))), angles_by_outer(tokens, d_model).cos()]
        ),
        "a single place is still a row": lambda tokens, d_model: waves_in_loops(tokens, d_model).squeeze(),
        "every other row": waves_in_rows,
        "have different angles": waves_of_a_loop_over_columns,
    },
    "Embeddings": {
        "number of the sequence in the batch": BatchIndexAsPlace,
        "IndexError": NoRefusal,
        "`len(tokens)` counts sequences": CountsSequences,
        "and not which": LooksAtNumbers,
        "freeze it": FrozenPositions,
        "not in a list": NormKeptInAList,
        "`padding_idx`": PaddingIndex,
        "A dropout loses": DropoutAsInBert,
        "Only `__init__` knows `norm`": NormOfInit,
        "`norm` has no effect": NormForgotten,
        "the number T": OnePlaceForAll,
        "is None": NoneCalled,
        "none was passed in": OwnLayerNorm,
        "ready layer": NormAsAClass,
        "You add sinusoids": SinusoidsAdded,
        "not a list": ListOfPlaces,
        "doesn't exist yet": named_embeddings(NothingStored),
        "Only `__init__` knows": named_embeddings(forward=forward_with_what_init_knows),
        "for the mean": first_weights(lambda weight, std: weight.data.normal_(std)),
        "whatever `std` is": first_weights(lambda weight, std: nn.init.normal_(weight, 0.0, 0.05)),
        "`std`²": first_weights(lambda weight, std: weight.data.copy_(torch.randn_like(weight) * std**2)),
        "weights are 0": first_weights(lambda weight, std: weight.data.zero_()),
        "√`std`": first_weights(lambda weight, std: weight.data.normal_(0, math.sqrt(std))),
    },
    "rotate": {
        "joins heads and tokens": rotate_flattening_too_much,
        "counts four axes": lambda x, angles: torch.stack(
            [
                x[:, :, :, 0::2] * angles.cos() - x[:, :, :, 1::2] * angles.sin(),
                x[:, :, :, 0::2] * angles.sin() + x[:, :, :, 1::2] * angles.cos(),
            ],
            dim=-1,
        ).flatten(-2),
        "No gradient gets through": torch.no_grad()(rotate_by_matrices),
        "numbers of several tokens": rotate_reshaped,
        "compute the angles anew": rotate_by_own_angles,
        "lay the results out in turn": rotate_halves_laid_in_turn,
        "two ways of pairing": rotate_half_with_neighbours,
        "GPT-NeoX": rotate_half_as_in_libraries,
        "after it was overwritten": rotate_overwriting,
        "row of a token": rotate_by_the_row_of_a_token,
        "angles for degrees": lambda x, angles: rotate_by_matrices(x, angles * math.pi / 180),
    },
    "rotary_attention": {
        "before the heads are split": attend_turned_too_early,
        "No gradient gets through: ": torch.no_grad()(attend_by_hand),
        "through to queries and keys": attending(lambda q, k, angles: both_turned(q.detach(), k.data, angles)),
        "as wide as the model": attend_with_clocks_of_the_model,
        "turn the values too": attend_with_turned_values,
        "Later tokens are hidden": attending(both_turned, mask=True),
        "There is a dropout": attending(both_turned, dropout=0.3),
        "softmax runs along the queries": attending(both_turned, dim=-2),
        "The key has no effect": attending(turned_once_more),
        "The query has no effect": attending(lambda q, k, angles: both_turned(k, k, angles)),
        "angles have no minus": attending(lambda q, k, angles: both_turned(q, k, -angles)),
    },
}
