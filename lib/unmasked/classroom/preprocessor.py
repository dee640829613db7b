"""The step of nbgrader's autograding that runs a submission, replaced: here too it runs in the cage.

A class directory's nbgrader_config.py puts it in the place of `nbgrader.preprocessors.Execute`, so that
`nbgrader autograde` and the formgrader's button grade as `unmasked class grade` does, one submission at a time.
"""

from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool

from unmasked.classroom.course import Course
from unmasked.classroom.grading import Job, grade_all
from unmasked.classroom.master import read_master
from unmasked.classroom.run import notebook_of, record_of, record_path, terms_of, write_record
from unmasked.classroom.submission import rebuild
from unmasked.lessons import find_lesson


class CagedExecute(NbGraderPreprocessor):
    """Judges what was handed in, and puts the verdicts into the notebook, from which nbgrader takes the points."""

    walls = Bool(True, help="False: run submissions unconfined, with your rights.").tag(config=True)

    def preprocess(self, notebook, resources):
        course = Course.find(resources["metadata"]["path"])
        lesson, student = find_lesson(resources["nbgrader"]["assignment"]), resources["nbgrader"]["student"]
        master = read_master(course.source_notebook(lesson.name), lesson)
        submission = rebuild(course.folder("submitted", student, lesson.name), master)
        terms = terms_of(course, lesson, walls=self.walls)
        ((_, exercises),) = grade_all([Job(student, submission.answers)], terms)
        write_record(record_path(course, lesson, student), record_of(student, exercises, submission, terms))
        return notebook_of(master, submission, exercises), resources
