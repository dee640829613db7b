"""What a check yields: criteria, each a sentence that holds or does not, with the words for when it does not."""

import contextlib
import contextvars
from dataclasses import dataclass

import torch

from unmasked.attempt import Foreign

NO_GRADIENT = (
    "No gradient flows back through the result, so layers before it could never learn: `.item()`, `float(...)`, "
    "`torch.tensor(...)` and `.detach()` make plain numbers of tensors."
)


@dataclass(frozen=True)
class Criterion:
    """One line of the verdict. `otherwise` is what is wrong, in one sentence, when it does not hold.

    `earns` are the points the learner has for good once it holds.
    """

    sentence: str
    holds: bool
    otherwise: str = ""
    expected: object = None
    received: object = None
    earns: float = 0


_generator = contextvars.ContextVar("generator of a check's inputs")


@contextlib.contextmanager
def seeded_inputs(seed):
    """Within the block, `tensor` draws from this seed: the same inputs for every attempt."""
    token = _generator.set(torch.Generator().manual_seed(seed))
    try:
        yield
    finally:
        _generator.reset(token)


def tensor(*shape, scale=1.0):
    """A normal random tensor of a check's own generator."""
    return torch.randn(shape, generator=_generator.get()) * scale


def integers(low, high, shape):
    """Random integers in [low, high) of a check's own generator."""
    return torch.randint(low, high, shape, generator=_generator.get())


def holds(condition, sentence, otherwise, **shown):
    """A property that can be put in words."""
    return Criterion(sentence, bool(condition), otherwise, **shown)


def shaped(value, *, dtype=torch.float32, what="the result", hint="", finite=True, **sizes):
    """`value` is a tensor of these sizes, given by letter: `shaped(weights, B=2, Q=3, S=5)`, of finite numbers."""
    letters, shape = ", ".join(sizes), tuple(sizes.values())
    wanted = f"({letters}) = {shape}" if sizes else "()"
    sentence = f"{what} is a tensor of shape {wanted}"
    capital = what[0].upper() + what[1:]
    if not isinstance(value, torch.Tensor):
        return Criterion(sentence, False, f"{capital} is {kind(value)}, where a tensor of shape {wanted} is needed.")
    if value.shape != shape:
        swapped = sorted(value.shape) == sorted(shape)
        hint = hint or ("The sizes are right and their order is not." if swapped else "")
        text = f"{capital} has shape {tuple(value.shape)} instead of {wanted}. {hint}".strip()
        return Criterion(sentence, False, text)
    if value.dtype != dtype:
        text = f"{capital} holds {value.dtype} numbers; {dtype} is needed."
        return Criterion(sentence, False, text)
    if finite and not value.isfinite().all():
        unfit = "NaN (not a number)" if value.isnan().any() else "infinite numbers"
        text = f"{capital} holds {unfit}: is there a division by zero, or a softmax over nothing but -inf?"
        return Criterion(sentence, False, text, received=value)
    return Criterion(sentence, True)


def close(received, expected, sentence, otherwise, earns=0, tolerance=1e-4):
    """Every number of `received` is the expected one, up to rounding."""
    if not isinstance(received, torch.Tensor) or received.shape != expected.shape:
        what = f"of shape {tuple(received.shape)}" if isinstance(received, torch.Tensor) else kind(received)
        wanted = f"{otherwise} The result is {what}; a tensor of shape {tuple(expected.shape)} is needed."
        return Criterion(sentence, False, wanted)
    good = torch.allclose(received, expected, rtol=tolerance, atol=tolerance)
    return Criterion(sentence, good, otherwise, expected, received, earns)


def differentiable(attempt, *inputs, arguments):
    """The criterion that gradients reach so many of the first arguments."""
    gradients = attempt.gradients(*inputs)["arguments"][:arguments]
    reached = [gradient is not None and bool(gradient.any()) for gradient in gradients]
    return holds(reached == [True] * arguments, "gradients flow back through it", NO_GRADIENT)


def kind(value):
    """What to call a value that is not what was asked for, in a sentence."""
    if value is None:
        return "None (is a `return` missing?)"
    if isinstance(value, Foreign):
        return (
            "a NumPy array" if value.type_name == "numpy.ndarray" else f"a {value.type_name.removeprefix('builtins.')}"
        )
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{'an' if isinstance(value, int) else 'a'} {type(value).__name__}"
