"""The git clone that a copy of the course may be, and what `unmasked update` needs to know about it."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from unmasked.errors import UnmaskedError

BY_HAND = (
    "Download the new version into a folder beside this one, and copy your notebooks and notebooks/progress.jsonl there"
)


@dataclass(frozen=True)
class Clone:
    """A git repository; paths are relative to its `root`, with slashes."""

    root: Path

    @classmethod
    def at(cls, root):
        """The clone whose top is `root`.  Errors: UnmaskedError if it is none, or there is no git."""
        if not shutil.which("git"):
            raise UnmaskedError(f"git is not installed, and an update needs it. Install it, or: {BY_HAND}.")
        if not (root / ".git").exists():
            raise UnmaskedError(f"This copy of the course is no git clone, so it can't be updated. {BY_HAND}.")
        clone = cls(root)
        lock = root / clone.git("rev-parse", "--git-path", "index.lock").strip()
        if lock.exists():
            raise UnmaskedError(
                f"git is at work here, or was killed at it: if nothing is, delete {lock} and try again."
            )
        return clone

    def git(self, *arguments, given=""):
        """What git prints.  Errors: UnmaskedError with what git says."""
        return os.fsdecode(self._git(arguments, os.fsencode(given)))

    def _git(self, arguments, given=b""):
        result = subprocess.run(
            ["git", "--literal-pathspecs", "-C", self.root, *arguments],
            input=given,
            capture_output=True,
            env=os.environ | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
        )
        if result.returncode:
            said = " ".join(os.fsdecode(result.stderr).split()) or f"exit status {result.returncode}"
            raise UnmaskedError(f"git {arguments[0]} failed: {said}")
        return result.stdout

    def fetch(self, needed=True):
        """The newest commit of the branch that this one follows; if not `needed`, the newest that is known offline.

        Errors: UnmaskedError if it can't be had, or if this clone has commits of its own.
        """
        try:
            self.git("symbolic-ref", "--quiet", "HEAD")
            upstream = self.git("rev-parse", "--abbrev-ref", "@{upstream}").strip()
        except UnmaskedError:
            raise UnmaskedError(
                "This clone follows no branch of another repository, so it is not known what to update from: "
                "run `git switch main` or `git branch --set-upstream-to=origin/main`, then try again."
            ) from None
        try:
            self.git("fetch", "--quiet")
        except UnmaskedError as error:
            if needed:
                raise UnmaskedError(f"The newest version can't be fetched; are you online? {error}") from None
        target = self.git("rev-parse", "--verify", "@{upstream}").strip()
        own = int(self.git("rev-list", "--count", f"{target}..HEAD"))
        if own:
            raise UnmaskedError(
                f"This clone has {own} commit{'s' if own > 1 else ''} that {upstream} does not have: "
                "bring the two together with git; nothing was changed."
            )
        return target

    def head(self):
        """The commit that is checked out."""
        return self.git("rev-parse", "--verify", "HEAD").strip()

    def files(self, commit):
        """Path -> hash of the content, of every file in a commit."""
        entries = self.git("ls-tree", "-r", "-z", commit).split("\0")[:-1]
        return {path: facts.split()[2] for facts, _, path in (entry.partition("\t") for entry in entries)}

    def changed(self):
        """The tracked files that differ from the commit that is checked out."""
        entries = self.git("status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames").split("\0")
        return {entry[3:] for entry in entries if entry}

    def hashes(self, paths):
        """Path -> hash of the content that lies there now, of those that are files."""
        present = [path for path in paths if (self.root / path).is_file() and "\n" not in path]
        hashes = self.git("hash-object", "--stdin-paths", given="\n".join(present)) if present else ""
        return dict(zip(present, hashes.split()))

    def content(self, commit, path):
        """The bytes of a file in a commit."""
        return self._git(("show", f"{commit}:{path}"))

    def put_back(self, paths):
        """Make these files as they are in the commit that is checked out."""
        if paths:
            self.git("checkout", "--quiet", "HEAD", "--", *sorted(paths))

    def remove(self, paths):
        """Remove these files, and what git has noted of them."""
        if paths:
            self.git("rm", "--quiet", "--cached", "--ignore-unmatch", "--", *sorted(paths))
        for path in paths:
            (self.root / path).unlink(missing_ok=True)

    def fast_forward(self, commit):
        """Go on to a later commit."""
        self.git("-c", "merge.autoStash=false", "merge", "--quiet", "--ff-only", commit)
