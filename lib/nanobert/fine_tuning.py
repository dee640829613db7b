"""Fine-tuning: a pretrained encoder at work on other tasks. What goes on top of it, and what of it may change.

B batch, T tokens, D model width, C classes.
"""

import torch
from torch import nn

from nanobert.tokenizer import IGNORE


class TextClassifier(nn.Module):
    """A score for every class, for a whole text; `pool(x, key_padding_mask)` makes one vector of many.

    Shapes: tokens (B, T), key_padding_mask (B, T), True where the token is padding -> (B, C).
    Source: Devlin et al. 2019, "BERT", section 4.1 and figure 4b, there with the vector of [CLS].
    """

    def __init__(self, embeddings, encoder, pool, d_model, classes):
        super().__init__()
        self.embeddings, self.encoder, self.pool = embeddings, encoder, pool
        self.output = nn.Linear(d_model, classes)

    def forward(self, tokens, key_padding_mask=None):
        vectors = self.encoder(self.embeddings(tokens), key_padding_mask)  # B, T, D
        return self.output(self.pool(vectors, key_padding_mask))


class Frozen(nn.Module):
    """A module that computes as it does now, and never learns: its parameters get no gradient, dropout stays off.

    Gradients go through it, to whatever stands before it.
    Source: Peters et al. 2019, "To Tune or Not to Tune?", section 3 (feature extraction).
    """

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.module.requires_grad_(False)
        self.module.eval()

    def train(self, mode=True):
        return super().train(False)

    def forward(self, *inputs):
        return self.module(*inputs)


def layer_rates(model, rate, decay):
    """The parameters in groups for an optimizer: `rate` on top, `decay` times as much at each layer further down.

    The model has `output`, `encoder` with `blocks` and `norm`, and `embeddings`; the norm belongs to the last block.
    Returns a list of {"params": list of parameters, "lr": number}.
    Source: Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", section 3.2.
    """
    blocks = [list(block.parameters()) for block in model.encoder.blocks]
    blocks[-1] += model.encoder.norm.parameters()
    layers = [list(model.output.parameters()), *reversed(blocks), list(model.embeddings.parameters())]
    return [{"params": layer, "lr": rate * decay**depth} for depth, layer in enumerate(layers)]


def piece_labels(word_ids, labels):
    """The label of each word for its first piece, and -100 for what does not count: other pieces, special tokens.

    `word_ids` has the number of each piece's word, None for a special token; `labels` one label for each word.
    Source: Devlin et al. 2019, section 5.3.
    """
    return [
        IGNORE if word is None or place > 0 and word == word_ids[place - 1] else labels[word]
        for place, word in enumerate(word_ids)
    ]


class SpanHead(nn.Module):
    """For every token two scores: that the answer starts here, and that it ends here; the lowest where it can't.

    Shapes: x (B, T, D), hidden (B, T), True where no answer can stand -> start (B, T), end (B, T).
    Source: Devlin et al. 2019, section 4.2 and figure 4c.
    """

    def __init__(self, d_model):
        super().__init__()
        self.output = nn.Linear(d_model, 2)

    def forward(self, x, hidden):
        scores = self.output(x).masked_fill(hidden[..., None], torch.finfo(x.dtype).min)
        return scores[..., 0], scores[..., 1]


def best_span(start, end, longest):
    """The best answer of at most `longest` tokens: where start + end is largest, and first <= last.

    Shapes: (T), (T) -> first, last.
    Source: Devlin et al. 2019, section 4.2.
    """
    sums = start[:, None] + end  # T, T
    allowed = torch.ones_like(sums).triu().tril(longest - 1).bool()
    return divmod(sums.masked_fill(~allowed, -torch.inf).argmax().item(), len(end))
