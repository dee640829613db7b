# %% [markdown]
# # Warm-up
#
# Before the first attention score: the tools. How these lessons work, and the moves with tensors that all of them are
# made of.
#
# **At the end you will have built** four small functions: one that broadcasts, a softmax that doesn't overflow, a mean
# that skips padding, and many matrix products in one. It takes about 30 minutes.
#
# Run a cell with Shift+Enter. (The first one may take a minute, the first time.) Where a cell says `# YOUR CODE HERE`,
# write your code in the place of `raise NotImplementedError()`. The cell below it checks your work at once, as often as
# you like.

# %%
import torch

from unmasked.checks import warm_up as checks
from unmasked.feedback import once_done
from unmasked.figures import warm_up as pictures
from unmasked.widgets import warm_up as widgets

torch.manual_seed(0)
torch.set_printoptions(precision=3)

# %% [markdown]
# ## Shapes
#
# A tensor is a block of numbers with axes. The course names sizes by letters: `B` sequences in a batch, `T` tokens in a
# sequence, `D` numbers for a token. Axes are counted from 0, or from the end: −1 is the last.

# %%
block = torch.arange(24.0).reshape(2, 3, 4)  # B, T, D
pictures.axis_numbers(block)
for axis in (0, 1, 2, -1):
    print(f"the mean along axis {axis:2} has shape {tuple(block.mean(axis).shape)}")

# %% [markdown]
# An operation *along* an axis uses that axis up. With `keepdim=True` it stays, with size 1:

# %%
print(tuple(block.mean(-1).shape), "or, with keepdim=True,", tuple(block.mean(-1, keepdim=True).shape))

# %% [markdown]
# **Broadcasting.** Tensors of different shapes can be added, subtracted, multiplied. Line the shapes up *from the
# right*. Where one has size 1, or no axis at all, it is repeated; anything else must be equal. Try it (pale squares are
# repetitions; Tab to a slider, then use the arrow keys):

# %% tags=["nbval-ignore-output"]
widgets.shape_explorer()

# %% [markdown]
# ### Exercise 0.1 · Center (about 4 min)
#
# Subtract from every token the mean of *its own* numbers: (B, T, D) → (B, T, D).
#
# <details><summary>Hint 1</summary>There is one mean for each token: along which axis do you average? What is its shape, and does it line up with (B, T, D)?</details>
# <details><summary>Hint 2 (nearly the solution)</summary>The mean along axis −1, with <code>keepdim=True</code>, has shape (B, T, 1). Subtract it from <code>x</code>.</details>

# %% exercise="center"
def center(x):
    """Every token minus the mean of its own numbers.  (B, T, D) -> (B, T, D)"""
    ### BEGIN SOLUTION
    return x - x.mean(dim=-1, keepdim=True)
    ### END SOLUTION


# %% check="center"
checks.center(center)

# %% [markdown]
# **Checks name the mistake.** They don't compare with one right program: they call your function with inputs of their
# own and look at what comes out, so any way that works is right. And wrong answers are their business. Be wrong on
# purpose:

# %%
checks.center(lambda x: x - x.mean())

# %% [markdown]
# Stuck? **Hints** are folded under each exercise, from a nudge to nearly the solution. Nothing is lost by using them,
# and no later lesson needs your answers to this one.
#
# All sizes in that check differ, because in a square a lost axis goes unnoticed: for (3, 3), `x - x.mean(-1)` lines the
# means up with the *columns*, without an error. So print shapes, and test with sizes that differ.
#
# ## A softmax that doesn't overflow
#
# The softmax turns a row of scores into weights that are positive and sum to 1:
#
# $$\text{softmax}(s)_i = \frac{e^{s_i}}{\sum_j e^{s_j}}$$
#
# As a formula it is right. As a program it fails, because a 32-bit number ends at about $3.4 \cdot 10^{38}$:

# %%
scores = torch.tensor([87.0, 88.0, 89.0])
print("e^s:    ", scores.exp())
print("weights:", scores.exp() / scores.exp().sum())  # inf / inf is NaN, not a number

# %% [markdown]
# ### Exercise 0.2 · Stable softmax (about 8 min)
#
# Multiply the fraction above and below by $e^{-c}$: nothing changes, whatever $c$ is.
#
# $$\frac{e^{s_i}}{\sum_j e^{s_j}} = \frac{e^{s_i - c}}{\sum_j e^{s_j - c}}$$
#
# Choose $c$ for each row so that nothing can overflow, and not everything can shrink to 0. Write it by hand, along the
# last axis: (..., S) → (..., S), where the dots are any axes, or none.
#
# <details><summary>Hint 1</summary>If the largest exponent of a row is 0, its largest exponential is 1.</details>
# <details><summary>Hint 2 (nearly the solution)</summary><code>scores.amax(dim=-1, keepdim=True)</code> is the largest score of each row. Subtract it, take <code>.exp()</code>, and divide by the <code>.sum(...)</code> of each row, which must keep its axis too.</details>

# %% exercise="stable_softmax"
def stable_softmax(scores):
    """The softmax of every row, for scores of any size.  (..., S) -> (..., S)"""
    ### BEGIN SOLUTION
    powers = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    return powers / powers.sum(dim=-1, keepdim=True)
    ### END SOLUTION


# %% check="stable_softmax"
checks.stable_softmax(stable_softmax)

# %% [markdown]
# Three scores, raised together in steps of one. The weights should not change at all:

# %%
with once_done("exercise 0.2"):
    shifts = range(0, 121)
    raised = torch.tensor([0.0, 1.0, 2.0]) + torch.arange(121.0)[:, None]  # a row for each shift
    naive = (raised.exp() / raised.exp().sum(-1, keepdim=True)).amax(-1)
    pictures.overflow(shifts, naive.tolist(), stable_softmax(raised).amax(-1).tolist())

# %% [markdown]
# ## A mean that skips padding
#
# Sentences differ in length, and a tensor is rectangular: shorter ones are filled up with *padding*. What stands there
# must never count, whatever it is, even inf. A mask says where it is. In this course it is always called
# `key_padding_mask`, and it is **True where a token is padding**. Here that is the end of sequence 1; but padding may
# stand anywhere, so go by the mask.
#
# Three tools, each of which returns a new tensor: `~mask` inverts a mask, `x.masked_fill(mask, 0.0)` puts 0 where it is
# True, and `x[..., None]` has one more axis at the end, of size 1.

# %%
x = torch.tensor([[[4.0, 1.0], [5.0, 3.0], [3.0, 2.0], [4.0, 4.0]], [[2.0, 4.0], [3.0, 3.0], [0.0, 0.0], [0.0, 0.0]]])
key_padding_mask = torch.tensor([[False, False, False, False], [False, False, True, True]])
print("x (B, T, D):", tuple(x.shape), " key_padding_mask (B, T):", tuple(key_padding_mask.shape))

# %% [markdown]
# ### Exercise 0.3 · Masked mean (about 8 min)
#
# For each sequence, the mean of the tokens that are not padding, and these count whatever they hold. A sequence of
# nothing but padding gives 0, not NaN. Shapes: (B, T, D), (B, T) → (B, D).
#
# <details><summary>Hint 1</summary>A sum and a count. <code>~key_padding_mask</code> is True where a token counts, and the sum of a bool tensor is how often it is True. What does 0 / 0 give?</details>
# <details><summary>Hint 2 (nearly the solution)</summary><code>key_padding_mask[..., None]</code> has shape (B, T, 1): fill <code>x</code> with 0 there by <code>masked_fill</code>, and sum along axis 1. Divide by the counts, (B, 1), which <code>.clamp(min=1)</code> keeps from being 0.</details>

# %% exercise="masked_mean"
def masked_mean(x, key_padding_mask):
    """The mean of the tokens that are not padding, 0 if there are none.  (B, T, D), (B, T) -> (B, D)"""
    ### BEGIN SOLUTION
    total = x.masked_fill(key_padding_mask[..., None], 0.0).sum(dim=1)  # B, D
    count = (~key_padding_mask).sum(dim=1, keepdim=True)  # B, 1
    return total / count.clamp(min=1)
    ### END SOLUTION


# %% check="masked_mean"
checks.masked_mean(masked_mean)

# %%
with once_done("exercise 0.3"):
    pictures.two_means(x, key_padding_mask, x.mean(1), masked_mean(x, key_padding_mask))
    whole, alone = masked_mean(x, key_padding_mask)[1:], masked_mean(x[1:, :2], key_padding_mask[1:, :2])
    print("without its padding, sequence 1 has the same mean:", torch.allclose(alone, whole))

# %% [markdown]
# ## Many matrix products in one
#
# `a @ b` multiplies the matrices in the last two axes. All axes before them are a batch, and are broadcast:

# %%
a, b = torch.randn(7, 1, 3, 5), torch.randn(4, 5, 6)
print("(7, 1, 3, 5) @ (4, 5, 6) has shape", tuple((a @ b).shape), "- 28 products of (3, 5) and (5, 6)")

# %% [markdown]
# ### Exercise 0.4 · Batched products (about 6 min)
#
# Multiply *every* sequence (T, D) with *every* one of `H` matrices (D, K), each pair for itself. Attention with many
# heads will need just this. Shapes: (B, T, D), (H, D, K) → (B, H, T, K).
#
# <details><summary>Hint 1</summary>Write the batch axes below each other, from the right: (B) and (H) would meet. Which shape must <code>x</code> have so that (B, H) comes out?</details>
# <details><summary>Hint 2 (nearly the solution)</summary>Indexing with <code>None</code> adds an axis of size 1: <code>x[:, None]</code> has shape (B, 1, T, D). One <code>@</code> does the rest.</details>

# %% exercise="batched_products"
def batched_products(x, matrices):
    """Every sequence times every matrix.  (B, T, D), (H, D, K) -> (B, H, T, K)"""
    ### BEGIN SOLUTION
    return x[:, None] @ matrices
    ### END SOLUTION


# %% check="batched_products"
checks.batched_products(batched_products)

# %% tags=["varies"]
with once_done("exercise 0.4"):
    loop, yours = pictures.race(batched_products)
    print(f"64 sequences and 8 matrices, on this CPU: {loop:.2f} ms in a loop, {yours:.2f} ms in yours")

# %% [markdown]
# A transformer's work is nearly all such products (lesson 03 counts them). So the course has few loops, and it matters
# how fast a device multiplies matrices.
#
# ## The device
#
# A tensor lives on a *device*, and is computed there: `cpu`, `cuda` (NVIDIA GPUs) or `mps` (Apple's). Operations need all
# their tensors on the same one; `x.to(device)` copies `x` there. Which is the best that *this* computer has?

# %% tags=["varies"]
def best_device():
    """An NVIDIA GPU, else an Apple GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


device = best_device()
print("chosen:", device)

# %% [markdown]
# The same product there and on the CPU, in 32 bits, as always, and on the CPU in 64: how long does it take, and how far
# is it from the result in 64 bits? Then the same sums in the reverse order. (The CPU alone will do for this course.)

# %% tags=["varies"]
with once_done("exercise 0.4"):
    tokens, weights = torch.randn(16, 256, 512), torch.randn(8, 512, 64)
    exact = batched_products(tokens.double(), weights.double())
    print(f"the largest of the products, exact: {exact.abs().max():.0f}")
    for place, kind in dict.fromkeys([("cpu", torch.float64), ("cpu", torch.float32), (device.type, torch.float32)]):
        inputs = tokens.to(place, kind), weights.to(place, kind)
        error = (batched_products(*inputs).cpu() - exact).abs().max()
        milliseconds = pictures.times_of(batched_products, *inputs)
        print(f"{place:4} {kind}: {milliseconds:5.1f} ms, off by at most {error:.0e}")
    backwards = batched_products(tokens.flip(-1), weights.flip(1))
    changed = (backwards != batched_products(tokens, weights)).double().mean()
    print(f"added up in the reverse order on the CPU, {changed:.0%} of the numbers are others")

# %% [markdown]
# Every addition is rounded, in 32 bits to about seven digits, and devices add in different orders. So the last digits
# of two results may differ, though both are right. Even three numbers show it:

# %%
a, b, c = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
left, right = (a + b) + c, a + (b + c)
print(left.item(), right.item(), "equal:", (left == right).item(), "up to rounding:", torch.allclose(left, right))

# %% [markdown]
# That is why computed numbers are compared with a tolerance, `torch.allclose`, here and in the checks.
#
# ## Explain it
#
# Three questions to answer in your own words; then compare with the folded answer.

# %% [markdown] explain="why_silent"
# **1.** For `x` of shape (4, 4), `x - x.mean(-1)` gives no error. What does it compute, and what would you do so that
# such a mistake can't hide?
#
# ### BEGIN SOLUTION
# The means have shape (4) and are lined up from the right, with the columns: from the number in column j it subtracts
# the mean of row j. Keep the axis with keepdim=True, so that each mean stays with its row. And try code with sizes that
# all differ: with (3, 4) the mistake is an error.
# ### END SOLUTION

# %% [markdown] explain="why_largest"
# **2.** Subtracting any number from all scores of a row leaves its softmax as it is. Why is it the largest score that
# is subtracted, and why that of each row, not of the whole tensor?
#
# ### BEGIN SOLUTION
# With the largest score gone, the largest exponent is 0: no exponential is above 1, so nothing overflows, and the sum is
# at least 1, so nothing is divided by 0. With the largest score of the whole tensor, all exponentials of a row that lies
# far below would shrink to 0, and the row would be 0 / 0.
# ### END SOLUTION

# %% [markdown] explain="why_tolerance"
# **3.** The same product differs in the seventh digit on a CPU and on a GPU, or added up in another order. Is one of the
# results wrong?
#
# ### BEGIN SOLUTION
# Neither is wrong. A 32-bit number has about seven digits, every addition is rounded to them, and the devices add in
# different orders. A wrong result is off by far more: compare with a tolerance.
# ### END SOLUTION

# %% [markdown]
# ## What you have built
#
# Broadcasting along the right axis, a softmax that survives any score, a mean that skips padding, and many products at
# once; and you know on which device your computer runs them. In the next lesson, text becomes tensors.
