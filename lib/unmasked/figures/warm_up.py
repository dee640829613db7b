"""The figures of lesson 00, and its measurements of time."""

import matplotlib.pyplot as plt
import numpy
import torch
from torch.utils.benchmark import Timer

from unmasked.figures import BLUE, ORANGE, RED, axes, heatmap, image, show


def axis_numbers(x):
    """Draw a tensor (B, T, D) as B tables, with the name of each axis where it runs."""
    figure, panels = axes(len(x), height=2.1)
    for number, (ax, matrix) in enumerate(zip(panels, x)):
        heatmap(ax, matrix, title=f"sequence {number} (axis 0, B)", numbers=False, lowest=-2 * x.max(), highest=x.max())
        for (t, d), value in numpy.ndenumerate(matrix.numpy()):
            ax.text(d, t, f"{value:g}", ha="center", va="center")
        ax.set(xlabel="number (axis 2, D)", ylabel="token (axis 1, T)")
    show(figure, f"A tensor of shape {tuple(x.shape)} as {len(x)} tables: a row for each token, a column for each of "
                 "its numbers.")  # fmt: skip


def broadcasting(a, b):
    """A picture of how two shapes of at most two axes are added: what is stretched, or why they don't fit."""
    try:
        result = tuple(torch.broadcast_shapes(a, b))
    except RuntimeError:
        result = None
    figure, panels = axes(3, width=8.6, height=2.5)
    for ax, shape, colour in zip(panels, (a, b, result), (BLUE, ORANGE, "#8a8a8a")):
        if shape is None:
            _refusal(ax, a, b)
        else:
            _blocks(ax, shape, result or shape, colour)
    for ax, sign in zip(panels, "+="):
        ax.text(1.08, 0.5, sign, transform=ax.transAxes, fontsize=18, ha="center", va="center")
    outcome = f"gives {result}" if result else "does not fit"
    return image(figure, f"Shape {a} plus shape {b} {outcome}; lines of size 1 are repeated where the other is longer.")


def _blocks(ax, shape, result, colour):
    """Squares in the places of the result; pale where they are repetitions."""
    rows, columns = (1, *shape)[-2:]
    all_rows, all_columns = (1, *result)[-2:]
    for i in range(all_rows):
        for j in range(all_columns):
            alpha = 0.9 if i < rows and j < columns else 0.22
            ax.add_patch(plt.Rectangle((j + 0.04, i + 0.04), 0.92, 0.92, color=colour, alpha=alpha, lw=0))
    _plain(ax, f"shape {shape}")


def _refusal(ax, a, b):
    pairs = zip(reversed((1, *a)[-2:]), reversed((1, *b)[-2:]))
    left, right = next(pair for pair in pairs if pair[0] != pair[1] and 1 not in pair)
    _plain(ax, "")
    ax.text(2, 2, f"{left} meets {right}:\nthey differ, and\nneither is 1", ha="center", va="center", color=RED)


def _plain(ax, title):
    ax.set(title=title, xlim=(0, 4), ylim=(4, 0), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def overflow(shifts, naive, stable):
    """Draw the largest of three weights as the scores are raised; NaN leaves a gap."""
    figure, ax = axes(width=5.6, height=2.8)
    ax.plot(shifts, stable, color=BLUE, lw=5, alpha=0.35, label="yours")
    ax.plot(shifts, naive, color=RED, label="e^s / sum of e^s")
    lost = next(shift for shift, weight in zip(shifts, naive) if weight != weight)
    ax.axvline(lost, color="black", ls=":")
    ax.annotate(f" NaN from {lost} on", (lost, 0.25))
    ax.set(xlabel="added to all scores", ylabel="largest weight", ylim=(0, 1))
    ax.legend()
    mine = "gives NaN too" if any(weight != weight for weight in stable) else "stays the same"
    show(figure, "The largest weight against what is added to all scores. "
                 f"The formula as written gives NaN from {lost} on; yours {mine}.")  # fmt: skip


def two_means(x, key_padding_mask, plain, masked):
    """Draw each sequence's tokens (two numbers each) as points, with their plain and their masked mean."""
    figure, panels = axes(len(x), height=2.9, sharex=True, sharey=True)
    for number, ax in enumerate(panels):
        hidden = key_padding_mask[number]
        ax.scatter(*x[number][~hidden].T, color=BLUE, label="tokens")
        if hidden.any():
            ax.scatter(*x[number][hidden].T, color=BLUE, facecolor="none", label="padding")
        ax.scatter(*plain[number], color=RED, marker="x", s=70, label="plain mean")
        ax.scatter(*masked[number], color=ORANGE, marker="*", s=110, label="your mean")
        ax.set(title=f"sequence {number}", xlabel="first number", ylabel="second number")
    panels[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    show(figure, "Tokens as points. The plain mean is drawn towards the padding at (0, 0); yours is marked by a star.")


def products_in_a_loop(x, matrices):
    """Every sequence times every matrix, a pair at a time.  (B, T, D), (H, D, K) -> (B, H, T, K)"""
    return torch.stack([torch.stack([tokens @ matrix for matrix in matrices]) for tokens in x])


def times_of(function, *inputs):
    """The milliseconds that a call takes: the median of several, each waited for until the device has finished."""
    timer = Timer("f(*inputs)", globals={"f": function, "inputs": inputs})
    return 1000 * timer.blocked_autorange(min_run_time=0.1).median


def race(function):
    """The milliseconds that a loop and the function take to multiply 64 sequences with 8 matrices."""
    inputs = torch.randn(64, 16, 32), torch.randn(8, 32, 8)
    return times_of(products_in_a_loop, *inputs), times_of(function, *inputs)
