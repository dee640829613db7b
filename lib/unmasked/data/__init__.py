"""The text that the course learns from, all through one function each: `load_corpus`, `load_commands`."""

from unmasked.data.commands import Command, Commands, load_commands
from unmasked.data.corpus import Corpus, load_corpus

__all__ = ["Command", "Commands", "Corpus", "load_commands", "load_corpus"]
