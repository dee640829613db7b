"""Evaluation: fixed masks, and a mean over positions rather than over batches; the unigram model."""

import pytest
import torch
import torch.nn.functional as F

from nanobert.evaluation import evaluate, fixed_masks
from nanobert.masked_lm import build_masked_lm
from nanobert.masking import IGNORE
from nanobert.tokenizer import PAD, SPECIAL_IDS
from nanobert.unigram import start_at_unigram, token_shares, unigram_loss

VOCAB = 60


@pytest.fixture
def rows():
    rows = torch.randint(5, VOCAB, (31, 12), generator=torch.Generator().manual_seed(0))
    rows[:, 0] = 2
    rows[3:9, 7:] = PAD
    return rows


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_masked_lm(VOCAB, 16, 2, 1, 12, std=1.0, dropout=0.5)


def test_masks_are_fixed(rows):
    first, again, other = (fixed_masks(rows, VOCAB, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


@torch.no_grad()
def test_every_position_weighs_the_same_whatever_its_batch(rows, model):
    inputs, labels = fixed_masks(rows, VOCAB, rate=0.4)
    labels[:20, 4:] = IGNORE  # so that batches differ in how much they ask
    result = evaluate(model, inputs, labels, batch=7)
    logits, asked = model.eval()(inputs, inputs == PAD), labels != IGNORE
    assert result.loss == pytest.approx(F.cross_entropy(logits[asked], labels[asked]).item(), rel=1e-5)
    assert result.top1 == pytest.approx((logits.argmax(-1) == labels)[asked].float().mean().item())


def test_measuring_leaves_no_trace(rows, model):
    measured = fixed_masks(rows, VOCAB)
    assert model.training
    assert evaluate(model, *measured) == evaluate(model, *measured)  # without dropout
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    model.eval()
    evaluate(model, *measured)
    assert not model.training


def test_shares_are_counts_of_ordinary_tokens(rows):
    shares = token_shares(rows, SPECIAL_IDS, VOCAB)
    ordinary = rows[rows > 4]
    assert shares.sum().item() == pytest.approx(1)
    assert shares[7].item() == pytest.approx(((ordinary == 7).sum().item() + 1) / (len(ordinary) + VOCAB))
    assert shares[2].item() == pytest.approx(1 / (len(ordinary) + VOCAB))


def test_the_unigram_loss_by_hand():
    shares, labels = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([[0, IGNORE, 1], [IGNORE, 0, IGNORE]])
    assert unigram_loss(shares, labels) == pytest.approx((2 * 0.693147 + 1.386294) / 3)


def test_a_model_that_starts_at_the_unigram_has_its_loss(rows):
    torch.manual_seed(0)
    model, shares = build_masked_lm(VOCAB, 16, 2, 1, 12, std=1e-4), token_shares(rows, SPECIAL_IDS, VOCAB)
    inputs, labels = fixed_masks(rows, VOCAB, rate=0.5)
    start_at_unigram(model.head, shares)
    assert evaluate(model, inputs, labels).loss == pytest.approx(unigram_loss(shares, labels), rel=1e-3)
