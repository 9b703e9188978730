"""Small networks on one vector a chain: of one chain, or of two, in either order the same or not."""

from __future__ import annotations

import torch
import torch.nn as nn


class VectorProbe(nn.Module):
    """Logistic regression, or one hidden layer.

    Hyper-parameters
    ----------------
    n_values: channels. n_classes: logits. width: of the hidden layer; 0 for none. dropout: before the last layer.
    """

    def __init__(self, n_values: int, *, n_classes: int, width: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(n_values, affine=False)
        self.head = _head(n_values, n_classes, width, dropout)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return (B, n_classes) logits from (B, n_values)."""
        return self.head(self.norm(values))


class PairProbe(nn.Module):
    """One logit of two chains.

    Symmetric: from the sum, the absolute difference and the product of their channels, which are the same in either
    order; otherwise from the first, the second and the product.

    Hyper-parameters
    ----------------
    n_values: channels of one chain. width: channels that those of a chain are turned into first (by one matrix for
    both if symmetric), and of the hidden layer; 0 for a logistic regression on the channels as they are.
    """

    def __init__(self, n_values: int, *, symmetric: bool, width: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.symmetric = symmetric
        n_sides = 1 if symmetric else 2  # the two chains are different things, and their channels differ in size
        self.norm = nn.ModuleList(nn.BatchNorm1d(n_values, affine=False) for _ in range(n_sides))
        self.enter = nn.ModuleList(nn.Linear(n_values, width) if width else nn.Identity() for _ in range(n_sides))
        self.head = _head(3 * (width or n_values), 1, width, dropout)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Return (B, 1) logits from (B, n_values) of each chain."""
        if self.symmetric:
            # One batch of both, so that the moments of the norm do not depend on the order.
            both = self.enter[0](self.norm[0](torch.cat([first, second])))
            one, two = both.split(len(first))
            return self.head(torch.cat([one + two, (one - two).abs(), one * two], dim=1))
        one, two = (self.enter[k](self.norm[k](side)) for k, side in enumerate((first, second)))
        return self.head(torch.cat([one, two, one * two], dim=1))


def _head(n_values: int, n_classes: int, width: int, dropout: float) -> nn.Module:
    if not width:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(n_values, n_classes))
    return nn.Sequential(nn.Linear(n_values, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, n_classes))
