"""The formulas against counts of PyTorch's own, the search, and a whole run of a tiny size."""

from dataclasses import replace

import growth
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode


@pytest.mark.parametrize(
    "changes",
    [{}, {"max_tokens": 96}, {"d_model": 64}, {"d_hidden": 96}, {"layers": 3}, {"heads": 8}, {"vocab_size": 300}],
)
def test_the_formula_for_time_counts_the_operations_that_pytorch_counts(changes):
    recipe = replace(growth.BASE, **{"batch": 4, "max_tokens": 32, "d_model": 32, "d_hidden": 64, **changes})
    run = growth.training(recipe, "cpu")
    run.generator.manual_seed(0)
    chosen = len(run.next_batch()[2]) / recipe.batch / recipe.max_tokens  # what the rate has really chosen
    run.generator.manual_seed(0)
    # The kernel without fusion, in plain products, which the counter knows; fused, backward multiplies once more.
    with FlopCounterMode(display=False) as counted, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        run.take_step()
    expected = growth.flops(replace(recipe, mask_rate=chosen))
    assert counted.get_total_flops() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("largest", [64, 100, 1000, 4099])
def test_the_search_finds_the_largest_that_fits_to_within_a_sixteenth(largest):
    asked = []

    def fits(number):
        asked.append(number)
        return number <= largest

    found = growth.largest_that_fits(fits, 64, 2)
    assert largest - max(2, largest / 16) <= found <= largest
    assert len(asked) < 16


def test_where_nothing_fits_the_search_says_so():
    with pytest.raises(ValueError, match="not even 64 fits"):
        growth.largest_that_fits(lambda number: False, 64, 2)


def test_the_exponent_is_the_slope_on_logarithmic_axes():
    assert growth.exponent([(1, 9.0), (2, 3.0), (4, 12.0), (8, 48.0)]) == pytest.approx(2)


def test_a_step_that_does_not_fit_is_no_result():
    enough = {"batch": 2, "max_tokens": 8}
    assert growth.in_a_process(enough, "cpu", 1, limit=2**28, briefly=True)["bytes"] > 0
    assert growth.in_a_process(enough | {"vocab_size": 10**6}, "cpu", 1, limit=2**27, briefly=True) == {}


def test_a_run_writes_its_tables_and_picture_and_is_not_run_again(tmp_path, monkeypatch, capsys):
    axes = {"tokens": ("T", [{"max_tokens": n} for n in (8, 16, 32)]), "heads": ("H", [{"heads": n} for n in (1, 2)])}
    monkeypatch.setattr(growth, "AXES", axes)
    monkeypatch.setattr(growth, "LIMITS", {"longest row": (lambda n: {"batch": 1, "max_tokens": n}, 32, 32)})
    monkeypatch.setattr(growth, "BASE", replace(growth.BASE, batch=2, d_model=16, d_hidden=32, vocab_size=50))
    monkeypatch.setattr(growth, "LEAST_SECONDS", 0)
    docs = tmp_path / "docs"
    (docs / "images").mkdir(parents=True)
    (docs / "growth.md").write_text("Before.\n<!-- growth -->\nold\n<!-- end of growth -->\nAfter.\n")
    command = ["growth.py", "--write", "--memory-limit", "4", "--threads", "1"]
    monkeypatch.setattr("sys.argv", [*command, "--docs", str(docs), "--results", str(tmp_path / "growth.jsonl")])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    growth.main()
    page = (docs / "growth.md").read_text()
    assert page.startswith("Before.\n") and page.endswith("After.\n") and "old" not in page
    assert "| T | ms a step |" in page and "| longest row |" in page and "| exponent of |" in page
    assert (docs / "images" / "growth.png").read_bytes().startswith(b"\x89PNG")
    finished = (tmp_path / "growth.jsonl").read_text()
    growth.main()
    assert (tmp_path / "growth.jsonl").read_text() == finished
