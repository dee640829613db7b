"""The masked language model that lesson 08 begins with: the learner's own from lesson 07, or the one that ships.

The shipped one is a run of lesson 07: its weights in half precision, a file of this package. `python -m
unmasked.publishing.language_model CHECKPOINT` makes it. Its vocabulary is not stored: it is trained again from the
corpus, which gives the same pieces, and compared by a checksum.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from nanobert.checkpoint import CheckpointError, load_checkpoint
from nanobert.evaluation import evaluate, fixed_masks
from nanobert.masked_lm import build_masked_lm
from nanobert.recipe import RECIPES, Recipe
from nanobert.tokenizer import pack_rows, train_tokenizer
from unmasked.data.corpus import load_corpus
from unmasked.errors import UnmaskedError

SHIPPED = "language_model.safetensors"
RECIPE = RECIPES["cpu"]
WORST_LOSS = 4.5  # nats: half way from the unigram model to a finished one; a model above it was broken off early
TIED = "head.decoder.weight"  # the same tensor as the embeddings, stored once
COMMAND = "pip install --force-reinstall --no-deps unmasked"


@dataclass(frozen=True)
class LanguageModel:
    """Trained weights by name, their tokenizer and recipe, the held-out loss in nats, and where they come from."""

    state: dict[str, torch.Tensor]
    tokenizer: Tokenizer
    recipe: Recipe
    loss: float
    provenance: str

    def build(self, seed=0, pretrained=True):
        """A new model with these weights; or, for comparison, one of the same kind that has learned nothing."""
        torch.manual_seed(seed)
        model = build_masked_lm(**self.recipe.sizes)
        if pretrained:
            model.load_state_dict(self.state)
        return model


def load_language_model(folder="checkpoints", say=print):
    """The newest checkpoint of lesson 07 in `folder` that fits, else the one that ships; says which one it is, and why.

    With UNMASKED_BUDGET=test or UNMASKED_CHECKPOINT=shipped, as in tests and publishing, always the one that ships.
    Errors: UnmaskedError, one sentence that says what to do, if the file that ships is damaged or does not fit.
    """
    environment = os.environ.get("UNMASKED_BUDGET"), os.environ.get("UNMASKED_CHECKPOINT")
    paths = [] if environment[0] == "test" or environment[1] == "shipped" else Path(folder).glob("07_*.pt")
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        own, reason = _own(path)
        if own:
            say(own.provenance)
            return own
        say(f"{path} is not used: {reason}.")
    shipped = _shipped()
    say(shipped.provenance)
    return shipped


@cache
def tokenizer_of(vocab_size):
    """The tokenizer that lesson 07 trains on the default corpus."""
    return train_tokenizer(load_corpus().train, vocab_size)


def checksum_of(tokenizer):
    """A checksum of a vocabulary."""
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()


def measure(state):
    """The loss of weights on the held-out part of the default corpus, in nats."""
    model = build_masked_lm(**RECIPE.sizes)
    model.load_state_dict(state)
    held_out = pack_rows(tokenizer_of(RECIPE.vocab_size), load_corpus().held_out, RECIPE.max_tokens)
    return evaluate(model, *fixed_masks(held_out, RECIPE.vocab_size)).loss


def _own(path):
    """A learner's model, or None and the reason why it can't be used."""
    try:
        saved = load_checkpoint(path)
        recipe, state = Recipe(**saved["recipe"]), saved["model"]
    except (CheckpointError, KeyError, TypeError):
        return None, "it is no checkpoint of lesson 07"
    if sizes_of(recipe) != sizes_of(RECIPE):
        return None, "it is not of the cpu recipe's size, which this lesson needs"
    loss = measure(state)
    if loss > WORST_LOSS:
        return None, f"its loss on the corpus is {loss:.2f}, so it was trained on another text, or hardly at all"
    provenance = f"Your own model from lesson 07, {path}: held-out loss {loss:.2f} nats."
    return LanguageModel(state, tokenizer_of(recipe.vocab_size), recipe, loss, provenance), None


def sizes_of(recipe):
    """The numbers in a recipe that decide which weights fit."""
    return recipe.vocab_size, recipe.d_model, recipe.heads, recipe.d_hidden, recipe.layers, recipe.max_tokens


def _shipped():
    try:
        with resources.as_file(resources.files("unmasked.data").joinpath(SHIPPED)) as path:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["facts"])
                state = {name: file.get_tensor(name).float() for name in file.keys()}
        state[TIED] = state["embeddings.token.weight"]
        sizes, vocabulary, loss, provenance = (facts[key] for key in ("sizes", "vocabulary", "loss", "provenance"))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        raise UnmaskedError(f"the course's language model is missing or damaged: run {COMMAND}") from None
    tokenizer = tokenizer_of(RECIPE.vocab_size)
    if sizes != list(sizes_of(RECIPE)) or vocabulary != checksum_of(tokenizer):
        raise UnmaskedError(
            "the course's language model does not fit this version's recipe or vocabulary: run python -m "
            "unmasked.publishing.language_model with a checkpoint of lesson 07"
        )
    return LanguageModel(state, tokenizer, RECIPE, loss, provenance)
