"""The notebook that a student handed in: found in a folder, and read as far as anything in it can be read.

Nothing in here trusts the file, follows a link, or raises: what can't be read is a remark.
"""

import json
import os
import re
import stat
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

LARGEST = 64 * 2**20  # bytes
MOST_BRACKETS = 2_000_000  # a list or a dict takes twenty times its brackets: 64 MB of "[]," would fill the memory
LONGEST_SOURCE = 1_000_000  # characters of a cell
MOST_CELLS = 10_000
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


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell as handed in: `source` is None if it is no text, or too long, and `nbgrader`'s metadata are {} if lost."""

    type: str
    source: str | None
    nbgrader: dict = field(default_factory=dict)

    @property
    def grade_id(self):
        grade_id = self.nbgrader.get("grade_id")
        return grade_id if isinstance(grade_id, str) else None


class Unreadable(Exception):
    """Why a file can't be read: the end of a sentence that begins with its name."""


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
            found, about = _read_notebook(path)
        except Unreadable as problem:
            remarks.append(Remark("link" if path.is_symlink() else "unreadable", f"{shown(path.name)} {problem}."))
            continue
        if best is None or _known(found, grade_ids) > _known(cells, grade_ids):
            best, cells, best_remarks = path, found, about
        if path == folder / name and _known(found, grade_ids):
            break
    if best is None:
        return None, remarks
    return cells, remarks + best_remarks + _about_names(best.relative_to(folder), name, len(notebooks))


def shown(text, longest=60):
    """What a student wrote, short and without control characters, for a sentence."""
    text = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def clean(text):
    """The text with plain line ends, and with what UTF-8 or Python's source can't hold replaced."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("[\0\ud800-\udfff]", "\ufffd", text)


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


def _read_notebook(path):
    """Cells and remarks. Raises Unreadable."""
    data = _bytes(path)
    remarks = []
    try:
        raw = _json(data)
    except UnicodeDecodeError:
        raw = _json(data.decode("cp1252", errors="replace"))
        remarks.append(Remark("encoding", f"{shown(path.name)} is not UTF-8; letters with accents may be wrong."))
    cells = [_cell(raw_cell) for raw_cell in _raw_cells(raw) if isinstance(raw_cell, dict)]
    if any("\ufffd" in (cell.source or "") for cell in cells) and not remarks:
        remarks.append(Remark("encoding", "Characters that no text can hold were replaced by \ufffd."))
    return cells, remarks


def _bytes(path):
    # Without O_NOFOLLOW a link to another student's work would be read, without O_NONBLOCK a pipe would be waited for.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if path.is_symlink():
        raise Unreadable("is a link, and links are not followed")
    try:
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("is no ordinary file")
            if status.st_size > LARGEST:
                raise Unreadable(f"is larger than {LARGEST // 2**20} MB: ask for it without its outputs")
            return file.read(LARGEST)
    except OSError as error:
        raise Unreadable(f"can't be opened ({error.strerror})") from None


def _json(data):
    """What JSON in bytes (in any UTF) or text says. Raises UnicodeDecodeError and Unreadable."""
    brackets = ("[", "{") if isinstance(data, str) else (b"[", b"{")
    if not data.strip():
        raise Unreadable("is empty")
    if sum(map(data.count, brackets)) > MOST_BRACKETS:
        raise Unreadable("is too complicated for a notebook")
    try:
        return json.loads(data, parse_int=float)  # an int refuses 5000 digits
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError, MemoryError):
        raise Unreadable("is no notebook: broken, or cut off") from None


def _raw_cells(raw):
    """The list of cells, also of a notebook from before 2015 (nbformat 3). Raises Unreadable."""
    cells = raw.get("cells") if isinstance(raw, dict) else None
    if isinstance(raw, dict) and isinstance(raw.get("worksheets"), list):
        sheets = [sheet.get("cells") for sheet in raw["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets if isinstance(sheet, list) for cell in sheet]
    if not isinstance(cells, list):
        raise Unreadable("is no notebook: it has no cells")
    if len(cells) > MOST_CELLS:
        raise Unreadable(f"has {len(cells)} cells")
    return cells


def _cell(raw):
    source = raw.get("source", raw.get("input"))  # nbformat 3 says input
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    metadata = raw.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    readable = isinstance(source, str) and len(source) <= LONGEST_SOURCE
    return Cell(
        type=raw["cell_type"] if isinstance(raw.get("cell_type"), str) else "",
        source=clean(source) if readable else None,
        nbgrader=nbgrader if isinstance(nbgrader, dict) else {},
    )
