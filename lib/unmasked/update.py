"""`unmasked update`: the newest version of the course, without overwriting a learner's work.

Only a notebook that the learner and the new version have both changed needs care. It is copied to notebooks/kept/ and
noted down there before anything else happens; then the clone goes on to the new version, and the answers in the copy
are put into the new notebook. What was noted down is what a run that was killed left to do.
"""

import json

import nbformat

from unmasked import keeping
from unmasked.answers import carry, parse
from unmasked.clone import Clone
from unmasked.errors import UnmaskedError
from unmasked.progress import FOLDER

NEWEST = "This is the newest version."
DONE = (
    "The course is up to date. Run `make lab`, which also installs what is new; notebooks that are still open in "
    "JupyterLab have to be read again (File, Reload Notebook from Disk)."
)


def update(root, say=print):
    """Bring the clone at `root` to its newest version; `say` is called with sentences about what became of notebooks.

    Errors: UnmaskedError, before anything is changed, if that would overwrite something, or there is nothing to be had.
    """
    clone, journal = Clone.at(root), Journal(root / FOLDER / keeping.FOLDER / "update.json")
    target = clone.fetch(needed=not journal.entries)
    if clone.head() == target and not journal.entries:
        say(NEWEST)
        return
    old, new = clone.files("HEAD"), clone.files(target)
    half_done = _half_done(clone, old, new, target)
    mine = _changed_notebooks(clone, old.keys() - half_done)
    _require_nothing_in_the_way(clone, old, new, half_done)
    clash = {path for path in mine if old[path] != new.get(path) or path in journal.entries}
    _set_aside(clone, clash, journal)
    clone.remove(half_done - old.keys())  # git would not overwrite them
    _go_on(clone, target, clash | half_done & old.keys(), journal)
    for path in list(journal.entries):
        _bring_answers(clone, path, journal.entries[path], say)
        journal.forget(path)
    say(DONE)


class Journal:
    """What is left to do, in a file.

    `entries` maps a notebook's path to its copies, oldest first, each with the commit that the notebook grew from.
    """

    def __init__(self, file):
        self.file = file
        try:
            self.entries = json.loads(file.read_bytes())
        except FileNotFoundError:
            self.entries = {}
        except ValueError:
            raise UnmaskedError(
                f"{file} is broken: copies of your notebooks are beside it; delete it and try again."
            ) from None

    def note(self, path, copy, base):
        self._write(self.entries | {path: [*self.entries.get(path, []), {"copy": copy, "base": base}]})

    def forget(self, path):
        self._write({other: copies for other, copies in self.entries.items() if other != path})

    def _write(self, entries):
        if entries:
            keeping.replace_file(self.file, json.dumps(entries, indent=1).encode())
        else:
            self.file.unlink()
        self.entries = entries


def _half_done(clone, old, new, target):
    """What a killed update has left: files that are already as in the new version, or begin so, or are gone."""
    differing = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    now = clone.hashes(differing)
    torn = {path for path in now.keys() & new.keys() if now[path] not in (old.get(path), new[path])}
    torn = {path for path in torn if clone.content(target, path).startswith((clone.root / path).read_bytes())}
    return torn | {path for path in differing if now.get(path) in (None, new.get(path))}


def _changed_notebooks(clone, paths):
    """The notebooks among these that the learner has changed.  Errors: UnmaskedError if another file is changed."""
    changed = {path for path in clone.changed() & paths if (clone.root / path).exists()}
    notebooks = {path for path in changed if path.rpartition("/")[0] == FOLDER and path.endswith(".ipynb")}
    if others := sorted(changed - notebooks):
        raise UnmaskedError(
            f"You have changed {', '.join(others)}. Copy what you want to keep to another folder, run "
            f"`git restore --staged --worktree -- {' '.join(others)}` in {clone.root}, then update again; "
            "nothing was changed."
        )
    return notebooks


def _require_nothing_in_the_way(clone, old, new, half_done):
    """Errors: UnmaskedError if the new version has a file where the learner has one of their own."""
    own = sorted(path for path in new.keys() - old.keys() - half_done if (clone.root / path).exists())
    if own:
        raise UnmaskedError(
            f"The new version has {', '.join(own)}, and so have you: give yours another name; nothing was changed."
        )


def _set_aside(clone, paths, journal):
    """A copy of each notebook, noted down, unless the one that was noted down last is the same."""
    for path in sorted(paths):
        file, known = clone.root / path, journal.entries.get(path, [])
        if not known or (journal.file.parent / known[-1]["copy"]).read_bytes() != file.read_bytes():
            journal.note(path, keeping.set_aside(file).name, clone.head())


def _go_on(clone, target, to_put_back, journal):
    """Go on to the new version; if git can't, the learner's notebooks are put back."""
    try:
        clone.put_back(to_put_back)
        clone.fast_forward(target)
    except UnmaskedError:
        for path, copies in list(journal.entries.items()):
            keeping.replace_file(clone.root / path, _bytes_of(clone, copies[-1]))
            journal.forget(path)
        raise


def _bytes_of(clone, copy):
    return (clone.root / FOLDER / keeping.FOLDER / copy["copy"]).read_bytes()


def _bring_answers(clone, path, copies, say):
    """Put the answers in these copies into the new notebook, a later copy's over an earlier one's."""
    if path not in clone.files("HEAD"):
        keeping.replace_file(clone.root / path, _bytes_of(clone, copies[-1]))
        say(f"{path} is no longer in the course; yours stays.")
        return
    new, filled = (parse(clone.content("HEAD", path)) for _ in range(2))
    carried = []
    for copy in copies:
        try:
            mine = parse(_bytes_of(clone, copy))
        except UnmaskedError:
            say(f"{FOLDER}/{keeping.FOLDER}/{copy['copy']} is no notebook, so no answers could be taken from it.")
            continue
        carried.append(carry(mine, parse(clone.content(copy["base"], path)), new, filled))
    if any(each.answers for each in carried):
        keeping.replace_file(clone.root / path, (nbformat.writes(filled) + "\n").encode())
    say(_told(path, carried))
    say(f"  As you left it, it is {FOLDER}/{keeping.FOLDER}/{copies[-1]['copy']}.")


def _told(path, carried):
    """What became of the answers that were in the copies of a notebook."""

    def names(field):
        return ", ".join(dict.fromkeys(name for each in carried for name in getattr(each, field)))

    sentences = [f"{path} is new; there was no answer of yours in it."]
    if kept := names("answers"):
        sentences = [f"{path} is new, with your answers in it: {kept}."]
    if revised := names("revised"):
        sentences.append(f"The cell that you answered in is another one now, so look at it again: {revised}.")
    if lost := names("lost"):
        sentences.append(f"No longer in the lesson, and in your copy only: {lost}.")
    if own := sum(each.own_cells for each in carried):
        sentences.append(f"{own} cell{'s' if own > 1 else ''} that you added or changed beside: in your copy only.")
    return " ".join(sentences)
