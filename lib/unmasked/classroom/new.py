"""Make a class directory."""

import re
from pathlib import Path

from unmasked.classroom.course import CONFIG, Course, open_gradebook, the_repository
from unmasked.errors import UnmaskedError

# What nbgrader's Autograde does by itself, but for the first: that would be Execute, which runs submissions unconfined.
AUTOGRADE = (
    "unmasked.classroom.preprocessor.CagedExecute",
    "nbgrader.preprocessors.IgnorePattern",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
)

CONFIGURATION = """\
# The configuration of this class. `unmasked class ...`, `nbgrader ...` and the formgrader read it when they are started
# in this folder: start `jupyter lab` here too.
from pathlib import Path

c = get_config()

c.CourseDirectory.root = str(Path(__file__).parent)  # this folder, wherever it is moved to
c.CourseDirectory.course_id = {course_id!r}
{database}

# Where students on the same machine fetch lessons and hand them in, if yours do.
# c.Exchange.root = "/usr/local/share/nbgrader/exchange"

# Whoever starts the grading, submissions run in a cage.
c.Autograde.autograde_preprocessors = [
{autograde}
]

# `nbgrader zip_collect` knows the file names of Moodle's and Canvas's downloads, and finds the student in the roster.
c.ZipCollectApp.extractor_plugin = "unmasked.classroom.downloads.BoundedExtractor"
c.ZipCollectApp.collector_plugin = "unmasked.classroom.downloads.RosterCollector"
"""
SQLITE = "# The gradebook is gradebook.db in this folder. Else: c.CourseDirectory.db_url = 'postgresql://...'"


def new(path, course_id=None, db_url=None):
    """Make the class directory `path` with its configuration and an empty gradebook, and return its Course.

    `course_id` is the folder's name if not given. Without `db_url` the gradebook is an SQLite file in the directory.
    Errors: UnmaskedError if the place or the name won't do, or the database can't be reached; nothing is left then.
    """
    root = Path(path).absolute()
    course_id = course_id or root.name
    _require_place(root)
    if not re.fullmatch(r"\w[\w.-]*", course_id):
        raise UnmaskedError(f"{course_id!r} can't name a class: use letters, digits, dots and hyphens with --name.")
    if db_url:
        open_gradebook(db_url, course_id).close()
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)  # what lies in it is nobody else's business
    (root / "source").mkdir()
    (root / CONFIG).write_text(_configuration(course_id, db_url), encoding="utf-8")
    course = Course(root)
    course.gradebook().close()
    return course


def _require_place(root):
    if root.resolve().is_relative_to(the_repository()):
        raise UnmaskedError(f"{root} is inside of the repository, which is no place for private data: choose another.")
    if root.is_file() or root.is_dir() and any(root.iterdir()):
        raise UnmaskedError(f"{root} is not empty: choose a new folder.")


def _configuration(course_id, db_url):
    database = f"c.CourseDirectory.db_url = {db_url!r}" if db_url else SQLITE
    autograde = "\n".join(f'    "{name}",' for name in AUTOGRADE)
    return CONFIGURATION.format(course_id=course_id, database=database, autograde=autograde)
