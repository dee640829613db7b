"""A fresh notebook, and the old one kept."""

import errno
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from unmasked import cli, keeping
from unmasked.lessons import find_lesson
from unmasked.progress import FILE, read, record_try
from unmasked.verdict import Verdict

ROOT = Path(__file__).parents[2]
LESSON = find_lesson("02")
NAME = f"{LESSON.name}.ipynb"
PUBLISHED = (ROOT / "notebooks" / NAME).read_bytes()


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with lesson 02, in which the learner has written."""
    (tmp_path / "pyproject.toml").touch()
    for folder in ("notebooks", "solutions"):
        (tmp_path / folder).mkdir()
        shutil.copy(ROOT / folder / NAME, tmp_path / folder)
    (tmp_path / "notebooks" / NAME).write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def reset(monkeypatch, capsys):
    """Runs `unmasked reset`. Returns what it says, and what ends it."""

    def reset(*arguments):
        monkeypatch.setattr(sys, "argv", ["unmasked", "reset", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return capsys.readouterr().out, stopped.value.code

    return reset


def kept(course):
    folder = course / "notebooks" / "kept"
    return sorted(path.read_text() for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("name", ["02", "2", "02_self_attention"])
def test_the_published_notebook_comes_back_and_the_old_one_is_kept(course, reset, name):
    said, code = reset(name)
    assert code == 0
    assert (course / "notebooks" / NAME).read_bytes() == PUBLISHED
    assert kept(course) == ["mine"]
    copy = next((course / "notebooks" / "kept").iterdir())
    assert str(copy.relative_to(course)) in said and copy.name.startswith("02_self_attention.20")


def test_copies_made_in_the_same_second_do_not_overwrite_each_other(course, monkeypatch):
    class Clock:
        now = staticmethod(lambda: datetime(2026, 11, 22, 16, 30, 5))

    monkeypatch.setattr(keeping, "datetime", Clock)
    notebook = course / "notebooks" / NAME
    for text in ("first", "second", "third"):
        notebook.write_text(text)
        keeping.set_aside(notebook)
    names = sorted(path.name for path in (course / "notebooks" / "kept").iterdir())
    start = "02_self_attention.2026-11-22T16.30.05"
    assert names == [f"{start}-2.ipynb", f"{start}-3.ipynb", f"{start}.ipynb"]
    assert kept(course) == ["first", "second", "third"]


def test_a_missing_notebook_is_brought_back(course, reset):
    (course / "notebooks" / NAME).unlink()
    assert reset("02")[1] == 0
    assert (course / "notebooks" / NAME).read_bytes() == PUBLISHED
    assert kept(course) == []


def test_a_notebook_that_is_as_published_needs_no_copy(course, reset):
    (course / "notebooks" / NAME).write_bytes(PUBLISHED)
    assert reset("02")[1] == 0
    assert kept(course) == []


def test_progress_stays_in_the_file_and_counts_anew(course, reset):
    record_try(course / "notebooks", LESSON, Verdict("attention_weights", 2, 2))
    before = (course / "notebooks" / FILE).read_bytes()
    reset("02")
    assert (course / "notebooks" / FILE).read_bytes().startswith(before)
    assert read(course / "notebooks")[-1]["reset"] is True


@pytest.mark.parametrize("name", ["77", "nonsense", "../02"])
def test_an_unknown_lesson_fails_with_a_sentence_and_changes_nothing(course, reset, name):
    _, code = reset(name)
    assert code.startswith(f"unmasked: There is no lesson {name}, only 00_warm_up")
    assert (course / "notebooks" / NAME).read_text() == "mine"


def test_a_copy_of_the_course_without_solutions_says_where_a_fresh_notebook_is(course, reset):
    shutil.rmtree(course / "solutions")
    _, code = reset("02")
    assert "unpack the lesson's zip file into another folder" in code
    assert (course / "notebooks" / NAME).read_text() == "mine"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_loses_nothing(course, reset, monkeypatch, call):
    reset("02")
    (course / "notebooks" / NAME).write_text("mine again")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keeping, "os", SimpleNamespace(**vars(os) | {call: full}))
    _, code = reset("02")
    monkeypatch.undo()
    assert code.startswith("unmasked: No space left on device")
    assert (course / "notebooks" / NAME).read_text() == "mine again"
    assert kept(course) == (["mine"] if call == "fsync" else ["mine", "mine again"])
    assert not list((course / "notebooks").glob(".*"))
