"""The seam of a task: what `finetune`, `predict` and `evaluate` may ask of it, and what passes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from tertia.data.example import Example
from tertia.nn.residue_graph import N_RESIDUE_VALUES, Graph, join

LEVELS = ("protein", "residue", "edge")
"""Of embeddings, as the fields of `Vectors`; what a task does not need has no channels."""


@dataclass(frozen=True)
class Vectors:
    """Embeddings of one example, those of several models side by side in the channels."""

    protein: Any  # (D,) float32, numpy or torch; of several chains a tuple with those of each, which pairs share
    residue: Any  # (L, D) float32
    edge: Any  # (E, C), of the edges of the residue graph; C = 0 where no model has a pair level


def together(vectors: Sequence[Vectors]) -> Vectors:
    """Return the vectors of the chains of an example as one; rows of residues follow each other."""
    if len(vectors) == 1:
        return vectors[0]
    residue = [one.residue for one in vectors]
    joined = torch.cat(residue) if isinstance(residue[0], torch.Tensor) else np.concatenate(residue)
    return Vectors(tuple(row for one in vectors for row in one.protein), joined, vectors[0].edge)


@dataclass(frozen=True)
class Item:
    """One example as a network takes it."""

    graph: Graph  # values of residues: geometry, then features; no embeddings
    vectors: Vectors | None  # None: without embeddings
    residue_target: np.ndarray  # (L, K) NaN where unknown; or (L, 1), the number of a class
    protein_target: np.ndarray  # (M,) NaN where unknown; or (1,), the number of a class
    protein_values: tuple[np.ndarray, ...] = ()  # (P,) of each chain, its own features

    @property
    def widths(self) -> Widths:
        """Channels of each input."""
        feature, own = self.graph.values.shape[1] - N_RESIDUE_VALUES, sum(map(len, self.protein_values))
        if self.vectors is None:
            return Widths(feature, protein=own)
        whole = sum(map(len, _parts(self.vectors.protein)))
        return Widths(feature, self.vectors.residue.shape[1], self.vectors.edge.shape[1], own, whole)


@dataclass(frozen=True)
class Widths:
    """How many channels a network finds behind what the residue graph has anyway."""

    feature: int = 0
    residue: int = 0  # of embeddings
    edge: int = 0
    protein: int = 0  # features of the protein itself, of all chains
    whole: int = 0  # of embeddings of the protein, of all chains


@dataclass(frozen=True)
class Batch:
    """Several items side by side."""

    graph: Graph  # values: geometry, features, embeddings; geometry of edges: embeddings behind it
    protein: torch.Tensor  # (B, P + D) features of all chains, then embeddings of all chains
    residue_target: torch.Tensor  # (N, K)
    protein_target: torch.Tensor  # (B, M)
    widths: Widths
    lengths: tuple[int, ...]  # residues of each item


@dataclass(frozen=True)
class Prediction:
    """What a network says of one example; probabilities, or scores in 0-1."""

    residue: np.ndarray  # (L, K)
    protein: np.ndarray  # (M,)


@dataclass(frozen=True)
class Figure:
    """One column of a table of results, ready for intervals and comparisons (`metrics.bootstrap`, `.compare`)."""

    name: str
    statistic: Callable[..., float]
    groups: np.ndarray  # (n,) rows of one group are resampled together
    columns: tuple[np.ndarray, ...]  # truth and prediction, (n,) each; or the one column of a mean


class Task(Protocol):
    """A frozen dataclass whose fields are the options of a task."""

    name: ClassVar[str]
    level: ClassVar[str]  # residue, protein, or both; pair, of two proteins
    kind: ClassVar[str]  # labels or values
    reads: ClassVar[str]  # structure or sequence
    citation: ClassVar[str]
    needs: tuple[str, ...]  # of LEVELS, which embeddings it takes; may depend on the options, as all below
    residue_scores: tuple[str, ...]  # K names
    protein_scores: tuple[str, ...]  # M names

    def read(self, data: Path) -> Mapping[str, list[Example]]:
        """Return "train", "valid", and the test sets under their names."""

    def graph(self, example: Example) -> Graph:
        """Return residues and the edges between them; of structures the same whatever the options.

        Where nothing is taken but vectors of proteins there are no residues in it.
        """

    def item(self, example: Example, graph: Graph, vectors: Vectors | None) -> Item:
        """Put an example together, with its features; without a target all is NaN."""

    def network(self, widths: Widths) -> torch.nn.Module:
        """Build the network with fresh weights."""

    def epoch(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[list[int]]:
        """Yield the positions of the examples of each batch of one epoch."""

    def scores(self, network: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network says: (N, K) of residues and (B, M) of proteins, as logits or scores."""

    def loss(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Return the scalar to minimise."""

    def calibrate(self, examples: Sequence[Example], raw: Sequence[Prediction]) -> dict[str, float]:
        """Return what turns scores into probabilities and calls, fitted on validation examples."""

    def decide(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return the part of the calibration that calls need beside probabilities, fitted on validation examples."""

    def finish(self, raw: Prediction, calibration: Mapping[str, float]) -> Prediction:
        """Turn what the network says into probabilities, or scores in 0-1."""

    def validation_score(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float:
        """Return what the kept epoch is chosen by; larger is better."""

    def figures(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], calibration: Mapping[str, float]
    ) -> list[Figure]:
        """Return the columns of the table of results."""


def batch_of(items: Sequence[Item]) -> Batch:
    """Put items side by side."""
    if not any(len(item.graph.letter) for item in items):
        return _batch_of_vectors(items)
    graph, widths = join([item.graph for item in items]), items[0].widths
    values, geometry = [graph.values], [graph.geometry]
    if items[0].vectors is not None:
        values.append(_stacked([item.vectors.residue for item in items]))
        geometry.append(_stacked([item.vectors.edge for item in items]))
    columns = vars(graph) | {"values": torch.cat(values, dim=1), "geometry": torch.cat(geometry, dim=1)}
    return Batch(
        Graph(**columns), _protein_rows(items), _stacked([item.residue_target for item in items]),
        _stacked([item.protein_target[None] for item in items]), widths,
        tuple(len(item.graph.letter) for item in items),
    )  # fmt: skip


def _batch_of_vectors(items: Sequence[Item]) -> Batch:
    """Put items without residues side by side: hundreds of graphs of nothing need not be joined."""
    first = items[0]
    target = _stacked([item.protein_target for item in items]).reshape(len(items), -1)
    nothing = torch.zeros(0, first.residue_target.shape[1])
    graph = Graph(**vars(first.graph) | {"n_models": len(items)})
    return Batch(graph, _protein_rows(items), nothing, target, first.widths, (0,) * len(items))


def _protein_rows(items: Sequence[Item]) -> torch.Tensor:
    """Return (B, P + D): of each item the features of its chains, then the embeddings."""
    parts = [_side_by_side([item.protein_values for item in items])]
    if items[0].vectors is not None:
        parts.append(_side_by_side([_parts(item.vectors.protein) for item in items]))
    return torch.cat(parts, dim=1)


def _side_by_side(rows: Sequence[tuple[Any, ...]]) -> torch.Tensor:
    """Return (B, C) from rows that are in parts, each (c,)."""
    if not rows[0]:
        return torch.zeros(len(rows), 0)
    return _stacked(list(chain.from_iterable(rows))).reshape(len(rows), -1)


def _parts(protein: Any) -> tuple[Any, ...]:
    return protein if isinstance(protein, tuple) else (protein,)


def _stacked(rows: Sequence[Any]) -> torch.Tensor:
    if isinstance(rows[0], torch.Tensor):  # with gradients, where the encoder learns too
        return torch.cat(list(rows)).float()
    return torch.from_numpy(np.concatenate(rows).astype(np.float32))
