"""Release a solution notebook: nbgrader makes the student's version, and model answers are folded in."""

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
    answers = {cell.id: _model_answer(cell) for cell in solution.cells if _is_explain(cell)}
    student.cells = [
        each for cell in student.cells for each in ([cell, answers[cell.id]] if cell.id in answers else [cell])
    ]
    return student
