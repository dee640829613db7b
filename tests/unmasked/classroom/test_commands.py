"""`unmasked class ...`: that the steps follow one another, and what they say."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from unmasked.classroom.commands import app
from unmasked.errors import UnmaskedError
from unmasked.lessons import find_lesson

NOTEBOOK = f"{find_lesson('02').name}.ipynb"


def run(*arguments):
    """What a command says. An UnmaskedError is raised, as in the program, which turns it into a sentence."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_class_from_its_making_to_its_collection(tmp_path, monkeypatch):
    assert "is the directory of the class nlp" in run("new", tmp_path / "nlp")
    monkeypatch.chdir(tmp_path / "nlp")
    (tmp_path / "roster.csv").write_text("id,first_name,last_name,email\nann,Ann,Doe,\nbob,Bob,Roe,\n")
    assert run("roster", tmp_path / "roster.csv") == "2 students in the gradebook.\n"
    assert run("release", "2") == f"For students: {tmp_path}/nlp/bundles/02_self_attention.zip\n"
    for name in (f"Ann Doe_1_assignsubmission_file_/{NOTEBOOK}", "Bob Roe_2_assignsubmission_file_/hw.ipynb"):
        (tmp_path / "download" / name).parent.mkdir(parents=True)
        shutil.copy(tmp_path / "nlp" / "release" / "02_self_attention" / NOTEBOOK, tmp_path / "download" / name)
    said = run("collect", "02", tmp_path / "download").splitlines()
    folder = "downloaded/02_self_attention/1/extracted"
    assert said == [
        f"{folder}/Bob Roe_2_assignsubmission_file_/hw.ipynb is by bob, but not called {NOTEBOOK}.",
        "1 notebook collected, 0 were collected before, 1 file not collected.",
    ]
    assert run("export", "--format", "canvas") == f"Marks written to {tmp_path}/nlp/grades-canvas.csv.\n"


def test_a_class_is_named_from_anywhere(course):
    source = course.source_notebook(find_lesson("02").name)
    notebook = json.loads(source.read_text())
    notebook["cells"][0]["source"] = "# For my class"
    source.write_text(json.dumps(notebook))
    said = run("release", "02_self_attention", "--course", course.root)
    assert "is not the repository's; it was released as it is" in said


def test_outside_of_a_class(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (["release", "2"], ["roster", "x.csv"], ["collect", "2", "x.zip"], ["feedback", "2"], ["export"]):
        with pytest.raises(UnmaskedError, match="is in no class directory"):
            run(*command)


@pytest.mark.parametrize("arguments", [["collect", "2"], ["collect", "2", "x.zip", "--exchange"]])
def test_collect_needs_one_place_to_collect_from(course, arguments):
    result = CliRunner().invoke(app, [*arguments, "--course", str(course.root)])
    assert result.exit_code == 2 and "name a zip file or a folder, or say" in result.output
