"""From what authors edit to what learners open: read, execute, write, release, write.

    solutions/NN_topic.py -> solutions/NN_topic.ipynb -> notebooks/NN_topic.ipynb

docs/publishing.md tells authors how to use it.
"""

from unmasked.errors import UnmaskedError
from unmasked.publishing.execute import execute
from unmasked.publishing.read import read
from unmasked.publishing.release import release
from unmasked.publishing.write import load, write


def publish(root, lesson, exercises):
    """Makes both notebooks of `lesson` in the repository at `root`; `exercises` maps names to `Exercise`s.

    Raises UnmaskedError, naming the lesson and the cell, if the source can't be read or a cell fails.
    """
    solution = root / "solutions" / f"{lesson.name}.ipynb"
    notebook = read(solution.with_suffix(".py"), exercises)
    execute(notebook, solution, committed=_committed(solution))
    write(notebook, solution)
    write(release(notebook, lesson.name), root / "notebooks" / solution.name)


def _committed(path):
    """The notebook at `path`, or None where there is none to be had: a broken one is made anew."""
    try:
        return load(path)
    except UnmaskedError:
        return None
