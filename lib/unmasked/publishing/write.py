"""Write notebooks, always in the same form, and load them again."""

import os

import nbformat

from unmasked.errors import UnmaskedError


def write(notebook, path):
    """Stores `notebook` at `path`. What was there stays whole if it can't: raises UnmaskedError."""
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        path.parent.mkdir(exist_ok=True)
        unfinished.write_text(text_of(notebook), encoding="utf-8", newline="\n")
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UnmaskedError(f"{path} can't be written: {error.strerror}.") from None


def text_of(notebook):
    """The content of a notebook's file."""
    return nbformat.writes(notebook) + "\n"


def load(path):
    """The notebook stored at `path`. Raises UnmaskedError if there is none, or a broken one."""
    name = f"{path.parent.name}/{path.name}"
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise UnmaskedError(f"{name} is missing.") from None
    except Exception:  # nbformat raises a class of its own, of json or of jsonschema, as it breaks
        raise UnmaskedError(f"{name} is no notebook.") from None
