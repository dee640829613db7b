import math

import pytest
import torch

from nanobert.bigram import BELIEF, bigram_window_loss
from nanobert.tokenizer import IGNORE, MASK, SPECIAL_IDS
from nanobert.unigram import token_shares, unigram_loss

VOCAB = 12


@pytest.fixture
def rows():
    return torch.randint(len(SPECIAL_IDS), VOCAB, (30, 8), generator=torch.Generator().manual_seed(0))


def hidden(rows, place):
    labels = torch.full_like(rows, IGNORE)
    labels[:, place] = rows[:, place]
    return rows.masked_fill(labels != IGNORE, MASK), labels


def share(pairs, pair, side, prior):
    """How likely the other half of a pair is beside this one, counted and smoothed."""
    alike = [each for each in pairs if each[side] == pair[side]]
    return (alike.count(pair) + BELIEF * prior) / (len(alike) + BELIEF)


def test_the_loss_is_that_of_counting_one_by_one(rows):
    shares = token_shares(rows, SPECIAL_IDS, VOCAB)
    inputs, labels = hidden(rows, 3)
    pairs = [pair for row in rows.tolist() for pair in zip(row, row[1:])]
    losses = []
    for row in rows.tolist():
        scores = [
            share(pairs, (row[2], token), 0, prior) * share(pairs, (token, row[4]), 1, prior) / prior
            for token, prior in enumerate(shares.tolist())
        ]
        losses.append(-math.log(scores[row[3]] / sum(scores)))
    assert bigram_window_loss(rows, shares, inputs, labels) == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_without_neighbours_it_is_the_unigram_model(rows):
    shares = token_shares(rows, SPECIAL_IDS, VOCAB)
    labels = rows.clone()
    all_hidden = torch.full_like(rows, MASK)
    assert bigram_window_loss(rows, shares, all_hidden, labels) == pytest.approx(unigram_loss(shares, labels), rel=1e-4)


@pytest.mark.parametrize("place", [0, 7])
def test_the_ends_of_a_row_have_one_neighbour(rows, place):
    shares = token_shares(rows, SPECIAL_IDS, VOCAB)
    inputs, labels = hidden(rows, place)
    other_end = inputs.clone()
    other_end[:, -1 - place] = SPECIAL_IDS[0]  # were the row a ring, this would count
    assert bigram_window_loss(rows, shares, inputs, labels) == bigram_window_loss(rows, shares, other_end, labels)


def test_where_a_token_follows_from_its_neighbours_it_is_guessed():
    cycle = torch.arange(5, VOCAB).repeat(4000)[: 7 * 4000].view(4000, 7)
    shares = token_shares(cycle, SPECIAL_IDS, VOCAB)
    loss = bigram_window_loss(cycle, shares, *hidden(cycle, 3))
    assert loss < 0.2 < unigram_loss(shares, hidden(cycle, 3)[1])
