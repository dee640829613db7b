"""Widgets, a module for each lesson, and what they share.

Each draws a static picture first, so that it makes sense in a stored notebook and without a kernel; its controls have
labels and work by keyboard.
"""

import ipywidgets
from IPython.display import HTML, display

from unmasked import panel


def explore(draw, **controls):
    """Show `draw(**values)` and, below it, controls that draw it again: ipywidgets by the names of draw's arguments."""

    def drawn():
        return draw(**{name: control.value for name, control in controls.items()})

    picture = display(drawn(), display_id=True)
    for control in controls.values():
        control.observe(lambda change: picture.update(drawn()), "value")
    display(ipywidgets.VBox(list(controls.values())))


def slider(label, values, value=None):
    """A slider over given values, moved with the arrow keys."""
    layout, style = {"width": "460px"}, {"description_width": "150px"}
    value = values[0] if value is None else value
    return ipywidgets.SelectionSlider(
        options=values, value=value, description=label, layout=layout, style=style, continuous_update=False
    )


def ready(checks, *attempts):
    """Whether all these exercises pass their checks; if not, say which ones are missing before a long cell starts."""
    missing = [each.__name__ for each in attempts if not getattr(checks, each.__name__)(each).passed]
    if missing:
        names = ", ".join(f"<code>{name}</code>" for name in missing)
        text = "Until then it shows nothing, nor do the cells that use what it makes."
        display(HTML(panel.box(panel.GREY, f"This cell waits for exercises to pass: {names}.", text)))
    return not missing
