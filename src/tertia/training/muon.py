"""Muon (Jordan et al., 2024): matrices move by their momentum made orthogonal, so that every direction learns alike.

torch has one of its own, for matrices only and in bfloat16, which most processors have to emulate. This one takes
convolution kernels too, as matrices of output channels against the rest, and works in single precision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial that takes all singular values of 0.01-1 to 0.7-1.2 within five steps (Jordan et al.)."""
N_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay, for parameters of two axes or more.

    The length of an update is that of the original: learning rate times max(1, rows / columns)^(1/2) a singular value.
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            if any(parameter.ndim < 2 for parameter in group["params"]):
                raise ValueError("Muon takes parameters of two axes or more")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[torch.nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for parameters in alike.values():
                self._move(parameters, group)

    def _move(self, parameters: list[torch.nn.Parameter], group: dict) -> None:
        """Move parameters of one shape together: one product of many small matrices instead of many products."""
        gradients = [parameter.grad for parameter in parameters]
        averages = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in parameters]
        torch._foreach_lerp_(averages, gradients, 1.0 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, averages, group["momentum"])
        matrices = torch.stack([update.flatten(1) for update in ahead])  # (N, rows, columns)
        length = group["lr"] * max(1.0, matrices.shape[1] / matrices.shape[2]) ** 0.5
        updates = [update.view_as(parameters[0]) for update in orthogonalise(matrices)]
        torch._foreach_mul_(parameters, 1.0 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, updates, alpha=-length)


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """Return (N, rows, columns) near U V^T of each matrix U S V^T, by Newton and Schulz's iteration."""
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide / (wide.norm(dim=(1, 2), keepdim=True) + 1e-7)  # no singular value above 1
    a, b, c = COEFFICIENTS
    for _ in range(N_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrices.shape[1] <= matrices.shape[2] else x.mT
