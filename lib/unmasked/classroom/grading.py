"""Grade submissions, on this computer or on many: jobs go to workers, what comes back is written in one place."""

import math
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from unmasked.classroom.cage import Cage
from unmasked.classroom.channel import ChannelError
from unmasked.classroom.confine import Limits
from unmasked.classroom.judge import judge, took_the_cage_down
from unmasked.errors import UnmaskedError
from unmasked.lessons import find_lesson

LARGEST_BATCH = 8
TRIES = 3  # with a new cage each time


@dataclass(frozen=True)
class Job:
    """One submission to judge: plain data, all that a worker needs."""

    student: str
    answers: dict[str, str]


@dataclass(frozen=True)
class Terms:
    """What is the same for all submissions of a run."""

    lesson_name: str
    preamble: str
    seed: int
    walls: bool = True
    limits: Limits = Limits()


def grade_all(jobs, terms, workers=1, scheduler=None):
    """Yields (student, exercises) for each job as it is done; `exercises` is what a record tells of each exercise.

    With several workers or the address of a Dask scheduler, jobs run in batches there, and a batch whose worker is
    lost goes to another one.  Errors: UnmaskedError if there is no cage, or no such scheduler.
    """
    size = max(1, min(LARGEST_BATCH, math.ceil(len(jobs) / (4 * workers))))
    batches = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    with _engine(workers, scheduler) as run:
        for results in run(batches, terms):
            yield from results


def grade_batch(jobs, terms):
    """What a worker does: judge some submissions, with the cage that it keeps for the next batch."""
    torch.set_num_threads(1)  # the workers are what runs in parallel
    return [(job.student, _grade(job, terms)) for job in jobs]


def _grade(job, terms):
    """The record of each exercise.  Errors: UnmaskedError if no cage can be made."""
    for _ in range(TRIES):
        try:
            judged = judge(_Kept.cage(terms), find_lesson(terms.lesson_name), job.answers, terms.seed)
            return _records(judged)
        except ChannelError:  # the whole cage is gone: killed for memory, say
            _Kept.close()
    return _records(took_the_cage_down(find_lesson(terms.lesson_name)))


def _records(judged):
    return {name: _record(each) for name, each in judged.items()}


def _record(judged):
    verdict = judged.verdict
    return {
        "points": float(verdict.points),
        "max_points": float(verdict.max_points),
        "passed": verdict.passed,
        "attempted": verdict.attempted,
        "diagnosis": verdict.diagnosis,
        "known_mistake": judged.known_mistake,
        "limit": judged.limit,
        "notes": list(verdict.notes),
        "html": verdict._repr_html_(),
    }


class _Kept:
    """The one cage of this process, kept from batch to batch: it takes seconds to make."""

    current = terms = None

    @classmethod
    def cage(cls, terms):
        if cls.terms != terms:
            cls.close()
            lesson = find_lesson(terms.lesson_name)
            cls.current, cls.terms = Cage(lesson, terms.preamble, terms.limits, terms.walls), terms
        return cls.current

    @classmethod
    def close(cls):
        if cls.current:
            cls.current.close()
        cls.current = cls.terms = None


@contextmanager
def _engine(workers, scheduler):
    """Yields what runs batches: here, in processes of this computer, or on a cluster."""
    if workers == 1 and not scheduler:
        try:
            yield lambda batches, terms: (grade_batch(batch, terms) for batch in batches)
        finally:
            _Kept.close()
        return
    with _dask(workers, scheduler) as client:
        yield lambda batches, terms: _on_dask(client, batches, terms)


@contextmanager
def _dask(workers, scheduler):
    from distributed import Client, LocalCluster

    if not scheduler:
        # One thread a worker: a cage dies with the thread that made it, and the judge's time limits are a process's.
        options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
        with LocalCluster(**options) as cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError):
        raise UnmaskedError(f"No Dask scheduler answers at {scheduler}: start `dask scheduler` and workers.") from None
    with client:
        yield client


def _on_dask(client, batches, terms):
    from distributed import KilledWorker, as_completed

    futures = client.map(grade_batch, batches, terms=terms, pure=False)
    jobs_of = dict(zip((future.key for future in futures), batches))
    suspects = []
    for future, results in as_completed(futures, with_results=True, raise_errors=False):
        if future.status == "finished":
            yield results
        elif isinstance(future.exception(), KilledWorker):
            suspects += jobs_of[future.key]
        else:
            raise future.exception()
    for job in suspects:  # one at a time, so that nobody shares a worker with the one that ends it
        try:
            yield client.submit(grade_batch, [job], terms, pure=False).result()
        except KilledWorker:
            yield [(job.student, _records(took_the_cage_down(find_lesson(terms.lesson_name))))]
