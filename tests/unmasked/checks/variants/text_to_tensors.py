"""Right solutions of lesson 01, written in other ways than the lesson's own."""

import collections
import itertools

import torch
import torch.nn.functional as F
from tokenizers.models import WordPiece
from torch.nn.utils.rnn import pad_sequence

from unmasked.other_ways.text_to_tensors import encode as encoded_in_a_loop
from unmasked.other_ways.text_to_tensors import word_pieces as pieces_by_recursion

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def vocabulary_in_a_loop(tokens, size):
    counts = {}
    for token in tokens:
        counts[token] = counts.get(token, 0) + 1
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    while counts and len(vocabulary) < size:
        best = min(counts, key=lambda token: (-counts[token], token))
        vocabulary[best] = len(vocabulary)
        del counts[best]
    return vocabulary


def vocabulary_by_stable_sorting(tokens, size):
    ordered = sorted(set(tokens))
    ordered.sort(key=tokens.count, reverse=True)  # a stable sort: the alphabet stays where counts are equal
    return dict(zip(list(SPECIAL_TOKENS) + ordered, range(size)))


def pieces_by_shrinking(word, vocabulary):
    if len(word) > 100:
        return ["[UNK]"]
    pieces = []
    rest = word
    while rest:
        candidate = rest if not pieces else "##" + rest
        while candidate not in vocabulary:
            candidate = candidate[:-1]
            if candidate in ("", "##", "#"):
                return ["[UNK]"]
        pieces.append(candidate)
        rest = rest[len(candidate) - (2 if len(pieces) > 1 else 0) :]
    return pieces


def pieces_by_library(word, vocabulary):
    return [token.value for token in WordPiece(vocabulary, unk_token="[UNK]").tokenize(word)]


def pair_in_a_loop(words, counts):
    found, best = {}, None
    for word in words:
        pieces = words[word]
        for i in range(len(pieces) - 1):
            pair = (pieces[i], pieces[i + 1])
            found[pair] = found.get(pair, 0) + counts[word]
            if best is None or found[pair] > found[best]:
                best = pair
    return best


def pair_by_sorting(words, counts):
    found = collections.defaultdict(int)
    for word, count in counts.items():
        for left, right in zip(words[word], words[word][1:]):
            found[left, right] += count
    return sorted(found.items(), key=lambda item: item[1])[-1][0]


def encoded_by_sum(words, vocabulary):
    pieces = sum([pieces_by_recursion(word, vocabulary) for word in words], [])
    return [vocabulary[piece] for piece in ["[CLS]"] + pieces + ["[SEP]"]]


def encoded_by_chain(words, vocabulary):
    pieces = itertools.chain.from_iterable(pieces_by_library(word, vocabulary) for word in words)
    return list(map(vocabulary.__getitem__, ["[CLS]", *pieces, "[SEP]"]))


def padded_into_a_buffer(rows, pad_id=0):
    longest = max(map(len, rows))
    tokens = torch.full((len(rows), longest), pad_id)
    mask = torch.ones(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = False
    return tokens, mask


def padded_lists(rows, pad_id=0):
    longest = max(len(row) for row in rows)
    filled = [row + [pad_id] * (longest - len(row)) for row in rows]
    mask = [[False] * len(row) + [True] * (longest - len(row)) for row in rows]
    return [torch.tensor(filled), torch.tensor(mask)]


def embedded_in_loops(tokens, table):
    return torch.stack([torch.stack([table[int(token)] for token in row]) for row in tokens])


VARIANTS = {
    "build_vocabulary": {
        "a loop": vocabulary_in_a_loop,
        "stable sorting": vocabulary_by_stable_sorting,
    },
    "word_pieces": {
        "a shrinking candidate": pieces_by_shrinking,
        "Hugging Face": pieces_by_library,
    },
    "most_frequent_pair": {
        "a loop": pair_in_a_loop,
        "sorting": pair_by_sorting,
    },
    "encode": {
        "sum": encoded_by_sum,
        "a chain": encoded_by_chain,
    },
    "pad_batch": {
        "a buffer": padded_into_a_buffer,
        "lists": padded_lists,
    },
    "embed": {
        "index_select": lambda tokens, table: table.index_select(0, tokens.flatten()).view(*tokens.shape, -1),
        "loops": embedded_in_loops,
    },
}


def pieces_that_go_on(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        end = len(word)
        while end > start:
            piece = word[start:end] if start == 0 else "##" + word[start:end]
            if piece in vocabulary:
                break
            end -= 1
        if end == start:
            pieces.append("[UNK]")
            break
        pieces.append(piece)
        start = end
    return pieces


def pieces_without_marks(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            if word[start:end] in vocabulary:
                pieces.append(word[start:end])
                start = end
                break
        else:
            return ["[UNK]"]
    return pieces


def pieces_of_two_or_more(word, vocabulary):
    pieces, rest = [], word
    while rest:
        for length in range(len(rest), 1, -1):
            piece = ("##" if pieces else "") + rest[:length]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(piece)
        rest = rest[length:]
    return pieces


def pair_of_each_word_once(words, counts):
    return collections.Counter(p for pieces in words.values() for p in zip(pieces, pieces[1:])).most_common()[0][0]


def pieces_up_to_a_hundred(word, vocabulary):
    cut, rest, mark = [], word, ""
    while rest:
        end = next((end for end in range(len(rest), 0, -1) if mark + rest[:end] in vocabulary), None)
        if end is None:
            return ["[UNK]"]
        cut, rest, mark = [*cut, mark + rest[:end]], rest[end:], "##"
    return cut if len(cut) <= 100 else ["[UNK]"]


def pieces_known_whole_first(word, vocabulary):
    return [word] if word in vocabulary else pieces_by_shrinking(word, vocabulary)


def pieces_without_break(word, vocabulary):
    if len(word) > 100:
        return ["[UNK]"]
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = word[start:end] if start == 0 else "##" + word[start:end]
            if piece in vocabulary:
                pieces.append(piece)
                start = end
        else:
            return ["[UNK]"]
    return pieces


def pieces_until_nothing_is_left(word, vocabulary):
    out = []
    while word:
        end = len(word)
        while end > 0 and word[:end] not in vocabulary:
            end -= 1
        if end == 0:
            return ["[UNK]"]
        out.append(word[:end])
        word = "##" + word[end:]
    return out


def pair_without_marks(words, counts):
    pairs = collections.Counter()
    for word, pieces in words.items():
        bare = [piece.replace("##", "") for piece in pieces]
        for i in range(len(bare) - 1):
            pairs[bare[i], bare[i + 1]] += counts[word]
    return pairs.most_common(1)[0][0]


def padded_to(length):
    """Rows filled up to a length that is made of them, and `pad_id` marked."""

    def pad(rows, pad_id=0):
        filled = []
        for row in rows:
            row = list(row)
            while len(row) < length(rows):
                row.append(pad_id)
            filled.append(row)
        return torch.tensor(filled), torch.tensor(filled) == pad_id

    return pad


# The same mistakes as in the checks' tables, made by other code.
REWRITTEN_MISTAKES = {
    "build_vocabulary": {
        "stand in the order of the text": lambda tokens, size: {
            token: i
            for i, token in enumerate(
                list(SPECIAL_TOKENS) + [t for t, _ in collections.Counter(tokens).most_common(size - 5)]
            )
        },
        "may be larger than the number": lambda tokens, size: {
            (list(SPECIAL_TOKENS) + sorted(set(tokens), key=lambda t: (-tokens.count(t), t)))[i]: i for i in range(size)
        },
        "the token alone is the key. And": lambda tokens, size: dict(
            zip([*SPECIAL_TOKENS, *collections.Counter(tokens).most_common(size)], range(size))
        ),
        "special tokens are missing": lambda tokens, size: {
            t: i for i, t in enumerate(sorted(set(tokens), key=lambda t: (-tokens.count(t), t))[:size])
        },
    },
    "word_pieces": {
        "found before it stay": pieces_that_go_on,
        "the loop stop (`break`)": pieces_without_break,
        "only `##` is left": pieces_until_nothing_is_left,
        "without their ##": pieces_without_marks,
        "one character": pieces_of_two_or_more,
        "You count pieces": pieces_up_to_a_hundred,
        "before its length is looked at": pieces_known_whole_first,
        "This is a tuple": lambda word, vocabulary: (*pieces_by_library(word, vocabulary),),
    },
    "most_frequent_pair": {
        "counts once": pair_of_each_word_once,
        "lost their ##": pair_without_marks,
        "third entry": lambda words, counts: (
            *pair_in_a_loop(words, counts),
            sum(c * list(zip(words[w], words[w][1:])).count(pair_in_a_loop(words, counts)) for w, c in counts.items()),
        ),
        "in a list of one": lambda words, counts: [pair_by_sorting(words, counts)],
        "one before the end": lambda words, counts: [p[i + 1] for p in words.values() for i in range(len(p))],
    },
    "encode": {
        "This is a tuple": lambda words, vocabulary: (*encoded_by_sum(words, vocabulary),),
        "the outer one comes first": lambda words, vocabulary: [
            vocabulary[p]
            for p in pieces_by_recursion(word, vocabulary)  # noqa: F821
            for word in words
        ],
        "are missing": lambda words, vocabulary: [
            vocabulary[piece] for word in words for piece in pieces_by_recursion(word, vocabulary)
        ],
        "fixed numbers": lambda words, vocabulary: [2] + encoded_in_a_loop(words, vocabulary)[1:-1] + [3],
    },
    "pad_batch": {
        "inverted": lambda rows, pad_id=0: (padded_lists(rows, pad_id)[0], padded_lists(rows, pad_id)[0] != pad_id),
        "length of the first row": padded_to(lambda rows: len(rows[0])),
        "length of the last row": padded_to(lambda rows: len(rows[-1])),
        "greatest numbers": padded_to(lambda rows: len(max(rows))),
        "You add one `pad_id`": lambda rows, pad_id=0: torch.tensor(
            [row if len(row) == len(max(rows, key=len)) else row + [pad_id] for row in rows]
        ),
        "a batch of one row": lambda rows, pad_id=0: tuple(x.squeeze() for x in padded_lists(rows, pad_id)),
        "the number 0": lambda rows, pad_id=0: (padded_lists(rows, pad_id)[0], ~padded_lists(rows, pad_id)[0].bool()),
        "(T, B)": lambda rows, pad_id=0: (
            pad_sequence([torch.tensor(row) for row in rows], padding_value=pad_id),
            pad_sequence([torch.tensor(row) for row in rows], padding_value=pad_id) == pad_id,
        ),
    },
    "embed": {
        "a batch of one token": lambda tokens, table: torch.squeeze(embedded_in_loops(tokens, table)),
        "too short": lambda tokens, table: F.one_hot(tokens).to(torch.float32).matmul(table),
        "columns of the table": lambda tokens, table: torch.stack([row[tokens] for row in table]),
    },
}
