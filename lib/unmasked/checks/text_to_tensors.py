"""Checks of lesson 01. Oracles: results worked by hand, Hugging Face's WordPiece, `pad_sequence`, `F.embedding`."""

from collections import Counter
from itertools import combinations

import torch
import torch.nn.functional as F
from tokenizers.models import WordPiece
from torch.nn.utils.rnn import pad_sequence

from unmasked.criteria import close, holds, kind, shaped, tensor
from unmasked.exercise import exercise

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def _numbered(tokens, first=0):
    return {token: number for number, token in enumerate(tokens, start=first)}


# --- 1.1 build_vocabulary --------------------------------------------------------------------------------------------

WORDS = "we see the sea and the sun and the land see we the bird a ship at night".split()
OFTEN, ONCE = (
    ["the", "and", "see", "we"],
    ["a", "at", "bird", "land", "night", "sea", "ship", "sun"],
)  # 4, 2, 2, 2 times


def _ordered(tokens, key=None):
    counts = Counter(tokens)
    return sorted(counts, key=key and (lambda token: key(counts[token], token)))


def _every(tokens):
    return [*SPECIAL_TOKENS, *_ordered(tokens, lambda count, token: (-count, token))]


def _vocabulary(tokens, size):
    return _numbered(_every(tokens)[:size])


def _ordered_by(key):
    """A vocabulary whose ordinary tokens come in another order."""
    return lambda tokens, size: _numbered([*SPECIAL_TOKENS, *_ordered(tokens, key)][:size])


@exercise(
    points=2,
    mistakes={
        "The special tokens are missing: they come first, with the ids 0 to 4.": (
            lambda tokens, size: _numbered(_ordered(tokens, lambda count, token: (-count, token))[:size])
        ),
        "The special tokens come last; they come first, with the ids 0 to 4.": (
            lambda tokens, size: _numbered(
                [*_ordered(tokens, lambda count, token: (-count, token))[: size - 5], *SPECIAL_TOKENS]
            )
        ),
        "You don't count the special tokens in `size`: they take five of its places.": (
            lambda tokens, size: _vocabulary(tokens, size + 5)
        ),
        "Your ids are texts; they are whole numbers, which can number the rows of a table.": (
            lambda tokens, size: {token: str(id) for token, id in _vocabulary(tokens, size).items()}
        ),
        "`size` is not used: the vocabulary has an id for every token of the text.": (
            lambda tokens, size: _vocabulary(tokens, 10**6)
        ),
        "Equally frequent tokens stand in the order of the text; sort them by alphabet, so that the order of the text "
        "does not matter.": lambda tokens, size: _numbered(
            [*SPECIAL_TOKENS, *(token for token, _ in Counter(tokens).most_common())][:size]
        ),
        "Equally frequent tokens stand in reverse alphabetical order: `reverse=True` turns both around; sort by the "
        "negative count instead.": lambda tokens, size: _numbered(
            [*SPECIAL_TOKENS, *reversed(_ordered(tokens, lambda count, token: (count, token)))][:size]
        ),
        "The rarest tokens come first; the most frequent ones must, so that they get the places.": (
            _ordered_by(lambda count, token: (count, token))
        ),
        "Tokens stand in alphabetical order, however frequent they are; the most frequent come first.": (
            _ordered_by(lambda count, token: token)
        ),
        "Tokens stand in the order of the text, however frequent they are; the most frequent come first.": (
            lambda tokens, size: _numbered([*SPECIAL_TOKENS, *dict.fromkeys(tokens)][:size])
        ),
        "Each occurrence of a token gets an id, and the last one stays; count them first.": (
            lambda tokens, size: _numbered([*SPECIAL_TOKENS, *tokens][:size])
        ),
        "The ids start at 1; they start at 0, so that they can number the rows of a table.": (
            lambda tokens, size: {token: id + 1 for token, id in _vocabulary(tokens, size).items()}
        ),
        "This is id -> token; the other way round is asked for.": (
            lambda tokens, size: {id: token for token, id in _vocabulary(tokens, size).items()}
        ),
        "`SPECIAL_TOKENS` is a tuple, which can't be added to a list; unpack both into a new one: `[*a, *b]`.": (
            lambda tokens, size: SPECIAL_TOKENS + _ordered(tokens)
        ),
        "`size` may be larger than the number of tokens: number those that there are; `[:size]` ends by itself.": (
            lambda tokens, size: {_every(tokens)[number]: number for number in range(size)}
        ),
        "Your keys are pairs (token, count), as `most_common()` gives them; the token alone is the key.": (
            lambda tokens, size: _numbered(
                [*SPECIAL_TOKENS, *sorted(Counter(tokens).items(), key=lambda item: (-item[1], item[0]))][:size]
            )
        ),
        "Your keys are pairs (token, count), as `most_common()` gives them; the token alone is the key. And equally "
        "frequent tokens need an order: by alphabet.": (
            lambda tokens, size: _numbered([*SPECIAL_TOKENS, *Counter(tokens).most_common()][:size])
        ),
        "This is a list of tokens; make a dict token -> id of it.": (
            lambda tokens, size: list(_vocabulary(tokens, size))
        ),
        "These are the counts; each token gets its place in the order as its id.": (
            lambda tokens, size: {token: Counter(tokens)[token] for token in _vocabulary(tokens, size)}
        ),
    },
)
def build_vocabulary(attempt):
    """Special tokens first, then by frequency, then by alphabet; counts worked by hand."""
    vocabulary, everything = attempt(WORDS, 10), attempt(WORDS, 100)
    yield holds(
        isinstance(vocabulary, dict) and isinstance(everything, dict),
        "it returns a dict",
        f"The result is {kind(vocabulary)}; a dict token -> id is needed.",
    )
    special = {token: vocabulary.get(token) for token in SPECIAL_TOKENS}
    yield holds(
        list(special.values()) == [0, 1, 2, 3, 4],
        "the special tokens have the ids 0 to 4",
        "The special tokens must have the whole numbers 0 to 4 as ids, in the order in which SPECIAL_TOKENS has them.",
        received=special,
    )
    yield holds(
        len(vocabulary) == 10,
        "of twelve words there is room for five when `size` is 10",
        f"With size=10 the vocabulary has {len(vocabulary)} entries; special tokens and words together must be 10.",
        received=vocabulary,
    )
    yield holds(
        sorted(map(str, vocabulary.values())) == sorted(map(str, range(10))),
        "its ids are 0 to 9, each of them once",
        "With 10 entries the ids must be 0 to 9, each of them once.",
        received=vocabulary,
    )
    yield holds(
        vocabulary.get("the") == 5,
        "the most frequent word comes next",
        "`the` occurs most often, so its id must be 5, the first after the special tokens.",
        received=vocabulary,
        earns=1,
    )
    expected = _numbered([*SPECIAL_TOKENS, *OFTEN, *ONCE][:10])
    yield holds(
        vocabulary == expected,
        "the others follow by frequency, and by alphabet where that is the same",
        "The words are not in order: by falling frequency, and by alphabet where two are equally frequent.",
        expected=expected,
        received=vocabulary,
    )
    yield holds(
        everything == _numbered([*SPECIAL_TOKENS, *OFTEN, *ONCE]),
        "with more room than words, all words are in it, and nothing else",
        "With size=100 all twelve words have room: the vocabulary must have 17 entries.",
        received=everything,
    )
    characters = attempt(list("banana"), 7)
    yield holds(
        characters == _numbered([*SPECIAL_TOKENS, "a", "n"]),
        "it works for characters as it does for words",
        "For the characters of banana and size=7, the entries after the special tokens must be a and n.",
        received=characters,
    )


# --- 1.2 word_pieces -------------------------------------------------------------------------------------------------

STARTS = ["u", "un", "unm", "mask", "ask", "sea", "top", "th", "thou", "a", "sun"]
CONTINUATIONS = ["n", "m", "a", "mask", "ask", "as", "s", "k", "ed", "e", "d", "ough", "sun"]
PIECES = _numbered([*SPECIAL_TOKENS, *STARTS, *(f"##{piece}" for piece in CONTINUATIONS)])


def _hugging_face(word, vocabulary):
    """The pieces that Hugging Face's own WordPiece cuts a word into."""
    return [token.value for token in WordPiece(vocabulary, unk_token="[UNK]").tokenize(word)]


def _greedy(word, vocabulary, shortest=False, mark="##", longest_word=100, at_a_dead_end=None, fewest=1, less=0):
    """Longest match first, with everything that can be wrong about it; a dead end gives [UNK] by default."""
    if len(word) > longest_word:
        return ["[UNK]"]
    pieces, start = [], 0
    while start < len(word):
        ends = range(start + fewest, len(word) - less + 1)
        ends = ends if shortest else reversed(ends)
        found = [end for end in ends if (mark if start else "") + word[start:end] in vocabulary]
        if not found:
            return at_a_dead_end(pieces, word[start:]) if at_a_dead_end else ["[UNK]"]
        pieces.append((mark if start else "") + word[start : found[0]])
        start = found[0]
    return pieces


def _variation(**options):
    return lambda word, vocabulary: _greedy(word, vocabulary, **options)


def _skipping_one(word, vocabulary, mark=""):
    if not word or len(word) > 100:
        return ["[UNK]"] if word else []
    found = [end for end in range(len(word), 0, -1) if mark + word[:end] in vocabulary]
    return [mark + word[: found[0]], *_skipping_one(word[found[0] + 1 :], vocabulary, "##")] if found else ["[UNK]"]


def _from_the_end(word, vocabulary):
    pieces, end = [], len(word)
    while end:
        found = [start for start in range(end) if ("##" if start else "") + word[start:end] in vocabulary]
        if not found or len(word) > 100:
            return ["[UNK]"]
        pieces.insert(0, ("##" if found[0] else "") + word[found[0] : end])
        end = found[0]
    return pieces


def _going_back(word, vocabulary, mark=""):
    """Longest match first, but a shorter one where the longest leads nowhere."""
    if not word:
        return []
    for end in range(len(word), 0, -1):
        if mark + word[:end] in vocabulary and len(word) <= 100:
            rest = _going_back(word[end:], vocabulary, "##")
            if rest != ["[UNK]"]:
                return [mark + word[:end], *rest]
    return ["[UNK]"]


def _skipping(word, vocabulary):
    """[UNK] for a character that no piece begins with, then on."""
    return _greedy(
        word, vocabulary, at_a_dead_end=lambda pieces, rest: [*pieces, "[UNK]", *_skipping(rest[1:], vocabulary)]
    )


@exercise(
    points=3,
    mistakes={
        "You take the shortest piece that fits; take the longest.": _variation(shortest=True),
        "You cut from the end of the word; begin at its start.": _from_the_end,
        "You look for continuing pieces without their ##: `ask` only begins a word, `##ask` continues one.": (
            _variation(mark="")
        ),
        "You look for continuing pieces with ## and return them without it.": (
            lambda word, vocabulary: [piece.removeprefix("##") for piece in _greedy(word, vocabulary)]
        ),
        "Where no piece fits, the pieces found before it stay; the whole word must become [UNK].": (
            _variation(at_a_dead_end=lambda pieces, rest: [*pieces, "[UNK]"])
        ),
        "Where no piece fits, you put [UNK] for one character and go on; the whole word must become [UNK].": _skipping,
        "Where no piece fits, the rest of the word is lost; the whole word must become [UNK].": (
            _variation(at_a_dead_end=lambda pieces, rest: pieces)
        ),
        "Where no piece fits, nothing is returned; the whole word must become [UNK], as a list of one.": (
            _variation(at_a_dead_end=lambda pieces, rest: None)
        ),
        "You return the text [UNK]; a list is needed, of one piece: `['[UNK]']`.": (
            _variation(at_a_dead_end=lambda pieces, rest: "[UNK]")
        ),
        "Where the longest piece leads nowhere, you go back and try a shorter one; greedy means never to go back.": (
            _going_back
        ),
        "Words of more than 100 characters are cut too; they become [UNK].": _variation(longest_word=10**6),
        "You count pieces; a word is too long if it has more than 100 characters, and one of 104 may be 26 pieces.": (
            lambda word, vocabulary: (
                _greedy(word, vocabulary, longest_word=10**6)
                if len(_greedy(word, vocabulary, longest_word=10**6)) <= 100
                else ["[UNK]"]
            )
        ),
        "A word that stands in the vocabulary is returned before its length is looked at; more than 100 characters are "
        "too many for any word.": lambda word, vocabulary: [word] if word in vocabulary else _greedy(word, vocabulary),
        "This is a tuple; make a list of the pieces, so that lists can be added.": (
            lambda word, vocabulary: tuple(_greedy(word, vocabulary))
        ),
        "A word of 100 characters becomes [UNK] already; only longer ones do.": _variation(longest_word=99),
        "You never try a piece of one character: let `end` go down to `start + 1`.": _variation(fewest=2),
        "Every word becomes [UNK], even `mask`, which the vocabulary has whole: does `end` begin at `len(word)`, does "
        "the loop stop (`break`) at the first piece found, and the cutting where only `##` is left?": (
            _variation(less=1)
        ),
        "A character between two pieces is skipped: the next piece starts where the last one ended.": _skipping_one,
        "Only the first piece is there: go on until the end of the word.": (
            lambda word, vocabulary: _greedy(word, vocabulary)[:1]
        ),
        "After the start of a word only pieces with ## count; you also take those that stand without it in the "
        "vocabulary.": lambda word, vocabulary: _greedy(
            word, {mark + piece.removeprefix("##") for piece in vocabulary for mark in ("", "##")}
        ),
        "You only look up the whole word; if it is not in the vocabulary, it must be cut.": (
            lambda word, vocabulary: [word] if word in vocabulary else ["[UNK]"]
        ),
        "You cut every word into characters; a longer piece is better.": (
            lambda word, vocabulary: [("##" if i else "") + c for i, c in enumerate(word)]
        ),
        "These are ids; return the pieces themselves.": (
            lambda word, vocabulary: [vocabulary[piece] for piece in _greedy(word, vocabulary)]
        ),
    },
)
def word_pieces(attempt):
    """Song et al. 2021, "Fast WordPiece Tokenization": longest match first; Hugging Face's WordPiece."""
    cuts = {word: attempt(word, PIECES) for word in ("mask", "unmasked", "asks", "sunmask")}
    unfit = [cut for cut in cuts.values() if not (isinstance(cut, list) and _texts(cut))]
    yield holds(
        not unfit,
        "it returns a list of pieces",
        f"The result is {kind(unfit[0]) if unfit else ''}; a list of pieces (texts) is needed.",
        received=unfit[0] if unfit else None,
    )
    sentences = {
        "mask": "a word of the vocabulary stays whole",
        "unmasked": "`unmasked` is cut into the longest piece that begins it, the longest that goes on, and so forth",
        "asks": "so is `asks`, with a piece of one character at its end",
        "sunmask": "and `sunmask`",
    }
    for word, sentence in sentences.items():
        yield _cut_right(word, cuts[word], sentence, earns=2 if word == "sunmask" else 0)
    for word, sentence in {
        "untop": "where a piece is missing, the whole word is [UNK]: `top` begins words, only `##top` would go on",
        "mask!": "so it is for a character that no piece has",
        "though": "greedy means never to go back: after `thou` nothing fits, though `th` and `##ough` would",
    }.items():
        yield _cut_right(word, attempt(word, PIECES), sentence)
    yield _cut_right("a" * 100, attempt("a" * 100, PIECES), "a word of 100 characters is cut")
    yield _cut_right("a" * 101, attempt("a" * 101, PIECES), "a longer one is [UNK]")
    yield _cut_right("mask" * 26, attempt("mask" * 26, PIECES), "so it is where a few pieces would do")
    known = {**PIECES, "a" * 101: len(PIECES)}
    yield _cut_right("a" * 101, attempt("a" * 101, known), "or where the vocabulary has it whole", vocabulary=known)


def _texts(value):
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _cut_right(word, cut, sentence, earns=0, vocabulary=PIECES):
    expected = _hugging_face(word, vocabulary)
    shown = word if len(word) < 20 else f"{word[:5]}... ({len(word)} characters)"
    return holds(
        cut == expected,
        sentence,
        f"`{shown}` is cut wrongly: longest piece first, from the start, ## on all but the first; [UNK] if none fits.",
        expected=expected,
        received=cut,
        earns=earns,
    )


# --- 1.3 most_frequent_pair ------------------------------------------------------------------------------------------


def _characters(counts):
    """Every word cut into characters."""
    return {word: [word[0], *(f"##{c}" for c in word[1:])] for word in counts}


def _pair_counts(words, counts, pairs_of=lambda pieces: zip(pieces, pieces[1:])):
    found = Counter()
    for word, pieces in words.items():
        for pair in pairs_of(pieces):
            found[pair] += counts[word]
    return found


def _best(found):
    return max(found, key=found.get)


def _with_pairs(pairs_of):
    """The most frequent among other pairs than the neighbours."""
    return lambda words, counts: _best(_pair_counts(words, counts, pairs_of))


def _across_words(words, counts):
    text = [piece for word, pieces in words.items() for piece in pieces * counts[word]]
    return _best(Counter(zip(text, text[1:])))


def _by_score(words, counts):
    pieces = Counter()
    for word, cut in words.items():
        for piece in cut:
            pieces[piece] += counts[word]
    pairs = _pair_counts(words, counts)
    return max(pairs, key=lambda pair: pairs[pair] / (pieces[pair[0]] * pieces[pair[1]]))


def _most_frequent_pieces(words, counts):
    pieces = Counter()
    for word, cut in words.items():
        for piece in cut:
            pieces[piece] += counts[word]
    return tuple(piece for piece, _ in pieces.most_common(2))


def _without_marks(pair):
    return tuple(piece.removeprefix("##") for piece in pair)


LOST_MARKS = "Your pieces have lost their ##, which says that a piece continues a word; take them as they stand."
# How often each word occurs, and the most frequent pair in its characters, worked by hand.
TEXTS = [
    ({"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}, ("##u", "##g")),  # 20, then p ##u 17
    ({"to": 9, "tip": 2, "tie": 3, "tin": 2}, ("t", "##o")),  # 9, then t ##i 7, which is in more words
    ({"barbaric": 4, "an": 6, "at": 1}, ("##a", "##r")),  # twice in a word: 8, then a ##n 6
    ({"bar": 5, "bor": 4, "bir": 3, "bad": 1}, ("b", "##a")),  # 6; b and ##r meet 12 times, but never as neighbours
    ({"sold": 5, "held": 4}, ("##l", "##d")),  # 9; every other pair is in one word
    ({"a": 50, "i": 30, "ox": 3, "ax": 2}, ("o", "##x")),  # 3; words of one piece have no pair
]


@exercise(
    points=2,
    mistakes={
        "Each word counts once; a pair is as frequent as the words it stands in, so add `counts[word]`.": (
            lambda words, counts: _best(_pair_counts(words, dict.fromkeys(words, 1)))
        ),
        "A pair that stands twice in a word is counted once.": _with_pairs(lambda cut: set(zip(cut, cut[1:]))),
        "You count all pairs within a word; only neighbours can be joined.": _with_pairs(
            lambda cut: combinations(cut, 2)
        ),
        "You count only the first pair of each word.": _with_pairs(lambda cut: list(zip(cut, cut[1:]))[:1]),
        "You count only every second pair: the pairs of a word overlap.": _with_pairs(
            lambda cut: zip(cut[::2], cut[1::2])
        ),
        "You pair the last piece of a word with the first of the next; pairs never cross words.": _across_words,
        "This is the rarest pair; the most frequent one is asked for.": (
            lambda words, counts: min(_pair_counts(words, counts), key=_pair_counts(words, counts).get)
        ),
        "You take the two most frequent pieces; they need not be neighbours. Count pairs.": _most_frequent_pieces,
        "You pair the characters of the words; pair their pieces, which carry ## and grow longer.": (
            lambda words, counts: _best(_pair_counts({word: list(word) for word in words}, counts))
        ),
        "You divide by how frequent the two pieces are by themselves, a score that some descriptions give; "
        "the plain count is asked for.": _by_score,
        "You joined the pair; return its two pieces.": (
            lambda words, counts: (lambda a, b: a + b.removeprefix("##"))(*_best(_pair_counts(words, counts)))
        ),
        "`max` of a counter compares its keys, by alphabet; `key=counter.get` compares their counts.": (
            lambda words, counts: max(_pair_counts(words, counts))
        ),
        "Each word overwrites the counts of the words before it; add to them.": (
            lambda words, counts: _best({p: counts[w] for w, cut in words.items() for p in zip(cut, cut[1:])})
        ),
        "`most_common(1)` is a list of one (pair, count); take the pair out of it.": (
            lambda words, counts: _pair_counts(words, counts).most_common(1)
        ),
        "You return the count as well; return the pair only.": (
            lambda words, counts: _pair_counts(words, counts).most_common(1)[0]
        ),
        "You return the count as a third entry; return the two pieces only.": (
            lambda words, counts: (lambda found: (*_best(found), found[_best(found)]))(_pair_counts(words, counts))
        ),
        "You return the pair in a list of one; return the pair itself.": (
            lambda words, counts: [_best(_pair_counts(words, counts))]
        ),
        "The last piece has no neighbour to its right: go up to one before the end, `range(len(pieces) - 1)`.": (
            _with_pairs(lambda cut: [(cut[i], cut[i + 1]) for i in range(len(cut))])
        ),
        "The two pieces have changed places: the left one comes first.": (
            lambda words, counts: tuple(reversed(_best(_pair_counts(words, counts))))
        ),
        "You sort the two pieces of a pair; their order in the word is what counts.": _with_pairs(
            lambda cut: (tuple(sorted(pair)) for pair in zip(cut, cut[1:]))
        ),
        "You return the counts of all pairs; return the pair with the highest one.": _pair_counts,
        "You leave out the last pair of each word, and some have no other: `range(len(pieces) - 1)` reaches it.": (
            _with_pairs(lambda cut: [(cut[i], cut[i + 1]) for i in range(len(cut) - 2)])
        ),
        "`counts` is asked for words, not for pairs: add `counts[word]`.": (
            lambda words, counts: [counts[pair] for cut in words.values() for pair in zip(cut, cut[1:])]
        ),
        LOST_MARKS: lambda words, counts: _without_marks(_best(_pair_counts(words, counts))),
    },
)
def most_frequent_pair(attempt):
    """Sennrich et al. 2016, algorithm 1; counts worked by hand."""
    texts = [*TEXTS, ({"them": 3, "then": 4, "hen": 2}, ("the", "##n"))]
    words = [_characters(counts) for counts, _ in TEXTS] + [
        {"them": ["the", "##m"], "then": ["the", "##n"], "hen": ["h", "##e", "##n"]}
    ]
    pairs = [attempt(cut, counts) for cut, (counts, _) in zip(words, texts)]
    unfit = next((i for i, pair in enumerate(pairs) if not (_texts(pair) and len(pair) == 2)), None)
    yield holds(
        unfit is None,
        "it returns two pieces",
        f"For the word counts {texts[unfit or 0][0]} the result is {kind(pairs[unfit or 0])}; "
        "a tuple of two pieces (texts) is needed.",
        received=pairs[unfit or 0],
    )
    sentences = [
        "in hug, pug, pun, bun, hugs it finds the pair that the frequent words share",
        "a word that occurs often outweighs several rare ones",
        "a pair that stands twice in a word counts twice",
        "only neighbours are a pair",
        "a pair may stand at the end",
        "words of one piece have no pair",
        "pieces may be longer than a character",
    ]
    for cut, (counts, expected), pair, sentence in zip(words, texts, pairs, sentences):
        ranked = ", ".join(f"{a} {b} {count}" for (a, b), count in _pair_counts(cut, counts).most_common(2))
        yield holds(
            tuple(pair) == expected,
            sentence,
            LOST_MARKS
            if tuple(pair) == _without_marks(expected)
            else f"For the word counts {counts} the pair is a wrong one; the first two are: {ranked}.",
            expected=expected,
            received=pair,
        )


# --- 1.4 encode ------------------------------------------------------------------------------------------------------

TO_ENCODE = ["mask", "the", "unmasked", "sea", "!", "asked"]


def _ids(words, vocabulary, frame=("[CLS]", "[SEP]"), cut=_greedy):
    pieces = [piece for word in words for piece in cut(word, vocabulary)]
    return [vocabulary[piece] for piece in [*frame[:1], *pieces, *frame[1:]]]


@exercise(
    points=1,
    uses=("word_pieces",),
    mistakes={
        "[CLS] at the beginning and [SEP] at the end are missing.": (
            lambda words, vocabulary: _ids(words, vocabulary, frame=())
        ),
        "[SEP] at the end is missing.": lambda words, vocabulary: _ids(words, vocabulary, frame=("[CLS]",)),
        "[CLS] at the beginning is missing.": (lambda words, vocabulary: _ids(words, vocabulary)[1:]),
        "[CLS] and [SEP] have changed places: [CLS] comes first.": (
            lambda words, vocabulary: _ids(words, vocabulary, frame=("[SEP]", "[CLS]"))
        ),
        "Every word has a [CLS] and a [SEP] of its own; they frame the whole text, once.": (
            lambda words, vocabulary: [id for word in words for id in _ids([word], vocabulary)]
        ),
        "Words are looked up whole; cut each into its pieces first.": (
            lambda words, vocabulary: [2, *(vocabulary.get(word, 1) for word in words), 3]
        ),
        "Words are looked up whole, and not every word is in the vocabulary; cut each into its pieces first.": (
            lambda words, vocabulary: [vocabulary[word] for word in words]
        ),
        "A list of pieces stands in the list as one entry: `extend` adds its pieces, `append` the list itself.": (
            lambda words, vocabulary: [vocabulary[piece] for piece in [_greedy(word, vocabulary) for word in words]]
        ),
        "Each word has a list of its own; all ids belong in one flat list.": (
            lambda words, vocabulary: [2, *([vocabulary[p] for p in _greedy(word, vocabulary)] for word in words), 3]
        ),
        "These are pieces; look their ids up in the vocabulary.": (
            lambda words, vocabulary: ["[CLS]", *(p for word in words for p in _greedy(word, vocabulary)), "[SEP]"]
        ),
        "Unknown words are left out; they stay, as the id of [UNK].": (
            lambda words, vocabulary: [id for id in _ids(words, vocabulary) if id != 1]
        ),
        "The ids of [CLS] and [SEP] are fixed numbers; look them up, since another vocabulary has other ones.": (
            lambda words, vocabulary: [2, *_ids(words, vocabulary, frame=()), 3]
        ),
        "This is a tuple; a list is asked for, to which padding can be added: `[...]` in the place of `(...)`.": (
            lambda words, vocabulary: tuple(_ids(words, vocabulary))
        ),
        "In a comprehension with two loops the outer one comes first: `for word in words for piece in ...`.": (
            lambda words, vocabulary: [piece for piece in _greedy(word, vocabulary) for word in words]  # noqa: F821
        ),
        "Only the first piece of each word is there; all of them belong in the row.": (
            lambda words, vocabulary: _ids(
                words, vocabulary, cut=lambda word, vocabulary: _greedy(word, vocabulary)[:1]
            )
        ),
        "You cut all words as one, joined together; cut each word by itself.": (
            lambda words, vocabulary: _ids(["".join(words)], vocabulary)
        ),
        "This is a tensor; a plain list is asked for, since texts differ in length.": (
            lambda words, vocabulary: torch.tensor(_ids(words, vocabulary))
        ),
    },
)
def encode(attempt):
    """Devlin et al. 2019, section 3: [CLS], the pieces, [SEP]."""
    ids = attempt(TO_ENCODE, PIECES)
    yield holds(
        isinstance(ids, list) and all(type(id) is int for id in ids),
        "it returns a list of whole numbers",
        f"The result is {kind(ids)}, where one flat list of nothing but whole numbers, the ids, is needed.",
        received=ids,
    )
    expected = [PIECES[p] for p in ("[CLS]", *(p for w in TO_ENCODE for p in _hugging_face(w, PIECES)), "[SEP]")]
    yield holds(
        list(ids) == expected,
        "they are the ids of [CLS], of every word's pieces in order, and of [SEP]",
        "The ids must be those of [CLS], of every word's pieces in order, and of [SEP].",
        expected=expected,
        received=ids,
    )
    other = _numbered(reversed(PIECES))
    ids = attempt(["sea"], other)
    yield holds(
        list(ids) == [other["[CLS]"], other["sea"], other["[SEP]"]],
        "with another vocabulary it gives the ids of that one",
        "With another vocabulary, in which the special tokens have other ids, it must give those.",
        expected=[other["[CLS]"], other["sea"], other["[SEP]"]],
        received=ids,
    )
    empty = attempt([], PIECES)
    yield holds(
        list(empty) == [2, 3],
        "no words give [CLS] and [SEP]",
        "A text without words must give the ids of [CLS] and [SEP].",
        received=empty,
    )


# --- 1.5 pad_batch ---------------------------------------------------------------------------------------------------

# The first row, the last one, the one with the greatest numbers and the longest one are four different ones.
ROWS = [[2, 8, 7, 3], [2, 3], [2, 11, 5, 9, 3], [2, 9, 8, 6, 12, 3], [2, 6, 3]]


def _padded(rows, pad_id=0):
    """What PyTorch's own padding makes of rows, and where it has padded."""
    tokens = pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad_id)
    lengths = torch.tensor([len(row) for row in rows])
    return tokens, torch.arange(tokens.shape[1]) >= lengths[:, None]


def _changed(change):
    """The right tokens and mask, changed."""
    return lambda rows, pad_id=0: change(*_padded(rows, pad_id))


def _cut_to_the_shortest(rows, pad_id=0):
    shortest = min(map(len, rows))
    return torch.tensor([row[:shortest] for row in rows]), torch.zeros(len(rows), shortest, dtype=torch.bool)


@exercise(
    points=2,
    mistakes={
        "Your mask is inverted: True marks padding. (Hugging Face's attention_mask is the other way round.)": (
            _changed(lambda tokens, mask: (tokens, ~mask))
        ),
        "Your mask holds numbers; True and False are asked for, with True where the token is padding.": (
            _changed(lambda tokens, mask: (tokens, mask.long()))
        ),
        "Your mask holds numbers, and it is inverted; True and False are asked for, with True where the token is "
        "padding.": _changed(lambda tokens, mask: (tokens, (~mask).long())),
        "You pad at the front; the rows begin at the left, and padding comes after them.": (
            lambda rows, pad_id=0: _padded_in_front(rows, pad_id)
        ),
        "Your axes are (T, B): `pad_sequence` needs `batch_first=True`.": (
            _changed(lambda tokens, mask: (tokens.mT, mask.mT))
        ),
        "Tokens and mask have changed places: return the tokens first.": (
            _changed(lambda tokens, mask: (mask, tokens))
        ),
        "You return the tokens only; the mask belongs to them.": _changed(lambda tokens, mask: tokens),
        "`pad_id` is not used: you always pad with 0.": (
            lambda rows, pad_id=0: (_padded(rows, 0)[0], _padded(rows, 0)[1])
        ),
        "Your mask looks for the number 0; padding is where `pad_id` was filled in.": (
            lambda rows, pad_id=0: (_padded(rows, pad_id)[0], _padded(rows, pad_id)[0] == 0)
        ),
        "You cut all rows to the shortest; fill them up to the longest.": _cut_to_the_shortest,
        "There is one column of padding too many: the longest row needs none.": (
            lambda rows, pad_id=0: tuple(x[:-1] for x in _padded([*rows, [0] * (max(map(len, rows)) + 1)], pad_id))
        ),
        "The rows differ in length, and a tensor is rectangular: fill them up before you make a tensor.": (
            lambda rows, pad_id=0: torch.tensor(rows)
        ),
        "`max(rows)` is the row with the greatest numbers; the longest one is `max(rows, key=len)`.": (
            lambda rows, pad_id=0: torch.tensor([row + [pad_id] * (len(max(rows)) - len(row)) for row in rows])
        ),
        "You fill up to the length of the first row; others may be longer: `max(len(row) for row in rows)`.": (
            lambda rows, pad_id=0: torch.tensor([row + [pad_id] * (len(rows[0]) - len(row)) for row in rows])
        ),
        "You fill up to the length of the last row; others may be longer: `max(len(row) for row in rows)`.": (
            lambda rows, pad_id=0: torch.tensor([row + [pad_id] * (len(rows[-1]) - len(row)) for row in rows])
        ),
        "You add one `pad_id` to a row; it needs as many as it lacks: `[pad_id] * (longest - len(row))`.": (
            lambda rows, pad_id=0: torch.tensor([row + [pad_id] for row in rows])
        ),
        "`squeeze()` drops every axis of size 1: a batch of one row is still (1, T).": (
            _changed(lambda tokens, mask: (tokens.squeeze(), mask.squeeze()))
        ),
        "The tokens are not whole numbers: ids number the rows of a table.": (
            _changed(lambda tokens, mask: (tokens.float(), mask))
        ),
        "Your tokens are 32-bit whole numbers; `torch.int64`, which `torch.tensor` makes by itself, is asked for.": (
            _changed(lambda tokens, mask: (tokens.int(), mask))
        ),
        "No place is marked as padding.": _changed(lambda tokens, mask: (tokens, torch.zeros_like(mask))),
        "You mark the last token of each row as padding too.": (
            _changed(lambda tokens, mask: (tokens, mask | _last(mask)))
        ),
    },
)
def pad_batch(attempt):
    """`torch.nn.utils.rnn.pad_sequence`, and a mask that is True where it has padded."""
    result = attempt(ROWS)
    yield holds(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "it returns tokens and a mask",
        f"The result is {kind(result)}; return two tensors, tokens and key_padding_mask.",
    )
    tokens, mask = result
    expected_tokens, expected_mask = _padded(ROWS)
    yield shaped(tokens, dtype=torch.int64, what="the first", B=5, T=6, hint="As wide as the longest row.")
    yield close(
        tokens,
        expected_tokens,
        "the rows begin at the left, and are filled up with 0",
        "The tokens must be the rows, each filled up at its end with `pad_id` (here 0).",
        earns=1,
    )
    yield shaped(mask, dtype=torch.bool, what="the second", B=5, T=6, hint="As many places as there are tokens.")
    yield close(
        mask.int(),
        expected_mask.int(),
        "the mask is True where a token is padding, and nowhere else",
        "The mask must be True (1) where a token was filled in, and False (0) elsewhere.",
    )
    tokens, mask = _pair(attempt([[0, 5, 4], [3, 0, 4, 6], [2]], 9))
    expected_tokens, expected_mask = _padded([[0, 5, 4], [3, 0, 4, 6], [2]], 9)
    yield close(
        tokens,
        expected_tokens,
        "another `pad_id` is filled in",
        "With pad_id=9 the rows must be filled up with 9.",
    )
    yield close(
        mask.int(),
        expected_mask.int(),
        "with it, 0 is an ordinary token",
        "With pad_id=9 the token 0 is an ordinary one; True belongs only where 9 was filled in.",
    )
    tokens, mask = _pair(attempt([[4, 5], [6, 7]]))
    yield holds(
        torch.equal(tokens, torch.tensor([[4, 5], [6, 7]])) and not mask.any(),
        "rows of the same length need no padding",
        "Rows of the same length need no padding: the tokens are the rows, and the mask is False everywhere.",
        received=tokens,
    )
    tokens, mask = _pair(attempt([[4, 5, 6]]))
    yield holds(
        torch.equal(tokens, torch.tensor([[4, 5, 6]])) and torch.equal(mask, torch.zeros(1, 3, dtype=torch.bool)),
        "one row is a batch of one",
        "One row must give tokens and a mask of shape (1, T).",
        received=tokens,
    )


def _padded_in_front(rows, pad_id):
    longest = max(map(len, rows))
    tokens = torch.tensor([[pad_id] * (longest - len(row)) + row for row in rows])
    return tokens, torch.arange(longest) < torch.tensor([longest - len(row) for row in rows])[:, None]


def _last(mask):
    """True at the last place of each row that is not padding."""
    return F.one_hot((~mask).sum(1) - 1, mask.shape[1]).bool()


def _pair(result):
    """Two tensors, whatever came: a check goes on only with the kind of result it has seen before."""
    good = isinstance(result, (tuple, list)) and len(result) == 2 and all(isinstance(x, torch.Tensor) for x in result)
    return result if good else (torch.empty(0), torch.empty(0))


# --- 1.6 embed -------------------------------------------------------------------------------------------------------

B, T, V, D = 2, 3, 7, 4


def _one_hot_product(tokens, table):
    return F.one_hot(tokens, len(table)).to(table.dtype) @ table


@exercise(
    points=1,
    by_hand=("embedding",),
    mistakes={
        "You take columns of the table; token t is its row t.": lambda tokens, table: table[:, tokens],
        "You make a table of your own; look the tokens up in the one that is given.": (
            lambda tokens, table: torch.nn.Embedding(*table.shape).weight[tokens]
        ),
        "You look up the places 0, 1, 2, ...; look up the tokens that stand there.": (
            lambda tokens, table: table[torch.arange(tokens.shape[1])].expand(len(tokens), -1, -1)
        ),
        "You look up one row too early: token 0 is row 0.": lambda tokens, table: table[tokens - 1],
        "Your one-hot vectors are too short: they need as many places as the table has rows.": (
            lambda tokens, table: F.one_hot(tokens).float() @ table
        ),
        "One-hot vectors are whole numbers; turn them into floats before the product.": (
            lambda tokens, table: F.one_hot(tokens, len(table)) @ table
        ),
        "You return the one-hot vectors; multiply them with the table.": (
            lambda tokens, table: F.one_hot(tokens, len(table)).float()
        ),
        "You average the vectors of a sequence; every token keeps its own.": (
            lambda tokens, table: table[tokens].mean(1)
        ),
        "You lay all sequences end to end; the result keeps the axis of the sequences.": (
            lambda tokens, table: table[tokens.flatten()]
        ),
        "You give every sequence the vectors of the first one.": (
            lambda tokens, table: table[tokens[:1]].expand(len(tokens), -1, -1)
        ),
        "You set the vectors of token 0 to zeros; row 0 is a row like any other, and a mask hides padding later.": (
            lambda tokens, table: table[tokens] * (tokens != 0)[..., None]
        ),
        "You multiply by the square root of D, as Vaswani et al. do; here the rows are taken as they are.": (
            lambda tokens, table: table[tokens] * table.shape[1] ** 0.5
        ),
        "`squeeze()` drops every axis of size 1; a batch of one token keeps all three axes, (1, 1, D).": (
            lambda tokens, table: table[tokens].squeeze()
        ),
        "Token numbers are names, and you compute with them as quantities: take the rows that they number.": (
            lambda tokens, table: tokens.float() @ table
        ),
        "No gradient reaches the table: it is detached on the way, or turned into other numbers.": (
            lambda tokens, table: table.detach()[tokens]
        ),
    },
)
def embed(attempt):
    """Rows of a table; `torch.nn.functional.embedding`."""
    tokens, table = torch.tensor([[5, 0, 2], [2, 5, 1]]), tensor(V, D, scale=2.0)  # token 6, the last, does not occur
    vectors = attempt(tokens, table)
    yield shaped(vectors, B=B, T=T, D=D, hint="One row of the table for each token.")
    yield close(
        vectors[0, 2],
        table[2],
        "token 2 gets row 2 of the table",
        "At [0, 2] stands token 2, which must get row 2 of the table.",
    )
    yield close(
        vectors,
        F.embedding(tokens, table),
        "so does every other token",
        "One vector is right and others are not: each token must get the row of its number.",
    )
    one = torch.tensor([[4]])
    yield close(attempt(one, table), table[4][None, None], "one token alone too", "One token must give (1, 1, D).")
    gradient = attempt.gradients(tokens, table)["arguments"][1]
    table = table.requires_grad_()
    signal = torch.arange(1.0, B * T * D + 1).sin().view(B, T, D)
    expected = torch.autograd.grad(_one_hot_product(tokens, table), table, signal)[0]
    yield close(
        gradient,
        expected,
        "gradients reach the rows that were looked up, and only those",
        "The gradient does not reach the table, or not the rows that were looked up.",
    )
