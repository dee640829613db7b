"""Execute a notebook, and keep only outputs that the next run gives again."""

import os

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from unmasked.errors import UnmaskedError
from unmasked.publishing.read import first_line

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

# Authors may have another backend set, for their scripts; in a notebook figures are to be seen.
# A checkpoint of the author's own would make lesson 08 another one on each machine.
ENVIRONMENT = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "UNMASKED_CHECKPOINT": "shipped"}


def execute(notebook, path, committed=None):
    """Fills in the outputs of `notebook`, run from top to bottom in the folder of `path`, where it will be stored.

    A cell tagged `varies` keeps its outputs from `committed`, the notebook stored so far, while its source is the same.
    Raises UnmaskedError, naming the notebook and the cell, if a cell fails or a check withholds a point.
    """
    client = NotebookClient(
        notebook,
        timeout=None,
        iopub_timeout=60,  # seconds; the default loses outputs on a busy machine
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        record_timing=False,
        store_widget_state=False,
        force_raise_errors=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    with client.setup_kernel(env=os.environ | ENVIRONMENT):
        for index, cell in enumerate(notebook.cells):
            if reason := _failure(client, cell, index):
                raise UnmaskedError(f"{path.stem}, cell {index + 1} ({first_line(cell)}): {reason}")
    for cell in filter(_is_code, notebook.cells):
        cell.outputs = lasting(cell.outputs)
    if committed:
        _keep_varying(notebook, committed)


def is_executed(cell):
    """Whether a code cell was run, to its end."""
    return cell.execution_count is not None and not any(output.output_type == "error" for output in cell.outputs)


def lasting(outputs):
    """The outputs without progress bars, warnings and views of widgets that are gone; one text for each run of prints.

    How a kernel cuts what is printed into messages is chance.
    """
    kept = []
    for output in outputs:
        if output.get("name") == "stderr" or WIDGET_VIEW in output.get("data", {}):
            continue
        if kept and output.output_type == kept[-1].output_type == "stream":
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def _failure(client, cell, index):
    """Runs one cell. Returns what went wrong, or None."""
    try:
        client.execute_cell(cell, index)
    except CellExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    except DeadKernelError:
        return "the kernel died"
    expected = cell.metadata.get("nbgrader", {}).get("points") if _is_code(cell) else None
    if expected is not None and _points(cell) != expected:
        return f"the solution does not get the {expected:g} points of its check"
    return None


def _points(cell):
    """The points that nbgrader reads in a check's output, or None: the plain text of the cell's value."""
    values = [output.data["text/plain"] for output in cell.outputs if output.output_type == "execute_result"]
    try:
        return float(values[-1])
    except (IndexError, ValueError):
        return None


def _keep_varying(notebook, committed):
    """A cell's id and source together say that it is the same one."""
    stored = {(cell.id, cell.source): cell.outputs for cell in committed.cells if _is_code(cell) and is_executed(cell)}
    for cell in filter(_is_code, notebook.cells):
        if "varies" in cell.metadata.get("tags", []):
            cell.outputs = stored.get((cell.id, cell.source), cell.outputs)
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = cell.execution_count


def _is_code(cell):
    return cell.cell_type == "code"
