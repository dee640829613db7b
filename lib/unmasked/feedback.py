"""What a notebook says besides verdicts: what is missing or failed, which version was judged, how far the lesson is."""

import contextlib
import os
import re
import sys
import traceback
from html import escape
from pathlib import Path

from IPython import get_ipython
from IPython.display import HTML, display

from unmasked import overview, panel, progress
from unmasked.attempt import line_of
from unmasked.exercise import Exercise
from unmasked.lessons import LESSONS
from unmasked.verdict import Verdict

NOT_DEFINED = "<code>{}</code> is not there: did its cell end in an error, or was it not run yet?"
NOT_THERE = (
    "<code>{}</code> is not there. If it is spelt right, run the cells above first: "
    "<i>Run › Run All Above Selected Cell</i>."
)
OLD_VERSION = "Your cell with <code>{}</code> ended in an error, so this is about the version before it."
NOT_YET = "This cell shows something once you have done {}{}. Then run it again."
UNWRITTEN = ": <code>{}</code> is not written yet"


@contextlib.contextmanager
def once_done(exercise):
    """Run the block if the exercise it builds on has been attempted; otherwise say which one to do first.

    with once_done("exercise 2.2"):
        figures.heatmap(attention_weights(x, x))

    An error in the block, most likely a wrong answer's, is raised as it is, and shown in short.
    """
    try:
        yield
    except Exception as error:
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")  # half drawn
        if not isinstance(error, NotImplementedError) or error.args:  # torch's own has a message, a stub's has none
            error.builds_on = exercise
            raise
        display(HTML(panel.box(panel.GREY, NOT_YET.format(exercise, _unwritten(error)))))


def _unwritten(error):
    """Which function or class was asked for in vain: an exercise can be done with one before it left out."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    name = frame.f_code.co_qualname.partition(".")[0]
    return UNWRITTEN.format(escape(name)) if _is_exercise(name) else ""


def _is_exercise(name):
    checks = [module for path, module in sys.modules.items() if path.startswith("unmasked.checks.")]
    return any(isinstance(getattr(module, name, None), Exercise) for module in checks)


def shorten_errors(shell):
    """Show a panel and Python's message in the place of a traceback that says less: a name that is not there, an
    error in a block that builds on an exercise."""

    def tell(shell, kind, error, frames, tb_offset=None):
        told = _told(error)
        if not told:
            shell.showtraceback((kind, error, frames), tb_offset=tb_offset)
            return
        display(HTML(told))
        # Whatever runs a notebook looks for this output, and reports the whole traceback, which the page doesn't show.
        shell._showtraceback(kind, error, [f"{kind.__name__}: {error}"])
        shell._last_traceback = shell.InteractiveTB.structured_traceback(kind, error, frames, tb_offset=tb_offset)

    shell.set_custom_exc((Exception,), tell)


def _told(error):
    """The panel of an error; nothing for one that its traceback explains best."""
    if isinstance(error, NameError) and error.name:
        headline = (NOT_DEFINED if _is_exercise(error.name) else NOT_THERE).format(escape(error.name))
    elif exercise := getattr(error, "builds_on", ""):
        said = escape(f"{type(error).__name__}: {error}"[:300])
        headline = f"This cell stopped: {said}<br>It builds on {exercise}: has every check of it passed?"
    else:
        return ""
    line = escape(line_of(error))
    whole = escape("".join(traceback.format_exception(error)))
    return panel.box(
        panel.RED,
        headline,
        (f"<div>It happened at <code>{line}</code>.</div>" if line else "")
        + f'<details><summary style="cursor:pointer">The whole error</summary><pre>{whole}</pre></details>',
    )


def tell_of_old_versions(shell):
    """Below the verdict on an exercise whose cell has failed, and left the function before it alive, say so."""
    before, old = {}, set()

    def before_cell(info):
        names = re.findall(r"^(?:def|class)\s+(\w+)", info.raw_cell or "", re.MULTILINE)
        before.clear()
        before.update({name: shell.user_ns[name] for name in names if name in shell.user_ns})

    def after_cell(result):
        for name, version in before.items():
            failed = not result.success and shell.user_ns.get(name) is version
            (old.add if failed else old.discard)(name)
        if isinstance(result.result, Verdict) and result.result.exercise in old:
            display(HTML(panel.box(panel.RED, OLD_VERSION.format(result.result.exercise))))

    shell.events.register("pre_run_cell", before_cell)
    shell.events.register("post_run_cell", after_cell)


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
    shorten_errors(shell)
    tell_of_old_versions(shell)
    if "NBGRADER_EXECUTION" not in os.environ:  # else its Validate button runs the notebook, and not the learner
        keep_progress(shell)
