"""`unmasked pretrain`: lesson 07's training from the command line, for as long as one likes, with all its measurements.

With several GPUs, `torchrun --nproc-per-node 2 -m unmasked pretrain ...` takes two of them.

A folder holds a run: recipe.json, tokenizer.json, checkpoint.pt, log.json, curve.png and results.json.
"""

import json
import math
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from nanobert.bigram import bigram_window_loss
from nanobert.checkpoint import CheckpointError
from nanobert.device import best_device
from nanobert.distributed import from_first, is_first, processes, together
from nanobert.evaluation import evaluate, fixed_masks
from nanobert.masked_lm import build_masked_lm, masked_lm_loss
from nanobert.masking import corrupt
from nanobert.recipe import RECIPES, Recipe
from nanobert.schedule import learning_rate
from nanobert.tokenizer import MASK, SPECIAL_IDS, pack_rows, train_tokenizer
from nanobert.training import Pretraining, pretrain
from nanobert.unigram import start_at_unigram, token_shares, unigram_loss
from unmasked import figures
from unmasked.data import load_corpus
from unmasked.errors import UnmaskedError

PARTS = {"corrupt": corrupt, "loss": masked_lm_loss, "schedule": learning_rate}
TIMED_STEPS = 20
SAMPLES = ("In the beginning God ___ the heavens and the earth.", "We the ___ of the United States", "I ___ you.")


def run(corpus, preset, folder, minutes=None, resume=False, device=None, say=print):
    """Pretrain on a corpus and measure; returns what results.json holds, a dictionary.

    An empty `preset` is that of the device. `minutes` replaces the recipe's number of steps by as many as fit, timed
    beforehand, so that a run can be repeated.
    Under `torchrun`, the first process writes the folder and returns the results, and every other one returns None.
    Errors: UnmaskedError if there is no such preset, if the folder holds a run already and `resume` was not said, if
    there is too little text, if a file can't be written, if the GPU's memory is too small, or if another process of
    the run has ended.
    """
    try:
        with together(torch.device(device) if device else best_device()) as device:
            return _run(corpus, preset, Path(folder), minutes, resume, device, say)
    except torch.OutOfMemoryError:
        raise UnmaskedError("The GPU's memory is too small for this recipe: choose a smaller --preset.") from None
    except ConnectionError as error:
        raise UnmaskedError(f"{_sentence(error)} If it does not say why, start again with --resume.") from None
    except (CheckpointError, ValueError) as error:
        raise UnmaskedError(_sentence(error)) from None


def _sentence(error):
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def _run(corpus, preset, folder, minutes, resume, device, say):
    recipe = from_first(_recipe_of(folder, preset or _usual(device), resume) if is_first() else None)
    texts = load_corpus(corpus)
    tokenizer = train_tokenizer(texts.train, recipe.vocab_size)
    rows, held_out = (pack_rows(tokenizer, part, recipe.max_tokens) for part in (texts.train, texts.held_out))
    shares = token_shares(rows, SPECIAL_IDS, recipe.vocab_size)
    if from_first(not (folder / "recipe.json").exists()):
        steps = from_first(_steps_in(minutes, rows, shares, recipe, device)) if minutes else recipe.steps
        recipe = replace(recipe, steps=steps)
        if is_first():
            _write(folder / "recipe.json", asdict(recipe))
            tokenizer.save(str(folder / "tokenizer.json"))
    model = _new_model(recipe, shares)
    if is_first():
        say(f"{len(rows):,} rows of {recipe.max_tokens} tokens, {recipe.steps:,} steps, on {_described(device)}")
    log = pretrain(model, rows, recipe, device, folder / "checkpoint.pt", save_every=200, **PARTS)
    if not is_first():
        return None
    results = _measure(model, rows, shares, held_out, recipe, log)
    _write(folder / "log.json", log)
    _write(folder / "results.json", results)
    _draw(folder / "curve.png", log, results)
    for text in SAMPLES:
        say(f"{text}  {fill_in(model, tokenizer, text)}")
    return results


def _described(device):
    number, _ = processes()
    return device.type if number == 1 else f"{device.type}, {number} processes"


def fill_in(model, tokenizer, text, top=3):
    """The most likely tokens for the first ___ of a text, each with its probability, as words."""
    tokens = torch.tensor([tokenizer.encode(text.replace("___", "[MASK]")).ids], device=next(model.parameters()).device)
    with torch.no_grad():
        chances = model.eval()(tokens)[tokens == MASK][0].softmax(-1).topk(top)
    pairs = zip(chances.indices.tolist(), chances.values.tolist())
    return ", ".join(f"{tokenizer.id_to_token(token)} {chance:.0%}" for token, chance in pairs)


def _usual(device):
    return "gpu" if device.type == "cuda" else "cpu"


def _recipe_of(folder, preset, resume):
    """The recipe to follow: that of the run in the folder, if one is to be resumed."""
    path = folder / "recipe.json"
    if preset not in RECIPES:
        raise UnmaskedError(f"There is no preset {preset}, only {', '.join(RECIPES)}.")
    if not path.exists():
        return RECIPES[preset]
    if not resume:
        raise UnmaskedError(f"{folder} holds a run already: say --resume to go on with it, or choose another --out.")
    try:
        return Recipe(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise UnmaskedError(f"{path} is no recipe: choose another --out.") from None


def _new_model(recipe, shares):
    torch.manual_seed(recipe.seed)
    model = build_masked_lm(**recipe.sizes)
    start_at_unigram(model.head, shares)
    return model


def _steps_in(minutes, rows, shares, recipe, device):
    """How many steps fit into some minutes, by the time that a few take in a run that is thrown away."""
    trial = Pretraining(_new_model(recipe, shares), rows, recipe, device, **PARTS)
    times = []
    for _ in range(TIMED_STEPS):
        start = time.perf_counter()
        trial.take_step().item()  # waits for the GPU
        times.append(time.perf_counter() - start)
    return max(2 * recipe.warmup, int(60 * minutes / sorted(times)[TIMED_STEPS // 2]))


def _measure(model, rows, shares, held_out, recipe, log):
    inputs, labels = fixed_masks(held_out, recipe.vocab_size)
    loss, top1 = evaluate(model, inputs, labels)
    return {
        "held_out_loss": round(loss, 4),
        "perplexity": round(math.exp(loss), 2),
        "top1": round(top1, 4),
        "uniform_loss": round(math.log(recipe.vocab_size), 4),
        "unigram_loss": round(unigram_loss(shares, labels), 4),
        "bigram_window_loss": round(bigram_window_loss(rows, shares, inputs, labels), 4),
        "steps": recipe.steps,
        "tokens_per_second": log[-1]["tokens_per_second"],
        "seconds": round(log[-1]["seconds"], 1),
    }


def _draw(path, log, results):
    figure, ax = figures.axes(width=8, height=4)
    ax.plot([entry["step"] for entry in log], [entry["loss"] for entry in log], label="training batches")
    ax.plot(log[-1]["step"], results["held_out_loss"], "o", color=figures.ORANGE, label="held out, at the end")
    for name, text in (("uniform_loss", "ln V"), ("unigram_loss", "unigram"), ("bigram_window_loss", "bigram window")):
        ax.axhline(results[name], color="black", ls=":", lw=1)
        told = f"{text}: {results[name]:.2f}"
        ax.annotate(told, (log[-1]["step"], results[name]), (0, 3), textcoords="offset points", ha="right")
    ax.set(xlabel="step", ylabel="loss (nats)", title=f"held out: {results['held_out_loss']:.2f} nats")
    ax.legend(frameon=False)
    try:
        figure.savefig(path)
    except OSError as error:
        raise UnmaskedError(f"{path} can't be written: {error.strerror}.") from None


def _write(path, content):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UnmaskedError(f"{path} can't be written: {error.strerror}.") from None
