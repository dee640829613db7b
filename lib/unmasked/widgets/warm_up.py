"""The widget of lesson 00: which shapes fit together, and what is stretched."""

from unmasked.figures.warm_up import broadcasting
from unmasked.widgets import explore, slider

SHAPES = ((1,), (3,), (4,), (1, 4), (3, 1), (4, 1), (3, 4), (4, 4))


def shape_explorer():
    """Choose two shapes, and see what their sum looks like, or why there is none."""
    shapes = {str(shape): shape for shape in SHAPES}

    def draw(first, second):
        return broadcasting(shapes[first], shapes[second])

    names = list(shapes)
    explore(draw, first=slider("first shape", names, "(3, 1)"), second=slider("second shape", names, "(4,)"))
