"""What counts of a submission, and what the teacher is told, for whatever may be handed in.

The submissions are made from the student notebook of lesson 02, as it is released.
"""

import copy
import json
import os
import random
import re
import sys
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment, GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import CheckCellMetadata, SaveAutoGrades
from nbgrader.utils import compute_checksum, determine_grade, is_grade
from traitlets.config import Config

from unmasked.classroom.master import autograded, read_master
from unmasked.classroom.submission import rebuild
from unmasked.errors import UnmaskedError
from unmasked.lessons import LESSONS

ROOT = Path(__file__).parents[3]
LESSON = next(lesson for lesson in LESSONS if lesson.number == 2)
NAME = f"{LESSON.name}.ipynb"
RELEASED = json.loads((ROOT / "notebooks" / NAME).read_text(encoding="utf-8"))
ANSWERS = {
    "similarity_scores": "def similarity_scores(query, key):\n    return query @ key.mT",
    "attention_weights": "def attention_weights(query, key):\n    return similarity_scores(query, key).softmax(-1)",
}
STUBS = {
    cell["metadata"]["nbgrader"]["grade_id"]: "".join(cell["source"])
    for cell in RELEASED["cells"]
    if cell["metadata"].get("nbgrader", {}).get("solution")
}
WHY = "**1.** You double the width and I say: the softmax saturates."


@pytest.fixture(scope="module")
def master():
    return read_master(ROOT / "solutions" / NAME, LESSON)


def work():
    """A submission without anything odd, as JSON: two exercises and one question answered."""
    notebook = copy.deepcopy(RELEASED)
    for name, source in (ANSWERS | {"explain_why_scale": WHY}).items():
        cell(notebook, name)["source"] = source
    return notebook


def cell(notebook, name):
    return next(each for each in notebook["cells"] if each["metadata"].get("nbgrader", {}).get("grade_id") == name)


def hand_in(folder, content, name=NAME):
    """Write a submission: JSON data, text or bytes."""
    content = content if isinstance(content, (str, bytes)) else json.dumps(content)
    content = content.encode() if isinstance(content, str) else content
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return folder


def kinds(submission):
    return {(remark.kind, remark.cell) for remark in submission.remarks}


def code(source, **nbgrader):
    metadata = {"nbgrader": nbgrader} if nbgrader else {}
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}


# What a student does to a notebook: a function that changes it, and the remarks that follow. Everything still counts.


def nothing(notebook):
    pass


def reorder(notebook):
    notebook["cells"].reverse()


def source_as_lines(notebook):
    for each in notebook["cells"]:
        each["source"] = "".join(each["source"]).splitlines(keepends=True)


def windows_line_ends(notebook):
    for each in notebook["cells"]:
        each["source"] = "".join(each["source"]).replace("\n", "\r\n")


def delete_a_check(notebook):
    notebook["cells"].remove(cell(notebook, "check_attention_weights"))


def edit_a_check(notebook):
    cell(notebook, "check_attention_weights")["source"] = "2.0"


def raise_the_points(notebook):
    cell(notebook, "check_attention_weights")["metadata"]["nbgrader"]["points"] = 1000


def unlock_a_check(notebook):
    cell(notebook, "check_attention_weights")["metadata"]["nbgrader"]["locked"] = False


def no_solution_any_more(notebook):
    cell(notebook, "attention_weights")["metadata"]["nbgrader"]["solution"] = False


def nonsense_in_metadata(notebook):
    metadata = cell(notebook, "check_attention_weights")["metadata"]["nbgrader"]
    metadata.update(points=["many"], locked={}, grade=None)


def check_of_another_release(notebook):
    check = cell(notebook, "check_attention_weights")
    check["source"] = "checks.attention_weights(attention_weights)  # as last year"
    node = nbformat.from_dict(check)
    check["metadata"]["nbgrader"]["checksum"] = compute_checksum(node)


def answer_turned_into_text(notebook):
    cell(notebook, "attention_weights")["cell_type"] = "markdown"


def copy_of_the_stub_first(notebook):
    duplicate = code(STUBS["attention_weights"], **cell(notebook, "attention_weights")["metadata"]["nbgrader"])
    notebook["cells"].insert(0, duplicate)


def copy_with_something_else_first(notebook):
    duplicate = code("print('tried')", **cell(notebook, "attention_weights")["metadata"]["nbgrader"])
    notebook["cells"].insert(0, duplicate)


def a_second_answer_below(notebook):
    duplicate = code("def attention_weights(): 0", **cell(notebook, "attention_weights")["metadata"]["nbgrader"])
    notebook["cells"].append(duplicate)


def lose_the_metadata_of_an_answer(notebook):
    cell(notebook, "attention_weights")["metadata"] = {}


def retag_an_answer(notebook):
    cell(notebook, "attention_weights")["metadata"]["nbgrader"]["grade_id"] = "mine"


def retag_an_answer_as_another(notebook):
    cell(notebook, "attention_weights")["metadata"]["nbgrader"]["grade_id"] = "similarity_scores"


def lose_the_metadata_beside_a_stub(notebook):
    lose_the_metadata_of_an_answer(notebook)
    notebook["cells"].append(code(STUBS["attention_weights"]))


def answer_in_a_cell_of_ones_own(notebook):
    cell(notebook, "attention_weights")["source"] = STUBS["attention_weights"]
    notebook["cells"].append(code("import torch\n\n" + ANSWERS["attention_weights"]))


def copies_of_a_stub(notebook):
    notebook["cells"] += [copy.deepcopy(cell(notebook, "weighted_average")), code(STUBS["weighted_average"])]


def lose_the_metadata_of_a_question(notebook):
    question = cell(notebook, "explain_why_scale")
    question["source"] = STUBS["explain_why_scale"].replace("YOUR ANSWER HERE", WHY)
    question["metadata"] = "lost"


def own_cells(notebook):
    notebook["cells"] += [code("print(attention_weights(x, x))"), code("import os; os.abort()")]


def a_helper_in_an_own_cell(notebook):
    notebook["cells"].insert(3, code("import math\n\ndef scale(key):\n    return math.sqrt(key.shape[-1])"))
    answer = cell(notebook, "attention_weights")
    answer["source"] = ANSWERS["attention_weights"] + " / scale(key)"


def edit_a_given_cell(notebook):
    given = next(each for each in notebook["cells"] if "about = {" in "".join(each["source"]))
    given["source"] = "about = {}"


def an_exercise_of_another_release(notebook):
    notebook["cells"].append(code("def old(): 0", grade_id="old", solution=True, grade=False, schema_version=3))


def an_older_schema(notebook):
    for each in notebook["cells"]:
        each["metadata"].get("nbgrader", {}).pop("schema_version", None)


def nbformat_3(notebook):
    """As notebooks looked until 2015."""
    cells = notebook.pop("cells")
    for each in cells:
        if each["cell_type"] == "code":
            each["input"] = each.pop("source")
    notebook.update(nbformat=3, nbformat_minor=0, worksheets=[{"cells": cells, "metadata": {}}])


def a_newer_nbformat(notebook):
    notebook.update(nbformat=5, nbformat_minor=12)


def no_format_and_no_metadata_of_its_own(notebook):
    for key in ("nbformat", "nbformat_minor", "metadata"):
        notebook.pop(key)


def cells_that_are_none(notebook):
    notebook["cells"] += [None, 3, [], {}, {"cell_type": ["code"], "source": {"a": 1}, "metadata": {"nbgrader": 5}}]


def much_output(notebook):
    output = {"output_type": "stream", "name": "stdout", "text": "x" * 50 * 2**20}
    cell(notebook, "check_attention_weights")["outputs"] = [output]


def broken_output(notebook):
    cell(notebook, "check_attention_weights")["outputs"] = "all points"


def points_in_the_output(notebook):
    output = {"output_type": "execute_result", "data": {"text/plain": "2.0"}, "metadata": {}, "execution_count": 1}
    cell(notebook, "check_attention_weights")["outputs"] = [output]


ODDITIES = [
    (nothing, set()),
    (reorder, set()),
    (source_as_lines, set()),
    (windows_line_ends, set()),
    (delete_a_check, {("deleted", "check_attention_weights")}),
    (edit_a_check, {("tampering", "check_attention_weights")}),
    (raise_the_points, {("tampering", "check_attention_weights")}),
    (unlock_a_check, set()),
    (no_solution_any_more, {("tampering", "attention_weights")}),
    (nonsense_in_metadata, {("tampering", "check_attention_weights")}),
    (check_of_another_release, {("version", "check_attention_weights")}),
    (answer_turned_into_text, {("edited", "attention_weights")}),
    (copy_of_the_stub_first, {("duplicate", "attention_weights")}),
    (copy_with_something_else_first, {("duplicate", "attention_weights")}),
    (a_second_answer_below, {("duplicate", "attention_weights")}),
    (lose_the_metadata_of_an_answer, {("recovered", "attention_weights")}),
    (retag_an_answer, {("recovered", "attention_weights"), ("version", "mine")}),
    (retag_an_answer_as_another, {("recovered", "attention_weights"), ("duplicate", "similarity_scores")}),
    (lose_the_metadata_beside_a_stub, {("recovered", "attention_weights")}),
    (copies_of_a_stub, {("duplicate", "weighted_average")}),
    (own_cells, {("extra", None)}),
    (edit_a_given_cell, {("extra", None)}),
    (an_exercise_of_another_release, {("version", "old"), ("extra", None)}),
    (an_older_schema, {("version", None)}),
    (nbformat_3, set()),
    (a_newer_nbformat, set()),
    (no_format_and_no_metadata_of_its_own, set()),
    (cells_that_are_none, set()),
    (much_output, set()),
    (broken_output, set()),
    (points_in_the_output, set()),
]


@pytest.mark.parametrize("change, remarks", ODDITIES, ids=lambda value: getattr(value, "__name__", ""))
def test_work_that_can_be_graded_counts_and_what_is_odd_is_told(change, remarks, master, tmp_path):
    notebook = work()
    change(notebook)
    submission = rebuild(hand_in(tmp_path, notebook), master)
    assert submission.answers == {name: ANSWERS.get(name, STUBS[name]) for name in master.answers}
    assert submission.explains["explain_why_scale"] == WHY
    assert kinds(submission) == remarks
    assert submission.missing == set()
    assert submission.digest == rebuild(hand_in(tmp_path / "plain", work()), master).digest


def test_a_question_that_lost_its_identifier_is_found_by_its_words(master, tmp_path):
    notebook = work()
    lose_the_metadata_of_a_question(notebook)
    submission = rebuild(hand_in(tmp_path, notebook), master)
    assert submission.explains["explain_why_scale"].endswith(WHY)
    assert kinds(submission) == {("recovered", "explain_why_scale")}


def test_all_metadata_lost_and_everything_is_found_but_the_checks(master, tmp_path):
    notebook = work()
    cell(notebook, "explain_why_scale")["source"] = STUBS["explain_why_scale"] + WHY
    for each in notebook["cells"]:
        each["metadata"] = {}
    submission = rebuild(hand_in(tmp_path, notebook), master)
    assert submission.answers == {name: ANSWERS.get(name, STUBS[name]) for name in master.answers}
    assert submission.explains["explain_why_scale"].endswith(WHY) and not submission.missing
    assert {kind for kind, _ in kinds(submission)} == {"recovered", "deleted", "version"}


def test_an_answer_in_a_cell_of_ones_own_counts_if_the_lessons_cell_was_left_alone(master, tmp_path):
    notebook = work()
    answer_in_a_cell_of_ones_own(notebook)
    submission = rebuild(hand_in(tmp_path, notebook), master)
    assert submission.answers["attention_weights"] == "import torch\n\n" + ANSWERS["attention_weights"]
    assert kinds(submission) == {("recovered", "attention_weights")}


def test_an_answer_that_needs_a_cell_of_its_own_is_named(master, tmp_path):
    notebook = work()
    a_helper_in_an_own_cell(notebook)
    submission = rebuild(hand_in(tmp_path, notebook), master)
    assert kinds(submission) == {("extra", None), ("extra", "attention_weights")}
    assert "uses scale, defined" in submission.remarks[-1].text
    assert submission.answers["attention_weights"].endswith("/ scale(key)")


# Answers that are not there, or not to be read: the stub stands in their place.


def delete_an_answer(notebook):
    notebook["cells"].remove(cell(notebook, "attention_weights"))


def two_answers_without_an_identifier(notebook):
    lose_the_metadata_of_an_answer(notebook)
    notebook["cells"].append(code("def attention_weights(): 0"))


def an_answer_that_is_a_number(notebook):
    cell(notebook, "attention_weights")["source"] = 7


def an_answer_that_is_a_list_of_numbers(notebook):
    cell(notebook, "attention_weights")["source"] = ["a", 7]


def an_answer_of_two_megabytes(notebook):
    cell(notebook, "attention_weights")["source"] = "#" * 2_000_000


def an_answer_in_a_check_cell_only(notebook):
    cell(notebook, "check_attention_weights")["source"] = ANSWERS["attention_weights"]
    delete_an_answer(notebook)


LOST_ANSWERS = [
    (delete_an_answer, {("missing", "attention_weights")}),
    (two_answers_without_an_identifier, {("missing", "attention_weights"), ("extra", None)}),
    (an_answer_that_is_a_number, {("unreadable", "attention_weights")}),
    (an_answer_that_is_a_list_of_numbers, {("unreadable", "attention_weights")}),
    (an_answer_of_two_megabytes, {("unreadable", "attention_weights")}),
    (
        an_answer_in_a_check_cell_only,
        {("missing", "attention_weights"), ("tampering", "check_attention_weights")},
    ),
]


@pytest.mark.parametrize("change, remarks", LOST_ANSWERS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_lost_answer_is_the_stub_and_the_others_count(change, remarks, master, tmp_path):
    notebook = work()
    change(notebook)
    submission = rebuild(hand_in(tmp_path, notebook), master)
    assert submission.answers["attention_weights"] == STUBS["attention_weights"]
    assert submission.answers["similarity_scores"] == ANSWERS["similarity_scores"]
    assert submission.missing == {"attention_weights"}
    assert kinds(submission) - {("extra", None)} == remarks - {("extra", None)}


@pytest.mark.parametrize("rogue", ["\0", "\ud800", "\udfff\udfff"], ids=["nul", "surrogate", "surrogates"])
def test_characters_that_no_file_can_hold_are_replaced(rogue, master, tmp_path):
    notebook = work()
    cell(notebook, "attention_weights")["source"] = f"a = '{rogue}'"
    submission = rebuild(hand_in(tmp_path, notebook), master)
    assert submission.answers["attention_weights"] == f"a = '{'�' * len(rogue)}'"
    assert kinds(submission) == {("encoding", None)}
    nbformat.writes(autograded(master, submission, lambda name: None)).encode()


# Files.


def as_text(notebook):
    return json.dumps(notebook, ensure_ascii=False)


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_utf_is_read(encoding, master, tmp_path):
    submission = rebuild(hand_in(tmp_path, as_text(work()).encode(encoding)), master)
    assert submission.answers["attention_weights"] == ANSWERS["attention_weights"]
    assert submission.remarks == ()


def test_an_older_encoding_is_guessed_and_told(master, tmp_path):
    notebook = work()
    cell(notebook, "explain_why_scale")["source"] = "Weil die Varianz wächst"
    text = as_text(notebook).encode("cp1252", errors="replace")
    submission = rebuild(hand_in(tmp_path, text), master)
    assert submission.explains["explain_why_scale"] == "Weil die Varianz wächst"
    assert submission.answers["attention_weights"] == ANSWERS["attention_weights"]
    assert ("encoding", None) in kinds(submission)


def test_a_number_of_many_digits_is_no_obstacle(master, tmp_path):
    text = json.dumps(work()).replace('"nbformat_minor": 5', '"nbformat_minor": ' + "9" * 10_000)
    assert "9999" in text
    assert rebuild(hand_in(tmp_path, text), master).remarks == ()


UNREADABLE = {
    "empty": b"",
    "blank": b" \n ",
    "no JSON": b"%PDF-1.4",
    "cut off": json.dumps(RELEASED)[:5000].encode(),
    "a conflict of git": b"<<<<<<< HEAD\n" + json.dumps(RELEASED).encode(),
    "two notebooks": json.dumps(RELEASED).encode() * 2,
    "random bytes": bytes(range(256)),
    "a UTF-16 mark only": b"\xff\xfe",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "no cells": b"{}",
    "cells that are text": b'{"cells": "none"}',
    "worksheets that are text": b'{"worksheets": "none"}',
    "deep JSON": b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "too many cells": json.dumps({"cells": [{}] * 10_001}).encode(),
    "too many brackets": b'{"cells": [' + b"[]," * 2_000_000 + b"[]]}",
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_file_that_is_no_notebook_leaves_the_stubs_and_a_sentence(content, master, tmp_path):
    submission = rebuild(hand_in(tmp_path, content), master)
    assert submission.answers == {name: STUBS[name] for name in master.answers}
    assert submission.missing == STUBS.keys()
    (remark,) = submission.remarks
    assert remark.kind == "unreadable"
    assert remark.text.startswith(NAME) and remark.text.endswith(".") and len(remark.text) < 150


def nodes(tree):
    """Every list and dict in JSON data."""
    if isinstance(tree, (list, dict)):
        yield tree
        for each in tree if isinstance(tree, list) else tree.values():
            yield from nodes(each)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_stands_anywhere_in_a_notebook_nothing_is_raised(seed, master, tmp_path):
    draw = random.Random(seed)
    notebook = work()
    for _ in range(60):
        place = draw.choice([node for node in nodes(notebook) if node])
        key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
        place[key] = draw.choice([None, True, -1, 1e999, "", "markdown", "code", [], {}, [[]], {"nbgrader": []}])
    submission = rebuild(hand_in(tmp_path, notebook), master)
    assert submission.answers.keys() == master.answers.keys() and submission.explains.keys() == master.explains.keys()
    nbformat.validate(autograded(master, submission, VERDICTS.get))


def test_a_file_that_is_too_large_is_not_read(master, tmp_path):
    path = hand_in(tmp_path, work()) / NAME
    os.truncate(path, 10 * 2**30)  # a hole: it takes no room
    submission = rebuild(tmp_path, master)
    assert kinds(submission) == {("unreadable", None)} and "64 MB" in submission.remarks[0].text


def test_the_answers_do_not_reach_the_teacher_through_a_link(master, tmp_path):
    other = hand_in(tmp_path / "other", work()) / NAME
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / NAME).symlink_to(other)
    submission = rebuild(folder, master)
    assert submission.missing == STUBS.keys()
    assert kinds(submission) == {("link", None)}


@pytest.mark.parametrize("target", ["/", "/etc/passwd", "/nowhere", NAME], ids=["root", "file", "dead", "itself"])
def test_no_link_is_followed_wherever_it_leads(target, master, tmp_path):
    (tmp_path / NAME).symlink_to(target)
    submission = rebuild(tmp_path, master)
    assert submission.missing == STUBS.keys() and len(submission.remarks) == 1


def test_neither_is_the_folder_itself_a_link(master, tmp_path):
    hand_in(tmp_path / "other", work())
    (tmp_path / "mine").symlink_to(tmp_path / "other")
    submission = rebuild(tmp_path / "mine", master)
    assert submission.missing == STUBS.keys() and kinds(submission) == {("link", None)}


def test_nor_a_folder_in_it(master, tmp_path):
    hand_in(tmp_path / "other", work())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work").symlink_to(tmp_path / "other")
    assert rebuild(tmp_path / "mine", master).missing == STUBS.keys()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes in folders there")
def test_a_pipe_is_not_waited_for(master, tmp_path):
    os.mkfifo(tmp_path / NAME)
    submission = rebuild(tmp_path, master)
    assert kinds(submission) == {("unreadable", None)} and "no ordinary file" in submission.remarks[0].text


@pytest.mark.parametrize(
    "name", ["answers.ipynb", "02_self_attention (1).ipynb", "work/a/" + NAME, NAME + ".txt", NAME + "/" + NAME]
)
def test_a_wrong_name_or_place_counts_all_the_same(name, master, tmp_path):
    submission = rebuild(hand_in(tmp_path, work(), name), master)
    assert submission.answers["attention_weights"] == ANSWERS["attention_weights"]
    assert kinds(submission) == {("file", None)} and name in submission.remarks[0].text


def test_of_several_notebooks_the_one_with_most_of_the_lesson_counts(master, tmp_path):
    half = work()
    half["cells"] = half["cells"][:12]
    hand_in(tmp_path, {"cells": []}, "a.ipynb")
    hand_in(tmp_path, half, "b.ipynb")
    hand_in(tmp_path, work(), "c.ipynb")
    submission = rebuild(hand_in(tmp_path, b"broken", NAME), master)
    assert submission.answers["attention_weights"] == ANSWERS["attention_weights"]
    assert [remark.kind for remark in submission.remarks] == ["unreadable", "file"]
    assert "c.ipynb" in submission.remarks[1].text


def test_the_right_name_wins_and_the_others_are_mentioned(master, tmp_path):
    hand_in(tmp_path, RELEASED, "another.ipynb")
    hand_in(tmp_path, RELEASED, ".ipynb_checkpoints/" + NAME)
    submission = rebuild(hand_in(tmp_path, work()), master)
    assert submission.answers["attention_weights"] == ANSWERS["attention_weights"]
    assert kinds(submission) == {("file", None)} and "1 other notebook" in submission.remarks[0].text


def test_a_file_name_can_not_garble_the_sentence(master, tmp_path):
    rogue = "\x1b[31m\n" + "a" * 200 + ".ipynb"
    submission = rebuild(hand_in(tmp_path, b"broken", rogue), master)
    assert submission.remarks[0].text.isprintable() and len(submission.remarks[0].text) < 150


@pytest.mark.parametrize(
    "files, sentence",
    [
        ([], "Nothing was handed in."),
        (["timestamp.txt"], "Nothing was handed in."),
        (["b.zip", "a.py"], "No notebook was handed in, only a.py, b.zip."),
        (list("vwxyz"), "No notebook was handed in, only v, w, x and 2 more."),
    ],
)
def test_no_notebook_is_told_with_what_there_is(files, sentence, master, tmp_path):
    for name in files:
        hand_in(tmp_path, b"", name)
    submission = rebuild(tmp_path, master)
    assert [remark.text for remark in submission.remarks] == [sentence] and submission.missing == STUBS.keys()


def test_no_folder_is_nothing_handed_in(master, tmp_path):
    assert [remark.kind for remark in rebuild(tmp_path / "nowhere", master).remarks] == ["missing"]


def test_a_notebook_of_another_lesson_leaves_the_stubs_and_says_so(master, tmp_path):
    other = (ROOT / "notebooks" / "03_multi_head_attention.ipynb").read_bytes()
    submission = rebuild(hand_in(tmp_path, other), master)
    assert submission.missing == STUBS.keys()
    assert "It has no cell of this lesson's release." in [remark.text for remark in submission.remarks]


def test_the_digest_changes_with_an_answer_and_with_nothing_else(master, tmp_path):
    notebook = work()
    own_cells(notebook)
    same = rebuild(hand_in(tmp_path / "same", notebook), master)
    cell(notebook, "SelfAttention")["source"] += "\n"
    other = rebuild(hand_in(tmp_path / "other", notebook), master)
    plain = rebuild(hand_in(tmp_path / "plain", work()), master)
    assert same.digest == plain.digest != other.digest


# The master.


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_the_master_is_what_nbgrader_releases(lesson):
    master = read_master(ROOT / "solutions" / f"{lesson.name}.ipynb", lesson)
    released = nbformat.read(ROOT / "notebooks" / f"{lesson.name}.ipynb", as_version=4)
    assert master.notebook.cells == [each for each in released.cells if each.metadata.get("tags") != ["model-answer"]]
    assert list(master.points) == master.checks == list(master.answers)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_the_stubs_run_after_the_preamble_which_holds_nothing_of_the_course(lesson):
    master = read_master(ROOT / "solutions" / f"{lesson.name}.ipynb", lesson)
    assert "unmasked" not in master.preamble
    namespace = {}
    exec(master.preamble, namespace)
    for source in master.answers.values():
        exec(source, namespace)
    assert master.answers.keys() <= namespace.keys()


def test_the_preamble_has_the_constants_that_later_answers_use():
    lesson = next(lesson for lesson in LESSONS if lesson.number == 7)
    assert "IGNORE = -100" in read_master(ROOT / "solutions" / f"{lesson.name}.ipynb", lesson).preamble.splitlines()


@pytest.mark.parametrize(
    "path, problem",
    [("nowhere.ipynb", "is missing"), ("README.md", "is no notebook"), (f"notebooks/{NAME}", "has no solutions")],
)
def test_a_master_that_is_none_is_refused(path, problem):
    with pytest.raises(UnmaskedError, match=problem):
        read_master(ROOT / path, LESSON)


def test_a_graded_cell_that_no_exercise_belongs_to_is_refused(tmp_path):
    notebook = json.loads((ROOT / "solutions" / NAME).read_text(encoding="utf-8"))
    cell(notebook, "check_attention_weights")["metadata"]["nbgrader"]["grade_id"] = "check_more"
    with pytest.raises(UnmaskedError, match="check_more belongs to no exercise"):
        read_master(hand_in(tmp_path, notebook) / NAME, LESSON)


# What nbgrader keeps.

VERDICTS = {
    "similarity_scores": SimpleNamespace(points=1.0, html="<b>all of it</b>"),
    "attention_weights": SimpleNamespace(points=0.5, html="<b>half</b>"),
    "weighted_average": None,
    "masked_attention_weights": SimpleNamespace(points=99, html=""),
    "SelfAttention": SimpleNamespace(points=float("nan"), html=""),
}
POINTS = [1.0, 0.5, 0.0, 3.0, 0.0]


@pytest.fixture
def kept(master, tmp_path):
    return autograded(master, rebuild(hand_in(tmp_path / "handed_in", work()), master), VERDICTS.get)


def test_nbgrader_reads_the_points_from_the_check_cells(kept, master):
    graded = [each for each in kept.cells if each.cell_type == "code" and is_grade(each)]
    assert [determine_grade(each)[0] for each in graded] == POINTS
    assert graded[1].outputs[0].data["text/html"] == "<b>half</b>"
    assert all(not each.outputs for each in kept.cells if each.cell_type == "code" and each not in graded)
    CheckCellMetadata().preprocess(kept, {})
    nbformat.validate(kept)


def test_the_notebook_kept_is_the_release_with_the_answers(kept, master):
    for each, original in zip(kept.cells, master.notebook.cells, strict=True):
        name = each.metadata.get("nbgrader", {}).get("grade_id")
        assert each.metadata == original.metadata
        assert each.source == (ANSWERS | {"explain_why_scale": WHY}).get(name, original.source)


def test_nbgrader_saves_the_grades_and_makes_feedback(kept, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))  # alembic
    config = Config(CourseDirectory={"root": str(tmp_path), "assignment_id": LESSON.name})
    course = CourseDirectory(config=config)
    hand_in(tmp_path / "source" / LESSON.name, (ROOT / "solutions" / NAME).read_bytes())
    GenerateAssignment(coursedir=course, config=config, create_assignment=True).start()
    with Gradebook(course.db_url) as gradebook:
        gradebook.add_student("ada")
        gradebook.add_submission(LESSON.name, "ada")
    which = {"notebook": LESSON.name, "assignment": LESSON.name, "student": "ada", "db_url": course.db_url}
    SaveAutoGrades().preprocess(kept, {"nbgrader": which})
    hand_in(tmp_path / "autograded" / "ada" / LESSON.name, nbformat.writes(kept))
    GenerateFeedback(coursedir=course, config=config).start()
    with Gradebook(course.db_url) as gradebook:
        saved = gradebook.find_submission_notebook(LESSON.name, LESSON.name, "ada")
        scores = {grade.name: (grade.auto_score, grade.needs_manual_grade) for grade in saved.grades}
    checks = [f"check_{name}" for name in VERDICTS]
    assert [scores[name] for name in checks] == [(points, False) for points in POINTS]
    assert scores["explain_why_scale"] == (None, True)  # to be read by the teacher
    assert scores["explain_why_three"] == (0, False)  # not answered
    page = (tmp_path / "feedback" / "ada" / LESSON.name / f"{LESSON.name}.html").read_text(encoding="utf-8")
    assert "<b>half</b>" in page and ANSWERS["attention_weights"] in unescape(re.sub("<[^>]*>", "", page))
