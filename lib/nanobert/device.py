"""Where to compute."""

import torch


def best_device():
    """An NVIDIA GPU, else an Apple GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
