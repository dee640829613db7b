# %% [markdown]
# # Self-attention
#
# A word means different things in different company. In this lesson you write the operation that lets a model use the
# company: each word looks at all the others, decides how much each of them matters, and takes in a weighted average.
#
# **At the end you will have built** a `SelfAttention` module with learnable matrices that ignores padding: the core of
# every transformer (Vaswani et al. 2017, "Attention Is All You Need"). It takes about 70 minutes.
#
# Run a cell with Shift+Enter. Where a cell says `# YOUR CODE HERE`, write your code in the place of
# `raise NotImplementedError()`. The cell below it checks your work at once, as often as you like.

# %%
import torch
from torch import nn

from unmasked import figures
from unmasked.checks import self_attention as checks
from unmasked.feedback import once_done
from unmasked.figures import self_attention as pictures
from unmasked.widgets import self_attention as widgets

torch.manual_seed(0)
torch.set_printoptions(precision=3)

# %% [markdown]
# The same letters stand for the same sizes throughout: `B` sequences in a batch, `T` tokens in a sequence (`Q` of them
# asking, `S` of them being asked), `K` the width of a vector that is compared, `D` the width of the model.
#
# ## From a plain average to one that depends on context
#
# What does "bank" mean? Let two numbers describe a word, made up by hand: how much it is about water, and how much
# about money. "bank" alone is about both.

# %%
about = {  # (water, money)
    "by": (0.4, 0.1), "the": (0.1, 0.2), "river": (2.2, 0.1), "bank": (1.0, 1.0),
    "gave": (0.1, 0.6), "loans": (0.1, 2.2), "we": (0.2, 0.4), "sat": (0.5, 0.2),
}  # fmt: skip
sentences = [["by", "the", "river", "bank"], ["the", "bank", "gave", "loans"]]
x = torch.tensor([[about[word] for word in words] for words in sentences])
print("x has the shape (B, T, K) =", tuple(x.shape))

# %% [markdown]
# The simplest way to take in context: replace every word by the average of its sentence.

# %%
average = x.mean(dim=1, keepdim=True).expand_as(x)
pictures.word_plane(sentences, x, average, "bank", "Plain average: where “bank” moves; every other word ends there too")

# %% [markdown]
# Beside the river, "bank" should turn to water; it only loses its money, as "by" and "the" count as much as "river". And
# every word of a sentence ends in the same place. A better average gives more weight to the words that have to do with
# *this* word. So first we need a number that says how much two words have to do with each other.

# %% [markdown]
# ### Exercise 2.1 · Similarity scores (about 5 min)
#
# The dot product is such a number: it is large when two vectors point the same way. Call the word that asks the
# *query* and the words it compares itself with the *keys*:
#
# $$\text{scores}_{b,q,s} = \sum_k \text{query}_{b,q,k}\; \text{key}_{b,s,k}$$
#
# Compare every query with every key of its own sequence. Loops are right (but `.item()` passes no gradient on), and slow;
# can you do without?
#
# Shapes: (B, Q, K), (B, S, K) → (B, Q, S).
#
# <details><summary>Hint 1</summary>A matrix product takes dot products of rows with columns. Your keys are rows.</details>
# <details><summary>Hint 2</summary><code>tensor.mT</code> swaps the last two axes and leaves the batch alone; <code>@</code> multiplies the matrices of each sequence.</details>

# %% exercise="similarity_scores"
def similarity_scores(query, key):
    """The dot product of every query with every key.  (B, Q, K), (B, S, K) -> (B, Q, S)"""
    ### BEGIN SOLUTION
    return query @ key.mT
    ### END SOLUTION


# %% check="similarity_scores"
checks.similarity_scores(similarity_scores)

# %% [markdown]
# In *self*-attention a sequence is compared with itself: its words are the queries and the keys. Read the row of "bank".

# %%
with once_done("exercise 2.1"):
    scores = similarity_scores(x, x)
    figure, panels = figures.axes(2, height=3.4)
    for ax, words, matrix in zip(panels, sentences, scores):
        figures.heatmap(ax, matrix, words, words, title="scores in “" + " ".join(words) + "”")
        ax.set(xlabel="key", ylabel="query")
    figures.show(figure, "Dot products of each word with each word; for bank, river and loans score highest.")

# %% [markdown]
# ## From scores to weights
#
# Weights of an average are positive and sum to 1. The softmax makes them from any scores:
# $\text{softmax}(s)_i = e^{s_i} / \sum_j e^{s_j}$. But how large are scores? Measure it: draw queries and keys whose
# numbers are independent, with mean 0 and variance 1, for several widths $d_k$ (the paper's name for our `K`).

# %%
widths = [1, 4, 16, 64, 256, 1024]
variances, unscaled, scaled = [], [], []
for d_k in widths:
    scores = torch.randn(500, 1, d_k) @ torch.randn(500, 16, d_k).mT  # 500 queries, 16 keys each
    variances.append(scores.var())
    unscaled.append(scores.softmax(-1).amax(-1).mean())
    scaled.append((scores / d_k**0.5).softmax(-1).amax(-1).mean())
pictures.saturation(widths, variances, unscaled, scaled)

# %% [markdown]
# Each product then has mean 0 and variance 1, and a dot product adds up $d_k$ of them: its variance is $d_k$ (left). With
# wide vectors the scores are far apart, and the softmax gives everything to one key (right): it is *saturated*. Dividing
# the scores by $\sqrt{d_k}$ brings their variance back to 1, whatever the width.
#
# Why does saturation hurt? Learning needs a slope: how much a weight changes when the softmax's input changes a little.
# For a weight $w$ it is $w\,(1 - w)$.

# %%
for d_k in (4, 64, 1024):
    scores = (torch.randn(500, 1, d_k) @ torch.randn(500, 16, d_k).mT).squeeze(1)
    slopes = [w * (1 - w) for w in (scores.softmax(-1), (scores / d_k**0.5).softmax(-1))]
    print(f"d_k = {d_k:4}:  mean slope {slopes[0].mean():.3f} without scaling, {slopes[1].mean():.3f} with it")

# %% [markdown]
# Without scaling the slope fades as the width grows, and with it all learning. With scaling it does not depend on the
# width.
#
# ### Exercise 2.2 · Attention weights (about 10 min)
#
# $$\text{weights} = \text{softmax}\!\left(\frac{\text{query}\;\text{key}^T}{\sqrt{d_k}}\right)$$
#
# The softmax runs over the keys, so that each query's weights sum to 1. Shapes: (B, Q, K), (B, S, K) → (B, Q, S).
#
# <details><summary>Hint 1</summary>The width of a key is <code>key.shape[-1]</code>, an ordinary number: <code>** 0.5</code> takes its root. Which axis of (B, Q, S) holds the keys?</details>
# <details><summary>Hint 2</summary>Divide what <code>similarity_scores</code> gives you by the width to the power of 0.5, and call <code>.softmax(...)</code> on the result, with the keys' axis as its <code>dim</code>.</details>

# %% exercise="attention_weights"
def attention_weights(query, key):
    """How much each query attends to each key.  (B, Q, K), (B, S, K) -> (B, Q, S)"""
    ### BEGIN SOLUTION
    scores = query @ key.mT / key.shape[-1] ** 0.5
    return scores.softmax(dim=-1)
    ### END SOLUTION


# %% check="attention_weights"
checks.attention_weights(attention_weights)

# %%
with once_done("exercise 2.2"):
    pictures.weights_by_sentence(sentences, attention_weights(x, x))

# %% [markdown]
# "bank" now attends most to "river" in one sentence and to "loans" in the other, and least to "the" in both.
#
# Try what the divisor does. A small one makes the softmax pick a single word; a large one brings back the plain
# average. Tab to a slider, then use the arrow keys.

# %% tags=["nbval-ignore-output"]
widgets.weights_explorer(sentences[0], x[0])

# %% [markdown]
# ### Exercise 2.3 · The weighted average (about 5 min)
#
# Each query takes in all *values*, each times its weight:
#
# $$\text{average}_{b,q} = \sum_s \text{weights}_{b,q,s}\; \text{value}_{b,s}$$
#
# Shapes: (B, Q, S), (B, S, K) → (B, Q, K).
#
# <details><summary>Hint 1</summary>For one query this is a row of weights times a matrix whose rows are the values.</details>
# <details><summary>Hint 2</summary>One matrix product of the two arguments, nothing transposed.</details>

# %% exercise="weighted_average"
def weighted_average(weights, value):
    """For each query the average of the values by its weights.  (B, Q, S), (B, S, K) -> (B, Q, K)"""
    ### BEGIN SOLUTION
    return weights @ value
    ### END SOLUTION


# %% check="weighted_average"
checks.weighted_average(weighted_average)

# %%
with once_done("exercises 2.2 and 2.3"):
    moved = weighted_average(attention_weights(x, x), x)
    pictures.word_plane(sentences, x, moved, "bank", "Attention: the same word moves to another place")

# %% [markdown]
# There it is: the same word, in different company, gets a different vector. These vectors are *contextual*.
#
# ## Everything at once
#
# You wrote attention as two matrix products and a softmax. The same can be written as loops over sequences, queries and
# keys. Both give the same numbers; a processor works through a matrix product with all its parallel units at once, and
# through a Python loop one step at a time.

# %%
with once_done("exercises 2.2 and 2.3"):
    def attention(x):
        return weighted_average(attention_weights(x, x), x)

    example = torch.randn(2, 7, 16)
    same = torch.allclose(attention(example), pictures.attention_in_a_loop(example), atol=1e-5)
    print("loop and matrix form give the same numbers:", same)

# %% tags=["varies", "nbval-ignore-output"]
with once_done("exercises 2.2 and 2.3"):
    factor = pictures.race(attention)
    print(f"64 tokens, on this CPU: the matrix form is {factor:,.0f} times faster")

# %% [markdown]
# Nothing in the matrix form waits for an earlier token. A recurrent network, the usual way before, carries a memory from
# token to token and must go through them one by one; attention doesn't, and that is why transformers could be trained on
# so much text.
#
# ## Hiding padding
#
# Sentences differ in length, and a tensor is rectangular: the shorter ones are filled up with a padding token. It must
# not be attended to.

# %%
padded = [["we", "sat", "by", "the", "river", "bank"], ["the", "bank", "gave", "loans", "[PAD]", "[PAD]"]]
about["[PAD]"] = (0.8, 0.8)  # padding has a vector too, and it would count
x_padded = torch.tensor([[about[word] for word in words] for words in padded])
key_padding_mask = torch.tensor([[word == "[PAD]" for word in words] for words in padded])
print(key_padding_mask.int())

# %% [markdown]
# ### Exercise 2.4 · Weights that ignore padding (about 15 min)
#
# `key_padding_mask` (B, S) is True where a key is padding. Return attention weights with three promises:
#
# 1. a hidden key gets *exactly* 0, and the visible ones sum to 1;
# 2. a query whose keys are all hidden gets zeros, not NaN;
# 3. without a mask (`None`) nothing is hidden.
#
# <details><summary>Hint 1</summary>What score does the softmax turn into 0? Put it where the mask is True. The mask needs one more axis to line up with (B, Q, S).</details>
# <details><summary>Hint 2</summary>A row of nothing but −∞ gives NaN. Fill with the lowest finite number, <code>torch.finfo(scores.dtype).min</code>, and after the softmax fill the hidden weights with 0.</details>

# %% exercise="masked_attention_weights"
def masked_attention_weights(query, key, key_padding_mask=None):
    """Attention weights in which padding gets exactly 0.  (B, Q, K), (B, S, K), (B, S) -> (B, Q, S)"""
    ### BEGIN SOLUTION
    scores = query @ key.mT / key.shape[-1] ** 0.5
    if key_padding_mask is None:
        return scores.softmax(dim=-1)
    hidden = key_padding_mask[:, None, :]
    lowest = torch.finfo(scores.dtype).min
    weights = scores.masked_fill(hidden, lowest).softmax(dim=-1)
    return weights.masked_fill(hidden, 0.0)
    ### END SOLUTION


# %% check="masked_attention_weights"
checks.masked_attention_weights(masked_attention_weights)

# %%
with once_done("exercise 2.4"):
    weights = masked_attention_weights(x_padded, x_padded, key_padding_mask)
    pictures.padded_weights(padded, weights)

# %% [markdown]
# The columns of `[PAD]` are zero. Its rows are not: padding still asks, and nobody uses the answer. Does the padding's
# own vector matter now? Change it to something absurd and see whether any word's result changes.

# %%
with once_done("exercises 2.3 and 2.4"):
    absurd = torch.where(key_padding_mask[..., None], 1000.0, x_padded)
    results = [weighted_average(masked_attention_weights(v, v, key_padding_mask), v) for v in (x_padded, absurd)]
    same = torch.equal(*(result[~key_padding_mask] for result in results))
    print("the words' results stay exactly the same:", same)

# %% [markdown]
# ## Queries, keys and values that are learned
#
# So far a word asks with the same vector with which it answers. That finds *similar* words. But "bank" might look for
# something unlike itself: a verb its subject, an adjective its noun. So give each token three vectors, each made by a
# learned matrix: what it looks for (query), what it offers (key), and what it hands over (value).
#
# $$q = x\,W_Q^T,\quad k = x\,W_K^T,\quad v = x\,W_V^T,\qquad
# \text{output} = \text{softmax}\!\left(\frac{q\,k^T}{\sqrt{d_k}}\right) v$$

# %% [markdown]
# ### Exercise 2.5 · A module (about 15 min)
#
# Write `SelfAttention`: three linear maps without bias, (D, D) each, called `query`, `key` and `value` (the check puts
# known matrices into them by these names), and attention over what they make of `x`. Here $d_k$ = D. Hide padding when
# there is a mask. Use your own functions; PyTorch's ready-made attention comes in the next lesson.
#
# Shapes: (B, T, D), (B, T) → (B, T, D).
#
# <details><summary>Hint 1</summary><code>nn.Linear(d_model, d_model, bias=False)</code> is such a map: it computes x Wᵀ.</details>
# <details><summary>Hint 2</summary>In <code>forward</code>: the weights come from <code>self.query(x)</code>, <code>self.key(x)</code> and the mask; they average <code>self.value(x)</code>.</details>

# %% exercise="SelfAttention"
class SelfAttention(nn.Module):
    """Self-attention with learnable matrices.  (B, T, D), (B, T) -> (B, T, D)"""

    def __init__(self, d_model):
        super().__init__()
        ### BEGIN SOLUTION
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        ### END SOLUTION

    def forward(self, x, key_padding_mask=None):
        ### BEGIN SOLUTION
        weights = masked_attention_weights(self.query(x), self.key(x), key_padding_mask)
        return weights @ self.value(x)
        ### END SOLUTION


# %% check="SelfAttention"
checks.SelfAttention(SelfAttention)

# %% [markdown]
# Is anything lost by having matrices? No: if transforming `x` doesn't help, a matrix can be the identity, and then the
# module is what you had before.

# %%
with once_done("exercise 2.5"):
    identity = SelfAttention(2)
    for matrix in identity.parameters():
        nn.init.eye_(matrix)
    without = weighted_average(attention_weights(x, x), x)
    print("with identity matrices it is attention without matrices:", torch.allclose(identity(x), without, atol=1e-6))

# %% [markdown]
# ### Does learning leave the identity?
#
# Only if it pays. Here is a task where it does. Six people stand in a row. Each has a *name*, *wants* something from
# one person, and holds a *gift* (four random numbers). A token is these three parts side by side; the right
# answer for each is the gift of the person it wants. To find it, a token must compare its *want* with the others'
# *names*: two different parts of the vector.

# %%
def errands(batch, people=6):
    names = torch.rand(batch, people).argsort(dim=-1)
    wants = torch.rand(batch, people).argsort(dim=-1)
    gifts = torch.randn(batch, people, 4)
    one_hot = nn.functional.one_hot
    x = torch.cat([one_hot(names, people), one_hot(wants, people), gifts], dim=-1)  # B, T, 6 + 6 + 4
    target = (wants[:, :, None] == names[:, None, :]).float() @ gifts
    return x, target

# %% [markdown]
# We start from three identity matrices and train for 300 steps. The last four numbers of the output are the answer.

# %%
def train(model, steps=300):
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.03), []
    for _ in range(steps):
        x, target = errands(32)
        loss = (model(x)[..., -4:] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses

# %% [markdown]
# What does it learn? A score is $q \cdot k = x_q\,(W_Q^T W_K)\,x_k^T$, so one matrix, $W_Q^T W_K$, says which part of
# the asking token meets which part of the answering one. (The next cell trains for a few seconds.)

# %%
with once_done("exercise 2.5"):
    model = SelfAttention(16)
    for matrix in model.parameters():
        nn.init.eye_(matrix)
    losses = train(model)
    meeting = (model.query.weight.T @ model.key.weight).detach()
    pictures.learned(losses, torch.eye(16), meeting, [("name", 6), ("want", 6), ("gift", 4)])
    print("the loss fell to less than a hundredth:", losses[-1] < losses[0] / 100)
    want_meets_name = torch.zeros(16, 16, dtype=torch.bool)
    want_meets_name[range(6, 12), range(6)] = True
    rivals = meeting[~want_meets_name]
    clear = meeting[want_meets_name].min() > 2 * rivals.max()
    print("want meets name, and every rival is less than half as strong:", bool(clear))

# %% [markdown]
# The identity compares like with like: names with names, wants with wants, gifts with gifts. Training has moved the
# bright diagonal to where a *want* in the query meets a *name* in the key. Nobody told it so: a smaller loss did.
#
# ## Explain it
#
# Three questions to answer in your own words; then compare with the folded answer.

# %% [markdown] explain="why_scale"
# **1.** You double the width of queries and keys and forget to scale the scores. What happens to the softmax, and to
# learning?
#
# ### BEGIN SOLUTION
# The variance of the scores doubles, since a dot product adds up twice as many terms. The largest score stands out
# more, the softmax moves towards giving all the weight to one key, and its slope, w(1 − w), goes towards 0. Less
# gradient reaches the query and key matrices, so they learn slowly or not at all.
# ### END SOLUTION

# %% [markdown] explain="why_before_softmax"
# **2.** Why is padding hidden before the softmax, and not by setting weights to 0 after it?
#
# ### BEGIN SOLUTION
# The softmax divides by the sum over all keys. If padding takes part in that sum, the visible weights add up to less
# than 1, by an amount that depends on how much padding there is: the same sentence would give other results in another
# batch. With hidden scores at the lowest number, padding adds nothing to the sum.
# ### END SOLUTION

# %% [markdown] explain="why_three"
# **3.** In the errands task, why couldn't one matrix serve as both query and key matrix?
#
# ### BEGIN SOLUTION
# With one matrix W for both, the score matrix is WᵀW, which is symmetric: how much A attends to B would be set by the
# same number as how much B attends to A. That I want something from you does not mean that you want something from me;
# it takes two matrices to tell asking from offering.
# ### END SOLUTION

# %% [markdown]
# ## What you have built
#
# Attention in four steps: scores, weights, hiding, average; and a module whose matrices learn what to look for. One
# thing is missing: a softmax that has to serve every kind of relation at once must compromise. The next lesson gives it
# several heads.
