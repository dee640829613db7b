"""What a notebook says where an exercise is missing, in a real kernel."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

IMPORTS = "from unmasked.checks import self_attention as checks\nfrom unmasked.feedback import once_done"


def run(*sources):
    """The outputs of the last cell, and whether it ended in an error."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    try:
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
        failed = False
    except CellExecutionError:
        failed = True
    return [
        output.get("data", {}).get("text/html", output.get("ename", "")) for output in notebook.cells[-1].outputs
    ], failed


@pytest.mark.parametrize(
    "cell",
    ["checks.similarity_scores(similarity_scores)", "with once_done('exercise 2.1'):\n    similarity_scores(1, 2)"],
    ids=["check", "picture"],
)
def test_where_an_exercise_was_not_run_that_is_said_and_the_error_stays(cell):
    outputs, failed = run(IMPORTS, cell)
    assert failed
    assert "similarity_scores</code> is not there: did its cell end in an error" in outputs[0]
    assert outputs[-1] == "NameError"


def test_any_other_name_that_is_missing_gets_a_sentence_and_pythons_own_message():
    outputs, failed = run(IMPORTS, "def plot():\n    return something_else + 1\n\nplot()")
    assert failed and outputs[-1] == "NameError" and len(outputs) == 2
    assert "<code>something_else</code> is not there. If it is spelt right, run the cells above" in outputs[0]
    assert "<code>return something_else + 1</code>" in outputs[0]


def test_an_exercise_not_done_yet_is_no_error():
    outputs, failed = run(IMPORTS, "with once_done('exercise 2.1'):\n    raise NotImplementedError")
    assert not failed and "once you have done exercise 2.1" in outputs[0]


@pytest.mark.parametrize(
    "name, stub",
    [
        ("similarity_scores", "def similarity_scores(query, key):"),
        ("SelfAttention", "class SelfAttention:\n  def __init__(self, query, key):"),
    ],
)
def test_of_exercises_in_a_row_the_one_that_is_missing_is_named(name, stub):
    done = f"def attention_weights(query, key):\n    return {name}(query, key)"
    cell = "with once_done('exercise 2.2'):\n    attention_weights(1, 2)"
    outputs, failed = run(IMPORTS, f"{stub}\n    raise NotImplementedError()", done, cell)
    assert not failed and f"exercise 2.2: <code>{name}</code> is not written yet. Then run it" in outputs[0]


@pytest.mark.parametrize("error", ["NotImplementedError('no <such> kernel')", "ValueError('no <such> kernel')"])
def test_an_error_in_done_work_stays_an_error_and_is_told_in_short(error):
    outputs, failed = run(IMPORTS, f"with once_done('exercise 2.1'):\n    raise {error}")
    assert failed and outputs[-1] == error.partition("(")[0] and len(outputs) == 2
    assert "stopped" in outputs[0] and "no &lt;such&gt; kernel" in outputs[0]
    assert "It builds on exercise 2.1: has every check of it passed?" in outputs[0]


def test_the_page_gets_one_line_and_who_runs_the_notebook_the_whole_traceback():
    cells = [IMPORTS, "def deep():\n    return [][3]", "with once_done('exercise 2.1'):\n    deep()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    with pytest.raises(CellExecutionError, match=r"in \S*deep"):
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    assert notebook.cells[-1].outputs[-1].traceback == ["IndexError: list index out of range"]


@pytest.mark.parametrize("error", ["x = (", "1 / 0"], ids=["before it runs", "while it runs"])
def test_other_errors_are_shown_as_ever(error):
    outputs, failed = run(IMPORTS, error)
    assert failed and outputs == ["SyntaxError" if "(" in error else "ZeroDivisionError"]


WRONG = "def similarity_scores(query, key):\n    return query"
BROKEN = "def similarity_scores(query, key):\n    return query @"
RIGHT = "def similarity_scores(query, key):\n    return query @ key.mT"
CHECK = "checks.similarity_scores(similarity_scores)"


def texts_of_a_session(*sources):
    """The HTML of the last cell's outputs, where cells that fail don't stop the session."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True).execute()
    return "".join(output.get("data", {}).get("text/html", "") for output in notebook.cells[-1].outputs)


@pytest.mark.parametrize(
    "cells, told",
    [
        ([WRONG, BROKEN], True),
        (["1 / 0\n" + WRONG, BROKEN, WRONG], False),
        ([WRONG, "1 / 0\n" + RIGHT], True),
        ([WRONG, RIGHT + "\n1 / 0"], False),
        ([WRONG, BROKEN, RIGHT], False),
    ],
    ids=["a syntax error", "mended", "an error above it", "an error below it", "mended and right"],
)
def test_a_verdict_on_the_version_before_an_error_says_so(cells, told):
    shown = texts_of_a_session(IMPORTS, *cells, CHECK)
    assert "similarity_scores ·" in shown
    assert ("ended in an error, so this is about the version before it" in shown) == told
