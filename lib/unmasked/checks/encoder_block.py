"""Checks of lesson 05. The oracles are `F.layer_norm`, `nn.TransformerEncoderLayer` and `nn.TransformerEncoder`."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from unmasked.attempt import Part
from unmasked.criteria import close, holds, kind, shaped, tensor
from unmasked.exercise import exercise

# Every size differs from every other, so that a wrong axis can't hide. HIDDEN is not 4 D either.
B, T, D, HEADS, HIDDEN = 3, 5, 8, 2, 14


SWAPPED = "The sizes are swapped: `up` leads from d_model to d_hidden, and `down` back."


def _fits(module, state):
    """Puts `state` into the module: the criterion that its parameters have these names and sizes."""
    layers = dict.fromkeys(name.split(".")[0] for name in state)
    sentence = f"{' and '.join(f'`{layer}`' for layer in layers)} have weights and biases of the right sizes"
    unfit = module.load(state)
    if not unfit:
        return holds(True, sentence, "")
    own = module.parameters()  # asked for only now, so that known mistakes in `forward` need not share first weights
    wrong = [name for name in unfit if name in own]
    if wrong and all(own[name].shape == state[name].shape[::-1] for name in state if name.endswith("weight")):
        return holds(False, sentence, SWAPPED)
    if wrong:
        sizes = tuple(own[wrong[0]].shape), tuple(state[wrong[0]].shape)
        return holds(False, sentence, f"`{wrong[0]}` has shape {sizes[0]} instead of {sizes[1]}.")
    names = ", ".join(sorted(own)) or "none"
    return holds(False, sentence, f"It has no parameter `{unfit[0]}`; the text fixes the names. It has: {names}.")


def _reached(gradients):
    """The criterion that these gradients, of all parameters of a module, are there."""
    unmoved = [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
    names = ", ".join(unmoved) or "any parameter"
    return holds(
        gradients and not unmoved,
        "gradients reach every parameter",
        f"No gradient reaches {names}: is a part left out, or a tensor detached on the way?",
    )


def _flows(gradient, module, x, form):
    """The criterion that `x` gets the gradient that it gets from the oracle `module`."""
    expected = torch.autograd.grad(module(x := x.clone().requires_grad_()), x, _signal(x))[0]
    right = isinstance(gradient, torch.Tensor) and close(gradient, expected, "", "", tolerance=1e-3).holds
    return holds(
        right,
        f"{form}: the gradient reaches `x`, through the sub-layer and along the path",
        f"{form}: the result is right and its gradient isn't: does `detach()`, `.data` or `no_grad` cut something off?",
    )


def _signal(output):
    """The gradient that `Attempt.gradients` sends in."""
    return torch.arange(1, output.numel() + 1.0).sin().view(output.shape)


# --- 5.1 layer_norm --------------------------------------------------------------------------------------------------


def _normal(x, eps, axes=-1, **correction):
    """Mean 0 and variance 1 over any axes; the right ones are the last."""
    variance = x.var(axes, keepdim=True, **(correction or {"correction": 0}))
    return (x - x.mean(axes, keepdim=True)) / (variance + eps).sqrt()


def _by_squares(x, weight, bias, eps=1e-5):
    mean, mean_square = x.mean(-1, keepdim=True), x.square().mean(-1, keepdim=True)
    return (x - mean) / (mean_square - mean.square() + eps).sqrt() * weight + bias


def _norm_without_gradient(x, weight, bias, eps=1e-5):
    mean, variance = x.mean(-1, keepdim=True).detach(), x.var(-1, correction=0, keepdim=True).detach()
    return (x - mean) / (variance + eps).sqrt() * weight + bias


def _norm_in_place(x, weight, bias, eps=1e-5):
    x -= x.mean(-1, keepdim=True)
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias


@exercise(
    points=2,
    by_hand=["layer_norm", "native_layer_norm", "group_norm", "batch_norm", "instance_norm", "rms_norm"],
    mistakes={
        "You average over the tokens; a layer norm looks at one token, the last axis.": (
            lambda x, weight, bias, eps=1e-5: _normal(x, eps, 1) * weight + bias
        ),
        "You average over the batch, as a batch norm does; a layer norm looks at one token, the last axis.": (
            lambda x, weight, bias, eps=1e-5: _normal(x, eps, 0) * weight + bias
        ),
        "You average over tokens and numbers together; every token has a mean and a variance of its own.": (
            lambda x, weight, bias, eps=1e-5: _normal(x, eps, (1, 2)) * weight + bias
        ),
        "You take one mean and one variance for the whole batch; every token has its own.": (
            lambda x, weight, bias, eps=1e-5: (x - x.mean()) / (x.var(correction=0) + eps).sqrt() * weight + bias
        ),
        "Your mean has lost its axis, so it can't be subtracted from `x`: keep the axis with `keepdim=True`.": (
            lambda x, weight, bias, eps=1e-5: x - x.mean(-1)
        ),
        "The mean is not subtracted.": (
            lambda x, weight, bias, eps=1e-5: x / (x.var(-1, correction=0, keepdim=True) + eps).sqrt() * weight + bias
        ),
        "You divide by the root of the mean square, as an RMS norm does; subtract the token's mean first.": (
            lambda x, weight, bias, eps=1e-5: x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias
        ),
        "You multiply by `weight + bias`; multiply by the weight, then add the bias.": (
            lambda x, weight, bias, eps=1e-5: _normal(x, eps) * (weight + bias)
        ),
        "You divide by the variance; its square root is missing.": (
            lambda x, weight, bias, eps=1e-5: (
                (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + eps) * weight + bias
            )
        ),
        "Nothing is divided: subtracting the mean alone leaves every token its own spread.": (
            lambda x, weight, bias, eps=1e-5: (x - x.mean(-1, keepdim=True)) * weight + bias
        ),
        "Your variance divides by D - 1, as torch's `var` and `std` do unless told otherwise; divide by D.": (
            lambda x, weight, bias, eps=1e-5: _normal(x, eps, correction=1) * weight + bias
        ),
        "Your variance is the sum of the squared distances; it is their mean, so divide by D.": (
            lambda x, weight, bias, eps=1e-5: _normal(x, eps, correction=x.shape[-1] - 1) * weight + bias
        ),
        "`weight` and `bias` are not used: multiply by the weight, then add the bias.": (
            lambda x, weight, bias, eps=1e-5: _normal(x, eps)
        ),
        "`weight` is not used.": lambda x, weight, bias, eps=1e-5: _normal(x, eps) + bias,
        "`bias` is not used.": lambda x, weight, bias, eps=1e-5: _normal(x, eps) * weight,
        "`weight` and `bias` are swapped: multiply by the weight and add the bias.": (
            lambda x, weight, bias, eps=1e-5: _normal(x, eps) * bias + weight
        ),
        "You add the bias before you multiply by the weight; it comes last.": (
            lambda x, weight, bias, eps=1e-5: (_normal(x, eps) + bias) * weight
        ),
        "`eps` stands outside of the root, added to the standard deviation; it is added to the variance, inside.": (
            lambda x, weight, bias, eps=1e-5: (
                (x - x.mean(-1, keepdim=True)) / (x.std(-1, correction=0, keepdim=True) + eps) * weight + bias
            )
        ),
        "The `eps` that is passed in has no effect: add it to the variance, under the root.": (
            lambda x, weight, bias, eps=1e-5: _normal(x, 1e-5) * weight + bias
        ),
        "Mean of squares minus square of the mean is the variance on paper only: far from 0 the rounding eats it up. "
        "Subtract the mean first, then square.": _by_squares,
        "No gradient flows through your mean and variance: `.item()`, `float()` or `detach()` cuts them off.": (
            _norm_without_gradient
        ),
        "You change `x` in place: the caller's tensor is not the same afterwards.": _norm_in_place,
    },
)
def layer_norm(attempt):
    """Ba, Kiros and Hinton 2016, equations 3 and 4 without the recurrence; eps as in PyTorch."""
    weight, bias = tensor(D) + 2, tensor(D)
    x = tensor(B, T, D, scale=2) + tensor(B, T, 1, scale=3)
    result = attempt(x, weight, bias)
    yield shaped(result, B=B, T=T, D=D)
    normal = (result - bias) / weight
    yield holds(
        normal.mean(-1).abs().max() < 1e-3,
        "before weight and bias, the numbers of every token have mean 0",
        "Before weight and bias, the numbers of a token must have mean 0: subtract its own mean, along the last axis, "
        "and add the bias at the very end.",
        received=normal.mean(-1),
    )
    yield holds(
        (normal.var(-1, correction=0) - 1).abs().max() < 1e-2,
        "and variance 1",
        "Before weight and bias, the numbers of a token must have variance 1.",
        received=normal.var(-1, correction=0),
    )
    yield close(
        result,
        F.layer_norm(x, (D,), weight, bias),
        "the result is (x - mean) / √(variance + eps) · weight + bias",
        "Mean and variance are right, but the result is not (x - mean) / √(variance + eps) · weight + bias.",
        earns=1,
    )
    yield close(
        attempt(x, weight, bias, 0.7),
        F.layer_norm(x, (D,), weight, bias, 0.7),
        "a large `eps` stands under the root, with the variance",
        "With a large `eps` the result is wrong: it must be added to the variance, under the root.",
    )
    constant = attempt(torch.full((1, 2, D), 4.0), weight, bias)
    yield close(
        constant,
        bias.expand(1, 2, D),
        "a token whose numbers are all equal becomes the bias",
        "A token whose numbers are all equal has variance 0; it must become the bias, not NaN or something huge.",
    )
    far = x[:1] + 3000
    yield close(
        attempt(far, weight, bias),
        F.layer_norm(far.double(), (D,), weight.double(), bias.double()).float(),
        "tokens far from 0 lose no digits",
        "For tokens far from 0 the result is wrong: how do you compute the variance?",
        tolerance=1e-2,
    )
    strided = tensor(D, T).mT
    yield close(
        attempt(strided, weight, bias),
        F.layer_norm(strided, (D,), weight, bias),
        "it works without a batch axis, and on a transposed view",
        "It fails for (T, D), or for a transposed view; count axes from the end.",
    )
    inputs = [part.clone().requires_grad_() for part in (x[:1], weight, bias)]
    output = F.layer_norm(inputs[0], (D,), *inputs[1:])
    expected = torch.autograd.grad(output, inputs, _signal(output))
    gradients = attempt.gradients(x[:1], weight, bias)["arguments"]
    yield holds(
        all(close(one, other, "", "", tolerance=1e-3).holds for one, other in zip(gradients, expected)),
        "its gradients are right as well",
        "The values are right and the gradients are wrong: does `.item()` or `detach()` cut something off?",
    )


# --- 5.2 FeedForward -------------------------------------------------------------------------------------------------


def _feed_forward(forward, bias=True, sizes=lambda d_model, d_hidden: (d_model, d_hidden)):
    """A FeedForward that is wrong in one thing."""

    class FeedForward(nn.Module):
        def __init__(self, d_model, d_hidden):
            super().__init__()
            outer, inner = sizes(d_model, d_hidden)
            self.up = nn.Linear(outer, inner, bias=bias)
            self.down = nn.Linear(inner, outer, bias=bias)

    FeedForward.forward = forward
    return FeedForward


def _right_feed_forward(net, x):
    return net.down(F.gelu(net.up(x)))


class _NotRegistered(nn.Module):
    def __init__(self, d_model, d_hidden):
        super().__init__()
        self.layers = [nn.Linear(d_model, d_hidden), nn.Linear(d_hidden, d_model)]

    def forward(self, x):
        return self.layers[1](F.gelu(self.layers[0](x)))


class _WithoutInit(nn.Module):
    def __init__(self, d_model, d_hidden):
        self.up = nn.Linear(d_model, d_hidden)


DROPOUT_INSIDE = "There is a dropout inside the net; leave it out: the block drops what the net returns."


@exercise(
    points=2,
    mistakes={
        "Your `__init__` does not call `super().__init__()` first; without it a module holds no layers.": _WithoutInit,
        "Your layers are in a plain list, where PyTorch does not find them; make each an attribute, `up` and `down`.": (
            _NotRegistered
        ),
        "Both layers have a bias; leave `bias` as it is.": _feed_forward(_right_feed_forward, bias=False),
        SWAPPED: _feed_forward(_right_feed_forward, sizes=lambda d_model, d_hidden: (d_hidden, d_model)),
        "The hidden width is `d_hidden`; 4 · d_model is only what most models pass in.": (
            _feed_forward(_right_feed_forward, sizes=lambda d_model, d_hidden: (d_model, 4 * d_model))
        ),
        "There is no activation, and two linear maps in a row are only another linear map.": (
            _feed_forward(lambda net, x: net.down(net.up(x)))
        ),
        "`nn.GELU` is a class and makes a module, which is called later; the function is `F.gelu(x)`.": (
            _feed_forward(lambda net, x: net.down(nn.GELU(net.up(x))))
        ),
        "You use ReLU, as the first transformer did; BERT's feed-forward net has GELU.": (
            _feed_forward(lambda net, x: net.down(F.relu(net.up(x))))
        ),
        "You use SiLU, x · sigmoid(x); GELU is x · Φ(x).": _feed_forward(lambda net, x: net.down(F.silu(net.up(x)))),
        "You use GELU's approximation with tanh; the exact one, PyTorch's default, is asked for.": (
            _feed_forward(lambda net, x: net.down(F.gelu(net.up(x), approximate="tanh")))
        ),
        "You use GELU's approximation x · sigmoid(1.702 x); the exact one is asked for.": (
            _feed_forward(lambda net, x: net.down(net.up(x) * (1.702 * net.up(x)).sigmoid()))
        ),
        "The activation comes after the second layer; it belongs between the two.": (
            _feed_forward(lambda net, x: F.gelu(net.down(net.up(x))))
        ),
        "There is a second activation at the end; the result of `down` is returned as it is.": (
            _feed_forward(lambda net, x: F.gelu(_right_feed_forward(net, x)))
        ),
        "You add `x` to the result; the residual path is drawn around the net, not inside it.": (
            _feed_forward(lambda net, x: x + _right_feed_forward(net, x))
        ),
        "There is a norm before `up`; norms are drawn around the net, not inside it.": (
            _feed_forward(lambda net, x: _right_feed_forward(net, F.layer_norm(x, (D,))))
        ),
        "There is a norm after `down`; norms are drawn around the net, not inside it.": (
            _feed_forward(lambda net, x: F.layer_norm(_right_feed_forward(net, x), (D,)))
        ),
        DROPOUT_INSIDE: _feed_forward(lambda net, x: F.dropout(_right_feed_forward(net, x), 0.1, net.training)),
        "You return the hidden layer; `down` has to bring it back to the model's width.": (
            _feed_forward(lambda net, x: F.gelu(net.up(x)))
        ),
    },
)
def FeedForward(attempt):
    """Vaswani et al. 2017, section 3.3, with the exact GELU of Hendrycks and Gimpel 2016, section 2."""
    state = {
        "up.weight": tensor(HIDDEN, D, scale=0.5),
        "up.bias": tensor(HIDDEN) - 1.5,  # many hidden numbers are around -2, where forms of GELU differ most
        "down.weight": tensor(D, HIDDEN),
        "down.bias": tensor(D),
    }
    net = attempt.build(D, HIDDEN)
    yield _fits(net, state)
    x = tensor(B, T, D)
    result = net(x)
    yield shaped(result, B=B, T=T, D=D)
    hidden = F.linear(x, state["up.weight"], state["up.bias"])
    expected = F.linear(hidden * (1 + torch.erf(hidden / 2**0.5)) / 2, state["down.weight"], state["down.bias"])
    right = close(result, expected, "", "", tolerance=3e-3).holds
    yield close(
        result,
        expected,
        "the result is down(GELU(up(x)))",
        "" if right else _why_not_fed(net, x, expected),
        earns=1,
        tolerance=3e-3,
    )
    yield close(
        result,
        expected,
        "with the exact GELU",
        "The result is close to down(GELU(up(x))) and not equal to it: which form of GELU is it?",
        tolerance=1e-5,
    )
    yield close(
        net(x.mT.contiguous().mT),
        expected,
        "it works on a transposed view",
        "It fails for a transposed view: linear layers need no reshaping.",
    )
    yield _reached(net.gradients(x)["parameters"])


def _why_not_fed(net, x, expected):
    """What is wrong with a net whose result is not `expected`; without a dropout it might be."""
    net.mode(training=False)
    if close(net(x), expected, "", "", tolerance=3e-3).holds:
        return DROPOUT_INSIDE
    return "With known weights the result is not down(GELU(up(x)))."


# --- 5.3 residual ----------------------------------------------------------------------------------------------------


def _path(pre=lambda x, sublayer, norm: x + sublayer(norm(x)), post=lambda x, sublayer, norm: norm(x + sublayer(x))):
    """A residual path that is wrong in one of its two forms."""
    return lambda x, sublayer, norm, pre_norm: (pre if pre_norm else post)(x, sublayer, norm)


def _path_in_place(x, sublayer, norm, pre_norm):
    x += sublayer(norm(x)) if pre_norm else sublayer(x)
    return x if pre_norm else norm(x)


def _sum_in_place(x, sublayer, norm, pre_norm):
    result = sublayer(norm(x) if pre_norm else x)
    result += x
    return result if pre_norm else norm(result)


@exercise(
    points=2,
    mistakes={
        "With `pre_norm=True` you normalize the sum, which is post-norm; normalize what enters the sub-layer.": (
            _path(pre=lambda x, sublayer, norm: norm(x + sublayer(x)))
        ),
        "With `pre_norm=False` you normalize what enters the sub-layer, which is pre-norm; normalize the sum.": (
            _path(post=lambda x, sublayer, norm: x + sublayer(norm(x)))
        ),
        "Pre-norm: the residual is missing; add `x` to what the sub-layer returns.": (
            _path(pre=lambda x, sublayer, norm: sublayer(norm(x)))
        ),
        "Post-norm: the residual is missing; add `x` to what the sub-layer returns, then normalize.": (
            _path(post=lambda x, sublayer, norm: norm(sublayer(x)))
        ),
        "Pre-norm: you add the normalized `x`; the residual path carries `x` itself, untouched.": (
            _path(pre=lambda x, sublayer, norm: norm(x) + sublayer(norm(x)))
        ),
        "Pre-norm: you normalize what leaves the sub-layer; normalize what enters it.": (
            _path(pre=lambda x, sublayer, norm: x + norm(sublayer(x)))
        ),
        "Pre-norm: you normalize twice, before the sub-layer and after the sum; only the first is pre-norm.": (
            _path(pre=lambda x, sublayer, norm: norm(x + sublayer(norm(x))))
        ),
        "Pre-norm: the norm is missing.": _path(pre=lambda x, sublayer, norm: x + sublayer(x)),
        "Post-norm: you add `x` after the norm; the sum is what gets normalized.": (
            _path(post=lambda x, sublayer, norm: x + norm(sublayer(x)))
        ),
        "Post-norm: you normalize twice, before the sub-layer and after the sum; only the second is post-norm.": (
            _path(post=lambda x, sublayer, norm: norm(x + sublayer(norm(x))))
        ),
        "Post-norm: you normalize `x` alone; the sum is what gets normalized.": (
            _path(post=lambda x, sublayer, norm: norm(x) + sublayer(x))
        ),
        "Post-norm: the norm is missing.": _path(post=lambda x, sublayer, norm: x + sublayer(x)),
        "Pre-norm: no gradient comes back through the sub-layer: `detach()`, `.data` or `no_grad` cuts it off.": (
            _path(pre=lambda x, sublayer, norm: x + sublayer(norm(x)).detach())
        ),
        "Pre-norm: no gradient comes back along the path: leave `x` attached, it is there to carry the gradient.": (
            _path(pre=lambda x, sublayer, norm: x.detach() + sublayer(norm(x)))
        ),
        "Post-norm: no gradient comes back through the sub-layer: `detach()`, `.data` or `no_grad` cuts it off.": (
            _path(post=lambda x, sublayer, norm: norm(x + sublayer(x).detach()))
        ),
        "Post-norm: no gradient comes back along the path: leave `x` attached, it is there to carry the gradient.": (
            _path(post=lambda x, sublayer, norm: norm(x.detach() + sublayer(x)))
        ),
        "You change `x` in place (`+=` does that): the caller's tensor is not the same afterwards.": _path_in_place,
        "You add `x` in place (`+=`) to what the sub-layer returned; a sub-layer may return `x` itself.": _sum_in_place,
    },
)
def residual(attempt):
    """Vaswani et al. 2017, section 3.1 (post-norm); Xiong et al. 2020, table 1 (both)."""
    matrix, shift, weight, bias = tensor(D, D), tensor(D), tensor(D) + 2, tensor(D)
    sublayer = Part("Linear", (D, D), {"weight": matrix, "bias": shift})
    norm = Part("LayerNorm", (D,), {"weight": weight, "bias": bias})

    def expected(x, pre_norm):
        normal = F.layer_norm(x, (D,), weight, bias) if pre_norm else x
        total = x + F.linear(normal, matrix, shift)
        return total if pre_norm else F.layer_norm(total, (D,), weight, bias)

    x = tensor(B, T, D, scale=2)
    result = attempt(x, sublayer, norm, True)
    yield shaped(result, B=B, T=T, D=D, what="the pre-norm result")
    yield close(
        result,
        expected(x, True),
        "pre-norm: x plus what the sub-layer makes of the normalized x",
        "With `pre_norm=True` the result is not x plus what the sub-layer makes of the normalized x.",
        earns=1,
    )
    result = attempt(x, sublayer, norm, False)
    yield shaped(result, B=B, T=T, D=D, what="the post-norm result")
    yield close(
        result,
        expected(x, False),
        "post-norm: x plus what the sub-layer makes of x, normalized",
        "With `pre_norm=False` the result is not the normalized sum of x and what the sub-layer makes of it.",
    )
    one = tensor(1, D, 1).mT
    yield close(
        attempt(one, sublayer, norm, True),
        expected(one, True),
        "it works for a single token",
        "It fails for a single token, (1, 1, D): this function needs no axis by number.",
    )
    for pre_norm in (False, True):
        yield close(
            attempt(one, Part("Identity"), Part("Identity"), pre_norm),
            2 * one,
            f"with `pre_norm={pre_norm}`, norm and sub-layer that return x give 2x",
            f"With `pre_norm={pre_norm}`, norm and sub-layer that change nothing must give 2x.",
        )
    for pre_norm, form in ((True, "pre-norm"), (False, "post-norm")):
        gradient = attempt.gradients(x, sublayer, norm, pre_norm)["arguments"][0]
        yield _flows(gradient, lambda x, pre_norm=pre_norm: expected(x, pre_norm), x, form)


# --- 5.4 EncoderBlock ------------------------------------------------------------------------------------------------


def _pre(x, a, f, m, n):
    """Pre-norm wiring of attention `a` with its norm `m` and a feed-forward net `f` with its norm `n`."""
    x = x + a(m(x))
    return x + f(n(x))


def _post(x, a, f, m, n):
    x = m(x + a(x))
    return n(x + f(x))


def _attend(block, x, mask):
    return block.dropout(block.attention(x, mask))


def _feed(block, x):
    return block.dropout(block.feed_forward(x))


def _block(pre=_pre, post=_post, attend=_attend, feed=_feed, norms=2):
    """An EncoderBlock whose wiring, attention, feed-forward net or norms are wrong, and the rest right."""

    class EncoderBlock(nn.Module):
        def __init__(self, attention, feed_forward, d_model, pre_norm=True, dropout=0.0):
            super().__init__()
            self.attention = attention
            self.feed_forward = feed_forward
            self.attention_norm = nn.LayerNorm(d_model)
            self.feed_forward_norm = nn.LayerNorm(d_model) if norms == 2 else self.attention_norm
            self.dropout = nn.Dropout(dropout)
            self.pre_norm = pre_norm

        def forward(self, x, key_padding_mask=None):
            wiring = pre if self.pre_norm else post
            parts = lambda y: attend(self, y, key_padding_mask), lambda y: feed(self, y)
            return wiring(x, *parts, self.attention_norm, self.feed_forward_norm)

    return EncoderBlock


def _dropped(drop):
    """A block with another dropout, `drop(block, y)`, of what its sub-layers return."""
    return _block(
        attend=lambda block, x, mask: drop(block, block.attention(x, mask)),
        feed=lambda block, x: drop(block, block.feed_forward(x)),
    )


class _SumDropped(_block()):
    """Dropout over the sums, so that it tears holes into the residual path too."""

    def forward(self, x, key_padding_mask=None):
        if self.pre_norm:
            x = self.dropout(x + self.attention(self.attention_norm(x), key_padding_mask))
            return self.dropout(x + self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(self.dropout(x + self.attention(x, key_padding_mask)))
        return self.feed_forward_norm(self.dropout(x + self.feed_forward(x)))


def _as_post(forward):
    """A block that is right as pre-norm; as post-norm it runs `forward(block, x, mask)`."""

    class EncoderBlock(_block()):
        def forward(self, x, key_padding_mask=None):
            return super().forward(x, key_padding_mask) if self.pre_norm else forward(self, x, key_padding_mask)

    return EncoderBlock


def _post_dropped(attend=_attend, feed=_feed, after=lambda block, x: x, summed=lambda block, x: x):
    """A block whose dropout is wrong as post-norm: of the sub-layers, of the sums, or after the norms."""

    def forward(block, x, mask):
        x = after(block, block.attention_norm(summed(block, x + attend(block, x, mask))))
        return after(block, block.feed_forward_norm(summed(block, x + feed(block, x))))

    return _as_post(forward)


def _attend_undropped(block, x, mask):
    return block.attention(x, mask)


def _feed_undropped(block, x):
    return block.feed_forward(x)


def _turned(mask):
    return None if mask is None else ~mask


class _OwnRate(_block()):
    def __init__(self, attention, feed_forward, d_model, pre_norm=True, dropout=0.0):
        super().__init__(attention, feed_forward, d_model, pre_norm, 0.1)


class _OwnSublayers(_block()):
    def __init__(self, attention, feed_forward, d_model, pre_norm=True, dropout=0.0):
        net = nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.GELU(), nn.Linear(4 * d_model, d_model))
        super().__init__(attention, net, d_model, pre_norm, dropout)


def _pre_in_place(x, a, f, m, n):
    x += a(m(x))
    return x + f(n(x))


def _layer(pre_norm):
    """PyTorch's own block, with weights of which none is 0 or 1."""
    sizes = {"d_model": D, "nhead": HEADS, "dim_feedforward": HIDDEN}
    return _filled(
        nn.TransformerEncoderLayer(**sizes, dropout=0.0, activation="gelu", batch_first=True, norm_first=pre_norm)
    )


def _filled(module):
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(tensor(*parameter.shape, scale=0.4) + (1.5 if "norm" in name and "weight" in name else 0))
    return module


def _parts_of(layer):
    """The two sub-layers of PyTorch's block as parts to plug in, and its norms by the names that the text fixes."""
    state = layer.state_dict()

    def renamed(**names):
        return {f"{new}.{kind}": state[f"{old}.{kind}"] for new, old in names.items() for kind in ("weight", "bias")}

    attention = layer.self_attn.state_dict()
    feed = {key.removeprefix("_"): value for key, value in renamed(_0="linear1", _2="linear2").items()}
    layers = Part("Linear", (D, HIDDEN)), Part("GELU"), Part("Linear", (HIDDEN, D))
    norms = renamed(attention_norm="norm1", feed_forward_norm="norm2")
    return Part("Attention", (D, HEADS), attention), Part("Sequential", layers, feed), norms


def _silenced(layer, last, norm):
    """A copy of PyTorch's block in which one half, of this last layer and norm, changes no tokens that are normal."""
    layer = copy.deepcopy(layer)
    for name, weight in ((last, 0.0), (norm, 1.0)):
        nn.init.constant_(layer.get_submodule(name).weight, weight)
        nn.init.zeros_(layer.get_submodule(name).bias)
    return layer


def _wrong_half(attempt, layer, x, pre_norm):
    """Where a wrong block is wrong, in a sentence: each half is tried while the other adds nothing."""
    wrong, x = [], F.layer_norm(x, (D,))
    halves = {"attention's half": ("linear2", "norm2"), "the feed-forward half": ("self_attn.out_proj", "norm1")}
    for half, silent in halves.items():
        other = _silenced(layer, *silent)
        attention, feed_forward, norms = _parts_of(other)
        block = attempt.build(attention, feed_forward, D, pre_norm=pre_norm)
        block.load(norms)
        block.mode(training=False)
        results = block(x), other(x).detach()
        if half == "attention's half":  # a norm too few or too many at the end is not the fault of the first half
            results = (F.layer_norm(result, (D,)) for result in results)
        if not close(*results, "", "", tolerance=1e-3).holds:
            wrong.append(half)
    if not wrong:
        return "Each half of your block is right alone, but the second does not start from what the first returned."
    form = "x + f(norm(x))" if pre_norm else "norm(x + f(x))"
    if len(wrong) == 2:
        return f"Neither half of your block is {form}: not attention's, and not the feed-forward net's."
    return f"{wrong[0][0].upper()}{wrong[0][1:]} is not {form}, even while the other half adds nothing."


def _padded():
    """A mask with padding at the end of one sequence, in the middle of another, nowhere in a third."""
    mask = torch.zeros(B, T, dtype=torch.bool)
    mask[0, 3:] = mask[1, 1] = True
    return mask


MASK_TURNED = "The mask is the wrong way round: hand it on as it is, True where a token is padding."
OWN_RATE = (
    "The argument `dropout` has no effect: your dropout has a rate of its own. Hand the argument to `nn.Dropout`."
)


@exercise(
    points=3,
    uses=("residual",),
    mistakes={
        "You normalize the sums, which is post-norm; with `pre_norm=True`, the default, normalize what enters.": (
            _block(pre=_post)
        ),
        "With `pre_norm=False` your block is still pre-norm: normalize each sum instead of what enters a sub-layer.": (
            _block(post=_pre)
        ),
        "Your feed-forward net reads the block's input; it must read what attention's residual path returned.": (
            _block(pre=lambda x, a, f, m, n: x + a(m(x)) + f(n(x)))
        ),
        "Your second residual path starts from the block's input, so that attention's own contribution is lost.": (
            _block(pre=lambda x, a, f, m, n: x + f(n(x + a(m(x)))))
        ),
        "There is no residual path around attention.": _block(pre=lambda x, a, f, m, n: (h := a(m(x))) + f(n(h))),
        "There is no residual path around the feed-forward net.": _block(pre=lambda x, a, f, m, n: f(n(x + a(m(x))))),
        "There is no residual path at all.": _block(pre=lambda x, a, f, m, n: f(n(a(m(x))))),
        "The residual paths carry the normalized `x`; they must carry `x` itself.": (
            _block(pre=lambda x, a, f, m, n: (h := n(m(x) + a(m(x)))) + f(h))
        ),
        "You normalize what leaves the sub-layers; pre-norm normalizes what enters them.": (
            _block(pre=lambda x, a, f, m, n: (h := x + m(a(x))) + n(f(h)))
        ),
        "The norm before attention is missing.": _block(pre=lambda x, a, f, m, n: (h := x + a(x)) + f(n(h))),
        "The norm before the feed-forward net is missing.": (
            _block(pre=lambda x, a, f, m, n: (h := x + a(m(x))) + f(h))
        ),
        "Both norms are missing.": _block(pre=lambda x, a, f, m, n: (h := x + a(x)) + f(h)),
        "A tensor is called like a function. Is it the sub-layer of `residual`? Hand over a function and not its "
        "result: `lambda h: self.attention(h, key_padding_mask)`.": _block(pre=lambda x, a, f, m, n: a(x)(m(x))),
        "`attention_norm` serves both sub-layers; each has a norm of its own.": (
            _block(pre=lambda x, a, f, m, n: _pre(x, a, f, m, m))
        ),
        "`feed_forward_norm` serves both sub-layers, or both names stand for this one norm; make two.": _block(norms=1),
        "The two norms are swapped: `attention_norm` belongs to attention.": (
            _block(pre=lambda x, a, f, m, n: _pre(x, a, f, n, m))
        ),
        "The feed-forward net comes first; attention does.": _block(pre=lambda x, a, f, m, n: _pre(x, f, a, n, m)),
        "You build a feed-forward net of your own; use the module that is passed in.": _OwnSublayers,
        "You change `x` in place (`+=` does that): the caller's tensor is not the same afterwards.": (
            _block(pre=_pre_in_place)
        ),
        "The mask is not handed on to attention: padding takes part in the result.": (
            _block(attend=lambda block, x, mask: _attend(block, x, None))
        ),
        MASK_TURNED: _block(attend=lambda block, x, mask: _attend(block, x, _turned(mask))),
        "`~` turns the mask round, and without a mask there is nothing to turn: hand `key_padding_mask` on as it is.": (
            _block(attend=lambda block, x, mask: _attend(block, x, ~mask))
        ),
        "As post-norm: the mask is not handed on to attention: padding takes part in the result.": (
            _post_dropped(attend=lambda block, x, mask: _attend(block, x, None))
        ),
        "As post-norm: the mask is the wrong way round: hand it on as it is, True where a token is padding.": (
            _post_dropped(attend=lambda block, x, mask: _attend(block, x, _turned(mask)))
        ),
        "As post-norm: you add `x` after the norm; the sum is what gets normalized.": (
            _block(post=lambda x, a, f, m, n: (h := x + m(a(x))) + n(f(h)))
        ),
        "As post-norm: the norm after attention's path is missing.": (
            _block(post=lambda x, a, f, m, n: n(x + a(x) + f(x + a(x))))
        ),
        "As post-norm: the norm after the feed-forward net's path is missing.": (
            _block(post=lambda x, a, f, m, n: (h := m(x + a(x))) + f(h))
        ),
        "As post-norm: both norms are missing.": _block(post=lambda x, a, f, m, n: (h := x + a(x)) + f(h)),
        "As post-norm: the two norms are swapped.": _block(post=lambda x, a, f, m, n: _post(x, a, f, n, m)),
        "As post-norm: your second path starts from the block's input; it must carry what the first norm returned.": (
            _block(post=lambda x, a, f, m, n: n(x + f(m(x + a(x)))))
        ),
        "As post-norm: there is no residual path around attention.": (
            _block(post=lambda x, a, f, m, n: n((h := m(a(x))) + f(h)))
        ),
        "As post-norm: there is no residual path around the feed-forward net.": (
            _block(post=lambda x, a, f, m, n: n(f(m(x + a(x)))))
        ),
        "As post-norm: your second path carries attention's sum as it was before the norm; only the net reads the "
        "norm's result.": _block(post=lambda x, a, f, m, n: n((h := x + a(x)) + f(m(h)))),
        "As post-norm: the feed-forward net reads the block's input; it must read what attention's path returned.": (
            _block(post=lambda x, a, f, m, n: n(m(x + a(x)) + f(x)))
        ),
        "As post-norm: what enters the sub-layers is normalized as well; only the sums are.": (
            _block(post=lambda x, a, f, m, n: n((h := m(x + a(m(x)))) + f(n(h))))
        ),
        "Dropout drops numbers in evaluation too; `nn.Dropout`, as an attribute, follows `train()` and `eval()`.": (
            _dropped(lambda block, y: F.dropout(y, block.dropout.p))
        ),
        "There is no dropout: in training it drops numbers of what each sub-layer returns.": (
            _dropped(lambda block, y: y)
        ),
        "Your dropout hits the residual path too; it belongs on what a sub-layer returns, before `x` is added.": (
            _SumDropped
        ),
        "Your dropout comes before the sub-layers; it belongs on what they return.": _block(
            attend=lambda block, x, mask: block.attention(block.dropout(x), mask),
            feed=lambda block, x: block.feed_forward(block.dropout(x)),
        ),
        "There is no dropout after attention; it belongs on what each sub-layer returns.": (
            _block(attend=lambda block, x, mask: block.attention(x, mask))
        ),
        "There is no dropout after the feed-forward net; it belongs on what each sub-layer returns.": (
            _block(feed=lambda block, x: block.feed_forward(x))
        ),
        "Dropout does not have the rate `dropout`: with rate 0 it must drop nothing.": (
            _dropped(lambda block, y: F.dropout(y, block.dropout.p or 0.5, block.training))
        ),
        OWN_RATE: _OwnRate,
        "As post-norm: there is no dropout; in training it drops numbers of what each sub-layer returns.": (
            _post_dropped(attend=_attend_undropped, feed=_feed_undropped)
        ),
        "As post-norm: there is no dropout after attention; it belongs on what each sub-layer returns.": (
            _post_dropped(attend=_attend_undropped)
        ),
        "As post-norm: there is no dropout after the feed-forward net; it belongs on what each sub-layer returns.": (
            _post_dropped(feed=_feed_undropped)
        ),
        "As post-norm: your dropout hits the sums; it belongs on what a sub-layer returns, before `x` is added.": (
            _post_dropped(_attend_undropped, _feed_undropped, summed=lambda block, x: block.dropout(x))
        ),
        "As post-norm: your dropout comes after the norms; it belongs on what a sub-layer returns, before `x` is "
        "added.": _post_dropped(_attend_undropped, _feed_undropped, after=lambda block, x: block.dropout(x)),
        "No gradient comes back through attention: `detach()`, `.data` or `no_grad` keeps it from learning.": (
            _block(attend=lambda block, x, mask: _attend(block, x, mask).detach())
        ),
        "No gradient comes back through the feed-forward net: `detach()`, `.data` or `no_grad` keeps it from "
        "learning.": _block(feed=lambda block, x: _feed(block, x).detach()),
        "No gradient comes back past attention's half: `no_grad` around the sum, or a `detach()`, cuts off all below "
        "it.": _block(pre=lambda x, a, f, m, n: (h := (x + a(m(x))).detach()) + f(n(h))),
        "As post-norm: no gradient comes back past attention's half: `no_grad` around the sum, or a `detach()`, cuts "
        "off all below it.": _block(post=lambda x, a, f, m, n: n((h := m(x + a(x)).detach()) + f(h))),
    },
)
def EncoderBlock(attempt):
    """Vaswani et al. 2017, section 3.1 and 5.4 (dropout), BERT's block; pre-norm as in Xiong et al. 2020, figure 1."""
    layer = _layer(pre_norm=True)
    attention, feed_forward, norms = _parts_of(layer)
    x, mask = tensor(B, T, D), _padded()
    block = attempt.build(attention, feed_forward, D)
    yield _fits(block, norms)
    block.mode(training=False)
    result = block(x)
    yield shaped(result, B=B, T=T, D=D)
    right = torch.allclose(result, layer(x), rtol=1e-4, atol=1e-4)
    yield close(
        result,
        layer(x),
        "pre-norm: it equals `nn.TransformerEncoderLayer(norm_first=True)`",
        "" if right else _wrong_half(attempt, layer, x, pre_norm=True),
        earns=1,
    )
    noise = torch.where(mask[..., None], tensor(B, T, D, scale=9), x)
    one, other = block(x, mask), block(noise, mask)
    yield shaped(one, B=B, T=T, D=D, what="the result with a mask")
    visible = (~mask)[..., None]
    yield holds(
        ((one - other) * visible).abs().max() < 1e-4,
        "with a mask, what stands at padding changes no other token",
        "What stands at padding changes the result of other tokens: does attention get the mask, as it is?",
    )
    yield close(
        one * visible,
        layer(x, src_key_padding_mask=mask) * visible,
        "and the visible tokens are right",
        "With a mask, the results of the visible tokens are wrong.",
    )
    pre_layer, layer = layer, _layer(pre_norm=False)
    attention, feed_forward, norms = _parts_of(layer)
    post = attempt.build(attention, feed_forward, D, pre_norm=False)
    post.load(norms)
    post.mode(training=False)
    result = post(x)
    yield shaped(result, B=B, T=T, D=D, what="the post-norm result")
    right = torch.allclose(result, layer(x), rtol=1e-4, atol=1e-4)
    yield close(
        result,
        layer(x),
        "post-norm: it equals `nn.TransformerEncoderLayer(norm_first=False)`",
        "" if right else "With `pre_norm=False`: " + _wrong_half(attempt, layer, x, pre_norm=False),
    )
    result = post(x, mask)
    yield shaped(result, B=B, T=T, D=D, what="the post-norm result with a mask")
    yield close(
        result * visible,
        layer(x, src_key_padding_mask=mask) * visible,
        "and with a mask too",
        "With `pre_norm=False` a mask gives wrong results: is it handed on to attention as it is?",
        earns=1,
    )
    # Dropout with rate 1 drops everything, so that where it stands shows without any chance in it.
    dropping = attempt.build(attention, feed_forward, D, pre_norm=True, dropout=1.0)
    dropping.mode(training=False)
    calm = dropping(x)
    dropping.mode(training=True)
    yield holds(
        not torch.allclose(calm, x, atol=1e-3),
        "in evaluation nothing is dropped",
        "Dropout drops numbers in evaluation too; it belongs to training.",
    )
    result = dropping(x)
    right = torch.allclose(result, x, rtol=1e-4, atol=1e-4)
    yield close(
        result,
        x,
        "in training, dropout with rate 1 leaves the residual path alone: x comes out",
        "" if right else _why_not_dropped(attempt, result, attention, feed_forward, x),
    )
    dropping = attempt.build(attention, feed_forward, D, pre_norm=False, dropout=1.0)
    dropping.load(norms)
    dropping.mode(training=True)
    yield close(
        dropping(x),
        layer.norm2(layer.norm1(x)),
        "as post-norm too: only the norms remain",
        "With `pre_norm=False` and dropout=1 in training, both sub-layers contribute nothing, so that `x` must come "
        "out, normalized twice: drop what each sub-layer returns, before `x` is added.",
    )
    sparing = attempt.build(attention, feed_forward, D, pre_norm=False, dropout=0.0)
    sparing.load(norms)
    sparing.mode(training=True)
    yield close(
        sparing(x, mask) * visible,
        layer(x, src_key_padding_mask=mask) * visible,
        "with rate 0 nothing is dropped",
        "With dropout=0 training and evaluation must give the same result.",
    )
    for built, oracle, form in ((block, pre_layer, "pre-norm"), (sparing, layer, "post-norm")):
        gradients = built.gradients(x[:1])
        yield _reached(gradients["parameters"])
        yield _flows(gradients["arguments"][0], oracle, x[:1], form)


def _why_not_dropped(attempt, result, attention, feed_forward, x):
    """What is wrong with a block that lets something through, with dropout=1: perhaps the rate has no effect."""
    sparing = attempt.build(attention, feed_forward, D, pre_norm=True, dropout=0.0)
    sparing.mode(training=True)
    if torch.allclose(sparing(x), result, rtol=1e-4, atol=1e-4):
        return OWN_RATE
    return "With dropout=1 in training, both sub-layers contribute nothing, so that x itself must come out."


# --- 5.5 Encoder -----------------------------------------------------------------------------------------------------


def _encoder(forward, keep=nn.ModuleList, own_norm=False):
    """An Encoder with another `forward(encoder, x, mask)`, or one that keeps its blocks in another way."""

    class Encoder(nn.Module):
        def __init__(self, blocks, norm=None):
            super().__init__()
            self.blocks = keep(blocks)
            self.norm = norm if norm is not None else nn.LayerNorm(D) if own_norm else nn.Identity()

        def forward(self, x, key_padding_mask=None):
            return forward(self, x, key_padding_mask)

    return Encoder


def _blocks_only(encoder, x, mask, blocks=None):
    """The blocks in a row, or other ones if given, without the last norm."""
    for block in encoder.blocks if blocks is None else blocks:
        x = block(x, mask)
    return x


def _stack(encoder, x, mask, blocks=None):
    return encoder.norm(_blocks_only(encoder, x, mask, blocks))


def _first_masked(encoder, x, mask):
    for block in encoder.blocks:
        x, mask = block(x, mask), None
    return encoder.norm(x)


def _last_block_only(encoder, x, mask):
    for block in encoder.blocks:
        result = block(x, mask)
    return encoder.norm(result)


def _sum_of_blocks(encoder, x, mask):
    return encoder.norm(sum(block(x, mask) for block in encoder.blocks))


def _norm_after_each(encoder, x, mask):
    for block in encoder.blocks:
        x = encoder.norm(block(x, mask))
    return x


def _extra_residual(encoder, x, mask):
    for block in encoder.blocks:
        x = x + block(x, mask)
    return encoder.norm(x)


def _norm_required(encoder, x, mask):
    norm = None if isinstance(encoder.norm, nn.Identity) else encoder.norm
    return norm(_blocks_only(encoder, x, mask))


@exercise(
    points=2,
    mistakes={
        "Your blocks are in a plain list, where PyTorch does not find their parameters; the list for modules is "
        "`nn.ModuleList`.": _encoder(_stack, keep=list),
        "The first block is applied again and again, itself or a copy; each block has its own turn.": (
            _encoder(lambda encoder, x, mask: _stack(encoder, x, mask, [encoder.blocks[0]] * len(encoder.blocks)))
        ),
        "Only the first block runs, and then the norm: is the `return` inside the loop?": (
            _encoder(lambda encoder, x, mask: _stack(encoder, x, mask, encoder.blocks[:1]))
        ),
        "Only the first block runs, and no norm: is the `return` inside the loop?": (
            _encoder(lambda encoder, x, mask: encoder.blocks[0](x, mask))
        ),
        "Only the last block counts: every block reads the encoder's input instead of what the one before returned.": (
            _encoder(_last_block_only)
        ),
        "You add up the blocks' results; each block reads what the one before returned.": _encoder(_sum_of_blocks),
        "You add a residual path around the blocks; they have theirs inside.": _encoder(_extra_residual),
        "The blocks run from last to first.": (
            _encoder(lambda encoder, x, mask: _stack(encoder, x, mask, reversed(encoder.blocks)))
        ),
        "One block is left out at the end.": (
            _encoder(lambda encoder, x, mask: _stack(encoder, x, mask, encoder.blocks[:-1]))
        ),
        "The last norm is forgotten.": _encoder(_blocks_only),
        "The norm comes first; it belongs after the last block.": (
            _encoder(lambda encoder, x, mask: _blocks_only(encoder, encoder.norm(x), mask))
        ),
        "The norm is applied after every block; it belongs after the last one only.": _encoder(_norm_after_each),
        "The mask is not handed on to the blocks.": _encoder(lambda encoder, x, mask: _stack(encoder, x, None)),
        "Only the first block gets the mask; all of them need it.": _encoder(_first_masked),
        MASK_TURNED: _encoder(lambda encoder, x, mask: _stack(encoder, x, _turned(mask))),
        "Without a norm, `norm=None`, it fails: return the last block's result as it is.": _encoder(_norm_required),
        "Without a norm, `norm=None`, yours normalizes all the same.": _encoder(_stack, own_norm=True),
    },
)
def Encoder(attempt):
    """Vaswani et al. 2017, section 3.1; the last norm: Radford et al. 2019, section 2.3."""
    oracle = nn.TransformerEncoder(_layer(pre_norm=True), 3, nn.LayerNorm(D), enable_nested_tensor=False)
    _filled(oracle)
    blocks = [Part("Block", (D, HEADS, HIDDEN), layer.state_dict()) for layer in oracle.layers]
    x, mask = tensor(B, T, D), _padded()
    encoder = attempt.build(blocks, Part("LayerNorm", (D,), oracle.norm.state_dict()))
    # Only the first block's: copies of it, made in place of the others, must not be put right.
    missing = encoder.load(
        {f"blocks.0.{name}": value for name, value in oracle.layers[0].state_dict().items()}
        | {f"norm.{name}": value for name, value in oracle.norm.state_dict().items()}
    )
    own = encoder.parameters() if missing else {}  # tells a plain list from blocks that are kept by other names
    yield holds(
        not missing,
        "it knows the parameters of its blocks and of its norm",
        f"It has no parameter `{''.join(missing[:1])}`: keep the blocks as `blocks`, in a list that PyTorch looks "
        f"into, and the norm as `norm`. It has {len(own)} parameters by other names.",
    )
    result = encoder(x)
    yield shaped(result, B=B, T=T, D=D)
    yield close(
        result,
        oracle(x),
        "it equals `nn.TransformerEncoder` with the same weights",
        "The result is not that of the blocks one after the other, and then the norm.",
        earns=1,
    )
    visible = (~mask)[..., None]
    result = encoder(x, mask)
    yield shaped(result, B=B, T=T, D=D, what="the result with a mask")
    yield close(
        result * visible,
        oracle(x, src_key_padding_mask=mask) * visible,
        "every block gets the mask",
        "With a mask, the results of the visible tokens are wrong: does every block get it, as it is?",
    )
    plain = attempt.build(blocks[:2])
    yield close(
        plain(x[:1]),
        oracle.layers[1](oracle.layers[0](x[:1])),
        "without a norm, the last block's result is returned as it is",
        "With two blocks and no norm, the result is not that of the second block.",
    )
    yield _reached(encoder.gradients(x)["parameters"])


# --- 5.6 encoder_parameters ------------------------------------------------------------------------------------------


def _count(attention=None, feed=None, norms=None, extra=lambda d: 0):
    """The number of parameters, with one kind counted in another way."""
    attention = attention or (lambda d: 4 * (d * d + d))
    feed = feed or (lambda d, f: d * f + f + f * d + d)
    norms = norms or (lambda d: 2 * 2 * d)
    return lambda layers, d_model, d_hidden: (
        layers * (attention(d_model) + feed(d_model, d_hidden) + norms(d_model)) + extra(d_model)
    )


@exercise(
    points=1,
    mistakes={
        "You count the parameters of one block; multiply by the number of blocks.": (
            lambda layers, d_model, d_hidden: _count()(1, d_model, d_hidden)
        ),
        "Only the weights of the six linear maps are counted: their biases and both norms are missing.": (
            _count(lambda d: 4 * d * d, lambda d, f: 2 * d * f, lambda d: 0)
        ),
        "There are no biases in your count: each of the six maps has them, and so have both norms.": (
            _count(lambda d: 4 * d * d, lambda d, f: 2 * d * f, lambda d: 2 * d)
        ),
        "The biases are not counted: a map from n to m numbers has n · m weights and m biases.": (
            _count(lambda d: 4 * d * d, lambda d, f: 2 * d * f)
        ),
        "The biases of the feed-forward net are not counted: d_hidden in `up`, d_model in `down`.": (
            _count(feed=lambda d, f: 2 * d * f)
        ),
        "Attention's output projection is not counted: there are four maps, three of them for query, key and value.": (
            _count(lambda d: 3 * (d * d + d))
        ),
        "Only one layer of the feed-forward net is counted.": _count(feed=lambda d, f: d * f + f),
        "`up` has d_hidden biases, not d_model.": _count(feed=lambda d, f: 2 * (d * f + d)),
        "`down` has d_model biases, not d_hidden.": _count(feed=lambda d, f: 2 * (d * f + f)),
        "You take d_hidden to be 4 · d_model; it is what is passed in.": _count(feed=lambda d, f: 8 * d * d + 5 * d),
        "4 · d_model are missing in each block: attention's four biases, or the two norms' weights and biases.": (
            _count(norms=lambda d: 0)
        ),
        "Half of the norms' parameters are missing: there are two norms a block, and each has a weight and a bias.": (
            _count(norms=lambda d: 2 * d)
        ),
        "You count a last norm; a post-norm encoder such as BERT's has none.": _count(extra=lambda d: 2 * d),
    },
)
def encoder_parameters(attempt):
    """Counted by PyTorch: the parameters of nn.TransformerEncoder."""
    for layers, d_model, d_hidden in ((1, 6, 10), (3, 10, 35), (12, 768, 3072)):
        count = attempt(layers, d_model, d_hidden)
        where = f"{layers} block{'s' if layers > 1 else ''}, d_model = {d_model}, d_hidden = {d_hidden}"
        off = count - _counted(layers, d_model, d_hidden) if isinstance(count, int) else None
        if off is None:
            otherwise = f"The result is {kind(count)}; the number of parameters is a whole number, an `int`."
        else:
            otherwise = f"For {where} your count is {abs(off):,} too {'high' if off > 0 else 'low'}."
        yield holds(off == 0, f"the count is right for {where}", otherwise, received=count)


def _counted(layers, d_model, d_hidden):
    layer = nn.TransformerEncoderLayer(d_model, 2, d_hidden, device="meta")
    return layers * sum(parameter.numel() for parameter in layer.parameters())
