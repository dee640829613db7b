"""The look of every figure, and what the figures of several lessons share.

Colours are from Okabe and Ito's palette, which people with any kind of colour vision can tell apart; heat maps use
viridis, which also reads in grey.
"""

import base64
import io
from html import escape

import matplotlib.pyplot as plt
from IPython.display import HTML, display

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
STYLE = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=(BLUE, ORANGE, GREEN, RED, PURPLE, SKY)),
    "axes.titlesize": "medium",
    "font.size": 9.5,
}


def axes(columns=1, width=None, height=3.2, **kwargs):
    """A figure in the course's style with a row of axes: `figure, ax = axes()`."""
    with plt.rc_context(STYLE), plt.ioff():
        return plt.subplots(1, columns, figsize=(width or min(4.4 * columns, 10), height), **kwargs)


def image(figure, text):
    """The figure as a picture with an alternative text, for `display`; closes the figure."""
    for legend in filter(None, (ax.get_legend() for ax in figure.axes)):
        legend.set_frame_on(False)
    buffer = io.BytesIO()
    with plt.rc_context(STYLE):
        figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
    plt.close(figure)
    data = base64.b64encode(buffer.getvalue()).decode()
    return HTML(f'<img alt="{escape(text, quote=True)}" src="data:image/png;base64,{data}" style="max-width:100%">')


def show(figure, text):
    """Display a figure with its alternative text, and close it."""
    display(image(figure, text))


def heatmap(ax, matrix, rows=None, columns=None, title="", numbers=True, lowest=None, highest=None):
    """Draw a matrix as coloured squares with its numbers; rows and columns are labelled with words, if given."""
    matrix = matrix.detach().cpu().float().numpy()
    drawn = ax.imshow(matrix, cmap="viridis", vmin=lowest, vmax=highest, aspect="auto")
    ax.set_title(title)
    ax.set_xticks(range(matrix.shape[1]), columns or range(matrix.shape[1]))
    ax.set_yticks(range(matrix.shape[0]), rows or range(matrix.shape[0]))
    if columns:
        ax.tick_params(axis="x", labelrotation=45)
    ax.spines[:].set_visible(False)
    for i, row in enumerate(matrix if numbers else ()):
        for j, value in enumerate(row):
            colour = "white" if drawn.norm(value) < 0.6 else "black"
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    return drawn
