"""The two sides of every comparison, and one run of one of them in a process of its own.

* ours: `nanobert`, with the optimizers, masking and start of a recipe;
* Hugging Face, as it comes: its own initialization and dropout, 15 % masked, AdamW, warm-up and linear decay;
* Hugging Face, with our start: our initialization, no dropout, the recipe's masking, the unigram as the head's bias.

All have the same sizes, tokenizer, text, batch, precision and number of threads.

    python benchmarks/sides.py '{"side": "ours", "seconds": 20, "seed": 0}'       # prints a line of JSON
"""

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import torch
from torch import nn

from nanobert.bigram import bigram_window_loss
from nanobert.evaluation import evaluate, fixed_masks
from nanobert.masked_lm import build_masked_lm, masked_lm_loss
from nanobert.masking import corrupt
from nanobert.recipe import RECIPES
from nanobert.schedule import learning_rate
from nanobert.tokenizer import IGNORE, SPECIAL_IDS, pack_rows, train_tokenizer
from nanobert.training import Pretraining
from nanobert.unigram import start_at_unigram, token_shares, unigram_loss
from unmasked.data import load_corpus

SIDES = OURS, AS_IT_COMES, OUR_START = "ours", "Hugging Face, as it comes", "Hugging Face, with our start"
PARTS = {"corrupt": corrupt, "loss": masked_lm_loss, "schedule": learning_rate}
ADAMW_PEAK = 3e-3  # good for the sides that have AdamW alone
TIMED_STEPS = 25
MEASURED_ROWS = 1500  # of those trained on, in a curve


class HuggingFace(nn.Module):
    """A BertForMaskedLM that is called as ours is, and has the one attribute that `build_optimizers` asks for."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.embeddings = model.bert.embeddings

    def forward(self, tokens, key_padding_mask=None, positions=None):
        scores = self.model(input_ids=tokens).logits
        return scores if positions is None else scores.flatten(0, 1)[positions]


class Ordinary(Pretraining):
    """An ordinary loop around a Hugging Face model: AdamW, and a loss that the model itself takes at every position."""

    def __init__(self, model, rows, recipe, device):
        super().__init__(HuggingFace(model), rows, recipe, device, **PARTS)
        self.optimizers = [torch.optim.AdamW([{"params": model.parameters(), "peak": ADAMW_PEAK}], weight_decay=0.01)]
        self.parallel = model

    def take_step(self):
        start = time.perf_counter()
        inputs, answers, positions, _ = self.next_batch()
        labels = torch.full((inputs.numel(),), IGNORE, device=self.device)
        labels = labels.index_put((positions,), answers).view_as(inputs)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            loss = self.parallel(input_ids=inputs, labels=labels).loss
        loss.backward()
        (optimizer,) = self.optimizers
        for group in optimizer.param_groups:
            group["lr"] = self.schedule(self.step, self.recipe.steps, group["peak"], self.recipe.warmup)
        optimizer.step()
        optimizer.zero_grad()
        self.step += 1
        self.seconds += time.perf_counter() - start
        return loss.detach()


def in_a_process(asked):
    """What `one_run` returns, from a new process."""
    command = [sys.executable, __file__, json.dumps(asked)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def one_run(asked):
    """Train one model for some seconds, timed beforehand, and measure it.  dictionary -> dictionary

    `asked`: side, seconds, seed; and if they differ from the default, preset, changes (of the preset's recipe), corpus,
    share (of the rows to learn from), threads, device, curve (at how many moments to measure).
    """
    torch.set_num_threads(asked.get("threads", torch.get_num_threads()))
    side, device = asked["side"], torch.device(asked.get("device", "cpu"))
    recipe = replace(RECIPES[asked.get("preset", "cpu")], seed=asked["seed"], **asked.get("changes", {}))
    recipe = replace(recipe, mask_rate=0.15) if side == AS_IT_COMES else recipe
    rows, held_out = rows_of(asked.get("corpus", "web"), recipe, asked.get("share", 1))
    trial = start(side, recipe, rows, device)
    seconds = statistics.median(timed(trial) for _ in range(TIMED_STEPS))
    recipe = replace(recipe, steps=max(2 * recipe.warmup, int(asked["seconds"] / seconds)))
    run = start(side, recipe, rows, device)
    curve = train(run, rows, held_out, asked.get("curve", 0))
    loss, top1 = evaluate(run.model, *fixed_masks(held_out, recipe.vocab_size))
    return {
        "steps": recipe.steps,
        "tokens_per_second": recipe.steps * recipe.batch * recipe.max_tokens / run.seconds,
        "memory": most_memory(device),
        "seconds": run.seconds,
        "loss": loss,
        "top1": top1,
        "epochs": recipe.steps * recipe.batch / len(rows),
        "tokens": rows.numel(),
        "curve": curve,
    }


def rows_of(corpus, recipe, share=1):
    """Rows to learn from and rows held out. The tokenizer has always seen the whole text, so losses can be compared."""
    texts = load_corpus(corpus)
    tokenizer = train_tokenizer(texts.train, recipe.vocab_size)
    rows, held_out = (pack_rows(tokenizer, part, recipe.max_tokens) for part in (texts.train, texts.held_out))
    return rows[:: round(1 / share)], held_out


def train(run, rows, held_out, points):
    """Train to the end; at some moments, the epoch and the losses of rows trained on and held out."""
    vocab_size = run.recipe.vocab_size
    sample = fixed_masks(rows[:: math.ceil(len(rows) / MEASURED_ROWS)], vocab_size)
    measured, curve = fixed_masks(held_out, vocab_size), []
    every = math.ceil(run.recipe.steps / points) if points else math.inf
    while run.step < run.recipe.steps:
        run.take_step()
        if run.step % every == 0 or points and run.step == run.recipe.steps:
            losses = evaluate(run.model, *sample).loss, evaluate(run.model, *measured).loss
            curve.append([run.step * run.recipe.batch / len(rows), *losses])
    if run.device.type == "cuda":
        run.seconds += timed(torch.cuda.synchronize)
    return curve


def timed(action):
    """Seconds that an action takes, or a step of a run, on the GPU too."""
    before = time.perf_counter()
    if isinstance(action, Pretraining):
        action.take_step().item()
    else:
        action()
    return time.perf_counter() - before


def most_memory(device):
    """The most that this process has held, in MB; on a GPU, of the GPU's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def start(side, recipe, rows, device):
    """A training run that has not begun."""
    torch.manual_seed(recipe.seed)
    shares = token_shares(rows, SPECIAL_IDS, recipe.vocab_size)
    if side == OURS:
        model = build_masked_lm(**recipe.sizes)
        start_at_unigram(model.head, shares)
        return Pretraining(model, rows, recipe, device, **PARTS)
    return Ordinary(hugging_face(recipe, shares if side == OUR_START else None), rows, recipe, device)


def hugging_face(recipe, shares):
    """BertForMaskedLM of the recipe's size; with shares, its weights are drawn as ours are, and it has no dropout."""
    from transformers import BertConfig, BertForMaskedLM

    sizes = {
        "vocab_size": recipe.vocab_size,
        "hidden_size": recipe.d_model,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "intermediate_size": recipe.d_hidden,
        "max_position_embeddings": recipe.max_tokens,
    }
    ours = {"initializer_range": recipe.std, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = BertForMaskedLM(BertConfig(**sizes, **(ours if shares is not None else {})))
    if shares is not None:
        model.cls.predictions.bias.data = shares.log()
    return model


def landmarks(corpus, preset):
    """Held-out losses of those who learn nothing but counts.  -> {name: loss}"""
    recipe = RECIPES[preset]
    rows, held_out = rows_of(corpus, recipe)
    shares = token_shares(rows, SPECIAL_IDS, recipe.vocab_size)
    inputs, labels = fixed_masks(held_out, recipe.vocab_size)
    return {
        "all tokens alike, ln V": math.log(recipe.vocab_size),
        "unigram": unigram_loss(shares, labels),
        "bigram window": bigram_window_loss(rows, shares, inputs, labels),
    }


def spread(values, form=".2f"):
    """Mean, and in brackets from the least to the most."""
    mean, least, most = (f"{value:{form}}" for value in (statistics.mean(values), min(values), max(values)))
    return mean if len(values) == 1 else f"{mean} ({least} to {most})"


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    print(json.dumps(one_run(json.loads(sys.argv[1]))))
