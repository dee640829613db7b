"""What runs in the cage: a process that has imported everything once, and a fork of it for each submission.

This process is started by `unmasked.classroom.cage` and talks to it through one socket, over which it is handed another
socket for each submission. It computes nothing itself and has one thread only, or its forks could hang.
"""

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
    while True:
        _, handed, _, _ = socket.recv_fds(control, 1, 1)
        if not handed:
            return
        judge = socket.socket(fileno=handed[0])
        if os.fork() == 0:
            control.close()
            _guard(judge, namespace, limits, walls, calls)
        judge.close()


def _warm_up():
    """What PyTorch does once only, at first use."""
    torch.set_num_threads(1)
    layer = torch.nn.Linear(2, 2)
    layer(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()


def _threads():
    """How many threads this process has: with more than one, a fork can hang. None where the system doesn't tell."""
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else None


def _guard(judge, namespace, limits, walls, calls):
    """Start the process that runs the submission, and end it, with all that it started, when the judge hangs up."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if walls:
        confine.enter_namespaces()
    child = os.fork()
    if child == 0:
        confine.limit(limits)
        if walls:
            confine.wall_in(limits, calls)
        _serve(judge, namespace, limits)
        os._exit(0)
    watch = select.poll()
    watch.register(judge, 0)  # tells only that the other side hung up
    while not watch.poll(100) and os.waitpid(child, os.WNOHANG) == (0, 0):
        pass
    os.kill(child, signal.SIGKILL)  # the first process of its namespace: all others there go with it
    os._exit(0)


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
            send(judge, {"error": ["raised", f"the result can't be sent: {type(error).__name__}", ""]})


def _definer(cell, source, namespace):
    """A function that runs a cell in the namespace; errors in it can show their line."""
    file = f"<cell {cell}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    return lambda: exec(compile(source, file, "exec"), namespace)


def _as_message(reply):
    return vars(reply) | {"error": reply.error and list(vars(reply.error).values())}
