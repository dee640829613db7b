"""Limits on what a piece of learner's code may take: time and memory, so that a slip never freezes a notebook."""

import contextlib
import ctypes
import os
import signal
import threading
from pathlib import Path

SECONDS = 5.0
BYTES = 4 * 2**30


class OutOfTime(BaseException):
    """Raised inside code that runs past its time. Not an Exception, so that `except Exception` can't swallow it."""


@contextlib.contextmanager
def time_limit(seconds=SECONDS):
    """Raise OutOfTime inside the block once it has run for `seconds`, and again every second while it goes on.

    In the main thread of a POSIX system by a timer signal, which also ends a sleep; elsewhere by an exception that
    the interpreter raises between two bytecodes.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        with _signalled(seconds):
            yield
    else:
        with _raised_from_a_timer(seconds):
            yield


@contextlib.contextmanager
def _signalled(seconds):
    def stop(signum, frame):
        raise OutOfTime

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextlib.contextmanager
def _raised_from_a_timer(seconds):
    thread, done = threading.get_ident(), threading.Event()

    def watch():
        pause = seconds
        while not done.wait(pause):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(OutOfTime))
            pause = 1.0

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


@contextlib.contextmanager
def memory_limit(extra=BYTES):
    """Let the block allocate at most `extra` bytes more than the process holds; beyond, it gets a MemoryError.

    On Linux only: RLIMIT_DATA counts writable private pages, so that address space reserved by CUDA doesn't count.
    """
    try:
        import resource

        limit = data_in_use() + extra
        before = resource.getrlimit(resource.RLIMIT_DATA)
    except (ImportError, OSError):
        yield
        return
    if before[1] != resource.RLIM_INFINITY:
        limit = min(limit, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def data_in_use():
    """Bytes of this process that count towards RLIMIT_DATA.  Errors: OSError where the system doesn't tell."""
    return _pages(5)


def addresses_in_use():
    """Bytes of this process that count towards RLIMIT_AS.  Errors: OSError where the system doesn't tell."""
    return _pages(0)


def _pages(field):
    return int(Path("/proc/self/statm").read_text().split()[field]) * os.sysconf("SC_PAGESIZE")
