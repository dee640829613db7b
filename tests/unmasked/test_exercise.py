"""The engine, on a made-up exercise: double every number."""

import html

import numpy
import pytest
import torch
from torch import nn

from unmasked import panel
from unmasked.attempt import Generator, Once, Part, _namespace
from unmasked.criteria import close, holds, shaped, tensor
from unmasked.exercise import Exercise, exercise, exercises_of
from unmasked.lessons import LESSONS

SELF_ATTENTION = next(lesson for lesson in LESSONS if lesson.topic == "self_attention")


def edit_in_place(x):
    return x.mul_(2)


@exercise(
    points=3,
    by_hand=["softmax"],
    mistakes={
        "You add 2.": lambda x: x + 2,
        "You square.": lambda x: x * x,
        "You forget the large numbers.": lambda x: x * 2 if x.abs().max() < 50 else x,
        "You change the input.": edit_in_place,
    },
)
def double(attempt):
    x = tensor(2, 3)
    doubled = attempt(x)
    yield shaped(doubled, B=2, T=3)
    yield close(doubled, x + x, "every number is doubled", "Numbers are not doubled.", earns=2)
    yield close(attempt(x * 100), x * 200, "large numbers too", "Large numbers are not doubled.")


def test_full_marks_only_when_every_criterion_holds():
    verdict = double(lambda x: x + x)
    assert (verdict.points, verdict.max_points, verdict.passed, verdict.diagnosis) == (3, 3, True, None)
    assert repr(verdict) == "3.0" and float(verdict) == 3


def test_points_earned_are_kept_when_an_edge_case_fails():
    verdict = double(lambda x: x * 2 if x.abs().max() < 50 else x * 3)
    assert (verdict.points, verdict.passed, verdict.diagnosis) == (2, False, "Large numbers are not doubled.")


def test_a_known_mistake_written_differently_is_recognized():
    assert double(lambda x: torch.stack([row**2 for row in x])).diagnosis == "You square."


def test_a_known_mistake_with_other_seeds_is_recognized():
    assert double(lambda x: x**2, seed=5).diagnosis == "You square."


def test_an_unknown_mistake_gets_the_criterion_that_fails():
    assert double(lambda x: x * 7).diagnosis == "Numbers are not doubled."


def test_two_mistakes_are_not_taken_for_one():
    assert double(lambda x: (x * x).double()).diagnosis.startswith("The result holds torch.float64")


def test_a_long_value_is_cut_in_the_panel_and_never_inside_of_an_entity():
    from_quotes = panel._value(["'" * each for each in range(40)])
    shown = html.unescape(from_quotes)
    assert shown.endswith(" …</code>") and len(shown) < 330 and "&" not in shown


def test_the_panel_shows_expected_beside_received_and_frames_what_differs():
    html = double(lambda x: x * 7)._repr_html_()
    assert "expected" in html and "received" in html and "2px solid" in html


def test_the_panel_writes_huge_numbers_shortly():
    html = double(lambda x: torch.full_like(x, torch.finfo(x.dtype).min))._repr_html_()
    assert "-3.4e+38" in html and "340282" not in html


def test_what_the_code_prints_is_shown_in_the_panel_only(capfd):
    def talkative(x):
        print("<hello>")
        return x + x

    assert "&lt;hello&gt;" in double(talkative)._repr_html_()
    assert capfd.readouterr() == ("", "")


def test_a_ready_made_function_is_caught_even_inside_a_module():
    def cheat(x):
        nn.Softmax(dim=-1)(x)
        return x + x

    assert "ready-made `softmax`" in double(cheat).diagnosis


@pytest.mark.parametrize(
    "wrong, label",
    [
        (lambda x: x.softmax(-1), "it is written by hand"),
        (lambda x: x.mul_(3), "it leaves its arguments as they are"),
        (lambda x: x @ x, "it runs"),
    ],
    ids=["ready-made", "in place", "an error"],
)
def test_the_criterion_that_fails_says_what_failed(wrong, label):
    assert double(wrong).criteria[-1].sentence == label


@exercise(points=1, mistakes={})
def half(attempt):
    yield holds(attempt(1) == 0.5, "a half of 1", "Not a half.")


@pytest.mark.parametrize("kind", [numpy.float32, numpy.float64, numpy.float16])
def test_a_number_of_numpy_is_a_number(kind):
    assert half(lambda x: kind(x / 2)).passed


class OwnError(ValueError):
    pass


class PlainError(Exception):
    pass


def fails_with(error):
    def fails(x):
        raise error

    return fails


def test_an_error_of_the_learners_own_says_which_of_pythons_it_is():
    assert "OwnError (a ValueError): too much." in double(fails_with(OwnError("too much"))).diagnosis
    assert "PlainError: too much." in double(fails_with(PlainError("too much"))).diagnosis
    assert "It raised an error. ValueError: too much." in double(fails_with(ValueError("too much"))).diagnosis


def test_an_error_message_says_where_in_the_learners_code():
    def fails(x):
        return x @ x

    diagnosis = double(fails).diagnosis
    assert "RuntimeError" in diagnosis and "`return x @ x`" in diagnosis


def test_part_of_a_solution_is_not_an_untouched_one():
    def half(x):
        if x.abs().max() > 50:
            raise NotImplementedError()
        return x + x

    verdict = double(half)
    assert verdict.attempted and "not written yet" in verdict.diagnosis


def test_the_learners_random_numbers_do_not_change_the_notebooks():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    double(lambda x: x + x + 0 * torch.rand(2, 3))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_bug_of_the_check_is_no_traceback():
    @exercise(points=1, mistakes={})
    def broken(attempt):
        yield holds(attempt(1)["missing"], "it holds", "It does not hold.")

    verdict = broken(lambda x: {})
    assert verdict.points == 0 and "can't make sense" in verdict.diagnosis


def test_modules_are_built_loaded_called_and_differentiated_through_the_attempt():
    seen = {}

    @exercise(points=1, mistakes={})
    def scale(attempt):
        module = attempt.build(Part("Linear", (2, 2), {"weight": torch.eye(2), "bias": torch.zeros(2)}))
        seen["unfit"] = module.load({"factor": torch.tensor(3.0), "missing": torch.ones(1)})
        seen["output"] = module(torch.ones(1, 2))
        seen["gradients"] = module.gradients(torch.ones(1, 2))
        yield holds(True, "it works", "")

    class Scale(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.factor = nn.Parameter(torch.tensor(1.0))
            self.inner = inner

        def forward(self, x):
            return self.inner(x) * self.factor

    assert scale(Scale).passed
    assert seen["unfit"] == ["missing"]
    assert torch.equal(seen["output"], torch.tensor([[3.0, 3.0]]))
    signal = torch.tensor([1.0, 2.0]).sin()
    torch.testing.assert_close(seen["gradients"]["parameters"]["factor"], signal.sum())
    torch.testing.assert_close(seen["gradients"]["arguments"][0], 3 * signal[None])


def test_a_generator_is_made_new_for_each_request():
    drawn = []

    @exercise(points=1, mistakes={})
    def draw(attempt):
        drawn.extend([attempt(Generator(4)), attempt(Generator(4))])
        yield holds(True, "it draws", "")

    draw(lambda generator: torch.rand(3, generator=generator))
    expected = torch.rand(3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(drawn[0], expected) and torch.equal(drawn[1], expected)


def test_batches_can_be_gone_through_once_and_each_is_gone_when_the_next_is_asked_for():
    sums = []

    @exercise(points=1, mistakes={})
    def add_up(attempt):
        sums.extend(attempt(Once([(torch.tensor(1), torch.tensor(5)), (torch.tensor(2), torch.tensor(7))])))
        yield holds(True, "it adds up", "")

    add_up(lambda batches: [int(a + b) for a, b in batches] + list(batches))
    add_up(lambda batches: [int(a + b) for a, b in list(batches)])
    assert sums == [6, 9, 9, 9]


NOTEBOOK = """
def masked_attention_weights(query, key, key_padding_mask=None):
    {body}

class SelfAttention(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(d_model, d_model, bias=False) for _ in range(3))

    def forward(self, x, mask=None):
        return masked_attention_weights(self.query(x), self.key(x), mask) @ self.value(x)
"""


@pytest.mark.parametrize("body", ["raise NotImplementedError()", "return (query @ key.mT).softmax(-1)"])
def test_a_wrong_earlier_exercise_costs_its_own_points_only(body):
    notebook = {"nn": nn}
    exec(NOTEBOOK.format(body=body), notebook)
    mine = notebook["masked_attention_weights"]
    checks = exercises_of(SELF_ATTENTION)
    verdict = checks["SelfAttention"](notebook["SelfAttention"])
    assert verdict.passed and any("`masked_attention_weights`" in note for note in verdict.notes)
    assert not checks["masked_attention_weights"](mine).passed
    assert notebook["masked_attention_weights"] is mine


def test_an_earlier_exercise_whose_cell_has_not_run_costs_nothing_here():
    notebook = {"nn": nn}
    exec(NOTEBOOK.format(body="pass"), notebook)
    del notebook["masked_attention_weights"]
    verdict = exercises_of(SELF_ATTENTION)["SelfAttention"](notebook["SelfAttention"])
    assert verdict.passed and any("`masked_attention_weights` is not there" in note for note in verdict.notes)
    assert "masked_attention_weights" not in notebook


def test_a_stand_in_also_reaches_a_decorated_function():
    notebook = {"torch": torch}
    exec("def helper(x):\n    return x\n\n@torch.no_grad()\ndef attempt(x):\n    return helper(x)", notebook)
    assert _namespace(notebook["attempt"]) is notebook


def test_exercises_come_in_the_order_of_the_lesson():
    assert list(exercises_of(SELF_ATTENTION)) == [
        "similarity_scores", "attention_weights", "weighted_average", "masked_attention_weights", "SelfAttention",
    ]  # fmt: skip
    assert all(isinstance(e, Exercise) for e in exercises_of(SELF_ATTENTION).values())
