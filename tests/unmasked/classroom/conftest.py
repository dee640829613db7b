"""A class with a roster, whose first lesson is released. It is made once and copied for each test that asks."""

import shutil

import pytest

from unmasked.classroom.course import Course
from unmasked.classroom.new import new
from unmasked.classroom.release import release
from unmasked.classroom.roster import import_roster
from unmasked.lessons import find_lesson

ROSTER = """\
id,first_name,last_name,email,lms_user_id
ann,Ann,Doe,ann@x.org,
bob,Bob,"O'Neill, Jr.",bob@x.org,
cem,Cem Ali,Öz,cem@x.org,77
dup1,Jane,Roe,,
dup2,Jane,Roe,,
"""


@pytest.fixture(scope="session")
def released_class(tmp_path_factory):
    course = new(tmp_path_factory.mktemp("classes") / "nlp")
    (course.root / "roster.csv").write_text(ROSTER)
    import_roster(course, course.root / "roster.csv")
    release(course, find_lesson("02"))
    return course


@pytest.fixture
def course(released_class, tmp_path):
    return Course(shutil.copytree(released_class.root, tmp_path / "nlp"))
