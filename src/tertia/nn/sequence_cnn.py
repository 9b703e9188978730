"""A small dilated convolution over the residues of chains without coordinates."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from tertia.nn.message_passing import mean_by
from tertia.nn.residue_graph import Graph
from tertia.nn.window_probe import windows
from tertia.residues import N_INDICES


class SequenceCnn(nn.Module):
    """Residual blocks of three residues each, 1, 2, 4 ... apart: with five blocks a residue hears 31 on either side.

    Chains stand one behind the other, not padded: a block takes windows that end where a chain ends, which on unequal
    lengths costs less than padding.

    Hyper-parameters
    ----------------
    n_values: channels of a residue beside its letter. n_residue, n_protein: scores of residues, and of proteins (from
    the mean and the maximum of their residues). width, n_blocks, dropout: of the network.
    """

    def __init__(
        self, n_values: int, *, n_residue: int, n_protein: int, width: int = 64, n_blocks: int = 5, dropout: float = 0.1
    ) -> None:  # fmt: skip
        super().__init__()
        self.n_residue = n_residue
        self.norm = nn.BatchNorm1d(n_values, affine=False)
        self.enter = nn.Linear(N_INDICES + n_values, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n_blocks))
        self.blocks = nn.ModuleList(nn.Linear(3 * width, width) for _ in range(n_blocks))
        self.drop = nn.Dropout(dropout)
        self.residue = nn.Linear(width, n_residue) if n_residue else None
        self.protein = nn.Linear(2 * width, n_protein) if n_protein else None

    def forward(self, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N, n_residue) and (B, n_protein) logits."""
        letters = F.one_hot(graph.letter, N_INDICES).float()
        x = self.enter(torch.cat([letters, self.norm(graph.values)], dim=1))  # (N, width)
        for number, (norm, block) in enumerate(zip(self.norms, self.blocks, strict=True)):
            x = x + self.drop(block(windows(F.relu(norm(x)), graph.model, 1, step=2**number)))
        residue = x.new_zeros(len(x), 0) if self.residue is None else self.residue(x)
        if self.protein is None:
            return residue, x.new_zeros(graph.n_models, 0)
        place = graph.model[:, None].expand_as(x)
        most = x.new_zeros(graph.n_models, x.shape[1]).scatter_reduce(0, place, x, "amax", include_self=False)
        return residue, self.protein(torch.cat([mean_by(x, graph.model, graph.n_models), most], dim=1))
