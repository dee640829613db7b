# %% [markdown]
# # Word order
#
# "Dog bites man" and "man bites dog" are made of the same words. Self-attention can't tell them apart, until its tokens
# say where they stand.
#
# **At the end you will have built** three ways to say it: sinusoids, as in the first transformer; learned positions, as
# in BERT; and rotary positions, as in Llama. You will have measured what each can do and what it can't.
# `Embeddings` from this lesson is the bottom of every model that you build later. It takes about 100 minutes; a good
# place for a break is after exercise 4.4.

# %%
import torch
import torch.nn.functional as F
from torch import nn

from nanobert.multi_head import MultiHeadAttention, merge_heads, split_heads  # you built them in lesson 03
from unmasked.checks import word_order as checks
from unmasked.feedback import once_done
from unmasked.figures import word_order as pictures
from unmasked.widgets import word_order as widgets

torch.manual_seed(0)
torch.set_num_threads(1)  # the models are small: a second thread would mostly wait for the first

# %% [markdown]
# Letters for sizes: `B` sequences in a batch, `T` tokens, `D` the width of the model, `H` heads, `K` = D / H.
#
# ## Attention does not see order
#
# Give each of three words a random vector, and send both sentences through your attention of lesson 03:

# %%
attention = MultiHeadAttention(8, 2)
dog, bites, man = 3 * torch.randn(3, 8)  # times 3: attention is choosier about large vectors, and the picture clearer
sentences = {"dog bites man": torch.stack([dog, bites, man]), "man bites dog": torch.stack([man, bites, dog])}
results = {words: attention(x[None])[0].detach() for words, x in sentences.items()}
pictures.two_orders(results)

# %% [markdown]
# The dog gets the same result whether it bites or is bitten. Only the rows have moved, along with the words.
#
# ### Exercise 4.1 · Measure it (about 9 min)
#
# A layer $f$ is *permutation equivariant* if permuting tokens only permutes the results:
# $f(x_\text{order}) = f(x)_\text{order}$. Return the largest absolute difference of the two sides, as one number.
# `order` (T) holds the places 0 to T − 1; token `order[t]` moves to place t. `layer(x)` has the shape of `x`.
# Shapes: (B, T, D), (T) → a number.
#
# <details><summary>Hint 1</summary>The tokens are axis 1, and a tensor of places is an index:
# <code>x[:, order]</code>.</details>
# <details><summary>Hint 2</summary><code>layer(x[:, order])</code> and <code>layer(x)[:, order]</code>:
# subtract, <code>abs</code>, <code>max</code>.</details>

# %% exercise="equivariance_error"
def equivariance_error(layer, x, order):
    """The largest difference between permuting before a layer and after it.  (B, T, D), (T) -> a number"""
    ### BEGIN SOLUTION
    return (layer(x[:, order]) - layer(x)[:, order]).abs().max().item()
    ### END SOLUTION


# %% check="equivariance_error"
checks.equivariance_error(equivariance_error)

# %% [markdown]
# Who sees order? A *convolution* makes each result of a token and its two neighbours, with other weights for the one
# before than for the one after. A *recurrent net* reads from left to right and keeps a memory. A linear layer looks at
# each token alone. Attention looks at all of them, and still is blind to order:

# %%
convolution, recurrent = nn.Conv1d(32, 32, 3, padding=1), nn.GRU(32, 32, batch_first=True)
layers = {"linear layer": nn.Linear(32, 32), "attention": MultiHeadAttention(32, 4)}
layers["attention, 3 layers"] = nn.Sequential(*(MultiHeadAttention(32, 4) for _ in range(3)))
layers["convolution"] = lambda x: convolution(x.mT).mT  # it wants (B, D, T); .mT swaps the last two axes
layers["recurrent net"] = lambda x: recurrent(x)[0]
with once_done("exercise 4.1"):
    x, order = torch.randn(2, 6, 32), torch.tensor([3, 0, 5, 4, 1, 2])
    for name, layer in layers.items():
        print(f"{name:20} equivariant: {bool(equivariance_error(layer, x, order) < 1e-5)}")

# %% [markdown]
# The proof is one line. Let the rows of the matrices $Q$, $K$, $V$ be the queries, keys and values, and let $P$ be the
# matrix that permutes rows. Permuted tokens have $PQ$, $PK$, $PV$. A softmax works on each row, whatever the order of the
# rows, and of the numbers in them: these move, and their weights with them. So $P$ passes through it on both sides. And
# $P^T$ permutes back, so $P^TP$ changes nothing (√K, a mere factor, is left out):
#
# $$\text{softmax}\big(PQ\,(PK)^T\big)\,PV = P\,\text{softmax}(QK^T)\,P^TP\,V = P\,\text{softmax}(QK^T)\,V$$
#
# In words: a result is a weighted *sum* over the tokens, and a sum does not know the order of its terms.
#
# ## See it fail
#
# Rows of words in which, somewhere, somebody bites somebody. Who bit?

# %%
WHO = "dog man cat fox bear wolf goose snake".split()
WORDS = [*WHO, "bites", *"today here then now again so and".split()]
BITES = WORDS.index("bites")


def rows_of_words(batch, tokens):
    """Random words, and somewhere among them "X bites Y".  -> rows (B, T), who bit (B)"""
    rows = torch.randint(BITES + 1, len(WORDS), (batch, tokens))
    shuffled = torch.rand(batch, len(WHO)).argsort(descending=True)  # for each row, all of WHO in a random order
    biter, bitten = shuffled[:, 0], shuffled[:, 1]
    row, start = torch.arange(batch), torch.randint(tokens - 2, (batch,))
    rows[row, start], rows[row, start + 1], rows[row, start + 2] = biter, torch.tensor(BITES), bitten
    return rows, biter


rows, biters = rows_of_words(batch=4, tokens=8)
for row, biter in zip(rows, biters):
    print(f"{' '.join(WORDS[word] for word in row):45} -> {WHO[biter]}")

# %% [markdown]
# The model: a vector for each word, one attention with two heads, and a score for each of the eight, read off at the
# word "bites". It trains on rows of eight words.

# %%
class WhoBit(nn.Module):
    """Who bit?  (B, T) -> a score for each of the eight, (B, 8)"""

    def __init__(self, embeddings, attention):
        super().__init__()
        self.embeddings, self.attention, self.score = embeddings, attention, nn.Linear(32, len(WHO))

    def forward(self, rows):
        x = self.attention(self.embeddings(rows))  # B, T, D
        return self.score(x[rows == BITES])


# %%
models, curves = {}, {}  # by kind of position


def learn(kind, embeddings, attention, steps=200):
    """Train a model on rows of eight words; keeps it, and the accuracy at each step."""
    model, curve = WhoBit(embeddings, attention), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(steps):
        rows, biters = rows_of_words(batch=64, tokens=8)
        scores = model(rows)
        loss = F.cross_entropy(scores, biters)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append((scores.argmax(-1) == biters).float().mean().item())
    models[kind], curves[kind] = model, curve


# %% tags=["varies", "nbval-ignore-output"]
learn("no positions", nn.Embedding(len(WORDS), 32), MultiHeadAttention(32, 2))
pictures.accuracies(curves)
both = torch.tensor([[WORDS.index(word) for word in words.split()] for words in sentences])
one, other = models["no positions"](both)
print("both orders get the same scores, up to rounding:", torch.allclose(one, other, atol=1e-4))

# %% [markdown]
# It finds the two who are involved, and tosses a coin. No training can help: whatever the weights, both orders give the
# word "bites" the same vector, up to rounding, and so the same scores.
#
# ## Sinusoids
#
# So each token needs something that says where it stands. A counter 0, 1, 2, ... would soon be larger than the numbers
# in the vectors of the words. Better: clocks. A hand stays on its circle however far it turns, a fast hand tells
# neighbours apart, and a slow one doesn't repeat itself soon.

# %% [markdown]
# ### Exercise 4.2 · The hands of the clocks (about 12 min)
#
# `width` columns make width / 2 hands, two columns for each. At place $t$, hand $i$ has turned by the angle
#
# $$\theta_{t,i} = t\,/\,\text{base}^{\,2i/\text{width}}$$
#
# in radians; places and hands count from 0. Angles go on growing: whole turns are not taken off. Shapes:
# (T, width / 2), in float32, as all vectors here.
#
# <details><summary>Hint 1</summary>The 2i are the even numbers below the width:
# <code>torch.arange(0, width, 2)</code>.</details>
# <details><summary>Hint 2</summary>A column of places, (T, 1), divided by a row of powers, (width / 2), is the whole
# table: <code>torch.arange(tokens)[:, None] / ...</code></details>

# %% exercise="position_angles"
def position_angles(tokens, width, base=10000):
    """By which angle each hand has turned at each place, in radians.  -> (T, width / 2)"""
    ### BEGIN SOLUTION
    exponents = torch.arange(0, width, 2) / width
    return torch.arange(tokens)[:, None] / base**exponents
    ### END SOLUTION


# %% check="position_angles"
checks.position_angles(position_angles)

# %% [markdown]
# Four hands at places 0 to 7. They start at the right and turn anticlockwise, as angles do in mathematics. From left to
# right each is ten times slower, as 10,000 to the power of 2/8 is 10: like the digits of a number, but smooth.

# %%
with once_done("exercise 4.2"):
    pictures.hands(position_angles(8, width=8))

# %% [markdown]
# ### Exercise 4.3 · Sinusoidal positions (about 8 min)
#
# The tip of a hand has two coordinates, a cosine and a sine. Write them side by side, the sine first, as the paper does
# (Vaswani et al. 2017, section 3.5):
#
# $$p_{t,\,2i} = \sin\theta_{t,i} \qquad p_{t,\,2i+1} = \cos\theta_{t,i}$$
#
# Shapes: (T, D), for an even D.
#
# <details><summary>Hint 1</summary>The columns alternate: sine, cosine, sine, cosine. An empty result can be filled in
# steps of two, <code>result[:, 0::2] = ...</code></details>
# <details><summary>Hint 2</summary>Or: <code>torch.stack</code> of both along a new last axis is (T, D / 2, 2), and
# <code>flatten(-2)</code> joins the last two, so that the pairs stand side by side.</details>

# %% exercise="sinusoidal_positions"
def sinusoidal_positions(tokens, d_model):
    """A vector of sines and cosines for each place.  -> (T, D)"""
    ### BEGIN SOLUTION
    angles = position_angles(tokens, d_model)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
    ### END SOLUTION


# %% check="sinusoidal_positions"
checks.sinusoidal_positions(sinusoidal_positions)

# %%
with once_done("exercises 4.2 and 4.3"):
    waves = sinusoidal_positions(64, 32)
    pictures.sinusoids(waves)
    lengths = waves.norm(dim=-1)
    print("all vectors have the same length, √(D/2):", torch.allclose(lengths, torch.tensor(16.0).sqrt()))

# %% [markdown]
# Same lengths, because $\sin^2 + \cos^2 = 1$ in every pair. And what do two places have in common? In each pair
#
# $$\sin\alpha\sin\beta + \cos\alpha\cos\beta = \cos(\alpha - \beta)$$
#
# so their dot product depends on the *distance* alone. Every diagonal below has one colour:

# %%
with once_done("exercises 4.2 and 4.3"):
    waves = sinusoidal_positions(24, 32)
    products = waves @ waves.T
    pictures.by_places({"dot products of sinusoids": products})
    diagonals = [products.diagonal(distance) for distance in range(24)]
    print("the same along each diagonal:", all(torch.allclose(d, d.mean(), atol=1e-4) for d in diagonals))
    print("largest at distance 0:", all(d.max() < products[0, 0] for d in diagonals[1:]))

# %% [markdown]
# Play with it. Tab to a slider and use the arrow keys: move the two places one by one, then by the same distance. The
# dot product is the sum of the cosines of the angles between the hands. What does a base of 10 do, or of a million?

# %% tags=["nbval-ignore-output"]
with once_done("exercise 4.2"):
    widgets.clocks(position_angles)

# %% [markdown]
# Base 10: all hands are fast and soon back in step, so places 44 apart have more in common (3.5) than places 3 apart
# (1.7). Base a million: most hands hardly move, and places up to 64 apart never fall below 2.9 of 8.
#
# Add the sinusoids to the vectors of the words, and ask again who bit:

# %% tags=["varies", "nbval-ignore-output"]
class WithSinusoids(nn.Embedding):
    """A learned vector for each word plus the sinusoids of its place.  (B, T) -> (B, T, D)"""

    def forward(self, rows):
        return super().forward(rows) + sinusoidal_positions(rows.shape[1], self.embedding_dim)


with once_done("exercises 4.2 and 4.3"):
    learn("sinusoids", WithSinusoids(len(WORDS), 32), MultiHeadAttention(32, 2))
    pictures.accuracies(curves)

# %% [markdown]
# ## Learned positions
#
# Why design what can be learned? A second table holds a vector for each place, next to the table of the words (Gehring
# et al. 2017, section 3.1). In translation it does as well as the sinusoids (Vaswani et al. 2017, table 3, row E).

# %% [markdown]
# ### Exercise 4.4 · Embeddings (about 20 min)
#
# Token plus place (Devlin et al. 2019, section 3): rows of two `nn.Embedding`, named `token` and `position`.
# `nn.init.normal_(table.weight, std=std)` draws the first weights; do so for both.
#
# `norm` is a layer to call on the sum (lesson 05), or None. Raise a `ValueError` for more than `max_tokens` tokens.
# Shapes: (B, T) → (B, T, D).
#
# <details><summary>Hint 1</summary>What stands in <code>tokens</code> picks a row of <code>token</code>; where it
# stands, a row of <code>position</code>, 0 to T − 1 in every sequence.</details>
# <details><summary>Hint 2</summary><code>torch.arange(tokens.shape[1], device=tokens.device)</code> are the places;
# their vectors, (T, D), add to (B, T, D). <code>nn.Identity()</code> can stand for a norm that isn't there.</details>

# %% exercise="Embeddings"
class Embeddings(nn.Module):
    """A learned vector for each token plus a learned vector for each position.  (B, T) -> (B, T, D)"""

    def __init__(self, vocab_size, d_model, max_tokens, std=0.05, norm=None):
        super().__init__()
        ### BEGIN SOLUTION
        self.token = nn.Embedding(vocab_size, d_model)
        self.position = nn.Embedding(max_tokens, d_model)
        self.norm = nn.Identity() if norm is None else norm
        nn.init.normal_(self.token.weight, std=std)
        nn.init.normal_(self.position.weight, std=std)
        ### END SOLUTION

    def forward(self, tokens):
        ### BEGIN SOLUTION
        count, limit = tokens.shape[1], self.position.num_embeddings
        if count > limit:
            raise ValueError(f"{count} tokens, but this model has positions for {limit}: shorten the text")
        positions = torch.arange(count, device=tokens.device)  # T
        return self.norm(self.token(tokens) + self.position(positions))  # B, T, D
        ### END SOLUTION


# %% check="Embeddings"
checks.Embeddings(Embeddings)

# %% [markdown]
# Give it places for 32 words and train it, as before, on rows of eight. `std=1.0` is the spread with which the
# `nn.Embedding` of the other models began. How far does training move each place?

# %% tags=["varies", "nbval-ignore-output"]
with once_done("exercise 4.4"):
    embeddings = Embeddings(len(WORDS), 32, max_tokens=32, std=1.0)
    before = embeddings.position.weight.detach().clone()
    learn("learned", embeddings, MultiHeadAttention(32, 2))
    pictures.accuracies(curves)
    pictures.change_by_place((embeddings.position.weight.detach() - before).norm(dim=-1))
    try:
        embeddings(torch.zeros(1, 33, dtype=torch.long))
    except ValueError as error:
        print("33 tokens raise a ValueError:", error)

# %% [markdown]
# It learns as well. But training moves only the places that it meets: those from 8 on are as random as on the first
# day. And beyond the table there is nothing: BERT has 512 places, and can't read a 513th token.
#
# ## Rotary positions
#
# What attention needs is mostly the distance: "one before me". Yet when a place $p$ is *added* to a word $x$, the score
# of two tokens is
#
# $$(x + p)\cdot(y + q) = x\cdot y + x\cdot q + p\cdot y + p\cdot q$$
#
# and only $p \cdot q$ can depend on the distance alone. Rotary positions (Su et al. 2021, RoFormer) add nothing. They
# turn queries and keys, like hands.

# %% [markdown]
# ### Exercise 4.5 · Turn pairs of columns (about 13 min)
#
# Columns 2i and 2i + 1 of a vector are a point in a plane. Turn it by the angle $\theta_i$ (Su et al. 2021, section
# 3.2.2):
#
# $$x'_{2i} = x_{2i}\cos\theta_i - x_{2i+1}\sin\theta_i \qquad x'_{2i+1} = x_{2i}\sin\theta_i + x_{2i+1}\cos\theta_i$$
#
# Each token has its own angles. Shapes: (..., T, K), (T, K / 2) → (..., T, K).
#
# <details><summary>Hint 1</summary><code>x[..., 0::2]</code> and <code>x[..., 1::2]</code> are the two halves of all
# pairs; each is as wide as the angles.</details>
# <details><summary>Hint 2</summary>Both results, stacked along a new last axis and flattened with
# <code>flatten(-2)</code>, alternate again. (Count from the end: in front there may be batch and heads.)</details>

# %% exercise="rotate"
def rotate(x, angles):
    """Turn each pair of neighbouring columns by its angle.  (..., T, K), (T, K / 2) -> (..., T, K)"""
    ### BEGIN SOLUTION
    first, second = x[..., 0::2], x[..., 1::2]
    sine, cosine = angles.sin(), angles.cos()
    return torch.stack([first * cosine - second * sine, first * sine + second * cosine], dim=-1).flatten(-2)
    ### END SOLUTION


# %% check="rotate"
checks.rotate(rotate)

# %% [markdown]
# Lengths stay: turning is no stretching. What of scores? Take one query and one key, put each at every place in each of
# the three ways, and draw the scores. A diagonal is one distance. (Learned positions begin as random ones, and nothing
# makes them agree along a diagonal.)

# %%
with once_done("exercises 4.2 to 4.5"):
    angles, waves, places = position_angles(24, 32), sinusoidal_positions(24, 32), torch.randn(24, 32)
    query, key = torch.randn(2, 32).unsqueeze(1).expand(2, 24, 32)
    print("lengths stay:", torch.allclose(rotate(query, angles).norm(dim=-1), query.norm(dim=-1)))
    scores = {
        "random, added": (query + places) @ (key + places).T,
        "sinusoids, added": (query + waves) @ (key + waves).T,
        "rotary": rotate(query, angles) @ rotate(key, angles).T,
    }
    pictures.by_places(scores, "place of the key", "place of the query")

# %% [markdown]
# Of these, the rotary scores alone are the same along every diagonal, whatever the query and the key: two turned vectors
# meet at the difference of their angles.
# Which distance scores highest is up to query and key, so it can be learned.
#
# Sinusoids and rotation are the same clocks. Turn the sinusoids of all places by the angles of place 3, and you get the
# sinusoids of three places before (a pair is sine first, so its hand runs the other way):

# %%
with once_done("exercises 4.2 to 4.5"):
    waves, angles = sinusoidal_positions(24, 32), position_angles(24, 32)
    turned = rotate(waves, angles[3].expand(24, 16))
    print("turned by 3 places, the waves have moved by 3 places:", torch.allclose(turned[3:], waves[:-3], atol=1e-5))

# %% [markdown]
# ### Exercise 4.6 · Rotary attention (about 12 min)
#
# Lesson 03's attention with one step more: turn queries and keys, *not* the values. Each head is a model of its own,
# with clocks for K columns. Every token sees all tokens: no mask, no dropout. From lesson 03: `split_heads(x, heads)`,
# (B, T, D) → (B, H, T, K), and the way back, `merge_heads(x)`. Shapes: three times (B, T, D) → (B, T, D).
#
# <details><summary>Hint 1</summary>Split all three, turn two, then <code>F.scaled_dot_product_attention(query, key,
# value)</code>, merge.</details>
# <details><summary>Hint 2</summary>After the split the shape is (B, H, T, K), and <code>rotate</code> takes it as it is.
# The angles are <code>position_angles(T, K)</code>, with T and K the last two sizes.</details>

# %% exercise="rotary_attention"
def rotary_attention(query, key, value, heads):
    """Attention in all heads, with queries and keys turned by their places.  three times (B, T, D) -> (B, T, D)"""
    ### BEGIN SOLUTION
    query, key, value = (split_heads(x, heads) for x in (query, key, value))  # B, H, T, K
    angles = position_angles(query.shape[-2], query.shape[-1])
    mixed = F.scaled_dot_product_attention(rotate(query, angles), rotate(key, angles), value)
    return merge_heads(mixed)
    ### END SOLUTION


# %% check="rotary_attention"
checks.rotary_attention(rotary_attention)

# %% [markdown]
# As a module it has the four layers of `MultiHeadAttention`. The words stay as they are; nothing is added to them. We
# train it, and then measure, as at the beginning, which models see order. `equivariance_error` takes vectors, (B, T, D),
# and these models take words, (B, T). So each word goes in as a one-hot vector, and `argmax` makes a word of it again:

# %% tags=["varies", "nbval-ignore-output"]
class RotaryAttention(MultiHeadAttention):
    def forward(self, x):
        return self.output(rotary_attention(self.query(x), self.key(x), self.value(x), self.heads))


def without_scores(model):
    return lambda one_hot: model.attention(model.embeddings(one_hot.argmax(-1)))


with once_done("exercises 4.1, 4.2, 4.5 and 4.6"):
    learn("rotary", nn.Embedding(len(WORDS), 32), RotaryAttention(32, 2))
    pictures.accuracies(curves)
    words = F.one_hot(rows_of_words(batch=2, tokens=8)[0], 32).float()  # B, T, D
    order = torch.tensor([3, 0, 5, 4, 1, 2, 7, 6])
    for kind, model in models.items():
        print(f"{kind:13} equivariant: {bool(equivariance_error(without_scores(model), words, order) < 1e-4)}")

# %% [markdown]
# ## Longer rows than in training
#
# All three see order, and learn who bit. Now the test that tells them apart: rows of up to 32 words, though none had
# more than eight in training.

# %% tags=["varies", "nbval-ignore-output"]
@torch.no_grad()
def accuracy(model, tokens):
    rows, biters = rows_of_words(batch=1000, tokens=tokens)
    return (model(rows).argmax(-1) == biters).float().mean().item()


lengths = (4, 6, 8, 10, 12, 16, 24, 32)
results = {kind: [accuracy(model, T) for T in lengths] for kind, model in models.items()}
pictures.by_length(lengths, results, trained=8)
if missing := {"sinusoids", "learned", "rotary"} - models.keys():
    print("Not trained yet:", ", ".join(sorted(missing)), "(exercises 4.2 to 4.6). Then run this cell again.")

# %% [markdown]
# Learned places beyond the eighth were never trained, and sinusoids of new places look new to the attention. Rotary
# attention has learned "one before me", and one before is the same everywhere.
#
# Our task is kind to it: only the neighbour counts. Language models with rotary positions do get worse beyond the length
# they were trained on (Press et al. 2022, figure 1), and are trained a little more to read longer texts, with slower
# hands (Chen et al. 2023; a base of 500,000 in Llama 3).

# %% [markdown]
# ## Who uses which
#
# |  | where | paper | used by |
# |--|-------|-------|---------|
# | sinusoidal | added to tokens | Vaswani et al. 2017, 3.5 | this paper, Whisper's encoder |
# | learned | added to tokens | Gehring et al. 2017, 3.1 | GPT to GPT-3, BERT, RoBERTa, ViT |
# | rotary | turns queries and keys, in every layer | Su et al. 2021 | GPT-NeoX, PaLM, Llama, ModernBERT |
#
# RoFormer pairs neighbouring columns, as you did; GPT-NeoX column i with i + K/2. Weights trained with one fail with
# the other. Others add a number to each score, by distance: learned in T5 (Raffel et al. 2020, 2.1), fixed in ALiBi
# (Press et al. 2022).

# %% [markdown]
# ## Explain it
#
# Three questions to answer in your own words; then compare with the folded answer.

# %% [markdown] explain="why_not_count"
# **1.** Why not simply add the number of the place, $t$, to every column of a token? And why not $t / T$, which stays
# below 1?
#
# ### BEGIN SOLUTION
# The number $t$ grows without bound: at place 500 it drowns the word, and places beyond the training are numbers never
# seen. $t / T$ is bounded, but one step is 1/8 in a short row and 1/500 in a long one: "one before me" looks different
# in every length, and in a long row neighbours hardly differ. A clock has neither problem: fast hands make each step
# clear, and all hands stay on their circles.
# ### END SOLUTION

# %% [markdown] explain="why_batch_index"
# **2.** A well-known mistake: `torch.arange(tokens.shape[0])[:, None]` as positions. If the table has enough rows,
# shapes fit and the loss falls. What has the model been told, what can't it learn, and which measurement of this
# lesson would show it?
#
# ### BEGIN SOLUTION
# Every token gets the number of its sequence in the batch: the same vector for all tokens of a sentence. That says
# nothing about order, so the model stays permutation equivariant. It can learn which words go together, so its loss
# falls, but not who bit whom. `equivariance_error` would be 0 (up to rounding) for embeddings and attention together.
# And a sentence's result would change with its row in the batch.
# ### END SOLUTION

# %% [markdown] explain="why_not_values"
# **3.** Rotary attention turns queries and keys. What would go wrong if it turned the values as well?
#
# ### BEGIN SOLUTION
# Scores compare two turned vectors, and only the difference of their angles is left. A value is compared with nothing:
# it is passed on. Turned, the same word would hand on another vector at each place, and the layers above would have to
# turn it back, knowing where it came from. What a token receives would depend on absolute places again.
# ### END SOLUTION

# %% [markdown]
# ## What you have built
#
# Three ways to tell a model where a word stands, and a measurement that shows whether it knows. Our own model will learn
# its positions, as BERT does, and start them from your sinusoids. `Embeddings` goes on to the next lesson, where
# attention becomes a block, and blocks become an encoder.
