"""Checks of lesson 06. Oracles: what can be read off a command, worked by hand; `F.cross_entropy`; PyTorch's layers."""

import re

import torch
import torch.nn.functional as F
from torch import nn

from unmasked import parts
from unmasked.attempt import Foreign, Once, Part, same
from unmasked.criteria import close, holds, integers, kind, shaped, tensor
from unmasked.exercise import exercise


def _listed(value, sizes):
    """The entries as tuples, if `value` is a list of lists or tuples of as many entries as `sizes`; else None."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(entry, (list, tuple)) for entry in value):
        return None
    return [tuple(entry) for entry in value] if all(len(entry) == sizes for entry in value) else None


def _return(value, wanted):
    """What to return, in a sentence, for who has returned `value`."""
    if value is None:
        return f"The result is None: is a `return` missing? {wanted}"
    return f"You return {kind(value)}, where a list is asked for. {wanted}" if isinstance(value, Foreign) else wanted


def _equal(received, expected, sentence, otherwise, **shown):
    """A criterion: two lists are equal; if they aren't, both are shown."""
    return holds(received == expected, sentence, otherwise, expected=expected, received=received, **shown)


# --- 6.1 split_tokens ------------------------------------------------------------------------------------------------


def _by(pattern, make=re.Match.span):
    """A split_tokens that finds tokens by a pattern."""
    return lambda text: [make(match) for match in re.finditer(pattern, text)]


TOKEN = r"[a-z']+|[0-9]+|\S"


def _found_first(text):
    words = re.findall(TOKEN, text)
    return [(text.find(word), text.find(word) + len(word)) for word in words]


def _found_with_spaces(text):
    return _by(r"[a-z']+|[0-9]+|.")(text)


SPACES_ONLY = "You cut at spaces only: in “96%” and “78-minute” numbers, words and signs are still in one token."
NO_SIGNS = "Signs such as % and - are lost: each is a token of its own."
DIGITS_AND_LETTERS = "Digits and letters that touch stay in one token: “4000k” is 4000 and k."
SINGLE_DIGITS = "Each digit is a token: a run of digits is one."
APOSTROPHE = "“what's” is cut at its apostrophe: inside of a token of letters an apostrophe counts as a letter."
APOSTROPHE_LAST = "“kids'” loses its apostrophe: it counts as a letter at the end of a word too."
ACCENTS = "“café” stays one token: letters are a to z here, so “é” is another character, a token of its own."
FIRST_PLACE = (
    "A token that occurs twice has the same place both times: `find` begins at the start of the text each time; "
    "`re.finditer` knows where it is."
)


def _why_not_cut(pieces):
    if "96%" in pieces or "78-minute" in pieces:
        return SPACES_ONLY
    return NO_SIGNS if "%" not in pieces else "“set the 78-minute timer to 96%” is not cut right; see the two lists."


@exercise(
    points=2,
    mistakes={
        SPACES_ONLY: _by(r"\S+"),
        NO_SIGNS: _by(r"[a-z']+|[0-9]+"),
        DIGITS_AND_LETTERS: _by(r"[a-z0-9']+|\S"),
        SINGLE_DIGITS: _by(r"[a-z']+|\S"),
        "Each letter is a token: a run of letters is one.": _by(r"[0-9]+|\S"),
        APOSTROPHE: _by(r"[a-z]+|[0-9]+|\S"),
        APOSTROPHE_LAST: _by(r"[a-z]+(?:'[a-z]+)?|[0-9]+|\S"),
        ACCENTS: _by(r"(?:[^\W\d_]|')+|[0-9]+|\S"),
        "Spaces are tokens too; leave them out.": _found_with_spaces,
        "Several signs in a row are one token; each is one of its own.": _by(r"[a-z']+|[0-9]+|[^a-z0-9'\s]+"),
        "`end` is the place of a token's last letter; it is one further, so that text[start:end] is the token.": (
            _by(TOKEN, lambda match: (match.start(), match.end() - 1))
        ),
        "The second number is a token's length; it should be the place where the token ends.": (
            _by(TOKEN, lambda match: (match.start(), len(match.group())))
        ),
        FIRST_PLACE: _found_first,
        "You return the tokens; their places are asked for, (start, end) each.": _by(TOKEN, re.Match.group),
    },
)
def split_tokens(attempt):
    """Worked by hand."""

    def cut(text, result):
        """What stands at the places, and these; None where the result is something else."""
        places = _listed(result, 2)
        fine = places is not None and all(type(number) is int for place in places for number in place)
        return ([text[start:end] for start, end in places], places) if fine else (None, None)

    text = "set the 78-minute timer to 96%"
    result = attempt(text)
    pieces, places = cut(text, result)
    yield holds(
        pieces is not None,
        "it is a list of places, (start, end) each",
        _return(result, "Return a list of pairs of whole numbers: (start, end) for each token."),
    )
    yield _equal(
        pieces,
        ["set", "the", "78", "-", "minute", "timer", "to", "96", "%"],
        "“set the 78-minute timer to 96%” becomes nine tokens",
        _why_not_cut(pieces),
    )
    yield _equal(
        places,
        [(0, 3), (4, 7), (8, 10), (10, 11), (11, 17), (18, 23), (24, 26), (27, 29), (29, 30)],
        "and their places are right",
        "The tokens are right, their places are not.",
        earns=1,
    )
    text = "what's the light's color at 4000k?"
    pieces, _ = cut(text, attempt(text))
    wanted = ["what's", "the", "light's", "color", "at", "4000", "k", "?"]
    yield _equal(
        pieces,
        wanted,
        "an apostrophe belongs to its word, and 4000k is two tokens",
        APOSTROPHE if pieces and "what's" not in pieces else DIGITS_AND_LETTERS,
    )
    text = "the kids' room in the café"
    pieces, _ = cut(text, attempt(text))
    yield _equal(
        pieces,
        ["the", "kids'", "room", "in", "the", "caf", "é"],
        "so does one at the end of its word; letters are a to z",
        APOSTROPHE_LAST if pieces and "kids'" not in pieces else ACCENTS,
    )
    text = "20.5 °  the lamp by the door!?"
    pieces, places = cut(text, attempt(text))
    wanted = ["20", ".", "5", "°", "the", "lamp", "by", "the", "door", "!", "?"]
    yield _equal(
        pieces,
        wanted,
        "20.5 is three tokens, each sign is one, spaces are none",
        "“20.5 °  the lamp by the door!?” is not cut right; see the two lists.",
    )
    yield holds(
        len(set(places)) == len(places) and places == sorted(places),
        "two tokens of the same letters have two places",
        FIRST_PLACE,
    )
    yield _equal(
        _listed(attempt(""), 2), [], "an empty text has no tokens", "For an empty text the list must be empty."
    )


# --- 6.2 align_labels ------------------------------------------------------------------------------------------------


def _tagged(choose):
    """An align_labels that asks `choose(place, slots, tags so far)` for each tag."""

    def align_labels(places, slots):
        tags = []
        for place in places:
            tags.append(choose(place, slots, tags))
        return tags

    return align_labels


def _around(place, slots):
    """The slot that a token is in, or None."""
    return next((slot for slot in slots if slot[0] <= place[0] < slot[1]), None)


def _choice(begin="B-{}", inside="I-{}"):
    def choose(place, slots, tags):
        slot = _around(place, slots)
        if slot is None:
            return "O"
        return (begin if slot[0] == place[0] else inside).format(slot[2])

    return choose


def _begins_where_others_end(place, slots, tags):
    slot = _around(place, slots)
    if slot is None:
        return "O"
    follows = bool(tags) and tags[-1][2:] == slot[2]
    return ("I-" if follows else "B-") + slot[2]


def _begins_after_o(place, slots, tags):
    slot = _around(place, slots)
    if slot is None:
        return "O"
    return ("B-" if not tags or tags[-1] == "O" else "I-") + slot[2]


def _end_included(place, slots, tags):
    slot = next((slot for slot in slots if slot[0] <= place[0] <= slot[1]), None)
    return "O" if slot is None else ("B-" if slot[0] == place[0] else "I-") + slot[2]


def _start_left_out(place, slots, tags):
    slot = next((slot for slot in slots if slot[0] < place[0] < slot[1]), None)
    return "O" if slot is None else "I-" + slot[2]


def _last_left_out(places, slots):
    tags = ["O"] * len(places)
    for start, end, slot in slots:
        for number, (a, b) in enumerate(places):
            if start <= a and b < end:
                tags[number] = ("B-" if a == start else "I-") + slot
    return tags


def _by_token_numbers(places, slots):
    tags = ["O"] * len(places)
    for start, end, slot in slots:
        for number in range(start, min(end, len(places))):
            tags[number] = ("B-" if number == start else "I-") + slot
    return tags


def _only_whole(place, slots, tags):
    slot = next((slot for slot in slots if slot[:2] == place), None)
    return "O" if slot is None else "B-" + slot[2]


ALL_BEGIN = "Every token of a slot has B-; only its first has, the others I-."
NO_BEGIN = "The first token of a slot has I-; it is where the slot begins, so B-."
NO_PREFIX = "Your tags have no B- or I- before the slot's name."
NEIGHBOURS = (
    "Two slots of the same kind side by side become one: whether a token begins a slot is told by its place, not by "
    "the tag before it."
)
TOUCHING = (
    "A slot right after another one begins with I-: whether a token begins a slot is told by its place, not by "
    "whether the tag before it is O."
)
END_INCLUDED = "The token right after a slot is tagged too: a slot's `end` is one past its last letter."
FIRST_ONLY = "Only the first slot of a command is tagged; look for each token among all slots."
OTHER_O = "Tokens outside of every slot have another tag than O, the capital letter."
NO_HYPHEN = "Between B or I and the slot's name stands a hyphen: B-area."


@exercise(
    points=2,
    mistakes={
        ALL_BEGIN: _tagged(_choice(inside="B-{}")),
        NO_BEGIN: _tagged(_choice(begin="I-{}")),
        NO_PREFIX: _tagged(_choice("{}", "{}")),
        "Only the first token of a slot is tagged; those that follow in it have I-.": _tagged(_choice(inside="O")),
        "A slot is tagged only if it is a single token; a token is in a slot if it starts within it.": (
            _tagged(_only_whole)
        ),
        NEIGHBOURS: _tagged(_begins_where_others_end),
        TOUCHING: _tagged(_begins_after_o),
        END_INCLUDED: _tagged(_end_included),
        FIRST_ONLY: _tagged(lambda place, slots, tags: _choice()(place, slots[:1], tags)),
        "Only the last slot of a command is tagged: later slots overwrite what earlier ones have set.": _tagged(
            lambda place, slots, tags: _choice()(place, slots[-1:], tags)
        ),
        "Tokens outside of every slot are left out; they have the tag O.": lambda places, slots: [
            tag for tag in _tagged(_choice())(places, slots) if tag != "O"
        ],
        OTHER_O: lambda places, slots: ["o" if tag == "O" else tag for tag in _tagged(_choice())(places, slots)],
        NO_HYPHEN: _tagged(_choice("B_{}", "I_{}")),
        "The first token of a slot is left out: it begins where the slot does, so compare with `<=`.": (
            _tagged(_start_left_out)
        ),
        "The last token of a slot is left out: both ends are one past the last letter, and may be equal.": (
            _last_left_out
        ),
        "You take a slot's `start` and `end` for numbers of tokens; they are places in the text, as in `places`.": (
            _by_token_numbers
        ),
    },
)
def align_labels(attempt):
    """Ramshaw and Marcus 1995, in the form that begins every slot with B; worked by hand."""
    # dim the living room lamp to 96%
    places = [(0, 3), (4, 7), (8, 14), (15, 19), (20, 24), (25, 27), (28, 30), (30, 31)]
    slots = [(8, 19, "area"), (20, 24, "name"), (28, 30, "brightness")]
    tags = attempt(places, slots)
    expected = ["O", "O", "B-area", "I-area", "B-name", "O", "B-brightness", "O"]
    yield holds(
        isinstance(tags, (list, tuple)) and all(isinstance(tag, str) for tag in tags),
        "it is a list of tags",
        _return(tags, "Return a list of tags: texts such as 'O' and 'B-area'."),
    )
    yield holds(
        len(tags) == len(places),
        "there are as many tags as tokens",
        f"There are {len(tags)} tags for {len(places)} tokens; every token has one.",
    )
    yield _equal(list(tags), expected, "“dim the living room lamp to 96%” is tagged right", _why_tagged(tags), earns=1)
    # add red wine milk soap: two items side by side
    tags = attempt([(0, 3), (4, 7), (8, 12), (13, 17), (18, 22)], [(4, 12, "item"), (13, 17, "item")])
    expected = ["O", "B-item", "I-item", "B-item", "O"]
    yield _equal(list(tags), expected, "two slots of the same kind side by side stay two", NEIGHBOURS)
    yield _equal(
        list(attempt([(0, 3), (4, 7)], [])),
        ["O", "O"],
        "without slots every tag is O",
        "For a command without slots every tag must be O.",
    )
    yield _equal(list(attempt([], [])), [], "without tokens there are no tags", "Without tokens there are no tags.")


def _why_tagged(tags):
    if len({tags[place] for place in (0, 1, 5, 7)} - {"O"}) == 1 and tags[0] == tags[7]:
        return OTHER_O
    if tags[7] == "I-brightness":
        return END_INCLUDED
    if any(tag[1:2] in ("_", " ") for tag in tags):
        return NO_HYPHEN
    if tags[3] == "B-area":
        return ALL_BEGIN
    if tags[2] == "I-area":
        return NO_BEGIN
    return TOUCHING if tags[4] == "I-name" else "The tags are wrong; see the two lists."


# --- 6.3 spans_of ----------------------------------------------------------------------------------------------------


def _spans(tags, joins=None, ends=0, begins=None, last=True):
    """Spans of tags: `joins(span, tag)`: whether a tag goes on with a span; `begins(tag)`: whether it can begin one."""
    joins = joins or (lambda span, tag: tag == "I-" + span[2])
    spans, current = [], None
    for place, tag in enumerate(tags):
        if current and joins(current, tag):
            current[1] = place + 1
            continue
        if current:
            spans.append(current)
        current = [place, place + 1, tag[2:]] if tag != "O" and (not begins or begins(tag)) else None
    if current and last:
        spans.append(current)
    return [(start, end + ends, slot) for start, end, slot in spans]


def _prefixed(tags):
    return [(start, end, tags[start]) for start, end, _ in _spans(tags)]


def _first_place_lost(tags):
    """Remembers where a span began, and takes place 0 for no place."""
    return [span for span in _spans(tags) if span[0]]


def _each_token(tags):
    return [(place, place + 1, tag[2:]) for place, tag in enumerate(tags) if tag != "O"]


def _gaps_bridged(tags):
    """An I- after an O goes on with the span before."""
    spans = []
    for place, tag in enumerate(tags):
        if tag.startswith("I-") and spans and spans[-1][2] == tag[2:]:
            spans[-1] = (spans[-1][0], place + 1, tag[2:])
        elif tag != "O":
            spans.append((place, place + 1, tag[2:]))
    return spans


WITH_LENGTH = "The second number is the length of a span; it should be where it ends, as in tags[first:end]."
END_TOO_EARLY = "The second number is the last token of a span; it should be one further, as in tags[first:end]."
FIRST_LOST = "A span at place 0 is lost: 0 counts as False in an `if`; ask `is not None`."
LAST_LOST = "A span that reaches to the end of the command is lost: after the loop one may still be open."
MERGED = "Two spans side by side become one: a B- always begins a new span."
OTHER_SLOT = "An I- of another slot goes on with the span before it; it begins a new one."
STRAY = "An I- without a B- before it is lost; it begins a span as well (a model may well say so)."
BRIDGED = "An I- after an O goes on with a span before the O; a span has no gaps."


@exercise(
    points=2,
    mistakes={
        END_TOO_EARLY: lambda tags: _spans(tags, ends=-1),
        WITH_LENGTH: lambda tags: [(first, end - first, slot) for first, end, slot in _spans(tags)],
        "Each token is a span of its own; an I- goes on with the span before it.": _each_token,
        "Only the first token of a span counts: it ends before the next tag that is no I- of its slot.": (
            lambda tags: [(start, start + 1, slot) for start, _, slot in _spans(tags)]
        ),
        LAST_LOST: lambda tags: _spans(tags, last=False),
        FIRST_LOST: _first_place_lost,
        MERGED: lambda tags: _spans(tags, joins=lambda span, tag: tag[2:] == span[2]),
        OTHER_SLOT: lambda tags: _spans(tags, joins=lambda span, tag: tag.startswith("I-")),
        STRAY: lambda tags: _spans(tags, begins=lambda tag: tag.startswith("B-")),
        BRIDGED: _gaps_bridged,
        "The third entry is a tag; the slot's name is asked for, without B-.": _prefixed,
        "The slot comes first; the order is first, end, slot.": lambda tags: [
            (slot, first, end) for first, end, slot in _spans(tags)
        ],
    },
)
def spans_of(attempt):
    """Tjong Kim Sang and De Meulder 2003 (conlleval); worked by hand."""
    result = attempt(["O", "B-area", "I-area", "O", "B-name", "O", "O"])
    spans = _listed(result, 3)
    yield holds(
        spans is not None,
        "it is a list of spans, (first, end, slot) each",
        _return(result, "Return a list of spans, each of three entries: (first, end, slot)."),
    )
    tags, wanted = "O B-area I-area O B-name O O", [(1, 3, "area"), (4, 5, "name")]
    yield _same_spans(spans, wanted, f"{tags} has two spans", END_TOO_EARLY, [(1, 2, "area"), (4, 4, "name")], earns=1)
    for tags, wanted, sentence, mistake, wrong in (
        ("B-item O B-area I-area", [(0, 1, "item"), (2, 4, "area")], "a span may reach the end", LAST_LOST,
         [(0, 1, "item")]),
        ("B-item I-item B-item O", [(0, 2, "item"), (2, 3, "item")], "B- begins a new span", MERGED,
         [(0, 3, "item")]),
        ("B-area I-name O", [(0, 1, "area"), (1, 2, "name")], "so does an I- of another slot", OTHER_SLOT,
         [(0, 2, "area")]),
        ("O I-name I-name O", [(1, 3, "name")], "and an I- without a B-", STRAY, []),
        ("B-name O I-name", [(0, 1, "name"), (2, 3, "name")], "an O ends a span", BRIDGED, [(0, 3, "name")]),
        ("O O", [], "without slots there are no spans", "", None),
    ):  # fmt: skip
        yield _same_spans(_listed(attempt(tags.split()), 3), wanted, f"{sentence}: {tags}", mistake, wrong)


def _same_spans(spans, wanted, sentence, mistake, wrong, **earns):
    """The criterion that these are the spans, in any order. What the mistake gives is `wrong`."""
    spans = None if spans is None else sorted(spans, key=str)
    words = mistake if spans == wrong else "The spans are wrong; see the two lists."
    if spans == [span for span in wanted if span[0]]:
        words = FIRST_LOST
    return _equal(spans, wanted, sentence, words, **earns)


# --- 6.4 TokenClassifier ---------------------------------------------------------------------------------------------

B, T, D, HEADS, V, C = 3, 5, 8, 2, 11, 4


def _mask():
    """Rows of 3, 5 and 1 tokens, then padding."""
    return torch.arange(T) >= torch.tensor([3, 5, 1])[:, None]


def _classifier(forward=None, turned=False, bias=True):
    """A TokenClassifier with another `forward` or another output layer."""

    class TokenClassifier(nn.Module):
        def __init__(self, embeddings, encoder, d_model, tags):
            super().__init__()
            self.embeddings, self.encoder = embeddings, encoder
            self.output = nn.Linear(*((tags, d_model) if turned else (d_model, tags)), bias=bias)

        def forward(self, tokens, key_padding_mask=None):
            return (forward or _scores)(self, tokens, key_padding_mask)

    return TokenClassifier


def _scores(self, tokens, mask):
    return self.output(self.encoder(self.embeddings(tokens), mask))


class _NoInit(nn.Module):
    def __init__(self, embeddings, encoder, d_model, tags):
        self.embeddings, self.encoder = embeddings, encoder


TURNED = "The output layer has the wrong sizes: `nn.Linear` takes the size that goes in first, `d_model`, then `tags`."
NO_MASK = "Padding changes the scores of the other tokens: hand `key_padding_mask` on to the encoder."
RECTIFIED = "There is an activation after `output`: a score may be negative; return it as it is."
DROPOUT_ADDED = "There is a dropout, which nobody has asked for: leave it out, or let it be off by default."
MASK_INVERTED = "The mask is the wrong way round: hand it on as it is, True where a token is padding."


@exercise(
    points=2,
    mistakes={
        "Your `__init__` does not call `super().__init__()` first, without which a module can't hold parts.": _NoInit,
        TURNED: _classifier(turned=True),
        "The output layer has no bias; leave `bias` as it is.": _classifier(bias=False),
        NO_MASK: _classifier(lambda self, tokens, mask: _scores(self, tokens, None)),
        MASK_INVERTED: _classifier(lambda self, tokens, mask: _scores(self, tokens, None if mask is None else ~mask)),
        "You average over the tokens and score the whole command; every token gets scores of its own.": _classifier(
            lambda self, tokens, mask: self.output(self.encoder(self.embeddings(tokens), mask).mean(1))
        ),
        "You score only the first token; every token gets scores of its own.": _classifier(
            lambda self, tokens, mask: _scores(self, tokens, mask)[:, 0]
        ),
        "You return the best tag of each token; return the scores of all tags.": _classifier(
            lambda self, tokens, mask: _scores(self, tokens, mask).argmax(-1)
        ),
        "You return probabilities: leave the softmax out, since the loss takes scores (logits).": _classifier(
            lambda self, tokens, mask: _scores(self, tokens, mask).softmax(-1)
        ),
        "You return log-probabilities: leave the log-softmax out, since the loss takes scores (logits).": _classifier(
            lambda self, tokens, mask: _scores(self, tokens, mask).log_softmax(-1)
        ),
        RECTIFIED: _classifier(lambda self, tokens, mask: F.relu(_scores(self, tokens, mask))),
        DROPOUT_ADDED: _classifier(
            lambda self, tokens, mask: self.output(
                F.dropout(self.encoder(self.embeddings(tokens), mask), 0.1, self.training)
            )
        ),
        "The encoder is not used: the tokens are scored without their context.": _classifier(
            lambda self, tokens, mask: self.output(self.embeddings(tokens))
        ),
        "The embeddings are added once more after the encoder; its own residual paths carry them already.": _classifier(
            lambda self, tokens, mask: self.output(
                self.embeddings(tokens) + self.encoder(self.embeddings(tokens), mask)
            )
        ),
    },
)
def TokenClassifier(attempt):
    """Devlin et al. 2019, section 5.3 and figure 4d, without fine-tuning. The oracle is PyTorch's own layers."""
    table = tensor(V, D)
    torch.manual_seed(0)
    block = parts.Block(D, HEADS, 2 * D)
    embeddings, encoder = (
        Part("Embedding", (V, D), {"weight": table}),
        Part("Block", (D, HEADS, 2 * D), block.state_dict()),
    )
    model = attempt.build(embeddings, encoder, D, C)
    state = {"output.weight": tensor(C, D), "output.bias": tensor(C)}
    unfit = model.load(state)
    own = model.parameters()
    yield holds(
        not unfit,
        "it has an `output` from D to the number of tags, with a bias",
        TURNED if "output.bias" in own and own["output.bias"].shape == (D,) else
        "`output` must be nn.Linear(d_model, tags), with a bias.",
    )  # fmt: skip
    yield holds(
        any(value.shape == (V, D) for value in own.values()) and len(own) == 3 + len(block.state_dict()),
        "it has the parameters of `embeddings` and `encoder` as its own",
        "Keep `embeddings` and `encoder` as attributes of those names, so that PyTorch finds their parameters.",
    )
    model.mode(training=False)
    tokens, mask = integers(0, V, (B, T)), _mask()
    logits = model(tokens, mask)
    yield shaped(logits, B=B, T=T, C=C, hint="A score for every tag at every position.")
    other = model(torch.where(mask, (tokens + 1) % V, tokens), mask)
    yield close(other[~mask], logits[~mask], "what padding holds does not matter to the other tokens", NO_MASK)

    def right(mask):
        with torch.no_grad():
            return F.linear(block(table[tokens], mask), state["output.weight"], state["output.bias"])

    yield close(
        logits[~mask],
        right(mask)[~mask],
        "the scores are output(encoder(embeddings(tokens)))",
        "With known weights, the scores are not output(encoder(embeddings(tokens))).",
        earns=1,
    )
    yield close(model(tokens), right(None), "it works without a mask", "Without a mask the scores are wrong.")
    model.mode(training=True)
    yield close(
        model(tokens, mask)[~mask],
        right(mask)[~mask],
        "and in training they are the same: nothing is dropped",
        DROPOUT_ADDED,
    )
    signals = model.gradients(tokens, mask)["parameters"]
    still = [name for name, signal in signals.items() if signal is None]
    yield holds(not still, "gradients reach every part", f"No gradient reaches {', '.join(still)}: is it detached?")


# --- 6.5 token_loss --------------------------------------------------------------------------------------------------


def _terms(logits, labels):
    """Minus the log-probability of each right tag, in a plain loop.  (B, T)"""
    rows = [[-scores.log_softmax(-1)[label] for scores, label in zip(*row)] for row in zip(logits, labels.tolist())]
    return torch.stack([torch.stack(row) for row in rows])


def _right_loss(logits, labels, mask):
    return F.cross_entropy(logits[~mask], labels[~mask])


PADDING_COUNTS = "Padding counts too: changing its scores changes the loss. Leave it out before you take the mean."
DIVIDED_BY_ALL = (
    "You set the terms of padding to 0, but divide by the number of all tokens; divide by those that count."
)
SCORES_ZEROED = (
    "You set the scores of padding to 0, and it still counts: equal scores are a guess, with a loss of log C each. "
    "Leave padding out before you take the mean."
)
MEAN_OF_ROWS = "You take the mean of each command, then of these: a token of a short command counts more."
SOFTMAX_FIRST = "You apply a softmax before the cross-entropy, which applies one itself; hand it the plain scores."


@exercise(
    points=2,
    mistakes={
        PADDING_COUNTS: lambda logits, labels, mask: _terms(logits, labels).mean(),
        DIVIDED_BY_ALL: lambda logits, labels, mask: _terms(logits, labels).masked_fill(mask, 0.0).mean(),
        SCORES_ZEROED: lambda logits, labels, mask: _terms(logits.masked_fill(mask[..., None], 0.0), labels).mean(),
        "Only padding counts: the mask is True where a token is padding.": lambda logits, labels, mask: _terms(
            logits, labels
        )[mask].mean(),
        MEAN_OF_ROWS: lambda logits, labels, mask: torch.stack(
            [row[~hidden].mean() for row, hidden in zip(_terms(logits, labels), mask)]
        ).mean(),
        "You return the sum; divide it by the number of tokens that count.": lambda logits, labels, mask: _terms(
            logits, labels
        )[~mask].sum(),
        "You return a loss for each token; return their mean.": lambda logits, labels, mask: _terms(logits, labels)[
            ~mask
        ],
        SOFTMAX_FIRST: lambda logits, labels, mask: _right_loss(logits.softmax(-1), labels, mask),
        "You leave out the label 0; that is a tag too (O). Leave out what the mask says.": (
            lambda logits, labels, mask: F.cross_entropy(logits.mT, labels, ignore_index=0)
        ),
        "The minus sign is missing: log-probabilities are negative, a loss is positive.": (
            lambda logits, labels, mask: -_right_loss(logits, labels, mask)
        ),
        "`F.cross_entropy` takes the tags on axis 1: give it (N, C) and (N,), or transpose to (B, C, T).": (
            lambda logits, labels, mask: F.cross_entropy(logits, labels)
        ),
        "You return a plain number, through which no gradient flows: leave out `.item()`.": (
            lambda logits, labels, mask: _right_loss(logits, labels, mask).item()
        ),
    },
)
def token_loss(attempt):
    """The oracle is `F.cross_entropy` over the tokens that are no padding."""
    logits, labels, mask = tensor(B, T, C, scale=2), integers(0, C, (B, T)), _mask()
    labels[mask] = 0  # as in the lesson, where 0 is the tag O
    labels[0, 0], labels[1, 2] = 0, 0
    loss = attempt(logits, labels, mask)
    yield shaped(loss, what="the loss", hint="One number for the whole batch.")
    changed = attempt(logits + torch.where(mask[..., None], tensor(B, T, C, scale=3), 0.0), labels, mask)
    yield shaped(changed, what="the loss for other scores")
    yield close(changed, loss, "scores at padding do not matter", PADDING_COUNTS)
    yield holds(loss > 0, "it is positive", "The loss is not positive: it is the mean of minus the log-probabilities.")
    yield close(
        loss,
        _right_loss(logits, labels, mask),
        "it is the mean of -log p(tag) over all tokens that are no padding",
        "It is not the mean of -log p(tag) over the tokens that are no padding.",
        earns=1,
    )
    huge = attempt(logits * 1000, labels, mask)
    yield shaped(huge, what="the loss for scores in the thousands")
    yield close(
        huge,
        _right_loss(logits * 1000, labels, mask),
        "scores in the thousands do no harm",
        "Large scores give a wrong loss: a softmax that rounds to 0 has no logarithm; use `F.cross_entropy`.",
    )
    none = torch.zeros_like(mask)
    yield close(
        attempt(logits, labels, none),
        _right_loss(logits, labels, none),
        "without padding every token counts",
        "Where nothing is padding the loss must be the mean over all tokens.",
    )
    slopes = attempt.gradients(logits, labels, mask)["arguments"][0]
    yield holds(
        slopes is not None and slopes[~mask].any() and not slopes[mask].any(),
        "gradients reach every token but padding",
        "The gradient must reach the scores of all tokens but padding: is the loss detached?",
    )


# --- 6.6 train -------------------------------------------------------------------------------------------------------

STEPS, RATE = 5, 0.05


def _step(model, optimizer, batch, loss_of):
    tokens, labels, mask = batch
    optimizer.zero_grad()
    loss = loss_of(model, tokens, labels, mask)
    loss.backward()
    optimizer.step()
    return loss.item()


def _loss_of(model, tokens, labels, mask):
    return _right_loss(model(tokens, mask), labels, mask)


def _training(step=_step, loss_of=_loss_of, make=torch.optim.AdamW, ready=nn.Module.train, rate=None):
    """A `train` that differs in one thing."""

    def train(model, batches, learning_rate):
        ready(model)
        optimizer = make(model.parameters(), lr=rate or learning_rate)
        return [step(model, optimizer, batch, loss_of) for batch in batches]

    return train


def _evaluating_afterwards(model, optimizer, batch, loss_of):
    loss = _step(model, optimizer, batch, loss_of)
    model.eval()
    return loss


def _means_so_far(model, batches, learning_rate):
    losses = _training()(model, batches, learning_rate)
    return [sum(losses[: count + 1]) / (count + 1) for count in range(len(losses))]


def _never_cleared(model, optimizer, batch, loss_of):
    loss = loss_of(model, batch[0], batch[1], batch[2])
    loss.backward()
    optimizer.step()
    return loss.item()


def _cleared_between(model, optimizer, batch, loss_of):
    loss = loss_of(model, batch[0], batch[1], batch[2])
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


def _measured_afterwards(model, optimizer, batch, loss_of):
    _step(model, optimizer, batch, loss_of)
    return loss_of(model, *batch).item()


def _clipped(model, optimizer, batch, loss_of):
    optimizer.zero_grad()
    loss = loss_of(model, *batch)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def _slowing_down(model, optimizer, batch, loss_of):
    loss = _step(model, optimizer, batch, loss_of)
    optimizer.param_groups[0]["lr"] *= 0.9
    return loss


def _by_number(model, batches, learning_rate):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    return [_step(model, optimizer, batches[i], _loss_of) for i in range(STEPS)]


def _counted_first(model, batches, learning_rate):
    list(batches)
    return _training()(model, batches, learning_rate)


def _no_decay(parameters, lr):
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0)


def _new_optimizers(model, batches, learning_rate):
    model.train()
    return [_step(model, torch.optim.AdamW(model.parameters(), lr=learning_rate), batch, _loss_of) for batch in batches]


NOT_CLEARED = "The gradients of all batches add up: call `optimizer.zero_grad()` in every step, before `backward()`."
NO_STEP = (
    "The model does not change: each step needs `loss.backward()`, then `optimizer.step()`, and `zero_grad()` before "
    "the two, not between them."
)
NEW_OPTIMIZERS = (
    "You make a new optimizer for every batch, which forgets what AdamW averages; make one, before the loop."
)
MODEL_MASK = (
    "The model is called without the mask, so that tokens attend to padding: `model(tokens, key_padding_mask)`."
)
EVALUATION = (
    "Dropout is off: the model is in evaluation mode, in which it came. Call `model.train()` before the loop, and no "
    "`model.eval()`."
)
EVALUATION_LATER = (
    "Dropout is off from the second batch on: something in your loop, `model.eval()` perhaps, ends the training mode."
)
RATE_UNUSED = "`learning_rate` is not used: hand it to the optimizer as `lr`."
SOFAR = "You return the mean of the losses so far; return the loss of each batch."


NO_LENGTH = "`batches` has no length: a generator makes one batch after another. Go through it with `for`."
NO_INDEX = "`batches` has no `batches[i]`: a generator makes one batch after another. Go through it with `for`."
USED_UP = "Your loop gets no batches: they can be gone through only once, and something before it has done that."
COLLECTED = (
    "You collect all batches before the first step. A batch may be gone when the next is made: take one, use it, then "
    "the next, as `for` does."
)
TENSORS = "You return tensors; plain numbers are asked for: `loss.item()`."
MEASURED_AFTERWARDS = "You note a batch's loss after its step; note the one that the step was made from."
CLIPPED = "You clip the gradients, which is not asked for: take the step with them as they are."
NO_DECAY = (
    "Your optimizer does not make the weights decay, as AdamW does: use `torch.optim.AdamW` with `lr` and nothing else."
)


@exercise(
    points=3,
    uses=("token_loss",),
    mistakes={
        NO_LENGTH: lambda model, batches, learning_rate: len(batches),
        NO_INDEX: _by_number,
        USED_UP: _counted_first,
        COLLECTED: lambda model, batches, learning_rate: _training()(model, list(batches), learning_rate),
        TENSORS: lambda model, batches, learning_rate: [
            torch.tensor(loss) for loss in _training()(model, batches, learning_rate)
        ],
        MEASURED_AFTERWARDS: _training(_measured_afterwards),
        CLIPPED: _training(_clipped),
        "The learning rate changes on the way; here it stays as it is.": _training(_slowing_down),
        NO_DECAY: _training(make=_no_decay),
        NOT_CLEARED: _training(_never_cleared),
        NO_STEP: _training(_cleared_between),
        NEW_OPTIMIZERS: _new_optimizers,
        EVALUATION: _training(ready=nn.Module.eval),
        EVALUATION_LATER: _training(_evaluating_afterwards),
        MODEL_MASK: _training(loss_of=lambda model, tokens, labels, mask: _right_loss(model(tokens), labels, mask)),
        "Padding counts in the loss: hand the mask to `token_loss` too.": _training(
            loss_of=lambda model, tokens, labels, mask: _right_loss(model(tokens, mask), labels, torch.zeros_like(mask))
        ),
        SOFTMAX_FIRST.replace("cross-entropy", "loss"): _training(
            loss_of=lambda model, tokens, labels, mask: _right_loss(model(tokens, mask).softmax(-1), labels, mask)
        ),
        RATE_UNUSED: _training(rate=1e-3),
        "Your optimizer's rate is 10 times `learning_rate`; hand it on as it is.": (
            lambda model, batches, learning_rate: _training()(model, batches, 10 * learning_rate)
        ),
        SOFAR: _means_so_far,
        "The optimizer is SGD; use `torch.optim.AdamW`.": _training(make=torch.optim.SGD),
        "Only the first batch is used: is there a `return` inside the loop?": lambda model, batches, learning_rate: (
            _training()(model, [next(batches)], learning_rate)
        ),
        "You return the last loss only; return a list with the loss of every batch.": (
            lambda model, batches, learning_rate: _training()(model, batches, learning_rate)[-1]
        ),
        "You return the mean of the losses; return a list with the loss of every batch.": (
            lambda model, batches, learning_rate: sum(_training()(model, batches, learning_rate)) / STEPS
        ),
    },
)
def train(attempt):
    """The oracle is the same loop with PyTorch's own loss, over all tokens at once."""
    sizes = (V, D, C)
    table = {name: tensor(*value.shape, scale=0.5) for name, value in parts.Tagger(*sizes).state_dict().items()}
    batches = [(integers(0, V, (B, T)), integers(0, C, (B, T)), _mask().roll(shift, 0)) for shift in range(STEPS)]
    losses = attempt(Part("Tagger", sizes, table), Once(batches), RATE)
    listed = isinstance(losses, (list, tuple))
    yield holds(
        listed and all(type(loss) in (int, float) for loss in losses),
        "it is a list of plain numbers",
        TENSORS if listed and losses and all(isinstance(loss, torch.Tensor) for loss in losses) else
        _return(losses, "Return a list: the loss of every batch, as a plain number."),
    )  # fmt: skip
    yield holds(
        len(losses) == STEPS,
        "there is a loss for every batch",
        f"There are {len(losses)} losses for {STEPS} batches; return a list with the loss of every batch.",
    )
    losses = torch.tensor(losses, dtype=torch.float32)
    oracle = parts.Tagger(*sizes)
    oracle.load_state_dict(table)
    expected = torch.tensor(_training()(oracle, batches, RATE))
    oracle.load_state_dict(table)
    still = torch.tensor([_loss_of(oracle.eval(), *batch).item() for batch in batches])
    yield close(
        losses[:1],
        expected[:1],
        "the first loss is that of the untrained model",
        "The first number is not the loss of the untrained model on the first batch, with the mask handed both to the "
        "model and to `token_loss`.",
    )
    yield holds(not torch.allclose(losses, still, atol=1e-4), "then the model changes", NO_STEP)
    improved = close(losses[:2], expected[:2], "", "", tolerance=2e-3).holds
    yield close(
        losses[:2],
        expected[:2],
        "after one step the second loss is that of the improved model",
        "" if improved else _why_not_improved(attempt, (sizes, table, batches), losses, expected),
        tolerance=2e-3,
        earns=1,
    )
    yield close(
        losses,
        expected,
        "and so on, with one optimizer for all batches",
        "The second loss is right, later ones are not. In every step: old gradients are cleared, the new ones stay as "
        "they are, and the same AdamW takes the step, at the same rate.",
        tolerance=5e-4,
    )
    # Dropout with rate 1 drops everything, so that its losses hold no chance.
    dropped = attempt(Part("Tagger", (*sizes, 1.0), table), Once(batches), RATE)
    dropping = parts.Tagger(*sizes, 1.0)
    dropping.load_state_dict(table)
    expected = torch.tensor(_training()(dropping, batches, RATE))
    dropped = torch.tensor(dropped, dtype=torch.float32)
    yield close(dropped[:1], expected[:1], "in training mode, with dropout", EVALUATION)
    yield close(dropped, expected, "from the first batch to the last", EVALUATION_LATER, tolerance=5e-4)


def _why_not_improved(attempt, task, losses, expected):
    """Why the second loss is not that of the model after a step at the rate: which rate is it, or which loss?"""
    sizes, table, batches = task
    if abs(losses[1] - expected[:2].mean()) < 1e-4:
        return SOFAR
    if same(attempt(Part("Tagger", sizes, table), Once(batches), 2 * RATE), losses.tolist()):
        return RATE_UNUSED
    for factor in (0.01, 0.1, 0.5, 2, 10, 100):
        other = parts.Tagger(*sizes)
        other.load_state_dict(table)
        if abs(losses[1] - _training()(other, batches[:2], factor * RATE)[1]) < 1e-3:
            return f"Your optimizer's rate is {factor:g} times `learning_rate`; hand it on as it is."
    return (
        "After the first step the model is not what AdamW makes of it: zero_grad, loss, backward, step, in this order?"
    )
