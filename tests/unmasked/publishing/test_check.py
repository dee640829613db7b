import json
from types import SimpleNamespace

import pytest

from unmasked.errors import UnmaskedError
from unmasked.publishing.check import check, strays

SOLUTION = "solutions/01_tiny.ipynb"
STUDENT = "notebooks/01_tiny.ipynb"


@pytest.fixture
def change(repository):
    """Changes a notebook in the form in which it is stored."""

    def change(name, edit):
        path = repository / name
        notebook = json.loads(path.read_text(encoding="utf-8"))
        edit(notebook)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")

    return change


def test_what_was_published_is_up_to_date(published, lesson, exercises):
    check(published, lesson, exercises)


def assert_stale(name, root, lesson, exercises):
    with pytest.raises(UnmaskedError, match=rf"^{name}.* Run `unmasked publish 01`\.$"):
        check(root, lesson, exercises)


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_storing_a_notebook_anew_changes_nothing(change, repository, lesson, exercises):
    change(SOLUTION, lambda notebook: None)
    check(repository, lesson, exercises)


def test_a_source_that_was_edited(repository, source, lesson, exercises):
    source.write_text(source.read_text().replace("# # Tiny", "# # Small"))
    assert_stale(SOLUTION, repository, lesson, exercises)


def test_a_source_with_one_cell_more(repository, source, lesson, exercises):
    source.write_text(source.read_text() + "\n# %%\n1\n")
    assert_stale(SOLUTION, repository, lesson, exercises)


def test_points_that_were_changed(published, lesson):
    assert_stale(SOLUTION, published, lesson, {"Doubler": SimpleNamespace(points=4)})


@pytest.mark.parametrize(
    "edit",
    [
        lambda notebook: notebook["metadata"].update(widgets={}),
        lambda notebook: code_cells(notebook)[0].update(execution_count=None),
        lambda notebook: code_cells(notebook)[0]["outputs"].append(
            {"output_type": "error", "ename": "E", "evalue": "e", "traceback": []}
        ),
        lambda notebook: code_cells(notebook)[0]["outputs"].append(
            {"output_type": "stream", "name": "stderr", "text": ["a warning\n"]}
        ),
        lambda notebook: notebook["cells"].pop(),
        lambda notebook: notebook["cells"][0].update(id="other"),
    ],
    ids=["widgets", "not executed", "failed", "stderr", "a cell less", "another id"],
)
def test_a_solution_notebook_that_was_changed(change, repository, lesson, exercises, edit):
    change(SOLUTION, edit)
    assert_stale(SOLUTION, repository, lesson, exercises)


def test_a_student_notebook_that_was_changed(change, repository, lesson, exercises):
    change(STUDENT, lambda notebook: notebook["cells"][0].update(source=["# Other"]))
    assert_stale(STUDENT, repository, lesson, exercises)


@pytest.mark.parametrize("name", [SOLUTION, STUDENT])
@pytest.mark.parametrize("text", [None, "{", '{"cells": 3}'], ids=["missing", "no json", "no notebook"])
def test_a_notebook_that_is_missing_or_broken(repository, lesson, exercises, name, text):
    path = repository / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert_stale(name, repository, lesson, exercises)


def test_files_that_belong_to_no_lesson_are_named(repository, lesson):
    assert list(strays(repository, [lesson])) == []
    (repository / "solutions" / "02_more.py").touch()
    (repository / "notebooks" / "03_old.ipynb").touch()
    sentences = list(strays(repository, [lesson]))
    assert [sentence.partition(" ")[0] for sentence in sentences] == ["notebooks/03_old.ipynb", "solutions/02_more.py"]
