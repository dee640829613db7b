"""Pretraining: `nanobert` against Hugging Face's BertForMaskedLM in an ordinary training loop.

    python benchmarks/pretraining.py                             # at equal wall time, three seeds: about 30 minutes
    python benchmarks/pretraining.py --seconds 20 --seeds 0      # a first impression
    python benchmarks/pretraining.py --gpu                       # at BERT-base's size, on a GPU: about 5 minutes
    python benchmarks/pretraining.py --write                     # and put the tables into docs/recipe.md

The sides (`sides.py`) have the same size: two layers, D = 128, V = 2000, T = 32. Each run is a process of its own, and
they take turns. How many steps fit into the time is found by timing some first. A finished run is a line in a file, and
a rerun goes on with what is left.

On a GPU, speed only: rows of 128 and of 512 tokens, bfloat16, without and with `torch.compile`. Utilisation (MFU)
counts the operations that the model needs (`growth.model_flops`) and not those that a side takes in addition.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from growth import model_flops
from sides import OUR_START, OURS, SIDES, in_a_process, spread, start, timed
from store import ROOT, Results, machine, table, write_between_marks

from nanobert.recipe import RECIPES

LESSON_SIZE = {"layers": 2, "d_hidden": 512}
BERT_BASE = replace(RECIPES["gpu"], vocab_size=30522, d_model=768, heads=12, d_hidden=3072, layers=12)
SHAPES = ((128, 256), (512, 64))  # tokens in a row, rows in a batch
GPU_SIDES = (OURS, OUR_START)
# Operations a second in bfloat16, from the maker's data sheets.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
WARM_UP, MEASURED = 10, 30  # steps; the first ones compile, too


def main():
    """Run what is not finished, print the tables, and write them if asked to."""
    arguments = parse_arguments()
    import transformers

    results = Results(arguments.results)
    device = "cuda" if arguments.gpu else "cpu"
    if arguments.gpu and not torch.cuda.is_available():
        sys.exit("There is no GPU here, so nothing is measured: run it where there is one.")
    print(
        made := f"{machine(device, arguments.threads)}, transformers {transformers.__version__}; {time.strftime('%F')}."
    )
    if arguments.gpu:
        name, tables = "on a gpu", gpu_tables(results)
    else:
        name, tables = "at equal time", cpu_tables(results, arguments)
    print(*tables, sep="\n\n")
    if arguments.write:
        write_between_marks(arguments.docs / "recipe.md", name, "\n\n".join([made, *tables]))


def cpu_tables(results, arguments):
    """A row for each run, and what ours is worth against each other side."""
    rows, by_side = [], {side: [] for side in SIDES}
    for seed in arguments.seeds:
        for side in SIDES:
            asked = {"side": side, "seed": seed, "seconds": arguments.seconds, "changes": LESSON_SIZE}
            asked |= {"threads": arguments.threads, "corpus": arguments.corpus}
            result = results.once(asked, lambda asked=asked: in_a_process(asked))
            by_side[side].append(result)
            speed = f"{result['steps']:,}", f"{result['tokens_per_second']:,.0f}", f"{result['memory']:,.0f}"
            rows.append([side, seed, *speed, f"{result['seconds']:.0f}", f"{result['loss']:.3f}"])
            print(" ".join(map(str, rows[-1])), file=sys.stderr, flush=True)
    header = ["side", "seed", "steps", "tokens/s", "peak memory (MB)", "seconds", "held-out loss"]
    return table(header, rows), ratios(by_side)


def ratios(by_side):
    """Means over the seeds, and the spread."""
    rows = []
    for side in SIDES[1:]:
        pairs = list(zip(by_side[OURS], by_side[side]))
        speed = [ours["tokens_per_second"] / theirs["tokens_per_second"] for ours, theirs in pairs]
        memory = [ours["memory"] / theirs["memory"] for ours, theirs in pairs]
        gain = [theirs["loss"] - ours["loss"] for ours, theirs in pairs]
        rows.append([side, spread(speed), spread(memory), spread(gain)])
    return table(["ours against", "times the tokens/s", "of its memory", "nats less at equal time"], rows)


def gpu_tables(results):
    """A row for each side, length and way to run, and the ratios."""
    rows, compared = [], []
    for tokens, batch in SHAPES:
        for compiled in (False, True):
            measured = {}
            for side in GPU_SIDES:
                asked = {"side": side, "tokens": tokens, "batch": batch, "compiled": compiled, "device": "cuda"}
                measured[side] = results.once(asked, lambda asked=asked: fresh(speed, **asked))
                rows.append([tokens, "compiled" if compiled else "eager", side, *cells(measured[side])])
            ratio = measured[OURS]["tokens_per_second"] / measured[OUR_START]["tokens_per_second"]
            compared.append([tokens, "compiled" if compiled else "eager", f"{ratio:.2f}"])
    header = ["T", "", "side", "tokens/s (from least to most)", "peak memory (GB)", "MFU"]
    return table(header, rows), table(["T", "", "ours, times Hugging Face's tokens/s"], compared)


def cells(result):
    utilisation = f"{result['mfu']:.0%}" if result["mfu"] else "peak not known"
    return spread(result["all_tokens_per_second"], ",.0f"), f"{result['memory']:.1f}", utilisation


def fresh(measure, **asked):
    """Measure in a new process, which has all of the GPU's memory."""
    with torch.multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, kwds=asked)


def speed(side, tokens, batch, compiled, device, recipe=BERT_BASE, backend="inductor", repeats=3):
    """Tokens a second of one side, peak memory in GB, and the share of the GPU's peak; on random tokens."""
    torch.set_float32_matmul_precision("high")  # for what is not bfloat16: the optimizers' products
    recipe = replace(recipe, max_tokens=tokens, batch=batch)
    rows = torch.randint(5, recipe.vocab_size, (4 * batch, tokens), generator=torch.Generator().manual_seed(0))
    run = start(side, recipe, rows, torch.device(device))
    if compiled:
        run.parallel = torch.compile(run.parallel, backend=backend)
    for _ in range(WARM_UP):
        timed(run)
    rates = []
    for _ in range(repeats):
        seconds = timed(lambda: [run.take_step() for _ in range(MEASURED)][-1].item())
        rates.append(MEASURED * batch * tokens / seconds)
    rate = sum(rates) / len(rates)
    peak = next(
        (peak for name, peak in PEAKS.items() if device == "cuda" and name in torch.cuda.get_device_name()), None
    )
    return {
        "tokens_per_second": rate,
        "all_tokens_per_second": rates,
        "memory": torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0,
        "mfu": rate / batch / tokens * model_flops(recipe) / peak if peak else None,
    }


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--corpus", default="web", help="web, sotu or a text file")
    parser.add_argument("--gpu", action="store_true", help="speed at BERT-base's size instead")
    parser.add_argument("--results", default=ROOT / "build" / "pretraining.jsonl", help="the file of finished runs")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/recipe.md")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
