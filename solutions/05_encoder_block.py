# %% [markdown]
# # The encoder block
#
# Attention moves information between tokens. To build with it, and to stack what you build, you need three things more:
# a net that works on what a token has gathered, paths that carry gradients through any depth, and norms that keep the
# numbers in bounds.
#
# **At the end you will have built** `EncoderBlock` and `Encoder`, number for number the same as PyTorch's
# `nn.TransformerEncoderLayer` and `nn.TransformerEncoder`, and measured what each part is good for. It takes about 80
# minutes; a good place for a break is before the section “The block”.

# %%
import torch
import torch.nn.functional as F
from torch import nn

from nanobert.embeddings import Embeddings  # you built it in lesson 04
from nanobert.multi_head import MultiHeadAttention  # and this one in lesson 03
from unmasked.checks import encoder_block as checks
from unmasked.feedback import once_done
from unmasked.figures import encoder_block as pictures
from unmasked.widgets import encoder_block as widgets

torch.manual_seed(0)
torch.set_num_threads(1)  # the models are small: a second thread would mostly wait for the first

# %% [markdown]
# Letters for sizes: `B` sequences in a batch, `T` tokens, `D` the width of the model.
#
# A block comes in two forms. You will write both, part by part: norm, feed-forward net, the sums, and the whole.

# %%
pictures.wiring()

# %% [markdown]
# ## Numbers in bounds
#
# A layer multiplies the size of its numbers by some factor, and layers in a row multiply the factors. Send random
# tokens through 30 linear layers, with PyTorch's initial weights times a `scale`, and watch the standard deviation:

# %%
for scale in (1, 2, 4):
    x = torch.randn(100, 64)
    for layer in range(1, 31):
        x = x @ (scale * nn.Linear(64, 64).weight).T
        if layer % 10 == 0:
            print(f"weights times {scale}, after {layer} layers: {x.std():.0e}")

# %% [markdown]
# The numbers die out or explode. Layer normalization (Ba, Kiros and Hinton 2016, section 3)
# brings every token back to mean 0 and variance 1, whatever came before.

# %% [markdown]
# ### Exercise 5.1 · Layer norm (about 10 min)
#
# For one token $x$ with $D$ numbers:
#
# $$\mu = \frac{1}{D}\sum_d x_d \qquad \sigma^2 = \frac{1}{D}\sum_d (x_d - \mu)^2 \qquad
# y_d = \frac{x_d - \mu}{\sqrt{\sigma^2 + \epsilon}}\;\text{weight}_d + \text{bias}_d$$
#
# `weight` and `bias` (D) are learned and the same for all tokens; $\epsilon$ keeps us from dividing by 0. Write it by
# hand. Numbers far from 0 must lose no digits. Shapes: (..., D) → (..., D).
#
# <details><summary>Hint 1</summary>Means along the last axis only. <code>keepdim=True</code> keeps that axis, so that you can subtract.</details>
# <details><summary>Hint 2</summary>The variance is the mean of the squared distances from the mean: over D, where torch's <code>var</code> divides by D − 1 unless told <code>correction=0</code>.</details>

# %% exercise="layer_norm"
def layer_norm(x, weight, bias, eps=1e-5):
    """Every token with mean 0 and variance 1, then times weight, plus bias.  (..., D), (D), (D) -> (..., D)"""
    ### BEGIN SOLUTION
    mean = x.mean(dim=-1, keepdim=True)
    variance = (x - mean).square().mean(dim=-1, keepdim=True)
    return (x - mean) / (variance + eps).sqrt() * weight + bias
    ### END SOLUTION


# %% check="layer_norm"
checks.layer_norm(layer_norm)

# %% [markdown]
# The same 30 layers, with your norm after each. Then four tokens, each in a place of its own, before and after; the
# stroke is the mean.

# %%
ones, zeros = torch.ones(64), torch.zeros(64)
spread, place = torch.tensor([[1.0], [6.0], [3.0], [0.5]]), torch.tensor([[0.0], [10.0], [-12.0], [20.0]])
tokens = torch.randn(4, 64) * spread + place
with once_done("exercise 5.1"):
    for scale in (1, 2, 4):
        x = torch.randn(100, 64)
        for _ in range(30):
            x = layer_norm(x @ (scale * nn.Linear(64, 64).weight).T, ones, zeros)
        print(f"weights times {scale}, after 30 layers with norms: {x.std():.1f}")
    pictures.tokens(tokens, layer_norm(tokens, ones, zeros))

# %% [markdown]
# What is lost: a token's own mean and spread. What stays: how its numbers compare with each other. `weight` and `bias`
# could undo it for one token; but all tokens share them, so they can't give each its own back. It is PyTorch's
# `nn.LayerNorm`, which we use from here on.

# %%
with once_done("exercise 5.1"):
    normal = layer_norm(tokens, ones, zeros)
    stretched = layer_norm(3 * tokens + 7, ones, zeros)
    print("stretched and moved tokens give the same:", torch.allclose(stretched, normal, atol=1e-3))
    token = tokens[1]
    undone = layer_norm(token, token.std(correction=0), token.mean())
    print("weight = its std and bias = its mean bring one token back:", torch.allclose(undone, token, atol=1e-3))
    norm = nn.LayerNorm(64)
    print("equal to nn.LayerNorm:", torch.allclose(norm(tokens), layer_norm(tokens, norm.weight, norm.bias), atol=1e-4))

# %% [markdown]
# ## A net for every position
#
# Attention brings a token a weighted *sum* of the others' values. To make something new of what it has gathered, each
# token goes through a small net of its own: up to a wider layer, an *activation* (a function with a bend, applied to
# each number), and down again (Vaswani et al. 2017, section 3.3). Without the bend, two linear maps would be no more
# than one. BERT's activation is GELU, $x \cdot \Phi(x)$ (Hendrycks and Gimpel 2016). $\Phi(x)$ is the share of a normal
# distribution that lies below $x$: about 0 for very negative numbers, about 1 for large ones.

# %%
pictures.gelu()

# %% [markdown]
# ### Exercise 5.2 · Feed-forward net (about 8 min)
#
# $$\text{FeedForward}(x) = \text{down}(\text{GELU}(\text{up}(x)))$$
#
# `up` and `down` are `nn.Linear` with biases, from `d_model` to `d_hidden` and back; the check puts known weights into
# them by these names. Use the exact GELU, not its approximation with tanh. Shapes: (B, T, D) → (B, T, D).
#
# <details><summary>Hint 1</summary><code>F.gelu</code> is the exact GELU unless you ask it for another one.</details>
# <details><summary>Hint 2</summary><code>nn.Linear</code> works along the last axis, at all positions alike: no loop and no reshape.</details>

# %% exercise="FeedForward"
class FeedForward(nn.Module):
    """The same two-layer net at every position.  (B, T, D) -> (B, T, D)"""

    def __init__(self, d_model, d_hidden):
        super().__init__()
        ### BEGIN SOLUTION
        self.up = nn.Linear(d_model, d_hidden)
        self.down = nn.Linear(d_hidden, d_model)
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return self.down(F.gelu(self.up(x)))
        ### END SOLUTION


# %% check="FeedForward"
checks.FeedForward(FeedForward)

# %% [markdown]
# The division of labour, measured: change token 2 of six, and see whose results change.

# %%
with once_done("exercise 5.2"):
    x = torch.randn(1, 6, 32)
    changed = x.clone()
    changed[:, 2] += torch.randn(32)
    parts = {"attention": MultiHeadAttention(32, 4), "feed-forward net": FeedForward(32, 128)}
    with torch.no_grad():
        changes = {name: (part(changed) - part(x)).norm(dim=-1)[0] for name, part in parts.items()}
    pictures.who_changes(changes)

# %% [markdown]
# Attention lets tokens talk; the feed-forward net thinks alone. A block is one of each.
#
# ## Paths for the gradient
#
# A *residual path* adds what a layer makes of $x$ to $x$ itself (He et al. 2016, equation 1): $y = x + f(x)$. Its
# derivative is $1 + f'(x)$, so that the gradient has a way around the layer, however little the layer lets through.
#
# Attention or feed-forward net is called a *sub-layer*. Where does its norm go?
#
# $$\text{post-norm: } y = \text{norm}(x + f(x)) \qquad\qquad \text{pre-norm: } y = x + f(\text{norm}(x))$$

# %% [markdown]
# ### Exercise 5.3 · One residual path (about 6 min)
#
# Write both forms. `sublayer` and `norm` are modules that you call; `x` must not be changed in place.
# Shapes: (B, T, D) → (B, T, D).
#
# <details><summary>Hint 1</summary>In pre-norm the norm sees <code>x</code> alone, in post-norm the sum. In both, what is added is <code>x</code> itself.</details>
# <details><summary>Hint 2</summary>Replace f by <code>sublayer</code> in the two formulas above. <code>x += ...</code> would write into the caller's tensor; a plain sum makes a new one.</details>

# %% exercise="residual"
def residual(x, sublayer, norm, pre_norm):
    """x plus what the sub-layer makes of it, normalized before or after.  (B, T, D) -> (B, T, D)"""
    ### BEGIN SOLUTION
    if pre_norm:
        return x + sublayer(norm(x))
    return norm(x + sublayer(x))
    ### END SOLUTION


# %% check="residual"
checks.residual(residual)

# %% [markdown]
# Now measure. Stack blocks of attention and feed-forward net, send a random gradient in at the top, and see how much of
# it arrives at each block, under five kinds of path:

# %%
def gradient_sizes(path, blocks=32, scale=1.0):
    """The size of the gradient at the input of each block, and at the output; 1 at the output."""
    torch.manual_seed(0)
    parts = nn.ModuleList()
    for _ in range(blocks):
        parts.extend([MultiHeadAttention(32, 4), FeedForward(32, 128)])
    for parameter in parts.parameters():
        parameter.data *= scale
    norm, x = nn.LayerNorm(32), torch.randn(4, 16, 32, requires_grad=True)
    stages = [x]
    for part in parts:
        stages.append(path(stages[-1], part, norm))
    gradients = torch.autograd.grad(stages[-1], stages, torch.randn_like(x))
    return [float(gradient.norm() / gradients[-1].norm()) for gradient in gradients[::2]]


# %%
paths = {
    "f(x)": lambda x, f, norm: f(x),
    "f(norm(x))": lambda x, f, norm: f(norm(x)),
    "x + f(x)": lambda x, f, norm: x + f(x),
    "post-norm": lambda x, f, norm: residual(x, f, norm, pre_norm=False),
    "pre-norm": lambda x, f, norm: residual(x, f, norm, pre_norm=True),
}
with once_done("exercises 5.2 and 5.3"):
    sizes = {name: gradient_sizes(path) for name, path in paths.items()}
    pictures.gradients(sizes, "32 blocks, weights as PyTorch draws them")

# %% [markdown]
# Read it from right to left, as the gradient runs. Without a residual path nothing arrives at the lower blocks: they
# would never learn. A norm alone helps, and fades still. All that add $x$ keep the gradient alive.
#
# Why then a norm as well? Here are 16 blocks with half the weights. Try: double them, change the depth. A curve may
# leave the picture; one that overflows isn't drawn, and its name says so.

# %% tags=["nbval-ignore-output"]
with once_done("exercises 5.2 and 5.3"):
    widgets.gradient_explorer(gradient_sizes, paths)

# %% [markdown]
# With 16 blocks: times 2, the gradient of $x + f(x)$ overflows. The one of $f(x)$ dies times 1.5 and overflows times 3.
# Times 0.5, the one of $f(\text{norm}(x))$ fades. With few blocks all of this is milder. Only a residual path *with* a
# norm stands all that you can set here: its gradient stays between 0.05 and 100.

# %% [markdown]
# ## The block
#
# | | post-norm | pre-norm |
# |---|---|---|
# | norm | after the sum, on the path | before the sub-layer, on the branch |
# | used by | Vaswani et al. 2017 (section 3.1), GPT, BERT, RoBERTa | GPT-2 (section 2.3), GPT-3, ViT, Llama, ModernBERT |
# | needs | *warm-up*: a learning rate that starts low | a last norm after the last block |
#
# More on the last line below.

# %% [markdown]
# ### Exercise 5.4 · The encoder block (about 18 min)
#
# Attention on a residual path, then the feed-forward net on another, each with its own norm. The names are fixed:
# `attention` and `feed_forward` (the modules passed in), `attention_norm` and `feed_forward_norm` (two `nn.LayerNorm`).
#
# - Call attention with the mask, True where a token is padding: `attention(x, key_padding_mask)`.
# - In training, *dropout* turns random numbers of what a sub-layer returns into 0, before $x$ is added (Vaswani et al.
#   2017, section 5.4): use `nn.Dropout`.
#
# Shapes: (B, T, D), (B, T) → (B, T, D).
#
# <details><summary>Hint 1</summary>Follow the picture upwards: two lines for each form, one a sub-layer.</details>
# <details><summary>Hint 2</summary>Or call <code>residual</code> with this function: <code>lambda h: self.dropout(self.attention(h, key_padding_mask))</code>.</details>

# %% exercise="EncoderBlock"
class EncoderBlock(nn.Module):
    """Attention, then feed-forward, each added to its input.  (B, T, D), (B, T) -> (B, T, D)"""

    def __init__(self, attention, feed_forward, d_model, pre_norm=True, dropout=0.0):
        super().__init__()
        ### BEGIN SOLUTION
        self.attention = attention
        self.feed_forward = feed_forward
        self.attention_norm = nn.LayerNorm(d_model)
        self.feed_forward_norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.pre_norm = pre_norm
        ### END SOLUTION

    def forward(self, x, key_padding_mask=None):
        ### BEGIN SOLUTION
        if self.pre_norm:
            x = x + self.dropout(self.attention(self.attention_norm(x), key_padding_mask))
            return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self.dropout(self.attention(x, key_padding_mask)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        ### END SOLUTION


# %% check="EncoderBlock"
checks.EncoderBlock(EncoderBlock)

# %% [markdown]
# Is it *the* transformer block? Copy the weights of your block, with the attention of lesson 03 in it, into PyTorch's
# own, which keeps the matrices of query, key and value in one tensor:

# %%
def copied_into_pytorch(block, pre_norm, heads=4):
    """PyTorch's own encoder layer with the weights of your block."""
    d_hidden, d_model = block.feed_forward.up.weight.shape
    layer = nn.TransformerEncoderLayer(
        d_model, heads, d_hidden, dropout=0.0, activation="gelu", batch_first=True, norm_first=pre_norm
    )
    ours, theirs = block.attention, layer.self_attn
    theirs.in_proj_weight.data = torch.cat([ours.query.weight, ours.key.weight, ours.value.weight])
    theirs.in_proj_bias.data = torch.cat([ours.query.bias, ours.key.bias, ours.value.bias])
    theirs.out_proj = ours.output
    layer.linear1, layer.linear2 = block.feed_forward.up, block.feed_forward.down
    layer.norm1, layer.norm2 = block.attention_norm, block.feed_forward_norm
    return layer

# %%
with once_done("exercises 5.2 and 5.4"):
    x, mask = torch.randn(2, 7, 32), torch.zeros(2, 7, dtype=torch.bool)
    mask[0, 4:] = True  # the first sequence has four tokens, then padding
    for pre_norm in (False, True):
        block = EncoderBlock(MultiHeadAttention(32, 4), FeedForward(32, 128), 32, pre_norm)
        theirs = copied_into_pytorch(block, pre_norm)(x, src_key_padding_mask=mask)
        same = torch.allclose(block(x, mask)[~mask], theirs[~mask], atol=1e-5)
        print("pre-norm: " if pre_norm else "post-norm:", "equal to nn.TransformerEncoderLayer:", same)

# %% [markdown]
# ## Blocks in a row
#
# A block returns what it takes, (B, T, D), so blocks can be stacked: BERT-base has 12, BERT-large 24.
#
# ### Exercise 5.5 · The encoder (about 6 min)
#
# Hand `x` from block to block, each with the mask, and at the end through `norm`, if there is one. Keep them as
# `blocks` and `norm`, so that PyTorch finds their parameters. Shapes: (B, T, D), (B, T) → (B, T, D).
#
# <details><summary>Hint 1</summary>PyTorch does not look into a Python list; into an <code>nn.ModuleList</code> it does.</details>
# <details><summary>Hint 2</summary><code>nn.Identity()</code> is a module that changes nothing: a good stand-in for a norm that isn't there.</details>

# %% exercise="Encoder"
class Encoder(nn.Module):
    """Blocks in a row, and a last norm where the blocks are pre-norm.  (B, T, D), (B, T) -> (B, T, D)"""

    def __init__(self, blocks, norm=None):
        super().__init__()
        ### BEGIN SOLUTION
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.Identity() if norm is None else norm
        ### END SOLUTION

    def forward(self, x, key_padding_mask=None):
        ### BEGIN SOLUTION
        for block in self.blocks:
            x = block(x, key_padding_mask)
        return self.norm(x)
        ### END SOLUTION


# %% check="Encoder"
checks.Encoder(Encoder)

# %% [markdown]
# What is the last norm for? Pre-norm never touches the path itself: each block adds to it, and nothing scales it down.
# Measure the numbers on the path, block by block, with initial weights: in 32 blocks those of pre-norm grow from 1 to
# about 2. Post-norm brings every block back to 1.

# %%
def build(pre_norm, blocks, last_norm=None):
    """An encoder of your parts, 32 wide."""
    parts = [(MultiHeadAttention(32, 4), FeedForward(32, 128)) for _ in range(blocks)]
    return Encoder([EncoderBlock(*pair, 32, pre_norm) for pair in parts], last_norm)


# %%
with once_done("exercises 5.2, 5.4 and 5.5"):
    sizes = {}
    for name in ("pre-norm", "post-norm"):
        stages = [torch.randn(8, 16, 32)]
        with torch.no_grad():
            for block in build(name == "pre-norm", blocks=32).blocks:
                stages.append(block(stages[-1]))
        sizes[name] = [float(stage.std()) for stage in stages]
    pictures.stream(sizes)

# %% [markdown]
# ## Which form trains
#
# A small task: eight symbols in a row, and each place must name the symbol *before* it. Build deep encoders for it, of
# 12 blocks, with embeddings below and a linear map to eight scores above.

# %%
def small_model(pre_norm):
    """Pre-norm gets a norm after the last block, post-norm one before the first, as in BERT."""
    first, last = (None, nn.LayerNorm(32)) if pre_norm else (nn.LayerNorm(32), None)
    embeddings = Embeddings(vocab_size=8, d_model=32, max_tokens=8, std=0.5, norm=first)
    return nn.Sequential(embeddings, build(pre_norm, 12, last), nn.Linear(32, 8))

# %% [markdown]
# Train at a high learning rate, once with *warm-up*: the rate rises from 0 to its full size over the first 50 steps.
# Besides the loss, record how much the tokens that leave the encoder differ from each other. The three runs take about
# 20 seconds.

# %%
def train(pre_norm, warm_up=1, steps=100, rate=0.005):
    torch.manual_seed(1)
    model, losses, variety = small_model(pre_norm), [], []
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(steps):
        symbols = torch.randint(8, (16, 8))
        optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / warm_up)
        x = model[:2](symbols)  # B, T, D
        loss = F.cross_entropy(model[2](x).mT, symbols.roll(1, dims=1))  # the first names the last
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        variety.append((x - x.mean(dim=(0, 1))).norm().item() / x.norm().item())  # 0: all tokens are the same
    return losses, variety

# %% tags=["varies", "nbval-ignore-output"]
with once_done("exercises 5.2, 5.4 and 5.5"):
    runs = {
        "pre-norm": train(pre_norm=True),
        "post-norm": train(pre_norm=False),
        "post-norm with warm-up": train(pre_norm=False, warm_up=50),
    }
    pictures.training(runs, symbols=8)

# %% [markdown]
# Post-norm at full speed stays on the level of guessing; with warm-up it learns; pre-norm does not need it. The right
# side shows what goes wrong: after the first steps, which are too large, all tokens leave the encoder nearly the same,
# and nothing is left to tell them apart by. Every norm of post-norm shrinks $x$ to make room for what was added. In
# pre-norm $x$ itself goes all the way up, and the tokens recover.
#
# Xiong et al. 2020 compare the two on translation and on BERT, which was itself trained with warm-up (10,000 steps;
# Devlin et al. 2019, appendix A.2). Our own model will be pre-norm.

# %% [markdown]
# ## Where the parameters are
#
# ### Exercise 5.6 · Count them, if you like (about 8 min)
#
# How many parameters does a post-norm encoder have, without a last norm? Count by hand: attention has four linear maps
# with biases, (D, D) each. The number of heads changes nothing, since they share the width.
#
# <details><summary>Hint 1</summary>A linear map from n to m numbers has n · m weights and m biases.</details>
# <details><summary>Hint 2</summary>A block has six linear maps, four of them in attention, and two norms, each with D weights and D biases.</details>

# %% exercise="encoder_parameters"
def encoder_parameters(layers, d_model, d_hidden):
    """The number of learnable numbers in an encoder of post-norm blocks."""
    ### BEGIN SOLUTION
    attention = 4 * (d_model * d_model + d_model)
    feed_forward = d_model * d_hidden + d_hidden + d_hidden * d_model + d_model
    norms = 2 * (d_model + d_model)
    return layers * (attention + feed_forward + norms)
    ### END SOLUTION


# %% check="encoder_parameters"
checks.encoder_parameters(encoder_parameters)

# %% [markdown]
# BERT-base has 12 blocks, 768 wide, 3072 inside. Around the encoder it has vectors for 30,522 tokens, 512 positions and
# two segments, with a norm; and a "pooler", one linear map. Its paper says "110M parameters" (Devlin et al. 2019,
# section 3):

# %%
with once_done("exercise 5.6"):
    embeddings = (30522 + 512 + 2) * 768 + 2 * 768
    pooler = 768 * 768 + 768
    encoder = encoder_parameters(12, 768, 3072)
    print(f"embeddings {embeddings:,} + encoder {encoder:,} + pooler {pooler:,} = {embeddings + encoder + pooler:,}")
    attention = 12 * 4 * (768 * 768 + 768)
    pictures.shares(
        {
            "embeddings and pooler": embeddings + pooler,
            "attention": attention,
            "feed-forward nets and norms": encoder - attention,
        },
        "Where BERT-base keeps its parameters",
    )

# %% [markdown]
# Half of BERT is feed-forward nets.
#
# ## Explain it
#
# Three questions to answer in your own words; then compare with the folded answer.

# %% [markdown] explain="why_not_batch_norm"
# **1.** A *batch norm* takes mean and variance over all tokens of a batch. What would that do to sentences of different
# lengths, and to a sentence that you want to encode alone?
# ### BEGIN SOLUTION
# Padding would take part in the mean and the variance, and every token would depend on what else happens to be in the
# batch: the same sentence would get other results in other company. Alone, it would be normalized by its own few
# tokens, unlike in training. A layer norm looks at one token only, so none of this matters.
# ### END SOLUTION

# %% [markdown] explain="why_last_norm"
# **2.** Follow the gradient from the output of the picture at the top down to x, in both forms, along the straight
# path. What does it meet? And why does only one of them need a last norm?
# ### BEGIN SOLUTION
# In pre-norm it meets nothing but sums, which hand it on unchanged: 1 + f′. In post-norm it goes through a norm after
# every sum, and each one rescales it. The same norms keep the numbers of post-norm at size 1 after every block. On the
# free path of pre-norm they grow, as each block adds to them; one norm at the end brings them back.
# ### END SOLUTION

# %% [markdown] explain="why_activation"
# **3.** You forget the activation in the feed-forward net, and the model still trains. What have you lost, and why
# didn't the loss tell you?
# ### BEGIN SOLUTION
# down(up(x)) is then a single linear map. With d_hidden = 4 D, as in BERT, two matrices of 4 D² numbers do what one of
# D² could. No token can make anything new of what it
# has gathered. The model still learns, because softmax and norms are not linear either, so the loss falls all the same,
# only less far. Nothing fails; you would have to compare, or to test the part alone, as the check does.
# ### END SOLUTION

# %% [markdown]
# ## What you have built
#
# A block of two sub-layers, each with a residual path and a norm, in both forms, and an encoder of as many as you like.
# What comes out has the shape of what goes in: a vector for each token, now in context. What to learn with it is the
# matter of the lessons to come.
