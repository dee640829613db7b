"""What a recipe reaches in some minutes, and how much text a model of each size needs.

    python benchmarks/recipes.py --seeds 0                     # 1, 3, 10, 30 minutes (a GPU: 1, 5) and the data diet
    python benchmarks/recipes.py --minutes 1 3 --seeds 0 1 2   # two rows of the table, three seeds
    python benchmarks/recipes.py --write                       # and put tables and picture into docs/recipe.md

Each finished run is a line in a file, and a rerun goes on with what is left. It says first how long that takes.
Told are held-out loss, perplexity and right first guesses: the mean, and from the least to the most over the seeds.
"""

import argparse
import math
import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from sides import OURS, SIDES, in_a_process, landmarks, spread
from store import ROOT, Results, machine, table, write_between_marks

from unmasked import figures

MINUTES = {"cpu": (1, 3, 10, 30), "gpu": (1, 5)}
SHARES = {"1/16": 1 / 16, "1/4": 1 / 4, "all": 1}
SIZES = {  # of the data diet: name -> what differs from the preset's recipe
    "cpu": {
        "D = 64": {"d_model": 64, "heads": 2, "d_hidden": 128},
        "lesson 07's, D = 128": {},
        "2 layers, D = 192": {"layers": 2, "d_model": 192, "heads": 6, "d_hidden": 768},
    },
    "gpu": {
        "2 layers, D = 128": {"layers": 2, "d_model": 128, "heads": 4, "d_hidden": 512},
        "the preset's, 6 layers, D = 384": {},
    },
}


def main():
    """Run what is not finished, and print the tables."""
    arguments = parse_arguments()
    results = Results(arguments.results)
    table_runs = [question(arguments, *each) for each in each_row(arguments)]
    diet_runs = [diet_question(arguments, *each) for each in each_curve(arguments)]
    announce(table_runs + diet_runs, results)
    for asked in table_runs + diet_runs:
        results.once(asked, lambda asked=asked: told(asked))
    made = f"{machine(arguments.device, arguments.threads)}; {time.strftime('%Y-%m-%d')}."
    tables = {"recipes": recipes_table(arguments, results)} if table_runs else {}
    if diet_runs:
        tables["data diet"] = diet_table(arguments, results)
    print(made, *tables.values(), sep="\n\n")
    if arguments.write:
        for name, text in tables.items():
            write_between_marks(arguments.docs / "recipe.md", name, f"{made}\n\n{text}")
        if diet_runs:
            draw_diet(arguments, results, arguments.docs / "images" / "data_diet.png")


def each_row(arguments):
    return [(m, side, seed) for m in arguments.minutes for side in arguments.sides for seed in arguments.seeds]


def each_curve(arguments):
    if not arguments.diet_minutes:
        return []
    return [(size, share) for size in SIZES[arguments.preset] for share in SHARES]


def question(arguments, minutes, side, seed, **more):
    """What `one_run` is asked; the key of its result too."""
    asked = {"side": side, "seconds": 60 * minutes, "seed": seed, "preset": arguments.preset}
    return asked | {"corpus": arguments.corpus, "threads": arguments.threads, "device": arguments.device} | more


def diet_question(arguments, size, share):
    more = {"changes": SIZES[arguments.preset][size], "share": SHARES[share], "curve": arguments.points}
    return question(arguments, arguments.diet_minutes, OURS, arguments.seeds[0], **more)


def announce(runs, results):
    left = [asked for asked in runs if asked not in results]
    minutes = sum(1.1 * asked["seconds"] + 40 for asked in left) / 60  # timing, tokenizer and measuring come on top
    print(f"{len(left)} of {len(runs)} runs are left: about {minutes:.0f} minutes", flush=True)


def told(asked):
    result = in_a_process(asked)
    share = f", {asked['share']:.2g} of the text, {asked['changes']}" if "share" in asked else ""
    print(
        f"{asked['seconds'] / 60:g} min, {asked['side']}, seed {asked['seed']}{share}: {result['loss']:.3f}", flush=True
    )
    return result


def recipes_table(arguments, results):
    """A row for each number of minutes and each side, after those of the landmarks."""
    rows = [["", name, "", f"{loss:.2f}", f"{math.exp(loss):.1f}", ""] for name, loss in known(arguments, results)]
    for minutes in arguments.minutes:
        for side in arguments.sides:
            runs = [results[question(arguments, minutes, side, seed)] for seed in arguments.seeds]
            losses = [run["loss"] for run in runs]
            steps = f"{sum(run['steps'] for run in runs) / len(runs):,.0f}"
            measured = spread(losses), spread([math.exp(loss) for loss in losses], ".1f")
            rows.append([f"{minutes:g}", side, steps, *measured, spread([run["top1"] for run in runs], ".1%")])
    return table(["minutes", "model", "steps", "held-out loss", "perplexity", "first guess right"], rows)


def known(arguments, results):
    asked = {"side": "landmarks", "corpus": arguments.corpus, "preset": arguments.preset}
    return results.once(asked, lambda: landmarks(arguments.corpus, arguments.preset)).items()


def diet_table(arguments, results):
    """A row for each size and share: where the held-out loss was lowest, and where it ended."""
    rows = []
    for size, share in each_curve(arguments):
        run = results[diet_question(arguments, size, share)]
        best = min(run["curve"], key=lambda point: point[2])
        last = run["curve"][-1]
        overfits = f"from epoch {best[0]:.0f}" if last[2] > best[2] + 0.01 else "no"
        numbers = f"{run['tokens']:,}", f"{run['epochs']:.1f}", f"{last[1]:.2f}", f"{best[2]:.2f}", f"{last[2]:.2f}"
        rows.append([size, share, *numbers, overfits])
    header = ["model", "of the text", "tokens", "epochs", "training loss", "lowest held out", "held out at the end"]
    return table([*header, "overfits"], rows)


def draw_diet(arguments, results, path):
    """For each size, the losses of text trained on (dashed) and held out, for each share of the text."""
    sizes = SIZES[arguments.preset]
    figure, axes = figures.axes(len(sizes), width=4 * len(sizes), height=3.4, sharey=True)
    for ax, size in zip(axes, sizes):
        for share, colour in zip(SHARES, (figures.RED, figures.ORANGE, figures.BLUE)):
            curve = results[diet_question(arguments, size, share)]["curve"]
            epochs, trained, held_out = zip(*curve)
            ax.plot(epochs, held_out, color=colour, label=f"{share} of the text, held out")
            ax.plot(epochs, trained, "--", color=colour, label=f"{share}, trained on")
        ax.set(xscale="log", xlabel="epoch", title=size)
    axes[0].set_ylabel("loss (nats)")
    axes[0].legend(frameon=False, fontsize=7.5)
    figure.savefig(path, facecolor="white", metadata={"Software": None})
    plt.close(figure)


def parse_arguments():
    """The command line."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    preset = "gpu" if device == "cuda" else "cpu"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="*", default=MINUTES[preset])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--diet-minutes", type=float, default=10, help="of each run of the data diet; 0: no data diet")
    parser.add_argument("--points", type=int, default=20, help="of each curve of the data diet")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--corpus", default="web", help="web, sotu or a text file")
    parser.add_argument("--results", default=ROOT / "build" / "recipes.jsonl", help="the file of finished runs")
    parser.add_argument("--write", action="store_true", help="put tables and picture into docs/recipe.md")
    parser.add_argument("--preset", default=preset, help=argparse.SUPPRESS)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.device = device
    return arguments


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
