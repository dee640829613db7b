"""Check that the notebooks in a repository are what their sources make, without executing anything."""

from unmasked.errors import UnmaskedError
from unmasked.publishing.execute import is_executed, lasting
from unmasked.publishing.read import read
from unmasked.publishing.release import release
from unmasked.publishing.write import load, text_of


def check(root, lesson, exercises):
    """Raises UnmaskedError, which names the file and the command to run, unless both notebooks are up to date."""
    solution = root / "solutions" / f"{lesson.name}.ipynb"
    student = root / "notebooks" / solution.name
    expected = read(solution.with_suffix(".py"), exercises)
    try:
        stored = load(solution)
        _require_executed(stored, solution)
        _require_same(solution, _with_outputs(expected, stored), f"its source, {lesson.name}.py,")
        load(student)
        _require_same(student, release(stored, lesson.name), "its solution notebook")
    except UnmaskedError as error:
        raise UnmaskedError(f"{error} Run `unmasked publish {lesson.number:02d}`.") from None


def strays(root, lessons):
    """A sentence for each file in the repository at `root` that belongs to no lesson."""
    solutions, notebooks = root / "solutions", root / "notebooks"
    for path in sorted([*solutions.glob("*.ipynb"), *notebooks.glob("*.ipynb")]):
        if not (solutions / f"{path.stem}.py").exists():
            yield f"{path.parent.name}/{path.name} has no source: delete it, or write solutions/{path.stem}.py."
    names = {lesson.name for lesson in lessons}
    for path in sorted(solutions.glob("*.py")):
        if path.stem not in names:
            yield f"solutions/{path.name} is no lesson: name it in LESSONS in lib/unmasked/lessons.py."


def _require_executed(notebook, path):
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and not is_executed(cell):
            raise UnmaskedError(f"{path.parent.name}/{path.name}: cell {number} was not executed, or failed.")


def _with_outputs(notebook, stored):
    """`notebook` with what the cells of `stored` gave, as far as it is worth storing."""
    for cell, executed in zip(notebook.cells, stored.cells):
        if cell.cell_type == executed.cell_type == "code":
            cell.execution_count, cell.outputs = executed.execution_count, lasting(executed.outputs)
    return notebook


def _require_same(path, expected, maker):
    if path.read_bytes() != text_of(expected).encode():
        raise UnmaskedError(f"{path.parent.name}/{path.name} is not what {maker} makes.")
