"""A class directory: where everything of a class lies, as nbgrader's configuration in it says."""

import os
import re
import sys
from pathlib import Path

from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.apps.baseapp import NbGrader
from sqlalchemy.exc import SQLAlchemyError

import unmasked
from unmasked.errors import UnmaskedError
from unmasked.lessons import LESSONS

CONFIG = "nbgrader_config.py"


class Course:
    """A class directory that exists. Its folders, gradebook and exchange are those that nbgrader itself finds there.

    root        the directory, absolute
    config      nbgrader's configuration, a traitlets Config: that of the directory, and below it the user's own
    directory   nbgrader's CourseDirectory
    course_id, db_url   as configured

    Errors: UnmaskedError if the configuration can't be read.
    """

    def __init__(self, root):
        put_programs_on_path()
        application = _application(root)
        self.config, self.directory = application.config, application.coursedir
        self.root = Path(self.directory.root)
        self.course_id, self.db_url = self.directory.course_id, self.directory.db_url

    @classmethod
    def find(cls, path=None):
        """The course that `path`, or else the current folder, is or lies in. Errors: UnmaskedError if there is none."""
        start = Path(os.path.abspath(path or "."))
        for folder in (start, *start.parents):
            if (folder / CONFIG).is_file():
                return cls(folder)
        raise UnmaskedError(
            f"{start} is in no class directory: go to one, name it with --course, "
            "or make one with `unmasked class new PATH`."
        )

    def folder(self, step, student, lesson_name):
        """Where a lesson lies at a step: source, release, submitted, autograded or feedback.

        `student` is an id, or "." at the first two steps, which have no students.
        """
        name = getattr(self.directory, f"{step}_directory")
        return Path(self.directory.format_path(name, student, lesson_name))

    def source_notebook(self, lesson_name):
        """The solution notebook, from which nbgrader makes the release."""
        return self.folder("source", ".", lesson_name) / f"{lesson_name}.ipynb"

    def release_notebook(self, lesson_name):
        """The students' notebook."""
        return self.folder("release", ".", lesson_name) / f"{lesson_name}.ipynb"

    def submitted_notebook(self, student, lesson_name):
        """Where a student's notebook lies once it is collected."""
        return self.folder("submitted", student, lesson_name) / f"{lesson_name}.ipynb"

    def students_with(self, lesson_name, step="submitted"):
        """The ids of the students who have a folder for a lesson at a step, in order."""
        everybody = self.folder(step, "*", lesson_name).relative_to(self.root)
        position = everybody.parts.index("*")
        found = (path for path in self.root.glob(str(everybody)) if path.is_dir())
        return sorted(path.relative_to(self.root).parts[position] for path in found)

    @property
    def released(self):
        """The lessons that have been released, in order."""
        return [lesson for lesson in LESSONS if self.release_notebook(lesson.name).is_file()]

    def require_released(self, lesson):
        """Errors: UnmaskedError if the lesson has not been released."""
        if lesson not in self.released:
            raise UnmaskedError(f"{lesson.name} is not released: run `unmasked class release {lesson.number}` first.")

    def gradebook(self):
        """nbgrader's gradebook, to be used with `with`. Errors: UnmaskedError if its database can't be used."""
        return open_gradebook(self.db_url, self.course_id)

    def api(self):
        """nbgrader's own programming interface, which its commands and the formgrader use."""
        return NbGraderAPI(self.directory, config=self.config)


def the_repository():
    """The folder of the repository that this program was installed from."""
    return Path(unmasked.__file__).resolve().parents[2]


def open_gradebook(db_url, course_id):
    """nbgrader's gradebook at a URL, made if the database is empty. Errors: UnmaskedError if it can't be used."""
    put_programs_on_path()
    try:
        return Gradebook(db_url, course_id)
    except ModuleNotFoundError as error:
        raise UnmaskedError(
            f"This database needs the package {error.name}; for PostgreSQL, run `pip install 'psycopg[binary]'`."
        ) from None
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        raise UnmaskedError(f"The database can't be used: {reason}.") from None


def require_success(outcome, attempted):
    """Errors: UnmaskedError if nbgrader could not do what was attempted, as the outcome that it returned says."""
    if outcome["success"]:
        return
    said = outcome.get("log", "") + outcome["error"]
    # The first exception in the tracebacks is the cause; without one, what nbgrader logged before it exited.
    patterns = (r"^\s*[\w.]*(?:Error|Exception|Entry): (.+)", r"^\[(?:ERROR|CRITICAL)\] (.+)", r"(\S.*)\s*\Z")
    reasons = (re.search(pattern, said, flags=re.MULTILINE) for pattern in patterns)
    raise UnmaskedError(f"nbgrader can't {attempted}: {next(filter(None, reasons))[1]}")


def _application(root):
    """An nbgrader command that has read its configuration, as if it were started in `root`."""
    application = NbGrader(raise_config_file_errors=True, log_level="ERROR")
    application.load_cwd_config = False
    try:
        application.initialize([], root=str(root))
    except (Exception, SystemExit) as error:  # a configuration is a program: it may raise anything
        raise UnmaskedError(f"{root}/{CONFIG} can't be read: {type(error).__name__}: {error}.") from None
    return application


def put_programs_on_path():
    """nbgrader starts `alembic` by name, which an environment that isn't activated doesn't have on its path."""
    programs, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if programs not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([programs, path])
