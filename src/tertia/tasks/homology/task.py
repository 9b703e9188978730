"""The task: from the sequence of a domain to its fold, of a superfamily that training never saw (TAPE)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tertia.data.example import Example
from tertia.tasks import label_methods as methods
from tertia.tasks import labels as shared
from tertia.tasks.homology.tables import N_FOLDS, read_folds
from tertia.tasks.task import Figure, Prediction

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
    most_train: int = 0  # training domains are thinned out to so many (seeded); 0 takes all
    class_weights: bool = False  # draw every class as often as any other

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what was found, what is allowed) for every value that makes no sense."""
        yield from methods.problems_of_network(self, NETWORKS, batch=2, width=2, longest=2, most_train=0)

    def read(self, data: Path) -> Mapping[str, list[Example]]:
        """Return the published splits; no sequence is in two of them."""
        splits = dict(read_folds(data))
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
        """Return the figures over domains; those of one fold, which are relatives, are resampled together."""
        truth, probability = shared.of_proteins(examples, predictions)
        return shared.figures_of_many(truth, probability, truth.astype(int))
