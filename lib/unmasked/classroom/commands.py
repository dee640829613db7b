"""`unmasked class ...`: a class, from its making to its marks. docs: "For teachers" in the README.

What takes seconds to import is imported by the command that needs it.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unmasked.lessons import find_lesson

app = typer.Typer(help="Run a class, in a directory of its own.", no_args_is_help=True)

LessonName = Annotated[str, typer.Argument(metavar="LESSON", help="02, 2 or 02_self_attention")]
CoursePath = Annotated[
    Path | None, typer.Option("--course", metavar="PATH", help="The class directory, if not the current folder.")
]


class Format(StrEnum):
    """What `export` can write."""

    csv = "csv"
    canvas = "canvas"
    moodle = "moodle"


@app.command()
def new(
    path: Annotated[Path, typer.Argument(help="A folder that is empty or not there yet, outside of the repository.")],
    name: Annotated[str | None, typer.Option(help="nbgrader's course id; the folder's name if left out.")] = None,
    db: Annotated[str | None, typer.Option(metavar="URL", help="postgresql://...; an SQLite file if left out.")] = None,
):
    """Make a class directory, with nbgrader's configuration and an empty gradebook."""
    from unmasked.classroom.new import new

    course = new(path, name, db)
    typer.echo(f"{course.root} is the directory of the class {course.course_id}. Go there; `roster` is the next step.")


@app.command()
def roster(file: Annotated[Path, typer.Argument(metavar="FILE.csv")], course: CoursePath = None):
    """Add students from a CSV file with the columns id, first_name, last_name and email, or update them."""
    from unmasked.classroom.course import Course
    from unmasked.classroom.roster import import_roster

    typer.echo(f"{_count(import_roster(Course.find(course), file), 'student')} in the gradebook.")


@app.command()
def release(
    lesson: LessonName,
    course: CoursePath = None,
    exchange: Annotated[bool, typer.Option("--exchange", help="Also into nbgrader's exchange.")] = False,
):
    """Make the students' notebook of a lesson, and a zip file with all that they need."""
    from unmasked.classroom import release
    from unmasked.classroom.course import Course

    lesson, course = find_lesson(lesson), Course.find(course)
    typer.echo(f"For students: {release.release(course, lesson)}")
    if release.is_changed(course, lesson):
        source = course.source_notebook(lesson.name)
        typer.echo(
            f"{source} is not the repository's; it was released as it is. Delete it to release the repository's."
        )
    if exchange:
        release.release_to_exchange(course, lesson)
        typer.echo("Students can fetch it from the exchange.")


@app.command()
def collect(
    lesson: LessonName,
    download: Annotated[
        Path | None, typer.Argument(metavar="[ZIP_OR_FOLDER]", help="What Moodle or Canvas let you download.")
    ] = None,
    course: CoursePath = None,
    exchange: Annotated[bool, typer.Option("--exchange", help="From nbgrader's exchange instead.")] = False,
    pattern: Annotated[
        str | None,
        typer.Option(help="For other file names: a regular expression with groups student_id and file_id."),
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Replace what was collected before.")] = False,
):
    """Put what students handed in where nbgrader expects it. Whatever can't be attributed is listed."""
    from unmasked.classroom.collect import collect, collect_from_exchange
    from unmasked.classroom.course import Course

    if exchange == (download is not None):
        raise typer.BadParameter("name a zip file or a folder, or say --exchange")
    lesson, course = find_lesson(lesson), Course.find(course)
    if exchange:
        collect_from_exchange(course, lesson)
        typer.echo(f"{_count(course.students_with(lesson.name), 'student')} handed in.")
        return
    collected = collect(course, lesson, download, pattern, update)
    for path, what in sorted((collected.mended | collected.aside).items()):
        typer.echo(f"{path.relative_to(course.root)} {what}.")
    typer.echo(
        f"{_count(collected.students, 'notebook')} collected, {len(collected.unchanged)} were collected before, "
        f"{_count(collected.aside, 'file')} not collected."
    )


@app.command()
def grade(
    lesson: LessonName,
    course: CoursePath = None,
    student: Annotated[list[str] | None, typer.Option(help="Only this one; may be given more than once.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many submissions to judge at the same time.")] = 1,
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="A Dask cluster to judge on.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the checks' random inputs, to repeat an earlier run.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Those too that have not changed since.")] = False,
    without_cage: Annotated[
        bool, typer.Option("--without-cage", help="Run submissions with your rights, where there is no cage.")
    ] = False,
):
    """Grade what was collected and is new. Submissions run in a cage; stopped at any moment, it goes on from there.

    Exit status: 0 if all is graded, 3 if a human should look at some of it, 1 if something went wrong.
    """
    from unmasked.classroom.course import Course
    from unmasked.classroom.run import grade_class, terms_of

    lesson, course = find_lesson(lesson), Course.find(course)
    terms = terms_of(course, lesson, seed, walls=not without_cage)
    outcome = grade_class(course, lesson, terms, student, again, workers, scheduler)
    for name, sentences in outcome.to_look_at.items():
        typer.echo(f"Look at {name}: {' '.join(sentences)}")
    typer.echo(
        f"{_count(outcome.graded, 'submission')} graded, {len(outcome.unchanged)} were graded before, "
        f"{len(outcome.to_look_at)} to look at."
    )
    if outcome.to_look_at:
        raise typer.Exit(3)


@app.command()
def feedback(
    lesson: LessonName,
    course: CoursePath = None,
    exchange: Annotated[bool, typer.Option("--exchange", help="Also into nbgrader's exchange.")] = False,
):
    """Make a page of feedback for every student whose notebook is graded."""
    from unmasked.classroom.course import Course
    from unmasked.classroom.feedback import make_feedback, release_feedback

    lesson, course = find_lesson(lesson), Course.find(course)
    typer.echo(f"{_count(make_feedback(course, lesson), 'page')} of feedback in {course.root / 'feedback'}.")
    if exchange:
        release_feedback(course, lesson)
        typer.echo("Students can fetch it from the exchange.")


@app.command()
def report(
    lesson: LessonName,
    course: CoursePath = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to; report/LESSON if left out.")] = None,
):
    """Show what the class understood and what it did not: a page, and tables for a spreadsheet."""
    from unmasked.classroom.course import Course
    from unmasked.classroom.report import report_on

    page = report_on(Course.find(course), find_lesson(lesson), out)
    typer.echo(f"Open {page} in a browser; the tables lie beside it.")


@app.command()
def export(
    format: Annotated[Format, typer.Option(help="For a spreadsheet, or for the import of Canvas or Moodle.")] = "csv",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to; grades-FORMAT.csv if left out.")] = None,
    course: CoursePath = None,
):
    """Write the marks of all lessons to a file."""
    from unmasked.classroom.course import Course
    from unmasked.classroom.export import export

    course = Course.find(course)
    out = out or course.root / f"grades-{format}.csv"
    unmarked = export(course, format, out)
    typer.echo(f"Marks written to {out}.")
    if unmarked:
        typer.echo(f"{_count(unmarked, 'notebook')} with answers that are not marked by hand yet: they count 0.")


def _count(things, noun):
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
