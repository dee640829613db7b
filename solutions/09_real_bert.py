# %% [markdown]
# # A real BERT
#
# You have built every part of BERT. So the weights of a real one, trained by others on more text than anybody reads in
# a life, must fit into your classes, if every part is right to the last detail.
#
# **At the end you will have built** a BERT that computes what Hugging Face's does, layer by layer, to five decimals, and
# used it: for a search by meaning, for a map of sentences, and to fill in blanks, with a head that you train; and you
# will have looked into all its heads. It takes about 85 minutes, of which training takes three.

# %%
import copy
import functools

import torch
import torch.nn.functional as F
from torch import nn

from nanobert.attention import masked_attention_weights
from nanobert.encoder import Encoder, EncoderBlock, FeedForward
from nanobert.multi_head import MultiHeadAttention, split_heads
from nanobert.tokenizer import PAD, encode_rows
from unmasked.checks import real_bert as checks
from unmasked.feedback import once_done
from unmasked.figures import real_bert as pictures
from unmasked.widgets import real_bert as widgets

torch.manual_seed(0)
torch.set_num_threads(1)

# %% [markdown]
# Letters for sizes: `B` sequences in a batch, `T` tokens, `D` the width of the model, `L` blocks, `H` heads, `N` vectors.
#
# The model is *all-MiniLM-L6-v2*: a BERT of 6 layers, *distilled* from a larger one, which means trained to imitate it
# (MiniLM: Wang et al. 2020), then trained on a billion pairs of sentences that belong together (its model card). It
# lies in a Python package that came with the course. Its checksum is compared before it is used.
#
# Your own parts are taken from your saved notebooks of lessons 03 and 05; where one is missing or does not pass, the
# reference stands in.

# %%
from unmasked.carried_on import carry_on
from unmasked.data.pretrained import load_pretrained, reference_activations

MultiHeadAttention, FeedForward, EncoderBlock, Encoder = carry_on(
    "MultiHeadAttention", "FeedForward", "EncoderBlock", "Encoder"
)
pretrained = load_pretrained()
tokenizer = pretrained.tokenizer
print(f"{pretrained.provenance}\nRights: {pretrained.rights}")
print(f"{len(pretrained.tensors)} tensors, {len(pretrained.tensors['encoder.layer.0.output.LayerNorm.bias'])} wide")
print(tokenizer.encode("Unmasked, it says hello.").tokens)

# %% [markdown]
# ### Exercise 9.1 · BERT's embeddings (about 10 min)
#
# BERT can read two texts at once. A third vector tells them apart, for the *token type*: 0 in the first text, 1 in the
# second (Devlin et al. 2019, figure 2). A norm follows, with a tiny eps:
#
# $$x = \text{LayerNorm}(\text{word} + \text{position} + \text{token type}), \quad \epsilon = 10^{-12}$$
#
# The names are fixed: `word`, `position`, `token_type` (`nn.Embedding`), `norm` (`nn.LayerNorm`). Without
# `token_types`, all are 0. Shapes: (B, T), (B, T) → (B, T, D).
#
# <details><summary>Hint 1</summary>Positions are 0, 1, ... T − 1, the same in every row: <code>torch.arange</code>.</details>
# <details><summary>Hint 2</summary><code>torch.zeros_like(tokens)</code> is 0 for each token. <code>nn.LayerNorm</code> takes <code>eps</code>.</details>

# %% exercise="BertEmbeddings"
class BertEmbeddings(nn.Module):
    """Word + position + token type, normalized.  (B, T), (B, T) -> (B, T, D)"""

    def __init__(self, vocab_size, d_model, max_tokens):
        super().__init__()
        ### BEGIN SOLUTION
        self.word = nn.Embedding(vocab_size, d_model)
        self.position = nn.Embedding(max_tokens, d_model)
        self.token_type = nn.Embedding(2, d_model)
        self.norm = nn.LayerNorm(d_model, eps=1e-12)
        ### END SOLUTION

    def forward(self, tokens, token_types=None):
        ### BEGIN SOLUTION
        if token_types is None:
            token_types = torch.zeros_like(tokens)
        positions = torch.arange(tokens.shape[1], device=tokens.device)  # T
        return self.norm(self.word(tokens) + self.position(positions) + self.token_type(token_types))
        ### END SOLUTION


# %% check="BertEmbeddings"
checks.BertEmbeddings(BertEmbeddings)

# %% [markdown]
# Put real vectors into your words, 30,522 of them, and ask which have the directions closest to some: the largest *cosine*,
# the product of two vectors after both are brought to length 1. Nobody told the model what a word means; all it had was
# text:

# %%
with once_done("BertEmbeddings"):
    embeddings = BertEmbeddings(30522, 384, 512)
    embeddings.word.weight.data = pretrained.tensors["embeddings.word_embeddings.weight"]
    words = F.normalize(embeddings.word.weight.detach(), dim=-1)
    for word in ("king", "bread", "seven", "quickly"):
        cosines = words @ words[tokenizer.token_to_id(word)]
        print(f"{word}:", ", ".join(tokenizer.id_to_token(i) for i in cosines.topk(7).indices.tolist()[1:]))

# %% [markdown]
# ## A name for every tensor
#
# ### Exercise 9.2 · Rename (about 12 min)
#
# | BERT's | ours |
# |---|---|
# | `embeddings.word_embeddings` | `embeddings.word` |
# | `embeddings.position_embeddings` | `embeddings.position` |
# | `embeddings.token_type_embeddings` | `embeddings.token_type` |
# | `embeddings.LayerNorm` | `embeddings.norm` |
# | `encoder.layer.3.` | `encoder.blocks.3.` |
# | `attention.self.query`, `.key`, `.value` | `attention.query`, `.key`, `.value` |
# | `attention.output.dense`, `attention.output.LayerNorm` | `attention.output`, `attention_norm` |
# | `intermediate.dense` | `feed_forward.up` |
# | `output.dense`, `output.LayerNorm` | `feed_forward.down`, `feed_forward_norm` |
#
# `.weight` and `.bias` stay. For tensors that we don't need, `pooler. ...` and `embeddings.position_ids`, return None.
#
# <details><summary>Hint 1</summary>A list of pairs and <code>name.replace(theirs, ours)</code> is all it takes.</details>
# <details><summary>Hint 2</summary>One name is part of another: <code>output.dense</code> ends <code>attention.output.dense</code> too. Which pair must come first?</details>

# %% exercise="rename"
def rename(name):
    """Our name for one of BERT's tensors; None if we don't need it.  str -> str or None"""
    ### BEGIN SOLUTION
    if name.startswith("pooler.") or name == "embeddings.position_ids":
        return None
    for theirs, mine in (
        ("word_embeddings", "word"),
        ("position_embeddings", "position"),
        ("token_type_embeddings", "token_type"),
        ("embeddings.LayerNorm", "embeddings.norm"),
        ("encoder.layer.", "encoder.blocks."),
        ("attention.self.", "attention."),
        ("attention.output.dense", "attention.output"),  # before the other output.dense, which is part of its name
        ("attention.output.LayerNorm", "attention_norm"),
        ("intermediate.dense", "feed_forward.up"),
        ("output.dense", "feed_forward.down"),
        ("output.LayerNorm", "feed_forward_norm"),
    ):
        name = name.replace(theirs, mine)
    return name
    ### END SOLUTION


# %% check="rename"
checks.rename(rename)

# %% [markdown]
# ### Exercise 9.3 · BERT (about 12 min)
#
# `embeddings`, from 9.1, then `encoder`, from lesson 05: an `Encoder` of `layers` blocks
# `EncoderBlock(attention, feed_forward, d_model, pre_norm=False)`, with `MultiHeadAttention(d_model, heads)` and
# `FeedForward(d_model, d_hidden)` in each. Post-norm, so no last norm. Every norm needs $\epsilon = 10^{-12}$; those of
# the blocks are made with PyTorch's 10⁻⁵, so change their `eps` afterwards.
#
# Shapes: (B, T), (B, T), True where a token is padding → (B, T, D).
#
# <details><summary>Hint 1</summary>New parts for each block: build them inside a loop over <code>range(layers)</code>.</details>
# <details><summary>Hint 2</summary><code>self.modules()</code> goes through all parts, at any depth; <code>isinstance(part, nn.LayerNorm)</code> finds the norms.</details>

# %% exercise="Bert"
class Bert(nn.Module):
    """Embeddings and an encoder of post-norm blocks.  (B, T), (B, T) -> (B, T, D)"""

    def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens):
        super().__init__()
        ### BEGIN SOLUTION
        self.embeddings = BertEmbeddings(vocab_size, d_model, max_tokens)
        blocks = []
        for _ in range(layers):
            attention, feed_forward = MultiHeadAttention(d_model, heads), FeedForward(d_model, d_hidden)
            blocks.append(EncoderBlock(attention, feed_forward, d_model, pre_norm=False))
        self.encoder = Encoder(blocks)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-12
        ### END SOLUTION

    def forward(self, tokens, key_padding_mask=None):
        ### BEGIN SOLUTION
        return self.encoder(self.embeddings(tokens), key_padding_mask)
        ### END SOLUTION


# %% check="Bert"
checks.Bert(Bert)

# %% [markdown]
# Now load all of it. `load_state_dict` is strict: it refuses if a single tensor is missing, left over, or of another
# shape. The sizes come with the weights.

# %%
def load_bert(config, tensors):
    """A Bert of the sizes in `config` with the weights in `tensors`, both named as in a published BERT."""
    sizes = "vocab_size hidden_size num_attention_heads num_hidden_layers intermediate_size max_position_embeddings"
    model = Bert(*(config[size] for size in sizes.split()))
    model.load_state_dict({rename(name): tensor for name, tensor in tensors.items() if rename(name)})
    return model.eval()


@functools.cache
def loaded(*parts):
    return load_bert(pretrained.config, pretrained.tensors)


def real_bert():
    """Your BERT with the real weights, loaded once, and once more when you have changed one of these."""
    return loaded(Bert, BertEmbeddings, rename)


with once_done("BertEmbeddings, rename and Bert"):
    print(f"{sum(p.numel() for p in real_bert().parameters()):,} numbers have found their place")

# %% [markdown]
# ## Layer by layer
#
# That all fits says little: with a wrong eps it fits as well. What counts are the numbers that come out. The course
# keeps what Hugging Face's `transformers` computes for two sentences, after the embeddings and after every block: the
# first 16 columns of each vector. Every block mixes all columns, so a mistake in another column shows a block later. Only
# in the last one's norm it would stay hidden. This is how to get yours:

# %%
sentences, theirs = reference_activations()
print(*sentences, sep="\n")


@torch.no_grad()
def activations(model, columns=16):
    """What stands after the embeddings and after each block.  -> name: (B, T, columns)"""
    tokens = encode_rows(tokenizer, sentences, 512)
    stages = {"embeddings": model.embeddings(tokens)}
    for i, block in enumerate(model.encoder.blocks):
        stages[f"block {i}"] = block(list(stages.values())[-1], tokens == PAD)
    stages[f"block {i}"] = model(tokens, tokens == PAD)  # the last one by your Bert's own forward
    return {name: x[..., :columns] for name, x in stages.items()}

# %% [markdown]
# ### Exercise 9.4 · The first difference (about 10 min)
#
# A mistake in one layer spoils all that come after it, so only the *first* layer that differs tells where to look.
# `mine` and `theirs` are dictionaries, name → tensor, in the order of the layers. Return the first name whose largest
# absolute difference is more than `tolerance`, and that difference: `name, difference`. Return None if there is none.
# NaN counts as a difference.
#
# <details><summary>Hint 1</summary><code>.abs().max().item()</code> of a difference is one number.</details>
# <details><summary>Hint 2</summary>Every comparison with NaN is False, <code>nan &gt; tolerance</code> too. But <code>not nan &lt;= tolerance</code> is True.</details>

# %% exercise="first_difference"
def first_difference(mine, theirs, tolerance=1e-5):
    """The first layer that differs, and by how much at most; None if none does.  -> (name, number) or None"""
    ### BEGIN SOLUTION
    for name in theirs:
        difference = (mine[name] - theirs[name]).abs().max().item()
        if not difference <= tolerance:  # this way round, NaN is a difference too
            return name, difference
    return None
    ### END SOLUTION


# %% check="first_difference"
checks.first_difference(first_difference)

# %% [markdown]
# Where does yours differ? And what have you been spared? Make one mistake at a time in a copy, and look at each layer.

# %%
def rebuild(part, *arguments):
    """Make a part anew, from other arguments, and put its old layers back into it, with their weights."""
    layers = dict(part.named_children())
    part.__init__(*arguments)
    for name, layer in layers.items():
        setattr(part, name, layer)


def with_mistake(kind, change):
    """A copy of your BERT in which every part of a kind, the name of a class, is changed."""
    model = copy.deepcopy(real_bert())
    for part in list(model.modules()):
        if type(part).__name__ == kind:
            change(part)
    return model


def old_eps(block):
    block.attention_norm.eps = block.feed_forward_norm.eps = 1e-5

# %%
mistakes = {
    "no token type": ("BertEmbeddings", lambda part: part.token_type.weight.data.zero_()),
    "eps 1e-5": ("LayerNorm", lambda norm: setattr(norm, "eps", 1e-5)),
    "eps, in blocks": ("EncoderBlock", old_eps),
    "pre-norm": ("EncoderBlock", lambda block: rebuild(block, block.attention, block.feed_forward, 384, True)),
    "6 heads, not 12": ("MultiHeadAttention", lambda attention: rebuild(attention, 384, 6)),
    "GELU with tanh": ("EncoderBlock", lambda block: setattr(block, "feed_forward", nn.Sequential(
        block.feed_forward.up, nn.GELU("tanh"), block.feed_forward.down)))}  # fmt: skip

with once_done("BertEmbeddings, rename, Bert and first_difference"):
    print("first difference from transformers:", first_difference(activations(real_bert()), theirs))
    curves = {label: activations(with_mistake(*mistake)) for label, mistake in mistakes.items()}
    for label, stages in curves.items():
        name, difference = first_difference(stages, theirs) or ("no difference", 0)
        print(f"{label + ':':16} {name}, {difference:.5f}")
    pictures.fingerprints({"yours": activations(real_bert()), **curves}, theirs, tolerance=1e-5)

# %% [markdown]
# Yours is the same model, to five decimals. Each mistake has a fingerprint. Embeddings off by much: a vector is missing.
# Off by a thousandth everywhere: the eps of the embeddings' norm. Right embeddings and a wild block 0: the wiring
# (pre-norm, heads). A block 0 that is nearly right: the activation, or an eps forgotten in the blocks. That one is hard
# to see: a tolerance of 0.0001 would miss it.
#
# Would you have noticed the small ones, eps and tanh, in what the model *does*? An answer follows below.

# %% [markdown]
# ## Sentences as vectors
#
# ### Exercise 9.5 · Mean pooling (about 8 min)
#
# One vector for a whole text: the mean of what comes out for its tokens (Reimers and Gurevych 2019, section 3).
# Padding, True in the mask, must not count, or a text's vector would depend on its neighbours in the batch. A row of
# nothing but padding gives 0. Shapes: (B, T, D), (B, T) → (B, D).
#
# <details><summary>Hint 1</summary>Multiply by <code>~key_padding_mask</code>, with a third axis, before you add up.</details>
# <details><summary>Hint 2</summary>Divide by the number of real tokens in the row; <code>.clamp(min=1)</code> keeps it from being 0.</details>

# %% exercise="mean_pooling"
def mean_pooling(x, key_padding_mask):
    """One vector for each text: the mean of its tokens, without padding.  (B, T, D), (B, T) -> (B, D)"""
    ### BEGIN SOLUTION
    real = ~key_padding_mask[:, :, None]  # B, T, 1
    return (x * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)
    ### END SOLUTION


# %% check="mean_pooling"
checks.mean_pooling(mean_pooling)

# %%
@torch.no_grad()
def sentence_vectors(model, texts, batch=32):
    """A vector for each text.  list of N str -> (N, D)"""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # like lengths together spare padding
    vectors = torch.zeros(len(texts), pretrained.config["hidden_size"])
    for start in range(0, len(texts), batch):
        rows = order[start : start + batch]
        tokens = encode_rows(tokenizer, [texts[i] for i in rows], 512)
        vectors[rows] = mean_pooling(model(tokens, tokens == PAD), tokens == PAD)
    return vectors

# %%
texts = ["A man is playing a guitar.", "Someone makes music.", "The stock market fell today.", "Shares lost value.",
         "The river has a muddy bank.", "The bank lends money.", "I like music.", "I do not like music."]  # fmt: skip


def all_cosines(model):
    """The cosines of all pairs of these texts."""
    directions = F.normalize(sentence_vectors(model, texts), dim=-1)
    return directions @ directions.T


with once_done("BertEmbeddings, rename, Bert and mean_pooling"):
    pictures.similarities(texts, all_cosines(real_bert()))
    for label, mistake in mistakes.items():
        moved = (all_cosines(with_mistake(*mistake)) - all_cosines(real_bert())).abs().max().item()
        print(f"{label + ':':16} a cosine moves by more than 0.01: {moved > 0.01}")

# %% [markdown]
# Sentences 1 and 2 share no word, nor do 3 and 4; still their cosines are above 0.5. The two banks share “bank” and “the”,
# worth 0.3 or so. But 7 and 8, liking music and not liking it, are closest of all: they have the same *subject*, and that
# is what the model was trained to see. The lines below are the same with mistakes inside: nobody would ever notice
# a wrong eps, or a GELU with tanh. That is why one compares layers.
#
# ### A map
#
# Short sentences about three subjects. The two directions in which their vectors differ most (principal components) make
# a flat map of 384 dimensions. Beside it stands the same BERT before any training.

# %%
subjects = {
    "cooking": "Stir the soup. Bake it for an hour. Chop two onions. Add more salt. Fry an egg. Dinner is ready.",
    "weather": "It will rain. A storm is coming. Clear skies ahead. Snow fell all night. What a foggy day. I am freezing.",
    "music": "She plays violin. They sang well. I love this tune. He tuned his piano. Listen to that beat. An opera opens.",
}
phrases = " ".join(subjects.values()).replace(". ", ".|").split("|")
labels = [subject for subject, group in subjects.items() for _ in range(group.count("."))]


def flat(vectors):
    """The two directions of the largest spread.  (N, D) -> (N, 2)"""
    centred = vectors - vectors.mean(dim=0)
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)  # directions by spread, the largest first
    return left[:, :2] * sizes[:2]


def untrained_bert():
    """The same BERT before any training."""
    return copy.deepcopy(real_bert()).apply(lambda part: hasattr(part, "reset_parameters") and part.reset_parameters())

# %%
with once_done("BertEmbeddings, rename, Bert and mean_pooling"):
    panels = {}
    for title, model in {"untrained": untrained_bert(), "pretrained": real_bert()}.items():
        vectors = sentence_vectors(model, phrases)
        panels[title] = flat(vectors)
        closest = (F.normalize(vectors, dim=-1) @ F.normalize(vectors, dim=-1).T).fill_diagonal_(-1).argmax(dim=-1)
        same = sum(labels[i] == labels[j] for i, j in enumerate(closest.tolist()))
        print(f"{title}: the closest sentence has the same subject in more than half of all cases:", same > 9)
    pictures.maps(panels, phrases, labels)

# %% [markdown]
# ## Search by meaning
#
# ### Exercise 9.6 · The most similar (about 6 min)
#
# The *cosine* of two vectors is their product after both are brought to length 1. Return the `count` largest cosines
# between the query and the vectors, best first, and their indices: `cosines, indices`. If there are fewer vectors,
# return all. Shapes: (D), (N, D) → (count), (count).
#
# <details><summary>Hint 1</summary><code>F.normalize(vectors, dim=-1)</code> brings each row to length 1. What product of (N, D) and (D) gives (N)?</details>
# <details><summary>Hint 2</summary><code>topk(k)</code> returns the largest values and their indices, best first. It fails if k is more than there are: <code>min</code>.</details>

# %% exercise="most_similar"
def most_similar(query, vectors, count):
    """The vectors with the largest cosine to the query, best first.  (D), (N, D) -> cosines, indices"""
    ### BEGIN SOLUTION
    cosines = F.normalize(vectors, dim=-1) @ F.normalize(query, dim=-1)  # N
    return cosines.topk(min(count, len(vectors)))
    ### END SOLUTION


# %% check="most_similar"
checks.most_similar(most_similar)

# %% [markdown]
# The corpus of lesson 07 has 31,102 verses. Encode some short ones, which takes a few seconds, and search. Without the
# limit on their length and with `[::1]` it would be all of them, in about a quarter of an hour. Look for the words of a
# query in what it finds: there are few, or none. Then search for what you like: type it, and press Enter.

# %% tags=["nbval-ignore-output"]
from unmasked.data import load_corpus

corpus = load_corpus()
verses = list(dict.fromkeys(text for text in corpus.texts if len(text) < 60))[::3]  # some occur twice


def find(query, library, count=4):
    """The verses closest to a query, best first: pairs of a cosine and a text.  library: their vectors (N, D)"""
    cosines, indices = most_similar(sentence_vectors(real_bert(), [query])[0], library, count)
    return [(cosine, verses[i]) for cosine, i in zip(cosines.tolist(), indices.tolist())]


with once_done("BertEmbeddings, rename, Bert, mean_pooling and most_similar"):
    library = sentence_vectors(real_bert(), verses)
    print(f"{len(library)} verses")
    queries = "Someone was crying.", "bad weather", "Be nice to each other."
    pictures.searches({query: find(query, library) for query in queries})
    widgets.search(lambda query: find(query, library), "They had dinner.")

# %% [markdown]
# ## Lesson 08's task
#
# Which group of books is a verse from? Draw 16 verses of each group, and train nothing: a group is the mean of their
# vectors, and a verse belongs to the group whose mean is closest. Three encoders are compared: yours with these weights;
# the same before any training; and lesson 08's language model, 55 times smaller, which has read this one book and
# nothing else. Which will be best?

# %%
import random

from unmasked.data.books import load_verses
from unmasked.data.language_model import load_language_model

labelled = load_verses()
short = [[text for text, label in labelled.train if label == group and len(text) < 90] for group in range(6)]
test_texts, answers = zip(*[pair for pair in labelled.test if len(pair[0]) < 90])
print(f"always the largest group: {max(answers.count(group) for group in range(6)) / len(answers):.2f}")


def by_closest_mean(vectors_of, test_vectors, seed, count=16):
    """The share of test verses whose group has the closest mean, with `count` labels a group."""
    vectors = vectors_of([text for texts in short for text in random.Random(seed).sample(texts, count)])
    centre = vectors.mean(dim=0)
    means = (vectors - centre).unflatten(0, (-1, count)).mean(dim=1)  # a row for each group
    cosines = F.normalize(test_vectors - centre, dim=-1) @ F.normalize(means, dim=-1).T
    return (cosines.argmax(dim=-1) == torch.tensor(answers)).float().mean().item()

# %% tags=["varies", "nbval-ignore-output"]
small = load_language_model()
encode_small = small.build().eval()


@torch.no_grad()
def small_vectors(texts):
    tokens = encode_rows(small.tokenizer, texts, 32)
    x = encode_small.encoder(encode_small.embeddings(tokens), tokens == PAD)
    return mean_pooling(x, tokens == PAD)


with once_done("BertEmbeddings, rename, Bert and mean_pooling"):
    encoders = {"Bert, pretrained": functools.partial(sentence_vectors, real_bert()),
                "Bert, untrained": functools.partial(sentence_vectors, untrained_bert()),
                "lesson 08's": small_vectors}  # fmt: skip
    for name, vectors_of in encoders.items():
        test_vectors = vectors_of(test_texts)
        shares = [by_closest_mean(vectors_of, test_vectors, seed) for seed in range(3)]
        print(f"{name:18}", ", ".join(f"{share:.2f}" for share in shares))

# %% [markdown]
# Beside saying always the largest group, an untrained BERT is about as good, a pretrained one a little better: 16
# verses a group tell it little of a book that it never read. The small model has read nothing but this book, and
# beats both. What a model has read can count for more than its size.
#
# ## What pretraining is worth
#
# Can this BERT fill in blanks? It was published without a head. Take lesson 07's text and masks, cut into this model's
# tokens, and compare what comes out of the encoder with the word embeddings straight away. A loss per token depends
# on the vocabulary: compare it with its own landmarks, and not with lesson 07's.

# %%
# The parts that lesson 07 gave:
import math
import os

from tqdm.auto import tqdm

from nanobert.evaluation import evaluate
from nanobert.masked_lm import MaskedLM, MaskedLMHead, masked_lm_loss
from nanobert.masking import choose_positions, mask_tokens
from nanobert.schedule import learning_rate
from nanobert.tokenizer import IGNORE, SPECIAL_TOKENS, pack_rows
from nanobert.unigram import start_at_unigram, token_shares, unigram_loss

TEST = os.environ.get("UNMASKED_BUDGET") == "test"
special = [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS]  # [MASK] is the last
vocab_size, width = pretrained.tensors["embeddings.word_embeddings.weight"].shape
train, held_out = (pack_rows(tokenizer, texts, 32) for texts in (corpus.train, corpus.held_out))
frequencies = token_shares(train, special, vocab_size)

# %% tags=["varies"]
def hide(tokens, rate, generator):
    """Lesson 07's masking, with the special tokens of this vocabulary.  (B, T) -> inputs (B, T), labels (B, T)"""
    chosen = choose_positions(tokens, special, rate, generator)
    return mask_tokens(tokens, chosen, special[-1], special, vocab_size, generator)


measured = hide(held_out[:: 80 if TEST else 8], 0.15, torch.Generator().manual_seed(0))
levels = {"all tokens alike, ln V": math.log(vocab_size), "unigram": unigram_loss(frequencies, measured[1])}
print(", ".join(f"{name}: {level:.2f}" for name, level in levels.items()))
with once_done("BertEmbeddings, rename and Bert"):
    no_head = nn.Linear(width, vocab_size, bias=False)
    no_head.weight = real_bert().embeddings.word.weight
    headless = MaskedLM(real_bert().embeddings, real_bert().encoder, no_head)
    print(f"no head: {evaluate(headless, *measured).loss:.2f}")

# %% [markdown]
# Worse than knowing nothing. So give it BERT's head, from lesson 07, and train. The embeddings stay *frozen*, in the
# decoder too; the head is new, and the blocks learn at a tenth of its rate.
#
# Twice: once from the real blocks, once from the same blocks before any training. All else is alike: embeddings, masks,
# head, steps. What lies between the two curves is what the blocks brought along. It takes about three minutes.

# %%
def with_head(bert):
    """A masked language model: a Bert, its embeddings frozen, and a new head that compares with its word vectors."""
    head = MaskedLMHead(bert.embeddings.word.embedding_dim, bert.embeddings.word)
    head.norm.eps = 1e-12
    bert.embeddings.requires_grad_(False)
    return MaskedLM(bert.embeddings, bert.encoder, head)


def train_on(rows, model, optimizer, generator):
    """One step on 32 random rows, their masks drawn anew."""
    tokens, answers = hide(rows[torch.randint(len(rows), (32,), generator=generator)], 0.3, generator)
    positions = (answers.flatten() != IGNORE).nonzero().squeeze(1)
    optimizer.zero_grad()
    masked_lm_loss(model(tokens, positions=positions), answers.flatten()[positions]).backward()
    optimizer.step()


# %%
STEPS = 4 if TEST else 60


def train_head(model):
    """Train by lesson 07's schedule.  -> the held-out losses, step: loss"""
    start_at_unigram(model.head, frequencies)
    groups = [{"params": part.parameters(), "lr": rate} for part, rate in ((model.head, 3e-3), (model.encoder, 3e-4))]
    optimizer, generator = torch.optim.AdamW(groups), torch.Generator().manual_seed(0)
    rising = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, STEPS, 1, STEPS // 10))
    losses = {0: evaluate(model, *measured).loss}
    for step in tqdm(range(1, STEPS + 1), unit="step"):
        train_on(train, model, optimizer, generator)
        rising.step()
        if step % (STEPS // 4) == 0:
            losses[step] = evaluate(model, *measured).loss
    return losses


# %% tags=["varies"]
trained = {}
if widgets.ready(checks, BertEmbeddings, rename, Bert):
    torch.manual_seed(0)
    torch.set_num_threads(min(4, os.cpu_count()))
    models = {name: with_head(copy.deepcopy(real_bert())) for name in ("real blocks", "untrained blocks")}
    models["untrained blocks"].encoder.load_state_dict(untrained_bert().encoder.state_dict())
    losses = {name: train_head(model) for name, model in models.items()}
    torch.set_num_threads(1)
    pictures.learning_to_fill(losses, levels)
    trained = models

# %% tags=["varies"]
is_word = torch.tensor([tokenizer.id_to_token(i)[0].isalpha() for i in range(vocab_size)])  # no comma, no ##ing


@torch.no_grad()
def best_words(model, text):
    """The three words with the highest scores for the ___ of a text."""
    tokens = torch.tensor([tokenizer.encode(text.replace("___", "[MASK]")).ids])
    scores = model.eval()(tokens)[tokens == special[-1]].masked_fill(~is_word, -torch.inf)
    return [tokenizer.id_to_token(token) for token in scores.topk(3).indices[0].tolist()]


if trained:
    blanks = ["He came out of the land of ___.", "The king ___ to the city.", "They drank ___ and were merry.",
              "The capital of France is ___.", "One, two, three, four, ___, six.", "I drove my ___ home."]  # fmt: skip
    columns = {"no head": headless, **trained}
    pictures.filled({text: {name: best_words(model, text) for name, model in columns.items()} for text in blanks})

# %% [markdown]
# Both start above the unigram line: a new head's scores are noise. The untrained blocks end near it, and every blank gets
# what is frequent. The real ones are a whole nat below after the same steps, though made for another task: that
# is what pretraining is worth. Only words are shown; of all tokens, a comma is often first.
#
# How far does the head get alone? Add `models["real blocks"].encoder.requires_grad_(False)` before training.
#
# ## Seventy-two heads
#
# Lesson 03 watched four small heads divide their work. Here are 6 × 12, trained on real text. Run a sentence up to a
# block, and ask its attention for weights:

# %%
@torch.no_grad()
def all_weights(model, text):
    """The attention of every head of every block.  -> list of T tokens, (L, H, T, T)"""
    encoding, weights = tokenizer.encode(text), []
    x = model.embeddings(torch.tensor([encoding.ids]))
    for block in model.encoder.blocks:
        attention = block.attention
        query, key = (split_heads(part(x), 12) for part in (attention.query, attention.key))
        weights.append(masked_attention_weights(query, key)[0])  # H, T, T
        x = block(x)
    return encoding.tokens, torch.stack(weights)

# %%
with once_done("BertEmbeddings, rename and Bert"):
    shares = {"the token before": 0, "the token after": 0, "[CLS]": 0}
    for verse in verses[::20]:
        tokens, weights = all_weights(real_bert(), verse)
        inner = weights[:, :, 1:-1]  # from all tokens but [CLS] and [SEP]
        shares["the token before"] += inner.diagonal(0, 2, 3).mean(-1) / len(verses[::20])
        shares["the token after"] += inner.diagonal(2, 2, 3).mean(-1) / len(verses[::20])
        shares["[CLS]"] += inner[..., 0].mean(-1) / len(verses[::20])
    pictures.roles(shares)

# %% [markdown]
# In block 0, head 2 looks at the token before, always: nobody asked for it. In the middle blocks many heads look mostly
# at `[CLS]`, which is no word. Clark et al. 2019 (section 3.2) saw the same in BERT-base with `[SEP]`, and take it
# for a head's way of doing nothing: a softmax must look somewhere.
#
# Now follow one sentence through all heads. To what does “it” refer?

# %% tags=["nbval-ignore-output"]
with once_done("BertEmbeddings, rename and Bert"):
    tokens, weights = all_weights(real_bert(), "The cat drank the milk because it was thirsty.")
    widgets.attention_explorer(tokens, weights, block=5, head=11, word="it")
    tokens, weights = all_weights(real_bert(), "The cat drank the milk because it was fresh.")
    from_it = dict(zip(tokens, weights[5, 11, tokens.index("it")].tolist()))
    print(f"If it was fresh: cat {from_it['cat']:.2f}, milk {from_it['milk']:.2f}")

# %% [markdown]
# One head that goes from “it” to “cat” in one sentence proves nothing: there are 72 to choose from. With “fresh” in the
# place of “thirsty” it is the milk, and this head still looks at the cat. To claim more, one would have to count over many
# sentences; above there were 30, and short ones.
#
# ## Explain it
#
# Three questions to answer in your own words; then compare with the folded answer.

# %% [markdown] explain="why_layer_by_layer"
# **1.** All tensors fit, and the search works well. Why is that no proof that the model is right, and why look for the
# *first* layer that differs?
# ### BEGIN SOLUTION
# Shapes know nothing of an eps, an activation, the number of heads or the place of a norm, and a model that is off by a
# thousandth still finds nearly the same sentences. Every layer takes what the one before it returns, so all that come
# after a mistake differ too, often by more. The first difference stands where the mistake is.
# ### END SOLUTION

# %% [markdown] explain="why_mask_in_the_mean"
# **2.** You forget the mask in the mean, but attention has it. When do you notice? What would the vector of a short
# sentence depend on?
# ### BEGIN SOLUTION
# Not while sentences are encoded one by one: then there is no padding. In a batch, positions of padding have vectors
# too, which are no zeros, and a mean over all of them mixes them in: the more, the longer the longest sentence of the
# batch. The same sentence gets other vectors in other company.
# ### END SOLUTION

# %% [markdown] explain="why_not_is_close"
# **3.** Why does the model find “I like music” and “I do not like music” similar? For which uses is that right, and for
# which is it not?
# ### BEGIN SOLUTION
# It was trained on pairs of sentences that belong together. For belonging together the subject counts, and "not" hardly
# changes it: "do not" are two tokens of eight in the mean. For a search that is right: who looks for opinions about music wants
# both. For telling praise from complaint the model has to be trained on just that.
# ### END SOLUTION

# %% [markdown]
# ## What you have built
#
# A BERT that takes the weights of a real one and computes what it computes, a way to find out where two models part, a
# search by meaning, and a head that fills in blanks again. Dropout and the pooler aside, `BertModel` in `transformers`
# has nothing inside that you have not written.
