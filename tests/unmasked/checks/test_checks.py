"""Every check of every lesson: its known mistakes, right solutions, and whatever else a learner may hand in."""

import importlib.util
import os
import runpy
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from unmasked.exercise import exercises_of
from unmasked.lessons import LESSONS

VARIANTS_FOLDER = Path(__file__).parent / "variants"

EXERCISES = [
    pytest.param(lesson, exercise, id=f"{lesson.number:02d}-{name}")
    for lesson in LESSONS
    for name, exercise in exercises_of(lesson).items()
]
MISTAKES = [
    pytest.param(exercise, sentence, wrong, id=f"{lesson.number:02d}-{name}-{number}")
    for lesson in LESSONS
    for name, exercise in exercises_of(lesson).items()
    for number, (sentence, wrong) in enumerate(exercise.mistakes.items(), start=1)
]


def solutions_of(lesson):
    """The tables in the folder of variants; to the right solutions comes the one that a passed panel shows."""
    tables = runpy.run_path(str(VARIANTS_FOLDER / f"{lesson.topic}.py"))
    module = f"unmasked.other_ways.{lesson.topic}"
    shown = importlib.import_module(module) if importlib.util.find_spec(module) else None
    for name in exercises_of(lesson):
        if hasattr(shown, name):  # if not, test_another_way says so
            tables["VARIANTS"].setdefault(name, {})["the other way shown"] = getattr(shown, name)
    return tables


SOLUTIONS = {lesson: solutions_of(lesson) for lesson in LESSONS}


def labelled(table):
    """A test case for each entry of a table (exercise -> label -> solution) in the folder of variants."""
    return [
        pytest.param(exercises_of(lesson)[name], solution, label, id=f"{lesson.number:02d}-{name}-{label}")
        for lesson in LESSONS
        for name, entries in SOLUTIONS[lesson].get(table, {}).items()
        for label, solution in entries.items()
    ]


@pytest.mark.parametrize("exercise, sentence, wrong", MISTAKES)
def test_a_known_mistake_loses_points_and_is_named(exercise, sentence, wrong):
    verdict = exercise(wrong)
    assert verdict.points < verdict.max_points
    assert verdict.diagnosis == sentence


@pytest.mark.parametrize("exercise, sentence, wrong", MISTAKES)
def test_a_known_mistake_is_rejected_with_other_inputs_too(exercise, sentence, wrong):
    assert not exercise(wrong, seed=1).passed


@pytest.mark.parametrize("exercise, wrong, words", labelled("REWRITTEN_MISTAKES"))
def test_a_known_mistake_is_named_when_other_code_makes_it(exercise, wrong, words):
    diagnosis = exercise(wrong).diagnosis
    assert words in diagnosis and diagnosis in exercise.mistakes


@pytest.mark.parametrize("exercise, right, label", labelled("VARIANTS"))
def test_a_right_solution_passes_however_it_is_written(exercise, right, label):
    verdict = exercise(right)
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize("exercise, right, label", labelled("VARIANTS"))
def test_a_right_solution_passes_with_other_inputs_too(exercise, right, label):
    verdict = exercise(right, seed=1)
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize("lesson, exercise", EXERCISES)
def test_an_exercise_has_at_least_five_known_mistakes(lesson, exercise):
    assert len(exercise.mistakes) >= 5


@pytest.mark.parametrize("lesson, exercise", EXERCISES)
def test_an_exercise_has_at_least_three_right_variants(lesson, exercise):
    assert len(SOLUTIONS[lesson]["VARIANTS"].get(exercise.name, ())) >= 3


def raises_not_implemented(*args, **kwargs):
    raise NotImplementedError()


class NotBegun(torch.nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        raise NotImplementedError()


@pytest.mark.parametrize("lesson, exercise", EXERCISES)
def test_a_stub_is_not_attempted_yet(lesson, exercise):
    stub = NotBegun if exercise.name[0].isupper() else raises_not_implemented
    verdict = exercise(stub)
    assert (verdict.points, verdict.attempted) == (0, False)
    assert "not attempted yet" in verdict._repr_html_()


class Unconvertible:
    def __repr__(self):
        raise ValueError("no text for you")


NONSENSE = {
    "None": None,
    "a number": 3,
    "a class": torch.nn.Linear,
    "the class of a strange module": torch.nn.Bilinear,
    "a module": torch.nn.Identity(),
    "an array": np.ones(3),
    "a generator": (number for number in range(3)),
    "returns None": lambda *args, **kwargs: None,
    "returns a tuple": lambda *args, **kwargs: (args, kwargs),
    "returns an empty tensor": lambda *args, **kwargs: torch.empty(0),
    "returns a scalar": lambda *args, **kwargs: torch.tensor(1.0),
    "returns an array": lambda *args, **kwargs: np.ones((2, 3, 5)),
    "returns NaN": lambda *args, **kwargs: torch.full((2, 3, 5), torch.nan),
    "returns its first argument": lambda *args, **kwargs: args[0],
    "returns something without a text": lambda *args, **kwargs: Unconvertible(),
    "returns a class": lambda *args, **kwargs: Unconvertible,
    "takes nothing": lambda: None,
    "ends the program": lambda *args, **kwargs: sys.exit(3),
    "interrupts": lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt()),
    "raises an exception without a text": lambda *args, **kwargs: (_ for _ in ()).throw(Exception()),
    "changes the default dtype": lambda *args, **kwargs: torch.set_default_dtype(torch.float64),
    "writes to stderr": lambda *args, **kwargs: print("oh", file=sys.stderr),
}


@pytest.mark.parametrize("lesson, exercise", EXERCISES)
@pytest.mark.parametrize("label", NONSENSE)
def test_nonsense_gets_a_sentence_and_no_points(lesson, exercise, label, capfd):
    verdict = exercise(NONSENSE[label])
    assert verdict.points == 0 and verdict.diagnosis
    assert verdict._repr_html_() and float(repr(verdict)) == 0
    assert capfd.readouterr() == ("", "")
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.topic)
def test_an_endless_loop_is_stopped(lesson):
    def endless(*args, **kwargs):
        while True:
            time.sleep(0.01)

    function = next(e for e in exercises_of(lesson).values() if e.name[0].islower())
    assert "loop that never ends" in function(endless).diagnosis


@pytest.mark.parametrize("allocate", [lambda n: torch.ones(n // 4), lambda n: np.ones(n // 8), bytearray])
def test_a_huge_allocation_is_stopped(allocate):
    if not os.path.exists("/proc/self/statm"):
        return  # the limit exists on Linux only; elsewhere the operating system decides
    function = next(e for e in exercises_of(LESSONS[0]).values())
    assert "more than 4 GB of memory" in function(lambda *args, **kwargs: allocate(10 * 2**30)).diagnosis
