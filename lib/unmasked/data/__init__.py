"""The text that the course learns from, all through one function: `load_corpus`."""

from unmasked.data.corpus import Corpus, load_corpus

__all__ = ["Corpus", "load_corpus"]
