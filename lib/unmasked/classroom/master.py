"""A lesson as it was released: the master, of which every submission is rebuilt and every graded notebook made.

    master = read_master(source notebook, lesson)
    notebook = autograded(master, submission, verdict_of)       what nbgrader keeps

The cage runs `master.preamble`, then a submission's answers.
"""

import ast
import copy
import hashlib
import importlib.util
import logging
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
from nbformat.v4 import new_output
from nbgrader.preprocessors import CheckCellMetadata, ClearOutput, ClearSolutions, ComputeChecksums, LockCells
from nbgrader.utils import is_grade, is_solution

from unmasked.errors import UnmaskedError
from unmasked.lessons import Lesson
from unmasked.saved import clean, statements_of, takes_from_the_course

JUDGED_BY_NOBODY = "This answer was not judged."


@dataclass(frozen=True, eq=False)
class Master:
    """A lesson as it was released.

    `notebook` is the release as nbgrader makes it: stubs in the place of solutions, checksums, no outputs.
    `preamble` is code: the lesson's imports and the constants that stand beside its stubs.
    """

    lesson: Lesson
    notebook: nbformat.NotebookNode
    preamble: str

    @cached_property
    def answers(self):
        """The release stub of each exercise, in order."""
        return {name: cell.source for name, cell in self.cells.items() if is_solution(cell) and not is_grade(cell)}

    @cached_property
    def checks(self):
        """The exercises that have a check, in order."""
        return [name for name in self.answers if f"check_{name}" in self.cells]

    @cached_property
    def explains(self):
        """The release stub of each answer that is graded by hand, by grade_id, in order."""
        return {name: cell.source for name, cell in self.cells.items() if is_solution(cell) and is_grade(cell)}

    @cached_property
    def points(self):
        """The most points of each exercise that has a check."""
        return {name: self.cells[f"check_{name}"].metadata.nbgrader.points for name in self.checks}

    @cached_property
    def cells(self):
        """The cells that nbgrader knows, by grade_id."""
        known = (cell for cell in self.notebook.cells if "nbgrader" in cell.metadata)
        return {cell.metadata.nbgrader.grade_id: cell for cell in known}

    @cached_property
    def digest(self):
        """Changes with whatever decides about points: the stubs, the checks, what runs before them."""
        checks = importlib.util.find_spec(f"unmasked.checks.{self.lesson.topic}")
        code = Path(checks.origin).read_text(encoding="utf-8") if checks else ""
        return digest(self.preamble, code, *(f"{name}\n{cell.source}" for name, cell in self.cells.items()))


def read_master(path, lesson):
    """The Master of `lesson`, from its source notebook, the one with the solutions.

    Raises UnmaskedError if the file is no notebook that nbgrader can release.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise UnmaskedError(f"{path} is missing: release {lesson.name} first.") from None
    except Exception:  # nbformat raises a class of its own, of json or of jsonschema, as it breaks
        raise UnmaskedError(f"{path} is no notebook.") from None
    if not any("BEGIN SOLUTION" in cell.source for cell in notebook.cells):
        raise UnmaskedError(f"{path} has no solutions: it must be the teacher's notebook, not the students'.")
    try:
        return _released(notebook, lesson)
    except Exception as error:  # nbgrader's own, of several classes
        raise UnmaskedError(f"nbgrader can't release {path}: {error}") from None


def autograded(master, submission, verdict_of):
    """The notebook that nbgrader keeps of a graded submission: the release, the student's answers, and the points.

    `verdict_of` takes an exercise's name and returns something with `points` and `html`, or None: no points then.
    """
    notebook = copy.deepcopy(master.notebook)
    texts = submission.answers | {name: _without_tags(text) for name, text in submission.explains.items()}
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        cell.source = texts.get(grade_id, cell.source)
        if grade_id.removeprefix("check_") in master.checks and is_grade(cell):
            cell.outputs = [_points_output(cell, verdict_of(grade_id.removeprefix("check_")))]
            cell.execution_count = 1
    return notebook


def _without_tags(text):
    """Markdown with an invisible sign in every HTML tag and link, so that they are shown and not obeyed.

    The formgrader lets both through: a script in an answer would run with the teacher's rights.
    """
    return re.sub(r"<(?=[A-Za-z/!?])|\](?=[(:])", "\\g<0>\u2060", text)


def _points_output(cell, verdict):
    most = float(cell.metadata.nbgrader.points)
    # nbgrader takes no output at all, and a number it can't read, for full marks.
    points = min(max(0.0, float(verdict.points)), most) if verdict else 0.0
    data = {"text/plain": str(points), "text/html": clean(verdict.html) if verdict else JUDGED_BY_NOBODY}
    return new_output("execute_result", data=data, execution_count=1)


def _released(notebook, lesson):
    """nbgrader's own steps of a release, without its database."""
    solved = [cell for cell in notebook.cells if cell.cell_type == "code" and not is_solution(cell)]
    for step in (LockCells, ClearSolutions, ClearOutput, CheckCellMetadata, ComputeChecksums):
        notebook, _ = step(log=logging.getLogger("unmasked.quiet")).preprocess(notebook, {})
    stubs = [cell for cell in notebook.cells if cell.cell_type == "code" and is_solution(cell)]
    master = Master(lesson, notebook, _preamble(solved, stubs))
    for name, cell in master.cells.items():
        if cell.cell_type == "code" and is_grade(cell) and not is_solution(cell):
            if name.removeprefix("check_") not in master.checks:
                raise ValueError(f"its graded cell {name} belongs to no exercise")
    return master


def _preamble(given, stubs):
    """Imports and constants. Not what the course itself offers: its checks hold right implementations."""
    statements = [
        node for cell in given for node in statements_of(cell.source) if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    statements += [node for cell in stubs for node in statements_of(cell.source) if isinstance(node, ast.Assign)]
    lines = [ast.unparse(node) for node in statements if not takes_from_the_course(node)]
    return "\n".join(dict.fromkeys(lines))


def digest(*parts):
    """A name for some texts that changes with any of them."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
