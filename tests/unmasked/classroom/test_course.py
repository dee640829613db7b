"""A class directory: making one, finding one, and that nbgrader itself is at home in it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute
from traitlets.utils.importstring import import_item

from unmasked.classroom.course import Course, the_repository
from unmasked.classroom.new import AUTOGRADE, new
from unmasked.errors import UnmaskedError
from unmasked.lessons import find_lesson

LESSON = find_lesson("02")
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return new(tmp_path_factory.mktemp("classes") / "nlp")


def nbgrader(folder, *arguments):
    """What an nbgrader command, started in `folder`, says."""
    environment = os.environ | {"PATH": os.pathsep.join([str(BIN), os.environ["PATH"]])}
    command = [BIN / "nbgrader", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_new_class_is_found_from_anywhere_in_it(course, monkeypatch):
    monkeypatch.chdir(course.root / "source")
    found = Course.find()
    assert (found.root, found.course_id) == (course.root, "nlp")
    assert found.db_url == f"sqlite:///{course.root / 'gradebook.db'}" and (course.root / "gradebook.db").is_file()
    assert Course.find(course.root).root == course.root


def test_outside_of_a_class_it_is_said_what_to_do(tmp_path):
    with pytest.raises(UnmaskedError, match="is in no class directory: go to one, .* --course, .* `unmasked class new"):
        Course.find(tmp_path)


def test_a_class_directory_may_be_moved(tmp_path):
    new(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    moved = Course.find(tmp_path / "there")
    assert moved.root == tmp_path / "there" and moved.db_url.endswith("there/gradebook.db")
    assert moved.course_id == "here"


def test_a_class_directory_is_nobody_elses_business(course):
    assert stat.S_IMODE(course.root.stat().st_mode) == 0o700


def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UnmaskedError, match="is not empty"):
        new(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_no_class_is_made_inside_of_the_repository():
    place = the_repository() / "tests" / "a_class"
    with pytest.raises(UnmaskedError, match="inside of the repository"):
        new(place)
    assert not place.exists()


@pytest.mark.parametrize("name", ["a/b", "../up", "two words", ".hidden", "!"])
def test_a_name_that_would_be_no_folder_of_the_exchange_is_refused(tmp_path, name):
    with pytest.raises(UnmaskedError, match="can't name a class"):
        new(tmp_path / "new", name)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("url", ["no url", "sqlite:////nowhere/at/all.db", "postgresql://nobody@127.0.0.1:1/none"])
def test_a_database_that_cant_be_used_leaves_nothing_behind(tmp_path, url):
    with pytest.raises(UnmaskedError, match=r"The database can't be used: |needs the package"):
        new(tmp_path / "new", None, url)
    assert not (tmp_path / "new").exists()


def test_a_configuration_that_is_broken_is_named(tmp_path):
    new(tmp_path / "class")
    with (tmp_path / "class" / "nbgrader_config.py").open("a") as file:
        file.write("1 / 0\n")
    with pytest.raises(UnmaskedError, match=r"nbgrader_config.py can't be read: ZeroDivisionError"):
        Course.find(tmp_path / "class")


def test_paths_are_those_of_nbgraders_layout(course):
    name = LESSON.name
    assert course.source_notebook(name) == course.root / "source" / name / f"{name}.ipynb"
    assert course.folder("submitted", "ann", name) == course.root / "submitted" / "ann" / name
    assert course.folder("autograded", "ann", name) == course.root / "autograded" / "ann" / name
    assert course.folder("feedback", "ann", name) == course.root / "feedback" / "ann" / name


def test_students_with_a_lesson_are_those_who_have_a_folder_for_it(tmp_path):
    course = new(tmp_path / "class")
    for student, lesson in [("cem", LESSON.name), ("ann", LESSON.name), ("bob", "03_other")]:
        course.folder("submitted", student, lesson).mkdir(parents=True)
    assert course.students_with(LESSON.name) == ["ann", "cem"]
    assert course.students_with(LESSON.name, "autograded") == []


def test_a_lesson_that_is_not_released_is_named_with_the_command(course):
    assert course.released == []
    with pytest.raises(UnmaskedError, match="02_self_attention is not released: run `unmasked class release 2` first"):
        course.require_released(LESSON)


def test_grading_is_nbgraders_own_but_for_what_runs_a_submission():
    execute, *others = Autograde(coursedir=CourseDirectory()).autograde_preprocessors
    assert execute is Execute and [import_item(name) for name in AUTOGRADE[1:]] == others
    assert AUTOGRADE[0] == "unmasked.classroom.preprocessor.CagedExecute"


def test_plain_nbgrader_finds_the_class_where_it_is_started(course):
    with course.gradebook() as gradebook:
        gradebook.add_student("ann", first_name="Ann", last_name="Doe")
    assert "ann (Doe, Ann)" in nbgrader(course.root, "db", "student", "list")


def test_the_formgrader_grades_in_the_cage(course, monkeypatch):
    """It reads its configuration as `jupyter lab` does when it is started in the directory."""
    from nbgrader.server_extensions.formgrader.formgrader import FormgradeExtension

    monkeypatch.chdir(course.root)
    formgrader = FormgradeExtension()
    formgrader.root_dir = str(course.root)
    formgrader.initialize([])
    assert Path(formgrader.coursedir.root) == course.root and formgrader.url_prefix == "."
    assert formgrader.coursedir.db_url == course.db_url
    grading = Autograde(coursedir=formgrader.coursedir, parent=formgrader)
    assert grading.autograde_preprocessors[0] == "unmasked.classroom.preprocessor.CagedExecute"


def test_a_gradebook_that_is_broken_is_told(tmp_path):
    course = new(tmp_path / "class")
    (course.root / "gradebook.db").write_text("no database at all, but long enough to be looked at")
    with pytest.raises(UnmaskedError, match="The database can't be used: file is not a database"):
        course.gradebook()
