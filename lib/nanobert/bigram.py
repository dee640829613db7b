"""The bigram-window model: a token is guessed from the one before it and the one after it. No learning, only counts.

B rows, T tokens in a row, N chosen positions, V vocabulary.
"""

import torch

from nanobert.tokenizer import IGNORE, MASK

BELIEF = 64.0  # how many occurrences of a token it takes to trust its own neighbours as much as everybody's


def bigram_window_loss(rows, shares, inputs, labels):
    """The loss, in nats, of guessing each chosen token by P(token | left) P(token | right) / P(token), normalized.

    A neighbour that is hidden, or beyond the row, says nothing. Rows (B, T) are those to count in, shares (V,) the
    unigram model; inputs (B', T) and labels (B', T) are what to measure on -> a number.
    Source: counts smoothed towards the unigram as in MacKay and Peto 1995, "A hierarchical Dirichlet language model".
    """
    vocab_size = len(shares)
    pairs = rows[:, :-1].flatten() * vocab_size + rows[:, 1:].flatten()
    counts = torch.bincount(pairs, minlength=vocab_size**2).view(vocab_size, vocab_size).float()  # V, V: before, after
    scores = shares.log().repeat((labels != IGNORE).sum(), 1)  # N, V
    for table, shift in ((counts, 1), (counts.T, -1)):
        neighbours = _beside(inputs, shift)[labels != IGNORE]  # N
        seen = table[neighbours]  # N, V: what stood beside this neighbour
        likelihood = (seen + BELIEF * shares) / (seen.sum(dim=-1, keepdim=True) + BELIEF)
        scores += torch.where((neighbours == MASK)[:, None], 0.0, likelihood.log() - shares.log())
    return torch.nn.functional.cross_entropy(scores, labels[labels != IGNORE]).item()


def _beside(inputs, shift):
    """What stands `shift` places before each token; [MASK] beyond the row.  (B, T) -> (B, T)"""
    beside = inputs.roll(shift, dims=1)
    beside[:, 0 if shift > 0 else -1] = MASK
    return beside
