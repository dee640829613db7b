"""Marks as files: for a spreadsheet, and for the imports of Canvas and Moodle.

Each is an nbgrader exporter, so `nbgrader export --exporter=unmasked.classroom.export.Canvas --to=FILE` makes it too.
"""

import csv

from nbgrader.plugins import ExportPlugin


class Marks(ExportPlugin):
    """A mark a row, with the columns of nbgrader's own exporter, which breaks at a comma in a name."""

    COLUMNS = (
        "assignment duedate timestamp student_id last_name first_name email raw_score late_submission_penalty score "
        "max_score"
    ).split()

    def export(self, gradebook):
        """Write the rows to the file `to`."""
        with open(self.to or "grades.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(self.rows(self.lessons(gradebook), self.students(gradebook)))

    def lessons(self, gradebook):
        """Those that are asked for by name, or all."""
        return [each for each in gradebook.assignments if not self.assignment or each.name in self.assignment]

    def students(self, gradebook):
        """Those that are asked for by id, or all."""
        return [each for each in gradebook.students if not self.student or each.id in map(str, self.student)]

    def rows(self, lessons, students):
        """Yields the header, and a list for each lesson and student; who has nothing graded has 0."""
        yield self.COLUMNS
        for lesson in lessons:
            graded = {submission.student_id: submission for submission in lesson.submissions}
            for student in students:
                who = [student.id, student.last_name, student.first_name, student.email]
                yield [lesson.name, lesson.duedate, *_marked(who, graded.get(student.id)), lesson.max_score]


class Canvas(Marks):
    """Canvas's gradebook import: it finds students by its own number, else by their login, else by name."""

    def rows(self, lessons, students):
        """Yields the header, the possible points, and a list for each student."""
        yield ["Student", "ID", "SIS Login ID", "Section", *(each.name for each in lessons)]
        yield ["    Points Possible", "", "", "", *(each.max_score for each in lessons)]
        for student in students:
            name = ", ".join(part for part in (student.last_name, student.first_name) if part)
            yield [name, student.lms_user_id, student.id, "", *marks_of(student, lessons)]


class Moodle(Marks):
    """Moodle's gradebook import (Grades, Import, CSV file): map `ID number` or `Email address` to the user."""

    def rows(self, lessons, students):
        """Yields the header, and a list for each student."""
        yield ["ID number", "Email address", "First name", "Last name", *(each.name for each in lessons)]
        for student in students:
            yield [student.id, student.email, student.first_name, student.last_name, *marks_of(student, lessons)]


EXPORTERS = {"csv": Marks, "canvas": Canvas, "moodle": Moodle}


def export(course, format, path):
    """Write the marks of all lessons to `path`, in a format of EXPORTERS.

    Returns the (student, lesson) pairs of notebooks that still have answers to mark by hand.
    """
    with course.gradebook() as gradebook:
        EXPORTERS[format](to=str(path)).export(gradebook)
        return [
            (submission.student_id, assignment.name)
            for assignment in gradebook.assignments
            for submission in assignment.submissions
            if submission.needs_manual_grade
        ]


def mark(submission):
    """The points of a submission, less what it loses for being late."""
    return max(0.0, submission.score - submission.late_submission_penalty)


def marks_of(student, lessons):
    """A mark for each lesson, None where nothing is graded: what that is worth is set in the platform."""
    marks = {each.assignment_id: mark(each) for each in student.submissions}
    return [marks.get(each.id) for each in lessons]


def _marked(who, submission):
    """The columns of a row from the timestamp to the score."""
    if submission is None:
        return ["", *who, 0.0, 0.0, 0.0]
    return [submission.timestamp, *who, submission.score, submission.late_submission_penalty, mark(submission)]
