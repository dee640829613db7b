"""How cost grows: time and memory of a training step against the five sizes of a model, beside the formulas.

    python benchmarks/growth.py                                    # all sizes, then what fits: about 3 minutes
    python benchmarks/growth.py tokens width                       # these two only
    python benchmarks/growth.py limits --memory-limit 512          # the longest row and the widest model within 512 MB
    python benchmarks/growth.py --write                            # and put tables and picture into docs/growth.md

One size is changed at a time, starting from BASE. Each measurement is a process of its own: memory is the most that it
ever held, less what it held before there was a model. A rerun goes on where the last one stopped. On a GPU if there is
one.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import LogLocator
from store import ROOT, Results, machine, table, write_between_marks

from nanobert.masked_lm import build_masked_lm, masked_lm_loss
from nanobert.masking import corrupt
from nanobert.recipe import RECIPES
from nanobert.schedule import learning_rate
from nanobert.training import Pretraining
from unmasked import figures

BASE = replace(RECIPES["cpu"], batch=16, max_tokens=64)
AXES = {
    "tokens": ("length of a row, T", [{"max_tokens": n} for n in (32, 64, 128, 256, 512, 1024, 2048)]),
    "width": ("width, D", [{"d_model": n, "d_hidden": 2 * n} for n in (32, 64, 128, 256, 512, 1024)]),
    "depth": ("layers, L", [{"layers": n} for n in (1, 2, 4, 8)]),
    "heads": ("heads, H", [{"heads": n} for n in (1, 2, 4, 8, 16, 32)]),
    "vocabulary": ("vocabulary, V", [{"vocab_size": n} for n in (500, 1000, 2000, 4000, 8000, 16000)]),
}
# Leading term of (time, memory) as a size grows beyond all others.
IN_THE_LIMIT = {"tokens": (2, 1), "width": (3, 2), "depth": (1, 1), "heads": (0, 0), "vocabulary": (1, 1)}
LIMITS = {  # what is searched for: a name, the sizes for a number, the first number, and what it is a multiple of
    "longest row": (lambda n: {"batch": 1, "max_tokens": n}, 512, 64),
    "widest model": (lambda n: {"d_model": n, "d_hidden": 2 * n}, 128, 16),
}
MUON_STEPS = 4
SLACK = 2**25  # bytes beside the model's, such as the stacks of threads
LEAST_SECONDS = 0.4  # that a size is timed for


def main():
    """Measure, print the tables, and write them if asked to."""
    arguments = parse_arguments()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    results = Results(arguments.results)
    if device == "cpu":
        torch.set_num_threads(1)  # a process that has started more can't be forked
        training(RECIPES["test"], device).take_step()  # loads what every process would otherwise load for itself
    asked = {"device": device, "threads": arguments.threads}
    print(machine(device, arguments.threads), flush=True)
    parts = []
    for name in [name for name in AXES if name in arguments.parts]:
        for changes in AXES[name][1]:
            results.once(asked | changes, lambda changes=changes: in_a_process(changes, **asked))
        parts.append(axis_table(name, results, asked))
        print(f"\n{parts[-1]}", flush=True)
    if "limits" in arguments.parts:
        parts.append(limits_table(results, asked, arguments.memory_limit))
        print(f"\n{parts[-1]}")
    if set(arguments.parts) >= set(AXES):
        parts.insert(0, exponents_table(results, asked))
        print(f"\n{parts[0]}")
    if arguments.write:
        write(parts, results, asked, arguments.docs)


def flops(recipe):
    """Floating-point operations of a training step: those of the model, and those of Muon."""
    width, hidden = recipe.d_model, recipe.d_hidden
    least = min(width, hidden)
    square, oblong = 3 * width**3, 2 * least * width * hidden + least**3
    muon = (4 * recipe.layers + 1) * square + 2 * recipe.layers * oblong
    return model_flops(recipe) + 2 * MUON_STEPS * muon


def model_flops(recipe):
    """Of forward and backward: all products of matrices, of which the head and the last layer's net and output
    projection need the chosen positions only. A multiplication and an addition each count; backward takes twice as
    many as forward.
    """
    places, width = recipe.batch * recipe.max_tokens, recipe.d_model
    chosen = recipe.mask_rate * places
    attention = recipe.layers * places * (4 * width**2 + 2 * recipe.max_tokens * width) - (places - chosen) * width**2
    nets = ((recipe.layers - 1) * places + chosen) * 2 * width * recipe.d_hidden
    head = chosen * (width**2 + width * recipe.vocab_size)
    return 6 * (attention + nets + head)


def memory(recipe):
    """Bytes of a training step: parameters with gradients and optimizers' averages, and what backward needs of forward
    or, where that is more, Muon for a moment.

    No scores of attention: the fused kernel computes them again. So T counts once here, and twice in `flops`.
    """
    places, width, hidden = recipe.batch * recipe.max_tokens, recipe.d_model, recipe.d_hidden
    chosen = recipe.mask_rate * places
    matrices = recipe.layers * (4 * width**2 + 2 * width * hidden) + width**2
    embeddings = (recipe.vocab_size + recipe.max_tokens) * width  # with a gradient from each end of the model
    kept = recipe.layers * places * 9 * width + ((recipe.layers - 1) * places + chosen) * 2 * hidden
    scores = 3 * chosen * recipe.vocab_size  # logarithms of probabilities, their gradient, and that of the logits
    muon = 7 * max((4 * recipe.layers + 1) * width**2, 2 * recipe.layers * width * hidden)  # copies of alike matrices
    return 4 * (3 * matrices + 5 * embeddings + max(kept + scores, muon))


def in_a_process(changes, device, threads, limit=None, briefly=False):
    """Measure a size in a process that ends with it.  Returns {} where memory does not suffice."""
    context = multiprocessing.get_context("fork" if device == "cpu" else "spawn")
    ours, its = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(its, changes, device, threads, limit, briefly))
    process.start()
    its.close()
    try:
        return ours.recv()
    except EOFError:  # killed for its memory
        return {}
    finally:
        process.join()


def measure(connection, changes, device, threads, limit, briefly):
    """Take training steps; send the seconds of the quickest, and the most memory in bytes."""
    torch.set_num_threads(threads)
    training(RECIPES["test"], device).take_step()  # whatever the first step sets up is no model's memory
    before = held(device)
    if limit and device == "cpu":  # somewhat more, so that a size that is far too large ends early and harms nobody
        resource.setrlimit(resource.RLIMIT_DATA, 2 * [_data() + limit * 5 // 4 + SLACK])
    try:
        run = training(replace(BASE, **changes), device)
        timed(run, device)  # the first one also sets up, and only from the second on are there averages to be kept
        times = [timed(run, device)]
        while not briefly and (len(times) < 3 or sum(times) < LEAST_SECONDS):
            times.append(timed(run, device))
        connection.send({"seconds": min(times), "bytes": held(device) - before})
    except (RuntimeError, MemoryError) as error:
        if not is_about_memory(error):
            raise
        connection.send({})


def training(recipe, device):
    """A run on random tokens."""
    torch.manual_seed(0)
    model = build_masked_lm(**recipe.sizes)
    rows = torch.randint(5, recipe.vocab_size, (recipe.batch, recipe.max_tokens))
    parts = {"corrupt": corrupt, "loss": masked_lm_loss, "schedule": learning_rate}
    return Pretraining(model, rows, recipe, torch.device(device), **parts)


def timed(run, device):
    start = time.perf_counter()
    run.take_step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def held(device):
    """The most memory that this process has held, in bytes."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _data():
    """Bytes that count towards RLIMIT_DATA by now."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData"))


def is_about_memory(error):
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)


def largest_that_fits(fits, first, multiple):
    """The largest multiple that fits, to within a sixteenth: doubled until one doesn't, then halved in between."""
    if not fits(first):
        raise ValueError(f"not even {first} fits: give a larger --memory-limit")
    low = first
    while fits(2 * low):
        low *= 2
    high = 2 * low
    while high - low > max(multiple, low // 16):
        middle = (low + high) // 2 // multiple * multiple
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def limits_table(results, asked, megabytes):
    """What fits into some memory, with what it really took."""
    rows = []
    for name, (sizes, first, multiple) in LIMITS.items():

        def result(number, sizes=sizes):
            question = asked | {"limit": megabytes} | sizes(number)
            return results.once(
                question, lambda: in_a_process(sizes(number), **asked, limit=megabytes * 2**20, briefly=True)
            )

        found = largest_that_fits(lambda n: 0 < result(n).get("bytes", 0) <= megabytes * 2**20, first, multiple)
        taken, told = result(found)["bytes"] / 2**20, memory(replace(BASE, **sizes(found))) / 2**20
        rows.append([name, f"{found:,}", f"{taken:,.0f}", f"{told:,.0f}"])
    header = [f"in {megabytes:,} MB", "found", "MB measured", "MB by formula"]
    return table(header, rows)


def axis_table(name, results, asked):
    """Every size of an axis."""
    label, changes = AXES[name]
    rows = []
    for each in changes:
        result, recipe = results[asked | each], replace(BASE, **each)
        speed = flops(recipe) / result["seconds"] / 1e9
        took = f"{1000 * result['seconds']:.1f}", f"{flops(recipe) / 1e9:.2f}", f"{speed:.0f}"
        rows.append([f"{size_of(each):,}", *took, f"{result['bytes'] / 2**20:.0f}", f"{memory(recipe) / 2**20:.0f}"])
    return table([label, "ms a step", "GFLOP", "GFLOP/s", "MB measured", "MB by formula"], rows)


def exponents_table(results, asked):
    """How steeply time and memory grow at the upper end of each axis, measured and by the formulas."""
    rows = []
    for name, (label, changes) in AXES.items():
        cells = []
        for what, formula, limit in zip(("seconds", "bytes"), (flops, memory), IN_THE_LIMIT[name]):
            measured = exponent([(size_of(each), results[asked | each][what]) for each in changes])
            expected = exponent([(size_of(each), formula(replace(BASE, **each))) for each in changes])
            cells += [f"{measured:.2f}", f"{expected:.2f}", limit]
        rows.append([label, *cells])
    return table(["exponent of", "time", "by formula", "in the limit", "memory", "by formula", "in the limit"], rows)


def size_of(changes):
    return next(iter(changes.values()))


def exponent(points):
    """The slope of the last three points on logarithmic axes: y grows like x to this power.  list of (x, y)"""
    x, y = np.log(np.array(points[-3:], dtype=float)).T
    return round(np.polyfit(x, y, 1)[0], 2) + 0.0  # no -0.0


def draw(results, asked, path):
    """Time above, memory below, a column for each size; each formula touches its measurements from below."""
    with plt.rc_context(figures.STYLE), plt.ioff():
        figure, grid = plt.subplots(2, len(AXES), figsize=(11, 5), sharex="col", sharey="row", squeeze=False)
    for column, (label, changes) in zip(grid.T, AXES.values()):
        x = [size_of(each) for each in changes]
        for ax, what, formula, unit in zip(column, ("seconds", "bytes"), (flops, memory), (1e-3, 2**20)):
            measured = np.array([results[asked | each][what] for each in changes]) / unit
            told = np.array([formula(replace(BASE, **each)) for each in changes])
            ax.plot(x, told * (measured / told).min(), "--", color=figures.ORANGE, label="formula")
            ax.plot(x, measured, "o-", color=figures.BLUE, label="measured")
            ax.set(xscale="log", yscale="log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
            ax.yaxis.set_major_formatter("{x:,.0f}")
            ax.minorticks_off()
        column[1].set_xlabel(label)
        ticks = x if len(x) < 5 else x[::2]
        column[1].set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    grid[0, 0].set_ylabel("ms a step")
    grid[1, 0].set_ylabel("MB")
    grid[0, 0].legend(frameon=False)
    figure.savefig(path, facecolor="white", metadata={"Software": None})
    plt.close(figure)


def write(parts, results, asked, docs):
    draw(results, asked, docs / "images" / "growth.png")
    made = f"{machine(**asked)}; {time.strftime('%Y-%m-%d')}."
    write_between_marks(docs / "growth.md", "growth", "\n\n".join([made, *parts]))


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(AXES)} and limits; all if none is named")
    parser.add_argument("--memory-limit", type=int, default=128, metavar="MB")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--results", default=ROOT / "build" / "growth.jsonl", help="the file of what is measured")
    parser.add_argument("--write", action="store_true", help="put tables and picture into docs/growth.md")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.parts = arguments.parts or [*AXES, "limits"]
    if unknown := set(arguments.parts) - {*AXES, "limits"}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if arguments.write and not set(arguments.parts) >= set(AXES):
        parser.error("--write needs all parts")
    return arguments


if __name__ == "__main__":
    main()
