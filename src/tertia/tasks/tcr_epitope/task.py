"""The task: from a T-cell receptor and a peptide to whether they bind (TITAN's two splits)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from tertia.data.example import Example
from tertia.nn.residue_graph import Graph
from tertia.nn.vector_probe import PairProbe
from tertia.tasks import labels as shared
from tertia.tasks.metrics import auroc, statistics
from tertia.tasks.task import Batch, Figure, Item, Prediction, Vectors, Widths
from tertia.tasks.tcr_epitope.tables import (
    N_FOLDS,
    RECEPTORS,
    read_strict_split,
    read_tcr_split,
    shuffled_negatives,
)

NETWORKS = ("linear", "mlp")
SPLITS = ("tcr", "strict")
FEWEST = 5
"""Pairs of either class that a peptide must have to be scored alone."""


@dataclass(frozen=True)
class TcrEpitope:
    """Whether a T-cell receptor binds a peptide; two sequences are read."""

    name: ClassVar[str] = "tcr_epitope"
    level: ClassVar[str] = "pair"
    kind: ClassVar[str] = "labels"
    reads: ClassVar[str] = "sequence"
    needs: ClassVar[tuple[str, ...]] = ("protein",)
    citation: ClassVar[str] = "Weber et al., Bioinformatics 37:i237 (2021), TITAN; negatives are shuffled pairs"
    residue_scores: ClassVar[tuple[str, ...]] = ()
    protein_scores: ClassVar[tuple[str, ...]] = ("bound",)

    split: str = "tcr"  # of SPLITS: new receptors; or new receptors and new peptides
    fold: int = 0  # of ten: which one is the test
    receptor: str = "cdr3b"  # of RECEPTORS
    network_kind: str = "mlp"  # of NETWORKS
    width: int = 128  # of mlp
    dropout: float = 0.3
    batch: int = 512
    class_weights: bool = False  # draw both classes alike

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        for key, allowed in (("split", SPLITS), ("network_kind", NETWORKS), ("receptor", RECEPTORS)):
            if getattr(self, key) not in allowed:
                yield key, f"is {getattr(self, key)!r}", ", ".join(allowed)
        if self.fold not in range(N_FOLDS):
            yield "fold", f"is {self.fold}", f"0 to {N_FOLDS - 1}"
        for key, least in (("batch", 2), ("width", 1)):
            if getattr(self, key) < least:
                yield key, f"is {getattr(self, key)}", f"{least} or more"
        if not 0 <= self.dropout < 1:
            yield "dropout", f"is {self.dropout}", "0 up to, not including, 1"

    def read(self, data: Path) -> Mapping[str, list[Example]]:
        """Return the parts of a split, "test_tcr" or "test_strict"; negatives of the strict one are made (seeded)."""
        if self.split == "tcr":
            found = read_tcr_split(data, self.fold, receptor=self.receptor)
        else:
            found = read_strict_split(data, self.fold, receptor=self.receptor)
            del found["left_out"]  # their folds are unknown, so that they may be in any part
            generator = np.random.default_rng(self.fold)
            found = {name: part + shuffled_negatives(part, generator) for name, part in found.items()}
        return {"train": found["train"], "valid": found["valid"], f"test_{self.split}": found["test"]}

    def graph(self, example: Example) -> Graph:
        """Return no residues: pairs are known by the vectors of their chains."""
        return shared.no_graph()

    def item(self, example: Example, graph: Graph, vectors: Vectors | None) -> Item:
        """Put a pair together."""
        return Item(graph, vectors, shared.NOTHING, shared.class_target(example), shared.protein_values(example))

    def network(self, widths: Widths) -> torch.nn.Module:
        """Build one of NETWORKS; receptor and peptide are different things."""
        width = self.width if self.network_kind == "mlp" else 0
        return PairProbe((widths.protein + widths.whole) // 2, symmetric=False, width=width, dropout=self.dropout)

    def epoch(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[list[int]]:
        """Yield all pairs in random order."""
        return shared.shuffled(examples, self.batch, generator, balanced=self.class_weights)

    def scores(self, network: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits of the pairs."""
        return batch.protein.new_zeros(0, 0), network(*shared.two_sides(batch))

    def loss(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Return the cross entropy."""
        return shared.cross_entropy(self.scores(network, batch)[1], batch.protein_target)

    def calibrate(self, examples: Sequence[Example], raw: Sequence[Prediction]) -> dict[str, float]:
        """Return scale, offset, and the threshold with the largest MCC."""
        return shared.fitted(*shared.of_proteins(examples, raw))

    def decide(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Return the threshold with the largest MCC."""
        return shared.decided(*shared.of_proteins(examples, predictions))

    def finish(self, raw: Prediction, calibration: Mapping[str, float]) -> Prediction:
        """Turn logits into probabilities."""
        return Prediction(raw.residue, shared.probabilities(raw.protein[None], calibration)[0])

    def validation_score(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float:
        """Return AUROC."""
        return shared.validation_score(*shared.of_proteins(examples, predictions))

    def figures(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], calibration: Mapping[str, float]
    ) -> list[Figure]:
        """Return the figures over pairs, those of one peptide resampled together, and the mean AUROC of peptides.

        A few peptides dominate; the mean is over peptides with `FEWEST` pairs or more of either class.
        """
        truth, probability = shared.of_proteins(examples, predictions)
        groups = np.unique([one.chains[1].sequence for one in examples], return_inverse=True)[1]
        within = [
            auroc(truth[groups == number], probability[groups == number, 0])
            if min(np.bincount(truth[groups == number].astype(int), minlength=2)) >= FEWEST else np.nan
            for number in range(groups.max(initial=-1) + 1)
        ]  # fmt: skip
        out = shared.figures_of_two(truth, probability, groups, calibration)
        return [*out, Figure("AUROC_peptide", statistics.MEAN, np.arange(len(within)), (np.array(within),))]
