"""The widget of lesson 06: type a command and see its slots."""

import ipywidgets
from IPython.display import HTML, display

from unmasked import panel
from unmasked.figures.stack_at_work import tagged_html
from unmasked.widgets import explore, ready

__all__ = ["ready", "slot_finder"]


def slot_finder(tag, text):
    """Type a command and see its slots; `tag(text)` gives the tokens and their tags."""

    def draw(text):
        if not text.strip():
            return HTML(panel.box(panel.GREY, "Write a command: its slots are shown here."))
        try:
            return tagged_html([tag(text)])
        except ValueError as error:  # more tokens than the model has positions
            return HTML(panel.box(panel.GREY, f"{error}."))

    layout = {"width": "640px", "max_width": "100%"}
    box = ipywidgets.Text(text, description="Command", continuous_update=False, layout=layout)
    explore(draw, text=box)
    display(HTML('<span style="opacity:.8">Change the command and press Enter.</span>'))
