"""Right solutions of lesson 07, written in other ways than the lesson's own."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from unmasked.other_ways.masked_language_modelling import choose_positions as choose_with_bernoulli

IGNORE = -100

# --- 7.1 -------------------------------------------------------------------------------------------------------------


def choose_exact_count(tokens, special_ids, rate, generator=None):
    """An exact number in each row, as in BERT's own code."""
    chosen = torch.zeros_like(tokens, dtype=torch.bool)
    for row, text in enumerate(tokens):
        places = [t for t, token in enumerate(text.tolist()) if token not in special_ids]
        order = torch.randperm(len(places), generator=generator).tolist()
        for place in order[: max(1, round(rate * len(places)))]:
            chosen[row, places[place]] = True
    return chosen


def choose_with_multinomial(tokens, special_ids, rate, generator=None):
    ordinary = ~(tokens[..., None] == torch.tensor(special_ids)).any(-1)
    chosen = torch.zeros_like(ordinary)
    for row, allowed in enumerate(ordinary):
        count = int(rate * allowed.sum().item() + 0.5)
        chosen[row, torch.multinomial(allowed.float(), count, generator=generator)] = True
    return chosen


def choose_of_the_whole_batch(tokens, special_ids, rate, generator=None):
    """An exact number of the batch, wherever they fall."""
    places = (~torch.isin(tokens, torch.tensor(special_ids))).flatten().nonzero().squeeze(1)
    lots = torch.randperm(len(places), generator=generator)[: round(rate * len(places))]
    chosen = torch.zeros(tokens.numel(), dtype=torch.bool)
    chosen[places[lots]] = True
    return chosen.view_as(tokens)


def choose_in_loops(tokens, special_ids, rate, generator=None):
    rows = tokens.tolist()
    draws = torch.rand(tokens.shape, generator=generator, dtype=torch.float64).tolist()
    return torch.tensor([[d < rate and t not in special_ids for t, d in zip(*row)] for row in zip(rows, draws)])


# --- 7.2 -------------------------------------------------------------------------------------------------------------


def mask_by_halves(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    """Half of what is left after masking, as in Hugging Face's collator."""
    inputs, labels = tokens.clone(), tokens.clone()
    labels[~chosen] = IGNORE
    masked = torch.bernoulli(torch.full(tokens.shape, 0.8), generator=generator).bool() & chosen
    inputs[masked] = mask_id
    random = torch.bernoulli(torch.full(tokens.shape, 0.5), generator=generator).bool() & chosen & ~masked
    ids = torch.randint(vocab_size - len(special_ids), tokens.shape, generator=generator) + len(special_ids)
    inputs[random] = ids[random]
    return inputs, labels


def mask_exact_shares(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    places = chosen.flatten().nonzero().squeeze(1)
    places = places[torch.randperm(len(places), generator=generator)]
    first, second = round(0.8 * len(places)), round(0.9 * len(places))
    inputs = tokens.flatten().clone()
    ordinary = torch.tensor([token for token in range(vocab_size) if token not in special_ids])
    inputs[places[:first]] = mask_id
    inputs[places[first:second]] = ordinary[torch.randint(len(ordinary), (second - first,), generator=generator)]
    return inputs.view_as(tokens), torch.where(chosen, tokens, IGNORE)


def mask_in_loops(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    inputs, labels = tokens.tolist(), torch.full(tokens.shape, -100)
    for b, row in enumerate(chosen.tolist()):
        for t, here in enumerate(row):
            if not here:
                continue
            labels[b, t] = tokens[b, t]
            draw = torch.rand((), generator=generator).item()
            if draw < 0.8:
                inputs[b][t] = mask_id
            elif draw < 0.9:
                inputs[b][t] = int(torch.randint(max(special_ids) + 1, vocab_size, (), generator=generator))
    return torch.tensor(inputs), labels


def mask_with_another_token(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    """The random token is never the one that stood there."""
    draw = torch.rand(tokens.shape, generator=generator)
    count = vocab_size - len(special_ids)
    shift = torch.randint(1, count, tokens.shape, generator=generator)
    other = (tokens - len(special_ids) + shift) % count + len(special_ids)
    inputs = torch.where(chosen & (draw > 0.2), mask_id, torch.where(chosen & (draw < 0.1), other, tokens))
    return [inputs, torch.where(chosen, tokens, IGNORE)]


# --- 7.3 -------------------------------------------------------------------------------------------------------------


class HeadWithModules(nn.Module):
    """The GELU as a module, in its tanh form; the embedding is kept as a part as well."""

    def __init__(self, d_model, token_embedding):
        super().__init__()
        self.token_embedding = token_embedding
        vocab_size, _ = token_embedding.weight.shape
        self.dense, self.norm = nn.Linear(d_model, d_model), nn.LayerNorm(d_model, eps=1e-12)
        self.activation = nn.GELU(approximate="tanh")
        self.decoder = nn.Linear(d_model, vocab_size, bias=True)
        self.decoder.weight = self.token_embedding.weight
        nn.init.zeros_(self.decoder.bias)

    def forward(self, hidden):
        return self.decoder(self.norm(self.activation(self.dense(hidden))))


class HeadByHand(nn.Module):
    """The layers by their formulas."""

    def __init__(self, d_model, embedding):
        super().__init__()
        self.dense = nn.Linear(d_model, d_model)
        self.norm = nn.LayerNorm(d_model)
        self.decoder = nn.Linear(d_model, embedding.num_embeddings)
        self.decoder.weight = embedding.weight

    def forward(self, x):
        x = x @ self.dense.weight.T + self.dense.bias
        x = x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
        x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5)
        x = x * self.norm.weight + self.norm.bias
        return torch.einsum("...d,vd->...v", x, self.decoder.weight) + self.decoder.bias


class Decoder(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight
        self.bias = nn.Parameter(torch.zeros(len(weight)))

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class HeadWithOwnDecoder(nn.Module):
    def __init__(self, d_model, token_embedding, dropout=0.0):
        super().__init__()
        self.dense = nn.Linear(d_model, d_model)
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.decoder = Decoder(token_embedding.weight)

    def forward(self, x):
        x = F.gelu(self.dense(x))
        return self.decoder(self.dropout(self.norm(x)))


# --- 7.4 -------------------------------------------------------------------------------------------------------------


def loss_by_hand(logits, labels):
    chosen = labels != IGNORE
    if not chosen.any():
        return logits.sum() * 0.0
    right = logits[chosen].log_softmax(-1).gather(1, labels[chosen].unsqueeze(1))
    return -right.mean()


def loss_of_the_chosen(logits, labels):
    chosen = labels != IGNORE
    return F.cross_entropy(logits[chosen], labels[chosen], reduction="sum") / max(int(chosen.sum()), 1)


def loss_with_weights(logits, labels):
    """The d2l way, put right."""
    weights = (labels != IGNORE).float().reshape(-1)
    each = nn.CrossEntropyLoss(reduction="none")(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1).clamp(min=0))
    return (each * weights).sum() / (weights.sum() + 1e-8)


def loss_with_nan_to_num(logits, labels):
    return torch.nan_to_num(F.cross_entropy(logits.view(-1, logits.size(-1)), labels.view(-1)))


# --- 7.6 -------------------------------------------------------------------------------------------------------------


def rate_by_interpolation(step, steps, peak, warmup):
    if step >= warmup:
        return peak + (0.0 - peak) * (step - warmup) / (steps - warmup)
    each = peak / warmup
    return each + each * step


def rate_as_a_tensor(step, steps, peak, warmup):
    rising = torch.linspace(0, peak, warmup + 1, dtype=torch.float64)[1:]
    falling = torch.linspace(peak, 0, steps - warmup + 1, dtype=torch.float64)
    return torch.cat([rising, falling])[step]


# --- 7.5 -------------------------------------------------------------------------------------------------------------


def held_out_by_sums(model, inputs, labels, batch=256):
    was_training = model.training
    model.eval()
    total, count = torch.tensor(0.0), torch.tensor(0)
    with torch.no_grad():
        for start in range(0, len(inputs), batch):
            rows, answers = inputs[start : start + batch], labels[start : start + batch]
            total += F.cross_entropy(model(rows).flatten(0, 1), answers.flatten(), ignore_index=IGNORE, reduction="sum")
            count += (answers != IGNORE).sum()
    model.train(was_training)
    return total / count


def held_out_weighted_means(model, inputs, labels, batch=256):
    model = model.eval()
    weights, means = [], []
    for x, y in zip(torch.split(inputs, batch), torch.split(labels, batch)):
        weights.append((y != IGNORE).sum().item())
        means.append(loss_by_hand(model(x), y).item())
    return sum(w * m for w, m in zip(weights, means)) / sum(weights)


VARIANTS = {
    "choose_positions": {
        "exact count in a row": choose_exact_count,
        "multinomial": choose_with_multinomial,
        "exact count in the batch": choose_of_the_whole_batch,
        "loops": choose_in_loops,
    },
    "mask_tokens": {
        "halves of the rest": mask_by_halves,
        "exact shares": mask_exact_shares,
        "loops": mask_in_loops,
        "always another token": mask_with_another_token,
    },
    "MaskedLMHead": {
        "modules, GELU's tanh form": HeadWithModules,
        "by hand": HeadByHand,
        "a decoder of its own": HeadWithOwnDecoder,
    },
    "masked_lm_loss": {
        "by hand": loss_by_hand,
        "only the chosen": loss_of_the_chosen,
        "weights": loss_with_weights,
        "nan_to_num": loss_with_nan_to_num,
    },
    "learning_rate": {
        "interpolation": rate_by_interpolation,
        "a tensor": rate_as_a_tensor,
    },
    "held_out_loss": {
        "sums": held_out_by_sums,
        "weighted means": held_out_weighted_means,
    },
}


def padding_forgotten(tokens, special_ids, rate, generator=None):
    probabilities = torch.full(tokens.shape, rate)
    probabilities[(tokens >= 100) & (tokens < 104)] = 0.0
    return torch.bernoulli(probabilities, generator=generator).bool()


def inverted_draw(tokens, special_ids, rate, generator=None):
    special = sum(tokens == special for special in special_ids).bool()
    return torch.rand(tokens.shape, generator=generator).ge(rate) & ~special


def one_row_for_all(tokens, special_ids, rate, generator=None):
    count = round(rate * tokens.shape[1])
    chosen = torch.zeros_like(tokens, dtype=torch.bool)
    chosen[:, torch.randperm(tokens.shape[1], generator=generator)[:count]] = True
    return chosen & ~torch.isin(tokens, torch.tensor(special_ids))


def share_of_the_row(tokens, special_ids, rate, generator=None):
    chosen = torch.zeros_like(tokens, dtype=torch.bool)
    for row, text in enumerate(tokens):
        places = torch.isin(text, torch.tensor(special_ids), invert=True).nonzero().squeeze(1)
        chosen[row, places[torch.randperm(len(places), generator=generator)[: round(rate * len(text))]]] = True
    return chosen


def masked(mask=0.8, random=0.1, low=None, high=None, labels=None, shape=lambda tokens: tokens.shape):
    """A mask_tokens with two draws, a loop's logic and other numbers."""

    def mask_tokens(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
        ids = torch.randint(low or len(special_ids), high or vocab_size, shape(tokens), generator=generator)
        draw = torch.rand(tokens.shape, generator=generator)
        inputs = torch.where(draw < random, ids, torch.where(draw < random + mask, mask_id, tokens))
        answers = labels(tokens, chosen) if labels else torch.where(chosen, tokens, IGNORE)
        return torch.where(chosen, inputs, tokens), answers

    return mask_tokens


def hugging_face_misread(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    """Hugging Face's collator with 0.1 where it has 0.5."""
    inputs, labels = tokens.clone(), torch.where(chosen, tokens, IGNORE)
    replaced = torch.bernoulli(torch.full(tokens.shape, 0.8), generator=generator).bool() & chosen
    inputs[replaced] = mask_id
    random = torch.bernoulli(torch.full(tokens.shape, 0.1), generator=generator).bool() & chosen & ~replaced
    inputs[random] = torch.randint(len(special_ids), vocab_size, tokens.shape, generator=generator)[random]
    return inputs, labels


def ids_from_elsewhere(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    """The random tokens are drawn for the replaced positions only, and not from the generator."""
    inputs, draw = tokens.clone(), torch.rand(tokens.shape, generator=generator)
    inputs[chosen & (draw < 0.8)] = mask_id
    replaced = chosen & (draw > 0.9)
    inputs[replaced] = torch.randint(len(special_ids), vocab_size, (int(replaced.sum()),))
    return inputs, torch.where(chosen, tokens, IGNORE)


def fates_from_elsewhere(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    """Only the random tokens are drawn from the generator."""
    draw = torch.rand(tokens.shape)
    ids = torch.randint(len(special_ids), vocab_size, tokens.shape, generator=generator)
    inputs = torch.where(draw < 0.8, mask_id, torch.where(draw < 0.9, ids, tokens))
    return torch.where(chosen, inputs, tokens), torch.where(chosen, tokens, IGNORE)


def overwriting(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    inputs, draw = tokens.clone(), torch.rand(tokens.shape, generator=generator)
    inputs[chosen & (draw < 0.8)] = mask_id
    ids = torch.randint(len(special_ids), vocab_size, tokens.shape, generator=generator)
    inputs[chosen & (draw < 0.9)] = ids[chosen & (draw < 0.9)]
    return inputs, torch.where(chosen, tokens, IGNORE)


def one_draw(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    inputs, draw = tokens.clone(), torch.rand(1, generator=generator).item()
    if draw < 0.9:
        inputs[chosen] = mask_id if draw < 0.8 else int(torch.randint(5, vocab_size, (), generator=generator))
    return inputs, torch.where(chosen, tokens, IGNORE)


def kept_unlabelled(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    inputs, _ = mask_by_halves(tokens, chosen, mask_id, special_ids, vocab_size, generator)
    return inputs, torch.where(inputs != tokens, tokens, IGNORE)


class SharedData(HeadWithModules):
    """The numbers are shared, the parameter is not."""

    def __init__(self, d_model, token_embedding):
        super().__init__(d_model, token_embedding)
        del self.token_embedding
        self.decoder.weight = nn.Parameter(token_embedding.weight.data)


class NormTooEarly(HeadWithOwnDecoder):
    def forward(self, x):
        return self.decoder(nn.functional.gelu(self.norm(self.dense(x))))


class WithoutGELU(HeadByHand):
    def forward(self, x):
        x = nn.functional.layer_norm(x @ self.dense.weight.T + self.dense.bias, x.shape[-1:])
        return self.decoder(x * self.norm.weight + self.norm.bias)


class TurnedDecoder(HeadByHand):
    def __init__(self, d_model, embedding):
        super().__init__(d_model, embedding)
        self.decoder = nn.Linear(embedding.num_embeddings, d_model)
        self.decoder.weight = embedding.weight


def mean_of_rows(logits, labels):
    rows = [loss_by_hand(row, wanted) for row, wanted in zip(logits, labels)]
    return sum(rows) / len(rows)


def textbook(logits, labels):
    """As in d2l-en, issue 2582."""
    weights = (labels != IGNORE).float().reshape(-1)
    loss = nn.CrossEntropyLoss()(logits.reshape(-1, logits.shape[-1]), labels.clamp(min=0).reshape(-1))
    return (loss * weights).sum() / (weights.sum() + 1e-8)


def from_zero(step, steps, peak, warmup):
    if warmup and step < warmup:
        return step * (peak / warmup)
    return max(0.0, peak * (1 - (step - warmup) / (steps - warmup)))


def means_of_batches(model, inputs, labels, batch=256):
    model.eval()
    starts = range(0, len(inputs), batch)
    means = [loss_by_hand(model(inputs[i : i + batch]), labels[i : i + batch]) for i in starts]
    return torch.stack(means).mean()


def counted(count, times=lambda labels: (labels != IGNORE).sum().item()):
    """A held_out_loss that divides by another number, or multiplies each mean by one."""

    def held_out_loss(model, inputs, labels, batch=256):
        model.eval()
        total = 0.0
        for x, y in zip(inputs.split(batch), labels.split(batch)):
            total += loss_by_hand(model(x), y) * times(y)
        return total / count(inputs, labels)

    return held_out_loss


def masked_anew(model, inputs, labels, batch=256):
    inputs, labels = mask_by_halves(inputs, inputs > -1, 4, range(5), 4000, torch.Generator().manual_seed(0))
    return held_out_by_sums(model, inputs, labels, batch)


def scored_at_positions(model, inputs, labels, batch=256):
    model.eval()
    places = (labels.flatten() != IGNORE).nonzero().squeeze(1)
    return loss_by_hand(model(inputs, positions=places), labels.flatten()[places])


def only_masks(model, inputs, labels, batch=256):
    return held_out_by_sums(model, inputs, torch.where(inputs == 4, labels, IGNORE), batch)


# The same mistakes as in the checks' tables, made by other code.
REWRITTEN_MISTAKES = {
    "choose_positions": {
        "but padding is": padding_forgotten,
        "should be left": inverted_draw,
        "same places in every row": one_row_for_all,
        "share of the whole row": share_of_the_row,
        "Your draws don't depend on": lambda tokens, special_ids, rate, generator=None: choose_with_bernoulli(
            tokens, special_ids, rate
        ),
        "another rate chooses as many": lambda tokens, special_ids, rate, generator=None: choose_exact_count(
            tokens, special_ids, 0.15, generator
        ),
    },
    "mask_tokens": {
        "only 80 % should": masked(mask=1.0, random=0.0),
        "No chosen token stays": masked(mask=0.8, random=0.2),
        "replaced by a random one": masked(random=0.0),
        "are special ones": masked(low=1),
        "upper end": masked(high=29),
        "half of it": hugging_face_misread,
        "to `torch.randint` too": ids_from_elsewhere,
        "hand `generator=generator` to every draw": fates_from_elsewhere,
        "overwrite every [MASK]": overwriting,
        "share one fate": one_draw,
        "the model is asked for them too": kept_unlabelled,
        "Every position has a label": masked(labels=lambda tokens, chosen: tokens * 1),
        "random tokens of a column are the same": masked(shape=lambda tokens: tokens.shape[-1:]),
        "random tokens of a row are the same": masked(shape=lambda tokens: (len(tokens), 1)),
        "Use -100": masked(labels=lambda tokens, chosen: torch.where(chosen, tokens, 0)),
    },
    "MaskedLMHead": {
        "is a copy": SharedData,
        "before the GELU": NormTooEarly,
        "The GELU is missing": WithoutGELU,
        "takes the size that goes in first": TurnedDecoder,
    },
    "masked_lm_loss": {
        "mean of each row": mean_of_rows,
        "were not chosen count too": textbook,
        "`logits.mT` fits scores": lambda logits, labels: F.cross_entropy(logits.mT, labels, ignore_index=IGNORE),
        "`flatten(0, -2)` leaves V alone": lambda logits, labels: F.cross_entropy(
            logits.flatten(0, 1), labels.reshape(-1)
        ),
        "return a plain number": lambda logits, labels: loss_by_hand(logits, labels) if (labels >= 0).sum() else 0,
        "divide 0 by 0": lambda logits, labels: (
            -(logits.log_softmax(-1)[labels != IGNORE].gather(-1, labels[labels != IGNORE][:, None]).mean())
        ),
    },
    "learning_rate": {"first step has a rate of 0": from_zero},
    "held_out_loss": {
        "average the batches": means_of_batches,
        "number of all positions": counted(lambda inputs, labels: labels.numel()),
        "multiply each mean": counted(lambda inputs, labels: (labels != IGNORE).sum(), times=lambda labels: 1),
        "don't corrupt again": masked_anew,
        "without `positions`": scored_at_positions,
        "whose label is not -100": only_masks,
        "more rows at once than": lambda model, inputs, labels, batch=256: loss_by_hand(
            model.eval()(inputs), labels
        ).item(),
        "does not see the tokens": lambda model, inputs, labels, batch=256: held_out_by_sums(
            model, torch.where(labels == IGNORE, 0, inputs), labels, batch
        ),
    },
}
