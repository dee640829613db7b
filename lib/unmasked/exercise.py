"""Runs a check on an attempt and makes the verdict: which criteria hold, and which known mistake explains a failure."""

import functools
import importlib
import inspect
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from unmasked import checks, stand_ins
from unmasked.another_way import another_way
from unmasked.attempt import Attempt, AttemptFailed, Host, Request, same
from unmasked.criteria import Criterion, seeded_inputs
from unmasked.verdict import Verdict

NOT_ATTEMPTED = "Not attempted yet: the line `raise NotImplementedError()` still runs. Write your code in its place."
STOOD_IN = "Your `{}` is not there, or does not pass its own check yet; a right one took its place here."
UNJUDGED = "The check met a result that it can't make sense of; look at what your code returns."


@dataclass(eq=False)
class Exercise:
    """A check with its points and its known mistakes. Called with an attempt, it returns a Verdict and never raises.

    `check` is a generator function that takes an Attempt and yields Criteria in order; the first that fails ends it.
    `mistakes` maps a sentence to a wrong implementation that makes that mistake.
    `by_hand` are names of torch functions that the learner must not call here, because the exercise rebuilds them.
    `uses` names earlier exercises of the lesson that a solution may call: a learner whose own one does not pass its
    check is judged with the one in `unmasked.stand_ins`, so that a mistake costs its own points only.
    """

    check: Callable
    points: float
    mistakes: dict[str, Callable]
    by_hand: frozenset = frozenset()
    uses: tuple[str, ...] = ()

    def __post_init__(self):
        functools.update_wrapper(self, self.check)
        self.name = self.check.__name__
        self._runs = {}  # of known mistakes, by seed and sentence; each runs when it is first asked about

    def __call__(self, subject, seed=0):
        """Judge the learner's function or class, in this process."""
        host = Host(subject)
        verdict = self.judge(host, seed, failing=self._failing(host.namespace))
        topic = self.check.__module__.rpartition(".")[2]
        return replace(verdict, another_way=another_way(topic, self.name)) if verdict.passed else verdict

    def judge(self, ask, seed=0, failing=()):
        """Judge what answers the requests that `ask` is called with, a Host here or far away.

        `failing` are those of the exercises in `uses` for which right ones must stand in.
        """
        with _standing_in(ask, failing):
            run = self._run(ask, seed, self.by_hand)
        return self._verdict(run, seed, notes=tuple(STOOD_IN.format(name) for name in failing))

    def _failing(self, namespace):
        """Which of the learner's earlier functions are not among the notebook's names, or do not pass their checks."""
        earlier = _exercises_in(self.check.__module__) if self.uses else {}
        known = {name: namespace.get(name) for name in self.uses}
        # In a check module, where known mistakes live, these names are the checks themselves.
        mine = {name: function for name, function in known.items() if not isinstance(function, Exercise)}
        return tuple(name for name, function in mine.items() if not (function and earlier[name](function).passed))

    def _run(self, ask, seed, watched):
        attempt = Attempt(ask, watched=watched)
        criteria, failure = [], None
        # What a check draws for its oracles and parts is no part of the notebook's own stream of random numbers.
        with seeded_inputs(seed), torch.random.fork_rng(devices=[]):
            try:
                for criterion in self.check(attempt):
                    criteria.append(criterion)
                    if not criterion.holds:
                        break
            except AttemptFailed as failed:
                failure = failed.reply
            except Exception as error:  # a check is never the reason why a notebook stops
                reason = f"{UNJUDGED} ({type(error).__name__}: {error})"
                criteria.append(Criterion("its result can be judged", False, reason))
        return _Run(criteria, failure, attempt.trace)

    def _verdict(self, run, seed, notes):
        printed = "".join(reply.printed for reply in run.trace)
        if run.not_attempted:
            return Verdict(self.name, 0, self.points, attempted=False, diagnosis=NOT_ATTEMPTED, printed=printed)
        verdict = functools.partial(Verdict, self.name, max_points=self.points, notes=notes, printed=printed)
        earned = sum(criterion.earns for criterion in run.criteria if criterion.holds)
        if run.finished:
            return verdict(points=self.points, criteria=tuple(run.criteria))
        mistake = self._known_mistake(run, seed)
        diagnosis = mistake or run.what_is_wrong
        if mistake and run.failure and run.failure.error:
            notes += (explain(run.failure),)  # which line it was stays worth knowing
        criteria = run.criteria if not run.failure else [*run.criteria, Criterion(_what_failed(run.failure), False)]
        return verdict(points=earned, criteria=tuple(criteria), diagnosis=diagnosis, notes=notes)

    def _known_mistake(self, run, seed):
        """The sentence of the first known mistake whose replies are the learner's, up to the failure."""
        if run.failure and run.failure.ready_made:
            return None
        for sentence, wrong in self.mistakes.items():
            if (seed, sentence) not in self._runs:
                self._runs[seed, sentence] = self._run(Host(wrong), seed, watched=frozenset())
            known = self._runs[seed, sentence]
            as_far = not known.finished and len(known.criteria) == len(run.criteria)
            if as_far and _same_replies(known.trace, run.trace):
                return sentence
        return None


@dataclass(frozen=True)
class _Run:
    criteria: list
    failure: object
    trace: list

    @property
    def finished(self):
        return self.failure is None and all(criterion.holds for criterion in self.criteria)

    @property
    def not_attempted(self):
        error = self.failure.error if self.failure else None
        return len(self.trace) == 1 and error is not None and error.kind == "not attempted"

    @property
    def what_is_wrong(self):
        return explain(self.failure) if self.failure else self.criteria[-1].otherwise


def _same_replies(known, given):
    return len(known) == len(given) and all(
        same(a.value, b.value)
        and _same_error(a.error, b.error)
        and a.changed == b.changed
        and a.ready_made == b.ready_made
        for a, b in zip(known, given)
    )


def _same_error(a, b):
    """Whether two errors are the same one, wherever in the code they were raised."""
    return a == b if a is None or b is None else (a.kind, a.message) == (b.kind, b.message)


def _what_failed(reply):
    """The sentence of the criterion that a reply without a value breaks."""
    if reply.ready_made:
        return "it is written by hand"
    return "it leaves its arguments as they are" if reply.changed else "it runs"


def explain(reply):
    """What is wrong, in a sentence, when a reply tells of an error."""
    error = reply.error
    if reply.ready_made:
        return f"It calls the ready-made `{reply.ready_made[0]}`, which this exercise has you write by hand."
    if reply.changed:
        return (
            f"It changes its argument {reply.changed[0]} in place: what the caller passed is not the same afterwards."
        )
    if error.kind == "not attempted":
        return "A part of it is not written yet: it still raises NotImplementedError."
    if error.kind == "out of time":
        return f"It ran for {error.message} and was stopped: is there a loop that never ends?"
    if error.kind == "out of memory":
        return f"It asked for more than {error.message} of memory and was stopped: does a shape grow by mistake?"
    if error.kind == "died":
        return "It took the whole Python process down with it."
    if error.kind == "exit":
        return f"It raised {error.message}, which would have ended the whole notebook."
    where = f" It happened at `{error.line}`." if error.line else ""
    return f"It raised an error. {error.message}{'' if error.message.endswith('.') else '.'}{where}"


@contextmanager
def _standing_in(ask, names):
    """Right functions in the place of the learner's of these names, for the length of the block."""
    if names:
        ask(Request("stand_in", args=({name: inspect.getsource(getattr(stand_ins, name)) for name in names},)))
    try:
        yield
    finally:
        if names:
            ask(Request("stand_in", args=({},)))


def exercise(points, mistakes, by_hand=(), uses=()):
    """Decorator: makes an Exercise of a check."""
    return lambda check: Exercise(check, points, mistakes, frozenset(by_hand), tuple(uses))


def exercises_of(lesson):
    """The exercises of a lesson, by name, in the order in which the check module defines them."""
    return _exercises_in(f"{checks.__name__}.{lesson.topic}")


def _exercises_in(module_name):
    module = importlib.import_module(module_name)
    return {name: thing for name, thing in vars(module).items() if isinstance(thing, Exercise)}
