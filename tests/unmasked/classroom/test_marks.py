"""Feedback and marks, of a class in which the grades are put into the gradebook by hand."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unmasked.classroom.course import the_repository
from unmasked.classroom.export import export
from unmasked.classroom.feedback import make_feedback, release_feedback
from unmasked.errors import UnmaskedError
from unmasked.lessons import find_lesson

LESSON = find_lesson("02")
NOTEBOOK = f"{LESSON.name}.ipynb"


@pytest.fixture
def graded(course):
    """Ann has full marks in code and no essay marked yet; Bob lost a point and was late; nobody else handed in."""
    with course.gradebook() as gradebook:
        for student in ("ann", "bob"):
            submission = gradebook.add_submission(LESSON.name, student)
            for grade in submission.notebooks[0].grades:
                in_code = grade.cell.cell_type == "code"
                grade.auto_score = grade.max_score if in_code else None
                grade.needs_manual_grade = not in_code and student == "ann"
        grade.manual_score = 0.5  # of Bob's last answer
        submission.notebooks[0].late_submission_penalty = 2
        gradebook.db.commit()
    return course


@pytest.fixture
def points(graded):
    """All points of the lesson, and those of its checks."""
    with graded.gradebook() as gradebook:
        lesson = gradebook.find_assignment(LESSON.name)
        return lesson.max_score, lesson.max_code_score


def table(path):
    return list(csv.reader(path.open(encoding="utf-8", newline="")))


def test_marks_for_a_spreadsheet(graded, points, tmp_path):
    export(graded, "csv", tmp_path / "marks.csv")
    rows = {row["student_id"]: row for row in csv.DictReader((tmp_path / "marks.csv").open(encoding="utf-8"))}
    everything, checks = points
    assert rows.keys() == {"ann", "bob", "cem", "dup1", "dup2"}
    assert rows["bob"]["last_name"] == "O'Neill, Jr." and rows["bob"]["assignment"] == LESSON.name
    assert float(rows["ann"]["score"]) == checks and float(rows["ann"]["max_score"]) == everything
    assert float(rows["bob"]["raw_score"]) == checks + 0.5 and float(rows["bob"]["score"]) == checks + 0.5 - 2
    assert float(rows["cem"]["score"]) == 0


def test_marks_have_the_columns_of_nbgraders_own_exporter(graded, tmp_path):
    from nbgrader.plugins import CsvExportPlugin

    export(graded, "csv", tmp_path / "ours.csv")
    with graded.gradebook() as gradebook:
        CsvExportPlugin(to=str(tmp_path / "theirs.csv")).export(gradebook)
    ours, theirs = table(tmp_path / "ours.csv"), table(tmp_path / "theirs.csv")
    assert ours[0] == theirs[0]
    without_commas = [row for row in ours if "," not in "".join(row)]
    assert len(without_commas) == 5 and [row for row in theirs if "bob" not in row] == without_commas


def test_marks_for_canvas(graded, points, tmp_path):
    """What Canvas's gradebook_importer.rb asks of the header and of the second line."""
    export(graded, "canvas", tmp_path / "marks.csv")
    header, possible, *rows = table(tmp_path / "marks.csv")
    assert header == ["Student", "ID", "SIS Login ID", "Section", LESSON.name]
    assert possible[0].strip() == "Points Possible" and float(possible[4]) == points[0]
    rows = {row[2]: row for row in rows}
    assert rows["cem"] == ["Öz, Cem Ali", "77", "cem", "", ""]  # nothing graded: left to Canvas
    assert float(rows["ann"][4]) == points[1] and float(rows["bob"][4]) == points[1] - 1.5


def test_marks_for_moodle(graded, points, tmp_path):
    export(graded, "moodle", tmp_path / "marks.csv")
    rows = {row["ID number"]: row for row in csv.DictReader((tmp_path / "marks.csv").open(encoding="utf-8"))}
    assert rows["ann"]["Email address"] == "ann@x.org" and float(rows["ann"][LESSON.name]) == points[1]
    assert rows["cem"][LESSON.name] == ""


def test_answers_that_nobody_has_marked_yet_are_told(graded, tmp_path):
    assert export(graded, "csv", tmp_path / "marks.csv") == [("ann", LESSON.name)]


def test_plain_nbgrader_exports_for_a_platform_too(graded, tmp_path):
    export(graded, "canvas", tmp_path / "ours.csv")
    command = [Path(sys.executable).parent / "nbgrader", "export", "--exporter=unmasked.classroom.export.Canvas"]
    subprocess.run([*command, f"--to={tmp_path / 'theirs.csv'}"], cwd=graded.root, check=True, capture_output=True)
    assert (tmp_path / "theirs.csv").read_bytes() == (tmp_path / "ours.csv").read_bytes()


def test_feedback_shows_the_verdicts_and_the_marks(graded, points):
    folder = graded.folder("autograded", "ann", LESSON.name)
    folder.mkdir(parents=True)
    shutil.copy(the_repository() / "solutions" / NOTEBOOK, folder)
    assert make_feedback(graded, LESSON) == ["ann"]
    page = (graded.folder("feedback", "ann", LESSON.name) / f"{LESSON.name}.html").read_text(encoding="utf-8")
    assert "similarity_scores · ✓ 1 of 1 point" in page
    assert f"Score: {points[1]} / {points[0]}" in " ".join(page.split())
    assert "Neill" not in page and "bob@x.org" not in page


def test_feedback_before_anything_is_graded(course):
    with pytest.raises(
        UnmaskedError, match="No notebook of 02_self_attention is graded yet: run `unmasked class grade 2`"
    ):
        make_feedback(course, LESSON)


def test_feedback_reaches_the_exchange(graded, tmp_path):
    graded.config.Exchange.root = str(tmp_path / "exchange")
    (tmp_path / "exchange" / "nlp" / "feedback").mkdir(parents=True)
    os.chmod(tmp_path / "exchange", 0o777)
    for step in ("autograded", "submitted"):
        folder = graded.folder(step, "ann", LESSON.name)
        folder.mkdir(parents=True)
        shutil.copy(the_repository() / "solutions" / NOTEBOOK, folder)
        (folder / "timestamp.txt").write_text("2026-11-22 10:00:00 UTC")
        (folder / "submission_secret.txt").write_text("secret")
    make_feedback(graded, LESSON)
    release_feedback(graded, LESSON)
    assert len(list((tmp_path / "exchange" / "nlp" / "feedback").glob("*.html"))) == 1
