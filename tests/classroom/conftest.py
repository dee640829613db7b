"""Classes of which lesson 02 is released, and notebooks to hand in."""

import copy
import json
import shutil
from pathlib import Path

import pytest

from unmasked.classroom.course import Course
from unmasked.classroom.new import new
from unmasked.classroom.release import release
from unmasked.lessons import find_lesson

ROOT = Path(__file__).parents[2]
LESSON = find_lesson("02")
NAME = f"{LESSON.name}.ipynb"


class Released:
    """Makes classes of their own, and what students hand in there."""

    lesson = LESSON

    def __init__(self, root):
        self.root = root
        course = new(root)
        release(course, LESSON)
        self.notebook = json.loads(course.release_notebook(LESSON.name).read_bytes())
        self.solutions = {
            name: "\n".join(line for line in cell["source"].split("\n") if "### " not in line)
            for name, cell in _answers(_with_text(json.loads(course.source_notebook(LESSON.name).read_bytes()))).items()
        }

    def new_class(self, path):
        return Course(shutil.copytree(self.root, path))

    def answered(self, **answers):
        """The released notebook, as JSON, with these answers in it."""
        notebook = _with_text(copy.deepcopy(self.notebook))
        for name, cell in _answers(notebook).items():
            cell["source"] = answers.get(name, cell["source"])
        return notebook

    def solved(self, **answers):
        """The released notebook, as JSON, with right answers in it, but for these."""
        return self.answered(**(self.solutions | answers))

    def hand_in(self, course, student, notebook, name=NAME):
        """Puts a notebook, as JSON or bytes, where it is when it is collected; returns its folder."""
        folder = course.folder("submitted", student, LESSON.name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode())
        return folder


def _with_text(notebook):
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def _answers(notebook):
    """The cells in which code is written, by exercise."""
    about = {cell["metadata"].get("nbgrader", {}).get("grade_id"): cell for cell in notebook["cells"]}
    return {name.removeprefix("check_"): about[name.removeprefix("check_")] for name in about if _is_check(name)}


def _is_check(name):
    return name is not None and name.startswith("check_")


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    return Released(tmp_path_factory.mktemp("released") / "nlp")
