"""What each number of the recipe is worth: every variation gets the same computing time, and is then measured.

    python benchmarks/recipe_sweep.py --list                                 # the variations
    python benchmarks/recipe_sweep.py --share 0.3                            # all, on 0.3 of the recipe's own time
    python benchmarks/recipe_sweep.py "the recipe" --seeds 0 1 2 --threads 2

A variation's step is timed first, the shortest of 30, so that other programs disturb little; then it gets as many steps
as fit into the time that the recipe's steps would take. Prints a Markdown table; `docs/recipe.md` holds a measured one.
"""

import argparse
from dataclasses import replace
from unittest.mock import patch

import torch
from torch.utils.benchmark import Timer

from nanobert.evaluation import evaluate, fixed_masks
from nanobert.masked_lm import build_masked_lm, masked_lm_loss
from nanobert.masking import corrupt
from nanobert.optimizer import build_optimizers
from nanobert.recipe import RECIPES
from nanobert.schedule import learning_rate
from nanobert.tokenizer import SPECIAL_IDS, pack_rows, train_tokenizer
from nanobert.training import Pretraining, pretrain
from nanobert.unigram import start_at_unigram, token_shares
from unmasked.data import load_corpus

RECIPE = RECIPES["cpu"]
CPU = torch.device("cpu")
PARTS = {"corrupt": corrupt, "loss": masked_lm_loss, "schedule": learning_rate}


def adamw_alone(model, recipe):
    """AdamW for every parameter, at a rate that was good for it."""
    return (torch.optim.AdamW([{"params": list(model.parameters()), "peak": 3e-3}], betas=(0.9, 0.98), fused=True),)


# Name -> the fields of the recipe that differ, and what is no field: optimizers, unigram start.
VARIATIONS = {
    "the recipe": {},
    "AdamW alone": {"optimizers": adamw_alone},
    "no unigram start": {"unigram": False},
    "batch halved": {"batch": RECIPE.batch // 2},
    "batch doubled": {"batch": 2 * RECIPE.batch},
    "rows of 16 tokens": {"max_tokens": 16, "batch": 2 * RECIPE.batch},
    "rows of 64 tokens": {"max_tokens": 64, "batch": RECIPE.batch // 2},
    "2 layers": {"layers": 2},
    "3 layers": {"layers": 3},
    "feed-forward as wide as the model": {"d_hidden": RECIPE.d_model},
    "feed-forward four times as wide": {"d_hidden": 4 * RECIPE.d_model},
    "width 96": {"d_model": 96},
    "width 192": {"d_model": 192, "heads": 6},
    "8 heads": {"heads": 8},
    "15 % masked": {"mask_rate": 0.15},
    "40 % masked": {"mask_rate": 0.4},
    "Muon's peak halved": {"muon_peak": RECIPE.muon_peak / 2},
    "Muon's peak doubled": {"muon_peak": 2 * RECIPE.muon_peak},
    "AdamW's peak 0.003": {"peak": 0.003},
    "AdamW's peak 0.02": {"peak": 0.02},
    "embeddings of std 0.02": {"std": 0.02},
    "embeddings of std 0.1": {"std": 0.1},
}


def main():
    """Print the table, a row as soon as it is measured."""
    arguments = parse_arguments()
    if arguments.list:
        print("\n".join(VARIATIONS))
        return
    torch.set_num_threads(arguments.threads)
    corpus = load_corpus(arguments.corpus)
    tokenizer = train_tokenizer(corpus.train, RECIPE.vocab_size)
    budget = arguments.share * RECIPE.steps * seconds_per_step(RECIPE, tokenizer, corpus)
    print(f"torch {torch.__version__}, {arguments.threads} threads; each variation: {budget:.0f} s\n")
    print("| variation | seed | ms a step | steps | million tokens | held-out loss | first guess right |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.names or VARIATIONS:
        for seed in arguments.seeds:
            print(table_row(name, seed, budget, tokenizer, corpus), flush=True)


def table_row(name, seed, budget, tokenizer, corpus):
    """Train one variation with one seed and describe it."""
    changes = dict(VARIATIONS[name])
    optimizers, unigram = changes.pop("optimizers", build_optimizers), changes.pop("unigram", True)
    recipe = replace(RECIPE, seed=seed, **changes)
    with patch("nanobert.training.build_optimizers", optimizers):
        seconds = seconds_per_step(recipe, tokenizer, corpus)
        steps = round(budget / seconds)
        recipe = replace(recipe, steps=steps, warmup=max(1, round(steps * RECIPE.warmup / RECIPE.steps)))
        loss, top1 = train_and_measure(recipe, tokenizer, corpus, unigram)
    tokens = steps * recipe.batch * recipe.max_tokens / 1e6
    return f"| {name} | {seed} | {1000 * seconds:.0f} | {steps:,} | {tokens:.1f} | {loss:.3f} | {top1:.1%} |"


def train_and_measure(recipe, tokenizer, corpus, unigram=True):
    """The held-out loss and accuracy of a new model after training."""
    model, rows = start(recipe, tokenizer, corpus, unigram)
    pretrain(model, rows, recipe, CPU, **PARTS)
    held_out = pack_rows(tokenizer, corpus.held_out, recipe.max_tokens)
    return evaluate(model, *fixed_masks(held_out, recipe.vocab_size))


def start(recipe, tokenizer, corpus, unigram=True):
    """A new model, and the rows it is to learn from."""
    torch.manual_seed(recipe.seed)
    model = build_masked_lm(**recipe.sizes)
    rows = pack_rows(tokenizer, corpus.train, recipe.max_tokens)
    if unigram:
        start_at_unigram(model.head, token_shares(rows, SPECIAL_IDS, recipe.vocab_size))
    return model, rows


def seconds_per_step(recipe, tokenizer, corpus, repeats=30):
    """The shortest of several steps of training."""
    run = Pretraining(*start(recipe, tokenizer, corpus), recipe, CPU, **PARTS)
    timer = Timer("run.take_step()", globals={"run": run}, num_threads=torch.get_num_threads())
    return min(timer.timeit(1).mean for _ in range(repeats))


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="variations; all if none is named")
    parser.add_argument("--list", action="store_true", help="list the variations and stop")
    parser.add_argument("--share", type=float, default=1.0, help="of the recipe's own time that each variation gets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--corpus", default="web", help="web, sotu or a text file")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(VARIATIONS):
        parser.error(f"no such variation: {', '.join(sorted(unknown))}; --list shows all")
    return arguments


if __name__ == "__main__":
    main()
