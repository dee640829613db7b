"""The benchmarks of pretraining, whole, with a tiny size on the CPU."""

import math
from dataclasses import replace

import pretraining
import pytest
import recipes
import sides
import torch

from nanobert.recipe import RECIPES


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Runs of a few steps, in this process."""
    monkeypatch.setattr(sides, "TIMED_STEPS", 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for module in (pretraining, recipes):
        monkeypatch.setattr(module, "in_a_process", sides.one_run)


def call(script, monkeypatch, capsys, text, tmp_path, docs, *words):
    results = str(tmp_path / "results.jsonl")
    common = ["--corpus", str(text), "--results", results, "--docs", str(docs), "--threads", "1", "--write"]
    monkeypatch.setattr("sys.argv", ["script", *common, *words])
    script.main()
    return capsys.readouterr().out, (docs / "recipe.md").read_text()


def test_all_sides_learn_and_are_measured_alike(text):
    loss = {}
    for side in sides.SIDES:
        asked = {"side": side, "seconds": 0.01, "seed": 0, "preset": "test", "corpus": str(text), "threads": 1}
        result = sides.one_run(asked | {"share": 0.5, "curve": 2})
        assert result["steps"] == 2 * RECIPES["test"].warmup and len(result["curve"]) == 2
        assert result["curve"][-1][2] == pytest.approx(result["loss"])
        assert result["epochs"] == pytest.approx(result["curve"][-1][0])
        loss[side] = result["loss"]
    vocabulary = math.log(RECIPES["test"].vocab_size)
    assert loss[sides.OURS] < vocabulary and loss[sides.OUR_START] < vocabulary < loss[sides.AS_IT_COMES] + 1


def test_a_share_of_the_text_is_that_share_of_the_rows_with_the_same_tokens(text):
    rows, held_out = sides.rows_of(text, RECIPES["test"])
    fewer, same = sides.rows_of(text, RECIPES["test"], 1 / 4)
    assert torch.equal(rows[::4], fewer) and torch.equal(held_out, same)


def test_a_run_can_have_a_process_of_its_own(text):
    asked = {"side": sides.OURS, "seconds": 0.01, "seed": 0, "preset": "test", "corpus": str(text), "threads": 1}
    assert sides.in_a_process(asked)["loss"] == pytest.approx(sides.one_run(asked)["loss"], abs=1e-4)


def test_the_comparison_at_equal_time_writes_its_table(monkeypatch, capsys, text, tmp_path, docs):
    monkeypatch.setattr(pretraining, "LESSON_SIZE", {"d_model": 16, "d_hidden": 32, "batch": 4, "warmup": 1})
    out, page = call(pretraining, monkeypatch, capsys, text, tmp_path, docs, "--seconds", "0.01", "--seeds", "0", "1")
    assert "| Hugging Face, as it comes | 1 |" in out and "| ours against |" in page
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize("side", pretraining.GPU_SIDES)
@pytest.mark.parametrize("compiled", [False, True])
def test_the_speed_at_berts_size_is_measured_here_with_a_tiny_size(monkeypatch, side, compiled):
    monkeypatch.setattr(pretraining, "WARM_UP", 1)
    monkeypatch.setattr(pretraining, "MEASURED", 1)
    small = replace(pretraining.BERT_BASE, vocab_size=50, d_model=16, heads=2, d_hidden=32, layers=2)
    result = pretraining.speed(side, 8, 4, compiled, "cpu", small, backend="aot_eager", repeats=2)
    assert len(result["all_tokens_per_second"]) == 2 and min(result["all_tokens_per_second"]) > 0
    assert result["mfu"] is None  # of a CPU, whose peak is not known


def test_the_tables_of_a_gpu_have_every_length_side_and_way_with_their_ratios(monkeypatch, tmp_path):
    def measured(measure, side, tokens, batch, compiled, device):
        rate = (2.0 if side == sides.OURS else 1.0) * (3 if compiled else 1)
        return {"tokens_per_second": rate, "all_tokens_per_second": [rate], "memory": 1.0, "mfu": 0.46}

    monkeypatch.setattr(pretraining, "fresh", measured)
    rows, ratios = pretraining.gpu_tables(pretraining.Results(tmp_path / "results.jsonl"))
    assert len(rows.splitlines()) == 2 + 8 and "46%" in rows
    assert [line.split("|")[-2].strip() for line in ratios.splitlines()[2:]] == ["2.00"] * 4


def test_without_a_gpu_its_benchmark_says_so(monkeypatch, capsys, text, tmp_path, docs):
    with pytest.raises(SystemExit, match="no GPU here"):
        call(pretraining, monkeypatch, capsys, text, tmp_path, docs, "--gpu")


def test_the_size_is_berts():
    recipe = replace(pretraining.BERT_BASE, max_tokens=512)
    assert sum(p.numel() for p in sides.hugging_face(recipe, None).parameters()) == 109_514_298  # bert-base-uncased


def test_recipes_and_data_diet_write_their_tables_and_picture_and_go_on_where_they_stopped(
    monkeypatch, capsys, text, tmp_path, docs
):
    sizes = {"one layer": {"batch": 2}, "two layers": {"batch": 2, "layers": 2}}
    monkeypatch.setattr(recipes, "SIZES", {"test": sizes})
    monkeypatch.setattr(recipes, "SHARES", {"1/4": 1 / 4, "all": 1})
    words = ["--preset", "test", "--minutes", "0.0001", "0.0002", "--seeds", "0", "1", "--diet-minutes", "0.0001"]
    words += ["--points", "2", "--sides", sides.OURS, sides.OUR_START]
    out, page = call(recipes, monkeypatch, capsys, text, tmp_path, docs, *words)
    assert "12 of 12 runs are left" in out
    assert "| bigram window |" in page and "| 0.0002 | Hugging Face, with our start |" in page
    assert "| two layers | 1/4 |" in page
    assert (docs / "images" / "data_diet.png").read_bytes().startswith(b"\x89PNG")
    out, again = call(recipes, monkeypatch, capsys, text, tmp_path, docs, *words)
    assert "0 of 12 runs are left" in out and again == page
