"""Verses and their groups: an independent source for the books, and what is left out of the test."""

from collections import Counter

import pytest
import pythonbible

from unmasked.data import load_corpus
from unmasked.data.books import GROUPS, group_of, load_verses, repeating


@pytest.fixture(scope="module")
def verses():
    return load_verses()


def test_the_groups_of_books_are_those_of_a_bible():
    groups = pythonbible.BookGroup
    theirs = (
        groups.OLD_TESTAMENT_LAW.books,
        groups.OLD_TESTAMENT_HISTORY.books,
        groups.OLD_TESTAMENT_POETRY_WISDOM.books,
        groups.OLD_TESTAMENT_PROPHECY.books,
        groups.NEW_TESTAMENT_GOSPELS.books + groups.NEW_TESTAMENT_HISTORY.books,
        groups.NEW_TESTAMENT_EPISTLES.books + (pythonbible.Book.REVELATION,),
    )
    expected = {book.value: number for number, books in enumerate(theirs) for book in books if book.value <= 66}
    assert {number: group_of(number) for number in range(1, 67)} == expected


def test_tested_on_are_held_out_verses_only(verses):
    corpus = load_corpus()
    assert {text for text, _ in verses.test} <= set(corpus.held_out)
    assert [text for text, _ in verses.train] == corpus.train
    assert not {text for text, _ in verses.test} & {text for text, _ in verses.train}


def test_verses_have_the_group_of_their_book(verses):
    groups = dict(verses.train) | dict(verses.test)
    known = {"In the beginning God created the heavens and the earth.": "Law", "Jesus wept.": "Gospels and Acts"}
    assert {text: GROUPS[groups[text]] for text in known if text in groups} == {
        text: group for text, group in known.items() if text in groups
    }
    assert Counter(label for _, label in verses.test).keys() == set(range(6))


def test_what_nearly_repeats_another_text_is_found_whatever_its_case_and_punctuation():
    others = ["Give thanks to Yahweh, for he is good; for his loving kindness endures forever.", "Something else now."]
    texts = [
        "give thanks to Yahweh for he is good! His loving kindness endures forever",
        "Give thanks to the king, and go in peace to your own house this day.",
        "Selah.",
    ]
    assert repeating(texts, others) == [True, False, True]


def test_half_of_the_runs_in_one_other_text_are_enough_and_less_are_not():
    text = "a b c d e f g"  # four runs of four words
    assert repeating([text], ["a b c d e x"]) == [True]
    assert repeating([text], ["a b c d x y z"]) == [False]
    assert repeating([text], ["a b c d x", "d e f g x"]) == [False]
