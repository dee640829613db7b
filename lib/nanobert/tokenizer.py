"""The tokenizer: text to numbers and back, with a vocabulary of word pieces learned from a corpus.

B rows, T tokens in a row.
"""

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = SPECIAL_IDS = tuple(range(len(SPECIAL_TOKENS)))
IGNORE = -100  # the label of a position that does not count; no token has this id


def train_tokenizer(texts, vocab_size):
    """A WordPiece tokenizer, lower case, that encodes a text as [CLS] pieces [SEP]; the special tokens are 0 to 4.

    The same texts give the same tokenizer in every process.
    Source: Wu et al. 2016, "Google's Neural Machine Translation System", section 4.1; Devlin et al. 2019, section 3.
    """
    texts = list(texts)
    tokenizer = _tokenizer({})
    # The trainer numbers ##a, ##b, ... in the random order of a hash table, and breaks ties between equally frequent
    # pieces by number; passed as special tokens, they are numbered in our order. A new tokenizer takes its vocabulary.
    first = [*SPECIAL_TOKENS, *_continuing_characters(tokenizer, texts)]
    trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=first, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer = _tokenizer(tokenizer.get_vocab())
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def _tokenizer(vocab):
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _continuing_characters(tokenizer, texts):
    chunks = (tokenizer.normalizer.normalize_str(chunk) for chunk in set(" ".join(texts).split()))
    words = (word for chunk in chunks for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(chunk))
    return sorted({f"##{character}" for word in words for character in word[1:]})


def encode_rows(tokenizer, texts, max_tokens):
    """One text a row, cut at `max_tokens` and padded to the longest row.  list of str -> (B, T) token ids"""
    rows = [torch.tensor(encoding.ids[:max_tokens]) for encoding in tokenizer.encode_batch(list(texts))]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


def pack_rows(tokenizer, texts, max_tokens):
    """All texts end to end, cut into full rows, so that no place is wasted on padding.  list of str -> (B, T) token ids

    A text may begin in one row and end in the next; what is left over at the very end is dropped.
    Source: Liu et al. 2019, "RoBERTa", section 4.2 (full sentences).
    """
    stream = [token for encoding in tokenizer.encode_batch(list(texts)) for token in encoding.ids]
    count = len(stream) // max_tokens
    return torch.tensor(stream[: count * max_tokens], dtype=torch.long).view(count, max_tokens)
