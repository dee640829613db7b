"""Right solutions of lesson 06, written in other ways than the lesson's own."""

import re

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# --- 6.1 -------------------------------------------------------------------------------------------------------------


def split_with_a_pattern(text):
    return [match.span() for match in re.finditer(r"[a-z']+|\d+|[^a-z'\d\s]", text)]


def split_as_lists(text):
    return [[m.start(), m.end()] for m in re.compile(r"(?:[a-z]|')+|\d+|\S").finditer(text)]


def kind_of(letter):
    if letter.isspace():
        return "space"
    return "word" if "a" <= letter <= "z" or letter == "'" else "number" if letter.isdigit() else "sign"


def split_letter_by_letter(text):
    places = []
    for place, letter in enumerate(text):
        kind = kind_of(letter)
        if kind == "space":
            continue
        joins = place and kind != "sign" and kind_of(text[place - 1]) == kind
        if joins:
            places[-1] = (places[-1][0], place + 1)
        else:
            places.append((place, place + 1))
    return places


def split_with_find(text):
    places, start = [], 0
    for word in re.findall(r"[a-z']+|[0-9]+|\S", text):
        start = text.find(word, start)
        places.append((start, start + len(word)))
        start += len(word)
    return places


def split_with_numpy(text):
    return [tuple(np.array(match.span())) for match in re.finditer(r"[a-z']+|[0-9]+|\S", text)]


def split_by_isalpha(text):
    places = []
    for place, letter in enumerate(text):
        kinds = [("word" if c.isalpha() or c == "'" else "number" if c.isdigit() else c) for c in text[: place + 1]]
        if letter.isspace():
            continue
        if place and kinds[-1] == kinds[-2] and len(kinds[-1]) > 1:
            places[-1] = (places[-1][0], place + 1)
        else:
            places.append((place, place + 1))
    return places


def find_from_the_start(text):
    return [(text.index(w), text.index(w) + len(w)) for w in re.findall(r"[a-z']+|[0-9]+|[^\s]", text)]


def split_at_spaces(text):
    places, start = [], 0
    for word in text.split(" "):
        if word:
            places.append((start, start + len(word)))
        start += len(word) + 1
    return places


# --- 6.2 -------------------------------------------------------------------------------------------------------------


def align_by_slots(places, slots):
    tags = ["O"] * len(places)
    for start, end, slot in slots:
        inside = [i for i, (a, b) in enumerate(places) if start <= a and b <= end]
        for number, i in enumerate(inside):
            tags[i] = f"{'I' if number else 'B'}-{slot}"
    return tags


def align_with_a_pointer(places, slots):
    """Goes through both once; they stand in the order of the text."""
    tags, waiting = [], list(slots)
    for start, _ in places:
        while waiting and waiting[0][1] <= start:
            waiting.pop(0)
        inside = waiting and waiting[0][0] <= start
        tags.append(("B-" if start == waiting[0][0] else "I-") + waiting[0][2] if inside else "O")
    return tags


def align_with_overlap(places, slots):
    tags = []
    for first, last in places:
        tag = "O"
        for start, end, slot in slots:
            if max(first, start) < min(last, end):
                tag = ("B-" if first <= start else "I-") + slot
        tags.append(tag)
    return tuple(tags)


def begins_after_o(places, slots):
    """As most people write it first: B- where the tag before is O."""
    tags = ["O"] * len(places)
    for start, end, slot in slots:
        for i, (a, b) in enumerate(places):
            if a >= start and b <= end:
                tags[i] = "B-" + slot if i == 0 or tags[i - 1] == "O" else "I-" + slot
    return tags


def overwriting_loop(places, slots):
    for begin, end, slot in slots[-1:]:
        tags = [("B-" if a == begin else "I-") + slot if begin <= a < end else "O" for a, _ in places]
    return tags if slots else ["O"] * len(places)


def begins_after_another_tag(places, slots):
    tags, before = [], None
    for a, _ in places:
        now = None
        for start, end, slot in slots:
            if start <= a < end:
                now = slot
        tags.append("O" if now is None else ("I-" if now == before else "B-") + now)
        before = now
    return tags


# --- 6.3 -------------------------------------------------------------------------------------------------------------


def spans_with_a_while(tags):
    spans, i = [], 0
    while i < len(tags):
        if tags[i] == "O":
            i += 1
            continue
        slot, first = tags[i].split("-", 1)[1], i
        i += 1
        while i < len(tags) and tags[i] == f"I-{slot}":
            i += 1
        spans.append([first, i, slot])
    return spans


def spans_by_edges(tags):
    padded = ["O", *tags, "O"]
    begins = [
        i for i in range(1, len(padded) - 1)
        if padded[i] != "O" and not (padded[i][0] == "I" and padded[i - 1][2:] == padded[i][2:])
    ]  # fmt: skip
    spans = []
    for i in begins:
        j = i + 1
        while padded[j] == "I-" + padded[i][2:]:
            j += 1
        spans.append((i - 1, j - 1, padded[i][2:]))
    return spans


def spans_by_slot(tags):
    return sorted(spans_with_a_while(tags), key=lambda span: span[2])


def spans_of_numpy(tags):
    return [(np.int64(first), np.int64(end), slot) for first, end, slot in spans_by_edges(tags)]


def spans_but_not_at_0(tags):
    spans, start, slot = [], None, None
    for place, tag in enumerate([*tags, "O"]):
        if start and tag != f"I-{slot}":
            spans.append((start, place, slot))
            start = None
        if not start and tag != "O":
            start, slot = place, tag[2:]
    return spans


def lengths_of_spans(tags):
    return [(first, end - first, slot) for first, end, slot in spans_by_edges(tags)]


def spans_without_the_last(tags):
    spans, first, slot = [], None, None
    for place, tag in enumerate(tags):
        if first is not None and tag != "I-" + slot:
            spans.append((first, place, slot))
            first = None
        if first is None and tag != "O":
            first, slot = place, tag[2:]
    return spans


def spans_of_b_only(tags):
    spans = []
    for place, tag in enumerate(tags):
        if tag[0] == "B":
            end = place + 1
            while end < len(tags) and tags[end] == "I" + tag[1:]:
                end += 1
            spans.append((place, end, tag[2:]))
    return spans


# --- 6.4 -------------------------------------------------------------------------------------------------------------


class ClassifierStepByStep(nn.Module):
    def __init__(self, embeddings, encoder, d_model, tags):
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder
        self.output = nn.Linear(in_features=d_model, out_features=tags)

    def forward(self, tokens, key_padding_mask=None):
        vectors = self.embeddings(tokens)
        vectors = self.encoder(vectors, key_padding_mask=key_padding_mask)
        return self.output(vectors)


class ClassifierByHand(nn.Module):
    def __init__(self, embeddings, encoder, d_model, tags):
        super().__init__()
        self.tokens_to_vectors, self.stack = embeddings, encoder
        self.output = nn.Linear(d_model, tags)

    def forward(self, tokens, key_padding_mask=None):
        x = self.stack(self.tokens_to_vectors(tokens), key_padding_mask)
        return torch.einsum("btd,cd->btc", x, self.output.weight) + self.output.bias


class WithOwnDropout(ClassifierStepByStep):
    def __init__(self, embeddings, encoder, d_model, tags):
        super().__init__(embeddings, encoder, d_model, tags)
        self.dropout = nn.Dropout(0.1)

    def forward(self, tokens, key_padding_mask=None):
        return self.output(self.dropout(self.encoder(self.embeddings(tokens), key_padding_mask)))


class Probabilities(ClassifierStepByStep):
    def forward(self, tokens, key_padding_mask=None):
        return F.softmax(super().forward(tokens, key_padding_mask), dim=2)


class Unmasked(ClassifierStepByStep):
    def forward(self, tokens, key_padding_mask=None):
        return self.output(self.encoder(self.embeddings(tokens)))


# --- 6.5 -------------------------------------------------------------------------------------------------------------


def loss_by_hand(logits, labels, key_padding_mask):
    terms = -logits.log_softmax(-1).gather(-1, labels[..., None]).squeeze(-1)
    counts = (~key_padding_mask).float()
    return (terms * counts).sum() / counts.sum()


def loss_of_each(logits, labels, key_padding_mask):
    terms = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return terms[~key_padding_mask.flatten()].mean()


def loss_in_loops(logits, labels, key_padding_mask):
    terms = [
        torch.logsumexp(logits[b, t], 0) - logits[b, t, labels[b, t]]
        for b in range(len(logits))
        for t in range(logits.shape[1])
        if not key_padding_mask[b, t]
    ]
    return sum(terms) / len(terms)


def scores_set_to_zero(logits, labels, key_padding_mask):
    return F.cross_entropy(logits.masked_fill(key_padding_mask[..., None], 0).mT, labels)


def zeroed_but_divided_by_all(logits, labels, key_padding_mask):
    terms = F.cross_entropy(logits.mT, labels, reduction="none")
    return (terms * ~key_padding_mask).mean()


# --- 6.6 -------------------------------------------------------------------------------------------------------------


def train_in_another_order(model, batches, learning_rate):
    """Clears the gradients after the step."""
    model.train()
    optimizer, losses = torch.optim.AdamW(model.parameters(), learning_rate), []
    for tokens, labels, mask in batches:
        loss = loss_by_hand(model(tokens, mask), labels, mask)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        losses.append(float(loss))
    return losses


def train_by_name(model, batches, learning_rate):
    """Sets the model to training in every step; passes the mask by name; counts the batches."""
    optimizer = torch.optim.AdamW(params=model.parameters(), lr=learning_rate)
    losses = {}
    for number, batch in enumerate(batches):
        model.train()
        model.zero_grad()
        logits = model(batch[0], key_padding_mask=batch[2])
        loss = F.cross_entropy(logits[~batch[2]], batch[1][~batch[2]])
        loss.backward()
        optimizer.step()
        losses[number] = loss.detach().numpy()[()]
    return list(losses.values())


def train_with_gradients(model, batches, learning_rate):
    """Without `backward`."""
    model.train()
    parameters = list(model.parameters())
    optimizer, losses = torch.optim.AdamW(parameters, lr=learning_rate), []
    for tokens, labels, mask in batches:
        loss = loss_of_each(model(tokens, mask), labels, mask)
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = gradient
        optimizer.step()
        losses.append(loss.item())
    return losses


def one_step(model, optimizer, batch):
    tokens, labels, mask = batch
    optimizer.zero_grad()
    loss = loss_by_hand(model(tokens, mask), labels, mask)
    loss.backward()
    return loss


def train_by_index(model, batches, learning_rate):
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=learning_rate), []
    model.train()
    for i in range(len(batches)):
        tokens, labels, mask = batches[i]
        losses.append(one_step(model, optimizer, (tokens, labels, mask)).item())
        optimizer.step()
    return losses


def train_and_count(model, batches, learning_rate):
    count = len(list(batches))
    losses = []
    for number, batch in enumerate(batches):
        print(f"{number} of {count}")
        losses.append(one_step(model, torch.optim.AdamW(model.parameters(), lr=learning_rate), batch).item())
    return losses


def train_on_a_list(model, batches, learning_rate):
    batches = list(batches)
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=learning_rate), [0.0] * len(batches)
    model.train()
    for i in range(len(batches)):
        losses[i] = one_step(model, optimizer, batches[i]).item()
        optimizer.step()
    return losses


def train_with_tensors(model, batches, learning_rate):
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=learning_rate), []
    model.train()
    for batch in batches:
        losses.append(one_step(model, optimizer, batch))
        optimizer.step()
    return losses


def train_with_adam(model, batches, learning_rate):
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=learning_rate), []
    model.train()
    for batch in batches:
        losses.append(one_step(model, optimizer, batch).item())
        optimizer.step()
    return losses


def train_and_look_again(model, batches, learning_rate):
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=learning_rate), []
    model.train()
    for tokens, labels, mask in batches:
        one_step(model, optimizer, (tokens, labels, mask))
        optimizer.step()
        with torch.no_grad():
            losses.append(float(loss_by_hand(model(tokens, mask), labels, mask)))
    return losses


def train_and_clip(model, batches, learning_rate):
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=learning_rate), []
    model.train()
    for batch in batches:
        losses.append(one_step(model, optimizer, batch).item())
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1)
        optimizer.step()
    return losses


def train_and_add_up(model, batches, learning_rate):
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=learning_rate), []
    model.train()
    for tokens, labels, mask in batches:
        loss = loss_of_each(model(tokens, mask), labels, mask)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train_without_dropout(model, batches, learning_rate):
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=learning_rate), []
    for tokens, labels, mask in batches:
        optimizer.zero_grad()
        loss = loss_by_hand(model(tokens, mask), labels, mask)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train_without_step(model, batches, learning_rate):
    model.train()
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=learning_rate), []
    for tokens, labels, mask in batches:
        loss = loss_by_hand(model(tokens, mask), labels, mask)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
    return losses


def train_at_a_fixed_rate(model, batches, learning_rate):
    return train_in_another_order(model, batches, 3e-3)


def train_ten_times_as_fast(model, batches, learning_rate):
    return train_in_another_order(model, batches, learning_rate * 10)


def train_and_average(model, batches, learning_rate):
    total, means = 0.0, []
    for count, loss in enumerate(train_in_another_order(model, batches, learning_rate), start=1):
        total += loss
        means.append(total / count)
    return means


def train_and_evaluate(model, batches, learning_rate):
    model.train()
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=learning_rate), []
    for tokens, labels, mask in batches:
        optimizer.zero_grad()
        loss = loss_by_hand(model(tokens, mask), labels, mask)
        model.eval()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


VARIANTS = {
    "split_tokens": {
        "another pattern": split_with_a_pattern,
        "as lists": split_as_lists,
        "letter by letter": split_letter_by_letter,
        "with find": split_with_find,
        "numbers of numpy": split_with_numpy,
    },
    "align_labels": {
        "by slots": align_by_slots,
        "overlap": align_with_overlap,
        "a pointer": align_with_a_pointer,
    },
    "spans_of": {
        "a while": spans_with_a_while,
        "edges": spans_by_edges,
        "in another order": spans_by_slot,
        "numbers of numpy": spans_of_numpy,
    },
    "TokenClassifier": {
        "step by step": ClassifierStepByStep,
        "by hand": ClassifierByHand,
    },
    "token_loss": {
        "by hand": loss_by_hand,
        "of each": loss_of_each,
        "in loops": loss_in_loops,
    },
    "train": {
        "another order": train_in_another_order,
        "by name": train_by_name,
        "with gradients": train_with_gradients,
    },
}

REWRITTEN_MISTAKES = {
    "split_tokens": {
        "occurs twice": find_from_the_start,
        "at spaces only": split_at_spaces,
        "letters are a to z": split_by_isalpha,
        "are lost": lambda text: [match.span() for match in re.finditer(r"[\w']+", text)],
    },
    "align_labels": {
        "Only the last slot": overwriting_loop,
        "side by side become one": begins_after_another_tag,
        "begins with I-": begins_after_o,
        "the capital letter": lambda places, slots: [tag.replace("O", "o") for tag in align_by_slots(places, slots)],
        "stands a hyphen": lambda places, slots: [tag.replace("-", "_") for tag in align_by_slots(places, slots)],
    },
    "spans_of": {
        "to the end of the command is lost": spans_without_the_last,
        "at place 0 is lost": spans_but_not_at_0,
        "without a B-": spans_of_b_only,
        "length of a span": lengths_of_spans,
    },
    "TokenClassifier": {
        "return probabilities": Probabilities,
        "hand `key_padding_mask` on": Unmasked,
        "There is a dropout": WithOwnDropout,
    },
    "token_loss": {
        "divide by the number of all": zeroed_but_divided_by_all,
        "a loss of log C each": scores_set_to_zero,
        "Padding counts too": lambda logits, labels, mask: F.cross_entropy(logits.mT, labels),
    },
    "train": {
        "add up": train_and_add_up,
        "has no length": train_by_index,
        "gets no batches": train_and_count,
        "collect all batches": train_on_a_list,
        "plain numbers are asked for": train_with_tensors,
        "weights decay": train_with_adam,
        "after its step": train_and_look_again,
        "clip the gradients": train_and_clip,
        "Dropout is off": train_without_dropout,
        "does not change": train_without_step,
        "`learning_rate` is not used": train_at_a_fixed_rate,
        "10 times `learning_rate`": train_ten_times_as_fast,
        "losses so far": train_and_average,
        "from the second batch on": train_and_evaluate,
    },
}
