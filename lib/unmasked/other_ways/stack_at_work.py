"""Lesson 06, written in another way."""

import re

import torch
import torch.nn.functional as F
from torch import nn


# Each kind of token has a name, and `join` makes one pattern of the three; since signs are what is
# neither of the others, their order does not matter.
def split_tokens(text):
    letters, digits, sign = r"[a-z']+", r"[0-9]+", r"[^a-z'0-9\s]"
    pattern = re.compile("|".join([sign, digits, letters]))
    return [match.span() for match in pattern.finditer(text)]


# Every letter of a slot gets a tag first; then each token takes that of its first letter, and no loop
# stands in another.
def align_labels(places, slots):
    tag_of = {}
    for begin, end, slot in slots:
        tag_of |= {place: "I-" + slot for place in range(begin, end)}
        tag_of[begin] = "B-" + slot
    return [tag_of.get(start, "O") for start, _ in places]


# A span is noted as soon as it begins, and grows with every tag that carries it on, so that none is
# left open at the end.
def spans_of(tags):
    spans = []
    for place, tag in enumerate(tags):
        prefix, _, slot = tag.partition("-")
        if prefix == "I" and spans and tuple(spans[-1][1:]) == (place, slot):
            spans[-1] = (spans[-1][0], place + 1, slot)
        elif prefix != "O":
            spans.append((place, place + 1, slot))
    return spans


# A line for each step has room for its shape; and dropout before the scores, off unless asked for, is
# what Hugging Face's BertForTokenClassification has.
class TokenClassifier(nn.Module):
    def __init__(self, embeddings, encoder, d_model, tags, dropout=0.0):
        super().__init__()
        self.embeddings, self.encoder = embeddings, encoder
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(d_model, tags)

    def forward(self, tokens, key_padding_mask=None):
        x = self.embeddings(tokens)  # B, T, D
        x = self.encoder(x, key_padding_mask)  # B, T, D
        return self.output(self.dropout(x))  # B, T, C


# Padding gets the label -100, which `cross_entropy` leaves out by itself; it wants the tags on axis 1.
def token_loss(logits, labels, key_padding_mask):
    return F.cross_entropy(logits.transpose(1, 2), labels.masked_fill(key_padding_mask, -100))


# A step is a function of its own, which can be tried alone; the training is then one line.
def train(model, batches, learning_rate):
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate)

    def step(tokens, labels, key_padding_mask):
        loss = token_loss(model(tokens, key_padding_mask), labels, key_padding_mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    model.train()
    return [step(*batch) for batch in batches]
