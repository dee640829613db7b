"""What a notebook says besides verdicts: a cell that needs an exercise which isn't done yet says so, and goes on."""

import contextlib

from IPython.display import HTML, display

from unmasked import panel


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
