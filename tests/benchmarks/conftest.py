"""The benchmarks are scripts: what they import from one another is in their own folder."""

import random
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def text(tmp_path):
    """A file of 2,000 short sentences."""
    draw = random.Random(0)
    animals = ["dog", "cat", "bird", "fish", "horse", "mouse"]
    lines = [f"the {draw.choice(animals)} sees the {draw.choice(animals)} {n}." for n in range(2000)]
    path = tmp_path / "animals.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def docs(tmp_path):
    """A folder with the repository's own page of recipes, so that its places for tables are tested too."""
    folder = tmp_path / "docs"
    (folder / "images").mkdir(parents=True)
    page = Path(__file__).parents[2] / "docs" / "recipe.md"
    (folder / "recipe.md").write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    return folder
