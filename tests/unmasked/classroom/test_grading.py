"""Grading a class, by our own command and by nbgrader's: the same marks, in nbgrader's gradebook."""

import json
import shutil

import nbformat
import pytest
from typer.testing import CliRunner

from unmasked.classroom import gradebook, run
from unmasked.classroom.run import grade_class, record_path, terms_of
from unmasked.cli import app
from unmasked.errors import UnmaskedError
from unmasked.lessons import find_lesson

LESSON = find_lesson("02")
UNSCALED = "Your scores are not divided by the square root of d_k, the width of a query."
MARKS = {"ann": 10.0, "bob": 8.0, "cem": 0.0}  # all right; one known mistake, of 2 points; nothing written


@pytest.fixture(scope="module")
def handed_in(released_class, tmp_path_factory):
    """The class after three students have handed in."""
    root = shutil.copytree(released_class.root, tmp_path_factory.mktemp("handed_in") / "nlp")
    course = type(released_class)(root)
    solved = nbformat.read(course.source_notebook(LESSON.name), as_version=4)
    answers = {c.metadata.nbgrader.grade_id: c.source for c in solved.cells if "nbgrader" in c.metadata}
    for student in MARKS:
        notebook = nbformat.read(course.release_notebook(LESSON.name), as_version=4)
        for cell in notebook.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
            if student != "cem" and cell.cell_type == "code" and name in answers:
                cell.source = answers[name]
            if student == "bob" and name == "attention_weights":
                cell.source = cell.source.replace(" / key.shape[-1] ** 0.5", "")
        path = course.submitted_notebook(student, LESSON.name)
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    return course


@pytest.fixture
def course(handed_in, tmp_path):
    return type(handed_in)(shutil.copytree(handed_in.root, tmp_path / "nlp"))


def marks(course):
    with course.gradebook() as book:
        return {each.student.id: each.score for each in book.assignment_submissions(LESSON.name)}


def test_a_class_is_graded_once_and_then_only_what_is_new(course):
    outcome = grade_class(course, LESSON, terms_of(course, LESSON, seed=3))
    assert outcome.graded == tuple(MARKS) and outcome.unchanged == () and outcome.to_look_at == {}
    assert marks(course) == MARKS
    record = json.loads(record_path(course, LESSON, "bob").read_text())
    assert record["seed"] == 3
    assert record["exercises"]["attention_weights"]["diagnosis"] == UNSCALED
    assert record["exercises"]["attention_weights"]["known_mistake"] is True

    shutil.copy(course.submitted_notebook("ann", LESSON.name), course.submitted_notebook("cem", LESSON.name))
    outcome = grade_class(course, LESSON, terms_of(course, LESSON))
    assert outcome.graded == ("cem",) and outcome.unchanged == ("ann", "bob")
    assert marks(course) == MARKS | {"cem": 10.0}
    assert len(list((course.root / "backups").glob("*.db"))) == 2


def test_nbgraders_autograde_gives_the_same_marks_and_runs_in_the_cage(course):
    for student in MARKS:
        outcome = course.api().autograde(LESSON.name, student)
        assert outcome["success"], outcome
    assert marks(course) == MARKS
    assert json.loads(record_path(course, LESSON, "bob").read_text())["exercises"]["attention_weights"]["known_mistake"]
    again = grade_class(course, LESSON, terms_of(course, LESSON))
    assert again.graded == ()


def test_what_was_given_by_hand_stays(course):
    grade_class(course, LESSON, terms_of(course, LESSON))
    with course.gradebook() as book:
        grade = book.find_grade("check_attention_weights", LESSON.name, LESSON.name, "bob")
        grade.manual_score, grade.extra_credit = 1.5, 0.25
        book.find_comment("attention_weights", LESSON.name, LESSON.name, "bob").manual_comment = "Nearly."
        book.db.commit()
    grade_class(course, LESSON, terms_of(course, LESSON), students=["bob"], again=True)
    with course.gradebook() as book:
        grade = book.find_grade("check_attention_weights", LESSON.name, LESSON.name, "bob")
        assert (grade.manual_score, grade.extra_credit, grade.auto_score) == (1.5, 0.25, 0.0)
        assert grade.needs_manual_grade
        comment = book.find_comment("attention_weights", LESSON.name, LESSON.name, "bob")
        assert comment.manual_comment == "Nearly."


def test_a_run_that_can_not_write_marks_leaves_no_record(course, monkeypatch):
    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(gradebook, "_save", broken)
    with pytest.raises(UnmaskedError, match="disk full"):
        grade_class(course, LESSON, terms_of(course, LESSON))
    assert not record_path(course, LESSON, "ann").exists()
    monkeypatch.undo()
    assert grade_class(course, LESSON, terms_of(course, LESSON)).graded == tuple(MARKS)


def test_two_runs_at_once_are_one_too_many(course):
    (course.root / "grading").mkdir()
    with run._alone(course), pytest.raises(UnmaskedError, match="Another run"):
        grade_class(course, LESSON, terms_of(course, LESSON))


def test_a_student_of_whom_nothing_was_collected(course):
    with pytest.raises(UnmaskedError, match="Nothing of 02_self_attention was collected from dup1"):
        grade_class(course, LESSON, terms_of(course, LESSON), students=["dup1"])


def test_without_a_cage_grading_refuses_unless_told_to(course, monkeypatch):
    monkeypatch.setattr("unmasked.classroom.cage.bubblewrap", lambda: "/no/such/bwrap")
    with pytest.raises(UnmaskedError, match="can't be shut in.*--without-cage"):
        grade_class(course, LESSON, terms_of(course, LESSON))
    assert grade_class(course, LESSON, terms_of(course, LESSON, walls=False)).graded == tuple(MARKS)
    assert marks(course) == MARKS


def test_the_command_tells_what_to_look_at_by_its_exit_status(course):
    path = course.submitted_notebook("cem", LESSON.name)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "similarity_scores":
            cell.source = "import os\nos._exit(0)"
    nbformat.write(notebook, path)
    result = CliRunner().invoke(app, ["class", "grade", "2", "--course", str(course.root), "--workers", "2"])
    assert result.exit_code == 3
    assert "Look at cem: similarity_scores ran into a limit" in result.stdout
    assert "3 submissions graded, 0 were graded before, 1 to look at." in result.stdout
    assert CliRunner().invoke(app, ["class", "grade", "2", "--course", str(course.root)]).exit_code == 3
