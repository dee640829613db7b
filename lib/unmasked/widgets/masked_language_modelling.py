"""The widgets of lesson 07: fill in the blank; and a long cell that can be stopped."""

import re
from contextlib import contextmanager

import ipywidgets
from IPython.display import HTML, display

from unmasked import panel
from unmasked.figures.masked_language_modelling import fillings_image
from unmasked.widgets import explore, ready

__all__ = ["fill_in_the_blank", "ready", "stoppable"]

BLANK = "___"


def fill_in_the_blank(fill_in, text):
    """Type a text with blanks and see what the model puts there; `fill_in(text)` gives its guesses for each blank."""

    def draw(text):
        text = re.sub("__+", BLANK, text)  # nobody counts underscores
        if BLANK not in text:
            return HTML(panel.box(panel.GREY, f"Write {BLANK} (underscores) where a word is to be guessed."))
        try:
            guesses = fill_in(text)
        except ValueError as error:  # more tokens than the model has positions
            return HTML(panel.box(panel.GREY, f"{error}."))
        return fillings_image({_numbered(text, blank): best for blank, best in enumerate(guesses[:3], start=1)})

    layout = {"width": "640px", "max_width": "100%"}
    box = ipywidgets.Text(text, description="Text", continuous_update=False, layout=layout)
    explore(draw, text=box)
    display(HTML('<span style="opacity:.8">Press Enter to see the guesses. Up to three blanks are shown.</span>'))


def _numbered(text, blank):
    """The text, with a question mark at this blank if there are several."""
    if text.count(BLANK) == 1:
        return text
    pieces = text.split(BLANK)
    return BLANK.join(pieces[:blank]) + "_?_" + BLANK.join(pieces[blank:])


@contextmanager
def stoppable():
    """Let a long block be stopped with ■, and say how it goes on instead of showing where it was."""
    try:
        yield
    except KeyboardInterrupt:
        text = "The cells below take the model as it is now."
        display(HTML(panel.box(panel.GREY, "Stopped. Run this cell again to go on from the last checkpoint.", text)))
