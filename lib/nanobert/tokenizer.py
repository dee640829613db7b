"""The tokenizer: text to numbers and back, with a vocabulary of word pieces learned from a corpus.

B rows, T tokens in a row.
"""

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = SPECIAL_IDS = tuple(range(len(SPECIAL_TOKENS)))


def train_tokenizer(texts, vocab_size):
    """A WordPiece tokenizer, lower case, that encodes a text as [CLS] pieces [SEP]; the special tokens are 0 to 4.

    Source: Wu et al. 2016, "Google's Neural Machine Translation System", section 4.1; Devlin et al. 2019, section 3.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    return tokenizer


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
