"""Grading a class: `unmasked class grade`, with all its walls, against `nbgrader autograde`, without any.

    python benchmarks/grading.py                            # 60 submissions, nbgrader on 6 of them: about 4 minutes
    python benchmarks/grading.py --submissions 60 --plain 60

Both grade the same class: lesson 02 without its text and figures, which only nbgrader would run, so that starting up,
importing and bookkeeping is nearly all there is. A submission's time is marginal: what more submissions take more.
Prints a Markdown table; `docs/grading.md` holds a measured one.
"""

import argparse
import contextlib
import io
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import nbformat
import torch

from unmasked.classroom.new import new
from unmasked.classroom.run import grade_class, terms_of
from unmasked.lessons import find_lesson

LESSON = find_lesson("02")
PLAIN = "c.Autograde.autograde_preprocessors"  # the line of the configuration that brings the cage
FEW = 6  # submissions, taken off so that what is done once doesn't count


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=60)
    parser.add_argument("--plain", type=int, default=6, help="how many of them nbgrader grades by itself")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}\n")
    print("| grading | submissions | seconds each, marginal | times as fast |")
    print("|---|---|---|---|")
    plain = marginal(time_of_nbgrader, arguments.plain, 1)
    print(f"| nbgrader autograde, unconfined | {arguments.plain} | {plain:.2f} | 1 |", flush=True)
    for workers in arguments.workers:
        ours = marginal(partial(time_of_ours, workers=workers), arguments.submissions, FEW * workers)
        row = f"| unmasked class grade, in the cage, {workers} worker{'s' * (workers > 1)}"
        print(f"{row} | {arguments.submissions} | {ours:.3f} | {plain / ours:.0f} |", flush=True)


def marginal(time_of, many, few):
    """Seconds that a submission takes more."""
    seconds = []
    for count in (few, few + many):
        with tempfile.TemporaryDirectory() as folder:
            seconds.append(time_of(make_class(Path(folder, "class"), count)))
    return (seconds[1] - seconds[0]) / many


def make_class(root, count):
    """A class in which everybody has handed in; every third made a mistake."""
    course = new(root)
    notebook = nbformat.read(solution_notebook(), as_version=4)
    notebook.cells = [cell for cell in notebook.cells if is_essential(cell)]
    source = course.source_notebook(LESSON.name)
    source.parent.mkdir(parents=True)
    nbformat.write(notebook, source)
    course.api().generate_assignment(LESSON.name)
    answers = {grade_id(cell): cell.source for cell in notebook.cells}
    for number in range(count):
        handed_in = nbformat.read(course.release_notebook(LESSON.name), as_version=4)
        for cell in handed_in.cells:
            cell.source = answers[grade_id(cell)] if grade_id(cell) else cell.source
            if number % 3 == 0:
                cell.source = cell.source.replace("key.shape[-1] ** 0.5", "key.shape[-1]")
        path = course.submitted_notebook(f"student{number:03}", LESSON.name)
        path.parent.mkdir(parents=True)
        nbformat.write(handed_in, path)
    return course


def solution_notebook():
    return Path(__file__).parents[1] / "solutions" / f"{LESSON.name}.ipynb"


def is_essential(cell):
    """Whether a cell is an exercise, a check, or the first cell, of imports."""
    return cell.cell_type == "code" and (bool(grade_id(cell)) or "from unmasked.checks" in cell.source)


def grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def time_of_nbgrader(course):
    """Seconds that nbgrader's own command takes, configured as it comes."""
    config = course.root / "nbgrader_config.py"
    config.write_text(config.read_text().partition(PLAIN)[0])
    command = [str(Path(sys.executable).with_name("nbgrader")), "autograde", LESSON.name]
    start = time.perf_counter()
    subprocess.run(command, cwd=course.root, check=True, capture_output=True)
    return time.perf_counter() - start


def time_of_ours(course, workers):
    """Seconds that a run takes, from the notebooks handed in to the gradebook."""
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        outcome = grade_class(course, LESSON, terms_of(course, LESSON), workers=workers)
    seconds = time.perf_counter() - start
    assert len(outcome.graded) == len(course.students_with(LESSON.name))
    return seconds


if __name__ == "__main__":
    main()
