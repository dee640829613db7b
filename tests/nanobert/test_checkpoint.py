"""Checkpoints: whole or not at all."""

import resource

import pytest
import torch

from nanobert.checkpoint import CheckpointError, load_checkpoint, save_checkpoint

STATE = {"step": 3, "weights": {"a": torch.arange(1000.0)}, "log": [{"loss": 0.1}]}


@pytest.fixture
def full_disk():
    """No file can grow beyond 1000 bytes, which looks to a program like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_saved_comes_back(tmp_path):
    path = tmp_path / "new" / "folder" / "run.pt"
    save_checkpoint(STATE, path)
    loaded = load_checkpoint(path)
    assert torch.equal(loaded["weights"]["a"], STATE["weights"]["a"])
    assert (loaded["step"], loaded["log"]) == (3, [{"loss": 0.1}])
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]


def test_without_a_file_there_is_no_checkpoint(tmp_path):
    assert load_checkpoint(tmp_path / "none.pt") is None


def test_a_full_disk_is_said_and_keeps_the_last_checkpoint(tmp_path, request):
    path = tmp_path / "run.pt"
    save_checkpoint(STATE, path)
    before = path.read_bytes()
    request.getfixturevalue("full_disk")
    with pytest.raises(CheckpointError, match="no checkpoint could be written to .*make room.*the last one is kept"):
        save_checkpoint(STATE | {"step": 4}, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="no checkpoint could be written"):
        save_checkpoint(STATE, tmp_path / "file" / "run.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_file_that_is_no_checkpoint_is_said(tmp_path, content):
    path = tmp_path / "run.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="run.pt is not a checkpoint"):
        load_checkpoint(path)


def test_half_a_checkpoint_is_no_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    save_checkpoint(STATE, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
