"""How a report looks: one page without scripts, for light and dark screens and for paper."""

import base64
import io
import re
from itertools import groupby
from pathlib import Path

import jinja2
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

# The kinds of remarks, the gravest first, with what a teacher may call them.
KINDS = {
    "link": "Links",
    "tampering": "Locked cells or metadata changed",
    "missing": "Not handed in",
    "unreadable": "Not readable",
    "duplicate": "Handed in more than once",
    "version": "Another release",
    "file": "Another file name or place",
    "encoding": "Characters replaced",
    "edited": "Another type of cell",
    "recovered": "Found by its content",
    "deleted": "Locked cells deleted",
    "extra": "Own cells, which are not run",
}
# How an exercise may have gone, in Okabe and Ito's colours, which people with any colour vision can tell apart.
STATES = {"all points": "#009E73", "some points": "#E69F00", "no points": "#D55E00", "not attempted": "#9CA3AF"}
BLUE = "#0072B2"
INK = {"light": "#374151", "dark": "#d1d5db"}
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9.5,
    "svg.hashsalt": "unmasked",
    "svg.fonttype": "none",  # letters as letters
    "text.parse_math": False,
    "figure.constrained_layout.use": True,
}


def render(**contents):
    """The page, as HTML. `contents` are those of unmasked.classroom.report; everything in it is escaped."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"marked": marked, "number": "{:g}".format, "share": "{:.0%}".format, "calls": _calls}
    template = environment.get_template("report.html")
    pictures = {"points_picture": points_by_exercise(**contents), "totals_picture": distribution(**contents)}
    return template.render(**contents, **pictures, kinds=KINDS, colours=STATES, grouped=_grouped)


def marked(sentence):
    """The sentence, escaped, in which `backquotes` mark code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))


def points_by_exercise(states, **_):
    """A bar for each exercise: how many students got all points, some, none, or did not attempt it."""

    def draw(figure):
        ax = figure.subplots()
        left = [0] * len(states)
        for i, (state, colour) in enumerate(STATES.items()):
            counts = [row[i] for row in states.values()]
            bars = ax.barh(list(states), counts, left=left, color=colour, label=state, height=0.62)
            ax.bar_label(bars, [str(count) if count else "" for count in counts], label_type="center", color="black")
            left = [a + b for a, b in zip(left, counts)]
        ax.invert_yaxis()
        ax.set_xlabel("students")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, handlelength=1)

    said = "; ".join(
        f"{name}: " + ", ".join(f"{count} {state}" for count, state in zip(row, STATES) if count)
        for name, row in states.items()
    )
    return picture(draw, f"Bars of students by exercise. {said}.", height=0.9 + 0.36 * len(states))


def distribution(totals, most, **_):
    """How many students have how many points."""
    steps = max(min(round(most), 20), 1)

    def draw(figure):
        ax = figure.subplots()
        edges = [most * (i - 0.5) / steps for i in range(steps + 2)]
        ax.hist(totals, bins=edges, color=BLUE, rwidth=0.86)
        ax.set(xlabel=f"points of {most:g}", ylabel="students")
        ax.yaxis.get_major_locator().set_params(integer=True)

    said = f"from {min(totals):g} to {max(totals):g} of {most:g}"
    return picture(draw, f"Histogram of the points of {len(totals)} students, {said}.", height=2.3)


def picture(draw, text, height):
    """An <img> of what `draw(figure)` draws, in two versions: one for light grounds, one for dark ones."""
    light, dark = (_svg(draw, ink, height) for ink in INK.values())
    return Markup(
        '<picture><source media="(prefers-color-scheme: dark)" srcset="{}"><img src="{}" alt="{}"></picture>'
    ).format(dark, light, text)


def _svg(draw, ink, height):
    colours = dict.fromkeys(["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"], ink)
    with rc_context(STYLE | colours):
        figure = Figure(figsize=(8, height))
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _calls(student, group):
    """How a person calls a student."""
    name = group.names.get(student)
    return f"{name} ({student})" if name and name != student else student


def _grouped(rows, index):
    """Rows in groups that agree at `index`: [(value, rows), ...]."""
    return [(value, list(same)) for value, same in groupby(rows, key=lambda row: row[index])]
