"""Training: the schedule, the loop, the budget, and a run that is killed and goes on."""

import itertools
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nanobert.checkpoint import CheckpointError, load_checkpoint
from nanobert.masked_lm import build_masked_lm, masked_lm_loss
from nanobert.masking import corrupt
from nanobert.recipe import Recipe
from nanobert.schedule import learning_rate
from nanobert.training import Pretraining, pretrain

RECIPE = Recipe(vocab_size=50, d_model=16, heads=2, layers=1, max_tokens=8, batch=6, steps=23, warmup=3)
CPU = torch.device("cpu")
PARTS = {"corrupt": corrupt, "loss": masked_lm_loss, "schedule": learning_rate}


def new_model(recipe=RECIPE):
    torch.manual_seed(recipe.seed)
    return build_masked_lm(recipe.vocab_size, recipe.d_model, recipe.heads, recipe.layers, recipe.max_tokens)


def rows(count=40):
    return torch.randint(5, 50, (count, 8), generator=torch.Generator().manual_seed(0))


def assert_same_bits(model, other):
    for (name, ours), theirs in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_two_runs_are_the_same_bit_for_bit():
    first, second = new_model(), new_model()
    pretrain(first, rows(), RECIPE, CPU, **PARTS)
    pretrain(second, rows(), RECIPE, CPU, **PARTS)
    assert_same_bits(first, second)


def test_another_seed_gives_another_run():
    first, second = new_model(), new_model()
    pretrain(first, rows(), RECIPE, CPU, **PARTS)
    pretrain(second, rows(), replace(RECIPE, seed=1), CPU, **PARTS)
    assert not torch.equal(first.head.decoder.weight, second.head.decoder.weight)


def test_it_learns_and_its_log_says_so():
    row = torch.arange(5, 13).expand(40, 8)  # always the same sentence
    log = pretrain(new_model(), row, replace(RECIPE, steps=60), CPU, log_every=10, **PARTS)
    assert [entry["step"] for entry in log] == [10, 20, 30, 40, 50, 60]
    assert log[-1]["loss"] < 2.5 and log[-1]["loss"] < log[0]["loss"] - 0.5
    assert all(entry["tokens_per_second"] > 0 for entry in log)


def test_every_row_is_read_once_an_epoch_in_another_order_each_time():
    numbered = torch.arange(5, 47)[:, None].expand(42, 8)
    run = Pretraining(new_model(), numbered, replace(RECIPE, mask_rate=0.0), CPU, **PARTS)
    epochs = []
    for _ in range(2):
        firsts = []
        for _ in range(42 // 6):
            firsts += run.next_batch()[0][:, 0].tolist()
            run.step += 1
        epochs.append(firsts)
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(5, 47))
    assert epochs[0] != epochs[1]


class Interrupted(Exception):
    """What a test throws into a run."""


@pytest.mark.parametrize("stop", [6, 7, 22])
def test_a_resumed_run_ends_bit_for_bit_where_an_uninterrupted_one_ends(tmp_path, stop):
    whole, broken, resumed = new_model(), new_model(), new_model(replace(RECIPE, seed=9))
    pretrain(whole, rows(), RECIPE, CPU, **PARTS)

    def interrupt(log):
        if log[-1]["step"] >= stop:
            raise Interrupted

    path = tmp_path / "run.pt"
    with pytest.raises(Interrupted):
        pretrain(broken, rows(), RECIPE, CPU, path, on_log=interrupt, log_every=1, save_every=5, **PARTS)
    log = pretrain(resumed, rows(), RECIPE, CPU, path, log_every=1, save_every=5, **PARTS)
    assert_same_bits(whole, resumed)
    assert [entry["step"] for entry in log] == list(range(1, RECIPE.steps + 1))


LONG = replace(RECIPE, steps=150)
KILLED = """
import sys
sys.path[:0] = sys.argv[2:]
import torch, test_training as t
torch.set_num_threads(1)
t.pretrain(t.new_model(), t.rows(), t.LONG, t.CPU, sys.argv[1], save_every=1, **t.PARTS)
"""


def test_a_killed_run_ends_bit_for_bit_where_an_uninterrupted_one_ends(tmp_path):
    path, here = tmp_path / "run.pt", Path(__file__).parent
    command = [sys.executable, "-c", KILLED, path, here, here.parents[1] / "lib"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not path.exists():
            time.sleep(0.01)
        process.kill()  # at some moment of some step, or of some writing
    killed, whole = new_model(), new_model()
    assert 0 < load_checkpoint(path)["progress"][0] < LONG.steps
    pretrain(killed, rows(), LONG, CPU, path, **PARTS)
    pretrain(whole, rows(), LONG, CPU, **PARTS)
    assert_same_bits(killed, whole)


def test_a_finished_run_is_not_run_again(tmp_path):
    path = tmp_path / "run.pt"
    first, again = new_model(), new_model()
    log = pretrain(first, rows(), RECIPE, CPU, path, **PARTS)
    assert pretrain(again, rows(), RECIPE, CPU, path, **PARTS) == log
    assert_same_bits(first, again)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    pretrain(new_model(), rows(), RECIPE, CPU, path, **PARTS)
    with pytest.raises(CheckpointError, match="another recipe"):
        pretrain(new_model(), rows(), replace(RECIPE, steps=24), CPU, path, **PARTS)


def test_minutes_end_a_run_early_with_a_rate_that_has_come_down(monkeypatch):
    rates, ticks = [], itertools.count(step=0.01)  # seconds: a clock that moves on by as much at every look
    monkeypatch.setattr("nanobert.training.time.perf_counter", lambda: next(ticks))

    def schedule(step, steps, peak, warmup):
        rates.append(learning_rate(step, steps, peak, warmup))
        return rates[-1]

    endless = replace(RECIPE, steps=10**6)
    log = pretrain(new_model(), rows(), endless, CPU, minutes=0.5 / 60, **PARTS | {"schedule": schedule})
    assert 49 <= log[-1]["step"] <= 51
    assert rates[-1] < max(rates) / 2


def test_too_little_text_is_said():
    with pytest.raises(ValueError, match="5 rows of text do not fill a batch of 6"):
        pretrain(new_model(), rows(5), RECIPE, CPU, **PARTS)


def test_the_parts_are_the_callers():
    called = set()

    def counted(name):
        def call(*arguments):
            called.add(name)
            return PARTS[name](*arguments)

        return call

    own, plain = new_model(), new_model()
    pretrain(own, rows(), RECIPE, CPU, **{name: counted(name) for name in PARTS})
    pretrain(plain, rows(), RECIPE, CPU, **PARTS)
    assert called == set(PARTS)
    assert_same_bits(own, plain)
