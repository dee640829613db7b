"""Right solutions of lesson 08, written in other ways than the lesson's own."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

IGNORE = -100

# --- 8.1 -------------------------------------------------------------------------------------------------------------


class ClassifierWithDropout(nn.Module):
    """Step by step, with an extra that is off unless asked for."""

    def __init__(self, embeddings, encoder, pool, d_model, classes, dropout=0.0):
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(d_model, classes)

    def forward(self, tokens, key_padding_mask=None):
        x = self.embeddings(tokens)
        x = self.encoder(x, key_padding_mask)
        x = self.pool(x, key_padding_mask)
        return self.output(self.dropout(x))


class ClassifierByHand(ClassifierWithDropout):
    """The product is written out; the pool is called by keyword."""

    def forward(self, tokens, key_padding_mask=None):
        x = self.encoder(self.embeddings(tokens), key_padding_mask=key_padding_mask)
        pooled = self.pool(x, key_padding_mask=key_padding_mask)
        return torch.einsum("bd,cd->bc", pooled, self.output.weight) + self.output.bias


class ClassifierOfParts(nn.Module):
    """The parts under their names, and a layer of its own kind for the output."""

    class Scores(nn.Module):
        def __init__(self, width, classes):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.randn(classes, width)), nn.Parameter(torch.zeros(classes))

        def forward(self, x):
            return F.linear(x, self.weight, self.bias)

    def __init__(self, embeddings, encoder, pool, d_model, classes):
        super().__init__()
        self.parts = nn.ModuleDict({"embeddings": embeddings, "encoder": encoder})
        self.pool = pool
        self.output = self.Scores(d_model, classes)

    def forward(self, tokens, key_padding_mask=None):
        vectors = self.parts["encoder"](self.parts["embeddings"](tokens), key_padding_mask)
        return self.output(self.pool(vectors, key_padding_mask))


class ClassifierOfFirst(ClassifierWithDropout):
    def forward(self, tokens, key_padding_mask=None):
        return self.output(self.encoder(self.embeddings(tokens), key_padding_mask)[:, 0, :])


class ClassifierForgetsPadding(ClassifierWithDropout):
    def forward(self, tokens, key_padding_mask=None):
        return self.output(self.pool(self.encoder(self.embeddings(tokens)), key_padding_mask))


class ClassifierSqueezed(ClassifierWithDropout):
    def forward(self, tokens, key_padding_mask=None):
        return torch.squeeze(super().forward(tokens, key_padding_mask))


class ClassifierTurnsMask(ClassifierWithDropout):
    def forward(self, tokens, key_padding_mask=None):
        x = self.encoder(self.embeddings(tokens), key_padding_mask)
        return self.output(self.pool(x, torch.logical_not(key_padding_mask)))


class ClassifierOwnMask(ClassifierWithDropout):
    def forward(self, tokens, key_padding_mask=None):
        return super().forward(tokens, tokens.eq(0))


class ClassifierOfTwoLayers(ClassifierWithDropout):
    def __init__(self, embeddings, encoder, pool, d_model, classes):
        super().__init__(embeddings, encoder, pool, d_model, classes)
        self.dropout = nn.Sequential(nn.Linear(d_model, 2 * d_model), nn.GELU(), nn.Linear(2 * d_model, d_model))


# --- 8.2 -------------------------------------------------------------------------------------------------------------


class FrozenInForward(nn.Module):
    """Back to evaluation at every call."""

    def __init__(self, module):
        super().__init__()
        self.inner = module
        for parameter in self.inner.parameters():
            parameter.requires_grad = False

    def forward(self, *inputs):
        self.inner.eval()
        return self.inner(*inputs)


class FrozenByOverriding(nn.Module):
    """`train` does the usual thing for the wrapper, and the opposite for what is in it."""

    def __init__(self, module):
        super().__init__()
        self.encoder = module.eval()
        for _, parameter in self.encoder.named_parameters():
            parameter.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, x, mask=None):
        return self.encoder(x) if mask is None else self.encoder(x, mask)


class FrozenCopy(nn.Module):
    """A copy is frozen, so that the original may go on learning."""

    def __init__(self, module):
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.module.train = lambda mode=True: self.module

    def forward(self, *inputs, **named):
        return self.module(*inputs, **named)


class FrozenByAttribute(FrozenInForward):
    def __init__(self, module):
        nn.Module.__init__(self)
        self.inner = module
        self.inner.requires_grad = False


class FrozenDetached(FrozenInForward):
    def forward(self, *inputs):
        return super().forward(*inputs).detach()


class FrozenWrapperOnly(nn.Module):
    """Freezes what it holds before it holds anything."""

    def __init__(self, module):
        super().__init__()
        self.requires_grad_(False)
        self.inner = module.eval()

    def train(self, mode=True):
        return super().train(False)

    def forward(self, *inputs):
        return self.inner(*inputs)


class FrozenByFlag(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module.requires_grad_(False)
        self.module.training = False

    def train(self, mode=True):
        self.module.training = False
        return self

    def forward(self, *inputs):
        return self.module(*inputs)


class FrozenReturnsNothing(FrozenWrapperOnly):
    def __init__(self, module):
        super().__init__(module.requires_grad_(False))
        self.eval()

    def train(self, mode=True):
        super().train(False)


class FrozenIgnoresTrain(FrozenWrapperOnly):
    def __init__(self, module):
        super().__init__(module.requires_grad_(False))

    def train(self, mode=True):
        pass


class FrozenReturnsTheInner(FrozenWrapperOnly):
    def __init__(self, module):
        super().__init__(module.requires_grad_(False))

    def train(self, mode=True):
        return self.inner.train(False)


class FrozenNot(FrozenWrapperOnly):
    def __init__(self, module):
        super().__init__(module.requires_grad_(False))

    def train(self, mode=True):
        self.inner.train(not mode)
        return self


class FrozenWithoutEnd(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module.eval().requires_grad_(False)

    def train(self, mode=True):
        super().eval()
        return self

    def forward(self, *inputs):
        return self.module(*inputs)


class FrozenOnlyOnce(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.part = module
        self.part.requires_grad_(False)
        self.part.eval()

    def forward(self, *inputs):
        return self.part(*inputs)


# --- 8.3 -------------------------------------------------------------------------------------------------------------


def rates_in_a_loop(model, rate, decay):
    groups = [{"params": list(model.output.parameters()), "lr": rate}]
    groups.append({"params": list(model.encoder.norm.parameters()), "lr": rate * decay})
    for block in reversed(model.encoder.blocks):
        rate = rate * decay
        groups.append({"params": list(block.parameters()), "lr": rate})
    groups.append({"params": list(model.embeddings.parameters()), "lr": rate * decay})
    return groups


def rates_of_each(model, rate, decay):
    """A group for every single parameter, told by its name."""
    count = len(model.encoder.blocks)

    def depth(name):
        if name.startswith("output"):
            return 0
        if name.startswith("embeddings"):
            return count + 1
        return count - int(name.split(".")[2]) if "blocks" in name else 1

    return [{"params": [value], "lr": rate * decay ** depth(name)} for name, value in model.named_parameters()]


def rates_with_extras(model, rate, decay):
    """From the bottom up, as tuples, with a name for each group."""
    blocks = list(model.encoder.blocks)
    groups = [
        {"params": tuple(model.embeddings.parameters()), "lr": rate * decay ** (len(blocks) + 1), "name": "below"}
    ]
    for i, block in enumerate(blocks):
        groups.append({"params": tuple(block.parameters()), "lr": rate * pow(decay, len(blocks) - i), "name": str(i)})
    groups[-1]["params"] += tuple(model.encoder.norm.parameters())
    return (*groups, {"params": tuple(model.output.parameters()), "lr": rate, "name": "above"})


def rates_from_the_bottom(model, rate, decay):
    """Blocks in the order of the list."""
    groups = [{"params": [*model.output.parameters()], "lr": rate}]
    for depth, block in enumerate(model.encoder.blocks, start=1):
        groups.append({"params": [*block.parameters()], "lr": rate * decay**depth})
    groups.append({"params": [*model.encoder.norm.parameters()], "lr": rate * decay})
    groups.append({"params": [*model.embeddings.parameters()], "lr": rate * decay ** (len(groups) - 1)})
    return groups


def rates_alike(model, rate, decay):
    return [{"params": [value], "lr": rate} for value in model.parameters()]


def rates_without_reversed(model, rate, decay):
    layers = [[*model.output.parameters()]]
    for block in model.encoder.blocks:
        layers.append([*block.parameters()])
    layers[-1] += [*model.encoder.norm.parameters()]
    layers.append([*model.embeddings.parameters()])
    return [{"params": layer, "lr": rate * decay**depth} for depth, layer in enumerate(layers)]


def rates_of_layers(rate_at):
    def layer_rates(model, rate, decay):
        *blocks, last = (list(block.parameters()) for block in model.encoder.blocks)
        layers = [list(model.embeddings.parameters()), *blocks, last + list(model.encoder.norm.parameters())]
        layers = [*layers, list(model.output.parameters())][::-1]
        return [{"params": layers[i], "lr": rate_at(i, rate, decay)} for i in range(len(layers))]

    return layer_rates


def rates_with_norm_between(model, rate, decay):
    layers = [model.output, model.encoder.norm, *reversed(model.encoder.blocks), model.embeddings]
    groups = [{"params": list(layer.parameters()), "lr": rate * decay**i} for i, layer in enumerate(layers)]
    return groups


def rates_of_three(model, rate, decay):
    layers = model.output, model.encoder, model.embeddings
    return [{"params": [*layer.parameters()], "lr": rate * decay**i} for i, layer in enumerate(layers)]


def rates_falling_twice(model, rate, decay):
    groups = rates_of_layers(lambda i, rate, decay: rate)(model, rate, decay)
    for depth, group in enumerate(groups):
        rate *= decay**depth
        group["lr"] = rate
    return groups


# --- 8.4 -------------------------------------------------------------------------------------------------------------


def labels_in_a_loop(word_ids, labels):
    found, before = [], None
    for word in word_ids:
        found.append(labels[word] if word is not None and word != before else IGNORE)
        before = word
    return found


def labels_by_set(word_ids, labels):
    """A word that has been seen gets no second label."""
    seen, found = {None}, []
    for word in word_ids:
        found += [IGNORE] if word in seen else [labels[word]]
        seen.add(word)
    return tuple(found)


def labels_by_index(word_ids, labels):
    found = torch.full((len(word_ids),), -100)
    for word, label in enumerate(labels):
        if word in word_ids:
            found[word_ids.index(word)] = label
    return found


def labels_everywhere(word_ids, labels):
    return [-100 if i is None else labels[i] for i in word_ids]


def labels_without_word_0(word_ids, labels):
    found = []
    for i, word in enumerate(word_ids):
        if word and (i == 0 or word_ids[i - 1] != word):
            found.append(labels[word])
        else:
            found.append(-100)
    return found


def labels_without_place(word_ids, labels):
    found = []
    for place in range(len(word_ids)):
        word, before = word_ids[place], word_ids[place - 1]
        found.append(labels[word] if word is not None and word != before else -100)
    return found


def labels_inside(word_ids, labels):
    found = [IGNORE] * len(word_ids)
    for place in range(1, len(word_ids) - 1):
        if word_ids[place] != word_ids[place - 1]:
            found[place] = labels[word_ids[place]]
    return found


def labels_popped(word_ids, labels):
    left, found, before = list(labels), [], None
    for word in word_ids:
        found.append(IGNORE if word is None or word == before else left.pop(0))
        before = word
    return found


def labels_as_floats(word_ids, labels):
    return torch.tensor(labels_in_a_loop(word_ids, labels), dtype=torch.float32)


# --- 8.5 -------------------------------------------------------------------------------------------------------------


class HeadByUnbind(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.output = nn.Linear(d_model, 2)

    def forward(self, x, hidden):
        start, end = self.output(x).unbind(-1)
        return start.masked_fill(hidden, -1e9), end.masked_fill(hidden, -1e9)


class HeadBySplit(HeadByUnbind):
    """Infinity, and a list."""

    def forward(self, x, hidden):
        pair = self.output(x).split(1, dim=-1)
        return [torch.where(hidden, -torch.inf, part.squeeze(-1)) for part in pair]


class HeadByHand(HeadByUnbind):
    """Both products written out, and a penalty that is added."""

    def forward(self, x, hidden):
        (start, end), (b, c) = self.output.weight, self.output.bias
        penalty = hidden.float() * -1e6
        return torch.einsum("btd,d->bt", x, start) + b + penalty, x @ end + c + penalty


class HeadWithoutMask(HeadByUnbind):
    def forward(self, x, hidden):
        return self.output(x)[:, :, 0], self.output(x)[:, :, 1]


class HeadOfOneTensor(HeadByUnbind):
    def forward(self, x, hidden):
        return self.output(x).masked_fill(hidden.unsqueeze(-1), torch.finfo(x.dtype).min)


class HeadWithFlatMask(HeadByUnbind):
    def forward(self, x, hidden):
        scores = self.output(x)
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        return scores[:, :, 0], scores[:, :, 1]


class HeadWithFlatPenalty(HeadByUnbind):
    def forward(self, x, hidden):
        start, end = (self.output(x) - 1e9 * hidden.float()).split(1, dim=-1)
        return start[..., 0], end[..., 0]


class HeadOfTiny(HeadByUnbind):
    def forward(self, x, hidden):
        start, end = self.output(x).unbind(-1)
        lowest = torch.finfo(x.dtype).tiny
        return start.masked_fill(hidden, lowest), end.masked_fill(hidden, lowest)


# --- 8.6 -------------------------------------------------------------------------------------------------------------


def span_in_loops(start, end, longest):
    best, found = -float("inf"), (0, 0)
    for first in range(len(start)):
        for last in range(first, min(first + longest, len(end))):
            if start[first] + end[last] > best:
                best, found = start[first] + end[last], (first, last)
    return found


def span_by_lengths(start, end, longest):
    """Each length at once: the ends, moved, beside the starts."""
    candidates = []
    for extra in range(min(longest, len(start))):
        value, first = (start[: len(start) - extra] + end[extra:]).max(dim=0)
        candidates.append((value.item(), first.item(), first.item() + extra))
    _, first, last = max(candidates)
    return [first, last]


def span_by_where(start, end, longest):
    places = torch.arange(len(start))
    distance = places[None, :] - places[:, None]
    sums = torch.where((distance >= 0) & (distance < longest), start.unsqueeze(1) + end.unsqueeze(0), -torch.inf)
    return torch.stack(torch.unravel_index(sums.argmax(), sums.shape))


def span_each_for_itself(start, end, longest):
    return start.argmax(), end.argmax()


def span_of_any_length(start, end, longest):
    sums = (start[:, None] + end[None, :]).masked_fill(torch.ones(len(start), len(end)).tril(-1).bool(), -torch.inf)
    return divmod(int(sums.argmax()), len(end))


def span_with_end_clamped(start, end, longest):
    first = int(start.argmax())
    return first, int(end.argmax().clamp(first, first + longest - 1).clamp(max=len(end) - 1))


def span_put_at_the_limit(start, end, longest):
    first, last = int(start.argmax()), int(end.argmax())
    if last < first or last - first >= longest:
        last = min(first + longest - 1, len(end) - 1)
    return first, last


def span_never_at_the_end(start, end, longest):
    best, found = -torch.inf, (0, 0)
    for i in range(len(start)):
        for j in range(i, min(len(end) - 1, i + longest)):
            if start[i] + end[j] > best:
                best, found = start[i] + end[j], (i, j)
    return found


def span_in_loops_from(lowest):
    def best_span(start, end, longest):
        best, first, last = lowest, 0, 0
        for i in range(len(start)):
            for j in range(i, min(i + longest, len(end))):
                if start[i] + end[j] > best:
                    best, first, last = start[i] + end[j], i, j
        return first, last

    return best_span


def span_filled_with_minus_100(start, end, longest):
    sums = start[:, None] + end
    return divmod(
        sums.masked_fill(~torch.ones_like(sums).triu().tril(longest - 1).bool(), -100).argmax().item(), len(end)
    )


def span_of_the_best_five(start, end, longest):
    best, found = -torch.inf, (0, 0)
    for first in start.argsort(descending=True)[:5].tolist():
        for last in end.argsort(descending=True)[:5].tolist():
            if first <= last < first + longest and start[first] + end[last] > best:
                best, found = start[first] + end[last], (first, last)
    return found


def span_divided_as_tensor(start, end, longest):
    sums = start.unsqueeze(1) + end.unsqueeze(0)
    allowed = torch.ones(sums.shape).triu().tril(longest - 1) > 0
    place = torch.where(allowed, sums, -torch.inf).argmax()
    return divmod(place, sums.shape[1])


def span_of_turned_table(start, end, longest):
    sums = start + end[:, None]
    allowed = torch.ones_like(sums).triu().tril(longest - 1).bool()
    return divmod(sums.masked_fill(~allowed, -torch.inf).argmax().item(), len(end))


def span_of_the_lower_half(start, end, longest):
    sums = start[:, None] + end
    allowed = torch.ones_like(sums).tril().triu(1 - longest).bool()
    return divmod(sums.masked_fill(~allowed, -torch.inf).argmax().item(), len(end))


VARIANTS = {
    "TextClassifier": {
        "with dropout": ClassifierWithDropout,
        "the product by hand": ClassifierByHand,
        "a dictionary of parts": ClassifierOfParts,
    },
    "Frozen": {
        "evaluation in forward": FrozenInForward,
        "train overridden": FrozenByOverriding,
        "a copy": FrozenCopy,
    },
    "layer_rates": {
        "a loop": rates_in_a_loop,
        "a group for each parameter": rates_of_each,
        "with names": rates_with_extras,
    },
    "piece_labels": {
        "a loop": labels_in_a_loop,
        "a set": labels_by_set,
        "index": labels_by_index,
    },
    "SpanHead": {
        "unbind": HeadByUnbind,
        "split": HeadBySplit,
        "by hand": HeadByHand,
    },
    "best_span": {
        "loops": span_in_loops,
        "length by length": span_by_lengths,
        "where": span_by_where,
    },
}

REWRITTEN_MISTAKES = {
    "TextClassifier": {
        "vector of the first token": ClassifierOfFirst,
        "encoder is called without": ClassifierForgetsPadding,
        "more to learn than": ClassifierOfTwoLayers,
        "`pool` gets the mask the wrong way": ClassifierTurnsMask,
        "a mask of your own": ClassifierOwnMask,
        "leave out `squeeze()`": ClassifierSqueezed,
    },
    "Frozen": {
        "Call `module.requires_grad_(False)`": FrozenByAttribute,
        "since a module itself has none": FrozenWrapperOnly,
        "set for the module alone": FrozenByFlag,
        "must end with `return self`": FrozenReturnsNothing,
        "as PyTorch's does; without it": FrozenIgnoresTrain,
        "gives None, or another": FrozenReturnsTheInner,
        "After `eval()` the frozen part": FrozenNot,
        "so `train` must not call": FrozenWithoutEnd,
        "No gradient goes through": FrozenDetached,
        "switches dropout on": FrozenOnlyOnce,
    },
    "layer_rates": {
        "The blocks are the wrong way round": rates_from_the_bottom,
        "`decay` is not used": rates_alike,
        "go through them `reversed`": rates_without_reversed,
        "You multiply by the depth": rates_of_layers(lambda i, rate, decay: rate * decay * i),
        "`rate` is not used": rates_of_layers(lambda i, rate, decay: decay**i),
        "The rate falls twice": rates_falling_twice,
        "all below it are one too deep": rates_with_norm_between,
        "as if they were one layer": rates_of_three,
    },
    "piece_labels": {
        "Every piece of a word": labels_everywhere,
        "0 counts as False": labels_without_word_0,
        "-1 counts from the end": labels_without_place,
        "one label after the other": labels_popped,
        "not only at both ends": labels_inside,
        "floating-point numbers": labels_as_floats,
    },
    "SpanHead": {
        "could stand where `hidden`": HeadWithoutMask,
        "You return one tensor": HeadOfOneTensor,
        "it needs a third axis": HeadWithFlatMask,
        "What you add to the scores": HeadWithFlatPenalty,
        "or nearly (`finfo.tiny`)": HeadOfTiny,
    },
    "best_span": {
        "each for itself": span_each_for_itself,
        "`longest` is not used": span_of_any_length,
        "You move the best end": span_with_end_clamped,
        "as far away as is allowed": span_put_at_the_limit,
        "stop one too early": span_never_at_the_end,
        "You add probabilities": lambda start, end, longest: span_in_loops(start.softmax(-1), end.softmax(-1), longest),
        "starts from 0": span_in_loops_from(0.0),
        "start from -torch.inf, or fill": span_in_loops_from(-100),
        "fill what is not allowed with it": span_filled_with_minus_100,
        "the seventh best start": span_of_the_best_five,
        "`divmod` needs a plain number": span_divided_as_tensor,
        "Your table is turned": span_of_turned_table,
        "`triu` keeps column >= row": span_of_the_lower_half,
    },
}
