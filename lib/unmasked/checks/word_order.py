"""Checks of lesson 04. Oracles: plain loops over the papers' formulas, complex numbers, PyTorch's own attention."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from unmasked import parts
from unmasked.attempt import AttemptFailed, Foreign, Part, same
from unmasked.criteria import close, holds, shaped, tensor
from unmasked.exercise import exercise

# Every size differs from every other, so that a wrong axis can't hide.
B, H, T, K, D = 2, 3, 5, 4, 12


def _angles(tokens, width, base=10000.0):
    """t / base^(2i/width) in a plain loop."""
    rows = [[place / base ** (2 * i / width) for i in range(width // 2)] for place in range(tokens)]
    return torch.tensor(rows, dtype=torch.float32)


# --- 4.1 equivariance_error ------------------------------------------------------------------------------------------

ORDER = torch.tensor([3, 0, 4, 1, 2])  # not its own inverse


def _layer(kind, *args):
    """A layer with random weights: its description for the attempt, and the layer itself for the check."""
    layer = (getattr(parts, kind, None) or getattr(nn, kind))(*args)
    state = {name: tensor(*value.shape, scale=0.5) for name, value in layer.state_dict().items()}
    layer.load_state_dict(state)
    return Part(kind, args, state), layer


def _number(value):
    """The value as a number; NaN if it isn't one."""
    if isinstance(value, torch.Tensor) and value.dim() == 0 and value.is_floating_point():
        return float(value)
    return value if type(value) in (int, float) else math.nan


def _shown(value):
    """The value for the panel: a number to four decimals; a shape; nothing for what isn't plain data."""
    if isinstance(value, Foreign):
        return None
    if isinstance(value, torch.Tensor) and value.dim():
        return f"a tensor of shape {tuple(value.shape)}"
    return value if math.isnan(_number(value)) else round(_number(value), 4)


def _differences(layer, x, order):
    return layer(x[:, order]) - layer(x)[:, order]


# What is compared with what, in a wrong way; the largest absolute difference is returned.
WRONG_SIDES = {
    "You compare with the results in their old order: permute them as well, `layer(x)[:, order]`.": (
        lambda layer, x, order: layer(x[:, order]) - layer(x)
    ),
    "The layer sees `x` in its old order on both sides: on one of them, permute before the layer.": (
        lambda layer, x, order: layer(x) - layer(x)[:, order]
    ),
    "Nothing is permuted: both sides are the same, whatever the layer.": lambda layer, x, order: layer(x) - layer(x),
    "One side is permuted and the other permuted back, or one of them twice: use `order` once on each side.": (
        lambda layer, x, order: layer(x[:, order]) - layer(x)[:, order.argsort()]
    ),
    "You permute by the inverse of `order`: the token that moves to place t is `order[t]`, as in `x[:, order]`.": (
        lambda layer, x, order: layer(x[:, order.argsort()]) - layer(x)[:, order.argsort()]
    ),
    "One side lacks the layer: compare `layer(x[:, order])` with `layer(x)[:, order]`.": (
        lambda layer, x, order: layer(x[:, order]) - x[:, order]
    ),
    "One side lacks the layer: compare `layer(x)[:, order]` with `layer(x[:, order])`.": (
        lambda layer, x, order: layer(x)[:, order] - x[:, order]
    ),
    "You permute the sequences of the batch, the first axis; the tokens are axis 1: `x[:, order]`.": (
        lambda layer, x, order: layer(x[order]) - layer(x)[order]
    ),
    "You permute the columns, the last axis; the tokens are axis 1: `x[:, order]`.": (
        lambda layer, x, order: layer(x[..., order]) - layer(x)[..., order]
    ),
}
# What is made of the right differences, in a wrong way.
WRONG_NUMBERS = {
    "Take absolute values before the maximum: a large negative difference gets lost.": (
        lambda differences: differences.max()
    ),
    "You return the smallest difference; return the largest absolute one.": lambda differences: differences.min(),
    "You return the mean of the absolute differences; return the largest one, `max`.": (
        lambda differences: differences.abs().mean()
    ),
    "You return the sum of the absolute differences; return the largest one, `max`.": (
        lambda differences: differences.abs().sum()
    ),
    "You return the length (`norm`) of all differences together; return the largest one, after `abs`.": (
        lambda differences: differences.norm()
    ),
    "You return the mean square of the differences; return the largest one, after `abs`.": (
        lambda differences: differences.square().mean()
    ),
    "You return the mean difference, in which plus and minus cancel; return the largest one, after `abs`.": (
        lambda differences: differences.mean()
    ),
    "You return the sum of the differences, in which plus and minus cancel; return the largest one, after `abs`.": (
        lambda differences: differences.sum()
    ),
    "You return the place of the largest difference (`argmax`); return the difference itself, `max`.": (
        lambda differences: differences.abs().argmax()
    ),
    "You return the place of the largest difference (`argmax`), without `abs`; return the largest one itself.": (
        lambda differences: differences.argmax()
    ),
}


def _error(number=lambda differences: differences.abs().max(), sides=_differences):
    """A measure with one step replaced."""
    return lambda layer, x, order: number(sides(layer, x, order)).item()


@exercise(
    points=2,
    mistakes={
        "You return whether the sides are equal; return by how much they differ.": (
            lambda layer, x, order: bool(_differences(layer, x, order).abs().max() < 1e-5)
        ),
        "You return all the differences; return the largest one.": (
            lambda layer, x, order: _differences(layer, x, order).abs()
        ),
        "Nothing comes back: is a `return` missing? `print` only shows a number.": lambda layer, x, order: None,
        "Python's own `max` (or `if`) can't compare whole rows of numbers; the tensor has a `.max()` of its own.": (
            lambda layer, x, order: max(_differences(layer, x, order).abs())
        ),
        "You make a whole number of it, with `int`, and lose what stands behind the point: leave it as it is.": (
            lambda layer, x, order: int(_differences(layer, x, order).abs().max())
        ),
    }
    | {sentence: _error(sides=sides) for sentence, sides in WRONG_SIDES.items()}
    | {sentence: _error(number) for sentence, number in WRONG_NUMBERS.items()},
)
def equivariance_error(attempt):
    """Computed token by token, for attention, which is equivariant, and for a layer that weighs places, which isn't."""
    x = tensor(B, T, D)
    attention, _ = _layer("Attention", D, H)
    described, layer = _layer("Conv1d", T, T, 1)  # the tokens as its channels: a weight for each pair of places
    error, weighed = attempt(attention, x, ORDER), attempt(described, x, ORDER)
    named = _what_is_returned(weighed, layer, x)
    yield holds(
        not math.isnan(_number(error)),
        "it returns a number",
        named or "Return one number (`.item()` makes one of a tensor): the largest absolute difference.",
        received=_shown(error),
    )
    yield holds(
        abs(_number(error)) < 1e-4,
        "for attention it is 0, up to rounding",
        named
        or "For attention the two sides are equal: are the tokens on both sides in the same order, and does each "
        "side go through the layer?",
        expected=0.0,
        received=_shown(error),
    )
    expected = _largest(layer, x)
    yield holds(
        abs(_number(weighed) - expected) < 1e-4,
        "for a layer that weighs places, it is the largest difference",
        named or "For a layer that weighs places it is not the largest difference of the two sides.",
        expected=_shown(expected),
        received=_shown(weighed),
        earns=1,
    )
    negative = Part("Conv1d", described.args, {name: -value for name, value in described.state.items()})
    error = attempt(negative, x, ORDER)
    yield holds(
        abs(_number(error) - expected) < 1e-4,
        "and the same with all signs turned",
        "With all signs turned, the largest absolute difference is the same; yours is not. Where do you take `abs`?",
        expected=_shown(expected),
        received=_shown(error),
    )


def _what_is_returned(value, layer, x):
    """The sentence of the wrong sides or the wrong number that give this value, if any.

    The value may be a float or a tensor, unlike a reply that is compared with a known mistake's.
    """
    if isinstance(value, bool) or not (isinstance(value, (int, float)) or _is_scalar(value)):
        return ""
    measures = {sentence: _error(sides=sides) for sentence, sides in WRONG_SIDES.items()}
    measures |= {sentence: _error(number) for sentence, number in WRONG_NUMBERS.items()}
    right = _error()(layer, x, ORDER)
    for sentence, measure in measures.items():
        try:
            wrong = measure(layer, x, ORDER)
        except (IndexError, RuntimeError):  # these raise an error in the attempt as well
            continue
        if math.isclose(wrong, float(value), rel_tol=1e-4, abs_tol=1e-4) and abs(wrong - right) > 1e-3:
            return sentence
    return ""


def _is_scalar(value):
    return isinstance(value, torch.Tensor) and value.dim() == 0 and value.dtype not in (torch.bool, torch.complex64)


def _largest(layer, x):
    """The largest difference, one token after another."""
    with torch.no_grad():
        moved, result = layer(torch.stack([x[:, place] for place in ORDER], dim=1)), layer(x)
        return max(float((moved[:, t] - result[:, place]).abs().max()) for t, place in enumerate(ORDER))


# --- 4.2 position_angles ---------------------------------------------------------------------------------------------


def _turning(exponents=lambda width: torch.arange(0, width, 2) / width, places=torch.arange):
    """Angles with other exponents, or other places."""
    return lambda tokens, width, base=10000: places(tokens)[:, None] / base ** exponents(width)


@exercise(
    points=2,
    mistakes={
        "Your exponents are i / width; they are 2i / width: the even numbers 0, 2, 4, ... over the width.": (
            _turning(lambda width: torch.arange(width // 2) / width)
        ),
        "Your exponents are 4i / width: `torch.arange(0, width, 2)` already holds the 2i.": (
            _turning(lambda width: 2 * torch.arange(0, width, 2) / width)
        ),
        "Your exponents go up to 1, where the last hand turns by exactly 1 / base; 2i / width stays below 1.": (
            _turning(lambda width: torch.arange(width // 2) / max(width // 2 - 1, 1))
        ),
        "All your hands turn equally fast: `//` rounds every exponent down to 0; divide with `/`.": (
            _turning(lambda width: torch.arange(0, width, 2) // width)
        ),
        "You make a hand for each column; two columns share a hand, so only even numbers stand over the width.": (
            _turning(lambda width: torch.arange(width) / width)
        ),
        "You make a hand for each column, in pairs of equal ones; one of each pair is enough here.": (
            _turning(lambda width: torch.arange(0, width, 2).repeat_interleave(2) / width)
        ),
        "Your hands come slowest first; hand 0 is the fast one, with the power base⁰ = 1.": (
            _turning(lambda width: torch.arange(0, width, 2).flip(0) / width)
        ),
        "Your places start at 1; the first place is 0, where no hand has turned yet.": (
            _turning(places=lambda tokens: torch.arange(1, tokens + 1))
        ),
        "You divide the places by their number; a hand turns by the same angle in every row, however long.": (
            _turning(places=lambda tokens: torch.arange(tokens) / tokens)
        ),
        "You count in whole turns, times 2π; the formula gives radians as it is.": (
            _turning(places=lambda tokens: 2 * math.pi * torch.arange(tokens))
        ),
        "Later hands turn faster in yours: divide by the powers (or give them a minus, not both).": (
            lambda tokens, width, base=10000: (
                torch.arange(tokens)[:, None] * base ** (torch.arange(0, width, 2) / width)
            )
        ),
        "Only the exponent is divided by the width: put 2i / width in brackets, as ** binds more tightly than /.": (
            lambda tokens, width, base=10000: (
                torch.arange(tokens)[:, None] / (float(base) ** torch.arange(0, width, 2) / width)
            )
        ),
        "Your last division divides everything: `base ** a / width` is (base ** a) / width. The width belongs into the "
        "exponent, in brackets: `base ** (... / width)`.": (
            lambda tokens, width, base=10000: (
                torch.arange(tokens)[:, None] / float(base) ** torch.arange(0, width, 2) / width
            )
        ),
        "Your last division divides everything: put the whole exponent in brackets, `base ** (2 * i / width)`.": (
            lambda tokens, width, base=10000: (
                torch.arange(tokens)[:, None] / float(base) ** torch.arange(width // 2) / width
            )
        ),
        "Your angles are float64 numbers, which don't mix with the float32 of all other vectors here: `.float()`.": (
            lambda tokens, width, base=10000: _angles(tokens, width, base).double()
        ),
        "Your angles are whole numbers: somewhere they are rounded, by `//`, `int` or `.long()`.": (
            lambda tokens, width, base=10000: _angles(tokens, width, base).long()
        ),
        "You return degrees; the formula gives radians as it is.": (
            lambda tokens, width, base=10000: _turning()(tokens, width, base).rad2deg()
        ),
        "You take the formula's angles for degrees; they are radians already.": (
            lambda tokens, width, base=10000: _turning()(tokens, width, base).deg2rad()
        ),
        "Your table lies on its side: places are the rows, hands the columns.": (
            lambda tokens, width, base=10000: _turning()(tokens, width, base).T
        ),
        "Places and hands must meet in a table: make the places a column, `torch.arange(tokens)[:, None]`.": (
            lambda tokens, width, base=10000: torch.arange(tokens) / base ** (torch.arange(0, width, 2) / width)
        ),
        "`base ** 2 * i / width` is (base²) · i / width, as ** binds most tightly: put the exponent in brackets.": (
            lambda tokens, width, base=10000: torch.arange(tokens)[:, None] / base**2 * torch.arange(width // 2) / width
        ),
        "The `base` that is passed in has no effect: 10000 is only its default.": (
            lambda tokens, width, base=10000: _turning()(tokens, width)
        ),
        "You take the angles modulo 2π; they go on growing, and sine and cosine don't mind.": (
            lambda tokens, width, base=10000: _turning()(tokens, width, base) % (2 * math.pi)
        ),
        "You return sines; here the angles themselves are wanted.": (
            lambda tokens, width, base=10000: _turning()(tokens, width, base).sin()
        ),
        "You return the angles of one place only; make a row for each place from 0 to T - 1.": (
            lambda tokens, width, base=10000: tokens / base ** (torch.arange(0, width, 2) / width)
        ),
    },
)
def position_angles(attempt):
    """Vaswani et al. 2017, section 3.5: the argument of sine and cosine, in a plain loop."""
    tokens, width = 7, 6
    angles = attempt(tokens, width)
    yield shaped(
        angles, T=tokens, hands=width // 2, hint="A row for each place, a column for each of the width / 2 hands."
    )
    yield holds(
        not angles[0].any(),
        "at place 0 no hand has turned",
        "At place 0 all angles must be 0.",
        received=angles[0],
    )
    steps = angles.diff(dim=0)
    yield holds(
        torch.allclose(steps, steps[:1].expand_as(steps), rtol=1e-3, atol=1e-6),
        "from place to place a hand turns by the same angle",
        "A hand must turn by the same angle from each place to the next.",
        received=steps,
    )
    yield close(
        angles[:, 0],
        torch.arange(float(tokens)),
        "hand 0 turns by 1 radian a place",
        "Hand 0 must turn by 1 radian a place: base⁰ is 1.",
    )
    yield close(
        angles,
        _angles(tokens, width),
        "hand i turns by 1 / base^(2i / width)",
        "Hand 0 is right, but the others do not turn by 1 / base^(2i / width) a place.",
        earns=1,
        tolerance=1e-5,
    )
    by_hand = torch.tensor([[0.0, 0.0], [1.0, 0.1], [2.0, 0.2]])  # 100^(2/4) is 10
    yield close(
        attempt(3, 4, base=100),
        by_hand,
        "with width 4 and base 100, hand 1 turns by 1/10 a place",
        "With width 4 and base 100, hand 1 must turn by 1/10 a place: does `base` have an effect?",
    )
    yield close(
        attempt(3000, 2)[-1:],
        torch.tensor([[2999.0]]),
        "width 2 has one hand, and thousands of places are no problem",
        "For width 2 and 3000 places the last angle must be 2999: the angles go on growing, whole turns and all.",
    )


# --- 4.3 sinusoidal_positions ----------------------------------------------------------------------------------------


def _alternating(first, second):
    return torch.stack([first, second], dim=-1).flatten(1)


def _sinusoids(tokens, d_model):
    """Entry by entry, the formula."""
    waves = torch.zeros(tokens, d_model)
    for place in range(tokens):
        for i in range(d_model // 2):
            angle = place / 10000 ** (2 * i / d_model)
            waves[place, 2 * i], waves[place, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return waves


def _each_column_its_own_angle(tokens, d_model):
    angles = torch.arange(tokens)[:, None] / 10000 ** (torch.arange(d_model) / d_model)
    return _alternating(angles[:, 0::2].sin(), angles[:, 1::2].cos())


def _rows_filled(tokens, d_model):
    angles, waves = _angles(tokens, d_model), torch.zeros(tokens, d_model)
    waves[0::2], waves[1::2] = angles.sin(), angles.cos()
    return waves


def _waves(make):
    """Sinusoids made of the right angles in a wrong way."""
    return lambda tokens, d_model: make(_angles(tokens, d_model))


@exercise(
    points=2,
    uses=("position_angles",),
    mistakes={
        "All your sines come first, then all cosines; they alternate: column 2i is a sine, column 2i + 1 its cosine.": (
            _waves(lambda angles: torch.cat([angles.sin(), angles.cos()], dim=1))
        ),
        "Sine and cosine have changed places: the sine comes first, in the even columns.": (
            _waves(lambda angles: _alternating(angles.cos(), angles.sin()))
        ),
        "All your columns are sines; the odd ones are cosines.": (
            _waves(lambda angles: _alternating(angles.sin(), angles.sin()))
        ),
        "You return sines only, half of the columns; the cosines stand between them.": _waves(torch.sin),
        "The sine and the cosine of a pair have different angles in yours; both belong to the same hand.": (
            _each_column_its_own_angle
        ),
        "You add sine and cosine up; they stand side by side.": _waves(lambda angles: angles.sin() + angles.cos()),
        "Sines and cosines are still an axis of their own; flatten the pairs into the columns.": (
            _waves(lambda angles: torch.stack([angles.sin(), angles.cos()], dim=-1))
        ),
        "Your cosines stand below the sines, as more places; they stand beside them, as columns.": (
            _waves(lambda angles: torch.cat([angles.sin(), angles.cos()]))
        ),
        "You stack sines and cosines along a new first axis; along a new last one, `dim=-1`, pairs are neighbours.": (
            _waves(lambda angles: torch.stack([angles.sin(), angles.cos()]).flatten(1))
        ),
        "`flatten()` joins all axes, the places as well; `flatten(1)` leaves them alone.": (
            _waves(lambda angles: _alternating(angles.sin(), angles.cos()).flatten())
        ),
        "You fill every other row; sines and cosines alternate along the columns, the second axis: `[:, 0::2]`.": (
            _rows_filled
        ),
        "The shape is right, but a `reshape` puts numbers of several places into one row: stack along a new last axis, "
        "then flatten.": (
            _waves(lambda angles: torch.stack([angles.sin(), angles.cos()]).reshape(len(angles), -1))
        ),
        "You give the angles an axis for the batch: (T, D) fits every batch.": (
            _waves(lambda angles: _alternating(angles.sin(), angles.cos())[None])
        ),
        "You return the angles themselves; take their sines and cosines.": (
            _waves(lambda angles: _alternating(angles, angles))
        ),
        "`math.sin` and `math.cos` take a single number; `angles.sin()` and `angles.cos()` take them all.": _waves(
            lambda angles: math.sin(angles)
        ),
        "`squeeze()` drops every axis of size 1; a single place is still a row, (1, D).": _waves(
            lambda angles: _alternating(angles.sin(), angles.cos()).squeeze()
        ),
        "You ask `position_angles` for half the width; it makes width / 2 hands by itself.": (
            lambda tokens, d_model: _waves(lambda a: _alternating(a.sin(), a.cos()))(tokens, d_model // 2)
        ),
    },
)  # fmt: skip
def sinusoidal_positions(attempt):
    """Vaswani et al. 2017, section 3.5, entry by entry."""
    tokens, width = 7, 8
    waves = attempt(tokens, width)
    yield shaped(waves, T=tokens, D=width, hint="A row for each place, and no other axis.")
    pairs = waves.unflatten(1, (-1, 2))
    yield holds(
        torch.allclose(pairs.square().sum(-1), torch.ones(tokens, width // 2), atol=1e-4),
        "in each pair of columns the squares add up to 1",
        _lengths_wrong(pairs),
        received=pairs.square().sum(-1),
    )
    yield close(
        waves[:1],
        torch.tensor([[0.0, 1.0] * (width // 2)]),
        "place 0 is 0, 1, 0, 1, ...",
        "At place 0 all angles are 0: the sines are 0, the cosines 1, in turn.",
    )
    yield close(
        waves,
        _sinusoids(tokens, width),
        "columns 2i and 2i + 1 are sine and cosine of hand i",
        _other_waves(waves),
        earns=1,
    )
    single = attempt(1, width)
    yield close(single, torch.tensor([[0.0, 1.0] * (width // 2)]), "one place is a row", "One place must give (1, D).")
    longer, wider = attempt(90, 6), _sinusoids(90, 6)
    yield close(longer, wider, "right for 90 places and width 6 too", "It is wrong for 90 places and width 6.")
    products = longer @ longer.T
    diagonals = [products.diagonal(distance) for distance in range(90)]
    yield holds(
        all(diagonal.max() - diagonal.min() < 1e-3 for diagonal in diagonals),
        "dot products depend on the distance of two places alone",
        "The dot product of two places must depend on their distance alone.",
    )


def _lengths_wrong(pairs):
    """What is wrong with pairs (T, D / 2, 2) whose squares don't add up to 1."""
    lengths = pairs.norm(dim=-1)
    factor = float(lengths.mean())
    if torch.allclose(lengths, torch.full_like(lengths, factor), rtol=1e-3) and factor > 1e-3:
        return f"Your sines and cosines are {factor:.3g} times as large as they should be; take them as they are."
    return "In columns 2i and 2i + 1 stand the sine and the cosine of one angle, so their squares must add up to 1."


def _other_waves(waves):
    """What is wrong with pairs (sine, cosine) that begin right; another base is named."""
    tokens, width = waves.shape
    step = float(torch.atan2(waves[1, 2], waves[1, 3]))  # hand 1 from place 0 to place 1
    base = step ** (-width / 2) if step > 0 else 0.0
    angles = _angles(tokens, width, base) if 1 < base < 1e9 else None
    if angles is not None and torch.allclose(waves, _alternating(angles.sin(), angles.cos()), atol=1e-3):
        return f"Your hands turn with base {base:.4g}; here it is 10000, as `position_angles(tokens, d_model)` has it."
    return "Place 0 is right, but others are not: are sine and cosine of the right hand and the right place?"


# --- 4.4 Embeddings --------------------------------------------------------------------------------------------------

V, MOST, WIDTH = 11, 7, 6  # tokens in the vocabulary, places, columns
TOKENS = torch.tensor([[3, 9, 3, 10, 0], [3, 1, 7, 9, 9]])


def _places(tokens):
    return torch.arange(tokens.shape[1])


def _refuse(model, tokens):
    if tokens.shape[1] > model.position.num_embeddings:
        raise ValueError("too many tokens")
    return tokens


def _refuse_by_numbers(model, tokens):
    if tokens.max() >= model.position.num_embeddings:
        raise ValueError("too many tokens")
    return tokens


def _sum(model, tokens):
    return model.token(tokens) + model.position(_places(tokens))


def _embeddings(vectors=_sum, limit=_refuse, normed=lambda model, x: model.norm(x), draw=True):
    """Embeddings that are wrong in one thing."""

    class Embeddings(nn.Module):
        def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
            super().__init__()
            self.token = nn.Embedding(vocab_size, d_model)
            self.position = nn.Embedding(max_tokens, d_model)
            self.norm = nn.Identity() if norm is None else norm
            for table in (self.token, self.position) if draw else ():
                nn.init.normal_(table.weight, std=std)

        def forward(self, tokens):
            return normed(self, vectors(self, limit(self, tokens)))

    return Embeddings


class _Swapped(_embeddings()):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(max_tokens, d_model, vocab_size, std, norm)


class _OnItsSide(_embeddings()):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std, norm)
        self.token, self.position = nn.Embedding(d_model, vocab_size), nn.Embedding(d_model, max_tokens)


class _BareParameter(_embeddings()):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std, norm)
        self.position = nn.Parameter(torch.randn(max_tokens, d_model) * std)


class _LinearToken(_embeddings()):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std, norm)
        self.token = nn.Linear(vocab_size, d_model)


class _NormMaybeNone(_embeddings()):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std, norm)
        self.norm = norm


class _NoPositionTable(nn.Module):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__()
        self.token = nn.Embedding(vocab_size, d_model)


class _WithoutInit(nn.Module):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        self.token = nn.Embedding(vocab_size, d_model)


class _OnlyTokensDrawn(_embeddings()):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, 1.0, norm)
        nn.init.normal_(self.token.weight, std=std)


def _first_weights(draw):
    """Embeddings whose tables get their first weights in another way; `draw` is called with (weight, std)."""

    class Embeddings(_embeddings(draw=False)):
        def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
            super().__init__(vocab_size, d_model, max_tokens, std, norm)
            for table in (self.token, self.position):
                draw(table.weight, std)

    return Embeddings


class _NormInAList(_embeddings(normed=lambda model, x: model.norms[0](x))):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std)
        self.norms = [nn.Identity() if norm is None else norm]


class _PaddingNeverLearns(_embeddings(draw=False)):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std, norm)
        self.token = nn.Embedding(vocab_size, d_model, padding_idx=0)
        for table in (self.token, self.position):
            nn.init.normal_(table.weight, std=std)


class _NormCalledAsAClass(_embeddings()):
    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__(vocab_size, d_model, max_tokens, std, norm)
        self.norm = nn.Identity() if norm is None else norm(d_model)


# Wrong first weights: the sentence, how they are drawn, and which mean and spread that gives. They are recognized by
# these two as well, because a learner may draw in another order.
FIRST_WEIGHTS = {
    "`std` has no effect: both tables keep the spread 1 that `nn.Embedding` gives them.": (
        lambda weight, std: None, lambda std: (0, 1),
    ),
    "You draw with spread √`std`: `std` is a standard deviation already.": (
        lambda weight, std: nn.init.normal_(weight, std=std**0.5), lambda std: (0, std**0.5),
    ),
    "You draw with spread `std`²: `std` is the spread itself, no variance.": (
        lambda weight, std: nn.init.normal_(weight, std=std**2), lambda std: (0, std**2),
    ),
    "You draw with spread 0.05 whatever `std` is; 0.05 is only its default: `std=std`.": (
        lambda weight, std: nn.init.normal_(weight, std=0.05), lambda std: (0, 0.05),
    ),
    "`normal_(weight, std)` takes its second argument for the mean; call it by its name, `std=std`.": (
        lambda weight, std: nn.init.normal_(weight, std), lambda std: (std, 1),
    ),
    "You draw around the mean `std`; the mean is 0, and the spread is `std`.": (
        lambda weight, std: nn.init.normal_(weight, std, std), lambda std: (std, std),
    ),
    "All first weights are 0, so all tokens begin alike; draw them with spread `std`.": (
        lambda weight, std: nn.init.zeros_(weight), lambda std: (0, 0),
    ),
    "You draw from -`std` to `std` with equal chances; `normal_` draws from a bell curve with spread `std`.": (
        lambda weight, std: nn.init.uniform_(weight, -std, std), lambda std: (0, std / 3**0.5),
    ),
}  # fmt: skip
ONLY_TOKENS = "Only the tokens are drawn with spread `std`; the places keep the spread 1."
ONE_TOO_FEW = "You refuse `max_tokens` tokens; they just fit. Only more are too many."
IN_A_LIST = (
    "The weights of `norm` are not among the model's parameters, so they would never learn: keep it as "
    "`self.norm = norm`, not in a list."
)
PADDED = "With `padding_idx` a row of `token` never learns; here every row does, also that of token 0."
DROPPED = "A dropout loses numbers at random; BERT has one here, but this exercise hasn't: leave it out."
DETACHED = (
    "No gradient reaches one of the tables, so it would never learn: `detach()`, `.data` and `no_grad` cut it off, "
    "`requires_grad_(False)` and `from_pretrained` freeze it."
)
BY_NUMBERS = (
    "You refuse these 5 tokens, for which there are places enough: what counts is how many tokens there are, "
    "`tokens.shape[1]`, and not which."
)


@exercise(
    points=3,
    mistakes={
        "You take the number of the sequence in the batch for the place: all tokens of a sentence get the same vector. "
        "Places run along axis 1.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position(torch.arange(len(tokens)))[:, None]
        ),
        "Your places are counted along the batch, `tokens.shape[0]`; they run along axis 1, 0 to T - 1.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position(torch.arange(len(tokens)))
        ),
        "Your `__init__` does not call `super().__init__()` first; without it a module holds no tables.": _WithoutInit,
        "The sizes are mixed up: `token` has a row for each word of the vocabulary, `position` for each place.": (
            _Swapped
        ),
        "Rows and columns are mixed up: `nn.Embedding(rows, columns)`, and a row is d_model wide.": _OnItsSide,
        "Your `position` is a bare parameter; make it an `nn.Embedding`, so that its weights are `position.weight`.": (
            _BareParameter
        ),
        "Your `token` is a linear layer, which multiplies; `nn.Embedding` looks rows up by number.": _LinearToken,
        "There is no table for the places: `position`, an `nn.Embedding` with max_tokens rows.": _NoPositionTable,
        "The places are not added: a token's vector is the same wherever it stands.": _embeddings(
            lambda model, tokens: model.token(tokens)
        ),
        "The tokens are not added: all you return is where they stand.": _embeddings(
            lambda model, tokens: model.position(_places(tokens)).expand(len(tokens), -1, -1)
        ),
        "You look `tokens` up in the table of the places: its rows are for 0 to T - 1.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position(tokens)
        ),
        "You add the vectors of all places, without asking which there are: take the first T.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position.weight
        ),
        "Your places start at 1; the first row of `position` is row 0.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position((_places(tokens) + 1) % MOST)
        ),
        "You look up one place, the number T; `torch.arange(T)` are all places.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position(tokens.shape[1])
        ),
        "`nn.Embedding` looks up a tensor of numbers, not a `range`: `torch.arange(T)`.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position(range(tokens.shape[1]))
        ),
        "Without a `norm` yours is None, which can't be called; `nn.Identity()` can.": _NormMaybeNone,
        "You add the same place to every token, the number of tokens; each has its own, 0 to T - 1.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position(torch.tensor(tokens.shape[1] - 1))
        ),
        "You take the last places of the table; the first token has place 0.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position.weight[-tokens.shape[1] :]
        ),
        "You count the places backwards; the first token has place 0.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position(_places(tokens).flip(0))
        ),
        "You put token and place side by side; they are added, and the width stays D.": _embeddings(
            lambda model, tokens: torch.cat(
                [model.token(tokens), model.position(_places(tokens)).expand(*tokens.shape, -1)], dim=-1
            )
        ),
        "You multiply token and place; they are added.": _embeddings(
            lambda model, tokens: model.token(tokens) * model.position(_places(tokens))
        ),
        "You take the mean of token and place; it is their sum.": _embeddings(
            lambda model, tokens: _sum(model, tokens) / 2
        ),
        "You multiply the tokens by √D, as Vaswani et al. do (section 3.4); BERT doesn't.": _embeddings(
            lambda model, tokens: model.token(tokens) * WIDTH**0.5 + model.position(_places(tokens))
        ),
        "`norm` has no effect: apply it to the sum.": _embeddings(normed=lambda model, x: x),
        "`norm` is applied to the tokens alone; it comes last, after the places are added.": _embeddings(
            lambda model, tokens: model.norm(model.token(tokens)) + model.position(_places(tokens)),
            normed=lambda model, x: x,
        ),
        "You norm tokens and places one by one; `norm` is applied once, to their sum.": _embeddings(
            lambda model, tokens: model.norm(model.token(tokens)) + model.norm(model.position(_places(tokens))),
            normed=lambda model, x: x,
        ),
        ONE_TOO_FEW: _embeddings(limit=lambda model, tokens: _refuse(model, F.pad(tokens, (0, 1)))[:, :-1]),
        DETACHED: _embeddings(
            lambda model, tokens: model.token(tokens) + model.position.weight.detach()[: tokens.shape[1]]
        ),
        BY_NUMBERS: _embeddings(limit=_refuse_by_numbers),
        "Too many tokens end in an IndexError: before the look-up, compare `tokens.shape[1]` (`len(tokens)` counts "
        "sequences) with the number of places, and raise a ValueError.": _embeddings(
            limit=lambda model, tokens: tokens
        ),
        "Too many tokens are cut off without a word; raise a ValueError.": _embeddings(
            limit=lambda model, tokens: tokens[:, :MOST]
        ),
        "Tokens beyond the last place get the last place's vector without a word; raise a ValueError.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position(_places(tokens).clamp(max=MOST - 1)),
            limit=lambda model, tokens: tokens,
        ),
        "Beyond the last place you start again at place 0 without a word; raise a ValueError.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position(_places(tokens) % MOST),
            limit=lambda model, tokens: tokens,
        ),
        "A norm is applied though none was passed in: without one, return the sum as it is.": _embeddings(
            normed=lambda model, x: F.layer_norm(x, (WIDTH,))
        ),
        "`norm` is a ready layer: keep it as it is, `self.norm = norm`, and call it on the sum.": _NormCalledAsAClass,
        "`self.max_tokens` doesn't exist yet: store it in `__init__`, `self.max_tokens = max_tokens`.": _embeddings(
            limit=lambda model, tokens: tokens[:, : model.max_tokens]
        ),
        "Only `__init__` knows `max_tokens`: store it there, `self.max_tokens = max_tokens`, and ask for that.": (
            _embeddings(limit=lambda model, tokens: tokens[:, :max_tokens])  # noqa: F821
        ),
        "Only `__init__` knows `norm`: store it there, `self.norm = norm`, and call that.": _embeddings(
            normed=lambda model, x: norm(x)  # noqa: F821
        ),
        IN_A_LIST: _NormInAList,
        PADDED: _PaddingNeverLearns,
        DROPPED: _embeddings(lambda model, tokens: F.dropout(_sum(model, tokens), 0.1)),
        "`nn.Embedding` looks up a tensor of numbers, not a list: `torch.arange(T)`.": _embeddings(
            lambda model, tokens: model.token(tokens) + model.position(list(range(tokens.shape[1])))
        ),
        "You add sinusoids; here the vectors of the places are learned: rows of `position`.": _embeddings(
            lambda model, tokens: model.token(tokens) + _sinusoids(tokens.shape[1], WIDTH)
        ),
        ONLY_TOKENS: _OnlyTokensDrawn,
    }
    | {sentence: _first_weights(draw) for sentence, (draw, _) in FIRST_WEIGHTS.items()},
)
def Embeddings(attempt):
    """Devlin et al. 2019, section 3, without segments: rows of two tables, by products with one-hot vectors."""
    state = {"token.weight": tensor(V, WIDTH), "position.weight": tensor(MOST, WIDTH)}
    model = attempt.build(V, WIDTH, MOST)
    yield _tables(model, state)
    result, error = _reply(model, TOKENS)
    yield _taken(model, error)
    yield shaped(result, B=2, T=5, D=WIDTH)
    yield holds(
        not torch.allclose(result[0, 0], result[0, 2], atol=1e-4),
        "a token at another place gets another vector",
        "Token 3 gets the same vector at places 0 and 2 of a sentence: is the place added?",
        received=result[0, [0, 2]],
    )
    yield holds(
        torch.allclose(result[0, 0], result[1, 0], atol=1e-4),
        "a token at the same place of another sequence gets the same one",
        DROPPED
        if _some_are_zero(result)
        else "Token 3 at place 0 gets different vectors in two sequences: count places along axis 1, in each of them.",
        received=result[:, 0],
    )
    yield close(
        result,
        _looked_up(state, TOKENS),
        "a vector is that of the token plus that of its place",
        DROPPED
        if _some_are_zero(result)
        else "The vectors are not token plus place: row tokens[b, t] of `token`, plus row t of `position`.",
        earns=1,
    )
    full = TOKENS[:1].repeat(1, 2)[:, :MOST]
    result, error = _reply(model, full)
    yield holds(not _is_value_error(error), "max_tokens tokens just fit", ONE_TOO_FEW)
    otherwise = f"For {MOST} tokens, with {MOST} places, the vectors are not token plus place."
    yield close(result, _looked_up(state, full), "and get the vectors of their places", otherwise)
    norm = Part("LayerNorm", (WIDTH,), {"weight": tensor(WIDTH) + 2, "bias": tensor(WIDTH)})
    with_norm = attempt.build(V, WIDTH, MOST, norm=norm)
    with_norm.load(state)
    yield close(
        with_norm(TOKENS),
        F.layer_norm(_looked_up(state, TOKENS), (WIDTH,), norm.state["weight"], norm.state["bias"]),
        "a norm that is passed in is applied to the sum",
        "With a norm passed in, the result is not norm(token + place).",
        earns=1,
    )
    yield _refusal(model)
    yield _all_rows_learn(model.gradients(TOKENS))
    registered = with_norm.parameters().values()
    weights_of_norm = all(any(same(own, value) for own in registered) for value in norm.state.values())
    yield holds(weights_of_norm, "the weights of a norm are among the parameters, so that they learn", IN_A_LIST)
    for std in (0.5, 0.05):
        weights = attempt.build(200, 16, 100, *[std] * (std == 0.5)).parameters()  # 0.05 is the default
        drawn = [(float(weights[name].mean()), float(weights[name].std())) for name in state]
        yield holds(
            all(_alike(of_one, (0, std)) for of_one in drawn),
            f"first weights are drawn with spread {std}" + ("" if std == 0.5 else ", the default"),
            _how_drawn(drawn, std),
            expected=std,
            received=", ".join(f"{name}: {spread:.3f}" for name, (_, spread) in zip(state, drawn)),
        )


def _some_are_zero(result):
    """Whether some of the vectors' numbers, and not most, are exactly 0, as a dropout leaves them."""
    return 0 < float((result == 0).float().mean()) < 0.5


def _all_rows_learn(made):
    """The criterion that each row gets the gradient of all places where it was looked up."""
    signal = torch.arange(1.0, TOKENS.numel() * WIDTH + 1).sin().view(*TOKENS.shape, WIDTH)
    wanted = {
        "token.weight": F.one_hot(TOKENS, V).float().flatten(0, 1).T @ signal.flatten(0, 1),
        "position.weight": torch.eye(MOST)[:, : TOKENS.shape[1]] @ signal.sum(0),
    }
    given = {name: made["parameters"].get(name) for name in wanted}
    good = all(isinstance(given[name], torch.Tensor) and same(given[name], wanted[name]) for name in wanted)
    reached = all(isinstance(gradient, torch.Tensor) and gradient.any() for gradient in given.values())
    otherwise = "A row of a table doesn't get the gradient of all places where it was looked up."
    if not reached:
        otherwise = DETACHED
    elif not given["token.weight"][0].any():
        otherwise = PADDED
    return holds(good, "gradients reach both tables, in every row that was looked up", otherwise)


def _alike(drawn, wanted):
    """Whether 1600 draws or more have this mean and this spread: 5 sigma are 1/8 and 9 % of the spread."""
    (mean, spread), (wanted_mean, wanted_spread) = drawn, wanted
    return abs(mean - wanted_mean) <= wanted_spread / 8 and abs(spread - wanted_spread) <= 0.1 * wanted_spread


def _how_drawn(drawn, std):
    """What is wrong with first weights of these means and spreads, the tokens' and the places'."""
    for sentence, (_, gives) in FIRST_WEIGHTS.items():
        if all(_alike(of_one, gives(std)) for of_one in drawn):
            return sentence
    if _alike(drawn[0], (0, std)) and _alike(drawn[1], (0, 1)):
        return ONLY_TOKENS
    return f"The first weights of both tables must be drawn around 0 with spread `std`, here {std}."


def _tables(model, state):
    """Puts the known weights in: the criterion that there are two tables of these names and sizes."""
    sentence = f"`token` has {V} rows and `position` {MOST}, {WIDTH} wide"
    unfit = model.load(state)
    own = model.parameters() if unfit else {}
    otherwise = f"It has no parameter {', '.join(unfit)}; its own are {', '.join(sorted(own)) or 'none'}."
    for name in (name for name in unfit if name in own):
        otherwise = f"`{name}` has shape {tuple(own[name].shape)} instead of {tuple(state[name].shape)}."
    return holds(not unfit, sentence, otherwise)


def _looked_up(state, tokens):
    """Rows of the tables, by matrix products with one-hot vectors."""
    places = torch.eye(MOST)[: tokens.shape[1]]
    return F.one_hot(tokens, V).float() @ state["token.weight"] + places @ state["position.weight"]


def _reply(model, tokens):
    """What the model makes of the tokens, and the name of the error it raises, if any."""
    try:
        return model(tokens), ""
    except AttemptFailed as failed:
        return None, failed.reply.error.message.partition(":")[0] if failed.reply.error else "something else"


def _is_value_error(error):
    """Whether it is one, or a class of the learner's own that is one."""
    return error == "ValueError" or error.endswith("(a ValueError)")


def _taken(model, error):
    """The criterion that few enough tokens raise no error; any but a ValueError about them is told as it is."""
    if error and not (_is_value_error(error) and not _reply(model, TOKENS % 3)[1]):
        model(TOKENS)
    return holds(not error, "5 tokens are no more than there are places", BY_NUMBERS)


def _refusal(model):
    """The criterion that too many tokens raise a ValueError."""
    result, error = _reply(model, TOKENS.repeat(1, 2)[:, : MOST + 1])
    otherwise = f"It takes {MOST + 1} tokens though it has {MOST} places: raise a ValueError."
    if error:
        otherwise = f"Too many tokens must raise a ValueError; yours raise {error}."
    elif not isinstance(result, torch.Tensor):
        otherwise = "Too many tokens must raise a ValueError: write `raise`, not `return`."
    return holds(_is_value_error(error), f"{MOST + 1} tokens are one too many: a ValueError", otherwise)


# --- 4.5 rotate ------------------------------------------------------------------------------------------------------


def _turn(x, angles):
    """The pairs as complex numbers, times e^(i·angle)."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def _turned(columns):
    """Turns pairs by a wrong formula: `columns` makes the two new columns of a, b, cosine and sine."""

    def rotate(x, angles):
        new = columns(x[..., 0::2], x[..., 1::2], angles.cos(), angles.sin())
        return torch.stack(new, dim=-1).flatten(-2)

    return rotate


def _turn_halves(x, angles):
    a, b = x.chunk(2, dim=-1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1)


def _turn_halves_laid_in_turn(x, angles):
    a, b = _turn_halves(x, angles).chunk(2, dim=-1)
    return torch.stack([a, b], dim=-1).flatten(-2)


def _turn_mixed(x, angles):
    a, b = x.chunk(2, dim=-1)
    both = angles.repeat_interleave(2, dim=-1)
    return x * both.cos() + torch.cat([-b, a], dim=-1) * both.sin()


def _turn_laid_in_halves(x, angles):
    a, b, cosine, sine = x[..., 0::2], x[..., 1::2], angles.cos(), angles.sin()
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1)


def _turn_overwritten(x, angles):
    result = x.clone()
    a, b = result[..., 0::2], result[..., 1::2]
    result[..., 0::2] = a * angles.cos() - b * angles.sin()
    result[..., 1::2] = a * angles.sin() + b * angles.cos()
    return result


def _turn_in_place(x, angles):
    turned = _turn(x, angles)
    x[..., 0::2], x[..., 1::2] = turned[..., 0::2], turned[..., 1::2]
    return x


DETACHED_X = "No gradient gets through to `x`: `detach()`, `.data` or `no_grad` keeps queries and keys from learning."


@exercise(
    points=3,
    mistakes={
        "You pair column i with column i + K/2, as GPT-NeoX does; here, as in RoFormer, 2i and 2i + 1 are a pair.": (
            _turn_halves
        ),
        "You turn the right pairs and lay the results out in two halves; they alternate, as in `x`: stack, then "
        "flatten.": _turn_laid_in_halves,
        "You mix two ways of pairing: the angles are repeated for neighbours, the columns swapped by halves.": (
            _turn_mixed
        ),
        "You turn the other way: the minus belongs to the first formula.": _turned(
            lambda a, b, cosine, sine: (a * cosine + b * sine, b * cosine - a * sine)
        ),
        "There is no minus in yours, so it doesn't turn: the first formula has one, before the sine.": _turned(
            lambda a, b, cosine, sine: (a * cosine + b * sine, a * sine + b * cosine)
        ),
        "Both of your formulas have a minus; the second one has a plus.": _turned(
            lambda a, b, cosine, sine: (a * cosine - b * sine, a * sine - b * cosine)
        ),
        "Your signs mirror the pair instead of turning it: the minus belongs to the first formula.": _turned(
            lambda a, b, cosine, sine: (a * cosine + b * sine, a * sine - b * cosine)
        ),
        "Sine and cosine have changed places.": _turned(
            lambda a, b, cosine, sine: (a * sine - b * cosine, a * cosine + b * sine)
        ),
        "You multiply by the cosine only: each new column is made of both old ones.": _turned(
            lambda a, b, cosine, sine: (a * cosine, b * cosine)
        ),
        "You multiply one column by the cosine and the other by the sine: each new one is made of both.": _turned(
            lambda a, b, cosine, sine: (a * cosine, b * sine)
        ),
        "Your second formula takes the first column after it was overwritten: keep both old columns until the end.": (
            _turn_overwritten
        ),
        "`x[:, :, :, 0::2]` counts four axes, and there may be fewer; `x[..., 0::2]` takes the last one of any.": (
            lambda x, angles: (
                x[:, :, :, 0::2] * angles.cos() - x[:, :, :, 1::2] * angles.sin() if x.dim() < 4 else _turn(x, angles)
            )
        ),
        DETACHED_X: lambda x, angles: _turn(x.detach(), angles),
        "You change `x` in place: the caller's tensor is not the same afterwards.": _turn_in_place,
        "You add the angles to the columns; turning multiplies by sines and cosines.": (
            lambda x, angles: x + angles.repeat_interleave(2, dim=-1)
        ),
        "You multiply by the angles themselves; take their sines and cosines.": (
            lambda x, angles: x * angles.repeat_interleave(2, dim=-1)
        ),
        "You add sines and cosines to the columns; that is how sinusoids are used. Turning multiplies.": (
            lambda x, angles: x + _alternating(angles.sin(), angles.cos())
        ),
        "The pairs are still an axis of their own; flatten them into the columns.": (
            lambda x, angles: _turn(x, angles).unflatten(-1, (-1, 2))
        ),
        "You return the two new columns one by one; lay them out in turn, as in `x`.": (
            lambda x, angles: (_turn(x, angles)[..., 0::2], _turn(x, angles)[..., 1::2])
        ),
        "`flatten()` joins all axes; `flatten(-2)` joins the last two.": lambda x, angles: _turn(x, angles).flatten(),
        "`flatten(1)` joins heads and tokens as well; `flatten(-2)` joins the last two axes, the pairs.": (
            lambda x, angles: _turn(x, angles).flatten(1)
        ),
        "The shape is right, but a `reshape` puts numbers of several tokens into one row: stack along a new last axis, "
        "`dim=-1`, then `flatten(-2)`.": (
            lambda x, angles: torch.stack([_turn(x, angles)[..., 0::2], _turn(x, angles)[..., 1::2]]).reshape(x.shape)
        ),
        "You compute the angles anew; take the `angles` that are passed in.": (
            lambda x, angles: _turn(x, _angles(*x.shape[-2:]))
        ),
        "You pair column i with column i + K/2, then lay the results out in turn; 2i and 2i + 1 are a pair: "
        "`x[..., 0::2]` and `x[..., 1::2]`.": _turn_halves_laid_in_turn,
        "You stack along a new first axis; along a new last one, `dim=-1`, the columns of a pair are neighbours.": (
            lambda x, angles: torch.stack([_turn(x, angles)[..., 0::2], _turn(x, angles)[..., 1::2]]).flatten(-2)
        ),
        "You take every second slice of the wrong axis; the columns are the last one: `x[..., 0::2]`.": (
            lambda x, angles: x[:, 0::2] * angles.cos()
        ),
        "`angles[i]` is the row of a token; pair i has the column `angles[..., i]`.": (
            lambda x, angles: x[..., 0] * angles[0].cos()
        ),
        "`math.cos` takes a single number; `angles.cos()` takes them all.": lambda x, angles: x * math.cos(angles),
        "You take the angles for degrees; they are radians already.": lambda x, angles: _turn(x, angles.deg2rad()),
        "You turn the angles into degrees; sine and cosine take radians.": lambda x, angles: _turn(x, angles.rad2deg()),
        "Every token is turned by the angles of the first one; each has its own row of angles.": (
            lambda x, angles: _turn(x, angles[:1].expand_as(angles))
        ),
    },
)
def rotate(attempt):
    """Su et al. 2021, equations 13 and 15, as products of complex numbers."""
    x, angles = tensor(B, H, T, K), tensor(T, K // 2, scale=2)
    turned = attempt(x, angles)
    yield shaped(turned, B=B, H=H, T=T, K=K)
    yield holds(
        torch.allclose(_norms(turned), _norms(x), atol=1e-4),
        "each pair of neighbouring columns keeps its length",
        "Turning changes no lengths: columns 2i and 2i + 1, a point, must stay as far from 0 as in `x`.",
        expected=_norms(x)[0, 0],
        received=_norms(turned)[0, 0],
    )
    quarter = attempt(torch.tensor([[1.0, 0.0]]), torch.tensor([[math.pi / 2]]))
    yield close(
        quarter,
        torch.tensor([[0.0, 1.0]]),
        "a quarter turn makes (0, 1) of (1, 0)",
        _quarter_turn(quarter),
    )
    yield close(
        turned,
        _turn(x, angles),
        "each pair of each token has turned by its angle",
        "The lengths are right, but the pairs have not turned by their angles: token t by row t, pair i by column i.",
        earns=2,
    )
    strided = tensor(B, T, H, K).transpose(1, 2)
    yield close(
        attempt(strided, angles),
        _turn(strided, angles),
        "it works on heads that come from a transpose",
        "It goes wrong for a transposed tensor: use operations that follow the axes, not the order in memory.",
    )
    yield close(
        attempt(x[0, 0], angles),
        _turn(x[0, 0], angles),
        "and on (T, K) alone",
        "It goes wrong for (T, K), without batch and heads: count the axes from the end.",
    )
    signal = torch.arange(1.0, x.numel() + 1).sin().view(x.shape)
    gradient = attempt.gradients(x, angles)["arguments"][0]
    yield holds(same(gradient, _turn(signal, -angles)), "gradients go through it, turned back", DETACHED_X)


def _quarter_turn(made):
    """What is wrong with what was made of (1, 0) by a quarter turn."""
    must = "A quarter turn, π/2, must make (0, 1) of (1, 0)"
    if same(made, torch.tensor([[0.0, -1.0]])):
        return f"{must}; yours makes (0, -1): which of the formulas has the minus?"
    if same(made, torch.tensor([[1.0, 0.0]])):
        return f"{must}; yours leaves it as it is: do you turn by the `angles` that are passed in?"
    return f"{must}: the first column is x₀ cos θ − x₁ sin θ, the second x₀ sin θ + x₁ cos θ."


def _norms(x):
    return x.unflatten(-1, (-1, 2)).norm(dim=-1)


# --- 4.6 rotary_attention --------------------------------------------------------------------------------------------


def _split(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _merge(x):
    return x.transpose(1, 2).flatten(2)


def _same(x):
    return x


def _by_places(x):
    return _turn(x, _angles(x.shape[-2], x.shape[-1]))


def _rotary(
    query=_by_places, key=_by_places, value=_same, result=_same, before=_same, merge=_merge, scale=None, **options
):
    """Rotary attention with one of its steps replaced."""

    def attend(q, k, v, heads):
        q, k, v = (_split(x, heads) for x in (before(q), before(k), v))
        width = None if scale is None else scale(q.shape[-1], heads)
        return merge(result(F.scaled_dot_product_attention(query(q), key(k), value(v), scale=width, **options)))

    return attend


def _angles_of_the_model(x):
    return _turn(x, _angles(x.shape[-2], x.shape[-1] * x.shape[1])[:, : x.shape[-1] // 2])


def _turn_by_columns(x, angles):
    """`rotate`'s own formula: a wrong shape of the angles raises the same error as with the learner's."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1).flatten(-2)


def _misfit(tokens=lambda x: x.shape[2], width=lambda x: x.shape[3]):
    """Rotary attention with angles of another shape."""

    def turn(x):
        return _turn_by_columns(x, _angles(tokens(x), width(x)))

    return _rotary(turn, turn)


def _backwards(x):
    return _turn(x, -_angles(x.shape[-2], x.shape[-1]))


def _added(x):
    angles = _angles(x.shape[-2], x.shape[-1])
    return x + _alternating(angles.sin(), angles.cos())


def _softmax_along_queries(query, key, value, heads):
    query, key, value = (_split(x, heads) for x in (query, key, value))
    scores = _by_places(query) @ _by_places(key).mT / query.shape[-1] ** 0.5
    return _merge(scores.softmax(-2) @ value)


NO_KEY = "The key has no effect: do you turn `query` in both places?"
NO_QUERY = "The query has no effect: do you turn `key` in both places?"
DROPOUT = "There is a dropout, so weights are lost at random; leave it out."
NO_GRADIENT = "No gradient gets through: `detach()`, `.data` or `no_grad` keeps the layers before it from learning."
ALONG_QUERIES = (
    "Your softmax runs along the queries, axis -2; the weights of a query add up to 1 along the keys, axis -1."
)


@exercise(
    points=3,
    uses=("position_angles", "rotate"),
    mistakes={
        NO_KEY: lambda q, k, v, heads: _rotary()(q, q, v, heads),
        NO_QUERY: lambda q, k, v, heads: _rotary()(k, k, v, heads),
        NO_GRADIENT: lambda q, k, v, heads: _rotary()(q, k, v, heads).detach(),
        "No gradient gets through to queries and keys: `detach()`, `.data` or `no_grad` keeps them from learning.": (
            lambda q, k, v, heads: _rotary()(q.detach(), k.detach(), v, heads)
        ),
        "You mix the keys; the values are what is mixed.": lambda q, k, v, heads: _rotary()(q, k, k, heads),
        "Later tokens are hidden (`is_causal`, or a mask); here every token sees all of them.": _rotary(is_causal=True),
        DROPOUT: _rotary(dropout_p=0.1),
        ALONG_QUERIES: _softmax_along_queries,
        'Queries and keys turn the other way, so "before" and "after" change places: the angles have no minus.': (
            _rotary(_backwards, _backwards)
        ),
        "You turn the values too; they are handed on as they are.": _rotary(value=_by_places),
        "This is plain attention, which doesn't see order: nothing is turned, or all tokens alike. The angles follow "
        "the tokens, axis 2 of (B, H, T, K).": _rotary(_same, _same),
        "You turn the queries only; the keys have places as well.": _rotary(key=_same),
        "You turn the keys only; the queries have places as well.": _rotary(query=_same),
        "Queries and keys turn in opposite directions, so scores depend on the sum of two places; turn both alike.": (
            _rotary(key=_backwards)
        ),
        "You turn before the heads are split, so each head gets other clocks; split first, then turn K columns.": (
            _rotary(_same, _same, before=_by_places)
        ),
        "Your clocks are made for the width of the model, and cut; after the split ask for `position_angles(T, K)`.": (
            _rotary(_angles_of_the_model, _angles_of_the_model)
        ),
        "Your clocks are as wide as the model; after the split a head is K columns wide: `position_angles(T, K)`.": (
            _misfit(width=lambda x: x.shape[1] * x.shape[3])
        ),
        "You ask for K / 2 columns; `position_angles(T, K)` makes K / 2 hands by itself.": (
            _misfit(width=lambda x: x.shape[3] // 2)
        ),
        "You count the heads: after the split the tokens are axis 2, (B, H, T, K).": _misfit(lambda x: x.shape[1]),
        "You count the sequences of the batch: after the split the tokens are axis 2, (B, H, T, K).": (
            _misfit(lambda x: x.shape[0])
        ),
        "You turn the result as well; once the values are mixed, there is nothing left to turn.": (
            _rotary(result=_by_places)
        ),
        "You turn the result; turn queries and keys, before they are compared.": (
            _rotary(_same, _same, result=_by_places)
        ),
        "You turn queries and keys twice.": _rotary(
            lambda x: _by_places(_by_places(x)), lambda x: _by_places(_by_places(x))
        ),
        "You add the sinusoids to queries and keys; rotary positions turn them.": _rotary(_added, _added),
        "Your scores are not divided by √K.": _rotary(scale=lambda width, heads: 1.0),
        "Your scores are divided by √D; a head is K = D / H wide: divide by √K.": (
            _rotary(scale=lambda width, heads: (width * heads) ** -0.5)
        ),
        "You merge without swapping T and H back first: `merge_heads` does both.": (
            _rotary(merge=lambda x: x.reshape(x.shape[0], x.shape[2], -1))
        ),
        "The heads are not merged: bring (B, H, T, K) back to (B, T, D).": _rotary(merge=_same),
        "The heads are not split: each has clocks and a softmax of its own.": (
            lambda q, k, v, heads: _rotary()(q, k, v, 1)
        ),
        "The places differ by one between queries and keys; both count from 0.": _rotary(
            key=lambda x: _turn(x, _angles(x.shape[-2] + 1, x.shape[-1])[1:])
        ),
    },
)
def rotary_attention(attempt):
    """Su et al. 2021, equation 16: PyTorch's attention between queries and keys turned as complex numbers."""
    query, key, value = (tensor(B, T, D) for _ in range(3))
    mixed = attempt(query, key, value, H)
    yield shaped(mixed, B=B, T=T, D=D)
    for others, name, otherwise in (((query, -key), "key", NO_KEY), ((-query, key), "query", NO_QUERY)):
        other = attempt(*others, value, H)
        yield holds(not same(other, mixed), f"with another {name} the result is another one", otherwise)
    ones = torch.ones_like(value)
    yield _nothing_lost(attempt(torch.zeros_like(query), key, ones, H))
    yield close(
        attempt(query, key, ones, H),
        ones,
        "the weights of each query add up to 1",
        "The weights of each query don't add up to 1, as values of nothing but ones show: is there a softmax along the "
        "keys, axis -1?",
    )
    yield close(
        attempt(torch.zeros_like(query), key, value, H),
        value.mean(1, keepdim=True).expand(B, T, D),
        "where all scores are equal, the result is the mean of the values",
        "Queries of nothing but zeros make all scores equal, and the result must be the mean of the values: are the "
        "values turned, or mixed up in splitting and merging?",
    )
    weights = _read_out(attempt)
    yield holds(
        not torch.allclose(weights, weights.mean(-1, keepdim=True).expand_as(weights), atol=1e-4),
        "equal tokens at different places get different weights",
        "One query and one key at every place: their weights are all the same, so the places have no effect.",
        received=weights[0],
    )
    yield holds(
        _depends_on_distance(weights),
        "the scores of one query and one key depend on their distance alone",
        "One query and one key at every place: their scores must be equal wherever their distances are equal.",
        received=weights[0],
    )
    yield close(
        mixed,
        _rotary()(query, key, value, H),
        "the result is attention between turned queries and keys",
        "The result is not that of attention between turned queries and keys, with clocks of K columns in each head.",
        earns=2,
    )
    for heads in (1, D // 2):
        one = [x[:1] for x in (query, key, value)]
        yield close(
            attempt(*one, heads),
            _rotary()(*one, heads),
            f"right for {heads} head{'s' if heads > 1 else ''} and a batch of one too",
            f"It goes wrong for a batch of one and heads={heads}.",
        )
    yield _gradients_reach(attempt.gradients(query, key, value, H)["arguments"], (query, key, value))


def _gradients_reach(given, inputs):
    """The criterion that queries, keys and values get the gradients that they get from PyTorch's attention."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    signal = torch.arange(1.0, inputs[0].numel() + 1).sin().view_as(inputs[0])
    wanted = torch.autograd.grad(_rotary()(*inputs, H), inputs, signal)
    given = given[:3]
    missing = [
        name for name, g in zip(("query", "key", "value"), given) if not isinstance(g, torch.Tensor) or not g.any()
    ]
    otherwise = NO_GRADIENT
    if 0 < len(missing) < 3:
        otherwise = f"No gradient gets through to {' and '.join(missing)}: is there a `detach()`, `.data` or `no_grad`?"
    good = not missing and all(same(g, w) for g, w in zip(given, wanted))
    return holds(good, "gradients reach queries, keys and values", otherwise)


def _nothing_lost(mixed):
    """The criterion that equal weights make ones of values that are all ones."""
    in_heads = mixed.unflatten(-1, (H, -1))
    at_random = (
        in_heads.std(-1).max() < 1e-4 and in_heads.std() > 1e-2
    )  # weights differ by head and token, not by column
    otherwise = (
        "Where all scores are equal and all values are ones, the result must be ones: are the values turned, or is "
        "there no softmax?"
    )
    sentence = "where all scores are equal, values of ones give ones"
    return holds(same(mixed, torch.ones_like(mixed)), sentence, DROPOUT if at_random else otherwise, received=mixed[0])


def _read_out(attempt):
    """The weights (H, K, K) between K places that hold the same query, and the same key; one-hot values show them."""
    query, key = (tensor(1, 1, D).repeat(1, K, 1) for _ in range(2))
    return _split(attempt(query, key, torch.eye(K).repeat(1, H)[None], H), H)[0]


def _depends_on_distance(weights):
    """Whether scores, known up to a number for each query, are the same along the diagonals."""
    scores = weights.clamp(min=1e-30).log()
    scores = scores - scores.diagonal(dim1=-2, dim2=-1)[..., None]
    diagonals = [scores.diagonal(distance, -2, -1) for distance in range(1 - K, K)]
    return all(bool((d.amax(-1) - d.amin(-1) < 1e-2).all()) for d in diagonals)
