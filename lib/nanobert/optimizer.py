"""The optimizer: Muon for matrices that multiply, AdamW for everything else.

P rows and Q columns of a matrix.
"""

from collections import defaultdict

import torch

# a x + b x^3 + c x^5, taken four times, brings every x from 0.01 to 1 near to 1 (0.68 to 1.20).
A, B, C = 3.4445, -4.7750, 2.0315


def orthogonalize(matrices, steps=4):
    """Bring the singular values of each matrix near to 1 and keep its singular vectors.  (N, P, Q) -> (N, P, Q)

    N matrices of one shape. A product and what is added to it are one call: the same numbers, read and written once.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks" (Newton-Schulz iteration).
    """
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)  # so that no singular value exceeds 1
    for _ in range(steps):
        square = x @ x.mT  # N, P, P
        polynomial = torch.baddbmm(square, square, square, beta=B, alpha=C)  # B square + C square^2
        x = torch.baddbmm(x, polynomial, x, beta=A)  # A x + polynomial x
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
            matrices = [matrix for matrix in group["params"] if matrix.grad is not None]
            if not matrices:
                continue
            alike = defaultdict(list)
            for matrix, update in zip(matrices, self._momentum(matrices, group["momentum"])):
                alike[tuple(sorted(matrix.shape))].append((matrix, _wide(update)))
            for pairs in alike.values():
                updates = orthogonalize(torch.stack([update for _, update in pairs]))
                for (matrix, _), update in zip(pairs, updates):
                    tallness = max(1, matrix.shape[0] / matrix.shape[1])
                    update = update if matrix.shape == update.shape else update.mT
                    matrix.sub_(update, alpha=group["lr"] * tallness**0.5)

    def _momentum(self, matrices, momentum):
        """Add every gradient to its average; return how far each matrix would move, Nesterov's look ahead included."""
        for matrix in matrices:
            if not self.state[matrix]:
                self.state[matrix]["average"] = torch.zeros_like(matrix)
        averages = [self.state[matrix]["average"] for matrix in matrices]
        gradients = [matrix.grad for matrix in matrices]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)  # all in one call, as torch.optim does it
        return torch._foreach_lerp(gradients, averages, momentum)


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
