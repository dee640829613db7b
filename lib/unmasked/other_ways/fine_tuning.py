"""Lesson 08, written in another way."""

import torch
from torch import nn


# A line for each step has room for its shape; and dropout before the scores, off unless asked for, is
# what Hugging Face's BertForSequenceClassification has.
class TextClassifier(nn.Module):
    def __init__(self, embeddings, encoder, pool, d_model, classes, dropout=0.0):
        super().__init__()
        self.embeddings, self.encoder, self.pool = embeddings, encoder, pool
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(d_model, classes)

    def forward(self, tokens, key_padding_mask=None):
        x = self.embeddings(tokens)  # B, T, D
        x = self.encoder(x, key_padding_mask)
        x = self.pool(x, key_padding_mask)  # B, D
        return self.output(self.dropout(x))  # B, C


# Instead of refusing to be trained it goes back to evaluation at every call, so that it doesn't matter
# who has called `train` in between, or on which part.
class Frozen(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module
        for parameter in module.parameters():
            parameter.requires_grad = False

    def forward(self, *inputs, **named):
        return self.module.eval()(*inputs, **named)


# From the bottom to the top: the list of modules is the drawing of the model, and the depth follows
# from the place in it.
def layer_rates(model, rate, decay):
    *blocks, last = model.encoder.blocks
    top = nn.ModuleList([last, model.encoder.norm])
    layers = [model.embeddings, *blocks, top, model.output]
    groups = []
    for depth, layer in zip(range(len(layers) - 1, -1, -1), layers):
        groups.append({"params": list(layer.parameters()), "lr": rate * decay**depth})
    return groups


# Nothing counts at first. Then each word's first piece is found by its number: `index` finds the first
# place of a value in a list.
def piece_labels(word_ids, labels):
    found = [-100] * len(word_ids)
    for word in set(word_ids) - {None}:
        found[word_ids.index(word)] = labels[word]
    return found


# `unbind` takes the last axis apart, and minus infinity is what attention's masks have too: a softmax
# makes an exact 0 of it.
class SpanHead(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.output = nn.Linear(d_model, 2)

    def forward(self, x, hidden):
        start, end = self.output(x).unbind(dim=-1)
        return start.masked_fill(hidden, -torch.inf), end.masked_fill(hidden, -torch.inf)


# All allowed pairs in a list, and `max` with a key: slower than tensors, and it reads like the rule itself.
def best_span(start, end, longest):
    start, end, pairs = start.tolist(), end.tolist(), []
    for first in range(len(start)):
        pairs += [(first, last) for last in range(first, min(first + longest, len(end)))]
    return max(pairs, key=lambda pair: start[pair[0]] + end[pair[1]])
