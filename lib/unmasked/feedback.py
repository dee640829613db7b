"""What a notebook says besides verdicts, where an exercise is not done yet or its cell has failed."""

import contextlib
import sys

from IPython import get_ipython
from IPython.display import HTML, display

from unmasked import panel
from unmasked.exercise import Exercise

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


if shell := get_ipython():
    tell_of_missing_exercises(shell)
