"""Results that a rerun goes on with, and tables in the docs."""

import pytest
from store import Results, table, write_between_marks


def test_what_is_finished_is_not_measured_again(tmp_path):
    path = tmp_path / "deep" / "results.jsonl"
    first = Results(path).once({"seed": 0, "side": "ours"}, lambda: {"loss": 1.5})
    again = Results(path).once({"side": "ours", "seed": 0}, lambda: pytest.fail("measured again"))
    assert first == again == {"loss": 1.5}
    assert {"seed": 1, "side": "ours"} not in Results(path)


def test_a_line_that_a_kill_left_half_written_is_dropped_and_the_others_stay(tmp_path):
    path = tmp_path / "results.jsonl"
    Results(path).once({"seed": 0}, lambda: {"loss": 1.5})
    with path.open("a") as file:
        file.write('[{"seed": 1}, {"lo')
    results = Results(path)
    assert {"seed": 0} in results and {"seed": 1} not in results
    results.once({"seed": 1}, lambda: {"loss": 2.5})
    assert Results(path)[{"seed": 1}] == {"loss": 2.5}


def test_a_table_replaces_what_stands_between_its_marks_and_nothing_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- b -->\nold\n<!-- end of b -->\nc\n<!-- d -->\nkept\n<!-- end of d -->\n")
    write_between_marks(page, "b", table(["x", "y"], [[1, 2]]))
    new = "\n\n| x | y |\n| --- | --- |\n| 1 | 2 |\n\n"
    assert page.read_text() == f"a\n<!-- b -->{new}<!-- end of b -->\nc\n<!-- d -->\nkept\n<!-- end of d -->\n"


def test_a_page_without_marks_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text")
    with pytest.raises(ValueError, match="no place for the table"):
        write_between_marks(page, "b", "new")
    assert page.read_text() == "text"
