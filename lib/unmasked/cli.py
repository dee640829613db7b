"""The command line: `unmasked doctor`, `lab`, `progress`, `reset`, `update`, `publish`, `pretrain`, `exercises`, ...

What takes seconds to import is imported by the command that needs it, so that `unmasked --help` is quick.
"""

import importlib.util
import json
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from unmasked.errors import UnmaskedError
from unmasked.lessons import LESSONS, find_lesson

app = typer.Typer(
    help="Unmasked: build a masked language model with your own hands.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
if importlib.util.find_spec("unmasked.classroom"):  # what a class is handed out comes without
    from unmasked.classroom.commands import app as classroom

    app.add_typer(classroom, name="class")


def main():
    """Runs a command. What a person can put right is told in one sentence, without a traceback."""
    try:
        app()
    except UnmaskedError as error:
        sys.exit(f"unmasked: {error}")
    except OSError as error:  # a full disk, a file that can't be read or written
        sys.exit(f"unmasked: {error.strerror}{f': {error.filename}' if error.filename else ''}.")


@app.command()
def doctor():
    """Tell what works on this computer and what doesn't; paste it into a bug report."""
    from unmasked.doctor import examine

    findings = examine()
    if importlib.util.find_spec("unmasked.classroom"):
        from unmasked.classroom import doctor as cage

        findings = [*findings, *cage.examine()]
    for finding in findings:
        typer.echo(finding)
    if not all(finding.ok for finding in findings if finding.needed):
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(context: typer.Context):
    """Open JupyterLab at the first lesson. Its own arguments may follow: unmasked lab --no-browser --port 8899"""
    root = repository("notebooks")
    first = min((root / "notebooks").glob("*.ipynb"), default=None)
    if not first:
        raise UnmaskedError("There are no lessons in notebooks/ yet: run `unmasked publish`.")
    _require_free_port(context.args)
    from jupyterlab.labapp import LabApp

    # nbgrader's buttons start programs by name, which an environment that isn't activated doesn't have on its path.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    start_page = f"/lab/tree/notebooks/{first.name}"
    LabApp.launch_instance([f"--ServerApp.root_dir={root}", f"--LabApp.default_url={start_page}", *context.args])


@app.command()
def progress(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False):
    """Tell how far you are: lessons, exercises, points, tries, and what to do next."""
    from unmasked.progress import FILE, FOLDER, progress, read

    folder = repository(FOLDER) / FOLDER
    overview = progress(folder)
    if as_json:
        typer.echo(json.dumps(overview.as_data(), indent=2))
    elif read(folder):
        typer.echo(f"{overview}\n\nKept in {folder / FILE}")
    else:
        typer.echo(f"Nothing is recorded in {folder} yet: `make lab` opens the first lesson, and every check counts.")


@app.command()
def reset(lesson: Annotated[str, typer.Argument(metavar="LESSON", help="02, 2 or 02_self_attention")]):
    """Bring back a fresh notebook of a lesson. The one that is there is kept, in notebooks/kept/."""
    from unmasked.progress import FOLDER
    from unmasked.reset import reset

    lesson, root = find_lesson(lesson, LESSONS), repository(FOLDER)
    kept = reset(root / FOLDER, lesson, _published(root, lesson))
    typer.echo(f"{FOLDER}/{lesson.name}.ipynb is as published, and its exercises count anew.")
    if kept:
        typer.echo(f"The one that was there is {kept.relative_to(root)}.")
    typer.echo("If it is open in JupyterLab: File, Reload Notebook from Disk.")


@app.command()
def update():
    """Bring the newest version of the course. What you have written stays, in new notebooks too."""
    from unmasked.progress import FOLDER
    from unmasked.update import update

    update(repository(FOLDER), say=typer.echo)


@app.command()
def publish(
    names: Annotated[list[str] | None, typer.Argument(metavar="[LESSON]...", help="02, 2 or 02_self_attention")] = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail if a notebook is out of date.")] = False,
):
    """Make the notebooks of the lessons, of all if none is named, from solutions/NN_topic.py."""
    root = repository()
    lessons = [find_lesson(name, LESSONS) for name in names] if names else LESSONS
    if check:
        _check(root, lessons, strays_too=not names)
        return
    from unmasked import publishing

    for lesson in lessons:
        typer.echo(f"Publishing {lesson.name} ...")
        publishing.publish(root, lesson, exercises_of(lesson))


@app.command()
def pretrain(
    corpus: Annotated[str, typer.Option(metavar="NAME|FILE", help="web, sotu, or a text file of your own.")] = "web",
    preset: Annotated[str, typer.Option(help="cpu or gpu: the size of the model and how it learns.")] = "",
    minutes: Annotated[float | None, typer.Option(min=0.01, help="As many steps as fit, not the preset's.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A folder for the run.")] = Path("pretrained"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
):
    """Pretrain a masked language model as lesson 07 does, and measure it. Stopped at any moment, --resume goes on.

    Several GPUs: torchrun --nproc-per-node 2 -m unmasked pretrain.
    """
    if not importlib.util.find_spec("unmasked.pretraining"):
        raise UnmaskedError(
            "This copy of the course is a lesson's bundle, which can't pretrain before you have learned how."
        )
    from unmasked.pretraining import run

    results = run(corpus, preset, out, minutes, resume, say=lambda line: typer.echo(line, err=as_json))
    if results is None:
        return  # of several processes, the first one tells
    if as_json:
        typer.echo(json.dumps(results))
        return
    for name, value in results.items():
        typer.echo(f"{name.replace('_', ' '):20} {value:,}")


@app.command()
def exercises(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False):
    """List the exercises with their points and the number of known mistakes."""
    rows = [
        {"lesson": lesson.name, "exercise": name, "points": each.points, "known_mistakes": len(each.mistakes)}
        for lesson in LESSONS
        for name, each in exercises_of(lesson).items()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo("{lesson:28} {exercise:28} {points:>3g} points, {known_mistakes} known mistakes".format(**row))


def repository(part="solutions"):
    """The course's folder, with this part in it, that the current folder is in. Raises UnmaskedError outside of one.

    What students of a class are given has notebooks and no solutions.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / part).is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise UnmaskedError(f"This folder is not in the course: go to the folder that holds {part}/ and pyproject.toml.")


def exercises_of(lesson):
    """The exercises of a lesson, by name. Raises UnmaskedError if its checks can't be imported."""
    from unmasked import exercise

    try:
        return exercise.exercises_of(lesson)
    except Exception as error:  # they are being written: it may be any
        problem = f"{type(error).__name__}: {error}"
        raise UnmaskedError(f"lib/unmasked/checks/{lesson.topic}.py can't be imported ({problem}).") from None


def _published(root, lesson):
    """The bytes of a lesson's notebook as learners first get it, made from its solution notebook."""
    if not (root / "solutions").is_dir() or not importlib.util.find_spec("unmasked.publishing"):
        raise UnmaskedError(
            "This copy of the course is a class's, and can't make fresh notebooks: unpack the lesson's zip file into "
            "another folder, and take the notebook from there."
        )
    from unmasked.publishing.release import release
    from unmasked.publishing.write import load, text_of

    return text_of(release(load(root / "solutions" / f"{lesson.name}.ipynb"), lesson.name)).encode()


def _check(root, lessons, strays_too):
    from unmasked.publishing import check

    problems = list(check.strays(root, lessons)) if strays_too else []
    for lesson in lessons:
        try:
            check.check(root, lesson, exercises_of(lesson))
        except UnmaskedError as error:
            problems.append(str(error))
    if problems:
        raise UnmaskedError("\n".join(problems))


def _require_free_port(arguments):
    """Raises UnmaskedError if a port is asked for that is in use; JupyterLab would take another without a word."""
    port = next((value for value in _values_of("--port", arguments) if value.isdecimal()), None)
    if port is None:
        return
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", int(port))) == 0:
            raise UnmaskedError(f"Port {port} is in use: name another one, or leave --port out.")


def _values_of(option, arguments):
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        if argument == option:
            yield following
        elif argument.startswith(f"{option}="):
            yield argument.partition("=")[2]


if __name__ == "__main__":
    main()
