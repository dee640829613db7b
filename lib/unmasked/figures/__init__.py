"""The look of every figure, and the figures that more than one lesson draws.

Colours are from Okabe and Ito's palette, which people with any kind of colour vision can tell apart; heat maps use
viridis, which also reads in grey.
"""

import base64
import io
from html import escape

import matplotlib.pyplot as plt
from IPython.display import HTML, display

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
STYLE = {
    "figure.dpi": 110,
    "figure.figsize": (6.4, 3.2),
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "axes.grid": False,
    "axes.titlesize": "medium",
    "legend.frameon": False,
    "font.size": 9.5,
}


def axes(columns=1, width=None, height=3.2, **kwargs):
    """A figure in the course's style with a row of axes: `figure, ax = axes()`."""
    with plt.rc_context(STYLE):
        size = (width or min(4.2 * columns + 1.6, 11), height)
        return plt.subplots(1, columns, figsize=size, **kwargs)


def show(figure, text):
    """Display a figure with its alternative text, and close it."""
    buffer = io.BytesIO()
    with plt.rc_context(STYLE):
        figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
    plt.close(figure)
    data = base64.b64encode(buffer.getvalue()).decode()
    display(HTML(f'<img alt="{escape(text, quote=True)}" src="data:image/png;base64,{data}" style="max-width:100%">'))


def heatmap(ax, matrix, rows=None, columns=None, title="", numbers=True, lowest=None, highest=None):
    """Draw a matrix as coloured squares with its numbers; row and column labels are words."""
    matrix = matrix.detach().cpu().float().numpy()
    image = ax.imshow(matrix, cmap="viridis", vmin=lowest, vmax=highest, aspect="auto")
    ax.set_title(title)
    ax.set_xticks(range(matrix.shape[1]), columns or range(matrix.shape[1]), rotation=45 if columns else 0, ha="right" if columns else "center")
    ax.set_yticks(range(matrix.shape[0]), rows or range(matrix.shape[0]))
    ax.spines[:].set_visible(False)
    if numbers:
        for i, row in enumerate(matrix):
            for j, value in enumerate(row):
                dark = image.norm(value) < 0.6
                ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    return image
