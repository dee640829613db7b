"""Files that must not be lost: copies of notebooks in notebooks/kept/, and files replaced whole or not at all."""

import itertools
import os
from datetime import datetime

FOLDER = "kept"


def set_aside(path):
    """Copy a notebook into kept/, beside it, under a name with the time that no other has; returns the copy's path.

    The copy is on the disk when this returns.  Errors: OSError; then there is no copy.
    """
    folder = path.parent / FOLDER
    folder.mkdir(exist_ok=True)
    content = path.read_bytes()
    now = datetime.now().isoformat(timespec="seconds").replace(":", ".")  # Windows has no colons in names
    for number in itertools.count(1):
        copy = folder / f"{path.stem}.{now}{f'-{number}' if number > 1 else ''}{path.suffix}"
        try:
            file = open(copy, "xb")
        except FileExistsError:
            continue
        try:
            with file:
                _write(file, content)
        except OSError:
            copy.unlink()
            raise
        return copy


def replace_file(path, content):
    """Write these bytes to a file; at any moment the whole old or the whole new one is there.  Errors: OSError."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            _write(file, content)
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _write(file, content):
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
