"""A linear model of a residue and its neighbours in sequence: a baseline of every task, and the probe of embeddings."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from tertia.nn.message_passing import mean_by
from tertia.nn.residue_graph import Graph
from tertia.residues import N_INDICES


class WindowProbe(nn.Module):
    """Logistic regression on a window.

    Hyper-parameters
    ----------------
    n_values: channels of a residue. reach: residues on each side of the window.
    n_residue, n_protein: scores of residues, and of proteins (from the mean of their windows).
    """

    def __init__(self, n_values: int, *, n_residue: int, n_protein: int, reach: int = 3) -> None:
        super().__init__()
        self.reach = reach
        self.norm = nn.BatchNorm1d(n_values, affine=False)
        size = (2 * reach + 1) * (N_INDICES + n_values)
        self.residue = nn.Linear(size, n_residue)
        self.protein = nn.Linear(size, n_protein) if n_protein else None

    def forward(self, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N, n_residue) and (B, n_protein) logits."""
        letters = F.one_hot(graph.letter, N_INDICES).float()
        window = windows(torch.cat([letters, self.norm(graph.values)], dim=1), graph.model, self.reach)
        if self.protein is None:
            return self.residue(window), window.new_zeros(graph.n_models, 0)
        return self.residue(window), self.protein(mean_by(window, graph.model, graph.n_models))


def windows(values: torch.Tensor, protein: torch.Tensor, reach: int, *, step: int = 1) -> torch.Tensor:
    """Return (N, (2 reach + 1) C): each row beside its neighbours, zero where they belong to another protein.

    With a step only every so many rows are taken, up to `reach * step` away.
    """
    n_rows, edge = len(values), reach * step
    padded = F.pad(values, (0, 0, edge, edge))
    owner = F.pad(protein, (edge, edge), value=-1)
    parts = [
        padded[k : k + n_rows] * (owner[k : k + n_rows] == protein)[:, None].to(values.dtype)
        for k in range(0, 2 * edge + 1, step)
    ]
    return torch.cat(parts, dim=1)
