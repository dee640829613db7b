# %% [markdown]
# # Fine-tuning
#
# Pretraining was long and needed no labels. Now comes what it was for: a new task, a few labels, some seconds of
# training. One model is trained once, and used for everything (Devlin et al. 2019).
#
# **At the end you will have built** three heads for one encoder: it says which books a verse is from, finds the slots
# of a command, and answers a question by pointing at words. You will have measured when pretraining pays, and when it
# doesn't. It takes about 110 minutes, of which training takes four: each cell that trains takes between five seconds
# and a minute on an idle machine, on a busy one a few times as long.

# %%
import os
import random

import torch
import torch.nn.functional as F
from torch import nn
from tqdm.auto import tqdm

from nanobert.schedule import learning_rate  # lesson 07
from nanobert.tagging import TokenClassifier, align_labels, spans_of, split_tokens  # lesson 06
from nanobert.tokenizer import IGNORE, PAD, SPECIAL_IDS, encode_rows  # lessons 01 and 07
from unmasked.checks import fine_tuning as checks
from unmasked.feedback import once_done
from unmasked.figures import fine_tuning as pictures
from unmasked.widgets import fine_tuning as widgets

torch.set_num_threads(1)  # the model is small: a second thread would mostly wait for the first

# %% [markdown]
# Letters for sizes: `B` texts in a batch, `T` tokens, `D` the width of the model, `C` classes.
#
# ## The model
#
# If you have pretrained one in lesson 07 by its `cpu` recipe, to a loss below 4.5, its checkpoint lies beside this
# notebook, and you will work with it. Otherwise the course's own is taken; what is printed below says which, and why.
# The vocabulary is that of lesson 07: pieces of words from one book.

# %%
from unmasked.data.language_model import load_language_model

language_model = load_language_model()
tokenizer, width = language_model.tokenizer, language_model.recipe.d_model
print(f"{sum(tensor.numel() for tensor in language_model.build().parameters()):,} numbers, learned without any label")
print(tokenizer.encode("Set the bedroom lamp to 40%.").tokens)

# %% [markdown]
# ## The task
#
# Which group of books is a verse from: the law, the histories, the poetry, the prophets, the gospels (with Acts), or
# the letters (with Revelation)? The labels come with the corpus; we pretend that somebody has to write each of them.
#
# We test on *held-out* verses, which the model didn't see in pretraining either. Some of them nearly repeat a
# training verse: the same story told twice, a refrain. A verse is left out of the test if half of its runs of four
# words stand in one training verse. Here each verse is a row of its own, cut to its first 32 tokens; in lesson 07 they
# stood end to end.

# %%
from unmasked.data.books import load_verses

verses = load_verses()
print(f"{len(verses.train):,} verses to learn from; {len(verses.test):,} to be tested on, {verses.left_out} left out\n")
for number, group in enumerate(verses.groups):
    text = next(text for text, label in verses.train if label == number and 60 < len(text) < 75)
    print(f"{group:18}{sum(label == number for _, label in verses.test):4} to be tested on   {text}")

# %% [markdown]
# ### Exercise 8.1 · A classifier (about 8 min)
#
# The encoder makes a vector for each token; a text needs one. `pool(x, key_padding_mask)` makes it, (B, T, D) → (B,
# D). Then `output`, one linear layer, with a score for each class. `embeddings`, `encoder` and `pool` are passed in;
# the encoder and `pool` take the mask, True where a token is padding.
#
# Shapes: (B, T), (B, T) → (B, C).
#
# <details><summary>Hint 1</summary>It is lesson 06's <code>TokenClassifier</code> with one step more.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>Keep all parts as attributes, and make <code>nn.Linear(d_model, classes)</code>. In <code>forward</code>: encoder of embeddings, with the mask; <code>self.pool</code> of that, with the mask; output.</details>

# %% exercise="TextClassifier"
class TextClassifier(nn.Module):
    """A score for every class, for a whole text.  (B, T), (B, T) -> (B, C)"""

    def __init__(self, embeddings, encoder, pool, d_model, classes):
        super().__init__()
        ### BEGIN SOLUTION
        self.embeddings, self.encoder, self.pool = embeddings, encoder, pool
        self.output = nn.Linear(d_model, classes)
        ### END SOLUTION

    def forward(self, tokens, key_padding_mask=None):
        ### BEGIN SOLUTION
        vectors = self.encoder(self.embeddings(tokens), key_padding_mask)  # B, T, D
        return self.output(self.pool(vectors, key_padding_mask))
        ### END SOLUTION


# %% check="TextClassifier"
checks.TextClassifier(TextClassifier)

# %% [markdown]
# Which vector stands for a text? BERT takes that of `[CLS]`, the token that frames every text, for just this purpose:
# its pretraining asked `[CLS]` whether two texts belong together. Ours did not: nothing was ever asked at `[CLS]`, so
# its vector was trained for nothing in particular. The mean of all tokens (lesson 00's masked mean) doesn't depend on
# that.

# %%
def first_token(x, key_padding_mask=None):
    """The vector of [CLS].  (B, T, D), (B, T) -> (B, D)"""
    return x[:, 0]


def mean_of_tokens(x, key_padding_mask=None):
    """The mean over all tokens but padding.  (B, T, D), (B, T) -> (B, D)"""
    real = torch.ones(x.shape[:2]) if key_padding_mask is None else (~key_padding_mask).float()
    return (x * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)


def new_classifier(pool=mean_of_tokens, pretrained=True, seed=0):
    """A classifier on the pretrained encoder, or on one that has learned nothing; lesson 07's head stays behind."""
    model = language_model.build(seed, pretrained)
    return TextClassifier(model.embeddings, model.encoder, pool, width, len(verses.groups))


# %% [markdown]
# *Few labels* means: as many verses of each group, drawn at random. Which ones is luck, so everything below is
# measured with several draws, each with a seed of its own.
#
# One loop serves all tasks. It is lesson 06's, with lesson 07's schedule: the rates warm up and fall to 0. `groups`
# tells the optimizer what learns, and how fast.

# %%
def as_rows(pairs):
    """Texts with labels, as numbers.  -> tokens (N, T), labels (N)"""
    texts, labels = zip(*pairs)
    return encode_rows(tokenizer, texts, language_model.recipe.max_tokens), torch.tensor(labels)


def few(count, seed):
    """As many verses of each group, drawn by a seed.  -> tokens (N, T), labels (N)"""
    generator, chosen = random.Random(seed), []
    for group in range(len(verses.groups)):
        chosen += generator.sample([pair for pair in verses.train if pair[1] == group], count)
    return as_rows(chosen)


TEST = os.environ.get("UNMASKED_BUDGET") == "test"
test_rows = as_rows(verses.test[:: 10 if TEST else 1])
print("2 of each group:", [verses.groups[label] for label in few(2, seed=0)[1]])

# %%
STEPS, SEEDS = (4, range(2)) if TEST else (60, range(3))


def fine_tune(model, groups, loss_of, examples, steps=STEPS, size=16, seed=0, bar=False):
    """Improve a model with random batches of the examples; `loss_of(model, *batch)` is the loss of one."""
    optimizer, generator = torch.optim.AdamW(groups), torch.Generator().manual_seed(seed)
    peaks = [group["lr"] for group in optimizer.param_groups]
    model.train(True)
    for step in tqdm(range(steps), unit="step", disable=not bar):
        chosen = torch.randint(len(examples[0]), (size,), generator=generator)
        for group, peak in zip(optimizer.param_groups, peaks):
            group["lr"] = learning_rate(step, steps, peak, steps // 10)
        optimizer.zero_grad()
        loss_of(model, *(part[chosen] for part in examples)).backward()
        optimizer.step()
    return model.eval()


# %%
def text_loss(model, tokens, labels):
    return F.cross_entropy(model(tokens, tokens == PAD), labels)


@torch.no_grad()
def accuracy(model):
    """The share of test verses whose group is found."""
    guesses = torch.cat([model(part, part == PAD).argmax(-1) for part in test_rows[0].split(256)])
    return (guesses == test_rows[1]).float().mean().item()


def one_rate(model, rate):
    """All parameters that learn in one group."""
    return [{"params": [value for value in model.parameters() if value.requires_grad], "lr": rate}]


# %% [markdown]
# Two baselines need no network. *The largest group* for all: whoever is below that has learned nothing. And *counting
# words*, naive Bayes: how often does each group use each piece of a word?

# %% tags=["varies"]
def bags(tokens):
    """How often each piece occurs in each text, special tokens aside.  (N, T) -> (N, V)"""
    ones = torch.ones(tokens.shape)
    counts = torch.zeros(len(tokens), language_model.recipe.vocab_size).scatter_add(1, tokens, ones)
    return counts.index_fill(1, torch.tensor(SPECIAL_IDS), 0.0)


def counting_words(tokens, labels):
    """The accuracy of naive Bayes on the test verses."""
    counts = torch.stack([bags(tokens[labels == group]).sum(0) for group in range(len(verses.groups))]) + 0.5
    scores = bags(test_rows[0]) @ (counts / counts.sum(1, keepdim=True)).log().T
    return (scores.argmax(-1) == test_rows[1]).float().mean().item()


largest = (torch.bincount(test_rows[1]).max() / len(test_rows[1])).item()
print(f"the largest group for all: {largest:.2f}")
print("counting words, 16 labels a group:", ", ".join(f"{counting_words(*few(16, seed)):.2f}" for seed in SEEDS))

# %% tags=["varies"]
if ready := widgets.ready(checks, TextClassifier):
    for pretrained, pool in ((False, mean_of_tokens), (True, mean_of_tokens), (True, first_token)):
        found = []
        for seed in SEEDS:
            model = new_classifier(pool, pretrained, seed)
            fine_tune(model, one_rate(model, 1e-3), text_loss, few(16, seed), seed=seed)
            found.append(f"{accuracy(model):.2f}")
        print("pretrained  " if pretrained else "from scratch", f"{pool.__name__:15}", ", ".join(found))

# %% [markdown]
# From scratch, 96 labels are too few to beat counting. The pretrained encoder beats it. And the mean is better than
# `[CLS]`, which has to learn from these few labels what it is for.

# %% [markdown]
# ## What may change
#
# Fine-tuning may change all of the model, or only what is new: a *frozen* encoder is quick to train on.
#
# ### Exercise 8.2 · Freeze (about 20 min)
#
# Wrap a module. Its parameters get no gradient, but gradients go *through* it. It is in evaluation mode (dropout off,
# batch norm's averages fixed) and stays so even if `train()` of the whole model is called; `train` returns the module.
#
# <details><summary>Hint 1</summary><code>requires_grad_(False)</code> of a module is for all its parameters. <code>torch.no_grad()</code> would cut the path for gradients, too.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>In <code>__init__</code>: <code>requires_grad_(False)</code> and <code>eval()</code>. A model's <code>train()</code> calls each part's: return <code>super().train(False)</code>. Hand on all <code>*inputs</code>.</details>

# %% exercise="Frozen"
class Frozen(nn.Module):
    """A module that computes as in evaluation, and never learns."""

    def __init__(self, module):
        super().__init__()
        ### BEGIN SOLUTION
        self.module = module
        self.module.requires_grad_(False)
        self.module.eval()
        ### END SOLUTION

    def train(self, mode=True):
        ### BEGIN SOLUTION
        return super().train(False)
        ### END SOLUTION

    def forward(self, *inputs):
        ### BEGIN SOLUTION
        return self.module(*inputs)
        ### END SOLUTION


# %% check="Frozen"
checks.Frozen(Frozen)

# %%
def freeze(model):
    """The same model, of which only the output learns."""
    model.embeddings, model.encoder = Frozen(model.embeddings), Frozen(model.encoder)
    return model


with once_done("Frozen, after TextClassifier"):
    model = freeze(new_classifier())
    learning = sum(value.numel() for value in model.parameters() if value.requires_grad)
    print(f"{learning:,} of {sum(value.numel() for value in model.parameters()):,} numbers learn")

# %% [markdown]
# Between all and nothing: the further down, the slower (Howard and Ruder 2018, section 3.2).
#
# ### Exercise 8.3 · Rates by layer (about 15 min)
#
# `output` gets `rate`; the last block and `encoder.norm` get `rate * decay`; the block before it `rate * decay**2`,
# and so on; `embeddings` come below the first block. Return a list of dictionaries for an optimizer, `{"params":
# [parameters], "lr": number}`, with each parameter in one of them.
#
# <details><summary>Hint 1</summary><code>reversed(model.encoder.blocks)</code> goes from the last to the first. Count the depth with <code>enumerate</code>.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>A list of lists of parameters, from the top down: output, blocks reversed (the norm's added to the last block's), embeddings. Each at <code>rate * decay**depth</code>.</details>

# %% exercise="layer_rates"
def layer_rates(model, rate, decay):
    """Parameters and learning rates for an optimizer, `decay` times as much at each layer further down."""
    ### BEGIN SOLUTION
    blocks = [list(block.parameters()) for block in model.encoder.blocks]
    blocks[-1] += model.encoder.norm.parameters()
    layers = [list(model.output.parameters()), *reversed(blocks), list(model.embeddings.parameters())]
    return [{"params": layer, "lr": rate * decay**depth} for depth, layer in enumerate(layers)]
    ### END SOLUTION


# %% check="layer_rates"
checks.layer_rates(layer_rates)

# %% tags=["varies"]
if ready := widgets.ready(checks, TextClassifier, layer_rates):
    found = {"one rate for all": {}, "slower further down": {}}
    for rate in tqdm((1e-3, 6e-3, 3e-2), unit="rate"):
        for by_rate, decay in zip(found.values(), (1.0, 0.3)):
            by_rate[rate] = []
            for seed in SEEDS:
                model = new_classifier(seed=seed)
                fine_tune(model, layer_rates(model, rate, decay), text_loss, few(16, seed), seed=seed)
                by_rate[rate].append(accuracy(model))
    pictures.curves({"16 labels a group": found}, "learning rate of the output", "accuracy", {"largest group": largest})

# %% [markdown]
# Three learning rates, each once for all layers, and once with a decay of 0.3. A high rate for all destroys much of
# what pretraining has built: *catastrophic forgetting*. Slower rates further down protect it; with a low rate they
# only lose time. The best of both are alike: this little model has a single block.
#
# ## How many labels?
#
# From 4 labels a group to 256, in three ways, and counting words; the bands are the spread over three draws. All get
# the same steps, twice as many from 64 labels on. Rates: 0.01, falling by layer; 0.01 where only the output learns;
# 0.001 from scratch. It takes about a minute.

# %%
def tuned(way, count, seed):
    """A classifier, trained on few labels in one of three ways."""
    model = new_classifier(pretrained=way != "from scratch", seed=seed)
    if way == "pretrained, frozen":
        groups = one_rate(freeze(model), 1e-2)
    else:
        groups = layer_rates(model, 1e-2, 0.3) if way == "pretrained" else one_rate(model, 1e-3)
    return fine_tune(model, groups, text_loss, few(count, seed), STEPS if count < 64 else 2 * STEPS, seed=seed)


# %% tags=["varies"]
COUNTS = (4, 16) if TEST else (4, 16, 64, 256)
if trained := widgets.ready(checks, TextClassifier, Frozen, layer_rates):
    found = {way: {count: [] for count in COUNTS}
             for way in ("pretrained", "pretrained, frozen", "from scratch", "counting words")}  # fmt: skip
    for count, seed in tqdm([(count, seed) for count in COUNTS for seed in SEEDS], unit="draw"):
        for way, results in found.items():
            words = way == "counting words"
            results[count].append(counting_words(*few(count, seed)) if words else accuracy(tuned(way, count, seed)))
    pictures.curves({"": found}, "labels for each group", "accuracy", {"largest group": largest})

# %% [markdown]
# Read it across: with 4 labels a group, the pretrained model does what counting words needs 16 for, and a model from
# scratch more than that. On the right counting catches up: with many labels a simple method is hard to beat. With few
# labels freezing costs nothing; with many it does. A difference within the bands is no difference.
#
# Your turn. As the mean and the output are linear, the score of a group is the mean of scores of single tokens, and
# we can see what each one says. The chances are often near 1, though the model is right in about 6 of 10 cases.

# %% tags=["varies"]
@torch.no_grad()
def judge(text):
    """The tokens of a text, what each says for the best group, compared with the mean group, and all chances."""
    tokens = encode_rows(tokenizer, [text], language_model.recipe.max_tokens)
    scores = model.output(model.encoder(model.embeddings(tokens), tokens == PAD))[0]  # T, C
    best = scores.mean(0).argmax()
    names = [tokenizer.id_to_token(token) for token in tokens[0].tolist()]
    return names, (scores[:, best] - scores.mean(1)).tolist(), scores.mean(0).softmax(-1).tolist()


if trained:
    model = tuned("pretrained", 64, seed=0)
    widgets.group_finder(judge, verses.groups, "The king sent his servants to the city of Samaria.")

# %% [markdown]
# ## A tag for every word, again
#
# Does having read a book help with commands? They come in *pieces*; tags belong to words.
#
# ### Exercise 8.4 · Labels for pieces (about 8 min)
#
# `word_ids` says which word each piece is from: for `[CLS] ph ##one charge ##r [SEP]`, None, 0, 0, 1, 1, None. The
# *first* piece of a word gets its label, all else −100 (`IGNORE`), which the loss leaves out (Devlin et al. 2019,
# section 5.3). Return a list.
#
# <details><summary>Hint 1</summary>Compare each piece's number with the one before.</details>
# <details><summary>Hint 2 (nearly the solution)</summary><code>IGNORE</code> for None, or if <code>place &gt; 0</code> and <code>word_ids[place - 1]</code> is the same; else <code>labels[word]</code>.</details>

# %% exercise="piece_labels"
def piece_labels(word_ids, labels):
    """The label of each word for its first piece, -100 for all else.  list, list -> list as long as word_ids"""
    ### BEGIN SOLUTION
    return [
        IGNORE if word is None or place > 0 and word == word_ids[place - 1] else labels[word]
        for place, word in enumerate(word_ids)
    ]
    ### END SOLUTION


# %% check="piece_labels"
checks.piece_labels(piece_labels)

# %%
from unmasked.data import load_commands

commands = load_commands()
slots = sorted({slot for command in commands.train for *_, slot in command.slots})
kinds = {"known kinds of commands": "known", "held-out commands": "held_out"}
TAGS = ["O"] + [prefix + slot for slot in slots for prefix in ("B-", "I-")]


def pieces_and_labels(command):
    """A command in pieces, and their labels."""
    places = split_tokens(command.text)
    encoding = tokenizer.encode([command.text[start:end] for start, end in places], is_pretokenized=True)
    labels = [TAGS.index(tag) for tag in align_labels(places, command.slots)]
    return encoding, piece_labels(encoding.word_ids, labels)


with once_done("piece_labels"):
    encoding, labels = pieces_and_labels(commands.train[3])
    for piece, label in zip(encoding.tokens, labels):
        print(f"{piece:10}", "" if label == IGNORE else TAGS[label])

# %%
def as_tag_rows(some):
    """Commands as numbers, cut to the model's length.  -> tokens (N, T), labels (N, T)"""
    pairs = [pieces_and_labels(command) for command in some]
    tokens = [torch.tensor(encoding.ids[: language_model.recipe.max_tokens]) for encoding, _ in pairs]
    labels = [torch.tensor(labels[: language_model.recipe.max_tokens]) for _, labels in pairs]
    pad = nn.utils.rnn.pad_sequence
    return pad(tokens, batch_first=True, padding_value=PAD), pad(labels, batch_first=True, padding_value=IGNORE)


# %%
def tag_loss(model, tokens, labels):
    return F.cross_entropy(model(tokens, tokens == PAD).flatten(0, 1), labels.flatten(), ignore_index=IGNORE)


@torch.no_grad()
def slot_f1(model, tokens, labels):
    """F1 of whole slots."""
    right = both = 0
    for guess, wanted in zip(model(tokens, tokens == PAD).argmax(-1).tolist(), labels.tolist()):
        pairs = [(TAGS[g], TAGS[w]) for g, w in zip(guess, wanted) if w != IGNORE]
        found, asked = (set(spans_of(tags)) for tags in zip(*pairs))
        right, both = right + len(found & asked), both + len(found) + len(asked)
    return 2 * right / both


# %% tags=["varies"]
if ready := widgets.ready(checks, piece_labels, layer_rates):
    tests = {title: as_tag_rows(getattr(commands, kind)) for title, kind in kinds.items()}
    found = {title: {way: {} for way in ("pretrained", "from scratch")} for title in tests}
    draws = [(count, seed) for count in ((50,) if TEST else (50, 200, 800)) for seed in SEEDS]
    for count, seed in tqdm(draws, unit="draw"):
        examples = as_tag_rows(commands.train[seed * count : (seed + 1) * count])
        for way in ("pretrained", "from scratch"):
            part = language_model.build(seed, way == "pretrained")
            model = TokenClassifier(part.embeddings, part.encoder, width, len(TAGS))
            fine_tune(model, layer_rates(model, 1e-2, 0.5), tag_loss, examples, 2 * STEPS, seed=seed)
            for title, rows_of in tests.items():
                found[title][way].setdefault(count, []).append(slot_f1(model, *rows_of))
    pictures.curves(found, "labelled commands", "F1 of whole slots", top=1)

# %% [markdown]
# A book of antiquity knows nothing of lamps and timers, and about half of a command's words are in pieces. Still, 200
# labelled commands do as much after pretraining as 800 from scratch, with as many steps of training. But pretraining
# doesn't close the gap between the two panels: what was held out stays hard.

# %% [markdown]
# ## Point at the answer
#
# A question and a text go in as one row, `[CLS] question [SEP] text [SEP]`. The answer is a *span* of the text
# (Devlin et al. 2019, section 4.2). `hidden` (B, T) is True outside of the text.
#
# ### Exercise 8.5 · Two scores for each token (about 8 min)
#
# A linear layer, `output`, from D to 2: it starts here, ends here. Where `hidden`, both are
# `torch.finfo(x.dtype).min`, the lowest number. Return `start, end`.
#
# Shapes: (B, T, D), (B, T) → (B, T), (B, T).
#
# <details><summary>Hint 1</summary>The mask needs a third axis, for <code>masked_fill</code>.</details>
# <details><summary>Hint 2 (nearly the solution)</summary><code>self.output(x).masked_fill(hidden[..., None], ...)</code>; <code>scores[..., 0]</code> is the start.</details>

# %% exercise="SpanHead"
class SpanHead(nn.Module):
    """Where an answer starts and ends, as scores.  (B, T, D), (B, T) -> (B, T), (B, T)"""

    def __init__(self, d_model):
        super().__init__()
        ### BEGIN SOLUTION
        self.output = nn.Linear(d_model, 2)
        ### END SOLUTION

    def forward(self, x, hidden):
        ### BEGIN SOLUTION
        scores = self.output(x).masked_fill(hidden[..., None], torch.finfo(x.dtype).min)
        return scores[..., 0], scores[..., 1]
        ### END SOLUTION


# %% check="SpanHead"
checks.SpanHead(SpanHead)

# %% [markdown]
# ### Exercise 8.6 · The best span (about 15 min)
#
# The best start and the best end, each for itself, may not fit: the end before the start, or far away. Find the pair
# with the largest `start[first] + end[last]` among those with `first <= last` and at most `longest` tokens. Return
# `first, last`. For one text: `start` and `end` are (T).
#
# <details><summary>Hint 1</summary><code>start[:, None] + end</code> is a table (T, T) of all sums: row <code>first</code>, column <code>last</code>. Which of its places are allowed?</details>
# <details><summary>Hint 2</summary><code>torch.ones_like(sums).triu()</code> is 1 where column ≥ row; <code>.tril(k)</code> keeps columns up to row + k.</details>
# <details><summary>Hint 3 (nearly the solution)</summary>Fill what is not allowed with <code>-torch.inf</code>. <code>place = ....argmax().item()</code> counts through the table row by row: <code>divmod(place, T)</code> is row and column.</details>

# %% exercise="best_span"
def best_span(start, end, longest):
    """The best answer of at most `longest` tokens.  (T), (T) -> first, last"""
    ### BEGIN SOLUTION
    sums = start[:, None] + end  # T, T
    allowed = torch.ones_like(sums).triu().tril(longest - 1).bool()
    return divmod(sums.masked_fill(~allowed, -torch.inf).argmax().item(), len(end))
    ### END SOLUTION


# %% check="best_span"
checks.best_span(best_span)

# %% [markdown]
# Honestly: nobody asked these questions. They are made from commands with two slots or more, a fixed question for
# each kind of slot; the slot is the answer, and the question decides *which* is meant. A real collection, such as
# SQuAD (Rajpurkar et al. 2016), has 100,000 questions by people.

# %%
from unmasked.data.questions import QUESTIONS, questions_on

for each in questions_on(commands.train)[:4]:
    print(f"{each.question:24}{each.text}  →  {each.answer}")

# %%
def as_span_rows(questions):
    """Questions as numbers.  -> tokens (N, T), hidden (N, T), first (N), last (N); without those that are too long"""
    encoded, firsts, lasts = [], [], []
    for each in questions:
        encoding = tokenizer.encode(each.question, each.text)
        inside = [place for place, ((begin, stop), part) in enumerate(zip(encoding.offsets, encoding.sequence_ids))
                  if part == 1 and begin < each.end and stop > each.start]  # fmt: skip
        if len(encoding.ids) <= language_model.recipe.max_tokens:
            encoded, firsts, lasts = [*encoded, encoding], [*firsts, inside[0]], [*lasts, inside[-1]]
    pad = nn.utils.rnn.pad_sequence
    tokens = pad([torch.tensor(each.ids) for each in encoded], batch_first=True)  # PAD is 0
    text = pad([torch.tensor([part == 1 for part in each.sequence_ids]) for each in encoded], batch_first=True)
    return tokens, ~text, torch.tensor(firsts), torch.tensor(lasts)


# %%
class Reader(nn.Module):
    """The encoder, and your head on it.  (B, T), (B, T) -> (B, T), (B, T)"""

    def __init__(self, embeddings, encoder, head):
        super().__init__()
        self.embeddings, self.encoder, self.output = embeddings, encoder, head

    def forward(self, tokens, hidden):
        return self.output(self.encoder(self.embeddings(tokens), tokens == PAD), hidden)


def span_loss(model, tokens, hidden, first, last):
    """Two classifications over the tokens of a row: which one is the answer's first, which its last?"""
    start, end = model(tokens, hidden)  # B, T and B, T
    return (F.cross_entropy(start, first) + F.cross_entropy(end, last)) / 2


# %% tags=["varies"]
@torch.no_grad()
def exact_match(model, tokens, hidden, first, last):
    """The share of answers that are right at both ends, of at most 8 pieces."""
    spans = [tuple(map(int, best_span(*pair, longest=8))) for pair in zip(*model(tokens, hidden))]
    return sum(span == pair for span, pair in zip(spans, zip(first.tolist(), last.tolist()))) / len(spans)


if answering := widgets.ready(checks, SpanHead, best_span, layer_rates):
    examples, readers = as_span_rows(questions_on(commands.train[:3000])), {}
    for way in ("from scratch", "pretrained"):
        part = language_model.build(pretrained=way == "pretrained")
        model = readers[way] = Reader(part.embeddings, part.encoder, SpanHead(width))
        fine_tune(model, layer_rates(model, 1e-2, 0.5), span_loss, examples, 6 * STEPS, size=32, bar=True)
        for title, kind in kinds.items():
            print(f"{way}, {title}: {exact_match(model, *as_span_rows(questions_on(getattr(commands, kind)))):.2f}")

# %% [markdown]
# Here pretraining gains most where commands were held out. Where does the better one fail? Of sixty short questions on
# these, the first that it answers wrongly, with the right answer beside:

# %% tags=["varies"]
@torch.no_grad()
def answer(question, text):
    """Where the answer stands in letters, the tokens, and the chance of each to be its start and its end."""
    encoding = tokenizer.encode(question, text.lower())
    hidden = torch.tensor([[part != 1 for part in encoding.sequence_ids]])
    start, end = (scores[0] for scores in readers["pretrained"](torch.tensor([encoding.ids]), hidden))
    first, last = best_span(start, end, longest=8)
    place = encoding.offsets[first][0], encoding.offsets[last][1]
    return place, encoding.tokens, start.softmax(-1), end.softmax(-1)


if answering:
    fitting = [each for each in questions_on(commands.held_out) if len(each.text) < 60][: 60 * 7 : 7]
    found = [(each.question, each.text, *answer(each.question, each.text)[0], each.answer) for each in fitting]
    wrong = [each for each in found if each[1][each[2] : each[3]] != each[4]]
    pictures.answers(wrong[:8])
    print(f"{len(found) - len(wrong)} of {len(found)} are right.")

# %% [markdown]
# Often there is one word too many, or one too few.
#
# Your turn. Ask one command several questions, *Which thing?* or *In which state?*: the same tokens, another answer.
# The bars show how sure it is of each end.

# %% tags=["varies"]
if answering:
    text = "turn on the lamp in the attic"
    widgets.question_answerer(answer, list(QUESTIONS.values()), text)

# %% [markdown]
# It always points somewhere, also where there is no answer: nobody has taught it to say that there is none.
#
# ## Explain it
#
# Three questions to answer in your own words; then compare with the folded answer.

# %% [markdown] explain="why_few_labels"
# **1.** With 4 or 16 labels a group the pretrained model is further ahead of the one from scratch than with 256. Why?
# ### BEGIN SOLUTION
# A model from scratch must learn from the same few labels which words go together, and what the groups are. The
# pretrained one knows the first already: texts of a kind have vectors of a kind, and a few labels tell which group is
# where. With more labels the other model can learn more from them, so what pretraining brings is worth less.
# ### END SOLUTION

# %% [markdown] explain="why_frozen"
# **2.** A friend freezes the encoder by `requires_grad_(False)` alone, and calls `train()` of the whole model. Hers has
# dropout, other than ours. What goes wrong? And when is a frozen encoder the better choice?
# ### BEGIN SOLUTION
# Dropout still works in the frozen part: its output is another one each time, and nothing in it can adapt to that.
# Batch norm would even change its averages. With very few labels a frozen encoder is as good; it is the better choice
# with little time or memory, or if one encoder serves many tasks: only small heads differ. With more labels, training
# all of it gains.
# ### END SOLUTION

# %% [markdown] explain="why_test_verses"
# **3.** The masked language model has read the training verses without labels. May we test on them, if their labels
# were never used? And why are test verses left out that nearly repeat another one?
# ### BEGIN SOLUTION
# No. The encoder has been fitted to just these verses: their vectors are better than those of verses it never saw, so
# the result would flatter it, and the comparison with a model from scratch would not be fair. A verse that repeats a
# training verse is known by heart in the same way, to a labelled model too. What is asked is how well new text is
# understood.
# ### END SOLUTION

# %% [markdown]
# ## What you have built
#
# Three heads on one encoder, and the means to decide how much of it may change. Pretraining paid in all three tasks;
# for verses least where labels were many, and there counting words caught up. Your model has read one book
# only. In the next lesson comes an encoder that has read very much more, and its weights fit into your classes.
