"""Several processes, one run: each computes its share of every batch, and all of them take the same steps.

`torchrun` starts them and gives each a number. Where it did not, this process is the only one, and nothing in here does
anything.
Source: Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training".
"""

from contextlib import contextmanager
from os import environ

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def together(device):
    """Join the other processes that `torchrun` has started, and part at the end.  Yields the device of this one.

    Each has a GPU of its own; without GPUs, all compute on the CPU.
    Errors: ValueError if there are fewer GPUs than processes; ConnectionError if another process ends meanwhile.
    """
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield device
        return
    device = _device_of_its_own(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise ConnectionError("another process of this run has ended") from error
        raise
    distributed.destroy_process_group()  # not after an error: it might wait for processes that are gone


def _device_of_its_own(device):
    if device.type != "cuda":
        return torch.device("cpu")  # an Apple GPU can't be shared
    number, wanted = torch.cuda.device_count(), int(environ["LOCAL_WORLD_SIZE"])
    if number < wanted:
        raise ValueError(f"{wanted} processes have only {number} GPUs: give torchrun --nproc-per-node {number}")
    torch.cuda.set_device(int(environ["LOCAL_RANK"]))
    return device


def processes():
    """How many processes there are, and the number of this one, from 0."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size(), distributed.get_rank()
    return 1, 0


def is_first():
    """Whether this process is the one that writes files and talks."""
    return processes()[1] == 0


def averaging(model):
    """The model, called as before; each backward pass then leaves the mean of all processes' gradients."""
    return DistributedDataParallel(model) if processes()[0] > 1 else model


def total(x):
    """The sum of all processes' tensors."""
    if processes()[0] > 1:
        distributed.all_reduce(x)
    return x


def from_first(value):
    """What the first process has; plain values only."""
    held = [value]
    if processes()[0] > 1:
        distributed.broadcast_object_list(held)
    return held[0]
