"""The judge: checks a submission whose code runs in a cage, and never runs any of it itself."""

import time
from dataclasses import dataclass, replace
from itertools import islice

from unmasked.attempt import Error, Reply
from unmasked.classroom.channel import ChannelError, Late, receive, send
from unmasked.exercise import NOT_ATTEMPTED, UNJUDGED, exercises_of, explain
from unmasked.verdict import Verdict

GRACE = 3.0  # seconds in which the other side may tell by itself that its time is up
MISSING = "Your answer does not define `{}`: keep the name that the exercise gives it."
BROKEN = "The cell stops before it has defined `{}`. {}"
LONGEST_DIAGNOSIS = 2000  # characters: it may quote what the attempt calls its parameters
LIMITS = {"out of time": "time", "out of memory": "memory", "exit": "exit", "died": "died"}


@dataclass(frozen=True)
class Judged:
    """What became of one exercise of a submission."""

    verdict: Verdict
    known_mistake: bool = False  # the diagnosis is the sentence of one
    limit: str | None = None  # the first that was hit: time, memory, exit or died


def judge(cage, lesson, answers, seed):
    """Check every exercise of a lesson.  answers: the source of each exercise's cell -> Judged, by exercise

    An exercise that takes the process down costs its own points only: those after it get a new process.
    Errors: ChannelError if the cage itself is gone.
    """
    judged = {}
    with Stay(cage, answers) as stay:
        for name, exercise in exercises_of(lesson).items():
            failing = tuple(used for used in exercise.uses if not judged[used].verdict.passed)
            error = stay.enter(name)
            verdict = _without(exercise, error) if error else _judge(exercise, stay, seed, failing)
            limit = LIMITS.get(stay.limit or (error and error.kind))
            judged[name] = Judged(verdict, verdict.diagnosis in exercise.mistakes, limit)
    return judged


def took_the_cage_down(lesson):
    """What is judged of a submission with which every cage breaks: no points, and something for a human."""
    diagnosis = explain(Reply(error=Error("died")))
    return {
        name: Judged(Verdict(name, 0, exercise.points, diagnosis=diagnosis), limit=LIMITS["died"])
        for name, exercise in exercises_of(lesson).items()
    }


def _judge(exercise, stay, seed, failing):
    try:
        verdict = exercise.judge(stay.ask, seed, failing)
        if verdict.diagnosis:
            verdict = replace(verdict, diagnosis=verdict.diagnosis[:LONGEST_DIAGNOSIS])
        verdict._repr_html_()  # what can't be shown can't be judged either
        return verdict
    except ChannelError:
        raise
    except Exception as error:  # a hostile process may send anything
        return Verdict(exercise.name, 0, exercise.points, diagnosis=f"{UNJUDGED} ({type(error).__name__})")


def _without(exercise, error):
    """The verdict on an exercise whose cell did not define what is to be checked."""
    if error.kind == "not attempted":
        return Verdict(exercise.name, 0, exercise.points, attempted=False, diagnosis=NOT_ATTEMPTED)
    missing = MISSING.format(exercise.name)
    diagnosis = missing if error.kind == "missing" else BROKEN.format(exercise.name, explain(Reply(error=error)))
    return Verdict(exercise.name, 0, exercise.points, diagnosis=diagnosis)


class Stay:
    """A submission in the cage: in one process, and in a new one whenever it has taken that down."""

    def __init__(self, cage, answers):
        self.cage, self.answers = cage, answers
        self.errors = {}  # of the cells, by exercise
        self.socket = None  # to the process
        self.fate = None  # the Error that ended it
        self.limit = None  # the first limit that the exercise at hand has hit
        self.ends = time.monotonic() + cage.limits.seconds

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._leave()

    def enter(self, name):
        """Run the cells, unless that is done, and have an exercise at hand. Returns the Error that prevents it.

        A process that ends here was brought down by what an earlier exercise left behind: another one is tried.
        """
        self.limit = None
        error = self._enter(name)
        return error if self.socket else self._enter(name)

    def _enter(self, name):
        while not self.socket:
            if time.monotonic() > self.ends:
                return self._out_of_time(self.cage.limits.seconds)
            self.socket = self.cage.admit()
            self._run_cells()
        answer = self._exchange({"subject": name})
        found = answer.get("found") if isinstance(answer, dict) else None
        if found is True:
            return None
        if found is not False:
            self._end()
        return self.fate if not self.socket else self.errors.get(name) or Error("missing")

    def ask(self, request):
        """Have a Request answered. Never raises: whatever happens over there is in the Reply."""
        reply = self._reply(vars(request) | {"watched": sorted(request.watched)})
        if reply.error and reply.error.kind in LIMITS:
            self.limit = self.limit or reply.error.kind
        return reply

    def _run_cells(self):
        for name, source in self.answers.items():
            known = self.errors.get(name)
            if self.socket and not (known and known.kind in ("died", "out of time")):
                error = self._reply({"cell": name, "source": source}).error
                self.errors |= {name: error} if error else {}

    def _reply(self, message):
        answer = self._exchange(message)
        try:
            return _as_reply(answer)
        except Exception:  # a tensor where a word should be raises a dozen
            self._end()
            return Reply(error=self.fate)

    def _exchange(self, message):
        """Send a message and wait for its answer; a process that gives none is ended."""
        if self.socket:
            limits, left = self.cage.limits, self.ends - time.monotonic()
            try:
                patience = max(min(limits.call_seconds + GRACE, left), 1e-3)
                send(self.socket, message, patience)
                return receive(self.socket, patience)
            except Late:
                self.fate = self._out_of_time(limits.call_seconds)
            except ChannelError:
                self.fate = Error("died")
            self._leave()
        return {"error": [self.fate.kind, self.fate.message, ""]}

    def _end(self):
        """End a process that does not keep to the rules of the talk, unless it is gone already."""
        if self.socket:
            self.fate = Error("died")
        self._leave()

    def _leave(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def _out_of_time(self, seconds):
        return Error("out of time", f"{seconds:g} seconds")


def _as_reply(answer):
    """The Reply that an answer says it is.  Errors: any, if it is none."""
    if not isinstance(answer, dict):
        raise TypeError(f"{type(answer).__name__} is no answer")
    error = answer["error"] and Error(*(str(part)[:600] for part in answer["error"]))
    if error:
        return Reply(error=error, printed=str(answer.get("printed", ""))[:2000])
    changed, ready_made = (_words(answer[key]) for key in ("changed", "ready_made"))
    return Reply(answer["value"], None, changed, ready_made, str(answer["printed"])[:2000])


def _words(names):
    return tuple(str(name)[:80] for name in islice(names, 20))
