"""Grade what a class handed in for a lesson: only what is new, and so that nothing is lost, whenever it is stopped."""

import contextlib
import datetime
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass

import nbformat
from tqdm import tqdm

from unmasked.classroom.gradebook import back_up, save_marks
from unmasked.classroom.grading import Job, Terms, grade_all
from unmasked.classroom.handed_in import shown
from unmasked.classroom.master import autograded, read_master
from unmasked.classroom.submission import rebuild
from unmasked.errors import UnmaskedError

SAVE_EVERY = 25  # submissions
# Remarks that tell of no more than a slip.
HARMLESS = {"extra", "missing", "recovered", "edited", "version", "deleted", "file", "encoding"}


@dataclass(frozen=True)
class Outcome:
    """What a run did: ids of students, and a sentence for each submission that a human should look at."""

    graded: tuple[str, ...]
    unchanged: tuple[str, ...]
    to_look_at: dict[str, list[str]]


@dataclass(frozen=True)
class _Panel:
    points: float
    html: str


def grade_class(course, lesson, terms, students=None, again=False, workers=1, scheduler=None):
    """Grade the submissions of a lesson, those of `students` or all, and return the Outcome.

    A submission is graded if it has no record, or has changed since, or if `again`. Its record is written last, so
    that a run that is killed does not leave one without marks.
    Errors: UnmaskedError if another run is at work, the gradebook can't be written, or there is no cage.
    """
    master = read_master(course.source_notebook(lesson.name), lesson)
    ids = _students(course, lesson, students)
    with _alone(course):
        submissions = {id: rebuild(course.folder("submitted", id, lesson.name), master) for id in ids}
        records = {id: _read(record_path(course, lesson, id)) for id in ids}
        todo = [id for id in ids if again or not _is_done(course, lesson, records[id], submissions[id])]
        if todo:
            back_up(course)
        jobs = [Job(id, submissions[id].answers) for id in todo]
        done = grade_all(jobs, terms, workers, scheduler)
        bar = tqdm(done, total=len(todo), unit="submission", desc=lesson.name)
        for some in _in_portions(_with_records(bar, submissions, master, terms)):
            _save(course, lesson, some)
            records |= {record["student"]: record for record, _ in some}
    look = {id: sentences for id in ids if (sentences := worth_a_look(records[id]))}
    return Outcome(tuple(todo), tuple(id for id in ids if id not in todo), look)


def terms_of(course, lesson, seed=None, walls=True):
    """The Terms on which a lesson is graded; without a seed, one that nobody knows beforehand."""
    master = read_master(course.source_notebook(lesson.name), lesson)
    return Terms(lesson.name, master.preamble, secrets.randbelow(2**31) if seed is None else seed, walls)


def record_path(course, lesson, student):
    """Where the record of a graded submission lies, from which the report is made."""
    return course.root / "grading" / lesson.name / f"{student}.json"


def record_of(student, exercises, submission, terms):
    """The record: what was decided about a submission, and all that is needed to decide it again."""
    return {
        "student": student,
        "lesson": terms.lesson_name,
        "digest": submission.digest,
        "seed": terms.seed,
        "graded_at": datetime.datetime.now().isoformat(timespec="seconds"),
        "exercises": exercises,
        "remarks": [asdict(remark) for remark in submission.remarks],
        "answers": submission.answers,
    }


def notebook_of(master, submission, exercises):
    """The graded notebook."""
    return autograded(master, submission, lambda name: _Panel(exercises[name]["points"], exercises[name]["html"]))


def write_record(path, record):
    """Write a record, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, json.dumps(record, indent=1))


def _write(path, text):
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")  # a student's text may be no Unicode
    os.replace(unfinished, path)


def worth_a_look(record):
    """Sentences about what a human should look at in a submission: tampering, limits, files that can't be read."""
    remarks = record.get("remarks", ())
    nothing = [each["text"] for each in remarks if each["kind"] == "missing" and not each["cell"]]
    sentences = nothing + [each["text"] for each in remarks if each["kind"] not in HARMLESS]
    for name, exercise in record.get("exercises", {}).items():
        if exercise["limit"]:
            sentences.append(f"{name} ran into a limit: {shown(exercise['diagnosis'], 200)}")
    return sentences


def _students(course, lesson, wanted):
    handed_in = course.students_with(lesson.name)
    if unknown := sorted(set(wanted or ()) - set(handed_in)):
        raise UnmaskedError(f"Nothing of {lesson.name} was collected from {', '.join(unknown)}.")
    return wanted or handed_in


def _is_done(course, lesson, record, submission):
    return record.get("digest") == submission.digest and _graded_notebook(course, lesson, record["student"]).exists()


def _graded_notebook(course, lesson, student):
    return course.folder("autograded", student, lesson.name) / f"{lesson.name}.ipynb"


def _with_records(done, submissions, master, terms):
    for student, exercises in done:
        submission = submissions[student]
        yield record_of(student, exercises, submission, terms), notebook_of(master, submission, exercises)


def _in_portions(items):
    """Lists of some items each, by number or by time, so that a run that is killed loses little."""
    portion, since = [], time.monotonic()
    for item in items:
        portion.append(item)
        if len(portion) == SAVE_EVERY or time.monotonic() - since > 10:
            yield portion
            portion, since = [], time.monotonic()
    if portion:
        yield portion


def _save(course, lesson, some):
    """Notebooks, then marks, then the records, which say that all is done."""
    for record, notebook in some:
        path = _graded_notebook(course, lesson, record["student"])
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, nbformat.writes(notebook))
    with course.gradebook() as gradebook:
        graded = [(r["student"], notebook, _handed_in_at(course, lesson, r["student"])) for r, notebook in some]
        save_marks(gradebook, lesson, graded)
    for record, _ in some:
        write_record(record_path(course, lesson, record["student"]), record)


def _handed_in_at(course, lesson, student):
    """When a submission was handed in; None where its timestamp.txt, which the student may have written, is none."""
    folder = course.folder("submitted", student, lesson.name)
    path = folder / "timestamp.txt"
    if folder.is_symlink() or path.is_symlink() or not path.is_file() or path.stat().st_size > 100:
        return None
    try:
        return course.directory.get_existing_timestamp(str(folder))
    except (Exception, SystemExit):  # nbgrader gives up, dateutil raises of several classes
        return None


def _read(path):
    """A record, or nothing where there is none that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


@contextlib.contextmanager
def _alone(course):
    """Errors: UnmaskedError if another run grades this class."""
    import fcntl

    (course.root / "grading").mkdir(exist_ok=True)
    with open(course.root / "grading" / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UnmaskedError("Another run grades this class: wait until it is done.") from None
        yield
