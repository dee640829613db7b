"""Checks of lesson 08. The oracles are PyTorch's own layers, tables written by hand, and plain loops.

No pretrained weights come here: models are small, of sizes that differ from each other, and their weights random.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from unmasked import parts
from unmasked.attempt import Foreign, Part
from unmasked.criteria import close, holds, integers, kind, shaped, tensor
from unmasked.exercise import exercise

B, T, D, HEADS, V, C = 3, 5, 8, 2, 11, 4  # texts, tokens, width, heads, vocabulary, classes
IGNORE = -100
LOWEST = torch.finfo(torch.float32).min
NO_SUPER = "Your `__init__` does not call `super().__init__()` first, without which a module can't hold parts."


def _mask():
    """Rows of 3, 5 and 1 tokens, then padding."""
    return torch.arange(T) >= torch.tensor([3, 5, 1])[:, None]


def _block(kind=parts.Block):
    """A block of PyTorch's in evaluation mode, its weights from a check's generator."""
    block = kind(D, HEADS, 2 * D).eval()
    block.load_state_dict({name: tensor(*value.shape, scale=0.4) for name, value in block.state_dict().items()})
    return block


# --- 8.1 TextClassifier ----------------------------------------------------------------------------------------------


def _scores(net, tokens, mask, mask_of_pool=True):
    x = net.encoder(net.embeddings(tokens), mask)
    return net.output(net.pool(x, mask if mask_of_pool else None))


def _text_classifier(forward=_scores, turned=False, bias=True, ready=True):
    """A TextClassifier that is wrong in one thing."""

    class TextClassifier(nn.Module):
        def __init__(self, embeddings, encoder, pool, d_model, classes):
            if ready:
                super().__init__()
            self.embeddings, self.encoder, self.pool = embeddings, encoder, pool
            self.output = nn.Linear(*((classes, d_model) if turned else (d_model, classes)), bias=bias)

        def forward(self, tokens, key_padding_mask=None):
            return forward(self, tokens, key_padding_mask)

    return TextClassifier


class _OneLayerMore(_text_classifier(lambda net, tokens, mask: net.output(net.hidden(_pooled(net, tokens, mask))))):
    def __init__(self, embeddings, encoder, pool, d_model, classes):
        super().__init__(embeddings, encoder, pool, d_model, classes)
        self.hidden = nn.Linear(d_model, d_model)


def _pooled(net, tokens, mask):
    return net.pool(_encoded(net, tokens, mask), mask)


def _encoded(net, tokens, mask):
    return net.encoder(net.embeddings(tokens), mask)


OUTPUT_TURNED = (
    "The output layer has the wrong sizes: `nn.Linear` takes the size that goes in first, `d_model`, then `classes`."
)
ONE_LAYER_MORE = (
    "It has more to learn than `embeddings`, `encoder` and `output`: one linear layer makes the scores of what `pool` "
    "returns."
)
SQUEEZED = "Of a single text the scores are not (1, C): leave out `squeeze()`, which takes that axis away."
ENCODER_WITHOUT_MASK = "The encoder is called without the mask, so that tokens attend to padding."
POOL_WITHOUT_MASK = "`pool` is called without the mask, so that padding becomes part of the text's vector."


@exercise(
    points=2,
    mistakes={
        NO_SUPER: _text_classifier(ready=False),
        OUTPUT_TURNED: _text_classifier(turned=True),
        "The output layer has no bias; leave `bias` as it is.": _text_classifier(bias=False),
        ONE_LAYER_MORE: _OneLayerMore,
        SQUEEZED: _text_classifier(lambda net, tokens, mask: _scores(net, tokens, mask).squeeze()),
        "You return scores for every token: `pool` makes one vector of each text, before the output.": (
            _text_classifier(lambda net, tokens, mask: net.output(_encoded(net, tokens, mask)))
        ),
        "You take the vector of the first token, whatever `pool` is; call `self.pool`.": (
            _text_classifier(lambda net, tokens, mask: net.output(_encoded(net, tokens, mask)[:, 0]))
        ),
        "You take the mean of all tokens, padding included; call `self.pool` with the mask.": (
            _text_classifier(lambda net, tokens, mask: net.output(_encoded(net, tokens, mask).mean(1)))
        ),
        "The tokens are scored first and pooled afterwards; pool first, then score the one vector.": (
            _text_classifier(lambda net, tokens, mask: net.pool(net.output(_encoded(net, tokens, mask)), mask))
        ),
        "The encoder is not used: the embeddings are pooled without their context.": (
            _text_classifier(lambda net, tokens, mask: net.output(net.pool(net.embeddings(tokens), mask)))
        ),
        "Neither the encoder nor `pool` gets the mask; both need it.": (
            _text_classifier(lambda net, tokens, mask: _scores(net, tokens, None))
        ),
        ENCODER_WITHOUT_MASK: _text_classifier(
            lambda net, tokens, mask: net.output(net.pool(_encoded(net, tokens, None), mask))
        ),
        POOL_WITHOUT_MASK: _text_classifier(lambda net, tokens, mask: _scores(net, tokens, mask, mask_of_pool=False)),
        "The mask is the wrong way round: hand it on as it is, True where a token is padding.": _text_classifier(
            lambda net, tokens, mask: _scores(net, tokens, None if mask is None else ~mask)
        ),
        "`pool` gets the mask the wrong way round: hand it on as it is, True where a token is padding.": (
            _text_classifier(
                lambda net, tokens, mask: net.output(
                    net.pool(_encoded(net, tokens, mask), None if mask is None else ~mask)
                )
            )
        ),
        "The encoder gets the mask the wrong way round: hand it on as it is, True where a token is padding.": (
            _text_classifier(
                lambda net, tokens, mask: net.output(
                    net.pool(_encoded(net, tokens, None if mask is None else ~mask), mask)
                )
            )
        ),
        "You make a mask of your own from the tokens; hand on `key_padding_mask`, which may be another.": (
            _text_classifier(lambda net, tokens, mask: _scores(net, tokens, tokens == 0))
        ),
        "You return probabilities: leave the softmax out, since the loss takes scores (logits).": _text_classifier(
            lambda net, tokens, mask: _scores(net, tokens, mask).softmax(-1)
        ),
        "You return the best class of each text; return the scores of all classes.": _text_classifier(
            lambda net, tokens, mask: _scores(net, tokens, mask).argmax(-1)
        ),
    },
)
def TextClassifier(attempt):
    """Devlin et al. 2019, section 4.1 and figure 4b. The oracle is PyTorch's own layers; `pool` takes the largest."""
    table, block = tensor(V, D), _block()
    embeddings = Part("Embedding", (V, D), {"weight": table})
    encoder = Part("Block", (D, HEADS, 2 * D), block.state_dict())
    model = attempt.build(embeddings, encoder, Part("Largest"), D, C)
    state = {"output.weight": tensor(C, D), "output.bias": tensor(C)}
    unfit = model.load(state)
    own = model.parameters()
    turned = "output.bias" in own and own["output.bias"].shape == (D,)
    yield holds(
        not unfit,
        "it has an `output` from D to the number of classes, with a bias",
        OUTPUT_TURNED if turned else "`output` must be nn.Linear(d_model, classes), with a bias.",
    )
    passed_in, count = [table, *block.state_dict().values()], 3 + len(block.state_dict())
    kept = all(any(torch.equal(value, each) for value in own.values()) for each in passed_in)
    yield holds(
        kept and len(own) == count,
        "it has the parameters of `embeddings` and `encoder` as its own",
        ONE_LAYER_MORE
        if kept and len(own) > count
        else "Keep `embeddings` and `encoder` as attributes of those names, so that PyTorch finds their parameters.",
    )
    tokens, mask = integers(0, V, (B, T)), _mask()
    scores = model(tokens, mask)
    yield shaped(scores, B=B, C=C, hint="One score for every class, for each text.")

    def right(mask, mask_of_pool=None):
        with torch.no_grad():
            pooled = parts.Largest()(block(table[tokens], mask), mask if mask_of_pool is None else mask_of_pool)
            return F.linear(pooled, state["output.weight"], state["output.bias"])

    other = model(torch.where(mask, (tokens + 1) % V, tokens), mask)
    yield close(
        other,
        scores,
        "what padding holds does not matter",
        "What padding holds changes the scores: hand `key_padding_mask` on as it is, to the encoder and to `pool`.",
    )
    yield close(
        scores,
        right(mask),
        "the scores are output(pool(encoder(embeddings(tokens))))",
        "With known weights, the scores are not output(pool(encoder(embeddings(tokens)))).",
        earns=1,
    )
    alone = model(tokens[:1], mask[:1])
    yield close(alone, scores[:1], "a single text has one row of scores", SQUEEZED)
    yield close(model(tokens), right(None), "it works without a mask", "Without a mask the scores are wrong.")
    signals = model.gradients(tokens, mask)["parameters"]
    still = [name for name, signal in signals.items() if signal is None]
    yield holds(not still, "gradients reach every part", f"No gradient reaches {', '.join(still)}: is it detached?")


# --- 8.2 Frozen ------------------------------------------------------------------------------------------------------


def _no_gradients(module):
    module.requires_grad_(False)


def _no_gradients_for_matrices(module):
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not name.endswith("weight"))


def _evaluation_of_itself(module):
    module.training = False


def _frozen(freeze=_no_gradients, forward=lambda module, *inputs: module(*inputs), begin=nn.Module.eval, stay=True,
            keep=lambda module: module, ready=True, returned=lambda frozen: frozen):  # fmt: skip
    """A Frozen that is wrong in one thing."""

    class Frozen(nn.Module):
        def __init__(self, module):
            if ready:
                super().__init__()
            self.module = keep(module)
            freeze(module)
            begin(module)

        def forward(self, *inputs):
            module = self.module[0] if isinstance(self.module, list) else self.module
            return forward(module, *inputs)

    if stay:
        Frozen.train = lambda self, mode=True: returned(self)
    return Frozen


class _OneInput(_frozen()):
    def forward(self, x):
        return self.module(x)


class _Turned(_frozen(stay=False)):
    def train(self, mode=True):
        return super().train(not mode)


class _CallsEval(_frozen(stay=False)):
    def train(self, mode=True):
        return self.eval()


class _CallsEvalFromTheStart(_CallsEval):
    def __init__(self, module):
        super().__init__(module)
        self.eval()


def _without_gradient(module, *inputs):
    with torch.no_grad():
        return module(*inputs)


STILL_LEARNS = (
    "Its parameters still get gradients. Call `module.requires_grad_(False)`, with the underscore, on the module that "
    "is passed in; or set `requires_grad` of each of its parameters, since a module itself has none."
)
CUT_OFF = (
    "No gradient goes through it to what stands before it: leave out `torch.no_grad()` and `detach()`; it is enough "
    "that the parameters need none."
)
DROPOUT_RETURNS = (
    "`train()` of the whole model switches dropout on in the frozen part too: define `train` so that it stays off."
)
OF_ITSELF_ONLY = "`training = False` is set for the module alone, and dropout in its parts stays on; call `eval()`."
NO_RETURN = (
    "`train` must end with `return self`, as PyTorch's does; without it, `eval()` of a module gives None, or another "
    "module."
)
TURNED = "After `eval()` the frozen part is in training mode: `train` must do the same whatever `mode` is."
DROPOUT_ON = "Dropout is on from the beginning: a new module is in training mode, so call `eval()`."


@exercise(
    points=2,
    mistakes={
        NO_SUPER: _frozen(ready=False),
        STILL_LEARNS: _frozen(freeze=lambda module: None),
        "Only the weights are frozen; biases learn too, unless you freeze them.": _frozen(_no_gradients_for_matrices),
        CUT_OFF: _frozen(forward=_without_gradient),
        DROPOUT_ON: _frozen(begin=lambda module: None),
        OF_ITSELF_ONLY: _frozen(begin=_evaluation_of_itself),
        DROPOUT_RETURNS: _frozen(stay=False),
        NO_RETURN: _frozen(returned=lambda frozen: None),
        TURNED: _Turned,
        "PyTorch's `eval()` calls `train(False)`, so `train` must not call `eval()`: return `super().train(False)`.": (
            _CallsEval
        ),
        "`eval()` calls `train(False)`, and your `train` calls `eval()`, without end: return `super().train(False)`.": (
            _CallsEvalFromTheStart
        ),
        "`forward` takes one input only; an encoder gets a mask as well: `*inputs`.": _OneInput,
        "Only the first input reaches the module: hand the mask on too.": _frozen(
            forward=lambda module, *inputs: module(inputs[0])
        ),
        "The module is called without a star: `module(inputs)` hands it one tuple, `module(*inputs)` each input.": (
            _frozen(forward=lambda module, *inputs: module(inputs))
        ),
        "`forward` returns what came in; return what the module makes of it.": _frozen(
            forward=lambda module, *inputs: inputs[0]
        ),
        "PyTorch does not see the module, so that it is not saved or moved: keep it as an attribute, in no list.": (
            _frozen(keep=lambda module: [module])
        ),
    },
)
def Frozen(attempt):
    """The oracle is the module itself, in evaluation mode."""
    block = _block(parts.Dropping)
    x, mask = tensor(B, T, D), _mask()
    frozen = attempt.build(Part("Dropping", (D, HEADS, 2 * D), block.state_dict()))
    yield holds(
        len(frozen.parameters()) == len(block.state_dict()),
        "it holds the module, and so has its parameters",
        "It must have the parameters of the module, no more and no fewer: keep the module as an attribute.",
    )
    expected = block(x, mask).detach()
    result = frozen(x, mask)
    yield shaped(result, B=B, T=T, D=D)
    yield close(
        result,
        expected,
        "it computes what the module computes, without dropout",
        "It does not compute what the module does in evaluation mode, with all inputs handed on.",
    )
    signals = frozen.gradients(x, mask)
    learning = [name for name, signal in signals["parameters"].items() if signal is not None]
    some = f"{len(learning)} of its parameters still get gradients, {', '.join(learning[:2])} among them."
    yield holds(
        not learning,
        "none of its parameters gets a gradient",
        STILL_LEARNS if len(learning) == len(block.state_dict()) else some,
    )
    through = signals["arguments"][0] if signals["arguments"] else None
    yield holds(
        isinstance(through, torch.Tensor) and through.any(),
        "gradients go through it, to what stands before it",
        CUT_OFF,
        earns=1,
    )
    itself = frozen.mode(training=True)
    yield close(frozen(x, mask), expected, "it stays so while the rest of a model is trained", DROPOUT_RETURNS)
    yield holds(itself, "`train` returns the module itself", NO_RETURN)
    frozen.mode(training=False)
    yield close(frozen(x, mask), expected, "and while it is measured", TURNED)
    state = {"weight": tensor(D) + 2, "bias": tensor(D), "running_mean": tensor(D), "running_var": tensor(D) ** 2 + 1}
    norm = attempt.build(Part("BatchNorm1d", (D,), state | {"num_batches_tracked": torch.tensor(3)}))
    norm.mode(training=True)
    first, again = norm(x[0]), norm(x[0])
    own = F.batch_norm(x[0], state["running_mean"], state["running_var"], state["weight"], state["bias"])
    yield close(first, own, "batch norm keeps its averages", "A frozen batch norm must use the averages it has.")
    yield close(again, own, "and does not change them", "A frozen batch norm changes its averages at every call.")


# --- 8.3 layer_rates -------------------------------------------------------------------------------------------------

RATE, DECAY = 0.8, 0.5


def _depths(layers):
    """How far below the top each part is: the output at 0, the last block and the norm at 1, embeddings last."""
    blocks = {f"encoder.blocks.{number}.": layers - number for number in range(layers)}
    return {"output.": 0, "encoder.norm.": 1, **blocks, "embeddings.": layers + 1}


def _prefix(name, layers):
    return next(prefix for prefix in _depths(layers) if name.startswith(prefix))


def _rate_of(depth, prefix, layers, rate, decay):
    return rate * decay**depth


def _reversed(depth, prefix, layers, rate, decay):
    return rate * decay ** (layers + 1 - depth)


def _blocks_reversed(depth, prefix, layers, rate, decay):
    inside = prefix.startswith("encoder.blocks")
    return rate * decay ** (layers + 1 - depth if inside else depth)


def _in_order_of_the_list(depth, prefix, layers, rate, decay):
    """The norm goes with the last block."""
    inside = prefix.startswith("encoder.")
    return rate * decay ** (layers + 1 - depth if inside else depth)


def _groups(rate_of=_rate_of, leave_out=(), twice=()):
    """A `layer_rates` in which each part has the rate that `rate_of` says; some are left out, or there twice."""

    def layer_rates(model, rate, decay):
        groups, layers = [], len(model.encoder.blocks)
        for prefix, depth in _depths(layers).items():
            own = [value for name, value in model.named_parameters() if name.startswith(prefix)]
            group = {"params": own, "lr": rate_of(depth, prefix, layers, rate, decay)}
            groups += [group] * ((prefix not in leave_out) + (prefix in twice))
        return groups

    return layer_rates


def _whole_model(model, rate, decay):
    return [{"params": list(model.parameters()), "lr": rate}, *_groups()(model, rate, decay)[1:]]


TWICE = "The model's parameters are in two groups: give the output alone the first one, not all of the model."
RATES = {
    "Yours is the wrong way round: the output learns fastest, the embeddings slowest.": _reversed,
    "The blocks are the wrong way round: the *last* one is next to the output and learns faster than the first.": (
        _blocks_reversed
    ),
    "The blocks go from first to last, the norm with them; go through them `reversed`, the last one first.": (
        _in_order_of_the_list
    ),
    "You multiply by the depth: `decay * depth`; `decay` is multiplied `depth` times: `decay**depth`.": (
        lambda depth, prefix, layers, rate, decay: rate * decay * depth
    ),
    "`rate` is not used: the output gets `rate`, each layer further down `decay` times as much.": (
        lambda depth, prefix, layers, rate, decay: decay**depth
    ),
    "The rate falls twice: make it smaller at each layer, `rate * decay`, or take `rate * decay**depth`; not both.": (
        lambda depth, prefix, layers, rate, decay: rate * decay ** (depth * (depth + 1) / 2)
    ),
    "Every block gets the same rate; each layer further down gets `decay` times that of the one above it.": (
        lambda depth, prefix, layers, rate, decay: rate * decay ** min(depth, 1)
    ),
    "The output's own rate is reduced already; it gets `rate` itself.": (
        lambda depth, prefix, layers, rate, decay: rate * decay ** (depth + 1)
    ),
    "The last block gets the same rate as the output; it is one layer further down: `rate * decay`.": (
        lambda depth, prefix, layers, rate, decay: rate * decay ** max(0, depth - 1)
    ),
    "All blocks have the same rate, as if they were one layer; each block is a layer of its own.": (
        lambda depth, prefix, layers, rate, decay: rate * decay ** (2 if prefix == "embeddings." else min(depth, 1))
    ),
    "The encoder's last norm is a layer of its own in yours, so that all below it are one too deep; it belongs to the "
    "last block.": lambda depth, prefix, layers, rate, decay: (
        rate * decay ** (depth if prefix in ("output.", "encoder.norm.") else depth + 1)
    ),
    "The embeddings get the rate of the first block; they are one layer further down.": (
        lambda depth, prefix, layers, rate, decay: rate * decay ** min(depth, layers)
    ),
    "The embeddings get the full rate; they are at the bottom, and learn slowest.": (
        lambda depth, prefix, layers, rate, decay: rate if prefix == "embeddings." else rate * decay**depth
    ),
    "The encoder's last norm gets the full rate; it belongs to the last block.": (
        lambda depth, prefix, layers, rate, decay: rate if prefix == "encoder.norm." else rate * decay**depth
    ),
    "The rate falls by the same amount at each layer; it is *multiplied* by `decay` at each.": (
        lambda depth, prefix, layers, rate, decay: rate * (1 - (1 - decay) * depth / 2)
    ),
    "The rate is divided by `decay`, so that it grows further down; multiply.": (
        lambda depth, prefix, layers, rate, decay: rate / decay**depth
    ),
    "All parameters get the same rate: `decay` is not used.": lambda depth, prefix, layers, rate, decay: rate,
}


@exercise(
    points=2,
    mistakes={sentence: _groups(rate_of) for sentence, rate_of in RATES.items()}
    | {
        "The embeddings are in no group, and so never learn.": _groups(leave_out=["embeddings."]),
        "The encoder's last norm is in no group, and so never learns.": _groups(leave_out=["encoder.norm."]),
        "The output is in no group, and so never learns.": _groups(leave_out=["output."]),
        TWICE: _whole_model,
        "The encoder's last norm is in two groups; `model.encoder.parameters()` has it too.": _groups(
            twice=["encoder.norm."]
        ),
        "You return a dictionary; return a list of them, one for each group.": lambda model, rate, decay: {
            "params": list(model.parameters()),
            "lr": rate,
        },
    },
)
def layer_rates(attempt):
    """Howard and Ruder 2018, section 3.2. The oracle is a table of depths."""
    for layers in (3, 1):
        shape = (V, D, layers, C)
        state = {name: tensor(*value.shape) for name, value in parts.Layered(*shape).state_dict().items()}
        groups = attempt(Part("Layered", shape, state), RATE, DECAY)
        listed = _are_groups(groups)
        if layers == 3 or not listed.holds:  # a line of the panel each, once
            yield listed
        rates = _rates_by_name(groups, state)
        once = _each_once(rates)
        if layers == 3 or not once.holds:
            yield once
        wanted = {name: RATE * DECAY ** _depths(layers)[_prefix(name, layers)] for name in state}
        downwards = sorted(wanted, key=wanted.get, reverse=True)
        wrong = next((name for name in downwards if not _equal(rates[name][0], wanted[name])), None)
        yield holds(
            wrong is None,
            f"with {layers} block{'s' if layers > 1 else ''} each layer has its rate",
            _what_is_wrong(wrong, rates, wanted, layers),
            earns=1 if layers == 3 else 0,
        )
    same = _rates_by_name(attempt(Part("Layered", shape, state), RATE, 1.0), state)
    yield holds(
        all(_equal(found[0], RATE) for found in same.values() if found),
        "with a decay of 1 all rates are the same",
        "With a decay of 1, all rates must be the same.",
    )


def _are_groups(groups):
    """The criterion that it is a list of dictionaries with parameters and a rate."""
    sentence = 'it is a list of dictionaries with "params" and "lr"'
    if not isinstance(groups, (list, tuple)) or not groups or not all(isinstance(group, dict) for group in groups):
        return holds(False, sentence, 'Return a list of dictionaries, {"params": ..., "lr": ...}, one for each group.')
    missing = [key for group in groups for key in ("params", "lr") if key not in group]
    if missing:
        return holds(False, sentence, f'A group has no "{missing[0]}"; each needs "params" and "lr".')
    if any(isinstance(group["params"], Foreign) for group in groups):
        found = next(group["params"] for group in groups if isinstance(group["params"], Foreign))
        told = f'A "params" is {kind(found)}; make a list of it: `list(module.parameters())`.'
        return holds(False, sentence, told)
    good = all(isinstance(value, torch.Tensor) for group in groups for value in _params(group))
    good = good and all(_number(group["lr"]) is not None for group in groups)
    return holds(good, sentence, '"params" must be a list of parameters, and "lr" a number.')


def _params(group):
    return [group["params"]] if isinstance(group["params"], torch.Tensor) else list(group["params"])


def _rates_by_name(groups, state):
    """The rates that each parameter has in the groups; parameters are told apart by their numbers."""
    found = {name: [] for name in state}
    for group in groups:
        for value in _params(group):
            for name in (name for name, own in state.items() if own.shape == value.shape and torch.equal(own, value)):
                found[name].append(_number(group["lr"]))
    return found


def _each_once(rates):
    """The criterion that every parameter is in one group."""
    sentence = "every parameter is in exactly one group"
    missing = [name for name, found in rates.items() if not found]
    if missing:
        return holds(False, sentence, f"`{missing[0]}` is in no group, and so never learns.")
    twice = [name for name, found in rates.items() if len(found) > 1]
    return holds(not twice, sentence, f"`{(twice or [''])[0]}` is in more than one group; an optimizer refuses that.")


def _what_is_wrong(name, rates, wanted, layers):
    """The sentence of the mistake that gives all these rates; if none does, the first rate that is wrong."""
    if name is None:
        return ""
    for sentence, rate_of in RATES.items():
        known = {
            each: rate_of(_depths(layers)[prefix], prefix, layers, RATE, DECAY)
            for each in wanted
            for prefix in [_prefix(each, layers)]
        }
        if all(_equal(rates[each][0], known[each]) for each in wanted):
            return sentence
    return f"`{name}` has the rate {rates[name][0]:g} instead of {wanted[name]:g}."


def _equal(a, b):
    return abs(a - b) < 1e-6


def _number(value):
    """A number of Python's; None for anything else."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


# --- 8.4 piece_labels ------------------------------------------------------------------------------------------------


def _labelled(word_ids, labels, first=lambda word: word, later=lambda label: IGNORE, special=IGNORE):
    """A `piece_labels` with other labels for first pieces, later pieces, or special tokens."""
    found, before = [], None
    for word in word_ids:
        if word is None:
            found.append(special)
        else:
            found.append(later(labels[word]) if word == before else labels[first(word)])
        before = word
    return found


def _last_piece(word_ids, labels):
    return _labelled(word_ids[::-1], labels)[::-1]


def _word_0_is_nothing(word_ids, labels):
    return [IGNORE if not word else label for word, label in zip(word_ids, _labelled(word_ids, labels))]


def _merged(word_ids, labels):
    found, before = [], None
    for word in word_ids:
        label = None if word is None else labels[word]
        found.append(IGNORE if label is None or label == before else label)
        before = label
    return found


def _none_is_looked_up(word_ids, labels):
    return [IGNORE if i and word == word_ids[i - 1] else labels[word] for i, word in enumerate(word_ids)]


def _looks_back_from_the_first(word_ids, labels):
    return [IGNORE if word is None or word_ids[i - 1] == word else labels[word] for i, word in enumerate(word_ids)]


def _none_at_both_ends(word_ids, labels):
    inside = [labels[word] if word != before else IGNORE for before, word in itertools.pairwise(word_ids[:-1])]
    return [IGNORE, *inside, IGNORE]


def _in_order(word_ids, labels):
    following = iter(labels)
    return [IGNORE if label == IGNORE else next(following) for label in _labelled(word_ids, labels)]


ALL_PIECES = "Every piece of a word gets its label; only the first piece counts, the others get -100."
LAST_PIECE = "The last piece of a word gets its label; the first one should."
FLOATS = "Your labels are floating-point numbers; they count tags, so return whole ones (int), as they came in."


@exercise(
    points=2,
    mistakes={
        ALL_PIECES: lambda word_ids, labels: _labelled(word_ids, labels, later=lambda label: label),
        LAST_PIECE: _last_piece,
        "Later pieces of a word get the label 0, which is a tag (O); -100 says that they don't count.": (
            lambda word_ids, labels: _labelled(word_ids, labels, later=lambda label: 0)
        ),
        "Special tokens get the label 0, which is a tag (O); -100 says that they don't count.": (
            lambda word_ids, labels: _labelled(word_ids, labels, special=0)
        ),
        "Word number 0 gets no label: 0 counts as False. Ask for `word is None`.": _word_0_is_nothing,
        "A special token has no word: its number is None, which can't be looked up in the labels.": _none_is_looked_up,
        "None may stand anywhere, not only at both ends: padding follows in [None, 0, 1, 1, None, None].": (
            _none_at_both_ends
        ),
        "Two words side by side with the same label are taken for one: compare the numbers of the words.": _merged,
        "You leave out what gets no label; return a label, or -100, for every piece.": (
            lambda word_ids, labels: [label for label in _labelled(word_ids, labels) if label != IGNORE]
        ),
        "You take the labels by the place of the piece; take them by the number of its word.": (
            lambda word_ids, labels: [
                IGNORE if label == IGNORE else labels[min(i, len(labels) - 1)]
                for i, label in enumerate(_labelled(word_ids, labels))
            ]
        ),
        "For the first piece, `word_ids[place - 1]` is the *last* one (-1 counts from the end): ask for `place > 0`.": (
            _looks_back_from_the_first
        ),
        "You take one label after the other; take `labels[word]`, since a word may have no piece.": _in_order,
        FLOATS: lambda word_ids, labels: [float(label) for label in _labelled(word_ids, labels)],
        "What does not count gets -1; the loss leaves out -100.": (
            lambda word_ids, labels: [-1 if label == IGNORE else label for label in _labelled(word_ids, labels)]
        ),
        "What does not count gets None; the loss takes numbers, and leaves out -100.": (
            lambda word_ids, labels: [None if label == IGNORE else label for label in _labelled(word_ids, labels)]
        ),
    },
)
def piece_labels(attempt):
    """Worked by hand. Devlin et al. 2019, section 5.3."""
    cases = (
        ([None, 0, 1, 2, None], [3, 5, 7], [IGNORE, 3, 5, 7, IGNORE], "words of one piece each keep their labels"),
        ([None, 0, 0, 1, 2, 2, 2, None], [3, 5, 7], [IGNORE, 3, IGNORE, 5, 7, IGNORE, IGNORE, IGNORE],
         "of a word in several pieces the first one has the label"),
        ([None, 0, 0, 1, 1, 2, None], [4, 4, 4], [IGNORE, 4, IGNORE, 4, IGNORE, 4, IGNORE],
         "words side by side may have the same label"),
        ([None, 0, 1, 1, None, None], [0, 6, 9], [IGNORE, 0, 6, IGNORE, IGNORE, IGNORE],
         "a text may be cut, and padded"),
        ([0, 1, 1], [8, 2], [8, 2, IGNORE], "a text may stand without special tokens"),
        ([0, 0], [5], [5, IGNORE], "and may be a single word"),
        ([None, 0, 2, None], [3, 5, 7], [IGNORE, 3, 7, IGNORE], "a word may be left without any piece"),
    )  # fmt: skip
    for number, (word_ids, labels, wanted, sentence) in enumerate(cases):
        result = attempt(word_ids, labels)
        listed = result.tolist() if isinstance(result, torch.Tensor) else result
        if not isinstance(listed, (list, tuple)):
            yield holds(False, sentence, f"Return a list of labels; what you return is {kind(result)}.")
            return
        listed = [label.item() if isinstance(label, torch.Tensor) and label.numel() == 1 else label for label in listed]
        told = f"For the words {word_ids} and labels {labels} you return {str(listed)[:80]} instead of {wanted}."
        whole = not any(isinstance(label, float) for label in listed)
        right = listed == wanted
        yield holds(right and whole, sentence, FLOATS if right else told, earns=1 if number == 1 else 0)


# --- 8.5 SpanHead ----------------------------------------------------------------------------------------------------


def _span_head(split=lambda scores: (scores[..., 0], scores[..., 1]), fill=LOWEST,
               hide=lambda hidden: hidden, after=lambda pair: pair, outputs=2, bias=True, ready=True):  # fmt: skip
    """A SpanHead that is wrong in one thing."""

    class SpanHead(nn.Module):
        def __init__(self, d_model):
            if ready:
                super().__init__()
            self.output = nn.Linear(d_model, outputs, bias=bias)

        def forward(self, x, hidden):
            scores = self.output(x)
            scores = scores if fill is None else scores.masked_fill(hide(hidden)[..., None], fill)
            return after(split(scores))

    return SpanHead


class _OnlyStartHidden(_span_head()):
    def forward(self, x, hidden):
        scores = self.output(x)
        return scores[..., 0].masked_fill(hidden, torch.finfo(x.dtype).min), scores[..., 1]


class _ZeroedInput(_span_head()):
    def forward(self, x, hidden):
        scores = self.output(x.masked_fill(hidden[..., None], 0.0))
        return scores[..., 0], scores[..., 1]


class _FlatMask(_span_head()):
    def forward(self, x, hidden):
        return self.output(x).masked_fill(hidden, LOWEST).unbind(-1)


class _FlatPenalty(_span_head()):
    def forward(self, x, hidden):
        return (self.output(x) + hidden * LOWEST).unbind(-1)


NOT_HIDDEN = "An answer could stand where `hidden` is True: give such tokens the lowest score there is."


@exercise(
    points=2,
    mistakes={
        NO_SUPER: _span_head(ready=False),
        NOT_HIDDEN: _span_head(fill=None),
        "The mask (B, T) does not fit scores (B, T, 2): it needs a third axis, `hidden[..., None]`.": _FlatMask,
        "What you add to the scores (B, T, 2) is (B, T): it needs a third axis, `hidden[..., None]`.": _FlatPenalty,
        "Hidden tokens get the score 0, or nearly (`finfo.tiny`); others may be lower. Give them `finfo.min`.": (
            _span_head(fill=0.0)
        ),
        "Hidden tokens get the score -1; other scores may be lower. Give them the lowest number there is.": (
            _span_head(fill=-1.0)
        ),
        "The mask is the wrong way round: `hidden` is True where no answer can stand.": (
            _span_head(hide=lambda hidden: ~hidden)
        ),
        "You hide the vectors, not the scores: the output of a zero vector is its bias, a score like any other.": (
            _ZeroedInput
        ),
        "Only the starts are hidden; the ends must be too.": _OnlyStartHidden,
        "Start and end are swapped: the first of the two scores is that of the start.": (
            _span_head(lambda scores: (scores[..., 1], scores[..., 0]))
        ),
        "You return one tensor; return two, `start, end`.": _span_head(lambda scores: scores),
        "The two tensors still have a third axis: index it, `scores[..., 0]`, which takes it away.": (
            _span_head(lambda scores: (scores[..., :1], scores[..., 1:]))
        ),
        "You cut the tokens in two, not the scores: split the last axis.": (
            _span_head(lambda scores: scores.transpose(1, 2).flatten(1).chunk(2, dim=0)[0].chunk(2, dim=1))
        ),
        "You return probabilities: leave the softmax out, since the loss takes scores.": (
            _span_head(after=lambda pair: (pair[0].softmax(-1), pair[1].softmax(-1)))
        ),
        "The output layer has the wrong sizes: every token gets two scores, `nn.Linear(d_model, 2)`.": (
            _span_head(outputs=1, split=lambda scores: (scores[..., 0], scores[..., 0]))
        ),
        "The output layer has no bias; leave `bias` as it is.": _span_head(bias=False),
    },
)
def SpanHead(attempt):
    """Devlin et al. 2019, section 4.2. The oracle is `F.linear`."""
    head = attempt.build(D)
    state = {"output.weight": tensor(2, D), "output.bias": tensor(2) + 3}
    unfit = head.load(state)
    yield holds(not unfit, "it has an `output` from D to 2", "`output` must be nn.Linear(d_model, 2), with a bias.")
    x, hidden = tensor(B, T, D, scale=2), torch.zeros(B, T, dtype=torch.bool)
    hidden[0, :2] = hidden[1, 3:] = hidden[2, [0, 4]] = True
    pair = head(x, hidden)
    yield holds(
        isinstance(pair, (list, tuple)) and len(pair) == 2,
        "the result is a pair: start and end",
        "The result must be a pair of tensors, `start, end`.",
    )
    right = F.linear(x, state["output.weight"], state["output.bias"]).unbind(-1)
    for scores, what in zip(pair, ("start", "end")):
        yield shaped(scores, B=B, T=T, what=f"`{what}`", finite=False)
    for scores, wanted, what in zip(pair, right, ("start", "end")):
        yield close(
            scores[~hidden],
            wanted[~hidden],
            f"where an answer can stand, `{what}` is the score of the token",
            f"Where an answer can stand, `{what}` is not the {'first' if what == 'start' else 'second'} of the "
            "token's two scores.",
        )
    for scores, what in zip(pair, ("start", "end")):
        yield holds(
            (scores[hidden] < -1e4).all(),
            f"where none can, `{what}` is so low that no softmax sees it",
            NOT_HIDDEN,
            earns=0.5,
        )
    alone = head(x[:1, :1], torch.zeros(1, 1, dtype=torch.bool))
    yield holds(
        isinstance(alone, (list, tuple)) and getattr(alone[0], "shape", None) == (1, 1),
        "a text of one token has one start",
        "For a text of one token, `start` must have shape (1, 1): is there a squeeze too many?",
    )


# --- 8.6 best_span ---------------------------------------------------------------------------------------------------

LONGEST = 3


def _best(score=lambda start, end: start + end, allowed=lambda first, last, longest: first <= last < first + longest):
    """A `best_span` in a plain loop, with another score, or other pairs allowed."""

    def best_span(start, end, longest):
        pairs = itertools.product(range(len(start)), range(len(end)))
        pairs = [pair for pair in pairs if allowed(*pair, longest)]
        return max(pairs, key=lambda pair: score(start[pair[0]].item(), end[pair[1]].item()), default=(-1, -1))

    return best_span


def _independent(start, end, longest):
    return start.argmax().item(), end.argmax().item()


def _start_first(start, end, longest):
    first = start.argmax().item()
    return first, first + end[first : first + longest].argmax().item()


def _end_first(start, end, longest):
    last = end.argmax().item()
    begin = max(0, last - longest + 1)
    return begin + start[begin : last + 1].argmax().item(), last


def _swapped_back(start, end, longest):
    return tuple(sorted(_independent(start, end, longest)))


def _filled_with_0(start, end, longest):
    sums = start[:, None] + end
    allowed = torch.ones_like(sums).triu().tril(longest - 1).bool()
    return divmod(sums.masked_fill(~allowed, 0.0).argmax().item(), len(end))


def _end_moved(start, end, longest):
    first, last = _independent(start, end, longest)
    return first, min(max(first, last), first + longest - 1, len(end) - 1)


def _from_a_number(lowest):
    """A loop whose best sum starts from this number."""

    def best_span(start, end, longest):
        first, last = _best()(start, end, longest)
        return (first, last) if start[first] + end[last] > lowest else (0, 0)

    return best_span


def _end_at_the_limit(start, end, longest):
    first, last = _independent(start, end, longest)
    return first, last if first <= last < first + longest else min(first + longest, len(end)) - 1


def _of_the_best_three(start, end, longest):
    starts, ends = (scores.topk(3).indices.tolist() for scores in (start, end))
    allowed = [(first, last) for first in starts for last in ends if first <= last < first + longest]
    return max(allowed, key=lambda pair: (start[pair[0]] + end[pair[1]]).item(), default=(0, 0))


def _divided_as_tensor(start, end, longest):
    return divmod((start[:, None] + end).argmax(), len(end))


TOO_FEW = (
    "Here the best pair is made of the seventh best start and the seventh best end: try all allowed pairs, not only "
    "those of the few best starts and ends."
)
TOO_HIGH = (
    "All sums are far below 0 here: start from -torch.inf, or fill what is not allowed with it; not with a number "
    "that real scores may be below."
)
ONE_TOO_MANY = "Answers may have one token more than `longest`: with `first` counted, last - first is below `longest`."


SPAN_MISTAKES = {
    "You take the best start and the best end, each for itself; the end must not come before the start, nor too "
    "far after it.": _independent,
    "You choose the best start, then the best end for it; another start may give a larger sum.": _start_first,
    "You choose the best end, then the best start for it; another end may give a larger sum.": _end_first,
    "You move the best end to where it is allowed; there it has another score. Compare the sums of allowed pairs.": (
        _end_moved
    ),
    "You put the end as far away as is allowed where the best one is not allowed. Compare the sums of allowed pairs.": (
        _end_at_the_limit
    ),
    "You swap start and end where they are the wrong way round; then the sum is that of another pair.": (_swapped_back),
    "Answers of any length are allowed; `longest` is not used.": _best(
        allowed=lambda first, last, longest: first <= last
    ),
    "The end may come before the start: ask for first <= last.": _best(
        allowed=lambda first, last, longest: abs(first - last) < longest
    ),
    ONE_TOO_MANY: _best(allowed=lambda first, last, longest: first <= last <= first + longest),
    "Answers of exactly `longest` tokens are left out; they are allowed.": _best(
        allowed=lambda first, last, longest: first <= last < first + longest - 1
    ),
    "Answers of one token are left out; first and last may be the same.": _best(
        allowed=lambda first, last, longest: first < last < first + longest
    ),
    "You multiply the two scores; two negative ones then give a large product. Add them.": _best(
        score=lambda start, end: start * end
    ),
    "Pairs that are not allowed get the sum 0, which beats negative ones; give them -inf.": _filled_with_0,
    "Your best sum starts from 0, which negative sums never reach; start from -torch.inf.": _from_a_number(0),
    TOO_HIGH: _from_a_number(-100),
    TOO_FEW: _of_the_best_three,
    "`divmod` needs a plain number, and `argmax()` gives a tensor: `.argmax().item()`.": _divided_as_tensor,
    "Your table is turned: `start[:, None] + end` has a row for each start, a column for each end.": (
        lambda start, end, longest: _best()(end, start, longest)
    ),
    "You keep the pairs whose end comes before the start; ask for first <= last (`triu` keeps column >= row).": _best(
        allowed=lambda first, last, longest: last <= first < last + longest
    ),
    "You add probabilities, of which a large one outweighs a pair of good scores; leave the softmax out, add scores.": (
        lambda start, end, longest: _best()(start.softmax(0), end.softmax(0), longest)
    ),
    "The last token is never the end: does your `range`, which leaves out its upper end, stop one too early?": (
        lambda start, end, longest: _best()(start, end[:-1], longest)
    ),
    "You look for the smallest sum; the largest is asked for.": _best(score=lambda start, end: -start - end),
    "Your `last` is one past the answer's last token; return the last token itself.": lambda start, end, longest: (
        _best()(start, end, longest)[0],
        _best()(start, end, longest)[1] + 1,
    ),
    "You return the last token first: `first, last`.": lambda start, end, longest: _best()(start, end, longest)[::-1],
    "You return the largest sum; where it stands is asked for.": lambda start, end, longest: [
        (start[first] + end[last]).item() for first, last in [_best()(start, end, longest)]
    ][0],
}


@exercise(points=3, mistakes=SPAN_MISTAKES)
def best_span(attempt):
    """A plain loop over all pairs. Devlin et al. 2019, section 4.2."""
    noise, passed = [tensor(7, scale=0.1) for _ in range(2)], []
    cases = [(*(side + _peaks(peaks) for side, peaks in zip(noise, pair)), LONGEST, told) for *pair, told in SPANS]
    cases.append((*(torch.full((7,), LOWEST).index_fill(0, torch.tensor([4]), value) for value in (-3.0, -5.0)), 1,
                  "where all but one are hidden, that one is the answer"))  # fmt: skip
    cases.append((tensor(5), tensor(5), 30, "`longest` may be more than there are tokens"))
    sixes, place = tensor(15, scale=0.1) + 6, torch.arange(15)
    cases.append((torch.where(place > 8, sixes, 4.0 * (place == 7)), torch.where(place < 6, sixes, 4.0 * (place == 8)),
                  LONGEST, "neither its start nor its end need be among the best"))  # fmt: skip
    otherwise = {VERY_LOW: TOO_HIGH, cases[-1][-1]: TOO_FEW}
    for number, (*case, sentence) in enumerate(cases):
        found = attempt(*case)
        yield _span_is(found, case, passed, sentence, otherwise.get(sentence), earns=1 if number in (1, 4) else 0)
        passed.append(case)


VERY_LOW = "all may be very low"


SPANS = (
    ({2: 5, 4: 2}, {3: 5}, "of clear scores the best are taken"),
    ({4: 6, 0: 4}, {1: 6, 5: 1}, "the end does not come before the start"),
    ({3: 6, 1: 4}, {2: 6, 5: 1}, "not even by one token"),
    ({1: 5, 4: 4}, {5: 5, 2: 1}, "the answer is not too long"),
    ({0: 6, 3: 5}, {4: 5, 1: 1}, "the sum decides, not the start alone"),
    ({1: 5, 5: 1}, {2: 4, 6: 5}, "the sum decides, not the end alone"),
    ({2: 5}, {4: 5, 3: 2}, "the answer may be as long as `longest`"),
    ({1: 5, 3: 3}, {4: 5, 3: 3}, "and no longer"),
    ({3: 5, 2: 4}, {3: 5, 4: 4}, "it may be a single token"),
    ({5: 5, 1: 3}, {6: 5, 2: 3}, "it may end with the text"),
    ({2: -3}, {3: -2}, "all scores may be negative"),
    ({2: -3000}, {3: -2000}, VERY_LOW),
)


def _peaks(values):
    row = torch.full((7,), min(3.0 * min(values.values()), 0.0))
    for place, value in values.items():
        row[place] = value
    return row


def _span_is(result, case, passed, sentence, otherwise=None, earns=0):
    """The criterion that a span is the best one; `passed` are the cases in which the learner's was.

    `otherwise` is for wrong ones that no known mistake gives.
    """
    wanted, (start, end, longest) = _best()(*case), case
    numbers = [_number(part) for part in result] if isinstance(result, (list, tuple)) else _listed(result)
    shown = f"start {_short(start)}, end {_short(end)}, longest {longest}"
    if len(numbers) != 2 or None in numbers:
        what = kind(result) if isinstance(result, Foreign) or result is None else str(result)[:60]
        return holds(False, sentence, f"Return a pair of numbers, `first, last`; for {shown} it is {what}.")
    told = otherwise or f"For {shown} you return {numbers[0]:g}, {numbers[1]:g} instead of {wanted[0]}, {wanted[1]}."
    right = tuple(numbers) == wanted
    for mistake, wrong in () if right else SPAN_MISTAKES.items():  # here, because numbers may come as tensors
        if wrong is _divided_as_tensor:  # an error, which the engine knows by its text
            continue
        if wrong(*case) == tuple(numbers) and all(wrong(*each) == _best()(*each) for each in passed):
            told = mistake
            break
    return holds(right, sentence, told, earns=earns)


def _listed(result):
    return result.tolist() if isinstance(result, torch.Tensor) and result.dim() == 1 else []


def _short(row):
    return "[" + " ".join("lowest" if value < -1e9 else f"{value:.1f}" for value in row.tolist()) + "]"
