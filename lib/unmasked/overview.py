"""How progress looks: a line below a verdict, and a table of all lessons, in HTML for notebooks and as plain text."""

from dataclasses import asdict, dataclass
from html import escape

from unmasked.progress import FOLDER, Standing, Task

BLUE, TROUGH = "#0072b2", "rgba(128,128,128,.28)"
QUIET = "padding:0 16px;margin:0 0 4px;font-size:92%;opacity:.85"
NUMBER = "text-align:right;white-space:nowrap"


@dataclass(frozen=True)
class Overview:
    """Shows as a table: a row for each lesson, and what to do next."""

    standings: list[Standing]
    next: tuple[Standing, Task] | None

    def __repr__(self):
        return text(self.standings, self.next)

    def _repr_html_(self):
        return table(self.standings, self.next)

    def as_data(self):
        """The same as lists and dicts, for programs."""
        return {
            "lessons": [_data_of(standing) for standing in self.standings],
            "next": {"lesson": self.next[0].lesson.name, "exercise": self.next[1].name} if self.next else None,
        }


def line(standing, following):
    """What a passed check adds to the lesson; `following` is the Standing and Task to go on with, or None."""
    name = f"Lesson {standing.lesson.number:02d}"
    if not standing.done:
        so_far = f"{name}: {counts(standing)}."
    else:
        so_far = f"{name} is done: {_of(standing.points, standing.max_points)} points in {_tries(standing.tries)}."
    if following is None:
        return quiet(f"{so_far} That was the last exercise of the course.")
    there, task = following
    place = "" if there.lesson == standing.lesson else f" in {_link(there)}"
    return quiet(f"{so_far} Next: Exercise {escape(task.title)}{place}.")


def not_saved(error):
    """What is said below a verdict if the try can't be recorded."""
    reason = escape(error.strerror or str(error))
    return quiet(f"Your progress could not be saved: {reason}. The verdict stands; the check can be run again.")


def quiet(html):
    return f'<div style="{QUIET}">{html}</div>'


def counts(standing):
    """3 of 5 exercises, 7 of 10 points"""
    exercises = _of(standing.passed, len(standing.tasks))
    return f"{exercises} exercises, {_of(standing.points, standing.max_points)} points"


def table(standings, following):
    """All lessons, as an HTML table whose bars repeat what stands beside them."""
    head = "".join(f'<th scope="col" style="{NUMBER}">{name}</th>' for name in ("exercises", "points", "tries"))
    rows = "".join(_row(standing) for standing in standings)
    body = (
        '<table style="border-collapse:collapse;margin:4px 0">'
        '<caption style="text-align:left;font-weight:600;padding:2px 0">Your progress</caption>'
        f'<thead><tr><th scope="col" style="text-align:left">lesson</th><td></td>{head}</tr></thead>'
        f"<tbody>{rows}</tbody><tfoot>{_totals(standings)}</tfoot></table>"
    )
    if not following:
        return f"{body}<p>Every exercise is passed.</p>"
    standing, task = following
    return f"{body}<p>Next: Exercise {escape(task.title)}, in {_link(standing)}</p>"


def text(standings, following):
    """The same for a terminal."""
    rows = [("lesson", "exercises", "points", "tries", "")]
    rows += [(f"{each.lesson.number:02d} {each.lesson.title}", *_cells(each), _remark(each)) for each in standings]
    rows.append(("total", *_total_cells(standings), ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{row[0]:{widths[0]}}  " + "  ".join(f"{row[i]:>{widths[i]}}" for i in (1, 2, 3)) + f"  {row[4]}"
        for row in rows
    ]
    if following:
        standing, task = following
        lines += ["", f"Next: Exercise {task.title}, in {FOLDER}/{standing.path.name}"]
    else:
        lines += ["", "Every exercise is passed."]
    return "\n".join(each.rstrip() for each in lines)


def _data_of(standing):
    counted = {
        name: getattr(standing, name) for name in ("passed", "points", "max_points", "tries", "done", "readable")
    }
    return {"lesson": standing.lesson.name, **counted, "exercises": [asdict(task) for task in standing.tasks]}


def _row(standing):
    exercises, points, tries = _cells(standing)
    remark = _remark(standing)
    numbers = "".join(f'<td style="{NUMBER}">{value}</td>' for value in (exercises, points, tries))
    name = f'<th scope="row" style="text-align:left;font-weight:normal">{_link(standing)}</th>'
    return f'<tr>{name}<td>{_bar(standing)}</td>{numbers}<td style="text-align:left">{remark}</td></tr>'


def _totals(standings):
    numbers = "".join(f'<td style="{NUMBER};font-weight:600">{value}</td>' for value in _total_cells(standings))
    return f'<tr><th scope="row" style="text-align:left">total</th><td></td>{numbers}<td></td></tr>'


def _bar(standing):
    share = 100 * standing.points / max(standing.max_points, 1)
    return (
        f'<div aria-hidden="true" style="width:120px;height:9px;background:{TROUGH};border-radius:3px">'
        f'<div style="width:{share:.0f}%;height:9px;background:{BLUE};border-radius:3px"></div></div>'
    )


def _cells(standing):
    if not standing.readable:
        return "", "", ""
    return _of(standing.passed, len(standing.tasks)), _of(standing.points, standing.max_points), str(standing.tries)


def _total_cells(standings):
    exercises = _of(sum(each.passed for each in standings), sum(len(each.tasks) for each in standings))
    points = _of(sum(each.points for each in standings), sum(each.max_points for each in standings))
    return exercises, points, str(sum(each.tries for each in standings))


def _remark(standing):
    if not standing.readable:
        return f"can't be read: unmasked reset {standing.lesson.number:02d} brings a fresh one and keeps this one"
    return "✓ done" if standing.done else ""


def _link(standing):
    name = f"{standing.lesson.number:02d} {standing.lesson.title}"
    return f'<a href="{standing.path.name}">{escape(name)}</a>'


def _of(part, whole):
    return f"{part:g} of {whole:g}"


def _tries(number):
    return f"{number} tr{'y' if number == 1 else 'ies'}"
