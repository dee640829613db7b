"""`unmasked pretrain`, on a few sentences of our own."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from nanobert.recipe import RECIPES
from unmasked.cli import app
from unmasked.errors import UnmaskedError
from unmasked.pretraining import run

RESULTS = {"held_out_loss", "unigram_loss", "bigram_window_loss", "top1", "tokens_per_second", "seconds"}


@pytest.fixture
def text(tmp_path):
    """A file of 3,000 sentences in which every third word follows from the two beside it."""
    draw = random.Random(0)
    animals = ["dog", "cat", "bird", "fish", "horse", "mouse"]
    lines = [f"the {a} sees the {b} and the {a} runs to {draw.choice(animals)} {n}." for n in range(500)
             for a, b in [draw.sample(animals, 2) for _ in range(6)]]  # fmt: skip
    path = tmp_path / "animals.txt"
    path.write_text("\n".join(lines))
    return path


def test_a_run_leaves_everything_in_its_folder_and_ends_with_a_line_of_json(text, tmp_path):
    out = tmp_path / "run"
    arguments = ["pretrain", "--corpus", str(text), "--preset", "test", "--out", str(out), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout.splitlines()[-1])
    assert set(results) >= RESULTS
    assert json.loads((out / "results.json").read_text()) == results
    assert results["held_out_loss"] < results["uniform_loss"]
    names = {path.name for path in out.iterdir()}
    assert names == {"recipe.json", "tokenizer.json", "checkpoint.pt", "log.json", "curve.png", "results.json"}
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_with_a_run_is_not_overwritten(text, tmp_path):
    run(text, "test", tmp_path / "run", say=lambda line: None)
    with pytest.raises(UnmaskedError, match="holds a run already: say --resume"):
        run(text, "test", tmp_path / "run", say=lambda line: None)


def test_minutes_become_steps_that_a_resumed_run_finds_again(text, tmp_path, monkeypatch):
    ticks = itertools.count(step=1 / 64)  # seconds: a clock that is looked at four times a step
    monkeypatch.setattr("unmasked.pretraining.time.perf_counter", lambda: next(ticks))
    results = run(text, "test", tmp_path / "run", minutes=0.02, say=lambda line: None)
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert results["steps"] == recipe["steps"] == 25


def wait_for(path, process):
    """Until there is this file, the process has ended, or two minutes are over."""
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def assert_same_end(folder, other):
    one, another = (torch.load(each / "checkpoint.pt")["model"] for each in (folder, other))
    assert all(torch.equal(one[name], another[name]) for name in one)


def test_a_run_that_is_killed_and_resumed_ends_bit_for_bit_where_another_ends(text, tmp_path):
    script = (
        "from dataclasses import replace; from unmasked import pretraining as p; import sys;"
        "p.RECIPES = {'test': replace(p.RECIPES['test'], steps=400)};"
        "p.run(sys.argv[1], 'test', sys.argv[2], resume=True, device='cpu')"
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([sys.executable, "-c", script, text, whole], check=True, capture_output=True)
    killed = subprocess.Popen([sys.executable, "-c", script, text, broken], stderr=subprocess.DEVNULL)
    wait_for(broken / "checkpoint.pt", killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (broken / "results.json").exists(), "it was done before it could be killed"
    subprocess.run([sys.executable, "-c", script, text, broken], check=True, capture_output=True)
    assert_same_end(whole, broken)


OF_TWO = """
import os, sys
from dataclasses import replace
from pathlib import Path
from unmasked import cli, pretraining
pretraining.RECIPES = {"cpu": replace(pretraining.RECIPES["test"], steps=220)}
Path(f"{sys.argv[2]}.{os.environ['RANK']}").write_text(str(os.getpid()))
sys.argv[1:] = ["pretrain", "--corpus", sys.argv[1], "--preset", "cpu", "--out", sys.argv[2], "--resume", "--json"]
cli.main()
"""


@pytest.fixture
def two(text, tmp_path):
    """The command that starts a run of two processes in this folder."""
    (tmp_path / "two.py").write_text(OF_TWO)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return lambda folder: [*torchrun, tmp_path / "two.py", text, tmp_path / folder]


def test_two_processes_end_where_one_does_and_if_one_is_killed_the_other_says_so_and_they_can_resume(
    text, two, tmp_path, monkeypatch
):
    done = subprocess.run(two("whole"), capture_output=True, text=True, timeout=300)
    (line,) = done.stdout.splitlines()  # of one process alone
    monkeypatch.setitem(RECIPES, "test", replace(RECIPES["test"], steps=220))
    one = run(text, "test", tmp_path / "one", device="cpu", say=lambda line: None)
    assert json.loads(line)["held_out_loss"] == pytest.approx(one["held_out_loss"], abs=0.01)
    assert {path.name for path in (tmp_path / "whole").iterdir()} == {
        path.name for path in (tmp_path / "one").iterdir()
    }

    with subprocess.Popen(two("broken"), stderr=subprocess.PIPE, text=True) as running:
        wait_for(tmp_path / "broken" / "checkpoint.pt", running)
        os.kill(int((tmp_path / "broken.1").read_text()), signal.SIGKILL)
        _, said = running.communicate(timeout=120)
    assert running.returncode != 0 and not (tmp_path / "broken" / "results.json").exists()
    assert "unmasked: Another process of this run has ended." in said or "Signal 9 (SIGKILL)" in said
    subprocess.run(two("broken"), check=True, capture_output=True, timeout=300)
    assert_same_end(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--corpus", "no-such-file.txt"], "no-such-file.txt"),
        (["--preset", "huge"], "There is no preset huge, only cpu, gpu, test."),
    ],
)
def test_what_can_be_put_right_is_a_sentence(arguments, sentence, tmp_path):
    command = [sys.executable, "-m", "unmasked.cli", "pretrain", "--out", tmp_path / "run", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and sentence in done.stderr and "Traceback" not in done.stderr


def test_too_little_text_is_told(tmp_path):
    (tmp_path / "short.txt").write_text("One sentence. " * 3)
    with pytest.raises(UnmaskedError, match="has only"):
        run(tmp_path / "short.txt", "test", tmp_path / "run")


def test_a_folder_that_can_not_be_made_is_told(text, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnmaskedError, match="can't be written"):
        run(text, "test", tmp_path / "file" / "run", say=lambda line: None)
