"""Commands to a voice assistant, each with its slots: sampled from the grammar of one that is in use.

Nobody said these commands: a template is drawn from the grammar, every choice in it is drawn, and what the grammar
leaves open is filled with names of our own. Held-out commands come from templates, and are filled with values, that no
training command has; which ones is decided by a hash, so that it is the same for every seed.
"""

import hashlib
import json
import random
import re
from dataclasses import dataclass
from importlib import resources

from unmasked.data.household import NAMES, OPEN_LISTS, values
from unmasked.data.sources import Source
from unmasked.errors import UnmaskedError

HELD_OUT_SHARE = 1 / 5
FEWEST_TEMPLATES = 5  # an intent with fewer keeps them all for training


def _read_grammar():
    # Looked up when it is needed, so that a missing package can be named by the version check.
    return [resources.files("home_assistant_intents").joinpath("data", "en.json").read_text(encoding="utf-8")]


GRAMMAR = Source(
    package="home-assistant-intents",
    version="2026.10.27",
    read=_read_grammar,
    sha256="0b9d606a216b1712409a3d822a8edfb9ff4458e51e421792882ea24e0ce1d456",
    provenance="sampled from the English grammar of Home Assistant's voice assistant (42 intents, 862 templates), from "
    "the package home-assistant-intents 2026.10.27; names of rooms, devices and the like are our own",
    rights="the grammar: Copyright The Home Assistant Authors, Apache License 2.0; the names: as this course",
)


@dataclass(frozen=True)
class Command:
    """A command in lower case, and its slots: (start, end, slot) each, in characters, in order."""

    text: str
    slots: tuple[tuple[int, int, str], ...]
    intent: str
    template: str

    @property
    def skeleton(self):
        """The text with the name of its slot in each slot's place."""
        text = self.text
        for start, end, slot in reversed(self.slots):
            text = text[:start] + "{" + slot + "}" + text[end:]
        return text


@dataclass(frozen=True)
class Commands:
    """Commands to learn from, and four kinds to be measured on; no command stands in two of them.

    `known`: templates and values of the training commands, in combinations that are new. `new_values` and
    `new_templates`: one of both is held out. `held_out`: both are.
    """

    train: list[Command]
    known: list[Command]
    new_values: list[Command]
    new_templates: list[Command]
    held_out: list[Command]
    provenance: str = GRAMMAR.provenance
    rights: str = GRAMMAR.rights


def load_commands(seed=0, count=8000):
    """Sample `count` commands to learn from, and a twentieth as many of each kind to be measured on.

    Errors: UnmaskedError, one sentence that says what to do, if a package is missing, of another version or changed.
    """
    sampler = _Sampler(json.loads(GRAMMAR.load()[0]), random.Random(seed))
    train = sampler.commands(count)
    skeletons = {command.skeleton for command in train}
    few = max(1, count // 20)
    return Commands(
        train,
        sampler.commands(few),
        sampler.commands(few, new_values=True),
        sampler.commands(few, new_templates=True, without=skeletons),
        sampler.commands(few, new_templates=True, new_values=True, without=skeletons),
    )


def is_held_out(text):
    """Whether a template or a value is kept for measuring: a fifth are, chosen by a hash."""
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


@dataclass(frozen=True)
class _Template:
    intent: str
    text: str
    expression: object
    domains: tuple[str, ...]


class _Sampler:
    """Draws commands, none twice."""

    def __init__(self, grammar, generator):
        self.parse, self.kinds = _parser()
        self.generator = generator
        self.lists = {name: self._list(content) for name, content in grammar["lists"].items()}
        self.open = {name: values(text) for name, text in OPEN_LISTS.items()}
        self.names = {domain: values(text) for domain, text in NAMES.items()}
        self.rules = {name: self.parse(text) for name, text in grammar["expansion_rules"].items()}
        self.templates = {False: [], True: []}  # by whether they are held out; a list for each intent
        for intent, content in grammar["intents"].items():
            self._sort(list(self._templates_of(intent, content)))
        self.drawn = set()

    def commands(self, count, new_templates=False, new_values=False, without=()):
        """New commands, from every intent alike, whose skeletons are not among those of `without`."""
        found = []
        while len(found) < count:
            template = self._one_of(self._one_of(self.templates[new_templates]))
            command, filled = self._command(template, new_values)
            if command.text in self.drawn or command.skeleton in without or (new_values and not filled):
                continue
            self.drawn.add(command.text)
            found.append(command)
        return found

    def _list(self, content):
        """The templates of a list's values, or its numbers; None if the grammar leaves it open."""
        if "values" in content:
            return [self.parse(value["in"]) for value in content["values"]]
        if "range" in content:
            bounds = content["range"]
            return [str(number) for number in range(bounds["from"], bounds["to"] + 1, bounds.get("step", 1))]
        return None

    def _templates_of(self, intent, content):
        for block in content["data"]:
            domains = block.get("requires_context", {}).get("domain", ())
            domains = (domains,) if isinstance(domains, str) else tuple(domains)
            for text in block["sentences"]:
                yield _Template(intent, text, self.parse(text), tuple(d for d in domains if d in self.names))

    def _sort(self, templates):
        sides = {False: [], True: []}
        for template in templates:
            sides[len(templates) >= FEWEST_TEMPLATES and is_held_out(template.text)].append(template)
        for side, chosen in sides.items():
            if chosen:
                self.templates[side].append(chosen)

    def _one_of(self, items):
        # Python promises that `random` gives the same numbers in every version, and not what `choice` makes of them.
        return items[int(self.generator.random() * len(items))]

    def _command(self, template, new_values):
        """A command, and whether anything in it comes from a list that is split into known and new values."""
        text, slots, filled = "", [], False
        for piece, slot, is_split in self._pieces(template.expression, template.domains, new_values):
            piece = re.sub(r"\s+", " ", piece.lower())
            if not text or text[-1] == " ":
                piece = piece.lstrip()
            if slot:
                slots.append((len(text), len(text) + len(piece), slot))
            text, filled = text + piece, filled or is_split
        return Command(text.rstrip(), tuple(slots), template.intent, template.text), filled

    def _pieces(self, expression, domains, new_values):
        """One way through a template: pieces of text, each with its slot or None, and whether its list is split."""
        kinds = self.kinds
        if isinstance(expression, kinds.TextChunk):
            yield expression.original_text, None, False
        elif isinstance(expression, kinds.ListReference):
            yield self._value(expression, domains, new_values)
        else:
            rule = isinstance(expression, kinds.RuleReference)
            for part in [self.rules[expression.rule_name]] if rule else self._parts(expression):
                yield from self._pieces(part, domains, new_values)

    def _parts(self, group):
        """Which parts of a group are said: one of an alternative, all of a permutation in some order, else all."""
        if isinstance(group, self.kinds.Alternative):
            return [self._one_of(group.items)]
        if isinstance(group, self.kinds.Permutation):
            return sorted(group.items, key=lambda _: self.generator.random())
        return group.items

    def _value(self, reference, domains, new_values):
        """What is said for a list. Names and numbers are split; what the grammar itself lists is all in training."""
        choices = self.lists.get(reference.list_name)
        if reference.list_name == "name":
            choices = self.names[self._one_of(domains)]
        elif choices is None:
            choices = self.open[reference.list_name]
        if isinstance(choices[0], str):
            fitting = [value for value in choices if is_held_out(value) == new_values]
            return self._one_of(fitting), reference.slot_name, True
        pieces = self._pieces(self._one_of(choices), domains, new_values)
        return "".join(text for text, *_ in pieces).strip(), reference.slot_name, False


def _parser():
    """hassil's parser of templates, and the kinds of expressions that it makes."""
    try:
        from hassil import expression, parse_expression
    except ImportError:
        raise UnmaskedError(
            "these commands need the package hassil, which is missing: run pip install hassil"
        ) from None
    return (lambda text: parse_expression.parse_sentence(text).expression), expression
