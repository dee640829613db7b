"""Lesson 08, written in another way."""

import torch
from torch import nn

from nanobert.tokenizer import IGNORE


# A line for each step has room for its shape; and dropout before the scores, off unless asked for, is
# what BERT was fine-tuned with, at a rate of 0.1.
class TextClassifier(nn.Module):
    def __init__(self, embeddings, encoder, pool, d_model, classes, dropout=0.0):
        super().__init__()
        self.embeddings, self.encoder, self.pool = embeddings, encoder, pool
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(d_model, classes)

    def forward(self, tokens, key_padding_mask=None):
        x = self.embeddings(tokens)  # B, T, D
        x = self.encoder(x, key_padding_mask)  # B, T, D
        x = self.pool(x, key_padding_mask)  # B, D
        return self.output(self.dropout(x))  # B, C


# Evaluation mode is set at every call: whatever `train()` did to the module before, it is undone
# where it would count, and `train` stays as it is.
class Frozen(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module
        for parameter in module.parameters():
            parameter.requires_grad = False

    def forward(self, *inputs):
        return self.module.eval()(*inputs)


# Each parameter is a group of its own, its depth told by its name, so that any other rule that goes
# by names is written in the same way.
def layer_rates(model, rate, decay):
    count = len(model.encoder.blocks)
    depths = {"output.": 0, "encoder.norm.": 1, "embeddings.": count + 1}
    depths |= {f"encoder.blocks.{number}.": count - number for number in range(count)}
    groups = []
    for name, parameter in model.named_parameters():
        depth = next(depth for start, depth in depths.items() if name.startswith(start))
        groups.append({"params": [parameter], "lr": rate * decay**depth})
    return groups


# A list beside itself, one place later, makes pairs of neighbours, so that no index is needed.
def piece_labels(word_ids, labels):
    pairs = zip([None, *word_ids], word_ids)
    return [IGNORE if word in (None, before) else labels[word] for before, word in pairs]


# `unbind` takes the two scores apart first; then `hidden` fits each of them, and no axis is added.
class SpanHead(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.output = nn.Linear(d_model, 2)

    def forward(self, x, hidden):
        lowest = torch.finfo(x.dtype).min
        start, end = self.output(x).unbind(dim=-1)  # B, T each
        return start.masked_fill(hidden, lowest), end.masked_fill(hidden, lowest)


# The rule as one says it: of all spans that are allowed the one with the largest sum. It is slow for
# long texts, but there is little to get wrong.
def best_span(start, end, longest):
    spans = [(first, last) for first in range(len(start)) for last in range(len(end))]
    spans = [(first, last) for first, last in spans if first <= last < first + longest]
    return max(spans, key=lambda span: start[span[0]] + end[span[1]])
