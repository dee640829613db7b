"""Checks of lesson 00. Oracles: `torch.softmax`, plain loops, and sums worked by hand."""

import math

import numpy
import torch

from unmasked.criteria import close, holds, shaped, tensor
from unmasked.exercise import exercise

# Every size differs from every other, so that a wrong axis can't hide.
B, T, D = 2, 3, 5
H, K = 4, 6
N = 6  # tokens, where a longer sequence is needed


# --- 0.1 center ------------------------------------------------------------------------------------------------------


def _centered_in_loops(x):
    return torch.stack([torch.stack([token - sum(token) / len(token) for token in tokens]) for tokens in x])


@exercise(
    points=1,
    mistakes={
        "Your means have shape (B, T) and don't line up with (B, T, D); `keepdim=True` makes them (B, T, 1).": (
            lambda x: x - x.mean(-1)
        ),
        "You subtract the mean of all numbers; each token has a mean of its own.": lambda x: x - x.mean(),
        "You average over the tokens (axis 1); average over the numbers of a token, the last axis.": (
            lambda x: x - x.mean(1, keepdim=True)
        ),
        "You average over the sequences (axis 0); average over the numbers of a token, the last axis.": (
            lambda x: x - x.mean(0, keepdim=True)
        ),
        "You average over tokens and numbers together: each token of a sequence has a mean of its own.": (
            lambda x: x - x.mean((1, 2), keepdim=True)
        ),
        "These are the means; subtract them from `x`.": lambda x: x.mean(-1, keepdim=True),
        "These are the means; keep their axis with `keepdim=True`, and subtract them from `x`.": lambda x: x.mean(-1),
        "The signs are wrong: subtract the mean from the number, not the number from the mean.": (
            lambda x: x.mean(-1, keepdim=True) - x
        ),
        "You add the mean where you should subtract it.": lambda x: x + x.mean(-1, keepdim=True),
        "You subtract the sum of a token's numbers; their mean is the sum divided by D.": (
            lambda x: x - x.sum(-1, keepdim=True)
        ),
        "You divide by the number of tokens, `x.shape[1]`; a token has D = `x.shape[-1]` numbers.": (
            lambda x: x - x.sum(-1, keepdim=True) / x.shape[1]
        ),
        "You divide by the number of sequences, `len(x)`; a token has D = `x.shape[-1]` numbers.": (
            lambda x: x - x.sum(-1, keepdim=True) / len(x)
        ),
        "You divide by 4, which is D in the example only; `x.shape[-1]` is the D of every `x`.": (
            lambda x: x - x.sum(-1, keepdim=True) / 4
        ),
        "Sizes are hard-coded: 2 and 3 are B and T here, not everywhere. Take them from `x.shape`, or keep the axis "
        "with `keepdim=True`.": lambda x: x - x.mean(-1).reshape(2, 3, 1),
        "`numpy.mean` can't pass `keepdims` on to a tensor; tensors have `x.mean(dim=-1, keepdim=True)`.": (
            lambda x: x - numpy.mean(x, axis=-1, keepdims=True)
        ),
        "You subtract the median; the mean is asked for.": lambda x: x - x.median(-1, keepdim=True).values,
        "`median` along an axis gives two things, values and their places; and the mean is asked for.": (
            lambda x: x - x.median(-1, keepdim=True)
        ),
        "You also divide by the standard deviation; only the mean is to be taken away.": (
            lambda x: (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
        ),
        "You divide by the mean where you should subtract it.": lambda x: x / x.mean(-1, keepdim=True),
    },
)
def center(attempt):
    """Each token minus the mean of its own numbers."""
    x = tensor(B, T, D) + 3 * tensor(B, T, 1)
    centered, expected = attempt(x), _centered_in_loops(x)
    yield shaped(centered, B=B, T=T, D=D)
    yield holds(
        centered.mean(-1).abs().max() < 1e-4,
        "the mean of every token is 0",
        "The numbers of a token do not have mean 0: along which axis do you average, and by what do you divide?",
        expected=expected,
        received=centered,
    )
    yield close(
        centered,
        expected,
        "every number has moved by its token's mean, and by nothing else",
        "Every token has mean 0, but its numbers are not the old ones minus their mean.",
    )
    strided = tensor(1, D, T).mT
    yield close(
        attempt(strided),
        _centered_in_loops(strided),
        "it works for a batch of one, and for a tensor that is not contiguous in memory",
        "It fails for a batch of one, or for a transposed view; use operations that follow the axes.",
    )


# --- 0.2 stable_softmax ----------------------------------------------------------------------------------------------


def _exponentials(scores):
    return (scores - scores.amax(-1, keepdim=True)).exp()


def _softmax_along(axis):
    """A right softmax along an axis, written by hand."""

    def stable_softmax(scores):
        powers = (scores - scores.amax(axis, keepdim=True)).exp()
        return powers / powers.sum(axis, keepdim=True)

    return stable_softmax


def _lowered_by(level):
    """A softmax that subtracts something else than the largest score of a row."""

    def stable_softmax(scores):
        powers = (scores - level(scores)).exp()
        return powers / powers.sum(-1, keepdim=True)

    return stable_softmax


def _sums(weights):
    """The sums of the rows as a text, with digits enough to see small differences."""
    return "the rows sum to " + ", ".join(f"{total:.5f}" for total in weights.sum(-1).flatten().tolist())


@exercise(
    points=2,
    by_hand=("softmax", "log_softmax"),
    mistakes={
        "Your exponentials overflow: subtract the largest score of each row first.": _lowered_by(lambda s: 0.0),
        "You subtract the largest score of the whole tensor: rows far below it become 0 / 0. "
        "Each row needs its own.": _lowered_by(lambda s: s.max()),
        "You subtract the mean; a score far above it still overflows. Subtract the largest score.": (
            _lowered_by(lambda s: s.mean(-1, keepdim=True))
        ),
        "You subtract the smallest score; subtract the largest, so that no exponent is above 0.": (
            _lowered_by(lambda s: s.amin(-1, keepdim=True))
        ),
        "You subtract a fixed number, which only moves the overflow to higher scores: subtract the largest score of "
        "each row.": _lowered_by(lambda s: 80.0),
        "You subtract a fixed number, which only moves the overflow a little: subtract the largest score of a row.": (
            _lowered_by(lambda s: 20.0)
        ),
        "64 bits move the overflow to scores above 709, no further: subtract the largest score of each row.": (
            lambda s: (s.double().exp() / s.double().exp().sum(-1, keepdim=True)).float()
        ),
        "You subtract the places of the largest scores, `[1]` of what `max` gives; the scores are its `.values`.": (
            _lowered_by(lambda s: s.max(-1, keepdim=True)[1])
        ),
        "Exponents are cut off at a lower limit, so that scores far below it still get a weight; leave them as they "
        "are: an exponential that shrinks to 0 does no harm.": lambda s: _softmax_along(-1)(
            (s - s.amax(-1, keepdim=True)).clamp(min=-10)
        ),
        "Something is added to the sum, which makes every weight too small. Once the largest score is subtracted, no "
        "sum is below 1.": lambda s: _exponentials(s) / (_exponentials(s).sum(-1, keepdim=True) + 1e-3),
        "`math.exp` takes one number; a tensor has `.exp()`, which takes all of them.": lambda s: math.exp(s),
        "`numpy.sum` does not fit a tensor; tensors have `.exp()` and `.sum(dim=-1, keepdim=True)`.": (
            lambda s: numpy.exp(s) / numpy.sum(numpy.exp(s))
        ),
        "The largest scores, or the sums, have lost their last axis and don't line up; keep it: `keepdim=True`.": (
            lambda s: _exponentials(s) / _exponentials(s).sum(-1)
        ),
        "`max` along an axis gives two things, values and their places; take `.values`, or use `amax`.": (
            lambda s: s - s.max(-1, keepdim=True)
        ),
        "Python's `max` can't compare tensors; `amax(dim=-1, keepdim=True)` gives the largest score of each row.": (
            lambda s: (s - max(s)).exp()
        ),
        "You divide by the sum of all exponentials; each row is divided by its own sum.": (
            lambda s: s.exp() / s.exp().sum()
        ),
        "Your softmax runs along the axis before the last one; a row is the last axis.": _softmax_along(-2),
        "Your softmax runs along the first axis; a row is the last axis.": _softmax_along(0),
        "You name the last axis by the number 2, which a single row does not have; −1 is always the last.": (
            _softmax_along(2)
        ),
        "The exponentials are not divided by their sum.": _exponentials,
        "You divide the scores by their sum; a softmax takes exponentials first, so that all weights are positive.": (
            lambda s: s / s.sum(-1, keepdim=True)
        ),
        "You subtract the largest score above the fraction line only; the same must happen below it.": (
            lambda s: _exponentials(s) / s.exp().sum(-1, keepdim=True)
        ),
        "You cut large scores off, so that scores beyond the limit count the same; subtract the largest instead.": (
            lambda s: s.clamp(max=50).exp() / s.clamp(max=50).exp().sum(-1, keepdim=True)
        ),
        "You divide by the largest score; subtract it: only a difference leaves a softmax unchanged.": (
            lambda s: _softmax_along(-1)(s / s.amax(-1, keepdim=True))
        ),
        "This is the logarithm of the softmax: take the exponential of it.": lambda s: _softmax_along(-1)(s).log(),
        "You use a sigmoid, which judges each score alone; in a softmax the scores of a row compete.": torch.sigmoid,
    },
)
def stable_softmax(attempt):
    """e^s divided by the sum of the row's e^s, for scores of any size."""
    scores = tensor(B, T, D)
    weights = attempt(scores)
    yield shaped(weights, B=B, T=T, S=D)
    yield holds(
        weights.min() >= 0,
        "no weight is negative",
        "Some weights are negative: an exponential is always positive.",
        expected=scores.softmax(-1),
        received=weights,
    )
    yield holds(
        (weights.sum(-1) - 1).abs().max() < 1e-4,
        "the weights of each row sum to 1",
        "The weights of a row do not sum to 1: along which axis do you add up, and is anything else in the sum?",
        expected=_sums(scores.softmax(-1)),
        received=_sums(weights),
    )
    yield close(
        weights,
        scores.softmax(-1),
        "they are the exponentials of the scores, divided by the sum of their row",
        "The weights of each row sum to 1, but they are not exp(score) divided by the sum of exp(scores).",
        earns=1,
    )
    many = torch.linspace(0, 1, 200)  # the largest is at place 199: e^-199 is 0 in 32 bits
    yield close(
        attempt(many),
        many.softmax(-1),
        "a row of 200 scores gets its weights too",
        "A row of 200 small scores gets wrong weights: does what you subtract grow with the length of the row?",
    )
    rising = torch.tensor([[[85.0, 86.0, 87.0, 88.0, 91.0]]])
    yield close(
        attempt(rising),
        rising.softmax(-1),
        "scores just above 88, where e^s leaves the 32 bits, do no harm",
        "Scores just above 88 give wrong weights: an exponential overflows to inf. "
        "Bring the largest score of each row to 0 first.",
    )
    for high in (160, 500, 1000, -1000):
        yield close(
            attempt(scores + high),
            scores.softmax(-1),
            f"nor do scores around {high}".replace("-", "−"),
            f"Around {high} the weights are wrong: an exponential overflows to inf or shrinks to 0. "
            "Bring the largest score of each row to 0 first; a fixed number can't do that for every row.",
        )
    yield from _far_apart(attempt, scores)
    yield close(
        attempt(scores[0, 0]),
        scores[0, 0].softmax(-1),
        "a single row (S) works too",
        "A single row, a tensor with one axis, does not work: the last axis is −1, however many there are.",
    )


def _far_apart(attempt, scores):
    """Criteria of rows, and of scores in a row, that are far apart."""
    spread = scores * torch.tensor([1.0, 10.0, 1000.0, 100.0, 1.0]) + 1000 * torch.arange(T)[:, None]
    weights, expected = attempt(spread), spread.softmax(-1)
    yield close(
        weights,
        expected,
        "nor do rows of which one is far above the others, or scores that are far apart",
        "Where rows or scores are far apart the weights are wrong: bring the largest score of each row to 0 first.",
    )
    yield holds(
        weights[expected < 1e-12].max() < 1e-6,
        "a score far below the largest has weight 0",
        "Scores hundreds below the largest of their row still get a weight: are exponents cut off, or weights raised?",
        expected="at most 0.000001",
        received=f"{weights[expected < 1e-12].max():.6f}",
    )


# --- 0.3 masked_mean -------------------------------------------------------------------------------------------------


def _filled(x, padding):
    return x.masked_fill(padding[..., None], 0.0)


def _sum(x, padding):
    return _filled(x, padding).sum(1)


def _count(padding):
    return (~padding).sum(1, keepdim=True)


def _masked_mean(x, padding):
    return _sum(x, padding) / _count(padding).clamp(min=1)


def _mean_in_loops(x, padding):
    """The mean over visible tokens, one sequence at a time."""
    rows = []
    for tokens, hidden in zip(x, padding.tolist()):
        visible = [token for token, skip in zip(tokens, hidden) if not skip]
        rows.append(sum(visible) / len(visible) if visible else torch.zeros(x.shape[-1]))
    return torch.stack(rows)


@exercise(
    points=2,
    mistakes={
        "A sequence of nothing but padding gets NaN, from 0 / 0; it must get 0: let no count be below 1, "
        "`clamp(min=1)`.": lambda x, mask: _sum(x, mask) / _count(mask),
        "You multiply the padding by 0, and 0 times inf is NaN: what stands there must never count, so fill it with 0, "
        "`masked_fill`.": lambda x, mask: (x * ~mask[..., None]).sum(1) / _count(mask).clamp(min=1),
        "You count the numbers that are not 0; a number of a token may be 0. The mask says which tokens count.": (
            lambda x, mask: _sum(x, mask) / _filled(x, mask).ne(0).sum(1).clamp(min=1)
        ),
        "You count the tokens that are not all 0; such a token counts as well. The mask says which do.": (
            lambda x, mask: _sum(x, mask) / _filled(x, mask).ne(0).any(-1).sum(1, keepdim=True).clamp(min=1)
        ),
        "`squeeze()` drops every axis of size 1, also that of a batch of one; name the axis that it should drop.": (
            lambda x, mask: _masked_mean(x, mask).squeeze()
        ),
        "Your mask is inverted: True marks padding, which must not count.": lambda x, mask: _masked_mean(x, ~mask),
        "You divide by the number of all places; divide by the number of those that count.": (
            lambda x, mask: _sum(x, mask) / x.shape[1]
        ),
        "`masked_fill` changes nothing by itself: it returns a new tensor, and the padding is still in your sum.": (
            lambda x, mask: x.sum(1) / _count(mask).clamp(min=1)
        ),
        "Your mask is inverted where you fill, or multiply: True marks padding, and padding must become 0.": (
            lambda x, mask: _sum(x, ~mask) / _count(mask).clamp(min=1)
        ),
        "You take the first tokens, as many as count; padding may stand anywhere, also in front: go by the mask.": (
            lambda x, mask: torch.stack([tokens[:n].mean(0) for tokens, n in zip(x, _count(mask)[:, 0])])
        ),
        "The mask has no effect. (`masked_fill` changes nothing by itself: it returns a new tensor.)": (
            lambda x, mask: x.mean(1)
        ),
        "The mask (B, T) lacks a last axis to line up with (B, T, D): add one with `[..., None]`.": (
            lambda x, mask: x.masked_fill(mask, 0.0)
        ),
        "The mask (B, T) lacks a last axis to line up with (B, T, D) when you multiply: add one with `[..., None]`.": (
            lambda x, mask: x * ~mask
        ),
        "Python's `not`, `and`, `if` and `max` want a single True or False, and a tensor has many: `~` inverts a mask, "
        "and `.clamp(min=1)` raises every count to 1.": lambda x, mask: x * (not mask),
        "A bool tensor has no negative: invert it with `~`.": lambda x, mask: x * -mask,
        "A bool tensor can't be subtracted from 1: invert it with `~`.": lambda x, mask: x * (1 - mask),
        "Indexing with the mask runs all sequences together; each needs a mean of its own.": (
            lambda x, mask: x[~mask].mean(0)
        ),
        "You average over the numbers of a token; average over the tokens of a sequence, axis 1.": (
            lambda x, mask: x.masked_fill(mask[..., None], 0.0).mean(-1)
        ),
        "You divide by the tokens of the whole batch; each sequence has a count of its own.": (
            lambda x, mask: _sum(x, mask) / (~mask).sum()
        ),
        "This is the sum; divide it by the number of tokens that count.": _sum,
        "You divide by one more than the count, which makes every mean too small; only a count of 0 becomes 1.": (
            lambda x, mask: _sum(x, mask) / (_count(mask) + 1)
        ),
        "The counts have shape (B) and don't line up with (B, D): keep their axis with `keepdim=True`.": (
            lambda x, mask: _sum(x, mask) / (~mask).sum(1).clamp(min=1)
        ),
        "You turn inf into an ordinary number wherever it stands; only padding must not count, and an inf in a token "
        "that counts makes its mean inf.": lambda x, mask: (
            (x.nan_to_num(posinf=0, neginf=0) * ~mask[..., None]).sum(1) / _count(mask).clamp(min=1)
        ),
        "You divide by the number of padding places; divide by the number of those that count.": (
            lambda x, mask: _sum(x, mask) / mask.sum(1, keepdim=True).clamp(min=1)
        ),
    },
)
def masked_mean(attempt):
    """The mean over the tokens that are not padding, and 0 where there are none."""
    x = tensor(B, N, D)
    # Another number of hidden tokens in each sequence, some in front, so that cutting off the end is not enough.
    mask = torch.tensor([[True, False, False, False, False, True], [True, True, True, False, True, True]])
    mean = attempt(x, mask)
    yield shaped(mean, B=B, D=D, hint="One vector for each sequence.")
    yield close(
        mean[1],
        x[1, 3],
        "where one token counts, the mean is that token",
        "In a sequence with a single token that counts, the mean must be that token. (Padding may stand anywhere.)",
    )
    yield close(
        mean,
        _mean_in_loops(x, mask),
        "it is the sum of the tokens that count, divided by their number",
        "The mean must be, for each sequence, the sum of the tokens that count, divided by their number.",
        earns=1,
    )
    silent = x.clone()
    silent[0, 2], silent[0, 3, 1] = 0, 0  # a token of zeros that counts, and one with a 0 in it
    yield close(
        attempt(silent, mask),
        _mean_in_loops(silent, mask),
        "a 0 counts like any other number, and a token of zeros like any other token",
        "Where numbers are 0 the means are wrong: a token counts whatever it holds, unless the mask hides it.",
    )
    loud = torch.where(mask[..., None], 1000.0, x)
    yield close(
        attempt(loud, mask),
        mean,
        "huge numbers in the padding have no influence",
        "With huge numbers in the padding the means change.",
    )
    nothing_hidden = torch.zeros(B, N, dtype=torch.bool)
    yield close(
        attempt(x, nothing_hidden),
        x.mean(1),
        "without padding it is the ordinary mean",
        "Where nothing is padding, the result must be the ordinary mean over the tokens.",
    )
    nothing_left = torch.stack([torch.ones(N, dtype=torch.bool), mask[1]])
    yield close(
        attempt(x, nothing_left),
        _mean_in_loops(x, nothing_left),
        "a sequence of nothing but padding gets 0, not NaN",
        "A sequence of nothing but padding must get zeros.",
    )
    yield close(
        attempt(x[:1], mask[:1]),
        _mean_in_loops(x[:1], mask[:1]),
        "a batch of one stays a batch",
        "For a batch of one the result must have shape (1, D).",
    )
    yield close(
        attempt(torch.where(mask[..., None], torch.inf, x), mask),
        mean,
        "not even inf in the padding has an influence",
        "With inf in the padding the means change: fill the padding with 0, so that nothing of it is left.",
    )
    infinite = x.clone()
    infinite[1, 3, 2] = torch.inf  # in the one token of sequence 1 that counts
    mean = attempt(infinite, mask)
    yield holds(
        isinstance(mean, torch.Tensor) and mean.shape == (B, D) and not mean[1, 2].abs() < 1e30,
        "but an inf in a token that counts does count",
        "An inf in a token that counts leaves no trace in its mean; only padding must not count.",
        received=mean,
    )


# --- 0.4 batched_products --------------------------------------------------------------------------------------------


def _side_by_side(x, matrices):
    """One product with all matrices side by side.  -> (B, T, H, K)"""
    together = matrices.permute(1, 0, 2).flatten(1)  # D, H·K
    return (x @ together).unflatten(-1, (len(matrices), -1))


@exercise(
    points=2,
    mistakes={
        "Sequences and matrices meet on the same axis: give `x` an axis of its own for the matrices, "
        "(B, 1, T, D).": lambda x, m: x @ m,
        "You give `x` its new axis after the tokens; it belongs before them: (B, 1, T, D).": (
            lambda x, m: x[:, :, None] @ m
        ),
        "You give `x` its new axis before the sequences; it belongs after them: (B, 1, T, D).": lambda x, m: (
            x[None] @ m
        ),
        "`bmm` multiplies matrix b with matrix b only; `@` also broadcasts, once `x` has shape (B, 1, T, D).": (
            torch.bmm
        ),
        "`*` multiplies numbers that stand in the same place; `@` multiplies matrices.": lambda x, m: x * m,
        "The new axis of `x` is right; but `*` multiplies numbers that stand in the same place, `@` matrices.": (
            lambda x, m: x[:, None] * m
        ),
        "`dot` takes two vectors; `@` multiplies matrices, and all axes before the last two are a batch.": torch.dot,
        "`mm` takes two matrices and no batch; `@` takes all axes before the last two as a batch.": torch.mm,
        "Your axes are (H, B, T, K): sequences come first. Give `x` the new axis, not the matrices.": (
            lambda x, m: x @ m[:, None]
        ),
        "Your axes are (B, T, H, K): the matrices come before the tokens.": (
            lambda x, m: torch.einsum("btd,hdk->bthk", x, m)
        ),
        "You add up the results of all matrices; each keeps its own.": lambda x, m: (x[:, None] @ m).sum(1),
        "You transpose the matrices: their rows (D) already meet the numbers of a token.": lambda x, m: (
            x[:, None] @ m.mT
        ),
        "You transpose `x`: its rows, the tokens, already meet the columns of a matrix.": lambda x, m: (
            x.mT[:, None] @ m
        ),
        "You multiply in the other order: tokens (rows of x) meet the columns of a matrix.": lambda x, m: (
            m @ x[:, None]
        ),
        "You reshape (B, T, H, K) to (B, H, T, K), which mixes up the numbers; axes are swapped with `transpose`.": (
            lambda x, m: _side_by_side(x, m).reshape(len(x), len(m), x.shape[1], -1)
        ),
        "You lay the matrices side by side with `reshape`, which tears them apart; swap their axes first.": (
            lambda x, m: (x @ m.reshape(m.shape[1], -1)).unflatten(-1, (len(m), -1)).transpose(1, 2)
        ),
        "You use the first matrix for all results; result h belongs to matrix h.": (
            lambda x, m: (x @ m[0])[:, None].expand(-1, len(m), -1, -1)
        ),
        "You use the first sequence for all results; result b belongs to sequence b.": (
            lambda x, m: (x[0] @ m)[None].expand(len(x), -1, -1, -1)
        ),
    },
)
def batched_products(attempt):
    """Every sequence (T, D) times every matrix (D, K)."""
    x, matrices = tensor(B, T, D), tensor(H, D, K)
    products = attempt(x, matrices)
    yield shaped(products, B=B, H=H, T=T, K=K, hint="One result (T, K) for each sequence and each matrix.")
    yield close(
        products[1, 2],
        x[1] @ matrices[2],
        "the result at [1, 2] is sequence 1 times matrix 2",
        "The result at [b, h] must be sequence b (T, D) times matrix h (D, K).",
    )
    expected = torch.stack([torch.stack([tokens @ matrix for matrix in matrices]) for tokens in x])
    yield close(
        products,
        expected,
        "so is every other",
        "One result is right and others are not: at [b, h] must stand sequence b times matrix h.",
        earns=1,
    )
    strided, matrices = tensor(H, D, T).mT, tensor(H, D, K)
    yield close(
        attempt(strided, matrices),
        torch.stack([torch.stack([tokens @ matrix for matrix in matrices]) for tokens in strided]),
        "it works where B and H are the same number, and for a view that is not contiguous in memory",
        "It fails where B and H are the same number, or for a transposed view; use operations that follow the axes.",
    )
    yield close(
        attempt(x[:1], matrices[:1]),
        (x[0] @ matrices[0])[None, None],
        "and for one sequence and one matrix",
        "For one sequence and one matrix the result must be their product, with shape (1, 1, T, K).",
    )
