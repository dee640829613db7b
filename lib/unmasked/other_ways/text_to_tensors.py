"""Lesson 01, written in another way."""

from collections import Counter

import torch
from torch import nn

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


# `most_common` leaves tokens of equal count in the order in which it met them, so sorting them before
# it counts settles ties; and `zip` ends with the shorter of the two.
def build_vocabulary(tokens, size):
    counts = Counter(sorted(tokens))
    most_frequent = [token for token, _ in counts.most_common()]
    return dict(zip([*SPECIAL_TOKENS, *most_frequent], range(size)))


# A recursion says the rule almost word for word: the longest first piece, then the pieces of the rest.
def word_pieces(word, vocabulary, mark=""):
    if word == "":
        return []
    longest = len(word) if len(word) <= 100 else 0
    for end in range(longest, 0, -1):
        if mark + word[:end] in vocabulary:
            rest = word_pieces(word[end:], vocabulary, mark="##")
            return ["[UNK]"] if "[UNK]" in rest else [mark + word[:end], *rest]
    return ["[UNK]"]


# Every pair is listed as often as the text has it, so that `Counter` does all the counting: shorter,
# but the list is as long as the text.
def most_frequent_pair(words, counts):
    pairs = []
    for word, pieces in words.items():
        pairs += list(zip(pieces, pieces[1:])) * counts[word]
    return Counter(pairs).most_common(1)[0][0]


# A loop that adds to a list is longer than a comprehension, but reads in the order of the result.
def encode(words, vocabulary):
    ids = [vocabulary["[CLS]"]]
    for word in words:
        ids += [vocabulary[piece] for piece in word_pieces(word, vocabulary)]
    ids.append(vocabulary["[SEP]"])
    return ids


# PyTorch's `pad_sequence` fills the rows up; and as no real token has the id of padding, comparing
# with it gives the mask.
def pad_batch(rows, pad_id=0):
    rows = [torch.tensor(row) for row in rows]
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad_id)
    return tokens, tokens == pad_id


# A look-up is a product with one-hot vectors. Nobody computes it so, but it shows that an embedding
# is a linear layer.
def embed(tokens, table):
    return nn.functional.one_hot(tokens, len(table)).to(table.dtype) @ table
