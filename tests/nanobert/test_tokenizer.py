"""The tokenizer, against Hugging Face's own BERT tokenizer and against what packing promises."""

import subprocess
import sys

import pytest
import torch
from tokenizers import BertWordPieceTokenizer

from nanobert.tokenizer import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, UNK, encode_rows, pack_rows, train_tokenizer

TEXTS = [
    "In the beginning God created the heavens and the earth.",
    "The earth was formless and empty, and darkness was on the surface of the deep.",
    'God said, "Let there be light," and there was light.',
    "God saw the light, that it was good; and God divided the light from the darkness.",
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, vocab_size=120)


def test_special_tokens_come_first(tokenizer):
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4] == [PAD, UNK, CLS, SEP, MASK]


def test_the_vocabulary_has_the_size_asked_for(tokenizer):
    assert tokenizer.get_vocab_size() <= 120
    assert train_tokenizer(TEXTS, vocab_size=60).get_vocab_size() == 60


def test_it_cuts_text_as_hugging_faces_bert_tokenizer_does(tokenizer):
    theirs = BertWordPieceTokenizer(tokenizer.get_vocab(), lowercase=True)
    for text in [*TEXTS, "GOD said: the Light!", "unbelievable Darkness", "Ünïcödé ☃ light", "", "[MASK] light"]:
        assert tokenizer.encode(text).ids == theirs.encode(text).ids


def test_text_comes_back_in_lower_case(tokenizer):
    assert tokenizer.decode(tokenizer.encode("God saw the LIGHT").ids) == "god saw the light"


def test_a_blank_in_a_text_is_the_mask_token(tokenizer):
    assert MASK in tokenizer.encode("god saw the [MASK].").ids


def test_training_is_the_same_in_every_process(tokenizer):
    script = f"from nanobert.tokenizer import train_tokenizer; print(train_tokenizer({TEXTS!r}, 120).to_str())"
    runs = {
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    }
    assert runs == {tokenizer.to_str()}


def test_rows_of_one_text_each_are_cut_and_padded(tokenizer):
    rows = encode_rows(tokenizer, [TEXTS[0], "light"], max_tokens=8)
    assert rows.shape == (2, 8)
    assert rows[0].tolist() == tokenizer.encode(TEXTS[0]).ids[:8]
    assert rows[1].tolist() == [CLS, tokenizer.token_to_id("light"), SEP, PAD, PAD, PAD, PAD, PAD]


def test_packed_rows_hold_every_token_in_order_and_no_padding(tokenizer):
    rows = pack_rows(tokenizer, TEXTS, max_tokens=7)
    stream = [token for text in TEXTS for token in tokenizer.encode(text).ids]
    assert rows.flatten().tolist() == stream[: len(stream) // 7 * 7]
    assert rows.dtype == torch.long and not (rows == PAD).any()


def test_too_little_text_for_a_row_packs_to_no_rows(tokenizer):
    assert pack_rows(tokenizer, ["light"], max_tokens=7).shape == (0, 7)
