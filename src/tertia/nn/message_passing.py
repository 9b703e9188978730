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
        self.edge = _update(of_node + of_edge + of_model, edge, dropout)
        self.node = _update(of_node + edge + of_model, node, dropout)
        self.model = _update(edge + node + of_model, model, dropout)

    def forward(
        self, edge: torch.Tensor, node: torch.Tensor, model: torch.Tensor, graph: Graph
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return edges (E, .), residues (N, .) and models (M, .) for the same."""
        model_of_edge = graph.model[graph.source]
        edge = self.edge(torch.cat([node[graph.source], edge, model[model_of_edge]], dim=-1))
        heard = mean_by(edge, graph.sink, len(node))
        node = self.node(torch.cat([node, heard, model[graph.model]], dim=-1))
        means = mean_by(edge, model_of_edge, graph.n_models), mean_by(node, graph.model, graph.n_models)
        return edge, node, self.model(torch.cat([*means, model], dim=-1))


def mean_by(values: torch.Tensor, group: torch.Tensor, n_groups: int) -> torch.Tensor:
    """Return the mean of the rows of each group, (n_groups, C); 0 for empty groups."""
    total = values.new_zeros(n_groups, values.shape[1]).index_add(0, group, values)
    count = torch.bincount(group, minlength=n_groups).clamp_min(1)
    return total / count[:, None].to(values.dtype)


def _update(n_in: int, n_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, n_out), nn.Dropout(dropout), nn.BatchNorm1d(n_out), nn.ReLU())
