"""The verdict of a check: points, the first thing that is wrong in one sentence, and what was met on the way."""

from dataclasses import dataclass

from unmasked import panel
from unmasked.another_way import AnotherWay
from unmasked.criteria import Criterion


@dataclass(frozen=True)
class Verdict:
    """What a check returns.

    Its plain text is the number of points, which is how nbgrader reads partial credit; in a notebook it shows as a
    panel; `print(verdict)` tells the same in lines of text.
    """

    exercise: str
    points: float
    max_points: float
    criteria: tuple[Criterion, ...] = ()
    diagnosis: str | None = None
    attempted: bool = True
    notes: tuple[str, ...] = ()
    printed: str = ""
    another_way: AnotherWay | None = None

    @property
    def passed(self):
        return self.points == self.max_points

    def __float__(self):
        return float(self.points)

    def __repr__(self):
        return str(float(self.points))

    def __str__(self):
        lines = [f"{self.exercise}: {self.points:g} of {self.max_points:g} points"]
        lines += [f"  [{'x' if criterion.holds else ' '}] {criterion.sentence}" for criterion in self.criteria]
        lines += [f"  {line}" for line in (self.diagnosis, *self.notes) if line]
        return "\n".join(lines)

    def _repr_html_(self):
        return panel.verdict(self)
