"""The cells of a saved notebook, read as far as anything in it can be read.

Nothing in here trusts the file or follows a link.
"""

import ast
import json
import os
import re
import stat
from dataclasses import dataclass, field

LARGEST = 64 * 2**20  # bytes
MOST_BRACKETS = 2_000_000  # a list or a dict takes twenty times its brackets: 64 MB of "[]," would fill the memory
LONGEST_SOURCE = 1_000_000  # characters of a cell
MOST_CELLS = 10_000


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


def read_cells(path):
    """The cells of a notebook, and what is damaged in them: "" or the end of a sentence, as in Unreadable.

    Raises Unreadable.
    """
    data = _bytes(path)
    damage = ""
    try:
        raw = _json(data)
    except UnicodeDecodeError:
        raw = _json(data.decode("cp1252", errors="replace"))
        damage = "is not UTF-8; letters with accents may be wrong"
    cells = [_cell(raw_cell) for raw_cell in _raw_cells(raw) if isinstance(raw_cell, dict)]
    if any("\ufffd" in (cell.source or "") for cell in cells) and not damage:
        damage = "has characters that no text can hold; they were replaced by \ufffd"
    return cells, damage


def defines(source, name):
    """Whether a cell's source defines a function or a class of this name."""
    # Not ast: it has crashed Python on hostile source, and an answer with a syntax error is to be found too.
    return bool(re.search(rf"^((async +)?def|class) +{name}\b", source, re.MULTILINE))


def statements_of(source):
    """The syntax trees of a cell's statements; none if it isn't Python throughout."""
    try:
        return ast.parse(source).body
    except SyntaxError:  # a line for IPython
        return []


def takes_from_the_course(node):
    """Whether an import statement's tree takes something from `unmasked`, whose checks hold right implementations."""
    modules = [node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in getattr(node, "names", ())]
    return any(module.partition(".")[0] == "unmasked" for module in modules if module)


def clean(text):
    """The text with plain line ends, and with what UTF-8 or Python's source can't hold replaced."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("[\0\ud800-\udfff]", "\ufffd", text)


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
