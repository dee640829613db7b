"""One other good way to write an exercise, for learners whose own way passes."""

import functools
import importlib
import inspect
import os
from dataclasses import dataclass


@dataclass(frozen=True)
class AnotherWay:
    """`why` one would write so, in a sentence, and the source."""

    why: str
    source: str


def another_way(topic, name):
    """The other way to write an exercise; None where there is none, and while nbgrader grades or validates.

    A class's bundle has none: its students get no solutions before their deadline.
    """
    return None if "NBGRADER_EXECUTION" in os.environ else _read(topic, name)


@functools.cache
def _read(topic, name):
    try:
        module = importlib.import_module(f"unmasked.other_ways.{topic}")
    except ModuleNotFoundError:
        return None
    way = inspect.unwrap(getattr(module, name, None))
    comment = inspect.getcomments(way) if way else None
    if not comment:
        return None
    return AnotherWay(" ".join(line.lstrip("# ") for line in comment.splitlines()), inspect.getsource(way))
