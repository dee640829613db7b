"""What of a learner's work is recorded, where, and what is said of it."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from unmasked import overview
from unmasked.exercise import exercises_of
from unmasked.lessons import LESSONS, find_lesson
from unmasked.progress import FILE, counts_in, next_task, progress, read, record, record_try, standing, standings
from unmasked.verdict import Verdict

ROOT = Path(__file__).parents[2]
LESSON = find_lesson("02")
NAMES = ("similarity_scores", "attention_weights", "weighted_average", "masked_attention_weights", "SelfAttention")


@pytest.fixture
def notebooks(tmp_path):
    """A course with the notebooks of the lessons 02 and 03, as published."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "pyproject.toml").touch()
    for name in ("02_self_attention.ipynb", "03_multi_head_attention.ipynb"):
        shutil.copy(ROOT / "notebooks" / name, folder)
    return folder


def tries(folder, exercise, *points, most=2):
    """Record checks of an exercise that gave these points."""
    for each in points:
        record_try(folder, LESSON, Verdict(exercise, each, most))


def task(folder, name):
    return next(each for each in standing(folder, LESSON, read(folder)).tasks if each.name == name)


# --- In a notebook ---------------------------------------------------------------------------------------------------

IMPORTS = "import torch\nfrom unmasked.checks import self_attention as checks\nfrom unmasked.feedback import once_done"
RIGHT = "def similarity_scores(query, key):\n    return query @ key.mT"
WRONG = "def attention_weights(query, key):\n    return (query @ key.mT).softmax(-1)"
PASSING, FAILING = "checks.similarity_scores(similarity_scores)", "checks.attention_weights(attention_weights)"


def run(folder, *sources):
    """The HTML of what each of these cells shows, run in a kernel in `folder`."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (IMPORTS, *sources)])
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=resources).execute()
    outputs = [[output.get("data", {}).get("text/html", "") for output in cell.outputs] for cell in notebook.cells[1:]]
    return ["".join(each) for each in outputs]


def test_a_cell_that_ends_in_a_check_counts_and_says_how_far_the_lesson_is(notebooks):
    stub = "def weighted_average(weights, value):\n    raise NotImplementedError()"
    inside = "passed = checks.similarity_scores(similarity_scores).passed"
    again = "checks.weighted_average(weighted_average)"
    shown = run(notebooks, RIGHT, PASSING, WRONG, FAILING, FAILING, stub, again, inside, PASSING)
    found = [(entry["exercise"], entry["passed"]) for entry in read(notebooks)]
    assert found == [("similarity_scores", True), ("attention_weights", False), ("attention_weights", False)]
    points = exercises_of(LESSON)["similarity_scores"].points
    expected = (
        f"Lesson 02: 1 of 5 exercises, {points:g} of {sum(e.points for e in exercises_of(LESSON).values()):g} points."
    )
    assert expected in shown[1] and "Next: Exercise 2.2 · Attention weights." in shown[1]
    assert "Lesson 02" not in shown[3]  # what is wrong is what counts there
    assert expected in shown[-1]


def test_checks_that_a_check_runs_itself_are_no_tries(notebooks):
    """Exercise 2.4 uses 2.2: the learner's own is checked, and replaced, without anybody asking."""
    masked = "def masked_attention_weights(query, key, key_padding_mask):\n    return attention_weights(query, key)"
    run(notebooks, WRONG, masked, "checks.masked_attention_weights(masked_attention_weights)")
    assert [entry["exercise"] for entry in read(notebooks)] == ["masked_attention_weights"]


def test_in_the_folder_of_authors_nothing_is_recorded(notebooks):
    folder = notebooks.rename(notebooks.with_name("solutions"))
    assert "Lesson 02" not in run(folder, RIGHT, PASSING)[1]
    assert not (folder / FILE).exists()


def test_what_nbgrader_validates_is_not_recorded(notebooks, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    assert "Lesson 02" not in run(notebooks, RIGHT, PASSING)[1]
    assert not (notebooks / FILE).exists()


@pytest.mark.parametrize("name", ["source", "release", "submitted", "autograded"])
def test_in_nbgraders_folders_nothing_is_recorded(notebooks, name):
    folder = shutil.copytree(notebooks, notebooks.parent / name / LESSON.name)
    assert counts_in(notebooks, LESSON) and not counts_in(folder, LESSON)


def test_a_full_disk_costs_the_record_and_not_the_verdict(notebooks):
    full = (
        "import errno, os\ndef write(*_):\n    raise OSError(errno.ENOSPC, 'No space left on device')\nos.write = write"
    )
    shown = run(notebooks, RIGHT, full, PASSING)[2]
    assert "✓" in shown and "Your progress could not be saved: No space left on device." in shown


def test_a_place_that_can_not_be_written_costs_the_record_and_not_the_verdict(notebooks):
    (notebooks / FILE).mkdir()
    shown = run(notebooks, RIGHT, PASSING)[1]
    assert "✓" in shown and "Your progress could not be saved: Is a directory." in shown


# --- The file --------------------------------------------------------------------------------------------------------


def test_tries_are_those_until_the_first_that_passed_and_the_best_points_are_kept(notebooks):
    tries(notebooks, "attention_weights", 0, 1, 0.5)
    assert (task(notebooks, "attention_weights").points, task(notebooks, "attention_weights").tries) == (1, 3)
    tries(notebooks, "attention_weights", 2, 0, 2)
    done = task(notebooks, "attention_weights")
    assert (done.points, done.tries, done.passed) == (2, 4, True)


def test_a_line_that_a_crash_has_torn_spoils_no_other(notebooks):
    tries(notebooks, "attention_weights", 0, 1)
    file = notebooks / FILE
    file.write_bytes(file.read_bytes()[:-9])
    tries(notebooks, "attention_weights", 1.5)
    assert [entry["points"] for entry in read(notebooks)] == [0, 1.5]


@pytest.mark.parametrize("line", [b"\xff\xfe\0", b"[]", b"null", b'{"lesson": 2}', b'{"lesson": "02_self_attention"}'])
def test_lines_that_say_nothing_are_skipped(notebooks, line):
    (notebooks / FILE).write_bytes(line)
    tries(notebooks, "attention_weights", 1)
    assert task(notebooks, "attention_weights").tries == 1


def test_what_does_not_fit_on_the_disk_is_no_success(notebooks, monkeypatch):
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, data: whole(file, data[:5]))
    with pytest.raises(OSError) as error:
        tries(notebooks, "attention_weights", 1)
    assert error.value.errno == errno.ENOSPC


APPEND = """
import sys
from pathlib import Path
from unmasked.lessons import find_lesson
from unmasked.progress import record
for number in range(200):
    record(Path(sys.argv[1]), find_lesson("02"), exercise=sys.argv[2], points=number, max_points=200, passed=False)
"""


def test_two_kernels_at_once_lose_nothing(notebooks):
    both = [subprocess.Popen([sys.executable, "-c", APPEND, notebooks, name]) for name in NAMES[:2]]
    assert [process.wait() for process in both] == [0, 0]
    entries = read(notebooks)
    for name in NAMES[:2]:
        assert [entry["points"] for entry in entries if entry["exercise"] == name] == list(range(200))


def test_after_a_reset_the_lesson_counts_anew_and_others_do_not(notebooks):
    tries(notebooks, "attention_weights", 2)
    record_try(notebooks, find_lesson("03"), Verdict("split_heads", 1, 1))
    record(notebooks, LESSON, reset=True)
    assert task(notebooks, "attention_weights").tries == 0
    assert [each.passed for each in standings(notebooks, read(notebooks))] == [0, 1]


def test_no_two_lessons_have_an_exercise_of_the_same_name():
    names = Counter(name for lesson in LESSONS for name in exercises_of(lesson))
    assert names.most_common(1)[0][1] == 1


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_published_notebook_tells_its_exercises_in_order_with_their_points_and_imports_what_records(lesson):
    tasks = standing(ROOT / "notebooks", lesson, []).tasks
    assert {task.name: task.max_points for task in tasks} == {n: e.points for n, e in exercises_of(lesson).items()}
    numbers = [task.title.partition(" · ")[0] for task in tasks]
    assert numbers == [f"{lesson.number}.{i}" for i in range(1, len(tasks) + 1)]
    cells = nbformat.read(ROOT / "notebooks" / f"{lesson.name}.ipynb", as_version=4).cells
    assert any("from unmasked.feedback import" in cell.source for cell in cells if cell.cell_type == "code")


# --- What to do next -------------------------------------------------------------------------------------------------


def following(folder):
    entries = read(folder)
    found = next_task(standings(folder, entries), entries)
    return found and found[1].name


def test_next_is_the_first_exercise_at_first(notebooks):
    assert following(notebooks) == "similarity_scores"


def test_next_is_the_one_that_was_tried_last_until_it_passes_then_the_one_after_it(notebooks):
    tries(notebooks, "weighted_average", 0)
    assert following(notebooks) == "weighted_average"
    tries(notebooks, "weighted_average", 2)
    assert following(notebooks) == "masked_attention_weights"


def test_next_is_what_was_passed_over_before_the_next_lesson(notebooks):
    for name in NAMES[1:]:
        tries(notebooks, name, 2)
    assert following(notebooks) == "similarity_scores"
    tries(notebooks, "similarity_scores", 2)
    assert following(notebooks) == "split_heads"


def test_next_is_the_start_of_a_lesson_that_was_reset(notebooks):
    tries(notebooks, "attention_weights", 2)
    record(notebooks, find_lesson("03"), reset=True)
    assert following(notebooks) == "split_heads"


def test_next_is_nothing_when_all_is_done(notebooks):
    (notebooks / "03_multi_head_attention.ipynb").unlink()
    for name in NAMES:
        tries(notebooks, name, 2)
    assert following(notebooks) is None
    assert "Every exercise is passed." in repr(progress(notebooks))


def test_a_lesson_that_is_done_points_to_the_next_one(notebooks):
    for name in NAMES:
        tries(notebooks, name, 0, 2)
    entries = read(notebooks)
    said = overview.line(standing(notebooks, LESSON, entries), next_task(standings(notebooks, entries), entries))
    assert "Lesson 02 is done: 10 of 10 points in 10 tries." in said
    assert '<a href="03_multi_head_attention.ipynb">' in said


# --- The table and the command ---------------------------------------------------------------------------------------


class Cells(HTMLParser):
    """The rows of a table: tag, scope and text of each cell."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append([dict(attributes).get("scope"), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "tr" in self.open:
            self.rows[-1][-1][1] += data


def test_the_table_has_headings_for_rows_and_columns_and_says_all_in_words(notebooks):
    tries(notebooks, "similarity_scores", 0, 2)
    rows = Cells(progress(notebooks)._repr_html_()).rows
    assert [cell for cell in rows[0] if cell[1]] == [["col", n] for n in ("lesson", "exercises", "points", "tries")]
    assert rows[1] == [
        ["row", "02 Self-attention"],
        [None, ""],
        [None, "1 of 5"],
        [None, "1 of 10"],
        [None, "2"],
        [None, ""],
    ]
    assert rows[-1][0] == ["row", "total"] and rows[-1][2] == [None, "1 of 11"]


@pytest.mark.parametrize("place", [".", "..", "kept"])
def test_the_command_works_anywhere_in_the_course(notebooks, unmasked, monkeypatch, place):
    (notebooks / "kept").mkdir()
    tries(notebooks, "similarity_scores", 2)
    monkeypatch.chdir(notebooks / place)
    status, said, _ = unmasked("progress")
    assert status == 0
    assert re.search(r"^02 Self-attention +1 of 5 +1 of 10 +1$", said, flags=re.MULTILINE)
    assert "Next: Exercise 2.2 · Attention weights, in notebooks/02_self_attention.ipynb" in said


def test_without_progress_the_command_says_how_to_begin(notebooks, unmasked, monkeypatch):
    monkeypatch.chdir(notebooks)
    status, said, _ = unmasked("progress")
    assert status == 0 and said.startswith("Nothing is recorded in ") and "make lab" in said


def test_outside_of_the_course_the_command_fails_with_a_sentence(tmp_path, unmasked, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, problem = unmasked("progress")
    assert status == 1 and "This folder is not in the course" in problem


def test_the_command_tells_programs_in_json(notebooks, unmasked, monkeypatch):
    tries(notebooks, "similarity_scores", 0, 2)
    monkeypatch.chdir(notebooks)
    told = json.loads(unmasked("progress", "--json")[1])
    assert told["next"] == {"lesson": "02_self_attention", "exercise": "attention_weights"}
    first = told["lessons"][0]
    assert (first["lesson"], first["passed"], first["tries"], first["done"]) == ("02_self_attention", 1, 2, False)
    assert [each["name"] for each in first["exercises"]] == list(NAMES)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 3}', '{"cells": [{}]}'])
def test_a_broken_notebook_is_named_and_the_others_are_told(notebooks, unmasked, monkeypatch, content):
    (notebooks / "02_self_attention.ipynb").write_text(content)
    tries(notebooks, "similarity_scores", 2)
    monkeypatch.chdir(notebooks)
    status, said, _ = unmasked("progress")
    assert status == 0
    assert "can't be read: unmasked reset 02" in said and "03 Multi-head attention" in said
