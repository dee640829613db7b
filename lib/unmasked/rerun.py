"""A learner's saved notebook, run again as grading would: its imports and its exercises, and no other cell."""

import ast
import linecache
from dataclasses import dataclass
from functools import partial

from unmasked.attempt import Host, Request
from unmasked.saved import defines, read_cells, statements_of, takes_from_the_course

IMPORT_SECONDS = 60  # an import that is cut off leaves half a module behind
SOLUTION = "BEGIN SOLUTION"  # nbgrader leaves none of these markers in what learners get


@dataclass(frozen=True)
class Rerun:
    """What the names stand for afterwards, and for each exercise that was found: its source, and its cell's Reply.

    The reply is None where the cell was not run because it holds the course's own solution.
    """

    namespace: dict
    sources: dict
    replies: dict


def rerun(path, names):
    """Run the exercises of these names in the notebook at `path`; if one is there twice, the last counts.

    Whatever they do ends in a reply: errors, prints, endless loops, sys.exit.
    Errors: Unreadable if the file can't be read.
    """
    cells = [cell for cell in read_cells(path)[0] if cell.type == "code" and cell.source]
    result = Rerun({"__name__": "__main__"}, {}, {})  # the notebook binds its classes there again, so they pickle
    for line in dict.fromkeys(line for cell in cells for line in _imports(cell)):
        _run(line, f"<{path.stem}, an import>", result.namespace, IMPORT_SECONDS)
    for cell in cells:
        answered = [name for name in names if cell.grade_id == name or defines(cell.source, name)]
        reply = None
        if answered and SOLUTION not in cell.source:
            reply = _run(cell.source, f"<{path.stem}, {answered[0]}>", result.namespace)
        result.sources.update(dict.fromkeys(answered, cell.source))
        result.replies.update(dict.fromkeys(answered, reply))
    return result


def _imports(cell):
    nodes = [node for node in statements_of(cell.source) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return [ast.unparse(node) for node in nodes if not takes_from_the_course(node)]


def _run(source, file, namespace, *limits):
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # so that errors show a line
    return Host(partial(_execute, source, file, namespace), {}, *limits)(Request("call"))


def _execute(source, file, namespace):
    exec(compile(source, file, "exec"), namespace)
