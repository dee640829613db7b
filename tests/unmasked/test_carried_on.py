"""A learner's own parts in later lessons. The learner's notebooks are the published ones, with answers filled in."""

import copy
import inspect
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from torch import nn

from nanobert.masked_lm import MaskedLM, MaskedLMHead, masked_lm_loss
from nanobert.masking import corrupt
from nanobert.recipe import RECIPES
from nanobert.schedule import learning_rate
from nanobert.training import Pretraining
from unmasked.carried_on import KNOWN, carry_on
from unmasked.errors import UnmaskedError
from unmasked.lessons import find_lesson

from .checks.variants import encoder_block, multi_head_attention, word_order

ROOT = Path(__file__).parents[2]
SIZES = 50, 16, 4, 2, 8  # vocabulary, width, heads, layers, tokens


def grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def read(folder, lesson):
    return nbformat.read(ROOT / folder / f"{find_lesson(lesson).name}.ipynb", as_version=4)


def without_markers(source):
    return "\n".join(line for line in source.splitlines() if "SOLUTION" not in line)


def save(folder, lesson, answers):
    """A learner's notebook of a lesson: the course's answers, `answers` in their place; None leaves the stub."""
    solved = {grade_id(cell): without_markers(cell.source) for cell in read("solutions", lesson).cells}
    solved.pop("")  # cells that are nobody's answer
    notebook = read("notebooks", lesson)
    for cell in notebook.cells:
        if cell.cell_type == "code" and grade_id(cell) in solved:
            cell.source = {**solved, **answers}[grade_id(cell)] or cell.source
    nbformat.write(notebook, folder / f"{find_lesson(lesson).name}.ipynb")
    return notebook


@pytest.fixture
def learner(tmp_path, monkeypatch):
    """Saves notebooks with these answers where the lesson runs, by exercise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)

    def saved(**answers):
        for lesson in ("03", "04", "05"):
            save(tmp_path, lesson, answers)
        return tmp_path

    return saved


@pytest.fixture
def told(capsys):
    """Carries parts on; returns what was said of each, by its name."""

    def carry(*names, **options):
        carry.values = dict(zip(names, carry_on(*names, **options), strict=True))
        carry.printed = capsys.readouterr().out
        rows = re.findall(r"^  (\w+) \(lesson \d\d\): (.*)$", carry.printed, re.MULTILINE)
        return dict(rows)

    return carry


def reference(name):
    return KNOWN[name][1]


def written_as(kind, name):
    """The source of a class, under another name; its base class, if it has one of the same file, above it."""
    bases = [base for base in kind.__bases__ if base.__module__ == kind.__module__]
    return "".join(inspect.getsource(each) for each in [*bases, kind]).replace(
        f"class {kind.__name__}(", f"class {name}("
    )


def test_all_parts_of_who_has_solved_everything_are_their_own(learner, told):
    learner()
    assert set(told(*KNOWN).values()) == {"yours."}
    assert told.printed.startswith("6 of 6 parts are your own\n")
    assert not [name for name, value in told.values.items() if value.__module__ != "__main__"]


@pytest.mark.parametrize("answer, reason", [
    (None, "Not attempted yet."),
    ("class FeedForward(nn.Module):\n    def __init__(self, d_model, d_hidden):\n        pass", "It does not pass its"),
    ("class FeedForward(nn.Module:\n    pass", "Its cell fails. It raised an error. SyntaxError"),
    ("class FeedForward(nn.Module):\n    pass\nprint(1 / 0)", "Its cell fails. It raised an error. ZeroDivisionError"),
    ("import sys\nsys.exit()", "Its cell fails. It raised SystemExit"),
    ("while True:\n    pass", "Its cell fails. It ran for 5 seconds and was stopped"),
    ("FeedForward = 3", "It does not pass its check. "),
    ("feed_forward = 3", "Its cell in 05_encoder_block.ipynb does not define it."),
])  # fmt: skip
def test_for_a_part_that_fails_the_reference_stands_in_aloud(learner, told, answer, reason):
    learner(FeedForward=answer)
    said = told("FeedForward", "Encoder")
    assert said["FeedForward"].startswith(f"the reference. {reason}")
    assert told.values["FeedForward"] is reference("FeedForward")
    assert said["Encoder"] == "yours."
    assert told.printed.startswith("1 of 2 parts are your own\n")


def test_the_sentence_is_that_of_the_check(learner, told):
    learner(FeedForward=written_as(encoder_block.DownThenUp, "FeedForward"))
    assert "The sizes are swapped: `up` leads from d_model to d_hidden" in told("FeedForward")["FeedForward"]


def test_a_helper_in_a_cell_of_its_own_is_missing_and_the_sentence_says_where_it_belongs(learner, told):
    learner(FeedForward=inspect.getsource(reference("FeedForward")).replace("nn.Linear(", "my_linear("))
    said = told("FeedForward")["FeedForward"]
    assert "NameError: name 'my_linear' is not defined" in said
    assert said.endswith("put into an exercise's cell all that it uses.")


def test_other_names_of_weights_do_not_pass(learner, told):
    source = inspect.getsource(reference("MultiHeadAttention")).replace("self.output", "self.out")
    learner(MultiHeadAttention=source)
    assert "It has no parameter output.bias" in told("MultiHeadAttention")["MultiHeadAttention"]


EXTRA_BUFFER = written_as(word_order.PositionsForEachToken, "Embeddings")
SHARED_LAYERS = written_as(encoder_block.WithModule, "FeedForward")
OWN_NORM = (
    "class OwnNorm(nn.Module):\n"
    "    def __init__(self, width):\n"
    "        super().__init__()\n"
    "        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))\n"
    "    def forward(self, x):\n"
    "        return layer_norm(x, self.weight, self.bias)\n\n"
) + inspect.getsource(reference("EncoderBlock")).replace("nn.LayerNorm", "OwnNorm")
OTHER_ARGUMENT = inspect.getsource(reference("MultiHeadAttention")).replace("key_padding_mask", "mask")


@pytest.mark.parametrize("name, answer, reason", [
    ("Embeddings", EXTRA_BUFFER, "its `state_dict()` has `places`, for which the reference's weights have nothing."),
    ("FeedForward", SHARED_LAYERS, "its `state_dict()` has `net."),
    ("EncoderBlock", OWN_NORM, "its `attention_norm` is no `nn.LayerNorm`, which later lessons count on."),
    ("MultiHeadAttention", OTHER_ARGUMENT, "not in the way that later lessons use it. It raised an error. TypeError"),
], ids=["a buffer", "layers with two names", "a norm of their own", "another name of an argument"])  # fmt: skip
def test_a_part_that_passes_and_does_not_fit_falls_back_and_says_how(learner, told, name, answer, reason):
    learner(**{name: answer})
    said = told(name)[name]
    assert said.startswith("the reference. It passes its check, but ") and reason in said


VARIANTS = {
    "MultiHeadAttention": written_as(multi_head_attention.OneProjection, "MultiHeadAttention"),
    "Embeddings": written_as(word_order.SlicedPositions, "Embeddings"),
    "FeedForward": "import math\n\n" + written_as(encoder_block.WithErf, "FeedForward"),
    "EncoderBlock": written_as(encoder_block.FunctionalDropout, "EncoderBlock"),
    "Encoder": written_as(encoder_block.ConditionalNorm, "Encoder"),
}


def build(parts):
    """A masked language model of these parts, as lesson 07 builds it."""
    vocabulary, width, heads, layers, tokens = SIZES
    embeddings = parts["Embeddings"](vocabulary, width, tokens, 0.05)
    embeddings.position.weight.data = parts["sinusoidal_positions"](tokens, width)
    sublayers = [(parts["MultiHeadAttention"](width, heads), parts["FeedForward"](width, 24)) for _ in range(layers)]
    blocks = [parts["EncoderBlock"](*pair, width) for pair in sublayers]
    encoder = parts["Encoder"](blocks, nn.LayerNorm(width))
    return MaskedLM(embeddings, encoder, MaskedLMHead(width, embeddings.token))


def mine_and_theirs(parts):
    return build(parts), build({name: reference(name) for name in parts})


@pytest.mark.parametrize("answers", [{}, VARIANTS], ids=["the course's", "written differently"])
def test_a_model_of_their_own_parts_takes_the_reference_weights_and_computes_the_same(learner, told, answers):
    learner(**answers)
    assert set(told(*KNOWN).values()) == {"yours."}
    mine, theirs = mine_and_theirs(told.values)
    assert type(mine.encoder) is told.values["Encoder"] is not reference("Encoder")
    shapes = [{name: x.shape for name, x in model.state_dict().items()} for model in (mine, theirs)]
    assert shapes[0] == shapes[1]
    mine.load_state_dict(theirs.state_dict())
    tokens, hidden = torch.randint(50, (3, 8)), torch.arange(8) >= torch.tensor([[8], [5], [1]])
    assert torch.allclose(mine(tokens, hidden), theirs(tokens, hidden), atol=1e-5)


def test_a_run_goes_on_from_a_checkpoint_of_the_reference(learner, told):
    learner(**VARIANTS)
    told(*KNOWN)
    mine, theirs = mine_and_theirs(told.values)
    recipe = replace(RECIPES["cpu"], vocab_size=SIZES[0], batch=4, steps=20, warmup=2)
    rows = torch.randint(5, 50, (40, 8), generator=torch.Generator().manual_seed(0))
    options = {"corrupt": corrupt, "loss": masked_lm_loss, "schedule": learning_rate}
    runs = [Pretraining(model, rows, recipe, torch.device("cpu"), **options) for model in (theirs, mine)]
    for _ in range(3):
        runs[0].take_step()
    runs[1].load_state_dict(copy.deepcopy(runs[0].state_dict()))
    losses = [[run.take_step().item() for _ in range(3)] for run in runs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_an_earlier_exercise_that_fails_is_stood_in_for_and_named(learner, told):
    learner(split_heads="def split_heads(x, heads):\n    return x.view(x.shape[0], heads, x.shape[1], -1)")
    said = told("MultiHeadAttention", "Encoder")["MultiHeadAttention"]
    assert said.startswith("yours. With the course's `split_heads`: yours does not pass its check. ")
    assert said.endswith("Cut the last axis first, to (B, T, H, K), then swap T and H.")
    assert told.printed.startswith("2 of 2 parts are your own, 1 of them with a function of the course's\n")
    mine, theirs = told.values["MultiHeadAttention"](8, 2), reference("MultiHeadAttention")(8, 2)
    mine.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 5, 8)
    assert torch.allclose(mine(x), theirs(x), atol=1e-5)


@pytest.mark.parametrize("answer, reason", [
    (None, "is not written yet."),
    ("def cut_heads(x, heads):\n    pass", "is not there."),
])  # fmt: skip
def test_an_earlier_exercise_that_was_never_attempted_is_not_called_wrong(learner, told, answer, reason):
    learner(split_heads=answer)
    said = told("MultiHeadAttention")["MultiHeadAttention"]
    assert said == f"yours. With the course's `split_heads`: yours {reason}"


def test_an_earlier_exercise_that_is_not_called_is_not_named(learner, told):
    learner(split_heads=None, MultiHeadAttention=VARIANTS["MultiHeadAttention"])
    assert told("MultiHeadAttention")["MultiHeadAttention"] == "yours."


def test_a_missing_notebook_costs_its_own_parts_only(learner, told):
    (learner() / "03_multi_head_attention.ipynb").unlink()
    said = told("MultiHeadAttention", "Encoder")
    assert said["MultiHeadAttention"] == "the reference. 03_multi_head_attention.ipynb is not in this folder."
    assert said["Encoder"] == "yours."


@pytest.mark.parametrize("content, reason", [
    ("{", "is no notebook: broken, or cut off"), ("", "is empty"), ("[]", "is no notebook: it has no cells"),
])  # fmt: skip
def test_a_broken_notebook_is_said(learner, told, content, reason):
    (learner() / "05_encoder_block.ipynb").write_text(content)
    assert told("Encoder")["Encoder"] == f"the reference. 05_encoder_block.ipynb {reason}."


def test_a_cell_that_is_gone_is_said_and_one_that_lost_its_identifier_is_found(learner, told):
    path = learner() / "05_encoder_block.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"] = [cell for cell in notebook["cells"] if not "".join(cell["source"]).startswith("class FeedF")]
    for cell in notebook["cells"]:
        cell["metadata"] = {}
    path.write_text(json.dumps(notebook))
    said = told("FeedForward", "Encoder")
    assert said == {"FeedForward": "the reference. Its cell is not in 05_encoder_block.ipynb.", "Encoder": "yours."}


def test_of_two_cells_the_last_counts_as_in_a_notebook_run_from_top_to_bottom(learner, told):
    path = learner(FeedForward=None) / "05_encoder_block.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(inspect.getsource(reference("FeedForward"))))
    nbformat.write(notebook, path)
    assert told("FeedForward")["FeedForward"] == "yours."


def test_a_notebook_from_nbgraders_exchange_is_found(learner, told, monkeypatch):
    root = learner()
    for name in ("05_encoder_block", "07_masked_language_modelling"):
        (root / name).mkdir()
    (root / "05_encoder_block.ipynb").rename(root / "05_encoder_block" / "05_encoder_block.ipynb")
    monkeypatch.chdir(root / "07_masked_language_modelling")
    assert told("Encoder")["Encoder"] == "yours."


def test_what_their_cells_print_and_set_stays_out_of_the_lesson(learner, told):
    noisy = "print('noise')\ntorch.manual_seed(3)\ntorch.set_default_dtype(torch.float64)\n"
    learner(Encoder=noisy + inspect.getsource(reference("Encoder")))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert told("Encoder")["Encoder"] == "yours."
    assert "noise" not in told.printed
    assert torch.get_default_dtype() == torch.float32 and torch.equal(torch.get_rng_state(), before)


def test_in_grading_it_is_the_reference(learner, told, monkeypatch):
    learner()
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    told(*KNOWN)
    assert told.printed == "The reference for all parts, as always in grading\n"
    assert all(told.values[name] is reference(name) for name in KNOWN)


def test_one_word_turns_it_off(learner, told):
    learner()
    told(*KNOWN, own=False)
    assert told.printed == "The reference for all parts, because of own=False\n"
    assert all(told.values[name] is reference(name) for name in KNOWN)


def test_among_the_courses_own_solutions_it_is_the_reference(told, monkeypatch):
    monkeypatch.chdir(ROOT / "solutions")
    assert {said.partition(". ")[0] for said in told(*KNOWN).values()} == {"the reference"}
    assert all(told.values[name] is reference(name) for name in KNOWN)


def test_an_unknown_name_is_refused():
    with pytest.raises(UnmaskedError, match="no part Decoder to carry on, only MultiHeadAttention, "):
        carry_on("Decoder")


def test_a_lesson_that_runs_beside_their_notebooks_loads_real_weights_into_their_own_parts(learner):
    """Lesson 09 up to the comparison with what `transformers` computes."""
    folder = learner(**VARIANTS)
    notebook = read("solutions", "09")
    last = next(i for i, cell in enumerate(notebook.cells) if "first difference from transformers" in cell.source)
    notebook.cells = notebook.cells[: last + 1]
    environment = {name: value for name, value in os.environ.items() if name != "NBGRADER_EXECUTION"}
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    panel = next(
        output.data for output in outputs if "parts are your own" in output.get("data", {}).get("text/plain", "")
    )
    assert panel["text/plain"].count("): yours.") == 4 == panel["text/html"].count("✓ yours")
    printed = "".join(output.get("text", "") for output in outputs)
    assert "first difference from transformers: None" in printed
