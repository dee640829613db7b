"""Marks go into nbgrader's gradebook: many in one transaction, by nbgrader's own rules."""

import datetime
import shutil
import sqlite3
import subprocess

from nbgrader.api import Comment, Grade, Student, SubmittedAssignment, SubmittedNotebook
from nbgrader.utils import compute_checksum, determine_grade, is_grade, is_solution
from sqlalchemy.engine import make_url

from unmasked.errors import UnmaskedError

BACKUPS_KEPT = 20


def save_marks(gradebook, lesson, graded):
    """Write the marks of some submissions, all or none.  graded: (student, notebook, time of submission or None)

    Marks and comments given by hand stay; where one was given and points are new, nbgrader asks to look again.
    Errors: UnmaskedError if the gradebook can't be written.
    """
    assignment = gradebook.find_assignment(lesson.name)
    try:
        for student, notebook, submitted in graded:
            submission = _submission(gradebook.db, assignment, student)
            submission.timestamp = submitted or submission.timestamp
            _save(submission, notebook)
        gradebook.db.commit()
    except Exception as error:
        gradebook.db.rollback()
        raise UnmaskedError(f"The gradebook can't be written ({error}). Nothing of it was changed.") from error


def back_up(course):
    """Copy the gradebook to backups/, where the last 20 are kept; returns the copy's path.

    Errors: UnmaskedError if it can't be copied.
    """
    url, folder = make_url(course.db_url), course.root / "backups"
    folder.mkdir(exist_ok=True)
    path = folder / f"gradebook-{datetime.datetime.now():%Y%m%d-%H%M%S-%f}"
    if url.get_backend_name() == "sqlite":
        path = path.with_suffix(".db")
        with sqlite3.connect(url.database) as source, sqlite3.connect(path) as copy:
            source.backup(copy)
    else:
        path = path.with_suffix(".sql")
        _dump(url, path)
    for old in sorted(folder.glob(f"gradebook-*{path.suffix}"))[:-BACKUPS_KEPT]:
        old.unlink()
    return path


def _dump(url, path):
    """What PostgreSQL's own program makes of a database."""
    if not (program := shutil.which("pg_dump")):
        raise UnmaskedError(
            "PostgreSQL's pg_dump is needed to back up the gradebook first: install it, or --no-backup."
        )
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    done = subprocess.run([program, "--file", path, plain], capture_output=True, text=True)
    if done.returncode:
        raise UnmaskedError(f"pg_dump can't back up the gradebook: {done.stderr.strip()}")


def _submission(db, assignment, student_id):
    """The submission in the gradebook, made if it isn't there, with a row for everything that can be marked."""
    student = db.get(Student, student_id) or Student(id=student_id)
    db.add(student)
    known = db.query(SubmittedAssignment).filter_by(assignment_id=assignment.id, student_id=student_id).one_or_none()
    if known:
        return known
    with db.no_autoflush:
        submission = SubmittedAssignment(assignment=assignment, student=student)
        db.add(submission)
        for notebook in assignment.notebooks:
            submitted = SubmittedNotebook(notebook=notebook, assignment=submission)
            submitted.grades = [Grade(cell_id=cell.id) for cell in notebook.grade_cells]
            submitted.comments = [Comment(cell_id=cell.id) for cell in notebook.solution_cells]
            db.add(submitted)
    db.flush()  # gives the rows their cells, by which they are found
    return submission


def _save(submission, notebook):
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    for submitted in submission.notebooks:
        for grade in submitted.grades:
            if (cell := cells.get(grade.cell.name)) is not None and is_grade(cell):
                grade.auto_score, _ = determine_grade(cell)
                grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None
        for comment in submitted.comments:
            if (cell := cells.get(comment.cell.name)) is not None and is_solution(cell):
                unchanged = cell.metadata.nbgrader.get("checksum") == compute_checksum(cell)
                comment.auto_comment = "No response." if unchanged else None
