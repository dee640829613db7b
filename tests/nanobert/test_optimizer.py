"""Muon, against PyTorch's own and against the singular value decomposition."""

import pytest
import torch
from torch import nn

from nanobert.masked_lm import build_masked_lm
from nanobert.optimizer import Muon, build_optimizers, orthogonalize
from nanobert.recipe import Recipe


@pytest.mark.parametrize("shape", [(1, 20, 30), (3, 24, 24), (2, 5, 80)])
def test_singular_values_come_near_to_1_and_singular_vectors_stay(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape) * torch.tensor([0.001, 1.0, 1000.0][: shape[0]]).view(-1, 1, 1)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    result = left.mT @ orthogonalize(matrices) @ right.mT  # the result in the singular vectors' own coordinates
    new_values = result.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(result, torch.diag_embed(new_values), rtol=0, atol=2e-3)
    large = values > 0.02 * torch.linalg.matrix_norm(matrices, keepdim=True)[..., 0]
    assert new_values[large].min() > 0.6 and new_values.max() < 1.3


def test_steps_are_those_of_pytorchs_muon():
    torch.manual_seed(0)
    start = [torch.randn(shape) for shape in [(12, 12), (12, 12), (48, 12), (12, 48)]]
    ours, theirs = ([nn.Parameter(matrix.clone()) for matrix in start] for _ in range(2))
    optimizers = Muon(ours, lr=0.1), torch.optim.Muon(theirs, lr=0.1, weight_decay=0.0, ns_steps=4)
    for _ in range(3):
        for mine, its in zip(ours, theirs):
            mine.grad = torch.randn_like(mine)
            its.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, its in zip(ours, theirs):
        torch.testing.assert_close(mine, its, rtol=0, atol=0.02)  # theirs is bfloat16, with 3 decimal digits


def test_a_matrix_without_a_gradient_stays():
    matrices = [nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(2, 3))]
    muon = Muon(matrices)
    muon.step()
    assert torch.equal(matrices[0], torch.ones(2, 3))
    matrices[0].grad = torch.randn(2, 3)
    muon.step()
    assert not torch.equal(matrices[0], matrices[1]) and torch.equal(matrices[1], torch.ones(2, 3))


def test_every_parameter_has_one_optimizer_and_muon_has_every_matrix_but_embeddings():
    recipe = Recipe(vocab_size=50, d_model=16, heads=2, layers=2, max_tokens=8)
    model = build_masked_lm(50, 16, 2, 2, 8)
    muon, adamw = build_optimizers(model, recipe)
    by_muon, by_adamw = ([p for group in o.param_groups for p in group["params"]] for o in (muon, adamw))
    assert sorted(map(id, by_muon + by_adamw)) == sorted(map(id, model.parameters()))
    assert len(by_muon) == 2 * 6 + 1 and all(p.ndim == 2 and 50 not in p.shape for p in by_muon)
    assert (muon.param_groups[0]["peak"], adamw.param_groups[0]["peak"]) == (recipe.muon_peak, recipe.peak)
