"""Carry a learner's answers from a notebook that they have worked in into a newer version of it."""

from dataclasses import dataclass

import nbformat

from unmasked.errors import UnmaskedError


@dataclass(frozen=True)
class Carried:
    """What became of a learner's answers, by grade_id.

    `answers` are now in the new version; `revised` are those of them whose cell is another one there, and `lost` are
    those whose exercise is gone. `own_cells` is the number of cells that the learner has added, or changed otherwise.
    """

    answers: tuple[str, ...]
    revised: tuple[str, ...]
    lost: tuple[str, ...]
    own_cells: int


def carry(mine, base, new, into):
    """Put the answers of `mine` into the notebook `into`, which is a copy of `new`, perhaps with other answers in it.

    An answer is what differs from `base`, the version from which `mine` grew.
    """
    stubs, new_stubs, places = _answer_cells(base), _answer_cells(new), _answer_cells(into)
    answers, revised, lost = [], [], []
    for name, cell in _answer_cells(mine, stubs).items():
        if name not in places or places[name].cell_type != cell.cell_type:
            lost.append(name)
            continue
        answers.append(name)
        if new_stubs[name].source not in (stubs[name].source, cell.source):
            revised.append(name)
        places[name].source = cell.source
    return Carried(tuple(answers), tuple(revised), tuple(lost), _own_cells(mine, base))


def parse(content):
    """The notebook that these bytes hold.  Errors: UnmaskedError if they hold none."""
    try:
        return nbformat.reads(content.decode(), as_version=4)
    except Exception:  # of a class of nbformat's, of json or of jsonschema
        raise UnmaskedError("This is no notebook.") from None


def _answer_cells(notebook, stubs=None):
    """The cells for answers, by grade_id; with `stubs` only those that differ from them.

    Of cells that were copied with their grade_id the last one counts, as it does when the notebook is run.
    """
    cells = {_grade_id(cell): cell for cell in notebook.cells if _is_answer(cell)}
    if stubs is None:
        return cells
    answered = (cell for cell in notebook.cells if _is_answer(cell) and _is_changed(cell, stubs))
    return {_grade_id(cell): cell for cell in answered}


def _is_changed(cell, stubs):
    stub = stubs.get(_grade_id(cell))
    return stub is not None and cell.source != stub.source


def _own_cells(mine, base):
    known = {cell.source for cell in base.cells}
    return sum(cell.source not in known and bool(cell.source.strip()) and not _is_answer(cell) for cell in mine.cells)


def _is_answer(cell):
    return bool(cell.metadata.get("nbgrader", {}).get("solution")) and bool(_grade_id(cell))


def _grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")
