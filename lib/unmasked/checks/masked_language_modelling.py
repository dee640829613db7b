"""Checks of lesson 07. Oracles: counts with their known spread, `F.cross_entropy`, and `torch.nn`'s layers.

What is drawn at random is judged by its properties, in samples so large that a right solution, however it draws,
fails by chance less than once in a million. A rate is within bounds of five standard deviations of single draws;
solutions that choose an exact number of tokens in each row spread less.
"""

import torch
import torch.nn.functional as F
from torch import nn

from unmasked import parts
from unmasked.attempt import Generator, Part
from unmasked.criteria import close, holds, integers, shaped, tensor
from unmasked.exercise import exercise

IGNORE = -100


def _near(share, wanted, count, sigmas=5):
    """Whether a share of `count` draws is the wanted one, up to chance."""
    return abs(share - wanted) <= sigmas * (wanted * (1 - wanted) / count) ** 0.5


def _same(a, b):
    """Whether two results, or pairs of results, are equal."""
    pairs = zip(a, b) if isinstance(a, (tuple, list)) else [(a, b)]
    return all(isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor) and torch.equal(x, y) for x, y in pairs)


SAME_RESULT = "Your draws don't depend on `generator`: hand `generator=generator` to every draw."
OTHER_RESULT = "Generators of the same seed give different results: something is drawn from elsewhere than `generator`."


def _repeats(first, again):
    return holds(_same(first, again), "generators of the same seed give the same result", OTHER_RESULT)


def _differs(first, other):
    return holds(not _same(first, other), "generators of different seeds give different results", SAME_RESULT)


def _unseeded():
    """A generator that nobody can repeat."""
    generator = torch.Generator()
    generator.seed()
    return generator


# --- 7.1 choose_positions --------------------------------------------------------------------------------------------

# BERT's own numbering, in which special tokens do not come first.
PAD, UNK, CLS, SEP, MASK = SPECIAL = (0, 100, 101, 102, 103)
NAMES = {PAD: "[PAD]", CLS: "[CLS]", SEP: "[SEP]"}
LONG, SHORT, ROWS = 40, 20, 400  # 15 % and 30 % of a row are whole numbers, so that an exact count can be met


def _text():
    """Rows of LONG ordinary tokens, then rows of SHORT, padded."""
    tokens = integers(104, 1000, (2 * ROWS, LONG + 2))
    tokens[:, 0] = CLS
    tokens[:ROWS, -1] = SEP
    tokens[ROWS:, SHORT + 1] = SEP
    tokens[ROWS:, SHORT + 2 :] = PAD
    return tokens


def _ordinary(tokens, special_ids):
    return ~torch.isin(tokens, torch.as_tensor(special_ids))


def _drawn(tokens, rate, generator):
    return torch.rand(tokens.shape, generator=generator) < rate


def _share_of_row(tokens, special_ids, rate, generator=None):
    lots = torch.rand(tokens.shape, generator=generator).masked_fill(~_ordinary(tokens, special_ids), 2.0)
    return lots.argsort(dim=-1).argsort(dim=-1) < round(rate * tokens.shape[1])


def _inside(tokens):
    inside = torch.ones_like(tokens, dtype=torch.bool)
    inside[:, 0] = inside[:, -1] = False
    return inside


def _reseeded(tokens, special_ids, rate, generator):
    generator.manual_seed(42)
    return _drawn(tokens, rate, generator) & _ordinary(tokens, special_ids)


ALL_SPECIAL = "Special tokens are chosen too: leave out every token whose id is in `special_ids`."
ONLY_SPECIAL = "Only special tokens are chosen: your mask of special tokens is the wrong way round."
NOT_PADDING = "Padding is never chosen, but [CLS] and [SEP] are: leave out every id in `special_ids`, not only one."
PADDING = "[CLS] and [SEP] are never chosen, but padding is: it is in `special_ids` too."
LEFT_OUT = "You choose the tokens that should be left: a draw below `rate` means chosen."
OF_THE_ROW = (
    "You take a share of the whole row, special tokens and padding included, so short texts lose too many tokens."
)
SAME_COLUMNS = "You choose the same places in every row: draw for each token of the batch, not once for all rows."
WHOLE_ROWS = "You choose whole rows: draw for each token, not once for each row."
EVERY_TOKEN = "Every ordinary token is chosen: `rate` is not used."
FIXED_RATE = "`rate` is not used: another rate chooses as many tokens as before."


def _which_special(tokens, chosen):
    """The sentence for special tokens that were chosen."""
    found = {name for id, name in NAMES.items() if chosen[tokens == id].any()}
    if not chosen[_ordinary(tokens, SPECIAL)].any():
        return ONLY_SPECIAL
    if found == {"[CLS]", "[SEP]"}:
        return NOT_PADDING
    return PADDING if found == {"[PAD]"} else ALL_SPECIAL


def _why_rows_are_alike(chosen):
    """The sentence for rows in which all is chosen, or nothing, or the same in each; "" if they are not alike so."""
    counts = chosen.sum(-1)
    if not counts.any():
        return "No token is chosen at all."
    if (counts == LONG).all():
        return EVERY_TOKEN
    if ((counts == 0) | (counts == LONG)).all():
        return WHOLE_ROWS
    return SAME_COLUMNS if len(chosen.unique(dim=0)) == 1 else ""


@exercise(
    points=2,
    mistakes={
        ALL_SPECIAL: lambda tokens, special_ids, rate, generator: _drawn(tokens, rate, generator),
        ONLY_SPECIAL: lambda tokens, special_ids, rate, generator: (
            _drawn(tokens, rate, generator) & ~_ordinary(tokens, special_ids)
        ),
        NOT_PADDING: lambda tokens, special_ids, rate, generator: (
            _drawn(tokens, rate, generator) & (tokens != special_ids[0])
        ),
        PADDING: lambda tokens, special_ids, rate, generator: (
            _drawn(tokens, rate, generator) & _ordinary(tokens, special_ids[1:])
        ),
        "You leave out the first and the last place of a row; special tokens can stand anywhere: compare ids.": (
            lambda tokens, special_ids, rate, generator: _drawn(tokens, rate, generator) & _inside(tokens)
        ),
        LEFT_OUT: lambda tokens, special_ids, rate, generator: (
            ~_drawn(tokens, rate, generator) & _ordinary(tokens, special_ids)
        ),
        OF_THE_ROW: _share_of_row,
        SAME_COLUMNS: lambda tokens, special_ids, rate, generator: (
            _drawn(tokens[0], rate, generator) & _ordinary(tokens, special_ids)
        ),
        WHOLE_ROWS: lambda tokens, special_ids, rate, generator: (
            _drawn(tokens[:, :1], rate, generator) & _ordinary(tokens, special_ids)
        ),
        SAME_RESULT: lambda tokens, special_ids, rate, generator: (
            _drawn(tokens, rate, None) & _ordinary(tokens, special_ids)
        ),
        OTHER_RESULT: lambda tokens, special_ids, rate, generator: (
            _drawn(tokens, rate, _unseeded()) & _ordinary(tokens, special_ids)
        ),
        "You seed the generator yourself, so that every call chooses the same places.": _reseeded,
        "`torch.isin` compares with a tensor: give it `torch.tensor(special_ids)`.": (
            lambda tokens, special_ids, rate, generator: torch.isin(tokens, special_ids)
        ),
        "`tokens in special_ids` asks about all tokens at once; `torch.isin` asks about each.": (
            lambda tokens, special_ids, rate, generator: tokens in special_ids
        ),
        EVERY_TOKEN: lambda tokens, special_ids, rate, generator: _ordinary(tokens, special_ids),
        FIXED_RATE: lambda tokens, special_ids, rate, generator: (
            _drawn(tokens, 0.15, generator) & _ordinary(tokens, special_ids)
        ),
    },
)
def choose_positions(attempt):
    """Devlin et al. 2019, section 3.1, task 1."""
    tokens = _text()
    ordinary = _ordinary(tokens, SPECIAL)
    chosen = attempt(tokens, SPECIAL, 0.15, Generator(1))
    yield shaped(chosen, B=2 * ROWS, T=LONG + 2, dtype=torch.bool, hint="True where a token is chosen.")
    yield holds(
        not chosen[~ordinary].any(),
        "special tokens and padding are never chosen",
        _which_special(tokens, chosen),
    )
    alike = _why_rows_are_alike(chosen[:ROWS])
    yield holds(not alike, "of every row a part is chosen, and not the same in all", alike)
    long, short = chosen[:ROWS][ordinary[:ROWS]], chosen[ROWS:][ordinary[ROWS:]]
    share = long.float().mean().item()
    inverted = LEFT_OUT if _near(share, 0.85, len(long)) else ""
    yield holds(
        _near(share, 0.15, len(long)),
        "with a rate of 0.15, 15 % of the ordinary tokens are chosen",
        inverted or f"With a rate of 0.15, {share:.1%} of the ordinary tokens are chosen instead of 15 %.",
    )
    yield holds(
        len(chosen[:ROWS].unique(dim=0)) > 0.9 * ROWS,
        "every row has its own choice",
        "Many rows have the same choice: draw for each token of the batch.",
    )
    yield holds(
        _near(short.float().mean().item(), 0.15, len(short)),
        "in padded rows too, of the tokens that are no padding",
        OF_THE_ROW,
        earns=1,
    )
    by_place = chosen[:ROWS, 1:-1].float().mean(0)
    yield holds(
        all(_near(share, 0.15, ROWS, sigmas=6) for share in by_place.tolist()),
        "every place in a row is chosen equally often",
        "Some places in a row are chosen more often than others: every ordinary token must have the same chance.",
    )
    yield _differs(chosen, attempt(tokens, SPECIAL, 0.15, Generator(2)))
    yield _repeats(chosen, attempt(tokens, SPECIAL, 0.15, Generator(1)))
    more = attempt(tokens, SPECIAL, 0.3, Generator(1))
    yield shaped(more, B=2 * ROWS, T=LONG + 2, dtype=torch.bool, what="the result with another rate")
    yield holds(
        _near(more[ordinary].float().mean().item(), 0.3, int(ordinary.sum())) and not more[~ordinary].any(),
        "with a rate of 0.3 they are 30 %",
        FIXED_RATE,
    )


# --- 7.2 mask_tokens -------------------------------------------------------------------------------------------------

FIRST = tuple(range(5))  # here the special tokens come first; the mask is not the last of them
MASK_ID, V = 3, 30


def _labels(tokens, chosen):
    return tokens.masked_fill(~chosen, IGNORE)


def _corrupt(low=5, high=0, decide=None, which=None, draw_shape=None, random_shape=None, mask=None):
    """The right inputs, but for what is given: which ids are drawn, and who decides what becomes of a token.

    `decide(draw, draw2)` says where a token is masked and where it is replaced, `which(chosen)` where at all.
    """
    decide = decide or (lambda draw, _: (draw < 0.8, draw >= 0.9))

    def inputs(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
        draw, draw2 = torch.rand((2, *(draw_shape(tokens) if draw_shape else tokens.shape)), generator=generator)
        size = random_shape(tokens) if random_shape else tokens.shape
        ordinary = torch.randint(low, vocab_size + high, size, generator=generator)
        masked, replaced = decide(draw, draw2)
        here = which(chosen) if which else chosen
        inputs = tokens.masked_fill(here & masked, mask if mask is not None else mask_id)
        return torch.where((chosen if which is None else here) & replaced, ordinary, inputs)

    return inputs


def _with_labels(inputs=None, labels=_labels, swapped=False):
    """A mask_tokens made of a way to corrupt and a way to label."""
    inputs = inputs or _corrupt()

    def mask_tokens(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
        result = inputs(tokens, chosen, mask_id, special_ids, vocab_size, generator), labels(tokens, chosen)
        return result[::-1] if swapped else result

    return mask_tokens


def _labels_of_corrupted(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    inputs = _corrupt()(tokens, chosen, mask_id, special_ids, vocab_size, generator)
    return inputs, _labels(inputs, chosen)


def _labels_where(labelled):
    """A mask_tokens that labels the chosen tokens only where `labelled(inputs, tokens)`."""

    def mask_tokens(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
        inputs = _corrupt()(tokens, chosen, mask_id, special_ids, vocab_size, generator)
        return inputs, _labels(tokens, chosen & labelled(inputs, tokens))

    return mask_tokens


def _in_place(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    labels = _labels(tokens, chosen)
    tokens.copy_(_corrupt()(tokens, chosen, mask_id, special_ids, vocab_size, generator))
    return tokens, labels


def _global(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    return _with_labels()(tokens, chosen, mask_id, special_ids, vocab_size)


def _global_ids(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    draw = torch.rand(tokens.shape, generator=generator)
    ordinary = torch.randint(len(special_ids), vocab_size, tokens.shape)
    inputs = torch.where(chosen & (draw >= 0.9), ordinary, tokens)
    return inputs.masked_fill(chosen & (draw < 0.8), mask_id), _labels(tokens, chosen)


def _nobodys(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    return _with_labels()(tokens, chosen, mask_id, special_ids, vocab_size, _unseeded())


LABELS_FIRST = "You return the labels first; the order is inputs, then labels."
LABELS_EVERYWHERE = "Every position has a label, so that the loss counts all tokens; it must be -100 where not chosen."
LABELS_ZERO = "Your labels are 0 where no token is chosen; 0 is a token too. Use -100, which the loss leaves out."
LABELS_INVERTED = "Your labels are -100 where a token is chosen; it must be the other way round."
LABELS_CORRUPTED = "Your labels are the corrupted tokens; a label is the token that stood there before."
KEPT_UNLABELLED = "Chosen tokens that stay as they are have the label -100; the model is asked for them too."
ONLY_MASKED_LABELLED = "Only tokens behind [MASK] have a label; every chosen token needs one, whatever became of it."
ELSEWHERE = "Tokens that were not chosen are changed too."
ALL_MASKED = "Every chosen token becomes [MASK]; only 80 % should."
WRONG_MASK = "Hardly any token becomes `mask_id`: is another number written in your code?"
OVERWRITTEN = (
    "Your random tokens overwrite every [MASK]: replace where the draw lies between 0.8 and 0.9, not below 0.9."
)
ONE_DRAW = "All chosen tokens of the batch share one fate: draw for each token, not once for all."
TWO_DRAWS = "Your random tokens overwrite some [MASK]s, of which only 72 % are left: let one draw decide for all three."
TENTH_OF_REST = (
    "Only about 2 % become random tokens: you take 10 % of what is left after masking, instead of half of it."
)
SPECIAL_DRAWN = "Some random tokens are special ones; draw from the ordinary ids, which come after the special ones."
NONE_KEPT = "No chosen token stays as it is; 10 % should."
NO_RANDOM = "No chosen token is replaced by a random one; 10 % should be."
LAST_MISSING = "The last id of the vocabulary is never drawn: the upper end of `torch.randint` is left out already."
ONE_RANDOM = "All random tokens are the same one: draw an id for each position."
PARTLY_DRAWN = (
    "Part of the result is the same for generators of different seeds: hand `generator=generator` to every draw, to "
    "`torch.randint` too."
)
ROW_DRAWS = "All chosen tokens of a row share one fate: draw for each token, not for each row."
COLUMN_DRAWS = "All chosen tokens of a column share one fate: draw in the shape of `tokens`, (B, T)."
ROW_RANDOM = "All random tokens of a row are the same one: draw them in the shape of `tokens`, (B, T)."
COLUMN_RANDOM = "All random tokens of a column are the same one: draw them in the shape of `tokens`, (B, T)."


def _what_is_wrong_with(labels, tokens, chosen):
    """The sentence for labels that are not -100 where nothing is chosen."""
    elsewhere = labels[~chosen]
    if torch.equal(elsewhere, tokens[~chosen]):
        return LABELS_INVERTED if (labels[chosen] == IGNORE).all() else LABELS_EVERYWHERE
    if (elsewhere == 0).all():
        return LABELS_ZERO
    return "Where no token is chosen, the label must be -100."


def _what_is_wrong_with_chosen(labels, tokens, inputs):
    """The sentence for labels of chosen tokens that are not these tokens."""
    wrong = labels != tokens
    if not (labels[wrong] == IGNORE).all():
        return LABELS_CORRUPTED
    return KEPT_UNLABELLED if torch.equal(inputs[wrong], tokens[wrong]) else ONLY_MASKED_LABELLED


def _what_became(share, kept, random):
    """The sentence for a share of masked tokens that is not 80 %."""
    if share < 0.02:
        return OVERWRITTEN if len(random) and (random == random.mode().values).float().mean() < 0.5 else WRONG_MASK
    if share > 0.98:
        return ALL_MASKED
    if 0.70 < share < 0.74:
        return TWO_DRAWS
    return f"{share:.1%} of the chosen tokens become [MASK] instead of 80 %, and {kept:.1%} stay instead of 10 %."


def _what_stayed(kept, random):
    """The sentence for shares of kept and random tokens that are not 10 % each."""
    if random < 0.005:
        return NO_RANDOM
    if kept < 0.02:
        return NONE_KEPT
    if random < 0.04:
        return TENTH_OF_REST
    return f"{kept:.1%} of the chosen tokens stay and {random:.1%} become random; both should be 10 %."


def _partly_same(one, two, token):
    """Whether two inputs, made of this token alone with different seeds, agree where right ones agree by chance only:

    in what is masked, in what is random of the rest, or in the random tokens, by their places or in their order.
    """
    masks, randoms = [], []
    for inputs in (one, two):
        masks.append(inputs == MASK_ID)
        randoms.append((inputs != MASK_ID) & (inputs != token))
    rest, both = ~(masks[0] | masks[1]), randoms[0] & randoms[1]
    first, second = one[randoms[0]], two[randoms[1]]
    length = min(len(first), len(second))
    pairs = (
        masks,
        (randoms[0][rest], randoms[1][rest]),
        (one[both], two[both]),
        (first[:length], second[:length]),
    )
    return any((a == b).float().mean() > 0.9 for a, b in pairs)


def _alike_along(values, where, rows, columns):
    """The sentence for values (B, T) of which those at `where` are the same in a row, or in a column; "" if not."""
    for sentence, lines, here in ((rows, values, where), (columns, values.T, where.T)):
        counted = [line[places] for line, places in zip(lines, here) if places.sum() > 3]  # few may agree by chance
        if sum(len(line.unique()) == 1 for line in counted) > 0.1 * len(counted):
            return sentence
    return ""


def _what_was_drawn(drawn, ordinary):
    """The sentence for random tokens that are not all of the ordinary ones."""
    if len(drawn) < 2:
        return ONE_RANDOM
    if ordinary - drawn == {V - 1}:
        return LAST_MISSING
    return f"Of the ordinary ids, these are never drawn: {sorted(ordinary - drawn)[:5]}."


@exercise(
    points=3,
    mistakes={
        LABELS_FIRST: _with_labels(swapped=True),
        LABELS_EVERYWHERE: _with_labels(labels=lambda tokens, chosen: tokens.clone()),
        LABELS_ZERO: _with_labels(labels=lambda tokens, chosen: tokens * chosen),
        LABELS_INVERTED: _with_labels(labels=lambda tokens, chosen: tokens.masked_fill(chosen, IGNORE)),
        LABELS_CORRUPTED: _labels_of_corrupted,
        KEPT_UNLABELLED: _labels_where(lambda inputs, tokens: inputs != tokens),
        ONLY_MASKED_LABELLED: _labels_where(lambda inputs, tokens: inputs == MASK_ID),
        ELSEWHERE: _with_labels(_corrupt(which=torch.ones_like)),
        ALL_MASKED: _with_labels(_corrupt(decide=lambda draw, _: (draw < 2, draw > 2))),
        WRONG_MASK: _with_labels(_corrupt(mask=103)),
        OVERWRITTEN: _with_labels(_corrupt(decide=lambda draw, _: (draw < 0.8, draw < 0.9))),
        ONE_DRAW: _with_labels(_corrupt(draw_shape=lambda tokens: ())),
        TWO_DRAWS: _with_labels(_corrupt(decide=lambda draw, draw2: (draw < 0.8, draw2 < 0.1))),
        TENTH_OF_REST: _with_labels(_corrupt(decide=lambda draw, draw2: (draw < 0.8, (draw >= 0.8) & (draw2 < 0.1)))),
        NONE_KEPT: _with_labels(_corrupt(decide=lambda draw, _: (draw < 0.8, draw >= 0.8))),
        NO_RANDOM: _with_labels(_corrupt(decide=lambda draw, _: (draw < 0.8, draw > 2))),
        SPECIAL_DRAWN: _with_labels(_corrupt(low=0)),
        LAST_MISSING: _with_labels(_corrupt(high=-1)),
        ONE_RANDOM: _with_labels(_corrupt(random_shape=lambda tokens: (1,))),
        ROW_DRAWS: _with_labels(_corrupt(draw_shape=lambda tokens: (len(tokens), 1))),
        COLUMN_DRAWS: _with_labels(_corrupt(draw_shape=lambda tokens: tokens.shape[1:])),
        ROW_RANDOM: _with_labels(_corrupt(random_shape=lambda tokens: (len(tokens), 1))),
        COLUMN_RANDOM: _with_labels(_corrupt(random_shape=lambda tokens: tokens.shape[1:])),
        SAME_RESULT: _global,
        OTHER_RESULT: _nobodys,
        PARTLY_DRAWN: _global_ids,
        "You change the caller's tokens in place; make new ones, with `clone`, `where` or `masked_fill`.": _in_place,
    },
)
def mask_tokens(attempt):
    """Devlin et al. 2019, section 3.1, task 1, and appendix A.1."""
    # Turned round: the global generator, if it stands at the same seed, must not draw these tokens again.
    tokens = integers(len(FIRST), V, (160, 120)).flip(0, 1)
    tokens[:, 0] = 1
    tokens[80:, 90:] = 0
    chosen = (integers(0, 2, tokens.shape) == 1) & _ordinary(tokens, FIRST)
    count = int(chosen.sum())
    result = attempt(tokens, chosen, MASK_ID, FIRST, V, Generator(1))
    yield holds(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "it returns two tensors",
        "It must return two tensors: `return inputs, labels`.",
    )
    for value, what in zip(result, ("what is returned first", "what is returned second")):
        yield shaped(value, B=len(tokens), T=tokens.shape[1], dtype=torch.int64, what=what)
    inputs, labels = result
    yield holds(not (inputs == IGNORE).any(), "the inputs come first", LABELS_FIRST)
    yield holds(
        (labels[~chosen] == IGNORE).all(),
        "labels are -100 where no token is chosen",
        _what_is_wrong_with(labels, tokens, chosen),
    )
    yield holds(
        torch.equal(labels[chosen], tokens[chosen]),
        "and the token that stood there where one is",
        _what_is_wrong_with_chosen(labels[chosen], tokens[chosen], inputs[chosen]),
        expected=tokens[chosen][:8],
        received=labels[chosen][:8],
    )
    yield holds(
        torch.equal(inputs[~chosen], tokens[~chosen]), "tokens that are not chosen stay as they are", ELSEWHERE, earns=1
    )
    masked, kept = inputs[chosen] == MASK_ID, inputs[chosen] == tokens[chosen]
    random = inputs[chosen][~masked & ~kept]
    shares = [int(kind.sum()) / count for kind in (masked, kept)]
    fates = (inputs == MASK_ID).int() - (inputs == tokens).int()
    one_fate = len(fates[chosen].unique()) == 1
    alike = "" if one_fate else _alike_along(fates, chosen, ROW_DRAWS, COLUMN_DRAWS)
    yield holds(not alike, "each token has a draw of its own", alike)
    became = _what_became(*shares, random)
    if one_fate:
        few = [attempt(tokens[:1], chosen[:1], MASK_ID, FIRST, V, Generator(seed)) for seed in range(2, 40)]
        became = ONE_DRAW if len({bool((inputs == MASK_ID).any()) for inputs, _ in few}) == 2 else became
    yield holds(
        _near(shares[0], 0.8, count),
        "80 % of the chosen tokens become [MASK]",
        became,
    )
    specials = torch.isin(random, torch.tensor(FIRST))
    yield holds(not specials.any(), "no random token is a special one", SPECIAL_DRAWN, received=random[specials][:8])
    itself = 0.1 / (V - len(FIRST))  # a random token may be the one that stood there, unless the learner sees to it
    yield holds(
        any(_near(shares[1] - more, 0.1, count) for more in (0, itself)),
        "10 % stay as they are, and 10 % become a random token",
        _what_stayed(shares[1], len(random) / count),
        earns=1,
    )
    drawn, ordinary = set(random.tolist()), set(range(len(FIRST), V))
    alike = "" if len(drawn) == 1 else _alike_along(inputs, chosen & (fates == 0), ROW_RANDOM, COLUMN_RANDOM)
    yield holds(not alike, "each random token is drawn for its own place", alike)
    yield holds(drawn == ordinary, "every ordinary token can come in", _what_was_drawn(drawn, ordinary))
    yield _differs(result, attempt(tokens, chosen, MASK_ID, FIRST, V, Generator(2)))
    yield _repeats(result, attempt(tokens, chosen, MASK_ID, FIRST, V, Generator(1)))
    same_token, every = torch.full_like(tokens, V - 1), torch.ones_like(chosen)
    one, two = (attempt(same_token, every, MASK_ID, FIRST, V, Generator(seed))[0] for seed in (1, 2))
    yield holds(not _partly_same(one, two, V - 1), "and everything in it is drawn from the generator", PARTLY_DRAWN)
    nothing = attempt(tokens, torch.zeros_like(chosen), MASK_ID, FIRST, V, Generator(1))
    yield holds(
        _same(nothing, (tokens, torch.full_like(tokens, IGNORE))),
        "where nothing is chosen nothing changes",
        "With no position chosen, the inputs must be the tokens, and all labels -100.",
    )


# --- 7.3 MaskedLMHead ------------------------------------------------------------------------------------------------

B, T, D, VOCABULARY = 2, 4, 6, 11


def _head(forward=None, tie=None, bias=True, turned=False):
    """A MaskedLMHead with another `forward` or another way to get its output matrix."""

    class MaskedLMHead(nn.Module):
        def __init__(self, d_model, token_embedding):
            super().__init__()
            self.dense = nn.Linear(d_model, d_model)
            self.norm = nn.LayerNorm(d_model)
            sizes = (d_model, token_embedding.num_embeddings)
            self.decoder = nn.Linear(*(sizes[::-1] if turned else sizes), bias=bias)
            (tie or _tied)(self.decoder, token_embedding)

        def forward(self, x):
            return (forward or _forward)(self, x)

    return MaskedLMHead


def _tied(decoder, embedding):
    decoder.weight = embedding.weight


def _copied(decoder, embedding):
    decoder.weight = nn.Parameter(embedding.weight.detach().clone())


def _frozen(decoder, embedding):
    decoder.weight = nn.Parameter(embedding.weight.detach(), requires_grad=False)


def _forward(self, x):
    return self.decoder(self.norm(F.gelu(self.dense(x))))


class _NoInit(nn.Module):
    def __init__(self, d_model, token_embedding):
        self.dense = nn.Linear(d_model, d_model)


class _NoNorm(nn.Module):
    def __init__(self, d_model, token_embedding):
        super().__init__()
        self.decoder = nn.Linear(d_model, token_embedding.num_embeddings)
        self.decoder.weight = token_embedding.weight

    def forward(self, x):
        return self.decoder(x)


TURNED = "The decoder's bias has another size than V: `nn.Linear` takes the size that goes in first, then the one out."
OWN_MATRIX = "The output matrix is one of its own, with other numbers; it must be the token embedding's weight."
COPY = (
    "The output matrix has the embedding's numbers but is a copy: it would learn by itself. Assign the embedding's "
    "weight, the same Parameter."
)
NO_BIAS = "The decoder has no bias; it needs one of its own, a number for each token of the vocabulary."


@exercise(
    points=3,
    mistakes={
        "Your `__init__` does not call `super().__init__()` first, without which a module can't hold parts.": _NoInit,
        "`dense` and `norm` are missing: the head transforms a vector before it compares it with tokens.": _NoNorm,
        NO_BIAS: _head(bias=False),
        TURNED: _head(turned=True),
        OWN_MATRIX: _head(tie=lambda decoder, embedding: None),
        COPY: _head(tie=_copied),
        "You score only the first token of each sequence; every position gets its own scores.": _head(
            lambda self, x: _forward(self, x[..., 0, :])
        ),
        "You return probabilities: leave the softmax out, since the loss takes scores (logits).": _head(
            lambda self, x: _forward(self, x).softmax(-1)
        ),
        "You return log-probabilities: leave the log-softmax out, since the loss takes scores (logits).": _head(
            lambda self, x: _forward(self, x).log_softmax(-1)
        ),
        "The GELU is missing between `dense` and `norm`.": _head(
            lambda self, x: self.decoder(self.norm(self.dense(x)))
        ),
        "You use a ReLU where the GELU belongs.": _head(lambda self, x: self.decoder(self.norm(self.dense(x).relu()))),
        "The norm comes before the GELU; the order is `dense`, GELU, `norm`.": _head(
            lambda self, x: self.decoder(F.gelu(self.norm(self.dense(x))))
        ),
        "The norm comes before `dense`; the order is `dense`, GELU, `norm`.": _head(
            lambda self, x: self.decoder(F.gelu(self.dense(self.norm(x))))
        ),
        "The norm is not used.": _head(lambda self, x: self.decoder(F.gelu(self.dense(x)))),
        "`dense` is not used.": _head(lambda self, x: self.decoder(self.norm(F.gelu(x)))),
        "You add `x` to the transformed vector; there is no residual path in the head.": _head(
            lambda self, x: self.decoder(x + self.norm(F.gelu(self.dense(x))))
        ),
        "The output matrix does not learn: it is detached from the embedding's gradient.": _head(tie=_frozen),
    },
)
def MaskedLMHead(attempt):
    """Devlin et al. 2019, section 3.1; tied weights: Press and Wolf 2017."""
    matrix = tensor(VOCABULARY, D)
    frozen = Part("Embedding", (VOCABULARY, D, None, None, 2.0, False, False, matrix, True))
    head = attempt.build(D, frozen)
    state = {
        "dense.weight": tensor(D, D),
        "dense.bias": tensor(D),
        "norm.weight": tensor(D) + 1,
        "norm.bias": tensor(D),
        "decoder.bias": tensor(VOCABULARY),
    }
    unfit = head.load(state)
    yield holds(
        unfit != ["decoder.bias"] or "decoder.weight" not in head.parameters(),
        "its decoder has a bias, (V,)",
        TURNED if "decoder.bias" in head.parameters() else NO_BIAS,
    )
    yield holds(
        not unfit,
        "it has `dense`, `norm` and `decoder` of the right sizes",
        f"These parameters are missing or of another size: {', '.join(unfit)}. "
        "Name the parts dense (D to D), norm and decoder (D to V).",
    )
    matrices = [value for value in head.parameters().values() if value.shape == matrix.shape]
    yield holds(
        matrices and all(torch.equal(value, matrix) for value in matrices),
        "its output matrix has the numbers of the token embedding",
        OWN_MATRIX,
    )
    x = tensor(B, T, D)
    logits = head(x)
    yield shaped(logits, B=B, T=T, V=VOCABULARY, hint="A score for every token of the vocabulary at every position.")
    # The check's embedding is frozen. If the head's matrix is the same parameter, no gradient reaches it.
    signals = head.gradients(x)["parameters"]
    own = [name for name, value in head.parameters().items() if value.shape == matrix.shape]
    yield holds(
        all(signals[name] is None for name in own),
        "it is the embedding's own parameter, not a copy: where one is frozen, so is the other",
        COPY,
        earns=1,
    )

    def right(x):
        hidden = F.gelu(F.linear(x, state["dense.weight"], state["dense.bias"]))
        hidden = F.layer_norm(hidden, (D,), state["norm.weight"], state["norm.bias"])
        return F.linear(hidden, matrix, state["decoder.bias"])

    yield close(
        logits,
        right(x),
        "the scores are decoder(norm(GELU(dense(x))))",
        "With known weights, the scores are not decoder(norm(GELU(dense(x)))).",
        tolerance=1e-2,  # leaves room for GELU's tanh form and for another epsilon
        earns=1,
    )
    few = tensor(7, D)
    yield close(
        head(few), right(few), "it also takes single vectors, (N, D)", "For (N, D) it must give (N, V).", tolerance=1e-2
    )
    learning = attempt.build(D, Part("Embedding", (VOCABULARY, D), {"weight": matrix}))
    still = [name for name, signal in learning.gradients(x)["parameters"].items() if signal is None]
    yield holds(
        not still,
        "gradients reach every part",
        f"No gradient reaches {', '.join(still)}: is something detached or frozen?",
    )


# --- 7.4 masked_lm_loss ----------------------------------------------------------------------------------------------


def _right_loss(logits, labels):
    """The mean over the chosen positions, in a plain loop; 0 if there are none."""
    terms = [
        -row.log_softmax(-1)[label]
        for row, label in zip(logits.flatten(0, -2), labels.flatten().tolist())
        if label != IGNORE
    ]
    return sum(terms) / len(terms) if terms else logits.sum() * 0


def _each(logits, labels):
    """Minus log-probability of the label at every position, 0 where there is none."""
    flat = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE, reduction="none")
    return flat.view(labels.shape)


def _guarded(labels):
    return (labels != IGNORE).sum().clamp(min=1)


def _over_all(logits, labels):
    """d2l's bug: the mean is taken before the weights come in."""
    mean = F.cross_entropy(logits.flatten(0, -2), labels.flatten().clamp(min=0))
    weights = (labels != IGNORE).float()
    return (mean * weights).sum() / weights.sum().clamp(min=1)


def _by_rows(logits, labels):
    return (_each(logits, labels).sum(-1) / (labels != IGNORE).sum(-1).clamp(min=1)).mean()


def _without_zero(logits, labels):
    chosen = labels > 0
    return (_each(logits, labels) * chosen).sum() / chosen.sum().clamp(min=1)


def _underflowing(logits, labels):
    chosen = labels != IGNORE
    terms = logits.softmax(-1).log().gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
    return -(terms[chosen]).sum() / chosen.sum().clamp(min=1)


def _picked(measure):
    """The mean of something else than the log-probability of the label."""

    def masked_lm_loss(logits, labels):
        picked = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
        return (measure(picked) * (labels != IGNORE)).sum() / _guarded(labels)

    return masked_lm_loss


def _last_two_turned(logits, labels):
    total = F.cross_entropy(logits.mT, labels, ignore_index=IGNORE, reduction="sum")
    return total / _guarded(labels)


def _first_two_flattened(logits, labels):
    total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum")
    return total / _guarded(labels)


def _two_axes_only(logits, labels):
    total = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORE, reduction="sum")
    return total / _guarded(labels)


OVER_ALL = (
    "Positions that were not chosen count too: the mean is taken before the labels of -100 are left out, so leaving "
    "them out does nothing."
)
ALL_POSITIONS = "You divide by the number of all positions; divide by the number of chosen ones."
PLAIN_ZERO = "With no chosen position you return a plain number; return a tensor there too, as `torch.tensor(0.0)`."


@exercise(
    points=2,
    mistakes={
        OVER_ALL: _over_all,
        ALL_POSITIONS: lambda logits, labels: _each(logits, labels).mean(),
        "`F.cross_entropy` takes (N, V) and (N,): flatten all axes but the one of the scores.": lambda logits, labels: (
            F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
        ),
        "You have `F.cross_entropy` leave out another label; it is -100 that means: does not count.": (
            lambda logits, labels: F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=0)
        ),
        "You return the sum; divide it by the number of chosen positions.": lambda logits, labels: _each(
            logits, labels
        ).sum(),
        "You take the mean of each row, then of the rows: a position among few in its row counts more.": _by_rows,
        "You leave out the label 0 too; only -100 means that a position does not count.": _without_zero,
        "You apply a softmax before the cross-entropy, which applies one itself; hand it the plain scores.": (
            lambda logits, labels: _each(logits.softmax(-1), labels).sum() / _guarded(labels)
        ),
        "The minus sign is missing: log-probabilities are negative, a loss is positive.": _picked(lambda logp: logp),
        "You average probabilities; the loss is the mean of minus their logarithms.": _picked(
            lambda logp: 1 - logp.exp()
        ),
        "The loss is in bits; take the natural logarithm, which gives nats.": _picked(lambda logp: -logp / 0.6931472),
        "It works for (B, T, V) only; the scores may also come as (N, V), with labels (N,).": _two_axes_only,
        "`logits.mT` fits scores (B, T, V) only; they may also come as (N, V): flatten all axes but the last.": (
            _last_two_turned
        ),
        "`flatten(0, 1)` fits scores (B, T, V) only; they may also come as (N, V): `flatten(0, -2)` leaves V alone.": (
            _first_two_flattened
        ),
        "Large scores give infinity: a softmax that rounds to 0 has no logarithm; use `log_softmax`.": _underflowing,
        PLAIN_ZERO: lambda logits, labels: _right_loss(logits, labels) if (labels != IGNORE).any() else 0.0,
        "With no chosen position at all you divide 0 by 0, which is NaN; the loss must be 0.": lambda logits, labels: (
            F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE)
        ),
    },
)
def masked_lm_loss(attempt):
    """Devlin et al. 2019, section 3.1 and appendix A.2."""
    logits = tensor(2, 5, 7)
    labels = torch.tensor([[IGNORE, 3, IGNORE, 0, 6], [IGNORE, IGNORE, IGNORE, IGNORE, 2]])
    loss = attempt(logits, labels)
    yield shaped(loss, what="the loss", hint="One number for the whole batch.")
    noise = torch.where((labels == IGNORE)[..., None], 3 * tensor(2, 5, 7), 0.0)
    changed = attempt(logits + noise, labels)
    yield shaped(changed, what="the loss for other scores")
    yield close(changed, loss, "scores at positions labelled -100 do not matter", OVER_ALL)
    yield holds(loss > 0, "it is positive", "The loss is not positive: it is the mean of minus the log-probabilities.")
    yield close(
        loss,
        _right_loss(logits, labels),
        "it is the mean of -log p(label) over the chosen positions",
        "Only chosen positions count, but their mean is not that of -log p(label): sum, then divide by their number.",
        earns=1,
    )
    yield close(
        attempt(logits[1], labels[1]),
        _right_loss(logits[1], labels[1]),
        "it takes (N, V) and (N,) too",
        "For scores (N, V) and labels (N,) the loss is not the mean over the chosen positions.",
    )
    huge = attempt(logits * 1000, labels)
    yield shaped(huge, what="the loss for scores in the thousands")
    yield close(
        huge,
        _right_loss(logits * 1000, labels),
        "scores in the thousands do no harm",
        "Large scores give a wrong loss.",
    )
    slopes = attempt.gradients(logits, labels)["arguments"][0]
    yield holds(
        slopes is not None and slopes[labels != IGNORE].any() and not slopes[labels == IGNORE].any(),
        "gradients reach the chosen positions, and only these",
        "The gradient must reach the scores of chosen positions only: is the loss detached, or made of plain numbers?",
    )
    none = attempt(logits, torch.full_like(labels, IGNORE))
    yield holds(
        isinstance(none, torch.Tensor) and none.numel() == 1 and none.item() == 0,
        "with no chosen position at all it is 0",
        "With no chosen position the loss must be 0." if isinstance(none, torch.Tensor) else PLAIN_ZERO,
        received=none,
    )


# --- 7.5 held_out_loss -----------------------------------------------------------------------------------------------


def _batches(scores, inputs, labels, batch):
    """What each batch gives: its mean loss, its number of chosen positions, and of positions."""
    pairs = zip(inputs.split(batch), labels.split(batch))
    return [(_right_loss(scores(x), y).item(), int((y != IGNORE).sum()), y.numel()) for x, y in pairs]


def _weighted(batches):
    return sum(loss * chosen for loss, chosen, _ in batches) / sum(chosen for _, chosen, _ in batches)


def _joined(join, training=False):
    """A held_out_loss that joins what the batches give in its own way."""

    def held_out_loss(model, inputs, labels, batch=256):
        return join(_batches(model.train(training), inputs, labels, batch))

    return held_out_loss


def _all_at_once(model, inputs, labels, batch=256):
    return _weighted(_batches(model.eval(), inputs, labels, len(inputs)))


def _in_so_many_parts(model, inputs, labels, batch=256):
    pairs = zip(inputs.chunk(batch), labels.chunk(batch))
    return _weighted([each for x, y in pairs for each in _batches(model.eval(), x, y, len(x))])


def _context_hidden(model, inputs, labels, batch=256):
    return _weighted(_batches(model.eval(), inputs.masked_fill(labels == IGNORE, 0), labels, batch))


def _without_the_last(model, inputs, labels, batch=256):
    full = len(inputs) // batch * batch
    return _weighted(_batches(model.eval(), inputs[:full], labels[:full], batch))


# Sentences, and the numbers that tell them: what the batches give, joined in a wrong way.
WRONGLY_JOINED = {
    "You average the batches' means: a position in a batch with few chosen ones counts more than another.": (
        lambda batches: sum(loss for loss, _, _ in batches) / len(batches)
    ),
    "Only the first batch counts: is there a `return` inside the loop?": lambda batches: batches[0][0],
    "Only the last batch counts: add up inside the loop, with `+=`.": lambda batches: batches[-1][0],
    "You return the sum over the chosen positions; divide by their number.": (
        lambda batches: sum(loss * chosen for loss, chosen, _ in batches)
    ),
    "You weigh a batch by its rows or all its positions; weigh it by its chosen positions.": (
        lambda batches: sum(loss * size for loss, _, size in batches) / sum(size for _, _, size in batches)
    ),
    ALL_POSITIONS: lambda batches: (
        sum(loss * chosen for loss, chosen, _ in batches) / sum(size for *_, size in batches)
    ),
    "You add up means and divide by the number of positions: multiply each mean by its number of positions first.": (
        lambda batches: sum(loss for loss, _, _ in batches) / sum(chosen for _, chosen, _ in batches)
    ),
    "You return the perplexity; the loss is asked for.": lambda batches: torch.tensor(_weighted(batches)).exp().item(),
}
ONLY_MASKED = "Only positions that hold [MASK] count; every position counts whose label is not -100."
CONTEXT_HIDDEN = "The model does not see the tokens that are not asked for: hand it `inputs` as they are."
DROPOUT = "Dropout is on, and the loss changes from call to call: switch the model to evaluation first, `model.eval()`."


def _only_masked(labels, inputs):
    """The labels of a learner who takes [MASK], which has the id 4 in the lesson, for the mark of a chosen position."""
    return labels.masked_fill(inputs != 4, IGNORE)


def _how_joined(value, scores, inputs, labels, batch):
    """The sentence for a number that is not the mean over all chosen positions; `scores(inputs)` are the right ones."""
    batches = _batches(scores, inputs, labels, batch)
    known = {sentence: join(batches) for sentence, join in WRONGLY_JOINED.items()}
    known[ONLY_MASKED] = _weighted(_batches(scores, inputs, _only_masked(labels, inputs), batch))
    hidden = _batches(scores, inputs.masked_fill(labels == IGNORE, 0), labels, batch)
    known[CONTEXT_HIDDEN] = _weighted(hidden)
    for sentence, wrong in known.items():
        if abs(wrong - value) < 1e-4:
            return sentence
    if batch >= len(inputs):
        return "In one batch, it is not the mean loss of the chosen positions: sum over these, divide by their number."
    return "The result is another than in one batch: sum over all batches, to the last row, then divide once."


@exercise(
    points=2,
    uses=("masked_lm_loss",),
    mistakes={
        **{sentence: _joined(join) for sentence, join in WRONGLY_JOINED.items()},
        DROPOUT: _joined(_weighted, training=True),
        ONLY_MASKED: lambda model, inputs, labels, batch=256: _weighted(
            _batches(model.eval(), inputs, _only_masked(labels, inputs), batch)
        ),
        "Call the model as `model(inputs)`, without `positions`: the check's model takes nothing else.": (
            lambda model, inputs, labels, batch=256: model.eval()(inputs, positions=None)
        ),
        "The model gets tokens that are not in `inputs`: the masks are drawn already, so don't corrupt again.": (
            lambda model, inputs, labels, batch=256: model.eval()(inputs + 100)
        ),
        "The last batch is left out when it is not full.": _without_the_last,
        "The model gets more rows at once than `batch`: cut them with `inputs.split(batch)`.": _all_at_once,
        "`chunk(batch)` makes `batch` parts; `split(batch)` makes parts of `batch` rows.": _in_so_many_parts,
        CONTEXT_HIDDEN: _context_hidden,
    },
)
def held_out_loss(attempt):
    """The oracle is `F.cross_entropy` over all positions at once."""
    vocabulary, rows, length = 6, 7, 5
    table = tensor(vocabulary, vocabulary, scale=2)

    def model(most, dropout=0.5):
        return Part("Guesser", (vocabulary, most, dropout), {"table.weight": table})

    right = parts.Guesser(vocabulary)
    right.load_state_dict({"table.weight": table})
    inputs, labels = integers(0, vocabulary, (rows, length)), integers(0, vocabulary, (rows, length))
    for row, count in enumerate((1, 5, 2, 0, 4, 1, 3)):  # no two batches of 3 rows have as many chosen positions
        labels[row, count:] = IGNORE
    expected = F.cross_entropy(right(inputs).flatten(0, 1), labels.flatten(), ignore_index=IGNORE).item()

    def measured(model, batch, sentence, otherwise="", earns=0):
        value = attempt(model, inputs, labels, batch)
        value = float(value) if isinstance(value, (int, float)) or _single(value) else None
        good = value is not None and abs(value - expected) < 1e-4
        wrong = "Return one number: the mean loss of all chosen positions."
        if value is not None:
            wrong = otherwise or _how_joined(value, right, inputs, labels, batch)
        return holds(good, sentence, wrong, expected=expected, received=value, earns=earns)

    yield measured(model(rows, 0.0), rows, "in one batch it is the mean loss of all chosen positions", earns=1)
    yield measured(model(rows), rows, "with dropout off", DROPOUT)
    yield measured(model(3), 3, "in batches of 3 it is the same, to the last row")
    yield measured(model(1), 1, "and row by row, though one row has no chosen position")


# --- 7.6 learning_rate -----------------------------------------------------------------------------------------------

STEPS, WARMUP, PEAK = 50, 10, 4.0  # so that two decimals, which a panel shows, tell all rates apart


def _schedule(step, steps, peak, warmup):
    """Where the straight lines are, worked out by hand for the check's sizes."""
    return peak * min((step + 1) / warmup if warmup else 1.0, (steps - step) / (steps - warmup))


def _warm(after):
    """The right warm-up with another way down."""

    def learning_rate(step, steps, peak, warmup):
        return peak * (step + 1) / warmup if step < warmup else peak * after(step, steps, warmup)

    return learning_rate


def _cosine(step, steps, warmup):
    return (1 + torch.tensor(torch.pi * (step - warmup) / (steps - warmup)).cos().item()) / 2


FROM_ZERO = (
    "The first step has a rate of 0 and does nothing: step 0 is the first of `warmup` steps, so it gets peak / warmup."
)
NO_WARMUP = "The warm-up is missing: the rate starts at the peak."
FACTOR = "You return a factor between 0 and 1: multiply it by `peak`."


@exercise(
    points=2,
    mistakes={
        FROM_ZERO: lambda step, steps, peak, warmup: (
            peak * step / warmup if step < warmup else peak * (steps - step) / (steps - warmup)
        ),
        NO_WARMUP: lambda step, steps, peak, warmup: peak * (steps - step) / steps,
        FACTOR: lambda step, steps, peak, warmup: _schedule(step, steps, 1.0, warmup),
        "The rate stays at the peak after the warm-up; it must go down to 0.": _warm(lambda step, steps, warmup: 1.0),
        "The way down starts below the peak: it must begin where the warm-up ends, not at step 0.": _warm(
            lambda step, steps, warmup: (steps - step) / steps
        ),
        "The way down ends above 0: it has only `steps - warmup` steps.": _warm(
            lambda step, steps, warmup: 1 - (step - warmup) / steps
        ),
        "The way down is a cosine; here it is a straight line.": _warm(_cosine),
        "The way down follows 1 / √step, as in Vaswani et al. 2017; here it is a straight line to 0.": _warm(
            lambda step, steps, warmup: (warmup / max(step, 1)) ** 0.5
        ),
        "It fails for a warm-up of 0 steps, which means: start at the peak.": lambda step, steps, peak, warmup: (
            peak * min((step + 1) / warmup, (steps - step) / (steps - warmup))
        ),
    },
)
def learning_rate(attempt):
    """Devlin et al. 2019, appendix A.2."""

    def rates(steps, warmup, at):
        """The rates at some steps; what is no number becomes NaN."""
        values = [attempt(step, steps, PEAK, warmup) for step in at]
        return [float(v) if isinstance(v, (int, float)) or _single(v) else None for v in values]

    def right(received, steps, warmup, at, sentence, otherwise, earns=0):
        expected = [_schedule(step, steps, PEAK, warmup) for step in at]
        numbers = torch.tensor([float("nan") if value is None else value for value in received])
        return close(numbers, torch.tensor(expected), sentence, otherwise, tolerance=1e-6, earns=earns)

    (first,) = rates(STEPS, WARMUP, [0])
    yield holds(first is not None, "it is a number", "Return a number: the learning rate of this step.")
    yield right([first], STEPS, WARMUP, [0], "step 0 gets peak / warmup", _first_wrong(first))
    up, down = range(1, WARMUP), range(WARMUP, STEPS)
    yield right(
        rates(STEPS, WARMUP, up), STEPS, WARMUP, up,
        "then it rises in equal parts, to the peak at the last step of the warm-up",
        "During the warm-up the rate must rise in equal parts of peak / warmup, up to the peak.",
        earns=1,
    )  # fmt: skip
    yield right(
        rates(STEPS, WARMUP, [WARMUP]), STEPS, WARMUP, [WARMUP],
        "from there it goes down, beginning at the peak",
        "At step `warmup` the rate must still be the peak: the way down begins there.",
    )  # fmt: skip
    yield right(
        rates(STEPS, WARMUP, [STEPS]), STEPS, WARMUP, [STEPS],
        "after `steps` steps it is 0",
        "At step `steps`, one past the last, the rate must be 0.",
    )  # fmt: skip
    yield right(
        rates(STEPS, WARMUP, down), STEPS, WARMUP, down,
        "in a straight line",
        "From the peak to 0 the rate must go down in a straight line.",
    )  # fmt: skip
    at = [0, 7, 19]
    yield right(
        rates(20, 0, at), 20, 0, at, "without a warm-up it starts at the peak",
        "With a warm-up of 0 steps the rate must start at the peak and go down in a straight line.",
    )  # fmt: skip


def _first_wrong(first):
    if first == 0:
        return FROM_ZERO
    return NO_WARMUP if first is not None and abs(first - PEAK) < 1e-6 else "Step 0 must get peak / warmup."


def _single(value):
    return isinstance(value, torch.Tensor) and value.numel() == 1
