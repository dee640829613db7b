"""The commands, on a repository in which nothing is published: what they say, and that they never show a traceback."""

import errno
import json
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from unmasked import cli, exercise, publishing
from unmasked.lessons import Lesson

LESSONS = (Lesson(1, "tiny", "Tiny"), Lesson(2, "small", "Small"))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "solutions").mkdir()
    (tmp_path / "notebooks").mkdir()
    exercises = {"tiny": {"halve": SimpleNamespace(points=2.5, mistakes={"a": 1, "b": 2})}, "small": {}}
    monkeypatch.setattr(cli, "LESSONS", LESSONS)
    monkeypatch.setattr(exercise, "exercises_of", lambda lesson: exercises[lesson.topic])
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


@pytest.fixture
def published(monkeypatch):
    """The names of the lessons that were published."""
    names = []
    monkeypatch.setattr(publishing, "publish", lambda root, lesson, exercises: names.append(lesson.name))
    return names


@pytest.mark.parametrize("name", ["02", "2", "02_small"])
def test_publish_takes_a_lesson_by_number_or_name(repository, unmasked, published, name):
    assert unmasked("publish", name)[0] == 0
    assert published == ["02_small"]


def test_publish_without_a_name_is_for_every_lesson(repository, unmasked, published):
    assert unmasked("publish")[0] == 0
    assert published == ["01_tiny", "02_small"]


def test_an_unknown_lesson(repository, unmasked):
    assert unmasked("publish", "9") == (1, "", "unmasked: There is no lesson 9, only 01_tiny, 02_small.")


def test_check_names_everything_that_is_wrong(repository, unmasked, published):
    (repository / "notebooks" / "03_old.ipynb").touch()
    (repository / "solutions" / "02_small.py").write_text("# %% title\n1\n")
    status, _, said = unmasked("publish", "--check")
    assert status == 1 and published == []
    assert [line.removeprefix("unmasked: ").split()[0] for line in said.splitlines()] == [
        "notebooks/03_old.ipynb",
        "solutions/01_tiny.py",
        "02_small.py,",
    ]


def test_a_disk_that_is_full(repository, unmasked, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp")

    monkeypatch.setattr(publishing, "publish", full)
    status, _, said = unmasked("publish")
    assert (status, said) == (1, "unmasked: No space left on device: /tmp.")


def test_checks_that_are_broken(repository, unmasked, monkeypatch):
    monkeypatch.setattr(exercise, "exercises_of", lambda lesson: 1 / 0)
    status, _, said = unmasked("exercises")
    assert status == 1
    assert said == "unmasked: lib/unmasked/checks/tiny.py can't be imported (ZeroDivisionError: division by zero)."


def test_exercises_for_people_and_for_programs(repository, unmasked):
    _, table, _ = unmasked("exercises")
    assert table.split() == "01_tiny halve 2.5 points, 2 known mistakes".split()
    _, listed, _ = unmasked("exercises", "--json")
    assert json.loads(listed) == [{"lesson": "01_tiny", "exercise": "halve", "points": 2.5, "known_mistakes": 2}]


@pytest.mark.parametrize("command, part", [("publish", "solutions"), ("lab", "notebooks")])
def test_a_folder_outside_of_the_course(tmp_path, monkeypatch, unmasked, command, part):
    monkeypatch.chdir(tmp_path)
    status, _, said = unmasked(command)
    assert status == 1 and f"go to the folder that holds {part}/ and pyproject.toml" in said


def test_what_students_are_given_has_no_solutions_and_opens_all_the_same(repository, unmasked, monkeypatch):
    from jupyterlab.labapp import LabApp

    launched = []
    monkeypatch.setattr(LabApp, "launch_instance", launched.extend)
    (repository / "solutions").rmdir()
    (repository / "notebooks" / "02_small.ipynb").touch()
    assert unmasked("lab")[0] == 0 and launched


def test_lab_opens_the_first_lesson_and_passes_arguments_on(repository, unmasked, monkeypatch):
    from jupyterlab.labapp import LabApp

    launched = []
    monkeypatch.setattr(LabApp, "launch_instance", launched.extend)
    for name in ("02_small", "01_tiny"):
        (repository / "notebooks" / f"{name}.ipynb").touch()
    assert unmasked("lab", "--no-browser")[0] == 0
    start_page = "--LabApp.default_url=/lab/tree/notebooks/01_tiny.ipynb"
    assert launched == [f"--ServerApp.root_dir={repository}", start_page, "--no-browser"]


def test_lab_without_a_lesson(repository, unmasked):
    status, _, said = unmasked("lab")
    assert status == 1 and "run `unmasked publish`" in said


@pytest.mark.parametrize("form", ["--port {}", "--port={}"])
def test_lab_on_a_port_in_use(repository, unmasked, form):
    (repository / "notebooks" / "01_tiny.ipynb").touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        status, _, said = unmasked("lab", *form.format(port).split())
    assert (status, said) == (1, f"unmasked: Port {port} is in use: name another one, or leave --port out.")


def test_help_imports_nothing_that_takes_seconds():
    program = "import sys, unmasked.cli; print({'torch', 'nbgrader', 'jupyterlab', 'nbformat'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"


def test_the_program_tells_in_one_sentence_and_fails(tmp_path):
    command = [sys.executable, "-m", "unmasked.cli", "publish"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith("unmasked: ") and len(result.stderr.splitlines()) == 1
