"""The figures of lesson 08: curves over the number of labels, learning rates, and what a model's answer rests on."""

from html import escape

import torch
from IPython.display import HTML, display
from matplotlib.ticker import NullLocator

from unmasked.figures import BLUE, GREEN, ORANGE, PURPLE, RED, SKY, axes, image, show

# A colour and a mark for each way to train, so that colour is not all.
WAYS = {
    "pretrained": (BLUE, "o"),
    "pretrained, frozen": (GREEN, "s"),
    "from scratch": (RED, "^"),
    "counting words": (ORANGE, "v"),
}
OTHERS = ((PURPLE, "D"), (SKY, "P"))


def _style(name, others):
    return WAYS.get(name) or OTHERS[others.index(name) % len(OTHERS)]


def _spread(runs):
    """The mean and the standard deviation of several runs' results."""
    values = torch.tensor(runs)
    return values.mean().item(), values.std(correction=0).item()


def curves(panels, x_label, y_label, lines=None, top=None):
    """Draw results over a number, panels side by side: title -> name -> x -> list of results, one for each seed.

    The band is one standard deviation to each side of the mean. `lines` names levels: a text -> a result.
    """
    figure, row = axes(len(panels), width=min(4.4 * len(panels) + 2.2, 10), height=3.8, sharey=True, squeeze=False)
    names = list(dict.fromkeys(name for results in panels.values() for name in results))
    others = [name for name in names if name not in WAYS]
    for ax, (title, results) in zip(row[0], panels.items()):
        for name, runs in results.items():
            colour, mark = _style(name, others)
            places, (means, spreads) = list(runs), zip(*map(_spread, runs.values()))
            label = name if ax is row[0][0] else None
            ax.plot(places, means, mark + "-", color=colour, label=label)
            low, high = zip(*((mean - spread, mean + spread) for mean, spread in zip(means, spreads)))
            ax.fill_between(places, low, high, color=colour, alpha=0.18, lw=0)
        for text, level in (lines or {}).items():
            ax.axhline(level, color="black", ls=":", lw=1)
            ax.annotate(f"{text}: {level:.2f}", (1, level), (0, -3), xycoords=("axes fraction", "data"),
                        textcoords="offset points", ha="right", va="top", fontsize=8)  # fmt: skip
        ticks = sorted({place for runs in results.values() for place in runs})
        ax.set(xscale="log", xlabel=x_label, title=title, ylim=(0, top))
        ax.set_xticks(ticks, [f"{place:g}" for place in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    row[0][0].set_ylabel(y_label)
    figure.legend(loc="outside lower center", ncols=min(2 * len(panels), len(names)), frameon=False)
    told = "; ".join(
        f"{title + ', ' if title else ''}{name}: {_told(runs)}"
        for title, results in panels.items()
        for name, runs in results.items()
    )
    show(figure, f"{y_label} over {x_label}, means over the seeds. {told}.")


def _told(runs):
    return ", ".join(f"{_spread(results)[0]:.2f} at {place:g}" for place, results in runs.items())


# --- a text and its class --------------------------------------------------------------------------------------------


def verdict_on_a_text(tokens, parts, chances, groups):
    """HTML and picture in one: the chance of each group as bars, and what each token adds to the best group's score.

    `parts` (T) are numbers, positive where a token speaks for the group.
    """
    best = max(range(len(groups)), key=lambda number: chances[number])
    figure, ax = axes(width=6.4, height=2.3)
    colours = [BLUE if number == best else SKY for number in range(len(groups))]
    ax.barh(range(len(groups)), chances, color=colours)
    ax.set_yticks(range(len(groups)), groups)
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.08), xlabel="probability")
    for place, chance in enumerate(chances):
        ax.text(chance + 0.01, place, f"{chance:.2f}", va="center", fontsize=8)
    told = ", ".join(f"{group} {chance:.2f}" for group, chance in zip(groups, chances))
    strongest = max(map(abs, parts)) or 1
    words = "".join(_shaded(token, part / strongest) for token, part in zip(tokens, parts))
    legend = (
        f'<div style="font-size:85%;opacity:.85">What each token says about “{escape(groups[best])}”: '
        f'<span style="color:{BLUE}">■</span> for (+), <span style="color:{RED}">■</span> against (−)</div>'
    )
    picture = image(figure, f"Probability of each group: {told}.").data
    return HTML(f'<div style="max-width:860px">{picture}<div style="line-height:2.1">{words}</div>{legend}</div>')


def _shaded(token, part):
    """A token on a ground that is stronger the more it says, with a sign for those who can't tell the colours."""
    colour, sign = (BLUE, "+") if part > 0 else (RED, "−")
    strength = round(min(1.0, abs(part)) * 150)
    mark = f'<sup style="opacity:.7">{sign}</sup>' if abs(part) > 0.25 else ""
    style = f"background:{colour}{strength:02x};border-radius:3px;padding:1px 4px;margin:0 1px"
    return f'<span style="{style}">{escape(token)}{mark}</span>'


# --- an answer in a text ---------------------------------------------------------------------------------------------


def answers(found):
    """Show questions and texts with the answers in them: (question, text, start, end, right) each, places in letters.

    `right` is the answer that was asked for, None if nobody knows it.
    """
    lines = "".join(_answered(*each) for each in found)
    display(HTML(f'<div style="max-width:860px">{lines}</div>'))


def _answered(question, text, start, end, right=None):
    wrong = right is not None and text[start:end] != right
    colour = RED if wrong else GREEN
    marked = f'<span style="background:{colour}2e;border-bottom:3px solid {colour}">{escape(text[start:end])}</span>'
    note = f' <span style="color:{RED}">✗ right: {escape(right)}</span>' if wrong else ""
    line = f"{escape(text[:start])}{marked}{escape(text[end:])}{note}"
    return f'<div style="margin:6px 0"><b>{escape(question)}</b><br>{line}</div>'


def pointing(question, text, span, tokens, starts, ends):
    """The answer in its text, and below it the probability of each token to be the answer's start and end."""
    figure, ax = axes(width=min(10, 1.5 + 0.5 * len(tokens)), height=2.6)
    places = torch.arange(len(tokens))
    ax.bar(places - 0.2, starts, width=0.38, color=BLUE, label="start")
    ax.bar(places + 0.2, ends, width=0.38, color=ORANGE, label="end", hatch="///", edgecolor="white")
    ax.set_xticks(places, tokens, rotation=45, ha="right")
    ax.set(ylim=(0, 1), ylabel="probability")
    ax.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 1.2), ncols=2)
    first, last = starts.argmax().item(), ends.argmax().item()
    picture = image(figure, f"The start is most likely “{tokens[first]}” ({starts[first]:.2f}), the end "
                            f"“{tokens[last]}” ({ends[last]:.2f}).").data  # fmt: skip
    return HTML(f'<div style="max-width:860px">{_answered(question, text, *span)}{picture}</div>')
