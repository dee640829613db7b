"""Measuring a masked language model on masks that never change, so that two losses can be compared.

B rows, T tokens in a row, N chosen positions of a batch, V vocabulary.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from nanobert.masking import corrupt
from nanobert.tokenizer import IGNORE, PAD


class Evaluation(NamedTuple):
    """Mean loss in nats and share of right first guesses, over all chosen positions."""

    loss: float
    top1: float


def fixed_masks(rows, vocab_size, rate=0.15, seed=0):
    """The same corruption of the same rows, every time.  (B, T) -> inputs (B, T), labels (B, T)"""
    return corrupt(rows, rate, vocab_size, torch.Generator().manual_seed(seed))


@torch.no_grad()
def evaluate(model, inputs, labels, batch=256):
    """Loss and accuracy at the labelled positions; every position weighs the same, whatever batch it falls in.

    Shapes: inputs (B, T), labels (B, T), -100 where nothing is asked.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    loss = right = count = 0
    for tokens, answers in zip(inputs.split(batch), labels.split(batch), strict=True):
        tokens, answers = tokens.to(device), answers.flatten().to(device)  # B, T and B * T
        positions = (answers != IGNORE).nonzero().squeeze(1)  # N
        logits, answers = model(tokens, tokens == PAD, positions), answers[positions]  # N, V and N
        loss += F.cross_entropy(logits, answers, reduction="sum").item()
        right += (logits.argmax(dim=-1) == answers).sum().item()
        count += len(answers)
    model.train(was_training)
    return Evaluation(loss / count, right / count)
