"""Submissions, rebuilt from the master: of what was handed in only the source of the student's own cells counts.

    master = read_master(source notebook, lesson)
    submission = rebuild(folder that was handed in, master)     never raises, whatever a student hands in
    notebook = autograded(master, submission, verdict_of)       what nbgrader keeps

The cage runs `master.preamble`, then `submission.answers`; nothing else of a submission is ever run.
"""

import ast
import copy
import hashlib
import importlib.util
import logging
import re
from dataclasses import dataclass
from functools import cached_property

import nbformat
from nbformat.v4 import new_output
from nbgrader.preprocessors import CheckCellMetadata, ClearOutput, ClearSolutions, ComputeChecksums, LockCells
from nbgrader.utils import compute_checksum, is_grade, is_solution

from unmasked.classroom import handed_in
from unmasked.classroom.handed_in import Remark, clean, shown
from unmasked.errors import UnmaskedError
from unmasked.lessons import Lesson

SCHEMA_VERSION = 3  # of nbgrader's metadata
FLAGS = ("grade", "solution", "task", "points")  # nbgrader derives from them whether a cell is locked
JUDGED_BY_NOBODY = "This answer was not judged."


@dataclass(frozen=True, eq=False)
class Master:
    """A lesson as it was released.

    `notebook` is the release as nbgrader makes it: stubs in the place of solutions, checksums, no outputs.
    `preamble` is code: the lesson's imports and the constants that stand beside its stubs.
    """

    lesson: Lesson
    notebook: nbformat.NotebookNode
    preamble: str

    @cached_property
    def answers(self):
        """The release stub of each exercise, in order."""
        return {name: cell.source for name, cell in self.cells.items() if is_solution(cell) and not is_grade(cell)}

    @cached_property
    def checks(self):
        """The exercises that have a check, in order."""
        return [name for name in self.answers if f"check_{name}" in self.cells]

    @cached_property
    def explains(self):
        """The release stub of each answer that is graded by hand, by grade_id, in order."""
        return {name: cell.source for name, cell in self.cells.items() if is_solution(cell) and is_grade(cell)}

    @cached_property
    def points(self):
        """The most points of each exercise that has a check."""
        return {name: self.cells[f"check_{name}"].metadata.nbgrader.points for name in self.checks}

    @cached_property
    def cells(self):
        """The cells that nbgrader knows, by grade_id."""
        known = (cell for cell in self.notebook.cells if "nbgrader" in cell.metadata)
        return {cell.metadata.nbgrader.grade_id: cell for cell in known}

    @cached_property
    def digest(self):
        """Changes with whatever decides about points: the stubs, the checks, what runs before them."""
        checks = importlib.util.find_spec(f"unmasked.checks.{self.lesson.topic}")
        code = open(checks.origin, encoding="utf-8").read() if checks else ""
        return _digest(self.preamble, code, *(f"{name}\n{cell.source}" for name, cell in self.cells.items()))


@dataclass(frozen=True)
class Submission:
    """What of a submission counts. `missing` are the names whose answer is the stub, because none was handed in.

    Equal digests need no grading again; remarks are no part of it.
    """

    answers: dict[str, str]  # exercise -> source
    explains: dict[str, str]  # grade_id -> text
    missing: frozenset
    remarks: tuple[Remark, ...]
    digest: str


def read_master(path, lesson):
    """The Master of `lesson`, from its source notebook, the one with the solutions.

    Raises UnmaskedError if the file is no notebook that nbgrader can release.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise UnmaskedError(f"{path} is missing: release {lesson.name} first.") from None
    except Exception:  # nbformat raises a class of its own, of json or of jsonschema, as it breaks
        raise UnmaskedError(f"{path} is no notebook.") from None
    if not any("BEGIN SOLUTION" in cell.source for cell in notebook.cells):
        raise UnmaskedError(f"{path} has no solutions: it must be the teacher's notebook, not the students'.")
    try:
        return _released(notebook, lesson)
    except Exception as error:  # nbgrader's own, of several classes
        raise UnmaskedError(f"nbgrader can't release {path}: {error}") from None


def rebuild(folder, master):
    """The Submission in `folder`, which was handed in for `master`'s lesson. Never raises for what is in it."""
    cells, remarks = handed_in.read(folder, f"{master.lesson.name}.ipynb", master.cells)
    stubs = master.answers | master.explains
    if cells is None:
        chosen = {}
    else:
        chosen, about = _choose_all(cells, master)
        remarks = [*remarks, *about, *_about_locked(cells, master), *_about_version(cells, master)]
        remarks += _about_extra(cells, chosen, master)
    texts = {name: chosen[name].source if name in chosen else stub for name, stub in stubs.items()}
    return Submission(
        answers={name: texts[name] for name in master.answers},
        explains={name: texts[name] for name in master.explains},
        missing=frozenset(stubs.keys() - chosen.keys()),
        remarks=tuple(remarks),
        digest=_digest(master.digest, *(f"{name}\n{text}" for name, text in texts.items())),
    )


def autograded(master, submission, verdict_of):
    """The notebook that nbgrader keeps of a graded submission: the release, the student's answers, and the points.

    `verdict_of` takes an exercise's name and returns something with `points` and `html`, or None: no points then.
    """
    notebook = copy.deepcopy(master.notebook)
    texts = submission.answers | submission.explains
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        cell.source = texts.get(grade_id, cell.source)
        if grade_id.removeprefix("check_") in master.checks and is_grade(cell):
            cell.outputs = [_points_output(cell, verdict_of(grade_id.removeprefix("check_")))]
            cell.execution_count = 1
    return notebook


def _points_output(cell, verdict):
    most = float(cell.metadata.nbgrader.points)
    # nbgrader takes no output at all, and a number it can't read, for full marks.
    points = min(max(0.0, float(verdict.points)), most) if verdict else 0.0
    data = {"text/plain": str(points), "text/html": clean(verdict.html) if verdict else JUDGED_BY_NOBODY}
    return new_output("execute_result", data=data, execution_count=1)


def _released(notebook, lesson):
    """nbgrader's own steps of a release, without its database."""
    solved = [cell for cell in notebook.cells if cell.cell_type == "code" and not is_solution(cell)]
    for step in (LockCells, ClearSolutions, ClearOutput, CheckCellMetadata, ComputeChecksums):
        notebook, _ = step(log=logging.getLogger("unmasked.quiet")).preprocess(notebook, {})
    stubs = [cell for cell in notebook.cells if cell.cell_type == "code" and is_solution(cell)]
    master = Master(lesson, notebook, _preamble(solved, stubs))
    for name, cell in master.cells.items():
        if cell.cell_type == "code" and is_grade(cell) and not is_solution(cell):
            if name.removeprefix("check_") not in master.checks:
                raise ValueError(f"its graded cell {name} belongs to no exercise")
    return master


def _preamble(given, stubs):
    """Imports and constants. Not what the course itself offers: its checks hold right implementations."""
    statements = [
        node for cell in given for node in _statements(cell) if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    statements += [node for cell in stubs for node in _statements(cell) if isinstance(node, ast.Assign)]
    lines = [ast.unparse(node) for node in statements if not _is_our_own(node)]
    return "\n".join(dict.fromkeys(lines))


def _statements(cell):
    try:
        return ast.parse(cell.source).body
    except SyntaxError:  # a line for IPython
        return []


def _is_our_own(node):
    modules = [node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in getattr(node, "names", ())]
    return any(module.partition(".")[0] == "unmasked" for module in modules if module)


def _choose_all(cells, master):
    """The cell that holds each answer, by name, and remarks. First by grade_id, then by what is in it."""
    stubs = master.answers | master.explains
    chosen, remarks = {}, []
    for name, stub in stubs.items():
        claimants = [cell for cell in cells if cell.grade_id == name and cell.source is not None]
        if claimants:
            chosen[name] = _first_answer(claimants, name, stub, master)
            remarks += _about_chosen(chosen[name], claimants, name, master)
    taken = set(chosen.values())
    left = [cell for cell in cells if cell not in taken and cell.source is not None]
    left = [cell for cell in left if cell.grade_id not in master.cells or cell.grade_id in chosen]
    for name in [name for name in stubs if name not in chosen]:
        candidates = [cell for cell in left if _fits(cell, name, master)]
        candidates = [cell for cell in candidates if not _same(cell.source, stubs[name])] or candidates[:1]
        if len(candidates) == 1:
            chosen[name] = candidates[0]
        remarks.append(_about_lost(name, candidates, cells))
    return chosen, remarks


def _first_answer(claimants, name, stub, master):
    answers = [cell for cell in claimants if not _same(cell.source, stub)]
    fitting = [cell for cell in answers if _fits(cell, name, master)]
    return (fitting or answers or claimants)[0]


def _fits(cell, name, master):
    """Whether a cell is by its content an answer to `name`."""
    if name in master.answers:
        # Not ast: it has crashed Python on hostile source, and an answer with a syntax error is to be found too.
        return cell.type == "code" and bool(re.search(rf"^((async +)?def|class) +{name}\b", cell.source, re.MULTILINE))
    question = master.explains[name].partition("YOUR ANSWER HERE")[0].strip()
    return cell.type != "code" and bool(question) and cell.source.strip().startswith(question)


def _about_chosen(cell, claimants, name, master):
    expected = master.cells[name].cell_type
    if cell.type != expected:
        yield Remark("edited", f"The answer to {name} is not a {expected} cell any more; it counts all the same.", name)
    if len(claimants) > 1:
        which = f"The answer to {name} was handed in {len(claimants)} times; one counts, and the others are not run."
        yield Remark("duplicate", which, name)


def _about_lost(name, candidates, cells):
    if len(candidates) == 1:
        return Remark("recovered", f"The answer to {name} had lost its identifier and was found by its content.", name)
    if candidates:
        return Remark(
            "missing", f"{len(candidates)} cells could be the answer to {name}, so none of them counts.", name
        )
    if any(cell.grade_id == name for cell in cells):
        return Remark("unreadable", f"The answer to {name} is no text, or far too long.", name)
    return Remark("missing", f"The answer to {name} was not handed in.", name)


def _about_locked(cells, master):
    """Remarks about checks that are gone or changed, and about changed metadata. None of it has an effect."""
    for name, original in master.cells.items():
        handed = [cell for cell in cells if cell.grade_id == name]
        locked = not is_solution(original)
        changed = [cell for cell in handed if _changed(cell, original, locked)]
        if locked and not handed:
            yield Remark("deleted", f"The cell {name} was deleted; the original one was used.", name)
        elif changed and all(_is_as_released(cell) for cell in changed):
            yield Remark("version", f"The cell {name} is from another release; the one of this release was used.", name)
        elif changed:
            what = "cell" if locked else "metadata of the cell"
            yield Remark("tampering", f"The {what} {name} was changed; that had no effect.", name)


def _changed(cell, original, locked):
    expected = original.metadata.nbgrader
    flags = any(key in cell.nbgrader and key in expected and cell.nbgrader[key] != expected[key] for key in FLAGS)
    return flags or locked and not _same(cell.source or "", original.source)


def _is_as_released(cell):
    """Whether a cell is what nbgrader once released, by nbgrader's own checksum."""
    node = nbformat.NotebookNode(
        cell_type=cell.type, source=cell.source, metadata=nbformat.NotebookNode(nbgrader=cell.nbgrader)
    )
    try:
        return compute_checksum(node) == cell.nbgrader.get("checksum")
    except Exception:  # metadata that make no sense
        return False


def _about_version(cells, master):
    known = [cell for cell in cells if cell.grade_id in master.cells]
    if any(cell.nbgrader.get("schema_version") != SCHEMA_VERSION for cell in known):
        yield Remark("version", "Its metadata are from another version of nbgrader; they were read all the same.")
    if cells and not known:
        yield Remark("version", "It has no cell of this lesson's release.")
    strangers = {cell.grade_id for cell in cells if cell.grade_id} - master.cells.keys()
    for name in sorted(strangers)[:20]:
        yield Remark("version", f"The cell {shown(name)} belongs to no exercise of this release.", shown(name))


def _about_extra(cells, chosen, master):
    """Remarks about cells of the student's own, above all where an answer needs what they define."""
    taken = set(chosen.values())
    given = {_bare(cell.source) for cell in master.notebook.cells}
    code = [cell for cell in cells if cell.type == "code" and cell.source and cell.source.strip()]
    extra = [cell for cell in code if cell not in taken and _bare(cell.source) not in given]
    extra = [cell for cell in extra if cell.grade_id not in master.cells]
    if not extra:
        return
    yield Remark("extra", f"Code in {len(extra)} cells besides the answers was added or changed; it was not run.")
    own = {word for cell in extra for word in _defined(cell.source)} - _words(master.preamble) - master.answers.keys()
    for name, cell in chosen.items():
        needed = sorted(own & _words(cell.source))
        if name in master.answers and needed:
            what = shown(", ".join(needed))
            yield Remark("extra", f"The answer to {name} uses {what}, defined in a cell that was not run.", name)


def _defined(source):
    """Names of functions, of classes and of what is imported, at the top level."""
    lines = re.findall(r"^(?:(?:def|class) +(\w+)|(?:from +\S+ +)?import +(.+))", source, re.MULTILINE)
    return {word for definition, imported in lines for word in _words(definition + imported)} - {"as"}


def _words(text):
    return set(re.findall(r"\w+", text))


def _same(source, other):
    return _bare(source) == _bare(other)


def _bare(source):
    """The source without what an editor may add: spaces at the end of a line, empty lines at the end."""
    return "\n".join(line.rstrip() for line in (source or "").splitlines()).strip()


def _digest(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
