"""Release a solution notebook: nbgrader makes the student's version, and model answers are folded in."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from nbformat.v4 import new_markdown_cell
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import capture_log
from traitlets.config import Config

from unmasked.errors import UnmaskedError
from unmasked.publishing.read import solution_regions
from unmasked.publishing.write import load, write

MODEL_ANSWER = """<details><summary>A model answer</summary>

{}

</details>"""


def release(solution, name):
    """The student's version of `solution`, the solution notebook of the lesson called `name`.

    Raises UnmaskedError if nbgrader can't make it.
    """
    student = _generate_assignment(solution, name)
    cells = []
    for cell, solved in zip(student.cells, solution.cells, strict=True):
        cells += [cell, _model_answer(solved)] if _is_explain(solved) else [cell]
    student.cells = cells
    return student


def _generate_assignment(solution, name):
    """What nbgrader releases, in a course that is made for it and thrown away: it deletes the folder it releases to."""
    with TemporaryDirectory() as course:
        source, released = (Path(course, step, name, f"{name}.ipynb") for step in ("source", "release"))
        source.parent.mkdir(parents=True)
        write(solution, source)
        config = Config(CourseDirectory={"root": course, "assignment_id": name}, SaveCells={"enabled": False})
        coursedir = CourseDirectory(config=config)
        outcome = capture_log(GenerateAssignment(coursedir=coursedir, config=config, no_database=True))
        if not outcome["success"]:
            raise UnmaskedError(f"nbgrader can't release {name}: {_reason(outcome)}")
        return load(released)


def _reason(outcome):
    """What the first error in nbgrader's log of tracebacks says."""
    log = outcome.get("log", "") + outcome["error"]
    return re.search(r"^\s*[\w.]*(?:Error|Exception): (.*)", log, flags=re.MULTILINE)[1]


def _is_explain(cell):
    return cell.cell_type == "markdown" and cell.metadata.get("nbgrader", {}).get("solution", False)


def _model_answer(cell):
    answer = solution_regions(cell.source)[0].strip()
    cell_id = cell.id.replace("explain", "answer", 1)
    return new_markdown_cell(MODEL_ANSWER.format(answer), metadata={"tags": ["model-answer"]}, id=cell_id)
