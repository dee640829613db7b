"""Hand a lesson out: nbgrader's release, and a bundle in which students can work.

A bundle holds nothing that answers the lesson or a later one, with one exception: the lesson's own check module, in
which the known mistakes and the oracles stand, because the checks run where the student works.
"""

import ast
import shutil
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from unmasked.classroom.course import require_success, the_repository
from unmasked.errors import UnmaskedError
from unmasked.exercise import exercises_of
from unmasked.lessons import BUILT_IN, LESSONS

FOLDER = "unmasked"  # in every bundle, so that the lessons of a course unpack into one place
PROJECT = ("pyproject.toml", "constraints.txt", "environment.yml", "Makefile", "LICENSE", "LICENSE-TEXT", "NOTICE")
TEACHERS_ONLY = {"publishing", "classroom", "other_ways"}
BY_TOPIC = {"checks", "figures", "widgets"}  # packages with a module for each lesson
STAND_INS = Path("lib/unmasked/stand_ins.py")
LANGUAGE_MODEL = Path("lib/unmasked/data/language_model.safetensors")  # with the module that reads it

README = """# Unmasked

With Python 3.11, 3.12 or 3.13 and `make`, in this folder:

    make lab

It installs what the lessons need and opens JupyterLab. The lessons are in `notebooks/`; hand in the notebook, under its
own name. If something doesn't work, `make doctor` says what and what to do. When the next lesson comes, unpack it over
this folder: your notebooks have other names and stay.
"""


def release(course, lesson):
    """Make the students' notebook of a lesson, by nbgrader, and its bundle; return the bundle's path.

    The first time, the lesson's solution notebook is put into source/. One that lies there is never overwritten.
    Errors: UnmaskedError if nbgrader can't make it.
    """
    source = course.source_notebook(lesson.name)
    if not source.exists():
        source.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_solution(lesson), source)
    require_success(course.api().generate_assignment(lesson.name), f"release {lesson.name}")
    return _write_bundle(course, lesson)


def is_changed(course, lesson):
    """Whether the solution notebook in the class directory is another one than the repository's."""
    return course.source_notebook(lesson.name).read_bytes() != _solution(lesson).read_bytes()


def release_to_exchange(course, lesson):
    """Let students on the same machine fetch a released lesson.  Errors: UnmaskedError, also if they can already."""
    require_success(course.api().release_assignment(lesson.name), f"release {lesson.name} to the exchange")


def bundle_files(repository, lesson):
    """The files of the repository that a lesson's bundle holds, relative to it, beside the notebook and stand-ins."""
    yield from map(Path, PROJECT)
    yield Path("lib/nanobert/__init__.py")
    for module, built_in in BUILT_IN.items():
        if built_in < lesson.number:
            yield Path(f"lib/nanobert/{module}.py")
    for path in sorted((repository / "lib" / "unmasked").rglob("*.py")):
        path = path.relative_to(repository)
        package, stem = path.parts[2], path.stem
        of_another_lesson = package in BY_TOPIC and stem not in ("__init__", lesson.topic)
        if package in TEACHERS_ONLY or of_another_lesson or path == STAND_INS:
            continue
        if not _needs_what_is_built_later(repository / path, lesson):
            yield path
            if path == LANGUAGE_MODEL.with_suffix(".py"):
                yield LANGUAGE_MODEL


def _needs_what_is_built_later(path, lesson):
    imported = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    modules = [node.module.removeprefix("nanobert.") for node in imported if node.module]
    return any(BUILT_IN.get(module, -1) >= lesson.number for module in modules)


def _solution(lesson):
    solution = the_repository() / "solutions" / f"{lesson.name}.ipynb"
    if not solution.is_file():
        raise UnmaskedError(f"{solution} is missing: install unmasked from its repository (`make setup` there).")
    return solution


def _write_bundle(course, lesson):
    """Write bundles/LESSON.zip and return its path; the one before it stays until the new one is whole."""
    bundle = course.root / "bundles" / f"{lesson.name}.zip"
    bundle.parent.mkdir(exist_ok=True)
    unfinished = bundle.with_suffix(".unfinished")
    repository, notebook = the_repository(), course.release_notebook(lesson.name)
    with ZipFile(unfinished, "w", ZIP_DEFLATED) as archive:
        for path in bundle_files(repository, lesson):
            archive.write(repository / path, f"{FOLDER}/{path.as_posix()}")
        archive.write(notebook, f"{FOLDER}/notebooks/{notebook.name}")
        archive.writestr(f"{FOLDER}/README.md", README)
        archive.writestr(f"{FOLDER}/{STAND_INS.as_posix()}", _stand_ins(repository / STAND_INS, lesson))
    return unfinished.replace(bundle)


def _stand_ins(path, lesson):
    """The module of right answers that checks put in the place of wrong ones, without those of later lessons."""
    earlier = [each for each in LESSONS if each.number <= lesson.number]
    allowed = {name for each in earlier for name in exercises_of(each)}
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    for node in reversed(ast.parse(text).body):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name not in allowed:
            del lines[node.lineno - 1 : node.end_lineno]
    return "".join(lines)
