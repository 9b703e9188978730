"""The task: from a sequence to the place of a protein in the cell, or to whether it is in a membrane (DeepLoc 1)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tertia.data.example import Example
from tertia.tasks import label_methods as methods
from tertia.tasks import labels as shared
from tertia.tasks.audit import cut_by_cluster, without_shared_sequences
from tertia.tasks.localisation.tables import PLACES, read_membrane, read_places
from tertia.tasks.task import Figure, Prediction

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
    most_train: int = 0  # training proteins are thinned out to so many (seeded); 0 takes all
    class_weights: bool = False  # draw every class as often as any other

    @property
    def protein_scores(self) -> tuple[str, ...]:
        """The classes, of membrane only the positive one."""
        return PLACES if self.labels == "places" else ("membrane",)

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        if self.labels not in LABELS:
            yield "labels", f"is {self.labels!r}", ", ".join(LABELS)
        yield from methods.problems_of_network(self, NETWORKS, batch=2, width=2, longest=2, most_train=0)

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
        splits["train"] = shared.thinned(splits["train"], self.most_train)
        return splits

    needs = property(methods.protein_needs)
    graph = methods.protein_graph
    item = methods.protein_item
    network = methods.protein_network
    scores = methods.protein_scores
    epoch = methods.epoch
    loss = methods.loss
    calibrate = methods.calibrate
    decide = methods.decide
    finish = methods.finish
    validation_score = methods.validation_score

    def figures(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], calibration: Mapping[str, float]
    ) -> list[Figure]:
        """Return the figures over proteins; those of one sequence are resampled together."""
        truth, probability = shared.of_proteins(examples, predictions)
        groups = np.unique([one.sequence for one in examples], return_inverse=True)[1]
        if probability.shape[1] == 1:
            return shared.figures_of_two(truth, probability, groups, calibration)
        return shared.figures_of_many(truth, probability, groups)
