"""`unmasked pretrain`, on a few sentences of our own."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from typer.testing import CliRunner

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


def test_minutes_become_steps_that_a_resumed_run_finds_again(text, tmp_path):
    results = run(text, "test", tmp_path / "run", minutes=0.02, say=lambda line: None)
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert results["steps"] == recipe["steps"] > 20


def test_a_run_that_is_killed_and_resumed_ends_bit_for_bit_where_another_ends(text, tmp_path):
    script = (
        "from dataclasses import replace; from unmasked import pretraining as p; import sys;"
        "p.RECIPES = {'test': replace(p.RECIPES['test'], steps=900)};"
        "p.run(sys.argv[1], 'test', sys.argv[2], resume=True, device='cpu')"
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([sys.executable, "-c", script, text, whole], check=True, capture_output=True)
    killed = subprocess.Popen([sys.executable, "-c", script, text, broken], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (broken / "checkpoint.pt").exists() and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (broken / "results.json").exists(), "it was done before it could be killed"
    subprocess.run([sys.executable, "-c", script, text, broken], check=True, capture_output=True)
    one, other = (torch.load(folder / "checkpoint.pt")["model"] for folder in (whole, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)


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
