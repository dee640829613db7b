"""Handing out: what nbgrader makes, and what a bundle holds and what it does not."""

import ast
import json
import re
import subprocess
import sys
from zipfile import ZipFile

import jupytext
import nbformat
import pytest

from unmasked.classroom.course import the_repository
from unmasked.classroom.new import new
from unmasked.classroom.release import FOLDER, is_changed, release, release_to_exchange
from unmasked.errors import UnmaskedError
from unmasked.exercise import exercises_of
from unmasked.lessons import BUILT_IN, LESSONS, find_lesson
from unmasked.publishing.read import solution_regions

ROOT = the_repository()
SECOND = find_lesson("02")
every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Makes and unpacks the bundle of a lesson, once; returns the folder in it."""
    course, unpacked = new(tmp_path_factory.mktemp("classes") / "nlp"), {}

    def bundle_of(lesson):
        if lesson not in unpacked:
            place = tmp_path_factory.mktemp("students")
            ZipFile(release(course, lesson)).extractall(place)
            unpacked[lesson] = place / FOLDER
        return unpacked[lesson]

    return bundle_of


def solution_lines(numbers):
    """What stands in the regions of exercises and questions of some lessons, line by line, if it says anything."""
    lines = set()
    for path in (ROOT / "solutions").glob("*.py"):
        if int(path.name[:2]) in numbers:
            regions = [part for cell in jupytext.read(path).cells for part in solution_regions(cell.source)]
            lines |= {line.strip() for region in regions for line in region.splitlines()}
    return {line for line in lines if len(line) > 12 and not re.match(r"#|self\.(\w+) = \1$", line)}


def text_of(bundle, but=()):
    """All text in a bundle, but for some files, and for hints, which may tell nearly everything."""
    files = (path for path in bundle.rglob("*") if path.is_file() and path.suffix != ".safetensors")
    paths = [path for path in files if path.relative_to(bundle).as_posix() not in but]
    text = "\n".join(path.read_text(encoding="utf-8").replace('\\"', '"') for path in paths)
    return re.sub(r"<details>.*?</details>", "", text)


@every_lesson
def test_a_bundle_holds_no_line_of_this_or_a_later_solution(lesson, bundles):
    """The check module, with its oracles and mistakes, is the exception; so are right answers that its checks need."""
    exceptions = {f"lib/unmasked/checks/{lesson.topic}.py", "lib/unmasked/stand_ins.py"}
    text = text_of(bundles(lesson), exceptions)
    assert "### BEGIN SOLUTION" not in text
    secret = solution_lines(range(lesson.number, 100)) - solution_lines(range(lesson.number))
    assert secret and [line for line in secret if line in text] == []


@every_lesson
def test_a_bundle_holds_no_solutions_no_tests_and_nothing_of_the_teachers(lesson, bundles):
    bundle = bundles(lesson)
    assert {path.name for path in bundle.iterdir() if path.is_dir()} == {"lib", "notebooks"}
    assert [path.name for path in (bundle / "notebooks").iterdir()] == [f"{lesson.name}.ipynb"]
    assert not [path for name in ("publishing", "classroom", "other_ways") for path in bundle.rglob(name)]
    assert not list(bundle.rglob("test_*"))


@every_lesson
def test_a_bundle_holds_the_command_line(lesson, bundles):
    command = [sys.executable, "-I", "-B", "-c", DOCTOR, bundles(lesson) / "lib"]
    told = subprocess.run(command, capture_output=True, text=True)
    assert "torch" in told.stdout, told.stderr


@every_lesson
def test_a_bundle_holds_of_nanobert_what_earlier_lessons_have_built(lesson, bundles):
    shipped = {path.stem for path in (bundles(lesson) / "lib" / "nanobert").iterdir()}
    assert shipped - {"__init__"} == {module for module, number in BUILT_IN.items() if number < lesson.number}


@every_lesson
def test_a_bundle_holds_the_checks_of_its_own_lesson_only(lesson, bundles):
    lib = bundles(lesson) / "lib" / "unmasked"
    for package in ("checks", "figures", "widgets"):
        assert {path.stem for path in (lib / package).iterdir()} <= {"__init__", lesson.topic}
    allowed = {name for each in LESSONS if each.number <= lesson.number for name in exercises_of(each)}
    stand_ins = ast.parse((lib / "stand_ins.py").read_text(encoding="utf-8"))
    assert {node.name for node in stand_ins.body if isinstance(node, ast.FunctionDef)} <= allowed


@every_lesson
def test_a_notebook_has_no_answers_and_is_graded_like_its_source(lesson, bundles):
    notebook = nbformat.read(bundles(lesson) / "notebooks" / f"{lesson.name}.ipynb", as_version=4)
    assert not [cell for cell in notebook.cells if "model-answer" in cell.metadata.get("tags", [])]
    assert not [cell for cell in notebook.cells if cell.get("outputs")]
    points = {cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.get("points")
              for cell in notebook.cells if "nbgrader" in cell.metadata}  # fmt: skip
    for name, exercise in exercises_of(lesson).items():
        assert points[f"check_{name}"] == exercise.points


# Only what is installed, and the bundle instead of the repository that is installed too.
BUNDLE_FIRST = """
import json, runpy, sys
sys.path = [path for path in sys.path if not path.rstrip("/").endswith("/lib")]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
sys.path.insert(0, sys.argv[1])
"""
DOCTOR = BUNDLE_FIRST + "sys.argv[1:] = ['doctor']\nfrom unmasked.cli import main\nmain()"
IMPORTED = (
    BUNDLE_FIRST
    + """
for line in json.loads(sys.argv[2]):
    exec(line)
import importlib, pathlib
for path in pathlib.Path(sys.argv[1]).rglob("*.py"):
    importlib.import_module(".".join(path.relative_to(sys.argv[1]).with_suffix("").parts).removesuffix(".__init__"))
own = [m.__file__ for name, m in sys.modules.items() if name.split(".")[0] in ("nanobert", "unmasked")]
assert own and all(file.startswith(sys.argv[1]) for file in own), own
"""
)


@every_lesson
def test_a_bundle_has_all_that_its_notebook_and_its_own_modules_import(lesson, bundles):
    bundle = bundles(lesson)
    notebook = nbformat.read(bundle / "notebooks" / f"{lesson.name}.ipynb", as_version=4)
    trees = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    imports = [ast.unparse(node) for tree in trees for node in ast.walk(tree)
               if isinstance(node, (ast.Import, ast.ImportFrom))]  # fmt: skip
    command = [sys.executable, "-I", "-B", "-c", IMPORTED, bundle / "lib", json.dumps(imports)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_bundles_of_two_lessons_unpack_into_one_place(bundles, tmp_path):
    """Where two bundles hold the same file, it is the same; but stand-ins grow."""
    first, second = (bundles(lesson) for lesson in LESSONS[:2])
    both = {path.relative_to(first) for path in first.rglob("*") if path.is_file()}
    both &= {path.relative_to(second) for path in second.rglob("*") if path.is_file()}
    differ = [path.name for path in both if (first / path).read_bytes() != (second / path).read_bytes()]
    assert "pyproject.toml" in {path.name for path in both} and set(differ) <= {"stand_ins.py"}
    assert set((first / "lib/unmasked/stand_ins.py").read_text().splitlines()) <= set(
        (second / "lib/unmasked/stand_ins.py").read_text().splitlines()
    )


def test_a_source_that_a_teacher_has_changed_is_released_as_it_is(course):
    assert not is_changed(course, SECOND)
    source = course.source_notebook(SECOND.name)
    source.write_text(source.read_text().replace("# Self-attention", "# Self-attention, for my class"))
    release(course, SECOND)
    assert is_changed(course, SECOND)
    assert "for my class" in course.release_notebook(SECOND.name).read_text()


def test_a_source_that_nbgrader_cant_release_is_told_and_the_bundle_stays(course):
    bundle = course.root / "bundles" / f"{SECOND.name}.zip"
    before = bundle.read_bytes()
    source = course.source_notebook(SECOND.name)
    source.write_text(source.read_text().replace("### END SOLUTION", "### END", 1))
    with pytest.raises(UnmaskedError, match="nbgrader can't release 02_self_attention: .*no end solution statement"):
        release(course, SECOND)
    assert bundle.read_bytes() == before


def test_a_lesson_goes_to_the_exchange_once(course, tmp_path):
    course.config.Exchange.root = str(tmp_path / "exchange")
    release_to_exchange(course, SECOND)
    assert [path.name for path in tmp_path.glob("exchange/nlp/outbound/*/*")] == [f"{SECOND.name}.ipynb"]
    with pytest.raises(UnmaskedError, match="to the exchange: Destination already exists"):
        release_to_exchange(course, SECOND)
