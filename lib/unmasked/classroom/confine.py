"""The inner wall of the cage: what a process does to itself, for good, before it runs what a student handed in.

Linux only. The outer wall, made by bubblewrap, is the same for all submissions (`unmasked.classroom.cage`): no network,
no environment, a read-only system without anybody's files. This one keeps submissions apart from each other: each gets
users, processes, memory that is shared, and temporary files of its own.
"""

import contextlib
import ctypes
import errno
import os
import platform
import resource
import signal
import socket
from dataclasses import dataclass

from unmasked.limits import BYTES, SECONDS, addresses_in_use, data_in_use

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_RDONLY, MS_REC, MS_PRIVATE = 2, 4, 8, 1, 1 << 14, 1 << 18
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_THREAD = 0x10000000, 0x20000000, 0x40000000, 0x10000
APART = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
CLONE = {"x86_64": 56, "aarch64": 220}  # the number of the system call
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, LAST_CAPABILITY = 24, 38, 63
CAPABILITY_VERSION_3 = 0x20080522
NOBODY = 65534
MOST_FILES = 10_000  # in /tmp: an empty one takes the system's memory too
MAPPED_LIBRARIES = 2**30  # bytes of addresses, for what is imported by a cell

# Never needed by a lesson, and where Linux' holes of the last years were.
FORBIDDEN_CALLS = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "perf_event_open", "bpf"),
    *("userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key", "request_key"),
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "fsopen", "fsmount", "move_mount", "open_tree"),
    *("swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module"),
    *("acct", "quotactl", "settimeofday", "clock_settime", "name_to_handle_at", "open_by_handle_at", "personality"),
    # Memory that no limit counts.
    *("memfd_create", "memfd_secret", "shmget", "msgget", "semget", "mq_open"),
    # A limit of memory is one process's, so a submission is one process; see also `clone` below.
    *("fork", "vfork"),
)


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    memory: int = BYTES  # on top of what the libraries take
    files: int = 64 * 2**20  # bytes in /tmp, which is gone afterwards
    cpu_seconds: int = 60
    processes: int = 32  # threads, that is, as long as calls are filtered
    call_seconds: float = SECONDS  # of the clock, for a cell or for one thing that a check asks for
    seconds: float = 60.0  # of the clock, for everything


def fork_apart():
    """As os.fork, but the child is in new namespaces, the first of its processes; it must call `map_user` next.

    One fork, where unshare needs a second one to get into the new namespace of processes: each takes a process with
    PyTorch in it 5 to 10 ms.
    """
    _python.PyOS_BeforeFork()
    process = _python.syscall(CLONE[platform.machine()], APART | signal.SIGCHLD, 0, 0, 0, 0)
    number = ctypes.get_errno()
    if process == 0:
        _python.PyOS_AfterFork_Child()
    else:
        _python.PyOS_AfterFork_Parent()
    if process < 0:
        raise OSError(number, f"clone: {os.strerror(number)}")
    return process


def map_user():
    """Be nobody, in a namespace of users of one's own."""
    # In bubblewrap's namespace, the parent of this one, the same number.
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{NOBODY} {NOBODY} 1")
    _write("/proc/self/gid_map", f"{NOBODY} {NOBODY} 1")


def wall_in(limits, forbidden_calls):
    """Own temporary files, no view of processes, no capabilities, none of the calls that the filter forbids.

    Errors: OSError if the system refuses one of them.
    """
    _call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    for path in (b"/tmp", b"/dev/shm"):
        _empty_folder(path, f"size={limits.files},nr_inodes={MOST_FILES},mode=1777", 0)
    _empty_folder(b"/proc", "size=0", MS_RDONLY)
    os.chdir("/tmp")
    _drop_capabilities()
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if forbidden_calls:
        forbidden_calls.load()


def limit(limits):
    """Limit what the process may use, for good."""
    for kind, amount in (
        (resource.RLIMIT_DATA, data_in_use() + limits.memory),
        # Memory that is mapped to be shared is no data.
        (resource.RLIMIT_AS, addresses_in_use() + limits.memory + MAPPED_LIBRARIES),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.files),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (amount, amount))


def _empty_folder(path, options, flags):
    _call("mount", b"tmpfs", path, b"tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | flags, options.encode())


def _drop_capabilities():
    for capability in range(LAST_CAPABILITY + 1):
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for those that this system doesn't have
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())


def call_filter():
    """A seccomp filter of FORBIDDEN_CALLS, not yet in force; None where the system has no libseccomp."""
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError):
        return None
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in FORBIDDEN_CALLS:
        with contextlib.suppress(OSError, ValueError):  # a call that this system does not have
            rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    new_process = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_THREAD, 0)
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", new_process)
    # A namespace of networks is no wall for all families: AF_VSOCK reaches the host of a virtual machine.
    other_family = pyseccomp.Arg(0, pyseccomp.NE, socket.AF_UNIX)
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "socket", other_family)
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags can't be looked at; libc falls back to clone
    return rules


_libc = ctypes.CDLL(None, use_errno=True)
_python = ctypes.PyDLL(None, use_errno=True)  # unlike CDLL, does not let go of the interpreter during a call


def _call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)
