"""A protein as a graph of residues, as GraphQA builds it (Baldassarre et al. 2021), from C-alphas alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from tertia.residues import letter_indices
from tertia.structure.exposure import (
    alpha_angle,
    alpha_torsion,
    half_sphere_exposure,
    secondary_structure,
    side_directions,
)
from tertia.structure.geometry import distance_map

CUTOFF = 12.0
MOST_NEIGHBOURS = 128
REACH = 5
"""Residues so near in sequence are always joined."""
SEPARATIONS = (1, 2, 3, 4, 5, 10, 15)
"""Upper ends of the classes of sequence separation; one more class lies above."""
N_STATES = 4
"""Of secondary structure: 0 nothing, then helix, strand, coil."""
N_RESIDUE_VALUES = 7
N_EDGE_VALUES = 4


@dataclass(frozen=True)
class Graph:
    """Residues N of one or several models, and directed edges E between residues of one model."""

    letter: torch.Tensor  # (N,) int64, index of the amino acid
    state: torch.Tensor  # (N,) int64, secondary structure, 0 = no C-alpha
    values: torch.Tensor  # (N, F) float32, F = N_RESIDUE_VALUES and embeddings
    source: torch.Tensor  # (E,) int64, position of a residue
    sink: torch.Tensor  # (E,) int64, where the message arrives
    geometry: torch.Tensor  # (E, G) float32, G = N_EDGE_VALUES and embeddings
    distance: torch.Tensor  # (E,) float32, Angstrom, NaN where a C-alpha is missing
    separation: torch.Tensor  # (E,) int64, class of sequence separation
    model: torch.Tensor  # (N,) int64, number of the model in the batch
    n_models: int = 1


def residue_graph(sequence: str, alpha: np.ndarray) -> Graph:
    """Build the graph of one model.

    Edges join C-alphas nearer than 12 Angstrom (the 128 nearest at most) and residues up to 5 apart in sequence, in
    both directions, also where coordinates are missing. Values of residues: half-sphere exposure up and down / 20,
    cosine and sine of the C-alpha torsion, cosine of the angle, whether there is a C-alpha, share of the chain behind.
    Values of edges as in GraphQA: distance / 10, and the cosines of side-chain directions with the connection and with
    each other; the directions come from C-alphas (`structure.exposure`), so that models without side chains get them.

    Parameters
    ----------
    sequence: (L,) letters.
    alpha: (L, 3) Angstrom, NaN where missing.
    """
    seen = np.isfinite(alpha).all(axis=1)
    distance = distance_map(alpha.astype(np.float64))
    source, sink = _edges(distance)
    state = np.where(seen, 1 + secondary_structure(alpha), 0)
    separation = np.searchsorted(SEPARATIONS, np.abs(source - sink))
    whole, numbers = torch.from_numpy, torch.tensor
    return Graph(
        letter=whole(letter_indices(sequence).astype(np.int64)), state=numbers(state, dtype=torch.int64),
        values=numbers(_residue_values(alpha, seen, distance), dtype=torch.float32),
        source=whole(source), sink=whole(sink),
        geometry=numbers(_edge_values(alpha, distance, source, sink), dtype=torch.float32),
        distance=numbers(distance[source, sink], dtype=torch.float32), separation=whole(separation.astype(np.int64)),
        model=torch.zeros(len(sequence), dtype=torch.int64),
    )  # fmt: skip


def sequence_graph(sequence: str) -> Graph:
    """Build the graph of a chain without coordinates: letters, no edges; of the values only the place in the chain.

    Parameters
    ----------
    sequence: (L,) letters; none at all for what is known by the vector of its protein alone.
    """
    length, none = len(sequence), torch.zeros(0, dtype=torch.int64)
    values = torch.zeros(length, N_RESIDUE_VALUES)
    values[:, -1] = torch.arange(length) / max(length - 1, 1)
    return Graph(
        letter=torch.from_numpy(letter_indices(sequence).astype(np.int64)),
        state=torch.zeros(length, dtype=torch.int64), values=values, source=none, sink=none,
        geometry=torch.zeros(0, N_EDGE_VALUES), distance=torch.zeros(0), separation=none,
        model=torch.zeros(length, dtype=torch.int64),
    )  # fmt: skip


def extend(graph: Graph, *, residue: np.ndarray | None = None, edge: np.ndarray | None = None) -> Graph:
    """Append features or embeddings to the values of residues, (N, C), and of edges, (E, C); NaN becomes 0."""
    added = {}
    for name, columns in (("values", residue), ("geometry", edge)):
        if columns is not None:
            more = torch.from_numpy(np.nan_to_num(columns.astype(np.float32)))
            added[name] = torch.cat([getattr(graph, name), more], dim=1)
    return replace(graph, **added)


def join(graphs: Sequence[Graph]) -> Graph:
    """Put several models side by side; no edge crosses."""
    first = np.cumsum([0, *(len(graph.letter) for graph in graphs)])
    number = np.cumsum([0, *(graph.n_models for graph in graphs)])
    shift = {"source": first, "sink": first, "model": number}
    columns = {}
    for column in fields(Graph):
        if column.name != "n_models":
            by = shift.get(column.name, np.zeros(len(graphs) + 1, dtype=int))
            parts = [getattr(graph, column.name) for graph in graphs]
            columns[column.name] = torch.cat(
                [part + int(offset) if offset else part for part, offset in zip(parts, by, strict=False)]
            )
    return Graph(**columns, n_models=int(number[-1]))


def _edges(distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return source and sink of each directed edge, ordered by sink."""
    near = distance < CUTOFF  # False where a C-alpha is missing
    np.fill_diagonal(near, False)
    for row in np.flatnonzero(near.sum(axis=1) > MOST_NEIGHBOURS):
        near[row] &= distance[row] <= np.partition(distance[row, near[row]], MOST_NEIGHBOURS - 1)[MOST_NEIGHBOURS - 1]
    place = np.arange(len(distance))
    for gap in range(1, REACH + 1):
        near[place[gap:], place[:-gap]] = near[place[:-gap], place[gap:]] = True
    sink, source = np.nonzero(near)
    return source, sink


def _residue_values(alpha: np.ndarray, seen: np.ndarray, distance: np.ndarray) -> np.ndarray:
    place = np.arange(len(alpha)) / max(len(alpha) - 1, 1)
    exposure = np.nan_to_num(half_sphere_exposure(alpha, distance=distance)) / 20.0
    columns = [exposure, alpha_torsion(alpha), alpha_angle(alpha)[:, None], seen[:, None].astype(float), place[:, None]]
    return np.concatenate(columns, axis=1)


def _edge_values(alpha: np.ndarray, distance: np.ndarray, source: np.ndarray, sink: np.ndarray) -> np.ndarray:
    direction, length = side_directions(alpha), distance[source, sink]
    begin, end = direction[source], direction[sink]
    with np.errstate(invalid="ignore", divide="ignore"):
        towards = (alpha[sink] - alpha[source]) / length[:, None]
    cosines = [np.einsum("ij,ij->i", one, two) for one, two in ((begin, towards), (-end, towards), (begin, end))]
    return np.nan_to_num(np.stack([length / 10.0, *cosines], axis=1))
