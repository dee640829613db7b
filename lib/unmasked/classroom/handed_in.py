"""The notebook that a student handed in: found in a folder, and read as far as anything in it can be read.

Nothing in here trusts the file, follows a link, or raises: what can't be read is a remark.
"""

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from unmasked.saved import Unreadable, read_cells

MOST_FILES = 1000
MOST_NOTEBOOKS = 20  # that are opened to find the right one


@dataclass(frozen=True)
class Remark:
    """Something a teacher should know about a submission.

    `kind` is one of:
    missing     nothing was handed in, or not this answer
    unreadable  a file, or a cell, that can't be read
    file        another name or place than asked for, or more than one notebook
    link        a link, which is not followed
    encoding    characters that had to be replaced or guessed
    version     from another release of the lesson, or of nbgrader
    tampering   a locked cell or nbgrader's metadata changed
    deleted     a locked cell is gone
    edited      the answer's cell has another type
    duplicate   several cells claim to be the answer
    recovered   the answer's cell had lost its identifier
    extra       the student's own cells, which are not run
    """

    kind: str
    text: str
    cell: str | None = None  # the grade_id it is about


def read(folder, name, grade_ids):
    """The cells of the notebook in `folder` that should be called `name`, and remarks.

    Of several notebooks with other names the one with most of the `grade_ids` is taken. The cells are None if there is
    no notebook to be read.
    """
    folder = Path(folder)
    if folder.is_symlink():
        return None, [Remark("link", "The folder that was handed in is a link, and links are not followed.")]
    files = _files(folder)
    notebooks = [path for path in files if ".ipynb" in path.name.lower()]
    notebooks.sort(key=lambda path: (path != folder / name, len(path.parts), str(path)))
    if not notebooks:
        return None, [Remark("missing", _no_notebook(files))]
    best, cells, remarks = None, None, []
    for path in notebooks[:MOST_NOTEBOOKS]:
        try:
            found, damage = read_cells(path)
        except Unreadable as problem:
            remarks.append(Remark("link" if path.is_symlink() else "unreadable", f"{shown(path.name)} {problem}."))
            continue
        if best is None or _known(found, grade_ids) > _known(cells, grade_ids):
            best, cells, best_remarks = path, found, _about_damage(path, damage)
        if path == folder / name and _known(found, grade_ids):
            break
    if best is None:
        return None, remarks
    return cells, remarks + best_remarks + _about_names(best.relative_to(folder), name, len(notebooks))


def shown(text, longest=60):
    """What a student wrote, short and without control characters, for a sentence."""
    text = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _files(folder):
    walk = os.walk(folder)  # which skips what it can't list
    paths = (Path(parent, name) for parent, folders, names in walk if _wanted(folders) for name in names)
    return list(islice(paths, MOST_FILES))


def _wanted(folders):
    """Keeps os.walk out of what Jupyter and the Mac leave behind."""
    folders[:] = sorted(name for name in folders if name not in (".ipynb_checkpoints", "__MACOSX", ".git"))
    return True


def _no_notebook(files):
    others = sorted(shown(path.name) for path in files if path.name != "timestamp.txt")
    if not others:
        return "Nothing was handed in."
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return f"No notebook was handed in, only {', '.join(others[:3])}{more}."


def _about_names(path, name, count):
    if str(path) == name:
        others = f"{count - 1} other notebook{'s' if count > 2 else ''}"
        return [Remark("file", f"The folder holds {others}, which did not count.")] if count > 1 else []
    why = f", of {count} notebooks the one with most of the lesson's cells" if count > 1 else ""
    return [Remark("file", f"It was handed in as {shown(str(path))} instead of {name}{why}; it counts all the same.")]


def _known(cells, grade_ids):
    return len({cell.grade_id for cell in cells} & set(grade_ids))


def _about_damage(path, damage):
    return [Remark("encoding", f"{shown(path.name)} {damage}.")] if damage else []
