"""The learning rate, by hand."""

import pytest

from nanobert.schedule import learning_rate


def test_the_rate_goes_up_to_the_peak_and_down_to_nothing():
    rates = [learning_rate(step, steps=10, peak=8.0, warmup=4) for step in range(11)]
    assert rates == pytest.approx([2, 4, 6, 8, 8, 8 * 5 / 6, 8 * 4 / 6, 8 * 3 / 6, 8 * 2 / 6, 8 / 6, 0])


def test_the_rate_without_warmup_starts_at_the_peak():
    assert learning_rate(0, steps=10, peak=8.0, warmup=0) == 8
