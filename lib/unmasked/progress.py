"""How far a learner is: the checks they ran, kept in a file beside the notebooks, and what follows from them.

The file has one line for each try, in JSON, and only grows. docs/design.md says what counts.
"""

import errno
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from unmasked.lessons import LESSONS, Lesson

FILE = "progress.jsonl"
FOLDER = "notebooks"
HEADING = re.compile(r"^### Exercise (.+?)(?: \(about .*\))?$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Task:
    """An exercise, and how far the learner is with it. `tries` are those until it first passed."""

    name: str
    title: str
    max_points: float
    points: float = 0
    tries: int = 0
    passed: bool = False


@dataclass(frozen=True)
class Standing:
    """A lesson, its file, and how far the learner is with each exercise. Not `readable`: its notebook is broken."""

    lesson: Lesson
    path: Path
    tasks: tuple[Task, ...]
    readable: bool = True

    @property
    def passed(self):
        return sum(task.passed for task in self.tasks)

    @property
    def points(self):
        return sum(task.points for task in self.tasks)

    @property
    def max_points(self):
        return sum(task.max_points for task in self.tasks)

    @property
    def tries(self):
        return sum(task.tries for task in self.tasks)

    @property
    def done(self):
        return self.readable and self.passed == len(self.tasks)


def counts_in(folder, lesson):
    """Whether checks of a lesson that run in this folder are recorded: it is notebooks/ and holds the lesson."""
    return folder.name == FOLDER and (folder / f"{lesson.name}.ipynb").is_file()


def record(folder, lesson, **what):
    """Append a line about a lesson to the file in `folder`; it is on the disk when this returns.  Errors: OSError."""
    entry = {"lesson": lesson.name, **what, "time": datetime.now(UTC).isoformat(timespec="seconds")}
    # The line end comes first: a line that a crash has torn then spoils no other one.
    line = ("\n" + json.dumps(entry)).encode()
    file = os.open(folder / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    finally:
        os.close(file)


def record_try(folder, lesson, verdict):
    """Record what a learner's check has found, unless the exercise has passed before.  Errors: OSError."""
    tries = _tries(read(folder), lesson, verdict.exercise)
    if not any(entry.get("passed") is True for entry in tries):
        what = {"points": verdict.points, "max_points": verdict.max_points, "passed": verdict.passed}
        record(folder, lesson, exercise=verdict.exercise, **what)


def read(folder):
    """All lines of the file in `folder`, as dicts, without those that are torn.  Errors: OSError."""
    try:
        text = (folder / FILE).read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [entry for line in text.splitlines() if (entry := _entry(line))]


def standing(folder, lesson, entries):
    """How far a learner is in a lesson whose notebook is in `folder`, by the lines of the file."""
    path = folder / f"{lesson.name}.ipynb"
    tasks, readable = _tasks_of(path)
    return Standing(lesson, path, tuple(_tried(task, _tries(entries, lesson, task.name)) for task in tasks), readable)


def standings(folder, entries):
    """The Standing of every lesson that has a notebook in `folder`."""
    present = [lesson for lesson in LESSONS if (folder / f"{lesson.name}.ipynb").exists()]
    return [standing(folder, lesson, entries) for lesson in present]


def next_task(standings: Iterable[Standing], entries):
    """The Standing and the Task to go on with, or None if all is done.

    The rest of the lesson that was worked on last comes first, then later lessons, then those passed over.
    """
    open_tasks = [(each, task) for each in standings for task in each.tasks if not task.passed]
    last = entries[-1] if entries else {"lesson": ""}

    def rank(item):
        each, task = item
        if each.lesson.name != last["lesson"]:
            return 2 if each.lesson.name > last["lesson"] else 3
        names = [task.name for task in each.tasks]
        after = last.get("exercise") not in names or names.index(task.name) >= names.index(last["exercise"])
        return 0 if after else 1

    return min(open_tasks, key=rank, default=None)


def progress(folder=None):
    """The progress of the learner whose notebooks are in `folder`, the current one if left out, as a table."""
    from unmasked.overview import Overview

    folder = Path(folder or Path.cwd())
    entries = read(folder)
    found = standings(folder, entries)
    return Overview(found, next_task(found, entries))


def _entry(line):
    """What a line says, or None if it is torn or says something else."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("lesson"), str):
        return None
    is_try = isinstance(entry.get("exercise"), str) and isinstance(entry.get("points"), (int, float))
    return entry if is_try or entry.get("reset") is True else None


def _tries(entries, lesson, exercise):
    """The lines about an exercise since its lesson was last reset."""
    tries = []
    for entry in entries:
        if entry["lesson"] == lesson.name and entry.get("reset"):
            tries = []
        elif entry["lesson"] == lesson.name and entry["exercise"] == exercise:
            tries.append(entry)
    return tries


def _tried(task, tries):
    """The task with what its lines say about it."""
    passed = next((number for number, entry in enumerate(tries, start=1) if entry.get("passed") is True), None)
    best = max((entry["points"] for entry in tries), default=0)
    points = task.max_points if passed else min(best, task.max_points)
    return Task(task.name, task.title, task.max_points, points, passed or len(tries), bool(passed))


def _tasks_of(path):
    """The exercises in a student notebook, in order, and whether it could be read.

    Not from the check modules: they import PyTorch, and a class has only those of the lessons it was given.
    """
    try:
        cells = json.loads(path.read_bytes())["cells"]
        return list(_tasks_in(cells)), True
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return [], False


def _tasks_in(cells):
    title = ""
    for cell in cells:
        if heading := HEADING.search("".join(cell["source"])):
            title = heading[1]
        marks = cell["metadata"].get("nbgrader", {})
        if marks.get("grade") and not marks.get("solution"):
            name = marks["grade_id"].removeprefix("check_")
            yield Task(name, title or name, marks["points"])
            title = ""
