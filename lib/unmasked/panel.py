"""How a verdict looks in a notebook: one small panel of HTML, without scripts, readable in light and dark themes."""

from html import escape

import torch

from unmasked.attempt import Foreign

GREEN, RED, GREY = "#1a7f5a", "#c2410c", "#6b7280"
MOST_CELLS = 8
LONGEST = 300  # characters of a value
_LEFT = "text-align:left;vertical-align:top;padding:2px 14px 2px 0"


def verdict(verdict):
    """The panel of a verdict: a headline, the criteria met, what is wrong, and expected beside received."""
    colour, headline = _headline(verdict)
    body = [_line(criterion) for criterion in verdict.criteria]
    if verdict.diagnosis and verdict.attempted:
        body.append(f'<p style="margin:8px 0 4px;font-size:105%"><b>{_text(verdict.diagnosis)}</b></p>')
    elif verdict.diagnosis:
        body.append(f"<div>{_text(verdict.diagnosis.partition(': ')[2])}</div>")
    body += [f'<p style="margin:4px 0;opacity:.8">{_text(note)}</p>' for note in verdict.notes]
    if verdict.criteria and not verdict.criteria[-1].holds:
        body.append(_side_by_side(verdict.criteria[-1]))
    if verdict.printed:
        body.append(
            '<details style="margin-top:6px"><summary>What your code printed</summary>'
            f'<pre style="margin:4px 0">{escape(verdict.printed)}</pre></details>'
        )
    if verdict.another_way:
        body.append(_another_way(verdict.another_way))
    return box(colour, f"{escape(verdict.exercise)} · {headline}", "".join(body))


def parts(report):
    """The panel of `carry_on`: for each part of earlier lessons whose it is, and why."""
    if report.summary:
        return box(GREY, escape(report.summary))
    rows = "".join(_part(part) for part in report.parts)
    head = "".join(f'<th scope="col" style="{_LEFT}">{name}</th>' for name in ("part", "lesson", "whose", "why"))
    table = f'<table style="border-collapse:collapse;margin:4px 0"><tr>{head}</tr>{rows}</table>'
    return box(GREEN if all(part.mine for part in report.parts) else GREY, escape(report.headline), table)


def box(colour, headline, body=""):
    """A panel with a coloured edge."""
    return (
        f'<div style="border-left:4px solid {colour};padding:6px 12px;margin:4px 0;line-height:1.45">'
        f'<div style="color:{colour};font-weight:600">{headline}</div>{body}</div>'
    )


def _part(part):
    colour, mark = (GREEN, "✓ ") if part.mine else (GREY, "")
    whose = f'<span style="color:{colour};font-weight:600;white-space:nowrap">{mark}{part.whose}</span>'
    cells = (f"<code>{part.name}</code>", part.lesson, whose, _text(part.why))
    return "<tr>" + "".join(f'<td style="{_LEFT}">{cell}</td>' for cell in cells) + "</tr>"


def _headline(verdict):
    points = f"{verdict.points:g} of {verdict.max_points:g} point{'' if verdict.max_points == 1 else 's'}"
    if not verdict.attempted:
        return GREY, "not attempted yet"
    return (GREEN, f"✓ {points}") if verdict.passed else (RED, f"✗ {points}")


def _line(criterion):
    mark, colour = ("✓", GREEN) if criterion.holds else ("✗", RED)
    return f'<div><span style="color:{colour};font-weight:600">{mark}</span> {_text(criterion.sentence)}</div>'


def _text(sentence):
    """Escaped text in which `backquotes` mark code."""
    pieces = escape(sentence).split("`")
    if len(pieces) % 2 == 0:
        return "`".join(pieces)
    return "".join(f"<code>{piece}</code>" if i % 2 else piece for i, piece in enumerate(pieces))


def _another_way(way):
    return (
        '<details style="margin-top:6px"><summary style="cursor:pointer">Another way to write it</summary>'
        f'<p style="margin:6px 0">{_text(way.why)}</p>'
        '<pre style="margin:4px 0;padding:6px 10px;background:rgba(127,127,127,.12);overflow-x:auto">'
        f"{escape(way.source)}</pre></details>"
    )


def _side_by_side(criterion):
    expected, received = criterion.expected, criterion.received
    if expected is None and received is None:
        return ""
    where, wrong = "", None
    if isinstance(expected, torch.Tensor) and isinstance(received, torch.Tensor) and expected.shape == received.shape:
        expected, received, wrong, where = _worst_slice(expected.detach(), received.detach())
    shown = [
        f'<div style="margin-right:28px"><div style="opacity:.75">{name}{where}</div>{_value(value, framed)}</div>'
        for name, value, framed in (("expected", expected, None), ("received", received, wrong))
        if value is not None
    ]
    return f'<div style="display:flex;flex-wrap:wrap;margin-top:6px">{"".join(shown)}</div>'


def _worst_slice(expected, received):
    """Of tensors with more than two axes the matrix that holds the largest difference, and which one it is."""
    gap = (expected.double() - received.double()).abs().nan_to_num(nan=torch.inf)
    where = ""
    if expected.dim() > 2:
        worst = torch.unravel_index(gap.argmax(), gap.shape)[:-2]
        index = tuple(int(i) for i in worst)
        expected, received, gap = expected[index], received[index], gap[index]
        where = f" at [{', '.join(map(str, index))}]"
    return expected, received, gap > 1e-4 * (1 + expected.double().abs()), where


def _value(value, wrong=None):
    if isinstance(value, Foreign):
        return f"<code>{escape(value.text or value.type_name)}</code>"
    if not isinstance(value, torch.Tensor) or value.dim() > 2:
        text = str(value)
        return f"<code>{escape(text if len(text) <= LONGEST else text[:LONGEST] + ' …')}</code>"
    rows = torch.atleast_2d(value)[:MOST_CELLS, :MOST_CELLS]
    wrong = torch.zeros_like(rows, dtype=torch.bool) if wrong is None else torch.atleast_2d(wrong)
    highest = max(rows.double().nan_to_num(0, 0, 0).abs().max().item(), 1e-9) if rows.numel() else 1.0
    cells = [
        "<tr>" + "".join(_cell(number, wrong[i, j], highest) for j, number in enumerate(row)) + "</tr>"
        for i, row in enumerate(rows.tolist())
    ]
    cut = "" if rows.numel() == value.numel() else f'<div style="opacity:.7">the first {MOST_CELLS} of each axis</div>'
    return f'<table style="border-collapse:collapse;margin:2px 0">{"".join(cells)}</table>{cut}'


def _cell(number, wrong, highest):
    """A number on a blue (positive) or orange (negative) ground, framed where it is wrong."""
    text = (f"{number:.2f}" if abs(number) < 1e5 else f"{number:.1e}") if isinstance(number, float) else str(number)
    share = 0.0 if number != number else min(abs(number) / highest, 1.0)
    ground = f"rgba({'37,99,235' if number >= 0 else '217,119,6'},{0.45 * share:.2f})"
    frame = f"2px solid {RED}" if wrong else "1px solid transparent"
    return (
        f'<td style="background:{ground};border:{frame};padding:1px 6px;text-align:right;'
        f'font-family:monospace;font-size:90%">{text}</td>'
    )
