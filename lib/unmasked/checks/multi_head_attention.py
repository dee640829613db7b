"""Checks of lesson 03. The oracle is `torch.nn.functional.multi_head_attention_forward`."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from unmasked.attempt import AttemptFailed
from unmasked.criteria import NO_GRADIENT, close, differentiable, holds, shaped, tensor
from unmasked.exercise import exercise

# Every size differs from every other, so that a wrong axis can't hide.
B, T, D, H, K = 2, 5, 12, 3, 4
# Where B = H = T, a mask spread over the wrong axis raises no error: here it must show in the numbers.
EQUAL = 4
EXTREMES = {1: "one head, as wide as the model, is no special case", D: "nor are D heads, one column wide each"}
STRIDED = (
    "it works for a tensor that is not contiguous in memory",
    "It goes wrong for a transposed tensor: use operations that follow the axes, not the order in memory.",
)
READY_MADE = ("multi_head_attention_forward", "_native_multi_head_attention")


def attention_of(query, key, value, heads, key_padding_mask=None, output=None, bias=None):
    """PyTorch's multi-head attention of projections that are made already; `output` and `bias` project its result."""
    width = query.shape[-1]
    same = torch.eye(width)
    result, _ = F.multi_head_attention_forward(
        *(x.transpose(0, 1) for x in (query, key, value)),
        width,
        heads,
        in_proj_weight=None,
        in_proj_bias=None,
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=same if output is None else output,
        out_proj_bias=bias,
        training=False,
        key_padding_mask=key_padding_mask,
        need_weights=False,
        use_separate_proj_weight=True,
        q_proj_weight=same,
        k_proj_weight=same,
        v_proj_weight=same,
    )
    return result.transpose(0, 1)


def _equal(received, expected, sentence, otherwise, what="the result", earns=0):
    """`close`, or what is wrong with the shape: one line for an edge case."""
    letters = "BHTK" if expected.dim() == 4 else "BTD"
    fits = shaped(received, what=what, **dict(zip(letters, expected.shape)))
    return close(received, expected, sentence, otherwise, earns) if fits.holds else fits


# What the wrong implementations are made of: each of them changes one thing.


def without_gradient(function):
    """A function whose result is plain numbers, made a tensor again."""
    return lambda *args, **kwargs: torch.tensor(function(*args, **kwargs).tolist())


def _split(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _interleaved(x, heads):
    return x.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2)


def _recut(x, heads):
    return x.reshape(x.shape[0], heads, x.shape[1], -1)


def _merge(x):
    return x.transpose(1, 2).flatten(2)


def _pasted(x):
    return x.reshape(x.shape[0], x.shape[2], -1)


def _scaled(query, key):
    return query @ key.mT / key.shape[-1] ** 0.5


def _hidden(scores, mask):
    """The softmax of the scores, with the keys hidden where the mask, any shape, is True."""
    return scores.masked_fill(mask, torch.finfo(scores.dtype).min).softmax(-1)


def _weights(scores, mask):
    return scores.softmax(-1) if mask is None else _hidden(scores, mask[:, None, None, :])


def _stretched(weights):
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


def _heads(split=_split, merge=_merge, scores=_scaled, weights=_weights):
    """Attention with several heads, with one of its steps replaced."""

    def attend(query, key, value, heads, key_padding_mask=None):
        query, key, value = (split(x, heads) for x in (query, key, value))
        return merge(weights(scores(query, key), key_padding_mask) @ value)

    return attend


def _masked(hide):
    """Attention with several heads that goes wrong only where there is a mask."""
    return _heads(weights=lambda scores, mask: scores.softmax(-1) if mask is None else hide(scores, mask))


# The ways to go wrong with a mask, for the two exercises that take one.
MASKS = {
    "The mask has no effect: padding takes part. Is it handed on? (`masked_fill` returns a new tensor.)": (
        lambda s, mask: s.softmax(-1)
    ),
    "Your mask is inverted: `key_padding_mask` is True where a token is padding, and PyTorch's `attn_mask` "
    "is True where a key may be seen.": (lambda s, mask: _hidden(s, ~mask[:, None, None, :])),
    "You hide the queries that are padding; hide the keys, the last axis of the scores.": (
        lambda s, mask: _hidden(s, mask[:, None, :, None])
    ),
    "Your mask lands on the wrong axis: (B, 1, T) against scores (B, H, T, T) hides keys by the number of the head, "
    "not by the sequence. It needs an axis more.": lambda s, mask: _hidden(s, mask[:, None, :]),
    "Your mask lands on the wrong axis: (B, T) against scores (B, H, T, T) hides keys by the number of the query, "
    "not by the sequence. Give it two axes of size 1.": lambda s, mask: _hidden(s, mask),
    "You hide keys after the softmax, so the other weights no longer sum to 1; hide their scores before it.": (
        lambda s, mask: s.softmax(-1).masked_fill(mask[:, None, None, :], 0.0)
    ),
    "You hide weights after a softmax that counted the padding, and stretch the rest to a sum of 1: a loud padding "
    "vector still drowns the others.": lambda s, mask: _stretched(
        s.softmax(-1).masked_fill(mask[:, None, None, :], 0.0)
    ),
    "You set hidden scores to 0 (or nearly, as 1e-9 is), an ordinary score; use one that the softmax turns into 0.": (
        lambda s, mask: s.masked_fill(mask[:, None, None, :], 0.0).softmax(-1)
    ),
    "Your hidden scores are not low enough: padding still gets a little weight.": (
        lambda s, mask: s.masked_fill(mask[:, None, None, :], -10.0).softmax(-1)
    ),
    "You add the mask to the scores as the number 1; a boolean mask must stay boolean, or become -inf.": (
        lambda s, mask: (s + mask[:, None, None, :].float()).softmax(-1)
    ),
    "A sequence of nothing but padding becomes NaN: the softmax of a row of -inf is 0 divided by 0.": (
        lambda s, mask: s.masked_fill(mask[:, None, None, :], float("-inf")).softmax(-1)
    ),
    "You set the results of padding to 0; a mask hides keys, and a query that is padding keeps what it gets.": (
        lambda s, mask: _hidden(s, mask[:, None, None, :]).masked_fill(mask[:, None, :, None], 0.0)
    ),
}
# The ways to go wrong without one.
NO_MASK = {
    "It fails without a mask: `key_padding_mask=None` means that no token is padding.": (
        _heads(weights=lambda s, mask: _hidden(s, mask[:, None, None, :]))
    ),
    "It fails without a mask, since None can't be inverted: `key_padding_mask=None` means that no token is padding.": (
        _heads(weights=lambda s, mask: _hidden(s, ~(~mask)[:, None, None, :]))
    ),
    "It fails without a mask, since None has no axes: `key_padding_mask=None` means that no token is padding.": (
        _heads(weights=lambda s, mask: _hidden(s, mask.unsqueeze(1).unsqueeze(2)))
    ),
    "`if`, `not` and `and` want a single True or False, and a mask has many: ask `if key_padding_mask is None`.": (
        _heads(weights=lambda s, mask: _weights(s, mask if mask else None))
    ),
}


def _padded():
    """A mask (B, T) for EQUAL sequences of EQUAL tokens: other keys hidden in each, not only at the end."""
    return torch.tensor([[0, 0, 1, 1], [1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]], dtype=torch.bool)


def _loud(x):
    """The same vectors, with larger numbers in the padding: what is hidden must not matter, whatever it is."""
    return torch.where(_padded()[..., None], 10 * x, x)


# --- 3.1 split_heads -------------------------------------------------------------------------------------------------


def _numbered(*shape):
    """The numbers 0, 1, 2, ... in reading order: a number that moves can be followed."""
    return torch.arange(float(torch.Size(shape).numel())).view(shape)


def _by_columns(x, heads):
    """The heads, cut out of the columns one by one."""
    width = x.shape[-1] // heads
    return torch.stack([x[:, :, h * width : (h + 1) * width] for h in range(heads)], dim=1)


def _tokens_stay_whole(x, split):
    """Whether the numbers of each token, over all heads, are those it had: (B, T, D) against (B, H, T, K)."""
    return torch.equal(x.sort(-1).values, torch.cat(split.unbind(1), dim=-1).sort(-1).values)


@exercise(
    points=2,
    mistakes={
        "The shape is right and the numbers are not: `view` or `reshape` alone puts several tokens into a row. "
        "Cut the last axis first, to (B, T, H, K), then swap T and H.": _recut,
        "You have cut the columns, but the axes stand as B, T, H, K; swap T and H.": (
            lambda x, heads: x.unflatten(-1, (heads, -1))
        ),
        "Your head h takes every H-th column (h, h + H, ...); a head's K columns stand side by side.": _interleaved,
        "You take `heads` for the width of a head; it is their number, and a head is D / H columns wide.": (
            lambda x, heads: x.unflatten(-1, (-1, heads)).transpose(1, 2)
        ),
        "The heads stand before the batch: the order of the axes is B, H, T, K.": (
            lambda x, heads: torch.stack(x.chunk(heads, dim=-1))
        ),
        "You swap the last two axes, H and K, where T and H must change places.": (
            lambda x, heads: x.unflatten(-1, (heads, -1)).mT
        ),
        "Every head comes out with its tokens as columns: the last two axes must be T, K.": (
            lambda x, heads: _split(x, heads).mT
        ),
        "You have merged batch and heads into one axis; keep the four axes B, H, T, K.": (
            lambda x, heads: _split(x, heads).flatten(0, 1)
        ),
        "You cut the tokens into groups; cut the columns, so that every head sees all tokens.": (
            lambda x, heads: torch.stack(x.chunk(heads, dim=1), dim=1)
        ),
        "You return the heads one by one; stack them into one tensor, along a new axis 1.": (
            lambda x, heads: x.chunk(heads, dim=-1)
        ),
        "You reverse the order of the heads: head 0 takes the first K columns.": (
            lambda x, heads: _split(x, heads).flip(1)
        ),
        "`/` gives a float, and `view` takes whole numbers: divide with `//`.": (
            lambda x, heads: x.view(x.shape[0], x.shape[1], heads, x.shape[2] / heads)
        ),
        "`/` gives a float, and `reshape` takes whole numbers: divide with `//`.": (
            lambda x, heads: x.reshape(x.shape[0], x.shape[1], heads, x.shape[2] / heads)
        ),
        NO_GRADIENT: without_gradient(_split),
    },
)
def split_heads(attempt):
    """Vaswani et al. 2017, section 3.2.2: each head has its own columns."""
    x = _numbered(B, T, D)
    split = attempt(x, H)
    yield shaped(split, B=B, H=H, T=T, K=K, hint="K is D / H; the heads come second, the tokens third.")
    yield holds(
        _tokens_stay_whole(x, split),
        "the numbers of a token stay with that token",
        "A row of a head holds numbers of several tokens: the tokens must stay rows, only the columns are cut.",
        expected=_by_columns(x, H),
        received=split,
    )
    yield close(
        split,
        _by_columns(x, H),
        "head h has the columns from h·K to (h+1)·K",
        "Each token's numbers are there, but in the wrong heads: the first K columns are head 0's, and so on.",
        earns=1,
    )
    for heads, sentence in EXTREMES.items():
        one = x[:1]
        otherwise = f"It goes wrong for a batch of one and heads={heads}."
        yield _equal(attempt(one, heads), _by_columns(one, heads), sentence, otherwise, f"the result for heads={heads}")
    strided = _numbered(B, D, T).mT
    yield _equal(attempt(strided, H), _by_columns(strided, H), *STRIDED)
    yield differentiable(attempt, x, H, arguments=1)


# --- 3.2 merge_heads -------------------------------------------------------------------------------------------------


def _side_by_side(x):
    return torch.cat([x[:, h] for h in range(x.shape[1])], dim=-1)


@exercise(
    points=2,
    mistakes={
        "The shape is right and the numbers are not: you flatten without swapping T and H back first, which puts "
        "several tokens into a row.": _pasted,
        "Your columns alternate between the heads; all K columns of head 0 come first, then those of head 1.": (
            lambda x: x.permute(0, 2, 3, 1).flatten(2)
        ),
        "You add the heads up; they stand side by side, and no number is lost.": lambda x: x.sum(1),
        "You average the heads; they stand side by side, and no number is lost.": lambda x: x.mean(1),
        "T and H are swapped back, but the heads are still an axis of their own; join the last two.": (
            lambda x: x.transpose(1, 2)
        ),
        "You have put the heads below one another, as more tokens; they belong side by side, as columns.": (
            lambda x: x.flatten(1, 2)
        ),
        "You join the sequences of the batch: a loop over `x` runs over its first axis, which is the batch.": (
            lambda x: torch.cat(list(x), dim=-1)
        ),
        "You join too much: a sequence must stay T rows of D numbers.": lambda x: x.transpose(1, 2).flatten(1),
        "You swap T and K; it is T and H that `split_heads` has swapped.": (
            lambda x: x.transpose(2, 3).transpose(1, 2).flatten(2)
        ),
        "You return the heads one by one; join them along the last axis.": lambda x: list(x.unbind(1)),
        "After a transpose the numbers of a row no longer lie side by side in memory, as `view` needs them; `flatten` "
        "and `reshape` copy them where they must.": lambda x: x.transpose(1, 2).view(x.shape[0], x.shape[2], -1),
        NO_GRADIENT: without_gradient(_merge),
    },
)
def merge_heads(attempt):
    """Vaswani et al. 2017, section 3.2.2: the heads are concatenated."""
    x = _numbered(B, H, T, K)
    merged = attempt(x)
    yield shaped(merged, B=B, T=T, D=D, hint="D is H · K.")
    yield holds(
        _tokens_stay_whole(merged, x),
        "the numbers of a token stay with that token",
        "A row of the result holds numbers of several tokens: swap T and H back before you flatten.",
        expected=_side_by_side(x),
        received=merged,
    )
    yield close(
        merged,
        _side_by_side(x),
        "the heads stand side by side, head 0 first",
        "Each token's numbers are there, but in another order: head 0's K columns come first, then head 1's.",
        earns=1,
    )
    strided = _by_columns(_numbered(B, T, D).flip(-1), H).transpose(1, 2).contiguous().transpose(1, 2)  # as a split is
    yield _equal(attempt(strided), _side_by_side(strided), *STRIDED)
    for heads, sentence in EXTREMES.items():
        x = _numbered(1, heads, T, D // heads)
        otherwise = f"It goes wrong for a batch of one and {heads} head{'s' if heads > 1 else ''}."
        yield _equal(attempt(x), _side_by_side(x), sentence, otherwise)
    yield differentiable(attempt, x, arguments=1)


# --- 3.3 heads_in_a_loop ---------------------------------------------------------------------------------------------


def _whole_width_values(query, key, value, heads):
    weights = _scaled(_split(query, heads), _split(key, heads)).softmax(-1)
    return _merge(weights @ value[:, None])


def _in_slices(attend, width=lambda d, heads: d // heads):
    """Attention head by head: `attend(query, key, value, own)`, where `own` are the columns of a head."""

    def heads_in_a_loop(query, key, value, heads):
        k = width(query.shape[-1], heads)
        return torch.cat([attend(query, key, value, slice(h * k, (h + 1) * k)) for h in range(heads)], dim=-1)

    return heads_in_a_loop


def _without_changing(columns, inputs):
    """The inputs with other numbers in all columns but these."""
    changed = [tensor(*x.shape) for x in inputs]
    for new, old in zip(changed, inputs):
        new[..., columns] = old[..., columns]
    return changed


STEPS = {
    "Your scores are divided by √D, the width of the model; a head's queries are only K = D / H wide: divide by √K.": (
        _heads(scores=lambda q, k: q @ k.mT / (k.shape[1] * k.shape[-1]) ** 0.5)
    ),
    "Your scores are not divided by √K, the square root of the width of a head.": (
        _heads(scores=lambda q, k: q @ k.mT)
    ),
    "Your softmax runs over the queries; each query shares its attention among the keys, the last axis.": (
        _heads(weights=lambda scores, mask: scores.softmax(-2))
    ),
    "Your heads take every H-th column; a head's K columns stand side by side.": (
        _heads(split=_interleaved, merge=lambda x: x.permute(0, 2, 3, 1).flatten(2))
    ),
    "Your heads are cut with `view` or `reshape` alone, so that a row of a head holds several tokens.": (
        _heads(split=_recut)
    ),
    "Every head has the same weights, those of one head over the whole width: cut queries and keys too.": (
        _heads(split=lambda x, heads: x[:, None])
    ),
    "You use the queries as keys too.": _heads(scores=lambda q, k: _scaled(q, q)),
    "Queries and keys are swapped: row t of the scores must belong to the query of token t.": (
        lambda q, k, *others: _heads()(k, q, *others)
    ),
    "You use the keys as values too: what is averaged are the values.": lambda q, k, v, *others: _heads()(
        q, k, k, *others
    ),
    "Keys and values are swapped: scores come from the keys, and the values are averaged.": lambda q, k, v, *others: (
        _heads()(q, v, k, *others)
    ),
}
NARROW = {
    "You add the heads up; they stand side by side, as `merge_heads` puts them.": _heads(merge=lambda x: x.sum(1)),
    "You average the heads; they stand side by side, as `merge_heads` puts them.": _heads(merge=lambda x: x.mean(1)),
}


@exercise(
    points=2,
    by_hand=READY_MADE,
    uses=("split_heads", "merge_heads"),
    mistakes=STEPS
    | NARROW
    | {
        "Every turn of your loop takes the first K columns; head h takes those from h·K to (h+1)·K.": (
            _heads(split=lambda x, heads: _split(x, heads)[:, :1].expand(-1, heads, -1, -1))
        ),
        "Every head mixes the whole width of the values: cut them as well as queries and keys.": _whole_width_values,
        "You return the last head alone: each turn of the loop writes over the one before. Collect them, then join.": (
            _heads(merge=lambda x: x[:, -1])
        ),
        "You return from inside the loop, after the first head.": _heads(merge=lambda x: x[:, 0]),
        "You return the heads as a list; join them along the last axis.": _heads(merge=lambda x: list(x.unbind(1))),
        "You stack the heads, on an axis of their own; join them along the last axis, which makes it D wide again.": (
            _heads(merge=lambda x: torch.stack(list(x.unbind(1))))
        ),
        "You join the heads along the tokens; join them along the last axis.": _heads(merge=lambda x: x.flatten(1, 2)),
        "You cut the queries only; a head's keys, and its values, are the same columns of theirs.": (
            _in_slices(lambda q, k, v, own: _scaled(q[..., own], k).softmax(-1) @ v[..., own])
        ),
        "You cut rows, which are tokens; columns are the last axis: `query[..., start:end]`.": (
            _in_slices(lambda q, k, v, own: _scaled(q[:, own], k[:, own]).softmax(-1) @ v[:, own])
        ),
        "You multiply in the other order: each row of weights must meet the columns of the values.": (
            _in_slices(lambda q, k, v, own: v[..., own] @ _scaled(q[..., own], k[..., own]).softmax(-1))
        ),
        "You take `heads` for the width of a head; it is their number, and a head is D / H columns wide.": _in_slices(
            lambda q, k, v, own: _scaled(q[..., own], k[..., own]).softmax(-1) @ v[..., own], lambda d, heads: heads
        ),
        NO_GRADIENT: without_gradient(_heads()),
    },
)
def heads_in_a_loop(attempt):
    """Vaswani et al. 2017, section 3.2.2, head by head."""
    yield from _heads_are_right(attempt, earns=1)
    inputs = [tensor(B, D, T).mT[:1] for _ in range(3)]
    for heads, sentence in EXTREMES.items():
        otherwise = f"It goes wrong for a batch of one and heads={heads}."
        expected = attention_of(*inputs, heads)
        yield _equal(attempt(*inputs, heads), expected, sentence, otherwise, f"the result for heads={heads}")
    yield differentiable(attempt, *inputs, H, arguments=3)


def _heads_are_right(attempt, earns):
    """The criteria of attention with several heads, without a mask."""
    inputs = tensor(B, T, D), tensor(B, T, D), tensor(B, T, D)
    output = attempt(*inputs, H)
    yield shaped(output, B=B, T=T, D=D, hint="H heads, each K = D / H wide, stand side by side.")
    query, key, value = inputs
    ones = attempt(query, key, torch.ones_like(value), H)
    yield holds(
        isinstance(ones, torch.Tensor) and torch.allclose(ones, torch.ones(B, T, D), atol=1e-4),
        "the average of values that are all 1 is 1",
        "Where every value is 1, so must be every average: either a query's weights do not sum to 1 over the keys, or "
        "it is not the values that are averaged.",
        received=ones,
    )
    own = slice(K, 2 * K)
    other = attempt(*_without_changing(own, inputs), H)
    yield holds(
        isinstance(other, torch.Tensor)
        and other.shape == output.shape
        and torch.allclose(other[..., own], output[..., own], atol=1e-4),
        "a head looks at its own columns only",
        "Columns K to 2K of the result are head 1's, and yet they change when other heads' columns do: cut query, key "
        "and value into columns h·K to (h+1)·K before the attention.",
    )
    yield close(
        output,
        attention_of(*inputs, H),
        "each head is softmax(q·k / √K) · v in its own columns",
        "Each head keeps to its own columns, but the numbers in them are not softmax(q·k / √K) · v.",
        earns=earns,
    )


# --- 3.4 heads_at_once -----------------------------------------------------------------------------------------------


@exercise(
    points=3,
    by_hand=READY_MADE,
    uses=("split_heads", "merge_heads"),
    mistakes=STEPS
    | NARROW
    | {
        "Your softmax runs over the heads; each query shares its attention among the keys, the last axis.": (
            _heads(weights=lambda scores, mask: scores.softmax(1))
        ),
        "Each token's heads attend to each other: T and H are not swapped, so the scores compare heads, not tokens.": (
            _heads(split=lambda x, heads: x.unflatten(-1, (heads, -1)), merge=lambda x: x.flatten(2))
        ),
        "The heads are right, but you merge them without swapping T and H back first.": _heads(merge=_pasted),
        NO_GRADIENT: without_gradient(_heads()),
    }
    | NO_MASK
    | {sentence: _masked(hide) for sentence, hide in MASKS.items()},
)
def heads_at_once(attempt):
    """Vaswani et al. 2017, section 3.2.2, as batched matrix products."""
    yield from _heads_are_right(attempt, earns=1)
    inputs = [_loud(tensor(EQUAL, EQUAL, D)) for _ in range(3)]

    def expected(mask):
        return attention_of(*inputs, EQUAL, mask)

    yield from _mask_is_right(lambda mask: attempt(*inputs, EQUAL, mask), expected, earns=1)
    inputs = [tensor(B, D, T).mT for _ in range(3)]
    mask = torch.tensor([[False, True, False, False, True], [False, False, False, True, False]])
    yield _equal(attempt(*inputs, H, key_padding_mask=mask), attention_of(*inputs, H, mask), *STRIDED)
    yield differentiable(attempt, *inputs, H, mask, arguments=3)


def _mask_is_right(masked, expected, earns):
    """The criteria of a mask; `masked` and `expected` map a mask or None to a result, (EQUAL, EQUAL, D)."""
    mask = _padded()
    output, plain, right = masked(mask), expected(None), expected(mask)
    yield holds(
        not _only_rows_of_padding_differ(output, plain, mask),
        "a mask hides keys, not queries",
        "You hide the queries that are padding; hide the keys, the last axis of the scores.",
    )
    yield _equal(
        output,
        right,
        "with a mask, padding takes no part in any average",
        "Without a mask all is well; with one it is not. Does it line up with scores of shape (B, H, T, T), so that "
        "it hides keys and nothing else, and does True in it mean what you take it for?",
        "the result with a mask",
        earns,
    )
    mask[0] = True
    output = masked(mask)
    finite = isinstance(output, torch.Tensor) and output.shape == right.shape and output.isfinite().all()
    yield holds(
        finite,
        "a sequence of nothing but padding gives no NaN",
        "Where a whole sequence is padding, the result must still be finite numbers.",
        received=output,
    )
    yield close(
        output[1:],
        right[1:],
        "nor does it change the others",
        "A sequence of nothing but padding changes the results of the other sequences.",
    )


def _only_rows_of_padding_differ(output, plain, mask):
    """Whether the mask has changed nothing but what the padding itself gets, be it NaN."""
    if not isinstance(output, torch.Tensor) or output.shape != plain.shape or output.dtype != plain.dtype:
        return False
    unchanged = torch.isclose(output, plain, atol=1e-4).all(-1)
    return bool(unchanged[~mask].all() and not unchanged[mask].any())


# --- 3.5 MultiHeadAttention ------------------------------------------------------------------------------------------


def _variation(attend=None, project="query key value", bias=True, output=True, divide=True, finish=None):
    """A MultiHeadAttention with one thing changed; `project` names the layers whose results are attended with."""
    attend = attend or _heads()

    class MultiHeadAttention(nn.Module):
        def __init__(self, d_model, heads):
            super().__init__()
            if divide and d_model % heads:
                raise ValueError
            self.heads = heads
            for name in ("query", "key", "value", "output") if output else ("query", "key", "value"):
                self.add_module(name, nn.Linear(d_model, d_model, bias=bias))

        def forward(self, x, key_padding_mask=None):
            projections = {**dict(self.named_children()), "x": nn.Identity()}
            mixed = attend(*(projections[name](x) for name in project.split()), self.heads, key_padding_mask)
            return finish(self, mixed, x) if finish else self.output(mixed)

    return MultiHeadAttention


class _Unregistered(_variation()):
    def __init__(self, d_model, heads):
        nn.Module.__init__(self)
        self.layers = [nn.Linear(d_model, d_model) for _ in range(4)]


class _WithoutInit(nn.Module):
    def __init__(self, d_model, heads):
        self.query = nn.Linear(d_model, d_model)


class _LayerForEachHead(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        for name in ("query", "key", "value", "output"):
            self.add_module(name, nn.Linear(d_model // heads, d_model // heads))


class _OneLayerForAll(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        self.query = self.key = self.value = nn.Linear(d_model, d_model)
        self.output = nn.Linear(d_model, d_model)


class _PaddingAtZero(_variation()):
    def forward(self, x, key_padding_mask=None):
        result = super().forward(x, key_padding_mask)
        return result if key_padding_mask is None else result.masked_fill(key_padding_mask[..., None], 0.0)


class _Asserted(_variation()):
    def __init__(self, d_model, heads):
        assert d_model % heads == 0
        super().__init__(d_model, heads)


class _ConditionReversed(_variation()):
    def __init__(self, d_model, heads):
        if d_model % heads == 0:
            raise ValueError
        super().__init__(d_model, heads)


REFUSED = (
    "A width of 12 can be divided by 3 heads, and yet `__init__` raises a ValueError: is its condition the wrong way "
    "round?"
)


@exercise(
    points=4,
    by_hand=READY_MADE,
    uses=("split_heads", "merge_heads", "heads_at_once"),
    mistakes={
        "Your `__init__` does not call `super().__init__()` first, and without it a module can't hold layers.": (
            _WithoutInit
        ),
        "Your layers are in a plain list, where PyTorch does not find them; make each an attribute of its own.": (
            _Unregistered
        ),
        "The output projection is missing: a fourth layer, named `output`.": _variation(
            output=False, finish=lambda self, mixed, x: mixed
        ),
        "Your layers have no bias; in this module they do, as in BERT.": _variation(bias=False),
        "Your layers are as wide as one head; one layer of (D, D) makes the queries of all heads at once.": (
            _LayerForEachHead
        ),
        "Query, key and value are one and the same layer, so they share their weights; make three.": _OneLayerForAll,
        "The output projection is not used: the heads stand side by side, and nothing mixes them.": _variation(
            finish=lambda self, mixed, x: mixed
        ),
        "You use the queries as keys too.": _variation(project="query query value"),
        "Queries and keys are swapped: row t of the scores must belong to the query of token t.": (
            _variation(project="key query value")
        ),
        "You mix `x` itself; what is mixed are the values, `self.value(x)`.": _variation(project="query key x"),
        "The three projections are not used: each head attends within `x` itself.": _variation(project="x x x"),
        "You add `x` to the result; that residual path comes in lesson 05, outside of attention.": _variation(
            finish=lambda self, mixed, x: x + self.output(mixed)
        ),
        "The heads are right, but you merge them without swapping T and H back first.": (
            _variation(_heads(merge=_pasted))
        ),
        "You add the heads up, or average them, so the output projection meets K columns; side by side they make D.": (
            _variation(_heads(merge=lambda x: x.sum(1)))
        ),
        "The result is detached from its graph, so no gradient gets past the output projection.": _variation(
            finish=lambda self, mixed, x: self.output(mixed.detach())
        ),
        "It takes heads that do not divide the width without a word; raise a ValueError.": _variation(divide=False),
        "You set the results of padding to 0 at the end; a mask hides keys, and a query that is padding keeps what it "
        "gets.": _PaddingAtZero,
        "You always make 2 heads: keep the number that `__init__` is given, `self.heads`.": _variation(
            lambda query, key, value, heads, mask=None: _heads()(query, key, value, 2, mask)
        ),
        REFUSED: _ConditionReversed,
        "It raises an AssertionError where the heads do not divide the width; raise a ValueError.": _Asserted,
    }
    | {sentence: _variation(attend) for sentence, attend in (STEPS | NO_MASK).items()}
    | {sentence: _variation(_masked(hide)) for sentence, hide in MASKS.items()},
)
def MultiHeadAttention(attempt):
    """Vaswani et al. 2017, section 3.2.2."""
    model = _built(attempt, D, H)
    yield holds(
        not isinstance(model, str),
        "a width of 12 can be divided by 3 heads",
        REFUSED,
        received=model if isinstance(model, str) else None,
    )
    names = set(model.parameters())
    state = {}
    for name in ("query", "key", "value", "output"):
        state |= {f"{name}.weight": tensor(D, D, scale=0.3), f"{name}.bias": tensor(D)}
    missing = sorted(state.keys() - names)
    yield holds(
        not missing,
        "it has four layers with weight and bias: query, key, value, output",
        f"It has no parameter {', '.join(missing)}; its own are {', '.join(sorted(names)) or 'none'}.",
    )
    unfit = model.load(state)
    yield holds(
        not unfit,
        "each of them is a linear map from D to D",
        f"These have another shape than a D to D map's: {', '.join(unfit)}.",
    )
    x = tensor(B, T, D)
    output = model(x)
    yield shaped(output, B=B, T=T, D=D)
    yield close(
        output,
        _expected(state, x, H),
        "with the same weights it gives what `nn.MultiheadAttention` gives",
        "With known weights the result is not PyTorch's. The steps are: project, split, attend, merge, project.",
        earns=2,
    )
    other, several = attempt.build(D, EQUAL), _loud(tensor(EQUAL, EQUAL, D))
    other.load(state)

    def expected(mask):
        return _expected(state, several, EQUAL, mask)

    yield from _mask_is_right(lambda mask: other(several, mask), expected, earns=1)
    gradients = model.gradients(x)["parameters"]
    # A bias of the keys adds the same number to all scores of a query, which the softmax takes out again.
    gradients.pop("key.bias", None)
    unmoved = [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
    yield holds(
        not unmoved,
        "gradients reach all four layers",
        f"No gradient reaches {', '.join(unmoved)}: is a tensor detached, or a layer left out, on the way?",
    )
    raised = _error_of_building(attempt, D, 5)
    yield holds(
        raised.startswith("ValueError"),
        "heads that do not divide the width raise a ValueError",
        f"5 heads can't share 12 columns: raise a ValueError in `__init__`, which now raises {raised or 'nothing'}.",
    )


def _expected(state, x, heads, mask=None):
    """What PyTorch's multi-head attention makes of x with these weights."""
    query, key, value = (x @ state[f"{name}.weight"].mT + state[f"{name}.bias"] for name in ("query", "key", "value"))
    return attention_of(query, key, value, heads, mask, state["output.weight"], state["output.bias"])


def _built(attempt, *args):
    """What building the attempt makes, or the ValueError that it raises, in words."""
    try:
        return attempt.build(*args)
    except AttemptFailed as failed:
        if failed.reply.error and failed.reply.error.message.startswith("ValueError"):
            return failed.reply.error.message
        raise


def _error_of_building(attempt, *args):
    try:
        attempt.build(*args)
    except AttemptFailed as failed:
        return failed.reply.error.message or failed.reply.error.kind
    return ""


# --- 3.6 attention_cost ----------------------------------------------------------------------------------------------


def _count(parameters=lambda d: 4 * (d * d + d), projections=8, products=4, heads=lambda h: 1, extra=lambda t, d: 0):
    """The cost with one term changed: FLOPs are `projections`·T·D² + `products`·T²·D."""

    def attention_cost(tokens, d_model, heads_):
        t, d = tokens, d_model
        return parameters(d), projections * t * d * d + products * t * t * d * heads(heads_) + extra(t, d)

    return attention_cost


@exercise(
    points=2,
    mistakes={
        "Your parameters lack the biases: D for each of the four layers.": _count(parameters=lambda d: 4 * d * d),
        "Your parameters count three layers; the output projection is the fourth.": (
            _count(parameters=lambda d: 3 * (d * d + d))
        ),
        "Your FLOPs count one projection; there are four, three before the attention and one after it.": (
            _count(projections=2)
        ),
        "Your projections lack the tokens: each of the T tokens goes through them.": (
            lambda t, d, h: (4 * (d * d + d), 8 * d * d + 4 * t * t * d)
        ),
        "Your FLOPs count the softmax too, H·T·T numbers; only matrix products count here.": (
            lambda t, d, h: (4 * (d * d + d), 8 * t * d * d + 4 * t * t * d + h * t * t)
        ),
        "You count a set of (D, D) layers for each head; the heads share the columns of one set.": (
            lambda t, d, h: (h * 3 * (d * d + d) + d * d + d, 8 * t * d * d + 4 * t * t * d)
        ),
        "You return FLOPs first; the order is parameters, FLOPs.": lambda t, d, h: _count()(t, d, h)[::-1],
        "You count a multiply-add as one FLOP; it is two, a multiplication and an addition.": (
            _count(projections=4, products=2)
        ),
        "Your FLOPs lack the output projection.": _count(projections=6),
        "Your FLOPs lack the four projections; only scores and mixing are counted.": _count(projections=0),
        "Your FLOPs lack the attention itself; only the projections are counted.": _count(products=0),
        "Your FLOPs lack a product: there are two, the scores and the mixing of the values.": _count(products=2),
        "Your scores and mixing are D wide in each of the H heads; a head is K = D / H wide, so H cancels out.": (
            _count(heads=lambda h: h)
        ),
        "You count the FLOPs of one head only; there are H of them.": (
            lambda t, d, h: (4 * (d * d + d), 8 * t * d * d + 4 * t * t * d // h)
        ),
        "Your FLOPs count the biases too; only matrix products count here.": _count(extra=lambda t, d: 4 * t * d),
        "Your FLOPs of the scores grow with T; every token meets every token, T·T pairs.": (
            lambda t, d, h: (4 * (d * d + d), 8 * t * d * d + 4 * t * d)
        ),
    },
)
def attention_cost(attempt):
    """Counted by PyTorch: the parameters of nn.MultiheadAttention, and the FLOPs of its matrix products."""
    sizes = ((T, D, H), (7, D, H), (T, 20, H + 1), (T, D, 1))
    cost = attempt(*sizes[0])
    yield holds(
        _is_a_pair_of_numbers(cost),
        "it returns two numbers",
        "It must return two numbers: return parameters, flops.",
        received=cost,
    )
    parameters, flops = _counted(*sizes[0])
    yield holds(
        cost[0] == parameters,
        f"{T} tokens, width {D}, {H} heads: the parameters are right",
        "The parameters are four layers from D to D, each with D·D weights and D biases.",
        expected=parameters,
        received=cost[0],
        earns=1,
    )
    yield holds(
        cost[1] == flops,
        "so are the FLOPs",
        "(n, m) times (m, p) takes 2·n·m·p FLOPs. There are four projections, and two products in each head.",
        expected=flops,
        received=cost[1],
    )
    for tokens, width, heads in sizes[1:]:
        cost, counted = attempt(tokens, width, heads), _counted(tokens, width, heads)
        yield holds(
            _is_a_pair_of_numbers(cost) and tuple(cost) == counted,
            f"right for {tokens} tokens, width {width}, {heads} head{'' if heads == 1 else 's'} too",
            f"It is wrong for {tokens} tokens, width {width}, heads {heads}: is a size written as a number?",
            expected=counted,
            received=cost,
        )


def _is_a_pair_of_numbers(cost):
    return isinstance(cost, (tuple, list)) and len(cost) == 2 and all(type(number) in (int, float) for number in cost)


def _counted(tokens, width, heads):
    """Parameters and FLOPs as PyTorch counts them."""
    attention = nn.MultiheadAttention(width, heads, batch_first=True, device="meta")
    x = torch.zeros(1, tokens, width, device="meta")
    with FlopCounterMode(display=False) as counter:
        attention(x, x, x)
    return sum(p.numel() for p in attention.parameters()), counter.get_total_flops()
