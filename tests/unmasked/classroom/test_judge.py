"""Checks from afar: the same verdicts as in the notebook, on every solution and every mistake that the tests know."""

import base64
import importlib
import runpy
from pathlib import Path

import cloudpickle
import nbformat
import pytest

from unmasked.classroom.cage import Cage
from unmasked.classroom.judge import Stay, judge
from unmasked.classroom.master import read_master
from unmasked.exercise import exercises_of
from unmasked.lessons import LESSONS

ROOT = Path(__file__).parents[3]
VARIANTS_FOLDER = ROOT / "tests" / "unmasked" / "checks" / "variants"


@pytest.fixture(scope="module", params=LESSONS, ids=lambda lesson: lesson.name)
def lesson(request):
    return request.param


@pytest.fixture(scope="module")
def master(lesson):
    return read_master(ROOT / "solutions" / f"{lesson.name}.ipynb", lesson)


@pytest.fixture(scope="module")
def cage(lesson, master):
    with Cage(lesson, master.preamble) as cage:
        yield cage


def attempts_at(lesson, name):
    """Every right solution and every mistake that the tests know, by a label."""
    tables = runpy.run_path(str(VARIANTS_FOLDER / f"{lesson.topic}.py"))
    yield from tables["VARIANTS"][name].items()
    yield from tables.get("REWRITTEN_MISTAKES", {}).get(name, {}).items()
    yield from exercises_of(lesson)[name].mistakes.items()


def cell_of(name, solution):
    """A cell that defines a solution; where it runs there is no file that it could be imported from."""
    pickled = base64.b64encode(cloudpickle.dumps(solution)).decode()
    return f"import base64, cloudpickle\n{name} = cloudpickle.loads(base64.b64decode('{pickled}'))"


def what_counts(verdict):
    sentences = [(criterion.sentence, bool(criterion.holds)) for criterion in verdict.criteria]
    return verdict.points, verdict.diagnosis, verdict.attempted, sentences


def test_near_and_far_give_the_same_verdicts(lesson, cage):
    # The cage has neither the known mistakes nor the other ways, which some right solutions call.
    modules = [importlib.import_module(f"unmasked.{package}.{lesson.topic}") for package in ("checks", "other_ways")]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    different = {}
    for name, exercise in exercises_of(lesson).items():
        for label, solution in attempts_at(lesson, name):
            with Stay(cage, {name: cell_of(name, solution)}) as stay:
                assert stay.enter(name) is None, f"{name}, {label}: {stay.errors}"
                far = exercise.judge(stay.ask, seed=4)
            if what_counts(far) != what_counts(near := exercise(solution, seed=4)):
                different[name, label] = what_counts(near), what_counts(far)
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)
    assert not different


def test_the_stubs_score_nothing_and_are_not_attempted(lesson, cage, master):
    judged = judge(cage, lesson, master.answers, seed=1)
    assert {(each.verdict.points, each.verdict.attempted) for each in judged.values()} == {(0, False)}


def test_the_lessons_own_solutions_get_every_point_with_nothing_else_run(lesson, cage, master):
    notebook = nbformat.read(ROOT / "solutions" / f"{lesson.name}.ipynb", as_version=4)
    solved = {c.metadata.nbgrader.grade_id: c.source for c in notebook.cells if "nbgrader" in c.metadata}
    judged = judge(cage, lesson, {name: solved[name] for name in master.answers}, seed=2)
    assert {name: each.verdict.diagnosis for name, each in judged.items() if not each.verdict.passed} == {}
