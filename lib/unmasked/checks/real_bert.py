"""Checks of lesson 09. The oracles are PyTorch's encoder layer, its layer norm and its cosine similarity.

No real weights come here: models are small, of sizes that differ from each other, and their weights random.
"""

import math
import re

import torch
import torch.nn.functional as F
from torch import nn

from unmasked.attempt import AttemptFailed
from unmasked.criteria import close, holds, integers, shaped, tensor
from unmasked.exercise import exercise, explain

B, T, D, V, PLACES = 3, 5, 12, 17, 9  # sequences, tokens, width, vocabulary, positions
HEADS, LAYERS, HIDDEN = 4, 3, 14
EPS = 1e-12
QUIET = 1e-3  # times this, numbers are so small that an eps of 1e-5 drowns them


def _fits(module, state):
    """Puts `state` into the module: the criterion that it has these names and sizes, and no others."""
    sentence = "its parameters have the names and sizes that the text fixes, and there are no others"
    if unfit := module.load(state):
        own = module.parameters()  # asked for only now: known mistakes further on need not share first weights
        return holds(False, sentence, _misfit(unfit[0], own, state))
    more = [name for name in module.names() if name not in state]
    extra = more[0] if more else ""
    return holds(
        not more,
        sentence,
        f"It has `{extra}` besides, for which BERT has no tensor, so that loading would fail. Compute in `forward` "
        "what is not learned, and leave out what the text doesn't name.",
    )


def _misfit(name, own, state):
    """Why a tensor finds no place."""
    if name in own:
        return f"`{name}` has shape {tuple(own[name].shape)} instead of {tuple(state[name].shape)}."
    return f"It has no parameter `{name}`. It has: {', '.join(list(own)[:6]) or 'none'} ..."


# --- 9.1 BertEmbeddings ----------------------------------------------------------------------------------------------


def _right_sum(net, tokens, kinds):
    return net.word(tokens) + net.position(torch.arange(tokens.shape[1])) + net.token_type(kinds)


def _embeddings(vector=_right_sum, eps=EPS, finish=lambda net, x: net.norm(x), kind=0, types=2):
    """A BertEmbeddings that is wrong in one thing."""

    class BertEmbeddings(nn.Module):
        def __init__(self, vocab_size, d_model, max_tokens):
            super().__init__()
            self.word = nn.Embedding(vocab_size, d_model)
            self.position = nn.Embedding(max_tokens, d_model)
            self.token_type = nn.Embedding(types, d_model)
            self.norm = nn.LayerNorm(d_model, eps=eps)

        def forward(self, tokens, token_types=None):
            if token_types is None:
                token_types = torch.full_like(tokens, kind)
            return finish(self, vector(self, tokens, token_types))

    return BertEmbeddings


class _NoTokenTypes(nn.Module):
    def __init__(self, vocab_size, d_model, max_tokens):
        super().__init__()
        self.word = nn.Embedding(vocab_size, d_model)
        self.position = nn.Embedding(max_tokens, d_model)
        self.norm = nn.LayerNorm(d_model, eps=EPS)

    def forward(self, tokens, token_types=None):
        return self.norm(self.word(tokens) + self.position(torch.arange(tokens.shape[1])))


class _NoneIsNotHandled(_embeddings()):
    def forward(self, tokens, token_types=None):
        return self.norm(_right_sum(self, tokens, token_types))


class _PositionsKept(_embeddings()):
    def __init__(self, vocab_size, d_model, max_tokens):
        super().__init__(vocab_size, d_model, max_tokens)
        self.register_buffer("position_ids", torch.arange(max_tokens)[None])


def _positions_of_rows(net, tokens, kinds):
    return net.word(tokens) + net.position(torch.arange(tokens.shape[0]))[:, None] + net.token_type(kinds)


def _positions(find):
    """A BertEmbeddings that looks other positions up."""
    return _embeddings(
        lambda net, tokens, kinds: net.word(tokens) + net.position(find(net, tokens)) + net.token_type(kinds)
    )


def _norm_over_rows(net, x):
    alike = F.layer_norm(x, x.shape[1:], eps=EPS)
    return alike * net.norm.weight + net.norm.bias


def _norm_of_each(net, tokens, kinds):
    return (
        net.norm(net.word(tokens))
        + net.norm(net.position(torch.arange(tokens.shape[1])))
        + net.norm(net.token_type(kinds))
    )


@exercise(
    points=2,
    mistakes={
        "There is no `token_type`: BERT adds a third vector, which says in which of two texts a token stands.": (
            _NoTokenTypes
        ),
        "The token types are not added: all three vectors are, also where there is one text only.": (
            _embeddings(lambda net, tokens, kinds: net.word(tokens) + net.position(torch.arange(tokens.shape[1])))
        ),
        "The `token_types` that are passed in have no effect.": (
            _embeddings(lambda net, tokens, kinds: _right_sum(net, tokens, torch.zeros_like(tokens)))
        ),
        "Left out, `token_types` are None, which can't be looked up: make them 0 then.": _NoneIsNotHandled,
        "Left out, the token types are 1 in yours; a text that stands alone is text 0.": _embeddings(kind=1),
        "There are three token types in yours; BERT knows two, 0 and 1.": _embeddings(types=3),
        "The positions are not added.": _embeddings(
            lambda net, tokens, kinds: net.word(tokens) + net.token_type(kinds)
        ),
        "Your positions count the rows of the batch; they count the tokens of a row: `tokens.shape[1]`.": (
            _embeddings(_positions_of_rows)
        ),
        "You make as many positions as the batch has rows, `tokens.shape[0]` or `len(tokens)`; they count the tokens "
        "of a row: `tokens.shape[1]`.": _positions(lambda net, tokens: torch.arange(tokens.shape[0])),
        "You add all `max_tokens` positions; a row has fewer tokens: take the first `tokens.shape[1]`.": (
            _positions(lambda net, tokens: torch.arange(net.position.num_embeddings))
        ),
        "You look the positions up by the tokens' ids; a position is a place in the row, 0, 1, 2, ...: "
        "`torch.arange(tokens.shape[1])`.": _positions(lambda net, tokens: tokens),
        "You look up a number that its table does not have: token types are 0 and 1, and positions count from 0 in "
        "each row.": _embeddings(lambda net, tokens, kinds: _right_sum(net, tokens, tokens)),
        "Your positions start with 1; the first token stands at 0.": (
            _embeddings(
                lambda net, tokens, kinds: (
                    net.word(tokens) + net.position(torch.arange(1, tokens.shape[1] + 1)) + net.token_type(kinds)
                )
            )
        ),
        "`eps` is PyTorch's default, 1e-5; BERT's is 1e-12.": _embeddings(eps=1e-5),
        "`eps` is 1e-6, as in other models; BERT's is 1e-12.": _embeddings(eps=1e-6),
        "The buffer `position_ids` asks for a tensor of its own when weights are loaded; use `torch.arange` in "
        "`forward`, or register it with `persistent=False`.": _PositionsKept,
        "The norm is missing.": _embeddings(finish=lambda net, x: x),
        "Only the word's vector is normalized; the sum of all three is.": (
            _embeddings(
                lambda net, tokens, kinds: (
                    net.norm(net.word(tokens)) + _right_sum(net, tokens, kinds) - net.word(tokens)
                ),
                finish=lambda net, x: x,
            )
        ),
        "Each of the three vectors is normalized alone; their sum is to be.": (
            _embeddings(_norm_of_each, finish=lambda net, x: x)
        ),
        "You normalize a whole row at once; each token is normalized alone, over its `d_model` numbers.": (
            _embeddings(finish=_norm_over_rows)
        ),
        "The words' vectors are multiplied by √d_model, as in the first transformer; BERT doesn't do that.": (
            _embeddings(
                lambda net, tokens, kinds: (
                    _right_sum(net, tokens, kinds) + (net.word.embedding_dim**0.5 - 1) * net.word(tokens)
                )
            )
        ),
    },
)
def BertEmbeddings(attempt):
    """Devlin et al. 2019, section 3 and figure 2; eps from the code that its authors published."""
    state = {
        "word.weight": tensor(V, D),
        "position.weight": tensor(PLACES, D),
        "token_type.weight": tensor(2, D),
        "norm.weight": tensor(D) + 2,
        "norm.bias": tensor(D),
    }
    net = attempt.build(V, D, PLACES)
    yield _fits(net, state)
    net.mode(training=False)
    tokens = integers(2, PLACES, (B, T))  # ids that are positions as well: to mix these up is no IndexError
    expected = _embedded(state, tokens, torch.zeros_like(tokens))
    result = net(tokens)
    yield shaped(result, B=B, T=T, D=D)
    yield close(
        result,
        expected,
        "the result is the norm of word + position + token type 0",
        "Without `token_types`, the result is not the norm of word + position + token type 0.",
        earns=1,
        tolerance=1e-3,
    )
    kinds = integers(0, 2, (B, T))
    yield close(
        net(tokens, kinds),
        _embedded(state, tokens, kinds),
        "each token gets the vector of its own token type",
        "With `token_types`, the result is not the norm of word + position + token type.",
        tolerance=1e-3,
    )
    quiet = state | {name: QUIET * value for name, value in state.items() if not name.startswith("norm")}
    net.load(quiet)
    yield close(
        net(tokens),
        _embedded(quiet, tokens, torch.zeros_like(tokens)),
        "small numbers are normalized in full: eps is 1e-12",
        "For small numbers the result is wrong: they drown in the norm's `eps`, which is 1e-12 in BERT.",
        tolerance=1e-3,
    )
    full = integers(0, V, (1, PLACES))
    yield close(
        net(full),
        _embedded(quiet, full, torch.zeros_like(full)),
        "a row may take all positions there are",
        "It fails for a single row that takes all positions.",
        tolerance=1e-3,
    )


def _embedded(state, tokens, kinds):
    parts = (tokens, "word"), (torch.arange(tokens.shape[1]), "position"), (kinds, "token_type")
    total = sum(F.embedding(ids, state[f"{name}.weight"]) for ids, name in parts)
    return F.layer_norm(total, total.shape[-1:], state["norm.weight"], state["norm.bias"], EPS)


# --- 9.2 rename ------------------------------------------------------------------------------------------------------

OURS = {
    "embeddings.word_embeddings": "embeddings.word",
    "embeddings.position_embeddings": "embeddings.position",
    "embeddings.token_type_embeddings": "embeddings.token_type",
    "embeddings.LayerNorm": "embeddings.norm",
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feed_forward.up",
    "output.dense": "feed_forward.down",
    "output.LayerNorm": "feed_forward_norm",
}
EMBEDDINGS = [f"{name}.weight" for name in OURS if name.startswith("embeddings")] + ["embeddings.LayerNorm.bias"]
INSIDE = [f"{name}.{kind}" for name in OURS if not name.startswith("embeddings") for kind in ("weight", "bias")]
WITHOUT_A_PLACE = ("pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids")


def _renamed(name, table=OURS):
    """Our name for one of BERT's tensors, taken apart by a regular expression."""
    layer, middle, kind = re.fullmatch(r"(?:encoder\.layer\.(\d+)\.)?(.+)\.(weight|bias)", name).groups()
    prefix = f"encoder.blocks.{layer}." if layer else ""
    return f"{prefix}{table[middle]}.{kind}"


def _rename(pooler=None, positions=None, after=lambda new: new, **table):
    """A `rename` that is wrong in one thing; `table` are names (with _ for .) that it gets wrong."""
    changed = OURS | {name: table[name.replace(".", "_")] for name in OURS if name.replace(".", "_") in table}

    def rename(name):
        if name.startswith("pooler"):
            return after(pooler(name)) if pooler else None
        if name == WITHOUT_A_PLACE[2]:
            return positions
        return after(_renamed(name, changed))

    return rename


def _not_in_table(name):
    raise KeyError(name)


@exercise(
    points=2,
    mistakes={
        "What follows attention lands in the feed-forward net: `output.dense` and `output.LayerNorm` also end the "
        "names `attention.output.dense` and `attention.output.LayerNorm`. Treat the longer ones first.": _rename(
            attention_output_dense="attention.feed_forward.down",
            attention_output_LayerNorm="attention.feed_forward_norm",
        ),
        "The last linear map of attention lands in the feed-forward net: `output.dense` is also the end of "
        "`attention.output.dense`. Treat the longer name first.": _rename(
            attention_output_dense="attention.feed_forward.down"
        ),
        "The linear maps of attention and of the feed-forward net swap their places: `attention.output.dense` belongs "
        "to attention.": _rename(attention_output_dense="feed_forward.down", output_dense="attention.output"),
        "The norm after attention lands in the feed-forward net: `output.LayerNorm` is also the end of "
        "`attention.output.LayerNorm`. Treat the longer name first.": _rename(
            attention_output_LayerNorm="attention.feed_forward_norm"
        ),
        "Both norms of a layer get the same name: the one under `attention.output` is `attention_norm`.": (
            _rename(attention_output_LayerNorm="feed_forward_norm")
        ),
        "The two norms of a layer are swapped: the one under `attention.output` is `attention_norm`.": (
            _rename(attention_output_LayerNorm="feed_forward_norm", output_LayerNorm="attention_norm")
        ),
        "`self` stays in the names of query, key and value; ours are right under `attention`.": _rename(
            attention_self_query="attention.self.query",
            attention_self_key="attention.self.key",
            attention_self_value="attention.self.value",
        ),
        "`up` and `down` are swapped: `intermediate` leads up to the wide layer.": (
            _rename(intermediate_dense="feed_forward.down", output_dense="feed_forward.up")
        ),
        "`encoder.layer.0` keeps its name; ours is `encoder.blocks.0`, and so for every number: the 3 in the table is "
        "an example.": (_rename(after=lambda new: new.replace("encoder.blocks", "encoder.layer"))),
        "Every layer gets the number 0; keep the number that stands in the name.": (
            _rename(after=lambda new: re.sub(r"blocks\.\d+", "blocks.0", new))
        ),
        "Numbers of two digits lose one: a BERT of twelve layers has a layer 11.": (
            _rename(after=lambda new: re.sub(r"blocks\.(\d)\d", r"blocks.\1", new))
        ),
        "Your layers count from 1; the number stays as it is.": (
            _rename(after=lambda new: re.sub(r"blocks\.(\d+)", lambda m: f"blocks.{int(m[1]) + 1}", new))
        ),
        "`.bias` becomes `.weight`; the last part of a name stays as it is.": (
            _rename(after=lambda new: new.replace(".bias", ".weight"))
        ),
        "`embeddings.LayerNorm` keeps its name; ours is `embeddings.norm`.": (
            _rename(embeddings_LayerNorm="embeddings.LayerNorm")
        ),
        "The pooler has no place in our model; return None for it.": _rename(pooler=lambda name: name),
        "For the pooler it raises KeyError; return None. `table.get(name)` gives None for what is not in a table.": (
            _rename(pooler=_not_in_table)
        ),
        "`embeddings.position_ids` is not learned, only 0, 1, 2, ...; return None for it.": (
            _rename(positions="embeddings.position_ids")
        ),
    },
)
def rename(attempt):
    """The names in the published checkpoint, and in `nanobert`."""
    received = {name: attempt(name) for name in EMBEDDINGS}
    yield _names(received, "the embeddings and their norm have their names")
    received = {name: attempt(name) for name in (f"encoder.layer.0.{inside}" for inside in INSIDE)}
    yield _names(received, "every tensor of layer 0 has its name")
    received = {name: attempt(name) for layer in (1, 5, 11) for name in [f"encoder.layer.{layer}.{INSIDE[-1]}"]}
    yield _names(received, "every layer keeps its number", earns=1)
    for name in WITHOUT_A_PLACE:
        try:
            result = attempt(name)
            told = f"For `{name}` you return {result!r}; our model has no place for it, so return None."
        except AttemptFailed as failed:
            result = failed
            told = f"Our model has no place for `{name}`, so return None. {explain(failed.reply)}"
        yield holds(result is None, f"`{name}` has no place: None", told)


def _names(received, sentence, earns=0):
    """The criterion that all names are the right ones; the first wrong one is told."""
    wrong = next((name for name, new in received.items() if new != _renamed(name)), None)
    if wrong is None:
        return holds(True, sentence, "", earns=earns)
    if set(received.values()) == {None}:
        return holds(False, sentence, "The result is None for every name: is a `return` missing?")
    return holds(False, sentence, f"`{wrong}` becomes {received[wrong]!r} instead of {_renamed(wrong)!r}.")


# --- 9.3 Bert --------------------------------------------------------------------------------------------------------


class _Attention(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(d_model, d_model) for _ in range(4))
        self.heads = heads

    def forward(self, x, mask):
        parts = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        visible = None if mask is None else ~mask[:, None, None]
        return self.output(F.scaled_dot_product_attention(*parts, attn_mask=visible).transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, d_model, d_hidden):
        super().__init__()
        self.up, self.down = nn.Linear(d_model, d_hidden), nn.Linear(d_hidden, d_model)

    def forward(self, x, form):
        return self.down(F.gelu(self.up(x), approximate=form))


class _Block(nn.Module):
    def __init__(self, d_model, heads, d_hidden, pre_norm, eps, form):
        super().__init__()
        self.attention, self.feed_forward = _Attention(d_model, heads), _FeedForward(d_model, d_hidden)
        self.attention_norm, self.feed_forward_norm = (nn.LayerNorm(d_model, eps=each) for each in eps)
        self.pre_norm, self.form = pre_norm, form

    def forward(self, x, mask):
        if self.pre_norm:
            x = x + self.attention(self.attention_norm(x), mask)
            return x + self.feed_forward(self.feed_forward_norm(x), self.form)
        x = self.attention_norm(x + self.attention(x, mask))
        return self.feed_forward_norm(x + self.feed_forward(x, self.form))


def _bert(
    sizes=lambda heads, layers, hidden: (heads, layers, hidden),
    pre_norm=False,
    eps=(EPS, EPS),
    form="none",
    shared=False,
    shared_part=None,
    last_norm=False,
    embeddings=None,
    enter=lambda model, tokens, mask: model.embeddings(tokens),
    masked=lambda mask, tokens: mask,
):
    """A Bert that is wrong in one thing."""

    class Bert(nn.Module):
        def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens):
            super().__init__()
            heads, layers, d_hidden = sizes(heads, layers, d_hidden)
            self.embeddings = (embeddings or _embeddings())(vocab_size, d_model, max_tokens)
            blocks = [_Block(d_model, heads, d_hidden, pre_norm, eps, form) for _ in range(layers)]
            for block in blocks if shared_part else ():
                setattr(block, shared_part, getattr(blocks[0], shared_part))
            self.encoder = nn.Module()
            self.encoder.blocks = nn.ModuleList([blocks[0]] * layers if shared else blocks)
            self.encoder.norm = nn.LayerNorm(d_model) if last_norm else nn.Identity()

        def forward(self, tokens, key_padding_mask=None):
            x = enter(self, tokens, key_padding_mask)
            for block in self.encoder.blocks:
                x = block(x, masked(key_padding_mask, tokens))
            return self.encoder.norm(x)

    return Bert


class _WithPooler(_bert()):
    def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens):
        super().__init__(vocab_size, d_model, heads, layers, d_hidden, max_tokens)
        self.pooler = nn.Linear(d_model, d_model)


@exercise(
    points=3,
    uses=("BertEmbeddings",),
    mistakes={
        "The blocks' norms compute with PyTorch's eps, 1e-5; BERT's is 1e-12, in every norm. If you have set `.eps` of "
        "each to 1e-12, your own `EncoderBlock` of lesson 05 does not use it: call the norms themselves there, "
        "`self.attention_norm(...)` and `self.feed_forward_norm(...)`, save, and carry it on again.": _bert(
            eps=(1e-5, 1e-5)
        ),
        "Only one norm of a block computes with BERT's eps: `feed_forward_norm` still uses 1e-5.": (
            _bert(eps=(EPS, 1e-5))
        ),
        "Only one norm of a block computes with BERT's eps: `attention_norm` still uses 1e-5.": (
            _bert(eps=(1e-5, EPS))
        ),
        "Your blocks are pre-norm; BERT is post-norm: `pre_norm=False`.": _bert(pre_norm=True),
        "Your encoder has a last norm; a post-norm block ends in one, so BERT has no other.": _bert(last_norm=True),
        "The feed-forward net has GELU's approximation with tanh; BERT's has the exact one.": _bert(form="tanh"),
        "It is one block, used several times: make a new one for each layer.": _bert(shared=True),
        "All blocks share one `attention`: make a new one for each, inside the loop.": _bert(shared_part="attention"),
        "All blocks share one `feed_forward`: make a new one for each, inside the loop.": (
            _bert(shared_part="feed_forward")
        ),
        "The mask does not reach the blocks.": _bert(masked=lambda mask, tokens: None),
        "You make a mask of the tokens that are 0; hide what the argument `key_padding_mask` says.": (
            _bert(masked=lambda mask, tokens: tokens == 0)
        ),
        "Besides the padding you hide tokens that are 0; only `key_padding_mask` says what is hidden.": (
            _bert(masked=lambda mask, tokens: None if mask is None else mask | (tokens == 0))
        ),
        "Where no mask is passed in, you make one of the tokens that are 0; None means that nothing is hidden.": (
            _bert(masked=lambda mask, tokens: tokens == 0 if mask is None else mask)
        ),
        "You pass the mask to the embeddings, whose second argument is `token_types`; it belongs to the encoder.": (
            _bert(enter=lambda model, tokens, mask: model.embeddings(tokens, mask))
        ),
        "The mask is turned round: True means padding, as everywhere in this course.": (
            _bert(masked=lambda mask, tokens: None if mask is None else ~mask)
        ),
        "The hidden width is `d_hidden`; 4 · d_model is only what most models pass in.": (
            _bert(lambda heads, layers, hidden: (heads, layers, 4 * D))
        ),
        "`heads` and `layers` are swapped.": _bert(lambda heads, layers, hidden: (layers, heads, hidden)),
        "The number of layers is fixed in yours: make as many blocks as `layers` says.": (
            _bert(lambda heads, layers, hidden: (heads, 6, hidden))
        ),
        "The number of heads that is passed in has no effect.": (
            _bert(lambda heads, layers, hidden: (1, layers, hidden))
        ),
        "The number of heads is fixed in yours, to 12: make as many as `heads` says.": (
            _bert(lambda heads, layers, hidden: (12, layers, hidden))
        ),
        "The embeddings in it have no norm.": (
            _bert(enter=lambda model, tokens, mask: _vectors(model.embeddings, tokens))
        ),
        "There is a pooler in it; BERT's has no place in ours, since nothing here needs it.": _WithPooler,
        "There is one block too few.": _bert(lambda heads, layers, hidden: (heads, layers - 1, hidden)),
    },
)
def Bert(attempt):
    """`nn.TransformerEncoderLayer` with eps 1e-12, over embeddings. Devlin et al. 2019, section 3."""
    layers = [_layer() for _ in range(LAYERS)]
    words = {
        "word.weight": tensor(V, D),
        "position.weight": tensor(PLACES, D),
        "token_type.weight": tensor(2, D),
        "norm.weight": tensor(D) + 2,
        "norm.bias": tensor(D),
    }
    model = attempt.build(V, D, HEADS, LAYERS, HIDDEN, PLACES)
    yield _fits(model, _state(words, layers))
    model.mode(training=False)
    tokens = integers(1, V, (B, T))  # no 0: who takes 0 for padding is told so below
    result = model(tokens)
    yield shaped(result, B=B, T=T, D=D)
    yield close(
        result,
        _encoded(words, layers, tokens),
        "with known weights, the result is that of PyTorch's encoder layers, post-norm, with the exact GELU",
        "With known weights the result is not BERT's: embeddings, then post-norm blocks, each with its own parts, and "
        "with `heads` heads.",
        earns=1,
        tolerance=1e-4,
    )
    mask = torch.zeros(B, T, dtype=torch.bool)
    mask[0, 3:] = mask[1, 2:] = True
    tokens[2, 1] = 0
    received, expected = model(tokens, mask), _encoded(words, layers, tokens, mask)
    shape = shaped(received, B=B, T=T, D=D, what="the result with a mask")
    yield shape
    yield close(
        received[~mask],
        expected[~mask],
        "padding is hidden from every token",
        "With a mask, the results of tokens that are no padding are wrong: does it reach every block?",
        earns=1,
    )
    yield close(
        model(tokens),
        _encoded(words, layers, tokens),
        "without a mask nothing is hidden, token 0 neither",
        "Without a mask, the result is wrong where token 0 occurs: nothing is to be hidden.",
    )
    for layer in layers:
        _hush(layer)
    model.load(_state(words, layers))
    yield close(
        model(tokens) / QUIET,
        _encoded(words, layers, tokens) / QUIET,
        "every norm of the blocks has eps 1e-12",
        "With small numbers the result is wrong: they drown in a norm's `eps`. It is 1e-12 in all of BERT's norms.",
        tolerance=1e-3,
    )


def _vectors(net, tokens):
    return _right_sum(net, tokens, torch.zeros_like(tokens))


def _layer():
    """PyTorch's own block, post-norm, with BERT's eps, and weights of which none is 0 or 1."""
    sizes = {"d_model": D, "nhead": HEADS, "dim_feedforward": HIDDEN, "layer_norm_eps": EPS}
    layer = nn.TransformerEncoderLayer(**sizes, dropout=0.0, activation="gelu", batch_first=True)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(tensor(*parameter.shape, scale=0.4) + (1.5 if "norm" in name and "weight" in name else 0))
        layer.linear1.bias -= 1.5  # many hidden numbers are around -2, where forms of GELU differ most
    return layer


def _hush(layer):
    """Make all that a block adds and all that leaves it very small."""
    with torch.no_grad():
        for part in (layer.self_attn.out_proj, layer.linear2, layer.norm1, layer.norm2):
            part.weight *= QUIET
            part.bias *= QUIET


def _state(words, layers):
    """The weights by the names of the learner's model."""
    state = {f"embeddings.{name}": value for name, value in words.items()}
    for i, layer in enumerate(layers):
        theirs = layer.state_dict()
        for kind in ("weight", "bias"):
            parts = theirs[f"self_attn.in_proj_{kind}"].chunk(3)
            named = {f"attention.{name}": part for name, part in zip(("query", "key", "value"), parts)}
            named["attention.output"] = theirs[f"self_attn.out_proj.{kind}"]
            named["feed_forward.up"], named["feed_forward.down"] = theirs[f"linear1.{kind}"], theirs[f"linear2.{kind}"]
            named["attention_norm"], named["feed_forward_norm"] = theirs[f"norm1.{kind}"], theirs[f"norm2.{kind}"]
            state |= {f"encoder.blocks.{i}.{name}.{kind}": value.clone() for name, value in named.items()}
    return state


def _encoded(words, layers, tokens, mask=None):
    x = _embedded(words, tokens, torch.zeros_like(tokens))
    for layer in layers:
        x = layer(x, src_key_padding_mask=mask)  # in training mode, without dropout: the plain path
    return x.detach()


# --- 9.4 first_difference --------------------------------------------------------------------------------------------

ABOUT_RTOL = "(`torch.allclose` passes over more where numbers are large, unless you say `rtol=0`.)"
ABOUT_ROUNDING = "Is something rounded before it is compared?"


def _by(measure, passes=lambda difference, tolerance: difference <= tolerance):
    """A `first_difference` with another measure of the difference, or another test of it."""

    def first_difference(mine, theirs, tolerance=1e-5):
        for name in theirs:
            difference = measure(mine[name] - theirs[name])
            if not passes(difference, tolerance):
                return name, difference
        return None

    return first_difference


def _largest(difference):
    return difference.abs().max().item()


def _worst_layer(mine, theirs, tolerance=1e-5):
    found = {name: _largest(mine[name] - theirs[name]) for name in theirs}
    name = max(found, key=lambda name: (found[name] != found[name], found[name]))
    return None if found[name] <= tolerance else (name, found[name])


def _last_layer(mine, theirs, tolerance=1e-5):
    return _by(_largest)(mine, dict(reversed(theirs.items())), tolerance)


def _number_of_layer(mine, theirs, tolerance=1e-5):
    found = _by(_largest)(mine, theirs, tolerance)
    return found and (list(theirs).index(found[0]), found[1])


def _first_layer_only(mine, theirs, tolerance=1e-5):
    for name in theirs:
        difference = _largest(mine[name] - theirs[name])
        return None if difference <= tolerance else (name, difference)


def _fixed(mine, theirs, tolerance=1e-5):
    return _by(_largest)(mine, theirs, 1e-5)


def _alphabetical(mine, theirs, tolerance=1e-5):
    return _by(_largest)(mine, {name: theirs[name] for name in sorted(theirs)}, tolerance)


def _all_but_the_first(mine, theirs, tolerance=1e-5):
    return _by(_largest)(mine, dict(list(theirs.items())[1:]), tolerance)


def _of_some(choose):
    """A `first_difference` that sees only what `choose` makes of each tensor."""

    def first_difference(mine, theirs, tolerance=1e-5):
        mine, theirs = ({name: choose(x) for name, x in side.items()} for side in (mine, theirs))
        return _by(_largest)(mine, theirs, tolerance)

    return first_difference


def _all_close(mine, theirs, tolerance=1e-5):
    different = (name for name in theirs if not torch.allclose(mine[name], theirs[name], atol=tolerance))
    return next(((name, _largest(mine[name] - theirs[name])) for name in different), None)


def _relative_tolerance(mine, theirs, tolerance=1e-5):
    different = (name for name in theirs if not torch.allclose(mine[name], theirs[name], tolerance))
    return next(((name, _largest(mine[name] - theirs[name])) for name in different), None)


def _both_tolerances(mine, theirs, tolerance=1e-5):
    different = (name for name in theirs if not torch.allclose(mine[name], theirs[name], tolerance, tolerance))
    return next(((name, _largest(mine[name] - theirs[name])) for name in different), None)


def _share(size):
    """A `first_difference` that divides by the size of the numbers."""

    def first_difference(mine, theirs, tolerance=1e-5):
        for name in theirs:
            share = ((mine[name] - theirs[name]).abs() / size(theirs[name])).max().item()
            if not share <= tolerance:
                return name, share
        return None

    return first_difference


def _told(tell):
    """A `first_difference` that is right, and returns something else."""

    def first_difference(mine, theirs, tolerance=1e-5):
        found = _by(_largest)(mine, theirs, tolerance)
        return found and tell(*found)

    return first_difference


def _nan_first(mine, theirs, tolerance=1e-5):
    for name in theirs:
        if mine[name].isnan().any():
            return name, math.nan
    return _by(_largest)(mine, theirs, tolerance)


def _nan_is_0(mine, theirs, tolerance=1e-5):
    found = _by(_largest)(mine, theirs, tolerance)
    return (found[0], 0.0) if found and math.isnan(found[1]) else found


@exercise(
    points=2,
    mistakes={
        "You take the largest difference without its sign away: -5 is a difference too, so use `abs()`.": (
            _by(lambda difference: difference.max().item())
        ),
        "You take the mean of the differences; a single number that is far off can hide in it. Take the largest.": (
            _by(lambda difference: difference.abs().mean().item())
        ),
        "You take the length of the whole difference, or its sum; the largest single difference is asked for.": (
            _by(lambda difference: difference.norm().item())
        ),
        "You take the smallest difference; the largest is asked for.": (
            _by(lambda difference: difference.abs().min().item())
        ),
        "You compare the first token of each row only; the difference may be anywhere.": _of_some(lambda x: x[:, 0]),
        "You compare the largest numbers of the two; subtract first, then take the largest.": _of_some(
            lambda x: x.max()
        ),
        "You take the absolute values before you subtract, so that -1 and 1 are equal; subtract first.": _of_some(
            torch.abs
        ),
        "You name the layer with the largest difference; a mistake grows on its way up, so the first one counts.": (
            _worst_layer
        ),
        "You name the last layer that differs; the first one is where to look.": _last_layer,
        "You go through the names in alphabetical order; the order of the layers is that of the dictionary.": (
            _alphabetical
        ),
        "The first layer is left out; look at all.": _all_but_the_first,
        "You look at the first layer only: `return None` must come after the loop.": _first_layer_only,
        "You return the layer's number; its name is asked for.": _number_of_layer,
        "You return the difference first; the name comes first: `return name, difference`.": (
            _told(lambda name, difference: (difference, name))
        ),
        "You return the name alone; the difference is asked for too: `return name, difference`.": (
            _told(lambda name, difference: name)
        ),
        "You return the difference alone; the name is asked for too: `return name, difference`.": (
            _told(lambda name, difference: difference)
        ),
        "You divide each difference by the number itself; the difference as it is is asked for.": _share(torch.abs),
        "You divide by the largest number of the layer; the difference as it is is asked for.": (
            _share(lambda x: x.abs().max())
        ),
        "You ask for equality to the last digit; anything up to `tolerance` is rounding.": (
            _by(_largest, lambda difference, tolerance: difference == 0)
        ),
        "The `tolerance` that is passed in has no effect.": _fixed,
        "A difference of exactly `tolerance` is no difference yet: more than that is asked for.": (
            _by(_largest, lambda difference, tolerance: difference < tolerance)
        ),
        "Where the numbers are large, yours passes over more: `torch.allclose` adds a share of them to `atol`, unless "
        "you say `rtol=0`.": _all_close,
        "The tolerance is a share of the numbers in yours (it is `rtol`, the third argument of `torch.allclose`), so "
        "that near 0 rounding counts as a difference: say `rtol=0, atol=tolerance`.": _relative_tolerance,
        "Yours passes over a share of the numbers too, as `rtol=tolerance` does; say `rtol=0`.": _both_tolerances,
        "You round the difference before you compare it, so that one a little above `tolerance` gets lost.": (
            _by(lambda difference: round(_largest(difference), 5))
        ),
        "NaN slips through: it is not greater than anything. Leave it as it is, and ask for "
        "`not difference <= tolerance`.": (_by(_largest, lambda difference, tolerance: not difference > tolerance)),
        "You turn NaN into 0 before you compare; leave it as it is, since NaN is a difference.": _of_some(
            torch.nan_to_num
        ),
        "You look for NaN in all layers first; a layer before it may differ already.": _nan_first,
        "For NaN you tell a difference of 0; it is NaN.": _nan_is_0,
    },
)
def first_difference(attempt):
    """By hand: differences are put into numbers of one layer, or of several."""
    theirs = {name: tensor(B, T, D, scale=2) for name in ("embeddings", "block 0", "block 1", "block 2")}
    theirs["embeddings"][1, 2, 3], theirs["block 1"][1, 2, 3] = -0.75, 2.0
    rounded = {name: value + tensor(B, T, D, scale=1.5e-6) for name, value in theirs.items()}
    ones = {name: torch.ones(B, T, D) for name in theirs}
    result = attempt({name: value + 5e-6 for name, value in ones.items()}, ones)
    yield holds(
        result is None,
        "where all numbers are 1 and differ by 0.000005, the result is None",
        f"Differences of 0.000005 are rounding, so the result must be None; yours is {_shown(result)}.",
    )
    result = attempt(rounded, theirs)
    yield holds(
        result is None,
        "where all differences are below the tolerance, the result is None",
        f"Differences of 0.000005 are rounding, also of numbers near 0, so the result must be None; yours is "
        f"{_shown(result)}. Is your tolerance a share of the numbers, as the `rtol` of `torch.allclose` is?",
    )
    off = rounded | {"embeddings": rounded["embeddings"] + 0.05 + 0.05 * tensor(B, T, D).sigmoid()}
    off["embeddings"][1, 2, 3] = theirs["embeddings"][1, 2, 3] + 0.125
    yield _found(attempt(off, theirs), "embeddings", 0.125, "of the differences in a layer, the largest is told")
    for name, amount, what in (
        ("embeddings", -0.125, "a single negative difference in the embeddings"),
        ("embeddings", 1.5, "one between -0.75 and 0.75"),
        ("block 1", 0.5, "a single difference in block 1"),
    ):
        result = attempt(_nudged(rounded, {name: amount}), theirs)
        yield _found(result, name, amount, f"{what} is found there")
    growing = _nudged(rounded, {"embeddings": 0.01, "block 0": -0.25, "block 1": 3.0, "block 2": -0.25})
    yield _found(attempt(growing, theirs), "embeddings", 0.01, "of several layers, the first is named", earns=1)
    result = attempt(growing, theirs, 0.5)
    yield _found(result, "block 1", 3.0, "with a larger tolerance, smaller differences are passed over")
    whole = {"embeddings": torch.full((B, T, D), 2.0**20), "block 0": torch.full((B, T, D), 1.0)}
    result = attempt(_nudged(whole, {"embeddings": 0.5, "block 0": 1.0}), whole, 0.5)
    yield _found(result, "block 0", 1.0, "a difference of exactly the tolerance is passed over", hint=ABOUT_RTOL)
    zeros = {name: torch.zeros(B, T, D) for name in theirs}
    result = attempt(_nudged(zeros, {"block 1": 1.4e-5}), zeros)
    yield _found(result, "block 1", 1.4e-5, "a difference a little above the tolerance is found", hint=ABOUT_ROUNDING)
    result = attempt(_nudged(whole, {"embeddings": 1.0}), whole, 0.5)
    yield _found(result, "embeddings", 1.0, "large numbers have the same tolerance", hint=ABOUT_RTOL)
    result = attempt(_nudged(rounded, {"block 1": torch.nan}), theirs)
    yield holds(
        _pair(result) and result[0] == "block 1" and not math.isfinite(result[1]),
        "NaN is a difference",
        f"There is NaN in block 1, and the result is {_shown(result)}, not 'block 1' and NaN: every comparison with "
        "NaN is False.",
    )
    result = attempt(_nudged(rounded, {"block 0": 0.01, "block 2": torch.nan}), theirs)
    yield _found(result, "block 0", 0.01, "a difference before the NaN comes first")


def _nudged(stages, by):
    """Copies in which one number of some stages is moved."""
    stages = {name: value.clone() for name, value in stages.items()}
    for name, amount in by.items():
        stages[name][1, 2, 3] += amount
    return stages


def _found(result, name, difference, sentence, earns=0, hint=""):
    """The criterion that a `first_difference` has found this layer, and the size of what differs there."""
    size = f"{abs(difference):g}"
    told = (
        f"In {name} the largest difference is {size}, and nothing before it differs by more than the tolerance; you "
        f"return {_shown(result)}. {hint}".rstrip()
    )
    if result is not None and not _pair(result):
        told = f"Return two things, `name, difference`, in this order: here '{name}' and {size}, not {_shown(result)}."
    elif result is not None and result[0] == name:
        told = f"You find {name}, and say that it differs by {float(result[1]):g}; its largest difference is {size}."
    good = _pair(result) and result[0] == name and abs(float(result[1]) - abs(difference)) < 1e-3
    return holds(good, sentence, told, earns=earns)


def _pair(result):
    """Whether this is a pair of something and a number."""
    if not isinstance(result, (list, tuple)) or len(result) != 2:
        return False
    return isinstance(result[1], (int, float)) or isinstance(result[1], torch.Tensor) and result[1].numel() == 1


def _shown(result):
    return re.sub(r"\s+", " ", str(result))[:80]


# --- 9.5 mean_pooling ------------------------------------------------------------------------------------------------


def _pooled(x, mask, axis=1):
    real = (~mask)[..., None]
    return (x * real).sum(axis) / real.sum(axis).clamp(min=1)


def _pooling_in_place(x, key_padding_mask):
    x[key_padding_mask] = 0.0
    return _pooled(x, key_padding_mask)


@exercise(
    points=2,
    mistakes={
        "Padding takes part in your mean.": lambda x, key_padding_mask: x.mean(1),
        "You divide by the length of the row, padding included; divide by the number of real tokens.": (
            lambda x, key_padding_mask: (x * ~key_padding_mask[..., None]).mean(1)
        ),
        "The mask is turned round: True means padding, and yours is the mean of the padding.": (
            lambda x, key_padding_mask: _pooled(x, ~key_padding_mask)
        ),
        "You return the first token, `[CLS]`; the mean of all is asked for.": lambda x, key_padding_mask: x[:, 0],
        "You add up the tokens; the sum has to be divided by their number.": (
            lambda x, key_padding_mask: (x * ~key_padding_mask[..., None]).sum(1)
        ),
        "You divide by one more than the number of real tokens.": (
            lambda x, key_padding_mask: (
                (x * ~key_padding_mask[..., None]).sum(1) / (1 + (~key_padding_mask).sum(1)[:, None])
            )
        ),
        "You leave the first token, `[CLS]`, out; every real token counts.": (
            lambda x, key_padding_mask: _pooled(x[:, 1:], key_padding_mask[:, 1:])
        ),
        "You take the largest numbers; the mean is asked for.": (
            lambda x, key_padding_mask: x.masked_fill(key_padding_mask[..., None], -torch.inf).amax(1)
        ),
        "You average over the whole batch; every text has a mean of its own.": (
            lambda x, key_padding_mask: x[~key_padding_mask].mean(0).expand(len(x), -1)
        ),
        "The results have length 1; the plain mean is asked for.": (
            lambda x, key_padding_mask: F.normalize(_pooled(x, key_padding_mask), dim=-1)
        ),
        "A row of nothing but padding gives NaN, 0 divided by 0; it must give 0.": (
            lambda x, key_padding_mask: (x * ~key_padding_mask[..., None]).sum(1) / (~key_padding_mask).sum(1)[:, None]
        ),
        "The mask lacks an axis: it is (B, T), and x is (B, T, D). `mask[:, :, None]` adds one.": (
            lambda x, key_padding_mask: (x * ~key_padding_mask).sum(1)
        ),
        "You change `x` in place: the caller's tensor is not the same afterwards.": _pooling_in_place,
    },
)
def mean_pooling(attempt):
    """A plain loop. Reimers and Gurevych 2019, "Sentence-BERT", section 3."""
    x, mask = tensor(B, T, D, scale=2), torch.zeros(B, T, dtype=torch.bool)
    mask[0, 2:] = mask[1, 4:] = True
    result = attempt(x, mask)
    yield shaped(result, B=B, D=D)
    whole = x[2].mean(0)
    yield close(
        result[2],
        whole,
        "without padding it is the mean of the tokens",
        "For a row without padding, the result is not the mean of its tokens.",
    )
    expected = torch.stack([row[~hidden].mean(0) for row, hidden in zip(x, mask)])
    yield close(
        result,
        expected,
        "with padding it is the mean of the tokens that are none",
        "In rows with padding, the result is not the mean of the real tokens.",
        earns=1,
    )
    gap = mask.clone()
    gap[2, 1] = True
    yield close(
        attempt(x, gap)[2],
        x[2, [0, 2, 3, 4]].mean(0),
        "padding may stand anywhere",
        "It is wrong where padding stands between tokens.",
    )
    alone = attempt(x[:1, :1], torch.ones(1, 1, dtype=torch.bool))
    yield shaped(alone, B=1, D=D, what="for a row of padding alone, the result")
    yield close(
        alone, torch.zeros(1, D), "a row of padding alone gives 0", "A row of padding alone must give 0, not NaN."
    )


# --- 9.6 most_similar ------------------------------------------------------------------------------------------------


def _ranked(score, largest=True, order=True):
    """A `most_similar` with another score, or another order."""

    def most_similar(query, vectors, count):
        scores = score(query, vectors)
        best = scores.topk(min(count, len(vectors)), largest=largest)
        indices = best.indices if order else best.indices.sort().values
        return scores[indices], indices

    return most_similar


def _cosines(query, vectors):
    return F.cosine_similarity(query[None], vectors, dim=-1)


def _positions_first(query, vectors, count):
    return tuple(reversed(_ranked(_cosines)(query, vectors, count)))


def _dropped(query, vectors, count):
    return tuple(part[1:] for part in _ranked(_cosines)(query, vectors, count + 1))


def _no_equals(query, vectors, count):
    cosines = _cosines(query, vectors)
    return _ranked(lambda query, vectors: cosines[cosines < 0.9999])(query, vectors[cosines < 0.9999], count)


def _too_many(query, vectors, count):
    return tuple(_cosines(query, vectors).topk(count))


@exercise(
    points=2,
    mistakes={
        "Neither vector is brought to length 1: long vectors win, whatever their direction.": (
            _ranked(lambda query, vectors: vectors @ query)
        ),
        "Only the query is brought to length 1; among the vectors the long ones still win.": (
            _ranked(lambda query, vectors: vectors @ F.normalize(query, dim=-1))
        ),
        "Only the vectors are brought to length 1. The order is right, but these are no cosines: divide by the query's "
        "length too.": _ranked(lambda query, vectors: F.normalize(vectors, dim=-1) @ query),
        "The vectors are brought to length 1 along the wrong axis: each row is a vector, `dim=-1`.": (
            _ranked(lambda query, vectors: F.normalize(vectors, dim=0) @ F.normalize(query, dim=-1))
        ),
        "You divide by the sum of the numbers; the length of a vector is the root of the sum of their squares.": (
            _ranked(lambda query, vectors: F.normalize(vectors, p=1, dim=-1) @ F.normalize(query, p=1, dim=-1))
        ),
        "You measure distances, the smallest first; cosines are asked for.": (
            _ranked(lambda query, vectors: (vectors - query).norm(dim=-1), largest=False)
        ),
        "The least similar come first in yours.": _ranked(_cosines, largest=False),
        "You drop the sign: opposite vectors, with cosine -1, are the least similar.": (
            _ranked(lambda query, vectors: _cosines(query, vectors).abs())
        ),
        "Negative cosines become 0 in yours; they go down to -1.": (
            _ranked(lambda query, vectors: _cosines(query, vectors).clamp(0, 1))
        ),
        "The right ones, in the order of their indices; the most similar comes first.": _ranked(_cosines, order=False),
        "Indices and cosines are swapped: return the cosines first.": _positions_first,
        "You return all of them; only `count` are asked for.": (
            lambda query, vectors, count: _ranked(_cosines)(query, vectors, len(vectors))
        ),
        "With a count of 7 you still return 4: as many as `count` says are asked for, or all if there are fewer.": (
            lambda query, vectors, count: _ranked(_cosines)(query, vectors, 4)
        ),
        "You leave the best one out; the query itself is not among the vectors, so the first counts too.": _dropped,
        "You leave out vectors that are equal to the query; they are the most similar ones, with cosine 1.": _no_equals,
        "With fewer vectors than `count`, `topk` fails: take the smaller of the two.": _too_many,
    },
)
def most_similar(attempt):
    """`F.cosine_similarity`, sorted."""
    count, total = 4, 11
    query = tensor(D, scale=3)
    vectors = F.normalize(tensor(total, D) + 0.8 * F.normalize(query, dim=-1), dim=-1)
    places = _cosines(query, vectors).argsort(descending=True).argsort()
    vectors *= (0.2 + places)[:, None]  # the more similar, the shorter
    vectors[6] = -7 * query  # the least similar of all
    expected = F.cosine_similarity(query[None], vectors).sort(descending=True)
    result = attempt(query, vectors, count)
    yield holds(
        isinstance(result, (list, tuple)) and len(result) == 2,
        "the result is a pair: cosines and indices",
        "The result must be a pair of tensors, `cosines, indices`.",
    )
    cosines, indices = result
    yield shaped(cosines, count=count, what="the first of the pair, the cosines,")
    yield shaped(indices, count=count, what="the second of the pair, the indices,", dtype=torch.int64)
    yield holds(
        set(indices.tolist()) == set(expected.indices[:count].tolist()),
        "they are the vectors with the largest cosines",
        "These are not the vectors with the largest cosines.",
        expected=expected.indices[:count],
        received=indices,
    )
    yield close(
        cosines,
        expected.values[:count],
        "the numbers are the cosines, the best first",
        "The numbers that you return are not the cosines, the best first.",
        earns=1,
    )
    yield holds(
        indices.tolist() == expected.indices[:count].tolist(),
        "the indices come in the same order",
        "The indices are not in the order of the cosines.",
    )
    more = attempt(query, vectors, 7)
    yield holds(
        _places(more) == expected.indices[:7].tolist(),
        "with a count of 7, the best 7 are returned",
        f"With a count of 7, the 7 most similar ones of {total} must be returned, the best first.",
    )
    vectors[5] = query
    again = attempt(query, vectors, count)
    yield holds(
        _places(again) == _cosines(query, vectors).argsort(descending=True)[:count].tolist(),
        "a vector that is equal to the query comes first",
        "One of the vectors is equal to the query: it must come first, and the next best ones after it.",
    )
    opposite = -vectors[expected.indices[:3]]
    few = attempt(query, opposite, count)
    yield holds(
        isinstance(few, (list, tuple)) and len(few) == 2 and getattr(few[1], "shape", None) == (3,),
        "of fewer vectors, all are returned",
        "Of three vectors and a count of four, all three must be returned.",
    )
    yield close(
        few[0],
        _cosines(query, opposite).sort(descending=True).values,
        "also where all cosines are negative",
        "Where all cosines are negative, yours are wrong.",
    )


def _places(result):
    """The indices that a `most_similar` has returned; None if there are none."""
    pair = isinstance(result, (list, tuple)) and len(result) == 2 and isinstance(result[1], torch.Tensor)
    return result[1].tolist() if pair else None
