"""What a class understood and what it did not: a page and tables of numbers, from the records that grading leaves.

    report(course / "grading" / "02_self_attention", folder)     writes report.html and six CSV files

Whatever a student wrote is shown as text and nothing else, in the page and in the tables.
"""

import csv
import json
import math
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from unmasked.classroom import page
from unmasked.classroom.master import read_master
from unmasked.classroom.similarity import ALIKE, compare
from unmasked.errors import UnmaskedError
from unmasked.saved import clean

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run a cell that starts so
LONGEST_CODE = 20_000  # characters of an answer, in the page and the tables
MOST_NAMED = 20
LIMITS = {
    "time": "It ran out of time.",
    "memory": "It ran out of memory.",
    "exit": "It ended its own process.",
    "died": "Its process died.",
}


@dataclass(frozen=True)
class Outcome:
    """How one exercise of one student went."""

    points: float
    max_points: float
    attempted: bool
    diagnosis: str
    known_mistake: bool
    limit: str  # "time", "memory", "exit", "died", or nothing

    @property
    def passed(self):
        return self.points >= self.max_points

    @property
    def state(self):
        """One of page.STATES."""
        if not self.attempted:
            return "not attempted"
        return "all points" if self.passed else "some points" if self.points > 0 else "no points"


@dataclass(frozen=True)
class Record:
    """What grading wrote down about a submission."""

    student: str
    exercises: dict[str, Outcome]
    remarks: list[dict]  # kind, cell, text
    answers: dict[str, str]
    graded_at: str

    @property
    def points(self):
        return sum(outcome.points for outcome in self.exercises.values())


@dataclass(frozen=True)
class Class:
    """All records of a lesson. `problems` are sentences about what could not be read."""

    lesson: str
    records: list[Record]
    names: dict[str, str]  # student -> how a person calls them
    problems: list[str] = field(default_factory=list)

    @property
    def exercises(self):
        """The most points of each exercise, in order."""
        return {name: outcome.max_points for record in self.records for name, outcome in record.exercises.items()}

    @property
    def missing(self):
        """Students of the roster of whom there is no record."""
        return sorted(self.names.keys() - {record.student for record in self.records})

    def outcomes(self):
        """Every student's every exercise: (student, exercise, outcome)."""
        for record in self.records:
            for exercise, outcome in record.exercises.items():
                yield record.student, exercise, outcome


def report_on(course, lesson, folder=None):
    """Writes the report of a lesson in a Course, into `folder` or report/LESSON there; returns the path of the page.

    Raises UnmaskedError if nothing is graded yet.
    """
    with course.gradebook() as gradebook:
        students = gradebook.students
        names = {each.id: f"{each.first_name or ''} {each.last_name or ''}".strip() for each in students}
    stubs = read_master(course.source_notebook(lesson.name), lesson).answers
    folder = folder or course.root / "report" / lesson.name
    return report(course.root / "grading" / lesson.name, folder, names, stubs)


def report(records, folder, names=None, stubs=None):
    """Writes report.html and CSV files into `folder`, from the JSON files in the folder `records`; returns the page.

    `names` maps the students of the roster to how a person calls them; `stubs` maps exercises to what was released,
    which counts for nobody when submissions are compared. Raises UnmaskedError if there is nothing to report on.
    """
    group = read(Path(records), names or {})
    if not group.records:
        raise UnmaskedError(" ".join([f"Nothing of {group.lesson} is graded yet.", *group.problems[:3]]))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    alike = compare({record.student: record.answers for record in group.records}, stubs or {})
    for name, rows in tables(group, alike).items():
        _write_csv(folder / f"{name}.csv", rows)
    path = folder / "report.html"
    path.write_text(page.render(**contents(group, alike)), encoding="utf-8")
    return path


def read(folder, names):
    """The Class whose records are the JSON files in `folder`. A broken one becomes a sentence."""
    records, problems = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            records.append(_record(json.loads(path.read_bytes())))
        except OSError as error:
            problems.append(f"{path.name} can't be opened ({error.strerror}).")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            problems.append(f"{path.name} is broken: grade this submission again.")
    group = Class(folder.name, records, {_text(id): _text(name) for id, name in names.items()}, problems)
    if names and group.missing:
        problems.append(_not_graded(group.missing))
    return group


def _not_graded(students):
    more = f" and {len(students) - MOST_NAMED} more" if len(students) > MOST_NAMED else ""
    return f"Not handed in, or not graded yet: {', '.join(students[:MOST_NAMED])}{more}."


def _record(raw):
    """Raises ValueError, KeyError, TypeError or AttributeError if it is no record."""
    return Record(
        student=_text(raw["student"]),
        exercises={_text(name): _outcome(outcome) for name, outcome in raw["exercises"].items()},
        remarks=[{key: _text(remark.get(key)) for key in ("kind", "cell", "text")} for remark in raw["remarks"]],
        answers={_text(name): _text(source)[:LONGEST_CODE] for name, source in raw["answers"].items()},
        graded_at=_text(raw.get("graded_at")),
    )


def _outcome(raw):
    points, most = float(raw["points"]), float(raw["max_points"])
    if not (math.isfinite(points) and math.isfinite(most)):
        raise ValueError("points must be numbers")
    return Outcome(
        points=points,
        max_points=most,
        attempted=bool(raw["attempted"]),
        diagnosis=_text(raw.get("diagnosis")),
        known_mistake=bool(raw.get("known_mistake")),
        limit=_text(raw.get("limit")),
    )


def _text(value):
    """What can be written to a file: JSON may hold characters that no encoding has."""
    return clean("" if value is None else str(value))


def mistakes(group):
    """Who made which named mistake: [(exercise, sentence, students)], by exercise, the most frequent first."""
    made = defaultdict(list)
    for student, exercise, outcome in group.outcomes():
        if outcome.known_mistake and not outcome.passed:
            made[exercise, outcome.diagnosis].append(student)
    order = list(group.exercises)
    rows = [(exercise, sentence, students) for (exercise, sentence), students in made.items()]
    return sorted(rows, key=lambda row: (order.index(row[0]), -len(row[2]), row[1]))


def unexplained(group):
    """Attempts that failed and that no known mistake explains: (student, exercise, outcome, code)."""
    code = {record.student: record.answers for record in group.records}
    order = list(group.exercises)
    for student, exercise, outcome in sorted(group.outcomes(), key=lambda row: order.index(row[1])):
        if outcome.attempted and not (outcome.passed or outcome.known_mistake or outcome.limit):
            yield student, exercise, outcome, code[student].get(exercise, "")


def limits(group):
    """Attempts that were stopped: (student, exercise, sentence)."""
    for student, exercise, outcome in group.outcomes():
        if outcome.limit:
            yield student, exercise, LIMITS.get(outcome.limit, f"It was stopped: {outcome.limit}.")


def remarks(group):
    """(student, kind, cell, sentence), what matters most first."""
    kinds = list(page.KINDS)
    said = [(record.student, each) for record in group.records for each in record.remarks]
    rows = [(student, each["kind"], each["cell"], each["text"]) for student, each in said]
    return sorted(rows, key=lambda row: (kinds.index(row[1]) if row[1] in kinds else -1, row[0]))


def states(group):
    """For each exercise how many students are in each of page.STATES."""
    counts = {name: Counter() for name in group.exercises}
    for _, exercise, outcome in group.outcomes():
        counts[exercise][outcome.state] += 1
    return {name: [count[state] for state in page.STATES] for name, count in counts.items()}


def tables(group, alike):
    """The CSV files: name -> rows, of which the first is the heading."""
    exercises = group.exercises
    return {
        "points": [("student", "name", *exercises, "total"), *(_points_row(group, record) for record in group.records)],
        "mistakes": [
            ("exercise", "mistake", "count", "students"),
            *((exercise, sentence, len(who), " ".join(who)) for exercise, sentence, who in mistakes(group)),
        ],
        "unexplained": [
            ("student", "exercise", "points", "what the check said", "code"),
            *((student, name, each.points, each.diagnosis, code) for student, name, each, code in unexplained(group)),
        ],
        "remarks": [("student", "kind", "cell", "remark"), *remarks(group)],
        "limits": [("student", "exercise", "limit"), *limits(group)],
        "alike": [
            ("student", "other student", "share"),
            *((pair.first, pair.second, round(pair.share, 3)) for pair in alike.pairs),
        ],
    }


def _points_row(group, record):
    cells = [record.exercises[name].points if name in record.exercises else "" for name in group.exercises]
    return (record.student, group.names.get(record.student, ""), *cells, record.points)


def _write_csv(path, rows):
    # With a mark at the beginning, without which Excel takes UTF-8 for something else.
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([[_cell(value) for value in row] for row in rows])


def _cell(value):
    """A value that a spreadsheet shows and doesn't run."""
    if isinstance(value, (int, float)):
        return f"{value:g}"
    return f"'{value}" if value.lstrip().startswith(FORMULA_STARTS) or value.startswith(FORMULA_STARTS) else value


def contents(group, alike):
    """What the page shows, by the names that its template uses."""
    totals = [record.points for record in group.records]
    made = mistakes(group)
    most = sum(group.exercises.values())
    return {
        "group": group,
        "most": most,
        "totals": totals,
        "mean": statistics.mean(totals),
        "median": statistics.median(totals),
        "begun": sum(any(each.attempted for each in record.exercises.values()) for record in group.records),
        "states": states(group),
        "means": {name: _mean(group, name) for name in group.exercises},
        "mistakes": made,
        "most_made": max((len(students) for _, _, students in made), default=1),
        "unexplained": list(unexplained(group)),
        "limits": list(limits(group)),
        "remarks": remarks(group),
        "alike": alike,
        "threshold": ALIKE,
        "graded_at": max(record.graded_at for record in group.records).replace("T", " ")[:16],
    }


def _mean(group, exercise):
    return statistics.mean(outcome.points for _, name, outcome in group.outcomes() if name == exercise)
