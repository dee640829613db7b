"""The other way to write an exercise: there is one for each, it is short and says why, and it shows where it may."""

import ast
import html
from pathlib import Path

import nbformat
import pytest

from unmasked.another_way import AnotherWay, another_way
from unmasked.exercise import exercises_of
from unmasked.lessons import LESSONS
from unmasked.stand_ins import attention_weights
from unmasked.verdict import Verdict

ROOT = Path(__file__).parents[2]
MOST_LINES, MOST_COLUMNS, MOST_WORDS = 16, 100, 40
SECTION = "Another way to write it"

EXERCISES = [
    pytest.param(lesson, exercise, id=f"{lesson.number:02d}-{name}")
    for lesson in LESSONS
    for name, exercise in exercises_of(lesson).items()
]
every_exercise = pytest.mark.parametrize("lesson, exercise", EXERCISES)


def definition(source, name):
    """The syntax of a function or class, which layout, comments and docstrings don't change."""
    found = next(node for node in ast.parse(source).body if getattr(node, "name", None) == name)
    for node in ast.walk(found):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            node.body = node.body[1:]
    return ast.dump(found)


def cells_of(lesson):
    """The code cells that grading runs: those that import, and the exercises, which are given by their names."""
    for cell in nbformat.read(ROOT / "solutions" / f"{lesson.name}.ipynb", as_version=4).cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in exercises_of(lesson) or cell.cell_type == "code" and cell.source.startswith("import "):
            yield name, cell.source


@every_exercise
def test_every_exercise_has_another_way_that_is_short_and_says_why(lesson, exercise):
    way = another_way(lesson.topic, exercise.name)
    assert way, f"write {exercise.name}, below a comment that says why, in lib/unmasked/other_ways/{lesson.topic}.py"
    assert way.why.endswith(".") and len(way.why.split()) <= MOST_WORDS
    lines = [line for line in way.source.splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES and max(map(len, lines)) <= MOST_COLUMNS
    assert '"""' not in way.source


@every_exercise
def test_the_other_way_is_not_the_lessons_own(lesson, exercise):
    own, other = dict(cells_of(lesson))[exercise.name], another_way(lesson.topic, exercise.name).source
    assert definition(own, exercise.name) != definition(other, exercise.name)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_the_other_way_runs_in_the_lessons_notebook_as_it_stands(lesson):
    notebook = {}
    for _, source in cells_of(lesson):
        exec(source, notebook)
    for name, exercise in exercises_of(lesson).items():
        own = notebook[name]
        exec(another_way(lesson.topic, name).source, notebook)
        assert exercise(notebook[name]).passed, name
        notebook[name] = own


WEIGHTS = exercises_of(next(lesson for lesson in LESSONS if lesson.topic == "self_attention"))["attention_weights"]


def test_a_passed_panel_ends_with_the_other_way_folded():
    verdict = WEIGHTS(attention_weights)
    panel = verdict._repr_html_()
    assert panel.count("<details") == 1 and f">{SECTION}</summary>" in panel
    assert html.escape(verdict.another_way.source) in panel.partition(SECTION)[2]


@pytest.mark.parametrize("subject", [next(iter(WEIGHTS.mistakes.values())), None, lambda query, key: None])
def test_a_panel_that_has_not_passed_does_not_show_it(subject):
    assert SECTION not in WEIGHTS(subject)._repr_html_()


def test_grading_does_not_show_it(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    verdict = WEIGHTS(attention_weights)
    assert verdict.passed and SECTION not in verdict._repr_html_()


def test_a_check_without_another_way_passes_all_the_same():
    assert another_way("self_attention", "no_such_exercise") is None
    assert another_way("no_such_topic", "attention_weights") is None


def test_it_is_shown_as_text_and_not_as_html():
    way = AnotherWay("Where `x < y` it is shorter.", "def f(x, y):\n    return x < y\n")
    panel = Verdict("f", 1, 1, another_way=way)._repr_html_()
    assert "<code>x &lt; y</code>" in panel and "return x &lt; y\n</pre>" in panel
