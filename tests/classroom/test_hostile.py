"""Submissions that are hostile or broken, graded all together with honest ones between them: the exact points of each.

Where an attack could gain something, the answer is right if it succeeds and wrong if not, so that the points tell.
"""

import copy
import hashlib
import json
import os
import socket
import subprocess
import sys
import textwrap
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from nbconvert.exporters import HTMLExporter

import unmasked.checks.self_attention as checks
from unmasked.attempt import Host
from unmasked.classroom import grading
from unmasked.classroom.channel import ChannelError
from unmasked.classroom.confine import Limits
from unmasked.classroom.judge import Judged, took_the_cage_down
from unmasked.classroom.master import autograded, read_master
from unmasked.classroom.run import grade_class, record_path, terms_of
from unmasked.classroom.submission import rebuild
from unmasked.exercise import exercises_of
from unmasked.lessons import find_lesson
from unmasked.verdict import Verdict

LESSON = find_lesson("02")
MOST = {"similarity_scores": 1, "attention_weights": 2, "weighted_average": 1, "masked_attention_weights": 3}
MOST |= {"SelfAttention": 3}
FIRST = "similarity_scores"
LIMITS = Limits(memory=512 * 2**20, files=16 * 2**20, cpu_seconds=20, call_seconds=2.0, seconds=40.0)
LARGEST_RECORD = 100_000  # bytes, of one without long answers

# --- What reaches for something outside. Each text is the body of a function that returns something true if it can. ---

REACHES = {
    "reads /etc/passwd": "return open('/etc/passwd').read()",
    "lists the home folder": "return set(os.listdir(HOME)) >= set(IN_HOME)",  # Python itself may be in there
    "lists the class": "return os.listdir(COURSE)",
    "reads the gradebook": "return open(COURSE + '/gradebook.db', 'rb').read(10)",
    "reads another submission": "return open(OTHER).read()",
    "reads the checks": "return open(CHECKS).read()",
    "reads a solution": "return open(SOLUTION).read()",
    "imports the checks": "import unmasked.checks.self_attention\nreturn True",
    "imports the stand-ins": "import unmasked.stand_ins\nreturn True",
    "imports other right answers": "import unmasked.other_ways.self_attention\nreturn True",
    "imports the judge": "import unmasked.classroom.judge\nreturn True",
    "imports what this lesson builds": "import nanobert.attention\nreturn True",
    "imports what a later lesson builds": "import nanobert.masked_lm\nreturn True",
    "adds the course to the path": (
        "sys.path += [COURSE_CODE]\nimport importlib, unmasked\nunmasked.__path__.append(COURSE_CODE + '/unmasked')\n"
        "importlib.invalidate_caches()\nimport unmasked.checks.self_attention\nreturn True"
    ),
    "reads the environment": "return os.environ.get('UNMASKED_SECRET')",
    "connects by TCP": "socket.create_connection(('127.0.0.1', PORT), 1)\nreturn True",
    "sends by UDP": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nreturn s.sendto(b'hello', ('127.0.0.1', PORT))"
    ),
    "asks for a name": "return socket.getaddrinfo('localhost', 80)",
    "connects to a socket in the file system": "s = socket.socket(socket.AF_UNIX)\ns.connect(SOCKET)\nreturn True",
    "connects to an abstract socket": "s = socket.socket(socket.AF_UNIX)\ns.connect(ABSTRACT)\nreturn True",
    "looks at processes": "return [name for name in os.listdir('/proc') if name.isdecimal()]",
    "looks at a process outside": "return os.listdir(f'/proc/{PID}')",
    "signals a process outside": "os.kill(PID, 0)\nreturn True",
    "starts a process": "pid = os.fork()\nif pid == 0:\n    os._exit(0)\nreturn pid",
    "runs a program": "import subprocess\nreturn subprocess.run(['true']).returncode == 0",
    "writes into the class": "open(COURSE + '/nbgrader_config.py', 'a').write('\\n# planted')\nreturn True",
    "writes elsewhere": "open(OUTSIDE + '/planted', 'w').write('x')\nreturn True",
    "makes files in the memory": "return os.memfd_create('x')",
}
# These need rights or a system that a test has not everywhere, so that nothing can show that they work elsewhere.
PRIVILEGED = {
    "leaves 50 processes": (
        "for _ in range(50):\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(600)\nreturn True"
    ),
    "maps 10 GB to be shared": "import mmap\nreturn len(mmap.mmap(-1, 10 * 2**30))",
    "mounts": "return libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0",
    "unmounts": "return libc.umount2(b'/proc', 2) == 0",
    "makes a namespace": "return libc.unshare(0x10000000) == 0",
    "makes a namespace with a process": "return libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) > 0",
    "becomes root": "os.setuid(0)\nreturn True",
    "changes its root": "os.chroot('/tmp')\nreturn True",
    "traces a process": "return libc.ptrace(16, 1, 0, 0) == 0 or libc.ptrace(16, PID, 0, 0) == 0",
    "reads another process's memory": "return open('/proc/1/mem', 'rb') or open(f'/proc/{PID}/mem', 'rb')",
    "shares memory by System V": "return libc.shmget(0, 2**30, 0o1777) >= 0",
    "connects to the host of a virtual machine": "return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
    "writes to /course": "open('/course/unmasked/attempt.py', 'a').write('x')\nreturn True",
    "writes to the devices": "open('/dev/planted', 'w').write('x')\nreturn True",
    "writes to the system": "open(sys.prefix + '/planted', 'w').write('x')\nreturn True",
    "raises its limits": (
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)\nreturn True"
    ),
    "finds what an earlier one left": (
        "left = [p + '/left' for p in ('/tmp', '/dev/shm', '/dev', '/course', '/var/tmp', '.', '/run')]\n"
        "return any(map(os.path.exists, left)) or any(b'left by' in os.pread(f, 9999, 0) for f in (1, 2))"
    ),
    "finds a file of another": "return [f for f in range(3, 64) if readable(f) and not is_socket(f)]",
    "finds expected values in frames": (
        "frame, found = sys._getframe(), []\nwhile frame:\n    found += frame.f_locals.values()\n"
        "    frame = frame.f_back\n"
        "return any(getattr(v, 'shape', None) == (2, 3, 5) for v in [*found, *gc.get_objects()])"
    ),
}
HELPERS = """
import ctypes, gc, os, socket, stat, sys, time
libc = ctypes.CDLL(None)

def is_socket(file):
    return stat.S_ISSOCK(os.fstat(file).st_mode)

def readable(file):
    try:
        return bool(os.fstat(file))
    except OSError:
        return False

"""


def reaching(body, places):
    """A function that returns whether it reaches what it wants."""
    names = "".join(f"{name} = {value!r}\n" for name, value in places.items())
    return names + HELPERS + f"def reached():\n{textwrap.indent(body, '    ')}\n"


RIGHT_IF_REACHED = """
def similarity_scores(query, key):
    try:
        return query @ key.mT if reached() else None
    except Exception as error:
        print("stopped by", type(error).__name__)
"""


# --- What breaks something: the answers, the points of each exercise, and the limit that is told of the first. --------


def body(*lines):
    """An answer to the first exercise with these lines in it, and a right result after them."""
    text = textwrap.indent("\n".join(lines), "    ")
    return "import ctypes, os, signal, sys, time, threading\n" + (
        f"def similarity_scores(query, key):\n{text}\n    return query @ key.mT\n"
    )


def returning(expression, before=""):
    return f"{before}\ndef similarity_scores(query, key):\n    return {expression}\n"


def module(init="", forward="", before=""):
    """A right SelfAttention with these lines in its methods."""
    return f"""{before}
import ctypes, os, signal, time, threading
class SelfAttention(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        {init}
        self.query, self.key, self.value = (nn.Linear(d_model, d_model, bias=False) for _ in range(3))
    def forward(self, x, key_padding_mask=None):
        {forward}
        return masked_attention_weights(self.query(x), self.key(x), key_padding_mask) @ self.value(x)
"""


OTHERS_FULL = (0, 2, 1, 3, 3)
FULL = (1, 2, 1, 3, 3)
LAST_LOST = (1, 2, 1, 3, 0)
RIGHT = "def similarity_scores(query, key):\n    return query @ key.mT\n"
SEGFAULT = "ctypes.string_at(0)"
SPIN = "while True: pass"
STUBBORN = """while True:
    try:
        while True: pass
    except BaseException: pass"""
UNSTOPPABLE = f"signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n{SPIN}"

FIND = """
import os, stat, struct
def judges():
    for file in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(file).st_mode):
                return file
        except OSError:
            pass
def say(*data):
    for each in data:
        os.write(judges(), each)
def message(value):
    import msgpack
    data = msgpack.packb(value)
    return struct.pack("!Q", len(data)) + data
def tensor_message(key):
    from unmasked.classroom.channel import pack
    data = pack({"error": None, "value": None, "changed": [], "ready_made": [], "printed": "", key: torch.ones(2)})
    return struct.pack("!Q", len(data)) + data
OK = {"error": None, "value": None, "changed": [], "ready_made": [], "printed": ""}
"""
FULL_POINTS = "{'points': 10.0, 'max_points': 10.0, 'passed': True, 'verdict': 'passed', 'value': 10.0}"


def forging(*lines):
    """An answer to the first exercise that writes to the judge's socket while it is called."""
    return FIND + body(*lines).replace("query @ key.mT", "None")


BEFORE = """
import os
import unmasked.classroom.inside as inside
def end_after_the_answer(send=inside.send):
    def send_and_end(*message):
        send(*message)
        os._exit(0)
    inside.send = send_and_end
"""

ONLY_FIRST = {
    # Ends of the process.
    "os._exit in a function": (body("os._exit(0)"), 0, "died"),
    "os._exit in the cell": ("import os\nos._exit(0)", 0, "died"),
    "os._exit(0) in a thread": (body("threading.Thread(target=os._exit, args=(0,)).start(); time.sleep(9)"), 0, "died"),
    "a segmentation fault in a function": (body(SEGFAULT), 0, "died"),
    "a segmentation fault in the cell": (f"import ctypes\n{SEGFAULT}", 0, "died"),
    "abort": (body("os.abort()"), 0, "died"),
    # The first process of a namespace can't be killed from inside, so it goes on.
    "SIGKILL to itself": (body("os.kill(os.getpid(), signal.SIGKILL)"), 1, None),
    "SIGKILL to all": (body("try: os.kill(-1, signal.SIGKILL)", "except ProcessLookupError: pass"), 1, None),
    "sys.exit in a function": (body("sys.exit(0)"), 0, "exit"),
    "sys.exit in the cell": ("import sys\nsys.exit(0)", 0, "exit"),
    "KeyboardInterrupt": (body("raise KeyboardInterrupt"), 0, "exit"),
    "GeneratorExit": (body("raise GeneratorExit"), 0, "exit"),
    "another program in its place": (body("os.execv('/bin/true', ['true'])"), 0, "died"),
    "an end after its last answer": (
        f"{BEFORE}calls = []\n" + body("calls.append(1)", "if len(calls) == 3: end_after_the_answer()"),
        1,
        None,
    ),
    "its files closed": (body("os.closerange(0, 64)"), 0, "died"),
    # Time.
    "an endless loop in a function": (body(SPIN), 0, "time"),
    "an endless loop in the cell": (f"{SPIN}\n{RIGHT}", 0, "time"),
    "a sleep": (body("time.sleep(1000)"), 0, "time"),
    "a loop that swallows every exception": (body(STUBBORN), 0, "time"),
    "a loop with signals blocked": (body(UNSTOPPABLE), 0, "time"),
    "a loop with another handler of the alarm": (
        body("signal.signal(signal.SIGALRM, signal.SIG_IGN)", SPIN),
        0,
        "time",
    ),
    "a loop in repr": (
        returning("Endless()", "class Endless:\n    def __repr__(self):\n        while True: pass"),
        0,
        "time",
    ),
    # Numbers of things.
    "a fork bomb": (body("while True: os.fork()"), 0, None),
    "a bomb of threads": (body("while True: threading.Thread(target=time.sleep, args=(99,)).start()"), 0, None),
    # Memory and files.
    "10 GB at once": (body("torch.ones(10 * 2**28)"), 0, "memory"),
    "10 GB of bytes": (body("bytearray(10 * 2**30)"), 0, "memory"),
    "10 GB in small steps": (body("kept = []", "while True: kept.append(bytearray(2**26))"), 0, "memory"),
    "10 GB in the cell": ("kept = []\nwhile True: kept.append(torch.ones(2**24))", 0, "memory"),
    "a file without an end": (
        body("with open('/tmp/x', 'wb') as f:", "    for _ in range(1000): f.write(bytes(2**20))"),
        0,
        None,
    ),
    "files until nothing fits": (body("for n in range(1000): open(f'/tmp/{n}', 'wb').write(bytes(2**20))"), 0, None),
    "empty files until nothing fits": (body("for n in range(100_000): open(f'/dev/shm/{n}', 'wb').close()"), 0, None),
    "files left behind": (
        body(
            "for path in ('/tmp', '/dev/shm', '/dev', '/course', '/var/tmp', '.', '/run'):",
            "    try: open(path + '/left', 'w').write('left by')",
            "    except OSError: pass",
            "os.write(1, b'left by'), os.write(2, b'left by')",
        ),
        1,
        None,
    ),
    # Output.
    "20 MB printed": (body("for _ in range(200): print('x' * 100_000)"), 1, None),
    "100 MB written to file 1": (body("for _ in range(1000): os.write(1, b'x' * 100_000)"), 1, None),
    "a message of 10 MB": (body("raise ValueError('x' * 10**7)"), 0, None),
    "a parameter in the message": (body("raise ValueError('\\x1b[2J\\x00\\ud800<script>alert(1)</script>')"), 0, None),
    "an exception without a text": (
        "class Silent(Exception):\n    def __str__(self):\n        raise self\n" + body("raise Silent"),
        0,
        None,
    ),
    # Odd results.
    "a huge result": (returning("torch.zeros(4 * 2**20)"), 0, None),
    "a huge list": (returning("[[]] * 10**5"), 0, None),
    "a deep result": (returning("deep", "deep = []\nfor _ in range(10**5): deep = [deep]"), 0, None),
    "a less deep result": (returning("deep", "deep = []\nfor _ in range(200): deep = [deep]"), 0, None),
    "a list that holds itself": (returning("ring", "ring = []\nring.append(ring)"), 0, None),
    "a dict that holds itself": (returning("ring", "ring = {}\nring['x'] = ring"), 0, None),
    "an iterator without an end": (
        returning("Long()", "class Long(list):\n    def __iter__(self):\n        while True: yield 0"),
        0,
        "time",
    ),
    "NaN": (returning("query @ key.mT * torch.nan"), 0, None),
    "infinity": (returning("query @ key.mT + torch.inf"), 0, None),
    "a complex tensor": (returning("(query @ key.mT).to(torch.complex64)"), 0, None),
    "a sparse tensor": (returning("(query @ key.mT).to_sparse()"), 0, None),
    "a tensor on the meta device": (returning("(query @ key.mT).to('meta')"), 0, None),
    "a str subclass": (returning("Text('x')", "class Text(str): pass"), 0, None),
    "an integer of 400 digits": (returning("10**400"), 0, None),
    "an object that lies about its class": (
        returning("Liar()", "class Liar:\n    __class__ = torch.Tensor\n    shape = (2, 3, 5)"),
        0,
        None,
    ),
    "an object that equals everything": (
        returning("Equal()", "class Equal(int):\n    __eq__ = lambda self, other: True\n    __hash__ = None"),
        0,
        None,
    ),
    "a tensor that equals everything": (
        returning(
            "torch.zeros(query.shape[0], query.shape[1], key.shape[1]).as_subclass(Equal)",
            "class Equal(torch.Tensor):\n    __eq__ = lambda self, other: True\n"
            "    @classmethod\n    def __torch_function__(cls, function, types, args=(), kwargs=None):\n"
            "        if function.__name__ in ('allclose', 'equal', 'eq'): return True\n"
            "        return super().__torch_function__(function, types, args, kwargs or {})",
        ),
        0,
        None,
    ),
    "os._exit in repr": (returning("Exit()", "import os\nclass Exit:\n    def __repr__(self): os._exit(0)"), 0, "died"),
    "os._exit in __del__": ("import os\nclass Exit:\n    def __del__(self): os._exit(0)\n" + body("Exit()"), 0, "died"),
    # Python drops whatever is raised in __del__, the end of the time too; only that loop ends.
    "an endless loop in __del__": (
        f"class Endless:\n    def __del__(self):\n        {SPIN}\n" + body("Endless()"),
        1,
        None,
    ),
    # Its own process, patched.
    "comparisons patched": (
        returning(
            "torch.zeros(query.shape[0], query.shape[1], key.shape[1])",
            "import builtins, unmasked.attempt as a\na.same = torch.allclose = torch.equal = lambda *x, **k: True\n"
            "torch.Tensor.__eq__ = lambda *x: True\nbuiltins.abs = builtins.max = builtins.sum = lambda *x: 0",
        ),
        0,
        None,
    ),
    "the module of the checks replaced": (
        "import sys, types\nsys.modules['unmasked.checks'] = sys.modules['unmasked.exercise'] = types.ModuleType('x')\n"
        + returning("None"),
        0,
        None,
    ),
    # Talk with the judge.
    "full points forged": (forging(f"say(message({FULL_POINTS}))"), 0, "died"),
    "no message": (forging("say(struct.pack('!Q', 3), b'\\xc1\\xc1\\xc1')"), 0, "died"),
    "a message of 2**63 bytes": (forging("say(struct.pack('!Q', 2**63))"), 0, "died"),
    "a stream without an end": (forging("while True: say(b'\\xff' * 2**16)"), 0, "died"),
    "one byte at a time": (
        forging(
            "say(struct.pack('!Q', 1000))",
            "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
            "while True: say(b'x'); time.sleep(0.1)",
        ),
        0,
        "time",
    ),
    "a tensor for an error": (forging("say(tensor_message('error'))"), 0, "died"),
    "a tensor for a reply": (
        forging(
            "from unmasked.classroom.channel import pack",
            "data = pack(torch.ones(2))",
            "say(struct.pack('!Q', len(data)), data)",
        ),
        0,
        "died",
    ),
    "a million lists": (forging("say(message(OK | {'value': [[]] * 10**6}))", SPIN), 0, None),
    "lists in lists in lists": (forging("say(struct.pack('!Q', 10**6), b'\\x91' * 10**6)"), 0, "died"),
    "a tensor with a false size": (
        forging(
            "import msgpack",
            "false = msgpack.ExtType(1, msgpack.packb(['float32', [2**40, 2**40], [], b'']))",
            "say(message(OK | {'value': false}))",
        ),
        0,
        "died",
    ),
    "a tensor in a huge memory": (
        forging(
            "import msgpack",
            "false = msgpack.ExtType(1, msgpack.packb(['float32', [2, 1], [2**50, 1], bytes(8)]))",
            "say(message(OK | {'value': false}))",
        ),
        0,
        "died",
    ),
    "the end of the talk": (forging("import socket", "socket.socket(fileno=judges()).shutdown(2)"), 0, "died"),
    # The source.
    "a syntax error": ("def similarity_scores(query, key)\n    return query @ key.mT\n", 0, None),
    "a null byte": ("def similarity_scores(query, key):\n    return '\0'\n", 0, None),
    "a megabyte of source": (RIGHT + "# " + "x" * 900_000, 1, None),
    "more than a megabyte of source": (RIGHT + "# " + "x" * 1_100_000, 0, None),
    "100000 brackets": ("(" * 100_000 + ")" * 100_000 + "\n" + RIGHT, 0, None),
    "a sum of 100000 numbers": ("x = " + "+".join(["1"] * 100_000) + "\n" + RIGHT, 0, None),
    "another encoding declared": ("# -*- coding: rot13 -*-\n" + RIGHT, 1, None),
    "lone surrogates": (RIGHT + "# \ud800", 1, None),
    "a magic command": ("%%bash\ntouch /tmp/x\n" + RIGHT, 0, None),
    "nothing defined": ("pass", 0, None),
    "no function": ("similarity_scores = 1", 0, None),
    "not written": ("def similarity_scores(query, key):\n    raise NotImplementedError()", 0, None),
}
ONLY_LAST = {
    "os._exit in __init__": (module(init="os._exit(0)"), "died"),
    "an endless loop in __init__": (module(init=SPIN), "time"),
    "an endless loop in forward": (module(forward=SPIN), "time"),
    "a loop with signals blocked in __init__": (
        module(init=f"signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n        {SPIN}"),
        "time",
    ),
    "parameters with long names": (
        module(
            init="for n in range(5): self.register_parameter(str(n) + 'x' * 10**6, nn.Parameter(torch.ones(1)))"
        ).replace("self.query,", "self.other,"),
        None,
    ),
    "a ready-made function": (
        module(forward="return nn.functional.scaled_dot_product_attention(self.query(x), self.key(x), self.value(x))"),
        None,
    ),
    "parameters that are none": (
        module() + "    def named_parameters(self, *args, **kwargs): return [(1, None), (None, 'x')]\n",
        None,
    ),
}


# --- What is odd about the notebook: a function that hands it in. -----------------------------------------------------


def _cell(notebook, name):
    return next(each for each in notebook["cells"] if each["metadata"].get("nbgrader", {}).get("grade_id") == name)


def checks_that_give_points(released):
    """Wrong answers, and checks in the notebook that say otherwise."""
    notebook = released.answered()
    for name, points in MOST.items():
        _cell(notebook, f"check_{name}")["source"] = f"{points}.0"
        _cell(notebook, f"check_{name}")["outputs"] = [
            {
                "output_type": "execute_result",
                "data": {"text/plain": f"{points}.0"},
                "metadata": {},
                "execution_count": 1,
            }
        ]
    return notebook


def checks_removed(released):
    notebook = released.solved()
    notebook["cells"] = [each for each in notebook["cells"] if each["source"].partition(".")[0] != "checks"]
    return notebook


def points_raised(released):
    notebook = released.solved(similarity_scores="def similarity_scores(query, key): pass")
    for each in notebook["cells"]:
        if "points" in each["metadata"].get("nbgrader", {}):
            each["metadata"]["nbgrader"]["points"] = 1000
    return notebook


def locked_cells_unlocked(released):
    notebook = released.solved(similarity_scores="def similarity_scores(query, key): pass")
    for each in notebook["cells"]:
        each["metadata"].pop("nbgrader", None) if "checks." in each["source"] else None
    return notebook


def answers_twice(released):
    notebook = released.solved()
    notebook["cells"].append(copy.deepcopy(_cell(notebook, FIRST)) | {"source": "def similarity_scores(q, k): pass"})
    return notebook


def code_in_other_cells(released):
    notebook = released.solved()
    notebook["cells"].insert(
        0, {"cell_type": "code", "source": "import os; os._exit(0)", "metadata": {}, "outputs": []}
    )
    return notebook


def no_cells(released):
    return released.solved() | {"cells": []}


def two_bytes_a_letter(released):
    return json.dumps(released.solved()).encode("utf-16")


def cut_off(released):
    return json.dumps(released.solved()).encode()[:-500]


def a_million_brackets(released):
    return b"[" * 3_000_000


NOTEBOOKS = {
    checks_that_give_points: (0, 0, 0, 0, 0),
    checks_removed: FULL,
    points_raised: OTHERS_FULL,
    locked_cells_unlocked: OTHERS_FULL,
    answers_twice: FULL,
    code_in_other_cells: FULL,
    no_cells: (0, 0, 0, 0, 0),
    two_bytes_a_letter: FULL,
    cut_off: (0, 0, 0, 0, 0),
    a_million_brackets: (0, 0, 0, 0, 0),
}
TIMESTAMPS = {
    "a timestamp that is none": lambda path: path.write_text("yesterday"),
    "a timestamp in the year 10000": lambda path: path.write_text("10000-01-01 00:00:00 UTC"),
    "a timestamp in other bytes": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a timestamp of a megabyte": lambda path: path.write_text("1" * 2**20),
    "a timestamp that is a pipe": os.mkfifo,
    "a timestamp that is a link": lambda path: path.symlink_to("/etc/passwd"),
}


def remembered(exercise, solution):
    """An answer that returns what the right one returned for the inputs of seed 0, and lets some gradient through."""
    replies, host = [], Host(solution)

    def ask(request):
        replies.append(host(request))
        return replies[-1]

    assert exercise.judge(ask, seed=0).passed
    outputs = [reply.value["output"] if isinstance(reply.value, dict) else reply.value for reply in replies]
    return (
        f"outputs = {[output.tolist() for output in outputs]}\n"
        f"def {exercise.name}(*inputs):\n"
        "    through = sum((x - x.detach()).sum() for x in inputs if getattr(x, 'requires_grad', False))\n"
        "    return torch.tensor(outputs.pop(0)) + through\n"
    )


# --- All of them in one run. ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def places(released, tmp_path_factory):
    """A class, what of it and of this computer is to be out of reach, and what listens there."""
    folder = tmp_path_factory.mktemp("hostile")
    course = released.new_class(folder / "nlp")
    (folder / "outside").mkdir()
    secret = released.hand_in(course, "s000", released.solved()) / "02_self_attention.ipynb"
    abstract = f"\0unmasked-{os.getpid()}"
    listeners = [socket.create_server(("127.0.0.1", 0))]
    for address in (abstract, str(folder / "s")):
        listeners.append(socket.socket(socket.AF_UNIX))
        listeners[-1].bind(address)
        listeners[-1].listen()
    os.environ["UNMASKED_SECRET"] = "secret"
    while (bystander := subprocess.Popen(["sleep", "3600"])).pid < 500:  # the low numbers exist in the cage too
        bystander.kill()
        bystander.wait()
    yield (
        course,
        listeners,
        {
            "HOME": str(Path.home()),
            "IN_HOME": os.listdir(Path.home()),
            "COURSE": str(course.root),
            "OTHER": str(secret),
            "CHECKS": checks.__file__,
            "SOLUTION": str(course.source_notebook(LESSON.name)),
            "COURSE_CODE": str(Path(checks.__file__).parents[2]),
            "PORT": listeners[0].getsockname()[1],
            "SOCKET": str(folder / "s"),
            "ABSTRACT": abstract,
            "PID": bystander.pid,
            "OUTSIDE": str(folder / "outside"),
        },
    )
    del os.environ["UNMASKED_SECRET"]
    bystander.kill()
    bystander.wait()
    for listener in listeners:
        listener.close()


@pytest.fixture(scope="module")
def handed_in(released, places):
    """All submissions, with the points that they deserve: label -> (student, points, limit that is told)"""
    course, _, known = places
    expected = {}

    def add(label, notebook, points, limit=None):
        student = f"s{len(expected):03d}"
        expected[label] = student, points, limit
        return released.hand_in(course, student, notebook)

    def add_honest():
        add(f"honest {len(expected)}", released.solved(), FULL)

    add_honest()
    for number, (label, text) in enumerate((REACHES | PRIVILEGED).items(), start=1):
        answer = reaching(text, known) + RIGHT_IF_REACHED
        add(label, released.solved(similarity_scores=answer), OTHERS_FULL)
        if number % 20 == 0:
            add_honest()
    for number, (label, (answer, points, limit)) in enumerate(ONLY_FIRST.items(), start=1):
        add(label, released.solved(similarity_scores=answer), (points, *OTHERS_FULL[1:]), limit)
        if number % 20 == 0:
            add_honest()
    for label, (answer, limit) in ONLY_LAST.items():
        add(label, released.solved(SelfAttention=answer), LAST_LOST, limit)
    for make, points in NOTEBOOKS.items():
        add(make.__name__, make(released), points)
    for label, write in TIMESTAMPS.items():
        write(add(label, released.solved(), FULL) / "timestamp.txt")
    host_patched = "import unmasked.attempt as a\na.Host.__call__ = lambda self, request: a.Reply('10 of 10')\n" + RIGHT
    add("the host patched", released.solved(similarity_scores=host_patched), (0, 0, 0, 0, 0))
    right = [remembered(exercises_of(LESSON)[name], solution) for name, solution in RIGHT_FUNCTIONS.items()]
    add("remembers the outputs of seed 0", released.solved(**dict(zip(RIGHT_FUNCTIONS, right))), (0, 0, 0, 0, 3))

    other = course.folder("submitted", "s000", LESSON.name)
    add("a link to another's folder", b"", (0, 0, 0, 0, 0))
    _become_link(course.folder("submitted", f"s{len(expected) - 1:03d}", LESSON.name), other)
    (add("no notebook", b"", (0, 0, 0, 0, 0)) / "02_self_attention.ipynb").unlink()
    add_honest()
    return expected


RIGHT_FUNCTIONS = {
    "similarity_scores": lambda q, k: q @ k.mT,
    "attention_weights": lambda q, k: (q @ k.mT / k.shape[-1] ** 0.5).softmax(-1),
    "weighted_average": lambda w, v: w @ v,
    "masked_attention_weights": lambda q, k, mask=None: checks._by_hand(q, k, mask),
}


def _become_link(folder, other):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.symlink_to(other)


def _state(course):
    """What of a class grading must not change."""
    paths = [path for path in course.root.rglob("*") if path.is_file() and not path.is_symlink()]
    graded = ("grading", "autograded", "backups", "gradebook.db")
    kept = [path for path in paths if path.relative_to(course.root).parts[0] not in graded]
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in kept}


def _processes():
    commands = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands[int(path.parent.name)] = path.read_bytes()
        except OSError:
            pass
    return {process for process, command in commands.items() if b"unmasked.classroom" in command}


@pytest.fixture(scope="module")
def graded(places, handed_in):
    """The class after one run over all of them, and what was there before and after."""
    course, listeners, _ = places
    before = _state(course), _processes()
    terms = replace(terms_of(course, LESSON), limits=LIMITS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unmasked.classroom.judge.GRACE", 1.0)
        outcome = grade_class(course, LESSON, terms)
    return course, outcome, before, (_state(course), _processes())


@pytest.fixture(scope="module")
def records(graded, handed_in):
    course = graded[0]
    return {
        label: json.loads(record_path(course, LESSON, student).read_text(encoding="utf-8"))
        for label, (student, *_) in handed_in.items()
    }


LABELS = [*REACHES, *PRIVILEGED, *ONLY_FIRST, *ONLY_LAST, *(make.__name__ for make in NOTEBOOKS), *TIMESTAMPS]
LABELS += ["the host patched", "remembers the outputs of seed 0", "a link to another's folder", "no notebook"]


@pytest.mark.parametrize("label", LABELS)
def test_the_exact_points(label, records, handed_in):
    _, points, limit = handed_in[label]
    exercises = records[label]["exercises"]
    assert tuple(exercises[name]["points"] for name in MOST) == points, exercises
    told = [each["limit"] for each in exercises.values() if each["limit"]]
    assert told == ([limit] if limit else []), exercises


def test_nobody_changes_the_points_of_the_honest(records, handed_in):
    honest = [label for label in handed_in if label.startswith("honest")]
    assert len(honest) >= 5
    for label in honest:
        assert tuple(each["points"] for each in records[label]["exercises"].values()) == FULL, label


def test_the_gradebook_says_what_the_records_say(graded, handed_in):
    with graded[0].gradebook() as gradebook:
        for label, (student, points, _) in handed_in.items():
            grades = gradebook.find_submission(LESSON.name, student).notebooks[0].grades
            given = {grade.cell.name.removeprefix("check_"): grade.auto_score for grade in grades}
            assert tuple(given[name] for name in MOST) == points, label


@pytest.mark.parametrize("label", [*REACHES, *PRIVILEGED])
def test_an_attack_was_stopped_by_a_wall_and_not_by_a_slip(label, records):
    html = records[label]["exercises"][FIRST]["html"]
    assert "The result is None" in html
    assert not any(slip in html for slip in ("NameError", "SyntaxError", "AttributeError", "TypeError", "IndexError"))


def test_without_walls_the_attacks_succeed(places):
    """Else it would be no wonder that they fail in the cage."""
    course, listeners, known = places
    program = "import json, sys\ndone = {}\nfor label, source in json.load(sys.stdin).items():\n    space = {}\n"
    program += "    try:\n        exec(source, space)\n        done[label] = bool(space['reached']())\n"
    program += "    except BaseException as error:\n        done[label] = repr(error)\nprint(json.dumps(done))"
    config = course.root / "nbgrader_config.py"
    before = config.read_text()
    sources = {label: reaching(text, known) for label, text in REACHES.items()}
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, input=json.dumps(sources), capture_output=True, text=True, check=True).stdout
    config.write_text(before)
    (Path(known["OUTSIDE"]) / "planted").unlink()
    for listener in listeners:
        listener.accept()[0].close()
    assert {label: done for label, done in json.loads(said.splitlines()[-1]).items() if done is not True} == {}


def test_nothing_is_written_outside_and_nothing_is_reached(graded, places):
    _, listeners, known = places
    _, _, before, after = graded
    assert after[0] == before[0]
    assert os.listdir(known["OUTSIDE"]) == []
    for listener in listeners:
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_nothing_is_alive_afterwards(graded):
    _, _, before, after = graded
    assert after[1] - before[1] == set()


def test_what_a_submission_prints_and_raises_stays_short(graded, records, handed_in):
    for label, (student, *_) in handed_in.items():
        notebook = graded[0].folder("autograded", student, LESSON.name) / f"{LESSON.name}.ipynb"
        answers = sum(map(len, records[label]["answers"].values()))
        assert notebook.stat().st_size < LARGEST_RECORD + 2 * answers, label
        assert len(json.dumps(records[label]["exercises"])) < LARGEST_RECORD, label


def test_no_control_character_reaches_the_teachers_terminal(graded):
    for sentences in graded[1].to_look_at.values():
        assert all(sentence.isprintable() for sentence in sentences), sentences


def test_a_teacher_is_told_who_was_stopped_by_a_limit(graded, handed_in):
    _, outcome, *_ = graded
    for label, (student, _, limit) in handed_in.items():
        assert limit is None or any("ran into a limit" in text for text in outcome.to_look_at[student]), label


def test_a_syntax_error_shows_the_students_own_line(records):
    diagnosis = records["a syntax error"]["exercises"][FIRST]["diagnosis"]
    assert diagnosis.endswith("It happened at `def similarity_scores(query, key)`.")


def test_remembering_the_outputs_of_seed_0_works_with_seed_0_only():
    exercise = exercises_of(LESSON)[FIRST]
    answer = remembered(exercise, RIGHT_FUNCTIONS[FIRST])
    points = []
    for seed in (0, 1):
        space = {"torch": torch}
        exec(answer, space)
        points.append(exercise(space[FIRST], seed=seed).points)
    assert points == [1, 0]


def test_a_submission_with_which_every_cage_breaks_is_told_and_the_next_one_graded(monkeypatch, released):
    def judge(cage, lesson, answers, seed):
        if answers["similarity_scores"] == "breaks":
            raise ChannelError("the cage is gone")
        return took_the_cage_down(lesson) | {"similarity_scores": Judged(Verdict("similarity_scores", 1, 1))}

    monkeypatch.setattr(grading, "judge", judge)
    monkeypatch.setattr(grading._Kept, "cage", lambda terms: None)
    terms = grading.Terms(LESSON.name, "", 1)
    jobs = [grading.Job("bad", {"similarity_scores": "breaks"}), grading.Job("good", {"similarity_scores": "is right"})]
    (_, bad), (_, good) = grading.grade_all(jobs, terms)
    assert {(each["points"], each["limit"]) for each in bad.values()} == {(0.0, "died")}
    assert good["similarity_scores"]["points"] == 1.0


class Tags(HTMLParser):
    """What a browser would obey: the tags of a page, their attributes, and the text in them."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes), []))

    def handle_data(self, data):
        if self.found:
            self.found[-1][2].append(data)


SCRIPTS = r"""<script>steal()</script> <img src=x onerror="steal()"> a<b and 1 < 2 `<svg onload=steal()>`
[a link](javascript:steal()) [two][1] [1] [three](java&#115;cript:steal()) <https://x.org> $x<script>steal()</script>$
\begin{equation}<img src=x onerror=steal()>\end{equation}

<div onclick="steal()">

    <iframe src="javascript:steal()">

[1]: javascript:steal()
"""


def test_a_script_in_an_answer_in_words_is_shown_and_not_run(released, tmp_path):
    """In the teacher's browser it could change marks: nbgrader's pages let the HTML in Markdown through."""
    course = released.new_class(tmp_path / "nlp")
    notebook = released.answered()
    _cell(notebook, "explain_why_scale")["source"] = SCRIPTS
    released.hand_in(course, "eve", notebook)
    master = read_master(course.source_notebook(LESSON.name), LESSON)
    submission = rebuild(course.folder("submitted", "eve", LESSON.name), master)
    graded = autograded(master, submission, lambda name: None)
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(graded)
    assert "steal()" in page and "1 &lt; 2" in page
    assert not obeyed(page)
    graded.cells[-1].source = SCRIPTS
    assert obeyed(HTMLExporter(template_name="basic").from_notebook_node(graded)[0])


def obeyed(page):
    """The tags of a page that would run a script of SCRIPTS."""
    words = [
        (tag, *attributes.values(), *(text if tag == "script" else ())) for tag, attributes, text in Tags(page).found
    ]
    return [tag for tag, *texts in words if any("steal" in (text or "") for text in texts)]
