"""The language model that lesson 08 begins with: the file that ships, the learner's own, and when which is taken."""

from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save_file

from nanobert.checkpoint import save_checkpoint
from nanobert.masked_lm import build_masked_lm
from nanobert.recipe import RECIPES
from unmasked.data import language_model as module
from unmasked.data.language_model import checksum_of, load_language_model, measure, tokenizer_of
from unmasked.errors import UnmaskedError
from unmasked.publishing.language_model import ship

RECIPE = RECIPES["cpu"]


@pytest.fixture
def learner(monkeypatch, tmp_path):
    """At a learner's, with a place for checkpoints."""
    monkeypatch.delenv("UNMASKED_BUDGET", raising=False)
    monkeypatch.delenv("UNMASKED_CHECKPOINT", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def shipped():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNMASKED_CHECKPOINT", "shipped")
        return load_language_model(say=lambda line: None)


def checkpoint(path, recipe, state):
    save_checkpoint({"recipe": asdict(recipe), "model": state, "progress": (recipe.steps, 1.0, [])}, path)


def test_the_shipped_model_has_the_loss_that_it_says(shipped):
    assert measure(shipped.state) == pytest.approx(shipped.loss, abs=2e-3)
    assert shipped.loss < 2.55 and f"{shipped.loss:.2f} nats" in shipped.provenance
    assert "World English Bible" in shipped.provenance and "3,400 steps" in shipped.provenance


def test_the_shipped_model_is_small():
    assert module.resources.files("unmasked.data").joinpath(module.SHIPPED).stat().st_size < 1.5e6


def test_a_model_without_pretraining_is_of_the_same_kind_and_follows_the_seed(shipped):
    one, same, other, trained = (shipped.build(seed, pretrained) for seed, pretrained in
                                 ((3, False), (3, False), (4, False), (3, True)))  # fmt: skip
    shapes = {name: value.shape for name, value in trained.state_dict().items()}
    assert {name: value.shape for name, value in one.state_dict().items()} == shapes
    weights = [model.state_dict()["encoder.blocks.0.attention.query.weight"] for model in (one, same, other, trained)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[3])


def test_a_learners_own_model_is_taken_and_told(learner, shipped):
    path = learner / "07_123.pt"
    checkpoint(path, RECIPE, shipped.build().state_dict())
    said = []
    own = load_language_model(learner, said.append)
    assert own.provenance.startswith("Your own model from lesson 07") and said == [own.provenance]
    assert str(path) in own.provenance and own.loss == pytest.approx(shipped.loss, abs=1e-3)


@pytest.mark.parametrize("name", ["UNMASKED_BUDGET", "UNMASKED_CHECKPOINT"])
def test_in_tests_and_publishing_it_is_the_shipped_one(learner, shipped, monkeypatch, name):
    checkpoint(learner / "07_123.pt", RECIPE, shipped.build().state_dict())
    monkeypatch.setenv(name, "test" if name.endswith("BUDGET") else "shipped")
    assert load_language_model(learner, lambda line: None).provenance == shipped.provenance


def test_what_does_not_fit_is_told_and_the_shipped_one_is_taken(learner, shipped):
    (learner / "07_1.pt").write_text("nonsense")
    checkpoint(learner / "07_2.pt", replace(RECIPE, d_model=64), {})
    untrained = build_masked_lm(**RECIPE.sizes).state_dict()
    checkpoint(learner / "07_3.pt", RECIPE, untrained)
    said = []
    assert load_language_model(learner, said.append).provenance == shipped.provenance
    told = dict(line.split(" is not used: ") for line in said[:-1])
    assert "no checkpoint" in told[str(learner / "07_1.pt")]
    assert "cpu recipe's size" in told[str(learner / "07_2.pt")]
    assert "another text, or hardly at all" in told[str(learner / "07_3.pt")]


@pytest.mark.parametrize("metadata", [{}, {"facts": "{"}, {"facts": "[]"}, {"facts": '{"loss": 1}'}], ids=str)
def test_a_file_of_something_else_is_told_with_what_to_do(monkeypatch, tmp_path, metadata):
    save_file({"embeddings.token.weight": torch.zeros(2)}, tmp_path / "foreign.safetensors", metadata)
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "foreign.safetensors")
    with pytest.raises(UnmaskedError, match="missing or damaged: run pip"):
        module._shipped()


def test_a_damaged_or_unfitting_file_is_told_with_what_to_do(monkeypatch, tmp_path, shipped):
    monkeypatch.setattr(module, "SHIPPED", "nothing.safetensors")
    with pytest.raises(UnmaskedError, match="missing or damaged: run pip"):
        module._shipped()
    monkeypatch.undo()
    monkeypatch.setattr(module, "checksum_of", lambda tokenizer: "of another vocabulary")
    with pytest.raises(UnmaskedError, match="does not fit .* run python -m unmasked.publishing.language_model"):
        module._shipped()


def test_the_file_can_be_made_again_from_a_checkpoint(tmp_path, shipped, monkeypatch):
    checkpoint(tmp_path / "07_1.pt", RECIPE, shipped.build().state_dict())
    said = ship(tmp_path / "07_1.pt", tmp_path / "model.safetensors")
    assert said == shipped.provenance
    again = (tmp_path / "model.safetensors").read_bytes()
    assert again == module.resources.files("unmasked.data").joinpath(module.SHIPPED).read_bytes()


def test_no_checkpoint_and_one_of_another_recipe_are_told(tmp_path):
    with pytest.raises(UnmaskedError, match="There is no checkpoint"):
        ship(tmp_path / "07_1.pt", tmp_path / "model.safetensors")
    checkpoint(tmp_path / "07_1.pt", replace(RECIPE, layers=2), {})
    with pytest.raises(UnmaskedError, match="not of the cpu recipe"):
        ship(tmp_path / "07_1.pt", tmp_path / "model.safetensors")


def test_two_vocabularies_have_two_checksums():
    assert checksum_of(tokenizer_of(RECIPE.vocab_size)) != checksum_of(tokenizer_of(500))
