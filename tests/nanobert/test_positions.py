import math

import pytest
import torch

from nanobert.positions import sinusoidal_positions


def test_positions_are_those_of_the_paper():
    waves = sinusoidal_positions(7, 12)
    for place in range(7):
        for pair in range(6):
            angle = place / 10000 ** (2 * pair / 12)
            assert waves[place, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert waves[place, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_the_dot_product_of_two_places_depends_on_their_distance_only():
    waves = sinusoidal_positions(40, 64)
    products = waves @ waves.T
    for distance in (1, 5, 20):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-3)
