"""The figures of lesson 09."""

from html import escape

import torch
from IPython.display import HTML, display
from matplotlib.transforms import Bbox

from unmasked.figures import BLUE, GREEN, ORANGE, RED, axes, heatmap, show

SUBJECT_COLOURS = (BLUE, RED, GREEN)


def fingerprints(models, reference, tolerance):
    """Draw the largest difference from the reference, name -> tensor, at each layer, a curve for each of the models."""
    curves = {label: {name: (stages[name] - reference[name]).abs().max().item() for name in reference}
              for label, stages in models.items()}  # fmt: skip
    figure, ax = axes(width=8.6, height=3.6)
    for label, sizes in curves.items():
        right = label == "yours"
        ax.plot(list(sizes), list(sizes.values()), "o-", color="black" if right else None, lw=2.5 if right else 1.3,
                ms=4, label=label)  # fmt: skip
    ax.axhline(tolerance, ls="--", color="grey", lw=1)
    ax.annotate("tolerance", (1, tolerance), xycoords=("axes fraction", "data"), xytext=(4, 0), va="center",
                textcoords="offset points", color="grey", fontsize=8)  # fmt: skip
    ax.set(ylabel="largest difference", yscale="log")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    first = {label: next((name for name, size in sizes.items() if size > tolerance), "nowhere")
             for label, sizes in curves.items()}  # fmt: skip
    told = ", ".join(f"{label}: {name}" for label, name in first.items())
    show(figure, f"The largest difference at each layer, on a logarithmic axis. Where it first passes the tolerance: "
                 f"{told}.")  # fmt: skip


def similarities(sentences, cosines):
    """Draw the cosines between sentences; each column has the number of its row."""
    figure, ax = axes(width=8.2, height=3.4)
    numbers = [str(i + 1) for i in range(len(sentences))]
    heatmap(ax, cosines, [f"{i}  {text}" for i, text in zip(numbers, sentences)], numbers, lowest=0, highest=1)
    ax.tick_params(axis="x", labelrotation=0)
    apart = cosines - 2 * torch.eye(len(sentences))
    i, j = divmod(int(apart.argmax()), len(sentences))
    show(figure, f"Cosines of all pairs. The largest is {cosines[i, j]:.2f}: “{sentences[i]}” and “{sentences[j]}”")


def maps(panels, sentences, subjects):
    """Draw sentences as points with their text, coloured by up to three subjects; panels: title -> points (N, 2)."""
    figure, row = axes(len(panels), width=10, height=5)
    names = list(dict.fromkeys(subjects))
    for ax, (title, points) in zip(row, panels.items()):
        colours = [SUBJECT_COLOURS[names.index(subject)] for subject in subjects]
        ax.scatter(*points.T, s=16, c=colours)
        ax.set(title=title, xticks=[], yticks=[])
        ax.margins(x=0.3, y=0.08)
        figure.draw_without_rendering()  # only now is it known where a label would stand
        _label(ax, points.tolist(), sentences, colours)
    for name, colour in zip(names, SUBJECT_COLOURS):
        row[-1].plot([], [], "o", color=colour, label=name)
    row[-1].legend(loc="best", frameon=False, fontsize=8)
    show(figure, f"Sentences about {', '.join(names)}, as points: " + " beside ".join(panels) + ".")


def _label(ax, points, sentences, colours):
    """Write each sentence beside its point, on that of four sides where it covers least of the others and of points."""
    sides = ((3, 2), "left"), ((3, -8), "left"), ((-3, 2), "right"), ((-3, -8), "right")
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in ax.transData.transform(points)]
    for point, sentence, colour in zip(points, sentences, colours):
        style = {"textcoords": "offset points", "fontsize": 7, "color": colour}
        labels = [ax.annotate(sentence, point, xytext=shift, ha=side, **style) for shift, side in sides]
        boxes = [label.get_window_extent() for label in labels]
        best = min(range(len(sides)), key=lambda i: sum(boxes[i].overlaps(other) for other in taken))
        taken.append(boxes[best])
        for label in labels[:best] + labels[best + 1 :]:
            label.remove()


def found(results):
    """HTML: what a search has found, pairs of a cosine and a text."""
    rows = "".join(f"<tr><td>{cosine:.2f}</td><td style='text-align:left'>{escape(text)}</td></tr>"
                   for cosine, text in results)  # fmt: skip
    return HTML(f"<table><tr><th>cosine</th><th style='text-align:left'>text</th></tr>{rows}</table>")


def searches(results):
    """Show what several searches have found: query -> pairs of a cosine and a text."""
    for query, pairs in results.items():
        display(HTML(f"<b>{escape(query)}</b>"), found(pairs))


def learning_to_fill(losses, levels):
    """Draw held-out losses, name -> step -> loss, and the levels that need no training, name -> loss."""
    figure, ax = axes(width=7.6, height=3.6)
    for (name, curve), colour in zip(losses.items(), (BLUE, ORANGE)):
        ax.plot(list(curve), list(curve.values()), "o-", color=colour, lw=2, ms=4, label=name)
    for name, level in levels.items():
        ax.axhline(level, color="black", ls=":", lw=1)
        ax.annotate(f"{name}: {level:.2f}", (1, level), xycoords=("axes fraction", "data"), xytext=(0, 3), ha="right",
                    textcoords="offset points")  # fmt: skip
    ax.set(xlabel="step", ylabel="held-out loss (nats)", ylim=(None, max(levels.values()) + 0.6))
    ax.set_xticks(list(next(iter(losses.values()))))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    told = "; ".join(f"{name}: {list(curve.values())[0]:.2f} to {list(curve.values())[-1]:.2f}"
                     for name, curve in losses.items())  # fmt: skip
    show(figure, f"Held-out loss. {told}.")


def filled(guesses):
    """Show what several models put into blanks: text -> name of the model -> its best tokens."""
    names = list(next(iter(guesses.values())))
    left = "style='text-align:left'"
    head = "".join(f"<th {left}>{escape(name)}</th>" for name in ["", *names])
    rows = "".join(f"<tr><td {left}>{escape(text)}</td>"
                   + "".join(f"<td {left}>{escape(' · '.join(by_model[name]))}</td>" for name in names) + "</tr>"
                   for text, by_model in guesses.items())  # fmt: skip
    display(HTML(f"<table><tr>{head}</tr>{rows}</table>"))


def roles(shares):
    """Draw a number for each head of each block, in several panels: title -> (L, H)."""
    figure, row = axes(len(shares), width=10, height=2.7)
    for ax, (title, matrix) in zip(row, shares.items()):
        heatmap(ax, matrix, title=title, numbers=False, lowest=0, highest=1)
        for block, head in (matrix > 0.3).nonzero().tolist():
            value = matrix[block, head]
            ax.text(head, block, f"{value:.1f}"[-2 if value < 0.95 else 0 :], ha="center", va="center", fontsize=6.5,
                    color="white" if value < 0.6 else "black")  # fmt: skip
        ax.set(xlabel="head", ylabel="block")
    most = (f"{title}: head {int(matrix.argmax()) % matrix.shape[1]} of block {int(matrix.argmax()) // matrix.shape[1]}"
            for title, matrix in shares.items())  # fmt: skip
    show(figure, "The mean share of attention of each head. The most goes to " + "; ".join(most) + ".")
