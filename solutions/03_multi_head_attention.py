# %% [markdown]
# # Multi-head attention
#
# One softmax gives one set of weights: whatever a word needs from its sentence, it gets as one average. Several heads
# give several averages, side by side, for the same price.
#
# **At the end you will have built** `MultiHeadAttention`, number for number the same as PyTorch's, and seen its heads
# divide the work of reading real text among themselves (Vaswani et al. 2017, "Attention Is All You Need", section
# 3.2.2). It takes about 80 minutes.

# %%
import functools

import torch
import torch.nn.functional as F
from torch import nn

from nanobert.attention import masked_attention_weights  # (query, key, key_padding_mask=None), as in lesson 02
from unmasked.checks import multi_head_attention as checks
from unmasked.feedback import once_done
from unmasked.figures import multi_head_attention as pictures
from unmasked.widgets import multi_head_attention as widgets

torch.manual_seed(0)
torch.set_num_threads(1)  # for matrices as small as ours, more threads only get in each other's way
torch.set_printoptions(precision=3)

# %% [markdown]
# Letters for sizes: `B` sequences in a batch, `T` tokens, `D` the width of the model, `H` heads, and `K` = D / H, the
# width of a head.
#
# ## Why one head is not enough
#
# In "Ann calls Bob", the word "calls" needs two things: who stands before it, and who stands after it. One softmax that
# looks at both, half and half, brings back their average:

# %%
ann, bob = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
print("Ann calls Bob:", 0.5 * ann + 0.5 * bob)
print("Bob calls Ann:", 0.5 * bob + 0.5 * ann)

# %% [markdown]
# Who called whom is lost. Do other weights help? Let both neighbours carry a random number, mix the two with every
# possible pair of weights, and measure what the best readout of the mix (a multiple of it) leaves out of each.

# %%
def lost(target, mix):
    """The share of the target that the best multiple of the mix does not give back."""
    best = (mix @ target) / (mix @ mix) * mix
    return ((target - best).square().sum() / target.square().sum()).item()


before, after = torch.randn(2, 50_000)
shares = torch.linspace(0, 1, 41)
mixes = [share * before + (1 - share) * after for share in shares]
pictures.seesaw(shares, [lost(before, mix) for mix in mixes], [lost(after, mix) for mix in mixes])

# %% [markdown]
# A seesaw: what one neighbour gains the other loses, and the mean stays at one half. *Two* heads, one for each
# neighbour, lose nothing. To keep the price, in parameters and in arithmetic, each head gets a part of the width.
#
# ### Exercise 3.1 · Split the heads (about 5 min)
#
# Head $h$ gets the columns from $hK$ to $(h+1)K$ of every token. To let matrix products run over tokens, the heads
# move in front of them. Shapes: (B, T, D) → (B, H, T, K).
#
# <details><summary>Hint 1</summary>Two steps: cut the last axis in two, then swap two axes. Which shape stands
# between?</details>
# <details><summary>Hint 2</summary>Between them stands (B, T, H, K). <code>x.unflatten(axis, sizes)</code> cuts an
# axis; <code>transpose</code> swaps two.</details>

# %% exercise="split_heads"
def split_heads(x, heads):
    """Cut the model width into heads.  (B, T, D) -> (B, H, T, K)"""
    ### BEGIN SOLUTION
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    ### END SOLUTION


# %% check="split_heads"
checks.split_heads(split_heads)

# %% [markdown]
# A `reshape` straight to (B, H, T, K) gives the right shape as well, and the wrong numbers. Follow the colours:

# %%
with once_done("exercise 3.1"):
    pictures.cut(split_heads)

# %% [markdown]
# The reshape reads the memory in order and starts a new row every K numbers, so the "tokens" of a head are scraps of
# several words.
#
# ### Exercise 3.2 · Merge the heads (about 5 min)
#
# The way back: the heads stand side by side again, each in its old columns. Shapes: (B, H, T, K) → (B, T, D).
#
# <details><summary>Hint 1</summary>Undo the two steps of the split, the last one first.</details>
# <details><summary>Hint 2</summary>Swap T and H back, then <code>flatten</code> from the axis of the heads
# on.</details>

# %% exercise="merge_heads"
def merge_heads(x):
    """Put the heads side by side again, the inverse of `split_heads`.  (B, H, T, K) -> (B, T, D)"""
    ### BEGIN SOLUTION
    return x.transpose(1, 2).flatten(2)
    ### END SOLUTION


# %% check="merge_heads"
checks.merge_heads(merge_heads)

# %%
with once_done("exercises 3.1 and 3.2"):
    pictures.joined(merge_heads)
    x = torch.randn(2, 5, 12)
    print("merging undoes splitting:", torch.equal(merge_heads(split_heads(x, 3)), x))

# %% [markdown]
# ## Attention in every head
#
# ### Exercise 3.3 · The heads in a loop (about 10 min)
#
# Each head is the attention of lesson 02 on its own K columns:
#
# $$\text{head}_h = \text{softmax}\!\left(\frac{q_h\,k_h^T}{\sqrt{K}}\right) v_h$$
#
# where $q_h$, $k_h$, $v_h$ are columns $hK$ to $(h+1)K$ of query, key and value. Compute one head after another and
# join the results along the last axis. Shapes: three times (B, T, D) → (B, T, D).
#
# <details><summary>Hint 1</summary><code>masked_attention_weights</code> works on any width; hand it one head's
# columns, <code>query[..., start:end]</code>.</details>
# <details><summary>Hint 2</summary>Collect the heads' results in a list, and let <code>torch.cat</code> join them at
# the end.</details>

# %% exercise="heads_in_a_loop"
def heads_in_a_loop(query, key, value, heads):
    """Attention in each head's own columns, one head after another.  three times (B, T, D) -> (B, T, D)"""
    ### BEGIN SOLUTION
    width = query.shape[-1] // heads
    results = []
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        weights = masked_attention_weights(query[..., own], key[..., own])
        results.append(weights @ value[..., own])
    return torch.cat(results, dim=-1)
    ### END SOLUTION


# %% check="heads_in_a_loop"
checks.heads_in_a_loop(heads_in_a_loop)

# %% [markdown]
# Heads don't see one another. Change head 1's columns everywhere in the input; what changes in the result?

# %%
with once_done("exercise 3.3"):
    x = torch.randn(1, 5, 12)
    changed = x.clone()
    changed[:, :, 4:8] = torch.randn(1, 5, 4)  # head 1 of 3
    change = (heads_in_a_loop(changed, changed, changed, 3) - heads_in_a_loop(x, x, x, 3)).abs()
    pictures.change_by_column(change[0], heads=3, changed=1)

# %% [markdown]
# ### Exercise 3.4 · All heads at once (about 10 min)
#
# With the heads in front, *one* matrix product serves them all, and no loop is needed. Hide padding, too:
# `key_padding_mask` (B, T) is True where a token is padding, or `None`. Nothing but padding must not give NaN.
#
# You may use `F.scaled_dot_product_attention(query, key, value, attn_mask=...)`, lesson 02's attention in one call.
# Careful: its mask is True where a key *may be seen*, and must line up with the scores, (B, H, T, T).
#
# <details><summary>Hint 1</summary>Split all three, attend, merge.</details>
# <details><summary>Hint 2</summary>The mask lacks the axes of heads and queries. <code>None</code> as an index makes
# an axis of size 1; <code>~</code> swaps True and False.</details>

# %% exercise="heads_at_once"
def heads_at_once(query, key, value, heads, key_padding_mask=None):
    """Attention in all heads at once.  three times (B, T, D), (B, T) -> (B, T, D)"""
    ### BEGIN SOLUTION
    query, key, value = (split_heads(x, heads) for x in (query, key, value))  # B, H, T, K
    visible = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :]
    return merge_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=visible))
    ### END SOLUTION


# %% check="heads_at_once"
checks.heads_at_once(heads_at_once)

# %% [markdown]
# Both give the same numbers. The loop pays for each head; at once, they are one more axis of the same product. (A point
# out of line is chance: a computer does other things too.)

# %% tags=["varies", "nbval-ignore-output"]
with once_done("exercises 3.3 and 3.4"):
    query, key, value = torch.randn(3, 2, 5, 12)
    loop, once = (attend(query, key, value, 3) for attend in (heads_in_a_loop, heads_at_once))
    print("in a loop and at once the same:", torch.allclose(loop, once, atol=1e-6))
    factor = pictures.race(heads_in_a_loop, heads_at_once)
    print(f"64 heads, on this CPU: at once is {factor:.1f} times as fast as the loop")

# %% [markdown]
# ## The module
#
# So far head $h$ is stuck with the columns it is given. Learned projections choose what goes into them, and an *output
# projection* mixes the heads, which have not met until there:
#
# $$q = x\,W_Q^T + b_Q,\quad k = x\,W_K^T + b_K,\quad v = x\,W_V^T + b_V$$
#
# $$\text{MultiHead}(x) = \big[\text{head}_0, \ldots, \text{head}_{H-1}\big]\, W_O^T + b_O$$

# %% [markdown]
# ### Exercise 3.5 · Multi-head attention (about 15 min)
#
# Write the module. Its four layers are called `query`, `key`, `value` and `output` (the check loads known weights by
# these names); each is an `nn.Linear` from D to D, with bias. Heads that don't divide the width: raise a `ValueError`.
# Shapes: (B, T, D), (B, T) → (B, T, D).
#
# <details><summary>Hint 1</summary>D to D, not D to K: one layer makes the queries of all heads, side by
# side.</details>
# <details><summary>Hint 2</summary><code>forward</code>: three projections of x, then <code>heads_at_once</code>,
# then the fourth layer.</details>

# %% exercise="MultiHeadAttention"
class MultiHeadAttention(nn.Module):
    """Several attentions side by side, mixed by an output projection.  (B, T, D), (B, T) -> (B, T, D)"""

    def __init__(self, d_model, heads):
        super().__init__()
        ### BEGIN SOLUTION
        if d_model % heads:
            raise ValueError(f"{heads} heads do not divide a width of {d_model}")
        self.heads = heads
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)
        self.output = nn.Linear(d_model, d_model)
        ### END SOLUTION

    def forward(self, x, key_padding_mask=None):
        ### BEGIN SOLUTION
        query = split_heads(self.query(x), self.heads)  # B, H, T, K
        key = split_heads(self.key(x), self.heads)  # B, H, T, K
        value = split_heads(self.value(x), self.heads)  # B, H, T, K
        visible = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        return self.output(merge_heads(mixed))  # B, T, D
        ### END SOLUTION


# %% check="MultiHeadAttention"
checks.MultiHeadAttention(MultiHeadAttention)

# %% [markdown]
# Is it the real thing? Give PyTorch's own module your weights and compare. It keeps the three input projections in one
# matrix, stacked.

# %%
with once_done("exercise 3.5"):
    x, padding = torch.randn(2, 5, 12), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    for heads in (1, 2, 3, 12):
        mine, pytorchs = MultiHeadAttention(12, heads), nn.MultiheadAttention(12, heads, batch_first=True)
        inputs = (mine.query, mine.key, mine.value)
        pytorchs.in_proj_weight.data = torch.cat([layer.weight for layer in inputs]).detach()
        pytorchs.in_proj_bias.data = torch.cat([layer.bias for layer in inputs]).detach()
        pytorchs.out_proj.load_state_dict(mine.output.state_dict())
        expected, _ = pytorchs(x, x, x, key_padding_mask=padding)
        print(f"heads: {heads:2}, same as PyTorch's:", torch.allclose(mine(x, padding), expected, atol=1e-6))

# %% [markdown]
# ## Do heads share out the work?
#
# Back to the seesaw. Six people sit in a circle. Each carries eight random numbers and knows its own place; each must
# say what *both* neighbours carry. Does learning find a head for each? We train one head and two, and beside them two
# heads that are cut and joined by `reshape` alone (three trainings, some seconds each).

# %%
def circle(batch, people=6, width=32):
    """x (B, T, D): numbers carried, place, and room to spare.  target (B, T, 16): what the two neighbours carry."""
    carried = torch.randn(batch, people, 8)
    place = torch.eye(people).expand(batch, people, people)
    x = torch.cat([carried, place, torch.zeros(batch, people, width - 8 - people)], dim=-1)
    return x, torch.cat([carried.roll(1, dims=1), carried.roll(-1, dims=1)], dim=-1)


def neighbours_missed(model):
    x, target = circle(64)
    return (model(x)[..., :16] - target).square().mean()


# %%
def learn(model, loss_of, steps):
    """Train the model; `loss_of(model)` draws a batch and returns its loss.  -> the loss at each step"""
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.01), []
    for _ in range(steps):
        loss = loss_of(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# %% [markdown]
# The module returns no weights. We compute them once more, from its query and key layers:

# %%
@torch.no_grad()
def weights_in(attention, x, heads):
    """The attention weights in every head of a module.  (B, T, D) -> (B, H, T, T)"""
    return masked_attention_weights(split_heads(attention.query(x), heads), split_heads(attention.key(x), heads))


# %% tags=["varies", "nbval-ignore-output"]
with once_done("exercises 3.1 and 3.5"):
    models = {"1 head": MultiHeadAttention(32, 1), "2 heads": MultiHeadAttention(32, 2)}
    models["2 heads, by reshape alone"] = pictures.ByReshape(32, 2)
    pictures.losses({name: learn(model, neighbours_missed, steps=300) for name, model in models.items()}, bound=0.5)
    x, _ = circle(1)
    weights = torch.cat([weights_in(models["1 head"], x, 1)[0], weights_in(models["2 heads"], x, 2)[0]])
    titles = ["1 head", "2 heads: head 0", "2 heads: head 1"]
    pictures.heads_side_by_side(weights, titles, xlabel="place looked at", ylabel="place")

# %% [markdown]
# All three have the same number of weights. One head runs into the floor that we measured, ½: it sits on the fence,
# about half and half. Two heads go to 0: one looks mostly at the neighbour before, the other at the one after (two
# different mixes are enough, the output projection untangles them). Nobody assigned them; a smaller loss did. The
# reshape raises no error and gets stuck: each of its heads sees half the circle.

# %% [markdown]
# ## What heads see in real text
#
# Does this happen with language too? Take 6,000 verses of the World English Bible (public domain), cut into pieces
# of words, hide three in ten pieces, and let one layer of *your* attention, with four heads, guess them. The loss is
# over these alone, and training takes about 15 seconds on a laptop. (Lesson 07 does all this properly.)

# %%
from nanobert.tokenizer import MASK, pack_rows, train_tokenizer
from unmasked.data import load_corpus

corpus = load_corpus("web")  # the World English Bible
tokenizer = train_tokenizer(corpus.train[:6000], vocab_size=1000)
rows = pack_rows(tokenizer, corpus.train[:6000], max_tokens=12)
print("rows of tokens:", tuple(rows.shape), " a row:", tokenizer.decode(rows[0].tolist()))

# %%
class Guesser(nn.Module):
    """One layer of attention between word vectors and a score for every word.  (B, T) -> (B, T, V)"""

    def __init__(self, words=1000, places=12, width=64, heads=4):
        super().__init__()
        self.word = nn.Embedding(words, width)
        self.place = nn.Parameter(0.1 * torch.randn(places, width))
        self.attention = MultiHeadAttention(width, heads)
        self.score = nn.Linear(width, words)
        nn.init.normal_(self.word.weight, std=0.1)

    def vectors(self, tokens):
        return self.word(tokens) + self.place[: tokens.shape[1]]

    def forward(self, tokens):
        x = self.vectors(tokens)
        return self.score(x + self.attention(x))


# %%
def words_missed(model):
    tokens = rows[torch.randint(len(rows), (64,))]
    hidden = torch.rand(tokens.shape) < 0.3
    scores = model(tokens.masked_fill(hidden, MASK))
    return F.cross_entropy(scores[hidden], tokens[hidden])


@functools.cache  # trained at the first call only; run this cell again to train anew, with another attention, say
def trained_guesser():
    guesser = Guesser()
    curve = learn(guesser, words_missed, steps=600)
    print(f"loss: {curve[0]:.1f} at the start, {sum(curve[-50:]) / 50:.1f} at the end")
    return guesser


# %% [markdown]
# Hide the middle word of 500 rows. Where do the heads look from there, on average?

# %% tags=["varies", "nbval-ignore-output"]
with once_done("exercises 3.1 and 3.5"):
    guesser = trained_guesser()
    sample = rows[:500].clone()
    sample[:, 6] = MASK
    weights = weights_in(guesser.attention, guesser.vectors(sample), heads=4)
    pictures.by_distance(weights[:, :, 6].mean(dim=0), place=6)

# %% [markdown]
# These weights were learned, not designed, and differ from run to run. But in all of ten runs, one head looked at the
# word just before the gap and another at the word just after it. BERT-base, with 144 heads, has such heads too (Clark
# et al. 2019, "What Does BERT Look At?", section 3.1).
#
# See it in one sentence. Tab to a slider and use the arrow keys: the first hides another word, the second picks a head.
# A weight says where a head looks, not what it does with what it finds; that is up to values and output projection.

# %% tags=["varies", "nbval-ignore-output"]
sentence = "Abraham and Isaac, I will give it to you, and"  # or your own, up to 12 tokens

with once_done("exercises 3.1 and 3.5"):
    guesser = trained_guesser()
    tokens = torch.tensor(tokenizer.encode(sentence, add_special_tokens=False).ids[:12])
    each_hidden = tokens.repeat(len(tokens), 1).fill_diagonal_(MASK)  # row i hides place i
    weights = weights_in(guesser.attention, guesser.vectors(each_hidden), heads=4)
    scores = guesser(each_hidden).detach()
    vocabulary = [tokenizer.id_to_token(i) for i in range(1000)]
    widgets.head_explorer(
        [vocabulary[i] for i in tokens],
        weights.diagonal(dim1=0, dim2=2).permute(2, 0, 1),  # hidden place, head, place looked at
        scores.diagonal(dim1=0, dim2=1).T.softmax(dim=-1),
        vocabulary,
    )

# %% [markdown]
# ## What heads cost
#
# ### Exercise 3.6 · Parameters and FLOPs (about 10 min)
#
# Count by hand what one `MultiHeadAttention` costs for one sequence of T tokens.
#
# - **Parameters:** all weights and biases of the four layers.
# - **FLOPs:** matrix products only, 2 for each multiply-add, so (n, m) times (m, p) costs $2\,n\,m\,p$. Biases,
#   scaling, mask and softmax don't count.
#
# <details><summary>Hint 1</summary>Six kinds of product: four projections of T tokens, and in every head the scores
# and the mixing of the values.</details>
# <details><summary>Hint 2</summary>The scores of one head are (T, K) times (K, T). There are H heads, and H times K
# is a size you know.</details>

# %% exercise="attention_cost"
def attention_cost(tokens, d_model, heads):
    """What one forward pass costs.  -> (parameters, FLOPs)"""
    ### BEGIN SOLUTION
    parameters = 4 * (d_model * d_model + d_model)
    width = d_model // heads
    projections = 4 * 2 * tokens * d_model * d_model
    scores = heads * 2 * tokens * width * tokens
    mixing = heads * 2 * tokens * tokens * width
    return parameters, projections + scores + mixing
    ### END SOLUTION


# %% check="attention_cost"
checks.attention_cost(attention_cost)

# %% [markdown]
# Compare your count with what PyTorch counts while your module really runs, then see how long it takes:

# %% tags=["varies", "nbval-ignore-output"]
with once_done("exercises 3.5 and 3.6"):
    heads_tried = (1, 2, 4, 8, 16, 32, 64)
    modules = [MultiHeadAttention(64, heads) for heads in heads_tried]
    counted = [attention_cost(48, 64, heads) for heads in heads_tried]
    for heads, module, mine in zip(heads_tried, modules, counted):
        print(f"heads: {heads:2}, {mine[0]:,} parameters, {mine[1]:,} FLOPs;",
              "PyTorch counts the same:", pictures.measured_cost(module, 48, 64) == tuple(mine))  # fmt: skip
    parameters, flops = zip(*counted)
    pictures.cost_by_heads(heads_tried, parameters, flops, modules, tokens=48, d_model=64)

# %% [markdown]
# Neither count depends on the number of heads: more heads are narrower heads. Time does grow with many of them, because
# it also pays for what we didn't count, such as H·T·T weights that go through the softmax.
#
# ### How many heads?
#
# If heads are free, why not D of them? Let every number of heads sit in the circle. And since a head's T × T scores are
# a product of (T, K) and (K, T), look at their rank. (Six trainings: this takes a while.)

# %% tags=["varies", "nbval-ignore-output"]
with once_done("exercises 3.1 and 3.5"):
    final = {}
    for heads in (1, 2, 4, 8, 16, 32):
        curve = learn(MultiHeadAttention(32, heads), neighbours_missed, steps=300)
        final[heads] = sum(curve[-20:]) / 20
    pictures.loss_by_heads(final, bound=0.5)
    query, key = torch.randn(2, 1, 24, 32)
    for heads in (1, 4, 16, 32):
        scores = split_heads(query, heads) @ split_heads(key, heads).mT
        rank = torch.linalg.matrix_rank(scores[0, 0])
        print(f"H = {heads:2}, K = {32 // heads:2}: the scores of a head, 24 × 24, have rank {rank}")

# %% [markdown]
# One head has too few averages; 32 heads are one column wide, too narrow to tell six places apart quickly: the rank of
# the scores is at most K (Bhojanapalli et al. 2020, "Low-Rank Bottleneck in Multi-head Attention Models"). In practice K
# is often 64: the base model of Vaswani et al. has 8 heads at D = 512, BERT-base 12 at D = 768. One head, or too many,
# translated worse (Vaswani et al. 2017, table 3, rows A).
#
# What does cost is length: projections grow with T, scores and mixing with T².

# %%
with once_done("exercise 3.6"):
    lengths = list(range(1, 385, 8))
    total = torch.tensor([attention_cost(T, 64, 4)[1] for T in lengths])
    projections = torch.tensor([8 * T * 64**2 for T in lengths])
    pictures.cost_by_tokens(lengths, projections, total - projections, d_model=64)

# %% [markdown]
# ## Explain it
#
# Three questions to answer in your own words; then compare with the folded answer.

# %% [markdown] explain="why_transpose"
# **1.** Heads that are cut with `x.reshape(B, H, T, K)` raise no error, and the loss falls a good way. What do they
# attend to, and why does the loss not fall further?
#
# ### BEGIN SOLUTION
# The reshape cuts a sequence's memory into rows of K numbers in reading order. Head 0 gets the first T of these rows:
# the first T / H tokens (if H divides T), in H scraps each. Head 1 gets the next. So a head compares scraps of a few
# neighbouring tokens and never sees the others. Answers within its reach it learns, and so the loss falls;
# answers in another head's part of the sequence are out of reach.
# ### END SOLUTION

# %% [markdown] explain="why_root_k"
# **2.** With D = 512 and 8 heads, by what are the scores divided, and what would go wrong with √512?
#
# ### BEGIN SOLUTION
# By √64 = 8. A head's query and key are 64 wide, and a dot product of 64 terms with variance 1 has variance 64. Divided
# by √512 ≈ 22.6, the scores would have a variance of 64 / 512 = 1/8: the softmax would be flatter than meant, closer to
# the plain average, and would need larger weights to choose.
# ### END SOLUTION

# %% [markdown] explain="what_is_free"
# **3.** "Sixteen heads cost sixteen times as much as one." What is wrong with that, what does grow with the number of
# heads, and what speaks against as many heads as columns?
#
# ### BEGIN SOLUTION
# Parameters and the FLOPs of the matrix products stay the same, since H heads are K = D / H wide each, and H·K = D.
# What grows is the number of attention weights, H·T·T, and with it memory and the work of the softmax. With K = 1 a
# query is one number, which can only say how strongly to prefer large keys, or small ones: such a head can't pick out
# one token among many.
# ### END SOLUTION

# %% [markdown]
# ## What you have built
#
# Attention that keeps several averages apart, at the price of one, in the form in which every transformer uses it. So
# far it does not know the order of the tokens unless a vector says so: lesson 04 adds that. Lesson 05 puts your module
# into a block.
