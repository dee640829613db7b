"""Checks of lesson 02. The oracle is `torch.nn.functional.scaled_dot_product_attention`."""

import torch
import torch.nn.functional as F
from torch import nn

from unmasked.criteria import NO_GRADIENT, close, differentiable, holds, shaped, tensor
from unmasked.exercise import exercise

# Every size differs from every other, so that a wrong axis can't hide.
B, Q, S, K = 2, 3, 5, 8
D, T = 6, 4
READY_MADE = ("scaled_dot_product_attention", "multi_head_attention_forward")


def without_gradient(function):
    """A function whose result is plain numbers, made a tensor again."""
    return lambda *args, **kwargs: torch.tensor(function(*args, **kwargs).tolist())


def weights_of(query, key, key_padding_mask=None):
    """The right weights, got out of PyTorch's attention: what it mixes from the rows of an identity matrix."""
    rows = torch.eye(key.shape[1]).expand(len(key), -1, -1)
    if key_padding_mask is None:
        return F.scaled_dot_product_attention(query, key, rows)
    visible = ~key_padding_mask[:, None, :]
    return F.scaled_dot_product_attention(query, key, rows, attn_mask=visible).masked_fill(~visible, 0.0)


def _scores(query, key):
    return query @ key.mT / key.shape[-1] ** 0.5


def _by_hand(query, key, key_padding_mask=None):
    """The weights without PyTorch's attention, which the exercises forbid: for wrong implementations and stand-ins."""
    hidden = torch.zeros(key.shape[:2], dtype=torch.bool) if key_padding_mask is None else key_padding_mask
    hidden = hidden[:, None, :]
    return _scores(query, key).masked_fill(hidden, -1e9).softmax(-1).masked_fill(hidden, 0.0)


# --- 2.1 similarity_scores -------------------------------------------------------------------------------------------


def _scores_in_place(query, key):
    query *= key.shape[-1] ** 0
    query += 1
    return (query - 1) @ key.mT


@exercise(
    points=1,
    mistakes={
        "Your rows are keys and your columns are queries; it is the other way round.": lambda q, k: k @ q.mT,
        "You multiply the queries by keys that are not transposed: rows of queries meet columns of keys.": (
            lambda q, k: q @ k
        ),
        "You multiply numbers that stand in the same place; compare every query with every key.": lambda q, k: q * k,
        "You transpose every axis of the keys, the batch too; swap only the last two.": (
            lambda q, k: q @ k.permute(2, 1, 0)
        ),
        "You reshape the keys where they must be transposed: the numbers end up in the wrong places.": (
            lambda q, k: q @ k.reshape(len(k), k.shape[2], k.shape[1])
        ),
        "You average the products over the width; a dot product is their sum.": (
            lambda q, k: (q[:, :, None] * k[:, None]).mean(-1)
        ),
        "You divide by the lengths of the vectors (cosine similarity); the plain dot product is asked for.": (
            lambda q, k: F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT
        ),
        "You scale the scores already; that is the next exercise.": lambda q, k: q @ k.mT / k.shape[-1] ** 0.5,
        "You sum over the batch: every sequence must be compared with itself only.": (
            lambda q, k: torch.einsum("bqk,bsk->qs", q, k)
        ),
        "You measure distances, which are small for similar vectors; a dot product is large for them.": torch.cdist,
        "You change the queries in place: the caller's tensor is not the same afterwards.": _scores_in_place,
        NO_GRADIENT: without_gradient(lambda q, k: q @ k.mT),
    },
)
def similarity_scores(attempt):
    """Vaswani et al. 2017, section 3.2.1: the product of queries and keys."""
    query, key = tensor(B, Q, K), tensor(B, S, K)
    scores = attempt(query, key)
    yield shaped(scores, B=B, Q=Q, S=S, hint="One row for each query, one column for each key.")
    yield close(
        scores[1, 2, 4],
        query[1, 2] @ key[1, 4],
        "the score at [1, 2, 4] is the dot product of query 2 and key 4 of sequence 1",
        "The score at [b, q, s] must be the dot product of query q and key s of sequence b.",
    )
    yield close(
        scores,
        torch.einsum("bqk,bsk->bqs", query, key),
        "so is every other",
        "One score is right and others are not: are rows queries and columns keys, for every sequence?",
    )
    strided = tensor(B, K, S).mT
    yield close(
        attempt(query[:1], strided[:1]),
        torch.einsum("bqk,bsk->bqs", query[:1], strided[:1]),
        "it works for a batch of one, and for keys that are not contiguous in memory",
        "It fails for a batch of one, or for keys that are a transposed view; use operations that follow the axes.",
    )
    yield differentiable(attempt, query, key, arguments=2)


# --- 2.2 attention_weights -------------------------------------------------------------------------------------------


def _overflowing(query, key):
    powers = _scores(query, key).exp()
    return powers / powers.sum(-1, keepdim=True)


def _divided_in_place(query, key):
    scores = _scores(query, key)
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    powers /= powers.sum(-1, keepdim=True)
    return powers


@exercise(
    points=2,
    by_hand=READY_MADE,
    uses=("similarity_scores",),
    mistakes={
        "Your scores are not divided by the square root of d_k, the width of a query.": (
            lambda q, k: (q @ k.mT).softmax(-1)
        ),
        "You divide the scores by d_k; it should be the square root of d_k.": (
            lambda q, k: (q @ k.mT / k.shape[-1]).softmax(-1)
        ),
        "You multiply by the square root of d_k where you should divide.": (
            lambda q, k: (q @ k.mT * k.shape[-1] ** 0.5).softmax(-1)
        ),
        "You divide by the square root of the number of keys; it should be the width of a query, d_k.": (
            lambda q, k: (q @ k.mT / k.shape[-2] ** 0.5).softmax(-1)
        ),
        "Your softmax runs over the queries; each query shares its attention among the keys, the last axis.": (
            lambda q, k: _scores(q, k).softmax(-2)
        ),
        "Your softmax runs over the batch; each query shares its attention among the keys, the last axis.": (
            lambda q, k: _scores(q, k).softmax(0)
        ),
        "You scale after the softmax, so the weights no longer sum to 1; scale the scores before it.": (
            lambda q, k: (q @ k.mT).softmax(-1) / k.shape[-1] ** 0.5
        ),
        "These are the scaled scores: the softmax is missing.": _scores,
        "You use a sigmoid, which judges each key alone; a softmax lets the keys compete.": (
            lambda q, k: _scores(q, k).sigmoid()
        ),
        "You divide the scores by their sum; a softmax takes exponentials first, so that all weights are positive.": (
            lambda q, k: _scores(q, k) / _scores(q, k).sum(-1, keepdim=True)
        ),
        "You give all the weight to the most similar key; the softmax shares it out.": (
            lambda q, k: F.one_hot(_scores(q, k).argmax(-1), k.shape[1]).float()
        ),
        "Every key gets the same weight: the scores are not used.": (
            lambda q, k: torch.full((len(q), q.shape[1], k.shape[1]), 1 / k.shape[1])
        ),
        "Your exponentials overflow for large scores; torch's softmax subtracts the largest score first.": _overflowing,
        "`torch.sqrt` takes a tensor, and a width is an ordinary number: `** 0.5` takes its root.": (
            lambda q, k: (q @ k.mT / torch.sqrt(k.shape[-1])).softmax(-1)
        ),
        "You divide the exponentials in place (`/=`), and their gradient needs them as they were: divide with `/`.": (
            _divided_in_place
        ),
        NO_GRADIENT: without_gradient(_by_hand),
    },
)
def attention_weights(attempt):
    """Vaswani et al. 2017, equation 1, without the values."""
    query, key = tensor(B, Q, K), tensor(B, S, K)
    weights = attempt(query, key)
    yield shaped(weights, B=B, Q=Q, S=S, hint="One row for each query, one column for each key.")
    yield holds(
        weights.min() >= 0,
        "no weight is negative",
        "Some weights are negative: a softmax makes every score positive.",
        received=weights,
    )
    yield holds(
        (weights.sum(-1) - 1).abs().max() < 1e-4,
        "the weights of each query sum to 1",
        "The weights of a query do not sum to 1 over the keys: along which axis does your softmax run?",
        received=weights.sum(-1),
    )
    yield close(
        weights,
        weights_of(query, key),
        "they are the softmax of the scores divided by √d_k",
        "The weights of each query sum to 1, but they are not the softmax of q·k / √d_k.",
        earns=1,
    )
    huge = attempt(query * 1000, key)
    yield close(
        huge,
        weights_of(query * 1000, key),
        "scores in the thousands do no harm",
        "The weights are wrong where scores are in the thousands.",
    )
    yield differentiable(attempt, query, key, arguments=2)


# --- 2.3 weighted_average --------------------------------------------------------------------------------------------


def _average_in_place(weights, value):
    weights /= weights.sum(-1, keepdim=True) + 1e-3
    return weights @ value


@exercise(
    points=1,
    mistakes={
        "You transpose the weights: their columns already stand for the rows of the values.": lambda w, v: w.mT @ v,
        "You multiply in the other order: each row of weights must meet the columns of the values.": lambda w, v: v @ w,
        "You transpose the values: their rows already stand for the keys.": lambda w, v: w @ v.mT,
        "You divide by the sum of the weights: it is 1 already, and 0 for a query that may see nothing.": (
            lambda w, v: w / w.sum(-1, keepdim=True) @ v
        ),
        "You divide by the number of keys although the weights sum to 1 already.": lambda w, v: w @ v / v.shape[1],
        "You take the value of the heaviest key only; every value counts, by its weight.": (
            lambda w, v: torch.stack([v[b, row] for b, row in enumerate(w.argmax(-1))])
        ),
        "The weights are not used: this is the plain average of the values.": (
            lambda w, v: v.mean(1, keepdim=True).expand(-1, w.shape[1], -1)
        ),
        "The weights are not used: this is the plain sum of the values.": (
            lambda w, v: v.sum(1, keepdim=True).expand(-1, w.shape[1], -1)
        ),
        "You multiply values and weights but don't add up over the keys.": (lambda w, v: w[..., None] * v[:, None]),
        "You add up over the width of the values; add up over the keys.": (
            lambda w, v: (w[..., None] * v[:, None]).sum(-1)
        ),
        "You mix the sequences of the batch: each one averages its own values only.": (
            lambda w, v: torch.einsum("bqs,csk->bqk", w, v)
        ),
        "You apply a softmax again; these weights sum to 1 already.": lambda w, v: w.softmax(-1) @ v,
        "You change the weights in place: the caller's tensor is not the same afterwards.": _average_in_place,
        "`*` multiplies numbers that stand in the same place; `@` multiplies matrices.": lambda w, v: w * v,
        NO_GRADIENT: without_gradient(lambda w, v: w @ v),
    },
)
def weighted_average(attempt):
    """Vaswani et al. 2017, equation 1: the product with the values."""
    weights, value = tensor(B, Q, S).softmax(-1), tensor(B, S, K)
    average = attempt(weights, value)
    yield shaped(average, B=B, Q=Q, K=K, hint="One vector as wide as a value for each query.")
    identical = attempt(weights, torch.arange(1.0, K + 1).expand(B, S, K))
    yield holds(
        isinstance(identical, torch.Tensor)
        and identical.shape == average.shape
        and torch.allclose(identical, torch.arange(1.0, K + 1), atol=1e-4),
        "the average of identical values is that value",
        "If all values are the same vector, any average of them is that vector; yours is another one.",
    )
    yield close(
        average,
        torch.stack([sum(weights[:, :, s, None] * value[:, None, s] for s in range(S))]).squeeze(0),
        "each query gets the sum of the values, each times its weight",
        "The result must be, for each query, the sum over the keys of weight times value.",
    )
    yield close(
        attempt(torch.zeros(B, Q, S), value),
        torch.zeros(B, Q, K),
        "a query without any weight gets zeros",
        "A query whose weights are all 0 must get zeros.",
    )
    yield differentiable(attempt, weights, value, arguments=2)


# --- 2.4 masked_attention_weights ------------------------------------------------------------------------------------


def _filled(fill, after=False):
    """Masked weights with another number in the hidden places of the scores."""

    def masked_attention_weights(query, key, key_padding_mask=None):
        scores = _scores(query, key)
        if key_padding_mask is None:
            return scores.softmax(-1)
        return scores.masked_fill(key_padding_mask[:, None, :], fill).softmax(-1)

    return masked_attention_weights


def _masked_after(query, key, key_padding_mask=None):
    weights = _scores(query, key).softmax(-1)
    return weights if key_padding_mask is None else weights.masked_fill(key_padding_mask[:, None, :], 0.0)


def _with_mask(change_mask):
    """The right weights, with another mask."""

    def masked_attention_weights(query, key, key_padding_mask=None):
        if key_padding_mask is not None:
            key_padding_mask = change_mask(key_padding_mask)
        return _by_hand(query, key, key_padding_mask)

    return masked_attention_weights


def _queries_hidden(query, key, key_padding_mask=None):
    scores = query @ key.mT / key.shape[-1] ** 0.5
    return scores.masked_fill(key_padding_mask[:, :, None], float("-inf")).softmax(-1)


def _mask_required(query, key, key_padding_mask=None):
    scores = query @ key.mT / key.shape[-1] ** 0.5
    hidden = key_padding_mask[:, None, :]
    return scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(-1).masked_fill(hidden, 0.0)


def _masked(weights, mask):
    return weights if mask is None else weights.masked_fill(mask[:, None, :], 0.0)


def _stretched(query, key, key_padding_mask=None):
    weights = _masked_after(query, key, key_padding_mask)
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


def _unaligned(query, key, key_padding_mask=None):
    scores = _scores(query, key)
    return scores.softmax(-1) if key_padding_mask is None else scores.masked_fill(key_padding_mask, -1e9).softmax(-1)


def _unscaled(query, key, key_padding_mask=None):
    return _by_hand(query * query.shape[-1] ** 0.5, key, key_padding_mask)


def _over_the_queries(fill):
    """The softmax over the wrong axis, with this number in the hidden places of the scores."""

    def masked_attention_weights(query, key, key_padding_mask=None):
        scores = _scores(query, key)
        if key_padding_mask is not None:
            scores = scores.masked_fill(key_padding_mask[:, None, :], fill)
        return _masked(scores.softmax(-2), key_padding_mask)

    return masked_attention_weights


def _mask_times_infinity(query, key, key_padding_mask=None):
    added = 0.0 if key_padding_mask is None else key_padding_mask[:, None, :] * float("-inf")
    return (_scores(query, key) + added).softmax(-1)


def _asked_for_truth(query, key, key_padding_mask=None):
    return _by_hand(query, key, key_padding_mask) if key_padding_mask else _scores(query, key).softmax(-1)


def _float_for_none(query, key, key_padding_mask=None):
    mask = torch.zeros(key.shape[:2]) if key_padding_mask is None else key_padding_mask
    return _by_hand(query, key, mask)


def _weights_in_place(query, key, key_padding_mask=None):
    weights = _filled(torch.finfo(query.dtype).min)(query, key, key_padding_mask)
    if key_padding_mask is not None:
        weights.masked_fill_(key_padding_mask[:, None, :], 0.0)
    return weights


@exercise(
    points=3,
    by_hand=READY_MADE,
    uses=("similarity_scores", "attention_weights"),
    mistakes={
        "It fails without a mask: `key_padding_mask=None` means that no key is hidden.": _mask_required,
        "The mask has no effect. (`masked_fill` changes nothing by itself: it returns a new tensor.)": (
            _with_mask(lambda mask: torch.zeros_like(mask))
        ),
        "Your mask is inverted: True marks padding, which must be hidden.": _with_mask(lambda mask: ~mask),
        "You hide keys after the softmax, so that the other weights no longer sum to 1; hide their scores before it.": (
            _masked_after
        ),
        "You set hidden scores to 0 (or nearly: 1e-9), an ordinary score; use one that the softmax turns into 0.": (
            _filled(0.0)
        ),
        "Your hidden scores are not low enough: hidden keys still get a little weight.": _filled(-10.0),
        "A query whose keys are all hidden gets NaN: 0 divided by 0, as in the softmax of a row of -inf.": (
            _filled(float("-inf"))
        ),
        "A query whose keys are all hidden shares its weight among them; hidden keys get exactly 0, always.": (
            _filled(torch.finfo(torch.float32).min)
        ),
        "Your scores are not divided by the square root of d_k.": _unscaled,
        "Your mask (B, S) lacks the axis of the queries: it must line up with scores of shape (B, Q, S).": _unaligned,
        "You hide weights after a softmax that counted the padding, and stretch the rest to a sum of 1: a loud "
        "padding vector still drowns the others.": _stretched,
        "Your hidden scores are not low enough: where the visible ones are very low too, padding takes their weight.": (
            lambda q, k, mask=None: _masked(_filled(-10.0)(q, k, mask), mask)
        ),
        "You hide rows, which are queries; the mask is about keys, which are columns.": _queries_hidden,
        "You hide the same keys in every sequence; row b of the mask belongs to sequence b.": (
            _with_mask(lambda mask: mask[:1].expand_as(mask))
        ),
        "All weights are NaN, which is what 0 · (-inf) gives where a mask is multiplied by -inf, and the dot product "
        "of a query with a key of -inf; put -inf into the scores alone, with `masked_fill`.": _mask_times_infinity,
        "Your softmax runs over the queries; each query shares its attention among the keys, the last axis.": (
            _over_the_queries(torch.finfo(torch.float32).min)
        ),
        "Your softmax runs over the queries, where a hidden key is a whole column of -inf, and becomes NaN; let it run "
        "over the keys, the last axis.": lambda q, k, mask=None: (
            _scores(q, k).masked_fill(torch.zeros(len(k), 1, 1).bool() if mask is None else mask[:, None], -torch.inf)
        ).softmax(-2),
        "`if`, `not` and `and` want a single True or False, and a mask has many: ask `if key_padding_mask is None`.": (
            _asked_for_truth
        ),
        "What you take for a missing mask holds floats, and a mask holds True and False: `dtype=torch.bool`.": (
            _float_for_none
        ),
        "You change weights in place after the softmax, and its gradient needs them as they were: `masked_fill` "
        "(without `_`) and `torch.where` make new ones.": _weights_in_place,
        NO_GRADIENT: without_gradient(_by_hand),
    },
)
def masked_attention_weights(attempt):
    """Vaswani et al. 2017, section 3.2.3: hidden positions get a score of -inf."""
    query, key = tensor(B, Q, K), tensor(B, S, K)
    # One hidden key in the middle, so that cutting off the end is not enough; another number of them in each sequence.
    mask = torch.tensor([[False, True, False, False, True], [False, False, False, False, True]])
    weights = attempt(query, key, mask)
    yield shaped(weights, B=B, Q=Q, S=S)
    hidden = weights[mask[:, None, :].expand_as(weights)]
    yield holds(
        hidden.abs().max() < 1e-3, "hidden keys get no weight", "Some hidden keys get weight.", received=weights[0]
    )
    yield holds(
        (hidden == 0).all(),
        "exactly none",
        "Hidden keys get a little weight; it must be exactly 0, or padding leaks into every result.",
        received=weights[0],
    )
    yield holds(
        (weights.sum(-1) - 1).abs().max() < 1e-4,
        "the weights of the visible keys sum to 1",
        "The weights of the visible keys do not sum to 1: hide the scores before the softmax.",
        received=weights.sum(-1),
    )
    yield close(
        weights,
        weights_of(query, key, mask),
        "they are the attention weights among the visible keys",
        "Hidden keys get nothing and the rest sums to 1, but these are not softmax(q·k / √d_k) of the visible keys.",
        earns=2,
    )
    loud = torch.where(mask[..., None], key * 1000, key)
    yield close(
        attempt(query, loud, mask),
        weights_of(query, key, mask),
        "what stands in the padding has no influence at all",
        "With huge numbers in the padding, the weights of the visible keys change.",
    )
    far, below = -100 * query.abs(), key.abs()
    yield close(
        attempt(far, below, mask),
        weights_of(far, below, mask),
        "scores far below zero do no harm",
        "Where all visible scores are far below zero, the weights are wrong: are hidden ones low enough?",
    )
    everything = attempt(query, key)
    yield close(
        everything,
        weights_of(query, key),
        "without a mask no key is hidden",
        "Without a mask, the weights must be the ordinary ones.",
    )
    all_hidden = torch.stack([mask[0], torch.ones(S, dtype=torch.bool)])
    weights = attempt(query, key, all_hidden)
    yield close(
        weights,
        weights_of(query, key, all_hidden),
        "where all keys are hidden every weight is 0, not NaN",
        "Where all keys of a sequence are hidden, all its weights must be 0.",
    )
    yield differentiable(attempt, query, key, mask, arguments=2)


# --- 2.5 SelfAttention -----------------------------------------------------------------------------------------------


def _attention(query, key, value, key_padding_mask=None):
    return _by_hand(query, key, key_padding_mask) @ value


def _variation(forward, bias=False):
    """A SelfAttention with another `forward`."""

    class SelfAttention(nn.Module):
        def __init__(self, d_model):
            super().__init__()
            self.query = nn.Linear(d_model, d_model, bias=bias)
            self.key = nn.Linear(d_model, d_model, bias=bias)
            self.value = nn.Linear(d_model, d_model, bias=bias)

    SelfAttention.forward = forward
    return SelfAttention


class _UnregisteredMatrices(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.layers = [nn.Linear(d_model, d_model, bias=False) for _ in range(3)]

    def forward(self, x, key_padding_mask=None):
        query, key, value = (layer(x) for layer in self.layers)
        return _attention(query, key, value, key_padding_mask)


class _WithoutInit(nn.Module):
    def __init__(self, d_model):
        self.query = nn.Linear(d_model, d_model, bias=False)


class _Shared(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.query = self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, key_padding_mask=None):
        return _attention(self.query(x), self.key(x), self.value(x), key_padding_mask)


def _nan_where_hidden(self, x, mask=None):
    return _filled(float("-inf"))(self.query(x), self.key(x), mask) @ self.value(x)


def _right(self, x, mask=None):
    return _attention(self.query(x), self.key(x), self.value(x), mask)


def _rows(x, mask):
    """Which rows of (B, T, D) are padding, (B, T, 1)."""
    return torch.zeros(*x.shape[:2], 1, dtype=torch.bool) if mask is None else mask[..., None]


class _WithOutput(_variation(_right)):
    def __init__(self, d_model):
        super().__init__(d_model)
        self.output = nn.Linear(d_model, d_model, bias=False)


@exercise(
    points=3,
    by_hand=READY_MADE,
    uses=("similarity_scores", "attention_weights", "weighted_average", "masked_attention_weights"),
    mistakes={
        "Your `__init__` does not call `super().__init__()` first, and without it a module can't hold parameters.": (
            _WithoutInit
        ),
        "PyTorch finds no matrices in your module: assign each `nn.Linear` to an attribute of `self` in `__init__`, "
        "not in a plain list and not in `forward`.": _UnregisteredMatrices,
        "Query and key are one and the same matrix; each needs an `nn.Linear` of its own.": _Shared,
        "A query whose tokens are all hidden gets NaN; use `masked_attention_weights`.": _variation(_nan_where_hidden),
        "Your linear maps have a bias; here they are matrices only: `bias=False`.": _variation(_right, bias=True),
        "You average `x` itself; the values are `self.value(x)`.": _variation(
            lambda self, x, mask=None: _attention(self.query(x), self.key(x), x, mask)
        ),
        "You use the keys as values too; the values are `self.value(x)`.": _variation(
            lambda self, x, mask=None: _attention(self.query(x), self.key(x), self.key(x), mask)
        ),
        "You use the queries as keys too; the keys are `self.key(x)`.": _variation(
            lambda self, x, mask=None: _attention(self.query(x), self.query(x), self.value(x), mask)
        ),
        "Keys and values are swapped: scores come from the keys, and the values are averaged.": _variation(
            lambda self, x, mask=None: _attention(self.query(x), self.value(x), self.key(x), mask)
        ),
        "Queries and keys are swapped: row t of the scores must belong to the query of token t.": _variation(
            lambda self, x, mask=None: _attention(self.key(x), self.query(x), self.value(x), mask)
        ),
        "The three matrices are not used: this is attention without weights.": _variation(
            lambda self, x, mask=None: _attention(x, x, x, mask)
        ),
        "The scores are not divided by the square root of d_k.": _variation(
            lambda self, x, mask=None: _attention(self.query(x) * x.shape[-1] ** 0.5, self.key(x), self.value(x), mask)
        ),
        "The mask is not handed on: padding takes part in the result.": _variation(
            lambda self, x, mask=None: _attention(self.query(x), self.key(x), self.value(x))
        ),
        "You return the attention weights; their product with the values is missing.": _variation(
            lambda self, x, mask=None: _by_hand(self.query(x), self.key(x), mask)
        ),
        "You add `x` to the result; that residual path comes in lesson 05, outside of attention.": _variation(
            lambda self, x, mask=None: x + _right(self, x, mask)
        ),
        "You set the results of padding to 0; a mask hides keys, and a query that is padding keeps what it gets.": (
            _variation(lambda self, x, mask=None: _right(self, x, mask).masked_fill(_rows(x, mask), 0.0))
        ),
        "You have a fourth map that nothing uses; query, key and value are all that is needed.": _WithOutput,
    },
)
def SelfAttention(attempt):
    """Vaswani et al. 2017, section 3.2, with one head."""
    model = attempt.build(D)
    matrices = {f"{name}.weight": tensor(D, D) for name in ("query", "key", "value")}
    unfit = model.load(matrices)
    names = sorted(model.parameters())
    yield holds(
        not unfit,
        "its (D, D) matrices are `query.weight`, `key.weight` and `value.weight`",
        f"Its parameters are {', '.join(names) or 'none'}; there must be three "
        "`nn.Linear(d_model, d_model, bias=False)`, called query, key and value.",
    )
    yield holds(
        not any(f"{name}.bias" in names for name in ("query", "key", "value")),
        "its linear maps have no bias",
        "A linear map has a bias; with `bias=False` it is a matrix and nothing else.",
    )
    x = tensor(B, T, D)
    query, key, value = (x @ matrix.mT for matrix in matrices.values())
    output = model(x)
    yield shaped(output, B=B, T=T, D=D)
    yield close(
        output,
        F.scaled_dot_product_attention(query, key, value),
        "its output is PyTorch's attention with the same matrices",
        "With known matrices, the output differs from softmax(q·k / √d_k) · v, where q, k, v are x times each matrix.",
        earns=1,
    )
    mask = torch.tensor([[False, False, True, False], [False, False, False, True]])
    yield close(
        model(x, mask),
        F.scaled_dot_product_attention(query, key, value, attn_mask=~mask[:, None, :]),
        "with a mask, padding takes no part in it",
        "With a mask, the output is not the average over the visible tokens.",
        earns=1,
    )
    yield close(
        model(x, torch.tensor([[True] * T, [False] * T]))[:1],
        torch.zeros(1, T, D),
        "where all tokens are hidden the output is 0, not NaN",
        "Where all tokens of a sequence are hidden, the output must be 0.",
    )
    gradients = model.gradients(x)["parameters"]
    unmoved = [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
    unused = [name for name in unmoved if name not in matrices]
    yield holds(
        not unused,
        "it has no layer that nothing uses",
        f"Nothing uses {', '.join(unused)}; query, key and value are all the maps that are needed.",
    )
    yield holds(
        not unmoved,
        "gradients reach all three matrices",
        f"No gradient reaches {', '.join(unmoved)}: is a tensor detached, or turned into numbers, on the way?",
    )
