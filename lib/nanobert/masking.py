"""Masking: choose positions, hide what stands there, and keep it as the label. On the CPU, where the data is.

B batch, T tokens.
"""

import torch

from nanobert.tokenizer import IGNORE, MASK, SPECIAL_IDS


def choose_positions(tokens, special_ids, rate, generator=None):
    """Choose each token with probability `rate`; special tokens, padding among them, never.

    Shapes: tokens (B, T), special_ids a list of token ids -> (B, T), True where chosen.
    Source: Devlin et al. 2019, "BERT", section 3.1, task 1.
    """
    special = torch.isin(tokens, torch.tensor(special_ids))
    draw = torch.rand(tokens.shape, generator=generator)
    return (draw < rate) & ~special


def mask_tokens(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    """Of the chosen tokens, 80 % become [MASK], 10 % a random ordinary token, and 10 % stay as they are.

    Shapes: tokens (B, T), chosen (B, T) -> inputs (B, T) and labels (B, T): the token where chosen, else -100.
    The special tokens come first in the vocabulary, so the ordinary ones run from there to `vocab_size`.
    Source: Devlin et al. 2019, section 3.1, task 1, and appendix A.1.
    """
    labels = tokens.masked_fill(~chosen, IGNORE)
    draw = torch.rand(tokens.shape, generator=generator)
    ordinary = torch.randint(max(special_ids) + 1, vocab_size, tokens.shape, generator=generator)
    inputs = tokens.masked_fill(chosen & (draw < 0.8), mask_id)
    inputs = torch.where(chosen & (draw >= 0.9), ordinary, inputs)
    return inputs, labels


def corrupt(tokens, rate, vocab_size, generator=None):
    """Choose tokens and hide them.  (B, T) -> inputs (B, T), labels (B, T)"""
    chosen = choose_positions(tokens, SPECIAL_IDS, rate, generator)
    return mask_tokens(tokens, chosen, MASK, SPECIAL_IDS, vocab_size, generator)
