"""Read a lesson's source: percent format in; a notebook with nbgrader metadata, and no outputs yet, out."""

import hashlib
import re
from collections import Counter

import jupytext
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from unmasked.errors import UnmaskedError

# Nothing in here depends on the machine that publishes.
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

# For each option of a cell that nbgrader handles: the cell type it needs, its grade_id, what nbgrader is told.
ROLES = {
    "exercise": ("code", "{}", {"grade": False, "solution": True, "locked": False}),
    "check": ("code", "check_{}", {"grade": True, "solution": False, "locked": True}),
    "explain": ("markdown", "explain_{}", {"grade": True, "solution": True, "locked": False}),
}
EXPLAIN_POINTS = 1

# jupytext notes down blank lines that PEP 8 doesn't expect; they mean nothing in a notebook.
IGNORED_OPTIONS = {"lines_to_next_cell"}

MAX_ID_LENGTH = 64  # nbformat's limit


def read(path, exercises):
    """The notebook that the source at `path` makes. `exercises` maps each exercise's name to its `Exercise`.

    Raises UnmaskedError, naming the file and the cell, for a source that can't be published.
    """
    cells, seen = [], Counter()
    for number, cell in enumerate(_parse(path).cells, start=1):
        try:
            cells.append(_derive(cell, exercises, seen))
        except ValueError as error:
            raise UnmaskedError(f"{path.name}, cell {number} ({first_line(cell)}): {error}.") from None
    _compare_names(path, cells, exercises)
    return new_notebook(cells=cells, metadata=NOTEBOOK_METADATA)


def first_line(cell):
    return cell.source.strip().partition("\n")[0]


def solution_regions(text):
    """The text of each region between BEGIN and END SOLUTION. Raises ValueError if they don't come in pairs."""
    markers = re.findall(r"### (BEGIN|END) SOLUTION", text)
    if markers != ["BEGIN", "END"] * (len(markers) // 2):
        raise ValueError("every ### BEGIN SOLUTION needs one ### END SOLUTION after it")
    return re.findall(r"### BEGIN SOLUTION\n(.*?)[ \t]*### END SOLUTION", text, flags=re.DOTALL)


def _parse(path):
    try:
        return jupytext.read(path, fmt="py:percent")
    except FileNotFoundError:
        raise UnmaskedError(f"{path.parent.name}/{path.name} is missing, yet LESSONS names it.") from None
    except Exception as error:  # jupytext promises no particular class for what it can't parse
        raise UnmaskedError(f"{path.name} can't be read as percent format: {error}.") from None


def _derive(cell, exercises, seen):
    """The cell with nbgrader's metadata and an id that depends on nothing but its content; `seen` counts those ids."""
    options = {key: value for key, value in cell.metadata.items() if key not in IGNORED_OPTIONS}
    if not cell.source.strip():
        raise ValueError("the cell has no content")
    tags = options.pop("tags", [])
    metadata = {"tags": _with_implied(tags)} if tags else {}
    role = _role(cell, options)
    _require_regions(cell, role)
    if role:
        metadata["nbgrader"] = _nbgrader_metadata(role, options[role], exercises)
        name = metadata["nbgrader"]["grade_id"]
    else:
        name = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
    seen[name] += 1
    if role and seen[name] > 1:
        raise ValueError(f'{role}="{options[role]}" is used twice')
    new_cell = new_code_cell if cell.cell_type == "code" else new_markdown_cell
    return new_cell(source=cell.source, metadata=metadata, id=_cell_id(name, seen[name]))


def _with_implied(tags):
    """What varies from run to run can't be compared by nbval either."""
    implied = ["nbval-ignore-output"] if "varies" in tags else []
    return [*tags, *(tag for tag in implied if tag not in tags)]


def _role(cell, options):
    """Which of ROLES the cell plays, or None."""
    if unknown := options.keys() - ROLES.keys():
        raise ValueError(f"unknown option {sorted(unknown)[0]!r}, known are {', '.join(ROLES)} and tags")
    if len(options) > 1:
        raise ValueError(f"a cell is only one of {', '.join(options)}")
    role = next(iter(options), None)
    if role and cell.cell_type != ROLES[role][0]:
        raise ValueError(f"{role} belongs on a {ROLES[role][0]} cell")
    return role


def _require_regions(cell, role):
    found = len(solution_regions(cell.source))
    if role == "exercise" and not found:
        raise ValueError("an exercise needs a region from ### BEGIN SOLUTION to ### END SOLUTION")
    if role == "explain" and found != 1:
        raise ValueError("a question needs one model answer from ### BEGIN SOLUTION to ### END SOLUTION")
    if role not in ("exercise", "explain") and found:
        raise ValueError("only an exercise or explain cell may hold a solution")


def _nbgrader_metadata(role, name, exercises):
    _, grade_id, flags = ROLES[role]
    metadata = {"grade_id": grade_id.format(name), "schema_version": 3, "task": False, **flags}
    if role != "explain" and name not in exercises:
        raise ValueError(f"the lesson's checks have no exercise {name!r}")
    if metadata["grade"]:
        metadata["points"] = exercises[name].points if role == "check" else EXPLAIN_POINTS
    return metadata


def _cell_id(name, count):
    suffix = f"-{count}" if count > 1 else ""
    return re.sub(r"[^a-zA-Z0-9_-]", "-", name)[: MAX_ID_LENGTH - len(suffix)] + suffix


def _compare_names(path, cells, exercises):
    """Every exercise of the lesson has its cell and its check."""
    present = {cell.metadata.nbgrader.grade_id for cell in cells if "nbgrader" in cell.metadata}
    for role in ("exercise", "check"):
        for name in exercises:
            if ROLES[role][1].format(name) not in present:
                raise UnmaskedError(f'{path.name} has no cell {role}="{name}", but the lesson\'s checks know {name!r}.')
