"""The task: from a sequence to the place of a protein in the cell, or to whether it is in a membrane (DeepLoc 1)."""

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
from tertia.nn.vector_probe import VectorProbe
from tertia.tasks import labels as shared
from tertia.tasks.audit import cut_by_cluster, without_shared_sequences
from tertia.tasks.localisation.tables import PLACES, read_membrane, read_places
from tertia.tasks.task import Batch, Figure, Item, Prediction, Vectors, Widths

NETWORKS = ("linear", "mlp", "cnn")
LABELS = ("places", "membrane")


@dataclass(frozen=True)
class Localisation:
    """Where in the cell a protein is: ten places, or membrane against soluble (labels=membrane); a sequence is read."""

    name: ClassVar[str] = "localisation"
    level: ClassVar[str] = "protein"
    kind: ClassVar[str] = "labels"
    reads: ClassVar[str] = "sequence"
    citation: ClassVar[str] = "Almagro Armenteros et al., Bioinformatics 33:3387 (2017); Staerk et al. 2021 (setHARD)"
    residue_scores: ClassVar[tuple[str, ...]] = ()

    labels: str = "places"  # of LABELS
    network_kind: str = "linear"  # of NETWORKS
    width: int = 128  # of mlp; cnn has half of it
    dropout: float = 0.2
    batch: int = 64
    longest: int = 1000  # residues that cnn looks at; of longer chains both ends
    class_weights: bool = False  # draw every class as often as any other

    @property
    def protein_scores(self) -> tuple[str, ...]:
        """The classes, of membrane only the positive one."""
        return PLACES if self.labels == "places" else ("membrane",)

    @property
    def needs(self) -> tuple[str, ...]:
        """The levels of embeddings that the network takes."""
        return ("residue",) if self.network_kind == "cnn" else ("protein",)

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        for key, allowed in (("network_kind", NETWORKS), ("labels", LABELS)):
            if getattr(self, key) not in allowed:
                yield key, f"is {getattr(self, key)!r}", ", ".join(allowed)
        for key in ("batch", "width", "longest"):
            if getattr(self, key) < 2:
                yield key, f"is {getattr(self, key)}", "2 or more"
        if not 0 <= self.dropout < 1:
            yield "dropout", f"is {self.dropout}", "0 up to, not including, 1"

    def read(self, data: Path) -> Mapping[str, list[Example]]:
        """Return the splits; of membrane proteins validation clusters are cut from the training ones (seeded).

        Training proteins whose very sequence is tried on are left out, which is said.
        """
        if self.labels == "membrane":
            found = read_membrane(data)
            train, valid = cut_by_cluster(found["train"], share=0.15)
            splits = {"train": train, "valid": valid, "test_membrane": found["test"]}
        else:
            splits = {name: part for name, part in read_places(data).items() if name != "two_places"}
        held_out = [part for name, part in splits.items() if name != "train"]
        splits["train"], left_out = without_shared_sequences(splits["train"], *held_out)
        if left_out:
            print(f"left out: {len(left_out)} training proteins whose sequence is tried on", file=sys.stderr)
        return splits

    def graph(self, example: Example) -> Graph:
        """Return the residues that cnn looks at; none for the others."""
        if self.network_kind != "cnn":
            return shared.no_graph()
        return sequence_graph("".join(np.array(list(example.sequence))[shared.ends(len(example), self.longest)]))

    def item(self, example: Example, graph: Graph, vectors: Vectors | None) -> Item:
        """Put a protein together."""
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
        """Yield all proteins in random order."""
        return shared.shuffled(examples, self.batch, generator, balanced=self.class_weights)

    def scores(self, network: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits of the proteins."""
        if self.network_kind == "cnn":
            return network(batch.graph)
        return batch.protein.new_zeros(sum(batch.lengths), 0), network(batch.protein)

    def loss(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Return the cross entropy."""
        return shared.cross_entropy(self.scores(network, batch)[1], batch.protein_target)

    def calibrate(self, examples: Sequence[Example], raw: Sequence[Prediction]) -> dict[str, float]:
        """Return the temperature of the places; scale, offset and threshold of membrane."""
        return shared.fitted(*shared.of_proteins(examples, raw))

    def decide(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return the threshold of membrane."""
        return shared.decided(*shared.of_proteins(examples, predictions))

    def finish(self, raw: Prediction, calibration: Mapping[str, float]) -> Prediction:
        """Turn logits into probabilities."""
        return Prediction(raw.residue, shared.probabilities(raw.protein[None], calibration)[0])

    def validation_score(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float:
        """Return MCC of the places, AUROC of membrane."""
        return shared.validation_score(*shared.of_proteins(examples, predictions))

    def figures(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], calibration: Mapping[str, float]
    ) -> list[Figure]:
        """Return the figures over proteins; those of one sequence are resampled together."""
        truth, probability = shared.of_proteins(examples, predictions)
        groups = np.unique([one.sequence for one in examples], return_inverse=True)[1]
        if probability.shape[1] == 1:
            return shared.figures_of_two(truth, probability, groups, calibration)
        return shared.figures_of_many(truth, probability, groups)
