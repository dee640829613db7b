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


def test_other_names_get_pythons_own_message_only():
    outputs, failed = run(IMPORTS, "something_else")
    assert failed and outputs == ["NameError"]


def test_an_exercise_not_done_yet_is_no_error():
    outputs, failed = run(IMPORTS, "with once_done('exercise 2.1'):\n    raise NotImplementedError")
    assert not failed and "once you have done exercise 2.1" in outputs[0]


def test_an_error_in_done_work_stays_an_error():
    outputs, failed = run(IMPORTS, "with once_done('exercise 2.1'):\n    raise NotImplementedError('no such kernel')")
    assert failed and outputs == ["NotImplementedError"]
