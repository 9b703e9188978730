"""The task: from a sequence to helix, strand or coil of every residue (NetSurfP-2.0; CB513, CASP12)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from tertia.data.example import Example
from tertia.nn.residue_graph import N_RESIDUE_VALUES, Graph, sequence_graph
from tertia.nn.sequence_cnn import SequenceCnn
from tertia.nn.window_probe import WindowProbe
from tertia.tasks import labels as shared
from tertia.tasks.audit import without_shared_sequences
from tertia.tasks.secondary_structure.tables import STATES, read_casp12, read_cb513, read_netsurfp2
from tertia.tasks.task import Batch, Figure, Item, Prediction, Vectors, Widths

NETWORKS = ("linear", "cnn")


@dataclass(frozen=True)
class SecondaryStructure:
    """Which of three states, helix, strand or coil, a residue is in; a sequence is read."""

    name: ClassVar[str] = "secondary_structure"
    level: ClassVar[str] = "residue"
    kind: ClassVar[str] = "labels"
    reads: ClassVar[str] = "sequence"
    needs: ClassVar[tuple[str, ...]] = ("residue",)
    citation: ClassVar[str] = "Klausen et al., Proteins 87:520 (2019); Cuff & Barton, Proteins 34:508 (1999)"
    residue_scores: ClassVar[tuple[str, ...]] = ("helix", "strand", "coil")
    protein_scores: ClassVar[tuple[str, ...]] = ()

    network_kind: str = "linear"  # of NETWORKS: a window of 7 residues, or a dilated convolution that hears 31 away
    width: int = 96  # of cnn
    dropout: float = 0.1
    residues: int = 8000  # of a batch, about
    most_train: int = 0  # training proteins are thinned out to so many (seeded); 0 takes all
    class_weights: bool = False  # each state of a batch counts alike

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        if self.network_kind not in NETWORKS:
            yield "network_kind", f"is {self.network_kind!r}", ", ".join(NETWORKS)
        for key, least in (("width", 1), ("residues", 1), ("most_train", 0)):
            if getattr(self, key) < least:
                yield key, f"is {getattr(self, key)}", f"{least} or more"
        if not 0 <= self.dropout < 1:
            yield "dropout", f"is {self.dropout}", "0 up to, not including, 1"

    def read(self, data: Path) -> Mapping[str, list[Example]]:
        """Return the splits of NetSurfP-2.0 and the two further test sets.

        Proteins to train or validate with whose very sequence is tried on are left out, which is said.
        """
        splits = read_netsurfp2(data) | {"CB513": read_cb513(data), "CASP12": read_casp12(data)}
        tests = [part for name, part in splits.items() if name not in ("train", "valid")]
        for name in ("train", "valid"):
            splits[name], left_out = without_shared_sequences(splits[name], *tests)
            if left_out:
                print(f"left out: {len(left_out)} of {name}, whose sequence is tried on", file=sys.stderr)
        splits["train"] = shared.thinned(splits["train"], self.most_train)
        return splits

    def graph(self, example: Example) -> Graph:
        """Return the letters."""
        return sequence_graph(example.sequence)

    def item(self, example: Example, graph: Graph, vectors: Vectors | None) -> Item:
        """Put a protein together."""
        state = np.full(len(example), np.nan) if example.target is None else example.target
        return Item(graph, vectors, state[:, None], np.zeros(0))

    def network(self, widths: Widths) -> torch.nn.Module:
        """Build one of NETWORKS."""
        n_values, n_states = N_RESIDUE_VALUES + widths.residue, len(STATES)
        if self.network_kind == "linear":
            return WindowProbe(n_values, n_residue=n_states, n_protein=0)
        return SequenceCnn(n_values, n_residue=n_states, n_protein=0, width=self.width, dropout=self.dropout)

    def epoch(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[list[int]]:
        """Yield all proteins, those of like length together."""
        return shared.by_length([len(one) for one in examples], self.residues, generator)

    def scores(self, network: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits of the residues."""
        return network(batch.graph)

    def loss(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Return the cross entropy of all residues that the structure shows."""
        return shared.cross_entropy(network(batch.graph)[0], batch.residue_target, balanced=self.class_weights)

    def calibrate(self, examples: Sequence[Example], raw: Sequence[Prediction]) -> dict[str, float]:
        """Return the temperature."""
        return shared.fitted(*shared.of_residues(examples, raw)[:2])

    def decide(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return nothing: the most probable state is called."""
        return {}

    def finish(self, raw: Prediction, calibration: Mapping[str, float]) -> Prediction:
        """Turn logits into probabilities."""
        return Prediction(shared.probabilities(raw.residue, calibration), raw.protein)

    def validation_score(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float:
        """Return Q3, the share of residues in the right state."""
        truth, score, _ = shared.of_residues(examples, predictions)
        return float((score.argmax(axis=1) == truth).mean()) if len(truth) else float("nan")

    def figures(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], calibration: Mapping[str, float]
    ) -> list[Figure]:
        """Return the figures over residues; all residues of one sequence are resampled together (CB513 repeats 60)."""
        truth, probability, number = shared.of_residues(examples, predictions)
        groups = np.unique([one.sequence for one in examples], return_inverse=True)[1][number]
        return shared.figures_of_many(truth, probability, groups, accuracy="Q3", names=self.residue_scores)
