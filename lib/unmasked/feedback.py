"""What a notebook says besides verdicts: what is not done yet, which cell has failed, how far the lesson is."""

import contextlib
import os
import sys
from pathlib import Path

from IPython import get_ipython
from IPython.display import HTML, display

from unmasked import overview, panel, progress
from unmasked.exercise import Exercise
from unmasked.lessons import LESSONS
from unmasked.verdict import Verdict

NOT_DEFINED = "<code>{}</code> is not there: did its cell end in an error, or was it not run yet?"


@contextlib.contextmanager
def once_done(exercise):
    """Run the block if the exercise it builds on has been attempted; otherwise say which one to do first.

    with once_done("exercise 2.2"):
        figures.heatmap(attention_weights(x, x))
    """
    try:
        yield
    except NotImplementedError as error:
        if error.args:  # torch's own; a stub's has no message
            raise
        headline = f"This cell shows something once you have done {exercise}. Then run it again."
        display(HTML(panel.box(panel.GREY, headline)))


def tell_of_missing_exercises(shell):
    """Where the name of an exercise is not defined, say what that means, above Python's own message."""

    def tell(shell, kind, error, traceback, tb_offset=None):
        checks = [module for name, module in sys.modules.items() if name.startswith("unmasked.checks.")]
        if any(isinstance(getattr(module, error.name or "", None), Exercise) for module in checks):
            display(HTML(panel.box(panel.RED, NOT_DEFINED.format(error.name))))
        shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)

    shell.set_custom_exc((NameError,), tell)


def keep_progress(shell):
    """Record the verdict that a cell ends with, and say below a passed one how far the lesson is."""

    def after_cell(result):
        verdict = getattr(result, "result", None)
        if not isinstance(verdict, Verdict) or not verdict.attempted:
            return
        folder, lesson = Path(shell.starting_dir), _lesson_of(verdict.exercise)
        if lesson and progress.counts_in(folder, lesson) and (told := _progress(folder, lesson, verdict)):
            display(HTML(told))

    shell.events.register("post_run_cell", after_cell)


def _lesson_of(exercise):
    """The lesson with an exercise of this name, among those whose checks are in use."""
    modules = {lesson: sys.modules.get(f"unmasked.checks.{lesson.topic}") for lesson in LESSONS}
    return next((lesson for lesson in LESSONS if isinstance(getattr(modules[lesson], exercise, None), Exercise)), None)


def _progress(folder, lesson, verdict):
    """Record a try, unless one before has passed. Returns what to say of it, which may be nothing."""
    try:
        progress.record_try(folder, lesson, verdict)
        entries = progress.read(folder)
    except OSError as error:
        return overview.not_saved(error)
    if not verdict.passed:
        return ""
    standing = progress.standing(folder, lesson, entries)
    following = progress.next_task([standing] if not standing.done else progress.standings(folder, entries), entries)
    return overview.line(standing, following)


if shell := get_ipython():
    tell_of_missing_exercises(shell)
    if "NBGRADER_EXECUTION" not in os.environ:  # else its Validate button runs the notebook, and not the learner
        keep_progress(shell)
