"""`unmasked reset LESSON`: a fresh notebook, and the old one kept."""

from unmasked.keeping import replace_file, set_aside
from unmasked.progress import record


def reset(folder, lesson, fresh):
    """Put the bytes `fresh` in the place of the lesson's notebook in `folder`; count its exercises anew.

    Returns the copy of the notebook that was there, or None if there was none or it was as fresh.  Errors: OSError;
    then the notebook is the old or the fresh one, whole.
    """
    notebook = folder / f"{lesson.name}.ipynb"
    kept = None
    if notebook.exists() and notebook.read_bytes() != fresh:
        kept = set_aside(notebook)
    replace_file(notebook, fresh)
    record(folder, lesson, reset=True)
    return kept
