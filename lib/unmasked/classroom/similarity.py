"""Which submissions are nearly the same, in what their authors wrote themselves.

RapidFuzz compares them, as sequences of words and signs: layout doesn't count, names and comments do. A line of the
release's stub counts for nobody. Short right answers are alike by nature, so all answers of a student are compared
together, and those who wrote little are left out.
"""

import re
from dataclasses import dataclass

from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

ALIKE = 0.95  # the share of words and signs that are the same, in the same order, from which a pair is shown
FEWEST, MOST = 80, 2500  # words and signs: fewer say nothing, and more are cut off


@dataclass(frozen=True)
class Pair:
    """Two students, and the share of what they wrote that is the same, in the same order."""

    first: str
    second: str
    share: float


@dataclass(frozen=True)
class Comparison:
    """`pairs` that are alike, the most alike first; what is usual among all `compared` students, None if too few."""

    pairs: tuple[Pair, ...]
    usual: float | None
    compared: int


def compare(answers, stubs):
    """Compare everybody with everybody. `answers` maps student -> exercise -> source, `stubs` exercise -> source."""
    written = {student: _words(sources, stubs) for student, sources in answers.items()}
    written = {student: words for student, words in written.items() if len(words) >= FEWEST}
    students, words = list(written), list(written.values())
    if len(students) < 2:
        return Comparison((), None, len(students))
    shares = cdist(words, words, scorer=Indel.normalized_similarity)
    pairs = [(i, j) for j in range(len(students)) for i in range(j)]
    every = [Pair(students[i], students[j], float(shares[i, j])) for i, j in pairs]
    every.sort(key=lambda pair: -pair.share)
    return Comparison(tuple(pair for pair in every if pair.share >= ALIKE), every[len(every) // 2].share, len(students))


def _words(sources, stubs):
    """The words and signs of all answers, in the order of the stubs, without the stubs' own lines."""
    words = []
    for exercise in [*stubs, *(name for name in sources if name not in stubs)]:
        given = {line.strip() for line in stubs.get(exercise, "").splitlines()}
        for line in sources.get(exercise, "").splitlines():
            if line.strip() not in given:
                words += re.findall(r"\w+|[^\w\s]", line)
    return words[:MOST]
