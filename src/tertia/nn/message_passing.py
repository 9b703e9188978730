"""Messages between residues, the edges that join them, and the whole model, as in GraphQA (Baldassarre et al. 2021)."""

from __future__ import annotations

import torch
import torch.nn as nn

from tertia.nn.residue_graph import Graph


class Layer(nn.Module):
    """One round: edges hear their source, residues the mean of their edges, the model the means of both."""

    def __init__(self, sizes: tuple[int, int, int], wanted: tuple[int, int, int], *, dropout: float) -> None:
        super().__init__()
        of_edge, of_node, of_model = sizes
        edge, node, model = wanted
        # One matrix in three parts: what residues and models say is computed once for each, not once for each edge.
        self.from_node = nn.Linear(of_node, edge, bias=False)
        self.from_edge = nn.Linear(of_edge, edge)
        self.from_model = nn.Linear(of_model, edge, bias=False) if of_model else None
        self.edge = _after(edge, dropout)
        self.node = nn.Sequential(nn.Linear(of_node + edge + of_model, node), *_after(node, dropout))
        self.model = nn.Sequential(nn.Linear(edge + node + of_model, model), *_after(model, dropout))

    def forward(
        self, edge: torch.Tensor, node: torch.Tensor, model: torch.Tensor, graph: Graph
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return edges (E, .), residues (N, .) and models (M, .) for the same."""
        model_of_edge = graph.model[graph.source]
        said = self.from_node(node)
        if self.from_model is not None:
            said = said + self.from_model(model)[graph.model]  # an edge lies within one model
        edge = self.edge(self.from_edge(edge) + said.index_select(0, graph.source))
        heard = mean_by(edge, graph.sink, len(node))
        node = self.node(torch.cat([node, heard, model[graph.model]], dim=-1))
        means = mean_by(edge, model_of_edge, graph.n_models), mean_by(node, graph.model, graph.n_models)
        return edge, node, self.model(torch.cat([*means, model], dim=-1))


def mean_by(values: torch.Tensor, group: torch.Tensor, n_groups: int) -> torch.Tensor:
    """Return the mean of the rows of each group, (n_groups, C); 0 for empty groups."""
    total = values.new_zeros(n_groups, values.shape[1]).index_add(0, group, values)
    count = torch.bincount(group, minlength=n_groups).clamp_min(1)
    return total / count[:, None].to(values.dtype)


def _after(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(dropout), nn.BatchNorm1d(width), nn.ReLU())
