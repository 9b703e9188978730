"""Our own network for interaction sites: residues that hear their neighbours in space, several times over."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from tertia.nn.message_passing import mean_by
from tertia.nn.residue_graph import N_EDGE_VALUES, N_RESIDUE_VALUES, N_STATES, SEPARATIONS, Graph
from tertia.residues import N_INDICES


class Round(nn.Module):
    """Each edge speaks from both of its ends, each residue adds what it hears to what it knows."""

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        # What the ends say is computed once a residue, not once an edge.
        self.ends = nn.Linear(width, 2 * width, bias=False)
        self.between = nn.Linear(width, width)
        self.speak = nn.Sequential(nn.SiLU(), nn.Linear(width, width))
        self.gate = nn.Linear(width, width)
        self.hear = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )

    def forward(self, node: torch.Tensor, edge: torch.Tensor, graph: Graph) -> torch.Tensor:
        """Return residues (N, C) for the same; edge (E, C)."""
        known = self.norm(node)
        source, sink = self.ends(known).chunk(2, dim=-1)
        ends = source.index_select(0, graph.source) + sink.index_select(0, graph.sink)
        message = self.speak(ends + self.between(edge))
        heard = mean_by(message * torch.sigmoid(self.gate(edge)), graph.sink, len(node))
        return node + self.hear(torch.cat([known, heard], dim=-1))


class InterfaceNetwork(nn.Module):
    """Residue graph in, one logit a residue out.

    Hyper-parameters
    ----------------
    n_residue, n_pair: channels behind the values of residues and of edges (profiles, embeddings).
    width: channels inside. n_rounds: how far a residue hears, in edges. dropout: share of values left out.
    n_radial: radial bases of the distance, over 0 to 12 Angstrom.
    """

    def __init__(
        self, *, n_residue: int = 0, n_pair: int = 0, width: int = 64, n_rounds: int = 3, dropout: float = 0.3,
        n_radial: int = 16,
    ) -> None:  # fmt: skip
        super().__init__()
        self.letter = nn.Embedding(N_INDICES, width)
        self.state = nn.Embedding(N_STATES, width)
        self.separation = nn.Embedding(len(SEPARATIONS) + 1, width)
        self.node = nn.Linear(N_RESIDUE_VALUES + n_residue, width)
        self.register_buffer("centres", torch.linspace(0.0, 12.0, n_radial), persistent=False)
        self.edge = nn.Linear(N_EDGE_VALUES + n_pair + n_radial, width)
        self.dropout = nn.Dropout(dropout)
        self.rounds = nn.ModuleList(Round(width, dropout=dropout) for _ in range(n_rounds))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 1)

    def forward(self, graph: Graph) -> torch.Tensor:
        """Return (N,) logits."""
        node = self.letter(graph.letter) + self.state(graph.state) + self.node(self.dropout(graph.values))
        radial = torch.exp(-(graph.distance.nan_to_num(1e3)[:, None] - self.centres).square())
        edge = self.edge(torch.cat([self.dropout(graph.geometry), radial], dim=-1)) + self.separation(graph.separation)
        edge = F.silu(edge)
        for one in self.rounds:
            node = one(node, edge, graph)
        return self.out(self.norm(node))[:, 0]


def site_loss(logit: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return the mean binary cross entropy; residues of unknown label, NaN, do not count."""
    known = torch.isfinite(true)
    return F.binary_cross_entropy_with_logits(logit[known], true[known])
