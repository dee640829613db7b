"""Small models are quickest on one thread: on several, beside a busy process, every tiny step waits for the rest."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
