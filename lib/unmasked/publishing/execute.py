"""Execute a notebook, and keep only outputs that the next run gives again."""

import os

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from unmasked.errors import UnmaskedError
from unmasked.publishing.read import first_line

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

# Authors may have another backend set, for their scripts; in a notebook figures are to be seen.
INLINE_FIGURES = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}


def execute(notebook, path, committed=None):
    """Fills in the outputs of `notebook`, run from top to bottom in the folder of `path`, where it will be stored.

    A cell tagged `varies` keeps its outputs from `committed`, the notebook stored so far, while its source is the same.
    Raises UnmaskedError, naming the notebook and the cell, if a cell fails.
    """
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        force_raise_errors=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    with client.setup_kernel(env=os.environ | INLINE_FIGURES):
        for index, cell in enumerate(notebook.cells):
            try:
                client.execute_cell(cell, index)
            except (CellExecutionError, DeadKernelError) as error:
                reason = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
                raise UnmaskedError(f"{path.stem}, cell {index + 1} ({first_line(cell)}): {reason}") from None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _lasting(cell.outputs)
    if committed:
        _keep_varying(notebook, committed)


def is_executed(cell):
    """Whether a code cell was run, to its end."""
    return cell.execution_count is not None and not any(output.output_type == "error" for output in cell.outputs)


def _lasting(outputs):
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


def _keep_varying(notebook, committed):
    stored = {cell.source: cell.outputs for cell in committed.cells if cell.cell_type == "code" and is_executed(cell)}
    for cell in notebook.cells:
        if "varies" in cell.metadata.get("tags", []):
            cell.outputs = stored.get(cell.source, cell.outputs)
