# %% [markdown]
# # Text to tensors
#
# A model computes with numbers, and a text is a row of letters. Which units should get a number each: words,
# characters, or something in between? And how do numbers become vectors?
#
# **At the end you will have built** the whole way from text to a tensor of vectors: a vocabulary, the WordPiece
# tokenizer of BERT (equal to Hugging Face's on every verse of the course's text), padded batches with their mask, and
# the embedding. It takes about 90 minutes.

# %%
import re
from collections import Counter

import torch
from tokenizers import BertWordPieceTokenizer
from torch import nn

from unmasked.checks import text_to_tensors as checks
from unmasked.data import load_corpus
from unmasked.feedback import once_done
from unmasked.figures import text_to_tensors as pictures
from unmasked.widgets import text_to_tensors as widgets

# %% [markdown]
# The course learns from the World English Bible: modern English, in the public domain, and it comes with the install. A
# twentieth of its verses is held out, to measure with. A word is a run of letters or digits; every punctuation mark is a
# word of its own. Capitals are dropped.

# %%
def split_words(text):
    """The words and punctuation marks of a text, in small letters."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


corpus = load_corpus()
words = [word for text in corpus.train for word in split_words(text)]
new_words = [word for text in corpus.held_out for word in split_words(text)]
print(split_words("Let there be light!"))
print(f"{len(corpus.train):,} verses, {len(words):,} words, {len(set(words)):,} of them different")

# %% [markdown]
# ## Words?
#
# ### Exercise 1.1 · A vocabulary (about 9 min)
#
# A *vocabulary* numbers tokens: a dict token → *id*. The ids 0 to 4 are special: `[PAD]` fills up rows, `[UNK]` stands for
# the unknown, `[CLS]` and `[SEP]` frame a text, `[MASK]` hides a token. Then come the most frequent tokens, most frequent
# first, equally frequent ones by alphabet, until there are `size` entries in all, or no tokens left.
#
# <details><summary>Hint 1</summary><code>Counter(tokens)</code> counts. <code>sorted(counts, key=...)</code> sorts its keys; a key may be a tuple, compared from left to right.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>Sort by <code>(-counts[token], token)</code>. Put <code>SPECIAL_TOKENS</code> before the sorted list, cut it at <code>size</code>, and number it with <code>enumerate</code>.</details>

# %% exercise="build_vocabulary"
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def build_vocabulary(tokens, size):
    """The special tokens, then the most frequent tokens, numbered.  list of str, int -> dict"""
    ### BEGIN SOLUTION
    counts = Counter(tokens)
    most_frequent = sorted(counts, key=lambda token: (-counts[token], token))
    return {token: id for id, token in enumerate([*SPECIAL_TOKENS, *most_frequent][:size])}
    ### END SOLUTION


# %% check="build_vocabulary"
checks.build_vocabulary(build_vocabulary)

# %% [markdown]
# How many words of the held-out verses does a vocabulary of words not know?

# %%
with once_done("exercise 1.1"):
    sizes, shares = (500, 1000, 2000, 4000, 8000, len(set(words)) + 5), []
    for size in sizes:
        known = build_vocabulary(words, size)
        shares.append(sum(word not in known for word in new_words) / len(new_words))
    pictures.unknown_words(sizes, shares)

# %% [markdown]
# Even with every word of the training text (the last point) some remain, and each is lost: `[UNK]` says nothing of what
# stood there. More words cost memory too, a vector for each, and rare words are seen too rarely to learn one.
#
# ## Characters?
#
# Nothing is unknown then. The price:

# %%
with once_done("exercise 1.1"):
    known = build_vocabulary([character for text in corpus.train for character in text.lower()], 2000)
    new_characters = [character for text in corpus.held_out for character in text.lower()]
    unknown = sum(character not in known for character in new_characters)
    print(f"size of the vocabulary: {len(known)}, unknown: {unknown}")
    for name, tokens in (("characters", new_characters), ("words", new_words)):
        print(f"{name} in a held-out verse: {len(tokens) / len(corpus.held_out):.0f}")

# %% [markdown]
# Rows more than four times as long; and attention compares every token with every other, which makes nearly twenty times
# as many pairs. And a letter by itself says little.
#
# ## Subwords
#
# In between: frequent words stay whole, rare ones are cut into frequent *pieces*. A piece that continues a word begins
# with `##`: *unmasked* may become `un ##mask ##ed`. With all characters among the pieces, hardly anything is unknown.
#
# BERT cuts by *greedy longest match first*: take the longest piece of the vocabulary that begins the word; then the
# longest, written with `##`, that begins the rest; and so on, never going back.

# %% [markdown]
# ### Exercise 1.2 · WordPiece (about 18 min)
#
# Return the list of a word's pieces. If at some place no piece fits, the *whole word* is `["[UNK]"]`; so is a word of more
# than 100 characters.
#
# <details><summary>Hint 1</summary>For each <code>end</code> from <code>len(word)</code> down to <code>start + 1</code>: is <code>word[start:end]</code> in the vocabulary? After the start, ask with <code>##</code>.</details>
# <details><summary>Hint 2</summary>An outer loop while <code>start</code> is inside the word; in it a loop over the ends that stops at the first piece found.</details>
# <details><summary>Hint 3 (nearly the solution)</summary><code>for end in range(len(word), start, -1)</code>, with <code>break</code> at the first piece; its <code>else:</code> runs if there was none. Then append, and <code>start = end</code>.</details>

# %% exercise="word_pieces"
def word_pieces(word, vocabulary):
    """The pieces of a word, longest match first, or [UNK].  str, dict -> list of str"""
    ### BEGIN SOLUTION
    if len(word) > 100:
        return ["[UNK]"]
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(piece)
        start = end
    return pieces
    ### END SOLUTION


# %% check="word_pieces"
checks.word_pieces(word_pieces)

# %%
tiny = dict.fromkeys(["un", "mask", "##mask", "##ask", "##ed", "##s", "##ing", "the"])  # ids don't matter here
with once_done("exercise 1.2"):
    pictures.cuts({word: word_pieces(word, tiny) for word in ("masks", "unmasked", "unmasking", "the", "theme")})

# %% [markdown]
# ## Where pieces come from
#
# From the text itself, by *byte-pair encoding* (Sennrich et al. 2016). Cut every word into characters. Find the pair of
# neighbours that occurs most often in the text; join it wherever it stands: a new piece. Repeat, until the vocabulary
# is large enough. (BERT's own pieces were chosen by another score, the likelihood of the text, Schuster and Nakajima
# 2012. Words are cut in the same way, wherever the pieces come from.)

# %% [markdown]
# ### Exercise 1.3 · The most frequent pair (about 10 min)
#
# `words` maps each word to its pieces so far, `counts` to how often it occurs in the text:
#
# `{"hug": ["h", "##u", "##g"], "pun": ["p", "##u", "##n"]}` and `{"hug": 10, "pun": 12}`
#
# Return the pair of neighbours that occurs most often in the *text*: here `("p", "##u")` or `("##u", "##n")`, both 12
# times (of equals, any will do).
#
# <details><summary>Hint 1</summary><code>zip(pieces, pieces[1:])</code> gives the neighbours. How often, if the word occurs 12 times?</details>
# <details><summary>Hint 2 (nearly the solution)</summary>In two loops, over words and over the neighbours in each, add the word's count to the pair's in a <code>Counter()</code>. <code>max(counter, key=counter.get)</code> is the key with the highest value.</details>

# %% exercise="most_frequent_pair"
def most_frequent_pair(words, counts):
    """The pair of neighbouring pieces that the text has most often.  dict, dict -> (str, str)"""
    ### BEGIN SOLUTION
    pairs = Counter()
    for word, pieces in words.items():
        for pair in zip(pieces, pieces[1:]):
            pairs[pair] += counts[word]
    return max(pairs, key=pairs.get)
    ### END SOLUTION


# %% check="most_frequent_pair"
checks.most_frequent_pair(most_frequent_pair)

# %% [markdown]
# Joining is done for you:

# %%
def join_pair(pieces, pair):
    """Join this pair wherever it stands in a list of pieces."""
    joined, i = [], 0
    while i < len(pieces):
        found = pieces[i : i + 2] == [*pair]
        joined.append(pieces[i] + pieces[i + 1].removeprefix("##") if found else pieces[i])
        i += 2 if found else 1
    return joined


print(join_pair(["h", "##u", "##g", "##s"], ("##u", "##g")))

# %% [markdown]
# Thirty rounds over the whole training text (some seconds):

# %%
counts = Counter(words)
letters = {word: [word[0], *("##" + character for character in word[1:])] for word in counts}
cut, new_pieces = letters, []
with once_done("exercise 1.3"):
    for _ in range(30):
        pair = most_frequent_pair(cut, counts)
        cut = {word: join_pair(pieces, pair) if pair[0] in pieces else pieces for word, pieces in cut.items()}
        new_pieces += join_pair([*pair], pair)
    print(" ".join(new_pieces))

# %% [markdown]
# Common words and endings come first. For a vocabulary of 2,000 we let Hugging Face's `tokenizers` go on: the same rule,
# in fast Rust. (It numbers some pieces at random; we hand it those in an order of our own, so that every run gives the
# same ids.)

# %%
continuing = sorted({piece for pieces in letters.values() for piece in pieces[1:]})
first = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *continuing]
trained = BertWordPieceTokenizer(lowercase=True)
trained.train_from_iterator(corpus.train, vocab_size=2000, min_frequency=0, special_tokens=first, show_progress=False)
vocabulary = trained.get_vocab()
theirs = [piece for piece in sorted(vocabulary, key=vocabulary.get) if len(piece.removeprefix("##")) > 1][5:]
print(f"{len(vocabulary):,} pieces, of which the last are", " ".join(theirs[-8:]))
if new_pieces:
    print("its first thirty new pieces are yours, in the same order:", theirs[:30] == new_pieces)

# %% [markdown]
# What a larger vocabulary buys is shorter rows. Cut all words with the first pieces only, then with more:

# %%
with once_done("exercise 1.2"):
    sizes, per_word = (90, 125, 250, 500, 1000, 2000), []
    for size in sizes:
        known = {piece for piece, id in vocabulary.items() if id < size}
        per_word.append(sum(count * len(word_pieces(word, known)) for word, count in counts.items()) / len(words))
    pictures.shrinking(sizes, per_word, sum(map(len, words)) / len(words))

# %% [markdown]
# So here are the three ways, on a held-out verse, each with at most 2,000 entries:

# %%
with once_done("exercises 1.1 and 1.2"):
    verse = "Hear now my reasoning. Listen to the pleadings of my lips."
    known = build_vocabulary(words, 2000)
    pictures.cuts({
        "Words": [word if word in known else "[UNK]" for word in split_words(verse)],
        "Characters": list(verse.lower()),
        "Pieces": [piece for word in split_words(verse) for piece in word_pieces(word, vocabulary)],
    })  # fmt: skip
    cut = [word_pieces(word, vocabulary) for word in new_words]
    print(f"held-out words: {cut.count(['[UNK]'])} unknown, {sum(map(len, cut)) / len(cut):.2f} pieces in a word")

# %% [markdown]
# Now play: type words that you know, words that you make up, your name. Under each piece stands its id.

# %% tags=["nbval-ignore-output"]
with once_done("exercise 1.2"):
    widgets.playground(split_words, word_pieces, vocabulary, "The unmasked tokenizer begot transformers!")

# %% [markdown]
# Pieces are frequent, not meaningful: see where *unmasked* is cut. What a piece means in its company is for the layers
# above to learn.
#
# ### Exercise 1.4 · Encode (about 6 min)
#
# From words to ids: `[CLS]`, all pieces of all words in order, `[SEP]`. Return one flat list (no tuple, no tensor) of
# whole numbers.
#
# <details><summary>Hint 1</summary>Collect the pieces of all words with <code>word_pieces</code>, then put the two special tokens around them. Then look up.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>A comprehension with two loops, <code>[piece for word in words for piece in ...]</code>, gives the pieces; a second one looks each of <code>["[CLS]", *pieces, "[SEP]"]</code> up in <code>vocabulary</code>.</details>

# %% exercise="encode"
def encode(words, vocabulary):
    """The ids of [CLS], of the pieces of all words, and of [SEP].  list of str, dict -> list of int"""
    ### BEGIN SOLUTION
    pieces = [piece for word in words for piece in word_pieces(word, vocabulary)]
    return [vocabulary[piece] for piece in ["[CLS]", *pieces, "[SEP]"]]
    ### END SOLUTION


# %% check="encode"
checks.encode(encode)

# %% [markdown]
# Is it the real WordPiece? Give Hugging Face's the same vocabulary, and compare *every verse* (this takes
# a quarter of a minute):

# %%
hugging_face = BertWordPieceTokenizer(vocabulary, lowercase=True)
with once_done("exercise 1.4, after 1.2"):
    rows = [encode(split_words(text), vocabulary) for text in corpus.texts]
    same = sum(mine == theirs.ids for mine, theirs in zip(rows, hugging_face.encode_batch(corpus.texts)))
    print(f"{same:,} of {len(rows):,} verses, {sum(map(len, rows)):,} tokens, are the same")

# %% [markdown]
# And back: `##` says which pieces belong together. Capitals are lost, and so are the spaces around punctuation.

# %%
token_of = {id: token for token, id in vocabulary.items()}
with once_done("exercise 1.4, after 1.2"):
    ids = encode(split_words("Listen to the pleadings of my lips."), vocabulary)
    print(ids)
    print(" ".join(token_of[id] for id in ids).replace(" ##", ""))

# %% [markdown]
# ## Padding
#
# Texts differ in length, and a tensor is rectangular. What only fills up a row must never count, so a batch comes with a
# mask (lesson 00).

# %% [markdown]
# ### Exercise 1.5 · A batch (about 8 min)
#
# Fill up every row at its end with `pad_id`, to the length of the longest, and say where: return `tokens` (B, T), whole
# numbers (`torch.int64`), and `key_padding_mask` (B, T), True where a token is padding. (No row has the number `pad_id`
# in it.)
#
# <details><summary>Hint 1</summary>Lists can be added and repeated: <code>row + [pad_id] * missing</code>. The same with <code>False</code> and <code>True</code> gives the mask.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>With <code>longest</code>, the largest <code>len(row)</code>, each row lacks <code>longest - len(row)</code> tokens; its mask is <code>len(row)</code> times False, then that many times True. <code>torch.tensor</code> takes a list of lists of the same length.</details>

# %% exercise="pad_batch"
def pad_batch(rows, pad_id=0):
    """Rows filled up to the longest, and where they were.  list of lists of int -> (B, T), (B, T)"""
    ### BEGIN SOLUTION
    lengths = torch.tensor([len(row) for row in rows])
    longest = max(len(row) for row in rows)
    tokens = torch.tensor([row + [pad_id] * (longest - len(row)) for row in rows])
    return tokens, torch.arange(longest) >= lengths[:, None]
    ### END SOLUTION


# %% check="pad_batch"
checks.pad_batch(pad_batch)

# %%
def batch_of(texts):
    """(B, T) tokens and (B, T) key_padding_mask of texts."""
    return pad_batch([encode(split_words(text), vocabulary) for text in texts])


verses = ["Jesus wept.", "Let there be light!", "Nebuchadnezzar saw it, and rejoiced."]
with once_done("exercise 1.5, after 1.4"):
    batch, key_padding_mask = batch_of(verses)
    pictures.padded_batch([[token_of[id] for id in row] for row in batch.tolist()], key_padding_mask)

# %% [markdown]
# **Beware of the other mask.** Hugging Face's models take an `attention_mask`: 1 where a token *counts*, 0 where it is
# padding, the inverse of ours (which is that of PyTorch's `nn.MultiheadAttention`). Shapes fit, so mixing them up may
# give no error; the words are left out, and the padding is read.

# %%
hugging_face.enable_padding()
encodings = hugging_face.encode_batch(verses)
hugging_face.no_padding()
ids = torch.tensor([encoding.ids for encoding in encodings])
attention_mask = torch.tensor([encoding.attention_mask for encoding in encodings])
print(attention_mask)
left = {token_of[id] for id in ids[~attention_mask.bool()].tolist()}  # what is not hidden, if True means padding
print("taken for a key_padding_mask, it leaves only", left)
with once_done("exercise 1.5, after 1.4"):
    batch, key_padding_mask = batch_of(verses)
    print("your tokens are the same:", torch.equal(batch, ids))
    print("your key_padding_mask is attention_mask == 0:", torch.equal(key_padding_mask, attention_mask == 0))

# %% [markdown]
# Padding is work for nothing. How much of a batch of 32 verses is it, drawn at random, or with verses of like length
# together?

# %%
with once_done("exercise 1.5, after 1.4"):
    order = torch.randperm(len(corpus.held_out), generator=torch.Generator().manual_seed(0)).tolist()
    texts = [corpus.held_out[i] for i in order]
    by_length = sorted(texts, key=lambda text: len(encode(split_words(text), vocabulary)))
    for name, some in (("at random", texts), ("by length", by_length)):
        masks = [batch_of(some[k : k + 32])[1] for k in range(0, len(some), 32)]
        print(f"{name}: {sum(mask.sum() for mask in masks) / sum(mask.numel() for mask in masks):.0%} is padding")

# %% [markdown]
# ## Ids to vectors
#
# An id is a name, not a quantity: token 900 is not twice token 450. So each token gets a vector, a row of a table
# (V, D) that is learned.
#
# ### Exercise 1.6 · Embed (about 4 min)
#
# For each token the row of its number: (B, T), (V, D) → (B, T, D). You build what `F.embedding` and `nn.Embedding` do,
# so write it without them.
#
# <details><summary>Hint 1</summary>A tensor can be indexed by a tensor of whole numbers, of any shape.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>Index the table with the tokens; the axes of the tokens take the place of the table's first axis.</details>

# %% exercise="embed"
def embed(tokens, table):
    """For each token its row of the table.  (B, T), (V, D) -> (B, T, D)"""
    ### BEGIN SOLUTION
    return table[tokens]
    ### END SOLUTION


# %% check="embed"
checks.embed(embed)

# %% [markdown]
# The same as a matrix product: let a *one-hot* vector stand for a token, all 0 but for a 1 at its number. Times the
# table, it picks out a row. So an embedding is a linear layer like any other, and gradients reach it.

# %%
some, small_table = torch.tensor([[7, 2, 9, 2]]), torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
one_hot = nn.functional.one_hot(some, 12).float()
with once_done("exercise 1.6"):
    vectors = embed(some, small_table)
    pictures.lookup(one_hot[0], small_table, vectors[0], [f"token {id}" for id in some[0].tolist()])
    print("lookup and product are equal:", torch.allclose(vectors, one_hot @ small_table))

# %% [markdown]
# Nobody computes it as a product. For the batch above, with a table of 64 numbers for each token:

# %%
layer = nn.Embedding(len(vocabulary), 64)  # PyTorch's own: a table, and the lookup
with once_done("exercise 1.6, after 1.5"):
    batch, key_padding_mask = batch_of(verses)
    vectors = embed(batch, layer.weight)
    print("equal to nn.Embedding:", torch.allclose(vectors, layer(batch)), " shape (B, T, D):", tuple(vectors.shape))
    print(f"numbers multiplied: {batch.numel() * len(vocabulary) * 64:,} as a product, 0 as a lookup")
    vectors.sum().backward()
    rows_reached = int(layer.weight.grad.any(dim=1).sum())
    print(f"rows that get a gradient: {rows_reached} of {len(vocabulary):,}, distinct tokens: {len(batch.unique())}")

# %% [markdown]
# A row learns only when its token occurs: one reason more to have no rare tokens.
#
# ## Explain it
#
# Three questions to answer in your own words; then compare with the folded answer.

# %% [markdown] explain="why_subwords"
# **1.** Why not give every word of the language a number, or every character?
#
# ### BEGIN SOLUTION
# Words: there is always one more, and each that is missing becomes [UNK] and is lost; every word form needs a row of the
# table of its own, and rare rows hardly ever learn. Characters: nothing is unknown, but rows are several times longer,
# and attention's work grows with the square of the length. Pieces keep frequent words whole and cut the rare ones into
# parts that are frequent.
# ### END SOLUTION

# %% [markdown] explain="why_inverted"
# **2.** A colleague hands Hugging Face's `attention_mask.bool()` to the `masked_mean` of lesson 00 (the mean of a row's
# tokens that are not padding) as `key_padding_mask`. What comes out for a short row, what for the longest, and how would
# you notice?
#
# ### BEGIN SOLUTION
# Every word counts as padding, and every padding token as a word: a short row gets the vector of `[PAD]`, whatever it
# says, and the longest, in which nothing is padding, gets 0. There is no error, since shapes and types are right. Change
# a word: the result must change; change what stands in the padding: it must not.
# ### END SOLUTION

# %% [markdown] explain="why_lookup"
# **3.** An embedding equals a product with one-hot vectors. Why is it computed as a lookup, and what does the product
# tell about the gradient of the table?
#
# ### BEGIN SOLUTION
# The product multiplies V numbers for each number of the result, all but one of them by 0; the lookup copies the one row
# that counts. The gradient of the table is the transposed one-hot matrix times the gradient of the vectors: each row gets
# the sum of the gradients of the places where its token stands, and a row whose token does not occur gets 0.
# ### END SOLUTION

# %% [markdown]
# ## What you have built
#
# The way from text to (B, T, D): words, pieces, ids, rows with their mask, vectors. `nanobert.tokenizer` is the same in
# Hugging Face's Rust, and later lessons take it from there. So far a vector is the same wherever its token stands: that
# it should depend on the company is the next lesson.
