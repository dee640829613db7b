# %% [markdown]
# # The stack at work
#
# “Set the living room brightness to 96%”: a voice assistant has to find out which words are the room, and which number
# is the brightness. Your encoder gives every token a vector that knows its context. Here it goes to work: a tag for
# each token, a loop that trains, and a score that is honest.
#
# **At the end you will have built** a model that finds the *slots* of a command, trained by a loop of your own in less
# than a minute, and taken it apart to see what each part is good for. It takes about 90 minutes.

# %%
import os
import re

import torch
import torch.nn.functional as F
from nervaluate import Evaluator
from torch import nn

from nanobert.embeddings import Embeddings  # lesson 04
from nanobert.encoder import Encoder, EncoderBlock, FeedForward  # lesson 05
from nanobert.multi_head import MultiHeadAttention  # lesson 03
from unmasked.checks import stack_at_work as checks
from unmasked.data import load_commands
from unmasked.feedback import once_done
from unmasked.figures import stack_at_work as pictures
from unmasked.widgets import stack_at_work as widgets

torch.set_num_threads(1)  # the model is small: a second thread would mostly wait for the first

# %% [markdown]
# Letters for sizes: `B` commands in a batch, `T` tokens, `D` the width of the model, `C` tags.
#
# ## Commands
#
# Nobody said these commands: they are *sampled from a grammar*, the one that Home Assistant's voice assistant really
# uses. It has *templates* with choices and slots, such as `<turn> on [<the>] {area} <light>`. We draw a template, make
# its choices by chance, and fill its slots with *values*: names of rooms and devices that we made up.

# %%
commands = load_commands()
print(commands.provenance + "\n" + commands.rights + "\n")
slots = sorted({slot for command in commands.train for *_, slot in command.slots})
print(f"{len(commands.train):,} commands to learn from, {len(slots)} slots: {', '.join(slots)}\n")
for command in commands.train[3:6]:
    print(command.text, command.slots)  # where each slot starts and ends, in characters

# %% [markdown]
# Real people say “um”, and things that no grammar foresees; and the grammar allows commands that nobody would say.
# A score on these commands says how well the grammar was
# learned, not how well people are understood.
#
# Why not just look words up? Because the same word fills different slots, and only the context decides:

# %%
for word in ("orange", "office", "7"):
    found = {}
    for command in commands.train:
        for start, end, slot in command.slots:
            if word in command.text[start:end].split():
                found.setdefault(slot, command.text)
    for slot, text in list(found.items())[:4]:
        print(f"{word:8}{slot:16}{text}")

# %% [markdown]
# ## From text to tags
#
# “96%” holds a number and a sign, “78-minute” a number, a sign and a word; only the number is a slot. So cutting at
# spaces won't do. A *regular expression* describes pieces of text: `[aeiou]` is any one of these letters, `[l-n]` one
# from l to n, `+` means one or more, and `|` means "or". `re.finditer` finds one after another:

# %%
for match in re.finditer("[aeiou]+|[l-n]", "a green lamp"):
    print(match.span(), match.group())

# %% [markdown]
# ### Exercise 6.1 · Cut (about 12 min)
#
# A *token* is a run of letters (a to z, and the apostrophe counts as one wherever it stands), a run of digits, or any
# other single character that is no space.
#
# Texts are in lower case. Return the *places* of the tokens, a list of `(start, end)`, so that `text[start:end]` is the
# token.
#
# <details><summary>Hint 1</summary><code>re.finditer(pattern, text)</code> goes from match to match, and a match knows its <code>.span()</code>. Alternatives in a pattern are separated by <code>|</code>.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>Three alternatives: <code>[a-z']+</code>, <code>[0-9]+</code>, and <code>\S</code>, which is any character but white space.</details>

# %% exercise="split_tokens"
def split_tokens(text):
    """Where the tokens of a text in lower case stand.  text -> list of (start, end)"""
    ### BEGIN SOLUTION
    return [match.span() for match in re.finditer(r"[a-z']+|[0-9]+|\S", text)]
    ### END SOLUTION


# %% check="split_tokens"
checks.split_tokens(split_tokens)

# %%
with once_done("exercise 6.1"):
    for text in ("set the lamp to 96%", "what's left on my 78-minute timer?", "set the white to 4000k"):
        print(" | ".join(text[start:end] for start, end in split_tokens(text)))

# %% [markdown]
# The model will say one thing for each token, so the answers must be as long as the text. The first token of a slot gets
# the tag `B-` (begin) and the slot's name, every further one `I-` (inside), and all others `O` (Ramshaw and Marcus 1995).
# Thanks to `B-`, two slots side by side stay two.

# %% [markdown]
# ### Exercise 6.2 · Tag (about 10 min)
#
# `places` are those of the tokens, `slots` a list of `(start, end, slot)`, also in characters, both in the order of the
# text. Return a list of tags.
#
# <details><summary>Hint 1</summary>A token is in a slot if it starts at the slot's start or later, and before the slot's end.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>Begin with <code>["O"] * len(places)</code>. For each slot, go through all places and overwrite the tags of those inside: <code>B-</code> where both starts are equal.</details>

# %% exercise="align_labels"
def align_labels(places, slots):
    """The tag of every token.  list of (start, end), list of (start, end, slot) -> list of tags"""
    ### BEGIN SOLUTION
    tags = ["O"] * len(places)
    for begin, end, slot in slots:
        for number, (start, _) in enumerate(places):
            if begin <= start < end:
                tags[number] = ("B-" if start == begin else "I-") + slot
    return tags
    ### END SOLUTION


# %% check="align_labels"
checks.align_labels(align_labels)

# %%
def tokens_and_tags(command):
    """A command as the model is to see it: its tokens, and their tags."""
    places = split_tokens(command.text)
    return [command.text[start:end] for start, end in places], align_labels(places, command.slots)


with once_done("exercises 6.1 and 6.2"):
    pictures.tagged([tokens_and_tags(command) for command in commands.train[25:31]])

# %% [markdown]
# ### Into numbers
#
# As in lesson 01: a vocabulary, a number for each token, padding. Two things are new. Digits are all written as 0: the
# slot of a number follows from what stands around it. And a word that the training commands don't have is `[UNK]`,
# whatever it is. Padding is 0 on both sides: `[PAD]` among the words, and `O` among the tags; only the words tell it from
# a real `O`.

# %%
PAD, UNK = 0, 1
TAGS = ["O"] + [prefix + slot for slot in slots for prefix in ("B-", "I-")]  # C of them


def spelled(token):
    """How the vocabulary knows a token: 78 and 96 are both 00."""
    return re.sub(r"[0-9]", "0", token)


def make_vocabulary():
    """A number for each word of the training commands."""
    words = sorted({spelled(token) for command in commands.train for token in tokens_and_tags(command)[0]})
    return {word: number for number, word in enumerate(["[PAD]", "[UNK]", *words])}


with once_done("exercises 6.1 and 6.2"):
    vocabulary = make_vocabulary()
    print(f"{len(vocabulary)} words, {len(TAGS)} tags")


# %%
def encode(kind, width=20):
    """Commands as numbers: tokens (N, T) and tags (N, T); padding is 0 in both."""
    tokens, tags = (torch.zeros(len(kind), width, dtype=torch.long) for _ in range(2))
    for row, command in enumerate(kind):
        words, answers = tokens_and_tags(command)
        tokens[row, : len(words)] = torch.tensor([vocabulary.get(spelled(word), UNK) for word in words])
        tags[row, : len(words)] = torch.tensor([TAGS.index(answer) for answer in answers])
    return tokens, tags


with once_done("exercises 6.1 and 6.2"):
    train_rows = encode(commands.train)
    print("tokens:", train_rows[0][0][:8].tolist(), " tags:", train_rows[1][0][:8].tolist())

# %% [markdown]
# ## A score for whole slots
#
# Most tokens are `O`, so a model that says `O` everywhere is right at most tokens and finds nothing. What counts is a
# whole slot: its first token, its last, and its name. That is a *span*.

# %% [markdown]
# ### Exercise 6.3 · From tags to spans (about 15 min)
#
# Return a list of `(first, end, slot)`, one for each span, `end` one past its last token, in any order. A model may say
# an `I-` with no `B-` of that slot before it: that begins a span too. So counts conlleval, the program that scores such
# tags since a contest in finding names (Tjong Kim Sang and De Meulder 2003).
#
# <details><summary>Hint 1</summary>Go from tag to tag, and remember where the open span began, if any. When does it end?</details>
# <details><summary>Hint 2 (nearly the solution)</summary>An open span goes on only with <code>"I-"</code> and its own slot. One <code>"O"</code> more after the last tag closes what is open.</details>

# %% exercise="spans_of"
def spans_of(tags):
    """The spans of a command.  list of tags -> list of (first, end, slot)"""
    ### BEGIN SOLUTION
    spans, first = [], None
    for place, tag in enumerate([*tags, "O"]):
        if first is not None and tag != "I-" + tags[first][2:]:
            spans.append((first, place, tags[first][2:]))
            first = None
        if first is None and tag != "O":
            first = place
    return spans
    ### END SOLUTION


# %% check="spans_of"
checks.spans_of(spans_of)

# %% [markdown]
# *Precision* is the share of right spans among those found, *recall* among those that are there, and **F1** their
# harmonic mean. The library `nervaluate` counts; *strict* means that both borders and the slot must be right.

# %%
def entity_f1(wanted, found):
    """F1 of whole slots.  Two lists with a list of tags for each command -> a number"""
    spans = [
        [[{"start": first, "end": end, "label": slot} for first, end, slot in spans_of(tags)] for tags in side]
        for side in (wanted, found)
    ]
    return Evaluator(*spans, tags=slots, loader="dict").evaluate()["overall"]["strict"].f1


with once_done("exercises 6.1 to 6.3"):
    wanted = [tokens_and_tags(command)[1] for command in commands.train[:500]]
    lazy = [["O"] * len(tags) for tags in wanted]
    right = sum(tag == "O" for tags in wanted for tag in tags) / sum(map(len, wanted))
    print(f"O everywhere: {right:.0%} of the tokens are right, F1 is {entity_f1(wanted, lazy):.2f}")

# %% [markdown]
# ## The model
#
# ### Exercise 6.4 · TokenClassifier (about 8 min)
#
# Embeddings, encoder, and one linear layer that gives every token a score for every tag. Call them `embeddings`,
# `encoder` and `output`; the first two are passed in. The encoder takes the mask, True where a token is padding. Nothing
# else: no dropout, no activation.
#
# Shapes: (B, T), (B, T) → (B, T, C).
#
# <details><summary>Hint 1</summary><code>nn.Linear</code> works at every position alike: no loop, no mean over tokens; and no softmax, because the loss takes scores.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>Keep the parts with <code>self.embeddings = embeddings</code> and so on. In <code>forward</code> call them in that order, and the encoder with the mask as its second argument.</details>

# %% exercise="TokenClassifier"
class TokenClassifier(nn.Module):
    """A score for every tag, at every token.  (B, T), (B, T) -> (B, T, C)"""

    def __init__(self, embeddings, encoder, d_model, tags):
        super().__init__()
        ### BEGIN SOLUTION
        self.embeddings, self.encoder = embeddings, encoder
        self.output = nn.Linear(d_model, tags)
        ### END SOLUTION

    def forward(self, tokens, key_padding_mask=None):
        ### BEGIN SOLUTION
        return self.output(self.encoder(self.embeddings(tokens), key_padding_mask))
        ### END SOLUTION


# %% check="TokenClassifier"
checks.TokenClassifier(TokenClassifier)

# %% [markdown]
# Built so that parts can be left out later: the number of blocks and of heads, positions, residual paths.

# %%
class WithoutResiduals(EncoderBlock):
    """A block that adds nothing: each sub-layer sees only what the one before it made."""

    def forward(self, x, key_padding_mask=None):
        x = self.attention(self.attention_norm(x), key_padding_mask)
        return self.feed_forward(self.feed_forward_norm(x))


def build_model(depth=2, heads=4, positions=True, residuals=True, seed=0, width=64):
    torch.manual_seed(seed)
    embeddings = Embeddings(len(vocabulary), width, max_tokens=32)
    if not positions:
        nn.init.zeros_(embeddings.position.weight).requires_grad_(False)
    Block = EncoderBlock if residuals else WithoutResiduals
    blocks = [Block(MultiHeadAttention(width, heads), FeedForward(width, 2 * width), width) for _ in range(depth)]
    return TokenClassifier(embeddings, Encoder(blocks, nn.LayerNorm(width)), width, len(TAGS))


# %% [markdown]
# ## Learn
#
# ### Exercise 6.5 · The loss (about 8 min)
#
# For each token, minus the log of the probability that the right tag gets; then the mean over all tokens of the batch
# *that are no padding*. Rows have different lengths, and padding would be the easiest token of all.
#
# Shapes: logits (B, T, C), labels (B, T), key_padding_mask (B, T) → one number, ().
#
# <details><summary>Hint 1</summary><code>F.cross_entropy</code> takes scores (N, C) and labels (N,), and returns the mean.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>A mask as an index keeps the rows where it is True: <code>logits[keep]</code> is (N, C) and <code>labels[keep]</code> is (N,). <code>~</code> turns a mask around.</details>

# %% exercise="token_loss"
def token_loss(logits, labels, key_padding_mask):
    """Mean cross-entropy over all tokens but padding, in nats.  (B, T, C), (B, T), (B, T) -> a number"""
    ### BEGIN SOLUTION
    return F.cross_entropy(logits[~key_padding_mask], labels[~key_padding_mask])
    ### END SOLUTION


# %% check="token_loss"
checks.token_loss(token_loss)

# %%
with once_done("exercises 6.1, 6.2 and 6.5"):
    tokens, labels = encode(commands.train[:200])
    lazy = 5.0 * F.one_hot(torch.zeros_like(tokens), len(TAGS))  # scores that always bet on O
    print(f"O everywhere, over padding too:  {token_loss(lazy, labels, torch.zeros_like(tokens).bool()):.1f}")
    print(f"O everywhere, over tokens only:  {token_loss(lazy, labels, tokens == PAD):.1f}")

# %% [markdown]
# ### Exercise 6.6 · The loop (about 12 min)
#
# Make one `torch.optim.AdamW` for the model's parameters, with `lr=learning_rate`, and switch the model to training. Then
# for each batch, `(tokens, labels, key_padding_mask)`: clear the old gradients, compute the loss, send it back, take a
# step. Return the list of losses, as plain numbers.
#
# `batches` is a *generator*: no length, only once through, and each batch is made when asked for.
#
# <details><summary>Hint 1</summary>The optimizer has <code>zero_grad()</code> and <code>step()</code>, the loss <code>backward()</code> and <code>item()</code>.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>Before the loop: <code>train()</code> of the model, the optimizer, an empty list. In the loop: zero_grad; <code>token_loss</code> of the model's scores; backward; step; append the item.</details>

# %% exercise="train"
def train(model, batches, learning_rate):
    """Improve the model a little with each batch, and return the losses.  Each batch: (B, T), (B, T), (B, T)"""
    ### BEGIN SOLUTION
    model.train()
    adamw = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    history = []
    for tokens, labels, key_padding_mask in batches:
        adamw.zero_grad()
        batch_loss = token_loss(model(tokens, key_padding_mask), labels, key_padding_mask)
        batch_loss.backward()
        adamw.step()
        history.append(batch_loss.item())
    return history
    ### END SOLUTION


# %% check="train"
checks.train(train)

# %% [markdown]
# Batches are drawn at random, cut to their longest command. One trick: a tenth of the tokens is hidden behind `[UNK]`.
# In training every word is known, so without that the model would never learn what to do with one that it doesn't know.
#
# And what to measure on? A random tenth of the commands would share all templates and all values with training. Three
# more kinds are kept apart. In *held-out* commands, templates and values are both new: a fifth of each was never sampled
# for training.
#
# Now the model learns for `STEPS` = 600 steps, which takes about 20 s.

# %%
from tqdm.auto import tqdm

STEPS = 20 if os.environ.get("UNMASKED_BUDGET") == "test" else 600


def draw_batches(rows, steps, size=32, hidden=0.1):
    """Random batches: tokens, labels and key_padding_mask, each (B, T)."""
    generator = torch.Generator().manual_seed(0)
    for _ in tqdm(range(steps), unit="step"):
        chosen = torch.randint(len(rows[0]), (size,), generator=generator)
        tokens, labels = (part[chosen] for part in rows)
        longest = (tokens != PAD).sum(1).max()
        tokens, labels = tokens[:, :longest], labels[:, :longest]
        unknown = torch.rand(tokens.shape, generator=generator) < hidden
        yield tokens.masked_fill(unknown & (tokens != PAD), UNK), labels, tokens == PAD


# %%
KINDS = ("known", "new_values", "new_templates", "held_out")


@torch.no_grad()
def scores_of(model, tokens):
    """The scores of all tags, measured without dropout.  (B, T) -> (B, T, C)"""
    training = model.training
    scores = model.eval()(tokens, tokens == PAD)
    model.train(training)
    return scores


def f1(model, kind):
    """F1 of whole slots on one kind of commands."""
    guesses, wanted = scores_of(model, rows[kind][0]).argmax(-1), [tokens_and_tags(c)[1] for c in getattr(commands, kind)]
    found = [[TAGS[tag] for tag in row[: len(tags)]] for row, tags in zip(guesses.tolist(), wanted)]
    return entity_f1(wanted, found)


# %% tags=["varies"]
exercises = split_tokens, align_labels, spans_of, TokenClassifier, token_loss, train
if trained := widgets.ready(checks, *exercises):
    vocabulary = make_vocabulary()  # once more: your split_tokens may have been another one above
    train_rows = encode(commands.train)
    rows = {kind: encode(getattr(commands, kind)) for kind in KINDS}
    model = build_model()
    losses = train(model, draw_batches(train_rows, STEPS), learning_rate=3e-3)
    print(f"loss of the first batch {losses[0]:.2f}, mean of the last 20 batches {sum(losses[-20:]) / 20:.2f}")
    pictures.four_kinds({kind: f1(model, kind) for kind in KINDS})

# %% [markdown]
# Whoever measures only in the upper left corner believes the task is nearly solved. New templates cost a little: the
# grammar says the same thing in many ways. New values cost most: a room that the model has never heard of is `[UNK]`, and its
# neighbours must tell what it is. Often they can't: “cancel the kitchen timer” may mean the room's timer or one named
# kitchen, in the grammar too.

# %% tags=["varies"]
def tag(text, model):
    """The tokens of a command of your own, and the tags that a model gives them."""
    words = [text.lower()[start:end] for start, end in split_tokens(text.lower())]
    tokens = torch.tensor([[vocabulary.get(spelled(word), UNK) for word in words]])
    return words, [TAGS[number] for number in scores_of(model, tokens)[0].argmax(-1)]


if trained:
    texts = ("add orange juice to my list", "make the attic color orange", "remove 25 minutes from my 10-minute timer",
             "stop my 25-minute timer", "cancel the attic timer", "cancel the pizza timer")  # fmt: skip
    pictures.tagged([tag(text, model) for text in texts])

# %% [markdown]
# The same word, another slot: the context decided. Now your own: click into the text, change it, press Enter.

# %% tags=["varies"]
if trained:
    widgets.slot_finder(lambda text: tag(text, model), "set the living room brightness to 96%")

# %% [markdown]
# Where does it fail? Held-out commands with a wrong tag, and under it what was right:

# %% tags=["varies"]
if trained:
    pairs = [(tag(command.text, model), tokens_and_tags(command)) for command in commands.held_out]
    wrong = [(guess, right[1]) for guess, right in pairs if guess[1] != right[1]][:6]
    pictures.tagged([guess for guess, _ in wrong], [right for _, right in wrong])

# %% [markdown]
# ## Take it apart
#
# What is each part good for? Leave it out, train again, compare. Such *ablations* are how papers argue. The first three
# models are the same one from three seeds: a difference no larger than between these may be luck.
#
# Each gets 200 steps, a third of those above, so the whole model scores less here. All of it takes about a minute.

# %% tags=["varies"]
variants = {
    "the whole model": {}, "another seed": {"seed": 1}, "a third seed": {"seed": 2},
    "no blocks": {"depth": 0}, "1 block": {"depth": 1}, "4 blocks": {"depth": 4}, "1 head": {"heads": 1},
    "no positions": {"positions": False}, "no residual paths": {"residuals": False},
}  # fmt: skip
if trained:
    models, measured = {}, {}
    for name, changes in variants.items():
        variant = models[name] = build_model(**changes)
        train(variant, draw_batches(train_rows, STEPS // 3), learning_rate=3e-3)
        measured[name] = f1(variant, "known"), f1(variant, "held_out")
    pictures.ablations(measured)

# %% [markdown]
# Without blocks a token sees only itself: the model knows words, not contexts. Without residual paths the same steps
# teach little. One block does as well on known commands, and costs more than a seed does on held-out ones. Four blocks
# score less on both, after so few steps.
#
# One head costs more than a seed does. Having no positions costs a little, on held-out commands: *which* words are
# around mostly tells where they stand. Mostly: without positions, two tokens that are spelled alike, here 25 and 10,
# *must* get the same tag.

# %% tags=["varies"]
if trained:
    text = "remove 25 minutes from my 10-minute timer"
    pictures.tagged([tag(text, models[name]) for name in ("the whole model", "no positions")])

# %% [markdown]
# ## The data diet
#
# How many commands does it take? Train the same model, for 300 steps each, on 1 %, 10 % and all of them, and
# measure on the way. `batches` can do that: between two batches the loop is waiting. It takes about half a minute.

# %%
def mean_loss(model, rows):
    return token_loss(scores_of(model, rows[0]), rows[1], rows[0] == PAD).item()


def watched(batches, model, sides, log, every):
    """The same batches; now and then, before one is handed out, all losses are measured."""
    for step, batch in enumerate(batches):
        if step % every == 0:
            log.append({"step": step} | {name: mean_loss(model, side) for name, side in sides.items()})
        yield batch


# %% tags=["varies"]
if trained:
    logs = {}
    for share in (0.01, 0.1, 1.0):
        few = [part[: int(share * len(part))] for part in train_rows]
        log = logs[f"{share:.0%}: {len(few[0]):,} commands"] = []
        sides = {"train": [part[:400] for part in few], "known": rows["known"], "held_out": rows["held_out"]}
        learner = build_model()
        train(learner, watched(draw_batches(few, STEPS // 2), learner, sides, log, STEPS // 20), learning_rate=3e-3)
    pictures.curves(logs)

# %% [markdown]
# Where the training loss still falls and the other two rise, *overfitting* begins: the model learns its commands by
# heart. On 1 % that is soon; the orange dot is where to stop, and at the right end it says: not yet.
# More commands are harder to learn by heart, and better to learn from: both blue curves end lower.
#
# On the right, though, new commands of known kinds are nearly as easy as training ones, held-out ones several
# times as hard. More of the *same* templates and values doesn't teach what a new one is. More different ones would.
#
# ## Explain it
#
# Three questions to answer in your own words; then compare with the folded answer.

# %% [markdown] explain="why_split_by_both"
# **1.** A friend shuffles all sampled commands, holds out a tenth, and reports an F1 above 0.9. What has she measured,
# and why must both templates and values be kept apart?
# ### BEGIN SOLUTION
# Her held-out commands are made of templates and values that were all in training, in new combinations. She measured
# whether the model remembers them. If only templates are new, a slot can be told by its known value; if only values are
# new, by its known surroundings. What happens with a new room in a new sentence, shows only when both are kept apart.
# ### END SOLUTION

# %% [markdown] explain="why_ignore_padding"
# **2.** The loss leaves padding out, and so does attention. What would happen if only one of the two did?
# ### BEGIN SOLUTION
# If padding counted in the loss, the mean would be low for short commands whatever the model says about words, and much
# of the gradient would teach it to tag padding. If attention saw padding, a command's tags would depend on how long the
# other commands of its batch are: the same command would get other scores in another batch.
# ### END SOLUTION

# %% [markdown] explain="why_f1"
# **3.** Why is the score an F1 of whole slots, and not the share of right tags?
# ### BEGIN SOLUTION
# Most tags are O, so a model that finds nothing has many right tags. And half a slot is no use to the assistant: with
# “living” instead of “living room” it turns on no lamp. F1 counts a slot only if both borders and the name are right, and
# it punishes slots that are missed as well as slots that are made up.
# ### END SOLUTION

# %% [markdown]
# ## What you have built
#
# A token classifier on your own encoder, the loop that trains it, and an honest score. Named entities, parts of speech
# and medical terms are found by the same machine. Its weak side were words that it had never seen: in the next lesson
# the encoder learns words before anybody has labelled anything.
