"""`unmasked update`, with real git repositories: an upstream that goes on, and a learner's clone of it."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from unmasked import cli, keeping, update
from unmasked.clone import Clone
from unmasked.errors import UnmaskedError

STUB = "def {}(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
OTHER = "notebooks/02_other.ipynb"
LESSON = "notebooks/01_lesson.ipynb"


def git(folder, *arguments):
    identity = ["-c", "user.name=Someone", "-c", "user.email=someone@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def cell(name, source=None, make=new_code_cell, **role):
    """A cell with nbgrader's metadata: an answer, if nothing else is said."""
    role = {"grade": False, "solution": True, "locked": False} | role
    metadata = {"nbgrader": {"grade_id": name, "schema_version": 3, "task": False, **role}}
    return make(source or STUB.format(name), metadata=metadata, id=name)


def lesson(text, *names, stub=None):
    """A student notebook with this text, an exercise of each name, and a question."""
    cells = [new_markdown_cell(text, id="text")]
    for name in names:
        cells.append(cell(name, stub))
        cells.append(cell(f"check_{name}", f"checks.{name}({name})", grade=True, solution=False, locked=True, points=1))
    cells.append(cell("explain_why", "Why?", new_markdown_cell, grade=True, points=1))
    return new_notebook(cells=cells)


def store(path, notebook):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def answer(path, **answers):
    """What a learner does: write answers, by the name of the exercise, and save."""
    notebook = nbformat.read(path, as_version=4)
    for each in notebook.cells:
        name = each.metadata.get("nbgrader", {}).get("grade_id")
        each.source = answers.get(name, each.source)
    nbformat.write(notebook, path)


def sources(path):
    return {each.id: each.source for each in nbformat.read(path, as_version=4).cells}


class World:
    """`author` is where the course is written; `mine` is a learner's clone of what was pushed."""

    def __init__(self, root):
        self.author, self.mine = root / "author", root / "mine"
        git(root, "init", "--bare", "--initial-branch=main", "upstream.git")
        git(root, "clone", "upstream.git", "author")
        git(self.author, "switch", "--orphan", "main")
        (self.author / "pyproject.toml").write_text("one")
        (self.author / ".gitignore").write_text("notebooks/progress.jsonl\nnotebooks/kept/\n")
        store(self.author / LESSON, lesson("old", "halve", "double"))
        store(self.author / OTHER, lesson("other", "square"))
        self.publish()
        git(root, "clone", "upstream.git", "mine")

    def publish(self):
        git(self.author, "add", "--all")
        git(self.author, "commit", "--message", "A version")
        git(self.author, "push", "--set-upstream", "origin", "main")

    def goes_on(self, *names, text="new", **how):
        """A new version of the course, in which the lesson has these exercises."""
        (self.author / "pyproject.toml").write_text(text)
        (self.author / "new.txt").write_text("new")
        store(self.author / LESSON, lesson(text, *(names or ("halve", "double", "third")), **how))
        self.publish()

    def update(self):
        """What the learner is told."""
        said = []
        update.update(self.mine, said.append)
        return "\n".join(said)

    def state(self):
        """Everything in the clone that a learner could miss: path -> bytes."""
        files = (path for path in self.mine.rglob("*") if path.is_file() and ".git" not in path.parts)
        return {str(path.relative_to(self.mine)): path.read_bytes() for path in files}

    def copies(self):
        folder = self.mine / "notebooks" / "kept"
        return sorted(path for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


MINE = "def halve(x):\n    return x / 2"


# --- What becomes of notebooks ---------------------------------------------------------------------------------------


def test_answers_are_carried_into_the_new_notebook_and_the_old_one_is_kept(world):
    answer(world.mine / LESSON, halve=MINE, explain_why="Because.")
    before = (world.mine / LESSON).read_bytes()
    world.goes_on()
    said = world.update()
    found = sources(world.mine / LESSON)
    assert (found["text"], found["halve"], found["explain_why"]) == ("new", MINE, "Because.")
    assert found["double"] == STUB.format("double") and found["third"] == STUB.format("third")
    assert [copy.read_bytes() for copy in world.copies()] == [before]
    assert f"{LESSON} is new, with your answers in it: halve, explain_why." in said
    assert f"notebooks/kept/{world.copies()[0].name}" in said and "make lab" in said
    assert (world.mine / "pyproject.toml").read_text() == "new" and (world.mine / "new.txt").exists()


def test_a_notebook_that_the_new_version_leaves_alone_is_not_touched(world):
    answer(world.mine / OTHER, square="def square(x):\n    return x * x")
    before = (world.mine / OTHER).read_bytes()
    world.goes_on()
    world.update()
    assert (world.mine / OTHER).read_bytes() == before
    assert world.copies() == []
    assert sources(world.mine / LESSON)["text"] == "new"


def test_progress_and_files_of_the_learners_own_stay(world):
    own = {"notebooks/progress.jsonl": b"{}", "notebooks/mine.ipynb": b"mine", "notes.txt": b"notes"}
    for path, content in own.items():
        (world.mine / path).write_bytes(content)
    git(world.mine, "add", "notes.txt")
    world.goes_on()
    world.update()
    assert own.items() <= world.state().items()


def test_what_was_only_run_becomes_the_new_notebook_and_is_kept(world):
    notebook = nbformat.read(world.mine / LESSON, as_version=4)
    notebook.cells[1].execution_count = 3
    store(world.mine / LESSON, notebook)
    world.goes_on()
    assert "there was no answer of yours in it" in world.update()
    assert (world.mine / LESSON).read_bytes() == (world.author / LESSON).read_bytes()
    assert len(world.copies()) == 1


def test_an_answer_without_its_exercise_and_own_cells_are_said_to_be_in_the_copy(world):
    answer(world.mine / LESSON, halve=MINE, double="def double(x):\n    return 2 * x")
    notebook = nbformat.read(world.mine / LESSON, as_version=4)
    notebook.cells += [new_code_cell("halve(3)"), new_code_cell("halve(4)")]
    store(world.mine / LESSON, notebook)
    world.goes_on("halve")
    said = world.update()
    assert "No longer in the lesson, and in your copy only: double." in said
    assert "2 cells that you added or changed beside: in your copy only." in said
    assert "halve(3)" in world.copies()[0].read_text()


def test_an_exercise_that_is_another_one_now_is_named(world):
    answer(world.mine / LESSON, halve=MINE)
    world.goes_on("halve", stub="def halve(x, y):\n    raise NotImplementedError()")
    assert "The cell that you answered in is another one now, so look at it again: halve." in world.update()
    assert sources(world.mine / LESSON)["halve"] == MINE


def test_of_two_cells_with_the_same_name_the_last_answer_counts(world):
    notebook = nbformat.read(world.mine / LESSON, as_version=4)
    notebook.cells[2:2] = [cell("halve", MINE), cell("halve")]
    notebook.cells[2].id, notebook.cells[3].id = "copied", "again"
    store(world.mine / LESSON, notebook)
    world.goes_on()
    world.update()
    assert sources(world.mine / LESSON)["halve"] == MINE


def test_a_lesson_that_is_gone_stays_with_a_learner_who_worked_in_it(world):
    answer(world.mine / LESSON, halve=MINE)
    before = (world.mine / LESSON).read_bytes()
    (world.author / LESSON).unlink()
    world.publish()
    assert f"{LESSON} is no longer in the course; yours stays." in world.update()
    assert (world.mine / LESSON).read_bytes() == before


def test_a_broken_notebook_is_kept_and_the_new_one_comes(world):
    (world.mine / LESSON).write_text("{ broken")
    world.goes_on()
    assert "is no notebook, so no answers could be taken from it" in world.update()
    assert [copy.read_text() for copy in world.copies()] == ["{ broken"]
    assert sources(world.mine / LESSON)["text"] == "new"


def test_a_deleted_notebook_comes_back(world):
    (world.mine / LESSON).unlink()
    world.goes_on()
    world.update()
    assert sources(world.mine / LESSON)["text"] == "new"


def test_what_a_learner_has_deleted_stops_nothing(world):
    (world.author / "solutions.txt").write_text("not yet")
    world.publish()
    world.update()
    (world.mine / "solutions.txt").unlink()
    (world.mine / "pyproject.toml").unlink()
    world.goes_on()
    world.update()
    assert not (world.mine / "solutions.txt").exists()
    assert (world.mine / "pyproject.toml").read_text() == "new"


def test_answers_that_were_staged_are_carried_too(world):
    answer(world.mine / LESSON, halve=MINE)
    git(world.mine, "add", LESSON)
    world.goes_on()
    world.update()
    assert sources(world.mine / LESSON)["halve"] == MINE


def test_several_updates_in_turn_keep_every_answer(world):
    answer(world.mine / LESSON, halve=MINE)
    for text in ("second", "third", "fourth"):
        world.goes_on(text=text)
        world.update()
        assert (sources(world.mine / LESSON)["text"], sources(world.mine / LESSON)["halve"]) == (text, MINE)


def test_where_nothing_is_new_that_is_said_and_nothing_changes(world):
    answer(world.mine / LESSON, halve=MINE)
    before = world.state()
    assert world.update() == "This is the newest version."
    assert world.state() == before


# --- What stops it, before anything is touched -----------------------------------------------------------------------


def change_another_file(world):
    (world.mine / "pyproject.toml").write_text("mine")


def commit(world):
    answer(world.mine / LESSON, double="mine")
    git(world.mine, "commit", "--all", "--message", "Mine")


def have_a_file_that_is_new(world):
    (world.mine / "new.txt").write_text("mine")


def follow_nothing(world):
    git(world.mine, "switch", "--create", "my-own")


def be_nowhere(world):
    git(world.mine, "switch", "--detach")


def lose_the_upstream(world):
    shutil.rmtree(world.mine.parent / "upstream.git")


def be_locked(world):
    (world.mine / ".git" / "index.lock").touch()


def be_no_clone(world):
    shutil.rmtree(world.mine / ".git")


REASONS = {
    change_another_file: "You have changed pyproject.toml.",
    commit: "This clone has 1 commit that origin/main does not have",
    have_a_file_that_is_new: "The new version has new.txt, and so have you",
    follow_nothing: "This clone follows no branch",
    be_nowhere: "This clone follows no branch",
    lose_the_upstream: "The newest version can't be fetched; are you online?",
    be_locked: "index.lock and try again",
    be_no_clone: "This copy of the course is no git clone",
}


@pytest.mark.parametrize("prepare", REASONS, ids=lambda prepare: prepare.__name__)
def test_what_can_not_be_updated_is_left_as_it_is_with_a_sentence_and_no_traceback(world, prepare, monkeypatch, capsys):
    answer(world.mine / LESSON, halve=MINE)
    world.goes_on()
    prepare(world)
    before = world.state()
    monkeypatch.chdir(world.mine)
    monkeypatch.setattr(sys, "argv", ["unmasked", "update"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code.startswith("unmasked: ") and REASONS[prepare] in stopped.value.code
    assert world.state() == before


def test_a_course_inside_of_another_repository_is_not_taken_for_a_clone(world):
    inside = world.mine / "unpacked"
    (inside / "notebooks").mkdir(parents=True)
    with pytest.raises(UnmaskedError, match="no git clone"):
        update.update(inside)


def test_without_git_a_sentence_says_so(world, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UnmaskedError, match="git is not installed"):
        world.update()


def test_where_git_can_not_go_on_the_learners_notebooks_are_put_back(world, monkeypatch):
    answer(world.mine / LESSON, halve=MINE)
    before = world.state()
    world.goes_on()

    def refuse(self, commit):
        raise UnmaskedError("git merge failed: no space left on device")

    monkeypatch.setattr(Clone, "fast_forward", refuse)
    with pytest.raises(UnmaskedError, match="no space left"):
        world.update()
    assert before.items() <= world.state().items()
    assert len(world.copies()) == 1
    monkeypatch.undo()
    world.update()
    assert sources(world.mine / LESSON)["halve"] == MINE


# --- Killed ----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process."""


def nothing(*arguments, **named):
    """How far a step got that had not begun."""


def update_killed_at(world, monkeypatch, owner, step, as_far=nothing):
    """An update whose process ends in one of its steps, which gets `as_far` as that."""

    def killed(*arguments, **named):
        as_far(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, step, killed)
        world.update()


STEPS = [
    (Clone, "fetch"),
    (keeping, "set_aside"),
    (update.Journal, "note"),
    (Clone, "put_back"),
    (Clone, "fast_forward"),
    (update, "carry"),
    (keeping, "replace_file"),
    (update.Journal, "forget"),
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("owner, step", STEPS, ids=lambda each: each if isinstance(each, str) else "")
def test_killed_at_any_step_and_run_again_every_answer_is_in_the_new_notebook(world, monkeypatch, owner, step, when):
    answer(world.mine / LESSON, halve=MINE)
    learners = (world.mine / LESSON).read_bytes()
    world.goes_on()
    as_far = getattr(owner, step) if when == "after" else nothing
    update_killed_at(world, monkeypatch, owner, step, as_far)
    assert learners in world.state().values()
    world.update()
    found = sources(world.mine / LESSON)
    assert (found["text"], found["halve"]) == ("new", MINE)
    assert learners in world.state().values()
    assert world.update() == "This is the newest version."


def write_files(clone, commit):
    for name in ("pyproject.toml", "new.txt", LESSON):
        (clone.root / name).write_bytes(clone.content(commit, name))


def write_half_files(clone, commit):
    for name in ("pyproject.toml", "new.txt", LESSON):
        (clone.root / name).write_bytes(clone.content(commit, name)[:2])


def remove_files(clone, commit):
    for name in ("pyproject.toml", LESSON):
        (clone.root / name).unlink()


def write_files_and_index(clone, commit):
    git(clone.root, "read-tree", "-m", "-u", "HEAD", commit)


@pytest.mark.parametrize(
    "as_far", [remove_files, write_half_files, write_files, write_files_and_index], ids=lambda f: f.__name__
)
def test_killed_while_git_works_it_goes_on_when_run_again(world, monkeypatch, as_far):
    """git removes and writes the files one by one, then writes its index, and then which version is checked out."""
    answer(world.mine / LESSON, halve=MINE)
    world.goes_on()
    update_killed_at(world, monkeypatch, Clone, "fast_forward", as_far)
    world.update()
    found = sources(world.mine / LESSON)
    assert (found["text"], found["halve"]) == ("new", MINE)
    assert Clone(world.mine).changed() == {LESSON}
    assert (world.mine / "new.txt").read_text() == "new"


def test_what_was_written_after_an_update_was_killed_is_carried_over_too(world, monkeypatch):
    answer(world.mine / LESSON, halve=MINE, explain_why="First.")
    world.goes_on()
    update_killed_at(world, monkeypatch, update, "carry")
    answer(world.mine / LESSON, third="def third(x):\n    return x / 3", explain_why="Second.")
    world.update()
    found = sources(world.mine / LESSON)
    assert (found["halve"], found["explain_why"]) == (MINE, "Second.")
    assert "x / 3" in found["third"]


def test_a_killed_update_is_finished_offline_too(world, monkeypatch):
    answer(world.mine / LESSON, halve=MINE)
    world.goes_on()
    update_killed_at(world, monkeypatch, update, "carry")
    lose_the_upstream(world)
    world.update()
    assert sources(world.mine / LESSON)["halve"] == MINE


def test_a_copy_that_can_not_be_written_stops_it_before_anything_is_touched(world, monkeypatch):
    answer(world.mine / LESSON, halve=MINE)
    world.goes_on()
    before = world.state()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        world.update()
    assert world.state() == before
