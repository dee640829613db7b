"""The commands: what is in them, what is kept apart, and what is said when something is wrong."""

import builtins
import json
import sys
from collections import Counter
from importlib import metadata, resources

import pytest

from unmasked.data import load_commands
from unmasked.data.commands import is_held_out
from unmasked.data.household import NAMES, OPEN_LISTS, values
from unmasked.errors import UnmaskedError

KINDS = ("train", "known", "new_values", "new_templates", "held_out")
SPLIT_LISTS = {**NAMES, **OPEN_LISTS}
CLOSED = {"color", "device_class", "fan_mode", "media_class"}  # the grammar has their values
OURS = {value for text in SPLIT_LISTS.values() for value in values(text)}


@pytest.fixture(scope="module")
def commands():
    return load_commands(count=3000)


@pytest.fixture(scope="module")
def grammar():
    path = resources.files("home_assistant_intents").joinpath("data", "en.json")
    return json.loads(path.read_text(encoding="utf-8"))


def slots_of(commands):
    return Counter(slot for command in commands for *_, slot in command.slots)


def split_values(commands):
    """The values in these commands that are ours, or numbers, and so known or new."""
    slots = [(command.text[start:end], slot) for command in commands for start, end, slot in command.slots]
    return {value for value, slot in slots if slot not in CLOSED and (value in OURS or value.isdecimal())}


def test_the_grammar_is_as_large_as_the_lesson_says(grammar, commands):
    assert len(grammar["intents"]) == 42
    assert sum(len(block["sentences"]) for each in grammar["intents"].values() for block in each["data"]) == 862
    assert "42 intents, 862 templates" in commands.provenance and "Apache" in commands.rights


def test_there_are_as_many_commands_as_asked_for(commands):
    assert [len(getattr(commands, kind)) for kind in KINDS] == [3000, 150, 150, 150, 150]


def test_every_intent_and_every_slot_is_trained_on(grammar, commands):
    assert {command.intent for command in commands.train} == grammar["intents"].keys()
    assert len(slots_of(commands.train)) == 24
    assert slots_of(commands.held_out).keys() <= slots_of(commands.train).keys()


@pytest.mark.parametrize("kind", KINDS)
def test_slots_are_pieces_of_the_text_in_order(kind, commands):
    for command in getattr(commands, kind):
        places = [place for start, end, _ in command.slots for place in (start, end)]
        assert places == sorted(places) and len(set(places)) == len(places), command
        for start, end, _ in command.slots:
            assert command.text[start:end] == command.text[start:end].strip() != "", command


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_in_lower_case_and_tidy(kind, commands):
    for command in getattr(commands, kind):
        assert command.text == " ".join(command.text.lower().split()) != ""
        assert not set(command.text) & set("{}<>[]|()"), command


def test_hassil_recognizes_the_commands_and_finds_the_same_slots(grammar, commands):
    """The assistant's own recognizer, told our names, is the authority on what a command means."""
    from hassil import Intents, recognize_all
    from hassil.intents import TextSlotList

    names = sorted({value for text in NAMES.values() for value in values(text)})
    lists = {"name": TextSlotList.from_strings(names)}
    lists |= {name: TextSlotList.from_strings(values(OPEN_LISTS[name])) for name in ("area", "floor")}
    for block in (block for intent in grammar["intents"].values() for block in intent["data"]):
        block.pop("requires_context", None)  # which devices there are is not known here
    intents = Intents.from_dict(grammar)
    for command in commands.train[:60] + commands.held_out[:20]:
        wanted = sorted((slot, command.text[start:end]) for start, end, slot in command.slots)
        found = recognize_all(command.text, intents, slot_lists=lists)
        assert any(wanted == said(result) for result in found), command


def said(result):
    """The slots of a result of hassil's, with the words that fill them."""
    return sorted((entity.name, entity.text_clean.lower()) for entity in result.entities_list if entity.text)


def test_no_command_stands_in_two_kinds(commands):
    texts = [command.text for kind in KINDS for command in getattr(commands, kind)]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize("kind", ["new_templates", "held_out"])
def test_new_templates_and_what_they_make_are_not_in_training(kind, commands):
    chosen = getattr(commands, kind)
    assert not {command.template for command in chosen} & {command.template for command in commands.train}
    assert not {command.skeleton for command in chosen} & {command.skeleton for command in commands.train}


@pytest.mark.parametrize("kind", ["new_values", "held_out"])
def test_new_values_are_not_in_training(kind, commands):
    chosen = getattr(commands, kind)
    assert not split_values(chosen) & split_values(commands.train)
    assert all(split_values([command]) for command in chosen)


def test_what_is_called_known_is_known(commands):
    assert {command.template for command in commands.known} <= {
        command.template for command in load_commands(count=8000).train
    }
    assert not any(map(is_held_out, split_values(commands.known)))
    assert not any(map(is_held_out, split_values(commands.new_templates)))


@pytest.mark.parametrize("name", SPLIT_LISTS)
def test_every_list_has_known_and_new_values(name):
    entries = values(SPLIT_LISTS[name])
    new = sum(map(is_held_out, entries))
    assert 1 <= new < len(entries) / 2
    assert len(entries) == len(set(entries)) and all(entry == entry.lower().strip() for entry in entries)


def test_one_word_stands_in_several_slots(commands):
    places = {}
    for command in commands.train:
        for start, end, slot in command.slots:
            for word in command.text[start:end].split():
                places.setdefault(word, set()).add(slot)
    assert sum(len(slots) > 1 for slots in places.values()) > 50
    assert {"color", "item"} <= places["orange"]


def test_the_seed_decides(commands):
    assert load_commands(count=300).train == commands.train[:300]
    assert load_commands(seed=1, count=300).train != commands.train[:300]


def test_the_seed_gives_the_same_on_every_machine():
    assert [command.text for command in load_commands(count=3).train] == FIRST


FIRST = ["how much time is left on my laundry timer", "add honey to the list", "mute"]


def test_a_missing_grammar_is_named_with_the_command_that_installs_it(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(UnmaskedError, match=r"run pip install home-assistant-intents==2026\.10\.27"):
        load_commands()


def test_another_version_of_the_grammar_is_refused(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "2027.1.1")
    with pytest.raises(UnmaskedError, match=r"not 2027\.1\.1: run pip install home-assistant-intents"):
        load_commands()


def test_a_missing_parser_is_named_with_the_command_that_installs_it(monkeypatch):
    real = builtins.__import__

    def without_hassil(name, *args, **kwargs):
        if name.partition(".")[0] == "hassil":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.partition(".")[0] == "hassil"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without_hassil)
    with pytest.raises(UnmaskedError, match="run pip install hassil"):
        load_commands()
