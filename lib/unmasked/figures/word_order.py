"""The figures of lesson 04."""

import torch
from matplotlib.patches import Circle

from unmasked.figures import BLUE, GREEN, ORANGE, PURPLE, RED, axes, heatmap, image, show

COLOURS = {"no positions": "black", "sinusoids": ORANGE, "learned": PURPLE, "rotary": GREEN}
LINES = {"no positions": ":", "sinusoids": "-", "learned": "--", "rotary": "-"}


def two_orders(results):
    """Draw what attention makes of the words of each sentence.  `results` maps a sentence to a matrix (T, D)"""
    figure, panels = axes(len(results), width=8.4, height=2.3)
    highest = max(matrix.abs().max() for matrix in results.values())
    for ax, (sentence, matrix) in zip(panels, results.items()):
        heatmap(ax, matrix, rows=sentence.split(), title=f"{sentence}: the results", lowest=-highest, highest=highest)
        ax.set(xlabel="column", xticks=range(matrix.shape[1]))
        ax.tick_params(length=0)
    show(figure, "The results of attention for two sentences of the same words: each word has the same row of numbers "
                 "in both, only the order of the rows differs.")  # fmt: skip


def accuracies(curves):
    """Draw the accuracy by step of training.  `curves` maps a kind of position to a list"""
    figure, ax = axes(width=7.4, height=2.9)
    ends = {}
    for kind, curve in curves.items():
        means = torch.tensor(curve).unfold(0, 10, 5).mean(-1)
        ends[kind] = means[-4:].mean()
        ax.plot(torch.arange(len(means)) * 5 + 5, means, LINES[kind], color=COLOURS[kind], lw=2, label=kind)
    _coin(ax)
    ax.set(xlabel="step", title="Who bit? Share of right answers in training")
    show(figure, "Share of right answers, at the end: " + ", ".join(f"{kind} {end:.2f}" for kind, end in ends.items()))


def _coin(ax):
    """The level of a coin, and what both pictures of accuracy share."""
    ax.axhline(0.5, color="grey", lw=0.8)
    ax.annotate("a coin between the two", (1, 0.5), xytext=(0, -11), ha="right", color="dimgrey", fontsize=8.5,
                xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
    ax.set(ylim=(0, 1.03), ylabel="right answers")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def hands(angles):
    """Draw the hands of several clocks at each place, as they turn.  angles (T, hands)"""
    figure, ax = axes(width=9.4, height=2.4)
    last = len(angles) - 1
    for number, column in enumerate(angles.T):
        _face(ax, number, 0, f"hand {number}")
        labelled = -1.0
        for place, angle in enumerate(column):
            x, y = _hand(ax, number, 0, angle, BLUE, alpha=0.25 + 0.75 * place / last)
            if angle - labelled > 0.2:  # closer labels would lie on top of each other
                labelled = angle
                ax.text(x + 0.2 * angle.cos(), y + 0.2 * angle.sin(), place, ha="center", va="center", fontsize=8)
    _clocks_only(ax, angles.shape[1], 1)
    turns = ", ".join(f"{angle:.3f}" for angle in angles[1])
    show(figure, f"Clock hands at places 0 to {last}. From one place to the next they turn by: {turns}.")


APART = 2.9  # between the centres of two clocks, whose radius is 1


def _face(ax, column, row, title):
    x, y = column * APART, -row * (APART + 0.5)
    ax.add_patch(Circle((x, y), 1, fill=False, color="grey", lw=0.8))
    ax.text(x, y + 1.35, title, ha="center", fontsize=9)


def _hand(ax, column, row, angle, colour, **look):
    """Draw a hand that has turned by `angle` from three o'clock, counter-clockwise; returns its tip."""
    x, y = column * APART, -row * (APART + 0.5)
    tip = x + float(angle.cos()), y + float(angle.sin())
    ax.plot([x, tip[0]], [y, tip[1]], color=colour, solid_capstyle="round", **{"lw": 2, **look})
    return tip


def _clocks_only(ax, columns, rows):
    """No axes, and room for all clocks."""
    ax.set(xlim=(-1.4, (columns - 1) * APART + 1.4), ylim=(-(rows - 1) * (APART + 0.5) - 1.2, 1.8), aspect="equal")
    ax.axis("off")


def sinusoids(waves):
    """Draw sinusoidal positions as a heat map, and some of their columns.  waves (T, D)"""
    figure, (left, right) = axes(2, width=9.6, height=3.2)
    drawn = left.imshow(waves, cmap="viridis", vmin=-1, vmax=1, aspect="auto")
    figure.colorbar(drawn, ax=left, shrink=0.8)
    left.set(xlabel="column", ylabel="place", title="The whole table")
    for column, colour in ((0, BLUE), (8, ORANGE), (16, GREEN)):
        right.plot(waves[:, column], "o-", ms=2.5, lw=1, color=colour, label=f"column {column}")
    right.set(xlabel="place", title="Three of its columns", ylim=(-1.1, 1.1))
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    show(figure, "Sines and cosines by place: in the first columns they change from place to place, in the last hardly "
                 "at all.")  # fmt: skip


def by_places(matrices, xlabel="place of one", ylabel="place of the other"):
    """Draw a number for each pair of places as a heat map.  `matrices` maps a title to (T, T)"""
    figure, panels = axes(len(matrices), width=4.4 if len(matrices) == 1 else 10, height=3.2, squeeze=False)
    spreads = {}
    for ax, (title, matrix) in zip(panels[0], matrices.items()):
        drawn = ax.imshow(matrix, cmap="viridis")
        figure.colorbar(drawn, ax=ax, shrink=0.7)
        ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
        diagonals = [matrix.diagonal(distance) for distance in range(-len(matrix) + 1, len(matrix))]
        spreads[title] = max(float(d.max() - d.min()) for d in diagonals)
    text = "; ".join(f"{title}: along a diagonal they differ by up to {s:.1f}" for title, s in spreads.items())
    show(figure, f"A number for each pair of places. {text}.")


def change_by_place(change):
    """Draw by how much training has moved the vector of each place.  change (T)"""
    figure, ax = axes(width=7.4, height=2.2)
    ax.bar(range(len(change)), change, color=PURPLE)
    ax.set(xlabel="place", ylabel="distance moved", title="How far training has moved the vector of each place")
    moved = int((change > 0).sum())
    show(figure, f"Training has moved {moved} of {len(change)} places, the first ones; the others are as before.")


def by_length(lengths, accuracy, trained):
    """Draw the accuracy by the length of the rows.  `accuracy` maps a kind of position to a list"""
    figure, ax = axes(width=7.4, height=3.2)
    for kind, values in accuracy.items():
        ax.plot(lengths, values, "o" + LINES[kind], ms=4, color=COLOURS[kind], lw=2, label=kind)
    ax.axvspan(trained, lengths[-1], color="grey", alpha=0.1, lw=0)
    ax.annotate("longer than in training", (trained, 0.04), xytext=(6, 0), textcoords="offset points", fontsize=8.5)
    _coin(ax)
    ax.set(xlabel="words in a row", xticks=lengths, xlim=(lengths[0] - 0.5, lengths[-1] + 0.5), title="Who bit?")
    ends = ", ".join(f"{kind} {values[-1]:.2f}" for kind, values in accuracy.items())
    show(figure, f"Share of right answers by the length of the rows; with {lengths[-1]} words: {ends}.")


def clocks_picture(one, other, longest, angles):
    """The clocks of two places, and the dot product of their vectors by distance, for the explorer.

    `angles` (T, hands) are those of the places 0 to `longest`.
    """
    figure, (left, right) = axes(2, width=10, height=3.3, gridspec_kw={"width_ratios": (1.15, 1)})
    for number, (a, b) in enumerate(zip(angles[one], angles[other])):
        row, column = divmod(number, 4)
        _face(left, column, row, f"{number}: {float((a - b).cos()):+.2f}")
        _hand(left, column, row, a, BLUE, lw=5)  # to be seen below the other one
        _hand(left, column, row, b, ORANGE)
    _clocks_only(left, 4, row + 1)
    left.set_title("hands, and the cosine of the angle between them")
    products = angles[: longest + 1].cos().sum(-1)  # of two places, by their distance
    distance = abs(one - other)
    title = f"Places {one} and {other}: distance {distance}, dot product {products[distance]:.2f}"
    right.plot(products, "o-", ms=2.5, lw=1, color="grey")
    right.plot([distance], products[distance], "o", ms=9, color=RED)
    right.set(xlabel="distance", ylabel="dot product", title=title)
    right.set_ylim(-0.5 * angles.shape[1], 1.05 * angles.shape[1])
    return image(figure, f"{title}. On the left the hands of both places on clocks from fast to slow, on the right the "
                         "dot product by distance.")  # fmt: skip
