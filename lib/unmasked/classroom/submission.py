"""Submissions, rebuilt from the master: of what was handed in only the source of the student's own cells counts."""

import re
from dataclasses import dataclass

import nbformat
from nbgrader.utils import compute_checksum, is_solution

from unmasked.classroom import handed_in
from unmasked.classroom.handed_in import Remark, shown
from unmasked.classroom.master import digest
from unmasked.saved import defines

SCHEMA_VERSION = 3  # of nbgrader's metadata
FLAGS = ("grade", "solution", "task", "points")  # nbgrader derives from them whether a cell is locked


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
        digest=digest(master.digest, *(f"{name}\n{text}" for name, text in texts.items())),
    )


def _choose_all(cells, master):
    """The cell that holds each answer, by name, and remarks. First by grade_id, then by what is in it."""
    chosen, remarks = {}, []
    for name in master.answers | master.explains:
        claimants = [cell for cell in cells if cell.grade_id == name and cell.source is not None]
        if claimants:
            chosen[name] = _first_answer(claimants, name, master)
            remarks += _about_chosen(chosen[name], claimants, name, master)
    return chosen, remarks + list(_recover(cells, chosen, master))


def _recover(cells, chosen, master):
    """Adds to `chosen` answers whose own cell is lost, or was left as it was, from other cells. Yields remarks."""
    taken = set(chosen.values())
    left = [cell for cell in cells if cell not in taken and cell.source is not None]
    left = [cell for cell in left if cell.grade_id not in master.cells or cell.grade_id in chosen]
    for name, stub in (master.answers | master.explains).items():
        if name in chosen and not _same(chosen[name].source, stub):
            continue
        fitting = [cell for cell in left if _fits(cell, name, master)]
        candidates = [cell for cell in fitting if not _same(cell.source, stub)]
        if name not in chosen:
            candidates = candidates or fitting[:1]
        if name not in chosen or candidates:
            yield _about_lost(name, candidates, cells)
        if len(candidates) == 1:
            chosen[name] = candidates[0]


def _first_answer(claimants, name, master):
    answers = [cell for cell in claimants if not _same(cell.source, master.cells[name].source)]
    fitting = [cell for cell in answers if _fits(cell, name, master)]
    return (fitting or answers or claimants)[0]


def _fits(cell, name, master):
    """Whether a cell is by its content an answer to `name`."""
    if name in master.answers:
        return cell.type == "code" and defines(cell.source, name)
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
        return Remark("recovered", f"The answer to {name} stands in another cell than the lesson's; it counts.", name)
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
    count = f"{len(extra)} cell{'' if len(extra) == 1 else 's'}"
    yield Remark("extra", f"Code in {count} besides the answers was added or changed; it was not run.")
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
