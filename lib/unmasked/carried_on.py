"""A learner's own parts, carried on into later lessons.

    MultiHeadAttention, Encoder = carry_on("MultiHeadAttention", "Encoder")

They come from the saved notebooks beside the running one. A part is the learner's own if it passes its check and, used
as later lessons use it, does what the reference in `nanobert` does. For any other the reference stands in, and the
panel says why.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from IPython.display import display

from nanobert.embeddings import Embeddings
from nanobert.encoder import Encoder, EncoderBlock, FeedForward
from nanobert.multi_head import MultiHeadAttention
from nanobert.positions import sinusoidal_positions
from unmasked import panel, stand_ins
from unmasked.errors import UnmaskedError
from unmasked.exercise import exercises_of, explain
from unmasked.interchange import misfit
from unmasked.lessons import find_lesson
from unmasked.rerun import rerun
from unmasked.saved import Unreadable

REFERENCES = {
    "03": (MultiHeadAttention,),
    "04": (Embeddings, sinusoidal_positions),
    "05": (FeedForward, EncoderBlock, Encoder),
}
KNOWN = {each.__name__: (lesson, each) for lesson, references in REFERENCES.items() for each in references}

STOOD_IN = "With the course's `{}`: yours {}"
ONLY_EXERCISES = (
    " Only imports and the cells of exercises are carried on: put into an exercise's cell all that it uses."
)


@dataclass(frozen=True)
class Part:
    """A part that a lesson uses: the learner's own (`mine`) or the reference, and what there is to say about it."""

    name: str
    lesson: str
    value: object
    mine: bool = False
    why: str = ""

    @property
    def whose(self):
        return "yours" if self.mine else "the reference"


@dataclass(frozen=True)
class Report:
    """What `carry_on` shows. A `summary` takes the place of saying it for each part."""

    parts: tuple[Part, ...]
    summary: str = ""

    @property
    def headline(self):
        if self.summary:
            return self.summary
        mine = [part for part in self.parts if part.mine]
        helped = sum(bool(part.why) for part in mine)
        rest = f", {helped} of them with a function of the course's" if helped else ""
        return f"{len(mine)} of {len(self.parts)} parts are your own{rest}"

    def __repr__(self):
        rows = () if self.summary else self.parts
        lines = [f"  {part.name} (lesson {part.lesson}): {part.whose}. {part.why}".rstrip() for part in rows]
        return "\n".join([self.headline, *lines])

    def _repr_html_(self):
        return panel.parts(self)


class FallsBack(Exception):
    """Why the reference stands in: a sentence."""


def carry_on(*names, own=True):
    """The learner's own functions and classes of these names, and the reference for each that can't be used: a tuple.

    Shows whose each one is, and why. With `own=False`, and in grading, it is the reference for all.
    Errors: UnmaskedError for a name that nothing is known of.
    """
    if unknown := [name for name in names if name not in KNOWN]:
        raise UnmaskedError(f"There is no part {unknown[0]} to carry on, only {', '.join(KNOWN)}.")
    summary = ""
    if not own:
        summary = "The reference for all parts, because of own=False"
    elif "NBGRADER_EXECUTION" in os.environ:
        summary = "The reference for all parts, as always in grading"
    notebooks = {}
    parts = [_reference(name) if summary else _part(name, notebooks) for name in names]
    display(Report(tuple(parts), summary))
    return tuple(part.value for part in parts)


def _reference(name, why=""):
    lesson, reference = KNOWN[name]
    return Part(name, lesson, reference, why=why)


def _part(name, notebooks):
    """The learner's own part, or the reference. `notebooks` keeps each lesson's, or why it could not be had."""
    lesson, reference = KNOWN[name]
    try:
        if lesson not in notebooks:
            notebooks[lesson] = _Notebook(find_lesson(lesson))
        value, why = notebooks[lesson].part(name)
        if problem := misfit(value, reference):
            raise FallsBack(problem)
    except FallsBack as problem:
        return _reference(name, why=str(problem))
    return Part(name, lesson, value, mine=True, why=why)


# --- What the learner has --------------------------------------------------------------------------------------------


class _Notebook:
    """A learner's notebook of an earlier lesson, run again.  Errors: FallsBack if there is none that can be read."""

    def __init__(self, lesson):
        self.file = f"{lesson.name}.ipynb"
        self.replaced = {}
        try:
            self.exercises = exercises_of(lesson)
            self.run = rerun(_find(lesson), self.exercises)
        except ModuleNotFoundError:
            raise FallsBack("Its check is not in this copy of the course.") from None
        except Unreadable as problem:
            raise FallsBack(f"{self.file} {problem}.") from None

    def part(self, name):
        """The learner's own of this name, and what there is to say about it.  Errors: FallsBack."""
        self._require_answer(name)
        replaced = self._stand_in_for(self.exercises[name].uses)
        missed = " ".join(STOOD_IN.format(each, why) for each, why in replaced.items() if self._calls(name, each))
        verdict = self.exercises[name](self.run.namespace[name])
        if not verdict.attempted:
            raise FallsBack("Not attempted yet.")
        if not verdict.passed:
            raise FallsBack(f"It does not pass its check. {_with_advice(verdict.diagnosis)}")
        return self.run.namespace[name], missed.rstrip()

    def _require_answer(self, name):
        if name not in self.run.sources:
            raise FallsBack(f"Its cell is not in {self.file}.")
        reply = self.run.replies[name]
        if reply is None:
            raise FallsBack("Its cell holds the course's own solution.")
        if reply.error:
            raise FallsBack(f"Its cell fails. {_with_advice(explain(reply))}")
        if name not in self.run.namespace:
            raise FallsBack(f"Its cell in {self.file} does not define it.")

    def _stand_in_for(self, names):
        """Put right functions in the place of those that are missing or do not pass, for good; returns name -> why."""
        own = self.run.namespace
        for name in (name for name in names if name not in self.replaced):
            verdict = self.exercises[name](own[name]) if name in own else None
            if verdict is None or not verdict.passed:
                own[name] = getattr(stand_ins, name)
                self.replaced[name] = _what_is_wrong(verdict)
        return {name: self.replaced[name] for name in names if name in self.replaced}

    def _calls(self, name, other):
        """Whether the answer to an exercise names another one, itself or by way of those that it may use."""
        sources = [self.run.sources[name]]
        sources += [self.run.sources.get(each, "") for each in self.exercises[name].uses if _names(sources[0], each)]
        return any(_names(source, other) for source in sources)


def _find(lesson):
    """The learner's notebook of a lesson: beside the running one, or where nbgrader's exchange puts it."""
    for path in (Path(f"{lesson.name}.ipynb"), Path("..", lesson.name, f"{lesson.name}.ipynb")):
        if path.exists():
            return path
    raise FallsBack(f"{lesson.name}.ipynb is not in this folder.")


def _what_is_wrong(verdict):
    """How a sentence about the learner's function goes on; `verdict` is None if there is no such function."""
    if verdict is None:
        return "is not there."
    if not verdict.attempted:
        return "is not written yet."
    return f"does not pass its check. {_with_advice(verdict.diagnosis)}"


def _with_advice(diagnosis):
    """What is wrong; and if a name is missing, why it may be."""
    return diagnosis + (ONLY_EXERCISES if "NameError" in diagnosis else "")


def _names(source, name):
    return re.search(rf"\b{name}\b", source) is not None
