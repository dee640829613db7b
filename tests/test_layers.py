"""What may import what, and that the lessons teach the code that `nanobert` ships."""

import ast
from pathlib import Path

import jupytext
import pytest

from unmasked.lessons import BUILT_IN, LESSONS
from unmasked.publishing.read import solution_regions

ROOT = Path(__file__).parents[1]
NANOBERT = sorted((ROOT / "lib" / "nanobert").glob("*.py"))
UNMASKED = sorted((ROOT / "lib" / "unmasked").rglob("*.py"))
COMMAND_LINE_ONLY = ("unmasked.publishing", "unmasked.classroom")
LONGEST_MODULE, LONGEST_FUNCTION = 150, 25  # lines


def name_of(path):
    return path.relative_to(ROOT / "lib").with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


def imports(tree):
    """The full names of all modules that a syntax tree imports, and of what it takes from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", NANOBERT, ids=name_of)
def test_nanobert_knows_nothing_of_the_course(path):
    assert not [name for name in imports(tree_of(path)) if name.startswith("unmasked")]


@pytest.mark.parametrize("path", UNMASKED, ids=name_of)
def test_only_the_command_line_imports_publishing_and_classroom(path):
    package = name_of(path)
    if package == "unmasked.cli":
        return
    outside = [part for part in COMMAND_LINE_ONLY if not package.startswith(part)]
    assert not [name for name in imports(tree_of(path)) if name.startswith(tuple(outside))]


@pytest.mark.parametrize("path", sorted((ROOT / "lib" / "unmasked" / "checks").glob("*.py")), ids=name_of)
def test_no_check_has_nanobert_as_its_oracle(path):
    assert not [name for name in imports(tree_of(path)) if name.startswith("nanobert")]


@pytest.mark.parametrize("path", NANOBERT, ids=name_of)
def test_nanobert_stays_readable(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]
    long = [f.name for f in functions if f.end_lineno - f.lineno + 1 - _docstring_lines(f) > LONGEST_FUNCTION]
    assert not long


def _docstring_lines(function):
    first = function.body[0]
    return first.end_lineno - first.lineno + 1 if ast.get_docstring(function) else 0


def cells_of(lesson):
    return jupytext.read(ROOT / "solutions" / f"{lesson.name}.py", fmt="py:percent").cells


def code_of(lesson):
    return "\n".join(cell.source for cell in cells_of(lesson) if cell.cell_type == "code")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_lesson_takes_from_nanobert_only_what_earlier_ones_have_built(lesson):
    taken = {name.split(".")[1] for name in imports(ast.parse(code_of(lesson))) if name.startswith("nanobert.")}
    unknown = taken - BUILT_IN.keys()
    assert not unknown, f"name the lesson that builds {unknown} in unmasked/lessons.py"
    assert not [module for module in taken if BUILT_IN[module] >= lesson.number]


def definitions(tree):
    """Functions and classes at the top level, by name, without their docstrings."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            for inner in ast.walk(node):
                if isinstance(inner, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(inner):
                    inner.body = inner.body[1:]
            yield node.name, ast.dump(node)


SHIPPED = {name: code for path in NANOBERT for name, code in definitions(tree_of(path))}
TAUGHT = [
    pytest.param(code, SHIPPED[name], id=f"{lesson.number:02d}-{name}")
    for lesson in LESSONS
    for name, code in definitions(ast.parse(code_of(lesson)))
    if name in SHIPPED
]


@pytest.mark.parametrize("taught, shipped", TAUGHT)
def test_what_a_lesson_teaches_is_what_nanobert_ships(taught, shipped):
    assert taught == shipped


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_no_solution_line_stands_in_a_student_notebook(lesson):
    notebooks = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").glob("*.ipynb"))
    exercises = [cell.source for cell in cells_of(lesson) if "exercise" in cell.metadata]
    lines = [line.strip() for text in exercises for region in solution_regions(text) for line in region.splitlines()]
    telling = [line for line in lines if len(line) > 12 and not line.startswith("#")]
    assert telling and not [line for line in telling if line.replace('"', '\\"') in notebooks]
