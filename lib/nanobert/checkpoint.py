"""Checkpoints that survive a kill at any moment: the last whole one is always in place."""

import io
import os
from contextlib import suppress
from pathlib import Path

import torch


class CheckpointError(Exception):
    """A checkpoint could not be written or read; the message says what to do."""


def save_checkpoint(state, path):
    """Write a dictionary of tensors and plain values beside `path`, then put it in place in one move.

    Errors: CheckpointError if it can't be written, as on a full disk; the checkpoint before it stays.
    """
    path = Path(path)
    written = path.with_name(path.name + ".part")
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())  # on the disk before the move, or a power cut could leave an empty file
        os.replace(written, path)
    except OSError as error:
        with suppress(OSError):
            written.unlink()
        raise CheckpointError(
            f"no checkpoint could be written to {path} ({error.strerror}): make room or choose another folder; "
            "the last one is kept, and training resumes from it"
        ) from error


def load_checkpoint(path):
    """The dictionary that was saved, on the CPU, or None if there is no file.

    Errors: CheckpointError if the file is no checkpoint.
    """
    if not Path(path).exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path} is not a checkpoint: delete it to start afresh") from error
