"""Lesson 07, written in another way."""

import torch
import torch.nn.functional as F
from torch import nn

IGNORE = -100


# Each token has a probability of its own, 0 if it is special, as in Hugging Face's code: any other
# rule of who is chosen is only other probabilities.
def choose_positions(tokens, special_ids, rate, generator=None):
    probabilities = torch.full(tokens.shape, rate)
    probabilities[torch.isin(tokens, torch.tensor(special_ids))] = 0.0
    return torch.bernoulli(probabilities, generator=generator).bool()


# One draw picks among three candidates, and their shares stand in one line.
def mask_tokens(tokens, chosen, mask_id, special_ids, vocab_size, generator=None):
    other = torch.randint(max(special_ids) + 1, vocab_size, tokens.shape, generator=generator)
    candidates = torch.stack([torch.full_like(tokens, mask_id), other, tokens])  # 3, B, T
    shares = torch.tensor([0.8, 0.1, 0.1])
    pick = shares.multinomial(tokens.numel(), replacement=True, generator=generator)
    picked = candidates.gather(0, pick.view(1, *tokens.shape))[0]
    return torch.where(chosen, picked, tokens), torch.where(chosen, tokens, IGNORE)


# A `Sequential` runs its parts in the order in which they were set, so that no `forward` is needed.
class MaskedLMHead(nn.Sequential):
    def __init__(self, d_model, token_embedding):
        super().__init__()
        self.dense = nn.Linear(d_model, d_model)
        self.activation = nn.GELU()
        self.norm = nn.LayerNorm(d_model)
        self.decoder = nn.Linear(d_model, token_embedding.num_embeddings)
        self.decoder.weight = token_embedding.weight


# Only the chosen positions go into the softmax over the whole vocabulary, which spares most of its
# work; without any, the loss is 0 and can still be differentiated.
def masked_lm_loss(logits, labels):
    chosen = labels != IGNORE
    if not chosen.any():
        return logits.sum() * 0.0
    return F.cross_entropy(logits[chosen], labels[chosen])


# The loss of every single position is kept, and one mean taken at the end, so that no batch needs a
# weight.
@torch.no_grad()
def held_out_loss(model, inputs, labels, batch=256):
    model.eval()
    losses = []
    for tokens, answers in zip(inputs.split(batch), labels.split(batch)):
        chosen = answers != IGNORE
        losses.append(F.cross_entropy(model(tokens)[chosen], answers[chosen], reduction="none"))
    model.train()
    return torch.cat(losses).mean().item()


# Two straight lines, of which the lower one counts: no `if` is needed.
def learning_rate(step, steps, peak, warmup):
    up = (step + 1) / max(warmup, 1)
    down = (steps - step) / (steps - warmup)
    return peak * min(up, down)
