"""GraphQA (Baldassarre et al. 2021): message passing over residues, edges and the whole model, in plain torch."""

from __future__ import annotations

import torch
import torch.nn as nn

from tertia.nn.message_passing import Layer
from tertia.nn.residue_graph import N_EDGE_VALUES, N_RESIDUE_VALUES, N_STATES, SEPARATIONS, Graph
from tertia.nn.window_probe import WindowProbe
from tertia.residues import N_INDICES
from tertia.tasks.quality.tables import GLOBAL_SCORES

LOCAL_SCORES = ("lddt", "cad")
SIZES = {
    "published": {},
    "compact": {"edge": 32, "widths": ((64, 128, 256), (32, 128, 64), (16, 64, 32)), "n_radial": 16},
}
"""Of the network: that of the published checkpoint, and one with narrow edges, which takes a third of the time."""
_REACH = 20.0


class GraphQa(nn.Module):
    """Encoders, layers and read-out.

    Hyper-parameters
    ----------------
    n_residue, n_pair: channels of embeddings behind the values of residues and of edges.
    n_protein: channels of an embedding of the whole, the first state of the model; the published network has none.
    node, edge: widths of the two encoders.
    widths: (edge, node, model) of each layer, those of the published checkpoint by default.
    n_radial: radial bases of the distance, spread over 20 Angstrom.
    dropout: share of values left out in each update.
    """

    def __init__(
        self, *, n_residue: int = 0, n_pair: int = 0, n_protein: int = 0, node: int = 64, edge: int = 128,
        widths: tuple[tuple[int, int, int], ...] = ((128, 128, 256), (32, 128, 64), (16, 64, 32)),
        n_radial: int = 32, dropout: float = 0.2,
    ) -> None:  # fmt: skip
        super().__init__()
        self.letter = nn.Embedding(N_INDICES, 64)
        self.state = nn.Embedding(N_STATES, 64)
        self.separation = nn.Embedding(len(SEPARATIONS) + 1, 64)
        self.node = _encoder(N_RESIDUE_VALUES + n_residue, node)
        self.edge = _encoder(N_EDGE_VALUES + n_pair, edge)
        self.register_buffer("centres", torch.linspace(0.0, _REACH, n_radial), persistent=False)
        self.model = _encoder(n_protein, 64) if n_protein else None
        sizes = [(edge + 64 + n_radial, 128 + node, 64 if n_protein else 0), *widths]
        self.layers = nn.ModuleList(
            Layer(before, after, dropout=dropout) for before, after in zip(sizes, widths, strict=False)
        )
        self.local = nn.Linear(widths[-1][1], len(LOCAL_SCORES))
        self.whole = nn.Linear(widths[-1][2], len(GLOBAL_SCORES))

    def forward(self, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N, 2) scores of residues and (M, 5) scores of models, in 0-1, as named in this module."""
        local, whole = self.logits(graph)
        return torch.sigmoid(local), torch.sigmoid(whole)

    def logits(self, graph: Graph, protein: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the scores are made of; protein: (M, n_protein), if the network takes such."""
        node = torch.cat([self.letter(graph.letter), self.state(graph.state), self.node(graph.values)], dim=-1)
        radial = torch.exp(-(graph.distance.nan_to_num(1e3)[:, None] - self.centres).square())
        edge = torch.cat([self.edge(graph.geometry), self.separation(graph.separation), radial], dim=-1)
        model = node.new_zeros(graph.n_models, 0) if self.model is None else self.model(protein)
        for layer in self.layers:
            edge, node, model = layer(edge, node, model, graph)
        return self.local(node), self.whole(model)


class WideQa(nn.Module):
    """GraphQA with a linear model of windows beside it; their logits add up (wide and deep, Cheng et al. 2016).

    Hyper-parameters
    ----------------
    n_residue, n_pair, n_protein, and further ones: of `GraphQa`.
    """

    def __init__(self, *, n_residue: int = 0, n_pair: int = 0, n_protein: int = 0, **sizes) -> None:
        super().__init__()
        self.deep = GraphQa(n_residue=n_residue, n_pair=n_pair, n_protein=n_protein, **sizes)
        self.wide = WindowProbe(N_RESIDUE_VALUES + n_residue, n_residue=len(LOCAL_SCORES), n_protein=len(GLOBAL_SCORES))

    def forward(self, graph: Graph, protein: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores as `GraphQa` does; protein: (M, n_protein) embeddings of the whole."""
        (local, whole), (more, and_more) = self.deep.logits(graph, protein), self.wide(graph)
        return torch.sigmoid(local + more), torch.sigmoid(whole + and_more)


class LengthOnly(nn.Module):
    """A parabola in the logarithm of the length: what knowing nothing of the fold gives."""

    def __init__(self) -> None:
        super().__init__()
        self.local, self.whole = (nn.Parameter(torch.zeros(3, len(scores))) for scores in (LOCAL_SCORES, GLOBAL_SCORES))

    def forward(self, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N, 2) and (M, 5) scores in 0-1."""
        # In double precision: single rounds by the place in the batch, and proteins of one length must be equal.
        size = torch.log(torch.bincount(graph.model, minlength=graph.n_models).double() / 100.0)[:, None]
        powers = torch.cat([torch.ones_like(size), size, size.square()], dim=-1)
        local, whole = (torch.sigmoid(powers @ line.double()).float() for line in (self.local, self.whole))
        return local[graph.model], whole


def squared_error(predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of each column, summed over columns; NaN in `true` does not count."""
    known = torch.isfinite(true)
    error = (predicted - true.nan_to_num()).square() * known
    return (error.sum(0) / known.sum(0).clamp_min(1)).sum()


def _encoder(n_in: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, width // 2), nn.ReLU(), nn.Linear(width // 2, width), nn.ReLU())
