"""What of the cage this computer can offer, for `unmasked doctor`: only who grades a class needs it."""

import subprocess
import sys
import tempfile

from unmasked.classroom.cage import bubblewrap, course_files, in_cage, lay_out, wall
from unmasked.classroom.confine import call_filter
from unmasked.doctor import Finding
from unmasked.lessons import LESSONS

LINUX = "grade on Linux, in a virtual machine or WSL 2, if need be"
INSTALL = "install bubblewrap, for example with `apt install bubblewrap`"
NAMESPACES = (
    "let ordinary users make user namespaces (`sysctl user.max_user_namespaces`, Debian's "
    "`kernel.unprivileged_userns_clone`, Ubuntu's `kernel.apparmor_restrict_unprivileged_userns`; in a container, run "
    "it with them)"
)
FILTER = "install libseccomp, for example with `apt install libseccomp2`; the other walls stand without it"
INNER = (
    "import os, sys; sys.path.insert(0, '/course'); from unmasked.classroom import confine; "
    "child = confine.fork_apart(); child or confine.map_user(); child or confine.wall_in(confine.Limits(), None); "
    "sys.exit(child and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
)


def examine():
    """Yields a Finding for each wall of the cage, from the outside to the inside; ends at the first that is missing."""
    if sys.platform != "linux":
        yield _wall(False, "a cage for grading", LINUX)
        return
    try:
        program = bubblewrap()
    except FileNotFoundError:
        yield _wall(False, "bubblewrap, for grading in a cage", INSTALL)
        return
    yield _wall(True, f"grading in a cage: bubblewrap ({program})", "")
    with tempfile.TemporaryDirectory() as folder:
        lay_out(course_files(LESSONS[0]), folder)
        outer, inner = (_runs([*wall(folder), in_cage(sys.executable), "-I", "-c", code]) for code in ("", INNER))
    yield _wall(outer, "its outer wall", NAMESPACES)
    if outer:
        yield _wall(inner, "its inner wall, between submissions", NAMESPACES)
        yield _wall(call_filter() is not None, "its filter of system calls", FILTER)


def _wall(there, what, remedy):
    return Finding(there, what, remedy, needed=False)


def _runs(command):
    return subprocess.run(command, capture_output=True, timeout=60, env={}).returncode == 0
