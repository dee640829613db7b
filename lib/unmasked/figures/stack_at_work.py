"""The figures of lesson 06: commands with their tags, scores of four kinds of commands, ablations, loss curves."""

from html import escape

import torch
from IPython.display import HTML, display
from matplotlib.ticker import MaxNLocator

from unmasked.figures import BLUE, GREEN, ORANGE, PURPLE, RED, SKY, axes, heatmap, show

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY)  # slots have their names beside the colour, so they may share one
BOX = "display:inline-block;vertical-align:top;text-align:center;margin:0 2px 5px;padding:1px 5px;border-radius:3px;"


# --- commands --------------------------------------------------------------------------------------------------------


def tagged(commands, wanted=None):
    """Show commands, (tokens, tags) each, a tag under each token; with `wanted`, wrong ones say what was right."""
    display(tagged_html(commands, wanted))


def tagged_html(commands, wanted=None):
    """The same for `display`."""
    wanted = [tags for _, tags in commands] if wanted is None else wanted
    lines = "".join(
        f'<div style="margin:8px 0;line-height:1.2">{"".join(map(_token, tokens, tags, right))}</div>'
        for (tokens, tags), right in zip(commands, wanted)
    )
    return HTML(f'<div style="max-width:900px">{lines}</div>')


def _token(token, tag, right):
    """One token as a small box with its tag below it."""
    style = BOX
    if tag != "O":
        colour = COLOURS[sum(map(ord, tag[2:])) % len(COLOURS)]
        style += f"background:{colour}2e;border-bottom:3px solid {colour};"
    under = f'<br><span style="font-size:80%;opacity:.85">{escape(tag) if tag != "O" else "&nbsp;"}</span>'
    if tag != right:
        under = f'<br><span style="font-size:80%;color:{RED}">✗ {escape(tag)}<br>right: {escape(right)}</span>'
    return f'<span style="{style}">{escape(token)}{under}</span>'


# --- scores ----------------------------------------------------------------------------------------------------------


def four_kinds(scores):
    """Draw the F1 of known and new templates and values; `scores` has known, new_values, new_templates, held_out."""
    names = [["known", "new_values"], ["new_templates", "held_out"]]
    matrix = torch.tensor([[scores[name] for name in row] for row in names])
    figure, ax = axes(width=4.8, height=2.8)
    heatmap(ax, matrix, title="F1 of whole slots", lowest=0.0, highest=1.0)
    ax.set_xticks(range(2), ["known values", "new values"])
    ax.set_yticks(range(2), ["known\ntemplates", "new\ntemplates"])
    told = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in scores.items())
    show(figure, f"F1 of whole slots for four kinds of commands: {told}.")


def ablations(scores):
    """Draw the F1 of several models as bars; `scores` maps a name to (known, held out)."""
    figure, ax = axes(width=8, height=0.5 + 0.42 * len(scores))
    names = list(scores)
    for (shift, colour, label), values in zip(
        ((-0.2, SKY, "known kinds"), (0.2, BLUE, "held out")), zip(*scores.values())
    ):
        places = [place + shift for place in range(len(names))]
        ax.barh(places, values, height=0.38, color=colour, label=label)
        for place, value in zip(places, values):
            ax.text(value + 0.01, place, f"{value:.2f}", va="center", fontsize=8)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlabel="F1 of whole slots", xlim=(0, 1.08))
    figure.legend(loc="outside right upper", frameon=False)
    told = "; ".join(f"{name}: {known:.2f} and {new:.2f}" for name, (known, new) in scores.items())
    show(figure, f"F1 of whole slots on commands of known kinds and on held-out ones. {told}.")


# --- curves ----------------------------------------------------------------------------------------------------------

LINES = {
    "train": ("#888888", "training commands"),
    "known": (SKY, "new ones of known kinds"),
    "held_out": (BLUE, "held out"),
}


def curves(logs):
    """Draw the losses of several runs side by side, with the lowest held-out loss of each; `logs`: a name -> a log.

    A log is a list of dictionaries with `step` and the losses `train`, `known` and `held_out`.
    """
    figure, panels = axes(len(logs), width=min(3.4 * len(logs) + 1, 10), height=3.2, sharey=True, squeeze=False)
    highest = max(entry[name] for log in logs.values() for entry in log[1:] or log for name in LINES)
    for ax, (title, log) in zip(panels[0], logs.items()):
        steps = [entry["step"] for entry in log]
        for name, (colour, label) in LINES.items():
            ax.plot(steps, [entry[name] for entry in log], color=colour, label=label if ax is panels[0][0] else None)
        best = min(log, key=lambda entry: entry["held_out"])
        ax.plot(best["step"], best["held_out"], "o", color=RED)
        told = f"held out lowest: {best['held_out']:.2f} at step {best['step']}"
        ax.text(0.98, 0.97, told, ha="right", va="top", color=RED, transform=ax.transAxes)
        ax.set(title=title, xlabel="step", ylim=(0, 1.25 * highest))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    panels[0][0].set_ylabel("loss (nats)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    show(figure, "Loss curves. " + " ".join(_told(title, log) for title, log in logs.items()))


def _told(title, log):
    best, last = min(log, key=lambda entry: entry["held_out"]), log[-1]
    return (
        f"{title}: the held-out loss is lowest at step {best['step']}, {best['held_out']:.2f}; at the end it is "
        f"{last['held_out']:.2f}, and the training loss {last['train']:.2f}."
    )
