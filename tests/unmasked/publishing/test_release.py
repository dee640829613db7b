import pytest

from unmasked.errors import UnmaskedError
from unmasked.publishing.release import release


def by_id(notebook):
    return {cell.id: cell for cell in notebook.cells}


def test_each_method_keeps_its_own_blank_and_no_solution_is_left(student):
    blank = "        # YOUR CODE HERE\n        raise NotImplementedError()"
    expected = f"class Doubler:\n    def __init__(self):\n{blank}\n\n    def __call__(self, number):\n{blank}"
    assert by_id(student)["Doubler"].source == expected
    everything = "\n".join(cell.source for cell in student.cells)
    assert "SOLUTION" not in everything and "self.factor" not in everything


def test_the_answer_is_blank_and_the_model_answer_is_folded_in_below(student):
    answer = by_id(student)["explain_why_two"]
    assert answer.source == "Why two?\n\nYOUR ANSWER HERE"
    model_answer = student.cells[student.cells.index(answer) + 1]
    folded = "<details><summary>A model answer</summary>\n\nBecause it is **even**.\n\n</details>"
    assert model_answer.source == folded
    assert model_answer.metadata == {"tags": ["model-answer"]}


def test_no_output_is_released(student):
    assert all(cell.outputs == [] for cell in student.cells if cell.cell_type == "code")


def test_nbgrader_knows_the_cells(student):
    cells = by_id(student)
    assert cells["check_Doubler"].metadata.nbgrader.points == 3
    assert cells["check_Doubler"].metadata.editable is False
    assert cells["explain_why_two"].metadata.nbgrader.points == 1
    assert all(cells[name].metadata.nbgrader.checksum for name in ("Doubler", "check_Doubler", "explain_why_two"))


def test_ids_are_those_of_the_solution(solution, student):
    model_answers = {"answer_why_two"}
    assert {cell.id for cell in student.cells} - model_answers == {cell.id for cell in solution.cells}


def test_what_nbgrader_refuses_is_told_in_a_sentence(solution):
    by_id(solution)["Doubler"].metadata.nbgrader.grade_id = "check_Doubler"
    with pytest.raises(UnmaskedError, match="^nbgrader can't release 01_tiny: Duplicate grade id: check_Doubler$"):
        release(solution, "01_tiny")
