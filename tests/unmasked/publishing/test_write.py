import errno
from pathlib import Path

import pytest
from nbformat.v4 import new_notebook

from unmasked.errors import UnmaskedError
from unmasked.publishing.write import load, write


def test_what_is_written_is_loaded(tmp_path):
    path = tmp_path / "notebooks" / "01_tiny.ipynb"
    write(new_notebook(metadata={"title": "Größe"}), path)
    assert load(path).metadata.title == "Größe"
    assert path.read_bytes().endswith(b"}\n")


def test_a_full_disk_is_told_and_leaves_the_old_notebook(tmp_path, monkeypatch):
    path = tmp_path / "01_tiny.ipynb"
    path.write_text("old")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UnmaskedError, match=r"01_tiny\.ipynb can't be written: No space left on device\.$"):
        write(new_notebook(), path)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [(path.name, b"old")]
