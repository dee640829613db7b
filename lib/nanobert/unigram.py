"""The unigram model: how often each token occurs, and nothing else. The plateau on every loss curve.

B rows, T tokens in a row, V vocabulary.
"""

import torch

from nanobert.tokenizer import IGNORE


def token_shares(rows, special_ids, vocab_size):
    """The share of each ordinary token in the rows; one is added to every count, so that no share is 0.

    Shapes: rows (B, T) -> (V,), sums to 1.
    """
    counts = torch.bincount(rows.flatten(), minlength=vocab_size)  # V
    counts[torch.as_tensor(special_ids)] = 0
    return (counts + 1) / (counts + 1).sum()


def unigram_loss(shares, labels):
    """The loss, in nats, of a model that predicts the shares everywhere.  (V,), (B, T) -> a number"""
    return -shares.log()[labels[labels != IGNORE]].mean().item()


@torch.no_grad()
def start_at_unigram(head, shares):
    """Give the head the log shares as its bias, so that the model need not first learn how often tokens occur."""
    head.decoder.bias.copy_(shares.log())
