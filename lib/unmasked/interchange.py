"""Whether a learner's own part, which passes its check, can take the reference's place in later lessons.

Weights must go from one to the other, as from a checkpoint or a published model, and both must then compute the same,
built and called as later lessons do.

B batch, T tokens, D model width, F width inside the feed-forward net, V vocabulary.
"""

from functools import partial

import torch
from torch import nn

from nanobert.device import best_device
from nanobert.encoder import EncoderBlock, FeedForward
from nanobert.multi_head import MultiHeadAttention
from unmasked.attempt import Host, Request, same
from unmasked.exercise import explain

B, T, D, HEADS, F, V = 2, 5, 8, 2, 12, 20


def _block(kind=EncoderBlock, **options):
    return kind(MultiHeadAttention(D, HEADS), FeedForward(D, F), D, **options)


def _stack(kind, *norm):
    return kind([_block(), _block()], *norm)


BUILT = {
    "MultiHeadAttention": [lambda kind: kind(D, HEADS)],
    "Embeddings": [lambda kind: kind(V, D, T, 0.02)],
    "FeedForward": [lambda kind: kind(D, F)],
    "EncoderBlock": [_block, partial(_block, pre_norm=False, dropout=0.0)],
    "Encoder": [_stack, lambda kind: _stack(kind, nn.LayerNorm(D))],
}


def misfit(own, reference):
    """Why a learner's function or class can't take the reference's place, a sentence; "" if it can."""
    device = best_device()
    torch.zeros(1, device=device)  # what a GPU sets up once is no part of the limits
    reply = Host(partial(_difference, own, reference, device))(Request("call"))
    if reply.error:
        return f"It passes its check, but not in the way that later lessons use it. {explain(reply)}"
    return reply.value and f"It passes its check, but {reply.value}."


def _difference(own, reference, device):
    """How two functions or classes differ; "" if they don't."""
    if not isinstance(reference, type):
        return "" if same(own(T, D), reference(T, D)) else "it does not return what the reference returns"
    for build in BUILT[reference.__name__]:
        mine, theirs = build(own).to(device), build(reference).to(device)
        if problem := _other_weights(mine, theirs) or _other_layers(mine, theirs):
            return problem
        mine.load_state_dict(theirs.state_dict())
        for inputs, named in _calls(reference.__name__, device):
            if not same(mine(*inputs, **named), theirs(*inputs, **named)):
                return "with the same weights it does not compute what the reference computes"
    return ""


def _calls(name, device):
    """The arguments with which later lessons call a part: where it takes a mask, without it and with it, both ways."""
    if name == "Embeddings":
        return [((torch.arange(B * T, device=device).view(B, T),), {})]
    x = torch.randn(B, T, D, device=device)
    hidden = torch.arange(T, device=device) >= torch.tensor([[T], [3]], device=device)  # B, T
    masked = [((x, hidden), {}), ((x,), {"key_padding_mask": hidden})]
    return [((x,), {})] if name == "FeedForward" else [((x,), {}), *masked]


def _other_weights(mine, theirs):
    """Where names or shapes of the weights differ."""
    mine, theirs = ({name: tuple(x.shape) for name, x in model.state_dict().items()} for model in (mine, theirs))
    if missing := [name for name in theirs if name not in mine]:
        return f"its `state_dict()` has no `{missing[0]}`, so the reference's weights can't be loaded"
    if extra := [name for name in mine if name not in theirs]:
        return f"its `state_dict()` has `{extra[0]}`, for which the reference's weights have nothing"
    if unfit := [name for name in theirs if mine[name] != theirs[name]]:
        return f"its `{unfit[0]}` has shape {mine[unfit[0]]}, and the reference's has {theirs[unfit[0]]}"
    return ""


def _other_layers(mine, theirs):
    """Where a layer is not of the kind that later lessons count on: they set a norm's eps, and ask for V."""
    own = dict(mine.named_modules())
    for name, layer in theirs.named_modules():
        for kind in (nn.Embedding, nn.LayerNorm):
            if isinstance(layer, kind) and not isinstance(own.get(name), kind):
                return f"its `{name}` is no `nn.{kind.__name__}`, which later lessons count on"
    return ""
