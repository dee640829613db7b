"""A class of 60 whose mistakes are known: their marks, what each of them reads, and what the teacher is told."""

import base64
import csv
import json
import re
import runpy
from html import unescape

import cloudpickle
import pytest
from typer.testing import CliRunner

import unmasked.checks.self_attention as checks
from unmasked.classroom.commands import app
from unmasked.classroom.run import record_path
from unmasked.exercise import exercises_of
from unmasked.lessons import find_lesson

LESSON = find_lesson("02")
EXERCISES = exercises_of(LESSON)
SEED = 11
GENERATED = 54
WITH_FEEDBACK = 10  # a page takes nbgrader a second

# What six of them typed, with the marks and the words that a person would give them.
TYPED = {
    "st-054": ("similarity_scores", "def similarity_scores(q, k):\n    return k @ q.mT", 0, "Your rows are keys"),
    "st-055": (
        "attention_weights",
        "def attention_weights(query, key):\n    return similarity_scores(query, key).softmax(-1)",
        0,
        "Your scores are not divided by the square root of d_k, the width of a query.",
    ),
    "st-056": (
        "attention_weights",
        "def attention_weights(query, key):\n"
        "    powers = (similarity_scores(query, key) / key.shape[-1] ** 0.5).exp()\n"
        "    return powers / powers.sum(-1, keepdim=True)",
        1,
        "Your exponentials overflow for large scores",
    ),
    "st-057": (
        "weighted_average",
        "def weighted_average(w, v):\n    return v @ w",
        0,
        "in the other order",
    ),
    "st-058": (
        "masked_attention_weights",
        "def masked_attention_weights(query, key, key_padding_mask=None):\n"
        "    scores = query @ key.mT / key.shape[-1] ** 0.5\n    if key_padding_mask is not None:\n"
        "        scores = scores.masked_fill(key_padding_mask[:, None], -torch.inf)\n    return scores.softmax(-1)",
        2,
        "gets NaN",
    ),
    "st-059": (
        "SelfAttention",
        "class SelfAttention(nn.Module):\n    def __init__(self, d_model):\n"
        "        self.query = nn.Linear(d_model, d_model)",
        0,
        "does not call `super().__init__()` first",
    ),
}


def variants():
    folder = checks.__file__.partition("/lib/unmasked/")[0] + "/tests/unmasked/checks/variants"
    return runpy.run_path(f"{folder}/{LESSON.topic}.py")["VARIANTS"]


def cell_of(name, solution):
    """A cell that defines a solution; where it runs there is no file that it could be imported from."""
    pickled = base64.b64encode(cloudpickle.dumps(solution)).decode()
    return f"import base64, cloudpickle\n{name} = cloudpickle.loads(base64.b64decode('{pickled}'))"


@pytest.fixture(scope="module")
def expected():
    """For each student the answers, and by exercise the points and the diagnosis: those that a notebook shows."""
    right = {name: list(solutions.values()) for name, solutions in variants().items()}
    mistakes = [(name, wrong) for name, exercise in EXERCISES.items() for wrong in exercise.mistakes.values()]
    solutions = {
        f"st-{n:03d}": {name: right[name][n % len(right[name])] for name in EXERCISES} for n in range(GENERATED)
    }
    for number, (name, wrong) in enumerate(mistakes):
        solutions[f"st-{number % GENERATED:03d}"][name] = wrong
    cloudpickle.register_pickle_by_value(checks)
    students = {
        student: (
            {name: cell_of(name, solution) for name, solution in answers.items()},
            {name: EXERCISES[name](solution, seed=SEED) for name, solution in answers.items()},
        )
        for student, answers in solutions.items()
    }
    cloudpickle.unregister_pickle_by_value(checks)
    return students


@pytest.fixture(scope="module")
def graded(released, expected, tmp_path_factory):
    course = released.new_class(tmp_path_factory.mktemp("sixty") / "nlp")
    for student, (answers, _) in expected.items():
        released.hand_in(course, student, released.answered(**answers))
    for student, (name, source, _, _) in TYPED.items():
        released.hand_in(course, student, released.solved(**{name: source}))
    command = ["grade", "2", "--seed", str(SEED), "--course", str(course.root)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "60 submissions graded, 0 were graded before, 0 to look at.\n" in done.output, done.output[-2000:]
    return course


@pytest.fixture(scope="module")
def outcomes(graded):
    """By student and exercise: points and diagnosis, from the records."""
    paths = record_path(graded, LESSON, "x").parent.glob("*.json")
    return {path.stem: json.loads(path.read_text(encoding="utf-8"))["exercises"] for path in paths}


def table(course, name):
    with (course.root / "report" / LESSON.name / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def text_of(html):
    return " ".join(unescape(re.sub("<[^>]*>", "", html)).replace("`", "").split())


def test_every_known_mistake_and_every_right_variant_is_in_the_class(expected):
    verdicts = [verdict for _, by_exercise in expected.values() for verdict in by_exercise.values()]
    known = {sentence for exercise in EXERCISES.values() for sentence in exercise.mistakes}
    assert {verdict.diagnosis for verdict in verdicts if not verdict.passed} == known


def test_the_cage_gives_the_marks_and_the_words_of_the_notebook(expected, outcomes):
    different = {}
    for student, (_, verdicts) in expected.items():
        for name, verdict in verdicts.items():
            got = outcomes[student][name]
            if (got["points"], got["diagnosis"]) != (verdict.points, verdict.diagnosis):
                different[student, name] = got, verdict
    assert not different


@pytest.mark.parametrize("student", TYPED)
def test_what_was_typed_gets_the_marks_of_a_person(student, outcomes):
    name, _, points, words = TYPED[student]
    assert outcomes[student][name]["points"] == points
    assert words in outcomes[student][name]["diagnosis"] and outcomes[student][name]["known_mistake"]
    assert all(outcomes[student][other]["passed"] for other in EXERCISES if other != name)


def test_the_gradebook_has_the_same_marks(graded, outcomes):
    with graded.gradebook() as gradebook:
        assignment = gradebook.find_assignment(LESSON.name)
        assert {each.student_id for each in assignment.submissions} == outcomes.keys() and len(outcomes) == 60
        for submission in assignment.submissions:
            given = {grade.cell.name: grade.auto_score for grade in submission.notebooks[0].grades}
            for name, outcome in outcomes[submission.student_id].items():
                assert given[f"check_{name}"] == outcome["points"], (submission.student_id, name)


def test_the_report_tells_who_made_which_mistake(graded, outcomes):
    assert CliRunner().invoke(app, ["report", "2", "--course", str(graded.root)]).exit_code == 0
    made = {}
    for student, exercises in sorted(outcomes.items()):
        for name, outcome in exercises.items():
            if outcome["known_mistake"]:
                made.setdefault((name, outcome["diagnosis"]), []).append(student)
    rows = table(graded, "mistakes")
    assert {(row["exercise"], row["mistake"]): row["students"].split() for row in rows} == made
    assert all(int(row["count"]) == len(row["students"].split()) for row in rows)
    assert table(graded, "unexplained") == table(graded, "limits") == []
    for row in table(graded, "points"):
        points = {name: outcome["points"] for name, outcome in outcomes[row["student"]].items()}
        assert {name: float(row[name]) for name in points} == points
        assert float(row["total"]) == sum(points.values())


def test_a_page_of_feedback_tells_a_student_of_their_own_work_and_of_nobody_elses(graded, released, outcomes):
    api = graded.api()
    students = [*TYPED, *sorted(outcomes)[: WITH_FEEDBACK - len(TYPED)]]
    for student in students:
        assert api.generate_feedback(LESSON.name, student)["success"]
    sentences = {text_of(sentence) for exercise in EXERCISES.values() for sentence in exercise.mistakes}
    for student in students:
        page = graded.folder("feedback", student, LESSON.name) / f"{LESSON.name}.html"
        text = text_of(page.read_text(encoding="utf-8"))
        own = {text_of(each["diagnosis"]) for each in outcomes[student].values() if each["diagnosis"]}
        shown = {sentence for sentence in sentences if sentence in text}
        assert own <= shown and all(any(sentence in mine for mine in own) for sentence in shown), student
        assert [other for other in outcomes if other in text and other != student] == []
        assert "BEGIN SOLUTION" not in text
        if student not in TYPED:
            solution = released.solutions["masked_attention_weights"].split("\n")[3:]
            assert not any(line.strip() in text for line in solution)
