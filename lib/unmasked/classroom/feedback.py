"""Feedback: a page for each student, which nbgrader makes of the graded notebook and the verdicts in it."""

from unmasked.classroom.course import require_success
from unmasked.errors import UnmaskedError


def make_feedback(course, lesson):
    """Make the feedback pages of a lesson; return the ids of the students who have one.

    Errors: UnmaskedError if nobody's notebook is graded, or nbgrader can't make them.
    """
    if not course.students_with(lesson.name, "autograded"):
        raise UnmaskedError(
            f"No notebook of {lesson.name} is graded yet: run `unmasked class grade {lesson.number}` first."
        )
    require_success(course.api().generate_feedback(lesson.name), f"make feedback for {lesson.name}")
    return course.students_with(lesson.name, "feedback")


def release_feedback(course, lesson):
    """Let students on the same machine fetch their feedback.  Errors: UnmaskedError."""
    require_success(course.api().release_feedback(lesson.name), f"release the feedback for {lesson.name}")
