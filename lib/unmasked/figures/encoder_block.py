"""The figures of lesson 05."""

from math import log

import torch
from IPython.display import display

from unmasked.figures import BLUE, GREEN, ORANGE, PURPLE, RED, SKY, axes, image, show

LOWEST, HIGHEST = 1e-8, 1e4  # of the gradients drawn; what lies outside leaves the picture


def wiring():
    """Draw a block in both forms: where the norms stand, and the path from the input to the output."""
    figure, panels = axes(2, width=7.6, height=4.6)
    for ax, pre_norm in zip(panels, (False, True)):
        ax.set(xlim=(-1.4, 3.3), ylim=(-0.7, 6.9), title="pre-norm" if pre_norm else "post-norm")
        ax.axis("off")
        _arrow(ax, (0, -0.2), (0, 6.5))
        ax.text(0, -0.55, "x", ha="center", fontsize=11)
        for bottom, name, colour in ((0, "attention", SKY), (3.1, "feed-forward", ORANGE)):
            ax.plot([0, 1.9], [bottom + 0.15] * 2, color="black", lw=1.2)
            _arrow(ax, (1.9, bottom + 0.15), (1.9, bottom + 2.05), head=False)
            _arrow(ax, (1.9, bottom + 2.05), (0.17, bottom + 2.05))
            _box(ax, 1.9, bottom + (1.4 if pre_norm else 1.1), name, colour)
            _box(ax, *((1.9, bottom + 0.65) if pre_norm else (0, bottom + 2.65)), "norm", GREEN)
            ax.text(0, bottom + 2.03, "+", ha="center", va="center", fontsize=12, bbox=_ROUND)
    show(figure, "A block, drawn twice. In post-norm each norm stands on the path upwards, after a sum. In pre-norm "
                 "each norm stands on the branch, before attention or before the feed-forward net, and the path from "
                 "x upwards holds nothing but sums.")  # fmt: skip


_ROUND = {"boxstyle": "circle,pad=0.12", "facecolor": "white", "edgecolor": "black", "linewidth": 1.2}


def _box(ax, x, y, text, colour):
    style = {"boxstyle": "round,pad=0.4", "facecolor": colour + "55", "edgecolor": colour, "linewidth": 1.2}
    ax.text(x, y, text, ha="center", va="center", bbox={**style, "facecolor": "white"})
    ax.text(x, y, text, ha="center", va="center", bbox=style)


def _arrow(ax, start, end, head=True):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>" if head else "-", "color": "black", "lw": 1.2,
                                            "shrinkA": 0, "shrinkB": 0})  # fmt: skip


def tokens(before, after):
    """Draw every token's numbers as dots, before and after a norm.  Shapes: (T, D), (T, D)"""
    figure, panels = axes(2, width=9, height=2.6)
    for ax, numbers, title in zip(panels, (before, after), ("before", "after the layer norm")):
        for row, token in enumerate(numbers.detach()):
            ax.scatter(token, [row] * len(token), s=26, alpha=0.75, color=(BLUE, ORANGE, GREEN, RED)[row % 4])
            ax.scatter(token.mean(), row, marker="|", s=260, color="black", lw=1.5)
        ax.set(title=title, yticks=range(len(numbers)), ylim=(len(numbers) - 0.5, -0.5), xlabel="the token's numbers")
        ax.set_yticklabels([f"token {row}" for row in range(len(numbers))])
    show(figure, "Before: every token's numbers have a place and a spread of their own. After the layer norm all "
                 "tokens are centred at 0 with the same spread.")  # fmt: skip


def gelu():
    """Draw GELU beside ReLU, and what it is made of."""
    x = torch.linspace(-4, 4, 401)
    below = torch.special.ndtr(x)
    figure, (left, right) = axes(2, width=8.4, height=2.9)
    left.plot(x, below, color=PURPLE)
    left.set(title="Φ(x): the share of a normal\ndistribution that lies below x", xlabel="x")
    right.plot(x, x.relu(), color=ORANGE, label="ReLU(x)")
    right.plot(x, x * below, color=BLUE, label="GELU(x) = x · Φ(x)")
    right.set(title="GELU and ReLU", xlabel="x")
    right.legend(frameon=False)
    show(figure, "Left: the distribution function of the normal distribution rises from 0 to 1. Right: GELU is like "
                 "ReLU, but smooth, and slightly negative below 0.")  # fmt: skip


def who_changes(changes):
    """Draw by how much each token's result changes.  `changes` maps a title to numbers (T,)"""
    figure, panels = axes(len(changes), width=8.4, height=2.6, sharey=True)
    for ax, (title, sizes) in zip(panels, changes.items()):
        ax.bar(range(len(sizes)), sizes.tolist(), color=BLUE)
        ax.set(title=title, xlabel="token", xticks=range(len(sizes)))
    panels[0].set_ylabel("change of its result")
    counts = "; ".join(f"{title}: {sum(size > 1e-6 for size in sizes.tolist())}" for title, sizes in changes.items())
    show(figure, f"The number of tokens whose results change when one token changes. {counts}.")


def gradients(sizes, title):
    """Draw gradients by depth.  `sizes` maps a path's name to a list: what arrives at each block's input"""
    display(gradients_picture(sizes, title))


def gradients_picture(sizes, title):
    """The picture of `gradients`, for the explorer."""
    figure, ax = axes(width=7.6, height=3.4)
    looks = zip((RED, SKY, ORANGE, PURPLE, GREEN), ("-", "-", "-", "--", "--"))
    for (name, values), (colour, line) in zip(sizes.items(), looks):
        values = torch.tensor(values)
        overflows = not values.isfinite().all()
        inside = values.where((values > LOWEST / 10) & (values < HIGHEST * 10), torch.nan)
        label = f"{name} (overflows)" if overflows else name
        ax.plot(range(len(values)), inside, line, color=colour, lw=2, label=label)
    depth = len(values) - 1
    ax.set(yscale="log", ylim=(LOWEST, HIGHEST), xlim=(0, depth), title=title)
    ax.set(xlabel="blocks below", ylabel="size of the gradient\n(1 at the output)")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    ends = "; ".join(f"{name} {values[0]:.1g}" for name, values in sizes.items())
    return image(figure, f"Size of the gradient at each block, 1 at the output. At the input: {ends}.")


def stream(sizes):
    """Draw how large the numbers on the path are, block by block.  `sizes` maps a name to a list"""
    figure, ax = axes(width=6.4, height=2.8)
    for (name, values), colour in zip(sizes.items(), (GREEN, PURPLE)):
        ax.plot(values, "o-", ms=3, color=colour, label=name)
    ax.set(xlabel="after block", ylabel="standard deviation", title="Size of the numbers that leave a block")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    show(figure, "; ".join(f"{name}: from {values[0]:.2f} to {values[-1]:.2f}" for name, values in sizes.items()))


def training(runs, symbols):
    """Draw loss curves beside the loss of a guess, and how much the tokens differ.

    `runs` maps the name of a run to two lists: losses, and shares of the tokens that differ.
    """
    figure, (left, right) = axes(2, width=9.4, height=3.4)
    for (name, (losses, variety)), colour, line in zip(runs.items(), (GREEN, PURPLE, BLUE), ("-", "-", "--")):
        left.plot(losses, line, color=colour, label=name)
        right.plot(variety, line, color=colour, label=name)
    guess = log(symbols)
    left.axhline(guess, ls=":", color="black")
    left.annotate(f"guessing: ln {symbols} = {guess:.2f}", (1, guess), xytext=(0, 12), ha="right",
                  xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
    left.set(xlabel="step", ylabel="nats", ylim=(0, guess + 0.6), title="Loss")
    right.set(xlabel="step", ylim=(0, 1.02), title="How much the encoder's tokens differ")
    right.legend(loc="center right", frameon=False)
    ends = "; ".join(f"{name} {losses[-1]:.2f} and {variety[-1]:.2f}" for name, (losses, variety) in runs.items())
    show(figure, f"Left: loss by step. Right: how much the tokens that leave the encoder differ. At the end: {ends}.")


def shares(parts, title):
    """Draw what a whole is made of as one bar.  `parts` maps a name to a number of parameters"""
    figure, ax = axes(width=8.4, height=1.5)
    left = 0
    for (name, size), colour in zip(parts.items(), (BLUE, SKY, ORANGE, GREEN)):
        size = size / 1e6
        ax.barh(0, size, left=left, color=colour + "99", edgecolor="white")
        ax.text(left + size / 2, 0, f"{name}\n{size:.1f}", ha="center", va="center", fontsize=8.5)
        left += size
    ax.set(title=title, yticks=[], xlabel="million parameters", xlim=(0, left))
    ax.spines["left"].set_visible(False)
    show(figure, f"{title}: " + ", ".join(f"{name} {size / 1e6:.1f} million" for name, size in parts.items()))
