"""Several processes: a run of two is a run of one, and knows what can't be shared."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nanobert.distributed import averaging, from_first, is_first, processes, together, total
from nanobert.masked_lm import build_masked_lm, masked_lm_loss
from nanobert.masking import corrupt
from nanobert.recipe import Recipe
from nanobert.schedule import learning_rate
from nanobert.training import Pretraining, pretrain

RECIPE = Recipe(vocab_size=50, d_model=16, heads=2, layers=2, max_tokens=8, batch=7, steps=12, warmup=3)
CPU = torch.device("cpu")
PARTS = {"corrupt": corrupt, "loss": masked_lm_loss, "schedule": learning_rate}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def train(recipe=RECIPE, checkpoint=None, on_log=None):
    """A run with 64-bit numbers, so that rounding stays far below what a wrong weight of a process would do."""
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        model = build_masked_lm(recipe.vocab_size, recipe.d_model, recipe.heads, recipe.layers, recipe.max_tokens)
        # Some rows are nearly all [CLS], which is never chosen: the processes have unequal shares of what is.
        rows = torch.randint(0, 50, (40, 8), generator=torch.Generator().manual_seed(0))
        rows[::3, 2:] = 2
        log = pretrain(model, rows, recipe, CPU, checkpoint, on_log, log_every=1, save_every=4, **PARTS)
        return {"model": model.state_dict(), "loss": [entry["loss"] for entry in log]}
    finally:
        torch.set_default_dtype(torch.float32)


def main(folder, steps):
    """What each of two processes does."""
    with together(CPU):
        result = train(replace(RECIPE, steps=int(steps)), folder / "checkpoint.pt")
        torch.save(result, folder / f"{processes()[1]}.pt")
        (folder / f"{processes()[1]}.txt").write_text(f"{from_first(processes()[1])} {is_first()}")


def run_two(folder, steps=RECIPE.steps):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*TORCHRUN, __file__, folder, str(steps)], check=True, timeout=300, env=environment)
    return [torch.load(folder / f"{number}.pt") for number in (0, 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(folder):
    return run_two(folder)


def test_two_processes_have_the_losses_of_one(two):
    one = torch.tensor(train()["loss"])
    for each in two:
        torch.testing.assert_close(torch.tensor(each["loss"]), one, rtol=0, atol=1e-9)


def test_two_processes_have_the_parameters_of_one_and_equal_ones(two):
    one, (first, second) = train()["model"], (each["model"] for each in two)
    assert all(torch.equal(first[name], second[name]) for name in one)
    torch.testing.assert_close(first, one, rtol=0, atol=1e-9)


def test_the_first_process_alone_is_first_and_tells_the_others(two, folder):
    assert [(folder / f"{number}.txt").read_text() for number in (0, 1)] == ["0 True", "0 False"]


def test_two_processes_go_on_from_the_checkpoint_of_one(tmp_path):
    def interrupt(log):
        if len(log) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=tmp_path / "checkpoint.pt", on_log=interrupt)
    one = train()
    for each in run_two(tmp_path):
        torch.testing.assert_close(torch.tensor(each["loss"]), torch.tensor(one["loss"]), rtol=0, atol=1e-9)
        torch.testing.assert_close(each["model"], one["model"], rtol=0, atol=1e-9)


def test_without_torchrun_there_is_one_process_and_nothing_changes():
    model, x = torch.nn.Linear(2, 3), torch.ones(3)
    with together(CPU) as device:
        assert device is CPU and processes() == (1, 0) and is_first()
        assert averaging(model) is model and total(x) is x and from_first("a") == "a"


def test_fewer_gpus_than_processes_are_told(monkeypatch):
    monkeypatch.setattr("nanobert.distributed.distributed.is_torchelastic_launched", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(ValueError, match="4 processes have only 2 GPUs: give torchrun --nproc-per-node 2"):
        with together(torch.device("cuda")):
            pass


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({}, "8 processes can't share a batch of 7"), ({"minutes": 1}, "no common clock")],
)
def test_what_several_processes_can_not_share_is_told(monkeypatch, options, sentence):
    monkeypatch.setattr("nanobert.training.processes", lambda: (8 if not options else 2, 0))
    with pytest.raises(ValueError, match=sentence):
        Pretraining(torch.nn.Linear(2, 2), torch.zeros(40, 8), RECIPE, CPU, **PARTS, **options)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
