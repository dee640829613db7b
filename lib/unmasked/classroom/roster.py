"""The roster: students from a CSV file into the gradebook."""

import csv
import io
import re

from unmasked.errors import UnmaskedError

COLUMNS = ("id", "first_name", "last_name", "email")
OPTIONAL = ("lms_user_id",)  # the number by which Canvas knows a student
LONGEST = 128  # characters, in nbgrader's gradebook


def import_roster(course, path):
    """Add the students of the CSV file at `path` to the gradebook, or update them; return their ids.

    Errors: UnmaskedError, naming the line, if anything in the file is wrong; then nobody is added.
    """
    students = read_roster(path)
    with course.gradebook() as gradebook:
        for student in students:
            details = {column: value for column, value in student.items() if column != "id"}
            gradebook.update_or_create_student(student["id"], **details)
    return [student["id"] for student in students]


def read_roster(path):
    """The students in the CSV file at `path`: a list of dictionaries, in which a missing value is None.

    A comma, a semicolon or a tab may part the values. Further columns are ignored.
    Errors: UnmaskedError, naming the line.
    """
    rows = _rows(path)
    header = [re.sub(r"\W+", "_", name.strip().lower()) for name in next(rows, (0, []))[1]]
    if missing := [column for column in COLUMNS if column not in header]:
        raise UnmaskedError(f"{path} has no column {missing[0]}: its first line must name {', '.join(COLUMNS)}.")
    students = {}
    for line, values in rows:
        try:
            student = _student(header, values)
            if student["id"] in students:
                raise ValueError(f"the id {student['id']} stands on line {students[student['id']][0]} too")
        except ValueError as error:
            raise UnmaskedError(f"{path}, line {line}: {error}. Nobody was added.") from None
        students[student["id"]] = line, student
    if not students:
        raise UnmaskedError(f"{path} names no students.")
    return [student for _, student in students.values()]


def _rows(path):
    """Yields the number and the values of every line that is not blank."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UnmaskedError(f"{path} is not in UTF-8: save it as `CSV UTF-8`.") from None
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        for values in reader:
            if any(value.strip() for value in values):
                yield reader.line_num, values
    except csv.Error as error:
        raise UnmaskedError(f"{path}, line {reader.line_num}: {error}. Nobody was added.") from None


def _student(header, values):
    """The student on one line. Raises ValueError with what is wrong."""
    if len(values) != len(header):
        raise ValueError(f"it has {len(values)} values, the first line {len(header)}")
    named = dict(zip(header, (value.strip() for value in values)))
    student = {column: named[column] or None for column in (*COLUMNS, *OPTIONAL) if column in named}
    if not student["id"]:
        raise ValueError("it has no id")
    if not re.fullmatch(r"\w[\w.@+-]*", student["id"]):  # it becomes the name of a folder
        raise ValueError(f"the id {student['id']} may only hold letters, digits and . _ - + @")
    if long := [column for column, value in student.items() if value and len(value) > LONGEST]:
        raise ValueError(f"{long[0]} is longer than {LONGEST} characters")
    return student
