"""The published notebooks: what their sources make, within limits, and gradable with real nbgrader."""

import csv
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.plugins import CsvExportPlugin
from traitlets.config import Config

from unmasked.exercise import exercises_of
from unmasked.lessons import LESSONS
from unmasked.publishing.check import check, strays

ROOT = Path(__file__).parents[1]
MOST_CELLS, MOST_CODE_LINES, MOST_WORDS = 60, 15, 120

every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)


def read(folder, lesson):
    return nbformat.read(ROOT / folder / f"{lesson.name}.ipynb", as_version=4)


def grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


@every_lesson
def test_notebooks_are_what_their_source_makes(lesson):
    check(ROOT, lesson, exercises_of(lesson))


def test_no_notebook_is_without_a_lesson():
    assert list(strays(ROOT, LESSONS)) == []


# --- Limits ----------------------------------------------------------------------------------------------------------


@every_lesson
def test_a_lesson_is_short(lesson):
    cells = [cell for cell in read("notebooks", lesson).cells if "model-answer" not in cell.metadata.get("tags", [])]
    assert len(cells) <= MOST_CELLS
    first = next(i for i, cell in enumerate(cells, start=1) if grade_id(cell) in exercises_of(lesson))
    assert first <= 10


@every_lesson
def test_cells_are_short(lesson):
    for cell in read("solutions", lesson).cells:
        if cell.cell_type == "code":
            lines = [line for line in cell.source.splitlines() if line.strip() and "SOLUTION" not in line]
            limit = MOST_CODE_LINES if not grade_id(cell) else 25  # a class with its signatures is one exercise
            assert len(lines) <= limit, cell.source
        else:
            assert len(re.sub(r"<[^>]*>|\$[^$]*\$", " ", cell.source).split()) <= MOST_WORDS, cell.source


@every_lesson
def test_every_exercise_says_how_long_it_takes_and_has_two_hints(lesson):
    cells = read("notebooks", lesson).cells
    for number, name in enumerate(exercises_of(lesson), start=1):
        index = next(i for i, cell in enumerate(cells) if grade_id(cell) == name)
        text = next(cell.source for cell in reversed(cells[:index]) if cell.cell_type == "markdown")
        assert re.search(rf"### Exercise {lesson.number}\.{number} · .+ \(about \d+ min\)", text), text
        assert text.count("<details>") >= 2


@every_lesson
def test_a_lesson_ends_with_three_questions_whose_answers_are_folded(lesson):
    cells = read("notebooks", lesson).cells
    questions = [cell for cell in cells if grade_id(cell).startswith("explain_")]
    answers = [cell for cell in cells if "model-answer" in cell.metadata.get("tags", [])]
    assert len(questions) == len(answers) == 3
    assert all(answer.source.startswith("<details>") for answer in answers)


# --- A class, graded by nbgrader -------------------------------------------------------------------------------------


def first_mistake(name):
    return f"{name} = list(checks.{name}.mistakes.values())[0]"


def hand_in(lesson, answers):
    """The student notebook with these sources in its exercise cells, by name."""
    notebook = read("notebooks", lesson)
    for cell in notebook.cells:
        cell.source = answers.get(grade_id(cell), cell.source)
    return notebook


def class_of(lesson):
    """Student -> answers: one who did nothing, one who solved all, one for each exercise who got that one wrong.

    In lessons whose cells train it is one who got them all wrong, to save time.
    """
    names = exercises_of(lesson)
    solved = {grade_id(cell): cell.source for cell in read("solutions", lesson).cells if grade_id(cell) in names}
    students = {"untouched": {}, "solved": solved}
    if lesson == LESSONS[0]:
        return students | {f"wrong_{name}": solved | {name: first_mistake(name)} for name in names}
    return students | {"all_wrong": {name: first_mistake(name) for name in names}}


def wrong_in(student, names):
    """The exercises that this student of `class_of` gets wrong."""
    return set(names) if student in ("untouched", "all_wrong") else {student.removeprefix("wrong_")} & set(names)


@pytest.fixture(scope="module")
def courses(tmp_path_factory):
    """Makes the course of a lesson, once: released, handed in, graded, with feedback."""
    made = {}
    patch = pytest.MonkeyPatch()
    # nbgrader starts `alembic` by name, which an environment that isn't activated doesn't have on its path.
    patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)

    def course_of(lesson):
        if lesson not in made:
            made[lesson] = grade_class(lesson, tmp_path_factory.mktemp(lesson.topic))
        return made[lesson]

    yield course_of
    patch.undo()


def grade_class(lesson, root):
    name, file = lesson.name, f"{lesson.name}.ipynb"
    config = Config()
    config.CourseDirectory.root = str(root)
    config.Exchange.root = str(root / "exchange")
    config.CourseDirectory.db_url = f"sqlite:///{root / 'gradebook.db'}"
    config.ExecutePreprocessor.timeout = 240  # seconds; the machine may be busy with other tests
    api = NbGraderAPI(config=config)
    (root / "source" / name).mkdir(parents=True)
    nbformat.write(read("solutions", lesson), root / "source" / name / file)
    succeeds(api.generate_assignment(name))
    for student, answers in class_of(lesson).items():
        folder = root / "submitted" / student / name
        folder.mkdir(parents=True)
        nbformat.write(hand_in(lesson, answers), folder / file)
        succeeds(api.autograde(name, student))
    with api.gradebook as gradebook:
        for grade in gradebook.find_submission(name, "solved").notebooks[0].grades:
            if grade.name.startswith("explain_"):
                grade.manual_score = grade.max_score
        gradebook.db.commit()
    succeeds(api.generate_feedback(name, force=True))
    return root


def succeeds(outcome):
    assert outcome["success"], outcome.get("log", "")


def scores(root, lesson, student):
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        grades = gradebook.find_submission(lesson.name, student).notebooks[0].grades
        return {grade.name.removeprefix("check_"): grade.auto_score for grade in grades if "check_" in grade.name}


@every_lesson
def test_each_student_loses_the_points_of_the_wrong_exercises_and_no_others(lesson, courses):
    exercises = exercises_of(lesson)
    for student in class_of(lesson):
        got = scores(courses(lesson), lesson, student)
        assert got.keys() == exercises.keys()
        lost = {name for name, points in got.items() if points < exercises[name].points}
        assert lost == wrong_in(student, exercises), student


@every_lesson
def test_an_untouched_notebook_scores_nothing(lesson, courses):
    assert set(scores(courses(lesson), lesson, "untouched").values()) == {0}


@every_lesson
def test_an_untouched_notebook_runs_and_says_what_is_not_attempted_yet(lesson, courses):
    path = courses(lesson) / "autograded" / "untouched" / lesson.name / f"{lesson.name}.ipynb"
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", f"{cell.source}\n{output.get('evalue')}"
            assert output.get("name") != "stderr" or not grade_id(cell), output.get("text")
            if grade_id(cell):
                assert "not attempted yet" in output.data["text/html"]


@every_lesson
def test_feedback_names_the_mistake(lesson, courses):
    student = next(reversed(class_of(lesson)))
    path = courses(lesson) / "feedback" / student / lesson.name / f"{lesson.name}.html"
    name = max(wrong_in(student, exercises_of(lesson)))
    sentence = next(iter(exercises_of(lesson)[name].mistakes)).partition("`")[0].rstrip()
    assert sentence.replace("'", "&#x27;") in path.read_text(encoding="utf-8")


@every_lesson
def test_feedback_gives_no_other_right_answer(lesson, courses):
    path = courses(lesson) / "feedback" / "solved" / lesson.name / f"{lesson.name}.html"
    assert "Another way to write it" not in path.read_text(encoding="utf-8")


@every_lesson
def test_marks_are_exported(lesson, courses):
    root = courses(lesson)
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        CsvExportPlugin(to=str(root / "marks.csv")).export(gradebook)
    rows = {row["student_id"]: row for row in csv.DictReader((root / "marks.csv").open())}
    assert rows.keys() == class_of(lesson).keys()
    assert float(rows["solved"]["score"]) == float(rows["solved"]["max_score"])
    assert float(rows["untouched"]["score"]) == 0


# --- Every known mistake, in the place of a right answer -------------------------------------------------------------


@every_lesson
def test_a_known_mistake_costs_the_points_of_its_own_exercise_only(lesson):
    """Without kernels: the exercise cells of the solved notebook in one namespace, then all checks."""
    exercises, notebook = exercises_of(lesson), {}
    for cell in read("solutions", lesson).cells:
        if grade_id(cell) in exercises or cell.source.startswith("import "):
            exec(cell.source, notebook)
    for name, exercise in exercises.items():
        right = notebook[name]
        for sentence, wrong in exercise.mistakes.items():
            notebook[name] = wrong
            lost = {other for other, judge in exercises.items() if not judge(notebook[other]).passed}
            assert lost == {name}, sentence
        notebook[name] = right
