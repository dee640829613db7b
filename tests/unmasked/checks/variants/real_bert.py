"""Right solutions of lesson 09, written in other ways than the lesson's own."""

import copy
import math
import re

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nanobert.multi_head import MultiHeadAttention


class WithExpandedPositions(nn.Module):
    """Positions for every row, token types by `new_zeros`."""

    def __init__(self, vocab_size, d_model, max_tokens, dropout=0.1):
        super().__init__()
        self.norm = nn.LayerNorm(d_model, 1e-12)
        self.dropout = nn.Dropout(dropout)
        self.token_type = nn.Embedding(num_embeddings=2, embedding_dim=d_model)
        self.position = nn.Embedding(max_tokens, d_model)
        self.word = nn.Embedding(vocab_size, d_model, padding_idx=0)

    def forward(self, tokens, token_types=None):
        rows, length = tokens.shape
        places = torch.arange(length).expand(rows, length)
        kinds = tokens.new_zeros(tokens.shape) if token_types is None else token_types
        x = self.token_type(kinds)
        x = x + self.position(places)
        return self.dropout(self.norm(x + self.word(tokens)))


class NormByHand(nn.Module):
    def __init__(self, vocab_size, d_model, max_tokens):
        super().__init__()
        self.word = nn.Embedding(vocab_size, d_model)
        self.position = nn.Embedding(max_tokens, d_model)
        self.token_type = nn.Embedding(2, d_model)
        self.norm = OwnNorm(d_model)

    def forward(self, tokens, token_types=None):
        if token_types is None:
            token_types = torch.zeros(tokens.shape, dtype=torch.long)
        tables = self.word.weight, self.position.weight, self.token_type.weight
        places = torch.arange(tokens.shape[1])
        return self.norm(sum(F.embedding(ids, table) for ids, table in zip((tokens, places, token_types), tables)))


class OwnNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        return self.weight * centred / (centred.square().mean(-1, keepdim=True) + 1e-12).sqrt() + self.bias


def rename_by_parts(name):
    parts = name.split(".")
    if parts[0] == "pooler" or parts[-1] == "position_ids":
        return None
    if parts[0] == "embeddings":
        return f"embeddings.{parts[1].removesuffix('_embeddings').replace('LayerNorm', 'norm')}.{parts[2]}"
    number, inside, kind = parts[2], parts[3:-1], parts[-1]
    if inside[:2] == ["attention", "self"]:
        where = f"attention.{inside[2]}"
    elif inside[0] == "attention":
        where = "attention_norm" if inside[2] == "LayerNorm" else "attention.output"
    elif inside[0] == "intermediate":
        where = "feed_forward.up"
    else:
        where = "feed_forward_norm" if inside[1] == "LayerNorm" else "feed_forward.down"
    return f"encoder.blocks.{number}.{where}.{kind}"


def rename_by_patterns(name):
    if "pooler" in name or "position_ids" in name:
        return None
    patterns = {
        r"^encoder\.layer\.": "encoder.blocks.",
        r"_embeddings\.": ".",
        r"^embeddings\.LayerNorm": "embeddings.norm",
        r"attention\.self": "attention",
        r"attention\.output\.LayerNorm": "attention_norm",
        r"attention\.output\.dense": "attention.output",
        r"intermediate\.dense": "feed_forward.up",
        r"(?<=\d\.)output\.dense": "feed_forward.down",
        r"(?<=\d\.)output\.LayerNorm": "feed_forward_norm",
    }
    for pattern, new in patterns.items():
        name = re.sub(pattern, new, name)
    return name


def rename_by_table(name):
    match = re.match(r"encoder\.layer\.(\d+)\.(.*)\.(\w+)$", name)
    ours = {
        "attention.output.dense": "attention.output",
        "attention.output.LayerNorm": "attention_norm",
        "intermediate.dense": "feed_forward.up",
        "output.dense": "feed_forward.down",
        "output.LayerNorm": "feed_forward_norm",
    } | {f"attention.self.{part}": f"attention.{part}" for part in ("query", "key", "value")}
    if match:
        return f"encoder.blocks.{match[1]}.{ours[match[2]]}.{match[3]}"
    return {
        "embeddings.word_embeddings.weight": "embeddings.word.weight",
        "embeddings.position_embeddings.weight": "embeddings.position.weight",
        "embeddings.token_type_embeddings.weight": "embeddings.token_type.weight",
        "embeddings.LayerNorm.weight": "embeddings.norm.weight",
        "embeddings.LayerNorm.bias": "embeddings.norm.bias",
    }.get(name)


class PlainAttention(nn.Module):
    """The course's attention with the softmax written out."""

    def __init__(self, d_model, heads):
        super().__init__()
        self.query, self.key = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.value, self.output = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.heads = heads

    def forward(self, x, key_padding_mask=None):
        batch, tokens, width = x.shape
        cut = lambda y: y.view(batch, tokens, self.heads, -1).transpose(1, 2)  # noqa: E731
        query, key, value = cut(self.query(x)), cut(self.key(x)), cut(self.value(x))
        scores = torch.einsum("bhqk,bhsk->bhqs", query, key) / math.sqrt(width / self.heads)
        if key_padding_mask is not None:
            scores = scores.masked_fill(key_padding_mask[:, None, None, :], -1e9)
        return self.output((scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, tokens, width))


class FeedForward(nn.Module):
    def __init__(self, d_model, d_hidden):
        super().__init__()
        self.up, self.down = nn.Linear(d_model, d_hidden), nn.Linear(d_hidden, d_model)

    def forward(self, x):
        hidden = self.up(x)
        return self.down(hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2))))


class Block(nn.Module):
    def __init__(self, d_model, heads, d_hidden, norm=lambda width: nn.LayerNorm(width, eps=1e-12)):
        super().__init__()
        self.attention, self.feed_forward = PlainAttention(d_model, heads), FeedForward(d_model, d_hidden)
        self.attention_norm, self.feed_forward_norm = norm(d_model), norm(d_model)

    def forward(self, x, key_padding_mask=None):
        x = self.attention_norm(x + self.attention(x, key_padding_mask))
        return self.feed_forward_norm(x + self.feed_forward(x))


class Encoder(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x, key_padding_mask=None):
        for block in self.blocks:
            x = block(x, key_padding_mask)
        return x


class EpsAtOnce(nn.Module):
    """Every norm is made with the right eps."""

    def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens):
        super().__init__()
        self.embeddings = NormByHand(vocab_size, d_model, max_tokens)
        self.encoder = Encoder([Block(d_model, heads, d_hidden) for _ in range(layers)])

    def forward(self, tokens, key_padding_mask=None):
        return self.encoder(self.embeddings(tokens), key_padding_mask)


class EpsAfterwards(nn.Module):
    """PyTorch's eps first, changed block by block; blocks are deep copies."""

    def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens, eps=1e-12):
        super().__init__()
        block = Block(d_model, heads, d_hidden, nn.LayerNorm)
        self.encoder = Encoder(copy.deepcopy(block) for _ in range(layers))
        self.embeddings = WithExpandedPositions(vocab_size, d_model, max_tokens)
        for block in self.encoder.blocks:
            block.attention_norm.eps = block.feed_forward_norm.eps = eps

    def forward(self, tokens, key_padding_mask=None):
        x = self.embeddings(tokens)
        for block in self.encoder.blocks:
            x = block(x, key_padding_mask=key_padding_mask)
        return x


class OwnNorms(nn.Module):
    """Norms written by hand, and an extra that the text does not ask for: it keeps every layer's result."""

    def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens):
        super().__init__()
        self.embeddings = NormByHand(vocab_size, d_model, max_tokens)
        self.encoder = nn.Module()
        self.encoder.blocks = nn.ModuleList([Block(d_model, heads, d_hidden, OwnNorm) for _ in range(layers)])

    def forward(self, tokens, key_padding_mask=None):
        self.layers = [self.embeddings(tokens, torch.zeros_like(tokens))]
        for block in self.encoder.blocks:
            self.layers.append(block(self.layers[-1], key_padding_mask))
        return self.layers[-1]


def difference_by_allclose(mine, theirs, tolerance=1e-5):
    for name, expected in theirs.items():
        if not torch.allclose(mine[name], expected, rtol=0, atol=tolerance):
            return [name, (mine[name] - expected).abs().max()]
    return None


def difference_in_loops(mine, theirs, tolerance=1e-5):
    for name in theirs:
        worst = 0.0
        for a, b in zip(mine[name].flatten().tolist(), theirs[name].flatten().tolist()):
            if math.isnan(a - b):
                worst = math.inf
            worst = max(worst, abs(a - b))
        if worst > tolerance:
            return name, worst


def difference_by_numpy(mine, theirs, tolerance=1e-5):
    for name in theirs:
        worst = np.abs(mine[name].numpy() - theirs[name].numpy()).max()
        if np.isnan(worst) or worst > tolerance:
            return name, worst
    return None


def pooling_by_product(x, key_padding_mask):
    real = (~key_padding_mask).float()
    return torch.einsum("btd,bt->bd", x, real) / real.sum(1, keepdim=True).clamp(min=1e-9)


def pooling_in_a_loop(x, key_padding_mask):
    rows = []
    for row, hidden in zip(x, key_padding_mask):
        kept = row[hidden.logical_not()]
        rows.append(kept.mean(0) if len(kept) else torch.zeros(x.shape[-1]))
    return torch.stack(rows)


def similar_by_hand(query, vectors, count):
    cosines = (vectors @ query) / (vectors.norm(dim=1) * query.norm())
    values, indices = cosines.sort(descending=True)
    return values[:count], indices[:count]


def similar_in_a_loop(query, vectors, count):
    found = []
    for i, vector in enumerate(vectors):
        found.append(((vector * query).sum() / vector.pow(2).sum().sqrt() / query.pow(2).sum().sqrt(), i))
    found = sorted(found, key=lambda pair: -pair[0])[:count]
    return torch.stack([cosine for cosine, _ in found]), torch.tensor([i for _, i in found])


VARIANTS = {
    "BertEmbeddings": {
        "expanded positions": WithExpandedPositions,
        "a norm by hand": NormByHand,
    },
    "rename": {
        "part by part": rename_by_parts,
        "regular expressions": rename_by_patterns,
        "a table": rename_by_table,
    },
    "Bert": {
        "eps at once": EpsAtOnce,
        "eps afterwards": EpsAfterwards,
        "own norms": OwnNorms,
    },
    "first_difference": {
        "allclose": difference_by_allclose,
        "loops": difference_in_loops,
        "numpy": difference_by_numpy,
    },
    "mean_pooling": {
        "einsum": pooling_by_product,
        "a loop": pooling_in_a_loop,
    },
    "most_similar": {
        "lengths by hand": similar_by_hand,
        "a loop": similar_in_a_loop,
    },
}


def longer_name_last(name):
    """The order of replacements that most people write first."""
    if name.startswith("pooler") or "position_ids" in name:
        return None
    name = name.replace("encoder.layer", "encoder.blocks").replace("_embeddings", "")
    name = name.replace("embeddings.LayerNorm", "embeddings.norm").replace("attention.self", "attention")
    name = name.replace("output.dense", "feed_forward.down").replace("output.LayerNorm", "feed_forward_norm")
    return name.replace("intermediate.dense", "feed_forward.up")


class EpsForgotten(EpsAfterwards):
    def __init__(self, *sizes):
        super().__init__(*sizes, eps=1e-5)


class MaskForgotten(EpsAtOnce):
    def forward(self, tokens, key_padding_mask=None):
        return self.encoder(self.embeddings(tokens))


class DefaultEps(WithExpandedPositions):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.norm.eps = 1e-5


class PositionsByHand(NormByHand):
    """Its positions are whatever `places` makes of the tokens."""

    def forward(self, tokens, token_types=None):
        token_types = torch.zeros_like(tokens) if token_types is None else token_types
        return self.norm(self.token_type(token_types) + self.word(tokens) + self.position(self.places(tokens)))


class PositionsOfBatch(PositionsByHand):
    places = staticmethod(lambda tokens: torch.arange(len(tokens)))


class AllPositions(PositionsByHand):
    places = staticmethod(lambda tokens: torch.arange(9))


class PositionsByIds(PositionsByHand):
    places = staticmethod(lambda tokens: tokens)


class PositionsOfAllRows(PositionsByHand):
    places = staticmethod(lambda tokens: torch.arange(tokens.numel()).view_as(tokens))


class ThreeNorms(NormByHand):
    def forward(self, tokens, token_types=None):
        token_types = torch.zeros_like(tokens) if token_types is None else token_types
        position = self.position(torch.arange(tokens.size(1)))
        return self.norm(self.token_type(token_types)) + self.norm(position) + self.norm(self.word(tokens))


class NormOfRows(NormByHand):
    def __init__(self, vocab_size, d_model, max_tokens):
        super().__init__(vocab_size, d_model, max_tokens)
        self.norm = OwnNormOfRows(d_model)


class OwnNormOfRows(OwnNorm):
    def forward(self, x):
        centred = x - x.mean((1, 2), keepdim=True)
        return self.weight * centred / centred.square().mean((1, 2), keepdim=True).sqrt() + self.bias


class BlockThatIgnoresEps(Block):
    """Passes the check of lesson 05, and calls the norms as functions, with PyTorch's eps."""

    def forward(self, x, key_padding_mask=None):
        for sublayer, norm in (
            (lambda x: self.attention(x, key_padding_mask), self.attention_norm),
            (self.feed_forward, self.feed_forward_norm),
        ):
            x = F.layer_norm(x + sublayer(x), x.shape[-1:], norm.weight, norm.bias)
        return x


class EpsIgnored(EpsAtOnce):
    def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens):
        super().__init__(vocab_size, d_model, heads, layers, d_hidden, max_tokens)
        self.encoder = Encoder([BlockThatIgnoresEps(d_model, heads, d_hidden) for _ in range(layers)])


class MaskOfZeros(EpsAtOnce):
    def forward(self, tokens, key_padding_mask=None):
        return self.encoder(self.embeddings(tokens), tokens.eq(0))


class MaskOfZerosByDefault(EpsAtOnce):
    def forward(self, tokens, key_padding_mask=None):
        if key_padding_mask is None:
            key_padding_mask = tokens == 0
        return self.encoder(self.embeddings(tokens), key_padding_mask)


class MaskToEmbeddings(EpsAtOnce):
    def forward(self, tokens, key_padding_mask=None):
        return self.encoder(self.embeddings(tokens, key_padding_mask), key_padding_mask)


def rename_by_look_up(name):
    return {each: rename_by_parts(each) for each in NAMES}[name]


NAMES = [f"embeddings.{part}_embeddings.weight" for part in ("word", "position", "token_type")]
NAMES += [f"embeddings.LayerNorm.{kind}" for kind in ("weight", "bias")]
NAMES += [
    f"encoder.layer.{layer}.{part}.{kind}"
    for layer in range(12)
    for part in (
        *("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
        *("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
    )
    for kind in ("weight", "bias")
]


def difference_by_close(*options):
    """By `torch.isclose`; the tolerance is passed to it as each of these options."""

    def first_difference(mine, theirs, tolerance=1e-5):
        for name in mine:
            if not torch.isclose(mine[name], theirs[name], **dict.fromkeys(options, tolerance)).all():
                return name, (theirs[name] - mine[name]).abs().max().item()

    return first_difference


def difference_rounded(mine, theirs, tolerance=1e-5):
    for name in mine:
        worst = torch.round((mine[name] - theirs[name]).abs().max(), decimals=5).item()
        if not worst <= tolerance:
            return name, worst


def difference_swapped(mine, theirs, tolerance=1e-5):
    found = difference_by_numpy(mine, theirs, tolerance)
    return found and (float(found[1]), found[0])


def difference_by_name_only(mine, theirs, tolerance=1e-5):
    return next((name for name in theirs if not (mine[name] - theirs[name]).abs().max() <= tolerance), None)


def difference_as_share(mine, theirs, tolerance=1e-5):
    for name in theirs:
        share = (mine[name] - theirs[name]).abs().max() / theirs[name].abs().max()
        if not share <= tolerance:
            return name, share.item()


def similar_without_itself(query, vectors, count):
    cosines = F.cosine_similarity(query, vectors)
    cosines = cosines[cosines < 0.9999]
    return cosines.topk(min(count, len(cosines)))


def similar_from_the_second(query, vectors, count):
    cosines, indices = F.cosine_similarity(query, vectors).sort(descending=True)
    return cosines[1 : count + 1], indices[1 : count + 1]


def four_similar(query, vectors, count):
    cosines = F.cosine_similarity(query, vectors)
    return cosines.topk(min(4, len(cosines)))


def difference_by_greater(mine, theirs, tolerance=1e-5):
    for name in mine:
        worst = torch.max(torch.abs(mine[name] - theirs[name]))
        if worst > tolerance:
            return name, worst.item()


def difference_of_first(mine, theirs, tolerance=1e-5):
    for name in mine:
        worst = (mine[name] - theirs[name]).abs().max().item()
        if worst > tolerance:
            return name, worst
        else:
            return None


class PositionIds(NormByHand):
    """As in many tutorials."""

    def __init__(self, vocab_size, d_model, max_tokens):
        super().__init__(vocab_size, d_model, max_tokens)
        self.register_buffer("position_ids", torch.arange(max_tokens).expand((1, -1)))


class OneAttention(EpsAtOnce):
    def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens):
        super().__init__(vocab_size, d_model, heads, layers, d_hidden, max_tokens)
        attention = PlainAttention(d_model, heads)
        for block in self.encoder.blocks:
            block.attention = attention


class TwelveHeads(EpsAtOnce):
    def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens):
        super().__init__(vocab_size, d_model, heads, layers, d_hidden, max_tokens)
        for block in self.encoder.blocks:
            block.attention = MultiHeadAttention(d_model, 12)


class Pooler(EpsAtOnce):
    def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens):
        super().__init__(vocab_size, d_model, heads, layers, d_hidden, max_tokens)
        self.pooler = nn.Linear(d_model, d_model)


def only_layer_3(name):
    return rename_by_parts(name) and rename_by_parts(name).replace("blocks", "layer").replace("layer.3.", "blocks.3.")


def difference_in_order(mine, theirs, tolerance=1e-5):
    for name in sorted(mine):
        if not torch.allclose(mine[name], theirs[name], rtol=0, atol=tolerance):
            return name, (mine[name] - theirs[name]).abs().max().item()


def difference_of_sizes(mine, theirs, tolerance=1e-5):
    for name in theirs:
        worst = (mine[name].abs() - theirs[name].abs()).abs().max().item()
        if not worst <= tolerance:
            return name, worst


def difference_of_later_layers(mine, theirs, tolerance=1e-5):
    return difference_by_allclose(mine, {name: theirs[name] for name in list(theirs)[1:]}, tolerance)


def difference_without_nan(mine, theirs, tolerance=1e-5):
    for name in theirs:
        worst = (mine[name].nan_to_num() - theirs[name]).abs().max().item()
        if worst > tolerance:
            return name, worst


def nan_before_all(mine, theirs, tolerance=1e-5):
    for name in theirs:
        if torch.isnan(mine[name]).any():
            return name, float("nan")
    return difference_by_numpy(mine, theirs, tolerance)


def clamped(query, vectors, count):
    cosines = F.cosine_similarity(vectors, query, dim=1).clamp(0, 1)
    return cosines.topk(min(count, len(vectors)))


REWRITTEN_MISTAKES = {
    "BertEmbeddings": {
        "PyTorch's default, 1e-5": DefaultEps,
        "The buffer `position_ids`": PositionIds,
        "as many positions as the batch has rows": PositionsOfBatch,
        "all `max_tokens` positions": AllPositions,
        "by the tokens' ids": PositionsByIds,
        "a number that its table does not have": PositionsOfAllRows,
        "is normalized alone; their sum": ThreeNorms,
        "a whole row at once": NormOfRows,
    },
    "rename": {
        "What follows attention lands in the feed-forward net": longer_name_last,
        "the 3 in the table": only_layer_3,
        "it raises KeyError": rename_by_look_up,
    },
    "Bert": {
        "norms compute with PyTorch's eps": EpsForgotten,
        "your own `EncoderBlock` of lesson 05 does not use it": EpsIgnored,
        "a mask of the tokens that are 0; hide what": MaskOfZeros,
        "Where no mask is passed in": MaskOfZerosByDefault,
        "You pass the mask to the embeddings": MaskToEmbeddings,
        "does not reach the blocks": MaskForgotten,
        "share one `attention`": OneAttention,
        "fixed in yours, to 12": TwelveHeads,
        "There is a pooler": Pooler,
    },
    "first_difference": {
        "NaN slips through": difference_by_greater,
        "first layer only": difference_of_first,
        "alphabetical order": difference_in_order,
        "absolute values before": difference_of_sizes,
        "first layer is left out": difference_of_later_layers,
        "NaN into 0": difference_without_nan,
        "NaN in all layers first": nan_before_all,
        "adds a share of them to `atol`": difference_by_close("atol"),
        "The tolerance is a share": difference_by_close("rtol"),
        "as `rtol=tolerance` does": difference_by_close("rtol", "atol"),
        "You round the difference": difference_rounded,
        "the name comes first": difference_swapped,
        "You return the name alone": difference_by_name_only,
        "by the largest number of the layer": difference_as_share,
    },
    "mean_pooling": {
        "padding included": lambda x, key_padding_mask: (
            x.masked_fill(key_padding_mask.unsqueeze(2), 0).sum(1) / x.shape[1]
        ),
        "Padding takes part": lambda x, key_padding_mask: x.sum(dim=1) / x.size(1),
    },
    "most_similar": {
        "long vectors win": lambda query, vectors, count: torch.topk(
            (vectors * query).sum(-1), min(count, len(vectors))
        ),
        "Negative cosines": clamped,
        "you still return 4": four_similar,
        "You leave the best one out": similar_from_the_second,
        "You leave out vectors that are equal": similar_without_itself,
        "`topk` fails": lambda query, vectors, count: torch.topk(F.cosine_similarity(query, vectors), count),
    },
}
