"""What runs in the cage: a process that has imported everything once, and a fork of it for each submission.

This process is started by `unmasked.classroom.cage` and talks to it through one socket, over which it is handed another
socket for each submission. It computes nothing itself and has one thread only, or its forks could hang.
"""

import contextlib
import gc
import linecache
import os
import select
import signal
import socket

import torch

from unmasked.attempt import Host, Request
from unmasked.classroom import confine
from unmasked.classroom.channel import ChannelError, receive, send


def main(control):
    """Take in submissions until the other side hangs up."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks that end are forgotten at once
    orders = receive(control)
    limits, walls = confine.Limits(**orders["limits"]), orders["walls"]
    namespace = {"__name__": "__main__"}
    exec(orders["preamble"], namespace)
    _warm_up()
    calls = confine.call_filter() if walls else None
    gc.collect()
    gc.freeze()  # so that a fork's garbage collection does not copy what they share
    send(control, {"threads": _threads(), "calls_filtered": calls is not None})

    inmates = _Inmates(control)
    while judge := inmates.next_judge():
        process = confine.fork_apart() if walls else os.fork()
        if process == 0:
            _keep_only(judge)
            _serve_confined(judge, namespace, limits, walls, calls)
            os._exit(0)
        inmates.add(judge, process)


class _Inmates:
    """The submissions in the cage. One whose judge hangs up is ended, and one that ends is hung up on."""

    def __init__(self, control):
        self.control = control
        self.inmates = {}  # its judge's socket and a handle of its process, by the file number of either
        self.watch = select.poll()
        self.watch.register(control, select.POLLIN)

    def next_judge(self):
        """Wait for a submission; returns the socket to its judge, or None if there will be none any more."""
        while True:
            for number, _ in self.watch.poll():
                if number == self.control.fileno():
                    _, handed, _, _ = socket.recv_fds(self.control, 1, 1)
                    return socket.socket(fileno=handed[0]) if handed else None
                if number in self.inmates:
                    self.end(number)

    def add(self, judge, process):
        """Look after a new process."""
        if not hasattr(os, "pidfd_open"):  # macOS, without walls: it ends when it next asks for what to do
            judge.close()
            return
        handle = os.pidfd_open(process)
        self.watch.register(judge, 0)  # tells only that the other side hung up
        self.watch.register(handle, select.POLLIN)
        self.inmates[judge.fileno()] = self.inmates[handle] = judge, handle

    def end(self, number):
        """End a process, and with it, as it is the first of its namespace, all others that it started."""
        judge, handle = self.inmates[number]
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        for each in (judge.fileno(), handle):
            self.watch.unregister(each)
            del self.inmates[each]
        judge.close()
        os.close(handle)


def _warm_up():
    """What PyTorch does once only, at first use."""
    torch.set_num_threads(1)
    layer = torch.nn.Linear(2, 2)
    layer(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    Host(lambda x: x)(Request("call", args=(torch.ones(1),)))


def _threads():
    """How many threads this process has: with more than one, a fork can hang. None where the system doesn't tell."""
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else None


def _keep_only(judge):
    """Close every file but the judge's socket and the standard ones: those of other submissions are among them."""
    os.closerange(3, judge.fileno())
    os.closerange(judge.fileno() + 1, os.sysconf("SC_OPEN_MAX"))


def _close_log():
    """The standard files are those of the cage, which all submissions would share."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.close(nothing)


def _serve_confined(judge, namespace, limits, walls, calls):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if walls:
        confine.map_user()
    confine.limit(limits)
    if walls:
        confine.wall_in(limits, calls)
    _close_log()
    _serve(judge, namespace, limits)


def _serve(judge, namespace, limits):
    """Run cells and answer requests, as the judge asks, until it hangs up."""
    host = None
    while True:
        try:
            message = receive(judge)
        except ChannelError:
            return
        if "cell" in message:
            cell = Host(_definer(**message, namespace=namespace), {}, limits.call_seconds, limits.memory)
            answer = _as_message(cell(Request("call")))
        elif "subject" in message:
            host = Host(namespace.get(message["subject"]), namespace, limits.call_seconds, limits.memory)
            answer = {"found": message["subject"] in namespace}
        else:
            message["watched"] = frozenset(message["watched"])
            answer = _as_message(host(Request(**message)))
        try:
            send(judge, answer)
        except (TypeError, ValueError, RecursionError, MemoryError) as error:
            send(judge, {"error": ["raised", f"The result can't be handed over: {error or type(error).__name__}", ""]})


def _definer(cell, source, namespace):
    """A function that runs a cell in the namespace; errors in it can show their line."""
    file = f"<cell {cell}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    return lambda: exec(compile(source, file, "exec"), namespace)


def _as_message(reply):
    return vars(reply) | {"error": reply.error and list(vars(reply.error).values())}
