"""The task: from a T-cell receptor and a peptide to whether they bind (TITAN's two splits)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tertia.data.example import Example
from tertia.tasks import label_methods as methods
from tertia.tasks import labels as shared
from tertia.tasks.metrics import auroc, statistics
from tertia.tasks.task import Figure, Prediction
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
    symmetric: ClassVar[bool] = False  # a receptor and a peptide are different things
    residue_scores: ClassVar[tuple[str, ...]] = ()
    protein_scores: ClassVar[tuple[str, ...]] = ("bound",)

    split: str = "tcr"  # of SPLITS: new receptors; or new receptors and new peptides
    fold: int = 0  # of ten: which one is the test
    receptor: str = "cdr3b"  # of RECEPTORS
    network_kind: str = "mlp"  # of NETWORKS
    width: int = 128  # of mlp
    dropout: float = 0.3
    batch: int = 512
    most_train: int = 0  # training pairs are thinned out to so many (seeded); 0 takes all
    class_weights: bool = False  # draw both classes alike

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        for key, allowed in (("split", SPLITS), ("receptor", RECEPTORS)):
            if getattr(self, key) not in allowed:
                yield key, f"is {getattr(self, key)!r}", ", ".join(allowed)
        if self.fold not in range(N_FOLDS):
            yield "fold", f"is {self.fold}", f"0 to {N_FOLDS - 1}"
        yield from methods.problems_of_network(self, NETWORKS, batch=2, width=1, most_train=0)

    def read(self, data: Path) -> Mapping[str, list[Example]]:
        """Return the parts of a split, "test_tcr" or "test_strict"; negatives of the strict one are made (seeded)."""
        if self.split == "tcr":
            found = read_tcr_split(data, self.fold, receptor=self.receptor)
        else:
            found = read_strict_split(data, self.fold, receptor=self.receptor)
            del found["left_out"]  # their folds are unknown, so that they may be in any part
            generator = np.random.default_rng(self.fold)
            found = {name: part + shuffled_negatives(part, generator) for name, part in found.items()}
        train = shared.thinned(found["train"], self.most_train)
        return {"train": train, "valid": found["valid"], f"test_{self.split}": found["test"]}

    graph = methods.pair_graph
    item = methods.pair_item
    network = methods.pair_network
    scores = methods.pair_scores
    epoch = methods.epoch
    loss = methods.loss
    calibrate = methods.calibrate
    decide = methods.decide
    finish = methods.finish
    validation_score = methods.validation_score

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
