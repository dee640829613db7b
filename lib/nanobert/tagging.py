"""A tag for every token: where the tokens of a command are, which slots they belong to, and a model that finds out.

B batch, T tokens, D model width, C tags.
"""

import re

from torch import nn


def split_tokens(text):
    """Where the tokens of a text in lower case stand: runs of letters, runs of digits, single other characters.

    text -> list of (start, end).
    """
    return [match.span() for match in re.finditer(r"[a-z']+|[0-9]+|\S", text)]


def align_labels(places, slots):
    """The tag of every token: B- begins a slot, I- goes on with it, O is none.

    list of (start, end), list of (start, end, slot), all in characters -> list of tags.
    Source: Ramshaw and Marcus 1995, "Text Chunking using Transformation-Based Learning", section 4.
    """
    tags = ["O"] * len(places)
    for begin, end, slot in slots:
        for number, (start, _) in enumerate(places):
            if begin <= start < end:
                tags[number] = ("B-" if start == begin else "I-") + slot
    return tags


def spans_of(tags):
    """The spans that tags describe, `end` one past the last token.  list of tags -> list of (first, end, slot)

    An I- with no tag of its slot before it begins a span too, as in conlleval (Tjong Kim Sang and De Meulder 2003).
    """
    spans, first = [], None
    for place, tag in enumerate([*tags, "O"]):
        if first is not None and tag != "I-" + tags[first][2:]:
            spans.append((first, place, tags[first][2:]))
            first = None
        if first is None and tag != "O":
            first = place
    return spans


class TokenClassifier(nn.Module):
    """A score for every tag, at every token.

    Shapes: tokens (B, T), key_padding_mask (B, T), True where the token is padding -> (B, T, C).
    Source: Devlin et al. 2019, "BERT", section 5.3 and figure 4d.
    """

    def __init__(self, embeddings, encoder, d_model, tags):
        super().__init__()
        self.embeddings, self.encoder = embeddings, encoder
        self.output = nn.Linear(d_model, tags)

    def forward(self, tokens, key_padding_mask=None):
        return self.output(self.encoder(self.embeddings(tokens), key_padding_mask))
