"""A made-up lesson in a repository of its own, published once for all tests."""

import shutil
from types import SimpleNamespace

import nbformat
import pytest

from unmasked.lessons import Lesson
from unmasked.publishing import publish

SOURCE = """\
# %% [markdown]
# # Tiny

# %%
import sys
import time

from tqdm.auto import tqdm

print("first", flush=True)
print("a warning", file=sys.stderr)
print("second")

# %%
for _ in tqdm(range(3)):
    pass

# %% tags=["varies"]
time.time_ns()

# %%
"twin"

# %%
"twin"

# %% exercise="Doubler"
class Doubler:
    def __init__(self):
        ### BEGIN SOLUTION
        self.factor = 2
        ### END SOLUTION

    def __call__(self, number):
        ### BEGIN SOLUTION
        return self.factor * number
        ### END SOLUTION

# %% check="Doubler"
3.0 if Doubler()(4) == 8 else 0.0

# %% [markdown] explain="why_two"
# Why two?
#
# ### BEGIN SOLUTION
# Because it is **even**.
# ### END SOLUTION
"""


@pytest.fixture(scope="session")
def lesson():
    return Lesson(1, "tiny", "Tiny")


@pytest.fixture(scope="session")
def exercises():
    return {"Doubler": SimpleNamespace(name="Doubler", points=3, mistakes={})}


@pytest.fixture(scope="session")
def published(tmp_path_factory, lesson, exercises):
    """To be looked at only."""
    root = tmp_path_factory.mktemp("published")
    (root / "solutions").mkdir()
    (root / "solutions" / "01_tiny.py").write_text(SOURCE)
    publish(root, lesson, exercises)
    return root


@pytest.fixture
def repository(published, tmp_path):
    """To be changed."""
    return shutil.copytree(published, tmp_path / "repository")


@pytest.fixture
def solution(published):
    return nbformat.read(published / "solutions" / "01_tiny.ipynb", as_version=4)


@pytest.fixture
def student(published):
    return nbformat.read(published / "notebooks" / "01_tiny.ipynb", as_version=4)


@pytest.fixture
def source(repository):
    return repository / "solutions" / "01_tiny.py"
