"""The device that lessons run on."""

import torch

from nanobert.device import best_device


def test_the_best_device_is_one_that_is_there():
    assert torch.ones(2, device=best_device()).sum() == 2
