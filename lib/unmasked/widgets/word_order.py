"""The widget of lesson 04: two places as hands of clocks, and what they have in common."""

from unmasked.figures.word_order import clocks_picture
from unmasked.widgets import explore, slider

FARTHEST, WIDTH = 64, 16


def clocks(position_angles):
    """Choose two places and a base, and see their hands and their dot product.

    `position_angles(tokens, width, base)` gives the angles, (T, width / 2).
    """

    def draw(one, other, base):
        return clocks_picture(one, other, FARTHEST, position_angles(FARTHEST + 1, WIDTH, base))

    places = range(FARTHEST + 1)
    explore(
        draw,
        one=slider("place (blue)", places, 10),
        other=slider("place (orange)", places, 13),
        base=slider("base", (10, 100, 1000, 10_000, 100_000, 1_000_000), 10_000),
    )
