"""Choosing and corrupting: what can never happen, and how often everything else does."""

import pytest
import torch

from nanobert.masking import IGNORE, choose_positions, mask_tokens

SPECIAL, MASK, VOCAB = (0, 1, 2, 3, 4), 4, 50


@pytest.fixture
def tokens():
    """(300, 400): special tokens too, of every kind, and padding at the end of each row."""
    tokens = torch.randint(0, VOCAB, (300, 400), generator=torch.Generator().manual_seed(1))
    tokens[:, -40:] = 0
    return tokens


def generator(seed=2):
    return torch.Generator().manual_seed(seed)


def assert_share(hits, trials, share):
    """Within 5 standard deviations of the share (and the seeds are fixed, so this never fails by chance)."""
    deviation = (share * (1 - share) / trials) ** 0.5
    assert abs(hits / trials - share) < 5 * deviation


@pytest.mark.parametrize("rate", [0.15, 0.3, 0.8])
def test_every_ordinary_token_is_chosen_with_the_rate_and_special_tokens_never(tokens, rate):
    chosen = choose_positions(tokens, SPECIAL, rate, generator())
    assert chosen.shape == tokens.shape and chosen.dtype == torch.bool
    assert not chosen[tokens <= 4].any()
    assert_share(chosen.sum().item(), (tokens > 4).sum().item(), rate)


def test_choices_are_independent_of_their_neighbours_and_of_the_token(tokens):
    chosen = choose_positions(tokens, SPECIAL, 0.3, generator())
    ordinary = tokens > 4
    pairs = ordinary[:, 1:] & ordinary[:, :-1]
    both = chosen[:, 1:] & chosen[:, :-1]
    assert_share(both.sum().item(), pairs.sum().item(), 0.3**2)
    for token in range(5, VOCAB):
        assert_share(chosen[tokens == token].sum().item(), (tokens == token).sum().item(), 0.3)


def test_rates_of_nothing_and_of_everything(tokens):
    assert not choose_positions(tokens, SPECIAL, 0.0).any()
    assert torch.equal(choose_positions(tokens, SPECIAL, 1.0), tokens > 4)


def test_special_tokens_need_not_come_first_to_be_spared(tokens):
    chosen = choose_positions(tokens, [7, 30], 1.0)
    assert torch.equal(chosen, (tokens != 7) & (tokens != 30))


def test_eighty_ten_ten(tokens):
    chosen = choose_positions(tokens, SPECIAL, 0.5, generator())
    inputs, _ = mask_tokens(tokens, chosen, MASK, SPECIAL, VOCAB, generator(3))
    count, ordinary = chosen.sum().item(), VOCAB - len(SPECIAL)
    masked, kept = (inputs == MASK) & chosen, (inputs == tokens) & chosen
    replaced = chosen & ~masked & ~kept
    assert_share(masked.sum().item(), count, 0.8)
    assert_share(kept.sum().item(), count, 0.1 + 0.1 / ordinary)  # a random token is sometimes the one that stood there
    assert_share(replaced.sum().item(), count, 0.1 * (1 - 1 / ordinary))
    assert inputs[replaced].min() > max(SPECIAL) and inputs[replaced].max() == VOCAB - 1
    for token in range(len(SPECIAL), VOCAB):
        assert_share((inputs[replaced] == token).sum().item(), replaced.sum().item(), 1 / ordinary)


def test_labels_are_the_tokens_where_chosen_and_ignored_elsewhere(tokens):
    chosen = choose_positions(tokens, SPECIAL, 0.15, generator())
    before = tokens.clone()
    inputs, labels = mask_tokens(tokens, chosen, MASK, SPECIAL, VOCAB, generator(3))
    assert torch.equal(labels, torch.where(chosen, tokens, IGNORE))
    assert torch.equal(inputs[~chosen], tokens[~chosen])
    assert torch.equal(tokens, before)
    assert inputs.dtype == labels.dtype == torch.long


def test_the_same_generator_gives_the_same_masks(tokens):
    def draw(seed):
        source = generator(seed)
        chosen = choose_positions(tokens, SPECIAL, 0.15, source)
        return torch.stack([*mask_tokens(tokens, chosen, MASK, SPECIAL, VOCAB, source)])

    assert torch.equal(draw(5), draw(5))
    assert not torch.equal(draw(5), draw(6))
