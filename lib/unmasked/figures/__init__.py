"""The look of every figure, and what the figures of several lessons share.

Colours are from Okabe and Ito's palette, which people with any kind of colour vision can tell apart; heat maps use
viridis, which also reads in grey.
"""

import base64
import io
from html import escape

import matplotlib.pyplot as plt
from IPython.display import HTML, display
from matplotlib.patches import FancyArrowPatch

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
HEAD_COLOURS = (BLUE, RED, GREEN, PURPLE)
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


def arcs(words, weights, place, title):
    """A picture of a sentence with arcs from one word to those that it looks at, a colour for each head.

    `weights` maps the number of a head to its weights (T,).
    """
    figure, ax = axes(width=9.6, height=3.2)
    for line, (head, row) in enumerate(weights.items()):
        for other, weight in enumerate(row.tolist()):
            if weight >= 0.03 and other != place:
                ax.add_patch(_arc(place, other, weight, head))
            if weight >= 0.03:
                y = -0.3 - 0.11 * line
                ax.text(other, y, f"{weight:.2f}", ha="center", va="top", fontsize=8, color=_colour(head))
        ax.plot([], [], color=_colour(head), lw=3, label=f"head {head}")
    for i, word in enumerate(words):
        ax.text(i, -0.08, word, ha="center", va="top", fontsize=10, fontweight="bold" if i == place else "normal")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    ax.set(xlim=(-0.6, len(words) - 0.4), ylim=(-0.75, 0.85), title=title)
    ax.axis("off")
    most = (f"head {head} most at “{words[row.argmax()]}” ({row.max():.2f})" for head, row in weights.items())
    return image(figure, f"{title}. Where it looks: {', '.join(most)}.")


def _arc(start, end, weight, head):
    """An arrow that is thicker the larger the weight; far ones are flatter, and heads do not cover each other."""
    distance = abs(end - start)
    bend = (0.4 + 0.16 * (head % len(HEAD_COLOURS))) * distance**-0.35 * (1 if end < start else -1)
    style = {"arrowstyle": "-|>", "mutation_scale": 10, "lw": 0.5 + 4 * weight, "alpha": min(1, 0.3 + weight)}
    return FancyArrowPatch((start, 0), (end, 0), connectionstyle=f"arc3,rad={bend}", color=_colour(head), **style)


def _colour(head):
    return HEAD_COLOURS[head % len(HEAD_COLOURS)]
