"""The optimizer: Muon for matrices that multiply, AdamW for everything else.

P rows and Q columns of a matrix.
"""

from collections import defaultdict

import torch

# a x + b x^3 + c x^5, taken four times, brings every x from 0.01 to 1 near to 1 (0.68 to 1.20).
A, B, C = 3.4445, -4.7750, 2.0315


def orthogonalize(matrices, steps=4):
    """Bring the singular values of each matrix near to 1 and keep its singular vectors.  (..., P, Q) -> (..., P, Q)

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks" (Newton-Schulz iteration).
    """
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)  # so that no singular value exceeds 1
    for _ in range(steps):
        square = x @ x.mT  # ..., P, P
        x = A * x + (B * square + C * square @ square) @ x  # ..., P, Q
    return x


class Muon(torch.optim.Optimizer):
    """Momentum, with each update orthogonalized: a matrix moves equally far in all its directions.

    `torch.optim.Muon` does the same one matrix at a time and in bfloat16, which takes a CPU 20 times as long.
    Source: Jordan et al. 2024.
    """

    def __init__(self, matrices, lr=0.02, momentum=0.95):
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        """Move every matrix once; matrices of one shape, tall ones lying on their side, are orthogonalized together."""
        for group in self.param_groups:
            alike = defaultdict(list)
            for matrix in (matrix for matrix in group["params"] if matrix.grad is not None):
                alike[tuple(sorted(matrix.shape))].append(matrix)
            for matrices in alike.values():
                updates = torch.stack([_wide(self._momentum(matrix, group["momentum"])) for matrix in matrices])
                for matrix, update in zip(matrices, orthogonalize(updates)):
                    tallness = max(1, matrix.shape[0] / matrix.shape[1])
                    update = update if matrix.shape == update.shape else update.mT
                    matrix.sub_(update, alpha=group["lr"] * tallness**0.5)

    def _momentum(self, matrix, momentum):
        state = self.state[matrix]
        if not state:
            state["average"] = torch.zeros_like(matrix)
        state["average"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(state["average"], momentum)  # Nesterov's: look one step ahead


def _wide(matrix):
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT


def build_optimizers(model, recipe):
    """The two optimizers of a model, over all its parameters; each group knows its `peak` learning rate.

    Embeddings, and with them the decoder that shares their weights, are looked up row by row: they stay with AdamW.
    """
    embeddings = set(model.embeddings.parameters())
    # An optimizer's state goes by number: sorted, so that a checkpoint fits parts with layers in any order.
    weights = [weight for _, weight in sorted(model.named_parameters())]
    matrices = [weight for weight in weights if weight.ndim == 2 and weight not in embeddings]
    others = [weight for weight in weights if weight not in set(matrices)]
    muon = Muon([{"params": matrices, "peak": recipe.muon_peak}])
    adamw = torch.optim.AdamW(
        [{"params": others, "peak": recipe.peak}], betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True
    )
    return muon, adamw
