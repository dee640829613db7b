import pytest

from unmasked.errors import UnmaskedError
from unmasked.publishing import publish
from unmasked.publishing.write import load

FIRST_CODE_CELL = "# %%\nimport sys\n"


def outputs(notebook, start):
    return next(cell.outputs for cell in notebook.cells if cell.source.startswith(start))


def test_prints_are_one_text_and_warnings_are_dropped(solution):
    (printed,) = outputs(solution, "import sys")
    assert (printed.name, printed.text) == ("stdout", "first\nsecond\n")


def test_progress_bars_and_widget_state_are_dropped(solution):
    assert outputs(solution, "for _ in tqdm") == []
    assert solution.metadata.keys() == {"kernelspec", "language_info"}


def test_nothing_of_the_machine_is_stored(solution):
    assert solution.metadata.language_info == {"name": "python"}
    assert solution.metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert all(cell.metadata.keys() <= {"nbgrader", "tags"} for cell in solution.cells)


def test_publishing_again_changes_no_byte_and_keeps_what_varies(repository, lesson, exercises):
    notebooks = sorted(repository.glob("*/*.ipynb"))
    before = [path.read_bytes() for path in notebooks]
    publish(repository, lesson, exercises)
    assert [path.read_bytes() for path in notebooks] == before


def test_what_varies_is_new_when_its_source_is(repository, source, solution, lesson, exercises):
    source.write_text(source.read_text().replace("time.time_ns()", "time.time_ns()  # now"))
    publish(repository, lesson, exercises)
    stored = load(source.with_suffix(".ipynb"))
    assert outputs(stored, "time.time_ns")[0].data != outputs(solution, "time.time_ns")[0].data


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("1 / 0", r"^01_tiny, cell 2 \(1 / 0\): ZeroDivisionError: division by zero$"),
        ("import os; os._exit(1)", r"^01_tiny, cell 2 \(.*\): the kernel died$"),
    ],
)
def test_a_cell_that_fails_is_named_and_nothing_is_written(repository, source, lesson, exercises, code, complaint):
    before = source.with_suffix(".ipynb").read_bytes()
    source.write_text(source.read_text().replace(FIRST_CODE_CELL, f"# %%\n{code}\n\n{FIRST_CODE_CELL}"))
    with pytest.raises(UnmaskedError, match=complaint):
        publish(repository, lesson, exercises)
    assert source.with_suffix(".ipynb").read_bytes() == before


@pytest.mark.parametrize("value", ["0.0", "None"])
def test_a_solution_without_all_points_is_named(repository, source, lesson, exercises, value):
    source.write_text(source.read_text().replace("3.0 if Doubler()(4) == 8 else 0.0", value))
    with pytest.raises(UnmaskedError, match="does not get the 3 points of its check"):
        publish(repository, lesson, exercises)
