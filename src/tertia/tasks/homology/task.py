"""The task: from the sequence of a domain to its fold, of a superfamily that training never saw (TAPE)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from tertia.data.example import Example
from tertia.nn.residue_graph import N_RESIDUE_VALUES, Graph, sequence_graph
from tertia.nn.sequence_cnn import SequenceCnn
from tertia.nn.vector_probe import VectorProbe
from tertia.tasks import labels as shared
from tertia.tasks.homology.tables import N_FOLDS, read_folds
from tertia.tasks.task import Batch, Figure, Item, Prediction, Vectors, Widths

NETWORKS = ("linear", "mlp", "cnn")


@dataclass(frozen=True)
class Homology:
    """Which fold a domain has, one of 1,195, where its superfamily is new; a sequence is read."""

    name: ClassVar[str] = "homology"
    level: ClassVar[str] = "protein"
    kind: ClassVar[str] = "labels"
    reads: ClassVar[str] = "sequence"
    citation: ClassVar[str] = "Rao et al., NeurIPS 2019 (TAPE); Hou et al., Bioinformatics 34:1295 (2018)"
    residue_scores: ClassVar[tuple[str, ...]] = ()
    protein_scores: ClassVar[tuple[str, ...]] = tuple(f"fold_{number}" for number in range(N_FOLDS))

    network_kind: str = "linear"  # of NETWORKS
    width: int = 256  # of mlp; cnn has half of it
    dropout: float = 0.2
    batch: int = 64
    longest: int = 1000  # residues that cnn looks at; of longer chains both ends
    class_weights: bool = False  # draw every class as often as any other

    @property
    def needs(self) -> tuple[str, ...]:
        """The levels of embeddings that the network takes."""
        return ("residue",) if self.network_kind == "cnn" else ("protein",)

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        if self.network_kind not in NETWORKS:
            yield "network_kind", f"is {self.network_kind!r}", ", ".join(NETWORKS)
        for key in ("batch", "width", "longest"):
            if getattr(self, key) < 2:
                yield key, f"is {getattr(self, key)}", "2 or more"
        if not 0 <= self.dropout < 1:
            yield "dropout", f"is {self.dropout}", "0 up to, not including, 1"

    def read(self, data: Path) -> Mapping[str, list[Example]]:
        """Return the published splits; no sequence is in two of them."""
        return read_folds(data)

    def graph(self, example: Example) -> Graph:
        """Return the residues that cnn looks at; none for the others."""
        if self.network_kind != "cnn":
            return shared.no_graph()
        return sequence_graph("".join(np.array(list(example.sequence))[shared.ends(len(example), self.longest)]))

    def item(self, example: Example, graph: Graph, vectors: Vectors | None) -> Item:
        """Put a domain together."""
        if vectors is not None and self.network_kind == "cnn":
            vectors = Vectors((), vectors.residue[shared.ends(len(example), self.longest)], vectors.edge)
        nothing = np.zeros((len(graph.letter), 0))
        return Item(graph, vectors, nothing, shared.class_target(example), shared.protein_values(example))

    def network(self, widths: Widths) -> torch.nn.Module:
        """Build one of NETWORKS."""
        n_classes = len(self.protein_scores)
        if self.network_kind == "cnn":
            return SequenceCnn(N_RESIDUE_VALUES + widths.residue, n_residue=0, n_protein=n_classes,
                               width=max(self.width // 2, 1), dropout=self.dropout)  # fmt: skip
        width = self.width if self.network_kind == "mlp" else 0
        return VectorProbe(widths.protein + widths.whole, n_classes=n_classes, width=width, dropout=self.dropout)

    def epoch(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[list[int]]:
        """Yield all domains in random order."""
        return shared.shuffled(examples, self.batch, generator, balanced=self.class_weights)

    def scores(self, network: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits of the domains."""
        if self.network_kind == "cnn":
            return network(batch.graph)
        return batch.protein.new_zeros(sum(batch.lengths), 0), network(batch.protein)

    def loss(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Return the cross entropy."""
        return shared.cross_entropy(self.scores(network, batch)[1], batch.protein_target)

    def calibrate(self, examples: Sequence[Example], raw: Sequence[Prediction]) -> dict[str, float]:
        """Return the temperature."""
        return shared.fitted(*shared.of_proteins(examples, raw))

    def decide(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return nothing: the most probable fold is called."""
        return {}

    def finish(self, raw: Prediction, calibration: Mapping[str, float]) -> Prediction:
        """Turn logits into probabilities."""
        return Prediction(raw.residue, shared.probabilities(raw.protein[None], calibration)[0])

    def validation_score(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float:
        """Return MCC."""
        return shared.validation_score(*shared.of_proteins(examples, predictions))

    def figures(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], calibration: Mapping[str, float]
    ) -> list[Figure]:
        """Return the figures over domains; those of one fold, which are relatives, are resampled together."""
        truth, probability = shared.of_proteins(examples, predictions)
        return shared.figures_of_many(truth, probability, truth.astype(int))
